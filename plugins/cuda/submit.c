/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs, launches on the stream, and their completion. A thread waits for events, since a callback of CUDA's may not
 * call CUDA, while the host may go on from the signal itself.
 */
#include "cuda/cu.h"

partita_status cu_program_create(gpu_device *gpu, const gpu_source *source, gpu_program **out_program) {
    ptp_device *device = (ptp_device *)gpu;
    const ptp_host *host = device->host;
    const cu_driver *driver = device->driver;
    void *code = NULL;
    gpu_program *program = host->alloc(host->self, sizeof(*program), 16);
    if (!program) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a program");
    *program = (gpu_program){.local = {source->local[0], source->local[1], source->local[2]}};
    partita_status status = cu_nvrtc_compile(&device->plugin->nvrtc, host, device->capability, source, &code);
    if (status == PARTITA_OK) status = cu_enter(device);
    if (status == PARTITA_OK) {
        CUresult result = driver->ModuleLoadData(&program->module, code);
        if (result != CUDA_SUCCESS)
            program->module = NULL;
        else
            result = driver->ModuleGetFunction(&program->function, program->module, source->name);
        cu_leave(device);
        status = cu_check(host, driver, result, "loading a kernel");
    }
    if (code) host->free(host->self, code);
    if (status != PARTITA_OK) {
        cu_program_destroy(gpu, program);
        return status;
    }
    *out_program = program;
    return PARTITA_OK;
}

void cu_program_destroy(gpu_device *gpu, gpu_program *program) {
    ptp_device *device = (ptp_device *)gpu;
    if (!program) return;
    if (program->module && cu_enter(device) == PARTITA_OK) {
        device->driver->ModuleUnload(program->module);
        cu_leave(device);
    }
    device->host->free(device->host->self, program);
}

static partita_status launch(ptp_device *device, const gpu_launch *one) {
    CUdeviceptr addresses[GPU_MAX_BINDINGS];
    uint32_t params[GPU_MAX_PARAMS] = {0};
    void *arguments[GPU_MAX_BINDINGS + 1];
    const gpu_program *program = one->program;
    if (one->binding_count > GPU_MAX_BINDINGS || one->param_count > GPU_MAX_PARAMS) {
        return gpu_fail(device->host, PARTITA_INTERNAL, "kernel %s: %u params, %u buffers", one->name, one->param_count,
                        one->binding_count);
    }
    for (uint32_t i = 0; i < one->binding_count; i++) {
        addresses[i] = one->bindings[i].buffer->address + one->bindings[i].offset;
        arguments[i] = &addresses[i];
    }
    memcpy(params, one->params, one->param_count * sizeof(*params));
    arguments[one->binding_count] = params;
    CUresult result = device->driver->LaunchKernel(program->function, one->groups[0], one->groups[1], one->groups[2],
                                                   program->local[0], program->local[1], program->local[2], 0,
                                                   device->stream, arguments, NULL);
    return cu_check(device->host, device->driver, result, one->name);
}

partita_status cu_submit(gpu_device *gpu, const gpu_batch *batch) {
    ptp_device *device = (ptp_device *)gpu;
    partita_status status = cu_enter(device);
    if (status != PARTITA_OK) return status;
    pthread_mutex_lock(&device->lock);
    for (uint32_t i = 0; i < batch->count && status == PARTITA_OK; i++) status = launch(device, &batch->launches[i]);
    if (status == PARTITA_OK) {
        device->gpu.counts.launches += batch->count;
        status = cu_signal_after(device, batch->done);
    } else {
        device->driver->StreamSynchronize(device->stream); /* the caller may free what was enqueued */
    }
    pthread_mutex_unlock(&device->lock);
    cu_leave(device);
    return status;
}

/* ---- completion -------------------------------------------------------------------------------------------------- */

partita_status cu_signal_after(ptp_device *device, ptp_point done) {
    const ptp_host *host = device->host;
    const cu_driver *driver = device->driver;
    if (!done.timeline) return PARTITA_OK;
    cu_pending *pending = host->alloc(host->self, sizeof(*pending), 16);
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    if (pending) {
        *pending = (cu_pending){.done = done};
        result = driver->EventCreate(&pending->event, CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING);
        if (result != CUDA_SUCCESS) pending->event = NULL;
    }
    if (result == CUDA_SUCCESS) result = driver->EventRecord(pending->event, device->stream);
    if (result != CUDA_SUCCESS) {
        driver->StreamSynchronize(device->stream);
        if (pending && pending->event) driver->EventDestroy(pending->event);
        if (pending) host->free(host->self, pending);
        return cu_check(host, driver, result, "recording an event");
    }
    if (device->last)
        device->last->next = pending;
    else
        device->first = pending;
    device->last = pending;
    pthread_cond_signal(&device->filled);
    return PARTITA_OK;
}

static void *waiter_run(void *user) {
    ptp_device *device = user;
    const ptp_host *host = device->host;
    const cu_driver *driver = device->driver;
    bool entered = cu_enter(device) == PARTITA_OK;
    for (;;) {
        pthread_mutex_lock(&device->lock);
        while (!device->first && !device->stopping) pthread_cond_wait(&device->filled, &device->lock);
        cu_pending *pending = device->first;
        if (pending) device->first = pending->next;
        if (!device->first) device->last = NULL;
        pthread_mutex_unlock(&device->lock);
        if (!pending) break;
        CUresult result = driver->EventSynchronize(pending->event);
        driver->EventDestroy(pending->event);
        ptp_point done = pending->done;
        host->free(host->self, pending);
        const char *name = NULL;
        if (result != CUDA_SUCCESS) driver->GetErrorName(result, &name);
        host->timeline_signal(host->self, done.timeline, done.value,
                              result == CUDA_SUCCESS ? PARTITA_OK : PARTITA_DEVICE_LOST, name);
    }
    if (entered) cu_leave(device);
    return NULL;
}

partita_status cu_waiter_start(ptp_device *device) {
    device->running = pthread_create(&device->waiter, NULL, waiter_run, device) == 0;
    return device->running ? PARTITA_OK : gpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "no thread for the stream");
}

void cu_waiter_stop(ptp_device *device) {
    if (!device->running) return;
    pthread_mutex_lock(&device->lock);
    device->stopping = true;
    pthread_cond_signal(&device->filled);
    pthread_mutex_unlock(&device->lock);
    pthread_join(device->waiter, NULL);
}
