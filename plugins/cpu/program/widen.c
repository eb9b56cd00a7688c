/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Float16 and bfloat16 where the fast kernels are those of float32: the step reads its inputs as float32 and what it
 * gives is rounded, as everywhere. A value is widened once, however many such steps read it, a constant when the part
 * is compiled.
 */
#include "cpu/kernels/support.h"
#include "cpu/program/internal.h"

#define BLOCK        4096 /* elements of an item */
#define BYTES_PER_US 10e3

static bool is_half(partita_dtype dtype) { return dtype == PARTITA_FLOAT16 || dtype == PARTITA_BFLOAT16; }

static bool is_wanted(const cpu_program *program, uint32_t value) {
    return value != PARTITA_NONE && is_half(program->slots[value].row.dtype);
}

uint32_t cpu_widen_count(const ptp_block *block) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < block->values.count; i++) count += is_half(ptp_value_at(block, i).dtype);
    return count;
}

/* ---- the two conversions, as kernels --------------------------------------------------------- */

static uint64_t convert_items(const cpu_call *call) { return cpu_blocks(call->in[0].count, BLOCK); }

static partita_status convert_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    uint64_t first = begin * BLOCK, last = end * BLOCK < in->count ? end * BLOCK : in->count;
    (void)worker;
    if (out->dtype == PARTITA_FLOAT32)
        cpu_load_floats(in->dtype, in->data, first, last - first, (float *)out->data + first);
    else
        cpu_store_floats(out->dtype, out->data, first, last - first, (const float *)in->data + first);
    return PARTITA_OK;
}

static const cpu_kernel conversion = {.op = "Cast", .domain = "", .items = convert_items, .run = convert_run};

static void conversion_add(cpu_program *program, uint32_t node, uint32_t from, uint32_t to) {
    uint32_t index = program->step_count++;
    cpu_step *step = &program->steps[index];
    step->kernel = &conversion;
    step->node = node;
    step->first_arg = program->arg_count;
    step->in_count = step->out_count = 1;
    step->bytes = (double)program->slots[from].row.bytes + (double)program->slots[to].row.bytes;
    step->us = step->bytes / BYTES_PER_US;
    program->args[program->arg_count++] = from;
    program->args[program->arg_count++] = to;
    program->slots[from].last_step = program->slots[to].last_step = program->slots[to].producer = index;
}

/* ---- values ---------------------------------------------------------------------------------- */

static partita_status constant_widen(cpu_program *program, const cpu_tensor *from, cpu_tensor *to) {
    *to = *from;
    to->dtype = PARTITA_FLOAT32;
    if (!cpu_shape_size(to->dtype, to->rank, to->dims, &to->count, &to->bytes))
        return cpu_fail(program->host, PARTITA_BAD_MODEL, "a constant has an impossible shape");
    to->data = cpu_alloc(program->host, to->bytes);
    if (to->data == NULL) return PARTITA_OUT_OF_MEMORY;
    cpu_load_floats(from->dtype, from->data, 0, from->count, to->data);
    return PARTITA_OK;
}

/* The value as float32, as yet without a producer. */
static uint32_t slot_add(cpu_program *program, uint32_t value) {
    uint32_t index = program->slot_count++;
    cpu_slot *wide = &program->slots[index];
    *wide = (cpu_slot){.row = program->slots[value].row,
                       .shape_of = value,
                       .wide = PARTITA_NONE,
                       .in_port = PARTITA_NONE,
                       .out_port = PARTITA_NONE,
                       .producer = PARTITA_NONE,
                       .last_step = PARTITA_NONE,
                       .tensor = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32}};
    wide->row.dtype = PARTITA_FLOAT32;
    wide->row.bytes *= 2;
    wide->row.weight = PARTITA_NONE;
    program->slots[value].wide = index;
    return index;
}

partita_status cpu_widen_input(cpu_program *program, uint32_t node, uint32_t value) {
    if (!is_wanted(program, value) || program->slots[value].wide != PARTITA_NONE) return PARTITA_OK;
    uint32_t wide = slot_add(program, value);
    if (!program->slots[value].constant) {
        conversion_add(program, node, value, wide);
        return PARTITA_OK;
    }
    partita_status status = constant_widen(program, &program->slots[value].tensor, &program->slots[wide].tensor);
    program->slots[wide].constant = status == PARTITA_OK;
    return status;
}

void cpu_widen_output(cpu_program *program, uint32_t value) {
    if (is_wanted(program, value)) slot_add(program, value);
}

void cpu_widen_round(cpu_program *program, uint32_t node, uint32_t value) {
    if (!is_wanted(program, value)) return;
    conversion_add(program, node, program->slots[value].wide, value);
    program->slots[value].wide = PARTITA_NONE; /* who reads it sees it rounded */
}

void cpu_widen_free(cpu_program *program, uint32_t slot) {
    if (slot < program->value_count || !program->slots[slot].constant) return;
    cpu_free(program->host, program->slots[slot].tensor.data);
    program->slots[slot].tensor.data = NULL;
}

/* ---- which nodes ----------------------------------------------------------------------------- */

/* Shapes that only data tells come from the host's inference, which knows the model's types only. */
static bool values_fit(const cpu_program *program, ptp_ref list, bool *out_half) {
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t value = ptp_ref_id(program->block, list, i);
        if (value == PARTITA_NONE) continue;
        if (!program->slots[value].constant && !cpu_slot_is_static(&program->slots[value])) return false;
        *out_half = *out_half || is_wanted(program, value);
    }
    return true;
}

/* ONNX defines these by steps, each of which rounds: their kernels of the short types do. */
static bool is_stepwise(const cpu_node *node) {
    static const char *const names[] = {"Softmax", "LogSoftmax", "Attention", "RotaryEmbedding"};
    partita_str op = ptp_ref_str(node->block, node->row.op);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (ptp_str_is(op, names[i])) return true;
    return false;
}

bool cpu_widen_fits(const cpu_program *program, const cpu_node *plain) {
    ptp_answer answer = {.size = sizeof(answer)};
    cpu_node node = *plain;
    bool in = false, out = false; /* what a constant's type or a code's rounding is, only the own type tells */
    if (node.row.bodies.count > 0 || is_stepwise(&node) || !values_fit(program, node.row.inputs, &in) ||
        !values_fit(program, node.row.outputs, &out) || !in || !out)
        return false;
    const cpu_kernel *narrow = cpu_kernel_find(&node, false, &answer);
    if (narrow == NULL || !narrow->reference) return false;
    node.widened = true;
    const cpu_kernel *wide = cpu_kernel_find(&node, false, &answer);
    return wide != NULL && !wide->reference && !wide->emit && !wide->view;
}
