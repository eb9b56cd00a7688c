/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of a device that is not concurrent: those of several threads take turns, and one within another, as when a run
 * asks the host for an output in the device's own memory, does not wait for itself.
 */
#include "plugin/registry.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#include "ok.h"

enum { THREADS = 4, ROUNDS = 2000 };

typedef struct calls {
    pt_device *device;
    int inside;       /* guarded by nothing but the calls */
    atomic_int wrong; /* times that somebody else was inside */
} calls;

static partita_status within(calls *c) {
    if (c->inside++ != 1) atomic_fetch_add(&c->wrong, 1);
    c->inside--;
    return PARTITA_OK;
}

/* A call whose service calls the device again. */
static partita_status call(calls *c) {
    if (c->inside++ != 0) atomic_fetch_add(&c->wrong, 1);
    partita_status status = pt_device_call(c->device, within(c));
    c->inside--;
    return status;
}

static void *run(void *user) {
    calls *c = user;
    for (int i = 0; i < ROUNDS; i++)
        if (pt_device_call(c->device, call(c)) != PARTITA_OK) atomic_fetch_add(&c->wrong, 1);
    return NULL;
}

static void calls_take_turns_and_nest(void **state) {
    static const char *const paths[] = {HOSTILE_FOLDER};
    const pt_registry_options options = {.paths = paths, .path_count = 1};
    pthread_t threads[THREADS];
    pt_registry *registry;
    calls c = {0};
    PT_UNUSED(state);
    alarm(60); /* instead of waiting for ever */
    OK(pt_registry_create(&options, &registry));
    OK(pt_registry_device(registry, PT_STR("good"), &c.device));
    assert_int_equal(c.device->info.flags & PTP_DEVICE_CONCURRENT, 0);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, run, &c), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&c.wrong), 0);
    pt_registry_destroy(registry);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_take_turns_and_nest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
