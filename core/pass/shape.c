/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that inference knows as exact numbers become constants: chains of Shape, Gather and Concat vanish where dims
 * are exact.
 */
#include "pass/rewrite.h"

/* The numbers of a small value; false when one is no exact number, or they don't fill its dims. */
static bool exact_numbers(const pt_model *model, const pt_value *value, int64_t *numbers, int64_t *dims) {
    const pt_type *type = &value->type;
    uint64_t count;
    if (!value->small || type->kind != PARTITA_KIND_TENSOR || type->rank < 0 || type->rank > PT_SMALL_MAX) return false;
    for (int32_t i = 0; i < type->rank; i++) {
        if (!pt_dim_value(&model->symbols, type->dims[i], &dims[i])) return false;
    }
    if (!pt_dims_count(dims, (uint32_t)type->rank, &count) || count != value->small_count) return false;
    for (uint32_t i = 0; i < value->small_count; i++) {
        if (!pt_dim_value(&model->symbols, value->small[i], &numbers[i])) return false;
    }
    return true;
}

/* Bytes of an integer type whose elements can be written as the low bytes of a number; 0 for others. */
static uint32_t integer_bytes(partita_dtype dtype) {
    switch (dtype) {
    case PARTITA_BOOL:
    case PARTITA_INT8:
    case PARTITA_UINT8: return 1;
    case PARTITA_INT16:
    case PARTITA_UINT16: return 2;
    case PARTITA_INT32:
    case PARTITA_UINT32: return 4;
    case PARTITA_INT64:
    case PARTITA_UINT64: return 8;
    default: return 0;
    }
}

static partita_status make_constant(pt_model *model, pt_id value, const int64_t *numbers, const int64_t *dims) {
    const pt_value *row = pt_value_at(model, value);
    uint32_t size = integer_bytes(row->type.dtype);
    size_t bytes = (size_t)row->small_count * size;
    pt_weight *weight = NULL;
    pt_tensor *tensor;
    char *data = pt_malloc(bytes ? bytes : 1);
    if (!data) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < row->small_count; i++) memcpy(data + (size_t)i * size, &numbers[i], size);
    PT_TRY(pt_weight_create_owned(data, bytes, &weight));
    PT_TRY(pt_model_add_tensor(model, row->type.dtype, (uint32_t)row->type.rank, dims, weight, &tensor));
    return pt_value_set_constant(model, value, tensor);
}

/* The numbers of output i when they are known to the last one. */
static bool is_known(const pt_model *model, const pt_node *node, uint32_t i, int64_t *numbers, int64_t *dims) {
    const pt_value *value = pt_value_at(model, node->outputs[i]);
    return integer_bytes(value->type.dtype) && exact_numbers(model, value, numbers, dims);
}

/* The node stays and must go on computing all that its operator says (Split needs all its pieces): a copy of the value
 * is what is read instead. */
static partita_status read_copy(pt_pass_run *run, pt_id value, const int64_t *numbers, const int64_t *dims) {
    pt_model *model = run->model;
    const pt_value *row = pt_value_at(model, value);
    if (row->uses.size == 0 || row->is_output) return PARTITA_OK;
    pt_type type = row->type;
    pt_dim *small = row->small;
    uint32_t small_count = row->small_count;
    pt_id copy;
    PT_TRY(pt_model_add_value(model, row->graph, PT_STR(""), &type, &copy));
    pt_value_at(model, copy)->small = small;
    pt_value_at(model, copy)->small_count = small_count;
    PT_TRY(make_constant(model, copy, numbers, dims));
    run->changes++;
    return pt_value_replace_uses(model, value, copy);
}

static partita_status visit(pt_pass_run *run, pt_id id) {
    pt_model *model = run->model;
    const pt_node *node = pt_node_at(model, id);
    int64_t numbers[PT_SMALL_MAX], dims[PT_SMALL_MAX];
    uint32_t left = 0, made = 0;
    if (!node->schema || !(node->schema->flags & PT_OP_PURE)) return PARTITA_OK;
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] == PT_NONE) continue;
        *(is_known(model, node, i, numbers, dims) ? &made : &left) += 1;
    }
    if (made == 0) return PARTITA_OK;
    for (uint32_t i = 0; i < pt_node_at(model, id)->output_count; i++) {
        node = pt_node_at(model, id);
        pt_id output = node->outputs[i];
        if (output == PT_NONE || !is_known(model, node, i, numbers, dims)) continue;
        if (left)
            PT_TRY(read_copy(run, output, numbers, dims));
        else
            PT_TRY(make_constant(model, output, numbers, dims));
    }
    if (left) return PARTITA_OK;
    run->changes++;
    pt_node_remove(model, id, "shape");
    return PARTITA_OK;
}

partita_status pt_pass_shape(pt_pass_run *run) { return pt_rewrite_nodes(run, visit); }
