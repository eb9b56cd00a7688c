/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin `vulkan`: its life, its devices, and the tables of the ABI. */
#include "vulkan/vk.h"
#include <stdio.h>

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    ptp_plugin *plugin = vk_alloc(host, sizeof(*plugin));
    *out_plugin = NULL;
    if (!plugin) return PARTITA_OUT_OF_MEMORY;
    plugin->host = host;
    partita_status status = vk_loader_open(host, &plugin->loader);
    if (status == PARTITA_OK) {
        status = vk_instance_init(&plugin->loader, host, false, &plugin->instance);
        if (status != PARTITA_OK) vk_loader_close(&plugin->loader);
    }
    if (status != PARTITA_OK) {
        vk_free(host, plugin);
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
    vk_instance_deinit(&plugin->loader, &plugin->instance);
    vk_loader_close(&plugin->loader);
    pthread_mutex_destroy(&plugin->lock);
    vk_free(plugin->host, plugin);
    return PARTITA_OK;
}

static uint32_t plugin_device_count(ptp_plugin *plugin) { return plugin->instance.count; }

static void open_count(ptp_plugin *plugin, int32_t change) {
    pthread_mutex_lock(&plugin->lock);
    plugin->open += (uint32_t)change;
    pthread_mutex_unlock(&plugin->lock);
}

static partita_status plugin_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                                  ptp_device **out_device) {
    *out_device = NULL;
    if (index >= plugin->instance.count) {
        return gpu_fail(plugin->host, PARTITA_INVALID_ARGUMENT, "there is no device %u", index);
    }
    partita_status status = vk_device_open(plugin, index, options, option_count, out_device);
    if (status == PARTITA_OK) open_count(plugin, 1);
    return status;
}

static void plugin_close(ptp_device *device) {
    if (!device) return;
    ptp_plugin *plugin = device->plugin;
    vk_device_close(device);
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
    vk_probe probe;
    vk_features features;
    if (index >= plugin->instance.count) {
        return gpu_fail(plugin->host, PARTITA_INVALID_ARGUMENT, "there is no device %u", index);
    }
    partita_status status = vk_probe_read(&plugin->instance, plugin->instance.devices[index], &probe, &features);
    if (status == PARTITA_OK) struct_out(out_info, &probe.info, sizeof(probe.info));
    return status;
}

static const ptp_option_row *plugin_options(ptp_plugin *plugin, uint32_t index, uint32_t *out_count) {
    (void)plugin;
    (void)index;
    return vk_option_rows(out_count);
}

static partita_status device_usage(ptp_device *device, ptp_usage *out_usage) {
    ptp_usage usage = {.size = sizeof(usage)};
    gpu_usage(&device->gpu, &usage);
    pthread_mutex_lock(&device->memory_lock);
    usage.buffer_bytes = device->buffer_bytes;
    pthread_mutex_unlock(&device->memory_lock);
    pthread_mutex_lock(&device->queue.lock);
    usage.copies = device->queue.copies;
    usage.copied_bytes = device->queue.copied_bytes;
    usage.launches = device->queue.launches;
    usage.busy_ns = device->queue.busy_ns;
    pthread_mutex_unlock(&device->queue.lock);
    struct_out(out_usage, &usage, sizeof(usage));
    return PARTITA_OK;
}

static partita_status device_trim(ptp_device *device, uint64_t keep_bytes) {
    vk_blocks_trim(device, keep_bytes);
    return PARTITA_OK;
}

static partita_status device_cache_need(ptp_device *device, char *text, uint64_t capacity) {
    const ptp_device_info *info = &device->probe.info;
    int size = snprintf(text, capacity, "%s; %s", info->description, info->driver);
    if (size < 0 || (uint64_t)size >= capacity) {
        return gpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "%d bytes of text, room for %llu", size + 1,
                        (unsigned long long)capacity);
    }
    return PARTITA_OK;
}

static const ptp_plugin_vtable plugin_vtable = {.size = sizeof(ptp_plugin_vtable),
                                                .start = plugin_start,
                                                .stop = plugin_stop,
                                                .device_count = plugin_device_count,
                                                .open = plugin_open,
                                                .close = plugin_close,
                                                .peek = plugin_peek,
                                                .options = plugin_options};

static const ptp_device_vtable device_vtable = {.size = sizeof(ptp_device_vtable),
                                                .info = gpu_info,
                                                .ask = gpu_ask,
                                                .offer = gpu_offer,
                                                .compile = gpu_compile,
                                                .route = vk_route,
                                                .cache_need = device_cache_need,
                                                .usage = device_usage,
                                                .trim = device_trim};

PTP_DEFINE_PLUGIN("vulkan", "0.1", &plugin_vtable, &device_vtable, &gpu_executable_vtable, &vk_memory_vtable, NULL)
