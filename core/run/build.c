/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds: everything compiled from one plan. A device that cannot compile a cluster, or fails while running it, loses
 * the claim; the rest is planned again and a new build takes over.
 */
#include "run/layout.h"
#include "run/session.h"
#include <stdatomic.h>
#include <stdio.h>

/* Weights lie where their device computes. They are there, whatever is allowed: the planner held them to it. */
static void count_weights(pt_build *build) {
    for (uint32_t d = 0; d < build->plan->device_count; d++) {
        uint32_t place = pt_place_of(build, build->plan->devices[d], 0);
        build->places[place].weight_bytes += pt_plan_weight_bytes(build->plan, d);
    }
    for (uint32_t i = 0; i < build->place_count; i++)
        pt_budget_add(build->places[i].budget, build->places[i].weight_bytes);
}

static partita_status make_places(pt_build *build) {
    const pt_plan *plan = build->plan;
    uint32_t count = 1;
    for (uint32_t i = 0; i < plan->device_count; i++)
        if (plan->devices[i]->has_memory) count += plan->devices[i]->info.domain_count;
    build->places = pt_calloc(count, sizeof(*build->places));
    if (!build->places) return PT_OUT_OF_MEMORY();
    build->places[build->place_count++] = (pt_place){.domain = PTP_DOMAIN_HOST};
    build->places[0].budget = pt_session_budget(build->session, NULL);
    build->import_alignment = 64;
    for (uint32_t i = 0; i < plan->device_count; i++) {
        pt_device *device = plan->devices[i];
        for (uint32_t d = 0; device->has_memory && d < device->info.domain_count; d++) {
            uint32_t alignment = device->info.domains[d].import_alignment;
            if (alignment && (alignment & (alignment - 1)) == 0)
                build->import_alignment = PT_MAX(build->import_alignment, alignment);
            build->places[build->place_count++] =
                (pt_place){.device = device, .domain = d, .budget = pt_session_budget(build->session, device)};
        }
    }
    count_weights(build);
    return PARTITA_OK;
}

static partita_status make_edge_lists(pt_build *build) {
    size_t values = build->model->values.size;
    const pt_plan *plan = build->plan;
    build->first_edge = pt_calloc(values + 1, sizeof(uint32_t));
    build->next_edge = pt_calloc(plan->edge_count + 1, sizeof(uint32_t));
    build->clusters = pt_calloc(plan->cluster_count + 1, sizeof(*build->clusters));
    build->edges = pt_calloc(plan->edge_count + 1, sizeof(*build->edges));
    if (!build->first_edge || !build->next_edge || !build->clusters || !build->edges) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < values; i++) build->first_edge[i] = PT_NONE;
    for (uint32_t i = plan->edge_count; i-- > 0;) {
        build->next_edge[i] = build->first_edge[plan->edges[i].value];
        build->first_edge[plan->edges[i].value] = i;
    }
    return PARTITA_OK;
}

static void destroy_planned(pt_planned *planned) {
    if (planned->owns_plan) pt_plan_destroy(planned->plan);
    partita_model_destroy(planned->model);
    *planned = (pt_planned){0};
}

static void destroy_build(pt_build *build) {
    if (!build) return;
    for (size_t i = 0; build->programs && i < build->model->graphs.size; i++) pt_program_destroy(build->programs[i]);
    for (uint32_t i = 0; build->parts && i < build->plan->cluster_count; i++) pt_part_destroy(build->parts[i]);
    for (uint32_t i = 0; i < build->place_count; i++)
        pt_budget_give(build->places[i].budget, build->places[i].weight_bytes);
    pt_free(build->programs);
    pt_free(build->parts);
    pt_free(build->places);
    pt_free(build->first_edge);
    pt_free(build->next_edge);
    pt_free(build->clusters);
    pt_free(build->edges);
    destroy_planned(&(pt_planned){build->plan, build->owns_plan, build->origin});
    pt_free(build);
}

bool pt_is_device_fault(partita_status status, uint64_t alloc_failures) {
    switch (status) {
    case PARTITA_INVALID_ARGUMENT:
    case PARTITA_DEVICE_ABSENT:
    case PARTITA_DEVICE_FAILED:
    case PARTITA_DEVICE_LOST:
    case PARTITA_CANNOT_COMPILE:
    case PARTITA_OVER_BUDGET:
    case PARTITA_UNSUPPORTED:
    case PARTITA_NOT_IN_VERSION:
    case PARTITA_BUSY:
    case PARTITA_DECLINED:
    case PARTITA_INTERNAL: return true;
    case PARTITA_OUT_OF_MEMORY: return pt_alloc_failures() == alloc_failures;
    default: return false;
    }
}

