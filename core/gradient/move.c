/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derivatives of operators that move data. Where none is simpler, the operator itself tells where elements go: it is
 * applied to their numbers, and the gradient is scattered by what comes out.
 */
#include "gradient/build.h"

#include <partita/plugin.h>

static pt_id axis_size(pt_grad *g, pt_id value, int64_t axis) {
    return pt_grad_dims(g, pt_grad_shape(g, value), axis, axis + 1);
}

void pt_grad_concat_of(pt_grad_site *site) {
    pt_grad *g = site->grad;
    int64_t axis = pt_grad_axis(g, site->node, 1, pt_grad_rank(g, site->outputs[0]));
    pt_id *sizes = pt_arena_array(&g->scratch, (size_t)site->input_count + 1, sizeof *sizes);
    pt_attribute attribute = pt_grad_int("axis", axis);
    if (!sizes) {
        pt_grad_fail(g, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < site->input_count; i++) sizes[i] = axis_size(g, site->inputs[i], axis);
    pt_id all = pt_grad_concat(g, sizes, site->input_count, 0);
    pt_grad_emit(g, "Split", (pt_id[]){site->upstream[0], all}, 2, &attribute, 1, site->results, site->input_count);
}

void pt_grad_split_of(pt_grad_site *site) {
    pt_grad *g = site->grad;
    int64_t axis = pt_grad_axis(g, site->node, 0, pt_grad_rank(g, site->inputs[0]));
    pt_id *pieces = pt_arena_array(&g->scratch, (size_t)site->output_count + 1, sizeof *pieces);
    if (!pieces) {
        pt_grad_fail(g, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < site->output_count; i++) {
        pieces[i] = site->upstream[i];
        if (pieces[i] == PT_NONE) pieces[i] = pt_grad_full(g, pt_grad_output(g, site->node, i), 0.0);
    }
    site->results[0] = pt_grad_concat(g, pieces, site->output_count, axis);
}

void pt_grad_transpose_of(pt_grad_site *site) {
    pt_grad *g = site->grad;
    int64_t inverse[PT_GRAD_RANK_MAX] = {0};
    int32_t rank = pt_grad_rank(g, site->inputs[0]);
    const pt_attribute *perm = pt_node_attribute(pt_node_at(g->model, site->node), "perm");
    for (int32_t i = 0; i < rank; i++) {
        int64_t from = perm && (uint32_t)i < perm->count ? perm->ints[i] : rank - 1 - i;
        if (from >= 0 && from < rank) inverse[from] = i;
    }
    site->results[0] = pt_grad_transpose(g, site->upstream[0], inverse);
}

void pt_grad_gather(pt_grad_site *site) {
    pt_grad *g = site->grad;
    pt_id x = site->inputs[0], where = site->inputs[1];
    int64_t perm[2 * PT_GRAD_RANK_MAX], front[PT_GRAD_RANK_MAX], back[PT_GRAD_RANK_MAX], last = -1;
    int32_t rank = pt_grad_rank(g, x), picked = pt_grad_rank(g, where);
    int32_t axis = (int32_t)pt_grad_axis(g, site->node, 0, rank);
    if (rank + picked > PT_GRAD_RANK_MAX) pt_grad_fail(g, "the ranks add up to more than %d", PT_GRAD_RANK_MAX);
    if (pt_grad_failed(g)) return;
    /* The axis first, in x as in dy, where the dims of the indices stand for it. */
    for (int32_t i = 0; i < picked; i++) perm[i] = axis + i;
    for (int32_t i = 0; i + 1 < rank; i++) perm[picked + i] = i < axis ? i : i + picked;
    for (int32_t i = 0; i < rank; i++) front[i] = i == 0 ? axis : i <= axis ? i - 1 : i;
    for (int32_t i = 0; i < rank; i++) back[front[i]] = i;
    pt_attribute add = pt_grad_string("reduction", "add");
    pt_id inputs[3] = {pt_grad_transpose(g, pt_grad_full(g, x, 0.0), front),
                       pt_grad_unsqueeze(g, pt_grad_cast(g, where, PARTITA_INT64), pt_grad_ints(g, &last, 1)),
                       pt_grad_transpose(g, site->upstream[0], perm)};
    site->results[0] = pt_grad_transpose(g, pt_grad_op(g, "ScatterND", inputs, 3, &add, 1), back);
}

/* ---- by numbers ------------------------------------------------------------------------------ */

/* Where the operator of a Scatter says how updates meet data. */
void pt_grad_scatter(pt_grad_site *site) {
    pt_grad *g = site->grad;
    const pt_node *node = pt_node_at(g->model, site->node);
    const pt_attribute *how = pt_node_attribute(node, "reduction");
    bool along = pt_node_attribute(node, "axis") != NULL;
    if (!how || pt_str_is(how->s, "none")) {
        pt_grad_moved(site);
        return;
    }
    if (!pt_str_is(how->s, "add")) {
        pt_grad_fail(g, "reduction '%.*s' has no derivative", PT_STR_ARG(how->s));
        return;
    }
    pt_id picked[2] = {site->upstream[0], site->inputs[1]};
    pt_attribute axis = pt_grad_int("axis", pt_node_int(node, "axis", 0));
    if (site->wanted[0]) site->results[0] = site->upstream[0];
    if (site->wanted[2]) {
        site->results[2] = pt_grad_op(g, along ? "GatherElements" : "GatherND", picked, 2, &axis, along);
    }
}

typedef struct numbering {
    pt_id first[PT_GRAD_SLOTS]; /* scalar: number of the input's first element; PT_NONE: not wanted, all are 0 */
    pt_id end;                  /* scalar: one beyond the last number */
} numbering;

/* The elements of the input by number, from 1 on; 0 is what comes from elsewhere. */
static pt_id numbers(pt_grad_site *site, uint32_t input, partita_dtype dtype, numbering *n) {
    pt_grad *g = site->grad;
    pt_id x = site->inputs[input], first = n->end;
    n->first[input] = PT_NONE;
    if (!site->wanted[input]) return pt_grad_expand(g, pt_grad_cast(g, pt_grad_scalar_int(g, 0), dtype), x);
    n->first[input] = first;
    n->end = pt_grad_binary(g, "Add", first, pt_grad_unary(g, "Size", x));
    pt_id range[3] = {first, n->end, pt_grad_scalar_int(g, 1)};
    return pt_grad_cast(g, pt_grad_like(g, pt_grad_op(g, "Range", range, 3, NULL, 0), x), dtype);
}

/*
 * The row's text: digits of the inputs that are data; 'd' where the operator takes only floating-point numbers, double
 * then.
 */
void pt_grad_moved(pt_grad_site *site) {
    pt_grad *g = site->grad;
    const char *text = site->row->text[0] ? site->row->text : "02";
    partita_dtype dtype = strchr(text, 'd') ? PARTITA_FLOAT64 : PARTITA_INT64;
    int64_t flat = -1;
    numbering n = {.end = pt_grad_scalar_int(g, 1)};
    pt_id *inputs = pt_arena_array(&g->scratch, (size_t)site->input_count + 1, sizeof *inputs);
    if (!inputs) {
        pt_grad_fail(g, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < site->input_count; i++) {
        bool is_data = i < PT_GRAD_SLOTS && strchr(text, '0' + (char)i) && site->inputs[i] != PT_NONE;
        inputs[i] = is_data ? numbers(site, i, dtype, &n) : site->inputs[i];
    }
    pt_id shape = pt_grad_ints(g, &flat, 1);
    pt_id moved = pt_grad_cast(g, pt_grad_again(g, site->node, inputs, site->input_count, "value"), PARTITA_INT64);
    pt_id zero = pt_grad_scalar(g, pt_grad_dtype(g, site->upstream[0]), 0.0);
    pt_attribute options[2] = {pt_grad_int("axis", 0), pt_grad_string("reduction", "add")};
    pt_id scattered[3] = {pt_grad_binary(g, "Expand", zero, pt_grad_reshape(g, n.end, shape)),
                          pt_grad_reshape(g, moved, shape), pt_grad_reshape(g, site->upstream[0], shape)};
    pt_id sums = pt_grad_op(g, "ScatterElements", scattered, 3, options, 2);
    for (uint32_t i = 0; i < site->input_count && i < PT_GRAD_SLOTS; i++) {
        if (!site->wanted[i] || !strchr(text, '0' + (char)i)) continue;
        pt_id first = pt_grad_reshape(g, n.first[i], shape);
        pt_id end = pt_grad_binary(g, "Add", first, pt_grad_unary(g, "Size", site->inputs[i]));
        pt_id own = pt_grad_op(g, "Slice", (pt_id[]){sums, first, end}, 3, NULL, 0);
        site->results[i] = pt_grad_like(g, own, site->inputs[i]);
    }
}
