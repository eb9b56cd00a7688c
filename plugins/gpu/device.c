/* SPDX-License-Identifier: Apache-2.0 */
/* The shared part of a device: its life, messages, and the slots of ptp_device_vtable that need nothing else. */
#include "gpu/gpu.h"
#include "gpu/executable.h"
#include <stdarg.h>
#include <stdio.h>

partita_status gpu_fail(const ptp_host *host, partita_status code, const char *format, ...) {
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    host->fail(host->self, code, text);
    return code;
}

partita_status gpu_device_init(gpu_device *device) {
    if (pthread_mutex_init(&device->lock, NULL) != 0) {
        return gpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "no mutex for the device");
    }
    device->programs = NULL;
    device->weights = NULL;
    device->programs_built = 0;
    device->fused_built = 0;
    device->weight_bytes = 0;
    return PARTITA_OK;
}

void gpu_device_deinit(gpu_device *device) {
    gpu_programs_free(device);
    gpu_weights_free(device);
    pthread_mutex_destroy(&device->lock);
}

void gpu_struct_out(void *to, const void *from, uint32_t mine) {
    uint32_t theirs;
    memcpy(&theirs, to, sizeof(theirs));
    memcpy(to, from, theirs < mine ? theirs : mine);
    memcpy(to, &theirs, sizeof(theirs));
}

partita_status gpu_info(ptp_device *device, ptp_device_info *out_info) {
    gpu_struct_out(out_info, &((const gpu_device *)device)->info, sizeof(*out_info));
    return PARTITA_OK;
}

partita_status gpu_offer(ptp_device *device, ptp_offer *offer) {
    (void)device;
    offer->verdict = PTP_ACCEPT;
    offer->us = -1;
    return PARTITA_OK;
}

partita_status gpu_cache_need(ptp_device *opaque, char *text, uint64_t capacity) {
    const gpu_device *device = (const gpu_device *)opaque;
    int size = snprintf(text, capacity, "%s; %s", device->info.description, device->info.driver);
    if (size >= 0 && (uint64_t)size < capacity) return PARTITA_OK;
    return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "%d bytes of text, room for %llu", size + 1,
                    (unsigned long long)capacity);
}

partita_status gpu_usage(ptp_device *opaque, ptp_usage *out_usage) {
    gpu_device *device = (gpu_device *)opaque;
    const gpu_counts *counts = &device->counts;
    ptp_usage usage = {.size = sizeof(usage),
                       .buffer_bytes = counts->buffer_bytes,
                       .copies = counts->copies,
                       .copied_bytes = counts->copied_bytes,
                       .launches = counts->launches,
                       .busy_ns = counts->busy_ns};
    pthread_mutex_lock(&device->lock);
    usage.programs_built = device->programs_built;
    usage.weight_bytes = device->weight_bytes;
    pthread_mutex_unlock(&device->lock);
    gpu_struct_out(out_usage, &usage, sizeof(usage));
    return PARTITA_OK;
}
