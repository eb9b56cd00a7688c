/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host memory, with a switch by which tests make the k-th allocation fail.
 */
#include "base/base.h"

#include <stdatomic.h>
#include <stdlib.h>

static _Atomic int64_t allowed = -1; /* allocations until the failure; < 0: none fails */
static atomic_bool only_once;
static _Atomic uint64_t asked, failures;

void pt_alloc_fail_after(int64_t k, bool once) {
    atomic_store(&only_once, once);
    atomic_store(&asked, 0);
    atomic_store(&allowed, k < 0 ? -1 : k);
}

uint64_t pt_alloc_count(void) { return atomic_load(&asked); }
uint64_t pt_alloc_failures(void) { return atomic_load_explicit(&failures, memory_order_relaxed); }

/* A single block of more is a size that came from bad input; sanitizers abort on it instead of returning NULL. */
#define MOST_BYTES (SIZE_MAX / 2 < (UINT64_C(1) << 39) ? SIZE_MAX / 2 : (size_t)(UINT64_C(1) << 39))

static bool may_allocate(size_t bytes) {
    if (bytes > MOST_BYTES) return false;
    atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
    int64_t left = atomic_load_explicit(&allowed, memory_order_relaxed);
    while (left >= 0) {
        if (left == 0 && !atomic_load(&only_once)) return false;
        if (atomic_compare_exchange_weak(&allowed, &left, left - 1)) return left > 0;
    }
    return true;
}

/* A block of zero bytes is still a block: NULL means that memory is out. */
static size_t at_least_one(size_t bytes) { return bytes ? bytes : 1; }

static void *counted(void *block) {
    if (!block) atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
    return block;
}

void *pt_malloc(size_t bytes) { return counted(may_allocate(bytes) ? malloc(at_least_one(bytes)) : NULL); }

void *pt_calloc(size_t count, size_t bytes) {
    size_t size;
    if (!pt_mul_size(count, bytes, &size)) return counted(NULL);
    return counted(may_allocate(size) ? calloc(1, at_least_one(size)) : NULL);
}

void *pt_realloc_array(void *old, size_t count, size_t bytes) {
    size_t size;
    if (!pt_mul_size(count, bytes, &size)) return counted(NULL);
    return counted(may_allocate(size) ? realloc(old, at_least_one(size)) : NULL);
}

void *pt_malloc_aligned(size_t bytes, size_t alignment) {
    void *block = NULL;
    bool made =
        may_allocate(bytes) && posix_memalign(&block, PT_MAX(alignment, sizeof(void *)), at_least_one(bytes)) == 0;
    return counted(made ? block : NULL);
}

void pt_free(void *block) { free(block); }
