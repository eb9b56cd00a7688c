/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry against plugins that do one thing wrong each, and against manifests that aren't any: every failure is a
 * status with its cause, and costs the other plugins nothing.
 */
#include "plugin/registry.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ok.h"

static const char *const hostile_paths[] = {HOSTILE_FOLDER};

static pt_registry *open_registry(const ptp_option *options, uint32_t option_count) {
    const pt_registry_options request = {
        .paths = hostile_paths, .path_count = 1, .options = options, .option_count = option_count};
    pt_registry *registry;
    OK(pt_registry_create(&request, &registry));
    return registry;
}

static pt_plugin *plugin_of(pt_registry *registry, const char *name) {
    for (uint32_t i = 0; i < pt_registry_plugin_count(registry); i++) {
        pt_plugin *plugin = pt_registry_plugin(registry, i);
        if (strcmp(plugin->name, name) == 0) return plugin;
    }
    fail_msg("there is no plugin %s", name);
    return NULL;
}

static void assert_message(const char *part) {
    if (!strstr(pt_last_message(), part)) fail_msg("\"%s\" does not say \"%s\"", pt_last_message(), part);
}

/* ---- what is wrong with each ----------------------------------------------------------------- */

static const struct {
    const char *plugin;
    partita_status status;
    const char *message;
} bad_rows[] = {
    {"no_ask", PARTITA_DEVICE_FAILED, "required slot device.ask is missing"},
    {"short_device", PARTITA_DEVICE_FAILED, "required slot device.compile is missing"},
    {"zero_size", PARTITA_DEVICE_FAILED, "required slot device.info is missing"},
    {"no_device_table", PARTITA_DEVICE_FAILED, "required table device is missing"},
    {"no_executable", PARTITA_DEVICE_FAILED, "required table executable is missing"},
    {"map_only", PARTITA_DEVICE_FAILED, "memory.map and memory.unmap come together"},
    {"newer", PARTITA_DEVICE_FAILED, "refuses this host (ABI 1 to 1): come back in a year"},
    {"silent", PARTITA_DEVICE_FAILED, "no reason given"},
    {"abi_wrong", PARTITA_DEVICE_FAILED, "answers with ABI 7"},
    {"no_symbol", PARTITA_DEVICE_FAILED, "does not export partita_plugin_query"},
    {"sanitized", PARTITA_DEVICE_FAILED, "built with the memory sanitizer"},
    {"extension_required", PARTITA_DEVICE_FAILED, "needs extension 0x77, which this version does not have"},
    {"extension_behind", PARTITA_DEVICE_FAILED, "needs extension 0x78, which this version does not have"},
    {"extension_endless", PARTITA_DEVICE_FAILED, "its chain of extensions does not end"},
    {"start_fails", PARTITA_DEVICE_FAILED, "plugin start_fails: the firmware does not answer"},
    {"start_null", PARTITA_DEVICE_FAILED, "gave no plugin"},
    {"many", PARTITA_DEVICE_FAILED, "offers 100000 devices"},
    {"needed", PARTITA_DEVICE_ABSENT, "needs libhostile_gone.so, which is not installed"},
};

static void bad_plugins_say_why(void **state) {
    pt_registry *registry = open_registry(NULL, 0);
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(bad_rows); i++) {
        pt_plugin *plugin = plugin_of(registry, bad_rows[i].plugin);
        pt_device *device;
        assert_false(plugin->opened);
        assert_int_equal(pt_plugin_open(plugin), bad_rows[i].status);
        assert_message(bad_rows[i].message);
        assert_message(bad_rows[i].plugin);
        assert_true(plugin->opened);
        /* Asking again repeats the answer, and so does asking for its device. */
        pt_clear_message();
        assert_int_equal(pt_plugin_open(plugin), bad_rows[i].status);
        assert_message(bad_rows[i].message);
        assert_int_equal(pt_registry_device(registry, pt_str(bad_rows[i].plugin), &device), bad_rows[i].status);
        assert_message(bad_rows[i].message);
        assert_null(device);
    }
    pt_registry_destroy(registry);
}

