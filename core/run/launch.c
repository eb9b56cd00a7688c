/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Launching parts: tensors of the ports, the instance for their shapes, memory for outputs and scratch, and what
 * plugins ask of a run.
 */
#include "run/run.h"
#include <stdatomic.h>

/* The bound output when the run can write into it as it is; NULL. */
static partita_value *usable_bound(const pt_frame *frame, uint32_t slot, partita_dtype dtype, uint32_t rank,
                                   const int64_t *dims) {
    const pt_slot *s = &frame->program->slots.data[slot];
    partita_value *bound = frame->bound && s->output != PT_NONE ? frame->bound[s->output] : NULL;
    if (!bound || s->place != 0 || bound->storage == PT_STORAGE_DEVICE) return NULL;
    if (bound->dtype != dtype || bound->rank != rank || memcmp(bound->dims, dims, rank * sizeof(int64_t)) != 0)
        return NULL;
    return (uintptr_t)bound->data % s->alignment == 0 ? bound : NULL;
}

/* The bound output, or memory of the slot's own. */
static partita_status set_new_value(pt_frame *frame, uint32_t slot, partita_dtype dtype, uint32_t rank,
                                    const int64_t *dims) {
    const pt_slot *s = &frame->program->slots.data[slot];
    const pt_place *place = &frame->program->build->places[s->place];
    partita_value *value = usable_bound(frame, slot, dtype, rank, dims);
    if (value)
        partita_value_retain(value);
    else
        PT_TRY(
            pt_value_create_in(place->device, s->place ? place->domain : PTP_DOMAIN_HOST, dtype, rank, dims, &value));
    pt_slot_set(frame, slot, value);
    return PARTITA_OK;
}

partita_status pt_slot_allocate(pt_frame *frame, uint32_t slot, uint32_t rank, const int64_t *dims) {
    pt_program *program = frame->program;
    const pt_slot *s = &program->slots.data[slot];
    const pt_room *room = &frame->layout->rooms[slot];
    const pt_place *place = &program->build->places[s->place];
    const pt_type *type = &program->build->model->values.data[s->value].type;
    pt_slot_state *state = &frame->slots[slot];
    if (room->placed) {
        pt_chunk *chunk = frame->memory.chunks.data[room->chunk];
        *state = (pt_slot_state){.chunk = chunk, .chunk_offset = room->offset};
        state->tensor = (ptp_tensor){.size = sizeof(ptp_tensor),
                                     .kind = PARTITA_KIND_TENSOR,
                                     .dtype = type->dtype,
                                     .rank = rank,
                                     .dims = room->dims,
                                     .domain = s->place ? place->domain : PTP_DOMAIN_HOST,
                                     .buffer = chunk->buffer,
                                     .offset = s->place ? room->offset : 0,
                                     .data = s->place ? NULL : (char *)chunk->data + room->offset,
                                     .bytes = room->bytes};
        return PARTITA_OK;
    }
    return set_new_value(frame, slot, type->dtype, rank, dims);
}

/*
 * The dims that are known by now, in a block of their own: the device must not be asked to resize under the frame's
 * lock, which a device that signals from inside another call takes while its own calls are shut.
 */
static int64_t *copy_symbols(pt_frame *frame) {
    size_t count = frame->program->build->model->symbols.rows.size;
    int64_t *symbols = pt_calloc(count + 1, sizeof(*symbols));
    if (!symbols) return NULL;
    pthread_mutex_lock(&frame->lock);
    if (count) memcpy(symbols, frame->symbols, count * sizeof(*symbols));
    pthread_mutex_unlock(&frame->lock);
    return symbols;
}

