/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenCL plugin: finds devices through the ICD loader, opens them, and exports its tables. */
#include "opencl/opencl.h"
#include <stdlib.h>
#include <string.h>

static void plugin_free(ptp_plugin *plugin) {
    const ptp_host *host = plugin->host;
    if (plugin->ids) host->free(host->self, plugin->ids);
    pthread_mutex_destroy(&plugin->lock);
    host->free(host->self, plugin);
}

/* Devices of all platforms, in the loader's order. */
static partita_status devices_find(ptp_plugin *plugin) {
    const ptp_host *host = plugin->host;
    cl_platform_id platforms[16];
    cl_uint platform_count = 0, total = 0;
    if (cl.clGetPlatformIDs(16, platforms, &platform_count) != CL_SUCCESS || platform_count == 0) {
        return gpu_fail(host, PARTITA_DEVICE_ABSENT, "no OpenCL driver (ICD) found");
    }
    if (platform_count > 16) platform_count = 16;
    for (cl_uint p = 0; p < platform_count; p++) {
        cl_uint count = 0;
        if (cl.clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, 0, NULL, &count) == CL_SUCCESS) total += count;
    }
    if (total == 0) {
        return gpu_fail(host, PARTITA_DEVICE_ABSENT, "%u OpenCL drivers found, none has a device", platform_count);
    }
    plugin->ids = host->alloc(host->self, total * sizeof(*plugin->ids), 16);
    if (!plugin->ids) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for %u devices", total);
    for (cl_uint p = 0; p < platform_count && plugin->count < total; p++) {
        cl_uint count = 0, room = total - plugin->count;
        if (cl.clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, room, plugin->ids + plugin->count, &count) ==
            CL_SUCCESS) {
            plugin->count += count < room ? count : room;
        }
    }
    return PARTITA_OK;
}

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    const char *cause = cl_api_open();
    if (cause) return gpu_fail(host, PARTITA_DEVICE_ABSENT, "%s", cause);
    ptp_plugin *plugin = host->alloc(host->self, sizeof(*plugin), 16);
    if (!plugin) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for the plugin");
    memset(plugin, 0, sizeof(*plugin));
    plugin->host = host;
    pthread_mutex_init(&plugin->lock, NULL);
    partita_status status = devices_find(plugin);
    if (status != PARTITA_OK) {
        plugin_free(plugin);
        return status;
    }
    *out_plugin = plugin;
    return PARTITA_OK;
}

static partita_status plugin_stop(ptp_plugin *plugin) {
    pthread_mutex_lock(&plugin->lock);
    uint32_t open = plugin->open_devices;
    pthread_mutex_unlock(&plugin->lock);
    if (open > 0) return gpu_fail(plugin->host, PARTITA_BUSY, "%u OpenCL devices are open", open);
    plugin_free(plugin);
    return PARTITA_OK;
}

static uint32_t plugin_count(ptp_plugin *plugin) { return plugin->count; }

static const ptp_option_row option_rows[] = {
    {sizeof(ptp_option_row), 0, "units", "int", "0", "compute units to use (a sub-device); 0: all"},
    {sizeof(ptp_option_row), 0, "kernels", "auto|host|device", "auto",
     "form of the kernels: for drivers on host cores, or for devices of their own; auto: by the kind of device"},
};

static const ptp_option_row *plugin_options(ptp_plugin *plugin, uint32_t index, uint32_t *out_count) {
    (void)plugin;
    (void)index;
    *out_count = sizeof(option_rows) / sizeof(option_rows[0]);
    return option_rows;
}

