/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin of two devices that does one thing wrong: which one, HOSTILE_<CASE> says at build time. Without a case it's
 * a well-behaved one. The kind of its devices is the case's name.
 */
#include <partita/plugin.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ptp_plugin {
    const ptp_host *host;
    int open;
};
struct ptp_device {
    ptp_plugin *plugin;
    uint32_t index;
    char option[32];
    int inside; /* not guarded: the devices aren't CONCURRENT */
};

static partita_status fail(const ptp_host *host, partita_status code, const char *text) {
    host->fail(host->self, code, text);
    return code;
}

#ifdef HOSTILE_NEEDED
int hostile_needed(void); /* of a library that's gone when the plugin is loaded */
#endif

static partita_status start(const ptp_host *host, ptp_plugin **out_plugin) {
    ptp_plugin *plugin;
    *out_plugin = NULL;
#if defined(HOSTILE_START_FAILS)
    return fail(host, PARTITA_DEVICE_FAILED, "the firmware does not answer");
#elif defined(HOSTILE_START_ABSENT)
    return fail(host, PARTITA_DEVICE_ABSENT, "no driver for the toy");
#elif defined(HOSTILE_START_NULL)
    return PARTITA_OK;
#elif defined(HOSTILE_NEEDED)
    if (hostile_needed()) return PARTITA_DEVICE_FAILED;
#endif
    plugin = calloc(1, sizeof(*plugin));
    if (!plugin) return fail(host, PARTITA_OUT_OF_MEMORY, "out of memory");
    plugin->host = host;
    *out_plugin = plugin;
    return PARTITA_OK;
}

static partita_status stop(ptp_plugin *plugin) {
    if (plugin->open) return fail(plugin->host, PARTITA_BUSY, "devices are open");
    free(plugin);
    return PARTITA_OK;
}

static uint32_t device_count(ptp_plugin *plugin) {
    (void)plugin;
#ifdef HOSTILE_MANY
    return 100000;
#else
    return 2;
#endif
}

static void fill(ptp_device_info *out_info, uint32_t index) {
    ptp_device_info info;
    uint32_t size = out_info->size;
    memset(&info, 0, sizeof(info));
    info.flags = index == 0 ? PTP_DEVICE_FALLBACK : 0;
#if defined(HOSTILE_BAD_KIND)
    memset(info.kind, 'X', sizeof(info.kind));
#else
    snprintf(info.kind, sizeof(info.kind), "%s", HOSTILE_NAME);
#endif
    memset(info.vendor, 'v', sizeof(info.vendor)); /* not terminated: the host does that */
    snprintf(info.resources[0], sizeof(info.resources[0]), "toy-cores");
#if defined(HOSTILE_DOMAINS)
    info.domain_count = 99;
#elif defined(HOSTILE_NO_MEMORY_TABLE)
    info.domain_count = 1;
#endif
    info.launch_us = 1 + index;
    info.size = size < sizeof(info) ? size : (uint32_t)sizeof(info);
    memcpy(out_info, &info, info.size);
    out_info->size = size;
}

static partita_status open_device(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                                  ptp_device **out_device) {
    ptp_device *device = calloc(1, sizeof(*device));
    *out_device = NULL;
#if defined(HOSTILE_OPEN_FAILS)
    free(device);
    device = NULL;
    return 12345; /* and no text */
#elif defined(HOSTILE_OPEN_NULL)
    free(device);
    return PARTITA_OK;
#endif
    if (!device) return fail(plugin->host, PARTITA_OUT_OF_MEMORY, "out of memory");
    device->plugin = plugin;
    device->index = index;
    for (uint32_t i = 0; i < option_count; i++) {
        if (strcmp(options[i].name, "mode") == 0)
            snprintf(device->option, sizeof(device->option), "%s", options[i].value);
    }
    plugin->open++;
    *out_device = device;
    return PARTITA_OK;
}

static void close_device(ptp_device *device) {
    if (!device) return;
    device->plugin->open--;
    free(device);
}

static partita_status peek(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info) {
    (void)plugin;
    fill(out_info, index);
    return PARTITA_OK;
}

static const ptp_option_row *options_of(ptp_plugin *plugin, uint32_t index, uint32_t *out_count) {
    static const ptp_option_row rows[] = {{sizeof(ptp_option_row), 0, "mode", "slow|fast", "fast", "how it runs"},
                                          {sizeof(ptp_option_row), 0, "depth", "int", "4", "of its queue"}};
    (void)plugin;
    (void)index;
    *out_count = 2;
    return rows;
}

static partita_status info(ptp_device *device, ptp_device_info *out_info) {
    fill(out_info, device->index);
    snprintf(out_info->description, sizeof(out_info->description), "%s", device->option);
    return PARTITA_OK;
}

