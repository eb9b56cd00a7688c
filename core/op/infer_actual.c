/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes of one node's outputs in a run: the same functions on exact dims and host data, with symbols of their own, so
 * that the model is only read.
 */
#include "op/infer_run.h"

#include <math.h>

bool pt_infer_dtype_is_float(partita_dtype dtype) {
    return dtype == PARTITA_FLOAT32 || dtype == PARTITA_FLOAT64 || dtype == PARTITA_FLOAT16 ||
           dtype == PARTITA_BFLOAT16;
}

/* Up to here every whole number is a float of its own. */
#define WHOLE_MAX 16777216.0

/* One element as a number; false when the type has none or it is no whole number. */
static bool element_at(partita_dtype dtype, const void *data, uint32_t index, int64_t *out_number) {
#define READ(name, ctype)                                                                                              \
    case PARTITA_##name: {                                                                                             \
        ctype element;                                                                                                 \
        memcpy(&element, (const char *)data + (size_t)index * sizeof element, sizeof element);                         \
        *out_number = (int64_t)element;                                                                                \
        return true;                                                                                                   \
    }
#define READ_REAL(name, ctype)                                                                                         \
    case PARTITA_##name: {                                                                                             \
        ctype element;                                                                                                 \
        memcpy(&element, (const char *)data + (size_t)index * sizeof element, sizeof element);                         \
        if (!(fabs((double)element) <= WHOLE_MAX) || element != floor((double)element)) return false;                  \
        *out_number = (int64_t)element;                                                                                \
        return true;                                                                                                   \
    }
    switch (dtype) {
        READ(INT64, int64_t)
        READ(INT32, int32_t)
        READ(INT16, int16_t)
        READ(INT8, int8_t)
        READ(UINT32, uint32_t)
        READ(UINT16, uint16_t)
        READ(UINT8, uint8_t)
        READ(BOOL, uint8_t)
        READ_REAL(FLOAT32, float)
        READ_REAL(FLOAT64, double)
    case PARTITA_UINT64: {
        uint64_t element;
        memcpy(&element, (const char *)data + (size_t)index * sizeof element, sizeof element);
        *out_number = (int64_t)element;
        return element <= INT64_MAX;
    }
    default: return false;
    }
#undef READ
#undef READ_REAL
}

partita_status pt_infer_elements(pt_symbols *symbols, partita_dtype dtype, const void *data, uint32_t count,
                                 pt_dim *out_elements, bool *out_any) {
    *out_any = count == 0 && pt_dtype_bits(dtype) >= 8;
    for (uint32_t i = 0; i < count; i++) {
        int64_t number = 0;
        out_elements[i] = PT_DIM_UNKNOWN;
        if (!element_at(dtype, data, i, &number) || number == INT64_MIN) continue;
        PT_TRY(pt_dim_exact(symbols, number, &out_elements[i]));
        *out_any = true;
    }
    return PARTITA_OK;
}

void pt_infer_drop_odd(pt_infer_value *value) {
    int64_t count;
    if (value->small && pt_infer_count(value, &count) && count == value->small_count) return;
    value->small = NULL;
    value->small_count = 0;
}

/* Dims of the model that are numbers stay numbers; symbols mean nothing in the run's own table. */
static void keep_exact(const pt_model *model, pt_infer *infer, const pt_dim *from, uint32_t count, pt_dim *to) {
    for (uint32_t i = 0; i < count; i++) {
        int64_t number = 0;
        to[i] = pt_dim_value(&model->symbols, from[i], &number) ? pt_infer_number(infer, number) : PT_DIM_UNKNOWN;
    }
}

/* `shaped` NULL: not given. */
static partita_status load_actual(pt_infer *infer, pt_id id, const pt_shaped *shaped, pt_infer_value *out) {
    pt_infer_from_type(NULL, out);
    if (id == PT_NONE || !shaped) return PARTITA_OK;
    const pt_value *value = pt_value_at(infer->model, id);
    const pt_tensor *tensor = pt_infer_constant(infer->model, id);
    if (tensor && (tensor->sparse_indices || tensor->dtype == PARTITA_STRING || !tensor->weight)) tensor = NULL;
    out->kind = shaped->kind;
    out->dtype = shaped->dtype;
    out->key_dtype = value->type.key_dtype;
    out->element = value->type.element;
    out->rank = shaped->rank;
    if (shaped->rank > PT_RANK_MAX) {
        return pt_infer_fail(infer, "an input has rank %d, more than %d", shaped->rank, PT_RANK_MAX);
    }
    for (int32_t i = 0; i < shaped->rank; i++) out->dims[i] = shaped->dims[i] < 0 ? PT_DIM_UNKNOWN : shaped->dims[i];
    int64_t count = 0;
    if (shaped->dtype != PARTITA_STRING && shaped->kind == PARTITA_KIND_TENSOR && pt_infer_count(out, &count)) {
        out->data = shaped->data;
        bool constant = tensor && tensor->dtype == shaped->dtype && tensor->count == (uint64_t)count;
        if (!out->data && constant) out->data = tensor->weight->data;
        out->data_count = out->data ? (uint64_t)count : 0;
    }
    uint32_t small_count = out->data ? (uint32_t)PT_MIN(count, PT_SMALL_MAX + 1) : value->small_count;
    if ((!out->data && !value->small) || small_count > PT_SMALL_MAX) return PARTITA_OK;
    bool any = true;
    pt_dim *small = pt_arena_array(infer->scratch, small_count, sizeof *small);
    if (!small) return PT_OUT_OF_MEMORY();
    if (out->data) {
        PT_TRY(pt_infer_elements(infer->symbols, out->dtype, out->data, small_count, small, &any));
    } else {
        keep_exact(infer->model, infer, value->small, small_count, small);
    }
    if (!any) return PARTITA_OK;
    out->small = small;
    out->small_count = small_count;
    pt_infer_drop_odd(out);
    return PARTITA_OK;
}

