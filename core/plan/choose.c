/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cheapest placement of one graph. The partitioner places units; which groups are whole is chosen around it: all
 * that can be, none, those that the placement without any left on one device, and in small graphs by turning over one
 * group after the other. A group whose pieces end on one device that takes it is whole there, so that a placement says
 * by its devices alone which groups are.
 */
#include "plan/place.h"

enum {
    LARGE = 20000,   /* units from which the first way of all groups has to do */
    FEW_GROUPS = 12, /* that are turned over one by one, */
    FEW_UNITS = 64,  /* in graphs of so many units */
    SWEEPS = 2,
};

typedef struct placement {
    uint32_t *device; /* by unit of the graph */
    bool *expanded;
    pt_part_value value;
    const char *candidate;
    bool found;
} placement;

typedef struct choosing {
    pt_placing *p;
    pt_plan *plan;
    pt_id graph;
    uint32_t first, count; /* units of the graph */
    uint32_t *open;        /* [opens]: groups that may be whole or expanded */
    uint32_t opens;
    placement best;
    pt_part_value value; /* of what is in the plan now */
    const char *candidate;
} choosing;

/* ---- whole again ----------------------------------------------------------------------------- */

/* The device that all pieces are on, when it takes the group; PT_NONE. */
static uint32_t common_device(const pt_plan *plan, uint32_t group) {
    const pt_plan_unit *unit = &plan->units[group];
    uint32_t device = plan->units[plan->node_piece[unit->nodes[0]]].device;
    for (uint32_t i = 1; i < unit->node_count; i++)
        if (plan->units[plan->node_piece[unit->nodes[i]]].device != device) return PT_NONE;
    return device != PT_PLAN_HOST && pt_plan_answer_at(plan, group, device)->can == PTP_YES ? device : PT_NONE;
}

bool pt_placing_fold(const pt_placing *p, pt_id graph) {
    pt_plan *plan = p->plan;
    const pt_plan_graph *g = &plan->graphs[graph];
    bool folded = false;
    for (uint32_t i = g->first_unit; plan->has_groups && i < g->first_unit + g->unit_count; i++) {
        pt_plan_unit *unit = &plan->units[i];
        if (unit->kind != PTP_UNIT_GROUP || !unit->expanded || !(p->ways[i] & PT_WAY_WHOLE)) continue;
        uint32_t device = common_device(plan, i);
        if (device == PT_NONE) continue;
        pt_plan_set_expanded(plan, i, false);
        unit->device = device;
        for (uint32_t k = 0; k < unit->node_count; k++)
            plan->units[plan->node_piece[unit->nodes[k]]].device = PT_PLAN_HOST;
        folded = true;
    }
    return folded;
}

/* ---- one placement --------------------------------------------------------------------------- */

/*
 * Pieces as cheap as the group that they may become again: without it nobody would find that all of them belong where
 * the group is cheap.
 */
static void hope_for_groups(const choosing *c, pt_graph_problem *graph) {
    const pt_plan *plan = c->plan;
    for (uint32_t i = 0; i < c->opens; i++) {
        const pt_plan_unit *unit = &plan->units[c->open[i]];
        for (uint32_t d = 0; unit->expanded && d < plan->device_count; d++) {
            const pt_plan_answer *whole = pt_plan_answer_at(plan, c->open[i], d);
            double sum = 0, us = whole->us * whole->whole;
            for (uint32_t k = 0; k < unit->node_count; k++) {
                const pt_plan_answer *piece = pt_plan_answer_at(plan, plan->node_piece[unit->nodes[k]], d);
                sum += piece->can == PTP_YES ? piece->us * piece->whole : 1e18;
            }
            if (whole->can != PTP_YES || us >= sum || sum >= 1e18) continue;
            for (uint32_t k = 0; k < unit->node_count; k++) {
                uint32_t row = graph->rows[plan->node_piece[unit->nodes[k]] - c->first];
                int64_t *cost = &pt_problem_costs(graph, row)[d];
                if (*cost < PT_PART_INFINITE) *cost = (int64_t)((double)*cost * us / sum);
            }
        }
    }
}

static void keep_if_better(choosing *c, pt_part_objective objective) {
    if (c->best.found && !pt_part_value_better(objective, &c->value, &c->best.value)) return;
    c->best.found = true;
    c->best.value = c->value;
    c->best.candidate = c->candidate;
    for (uint32_t i = 0; i < c->count; i++) {
        c->best.device[i] = c->plan->units[c->first + i].device;
        c->best.expanded[i] = c->plan->units[c->first + i].expanded;
    }
}

static void take_best(choosing *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        pt_plan_unit *unit = &c->plan->units[c->first + i];
        unit->device = c->best.device[i];
        if (unit->kind == PTP_UNIT_GROUP) pt_plan_set_expanded(c->plan, c->first + i, c->best.expanded[i]);
    }
}

static partita_status evaluate_now(choosing *c, pt_arena *arena) {
    pt_graph_problem graph;
    pt_part_result result = {0};
    partita_status status = PARTITA_OK;
    PT_TRY(pt_placing_problem(c->p, c->graph, arena, &graph));
    uint32_t *device = pt_arena_array(arena, graph.problem.units + 1, sizeof(*device));
    if (!device) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < graph.problem.units; i++)
        device[i] = pt_problem_column(c->plan, c->plan->units[graph.units[i]].device);
    PT_CHECK(pt_part_evaluate(&graph.problem, device, NULL, &result));
    c->value = result.value;
