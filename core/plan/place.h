/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of placement share: what is allowed where, and the ways of a group. place.c goes through the graphs
 * and is the home of pins and chance; choose.c finds the cheapest placement of one graph, place_value.c prices it.
 */
#ifndef PT_PLAN_PLACE_H
#define PT_PLAN_PLACE_H

#include "plan/build.h"
#include "plan/problem.h"

/* Of a node that nobody pinned. */
#define PT_PLAN_FREE (PT_NONE - 1)

/* How a group may be placed. */
enum { PT_WAY_WHOLE = 1, PT_WAY_EXPANDED = 2 };

typedef struct pt_placing {
    pt_plan *plan;
    const pt_plan_request *request;
    pt_links links;
    pt_arena arena;
    uint32_t *pins;   /* by node: device, PT_PLAN_HOST or PT_PLAN_FREE */
    double *host_us;  /* by unit: what the host pays for control flow; negative: it cannot run it */
    double *least_us; /* by unit: no placement of the bodies is cheaper */
    uint8_t *ways;    /* by unit, of groups: PT_WAY_* */
} pt_placing;

/* The problem of a graph with groups as they are now, pins and last resort in it. UNPLACED for a pin that cannot be. */
partita_status pt_placing_problem(pt_placing *p, pt_id graph, pt_arena *arena, pt_graph_problem *out_problem);
/* Places a graph at the least cost that is found, each group whole or expanded. */
partita_status pt_placing_choose(pt_placing *p, pt_id graph);
/* Makes groups whole whose pieces are on one device that takes them; true when there was one. */
bool pt_placing_fold(const pt_placing *p, pt_id graph);
/* place_value.c: what a placed graph takes, and the bound of all its placements, with bodies at their least. */
partita_status pt_placing_value(pt_placing *p, pt_id graph, double *out_us, double *out_least_us);

static inline int64_t *pt_problem_costs(const pt_graph_problem *graph, uint32_t unit) {
    return &graph->cost[(size_t)unit * graph->problem.devices];
}

#endif
