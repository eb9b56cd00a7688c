/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators about shapes: those that read one, those that give one, and constants.
 */
#include "op/infer_run.h"

#include <partita/plugin.h>

partita_status pt_op_infer_shape(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_tensor(infer, 0, PARTITA_INT64);
    pt_dim *dims = pt_infer_rank(infer, 0, 1);
    if (in->rank < 0) return infer->status;
    int64_t rank = in->rank, start = pt_node_int(infer->node, "start", 0), end = pt_node_int(infer->node, "end", rank);
    if (start < 0) start += rank;
    if (end < 0) end += rank;
    start = PT_MIN(PT_MAX(start, 0), rank);
    end = PT_MIN(PT_MAX(end, 0), rank);
    int64_t count = PT_MAX(end - start, 0);
    dims[0] = count;
    pt_dim *small = pt_infer_small(infer, 0, count);
    for (int64_t i = 0; small && i < count; i++) small[i] = in->dims[start + i];
    return infer->status;
}

partita_status pt_op_infer_scalar_int64(pt_infer *infer) {
    pt_infer_tensor(infer, 0, PARTITA_INT64)->rank = 0;
    return infer->status;
}

partita_status pt_op_infer_size(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_op_infer_scalar_int64(infer);
    pt_dim *small = in->rank >= 0 ? pt_infer_small(infer, 0, 1) : NULL;
    if (small) small[0] = pt_infer_product(infer, in->dims, in->rank);
    return infer->status;
}

/* ---- reshape --------------------------------------------------------------------------------- */

/* What an element of the wanted shape says: a dim, or -1 for "the rest", given as PT_DIM_UNKNOWN with `*out_rest`. */
static partita_status wanted_dim(pt_infer *infer, pt_dim element, int64_t place, bool zero_copies, pt_dim *out_dim,
                                 bool *out_rest) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    int64_t number;
    *out_rest = false;
    *out_dim = element;
    if (element == PT_DIM_UNKNOWN) return PARTITA_OK;
    if (!pt_infer_exact(infer, element, &number)) {
        /* What comes from data may be -1. */
        bool size = pt_infer_nonnegative(infer, element) || !pt_dim_depends_on_data(infer->symbols, element);
        if (!size) *out_dim = PT_DIM_UNKNOWN;
        return PARTITA_OK;
    }
    if (number < -1) return pt_infer_fail(infer, "the shape has a dim of %lld", (long long)number);
    if (number == -1) {
        *out_rest = true;
        *out_dim = PT_DIM_UNKNOWN;
    } else if (number == 0 && zero_copies) {
        if (in->rank >= 0 && place >= in->rank) {
            return pt_infer_fail(infer, "dim %lld is to be copied from an input of rank %d", (long long)place,
                                 in->rank);
        }
        *out_dim = in->rank >= 0 ? in->dims[place] : PT_DIM_UNKNOWN;
    }
    return PARTITA_OK;
}

/* The dim that makes the elements as many as the input's. */
static partita_status rest_dim(pt_infer *infer, pt_dim *dims, int32_t rank, int32_t rest) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    if (in->rank < 0) return infer->status;
    pt_dim known = 1, total = pt_infer_product(infer, in->dims, in->rank);
    for (int32_t i = 0; i < rank; i++) {
        if (i != rest) known = pt_infer_mul(infer, known, dims[i]);
    }
    if (known == 0) return infer->status;
    int64_t total_number, known_number;
    if (pt_infer_exact(infer, total, &total_number) && pt_infer_exact(infer, known, &known_number) &&
        total_number % known_number != 0) {
        return pt_infer_fail(infer, "%lld elements do not fit into a shape with multiples of %lld",
                             (long long)total_number, (long long)known_number);
    }
    dims[rest] = pt_infer_div(infer, total, known);
    return infer->status;
}

static partita_status same_count(pt_infer *infer, const pt_infer_value *a, const pt_infer_value *b) {
    int64_t count_a, count_b;
    if (!pt_infer_count(a, &count_a) || !pt_infer_count(b, &count_b) || count_a == count_b) return PARTITA_OK;
    return pt_infer_fail(infer, "%lld elements are to become %lld", (long long)count_a, (long long)count_b);
}

/* Shapes are lists: the kernels read as many numbers as the first dim says. */
static partita_status need_list(pt_infer *infer, uint32_t input) {
    int32_t rank = pt_infer_in(infer, input)->rank;
    return rank >= 0 && rank != 1 ? pt_infer_fail(infer, "a shape of rank %d instead of 1", rank) : PARTITA_OK;
}

