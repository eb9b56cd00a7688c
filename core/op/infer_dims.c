/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on dims for inference: unknown operands give an unknown result, failures are kept in the inference.
 */
#include "op/infer.h"

pt_dim pt_infer_apply(pt_infer *infer, pt_dim_op op, pt_dim a, pt_dim b) {
    int64_t number;
    if (op == PT_DIM_MUL && (a == 0 || b == 0)) return 0;
    if (a == PT_DIM_UNKNOWN || b == PT_DIM_UNKNOWN) {
        pt_dim known = a == PT_DIM_UNKNOWN ? b : a;
        /* One that is larger than 1 decides; the other one can only be 1 or the same. */
        if (op == PT_DIM_BROADCAST && pt_infer_exact(infer, known, &number) && number != 1) return known;
        return PT_DIM_UNKNOWN;
    }
    if (infer->status != PARTITA_OK) return PT_DIM_UNKNOWN;
    pt_dim result;
    infer->status = pt_dim_apply(infer->symbols, op, a, b, &result);
    return infer->status == PARTITA_OK ? result : PT_DIM_UNKNOWN;
}

pt_dim pt_infer_number(pt_infer *infer, int64_t number) {
    pt_dim result;
    if (number >= 0) return number;
    if (number == INT64_MIN || infer->status != PARTITA_OK) return PT_DIM_UNKNOWN;
    infer->status = pt_dim_exact(infer->symbols, number, &result);
    return infer->status == PARTITA_OK ? result : PT_DIM_UNKNOWN;
}

pt_dim pt_infer_ceil_div(pt_infer *infer, pt_dim a, pt_dim b) {
    return pt_infer_div(infer, pt_infer_add(infer, a, pt_infer_sub(infer, b, 1)), b);
}

pt_dim pt_infer_scale(pt_infer *infer, pt_dim dim, float scale) {
    uint32_t bits;
    if (!(scale > 0.0f) || scale > 1e9f) return PT_DIM_UNKNOWN;
    memcpy(&bits, &scale, sizeof bits);
    return pt_infer_apply(infer, PT_DIM_SCALE, dim, (pt_dim)bits);
}

pt_dim pt_infer_product(pt_infer *infer, const pt_dim *dims, int64_t count) {
    pt_dim product = 1;
    for (int64_t i = 0; i < count; i++) {
        if (dims[i] == 0) return 0;
    }
    for (int64_t i = 0; i < count; i++) product = pt_infer_mul(infer, product, dims[i]);
    return product;
}

bool pt_infer_exact(const pt_infer *infer, pt_dim dim, int64_t *out_number) {
    return dim != PT_DIM_UNKNOWN && pt_dim_value(infer->symbols, dim, out_number);
}

bool pt_infer_nonnegative(const pt_infer *infer, pt_dim dim) {
    if (dim == PT_DIM_UNKNOWN) return false;
    return pt_dim_is_exact(dim) || infer->symbols->rows.data[pt_dim_symbol(dim)].nonnegative;
}

bool pt_infer_positive(const pt_infer *infer, pt_dim dim) {
    if (dim == PT_DIM_UNKNOWN) return false;
    if (pt_dim_is_exact(dim)) return dim > 0;
    /* Sums have their number last. */
    const pt_symbol *row = &infer->symbols->rows.data[pt_dim_symbol(dim)];
    return row->op == PT_DIM_ADD && pt_dim_is_exact(row->b) && row->b > 0 && pt_infer_nonnegative(infer, row->a);
}

int pt_infer_compare(pt_infer *infer, pt_dim a, pt_dim b) {
    enum { EQUAL = 0, MORE = 1, LESS = -1, NOT_LESS = 2, NOT_MORE = -2, UNKNOWN = 3 };
    int64_t number;
    if (a == PT_DIM_UNKNOWN || b == PT_DIM_UNKNOWN) return UNKNOWN;
    if (a == b) return EQUAL;
    pt_dim difference = pt_infer_sub(infer, a, b), reverse = pt_infer_sub(infer, b, a);
    if (pt_infer_exact(infer, difference, &number)) return (number > 0) - (number < 0);
    if (pt_infer_positive(infer, difference)) return MORE;
    if (pt_infer_positive(infer, reverse)) return LESS;
    if (pt_infer_nonnegative(infer, difference)) return NOT_LESS;
    return pt_infer_nonnegative(infer, reverse) ? NOT_MORE : UNKNOWN;
}

