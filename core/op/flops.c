/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations of a node: 2 per multiply-add; comparisons, additions and functions count 1. What only moves data costs
 * none. Dims that are not known count as 1; sums saturate.
 */
#include "op/flops.h"

#include <partita/plugin.h>

static uint64_t times(uint64_t a, uint64_t b) {
    uint64_t product;
    return pt_mul_u64(a, b, &product) ? product : UINT64_MAX;
}

static uint64_t plus(uint64_t a, uint64_t b) {
    uint64_t sum;
    return pt_add_u64(a, b, &sum) ? sum : UINT64_MAX;
}

static const pt_type *type_of(const pt_model *model, pt_id value) {
    static const pt_type none = {.rank = -1};
    return value == PT_NONE ? &none : &pt_value_at(model, value)->type;
}

static const pt_type *input(const pt_model *model, const pt_node *node, uint32_t i) {
    return type_of(model, i < node->input_count ? node->inputs[i] : PT_NONE);
}

/* The first output that is there. */
static const pt_type *output(const pt_model *model, const pt_node *node) {
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] != PT_NONE) return type_of(model, node->outputs[i]);
    }
    return type_of(model, PT_NONE);
}

/* Extent of a dim, counted from the end when negative; 1 when not known. */
static uint64_t dim(const pt_type *type, int32_t i, const int64_t *values) {
    if (i < 0) i += type->rank;
    if (i < 0 || i >= type->rank) return 1;
    int64_t extent = pt_dim_is_exact(type->dims[i]) ? type->dims[i]
                     : values                       ? pt_dim_evaluate(type->dims[i], values)
                                                    : PT_DIM_UNKNOWN;
    return extent == PT_DIM_UNKNOWN ? 1 : (uint64_t)PT_MAX(extent, 0);
}

static uint64_t dims(const pt_type *type, int32_t first, const int64_t *values) {
    uint64_t product = 1;
    for (int32_t i = first; i < type->rank; i++) product = times(product, dim(type, i, values));
    return product;
}

static uint64_t count(const pt_type *type, const int64_t *values) { return dims(type, 0, values); }

uint64_t pt_op_flops_each(const pt_model *model, const pt_node *node, const int64_t *values) {
    return count(output(model, node), values);
}

uint64_t pt_op_flops_input(const pt_model *model, const pt_node *node, const int64_t *values) {
    return count(input(model, node, 0), values);
}

/* Weights of a convolution: the input after the activation and its quantization. */
static const pt_type *weights(const pt_model *model, const pt_node *node) {
    return input(model, node, pt_str_is(node->op, "QLinearConv") || pt_str_is(node->op, "QLinearMatMul") ? 3 : 1);
}

uint64_t pt_op_flops_conv(const pt_model *model, const pt_node *node, const int64_t *values) {
    return times(times(2, count(output(model, node), values)), dims(weights(model, node), 1, values));
}

uint64_t pt_op_flops_conv_transpose(const pt_model *model, const pt_node *node, const int64_t *values) {
    return times(times(2, count(input(model, node, 0), values)), dims(input(model, node, 1), 1, values));
}

uint64_t pt_op_flops_pool(const pt_model *model, const pt_node *node, const int64_t *values) {
    uint64_t total = count(output(model, node), values);
    const pt_attribute *kernel = pt_node_attribute(node, "kernel_shape");
    for (uint32_t i = 0; kernel && kernel->type == PTP_ATTRIBUTE_INTS && i < kernel->count; i++) {
        total = times(total, (uint64_t)PT_MAX(kernel->ints[i], 1));
    }
    return total;
}

uint64_t pt_op_flops_matmul(const pt_model *model, const pt_node *node, const int64_t *values) {
    return times(times(2, count(output(model, node), values)), dim(input(model, node, 0), -1, values));
}

uint64_t pt_op_flops_gemm(const pt_model *model, const pt_node *node, const int64_t *values) {
    uint64_t inner = dim(input(model, node, 0), pt_node_int(node, "transA", 0) ? 0 : 1, values);
    return times(times(2, count(output(model, node), values)), inner);
}

/* One multiply-add for each combination of letters: the largest extent of every letter, and of the dots. */
uint64_t pt_op_flops_einsum(const pt_model *model, const pt_node *node, const int64_t *values) {
    uint64_t letters[128] = {0}, dots = 1, total = 2;
    const pt_attribute *equation = pt_node_attribute(node, "equation");
    if (!equation || equation->type != PTP_ATTRIBUTE_STRING) return pt_op_flops_each(model, node, values);
    uint32_t operand = 0;
    int32_t at = 0;
    bool behind = false; /* the dots */
    for (size_t i = 0; i < equation->s.size && equation->s.data[i] != '-'; i++) {
        unsigned char c = (unsigned char)equation->s.data[i];
        if (c == ',') {
            operand++;
            at = 0;
            behind = false;
        } else if (c == '.' && !behind) {
            const pt_type *type = input(model, node, operand);
            int32_t named = at;
            for (size_t k = i; k < equation->s.size && equation->s.data[k] != ',' && equation->s.data[k] != '-'; k++) {
                named += equation->s.data[k] != '.' && equation->s.data[k] != ' ';
            }
            uint64_t wild = 1;
            for (; at < type->rank - named; at++) wild = times(wild, dim(type, at, values));
            dots = PT_MAX(dots, wild);
            behind = true;
        } else if (c != ' ' && c != '.' && c < PT_COUNT_OF(letters)) {
            letters[c] = PT_MAX(letters[c], dim(input(model, node, operand), at++, values));
        }
    }
    for (size_t i = 0; i < PT_COUNT_OF(letters); i++) total = times(total, PT_MAX(letters[i], 1));
    return times(total, dots);
}

