/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a part's block to a program: kernels are resolved, constants found, states prepared, last uses counted.
 */
#include "cpu/program/groups.h"
#include "cpu/program/internal.h"

static ptp_weight *weight_at(const ptp_compile *compile, uint32_t index) {
    if (index == PARTITA_NONE || index >= compile->weight_count) return NULL;
    return (ptp_weight *)((char *)compile->weights + (size_t)index * compile->weights->size);
}

/* A weight that is strings or sparse comes as a handle. */
static partita_status constant_bind(cpu_program *program, cpu_slot *slot, const ptp_compile *compile) {
    cpu_tensor *tensor = &slot->tensor;
    const int64_t *dims = ptp_ref_data(program->block, slot->row.dims);
    const ptp_weight *weight = weight_at(compile, slot->row.weight);
    if (weight != NULL && weight->value != NULL) {
        slot->constant = true;
        return cpu_tensor_of_value(program->host, weight->value, tensor);
    }
    if (slot->handle || slot->row.rank < 0) return PARTITA_OK;
    tensor->rank = (uint32_t)slot->row.rank;
    tensor->dims = dims;
    if (!cpu_shape_size(tensor->dtype, tensor->rank, dims, &tensor->count, &tensor->bytes))
        return cpu_fail(program->host, PARTITA_BAD_MODEL, "a constant has an impossible shape");
    if (weight != NULL) {
        if (weight->bytes < tensor->bytes)
            return cpu_fail(program->host, PARTITA_BAD_MODEL, "a weight has %llu bytes, its shape needs %llu",
                            (unsigned long long)weight->bytes, (unsigned long long)tensor->bytes);
        tensor->data = (void *)(uintptr_t)weight->data;
        program->weight_bytes += tensor->bytes;
    } else {
        if (slot->row.data.count < tensor->bytes)
            return cpu_fail(program->host, PARTITA_BAD_MODEL, "a constant has no data");
        tensor->data = (void *)(uintptr_t)ptp_ref_data(program->block, slot->row.data);
    }
    slot->constant = true;
    return PARTITA_OK;
}

static partita_status slots_make(cpu_program *program, const ptp_compile *compile) {
    program->slot_count = program->value_count = program->block->values.count;
    program->slots = cpu_alloc(program->host, sizeof(cpu_slot) * ((uint64_t)program->slot_count +
                                                                  2 * (uint64_t)cpu_widen_count(program->block)));
    if (program->slots == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        cpu_slot *slot = &program->slots[i];
        slot->row = ptp_value_at(program->block, i);
        slot->shape_of = i;
        slot->wide = slot->in_port = slot->out_port = slot->producer = slot->last_step = PARTITA_NONE;
        slot->tensor.kind = slot->row.kind;
        slot->tensor.dtype = slot->row.dtype;
        slot->handle = slot->row.kind != PARTITA_KIND_TENSOR || slot->row.dtype == PARTITA_STRING;
        if ((slot->row.flags & PTP_VALUE_CONSTANT) != 0) {
            partita_status status = constant_bind(program, slot, compile);
            if (status != PARTITA_OK) return status;
        }
    }
    return PARTITA_OK;
}

static partita_status ports_make(cpu_program *program) {
    ptp_graph_row graph = ptp_graph_at(program->block, 0);
    program->in_port_count = graph.inputs.count;
    program->out_port_count = graph.outputs.count;
    program->in_ports = ptp_ref_data(program->block, graph.inputs);
    program->out_ports = ptp_ref_data(program->block, graph.outputs);
    program->copies = cpu_alloc(program->host, sizeof(cpu_copy) * (uint64_t)graph.outputs.count);
    if (program->copies == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < program->in_port_count; i++) program->slots[program->in_ports[i]].in_port = i;
    for (uint32_t i = 0; i < program->out_port_count; i++) {
        cpu_slot *slot = &program->slots[program->out_ports[i]];
        if (slot->in_port != PARTITA_NONE || slot->constant || slot->out_port != PARTITA_NONE)
            program->copies[program->copy_count++] = (cpu_copy){program->out_ports[i], i};
        else
            slot->out_port = i;
    }
    return PARTITA_OK;
}

/* A weight's pages may be dropped when every reader in this part has packed it. */
static void weight_modes(cpu_program *program, ptp_compile *compile, const uint8_t *packed, const uint8_t *read) {
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const cpu_slot *slot = &program->slots[i];
        ptp_weight *weight = weight_at(compile, slot->row.weight);
        if (!slot->constant || weight == NULL) continue;
        weight->mode = packed[i] && !read[i] ? PTP_WEIGHT_REPACK_RELEASE : PTP_WEIGHT_BORROW;
    }
    for (uint32_t i = 0; i < program->copy_count; i++) {
        ptp_weight *weight = weight_at(compile, program->slots[program->copies[i].value].row.weight);
        if (weight != NULL) weight->mode = PTP_WEIGHT_BORROW;
    }
}

static const cpu_tensor *constant_at(const cpu_node *node, uint32_t value) {
    const cpu_program *program = node->owner;
    return value < program->slot_count && program->slots[value].constant ? &program->slots[value].tensor : NULL;
}

