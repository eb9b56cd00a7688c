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

partita_status gpu_info(ptp_device *device, ptp_device_info *out_info) {
    const gpu_device *gpu = (const gpu_device *)device;
    uint32_t size = out_info->size < sizeof(*out_info) ? out_info->size : (uint32_t)sizeof(*out_info);
    uint32_t kept = out_info->size;
    memcpy(out_info, &gpu->info, size);
    out_info->size = kept;
    return PARTITA_OK;
}

partita_status gpu_offer(ptp_device *device, ptp_offer *offer) {
    (void)device;
    offer->verdict = PTP_ACCEPT;
    offer->us = -1;
    return PARTITA_OK;
}

void gpu_usage(gpu_device *device, ptp_usage *usage) {
    pthread_mutex_lock(&device->lock);
    usage->programs_built = device->programs_built;
    usage->weight_bytes = device->weight_bytes;
    pthread_mutex_unlock(&device->lock);
}
