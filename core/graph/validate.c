/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The validator: every invariant that passes rely on. Debug builds run it after each pass.
 */
#include "graph/model.h"

typedef struct checker {
    const pt_model *model;
    uint32_t *position;  /* of a node in its graph's order; PT_NONE while not seen */
    uint32_t *use_count; /* of a value, counted from inputs */
    uint32_t *carriers;  /* of a source */
} checker;

#define BROKEN(...) pt_fail(PARTITA_INTERNAL, __VA_ARGS__)

/* The position, in the value's graph, of the node that is or holds `node`; PT_NONE when there is none. */
static uint32_t position_of_user(const checker *check, pt_id node, pt_id home) {
    while (node != PT_NONE && pt_node_at(check->model, node)->graph != home) {
        node = check->model->graphs.data[pt_node_at(check->model, node)->graph].parent;
    }
    return node == PT_NONE ? PT_NONE : check->position[node];
}

static partita_status check_use(const checker *check, pt_id node, pt_id graph, pt_id value) {
    const pt_model *model = check->model;
    if (value >= model->values.size) return BROKEN("value %u is out of range", value);
    const pt_value *row = pt_value_at(model, value);
    if (row->dead) return BROKEN("value %u is dead and used", value);
    if (!pt_value_visible(model, value, graph)) return BROKEN("value %u is not visible where it is used", value);
    if (row->producer == PT_NONE) {
        return row->constant || row->is_input ? PARTITA_OK : BROKEN("value %u has no producer", value);
    }
    if (node == PT_NONE) return PARTITA_OK;
    uint32_t user = position_of_user(check, node, row->graph);
    if (user == PT_NONE || check->position[row->producer] == PT_NONE || check->position[row->producer] >= user) {
        return BROKEN("node %u comes before the producer of value %u", node, value);
    }
    return PARTITA_OK;
}

static partita_status check_node(const checker *check, pt_id node) {
    const pt_model *model = check->model;
    const pt_node *row = pt_node_at(model, node);
    for (uint32_t i = 0; i < row->input_count; i++) {
        if (row->inputs[i] == PT_NONE) continue;
        PT_TRY(check_use(check, node, row->graph, row->inputs[i]));
        check->use_count[row->inputs[i]]++;
    }
    for (uint32_t i = 0; i < row->output_count; i++) {
        if (row->outputs[i] == PT_NONE) continue;
        if (row->outputs[i] >= model->values.size) return BROKEN("value %u is out of range", row->outputs[i]);
        const pt_value *value = pt_value_at(model, row->outputs[i]);
        if (value->dead) return BROKEN("value %u is dead and produced", row->outputs[i]);
        if (value->producer != node || value->output != i) {
            return BROKEN("value %u does not know its producer %u", row->outputs[i], node);
        }
        if (value->constant || value->is_input) return BROKEN("value %u is known and produced", row->outputs[i]);
        if (value->graph != row->graph) return BROKEN("value %u lies in another graph", row->outputs[i]);
    }
    for (uint32_t i = 0; i < row->source_count; i++) {
        if (row->sources[i] >= model->sources.size) return BROKEN("source %u is out of range", row->sources[i]);
        check->carriers[row->sources[i]]++;
    }
    for (uint32_t i = 0; i < row->attribute_count; i++) {
        const pt_attribute *attribute = &row->attributes[i];
        for (uint32_t k = 0; pt_attribute_has_graphs(attribute) && k < attribute->count; k++) {
            pt_id graph = attribute->graphs[k];
            if (graph >= model->graphs.size || model->graphs.data[graph].parent != node) {
                return BROKEN("body %u does not know its node %u", graph, node);
            }
        }
    }
    return PARTITA_OK;
}