/* The instance of the layout, or one for the shapes that are known by now. */
static partita_status find_instance(pt_frame *frame, uint32_t s, pt_instance **out_instance) {
    const pt_step *step = &frame->program->steps.data[s];
    pt_step_state *state = &frame->steps[s];
    pt_port_shape fixed[32], *shapes = fixed;
    partita_status status;
    bool made;
    if ((*out_instance = frame->layout->instances[s]) != NULL) return PARTITA_OK;
    if (step->input_count > PT_COUNT_OF(fixed) && !(shapes = pt_calloc(step->input_count, sizeof(*shapes))))
        return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < step->input_count; i++) {
        const ptp_tensor *tensor = &state->inputs[i];
        bool tensor_like = tensor->kind == PARTITA_KIND_TENSOR || tensor->kind == PARTITA_KIND_SPARSE;
        shapes[i] = (pt_port_shape){tensor_like ? (int32_t)tensor->rank : -1, tensor->dims};
    }
    int64_t *symbols = copy_symbols(frame);
    status = symbols ? pt_part_acquire_instance(step->part, symbols, shapes, &state->late, &made) : PT_OUT_OF_MEMORY();
    pt_free(symbols);
    if (shapes != fixed) pt_free(shapes);
    if (status != PARTITA_OK) return status;
    if (made) atomic_fetch_add(&frame->request->session->counters.resizes, 1);
    *out_instance = state->late;
    return PARTITA_OK;
}

/* Memory for outputs whose shapes are known; the others are empty until the plugin allocates them. */
static partita_status prepare_output(pt_frame *frame, uint32_t s, uint32_t index) {
    const pt_step *step = &frame->program->steps.data[s];
    pt_step_state *state = &frame->steps[s];
    uint32_t slot = step->outputs[index];
    const pt_value *value = &frame->program->build->model->values.data[step->part->output_values[index]];
    const pt_room *room = &frame->layout->rooms[slot];
    int64_t dims[64];
    state->outputs[index] = (ptp_tensor){.size = sizeof(ptp_tensor),
                                         .kind = value->type.kind,
                                         .dtype = value->type.dtype,
                                         .domain = step->part->outputs[index].domain};
    bool dense = value->type.kind == PARTITA_KIND_TENSOR && pt_dtype_bits(value->type.dtype) != 0;
    if (step->part->outputs[index].output != PTP_PORT_STATIC || !dense) return PARTITA_OK;
    if (room->known) {
        PT_TRY(pt_slot_allocate(frame, slot, (uint32_t)value->type.rank, room->dims));
    } else {
        if (value->type.rank > (int32_t)PT_COUNT_OF(dims)) return PARTITA_OK;
        pthread_mutex_lock(&frame->lock);
        bool known =
            pt_value_dims(frame->program->build->model, step->part->output_values[index], frame->symbols, dims);
        pthread_mutex_unlock(&frame->lock);
        if (!known) return PARTITA_OK;
        PT_TRY(pt_slot_allocate(frame, slot, (uint32_t)value->type.rank, dims));
    }
    state->outputs[index] = frame->slots[slot].tensor;
    return PARTITA_OK;
}

/* Scratch in the arena, or for a late instance in memory of its own. */
static partita_status prepare_scratch(pt_frame *frame, uint32_t s, const pt_instance *instance, ptp_exec *exec) {
    const pt_step *step = &frame->program->steps.data[s];
    const pt_slot *slot = &frame->program->slots.data[step->scratch];
    const pt_room *room = &frame->layout->rooms[step->scratch];
    exec->scratch_bytes = instance->scratch_bytes;
    if (!instance->scratch_bytes) return PARTITA_OK;
    if (room->placed && room->bytes >= instance->scratch_bytes) {
        pt_chunk *chunk = frame->memory.chunks.data[room->chunk];
        exec->scratch = chunk->buffer;
        if (chunk->buffer)
            exec->scratch_offset = room->offset;
        else
            exec->scratch_data = (char *)chunk->data + room->offset;
        return PARTITA_OK;
    }
    partita_value *value;
    const pt_place *place = &frame->program->build->places[slot->place];
    int64_t bytes = (int64_t)instance->scratch_bytes;
    PT_TRY(pt_value_create_in(place->device, slot->place ? place->domain : PTP_DOMAIN_HOST, PARTITA_UINT8, 1, &bytes,
                              &value));
    pt_slot_set(frame, step->scratch, value);
    exec->scratch = value->buffer;
    exec->scratch_data = value->data;
    return PARTITA_OK;
}

