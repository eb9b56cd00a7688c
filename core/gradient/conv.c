/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derivatives of Conv and ConvTranspose, by each other. Images are padded or cropped to the exact extent first, so that
 * strides, dilations, groups, any padding and symbolic sizes need no case of their own.
 */
#include "gradient/window.h"

#include <partita/plugin.h>

/* ---- where windows lie ----------------------------------------------------------------------- */

static void list_of(pt_grad *g, pt_id node, const char *name, uint32_t count, int64_t *out_values) {
    const pt_attribute *list = pt_node_attribute(pt_node_at(g->model, node), name);
    for (uint32_t i = 0; i < count; i++) out_values[i] = list && i < list->count ? list->ints[i] : 1;
}

void pt_grad_window_make(pt_grad_site *site, pt_id kernel, pt_grad_window *out_window) {
    pt_grad *g = site->grad;
    int32_t rank = pt_grad_rank(g, site->inputs[0]);
    if (rank < 3) pt_grad_fail(g, "the input has no spatial dims");
    *out_window = (pt_grad_window){.g = g, .node = site->node, .spatial = rank < 3 ? 1 : (uint32_t)rank - 2};
    list_of(g, site->node, "strides", out_window->spatial, out_window->strides);
    list_of(g, site->node, "dilations", out_window->spatial, out_window->dilations);
    out_window->kernel = kernel;
}

pt_id pt_grad_window_extent(const pt_grad_window *w, pt_id steps) {
    pt_grad *g = w->g;
    pt_id one = pt_grad_scalar_int(g, 1);
    pt_id strides = pt_grad_ints(g, w->strides, w->spatial), dilations = pt_grad_ints(g, w->dilations, w->spatial);
    pt_id walked = pt_grad_binary(g, "Mul", pt_grad_binary(g, "Sub", steps, one), strides);
    pt_id reach = pt_grad_binary(g, "Mul", pt_grad_binary(g, "Sub", w->kernel, one), dilations);
    return pt_grad_binary(g, "Add", pt_grad_binary(g, "Add", walked, reach), one);
}

static bool pad_is(const pt_grad_window *w, const char *text) {
    const pt_attribute *pad = pt_node_attribute(pt_node_at(w->g->model, w->node), "auto_pad");
    return pad && pad->type == PTP_ATTRIBUTE_STRING && pt_str_is(pad->s, text);
}

pt_id pt_grad_window_front(const pt_grad_window *w, pt_id wide, pt_id steps) {
    pt_grad *g = w->g;
    const pt_node *node = pt_node_at(g->model, w->node);
    const pt_attribute *pads = pt_node_attribute(node, "pads"), *extra = pt_node_attribute(node, "output_padding");
    bool upper = pad_is(w, "SAME_UPPER"), lower = pad_is(w, "SAME_LOWER");
    int64_t front[PT_GRAD_RANK_MAX] = {0}, added[PT_GRAD_RANK_MAX] = {0};
    for (uint32_t i = 0; i < w->spatial; i++) {
        if (pads && pads->count == 2 * w->spatial && !pad_is(w, "VALID")) front[i] = pads->ints[i];
        if (extra && i < extra->count) added[i] = extra->ints[i];
    }
    const pt_attribute *shape = pt_node_attribute(node, "output_shape");
    if (!upper && !lower && !(shape && shape->count)) return pt_grad_ints(g, front, w->spatial);
    pt_id total = pt_grad_binary(g, "Add", pt_grad_window_extent(w, steps), pt_grad_ints(g, added, w->spatial));
    total = pt_grad_binary(g, "Max", pt_grad_binary(g, "Sub", total, wide), pt_grad_scalar_int(g, 0));
    pt_id half = pt_grad_binary(g, "Div", total, pt_grad_scalar_int(g, 2));
    return upper ? half : pt_grad_binary(g, "Sub", total, half);
}

pt_id pt_grad_window_sizes(const pt_grad_window *w, pt_id value) {
    return pt_grad_dims(w->g, pt_grad_shape(w->g, value), 2, 2 + (int64_t)w->spatial);
}

pt_id pt_grad_window_fit(const pt_grad_window *w, pt_id value, pt_id front, pt_id size) {
    pt_grad *g = w->g;
    int64_t zeros[2] = {0, 0};
    pt_id none = pt_grad_ints(g, zeros, 2);
    pt_id missing = pt_grad_binary(g, "Sub", size, pt_grad_window_sizes(w, value));
    pt_id end = pt_grad_binary(g, "Sub", missing, front);
    return pt_grad_binary(g, "Pad", value, pt_grad_concat(g, (pt_id[]){none, front, none, end}, 4, 0));
}

pt_id pt_grad_window_run(const pt_grad_window *w, const char *op, pt_id x, pt_id weights, int64_t group, bool swap) {
    pt_attribute attributes[3] = {pt_grad_list(w->g, "strides", swap ? w->dilations : w->strides, w->spatial),
                                  pt_grad_list(w->g, "dilations", swap ? w->strides : w->dilations, w->spatial),
                                  pt_grad_int("group", group)};
    return pt_grad_op(w->g, op, (pt_id[]){x, weights}, 2, attributes, 3);
}

