/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a run whose shapes are known only while it runs: outputs whose shape depends on data, what is computed
 * from them, and values that are no dense tensors. Worker 0 prepares such a step: arguments, shapes by the host's
 * inference or by the kernel itself, memory. What dies is freed behind its last reader.
 */
#include "cpu/program/groups.h"
#include "cpu/program/internal.h"

/* Steps that touch fewer bytes are run by worker 0 at once. */
#define SOLO_BYTES 65536u

partita_status cpu_tensor_of_value(const ptp_host *host, ptp_value *value, cpu_tensor *out) {
    partita_kind kind = host->value_kind(host->self, value);
    ptp_tensor view = {.size = sizeof(view)};
    *out = (cpu_tensor){.kind = kind, .value = value};
    if (kind != PARTITA_KIND_TENSOR && kind != PARTITA_KIND_SPARSE) return PARTITA_OK;
    partita_status status = host->value_tensor(host->self, value, &view);
    if (status != PARTITA_OK) return status;
    out->dtype = view.dtype;
    out->rank = view.rank;
    out->dims = view.dims;
    out->data = kind == PARTITA_KIND_TENSOR && view.dtype != PARTITA_STRING ? view.data : NULL;
    if (!cpu_shape_size(view.dtype, view.rank, view.dims, &out->count, &out->bytes))
        return cpu_fail(host, PARTITA_BAD_INPUT, "a value has an impossible shape");
    return PARTITA_OK;
}

static uint32_t out_value(const cpu_run *run, uint32_t step, uint32_t index) {
    const cpu_program *program = run->frame->program;
    return program->args[program->steps[step].first_arg + program->steps[step].in_count + index];
}

static bool same_dims(const cpu_tensor *tensor, uint32_t rank, const int64_t *dims) {
    if (tensor->rank != rank) return false;
    for (uint32_t i = 0; i < rank; i++)
        if (tensor->dims[i] != dims[i]) return false;
    return true;
}

partita_status cpu_dynamic_alloc(const cpu_call *call, uint32_t index, uint32_t rank, const int64_t *dims) {
    const cpu_step_call *here = (const cpu_step_call *)call;
    cpu_run *run = here->run;
    const cpu_program *program = run->frame->program;
    const ptp_host *host = program->host;
    uint32_t value = index < call->out_count ? out_value(run, here->step, index) : PARTITA_NONE;
    if (value == PARTITA_NONE || rank > CPU_MAX_RANK)
        return cpu_fail(host, PARTITA_INTERNAL, "memory for output %u of rank %u, which is not there", index, rank);
    const cpu_slot *slot = &program->slots[value];
    const cpu_place *place = &run->frame->places[value];
    if (place->kind != CPU_PLACE_DYNAMIC) {
        if (same_dims(&place->tensor, rank, dims)) return PARTITA_OK;
        return cpu_fail(host, PARTITA_INTERNAL, "output %u has another shape than inferred", index);
    }
    cpu_dynamic *dynamic = &run->dynamic[place->offset];
    cpu_tensor *tensor = &dynamic->tensor;
    if (rank > 0) memcpy(dynamic->dims, dims, sizeof(int64_t) * rank);
    *tensor = (cpu_tensor){.kind = PARTITA_KIND_TENSOR, .dtype = slot->row.dtype, .rank = rank, .dims = dynamic->dims};
    if (!cpu_shape_size(tensor->dtype, rank, dims, &tensor->count, &tensor->bytes))
        return cpu_fail(host, PARTITA_BAD_INPUT, "output %u is too large", index);
    if (slot->out_port != PARTITA_NONE) {
        ptp_tensor *output = cpu_run_output(run, slot->out_port);
        partita_status status = host->run_alloc_output(host->self, run->exec->run, slot->out_port, tensor->dtype, rank,
                                                       dynamic->dims, output);
        if (status != PARTITA_OK)
            return cpu_fail(host, status, "output %u: the host gives no memory for %llu bytes", index,
                            (unsigned long long)tensor->bytes);
        tensor->data = output->data;
    } else {
        dynamic->owned = host->alloc(host->self, tensor->bytes > 0 ? tensor->bytes : 1, 64);
        if (dynamic->owned == NULL)
            return cpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for %llu bytes", (unsigned long long)tensor->bytes);
        tensor->data = dynamic->owned;
    }
    call->out[index] = *tensor;
    return PARTITA_OK;
}

