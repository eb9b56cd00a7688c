/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device memory: allocations, and buffers in them. What the host allocates lies alone where memory may be exported,
 * since an fd names a whole allocation; weights and the like share large blocks.
 */
#include "vulkan/vk.h"
#include <unistd.h>

#define PAGE        4096u
#define BLOCK_BYTES (32u << 20)
#define BUFFER_USAGE                                                                                                   \
    (VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT)

/* ---- allocations ------------------------------------------------------------------------------------------------ */

/* The best memory type of `mask`; UINT32_MAX when none will do. */
static uint32_t type_choose(const ptp_device *device, const vk_request *request, uint32_t mask) {
    const VkPhysicalDeviceMemoryProperties *memory = &device->probe.memory;
    uint32_t best = UINT32_MAX;
    int best_score = -1;
    for (uint32_t t = 0; t < memory->memoryTypeCount; t++) {
        VkMemoryPropertyFlags flags = memory->memoryTypes[t].propertyFlags;
        bool local = flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, visible = flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
        bool coherent = flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
             cached = flags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
        int score = coherent * 2;
        if (!(mask >> t & 1u) || flags & (VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT))
            continue;
        if (request->kind == VK_IMPORT_HOST) {
            if (!visible) continue;
        } else if (request->use == VK_FOR_STAGING) {
            if (!visible) continue;
            score += cached * 4 + !local;
        } else {
            /* the host's window into a discrete device's memory may be small: left alone there */
            score += local * 8 + (visible == device->probe.unified) * 4 + cached;
        }
        if (score > best_score) {
            best_score = score;
            best = t;
        }
    }
    return best;
}

static VkExternalMemoryHandleTypeFlags handle_types(uint32_t kind) {
    if (kind == VK_IMPORT_HOST) return VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
    return kind == VK_PLAIN ? 0 : VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT;
}

static partita_status buffer_make(ptp_device *device, const vk_request *request, vk_memory *memory) {
    VkExternalMemoryBufferCreateInfo external = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
                                                 .handleTypes = handle_types(request->kind)};
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .pNext = request->kind == VK_PLAIN ? NULL : &external,
                               .size = vk_align(request->bytes ? request->bytes : 1, PAGE),
                               .usage = BUFFER_USAGE};
    partita_status status =
        vk_check(device, device->CreateBuffer(device->handle, &info, NULL, &memory->buffer), "vkCreateBuffer");
    if (status != PARTITA_OK) memory->buffer = VK_NULL_HANDLE;
    return status;
}

static partita_status memory_bind(ptp_device *device, const vk_request *request, uint32_t type, uint64_t bytes,
                                  vk_memory *memory) {
    VkExportMemoryAllocateInfo export = {.sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO,
                                         .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT};
    VkImportMemoryHostPointerInfoEXT pointer = {.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
                                                .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
                                                .pHostPointer = request->address};
    VkImportMemoryFdInfoKHR fd = {.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
                                  .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT,
                                  .fd = request->fd};
    const void *const extras[] = {
        [VK_PLAIN] = NULL, [VK_EXPORTABLE] = &export, [VK_IMPORT_HOST] = &pointer, [VK_IMPORT_FD] = &fd};
    VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                 .pNext = extras[request->kind],
                                 .allocationSize = bytes,
                                 .memoryTypeIndex = type};
    if (device->allocations >= device->probe.max_allocations) {
        return gpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "%u allocations of memory, at most %u",
                        device->allocations, device->probe.max_allocations);
    }
    VkResult result = device->AllocateMemory(device->handle, &info, NULL, &memory->memory);
    if (result != VK_SUCCESS) {
        memory->memory = VK_NULL_HANDLE;
        return gpu_fail(device->host,
                        result == VK_ERROR_INVALID_EXTERNAL_HANDLE ? PARTITA_INVALID_ARGUMENT : PARTITA_OUT_OF_MEMORY,
                        "vkAllocateMemory of %llu bytes: %s", (unsigned long long)bytes, vk_result_name(result));
    }
    device->allocations++;
    memory->bytes = bytes;
    result = device->BindBufferMemory(device->handle, memory->buffer, memory->memory, 0);
    return vk_check(device, result, "vkBindBufferMemory");
}