/* ---- convolutions ---------------------------------------------------------------------------- */

/* [N, G C, ...] as [C, G N, ...]: a group's images behind each other, as channels. */
static pt_id groups_as_channels(const pt_grad_window *w, pt_id value, int64_t group) {
    pt_grad *g = w->g;
    int64_t perm[PT_GRAD_RANK_MAX], rest = -1, groups[2] = {group, -1};
    int32_t rank = (int32_t)w->spatial + 2;
    pt_id shape = pt_grad_shape(g, value), sizes = pt_grad_dims(g, shape, 2, rank);
    pt_id split[3] = {pt_grad_dims(g, shape, 0, 1), pt_grad_ints(g, groups, 2), sizes};
    pt_id apart = pt_grad_reshape(g, value, pt_grad_concat(g, split, 3, 0));
    for (int32_t i = 0; i <= rank && i < PT_GRAD_RANK_MAX; i++) perm[i] = i < 3 ? 2 - i : i;
    pt_id turned = pt_grad_transpose(g, apart, perm);
    pt_id joined[3] = {pt_grad_dims(g, pt_grad_shape(g, turned), 0, 1), pt_grad_ints(g, &rest, 1), sizes};
    return pt_grad_reshape(g, turned, pt_grad_concat(g, joined, 3, 0));
}

static pt_id swap_first(pt_grad *g, pt_id value) {
    int64_t perm[PT_GRAD_RANK_MAX];
    int32_t rank = pt_grad_rank(g, value);
    for (int32_t i = 0; i < rank; i++) perm[i] = i < 2 ? 1 - i : i;
    return pt_grad_transpose(g, value, perm);
}

/* The weights' gradient: `wide` is what windows step over, padded to their extent, `steps` has an element a window. */
static pt_id weights_gradient(const pt_grad_window *w, pt_id wide, pt_id steps, int64_t group) {
    pt_id images = group == 1 ? swap_first(w->g, wide) : groups_as_channels(w, wide, group);
    return swap_first(w->g, pt_grad_window_run(w, "Conv", images, swap_first(w->g, steps), group, true));
}

static void bias(pt_grad_site *site) {
    pt_grad *g = site->grad;
    int64_t axes[PT_GRAD_RANK_MAX] = {0};
    uint32_t count = 1;
    if (site->input_count < 3 || !site->wanted[2]) return;
    for (int32_t i = 2; i < pt_grad_rank(g, site->inputs[0]); i++) axes[count++] = i;
    site->results[2] = pt_grad_sum(g, site->upstream[0], pt_grad_ints(g, axes, count), false);
}

static pt_id kernel_sizes(pt_grad_site *site) {
    pt_grad *g = site->grad;
    return pt_grad_dims(g, pt_grad_shape(g, site->inputs[1]), 2, pt_grad_rank(g, site->inputs[1]));
}

void pt_grad_conv(pt_grad_site *site) {
    pt_grad *g = site->grad;
    pt_id x = site->inputs[0], weights = site->inputs[1], dy = site->upstream[0];
    int64_t group = pt_node_int(pt_node_at(g->model, site->node), "group", 1);
    pt_grad_window w;
    pt_grad_window_make(site, kernel_sizes(site), &w);
    pt_id wide = pt_grad_window_sizes(&w, x), steps = pt_grad_window_sizes(&w, dy);
    pt_id front = pt_grad_window_front(&w, wide, steps);
    if (site->wanted[0]) {
        pt_id whole = pt_grad_window_run(&w, "ConvTranspose", dy, weights, group, false);
        site->results[0] = pt_grad_like(g, pt_grad_window_fit(&w, whole, pt_grad_unary(g, "Neg", front), wide), x);
    }
    if (site->wanted[1]) {
        pt_id padded = pt_grad_window_fit(&w, x, front, pt_grad_window_extent(&w, steps));
        site->results[1] = pt_grad_like(g, weights_gradient(&w, padded, dy, group), weights);
    }
    bias(site);
}

void pt_grad_conv_transpose(pt_grad_site *site) {
    pt_grad *g = site->grad;
    pt_id x = site->inputs[0], weights = site->inputs[1], dy = site->upstream[0];
    int64_t group = pt_node_int(pt_node_at(g->model, site->node), "group", 1);
    pt_grad_window w;
    pt_grad_window_make(site, kernel_sizes(site), &w);
    pt_id wide = pt_grad_window_sizes(&w, dy), steps = pt_grad_window_sizes(&w, x);
    pt_id front = pt_grad_window_front(&w, wide, steps);
    pt_id padded = pt_grad_window_fit(&w, dy, front, pt_grad_window_extent(&w, steps));
    if (site->wanted[0]) {
        site->results[0] = pt_grad_like(g, pt_grad_window_run(&w, "Conv", padded, weights, group, false), x);
    }
    if (site->wanted[1]) site->results[1] = pt_grad_like(g, weights_gradient(&w, padded, x, group), weights);
    bias(site);
}