/* What the caller is told when a device's failure is the end: its codes for the host mean other things to a caller. */
static partita_status final_status(partita_status failure) {
    bool own = failure == PARTITA_INVALID_ARGUMENT || failure == PARTITA_UNSUPPORTED ||
               failure == PARTITA_NOT_IN_VERSION || failure == PARTITA_BUSY || failure == PARTITA_OVER_BUDGET;
    return own ? PARTITA_DEVICE_FAILED : failure;
}

/* The session's request for the model that `at` is for, whose nominal sizes are the plan's. */
static partita_status make_request(const partita_session *session, const pt_planned *at, pt_arena *arena,
                                   pt_plan_request *out_request) {
    const pt_model *model = at->plan->model;
    *out_request = session->plan->request;
    out_request->previous = at->plan;
    if (!at->model) return PARTITA_OK;
    int64_t *values = pt_arena_array(arena, model->symbols.rows.size + 1, sizeof(*values));
    if (!values) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < model->symbols.rows.size; i++)
        values[i] = model->symbols.rows.data[i].op == PT_DIM_BASE ? at->plan->symbol_values[i] : PT_DIM_UNKNOWN;
    out_request->model = model;
    out_request->base_values = values;
    return PARTITA_OK;
}

/*
 * Plans again without the claim of a cluster of `at`, whose device failed. The failure's message is this thread's. What
 * no other device takes is expanded, where it is a function.
 */
static partita_status replan(partita_session *session, const pt_planned *at, uint32_t cluster, uint32_t reason,
                             partita_status failure, pt_planned *out_planned) {
    const pt_plan *plan = at->plan;
    pt_plan_request request;
    pt_arena arena = {0};
    pt_planned next = {.owns_plan = true, .model = at->model ? at->model : session->plan->model};
    char cause[512];
    snprintf(cause, sizeof(cause), "%s", pt_last_message());
    failure = final_status(failure);
    if (session->strict) return failure;
    pt_model_retain(next.model);
    partita_status status = make_request(session, at, &arena, &request);
    request.demoted = cluster;
    request.demoted_reason = reason;
    request.demoted_text = cause;
    if (status == PARTITA_OK) status = pt_plan_create_expanding(&next.model, &request, &arena, &next.plan);
    pt_arena_deinit(&arena);
    if (status != PARTITA_OK) {
        destroy_planned(&next);
        return pt_fail_copy(failure, cause); /* nobody is left: the device's failure is the cause */
    }
    atomic_fetch_add(&session->counters.plans, 1);
    const pt_plan_demotion *row = &next.plan->demotions.data[next.plan->demotions.size - 1];
    pt_log_to(session->log, PARTITA_LOG_WARNING, "demoted: %s goes from %s to another device: %s", row->cluster,
              plan->devices[plan->clusters[cluster].device]->name, cause);
    *out_planned = next;
    return PARTITA_OK;
}

/* A cluster whose device hangs; PT_NONE. */
static uint32_t hanging_cluster(const pt_plan *plan) {
    for (uint32_t i = 0; i < plan->cluster_count; i++)
        if (pt_device_hangs(plan->devices[plan->clusters[i].device])) return i;
    return PT_NONE;
}

bool pt_build_hangs(const pt_build *build) { return hanging_cluster(build->plan) != PT_NONE; }

/* Withdraws the claim of `cluster`, if there is one, and then all of devices that hang: nothing compiles for those. */
static partita_status replan_all(partita_session *session, const pt_planned *planned, uint32_t cluster,
                                 partita_status failure, pt_planned *out_planned) {
    pt_planned own = {0};
    if (cluster == PT_NONE) cluster = hanging_cluster(planned->plan);
    for (; cluster != PT_NONE; cluster = hanging_cluster(own.plan)) {
        const pt_planned *at = own.plan ? &own : planned;
        const pt_device *device = at->plan->devices[at->plan->clusters[cluster].device];
        pt_planned next = {0};
        if (pt_device_hangs(device))
            failure =
                pt_fail(PARTITA_DEVICE_FAILED, "%s: hangs: a run has not come back since it was left", device->name);
        partita_status status = replan(session, at, cluster, PARTITA_REASON_FAILED, failure, &next);
        destroy_planned(&own);
        own = next;
        if (status != PARTITA_OK) return status;
    }
    *out_planned = own;
    return PARTITA_OK;
}

