/* SPDX-License-Identifier: Apache-2.0 */
/* Programs, and batches of launches on the in-order queue; completion comes from the last event's callback. */
#include "opencl/opencl.h"
#include <string.h>

struct gpu_program {
    cl_program program;
    cl_kernel kernel;
    uint32_t local[3];
    uint32_t binding_count;
};

typedef struct completion {
    gpu_completion order; /* first */
    ptp_device *device;
    cl_event first, last;
} completion;

static uint64_t event_time(cl_event event, cl_profiling_info what) {
    cl_ulong ns = 0;
    return event && cl.clGetEventProfilingInfo(event, what, sizeof(ns), &ns, NULL) == CL_SUCCESS ? ns : 0;
}

static void events_release(completion *one) {
    if (one->first) cl.clReleaseEvent(one->first);
    cl.clReleaseEvent(one->last);
}

static void CL_CALLBACK completed(cl_event event, cl_int code, void *user) {
    completion *one = user;
    ptp_device *device = one->device;
    (void)event;
    uint64_t begin = event_time(one->first, CL_PROFILING_COMMAND_START);
    uint64_t end = event_time(one->last, CL_PROFILING_COMMAND_END);
    if (begin && end > begin) device->gpu.counts.busy_ns += end - begin;
    events_release(one);
    gpu_order_ready(&device->order, &one->order, code >= 0 ? PARTITA_OK : PARTITA_DEVICE_FAILED,
                    code >= 0 ? NULL : cl_error_name(code));
}

partita_status cl_signal_after(ptp_device *device, cl_event first, cl_event last, ptp_point done) {
    const ptp_host *host = device->gpu.host;
    completion *one = host->alloc(host->self, sizeof(*one), 16);
    if (!one) {
        if (first) cl.clReleaseEvent(first);
        cl.clReleaseEvent(last);
        cl.clFinish(device->queue);
        return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a completion");
    }
    *one = (completion){{.done = done}, device, first, last};
    gpu_order_add(&device->order, &one->order);
    /* the callback may run before this returns, on this thread */
    cl_int code = cl.clSetEventCallback(last, CL_COMPLETE, completed, one);
    if (code != CL_SUCCESS) {
        events_release(one);
        cl.clFinish(device->queue);
        one->order.done.timeline = NULL; /* the caller hears of it by the status */
        gpu_order_ready(&device->order, &one->order, PARTITA_DEVICE_FAILED, NULL);
        return cl_failed(host, code, "clSetEventCallback");
    }
    cl.clFlush(device->queue);
    return PARTITA_OK;
}

void cl_wait_idle(ptp_device *device) {
    if (device->queue) cl.clFinish(device->queue);
    gpu_order_wait(&device->order);
}

static void program_destroy(gpu_device *gpu, gpu_program *program) {
    if (!program) return;
    if (program->kernel) cl.clReleaseKernel(program->kernel);
    if (program->program) cl.clReleaseProgram(program->program);
    gpu->host->free(gpu->host->self, program);
}

