/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that move data: joined, split, repeated, padded, picked.
 */
#include "op/infer.h"

/* ---- concat, split --------------------------------------------------------------------------- */

/* Elements of the inputs one after another, `outer` rows of them. */
static void concat_elements(pt_infer *infer, const pt_infer_value *out, int32_t axis) {
    int64_t total, outer = 1, filled = 0;
    bool any = false;
    if (!pt_infer_count(out, &total) || total == 0 || total > PT_SMALL_MAX) return;
    for (uint32_t i = 0; i < infer->input_count; i++) any = any || pt_infer_in(infer, i)->small;
    pt_dim *small = any ? pt_infer_small(infer, 0, total) : NULL;
    for (int32_t i = 0; i < axis; i++) outer *= out->dims[i];
    int64_t row = total / outer;
    for (uint32_t i = 0; small && i < infer->input_count; i++) {
        const pt_infer_value *in = pt_infer_in(infer, i);
        int64_t count;
        if (!pt_infer_count(in, &count)) return;
        int64_t own = count / outer;
        for (int64_t k = 0; in->small && k < count; k++) small[k / own * row + filled + k % own] = in->small[k];
        filled += own;
    }
}

partita_status pt_op_infer_concat(pt_infer *infer) {
    const pt_infer_value *first = pt_infer_in(infer, 0);
    int64_t axis_number = pt_node_int(infer->node, "axis", infer->since < 4 ? 1 : 0);
    int32_t axis, rank = -1;
    pt_infer_value *out = pt_infer_tensor(infer, 0, first->dtype);
    for (uint32_t i = 0; i < infer->input_count; i++) {
        const pt_infer_value *in = pt_infer_in(infer, i);
        if (in->dtype != first->dtype && in->dtype && first->dtype) {
            return pt_infer_fail(infer, "inputs are of types %s and %s", pt_dtype_name(first->dtype),
                                 pt_dtype_name(in->dtype));
        }
        if (rank >= 0 && in->rank >= 0 && in->rank != rank) {
            return pt_infer_fail(infer, "inputs of rank %d and %d are to be joined", rank, in->rank);
        }
        if (in->rank >= 0) rank = in->rank;
    }
    if (rank < 0) return infer->status;
    PT_TRY(pt_infer_axis(infer, axis_number, rank, &axis));
    pt_dim *dims = pt_infer_rank(infer, 0, rank);
    dims[axis] = 0;
    for (uint32_t i = 0; i < infer->input_count; i++) {
        const pt_infer_value *in = pt_infer_in(infer, i);
        for (int32_t k = 0; k < rank; k++) {
            pt_dim dim = in->rank >= 0 ? in->dims[k] : PT_DIM_UNKNOWN;
            if (k == axis) {
                dims[k] = pt_infer_add(infer, dims[k], dim);
            } else {
                PT_TRY(pt_infer_same_dim(infer, dims[k], dim, &dims[k]));
            }
        }
    }
    concat_elements(infer, out, axis);
    return infer->status;
}

typedef struct split_place {
    const pt_infer_value *in;
    int32_t axis;
    int64_t start;
} split_place;

static int64_t split_index(const void *user, const int64_t *at) {
    const split_place *p = user;
    int64_t index = 0;
    for (int32_t i = 0; i < p->in->rank; i++) index = index * p->in->dims[i] + at[i] + (i == p->axis ? p->start : 0);
    return index;
}

/* Size of part `i` when none is given: equal ones; since version 18 the last one may be smaller. */
static pt_dim split_part(pt_infer *infer, pt_dim dim, uint32_t parts, uint32_t i) {
    pt_dim part = pt_infer_ceil_div(infer, dim, parts);
    if (infer->since < 18) return pt_infer_div(infer, dim, parts);
    if (i + 1 < parts) return part;
    return pt_infer_max(infer, pt_infer_sub(infer, dim, pt_infer_mul(infer, part, (pt_dim)parts - 1)), 0);
}

