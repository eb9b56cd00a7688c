/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin `cuda`: the driver and NVRTC opened and closed, and the tables of the ABI. */
#include "cuda/cu.h"

static partita_status thin_start(ptp_plugin *plugin) {
    const ptp_host *host = plugin->gpu.host;
    int count = 0;
    partita_status status = cu_driver_open(host, &plugin->driver, &count);
    if (status != PARTITA_OK) return status;
    plugin->gpu.count = (uint32_t)count;
    status = cu_nvrtc_open(host, &plugin->nvrtc);
    if (status != PARTITA_OK) cu_driver_close(&plugin->driver);
    return status;
}

static void thin_stop(ptp_plugin *plugin) {
    cu_nvrtc_close(&plugin->nvrtc);
    cu_driver_close(&plugin->driver);
}

static partita_status thin_describe(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info) {
    gpu_caps caps;
    int capability;
    return cu_device_describe(plugin, (int)index, out_info, &caps, &capability);
}

static const gpu_thin thin = {.plugin_bytes = sizeof(ptp_plugin),
                              .start = thin_start,
                              .stop = thin_stop,
                              .open = cu_device_open,
                              .close = cu_device_close,
                              .describe = thin_describe};

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    return gpu_plugin_start(host, &thin, out_plugin);
}

static const ptp_plugin_vtable plugin_vtable = {GPU_PLUGIN_SLOTS, .start = plugin_start};
static const ptp_device_vtable device_vtable = {GPU_DEVICE_SLOTS};

PTP_DEFINE_PLUGIN("cuda", "0.1", &plugin_vtable, &device_vtable, &gpu_executable_vtable, &cu_memory_vtable, NULL)
