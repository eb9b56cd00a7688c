/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry: plugins by name, devices by the name people write. Only plugins whose manifest may have a kind are
 * opened for it, and all of those, because a number among devices of one kind must not depend on who asked first.
 */
#include "plugin/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_DEVICES 256u

static partita_status check_options(pt_registry *registry);

/* ---- life ------------------------------------------------------------------------------------ */

static partita_status copy_options(pt_registry *registry, const pt_registry_options *options) {
    registry->options = pt_arena_array(&registry->arena, options->option_count + 1, sizeof(*registry->options));
    if (!registry->options) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < options->option_count; i++) {
        ptp_option *to = &registry->options[registry->option_count];
        if (!strchr(options->options[i].name, '.')) {
            return pt_fail(PARTITA_INVALID_ARGUMENT, "option \"%s\" is no DEVICE.KEY", options->options[i].name);
        }
        to->name = pt_arena_str(&registry->arena, pt_str(options->options[i].name)).data;
        to->value = pt_arena_str(&registry->arena, pt_str(options->options[i].value)).data;
        if (!to->name || !to->value) return PT_OUT_OF_MEMORY();
        registry->option_count++;
    }
    return PARTITA_OK;
}

partita_status pt_registry_create(const pt_registry_options *options, pt_registry **out_registry) {
    pthread_mutexattr_t attributes;
    partita_status status;
    pt_registry *registry = pt_calloc(1, sizeof(*registry));
    *out_registry = NULL;
    if (!registry) return PT_OUT_OF_MEMORY();
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&registry->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    registry->pool = options->pool;
    registry->log = options->log;
    if (options->services) pt_table_copy(&registry->services, sizeof(registry->services), options->services);
    status = copy_options(registry, options);
    if (status == PARTITA_OK) status = pt_registry_scan(registry, options);
    if (status == PARTITA_OK) status = check_options(registry);
    if (pt_env("PARTITA_LAYERS"))
        pt_log_to(&registry->log, PARTITA_LOG_WARNING,
                  "layers: PARTITA_LAYERS is set, but layers are not in this version: none is active");
    if (status != PARTITA_OK) {
        pt_registry_destroy(registry);
        return status;
    }
    *out_registry = registry;
    return PARTITA_OK;
}

static void plugin_stop(pt_plugin *plugin) {
    partita_status status;
    char what[64];
    snprintf(what, sizeof(what), "plugin %s", plugin->name);
    pt_plugin_begin(plugin);
    status = plugin->vtable.stop(plugin->handle);
    status = pt_plugin_finish(plugin, what, status);
    if (status != PARTITA_OK)
        pt_log_to(&plugin->registry->log, PARTITA_LOG_WARNING, "plugin-stop: %s", pt_last_message());
    plugin->handle = NULL;
}

static void plugin_deinit(pt_plugin *plugin) {
    for (uint32_t i = 0; plugin->slots && i < plugin->device_count; i++) {
        if (plugin->slots[i].has_calls) pthread_mutex_destroy(&plugin->slots[i].calls);
    }
    pt_free(plugin->slots);
    pt_free(plugin->host);
    pt_stray_destroy(plugin->stray);
}

void pt_registry_destroy(pt_registry *registry) {
    if (!registry) return;
    while (registry->open_slots.size) {
        pt_device_slot *slot = registry->open_slots.data[--registry->open_slots.size];
        pt_slot_close(slot->device.plugin, slot);
    }
    while (registry->started.size) plugin_stop(registry->started.data[--registry->started.size]);
    for (size_t i = 0; i < registry->plugins.size; i++) plugin_deinit(registry->plugins.data[i]);
    pt_array_deinit(&registry->open_slots);
    pt_array_deinit(&registry->started);
    pt_array_deinit(&registry->plugins);
    pt_arena_deinit(&registry->arena);
    pthread_mutex_destroy(&registry->lock);
    pt_free(registry);
}

uint32_t pt_registry_plugin_count(const pt_registry *registry) { return (uint32_t)registry->plugins.size; }

pt_plugin *pt_registry_plugin(pt_registry *registry, uint32_t index) {
    return index < registry->plugins.size ? registry->plugins.data[index] : NULL;
}

/* ---- opening a plugin ------------------------------------------------------------------------ */

static partita_status keep_message(pt_plugin *plugin, const char *message) {
    partita_str copy = pt_arena_str(&plugin->registry->arena, pt_str(message));
    if (!copy.data) return PT_OUT_OF_MEMORY();
    plugin->message = (char *)copy.data;
    return PARTITA_OK;
}

