/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin for tests: the shared GPU part over a device that compiles every kernel by NVRTC and runs none, so that the
 * kernels are checked for CUDA on machines without a GPU.
 */
#include "cuda/nvrtc.h"
#include <stdlib.h>
#include <string.h>

struct ptp_plugin {
    gpu_plugin gpu; /* first */
    cu_nvrtc nvrtc;
};

struct ptp_device {
    gpu_device gpu; /* first */
    ptp_plugin *plugin;
};

struct ptp_buffer {
    uint64_t bytes;
};

static partita_status buffer_alloc(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer) {
    *out_buffer = device->host->alloc(device->host->self, sizeof(**out_buffer), 16);
    if (*out_buffer) (*out_buffer)->bytes = bytes;
    return *out_buffer ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
}

static void buffer_free(gpu_device *device, ptp_buffer *buffer) { device->host->free(device->host->self, buffer); }

static partita_status buffer_upload(gpu_device *device, ptp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes) {
    (void)device, (void)data;
    return offset + bytes <= buffer->bytes ? PARTITA_OK : PARTITA_INTERNAL;
}

/* What a program is does not matter: only that there is one. */
static partita_status program_create(gpu_device *device, const gpu_source *source, gpu_program **out_program) {
    void *code = NULL;
    partita_status status = cu_nvrtc_compile(&((ptp_device *)device)->plugin->nvrtc, device->host, 80, source, &code);
    *out_program = code;
    return status;
}

static void program_destroy(gpu_device *device, gpu_program *program) {
    if (program) device->host->free(device->host->self, program);
}

static partita_status submit(gpu_device *device, const gpu_batch *batch) {
    (void)batch;
    return gpu_fail(device->host, PARTITA_DEVICE_FAILED, "this device only compiles");
}

static const gpu_backend_vtable backend = {.name = "nvrtc",
                                           .head = "",
                                           .prelude = "prelude/cuda",
                                           .buffer_alloc = buffer_alloc,
                                           .buffer_free = buffer_free,
                                           .buffer_upload = buffer_upload,
                                           .program_create = program_create,
                                           .program_destroy = program_destroy,
                                           .submit = submit};

static partita_status thin_start(ptp_plugin *plugin) {
    plugin->gpu.count = 1;
    return cu_nvrtc_open(plugin->gpu.host, &plugin->nvrtc);
}

static void thin_stop(ptp_plugin *plugin) { cu_nvrtc_close(&plugin->nvrtc); }

static partita_status thin_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                                ptp_device **out_device) {
    const ptp_host *host = plugin->gpu.host;
    (void)index, (void)options, (void)option_count;
    ptp_device *device = host->alloc(host->self, sizeof(*device), 64);
    if (!device) return PARTITA_OUT_OF_MEMORY;
    memset(device, 0, sizeof(*device));
    device->plugin = plugin;
    device->gpu.backend = &backend;
    device->gpu.host = host;
    device->gpu.caps = (gpu_caps){.features = GPU_HAS_INT64 | GPU_HAS_INT8 | GPU_HAS_INT16 | GPU_HAS_FLOAT64,
                                  .alignment = 256,
                                  .max_group = 1024,
                                  .max_groups = {INT32_MAX, 65535, 65535},
                                  .shared_bytes = 49152,
                                  .vector_width = 1};
    *out_device = device;
    return gpu_device_init(&device->gpu);
}

static void thin_close(ptp_device *device) {
    const ptp_host *host = device->gpu.host;
    gpu_device_deinit(&device->gpu);
    host->free(host->self, device);
}

static partita_status thin_describe(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info) {
    (void)plugin, (void)index;
    *out_info = (ptp_device_info){.size = sizeof(*out_info), .kind = "nvrtc"};
    return PARTITA_OK;
}

static const gpu_thin thin = {.plugin_bytes = sizeof(ptp_plugin),
                              .start = thin_start,
                              .stop = thin_stop,
                              .open = thin_open,
                              .close = thin_close,
                              .describe = thin_describe};

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    return gpu_plugin_start(host, &thin, out_plugin);
}

static const ptp_plugin_vtable plugin_vtable = {GPU_PLUGIN_SLOTS, .start = plugin_start};
static const ptp_device_vtable device_vtable = {GPU_DEVICE_SLOTS};

PTP_DEFINE_PLUGIN("nvrtc", "0.1", &plugin_vtable, &device_vtable, &gpu_executable_vtable, NULL, NULL)
