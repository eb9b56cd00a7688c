/* SPDX-License-Identifier: Apache-2.0 */
/* What an OpenCL device is: properties, guessed rates, prices of routes, usage. */
#include "opencl/opencl.h"
#include <stdio.h>
#include <string.h>

/* cl_khr_pci_bus_info, from CL/cl_ext.h of newer headers. */
#define DEVICE_PCI_BUS_INFO 0x410F
typedef struct pci_info {
    cl_uint domain, bus, device, function;
} pci_info;

partita_status cl_failed(const ptp_host *host, cl_int code, const char *what) {
    partita_status status =
        code == CL_OUT_OF_HOST_MEMORY || code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES
            ? PARTITA_OUT_OF_MEMORY
            : PARTITA_DEVICE_FAILED;
    return gpu_fail(host, status, "%s: %s (%d)", what, cl_error_name(code), code);
}

static uint64_t info_number(cl_device_id id, cl_device_info what) {
    uint64_t wide = 0;
    uint32_t narrow = 0;
    size_t size = 0;
    if (cl.clGetDeviceInfo(id, what, sizeof(wide), &wide, &size) != CL_SUCCESS) return 0;
    if (size != sizeof(narrow)) return wide;
    memcpy(&narrow, &wide, sizeof(narrow));
    return narrow;
}

static void info_text(cl_device_id id, cl_device_info what, char *out, size_t capacity) {
    char text[512] = "";
    cl.clGetDeviceInfo(id, what, sizeof(text) - 1, text, NULL);
    const char *from = text;
    while (*from == ' ') from++;
    snprintf(out, capacity, "%.*s", (int)capacity - 1, from);
}

static void resources_fill(cl_device_id id, bool on_cpu, ptp_device_info *info) {
    pci_info pci;
    if (on_cpu) {
        snprintf(info->resources[0], sizeof(info->resources[0]), "host-cores");
    } else if (cl.clGetDeviceInfo(id, DEVICE_PCI_BUS_INFO, sizeof(pci), &pci, NULL) == CL_SUCCESS) {
        snprintf(info->resources[0], sizeof(info->resources[0]), "pci:%04x:%02x:%02x.%x", pci.domain, pci.bus,
                 pci.device, pci.function);
    } else {
        snprintf(info->resources[0], sizeof(info->resources[0]), "opencl:%p", (void *)id);
    }
}

/* Sustained rates as units times clock; a measurement replaces them. */
static void rates_fill(cl_device_id id, bool on_cpu, ptp_device_info *info) {
    double units = (double)info_number(id, CL_DEVICE_MAX_COMPUTE_UNITS);
    double clock = (double)info_number(id, CL_DEVICE_MAX_CLOCK_FREQUENCY);
    if (clock < 100) clock = 1000;
    info->flops_per_us = units * clock * (on_cpu ? 16.0 : 128.0);
    info->bytes_per_us = on_cpu ? 8000.0 : 200000.0;
    info->launch_us = on_cpu ? 40.0 : 20.0;
    info->copy_us = on_cpu ? 30.0 : 20.0;
    info->copy_bytes_per_us = on_cpu ? 5000.0 : 10000.0;
}

