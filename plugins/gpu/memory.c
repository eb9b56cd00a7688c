/* SPDX-License-Identifier: Apache-2.0 */
/* What every API does alike with the host's buffers and copies: domains, bounds, counters. */
#include "gpu/backend.h"

partita_status gpu_memory_alloc(ptp_device *opaque, uint32_t domain, uint64_t bytes, ptp_buffer **out_buffer) {
    gpu_device *device = (gpu_device *)opaque;
    const gpu_backend_vtable *backend = device->backend;
    uint64_t most = device->caps.max_buffer;
    *out_buffer = NULL;
    if (domain != 0) return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "there is no memory domain %u", domain);
    if (most && bytes > most) {
        return gpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "a buffer of %llu bytes, at most %llu",
                        (unsigned long long)bytes, (unsigned long long)most);
    }
    partita_status status =
        (backend->host_alloc ? backend->host_alloc : backend->buffer_alloc)(device, bytes, out_buffer);
    if (status != PARTITA_OK) return status;
    ((gpu_buffer *)*out_buffer)->counted = true;
    device->counts.buffer_bytes += bytes;
    return PARTITA_OK;
}

void gpu_memory_free(ptp_device *opaque, ptp_buffer *buffer) {
    gpu_device *device = (gpu_device *)opaque;
    const gpu_buffer *head = (const gpu_buffer *)buffer;
    if (!buffer) return;
    if (head->counted) device->counts.buffer_bytes -= head->bytes;
    device->backend->buffer_free(device, buffer);
}

static bool in_range(const ptp_buffer *buffer, uint64_t offset, uint64_t bytes) {
    const gpu_buffer *head = (const gpu_buffer *)buffer;
    return !head || (offset <= head->bytes && bytes <= head->bytes - offset);
}

partita_status gpu_copy_check(gpu_device *device, const ptp_copy *copy) {
    if (!copy->source && !copy->target) {
        return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "a copy without a buffer");
    }
    if (in_range(copy->source, copy->source_offset, copy->bytes) &&
        in_range(copy->target, copy->target_offset, copy->bytes)) {
        return PARTITA_OK;
    }
    return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "a copy of %llu bytes leaves its buffer",
                    (unsigned long long)copy->bytes);
}

void gpu_copy_count(gpu_device *device, const ptp_copy *copies, uint32_t count) {
    device->counts.copies += count;
    for (uint32_t i = 0; i < count; i++) device->counts.copied_bytes += gpu_copy_at(copies, i)->bytes;
}
