/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One graph of the model as the partitioner's problem: units, values that may cross, costs, prices. The devices are
 * those of the plan and, last, the host's memory, where inputs start, outputs end and control flow is run.
 */
#ifndef PT_PLAN_PROBLEM_H
#define PT_PLAN_PROBLEM_H

#include "partitioner/partitioner.h"
#include "plan/plan.h"

/* What a plan's devices are to each other, and room to work in; the same for all graphs. */
typedef struct pt_links {
    uint32_t devices; /* of the plan, and the host */
    uint32_t lines;   /* ways of each link */
    int64_t *latency; /* [lines * devices * devices] ps */
    int64_t *per_kib;
    int64_t *launch;     /* [devices] ps */
    uint32_t *resource;  /* [devices] */
    uint64_t *capacity;  /* [devices] bytes */
    uint32_t *tensor_of; /* [model's values]: PT_NONE between problems */
} pt_links;

/* `arena` holds the arrays. */
partita_status pt_links_make(const pt_plan *plan, uint64_t max_memory, pt_arena *arena, pt_links *out_links);

typedef struct pt_graph_problem {
    pt_part_problem problem;
    pt_id graph;
    uint32_t *units;  /* [problem.units] rows of plan->units: those that are placed, as groups are whole or expanded */
    uint32_t *rows;   /* by unit of the graph: unit of the problem; PT_NONE: not placed */
    int64_t *cost;    /* the problem's, to be changed */
    uint32_t *pinned; /* the problem's, PT_NONE at first */
} pt_graph_problem;

/*
 * `host_us`: by row of plan->units, what a control-flow unit costs when the host runs it; negative: it cannot.
 * Bodies are placed before the graph around them, so values from outside start on the host.
 */
partita_status pt_graph_problem_make(const pt_plan *plan, const pt_links *links, pt_id graph, const double *host_us,
                                     pt_arena *arena, pt_graph_problem *out_problem);

/* Device of the plan for a device of the problem. */
static inline uint32_t pt_problem_device(const pt_plan *plan, uint32_t device) {
    return device == plan->device_count ? PT_PLAN_HOST : device;
}
/* Column of the problem for a unit's device. */
static inline uint32_t pt_problem_column(const pt_plan *plan, uint32_t device) {
    return device == PT_PLAN_HOST ? plan->device_count : device;
}
/* What is no number is 0. */
static inline int64_t pt_us_to_ps(double us) { return us > 0 ? (int64_t)(PT_MIN(us, 1e9) * 1e6 + 0.5) : 0; }
static inline double pt_ps_to_us(int64_t ps) { return (double)ps / 1e6; }

#endif
