/* SPDX-License-Identifier: Apache-2.0 */
/* Each context has its own log: what another one does, or that it goes, changes nothing. */
#include "run_case.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define THREADS 8

typedef struct heard {
    atomic_uint demoted, other;
} heard;

static void hear(void *user, int32_t level, const char *message) {
    heard *h = user;
    bool demoted = level == PARTITA_LOG_WARNING && strstr(message, "demoted: ");
    atomic_fetch_add(demoted ? &h->demoted : &h->other, 1);
}

/* A context whose sim:0 fails in its first run. */
static partita_context *open_context(heard *h) {
    const partita_option fails = {"sim:0.fail_exec", "1"};
    const partita_context_options options = {
        .size = sizeof(options), .options = &fails, .option_count = 1, .threads = 1, .log = hear, .log_user = h};
    partita_context *context = NULL;
    return partita_context_create(&options, &context) == PARTITA_OK ? context : NULL;
}

static partita_session *open_session(partita_context *context, const run_case *c) {
    const partita_plan_options options = {
        .size = sizeof(options), .devices = "cpu,sim:0", .pin_random = 1, .random_seed = 2};
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_session *session = NULL;
    if (partita_model_load_file(context, c->path, NULL, &model) == PARTITA_OK &&
        partita_plan_create(model, &options, &plan) == PARTITA_OK)
        partita_session_create(plan, NULL, &session);
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    return session;
}

static bool run(partita_session *session, const run_case *c) {
    partita_value *outputs[CASE_MOST] = {NULL};
    bool good = partita_session_run(session, NULL, c->inputs, c->input_count, outputs, c->output_count) == PARTITA_OK;
    for (uint32_t i = 0; i < CASE_MOST; i++) partita_value_release(outputs[i]);
    return good;
}

static void test_two_contexts(void **state) {
    (void)state;
    heard first = {0}, second = {0};
    run_case c;
    run_case_load("branches", &c);
    partita_context *a = open_context(&first), *b = open_context(&second);
    partita_session *of_a = open_session(a, &c), *of_b = open_session(b, &c);
    assert_non_null(of_a);
    assert_non_null(of_b);
    assert_true(run(of_a, &c));
    assert_int_equal(first.demoted, 1);
    assert_int_equal(second.demoted, 0);
    partita_session_destroy(of_a);
    partita_context_destroy(a);
    partita_context_destroy(b); /* the session holds it, and its log */
    assert_true(run(of_b, &c));
    assert_int_equal(first.demoted, 1);
    assert_int_equal(second.demoted, 1);
    partita_session_destroy(of_b);
    run_case_free(&c);
}

typedef struct worker {
    const run_case *c;
    heard h;
    bool good;
} worker;

static void *live(void *user) {
    worker *w = user;
    for (int i = 0; i < 3; i++) {
        partita_context *context = open_context(&w->h);
        partita_session *session = open_session(context, w->c);
        partita_context_destroy(context);
        w->good = session && run(session, w->c);
        partita_session_destroy(session);
        if (!w->good) break;
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    worker workers[THREADS] = {0};
    run_case c;
    run_case_load("branches", &c);
    for (int i = 0; i < THREADS; i++) {
        workers[i].c = &c;
        assert_int_equal(pthread_create(&threads[i], NULL, live, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_true(workers[i].good);
        assert_int_equal(workers[i].h.demoted, 3);
    }
    run_case_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_contexts), cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
