/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boundary between the shared GPU part and one API (OpenCL, Vulkan, CUDA).
 *
 * A thin plugin embeds gpu_device as the first member of its device, fills it when it opens, and gives one
 * gpu_backend_vtable. Everything about operators, shapes and memory planning is on this side of the boundary;
 * everything about an API is on the other. So are copies, maps and routes; what all do alike with plugins, devices and
 * buffers is here.
 */
#ifndef GPU_BACKEND_H
#define GPU_BACKEND_H

#include <partita/plugin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define GPU_MAX_BINDINGS 8u
/* 128 bytes: what every Vulkan device takes as push constants. */
#define GPU_MAX_PARAMS 32u
/* Kernels of fused chains that a device builds before it fuses no more. */
#define GPU_MAX_FUSED 32u

typedef struct gpu_device gpu_device;
typedef struct gpu_program gpu_program; /* of the backend: one compiled kernel */

/* Features that kernels may need, and that claiming asks for. */
enum {
    GPU_HAS_INT64 = 1u, /* arithmetic on 64-bit integers */
    GPU_HAS_INT8 = 2u,  /* buffers of 8-bit elements */
    GPU_HAS_INT16 = 4u, /* buffers of 16-bit elements */
    GPU_HAS_FLOAT64 = 8u,
    GPU_ON_CPU = 16u /* the driver runs on host cores: wide vectors in a work-item, small groups, no tiles in
                        shared memory */
};

typedef struct gpu_caps {
    uint32_t features;      /* GPU_HAS_*, GPU_ON_CPU */
    uint32_t alignment;     /* of offsets of bindings, bytes; a power of two. Equals ptp_domain_info.alignment */
    uint64_t max_binding;   /* bytes that one binding may span; 0: no limit */
    uint64_t max_buffer;    /* largest allocation; 0: no limit */
    uint32_t max_group;     /* work-items of a group; at least 64 */
    uint32_t max_local[3];  /* and per axis; 0: no limit of their own */
    uint32_t max_groups[3]; /* groups per axis; 65,535 where the API promises no more */
    uint32_t max_bindings;  /* buffers that a kernel may bind; 0: no limit */
    uint32_t shared_bytes;  /* shared memory of a group */
    uint32_t subgroup;     /* work-items, 4 or 8, that SHUFFLE joins: a group of as many is one subgroup. 0: unknown, or
                              no gain, as where a load that is alike in all lanes is done once */
    uint32_t vector_width; /* VW of the dialect: 4, or what else the prelude knows (OpenCL: 8). 1: work-items are lanes,
                              and kernels have neighbours load neighbours (the _lanes kernels) */
} gpu_caps;

/* One kernel to build. */
typedef struct gpu_source {
    const char *name;       /* of the kernel function in `text`, "main" in GLSL; also for messages */
    const char *text;       /* complete: head, specialisation macros, prelude, kernel */
    uint32_t local[3];      /* work-items of a group: fixed in the text too */
    uint32_t binding_count; /* buffers 0 .. binding_count - 1 */
} gpu_source;

/* A range of a buffer. `offset` is a multiple of gpu_caps.alignment; `bytes` is what the kernel may touch, never 0. */
typedef struct gpu_binding {
    ptp_buffer *buffer;
    uint64_t offset;
    uint64_t bytes;
} gpu_binding;

/* One kernel launch. Params are words: unsigned, signed or the bits of a float, as the kernel reads them. */
typedef struct gpu_launch {
    gpu_program *program;
    const char *name; /* the kernel, for profiles */
    const gpu_binding *bindings;
    uint32_t binding_count;
    uint32_t param_count;
    const uint32_t *params;
    uint32_t groups[3]; /* groups per axis, all at least 1 */
    uint32_t reserved;
} gpu_launch;

/* All launches of one exec, in order; each sees what the earlier ones wrote. */
typedef struct gpu_batch {
    const gpu_launch *launches;
    uint32_t count; /* may be 0: only `done` is signalled, after earlier work */
    uint32_t reserved;
    ptp_point done; /* signalled through gpu_device.host when all is complete; timeline may be NULL */
    ptp_run *run;
    void **record; /* the backend's own, kept with the instance (a recorded command buffer, a graph): starts
                      as NULL; given to record_free when the instance goes */
} gpu_batch;

typedef struct gpu_backend_vtable {
    const char *name;    /* "opencl" */
    const char *head;    /* text that comes before everything else: GLSL's #version and extensions; "" */
    const char *prelude; /* name of the embedded text that has the macros for this API: "prelude/opencl" */
    const char *entry;   /* NULL: the kernel's own name; "main" in GLSL */

    /* required. Buffers of weights and buffers of the host bind alike. */
    partita_status (*buffer_alloc)(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer);
    /* optional: default is buffer_alloc. For the host, which may export what it gets. */
    partita_status (*host_alloc)(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer);
    /* required. NULL is not given. */
    void (*buffer_free)(gpu_device *device, ptp_buffer *buffer);
    /* required. A weight goes to the device while a part compiles; returns when `data` is no longer needed. Counts as
     * weight bytes, not as a copy. */
    partita_status (*buffer_upload)(gpu_device *device, ptp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes);
    /* required. Thread-safe. On a build error: PARTITA_CANNOT_COMPILE, the compiler's log given to host->fail. */
    partita_status (*program_create)(gpu_device *device, const gpu_source *source, gpu_program **out_program);
    void (*program_destroy)(gpu_device *device, gpu_program *program); /* required. NULL is accepted. */
    /* required. Enqueues in order and starts the work; returns without waiting for it. On an error return `done` is
     * not signalled. Thread-safe. */
    partita_status (*submit)(gpu_device *device, const gpu_batch *batch);
    /* required where `record` is used, else NULL. */
    void (*record_free)(gpu_device *device, void *record);
} gpu_backend_vtable;

