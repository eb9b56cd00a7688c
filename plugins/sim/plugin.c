/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin `sim`: the machine's devices, and what is counted about them.
 */
#include "sim/sim.h"

#include <stdio.h>

void sim_out(void *to, const void *from, uint32_t size) {
    uint32_t theirs, mine;
    memcpy(&theirs, to, sizeof(theirs));
    memcpy(&mine, from, sizeof(mine));
    if (mine < size) size = mine;
    if (theirs && theirs < size) size = theirs;
    memcpy(to, from, size);
    if (theirs) memcpy(to, &theirs, sizeof(theirs));
}

bool sim_is_lost(ptp_device *device) {
    int64_t lost = device->config.lost;
    if (!lost || atomic_load(&device->counters.execs) < (uint64_t)lost) return false;
    cpu_fail(device->host, PARTITA_DEVICE_LOST, "the device is lost as described");
    return true;
}

/* ---- info ------------------------------------------------------------------------------------ */

static uint32_t memory_kind(const char *text) {
    if (strcmp(text, "unified") == 0) return PTP_MEMORY_UNIFIED;
    if (strcmp(text, "pinned") == 0) return PTP_MEMORY_PINNED;
    return strcmp(text, "host") == 0 ? PTP_MEMORY_HOST : PTP_MEMORY_DEVICE;
}

static void fill_domain(const sim_config *config, ptp_domain_info *domain) {
    domain->size = sizeof(*domain);
    domain->memory = memory_kind(config->memory);
    snprintf(domain->name, sizeof(domain->name), "simulated");
    domain->bytes_total = domain->bytes_free = (uint64_t)config->memory_bytes;
    domain->max_buffer = domain->max_binding = (uint64_t)config->max_buffer;
    domain->alignment = (uint32_t)config->alignment;
    domain->import_alignment = (uint32_t)config->import_alignment;
    domain->import_mask = sim_handle_mask(config->import);
    domain->export_mask = sim_handle_mask(config->export);
}

void sim_info_fill(const sim_config *config, ptp_device_info *out_info) {
    ptp_device_info info = {.size = sizeof(info)};
    const char *at = config->resource;
    info.flags = PTP_DEVICE_SIMULATED | PTP_DEVICE_CONCURRENT | (config->async ? PTP_DEVICE_ASYNC : 0u) |
                 (config->in_order ? PTP_DEVICE_IN_ORDER : 0u) | (config->all_kinds ? PTP_DEVICE_ALL_KINDS : 0u);
    snprintf(info.kind, sizeof(info.kind), "sim");
    snprintf(info.description, sizeof(info.description), "%s", config->name[0] ? config->name : "simulated device");
    snprintf(info.vendor, sizeof(info.vendor), "Partita");
    snprintf(info.driver, sizeof(info.driver), "0.1");
    for (uint32_t i = 0; i < PTP_MAX_RESOURCES && *at; i++) {
        size_t size = strcspn(at, ",");
        snprintf(info.resources[i], sizeof(info.resources[i]), "%.*s", (int)size, at);
        at += size + (at[size] == ',');
    }
    if (strcmp(config->memory, "host") != 0) {
        info.domain_count = 1;
        fill_domain(config, &info.domains[0]);
    }
    info.flops_per_us = config->flops_per_us;
    info.bytes_per_us = config->bytes_per_us;
    info.launch_us = config->launch_us;
    info.copy_us = config->copy_us;
    info.copy_bytes_per_us = config->copy_bytes_per_us;
    sim_out(out_info, &info, sizeof(info));
}

