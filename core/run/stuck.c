/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs that nobody waits for any more: they were to stop and a device has not come back. While it has not, for
 * longer than devices take that only are slow, requests go elsewhere.
 */
#include "run/runner.h"
#include <stdatomic.h>

/* From when a run was left to where a device that has not come back hangs. */
#define HANG_NS UINT64_C(1000000000)

bool pt_device_hangs(const pt_device *device) {
    if (!atomic_load(&device->stuck)) return false;
    return pt_now_ns() - atomic_load(&device->stuck_ns) > HANG_NS;
}

static void add(pt_request *request, pt_device *device) {
    for (uint32_t i = 0; i < request->stuck_count; i++)
        if (request->stuck[i] == device) return;
    if (request->stuck_count == PT_COUNT_OF(request->stuck)) return;
    request->stuck[request->stuck_count++] = device;
    if (atomic_fetch_add(&device->stuck, 1) == 0) atomic_store(&device->stuck_ns, pt_now_ns());
}

void pt_request_mark_stuck(pt_request *request) {
    pthread_mutex_lock(&request->lock);
    for (pt_frame *frame = request->waiting; frame; frame = frame->around) {
        const pt_part *sizing = atomic_load(&frame->sizing);
        if (sizing) add(request, sizing->device);
        pthread_mutex_lock(&frame->lock);
        for (uint32_t s = 0; s < frame->program->steps.size; s++)
            if (frame->steps[s].started && !frame->steps[s].complete && frame->program->steps.data[s].device)
                add(request, frame->program->steps.data[s].device);
        pthread_mutex_unlock(&frame->lock);
    }
    pthread_mutex_unlock(&request->lock);
}

void pt_request_unmark_stuck(pt_request *request) {
    for (uint32_t i = 0; i < request->stuck_count; i++) atomic_fetch_sub(&request->stuck[i]->stuck, 1);
    request->stuck_count = 0;
}
