/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: allocation, batched copies on the queue, maps, and host pointers wrapped without a copy. */
#include "opencl/opencl.h"
#include <string.h>

/* ---- whose turn it is ------------------------------------------------------------------------------------------- */

void cl_batch_begin(ptp_device *device) { device->batch++; }

cl_int cl_batch_take(ptp_device *device, ptp_buffer *buffer) {
    if (!buffer || !buffer->host || buffer->batch == device->batch) return CL_SUCCESS;
    buffer->batch = device->batch;
    return cl.clEnqueueUnmapMemObject(device->queue, buffer->mem, buffer->host, 0, NULL, NULL);
}

static cl_int host_map(ptp_device *device, ptp_buffer *buffer, cl_bool wait, cl_event *out_event) {
    cl_int code = CL_SUCCESS;
    void *data = cl.clEnqueueMapBuffer(device->queue, buffer->mem, wait, CL_MAP_READ | CL_MAP_WRITE, 0,
                                       buffer->gpu.bytes, 0, NULL, out_event, &code);
    /* the standard says that it is the pointer that was wrapped */
    return code == CL_SUCCESS && data != buffer->host ? CL_MAP_FAILURE : code;
}

cl_int cl_batch_give(ptp_device *device, ptp_buffer *buffer, cl_event *io_last) {
    cl_event event = NULL;
    if (!buffer || !buffer->host || buffer->batch != device->batch) return CL_SUCCESS;
    buffer->batch = 0;
    cl_int code = host_map(device, buffer, CL_FALSE, &event);
    if (!event) return code;
    if (*io_last) cl.clReleaseEvent(*io_last);
    *io_last = event;
    return code;
}

/* ---- buffers ---------------------------------------------------------------------------------------------------- */

static partita_status buffer_create(ptp_device *device, cl_mem_flags flags, void *pointer, uint64_t bytes,
                                    ptp_buffer **out_buffer) {
    const ptp_host *host = device->gpu.host;
    cl_int code = CL_SUCCESS;
    if (bytes == 0) bytes = 4;
    ptp_buffer *buffer = host->alloc(host->self, sizeof(*buffer), 16);
    if (!buffer) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a buffer's record");
    *buffer = (ptp_buffer){.gpu.bytes = bytes, .host = pointer};
    buffer->mem = cl.clCreateBuffer(device->context, CL_MEM_READ_WRITE | flags, bytes, pointer, &code);
    if (code != CL_SUCCESS) {
        host->free(host->self, buffer);
        return cl_failed(host, code, "clCreateBuffer");
    }
    code = pointer ? host_map(device, buffer, CL_TRUE, NULL) : CL_SUCCESS;
    if (code != CL_SUCCESS) {
        cl.clReleaseMemObject(buffer->mem);
        host->free(host->self, buffer);
        return cl_failed(host, code, "clEnqueueMapBuffer of imported memory");
    }
    *out_buffer = buffer;
    return PARTITA_OK;
}

partita_status cl_buffer_alloc(gpu_device *gpu, uint64_t bytes, ptp_buffer **out_buffer) {
    return buffer_create((ptp_device *)gpu, 0, NULL, bytes, out_buffer);
}