/* Compiles every cluster; *out_failed names the one whose device failed, if that was it. */
static partita_status compile_parts(pt_build *build, uint32_t *out_failed) {
    partita_session *session = build->session;
    uint32_t count = build->plan->cluster_count;
    *out_failed = PT_NONE;
    build->parts = pt_calloc(count + 1, sizeof(*build->parts));
    if (!build->parts) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) {
        partita_str name = pt_node_name(build->model, build->plan->clusters[i].nodes[0]);
        uint64_t alloc_failures = pt_alloc_failures();
        PT_TRY(pt_job_progress(&session->job, (float)i / (float)count, name.data));
        partita_status status = pt_part_create(build->plan, i, &session->job, &build->parts[i]);
        if (status != PARTITA_OK) {
            if (pt_is_device_fault(status, alloc_failures)) *out_failed = i;
            return pt_annotate(status, "node '%.*s'", PT_STR_ARG(name));
        }
        atomic_fetch_add(&session->counters.compiles, 1);
    }
    return pt_job_progress(&session->job, 1, "");
}

static partita_status create_from(partita_session *session, pt_planned planned, uint32_t *out_failed,
                                  pt_build **out_build) {
    *out_failed = PT_NONE;
    *out_build = NULL;
    pt_build *build = pt_calloc(1, sizeof(*build));
    if (!build) {
        destroy_planned(&planned);
        return PT_OUT_OF_MEMORY();
    }
    atomic_init(&build->references, 1);
    build->session = session;
    build->plan = planned.plan;
    build->owns_plan = planned.owns_plan;
    build->origin = planned.model;
    build->model = planned.plan->model;
    *out_build = build;
    PT_TRY(make_places(build));
    PT_TRY(make_edge_lists(build));
    PT_TRY(compile_parts(build, out_failed));
    return pt_programs_create(build);
}

partita_status pt_build_create(partita_session *session, pt_planned planned, pt_build **out_build) {
    for (;;) {
        uint32_t failed;
        pt_planned next = {0};
        pt_build *build;
        partita_status status = create_from(session, planned, &failed, &build);
        if (status == PARTITA_OK) {
            *out_build = build;
            return PARTITA_OK;
        }
        const pt_planned at = {.plan = build ? build->plan : NULL, .model = build ? build->origin : NULL};
        if (failed != PT_NONE) status = replan(session, &at, failed, PARTITA_REASON_COMPILE, status, &next);
        destroy_build(build);
        if (!next.plan) return status;
        planned = next;
    }
}

pt_build *pt_session_hold_build(partita_session *session) {
    pthread_mutex_lock(&session->lock);
    while (session->replacing) pthread_cond_wait(&session->idle, &session->lock);
    pt_build *build = session->build;
    atomic_fetch_add(&build->references, 1);
    pthread_mutex_unlock(&session->lock);
    return build;
}

void pt_build_release(pt_build *build) {
    if (build && atomic_fetch_sub(&build->references, 1) == 1) destroy_build(build);
}

void pt_build_drop_idle(pt_build *build) {
    for (size_t i = 0; i < build->model->graphs.size; i++)
        if (build->programs[i]) pt_program_drop_frames(build->programs[i]);
}

partita_status pt_session_demote(partita_session *session, pt_build *build, uint32_t cluster, partita_status failure) {
    const pt_planned at = {.plan = build->plan, .model = build->origin};
    pt_planned planned = {0};
    pt_build *next = NULL;
    pthread_mutex_lock(&session->lock);
    while (session->replacing) pthread_cond_wait(&session->idle, &session->lock);
    bool replaced = session->build != build; /* another run failed there first */
    session->replacing = !replaced;
    pthread_mutex_unlock(&session->lock);
    if (replaced) return PARTITA_OK;
    partita_status status = replan_all(session, &at, cluster, failure, &planned);
    if (status == PARTITA_OK && planned.plan) status = pt_build_create(session, planned, &next);
    pthread_mutex_lock(&session->lock);
    if (next) session->build = next;
    session->replacing = false;
    pthread_cond_broadcast(&session->idle);
    pthread_mutex_unlock(&session->lock);
    if (next) pt_build_release(build);
    return status;
}
