/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM, GRU and RNN. The input's part of all gates and steps is one product per direction; then a small kernel per step
 * carries the state between two buffers.
 */
#include "gpu/gpu.h"

enum { KIND_LSTM = 0, KIND_GRU = 1, KIND_RNN = 2 };

static int kind_of(const gpu_node *node) {
    return ptp_str_is(node->op, "LSTM") ? KIND_LSTM : ptp_str_is(node->op, "GRU") ? KIND_GRU : KIND_RNN;
}
static int gates_of(int kind) { return kind == KIND_LSTM ? 4 : kind == KIND_GRU ? 3 : 1; }
/* Activations per direction: f, g, h. */
static int activations_of(int kind) { return kind == KIND_LSTM ? 3 : kind == KIND_GRU ? 2 : 1; }

/* Macro of activation i of a direction; NULL for one without a kernel. */
static const char *activation(const gpu_node *node, int direction, int i) {
    static const char *const known[][2] = {{"Sigmoid", "SIGMOID"}, {"Tanh", "TANH"}, {"Relu", "RELU"}};
    int kind = kind_of(node), per = activations_of(kind);
    ptp_attribute_row row;
    if (!ptp_attribute_find(node->block, &node->row, "activations", &row) || row.data.count == 0) {
        return kind == KIND_RNN || i > 0 ? "TANH" : "SIGMOID";
    }
    if ((uint32_t)(direction * per + i) >= row.data.count) return NULL;
    const ptp_ref *texts = ptp_ref_data(node->block, row.data);
    partita_str text = ptp_ref_str(node->block, texts[direction * per + i]);
    for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
        if (ptp_str_is(text, known[k][0])) return known[k][1];
    }
    return NULL;
}

static int direction_count(const gpu_node *node) {
    return gpu_string_is(node, "direction", "bidirectional", "forward") ? 2 : 1;
}

static bool check_recurrent(gpu_check *check) {
    const gpu_node *node = check->node;
    int kind = kind_of(node);
    partita_str direction = ptp_attribute_str(node->block, &node->row, "direction");
    if (!gpu_string_is(node, "direction", "forward", "forward") &&
        !gpu_string_is(node, "direction", "reverse", "forward") && direction_count(node) == 1) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "direction %.*s", (int)direction.size, direction.data);
    }
    for (int d = 0; d < direction_count(node); d++) {
        for (int i = 0; i < activations_of(kind); i++) {
            if (!activation(node, d, i)) {
                return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE,
                                  "activation %d of direction %d is none of Sigmoid, Tanh, Relu", i, d);
            }
        }
    }
    if (node->inputs[0].rank != 3 || node->inputs[1].rank != 3 || node->inputs[2].rank != 3) {
        return gpu_refuse(check, PARTITA_REASON_RANK, "ranks %d, %d, %d, only 3", node->inputs[0].rank,
                          node->inputs[1].rank, node->inputs[2].rank);
    }
    const gpu_operand *lengths = gpu_input(node, 4);
    if (lengths && lengths->dtype != PARTITA_INT32) {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "sequence_lens is %s", gpu_dtype_name(lengths->dtype));
    }
    uint32_t count;
    ptp_attribute_row row;
    const char *const tables[] = {"activation_alpha", "activation_beta"};
    for (int i = 0; i < 2; i++) {
        ptp_attribute_floats(node->block, &node->row, tables[i], &count);
        if (count > 0 && ptp_attribute_find(node->block, &node->row, tables[i], &row)) {
            return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "%s has %u numbers", tables[i], count);
        }
    }
    for (uint32_t i = 1; i < node->input_count; i++) {
        const gpu_operand *operand = i == 4 ? NULL : gpu_input(node, i);
        if (operand && operand->dtype != PARTITA_FLOAT32) {
            return gpu_refuse(check, PARTITA_REASON_DTYPE, "input %u is %s", i, gpu_dtype_name(operand->dtype));
        }
    }
    return true;
}

/* Sizes and buffers of one node. */
typedef struct recurrent {
    int kind, gates;
    int64_t steps, batch, units, width, directions;
    bool batch_first;
    gpu_ref gate_inputs; /* [direction, step or batch, batch or step, gates * units] */
    gpu_ref y;
    gpu_ref state[2];
    gpu_ref aux;
} recurrent;