static const struct {
    const char *device;
    partita_status status;
    const char *message;
} device_rows[] = {
    {"open_fails", PARTITA_INTERNAL, "open_fails:0: returned 12345, which is no status"},
    {"open_null", PARTITA_DEVICE_FAILED, "open_null:0: opened, but gave no device"},
    {"bad_kind", PARTITA_DEVICE_FAILED, "is no valid name"},
    {"domains", PARTITA_DEVICE_FAILED, "has 99 memory domains"},
    {"no_memory_table", PARTITA_DEVICE_FAILED, "has memory domains but no table memory"},
    {"start_absent", PARTITA_DEVICE_ABSENT, "plugin start_absent: no driver for the toy"},
    {"nobody", PARTITA_DEVICE_ABSENT, "there is no device \"nobody\"; there are"},
    {"good:2", PARTITA_DEVICE_ABSENT, "there is no device \"good:2\"; there are good:0, good:1"},
    {"good:", PARTITA_INVALID_ARGUMENT, "is no name of a device"},
    {"good:01", PARTITA_INVALID_ARGUMENT, "is no name of a device"},
    {"good:4294967296", PARTITA_INVALID_ARGUMENT, "is no name of a device"},
    {"Good", PARTITA_INVALID_ARGUMENT, "is no name of a device"},
    {"", PARTITA_INVALID_ARGUMENT, "is no name of a device"},
};

static void bad_devices_say_why(void **state) {
    pt_registry *registry = open_registry(NULL, 0);
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(device_rows); i++) {
        pt_device *device;
        assert_int_equal(pt_registry_device(registry, pt_str(device_rows[i].device), &device), device_rows[i].status);
        assert_message(device_rows[i].message);
    }
    pt_registry_destroy(registry);
}

/* A plugin without a device is a plugin that loaded. */
static void absent_is_no_failure(void **state) {
    pt_registry *registry = open_registry(NULL, 0);
    pt_plugin *plugin = plugin_of(registry, "start_absent");
    PT_UNUSED(state);
    OK(pt_plugin_open(plugin));
    assert_int_equal(plugin->device_count, 0);
    assert_string_equal(plugin->message, "no driver for the toy");
    pt_registry_destroy(registry);
}

/* ---- the good ones --------------------------------------------------------------------------- */

static void devices_have_names(void **state) {
    pt_registry *registry = open_registry(NULL, 0);
    pt_device *first, *second, *again;
    ptp_device_info info;
    const char *name;
    PT_UNUSED(state);
    OK(pt_registry_device(registry, PT_STR("good"), &first));
    OK(pt_registry_device(registry, PT_STR("good:1"), &second));
    OK(pt_registry_device(registry, PT_STR("good:0"), &again));
    assert_ptr_equal(first, again);
    assert_ptr_not_equal(first, second);
    assert_string_equal(first->name, "good:0");
    assert_string_equal(second->name, "good:1");
    assert_false(first->has_memory);
    assert_true(strlen(first->info.vendor) < sizeof(first->info.vendor));
    OK(pt_plugin_device_info(second->plugin, 1, &info, &name));
    assert_string_equal(name, "good:1");
    assert_true(info.launch_us == 2);
    assert_int_equal(pt_plugin_device_info(second->plugin, 2, &info, &name), PARTITA_INVALID_ARGUMENT);
    /* Nothing else was opened for it. */
    for (uint32_t i = 0; i < pt_registry_plugin_count(registry); i++) {
        pt_plugin *plugin = pt_registry_plugin(registry, i);
        assert_int_equal(plugin->opened, plugin == first->plugin);
    }
    pt_registry_destroy(registry);
}

/* Tables of older and of later headers work alike; what an older one lacks is its default. */
static void tables_of_other_sizes(void **state) {
    static const char *const names[] = {"small", "large", "no_peek"};
    pt_registry *registry = open_registry(NULL, 0);
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(names); i++) {
        pt_device *device;
        ptp_option_row row;
        bool large = strcmp(names[i], "large") == 0;
        OK(pt_registry_device(registry, pt_str(names[i]), &device));
        assert_int_equal(device->device.size, sizeof(device->device));
        assert_int_equal(device->plugin->vtable.peek != NULL, large);
        assert_int_equal(pt_plugin_option_row(device->plugin, 0, 0, &row), large);
        assert_int_equal(device->device.usage == NULL, strcmp(names[i], "small") == 0);
        assert_null(device->device.route);
        assert_int_equal(device->plugin->info->size, sizeof(*device->plugin->info));
        assert_null(device->plugin->info->operator_set); /* of the small one it lies beyond its end */
    }
    pt_registry_destroy(registry);
}

