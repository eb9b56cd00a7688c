/* SPDX-License-Identifier: Apache-2.0 */
/* Two simulated devices of separate resources work at once: a run lasts as long as planned, many runs keep both busy.
 */
#include "base/base.h"
#include "run_case.h"
#include <pthread.h>
#include <stdatomic.h>

#define THREADS 16
#define RUNS    6
#define NODE_US 8000.0 /* so long that the noise of a loaded machine is small beside it */

static const partita_pin pins[] = {{"op:Relu|op:Abs|op:Neg|op:Mul|op:Sqrt", "sim:0"},
                                   {"op:Tanh|op:Sigmoid|op:Exp", "sim:1"}};

typedef struct bench {
    partita_context *context;
    partita_session *session;
    double estimate_us;
    run_case c;
    atomic_uint good;
} bench;

static void open_bench(bench *b) {
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_dim dim = {"N", 4};
    partita_plan_options options = {
        .size = sizeof(options), .devices = "sim:0,sim:1", .pins = pins, .pin_count = 2, .dims = &dim, .dim_count = 1};
    run_case_load("lanes", &b->c);
    b->context = run_context("sim:0.us", "*:8000", "sim:1.us", "*:8000", NULL);
    RUN_CHECK(partita_model_load_file(b->context, b->c.path, NULL, &model));
    RUN_CHECK(partita_plan_create(model, &options, &plan));
    b->estimate_us = partita_plan_estimate_us(plan);
    RUN_CHECK(partita_session_create(plan, NULL, &b->session));
    run_once_equal(b->session, &b->c); /* frames, arenas, imports */
    partita_plan_destroy(plan);
    partita_model_destroy(model);
}

static void close_bench(bench *b) {
    partita_session_destroy(b->session);
    run_case_free(&b->c);
    partita_context_destroy(b->context);
}

static void test_makespan(void **state) {
    (void)state;
    bench b = {0};
    open_bench(&b);
    /* 3 nodes beside 3, then 3: 6 in a row and not 9 */
    assert_true(b.estimate_us > 6 * NODE_US && b.estimate_us < 7 * NODE_US);
    double best = 1e30;
    for (int i = 0; i < 5; i++) {
        uint64_t begin = pt_now_ns();
        run_once_equal(b.session, &b.c);
        best = PT_MIN(best, (double)(pt_now_ns() - begin) / 1e3);
    }
    if (best > 1.15 * b.estimate_us) print_error("%.0f us, planned %.0f us\n", best, b.estimate_us);
    assert_true(best <= 1.15 * b.estimate_us);
    close_bench(&b);
}

static void *work(void *user) {
    bench *b = user;
    for (int i = 0; i < RUNS; i++) {
        partita_value *outputs[CASE_MOST] = {NULL};
        if (partita_session_run(b->session, NULL, b->c.inputs, 1, outputs, 1) == PARTITA_OK &&
            run_case_equal(&b->c, outputs))
            atomic_fetch_add(&b->good, 1);
        partita_value_release(outputs[0]);
    }
    return NULL;
}

/* The slowest stage is sim:0 with 6 nodes per run. */
static void test_rate(void **state) {
    (void)state;
    bench b = {0};
    pthread_t threads[THREADS];
    open_bench(&b);
    uint64_t begin = pt_now_ns();
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &b), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    double us = (double)(pt_now_ns() - begin) / 1e3;
    assert_int_equal(atomic_load(&b.good), THREADS * RUNS);
    double rate = THREADS * RUNS / us, most = 1 / (6 * NODE_US);
    if (rate < 0.8 * most) print_error("%.1f runs a second, at most %.1f\n", rate * 1e6, most * 1e6);
    assert_true(rate >= 0.8 * most);
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_makespan), cmocka_unit_test(test_rate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
