/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes that a part cannot have: where the symbols give no size to an output though every input has one, inference on
 * the actual shapes tells which node they do not fit, before a device is asked.
 */
#include "op/schema.h"
#include "run/layout.h"
#include "run/part.h"

/* Shapes by row of the block's values, as far as they are known. */
typedef struct finder {
    const pt_part *part;
    const int64_t *symbols;
    pt_shaped *rows;
    pt_arena arena;
} finder;

/* True when an output whose shape follows from the inputs has none. */
static bool is_suspicious(const pt_part *part, const int64_t *symbols, const pt_port_shape *inputs) {
    for (uint32_t i = 0; i < part->input_count; i++)
        if (inputs[i].rank < 0) return false;
    for (uint32_t i = 0; i < part->output_count; i++) {
        pt_id value = part->output_values[i];
        if (part->outputs[i].output == PTP_PORT_STATIC &&
            part->model->values.data[value].type.kind == PARTITA_KIND_TENSOR &&
            !pt_value_dims(part->model, value, symbols, NULL))
            return true;
    }
    return false;
}

static partita_status start(finder *f, const pt_port_shape *inputs) {
    const pt_part *part = f->part;
    uint32_t count = part->block->data->values.count;
    f->rows = pt_arena_array(&f->arena, count + 1, sizeof(*f->rows));
    if (!f->rows) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) {
        pt_id value = part->block->values[i];
        f->rows[i].rank = -1;
        if (value == PT_NONE) continue;
        const pt_type *type = &part->model->values.data[value].type;
        int64_t *dims = pt_arena_array(&f->arena, (size_t)PT_MAX(type->rank, 0) + 1, sizeof(*dims));
        if (!dims) return PT_OUT_OF_MEMORY();
        if (!pt_value_dims(part->model, value, f->symbols, dims)) continue;
        f->rows[i] = (pt_shaped){.kind = type->kind, .dtype = type->dtype, .rank = type->rank, .dims = dims};
    }
    for (uint32_t i = 0; i < part->input_count; i++) {
        const pt_type *type = &part->model->values.data[part->input_values[i]].type;
        f->rows[part->port_rows[i]] =
            (pt_shaped){.kind = type->kind, .dtype = type->dtype, .rank = inputs[i].rank, .dims = inputs[i].dims};
    }
    return PARTITA_OK;
}

/* Infers one node when its inputs are known; a node that does not fit them is the failure. */
static partita_status infer_node(finder *f, pt_id id) {
    const pt_node *node = &f->part->model->nodes.data[id];
    const uint32_t *row_of = f->part->block->value_rows;
    pt_shaped *in = pt_arena_array(&f->arena, node->input_count + 1, sizeof(*in));
    pt_shaped *out = pt_arena_array(&f->arena, node->output_count + 1, sizeof(*out));
    int64_t *dims = pt_arena_array(&f->arena, (size_t)node->output_count * 16 + 1, sizeof(*dims));
    if (!in || !out || !dims) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] == PT_NONE) continue;
        if (row_of[node->inputs[i]] == PT_NONE) return PARTITA_OK;
        in[i] = f->rows[row_of[node->inputs[i]]];
        if (in[i].rank < 0) return PARTITA_OK;
    }
    partita_status status =
        pt_node_infer_actual(f->part->model, id, in, node->input_count, out, dims, node->output_count);
    if (status == PARTITA_BAD_INPUT || status == PARTITA_OUT_OF_MEMORY) return status;
    for (uint32_t i = 0; status == PARTITA_OK && i < node->output_count; i++) {
        uint32_t row = node->outputs[i] == PT_NONE ? PT_NONE : row_of[node->outputs[i]];
        bool known = row != PT_NONE && f->rows[row].rank < 0 && out[i].rank >= 0;
        for (int32_t d = 0; known && d < out[i].rank; d++) known = out[i].dims[d] >= 0;
        if (known) f->rows[row] = out[i];
    }
    return PARTITA_OK;
}

partita_status pt_part_check_shapes(const pt_part *part, const int64_t *symbol_values, const pt_port_shape *inputs) {
    finder f = {.part = part, .symbols = symbol_values};
    if (!is_suspicious(part, symbol_values, inputs)) return PARTITA_OK;
    partita_status status = start(&f, inputs);
    for (uint32_t i = 0; status == PARTITA_OK && i < part->block->data->nodes.count; i++)
        if (part->block->nodes[i] != PT_NONE) status = infer_node(&f, part->block->nodes[i]);
    pt_arena_deinit(&f.arena);
    return status;
}