static void options_are_checked(void **state) {
    static const struct {
        ptp_option option;
        const char *message;
    } rows[] = {
        {{"good.mod", "fast"}, "good:0: has no option \"mod\"; it has mode, depth"},
        {{"good:0.mode", "idle"}, "option mode is slow|fast, \"idle\" is not"},
        {{"good.depth", "4x"}, "option depth is int"},
        {{"good.depth", ""}, "option depth is int"},
        {{"good.depth", "99999999999999999999"}, "option depth is int"},
    };
    const ptp_option fine[] = {
        {"good:1.mode", "fast"}, {"good.depth", "-3"}, {"good.mode", "fast"}, {"good.mode", "slow"}};
    const ptp_option nobodys[] = {{"nobody.at", "all"}, {"good:7.mode", "fast"}};
    pt_registry_options request = {.paths = hostile_paths, .path_count = 1, .options = nobodys, .option_count = 1};
    pt_registry *registry;
    pt_device *device;
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        registry = open_registry(&rows[i].option, 1);
        assert_int_equal(pt_registry_device(registry, PT_STR("good"), &device), PARTITA_INVALID_ARGUMENT);
        assert_message(rows[i].message);
        OK(pt_registry_device(registry, PT_STR("good:1"), &device));
        pt_registry_destroy(registry);
    }
    /* A kind that no plugin may have is an error at once; a number, when a device of the kind is opened. */
    assert_int_not_equal(pt_registry_create(&request, &registry), PARTITA_OK);
    assert_message("option \"nobody.at\": there is no device \"nobody\"");
    registry = open_registry(&nobodys[1], 1);
    assert_int_not_equal(pt_registry_device(registry, PT_STR("good"), &device), PARTITA_OK);
    assert_message("option \"good:7.mode\"");
    pt_registry_destroy(registry);
    registry = open_registry(fine, PT_COUNT_OF(fine));
    OK(pt_registry_device(registry, PT_STR("good"), &device));
    assert_string_equal(device->info.description, "slow");
    OK(pt_registry_device(registry, PT_STR("good:1"), &device));
    assert_string_equal(device->info.description, "fast");
    pt_registry_destroy(registry);
}

static void calls_carry_their_message(void **state) {
    pt_registry *registry = open_registry(NULL, 0);
    pt_device *device;
    ptp_usage usage = {.size = sizeof(usage)};
    ptp_executable *executable;
    PT_UNUSED(state);
    OK(pt_registry_device(registry, PT_STR("good"), &device));
    assert_int_equal(pt_device_call(device, device->device.ask(device->handle, NULL, NULL)), PARTITA_DEVICE_FAILED);
    assert_string_equal(pt_last_message(), "good:0: asked in vain");
    assert_int_equal(pt_device_call(device, device->device.compile(device->handle, NULL, &executable)),
                     PARTITA_DEVICE_FAILED);
    assert_string_equal(pt_last_message(), "good:0: the worker ran aground");
    assert_int_equal(pt_device_call(device, device->device.usage(device->handle, &usage)), PARTITA_INTERNAL);
    assert_string_equal(pt_last_message(), "good:0: returned -77, which is no status");
    /* A call without a text is told by its code, not by an older text. */
    assert_int_equal(pt_device_call(device, device->executable.ports(NULL, NULL, NULL)), PARTITA_INTERNAL);
    assert_string_equal(pt_last_message(), "good:0: internal error");
    pt_registry_destroy(registry);
}

static void host_services_are_there(void **state) {
    pt_registry *registry = open_registry(NULL, 0);
    pt_device *device;
    PT_UNUSED(state);
    OK(pt_registry_device(registry, PT_STR("good"), &device));
    const ptp_host *host = device->plugin->host;
    void *block = host->alloc(host->self, 100, 256);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 256, 0);
    host->free(host->self, block);
    assert_null(host->alloc(host->self, 100, 3));
    assert_null(host->alloc(host->self, UINT64_MAX, 64));
    assert_int_equal(host->workers(host->self), 1);
    pt_registry_destroy(registry);
}

