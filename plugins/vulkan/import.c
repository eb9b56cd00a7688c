/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that two devices, or a device and the host, see without a copy: host pointers and opaque fds, and what routes
 * cost. */
#include "vulkan/vk.h"
#include <fcntl.h>
#include <unistd.h>

static partita_status refuse(ptp_device *device, const char *what) {
    return gpu_fail(device->host, PARTITA_UNSUPPORTED, "%s", what);
}

static partita_status export_fd(ptp_device *device, ptp_buffer *buffer, int64_t *out_handle) {
    vk_block *block = buffer->block;
    VkMemoryGetFdInfoKHR info = {.sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
                                 .memory = block->memory.memory,
                                 .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT};
    partita_status status = PARTITA_OK;
    if (block->kind != VK_EXPORTABLE) return refuse(device, "this buffer's memory cannot be exported as an fd");
    pthread_mutex_lock(&device->memory_lock);
    if (block->fd < 0) {
        status = vk_check(device, device->GetMemoryFdKHR(device->handle, &info, &block->fd), "vkGetMemoryFdKHR");
        if (status != PARTITA_OK) block->fd = -1;
    }
    *out_handle = block->fd;
    pthread_mutex_unlock(&device->memory_lock);
    return status;
}

partita_status vk_export(ptp_device *device, ptp_buffer *buffer, uint32_t handle_kind, int64_t *out_handle) {
    const vk_memory *memory = &buffer->block->memory;
    if (handle_kind == PTP_HANDLE_OPAQUE_FD) return export_fd(device, buffer, out_handle);
    if (handle_kind != PTP_HANDLE_HOST_POINTER)
        return refuse(device, "memory is exported as a host pointer or an opaque fd");
    if (!memory->mapped || !memory->coherent) return refuse(device, "the host cannot see this buffer's memory");
    *out_handle = (int64_t)(intptr_t)((char *)memory->mapped + buffer->offset);
    return PARTITA_OK;
}

static partita_status block_import(ptp_device *device, const vk_request *request, uint64_t offset, uint64_t bytes,
                                   ptp_buffer **out_buffer) {
    vk_block *block = vk_alloc(device->host, sizeof(*block));
    if (!block) return PARTITA_OUT_OF_MEMORY;
    block->fd = -1;
    block->kind = request->kind;
    partita_status status = vk_memory_create(device, request, &block->memory);
    if (status != PARTITA_OK) {
        vk_free(device->host, block);
        return status;
    }
    return vk_buffer_adopt(device, block, offset, bytes, out_buffer);
}

/* Whole pages around the range: the driver takes no less. */
static partita_status import_pointer(ptp_device *device, int64_t handle, uint64_t bytes, ptp_buffer **out_buffer) {
    uint64_t alignment = device->probe.import_alignment;
    uintptr_t address = (uintptr_t)handle, begin;
    if (!device->probe.import_host) return refuse(device, "the driver imports no host memory");
    begin = address / alignment * alignment;
    if ((address - begin) % device->probe.caps.alignment != 0) {
        return gpu_fail(device->host, PARTITA_UNSUPPORTED, "the address %#llx is no multiple of %u",
                        (unsigned long long)address, device->probe.caps.alignment);
    }
    vk_request request = {
        .kind = VK_IMPORT_HOST, .bytes = vk_align(address - begin + bytes, alignment), .address = (void *)begin};
    return block_import(device, &request, address - begin, bytes, out_buffer);
}

static partita_status import_fd(ptp_device *device, int64_t handle, uint64_t bytes, ptp_buffer **out_buffer) {
    if (!device->probe.fds) return refuse(device, "the driver imports no opaque fds");
    vk_request request = {.kind = VK_IMPORT_FD, .bytes = bytes, .fd = fcntl((int)handle, F_DUPFD_CLOEXEC, 0)};
    if (request.fd < 0)
        return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "handle %lld is no fd", (long long)handle);
    partita_status status = block_import(device, &request, 0, bytes, out_buffer);
    if (status != PARTITA_OK) close(request.fd); /* the driver takes it over only when it succeeds */
    return status;
}

partita_status vk_import(ptp_device *device, uint32_t domain, uint32_t handle_kind, int64_t handle, uint64_t bytes,
                         ptp_buffer **out_buffer) {
    *out_buffer = NULL;
    if (domain != 0) return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "there is no memory domain %u", domain);
    if (bytes == 0 || bytes > UINT64_MAX / 2) return refuse(device, "there is nothing to import");
    if (handle_kind == PTP_HANDLE_HOST_POINTER) return import_pointer(device, handle, bytes, out_buffer);
    if (handle_kind == PTP_HANDLE_OPAQUE_FD) return import_fd(device, handle, bytes, out_buffer);
    return refuse(device, "memory is imported as a host pointer or an opaque fd");
}

/* ---- routes ----------------------------------------------------------------------------------------------------- */

/* An opaque fd means something to the driver that made it alone. */
static bool same_driver(const ptp_device *device, const ptp_device_info *peer) {
    const ptp_device_info *own = &device->probe.info;
    return peer && (strcmp(peer->kind, "vulkan") == 0) && memcmp(peer->uuid, own->uuid, sizeof(own->uuid)) == 0 &&
           strcmp(peer->driver, own->driver) == 0;
}

static bool can_import(const ptp_device *device, const ptp_route *route) {
    const ptp_domain_info *domain = &device->probe.info.domains[0];
    uint32_t mask = route->outgoing ? domain->export_mask : domain->import_mask;
    if (route->handle >= 32 || !(mask >> route->handle & 1u)) return false;
    return route->handle != PTP_HANDLE_OPAQUE_FD || same_driver(device, route->peer);
}

partita_status vk_route(ptp_device *device, ptp_route *route) {
    const ptp_device_info *info = &device->probe.info;
    double per_byte = info->copy_bytes_per_us > 0 ? 1 / info->copy_bytes_per_us : 0;
    route->us = 0;
    route->us_per_byte = 0;
    if (route->domain == 0 && route->route == PTP_ROUTE_COPY && !route->peer) {
        route->us = info->copy_us;
        route->us_per_byte = per_byte;
    } else if (route->domain == 0 && route->route == PTP_ROUTE_IMPORT && can_import(device, route)) {
        route->us = 1;
        /* kernels read a discrete device's imports over the bus */
        if (!device->probe.unified && route->handle == PTP_HANDLE_HOST_POINTER) route->us_per_byte = per_byte;
    } else {
        route->route = PTP_ROUTE_NONE;
    }
    return PARTITA_OK;
}
