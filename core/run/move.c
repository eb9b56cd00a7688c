/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving values between memories: imports bind a view, copies are batched and issued by the device that takes part.
 */
#include "run/run.h"
#include <stdatomic.h>

/* A view of the source's bytes from the target's device. False when they lie in no arena or it cannot import. */
static bool bind_import(pt_frame *frame, const pt_move *move) {
    pt_build *build = frame->program->build;
    const pt_slot_state *from = &frame->slots[move->from];
    pt_slot_state *to = &frame->slots[move->to];
    uint32_t place = frame->program->slots.data[move->to].place;
    if (!from->chunk) return false;
    ptp_buffer *buffer = pt_chunk_import(build, from->chunk, place, move->route.handle);
    if (!buffer) return false;
    *to = (pt_slot_state){.chunk = from->chunk, .chunk_offset = from->chunk_offset, .tensor = from->tensor};
    to->tensor.domain = build->places[place].domain;
    to->tensor.buffer = buffer;
    to->tensor.offset = from->chunk_offset;
    to->tensor.data = NULL;
    return true;
}

/* The host's view of a device's memory. */
static partita_status map_import(pt_frame *frame, const pt_step *step, const pt_move *move) {
    const pt_slot_state *from = &frame->slots[move->from];
    pt_slot_state *to = &frame->slots[move->to];
    pt_device *device = step->device;
    void *data = NULL;
    PT_TRY(pt_device_call(device, device->memory.map(device->handle, from->tensor.buffer, from->tensor.offset,
                                                     PT_MAX(from->tensor.bytes, 1), PTP_MAP_READ, &data)));
    *to = (pt_slot_state){.mapped = data, .tensor = from->tensor};
    to->tensor.domain = PTP_DOMAIN_HOST;
    to->tensor.buffer = NULL;
    to->tensor.offset = 0;
    to->tensor.data = data;
    return PARTITA_OK;
}

partita_status pt_step_unmap(pt_frame *frame, uint32_t s, bool outputs_too) {
    const pt_step *step = &frame->program->steps.data[s];
    pt_device *device = step->device;
    for (uint32_t i = 0; i < step->move_count; i++) {
        pt_slot_state *to = &frame->slots[step->moves[i].to];
        if (!to->mapped || (!outputs_too && frame->program->slots.data[step->moves[i].to].output != PT_NONE)) continue;
        void *data = to->mapped;
        to->mapped = NULL;
        PT_TRY(pt_device_call(
            device, device->memory.unmap(device->handle, frame->slots[step->moves[i].from].tensor.buffer, data)));
    }
    return PARTITA_OK;
}

/* Memory at the target: of an output that is bound on the source's device, the bound value itself. */
static partita_status allocate_target(pt_frame *frame, const pt_move *move) {
    const pt_slot *to = &frame->program->slots.data[move->to];
    const ptp_tensor *source = &frame->slots[move->from].tensor;
    const pt_place *from = &frame->program->build->places[frame->program->slots.data[move->from].place];
    partita_value *bound = pt_frame_bound(frame, move->to);
    if (bound && bound->storage == PT_STORAGE_DEVICE && to->only_output && from->device == bound->device &&
        bound->rank == source->rank && memcmp(bound->dims, source->dims, source->rank * sizeof(int64_t)) == 0) {
        partita_value_retain(bound);
        pt_slot_set(frame, move->to, bound);
        return PARTITA_OK;
    }
    return pt_slot_allocate(frame, move->to, source->rank, source->dims);
}

static void count_copy(pt_frame *frame, const pt_move *move, uint64_t bytes) {
    pt_build *build = frame->program->build;
    atomic_fetch_add_explicit(&build->session->counters.copies, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&build->session->counters.bytes_copied, bytes, memory_order_relaxed);
    if (move->edge == PT_NONE) return;
    atomic_fetch_add_explicit(&build->edges[move->edge].copies, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&build->edges[move->edge].bytes, bytes, memory_order_relaxed);
}

/* Fills one copy; false when nothing has to move. */
static partita_status prepare_copy(pt_frame *frame, const pt_move *move, ptp_copy *copy, bool *out_needed) {
    const pt_slot_state *from = &frame->slots[move->from];
    const pt_place *place = &frame->program->build->places[frame->program->slots.data[move->to].place];
    *out_needed = false;
    if (from->tensor.buffer && from->value && from->value->device == place->device &&
        from->value->domain == place->domain) { /* the caller's value is there already */
        partita_value_retain(from->value);
        pt_slot_set(frame, move->to, from->value);
        return PARTITA_OK;
    }
    if (from->tensor.value)
        return pt_fail(PARTITA_UNSUPPORTED, "only dense tensors go to %s",
                       place->device ? place->device->name : "another memory");
    PT_TRY(allocate_target(frame, move));
    const pt_slot_state *to = &frame->slots[move->to];
    *copy = (ptp_copy){.size = sizeof(*copy),
                       .source = from->tensor.buffer,
                       .source_offset = from->tensor.offset,
                       .source_data = from->tensor.data,
                       .target = to->tensor.buffer,
                       .target_offset = to->tensor.offset,
                       .target_data = to->tensor.data,
                       .bytes = from->tensor.bytes};
    *out_needed = copy->bytes > 0;
    if (*out_needed) count_copy(frame, move, copy->bytes);
    return PARTITA_OK;
}

partita_status pt_step_move(pt_frame *frame, uint32_t s, bool *out_pending) {
    const pt_step *step = &frame->program->steps.data[s];
    pt_step_state *state = &frame->steps[s];
    pt_device *device = step->device;
    uint32_t count = 0;
    for (uint32_t i = 0; i < step->move_count; i++) {
        const pt_move *move = &step->moves[i];
        bool needed;
        if (move->route.route == PTP_ROUTE_IMPORT) {
            if (frame->program->slots.data[move->to].place == 0) {
                PT_TRY(map_import(frame, step, move));
                continue;
            }
            if (bind_import(frame, move)) continue;
        }
        PT_TRY(prepare_copy(frame, move, &state->copies[count], &needed));
        count += needed;
    }
    if (!count) return PARTITA_OK;
    ptp_point done = {state->has_timeline ? pt_timeline_handle(&state->timeline) : NULL, frame->number};
    PT_TRY(pt_device_call(device, device->memory.copy(device->handle, state->copies, count, done)));
    *out_pending = state->has_timeline;
    return PARTITA_OK;
}
