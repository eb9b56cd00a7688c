/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators replaced by the functions that define them, in a copy of the model: for a plan whose devices lack the
 * operators, and at load to see what operators of a set give that have no inference of their own.
 */
#include "onnx/expand.h"
#include "op/schema.h"
#include "run/context.h"

/* Functions within functions within functions, and the nodes that they may become: no model has more. */
enum { MOST_ROUNDS = 16, MOST_NODES = 1 << 20 };

/* Expands those of the nodes that have a body. */
static partita_status expand(pt_model *model, const pt_id *nodes, size_t count, bool *out_any) {
    size_t before = model->nodes.size;
    *out_any = false;
    for (size_t i = 0; i < count; i++) {
        const void *bytes;
        uint64_t size;
        PT_TRY(pt_node_body(model, nodes[i], &bytes, &size));
        if (!bytes) continue;
        PT_TRY(pt_onnx_expand(model, nodes[i], bytes, size));
        *out_any = true;
        if (model->nodes.size - before > MOST_NODES)
            return pt_fail(PARTITA_OVER_BUDGET, "bodies of operators expand to more than %d nodes", MOST_NODES);
    }
    return PARTITA_OK;
}

static partita_status settle(pt_model *model, const pt_schema_source *source) {
    PT_TRY(pt_model_sort(model));
    PT_TRY(pt_model_check_with(model, source));
    return pt_model_infer(model);
}

/* ---- inference through bodies ---------------------------------------------------------------- */

/* What the copy knows of the node's outputs; its symbols are the model's by now. */
static partita_status take_outputs(pt_model *model, const pt_model *copy, pt_id node) {
    for (uint32_t i = 0; i < pt_node_at(model, node)->output_count; i++) {
        pt_id id = pt_node_at(model, node)->outputs[i];
        if (id == PT_NONE) continue;
        pt_value *value = pt_value_at(model, id);
        const pt_value *known = pt_value_at(copy, id);
        PT_TRY(pt_type_copy(&model->arena, &known->type, &value->type));
        if (!known->small || known->constant) continue;
        pt_dim *small = pt_arena_array(&model->arena, known->small_count, sizeof *small);
        if (!small) return PT_OUT_OF_MEMORY();
        if (known->small_count) memcpy(small, known->small, known->small_count * sizeof *small);
        value->small = small;
        value->small_count = known->small_count;
    }
    return PARTITA_OK;
}

typedef PT_ARRAY(pt_id) id_list;

static partita_status find_needing(const pt_model *model, id_list *out_nodes) {
    out_nodes->size = 0;
    for (pt_id id = 0; id < model->nodes.size; id++) {
        if (pt_node_at(model, id)->dead || !pt_node_needs_body(pt_node_at(model, id))) continue;
        if (!pt_array_push(out_nodes, id)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

/* All that need it, and those within their bodies; what is left after so many rounds stays unknown. */
static partita_status expand_needing(pt_model *model, const pt_schema_source *source, id_list *nodes) {
    bool any = nodes->size > 0;
    for (int round = 0; round < MOST_ROUNDS && any; round++) {
        PT_TRY(expand(model, nodes->data, nodes->size, &any));
        PT_TRY(settle(model, source));
        PT_TRY(find_needing(model, nodes));
        any = any && nodes->size > 0;
    }
    return PARTITA_OK;
}

partita_status pt_model_infer_bodies(pt_model *model, const pt_schema_source *source) {
    partita_status status;
    pt_model *copy = NULL;
    id_list nodes = {0}, within = {0};
    PT_CHECK(find_needing(model, &nodes));
    if (nodes.size == 0) goto out;
    PT_CHECK(pt_model_copy(model, &copy));
    PT_CHECK(find_needing(copy, &within));
    PT_CHECK(expand_needing(copy, source, &within));
    /* The copy began with the model's symbols, so that all that the model has stay what they are. */
    pt_symbols old = model->symbols;
    model->symbols = copy->symbols;
    copy->symbols = old;
    for (size_t i = 0; i < nodes.size; i++) PT_CHECK(take_outputs(model, copy, nodes.data[i]));
    status = pt_model_infer(model);
out:
    pt_array_deinit(&nodes);
    pt_array_deinit(&within);
    pt_model_destroy(copy);
    return status;
}

/* ---- plans ----------------------------------------------------------------------------------- */

partita_status pt_model_expand(partita_model *model, const pt_id *nodes, uint32_t count, partita_model **out_model) {
    const pt_schema_source source = pt_context_schemas(model->context);
    partita_status status;
    pt_model *copy = NULL;
    bool any;
    *out_model = NULL;
    PT_CHECK(pt_model_copy(model->graph, &copy));
    PT_CHECK(expand(copy, nodes, count, &any));
    if (!any) goto out;
    PT_CHECK(settle(copy, &source));
    PT_CHECK(pt_model_infer_bodies(copy, &source));
    status = pt_model_derive(model, copy, out_model);
    copy = NULL;
out:
    pt_model_destroy(copy);
    return status;
}