partita_status cl_device_describe(const ptp_host *host, cl_device_id id, ptp_device_info *info, gpu_caps *caps) {
    cl_device_type type = 0;
    char extensions[4096] = "";
    if (cl.clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof(type), &type, NULL) != CL_SUCCESS) {
        return gpu_fail(host, PARTITA_DEVICE_FAILED, "the OpenCL driver does not describe its device");
    }
    cl.clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, sizeof(extensions) - 1, extensions, NULL);
    bool on_cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    uint64_t alignment = info_number(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8;
    if (alignment < 64) alignment = 64;
    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    info->flags = PTP_DEVICE_ASYNC | PTP_DEVICE_IN_ORDER | (on_cpu ? PTP_DEVICE_EMULATED : 0u);
    snprintf(info->kind, sizeof(info->kind), "opencl");
    info_text(id, CL_DEVICE_NAME, info->description, sizeof(info->description));
    info_text(id, CL_DEVICE_VENDOR, info->vendor, sizeof(info->vendor));
    info_text(id, CL_DRIVER_VERSION, info->driver, sizeof(info->driver));
    resources_fill(id, on_cpu, info);
    rates_fill(id, on_cpu, info);
    info->domain_count = 1;
    ptp_domain_info *domain = &info->domains[0];
    domain->size = sizeof(*domain);
    domain->memory = info_number(id, CL_DEVICE_HOST_UNIFIED_MEMORY) ? PTP_MEMORY_UNIFIED : PTP_MEMORY_DEVICE;
    snprintf(domain->name, sizeof(domain->name), "opencl");
    domain->bytes_total = info_number(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    domain->max_buffer = info_number(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    domain->max_binding = domain->max_buffer;
    domain->alignment = (uint32_t)alignment;
    domain->import_alignment = (uint32_t)alignment;
    domain->import_mask = 1u << PTP_HANDLE_HOST_POINTER;
    memset(caps, 0, sizeof(*caps));
    caps->features = GPU_HAS_INT64 | GPU_HAS_INT8 | GPU_HAS_INT16 | (on_cpu ? GPU_ON_CPU : 0u) |
                     (strstr(extensions, "cl_khr_fp64") ? GPU_HAS_FLOAT64 : 0u);
    caps->alignment = (uint32_t)alignment;
    caps->max_binding = caps->max_buffer = domain->max_buffer;
    caps->max_group = (uint32_t)info_number(id, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    caps->shared_bytes = (uint32_t)info_number(id, CL_DEVICE_LOCAL_MEM_SIZE);
    size_t most[8] = {0};
    cl.clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof(most), most, NULL);
    for (int d = 0; d < 3; d++) caps->max_local[d] = most[d] > UINT32_MAX ? UINT32_MAX : (uint32_t)most[d];
    for (int d = 0; d < 3; d++) caps->max_groups[d] = 0x7fffffffu / (caps->max_group ? caps->max_group : 1);
    caps->vector_width = on_cpu ? 8 : 4;
    uint64_t argument_bytes = info_number(id, CL_DEVICE_MAX_PARAMETER_SIZE);
    if (argument_bytes && argument_bytes < GPU_MAX_BINDINGS * 16 + GPU_MAX_PARAMS * 4) {
        return gpu_fail(host, PARTITA_DEVICE_ABSENT, "%s takes %llu bytes of kernel arguments, at least %u are needed",
                        info->description, (unsigned long long)argument_bytes,
                        GPU_MAX_BINDINGS * 16 + GPU_MAX_PARAMS * 4);
    }
    if (caps->max_group < 64) {
        return gpu_fail(host, PARTITA_DEVICE_ABSENT, "%s takes %u work-items in a group, at least 64 are needed",
                        info->description, caps->max_group);
    }
    return PARTITA_OK;
}

partita_status cl_route(ptp_device *device, ptp_route *route) {
    const ptp_device_info *info = &device->gpu.info;
    route->us = 0;
    route->us_per_byte = 0;
    switch (route->route) {
    case PTP_ROUTE_IMPORT:
        /* an imported host pointer is read and written in place where the memory is the host's own */
        if (route->handle == PTP_HANDLE_HOST_POINTER && info->domains[0].memory == PTP_MEMORY_UNIFIED &&
            (route->peer_memory == PTP_MEMORY_HOST || route->peer_memory == PTP_MEMORY_PINNED)) {
            route->us = info->flags & PTP_DEVICE_EMULATED ? 2.0 : 5.0;
            return PARTITA_OK;
        }
        break;
    case PTP_ROUTE_COPY:
        if (!route->peer || route->peer_memory == PTP_MEMORY_HOST || route->peer_memory == PTP_MEMORY_PINNED) {
            route->us = info->copy_us;
            route->us_per_byte = info->copy_bytes_per_us > 0 ? 1.0 / info->copy_bytes_per_us : 0;
            return PARTITA_OK;
        }
        break;
    default: break;
    }
    route->route = PTP_ROUTE_NONE;
    return PARTITA_OK;
}