static partita_status give(pt_infer *infer, const pt_infer_value *value, pt_shaped *out, int64_t *out_dims) {
    *out = (pt_shaped){.kind = value->kind, .dtype = value->dtype, .rank = value->rank, .dims = out_dims};
    for (int32_t i = 0; i < value->rank; i++) {
        if (!pt_infer_exact(infer, value->dims[i], &out_dims[i])) {
            out_dims[i] = -1;
        } else if (out_dims[i] < 0) {
            return pt_infer_fail(infer, "a dim of %lld", (long long)out_dims[i]);
        }
    }
    return PARTITA_OK;
}

/* What the model itself says, for operators whose outputs cannot be told from the inputs alone. */
static void load_declared(pt_infer *infer, uint32_t output) {
    pt_id id = infer->node->outputs[output];
    if (id == PT_NONE) return;
    const pt_type *type = &pt_value_at(infer->model, id)->type;
    pt_infer_value *value = &infer->outputs[output];
    pt_infer_from_type(type, value);
    if (value->rank > 0) keep_exact(infer->model, infer, type->dims, (uint32_t)value->rank, value->dims);
}

static partita_status infer_actual(pt_infer *infer, const pt_shaped *inputs, uint32_t input_count) {
    const pt_node *node = infer->node;
    const pt_schema *schema = node->schema;
    for (uint32_t i = 0; i < node->input_count; i++) {
        PT_TRY(load_actual(infer, node->inputs[i], i < input_count ? &inputs[i] : NULL, &infer->inputs[i]));
    }
    for (uint32_t i = 0; i < node->output_count; i++) pt_infer_from_type(NULL, &infer->outputs[i]);
    if (schema && schema->infer && !(schema->flags & PT_OP_CONTROL_FLOW)) return pt_infer_call(infer, schema);
    for (uint32_t i = 0; i < node->output_count; i++) load_declared(infer, i);
    return infer->status;
}

partita_status pt_node_infer_actual(const pt_model *model, pt_id id, const pt_shaped *inputs, uint32_t input_count,
                                    pt_shaped *out_shapes, int64_t *out_dims, uint32_t output_count) {
    const pt_node *node = pt_node_at(model, id);
    pt_arena scratch = {0};
    pt_symbols symbols = {0};
    pt_infer infer = {.model = model,
                      .node = node,
                      .node_id = id,
                      .since = node->schema ? node->schema->since : 0,
                      .symbols = &symbols,
                      .scratch = &scratch,
                      .input_count = node->input_count,
                      .output_count = node->output_count,
                      .nothing = {.rank = -1}};
    partita_status status = PARTITA_OK;
    size_t need = (size_t)node->input_count + node->output_count;
    infer.inputs = pt_arena_array(&scratch, need, sizeof *infer.inputs);
    if (!infer.inputs) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    infer.outputs = infer.inputs + node->input_count;
    status = infer_actual(&infer, inputs, input_count);
    for (uint32_t i = 0; i < output_count && status == PARTITA_OK; i++) {
        pt_infer_value *value = i < node->output_count ? &infer.outputs[i] : &infer.nothing;
        status = give(&infer, value, &out_shapes[i], &out_dims[(size_t)i * PT_RANK_MAX]);
    }
    if (status == PARTITA_BAD_MODEL) status = PARTITA_BAD_INPUT;
    if (status != PARTITA_OK) {
        partita_str name = pt_node_name(model, id);
        pt_annotate(status, "node '%.*s' (%.*s)", PT_STR_ARG(name), PT_STR_ARG(node->op));
    }
out:
    pt_symbols_deinit(&symbols);
    pt_arena_deinit(&scratch);
    return status;
}