partita_status pt_op_infer_reshape(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    PT_TRY(need_list(infer, 1));
    pt_infer_list shape = pt_infer_list_of(infer, "shape", 1);
    bool zero_copies = !pt_node_int(infer->node, "allowzero", 0);
    pt_infer_value *out = pt_infer_tensor(infer, 0, in->dtype);
    if (shape.count < 0) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, shape.count);
    if (!dims || !shape.elements) return infer->status;
    int32_t rest = -1, unknown = 0, last_unknown = -1;
    for (int32_t i = 0; i < out->rank; i++) {
        bool is_rest;
        PT_TRY(wanted_dim(infer, shape.elements[i], i, zero_copies, &dims[i], &is_rest));
        if (is_rest && rest >= 0) return pt_infer_fail(infer, "the shape has more than one dim of -1");
        if (is_rest) rest = i;
        if (dims[i] == PT_DIM_UNKNOWN) {
            unknown++;
            last_unknown = i;
        }
    }
    /* A single unknown dim follows from the count of elements, whether it's written as -1 or not. */
    if (unknown == 1) PT_TRY(rest_dim(infer, dims, out->rank, last_unknown));
    PT_TRY(same_count(infer, in, out));
    pt_infer_small_like(infer, 0, in);
    return infer->status;
}

partita_status pt_op_infer_flatten(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_tensor(infer, 0, in->dtype);
    pt_dim *dims = pt_infer_rank(infer, 0, 2);
    if (in->rank < 0) return infer->status;
    int64_t axis = pt_node_int(infer->node, "axis", 1);
    if (axis < -in->rank || axis > in->rank) {
        return pt_infer_fail(infer, "axis %lld is out of range for rank %d", (long long)axis, in->rank);
    }
    if (axis < 0) axis += in->rank;
    dims[0] = pt_infer_product(infer, in->dims, axis);
    dims[1] = pt_infer_product(infer, in->dims + axis, in->rank - axis);
    pt_infer_small_like(infer, 0, in);
    return infer->status;
}

/* ---- dims of 1 come and go ------------------------------------------------------------------- */

partita_status pt_op_infer_squeeze(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_list axes = pt_infer_list_of(infer, "axes", 1);
    bool known = true, gone[PT_RANK_MAX] = {0};
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) return infer->status;
    if (axes.present) {
        PT_TRY(pt_infer_axes(infer, axes, in->rank, &known, gone));
        if (!known && axes.count >= 0) pt_infer_rank(infer, 0, in->rank - axes.count);
        if (!known) return infer->status;
    }
    int32_t kept = 0;
    pt_dim dims[PT_RANK_MAX];
    for (int32_t i = 0; i < in->rank; i++) {
        int64_t number;
        bool exact = pt_infer_exact(infer, in->dims[i], &number);
        if (!axes.present) {
            if (!exact) return infer->status; /* whether it's 1, only a run tells */
            gone[i] = number == 1;
        } else if (gone[i] && exact && number != 1) {
            return pt_infer_fail(infer, "dim %d is %lld and cannot be squeezed", i, (long long)number);
        }
        if (!gone[i]) dims[kept++] = in->dims[i];
    }
    pt_dim *out = pt_infer_rank(infer, 0, kept);
    if (out) memcpy(out, dims, (size_t)kept * sizeof *out);
    pt_infer_small_like(infer, 0, in);
    return infer->status;
}

partita_status pt_op_infer_unsqueeze(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_list axes = pt_infer_list_of(infer, "axes", 1);
    bool known, added[PT_RANK_MAX];
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0 || axes.count < 0) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, in->rank + axes.count);
    if (!dims) return infer->status;
    int32_t rank = in->rank + (int32_t)axes.count;
    PT_TRY(pt_infer_axes(infer, axes, rank, &known, added));
    if (!known) return infer->status;
    for (int32_t i = 0, from = 0; i < rank; i++) dims[i] = added[i] ? 1 : in->dims[from++];
    pt_infer_small_like(infer, 0, in);
    return infer->status;
}

/* ---- expand, transpose ----------------------------------------------------------------------- */

typedef struct place {
    const pt_infer_value *in, *out;
    int32_t map[PT_RANK_MAX]; /* of transpose: input dim i is output dim map[i] */
} place;

