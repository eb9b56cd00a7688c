/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a test: counts the bytes that OpenCL and Vulkan are asked to move (Vulkan's memory that the host sees
 * stays mapped: through that nothing is moved but what the staging of a counted copy holds). The plugins find both APIs
 * by dlsym, so that is what is taken over here; what they look up and could move bytes with, but nothing here counts,
 * is counted as unknown. Prototypes are written out, so that no SDK is needed.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Kinds of movement; test_transfers.py reads them in this order. */
enum { CL_READ, CL_WRITE, CL_COPY, CL_MAP, CL_HOST_COPY, VK_COPY, UNKNOWN, KINDS };

static atomic_ullong bytes_moved[KINDS];

static void count(int kind, size_t bytes) { atomic_fetch_add(&bytes_moved[kind], (unsigned long long)bytes); }

__attribute__((visibility("default"))) void intercept_read(uint64_t *out_bytes) {
    for (int i = 0; i < KINDS; i++) out_bytes[i] = atomic_load(&bytes_moved[i]);
}

/* ---- OpenCL ---------------------------------------------------------------------------------- */

typedef int32_t (*cl_transfer_fn)(void *queue, void *buffer, uint32_t blocking, size_t offset, size_t bytes, void *host,
                                  uint32_t waits, const void *wait_list, void *event);
typedef int32_t (*cl_copy_fn)(void *queue, void *from, void *to, size_t from_offset, size_t to_offset, size_t bytes,
                              uint32_t waits, const void *wait_list, void *event);
typedef void *(*cl_map_fn)(void *queue, void *buffer, uint32_t blocking, uint64_t flags, size_t offset, size_t bytes,
                           uint32_t waits, const void *wait_list, void *event, int32_t *code);
typedef void *(*cl_create_fn)(void *context, uint64_t flags, size_t bytes, void *host, int32_t *code);

static cl_transfer_fn real_read, real_write;
static cl_copy_fn real_copy;
static cl_map_fn real_map;
static cl_create_fn real_create;

static int32_t read_buffer(void *queue, void *buffer, uint32_t blocking, size_t offset, size_t bytes, void *host,
                           uint32_t waits, const void *wait_list, void *event) {
    count(CL_READ, bytes);
    return real_read(queue, buffer, blocking, offset, bytes, host, waits, wait_list, event);
}

static int32_t write_buffer(void *queue, void *buffer, uint32_t blocking, size_t offset, size_t bytes, void *host,
                            uint32_t waits, const void *wait_list, void *event) {
    count(CL_WRITE, bytes);
    return real_write(queue, buffer, blocking, offset, bytes, host, waits, wait_list, event);
}

static int32_t copy_buffer(void *queue, void *from, void *to, size_t from_offset, size_t to_offset, size_t bytes,
                           uint32_t waits, const void *wait_list, void *event) {
    count(CL_COPY, bytes);
    return real_copy(queue, from, to, from_offset, to_offset, bytes, waits, wait_list, event);
}

/* Buffers over the host's own memory, by the last that had the handle. */
#define WRAPPED_MOST 1024
static struct {
    void *buffer;
    char *host;
} wrappers[WRAPPED_MOST];
static atomic_uint wrapper_count;

static char *host_memory_of(const void *buffer) {
    char *host = NULL;
    uint32_t known = atomic_load(&wrapper_count);
    for (uint32_t i = 0; i < known && i < WRAPPED_MOST; i++)
        if (wrappers[i].buffer == buffer) host = wrappers[i].host;
    return host;
}

static void *map_buffer(void *queue, void *buffer, uint32_t blocking, uint64_t flags, size_t offset, size_t bytes,
                        uint32_t waits, const void *wait_list, void *event, int32_t *code) {
    char *data = real_map(queue, buffer, blocking, flags, offset, bytes, waits, wait_list, event, code);
    /* memory that wraps the host's own is mapped to say whose turn it is */
    if (!data || data != host_memory_of(buffer) + offset) count(CL_MAP, bytes);
    return data;
}

#define USE_HOST_POINTER  (1u << 3)
#define COPY_HOST_POINTER (1u << 5)

static void *create_buffer(void *context, uint64_t flags, size_t bytes, void *host, int32_t *code) {
    if (flags & COPY_HOST_POINTER) count(CL_HOST_COPY, bytes);
    void *buffer = real_create(context, flags, bytes, host, code);
    uint32_t at = flags & USE_HOST_POINTER && buffer ? atomic_fetch_add(&wrapper_count, 1) : WRAPPED_MOST;
    if (at < WRAPPED_MOST) {
        wrappers[at].host = host;
        wrappers[at].buffer = buffer;
    }
    return buffer;
}