/* Each context has a registry of its own, and the library is there once. */
static void registries_do_not_meet(void **state) {
    pt_registry *registries[2] = {open_registry(NULL, 0), open_registry(NULL, 0)};
    pt_device *devices[2];
    PT_UNUSED(state);
    for (int i = 0; i < 2; i++) OK(pt_registry_device(registries[i], PT_STR("good"), &devices[i]));
    assert_ptr_not_equal(devices[0]->handle, devices[1]->handle);
    assert_ptr_not_equal(devices[0]->plugin->handle, devices[1]->plugin->handle);
    pt_registry_destroy(registries[0]);
    assert_int_equal(pt_device_call(devices[1], devices[1]->device.ask(devices[1]->handle, NULL, NULL)),
                     PARTITA_DEVICE_FAILED);
    pt_registry_destroy(registries[1]);
}

typedef struct caller {
    pt_registry *registry;
    pt_device *device;
    bool failed;
} caller;

/* Opens the same device as everybody else and calls it: one at a time, each with its own message. */
static void *call_from_thread(void *user) {
    caller *me = user;
    for (int i = 0; i < 20; i++) {
        pt_device *device;
        me->failed |=
            pt_registry_device(me->registry, i % 2 ? PT_STR("good") : PT_STR("good:0"), &device) != PARTITA_OK;
        if (me->failed) break;
        me->device = device;
        me->failed |= pt_device_call(device, device->device.ask(device->handle, NULL, NULL)) != PARTITA_DEVICE_FAILED;
        me->failed |= strcmp(pt_last_message(), "good:0: asked in vain") != 0;
        me->failed |= pt_registry_device(me->registry, PT_STR("start_fails"), &device) != PARTITA_DEVICE_FAILED;
    }
    return NULL;
}

static void threads_share_a_registry(void **state) {
    pt_registry *registry = open_registry(NULL, 0);
    pthread_t threads[8];
    caller callers[8];
    PT_UNUSED(state);
    for (int i = 0; i < 8; i++) {
        callers[i] = (caller){.registry = registry};
        assert_int_equal(pthread_create(&threads[i], NULL, call_from_thread, &callers[i]), 0);
    }
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 8; i++) {
        assert_false(callers[i].failed);
        assert_ptr_equal(callers[i].device, callers[0].device);
    }
    pt_registry_destroy(registry);
}

/* The device with the role; manifests here list nobody, so that plugins are asked. */
static void fallback_is_found(void **state) {
    static const char *const only[] = {HOSTILE_FOLDER};
    const pt_registry_options options = {.paths = only, .path_count = 1};
    char *path = getenv("PARTITA_PLUGIN_PATH") ? strdup(getenv("PARTITA_PLUGIN_PATH")) : NULL;
    pt_registry *registry;
    pt_device *device;
    PT_UNUSED(state);
    unsetenv("PARTITA_PLUGIN_PATH");
    OK(pt_registry_create(&options, &registry));
    device = pt_registry_fallback(registry);
    assert_non_null(device);
    assert_true(device->info.flags & PTP_DEVICE_FALLBACK);
    pt_registry_destroy(registry);
    if (path) setenv("PARTITA_PLUGIN_PATH", path, 1);
    free(path);
}

/* ---- manifests ------------------------------------------------------------------------------- */

