/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of a frame: one team of workers goes through the steps together. Every worker takes its share of a step's
 * items; a barrier stands behind a step whose successor needs all of it. Small frames run on the calling thread alone.
 */
#include "cpu/program/internal.h"

#include <stdio.h>

const ptp_tensor *cpu_run_input(const cpu_run *run, uint32_t port) {
    return (const ptp_tensor *)((const char *)run->exec->inputs + (size_t)port * run->exec->inputs->size);
}

ptp_tensor *cpu_run_output(const cpu_run *run, uint32_t port) {
    return (ptp_tensor *)((char *)run->exec->outputs + (size_t)port * run->exec->outputs->size);
}

void *cpu_run_address(const cpu_run *run, uint32_t value) {
    const cpu_place *place = &run->frame->places[value];
    switch (place->kind) {
    case CPU_PLACE_CONSTANT: return place->tensor.data;
    case CPU_PLACE_IN_PORT: return cpu_run_input(run, (uint32_t)place->offset)->data;
    case CPU_PLACE_OUT_PORT: return cpu_run_output(run, (uint32_t)place->offset)->data;
    case CPU_PLACE_SCRATCH: return (char *)run->exec->scratch_data + place->offset;
    default: return NULL;
    }
}

void cpu_run_fail(cpu_run *run, uint32_t step, partita_status code, const char *text) {
    const cpu_program *program = run->frame->program;
    int expected = 0;
    if (!atomic_compare_exchange_strong(&run->claimed, &expected, 1)) return;
    if (text != NULL && text[0] != '\0') { /* without one the host knows the reason */
        ptp_node_row row = ptp_node_at(program->block, program->steps[step].node);
        partita_str name = ptp_ref_str(program->block, row.name), op = ptp_ref_str(program->block, row.op);
        snprintf(run->message, sizeof(run->message), "node %.*s (%.*s): %s", (int)name.size, name.data, (int)op.size,
                 op.data, text);
    }
    atomic_store(&run->status, code);
}

void cpu_run_range(cpu_run *run, uint32_t index, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_step *step = &run->frame->program->steps[index];
    if (begin >= end || atomic_load_explicit(&run->status, memory_order_relaxed) != PARTITA_OK) return;
    partita_status status = step->kernel->run(&run->calls[index].call, begin, end, worker);
    if (status != PARTITA_OK) cpu_run_fail(run, index, status, cpu_fail_text());
}

static void run_share(cpu_run *run, uint32_t index, uint64_t items, uint32_t worker, uint32_t count) {
    uint64_t each = items / count, rest = items % count;
    uint64_t begin = each * worker + (worker < rest ? worker : rest);
    cpu_run_range(run, index, begin, begin + each + (worker < rest), worker);
}

static void team_run(void *user, ptp_team *team, uint32_t worker, uint32_t count) {
    cpu_run *run = user;
    const cpu_frame *frame = run->frame;
    const ptp_host *host = frame->program->host;
    for (uint32_t s = 0; s < frame->program->step_count; s++) {
        const cpu_frame_step *here = &frame->steps[s];
        if (here->skip) continue;
        if (worker == 0 && run->exec->run != NULL && host->run_stopped(host->self, run->exec->run))
            cpu_run_fail(run, s, PARTITA_CANCELLED, NULL);
        if (here->dynamic) {
            if (worker == 0) cpu_dynamic_prepare(run, s, count);
            if (count > 1) host->team_barrier(team);
            if (run->calls[s].items > 0) {
                run_share(run, s, run->calls[s].items, worker, count);
                if (count > 1) host->team_barrier(team);
            }
            if (worker == 0) cpu_dynamic_retire(run, s);
            continue;
        }
        if (!here->solo)
            run_share(run, s, here->items, worker, count);
        else if (worker == 0)
            cpu_run_range(run, s, 0, here->items, 0);
        if (here->barrier && count > 1) host->team_barrier(team);
    }
}

static void calls_make(cpu_run *run) {
    const cpu_frame *frame = run->frame;
    const cpu_program *program = frame->program;
    memcpy(run->args, frame->args, sizeof(cpu_tensor) * (size_t)program->arg_count);
    for (uint32_t a = 0; a < program->arg_count; a++)
        if (program->args[a] != PARTITA_NONE) run->args[a].data = cpu_run_address(run, program->args[a]);
    for (uint32_t s = 0; s < program->step_count; s++) {
        const cpu_step *step = &program->steps[s];
        cpu_step_call *here = &run->calls[s];
        here->run = run;
        here->step = s;
        here->items = 0;
        here->call = (cpu_call){.state = step->state,
                                .in = run->args + step->first_arg,
                                .out = run->args + step->first_arg + step->in_count,
                                .in_count = step->in_count,
                                .out_count = step->out_count,
                                .scratch = (char *)run->exec->scratch_data + frame->steps[s].scratch_offset,
                                .workers = program->workers,
                                .host = program->host,
                                .runner = &run->runner};
    }
}

