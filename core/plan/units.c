/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units: what devices are asked about. One per node; a control-flow node is one with its bodies, and where the host can
 * run it, the nodes of its bodies are units of their own besides.
 */
#include "plan/build.h"

bool pt_plan_host_runs(const pt_node *node) {
    return node->domain.size == 0 && (pt_str_is(node->op, "If") || pt_str_is(node->op, "Loop") ||
                                      pt_str_is(node->op, "Scan") || pt_str_is(node->op, "SequenceMap"));
}

bool pt_plan_graph_live(const pt_model *model, pt_id graph) {
    while (model->graphs.data[graph].parent != PT_NONE) {
        const pt_node *parent = &model->nodes.data[model->graphs.data[graph].parent];
        if (parent->dead) return false;
        graph = parent->graph;
    }
    return true;
}

/* True when no node around the graph is one that devices alone can run, bodies and all. */
static bool is_hostable(const pt_model *model, pt_id graph) {
    while (model->graphs.data[graph].parent != PT_NONE) {
        const pt_node *parent = &model->nodes.data[model->graphs.data[graph].parent];
        if (parent->dead || !pt_plan_host_runs(parent)) return false;
        graph = parent->graph;
    }
    return graph == 0;
}

static bool has_bodies(const pt_node *node) {
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        uint32_t type = node->attributes[i].type;
        if (type == PTP_ATTRIBUTE_GRAPH || type == PTP_ATTRIBUTE_GRAPHS) return true;
    }
    return false;
}

static partita_status add_unit(pt_plan *plan, pt_id graph, pt_id node) {
    pt_plan_unit *unit = &plan->units[plan->unit_count];
    *unit = (pt_plan_unit){.kind = has_bodies(&plan->model->nodes.data[node]) ? PTP_UNIT_CONTROL_FLOW : PTP_UNIT_NODE,
                           .graph = graph,
                           .parent = PT_NONE,
                           .device = PT_NONE,
                           .cluster = PT_NONE};
    unit->nodes = pt_arena_array(&plan->arena, 1, sizeof(pt_id));
    if (!unit->nodes) return PT_OUT_OF_MEMORY();
    unit->nodes[unit->node_count++] = node;
    plan->node_unit[node] = plan->unit_count++;
    return PARTITA_OK;
}

partita_status pt_plan_make_units(pt_plan *plan) {
    const pt_model *model = plan->model;
    size_t nodes = model->nodes.size;
    plan->node_unit = pt_arena_array(&plan->arena, nodes + 1, sizeof(uint32_t));
    plan->units = pt_arena_array(&plan->arena, nodes + 1, sizeof(pt_plan_unit));
    plan->graphs = pt_arena_array(&plan->arena, model->graphs.size + 1, sizeof(pt_plan_graph));
    if (!plan->node_unit || !plan->units || !plan->graphs) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < nodes; i++) plan->node_unit[i] = PT_NONE;
    for (pt_id graph = 0; graph < model->graphs.size; graph++) {
        const pt_graph *g = &model->graphs.data[graph];
        pt_plan_graph *of_plan = &plan->graphs[graph];
        of_plan->hostable = is_hostable(model, graph);
        of_plan->first_unit = plan->unit_count;
        for (size_t i = 0; of_plan->hostable && i < g->order.size; i++) PT_TRY(add_unit(plan, graph, g->order.data[i]));
        of_plan->unit_count = plan->unit_count - of_plan->first_unit;
    }
    return PARTITA_OK;
}
