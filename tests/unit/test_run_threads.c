/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads on one session, in the foreground and in the background. */
#include "run_case.h"
#include <pthread.h>
#include <stdatomic.h>

#define THREADS 16
#define RUNS    12

typedef struct worker {
    partita_session *session;
    const run_case *c;
    atomic_uint good;
} worker;

static void *work(void *user) {
    worker *w = user;
    for (int i = 0; i < RUNS; i++) {
        partita_value *outputs[CASE_MOST] = {NULL};
        if (partita_session_run(w->session, NULL, w->c->inputs, w->c->input_count, outputs, w->c->output_count) ==
                PARTITA_OK &&
            run_case_equal(w->c, outputs))
            atomic_fetch_add(&w->good, 1);
        for (uint32_t k = 0; k < CASE_MOST; k++) partita_value_release(outputs[k]);
    }
    return NULL;
}

static void check(const char *name, const char *devices, uint32_t seed) {
    partita_context *context = run_context(NULL);
    run_case c;
    pthread_t threads[THREADS];
    run_case_load(name, &c);
    worker w = {.session = run_session(context, c.path, devices, seed), .c = &c};
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &w), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&w.good), THREADS * RUNS);
    partita_session_destroy(w.session);
    run_case_free(&c);
    partita_context_destroy(context);
}

static void test_threads(void **state) {
    (void)state;
    check("branches", "cpu", 0);
    check("branches", "cpu,sim:0,sim:1", 3);
    check("nested", "cpu,sim:0,sim:1", 2);
    check("data", "cpu,sim:0", 1);
}

static void test_requests(void **state) {
    (void)state;
    partita_context *context = run_context(NULL);
    partita_request *requests[THREADS];
    run_case c;
    run_case_load("loop", &c);
    partita_session *session = run_session(context, c.path, "cpu,sim:0", 1);
    for (int i = 0; i < THREADS; i++)
        RUN_CHECK(partita_request_start(session, NULL, c.inputs, c.input_count, NULL, c.output_count, &requests[i]));
    for (int i = 0; i < THREADS; i++) {
        partita_value *outputs[CASE_MOST];
        RUN_CHECK(partita_request_wait(requests[i], UINT64_MAX));
        for (uint32_t k = 0; k < c.output_count; k++) outputs[k] = partita_request_output(requests[i], k);
        assert_true(run_case_equal(&c, outputs));
        partita_request_destroy(requests[i]);
    }
    partita_session_destroy(session);
    run_case_free(&c);
    partita_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads), cmocka_unit_test(test_requests)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