void cl_buffer_free(gpu_device *gpu, ptp_buffer *buffer) {
    ptp_device *device = (ptp_device *)gpu;
    if (buffer->host) {
        cl.clEnqueueUnmapMemObject(device->queue, buffer->mem, buffer->host, 0, NULL, NULL);
        cl.clFinish(device->queue); /* the host's memory may go after this */
    }
    cl.clReleaseMemObject(buffer->mem);
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

static cl_int copies_enqueue(ptp_device *device, const ptp_copy *copies, uint32_t count, cl_event *out_last) {
    cl_int code = CL_SUCCESS;
    cl_batch_begin(device);
    for (uint32_t i = 0; i < count && code == CL_SUCCESS; i++) {
        code = cl_batch_take(device, gpu_copy_at(copies, i)->source);
        if (code == CL_SUCCESS) code = cl_batch_take(device, gpu_copy_at(copies, i)->target);
    }
    for (uint32_t i = 0; i < count && code == CL_SUCCESS; i++) {
        const ptp_copy *copy = gpu_copy_at(copies, i);
        if (copy->bytes == 0) continue;
        if (*out_last) cl.clReleaseEvent(*out_last);
        *out_last = NULL;
        code = copy_one(device, copy, out_last);
    }
    for (uint32_t i = 0; i < count; i++) {
        cl_int given = cl_batch_give(device, gpu_copy_at(copies, i)->source, out_last);
        if (given == CL_SUCCESS) given = cl_batch_give(device, gpu_copy_at(copies, i)->target, out_last);
        code = code == CL_SUCCESS ? given : code;
    }
    if (code == CL_SUCCESS && !*out_last) code = cl.clEnqueueMarkerWithWaitList(device->queue, 0, NULL, out_last);
    return code;
}

static partita_status memory_copy(ptp_device *device, const ptp_copy *copies, uint32_t count, ptp_point done) {
    partita_status status = PARTITA_OK;
    cl_event last = NULL;
    for (uint32_t i = 0; i < count && status == PARTITA_OK; i++) {
        status = gpu_copy_check(&device->gpu, gpu_copy_at(copies, i));
    }
    if (status != PARTITA_OK) return status;
    pthread_mutex_lock(&device->lock);
    cl_int code = copies_enqueue(device, copies, count, &last);
    if (code != CL_SUCCESS) {
        if (last) cl.clReleaseEvent(last);
        cl.clFinish(device->queue); /* copies that were enqueued touch the caller's memory */
        status = cl_failed(device->gpu.host, code, "enqueueing a copy");
    } else {
        status = cl_signal_after(device, NULL, last, done);
    }
    pthread_mutex_unlock(&device->lock);
    if (status == PARTITA_OK) gpu_copy_count(&device->gpu, copies, count);
    return status;
}

static partita_status memory_map(ptp_device *device, ptp_buffer *buffer, uint64_t offset, uint64_t bytes,
                                 uint32_t access, void **out_data) {
    cl_int code = CL_SUCCESS;
    if (offset > buffer->gpu.bytes || bytes > buffer->gpu.bytes - offset) {
        return gpu_fail(device->gpu.host, PARTITA_INVALID_ARGUMENT, "bytes %llu to %llu of a buffer of %llu",
                        (unsigned long long)offset, (unsigned long long)(offset + bytes),
                        (unsigned long long)buffer->gpu.bytes);
    }
    if (buffer->host) { /* it is mapped, when the batches before are done */
        code = cl.clFinish(device->queue);
        *out_data = (char *)buffer->host + offset;
        return code == CL_SUCCESS ? PARTITA_OK : cl_failed(device->gpu.host, code, "clFinish");
    }
    cl_map_flags flags = (access & PTP_MAP_READ ? CL_MAP_READ : 0u) | (access & PTP_MAP_WRITE ? CL_MAP_WRITE : 0u);
    /* without the lock: it waits for the queue, while others may enqueue */
    void *data = cl.clEnqueueMapBuffer(device->queue, buffer->mem, CL_TRUE, flags, offset, bytes ? bytes : 1, 0, NULL,
                                       NULL, &code);
    if (code != CL_SUCCESS) return cl_failed(device->gpu.host, code, "clEnqueueMapBuffer");
    *out_data = data;
    return PARTITA_OK;
}

static partita_status memory_unmap(ptp_device *device, ptp_buffer *buffer, void *data) {
    if (buffer->host) return PARTITA_OK;
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
    .alloc = gpu_memory_alloc,
    .free = gpu_memory_free,
    .copy = memory_copy,
    .map = memory_map,
    .unmap = memory_unmap,
    .import_handle = memory_import,
};
