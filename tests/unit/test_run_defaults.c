/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs for which the model has a default: constants, unless the application wants to give them. */
#include "run_case.h"
#include <stdio.h>
#include <string.h>

static partita_model *load(partita_context *context, const char *path, const char *const *names, uint32_t count) {
    const partita_model_options options = {.size = sizeof(options), .overridable = names, .overridable_count = count};
    partita_model *model = NULL;
    RUN_CHECK(partita_model_load_file(context, path, &options, &model));
    return model;
}

static partita_session *start(partita_model *model, const char *devices, uint32_t seed) {
    const partita_plan_options options = {
        .size = sizeof(options), .devices = devices, .pin_random = seed > 0, .random_seed = seed};
    partita_plan *plan = NULL;
    partita_session *session = NULL;
    RUN_CHECK(partita_plan_create(model, &options, &plan));
    RUN_CHECK(partita_session_create(plan, NULL, &session));
    partita_plan_destroy(plan);
    return session;
}

static bool has_node(partita_session *session, const char *op) {
    char *json = NULL, want[64];
    RUN_CHECK(partita_session_explain_json(session, &json));
    snprintf(want, sizeof(want), "\"op\":\"%s\"", op);
    const char *at = strstr(json, want);
    bool removed = !at || (strstr(at, "removed_by") && strstr(at, "removed_by\":null") != strstr(at, "removed_by"));
    partita_text_destroy(json);
    return !removed;
}

/* Nobody asks: a constant like any other, folded as one. */
static void test_constants(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    run_case c;
    run_case_load("defaults", &c);
    static const char *const others[] = {"x", "nothing", "k", ""};
    for (uint32_t count = 0; count <= 4; count += 4) {
        partita_model *model = load(context, c.path, others, count);
        assert_int_equal(partita_model_input_count(model), 1);
        assert_int_equal(partita_model_input(model, 0)->has_default, 0);
        partita_session *session = start(model, "cpu", 0);
        assert_false(has_node(session, "Exp"));
        run_once_equal(session, &c);
        partita_session_destroy(session);
        partita_model_destroy(model);
    }
    run_case_free(&c);
    partita_context_destroy(context);
}

static void check(partita_context *context, const char *devices, uint32_t seed) {
    static const char *const all[] = {"*"};
    run_case plain, given;
    run_case_load("defaults", &plain);
    run_case_load("defaults_given", &given);
    partita_model *model = load(context, plain.path, all, 1);
    assert_int_equal(partita_model_input_count(model), 3);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(partita_model_input(model, i)->has_default, i > 0);
    assert_string_equal(partita_model_input(model, 1)->name, "scale");
    partita_session *session = start(model, devices, seed);
    partita_model_destroy(model);
    assert_true(has_node(session, "Exp"));
    plain.input_count = 3; /* NULL: the default */
    for (int i = 0; i < 2; i++) {
        run_once_equal(session, &plain);
        run_once_equal(session, &given);
    }
    const partita_run_options late = {.size = sizeof(late), .deadline_ms = 60000};
    partita_value *output = NULL;
    RUN_CHECK(partita_session_run(session, &late, plain.inputs, 3, &output, 1));
    assert_true(run_case_equal(&plain, &output));
    partita_value_release(output);
    output = NULL;
    /* what has no default must be there, and what is given must fit */
    partita_value *without[3] = {NULL, given.inputs[1], given.inputs[2]};
    assert_int_equal(partita_session_run(session, NULL, without, 3, &output, 1), PARTITA_BAD_INPUT);
    assert_non_null(strstr(partita_last_error(), "input 'x' is missing"));
    partita_value *wrong[3] = {given.inputs[0], given.inputs[0], NULL};
    assert_int_equal(partita_session_run(session, NULL, wrong, 3, &output, 1), PARTITA_BAD_INPUT);
    assert_non_null(strstr(partita_last_error(), "input 'scale'"));
    assert_int_equal(partita_session_run(session, NULL, given.inputs, 1, &output, 1), PARTITA_BAD_INPUT);
    partita_session_destroy(session);
    run_case_free(&plain);
    run_case_free(&given);
}

static void test_overridden(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    check(context, "cpu", 0);
    for (uint32_t seed = 1; seed <= 6; seed++) check(context, "cpu,sim:0,sim:1", seed);
    partita_context_destroy(context);
}

/* One of them only. */
static void test_named(void **state) {
    (void)state;
    static const char *const names[] = {"bias"};
    partita_context *context = run_context(NULL);
    run_case plain;
    run_case_load("defaults", &plain);
    partita_model *model = load(context, plain.path, names, 1);
    assert_int_equal(partita_model_input_count(model), 2);
    assert_string_equal(partita_model_input(model, 1)->name, "bias");
    assert_int_equal(partita_model_input(model, 1)->dims[0], -1);
    partita_session *session = start(model, "cpu", 0);
    assert_false(has_node(session, "Exp"));
    plain.input_count = 2;
    run_once_equal(session, &plain);
    partita_session_destroy(session);
    partita_model_destroy(model);
    run_case_free(&plain);
    partita_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_constants), cmocka_unit_test(test_overridden),
                                       cmocka_unit_test(test_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