static partita_status make_slots(pt_plugin *plugin) {
    uint32_t count = plugin->vtable.device_count(plugin->handle);
    if (count > MOST_DEVICES) {
        return pt_fail(PARTITA_DEVICE_FAILED, "offers %u devices, at most %u", count, MOST_DEVICES);
    }
    plugin->slots = pt_calloc(count + 1, sizeof(*plugin->slots));
    if (!plugin->slots) return PT_OUT_OF_MEMORY();
    plugin->device_count = count;
    return PARTITA_OK;
}

/* Stops it while a failure is on its way to the caller. */
static void stop_quietly(pt_plugin *plugin) {
    char message[1024];
    snprintf(message, sizeof(message), "%s", pt_last_message());
    plugin_stop(plugin);
    pt_fail_copy(PARTITA_INTERNAL, message);
}

/* A plugin that starts with DEVICE_ABSENT is fine, only the machine has no device. */
static partita_status start_plugin(pt_plugin *plugin) {
    partita_status status;
    PT_TRY(pt_plugin_load(plugin));
    if (!plugin->info->plugin) return PARTITA_OK; /* rows only: nothing to start */
    PT_TRY(pt_plugin_make_host(plugin));
    if (!pt_array_reserve(&plugin->registry->started, plugin->registry->started.size + 1)) return PT_OUT_OF_MEMORY();
    pt_plugin_begin(plugin);
    status = plugin->vtable.start(plugin->host, &plugin->handle);
    status = pt_plugin_finish(plugin, NULL, status);
    if (status == PARTITA_DEVICE_ABSENT) {
        plugin->handle = NULL;
        return keep_message(plugin, pt_last_message());
    }
    PT_TRY(status);
    if (!plugin->handle) return pt_fail(PARTITA_DEVICE_FAILED, "started, but gave no plugin");
    status = plugin->info->device ? make_slots(plugin) : PARTITA_OK;
    if (status == PARTITA_OK)
        plugin->registry->started.data[plugin->registry->started.size++] = plugin;
    else
        stop_quietly(plugin);
    return status;
}

static partita_status open_locked(pt_plugin *plugin) {
    partita_status status;
    if (plugin->opened) {
        if (plugin->status == PARTITA_OK) return PARTITA_OK;
        pt_fail_copy(plugin->status, plugin->message);
        return pt_annotate(plugin->status, "plugin %s", plugin->name);
    }
    status = start_plugin(plugin);
    if (status == PARTITA_OUT_OF_MEMORY) {
        /* Memory may be there the next time; nothing of the plugin is running. */
        pt_stray_destroy(plugin->stray);
        pt_free(plugin->host);
        plugin->stray = NULL;
        plugin->host = NULL;
        return status;
    }
    plugin->opened = true;
    plugin->status = status;
    if (status == PARTITA_OK) return PARTITA_OK;
    if (keep_message(plugin, pt_last_message()) != PARTITA_OK) return PARTITA_OUT_OF_MEMORY;
    return pt_annotate(status, "plugin %s", plugin->name);
}

partita_status pt_plugin_open(pt_plugin *plugin) {
    partita_status status;
    pthread_mutex_lock(&plugin->registry->lock);
    status = open_locked(plugin);
    pthread_mutex_unlock(&plugin->registry->lock);
    return status;
}

/* ---- names of devices ------------------------------------------------------------------------ */

static bool lists_kind(const pt_plugin *plugin, partita_str kind) {
    for (uint32_t i = 0; i < plugin->kind_count; i++) {
        if (pt_str_is(kind, plugin->kinds[i])) return true;
    }
    return false;
}

/* True when the plugin is to be opened for a device of this kind. One whose manifest says nothing about devices is,
 * only when no other plugin lists the kind. */
static bool may_have(const pt_registry *registry, const pt_plugin *plugin, partita_str kind) {
    if (plugin->lists_devices) return lists_kind(plugin, kind);
    for (size_t i = 0; i < registry->plugins.size; i++) {
        if (lists_kind(registry->plugins.data[i], kind)) return plugin->opened;
    }
    return true;
}

typedef struct kind_walk {
    size_t plugin;
    uint32_t device;
} kind_walk;

/* The next device of the kind among the plugins that are open; NULL after the last one. */
static pt_device_slot *next_of_kind(pt_registry *registry, partita_str kind, kind_walk *walk, pt_plugin **out_plugin) {
    for (; walk->plugin < registry->plugins.size; walk->plugin++, walk->device = 0) {
        pt_plugin *plugin = registry->plugins.data[walk->plugin];
        while (plugin->slots && walk->device < plugin->device_count) {
            pt_device_slot *slot = &plugin->slots[walk->device++];
            if (!slot->peeked || !pt_str_is(kind, slot->info.kind)) continue;
            *out_plugin = plugin;
            return slot;
        }
    }
    return NULL;
}

