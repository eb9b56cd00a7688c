/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models of the application: loaded, checked, inferred, optimised, and described.
 */
#include "gradient/gradient.h"
#include "onnx/reader.h"
#include "op/schema.h"
#include "run/context.h"
#include "run/fold.h"
#include "run/value.h"
#include <stdatomic.h>

void pt_model_retain(partita_model *model) { atomic_fetch_add_explicit(&model->references, 1, memory_order_relaxed); }

void partita_model_destroy(partita_model *model) {
    if (!model || atomic_fetch_sub_explicit(&model->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; model->defaults && i < partita_model_input_count(model); i++)
        partita_value_release(model->defaults[i]);
    pt_model_destroy(model->graph);
    pt_arena_deinit(&model->arena);
    partita_model_destroy(model->origin);
    partita_context_destroy(model->context);
    pt_free(model);
}

static const char *keep(pt_arena *arena, partita_str text, bool *failed) {
    const char *copy = pt_arena_str(arena, text).data;
    if (!copy) *failed = true;
    return copy ? copy : "";
}

static partita_status describe_value(partita_model *model, pt_id id, partita_value_info *info) {
    const pt_value *value = &model->graph->values.data[id];
    const pt_type *type = &value->type, *tensor = type;
    bool failed = false;
    *info = (partita_value_info){.size = sizeof(*info), .kind = type->kind, .rank = -1};
    info->name = keep(&model->arena, value->name, &failed);
    info->key_dtype = type->key_dtype;
    while (tensor->element && tensor->kind != PARTITA_KIND_MAP) tensor = tensor->element;
    info->dtype = tensor->dtype;
    info->element = type->element ? type->element->kind : PARTITA_KIND_NONE;
    if (type->rank >= 0 && (type->kind == PARTITA_KIND_TENSOR || type->kind == PARTITA_KIND_SPARSE)) {
        int64_t *dims = pt_arena_array(&model->arena, (size_t)type->rank + 1, sizeof(*dims));
        const char **names = pt_arena_array(&model->arena, (size_t)type->rank + 1, sizeof(*names));
        if (!dims || !names) return PT_OUT_OF_MEMORY();
        for (int32_t i = 0; i < type->rank; i++) {
            bool exact = pt_dim_is_exact(type->dims[i]);
            dims[i] = exact ? type->dims[i] : -1;
            names[i] = exact ? ""
                             : keep(&model->arena, model->graph->symbols.rows.data[pt_dim_symbol(type->dims[i])].name,
                                    &failed);
        }
        info->rank = type->rank;
        info->dims = dims;
        info->dim_names = names;
    }
    return failed ? PT_OUT_OF_MEMORY() : PARTITA_OK;
}

static partita_status describe(partita_model *model) {
    const pt_graph *graph = &model->graph->graphs.data[0];
    model->inputs = pt_arena_array(&model->arena, graph->inputs.size + 1, sizeof(*model->inputs));
    model->outputs = pt_arena_array(&model->arena, graph->outputs.size + 1, sizeof(*model->outputs));
    if (!model->inputs || !model->outputs) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < graph->inputs.size; i++)
        PT_TRY(describe_value(model, graph->inputs.data[i], &model->inputs[i]));
    for (size_t i = 0; i < graph->outputs.size; i++)
        PT_TRY(describe_value(model, graph->outputs.data[i], &model->outputs[i]));
    return PARTITA_OK;
}

static partita_status make_defaults(partita_model *model) {
    const pt_graph *graph = &model->graph->graphs.data[0];
    model->defaults = pt_arena_array(&model->arena, graph->inputs.size + 1, sizeof(*model->defaults));
    if (!model->defaults) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < graph->inputs.size; i++) {
        const pt_tensor *preset = model->graph->values.data[graph->inputs.data[i]].preset;
        if (!preset) continue;
        PT_TRY(pt_value_create_constant(preset, &model->defaults[i]));
        model->inputs[i].has_default = 1;
        model->has_defaults = true;
    }
    return PARTITA_OK;
}

static partita_status find_operator(void *user, partita_str domain, partita_str name, int64_t version,
                                    const pt_schema **out_schema) {
    return pt_registry_operator(user, domain, name, version, out_schema);
}

pt_schema_source pt_context_schemas(partita_context *context) {
    return (pt_schema_source){find_operator, context->registry};
}

/* The object around a graph, which is taken over. */
static partita_status create(partita_context *context, pt_model *graph, bool optimized, partita_model **out_model) {
    partita_model *model = pt_calloc(1, sizeof(*model));
    if (!model) {
        pt_model_destroy(graph);
        return PT_OUT_OF_MEMORY();
    }
    atomic_init(&model->references, 1);
    pt_context_retain(context);
    model->context = context;
    model->graph = graph;
    model->optimized = optimized;
    *out_model = model;
    return PARTITA_OK;
}

