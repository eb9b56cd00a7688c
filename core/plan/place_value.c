/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a placed graph takes, and what all its placements take at least. The bound holds for every way of every group:
 * in it all are expanded, and where a device takes a group whole, its price lies on the anchor and the other pieces are
 * free, which is never more than the group or its pieces cost.
 */
#include "plan/place.h"

static bool has_groups(const pt_plan *plan, pt_id graph) {
    const pt_plan_graph *g = &plan->graphs[graph];
    for (uint32_t i = g->first_unit; plan->has_groups && i < g->first_unit + g->unit_count; i++)
        if (plan->units[i].kind == PTP_UNIT_GROUP) return true;
    return false;
}

/* Bodies at their least: no placement of this graph is cheaper with dearer ones. */
static bool relax_bodies(const pt_placing *p, pt_graph_problem *graph) {
    bool any = false;
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        uint32_t unit = graph->units[i];
        if (p->host_us[unit] < 0) continue;
        pt_problem_costs(graph, i)[p->plan->device_count] = pt_us_to_ps(p->least_us[unit]);
        any = true;
    }
    return any;
}

static void relax_piece(const pt_placing *p, uint32_t unit, int64_t *cost) {
    const pt_plan *plan = p->plan;
    uint32_t group = plan->units[unit].parent;
    for (uint32_t d = 0; d < plan->device_count; d++) {
        const pt_plan_answer *whole = pt_plan_answer_at(plan, group, d);
        if (whole->can != PTP_YES) continue;
        int64_t us = unit == group + 1 ? pt_us_to_ps(whole->us * whole->whole) : 0; /* the anchor's row is the next */
        cost[d] = PT_MIN(cost[d], us);
    }
}

/* The problem of `placed` with all groups expanded; its pins hold. */
static partita_status make_relaxed(pt_placing *p, const pt_graph_problem *placed, pt_arena *arena,
                                   pt_graph_problem *out_graph, uint32_t **out_device) {
    pt_plan *plan = p->plan;
    const pt_plan_graph *g = &plan->graphs[placed->graph];
    size_t row_bytes = placed->problem.devices * sizeof(int64_t);
    bool *expanded = pt_arena_array(arena, g->unit_count + 1, sizeof(bool));
    uint32_t *device = pt_arena_array(arena, g->unit_count + 1, sizeof(uint32_t));
    uint32_t *pinned = pt_arena_array(arena, g->unit_count + 1, sizeof(uint32_t));
    if (!expanded || !device || !pinned) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < g->unit_count; i++) {
        const pt_plan_unit *unit = &plan->units[g->first_unit + i];
        const pt_plan_unit *by = &plan->units[plan->node_unit[unit->nodes[0]]];
        expanded[i] = unit->expanded;
        device[i] = pt_problem_column(plan, by->device);
        pinned[i] = by->pinned ? device[i] : PT_NONE;
    }
    for (uint32_t i = 0; i < g->unit_count; i++)
        if (plan->units[g->first_unit + i].kind == PTP_UNIT_GROUP) pt_plan_set_expanded(plan, g->first_unit + i, true);
    partita_status status = pt_graph_problem_make(plan, &p->links, placed->graph, p->host_us, arena, out_graph);
    for (uint32_t i = 0; status == PARTITA_OK && i < out_graph->problem.units; i++) {
        uint32_t unit = out_graph->units[i], row = placed->rows[unit - g->first_unit];
        int64_t *cost = pt_problem_costs(out_graph, i);
        if (row != PT_NONE && plan->units[unit].parent == PT_NONE)
            memcpy(cost, pt_problem_costs(placed, row), row_bytes);
        if (plan->units[unit].parent != PT_NONE) relax_piece(p, unit, cost);
        out_graph->pinned[i] = pinned[unit - g->first_unit];
        (*out_device)[i] = device[unit - g->first_unit];
    }
    for (uint32_t i = 0; i < g->unit_count; i++)
        if (plan->units[g->first_unit + i].kind == PTP_UNIT_GROUP)
            pt_plan_set_expanded(plan, g->first_unit + i, expanded[i]);
    return status;
}

partita_status pt_placing_value(pt_placing *p, pt_id id, double *out_us, double *out_least_us) {
    pt_plan *plan = p->plan;
    pt_arena arena = {0};
    pt_graph_problem graph, relaxed;
    pt_part_result result = {0};
    partita_status status = PARTITA_OK;
    *out_us = *out_least_us = 0;
    PT_CHECK(pt_placing_problem(p, id, &arena, &graph));
    if (!graph.problem.units) goto out; /* a body may only hand values on */
    uint32_t *device = pt_arena_array(&arena, plan->graphs[id].unit_count + 1, sizeof(*device));
    if (!device) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint32_t i = 0; i < graph.problem.units; i++)
        device[i] = pt_problem_column(plan, plan->units[graph.units[i]].device);
    PT_CHECK(pt_part_evaluate(&graph.problem, device, NULL, &result));
    *out_us = pt_ps_to_us(result.value.latency);
    bool groups = has_groups(plan, id);
    if (relax_bodies(p, &graph) || groups) {
        pt_part_result_deinit(&result);
        if (groups) PT_CHECK(make_relaxed(p, &graph, &arena, &relaxed, &device));
        PT_CHECK(pt_part_evaluate(groups ? &relaxed.problem : &graph.problem, device, NULL, &result));
    }
    *out_least_us = pt_ps_to_us(result.lower_bound);
out:
    pt_part_result_deinit(&result);
    pt_arena_deinit(&arena);
    return status;
}
