/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences and optionals. The type of an element holds what is common to all of them.
 */
#include "op/infer.h"

/* A sequence or optional of `element`; NULL: not known. */
static void container(pt_infer *infer, uint32_t output, partita_kind kind, const pt_type *element) {
    pt_infer_value *out = pt_infer_out(infer, output);
    pt_infer_from_type(NULL, out);
    out->kind = kind;
    out->element = element;
    if (element) out->dtype = element->dtype;
}

/* The value that an element becomes: dims that only data tells differ from element to element. */
static void element_out(pt_infer *infer, uint32_t output, const pt_type *element) {
    pt_infer_value *out = pt_infer_out(infer, output);
    pt_infer_from_type(element, out);
    for (int32_t i = 0; i < out->rank; i++) {
        pt_dim dim = out->dims[i];
        if (dim != PT_DIM_UNKNOWN && (!infer->run || pt_dim_depends_on_data(infer->symbols, dim)))
            out->dims[i] = PT_DIM_UNKNOWN;
    }
    /* In a run symbols of the model mean nothing; numbers still do. */
    for (int32_t i = 0; !infer->run && element && i < out->rank; i++) {
        if (pt_dim_is_exact(element->dims[i])) out->dims[i] = element->dims[i];
    }
}

/* `into` becomes what holds for `value` too. */
static partita_status unite(pt_infer *infer, const pt_infer_value *value, pt_infer_value *into) {
    if (into->kind == PARTITA_KIND_NONE) {
        *into = *value;
        return PARTITA_OK;
    }
    if (value->kind == PARTITA_KIND_NONE) return PARTITA_OK;
    if (value->kind != into->kind || (value->dtype && into->dtype && value->dtype != into->dtype)) {
        return pt_infer_fail(infer, "elements are of different types");
    }
    if (value->rank != into->rank) into->rank = -1;
    for (int32_t i = 0; i < into->rank; i++) {
        if (into->dims[i] != value->dims[i]) into->dims[i] = PT_DIM_UNKNOWN;
    }
    return PARTITA_OK;
}

partita_status pt_op_infer_sequence_construct(pt_infer *infer) {
    pt_infer_value common = {.rank = -1};
    for (uint32_t i = 0; i < infer->input_count; i++) PT_TRY(unite(infer, pt_infer_in(infer, i), &common));
    container(infer, 0, PARTITA_KIND_SEQUENCE, pt_infer_make_type(infer, &common));
    return infer->status;
}

partita_status pt_op_infer_sequence_empty(pt_infer *infer) {
    int64_t dtype = pt_node_int(infer->node, "dtype", PARTITA_FLOAT32);
    if (dtype <= 0 || dtype >= PARTITA_DTYPE_COUNT)
        return pt_infer_fail(infer, "%lld is no element type", (long long)dtype);
    pt_infer_value element = {.kind = PARTITA_KIND_TENSOR, .dtype = (partita_dtype)dtype, .rank = -1};
    container(infer, 0, PARTITA_KIND_SEQUENCE, pt_infer_make_type(infer, &element));
    return infer->status;
}

partita_status pt_op_infer_sequence_at(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    if (in->element) element_out(infer, 0, in->element);
    return infer->status;
}

partita_status pt_op_infer_sequence_erase(pt_infer *infer) {
    pt_infer_like(infer, 0, pt_infer_in(infer, 0));
    return infer->status;
}

partita_status pt_op_infer_sequence_insert(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_value common;
    pt_infer_from_type(in->element, &common);
    PT_TRY(unite(infer, pt_infer_in(infer, 1), &common));
    container(infer, 0, PARTITA_KIND_SEQUENCE, pt_infer_make_type(infer, &common));
    return infer->status;
}

partita_status pt_op_infer_split_to_sequence(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *split = pt_infer_in(infer, 1);
    bool has_sizes = pt_infer_has(infer, 1), keep = pt_node_int(infer->node, "keepdims", 1) != 0;
    int32_t axis;
    pt_infer_value element = *in;
    element.small = NULL;
    element.data = NULL;
    if (in->rank >= 0) {
        int64_t size, dim;
        PT_TRY(pt_infer_axis(infer, pt_node_int(infer->node, "axis", 0), in->rank, &axis));
        if (!has_sizes && !keep) {
            memmove(element.dims + axis, element.dims + axis + 1, (size_t)(in->rank - axis - 1) * sizeof *element.dims);
            element.rank--;
        } else {
            /* Parts of one size, unless a rest is left. */
            bool even = split->rank == 0 && split->small && pt_infer_exact(infer, split->small[0], &size) && size > 0 &&
                        pt_infer_exact(infer, in->dims[axis], &dim) && dim % size == 0;
            element.dims[axis] = !has_sizes ? 1 : even ? size : PT_DIM_UNKNOWN;
        }
    }
    container(infer, 0, PARTITA_KIND_SEQUENCE, pt_infer_make_type(infer, &element));
    return infer->status;
}

partita_status pt_op_infer_concat_sequence(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_value element;
    pt_infer_from_type(in->element, &element);
    pt_infer_tensor(infer, 0, in->element ? element.dtype : PARTITA_UNDEFINED);
    if (element.rank < 0) return infer->status;
    int64_t stacked = pt_node_int(infer->node, "new_axis", 0) ? 1 : 0;
    int32_t axis;
    PT_TRY(pt_infer_axis(infer, pt_node_int(infer->node, "axis", 0), element.rank + stacked, &axis));
    element_out(infer, 0, in->element);
    pt_infer_value *out = pt_infer_out(infer, 0);
    if (stacked) {
        pt_infer_value inner = *out;
        pt_dim *dims = pt_infer_rank(infer, 0, (int64_t)inner.rank + 1);
        for (int32_t i = 0, from = 0; dims && i <= inner.rank; i++)
            dims[i] = i == axis ? PT_DIM_UNKNOWN : inner.dims[from++];
    } else {
        out->dims[axis] = PT_DIM_UNKNOWN;
    }
    return infer->status;
}

/* ---- optionals ------------------------------------------------------------------------------- */

partita_status pt_op_infer_optional(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    if (!pt_infer_has(infer, 0)) {
        container(infer, 0, PARTITA_KIND_OPTIONAL, NULL);
    } else if (in->kind != PARTITA_KIND_NONE) {
        container(infer, 0, PARTITA_KIND_OPTIONAL, pt_infer_make_type(infer, in));
    }
    return infer->status;
}

/* Since version 18 what is no optional counts as one that has an element. */
partita_status pt_op_infer_optional_get(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    if (in->kind != PARTITA_KIND_OPTIONAL) {
        pt_infer_like(infer, 0, in);
    } else if (in->element) {
        element_out(infer, 0, in->element);
    }
    return infer->status;
}

partita_status pt_op_infer_optional_has(pt_infer *infer) {
    pt_infer_tensor(infer, 0, PARTITA_BOOL)->rank = 0;
    const pt_infer_value *in = pt_infer_in(infer, 0);
    bool empty = !pt_infer_has(infer, 0), plain = in->kind == PARTITA_KIND_TENSOR || in->kind == PARTITA_KIND_SEQUENCE;
    pt_dim *small = empty || plain ? pt_infer_small(infer, 0, 1) : NULL;
    if (small) small[0] = plain;
    return infer->status;
}
