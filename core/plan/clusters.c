/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical clusters and steps. Per graph: depth(unit) = largest depth of what it depends on, plus one where the device
 * changes; a cluster is a connected component of units of one device and depth. Every edge between two clusters raises
 * the depth, so the quotient is acyclic as a whole, and sorting by depth gives an order to run in.
 */
#include "plan/build.h"
#include <stdlib.h>

/* What is known of the units of one graph while its clusters are made. Units that are not placed stand apart. */
typedef struct clustering {
    pt_plan *plan;
    pt_arena scratch;
    pt_id graph;
    uint32_t first, count; /* units of the graph */
    uint32_t *depth;       /* by unit, from `first` on */
    uint32_t *leader;      /* union-find */
} clustering;

static uint32_t find_leader(uint32_t *leader, uint32_t i) {
    while (leader[i] != i) i = leader[i] = leader[leader[i]];
    return i;
}

static partita_status visit_node(clustering *c, uint32_t i, pt_id id, void (*visit)(clustering *, uint32_t, uint32_t)) {
    const pt_model *model = c->plan->model;
    const pt_node *node = &model->nodes.data[id];
    pt_id *captures = NULL;
    uint32_t capture_count = 0;
    if (c->plan->units[c->first + i].kind == PTP_UNIT_CONTROL_FLOW)
        PT_TRY(pt_node_captures(model, id, &c->scratch, &captures, &capture_count));
    for (uint32_t k = 0; k < node->input_count + capture_count; k++) {
        pt_id value = k < node->input_count ? node->inputs[k] : captures[k - node->input_count];
        pt_id producer = value == PT_NONE ? PT_NONE : model->values.data[value].producer;
        if (producer == PT_NONE || model->nodes.data[producer].graph != c->graph) continue;
        uint32_t before = c->plan->node_unit[producer] - c->first;
        if (before != i) visit(c, i, before);
    }
    return PARTITA_OK;
}

/* Calls `visit` for each unit of this graph that another one depends on. */
static partita_status visit_all(clustering *c, void (*visit)(clustering *, uint32_t, uint32_t)) {
    for (uint32_t i = 0; i < c->count; i++) {
        const pt_plan_unit *unit = &c->plan->units[c->first + i];
        if (!pt_plan_unit_placed(c->plan, c->first + i)) continue;
        for (uint32_t k = 0; k < unit->node_count; k++) PT_TRY(visit_node(c, i, unit->nodes[k], visit));
    }
    return PARTITA_OK;
}

static uint32_t device_at(const clustering *c, uint32_t i) { return c->plan->units[c->first + i].device; }

static void raise_depth(clustering *c, uint32_t i, uint32_t before) {
    uint32_t depth = c->depth[before] + (device_at(c, i) != device_at(c, before) || device_at(c, i) == PT_PLAN_HOST);
    c->depth[i] = PT_MAX(c->depth[i], depth);
}

static void join_same(clustering *c, uint32_t i, uint32_t before) {
    if (device_at(c, i) == PT_PLAN_HOST || device_at(c, i) != device_at(c, before)) return;
    if (c->depth[i] != c->depth[before]) return;
    uint32_t a = find_leader(c->leader, i), b = find_leader(c->leader, before);
    c->leader[PT_MAX(a, b)] = PT_MIN(a, b);
}

/* A step while steps are sorted. */
typedef struct step_key {
    uint32_t depth, first;
    pt_plan_step step;
} step_key;