static cpu_node node_of(const cpu_program *program, const ptp_compile *compile, uint32_t node_index) {
    return (cpu_node){.block = program->block,
                      .row = ptp_node_at(program->block, node_index),
                      .row_index = node_index,
                      .level = program->config.level,
                      .precision = compile->precision,
                      .constant_at = constant_at,
                      .owner = program};
}

/* The slot that a step reads or writes for a value of the block. */
static uint32_t slot_of(const cpu_program *program, const cpu_node *node, ptp_ref list, uint32_t i) {
    uint32_t value = ptp_ref_id(program->block, list, i);
    bool wide = node->widened && value != PARTITA_NONE && program->slots[value].wide != PARTITA_NONE;
    return wide ? program->slots[value].wide : value;
}

static partita_status step_make(cpu_program *program, cpu_node *node, cpu_step *step, cpu_tensor *constants) {
    partita_str name = ptp_ref_str(program->block, node->row.name);
    ptp_answer answer = {.size = sizeof(answer)};
    for (uint32_t i = 0; i < node->row.inputs.count; i++) {
        uint32_t value = slot_of(program, node, node->row.inputs, i);
        constants[i] =
            value != PARTITA_NONE && program->slots[value].constant ? program->slots[value].tensor : (cpu_tensor){0};
    }
    node->constants = constants;
    step->node = node->row_index;
    step->kernel = node->row.bodies.count > 0 ? NULL : cpu_kernel_find(node, program->config.reference, &answer);
    if (step->kernel == NULL)
        return cpu_fail(program->host, PARTITA_CANNOT_COMPILE, "%.*s: %s", (int)name.size, name.data,
                        node->row.bodies.count > 0 ? "nested graphs are the host's" : answer.text);
    step->us = cpu_node_cost(node, 1, program->config.reference);
    if (step->kernel->prepare == NULL) return PARTITA_OK;
    partita_status status = step->kernel->prepare(node, program->host, &step->state);
    if (status == PARTITA_OK || status == PARTITA_OUT_OF_MEMORY) return status;
    char text[256];
    strncpy(text, cpu_fail_text(), sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    return cpu_fail(program->host, status, "%.*s: %s", (int)name.size, name.data, text);
}

static void step_values(cpu_program *program, cpu_step *step, const cpu_node *node, uint32_t index) {
    step->first_arg = program->arg_count;
    step->in_count = node->row.inputs.count;
    step->out_count = node->row.outputs.count;
    for (uint32_t i = 0; i < step->in_count; i++) {
        uint32_t value = slot_of(program, node, node->row.inputs, i);
        program->args[program->arg_count++] = value;
        if (value == PARTITA_NONE) continue;
        program->slots[value].last_step = index;
        step->bytes += (double)program->slots[value].row.bytes;
    }
    for (uint32_t i = 0; i < step->out_count; i++) {
        uint32_t value = slot_of(program, node, node->row.outputs, i);
        program->args[program->arg_count++] = value;
        if (value == PARTITA_NONE) continue;
        program->slots[value].producer = index;
        program->slots[value].last_step = index;
        step->bytes += (double)program->slots[value].row.bytes;
    }
}

/* What steps_make notes by value while it goes. */
typedef struct notes {
    uint8_t *packed, *read;
    cpu_tensor *constants;
} notes;

static partita_status node_add(cpu_program *program, cpu_node *node, notes *n) {
    const ptp_node_row *row = &node->row;
    for (uint32_t i = 0; node->widened && i < row->inputs.count; i++) {
        uint32_t value = ptp_ref_id(program->block, row->inputs, i);
        partita_status status = cpu_widen_input(program, node->row_index, value);
        if (status != PARTITA_OK) return status;
        if (value != PARTITA_NONE && program->slots[value].constant) n->packed[value] = 1;
    }
    for (uint32_t i = 0; node->widened && i < row->outputs.count; i++)
        cpu_widen_output(program, ptp_ref_id(program->block, row->outputs, i));
    uint32_t index = program->step_count++;
    cpu_step *step = &program->steps[index];
    partita_status status = step_make(program, node, step, n->constants);
    if (status != PARTITA_OK) return status;
    step_values(program, step, node, index);
    for (uint32_t a = 0; a < step->in_count; a++) {
        uint32_t value = program->args[step->first_arg + a];
        if (value == PARTITA_NONE) continue;
        if (a == 1 && step->kernel->packs_weights)
            n->packed[value] = 1;
        else
            n->read[value] = 1;
    }
    for (uint32_t i = 0; node->widened && i < row->outputs.count; i++) {
        uint32_t value = ptp_ref_id(program->block, row->outputs, i);
        cpu_widen_round(program, node->row_index, value);
    }
    return PARTITA_OK;
}

static partita_status steps_make(cpu_program *program, ptp_compile *compile) {
    const ptp_host *host = program->host;
    ptp_graph_row graph = ptp_graph_at(program->block, 0);
    partita_status status = PARTITA_OUT_OF_MEMORY;
    uint64_t arg_limit = 0, in_limit = 1, halves = cpu_widen_count(program->block);
    uint64_t slots = program->slot_count + 2 * halves;
    notes n = {.packed = cpu_alloc(host, slots), .read = cpu_alloc(host, slots)};
    for (uint32_t i = 0; i < graph.node_count; i++) {
        ptp_node_row row = ptp_node_at(program->block, graph.first_node + i);
        arg_limit += (uint64_t)row.inputs.count + row.outputs.count;
        if (row.inputs.count > in_limit) in_limit = row.inputs.count;
    }
    n.constants = cpu_alloc(host, sizeof(cpu_tensor) * in_limit);
    /* A half value is widened at most once, and rounded at most once. */
    program->args = cpu_alloc(host, sizeof(uint32_t) * (arg_limit + 4 * halves));
    program->steps = cpu_alloc(host, sizeof(cpu_step) * (graph.node_count + 2 * halves));
    if (n.packed == NULL || n.read == NULL || n.constants == NULL || program->args == NULL || program->steps == NULL)
        goto out;
    for (uint32_t i = 0; i < graph.node_count; i++) {
        cpu_node node = node_of(program, compile, graph.first_node + i);
        node.widened = halves > 0 && !program->config.reference && cpu_widen_fits(program, &node);
        status = node_add(program, &node, &n);
        if (status != PARTITA_OK) goto out;
        if (compile->job != NULL && (i & 31) == 0) {
            status =
                host->job_progress(host->self, compile->job, (float)i / (float)graph.node_count, "prepare kernels");
            if (status != PARTITA_OK) goto out;
        }
    }
    weight_modes(program, compile, n.packed, n.read);
    for (uint32_t i = program->value_count; i < program->slot_count; i++)
        if (n.packed[i] && !n.read[i]) cpu_widen_free(program, i);
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (program->slots[i].out_port != PARTITA_NONE) program->slots[i].last_step = program->step_count;
    for (uint32_t i = 0; i < program->copy_count; i++)
        program->slots[program->copies[i].value].last_step = program->step_count;
    status = PARTITA_OK;
out:
    cpu_free(host, n.packed);
    cpu_free(host, n.read);
    cpu_free(host, n.constants);
    return status;
}

/* The part with its quantised groups as operators on integers; those without a kernel stay as they are. */
static partita_status groups_make(cpu_program *program, const ptp_compile *compile) {
    const ptp_host *host = program->host;
    uint32_t count = compile->block->units.count;
    partita_status status = PARTITA_OUT_OF_MEMORY;
    uint32_t *units = NULL;
    if (program->config.reference || count == 0) return PARTITA_OK;
    units = cpu_alloc(host, sizeof(uint32_t) * (uint64_t)count);
    for (uint32_t i = 0; units != NULL && i < count; i++) units[i] = i;
    if (units != NULL) status = cpu_groups_create(host, compile->block, units, count, compile, &program->groups);
    for (uint32_t i = 0; status == PARTITA_OK && i < count; i++)
        if (!cpu_groups_fit(program->groups, i, program->config.level, compile->precision))
            cpu_groups_drop(program->groups, i);
    if (status == PARTITA_OK) status = cpu_groups_apply(program->groups);
    if (status == PARTITA_OK) program->block = cpu_groups_block(program->groups);
    cpu_free(host, units);
    return status;
}

partita_status cpu_program_create(const cpu_program_config *config, ptp_compile *compile, cpu_program **out_program) {
    cpu_program *program = cpu_alloc(config->host, sizeof(*program));
    partita_status status;
    uint32_t have;
    *out_program = NULL;
    if (program == NULL) return PARTITA_OUT_OF_MEMORY;
    program->host = config->host;
    program->config = *config;
    program->block = compile->block;
    program->infer = compile->infer;
    have = config->host->workers(config->host->self);
    program->workers = config->workers > 0 && config->workers < have ? config->workers : have;
    status = groups_make(program, compile);
    if (status == PARTITA_OK) status = slots_make(program, compile);
    if (status == PARTITA_OK) status = ports_make(program);
    if (status == PARTITA_OK) status = steps_make(program, compile);
    if (status != PARTITA_OK) {
        cpu_program_destroy(program);
        return status;
    }
    *out_program = program;
    return PARTITA_OK;
}

void cpu_program_destroy(cpu_program *program) {
    const ptp_host *host;
    if (program == NULL) return;
    host = program->host;
    for (uint32_t i = 0; i < program->step_count; i++) {
        const cpu_step *step = &program->steps[i];
        if (step->state != NULL && step->kernel->release != NULL) step->kernel->release(host, step->state);
    }
    for (uint32_t i = program->value_count; i < program->slot_count; i++) cpu_widen_free(program, i);
    cpu_free(host, program->slots);
    cpu_free(host, program->steps);
    cpu_free(host, program->args);
    cpu_free(host, program->copies);
    cpu_groups_destroy(program->groups);
    cpu_free(host, program);
}

bool cpu_slot_is_static(const cpu_slot *slot) {
    return !slot->handle && slot->row.rank >= 0 && (slot->row.flags & PTP_VALUE_DATA_SHAPED) == 0;
}

uint64_t cpu_program_weight_bytes(const cpu_program *program) { return program->weight_bytes; }
