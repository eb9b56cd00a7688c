/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the plugin `vulkan`: the loader opened at run time, instances, devices, memory, the queue with its waiter,
 * and pipelines. What is about operators lies in plugins/gpu.
 */
#ifndef VK_VK_H
#define VK_VK_H

#define VK_NO_PROTOTYPES
#include "gpu/backend.h"
#include "gpu/order.h"
#include <stdbool.h>
#include <string.h>
#include <vulkan/vulkan_core.h>

#define VK_MAX_DEVICES 16u
#define VK_SLOTS       8u

/* ==== Loader and instances (instance.c) ========================================================================== */

typedef struct vk_loader {
    void *library;
    PFN_vkGetInstanceProcAddr get;
#define VK_GLOBAL(name) PFN_vk##name name;
#include "vulkan/functions.inc"
} vk_loader;

typedef struct vk_instance {
    const ptp_host *host;
    VkInstance handle;
    VkDebugUtilsMessengerEXT messenger; /* under validation */
    uint32_t count;
    VkPhysicalDevice devices[VK_MAX_DEVICES]; /* those that the plugin can use, in the loader's order */
#define VK_INSTANCE(name) PFN_vk##name name;
#include "vulkan/functions.inc"
} vk_instance;

struct ptp_plugin {
    gpu_plugin gpu; /* first */
    vk_loader loader;
    vk_instance instance;
};

/* PARTITA_DEVICE_ABSENT when there is no libvulkan.so.1. */
partita_status vk_loader_open(const ptp_host *host, vk_loader *out_loader);
void vk_loader_close(vk_loader *loader);
/* PARTITA_DEVICE_ABSENT when no driver has a device. `validation`: with the validation layer, its messages logged as
 * errors. */
partita_status vk_instance_init(const vk_loader *loader, const ptp_host *host, bool validation,
                                vk_instance *out_instance);
void vk_instance_deinit(const vk_loader *loader, vk_instance *instance);

/* ==== What a physical device can (probe.c) ======================================================================= */

typedef struct vk_probe {
    gpu_caps caps;
    ptp_device_info info;
    uint32_t family; /* of queues; UINT32_MAX: the device cannot be used */
    bool unified;    /* all of its memory is the host's too */
    bool push_descriptors;
    bool import_host;
    bool fds; /* memory goes out and in as opaque fds */
    uint64_t import_alignment;
    uint64_t atom;            /* of flushing memory that is not coherent */
    uint32_t max_allocations; /* at once */
    VkPhysicalDeviceMemoryProperties memory;
} vk_probe;

/* Features as they are to be enabled: only what kernels use. Chained: `base` first. */
typedef struct vk_features {
    VkPhysicalDeviceFeatures2 base;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDeviceVulkan12Features v12;
} vk_features;

/* A device that cannot be used is no error: its family says so. */
partita_status vk_probe_read(const vk_instance *instance, VkPhysicalDevice physical, vk_probe *out_probe,
                             vk_features *out_features);
/* Names of the extensions to enable; returns the count, at most 8. */
uint32_t vk_probe_extensions(const vk_probe *probe, const char **out_names);

/* ==== Memory (memory.c, import.c, map.c) ========================================================================= */

/* One allocation with one buffer over all of it. */
typedef struct vk_memory {
    VkBuffer buffer;
    VkDeviceMemory memory;
    void *mapped; /* NULL: the host cannot see it */
    bool coherent;
    uint64_t bytes; /* of the allocation */
} vk_memory;

/* How an allocation is made. */
enum { VK_FOR_DEVICE = 0, VK_FOR_STAGING = 1 };
enum { VK_PLAIN = 0, VK_EXPORTABLE, VK_IMPORT_HOST, VK_IMPORT_FD };

typedef struct vk_request {
    uint32_t use;  /* VK_FOR_* */
    uint32_t kind; /* VK_PLAIN .. VK_IMPORT_FD */
    uint64_t bytes;
    void *address; /* of VK_IMPORT_HOST */
    int fd;        /* of VK_IMPORT_FD: taken over on success */
} vk_request;

/* An allocation that buffers lie in. */
typedef struct vk_block {
    struct vk_block *next;
    vk_memory memory;
    ptp_buffer *first; /* by offset */
    uint64_t base;     /* first offset to give out: there the host's address is a multiple of a page */
    bool shared;       /* several buffers may lie in it */
    uint32_t kind;     /* VK_PLAIN .. */
    int fd;            /* exported; -1 */
} vk_block;

