/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing a model: what passes do. Use lists and sources are kept right here, so that no pass has to.
 */
#include "graph/model.h"

static bool carries(const pt_node *node, uint32_t source) {
    for (uint32_t i = 0; i < node->source_count; i++) {
        if (node->sources[i] == source) return true;
    }
    return false;
}

partita_status pt_node_add_source(pt_model *model, pt_id node, uint32_t source) {
    pt_node *row = pt_node_at(model, node);
    if (carries(row, source)) return PARTITA_OK;
    uint32_t *sources = pt_arena_array(&model->arena, (size_t)row->source_count + 1, sizeof *sources);
    if (!sources) return PT_OUT_OF_MEMORY();
    if (row->source_count) memcpy(sources, row->sources, row->source_count * sizeof *sources);
    sources[row->source_count++] = source;
    row->sources = sources;
    model->sources.data[source].carriers++;
    model->sources.data[source].removed_by = NULL;
    return PARTITA_OK;
}

partita_status pt_node_take_sources(pt_model *model, pt_id to, pt_id from) {
    pt_node *target = pt_node_at(model, to);
    const pt_node *origin = pt_node_at(model, from);
    if (origin->source_count == 0 || to == from) return PARTITA_OK;
    uint32_t *sources =
        pt_arena_array(&model->arena, (size_t)target->source_count + origin->source_count, sizeof *sources);
    if (!sources) return PT_OUT_OF_MEMORY();
    if (target->source_count) memcpy(sources, target->sources, target->source_count * sizeof *sources);
    target->sources = sources;
    for (uint32_t i = 0; i < origin->source_count; i++) {
        uint32_t source = origin->sources[i];
        if (carries(target, source)) continue;
        sources[target->source_count++] = source;
        model->sources.data[source].carriers++;
        model->sources.data[source].removed_by = NULL;
    }
    return PARTITA_OK;
}

partita_status pt_node_set_attribute(pt_model *model, pt_id node, const pt_attribute *attribute) {
    pt_node *row = pt_node_at(model, node);
    for (uint32_t i = 0; i < row->attribute_count; i++) {
        if (pt_str_equal(row->attributes[i].name, attribute->name)) {
            row->attributes[i] = *attribute;
            return PARTITA_OK;
        }
    }
    pt_attribute *attributes = pt_arena_array(&model->arena, (size_t)row->attribute_count + 1, sizeof *attributes);
    if (!attributes) return PT_OUT_OF_MEMORY();
    if (row->attribute_count) memcpy(attributes, row->attributes, row->attribute_count * sizeof *attributes);
    attributes[row->attribute_count++] = *attribute;
    row->attributes = attributes;
    return PARTITA_OK;
}

static void remove_use(pt_value *value, pt_id node, uint32_t input) {
    for (size_t i = value->uses.size; i-- > 0;) {
        if (value->uses.data[i].node == node && value->uses.data[i].input == input) {
            value->uses.data[i] = value->uses.data[--value->uses.size];
            return;
        }
    }
}

partita_status pt_node_set_input(pt_model *model, pt_id node, uint32_t input, pt_id value) {
    pt_node *row = pt_node_at(model, node);
    if (input >= row->input_count) {
        pt_id *inputs = pt_arena_array(&model->arena, (size_t)input + 1, sizeof *inputs);
        if (!inputs) return PT_OUT_OF_MEMORY();
        for (uint32_t i = 0; i <= input; i++) inputs[i] = i < row->input_count ? row->inputs[i] : PT_NONE;
        row->inputs = inputs;
        row->input_count = input + 1;
    }
    pt_id old = row->inputs[input];
    if (old == value) return PARTITA_OK;
    if (value != PT_NONE && !pt_array_push(&pt_value_at(model, value)->uses, (pt_use){node, input})) {
        return PT_OUT_OF_MEMORY();
    }
    if (old != PT_NONE) remove_use(pt_value_at(model, old), node, input);
    row->inputs[input] = value;
    return PARTITA_OK;
}

partita_status pt_value_replace_uses(pt_model *model, pt_id from, pt_id to) {
    if (from == to) return PARTITA_OK;
    pt_value *old = pt_value_at(model, from), *new = pt_value_at(model, to);
    if (!pt_array_reserve(&new->uses, new->uses.size + old->uses.size)) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < old->uses.size; i++) {
        pt_use use = old->uses.data[i];
        pt_node_at(model, use.node)->inputs[use.input] = to;
        new->uses.data[new->uses.size++] = use;
    }
    old->uses.size = 0;
    if (!old->is_output) return PARTITA_OK;
    for (size_t g = 0; g < model->graphs.size; g++) {
        pt_graph *graph = &model->graphs.data[g];
        for (size_t i = 0; i < graph->outputs.size; i++) {
            if (graph->outputs.data[i] == from) graph->outputs.data[i] = to;
        }
    }
    old->is_output = false;
    new->is_output = true;
    return PARTITA_OK;
}

