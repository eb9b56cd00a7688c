/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that fail, whatever they call it: another one answers, from the same inputs. */
#include "base/base.h"
#include "run_case.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static partita_status start(partita_context *context, const char *path, const char *devices, uint32_t seed,
                            uint32_t strict, partita_session **out_session) {
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_plan_options options = {
        .size = sizeof(options), .devices = devices, .strict = strict, .pin_random = seed > 0, .random_seed = seed};
    RUN_CHECK(partita_model_load_file(context, path, NULL, &model));
    partita_status status = partita_plan_create(model, &options, &plan);
    if (status == PARTITA_OK) status = partita_session_create(plan, NULL, out_session);
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    return status;
}

static partita_status run(partita_session *session, const run_case *c) {
    partita_value *outputs[CASE_MOST] = {NULL};
    partita_status status = partita_session_run(session, NULL, c->inputs, c->input_count, outputs, c->output_count);
    for (uint32_t i = 0; i < CASE_MOST; i++) partita_value_release(outputs[i]);
    return status;
}

/* One way to fail with one code: the answer is right, strict it is the device's failure, and nobody else's. */
static uint64_t check(const run_case *c, const char *key, const char *value, const char *code, const char *async,
                      uint32_t seed) {
    partita_context *context = run_context(key, value, "sim:0.fail_code", code, "sim:0.async", async, NULL);
    partita_session *session = NULL;
    RUN_CHECK(start(context, c->path, "cpu,sim:0", seed, 0, &session));
    run_once_equal(session, c);
    run_once_equal(session, c);
    uint64_t demoted = run_counters(session).demotions;
    partita_session_destroy(session);
    partita_context_destroy(context);
    if (!demoted) return 0;
    for (int alone = 0; alone < 2; alone++) {
        context = run_context(key, value, "sim:0.fail_code", code, "sim:0.async", async, NULL);
        session = NULL;
        partita_status status =
            start(context, c->path, alone ? "sim:0" : "cpu,sim:0", alone ? 0 : seed, !alone, &session);
        for (int i = 0; i < 2 && status == PARTITA_OK; i++) status = run(session, c);
        bool memory = strcmp(code, "out-of-memory") == 0 || strstr(key, "alloc");
        assert_int_equal(partita_status_exit_code(status), memory ? 6 : 4);
        if (!strstr(partita_last_error(), "sim:0: ") || !strstr(partita_last_error(), "node '"))
            fail_msg("%s: \"%s\" names no device or no node", key, partita_last_error());
        partita_session_destroy(session);
        partita_context_destroy(context);
    }
    return demoted;
}

static void test_every_failure(void **state) {
    (void)state;
    static const char *const ways[][2] = {{"sim:0.fail_compile", "Exp"}, {"sim:0.fail_exec", "1"},
                                          {"sim:0.fail_exec", "2"},      {"sim:0.fail_resize", "1"},
                                          {"sim:0.fail_alloc", "1"},     {"sim:0.most_elements", "4"}};
    static const char *const codes[] = {"own", "unsupported", "out-of-memory", "internal", "none"};
    run_case c;
    run_case_load("branches", &c);
    for (size_t w = 0; w < PT_COUNT_OF(ways); w++)
        for (size_t k = 0; k < PT_COUNT_OF(codes); k++) {
            uint64_t demoted = 0;
            for (uint32_t seed = 1; seed <= 4; seed++)
                demoted += check(&c, ways[w][0], ways[w][1], codes[k], seed % 2 ? "1" : "0", seed);
            if (!demoted) fail_msg("%s with %s was nobody's", ways[w][0], codes[k]);
        }
    run_case_free(&c);
}

/* In bodies: the whole request starts again. */
static void test_bodies(void **state) {
    (void)state;
    static const char *const names[] = {"loop", "nested", "scan"};
    uint64_t demoted = 0;
    for (size_t i = 0; i < PT_COUNT_OF(names); i++) {
        run_case c;
        run_case_load(names[i], &c);
        for (uint32_t seed = 1; seed <= 4; seed++) {
            partita_context *context =
                run_context("sim:0.fail_exec", "3", "sim:0.fail_code", "unsupported", "sim:0.fail_resize", "4", NULL);
            partita_session *session = NULL;
            RUN_CHECK(start(context, c.path, "cpu,sim:0", seed, 0, &session));
            run_once_equal(session, &c);
            demoted += run_counters(session).demotions;
            partita_session_destroy(session);
            partita_context_destroy(context);
        }
        run_case_free(&c);
    }
    assert_true(demoted > 0);
}

