/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor: steps become ready as what they depend on is issued or complete. Steps of asynchronous devices are
 * issued without waiting, also by the thread that reports a completion; what blocks runs on the thread of the request,
 * after everything that can be issued was.
 */
#include "run/run.h"
#include <stdatomic.h>
#include <stdio.h>

/* True on a thread that is inside an issue: completions reported there only queue. */
static PT_THREAD_LOCAL bool issuing;

static bool is_instant(const pt_step *step, const pt_program *program) {
    /* binding an import costs nothing; the host's view of a device's memory is a map, which blocks */
    return step->kind == PT_STEP_MOVE && step->moves[0].route.route == PTP_ROUTE_IMPORT &&
           program->slots.data[step->moves[0].to].place != 0;
}

static void push_ready(pt_frame *frame, uint32_t s) {
    const pt_step *step = &frame->program->steps.data[s];
    if (step->async || is_instant(step, frame->program))
        frame->ready_async[frame->ready_async_count++] = s;
    else
        frame->ready_sync[frame->ready_sync_count++] = s;
}

/* Takes the first in the order of the plan; PT_NONE when there is none. */
static uint32_t pop_ready(uint32_t *ready, uint32_t *count) {
    uint32_t best = 0;
    if (!*count) return PT_NONE;
    for (uint32_t i = 1; i < *count; i++)
        if (ready[i] < ready[best]) best = i;
    uint32_t step = ready[best];
    ready[best] = ready[--*count];
    return step;
}

static bool among(const uint32_t *slots, uint32_t count, uint32_t slot) {
    for (uint32_t i = 0; i < count; i++)
        if (slots[i] == slot) return true;
    return false;
}

/* The cluster to blame: the step's own; of a transfer the first on its device that made or takes one of the values. */
static uint32_t cluster_at_fault(const pt_program *program, uint32_t s) {
    const pt_step *step = &program->steps.data[s];
    if (step->part) return step->part->cluster;
    for (uint32_t i = 0; i < program->steps.size && step->move_count; i++) {
        const pt_step *other = &program->steps.data[i];
        if (!other->part || other->device != step->device) continue;
        for (uint32_t k = 0; k < step->move_count; k++)
            if (among(other->inputs, other->input_count, step->moves[k].to) ||
                among(other->outputs, other->output_count, step->moves[k].from))
                return other->part->cluster;
    }
    return PT_NONE;
}

/* First failure wins. Under the lock. */
static void set_failure(pt_frame *frame, partita_status status, const char *message, uint32_t step) {
    if (frame->status != PARTITA_OK) return;
    if (status == PARTITA_CANCELLED && pt_request_stopped(frame->request)) {
        /* a device only knows that it was to stop; the request knows why */
        status = pt_request_fail_stopped(frame->request);
        message = pt_last_message();
    }
    frame->status = status;
    snprintf(frame->message, sizeof(frame->message), "%s", message && message[0] ? message : pt_status_text(status));
    uint32_t cluster = step == PT_NONE ? PT_NONE : cluster_at_fault(frame->program, step);
    if (cluster != PT_NONE) frame->request->failed_cluster = cluster;
}

/* Successors that waited for the issue (`light`) or for the completion. Under the lock. */
static void release_successors(pt_frame *frame, uint32_t s, bool light) {
    const pt_step *step = &frame->program->steps.data[s];
    for (uint32_t i = 0; i < step->successor_count; i++) {
        if ((bool)step->light[i] != light) continue;
        const pt_step *after = &frame->program->steps.data[step->successors[i]];
        if (step->async && after->device && after->device != step->device)
            atomic_fetch_add_explicit(&frame->request->session->counters.host_waits, 1, memory_order_relaxed);
        if (--frame->steps[step->successors[i]].unmet == 0) push_ready(frame, step->successors[i]);
    }
}

static void measure(pt_frame *frame, uint32_t s) {
    pt_build *build = frame->program->build;
    const pt_step *step = &frame->program->steps.data[s];
    uint64_t end = pt_now_ns(), begin = frame->steps[s].begin_ns;
    if (!build->session->measure || !begin) return;
    if (step->part) {
        atomic_fetch_add(&build->clusters[step->part->cluster].ns, end - begin);
        atomic_fetch_add(&build->clusters[step->part->cluster].count, 1);
    }
    for (uint32_t i = 0; step->kind == PT_STEP_MOVE && i < step->move_count; i++) {
        if (step->moves[i].edge == PT_NONE) continue;
        atomic_fetch_add(&build->edges[step->moves[i].edge].ns, (end - begin) / step->move_count);
        atomic_fetch_add(&build->edges[step->moves[i].edge].count, 1);
    }
}

