/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of launches as one command buffer: pipelines, descriptors, params, and a barrier where a launch depends on
 * another. */
#include "vulkan/vk.h"

#define SETS_PER_POOL 128u

/* Bytes that launches since the last barrier touch. */
typedef struct touched {
    const void *space; /* within which ranges can be compared */
    uint64_t begin, end;
    bool write;
} touched;

#define TOUCHED_MOST 64u
typedef struct hazards {
    uint32_t count;
    touched rows[TOUCHED_MOST];
} hazards;

/* Two buffers over the same host memory are compared by address; what an fd brought may be the same as what another
 * did. */
static touched range_of(const gpu_binding *binding, bool write) {
    static const char host_space, fd_space;
    const vk_block *block = binding->buffer->block;
    touched range = {.space = block, .begin = binding->buffer->offset + binding->offset, .write = write};
    if (block->kind == VK_IMPORT_HOST) {
        range.space = &host_space;
        range.begin += (uintptr_t)block->memory.mapped;
    }
    range.end = range.begin + binding->bytes;
    if (block->kind == VK_IMPORT_FD) range = (touched){&fd_space, 0, UINT64_MAX, write};
    return range;
}

static bool conflicts(const hazards *seen, const touched *range) {
    for (uint32_t i = 0; i < seen->count; i++) {
        const touched *other = &seen->rows[i];
        if (other->space == range->space && (other->write || range->write) && other->begin < range->end &&
            range->begin < other->end) {
            return true;
        }
    }
    return false;
}

static void dependences_mind(ptp_device *device, vk_slot *slot, const gpu_launch *launch, hazards *seen) {
    touched ranges[GPU_MAX_BINDINGS];
    bool barrier = seen->count + launch->binding_count > TOUCHED_MOST;
    for (uint32_t i = 0; i < launch->binding_count; i++) {
        ranges[i] = range_of(&launch->bindings[i], launch->program->writes >> i & 1u);
        barrier = barrier || conflicts(seen, &ranges[i]);
    }
    if (barrier) {
        vk_slot_barrier(device, slot);
        seen->count = 0;
    }
    memcpy(seen->rows + seen->count, ranges, launch->binding_count * sizeof(*ranges));
    seen->count += launch->binding_count;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

static partita_status pool_add(ptp_device *device, vk_slot *slot) {
    VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, SETS_PER_POOL * GPU_MAX_BINDINGS};
    VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = SETS_PER_POOL,
                                       .poolSizeCount = 1,
                                       .pPoolSizes = &size};
    VkDescriptorPool *grown = vk_alloc(device->host, (slot->descriptor_pools + 1) * sizeof(*grown));
    if (!grown) return PARTITA_OUT_OF_MEMORY;
    if (slot->descriptor_pools) memcpy(grown, slot->descriptors, slot->descriptor_pools * sizeof(*grown));
    vk_free(device->host, slot->descriptors);
    slot->descriptors = grown;
    partita_status status =
        vk_check(device, device->CreateDescriptorPool(device->handle, &info, NULL, &grown[slot->descriptor_pools]),
                 "vkCreateDescriptorPool");
    if (status == PARTITA_OK) slot->descriptor_pools++;
    return status;
}

static partita_status set_take(ptp_device *device, vk_slot *slot, uint32_t binding_count, VkDescriptorSet *out_set) {
    if (slot->descriptor_used == 0 || slot->descriptor_sets == SETS_PER_POOL) {
        if (slot->descriptor_used == slot->descriptor_pools) {
            partita_status status = pool_add(device, slot);
            if (status != PARTITA_OK) return status;
        }
        slot->descriptor_used++;
        slot->descriptor_sets = 0;
    }
    slot->descriptor_sets++;
    VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                        .descriptorPool = slot->descriptors[slot->descriptor_used - 1],
                                        .descriptorSetCount = 1,
                                        .pSetLayouts = &device->set_layouts[binding_count]};
    return vk_check(device, device->AllocateDescriptorSets(device->handle, &info, out_set), "vkAllocateDescriptorSets");
}

