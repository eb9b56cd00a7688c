/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derivatives of matrix products.
 */
#include "gradient/build.h"

#include <ctype.h>
#include <partita/plugin.h>

static pt_id transposed(pt_grad *g, pt_id value) {
    int64_t perm[PT_GRAD_RANK_MAX];
    int32_t rank = pt_grad_rank(g, value);
    for (int32_t i = 0; i < rank; i++) perm[i] = i;
    if (rank >= 2) perm[rank - 2] = rank - 1, perm[rank - 1] = rank - 2;
    return pt_grad_transpose(g, value, perm);
}

/* A vector as a matrix of one row or one column. */
static pt_id as_matrix(pt_grad *g, pt_id value, bool is_vector, int64_t axis) {
    return is_vector ? pt_grad_unsqueeze(g, value, pt_grad_ints(g, &axis, 1)) : value;
}

void pt_grad_matmul(pt_grad_site *site) {
    pt_grad *g = site->grad;
    bool row = pt_grad_rank(g, site->inputs[0]) == 1, column = pt_grad_rank(g, site->inputs[1]) == 1;
    pt_id a = as_matrix(g, site->inputs[0], row, 0), b = as_matrix(g, site->inputs[1], column, 1);
    pt_id dy = as_matrix(g, site->upstream[0], column, -1);
    dy = as_matrix(g, dy, row, -2);
    if (site->wanted[0]) {
        pt_id da = pt_grad_sum_to(g, pt_grad_binary(g, "MatMul", dy, transposed(g, b)), a);
        site->results[0] = pt_grad_like(g, da, site->inputs[0]);
    }
    if (site->wanted[1]) {
        pt_id db = pt_grad_sum_to(g, pt_grad_binary(g, "MatMul", transposed(g, a), dy), b);
        site->results[1] = pt_grad_like(g, db, site->inputs[1]);
    }
}

static pt_id product(pt_grad *g, pt_id a, bool turn_a, pt_id b, bool turn_b, const pt_attribute *alpha) {
    pt_attribute attributes[3] = {pt_grad_int("transA", turn_a), pt_grad_int("transB", turn_b)};
    if (alpha) attributes[2] = *alpha;
    return pt_grad_op(g, "Gemm", (pt_id[]){a, b}, 2, attributes, alpha ? 3 : 2);
}

void pt_grad_gemm(pt_grad_site *site) {
    pt_grad *g = site->grad;
    const pt_node *node = pt_node_at(g->model, site->node);
    bool turn_a = pt_node_int(node, "transA", 0) != 0, turn_b = pt_node_int(node, "transB", 0) != 0;
    const pt_attribute *alpha = pt_node_attribute(node, "alpha");
    double beta = (double)pt_node_float(node, "beta", 1.0f);
    pt_id a = site->inputs[0], b = site->inputs[1], dy = site->upstream[0];
    if (site->wanted[0]) {
        site->results[0] = turn_a ? product(g, b, turn_b, dy, true, alpha) : product(g, dy, false, b, !turn_b, alpha);
    }
    if (site->wanted[1]) {
        site->results[1] = turn_b ? product(g, dy, true, a, turn_a, alpha) : product(g, a, !turn_a, dy, false, alpha);
    }
    if (site->input_count > 2 && site->wanted[2]) {
        pt_id scaled = pt_grad_binary(g, "Mul", dy, pt_grad_scalar(g, pt_grad_dtype(g, dy), beta));
        site->results[2] = pt_grad_sum_to(g, scaled, site->inputs[2]);
    }
}

/* ---- Einsum ---------------------------------------------------------------------------------- */

enum { MAX_TERMS = 8, MAX_LETTERS = 64 };

/* "ab,bc->ac" without blanks. */
typedef struct equation {
    char text[MAX_TERMS * MAX_LETTERS];
    partita_str terms[MAX_TERMS], out;
    uint32_t count;
} equation;

static bool parse(const pt_attribute *attribute, equation *e) {
    size_t size = 0;
    if (!attribute || attribute->type != PTP_ATTRIBUTE_STRING || attribute->s.size >= sizeof e->text) return false;
    for (size_t i = 0; i < attribute->s.size; i++) {
        char c = attribute->s.data[i];
        if (!isspace((unsigned char)c)) e->text[size++] = c;
    }
    e->text[size] = 0;
    const char *arrow = strstr(e->text, "->"), *at = e->text;
    if (!arrow) return false;
    e->out = pt_str(arrow + 2);
    for (e->count = 0; e->count < MAX_TERMS; at++) {
        const char *start = at;
        while (at < arrow && *at != ',') at++;
        e->terms[e->count++] = (partita_str){start, (size_t)(at - start)};
        if (at >= arrow) return true;
    }
    return false;
}

static bool is_simple(partita_str term) {
    for (size_t i = 0; i < term.size; i++) {
        if (!isalpha((unsigned char)term.data[i]) || memchr(term.data, term.data[i], i)) return false;
    }
    return true;
}

/* Operand `index` takes the place of the output: "ac,bc->ab"; letters that only it has come from a tensor of ones. */
static void operand(pt_grad_site *site, const equation *e, uint32_t index) {
    pt_grad *g = site->grad;
    pt_id inputs[MAX_TERMS + 1] = {site->upstream[0]};
    uint32_t count = 1;
    pt_text text = {0};
    pt_text_append(&text, e->out);
    for (uint32_t i = 0; i < e->count; i++) {
        bool own = i == index;
        inputs[count++] = own ? pt_grad_full(g, site->inputs[i], 1.0) : site->inputs[i];
        pt_text_printf(&text, ",%.*s", PT_STR_ARG(e->terms[i]));
    }
    pt_text_printf(&text, "->%.*s", PT_STR_ARG(e->terms[index]));
    partita_str kept = pt_arena_str(&g->model->arena, (partita_str){text.data, text.size});
    if ((text.failed || !kept.data) && !pt_grad_failed(g)) g->status = PT_OUT_OF_MEMORY();
    pt_text_deinit(&text);
    pt_attribute attribute = {.name = PT_STR("equation"), .type = PTP_ATTRIBUTE_STRING, .count = 1, .s = kept};
    site->results[index] = pt_grad_op(g, "Einsum", inputs, count, &attribute, 1);
}

void pt_grad_einsum(pt_grad_site *site) {
    equation e;
    bool simple = parse(pt_node_attribute(pt_node_at(site->grad->model, site->node), "equation"), &e) &&
                  e.count == site->input_count && is_simple(e.out);
    for (uint32_t i = 0; simple && i < e.count; i++) simple = is_simple(e.terms[i]);
    if (!simple) {
        pt_grad_fail(site->grad,
                     "only an equation with an output and without repeated letters and ... has a derivative");
        return;
    }
    for (uint32_t i = 0; i < e.count; i++) {
        if (site->wanted[i]) operand(site, &e, i);
    }
}
