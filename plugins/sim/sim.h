/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulated devices: real numbers by the kernels of plugins/cpu in memory of their own, at a declared speed, on lanes
 * of their own. What a test must know of a machine - speed, links, memory, handles, failures - is a key of machine.c.
 *
 * A device has three lanes, each a thread with a queue: compute, copies in, copies out. Work of a later call starts
 * after earlier work that touches the same memory, which is what IN_ORDER promises.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "cpu/program/program.h"

#include <pthread.h>
#include <stdatomic.h>

#define SIM_MOST_DEVICES 16
#define SIM_TEXT         512 /* bytes of a key's text */

/* ---- machine.c ------------------------------------------------------------------------------- */

/* What a device is told to be; the rows of machine.c say what each field means. */
typedef struct sim_config {
    char name[64], resource[SIM_TEXT], memory[SIM_TEXT], ops[SIM_TEXT], not_ops[SIM_TEXT], us[SIM_TEXT];
    char import[SIM_TEXT], export[SIM_TEXT], fail_compile[SIM_TEXT], wrong[SIM_TEXT], trim[SIM_TEXT];
    char decline[SIM_TEXT], bound[SIM_TEXT], fail_code[32];
    double flops_per_us, bytes_per_us, launch_us, copy_us, copy_bytes_per_us, import_us, speed, slow, fuse, hang_us;
    int64_t memory_bytes, max_buffer, max_dim, alignment, import_alignment, async, in_order, all_kinds, serial;
    int64_t fail_exec, fail_exec_count, fail_resize, fail_resize_count, most_elements, hang_exec, hang_resize,
        fail_copy, fail_alloc;
    int64_t lost;
} sim_config;

/* Defaults. */
void sim_config_init(sim_config *config);
/* False when there is no such key or the value isn't of its type; `problem` of `size` bytes gets the text. */
bool sim_config_set(sim_config *config, const char *key, const char *value, char *problem, size_t size);
/* The status that failures of this device have; `own` where it is told nothing else. */
partita_status sim_fail_status(const sim_config *config, partita_status own);
/* True when the call of this number is among `count` (0: all) from the `first` (0: none). */
bool sim_is_among(uint64_t number, int64_t first, int64_t count);
const ptp_option_row *sim_option_rows(uint32_t *out_count);
/* The machine of PARTITA_SIM_MACHINE, else two devices with defaults. */
partita_status sim_machine_read(const ptp_host *host, sim_config *configs, uint32_t *out_count);
/* True when the comma-separated list holds the word. */
bool sim_list_has(const char *list, partita_str word);
/* The number behind "word:" in a list of "word:number"; of "*:number" for other words. False when there is neither. */
bool sim_list_number(const char *list, partita_str word, double *out_number);
/* Bits of the handle kinds in a list: memfd, opaque-fd, dma-buf, host-pointer. */
uint32_t sim_handle_mask(const char *list);

/* ---- objects --------------------------------------------------------------------------------- */

typedef struct sim_resource {
    char name[48];
    pthread_mutex_t lock; /* held while a device on it computes */
    uint64_t free_ns;     /* simulated end of the latest work on it */
} sim_resource;

struct ptp_plugin {
    const ptp_host *host;
    ptp_host program_host; /* the host's table as programs see it: values of a run land in this plugin's memory */
    uint32_t level;        /* of kernels on this machine */
    sim_config configs[SIM_MOST_DEVICES];
    uint32_t count;
    sim_resource resources[SIM_MOST_DEVICES * PTP_MAX_RESOURCES];
    uint32_t resource_count;
    pthread_mutex_t lock; /* of the resources' table */
    atomic_uint open;
};

/* A piece of memory that work reads or writes. `memory`: the inode of shared memory; 0: host addresses. */
typedef struct sim_range {
    uint64_t memory;
    uint64_t begin, end;
    bool write;
} sim_range;

enum { SIM_COMPUTE = 0, SIM_IN = 1, SIM_OUT = 2, SIM_LANES = 3 };