static partita_status buffers_bind(ptp_device *device, vk_slot *slot, const gpu_launch *launch) {
    VkDescriptorBufferInfo buffers[GPU_MAX_BINDINGS];
    VkWriteDescriptorSet writes[GPU_MAX_BINDINGS];
    VkDescriptorSet set = VK_NULL_HANDLE;
    VkPipelineLayout layout = device->layouts[launch->binding_count];
    if (!device->push_descriptors) {
        partita_status status = set_take(device, slot, launch->binding_count, &set);
        if (status != PARTITA_OK) return status;
    }
    for (uint32_t i = 0; i < launch->binding_count; i++) {
        const gpu_binding *binding = &launch->bindings[i];
        const ptp_buffer *buffer = binding->buffer;
        uint64_t offset = binding->offset < buffer->gpu.bytes ? binding->offset : 0; /* an empty tensor at the end */
        if (offset != binding->offset ? binding->bytes > 4 : binding->bytes > vk_align(buffer->gpu.bytes, 4) - offset) {
            return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT,
                            "kernel %s: buffer %u has %llu bytes, %llu are bound at %llu", launch->name, i,
                            (unsigned long long)buffer->gpu.bytes, (unsigned long long)binding->bytes,
                            (unsigned long long)binding->offset);
        }
        vk_import_flush(device, buffer, offset, binding->bytes);
        /* whole words: drivers may fetch narrow elements by them. Buffers have room up to a page */
        buffers[i] = (VkDescriptorBufferInfo){.buffer = buffer->block->memory.buffer,
                                              .offset = buffer->offset + offset,
                                              .range = vk_align(binding->bytes, 4)};
        writes[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                           .dstSet = set,
                                           .dstBinding = i,
                                           .descriptorCount = 1,
                                           .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .pBufferInfo = &buffers[i]};
    }
    if (device->push_descriptors) {
        device->CmdPushDescriptorSetKHR(slot->commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0,
                                        launch->binding_count, writes);
    } else {
        device->UpdateDescriptorSets(device->handle, launch->binding_count, writes, 0, NULL);
        device->CmdBindDescriptorSets(slot->commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
    }
    return PARTITA_OK;
}

/* ---- the batch --------------------------------------------------------------------------------------------------- */

static partita_status launch_record(ptp_device *device, vk_slot *slot, const gpu_launch *launch, hazards *seen) {
    uint32_t params[GPU_MAX_PARAMS] = {0};
    if (launch->param_count > GPU_MAX_PARAMS || launch->binding_count != launch->program->binding_count) {
        return gpu_fail(device->host, PARTITA_INTERNAL, "kernel %s: %u params, %u buffers", launch->name,
                        launch->param_count, launch->binding_count);
    }
    dependences_mind(device, slot, launch, seen);
    partita_status status = buffers_bind(device, slot, launch);
    if (status != PARTITA_OK) return status;
    memcpy(params, launch->params, launch->param_count * sizeof(*params));
    device->CmdBindPipeline(slot->commands, VK_PIPELINE_BIND_POINT_COMPUTE, launch->program->pipeline);
    device->CmdPushConstants(slot->commands, device->layouts[launch->binding_count], VK_SHADER_STAGE_COMPUTE_BIT, 0,
                             sizeof(params), params);
    device->CmdDispatch(slot->commands, launch->groups[0], launch->groups[1], launch->groups[2]);
    return PARTITA_OK;
}

partita_status vk_submit(gpu_device *gpu, const gpu_batch *batch) {
    ptp_device *device = (ptp_device *)gpu;
    hazards seen = {0};
    vk_slot *slot;
    partita_status status = vk_slot_acquire(device, &slot);
    if (status != PARTITA_OK) return status;
    for (uint32_t i = 0; i < batch->count; i++) {
        status = launch_record(device, slot, &batch->launches[i], &seen);
        if (status != PARTITA_OK) {
            vk_slot_abandon(device, slot);
            return status;
        }
    }
    status = vk_slot_submit(device, slot, batch->done, NULL);
    if (status == PARTITA_OK) gpu->counts.launches += batch->count;
    return status;
}
