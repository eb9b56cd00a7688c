/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derivatives of pooling: of MaxPool by its indices, of sums over windows by convolutions with ones, each plane by
 * itself.
 */
#include "gradient/window.h"

#include <partita/plugin.h>

void pt_grad_max_pool(pt_grad_site *site) {
    static const char *const names[] = {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"};
    pt_grad *g = site->grad;
    pt_attribute attributes[PT_COUNT_OF(names)];
    pt_id outputs[2], x = site->inputs[0];
    uint32_t count = 0;
    int64_t flat = -1;
    for (size_t i = 0; i < PT_COUNT_OF(names); i++) {
        const pt_attribute *attribute = pt_node_attribute(pt_node_at(g->model, site->node), names[i]);
        if (attribute) attributes[count++] = *attribute;
    }
    pt_grad_emit(g, "MaxPool", &x, 1, attributes, count, outputs, 2);
    pt_id shape = pt_grad_ints(g, &flat, 1);
    pt_attribute options[2] = {pt_grad_int("axis", 0), pt_grad_string("reduction", "add")};
    pt_id scattered[3] = {pt_grad_reshape(g, pt_grad_full(g, x, 0.0), shape), pt_grad_reshape(g, outputs[1], shape),
                          pt_grad_reshape(g, site->upstream[0], shape)};
    site->results[0] = pt_grad_like(g, pt_grad_op(g, "ScatterElements", scattered, 3, options, 2), x);
}

static pt_id pool_kernel(pt_grad_site *site) {
    const pt_attribute *kernel = pt_node_attribute(pt_node_at(site->grad->model, site->node), "kernel_shape");
    if (!kernel || kernel->type != PTP_ATTRIBUTE_INTS || kernel->count > PT_GRAD_RANK_MAX) {
        return pt_grad_fail(site->grad, "attribute 'kernel_shape' is missing");
    }
    return pt_grad_ints(site->grad, kernel->ints, kernel->count);
}

/* One image of one channel, all `value`. */
static pt_id plane(pt_grad *g, partita_dtype dtype, pt_id sizes, double value) {
    int64_t ones[2] = {1, 1};
    pt_id shape = pt_grad_concat(g, (pt_id[]){pt_grad_ints(g, ones, 2), sizes}, 2, 0);
    return pt_grad_binary(g, "Expand", pt_grad_scalar(g, dtype, value), shape);
}

/* Each window's number goes to all elements of the window, summed. */
static pt_id spread(const pt_grad_window *w, pt_id value, pt_id front, pt_id x) {
    pt_grad *g = w->g;
    int64_t planes[2] = {-1, 1};
    pt_id shape[2] = {pt_grad_ints(g, planes, 2), pt_grad_window_sizes(w, value)};
    pt_id each = pt_grad_reshape(g, value, pt_grad_concat(g, shape, 2, 0));
    pt_id ones = plane(g, pt_grad_dtype(g, value), w->kernel, 1.0);
    pt_id whole = pt_grad_window_run(w, "ConvTranspose", each, ones, 1, false);
    pt_id fitted = pt_grad_window_fit(w, whole, pt_grad_unary(g, "Neg", front), pt_grad_window_sizes(w, x));
    return pt_grad_like(g, fitted, x);
}

void pt_grad_average_pool(pt_grad_site *site) {
    pt_grad *g = site->grad;
    pt_id x = site->inputs[0], dy = site->upstream[0];
    partita_dtype dtype = pt_grad_dtype(g, dy);
    pt_grad_window w;
    pt_grad_window_make(site, pool_kernel(site), &w);
    pt_id wide = pt_grad_window_sizes(&w, x), steps = pt_grad_window_sizes(&w, dy);
    pt_id front = pt_grad_window_front(&w, wide, steps);
    /* A window of ones has the mean valid / count, where `valid` elements are none of the padding. */
    pt_id ones = plane(g, dtype, wide, 1.0);
    pt_id mean = pt_grad_again(g, site->node, &ones, 1, NULL);
    pt_id padded = pt_grad_window_fit(&w, ones, front, pt_grad_window_extent(&w, steps));
    pt_id valid = pt_grad_window_run(&w, "Conv", padded, plane(g, dtype, w.kernel, 1.0), 1, false);
    valid = pt_grad_binary(g, "Max", valid, pt_grad_scalar(g, dtype, 1.0));
    pt_id weight = pt_grad_binary(g, "Div", mean, valid);
    site->results[0] = spread(&w, pt_grad_binary(g, "Mul", dy, weight), front, x);
}

void pt_grad_lp_pool(pt_grad_site *site) {
    pt_grad *g = site->grad;
    pt_id x = site->inputs[0], y = site->outputs[0], dy = site->upstream[0];
    partita_dtype dtype = pt_grad_dtype(g, dy);
    const pt_attribute *attribute = pt_node_attribute(pt_node_at(g->model, site->node), "p");
    double p = !attribute ? 2.0 : attribute->type == PTP_ATTRIBUTE_FLOAT ? (double)attribute->f : (double)attribute->i;
    pt_grad_window w;
    pt_grad_window_make(site, pool_kernel(site), &w);
    pt_id front = pt_grad_window_front(&w, pt_grad_window_sizes(&w, x), pt_grad_window_sizes(&w, dy));
    pt_id zero = pt_grad_scalar(g, dtype, 0.0), power = pt_grad_binary(g, "Pow", y, pt_grad_scalar(g, dtype, 1.0 - p));
    pt_id chosen[3] = {pt_grad_binary(g, "Equal", y, zero), zero, pt_grad_binary(g, "Mul", dy, power)};
    pt_id all = spread(&w, pt_grad_op(g, "Where", chosen, 3, NULL, 0), front, x);
    pt_id size = pt_grad_binary(g, "Pow", pt_grad_unary(g, "Abs", x), pt_grad_scalar(g, dtype, p - 1.0));
    pt_id slope = pt_grad_binary(g, "Mul", pt_grad_unary(g, "Sign", x), size);
    site->results[0] = pt_grad_binary(g, "Mul", slope, all);
}
