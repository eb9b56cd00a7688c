/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery: which folders are searched for manifests, and what a manifest says. No library is opened here.
 * Only absolute folders count, so that a plugin never comes out of the working directory by accident.
 */
#include "plugin/internal.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_BYTES 65536

bool pt_plugin_name_is_valid(partita_str name) {
    if (name.size == 0 || name.size > 31) return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) return false;
    }
    return true;
}

/* ---- one manifest ---------------------------------------------------------------------------- */

static partita_status copy_text(pt_registry *registry, const char *text, char **out_text) {
    partita_str copy = pt_arena_str(&registry->arena, pt_str(text));
    *out_text = (char *)copy.data;
    return copy.data ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* An array of texts; absent is empty. */
static partita_status read_texts(pt_registry *registry, const json_t *root, const char *key, const char ***out_texts,
                                 uint32_t *out_count) {
    const json_t *array = json_object_get(root, key);
    size_t count = json_array_size(array);
    *out_count = 0;
    if (!array) return PARTITA_OK;
    if (!json_is_array(array) || count > 256) {
        return pt_fail(PARTITA_DEVICE_FAILED, "\"%s\" is no list of names", key);
    }
    *out_texts = pt_arena_array(&registry->arena, count + 1, sizeof(**out_texts));
    if (!*out_texts) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        char *copy;
        if (!text) return pt_fail(PARTITA_DEVICE_FAILED, "\"%s\" is no list of names", key);
        PT_TRY(copy_text(registry, text, &copy));
        (*out_texts)[(*out_count)++] = copy;
    }
    return PARTITA_OK;
}

static partita_status read_version(const json_t *root, const char *key, uint32_t *out_version) {
    json_int_t value = json_integer_value(json_object_get(root, key));
    if (value < 1 || value > UINT32_MAX) { return pt_fail(PARTITA_DEVICE_FAILED, "\"%s\" is no ABI version", key); }
    *out_version = (uint32_t)value;
    return PARTITA_OK;
}

/* A plain file name lies beside the manifest; the only other form is an absolute path. */
static partita_status read_library(pt_registry *registry, const json_t *root, const char *folder, pt_plugin *plugin) {
    const char *library = json_string_value(json_object_get(root, "library"));
    pt_text path = {0};
    partita_status status;
    if (!library || !*library || (*library != '/' && strchr(library, '/'))) {
        return pt_fail(PARTITA_DEVICE_FAILED, "\"library\" is neither a file name nor an absolute path");
    }
    if (*library != '/') pt_text_printf(&path, "%s/", folder);
    pt_text_append(&path, pt_str(library));
    status = path.failed ? PT_OUT_OF_MEMORY() : copy_text(registry, path.data, &plugin->library_path);
    pt_text_deinit(&path);
    return status;
}

static partita_status read_kinds(pt_registry *registry, const json_t *root, pt_plugin *plugin) {
    plugin->lists_devices = json_object_get(root, "devices") != NULL;
    PT_TRY(read_texts(registry, root, "devices", &plugin->kinds, &plugin->kind_count));
    PT_TRY(read_texts(registry, root, "fallback", &plugin->fallbacks, &plugin->fallback_count));
    for (uint32_t i = 0; i < plugin->kind_count; i++) {
        if (!pt_plugin_name_is_valid(pt_str(plugin->kinds[i]))) {
            return pt_fail(PARTITA_DEVICE_FAILED, "device kind \"%s\" is no valid name", plugin->kinds[i]);
        }
    }
    return read_texts(registry, root, "domains", &plugin->domains, &plugin->domain_count);
}

static partita_status read_manifest(pt_registry *registry, const json_t *root, const char *folder, pt_plugin *plugin) {
    const char *name = json_string_value(json_object_get(root, "name"));
    const char *sanitizer = json_string_value(json_object_get(root, "sanitizer"));
    char *copy;
    if (!name || !pt_plugin_name_is_valid(pt_str(name))) {
        return pt_fail(PARTITA_DEVICE_FAILED, "\"name\" is not 1 to 31 characters of a-z, 0-9, _ and -");
    }
    PT_TRY(copy_text(registry, name, &plugin->name));
    PT_TRY(copy_text(registry, sanitizer ? sanitizer : "", &copy));
    plugin->sanitizer = copy;
    PT_TRY(read_version(root, "abi_min", &plugin->abi_min));
    PT_TRY(read_version(root, "abi_max", &plugin->abi_max));
    PT_TRY(read_library(registry, root, folder, plugin));
    return read_kinds(registry, root, plugin);
}

/* The file as JSON. Read at once and bounded; a manifest that is a FIFO or a device isn't opened for reading. */
static partita_status load_json(const char *path, json_t **out_root) {
    static const char *const unreadable = "manifest cannot be read";
    json_error_t error;
    struct stat info;
    ssize_t size;
    char *text = pt_malloc(MANIFEST_BYTES + 1);
    int fd;
    *out_root = NULL;
    if (!text) return PT_OUT_OF_MEMORY();
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        size = -1;
    else
        size = read(fd, text, MANIFEST_BYTES + 1);
    if (fd >= 0) close(fd);
    if (size >= 0 && size <= MANIFEST_BYTES) *out_root = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &error);
    pt_free(text);
    if (size < 0) return pt_fail(PARTITA_DEVICE_FAILED, "%s", unreadable);
    if (size > MANIFEST_BYTES) return pt_fail(PARTITA_DEVICE_FAILED, "manifest exceeds %d bytes", MANIFEST_BYTES);
    if (!*out_root) {
        return pt_fail(PARTITA_DEVICE_FAILED, "manifest is no JSON: line %d: %s", error.line, error.text);
    }
    if (!json_is_object(*out_root)) return pt_fail(PARTITA_DEVICE_FAILED, "manifest is no JSON object");
    return PARTITA_OK;
}

