/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timelines: the one synchronisation object between host and plugins. A 64-bit value that only rises and carries an
 * error; threads wait for it, and one listener hears of every signal. Thread-safe.
 */
#ifndef PT_RUN_TIMELINE_H
#define PT_RUN_TIMELINE_H

#include "base/base.h"
#include <partita/plugin.h>
#include <pthread.h>

/* Called after the value moved, on the thread that signalled, without a lock. The timeline may be gone when it returns.
 */
typedef void (*pt_timeline_fn)(void *user, uint64_t value, partita_status status, const char *message);

typedef struct pt_timeline {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t value;
    partita_status status;
    char *message; /* of the failure; NULL */
    pt_timeline_fn listener;
    void *user;
} pt_timeline;

static inline ptp_timeline *pt_timeline_handle(pt_timeline *timeline) { return (ptp_timeline *)timeline; }

partita_status pt_timeline_init(pt_timeline *timeline, pt_timeline_fn listener, void *user);
void pt_timeline_deinit(pt_timeline *timeline);
partita_status pt_timeline_create(pt_timeline **out_timeline);
void pt_timeline_destroy(pt_timeline *timeline);
/* Moves it to `value`; a value that is not above the present one is ignored. A failure stays. */
void pt_timeline_signal(pt_timeline *timeline, uint64_t value, partita_status status, const char *message);
/* Waits until `value` is reached or it failed. deadline_ns: monotonic, 0 for none; DEADLINE when it passes. */
partita_status pt_timeline_wait(pt_timeline *timeline, uint64_t value, uint64_t deadline_ns);
/* A condition variable whose timed waits are on the monotonic clock. */
partita_status pt_cond_init(pthread_cond_t *cond);
/* Waits; false when the deadline (monotonic ns; 0: none) has passed. */
bool pt_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns);

#endif
