/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing a device, with its options; messages and memory of the host's that all files use. */
#include "vulkan/vk.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void *vk_alloc(const ptp_host *host, uint64_t bytes) {
    void *block = host->alloc(host->self, bytes ? bytes : 1, 64);
    if (!block) {
        gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for %llu bytes", (unsigned long long)bytes);
        return NULL;
    }
    memset(block, 0, bytes);
    return block;
}

void vk_free(const ptp_host *host, void *block) {
    if (block) host->free(host->self, block);
}

uint64_t vk_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const struct result_row {
    VkResult result;
    partita_status status;
    const char *name;
} results[] = {
    {VK_ERROR_OUT_OF_HOST_MEMORY, PARTITA_OUT_OF_MEMORY, "VK_ERROR_OUT_OF_HOST_MEMORY"},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, PARTITA_OUT_OF_MEMORY, "VK_ERROR_OUT_OF_DEVICE_MEMORY"},
    {VK_ERROR_TOO_MANY_OBJECTS, PARTITA_OUT_OF_MEMORY, "VK_ERROR_TOO_MANY_OBJECTS"},
    {VK_ERROR_OUT_OF_POOL_MEMORY, PARTITA_OUT_OF_MEMORY, "VK_ERROR_OUT_OF_POOL_MEMORY"},
    {VK_ERROR_DEVICE_LOST, PARTITA_DEVICE_LOST, "VK_ERROR_DEVICE_LOST"},
    {VK_ERROR_INITIALIZATION_FAILED, PARTITA_DEVICE_FAILED, "VK_ERROR_INITIALIZATION_FAILED"},
    {VK_ERROR_MEMORY_MAP_FAILED, PARTITA_OUT_OF_MEMORY, "VK_ERROR_MEMORY_MAP_FAILED"},
    {VK_ERROR_LAYER_NOT_PRESENT, PARTITA_DEVICE_FAILED, "VK_ERROR_LAYER_NOT_PRESENT"},
    {VK_ERROR_EXTENSION_NOT_PRESENT, PARTITA_DEVICE_FAILED, "VK_ERROR_EXTENSION_NOT_PRESENT"},
    {VK_ERROR_FEATURE_NOT_PRESENT, PARTITA_DEVICE_FAILED, "VK_ERROR_FEATURE_NOT_PRESENT"},
    {VK_ERROR_INCOMPATIBLE_DRIVER, PARTITA_DEVICE_ABSENT, "VK_ERROR_INCOMPATIBLE_DRIVER"},
    {VK_ERROR_INVALID_EXTERNAL_HANDLE, PARTITA_INVALID_ARGUMENT, "VK_ERROR_INVALID_EXTERNAL_HANDLE"},
};

static const struct result_row *result_find(VkResult result) {
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        if (results[i].result == result) return &results[i];
    }
    return NULL;
}

const char *vk_result_name(VkResult result) {
    const struct result_row *row = result_find(result);
    return row ? row->name : "an unknown VkResult";
}

partita_status vk_check(ptp_device *device, VkResult result, const char *what) {
    if (result >= 0) return PARTITA_OK;
    const struct result_row *row = result_find(result);
    return gpu_fail(device->host, row ? row->status : PARTITA_DEVICE_FAILED, "%s: %s (%d)", what,
                    vk_result_name(result), (int)result);
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

enum { OPTION_VALIDATION, OPTION_PUSH, OPTION_STAGED, OPTION_KERNELS };
const ptp_option_row vk_option_rows[VK_OPTION_COUNT] = {
    {sizeof(ptp_option_row), 0, "validation", "bool", "0",
     "check every call by the Khronos validation layer; its messages are logged as errors"},
    {sizeof(ptp_option_row), 0, "push_descriptors", "bool", "1",
     "push descriptors into command buffers where the driver can; 0: take them from pools"},
    {sizeof(ptp_option_row), 0, "staged", "bool", "0",
     "treat memory as if the host could not see it: maps and weights go through staging"},
    {sizeof(ptp_option_row), 0, "kernels", "auto|host|device", "auto",
     "form of the kernels: for drivers on host cores, or for devices of their own; auto: by the kind of device"},
};

static const char *option_get(const ptp_option *options, uint32_t count, uint32_t row) {
    const char *value = vk_option_rows[row].default_value;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(options[i].name, vk_option_rows[row].name) == 0) value = options[i].value;
    }
    return value;
}

static bool option_is_on(const ptp_option *options, uint32_t count, uint32_t row) {
    const char *value = option_get(options, count, row);
    return strcmp(value, "1") == 0 || strcmp(value, "true") == 0;
}

