/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes and constants of derivatives: made, checked and inferred at once, so that the next formula knows their types.
 */
#include "gradient/build.h"

#include <partita/plugin.h>
#include <stdio.h>

pt_id pt_grad_fail(pt_grad *g, const char *format, ...) {
    char text[512];
    va_list arguments;
    if (g->status != PARTITA_OK) return PT_NONE;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    g->status = pt_fail(PARTITA_UNSUPPORTED, "%s", text);
    return PT_NONE;
}

bool pt_grad_failed(const pt_grad *g) { return g->status != PARTITA_OK; }

/* Takes a status in; true when all is well. */
static bool fine(pt_grad *g, partita_status status) {
    if (g->status == PARTITA_OK) g->status = status;
    return g->status == PARTITA_OK;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static partita_status finish(pt_grad *g, pt_id node) {
    PT_TRY(pt_node_take_sources(g->model, node, g->node));
    PT_TRY(pt_node_check(g->model, node));
    return pt_node_infer(g->model, node);
}

static partita_status emit(pt_grad *g, const char *op, const pt_id *inputs, uint32_t input_count,
                           const pt_attribute *attributes, uint32_t attribute_count, pt_id *out_values,
                           uint32_t output_count) {
    pt_id node;
    while (input_count && inputs[input_count - 1] == PT_NONE) input_count--;
    for (uint32_t i = 0; i < output_count; i++) {
        PT_TRY(pt_model_add_value(g->model, g->graph, PT_STR(""), NULL, &out_values[i]));
    }
    PT_TRY(pt_model_add_node(g->model, g->graph, pt_str(op), PT_STR(""), g->version, inputs, input_count, out_values,
                             output_count, &node));
    for (uint32_t i = 0; i < attribute_count; i++) PT_TRY(pt_node_set_attribute(g->model, node, &attributes[i]));
    return finish(g, node);
}

void pt_grad_emit(pt_grad *g, const char *op, const pt_id *inputs, uint32_t input_count, const pt_attribute *attributes,
                  uint32_t attribute_count, pt_id *out_values, uint32_t output_count) {
    bool made = !pt_grad_failed(g) &&
                fine(g, emit(g, op, inputs, input_count, attributes, attribute_count, out_values, output_count));
    for (uint32_t i = 0; i < output_count && !made; i++) out_values[i] = PT_NONE;
}

pt_id pt_grad_op(pt_grad *g, const char *op, const pt_id *inputs, uint32_t count, const pt_attribute *attributes,
                 uint32_t attribute_count) {
    pt_id value;
    pt_grad_emit(g, op, inputs, count, attributes, attribute_count, &value, 1);
    return value;
}

pt_id pt_grad_unary(pt_grad *g, const char *op, pt_id x) { return pt_grad_op(g, op, &x, 1, NULL, 0); }

pt_id pt_grad_binary(pt_grad *g, const char *op, pt_id a, pt_id b) {
    return pt_grad_op(g, op, (pt_id[]){a, b}, 2, NULL, 0);
}

static partita_status clone(pt_grad *g, pt_id node, const pt_id *inputs, uint32_t input_count, const char *drop,
                            pt_id *out_values) {
    pt_model *model = g->model;
    partita_str op = pt_node_at(model, node)->op, domain = pt_node_at(model, node)->domain;
    uint32_t outputs = pt_node_at(model, node)->output_count;
    int32_t version = pt_node_at(model, node)->version;
    pt_id copy;
    for (uint32_t i = 0; i < outputs; i++) {
        out_values[i] = PT_NONE;
        if (pt_node_at(model, node)->outputs[i] == PT_NONE) continue;
        PT_TRY(pt_model_add_value(model, g->graph, PT_STR(""), NULL, &out_values[i]));
    }
    PT_TRY(pt_model_add_node(model, g->graph, op, domain, version, inputs, input_count, out_values, outputs, &copy));
    pt_node_at(model, copy)->schema = pt_node_at(model, node)->schema;
    for (uint32_t i = 0; i < pt_node_at(model, node)->attribute_count; i++) {
        const pt_attribute *attribute = &pt_node_at(model, node)->attributes[i];
        if (drop && pt_str_is(attribute->name, drop)) continue;
        PT_TRY(pt_node_set_attribute(model, copy, attribute));
    }
    PT_TRY(pt_node_take_sources(model, copy, g->node));
    return pt_node_infer(model, copy);
}

void pt_grad_clone(pt_grad *g, pt_id node, const pt_id *inputs, uint32_t input_count, const char *drop,
                   pt_id *out_values) {
    bool made = !pt_grad_failed(g) && fine(g, clone(g, node, inputs, input_count, drop, out_values));
    for (uint32_t i = 0; i < pt_node_at(g->model, node)->output_count && !made; i++) out_values[i] = PT_NONE;
}

pt_id pt_grad_again(pt_grad *g, pt_id node, const pt_id *inputs, uint32_t input_count, const char *drop) {
    pt_id *outputs = pt_arena_array(&g->scratch, (size_t)pt_node_at(g->model, node)->output_count + 1, sizeof *outputs);
    if (!outputs) {
        fine(g, PT_OUT_OF_MEMORY());
        return PT_NONE;
    }
    pt_grad_clone(g, node, inputs, input_count, drop, outputs);
    return outputs[0];
}

static partita_status add_output(pt_grad *g, pt_id node, uint32_t output) {
    pt_node *row = pt_node_at(g->model, node);
    uint32_t count = PT_MAX(row->output_count, output + 1);
    pt_id value, *outputs = pt_arena_array(&g->model->arena, count, sizeof *outputs);
    if (!outputs) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) outputs[i] = i < row->output_count ? row->outputs[i] : PT_NONE;
    PT_TRY(pt_model_add_value(g->model, row->graph, PT_STR(""), NULL, &value));
    outputs[output] = value;
    row->outputs = outputs;
    row->output_count = count;
    pt_value_at(g->model, value)->producer = node;
    pt_value_at(g->model, value)->output = output;
    return pt_node_infer(g->model, node);
}

