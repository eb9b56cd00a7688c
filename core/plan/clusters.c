/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Canonical clusters and steps. Per graph: depth(node) = largest depth of what it depends on, plus one where the device
 * changes; a cluster is a connected component of nodes of one device and depth. Every edge between two clusters raises
 * the depth, so the quotient is acyclic as a whole, and sorting by depth gives an order to run in.
 */
#include "plan/build.h"
#include <stdlib.h>

/* What is known of the nodes of one graph while its clusters are made. */
typedef struct clustering {
    pt_plan *plan;
    pt_arena scratch;
    pt_id graph;
    const pt_id *order;
    uint32_t count;
    uint32_t *position; /* of each of the model's nodes in this graph; PT_NONE */
    uint32_t *depth;    /* by position */
    uint32_t *leader;   /* union-find by position */
} clustering;

static uint32_t find_leader(uint32_t *leader, uint32_t i) {
    while (leader[i] != i) i = leader[i] = leader[leader[i]];
    return i;
}

/* Calls `visit` for each node of this graph that position `i` depends on. */
static partita_status visit_predecessors(clustering *c, uint32_t i, void (*visit)(clustering *, uint32_t, uint32_t)) {
    const pt_model *model = c->plan->model;
    const pt_node *node = &model->nodes.data[c->order[i]];
    pt_id *captures = NULL;
    uint32_t capture_count = 0;
    if (c->plan->units[c->plan->node_unit[c->order[i]]].kind == PTP_UNIT_CONTROL_FLOW)
        PT_TRY(pt_node_captures(model, c->order[i], &c->scratch, &captures, &capture_count));
    for (uint32_t k = 0; k < node->input_count + capture_count; k++) {
        pt_id value = k < node->input_count ? node->inputs[k] : captures[k - node->input_count];
        if (value == PT_NONE) continue;
        pt_id producer = model->values.data[value].producer;
        if (producer != PT_NONE && c->position[producer] != PT_NONE) visit(c, i, c->position[producer]);
    }
    return PARTITA_OK;
}

static uint32_t device_at(const clustering *c, uint32_t i) { return pt_plan_node_device(c->plan, c->order[i]); }

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

/* Inputs: from outside and no constants, each once. */
static partita_status collect_inputs(pt_plan *plan, pt_plan_cluster *cluster, pt_arena *scratch, uint32_t *seen) {
    const pt_model *model = plan->model;
    PT_ARRAY(pt_id) inputs = {0};
    partita_status status = PARTITA_OK;
    uint32_t mark = (uint32_t)(cluster - plan->clusters) + 1;
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const pt_node *node = &model->nodes.data[cluster->nodes[i]];
        for (uint32_t k = 0; k < node->output_count; k++)
            if (node->outputs[k] != PT_NONE) seen[node->outputs[k]] = mark;
    }
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const pt_node *node = &model->nodes.data[cluster->nodes[i]];
        pt_id *captures = NULL;
        uint32_t capture_count = 0;
        if (plan->units[plan->node_unit[cluster->nodes[i]]].kind == PTP_UNIT_CONTROL_FLOW)
            PT_CHECK(pt_node_captures(model, cluster->nodes[i], scratch, &captures, &capture_count));
        for (uint32_t k = 0; k < node->input_count + capture_count; k++) {
            pt_id value = k < node->input_count ? node->inputs[k] : captures[k - node->input_count];
            if (value == PT_NONE || seen[value] == mark || model->values.data[value].constant) continue;
            seen[value] = mark;
            if (!pt_array_push(&inputs, value)) {
                status = PT_OUT_OF_MEMORY();
                goto out;
            }
        }
    }
    cluster->input_count = (uint32_t)inputs.size;
    cluster->inputs = pt_arena_array(&plan->arena, inputs.size + 1, sizeof(pt_id));
    if (!cluster->inputs)
        status = PT_OUT_OF_MEMORY();
    else if (inputs.size)
        memcpy(cluster->inputs, inputs.data, inputs.size * sizeof(pt_id));
out:
    pt_array_deinit(&inputs);
    return status;
}

static bool needed_outside(const pt_plan *plan, const pt_plan_readers *readers, pt_id value, uint32_t cluster) {
    for (uint32_t i = readers->first[value]; i < readers->first[value + 1]; i++) {
        pt_id node = readers->nodes[i];
        if (node == PT_NONE || plan->units[plan->node_unit[node]].cluster != cluster) return true;
    }
    return false;
}

static partita_status collect_outputs(pt_plan *plan, const pt_plan_readers *readers, uint32_t index) {
    const pt_model *model = plan->model;
    pt_plan_cluster *cluster = &plan->clusters[index];
    uint32_t limit = 0;
    for (uint32_t i = 0; i < cluster->node_count; i++) limit += model->nodes.data[cluster->nodes[i]].output_count;
    cluster->outputs = pt_arena_array(&plan->arena, limit + 1, sizeof(pt_id));
    if (!cluster->outputs) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const pt_node *node = &model->nodes.data[cluster->nodes[i]];
        for (uint32_t k = 0; k < node->output_count; k++) {
            pt_id value = node->outputs[k];
            if (value != PT_NONE && needed_outside(plan, readers, value, index))
                cluster->outputs[cluster->output_count++] = value;
        }
    }
    return PARTITA_OK;
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