static const struct {
    const char *file, *content, *name, *message;
} manifest_rows[] = {
    {"a.json", "{", "a", "manifest is no JSON: line 1"},
    {"b.json", "[]", "b", "manifest is no JSON object"},
    {"c.json", "{\"name\": \"C C\"}", "c", "\"name\" is not"},
    {"d.json", "{\"name\": \"d\", \"abi_min\": 0}", "d", "\"abi_min\" is no ABI version"},
    {"e.json", "{\"name\": \"e\", \"abi_min\": 1, \"abi_max\": 1, \"library\": \"../x.so\"}", "e",
     "\"library\" is neither"},
    {"f.json", "{\"name\": \"f\", \"abi_min\": 1, \"abi_max\": 1, \"library\": \"x.so\", \"devices\": [3]}", "f",
     "\"devices\" is no list of names"},
    {"g.json", "{\"name\": \"g\", \"abi_min\": 1, \"abi_max\": 1, \"library\": \"x.so\", \"devices\": [\"G!\"]}", "g",
     "device kind \"G!\" is no valid name"},
    {"h.json", "{\"name\": \"h\", \"abi_min\": 2, \"abi_max\": 3, \"library\": \"x.so\", \"devices\": [\"h\"]}", "h",
     "speaks ABI 2 to 3, the host 1 to 1"},
    {"i.json", "{\"name\": \"i\", \"abi_min\": 1, \"abi_max\": 1, \"library\": \"x.so\", \"devices\": [\"i\"]}", "i",
     "x.so does not exist"},
    {"j.json", "{\"name\": \"j\", \"abi_min\": 1, \"abi_max\": 1, \"library\": \"a.json\", \"devices\": [\"j\"]}", "j",
     "a.json"},
    {"k.json",
     "{\"name\": \"k\", \"abi_min\": 1, \"abi_max\": 1, \"library\": \"x.so\", \"devices\": [\"k\"], \"sanitizer\": "
     "\"memory\"}",
     "k", "built with the memory sanitizer"},
    {"l.json", "{\"name\": \"l\", \"name\": \"l\"}", "l", "manifest is no JSON"},
};

static void write_file(const char *folder, const char *file, const char *content) {
    char path[512];
    FILE *out;
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    out = fopen(path, "w");
    assert_non_null(out);
    fputs(content, out);
    fclose(out);
}

static void remove_folder(const char *folder) {
    char path[512];
    for (size_t i = 0; i < PT_COUNT_OF(manifest_rows); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, manifest_rows[i].file);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/fifo.json", folder);
    unlink(path);
    rmdir(folder);
}

static void bad_manifests_say_why(void **state) {
    char folder[] = "/tmp/partita-manifests-XXXXXX", path[512];
    const char *paths[] = {folder};
    const pt_registry_options options = {.paths = paths, .path_count = 1};
    pt_registry *registry;
    PT_UNUSED(state);
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < PT_COUNT_OF(manifest_rows); i++) {
        write_file(folder, manifest_rows[i].file, manifest_rows[i].content);
    }
    snprintf(path, sizeof(path), "%s/fifo.json", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    OK(pt_registry_create(&options, &registry));
    for (size_t i = 0; i < PT_COUNT_OF(manifest_rows); i++) {
        pt_plugin *plugin = plugin_of(registry, manifest_rows[i].name);
        assert_int_not_equal(pt_plugin_open(plugin), PARTITA_OK);
        assert_message(manifest_rows[i].message);
        assert_message(plugin->message);
    }
    assert_int_not_equal(pt_plugin_open(plugin_of(registry, "fifo")), PARTITA_OK);
    assert_message("manifest cannot be read");
    pt_registry_destroy(registry);
    remove_folder(folder);
}

