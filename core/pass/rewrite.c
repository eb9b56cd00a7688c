/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers of passes.
 */
#include "pass/rewrite.h"

partita_status pt_rewrite_nodes(pt_pass_run *run, pt_rewrite_fn visit) {
    pt_model *model = run->model;
    partita_status status = PARTITA_OK;
    PT_ARRAY(pt_id) order = {0};
    for (size_t g = 0; g < model->graphs.size && status == PARTITA_OK; g++) {
        /* A copy: the visit changes the order. */
        size_t count = model->graphs.data[g].order.size;
        if (count == 0) continue;
        if (!pt_array_reserve(&order, count)) {
            status = PT_OUT_OF_MEMORY();
            break;
        }
        memcpy(order.data, model->graphs.data[g].order.data, count * sizeof *order.data);
        for (size_t i = 0; i < count && status == PARTITA_OK; i++) {
            if (!pt_node_at(model, order.data[i])->dead) status = visit(run, order.data[i]);
        }
    }
    pt_array_deinit(&order);
    return status;
}

bool pt_rewrite_is(const pt_node *node, const char *op) {
    return node->domain.size == 0 && node->schema && pt_str_is(node->op, op);
}

pt_id pt_rewrite_input(const pt_node *node, uint32_t input) {
    return input < node->input_count ? node->inputs[input] : PT_NONE;
}

const pt_tensor *pt_rewrite_constant(const pt_model *model, const pt_node *node, uint32_t input) {
    pt_id value = pt_rewrite_input(node, input);
    const pt_tensor *tensor = value == PT_NONE ? NULL : pt_value_at(model, value)->constant;
    return tensor && !tensor->sparse_indices ? tensor : NULL;
}

bool pt_rewrite_one_output(const pt_model *model, const pt_node *node) {
    for (uint32_t i = 1; i < node->output_count; i++) {
        if (node->outputs[i] == PT_NONE) continue;
        const pt_value *value = pt_value_at(model, node->outputs[i]);
        if (value->uses.size || value->is_output) return false;
    }
    return node->output_count > 0 && node->outputs[0] != PT_NONE;
}

static partita_status clear_inputs(pt_model *model, pt_id node) {
    for (uint32_t i = 0; i < pt_node_at(model, node)->input_count; i++) {
        PT_TRY(pt_node_set_input(model, node, i, PT_NONE));
    }
    return PARTITA_OK;
}

partita_status pt_rewrite_absorb(pt_pass_run *run, pt_id node, const char *pass) {
    pt_id value = pt_node_at(run->model, node)->inputs[0], output = pt_node_at(run->model, node)->outputs[0];
    PT_TRY(clear_inputs(run->model, node));
    PT_TRY(pt_value_take_place(run->model, output, value));
    pt_node_remove(run->model, node, pass);
    run->changes++;
    return PARTITA_OK;
}

partita_status pt_rewrite_bypass(pt_pass_run *run, pt_id node, pt_id value, const char *pass) {
    pt_model *model = run->model;
    pt_id output = pt_node_at(model, node)->outputs[0];
    const pt_value *from = pt_value_at(model, value);
    if (!pt_value_at(model, output)->is_output) {
        PT_TRY(pt_value_replace_uses(model, output, value));
    } else {
        /* The output stays, and the value's own node computes it; an input or constant has no node to do so. */
        bool can = from->producer != PT_NONE && from->graph == pt_value_at(model, output)->graph && !from->is_output;
        if (!can) return PARTITA_OK;
        PT_TRY(clear_inputs(model, node));
        PT_TRY(pt_value_take_place(model, output, value));
    }
    pt_node_remove(model, node, pass);
    run->changes++;
    return PARTITA_OK;
}

partita_status pt_rewrite_new_constant(pt_model *model, pt_id graph, partita_dtype dtype, uint32_t rank,
                                       const int64_t *dims, const pt_recipe *recipe, uint64_t bytes, pt_id *out_value) {
    pt_weight *weight = NULL;
    pt_tensor *tensor;
    PT_TRY(pt_weight_create_recipe(recipe, bytes, &weight));
    PT_TRY(pt_model_add_tensor(model, dtype, rank, dims, weight, &tensor));
    PT_TRY(pt_model_add_value(model, graph, PT_STR(""), NULL, out_value));
    return pt_value_set_constant(model, *out_value, tensor);
}