partita_status cpu_dynamic_set(const cpu_call *call, uint32_t index, ptp_value *value) {
    const cpu_step_call *here = (const cpu_step_call *)call;
    cpu_run *run = here->run;
    const cpu_program *program = run->frame->program;
    const ptp_host *host = program->host;
    uint32_t row = index < call->out_count ? out_value(run, here->step, index) : PARTITA_NONE;
    cpu_tensor tensor;
    if (row == PARTITA_NONE) return PARTITA_OK;
    partita_status status = cpu_tensor_of_value(host, value, &tensor);
    if (status != PARTITA_OK) return status;
    const cpu_slot *slot = &program->slots[row];
    const cpu_place *place = &run->frame->places[row];
    if (place->kind != CPU_PLACE_DYNAMIC) {
        if (!same_dims(&place->tensor, tensor.rank, tensor.dims) || tensor.bytes != place->tensor.bytes)
            return cpu_fail(host, PARTITA_INTERNAL, "output %u has another shape than inferred", index);
        if (tensor.bytes > 0) memcpy(call->out[index].data, tensor.data, tensor.bytes);
        return PARTITA_OK;
    }
    host->value_retain(host->self, value);
    run->dynamic[place->offset].held = value;
    run->dynamic[place->offset].tensor = tensor;
    call->out[index] = tensor;
    if (slot->out_port == PARTITA_NONE) return PARTITA_OK;
    return host->run_set_output(host->self, run->exec->run, slot->out_port, value);
}

static void dynamic_free(const ptp_host *host, cpu_dynamic *dynamic) {
    if (dynamic->owned != NULL) host->free(host->self, dynamic->owned);
    if (dynamic->held != NULL) host->value_release(host->self, dynamic->held);
    dynamic->owned = NULL;
    dynamic->held = NULL;
    dynamic->tensor.kind = PARTITA_KIND_NONE;
}

void cpu_dynamic_retire(cpu_run *run, uint32_t index) {
    const cpu_program *program = run->frame->program;
    const cpu_step *step = &program->steps[index];
    for (uint32_t a = 0; a < step->in_count + step->out_count; a++) {
        uint32_t value = program->args[step->first_arg + a];
        if (value == PARTITA_NONE || program->slots[value].last_step != index) continue;
        const cpu_place *place = &run->frame->places[value];
        if (place->kind == CPU_PLACE_DYNAMIC) dynamic_free(program->host, &run->dynamic[place->offset]);
    }
    if (run->frame->steps[index].dynamic && run->calls[index].call.scratch != NULL) {
        program->host->free(program->host->self, run->calls[index].call.scratch);
        run->calls[index].call.scratch = NULL;
    }
}

void cpu_dynamic_clear(cpu_run *run) {
    for (uint32_t i = 0; i < run->frame->dynamic_count; i++) dynamic_free(run->frame->program->host, &run->dynamic[i]);
}

/* Tells a `shaped` kernel what its output will look like; it gives the output itself. */
static partita_status output_tell(cpu_run *run, uint32_t index, uint32_t output, const ptp_shape *shape) {
    const cpu_program *program = run->frame->program;
    uint32_t value = out_value(run, index, output);
    cpu_dynamic *dynamic = &run->dynamic[run->frame->places[value].offset];
    cpu_tensor *out = &run->calls[index].call.out[output];
    if ((uint32_t)shape->rank > CPU_MAX_RANK)
        return cpu_fail(program->host, PARTITA_BAD_INPUT, "output %u has rank %d", output, shape->rank);
    if (shape->rank > 0) memcpy(dynamic->dims, shape->dims, sizeof(int64_t) * (size_t)shape->rank);
    *out = (cpu_tensor){.kind = PARTITA_KIND_TENSOR,
                        .dtype = program->slots[value].row.dtype,
                        .rank = (uint32_t)shape->rank,
                        .dims = dynamic->dims};
    if (!cpu_shape_size(out->dtype, out->rank, out->dims, &out->count, &out->bytes))
        return cpu_fail(program->host, PARTITA_BAD_INPUT, "output %u is too large", output);
    return PARTITA_OK;
}

