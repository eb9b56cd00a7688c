/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units: what devices are asked about. One per node, and one per quantised group besides; a control-flow node is one
 * with its bodies, and where the host can run it, the nodes of its bodies are units of their own besides.
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

static partita_status add_unit(pt_plan *plan, uint32_t kind, pt_id graph, const pt_id *nodes, uint32_t count) {
    pt_plan_unit *unit = &plan->units[plan->unit_count++];
    *unit = (pt_plan_unit){.kind = kind, .graph = graph, .parent = PT_NONE, .device = PT_PLAN_HOST, .cluster = PT_NONE};
    unit->nodes = pt_arena_array(&plan->arena, count, sizeof(pt_id));
    if (!unit->nodes) return PT_OUT_OF_MEMORY();
    memcpy(unit->nodes, nodes, count * sizeof(pt_id));
    unit->node_count = count;
    return PARTITA_OK;
}

static partita_status add_graph(pt_plan *plan, pt_id graph, const pt_plan_groups *groups, uint32_t *row_of_group) {
    const pt_graph *g = &plan->model->graphs.data[graph];
    for (size_t i = 0; i < g->order.size; i++) {
        pt_id node = g->order.data[i];
        uint32_t group = groups->count ? groups->anchored[node] : PT_NONE;
        if (group != PT_NONE) {
            uint32_t first = groups->first[group];
            row_of_group[group] = plan->unit_count;
            PT_TRY(add_unit(plan, PTP_UNIT_GROUP, graph, &groups->members[first], groups->first[group + 1] - first));
        }
        plan->node_piece[node] = plan->node_unit[node] = plan->unit_count;
        bool bodies = has_bodies(&plan->model->nodes.data[node]);
        PT_TRY(add_unit(plan, bodies ? PTP_UNIT_CONTROL_FLOW : PTP_UNIT_NODE, graph, &node, 1));
    }
    return PARTITA_OK;
}

static void name_parents(pt_plan *plan, const pt_plan_groups *groups, const uint32_t *row_of_group) {
    for (uint32_t group = 0; group < groups->count; group++) {
        plan->units[row_of_group[group]].expanded = true;
        for (uint32_t i = groups->first[group]; i < groups->first[group + 1]; i++)
            plan->units[plan->node_piece[groups->members[i]]].parent = row_of_group[group];
    }
    plan->has_groups = groups->count > 0;
}

partita_status pt_plan_make_units(pt_plan *plan) {
    const pt_model *model = plan->model;
    size_t nodes = model->nodes.size;
    pt_plan_groups groups;
    pt_arena scratch = {0};
    partita_status status = PARTITA_OK;
    plan->graphs = pt_arena_array(&plan->arena, model->graphs.size + 1, sizeof(pt_plan_graph));
    if (!plan->graphs) return PT_OUT_OF_MEMORY();
    for (pt_id graph = 0; graph < model->graphs.size; graph++) plan->graphs[graph].hostable = is_hostable(model, graph);
    PT_CHECK(pt_plan_find_groups(plan, &scratch, &groups));
    uint32_t *row_of_group = pt_arena_array(&scratch, groups.count + 1, sizeof(uint32_t));
    plan->node_unit = pt_arena_array(&plan->arena, nodes + 1, sizeof(uint32_t));
    plan->node_piece = pt_arena_array(&plan->arena, nodes + 1, sizeof(uint32_t));
    plan->units = pt_arena_array(&plan->arena, nodes + groups.count + 1, sizeof(pt_plan_unit));
    if (!row_of_group || !plan->node_unit || !plan->node_piece || !plan->units) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (size_t i = 0; i < nodes; i++) plan->node_unit[i] = plan->node_piece[i] = PT_NONE;
    for (pt_id graph = 0; graph < model->graphs.size; graph++) {
        pt_plan_graph *of_plan = &plan->graphs[graph];
        of_plan->first_unit = plan->unit_count;
        if (of_plan->hostable) PT_CHECK(add_graph(plan, graph, &groups, row_of_group));
        of_plan->unit_count = plan->unit_count - of_plan->first_unit;
    }
    name_parents(plan, &groups, row_of_group);
out:
    pt_arena_deinit(&scratch);
    return status;
}
