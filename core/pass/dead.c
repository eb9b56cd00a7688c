/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead code: nodes none of whose outputs is used, and constants without use. Bodies first and backwards, so that what
 * only dead code used goes in the same sweep.
 */
#include "pass/rewrite.h"

static bool is_used(const pt_model *model, const pt_node *node) {
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] == PT_NONE) continue;
        const pt_value *value = pt_value_at(model, node->outputs[i]);
        if (value->uses.size || value->is_output) return true;
    }
    return false;
}

partita_status pt_pass_dead(pt_pass_run *run) {
    pt_model *model = run->model;
    for (size_t g = model->graphs.size; g-- > 0;) {
        pt_graph *graph = &model->graphs.data[g];
        for (size_t i = graph->order.size; i-- > 0;) {
            pt_id node = graph->order.data[i];
            if (is_used(model, pt_node_at(model, node))) continue;
            pt_node_remove(model, node, "dead");
            run->changes++;
        }
    }
    for (pt_id v = 0; v < model->values.size; v++) {
        const pt_value *value = pt_value_at(model, v);
        if (!value->dead && value->constant && value->uses.size == 0 && !value->is_output && !value->is_input) {
            pt_value_remove(model, v);
        }
    }
    return PARTITA_OK;
}
