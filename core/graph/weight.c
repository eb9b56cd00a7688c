/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mappings and the weights that point into them. A mapping is a file mapped read-only, a file that was read, or memory
 * of the caller; all three look the same to who reads a weight.
 */
#include "graph/weight.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGEST_ALIGNMENT = 64 };

struct pt_mapping {
    _Atomic uint32_t references;
    const void *data;
    uint64_t bytes;
    void *owned; /* memory of pt_malloc; NULL */
    bool mapped; /* data is of mmap */
    int fd;      /* of the mapped file; -1 */
};

static partita_status mapping_new(pt_mapping **out_mapping) {
    pt_mapping *mapping = pt_calloc(1, sizeof *mapping);
    if (!mapping) return PT_OUT_OF_MEMORY();
    atomic_init(&mapping->references, 1);
    mapping->fd = -1;
    *out_mapping = mapping;
    return PARTITA_OK;
}

static partita_status read_all(int fd, const char *path, void *data, uint64_t bytes) {
    for (uint64_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, (char *)data + done, (size_t)(bytes - done), (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return pt_fail(PARTITA_IO, "%s: cannot read: %s", path, strerror(errno));
        if (n == 0) return pt_fail(PARTITA_IO, "%s: became shorter while it was read", path);
        done += (uint64_t)n;
    }
    return PARTITA_OK;
}

partita_status pt_mapping_open_fd(int fd, const char *path, bool read, pt_mapping **out_mapping) {
    struct stat info;
    if (fstat(fd, &info) != 0) return pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return pt_fail(PARTITA_IO, "%s: is no regular file", path);
    if (info.st_size < 0 || (uint64_t)info.st_size > SIZE_MAX) return pt_fail(PARTITA_IO, "%s: is too large", path);
    pt_mapping *mapping = NULL;
    PT_TRY(mapping_new(&mapping));
    partita_status status = PARTITA_OK;
    mapping->bytes = (uint64_t)info.st_size;
    mapping->data = "";
    if (mapping->bytes == 0) goto out;
    if (read) {
        mapping->data = mapping->owned = pt_malloc_aligned((size_t)mapping->bytes, LARGEST_ALIGNMENT);
        if (!mapping->owned) {
            status = PT_OUT_OF_MEMORY();
            goto out;
        }
        PT_CHECK(read_all(fd, path, mapping->owned, mapping->bytes));
        goto out;
    }
    void *memory = mmap(NULL, (size_t)mapping->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) {
        status =
            pt_fail(errno == ENOMEM ? PARTITA_OUT_OF_MEMORY : PARTITA_IO, "%s: cannot map: %s", path, strerror(errno));
        goto out;
    }
    mapping->data = memory;
    mapping->mapped = true;
    mapping->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (mapping->fd < 0) status = pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
out:
    if (status != PARTITA_OK) {
        pt_mapping_release(mapping);
        return status;
    }
    *out_mapping = mapping;
    return PARTITA_OK;
}

partita_status pt_mapping_from_memory(const void *data, uint64_t bytes, bool copy, pt_mapping **out_mapping) {
    if (bytes > SIZE_MAX) return PT_OUT_OF_MEMORY();
    pt_mapping *mapping = NULL;
    PT_TRY(mapping_new(&mapping));
    mapping->bytes = bytes;
    mapping->data = bytes ? data : "";
    if (copy && bytes) {
        mapping->data = mapping->owned = pt_malloc_aligned((size_t)bytes, LARGEST_ALIGNMENT);
        if (!mapping->owned) {
            pt_mapping_release(mapping);
            return PT_OUT_OF_MEMORY();
        }
        memcpy(mapping->owned, data, (size_t)bytes);
    }
    *out_mapping = mapping;
    return PARTITA_OK;
}

const void *pt_mapping_data(const pt_mapping *mapping) { return mapping->data; }
uint64_t pt_mapping_bytes(const pt_mapping *mapping) { return mapping->bytes; }

void pt_mapping_retain(pt_mapping *mapping) {
    if (mapping) atomic_fetch_add_explicit(&mapping->references, 1, memory_order_relaxed);
}

void pt_mapping_release(pt_mapping *mapping) {
    if (!mapping || atomic_fetch_sub_explicit(&mapping->references, 1, memory_order_acq_rel) != 1) return;
    if (mapping->mapped) munmap((void *)(uintptr_t)mapping->data, (size_t)mapping->bytes);
    if (mapping->fd >= 0) close(mapping->fd);
    pt_free(mapping->owned);
    pt_free(mapping);
}

/* ---- weights --------------------------------------------------------------------------------- */

static partita_status weight_new(const void *data, uint64_t bytes, pt_weight **out_weight) {
    static _Atomic uint64_t next_id = 1;
    pt_weight *weight = pt_calloc(1, sizeof *weight);
    if (!weight) return PT_OUT_OF_MEMORY();
    atomic_init(&weight->references, 1);
    weight->id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
    weight->data = data;
    weight->bytes = bytes;
    weight->fd = -1;
    *out_weight = weight;
    return PARTITA_OK;
}

partita_status pt_weight_create_owned(void *data, uint64_t bytes, pt_weight **out_weight) {
    partita_status status = weight_new(data, bytes, out_weight);
    if (status != PARTITA_OK) pt_free(data);
    return status;
}

partita_status pt_weight_create_mapped(pt_mapping *mapping, uint64_t offset, uint64_t bytes, pt_weight **out_weight) {
    if (offset > mapping->bytes || bytes > mapping->bytes - offset) {
        return pt_fail(PARTITA_BAD_MODEL, "bytes %llu to %llu lie beyond the end of the file, which has %llu",
                       (unsigned long long)offset, (unsigned long long)offset + bytes,
                       (unsigned long long)mapping->bytes);
    }
    pt_weight *weight = NULL;
    PT_TRY(weight_new((const char *)mapping->data + offset, bytes, &weight));
    pt_mapping_retain(mapping);
    weight->mapping = mapping;
    weight->fd = mapping->fd;
    weight->fd_offset = offset;
    *out_weight = weight;
    return PARTITA_OK;
}

static void kitchen_destroy(struct pt_kitchen *kitchen);

void pt_weight_retain(pt_weight *weight) {
    if (weight) atomic_fetch_add_explicit(&weight->references, 1, memory_order_relaxed);
}

void pt_weight_release(pt_weight *weight) {
    if (!weight || atomic_fetch_sub_explicit(&weight->references, 1, memory_order_acq_rel) != 1) return;
    if (weight->mapping) {
        pt_mapping_release(weight->mapping);
    } else {
        pt_free((void *)(uintptr_t)weight->data);
    }
    pt_free(weight->aligned);
    kitchen_destroy(weight->recipe);
    pt_free(weight);
}

/* ---- recipes --------------------------------------------------------------------------------- */

/* A recipe and its lock: a weight of its own, since one is made of others while it is held. */
struct pt_kitchen {
    pt_recipe recipe;
    pthread_mutex_t lock;
};

static void kitchen_destroy(struct pt_kitchen *kitchen) {
    if (!kitchen) return;
    if (kitchen->recipe.destroy) kitchen->recipe.destroy(kitchen->recipe.state);
    pthread_mutex_destroy(&kitchen->lock);
    pt_free(kitchen);
}

static partita_status create_made(const pt_recipe *recipe, uint64_t bytes, pt_weight **out_weight) {
    void *data = pt_malloc(bytes ? (size_t)bytes : 1);
    partita_status status = data ? recipe->make(recipe->state, data) : PT_OUT_OF_MEMORY();
    if (recipe->destroy) recipe->destroy(recipe->state);
    if (status == PARTITA_OK) return pt_weight_create_owned(data, bytes, out_weight);
    pt_free(data);
    return status;
}

partita_status pt_weight_create_recipe(const pt_recipe *recipe, uint64_t bytes, pt_weight **out_weight) {
    pt_weight *weight = NULL;
    if (bytes <= PT_WEIGHT_SMALL || bytes > SIZE_MAX) return create_made(recipe, bytes, out_weight);
    struct pt_kitchen *kitchen = pt_calloc(1, sizeof *kitchen);
    partita_status status = kitchen ? weight_new(NULL, bytes, &weight) : PT_OUT_OF_MEMORY();
    if (status != PARTITA_OK) {
        if (recipe->destroy) recipe->destroy(recipe->state);
        pt_free(kitchen);
        return status;
    }
    kitchen->recipe = *recipe;
    pthread_mutex_init(&kitchen->lock, NULL);
    weight->recipe = kitchen;
    *out_weight = weight;
    return PARTITA_OK;
}

/* ---- alignment ------------------------------------------------------------------------------- */

/* Guards `aligned` and `aligned_holders` of every weight that is no recipe: copies are made while parts are compiled,
 * not while they run. */
static pthread_mutex_t aligned_lock = PTHREAD_MUTEX_INITIALIZER;

static pthread_mutex_t *lock_of(const pt_weight *weight) {
    return weight->recipe ? &weight->recipe->lock : &aligned_lock;
}

static partita_status fill_aligned(pt_weight *weight, uint64_t *out_copied) {
    weight->aligned = pt_malloc_aligned(weight->bytes ? (size_t)weight->bytes : 1, LARGEST_ALIGNMENT);
    if (!weight->aligned) return PT_OUT_OF_MEMORY();
    if (!weight->recipe) {
        memcpy(weight->aligned, weight->data, (size_t)weight->bytes);
        if (out_copied) *out_copied += weight->bytes;
        pt_weight_drop_pages(weight);
        return PARTITA_OK;
    }
    partita_status status = weight->recipe->recipe.make(weight->recipe->recipe.state, weight->aligned);
    if (status == PARTITA_OK) return status;
    pt_free(weight->aligned);
    weight->aligned = NULL;
    return status;
}

partita_status pt_weight_align(pt_weight *weight, uint32_t alignment, const void **out_data, uint64_t *out_copied) {
    partita_status status = PARTITA_OK;
    if (!weight->recipe && ((uintptr_t)weight->data & (alignment - 1)) == 0) {
        *out_data = weight->data;
        return PARTITA_OK;
    }
    pthread_mutex_lock(lock_of(weight));
    if (!weight->aligned) PT_CHECK(fill_aligned(weight, out_copied));
    weight->aligned_holders++;
    *out_data = weight->aligned;
out:
    pthread_mutex_unlock(lock_of(weight));
    return status;
}

void pt_weight_unalign(pt_weight *weight, const void *data) {
    if (!data || data == weight->data) return;
    pthread_mutex_lock(lock_of(weight));
    if (--weight->aligned_holders == 0) {
        pt_free(weight->aligned);
        weight->aligned = NULL;
    }
    pthread_mutex_unlock(lock_of(weight));
}

static void drop_pages(const pt_mapping *mapping, const void *data, uint64_t bytes) {
    if (!mapping || !mapping->mapped) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    /* Whole pages only: the first and the last may hold neighbours that are in use. */
    uintptr_t begin = ((uintptr_t)data + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)data + (uintptr_t)bytes) & ~(page - 1);
    if (begin < end) madvise((void *)begin, (size_t)(end - begin), MADV_DONTNEED);
}

void pt_weight_drop_pages(const pt_weight *weight) { drop_pages(weight->mapping, weight->data, weight->bytes); }

void pt_mapping_drop_pages(const pt_mapping *mapping) { drop_pages(mapping, mapping->data, mapping->bytes); }
