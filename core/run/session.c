/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions and runs on the calling thread. A run whose device fails starts again from its inputs on the next build.
 */
#include "run/session.h"
#include "run/run.h"
#include "run/runner.h"
#include <stdatomic.h>

/* ---- memory ---------------------------------------------------------------------------------- */

/* A budget of host memory, which devices without memory of their own share, and one of each other device. */
static partita_status make_budgets(partita_session *session) {
    const pt_plan_request *request = &session->plan->request;
    if (!request->max_memory) return PARTITA_OK;
    session->budgets = pt_calloc((size_t)request->device_count + 1, sizeof(pt_budget *));
    if (!session->budgets) return PT_OUT_OF_MEMORY();
    PT_TRY(pt_budget_create("host memory", request->max_memory, &session->budgets[0]));
    for (uint32_t d = 0; d < request->device_count; d++)
        if (request->devices[d]->has_memory)
            PT_TRY(pt_budget_create(request->devices[d]->name, request->max_memory, &session->budgets[1 + d]));
    return PARTITA_OK;
}

static void release_budgets(partita_session *session) {
    for (uint32_t d = 0; session->budgets && d <= session->plan->request.device_count; d++)
        pt_budget_release(session->budgets[d]);
    pt_free(session->budgets);
}

pt_budget *pt_session_budget(const partita_session *session, const pt_device *device) {
    if (!session->budgets) return NULL;
    const pt_plan_request *request = &session->plan->request;
    for (uint32_t d = 0; device && device->has_memory && d < request->device_count; d++)
        if (request->devices[d] == device) return session->budgets[1 + d];
    return session->budgets[0];
}

/* ---- sessions -------------------------------------------------------------------------------- */

partita_status partita_session_create(partita_plan *plan, const partita_session_options *options,
                                      partita_session **out_session) {
    partita_status status = PARTITA_OK;
    PT_REQUIRE(plan && out_session);
    partita_session *session = pt_calloc(1, sizeof(*session));
    if (!session) return PT_OUT_OF_MEMORY();
    atomic_init(&session->references, 1);
    pthread_mutex_init(&session->lock, NULL);
    pthread_cond_init(&session->idle, NULL);
    pt_plan_retain(plan);
    session->plan = plan;
    session->log = &plan->model->context->log;
    session->strict = plan->strict;
    session->measure = PT_OPTION(options, partita_session_options, measure) != 0;
    session->max_shapes_bytes = PT_OPTION(options, partita_session_options, max_shapes_bytes);
    if (!session->max_shapes_bytes) session->max_shapes_bytes = UINT64_C(256) << 20;
    session->job.progress = PT_OPTION(options, partita_session_options, progress);
    session->job.user = PT_OPTION(options, partita_session_options, progress_user);
    atomic_store(&session->counters.plans, 1);
    PT_CHECK(make_budgets(session));
    PT_CHECK(pt_build_create(session, (pt_planned){.plan = plan->plan}, &session->build));
    session->job = (ptp_job){0}; /* whoever watches may be gone when a demotion compiles again */
    *out_session = session;
    session = NULL;
out:
    partita_session_destroy(session);
    return status;
}

static void release_session(partita_session *session) {
    if (atomic_fetch_sub(&session->references, 1) != 1) return;
    pt_build_release(session->build);
    release_budgets(session);
    partita_plan_destroy(session->plan);
    pthread_cond_destroy(&session->idle);
    pthread_mutex_destroy(&session->lock);
    pt_free(session);
}

void partita_session_destroy(partita_session *session) {
    if (!session) return;
    pthread_mutex_lock(&session->lock);
    while (session->active > session->stuck) pthread_cond_wait(&session->idle, &session->lock);
    pthread_mutex_unlock(&session->lock);
    release_session(session);
}

void pt_session_enter(partita_session *session) {
    atomic_fetch_add(&session->references, 1);
    pthread_mutex_lock(&session->lock);
    session->active++;
    pthread_mutex_unlock(&session->lock);
}

void pt_session_strand(partita_session *session) {
    pthread_mutex_lock(&session->lock);
    session->stuck++;
    pthread_cond_broadcast(&session->idle);
    pthread_mutex_unlock(&session->lock);
}

void pt_session_leave(partita_session *session, bool stranded) {
    pthread_mutex_lock(&session->lock);
    session->active--;
    if (stranded) session->stuck--;
    pthread_cond_broadcast(&session->idle);
    pthread_mutex_unlock(&session->lock);
    release_session(session);
}

/* One attempt on the build that the request holds. */
static partita_status run_once(pt_request *request, partita_value *const *inputs, uint32_t input_count,
                               partita_value *const *bound, partita_value **outputs, uint32_t output_count) {
    pt_program *program = request->build->programs[0];
    partita_status status = PARTITA_OK;
    pt_frame *frame;
    if (output_count != program->output_count)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "%u outputs, expected %u", output_count, program->output_count);
    PT_TRY(pt_frame_acquire(request, program, NULL, &frame));
    PT_CHECK(pt_frame_bind(frame, inputs, input_count));
    frame->bound = bound;
    PT_CHECK(pt_frame_check_bound(frame));
    PT_CHECK(pt_frame_run(frame));
    status = pt_frame_outputs(frame, outputs);
    for (uint32_t i = 0; i < output_count; i++) {
        pt_value_give_away(outputs[i]);
        if (status == PARTITA_OK) continue;
        partita_value_release(outputs[i]);
        outputs[i] = NULL;
    }
out:
    pt_frame_release(frame, status != PARTITA_OK);
    return status;
}