typedef struct vk_mapping {
    struct vk_mapping *next;
    void *data;
    uint64_t offset, bytes;
    uint32_t access;
    vk_memory staging; /* where the host cannot see the buffer */
} vk_mapping;

struct ptp_buffer {
    gpu_buffer gpu; /* first */
    ptp_device *device;
    vk_block *block;
    ptp_buffer *next; /* in the block */
    uint64_t offset;  /* in the block */
    uint64_t room;    /* as taken */
    vk_mapping *mappings;
};

partita_status vk_memory_create(ptp_device *device, const vk_request *request, vk_memory *out_memory);
void vk_memory_destroy(ptp_device *device, vk_memory *memory);
/* Makes the host's writes seen by the device, or the device's by the host. Ranges in bytes of the allocation. */
void vk_memory_flush(ptp_device *device, const vk_memory *memory, uint64_t offset, uint64_t bytes);
void vk_memory_invalidate(ptp_device *device, const vk_memory *memory, uint64_t offset, uint64_t bytes);
/* Before a submission that reads it: what the host wrote into its own memory without a map. NULL is accepted. */
void vk_import_flush(ptp_device *device, const ptp_buffer *buffer, uint64_t offset, uint64_t bytes);
/* A buffer in a block of its own, or among others. */
partita_status vk_buffer_create(ptp_device *device, uint64_t bytes, bool alone, ptp_buffer **out_buffer);
void vk_buffer_destroy(ptp_device *device, ptp_buffer *buffer);
/* Makes a buffer of a block that was imported; takes the block over, also on failure. */
partita_status vk_buffer_adopt(ptp_device *device, vk_block *block, uint64_t offset, uint64_t bytes,
                               ptp_buffer **out_buffer);
/* As gpu_backend_vtable wants them. */
partita_status vk_gpu_buffer_alloc(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer);
partita_status vk_gpu_host_alloc(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer);
void vk_gpu_buffer_free(gpu_device *device, ptp_buffer *buffer);
partita_status vk_gpu_buffer_upload(gpu_device *device, ptp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes);
/* Frees blocks without buffers until at most `keep_bytes` of them are left. */
void vk_blocks_trim(ptp_device *device, uint64_t keep_bytes);
extern const ptp_memory_vtable vk_memory_vtable;

partita_status vk_export(ptp_device *device, ptp_buffer *buffer, uint32_t handle_kind, int64_t *out_handle);
partita_status vk_import(ptp_device *device, uint32_t domain, uint32_t handle_kind, int64_t handle, uint64_t bytes,
                         ptp_buffer **out_buffer);
partita_status vk_route(ptp_device *device, ptp_route *route);
partita_status vk_map(ptp_device *device, ptp_buffer *buffer, uint64_t offset, uint64_t bytes, uint32_t access,
                      void **out_data);
partita_status vk_unmap(ptp_device *device, ptp_buffer *buffer, void *data);
void vk_mappings_free(ptp_device *device, ptp_buffer *buffer);

/* ==== The queue (queue.c, copy.c) ================================================================================ */

/* Bytes that go from staging to the host when the device is done. */
typedef struct vk_download {
    void *target;
    uint64_t offset, bytes;
} vk_download;

/* One submission: a command buffer with what belongs to it, used again when it is complete. */
typedef struct vk_slot {
    struct vk_slot *next;
    VkCommandPool pool;
    VkCommandBuffer commands;
    VkDescriptorPool *descriptors; /* where descriptors cannot be pushed */
    uint32_t descriptor_pools, descriptor_used, descriptor_sets;
    vk_memory staging;
    uint64_t staging_used;
    vk_download *downloads;
    uint32_t download_count, download_capacity;
    uint64_t value;
    uint64_t submitted_ns;
    gpu_completion *completion;
} vk_slot;

typedef struct vk_queue {
    VkQueue handle;
    VkSemaphore timeline;
    pthread_t waiter;
    pthread_mutex_t lock; /* guards what follows, and the queue itself */
    pthread_cond_t freed, filled;
    vk_slot slots[VK_SLOTS];
    vk_slot *free;
    vk_slot *first, *last; /* submitted, in order */
    uint64_t value;        /* of the latest submission */
    uint32_t finishing;    /* submissions taken off the list whose downloads are under way */
    uint64_t idle_since_ns;
    gpu_order order; /* of submissions whose point is not signalled */
    bool running, stopping, lost;
} vk_queue;

