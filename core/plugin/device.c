/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One device of a plugin: its info before it is opened, its options checked against the rows, its tables once it is
 * open.
 */
#include "plugin/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_OPTIONS 1024u

static uint32_t slot_index(const pt_plugin *plugin, const pt_device_slot *slot) {
    return (uint32_t)(slot - plugin->slots);
}

/* ---- info ------------------------------------------------------------------------------------ */

#define TERMINATE(text) ((text)[sizeof(text) - 1] = '\0')

/* Texts end inside their fields, counts are in range: whoever reads the info afterwards need not look again. */
static partita_status check_info(const pt_plugin *plugin, ptp_device_info *info) {
    info->size = sizeof(*info);
    TERMINATE(info->kind);
    TERMINATE(info->description);
    TERMINATE(info->vendor);
    TERMINATE(info->driver);
    for (uint32_t i = 0; i < PTP_MAX_RESOURCES; i++) TERMINATE(info->resources[i]);
    if (!pt_plugin_name_is_valid(pt_str(info->kind))) {
        return pt_fail(PARTITA_DEVICE_FAILED, "device kind \"%s\" is no valid name", info->kind);
    }
    if (info->domain_count > PTP_MAX_DOMAINS) {
        return pt_fail(PARTITA_DEVICE_FAILED, "has %u memory domains, at most %d", info->domain_count, PTP_MAX_DOMAINS);
    }
    if (info->domain_count && !plugin->info->memory) {
        return pt_fail(PARTITA_DEVICE_FAILED, "has memory domains but no table memory");
    }
    for (uint32_t i = 0; i < info->domain_count; i++) {
        ptp_domain_info *domain = &info->domains[i];
        TERMINATE(domain->name);
        if (domain->alignment == 0) domain->alignment = 1;
        if ((domain->alignment & (domain->alignment - 1)) ||
            (domain->import_alignment & (domain->import_alignment - 1))) {
            return pt_fail(PARTITA_DEVICE_FAILED, "memory domain %u: an alignment is no power of two", i);
        }
    }
    return PARTITA_OK;
}

/* Calls that yield an object: a success without one is a failure. */
static partita_status open_handle(pt_plugin *plugin, uint32_t index, const char *what, const ptp_option *options,
                                  uint32_t option_count, ptp_device **out_handle) {
    partita_status status;
    *out_handle = NULL;
    pt_plugin_begin(plugin);
    status = plugin->vtable.open(plugin->handle, index, options, option_count, out_handle);
    PT_TRY(pt_plugin_finish(plugin, what, status));
    if (!*out_handle) return pt_fail(PARTITA_DEVICE_FAILED, "%s: opened, but gave no device", what);
    return PARTITA_OK;
}

static partita_status read_info(pt_plugin *plugin, ptp_device *handle, const char *what, ptp_device_info *out_info) {
    ptp_device_vtable table;
    partita_status status;
    pt_table_copy(&table, sizeof(table), plugin->info->device);
    *out_info = (ptp_device_info){.size = sizeof(*out_info)};
    pt_plugin_begin(plugin);
    status = table.info(handle, out_info);
    PT_TRY(pt_plugin_finish(plugin, what, status));
    status = check_info(plugin, out_info);
    return status == PARTITA_OK ? PARTITA_OK : pt_annotate(status, "%s", what);
}

partita_status pt_slot_peek(pt_plugin *plugin, pt_device_slot *slot) {
    partita_status status;
    char what[64];
    if (slot->peeked) return PARTITA_OK;
    snprintf(what, sizeof(what), "plugin %s", plugin->name);
    slot->info = (ptp_device_info){.size = sizeof(slot->info)};
    if (plugin->vtable.peek) {
        pt_plugin_begin(plugin);
        status = plugin->vtable.peek(plugin->handle, slot_index(plugin, slot), &slot->info);
        PT_TRY(pt_plugin_finish(plugin, what, status));
        status = check_info(plugin, &slot->info);
        if (status != PARTITA_OK) return pt_annotate(status, "%s", what);
    } else {
        ptp_device *handle;
        PT_TRY(open_handle(plugin, slot_index(plugin, slot), what, NULL, 0, &handle));
        status = read_info(plugin, handle, what, &slot->info);
        plugin->vtable.close(handle);
        PT_TRY(status);
    }
    slot->peeked = true;
    return PARTITA_OK;
}

/* ---- options --------------------------------------------------------------------------------- */

bool pt_plugin_option_row(pt_plugin *plugin, uint32_t device, uint32_t index, ptp_option_row *out_row) {
    const ptp_option_row *rows;
    uint32_t count = 0;
    if (pt_plugin_open(plugin) != PARTITA_OK || device >= plugin->device_count || !plugin->vtable.options) return false;
    rows = plugin->vtable.options(plugin->handle, device, &count);
    if (!rows || index >= PT_MIN(count, MOST_OPTIONS)) return false;
    /* Rows are as far apart as the plugin's header says. */
    pt_table_copy(out_row, sizeof(*out_row), (const char *)rows + (size_t)index * rows->size);
    return out_row->name && out_row->type;
}

static bool is_one_of(const char *choices, const char *value) {
    size_t size = strlen(value);
    for (const char *at = choices; *at;) {
        size_t piece = strcspn(at, "|");
        if (piece == size && memcmp(at, value, size) == 0) return true;
        at += piece + (at[piece] == '|');
    }
    return false;
}

