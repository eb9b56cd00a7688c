/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of outputs: before a launch for those whose size is known or bounded, during the run for the others, and what
 * plugins tell of them.
 */
#include "run/run.h"
#include <stdio.h>

/* The bound output when the run can write into it as it is; NULL. */
static partita_value *usable_bound(const pt_frame *frame, uint32_t slot, partita_dtype dtype, uint32_t rank,
                                   const int64_t *dims) {
    const pt_slot *s = &frame->program->slots.data[slot];
    partita_value *bound = pt_frame_bound(frame, slot);
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
        PT_TRY(pt_value_create_in(place->device, s->place ? place->domain : PTP_DOMAIN_HOST, place->budget, dtype, rank,
                                  dims, &value));
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

/* Memory for the most bytes that the output may have; the run tells its dims. */
static partita_status prepare_bounded(pt_frame *frame, uint32_t slot, uint64_t bound) {
    const pt_slot *s = &frame->program->slots.data[slot];
    const pt_room *room = &frame->layout->rooms[slot];
    const pt_place *place = &frame->program->build->places[s->place];
    pt_slot_state *state = &frame->slots[slot];
    int64_t bytes = (int64_t)PT_MAX(bound, 1);
    if (bound > INT64_MAX) return PT_OUT_OF_MEMORY();
    *state = (pt_slot_state){.bounded = true, .bound = bound};
    state->tensor =
        (ptp_tensor){.size = sizeof(ptp_tensor), .domain = s->place ? place->domain : PTP_DOMAIN_HOST, .bytes = bound};
    if (room->placed && room->bytes >= bound) {
        state->chunk = frame->memory.chunks.data[room->chunk];
        state->chunk_offset = room->offset;
        state->tensor.buffer = state->chunk->buffer;
        state->tensor.offset = s->place ? room->offset : 0;
        state->tensor.data = s->place ? NULL : (char *)state->chunk->data + room->offset;
        return PARTITA_OK;
    }
    PT_TRY(pt_value_create_in(place->device, state->tensor.domain, place->budget, PARTITA_UINT8, 1, &bytes,
                              &state->backing));
    state->tensor.buffer = state->backing->buffer;
    state->tensor.data = state->backing->data;
    return PARTITA_OK;
}

/* Memory for outputs whose shapes are known; the others are empty until the plugin allocates them. */
partita_status pt_output_prepare(pt_frame *frame, uint32_t s, uint32_t index, const pt_instance *instance) {
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
    if (!dense) return PARTITA_OK;
    if (instance->bounds[index] != PTP_NO_BOUND) {
        PT_TRY(prepare_bounded(frame, slot, instance->bounds[index]));
        ptp_tensor *output = &state->outputs[index];
        const ptp_tensor *room_for = &frame->slots[slot].tensor;
        output->buffer = room_for->buffer;
        output->offset = room_for->offset;
        output->data = room_for->data;
        output->bytes = room_for->bytes;
        return PARTITA_OK;
    }
    if (step->part->outputs[index].output != PTP_PORT_STATIC) return PARTITA_OK;
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

/* ---- what plugins tell ------------------------------------------------------------------------ */

static partita_status output_slot(const ptp_run *run, uint32_t index, uint32_t *out_slot) {
    const pt_step *step = &run->frame->program->steps.data[run->step];
    if (index >= step->output_count)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "output %u of %u", index, step->output_count);
    *out_slot = step->outputs[index];
    return PARTITA_OK;
}

/* Fails; the text is kept, since the plugin may lose it on its way back. */
static partita_status refuse(const ptp_run *run, uint32_t index, uint64_t bytes, uint64_t bound) {
    pt_frame *frame = run->frame;
    const pt_part *part = frame->program->steps.data[run->step].part;
    partita_str name = frame->program->build->model->values.data[part->output_values[index]].name;
    partita_status status = pt_fail(PARTITA_DEVICE_FAILED, "output '%.*s' has %llu bytes, its bound is %llu",
                                    PT_STR_ARG(name), (unsigned long long)bytes, (unsigned long long)bound);
    pt_step_state *state = &frame->steps[run->step];
    pthread_mutex_lock(&frame->lock);
    if (!state->refusal[0]) snprintf(state->refusal, sizeof(state->refusal), "%s", pt_last_message());
    pthread_mutex_unlock(&frame->lock);
    return status;
}

/* The real dims of a bounded output: what follows sees only these. */
static partita_status trim_bounded(const ptp_run *run, uint32_t index, uint32_t slot, partita_dtype dtype,
                                   uint32_t rank, const int64_t *dims) {
    pt_frame *frame = run->frame;
    pt_slot_state *state = &frame->slots[slot];
    int64_t *kept = frame->steps[run->step].output_dims[index];
    uint64_t count, bytes;
    if (rank > PT_OUTPUT_RANK)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "output %u: rank %u, at most %d", index, rank, PT_OUTPUT_RANK);
    if (!pt_dims_count(dims, rank, &count) || !pt_dtype_bytes(dtype, count, &bytes))
        return pt_fail(PARTITA_INVALID_ARGUMENT, "output %u: the size overflows", index);
    if (bytes > state->bound) return refuse(run, index, bytes, state->bound);
    if (rank) memcpy(kept, dims, rank * sizeof(*dims));
    state->tensor.kind = PARTITA_KIND_TENSOR;
    state->tensor.dtype = dtype;
    state->tensor.rank = rank;
    state->tensor.dims = kept;
    state->tensor.bytes = bytes;
    return PARTITA_OK;
}

static partita_status alloc_output(ptp_run *run, uint32_t index, partita_dtype dtype, uint32_t rank,
                                   const int64_t *dims, ptp_tensor *out) {
    pt_frame *frame = run->frame;
    const pt_program *program = frame->program;
    uint32_t slot = PT_NONE;
    PT_TRY(output_slot(run, index, &slot));
    const pt_type *type = &program->build->model->values.data[program->slots.data[slot].value].type;
    if (type->dtype != PARTITA_UNDEFINED && type->dtype != dtype)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "output %u: element type %s, expected %s", index, pt_dtype_name(dtype),
                       pt_dtype_name(type->dtype));
    if (frame->slots[slot].bounded)
        PT_TRY(trim_bounded(run, index, slot, dtype, rank, dims));
    else
        PT_TRY(set_new_value(frame, slot, dtype, rank, dims));
    *out = frame->slots[slot].tensor;
    frame->steps[run->step].outputs[index].rank = rank;
    return PARTITA_OK;
}

partita_status pt_run_alloc_output(ptp_run *run, uint32_t index, partita_dtype dtype, uint32_t rank,
                                   const int64_t *dims, ptp_tensor *out) {
    pt_spender *before = pt_spender_enter(&run->frame->request->spender);
    partita_status status = alloc_output(run, index, dtype, rank, dims, out);
    pt_spender_enter(before);
    return status;
}

/* A value that the plugin made on a thread of its own is counted now that the run holds it. */
static partita_status count_value(const ptp_run *run, partita_value *value) {
    pt_spender *spender = &run->frame->request->spender, *before = pt_spender_enter(spender);
    partita_status status = pt_value_count(value);
    pt_spender_enter(before);
    return status;
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
    PT_TRY(count_value(run, value));
    partita_value_retain(value);
    pt_slot_set(run->frame, slot, value);
    return PARTITA_OK;
}