static bool is_known(const pt_registry *registry, const char *name) {
    for (size_t i = 0; i < registry->plugins.size; i++) {
        if (strcmp(registry->plugins.data[i]->name, name) == 0) return true;
    }
    return false;
}

/* A bad manifest is a plugin under the file's name that did not load, so that people are told. */
static partita_status blame_manifest(pt_registry *registry, const char *file, pt_plugin *plugin,
                                     partita_status status) {
    if (!plugin->name) {
        PT_TRY(copy_text(registry, file, &plugin->name));
        plugin->name[strlen(file) - strlen(".json")] = '\0';
    }
    plugin->opened = true;
    plugin->status = status;
    plugin->kind_count = 0;
    plugin->lists_devices = true;
    return copy_text(registry, pt_last_message(), &plugin->message);
}

static partita_status add_manifest(pt_registry *registry, const char *folder, const char *file) {
    pt_plugin *plugin = pt_arena_alloc(&registry->arena, sizeof(*plugin));
    json_t *root = NULL;
    partita_status status;
    pt_text path = {0};
    if (!plugin) return PT_OUT_OF_MEMORY();
    plugin->registry = registry;
    plugin->sanitizer = "";
    pt_text_printf(&path, "%s/%s", folder, file);
    status = path.failed ? PT_OUT_OF_MEMORY() : copy_text(registry, path.data, &plugin->manifest_path);
    pt_text_deinit(&path);
    PT_TRY(status);
    PT_TRY(copy_text(registry, "", &plugin->message));
    status = load_json(plugin->manifest_path, &root);
    if (status == PARTITA_OK) status = read_manifest(registry, root, folder, plugin);
    json_decref(root);
    if (status != PARTITA_OK && status != PARTITA_OUT_OF_MEMORY) {
        pt_annotate(status, "%s", plugin->manifest_path);
        status = blame_manifest(registry, file, plugin, status);
    }
    PT_TRY(status);
    if (is_known(registry, plugin->name)) return PARTITA_OK;
    return pt_array_push(&registry->plugins, plugin) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* ---- folders --------------------------------------------------------------------------------- */

static int is_manifest(const struct dirent *entry) {
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && size > 5 && strcmp(entry->d_name + size - 5, ".json") == 0;
}

static partita_status scan_folder(pt_registry *registry, const char *folder) {
    struct dirent **entries = NULL;
    partita_status status = PARTITA_OK;
    int count = scandir(folder, &entries, is_manifest, alphasort);
    for (int i = 0; i < count; i++) {
        if (status == PARTITA_OK) status = add_manifest(registry, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* Folders of the environment: a relative or empty one would mean the working directory, so it's passed over. */
static partita_status scan_environment(pt_registry *registry) {
    const char *rest = pt_env("PARTITA_PLUGIN_PATH");
    while (rest && *rest) {
        size_t size = strcspn(rest, ":");
        char folder[PATH_MAX];
        if (size > 0 && size < sizeof(folder)) {
            memcpy(folder, rest, size);
            folder[size] = '\0';
            if (folder[0] == '/')
                PT_TRY(scan_folder(registry, folder));
            else
                pt_log_to(&registry->log, PARTITA_LOG_WARNING,
                          "plugin-path: \"%s\" is passed over: it is no absolute path", folder);
        }
        rest += size + (rest[size] == ':');
    }
    return PARTITA_OK;
}

/* `file`'s folder with `tail` behind it. */
static partita_status scan_beside(pt_registry *registry, const char *file, const char *tail) {
    char path[2 * PATH_MAX];
    const char *slash = strrchr(file, '/');
    int size;
    if (file[0] != '/' || !slash) return PARTITA_OK;
    size = snprintf(path, sizeof(path), "%.*s%s", (int)(slash - file), file, tail);
    return size > 0 && (size_t)size < sizeof(path) ? scan_folder(registry, path) : PARTITA_OK;
}

/* Beside libpartita, then beside the executable. The latter may be a link that the caller of a privileged program made,
 * so that it doesn't count there. */
static partita_status scan_builtin(pt_registry *registry) {
    static const char marker;
    char path[PATH_MAX];
    Dl_info info;
    if (dladdr(&marker, &info) && info.dli_fname && strstr(info.dli_fname, ".so") && realpath(info.dli_fname, path)) {
        PT_TRY(scan_beside(registry, path, "/partita/plugins"));
    }
    if (!getauxval(AT_SECURE) && realpath("/proc/self/exe", path)) {
        PT_TRY(scan_beside(registry, path, "/../lib/partita/plugins"));
    }
    return PARTITA_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(pt_plugin *const *)a)->name, (*(pt_plugin *const *)b)->name);
}

partita_status pt_registry_scan(pt_registry *registry, const pt_registry_options *options) {
    for (uint32_t i = 0; i < options->path_count; i++) {
        char folder[PATH_MAX];
        if (!realpath(options->paths[i], folder)) {
            return pt_fail(PARTITA_INVALID_ARGUMENT, "plugin folder \"%s\" does not exist", options->paths[i]);
        }
        DIR *readable = opendir(folder);
        if (!readable) {
            return pt_fail(PARTITA_INVALID_ARGUMENT, "plugin folder \"%s\" cannot be read: %s", options->paths[i],
                           strerror(errno));
        }
        closedir(readable);
        PT_TRY(scan_folder(registry, folder));
    }
    PT_TRY(scan_environment(registry));
    PT_TRY(scan_builtin(registry));
    if (registry->plugins.size) {
        qsort(registry->plugins.data, registry->plugins.size, sizeof(*registry->plugins.data), by_name);
    }
    return PARTITA_OK;
}
