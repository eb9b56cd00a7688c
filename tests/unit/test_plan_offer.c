/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a plan when devices give clusters back, price them anew, or fail them; and when memory is out. */
#include "plan_fake.h"

#include <stdlib.h>

enum { MOST_OFFERS = 3 };

/* v0 Relu, v1 Sigmoid, v2 Relu, v3 Tanh, in a chain. */
static void make_chain(builder *b) {
    build_start(b, 17);
    build_input(b, "x", PARTITA_FLOAT32, "64");
    build_node(b, "Relu", "x", "v0");
    build_node(b, "Sigmoid", "v0", "v1");
    build_node(b, "Relu", "v1", "v2");
    build_node(b, "Tanh", "v2", "v3");
    build_output(b, "v3");
    OK(build_infer(b));
}

typedef struct scene {
    builder b;
    fake_machine m;
    pt_plan_request request;
    pt_plan *plan;
} scene;

/* Two devices, of which b is the dearer one. */
static void scene_start(scene *s) {
    make_chain(&s->b);
    fake_start(&s->m, "a b");
    s->m.devices[1].us = 30;
    s->request = fake_request(&s->m, s->b.model);
}

static void scene_plan(scene *s) { OK(pt_plan_create(&s->request, &s->plan)); }

static void scene_end(scene *s) {
    pt_plan_destroy(s->plan);
    fake_end(&s->m);
    build_end(&s->b);
}

static void accepted_plans_stay(void **state) {
    PT_UNUSED(state);
    scene s;
    scene_start(&s);
    scene_plan(&s);
    assert_int_equal(s.plan->cluster_count, 1);
    assert_int_equal(s.m.devices[0].offers, 1);
    assert_int_equal(s.m.devices[0].largest_offer, 4);
    assert_string_equal(s.plan->clusters[0].source, "unit");
    assert_true(s.plan->estimate_us == 41); /* four units and a launch */
    scene_end(&s);
}

static void trimmed_nodes_go_elsewhere(void **state) {
    PT_UNUSED(state);
    scene s;
    scene_start(&s);
    s.m.devices[0].trims = "Sigmoid ";
    scene_plan(&s);
    assert_where(&s.b, s.plan, "v0", "a");
    assert_where(&s.b, s.plan, "v1", "b");
    assert_where(&s.b, s.plan, "v2", "a");
    const pt_plan_answer *answer = pt_plan_answer_at(s.plan, 1, 0);
    assert_int_equal(answer->can, PTP_NO);
    assert_int_equal(answer->reason, PARTITA_REASON_POLICY);
    assert_string_equal(answer->text, "given back");
    scene_end(&s);
}

static void declined_clusters_go_elsewhere(void **state) {
    PT_UNUSED(state);
    scene s;
    scene_start(&s);
    s.m.devices[0].declines = true;
    scene_plan(&s);
    for (uint32_t i = 0; i < s.plan->unit_count; i++) assert_int_equal(s.plan->units[i].device, 1);
    scene_end(&s);
}

/* Nobody else, or the user's choice: compiling will tell. */
static void what_nobody_else_takes_stays(void **state) {
    PT_UNUSED(state);
    scene s;
    scene_start(&s);
    s.m.devices[0].declines = true;
    s.m.devices[1].refuses = "Tanh ";
    scene_plan(&s);
    assert_where(&s.b, s.plan, "v0", "b");
    assert_where(&s.b, s.plan, "v3", "a");
    scene_end(&s);
    scene_start(&s);
    const pt_plan_pin pin = {"v1", "a"};
    s.m.devices[0].declines = true;
    s.request.pins = &pin;
    s.request.pin_count = 1;
    scene_plan(&s);
    assert_where(&s.b, s.plan, "v0", "b");
    assert_where(&s.b, s.plan, "v1", "a");
    scene_end(&s);
}

static void a_price_for_the_whole_counts(void **state) {
    PT_UNUSED(state);
    scene s;
    scene_start(&s);
    s.m.devices[0].whole = 0.5;
    scene_plan(&s);
    assert_string_equal(s.plan->clusters[0].source, "cluster");
    assert_true(s.plan->clusters[0].unit_us == 40);
    assert_true(s.plan->clusters[0].estimate_us == 21);
    assert_true(s.plan->estimate_us == 21 && s.plan->lower_bound_us <= 21);
    scene_end(&s);
}