partita_status vk_memory_create(ptp_device *device, const vk_request *request, vk_memory *out_memory) {
    vk_memory memory = {0};
    VkMemoryRequirements needs;
    *out_memory = memory;
    if (device->probe.caps.max_buffer && request->bytes > device->probe.caps.max_buffer) {
        return gpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "a buffer of %llu bytes, at most %llu",
                        (unsigned long long)request->bytes, (unsigned long long)device->probe.caps.max_buffer);
    }
    partita_status status = buffer_make(device, request, &memory);
    if (status != PARTITA_OK) return status;
    device->GetBufferMemoryRequirements(device->handle, memory.buffer, &needs);
    uint32_t mask = needs.memoryTypeBits;
    if (request->kind == VK_IMPORT_HOST) {
        VkMemoryHostPointerPropertiesEXT properties = {.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
        status = vk_check(
            device,
            device->GetMemoryHostPointerPropertiesEXT(
                device->handle, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT, request->address, &properties),
            "vkGetMemoryHostPointerPropertiesEXT");
        mask &= properties.memoryTypeBits;
        needs.size = vk_align(needs.size, device->probe.import_alignment);
    }
    uint32_t type = status == PARTITA_OK ? type_choose(device, request, mask) : UINT32_MAX;
    if (status == PARTITA_OK && type == UINT32_MAX) {
        status = gpu_fail(device->host, PARTITA_UNSUPPORTED, "no memory type of the device fits (mask %#x)", mask);
    }
    if (status == PARTITA_OK) status = memory_bind(device, request, type, needs.size, &memory);
    if (status == PARTITA_OK) {
        VkMemoryPropertyFlags flags = device->probe.memory.memoryTypes[type].propertyFlags;
        bool visible = flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
        memory.coherent = flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
        memory.coherent = memory.coherent && device->host_view;
        if (request->kind == VK_IMPORT_HOST) {
            /* mapped too, since only mapped memory is flushed; the address is the host's own either way */
            void *at = NULL;
            memory.mapped = request->address;
            if (!memory.coherent) {
                status = vk_check(device, device->MapMemory(device->handle, memory.memory, 0, VK_WHOLE_SIZE, 0, &at),
                                  "vkMapMemory");
            }
        } else if (visible && (request->use == VK_FOR_STAGING || device->host_view)) {
            status =
                vk_check(device, device->MapMemory(device->handle, memory.memory, 0, VK_WHOLE_SIZE, 0, &memory.mapped),
                         "vkMapMemory");
        }
    }
    if (status != PARTITA_OK) vk_memory_destroy(device, &memory);
    *out_memory = memory;
    return status;
}

void vk_memory_destroy(ptp_device *device, vk_memory *memory) {
    if (memory->buffer) device->DestroyBuffer(device->handle, memory->buffer, NULL);
    if (memory->memory) {
        device->FreeMemory(device->handle, memory->memory, NULL);
        device->allocations--;
    }
    memset(memory, 0, sizeof(*memory));
}

static VkMappedMemoryRange mapped_range(const ptp_device *device, const vk_memory *memory, uint64_t offset,
                                        uint64_t bytes) {
    uint64_t atom = device->probe.atom ? device->probe.atom : 1, begin = offset / atom * atom;
    uint64_t end = vk_align(offset + bytes, atom);
    return (VkMappedMemoryRange){.sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
                                 .memory = memory->memory,
                                 .offset = begin,
                                 .size = end >= memory->bytes ? VK_WHOLE_SIZE : end - begin};
}

void vk_memory_flush(ptp_device *device, const vk_memory *memory, uint64_t offset, uint64_t bytes) {
    if (memory->coherent || bytes == 0) return;
    VkMappedMemoryRange range = mapped_range(device, memory, offset, bytes);
    device->FlushMappedMemoryRanges(device->handle, 1, &range);
}

void vk_memory_invalidate(ptp_device *device, const vk_memory *memory, uint64_t offset, uint64_t bytes) {
    if (memory->coherent || bytes == 0) return;
    VkMappedMemoryRange range = mapped_range(device, memory, offset, bytes);
    device->InvalidateMappedMemoryRanges(device->handle, 1, &range);
}

void vk_import_flush(ptp_device *device, const ptp_buffer *buffer, uint64_t offset, uint64_t bytes) {
    if (buffer && buffer->block->kind == VK_IMPORT_HOST) {
        vk_memory_flush(device, &buffer->block->memory, buffer->offset + offset, bytes);
    }
}

/* ---- blocks and buffers; under memory_lock ----------------------------------------------------------------------- */

static void block_free(ptp_device *device, vk_block *block) {
    vk_memory_destroy(device, &block->memory);
    if (block->fd >= 0) close(block->fd);
    vk_free(device->host, block);
}

static partita_status block_make(ptp_device *device, uint64_t bytes, bool shared, bool exportable,
                                 vk_block **out_block) {
    vk_request request = {.kind = exportable ? VK_EXPORTABLE : VK_PLAIN, .bytes = bytes};
    vk_block *block = vk_alloc(device->host, sizeof(*block));
    if (!block) return PARTITA_OUT_OF_MEMORY;
    block->fd = -1;
    block->kind = request.kind;
    block->shared = shared;
    if (shared) request.bytes += PAGE;
    partita_status status = vk_memory_create(device, &request, &block->memory);
    if (status != PARTITA_OK) {
        vk_free(device->host, block);
        return status;
    }
    uint64_t base = (PAGE - (uintptr_t)block->memory.mapped % PAGE) % PAGE;
    if (shared && base % device->probe.caps.alignment == 0) block->base = base;
    *out_block = block;
    return PARTITA_OK;
}

