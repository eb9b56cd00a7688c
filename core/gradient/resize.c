/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The derivative of Resize in the modes that mix elements: each axis is resized by a matrix, which is what Resize makes
 * of the identity along that axis.
 */
#include "gradient/build.h"

#include <partita/plugin.h>

typedef struct resizing {
    pt_grad_site *site;
    pt_id roi, scales, sizes; /* PT_NONE: absent */
    int64_t axes[PT_GRAD_RANK_MAX];
    uint32_t count;
} resizing;

static pt_id input(const pt_grad_site *site, uint32_t index) {
    if (index >= site->input_count || site->inputs[index] == PT_NONE) return PT_NONE;
    const pt_type *type = pt_grad_type(site->grad, site->inputs[index]);
    return type->rank == 1 && type->dims[0] == 0 ? PT_NONE : site->inputs[index];
}

static bool open(pt_grad_site *site, resizing *r) {
    pt_grad *g = site->grad;
    const pt_node *node = pt_node_at(g->model, site->node);
    const pt_attribute *axes = pt_node_attribute(node, "axes"),
                       *policy = pt_node_attribute(node, "keep_aspect_ratio_policy");
    int32_t rank = pt_grad_rank(g, site->inputs[0]);
    bool old = node->schema->since < 11;
    *r = (resizing){site, old ? PT_NONE : input(site, 1), input(site, old ? 1 : 2), old ? PT_NONE : input(site, 3), {0},
                    0};
    if (policy && r->sizes != PT_NONE && !pt_str_is(policy->s, "stretch")) {
        pt_grad_fail(g, "keep_aspect_ratio_policy '%.*s' has no derivative", PT_STR_ARG(policy->s));
    }
    r->count = axes && axes->count && axes->count <= (uint32_t)rank ? axes->count : (uint32_t)rank;
    for (uint32_t i = 0; i < r->count; i++) {
        int64_t axis = axes && axes->count ? axes->ints[i] : (int64_t)i;
        r->axes[i] = axis < 0 ? axis + rank : axis;
        if (r->axes[i] < 0 || r->axes[i] >= rank) pt_grad_fail(g, "attribute 'axes' is out of range");
    }
    return !pt_grad_failed(g);
}

/* Entry k of a vector behind what leaves the first axis of the identity as it is. */
static pt_id second(pt_grad *g, pt_id vector, pt_id first, uint32_t k) {
    if (vector == PT_NONE) return PT_NONE;
    return pt_grad_concat(g, (pt_id[]){first, pt_grad_dims(g, vector, k, (int64_t)k + 1)}, 2, 0);
}

static pt_id number(pt_grad *g, pt_id vector, double value) {
    int64_t one = 1;
    if (vector == PT_NONE) return PT_NONE;
    return pt_grad_reshape(g, pt_grad_scalar(g, pt_grad_dtype(g, vector), value), pt_grad_ints(g, &one, 1));
}

/* What Resize makes of the identity along axis k: [in, out]. */
static pt_id matrix(const resizing *r, uint32_t k) {
    pt_grad *g = r->site->grad;
    pt_id x = r->site->inputs[0];
    pt_id size = pt_grad_dims(g, pt_grad_shape(g, x), r->axes[k], r->axes[k] + 1);
    pt_id zero = pt_grad_scalar(g, pt_grad_dtype(g, x), 0.0);
    pt_id square = pt_grad_binary(g, "Expand", zero, pt_grad_concat(g, (pt_id[]){size, size}, 2, 0));
    pt_id scales = second(g, r->scales, number(g, r->scales, 1.0), k), roi = PT_NONE;
    if (r->roi != PT_NONE) {
        pt_id ends[2] = {second(g, r->roi, number(g, r->roi, 0.0), k),
                         second(g, r->roi, number(g, r->roi, 1.0), r->count + k)};
        roi = pt_grad_concat(g, ends, 2, 0);
    }
    bool old = pt_node_at(g->model, r->site->node)->schema->since < 11;
    pt_id eye = pt_grad_unary(g, "EyeLike", square);
    pt_id inputs[4] = {eye, old ? scales : roi, scales, second(g, r->sizes, size, k)};
    pt_id made = pt_grad_again(g, r->site->node, inputs, old ? 2 : 4, "axes");
    if (pt_grad_failed(g) || old) return made;
    /* Where there is nothing to take from, nothing comes back. */
    pt_attribute outside = {.name = PT_STR("extrapolation_value"), .type = PTP_ATTRIBUTE_FLOAT, .count = 1, .f = 0.0f};
    g->status = pt_node_set_attribute(g->model, pt_value_at(g->model, made)->producer, &outside);
    return made;
}

void pt_grad_resize(pt_grad_site *site) {
    pt_grad *g = site->grad;
    resizing r;
    pt_id dx = site->upstream[0];
    int64_t perm[PT_GRAD_RANK_MAX], turn[2] = {1, 0};
    if (!open(site, &r)) return;
    const pt_attribute *how = pt_node_attribute(pt_node_at(g->model, site->node), "coordinate_transformation_mode");
    bool crops = how && how->type == PTP_ATTRIBUTE_STRING && pt_str_is(how->s, "tf_crop_and_resize");
    int32_t rank = pt_grad_rank(g, site->inputs[0]);
    for (uint32_t k = 0; k < r.count; k++) {
        int64_t axis = r.axes[k];
        bool same = pt_grad_type(g, site->inputs[0])->dims[axis] == pt_grad_type(g, dx)->dims[axis];
        if (same && !crops) continue;
        for (int32_t i = 0; i < rank; i++) perm[i] = i == axis ? rank - 1 : i == rank - 1 ? axis : i;
        pt_id back = pt_grad_transpose(g, matrix(&r, k), turn);
        dx = pt_grad_transpose(g, pt_grad_binary(g, "MatMul", pt_grad_transpose(g, dx, perm), back), perm);
        if (pt_grad_failed(g)) return;
    }
    site->results[0] = pt_grad_like(g, dx, site->inputs[0]);
}
