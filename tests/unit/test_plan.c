/* SPDX-License-Identifier: Apache-2.0 */
/* What devices are asked, where pins and last resorts put units, and a plan that is stored and loaded again. */
#include "plan_fake.h"

#include <stdlib.h>

/* ---- asking ---------------------------------------------------------------------------------- */

/* Units that one device is asked about. */
static uint32_t units_asked(builder *b) {
    fake_machine m;
    pt_plan *plan;
    OK(build_infer(b));
    fake_start(&m, "a");
    pt_plan_request request = fake_request(&m, b->model);
    OK(pt_plan_create(&request, &plan));
    assert_int_equal(m.devices[0].asks, 1);
    for (uint32_t i = 0; i < plan->unit_count; i++) assert_int_equal(plan->answers[i].can, PTP_YES);
    pt_plan_destroy(plan);
    fake_end(&m);
    build_end(b);
    return m.devices[0].units_asked;
}

static void equal_units_are_asked_once(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "8");
    build_node(&b, "Relu", "x", "a");
    build_node(&b, "Relu", "a", "b");
    build_node(&b, "Relu", "b", "c");
    build_output(&b, "c");
    /* the first reads an input of the graph, which a device can see */
    assert_int_equal(units_asked(&b), 2);
}

static void unlike_units_are_asked_apart(void **state) {
    PT_UNUSED(state);
    builder b;
    const float small[] = {1, 2}, other[] = {1, 3};
    const int64_t dims[] = {4, 2}, zero[] = {0};
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "4,2");
    build_floats(&b, "k", small, 2);
    build_floats(&b, "l", other, 2);
    build_node(&b, "Relu", "x", "a");                /* 1 */
    build_node(&b, "Mul", "a a", "b");               /* 2: twice the same */
    build_node(&b, "Mul", "a b", "c");               /* 3 */
    build_node(&b, "Mul", "c k", "d");               /* 4 */
    build_node(&b, "Mul", "d l", "e");               /* 5: another constant */
    build_node(&b, "Mul", "e k", "f");               /* as 4 */
    pt_id sum = build_node(&b, "Softmax", "f", "g"); /* 6 */
    build_attr_int(&b, sum, "axis", 0);
    build_node(&b, "Softmax", "g", "h"); /* 7: another axis */
    build_ints(&b, "s", dims, 2);
    build_node(&b, "Reshape", "h s", "i"); /* 8 */
    build_ints(&b, "z", zero, 1);
    build_node(&b, "Unsqueeze", "i z", "j"); /* 9 */
    build_node(&b, "Softmax", "j", "p");     /* 10: another rank */
    build_output(&b, "p");
    assert_int_equal(units_asked(&b), 10);
}

static void conditions_are_resolved(void **state) {
    PT_UNUSED(state);
    for (int fast = 0; fast < 2; fast++)
        for (uint32_t condition = PTP_IF_FAST_PRECISION; condition <= PTP_IF_EXACT_SHAPES; condition++) {
            builder b;
            fake_machine m;
            pt_plan *plan;
            build_start(&b, 17);
            build_input(&b, "x", PARTITA_FLOAT32, "N");
            build_node(&b, "Relu", "x", "y");
            build_output(&b, "y");
            OK(build_infer(&b));
            fake_start(&m, "a b");
            m.devices[0].only_if = "Relu";
            m.devices[0].condition = condition;
            m.devices[1].us = 1000;
            pt_plan_request request = fake_request(&m, b.model);
            request.precision = fast ? PTP_PRECISION_FAST : PTP_PRECISION_EXACT;
            OK(pt_plan_create(&request, &plan));
            bool can = condition == PTP_IF_FAST_PRECISION && fast;
            assert_where(&b, plan, "y", can ? "a" : "b");
            if (!can)
                assert_int_equal(plan->answers[0].reason, condition == PTP_IF_FAST_PRECISION ? PARTITA_REASON_PRECISION
                                                                                             : PARTITA_REASON_DYNAMIC);
            pt_plan_destroy(plan);
            fake_end(&m);
            build_end(&b);
        }
}

