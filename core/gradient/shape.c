/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes of gradients: reshaping, and undoing of broadcasting. Where dims are symbols the shape is computed by nodes,
 * so that one graph serves every size.
 */
#include "gradient/build.h"

pt_id pt_grad_shape(pt_grad *g, pt_id value) { return pt_grad_unary(g, "Shape", value); }

pt_id pt_grad_dims(pt_grad *g, pt_id shape, int64_t first, int64_t last) {
    pt_id inputs[3] = {shape, pt_grad_ints(g, &first, 1), pt_grad_ints(g, &last, 1)};
    return pt_grad_op(g, "Slice", inputs, 3, NULL, 0);
}

pt_id pt_grad_reshape(pt_grad *g, pt_id value, pt_id shape) { return pt_grad_binary(g, "Reshape", value, shape); }

/* True when both are known to have the same shape. */
static bool same_shape(const pt_type *a, const pt_type *b) {
    if (a->rank < 0 || a->rank != b->rank) return false;
    for (int32_t i = 0; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i]) return false;
    }
    return true;
}

pt_id pt_grad_like(pt_grad *g, pt_id value, pt_id model) {
    if (pt_grad_failed(g) || same_shape(pt_grad_type(g, value), pt_grad_type(g, model))) return value;
    pt_attribute zeros_are_dims = pt_grad_int("allowzero", 1);
    pt_id inputs[2] = {value, pt_grad_shape(g, model)};
    return pt_grad_op(g, "Reshape", inputs, 2, &zeros_are_dims, 1);
}

pt_id pt_grad_expand(pt_grad *g, pt_id value, pt_id model) {
    if (pt_grad_failed(g) || same_shape(pt_grad_type(g, value), pt_grad_type(g, model))) return value;
    return pt_grad_binary(g, "Expand", value, pt_grad_shape(g, model));
}

pt_id pt_grad_full(pt_grad *g, pt_id model, double value) {
    return pt_grad_expand(g, pt_grad_scalar(g, pt_grad_dtype(g, model), value), model);
}

pt_id pt_grad_cast(pt_grad *g, pt_id value, partita_dtype dtype) {
    if (pt_grad_failed(g) || pt_grad_dtype(g, value) == dtype) return value;
    pt_attribute to = pt_grad_int("to", (int64_t)dtype);
    return pt_grad_op(g, "Cast", &value, 1, &to, 1);
}

pt_id pt_grad_concat(pt_grad *g, const pt_id *pieces, uint32_t count, int64_t axis) {
    pt_attribute attribute = pt_grad_int("axis", axis);
    return pt_grad_op(g, "Concat", pieces, count, &attribute, 1);
}

pt_id pt_grad_transpose(pt_grad *g, pt_id value, const int64_t *perm) {
    pt_attribute attribute = pt_grad_list(g, "perm", perm, (uint32_t)pt_grad_rank(g, value));
    return pt_grad_op(g, "Transpose", &value, 1, &attribute, 1);
}

pt_id pt_grad_unsqueeze(pt_grad *g, pt_id value, pt_id axes) { return pt_grad_binary(g, "Unsqueeze", value, axes); }

pt_id pt_grad_sum(pt_grad *g, pt_id value, pt_id axes, bool keep) {
    pt_attribute attributes[2] = {pt_grad_int("keepdims", keep), pt_grad_int("noop_with_empty_axes", axes != PT_NONE)};
    return pt_grad_op(g, "ReduceSum", (pt_id[]){value, axes}, 2, attributes, 2);
}

/* Whatever the dims are: the axes are those where `model` has one element. */
static pt_id sum_at_run_time(pt_grad *g, pt_id value, pt_id model, int32_t lead) {
    int64_t ones[PT_GRAD_RANK_MAX], flat = -1;
    for (int32_t i = 0; i < lead; i++) ones[i] = 1;
    pt_id shape = pt_grad_shape(g, model);
    if (lead) shape = pt_grad_concat(g, (pt_id[]){pt_grad_ints(g, ones, (uint32_t)lead), shape}, 2, 0);
    pt_id single = pt_grad_binary(g, "Equal", shape, pt_grad_scalar_int(g, 1));
    pt_id axes = pt_grad_reshape(g, pt_grad_unary(g, "NonZero", single), pt_grad_ints(g, &flat, 1));
    return pt_grad_like(g, pt_grad_sum(g, value, axes, true), model);
}

pt_id pt_grad_sum_to(pt_grad *g, pt_id value, pt_id model) {
    int32_t rank = pt_grad_rank(g, value), target = pt_grad_rank(g, model);
    if (pt_grad_failed(g) || value == PT_NONE || same_shape(pt_grad_type(g, value), pt_grad_type(g, model))) {
        return value;
    }
    int32_t lead = rank - target;
    if (lead < 0) return pt_grad_expand(g, value, model);
    int64_t axes[PT_GRAD_RANK_MAX];
    uint32_t count = 0;
    const pt_type *from = pt_grad_type(g, value), *to = pt_grad_type(g, model);
    for (int32_t i = 0; i < rank; i++) {
        pt_dim wide = from->dims[i], narrow = i < lead ? 1 : to->dims[i - lead];
        bool sums = i < lead || (narrow == 1 && wide != 1), kept = narrow == wide;
        if (sums) axes[count++] = i;
        if (!sums && !kept && wide == 1) return pt_grad_sum_to(g, pt_grad_expand(g, value, model), model);
        if (!sums && !kept && !pt_dim_is_exact(narrow)) return sum_at_run_time(g, value, model, lead);
    }
    if (count) value = pt_grad_sum(g, value, pt_grad_ints(g, axes, count), true);
    return pt_grad_like(g, value, model);
}

pt_id pt_grad_add(pt_grad *g, pt_id a, pt_id b) {
    if (a == PT_NONE) return b;
    return b == PT_NONE ? a : pt_grad_binary(g, "Add", a, b);
}