/*
 * Opens the plugins that may have the kind and names their devices of it. A plugin that fails doesn't hide the others:
 * *out_status is the first failure, its message is this thread's.
 */
static void name_kind(pt_registry *registry, partita_str kind, uint32_t *out_count, partita_status *out_status) {
    char first_message[1024] = "";
    kind_walk walk = {0, 0};
    pt_plugin *owner;
    *out_count = 0;
    *out_status = PARTITA_OK;
    for (pt_device_slot *slot; (slot = next_of_kind(registry, kind, &walk, &owner)) != NULL;) {
        *out_count += slot->numbered;
    }
    for (size_t i = 0; i < registry->plugins.size; i++) {
        pt_plugin *plugin = registry->plugins.data[i];
        partita_status status;
        if (!may_have(registry, plugin, kind)) continue;
        status = open_locked(plugin);
        for (uint32_t d = 0; status == PARTITA_OK && d < plugin->device_count; d++) {
            pt_device_slot *slot = &plugin->slots[d];
            status = pt_slot_peek(plugin, slot);
            if (status != PARTITA_OK || slot->numbered || !pt_str_is(kind, slot->info.kind)) continue;
            slot->number = (*out_count)++;
            slot->numbered = true;
        }
        if (status == PARTITA_OK && plugin->device_count == 0 && plugin->message[0]) {
            status = pt_fail(PARTITA_DEVICE_ABSENT, "plugin %s: %s", plugin->name, plugin->message);
        }
        /* One that only might have had it isn't to blame. */
        if (status != PARTITA_OK && *out_status == PARTITA_OK && plugin->lists_devices) {
            *out_status = status;
            snprintf(first_message, sizeof(first_message), "%s", pt_last_message());
        }
    }
    if (*out_status != PARTITA_OK) pt_fail_copy(*out_status, first_message);
}

/* A name once given stays. */
static void give_names(pt_registry *registry, partita_str kind, uint32_t count) {
    kind_walk walk = {0, 0};
    pt_plugin *plugin;
    for (pt_device_slot *slot; (slot = next_of_kind(registry, kind, &walk, &plugin)) != NULL;) {
        if (slot->name[0]) continue;
        if (count > 1)
            snprintf(slot->name, sizeof(slot->name), "%s:%u", slot->info.kind, slot->number);
        else
            snprintf(slot->name, sizeof(slot->name), "%s", slot->info.kind);
    }
}

/* "opencl:1" is kind and number; without a number it's 0. */
static bool parse_name(partita_str name, partita_str *out_kind, uint32_t *out_number) {
    const char *colon = name.size ? memchr(name.data, ':', name.size) : NULL;
    size_t digits;
    *out_kind = colon ? (partita_str){name.data, (size_t)(colon - name.data)} : name;
    *out_number = 0;
    if (!pt_plugin_name_is_valid(*out_kind)) return false;
    if (!colon) return true;
    digits = name.size - out_kind->size - 1;
    if (digits == 0 || digits > 3 || (digits > 1 && colon[1] == '0')) return false;
    for (size_t i = 1; i <= digits; i++) {
        if (colon[i] < '0' || colon[i] > '9') return false;
        *out_number = *out_number * 10 + (uint32_t)(colon[i] - '0');
    }
    return true;
}

/* Kinds that manifests list, and names of devices that are known already. */
static partita_status fail_no_such(pt_registry *registry, partita_str name, partita_str kind, uint32_t count) {
    pt_text known = {0};
    partita_status status;
    for (size_t i = 0; count == 0 && i < registry->plugins.size; i++) {
        const pt_plugin *plugin = registry->plugins.data[i];
        for (uint32_t k = 0; k < plugin->kind_count; k++) {
            pt_text_printf(&known, "%s%s", known.size ? ", " : "", plugin->kinds[k]);
        }
    }
    for (uint32_t i = 0; i < count; i++) { pt_text_printf(&known, "%s%.*s:%u", i ? ", " : "", PT_STR_ARG(kind), i); }
    if (known.failed)
        status = PT_OUT_OF_MEMORY();
    else {
        status = pt_fail(PARTITA_DEVICE_ABSENT, "there is no device \"%.*s\"; there %s %s", PT_STR_ARG(name),
                         count == 1 ? "is" : "are", known.size ? known.data : "none, for there are no plugins");
    }
    pt_text_deinit(&known);
    return status;
}

/*
 * An option's device must be of a kind that a manifest lists, or that a plugin whose manifest is silent may have. No
 * plugin is opened for that, so that keys and numbers are held against the device when it is opened.
 */