static int64_t expand_place(const void *user, const int64_t *at) {
    const place *p = user;
    int64_t index = 0;
    for (int32_t i = 0; i < p->in->rank; i++) {
        int64_t extent = p->in->dims[i];
        index = index * extent + (extent == 1 ? 0 : at[p->out->rank - p->in->rank + i]);
    }
    return index;
}

partita_status pt_op_infer_expand(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    PT_TRY(need_list(infer, 1));
    pt_infer_list shape = pt_infer_list_of(infer, NULL, 1);
    pt_infer_value *out = pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0 || shape.count < 0) return infer->status;
    int64_t rank = PT_MAX((int64_t)in->rank, shape.count);
    pt_dim *dims = pt_infer_rank(infer, 0, rank);
    if (!dims) return infer->status;
    for (int64_t i = 0; i < rank; i++) {
        int64_t from = i - (rank - in->rank), wanted = i - (rank - shape.count);
        pt_dim dim = from >= 0 ? in->dims[from] : 1, want = 1;
        if (wanted >= 0) want = shape.elements ? shape.elements[wanted] : PT_DIM_UNKNOWN;
        dims[i] = pt_infer_apply(infer, PT_DIM_BROADCAST, dim, want);
    }
    pt_infer_small_pick(infer, 0, expand_place, &(place){.in = in, .out = out});
    return infer->status;
}

static int64_t transpose_place(const void *user, const int64_t *at) {
    const place *p = user;
    int64_t index = 0;
    for (int32_t i = 0; i < p->in->rank; i++) index = index * p->in->dims[i] + at[p->map[i]];
    return index;
}

partita_status pt_op_infer_transpose(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    const pt_attribute *perm = pt_infer_ints(infer, "perm");
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) {
        if (perm) pt_infer_rank(infer, 0, perm->count);
        return infer->status;
    }
    if (perm && perm->count != (uint32_t)in->rank) {
        return pt_infer_fail(infer, "attribute 'perm' has %u numbers for rank %d", perm->count, in->rank);
    }
    pt_dim *dims = pt_infer_rank(infer, 0, in->rank);
    place p = {.in = in};
    bool seen[PT_RANK_MAX] = {0};
    for (int32_t i = 0; i < in->rank; i++) {
        int32_t from = in->rank - 1 - i;
        if (perm) PT_TRY(pt_infer_axis(infer, perm->ints[i], in->rank, &from));
        if (seen[from]) return pt_infer_fail(infer, "attribute 'perm' is no permutation");
        seen[from] = true;
        dims[i] = in->dims[from];
        p.map[from] = i;
    }
    pt_infer_small_pick(infer, 0, transpose_place, &p);
    return infer->status;
}

/* ---- constants ------------------------------------------------------------------------------- */

static partita_status constant_tensor(pt_infer *infer, const pt_tensor *tensor) {
    pt_infer_tensor(infer, 0, tensor->dtype);
    pt_dim *dims = pt_infer_rank(infer, 0, tensor->rank);
    if (!dims) return infer->status;
    memcpy(dims, tensor->dims, tensor->rank * sizeof *dims);
    bool dense = !tensor->sparse_indices && tensor->dtype != PARTITA_STRING && tensor->weight && tensor->weight->data;
    pt_dim *small = dense && tensor->count <= PT_SMALL_MAX ? pt_infer_small(infer, 0, (int64_t)tensor->count) : NULL;
    bool any;
    if (!small) return infer->status;
    return pt_infer_elements(infer->symbols, tensor->dtype, tensor->weight->data, (uint32_t)tensor->count, small, &any);
}

static void constant_list(pt_infer *infer, partita_dtype dtype, int64_t count, bool is_list) {
    pt_infer_tensor(infer, 0, dtype);
    pt_dim *dims = pt_infer_rank(infer, 0, is_list ? 1 : 0);
    if (is_list) dims[0] = count;
}

partita_status pt_op_infer_constant(pt_infer *infer) {
    const pt_node *node = infer->node;
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        const pt_attribute *attribute = &node->attributes[i];
        switch (attribute->type) {
        case PTP_ATTRIBUTE_TENSOR:
            if (attribute->count != 1) break;
            return constant_tensor(infer, attribute->tensors[0]);
        case PTP_ATTRIBUTE_FLOAT: constant_list(infer, PARTITA_FLOAT32, 1, false); return infer->status;
        case PTP_ATTRIBUTE_FLOATS: constant_list(infer, PARTITA_FLOAT32, attribute->count, true); return infer->status;
        case PTP_ATTRIBUTE_STRING: constant_list(infer, PARTITA_STRING, 1, false); return infer->status;
        case PTP_ATTRIBUTE_STRINGS: constant_list(infer, PARTITA_STRING, attribute->count, true); return infer->status;
        case PTP_ATTRIBUTE_INT:
        case PTP_ATTRIBUTE_INTS: {
            bool is_list = attribute->type == PTP_ATTRIBUTE_INTS;
            uint32_t count = is_list ? attribute->count : 1;
            constant_list(infer, PARTITA_INT64, count, is_list);
            pt_dim *small = pt_infer_small(infer, 0, count);
            for (uint32_t k = 0; small && k < count; k++) {
                small[k] = pt_infer_number(infer, is_list ? attribute->ints[k] : attribute->i);
            }
            return infer->status;
        }
        default: break;
        }
    }
    return pt_infer_fail(infer, "a constant without a value");
}