partita_status pt_op_infer_split(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_list sizes = pt_infer_list_of(infer, "split", 1);
    uint32_t parts = infer->output_count;
    int64_t total, given;
    int32_t axis = 0;
    for (uint32_t i = 0; i < parts; i++) pt_infer_tensor(infer, i, in->dtype);
    if (in->rank < 0) return infer->status;
    PT_TRY(pt_infer_axis(infer, pt_node_int(infer->node, "axis", 0), in->rank, &axis));
    pt_dim sum = 0;
    if (sizes.present && sizes.count >= 0 && sizes.count != parts) {
        return pt_infer_fail(infer, "%lld sizes for %u outputs", (long long)sizes.count, parts);
    }
    for (uint32_t i = 0; i < parts; i++) {
        pt_dim *dims = pt_infer_shape_like(infer, i, in);
        dims[axis] = PT_DIM_UNKNOWN;
        if (!sizes.present) dims[axis] = split_part(infer, in->dims[axis], parts, i);
        if (sizes.elements) dims[axis] = sizes.elements[i];
        int64_t start;
        if (pt_infer_exact(infer, sum, &start) && pt_infer_exact(infer, in->dims[axis], &total) && start >= 0 &&
            start <= total) {
            pt_infer_small_pick(infer, i, split_index, &(split_place){.in = in, .axis = axis, .start = start});
        }
        sum = pt_infer_add(infer, sum, dims[axis]);
    }
    if (pt_infer_exact(infer, sum, &given) && pt_infer_exact(infer, in->dims[axis], &total) && given != total) {
        return pt_infer_fail(infer, "parts of %lld in all for a dim of %lld", (long long)given, (long long)total);
    }
    return infer->status;
}

/* ---- tile, pad ------------------------------------------------------------------------------- */

partita_status pt_op_infer_tile(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, in->rank);
    const pt_infer_value *repeats = pt_infer_in(infer, 1), *where = pt_infer_in(infer, 2);
    if (!repeats->small) return infer->status;
    if (infer->since == 1) {
        int64_t number;
        int32_t axis;
        if (repeats->small_count != 1 || where->small_count != 1 || !pt_infer_exact(infer, where->small[0], &number))
            return infer->status;
        PT_TRY(pt_infer_axis(infer, number, in->rank, &axis));
        memcpy(dims, in->dims, (size_t)in->rank * sizeof *dims);
        dims[axis] = pt_infer_mul(infer, dims[axis], repeats->small[0]);
        return infer->status;
    }
    if (repeats->small_count != (uint32_t)in->rank) {
        return pt_infer_fail(infer, "%u repeats for rank %d", repeats->small_count, in->rank);
    }
    for (int32_t i = 0; i < in->rank; i++) dims[i] = pt_infer_mul(infer, in->dims[i], repeats->small[i]);
    return infer->status;
}

partita_status pt_op_infer_pad(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_list pads = pt_infer_list_of(infer, infer->since == 1 ? "paddings" : "pads", 1);
    pt_infer_list axes = pt_infer_list_of(infer, NULL, 3);
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, in->rank);
    if (!pads.elements || (axes.present && !axes.elements)) return infer->status;
    int64_t count = axes.present ? axes.count : in->rank;
    if (pads.count != 2 * count) {
        return pt_infer_fail(infer, "%lld pads for %lld axes", (long long)pads.count, (long long)count);
    }
    memcpy(dims, in->dims, (size_t)in->rank * sizeof *dims);
    for (int64_t i = 0; i < count; i++) {
        int64_t number = i;
        int32_t axis;
        if (axes.present && !pt_infer_exact(infer, axes.elements[i], &number)) {
            for (int32_t k = 0; k < in->rank; k++) dims[k] = PT_DIM_UNKNOWN;
            return infer->status;
        }
        PT_TRY(pt_infer_axis(infer, number, in->rank, &axis));
        pt_dim both = pt_infer_add(infer, pads.elements[i], pads.elements[count + i]);
        dims[axis] = pt_infer_add(infer, in->dims[axis], both);
        if (pt_infer_exact(infer, dims[axis], &number) && number < 0) {
            return pt_infer_fail(infer, "pads make dim %d negative", axis);
        }
    }
    return infer->status;
}

