/* SPDX-License-Identifier: Apache-2.0 */
/* Quantised groups as units: which nodes belong together, who is asked what, whole or expanded, never torn by accident.
 */
#include "plan_fake.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- finding --------------------------------------------------------------------------------- */

typedef struct found_case {
    const char *nodes;  /* "op inputs>outputs;..." over the inputs x, w (uint8), f (float32) and the scale s */
    const char *output; /* of the graph */
    const char *groups; /* outputs of each group's nodes, with '|' between groups */
} found_case;

static const found_case found_cases[] = {
    {"DequantizeLinear x s>d;Relu d>r;QuantizeLinear r s>q", "q", "d r q"},
    {"DequantizeLinear x s>d;DequantizeLinear w s>e;MatMul d e>m;QuantizeLinear m s>q", "q", "d e m q"},
    /* what clamps or moves behind it belongs to it */
    {"DequantizeLinear x s>d;DequantizeLinear w s>e;MatMul d e>m;Relu m>r;QuantizeLinear r s>q", "q", "d e m r q"},
    {"DequantizeLinear x s>d;Transpose d>t;Relu t>r;QuantizeLinear r s>q", "q", "d t r q"},
    /* what only moves in front of it too, when nobody else reads it */
    {"DequantizeLinear x s>d;Transpose d>t;DequantizeLinear w s>e;MatMul t e>m;QuantizeLinear m s>q", "q", "d t e m q"},
    {"DequantizeLinear x s>d;Transpose d>t;Transpose t>u;DequantizeLinear w s>e;MatMul e u>m", "m", "d t u e m"},
    {"DequantizeLinear x s>d;Transpose d>t;Neg t>n;QuantizeLinear n s>q;Abs t>a;Concat q x>c", "a", ""},
    {"DequantizeLinear x s>d;Relu d>r;Neg r>n;QuantizeLinear n s>q", "q", ""},
    /* without a QuantizeLinear: what computes is a group with its weights, what moves is none */
    {"DequantizeLinear x s>d;DequantizeLinear w s>e;MatMul d e>m", "m", "d e m"},
    {"DequantizeLinear x s>d;Transpose d>t", "t", ""},
    {"DequantizeLinear w s>e;MatMul f e>m;Relu m>r", "r", "e m"},
    /* read elsewhere too: by a node, or as an output */
    {"DequantizeLinear x s>d;Relu d>r;QuantizeLinear r s>q;Neg r>n;Concat q x>c", "n", ""},
    {"DequantizeLinear x s>d;Add d f>r;QuantizeLinear r s>q", "r", "d r"},
    {"DequantizeLinear x s>d;Relu d>r;QuantizeLinear r s>q;Neg d>n", "n", ""},
    /* one dequantised value for two: it stays alone */
    {"DequantizeLinear x s>d;Add d d>a;QuantizeLinear a s>q", "q", "d a q"},
    {"DequantizeLinear x s>d;Neg d>a;QuantizeLinear a s>q;Abs d>b;QuantizeLinear b s>p;Concat q p>c", "c", ""},
    /* two quantised readers of one result */
    {"DequantizeLinear x s>d;Neg d>a;QuantizeLinear a s>q;QuantizeLinear a s>p;Concat q p>c", "c", "d a q p"},
    /* a scale that somebody computes is no part of it: it might come from the result */
    {"DequantizeLinear x s>d;Neg d>a;ReduceMax a>m;QuantizeLinear a m>q", "q", "d a"},
    /* one after the other */
    {"DequantizeLinear x s>d;Neg d>a;QuantizeLinear a s>q;DequantizeLinear q s>e;Neg e>b;QuantizeLinear b s>p", "p",
     "d a q|e b p"},
    {"Neg f>a;QuantizeLinear a s>q;DequantizeLinear q s>b", "b", ""},
};

static void build_lines(builder *b, const char *nodes, const char *output) {
    const float scale[] = {0.5f};
    build_start(b, 17);
    build_input(b, "x", PARTITA_UINT8, "8,8");
    build_input(b, "w", PARTITA_UINT8, "8,8");
    build_input(b, "f", PARTITA_FLOAT32, "8,8");
    build_floats(b, "s", scale, 1);
    while (*nodes) {
        char op[32], inputs[32], outputs[32];
        size_t size = strcspn(nodes, ";");
        assert_int_equal(sscanf(nodes, "%31[A-Za-z] %31[^>]>%31[^;]", op, inputs, outputs), 3);
        pt_id node = build_node(b, op, inputs, outputs);
        if (strcmp(op, "Concat") == 0) build_attr_int(b, node, "axis", 0);
        nodes += size + (nodes[size] == ';');
    }
    build_output(b, output);
    OK(build_infer(b));
}

