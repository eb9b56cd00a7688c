/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units: what devices are asked about. One per node; a control-flow node is one with its bodies, and where the host can
 * run it, the nodes of its bodies are units of their own besides.
 */
#include "plan/build.h"

bool pt_plan_host_runs(const pt_node *node) {
    return node->domain.size == 0 &&
           (pt_str_is(node->op, "If") || pt_str_is(node->op, "Loop") || pt_str_is(node->op, "Scan"));
}

bool pt_plan_graph_live(const pt_model *model, pt_id graph) {
    while (model->graphs.data[graph].parent != PT_NONE) {
        const pt_node *parent = &model->nodes.data[model->graphs.data[graph].parent];
        if (parent->dead) return false;
        graph = parent->graph;
    }
    return true;
}

bool pt_plan_graph_is_hosts(const pt_model *model, pt_id graph) {
    while (model->graphs.data[graph].parent != PT_NONE) {
        const pt_node *parent = &model->nodes.data[model->graphs.data[graph].parent];
        if (!pt_plan_host_runs(parent)) return false;
        graph = parent->graph;
    }
    return true;
}

static bool has_bodies(const pt_node *node) {
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        uint32_t type = node->attributes[i].type;
        if (type == PTP_ATTRIBUTE_GRAPH || type == PTP_ATTRIBUTE_GRAPHS) return true;
    }
    return false;
}

partita_status pt_plan_make_units(pt_plan *plan) {
    const pt_model *model = plan->model;
    size_t nodes = model->nodes.size;
    plan->node_unit = pt_arena_array(&plan->arena, nodes ? nodes : 1, sizeof(uint32_t));
    plan->units = pt_arena_array(&plan->arena, nodes ? nodes : 1, sizeof(pt_plan_unit));
    if (!plan->node_unit || !plan->units) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < nodes; i++) plan->node_unit[i] = PT_NONE;
    for (pt_id graph = 0; graph < model->graphs.size; graph++) {
        const pt_graph *g = &model->graphs.data[graph];
        if (!pt_plan_graph_live(model, graph) || !pt_plan_graph_is_hosts(model, graph)) continue;
        for (size_t i = 0; i < g->order.size; i++) {
            pt_id node = g->order.data[i];
            pt_plan_unit *unit = &plan->units[plan->unit_count];
            unit->kind = has_bodies(&model->nodes.data[node]) ? PTP_UNIT_CONTROL_FLOW : PTP_UNIT_NODE;
            unit->graph = graph;
            unit->parent = PT_NONE;
            unit->device = unit->cluster = PT_NONE;
            unit->nodes = pt_arena_array(&plan->arena, 1, sizeof(pt_id));
            if (!unit->nodes) return PT_OUT_OF_MEMORY();
            unit->nodes[unit->node_count++] = node;
            plan->node_unit[node] = plan->unit_count++;
        }
    }
    return PARTITA_OK;
}
