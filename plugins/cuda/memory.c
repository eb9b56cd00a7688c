/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers and copies. Host memory of a copy may be ordinary: the driver stages it, and a copy to it is complete on
 * return. */
#include "cuda/cu.h"

partita_status cu_buffer_alloc(gpu_device *gpu, uint64_t bytes, ptp_buffer **out_buffer) {
    ptp_device *device = (ptp_device *)gpu;
    const ptp_host *host = device->host;
    ptp_buffer *buffer = host->alloc(host->self, sizeof(*buffer), 16);
    if (!buffer) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a buffer");
    *buffer = (ptp_buffer){.gpu.bytes = bytes};
    partita_status status = cu_enter(device);
    if (status == PARTITA_OK) {
        CUresult result = device->driver->MemAlloc(&buffer->address, bytes ? bytes : 4);
        status = cu_check(host, device->driver, result, "cuMemAlloc");
        cu_leave(device);
    }
    if (status != PARTITA_OK) {
        host->free(host->self, buffer);
        return status;
    }
    *out_buffer = buffer;
    return PARTITA_OK;
}

void cu_buffer_free(gpu_device *gpu, ptp_buffer *buffer) {
    ptp_device *device = (ptp_device *)gpu;
    if (cu_enter(device) == PARTITA_OK) {
        device->driver->MemFree(buffer->address);
        cu_leave(device);
    }
    device->host->free(device->host->self, buffer);
}

partita_status cu_buffer_upload(gpu_device *gpu, ptp_buffer *buffer, uint64_t offset, const void *data,
                                uint64_t bytes) {
    ptp_device *device = (ptp_device *)gpu;
    const cu_driver *driver = device->driver;
    partita_status status = cu_enter(device);
    if (status != PARTITA_OK) return status;
    CUresult result = driver->MemcpyHtoDAsync(buffer->address + offset, data, bytes, device->stream);
    if (result == CUDA_SUCCESS) result = driver->StreamSynchronize(device->stream);
    cu_leave(device);
    return cu_check(device->host, driver, result, "uploading a weight");
}

static partita_status copy_one(ptp_device *device, const ptp_copy *copy) {
    const cu_driver *driver = device->driver;
    CUresult result = CUDA_SUCCESS;
    partita_status status = gpu_copy_check(&device->gpu, copy);
    if (status != PARTITA_OK || copy->bytes == 0) return status;
    CUdeviceptr from = copy->source ? copy->source->address + copy->source_offset : 0;
    CUdeviceptr to = copy->target ? copy->target->address + copy->target_offset : 0;
    if (!copy->source)
        result = driver->MemcpyHtoDAsync(to, copy->source_data, copy->bytes, device->stream);
    else if (!copy->target)
        result = driver->MemcpyDtoHAsync(copy->target_data, from, copy->bytes, device->stream);
    else
        result = driver->MemcpyDtoDAsync(to, from, copy->bytes, device->stream);
    return cu_check(device->host, driver, result, "enqueueing a copy");
}

static partita_status memory_copy(ptp_device *device, const ptp_copy *copies, uint32_t count, ptp_point done) {
    partita_status status = cu_enter(device);
    if (status != PARTITA_OK) return status;
    pthread_mutex_lock(&device->lock);
    for (uint32_t i = 0; i < count && status == PARTITA_OK; i++) { status = copy_one(device, gpu_copy_at(copies, i)); }
    if (status == PARTITA_OK)
        status = cu_signal_after(device, done);
    else
        device->driver->StreamSynchronize(device->stream); /* the caller may free what was enqueued */
    pthread_mutex_unlock(&device->lock);
    cu_leave(device);
    if (status == PARTITA_OK) gpu_copy_count(&device->gpu, copies, count);
    return status;
}

const ptp_memory_vtable cu_memory_vtable = {
    .size = sizeof(ptp_memory_vtable), .alloc = gpu_memory_alloc, .free = gpu_memory_free, .copy = memory_copy};