static partita_status check_options(pt_registry *registry) {
    for (uint32_t i = 0; i < registry->option_count; i++) {
        const char *name = registry->options[i].name;
        partita_str device = {name, strcspn(name, ".")}, kind;
        uint32_t number;
        bool possible = false;
        if (!parse_name(device, &kind, &number))
            return pt_fail(PARTITA_INVALID_ARGUMENT, "option \"%s\": \"%.*s\" is no name of a device", name,
                           PT_STR_ARG(device));
        for (size_t k = 0; !possible && k < registry->plugins.size; k++)
            possible = may_have(registry, registry->plugins.data[k], kind);
        if (possible) continue;
        return pt_annotate(fail_no_such(registry, device, kind, 0), "option \"%s\"", name);
    }
    return PARTITA_OK;
}

/* Options that name a device of the kind by a number that it does not have. */
static partita_status check_numbers(pt_registry *registry, partita_str kind, uint32_t count) {
    for (uint32_t i = 0; i < registry->option_count; i++) {
        const char *name = registry->options[i].name;
        partita_str device = {name, strcspn(name, ".")}, option_kind;
        uint32_t number;
        if (!parse_name(device, &option_kind, &number) || !pt_str_equal(kind, option_kind) || number < count) continue;
        return pt_annotate(fail_no_such(registry, device, kind, count), "option \"%s\"", name);
    }
    return PARTITA_OK;
}

static partita_status device_locked(pt_registry *registry, partita_str name, pt_device **out_device) {
    partita_str kind;
    uint32_t number, count;
    partita_status status;
    kind_walk walk = {0, 0};
    pt_plugin *plugin;
    if (!parse_name(name, &kind, &number)) {
        return pt_fail(PARTITA_INVALID_ARGUMENT, "\"%.*s\" is no name of a device", PT_STR_ARG(name));
    }
    name_kind(registry, kind, &count, &status);
    give_names(registry, kind, count);
    for (pt_device_slot *slot; (slot = next_of_kind(registry, kind, &walk, &plugin)) != NULL;) {
        if (slot->number != number) continue;
        PT_TRY(check_numbers(registry, kind, count));
        PT_TRY(pt_slot_open(plugin, slot));
        *out_device = &slot->device;
        return PARTITA_OK;
    }
    return status != PARTITA_OK ? status : fail_no_such(registry, name, kind, count);
}

partita_status pt_registry_device(pt_registry *registry, partita_str name, pt_device **out_device) {
    partita_status status;
    *out_device = NULL;
    pthread_mutex_lock(&registry->lock);
    status = device_locked(registry, name, out_device);
    pthread_mutex_unlock(&registry->lock);
    return status;
}

partita_status pt_plugin_device_info(pt_plugin *plugin, uint32_t index, ptp_device_info *out_info,
                                     const char **out_name) {
    pt_registry *registry = plugin->registry;
    partita_status status;
    pthread_mutex_lock(&registry->lock);
    PT_CHECK(open_locked(plugin));
    if (index >= plugin->device_count) {
        status = pt_fail(PARTITA_INVALID_ARGUMENT, "plugin %s has %u devices", plugin->name, plugin->device_count);
        goto out;
    }
    PT_CHECK(pt_slot_peek(plugin, &plugin->slots[index]));
    if (!plugin->slots[index].name[0]) {
        partita_status others; /* of plugins beside this one, whose devices are what was asked for */
        uint32_t count;
        name_kind(registry, pt_str(plugin->slots[index].info.kind), &count, &others);
        give_names(registry, pt_str(plugin->slots[index].info.kind), count);
    }
    *out_info = plugin->slots[index].info;
    *out_name = plugin->slots[index].name;
out:
    pthread_mutex_unlock(&registry->lock);
    return status;
}

/* ---- the fallback ---------------------------------------------------------------------------- */

static pt_device *fallback_of(pt_plugin *plugin) {
    pt_device *device;
    ptp_device_info info;
    const char *name;
    if (pt_plugin_open(plugin) != PARTITA_OK) return NULL;
    for (uint32_t i = 0; i < plugin->device_count; i++) {
        if (pt_plugin_device_info(plugin, i, &info, &name) != PARTITA_OK || !(info.flags & PTP_DEVICE_FALLBACK))
            continue;
        if (pt_registry_device(plugin->registry, pt_str(name), &device) == PARTITA_OK) return device;
    }
    return NULL;
}

pt_device *pt_registry_fallback(pt_registry *registry) {
    pt_device *device = NULL;
    pthread_mutex_lock(&registry->lock);
    /* Manifests say who may have one; only when nobody does are others opened to ask. */
    for (uint32_t listed = 2; !device && listed-- > 0;) {
        for (size_t i = 0; !device && i < registry->plugins.size; i++) {
            pt_plugin *plugin = registry->plugins.data[i];
            if ((plugin->fallback_count > 0) == (listed == 1)) device = fallback_of(plugin);
        }
    }
    pthread_mutex_unlock(&registry->lock);
    return device;
}