/* The link after which a range of `room` bytes is free, and its offset. */
static ptp_buffer **gap_find(vk_block *block, uint64_t room, uint64_t *out_offset) {
    uint64_t at = block->base;
    ptp_buffer **link = &block->first;
    for (; *link; link = &(*link)->next) {
        if ((*link)->offset - at >= room) break;
        at = (*link)->offset + (*link)->room;
    }
    if (!*link && (at > block->memory.bytes || block->memory.bytes - at < room)) return NULL;
    *out_offset = at;
    return link;
}

partita_status vk_buffer_create(ptp_device *device, uint64_t bytes, bool alone, ptp_buffer **out_buffer) {
    uint64_t room = bytes > UINT64_MAX / 2 ? bytes : vk_align(bytes ? bytes : 1, PAGE);
    bool shared = !alone && room <= BLOCK_BYTES / 4;
    partita_status status = PARTITA_OK;
    ptp_buffer **link = NULL, *buffer = vk_alloc(device->host, sizeof(*buffer));
    vk_block *block = NULL;
    if (!buffer) return PARTITA_OUT_OF_MEMORY;
    *buffer = (ptp_buffer){.gpu.bytes = bytes, .device = device, .room = room};
    pthread_mutex_lock(&device->memory_lock);
    for (block = device->blocks; shared && block; block = block->next) {
        if (block->shared && (link = gap_find(block, room, &buffer->offset))) break;
    }
    if (!link) {
        status = block_make(device, shared ? BLOCK_BYTES : room, shared, alone && device->probe.fds, &block);
        if (status == PARTITA_OK) {
            block->next = device->blocks;
            device->blocks = block;
            buffer->offset = block->base;
            link = &block->first;
        }
    }
    if (status == PARTITA_OK) {
        buffer->block = block;
        buffer->next = *link;
        *link = buffer;
    }
    pthread_mutex_unlock(&device->memory_lock);
    if (status != PARTITA_OK) {
        vk_free(device->host, buffer);
        return status;
    }
    *out_buffer = buffer;
    return PARTITA_OK;
}

partita_status vk_buffer_adopt(ptp_device *device, vk_block *block, uint64_t offset, uint64_t bytes,
                               ptp_buffer **out_buffer) {
    ptp_buffer *buffer = vk_alloc(device->host, sizeof(*buffer));
    if (!buffer) {
        block_free(device, block);
        return PARTITA_OUT_OF_MEMORY;
    }
    *buffer = (ptp_buffer){.gpu.bytes = bytes, .device = device, .block = block, .offset = offset, .room = bytes};
    block->first = buffer;
    pthread_mutex_lock(&device->memory_lock);
    block->next = device->blocks;
    device->blocks = block;
    pthread_mutex_unlock(&device->memory_lock);
    *out_buffer = buffer;
    return PARTITA_OK;
}

void vk_buffer_destroy(ptp_device *device, ptp_buffer *buffer) {
    if (!buffer) return;
    vk_mappings_free(device, buffer);
    pthread_mutex_lock(&device->memory_lock);
    vk_block *block = buffer->block;
    ptp_buffer **link = &block->first;
    while (*link != buffer) link = &(*link)->next;
    *link = buffer->next;
    if (!block->first && !block->shared) {
        vk_block **at = &device->blocks;
        while (*at != block) at = &(*at)->next;
        *at = block->next;
        block_free(device, block);
    }
    pthread_mutex_unlock(&device->memory_lock);
    vk_free(device->host, buffer);
}

void vk_blocks_trim(ptp_device *device, uint64_t keep_bytes) {
    uint64_t kept = 0;
    pthread_mutex_lock(&device->memory_lock);
    for (vk_block **link = &device->blocks; *link;) {
        vk_block *block = *link;
        bool keep = block->first || kept + block->memory.bytes <= keep_bytes;
        if (keep) {
            if (!block->first) kept += block->memory.bytes;
            link = &block->next;
            continue;
        }
        *link = block->next;
        block_free(device, block);
    }
    pthread_mutex_unlock(&device->memory_lock);
}

/* ---- slots of the ABI and of the shared part ----------------------------------------------------------------------
 */

/* Alone while there are allocations to spare: an fd names a whole one. */
partita_status vk_gpu_host_alloc(gpu_device *gpu, uint64_t bytes, ptp_buffer **out_buffer) {
    ptp_device *device = (ptp_device *)gpu;
    bool alone = device->probe.fds && device->allocations < device->probe.max_allocations / 2;
    return vk_buffer_create(device, bytes, alone, out_buffer);
}

partita_status vk_gpu_buffer_alloc(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer) {
    return vk_buffer_create((ptp_device *)device, bytes, false, out_buffer);
}

void vk_gpu_buffer_free(gpu_device *device, ptp_buffer *buffer) { vk_buffer_destroy((ptp_device *)device, buffer); }

const ptp_memory_vtable vk_memory_vtable = {.size = sizeof(ptp_memory_vtable),
                                            .alloc = gpu_memory_alloc,
                                            .free = gpu_memory_free,
                                            .copy = vk_copy,
                                            .map = vk_map,
                                            .unmap = vk_unmap,
                                            .export_handle = vk_export,
                                            .import_handle = vk_import};
