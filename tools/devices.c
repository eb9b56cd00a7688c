/* SPDX-License-Identifier: Apache-2.0 */
/* `partita devices` and `partita doctor`: what is on this machine, and what is wrong with it. */
#include "job.h"
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <unistd.h>
#include "base/pool.h"

/* What a device may be, for people and for JSON. */
static const struct {
    uint32_t flag;
    const char *name;
} roles[] = {{PARTITA_DEVICE_FALLBACK, "fallback"},
             {PARTITA_DEVICE_REFERENCE, "reference"},
             {PARTITA_DEVICE_SIMULATED, "simulated"},
             {PARTITA_DEVICE_EMULATED, "emulated"},
             {PARTITA_DEVICE_DEFAULT, "default"}};

static json_t *device_json(const partita_device_info *device) {
    json_t *resources = json_array(), *names = json_array();
    for (uint32_t i = 0; i < device->resource_count; i++)
        json_array_append_new(resources, json_string(device->resources[i]));
    for (size_t i = 0; i < PT_COUNT_OF(roles); i++)
        if (device->flags & roles[i].flag) json_array_append_new(names, json_string(roles[i].name));
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:I,s:f,s:f}", "name", device->name, "kind", device->kind,
                     "plugin", device->plugin, "description", device->description, "vendor", device->vendor, "driver",
                     device->driver, "roles", names, "resources", resources, "memory_bytes",
                     (json_int_t)device->memory_bytes, "flops_per_us", device->flops_per_us, "bytes_per_us",
                     device->bytes_per_us);
}

static void print_device(const partita_device_info *device) {
    printf("%-12s %s", device->name, device->description);
    if (device->driver[0]) printf(", driver %s", device->driver);
    printf("\n");
    printf("             ");
    for (size_t i = 0; i < PT_COUNT_OF(roles); i++)
        if (device->flags & roles[i].flag) printf("%s ", roles[i].name);
    printf("on");
    for (uint32_t i = 0; i < device->resource_count; i++) printf("%s %s", i ? "," : "", device->resources[i]);
    if (device->memory_bytes) printf(", %.1f GiB", (double)device->memory_bytes / 0x1p30);
    printf("\n");
}

/* Domains with commas between. */
static void list_domains(const partita_plugin_info *plugin, char *text, size_t size) {
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < plugin->domain_count && at < size; i++) {
        int written = snprintf(text + at, size - at, "%s%s", i ? ", " : "", plugin->domains[i]);
        at += written > 0 ? (size_t)written : 0;
    }
}

/* What has no device of its own to be seen by. */
static void print_plugin(const partita_plugin_info *plugin) {
    char domains[256];
    list_domains(plugin, domains, sizeof(domains));
    if (plugin->operator_count) printf("operators %s: %u of %s\n", plugin->name, plugin->operator_count, domains);
    if (plugin->message[0]) printf("plugin %s: %s\n", plugin->name, plugin->message);
}

static json_t *plugin_json(const partita_plugin_info *plugin) {
    json_t *domains = json_array();
    for (uint32_t i = 0; i < plugin->domain_count; i++) json_array_append_new(domains, json_string(plugin->domains[i]));
    return json_pack("{s:s,s:s,s:s,s:s,s:b,s:s,s:i,s:i,s:i,s:o}", "name", plugin->name, "path", plugin->path, "version",
                     plugin->version, "status", partita_status_text(plugin->status), "loaded",
                     plugin->status == PARTITA_OK, "message", plugin->message, "abi", (int)plugin->abi, "devices",
                     (int)plugin->device_count, "operators", (int)plugin->operator_count, "domains", domains);
}

static partita_status print_options(partita_context *context, bool json) {
    const partita_option_info *rows;
    uint32_t count;
    PT_TRY(partita_context_options_of(context, &rows, &count));
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        if (!json)
            printf("%s.%s  %s, default %s\n    %s\n", rows[i].device, rows[i].name, rows[i].type,
                   rows[i].default_value[0] ? rows[i].default_value : "none", rows[i].text);
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:s,s:s,s:s}", "device", rows[i].device, "name", rows[i].name, "type",
                                        rows[i].type, "default", rows[i].default_value, "text", rows[i].text));
    }
    json_t *document = tool_json_document();
    json_object_set_new(document, "options", list);
    if (json) return tool_json_print(document);
    json_decref(document);
    return PARTITA_OK;
}

partita_status tool_devices(const tool_options *options) {
    tool_job job;
    bool json = options->given[OPTION_JSON];
    partita_status status;
    const partita_plugin_info *plugins;
    const partita_device_info *devices;
    uint32_t plugin_count, device_count;
    PT_CHECK(tool_job_open(options, &job));
    if (options->given[OPTION_OPTIONS]) {
        status = print_options(job.context, json);
        goto out;
    }
    PT_CHECK(partita_context_plugins(job.context, &plugins, &plugin_count));
    PT_CHECK(partita_context_devices(job.context, &devices, &device_count));
    json_t *document = tool_json_document(), *plugin_list = json_array(), *device_list = json_array();
    for (uint32_t i = 0; i < device_count; i++) {
        if (!json) print_device(&devices[i]);
        json_array_append_new(device_list, device_json(&devices[i]));
    }
    for (uint32_t i = 0; i < plugin_count; i++) {
        const partita_plugin_info *plugin = &plugins[i];
        if (!json) print_plugin(plugin);
        json_array_append_new(plugin_list, plugin_json(plugin));
    }
    json_object_set_new(document, "plugins", plugin_list);
    json_object_set_new(document, "devices", device_list);
    if (json)
        status = tool_json_print(document);
    else
        json_decref(document);
out:
    tool_job_deinit(&job);
    return status;
}

