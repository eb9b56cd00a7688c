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
    program->slot_count = program->block->values.count;
    program->slots = cpu_alloc(program->host, sizeof(cpu_slot) * (uint64_t)program->slot_count);
    if (program->slots == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        cpu_slot *slot = &program->slots[i];
        slot->row = ptp_value_at(program->block, i);
        slot->in_port = slot->out_port = slot->producer = slot->last_step = PARTITA_NONE;
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

static partita_status step_make(cpu_program *program, const ptp_compile *compile, uint32_t node_index, cpu_step *step,
                                cpu_tensor *constants) {
    cpu_node node = {.block = program->block,
                     .row = ptp_node_at(program->block, node_index),
                     .row_index = node_index,
                     .level = program->config.level,
                     .precision = compile->precision,
                     .constants = constants,
                     .constant_at = constant_at,
                     .owner = program};
    partita_str name = ptp_ref_str(program->block, node.row.name);
    ptp_answer answer = {.size = sizeof(answer)};
    for (uint32_t i = 0; i < node.row.inputs.count; i++) {
        uint32_t value = ptp_ref_id(program->block, node.row.inputs, i);
        constants[i] =
            value != PARTITA_NONE && program->slots[value].constant ? program->slots[value].tensor : (cpu_tensor){0};
    }
    step->node = node_index;
    step->kernel = node.row.bodies.count > 0 ? NULL : cpu_kernel_find(&node, program->config.reference, &answer);
    if (step->kernel == NULL)
        return cpu_fail(program->host, PARTITA_CANNOT_COMPILE, "%.*s: %s", (int)name.size, name.data,
                        node.row.bodies.count > 0 ? "nested graphs are the host's" : answer.text);
    step->us = cpu_node_cost(&node, 1, program->config.reference);
    if (step->kernel->prepare == NULL) return PARTITA_OK;
    partita_status status = step->kernel->prepare(&node, program->host, &step->state);
    if (status == PARTITA_OK || status == PARTITA_OUT_OF_MEMORY) return status;
    char text[256];
    strncpy(text, cpu_fail_text(), sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    return cpu_fail(program->host, status, "%.*s: %s", (int)name.size, name.data, text);
}

static void step_values(cpu_program *program, cpu_step *step, const ptp_node_row *row, uint32_t index) {
    step->first_arg = program->arg_count;
    step->in_count = row->inputs.count;
    step->out_count = row->outputs.count;
    for (uint32_t i = 0; i < row->inputs.count; i++) {
        uint32_t value = ptp_ref_id(program->block, row->inputs, i);
        program->args[program->arg_count++] = value;
        if (value == PARTITA_NONE) continue;
        program->slots[value].last_step = index;
        step->bytes += (double)program->slots[value].row.bytes;
    }
    for (uint32_t i = 0; i < row->outputs.count; i++) {
        uint32_t value = ptp_ref_id(program->block, row->outputs, i);
        program->args[program->arg_count++] = value;
        if (value == PARTITA_NONE) continue;
        program->slots[value].producer = index;
        program->slots[value].last_step = index;
        step->bytes += (double)program->slots[value].row.bytes;
    }
}

static partita_status steps_make(cpu_program *program, ptp_compile *compile) {
    const ptp_host *host = program->host;
    ptp_graph_row graph = ptp_graph_at(program->block, 0);
    partita_status status = PARTITA_OUT_OF_MEMORY;
    uint64_t arg_limit = 0, in_limit = 1;
    cpu_tensor *constants = NULL;
    uint8_t *packed = cpu_alloc(host, program->slot_count), *read = cpu_alloc(host, program->slot_count);
    for (uint32_t i = 0; i < graph.node_count; i++) {
        ptp_node_row row = ptp_node_at(program->block, graph.first_node + i);
        arg_limit += (uint64_t)row.inputs.count + row.outputs.count;
        if (row.inputs.count > in_limit) in_limit = row.inputs.count;
    }
    constants = cpu_alloc(host, sizeof(cpu_tensor) * in_limit);
    program->args = cpu_alloc(host, sizeof(uint32_t) * arg_limit);
    program->steps = cpu_alloc(host, sizeof(cpu_step) * (uint64_t)graph.node_count);
    if (packed == NULL || read == NULL || constants == NULL || program->args == NULL || program->steps == NULL)
        goto out;
    for (uint32_t i = 0; i < graph.node_count; i++) {
        cpu_step *step = &program->steps[i];
        ptp_node_row row = ptp_node_at(program->block, graph.first_node + i);
        program->step_count = i + 1;
        status = step_make(program, compile, graph.first_node + i, step, constants);
        if (status != PARTITA_OK) goto out;
        step_values(program, step, &row, i);
        for (uint32_t a = 0; a < step->in_count; a++) {
            uint32_t value = program->args[step->first_arg + a];
            if (value == PARTITA_NONE) continue;
            if (a == 1 && step->kernel->packs_weights)
                packed[value] = 1;
            else
                read[value] = 1;
        }
        if (compile->job != NULL && (i & 31) == 0) {
            status =
                host->job_progress(host->self, compile->job, (float)i / (float)graph.node_count, "prepare kernels");
            if (status != PARTITA_OK) goto out;
        }
    }
    weight_modes(program, compile, packed, read);
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (program->slots[i].out_port != PARTITA_NONE) program->slots[i].last_step = program->step_count;
    for (uint32_t i = 0; i < program->copy_count; i++)
        program->slots[program->copies[i].value].last_step = program->step_count;
    status = PARTITA_OK;
out:
    cpu_free(host, packed);
    cpu_free(host, read);
    cpu_free(host, constants);
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
