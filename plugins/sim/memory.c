/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of a simulated device: shared memory that the device maps for itself at an address the host is never told.
 * What map() gives is another mapping, gone with unmap(), so that a host access outside of it faults.
 */
#include "sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static size_t page_align(uint64_t bytes) {
    size_t page = page_bytes();
    return bytes == 0 ? page : (size_t)((bytes + page - 1) & ~(uint64_t)(page - 1));
}

void *sim_address(const ptp_buffer *buffer, uint64_t offset) { return buffer ? buffer->address + offset : NULL; }

sim_range sim_range_of(const ptp_buffer *buffer, uint64_t offset, uint64_t bytes, bool write) {
    uint64_t begin = buffer->fd < 0 ? (uint64_t)(uintptr_t)buffer->address + offset : offset;
    return (sim_range){buffer->identity, begin, begin + bytes, write};
}

/* ---- buffers --------------------------------------------------------------------------------- */

static void memory_free(ptp_device *device, ptp_buffer *buffer) {
    (void)device;
    if (!buffer) return;
    if (buffer->address && sim_wait_range(buffer->device, sim_range_of(buffer, 0, buffer->bytes, true))) {
        buffer->device->host->log(buffer->device->host->self, PARTITA_LOG_ERROR,
                                  "sim-free: a buffer is freed while work that uses it is under way");
    }
    while (buffer->mappings) {
        sim_mapping *mapping = buffer->mappings;
        buffer->mappings = mapping->next;
        munmap(mapping->base, mapping->bytes);
        cpu_free(buffer->device->host, mapping);
    }
    if (buffer->exported) munmap(buffer->exported, buffer->mapped);
    if (buffer->mapped) munmap(buffer->address, buffer->mapped);
    if (buffer->fd >= 0) close(buffer->fd);
    if (buffer->own) atomic_fetch_sub(&buffer->device->counters.buffer_bytes, buffer->bytes);
    cpu_free(buffer->device->host, buffer);
}

/* Maps the buffer's file for the device and learns whose memory it is. */
static partita_status map_for_device(ptp_buffer *buffer) {
    const ptp_host *host = buffer->device->host;
    size_t bytes = page_align(buffer->bytes);
    struct stat info;
    void *address;
    if (fstat(buffer->fd, &info) != 0 || (uint64_t)info.st_size < buffer->bytes) {
        return cpu_fail(host, PARTITA_INVALID_ARGUMENT, "the handle's memory is smaller than %llu bytes",
                        (unsigned long long)buffer->bytes);
    }
    address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->fd, 0);
    if (address == MAP_FAILED) {
        return cpu_fail(host, PARTITA_OUT_OF_MEMORY, "mmap of %llu bytes: %s", (unsigned long long)buffer->bytes,
                        strerror(errno));
    }
    buffer->address = address;
    buffer->mapped = bytes;
    buffer->identity = (uint64_t)info.st_ino;
    return PARTITA_OK;
}

/* Counts the bytes if the device's memory has them. */
static partita_status reserve(ptp_device *device, uint64_t bytes) {
    const sim_config *config = &device->config;
    uint64_t used =
        atomic_fetch_add(&device->counters.buffer_bytes, bytes) + atomic_load(&device->counters.weight_bytes);
    if (config->memory_bytes &&
        (bytes > (uint64_t)config->memory_bytes || used > (uint64_t)config->memory_bytes - bytes)) {
        atomic_fetch_sub(&device->counters.buffer_bytes, bytes);
        return cpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "%llu bytes asked for, %llu of %lld in use",
                        (unsigned long long)bytes, (unsigned long long)used, (long long)config->memory_bytes);
    }
    return PARTITA_OK;
}

static partita_status memory_alloc(ptp_device *device, uint32_t domain, uint64_t bytes, ptp_buffer **out_buffer) {
    const sim_config *config = &device->config;
    uint64_t number = atomic_fetch_add(&device->counters.allocs, 1) + 1;
    ptp_buffer *buffer;
    partita_status status;
    *out_buffer = NULL;
    if (sim_is_lost(device)) return PARTITA_DEVICE_LOST;
    if (domain != 0) return cpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "there is no memory domain %u", domain);
    if (config->fail_alloc && number == (uint64_t)config->fail_alloc) {
        return cpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "allocation %llu fails as described",
                        (unsigned long long)number);
    }
    if (config->max_buffer && bytes > (uint64_t)config->max_buffer) {
        return cpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "a buffer has at most %lld bytes",
                        (long long)config->max_buffer);
    }
    buffer = cpu_alloc(device->host, sizeof(*buffer));
    if (!buffer) return PARTITA_OUT_OF_MEMORY;
    buffer->device = device;
    buffer->fd = -1;
    status = reserve(device, bytes);
    if (status == PARTITA_OK) {
        buffer->own = true;
        buffer->bytes = bytes;
        buffer->fd = memfd_create("partita-sim", MFD_CLOEXEC);
        if (buffer->fd < 0 || ftruncate(buffer->fd, (off_t)page_align(bytes)) != 0) {
            status = cpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "shared memory of %llu bytes: %s",
                              (unsigned long long)bytes, strerror(errno));
        } else {
            status = map_for_device(buffer);
        }
    }
    if (status != PARTITA_OK) {
        memory_free(device, buffer);
        return status;
    }
    *out_buffer = buffer;
    return PARTITA_OK;
}