/* One piece of work in a lane. */
typedef struct sim_work {
    struct sim_work *next;          /* in its lane */
    struct sim_work *older, *newer; /* among all pending work of the device, by age */
    ptp_device *device;
    uint32_t lane;
    partita_status (*run)(struct sim_work *work, char *message, size_t size);
    void (*destroy)(struct sim_work *work);
    double us; /* simulated time */
    sim_range *ranges;
    uint32_t range_count;
    ptp_point *waits;
    uint32_t wait_count;
    ptp_point done;
    uint64_t ready_ns; /* simulated time from which it may run: enqueued, or the end of what it waited for */
    bool sync;         /* the caller waits: `finished`, `status` and `message` are for it */
    bool told;         /* its end is being signalled */
    bool finished;
    partita_status status;
    char message[256];
} sim_work;

typedef struct sim_lane {
    pthread_t thread;
    bool started;
    sim_work *first, *last;
    uint64_t free_ns; /* simulated end of its latest work */
} sim_lane;

typedef struct sim_device_counters {
    atomic_uint programs;
    atomic_uint_fast64_t weight_bytes, buffer_bytes, copies, copied_bytes, launches, busy_ns;
    atomic_uint_fast64_t execs, resizes, copy_calls, allocs; /* for failures that count */
} sim_device_counters;

struct ptp_device {
    ptp_plugin *plugin;
    const ptp_host *host;
    sim_config config;
    uint32_t index;
    ptp_device_info info;
    sim_resource *resources[PTP_MAX_RESOURCES]; /* in the order of locking */
    uint32_t resource_count;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    sim_lane lanes[SIM_LANES];
    sim_work *oldest, *newest;
    bool closing;
    sim_device_counters counters;
};

typedef struct sim_mapping {
    struct sim_mapping *next;
    void *data;   /* as given to the host */
    void *base;   /* of the pages */
    size_t bytes; /* of the pages */
} sim_mapping;

struct ptp_buffer {
    ptp_device *device;
    int fd;        /* of the shared memory; -1: an imported host pointer */
    char *address; /* the device's own mapping; the host is never told */
    uint64_t bytes;
    size_t mapped;         /* bytes of `address`; 0 of an imported host pointer */
    uint64_t identity;     /* inode: two buffers of one memory have the same */
    bool own;              /* counts towards the device's memory */
    void *exported;        /* mapping for HOST_POINTER exports; NULL */
    sim_mapping *mappings; /* under the device's lock */
};

/* ---- the rooms ------------------------------------------------------------------------------- */

void sim_info_fill(const sim_config *config, ptp_device_info *out_info);
/* Copies `from` into a struct of the caller whose size is at its front. */
void sim_out(void *to, const void *from, uint32_t size);
bool sim_is_lost(ptp_device *device);

/* ask.c */
partita_status sim_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers);
partita_status sim_offer(ptp_device *device, ptp_offer *offer);
partita_status sim_route(ptp_device *device, ptp_route *route);
/* Simulated time of a node at nominal shapes, without launch. */
double sim_node_us(const sim_config *config, const ptp_block *block, const ptp_node_row *node);

/* memory.c */
extern const ptp_memory_vtable sim_memory_vtable;
/* The device's address of a tensor's bytes; NULL when it has none. */
void *sim_address(const ptp_buffer *buffer, uint64_t offset);
sim_range sim_range_of(const ptp_buffer *buffer, uint64_t offset, uint64_t bytes, bool write);

/* lane.c */
partita_status sim_lanes_start(ptp_device *device);
/* Lets pending work finish and joins the threads. */
void sim_lanes_stop(ptp_device *device);
/* Takes the work over, when this fails too. Of a device that isn't ASYNC it returns when the work is done. */
partita_status sim_enqueue(ptp_device *device, uint32_t lane, sim_work *work);
/* Waits for pending work that touches the range; true when there was any. */
bool sim_wait_range(ptp_device *device, sim_range range);
uint64_t sim_now_ns(void);
/* Sleeps and then spins, to be near the time. */
void sim_sleep_until(uint64_t ns);

/* executable.c */
extern const ptp_executable_vtable sim_executable_vtable;
partita_status sim_compile(ptp_device *device, ptp_compile *compile, ptp_executable **out_executable);
void sim_program_host_init(ptp_plugin *plugin);

#endif