/* ---- gather ---------------------------------------------------------------------------------- */

/* Picked along axis 0 of a list: how a dim is taken out of a shape. */
static void gather_elements(pt_infer *infer, const pt_infer_value *in, const pt_infer_value *indices) {
    if (in->rank != 1 || !in->small || !indices->small) return;
    pt_dim *small = pt_infer_small(infer, 0, indices->small_count);
    for (uint32_t i = 0; small && i < indices->small_count; i++) {
        int64_t at;
        if (!pt_infer_exact(infer, indices->small[i], &at)) continue;
        if (at < 0) at += in->small_count;
        if (at >= 0 && at < in->small_count) small[i] = in->small[at];
    }
}

partita_status pt_op_infer_gather(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *indices = pt_infer_in(infer, 1);
    int32_t axis;
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) return infer->status;
    PT_TRY(pt_infer_axis(infer, pt_node_int(infer->node, "axis", 0), in->rank, &axis));
    if (indices->rank < 0) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, (int64_t)in->rank - 1 + indices->rank);
    for (int32_t i = 0; dims && i < in->rank - 1 + indices->rank; i++) {
        if (i < axis) {
            dims[i] = in->dims[i];
        } else {
            dims[i] = i < axis + indices->rank ? indices->dims[i - axis] : in->dims[i - indices->rank + 1];
        }
    }
    gather_elements(infer, in, indices);
    return infer->status;
}

partita_status pt_op_infer_gather_elements(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *indices = pt_infer_in(infer, 1);
    pt_infer_tensor(infer, 0, in->dtype);
    pt_infer_shape_like(infer, 0, indices);
    if (in->rank >= 0 && indices->rank >= 0 && in->rank != indices->rank) {
        return pt_infer_fail(infer, "indices of rank %d for data of rank %d", indices->rank, in->rank);
    }
    return infer->status;
}

partita_status pt_op_infer_gather_nd(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *indices = pt_infer_in(infer, 1);
    int64_t batch = pt_node_int(infer->node, "batch_dims", 0), depth;
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0 || indices->rank < 1) return infer->status;
    if (!pt_infer_exact(infer, indices->dims[indices->rank - 1], &depth)) return infer->status;
    if (batch < 0 || batch >= indices->rank || depth > in->rank - batch) {
        return pt_infer_fail(infer, "indices of %lld for data of rank %d", (long long)depth, in->rank);
    }
    int64_t tail = in->rank - batch - depth;
    pt_dim *dims = pt_infer_rank(infer, 0, indices->rank - 1 + tail);
    if (!dims) return infer->status;
    memcpy(dims, indices->dims, (size_t)(indices->rank - 1) * sizeof *dims);
    memcpy(dims + indices->rank - 1, in->dims + batch + depth, (size_t)tail * sizeof *dims);
    return infer->status;
}

/* A cache and what is written into it: they differ on one axis, behind the first, at most. */
partita_status pt_op_infer_tensor_scatter(pt_infer *infer) {
    const pt_infer_value *cache = pt_infer_in(infer, 0), *update = pt_infer_in(infer, 1);
    int32_t axis;
    pt_infer_like(infer, 0, cache);
    if (cache->rank < 0) return infer->status;
    PT_TRY(pt_infer_axis(infer, pt_node_int(infer->node, "axis", -2), cache->rank, &axis));
    if (axis == 0) return pt_infer_fail(infer, "axis 0 is that of the batch");
    if (update->rank < 0) return infer->status;
    if (update->rank != cache->rank)
        return pt_infer_fail(infer, "an update of rank %d for a cache of rank %d", update->rank, cache->rank);
    pt_infer_value *out = pt_infer_out(infer, 0);
    for (int32_t i = 0; i < cache->rank; i++)
        if (i != axis) PT_TRY(pt_infer_same_dim(infer, cache->dims[i], update->dims[i], &out->dims[i]));
    return infer->status;
}