/* Again after demotions, and once when the limit of a memory was passed while arenas of earlier runs lay idle. */
static partita_status run_until_answered(pt_request *request, partita_value *const *inputs, uint32_t input_count,
                                         partita_value *const *bound, partita_value **outputs, uint32_t output_count) {
    partita_session *session = request->session;
    partita_status status;
    bool dropped = false;
    for (;;) {
        request->build = pt_session_hold_build(session);
        if (pt_build_hangs(request->build)) {
            status = pt_session_demote(session, request->build, PT_NONE, PARTITA_OK);
            pt_build_release(request->build);
            request->build = NULL;
            if (status != PARTITA_OK) break;
            continue;
        }
        request->failed_cluster = PT_NONE;
        uint64_t alloc_failures = pt_alloc_failures();
        status = run_once(request, inputs, input_count, bound, outputs, output_count);
        bool refused = pt_spender_clear(&request->spender) && status == PARTITA_OUT_OF_MEMORY;
        bool device = !refused && request->failed_cluster != PT_NONE && pt_is_device_fault(status, alloc_failures);
        bool again = false, stopped = pt_request_stopped(request);
        if (refused && !dropped && !stopped) {
            pt_build_drop_idle(request->build);
            again = dropped = true;
        }
        if (device && stopped && !session->strict) {
            status = pt_request_fail_stopped(request); /* with more time another device would have answered */
        } else if (device && !stopped) {
            status = pt_session_demote(session, request->build, request->failed_cluster, status);
            again = status == PARTITA_OK;
        }
        pt_build_release(request->build);
        request->build = NULL;
        if (!again) break;
    }
    if (status == PARTITA_OK) atomic_fetch_add(&session->counters.runs, 1);
    return status;
}

/* The inputs with the model's defaults where there is none, borrowed; the array is pt_free'd. NULL: as they are. */
static partita_status fill_defaults(const partita_session *session, partita_value *const *inputs, uint32_t count,
                                    partita_value ***out_filled) {
    const partita_model *model = session->plan->model;
    *out_filled = NULL;
    if (!model->has_defaults || count != partita_model_input_count(model)) return PARTITA_OK;
    partita_value **filled = pt_calloc(count, sizeof(*filled));
    if (!filled) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) filled[i] = inputs[i] ? inputs[i] : model->defaults[i];
    *out_filled = filled;
    return PARTITA_OK;
}

partita_status pt_request_run(pt_request *request, partita_value *const *inputs, uint32_t input_count,
                              partita_value *const *bound, partita_value **outputs, uint32_t output_count) {
    partita_value **filled;
    PT_TRY(fill_defaults(request->session, inputs, input_count, &filled));
    pt_spender *before = pt_spender_enter(&request->spender);
    partita_status status =
        run_until_answered(request, filled ? filled : inputs, input_count, bound, outputs, output_count);
    pt_spender_enter(before);
    pt_free(filled);
    return status;
}

void pt_request_init(pt_request *request, partita_session *session, const partita_run_options *options) {
    uint64_t ms = PT_OPTION(options, partita_run_options, deadline_ms), ns, at;
    *request = (pt_request){.session = session, .failed_cluster = PT_NONE};
    pthread_mutex_init(&request->lock, NULL);
    pt_spender_init(&request->spender, pt_session_budget(session, NULL));
    if (ms && pt_mul_u64(ms, 1000000, &ns) && pt_add_u64(pt_now_ns(), ns, &at)) request->deadline_ns = at;
}

void pt_request_deinit(pt_request *request) {
    pt_spender_deinit(&request->spender);
    pthread_mutex_destroy(&request->lock);
}

partita_status partita_session_run(partita_session *session, const partita_run_options *options,
                                   partita_value *const *inputs, uint32_t input_count, partita_value **outputs,
                                   uint32_t output_count) {
    pt_request request;
    PT_REQUIRE(session && (inputs || !input_count) && (outputs || !output_count));
    if (PT_OPTION(options, partita_run_options, deadline_ms))
        return pt_request_run_apart(session, options, inputs, input_count, outputs, output_count);
    partita_value **results = pt_calloc(output_count + 1, sizeof(*results));
    if (!results) return PT_OUT_OF_MEMORY();
    pt_session_enter(session);
    pt_request_init(&request, session, options);
    partita_status status = pt_request_run(&request, inputs, input_count, outputs, results, output_count);
    for (uint32_t i = 0; status == PARTITA_OK && i < output_count; i++) {
        if (outputs[i])
            partita_value_release(results[i]); /* bound: the caller's own */
        else
            outputs[i] = results[i];
    }
    pt_request_deinit(&request);
    pt_session_leave(session, false);
    pt_free(results);
    return status;
}

void partita_session_counters(const partita_session *session, partita_counters *out_counters) {
    partita_session *s = (partita_session *)session;
    if (!session || !out_counters) return;
    partita_counters c = {.plans = atomic_load(&s->counters.plans),
                          .compiles = atomic_load(&s->counters.compiles),
                          .resizes = atomic_load(&s->counters.resizes),
                          .resize_ns_max = atomic_load(&s->counters.resize_ns_max),
                          .runs = atomic_load(&s->counters.runs),
                          .copies = atomic_load(&s->counters.copies),
                          .bytes_copied = atomic_load(&s->counters.bytes_copied),
                          .imports = atomic_load(&s->counters.imports),
                          .host_waits = atomic_load(&s->counters.host_waits)};
    pt_build *build = pt_session_hold_build(s);
    pthread_mutex_lock(&s->lock);
    c.stuck = s->stuck;
    pthread_mutex_unlock(&s->lock);
    c.parts = build->plan->cluster_count;
    c.demotions = build->plan->demotions.size;
    pt_build_release(build);
    uint32_t size = out_counters->size ? out_counters->size : sizeof(c);
    c.size = size;
    memcpy(out_counters, &c, PT_MIN(size, sizeof(c)));
}