partita_status pt_step_launch(pt_frame *frame, uint32_t s, bool *out_pending) {
    const pt_step *step = &frame->program->steps.data[s];
    pt_step_state *state = &frame->steps[s];
    pt_device *device = step->device;
    pt_instance *instance;
    for (uint32_t i = 0; i < step->input_count; i++) state->inputs[i] = frame->slots[step->inputs[i]].tensor;
    PT_TRY(find_instance(frame, s, &instance));
    ptp_exec exec = {.size = sizeof(exec),
                     .input_count = step->input_count,
                     .run = &state->run,
                     .inputs = state->inputs,
                     .outputs = state->outputs,
                     .output_count = step->output_count,
                     .wait_count = step->queue_before_count,
                     .waits = state->waits};
    for (uint32_t i = 0; i < step->output_count; i++) PT_TRY(prepare_output(frame, s, i));
    PT_TRY(prepare_scratch(frame, s, instance, &exec));
    for (uint32_t i = 0; i < step->queue_before_count; i++)
        state->waits[i] = (ptp_point){pt_timeline_handle(&frame->steps[step->queue_before[i]].timeline), frame->number};
    if (step->async) exec.done = (ptp_point){pt_timeline_handle(&state->timeline), frame->number};
    PT_TRY(pt_device_call(device, device->executable.exec(step->part->executable, instance->handle, &exec)));
    *out_pending = step->async;
    return PARTITA_OK;
}

partita_status pt_step_launched(pt_frame *frame, uint32_t s) {
    const pt_step *step = &frame->program->steps.data[s];
    const pt_step_state *state = &frame->steps[s];
    for (uint32_t i = 0; i < step->output_count; i++) {
        const pt_slot_state *slot = &frame->slots[step->outputs[i]];
        if (slot->tensor.kind == PARTITA_KIND_NONE) {
            partita_str name = frame->program->build->model->values.data[step->part->output_values[i]].name;
            return pt_fail(PARTITA_DEVICE_FAILED, "output '%.*s' was not given", PT_STR_ARG(name));
        }
        bool by_plugin = step->part->outputs[i].output != PTP_PORT_STATIC || !state->outputs[i].dims;
        if (by_plugin && (slot->tensor.kind == PARTITA_KIND_TENSOR || slot->tensor.kind == PARTITA_KIND_SPARSE))
            PT_TRY(pt_frame_bind_data(frame, step->part->output_values[i], slot->tensor.rank, slot->tensor.dims));
    }
    return PARTITA_OK;
}

/* ---- services -------------------------------------------------------------------------------- */

int32_t pt_run_stopped(ptp_run *run) { return pt_request_stopped(run->frame->request); }

static partita_status output_slot(const ptp_run *run, uint32_t index, uint32_t *out_slot) {
    const pt_step *step = &run->frame->program->steps.data[run->step];
    if (index >= step->output_count)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "output %u of %u", index, step->output_count);
    *out_slot = step->outputs[index];
    return PARTITA_OK;
}

partita_status pt_run_alloc_output(ptp_run *run, uint32_t index, partita_dtype dtype, uint32_t rank,
                                   const int64_t *dims, ptp_tensor *out) {
    pt_frame *frame = run->frame;
    const pt_program *program = frame->program;
    uint32_t slot = PT_NONE;
    PT_TRY(output_slot(run, index, &slot));
    const pt_type *type = &program->build->model->values.data[program->slots.data[slot].value].type;
    if (type->dtype != PARTITA_UNDEFINED && type->dtype != dtype)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "output %u: element type %s, expected %s", index, pt_dtype_name(dtype),
                       pt_dtype_name(type->dtype));
    PT_TRY(set_new_value(frame, slot, dtype, rank, dims));
    *out = frame->slots[slot].tensor;
    frame->steps[run->step].outputs[index].rank = rank;
    return PARTITA_OK;
}

partita_status pt_run_set_output(ptp_run *run, uint32_t index, partita_value *value) {
    const pt_program *program = run->frame->program;
    uint32_t slot = PT_NONE;
    PT_TRY(output_slot(run, index, &slot));
    const pt_type *type = &program->build->model->values.data[program->slots.data[slot].value].type;
    if (!value || (type->kind != PARTITA_KIND_NONE && value->kind != type->kind))
        return pt_fail(PARTITA_INVALID_ARGUMENT, "output %u: a value of another kind than the model says", index);
    if (program->slots.data[slot].place != 0)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "output %u: handles lie in host memory, its port does not", index);
    partita_value_retain(value);
    pt_slot_set(run->frame, slot, value);
    return PARTITA_OK;
}