/* Dims that outgrow a device arrive with a later request. */
static void test_outgrown(void **state) {
    (void)state;
    partita_context *context = run_context("sim:0.most_elements", "64", NULL);
    partita_session *session = NULL;
    run_case c;
    run_case_load("branches", &c);
    RUN_CHECK(start(context, c.path, "cpu,sim:0", 1, 0, &session));
    for (int64_t n = 1; n <= 64; n *= 4) {
        const int64_t dims[2] = {n, 8};
        partita_value *input = NULL, *outputs[2] = {NULL};
        RUN_CHECK(partita_value_create(PARTITA_FLOAT32, 2, dims, NULL, &input));
        RUN_CHECK(partita_session_run(session, NULL, &input, 1, outputs, 2));
        for (int i = 0; i < 2; i++) partita_value_release(outputs[i]);
        partita_value_release(input);
        assert_int_equal(run_counters(session).demotions > 0, n * 8 > 64);
    }
    run_once_equal(session, &c);
    partita_session_destroy(session);
    run_case_free(&c);
    partita_context_destroy(context);
}

/* A shape that the model cannot take is the caller's fault, wherever the nodes are, and nobody is demoted for it. */
static void test_impossible(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed <= 6; seed++) {
        partita_context *context = run_context("sim:0.async", seed % 2 ? "1" : "0", NULL);
        partita_session *session = NULL;
        const int64_t dims[3] = {2, 1, 3};
        partita_value *input = NULL, *output = NULL;
        run_case c;
        run_case_load("window", &c);
        RUN_CHECK(start(context, c.path, seed ? "cpu,sim:0" : "cpu", seed, 0, &session));
        RUN_CHECK(partita_value_create(PARTITA_FLOAT32, 3, dims, NULL, &input));
        assert_int_equal(partita_session_run(session, NULL, &input, 1, &output, 1), PARTITA_BAD_INPUT);
        assert_non_null(strstr(partita_last_error(), "(Conv): a window of 5 does not fit"));
        assert_int_equal(run_counters(session).demotions, 0);
        run_once_equal(session, &c);
        partita_value_release(input);
        partita_session_destroy(session);
        run_case_free(&c);
        partita_context_destroy(context);
    }
}

/* What the host could not allocate is no device's failure. */
static void test_host_memory(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    partita_session *session = NULL;
    run_case c;
    run_case_load("branches", &c);
    RUN_CHECK(start(context, c.path, "cpu,sim:0", 1, 0, &session));
    uint64_t failed = 0;
    for (int64_t k = 0; k < 200; k++) {
        pt_alloc_fail_after(k, true);
        partita_status status = run(session, &c);
        pt_alloc_fail_after(-1, false);
        assert_true(status == PARTITA_OK || status == PARTITA_OUT_OF_MEMORY);
        failed += status == PARTITA_OUT_OF_MEMORY;
    }
    assert_true(failed > 0);
    assert_int_equal(run_counters(session).demotions, 0);
    run_once_equal(session, &c);
    partita_session_destroy(session);
    run_case_free(&c);
    partita_context_destroy(context);
}

/* A bound output that is the input's memory too: the request can still start again from its input. */
static void test_bound_over_input(void **state) {
    (void)state;
    static const char *const sets[] = {"cpu", "cpu,sim:0"};
    for (uint32_t seed = 0; seed <= 6; seed++) {
        partita_context *context = run_context("sim:0.fail_exec", seed % 2 ? "1" : "2", NULL);
        partita_session *session = NULL;
        partita_value_view view;
        run_case c;
        run_case_load("lanes", &c);
        RUN_CHECK(start(context, c.path, sets[seed > 0], seed, 0, &session));
        RUN_CHECK(partita_value_view_of(c.inputs[0], &view));
        void *both = aligned_alloc(64, (view.bytes + 63) / 64 * 64);
        memcpy(both, view.data, view.bytes);
        partita_value *input = NULL, *output = NULL;
        RUN_CHECK(partita_value_create_borrowed(view.dtype, view.rank, view.dims, both, view.bytes, &input));
        RUN_CHECK(partita_value_create_borrowed(view.dtype, view.rank, view.dims, both, view.bytes, &output));
        RUN_CHECK(partita_session_run(session, NULL, &input, 1, &output, 1));
        assert_true(run_case_equal(&c, &output));
        partita_value_release(input);
        partita_value_release(output);
        free(both);
        partita_session_destroy(session);
        run_case_free(&c);
        partita_context_destroy(context);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_failure), cmocka_unit_test(test_bodies),
                                       cmocka_unit_test(test_outgrown),      cmocka_unit_test(test_impossible),
                                       cmocka_unit_test(test_host_memory),   cmocka_unit_test(test_bound_over_input)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