/* The favourite turns out to be dear: another plan is made, and kept only when it is better by its own offers. */
static void the_better_of_two_plans_is_kept(void **state) {
    PT_UNUSED(state);
    for (int other = 0; other < 2; other++) {
        scene s;
        scene_start(&s);
        s.m.devices[0].whole = 5;              /* 40 us turn out to be 200 */
        s.m.devices[1].whole = other ? 10 : 1; /* 120 us are what they are, or 1200 */
        scene_plan(&s);
        for (uint32_t i = 0; i < s.plan->unit_count; i++) assert_int_equal(s.plan->units[i].device, other ? 0 : 1);
        assert_true(s.plan->estimate_us == (other ? 201 : 121));
        scene_end(&s);
    }
}

static void rounds_are_few(void **state) {
    PT_UNUSED(state);
    for (uint64_t seed = 0; seed < 40; seed++) {
        scene s = {.plan = NULL};
        fake_random_model(&s.b, 60, 5, seed);
        fake_start(&s.m, "a b* c*");
        for (int d = 0; d < 3; d++) {
            s.m.devices[d].us = 3 + (double)((seed * 7 + (uint64_t)d * 5) % 11);
            s.m.devices[d].whole = 0.5 + d;
        }
        s.m.devices[1].trims = seed % 2 ? "Relu Add " : "Tanh ";
        s.m.devices[2].most_nodes = 4;
        s.request = fake_request(&s.m, s.b.model);
        s.request.random = seed % 4 == 3;
        scene_plan(&s);
        uint32_t most = 0, offers = 0;
        for (int d = 0; d < 3; d++) offers += s.m.devices[d].offers;
        most = MOST_OFFERS * s.plan->unit_count;
        assert_true(offers > 0 && offers <= most);
        for (int d = 0; d < 3; d++) assert_int_equal(s.m.devices[d].asks, 1);
        for (uint32_t i = 0; i < s.plan->unit_count; i++)
            assert_int_equal(pt_plan_answer_at(s.plan, i, s.plan->units[i].device)->can, PTP_YES);
        assert_true(s.plan->lower_bound_us <= s.plan->estimate_us);
        fake_check_order(s.plan);
        scene_end(&s);
    }
}

/* A device that trims whatever it is offered is asked three times at most. */
static void endless_trimming_ends(void **state) {
    PT_UNUSED(state);
    scene s;
    scene_start(&s);
    s.m.devices[0].most_nodes = s.m.devices[1].most_nodes = 1;
    scene_plan(&s);
    assert_true(s.m.devices[0].offers + s.m.devices[1].offers <= MOST_OFFERS * s.plan->unit_count);
    scene_end(&s);
}

/* ---- demotions ------------------------------------------------------------------------------- */

static pt_plan *demote(scene *s, uint32_t cluster, partita_status expected) {
    pt_plan *next = NULL;
    pt_plan_request request = s->request;
    request.previous = s->plan;
    request.demoted = cluster;
    request.demoted_reason = PARTITA_REASON_COMPILE;
    request.demoted_text = "out of registers";
    assert_int_equal(pt_plan_create(&request, &next), expected);
    return next;
}

static void failed_claims_go_elsewhere(void **state) {
    PT_UNUSED(state);
    scene s;
    scene_start(&s);
    scene_plan(&s);
    pt_plan *next = demote(&s, 0, PARTITA_OK);
    assert_int_equal(s.m.devices[0].asks, 1); /* nobody is asked again */
    for (uint32_t i = 0; i < next->unit_count; i++) assert_int_equal(next->units[i].device, 1);
    assert_int_equal(next->demotions.size, 1);
    const pt_plan_demotion *row = &next->demotions.data[0];
    assert_string_equal(row->cluster, "v0 and 3 more");
    assert_int_equal(row->device, 0);
    assert_int_equal(row->reason, PARTITA_REASON_COMPILE);
    char *json;
    OK(pt_plan_to_json(next, NULL, &json));
    assert_non_null(strstr(json, "\"demotions\":[{\"cluster\":\"v0 and 3 more\",\"device\":\"a\",\"code\":\"compile\","
                                 "\"reason\":\"out of registers\"}]"));
    pt_free(json);
    /* the other one too: nobody is left */
    pt_plan_destroy(s.plan);
    s.plan = next;
    demote(&s, 0, PARTITA_UNPLACED);
    assert_non_null(strstr(pt_last_message(), "a: out of registers"));
    scene_end(&s);
}