/* Under the lock. */
static void complete_step(pt_frame *frame, uint32_t s, partita_status status, const char *message) {
    frame->steps[s].complete = true;
    frame->in_flight--;
    frame->remaining--;
    if (status != PARTITA_OK) {
        set_failure(frame, status, message, s);
    } else {
        measure(frame, s);
        release_successors(frame, s, false);
    }
    pthread_cond_broadcast(&frame->moved);
}

/* Prefix of a failure: the node where the step begins, or the value that it moves. */
static partita_status annotate(const pt_frame *frame, uint32_t s, partita_status status) {
    const pt_step *step = &frame->program->steps.data[s];
    const pt_model *model = frame->program->build->model;
    if (status == PARTITA_CANCELLED || status == PARTITA_DEADLINE) return status;
    if (step->part) return pt_part_annotate(step->part, status);
    if (step->move_count) {
        const pt_value *value = &model->values.data[frame->program->slots.data[step->moves[0].to].value];
        return pt_annotate(status, "value '%.*s'", PT_STR_ARG(value->name));
    }
    if (step->node == PT_NONE) return status;
    return pt_annotate(status, "node '%.*s'", PT_STR_ARG(pt_node_name(model, step->node)));
}

/* This thread's message: a failure that a device reported later, by node and device. The status that it comes to: where
 * the device was refused memory, that is the cause, whatever it made of it. */
static partita_status name_failure(const pt_frame *frame, uint32_t s, partita_status status, const char *message) {
    const pt_device *device = frame->program->steps.data[s].device;
    if (frame->steps[s].refusal[0]) message = frame->steps[s].refusal;
    pt_fail(status, "%s: %s", device ? device->name : "host", message && message[0] ? message : pt_status_text(status));
    status = pt_spender_status(&frame->request->spender, status);
    return annotate(frame, s, status);
}

/* Starts a step without the lock. */
static partita_status start_step(pt_frame *frame, uint32_t s, bool *out_pending) {
    const pt_step *step = &frame->program->steps.data[s];
    partita_status status = PARTITA_OK;
    *out_pending = false;
    if (frame->program->build->session->measure) frame->steps[s].begin_ns = pt_now_ns();
    switch (step->kind) {
    case PT_STEP_LAUNCH: status = pt_step_launch(frame, s, out_pending); break;
    case PT_STEP_MOVE: status = pt_step_move(frame, s, out_pending); break;
    case PT_STEP_NODE: status = pt_step_control(frame, s); break;
    case PT_STEP_UNMAP: status = pt_step_unmap(frame, s, false); break;
    }
    if (step->device) status = pt_spender_status(&frame->request->spender, status);
    if (status != PARTITA_OK) return annotate(frame, s, status);
    if (*out_pending || step->kind != PT_STEP_LAUNCH) return status;
    status = pt_step_launched(frame, s);
    return status == PARTITA_OK ? status : name_failure(frame, s, status, pt_last_message());
}

/* Starts steps that do not block as long as there are any. Called and left with the lock held. */
static void pump(pt_frame *frame) {
    uint32_t s;
    while (frame->status == PARTITA_OK && (s = pop_ready(frame->ready_async, &frame->ready_async_count)) != PT_NONE) {
        bool pending;
        frame->in_flight++;
        frame->steps[s].started = true;
        pthread_mutex_unlock(&frame->lock);
        issuing = true;
        partita_status status = start_step(frame, s, &pending);
        issuing = false;
        pthread_mutex_lock(&frame->lock);
        if (status != PARTITA_OK || !pending) {
            if (status == PARTITA_OK) release_successors(frame, s, true);
            complete_step(frame, s, status, pt_last_message());
            continue;
        }
        /* it may have completed meanwhile: then its completion waits for this */
        frame->steps[s].issued = true;
        release_successors(frame, s, true);
        pt_step_state *state = &frame->steps[s];
        if (!state->signalled) continue;
        status = state->signal_status;
        if (status != PARTITA_OK) status = name_failure(frame, s, status, state->signal_message);
        complete_step(frame, s, status, pt_last_message());
    }
}