/* A device that gives no time, or none that is a number, is priced by its rates. */
static void times_that_are_none_are_replaced(void **state) {
    PT_UNUSED(state);
    const double times[] = {-1, 0.0 / 0.0, 1.0 / 0.0};
    for (size_t i = 0; i < PT_COUNT_OF(times); i++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        fake_random_model(&b, 4, 2, 1);
        fake_start(&m, "a b*");
        m.devices[0].us = m.devices[1].us = times[i];
        pt_plan_request request = fake_request(&m, b.model);
        OK(pt_plan_create(&request, &plan));
        assert_string_equal(plan->answers[0].source, "roofline");
        assert_true(plan->estimate_us > 0 && plan->estimate_us < 1e3);
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
}

/* ---- pins ------------------------------------------------------------------------------------ */

typedef struct pin_case {
    pt_plan_pin pins[3];
    const char *devices; /* of v0 .. v5, as letters */
} pin_case;

static void pins_hold(void **state) {
    PT_UNUSED(state);
    /* v0 Relu, v1 Add, v2 Relu, v3 Add, v4 Relu, v5 Add */
    static const pin_case cases[] = {
        {{{"v2", "b"}}, "aabaaa"},
        {{{"v[0-2]", "b"}}, "bbbaaa"},
        {{{"v", "b"}}, "aaaaaa"}, /* patterns match whole names */
        {{{"op:Add", "b"}}, "ababab"},
        {{{"op:A.*", "b"}}, "ababab"},
        {{{"v.*", "b"}, {"v1", "a"}}, "babbbb"},
        {{{"v1", "a"}, {"v.*", "b"}}, "bbbbbb"}, /* the last one holds */
        {{{"op:Add", "b"}, {"v3", "a"}, {"v[45]", "a"}}, "abaaaa"},
        {{{"v1|v4", "b"}}, "abaaba"},
    };
    for (size_t i = 0; i < PT_COUNT_OF(cases); i++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        char name[] = "v0";
        build_start(&b, 17);
        build_input(&b, "x", PARTITA_FLOAT32, "8");
        const char *before = "x";
        for (int k = 0; k < 6; k++) {
            char inputs[16] = "", output[] = {'v', (char)('0' + k), 0};
            strcat(strcat(strcat(inputs, before), k % 2 ? " " : ""), k % 2 ? before : "");
            build_node(&b, k % 2 ? "Add" : "Relu", inputs, output);
            name[1] = (char)('0' + k);
            before = name;
        }
        build_output(&b, "v5");
        OK(build_infer(&b));
        fake_start(&m, "a b");
        m.devices[1].us = 1000;
        pt_plan_request request = fake_request(&m, b.model);
        request.pins = cases[i].pins;
        while (request.pin_count < 3 && cases[i].pins[request.pin_count].pattern) request.pin_count++;
        OK(pt_plan_create(&request, &plan));
        for (int k = 0; k < 6; k++) {
            const char want[] = {cases[i].devices[k], 0};
            name[1] = (char)('0' + k);
            assert_where(&b, plan, name, want);
        }
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
}

static void wrong_pins_are_errors(void **state) {
    PT_UNUSED(state);
    static const struct {
        pt_plan_pin pin;
        partita_status status;
        const char *says[3];
    } cases[] = {
        {{"v1", "b"}, PARTITA_UNPLACED, {"v1", "b: no", "here"}}, /* the node, the device, its reason */
        {{"v(", "a"}, PARTITA_INVALID_ARGUMENT, {"v(", "", ""}},
        {{"v1", "c"}, PARTITA_DEVICE_ABSENT, {"c", "", ""}},
        {{"v1", "(host)"}, PARTITA_UNPLACED, {"v1", "(host)", ""}},
    };
    for (size_t i = 0; i < PT_COUNT_OF(cases); i++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        fake_random_model(&b, 3, 1, 1);
        fake_start(&m, "a b");
        m.devices[1].refuses = "*";
        pt_plan_request request = fake_request(&m, b.model);
        request.pins = &cases[i].pin;
        request.pin_count = 1;
        assert_int_equal(pt_plan_create(&request, &plan), cases[i].status);
        for (int k = 0; k < 3; k++)
            if (!strstr(pt_last_message(), cases[i].says[k]))
                fail_msg("%s: no %s", pt_last_message(), cases[i].says[k]);
        fake_end(&m);
        build_end(&b);
    }
}

static void keep_message(void *user, int32_t level, const char *message) {
    pt_text *text = user;
    if (level == PARTITA_LOG_WARNING) pt_text_printf(text, "%s\n", message);
}

static void pins_that_match_nothing_are_told(void **state) {
    PT_UNUSED(state);
    static const struct {
        pt_plan_pin pins[3];
        const char *json;
        const char *says[2]; /* "": nothing at all */
    } cases[] = {
        {{{"v1", "a"}, {"v.*", "a"}, {"op:.*", "a"}}, NULL, {"", ""}},
        {{{"v1", "a"}, {"v9", "b"}}, NULL, {"pin-unmatched: pin 'v9=b'", "none of the model's 3 nodes"}},
        {{{"w.*", "a"}, {"op:Conv", "a"}}, NULL, {"pin-unmatched: pin 'w.*=a'", "pin-unmatched: pin 'op:Conv=a'"}},
        {{{"v1", "b"}, {"v1", "a"}}, NULL, {"", ""}}, /* the first one is overruled, and matches */
        {{{"gone", "a"}}, NULL, {"pin 'gone=a' matches only nodes that passes removed", "'gone' by dead"}},
        {{{NULL, NULL}},
         "{\"schema\": 1, \"nodes\": [{\"name\": \"v0\", \"device\": \"b\"}, {\"name\": \"u\", \"device\": \"a\"}]}",
         {"plan-node-unknown: 1 nodes of the saved plan, first 'u'", "--plan"}},
        {{{NULL, NULL}},
         "{\"schema\": 1, \"nodes\": [{\"name\": \"v0\", \"device\": \"b\"}]}",
         {"plan-node-missing: 2 nodes of the model, first 'v1'", "--plan"}},
    };
    for (size_t i = 0; i < PT_COUNT_OF(cases); i++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        pt_text told = {0};
        uint32_t source;
        fake_random_model(&b, 3, 1, 1);
        fake_start(&m, "a b");
        pt_plan_request request = fake_request(&m, b.model);
        request.pins = cases[i].pins;
        while (request.pin_count < 3 && cases[i].pins[request.pin_count].pattern) request.pin_count++;
        request.plan_json = cases[i].json;
        if (strcmp(cases[i].pins[0].pattern ? cases[i].pins[0].pattern : "", "gone") == 0) {
            OK(pt_model_add_source(b.model, PT_STR("gone"), PT_STR("Relu"), PT_STR(""), &source));
            b.model->sources.data[source].removed_by = "dead";
        }
        pt_log_set(keep_message, &told);
        OK(pt_plan_create(&request, &plan));
        pt_log_set(NULL, NULL);
        const char *text = told.data ? told.data : "";
        if (!cases[i].says[0][0]) assert_string_equal(text, "");
        for (int k = 0; k < 2; k++)
            if (!strstr(text, cases[i].says[k])) fail_msg("\"%s\": no %s", text, cases[i].says[k]);
        pt_text_deinit(&told);
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
}

static void nobody_takes_it(void **state) {
    PT_UNUSED(state);
    builder b;
    fake_machine m;
    pt_plan *plan;
    fake_random_model(&b, 3, 1, 1);
    fake_start(&m, "a b*");
    m.devices[0].refuses = m.devices[1].refuses = "*";
    pt_plan_request request = fake_request(&m, b.model);
    for (int random = 0; random < 2; random++) {
        request.random = random;
        assert_int_equal(pt_plan_create(&request, &plan), PARTITA_UNPLACED);
        assert_non_null(strstr(pt_last_message(), "a: no "));
        assert_non_null(strstr(pt_last_message(), "b: no "));
    }
    fake_end(&m);
    build_end(&b);
}

/* ---- last resort ----------------------------------------------------------------------------- */

static void the_last_resort_takes_what_nobody_takes(void **state) {
    PT_UNUSED(state);
    for (int random = 0; random < 2; random++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        build_start(&b, 17);
        build_input(&b, "x", PARTITA_FLOAT32, "8");
        build_node(&b, "Relu", "x", "y");
        build_node(&b, "Sigmoid", "y", "z");
        build_node(&b, "Relu", "z", "w");
        build_output(&b, "w");
        OK(build_infer(&b));
        fake_start(&m, "a cpu");
        m.devices[0].refuses = "Sigmoid";
        m.devices[0].us = 1e6; /* however dear it is */
        pt_plan_request request = fake_request(&m, b.model);
        request.fallback = 1;
        request.random = random;
        OK(pt_plan_create(&request, &plan));
        assert_where(&b, plan, "y", "a");
        assert_where(&b, plan, "z", "cpu");
        assert_where(&b, plan, "w", "a");
        pt_plan_destroy(plan);
        const pt_plan_pin pin = {"y", "cpu"};
        request.pins = &pin;
        request.pin_count = 1;
        OK(pt_plan_create(&request, &plan));
        assert_where(&b, plan, "y", "cpu");
        assert_where(&b, plan, "w", "a");
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
}

/* ---- at random ------------------------------------------------------------------------------- */

static bool same_places(const pt_plan *a, const pt_plan *b) {
    for (uint32_t i = 0; i < a->unit_count; i++)
        if (a->units[i].device != b->units[i].device) return false;
    return a->unit_count == b->unit_count;
}

static void random_places_repeat_and_nobody_is_idle(void **state) {
    PT_UNUSED(state);
    for (uint64_t seed = 0; seed < 200; seed++) {
        builder b;
        fake_machine m;
        pt_plan *plan, *again;
        fake_random_model(&b, 4 + (uint32_t)seed % 5, 3, seed);
        fake_start(&m, "a b* c* d");
        m.devices[3].us = 1e5;
        if (seed % 2) m.devices[2].refuses = "Relu Add";
        const pt_plan_pin pin = {"v1", "a"};
        pt_plan_request request = fake_request(&m, b.model);
        request.random = true;
        request.seed = seed;
        request.pins = &pin;
        request.pin_count = 1;
        OK(pt_plan_create(&request, &plan));
        OK(pt_plan_create(&request, &again));
        assert_true(same_places(plan, again));
        assert_where(&b, plan, "v1", "a");
        for (uint32_t d = 0; d < m.count; d++) {
            uint32_t units = 0, willing = 0;
            for (uint32_t i = 0; i < plan->unit_count; i++) {
                units += plan->units[i].device == d;
                willing += pt_plan_answer_at(plan, i, d)->can == PTP_YES && plan->units[i].nodes[0] != 1;
            }
            /* c may find no unit that another device can spare when it takes few */
            if (willing > 3) assert_true(units > 0);
        }
        assert_true(plan->lower_bound_us > 0 && plan->lower_bound_us <= plan->estimate_us);
        fake_check_order(plan);
        pt_plan_destroy(plan);
        pt_plan_destroy(again);
        fake_end(&m);
        build_end(&b);
    }
}

/* ---- prices ---------------------------------------------------------------------------------- */

/* Small values cross by two copies, large ones by a handle: the estimate knows both, as the edges do. */
static void links_are_priced_for_every_size(void **state) {
    PT_UNUSED(state);
    static const struct {
        const char *dims;
        bool import;
        double least, most;
    } cases[] = {{"64", false, 4 * 6 + 22, 4 * 6 + 23}, {"1000000", true, 2 * 4005 + 50 + 22, 2 * 4006 + 50 + 22}};
    for (size_t i = 0; i < PT_COUNT_OF(cases); i++) {
        builder b;
        fake_machine m;
        pt_plan *plan;
        build_start(&b, 17);
        build_input(&b, "x", PARTITA_FLOAT32, cases[i].dims);
        build_node(&b, "Relu", "x", "y");
        build_node(&b, "Sigmoid", "y", "z");
        build_output(&b, "z");
        OK(build_infer(&b));
        fake_start(&m, "a* b*");
        fake_join(&m, 50);
        m.devices[0].refuses = "Sigmoid ";
        m.devices[1].refuses = "Relu ";
        pt_plan_request request = fake_request(&m, b.model);
        OK(pt_plan_create(&request, &plan));
        assert_in_range((int64_t)plan->estimate_us, (int64_t)cases[i].least, (int64_t)cases[i].most);
        bool import = false;
        for (uint32_t e = 0; e < plan->edge_count; e++) import |= plan->edges[e].route == PTP_ROUTE_IMPORT;
        assert_int_equal(import, cases[i].import);
        pt_plan_destroy(plan);
        fake_end(&m);
        build_end(&b);
    }
}

/* ---- stored ---------------------------------------------------------------------------------- */

static void stored_plans_place_the_same(void **state) {
    PT_UNUSED(state);
    for (uint64_t seed = 1; seed < 20; seed++) {
        builder b;
        fake_machine m;
        pt_plan *plan, *again;
        char *json, *repeat;
        fake_random_model(&b, 30, 4, seed);
        fake_start(&m, "a b* c*");
        pt_plan_request request = fake_request(&m, b.model);
        request.random = true;
        request.seed = seed;
        OK(pt_plan_create(&request, &plan));
        OK(pt_plan_to_json(plan, NULL, &json));
        request = fake_request(&m, b.model);
        request.plan_json = json;
        OK(pt_plan_create(&request, &again));
        assert_true(same_places(plan, again));
        assert_string_equal(again->candidate, "given");
        assert_true(plan->estimate_us == again->estimate_us);
        OK(pt_plan_to_json(again, NULL, &repeat));
        assert_string_equal(strstr(json, "\"clusters\""), strstr(repeat, "\"clusters\""));
        pt_arena arena = {0};
        const char *list;
        OK(pt_plan_json_devices(json, &arena, &list));
        assert_string_equal(list, "a,b,c");
        pt_arena_deinit(&arena);
        pt_free(json);
        pt_free(repeat);
        pt_plan_destroy(plan);
        pt_plan_destroy(again);
        fake_end(&m);
        build_end(&b);
    }
}

static void what_is_no_plan_is_refused(void **state) {
    PT_UNUSED(state);
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "3",
                                        "{\"schema\": 2, \"nodes\": []}",
                                        "{\"schema\": 1}",
                                        "{\"schema\": 1, \"nodes\": [{}]}",
                                        "{\"schema\": 1, \"nodes\": [3]}",
                                        "{\"schema\": 1, \"nodes\": {\"name\": \"v0\"}}"};
    builder b;
    fake_machine m;
    pt_plan *plan;
    fake_random_model(&b, 3, 1, 1);
    fake_start(&m, "a");
    pt_plan_request request = fake_request(&m, b.model);
    for (size_t i = 0; i < PT_COUNT_OF(texts); i++) {
        request.plan_json = texts[i];
        assert_int_equal(pt_plan_create(&request, &plan), PARTITA_BAD_INPUT);
    }
    request.plan_json = "{\"schema\": 1, \"nodes\": [{\"name\": \"v0\", \"device\": \"z\"}]}";
    assert_int_equal(pt_plan_create(&request, &plan), PARTITA_DEVICE_ABSENT);
    request.plan_json = "{\"schema\": 1, \"nodes\": [{\"name\": \"v0\", \"device\": null}, {\"name\": \"gone\"}]}";
    OK(pt_plan_create(&request, &plan));
    pt_plan_destroy(plan);
    fake_end(&m);
    build_end(&b);
}

/* Names that are no UTF-8 are told as well as they can be. */
static void odd_names_keep_their_rows(void **state) {
    PT_UNUSED(state);
    builder b;
    fake_machine m;
    pt_plan *plan;
    char *json;
    build_start(&b, 17);
    build_input(&b, "x\xff", PARTITA_FLOAT32, "8");
    build_node(&b, "Relu", "x\xff", "bad\xc3");
    build_output(&b, "bad\xc3");
    OK(build_infer(&b));
    fake_start(&m, "a* b");
    m.devices[1].refuses = "*";
    pt_plan_request request = fake_request(&m, b.model);
    OK(pt_plan_create(&request, &plan));
    OK(pt_plan_to_json(plan, NULL, &json));
    assert_non_null(strstr(json, "\"name\":\"bad?\""));
    assert_non_null(strstr(json, "\"value\":\"x?\""));
    assert_non_null(strstr(json, "\"shapes\":{\"x?\":[8]}"));
    pt_free(json);
    pt_plan_destroy(plan);
    fake_end(&m);
    build_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_units_are_asked_once),
        cmocka_unit_test(unlike_units_are_asked_apart),
        cmocka_unit_test(conditions_are_resolved),
        cmocka_unit_test(times_that_are_none_are_replaced),
        cmocka_unit_test(pins_hold),
        cmocka_unit_test(wrong_pins_are_errors),
        cmocka_unit_test(pins_that_match_nothing_are_told),
        cmocka_unit_test(nobody_takes_it),
        cmocka_unit_test(the_last_resort_takes_what_nobody_takes),
        cmocka_unit_test(random_places_repeat_and_nobody_is_idle),
        cmocka_unit_test(links_are_priced_for_every_size),
        cmocka_unit_test(stored_plans_place_the_same),
        cmocka_unit_test(what_is_no_plan_is_refused),
        cmocka_unit_test(odd_names_keep_their_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
