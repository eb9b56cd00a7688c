/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Launching parts: tensors of the ports, the instance for their shapes, scratch.
 */
#include "run/run.h"
#include <stdatomic.h>

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
    status = symbols ? pt_part_check_shapes(step->part, symbols, shapes) : PT_OUT_OF_MEMORY();
    if (status == PARTITA_OK) status = pt_part_acquire_instance(step->part, symbols, shapes, &state->late, &made);
    pt_free(symbols);
    if (shapes != fixed) pt_free(shapes);
    if (status != PARTITA_OK) return status;
    if (made) atomic_fetch_add(&frame->request->session->counters.resizes, 1);
    *out_instance = state->late;
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
    PT_TRY(pt_value_create_in(place->device, slot->place ? place->domain : PTP_DOMAIN_HOST, place->budget,
                              PARTITA_UINT8, 1, &bytes, &value));
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
    for (uint32_t i = 0; i < step->output_count; i++) PT_TRY(pt_output_prepare(frame, s, i, instance));
    PT_TRY(prepare_scratch(frame, s, instance, &exec));
    for (uint32_t i = 0; i < step->queue_before_count; i++)
        state->waits[i] = (ptp_point){pt_timeline_handle(&frame->steps[step->queue_before[i]].timeline), frame->number};
    if (step->async) exec.done = (ptp_point){pt_timeline_handle(&state->timeline), frame->number};
    if (step->part->serial) pthread_mutex_lock(&step->part->turn);
    partita_status status =
        pt_device_call(device, device->executable.exec(step->part->executable, instance->handle, &exec));
    if (step->part->serial) pthread_mutex_unlock(&step->part->turn);
    *out_pending = status == PARTITA_OK && step->async;
    return status == PARTITA_OK || !state->refusal[0] ? status
                                                      : pt_fail(status, "%s: %s", device->name, state->refusal);
}

partita_status pt_step_launched(pt_frame *frame, uint32_t s) {
    const pt_step *step = &frame->program->steps.data[s];
    const pt_step_state *state = &frame->steps[s];
    for (uint32_t i = 0; i < step->output_count; i++) {
        const pt_slot_state *slot = &frame->slots[step->outputs[i]];
        if (slot->tensor.kind == PARTITA_KIND_NONE) {
            if (state->refusal[0]) return pt_fail(PARTITA_DEVICE_FAILED, "%s", state->refusal);
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