/* What options change about the device. */
static void options_apply(ptp_device *device, const ptp_option *options, uint32_t count) {
    const char *kernels = option_get(options, count, OPTION_KERNELS);
    device->push_descriptors = device->probe.push_descriptors && option_is_on(options, count, OPTION_PUSH);
    device->host_view = !option_is_on(options, count, OPTION_STAGED);
    if (!device->host_view) {
        device->probe.unified = false;
        device->probe.info.domains[0].memory = PTP_MEMORY_DEVICE;
        device->probe.info.domains[0].export_mask &= ~(1u << PTP_HANDLE_HOST_POINTER);
    }
    if (strcmp(kernels, "auto") == 0) return;
    device->probe.caps.features &= ~(uint32_t)GPU_ON_CPU;
    if (strcmp(kernels, "host") == 0) device->probe.caps.features |= GPU_ON_CPU;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static partita_status handle_create(ptp_device *device, const vk_features *features) {
    static const float priority = 1.0f;
    const char *extensions[8];
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = device->probe.family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &features->base,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = vk_probe_extensions(&device->probe, extensions),
                               .ppEnabledExtensionNames = extensions};
    const vk_instance *instance = device->instance;
    VkResult result = instance->CreateDevice(device->physical, &info, NULL, &device->handle);
    if (result != VK_SUCCESS) {
        device->handle = VK_NULL_HANDLE;
        return vk_check(device, result, "vkCreateDevice");
    }
    bool complete = true;
#define VK_DEVICE(name)                                                                                                \
    device->name = (PFN_vk##name)instance->GetDeviceProcAddr(device->handle, "vk" #name);                              \
    complete = complete && device->name;
#define VK_EXTENSION(name) device->name = (PFN_vk##name)instance->GetDeviceProcAddr(device->handle, "vk" #name);
#include "vulkan/functions.inc"
    if (!complete) return gpu_fail(device->host, PARTITA_DEVICE_FAILED, "the Vulkan driver lacks functions of 1.2");
    return PARTITA_OK;
}

static const gpu_backend_vtable backend = {
    .name = "vulkan",
    .head = "#version 450\n"
            "#extension GL_EXT_shader_explicit_arithmetic_types : require\n"
            "#extension GL_EXT_shader_8bit_storage : require\n"
            "#extension GL_EXT_shader_16bit_storage : require\n"
            "#extension GL_EXT_control_flow_attributes : require\n",
    .prelude = "prelude/vulkan",
    .entry = "main",
    .buffer_alloc = vk_gpu_buffer_alloc,
    .host_alloc = vk_gpu_host_alloc,
    .buffer_free = vk_gpu_buffer_free,
    .buffer_upload = vk_gpu_buffer_upload,
    .program_create = vk_program_create,
    .program_destroy = vk_program_destroy,
    .submit = vk_submit,
};

/* What of a device exists, in the order of making. */
enum { STAGE_NONE, STAGE_HANDLE, STAGE_QUEUE, STAGE_PROGRAMS, STAGE_GPU };

partita_status vk_device_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                              ptp_device **out_device) {
    vk_features features;
    partita_status status = PARTITA_OK;
    ptp_device *device = vk_alloc(plugin->gpu.host, sizeof(*device));
    if (!device) return PARTITA_OUT_OF_MEMORY;
    device->plugin = plugin;
    device->host = plugin->gpu.host;
    device->instance = &plugin->instance;
    pthread_mutex_init(&device->memory_lock, NULL);
    if (option_is_on(options, option_count, OPTION_VALIDATION)) {
        status = vk_instance_init(&plugin->loader, plugin->gpu.host, true, &device->own_instance);
        device->instance = &device->own_instance;
        if (status == PARTITA_OK && index >= device->own_instance.count) {
            status = gpu_fail(plugin->gpu.host, PARTITA_DEVICE_FAILED, "device %u is gone under validation", index);
        }
    }
    if (status == PARTITA_OK) {
        device->physical = device->instance->devices[index];
        status = vk_probe_read(device->instance, device->physical, &device->probe, &features);
    }
    if (status == PARTITA_OK) {
        options_apply(device, options, option_count);
        status = handle_create(device, &features);
    }
    if (status == PARTITA_OK) {
        device->stage = STAGE_HANDLE;
        status = vk_queue_init(device);
    }
    if (status == PARTITA_OK) {
        device->stage = STAGE_QUEUE;
        status = vk_programs_init(device);
    }
    if (status == PARTITA_OK) {
        device->stage = STAGE_PROGRAMS;
        device->gpu.backend = &backend;
        device->gpu.host = plugin->gpu.host;
        device->gpu.caps = device->probe.caps;
        device->gpu.info = device->probe.info;
        status = gpu_device_init(&device->gpu);
    }
    if (status != PARTITA_OK) {
        vk_device_close(device);
        return status;
    }
    device->stage = STAGE_GPU;
    *out_device = device;
    return PARTITA_OK;
}

void vk_device_close(ptp_device *device) {
    if (!device) return;
    const ptp_host *host = device->host;
    if (device->stage >= STAGE_QUEUE) vk_queue_deinit(device);
    if (device->stage >= STAGE_GPU) gpu_device_deinit(&device->gpu);
    if (device->stage >= STAGE_PROGRAMS) vk_programs_deinit(device);
    vk_blocks_trim(device, 0);
    if (device->handle && device->DestroyDevice) device->DestroyDevice(device->handle, NULL);
    vk_instance_deinit(&device->plugin->loader, &device->own_instance);
    pthread_mutex_destroy(&device->memory_lock);
    vk_free(host, device);
}