static void describe_groups(const pt_plan *plan, pt_text *out) {
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        const pt_plan_unit *unit = &plan->units[i];
        if (unit->kind != PTP_UNIT_GROUP) continue;
        if (out->size) pt_text_printf(out, "|");
        for (uint32_t k = 0; k < unit->node_count; k++) {
            pt_id value = pt_node_at(plan->model, unit->nodes[k])->outputs[0];
            pt_text_printf(out, "%s%.*s", k ? " " : "", PT_STR_ARG(pt_value_at(plan->model, value)->name));
        }
    }
}

static void groups_are_found(void **state) {
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(found_cases); i++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        pt_text text = {0};
        build_lines(&b, found_cases[i].nodes, found_cases[i].output);
        fake_start(&m, "a");
        pt_plan_request request = fake_request(&m, b.model);
        OK(pt_plan_create(&request, &plan));
        describe_groups(plan, &text);
        const char *is = text.data ? text.data : "";
        if (strcmp(is, found_cases[i].groups) != 0)
            fail_msg("%s: \"%s\" instead of \"%s\"", found_cases[i].nodes, is, found_cases[i].groups);
        fake_check_order(plan);
        pt_text_deinit(&text);
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
}

/* ---- one group ------------------------------------------------------------------------------- */

typedef struct scene {
    builder b;
    fake_machine m;
    pt_plan_request request;
    pt_plan *plan;
} scene;

static void scene_start(scene *s, const char *devices) {
    *s = (scene){.plan = NULL};
    build_lines(&s->b,
                "Abs x>y;DequantizeLinear y s>d;DequantizeLinear w s>e;MatMul d e>m;QuantizeLinear m s>q;Abs q>z", "z");
    fake_start(&s->m, devices);
    s->request = fake_request(&s->m, s->b.model);
}

static void scene_plan(scene *s) {
    OK(pt_plan_create(&s->request, &s->plan));
    fake_check_order(s->plan);
    assert_true(s->plan->lower_bound_us > 0 && s->plan->lower_bound_us <= s->plan->estimate_us);
}

static void scene_end(scene *s) {
    pt_plan_destroy(s->plan);
    fake_end(&s->m);
    build_end(&s->b);
}

static const pt_plan_unit *group_of(const scene *s, uint32_t *out_row) {
    if (out_row) *out_row = 0;
    for (uint32_t i = 0; i < s->plan->unit_count; i++)
        if (s->plan->units[i].kind == PTP_UNIT_GROUP) {
            if (out_row) *out_row = i;
            return &s->plan->units[i];
        }
    fail_msg("no group");
    return NULL;
}

static void who_takes_only_groups_gets_one(void **state) {
    PT_UNUSED(state);
    scene s;
    uint32_t row = 0;
    scene_start(&s, "a b");
    s.m.devices[0].refuses = "DequantizeLinear QuantizeLinear MatMul Neg Abs ";
    s.m.devices[0].groups = FAKE_GROUPS_WHOLE;
    s.m.devices[0].group_us = 5;
    scene_plan(&s);
    const pt_plan_unit *group = group_of(&s, &row);
    assert_false(group->expanded);
    assert_int_equal(group->node_count, 4);
    assert_where(&s.b, s.plan, "y", "b");
    assert_where(&s.b, s.plan, "d", "a");
    assert_where(&s.b, s.plan, "e", "a");
    assert_where(&s.b, s.plan, "m", "a");
    assert_where(&s.b, s.plan, "q", "a");
    assert_where(&s.b, s.plan, "z", "b");
    assert_int_equal(s.plan->cluster_count, 3);
    const pt_plan_cluster *cluster = &s.plan->clusters[group->cluster];
    assert_int_equal(cluster->node_count, 4);
    assert_int_equal(cluster->group_count, 1);
    assert_int_equal(cluster->groups[0], row);
    assert_true(cluster->unit_us == 5);
    assert_int_equal(s.m.devices[0].groups_offered, 1);
    /* the other one takes it as pieces, and is told of no group */
    assert_int_equal(s.m.devices[1].groups_offered, 0);
    assert_int_equal(s.m.devices[0].asks, 1);
    scene_end(&s);
}