static partita_status ask(ptp_device *device, const ptp_ask *question, ptp_answer *answers) {
    int alone = device->inside++ == 0;
    (void)question;
    (void)answers;
    usleep(100);
    device->inside--;
    if (!alone) return fail(device->plugin->host, PARTITA_INTERNAL, "two calls at once");
    return fail(device->plugin->host, PARTITA_DEVICE_FAILED, "asked in vain");
}

static void *fail_elsewhere(void *user) {
    ptp_device *device = user;
    fail(device->plugin->host, PARTITA_DEVICE_FAILED, "the worker ran aground");
    return NULL;
}

/* Fails on a thread of its own and returns the code on this one. */
static partita_status compile(ptp_device *device, ptp_compile *job, ptp_executable **out_executable) {
    pthread_t thread;
    (void)job;
    *out_executable = NULL;
    if (pthread_create(&thread, NULL, fail_elsewhere, device) == 0) pthread_join(thread, NULL);
    return PARTITA_DEVICE_FAILED;
}

static partita_status usage(ptp_device *device, ptp_usage *out_usage) {
    (void)device;
    (void)out_usage;
    return -77;
}

static void destroy(ptp_executable *executable) { (void)executable; }
static partita_status ports(ptp_executable *executable, ptp_port *inputs, ptp_port *outputs) {
    (void)executable;
    (void)inputs;
    (void)outputs;
    return PARTITA_INTERNAL;
}
static partita_status resize(ptp_executable *executable, ptp_resize *sizes, ptp_instance **out_instance) {
    (void)executable;
    (void)sizes;
    *out_instance = NULL;
    return PARTITA_INTERNAL;
}
static void release(ptp_executable *executable, ptp_instance *instance) {
    (void)executable;
    (void)instance;
}
static partita_status exec(ptp_executable *executable, ptp_instance *instance, const ptp_exec *run) {
    (void)executable;
    (void)instance;
    (void)run;
    return PARTITA_INTERNAL;
}

/* A table of a later header: what the host doesn't know comes behind, and isn't NULL. */
typedef struct later_plugin_vtable {
    ptp_plugin_vtable known;
    void *later[8];
} later_plugin_vtable;

static const later_plugin_vtable plugin_table = {
    .known =
        {
#if defined(HOSTILE_LARGE)
            .size = sizeof(later_plugin_vtable),
#elif defined(HOSTILE_SMALL) || defined(HOSTILE_NO_PEEK)
            .size = offsetof(ptp_plugin_vtable, peek), /* of a header that had no peek and no options yet */
#else
            .size = sizeof(ptp_plugin_vtable),
#endif
            .start = start,
            .stop = stop,
            .device_count = device_count,
            .open = open_device,
            .close = close_device,
            .peek = peek,
            .options = options_of,
        },
    .later = {(void *)1, (void *)1},
};

typedef struct later_device_vtable {
    ptp_device_vtable known;
    void *later[8];
} later_device_vtable;

static const later_device_vtable device_table = {
    .known =
        {
#if defined(HOSTILE_LARGE)
            .size = sizeof(later_device_vtable),
#elif defined(HOSTILE_SMALL)
            .size = offsetof(ptp_device_vtable, route),
#elif defined(HOSTILE_SHORT_DEVICE)
            .size = offsetof(ptp_device_vtable, compile),
#elif defined(HOSTILE_ZERO_SIZE)
            .size = 0,
#else
            .size = sizeof(ptp_device_vtable),
#endif
            .info = info,
#ifndef HOSTILE_NO_ASK
            .ask = ask,
#endif
            .compile = compile,
            .usage = usage,
        },
    .later = {(void *)1, (void *)1},
};

static const ptp_executable_vtable executable_table = {.size = sizeof(ptp_executable_vtable),
                                                       .destroy = destroy,
                                                       .ports = ports,
                                                       .resize = resize,
                                                       .release = release,
                                                       .exec = exec};

#if defined(HOSTILE_MAP_ONLY)
static partita_status memory_alloc(ptp_device *d, uint32_t domain, uint64_t bytes, ptp_buffer **out) {
    (void)d, (void)domain, (void)bytes;
    *out = NULL;
    return PARTITA_OUT_OF_MEMORY;
}
static void memory_free(ptp_device *d, ptp_buffer *buffer) { (void)d, (void)buffer; }
static partita_status memory_copy(ptp_device *d, const ptp_copy *c, uint32_t n, ptp_point done) {
    (void)d, (void)c, (void)n, (void)done;
    return PARTITA_INTERNAL;
}
static partita_status memory_map(ptp_device *d, ptp_buffer *b, uint64_t at, uint64_t n, uint32_t access, void **out) {
    (void)d, (void)b, (void)at, (void)n, (void)access;
    *out = NULL;
    return PARTITA_INTERNAL;
}
static const ptp_memory_vtable memory_table = {.size = sizeof(ptp_memory_vtable),
                                               .alloc = memory_alloc,
                                               .free = memory_free,
                                               .copy = memory_copy,
                                               .map = memory_map};