/* ---- copies ---------------------------------------------------------------------------------- */

typedef struct copy_work {
    sim_work work;
    uint32_t count;
    bool fails;
    uint64_t bytes;
    struct {
        void *to;
        const void *from;
        uint64_t bytes;
    } rows[];
} copy_work;

static partita_status copy_run(sim_work *work, char *message, size_t size) {
    copy_work *copy = (copy_work *)work;
    sim_device_counters *counters = &work->device->counters;
    if (copy->fails) {
        snprintf(message, size, "the copy fails as described");
        return PARTITA_DEVICE_FAILED;
    }
    for (uint32_t i = 0; i < copy->count; i++) {
        if (copy->rows[i].bytes) memmove(copy->rows[i].to, copy->rows[i].from, (size_t)copy->rows[i].bytes);
    }
    atomic_fetch_add(&counters->copies, copy->count);
    atomic_fetch_add(&counters->copied_bytes, copy->bytes);
    return PARTITA_OK;
}

static void copy_destroy(sim_work *work) {
    const ptp_host *host = work->device->host;
    cpu_free(host, work->ranges);
    cpu_free(host, work);
}

static bool side_fits(const ptp_buffer *buffer, uint64_t offset, uint64_t bytes) {
    return !buffer || (offset <= buffer->bytes && bytes <= buffer->bytes - offset);
}

static partita_status memory_copy(ptp_device *device, const ptp_copy *copies, uint32_t count, ptp_point done) {
    const sim_config *config = &device->config;
    uint32_t stride = count ? copies->size : 0, lane = SIM_IN;
    uint64_t number = atomic_fetch_add(&device->counters.copy_calls, 1) + 1;
    copy_work *work;
    if (sim_is_lost(device)) return PARTITA_DEVICE_LOST;
    work = cpu_alloc(device->host, sizeof(*work) + (uint64_t)count * sizeof(work->rows[0]));
    if (!work) return PARTITA_OUT_OF_MEMORY;
    work->work = (sim_work){.device = device, .run = copy_run, .destroy = copy_destroy, .done = done};
    work->count = count;
    work->fails = config->fail_copy && number == (uint64_t)config->fail_copy;
    work->work.ranges = cpu_alloc(device->host, 2 * (uint64_t)count * sizeof(sim_range));
    if (!work->work.ranges) {
        copy_destroy(&work->work);
        return PARTITA_OUT_OF_MEMORY;
    }
    for (uint32_t i = 0; i < count; i++) {
        const ptp_copy *copy = (const ptp_copy *)(const void *)((const char *)copies + (size_t)i * stride);
        if (!side_fits(copy->source, copy->source_offset, copy->bytes) ||
            !side_fits(copy->target, copy->target_offset, copy->bytes)) {
            copy_destroy(&work->work);
            return cpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "copy %u reaches beyond its buffer", i);
        }
        work->rows[i].from = copy->source ? sim_address(copy->source, copy->source_offset) : copy->source_data;
        work->rows[i].to = copy->target ? sim_address(copy->target, copy->target_offset) : copy->target_data;
        work->rows[i].bytes = copy->bytes;
        work->bytes += copy->bytes;
        work->work.us += config->copy_us;
        if (config->copy_bytes_per_us > 0) work->work.us += (double)copy->bytes / config->copy_bytes_per_us;
        if (copy->source) {
            work->work.ranges[work->work.range_count++] =
                sim_range_of(copy->source, copy->source_offset, copy->bytes, false);
        }
        if (copy->target) {
            work->work.ranges[work->work.range_count++] =
                sim_range_of(copy->target, copy->target_offset, copy->bytes, true);
        } else {
            lane = SIM_OUT;
        }
    }
    return sim_enqueue(device, lane, &work->work);
}

/* ---- map ------------------------------------------------------------------------------------- */

static partita_status memory_map(ptp_device *device, ptp_buffer *buffer, uint64_t offset, uint64_t bytes,
                                 uint32_t access, void **out_data) {
    size_t page = page_bytes();
    uint64_t begin = offset & ~(uint64_t)(page - 1);
    int protection = (access & PTP_MAP_READ ? PROT_READ : 0) | (access & PTP_MAP_WRITE ? PROT_READ | PROT_WRITE : 0);
    sim_mapping *mapping;
    *out_data = NULL;
    if (!side_fits(buffer, offset, bytes)) {
        return cpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "the range reaches beyond the buffer");
    }
    sim_wait_range(device, sim_range_of(buffer, offset, bytes, true));
    if (sim_is_lost(device)) return PARTITA_DEVICE_LOST;
    if (buffer->fd < 0) {
        *out_data = buffer->address + offset;
        return PARTITA_OK;
    }
    mapping = cpu_alloc(device->host, sizeof(*mapping));
    if (!mapping) return PARTITA_OUT_OF_MEMORY;
    mapping->bytes = page_align(offset + bytes - begin);
    mapping->base = mmap(NULL, mapping->bytes, protection, MAP_SHARED, buffer->fd, (off_t)begin);
    if (mapping->base == MAP_FAILED) {
        cpu_free(device->host, mapping);
        return cpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "map of %llu bytes: %s", (unsigned long long)bytes,
                        strerror(errno));
    }
    mapping->data = (char *)mapping->base + (offset - begin);
    pthread_mutex_lock(&device->lock);
    mapping->next = buffer->mappings;
    buffer->mappings = mapping;
    pthread_mutex_unlock(&device->lock);
    *out_data = mapping->data;
    return PARTITA_OK;
}