static void bad_libraries_say_why(void **state) {
    static const char *const files[] = {"cut.so", "pipe.so", "cut.json", "pipe.json"};
    char folder[] = "/tmp/partita-manifests-XXXXXX", path[512], half[4096];
    const char *paths[] = {folder};
    const pt_registry_options options = {.paths = paths, .path_count = 1};
    pt_registry *registry;
    PT_UNUSED(state);
    assert_non_null(mkdtemp(folder));
    write_file(folder, "cut.json", "{\"name\": \"cut\", \"abi_min\": 1, \"abi_max\": 1, \"library\": \"cut.so\"}");
    write_file(folder, "pipe.json", "{\"name\": \"pipe\", \"abi_min\": 1, \"abi_max\": 1, \"library\": \"pipe.so\"}");
    snprintf(path, sizeof(path), "%s/pipe.so", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    FILE *in = fopen(HOSTILE_FOLDER "/good.so", "rb");
    snprintf(path, sizeof(path), "%s/cut.so", folder);
    FILE *out = fopen(path, "wb");
    assert_true(in && out);
    assert_int_equal(fread(half, 1, sizeof(half), in), sizeof(half));
    assert_int_equal(fwrite(half, 1, sizeof(half), out), sizeof(half));
    fclose(in);
    fclose(out);
    OK(pt_registry_create(&options, &registry));
    assert_int_equal(pt_plugin_open(plugin_of(registry, "cut")), PARTITA_DEVICE_FAILED);
    assert_message("cut.so is cut off");
    assert_int_equal(pt_plugin_open(plugin_of(registry, "pipe")), PARTITA_DEVICE_FAILED);
    assert_message("pipe.so is no regular file");
    pt_registry_destroy(registry);
    for (size_t i = 0; i < PT_COUNT_OF(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* The first manifest of a name wins; folders that aren't there are an error only when they're asked for by hand. */
static void folders_have_an_order(void **state) {
    char folder[] = "/tmp/partita-manifests-XXXXXX", variable[600];
    const char *paths[] = {folder, HOSTILE_FOLDER};
    pt_registry_options options = {.paths = paths, .path_count = 2};
    char *before = getenv("PARTITA_PLUGIN_PATH") ? strdup(getenv("PARTITA_PLUGIN_PATH")) : NULL;
    pt_registry *registry;
    PT_UNUSED(state);
    assert_non_null(mkdtemp(folder));
    write_file(folder, "a.json",
               "{\"name\": \"good\", \"abi_min\": 1, \"abi_max\": 1, \"library\": \"x.so\", \"devices\": [\"good\"]}");
    OK(pt_registry_create(&options, &registry));
    assert_int_equal(pt_plugin_open(plugin_of(registry, "good")), PARTITA_DEVICE_ABSENT);
    pt_registry_destroy(registry);
    paths[0] = HOSTILE_FOLDER;
    paths[1] = folder;
    OK(pt_registry_create(&options, &registry));
    OK(pt_plugin_open(plugin_of(registry, "good")));
    pt_registry_destroy(registry);

    /* Of the environment: empty and relative folders are passed over, absent ones too. */
    snprintf(variable, sizeof(variable), ":.:tests:/nowhere/at/all:%s", folder);
    setenv("PARTITA_PLUGIN_PATH", variable, 1);
    options = (pt_registry_options){0};
    pt_log_set(NULL, NULL);
    OK(pt_registry_create(&options, &registry));
    assert_int_equal(pt_plugin_open(plugin_of(registry, "good")), PARTITA_DEVICE_ABSENT);
    pt_registry_destroy(registry);
    if (before)
        setenv("PARTITA_PLUGIN_PATH", before, 1);
    else
        unsetenv("PARTITA_PLUGIN_PATH");
    free(before);
    remove_folder(folder);

    paths[0] = "/nowhere/at/all";
    options = (pt_registry_options){.paths = paths, .path_count = 1};
    assert_int_equal(pt_registry_create(&options, &registry), PARTITA_INVALID_ARGUMENT);
    assert_message("does not exist");
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void every_allocation_may_fail(void **state) {
    static const ptp_option options[] = {{"good.mode", "slow"}};
    const pt_registry_options request = {
        .paths = hostile_paths, .path_count = 1, .options = options, .option_count = 1};
    partita_status status = PARTITA_OUT_OF_MEMORY;
    PT_UNUSED(state);
    for (int64_t k = 0; status != PARTITA_OK; k++) {
        pt_registry *registry = NULL;
        pt_device *device;
        assert_true(k < 5000);
        pt_alloc_fail_after(k, true);
        status = pt_registry_create(&request, &registry);
        if (status == PARTITA_OK) status = pt_registry_device(registry, PT_STR("good"), &device);
        pt_alloc_fail_after(-1, false);
        if (status != PARTITA_OK) {
            assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
            /* What failed for want of memory works when there is some. */
            if (registry) OK(pt_registry_device(registry, PT_STR("good"), &device));
        }
        pt_registry_destroy(registry);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_plugins_say_why),       cmocka_unit_test(bad_devices_say_why),
        cmocka_unit_test(absent_is_no_failure),      cmocka_unit_test(devices_have_names),
        cmocka_unit_test(tables_of_other_sizes),     cmocka_unit_test(options_are_checked),
        cmocka_unit_test(calls_carry_their_message), cmocka_unit_test(host_services_are_there),
        cmocka_unit_test(registries_do_not_meet),    cmocka_unit_test(threads_share_a_registry),
        cmocka_unit_test(fallback_is_found),         cmocka_unit_test(bad_manifests_say_why),
        cmocka_unit_test(bad_libraries_say_why),     cmocka_unit_test(folders_have_an_order),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
