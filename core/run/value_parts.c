/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slices, stacks and scalars of host tensors.
 */
#include "run/value_parts.h"

static uint64_t product(const int64_t *dims, uint32_t begin, uint32_t end) {
    uint64_t count = 1;
    for (uint32_t i = begin; i < end; i++) count *= (uint64_t)dims[i];
    return count;
}

static partita_status check_bytes(const partita_value *value) {
    if (value->kind == PARTITA_KIND_TENSOR && value->storage != PT_STORAGE_DEVICE && pt_dtype_bits(value->dtype) >= 8)
        return PARTITA_OK;
    return pt_fail(PARTITA_UNSUPPORTED, "a tensor of %s cannot be cut or stacked", pt_dtype_name(value->dtype));
}

static void dims_without(const partita_value *value, uint32_t axis, int64_t *dims) {
    for (uint32_t i = 0, at = 0; i < value->rank; i++)
        if (i != axis) dims[at++] = value->dims[i];
}

partita_status pt_value_slice(const partita_value *value, uint32_t axis, int64_t index, partita_value **out_value) {
    partita_status status = PARTITA_OK;
    if (axis >= value->rank || index < 0 || index >= value->dims[axis])
        return pt_fail(PARTITA_BAD_INPUT, "element %lld of axis %u does not exist", (long long)index, axis);
    int64_t *dims = pt_calloc(value->rank, sizeof(*dims));
    if (!dims) return PT_OUT_OF_MEMORY();
    dims_without(value, axis, dims);
    if (value->dtype == PARTITA_STRING && axis == 0) {
        uint64_t step = product(value->dims, 1, value->rank);
        status = pt_value_create_text(value->rank - 1, dims, value->offsets + (uint64_t)index * step, value->data,
                                      out_value);
        goto out;
    }
    PT_CHECK(check_bytes(value));
    partita_value *made;
    PT_CHECK(pt_value_create_dense(value->dtype, value->rank - 1, dims, &made));
    uint64_t outer = product(value->dims, 0, axis), length = (uint64_t)value->dims[axis];
    size_t inner = (size_t)(product(value->dims, axis + 1, value->rank) * pt_dtype_bits(value->dtype) / 8);
    for (uint64_t i = 0; i < outer && inner; i++)
        memcpy((char *)made->data + i * inner, (const char *)value->data + (i * length + (uint64_t)index) * inner,
               inner);
    *out_value = made;
out:
    pt_free(dims);
    return status;
}

static bool same_shape(const partita_value *a, const partita_value *b) {
    return a->kind == b->kind && a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->dims, b->dims, a->rank * sizeof(int64_t)) == 0;
}

static partita_status stack_strings(partita_value *const *items, uint64_t count, uint32_t rank, const int64_t *dims,
                                    partita_value **out_value) {
    partita_status status = PARTITA_OK;
    uint64_t each = count ? items[0]->count : 0, bytes = 0, at = 0;
    for (uint64_t i = 0; i < count; i++) bytes += items[i]->bytes;
    uint64_t *offsets = pt_calloc((size_t)(each * count) + 1, sizeof(*offsets));
    char *text = pt_malloc((size_t)bytes + 1);
    if (!offsets || !text) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint64_t i = 0; i < count; i++) {
        memcpy(text + at, items[i]->data, (size_t)items[i]->bytes);
        for (uint64_t k = 0; k < each; k++) offsets[i * each + k + 1] = at + items[i]->offsets[k + 1];
        at += items[i]->bytes;
    }
    status = pt_value_create_text(rank, dims, offsets, text, out_value);
out:
    pt_free(offsets);
    pt_free(text);
    return status;
}

static partita_status stack_bytes(partita_value *const *items, uint64_t count, uint64_t length, uint32_t axis,
                                  bool reverse, partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                  partita_value **out_value) {
    partita_value *made;
    PT_TRY(pt_value_create_dense(dtype, rank, dims, &made));
    if (count < length) memset(made->data, 0, (size_t)made->bytes);
    uint64_t outer = product(dims, 0, axis);
    size_t inner = (size_t)(product(dims, axis + 1, rank) * pt_dtype_bits(dtype) / 8);
    for (uint64_t i = 0; i < count && inner; i++) {
        uint64_t at = reverse ? count - 1 - i : i;
        for (uint64_t o = 0; o < outer; o++)
            memcpy((char *)made->data + (o * length + at) * inner, (const char *)items[i]->data + o * inner, inner);
    }
    *out_value = made;
    return PARTITA_OK;
}

