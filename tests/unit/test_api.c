/* SPDX-License-Identifier: Apache-2.0 */
/* The application's API: what is refused and how it is said, bound and device tensors, deadlines, counters, demotions.
 */
#include "run_case.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void assert_error(partita_status status, partita_status want, const char *words) {
    assert_int_equal(status, want);
    if (strstr(partita_last_error(), words)) return;
    print_error("\"%s\" does not say \"%s\"\n", partita_last_error(), words);
    fail();
}

static partita_value *floats(uint32_t rank, const int64_t *dims) {
    partita_value *value = NULL;
    RUN_CHECK(partita_value_create(PARTITA_FLOAT32, rank, dims, NULL, &value));
    return value;
}

static partita_status run_one(partita_session *session, partita_value *input) {
    partita_value *outputs[2] = {NULL};
    partita_status status = partita_session_run(session, NULL, &input, 1, outputs, 2);
    if (status != PARTITA_OK) {
        assert_null(outputs[0]);
        assert_null(outputs[1]);
    }
    partita_value_release(outputs[0]);
    partita_value_release(outputs[1]);
    return status;
}

static void test_bad_inputs(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    run_case c;
    run_case_load("branches", &c);
    partita_session *session = run_session(context, c.path, "cpu", 0);
    const int64_t narrow[2] = {3, 7}, deep[3] = {1, 3, 8}, fine[2] = {2, 8}, empty[2] = {0, 8};
    partita_value *value = floats(2, narrow);
    assert_error(run_one(session, value), PARTITA_BAD_INPUT, "input 'x'");
    partita_value_release(value);
    value = floats(3, deep);
    assert_error(run_one(session, value), PARTITA_BAD_INPUT, "input 'x'");
    partita_value_release(value);
    RUN_CHECK(partita_value_create(PARTITA_INT64, 2, fine, NULL, &value));
    assert_error(run_one(session, value), PARTITA_BAD_INPUT, "element type int64, expected float32");
    partita_value_release(value);
    assert_error(run_one(session, NULL), PARTITA_BAD_INPUT, "input 'x' is missing");
    partita_value *outputs[2] = {NULL};
    assert_error(partita_session_run(session, NULL, NULL, 0, outputs, 2), PARTITA_BAD_INPUT, "0 inputs, expected 1");
    assert_error(partita_session_run(session, NULL, c.inputs, 1, outputs, 1), PARTITA_INVALID_ARGUMENT, "outputs");
    value = floats(2, empty);
    RUN_CHECK(run_one(session, value));
    partita_value_release(value);
    run_once_equal(session, &c); /* the session is as good as before */
    partita_session_destroy(session);
    run_case_free(&c);
    partita_context_destroy(context);
}

static void test_unaligned_and_bound(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    run_case c;
    run_case_load("branches", &c);
    partita_value_view x, y;
    RUN_CHECK(partita_value_view_of(c.inputs[0], &x));
    RUN_CHECK(partita_value_view_of(c.outputs[0], &y));
    char *in = malloc(x.bytes + 1), *out = malloc(y.bytes + 1);
    memcpy(in + 1, x.data, x.bytes);
    static const char *const devices[] = {"cpu", "cpu,sim:0"};
    for (uint32_t d = 0; d < 2; d++) {
        partita_session *session = run_session(context, c.path, devices[d], d);
        partita_value *input = NULL, *outputs[2] = {NULL};
        RUN_CHECK(partita_value_create_borrowed(PARTITA_FLOAT32, x.rank, x.dims, in + 1, x.bytes, &input));
        RUN_CHECK(partita_value_create_borrowed(PARTITA_FLOAT32, y.rank, y.dims, out + 1, y.bytes, &outputs[0]));
        partita_value *bound = outputs[0];
        memset(out, 0, y.bytes + 1);
        RUN_CHECK(partita_session_run(session, NULL, &input, 1, outputs, 2));
        assert_ptr_equal(outputs[0], bound);
        assert_true(run_case_equal(&c, outputs));
        partita_value_release(outputs[1]);
        outputs[1] = NULL;
        const int64_t wrong[2] = {4, 4};
        partita_value *small = floats(2, wrong);
        partita_value *badly[2] = {small, NULL};
        assert_error(partita_session_run(session, NULL, &input, 1, badly, 2), PARTITA_INVALID_ARGUMENT, "output 'y'");
        partita_value_release(small);
        partita_value_release(bound);
        partita_value_release(input);
        partita_session_destroy(session);
    }
    free(in);
    free(out);
    run_case_free(&c);
    partita_context_destroy(context);
}