static int compare_steps(const void *a, const void *b) {
    const step_key *x = a, *y = b;
    if (x->depth != y->depth) return x->depth < y->depth ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Room for the nodes and groups of the cluster that unit i leads. */
static partita_status start_cluster(clustering *c, uint32_t i, uint32_t nodes, uint32_t units) {
    pt_plan *plan = c->plan;
    pt_plan_unit *unit = &plan->units[c->first + i];
    pt_plan_cluster *cluster = &plan->clusters[plan->cluster_count];
    *cluster = (pt_plan_cluster){.graph = c->graph, .device = unit->device, .source = "unit"};
    cluster->estimate_us = plan->devices[unit->device]->info.launch_us;
    cluster->nodes = pt_arena_array(&plan->arena, nodes, sizeof(pt_id));
    if (!cluster->nodes) return PT_OUT_OF_MEMORY();
    if (plan->has_groups) {
        cluster->groups = pt_arena_array(&plan->arena, units, sizeof(uint32_t));
        if (!cluster->groups) return PT_OUT_OF_MEMORY();
    }
    unit->cluster = plan->cluster_count++;
    return PARTITA_OK;
}

static void join_cluster(clustering *c, uint32_t i, uint32_t leader) {
    pt_plan *plan = c->plan;
    pt_plan_unit *unit = &plan->units[c->first + i];
    const pt_plan_answer *answer = pt_plan_answer_at(plan, c->first + i, unit->device);
    unit->cluster = plan->units[c->first + leader].cluster;
    pt_plan_cluster *cluster = &plan->clusters[unit->cluster];
    cluster->unit_us += answer->us;
    cluster->estimate_us += answer->us * answer->whole;
    if (unit->kind == PTP_UNIT_GROUP && !answer->as_pieces) cluster->groups[cluster->group_count++] = c->first + i;
}

/* A cluster's nodes come in the graph's order, whichever units they belong to. */
static void write_nodes(const clustering *c) {
    const pt_plan *plan = c->plan;
    const pt_graph *graph = &plan->model->graphs.data[c->graph];
    for (size_t i = 0; i < graph->order.size; i++) {
        const pt_plan_unit *unit = &plan->units[plan->node_unit[graph->order.data[i]]];
        if (unit->cluster == PT_NONE) continue;
        pt_plan_cluster *cluster = &plan->clusters[unit->cluster];
        cluster->nodes[cluster->node_count++] = graph->order.data[i];
    }
}

static partita_status emit_graph(clustering *c, step_key *keys, uint32_t *nodes, uint32_t *units) {
    pt_plan *plan = c->plan;
    uint32_t steps = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t leader = find_leader(c->leader, i);
        nodes[leader] += plan->units[c->first + i].node_count;
        units[leader]++;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        const pt_plan_unit *unit = &plan->units[c->first + i];
        uint32_t leader = find_leader(c->leader, i);
        if (!pt_plan_unit_placed(plan, c->first + i)) continue;
        if (unit->device == PT_PLAN_HOST) {
            keys[steps++] = (step_key){c->depth[i], i, {true, unit->nodes[0]}};
            continue;
        }
        if (leader == i) {
            keys[steps++] = (step_key){c->depth[i], i, {false, plan->cluster_count}};
            PT_TRY(start_cluster(c, i, nodes[i], units[i]));
        }
        join_cluster(c, i, leader);
    }
    write_nodes(c);
    qsort(keys, steps, sizeof(*keys), compare_steps);
    pt_plan_graph *graph = &plan->graphs[c->graph];
    graph->step_count = 0;
    graph->steps = pt_arena_array(&plan->arena, steps + 1, sizeof(pt_plan_step));
    if (!graph->steps) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < steps; i++) graph->steps[graph->step_count++] = keys[i].step;
    return PARTITA_OK;
}

static partita_status cluster_graph(pt_plan *plan, pt_id graph) {
    const pt_plan_graph *g = &plan->graphs[graph];
    clustering c = {.plan = plan, .graph = graph, .first = g->first_unit, .count = g->unit_count};
    partita_status status = PARTITA_OK;
    step_key *keys = pt_arena_array(&c.scratch, c.count + 1, sizeof(*keys));
    uint32_t *nodes = pt_arena_array(&c.scratch, c.count + 1, sizeof(*nodes));
    uint32_t *units = pt_arena_array(&c.scratch, c.count + 1, sizeof(*units));
    c.depth = pt_arena_array(&c.scratch, c.count + 1, sizeof(uint32_t));
    c.leader = pt_arena_array(&c.scratch, c.count + 1, sizeof(uint32_t));
    if (!keys || !nodes || !units || !c.depth || !c.leader) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint32_t i = 0; i < c.count; i++) c.leader[i] = i;
    PT_CHECK(visit_all(&c, raise_depth));
    PT_CHECK(visit_all(&c, join_same));
    PT_CHECK(emit_graph(&c, keys, nodes, units));
out:
    pt_arena_deinit(&c.scratch);
    return status;
}

/* Which graphs the host runs now that units are placed. */
static void find_hosted(pt_plan *plan) {
    const pt_model *model = plan->model;
    for (pt_id i = 0; i < model->graphs.size; i++) {
        bool hosted = plan->graphs[i].hostable;
        for (pt_id g = i; hosted && model->graphs.data[g].parent != PT_NONE;) {
            pt_id parent = model->graphs.data[g].parent;
            hosted = pt_plan_node_device(plan, parent) == PT_PLAN_HOST;
            g = model->nodes.data[parent].graph;
        }
        plan->graphs[i].hosted = hosted;
    }
}

partita_status pt_plan_make_clusters(pt_plan *plan) {
    plan->clusters = pt_arena_array(&plan->arena, plan->unit_count + 1, sizeof(pt_plan_cluster));
    if (!plan->clusters) return PT_OUT_OF_MEMORY();
    find_hosted(plan);
    for (pt_id graph = 0; graph < plan->model->graphs.size; graph++)
        if (plan->graphs[graph].hosted) PT_TRY(cluster_graph(plan, graph));
    return pt_plan_find_ports(plan);
}
