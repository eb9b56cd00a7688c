/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins and their devices: found by manifest, opened when somebody needs them, negotiated once.
 * Core never knows a plugin by name. Thread-safe.
 */
#ifndef PT_PLUGIN_REGISTRY_H
#define PT_PLUGIN_REGISTRY_H

#include "base/base.h"
#include "base/pool.h"
#include <partita/plugin.h>

typedef struct pt_registry pt_registry;

/* An opened device. The vtables are complete: missing optional slots are NULL, never beyond the plugin's `size`. */
typedef struct pt_device {
    pt_registry *registry;
    struct pt_plugin *plugin;
    const char *name; /* "cpu", "opencl:0" as people write it; of a single device of its kind without ":0" */
    uint32_t index;   /* within the plugin */
    ptp_device_info info;
    ptp_device *handle;
    ptp_device_vtable device;
    ptp_executable_vtable executable;
    ptp_memory_vtable memory; /* zeroed without device memory */
    bool has_memory;
    _Atomic uint32_t stuck;    /* runs whose deadline passed while a call or work of this device has not come back */
    _Atomic uint64_t stuck_ns; /* since when there is one */
} pt_device;

/* What a plugin turned out to be. */
typedef struct pt_plugin {
    pt_registry *registry;
    char *name, *manifest_path, *library_path;
    char *message;         /* why it did not load, or why it has no device; "" when fine */
    partita_status status; /* of loading: OK also when it has no device */
    bool opened;           /* an attempt to load it was made */
    void *library;
    const ptp_plugin_info *info;
    ptp_plugin_vtable vtable;
    ptp_plugin *handle;
    ptp_host *host; /* its services table, with its own fail() context */
    uint32_t device_count;
    struct pt_device_slot *slots; /* peeked info and, once opened, the device */
    /* From the manifest. */
    uint32_t abi_min, abi_max;
    bool lists_devices; /* false: the manifest says nothing about devices, so it may have any kind */
    const char **kinds; /* device kinds it may have */
    uint32_t kind_count;
    const char **fallbacks; /* those of them that have the role FALLBACK */
    uint32_t fallback_count;
    const char **domains; /* operator domains; "ai.onnx" is "" */
    uint32_t domain_count;
    const char *sanitizer;  /* that it was built with; "" */
    struct pt_stray *stray; /* failure texts from the plugin's own threads */
    /* Of its operator set, sorted by domain, name, version. */
    struct pt_schema *operators;
    uint32_t operator_count;
} pt_plugin;

/* Host services that live above this room (values, runs, inference): core/run fills these before plugins are opened. */
typedef struct pt_host_services {
    ptp_host table; /* self and the services of this room are filled in by the registry */
} pt_host_services;

typedef struct pt_registry_options {
    const char *const *paths; /* searched first; then PARTITA_PLUGIN_PATH (colon separated), then the built-in folder:
                                 beside libpartita or the executable (../lib/partita/plugins) */
    uint32_t path_count;
    pt_pool *pool;             /* borrowed, outlives the registry */
    const ptp_host *services;  /* rows above this room; copied */
    const ptp_option *options; /* "DEVICE.KEY" rows; copied */
    uint32_t option_count;
    pt_log_sink log;
} pt_registry_options;

/* Reads manifests; opens nothing. The first manifest of a name wins. */
partita_status pt_registry_create(const pt_registry_options *options, pt_registry **out_registry);
/* Closes devices, stops plugins; libraries stay mapped (no unload at exit, and none while threads may run in them). */
void pt_registry_destroy(pt_registry *registry);

uint32_t pt_registry_plugin_count(const pt_registry *registry);
/* Not opened by this call. Sorted by name. */
pt_plugin *pt_registry_plugin(pt_registry *registry, uint32_t index);
/* Loads the library, negotiates, starts. The status is also kept in the plugin. Once; later calls repeat the answer. */
partita_status pt_plugin_open(pt_plugin *plugin);
/* Opens the device `name` ("opencl", "opencl:1", "cpu", "reference"), loading only plugins whose manifest may have it:
 * a manifest lists device kinds in "devices". DEVICE_ABSENT naming the cause (missing library, no driver, no such
 * device with the list of those there are). */
partita_status pt_registry_device(pt_registry *registry, partita_str name, pt_device **out_device);
/* Info of a plugin's device without opening it; name as people write it. */
partita_status pt_plugin_device_info(pt_plugin *plugin, uint32_t index, ptp_device_info *out_info,
                                     const char **out_name);
/* Option rows of a device that can be set, `index` from 0; false past the last one. The plugin is opened. */
bool pt_plugin_option_row(pt_plugin *plugin, uint32_t device, uint32_t index, ptp_option_row *out_row);
/*
 * The operator's schema in the sets of the plugins whose manifests name its domain, which are opened; NULL when none
 * has it. It lives as long as the registry. A set that does not load is a warning.
 */
partita_status pt_registry_operator(pt_registry *registry, partita_str domain, partita_str name, int64_t version,
                                    const struct pt_schema **out_schema);
/* The device with the role FALLBACK; NULL when no plugin has one. */
pt_device *pt_registry_fallback(pt_registry *registry);

/* For services of the host that failed inside a plugin's call: their message, which is this thread's, is the call's
 * unless the plugin gives one of its own. */
void pt_plugin_keep_message(void);
/*
 * Calls of a device. They serialise where the device is not CONCURRENT, turn a failure's text (ptp_host.fail) into this
 * thread's message with the device's name in front, and turn codes that are no status into INTERNAL.
 */
#define pt_device_call(device_, call_) pt_device_finish((device_), (pt_device_begin(device_), (call_)))
void pt_device_begin(pt_device *device);
partita_status pt_device_finish(pt_device *device, partita_status status);

#endif