partita_status pt_op_infer_constant_of_shape(pt_infer *infer) {
    const pt_attribute *value = pt_node_attribute(infer->node, "value");
    const pt_tensor *tensor = value && value->count == 1 ? value->tensors[0] : NULL;
    pt_infer_value *out = pt_infer_tensor(infer, 0, tensor ? tensor->dtype : PARTITA_FLOAT32);
    PT_TRY(need_list(infer, 0));
    pt_infer_list shape = pt_infer_list_of(infer, NULL, 0);
    if (shape.count < 0) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, shape.count);
    if (!dims || !shape.elements) return infer->status;
    for (int64_t i = 0; i < shape.count; i++) {
        int64_t number;
        dims[i] = shape.elements[i];
        if (pt_infer_exact(infer, dims[i], &number) && number < 0) {
            return pt_infer_fail(infer, "the shape has a dim of %lld", (long long)number);
        }
    }
    pt_dim element = 0;
    int64_t count;
    bool any = true;
    if (tensor && (tensor->count != 1 || !tensor->weight || tensor->dtype == PARTITA_STRING)) return infer->status;
    if (tensor) PT_TRY(pt_infer_elements(infer->symbols, tensor->dtype, tensor->weight->data, 1, &element, &any));
    pt_dim *small = any && pt_infer_count(out, &count) ? pt_infer_small(infer, 0, count) : NULL;
    for (int64_t i = 0; small && i < count; i++) small[i] = element;
    return infer->status;
}

/* ---- range ----------------------------------------------------------------------------------- */

/* Of numbers in host memory. */
static bool real_range(const pt_infer *infer, int64_t *out_count) {
    double start, limit, delta;
    if (!pt_infer_reals(pt_infer_in(infer, 0), &start, 1) || !pt_infer_reals(pt_infer_in(infer, 1), &limit, 1) ||
        !pt_infer_reals(pt_infer_in(infer, 2), &delta, 1) || delta == 0.0) {
        return false;
    }
    double steps = (limit - start) / delta, whole = steps > 0.0 ? (double)(int64_t)PT_MIN(steps, 1e15) : 0.0;
    if (!(steps < 1e15)) return false;
    *out_count = steps <= 0.0 ? 0 : (int64_t)whole + (whole < steps);
    return true;
}

partita_status pt_op_infer_range(pt_infer *infer) {
    const pt_infer_value *start = pt_infer_in(infer, 0), *limit = pt_infer_in(infer, 1), *delta = pt_infer_in(infer, 2);
    int64_t count, step;
    pt_infer_tensor(infer, 0, start->dtype);
    pt_dim *dims = pt_infer_rank(infer, 0, 1);
    if (pt_infer_dtype_is_float(start->dtype)) {
        if (real_range(infer, &count)) dims[0] = count;
        return infer->status;
    }
    if (start->small_count != 1 || limit->small_count != 1 || delta->small_count != 1) return infer->status;
    if (!pt_infer_exact(infer, delta->small[0], &step)) return infer->status;
    if (step == 0) return pt_infer_fail(infer, "a range with a step of 0");
    pt_dim from = step > 0 ? start->small[0] : limit->small[0], to = step > 0 ? limit->small[0] : start->small[0];
    pt_dim span = pt_infer_sub(infer, to, from);
    dims[0] = pt_infer_max(infer, pt_infer_ceil_div(infer, span, step > 0 ? step : -step), 0);
    pt_dim *small = pt_infer_exact(infer, dims[0], &count) ? pt_infer_small(infer, 0, count) : NULL;
    for (int64_t i = 0; small && i < count; i++) {
        small[i] = pt_infer_add(infer, start->small[0], pt_infer_number(infer, i * step));
    }
    return infer->status;
}
