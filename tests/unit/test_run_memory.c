/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of memory: what runs allocate is held to them, refusals say why, and smaller requests still run. */
#include "run/session.h"
#include "run_case.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PLENTY  (UINT64_C(1) << 40)
#define SETTLED 6 /* runs until every part that can be sized is */

/* OVER_BUDGET where the weights alone are too many: then there is no session. */
static partita_status start(partita_context *context, const char *path, const char *devices, uint32_t seed,
                            uint64_t limit, partita_session **out_session) {
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_plan_options options = {
        .size = sizeof(options), .devices = devices, .pin_random = seed > 0, .random_seed = seed, .max_memory = limit};
    *out_session = NULL;
    RUN_CHECK(partita_model_load_file(context, path, NULL, &model));
    partita_status status = partita_plan_create(model, &options, &plan);
    if (status == PARTITA_OK) RUN_CHECK(partita_session_create(plan, NULL, out_session));
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    return status;
}

static partita_status run(partita_session *session, const run_case *c) {
    partita_value *outputs[CASE_MOST] = {NULL};
    partita_status status = partita_session_run(session, NULL, c->inputs, c->input_count, outputs, c->output_count);
    if (status == PARTITA_OK) assert_true(run_case_equal(c, outputs));
    for (uint32_t i = 0; i < CASE_MOST; i++) {
        assert_true(status == PARTITA_OK || !outputs[i]);
        partita_value_release(outputs[i]);
    }
    return status;
}

/* Bytes of every memory that the session holds. */
static uint64_t held(const partita_session *session) {
    uint64_t bytes = 0;
    for (uint32_t d = 0; d <= session->plan->plan->device_count; d++) bytes += pt_budget_used(session->budgets[d]);
    return bytes;
}