static partita_status check_config(const ptp_host *host, const sim_config *config) {
    static const char *const kinds[] = {"device", "unified", "pinned", "host"};
    bool known = false;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) known |= strcmp(config->memory, kinds[i]) == 0;
    if (!known) return cpu_fail(host, PARTITA_INVALID_ARGUMENT, "memory: there is no kind \"%.60s\"", config->memory);
    if (config->alignment < 1 || config->alignment > 4096 || (config->alignment & (config->alignment - 1)) ||
        config->import_alignment < 1 || config->import_alignment > 1 << 20 ||
        (config->import_alignment & (config->import_alignment - 1))) {
        return cpu_fail(host, PARTITA_INVALID_ARGUMENT, "alignment: not a power of two up to 4096 (imports: 1048576)");
    }
    if (config->launch_us < 0 || config->copy_us < 0 || config->slow < 0 || config->memory_bytes < 0 ||
        config->max_buffer < 0) {
        return cpu_fail(host, PARTITA_INVALID_ARGUMENT, "a time or a size is negative");
    }
    return PARTITA_OK;
}

/* ---- the plugin ------------------------------------------------------------------------------ */

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    partita_status status;
    ptp_plugin *plugin = cpu_alloc(host, sizeof(*plugin));
    *out_plugin = NULL;
    if (!plugin) return PARTITA_OUT_OF_MEMORY;
    plugin->host = host;
    plugin->level = cpu_level_detect();
    sim_program_host_init(plugin);
    pthread_mutex_init(&plugin->lock, NULL);
    status = sim_machine_read(host, plugin->configs, &plugin->count);
    for (uint32_t i = 0; status == PARTITA_OK && i < plugin->count; i++) {
        sim_config *config = &plugin->configs[i];
        if (!config->resource[0]) snprintf(config->resource, sizeof(config->resource), "sim:%u", i);
        status = check_config(host, config);
    }
    if (status != PARTITA_OK) {
        pthread_mutex_destroy(&plugin->lock);
        cpu_free(host, plugin);
        return status;
    }
    *out_plugin = plugin;
    return PARTITA_OK;
}

static partita_status plugin_stop(ptp_plugin *plugin) {
    if (!plugin) return PARTITA_OK;
    if (atomic_load(&plugin->open)) return cpu_fail(plugin->host, PARTITA_BUSY, "devices are open");
    for (uint32_t i = 0; i < plugin->resource_count; i++) pthread_mutex_destroy(&plugin->resources[i].lock);
    pthread_mutex_destroy(&plugin->lock);
    cpu_free(plugin->host, plugin);
    return PARTITA_OK;
}

static uint32_t plugin_device_count(ptp_plugin *plugin) { return plugin->count; }

static partita_status plugin_peek(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info) {
    if (index >= plugin->count) return cpu_fail(plugin->host, PARTITA_INVALID_ARGUMENT, "there is no device %u", index);
    sim_info_fill(&plugin->configs[index], out_info);
    return PARTITA_OK;
}

static const ptp_option_row *plugin_options(ptp_plugin *plugin, uint32_t index, uint32_t *out_count) {
    (void)plugin;
    (void)index;
    return sim_option_rows(out_count);
}

/* The resource of this name, made when it's new; locks are taken in the order of the table. */
static sim_resource *resource_of(ptp_plugin *plugin, const char *name) {
    sim_resource *resource = NULL;
    pthread_mutex_lock(&plugin->lock);
    for (uint32_t i = 0; i < plugin->resource_count; i++) {
        if (strcmp(plugin->resources[i].name, name) == 0) resource = &plugin->resources[i];
    }
    if (!resource && plugin->resource_count < SIM_MOST_DEVICES * PTP_MAX_RESOURCES) {
        resource = &plugin->resources[plugin->resource_count++];
        snprintf(resource->name, sizeof(resource->name), "%s", name);
        pthread_mutex_init(&resource->lock, NULL);
    }
    pthread_mutex_unlock(&plugin->lock);
    return resource;
}