/* Shapes of the outputs from the actual inputs, by the host's own inference. */
static partita_status outputs_infer(cpu_run *run, uint32_t index) {
    const cpu_program *program = run->frame->program;
    const ptp_host *host = program->host;
    const cpu_step *step = &program->steps[index];
    const cpu_kernel *kernel = step->kernel;
    const cpu_call *call = &run->calls[index].call;
    uint64_t in_bytes = sizeof(ptp_tensor) * (uint64_t)step->in_count;
    uint64_t shape_bytes = sizeof(ptp_shape) * (uint64_t)step->out_count;
    char *room = cpu_alloc(host, in_bytes + shape_bytes + sizeof(int64_t) * CPU_MAX_RANK * (uint64_t)step->out_count);
    if (room == NULL) return PARTITA_OUT_OF_MEMORY;
    ptp_tensor *inputs = (ptp_tensor *)(void *)room;
    ptp_shape *shapes = (ptp_shape *)(void *)(room + in_bytes);
    int64_t *dims = (int64_t *)(void *)(room + in_bytes + shape_bytes);
    for (uint32_t i = 0; i < step->in_count; i++) {
        const cpu_tensor *in = &call->in[i];
        inputs[i] = (ptp_tensor){.size = sizeof(ptp_tensor),
                                 .kind = in->kind,
                                 .dtype = in->dtype,
                                 .rank = in->rank,
                                 .dims = in->dims,
                                 .domain = PTP_DOMAIN_HOST,
                                 .data = in->data,
                                 .bytes = in->bytes,
                                 .value = in->value};
    }
    uint32_t node = program->groups != NULL ? cpu_groups_origin(program->groups, step->node) : step->node;
    partita_status status =
        host->infer(host->self, program->infer, node, inputs, step->in_count, shapes, dims, step->out_count);
    if (status != PARTITA_OK)
        cpu_fail(host, status, "the shapes of the outputs do not follow from those of the inputs");
    for (uint32_t o = 0; o < step->out_count && status == PARTITA_OK; o++) {
        uint32_t value = out_value(run, index, o);
        if (value == PARTITA_NONE || run->frame->places[value].kind != CPU_PLACE_DYNAMIC) continue;
        if (shapes[o].rank < 0)
            status = cpu_fail(host, PARTITA_UNSUPPORTED, "the shape of output %u cannot be inferred", o);
        else if (kernel->emit)
            status = output_tell(run, index, o, &shapes[o]);
        else
            status = cpu_dynamic_alloc(call, o, (uint32_t)shapes[o].rank, shapes[o].dims);
    }
    host->free(host->self, room);
    return status;
}

/* Memory of outputs whose shapes the frame knew, but whose memory comes in the run. */
static partita_status outputs_alloc(cpu_run *run, uint32_t index) {
    const cpu_step *step = &run->frame->program->steps[index];
    bool unknown = false;
    for (uint32_t o = 0; o < step->out_count; o++) {
        uint32_t value = out_value(run, index, o);
        if (value == PARTITA_NONE) continue;
        const cpu_place *place = &run->frame->places[value];
        if (place->kind != CPU_PLACE_DYNAMIC) continue;
        if (!place->known) unknown = true;
    }
    if (unknown) return outputs_infer(run, index);
    for (uint32_t o = 0; o < step->out_count; o++) {
        uint32_t value = out_value(run, index, o);
        if (value == PARTITA_NONE || run->frame->places[value].kind != CPU_PLACE_DYNAMIC) continue;
        const cpu_tensor *known = &run->frame->places[value].tensor;
        partita_status status = cpu_dynamic_alloc(&run->calls[index].call, o, known->rank, known->dims);
        if (status != PARTITA_OK) return status;
    }
    return PARTITA_OK;
}