/* x times W of every direction, plus the first half of the bias. */
static partita_status emit_inputs(gpu_plan *plan, const recurrent *r) {
    bool bias = gpu_input(plan->node, 3) != NULL;
    int64_t columns = r->gates * r->units, rows = r->steps * r->batch;
    gpu_product product = {.m = rows,
                           .n = columns,
                           .k = r->width,
                           .a_row = r->width,
                           .a_column = 1,
                           .b_row = 1,
                           .b_column = r->width,
                           .bias_row = 0,
                           .bias_column = 1,
                           .alpha = 1,
                           .beta = 1,
                           .has_bias = bias,
                           .batch_rank = 1,
                           .batch = {r->directions},
                           .a_batch = {0},
                           .b_batch = {columns * r->width},
                           .bias_batch = {2 * columns}};
    return gpu_emit_product(plan, &product, gpu_ref_in(plan, 0), gpu_ref_in(plan, 1), gpu_ref_in(plan, bias ? 3 : 1),
                            r->gate_inputs);
}

/* [batch, units] of one direction between a tensor with a direction axis and a state buffer. */
static gpu_move state_move(const recurrent *r, int direction, int64_t part, bool into_state) {
    int64_t outer = r->batch_first ? r->directions * r->units : r->units;
    int64_t base = r->batch_first ? direction * r->units : direction * r->batch * r->units;
    gpu_move move = {.rank = 2, .dims = {r->batch, r->units}};
    move.from[0] = into_state ? outer : r->units;
    move.to[0] = into_state ? r->units : outer;
    move.from[1] = move.to[1] = 1;
    move.from_base = into_state ? base : part * r->batch * r->units;
    move.to_base = into_state ? part * r->batch * r->units : base;
    return move;
}

static partita_status emit_zero(gpu_plan *plan, int64_t elements, gpu_ref target) {
    gpu_call call;
    gpu_call_init(&call, "fill");
    gpu_define_text(&call, "S", "u32");
    gpu_define_text(&call, "FILL", "CAST(S, P(1))");
    gpu_bind(&call, target);
    gpu_param(&call, elements);
    gpu_param(&call, 0);
    gpu_grid_linear(plan->device, &call, (uint64_t)elements, 64);
    return gpu_emit(plan, &call);
}

/* The first state of a direction: zeros, then what is given. */
static partita_status emit_start(gpu_plan *plan, const recurrent *r, int direction) {
    int parts = r->kind == KIND_LSTM ? 2 : 1;
    bool whole = gpu_input(plan->node, 5) && (parts == 1 || gpu_input(plan->node, 6));
    partita_status status = whole ? PARTITA_OK : emit_zero(plan, r->batch * r->units * parts, r->state[0]);
    for (int part = 0; part < parts && status == PARTITA_OK; part++) {
        uint32_t input = 5 + (uint32_t)part;
        if (!gpu_input(plan->node, input)) continue;
        gpu_move move = state_move(r, direction, part, true);
        status = gpu_emit_move(plan, &move, PARTITA_FLOAT32, gpu_ref_in(plan, input), r->state[0]);
    }
    return status;
}

static partita_status emit_step(gpu_plan *plan, const recurrent *r, int direction, int64_t step, int phase) {
    static const char *const names[] = {"ACT_F", "ACT_G", "ACT_H"};
    const gpu_node *node = plan->node;
    bool bias = gpu_input(node, 3) != NULL, lengths = gpu_input(node, 4) != NULL,
         peepholes = gpu_input(node, 7) != NULL;
    bool reverse = gpu_string_is(node, "direction", "reverse", "forward") || direction == 1;
    int64_t columns = r->gates * r->units;
    gpu_call call;
    gpu_call_init(&call, "recurrent");
    gpu_define(&call, "KIND", r->kind);
    gpu_define(&call, "GATES", r->gates);
    gpu_define(&call, "PHASE", phase);
    gpu_define(&call, "HAS_BIAS", bias);
    gpu_define(&call, "HAS_LENGTHS", lengths);
    gpu_define(&call, "HAS_PEEPHOLES", peepholes);
    gpu_define(&call, "INPUT_FORGET", gpu_int(node, "input_forget", 0) != 0);
    for (int i = 0; i < activations_of(r->kind); i++) gpu_define_text(&call, names[i], activation(node, direction, i));
    gpu_ref state = r->state[step % 2], next = r->state[(step + 1) % 2];
    gpu_bind(&call, r->gate_inputs);
    gpu_bind(&call, gpu_ref_in(plan, 2));
    gpu_bind(&call, state);
    gpu_bind(&call, bias ? gpu_ref_in(plan, 3) : state);
    gpu_bind(&call, lengths ? gpu_ref_in(plan, 4) : state);
    gpu_bind(&call, r->y);
    gpu_bind(&call, next);
    gpu_bind(&call, peepholes ? gpu_ref_in(plan, 7) : r->aux);
    gpu_param(&call, r->batch);
    gpu_param_divisor(&call, r->units);
    gpu_param(&call, step);
    gpu_param(&call, r->steps);
    gpu_param(&call, direction * columns * r->units);
    gpu_param(&call, direction * 3 * r->units);
    gpu_param(&call, direction * 2 * columns + columns);
    gpu_param(&call, r->batch_first ? columns : r->batch * columns);
    gpu_param(&call, r->batch_first ? r->steps * columns : columns);
    /* y: [step, direction, batch, unit], or [batch, step, direction, unit] */
    gpu_param(&call, r->batch_first ? r->directions * r->units : r->directions * r->batch * r->units);
    gpu_param(&call, r->batch_first ? r->steps * r->directions * r->units : r->units);
    gpu_param(&call, direction * (r->batch_first ? r->units : r->batch * r->units));
    gpu_param_float(&call, gpu_float(node, "clip", 0));
    gpu_param(&call, reverse);
    /* the gate inputs of a direction follow those of the one before it: part of the row's offset */
    gpu_param(&call, direction * r->steps * r->batch * columns);
    gpu_grid_linear(plan->device, &call, (uint64_t)(r->batch * r->units), 64);
    return gpu_emit(plan, &call);
}

