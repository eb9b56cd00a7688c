/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models of tests/unit/run with the inputs and outputs that lie beside them, and what tests of sessions do with them.
 */
#ifndef TESTS_RUN_CASE_H
#define TESTS_RUN_CASE_H

#include <partita/partita.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CASE_MOST 8

typedef struct run_case {
    char path[512]; /* of the model */
    partita_value *inputs[CASE_MOST], *outputs[CASE_MOST];
    uint32_t input_count, output_count;
} run_case;

/* Every failure here and below fails the test with the library's message. */
void run_case_load(const char *name, run_case *out_case);
void run_case_free(run_case *c);
/* True when the outputs equal the expected ones: integers exactly, floats within 1e-3 of each and 1e-4 of the largest.
 */
bool run_case_equal(const run_case *c, partita_value *const *outputs);

/* A context with options for devices: "sim:0.KEY", "VALUE", ... NULL. Messages of the log are dropped. */
partita_context *run_context(const char *key, ...);
/* Opens the model, plans over the devices (seed > 0: random placement) and compiles. */
partita_session *run_session(partita_context *context, const char *path, const char *devices, uint32_t seed);
void run_check(partita_status status, const char *what);
#define RUN_CHECK(call) run_check((call), #call)
partita_counters run_counters(partita_session *session);
/* Runs and compares once. */
void run_once_equal(partita_session *session, const run_case *c);

#endif