#define MEMORY_TABLE &memory_table
#else
#define MEMORY_TABLE NULL
#endif

#define REQUIRED_EXTENSION (PTP_EXTENSION_REQUIRED | 0x78u)
#if defined(HOSTILE_EXTENSION_REQUIRED)
static const ptp_extension extension = {sizeof(ptp_extension), PTP_EXTENSION_REQUIRED | 0x77u, NULL};
#elif defined(HOSTILE_EXTENSION_BEHIND)
static const ptp_extension behind = {sizeof(ptp_extension), REQUIRED_EXTENSION, NULL};
static const ptp_extension between = {sizeof(ptp_extension) + 64, 0x12345u, &behind};
static const ptp_extension extension = {sizeof(ptp_extension), 0x77u, &between};
#elif defined(HOSTILE_EXTENSION_ENDLESS)
static const ptp_extension extension = {sizeof(ptp_extension), 0x77u, &extension};
#else
static const ptp_extension extension = {sizeof(ptp_extension), 0x77u, NULL};
#endif

/* Of an earlier header, that ended behind the tables; of a later one, with more behind. */
typedef struct later_plugin_info {
    ptp_plugin_info known;
    void *later[8];
} later_plugin_info;

static const later_plugin_info tables = {{
#if defined(HOSTILE_SMALL)
                                             .size = offsetof(ptp_plugin_info, operator_set),
#elif defined(HOSTILE_LARGE)
                                             .size = sizeof(later_plugin_info),
#else
                                             .size = sizeof(ptp_plugin_info),
#endif
#ifdef HOSTILE_ABI_WRONG
                                             .abi = 7,
#else
                                             .abi = PTP_ABI_VERSION,
#endif
                                             .name = HOSTILE_NAME,
                                             .version = "1.0",
#ifdef HOSTILE_SANITIZED
                                             .sanitizer = "memory",
#else
                                             .sanitizer = PTP_SANITIZER,
#endif
                                             .plugin = &plugin_table.known,
#ifndef HOSTILE_NO_DEVICE_TABLE
                                             .device = &device_table.known,
#endif
#ifndef HOSTILE_NO_EXECUTABLE
                                             .executable = &executable_table,
#endif
                                             .memory = MEMORY_TABLE,
#if defined(HOSTILE_SMALL)
                                             .operator_set = (void *)1, /* beyond its size: not there */
#else
                                             .next = &extension,
#endif
                                         },
                                         {(void *)1, (void *)1}};

/* Headers of other versions: what PTP_DEFINE_PLUGIN makes of them. */
#if defined(HOSTILE_RANGE_0)
#define RANGE
#undef PTP_ABI_OLDEST
#undef PTP_ABI_VERSION
#undef PTP_ABI_ROWS
#define PTP_ABI_OLDEST       0
#define PTP_ABI_VERSION      0
#define PTP_ABI_ROWS(X, ...) X(0, __VA_ARGS__)
#elif defined(HOSTILE_RANGE_1_1)
#define RANGE
#elif defined(HOSTILE_RANGE_1_3)
#define RANGE
#undef PTP_ABI_VERSION
#undef PTP_ABI_ROWS
#define PTP_ABI_VERSION      3
#define PTP_ABI_ROWS(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__)
#elif defined(HOSTILE_RANGE_2_3)
#define RANGE
#undef PTP_ABI_OLDEST
#undef PTP_ABI_VERSION
#undef PTP_ABI_ROWS
#define PTP_ABI_OLDEST       2
#define PTP_ABI_VERSION      3
#define PTP_ABI_ROWS(X, ...) X(2, __VA_ARGS__) X(3, __VA_ARGS__)
#endif

#ifdef RANGE
PTP_DEFINE_PLUGIN(HOSTILE_NAME, "1.0", &plugin_table.known, &device_table.known, &executable_table, NULL, &extension)
#else
#ifdef HOSTILE_NO_SYMBOL
PTP_EXPORT const ptp_plugin_info *another_name(const ptp_query *query);
PTP_EXPORT const ptp_plugin_info *another_name(const ptp_query *query) {
#else
PTP_EXPORT const ptp_plugin_info *partita_plugin_query(const ptp_query *query);
PTP_EXPORT const ptp_plugin_info *partita_plugin_query(const ptp_query *query) {
#endif
#if defined(HOSTILE_NEWER)
    query->refuse(query->self, "come back in a year");
    return NULL;
#elif defined(HOSTILE_SILENT)
    (void)query;
    return NULL;
#else
(void)query;
return &tables.known;
#endif
}
#endif
