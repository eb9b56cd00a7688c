/* SPDX-License-Identifier: Apache-2.0 */
/* The host's view of a buffer: the memory itself where the host sees it, otherwise staging that is copied both ways. */
#include "vulkan/vk.h"

static partita_status staging_fill(ptp_device *device, ptp_buffer *buffer, vk_mapping *mapping) {
    vk_request request = {.use = VK_FOR_STAGING, .bytes = mapping->bytes};
    partita_status status = vk_memory_create(device, &request, &mapping->staging);
    if (status != PARTITA_OK) return status;
    mapping->data = mapping->staging.mapped;
    /* what a write leaves out must stay as it is, so it is read too */
    status = vk_copy_now(device, &buffer->block->memory, buffer->offset + mapping->offset, &mapping->staging, 0,
                         mapping->bytes);
    if (status == PARTITA_OK) vk_memory_invalidate(device, &mapping->staging, 0, mapping->bytes);
    return status;
}

static void mapping_free(ptp_device *device, vk_mapping *mapping) {
    vk_memory_destroy(device, &mapping->staging);
    vk_free(device->host, mapping);
}

partita_status vk_map(ptp_device *device, ptp_buffer *buffer, uint64_t offset, uint64_t bytes, uint32_t access,
                      void **out_data) {
    const vk_memory *memory = &buffer->block->memory;
    partita_status status;
    *out_data = NULL;
    if (offset > buffer->gpu.bytes || bytes > buffer->gpu.bytes - offset || bytes == 0) {
        return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "bytes %llu to %llu of a buffer of %llu",
                        (unsigned long long)offset, (unsigned long long)(offset + bytes),
                        (unsigned long long)buffer->gpu.bytes);
    }
    vk_mapping *mapping = vk_alloc(device->host, sizeof(*mapping));
    if (!mapping) return PARTITA_OUT_OF_MEMORY;
    *mapping = (vk_mapping){.offset = offset, .bytes = bytes, .access = access};
    if (memory->mapped) {
        mapping->data = (char *)memory->mapped + buffer->offset + offset;
        status = vk_queue_wait(device, 0);
        if (status == PARTITA_OK) vk_memory_invalidate(device, memory, buffer->offset + offset, bytes);
    } else {
        status = staging_fill(device, buffer, mapping);
    }
    if (status != PARTITA_OK) {
        mapping_free(device, mapping);
        return status;
    }
    *out_data = mapping->data;
    pthread_mutex_lock(&device->memory_lock);
    mapping->next = buffer->mappings;
    buffer->mappings = mapping;
    pthread_mutex_unlock(&device->memory_lock);
    return PARTITA_OK;
}

partita_status vk_unmap(ptp_device *device, ptp_buffer *buffer, void *data) {
    partita_status status = PARTITA_OK;
    vk_mapping *mapping = NULL;
    pthread_mutex_lock(&device->memory_lock);
    for (vk_mapping **link = &buffer->mappings; *link; link = &(*link)->next) {
        if ((*link)->data != data) continue;
        mapping = *link;
        *link = mapping->next;
        break;
    }
    pthread_mutex_unlock(&device->memory_lock);
    if (!mapping) return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "this address was not mapped");
    uint64_t at = buffer->offset + mapping->offset;
    if (mapping->access & PTP_MAP_WRITE) {
        if (mapping->staging.buffer) {
            vk_memory_flush(device, &mapping->staging, 0, mapping->bytes);
            status = vk_copy_now(device, &mapping->staging, 0, &buffer->block->memory, at, mapping->bytes);
        } else {
            vk_memory_flush(device, &buffer->block->memory, at, mapping->bytes);
        }
    }
    mapping_free(device, mapping);
    return status;
}

void vk_mappings_free(ptp_device *device, ptp_buffer *buffer) {
    while (buffer->mappings) {
        vk_mapping *mapping = buffer->mappings;
        buffer->mappings = mapping->next;
        mapping_free(device, mapping);
    }
}
