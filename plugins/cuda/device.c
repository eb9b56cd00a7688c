/* SPDX-License-Identifier: Apache-2.0 */
/* What a GPU can, and opening it: its primary context, one stream, the waiter. */
#include "cuda/cu.h"
#include <ctype.h>
#include <stdio.h>

static int attribute(const ptp_plugin *plugin, CUdevice ordinal, CUdevice_attribute which) {
    int value = 0;
    return plugin->driver.DeviceGetAttribute(&value, which, ordinal) == CUDA_SUCCESS ? value : 0;
}

static void caps_fill(const ptp_plugin *plugin, CUdevice ordinal, uint64_t total, gpu_caps *caps) {
    *caps = (gpu_caps){.features = GPU_HAS_INT64 | GPU_HAS_INT8 | GPU_HAS_INT16 | GPU_HAS_FLOAT64,
                       .alignment = CU_ALIGNMENT,
                       .max_buffer = total,
                       .max_group = (uint32_t)attribute(plugin, ordinal, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
                       .shared_bytes =
                           (uint32_t)attribute(plugin, ordinal, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK),
                       .vector_width = 1};
    const CUdevice_attribute axes[3] = {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y,
                                        CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z};
    const CUdevice_attribute locals[3] = {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y,
                                          CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z};
    for (int d = 0; d < 3; d++) {
        caps->max_groups[d] = (uint32_t)attribute(plugin, ordinal, axes[d]);
        caps->max_local[d] = (uint32_t)attribute(plugin, ordinal, locals[d]);
    }
}

/* "0000:01:00.0" as the bus has it, in lower case as other plugins name it. */
static void resource_fill(const ptp_plugin *plugin, CUdevice ordinal, char *out, size_t size) {
    char bus[24] = "";
    if (plugin->driver.DeviceGetPCIBusId(bus, sizeof(bus), ordinal) != CUDA_SUCCESS) bus[0] = 0;
    for (char *c = bus; *c; c++) *c = (char)tolower((unsigned char)*c);
    snprintf(out, size, "pci:%s", bus);
}

partita_status cu_device_describe(const ptp_plugin *plugin, int index, ptp_device_info *out_info, gpu_caps *out_caps,
                                  int *out_capability) {
    const cu_driver *driver = &plugin->driver;
    CUdevice ordinal;
    CUuuid uuid;
    size_t total = 0;
    CUresult result = driver->DeviceGet(&ordinal, index);
    memset(out_info, 0, sizeof(*out_info));
    out_info->size = sizeof(*out_info);
    if (result == CUDA_SUCCESS) {
        result = driver->DeviceGetName(out_info->description, sizeof(out_info->description), ordinal);
    }
    if (result == CUDA_SUCCESS) result = driver->DeviceTotalMem(&total, ordinal);
    if (result == CUDA_SUCCESS) result = driver->DeviceGetUuid(&uuid, ordinal);
    if (result != CUDA_SUCCESS) return cu_check(plugin->gpu.host, driver, result, "reading what a GPU is");
    caps_fill(plugin, ordinal, total, out_caps);
    *out_capability = attribute(plugin, ordinal, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) * 10 +
                      attribute(plugin, ordinal, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    out_info->flags = PTP_DEVICE_ASYNC | PTP_DEVICE_IN_ORDER;
    snprintf(out_info->kind, sizeof(out_info->kind), "cuda");
    snprintf(out_info->vendor, sizeof(out_info->vendor), "NVIDIA");
    snprintf(out_info->driver, sizeof(out_info->driver), "CUDA %d.%d, sm_%d", driver->version / 1000,
             driver->version % 1000 / 10, *out_capability);
    resource_fill(plugin, ordinal, out_info->resources[0], sizeof(out_info->resources[0]));
    memcpy(out_info->uuid, &uuid, sizeof(out_info->uuid));
    out_info->domain_count = 1;
    out_info->domains[0] = (ptp_domain_info){.size = sizeof(ptp_domain_info),
                                             .memory = PTP_MEMORY_DEVICE,
                                             .name = "device",
                                             .bytes_total = total,
                                             .bytes_free = total,
                                             .max_buffer = total,
                                             .alignment = CU_ALIGNMENT};
    /* kHz times processors times 128 lanes and two operations; memory: kHz times bits, both edges of the clock */
    double clock = attribute(plugin, ordinal, CU_DEVICE_ATTRIBUTE_CLOCK_RATE) * 1e-3;
    double memory = attribute(plugin, ordinal, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE) * 1e-3;
    out_info->flops_per_us = clock * attribute(plugin, ordinal, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) * 256;
    out_info->bytes_per_us = memory * attribute(plugin, ordinal, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH) / 4;
    out_info->launch_us = 10;
    out_info->copy_us = 10;
    out_info->copy_bytes_per_us = 10000;
    return PARTITA_OK;
}

partita_status cu_enter(ptp_device *device) {
    return cu_check(device->host, device->driver, device->driver->CtxPushCurrent(device->context), "cuCtxPushCurrent");
}

void cu_leave(ptp_device *device) {
    CUcontext context;
    device->driver->CtxPopCurrent(&context);
}

static const gpu_backend_vtable backend = {
    .name = "cuda",
    .head = "",
    .prelude = "prelude/cuda",
    .buffer_alloc = cu_buffer_alloc,
    .buffer_free = cu_buffer_free,
    .buffer_upload = cu_buffer_upload,
    .program_create = cu_program_create,
    .program_destroy = cu_program_destroy,
    .submit = cu_submit,
};

static partita_status context_open(ptp_device *device) {
    const cu_driver *driver = device->driver;
    CUresult result = driver->DevicePrimaryCtxRetain(&device->context, device->ordinal);
    if (result != CUDA_SUCCESS) {
        device->context = NULL;
        return cu_check(device->host, driver, result, "cuDevicePrimaryCtxRetain");
    }
    partita_status status = cu_enter(device);
    if (status != PARTITA_OK) return status;
    result = driver->StreamCreate(&device->stream, CU_STREAM_NON_BLOCKING);
    if (result != CUDA_SUCCESS) device->stream = NULL;
    cu_leave(device);
    return cu_check(device->host, driver, result, "cuStreamCreate");
}

partita_status cu_device_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                              ptp_device **out_device) {
    (void)options; /* the host knows that there are none */
    (void)option_count;
    const ptp_host *host = plugin->gpu.host;
    ptp_device *device = host->alloc(host->self, sizeof(*device), 64);
    if (!device) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for the device");
    memset(device, 0, sizeof(*device));
    device->plugin = plugin;
    device->host = device->gpu.host = host;
    device->driver = &plugin->driver;
    device->gpu.backend = &backend;
    pthread_mutex_init(&device->lock, NULL);
    pthread_cond_init(&device->filled, NULL);
    partita_status status = gpu_device_init(&device->gpu);
    if (status != PARTITA_OK) {
        host->free(host->self, device);
        return status;
    }
    status = cu_device_describe(plugin, (int)index, &device->gpu.info, &device->gpu.caps, &device->capability);
    if (status == PARTITA_OK) {
        status = cu_check(host, device->driver, device->driver->DeviceGet(&device->ordinal, (int)index), "cuDeviceGet");
    }
    if (status == PARTITA_OK) status = context_open(device);
    if (status == PARTITA_OK) status = cu_waiter_start(device);
    if (status != PARTITA_OK) {
        cu_device_close(device);
        return status;
    }
    *out_device = device;
    return PARTITA_OK;
}

void cu_device_close(ptp_device *device) {
    if (!device) return;
    const ptp_host *host = device->host;
    cu_waiter_stop(device);
    gpu_device_deinit(&device->gpu);
    if (device->context && cu_enter(device) == PARTITA_OK) {
        if (device->stream) device->driver->StreamDestroy(device->stream);
        cu_leave(device);
    }
    if (device->context) device->driver->DevicePrimaryCtxRelease(device->ordinal);
    pthread_cond_destroy(&device->filled);
    pthread_mutex_destroy(&device->lock);
    host->free(host->self, device);
}
