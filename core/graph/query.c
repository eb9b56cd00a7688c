/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to a model that change nothing.
 */
#include "graph/model.h"

#include <partita/plugin.h>

bool pt_attribute_has_graphs(const pt_attribute *attribute) {
    return attribute->type == PTP_ATTRIBUTE_GRAPH || attribute->type == PTP_ATTRIBUTE_GRAPHS;
}

const pt_attribute *pt_node_attribute(const pt_node *node, const char *name) {
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        if (pt_str_is(node->attributes[i].name, name)) return &node->attributes[i];
    }
    return NULL;
}

int64_t pt_node_int(const pt_node *node, const char *name, int64_t otherwise) {
    const pt_attribute *attribute = pt_node_attribute(node, name);
    return attribute && attribute->type == PTP_ATTRIBUTE_INT ? attribute->i : otherwise;
}

float pt_node_float(const pt_node *node, const char *name, float otherwise) {
    const pt_attribute *attribute = pt_node_attribute(node, name);
    return attribute && attribute->type == PTP_ATTRIBUTE_FLOAT ? attribute->f : otherwise;
}

partita_str pt_node_name(const pt_model *model, pt_id node) {
    const pt_node *row = pt_node_at(model, node);
    return row->source_count ? model->sources.data[row->sources[0]].name : PT_STR("(none)");
}

int64_t pt_model_opset(const pt_model *model, partita_str domain) {
    if (pt_str_is(domain, "ai.onnx")) domain = PT_STR("");
    for (size_t i = 0; i < model->opsets.size; i++) {
        if (pt_str_equal(model->opsets.data[i].domain, domain)) return model->opsets.data[i].version;
    }
    return 0;
}

bool pt_value_visible(const pt_model *model, pt_id value, pt_id graph) {
    pt_id home = pt_value_at(model, value)->graph;
    for (;;) {
        if (home == graph) return true;
        pt_id parent = model->graphs.data[graph].parent;
        if (parent == PT_NONE) return false;
        graph = pt_node_at(model, parent)->graph;
    }
}

/* ---- captures -------------------------------------------------------------------------------- */

typedef struct capture_walk {
    const pt_model *model;
    pt_id node;
    PT_ARRAY(pt_id) found;
    pt_map seen; /* keys lie in the arena */
    pt_arena *arena;
} capture_walk;

/* True when the value lies in a body of the node, at any depth. */
static bool lies_inside(const pt_model *model, pt_id value, pt_id node) {
    pt_id graph = pt_value_at(model, value)->graph;
    for (;;) {
        pt_id parent = model->graphs.data[graph].parent;
        if (parent == PT_NONE) return false;
        if (parent == node) return true;
        graph = pt_node_at(model, parent)->graph;
    }
}

static partita_status capture_value(capture_walk *walk, pt_id value) {
    if (value == PT_NONE || lies_inside(walk->model, value, walk->node)) return PARTITA_OK;
    partita_str key = {(const char *)&value, sizeof value};
    if (pt_map_get(&walk->seen, key) != PT_NONE) return PARTITA_OK;
    key = pt_arena_str(walk->arena, key);
    if (!key.data || !pt_map_put(&walk->seen, key, 1) || !pt_array_push(&walk->found, value)) {
        return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

static partita_status capture_node(capture_walk *walk, pt_id node);

static partita_status capture_graph(capture_walk *walk, pt_id graph) {
    const pt_graph *body = &walk->model->graphs.data[graph];
    for (size_t i = 0; i < body->order.size; i++) {
        const pt_node *inner = pt_node_at(walk->model, body->order.data[i]);
        for (uint32_t k = 0; k < inner->input_count; k++) PT_TRY(capture_value(walk, inner->inputs[k]));
        PT_TRY(capture_node(walk, body->order.data[i]));
    }
    for (size_t i = 0; i < body->outputs.size; i++) PT_TRY(capture_value(walk, body->outputs.data[i]));
    return PARTITA_OK;
}

static partita_status capture_node(capture_walk *walk, pt_id node) {
    const pt_node *row = pt_node_at(walk->model, node);
    for (uint32_t i = 0; i < row->attribute_count; i++) {
        const pt_attribute *attribute = &row->attributes[i];
        if (!pt_attribute_has_graphs(attribute)) continue;
        for (uint32_t k = 0; k < attribute->count; k++) PT_TRY(capture_graph(walk, attribute->graphs[k]));
    }
    return PARTITA_OK;
}

partita_status pt_node_captures(const pt_model *model, pt_id node, pt_arena *arena, pt_id **out_values,
                                uint32_t *out_count) {
    capture_walk walk = {.model = model, .node = node, .arena = arena};
    partita_status status;
    pt_id *values = NULL;
    PT_CHECK(capture_node(&walk, node));
    if (walk.found.size) {
        values = pt_arena_array(arena, walk.found.size, sizeof *values);
        if (!values) {
            status = PT_OUT_OF_MEMORY();
            goto out;
        }
        memcpy(values, walk.found.data, walk.found.size * sizeof *values);
    }
    *out_values = values;
    *out_count = (uint32_t)walk.found.size;
out:
    pt_array_deinit(&walk.found);
    pt_map_deinit(&walk.seen);
    return status;
}