/* ---- doctor ---------------------------------------------------------------------------------- */

typedef struct findings {
    json_t *list;
    bool json;
    uint32_t problems;
} findings;

/* id: stable name of what was looked at. ok false: a problem. */
static void finding(findings *found, const char *id, bool ok, const char *text) {
    found->problems += !ok;
    if (!found->json) printf("%-8s %s: %s\n", ok ? "ok" : "problem", id, text);
    json_array_append_new(found->list, json_pack("{s:s,s:b,s:s}", "id", id, "ok", ok, "text", text));
}

static void check_cpu(findings *found) {
    char text[160];
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t usable = pt_cpu_count();
    snprintf(text, sizeof(text), "%u of %ld cores may be used%s", usable, online,
             (long)usable < online ? ", by affinity or a cgroup's limit" : "");
    finding(found, "cores", true, text);
}

/* The group's own limit, as it is seen inside a container; 0 when there is none. */
static uint64_t memory_limit(void) {
    static const char *const files[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    unsigned long long bytes = 0;
    for (size_t i = 0; i < PT_COUNT_OF(files); i++) {
        FILE *file = fopen(files[i], "r");
        if (!file) continue;
        int read = fscanf(file, "%llu", &bytes);
        fclose(file);
        return read == 1 ? bytes : 0;
    }
    return 0;
}

static void check_memory(findings *found) {
    char text[160];
    double all = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE), limit = (double)memory_limit();
    bool limited = limit > 0 && limit < all;
    snprintf(text, sizeof(text), "%.1f of %.1f GiB may be used%s", (limited ? limit : all) / 0x1p30, all / 0x1p30,
             limited ? ", by a cgroup's limit" : "");
    finding(found, "memory", true, text);
}

/* Devices that are there, but not for this user. */
static void check_nodes(findings *found) {
    static const char *const patterns[] = {"/dev/dri/renderD*", "/dev/nvidiactl", "/dev/kfd"};
    for (size_t i = 0; i < PT_COUNT_OF(patterns); i++) {
        glob_t nodes;
        if (glob(patterns[i], 0, NULL, &nodes) != 0) continue;
        for (size_t k = 0; k < nodes.gl_pathc; k++) {
            char text[400];
            if (access(nodes.gl_pathv[k], R_OK | W_OK) == 0) continue;
            snprintf(text, sizeof(text), "%s: %s", nodes.gl_pathv[k], strerror(errno));
            finding(found, "device-node", false, text);
        }
        globfree(&nodes);
    }
}

static void check_paths(findings *found) {
    const char *path = pt_env("PARTITA_PLUGIN_PATH");
    for (const char *at = path; at && *at;) {
        size_t size = strcspn(at, ":");
        char folder[4096], text[4200];
        snprintf(folder, sizeof(folder), "%.*s", (int)PT_MIN(size, sizeof(folder) - 1), at);
        if (access(folder, R_OK | X_OK) != 0) {
            snprintf(text, sizeof(text), "%s: %s", folder, strerror(errno));
            finding(found, "plugin-path", false, text);
        }
        at += size + (at[size] == ':');
    }
}

static void check_plugin(findings *found, const partita_plugin_info *plugin) {
    char id[128], text[1200], domains[256];
    list_domains(plugin, domains, sizeof(domains));
    snprintf(id, sizeof(id), "plugin-%s", plugin->name);
    bool ok = plugin->status == PARTITA_OK && (plugin->device_count > 0 || plugin->operator_count > 0);
    if (ok && plugin->device_count)
        snprintf(text, sizeof(text), "%u device%s", plugin->device_count, plugin->device_count == 1 ? "" : "s");
    else if (ok)
        snprintf(text, sizeof(text), "%u operators of %s", plugin->operator_count, domains);
    else
        snprintf(text, sizeof(text), "%s", plugin->message[0] ? plugin->message : partita_status_text(plugin->status));
    finding(found, id, ok, text);
}

partita_status tool_doctor(const tool_options *options) {
    tool_job job;
    partita_status status;
    const partita_plugin_info *plugins;
    uint32_t count;
    findings found = {.list = json_array(), .json = options->given[OPTION_JSON]};
    PT_CHECK(tool_job_open(options, &job));
    PT_CHECK(partita_context_plugins(job.context, &plugins, &count));
    check_cpu(&found);
    check_memory(&found);
    check_nodes(&found);
    check_paths(&found);
    if (count == 0) finding(&found, "plugins", false, "no plugin was found; set PARTITA_PLUGIN_PATH or --plugin-path");
    for (uint32_t i = 0; i < count; i++) check_plugin(&found, &plugins[i]);
    if (found.json) {
        json_t *document = tool_json_document();
        json_object_set(document, "findings", found.list);
        json_object_set_new(document, "problems", json_integer(found.problems));
        status = tool_json_print(document);
    } else {
        printf("%u problem%s\n", found.problems, found.problems == 1 ? "" : "s");
    }
out:
    json_decref(found.list);
    tool_job_deinit(&job);
    return status;
}