partita_status pt_value_stack(partita_value *const *items, uint64_t count, uint64_t length, uint32_t axis, bool reverse,
                              const pt_type *like, const char *name, partita_value **out_value) {
    partita_status status = PARTITA_OK;
    uint32_t rank = 1 + (count ? items[0]->rank : (uint32_t)PT_MAX(like->rank, 0));
    partita_dtype dtype = count ? items[0]->dtype : like->dtype;
    if (axis >= rank) return pt_fail(PARTITA_BAD_INPUT, "%s: axis %u of rank %u", name, axis, rank);
    for (uint64_t i = 0; i < count; i++) {
        if (items[i]->kind != PARTITA_KIND_TENSOR)
            return pt_fail(PARTITA_UNSUPPORTED, "%s: only tensors are stacked", name);
        if (!same_shape(items[i], items[0]))
            return pt_fail(PARTITA_BAD_INPUT, "%s: iteration %llu gives another shape than the first", name,
                           (unsigned long long)i);
        if (dtype != PARTITA_STRING) PT_TRY(check_bytes(items[i]));
    }
    int64_t *dims = pt_calloc(rank, sizeof(*dims));
    if (!dims) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0, at = 0; i < rank; i++) {
        if (i == axis)
            dims[i] = (int64_t)length;
        else if (count)
            dims[i] = items[0]->dims[at++];
        else
            dims[i] = pt_dim_is_exact(like->dims[at++]) ? like->dims[at - 1] : 0;
    }
    if (dtype == PARTITA_STRING && (axis != 0 || reverse || count != length))
        status = pt_fail(PARTITA_UNSUPPORTED, "%s: strings are stacked along axis 0 only", name);
    else if (dtype == PARTITA_STRING)
        status = stack_strings(items, count, rank, dims, out_value);
    else
        status = stack_bytes(items, count, length, axis, reverse, dtype, rank, dims, out_value);
    pt_free(dims);
    return status;
}

static bool has_borrowed(const partita_value *value) {
    if (pt_value_is_dense(value)) return value->storage == PT_STORAGE_BORROWED;
    for (uint64_t i = 0; i < value->item_count; i++)
        if (has_borrowed(value->items[i])) return true;
    return false;
}

/* A sequence, map, optional or sparse tensor with items of its own. */
static partita_status own_items(const partita_value *value, partita_value **out_value) {
    partita_value **items = pt_calloc((size_t)value->item_count + 1, sizeof(*items));
    partita_status status = items ? PARTITA_OK : PT_OUT_OF_MEMORY();
    for (uint64_t i = 0; status == PARTITA_OK && i < value->item_count; i++)
        status = pt_value_own(value->items[i], &items[i]);
    if (status == PARTITA_OK && value->kind == PARTITA_KIND_SPARSE)
        status = pt_value_create_sparse(value->rank, value->dims, items[0], items[1], out_value);
    else if (status == PARTITA_OK)
        status = pt_value_create_container(value->kind, value->dtype, items, value->item_count, out_value);
    for (uint64_t i = 0; items && i < value->item_count; i++) partita_value_release(items[i]);
    pt_free(items);
    return status;
}

partita_status pt_value_own(partita_value *value, partita_value **out_value) {
    if (!has_borrowed(value)) {
        partita_value_retain(value);
        *out_value = value;
        return PARTITA_OK;
    }
    if (!pt_value_is_dense(value)) return own_items(value, out_value);
    PT_TRY(pt_value_create_dense(value->dtype, value->rank, value->dims, out_value));
    if (value->bytes) memcpy((*out_value)->data, value->data, (size_t)value->bytes);
    return PARTITA_OK;
}

static bool is_scalar(const partita_value *value) {
    return pt_value_is_dense(value) && value->count == 1 && value->storage != PT_STORAGE_DEVICE;
}

partita_status pt_value_scalar_int(const partita_value *value, const char *what, int64_t *out_number) {
    if (!is_scalar(value) || value->dtype != PARTITA_INT64)
        return pt_fail(PARTITA_BAD_INPUT, "%s is no int64 scalar", what);
    memcpy(out_number, value->data, sizeof(*out_number));
    return PARTITA_OK;
}

partita_status pt_value_scalar_bool(const partita_value *value, const char *what, bool *out_truth) {
    if (!is_scalar(value) || value->dtype != PARTITA_BOOL)
        return pt_fail(PARTITA_BAD_INPUT, "%s is no bool scalar", what);
    *out_truth = *(const uint8_t *)value->data != 0;
    return PARTITA_OK;
}

partita_status pt_value_from_int(int64_t number, partita_value **out_value) {
    return partita_value_create(PARTITA_INT64, 0, NULL, &number, out_value);
}

partita_status pt_value_from_bool(bool truth, partita_value **out_value) {
    uint8_t byte = truth;
    return partita_value_create(PARTITA_BOOL, 0, NULL, &byte, out_value);
}