/* ---- Vulkan ---------------------------------------------------------------------------------- */

typedef struct buffer_copy {
    uint64_t from, to, bytes;
} buffer_copy;

typedef void (*any_fn)(void);
typedef any_fn (*get_fn)(void *object, const char *name);
typedef void (*vk_copy_fn)(void *commands, uint64_t from, uint64_t to, uint32_t regions, const buffer_copy *region);

static get_fn real_of_instance, real_of_device;
static vk_copy_fn real_cmd_copy;

static void cmd_copy_buffer(void *commands, uint64_t from, uint64_t to, uint32_t regions, const buffer_copy *region) {
    for (uint32_t i = 0; i < regions; i++) count(VK_COPY, (size_t)region[i].bytes);
    real_cmd_copy(commands, from, to, regions, region);
}

/* ---- looking up ------------------------------------------------------------------------------ */

static any_fn of_instance(void *instance, const char *name);
static any_fn of_device(void *device, const char *name);

static const struct {
    const char *name, *library; /* that it must come from */
    void *ours;
    void *real; /* address of the pointer that holds what it replaces */
} wrapped[] = {
    {"clEnqueueReadBuffer", "libOpenCL", (void *)read_buffer, &real_read},
    {"clEnqueueWriteBuffer", "libOpenCL", (void *)write_buffer, &real_write},
    {"clEnqueueCopyBuffer", "libOpenCL", (void *)copy_buffer, &real_copy},
    {"clEnqueueMapBuffer", "libOpenCL", (void *)map_buffer, &real_map},
    {"clCreateBuffer", "libOpenCL", (void *)create_buffer, &real_create},
    {"vkGetInstanceProcAddr", "libvulkan", (void *)of_instance, &real_of_instance},
    {"vkGetDeviceProcAddr", NULL, (void *)of_device, &real_of_device},
    {"vkCmdCopyBuffer", NULL, (void *)cmd_copy_buffer, &real_cmd_copy},
};

/* Beginnings of functions that move bytes as well; in drivers and layers nobody asks about them. */
static const char *const movers[] = {"clEnqueueRead",    "clEnqueueWrite", "clEnqueueCopy", "clEnqueueMap",
                                     "clEnqueueMigrate", "clEnqueueSVM",   "clCreateImage", "vkCmdCopy",
                                     "vkCmdUpdate",      "vkCmdBlit",      "vkCopyMemory"};

static void *wrap(const char *name, void *found, const char *library) {
    if (!found) return NULL;
    for (size_t i = 0; i < sizeof(wrapped) / sizeof(wrapped[0]); i++) {
        if (strcmp(wrapped[i].name, name) != 0) continue;
        if (library && (!wrapped[i].library || !strstr(library, wrapped[i].library))) continue;
        if (found != wrapped[i].ours) memcpy(wrapped[i].real, &found, sizeof(found));
        return wrapped[i].ours;
    }
    bool ours = !library || strstr(library, "libOpenCL") || strstr(library, "libvulkan");
    for (size_t i = 0; ours && i < sizeof(movers) / sizeof(movers[0]); i++)
        if (strncmp(name, movers[i], strlen(movers[i])) == 0) count(UNKNOWN, 1);
    return found;
}

static any_fn wrap_function(const char *name, any_fn found) {
    void *address, *ours;
    memcpy(&address, &found, sizeof(address));
    ours = wrap(name, address, NULL);
    memcpy(&found, &ours, sizeof(found));
    return found;
}

static any_fn of_instance(void *instance, const char *name) {
    return wrap_function(name, real_of_instance(instance, name));
}

static any_fn of_device(void *device, const char *name) { return wrap_function(name, real_of_device(device, name)); }

static void *(*real_dlsym)(void *library, const char *name);

__attribute__((visibility("default"))) void *dlsym(void *library, const char *name) {
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
    Dl_info info;
    for (size_t i = 0; !real_dlsym && i < sizeof(versions) / sizeof(versions[0]); i++) {
        void *found = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
        memcpy(&real_dlsym, &found, sizeof(found));
    }
    void *found = real_dlsym(library, name);
    if (!found || (strncmp(name, "cl", 2) != 0 && strncmp(name, "vk", 2) != 0)) return found;
    return dladdr(found, &info) && info.dli_fname ? wrap(name, found, info.dli_fname) : found;
}
