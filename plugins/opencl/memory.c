/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: allocation, batched copies on the queue, maps, and host pointers wrapped without a copy. */
#include "opencl/opencl.h"
#include <string.h>

static partita_status buffer_create(ptp_device *device, cl_mem_flags flags, void *pointer, uint64_t bytes,
                                    ptp_buffer **out_buffer) {
    const ptp_host *host = device->gpu.host;
    cl_int code = CL_SUCCESS;
    if (bytes == 0) bytes = 4;
    if (bytes > device->gpu.caps.max_buffer) {
        return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "a buffer of %llu bytes; the device allows %llu",
                        (unsigned long long)bytes, (unsigned long long)device->gpu.caps.max_buffer);
    }
    ptp_buffer *buffer = host->alloc(host->self, sizeof(*buffer), 16);
    if (!buffer) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a buffer's record");
    buffer->bytes = bytes;
    buffer->imported = pointer;
    buffer->mem = cl.clCreateBuffer(device->context, CL_MEM_READ_WRITE | flags, bytes, pointer, &code);
    if (code != CL_SUCCESS) {
        host->free(host->self, buffer);
        return cl_failed(host, code, "clCreateBuffer");
    }
    if (!pointer) {
        pthread_mutex_lock(&device->counts);
        device->buffer_bytes += bytes;
        pthread_mutex_unlock(&device->counts);
    }
    *out_buffer = buffer;
    return PARTITA_OK;
}

partita_status cl_buffer_alloc(gpu_device *gpu, uint64_t bytes, ptp_buffer **out_buffer) {
    return buffer_create((ptp_device *)gpu, 0, NULL, bytes, out_buffer);
}

void cl_buffer_free(gpu_device *gpu, ptp_buffer *buffer) {
    ptp_device *device = (ptp_device *)gpu;
    if (!buffer) return;
    cl.clReleaseMemObject(buffer->mem);
    if (!buffer->imported) {
        pthread_mutex_lock(&device->counts);
        device->buffer_bytes -= buffer->bytes;
        pthread_mutex_unlock(&device->counts);
    }
    gpu->host->free(gpu->host->self, buffer);
}

partita_status cl_buffer_upload(gpu_device *gpu, ptp_buffer *buffer, uint64_t offset, const void *data,
                                uint64_t bytes) {
    ptp_device *device = (ptp_device *)gpu;
    if (bytes == 0) return PARTITA_OK;
    pthread_mutex_lock(&device->lock);
    cl_int code = cl.clEnqueueWriteBuffer(device->queue, buffer->mem, CL_TRUE, offset, bytes, data, 0, NULL, NULL);
    pthread_mutex_unlock(&device->lock);
    return code == CL_SUCCESS ? PARTITA_OK : cl_failed(gpu->host, code, "clEnqueueWriteBuffer");
}

static partita_status memory_alloc(ptp_device *device, uint32_t domain, uint64_t bytes, ptp_buffer **out_buffer) {
    if (domain != 0) return gpu_fail(device->gpu.host, PARTITA_INVALID_ARGUMENT, "domain %u of 1", domain);
    return cl_buffer_alloc(&device->gpu, bytes, out_buffer);
}

static void memory_free(ptp_device *device, ptp_buffer *buffer) { cl_buffer_free(&device->gpu, buffer); }

static cl_int copy_one(ptp_device *device, const ptp_copy *copy, cl_event *out_event) {
    if (copy->source && copy->target) {
        return cl.clEnqueueCopyBuffer(device->queue, copy->source->mem, copy->target->mem, copy->source_offset,
                                      copy->target_offset, copy->bytes, 0, NULL, out_event);
    }
    if (copy->source) {
        return cl.clEnqueueReadBuffer(device->queue, copy->source->mem, CL_FALSE, copy->source_offset, copy->bytes,
                                      copy->target_data, 0, NULL, out_event);
    }
    return cl.clEnqueueWriteBuffer(device->queue, copy->target->mem, CL_FALSE, copy->target_offset, copy->bytes,
                                   copy->source_data, 0, NULL, out_event);
}