static partita_status check_graph(const checker *check, pt_id id) {
    const pt_model *model = check->model;
    const pt_graph *graph = &model->graphs.data[id];
    for (size_t i = 0; i < graph->order.size; i++) PT_TRY(check_node(check, graph->order.data[i]));
    for (size_t i = 0; i < graph->inputs.size; i++) {
        pt_id value = graph->inputs.data[i];
        if (value >= model->values.size) return BROKEN("value %u is out of range", value);
        if (!pt_value_at(model, value)->is_input) return BROKEN("input %u is not marked as one", value);
        if (pt_value_at(model, value)->graph != id) return BROKEN("input %u lies in another graph", value);
    }
    for (size_t i = 0; i < graph->outputs.size; i++) {
        pt_id value = graph->outputs.data[i];
        if (value >= model->values.size) return BROKEN("value %u is out of range", value);
        /* A value from outside is used by the node whose body this is; one of the body is there at its end. */
        bool captured = pt_value_at(model, value)->graph != id;
        PT_TRY(check_use(check, captured ? graph->parent : PT_NONE, id, value));
        if (!pt_value_at(model, value)->is_output) { return BROKEN("output %u is not marked as one", value); }
    }
    return PARTITA_OK;
}

/* Each live node stands once in its own graph's order. */
static partita_status find_positions(const checker *check) {
    const pt_model *model = check->model;
    size_t seen = 0, live = 0;
    for (size_t n = 0; n < model->nodes.size; n++) {
        check->position[n] = PT_NONE;
        live += !pt_node_at(model, (pt_id)n)->dead;
    }
    for (size_t g = 0; g < model->graphs.size; g++) {
        const pt_graph *graph = &model->graphs.data[g];
        for (size_t i = 0; i < graph->order.size; i++, seen++) {
            pt_id node = graph->order.data[i];
            if (node >= model->nodes.size) return BROKEN("node %u is out of range", node);
            if (pt_node_at(model, node)->dead) return BROKEN("node %u is dead and in order", node);
            if (pt_node_at(model, node)->graph != g) return BROKEN("node %u lies in another graph", node);
            if (check->position[node] != PT_NONE) return BROKEN("node %u is twice in order", node);
            check->position[node] = (uint32_t)i;
        }
    }
    return seen == live ? PARTITA_OK : BROKEN("%zu nodes live, %zu are in order", live, seen);
}

static partita_status check_uses(const checker *check) {
    const pt_model *model = check->model;
    for (size_t v = 0; v < model->values.size; v++) {
        const pt_value *value = pt_value_at(model, (pt_id)v);
        if (value->dead) continue;
        if (value->uses.size != check->use_count[v]) {
            return BROKEN("value %zu has %u uses, its list %zu", v, check->use_count[v], value->uses.size);
        }
        for (size_t i = 0; i < value->uses.size; i++) {
            pt_use use = value->uses.data[i];
            if (use.node >= model->nodes.size || use.input >= pt_node_at(model, use.node)->input_count ||
                pt_node_at(model, use.node)->inputs[use.input] != v) {
                return BROKEN("value %zu lists a use that is none", v);
            }
        }
    }
    for (size_t s = 0; s < model->sources.size; s++) {
        const pt_source *source = &model->sources.data[s];
        if (source->carriers != check->carriers[s]) return BROKEN("source %zu is counted wrongly", s);
        if ((source->carriers == 0) != (source->removed_by != NULL)) {
            return BROKEN("source %.*s is lost, or carried and removed", PT_STR_ARG(source->name));
        }
    }
    return PARTITA_OK;
}

partita_status pt_model_validate(const pt_model *model) {
    partita_status status;
    checker check = {.model = model};
    check.position = pt_calloc(model->nodes.size + 1, sizeof *check.position);
    check.use_count = pt_calloc(model->values.size + 1, sizeof *check.use_count);
    check.carriers = pt_calloc(model->sources.size + 1, sizeof *check.carriers);
    if (!check.position || !check.use_count || !check.carriers) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    PT_CHECK(find_positions(&check));
    for (size_t g = 0; g < model->graphs.size; g++) PT_CHECK(check_graph(&check, (pt_id)g));
    PT_CHECK(check_uses(&check));
out:
    pt_free(check.position);
    pt_free(check.use_count);
    pt_free(check.carriers);
    return status;
}