/* What is pinned to the device that failed is free; other pins hold, and at random nothing else moves. */
static void demotions_leave_the_rest_alone(void **state) {
    PT_UNUSED(state);
    scene s;
    scene_start(&s);
    const pt_plan_pin pins[] = {{"v[01]", "a"}, {"v2", "b"}, {"v3", "a"}};
    s.request.pins = pins;
    s.request.pin_count = 3;
    scene_plan(&s);
    assert_int_equal(s.plan->cluster_count, 3);
    pt_plan *next = demote(&s, s.plan->units[0].cluster, PARTITA_OK);
    assert_where(&s.b, next, "v0", "b");
    assert_where(&s.b, next, "v1", "b");
    assert_where(&s.b, next, "v2", "b");
    assert_where(&s.b, next, "v3", "a");
    pt_plan_destroy(next);
    scene_end(&s);
    for (uint64_t seed = 0; seed < 30; seed++) {
        fake_random_model(&s.b, 40, 4, seed);
        fake_start(&s.m, "a b* c*");
        s.request = fake_request(&s.m, s.b.model);
        s.request.random = true;
        s.request.seed = seed;
        scene_plan(&s);
        uint32_t cluster = (uint32_t)seed % s.plan->cluster_count;
        next = demote(&s, cluster, PARTITA_OK);
        for (uint32_t i = 0; i < next->unit_count; i++) {
            bool failed = s.plan->units[i].cluster == cluster;
            assert_int_equal(failed, next->units[i].device != s.plan->units[i].device);
        }
        pt_plan_destroy(next);
        scene_end(&s);
    }
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The k-th allocation fails, for every k: an error, nothing lost, and afterwards the same plan. */
static void each_allocation_fails(void **state) {
    PT_UNUSED(state);
    scene s = {.plan = NULL};
    const pt_plan_pin pins[] = {{"v1", "b"}, {"v[3-5]", "a"}, {"op:Tanh", "c"}};
    fake_random_model(&s.b, 24, 4, 7);
    fake_start(&s.m, "a b* c*");
    s.m.devices[1].trims = "Relu ";
    s.m.devices[0].whole = 0.7;
    s.request = fake_request(&s.m, s.b.model);
    s.request.pins = pins;
    s.request.pin_count = 3;
    pt_alloc_fail_after(-1, false);
    scene_plan(&s);
    uint64_t count = pt_alloc_count();
    assert_true(count > 50);
    for (uint64_t k = 0; k < count; k++)
        for (int once = 0; once < 2; once++) {
            pt_plan *plan = NULL;
            pt_alloc_fail_after((int64_t)k, once);
            partita_status status = pt_plan_create(&s.request, &plan);
            pt_alloc_fail_after(-1, false);
            assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
            assert_null(plan);
        }
    pt_alloc_fail_after(-1, false);
    char *json = NULL;
    OK(pt_plan_to_json(s.plan, NULL, &json));
    count = pt_alloc_count();
    for (uint64_t k = 0; k < count; k++) {
        char *again = NULL;
        pt_alloc_fail_after((int64_t)k, true);
        partita_status status = pt_plan_to_json(s.plan, NULL, &again);
        pt_alloc_fail_after(-1, false);
        if (status == PARTITA_OK)
            assert_string_equal(again, json);
        else
            assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        pt_free(again);
    }
    pt_free(json);
    scene_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_plans_stay),
        cmocka_unit_test(trimmed_nodes_go_elsewhere),
        cmocka_unit_test(declined_clusters_go_elsewhere),
        cmocka_unit_test(what_nobody_else_takes_stays),
        cmocka_unit_test(a_price_for_the_whole_counts),
        cmocka_unit_test(the_better_of_two_plans_is_kept),
        cmocka_unit_test(rounds_are_few),
        cmocka_unit_test(endless_trimming_ends),
        cmocka_unit_test(failed_claims_go_elsewhere),
        cmocka_unit_test(demotions_leave_the_rest_alone),
        cmocka_unit_test(each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