static void who_takes_only_pieces_is_composed(void **state) {
    PT_UNUSED(state);
    scene s;
    uint32_t row = 0;
    pt_text text = {0};
    scene_start(&s, "a");
    s.m.devices[0].groups = FAKE_GROUPS_REFUSED;
    scene_plan(&s);
    assert_false(group_of(&s, &row)->expanded);
    const pt_plan_answer *answer = pt_plan_answer_at(s.plan, row, 0);
    assert_true(answer->can == PTP_YES && answer->as_pieces && answer->us == 40);
    assert_string_equal(answer->source, "pieces");
    assert_int_equal(s.plan->cluster_count, 1);
    assert_int_equal(s.plan->clusters[0].group_count, 0);
    assert_true(s.plan->estimate_us == 61);
    pt_plan_print(s.plan, NULL, true, &text);
    assert_non_null(strstr(text.data, "m (MatMul): a, in a group of 4\n"
                                      "    a: yes, 40.0 us (pieces), as a group no, policy: no groups here\n"));
    pt_text_deinit(&text);
    scene_end(&s);
}

static void what_nobody_takes_whole_is_expanded(void **state) {
    PT_UNUSED(state);
    for (int random = 0; random < 2; random++) {
        scene s;
        pt_text text = {0};
        char *json;
        scene_start(&s, "a b*");
        s.m.devices[0].refuses = "MatMul ";
        s.m.devices[1].refuses = "DequantizeLinear QuantizeLinear Neg Abs ";
        s.m.devices[1].groups = FAKE_GROUPS_REFUSED;
        s.request.random = random;
        scene_plan(&s);
        assert_true(group_of(&s, NULL)->expanded);
        assert_where(&s.b, s.plan, "d", "a");
        assert_where(&s.b, s.plan, "m", "b");
        assert_where(&s.b, s.plan, "q", "a");
        pt_plan_print(s.plan, NULL, true, &text);
        assert_non_null(strstr(text.data, "m (MatMul): b\n    a: no, op: no MatMul here\n"));
        assert_non_null(strstr(text.data, "    its group of 4:\n        a: no, op: no MatMul here\n"
                                          "        b: no, policy: no groups here\n"));
        OK(pt_plan_to_json(s.plan, NULL, &json));
        assert_non_null(
            strstr(json, "\"group\":{\"unit\":3,\"nodes\":4,\"whole\":false,\"answers\":[{\"device\":\"a\""));
        pt_free(json);
        pt_text_deinit(&text);
        scene_end(&s);
    }
}

/* b computes the product a hundred times faster and takes nothing else: two crossings are cheaper than the group on a.
 */
static void groups_are_expanded_where_that_is_cheaper(void **state) {
    PT_UNUSED(state);
    for (int cheap = 0; cheap < 2; cheap++) {
        scene s;
        scene_start(&s, "a b");
        s.m.devices[0].groups = FAKE_GROUPS_WHOLE;
        s.m.devices[0].group_us = cheap ? 20 : 1000;
        s.m.devices[1].refuses = "DequantizeLinear QuantizeLinear Neg Abs ";
        s.m.devices[1].us = 1;
        scene_plan(&s);
        assert_int_equal(group_of(&s, NULL)->expanded, !cheap);
        assert_where(&s.b, s.plan, "m", cheap ? "a" : "b");
        assert_where(&s.b, s.plan, "q", "a");
        scene_end(&s);
    }
}