struct gpu_program_cache; /* source.c */
struct gpu_weight_pool;   /* storage.c */

/* ==== Plugins (plugin.c) ========================================================================================= */

/* What a thin plugin does itself. */
typedef struct gpu_thin {
    uint64_t plugin_bytes; /* of its ptp_plugin, which starts with a gpu_plugin */
    const ptp_option_row *options;
    uint32_t option_count;
    /* Opens the driver and sets `count`. On an error nothing is left to stop. */
    partita_status (*start)(ptp_plugin *plugin);
    void (*stop)(ptp_plugin *plugin);
    /* `index` is below the count. */
    partita_status (*open)(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                           ptp_device **out_device);
    void (*close)(ptp_device *device);
    partita_status (*describe)(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info);
} gpu_thin;

/* First member of a thin plugin's ptp_plugin. */
typedef struct gpu_plugin {
    const gpu_thin *thin;
    const ptp_host *host;
    uint32_t count; /* of devices that can be opened */
    _Atomic uint32_t open;
} gpu_plugin;

partita_status gpu_plugin_start(const ptp_host *host, const gpu_thin *thin, ptp_plugin **out_plugin);
/* Ready-made slots of ptp_plugin_vtable; `start` is the thin plugin's, with its table. */
partita_status gpu_plugin_stop(ptp_plugin *plugin);
uint32_t gpu_plugin_count(ptp_plugin *plugin);
partita_status gpu_plugin_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                               ptp_device **out_device);
void gpu_plugin_close(ptp_device *device);
partita_status gpu_plugin_peek(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info);
const ptp_option_row *gpu_plugin_options(ptp_plugin *plugin, uint32_t index, uint32_t *out_count);
#define GPU_PLUGIN_SLOTS                                                                                               \
    .size = sizeof(ptp_plugin_vtable), .stop = gpu_plugin_stop, .device_count = gpu_plugin_count,                      \
    .open = gpu_plugin_open, .close = gpu_plugin_close, .peek = gpu_plugin_peek, .options = gpu_plugin_options

/* ==== Devices (device.c) ========================================================================================= */

/* What ptp_usage tells, counted where it happens. */
typedef struct gpu_counts {
    _Atomic uint64_t buffer_bytes, copies, copied_bytes, launches, busy_ns;
} gpu_counts;

/* First member of a thin plugin's ptp_device. The first four are filled by the thin plugin before gpu_device_init. */
struct gpu_device {
    const gpu_backend_vtable *backend;
    const ptp_host *host;
    gpu_caps caps;
    ptp_device_info info;
    gpu_plugin *plugin;
    gpu_counts counts;
    pthread_mutex_t lock; /* guards what follows */
    struct gpu_program_cache *programs;
    struct gpu_weight_pool *weights;
    uint32_t programs_built;
    uint32_t fused_built; /* of them: chains of element-wise steps */
    uint64_t weight_bytes;
};

/* init after the fields above are set; deinit before the backend's own objects go. */
partita_status gpu_device_init(gpu_device *device);
void gpu_device_deinit(gpu_device *device);

/* Ready-made slots of ptp_device_vtable; `route` and `trim` are the thin plugin's. */
partita_status gpu_info(ptp_device *device, ptp_device_info *out_info);
partita_status gpu_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers);
partita_status gpu_offer(ptp_device *device, ptp_offer *offer);
partita_status gpu_compile(ptp_device *device, ptp_compile *compile, ptp_executable **out_executable);
partita_status gpu_cache_need(ptp_device *device, char *text, uint64_t capacity);
partita_status gpu_usage(ptp_device *device, ptp_usage *out_usage);
#define GPU_DEVICE_SLOTS                                                                                               \
    .size = sizeof(ptp_device_vtable), .info = gpu_info, .ask = gpu_ask, .offer = gpu_offer, .compile = gpu_compile,   \
    .cache_need = gpu_cache_need, .usage = gpu_usage
/* The whole executable, for PTP_DEFINE_PLUGIN. */
extern const ptp_executable_vtable gpu_executable_vtable;

/* Formats a message for host->fail; returns code. */
partita_status gpu_fail(const ptp_host *host, partita_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Copies what both sides of the ABI know of a struct; the host's size stays. */
void gpu_struct_out(void *to, const void *from, uint32_t mine);

/* ==== Buffers (memory.c) ========================================================================================= */

/* First member of a thin plugin's ptp_buffer. */
typedef struct gpu_buffer {
    uint64_t bytes; /* as asked for */
    bool counted;   /* in buffer_bytes: allocated by the host */
} gpu_buffer;

/* Ready-made slots of ptp_memory_vtable, over the backend's. */
partita_status gpu_memory_alloc(ptp_device *device, uint32_t domain, uint64_t bytes, ptp_buffer **out_buffer);
void gpu_memory_free(ptp_device *device, ptp_buffer *buffer);
/* One of the host's copies, whose struct may be larger than ours. */
static inline const ptp_copy *gpu_copy_at(const ptp_copy *copies, uint32_t i) {
    return (const ptp_copy *)((const char *)copies + (size_t)i * copies[0].size);
}
/* A copy that has no buffer, or leaves one, is an error. */
partita_status gpu_copy_check(gpu_device *device, const ptp_copy *copy);
void gpu_copy_count(gpu_device *device, const ptp_copy *copies, uint32_t count);

#endif