pt_id pt_grad_output(pt_grad *g, pt_id node, uint32_t output) {
    const pt_node *row = pt_node_at(g->model, node);
    if (pt_grad_failed(g)) return PT_NONE;
    bool there = output < row->output_count && row->outputs[output] != PT_NONE;
    if (!there && !fine(g, add_output(g, node, output))) return PT_NONE;
    return pt_node_at(g->model, node)->outputs[output];
}

pt_attribute pt_grad_int(const char *name, int64_t value) {
    return (pt_attribute){.name = pt_str(name), .type = PTP_ATTRIBUTE_INT, .count = 1, .i = value};
}

pt_attribute pt_grad_string(const char *name, const char *value) {
    return (pt_attribute){.name = pt_str(name), .type = PTP_ATTRIBUTE_STRING, .count = 1, .s = pt_str(value)};
}

pt_attribute pt_grad_list(pt_grad *g, const char *name, const int64_t *values, uint32_t count) {
    int64_t *copy = pt_arena_array(&g->model->arena, (size_t)count + 1, sizeof *copy);
    if (!copy) {
        fine(g, PT_OUT_OF_MEMORY());
        count = 0;
    } else if (count) {
        memcpy(copy, values, count * sizeof *copy);
    }
    return (pt_attribute){.name = pt_str(name), .type = PTP_ATTRIBUTE_INTS, .count = count, .ints = copy};
}

/* ---- constants ------------------------------------------------------------------------------- */

static partita_status constant(pt_grad *g, partita_dtype dtype, uint32_t rank, const int64_t *dims, const void *data,
                               size_t bytes, pt_id *out_value) {
    pt_weight *weight;
    pt_tensor *tensor;
    void *copy = pt_malloc_aligned(bytes ? bytes : 1, 64);
    if (!copy) return PT_OUT_OF_MEMORY();
    if (bytes) memcpy(copy, data, bytes);
    PT_TRY(pt_weight_create_owned(copy, bytes, &weight));
    PT_TRY(pt_model_add_tensor(g->model, dtype, rank, dims, weight, &tensor));
    PT_TRY(pt_model_add_value(g->model, g->graph, PT_STR(""), NULL, out_value));
    return pt_value_set_constant(g->model, *out_value, tensor);
}

pt_id pt_grad_scalar(pt_grad *g, partita_dtype dtype, double value) {
    float single = (float)value;
    pt_id made = PT_NONE;
    if (pt_grad_failed(g)) return PT_NONE;
    if (dtype == PARTITA_FLOAT64) {
        return fine(g, constant(g, dtype, 0, NULL, &value, sizeof value, &made)) ? made : PT_NONE;
    }
    if (!fine(g, constant(g, PARTITA_FLOAT32, 0, NULL, &single, sizeof single, &made))) return PT_NONE;
    return pt_grad_cast(g, made, dtype);
}

pt_id pt_grad_scalar_int(pt_grad *g, int64_t value) {
    pt_id made = PT_NONE;
    if (pt_grad_failed(g)) return PT_NONE;
    return fine(g, constant(g, PARTITA_INT64, 0, NULL, &value, sizeof value, &made)) ? made : PT_NONE;
}

pt_id pt_grad_ints(pt_grad *g, const int64_t *values, uint32_t count) {
    int64_t dim = count;
    pt_id made = PT_NONE;
    if (pt_grad_failed(g)) return PT_NONE;
    return fine(g, constant(g, PARTITA_INT64, 1, &dim, values, count * sizeof *values, &made)) ? made : PT_NONE;
}

pt_id pt_grad_range(pt_grad *g, int64_t first, int64_t last) {
    int64_t values[2 * PT_GRAD_RANK_MAX];
    uint32_t count = 0;
    for (int64_t i = first; i < last && count < PT_COUNT_OF(values); i++) values[count++] = i;
    return pt_grad_ints(g, values, count);
}

/* ---- types ----------------------------------------------------------------------------------- */

const pt_type *pt_grad_type(const pt_grad *g, pt_id value) {
    static const pt_type nothing = {.rank = -1};
    return value == PT_NONE ? &nothing : &pt_value_at(g->model, value)->type;
}

partita_dtype pt_grad_dtype(const pt_grad *g, pt_id value) {
    return value == PT_NONE ? PARTITA_UNDEFINED : pt_grad_type(g, value)->dtype;
}

int32_t pt_grad_rank(pt_grad *g, pt_id value) {
    if (pt_grad_failed(g) || value == PT_NONE) return 0;
    const pt_type *type = pt_grad_type(g, value);
    if (type->kind == PARTITA_KIND_TENSOR && type->rank >= 0 && type->rank <= PT_GRAD_RANK_MAX) return type->rank;
    partita_str name = pt_value_at(g->model, value)->name;
    pt_grad_fail(g, "the rank of '%.*s' is not known", PT_STR_ARG(name));
    return 0;
}

bool pt_grad_is_float(partita_dtype dtype) {
    return dtype == PARTITA_FLOAT32 || dtype == PARTITA_FLOAT64 || dtype == PARTITA_FLOAT16 ||
           dtype == PARTITA_BFLOAT16;
}

int64_t pt_grad_axis(pt_grad *g, pt_id node, int64_t otherwise, int64_t rank) {
    int64_t axis = pt_node_int(pt_node_at(g->model, node), "axis", otherwise);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis > rank) pt_grad_fail(g, "attribute 'axis' is out of range");
    return pt_grad_failed(g) ? 0 : axis;
}
