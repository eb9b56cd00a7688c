/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of models with bodies, the order of clusters under placements at random, and how long large models take. */
#include "plan_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- bodies ---------------------------------------------------------------------------------- */

/* p = Relu(x); q = If(c) { then: Relu(Relu(p)) } else { Sigmoid(p) }; y = Tanh(q) */
static void make_branches(builder *b) {
    build_start(b, 17);
    build_input(b, "x", PARTITA_FLOAT32, "1000");
    build_input(b, "c", PARTITA_BOOL, "");
    build_node(b, "Relu", "x", "p");
    pt_id branch = build_node(b, "If", "c", "q");
    pt_id outside = build_body(b, branch, "then_branch");
    build_node(b, "Relu", "p", "t0");
    build_node(b, "Relu", "t0", "t1");
    build_output(b, "t1");
    b->graph = outside;
    build_body(b, branch, "else_branch");
    build_node(b, "Sigmoid", "p", "e0");
    build_output(b, "e0");
    b->graph = outside;
    build_node(b, "Tanh", "q", "y");
    build_output(b, "y");
    OK(build_infer(b));
}

/* v = Loop(trips, , x) { body: x * x } */
static void make_loop(builder *b, int64_t trips) {
    build_start(b, 17);
    build_input(b, "x", PARTITA_FLOAT32, "1000");
    if (trips >= 0)
        build_int(b, "n", trips);
    else
        build_input(b, "n", PARTITA_INT64, "");
    build_bool(b, "go", true);
    pt_id loop = build_node(b, "Loop", "n go x", "v");
    pt_id outside = build_body(b, loop, "body");
    build_input(b, "i", PARTITA_INT64, "");
    build_input(b, "more", PARTITA_BOOL, "");
    build_input(b, "s", PARTITA_FLOAT32, "1000");
    build_node(b, "Identity", "more", "on");
    build_node(b, "Mul", "s s", "s2");
    build_output(b, "on");
    build_output(b, "s2");
    b->graph = outside;
    build_output(b, "v");
    OK(build_infer(b));
}

static void bodies_are_placed_and_priced(void **state) {
    PT_UNUSED(state);
    builder b;
    fake_machine m;
    pt_plan *plan;
    make_branches(&b);
    fake_start(&m, "a b*");
    m.devices[0].refuses = "Sigmoid ";
    pt_plan_request request = fake_request(&m, b.model);
    OK(pt_plan_create(&request, &plan));
    assert_where(&b, plan, "q", "(host)");
    assert_where(&b, plan, "t1", "a");
    assert_where(&b, plan, "e0", "b");
    assert_int_equal(plan->cluster_count, 4);
    fake_check_order(plan);
    /* p and y: 11 each; a trip: 2; the dearer branch: 11 and 4000 bytes, by blocks of 1024, there and back: 9.1 each */
    assert_true(plan->estimate_us > 53 && plan->estimate_us < 53.4);
    assert_true(plan->lower_bound_us > 22 && plan->lower_bound_us <= plan->estimate_us);
    /* p goes from a to b, e0 comes back; nothing else crosses */
    assert_int_equal(plan->edge_count, 2);
    assert_int_equal(plan->edges[0].value, build_value(&b, "p"));
    assert_int_equal(plan->edges[0].bytes, 4000);
    assert_int_equal(plan->edges[1].value, build_value(&b, "e0"));
    assert_int_equal(plan->edges[1].to, PT_PLAN_HOST);
    pt_plan_destroy(plan);
    fake_end(&m);
    build_end(&b);
}

