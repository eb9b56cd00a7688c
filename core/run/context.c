/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: pool, registry and log of one user of the library, and what can be said of plugins and devices.
 */
#include "run/context.h"
#include <stdatomic.h>

const char *partita_version(void) { return PARTITA_VERSION; }
const char *partita_status_text(partita_status status) { return pt_status_text(status); }
int partita_status_exit_code(partita_status status) { return pt_status_exit_code(status); }
const char *partita_last_error(void) { return pt_last_message(); }
const char *partita_dtype_name(partita_dtype dtype) { return pt_dtype_name(dtype); }
uint32_t partita_dtype_bits(partita_dtype dtype) { return pt_dtype_bits(dtype); }
void partita_text_destroy(char *text) { pt_free(text); }

void pt_context_retain(partita_context *context) {
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
}

static partita_status open_registry(partita_context *context, const partita_context_options *options) {
    pt_registry_options registry = {.pool = context->pool, .services = pt_run_services(), .log = context->log};
    partita_status status = PARTITA_OK;
    PT_ARRAY(ptp_option) rows = {0};
    registry.paths = PT_OPTION(options, partita_context_options, plugin_paths);
    registry.path_count = PT_OPTION(options, partita_context_options, plugin_path_count);
    uint32_t count = PT_OPTION(options, partita_context_options, option_count);
    for (uint32_t i = 0; i < count; i++)
        if (!pt_array_push(&rows, (ptp_option){options->options[i].key, options->options[i].value})) {
            status = PT_OUT_OF_MEMORY();
            goto out;
        }
    registry.options = rows.data;
    registry.option_count = count;
    status = pt_registry_create(&registry, &context->registry);
out:
    pt_array_deinit(&rows);
    return status;
}

static partita_status check_options(const partita_context_options *options) {
    const char *const *paths = PT_OPTION(options, partita_context_options, plugin_paths);
    const partita_option *rows = PT_OPTION(options, partita_context_options, options);
    uint32_t path_count = PT_OPTION(options, partita_context_options, plugin_path_count);
    uint32_t row_count = PT_OPTION(options, partita_context_options, option_count);
    PT_REQUIRE((paths || !path_count) && (rows || !row_count));
    for (uint32_t i = 0; i < path_count; i++) PT_REQUIRE(paths[i]);
    for (uint32_t i = 0; i < row_count; i++) PT_REQUIRE(rows[i].key && rows[i].value);
    return PARTITA_OK;
}

partita_status partita_context_create(const partita_context_options *options, partita_context **out_context) {
    partita_status status = PARTITA_OK;
    PT_REQUIRE(out_context);
    PT_TRY(check_options(options));
    const partita_thread_pool *threads = PT_OPTION(options, partita_context_options, pool);
    if (threads && (threads->size < sizeof(*threads) || !threads->run))
        return pt_fail(PARTITA_INVALID_ARGUMENT, "the thread pool is not complete");
    partita_context *context = pt_calloc(1, sizeof(*context));
    if (!context) return PT_OUT_OF_MEMORY();
    atomic_init(&context->references, 1);
    pthread_mutex_init(&context->lock, NULL);
    context->log = (pt_log_sink){PT_OPTION(options, partita_context_options, log),
                                 PT_OPTION(options, partita_context_options, log_user)};
    if (threads)
        PT_CHECK(pt_pool_create_over(threads->workers, threads->run, threads->user, &context->pool));
    else
        PT_CHECK(pt_pool_create(PT_OPTION(options, partita_context_options, threads), &context->pool));
    PT_CHECK(open_registry(context, options));
    *out_context = context;
    context = NULL;
out:
    partita_context_destroy(context);
    return status;
}

void partita_context_destroy(partita_context *context) {
    if (!context || atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) != 1) return;
    pt_registry_destroy(context->registry);
    pt_pool_destroy(context->pool);
    pt_array_deinit(&context->plugins);
    pt_array_deinit(&context->devices);
    pt_array_deinit(&context->options);
    pt_arena_deinit(&context->arena);
    pthread_mutex_destroy(&context->lock);
    pt_free(context);
}

/* ---- what there is ------------------------------------------------------------------------------ */

static uint32_t public_flags(const ptp_device_info *info) {
    static const uint32_t rows[][2] = {{PTP_DEVICE_FALLBACK, PARTITA_DEVICE_FALLBACK},
                                       {PTP_DEVICE_REFERENCE, PARTITA_DEVICE_REFERENCE},
                                       {PTP_DEVICE_SIMULATED, PARTITA_DEVICE_SIMULATED},
                                       {PTP_DEVICE_EMULATED, PARTITA_DEVICE_EMULATED}};
    uint32_t flags = 0;
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++)
        if (info->flags & rows[i][0]) flags |= rows[i][1];
    bool named_only = info->flags & (PTP_DEVICE_REFERENCE | PTP_DEVICE_SIMULATED | PTP_DEVICE_EMULATED);
    return named_only ? flags : flags | PARTITA_DEVICE_DEFAULT;
}

static const char *keep_text(pt_arena *arena, const char *text, size_t limit, bool *failed) {
    const char *copy = pt_arena_str(arena, (partita_str){text, strnlen(text, limit)}).data;
    if (!copy) *failed = true;
    return copy ? copy : "";
}

