/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantised computation. A dequantised value that several operators read would keep them from being integer operators
 * each by itself, so those that quantise their result get a DequantizeLinear of their own. Weights stay shared when
 * they are large: who computes in floats would hold them twice.
 */
#include "pass/quant.h"
#include "pass/rewrite.h"

static const char *const followers[] = {
    "Clip",         "Concat",  "DepthToSpace", "Expand", "Flatten",   "Gather",    "Identity",
    "LeakyRelu",    "MaxPool", "Pad",          "Relu",   "Reshape",   "Resize",    "Slice",
    "SpaceToDepth", "Split",   "Squeeze",      "Tile",   "Transpose", "Unsqueeze",
};

static const char *const passable[] = {"MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"};

bool pt_quant_is_passable(const pt_node *node) {
    for (size_t i = 0; node->domain.size == 0 && i < PT_COUNT_OF(passable); i++)
        if (pt_str_is(node->op, passable[i])) return true;
    return false;
}

pt_quant_role pt_quant_role_of(const pt_node *node) {
    bool standard = node->domain.size == 0;
    if (!standard && !pt_str_is(node->domain, "com.microsoft")) return PT_QUANT_OPERATOR;
    if (pt_str_is(node->op, "DequantizeLinear")) return PT_QUANT_DEQUANTIZE;
    if (pt_str_is(node->op, "QuantizeLinear")) return PT_QUANT_QUANTIZE;
    if (pt_str_is(node->op, "DynamicQuantizeLinear")) return PT_QUANT_DYNAMIC;
    for (size_t i = 0; standard && i < PT_COUNT_OF(followers); i++)
        if (pt_str_is(node->op, followers[i])) return PT_QUANT_FOLLOWER;
    return PT_QUANT_OPERATOR;
}

/* True when the node's first output goes to a QuantizeLinear, at once or through nodes that follow; what is passable
 * may have one operator behind it. */
static bool becomes_integer(const pt_model *model, pt_id id) {
    bool before = true; /* no operator yet */
    for (int length = 0; length < PT_QUANT_LONGEST; length++) {
        const pt_node *node = pt_node_at(model, id);
        before = before && pt_quant_is_passable(node);
        pt_id output = node->output_count ? node->outputs[0] : PT_NONE;
        if (output == PT_NONE || pt_value_at(model, output)->uses.size == 0) return false;
        id = pt_value_at(model, output)->uses.data[0].node;
        pt_quant_role role = pt_quant_role_of(pt_node_at(model, id));
        if (role == PT_QUANT_QUANTIZE) return true;
        if (role != PT_QUANT_FOLLOWER && !(before && role == PT_QUANT_OPERATOR)) return false;
    }
    return false;
}

static bool wants_its_own(const pt_model *model, pt_id reader, pt_id graph) {
    const pt_node *node = pt_node_at(model, reader);
    pt_quant_role role = pt_quant_role_of(node);
    bool computes = role == PT_QUANT_OPERATOR || role == PT_QUANT_FOLLOWER;
    return node->graph == graph && computes && becomes_integer(model, reader);
}

static partita_status copy_node(pt_model *model, pt_id id, pt_id *out_value) {
    const pt_node *node = pt_node_at(model, id);
    partita_str op = node->op, domain = node->domain;
    uint32_t inputs = node->input_count;
    pt_id graph = node->graph, copy, from[3];
    for (uint32_t i = 0; i < inputs; i++) from[i] = node->inputs[i];
    pt_type type = pt_value_at(model, node->outputs[0])->type;
    PT_TRY(pt_model_add_value(model, graph, PT_STR(""), &type, out_value));
    PT_TRY(
        pt_model_add_node(model, graph, op, domain, pt_node_at(model, id)->version, from, inputs, out_value, 1, &copy));
    pt_node_at(model, copy)->schema = pt_node_at(model, id)->schema;
    for (uint32_t i = 0; i < pt_node_at(model, id)->attribute_count; i++)
        PT_TRY(pt_node_set_attribute(model, copy, &pt_node_at(model, id)->attributes[i]));
    return pt_node_take_sources(model, copy, id);
}

static partita_status move_uses(pt_model *model, pt_id reader, pt_id from, pt_id to) {
    for (uint32_t i = 0; i < pt_node_at(model, reader)->input_count; i++)
        if (pt_node_at(model, reader)->inputs[i] == from) PT_TRY(pt_node_set_input(model, reader, i, to));
    return PARTITA_OK;
}

static bool is_shared(const pt_pass_run *run, pt_id id) {
    const pt_model *model = run->model;
    const pt_node *node = pt_node_at(model, id);
    if (pt_quant_role_of(node) != PT_QUANT_DEQUANTIZE || node->input_count > 3 || node->output_count != 1) return false;
    if (node->input_count == 0 || node->inputs[0] == PT_NONE || node->outputs[0] == PT_NONE) return false;
    const pt_tensor *weight = pt_value_at(model, node->inputs[0])->constant;
    return !weight || (weight->weight && weight->weight->bytes <= run->options->fold_growth);
}

/* Another reader than this one, of any graph, or an output of the graph. */
static bool read_by_others(const pt_model *model, pt_id value, pt_id reader) {
    const pt_value *v = pt_value_at(model, value);
    for (size_t i = 0; i < v->uses.size; i++)
        if (v->uses.data[i].node != reader) return true;
    return v->is_output;
}

static partita_status visit(pt_pass_run *run, pt_id id) {
    pt_model *model = run->model;
    if (!is_shared(run, id)) return PARTITA_OK;
    pt_id value = pt_node_at(model, id)->outputs[0];
    for (size_t i = pt_value_at(model, value)->uses.size; i-- > 0;) {
        const pt_value *v = pt_value_at(model, value);
        if (i >= v->uses.size) continue;
        pt_id reader = v->uses.data[i].node, copy;
        if (!read_by_others(model, value, reader) || !wants_its_own(model, reader, v->graph)) continue;
        PT_TRY(copy_node(model, id, &copy));
        PT_TRY(move_uses(model, reader, value, copy));
        run->changes++;
    }
    return PARTITA_OK;
}

partita_status pt_pass_quant(pt_pass_run *run) {
    uint32_t before = run->changes;
    PT_TRY(pt_rewrite_nodes(run, visit));
    return run->changes != before ? pt_model_sort(run->model) : PARTITA_OK;
}
