/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a thin plugin: its start and stop around the driver's, and devices by index, counted while open. */
#include "gpu/backend.h"
#include <string.h>

partita_status gpu_plugin_start(const ptp_host *host, const gpu_thin *thin, ptp_plugin **out_plugin) {
    gpu_plugin *plugin = host->alloc(host->self, thin->plugin_bytes, 64);
    *out_plugin = NULL;
    if (!plugin) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for the plugin");
    memset(plugin, 0, thin->plugin_bytes);
    plugin->thin = thin;
    plugin->host = host;
    partita_status status = thin->start((ptp_plugin *)plugin);
    if (status != PARTITA_OK) {
        host->free(host->self, plugin);
        return status;
    }
    *out_plugin = (ptp_plugin *)plugin;
    return PARTITA_OK;
}

partita_status gpu_plugin_stop(ptp_plugin *opaque) {
    gpu_plugin *plugin = (gpu_plugin *)opaque;
    if (!plugin) return PARTITA_OK;
    uint32_t open = plugin->open;
    if (open) return gpu_fail(plugin->host, PARTITA_BUSY, "%u devices are open", open);
    plugin->thin->stop(opaque);
    plugin->host->free(plugin->host->self, plugin);
    return PARTITA_OK;
}

uint32_t gpu_plugin_count(ptp_plugin *plugin) { return ((gpu_plugin *)plugin)->count; }

static partita_status index_check(const gpu_plugin *plugin, uint32_t index) {
    if (index < plugin->count) return PARTITA_OK;
    return gpu_fail(plugin->host, PARTITA_INVALID_ARGUMENT, "there is no device %u of %u", index, plugin->count);
}

partita_status gpu_plugin_open(ptp_plugin *opaque, uint32_t index, const ptp_option *options, uint32_t option_count,
                               ptp_device **out_device) {
    gpu_plugin *plugin = (gpu_plugin *)opaque;
    *out_device = NULL;
    partita_status status = index_check(plugin, index);
    if (status == PARTITA_OK) status = plugin->thin->open(opaque, index, options, option_count, out_device);
    if (status != PARTITA_OK) return status;
    ((gpu_device *)*out_device)->plugin = plugin;
    plugin->open++;
    return PARTITA_OK;
}

void gpu_plugin_close(ptp_device *device) {
    if (!device) return;
    gpu_plugin *plugin = ((gpu_device *)device)->plugin;
    plugin->thin->close(device);
    plugin->open--;
}

partita_status gpu_plugin_peek(ptp_plugin *opaque, uint32_t index, ptp_device_info *out_info) {
    gpu_plugin *plugin = (gpu_plugin *)opaque;
    ptp_device_info info;
    partita_status status = index_check(plugin, index);
    if (status == PARTITA_OK) status = plugin->thin->describe(opaque, index, &info);
    if (status == PARTITA_OK) gpu_struct_out(out_info, &info, sizeof(info));
    return status;
}

const ptp_option_row *gpu_plugin_options(ptp_plugin *plugin, uint32_t index, uint32_t *out_count) {
    const gpu_thin *thin = ((gpu_plugin *)plugin)->thin;
    (void)index;
    *out_count = thin->option_count;
    return thin->options;
}
