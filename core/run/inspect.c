/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `partita inspect --json` prints of a model: what its file holds, whatever passes made of it.
 */
#include "op/schema.h"
#include "plan/json_text.h"
#include "run/context.h"

static void set_property(json_t *object, const pt_property *property) {
    json_t *key = pt_json_text(property->key);
    json_object_set_new(object, json_string_value(key), pt_json_text(property->value));
    json_decref(key);
}

static json_t *shape_of(const partita_value_info *info) {
    if (info->rank < 0) return json_null();
    json_t *shape = json_array();
    for (int32_t i = 0; i < info->rank; i++) {
        const char *name = info->dim_names[i];
        if (info->dims[i] >= 0)
            json_array_append_new(shape, json_integer(info->dims[i]));
        else
            json_array_append_new(shape, pt_json_text(pt_str(name[0] ? name : "?")));
    }
    return shape;
}

static json_t *values_of(const partita_value_info *infos, uint32_t count) {
    static const char *const kinds[PARTITA_KIND_COUNT] = {
#define X(name, number, text) [number] = text,
        PARTITA_KIND_ROWS(X)
#undef X
    };
    json_t *rows = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_t *row = json_object();
        json_object_set_new(row, "name", pt_json_text(pt_str(infos[i].name)));
        json_object_set_new(row, "kind", json_string(kinds[infos[i].kind]));
        json_object_set_new(row, "dtype", json_string(pt_dtype_name(infos[i].dtype)));
        json_object_set_new(row, "shape", shape_of(&infos[i]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *operators_of(const pt_model *model) {
    json_t *rows = json_object();
    for (size_t i = 0; i < model->sources.size; i++) {
        const pt_source *source = &model->sources.data[i];
        pt_text key = {0};
        pt_text_append_clean(&key, source->domain, false);
        if (source->domain.size) pt_text_append(&key, PT_STR("."));
        pt_text_append_clean(&key, source->op, false);
        const char *name = key.data ? key.data : "";
        json_int_t count = json_integer_value(json_object_get(rows, name));
        json_object_set_new(rows, name, json_integer(count + 1));
        pt_text_deinit(&key);
    }
    return rows;
}

static void count_weights(const pt_model *model, uint64_t *out_parameters, uint64_t *out_bytes) {
    *out_parameters = *out_bytes = 0;
    for (size_t i = 0; i < model->values.size; i++) {
        const pt_value *value = &model->values.data[i];
        if (value->dead || !value->constant) continue;
        *out_parameters += value->constant->count;
        if (value->constant->weight) *out_bytes += value->constant->weight->bytes;
    }
}

/* At the exact dims of the model, 1 for each symbolic one. */
static uint64_t count_flops(const pt_model *model) {
    uint64_t flops = 0;
    size_t count = model->symbols.rows.size;
    int64_t *symbols = pt_calloc(count + 1, sizeof(*symbols));
    if (!symbols) return 0;
    for (size_t i = 0; i < count; i++) symbols[i] = model->symbols.rows.data[i].op == PT_DIM_BASE ? 1 : PT_DIM_UNKNOWN;
    pt_symbols_evaluate(&model->symbols, symbols);
    for (pt_id i = 0; i < model->nodes.size; i++)
        if (!model->nodes.data[i].dead) flops += pt_node_flops(model, i, symbols);
    pt_free(symbols);
    return flops;
}

partita_status partita_model_inspect(const partita_model *model, char **out_json) {
    PT_REQUIRE(model && out_json);
    const pt_model *graph = model->graph;
    partita_status status = PARTITA_OK;
    uint64_t parameters, bytes;
    count_weights(graph, &parameters, &bytes);
    json_t *document = json_object(), *opsets = json_array(), *metadata = json_object();
    for (size_t i = 0; i < graph->opsets.size; i++) {
        json_t *row = json_object();
        json_object_set_new(row, "domain", pt_json_text(graph->opsets.data[i].domain));
        json_object_set_new(row, "version", json_integer(graph->opsets.data[i].version));
        json_array_append_new(opsets, row);
    }
    for (size_t i = 0; i < graph->metadata.size; i++) set_property(metadata, &graph->metadata.data[i]);
    json_object_set_new(document, "schema", json_integer(1));
    json_object_set_new(document, "ir_version", json_integer(graph->ir_version));
    json_object_set_new(document, "producer", pt_json_text(graph->producer_name));
    json_object_set_new(document, "graph", pt_json_text(graph->graph_name));
    json_object_set_new(document, "inputs", values_of(model->inputs, partita_model_input_count(model)));
    json_object_set_new(document, "outputs", values_of(model->outputs, partita_model_output_count(model)));
    json_object_set_new(document, "opsets", opsets);
    json_object_set_new(document, "operators", operators_of(graph));
    json_object_set_new(document, "nodes", json_integer((json_int_t)graph->sources.size));
    json_object_set_new(document, "parameters", json_integer((json_int_t)parameters));
    json_object_set_new(document, "weight_bytes", json_integer((json_int_t)bytes));
    json_object_set_new(document, "flops", json_integer((json_int_t)count_flops(graph)));
    json_object_set_new(document, "metadata", metadata);
    char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    if (!text) return PT_OUT_OF_MEMORY();
    size_t size = strlen(text) + 1;
    *out_json = pt_malloc(size);
    if (*out_json)
        memcpy(*out_json, text, size);
    else
        status = PT_OUT_OF_MEMORY();
    free(text);
    return status;
}
