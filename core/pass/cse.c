/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Common subexpressions: small constants of equal bytes first, then nodes of one graph that do the same with the same
 * inputs. Keys are texts in an arena, so equal keys are equal computations, never a hash that happens to agree.
 */
#include "pass/quant.h"
#include "pass/rewrite.h"

#include <partita/plugin.h>

enum { LARGEST_CONSTANT = 1024 };

typedef struct table {
    pt_arena keys;
    pt_map rows;
    pt_text key;
} table;

static void table_deinit(table *t) {
    pt_arena_deinit(&t->keys);
    pt_map_deinit(&t->rows);
    pt_text_deinit(&t->key);
}

static void add_bytes(pt_text *key, const void *data, size_t size) {
    pt_text_append(key, (partita_str){(const char *)&size, sizeof size});
    pt_text_append(key, (partita_str){data, size});
}

/* What was there under this key; otherwise `id` is from now on, and *out_id is `id`. */
static partita_status find_or_put(table *t, uint32_t id, uint32_t *out_id) {
    partita_str key = {t->key.data, t->key.size};
    if (t->key.failed) return PT_OUT_OF_MEMORY();
    *out_id = pt_map_get(&t->rows, key);
    if (*out_id != PT_NONE) return PARTITA_OK;
    *out_id = id;
    key = pt_arena_str(&t->keys, key);
    return key.data && pt_map_put(&t->rows, key, id) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* ---- constants ------------------------------------------------------------------------------- */

static void add_tensor(pt_text *key, const pt_tensor *tensor) {
    add_bytes(key, &tensor->dtype, sizeof tensor->dtype);
    add_bytes(key, tensor->dims, tensor->rank * sizeof *tensor->dims);
    if (tensor->offsets) add_bytes(key, tensor->offsets, (size_t)(tensor->count + 1) * sizeof *tensor->offsets);
    add_bytes(key, tensor->weight->data, (size_t)tensor->weight->bytes);
}

static bool is_small(const pt_tensor *tensor) {
    return tensor && !tensor->sparse_indices && tensor->weight->bytes <= LARGEST_CONSTANT;
}

/* Within each graph. */
static partita_status share_constants(pt_pass_run *run, table *t) {
    pt_model *model = run->model;
    for (pt_id v = 0; v < model->values.size; v++) {
        const pt_value *value = pt_value_at(model, v);
        if (value->dead || value->is_input || value->is_output || !is_small(value->constant)) continue;
        uint32_t first;
        t->key.size = 0;
        add_bytes(&t->key, &value->graph, sizeof value->graph);
        add_tensor(&t->key, value->constant);
        PT_TRY(find_or_put(t, v, &first));
        if (first == v || value->uses.size == 0) continue;
        PT_TRY(pt_value_replace_uses(model, v, first));
        pt_value_remove(model, v);
        run->changes++;
    }
    return PARTITA_OK;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* False when the attribute has graphs, sparse or large tensors. */
static bool add_attribute(pt_text *key, const pt_attribute *a) {
    add_bytes(key, a->name.data, a->name.size);
    add_bytes(key, &a->type, sizeof a->type);
    switch (a->type) {
    case PTP_ATTRIBUTE_INT: add_bytes(key, &a->i, sizeof a->i); return true;
    case PTP_ATTRIBUTE_FLOAT: add_bytes(key, &a->f, sizeof a->f); return true;
    case PTP_ATTRIBUTE_STRING: add_bytes(key, a->s.data, a->s.size); return true;
    case PTP_ATTRIBUTE_INTS: add_bytes(key, a->ints, a->count * sizeof *a->ints); return true;
    case PTP_ATTRIBUTE_FLOATS: add_bytes(key, a->floats, a->count * sizeof *a->floats); return true;
    case PTP_ATTRIBUTE_STRINGS:
        add_bytes(key, &a->count, sizeof a->count);
        for (uint32_t i = 0; i < a->count; i++) add_bytes(key, a->strings[i].data, a->strings[i].size);
        return true;
    case PTP_ATTRIBUTE_TENSOR:
    case PTP_ATTRIBUTE_TENSORS:
        add_bytes(key, &a->count, sizeof a->count);
        for (uint32_t i = 0; i < a->count; i++) {
            if (!is_small(a->tensors[i])) return false;
            add_tensor(key, a->tensors[i]);
        }
        return true;
    default: return false;
    }
}

/* False when the node can't be shared. */
static bool node_key(pt_text *key, const pt_node *node) {
    if (!node->schema || !(node->schema->flags & PT_OP_PURE) || (node->schema->flags & PT_OP_CONTROL_FLOW))
        return false;
    /* Readers that quantise their result have one each (quant.c). */
    if (pt_quant_role_of(node) == PT_QUANT_DEQUANTIZE) return false;
    key->size = 0;
    add_bytes(key, &node->graph, sizeof node->graph);
    add_bytes(key, &node->schema, sizeof node->schema);
    add_bytes(key, node->inputs, node->input_count * sizeof *node->inputs);
    /* Which outputs there are may change what an operator computes. */
    add_bytes(key, &node->output_count, sizeof node->output_count);
    for (uint32_t i = 0; i < node->output_count; i++) {
        bool present = node->outputs[i] != PT_NONE;
        add_bytes(key, &present, sizeof present);
    }
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        if (!add_attribute(key, &node->attributes[i])) return false;
    }
    return true;
}

static partita_status share_node(pt_pass_run *run, table *t, pt_id id) {
    pt_model *model = run->model;
    const pt_node *node = pt_node_at(model, id);
    uint32_t first;
    if (!node_key(&t->key, node)) return t->key.failed ? PT_OUT_OF_MEMORY() : PARTITA_OK;
    PT_TRY(find_or_put(t, id, &first));
    if (first == id) return PARTITA_OK;
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] != PT_NONE && pt_value_at(model, node->outputs[i])->is_output) return PARTITA_OK;
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] == PT_NONE) continue;
        PT_TRY(pt_value_replace_uses(model, node->outputs[i], pt_node_at(model, first)->outputs[i]));
    }
    pt_node_remove(model, id, "cse");
    run->changes++;
    return PARTITA_OK;
}

/* In order, so that users see the shared values of their producers. */
static partita_status share_nodes(pt_pass_run *run, table *t) {
    pt_model *model = run->model;
    for (size_t g = 0; g < model->graphs.size; g++) {
        for (size_t i = 0; i < model->graphs.data[g].order.size;) {
            pt_id node = model->graphs.data[g].order.data[i];
            PT_TRY(share_node(run, t, node));
            i += !pt_node_at(model, node)->dead;
        }
    }
    return PARTITA_OK;
}

partita_status pt_pass_cse(pt_pass_run *run) {
    table constants = {0}, nodes = {0};
    partita_status status = share_constants(run, &constants);
    if (status == PARTITA_OK) status = share_nodes(run, &nodes);
    table_deinit(&constants);
    table_deinit(&nodes);
    return status;
}