partita_status vk_queue_init(ptp_device *device);
void vk_queue_deinit(ptp_device *device);
/* A slot whose command buffer is open, after a barrier against all earlier work. Waits until one is free. */
partita_status vk_slot_acquire(ptp_device *device, vk_slot **out_slot);
/* Hands the slot to the device; `done` is signalled after the points of all earlier ones. On an error the slot is free
 * again. */
partita_status vk_slot_submit(ptp_device *device, vk_slot *slot, ptp_point done, uint64_t *out_value);
/* Gives a slot back unsubmitted. */
void vk_slot_abandon(ptp_device *device, vk_slot *slot);
void vk_slot_barrier(ptp_device *device, vk_slot *slot);
/* Blocks until the submission `value` is complete; 0: until everything submitted so far is. */
partita_status vk_queue_wait(ptp_device *device, uint64_t value);
/* Blocks until the waiter is done with everything submitted, downloads included. */
void vk_queue_drain(ptp_device *device);
partita_status vk_copy(ptp_device *device, const ptp_copy *copies, uint32_t count, ptp_point done);
/* One copy between a buffer and memory that the host sees, waited for. */
partita_status vk_copy_now(ptp_device *device, const vk_memory *source, uint64_t source_offset, const vk_memory *target,
                           uint64_t target_offset, uint64_t bytes);

/* ==== Programs and launches (glsl.c, program.c, submit.c) ======================================================== */

struct gpu_program {
    VkPipeline pipeline;
    uint32_t binding_count;
    uint32_t writes; /* mask of bindings that the kernel may write */
};

/* The compiler's state, by device. */
void vk_glsl_retain(void);
void vk_glsl_release(void);
/* GLSL to SPIR-V; *out_words is freed by host->free. */
partita_status vk_glsl_compile(const ptp_host *host, const char *name, const char *text, uint32_t **out_words,
                               size_t *out_count);
/* Bindings that are not NonWritable, as a mask. */
partita_status vk_spirv_writes(const ptp_host *host, const uint32_t *words, size_t count, uint32_t *out_writes);
partita_status vk_program_create(gpu_device *device, const gpu_source *source, gpu_program **out_program);
void vk_program_destroy(gpu_device *device, gpu_program *program);
partita_status vk_programs_init(ptp_device *device);
void vk_programs_deinit(ptp_device *device);
partita_status vk_submit(gpu_device *device, const gpu_batch *batch);

/* ==== The device (device.c) ====================================================================================== */

struct ptp_device {
    gpu_device gpu; /* first */
    ptp_plugin *plugin;
    const ptp_host *host;
    const vk_instance *instance;
    vk_instance own_instance; /* under validation */
    vk_probe probe;
    VkPhysicalDevice physical;
    VkDevice handle;
    bool host_view; /* buffers are mapped where their memory allows it */
    bool push_descriptors;
    _Atomic uint32_t allocations;
    pthread_mutex_t memory_lock; /* guards blocks, buffer lists and mappings */
    vk_block *blocks;
    vk_queue queue;
    VkPipelineCache pipeline_cache;
    VkDescriptorSetLayout set_layouts[GPU_MAX_BINDINGS + 1];
    VkPipelineLayout layouts[GPU_MAX_BINDINGS + 1];
    uint32_t stage; /* how much of it was made, for closing */
#define VK_DEVICE(name)    PFN_vk##name name;
#define VK_EXTENSION(name) PFN_vk##name name;
#include "vulkan/functions.inc"
};

partita_status vk_device_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                              ptp_device **out_device);
void vk_device_close(ptp_device *device);
#define VK_OPTION_COUNT 4u
extern const ptp_option_row vk_option_rows[VK_OPTION_COUNT];

/* Zeroed memory of the host's; NULL, and the host told. */
void *vk_alloc(const ptp_host *host, uint64_t bytes);
void vk_free(const ptp_host *host, void *block);
/* The status of a result, told to the host with what was tried. */
partita_status vk_check(ptp_device *device, VkResult result, const char *what);
const char *vk_result_name(VkResult result);
uint64_t vk_now_ns(void);

static inline uint64_t vk_align(uint64_t n, uint64_t alignment) { return (n + alignment - 1) / alignment * alignment; }

#endif
