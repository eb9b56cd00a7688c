/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Casts: to the type that is there already, and after a cast that lost nothing.
 */
#include "pass/rewrite.h"

#include <partita/plugin.h>

/* Numbers that a type holds exactly: kind, bits of sign and digits, exponents. */
typedef struct range {
    uint8_t kind; /* 0: not known here, 1: integers without sign, 2: with sign, 3: floating point */
    uint8_t digits, exponent;
} range;

static const range ranges[PARTITA_DTYPE_COUNT] = {
    [PARTITA_BOOL] = {1, 1, 0},      [PARTITA_UINT8] = {1, 8, 0},    [PARTITA_UINT16] = {1, 16, 0},
    [PARTITA_UINT32] = {1, 32, 0},   [PARTITA_UINT64] = {1, 64, 0},  [PARTITA_INT8] = {2, 7, 0},
    [PARTITA_INT16] = {2, 15, 0},    [PARTITA_INT32] = {2, 31, 0},   [PARTITA_INT64] = {2, 63, 0},
    [PARTITA_FLOAT16] = {3, 11, 5},  [PARTITA_BFLOAT16] = {3, 8, 8}, [PARTITA_FLOAT32] = {3, 24, 8},
    [PARTITA_FLOAT64] = {3, 53, 11},
};

/* Every number of `from` is one of `to`. Bool takes part as a source only: what is cast to it becomes 0 or 1. */
static bool is_lossless(partita_dtype from, partita_dtype to) {
    range a = ranges[from], b = ranges[to];
    if (a.kind == 0 || b.kind == 0 || to == PARTITA_BOOL || a.digits > b.digits) return false;
    if (a.kind == 3) return b.kind == 3 && a.exponent <= b.exponent;
    if (a.kind == 2) return b.kind != 1;
    return true;
}

static partita_dtype dtype_of(const pt_model *model, pt_id value) {
    const pt_type *type = value != PT_NONE ? &pt_value_at(model, value)->type : NULL;
    return type && type->kind == PARTITA_KIND_TENSOR && type->dtype < PARTITA_DTYPE_COUNT ? type->dtype
                                                                                          : PARTITA_UNDEFINED;
}

static partita_status visit(pt_pass_run *run, pt_id id) {
    pt_model *model = run->model;
    const pt_node *node = pt_node_at(model, id);
    if (!pt_rewrite_is(node, "Cast") || node->input_count != 1 || !pt_rewrite_one_output(model, node)) {
        return PARTITA_OK;
    }
    partita_dtype from = dtype_of(model, node->inputs[0]);
    partita_dtype to = (partita_dtype)pt_node_int(node, "to", PARTITA_UNDEFINED);
    if (from == PARTITA_UNDEFINED || to >= PARTITA_DTYPE_COUNT) return PARTITA_OK;
    /* As text a number shows how it was stored. */
    if (to == PARTITA_STRING && from != to) return PARTITA_OK;
    if (from == to) return pt_rewrite_bypass(run, id, node->inputs[0], "cast");
    pt_id producer = pt_value_at(model, node->inputs[0])->producer;
    if (producer == PT_NONE || !pt_rewrite_is(pt_node_at(model, producer), "Cast")) return PARTITA_OK;
    pt_id first = pt_node_at(model, producer)->inputs[0];
    partita_dtype origin = dtype_of(model, first);
    if (!is_lossless(origin, from)) return PARTITA_OK;
    if (origin == to) return pt_rewrite_bypass(run, id, first, "cast");
    /* One cast does; the first one goes as dead code where nothing else uses it. */
    run->changes++;
    return pt_node_set_input(model, id, 0, first);
}

partita_status pt_pass_cast(pt_pass_run *run) { return pt_rewrite_nodes(run, visit); }