/* Input ports that the frame knows must have the bytes it was made for. */
static partita_status inputs_check(cpu_run *run) {
    const cpu_program *program = run->frame->program;
    if (run->exec->input_count < program->in_port_count || run->exec->output_count < program->out_port_count)
        return cpu_fail(program->host, PARTITA_INVALID_ARGUMENT, "fewer tensors than ports");
    for (uint32_t i = 0; i < program->in_port_count; i++) {
        const cpu_place *place = &run->frame->places[program->in_ports[i]];
        const ptp_tensor *tensor = cpu_run_input(run, i);
        if (place->kind == CPU_PLACE_IN_PORT && tensor->bytes < place->tensor.bytes)
            return cpu_fail(program->host, PARTITA_BAD_INPUT, "input %u has %llu bytes, its shape needs %llu", i,
                            (unsigned long long)tensor->bytes, (unsigned long long)place->tensor.bytes);
        if (place->kind != CPU_PLACE_DYNAMIC) continue;
        cpu_dynamic *dynamic = &run->dynamic[place->offset];
        if (tensor->value != NULL && tensor->data == NULL) {
            partita_status status = cpu_tensor_of_value(program->host, tensor->value, &dynamic->tensor);
            if (status != PARTITA_OK) return status;
        } else {
            dynamic->tensor = (cpu_tensor){.kind = tensor->kind,
                                           .dtype = tensor->dtype,
                                           .rank = tensor->rank,
                                           .dims = tensor->dims,
                                           .bytes = tensor->bytes,
                                           .data = tensor->data,
                                           .value = tensor->value};
            uint64_t bytes;
            if (tensor->kind != PARTITA_KIND_NONE &&
                !cpu_shape_size(tensor->dtype, tensor->rank, tensor->dims, &dynamic->tensor.count, &bytes))
                return cpu_fail(program->host, PARTITA_BAD_INPUT, "input %u has an impossible shape", i);
        }
    }
    return PARTITA_OK;
}

/* An output that is an input, a constant, or another output too. */
static partita_status copy_run(cpu_run *run, const cpu_copy *copy) {
    const cpu_program *program = run->frame->program;
    const ptp_host *host = program->host;
    const cpu_slot *slot = &program->slots[copy->value];
    const cpu_place *place = &run->frame->places[copy->value];
    cpu_tensor tensor = place->tensor;
    ptp_tensor *output = cpu_run_output(run, copy->port);
    if (place->kind == CPU_PLACE_DYNAMIC)
        tensor = run->dynamic[place->offset].tensor;
    else
        tensor.data = cpu_run_address(run, copy->value);
    if (tensor.value != NULL) return host->run_set_output(host->self, run->exec->run, copy->port, tensor.value);
    if (!cpu_slot_is_static(slot)) {
        partita_status status = host->run_alloc_output(host->self, run->exec->run, copy->port, tensor.dtype,
                                                       tensor.rank, tensor.dims, output);
        if (status != PARTITA_OK) return status;
    }
    if (tensor.bytes > 0 && output->bytes >= tensor.bytes) memcpy(output->data, tensor.data, tensor.bytes);
    return PARTITA_OK;
}

partita_status cpu_frame_run(const cpu_frame *frame, const ptp_exec *exec) {
    const cpu_program *program = frame->program;
    const ptp_host *host = program->host;
    char *scratch = exec->scratch_data;
    cpu_run run = {.runner = {cpu_dynamic_alloc, cpu_dynamic_set}, .frame = frame, .exec = exec};
    partita_status status;
    if (scratch == NULL || exec->scratch_bytes < frame->scratch_bytes)
        return cpu_fail(host, PARTITA_INVALID_ARGUMENT, "scratch of %llu bytes, %llu needed",
                        (unsigned long long)exec->scratch_bytes, (unsigned long long)frame->scratch_bytes);
    run.calls = (cpu_step_call *)(void *)(scratch + frame->calls_offset);
    run.args = (cpu_tensor *)(void *)(scratch + frame->args_offset);
    run.dynamic = (cpu_dynamic *)(void *)(scratch + frame->dynamic_offset);
    for (uint32_t i = 0; i < frame->dynamic_count; i++) {
        run.dynamic[i].tensor = (cpu_tensor){0};
        run.dynamic[i].owned = NULL;
        run.dynamic[i].held = NULL;
    }
    status = inputs_check(&run);
    if (status != PARTITA_OK) return status;
    calls_make(&run);
    if (frame->workers > 1)
        host->team(host->self, team_run, &run, frame->workers);
    else
        team_run(&run, NULL, 0, 1);
    status = atomic_load(&run.status);
    for (uint32_t i = 0; i < program->copy_count && status == PARTITA_OK; i++)
        status = copy_run(&run, &program->copies[i]);
    cpu_dynamic_clear(&run);
    if (run.message[0] != '\0') host->fail(host->self, status, run.message);
    return status;
}
