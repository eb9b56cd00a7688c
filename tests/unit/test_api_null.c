/* SPDX-License-Identifier: Apache-2.0 */
/* The application's API given no pointer where one is needed: a status that says so, or nothing, but no crash. */
#include "run_case.h"
#include <string.h>

#define REFUSED(call)                                                                                                  \
    do {                                                                                                               \
        assert_int_equal(call, PARTITA_INVALID_ARGUMENT);                                                              \
        assert_string_equal(partita_last_error(), "a pointer is NULL");                                                \
    } while (0)

static void test_context(void **state) {
    (void)state;
    partita_context *context;
    const partita_option nameless = {NULL, "1"};
    const char *const no_path = NULL;
    partita_context_options options = {.size = sizeof(options), .plugin_path_count = 1};
    REFUSED(partita_context_create(NULL, NULL));
    REFUSED(partita_context_create(&options, &context));
    options.plugin_paths = &no_path;
    REFUSED(partita_context_create(&options, &context));
    options = (partita_context_options){.size = sizeof(options), .option_count = 1};
    REFUSED(partita_context_create(&options, &context));
    options.options = &nameless;
    REFUSED(partita_context_create(&options, &context));
    const partita_device_info *devices;
    context = run_context(NULL);
    REFUSED(partita_context_devices(context, &devices, NULL));
    REFUSED(partita_context_plugins(NULL, NULL, NULL));
    REFUSED(partita_context_options_of(context, NULL, NULL));
    partita_context_destroy(context);
    partita_context_destroy(NULL);
}

static void test_models_and_plans(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    partita_model *model;
    partita_plan *plan;
    char *text;
    run_case c;
    run_case_load("branches", &c);
    partita_model_options overridable = {.size = sizeof(overridable), .overridable_count = 1};
    REFUSED(partita_model_load_file(context, NULL, NULL, &model));
    REFUSED(partita_model_load_file(context, c.path, &overridable, &model));
    REFUSED(partita_model_load_memory(context, NULL, 4, NULL, &model));
    RUN_CHECK(partita_model_load_file(context, c.path, NULL, &model));
    REFUSED(partita_model_inspect(model, NULL));
    assert_int_equal(partita_model_input_count(NULL) + partita_model_output_count(NULL), 0);
    assert_null(partita_model_input(NULL, 0));
    assert_null(partita_model_metadata(model, NULL));
    const char *key = "k", *value = "v";
    partita_model_metadata_at(model, 1000, &key, &value);
    assert_true(!key && !value);
    const partita_pin pin = {"a", NULL};
    const partita_dim dim = {NULL, 1};
    const partita_input_shape shape = {"x", 2, 0, NULL};
    partita_plan_options options = {.size = sizeof(options), .devices = "cpu", .pin_count = 1, .pins = &pin};
    REFUSED(partita_plan_create(model, &options, &plan));
    options.pins = NULL;
    REFUSED(partita_plan_create(model, &options, &plan));
    options = (partita_plan_options){.size = sizeof(options), .devices = "cpu", .dim_count = 1, .dims = &dim};
    REFUSED(partita_plan_create(model, &options, &plan));
    options = (partita_plan_options){.size = sizeof(options), .devices = "cpu", .shape_count = 1, .shapes = &shape};
    REFUSED(partita_plan_create(model, &options, &plan));
    REFUSED(partita_plan_create(NULL, NULL, &plan));
    REFUSED(partita_plan_json(NULL, &text));
    REFUSED(partita_plan_print(NULL, 0, &text));
    REFUSED(partita_plan_dot(NULL, &text));
    REFUSED(partita_plan_svg(NULL, &text));
    assert_true(partita_plan_estimate_us(NULL) == 0);
    partita_model_destroy(model);
    run_case_free(&c);
    partita_context_destroy(context);
}

static void test_sessions(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    partita_request *request;
    partita_counters counters = {.size = sizeof(counters)};
    partita_device_usage usage = {.size = sizeof(usage)};
    char *text;
    run_case c;
    run_case_load("branches", &c);
    partita_session *session = run_session(context, c.path, "cpu", 0);
    partita_value *outputs[2] = {NULL};
    REFUSED(partita_session_create(NULL, NULL, &session));
    REFUSED(partita_session_run(NULL, NULL, c.inputs, 1, outputs, 2));
    REFUSED(partita_session_run(session, NULL, NULL, 1, outputs, 2));
    REFUSED(partita_session_run(session, NULL, c.inputs, 1, NULL, 2));
    REFUSED(partita_request_start(session, NULL, c.inputs, 1, NULL, 2, NULL));
    REFUSED(partita_request_start(session, NULL, NULL, 1, NULL, 2, &request));
    REFUSED(partita_request_wait(NULL, 1));
    assert_null(partita_request_output(NULL, 0));
    partita_request_cancel(NULL);
    partita_request_destroy(NULL);
    REFUSED(partita_session_explain_json(session, NULL));
    REFUSED(partita_session_explain_print(NULL, &text));
    REFUSED(partita_session_device(NULL, 0, &usage));
    REFUSED(partita_session_device(session, 0, NULL));
    REFUSED(partita_session_edge(session, 0, NULL));
    partita_session_counters(NULL, &counters);
    partita_session_counters(session, NULL);
    run_once_equal(session, &c);
    partita_session_destroy(session);
    partita_session_destroy(NULL);
    run_case_free(&c);
    partita_context_destroy(context);
}

static void test_values(void **state) {
    (void)state;
    const int64_t dims[2] = {2, 2};
    partita_value *value, *made;
    partita_value_view view;
    REFUSED(partita_value_create(PARTITA_FLOAT32, 2, NULL, NULL, &made));
    REFUSED(partita_value_create(PARTITA_FLOAT32, 2, dims, NULL, NULL));
    REFUSED(partita_value_create_borrowed(PARTITA_FLOAT32, 2, dims, NULL, 16, &made));
    REFUSED(partita_value_create_strings(2, dims, NULL, &made));
    REFUSED(partita_value_create_sparse(2, NULL, NULL, NULL, &made));
    REFUSED(partita_value_create_container(PARTITA_KIND_SEQUENCE, PARTITA_FLOAT32, NULL, 0, NULL));
    REFUSED(partita_value_create_on_device(NULL, "cpu", PARTITA_FLOAT32, 2, dims, &made));
    assert_int_equal(partita_value_create_container(PARTITA_KIND_SEQUENCE, PARTITA_FLOAT32, NULL, 3, &made),
                     PARTITA_INVALID_ARGUMENT);
    RUN_CHECK(partita_value_create(PARTITA_FLOAT32, 2, dims, NULL, &value));
    REFUSED(partita_value_read(value, NULL, 16));
    REFUSED(partita_value_write(value, NULL, 16));
    REFUSED(partita_value_view_of(NULL, &view));
    REFUSED(partita_value_view_of(value, NULL));
    assert_null(partita_value_item(NULL, 0));
    partita_value_release(value);
    partita_value_retain(NULL);
    partita_value_release(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_context), cmocka_unit_test(test_models_and_plans),
                                       cmocka_unit_test(test_sessions), cmocka_unit_test(test_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
