/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions over two simulated devices of separate resources: a run takes hardly longer than the plan's makespan, and
 * many threads reach most of the rate that the slowest stage allows. Times are large beside what a busy machine adds.
 */
#include "world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { COUNT = 256, THREADS = 16, ROUNDS = 6 };

/* One run; nanoseconds. Every model here gives `factor` times its input. */
static uint64_t run(world *w, float factor, bool *out_right) {
    float numbers[COUNT], result[COUNT];
    uint64_t begin = pt_now_ns();
    for (int i = 0; i < COUNT; i++) numbers[i] = (float)i;
    *out_right = world_run(w, numbers, result) == PARTITA_OK;
    begin = pt_now_ns() - begin;
    for (int i = 0; *out_right && i < COUNT; i++) *out_right = result[i] == factor * numbers[i];
    return begin;
}

/* x goes through two branches of four nodes each, and both are added. */
static void runs_take_the_makespan(void **state) {
    static const partita_option options[] = {{"sim:0.us", "*:5000"},     {"sim:1.us", "*:4000"},
                                             {"sim:0.copy_us", "500"},   {"sim:1.copy_us", "500"},
                                             {"sim:0.launch_us", "200"}, {"sim:1.launch_us", "200"}};
    static const partita_pin pins[] = {{"left.*", "sim:0"}, {"right.*", "sim:1"}, {"sum", "sim:0"}};
    uint64_t best = UINT64_MAX;
    double estimate;
    world w;
    PT_UNUSED(state);
    pt_id x = world_begin(&w, COUNT), left = x, right = x;
    for (int i = 0; i < 4; i++) {
        char name[24];
        snprintf(name, sizeof(name), "left%d", i);
        left = world_node(&w, "Abs", name, left, PT_NONE);
        snprintf(name, sizeof(name), "right%d", i);
        right = world_node(&w, "Abs", name, right, PT_NONE);
    }
    world_load(&w, world_node(&w, "Add", "sum", left, right), "sim:0,sim:1", options, PT_COUNT_OF(options), pins,
               PT_COUNT_OF(pins));
    estimate = partita_plan_estimate_us(w.plan);
    for (int i = 0; i < 20 && (double)best / 1e3 > 1.15 * estimate; i++) {
        bool right_numbers;
        uint64_t took = run(&w, 2, &right_numbers);
        assert_true(right_numbers);
        best = PT_MIN(best, took);
    }
    /* Four nodes and the sum one after the other is 25 ms; both branches in turn would be 41. */
    assert_true(estimate > 25000 && estimate < 30000);
    if ((double)best / 1e3 > 1.15 * estimate) fail_msg("%.0f us, the plan says %.0f", (double)best / 1e3, estimate);
    world_end(&w);
}

typedef struct worker {
    world *world;
    atomic_uint *wrong;
} worker;

static void *work(void *user) {
    worker *me = user;
    for (int i = 0; i < ROUNDS; i++) {
        bool right;
        run(me->world, 1, &right);
        if (!right) atomic_fetch_add(me->wrong, 1);
    }
    return NULL;
}

/* Rate of many threads over that of the slowest stage of `stage_us`. */
static double rate_of(world *w, double stage_us) {
    pthread_t threads[THREADS];
    worker workers[THREADS];
    atomic_uint wrong = 0;
    uint64_t took = pt_now_ns();
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){w, &wrong};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    took = pt_now_ns() - took;
    assert_int_equal(atomic_load(&wrong), 0);
    return THREADS * ROUNDS * stage_us / ((double)took / 1e3);
}

/* A chain over both devices and back: the first computes 6 ms a run, the second 4. */
static void threads_fill_the_slowest_stage(void **state) {
    static const partita_option options[] = {{"sim:0.us", "*:3000"},   {"sim:1.us", "*:4000"},
                                             {"sim:0.copy_us", "100"}, {"sim:1.copy_us", "100"},
                                             {"sim:0.launch_us", "0"}, {"sim:1.launch_us", "0"}};
    static const partita_pin pins[] = {{"first|last", "sim:0"}, {"middle", "sim:1"}};
    double rate = 0;
    world w;
    PT_UNUSED(state);
    pt_id x = world_begin(&w, COUNT), y = world_node(&w, "Abs", "first", x, PT_NONE);
    y = world_node(&w, "Neg", "middle", y, PT_NONE);
    world_load(&w, world_node(&w, "Abs", "last", y, PT_NONE), "sim:0,sim:1", options, PT_COUNT_OF(options), pins,
               PT_COUNT_OF(pins));
    /* A busy machine may be slow for a while. */
    for (int i = 0; i < 10 && rate < 0.8; i++) rate = PT_MAX(rate, rate_of(&w, 6000));
    if (rate < 0.8) fail_msg("%.2f of the rate of the slowest stage", rate);
    world_end(&w);
}

/* Devices that run while called, so that calls of a part would overlap: sim fails those that do. */
static void serial_parts_take_turns(void **state) {
    static const partita_option options[] = {
        {"sim:0.serial", "1"}, {"sim:0.async", "0"}, {"sim:0.us", "*:500"}, {"sim:1.copy_us", "100"}};
    static const partita_pin pins[] = {{"first", "sim:0"}, {"last", "sim:1"}};
    world w;
    PT_UNUSED(state);
    pt_id x = world_begin(&w, COUNT), y = world_node(&w, "Abs", "first", x, PT_NONE);
    world_load(&w, world_node(&w, "Abs", "last", y, PT_NONE), "sim:0,sim:1", options, PT_COUNT_OF(options), pins,
               PT_COUNT_OF(pins));
    assert_true(rate_of(&w, 500) < 1.05);
    world_end(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_take_the_makespan),
        cmocka_unit_test(threads_fill_the_slowest_stage),
        cmocka_unit_test(serial_parts_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