/* ---- what depends on data -------------------------------------------------------------------- */

/* Elements that a condition keeps of an axis of `length`: what it has beyond the axis counts for nothing. */
static pt_dim kept_of(pt_infer *infer, const pt_infer_value *condition, pt_dim length) {
    int64_t most, kept = 0;
    if (!condition->small || !pt_infer_exact(infer, length, &most)) return PT_DIM_UNKNOWN;
    for (uint32_t i = 0; i < condition->small_count && i < most; i++) {
        int64_t number;
        if (!pt_infer_exact(infer, condition->small[i], &number)) return PT_DIM_UNKNOWN;
        kept += number != 0;
    }
    return kept;
}

partita_status pt_op_infer_compress(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *condition = pt_infer_in(infer, 1);
    const pt_attribute *attribute = pt_node_attribute(infer->node, "axis");
    pt_infer_tensor(infer, 0, in->dtype);
    if (!attribute) {
        pt_dim all = in->rank < 0 ? PT_DIM_UNKNOWN : pt_infer_product(infer, in->dims, in->rank);
        pt_infer_rank(infer, 0, 1)[0] = kept_of(infer, condition, all);
        return infer->status;
    }
    int32_t axis;
    if (in->rank < 0) return infer->status;
    PT_TRY(pt_infer_axis(infer, attribute->i, in->rank, &axis));
    pt_infer_shape_like(infer, 0, in)[axis] = kept_of(infer, condition, in->dims[axis]);
    return infer->status;
}

partita_status pt_op_infer_non_zero(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_tensor(infer, 0, PARTITA_INT64);
    pt_dim *dims = pt_infer_rank(infer, 0, 2);
    if (in->rank >= 0) dims[0] = in->rank;
    int64_t numbers[PT_SMALL_MAX], places[PT_SMALL_MAX], count = 0;
    if (in->rank != 1 || !pt_infer_numbers(infer, in, numbers)) return infer->status;
    for (uint32_t i = 0; i < in->small_count; i++) {
        if (numbers[i]) places[count++] = i;
    }
    dims[1] = count;
    pt_dim *small = pt_infer_small(infer, 0, count);
    for (int64_t i = 0; small && i < count; i++) small[i] = places[i];
    return infer->status;
}

partita_status pt_op_infer_unique(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    const pt_attribute *attribute = pt_node_attribute(infer->node, "axis");
    pt_infer_tensor(infer, 0, in->dtype);
    for (uint32_t i = 1; i < 4; i++) {
        pt_infer_tensor(infer, i, PARTITA_INT64);
        pt_infer_rank(infer, i, 1);
    }
    pt_dim *inverse = pt_infer_rank(infer, 2, 1);
    if (!attribute) {
        pt_infer_rank(infer, 0, 1);
        if (in->rank >= 0) inverse[0] = pt_infer_product(infer, in->dims, in->rank);
        return infer->status;
    }
    int32_t axis;
    if (in->rank < 0) return infer->status;
    PT_TRY(pt_infer_axis(infer, attribute->i, in->rank, &axis));
    inverse[0] = in->dims[axis];
    pt_infer_shape_like(infer, 0, in)[axis] = PT_DIM_UNKNOWN;
    return infer->status;
}

partita_status pt_op_infer_nms(pt_infer *infer) {
    pt_infer_tensor(infer, 0, PARTITA_INT64);
    pt_infer_rank(infer, 0, 2)[1] = 3;
    return infer->status;
}
