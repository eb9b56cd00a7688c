/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a plan is made, stage by stage: units, ask, place, clusters, edges, steps. Each stage is one file that reads what
 * the stages before it left in the plan; between pt_plan_place and the rest stands nothing but unit->device.
 */
#ifndef PT_PLAN_BUILD_H
#define PT_PLAN_BUILD_H

#include "plan/plan.h"

/*
 * units.c: one unit per live node of every graph that the host may run, in graph order, and right before the unit of
 * its anchor each group, expanded at first. Those that are placed are in topological order, whichever groups are whole.
 */
partita_status pt_plan_make_units(pt_plan *plan);
/* True for a unit that is placed: no piece of a whole group, and no expanded group. */
static inline bool pt_plan_unit_placed(const pt_plan *plan, uint32_t unit) {
    const pt_plan_unit *u = &plan->units[unit];
    return !u->expanded && (u->parent == PT_NONE || plan->units[u->parent].expanded);
}
/* True for nodes that libpartita itself can run: If, Loop and Scan. */
bool pt_plan_host_runs(const pt_node *node);
/* True when the graph and all nodes around it are alive. */
bool pt_plan_graph_live(const pt_model *model, pt_id graph);

/* quant.c: groups of quantised computation. */
typedef struct pt_plan_groups {
    uint32_t *of;       /* [nodes]: group that the node belongs to; PT_NONE */
    uint32_t *anchored; /* [nodes]: group whose anchor the node is; PT_NONE */
    uint32_t *first;    /* [count + 1]: where a group's members begin */
    pt_id *members;     /* in topological order */
    uint32_t count;
} pt_plan_groups;
/* Of all graphs for which the plan is hostable. `arena` holds the arrays. */
partita_status pt_plan_find_groups(const pt_plan *plan, pt_arena *arena, pt_plan_groups *out_groups);

/* ask.c: every device's answers to every unit, from the previous plan where there is one. */
partita_status pt_plan_ask(pt_plan *plan, const pt_plan_request *request);

/* groups.c: groups as units that are whole or expanded. */
void pt_plan_set_expanded(pt_plan *plan, uint32_t group, bool expanded);
/* What a device that refused a group says to all of its pieces together, if it takes them. */
void pt_plan_compose(pt_plan *plan, uint32_t group, uint32_t device);
/* True when another device can do what this one computes of a node, in whatever way its unit is placed then. */
bool pt_plan_replaceable(const pt_plan *plan, pt_id node, uint32_t device);
/* Takes back a device's claim of a node's own unit, and of the group around it. `text` is in the plan's arena. */
void pt_plan_withdraw(pt_plan *plan, pt_id node, uint32_t device, uint32_t reason, const char *text, bool demoted);

/* place.c: unit->device of every unit. UNPLACED naming the node with each device's reason. */
partita_status pt_plan_place(pt_plan *plan, const pt_plan_request *request);
/* The failure of pt_plan_place for one unit. */
partita_status pt_plan_fail_unplaced(const pt_plan *plan, uint32_t unit);

/* What the host pays for a control-flow node whose body takes `us` once. */
double pt_plan_host_price(const pt_plan *plan, const pt_node *node, double us);
/* Live graphs whose nodes are units of their own, the innermost first. */
partita_status pt_plan_graphs_inside_out(const pt_plan *plan, pt_arena *arena, pt_id **out_graphs, uint32_t *out_count);

/* schedule.c: estimate, lower bound, and the order of each graph's steps. */
partita_status pt_plan_schedule(pt_plan *plan, const pt_plan_request *request);

/* offer.c: offers every cluster to its device. Claims that it gives back are withdrawn; *out_changed tells whether any
 * was. */
partita_status pt_plan_offer(pt_plan *plan, bool *out_changed);

/* choose.c: the cheapest placement of one graph, with each group whole or expanded. See place.h. */

/* What one device said to one unit. */
static inline pt_plan_answer *pt_plan_answer_at(const pt_plan *plan, uint32_t unit, uint32_t device) {
    return &plan->answers[(size_t)unit * plan->device_count + device];
}

/* readers.c: who reads each value, as units are placed. */
typedef struct pt_plan_readers {
    uint32_t *first; /* [values + 1]: where a value's readers begin in `nodes` */
    pt_id *nodes;    /* that compute by themselves; PT_NONE: the host, which hands an output on */
} pt_plan_readers;
/* `arena` holds the arrays. */
partita_status pt_plan_find_readers(const pt_plan *plan, pt_arena *arena, pt_plan_readers *out_readers);

/* signature.c: same[unit] is the first unit that no device can tell from it, itself when there is none before. */
partita_status pt_plan_find_equals(const pt_plan *plan, uint32_t *same);

/* clusters.c: canonical clusters and steps of every graph, out of unit->device. */
partita_status pt_plan_make_clusters(pt_plan *plan);
/* cluster_ports.c: what goes into each cluster and comes out of it. */
partita_status pt_plan_find_ports(pt_plan *plan);
/* Device that computes a node: of its unit. PT_PLAN_HOST for host-run control flow. */
static inline uint32_t pt_plan_node_device(const pt_plan *plan, pt_id node) {
    return plan->units[plan->node_unit[node]].device;
}

/* bounds.c: the most that each symbol can be at the nominal shapes; PT_DIM_UNKNOWN where nothing bounds it. In `arena`,
 * by symbol. */
partita_status pt_plan_find_most(const pt_plan *plan, pt_arena *arena, int64_t **out_most);
/* edges.c: values that cross, each once per memory that needs it, with the route that both sides can do. */
partita_status pt_plan_make_edges(pt_plan *plan);
/* Bytes of a dense tensor at the plan's nominal shapes; false when they are not known, or it is none. */
bool pt_plan_value_size(const pt_plan *plan, pt_id value, uint64_t *out_bytes);
/* The same; 0 when not known. */
uint64_t pt_plan_value_bytes(const pt_plan *plan, pt_id value);

#endif
