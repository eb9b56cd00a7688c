/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes that give back their input: Identity, Dropout at inference, a Transpose in place, a Reshape to the shape that
 * is there already, operators on lists with one item.
 */
#include "pass/rewrite.h"

#include <partita/plugin.h>

/* Dims are equal, exactly or as the same symbol. */
static bool same_shape(const pt_model *model, pt_id a, pt_id b) {
    const pt_type *x = &pt_value_at(model, a)->type, *y = &pt_value_at(model, b)->type;
    if (x->kind != PARTITA_KIND_TENSOR || y->kind != PARTITA_KIND_TENSOR || x->rank < 0 || x->rank != y->rank) {
        return false;
    }
    for (int32_t i = 0; i < x->rank; i++) {
        if (x->dims[i] != y->dims[i]) return false;
    }
    return true;
}

static bool identity(const pt_model *model, const pt_node *node) {
    PT_UNUSED(model);
    PT_UNUSED(node);
    return true;
}

/* Newer versions train when an input says so. */
static bool dropout(const pt_model *model, const pt_node *node) {
    const pt_tensor *training = pt_rewrite_constant(model, node, 2);
    if (pt_rewrite_input(node, 2) == PT_NONE) return pt_node_int(node, "is_test", 1) != 0 || node->version >= 7;
    return training && training->dtype == PARTITA_BOOL && training->count == 1 &&
           *(const unsigned char *)training->weight->data == 0;
}

static bool transpose(const pt_model *model, const pt_node *node) {
    const pt_attribute *perm = pt_node_attribute(node, "perm");
    if (!perm || perm->type != PTP_ATTRIBUTE_INTS) {
        int32_t rank = pt_value_at(model, node->inputs[0])->type.rank;
        return rank == 0 || rank == 1;
    }
    for (uint32_t i = 0; i < perm->count; i++) {
        if (perm->ints[i] != (int64_t)i) return false;
    }
    return true;
}

static bool keeps_shape(const pt_model *model, const pt_node *node) {
    return same_shape(model, node->inputs[0], node->outputs[0]);
}

static bool one_input(const pt_model *model, const pt_node *node) {
    PT_UNUSED(model);
    return node->input_count == 1;
}

static const struct {
    const char *op;
    bool (*is_identity)(const pt_model *model, const pt_node *node);
} rows[] = {
    {"Identity", identity},  {"Dropout", dropout},     {"Transpose", transpose}, {"Reshape", keeps_shape},
    {"Expand", keeps_shape}, {"Flatten", keeps_shape}, {"Squeeze", keeps_shape}, {"Unsqueeze", keeps_shape},
    {"Tile", keeps_shape},   {"Concat", one_input},    {"Sum", one_input},       {"Mean", one_input},
    {"Max", one_input},      {"Min", one_input},
};

static partita_status visit(pt_pass_run *run, pt_id id) {
    const pt_node *node = pt_node_at(run->model, id);
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        if (!pt_rewrite_is(node, rows[i].op)) continue;
        bool plain = pt_rewrite_input(node, 0) != PT_NONE && pt_rewrite_one_output(run->model, node);
        if (!plain || !rows[i].is_identity(run->model, node)) return PARTITA_OK;
        return pt_rewrite_bypass(run, id, node->inputs[0], "identity");
    }
    return PARTITA_OK;
}

partita_status pt_pass_identity(pt_pass_run *run) { return pt_rewrite_nodes(run, visit); }