partita_status pt_device_describe(pt_arena *arena, const char *name, const char *plugin, const ptp_device_info *info,
                                  partita_device_info *out_info) {
    bool failed = false;
    const char **resources = pt_arena_array(arena, PTP_MAX_RESOURCES, sizeof(*resources));
    if (!resources) return PT_OUT_OF_MEMORY();
    *out_info = (partita_device_info){.size = sizeof(*out_info), .flags = public_flags(info)};
    for (uint32_t i = 0; i < PTP_MAX_RESOURCES && info->resources[i][0]; i++)
        resources[out_info->resource_count++] =
            keep_text(arena, info->resources[i], sizeof(info->resources[i]), &failed);
    out_info->name = keep_text(arena, name, strlen(name), &failed);
    out_info->plugin = keep_text(arena, plugin, strlen(plugin), &failed);
    out_info->kind = keep_text(arena, info->kind, sizeof(info->kind), &failed);
    out_info->description = keep_text(arena, info->description, sizeof(info->description), &failed);
    out_info->vendor = keep_text(arena, info->vendor, sizeof(info->vendor), &failed);
    out_info->driver = keep_text(arena, info->driver, sizeof(info->driver), &failed);
    out_info->resources = resources;
    out_info->memory_bytes = info->domain_count ? info->domains[0].bytes_total : 0;
    out_info->flops_per_us = info->flops_per_us;
    out_info->bytes_per_us = info->bytes_per_us;
    return failed ? PT_OUT_OF_MEMORY() : PARTITA_OK;
}

static partita_status list_plugins(partita_context *context) {
    if (context->has_plugins) return PARTITA_OK;
    context->plugins.size = 0;
    for (uint32_t i = 0; i < pt_registry_plugin_count(context->registry); i++) {
        pt_plugin *plugin = pt_registry_plugin(context->registry, i);
        partita_plugin_info row = {.size = sizeof(row), .name = plugin->name};
        row.status = pt_plugin_open(plugin);
        row.path = plugin->library_path ? plugin->library_path : plugin->manifest_path;
        row.version = plugin->info && plugin->info->version ? plugin->info->version : "";
        row.message = plugin->message ? plugin->message : "";
        row.abi = plugin->info ? plugin->info->abi : 0;
        row.device_count = plugin->device_count;
        row.operator_count = plugin->operator_count;
        row.domain_count = plugin->domain_count;
        row.domains = plugin->domains;
        if (!pt_array_push(&context->plugins, row)) return PT_OUT_OF_MEMORY();
    }
    context->has_plugins = true;
    return PARTITA_OK;
}

static partita_status list_devices(partita_context *context) {
    if (context->has_devices) return PARTITA_OK;
    PT_TRY(list_plugins(context));
    context->devices.size = 0;
    for (uint32_t i = 0; i < pt_registry_plugin_count(context->registry); i++) {
        pt_plugin *plugin = pt_registry_plugin(context->registry, i);
        for (uint32_t k = 0; k < plugin->device_count; k++) {
            ptp_device_info info;
            const char *name;
            partita_device_info row;
            if (pt_plugin_device_info(plugin, k, &info, &name) != PARTITA_OK) continue;
            PT_TRY(pt_device_describe(&context->arena, name, plugin->name, &info, &row));
            if (!pt_array_push(&context->devices, row)) return PT_OUT_OF_MEMORY();
        }
    }
    context->has_devices = true;
    return PARTITA_OK;
}

static partita_status list_options(partita_context *context) {
    if (context->has_options) return PARTITA_OK;
    PT_TRY(list_plugins(context));
    context->options.size = 0;
    for (uint32_t i = 0; i < pt_registry_plugin_count(context->registry); i++) {
        pt_plugin *plugin = pt_registry_plugin(context->registry, i);
        for (uint32_t k = 0; k < plugin->device_count; k++) {
            ptp_device_info info;
            const char *name;
            ptp_option_row option;
            if (pt_plugin_device_info(plugin, k, &info, &name) != PARTITA_OK) continue;
            partita_str kept = pt_arena_str(&context->arena, pt_str(name));
            if (!kept.data) return PT_OUT_OF_MEMORY();
            for (uint32_t n = 0; pt_plugin_option_row(plugin, k, n, &option); n++) {
                partita_option_info row = {.size = sizeof(row),
                                           .device = kept.data,
                                           .name = option.name,
                                           .type = option.type,
                                           .default_value = option.default_value,
                                           .text = option.text};
                if (!pt_array_push(&context->options, row)) return PT_OUT_OF_MEMORY();
            }
        }
    }
    context->has_options = true;
    return PARTITA_OK;
}

partita_status partita_context_plugins(partita_context *context, const partita_plugin_info **out_plugins,
                                       uint32_t *out_count) {
    PT_REQUIRE(context && out_plugins && out_count);
    pthread_mutex_lock(&context->lock);
    partita_status status = list_plugins(context);
    if (status == PARTITA_OK) {
        *out_plugins = context->plugins.data;
        *out_count = (uint32_t)context->plugins.size;
    }
    pthread_mutex_unlock(&context->lock);
    return status;
}

partita_status partita_context_devices(partita_context *context, const partita_device_info **out_devices,
                                       uint32_t *out_count) {
    PT_REQUIRE(context && out_devices && out_count);
    pthread_mutex_lock(&context->lock);
    partita_status status = list_devices(context);
    if (status == PARTITA_OK) {
        *out_devices = context->devices.data;
        *out_count = (uint32_t)context->devices.size;
    }
    pthread_mutex_unlock(&context->lock);
    return status;
}

partita_status partita_context_options_of(partita_context *context, const partita_option_info **out_options,
                                          uint32_t *out_count) {
    PT_REQUIRE(context && out_options && out_count);
    pthread_mutex_lock(&context->lock);
    partita_status status = list_options(context);
    if (status == PARTITA_OK) {
        *out_options = context->options.data;
        *out_count = (uint32_t)context->options.size;
    }
    pthread_mutex_unlock(&context->lock);
    return status;
}
