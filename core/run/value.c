/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and freeing values. A value with its dims is one block; bytes are separate, so that they can be borrowed.
 */
#include "run/value.h"
#include "run/context.h"
#include "run/timeline.h"
#include <stdatomic.h>

#define VALUE_ALIGNMENT 64
#define VALUE_MAX_RANK  1024

/* Counts the value's bytes against a budget, once; they are given back with the value. */
static partita_status spend(partita_value *value, pt_budget *budget, uint64_t bytes) {
    if (!budget) return PARTITA_OK;
    PT_TRY(pt_budget_take(budget, bytes));
    pt_budget_retain(budget);
    value->spent = bytes;
    atomic_store(&value->budget, budget);
    return PARTITA_OK;
}

/* The same for what lies in host memory: the struct, and `bytes` beside it. */
static partita_status spend_host(partita_value *value, uint64_t bytes) {
    uint64_t size;
    if (!pt_add_u64(bytes, sizeof(*value) + value->rank * sizeof(int64_t), &size)) return PT_OUT_OF_MEMORY();
    return spend(value, pt_spender_budget(), size);
}

/* Bytes beside the struct. */
static uint64_t bytes_beside(const partita_value *value) {
    uint64_t offsets = value->offsets ? value->count * sizeof(*value->offsets) : 0;
    return value->bytes + offsets + value->item_count * sizeof(*value->items);
}

void pt_value_count_later(partita_value *value) {
    if (!pt_spender_current()) atomic_store(&value->uncounted, true);
}

partita_status pt_value_count(partita_value *value) {
    if (atomic_exchange(&value->uncounted, false)) PT_TRY(spend_host(value, bytes_beside(value)));
    for (uint64_t i = 0; i < value->item_count; i++) PT_TRY(pt_value_count(value->items[i]));
    return PARTITA_OK;
}

void pt_value_give_away(partita_value *value) {
    if (!value) return;
    atomic_store(&value->uncounted, false);
    pt_budget *budget = atomic_exchange(&value->budget, NULL);
    if (budget) pt_budget_give(budget, value->spent);
    pt_budget_release(budget);
    for (uint64_t i = 0; i < value->item_count; i++) pt_value_give_away(value->items[i]);
}

static partita_status create(partita_kind kind, partita_dtype dtype, uint32_t rank, const int64_t *dims,
                             partita_value **out_value) {
    uint64_t count = 1;
    if (rank > VALUE_MAX_RANK) return pt_fail(PARTITA_BAD_INPUT, "rank %u is above %d", rank, VALUE_MAX_RANK);
    if (!pt_dims_count(dims, rank, &count)) return pt_fail(PARTITA_BAD_INPUT, "dims are negative or overflow");
    partita_value *value = pt_calloc(1, sizeof(*value) + rank * sizeof(int64_t));
    if (!value) return PT_OUT_OF_MEMORY();
    atomic_init(&value->references, 1);
    value->kind = kind;
    value->dtype = dtype;
    value->rank = rank;
    value->dims = (int64_t *)(value + 1);
    if (rank) memcpy(value->dims, dims, rank * sizeof(int64_t));
    value->count = count;
    *out_value = value;
    return PARTITA_OK;
}

static partita_status create_sized(partita_dtype dtype, uint32_t rank, const int64_t *dims, partita_value **out_value) {
    partita_value *value;
    if (pt_dtype_bits(dtype) == 0)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "element type %s has no size", pt_dtype_name(dtype));
    PT_TRY(create(PARTITA_KIND_TENSOR, dtype, rank, dims, &value));
    if (!pt_dtype_bytes(dtype, value->count, &value->bytes)) {
        partita_value_release(value);
        return pt_fail(PARTITA_BAD_INPUT, "dims overflow");
    }
    *out_value = value;
    return PARTITA_OK;
}

partita_status pt_value_create_dense(partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                     partita_value **out_value) {
    partita_value *value;
    PT_TRY(create_sized(dtype, rank, dims, &value));
    partita_status status = spend_host(value, value->bytes);
    if (status == PARTITA_OK && value->bytes <= SIZE_MAX - VALUE_ALIGNMENT)
        value->data = pt_malloc_aligned(value->bytes ? (size_t)value->bytes : 1, VALUE_ALIGNMENT);
    if (status == PARTITA_OK && !value->data)
        status = pt_fail(PARTITA_OUT_OF_MEMORY, "out of memory for a tensor of %llu bytes",
                         (unsigned long long)value->bytes);
    if (status != PARTITA_OK) {
        partita_value_release(value);
        return status;
    }
    *out_value = value;
    return PARTITA_OK;
}