void pt_frame_signalled(pt_frame *frame, uint32_t s, partita_status status, const char *message) {
    pt_step_state *state = &frame->steps[s];
    pt_spender *before = pt_spender_enter(&frame->request->spender);
    if (status == PARTITA_OK && frame->program->steps.data[s].kind == PT_STEP_LAUNCH) {
        status = pt_step_launched(frame, s);
        if (status != PARTITA_OK) message = pt_last_message();
    }
    char kept[256];
    snprintf(kept, sizeof(kept), "%s", status == PARTITA_OK || !message ? "" : message);
    message = kept;
    pthread_mutex_lock(&frame->lock);
    if (!state->issued) {
        /* the issuing thread has not come back from the device yet */
        state->signalled = true;
        state->signal_status = status;
        snprintf(state->signal_message, sizeof(state->signal_message), "%s", message ? message : "");
        pthread_mutex_unlock(&frame->lock);
        pt_spender_enter(before);
        return;
    }
    if (status != PARTITA_OK) {
        status = name_failure(frame, s, status, message);
        message = pt_last_message();
    }
    /* nothing of the frame may be touched once nothing is in flight: one is held while pumping */
    frame->in_flight++;
    complete_step(frame, s, status, message);
    if (!issuing) pump(frame);
    frame->in_flight--;
    pthread_cond_broadcast(&frame->moved);
    pthread_mutex_unlock(&frame->lock);
    pt_spender_enter(before);
}

static void begin(pt_frame *frame) {
    const pt_program *program = frame->program;
    frame->ready_async_count = frame->ready_sync_count = 0;
    frame->remaining = (uint32_t)program->steps.size;
    frame->in_flight = 0;
    for (uint32_t s = 0; s < program->steps.size; s++) {
        frame->steps[s].unmet = program->steps.data[s].predecessor_count;
        frame->steps[s].signalled = false;
        frame->steps[s].begin_ns = 0;
    }
    for (uint32_t s = 0; s < program->steps.size; s++)
        if (frame->steps[s].unmet == 0) push_ready(frame, s);
}

void pt_request_enter(pt_request *request, pt_frame *frame) {
    pthread_mutex_lock(&request->lock);
    request->waiting = frame;
    pthread_mutex_unlock(&request->lock);
}

/* Sleeps until something completes. A run that is to stop fails here. With the lock held. */
static void wait_for_progress(pt_frame *frame) {
    pt_request *request = frame->request;
    uint64_t deadline = frame->status == PARTITA_OK ? request->deadline_ns : 0;
    bool in_time = pt_cond_wait_until(&frame->moved, &frame->lock, deadline);
    if (frame->status == PARTITA_OK && (!in_time || pt_request_stopped(request)) && frame->remaining) {
        pt_request_fail_stopped(request);
        set_failure(frame, atomic_load(&request->cancelled) ? PARTITA_CANCELLED : PARTITA_DEADLINE, pt_last_message(),
                    PT_NONE);
    }
}

partita_status pt_frame_run(pt_frame *frame) {
    pt_request *request = frame->request;
    pt_request_enter(request, frame);
    pthread_mutex_lock(&frame->lock);
    begin(frame);
    for (;;) {
        if (frame->status == PARTITA_OK && frame->remaining && pt_request_stopped(request)) {
            pt_request_fail_stopped(request);
            set_failure(frame, atomic_load(&request->cancelled) ? PARTITA_CANCELLED : PARTITA_DEADLINE,
                        pt_last_message(), PT_NONE);
        }
        pump(frame);
        if (frame->in_flight == 0 && (frame->remaining == 0 || frame->status != PARTITA_OK)) break;
        uint32_t s = frame->status == PARTITA_OK ? pop_ready(frame->ready_sync, &frame->ready_sync_count) : PT_NONE;
        if (s == PT_NONE) {
            wait_for_progress(frame);
            continue;
        }
        bool pending;
        frame->in_flight++;
        frame->steps[s].started = true;
        pthread_mutex_unlock(&frame->lock);
        partita_status status = start_step(frame, s, &pending);
        if (frame->program->steps.data[s].kind == PT_STEP_NODE) pt_request_enter(request, frame);
        pthread_mutex_lock(&frame->lock);
        complete_step(frame, s, status, pt_last_message());
    }
    partita_status status = frame->status;
    pthread_mutex_unlock(&frame->lock);
    return status == PARTITA_OK ? status : pt_fail_copy(status, frame->message);
}