static void take_resources(ptp_device *device) {
    for (uint32_t i = 0; i < PTP_MAX_RESOURCES && device->info.resources[i][0]; i++) {
        sim_resource *resource = resource_of(device->plugin, device->info.resources[i]);
        uint32_t at = device->resource_count;
        bool known = !resource;
        for (uint32_t k = 0; k < device->resource_count; k++) known |= device->resources[k] == resource;
        if (known) continue;
        while (at > 0 && device->resources[at - 1] > resource) {
            device->resources[at] = device->resources[at - 1];
            at--;
        }
        device->resources[at] = resource;
        device->resource_count++;
    }
}

static void plugin_close(ptp_device *device) {
    if (!device) return;
    sim_lanes_stop(device);
    pthread_cond_destroy(&device->changed);
    pthread_mutex_destroy(&device->lock);
    atomic_fetch_sub(&device->plugin->open, 1);
    cpu_free(device->host, device);
}

static partita_status plugin_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                                  ptp_device **out_device) {
    partita_status status = PARTITA_OK;
    char problem[256];
    ptp_device *device;
    *out_device = NULL;
    if (index >= plugin->count) return cpu_fail(plugin->host, PARTITA_INVALID_ARGUMENT, "there is no device %u", index);
    device = cpu_alloc(plugin->host, sizeof(*device));
    if (!device) return PARTITA_OUT_OF_MEMORY;
    device->plugin = plugin;
    device->host = plugin->host;
    device->index = index;
    device->config = plugin->configs[index];
    pthread_mutex_init(&device->lock, NULL);
    pthread_cond_init(&device->changed, NULL);
    atomic_fetch_add(&plugin->open, 1);
    for (uint32_t i = 0; i < option_count && status == PARTITA_OK; i++) {
        if (!sim_config_set(&device->config, options[i].name, options[i].value, problem, sizeof(problem))) {
            status = cpu_fail(plugin->host, PARTITA_INVALID_ARGUMENT, "%s", problem);
        }
    }
    if (status == PARTITA_OK) status = check_config(plugin->host, &device->config);
    if (status == PARTITA_OK) {
        device->info.size = sizeof(device->info);
        sim_info_fill(&device->config, &device->info);
        take_resources(device);
        status = sim_lanes_start(device);
    }
    if (status != PARTITA_OK) {
        plugin_close(device);
        return status;
    }
    *out_device = device;
    return PARTITA_OK;
}

static const ptp_plugin_vtable plugin_vtable = {
    .size = sizeof(ptp_plugin_vtable),
    .start = plugin_start,
    .stop = plugin_stop,
    .device_count = plugin_device_count,
    .open = plugin_open,
    .close = plugin_close,
    .peek = plugin_peek,
    .options = plugin_options,
};

/* ---- the device ------------------------------------------------------------------------------ */

static partita_status device_info(ptp_device *device, ptp_device_info *out_info) {
    sim_info_fill(&device->config, out_info);
    return PARTITA_OK;
}

static partita_status device_usage(ptp_device *device, ptp_usage *out_usage) {
    const sim_device_counters *counters = &device->counters;
    ptp_usage usage = {.size = sizeof(usage),
                       .programs_built = atomic_load(&counters->programs),
                       .weight_bytes = atomic_load(&counters->weight_bytes),
                       .buffer_bytes = atomic_load(&counters->buffer_bytes),
                       .copies = atomic_load(&counters->copies),
                       .copied_bytes = atomic_load(&counters->copied_bytes),
                       .launches = atomic_load(&counters->launches),
                       .busy_ns = atomic_load(&counters->busy_ns)};
    sim_out(out_usage, &usage, sizeof(usage));
    return PARTITA_OK;
}

static const ptp_device_vtable device_vtable = {
    .size = sizeof(ptp_device_vtable),
    .info = device_info,
    .ask = sim_ask,
    .offer = sim_offer,
    .compile = sim_compile,
    .route = sim_route,
    .usage = device_usage,
};

PTP_DEFINE_PLUGIN("sim", "0.1", &plugin_vtable, &device_vtable, &sim_executable_vtable, &sim_memory_vtable, NULL)
