/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights: reference-counted handles to bytes that lie in a mapped file, in the caller's memory, or in memory of their
 * own. The mapping lives as long as any handle into it. Large weights that passes make are recipes: their bytes are
 * made when somebody wants them, and go when nobody does.
 */
#ifndef PT_GRAPH_WEIGHT_H
#define PT_GRAPH_WEIGHT_H

#include "base/base.h"

/* A file or a piece of memory that weights point into. */
typedef struct pt_mapping pt_mapping;

/* How a pass makes a weight of others. */
typedef struct pt_recipe {
    partita_status (*make)(const void *state, void *out_data); /* from any thread; the bytes that were promised */
    void (*destroy)(void *state);
    void *state;
} pt_recipe;

typedef struct pt_weight {
    _Atomic uint32_t references;
    uint64_t id;      /* unique within the process */
    const void *data; /* packed, row-major, little endian; read-only. In a file it may lie at any address: what needs
                         alignment calls pt_weight_align, what reads a few numbers copies them out. NULL for a recipe,
                         which is larger than PT_WEIGHT_SMALL: pt_weight_align makes its bytes */
    uint64_t bytes;
    pt_mapping *mapping;       /* held; NULL: `data` is owned (pt_free) */
    struct pt_kitchen *recipe; /* NULL: the bytes are there */
    int fd;                    /* of the mapping's file; -1 */
    uint64_t fd_offset;
    void *aligned; /* what pt_weight_align copied or made; NULL */
    uint32_t aligned_holders;
} pt_weight;

/* A tensor known before any run. Strings: `offsets` [count + 1] into the weight's bytes. */
typedef struct pt_tensor {
    partita_dtype dtype;
    uint32_t rank;
    const int64_t *dims; /* in the model's arena */
    uint64_t count;
    pt_weight *weight;
    const uint64_t *offsets; /* of strings, in the model's arena; else NULL */
    /* Of a sparse tensor: `weight` holds the values, indices int64 [nnz] or [nnz, rank]; else NULL. */
    struct pt_tensor *sparse_indices;
    uint64_t sparse_nnz;
} pt_tensor;

/* Weight that owns `data`, a block of pt_malloc; freed with the weight, and when this fails too. */
partita_status pt_weight_create_owned(void *data, uint64_t bytes, pt_weight **out_weight);
#define PT_WEIGHT_SMALL 4096u
/*
 * Weight of `bytes` that are made when pt_weight_align is called, or at once when they are at most PT_WEIGHT_SMALL.
 * Takes over the recipe's state, when this fails too.
 */
partita_status pt_weight_create_recipe(const pt_recipe *recipe, uint64_t bytes, pt_weight **out_weight);
/* Weight that points into `mapping` (retained). */
partita_status pt_weight_create_mapped(pt_mapping *mapping, uint64_t offset, uint64_t bytes, pt_weight **out_weight);
void pt_weight_retain(pt_weight *weight);
/*
 * The bytes at an address that is a multiple of `alignment` (a power of two, at most 64): in place where the file gives
 * that, else in a copy that all callers share; *out_copied grows by its bytes when this call made it (NULL is
 * accepted). The copy, or what a recipe made, goes when each caller gave it back, at the latest with the weight. Fails
 * as the recipe does. Thread-safe.
 */
partita_status pt_weight_align(pt_weight *weight, uint32_t alignment, const void **out_data, uint64_t *out_copied);
/* Gives back what pt_weight_align gave. NULL is accepted. */
void pt_weight_unalign(pt_weight *weight, const void *data);
void pt_weight_release(pt_weight *weight);

/* Maps a regular file read-only (`read`: reads it into memory instead). The fd is duplicated where kept. */
partita_status pt_mapping_open_fd(int fd, const char *path, bool read, pt_mapping **out_mapping);
/* Memory of the caller, borrowed for as long as any weight lives, or copied. */
partita_status pt_mapping_from_memory(const void *data, uint64_t bytes, bool copy, pt_mapping **out_mapping);
const void *pt_mapping_data(const pt_mapping *mapping);
uint64_t pt_mapping_bytes(const pt_mapping *mapping);
void pt_mapping_retain(pt_mapping *mapping);
void pt_mapping_release(pt_mapping *mapping);
/* Tells the kernel that these pages are not needed for now; they come back from the file when touched. */
void pt_weight_drop_pages(const pt_weight *weight);
void pt_mapping_drop_pages(const pt_mapping *mapping);

#endif