static void pins_hold_and_tear_only_where_they_must(void **state) {
    PT_UNUSED(state);
    static const struct {
        pt_plan_pin pins[2];
        const char *where; /* of d, e, m, q */
        bool expanded;
    } cases[] = {
        {{{"m", "b"}}, "bbbb", false}, /* the group follows where that is cheaper */
        {{{"d", "b"}, {"m", "b"}}, "bbbb", false},
        {{{"m", "b"}, {"q", "a"}}, "bbba", true}, /* two devices */
        {{{"[demq]", "c"}}, "cccc", false},       /* which takes groups only */
    };
    for (size_t i = 0; i < PT_COUNT_OF(cases); i++) {
        scene s;
        scene_start(&s, "a b c");
        s.m.devices[1].us = 3;
        s.m.devices[2].refuses = "*";
        s.m.devices[2].groups = FAKE_GROUPS_WHOLE;
        s.m.devices[2].group_us = 1000;
        s.request.pins = cases[i].pins;
        s.request.pin_count = cases[i].pins[1].pattern ? 2 : 1;
        scene_plan(&s);
        assert_int_equal(group_of(&s, NULL)->expanded, cases[i].expanded);
        for (int k = 0; k < 4; k++) {
            const char name[] = {"demq"[k], 0}, want[] = {cases[i].where[k], 0};
            assert_where(&s.b, s.plan, name, want);
        }
        /* and a stored plan is the same plan */
        char *json, *again;
        OK(pt_plan_to_json(s.plan, NULL, &json));
        s.request.pin_count = 0;
        s.request.plan_json = json;
        pt_plan_destroy(s.plan);
        scene_plan(&s);
        OK(pt_plan_to_json(s.plan, NULL, &again));
        assert_string_equal(strstr(json, "\"clusters\""), strstr(again, "\"clusters\""));
        pt_free(json);
        pt_free(again);
        scene_end(&s);
    }
}

/* Taking part of a group from who takes only groups is not possible. */
static void pins_that_no_device_can_follow_are_errors(void **state) {
    PT_UNUSED(state);
    scene s;
    scene_start(&s, "a b");
    s.m.devices[1].refuses = "*";
    s.m.devices[1].groups = FAKE_GROUPS_WHOLE;
    const pt_plan_pin pins[] = {{"m", "b"}, {"q", "a"}};
    s.request.pins = pins;
    s.request.pin_count = 2;
    assert_int_equal(pt_plan_create(&s.request, &s.plan), PARTITA_UNPLACED);
    assert_non_null(strstr(pt_last_message(), "'m'"));
    s.plan = NULL;
    scene_end(&s);
}

/* Whole groups go to others by chance too; a device that takes pieces only gets one all the same. */
static void nobody_is_idle(void **state) {
    PT_UNUSED(state);
    for (uint64_t seed = 1; seed < 20; seed++) {
        scene s;
        scene_start(&s, "a b");
        s.m.devices[1].refuses = "DequantizeLinear QuantizeLinear Neg Abs ";
        s.request.random = true;
        s.request.seed = seed;
        scene_plan(&s);
        assert_true(group_of(&s, NULL)->expanded);
        assert_where(&s.b, s.plan, "d", "a");
        assert_where(&s.b, s.plan, "m", "b");
        scene_end(&s);
    }
}

static void the_last_resort_takes_no_group_that_others_take_of(void **state) {
    PT_UNUSED(state);
    scene s;
    scene_start(&s, "a cpu");
    s.m.devices[0].refuses = "DequantizeLinear QuantizeLinear ";
    s.m.devices[0].us = 1e5;
    s.request.fallback = 1;
    scene_plan(&s);
    assert_where(&s.b, s.plan, "d", "cpu");
    assert_where(&s.b, s.plan, "m", "a");
    assert_where(&s.b, s.plan, "z", "a");
    scene_end(&s);
}

/* ---- after the plan -------------------------------------------------------------------------- */

static void trimmed_groups_go_elsewhere(void **state) {
    PT_UNUSED(state);
    for (int whole = 0; whole < 2; whole++) {
        scene s;
        scene_start(&s, "a b");
        s.m.devices[0].groups = whole ? FAKE_GROUPS_WHOLE : FAKE_GROUPS_AS_NODES;
        s.m.devices[0].trims = "MatMul ";
        s.m.devices[1].us = 100;
        scene_plan(&s);
        uint32_t row = 0;
        group_of(&s, &row);
        assert_where(&s.b, s.plan, "m", "b");
        assert_int_equal(pt_plan_answer_at(s.plan, row, 0)->can, PTP_NO);
        assert_string_equal(pt_plan_answer_at(s.plan, row, 0)->text, "given back");
        scene_end(&s);
    }
}

static void failed_groups_go_elsewhere(void **state) {
    PT_UNUSED(state);
    scene s;
    pt_plan *next;
    scene_start(&s, "a b");
    s.m.devices[0].groups = FAKE_GROUPS_WHOLE;
    s.m.devices[0].group_us = 1;
    s.m.devices[1].us = 100;
    scene_plan(&s);
    assert_where(&s.b, s.plan, "m", "a");
    s.request.previous = s.plan;
    s.request.demoted = group_of(&s, NULL)->cluster;
    s.request.demoted_reason = PARTITA_REASON_COMPILE;
    s.request.demoted_text = "out of registers";
    OK(pt_plan_create(&s.request, &next));
    for (uint32_t i = 0; i < next->unit_count; i++)
        if (pt_plan_unit_placed(next, i)) assert_int_equal(next->units[i].device, 1);
    pt_plan_destroy(next);
    scene_end(&s);
}

