/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this room share: the registry itself, slots of devices, and the steps of loading.
 * The registry's lock is recursive and guards everything but the calls of a device.
 */
#ifndef PT_PLUGIN_INTERNAL_H
#define PT_PLUGIN_INTERNAL_H

#include "plugin/registry.h"

#include <pthread.h>

/* A device of a plugin: named and opened when somebody needs it. */
typedef struct pt_device_slot {
    pt_device device;      /* valid when `opened` */
    pthread_mutex_t calls; /* serialises calls of a device that is not CONCURRENT; recursive */
    bool has_calls;
    bool opened;
    bool peeked;     /* `info` is there */
    uint32_t number; /* among the devices of its kind */
    bool numbered;
    char name[48]; /* "" until it's named */
    ptp_device_info info;
} pt_device_slot;

/* The latest failure text that a plugin gave on a thread that is inside no call of it. */
typedef struct pt_stray {
    pthread_mutex_t lock;
    bool set;
    char message[512];
} pt_stray;

struct pt_registry {
    pthread_mutex_t lock;
    pt_arena arena; /* manifests and options */
    pt_pool *pool;
    pt_log_sink log;
    ptp_host services;
    PT_ARRAY(pt_plugin *) plugins;         /* by name */
    PT_ARRAY(pt_plugin *) started;         /* in the order of starting */
    PT_ARRAY(pt_device_slot *) open_slots; /* in the order of opening */
    ptp_option *options;
    uint32_t option_count;
};

/* Names of plugins and of device kinds: 1 to 31 of [a-z0-9_-]. */
bool pt_plugin_name_is_valid(partita_str name);

/* manifest.c: reads every manifest of the search path; a bad one is a plugin that did not load. */
partita_status pt_registry_scan(pt_registry *registry, const pt_registry_options *options);

/* load.c: opens the library and asks for its tables; on success `vtable`, `info` and the tables of devices are there.
 */
partita_status pt_plugin_load(pt_plugin *plugin);
/* Copies a table whatever the writer's size is: what is missing is zero, what is beyond is ignored. */
void pt_table_copy(void *to, uint32_t to_size, const void *from);

/* operator_set.c: checks the rows of the plugin's operator set, if it has one, and makes them schemas. */
partita_status pt_plugin_read_operators(pt_plugin *plugin);

/* host.c: the services table of a plugin. */
partita_status pt_plugin_make_host(pt_plugin *plugin);
void pt_stray_destroy(pt_stray *stray);
/* Brackets a call into a plugin that is no call of a device. `what` goes in front of the message; NULL: nothing. */
void pt_plugin_begin(pt_plugin *plugin);
partita_status pt_plugin_finish(pt_plugin *plugin, const char *what, partita_status status);

/* device.c */
partita_status pt_slot_peek(pt_plugin *plugin, pt_device_slot *slot);
partita_status pt_slot_open(pt_plugin *plugin, pt_device_slot *slot);
void pt_slot_close(pt_plugin *plugin, pt_device_slot *slot);

#endif