static uint64_t bytes_copied(partita_session *session) {
    partita_counters counters = {.size = sizeof(counters)};
    partita_session_counters(session, &counters);
    return counters.bytes_copied;
}

/* A device's own tensors go in and out without a copy. */
static void test_device_tensors(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    run_case c;
    run_case_load("branches", &c);
    partita_value_view x, y, h;
    RUN_CHECK(partita_value_view_of(c.inputs[0], &x));
    RUN_CHECK(partita_value_view_of(c.outputs[0], &y));
    RUN_CHECK(partita_value_view_of(c.outputs[1], &h));
    partita_session *session = run_session(context, c.path, "sim:0", 0);
    partita_value *input = NULL, *outputs[2] = {NULL};
    RUN_CHECK(partita_value_create_on_device(context, "sim:0", PARTITA_FLOAT32, x.rank, x.dims, &input));
    RUN_CHECK(partita_value_write(input, x.data, x.bytes));
    RUN_CHECK(partita_value_create_on_device(context, "sim:0", PARTITA_FLOAT32, y.rank, y.dims, &outputs[0]));
    RUN_CHECK(partita_session_run(session, NULL, &input, 1, outputs, 2));
    assert_true(run_case_equal(&c, outputs));
    assert_int_equal(bytes_copied(session), y.bytes + h.bytes); /* y within the device, h to the host */
    for (int i = 0; i < 2; i++) partita_value_release(outputs[i]);
    /* on another device than the consumer's it is brought there */
    outputs[0] = outputs[1] = NULL;
    partita_session *elsewhere = run_session(context, c.path, "cpu,sim:1", 2);
    RUN_CHECK(partita_session_run(elsewhere, NULL, &input, 1, outputs, 2));
    assert_true(run_case_equal(&c, outputs));
    for (int i = 0; i < 2; i++) partita_value_release(outputs[i]);
    partita_value_release(input);
    partita_session_destroy(elsewhere);
    partita_session_destroy(session);
    run_case_free(&c);
    partita_context_destroy(context);
}

/* A hundred sizes of one dim: planned and compiled once. */
static void test_symbolic_dims(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    run_case c;
    run_case_load("branches", &c);
    partita_session *session = run_session(context, c.path, "cpu,sim:0", 1);
    partita_counters counters = {.size = sizeof(counters)};
    for (int round = 0; round < 2; round++)
        for (int64_t n = 1; n <= 100; n++) {
            const int64_t dims[2] = {n, 8};
            partita_value *value = floats(2, dims);
            RUN_CHECK(run_one(session, value));
            partita_value_release(value);
        }
    partita_session_counters(session, &counters);
    assert_int_equal(counters.plans, 1);
    assert_int_equal(counters.compiles, counters.parts);
    assert_int_equal(counters.resizes, 100);
    assert_int_equal(counters.runs, 200);
    run_once_equal(session, &c);
    partita_session_destroy(session);
    run_case_free(&c);
    partita_context_destroy(context);
}