partita_status pt_value_create_over(partita_dtype dtype, uint32_t rank, const int64_t *dims, void *data, void *keeper,
                                    partita_value **out_value) {
    partita_value *value;
    partita_status status = create_sized(dtype, rank, dims, &value);
    if (status != PARTITA_OK) {
        pt_free(keeper);
        return status;
    }
    value->storage = PT_STORAGE_BORROWED;
    value->data = data;
    value->keeper = keeper;
    *out_value = value;
    return PARTITA_OK;
}

partita_status pt_value_create_in(pt_device *device, uint32_t domain, pt_budget *budget, partita_dtype dtype,
                                  uint32_t rank, const int64_t *dims, partita_value **out_value) {
    partita_value *value;
    if (domain == PTP_DOMAIN_HOST) return pt_value_create_dense(dtype, rank, dims, out_value);
    PT_TRY(create_sized(dtype, rank, dims, &value));
    value->storage = PT_STORAGE_DEVICE;
    value->device = device;
    value->domain = domain;
    partita_status status = spend(value, budget, value->bytes);
    if (status == PARTITA_OK)
        status = pt_device_call(device,
                                device->memory.alloc(device->handle, domain, PT_MAX(value->bytes, 1), &value->buffer));
    if (status != PARTITA_OK) {
        value->buffer = NULL;
        partita_value_release(value);
        return status;
    }
    *out_value = value;
    return PARTITA_OK;
}

partita_status pt_value_create_text(uint32_t rank, const int64_t *dims, const uint64_t *offsets, const char *bytes,
                                    partita_value **out_value) {
    partita_value *value;
    PT_TRY(create(PARTITA_KIND_TENSOR, PARTITA_STRING, rank, dims, &value));
    for (uint64_t i = 0; i < value->count; i++) {
        if (offsets[i + 1] >= offsets[i]) continue;
        partita_value_release(value);
        return pt_fail(PARTITA_BAD_INPUT, "offsets of strings decrease");
    }
    uint64_t first = value->count ? offsets[0] : 0, end = value->count ? offsets[value->count] : 0;
    value->bytes = end - first;
    uint64_t size;
    partita_status status = PARTITA_OK;
    if (!pt_mul_u64(value->count, sizeof(uint64_t), &size) || !pt_add_u64(size, value->bytes, &size))
        status = PT_OUT_OF_MEMORY();
    if (status == PARTITA_OK) status = spend_host(value, size);
    if (status == PARTITA_OK) {
        value->offsets = pt_calloc((size_t)value->count + 1, sizeof(uint64_t));
        value->data = pt_malloc((size_t)value->bytes + 1);
        if (!value->offsets || !value->data) status = PT_OUT_OF_MEMORY();
    }
    if (status != PARTITA_OK) {
        partita_value_release(value);
        return status;
    }
    for (uint64_t i = 0; i <= value->count && value->count; i++) value->offsets[i] = offsets[i] - first;
    if (value->bytes) memcpy(value->data, bytes + first, (size_t)value->bytes);
    *out_value = value;
    return PARTITA_OK;
}

static partita_status set_items(partita_value *value, partita_value *const *items, uint64_t count) {
    PT_TRY(spend_host(value, count * sizeof(*items)));
    value->items = pt_calloc((size_t)count + 1, sizeof(*value->items));
    if (!value->items) return PT_OUT_OF_MEMORY();
    for (uint64_t i = 0; i < count; i++) {
        partita_value_retain(items[i]);
        value->items[i] = items[i];
    }
    value->item_count = count;
    return PARTITA_OK;
}

static bool sparse_indices_fit(const partita_value *values, const partita_value *indices, uint32_t rank) {
    if (!pt_value_is_dense(values) || values->rank != 1 || !pt_value_is_dense(indices)) return false;
    if (indices->dtype != PARTITA_INT64 || indices->rank < 1 || indices->rank > 2) return false;
    return indices->dims[0] == values->dims[0] && (indices->rank == 1 || indices->dims[1] == (int64_t)rank);
}

partita_status pt_value_create_sparse(uint32_t rank, const int64_t *dims, partita_value *values, partita_value *indices,
                                      partita_value **out_value) {
    partita_value *value;
    if (!values || !indices || !sparse_indices_fit(values, indices, rank))
        return pt_fail(PARTITA_INVALID_ARGUMENT, "a sparse tensor is values [nnz] and int64 indices [nnz] or [nnz, %u]",
                       rank);
    PT_TRY(create(PARTITA_KIND_SPARSE, values->dtype, rank, dims, &value));
    partita_value *items[2] = {values, indices};
    partita_status status = set_items(value, items, 2);
    if (status != PARTITA_OK) {
        partita_value_release(value);
        return status;
    }
    *out_value = value;
    return PARTITA_OK;
}

