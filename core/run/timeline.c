/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timelines on a mutex and a condition variable.
 */
#include "run/timeline.h"
#include <errno.h>
#include <time.h>

partita_status pt_cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes)) return PT_OUT_OF_MEMORY();
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
    return failed ? PT_OUT_OF_MEMORY() : PARTITA_OK;
}

bool pt_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns) {
    if (!deadline_ns) {
        pthread_cond_wait(cond, lock);
        return true;
    }
    struct timespec until = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    return pthread_cond_timedwait(cond, lock, &until) != ETIMEDOUT;
}

partita_status pt_timeline_init(pt_timeline *timeline, pt_timeline_fn listener, void *user) {
    *timeline = (pt_timeline){.listener = listener, .user = user};
    if (pthread_mutex_init(&timeline->lock, NULL)) return PT_OUT_OF_MEMORY();
    partita_status status = pt_cond_init(&timeline->moved);
    if (status != PARTITA_OK) pthread_mutex_destroy(&timeline->lock);
    return status;
}

void pt_timeline_deinit(pt_timeline *timeline) {
    pthread_cond_destroy(&timeline->moved);
    pthread_mutex_destroy(&timeline->lock);
    pt_free(timeline->message);
}

partita_status pt_timeline_create(pt_timeline **out_timeline) {
    pt_timeline *timeline = pt_malloc(sizeof(*timeline));
    if (!timeline) return PT_OUT_OF_MEMORY();
    partita_status status = pt_timeline_init(timeline, NULL, NULL);
    if (status != PARTITA_OK) {
        pt_free(timeline);
        return status;
    }
    *out_timeline = timeline;
    return PARTITA_OK;
}

void pt_timeline_destroy(pt_timeline *timeline) {
    if (!timeline) return;
    /* whoever signalled last may still hold the lock */
    pthread_mutex_lock(&timeline->lock);
    pthread_mutex_unlock(&timeline->lock);
    pt_timeline_deinit(timeline);
    pt_free(timeline);
}

static char *copy_text(const char *text) {
    size_t size = text ? strlen(text) : 0;
    char *copy = size ? pt_malloc(size + 1) : NULL;
    if (copy) memcpy(copy, text, size + 1);
    return copy;
}

void pt_timeline_signal(pt_timeline *timeline, uint64_t value, partita_status status, const char *message) {
    char *copy = status == PARTITA_OK ? NULL : copy_text(message);
    pthread_mutex_lock(&timeline->lock);
    if (value <= timeline->value) {
        pthread_mutex_unlock(&timeline->lock);
        pt_free(copy);
        return;
    }
    timeline->value = value;
    if (status != PARTITA_OK && timeline->status == PARTITA_OK) {
        timeline->status = status;
        timeline->message = copy;
        copy = NULL;
    }
    pt_timeline_fn listener = timeline->listener;
    void *user = timeline->user;
    pthread_cond_broadcast(&timeline->moved);
    pthread_mutex_unlock(&timeline->lock);
    pt_free(copy);
    if (listener) listener(user, value, status, message);
}

partita_status pt_timeline_wait(pt_timeline *timeline, uint64_t value, uint64_t deadline_ns) {
    partita_status status = PARTITA_OK;
    pthread_mutex_lock(&timeline->lock);
    while (timeline->value < value && timeline->status == PARTITA_OK && status == PARTITA_OK)
        if (!pt_cond_wait_until(&timeline->moved, &timeline->lock, deadline_ns) && timeline->value < value)
            status = pt_fail(PARTITA_DEADLINE, "deadline exceeded");
    if (timeline->status != PARTITA_OK)
        status =
            pt_fail_copy(timeline->status, timeline->message ? timeline->message : pt_status_text(timeline->status));
    pthread_mutex_unlock(&timeline->lock);
    return status;
}