/* Nobody knows what a later opset says of an operator that is in this one too. */
static void warn_of_opset(const partita_context *context, const pt_model *graph) {
    for (size_t i = 0; i < graph->opsets.size; i++) {
        const pt_opset *opset = &graph->opsets.data[i];
        if (opset->domain.size == 0 && opset->version > PT_NEWEST_OPSET)
            pt_log_to(
                &context->log, PARTITA_LOG_WARNING,
                "opset-newer: the model imports opset %lld of ai.onnx; its operators are read as those of %d, the "
                "newest one of this version",
                (long long)opset->version, PT_NEWEST_OPSET);
    }
}

/* From an imported graph, which is taken over, to a model. */
static partita_status prepare(partita_context *context, pt_model *graph, const partita_model_options *options,
                              partita_model **out_model) {
    const pt_schema_source source = pt_context_schemas(context);
    partita_status status;
    partita_model *model;
    PT_TRY(create(context, graph, !PT_OPTION(options, partita_model_options, optimize), &model));
    warn_of_opset(context, graph);
    PT_CHECK(pt_model_check_with(graph, &source));
    PT_CHECK(pt_model_infer(graph));
    PT_CHECK(pt_model_expand_gradients(graph));
    PT_CHECK(pt_model_infer_bodies(graph, &source));
    if (model->optimized) PT_CHECK(pt_model_optimize(graph, context->registry));
    PT_CHECK(describe(model));
    PT_CHECK(make_defaults(model));
    *out_model = model;
    model = NULL;
out:
    partita_model_destroy(model);
    return status;
}

partita_status pt_model_derive(partita_model *model, pt_model *graph, partita_model **out_model) {
    partita_status status;
    partita_model *derived;
    PT_TRY(create(model->context, graph, model->optimized, &derived));
    pt_model_retain(model);
    derived->origin = model;
    if (derived->optimized) PT_CHECK(pt_model_optimize(graph, model->context->registry));
    PT_CHECK(describe(derived));
    PT_CHECK(make_defaults(derived));
    *out_model = derived;
    derived = NULL;
out:
    partita_model_destroy(derived);
    return status;
}

static pt_onnx_options reader_options(const partita_model_options *options) {
    return (pt_onnx_options){.copy_weights = PT_OPTION(options, partita_model_options, copy_weights) != 0,
                             .memory_budget = PT_OPTION(options, partita_model_options, memory_budget),
                             .overridable = PT_OPTION(options, partita_model_options, overridable),
                             .overridable_count = PT_OPTION(options, partita_model_options, overridable_count)};
}

static partita_status check_overridable(const pt_onnx_options *reader) {
    PT_REQUIRE(reader->overridable || !reader->overridable_count);
    for (uint32_t i = 0; i < reader->overridable_count; i++) PT_REQUIRE(reader->overridable[i]);
    return PARTITA_OK;
}

partita_status partita_model_load_file(partita_context *context, const char *path, const partita_model_options *options,
                                       partita_model **out_model) {
    pt_onnx_options reader = reader_options(options);
    pt_model *graph;
    PT_REQUIRE(context && path && out_model);
    PT_TRY(check_overridable(&reader));
    PT_TRY(pt_onnx_load_file(path, &reader, &graph));
    partita_status status = prepare(context, graph, options, out_model);
    return status == PARTITA_OK ? status : pt_annotate(status, "%s", path);
}

partita_status partita_model_load_memory(partita_context *context, const void *data, uint64_t bytes,
                                         const partita_model_options *options, partita_model **out_model) {
    pt_onnx_options reader = reader_options(options);
    pt_model *graph;
    bool copy = !PT_OPTION(options, partita_model_options, borrow);
    PT_REQUIRE(context && data && out_model);
    PT_TRY(check_overridable(&reader));
    PT_TRY(
        pt_onnx_load_memory(data, bytes, copy, PT_OPTION(options, partita_model_options, base_dir), &reader, &graph));
    return prepare(context, graph, options, out_model);
}

uint32_t partita_model_input_count(const partita_model *model) {
    return model ? (uint32_t)model->graph->graphs.data[0].inputs.size : 0;
}
uint32_t partita_model_output_count(const partita_model *model) {
    return model ? (uint32_t)model->graph->graphs.data[0].outputs.size : 0;
}
const partita_value_info *partita_model_input(const partita_model *model, uint32_t index) {
    return index < partita_model_input_count(model) ? &model->inputs[index] : NULL;
}
const partita_value_info *partita_model_output(const partita_model *model, uint32_t index) {
    return index < partita_model_output_count(model) ? &model->outputs[index] : NULL;
}

const char *partita_model_metadata(const partita_model *model, const char *key) {
    for (size_t i = 0; model && key && i < model->graph->metadata.size; i++)
        if (pt_str_is(model->graph->metadata.data[i].key, key)) return model->graph->metadata.data[i].value.data;
    return NULL;
}
uint32_t partita_model_metadata_count(const partita_model *model) {
    return model ? (uint32_t)model->graph->metadata.size : 0;
}
void partita_model_metadata_at(const partita_model *model, uint32_t index, const char **out_key,
                               const char **out_value) {
    const bool known = index < partita_model_metadata_count(model);
    if (out_key) *out_key = known ? model->graph->metadata.data[index].key.data : NULL;
    if (out_value) *out_value = known ? model->graph->metadata.data[index].value.data : NULL;
}
