/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The services of a host that runs single parts: timelines and runs, as little as a device needs. Values aren't there.
 */
#ifndef TESTS_PLUGINS_HOST_STUB_H
#define TESTS_PLUGINS_HOST_STUB_H

#include "plugin/registry.h"

#include <pthread.h>

typedef struct stub_timeline {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t value;
    partita_status status;
    char message[256];
} stub_timeline;

/* A run that gives outputs memory of its device. */
typedef struct stub_run {
    pt_device *device;
    int32_t stopped;
    ptp_tensor outputs[4];
    int64_t dims[4][8];
} stub_run;

const ptp_host *stub_services(void);
void stub_timeline_init(stub_timeline *timeline);
void stub_timeline_deinit(stub_timeline *timeline);
/* Waits; the timeline's status, its text in `message`. */
partita_status stub_wait(stub_timeline *timeline, uint64_t value);
static inline ptp_point stub_point(stub_timeline *timeline, uint64_t value) {
    return (ptp_point){(ptp_timeline *)timeline, value};
}

#endif