partita_status pt_value_create_container(partita_kind kind, partita_dtype dtype, partita_value *const *items,
                                         uint64_t count, partita_value **out_value) {
    partita_value *value;
    bool fits = kind == PARTITA_KIND_SEQUENCE || (kind == PARTITA_KIND_OPTIONAL && count <= 1) ||
                (kind == PARTITA_KIND_MAP && count == 2);
    fits = fits && (items || !count);
    for (uint64_t i = 0; fits && i < count; i++) fits = items[i] != NULL;
    if (!fits)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "%llu items do not make this kind of value",
                       (unsigned long long)count);
    PT_TRY(create(kind, count ? items[count - 1]->dtype : dtype, 0, NULL, &value));
    partita_status status = set_items(value, items, count);
    if (status != PARTITA_OK) {
        partita_value_release(value);
        return status;
    }
    *out_value = value;
    return PARTITA_OK;
}

static partita_status create_sparse_constant(const pt_tensor *tensor, partita_value **out_value) {
    partita_value *values = NULL, *indices = NULL;
    int64_t nnz = (int64_t)tensor->sparse_nnz;
    const pt_tensor *places = tensor->sparse_indices;
    partita_status status = pt_value_create_dense(tensor->dtype, 1, &nnz, &values);
    if (status == PARTITA_OK) status = pt_value_create_dense(PARTITA_INT64, places->rank, places->dims, &indices);
    if (status == PARTITA_OK) {
        memcpy(values->data, tensor->weight->data, (size_t)PT_MIN(values->bytes, tensor->weight->bytes));
        memcpy(indices->data, places->weight->data, (size_t)PT_MIN(indices->bytes, places->weight->bytes));
        status = pt_value_create_sparse(tensor->rank, tensor->dims, values, indices, out_value);
    }
    partita_value_release(values);
    partita_value_release(indices);
    return status;
}

partita_status pt_value_create_constant(const pt_tensor *tensor, partita_value **out_value) {
    const void *data;
    if (tensor->sparse_indices) return create_sparse_constant(tensor, out_value);
    if (tensor->dtype == PARTITA_STRING)
        return pt_value_create_text(tensor->rank, tensor->dims, tensor->offsets, tensor->weight->data, out_value);
    PT_TRY(pt_weight_align(tensor->weight, 16, &data, NULL));
    return pt_value_create_over(tensor->dtype, tensor->rank, tensor->dims, (void *)data, NULL, out_value);
}

void pt_value_to_tensor(partita_value *value, ptp_tensor *out_tensor) {
    bool on_device = value->storage == PT_STORAGE_DEVICE;
    bool dense = pt_value_is_dense(value);
    *out_tensor = (ptp_tensor){.size = sizeof(*out_tensor),
                               .kind = value->kind,
                               .dtype = value->dtype,
                               .rank = value->rank,
                               .dims = value->dims,
                               .domain = on_device ? value->domain : PTP_DOMAIN_HOST,
                               .buffer = on_device ? value->buffer : NULL,
                               .data = dense && !on_device ? value->data : NULL,
                               .bytes = dense ? value->bytes : 0,
                               .value = dense ? NULL : pt_value_handle(value)};
}

partita_status pt_value_copy_device(const partita_value *value, void *data, bool to_device) {
    pt_device *device = value->device;
    pt_timeline *timeline;
    if (value->bytes == 0) return PARTITA_OK;
    PT_TRY(pt_timeline_create(&timeline));
    ptp_copy copy = {.size = sizeof(copy), .bytes = value->bytes};
    if (to_device) {
        copy.source_data = data;
        copy.target = value->buffer;
    } else {
        copy.source = value->buffer;
        copy.target_data = data;
    }
    ptp_point done = {pt_timeline_handle(timeline), 1};
    partita_status status = pt_device_call(device, device->memory.copy(device->handle, &copy, 1, done));
    if (status == PARTITA_OK) status = pt_timeline_wait(timeline, 1, 0);
    pt_timeline_destroy(timeline);
    return status;
}

void partita_value_retain(partita_value *value) {
    if (value) atomic_fetch_add_explicit(&value->references, 1, memory_order_relaxed);
}

void partita_value_release(partita_value *value) {
    if (!value || atomic_fetch_sub_explicit(&value->references, 1, memory_order_acq_rel) != 1) return;
    for (uint64_t i = 0; i < value->item_count; i++) partita_value_release(value->items[i]);
    pt_free(value->items);
    pt_free(value->offsets);
    pt_free(value->keeper);
    if (value->storage == PT_STORAGE_OWNED) pt_free(value->data);
    if (value->buffer) {
        pt_device_begin(value->device);
        value->device->memory.free(value->device->handle, value->buffer);
        pt_device_finish(value->device, PARTITA_OK);
    }
    pt_budget *budget = atomic_load_explicit(&value->budget, memory_order_relaxed);
    if (budget) pt_budget_give(budget, value->spent);
    pt_budget_release(budget);
    if (value->context) partita_context_destroy(value->context);
    pt_free(value);
}