partita_status pt_infer_axis(pt_infer *infer, int64_t axis, int64_t rank, int32_t *out_axis) {
    if (axis < -rank || axis >= rank) {
        return pt_infer_fail(infer, "axis %lld is out of range for rank %lld", (long long)axis, (long long)rank);
    }
    *out_axis = (int32_t)(axis < 0 ? axis + rank : axis);
    return PARTITA_OK;
}

partita_status pt_infer_same_dim(pt_infer *infer, pt_dim a, pt_dim b, pt_dim *out_dim) {
    if (a == PT_DIM_UNKNOWN || a == b) {
        *out_dim = b;
    } else if (b == PT_DIM_UNKNOWN) {
        *out_dim = a;
    } else if (pt_dim_is_exact(a) && pt_dim_is_exact(b)) {
        return pt_infer_fail(infer, "dims %lld and %lld differ", (long long)a, (long long)b);
    } else if (pt_dim_is_exact(a) || pt_dim_is_exact(b)) {
        *out_dim = pt_dim_is_exact(a) ? a : b;
    } else {
        *out_dim = pt_dim_depends_on_data(infer->symbols, a) ? b : a;
    }
    return PARTITA_OK;
}

/* dims [rank] op= value's dims, right-aligned, without its last `skip`. */
static void broadcast_into(pt_infer *infer, pt_dim *dims, int32_t rank, const pt_infer_value *value, int32_t skip) {
    int32_t own = value->rank - skip;
    for (int32_t i = 0; i < own; i++) {
        pt_dim *dim = &dims[rank - own + i];
        *dim = pt_infer_apply(infer, PT_DIM_BROADCAST, *dim, value->dims[i]);
    }
}

partita_status pt_infer_broadcast(pt_infer *infer, uint32_t output, uint32_t first, uint32_t count) {
    int32_t rank = 0;
    for (uint32_t i = first; i < first + count; i++) {
        const pt_infer_value *value = pt_infer_in(infer, i);
        if (value->rank < 0) return infer->status;
        rank = PT_MAX(rank, value->rank);
    }
    pt_dim *dims = pt_infer_rank(infer, output, rank);
    if (!dims) return infer->status;
    for (int32_t i = 0; i < rank; i++) dims[i] = 1;
    for (uint32_t i = first; i < first + count; i++) broadcast_into(infer, dims, rank, pt_infer_in(infer, i), 0);
    return infer->status;
}

partita_status pt_infer_broadcast_batch(pt_infer *infer, uint32_t output, const pt_infer_value *a,
                                        const pt_infer_value *b, int32_t skip) {
    int32_t rank = PT_MAX(a->rank, b->rank) - skip;
    pt_dim *dims = pt_infer_rank(infer, output, (int64_t)rank + skip);
    if (!dims) return infer->status;
    for (int32_t i = 0; i < rank; i++) dims[i] = 1;
    if (a->rank > skip) broadcast_into(infer, dims, rank, a, skip);
    if (b->rank > skip) broadcast_into(infer, dims, rank, b, skip);
    return infer->status;
}

int64_t pt_infer_broadcast_index(const pt_infer_value *value, const pt_infer_value *whole, int64_t index) {
    int64_t result = 0, stride = 1;
    for (int32_t i = 0; i < whole->rank; i++) {
        int64_t extent = whole->dims[whole->rank - 1 - i], at = index % extent;
        index /= extent;
        if (i >= value->rank) continue;
        int64_t own = value->dims[value->rank - 1 - i];
        if (own > 1) result += at * stride;
        stride *= own;
    }
    return result;
}
