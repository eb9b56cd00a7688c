/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan as an object: made stage by stage, demoted, destroyed.
 */
#include "plan/plan.h"
#include "plan/build.h"

static partita_status take_request(pt_plan *plan, const pt_plan_request *request) {
    size_t symbols = request->model->symbols.rows.size;
    plan->model = request->model;
    plan->device_count = request->device_count;
    plan->fallback = request->fallback;
    plan->objective = request->objective;
    plan->precision = request->precision;
    plan->devices = pt_arena_array(&plan->arena, request->device_count + 1, sizeof(pt_device *));
    plan->symbol_values = pt_arena_array(&plan->arena, symbols + 1, sizeof(int64_t));
    if (!plan->devices || !plan->symbol_values) return PT_OUT_OF_MEMORY();
    if (request->device_count) memcpy(plan->devices, request->devices, request->device_count * sizeof(pt_device *));
    for (size_t i = 0; i < symbols; i++)
        plan->symbol_values[i] = request->base_values ? request->base_values[i] : PT_DIM_UNKNOWN;
    pt_symbols_evaluate(&plan->model->symbols, plan->symbol_values);
    return PARTITA_OK;
}

static partita_status take_demotions(pt_plan *plan, const pt_plan *previous) {
    for (size_t i = 0; previous && i < previous->demotions.size; i++) {
        pt_plan_demotion row = previous->demotions.data[i];
        row.cluster = pt_arena_str(&plan->arena, pt_str(row.cluster)).data;
        row.text = pt_arena_str(&plan->arena, pt_str(row.text)).data;
        if (!row.cluster || !row.text || !pt_array_push(&plan->demotions, row)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

/* Everything behind the answers: where units go, and what that makes. May run again on the same plan. */
static partita_status arrange(pt_plan *plan, const pt_plan_request *request) {
    plan->cluster_count = plan->edge_count = 0;
    for (uint32_t i = 0; i < plan->unit_count; i++) plan->units[i].cluster = PT_NONE;
    PT_TRY(pt_plan_place(plan, request));
    PT_TRY(pt_plan_make_clusters(plan));
    PT_TRY(pt_plan_make_edges(plan));
    for (uint32_t i = 0; i < plan->cluster_count; i++) {
        pt_plan_cluster *cluster = &plan->clusters[i];
        cluster->estimate_us = cluster->unit_us + plan->devices[cluster->device]->info.launch_us;
    }
    return PARTITA_OK;
}

/* Rounds of offering after which the devices' trims are final. */
#define MAX_OFFERS 3

partita_status pt_plan_create(const pt_plan_request *request, pt_plan **out_plan) {
    partita_status status = PARTITA_OK;
    pt_plan *plan = pt_calloc(1, sizeof(*plan));
    if (!plan) return PT_OUT_OF_MEMORY();
    PT_CHECK(take_request(plan, request));
    PT_CHECK(take_demotions(plan, request->previous));
    PT_CHECK(pt_plan_make_units(plan));
    PT_CHECK(pt_plan_ask(plan, request));
    PT_CHECK(arrange(plan, request));
    bool changed = true;
    for (int round = 0; changed && round < MAX_OFFERS; round++) {
        PT_CHECK(pt_plan_offer(plan, &changed));
        if (changed) PT_CHECK(arrange(plan, request));
    }
    PT_CHECK(pt_plan_schedule(plan, request));
    *out_plan = plan;
    plan = NULL;
out:
    pt_plan_destroy(plan);
    return status;
}

void pt_plan_destroy(pt_plan *plan) {
    if (!plan) return;
    pt_array_deinit(&plan->demotions);
    pt_arena_deinit(&plan->arena);
    pt_free(plan);
}

partita_status pt_plan_demote(pt_plan *plan, uint32_t cluster, uint32_t reason, const char *text) {
    const pt_plan_cluster *c = &plan->clusters[cluster];
    partita_str name = pt_node_name(plan->model, c->nodes[0]);
    partita_str cause = pt_arena_str(&plan->arena, pt_str(text));
    partita_str title = c->node_count == 1
                            ? pt_arena_str(&plan->arena, name)
                            : pt_arena_printf(&plan->arena, "%.*s and %u more", PT_STR_ARG(name), c->node_count - 1);
    if (!cause.data || !title.data) return PT_OUT_OF_MEMORY();
    pt_plan_demotion row = {title.data, c->device, reason, cause.data};
    if (!pt_array_push(&plan->demotions, row)) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < c->node_count; i++) {
        pt_plan_answer *answer =
            &plan->answers[(size_t)plan->node_unit[c->nodes[i]] * plan->device_count + c->device];
        answer->can = PTP_NO;
        answer->demoted = true;
        answer->reason = (uint8_t)reason;
        answer->text = cause.data;
    }
    return PARTITA_OK;
}