/* Scores and their sum over the values: two products per query and key. */
uint64_t pt_op_flops_attention(const pt_model *model, const pt_node *node, const int64_t *values) {
    const pt_type *q = input(model, node, 0), *k = input(model, node, 1), *v = input(model, node, 2);
    const pt_type *past = input(model, node, 4);
    uint64_t length = dim(k, -2, values);
    if (past->rank == 4) length = plus(length, dim(past, 2, values));
    uint64_t scores = times(times(2, count(q, values)), length);
    uint64_t rows = times(times(dim(q, 0, values), dim(q, -2, values)), q->rank == 4 ? dim(q, 1, values) : 1);
    return plus(scores, times(times(2, rows), times(length, dim(v, -1, values))));
}

/* Queries, keys and values are products of the input [batch, length, width] with the weights. */
uint64_t pt_op_flops_packed_attention(const pt_model *model, const pt_node *node, const int64_t *values) {
    const pt_type *in = input(model, node, 0);
    uint64_t rows = times(dim(in, 0, values), dim(in, 1, values));
    uint64_t scores = times(times(4, count(output(model, node), values)), dim(in, 1, values));
    return plus(times(times(2, rows), count(input(model, node, 1), values)), scores);
}

/* The state, [key width, value width] a head, is updated and read once a step. */
uint64_t pt_op_flops_linear_attn(const pt_model *model, const pt_node *node, const int64_t *values) {
    uint64_t heads = (uint64_t)PT_MAX(pt_node_int(node, "kv_num_heads", 1), 1);
    const pt_type *k = input(model, node, 1), *v = input(model, node, 2);
    return times(4, times(count(k, values), dim(v, -1, values)) / heads);
}

uint64_t pt_op_flops_rnn(const pt_model *model, const pt_node *node, const int64_t *values) {
    const pt_type *x = input(model, node, 0), *w = input(model, node, 1), *r = input(model, node, 2);
    uint64_t steps = times(dim(x, 0, values), dim(x, 1, values));
    return times(times(2, steps), plus(count(w, values), count(r, values)));
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static uint64_t body(const pt_model *model, const pt_node *node, const char *name, const int64_t *values) {
    const pt_attribute *attribute = pt_node_attribute(node, name);
    uint64_t total = 0;
    if (!attribute || !pt_attribute_has_graphs(attribute)) return 0;
    const pt_graph *graph = &model->graphs.data[attribute->graphs[0]];
    for (size_t i = 0; i < graph->order.size; i++)
        total = plus(total, pt_node_flops(model, graph->order.data[i], values));
    return total;
}

/* The dearer branch. */
uint64_t pt_op_flops_if(const pt_model *model, const pt_node *node, const int64_t *values) {
    uint64_t yes = body(model, node, "then_branch", values), no = body(model, node, "else_branch", values);
    return PT_MAX(yes, no);
}

/* Once, when the number of rounds is not known. */
uint64_t pt_op_flops_loop(const pt_model *model, const pt_node *node, const int64_t *values) {
    uint64_t rounds = 1;
    pt_id most = node->input_count ? node->inputs[0] : PT_NONE;
    const pt_value *value = most == PT_NONE ? NULL : pt_value_at(model, most);
    if (value && value->small && value->small_count == 1) {
        int64_t number = values || pt_dim_is_exact(value->small[0]) ? pt_dim_evaluate(value->small[0], values) : 1;
        /* "Until the condition says so" is given as a very large number. */
        if (number >= 0 && number <= INT32_MAX) rounds = (uint64_t)number;
    }
    return times(rounds, body(model, node, "body", values));
}

uint64_t pt_op_flops_scan(const pt_model *model, const pt_node *node, const int64_t *values) {
    const pt_attribute *axes = pt_node_attribute(node, "scan_input_axes");
    int64_t scanned = pt_node_int(node, "num_scan_inputs", 1);
    if (scanned < 1 || scanned > node->input_count) return 0;
    const pt_type *first = input(model, node, node->input_count - (uint32_t)scanned);
    bool batched = node->schema && node->schema->since < 9;
    int64_t axis = axes && axes->type == PTP_ATTRIBUTE_INTS && axes->count ? axes->ints[0] : batched ? 1 : 0;
    uint64_t rounds = axis >= -16 && axis < 16 ? dim(first, (int32_t)axis, values) : 1;
    if (batched) rounds = times(rounds, dim(first, 0, values));
    return times(rounds, body(model, node, "body", values));
}

uint64_t pt_op_flops_body(const pt_model *model, const pt_node *node, const int64_t *values) {
    return body(model, node, "body", values);
}

uint64_t pt_node_flops(const pt_model *model, pt_id id, const int64_t *values) {
    const pt_node *node = pt_node_at(model, id);
    if (!node->schema) return pt_op_flops_each(model, node, values);
    if (node->schema->flags & PT_OP_MOVES_DATA) return 0;
    return node->schema->flops ? node->schema->flops(model, node, values) : pt_op_flops_each(model, node, values);
}
