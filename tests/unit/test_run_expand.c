/* SPDX-License-Identifier: Apache-2.0 */
/* A device fails with an operator that no other device has: its body goes to the others, and the answer is right. */
#include "base/base.h"
#include "run_case.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUNCTIONS "MeanVarianceNormalization,HardSwish"

static partita_status start(partita_context *context, const run_case *c, const char *devices, const partita_pin *pins,
                            uint32_t pin_count, bool strict, partita_session **out_session) {
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_plan_options options = {
        .size = sizeof(options), .devices = devices, .pins = pins, .pin_count = pin_count, .strict = strict};
    *out_session = NULL;
    RUN_CHECK(partita_model_load_file(context, c->path, NULL, &model));
    RUN_CHECK(partita_plan_create(model, &options, &plan));
    partita_status status = partita_session_create(plan, NULL, out_session);
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    return status;
}

static partita_status run(partita_session *session, const run_case *c) {
    partita_value *outputs[CASE_MOST] = {NULL};
    partita_status status = partita_session_run(session, NULL, c->inputs, c->input_count, outputs, c->output_count);
    if (status == PARTITA_OK) assert_true(run_case_equal(c, outputs));
    for (uint32_t i = 0; i < CASE_MOST; i++) partita_value_release(outputs[i]);
    return status;
}

/* Where the demoted operator is now, as people are told: under its own name, on the other device. */
static void check_placement(partita_session *session, const char *op, const char *device) {
    char *json = NULL, name[128];
    RUN_CHECK(partita_session_explain_json(session, &json));
    snprintf(name, sizeof(name), "\"op\":\"%s\",\"domain\":\"\",\"device\":\"%s\"", op, device);
    if (!strstr(json, name)) fail_msg("%s", json);
    assert_non_null(strstr(json, "\"demotions\":[{"));
    partita_text_destroy(json);
}

static void check(const char *name, const char *key, const char *value, const char *async) {
    static const partita_pin pins[] = {{"op:MeanVarianceNormalization|op:HardSwish", "sim:0"}};
    run_case c;
    run_case_load(name, &c);
    for (uint32_t pinned = 0; pinned < 2; pinned++) {
        for (uint32_t strict = 0; strict < 2; strict++) {
            partita_context *context = run_context(key, value, "sim:0.async", async, "sim:1.not_ops", FUNCTIONS, NULL);
            partita_session *session;
            partita_status status = start(context, &c, "sim:0,sim:1", pins, pinned, strict, &session);
            for (int i = 0; i < 3 && status == PARTITA_OK; i++) status = run(session, &c);
            if (strict) {
                assert_int_equal(partita_status_exit_code(status), 4);
            } else {
                if (status != PARTITA_OK) fail_msg("%s, %s: %s", name, key, partita_last_error());
                assert_true(run_counters(session).demotions > 0);
                check_placement(session, "MeanVarianceNormalization", "sim:1");
            }
            partita_session_destroy(session);
            partita_context_destroy(context);
        }
    }
    run_case_free(&c);
}

static void test_ways(void **state) {
    (void)state;
    static const char *const ways[][2] = {{"sim:0.fail_compile", FUNCTIONS},
                                          {"sim:0.fail_exec", "1"},
                                          {"sim:0.fail_resize", "1"},
                                          {"sim:0.most_elements", "4"}};
    for (size_t i = 0; i < PT_COUNT_OF(ways); i++)
        for (int async = 0; async < 2; async++) {
            check("function", ways[i][0], ways[i][1], async ? "1" : "0");
            check("function_body", ways[i][0], ways[i][1], async ? "1" : "0");
        }
}

/* A second device fails in the model that was expanded: a third one takes it, and nothing goes back to the first. */
static void test_again(void **state) {
    (void)state;
    static const partita_pin pins[] = {{"op:Exp", "sim:1"}};
    static const char *const ways[][2] = {{"sim:1.fail_compile", "Exp"}, {"sim:1.fail_exec", "1"}};
    char path[] = "/tmp/partita_machine_XXXXXX";
    int file = mkstemp(path);
    FILE *machine = file < 0 ? NULL : fdopen(file, "w");
    assert_non_null(machine);
    fputs("[device]\n[device]\nnot_ops = " FUNCTIONS "\n[device]\nnot_ops = " FUNCTIONS "\n", machine);
    fclose(machine);
    setenv("PARTITA_SIM_MACHINE", path, 1);
    run_case c;
    run_case_load("function", &c);
    for (size_t i = 0; i < PT_COUNT_OF(ways); i++) {
        partita_context *context = run_context("sim:0.fail_compile", FUNCTIONS, ways[i][0], ways[i][1], NULL);
        partita_session *session;
        RUN_CHECK(start(context, &c, "sim:0,sim:1,sim:2", pins, 1, false, &session));
        for (int k = 0; k < 2; k++) RUN_CHECK(run(session, &c));
        assert_int_equal(run_counters(session).demotions, 2);
        check_placement(session, "HardSwish", "sim:2");
        partita_session_destroy(session);
        partita_context_destroy(context);
    }
    run_case_free(&c);
    unsetenv("PARTITA_SIM_MACHINE");
    unlink(path);
}

/* What the first failed with does not come back to it in pieces: nobody is left, and the cause is told. */
static void test_nobody_left(void **state) {
    (void)state;
    static const char *const others[] = {"MeanVarianceNormalization,HardSwish,ReduceMean", "MeanVarianceNormalization"};
    run_case c;
    run_case_load("function", &c);
    for (int i = 0; i < 2; i++) {
        partita_context *context = run_context("sim:0.fail_compile", FUNCTIONS, "sim:1.not_ops", others[i],
                                               "sim:1.fail_compile", i ? "ReduceMean" : "none", NULL);
        partita_session *session;
        partita_status status = start(context, &c, "sim:0,sim:1", NULL, 0, false, &session);
        assert_int_equal(partita_status_exit_code(status), 4);
        assert_non_null(strstr(partita_last_error(), i ? "sim:1" : "sim:0"));
        assert_null(session);
        partita_context_destroy(context);
    }
    run_case_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ways), cmocka_unit_test(test_again),
                                       cmocka_unit_test(test_nobody_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