static partita_status emit_graph(clustering *c, step_key *keys, uint32_t *sizes) {
    pt_plan *plan = c->plan;
    uint32_t steps = 0;
    for (uint32_t i = 0; i < c->count; i++) sizes[find_leader(c->leader, i)]++;
    for (uint32_t i = 0; i < c->count; i++) {
        pt_id node = c->order[i];
        pt_plan_unit *unit = &plan->units[plan->node_unit[node]];
        uint32_t leader = find_leader(c->leader, i);
        if (unit->device == PT_PLAN_HOST) {
            keys[steps++] = (step_key){c->depth[i], i, {true, node}};
            continue;
        }
        if (leader == i) {
            pt_plan_cluster *cluster = &plan->clusters[plan->cluster_count];
            *cluster = (pt_plan_cluster){.graph = c->graph, .device = unit->device, .source = "unit"};
            cluster->estimate_us = plan->devices[unit->device]->info.launch_us;
            cluster->nodes = pt_arena_array(&plan->arena, sizes[i], sizeof(pt_id));
            if (!cluster->nodes) return PT_OUT_OF_MEMORY();
            unit->cluster = plan->cluster_count;
            keys[steps++] = (step_key){c->depth[i], i, {false, plan->cluster_count++}};
        }
        unit->cluster = plan->units[plan->node_unit[c->order[leader]]].cluster;
        pt_plan_cluster *cluster = &plan->clusters[unit->cluster];
        cluster->nodes[cluster->node_count++] = node;
        if (unit->nodes[0] != node) continue;
        const pt_plan_answer *answer = pt_plan_answer_at(plan, plan->node_unit[node], unit->device);
        cluster->unit_us += answer->us;
        cluster->estimate_us += answer->us * answer->whole;
    }
    qsort(keys, steps, sizeof(*keys), compare_steps);
    pt_plan_graph *graph = &plan->graphs[c->graph];
    graph->step_count = 0;
    graph->steps = pt_arena_array(&plan->arena, steps + 1, sizeof(pt_plan_step));
    if (!graph->steps) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < steps; i++) graph->steps[graph->step_count++] = keys[i].step;
    return PARTITA_OK;
}

static partita_status cluster_graph(pt_plan *plan, pt_id graph, uint32_t *position) {
    const pt_graph *g = &plan->model->graphs.data[graph];
    clustering c = {
        .plan = plan, .graph = graph, .order = g->order.data, .count = (uint32_t)g->order.size, .position = position};
    partita_status status = PARTITA_OK;
    step_key *keys = pt_arena_array(&c.scratch, c.count + 1, sizeof(*keys));
    uint32_t *sizes = pt_arena_array(&c.scratch, c.count + 1, sizeof(*sizes));
    c.depth = pt_arena_array(&c.scratch, c.count + 1, sizeof(uint32_t));
    c.leader = pt_arena_array(&c.scratch, c.count + 1, sizeof(uint32_t));
    if (!keys || !sizes || !c.depth || !c.leader) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint32_t i = 0; i < c.count; i++) {
        position[c.order[i]] = i;
        c.leader[i] = i;
    }
    for (uint32_t i = 0; i < c.count; i++) PT_CHECK(visit_predecessors(&c, i, raise_depth));
    for (uint32_t i = 0; i < c.count; i++) PT_CHECK(visit_predecessors(&c, i, join_same));
    PT_CHECK(emit_graph(&c, keys, sizes));
out:
    for (uint32_t i = 0; i < c.count; i++) position[c.order[i]] = PT_NONE;
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
    const pt_model *model = plan->model;
    partita_status status = PARTITA_OK;
    pt_arena scratch = {0};
    pt_plan_readers readers;
    uint32_t *position = pt_arena_array(&scratch, model->nodes.size + 1, sizeof(*position));
    uint32_t *seen = pt_arena_array(&scratch, model->values.size + 1, sizeof(*seen));
    plan->clusters = pt_arena_array(&plan->arena, plan->unit_count + 1, sizeof(pt_plan_cluster));
    if (!position || !seen || !plan->clusters) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (size_t i = 0; i < model->nodes.size; i++) position[i] = PT_NONE;
    find_hosted(plan);
    for (pt_id graph = 0; graph < model->graphs.size; graph++)
        if (plan->graphs[graph].hosted) PT_CHECK(cluster_graph(plan, graph, position));
    PT_CHECK(pt_plan_find_readers(plan, &scratch, &readers));
    for (uint32_t i = 0; i < plan->cluster_count; i++) {
        PT_CHECK(collect_inputs(plan, &plan->clusters[i], &scratch, seen));
        PT_CHECK(collect_outputs(plan, &readers, i));
    }
out:
    pt_arena_deinit(&scratch);
    return status;
}