static void test_deadline_and_cancel(void **state) {
    (void)state;
    partita_context *context = run_context("sim:0.launch_us", "400000", NULL);
    run_case c;
    run_case_load("branches", &c);
    partita_session *session = run_session(context, c.path, "sim:0", 0);
    partita_run_options options = {.size = sizeof(options), .deadline_ms = 20};
    partita_value *outputs[2] = {NULL};
    assert_error(partita_session_run(session, &options, c.inputs, 1, outputs, 2), PARTITA_DEADLINE, "deadline");
    assert_null(outputs[0]);
    partita_request *request = NULL;
    RUN_CHECK(partita_request_start(session, NULL, c.inputs, 1, NULL, 2, &request));
    assert_error(partita_request_wait(request, 10), PARTITA_DEADLINE, "still running");
    assert_null(partita_request_output(request, 0));
    partita_request_cancel(request);
    assert_error(partita_request_wait(request, UINT64_MAX), PARTITA_CANCELLED, "cancelled");
    partita_request_destroy(request);
    RUN_CHECK(partita_request_start(session, NULL, c.inputs, 1, NULL, 2, &request));
    partita_request_destroy(request); /* cancels and waits */
    run_once_equal(session, &c);
    partita_session_destroy(session);
    run_case_free(&c);
    partita_context_destroy(context);
}

static partita_status make_session(partita_context *context, const char *path, uint32_t seed, uint32_t strict,
                                   partita_session **out_session) {
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_plan_options options = {
        .size = sizeof(options), .devices = "cpu,sim:0", .strict = strict, .pin_random = 1, .random_seed = seed};
    RUN_CHECK(partita_model_load_file(context, path, NULL, &model));
    partita_status status = partita_plan_create(model, &options, &plan);
    if (status == PARTITA_OK) status = partita_session_create(plan, NULL, out_session);
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    return status;
}

/* Demotions of one session whose device fails in this way; the numbers are right all the same. */
static uint64_t run_demoted(const char *const *failure, const run_case *c, uint32_t seed) {
    partita_context *context = run_context(failure[0], failure[1], NULL);
    partita_session *session = NULL;
    partita_counters counters = {.size = sizeof(counters)};
    RUN_CHECK(make_session(context, c->path, seed, 0, &session));
    run_once_equal(session, c);
    partita_session_counters(session, &counters);
    assert_int_equal(counters.plans, 1 + counters.demotions);
    partita_session_destroy(session);
    partita_context_destroy(context);
    return counters.demotions;
}

/* What a device cannot compile, or fails to run, goes to another one; strict: it is an error. */
static void test_demotion(void **state) {
    (void)state;
    static const char *const failures[][2] = {
        {"sim:0.fail_compile", "Exp"}, {"sim:0.fail_exec", "1"}, {"sim:0.lost", "1"}};
    run_case c;
    run_case_load("branches", &c);
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        uint32_t demoted = 0;
        for (uint32_t seed = 1; seed <= 6; seed++) {
            if (run_demoted(failures[i], &c, seed) == 0) continue;
            demoted++;
            partita_value *outputs[2] = {NULL};
            partita_session *session = NULL;
            partita_context *context = run_context(failures[i][0], failures[i][1], NULL);
            partita_status status = make_session(context, c.path, seed, 1, &session);
            if (status == PARTITA_OK) {
                status = partita_session_run(session, NULL, c.inputs, 1, outputs, 2);
                partita_session_destroy(session);
            }
            assert_int_equal(partita_status_exit_code(status), 4);
            assert_non_null(strstr(partita_last_error(), "sim:0"));
            assert_non_null(strstr(partita_last_error(), "node '"));
            partita_context_destroy(context);
        }
        assert_true(demoted > 0);
    }
    run_case_free(&c);
}

