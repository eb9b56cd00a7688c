/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boundary between the shared GPU part and one API (OpenCL, Vulkan, CUDA).
 *
 * A thin plugin embeds gpu_device as the first member of its device, fills it when it opens, and gives one
 * gpu_backend_vtable. Everything about operators, shapes and memory planning is on this side of the boundary;
 * everything about an API is on the other. Host-facing memory (ptp_memory_vtable), routes and usage are the thin
 * plugin's own.
 */
#ifndef GPU_BACKEND_H
#define GPU_BACKEND_H

#include <partita/plugin.h>
#include <pthread.h>

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
    uint32_t max_groups[3]; /* groups per axis; 65,535 where the API promises no more */
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

    /* required. As ptp_memory_vtable.alloc and free in domain 0, so that both kinds of buffers bind alike. */
    partita_status (*buffer_alloc)(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer);
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

struct gpu_program_cache; /* programs.c */
struct gpu_weight_pool;   /* weights.c */

/* First member of a thin plugin's ptp_device. The first five are filled by the thin plugin before gpu_device_init. */
struct gpu_device {
    const gpu_backend_vtable *backend;
    const ptp_host *host;
    gpu_caps caps;
    ptp_device_info info;
    void *user;
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

/* Ready-made slots of ptp_device_vtable. */
partita_status gpu_info(ptp_device *device, ptp_device_info *out_info);
partita_status gpu_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers);
partita_status gpu_offer(ptp_device *device, ptp_offer *offer);
partita_status gpu_compile(ptp_device *device, ptp_compile *compile, ptp_executable **out_executable);
/* Fills programs_built and weight_bytes; the rest is the thin plugin's. */
void gpu_usage(gpu_device *device, ptp_usage *usage);
/* The whole executable, for PTP_DEFINE_PLUGIN. */
extern const ptp_executable_vtable gpu_executable_vtable;

/* Formats a message for host->fail; returns code. */
partita_status gpu_fail(const ptp_host *host, partita_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