static void sleep_ms(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

/* Nothing is held by a session that is gone, as soon as its devices have put their things away. */
static void destroy(partita_session *session) {
    pt_budget *budgets[4] = {NULL};
    uint32_t count = session->plan->plan->device_count + 1;
    for (uint32_t i = 0; i < count; i++) pt_budget_retain(budgets[i] = session->budgets[i]);
    partita_session_destroy(session);
    for (uint32_t i = 0; i < count; i++) {
        for (int ms = 0; ms < 5000 && pt_budget_used(budgets[i]); ms++) sleep_ms();
        assert_int_equal(pt_budget_used(budgets[i]), 0);
        pt_budget_release(budgets[i]);
    }
}

static void check_refusal(const char *devices, uint64_t limit) {
    const char *words = partita_last_error();
    char number[64];
    snprintf(number, sizeof(number), " %llu are allowed", (unsigned long long)limit);
    bool memory = strstr(words, "host memory: ") || (strstr(devices, "sim") && strstr(words, "sim:0: "));
    bool place =
        strstr(words, "node '") || strstr(words, "input '") || strstr(words, "output '") || strstr(words, "value '");
    if (!memory || !place || !strstr(words, number) || !strstr(words, " bytes are needed"))
        fail_msg("%s, %llu: %s", devices, (unsigned long long)limit, words);
}

/* From no room to enough: refused without a trace, then right. On cpu more room is never worse; at the edge a device
 * with threads of its own may still hold what an earlier run needed, or what a retry kept for the next. */
static void sweep(const char *name, const char *devices, uint32_t seed, const char *async) {
    uint64_t passed = 0, refused = 0;
    bool alone = strcmp(devices, "cpu") == 0;
    run_case c;
    run_case_load(name, &c);
    for (uint64_t limit = 1; limit < PLENTY; limit += PT_MAX(limit / 3, 1)) {
        partita_context *context = run_context("sim:0.async", async, NULL);
        partita_session *session;
        partita_status planned = start(context, c.path, devices, seed, limit, &session);
        if (planned == PARTITA_OK) {
            uint64_t before = 0;
            for (int i = 0; i < SETTLED + 3; i++) {
                partita_status status = run(session, &c);
                for (uint32_t d = 0; d <= session->plan->plan->device_count; d++)
                    assert_true(pt_budget_used(session->budgets[d]) <= limit);
                if (i == 0) passed += status == PARTITA_OK;
                if (status == PARTITA_OK) continue;
                assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
                check_refusal(devices, limit);
                if (alone) assert_int_equal(passed, 0);
                if (i < SETTLED) before = held(session);
                if (alone) assert_true(held(session) <= before);
                refused++;
            }
            assert_int_equal(run_counters(session).demotions, 0);
            destroy(session);
        } else {
            assert_int_equal(planned, PARTITA_OVER_BUDGET);
            assert_int_equal(passed, 0);
        }
        partita_context_destroy(context);
        if (passed > 3) break;
    }
    if (!refused || !passed) fail_msg("%s on %s: %d refused, %d passed", name, devices, (int)refused, (int)passed);
    run_case_free(&c);
}

static void test_sweep(void **state) {
    (void)state;
    static const char *const names[] = {"branches", "data", "loop", "scan", "sequence", "nested", "window", "branch"};
    for (size_t i = 0; i < PT_COUNT_OF(names); i++) {
        sweep(names[i], "cpu", 0, "1");
        if (strcmp(names[i], "sequence") != 0) sweep(names[i], "sim:0", 0, i % 2 ? "1" : "0");
        sweep(names[i], "cpu,sim:0", 1 + (uint32_t)i, i % 2 ? "0" : "1");
    }
}

static partita_value *rows(int64_t n) {
    const int64_t dims[2] = {n, 8};
    partita_value *value = NULL;
    RUN_CHECK(partita_value_create(PARTITA_FLOAT32, 2, dims, NULL, &value));
    return value;
}

static partita_status run_rows(partita_session *session, int64_t n, uint64_t deadline_ms) {
    const partita_run_options options = {.size = sizeof(options), .deadline_ms = deadline_ms};
    partita_value *x = rows(n), *outputs[2] = {NULL};
    partita_status status = partita_session_run(session, &options, &x, 1, outputs, 2);
    for (int i = 0; i < 2; i++) partita_value_release(outputs[i]);
    partita_value_release(x);
    return status;
}

/* One request is too large, the next one is not; also where inputs are copied for a deadline. */
static void test_smaller_request(void **state) {
    (void)state;
    static const char *const sets[] = {"cpu", "sim:0"};
    partita_context *context = run_context(NULL);
    run_case c;
    run_case_load("branches", &c);
    for (int i = 0; i < 4; i++) {
        partita_session *session;
        uint64_t limit = 100000, deadline = i < 2 ? 0 : 60000;
        RUN_CHECK(start(context, c.path, sets[i % 2], 0, limit, &session));
        for (int64_t n = 4; n <= 64; n *= 4) {
            RUN_CHECK(run_rows(session, n, deadline));
            assert_int_equal(run_rows(session, 100000, deadline), PARTITA_OUT_OF_MEMORY);
            check_refusal(sets[i % 2], limit);
        }
        RUN_CHECK(run_rows(session, 4, deadline));
        destroy(session);
    }
    run_case_free(&c);
    partita_context_destroy(context);
}

/* Arenas that earlier runs left are given up for one that needs the room. */
static void test_idle_arenas(void **state) {
    (void)state;
    partita_context *context = run_context("sim:0.hang_exec", "1", "sim:0.hang_us", "300000", NULL);
    partita_session *session;
    run_case c;
    run_case_load("branches", &c);
    RUN_CHECK(start(context, c.path, "sim:0", 0, PLENTY, &session));
    uint64_t idle = pt_budget_used(session->budgets[1]);
    RUN_CHECK(run_rows(session, 1000, 0));
    uint64_t one = pt_budget_used(session->budgets[1]) - idle;
    destroy(session);
    partita_context_destroy(context);
    context = run_context("sim:0.hang_exec", "1", "sim:0.hang_us", "300000", NULL);
    RUN_CHECK(start(context, c.path, "sim:0", 0, idle + 2 * one + one / 10, &session));
    partita_value *x = rows(1000);
    partita_request *requests[2];
    for (int i = 0; i < 2; i++) RUN_CHECK(partita_request_start(session, NULL, &x, 1, NULL, 2, &requests[i]));
    for (int i = 0; i < 2; i++) {
        RUN_CHECK(partita_request_wait(requests[i], UINT64_MAX));
        partita_request_destroy(requests[i]);
    }
    partita_value_release(x);
    assert_true(pt_budget_used(session->budgets[1]) >= idle + 2 * one);
    RUN_CHECK(run_rows(session, 1500, 0));
    assert_int_equal(run_rows(session, 2500, 0), PARTITA_OUT_OF_MEMORY);
    RUN_CHECK(run_rows(session, 1500, 0));
    destroy(session);
    run_case_free(&c);
    partita_context_destroy(context);
}

/* What was handed out is the application's: it keeps as many outputs as it likes. */
static void test_outputs_are_given_away(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    partita_value *kept[200][2] = {{NULL}}, *x = rows(64);
    partita_session *session;
    run_case c;
    run_case_load("branches", &c);
    RUN_CHECK(start(context, c.path, "cpu", 0, 50000, &session));
    for (int i = 0; i < 200; i++) RUN_CHECK(partita_session_run(session, NULL, &x, 1, kept[i], 2));
    destroy(session);
    for (int i = 0; i < 400; i++) partita_value_release(kept[i / 2][i % 2]);
    partita_value_release(x);
    run_case_free(&c);
    partita_context_destroy(context);
}

static void test_budgets(void **state) {
    (void)state;
    pt_budget *budget = NULL;
    pt_spender spender;
    RUN_CHECK(pt_budget_create("host memory", 100, &budget));
    pt_spender_init(&spender, budget);
    assert_int_equal(pt_spender_enter(&spender) != NULL, 0);
    RUN_CHECK(pt_budget_take(budget, 60));
    assert_int_equal(pt_budget_take(budget, 41), PARTITA_OUT_OF_MEMORY);
    assert_int_equal(pt_budget_take(budget, UINT64_MAX), PARTITA_OUT_OF_MEMORY);
    assert_int_equal(pt_spender_status(&spender, PARTITA_OK), PARTITA_OK);
    pt_fail(PARTITA_INTERNAL, "something else");
    assert_int_equal(pt_spender_status(&spender, PARTITA_INTERNAL), PARTITA_OUT_OF_MEMORY);
    assert_string_equal(pt_last_message(), "host memory: 41 bytes are needed, 100 are allowed, of which 60 are in use");
    assert_true(pt_spender_clear(&spender));
    assert_false(pt_spender_clear(&spender));
    assert_int_equal(pt_spender_status(&spender, PARTITA_INTERNAL), PARTITA_INTERNAL);
    RUN_CHECK(pt_budget_take(budget, 40));
    pt_budget_give(budget, 100);
    assert_int_equal(pt_budget_used(budget), 0);
    RUN_CHECK(pt_budget_take(NULL, UINT64_MAX));
    assert_ptr_equal(pt_spender_enter(NULL), &spender);
    pt_spender_deinit(&spender);
    pt_budget_release(budget);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_smaller_request),
        cmocka_unit_test(test_idle_arenas),
        cmocka_unit_test(test_outputs_are_given_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
