/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into clusters and comes out of them, and clusters as blocks of parts. */
#include "plan/build.h"

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

partita_status pt_plan_find_ports(pt_plan *plan) {
    partita_status status = PARTITA_OK;
    pt_arena scratch = {0};
    pt_plan_readers readers;
    uint32_t *seen = pt_arena_array(&scratch, plan->model->values.size + 1, sizeof(*seen));
    if (!seen) return PT_OUT_OF_MEMORY();
    PT_CHECK(pt_plan_find_readers(plan, &scratch, &readers));
    for (uint32_t i = 0; i < plan->cluster_count; i++) {
        PT_CHECK(collect_inputs(plan, &plan->clusters[i], &scratch, seen));
        PT_CHECK(collect_outputs(plan, &readers, i));
    }
out:
    pt_arena_deinit(&scratch);
    return status;
}

partita_status pt_plan_cluster_block(const pt_plan *plan, const pt_plan_cluster *cluster, pt_block **out_block) {
    pt_block_unit *units = pt_calloc(cluster->group_count + 1, sizeof(*units));
    if (!units) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < cluster->group_count; i++) {
        const pt_plan_unit *unit = &plan->units[cluster->groups[i]];
        units[i] = (pt_block_unit){unit->kind, unit->graph, unit->nodes, unit->node_count, PARTITA_NONE};
    }
    partita_status status = pt_block_create_grouped_part(
        plan->model, plan->symbol_values, cluster->nodes, cluster->node_count, cluster->inputs, cluster->input_count,
        cluster->outputs, cluster->output_count, units, cluster->group_count, out_block);
    pt_free(units);
    return status;
}
