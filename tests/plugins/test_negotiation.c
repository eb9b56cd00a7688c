/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agreeing on a version: plugins built with headers of other ranges against this host, and hosts of other ranges
 * against those plugins.
 */
#include "plugin/registry.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "ok.h"

/* ---- this host ------------------------------------------------------------------------------- */

static const struct {
    const char *plugin, *message; /* NULL: it's taken, and speaks version 1 */
} host_rows[] = {
    {"range_0", "refuses this host (ABI 1 to 1): it speaks ABI 0 to 0"},
    {"range_1_1", NULL},
    {"range_1_3", NULL},
    {"range_2_3", "refuses this host (ABI 1 to 1): it speaks ABI 2 to 3"},
};

static pt_plugin *plugin_of(pt_registry *registry, const char *name) {
    for (uint32_t i = 0; i < pt_registry_plugin_count(registry); i++)
        if (strcmp(pt_registry_plugin(registry, i)->name, name) == 0) return pt_registry_plugin(registry, i);
    fail_msg("there is no plugin %s", name);
    return NULL;
}

static void this_host_agrees_or_says_why(void **state) {
    static const char *const paths[] = {HOSTILE_FOLDER};
    const pt_registry_options options = {.paths = paths, .path_count = 1};
    pt_registry *registry;
    PT_UNUSED(state);
    OK(pt_registry_create(&options, &registry));
    for (size_t i = 0; i < PT_COUNT_OF(host_rows); i++) {
        pt_plugin *plugin = plugin_of(registry, host_rows[i].plugin);
        if (host_rows[i].message) {
            assert_int_equal(pt_plugin_open(plugin), PARTITA_DEVICE_FAILED);
            if (!strstr(pt_last_message(), host_rows[i].message))
                fail_msg("\"%s\" does not say \"%s\"", pt_last_message(), host_rows[i].message);
            continue;
        }
        OK(pt_plugin_open(plugin));
        assert_int_equal(plugin->info->abi, 1);
        assert_int_equal(plugin->host->abi, 1);
    }
    pt_registry_destroy(registry);
}

/* ---- other hosts ----------------------------------------------------------------------------- */

static const struct {
    const char *plugin;
    uint32_t host_min, host_max, abi; /* abi 0: refused */
} query_rows[] = {
    {"range_0", 0, 0, 0},   {"range_0", 0, 5, 0},   {"range_1_1", 0, 0, 0}, {"range_1_1", 1, 1, 1},
    {"range_1_1", 1, 9, 1}, {"range_1_1", 2, 9, 0}, {"range_1_3", 1, 1, 1}, {"range_1_3", 1, 2, 2},
    {"range_1_3", 2, 9, 3}, {"range_1_3", 4, 9, 0}, {"range_2_3", 1, 1, 0}, {"range_2_3", 1, 2, 2},
    {"range_2_3", 3, 3, 3}, {"range_2_3", 3, 9, 3}, {"range_2_3", 4, 4, 0},
};

typedef struct later_query {
    ptp_query known;
    uint64_t later[8];
} later_query;

static void note(void *self, const char *message) { snprintf(self, 128, "%s", message); }

/* Asks as a host of these versions, with a query as large as this header's or of a later one's. */
static const ptp_plugin_info *ask(const char *plugin, uint32_t min, uint32_t max, bool later, bool listens,
                                  char *refusal) {
    char path[512];
    ptp_query_fn fn;
    later_query query = {.known = {.size = later ? sizeof(query) : sizeof(ptp_query),
                                   .abi_min = min,
                                   .abi_max = max,
                                   .self = refusal,
                                   .refuse = listens ? note : NULL},
                         .later = {UINT64_MAX}};
    snprintf(path, sizeof(path), "%s/%s.so", HOSTILE_FOLDER, plugin);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fail_msg("%s", dlerror());
    void *symbol = dlsym(library, "partita_plugin_query");
    assert_non_null(symbol);
    memcpy(&fn, &symbol, sizeof(fn));
    return fn(&query.known);
}

static void other_hosts_get_the_newest_of_both(void **state) {
    PT_UNUSED(state);
    for (size_t i = 0; i < 2 * PT_COUNT_OF(query_rows); i++) {
        const char *plugin = query_rows[i / 2].plugin;
        uint32_t min = query_rows[i / 2].host_min, max = query_rows[i / 2].host_max, abi = query_rows[i / 2].abi;
        char refusal[128] = "";
        const ptp_plugin_info *info = ask(plugin, min, max, i % 2, true, refusal);
        if (abi) {
            if (!info) fail_msg("%s refuses %u to %u: %s", plugin, min, max, refusal);
            assert_int_equal(info->abi, abi);
            assert_int_equal(info->size, sizeof(ptp_plugin_info));
            assert_string_equal(info->name, plugin);
            assert_string_equal(refusal, "");
        } else {
            assert_null(info);
            if (!strstr(refusal, "it speaks ABI ")) fail_msg("%s, %u to %u: \"%s\"", plugin, min, max, refusal);
            assert_null(ask(plugin, min, max, i % 2, false, refusal));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_host_agrees_or_says_why),
        cmocka_unit_test(other_hosts_get_the_newest_of_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