static partita_status units_apply(ptp_device *device, const char *value) {
    const ptp_host *host = device->gpu.host;
    char *end;
    long units = strtol(value, &end, 10);
    if (*end || end == value || units < 0) {
        return gpu_fail(host, PARTITA_INVALID_ARGUMENT, "units '%s' is no count", value);
    }
    if (units == 0) return PARTITA_OK;
    const cl_device_partition_property by_counts[] = {CL_DEVICE_PARTITION_BY_COUNTS, units,
                                                      CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id sub;
    cl_int code = cl.clCreateSubDevices(device->id, by_counts, 1, &sub, NULL);
    if (code != CL_SUCCESS) {
        return gpu_fail(host, PARTITA_INVALID_ARGUMENT, "the driver gives no sub-device of %ld units: %s", units,
                        cl_error_name(code));
    }
    if (device->sub_device) cl.clReleaseDevice(device->id);
    device->id = sub;
    device->sub_device = true;
    return PARTITA_OK;
}

static partita_status options_apply(ptp_device *device, const ptp_option *options, uint32_t count,
                                    const char **out_form) {
    const ptp_host *host = device->gpu.host;
    *out_form = "auto";
    for (uint32_t i = 0; i < count; i++) {
        const char *name = options[i].name, *value = options[i].value;
        if (strcmp(name, "units") == 0) {
            partita_status status = units_apply(device, value);
            if (status != PARTITA_OK) return status;
        } else if (strcmp(name, "kernels") == 0) {
            if (strcmp(value, "auto") != 0 && strcmp(value, "host") != 0 && strcmp(value, "device") != 0) {
                return gpu_fail(host, PARTITA_INVALID_ARGUMENT, "kernels '%s' is none of auto, host, device", value);
            }
            *out_form = value;
        } else {
            return gpu_fail(host, PARTITA_INVALID_ARGUMENT, "opencl has no option '%s'", name);
        }
    }
    return PARTITA_OK;
}

/* The form of kernels that was asked for, whatever the device is. */
static void form_apply(ptp_device *device, const char *form) {
    if (strcmp(form, "auto") == 0) return;
    bool on_host = strcmp(form, "host") == 0;
    device->gpu.caps.features &= ~(uint32_t)GPU_ON_CPU;
    if (on_host) device->gpu.caps.features |= GPU_ON_CPU;
    device->gpu.caps.vector_width = on_host ? 8 : 4;
}

static void device_free(ptp_device *device) {
    const ptp_host *host = device->gpu.host;
    if (device->queue) cl.clReleaseCommandQueue(device->queue);
    if (device->context) cl.clReleaseContext(device->context);
    if (device->sub_device) cl.clReleaseDevice(device->id);
    pthread_cond_destroy(&device->idle);
    pthread_mutex_destroy(&device->counts);
    pthread_mutex_destroy(&device->lock);
    host->free(host->self, device);
}

static partita_status device_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                                  ptp_device **out_device) {
    const ptp_host *host = plugin->host;
    cl_int code = CL_SUCCESS;
    if (index >= plugin->count)
        return gpu_fail(host, PARTITA_INVALID_ARGUMENT, "device %u of %u", index, plugin->count);
    ptp_device *device = host->alloc(host->self, sizeof(*device), 16);
    if (!device) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a device");
    memset(device, 0, sizeof(*device));
    device->gpu.backend = &cl_backend;
    device->gpu.host = host;
    device->plugin = plugin;
    device->id = plugin->ids[index];
    pthread_mutex_init(&device->lock, NULL);
    pthread_mutex_init(&device->counts, NULL);
    pthread_cond_init(&device->idle, NULL);
    const char *form;
    partita_status status = options_apply(device, options, option_count, &form);
    if (status == PARTITA_OK) status = cl_device_describe(host, device->id, &device->gpu.info, &device->gpu.caps);
    if (status != PARTITA_OK) goto out;
    form_apply(device, form);
    device->context = cl.clCreateContext(NULL, 1, &device->id, NULL, NULL, &code);
    if (code != CL_SUCCESS) {
        status = cl_failed(host, code, "clCreateContext");
        goto out;
    }
    device->queue = cl.clCreateCommandQueue(device->context, device->id, CL_QUEUE_PROFILING_ENABLE, &code);
    if (code != CL_SUCCESS) {
        status = cl_failed(host, code, "clCreateCommandQueue");
        goto out;
    }
    status = gpu_device_init(&device->gpu);
out:
    if (status != PARTITA_OK) {
        device_free(device);
        return status;
    }
    pthread_mutex_lock(&plugin->lock);
    plugin->open_devices++;
    pthread_mutex_unlock(&plugin->lock);
    *out_device = device;
    return PARTITA_OK;
}

static void device_close(ptp_device *device) {
    if (!device) return;
    ptp_plugin *plugin = device->plugin;
    cl_wait_idle(device);
    gpu_device_deinit(&device->gpu);
    device_free(device);
    pthread_mutex_lock(&plugin->lock);
    plugin->open_devices--;
    pthread_mutex_unlock(&plugin->lock);
}

static partita_status plugin_peek(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info) {
    ptp_device_info info;
    gpu_caps caps;
    if (index >= plugin->count) {
        return gpu_fail(plugin->host, PARTITA_INVALID_ARGUMENT, "device %u of %u", index, plugin->count);
    }
    partita_status status = cl_device_describe(plugin->host, plugin->ids[index], &info, &caps);
    if (status != PARTITA_OK) return status;
    uint32_t size = out_info->size;
    memcpy(out_info, &info, size < sizeof(info) ? size : sizeof(info));
    out_info->size = size;
    return PARTITA_OK;
}

static const ptp_plugin_vtable plugin_vtable = {
    .size = sizeof(ptp_plugin_vtable),
    .start = plugin_start,
    .stop = plugin_stop,
    .device_count = plugin_count,
    .open = device_open,
    .close = device_close,
    .peek = plugin_peek,
    .options = plugin_options,
};

static const ptp_device_vtable device_vtable = {
    .size = sizeof(ptp_device_vtable),
    .info = gpu_info,
    .ask = gpu_ask,
    .offer = gpu_offer,
    .compile = gpu_compile,
    .route = cl_route,
    .cache_need = cl_cache_need,
    .usage = cl_usage,
};

PTP_DEFINE_PLUGIN("opencl", "0.1", &plugin_vtable, &device_vtable, &gpu_executable_vtable, &cl_memory_vtable, NULL)
