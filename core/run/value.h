/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of every kind at run time: reference-counted, immutable in shape. partita_value of the application's API and
 * ptp_value of the plugin ABI are this one struct. What a thread makes for a spender (base/budget.h) spends its budget.
 */
#ifndef PT_RUN_VALUE_H
#define PT_RUN_VALUE_H

#include "base/budget.h"
#include "graph/model.h"
#include "plugin/registry.h"
#include <partita/partita.h>

/* Whose the bytes of a dense tensor or a string tensor are. */
typedef enum pt_storage {
    PT_STORAGE_OWNED,    /* pt_free */
    PT_STORAGE_BORROWED, /* the caller's, or of `keeper` */
    PT_STORAGE_DEVICE    /* `buffer` of `device` */
} pt_storage;

struct partita_value {
    _Atomic uint32_t references;
    partita_kind kind;
    partita_dtype dtype;
    uint32_t rank;
    int64_t *dims;  /* behind the struct */
    uint64_t count; /* elements of a tensor */
    pt_storage storage;
    void *data; /* dense: packed; strings: the bytes. NULL on a device */
    uint64_t bytes;
    uint64_t *offsets; /* strings: [count + 1], owned */
    pt_device *device;
    uint32_t domain;
    ptp_buffer *buffer;
    partita_context *context;     /* kept alive by a value on a device; NULL */
    struct partita_value **items; /* sequence, optional, map; sparse: values, indices. Retained */
    uint64_t item_count;
    void *keeper;                /* pt_free'd with the value: what borrowed bytes lie in; NULL */
    _Atomic(pt_budget *) budget; /* that it spends until it is free, or given away; held. NULL */
    uint64_t spent;
    _Atomic bool uncounted; /* made by a plugin on a thread of its own: no budget has heard of it yet */
};

static inline ptp_value *pt_value_handle(partita_value *value) { return (ptp_value *)value; }
static inline partita_value *pt_value_from_handle(const ptp_value *value) { return (partita_value *)value; }

/* Dense tensor in host memory, uninitialised, aligned to 64 bytes. BAD_INPUT for dims that overflow. */
partita_status pt_value_create_dense(partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                     partita_value **out_value);
/* Dense tensor over bytes of somebody else. `keeper` is freed with the value, when this fails too; NULL for none. */
partita_status pt_value_create_over(partita_dtype dtype, uint32_t rank, const int64_t *dims, void *data, void *keeper,
                                    partita_value **out_value);
/* Dense tensor in `domain` of a device, uninitialised. `budget`: of the device's memory, which it spends; NULL. */
partita_status pt_value_create_in(pt_device *device, uint32_t domain, pt_budget *budget, partita_dtype dtype,
                                  uint32_t rank, const int64_t *dims, partita_value **out_value);
/* Strings; offsets [count + 1] and bytes are copied. */
partita_status pt_value_create_text(uint32_t rank, const int64_t *dims, const uint64_t *offsets, const char *bytes,
                                    partita_value **out_value);
partita_status pt_value_create_sparse(uint32_t rank, const int64_t *dims, partita_value *values, partita_value *indices,
                                      partita_value **out_value);
partita_status pt_value_create_container(partita_kind kind, partita_dtype dtype, partita_value *const *items,
                                         uint64_t count, partita_value **out_value);
/* A constant of the model, borrowed: numbers in place, strings and sparse ones as values of their own. */
partita_status pt_value_create_constant(const pt_tensor *tensor, partita_value **out_value);

/* The value and its items spend nobody's budget any more: they are the application's. */
void pt_value_give_away(partita_value *value);
/* For a value that a plugin made: it is counted when a run takes it, if this thread works for nobody. */
void pt_value_count_later(partita_value *value);
/* Counts what was left for later, items included, against this thread's budget. */
partita_status pt_value_count(partita_value *value);

/* The view that crosses the ABI; borrows from the value. */
void pt_value_to_tensor(partita_value *value, ptp_tensor *out_tensor);
/* True for a dense tensor of numbers. */
static inline bool pt_value_is_dense(const partita_value *value) {
    return value->kind == PARTITA_KIND_TENSOR && value->dtype != PARTITA_STRING;
}
/* Copies between host memory and a dense tensor on a device, and waits. */
partita_status pt_value_copy_device(const partita_value *value, void *data, bool to_device);

#endif
