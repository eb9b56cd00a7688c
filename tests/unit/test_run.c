/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions compute what onnxruntime computes, however the nodes are spread over devices. */
#include "run_case.h"
#include <stdio.h>

static const char *const cases[] = {"branches", "branch", "branch_else", "loop",    "loop_none", "nested",
                                    "scan",     "scan8",  "data",        "through", "sequence",  "window"};
#define CASE_COUNT (sizeof(cases) / sizeof(cases[0]))

/* Twice each: the second run uses the frames of the first. */
static void check(const char *name, const char *devices, uint32_t seed, partita_context *context) {
    run_case c;
    run_case_load(name, &c);
    partita_session *session = run_session(context, c.path, devices, seed);
    run_once_equal(session, &c);
    run_once_equal(session, &c);
    partita_session_destroy(session);
    run_case_free(&c);
}

static void test_cpu(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    for (size_t i = 0; i < CASE_COUNT; i++) check(cases[i], "cpu", 0, context);
    partita_context_destroy(context);
}

static void test_random(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    for (size_t i = 0; i < CASE_COUNT; i++)
        for (uint32_t seed = 1; seed <= 8; seed++) check(cases[i], "cpu,sim:0,sim:1", seed, context);
    partita_context_destroy(context);
}

/* Devices that need waits, that return when the work is done, that lend and borrow nothing, that have small buffers. */
static void test_kinds_of_devices(void **state) {
    (void)state;
    static const char *const options[][4] = {{"sim:0.in_order", "0", "sim:1.in_order", "0"},
                                             {"sim:0.async", "0", "sim:1.in_order", "0"},
                                             {"sim:0.import", "", "sim:1.import", ""},
                                             {"sim:0.export", "host-pointer", "sim:1.export", "host-pointer"},
                                             {"sim:0.max_buffer", "1024", "sim:1.max_buffer", "2048"},
                                             {"sim:0.all_kinds", "1", "sim:1.memory", "host"}};
    for (size_t o = 0; o < sizeof(options) / sizeof(options[0]); o++) {
        partita_context *context = run_context(options[o][0], options[o][1], options[o][2], options[o][3], NULL);
        for (size_t i = 0; i < CASE_COUNT; i++)
            for (uint32_t seed = 1; seed <= 3; seed++) check(cases[i], "cpu,sim:0,sim:1", seed, context);
        partita_context_destroy(context);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpu), cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_kinds_of_devices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
