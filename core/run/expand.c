/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators replaced by the functions that define them, in a copy of the model: for a plan whose devices lack the
 * operators, and at load to see what operators of a set give that have no inference of their own.
 */
#include "onnx/expand.h"
#include "op/schema.h"
#include "run/context.h"

/* A copy with these nodes expanded, those of them that have a body; *out_copy NULL when none has. */
static partita_status expand_copy(const pt_model *model, const pt_id *nodes, uint32_t count,
                                  const pt_schema_source *source, pt_model **out_copy) {
    partita_status status = PARTITA_OK;
    pt_model *copy;
    bool any = false;
    *out_copy = NULL;
    PT_TRY(pt_model_copy(model, &copy));
    for (uint32_t i = 0; i < count; i++) {
        const void *bytes;
        uint64_t size;
        PT_CHECK(pt_node_body(copy, nodes[i], &bytes, &size));
        if (!bytes) continue;
        PT_CHECK(pt_onnx_expand(copy, nodes[i], bytes, size));
        any = true;
    }
    if (!any) goto out;
    PT_CHECK(pt_model_sort(copy));
    PT_CHECK(pt_model_check_with(copy, source));
    PT_CHECK(pt_model_infer(copy));
    *out_copy = copy;
    copy = NULL;
out:
    pt_model_destroy(copy);
    return status;
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

partita_status pt_model_infer_bodies(pt_model *model, const pt_schema_source *source) {
    partita_status status = PARTITA_OK;
    pt_model *copy = NULL;
    PT_ARRAY(pt_id) nodes = {0};
    for (pt_id id = 0; id < model->nodes.size; id++) {
        if (pt_node_at(model, id)->dead || !pt_node_needs_body(pt_node_at(model, id))) continue;
        if (!pt_array_push(&nodes, id)) {
            status = PT_OUT_OF_MEMORY();
            goto out;
        }
    }
    if (nodes.size == 0) goto out;
    PT_CHECK(expand_copy(model, nodes.data, (uint32_t)nodes.size, source, &copy));
    if (!copy) goto out;
    /* The copy began with the model's symbols, so that all that the model has stay what they are. */
    pt_symbols old = model->symbols;
    model->symbols = copy->symbols;
    copy->symbols = old;
    for (size_t i = 0; i < nodes.size; i++) PT_CHECK(take_outputs(model, copy, nodes.data[i]));
    status = pt_model_infer(model);
out:
    pt_array_deinit(&nodes);
    pt_model_destroy(copy);
    return status;
}

/* ---- plans ----------------------------------------------------------------------------------- */

partita_status pt_model_expand(partita_model *model, const pt_id *nodes, uint32_t count, partita_model **out_model) {
    const pt_schema_source source = pt_context_schemas(model->context);
    pt_model *copy;
    *out_model = NULL;
    PT_TRY(expand_copy(model->graph, nodes, count, &source, &copy));
    return copy ? pt_model_derive(model, copy, out_model) : PARTITA_OK;
}
