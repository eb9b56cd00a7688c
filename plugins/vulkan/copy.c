/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies. Host memory goes through the staging of a submission: filled before it is enqueued, or emptied by the waiter
 * when it is complete, so that a copy stands in order with the kernels around it. Large ones are cut over several
 * submissions.
 */
#include "vulkan/vk.h"

#define STAGING_MOST      (16ull << 20)
#define STAGING_ALIGNMENT 64u

/* Staging of at least `bytes`, while none of it is in use. */
static partita_status staging_grow(ptp_device *device, vk_slot *slot, uint64_t bytes) {
    vk_request request = {.use = VK_FOR_STAGING, .bytes = vk_align(bytes, 65536)};
    if (slot->staging.buffer && slot->staging.bytes >= bytes) return PARTITA_OK;
    vk_memory_destroy(device, &slot->staging);
    return vk_memory_create(device, &request, &slot->staging);
}

static partita_status download_add(ptp_device *device, vk_slot *slot, void *target, uint64_t offset, uint64_t bytes) {
    if (slot->download_count == slot->download_capacity) {
        uint32_t capacity = slot->download_capacity ? slot->download_capacity * 2 : 16;
        vk_download *grown = vk_alloc(device->host, capacity * sizeof(*grown));
        if (!grown) return PARTITA_OUT_OF_MEMORY;
        if (slot->download_count) memcpy(grown, slot->downloads, slot->download_count * sizeof(*grown));
        vk_free(device->host, slot->downloads);
        slot->downloads = grown;
        slot->download_capacity = capacity;
    }
    slot->downloads[slot->download_count++] = (vk_download){target, offset, bytes};
    return PARTITA_OK;
}

/* A batch under way: the open slot, and how much of the batch needs staging still. */
typedef struct batch {
    vk_slot *slot;
    uint64_t staged_left;
} batch;

static partita_status batch_open(ptp_device *device, batch *b) {
    partita_status status = vk_slot_acquire(device, &b->slot);
    if (status != PARTITA_OK || b->staged_left == 0) return status;
    uint64_t bytes = b->staged_left < STAGING_MOST ? b->staged_left : STAGING_MOST;
    status = staging_grow(device, b->slot, bytes);
    if (status != PARTITA_OK) {
        vk_slot_abandon(device, b->slot);
        b->slot = NULL;
    }
    return status;
}

static bool is_staged(const ptp_copy *copy) { return !copy->source || !copy->target; }

/* As much of the copy as the slot's staging has room for. */
static partita_status piece_record(ptp_device *device, batch *b, const ptp_copy *copy, uint64_t done,
                                   uint64_t *out_bytes) {
    vk_slot *slot = b->slot;
    uint64_t bytes = copy->bytes - done;
    VkBuffer from = VK_NULL_HANDLE, to = VK_NULL_HANDLE;
    VkBufferCopy region = {.size = bytes};
    if (is_staged(copy)) {
        uint64_t at = vk_align(slot->staging_used, STAGING_ALIGNMENT);
        uint64_t room = at < slot->staging.bytes ? slot->staging.bytes - at : 0;
        region.size = bytes = bytes < room ? bytes : room;
        *out_bytes = bytes;
        if (bytes == 0) return PARTITA_OK;
        slot->staging_used = at + bytes;
        b->staged_left -= bytes;
        region.srcOffset = region.dstOffset = at;
        from = to = slot->staging.buffer;
        if (copy->source) {
            partita_status status = download_add(device, slot, (char *)copy->target_data + done, at, bytes);
            if (status != PARTITA_OK) return status;
        } else {
            memcpy((char *)slot->staging.mapped + at, (const char *)copy->source_data + done, bytes);
            vk_memory_flush(device, &slot->staging, at, bytes);
        }
    }
    *out_bytes = bytes;
    if (copy->source) {
        from = copy->source->block->memory.buffer;
        region.srcOffset = copy->source->offset + copy->source_offset + done;
    }
    if (copy->target) {
        to = copy->target->block->memory.buffer;
        region.dstOffset = copy->target->offset + copy->target_offset + done;
    }
    device->CmdCopyBuffer(slot->commands, from, to, 1, &region);
    return PARTITA_OK;
}

