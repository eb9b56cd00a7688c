/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers of values under a placement. A node whose bodies a device runs reads what they capture; bodies that the host
 * runs read by their own nodes, and what such a graph gives back is read by the host.
 */
#include "plan/build.h"

typedef struct reading {
    pt_id value, node;
} reading;

typedef struct gathering {
    const pt_plan *plan;
    pt_arena scratch;
    PT_ARRAY(reading) rows;
} gathering;

static partita_status add(gathering *g, pt_id value, pt_id node) {
    if (value == PT_NONE || g->plan->model->values.data[value].constant) return PARTITA_OK;
    return pt_array_push(&g->rows, (reading){value, node}) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status gather_node(gathering *g, pt_id id) {
    const pt_plan *plan = g->plan;
    const pt_node *node = &plan->model->nodes.data[id];
    const pt_plan_unit *unit = &plan->units[plan->node_unit[id]];
    for (uint32_t k = 0; k < node->input_count; k++) PT_TRY(add(g, node->inputs[k], id));
    if (unit->kind != PTP_UNIT_CONTROL_FLOW || unit->device == PT_PLAN_HOST) return PARTITA_OK;
    pt_id *captures;
    uint32_t count;
    PT_TRY(pt_node_captures(plan->model, id, &g->scratch, &captures, &count));
    for (uint32_t k = 0; k < count; k++) PT_TRY(add(g, captures[k], id));
    return PARTITA_OK;
}

static partita_status gather(gathering *g) {
    const pt_model *model = g->plan->model;
    for (pt_id i = 0; i < model->graphs.size; i++) {
        const pt_graph *graph = &model->graphs.data[i];
        if (!g->plan->graphs[i].hosted) continue;
        for (size_t k = 0; k < graph->order.size; k++) PT_TRY(gather_node(g, graph->order.data[k]));
        for (size_t k = 0; k < graph->outputs.size; k++) PT_TRY(add(g, graph->outputs.data[k], PT_NONE));
    }
    return PARTITA_OK;
}

partita_status pt_plan_find_readers(const pt_plan *plan, pt_arena *arena, pt_plan_readers *out_readers) {
    gathering g = {.plan = plan};
    size_t values = plan->model->values.size;
    partita_status status;
    PT_CHECK(gather(&g));
    uint32_t *first = pt_arena_array(arena, values + 2, sizeof(uint32_t));
    pt_id *nodes = pt_arena_array(arena, g.rows.size + 1, sizeof(pt_id));
    if (!first || !nodes) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (size_t i = 0; i < g.rows.size; i++) first[g.rows.data[i].value + 2]++;
    for (size_t i = 0; i < values; i++) first[i + 2] += first[i + 1];
    /* first[v + 1] is where v's readers are written next, and in the end where those of v + 1 begin */
    for (size_t i = 0; i < g.rows.size; i++) nodes[first[g.rows.data[i].value + 1]++] = g.rows.data[i].node;
    *out_readers = (pt_plan_readers){first, nodes};
out:
    pt_array_deinit(&g.rows);
    pt_arena_deinit(&g.scratch);
    return status;
}