static partita_status program_create(gpu_device *gpu, const gpu_source *source, gpu_program **out_program) {
    ptp_device *device = (ptp_device *)gpu;
    const ptp_host *host = gpu->host;
    partita_status status = PARTITA_OK;
    cl_int code;
    gpu_program *made = host->alloc(host->self, sizeof(*made), 16);
    if (!made) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a program");
    memset(made, 0, sizeof(*made));
    memcpy(made->local, source->local, sizeof(made->local));
    made->binding_count = source->binding_count;
    made->program = cl.clCreateProgramWithSource(device->context, 1, &(const char *){source->text}, NULL, &code);
    if (code != CL_SUCCESS) {
        status = cl_failed(host, code, "clCreateProgramWithSource");
        goto out;
    }
    code = cl.clBuildProgram(made->program, 1, &device->id,
                             "-cl-std=CL1.2 -cl-single-precision-constant -cl-mad-enable -w", NULL, NULL);
    if (code != CL_SUCCESS) {
        char log[900] = "";
        size_t size = 0;
        cl.clGetProgramBuildInfo(made->program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
        char *whole = host->alloc(host->self, size + 1, 16);
        if (whole) {
            memset(whole, 0, size + 1);
            cl.clGetProgramBuildInfo(made->program, device->id, CL_PROGRAM_BUILD_LOG, size, whole, NULL);
            strncpy(log, whole, sizeof(log) - 1);
            host->free(host->self, whole);
        }
        status = gpu_fail(host, PARTITA_CANNOT_COMPILE, "kernel %s: %s: %s", source->name, cl_error_name(code), log);
        goto out;
    }
    made->kernel = cl.clCreateKernel(made->program, source->name, &code);
    if (code != CL_SUCCESS) status = cl_failed(host, code, "clCreateKernel");
out:
    if (status != PARTITA_OK) {
        program_destroy(gpu, made);
        return status;
    }
    *out_program = made;
    return PARTITA_OK;
}

static cl_int launch_one(ptp_device *device, const gpu_launch *launch, cl_event *out_event) {
    const gpu_program *program = launch->program;
    uint32_t params[GPU_MAX_PARAMS] = {0};
    size_t global[3], local[3];
    cl_int code = CL_SUCCESS;
    memcpy(params, launch->params, launch->param_count * sizeof(uint32_t));
    for (uint32_t i = 0; i < launch->binding_count && code == CL_SUCCESS; i++) {
        cl_ulong offset = launch->bindings[i].offset;
        code = cl.clSetKernelArg(program->kernel, 2 * i, sizeof(cl_mem), &launch->bindings[i].buffer->mem);
        if (code == CL_SUCCESS) code = cl.clSetKernelArg(program->kernel, 2 * i + 1, sizeof(offset), &offset);
    }
    if (code == CL_SUCCESS)
        code = cl.clSetKernelArg(program->kernel, 2 * launch->binding_count, sizeof(params), params);
    for (int d = 0; d < 3; d++) {
        local[d] = program->local[d];
        global[d] = local[d] * launch->groups[d];
    }
    if (code != CL_SUCCESS) return code;
    return cl.clEnqueueNDRangeKernel(device->queue, program->kernel, 3, NULL, global, local, 0, NULL, out_event);
}

/* The launches between taking and giving back what they touch of the host's memory. *out_at: the launch that failed. */
static cl_int launches_enqueue(ptp_device *device, const gpu_batch *batch, cl_event *out_first, cl_event *out_last,
                               uint32_t *out_at) {
    cl_int code = CL_SUCCESS;
    cl_batch_begin(device);
    for (uint32_t i = 0; i < batch->count && code == CL_SUCCESS; i++) {
        for (uint32_t k = 0; k < batch->launches[i].binding_count && code == CL_SUCCESS; k++) {
            code = cl_batch_take(device, batch->launches[i].bindings[k].buffer);
        }
    }
    for (uint32_t i = 0; i < batch->count && code == CL_SUCCESS; i++) {
        *out_at = i;
        bool edge = i == 0 || i + 1 == batch->count;
        code = launch_one(device, &batch->launches[i], edge ? (i == 0 ? out_first : out_last) : NULL);
    }
    if (code == CL_SUCCESS && batch->count == 1) {
        *out_last = *out_first;
        code = cl.clRetainEvent(*out_first);
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        for (uint32_t k = 0; k < batch->launches[i].binding_count; k++) {
            cl_int given = cl_batch_give(device, batch->launches[i].bindings[k].buffer, out_last);
            code = code == CL_SUCCESS ? given : code;
        }
    }
    if (code == CL_SUCCESS && batch->count == 0) {
        code = cl.clEnqueueMarkerWithWaitList(device->queue, 0, NULL, out_last);
    }
    return code;
}

static partita_status submit(gpu_device *gpu, const gpu_batch *batch) {
    ptp_device *device = (ptp_device *)gpu;
    partita_status status;
    cl_event first = NULL, last = NULL;
    uint32_t at = 0;
    pthread_mutex_lock(&device->lock);
    cl_int code = launches_enqueue(device, batch, &first, &last, &at);
    if (code == CL_SUCCESS) {
        gpu->counts.launches += batch->count;
        status = cl_signal_after(device, first, last, batch->done);
    } else {
        if (first) cl.clReleaseEvent(first);
        if (last) cl.clReleaseEvent(last);
        cl.clFinish(device->queue);
        const char *name = batch->count > 0 ? batch->launches[at].name : "marker";
        status =
            gpu_fail(gpu->host, PARTITA_DEVICE_FAILED, "launch of kernel %s: %s (%d)", name, cl_error_name(code), code);
    }
    pthread_mutex_unlock(&device->lock);
    return status;
}

const gpu_backend_vtable cl_backend = {
    .name = "opencl",
    .head = "",
    .prelude = "prelude/opencl",
    .entry = NULL,
    .buffer_alloc = cl_buffer_alloc,
    .buffer_free = cl_buffer_free,
    .buffer_upload = cl_buffer_upload,
    .program_create = program_create,
    .program_destroy = program_destroy,
    .submit = submit,
    .record_free = NULL,
};
