/* SPDX-License-Identifier: Apache-2.0 */
/* A device that hangs: callers with a deadline get away, later requests go elsewhere, nothing of theirs is touched. */
#include "run_case.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HANG_US "2000000" /* of the device; it counts as hanging a second after the deadline */

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void sleep_ms(uint64_t ms) {
    struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* Inputs and a bound output in memory that is freed as soon as the call is back. */
static partita_status run_lent(partita_session *session, const run_case *c, uint64_t deadline_ms, uint64_t *out_ms) {
    const partita_run_options options = {.size = sizeof(options), .deadline_ms = deadline_ms};
    partita_value_view x, y;
    partita_value *input = NULL, *outputs[2] = {NULL};
    RUN_CHECK(partita_value_view_of(c->inputs[0], &x));
    RUN_CHECK(partita_value_view_of(c->outputs[0], &y));
    void *in = malloc(x.bytes), *out = malloc(y.bytes);
    memcpy(in, x.data, x.bytes);
    memset(out, 0x5a, y.bytes);
    RUN_CHECK(partita_value_create_borrowed(x.dtype, x.rank, x.dims, in, x.bytes, &input));
    RUN_CHECK(partita_value_create_borrowed(y.dtype, y.rank, y.dims, out, y.bytes, &outputs[0]));
    uint64_t begin = now_ms();
    partita_status status = partita_session_run(session, &options, &input, 1, outputs, 2);
    *out_ms = now_ms() - begin;
    if (status == PARTITA_OK) {
        assert_true(run_case_equal(c, outputs));
    } else {
        for (uint64_t i = 0; i < y.bytes; i++) assert_int_equal(((unsigned char *)out)[i], 0x5a);
        assert_null(outputs[1]);
    }
    for (int i = 0; i < 2; i++) partita_value_release(outputs[i]);
    partita_value_release(input);
    memset(in, 0, x.bytes);
    free(in);
    free(out);
    return status;
}

/* `way`: the call that hangs. */
static void check(const char *way, const char *async) {
    partita_context *context = run_context(way, "1", "sim:0.hang_us", HANG_US, "sim:0.async", async, NULL);
    run_case c;
    uint64_t ms;
    run_case_load("branches", &c);
    partita_session *spread = run_session(context, c.path, "cpu,sim:0", 2);
    partita_session *alone = run_session(context, c.path, "sim:0", 0);
    uint64_t begin = now_ms();
    assert_int_equal(run_lent(spread, &c, 60, &ms), PARTITA_DEADLINE);
    assert_non_null(strstr(partita_last_error(), "deadline"));
    assert_non_null(strstr(partita_last_error(), "sim:0"));
    assert_in_range(ms, 55, 600);
    assert_int_equal(run_counters(spread).stuck, 1);
    sleep_ms(1200 - (now_ms() - begin));
    /* the device hangs: who can goes elsewhere, who cannot is told so, and neither waits for it */
    uint64_t later = now_ms();
    run_once_equal(spread, &c);
    assert_true(run_counters(spread).demotions > 0);
    partita_value *outputs[2] = {NULL};
    assert_int_equal(partita_session_run(alone, NULL, c.inputs, 1, outputs, 2), PARTITA_DEVICE_FAILED);
    assert_non_null(strstr(partita_last_error(), "sim:0: hangs"));
    partita_session_destroy(spread);
    partita_context_destroy(context);
    assert_true(now_ms() - later < 700);
    while (now_ms() - begin < 2300) sleep_ms(20);
    run_once_equal(alone, &c); /* it is back */
    partita_session_destroy(alone);
    run_case_free(&c);
}

static void test_async(void **state) {
    (void)state;
    check("sim:0.hang_exec", "1");
}

static void test_sync(void **state) {
    (void)state;
    check("sim:0.hang_exec", "0");
}

static void test_sizing(void **state) {
    (void)state;
    check("sim:0.hang_resize", "1");
}

/* In the background: wait and destroy leave at the deadline too, also from inside a body. */
static void test_requests(void **state) {
    (void)state;
    static const char *const names[] = {"branches", "nested"};
    for (int i = 0; i < 2; i++) {
        partita_context *context = run_context("sim:0.hang_exec", "2", "sim:0.hang_us", "700000", NULL);
        const partita_run_options options = {.size = sizeof(options), .deadline_ms = 80};
        partita_request *first, *second;
        run_case c;
        run_case_load(names[i], &c);
        partita_session *session = run_session(context, c.path, "sim:0,cpu", i == 0 ? 3 : 1);
        uint64_t begin = now_ms();
        RUN_CHECK(partita_request_start(session, &options, c.inputs, c.input_count, NULL, c.output_count, &first));
        RUN_CHECK(partita_request_start(session, &options, c.inputs, c.input_count, NULL, c.output_count, &second));
        partita_status status = partita_request_wait(first, UINT64_MAX);
        assert_true(status == PARTITA_DEADLINE || status == PARTITA_OK);
        partita_request_destroy(first);
        partita_request_destroy(second);
        assert_in_range(now_ms() - begin, 40, 500);
        assert_true(run_counters(session).stuck > 0);
        while (run_counters(session).stuck && now_ms() - begin < 5000) sleep_ms(10);
        assert_int_equal(run_counters(session).stuck, 0);
        run_once_equal(session, &c);
        assert_int_equal(run_counters(session).demotions, 0);
        partita_session_destroy(session);
        run_case_free(&c);
        partita_context_destroy(context);
    }
}

static void *cancel_soon(void *request) {
    sleep_ms(50);
    partita_request_cancel(request);
    return NULL;
}

/* Without a deadline: cancelled by another thread while one waits, with memory that is freed at once. */
static void check_cancel(const char *way, const char *async, bool waits) {
    partita_context *context = run_context(way, "1", "sim:0.hang_us", HANG_US, "sim:0.async", async, NULL);
    partita_value_view x, y;
    partita_value *input = NULL, *bound[2] = {NULL};
    partita_request *request = NULL;
    pthread_t canceller;
    run_case c;
    run_case_load("branches", &c);
    partita_session *session = run_session(context, c.path, "cpu,sim:0", 2);
    RUN_CHECK(partita_value_view_of(c.inputs[0], &x));
    RUN_CHECK(partita_value_view_of(c.outputs[0], &y));
    void *in = malloc(x.bytes), *out = malloc(y.bytes);
    memcpy(in, x.data, x.bytes);
    RUN_CHECK(partita_value_create_borrowed(x.dtype, x.rank, x.dims, in, x.bytes, &input));
    RUN_CHECK(partita_value_create_borrowed(y.dtype, y.rank, y.dims, out, y.bytes, &bound[0]));
    uint64_t begin = now_ms();
    RUN_CHECK(partita_request_start(session, NULL, &input, 1, bound, 2, &request));
    assert_int_equal(pthread_create(&canceller, NULL, cancel_soon, request), 0);
    if (!waits) pthread_join(canceller, NULL);
    assert_int_equal(partita_request_wait(request, UINT64_MAX), PARTITA_CANCELLED);
    if (!strstr(partita_last_error(), "cancelled") || !strstr(partita_last_error(), "sim:0 has not come back"))
        fail_msg("%s", partita_last_error());
    assert_in_range(now_ms() - begin, 50, 600);
    if (waits) pthread_join(canceller, NULL);
    partita_request_destroy(request);
    partita_value_release(input);
    partita_value_release(bound[0]);
    memset(in, 0, x.bytes);
    free(in);
    free(out);
    assert_int_equal(run_counters(session).stuck, 1);
    sleep_ms(1300 - (now_ms() - begin));
    run_once_equal(session, &c); /* it hangs: elsewhere */
    assert_true(run_counters(session).demotions > 0);
    assert_true(now_ms() - begin < 1900);
    partita_session_destroy(session);
    partita_context_destroy(context);
    run_case_free(&c);
    while (now_ms() - begin < 2300) sleep_ms(20);
}

static void test_cancel(void **state) {
    (void)state;
    check_cancel("sim:0.hang_exec", "1", true);
    check_cancel("sim:0.hang_exec", "0", false);
    check_cancel("sim:0.hang_resize", "1", true);
}

/* Who listens is waited for: nothing is left behind. */
static void test_cancel_in_time(void **state) {
    (void)state;
    partita_context *context = run_context("sim:0.launch_us", "20000", NULL);
    run_case c;
    run_case_load("branches", &c);
    partita_session *session = run_session(context, c.path, "sim:0", 0);
    for (int i = 0; i < 20; i++) {
        partita_request *request = NULL;
        RUN_CHECK(partita_request_start(session, NULL, c.inputs, 1, NULL, 2, &request));
        sleep_ms((uint64_t)i);
        partita_request_cancel(request);
        partita_status status = partita_request_wait(request, UINT64_MAX);
        assert_true(status == PARTITA_CANCELLED || status == PARTITA_OK);
        partita_request_destroy(request);
    }
    assert_int_equal(run_counters(session).stuck, 0);
    run_once_equal(session, &c);
    partita_session_destroy(session);
    run_case_free(&c);
    partita_context_destroy(context);
}

/* A deadline that is met costs nothing but the copies. */
static void test_in_time(void **state) {
    (void)state;
    static const char *const sets[] = {"cpu", "cpu,sim:0", "sim:0"};
    partita_context *context = run_context(NULL);
    run_case c;
    uint64_t ms;
    run_case_load("branches", &c);
    for (uint32_t i = 0; i < 3; i++) {
        partita_session *session = run_session(context, c.path, sets[i], i == 1);
        RUN_CHECK(run_lent(session, &c, 60000, &ms));
        RUN_CHECK(run_lent(session, &c, 60000, &ms));
        assert_int_equal(run_counters(session).stuck, 0);
        partita_session_destroy(session);
    }
    run_case_free(&c);
    partita_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_in_time),       cmocka_unit_test(test_async),
                                       cmocka_unit_test(test_sync),          cmocka_unit_test(test_sizing),
                                       cmocka_unit_test(test_requests),      cmocka_unit_test(test_cancel),
                                       cmocka_unit_test(test_cancel_in_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
