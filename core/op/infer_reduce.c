/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions, and what picks along an axis by rank or number.
 */
#include "op/infer.h"

/* The shape of input 0 with the selected axes reduced. */
static partita_status reduced_shape(pt_infer *infer, uint32_t output, const bool *selected, bool keep) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    int32_t kept = 0;
    pt_dim dims[PT_RANK_MAX];
    for (int32_t i = 0; i < in->rank; i++) {
        if (!selected[i]) dims[kept++] = in->dims[i];
        if (selected[i] && keep) dims[kept++] = 1;
    }
    pt_dim *out = pt_infer_rank(infer, output, kept);
    if (out) memcpy(out, dims, (size_t)kept * sizeof *out);
    return infer->status;
}

/* All elements of a list become one. */
static void reduce_elements(pt_infer *infer) {
    static const struct {
        const char *name;
        pt_dim_op op;
    } functions[] = {
        {"ReduceSum", PT_DIM_ADD}, {"ReduceProd", PT_DIM_MUL}, {"ReduceMax", PT_DIM_MAX}, {"ReduceMin", PT_DIM_MIN}};
    const pt_infer_value *in = pt_infer_in(infer, 0);
    if (!in->small || in->small_count == 0 || in->rank != 1) return;
    for (size_t i = 0; i < PT_COUNT_OF(functions); i++) {
        if (!pt_str_is(infer->node->op, functions[i].name)) continue;
        pt_dim *small = pt_infer_small(infer, 0, 1);
        if (!small) return;
        small[0] = in->small[0];
        for (uint32_t k = 1; k < in->small_count; k++)
            small[0] = pt_infer_apply(infer, functions[i].op, small[0], in->small[k]);
    }
}

partita_status pt_op_infer_reduce(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_list axes = pt_infer_list_of(infer, "axes", 1);
    bool keep = pt_node_int(infer->node, "keepdims", 1) != 0, known = true, selected[PT_RANK_MAX] = {0};
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) return infer->status;
    bool all = !axes.present || axes.count == 0;
    if (all && pt_node_int(infer->node, "noop_with_empty_axes", 0)) {
        pt_infer_shape_like(infer, 0, in);
        pt_infer_small_like(infer, 0, in);
        return infer->status;
    }
    if (!all) PT_TRY(pt_infer_axes(infer, axes, in->rank, &known, selected));
    for (int32_t i = 0; all && i < in->rank; i++) selected[i] = true;
    if (known) {
        PT_TRY(reduced_shape(infer, 0, selected, keep));
        if (in->rank == 1 && selected[0]) reduce_elements(infer);
        return infer->status;
    }
    if (keep) {
        pt_infer_rank(infer, 0, in->rank);
    } else if (axes.count >= 0) {
        pt_infer_rank(infer, 0, in->rank - axes.count);
    }
    return infer->status;
}

partita_status pt_op_infer_arg_reduce(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    bool selected[PT_RANK_MAX] = {0};
    int32_t axis;
    pt_infer_tensor(infer, 0, PARTITA_INT64);
    if (in->rank < 0) return infer->status;
    PT_TRY(pt_infer_axis(infer, pt_node_int(infer->node, "axis", 0), in->rank, &axis));
    selected[axis] = true;
    return reduced_shape(infer, 0, selected, pt_node_int(infer->node, "keepdims", 1) != 0);
}

partita_status pt_op_infer_top_k(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *input = pt_infer_in(infer, 1);
    int64_t number, dim;
    int32_t axis;
    pt_infer_tensor(infer, 0, in->dtype);
    pt_infer_tensor(infer, 1, PARTITA_INT64);
    if (in->rank < 0) return infer->status;
    PT_TRY(pt_infer_axis(infer, pt_node_int(infer->node, "axis", -1), in->rank, &axis));
    pt_dim k = input->small && input->small_count == 1 ? input->small[0] : PT_DIM_UNKNOWN;
    if (infer->since == 1) k = pt_infer_number(infer, pt_node_int(infer->node, "k", 0));
    if (pt_infer_exact(infer, k, &number) && number < 0) return pt_infer_fail(infer, "k is %lld", (long long)number);
    if (pt_infer_exact(infer, k, &number) && pt_infer_exact(infer, in->dims[axis], &dim) && number > dim) {
        return pt_infer_fail(infer, "k is %lld for a dim of %lld", (long long)number, (long long)dim);
    }
    for (uint32_t i = 0; i < 2; i++) pt_infer_shape_like(infer, i, in)[axis] = k;
    return infer->status;
}

partita_status pt_op_infer_one_hot(pt_infer *infer) {
    const pt_infer_value *indices = pt_infer_in(infer, 0), *depth = pt_infer_in(infer, 1);
    double real;
    pt_infer_tensor(infer, 0, pt_infer_in(infer, 2)->dtype);
    if (indices->rank < 0) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, (int64_t)indices->rank + 1);
    if (!dims) return infer->status;
    int32_t axis;
    PT_TRY(pt_infer_axis(infer, pt_node_int(infer->node, "axis", -1), (int64_t)indices->rank + 1, &axis));
    pt_dim extent = depth->small && depth->small_count == 1 ? depth->small[0] : PT_DIM_UNKNOWN;
    if (extent == PT_DIM_UNKNOWN && pt_infer_reals(depth, &real, 1) && real >= 0.0 && real < 1e15)
        extent = (pt_dim)real;
    for (int32_t i = 0, from = 0; i <= indices->rank; i++) dims[i] = i == axis ? extent : indices->dims[from++];
    return infer->status;
}
