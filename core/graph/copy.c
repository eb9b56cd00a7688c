/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of a model that can be changed apart from it: rows and lists are copied, what rows point to is borrowed.
 */
#include "graph/model.h"

/* Copies an array of plain rows. */
#define COPY_ROWS(to, from)                                                                                            \
    (pt_array_reserve((to), (from)->size) &&                                                                           \
     ((from)->size == 0 || memcpy((to)->data, (from)->data, (from)->size * sizeof(*(to)->data))) &&                    \
     ((to)->size = (from)->size, true))

static bool copy_ids(pt_arena *arena, pt_id **ids, uint32_t count) {
    if (count == 0) return true;
    pt_id *copy = pt_arena_array(arena, count, sizeof *copy);
    if (copy) memcpy(copy, *ids, count * sizeof *copy);
    *ids = copy;
    return copy != NULL;
}

static bool copy_node(pt_arena *arena, pt_node *node) {
    if (!copy_ids(arena, &node->inputs, node->input_count) || !copy_ids(arena, &node->outputs, node->output_count))
        return false;
    if (node->attribute_count == 0) return true;
    pt_attribute *attributes = pt_arena_array(arena, node->attribute_count, sizeof *attributes);
    if (attributes) memcpy(attributes, node->attributes, node->attribute_count * sizeof *attributes);
    node->attributes = attributes;
    return attributes != NULL;
}

/* Rows whose lists are their own: added one by one, so that a half-made copy owns what it lists. */
static bool copy_values(const pt_model *from, pt_model *to) {
    if (!pt_array_reserve(&to->values, from->values.size)) return false;
    for (size_t i = 0; i < from->values.size; i++) {
        pt_value *value = &to->values.data[to->values.size++];
        *value = from->values.data[i];
        memset(&value->uses, 0, sizeof value->uses);
        if (!COPY_ROWS(&value->uses, &from->values.data[i].uses)) return false;
    }
    return true;
}

static bool copy_graphs(const pt_model *from, pt_model *to) {
    if (!pt_array_reserve(&to->graphs, from->graphs.size)) return false;
    for (size_t i = 0; i < from->graphs.size; i++) {
        const pt_graph *old = &from->graphs.data[i];
        pt_graph *graph = &to->graphs.data[to->graphs.size++];
        *graph = (pt_graph){.name = old->name, .parent = old->parent};
        if (!COPY_ROWS(&graph->inputs, &old->inputs) || !COPY_ROWS(&graph->outputs, &old->outputs) ||
            !COPY_ROWS(&graph->order, &old->order))
            return false;
    }
    return true;
}

static bool copy_all(const pt_model *from, pt_model *to) {
    if (!copy_values(from, to) || !copy_graphs(from, to) || !COPY_ROWS(&to->nodes, &from->nodes)) return false;
    for (size_t i = 0; i < to->nodes.size; i++) {
        if (!copy_node(&to->arena, &to->nodes.data[i])) return false;
    }
    return COPY_ROWS(&to->sources, &from->sources) && COPY_ROWS(&to->opsets, &from->opsets) &&
           COPY_ROWS(&to->metadata, &from->metadata) && pt_symbols_copy(&to->symbols, &from->symbols);
}

partita_status pt_model_copy(const pt_model *from, pt_model **out_copy) {
    pt_model *model;
    PT_TRY(pt_model_create(&model));
    model->ir_version = from->ir_version;
    model->producer_name = from->producer_name;
    model->producer_version = from->producer_version;
    model->graph_name = from->graph_name;
    model->doc = from->doc;
    model->path = from->path;
    model->copied_weight_bytes = from->copied_weight_bytes;
    if (!copy_all(from, model)) {
        pt_model_destroy(model);
        return PT_OUT_OF_MEMORY();
    }
    *out_copy = model;
    return PARTITA_OK;
}