static partita_status emit_direction(gpu_plan *plan, const recurrent *r, int direction, bool two_phases) {
    partita_status status = emit_start(plan, r, direction);
    for (int64_t step = 0; step < r->steps && status == PARTITA_OK; step++) {
        if (two_phases) status = emit_step(plan, r, direction, step, 1);
        if (status == PARTITA_OK) status = emit_step(plan, r, direction, step, two_phases ? 2 : 0);
    }
    for (uint32_t part = 0; part < 2 && status == PARTITA_OK; part++) {
        if (!gpu_output(plan->node, 1 + part)) continue;
        gpu_move move = state_move(r, direction, part, false);
        status = gpu_emit_move(plan, &move, PARTITA_FLOAT32, r->state[r->steps % 2], gpu_ref_out(plan, 1 + part));
    }
    return status;
}

static partita_status plan_recurrent(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    const gpu_operand *x = &node->inputs[0];
    recurrent r = {.kind = kind_of(node)};
    r.gates = gates_of(r.kind);
    r.batch_first = gpu_int(node, "layout", 0) != 0;
    r.steps = x->dims[r.batch_first ? 1 : 0];
    r.batch = x->dims[r.batch_first ? 0 : 1];
    r.width = x->dims[2];
    r.units = node->inputs[2].dims[2];
    r.directions = direction_count(node);
    int64_t cells = gpu_times(r.batch, r.units), parts = r.kind == KIND_LSTM ? 2 : 1;
    bool two_phases = r.kind == KIND_GRU && gpu_int(node, "linear_before_reset", 0) == 0;
    int64_t rows = gpu_times(r.directions, gpu_times(r.steps, r.batch));
    partita_status status = gpu_temp(plan, gpu_times(rows, gpu_times(r.gates, r.units)), 4, &r.gate_inputs);
    for (int i = 0; i < 2 && status == PARTITA_OK; i++) status = gpu_temp(plan, cells * parts, 4, &r.state[i]);
    if (status == PARTITA_OK) status = gpu_temp(plan, two_phases ? 2 * cells : 1, 4, &r.aux);
    r.y = gpu_ref_out(plan, 0);
    if (status == PARTITA_OK && !gpu_output(node, 0)) status = gpu_temp(plan, gpu_times(rows, r.units), 4, &r.y);
    if (status == PARTITA_OK) status = emit_inputs(plan, &r);
    for (int d = 0; d < r.directions && status == PARTITA_OK; d++) status = emit_direction(plan, &r, d, two_phases);
    return status;
}

#define COMMON "activation_alpha,activation_beta,activations,clip,direction,hidden_size,layout"
const gpu_op gpu_ops_recurrent[] = {
    {"LSTM", 7, 28, "F", COMMON ",input_forget", 8, 3, 0, 0, check_recurrent, plan_recurrent, NULL, 0.1f},
    {"GRU", 7, 28, "F", COMMON ",linear_before_reset", 6, 2, 0, 0, check_recurrent, plan_recurrent, NULL, 0.1f},
    {"RNN", 7, 28, "F", COMMON, 6, 2, 0, 0, check_recurrent, plan_recurrent, NULL, 0.1f},
    {0},
};