static void loops_cost_their_trips(void **state) {
    PT_UNUSED(state);
    static const struct {
        int64_t trips;
        double expected;
    } cases[] = {{5, 5}, {0, 0}, {-1, 16}};
    for (size_t i = 0; i < PT_COUNT_OF(cases); i++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        make_loop(&b, cases[i].trips);
        fake_start(&m, "a");
        pt_plan_request request = fake_request(&m, b.model);
        OK(pt_plan_create(&request, &plan));
        /* a trip: 2, and two parts of one node, which take turns */
        assert_true(plan->estimate_us == cases[i].expected * (2 + 11 + 11));
        assert_true(plan->lower_bound_us <= plan->estimate_us);
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
}

/* A device that takes node and bodies as one: its body makes no parts, no edges, and reads what it captures. */
static void whole_control_flow_is_one_part(void **state) {
    PT_UNUSED(state);
    for (int pinned = 0; pinned < 2; pinned++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        make_branches(&b);
        fake_start(&m, "a b*");
        m.devices[1].bodies = true;
        m.devices[1].us = 0.25;
        const pt_plan_pin pin = {"p", "a"};
        pt_plan_request request = fake_request(&m, b.model);
        request.pins = &pin;
        request.pin_count = (uint32_t)pinned;
        OK(pt_plan_create(&request, &plan));
        assert_where(&b, plan, "p", pinned ? "a" : "b");
        assert_where(&b, plan, "q", "b");
        assert_where(&b, plan, "y", "b");
        assert_int_equal(plan->cluster_count, pinned ? 2 : 1);
        const pt_plan_cluster *last = &plan->clusters[plan->cluster_count - 1];
        assert_int_equal(last->input_count, 2); /* x or p, and c */
        assert_int_equal(last->output_count, 1);
        assert_int_equal(plan->edge_count, 3);
        char *json;
        OK(pt_plan_to_json(plan, NULL, &json));
        assert_non_null(strstr(json, "{\"name\":\"t0\",\"op\":\"Relu\",\"domain\":\"\",\"device\":\"b\""));
        pt_free(json);
        fake_check_order(plan);
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
}

/* Nobody takes what a branch needs: the node says what is missing there. */
static void the_cause_lies_in_the_body(void **state) {
    PT_UNUSED(state);
    builder b;
    fake_machine m;
    pt_plan *plan;
    make_branches(&b);
    fake_start(&m, "a");
    m.devices[0].refuses = "Sigmoid ";
    pt_plan_request request = fake_request(&m, b.model);
    assert_int_equal(pt_plan_create(&request, &plan), PARTITA_UNPLACED);
    assert_non_null(strstr(pt_last_message(), "'e0' (Sigmoid)"));
    assert_non_null(strstr(pt_last_message(), "a: no Sigmoid here"));
    m.devices[0].bodies = true; /* as a whole it goes */
    OK(pt_plan_create(&request, &plan));
    assert_where(&b, plan, "q", "a");
    pt_plan_destroy(plan);
    fake_end(&m);
    build_end(&b);
}

/* Bodies in bodies, the innermost capturing from all around. */
static void make_deep(builder *b, uint32_t depth) {
    char name[16], text[40];
    build_start(b, 17);
    build_input(b, "x", PARTITA_FLOAT32, "16");
    build_input(b, "c", PARTITA_BOOL, "");
    build_node(b, "Relu", "x", "r0");
    pt_id around[64], nodes[64];
    for (uint32_t d = 0; d < depth; d++) {
        snprintf(name, sizeof(name), "f%u", d);
        nodes[d] = build_node(b, "If", "c", name);
        around[d] = build_body(b, nodes[d], "then_branch");
        snprintf(text, sizeof(text), "r%u x", d);
        snprintf(name, sizeof(name), "r%u", d + 1);
        build_node(b, "Add", text, name);
    }
    for (uint32_t d = depth; d-- > 0;) {
        snprintf(name, sizeof(name), d + 1 == depth ? "r%u" : "f%u", d + 1);
        build_output(b, name);
        b->graph = around[d];
        build_body(b, nodes[d], "else_branch");
        snprintf(name, sizeof(name), "r%u", d);
        build_output(b, name); /* hands a captured value on */
        b->graph = around[d];
    }
    build_output(b, "f0");
    OK(build_infer(b));
}

static void deep_bodies_at_random(void **state) {
    PT_UNUSED(state);
    for (uint64_t seed = 0; seed < 40; seed++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        pt_text text = {0};
        make_deep(&b, 1 + (uint32_t)seed % 24);
        fake_start(&m, "a b* c*");
        m.devices[2].bodies = seed % 3 == 0;
        pt_plan_request request = fake_request(&m, b.model);
        request.random = true;
        request.seed = seed;
        OK(pt_plan_create(&request, &plan));
        fake_check_order(plan);
        assert_true(plan->lower_bound_us <= plan->estimate_us);
        pt_plan_print(plan, NULL, true, &text);
        assert_false(text.failed);
        pt_text_deinit(&text);
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
}

/* ---- order ----------------------------------------------------------------------------------- */

/* True when the connected parts of each device, which a naive planner would take, wait for each other in a circle. */
static bool naive_parts_are_cyclic(const pt_plan *plan) {
    const pt_model *model = plan->model;
    uint32_t count = plan->unit_count, *part = calloc(count, sizeof(*part)), left = count;
    for (uint32_t i = 0; i < count; i++) part[i] = i;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < count; i++) {
            const pt_node *node = pt_node_at(model, plan->units[i].nodes[0]);
            for (uint32_t k = 0; k < node->input_count; k++) {
                pt_id producer = pt_value_at(model, node->inputs[k])->producer;
                if (producer == PT_NONE) continue;
                uint32_t before = plan->node_unit[producer];
                if (plan->units[before].device != plan->units[i].device || part[before] == part[i]) continue;
                part[before] = part[i] = PT_MIN(part[before], part[i]);
                changed = true;
            }
        }
    }
    bool *done = calloc(count, sizeof(bool)), *blocked = calloc(count, sizeof(bool)); /* by part */
    for (bool changed = true; changed && left;) {
        changed = false;
        memset(blocked, 0, count);
        for (uint32_t i = 0; i < count; i++) {
            const pt_node *node = pt_node_at(model, plan->units[i].nodes[0]);
            for (uint32_t k = 0; k < node->input_count; k++) {
                pt_id producer = pt_value_at(model, node->inputs[k])->producer;
                uint32_t before = producer == PT_NONE ? i : plan->node_unit[producer];
                if (part[before] != part[i] && !done[part[before]]) blocked[part[i]] = true;
            }
        }
        for (uint32_t i = 0; i < count; i++)
            if (part[i] == i && !done[i] && !blocked[i]) done[i] = changed = true;
    }
    for (uint32_t i = 0; i < count; i++) left -= done[part[i]];
    free(part);
    free(done);
    free(blocked);
    return left > 0;
}

static void every_quotient_is_acyclic(void **state) {
    PT_UNUSED(state);
    enum { PLANS = 1500 };
    uint32_t cyclic = 0;
    for (uint64_t seed = 0; seed < PLANS; seed++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        fake_random_model(&b, 8 + (uint32_t)seed % 40, 2 + (uint32_t)seed % 7, seed);
        fake_start(&m, seed % 2 ? "a b*" : "a b* c*");
        pt_plan_request request = fake_request(&m, b.model);
        request.random = true;
        request.seed = seed;
        OK(pt_plan_create(&request, &plan));
        fake_check_order(plan);
        cyclic += naive_parts_are_cyclic(plan);
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
    /* else the test would say nothing */
    assert_true(cyclic > PLANS * 15 / 100);
}

/* ---- scale ----------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MOST_SECONDS 20 /* what a sanitizer makes of 2 */
#else
#define MOST_SECONDS 2
#endif

/* Of this process: others may be busy. */
static double seconds_now(void) { return (double)clock() / CLOCKS_PER_SEC; }

static double seconds_to_plan(builder *b, bool random) {
    fake_machine m;
    pt_plan *plan;
    fake_start(&m, "a b* c*");
    m.devices[1].us = 4;
    m.devices[2].refuses = "Relu Add ";
    pt_plan_request request = fake_request(&m, b->model);
    request.random = random;
    double begin = seconds_now();
    OK(pt_plan_create(&request, &plan));
    double seconds = seconds_now() - begin;
    assert_true(m.devices[0].units_asked < 100);
    fake_check_order(plan);
    pt_plan_destroy(plan);
    fake_end(&m);
    return seconds;
}

static void long_chains_are_planned_quickly(void **state) {
    PT_UNUSED(state);
    builder b;
    fake_random_model(&b, 20000, 1, 3);
    double seconds = seconds_to_plan(&b, false), random = seconds_to_plan(&b, true);
    print_message("20000 nodes: %.2f s, %.2f s at random\n", seconds, random);
    assert_true(seconds < MOST_SECONDS && random < MOST_SECONDS);
    build_end(&b);
}

/* DequantizeLinear, Relu, QuantizeLinear, over and over. */
static void chains_of_groups_are_planned_quickly(void **state) {
    PT_UNUSED(state);
    enum { NODES = 30000 };
    static const char *const ops[] = {"DequantizeLinear", "Relu", "QuantizeLinear"};
    const float scale[] = {0.5f};
    const pt_type type = {.rank = -1};
    builder b;
    build_start(&b, 17);
    pt_id value = build_input(&b, "x", PARTITA_UINT8, "1000"), s = build_floats(&b, "s", scale, 1), node;
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t source;
        partita_str name = pt_arena_printf(&b.model->arena, "v%u", i), op = pt_str(ops[i % 3]);
        const pt_id inputs[] = {value, s};
        OK(pt_model_add_value(b.model, 0, name, &type, &value));
        OK(pt_model_add_node(b.model, 0, op, PT_STR(""), 17, inputs, i % 3 == 1 ? 1 : 2, &value, 1, &node));
        OK(pt_model_add_source(b.model, name, op, PT_STR(""), &source));
        OK(pt_node_add_source(b.model, node, source));
    }
    OK(pt_graph_add_output(b.model, 0, value));
    OK(build_infer(&b));
    double seconds = seconds_to_plan(&b, false), random = seconds_to_plan(&b, true);
    print_message("%u nodes in groups of 3: %.2f s, %.2f s at random\n", NODES, seconds, random);
    assert_true(seconds < MOST_SECONDS && random < MOST_SECONDS);
    build_end(&b);
}

/* A literal pin for every node must not look at every other one. */
static void many_pins_are_found_quickly(void **state) {
    PT_UNUSED(state);
    enum { NODES = 20000 };
    builder b;
    fake_machine m;
    pt_plan *plan;
    fake_random_model(&b, NODES, 3, 3);
    fake_start(&m, "a b");
    pt_plan_pin *pins = calloc(NODES, sizeof(*pins));
    for (uint32_t i = 0; i < NODES; i++)
        pins[i] = (pt_plan_pin){b.model->sources.data[i].name.data, i / 100 % 2 ? "a" : "b"};
    pt_plan_request request = fake_request(&m, b.model);
    request.pins = pins;
    request.pin_count = NODES;
    double begin = seconds_now();
    OK(pt_plan_create(&request, &plan));
    assert_true(seconds_now() - begin < MOST_SECONDS);
    for (uint32_t i = 0; i < NODES; i++) assert_int_equal(plan->units[i].device, i / 100 % 2 ? 0 : 1);
    pt_plan_destroy(plan);
    free(pins);
    fake_end(&m);
    build_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_placed_and_priced),    cmocka_unit_test(loops_cost_their_trips),
        cmocka_unit_test(whole_control_flow_is_one_part),  cmocka_unit_test(the_cause_lies_in_the_body),
        cmocka_unit_test(deep_bodies_at_random),           cmocka_unit_test(every_quotient_is_acyclic),
        cmocka_unit_test(long_chains_are_planned_quickly), cmocka_unit_test(chains_of_groups_are_planned_quickly),
        cmocka_unit_test(many_pins_are_found_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