out:
    pt_part_result_deinit(&result);
    return status;
}

/* UNPLACED with the cause of the first unit that nobody takes. */
static partita_status tell_unplaced(const choosing *c, const pt_graph_problem *graph, partita_status status) {
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        bool taken = false;
        for (uint32_t d = 0; d < graph->problem.devices; d++) taken |= pt_problem_costs(graph, i)[d] < PT_PART_INFINITE;
        if (!taken) return pt_plan_fail_unplaced(c->plan, graph->units[i]);
    }
    return status;
}

/* Places the units that there are as groups are whole or expanded now. */
static partita_status solve(choosing *c) {
    pt_arena arena = {0};
    pt_graph_problem graph;
    pt_part_result result = {0};
    partita_status status = PARTITA_OK;
    bool free = false, hope = false;
    for (uint32_t i = 0; i < c->count; i++) c->plan->units[c->first + i].device = PT_PLAN_HOST;
    PT_CHECK(pt_placing_problem(c->p, c->graph, &arena, &graph));
    if (graph.problem.units == 0) goto out;
    for (uint32_t i = 0; i < c->opens; i++) hope |= c->plan->units[c->open[i]].expanded;
    if (hope) hope_for_groups(c, &graph);
    status = pt_part_plan(&graph.problem, &result);
    if (status == PARTITA_UNPLACED) status = tell_unplaced(c, &graph, status);
    if (status != PARTITA_OK) goto out;
    for (uint32_t i = 0; i < graph.problem.units; i++) {
        c->plan->units[graph.units[i]].device = pt_problem_device(c->plan, result.device[i]);
        free |= graph.pinned[i] == PT_NONE;
    }
    c->value = result.value;
    c->candidate = free ? pt_part_candidate_name(result.candidate) : NULL;
    if (pt_placing_fold(c->p, c->graph) || hope) PT_CHECK(evaluate_now(c, &arena));
    keep_if_better(c, graph.problem.objective);
out:
    pt_part_result_deinit(&result);
    pt_arena_deinit(&arena);
    return status;
}

/* ---- ways of groups -------------------------------------------------------------------------- */

/* As solve; that there is no placement in this way is no failure. */
static partita_status try_now(choosing *c) {
    partita_status status = solve(c);
    return status == PARTITA_UNPLACED ? PARTITA_OK : status;
}

/* All expanded; then only those that this tears. */
static partita_status try_expanded(choosing *c) {
    uint32_t torn = 0;
    for (uint32_t i = 0; i < c->opens; i++) pt_plan_set_expanded(c->plan, c->open[i], true);
    partita_status status = solve(c);
    if (status == PARTITA_UNPLACED) return PARTITA_OK;
    if (status != PARTITA_OK) return status;
    for (uint32_t i = 0; i < c->opens; i++) torn += c->plan->units[c->open[i]].expanded;
    return torn && torn < c->opens ? try_now(c) : PARTITA_OK;
}

static partita_status turn_over(choosing *c) {
    if (c->opens > FEW_GROUPS || c->count > FEW_UNITS) return PARTITA_OK;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        pt_part_value before = c->best.value;
        for (uint32_t i = 0; i < c->opens; i++) {
            take_best(c);
            pt_plan_set_expanded(c->plan, c->open[i], !c->plan->units[c->open[i]].expanded);
            PT_TRY(try_now(c));
        }
        if (memcmp(&before, &c->best.value, sizeof(before)) == 0) break;
    }
    return PARTITA_OK;
}

static partita_status choosing_init(choosing *c) {
    const pt_plan_graph *graph = &c->plan->graphs[c->graph];
    c->first = graph->first_unit;
    c->count = graph->unit_count;
    c->best.device = pt_arena_array(&c->p->arena, c->count + 1, sizeof(uint32_t));
    c->best.expanded = pt_arena_array(&c->p->arena, c->count + 1, sizeof(bool));
    c->open = pt_arena_array(&c->p->arena, c->count + 1, sizeof(uint32_t));
    if (!c->best.device || !c->best.expanded || !c->open) return PT_OUT_OF_MEMORY();
    for (uint32_t i = c->first; i < c->first + c->count; i++)
        if (c->p->ways[i] == (PT_WAY_WHOLE | PT_WAY_EXPANDED)) c->open[c->opens++] = i;
    return PARTITA_OK;
}

partita_status pt_placing_choose(pt_placing *p, pt_id graph) {
    choosing c = {.p = p, .plan = p->plan, .graph = graph};
    PT_TRY(choosing_init(&c));
    PT_TRY(solve(&c));
    if (!c.best.found) return PARTITA_OK; /* no units */
    if (c.opens && p->plan->device_count > 1 && c.count <= LARGE) {
        PT_TRY(try_expanded(&c));
        PT_TRY(turn_over(&c));
        take_best(&c);
    }
    if (graph == 0 && c.best.candidate) p->plan->candidate = c.best.candidate;
    return PARTITA_OK;
}