static void inputs_refresh(cpu_run *run, uint32_t index) {
    const cpu_program *program = run->frame->program;
    const cpu_step *step = &program->steps[index];
    for (uint32_t a = 0; a < step->in_count; a++) {
        uint32_t value = program->args[step->first_arg + a];
        if (value == PARTITA_NONE || run->frame->places[value].kind != CPU_PLACE_DYNAMIC) continue;
        run->args[step->first_arg + a] = run->dynamic[run->frame->places[value].offset].tensor;
    }
}

/* Kernels that give their outputs themselves copy dims into lists of CPU_MAX_RANK. */
static partita_status ranks_check(const cpu_call *call) {
    for (uint32_t i = 0; i < call->in_count; i++)
        if (call->in[i].kind == PARTITA_KIND_TENSOR && call->in[i].rank > CPU_MAX_RANK)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has rank %u, at most %d", i, call->in[i].rank,
                            CPU_MAX_RANK);
    return PARTITA_OK;
}

static partita_status prepare(cpu_run *run, uint32_t index, uint32_t workers) {
    const cpu_program *program = run->frame->program;
    const cpu_kernel *kernel = program->steps[index].kernel;
    cpu_step_call *here = &run->calls[index];
    cpu_call *call = &here->call;
    uint64_t bytes = 0;
    call->scratch = NULL;
    call->workers = workers;
    inputs_refresh(run, index);
    if (kernel->emit) {
        partita_status status = ranks_check(call);
        if (status == PARTITA_OK && kernel->shaped) status = outputs_infer(run, index);
        if (status == PARTITA_OK) status = kernel->run(call, 0, 1, 0);
        for (uint32_t o = 0; o < call->out_count && status == PARTITA_OK; o++) {
            uint32_t value = out_value(run, index, o);
            if (value == PARTITA_NONE || run->frame->places[value].kind != CPU_PLACE_DYNAMIC) continue;
            if (run->dynamic[run->frame->places[value].offset].tensor.kind == PARTITA_KIND_NONE)
                status = cpu_fail(program->host, PARTITA_INTERNAL, "output %u was not given", o);
        }
        return status;
    }
    partita_status status = outputs_alloc(run, index);
    if (status != PARTITA_OK) return status;
    if (kernel->scratch != NULL) {
        uint64_t need = kernel->scratch(call);
        if (need > 0) call->scratch = program->host->alloc(program->host->self, need, 64);
        if (need > 0 && call->scratch == NULL)
            return cpu_fail(program->host, PARTITA_OUT_OF_MEMORY, "no memory for %llu bytes of scratch",
                            (unsigned long long)need);
    }
    here->items = kernel->items != NULL ? kernel->items(call) : 1;
    for (uint32_t i = 0; i < call->in_count; i++) bytes += call->in[i].bytes;
    for (uint32_t i = 0; i < call->out_count; i++) bytes += call->out[i].bytes;
    if (here->items > 1 && workers > 1 && bytes >= SOLO_BYTES) return PARTITA_OK;
    uint64_t items = here->items;
    here->items = 0;
    return items > 0 ? kernel->run(call, 0, items, 0) : PARTITA_OK;
}

void cpu_dynamic_prepare(cpu_run *run, uint32_t index, uint32_t workers) {
    run->calls[index].call.scratch = NULL;
    if (atomic_load_explicit(&run->status, memory_order_relaxed) != PARTITA_OK) return;
    partita_status status = prepare(run, index, workers);
    if (status == PARTITA_OK) return;
    run->calls[index].items = 0;
    cpu_run_fail(run, index, status, cpu_fail_text());
}
