/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a model: graphs, values, nodes, sources, tensors, and the end of all of them.
 */
#include "graph/model.h"

partita_status pt_model_create(pt_model **out_model) {
    pt_model *model = pt_calloc(1, sizeof *model);
    if (!model) return PT_OUT_OF_MEMORY();
    model->producer_name = model->producer_version = model->graph_name = model->doc = model->path = PT_STR("");
    *out_model = model;
    return PARTITA_OK;
}

void pt_model_destroy(pt_model *model) {
    if (!model) return;
    for (size_t i = 0; i < model->tensors.size; i++) pt_weight_release(model->tensors.data[i]->weight);
    for (size_t i = 0; i < model->values.size; i++) pt_array_deinit(&model->values.data[i].uses);
    for (size_t i = 0; i < model->graphs.size; i++) {
        pt_array_deinit(&model->graphs.data[i].inputs);
        pt_array_deinit(&model->graphs.data[i].outputs);
        pt_array_deinit(&model->graphs.data[i].order);
    }
    pt_array_deinit(&model->values);
    pt_array_deinit(&model->nodes);
    pt_array_deinit(&model->graphs);
    pt_array_deinit(&model->sources);
    pt_array_deinit(&model->opsets);
    pt_array_deinit(&model->metadata);
    pt_array_deinit(&model->tensors);
    pt_symbols_deinit(&model->symbols);
    pt_arena_deinit(&model->arena);
    pt_free(model);
}

/* A copy that is "" where the text is empty. */
static bool copy_str(pt_model *model, partita_str text, partita_str *out_copy) {
    *out_copy = text.size ? pt_arena_str(&model->arena, text) : PT_STR("");
    return out_copy->data != NULL;
}

partita_status pt_type_copy(pt_arena *arena, const pt_type *from, pt_type *to) {
    pt_type copy = *from;
    if (from->rank > 0 && from->dims) {
        copy.dims = pt_arena_array(arena, (size_t)from->rank, sizeof *copy.dims);
        if (!copy.dims) return PT_OUT_OF_MEMORY();
        memcpy(copy.dims, from->dims, (size_t)from->rank * sizeof *copy.dims);
    } else {
        copy.dims = NULL;
    }
    if (from->element) {
        copy.element = pt_arena_alloc(arena, sizeof *copy.element);
        if (!copy.element) return PT_OUT_OF_MEMORY();
        PT_TRY(pt_type_copy(arena, from->element, copy.element));
    }
    *to = copy;
    return PARTITA_OK;
}

partita_status pt_model_add_graph(pt_model *model, partita_str name, pt_id parent, pt_id *out_graph) {
    pt_graph graph = {.parent = parent};
    if (model->graphs.size >= PT_NONE) return pt_fail(PARTITA_OVER_BUDGET, "too many graphs");
    if (!copy_str(model, name, &graph.name)) return PT_OUT_OF_MEMORY();
    if (!pt_array_push(&model->graphs, graph)) return PT_OUT_OF_MEMORY();
    *out_graph = (pt_id)model->graphs.size - 1;
    return PARTITA_OK;
}

partita_status pt_model_add_value(pt_model *model, pt_id graph, partita_str name, const pt_type *type,
                                  pt_id *out_value) {
    pt_value value = {.graph = graph, .producer = PT_NONE, .type = {.rank = -1}};
    if (model->values.size >= PT_NONE) return pt_fail(PARTITA_OVER_BUDGET, "too many values");
    if (!copy_str(model, name, &value.name)) return PT_OUT_OF_MEMORY();
    if (type) PT_TRY(pt_type_copy(&model->arena, type, &value.type));
    if (!pt_array_push(&model->values, value)) return PT_OUT_OF_MEMORY();
    *out_value = (pt_id)model->values.size - 1;
    return PARTITA_OK;
}

static partita_status copy_ids(pt_model *model, const pt_id *ids, uint32_t count, pt_id **out_ids) {
    *out_ids = NULL;
    if (count == 0) return PARTITA_OK;
    *out_ids = pt_arena_array(&model->arena, count, sizeof **out_ids);
    if (!*out_ids) return PT_OUT_OF_MEMORY();
    memcpy(*out_ids, ids, count * sizeof **out_ids);
    return PARTITA_OK;
}

