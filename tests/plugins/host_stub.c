/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timelines and runs of the stub.
 */
#include "host_stub.h"

#include <stdio.h>

void stub_timeline_init(stub_timeline *timeline) {
    *timeline = (stub_timeline){.value = 0};
    pthread_mutex_init(&timeline->lock, NULL);
    pthread_cond_init(&timeline->moved, NULL);
}

void stub_timeline_deinit(stub_timeline *timeline) {
    pthread_cond_destroy(&timeline->moved);
    pthread_mutex_destroy(&timeline->lock);
}

static void timeline_signal(void *self, ptp_timeline *handle, uint64_t value, partita_status code,
                            const char *message) {
    stub_timeline *timeline = (stub_timeline *)(void *)handle;
    PT_UNUSED(self);
    pthread_mutex_lock(&timeline->lock);
    if (value > timeline->value) timeline->value = value;
    if (code != PARTITA_OK && timeline->status == PARTITA_OK) {
        timeline->status = code;
        snprintf(timeline->message, sizeof(timeline->message), "%s", message ? message : "");
    }
    pthread_cond_broadcast(&timeline->moved);
    pthread_mutex_unlock(&timeline->lock);
}

partita_status stub_wait(stub_timeline *timeline, uint64_t value) {
    partita_status status;
    pthread_mutex_lock(&timeline->lock);
    while (timeline->value < value && timeline->status == PARTITA_OK) {
        pthread_cond_wait(&timeline->moved, &timeline->lock);
    }
    status = timeline->status;
    pthread_mutex_unlock(&timeline->lock);
    return status;
}

static partita_status timeline_wait(void *self, ptp_timeline *handle, uint64_t value, uint64_t deadline_ns) {
    PT_UNUSED(self);
    PT_UNUSED(deadline_ns);
    return stub_wait((stub_timeline *)(void *)handle, value);
}

static int32_t run_stopped(void *self, ptp_run *run) {
    PT_UNUSED(self);
    return ((stub_run *)(void *)run)->stopped;
}

static partita_status run_alloc_output(void *self, ptp_run *handle, uint32_t index, partita_dtype dtype, uint32_t rank,
                                       const int64_t *dims, ptp_tensor *out) {
    stub_run *run = (stub_run *)(void *)handle;
    uint64_t count, bytes;
    PT_UNUSED(self);
    if (index >= 4 || rank > 8 || !pt_dims_count(dims, rank, &count) || !pt_dtype_bytes(dtype, count, &bytes)) {
        return pt_fail(PARTITA_INTERNAL, "stub: no such output");
    }
    if (rank) memcpy(run->dims[index], dims, rank * sizeof(*dims));
    *out = (ptp_tensor){.size = sizeof(*out),
                        .kind = PARTITA_KIND_TENSOR,
                        .dtype = dtype,
                        .rank = rank,
                        .dims = run->dims[index],
                        .domain = 0,
                        .bytes = bytes};
    PT_TRY(pt_device_call(run->device, run->device->memory.alloc(run->device->handle, 0, bytes, &out->buffer)));
    run->outputs[index] = *out;
    return PARTITA_OK;
}

static partita_status run_set_output(void *self, ptp_run *run, uint32_t index, ptp_value *value) {
    PT_UNUSED(self);
    PT_UNUSED(run);
    PT_UNUSED(index);
    PT_UNUSED(value);
    return pt_fail(PARTITA_UNSUPPORTED, "stub: no values");
}

const ptp_host *stub_services(void) {
    static const ptp_host table = {.size = sizeof(ptp_host),
                                   .timeline_signal = timeline_signal,
                                   .timeline_wait = timeline_wait,
                                   .run_stopped = run_stopped,
                                   .run_alloc_output = run_alloc_output,
                                   .run_set_output = run_set_output};
    return &table;
}