static void test_metadata_and_errors(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    run_case c;
    char *json = NULL;
    run_case_load("branches", &c);
    assert_error(partita_model_load_file(context, "/nonexistent/model.onnx", NULL, &model), PARTITA_IO, "model.onnx");
    assert_int_equal(partita_status_exit_code(partita_model_load_memory(context, "rubbish", 7, NULL, &model)), 2);
    RUN_CHECK(partita_model_load_file(context, c.path, NULL, &model));
    assert_int_equal(partita_model_input_count(model), 1);
    assert_int_equal(partita_model_output_count(model), 2);
    const partita_value_info *info = partita_model_input(model, 0);
    assert_string_equal(info->name, "x");
    assert_int_equal(info->rank, 2);
    assert_int_equal(info->dims[0], -1);
    assert_string_equal(info->dim_names[0], "N");
    assert_int_equal(info->dims[1], 8);
    assert_null(partita_model_input(model, 1));
    RUN_CHECK(partita_model_inspect(model, &json));
    assert_non_null(strstr(json, "\"operators\":{"));
    assert_non_null(strstr(json, "\"shape\":[\"N\",8]"));
    partita_text_destroy(json);
    partita_plan_options options = {.size = sizeof(options), .devices = "nosuch"};
    assert_error(partita_plan_create(model, &options, &plan), PARTITA_DEVICE_ABSENT, "nosuch");
    partita_dim dim = {"M", 4};
    options = (partita_plan_options){.size = sizeof(options), .devices = "cpu", .dims = &dim, .dim_count = 1};
    assert_error(partita_plan_create(model, &options, &plan), PARTITA_INVALID_ARGUMENT, "'M'");
    partita_context_destroy(context); /* the model keeps it alive */
    dim.name = "N";
    RUN_CHECK(partita_plan_create(model, &options, &plan));
    assert_true(partita_plan_estimate_us(plan) > 0);
    partita_model_destroy(model);
    partita_session *session = NULL;
    RUN_CHECK(partita_session_create(plan, NULL, &session));
    partita_plan_destroy(plan);
    run_once_equal(session, &c);
    partita_session_destroy(session);
    run_case_free(&c);
}

static void test_values(void **state) {
    (void)state;
    const int64_t dims[2] = {2, 2}, bad[2] = {-1, 2}, huge[3] = {INT64_MAX, INT64_MAX, 2};
    partita_value *value = NULL, *list = NULL;
    float numbers[4] = {1, 2, 3, 4}, back[4];
    assert_error(partita_value_create(PARTITA_FLOAT32, 2, bad, NULL, &value), PARTITA_BAD_INPUT, "dims");
    assert_error(partita_value_create(PARTITA_FLOAT32, 3, huge, NULL, &value), PARTITA_BAD_INPUT, "dims");
    assert_error(partita_value_create_borrowed(PARTITA_FLOAT32, 2, dims, numbers, 15, &value), PARTITA_INVALID_ARGUMENT,
                 "16 bytes");
    RUN_CHECK(partita_value_create(PARTITA_FLOAT32, 2, dims, numbers, &value));
    RUN_CHECK(partita_value_read(value, back, sizeof(back)));
    assert_memory_equal(numbers, back, sizeof(back));
    partita_value *items[3] = {value, value, value};
    RUN_CHECK(partita_value_create_container(PARTITA_KIND_SEQUENCE, PARTITA_FLOAT32, items, 3, &list));
    partita_value_release(value);
    partita_value_view view;
    RUN_CHECK(partita_value_view_of(list, &view));
    assert_int_equal(view.count, 3);
    assert_ptr_equal(partita_value_item(list, 2), value);
    assert_null(partita_value_item(list, 3));
    partita_value_release(list);
    assert_error(partita_value_create_container(PARTITA_KIND_OPTIONAL, PARTITA_FLOAT32, items, 3, &list),
                 PARTITA_INVALID_ARGUMENT, "3 items");
    partita_str words[4] = {{"a", 1}, {"", 0}, {"bcd", 3}, {"e", 1}};
    RUN_CHECK(partita_value_create_strings(2, dims, words, &value));
    RUN_CHECK(partita_value_view_of(value, &view));
    assert_int_equal(view.offsets[4], 5);
    assert_memory_equal((char *)view.data + view.offsets[2], "bcd", 3);
    partita_value_release(value);
    partita_value_release(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_inputs),          cmocka_unit_test(test_unaligned_and_bound),
        cmocka_unit_test(test_device_tensors),      cmocka_unit_test(test_symbolic_dims),
        cmocka_unit_test(test_deadline_and_cancel), cmocka_unit_test(test_demotion),
        cmocka_unit_test(test_metadata_and_errors), cmocka_unit_test(test_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