static partita_status memory_copy(ptp_device *device, const ptp_copy *copies, uint32_t count, ptp_point done) {
    const ptp_host *host = device->gpu.host;
    partita_status status = PARTITA_OK;
    cl_event last = NULL;
    cl_int code = CL_SUCCESS;
    pthread_mutex_lock(&device->lock);
    for (uint32_t i = 0; i < count && code == CL_SUCCESS; i++) {
        /* the host's struct may be larger than ours */
        const ptp_copy *copy = (const ptp_copy *)((const char *)copies + (size_t)i * copies[0].size);
        if (copy->bytes == 0) continue;
        if (!copy->source && !copy->target) {
            memmove(copy->target_data, copy->source_data, copy->bytes);
        } else {
            if (last) cl.clReleaseEvent(last);
            last = NULL;
            code = copy_one(device, copy, &last);
        }
        if (code != CL_SUCCESS) break;
        pthread_mutex_lock(&device->counts);
        device->copies++;
        device->copied_bytes += copy->bytes;
        pthread_mutex_unlock(&device->counts);
    }
    if (code == CL_SUCCESS && !last) code = cl.clEnqueueMarkerWithWaitList(device->queue, 0, NULL, &last);
    if (code != CL_SUCCESS) {
        if (last) cl.clReleaseEvent(last);
        cl.clFinish(device->queue); /* copies that were enqueued touch the caller's memory */
        status = cl_failed(host, code, "enqueueing a copy");
    } else {
        status = cl_signal_after(device, NULL, last, done);
    }
    pthread_mutex_unlock(&device->lock);
    return status;
}

static partita_status memory_map(ptp_device *device, ptp_buffer *buffer, uint64_t offset, uint64_t bytes,
                                 uint32_t access, void **out_data) {
    cl_int code = CL_SUCCESS;
    cl_map_flags flags = (access & PTP_MAP_READ ? CL_MAP_READ : 0u) | (access & PTP_MAP_WRITE ? CL_MAP_WRITE : 0u);
    /* without the lock: it waits for the queue, while others may enqueue */
    void *data = cl.clEnqueueMapBuffer(device->queue, buffer->mem, CL_TRUE, flags, offset, bytes ? bytes : 1, 0, NULL,
                                       NULL, &code);
    if (code != CL_SUCCESS) return cl_failed(device->gpu.host, code, "clEnqueueMapBuffer");
    *out_data = data;
    return PARTITA_OK;
}

static partita_status memory_unmap(ptp_device *device, ptp_buffer *buffer, void *data) {
    cl_int code = cl.clEnqueueUnmapMemObject(device->queue, buffer->mem, data, 0, NULL, NULL);
    if (code == CL_SUCCESS) code = cl.clFlush(device->queue);
    return code == CL_SUCCESS ? PARTITA_OK : cl_failed(device->gpu.host, code, "clEnqueueUnmapMemObject");
}

static partita_status memory_import(ptp_device *device, uint32_t domain, uint32_t handle_kind, int64_t handle,
                                    uint64_t bytes, ptp_buffer **out_buffer) {
    void *pointer = (void *)(intptr_t)handle;
    if (domain != 0 || handle_kind != PTP_HANDLE_HOST_POINTER || !pointer) {
        return gpu_fail(device->gpu.host, PARTITA_UNSUPPORTED, "handles of kind %u cannot be imported", handle_kind);
    }
    if ((uintptr_t)pointer % device->gpu.info.domains[0].import_alignment != 0) {
        return gpu_fail(device->gpu.host, PARTITA_INVALID_ARGUMENT, "a pointer to import is aligned to %u bytes",
                        device->gpu.info.domains[0].import_alignment);
    }
    return buffer_create(device, CL_MEM_USE_HOST_PTR, pointer, bytes, out_buffer);
}

const ptp_memory_vtable cl_memory_vtable = {
    .size = sizeof(ptp_memory_vtable),
    .alloc = memory_alloc,
    .free = memory_free,
    .copy = memory_copy,
    .map = memory_map,
    .unmap = memory_unmap,
    .import_handle = memory_import,
};