partita_status pt_model_add_node(pt_model *model, pt_id graph, partita_str op, partita_str domain, int32_t version,
                                 const pt_id *inputs, uint32_t input_count, const pt_id *outputs, uint32_t output_count,
                                 pt_id *out_node) {
    pt_node node = {.version = version, .graph = graph, .input_count = input_count, .output_count = output_count};
    pt_id id = (pt_id)model->nodes.size;
    if (model->nodes.size >= PT_NONE) return pt_fail(PARTITA_OVER_BUDGET, "too many nodes");
    if (!copy_str(model, op, &node.op) || !copy_str(model, domain, &node.domain)) return PT_OUT_OF_MEMORY();
    PT_TRY(copy_ids(model, inputs, input_count, &node.inputs));
    PT_TRY(copy_ids(model, outputs, output_count, &node.outputs));
    pt_graph *home = &model->graphs.data[graph];
    /* Room first, so that a failure leaves nothing half-registered. */
    if (!pt_array_reserve(&home->order, home->order.size + 1) ||
        !pt_array_reserve(&model->nodes, model->nodes.size + 1)) {
        return PT_OUT_OF_MEMORY();
    }
    for (uint32_t i = 0; i < input_count; i++) {
        if (inputs[i] == PT_NONE) continue;
        pt_value *value = pt_value_at(model, inputs[i]);
        if (!pt_array_push(&value->uses, (pt_use){id, i})) {
            for (uint32_t k = 0; k < i; k++) {
                if (inputs[k] != PT_NONE) pt_value_at(model, inputs[k])->uses.size--;
            }
            return PT_OUT_OF_MEMORY();
        }
    }
    model->nodes.data[model->nodes.size++] = node;
    home->order.data[home->order.size++] = id;
    for (uint32_t i = 0; i < output_count; i++) {
        if (outputs[i] == PT_NONE) continue;
        pt_value_at(model, outputs[i])->producer = id;
        pt_value_at(model, outputs[i])->output = i;
    }
    *out_node = id;
    return PARTITA_OK;
}

partita_status pt_model_add_source(pt_model *model, partita_str name, partita_str op, partita_str domain,
                                   uint32_t *out_source) {
    pt_source source = {0};
    if (model->sources.size >= PT_NONE) return pt_fail(PARTITA_OVER_BUDGET, "too many nodes");
    if (!copy_str(model, name, &source.name) || !copy_str(model, op, &source.op) ||
        !copy_str(model, domain, &source.domain) || !pt_array_push(&model->sources, source)) {
        return PT_OUT_OF_MEMORY();
    }
    *out_source = (uint32_t)model->sources.size - 1;
    return PARTITA_OK;
}

partita_status pt_model_add_tensor(pt_model *model, partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                   pt_weight *weight, pt_tensor **out_tensor) {
    pt_tensor *tensor = pt_arena_alloc(&model->arena, sizeof *tensor);
    int64_t *copy = rank ? pt_arena_array(&model->arena, rank, sizeof *copy) : NULL;
    partita_status status = PARTITA_OK;
    if (!tensor || (rank && !copy)) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    if (rank) memcpy(copy, dims, rank * sizeof *copy);
    *tensor = (pt_tensor){.dtype = dtype, .rank = rank, .dims = copy, .weight = weight};
    if (!pt_dims_count(copy, rank, &tensor->count)) {
        status = pt_fail(PARTITA_BAD_MODEL, "the dims of a tensor are negative or too large");
        goto out;
    }
    if (!pt_array_push(&model->tensors, tensor)) status = PT_OUT_OF_MEMORY();
out:
    if (status != PARTITA_OK) {
        pt_weight_release(weight);
        return status;
    }
    *out_tensor = tensor;
    return PARTITA_OK;
}

partita_status pt_graph_add_input(pt_model *model, pt_id graph, pt_id value) {
    if (!pt_array_push(&model->graphs.data[graph].inputs, value)) return PT_OUT_OF_MEMORY();
    pt_value_at(model, value)->is_input = true;
    return PARTITA_OK;
}

partita_status pt_graph_add_output(pt_model *model, pt_id graph, pt_id value) {
    if (!pt_array_push(&model->graphs.data[graph].outputs, value)) return PT_OUT_OF_MEMORY();
    pt_value_at(model, value)->is_output = true;
    return PARTITA_OK;
}
