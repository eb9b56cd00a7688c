/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin `cuda`: its life, its devices, and the tables of the ABI. */
#include "cuda/cu.h"
#include <stdio.h>

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    ptp_plugin *plugin = host->alloc(host->self, sizeof(*plugin), 64);
    *out_plugin = NULL;
    if (!plugin) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for the plugin");
    memset(plugin, 0, sizeof(*plugin));
    plugin->host = host;
    partita_status status = cu_driver_open(host, &plugin->driver, &plugin->count);
    if (status == PARTITA_OK) {
        status = cu_nvrtc_open(host, &plugin->nvrtc);
        if (status != PARTITA_OK) cu_driver_close(&plugin->driver);
    }
    if (status != PARTITA_OK) {
        host->free(host->self, plugin);
        return status;
    }
    pthread_mutex_init(&plugin->lock, NULL);
    *out_plugin = plugin;
    return PARTITA_OK;
}

static partita_status plugin_stop(ptp_plugin *plugin) {
    if (!plugin) return PARTITA_OK;
    pthread_mutex_lock(&plugin->lock);
    uint32_t open = plugin->open;
    pthread_mutex_unlock(&plugin->lock);
    if (open) return gpu_fail(plugin->host, PARTITA_BUSY, "%u devices are open", open);
    cu_nvrtc_close(&plugin->nvrtc);
    cu_driver_close(&plugin->driver);
    pthread_mutex_destroy(&plugin->lock);
    plugin->host->free(plugin->host->self, plugin);
    return PARTITA_OK;
}

static uint32_t plugin_device_count(ptp_plugin *plugin) { return (uint32_t)plugin->count; }

static partita_status index_check(const ptp_plugin *plugin, uint32_t index) {
    if (index < (uint32_t)plugin->count) return PARTITA_OK;
    return gpu_fail(plugin->host, PARTITA_INVALID_ARGUMENT, "there is no device %u", index);
}

static void open_count(ptp_plugin *plugin, int32_t change) {
    pthread_mutex_lock(&plugin->lock);
    plugin->open += (uint32_t)change;
    pthread_mutex_unlock(&plugin->lock);
}

static partita_status plugin_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                                  ptp_device **out_device) {
    (void)options; /* the host knows that there are none */
    (void)option_count;
    *out_device = NULL;
    partita_status status = index_check(plugin, index);
    if (status == PARTITA_OK) status = cu_device_open(plugin, index, out_device);
    if (status == PARTITA_OK) open_count(plugin, 1);
    return status;
}

static void plugin_close(ptp_device *device) {
    if (!device) return;
    ptp_plugin *plugin = device->plugin;
    cu_device_close(device);
    open_count(plugin, -1);
}

/* Copies what both sides know; the host's size stays. */
static void struct_out(void *to, const void *from, uint32_t mine) {
    uint32_t theirs;
    memcpy(&theirs, to, sizeof(theirs));
    memcpy(to, from, theirs < mine ? theirs : mine);
    memcpy(to, &theirs, sizeof(theirs));
}

static partita_status plugin_peek(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info) {
    ptp_device_info info;
    gpu_caps caps;
    int capability;
    partita_status status = index_check(plugin, index);
    if (status == PARTITA_OK) status = cu_device_describe(plugin, (int)index, &info, &caps, &capability);
    if (status == PARTITA_OK) struct_out(out_info, &info, sizeof(info));
    return status;
}

static partita_status device_usage(ptp_device *device, ptp_usage *out_usage) {
    ptp_usage usage = {.size = sizeof(usage)};
    gpu_usage(&device->gpu, &usage);
    pthread_mutex_lock(&device->lock);
    usage.buffer_bytes = device->buffer_bytes;
    usage.copies = device->copies;
    usage.copied_bytes = device->copied_bytes;
    usage.launches = device->launches;
    pthread_mutex_unlock(&device->lock);
    struct_out(out_usage, &usage, sizeof(usage));
    return PARTITA_OK;
}

static partita_status device_cache_need(ptp_device *device, char *text, uint64_t capacity) {
    int size = snprintf(text, capacity, "%s; %s", device->gpu.info.description, device->gpu.info.driver);
    if (size >= 0 && (uint64_t)size < capacity) return PARTITA_OK;
    return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "%d bytes of text", size + 1);
}

static const ptp_plugin_vtable plugin_vtable = {.size = sizeof(ptp_plugin_vtable),
                                                .start = plugin_start,
                                                .stop = plugin_stop,
                                                .device_count = plugin_device_count,
                                                .open = plugin_open,
                                                .close = plugin_close,
                                                .peek = plugin_peek};

static const ptp_device_vtable device_vtable = {.size = sizeof(ptp_device_vtable),
                                                .info = gpu_info,
                                                .ask = gpu_ask,
                                                .offer = gpu_offer,
                                                .compile = gpu_compile,
                                                .cache_need = device_cache_need,
                                                .usage = device_usage};

PTP_DEFINE_PLUGIN("cuda", "0.1", &plugin_vtable, &device_vtable, &gpu_executable_vtable, &cu_memory_vtable, NULL)