static partita_status memory_unmap(ptp_device *device, ptp_buffer *buffer, void *data) {
    sim_mapping **link = &buffer->mappings;
    sim_mapping *mapping;
    if (buffer->fd < 0) return PARTITA_OK;
    pthread_mutex_lock(&device->lock);
    while (*link && (*link)->data != data) link = &(*link)->next;
    mapping = *link;
    if (mapping) *link = mapping->next;
    pthread_mutex_unlock(&device->lock);
    if (!mapping) return cpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "the address is no mapping of the buffer");
    munmap(mapping->base, mapping->bytes);
    cpu_free(device->host, mapping);
    return PARTITA_OK;
}

/* ---- handles --------------------------------------------------------------------------------- */

static partita_status export_pointer(ptp_device *device, ptp_buffer *buffer, int64_t *out_handle) {
    partita_status status = PARTITA_OK;
    void *address = buffer->fd < 0 ? buffer->address : NULL;
    pthread_mutex_lock(&device->lock);
    if (!address && !buffer->exported) {
        void *mapped = mmap(NULL, buffer->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->fd, 0);
        if (mapped == MAP_FAILED)
            status = PARTITA_OUT_OF_MEMORY;
        else
            buffer->exported = mapped;
    }
    if (!address) address = buffer->exported;
    pthread_mutex_unlock(&device->lock);
    if (status != PARTITA_OK) return cpu_fail(device->host, status, "no address for the exported buffer");
    *out_handle = (int64_t)(intptr_t)address;
    return PARTITA_OK;
}

static partita_status memory_export(ptp_device *device, ptp_buffer *buffer, uint32_t handle_kind, int64_t *out_handle) {
    bool pointer = handle_kind == PTP_HANDLE_HOST_POINTER;
    if (handle_kind >= PTP_HANDLE_COUNT || !(device->info.domains[0].export_mask & 1u << handle_kind) ||
        (buffer->fd < 0 && !pointer)) {
        return cpu_fail(device->host, PARTITA_UNSUPPORTED, "handles of kind %u are not exported", handle_kind);
    }
    if (pointer) return export_pointer(device, buffer, out_handle);
    *out_handle = buffer->fd;
    return PARTITA_OK;
}

static partita_status memory_import(ptp_device *device, uint32_t domain, uint32_t handle_kind, int64_t handle,
                                    uint64_t bytes, ptp_buffer **out_buffer) {
    const ptp_domain_info *info = &device->info.domains[0];
    partita_status status = PARTITA_OK;
    ptp_buffer *buffer;
    *out_buffer = NULL;
    if (domain != 0 || handle_kind >= PTP_HANDLE_COUNT || !(info->import_mask & 1u << handle_kind)) {
        return cpu_fail(device->host, PARTITA_UNSUPPORTED, "handles of kind %u are not imported", handle_kind);
    }
    buffer = cpu_alloc(device->host, sizeof(*buffer));
    if (!buffer) return PARTITA_OUT_OF_MEMORY;
    buffer->device = device;
    buffer->bytes = bytes;
    buffer->fd = -1;
    if (handle_kind == PTP_HANDLE_HOST_POINTER) {
        buffer->address = (char *)(intptr_t)handle;
        if (((uint64_t)handle | bytes) & (info->import_alignment - 1u)) {
            status = cpu_fail(device->host, PARTITA_INVALID_ARGUMENT,
                              "address and size of an imported pointer are multiples of %u", info->import_alignment);
        }
    } else {
        buffer->fd = fcntl((int)handle, F_DUPFD_CLOEXEC, 0);
        if (buffer->fd < 0) {
            status =
                cpu_fail(device->host, PARTITA_INVALID_ARGUMENT, "the handle is no open file: %s", strerror(errno));
        } else {
            status = map_for_device(buffer);
        }
    }
    if (status != PARTITA_OK) {
        memory_free(device, buffer);
        return status;
    }
    *out_buffer = buffer;
    return PARTITA_OK;
}

const ptp_memory_vtable sim_memory_vtable = {
    .size = sizeof(ptp_memory_vtable),
    .alloc = memory_alloc,
    .free = memory_free,
    .copy = memory_copy,
    .map = memory_map,
    .unmap = memory_unmap,
    .export_handle = memory_export,
    .import_handle = memory_import,
};
