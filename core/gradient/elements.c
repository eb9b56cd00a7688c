/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derivatives of operators element by element that have any number of inputs, or cases of their own.
 */
#include "gradient/build.h"

#include <partita/plugin.h>

/* Sum, and Mean where the row's text says so. */
void pt_grad_variadic_sum(pt_grad_site *site) {
    pt_grad *g = site->grad;
    pt_id dy = site->upstream[0];
    if (site->row->text[0]) {
        dy = pt_grad_binary(g, "Div", dy, pt_grad_scalar(g, pt_grad_dtype(g, dy), (double)site->input_count));
    }
    for (uint32_t i = 0; i < site->input_count; i++) {
        if (site->wanted[i]) site->results[i] = pt_grad_sum_to(g, dy, site->inputs[i]);
    }
}

/* Max and Min: equal ones share. */
void pt_grad_extreme(pt_grad_site *site) {
    pt_grad *g = site->grad;
    pt_id dy = site->upstream[0], total = PT_NONE;
    partita_dtype dtype = pt_grad_dtype(g, dy);
    pt_id *hits = pt_arena_array(&g->scratch, (size_t)site->input_count + 1, sizeof *hits);
    if (!hits) {
        pt_grad_fail(g, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < site->input_count; i++) {
        hits[i] = pt_grad_cast(g, pt_grad_binary(g, "Equal", site->inputs[i], site->outputs[0]), dtype);
        total = pt_grad_add(g, total, hits[i]);
    }
    pt_id share = pt_grad_binary(g, "Div", dy, total);
    for (uint32_t i = 0; i < site->input_count; i++) {
        if (!site->wanted[i]) continue;
        site->results[i] = pt_grad_sum_to(g, pt_grad_binary(g, "Mul", share, hits[i]), site->inputs[i]);
    }
}

void pt_grad_dropout(pt_grad_site *site) {
    pt_grad *g = site->grad;
    const pt_node *node = pt_node_at(g->model, site->node);
    pt_id dy = site->upstream[0], ratio = site->input_count > 1 ? site->inputs[1] : PT_NONE;
    pt_id training = site->input_count > 2 ? site->inputs[2] : PT_NONE;
    partita_dtype dtype = pt_grad_dtype(g, dy);
    if (node->schema->since < 7 && !pt_node_int(node, "is_test", 0)) {
        pt_grad_fail(g, "what Dropout of opset 1 to 6 drops in training is not known");
        return;
    }
    if (!site->wanted[0]) return;
    site->results[0] = dy;
    if (training == PT_NONE) return;
    pt_id one = pt_grad_scalar(g, dtype, 1.0);
    pt_id rate = ratio == PT_NONE ? pt_grad_scalar(g, dtype, 0.5) : pt_grad_cast(g, ratio, dtype);
    pt_id kept[3] = {training, pt_grad_binary(g, "Sub", one, rate), one};
    pt_id scaled = pt_grad_binary(g, "Div", dy, pt_grad_op(g, "Where", kept, 3, NULL, 0));
    pt_id chosen[3] = {pt_grad_output(g, site->node, 1), scaled, pt_grad_scalar(g, dtype, 0.0)};
    site->results[0] = pt_grad_op(g, "Where", chosen, 3, NULL, 0);
}

/* With respect to the scale: what the quantised number less its zero point is. */
void pt_grad_dequantize(pt_grad_site *site) {
    pt_grad *g = site->grad;
    pt_id scale = site->inputs[1], dy = site->upstream[0];
    int32_t rank = pt_grad_rank(g, dy), scale_rank = pt_grad_rank(g, scale);
    int64_t axes[PT_GRAD_RANK_MAX];
    uint32_t count = 0;
    if (!site->wanted[1]) return;
    if (pt_node_int(pt_node_at(g->model, site->node), "block_size", 0)) {
        pt_grad_fail(g, "a scale for each block has no derivative");
        return;
    }
    pt_id inputs[3] = {site->inputs[0], pt_grad_full(g, scale, 1.0), site->input_count > 2 ? site->inputs[2] : PT_NONE};
    pt_id steps = pt_grad_again(g, site->node, inputs, site->input_count, NULL);
    pt_id product = pt_grad_binary(g, "Mul", dy, pt_grad_cast(g, steps, pt_grad_dtype(g, dy)));
    int64_t axis = scale_rank ? pt_grad_axis(g, site->node, 1, rank) : -1;
    if (scale_rank && pt_grad_type(g, scale)->dims[0] == 1 && !pt_grad_failed(g)) axis = -1;
    for (int32_t i = 0; i < rank; i++) {
        if (i != axis) axes[count++] = i;
    }
    site->results[1] = pt_grad_like(g, pt_grad_sum(g, product, pt_grad_ints(g, axes, count), false), scale);
}