/* ---- many groups ----------------------------------------------------------------------------- */

static uint64_t next(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Quantised values, each made by a group of one or two values before it; now and then a node between. */
static void random_groups(builder *b, uint32_t groups, uint64_t seed) {
    const float scale[] = {0.5f};
    char values[64][8] = {"x"};
    uint32_t count = 1, made = 0;
    build_start(b, 17);
    build_input(b, "x", PARTITA_UINT8, "1000");
    build_floats(b, "s", scale, 1);
    for (uint32_t g = 0; g < groups; g++) {
        char d[8], e[8], m[8], q[8], line[32];
        const char *from = values[next(&seed) % count], *other = values[next(&seed) % count];
        bool two = next(&seed) % 3 != 0;
        snprintf(d, sizeof(d), "d%u", g & 0xff);
        snprintf(e, sizeof(e), "e%u", g & 0xff);
        snprintf(m, sizeof(m), "m%u", g & 0xff);
        snprintf(q, sizeof(q), "q%u", g & 0xff);
        snprintf(line, sizeof(line), "%s s", from);
        build_node(b, "DequantizeLinear", line, d);
        snprintf(line, sizeof(line), "%s s", other);
        if (two) build_node(b, "DequantizeLinear", line, e);
        snprintf(line, sizeof(line), two ? "%s %s" : "%s", d, e);
        build_node(b, two ? (next(&seed) % 2 ? "Add" : "Mul") : "Neg", line, m);
        snprintf(line, sizeof(line), "%s s", m);
        build_node(b, "QuantizeLinear", line, q);
        snprintf(values[count++], sizeof(values[0]), "%s", q);
        if (next(&seed) % 4) continue;
        char n[8];
        snprintf(n, sizeof(n), "n%u", made++);
        build_node(b, "Max", q, n);
        snprintf(values[count++], sizeof(values[0]), "%s", n);
    }
    for (pt_id v = 0; v < b->model->values.size; v++) {
        const pt_value *value = pt_value_at(b->model, v);
        if (value->producer != PT_NONE && !value->uses.size) OK(pt_graph_add_output(b->model, 0, v));
    }
    OK(build_infer(b));
}

static void random_machine(fake_machine *m, uint64_t seed) {
    fake_start(m, "a b* c");
    for (uint32_t d = 0; d < m->count; d++) {
        struct ptp_device *device = &m->devices[d];
        device->us = 2 + (double)(next(&seed) % 10);
        device->spread = next(&seed);
        device->groups = d == 0 ? FAKE_GROUPS_AS_NODES : next(&seed) % 3;
        device->group_us = 4 + (double)(next(&seed) % 60);
        if (d > 0 && next(&seed) % 2) device->refuses = next(&seed) % 2 ? "Neg Max " : "QuantizeLinear Mul ";
        if (d > 0 && next(&seed) % 4 == 0) device->refuses = "*";
    }
}

/* However groups and nodes are placed, parts can be run in some order, and whole groups lie in one. */
static void parts_can_be_ordered(void **state) {
    PT_UNUSED(state);
    uint32_t whole = 0, torn = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        builder b;
        fake_machine m;
        pt_plan *plan, *again;
        char *json, *repeat;
        random_groups(&b, 12, seed);
        random_machine(&m, seed);
        pt_plan_request request = fake_request(&m, b.model);
        request.random = seed % 2;
        request.seed = seed;
        OK(pt_plan_create(&request, &plan));
        fake_check_order(plan);
        assert_true(plan->lower_bound_us <= plan->estimate_us);
        for (uint32_t i = 0; i < plan->unit_count; i++) {
            if (plan->units[i].kind != PTP_UNIT_GROUP) continue;
            whole += !plan->units[i].expanded;
            torn += plan->units[i].expanded;
            if (!plan->units[i].expanded)
                assert_int_equal(pt_plan_answer_at(plan, i, plan->units[i].device)->can, PTP_YES);
        }
        OK(pt_plan_to_json(plan, NULL, &json));
        request.random = false;
        request.plan_json = json;
        OK(pt_plan_create(&request, &again));
        OK(pt_plan_to_json(again, NULL, &repeat));
        assert_string_equal(strstr(json, "\"clusters\""), strstr(repeat, "\"clusters\""));
        pt_free(json);
        pt_free(repeat);
        pt_plan_destroy(plan);
        pt_plan_destroy(again);
        fake_end(&m);
        build_end(&b);
    }
    assert_true(whole > 500 && torn > 100);
}

