/* SPDX-License-Identifier: Apache-2.0 */
/* Completions that drivers tell of in any order, on any thread, or from within a signal: the host hears them in order.
 */
#include "gpu/order.h"
#include "fake_host.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { MANY = 64 };

typedef struct order_fixture {
    fake_host fake;
    gpu_order order;
    ptp_timeline timeline;
    uint64_t heard[MANY * 2];
    uint32_t heard_count;
    gpu_completion *later; /* told of from within the first signal */
} order_fixture;

static order_fixture *current;

static void signal_listening(void *self, ptp_timeline *timeline, uint64_t value, partita_status code,
                             const char *message) {
    current->heard[current->heard_count++] = value;
    gpu_completion *later = current->later;
    current->later = NULL;
    if (later) gpu_order_ready(&current->order, later, PARTITA_OK, NULL);
    fake_signal(self, timeline, value, code, message);
}

static int open_order(void **state) {
    order_fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    fake_host_init(&f->fake);
    f->fake.host.timeline_signal = signal_listening;
    fake_timeline_init(&f->timeline);
    gpu_order_init(&f->order, &f->fake.host);
    *state = current = f;
    return 0;
}

static int close_order(void **state) {
    order_fixture *f = *state;
    gpu_order_deinit(&f->order);
    assert_int_equal(f->fake.live, 0);
    free(f);
    return 0;
}

static gpu_completion *add(order_fixture *f, uint64_t value) {
    gpu_completion *one = f->fake.host.alloc(&f->fake, sizeof(*one), 16);
    assert_non_null(one);
    *one = (gpu_completion){.done = {value ? &f->timeline : NULL, value}};
    gpu_order_add(&f->order, one);
    return one;
}

static void later_ones_wait_for_earlier_ones(void **state) {
    order_fixture *f = *state;
    gpu_completion *first = add(f, 1), *second = add(f, 0), *third = add(f, 2);
    gpu_order_ready(&f->order, third, PARTITA_OK, NULL);
    gpu_order_ready(&f->order, first, PARTITA_OK, NULL);
    assert_int_equal(f->heard_count, 1);
    gpu_order_ready(&f->order, second, PARTITA_OK, NULL);
    assert_int_equal(f->heard_count, 2);
    assert_int_equal(f->heard[0], 1);
    assert_int_equal(f->heard[1], 2);
    gpu_order_wait(&f->order);
}

static void failures_are_told_with_their_cause(void **state) {
    order_fixture *f = *state;
    gpu_order_ready(&f->order, add(f, 1), PARTITA_DEVICE_FAILED, "lost");
    assert_int_equal(f->timeline.code, PARTITA_DEVICE_FAILED);
    assert_string_equal(f->fake.message, "lost");
}

static void one_that_completes_within_a_signal(void **state) {
    order_fixture *f = *state;
    gpu_completion *first = add(f, 1);
    f->later = add(f, 2);
    gpu_order_ready(&f->order, first, PARTITA_OK, NULL);
    assert_int_equal(f->heard_count, 2);
    assert_int_equal(f->fake.backwards, 0);
}

typedef struct teller {
    order_fixture *f;
    gpu_completion *all[MANY];
    pthread_t thread;
} teller;

static void *tell_backwards(void *user) {
    teller *t = user;
    for (int i = MANY; i-- > 0;) gpu_order_ready(&t->f->order, t->all[i], PARTITA_OK, NULL);
    return NULL;
}

static void many_threads_tell(void **state) {
    order_fixture *f = *state;
    teller tellers[2] = {{.f = f}, {.f = f}};
    for (uint64_t i = 0; i < MANY; i++)
        for (int t = 0; t < 2; t++) tellers[t].all[i] = add(f, i * 2 + (uint64_t)t + 1);
    for (int t = 0; t < 2; t++)
        assert_int_equal(pthread_create(&tellers[t].thread, NULL, tell_backwards, &tellers[t]), 0);
    gpu_order_wait(&f->order);
    for (int t = 0; t < 2; t++) pthread_join(tellers[t].thread, NULL);
    assert_int_equal(f->heard_count, MANY * 2);
    for (uint64_t i = 0; i < MANY * 2; i++) assert_int_equal(f->heard[i], i + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(later_ones_wait_for_earlier_ones, open_order, close_order),
        cmocka_unit_test_setup_teardown(failures_are_told_with_their_cause, open_order, close_order),
        cmocka_unit_test_setup_teardown(one_that_completes_within_a_signal, open_order, close_order),
        cmocka_unit_test_setup_teardown(many_threads_tell, open_order, close_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
