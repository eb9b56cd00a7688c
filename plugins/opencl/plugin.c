/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenCL plugin: finds devices through the ICD loader, opens them, and exports its tables. */
#include "opencl/opencl.h"
#include <stdlib.h>
#include <string.h>

static void thin_stop(ptp_plugin *plugin) {
    const ptp_host *host = plugin->gpu.host;
    if (plugin->ids) host->free(host->self, plugin->ids);
}

/* Devices of all platforms, in the loader's order. */
static partita_status devices_find(ptp_plugin *plugin) {
    const ptp_host *host = plugin->gpu.host;
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
    for (cl_uint p = 0; p < platform_count && plugin->gpu.count < total; p++) {
        cl_uint count = 0, room = total - plugin->gpu.count;
        if (cl.clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, room, plugin->ids + plugin->gpu.count, &count) ==
            CL_SUCCESS) {
            plugin->gpu.count += count < room ? count : room;
        }
    }
    return PARTITA_OK;
}

static partita_status thin_start(ptp_plugin *plugin) {
    const char *cause = cl_api_open();
    if (cause) return gpu_fail(plugin->gpu.host, PARTITA_DEVICE_ABSENT, "%s", cause);
    return devices_find(plugin);
}

static const ptp_option_row option_rows[] = {
    {sizeof(ptp_option_row), 0, "units", "int", "0", "compute units to use (a sub-device); 0: all"},
    {sizeof(ptp_option_row), 0, "kernels", "auto|host|device", "auto",
     "form of the kernels: for drivers on host cores, or for devices of their own; auto: by the kind of device"},
};

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
    gpu_order_deinit(&device->order);
    pthread_mutex_destroy(&device->lock);
    host->free(host->self, device);
}

static partita_status thin_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                                ptp_device **out_device) {
    const ptp_host *host = plugin->gpu.host;
    cl_int code = CL_SUCCESS;
    ptp_device *device = host->alloc(host->self, sizeof(*device), 16);
    if (!device) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a device");
    memset(device, 0, sizeof(*device));
    device->gpu.backend = &cl_backend;
    device->gpu.host = host;
    device->id = plugin->ids[index];
    pthread_mutex_init(&device->lock, NULL);
    gpu_order_init(&device->order, host);
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
    *out_device = device;
    return PARTITA_OK;
}

static void thin_close(ptp_device *device) {
    cl_wait_idle(device);
    gpu_device_deinit(&device->gpu);
    device_free(device);
}

static partita_status thin_describe(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info) {
    gpu_caps caps;
    return cl_device_describe(plugin->gpu.host, plugin->ids[index], out_info, &caps);
}

static const gpu_thin thin = {.plugin_bytes = sizeof(ptp_plugin),
                              .options = option_rows,
                              .option_count = sizeof(option_rows) / sizeof(option_rows[0]),
                              .start = thin_start,
                              .stop = thin_stop,
                              .open = thin_open,
                              .close = thin_close,
                              .describe = thin_describe};

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    return gpu_plugin_start(host, &thin, out_plugin);
}

static const ptp_plugin_vtable plugin_vtable = {GPU_PLUGIN_SLOTS, .start = plugin_start};
static const ptp_device_vtable device_vtable = {GPU_DEVICE_SLOTS, .route = cl_route};

PTP_DEFINE_PLUGIN("opencl", "0.1", &plugin_vtable, &device_vtable, &gpu_executable_vtable, &cl_memory_vtable, NULL)