/* The least estimate of all ways of pinning every node. */
static double least_of_all(const fake_machine *m, const builder *b, uint32_t *out_ways) {
    static char names[32][16];
    pt_plan_pin pins[32];
    uint32_t nodes = (uint32_t)b->model->sources.size, device[32] = {0};
    double least = 1e30;
    for (bool more = true; more;) {
        pt_plan *plan;
        pt_plan_request request = fake_request(m, b->model);
        for (uint32_t i = 0; i < nodes; i++) {
            snprintf(names[i], sizeof(names[i]), "%.*s", PT_STR_ARG(b->model->sources.data[i].name));
            pins[i] = (pt_plan_pin){names[i], m->list[device[i]]->name};
        }
        request.pins = pins;
        request.pin_count = nodes;
        if (pt_plan_create(&request, &plan) == PARTITA_OK) {
            least = PT_MIN(least, plan->estimate_us);
            pt_plan_destroy(plan);
            ++*out_ways;
        }
        more = false;
        for (uint32_t i = 0; i < nodes && !more; i++) {
            more = ++device[i] < m->count;
            if (!more) device[i] = 0;
        }
    }
    return least;
}

static void small_models_are_placed_as_well_as_can_be(void **state) {
    PT_UNUSED(state);
    uint32_t exact = 0, models = 0, ways = 0;
    double gap = 0, worst = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        random_groups(&b, 2, seed);
        random_machine(&m, seed);
        m.count = 2;
        pt_plan_request request = fake_request(&m, b.model);
        OK(pt_plan_create(&request, &plan));
        double least = least_of_all(&m, &b, &ways), over = plan->estimate_us / least - 1;
        assert_true(plan->lower_bound_us <= least * (1 + 1e-9));
        assert_true(over > -1e-9);
        models++;
        exact += over < 1e-9;
        gap += over;
        worst = PT_MAX(worst, over);
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
    print_message("%u of %u as all %u ways, mean %.2f %%, worst %.1f %%\n", exact, models, ways, gap / models * 100,
                  worst * 100);
    assert_true(exact * 100 >= models * 85 && gap / models < 0.02 && worst < 0.4);
}

static void each_allocation_fails(void **state) {
    PT_UNUSED(state);
    builder b;
    fake_machine m;
    pt_plan *plan;
    random_groups(&b, 5, 3);
    random_machine(&m, 5);
    pt_plan_request request = fake_request(&m, b.model);
    pt_alloc_fail_after(-1, false);
    OK(pt_plan_create(&request, &plan));
    uint64_t count = pt_alloc_count();
    for (uint64_t k = 0; k < count; k++) {
        pt_plan *none = NULL;
        pt_alloc_fail_after((int64_t)k, true);
        partita_status status = pt_plan_create(&request, &none);
        pt_alloc_fail_after(-1, false);
        assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        assert_null(none);
    }
    pt_plan_destroy(plan);
    fake_end(&m);
    build_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_found),
        cmocka_unit_test(who_takes_only_groups_gets_one),
        cmocka_unit_test(who_takes_only_pieces_is_composed),
        cmocka_unit_test(what_nobody_takes_whole_is_expanded),
        cmocka_unit_test(groups_are_expanded_where_that_is_cheaper),
        cmocka_unit_test(pins_hold_and_tear_only_where_they_must),
        cmocka_unit_test(pins_that_no_device_can_follow_are_errors),
        cmocka_unit_test(nobody_is_idle),
        cmocka_unit_test(the_last_resort_takes_no_group_that_others_take_of),
        cmocka_unit_test(trimmed_groups_go_elsewhere),
        cmocka_unit_test(failed_groups_go_elsewhere),
        cmocka_unit_test(parts_can_be_ordered),
        cmocka_unit_test(small_models_are_placed_as_well_as_can_be),
        cmocka_unit_test(each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
