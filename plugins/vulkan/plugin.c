/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin `vulkan`: loader and instance opened and closed, and the tables of the ABI. */
#include "vulkan/vk.h"

static partita_status thin_start(ptp_plugin *plugin) {
    const ptp_host *host = plugin->gpu.host;
    partita_status status = vk_loader_open(host, &plugin->loader);
    if (status != PARTITA_OK) return status;
    status = vk_instance_init(&plugin->loader, host, false, &plugin->instance);
    if (status != PARTITA_OK) vk_loader_close(&plugin->loader);
    plugin->gpu.count = plugin->instance.count;
    return status;
}

static void thin_stop(ptp_plugin *plugin) {
    vk_instance_deinit(&plugin->loader, &plugin->instance);
    vk_loader_close(&plugin->loader);
}

static partita_status thin_describe(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info) {
    vk_probe probe;
    vk_features features;
    partita_status status = vk_probe_read(&plugin->instance, plugin->instance.devices[index], &probe, &features);
    *out_info = probe.info;
    return status;
}

static const gpu_thin thin = {.plugin_bytes = sizeof(ptp_plugin),
                              .options = vk_option_rows,
                              .option_count = VK_OPTION_COUNT,
                              .start = thin_start,
                              .stop = thin_stop,
                              .open = vk_device_open,
                              .close = vk_device_close,
                              .describe = thin_describe};

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    return gpu_plugin_start(host, &thin, out_plugin);
}

static partita_status device_trim(ptp_device *device, uint64_t keep_bytes) {
    vk_blocks_trim(device, keep_bytes);
    return PARTITA_OK;
}

static const ptp_plugin_vtable plugin_vtable = {GPU_PLUGIN_SLOTS, .start = plugin_start};
static const ptp_device_vtable device_vtable = {GPU_DEVICE_SLOTS, .route = vk_route, .trim = device_trim};

PTP_DEFINE_PLUGIN("vulkan", "0.1", &plugin_vtable, &device_vtable, &gpu_executable_vtable, &vk_memory_vtable, NULL)