static partita_status copy_record(ptp_device *device, batch *b, const ptp_copy *copy) {
    for (uint64_t done = 0, bytes; done < copy->bytes; done += bytes) {
        partita_status status = piece_record(device, b, copy, done, &bytes);
        if (status == PARTITA_OK && bytes == 0) { /* staging is full: on to the next submission */
            status = vk_slot_submit(device, b->slot, (ptp_point){NULL, 0}, NULL);
            b->slot = NULL;
            if (status == PARTITA_OK) status = batch_open(device, b);
        }
        if (status != PARTITA_OK) return status;
    }
    return PARTITA_OK;
}

partita_status vk_copy(ptp_device *device, const ptp_copy *copies, uint32_t count, ptp_point done) {
    batch b = {0};
    partita_status status = PARTITA_OK;
    for (uint32_t i = 0; i < count && status == PARTITA_OK; i++) {
        const ptp_copy *copy = gpu_copy_at(copies, i);
        status = gpu_copy_check(&device->gpu, copy);
        if (status == PARTITA_OK) vk_import_flush(device, copy->source, copy->source_offset, copy->bytes);
        if (is_staged(copy)) b.staged_left += copy->bytes + STAGING_ALIGNMENT;
    }
    if (status == PARTITA_OK) status = batch_open(device, &b);
    for (uint32_t i = 0; i < count && status == PARTITA_OK; i++)
        status = copy_record(device, &b, gpu_copy_at(copies, i));
    if (status == PARTITA_OK) {
        status = vk_slot_submit(device, b.slot, done, NULL);
        b.slot = NULL;
    }
    if (b.slot) vk_slot_abandon(device, b.slot);
    if (status != PARTITA_OK) {
        vk_queue_drain(device); /* pieces on their way end in memory that the caller may free */
        return status;
    }
    gpu_copy_count(&device->gpu, copies, count);
    return PARTITA_OK;
}

partita_status vk_copy_now(ptp_device *device, const vk_memory *source, uint64_t source_offset, const vk_memory *target,
                           uint64_t target_offset, uint64_t bytes) {
    VkBufferCopy region = {.srcOffset = source_offset, .dstOffset = target_offset, .size = bytes};
    uint64_t value = 0;
    vk_slot *slot;
    partita_status status = vk_slot_acquire(device, &slot);
    if (status != PARTITA_OK) return status;
    device->CmdCopyBuffer(slot->commands, source->buffer, target->buffer, 1, &region);
    status = vk_slot_submit(device, slot, (ptp_point){NULL, 0}, &value);
    return status == PARTITA_OK ? vk_queue_wait(device, value) : status;
}

/* A weight: nothing uses the buffer yet, so that where the host sees it, it is written at once. */
partita_status vk_gpu_buffer_upload(gpu_device *gpu, ptp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes) {
    ptp_device *device = (ptp_device *)gpu;
    const vk_memory *memory = &buffer->block->memory;
    partita_status status = PARTITA_OK;
    if (memory->mapped) {
        memcpy((char *)memory->mapped + buffer->offset + offset, data, bytes);
        vk_memory_flush(device, memory, buffer->offset + offset, bytes);
        return PARTITA_OK;
    }
    for (uint64_t at = 0; at < bytes && status == PARTITA_OK;) {
        batch b = {.staged_left = bytes - at};
        status = batch_open(device, &b);
        if (status != PARTITA_OK) return status;
        ptp_copy copy = {
            .size = sizeof(copy), .source_data = data, .target = buffer, .target_offset = offset, .bytes = bytes};
        uint64_t piece = 0, value = 0;
        status = piece_record(device, &b, &copy, at, &piece);
        if (status != PARTITA_OK) {
            vk_slot_abandon(device, b.slot);
            return status;
        }
        status = vk_slot_submit(device, b.slot, (ptp_point){NULL, 0}, &value);
        if (status == PARTITA_OK) status = vk_queue_wait(device, value);
        at += piece;
    }
    return status;
}
