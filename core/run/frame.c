/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: made once per program and concurrency, reused from run to run with their arenas and timelines.
 */
#include "run/run.h"
#include <stdatomic.h>

static void on_signal(void *user, uint64_t value, partita_status status, const char *message) {
    ptp_run *run = user;
    PT_UNUSED(value);
    pt_frame_signalled(run->frame, run->step, status, message);
}

static partita_status make_steps(pt_frame *frame) {
    const pt_program *program = frame->program;
    for (uint32_t s = 0; s < program->steps.size; s++) {
        const pt_step *step = &program->steps.data[s];
        pt_step_state *state = &frame->steps[s];
        state->run = (struct ptp_run){frame, s};
        state->inputs = pt_arena_array(&frame->arena, step->input_count + 1, sizeof(ptp_tensor));
        state->outputs = pt_arena_array(&frame->arena, step->output_count + 1, sizeof(ptp_tensor));
        state->copies = pt_arena_array(&frame->arena, step->move_count + 1, sizeof(ptp_copy));
        state->waits = pt_arena_array(&frame->arena, step->queue_before_count + 1, sizeof(ptp_point));
        if (!state->inputs || !state->outputs || !state->copies || !state->waits) return PT_OUT_OF_MEMORY();
        state->output_dims = pt_arena_array(&frame->arena, step->output_count + 1, sizeof(*state->output_dims));
        if (!state->output_dims) return PT_OUT_OF_MEMORY();
        for (uint32_t i = 0; i < step->output_count && step->part; i++) {
            if (step->part->outputs[i].output != PTP_PORT_BOUNDED) continue;
            state->output_dims[i] = pt_arena_array(&frame->arena, PT_OUTPUT_RANK, sizeof(int64_t));
            if (!state->output_dims[i]) return PT_OUT_OF_MEMORY();
        }
        bool may_pend = step->device && (step->device->info.flags & PTP_DEVICE_ASYNC);
        if (!may_pend) continue;
        PT_TRY(pt_timeline_init(&state->timeline, on_signal, &state->run));
        state->has_timeline = true;
    }
    return PARTITA_OK;
}

static void destroy_frame(pt_frame *frame) {
    if (!frame) return;
    for (size_t s = 0; frame->steps && s < frame->program->steps.size; s++)
        if (frame->steps[s].has_timeline) pt_timeline_deinit(&frame->steps[s].timeline);
    for (size_t i = 0; frame->slots && i < frame->program->slots.size; i++) {
        partita_value_release(frame->slots[i].value);
        partita_value_release(frame->slots[i].backing);
    }
    pt_memory_deinit(&frame->memory, frame->program->build);
    pt_arena_deinit(&frame->arena);
    pthread_cond_destroy(&frame->moved);
    pthread_mutex_destroy(&frame->lock);
    pt_free(frame);
}

static partita_status create_frame(pt_program *program, pt_frame **out_frame) {
    partita_status status = PARTITA_OK;
    size_t slots = program->slots.size, steps = program->steps.size;
    pt_frame *frame = pt_calloc(1, sizeof(*frame));
    if (!frame) return PT_OUT_OF_MEMORY();
    frame->program = program;
    pthread_mutex_init(&frame->lock, NULL);
    status = pt_cond_init(&frame->moved);
    if (status != PARTITA_OK) {
        pthread_mutex_destroy(&frame->lock);
        pt_free(frame);
        return status;
    }
    frame->slots = pt_arena_array(&frame->arena, slots + 1, sizeof(*frame->slots));
    frame->symbols = pt_arena_array(&frame->arena, program->build->model->symbols.rows.size + 1, sizeof(int64_t));
    frame->ready_async = pt_arena_array(&frame->arena, steps + 1, sizeof(uint32_t));
    frame->ready_sync = pt_arena_array(&frame->arena, steps + 1, sizeof(uint32_t));
    frame->steps = pt_arena_array(&frame->arena, steps + 1, sizeof(*frame->steps));
    if (!frame->slots || !frame->steps || !frame->symbols || !frame->ready_async || !frame->ready_sync) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    PT_CHECK(make_steps(frame));
    *out_frame = frame;
    frame = NULL;
out:
    destroy_frame(frame);
    return status;
}

partita_status pt_frame_acquire(pt_request *request, pt_program *program, pt_frame *around, pt_frame **out_frame) {
    pthread_mutex_lock(&program->lock);
    pt_frame *frame = program->idle;
    if (frame) program->idle = frame->next;
    pthread_mutex_unlock(&program->lock);
    if (!frame) PT_TRY(create_frame(program, &frame));
    frame->next = NULL;
    frame->request = request;
    frame->around = around;
    frame->number++;
    frame->status = PARTITA_OK;
    frame->message[0] = 0;
    *out_frame = frame;
    return PARTITA_OK;
}

/* What one execution left in the frame: values, late instances, the layout. */
static void clear_frame(pt_frame *frame) {
    pt_program *program = frame->program;
    for (size_t i = 0; i < program->slots.size; i++) {
        partita_value_release(frame->slots[i].value);
        partita_value_release(frame->slots[i].backing);
        frame->slots[i] = (pt_slot_state){0};
    }
    for (size_t s = 0; s < program->steps.size; s++) {
        pt_step_state *state = &frame->steps[s];
        if (state->late) pt_part_release_instance(program->steps.data[s].part, state->late);
        state->late = NULL;
        state->started = state->issued = state->complete = false;
        state->refusal[0] = 0;
    }
    pt_layout_release(program, frame->layout);
    frame->layout = NULL;
    atomic_store(&frame->sizing, NULL);
    frame->inputs = NULL;
    frame->bound = NULL;
    frame->around = NULL;
    frame->request = NULL;
}

void pt_frame_release(pt_frame *frame, bool failed) {
    if (!frame) return;
    pt_program *program = frame->program;
    pt_request_enter(frame->request, NULL);
    /* whoever completed the last step may still hold the lock */
    pthread_mutex_lock(&frame->lock);
    pthread_mutex_unlock(&frame->lock);
    for (uint32_t s = 0; s < program->steps.size; s++)
        if (program->steps.data[s].kind == PT_STEP_UNMAP) pt_step_unmap(frame, s, true);
    clear_frame(frame);
    if (failed) {
        destroy_frame(frame);
        return;
    }
    pthread_mutex_lock(&program->lock);
    frame->next = program->idle;
    program->idle = frame;
    pthread_mutex_unlock(&program->lock);
}

void pt_program_drop_frames(pt_program *program) {
    pthread_mutex_lock(&program->lock);
    pt_frame *frame = program->idle;
    program->idle = NULL;
    pthread_mutex_unlock(&program->lock);
    while (frame) {
        pt_frame *next = frame->next;
        destroy_frame(frame);
        frame = next;
    }
}

bool pt_request_stopped(const pt_request *request) {
    return atomic_load_explicit(&request->cancelled, memory_order_relaxed) ||
           (request->deadline_ns && pt_now_ns() >= request->deadline_ns);
}

partita_status pt_request_fail_stopped(const pt_request *request) {
    if (atomic_load(&request->cancelled)) return pt_fail(PARTITA_CANCELLED, "the run was cancelled");
    return pt_fail(PARTITA_DEADLINE, "deadline exceeded");
}