static bool fits_type(const char *type, const char *value) {
    char *end = NULL;
    errno = 0;
    if (strcmp(type, "string") == 0) return true;
    if (strcmp(type, "bool") == 0) return is_one_of("0|1|true|false", value);
    if (strcmp(type, "int") == 0)
        (void)strtoll(value, &end, 10);
    else if (strcmp(type, "float") == 0)
        (void)strtod(value, &end);
    else
        return is_one_of(type, value);
    return end != value && *end == '\0' && errno == 0;
}

static partita_status fail_unknown(pt_plugin *plugin, uint32_t device, const char *key) {
    partita_status status;
    ptp_option_row row;
    pt_text names = {0};
    for (uint32_t i = 0; pt_plugin_option_row(plugin, device, i, &row); i++) {
        pt_text_printf(&names, "%s%s", i ? ", " : "", row.name);
    }
    if (names.failed)
        status = PT_OUT_OF_MEMORY();
    else if (!names.size)
        status = pt_fail(PARTITA_INVALID_ARGUMENT, "has no option \"%s\"; it has none", key);
    else
        status = pt_fail(PARTITA_INVALID_ARGUMENT, "has no option \"%s\"; it has %s", key, names.data);
    pt_text_deinit(&names);
    return status;
}

static partita_status check_option(pt_plugin *plugin, uint32_t device, const ptp_option *option) {
    ptp_option_row row;
    for (uint32_t i = 0; pt_plugin_option_row(plugin, device, i, &row); i++) {
        if (strcmp(row.name, option->name) != 0) continue;
        if (fits_type(row.type, option->value)) return PARTITA_OK;
        return pt_fail(PARTITA_INVALID_ARGUMENT, "option %s is %s, \"%s\" is not", row.name, row.type, option->value);
    }
    return fail_unknown(plugin, device, option->name);
}

/* True when the device part of "opencl:0.KEY" names the slot: "opencl" is "opencl:0". */
static bool names_slot(partita_str device, const pt_device_slot *slot) {
    char number[48];
    snprintf(number, sizeof(number), "%s:%u", slot->info.kind, slot->number);
    return pt_str_is(device, slot->name) || pt_str_is(device, number) ||
           (slot->number == 0 && pt_str_is(device, slot->info.kind));
}

/* Options of the registry that are for this slot, their names without the device; later ones of a name win. */
static partita_status collect_options(pt_plugin *plugin, pt_device_slot *slot, ptp_option **out_options,
                                      uint32_t *out_count) {
    const pt_registry *registry = plugin->registry;
    *out_count = 0;
    *out_options = pt_calloc(registry->option_count + 1, sizeof(**out_options));
    if (!*out_options) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < registry->option_count; i++) {
        const char *dot = strchr(registry->options[i].name, '.');
        ptp_option option = {dot ? dot + 1 : "", registry->options[i].value};
        uint32_t at = 0;
        if (!dot) continue;
        if (!names_slot((partita_str){registry->options[i].name, (size_t)(dot - registry->options[i].name)}, slot))
            continue;
        PT_TRY(check_option(plugin, slot_index(plugin, slot), &option));
        while (at < *out_count && strcmp((*out_options)[at].name, option.name) != 0) at++;
        (*out_options)[at] = option;
        if (at == *out_count) (*out_count)++;
    }
    return PARTITA_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void fill_device(pt_plugin *plugin, pt_device_slot *slot, ptp_device *handle) {
    pt_device *device = &slot->device;
    device->registry = plugin->registry;
    device->plugin = plugin;
    device->name = slot->name;
    device->index = slot_index(plugin, slot);
    device->info = slot->info;
    device->handle = handle;
    device->has_memory = plugin->info->memory && slot->info.domain_count > 0;
    pt_table_copy(&device->device, sizeof(device->device), plugin->info->device);
    pt_table_copy(&device->executable, sizeof(device->executable), plugin->info->executable);
    memset(&device->memory, 0, sizeof(device->memory));
    if (device->has_memory) pt_table_copy(&device->memory, sizeof(device->memory), plugin->info->memory);
}

partita_status pt_slot_open(pt_plugin *plugin, pt_device_slot *slot) {
    ptp_option *options = NULL;
    uint32_t count = 0;
    ptp_device *handle = NULL;
    ptp_device_info info;
    partita_status status;
    if (slot->opened) return PARTITA_OK;
    if (!slot->has_calls) {
        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE); /* a service may call the device back */
        pthread_mutex_init(&slot->calls, &attributes);
        pthread_mutexattr_destroy(&attributes);
        slot->has_calls = true;
    }
    if (!pt_array_reserve(&plugin->registry->open_slots, plugin->registry->open_slots.size + 1)) {
        return PT_OUT_OF_MEMORY();
    }
    status = collect_options(plugin, slot, &options, &count);
    if (status != PARTITA_OK)
        pt_annotate(status, "%s", slot->name);
    else
        status = open_handle(plugin, slot_index(plugin, slot), slot->name, options, count, &handle);
    if (status == PARTITA_OK) status = read_info(plugin, handle, slot->name, &info);
    if (status == PARTITA_OK && strcmp(info.kind, slot->info.kind) != 0) {
        status = pt_fail(PARTITA_DEVICE_FAILED, "%s: is of kind \"%s\" once it's opened", slot->name, info.kind);
    }
    pt_free(options);
    if (status != PARTITA_OK) {
        if (handle) plugin->vtable.close(handle);
        return status;
    }
    slot->info = info;
    fill_device(plugin, slot, handle);
    slot->opened = true;
    plugin->registry->open_slots.data[plugin->registry->open_slots.size++] = slot;
    return PARTITA_OK;
}

void pt_slot_close(pt_plugin *plugin, pt_device_slot *slot) {
    if (!slot->opened) return;
    plugin->vtable.close(slot->device.handle);
    slot->opened = false;
}