partita_status pt_value_take_place(pt_model *model, pt_id to, pt_id from) {
    pt_value *target = pt_value_at(model, to), *origin = pt_value_at(model, from);
    PT_TRY(pt_value_replace_uses(model, from, to));
    if (target->producer != PT_NONE) pt_node_at(model, target->producer)->outputs[target->output] = PT_NONE;
    target->producer = origin->producer;
    target->output = origin->output;
    if (target->producer != PT_NONE) pt_node_at(model, target->producer)->outputs[target->output] = to;
    origin->producer = PT_NONE;
    pt_value_remove(model, from);
    return PARTITA_OK;
}

void pt_value_remove(pt_model *model, pt_id value) {
    pt_value *row = pt_value_at(model, value);
    row->dead = true;
    pt_array_deinit(&row->uses);
}

static void remove_from_order(pt_graph *graph, pt_id node) {
    /* From the back: passes that remove much walk backwards. */
    for (size_t i = graph->order.size; i-- > 0;) {
        if (graph->order.data[i] != node) continue;
        graph->order.size--;
        memmove(&graph->order.data[i], &graph->order.data[i + 1], (graph->order.size - i) * sizeof(pt_id));
        return;
    }
}

static void remove_node(pt_model *model, pt_id node, const char *pass);

static void remove_body(pt_model *model, pt_id graph, const char *pass) {
    pt_graph *body = &model->graphs.data[graph];
    for (size_t i = body->order.size; i-- > 0;) remove_node(model, body->order.data[i], pass);
    for (size_t i = 0; i < body->inputs.size; i++) pt_value_remove(model, body->inputs.data[i]);
    body->order.size = body->inputs.size = 0;
    /* What the body gave out may be a value from outside, which lives on. */
    body->outputs.size = 0;
}

/* All but the graph's order. */
static void remove_node(pt_model *model, pt_id node, const char *pass) {
    pt_node *row = pt_node_at(model, node);
    for (uint32_t i = 0; i < row->attribute_count; i++) {
        const pt_attribute *attribute = &row->attributes[i];
        if (!pt_attribute_has_graphs(attribute)) continue;
        for (uint32_t k = 0; k < attribute->count; k++) remove_body(model, attribute->graphs[k], pass);
    }
    for (uint32_t i = 0; i < row->input_count; i++) {
        if (row->inputs[i] != PT_NONE) remove_use(pt_value_at(model, row->inputs[i]), node, i);
    }
    for (uint32_t i = 0; i < row->output_count; i++) {
        if (row->outputs[i] != PT_NONE) pt_value_remove(model, row->outputs[i]);
    }
    for (uint32_t i = 0; i < row->source_count; i++) {
        pt_source *source = &model->sources.data[row->sources[i]];
        if (--source->carriers == 0) source->removed_by = pass;
    }
    row->dead = true;
}

void pt_node_remove(pt_model *model, pt_id node, const char *pass) {
    if (pt_node_at(model, node)->dead) return;
    remove_node(model, node, pass);
    remove_from_order(&model->graphs.data[pt_node_at(model, node)->graph], node);
}

partita_status pt_value_set_constant(pt_model *model, pt_id value, pt_tensor *tensor) {
    pt_dim *dims = NULL;
    if (tensor->rank) {
        dims = pt_arena_array(&model->arena, tensor->rank, sizeof *dims);
        if (!dims) return PT_OUT_OF_MEMORY();
        for (uint32_t i = 0; i < tensor->rank; i++) dims[i] = tensor->dims[i];
    }
    pt_value *row = pt_value_at(model, value);
    row->type = (pt_type){.kind = tensor->sparse_indices ? PARTITA_KIND_SPARSE : PARTITA_KIND_TENSOR,
                          .dtype = tensor->dtype,
                          .rank = (int32_t)tensor->rank,
                          .dims = dims};
    row->constant = tensor;
    if (row->producer != PT_NONE) {
        pt_node_at(model, row->producer)->outputs[row->output] = PT_NONE;
        row->producer = PT_NONE;
    }
    return PARTITA_OK;
}
