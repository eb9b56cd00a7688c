/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Constant folding by the evaluator that the caller supplies. Bounded: a result is hardly larger than its inputs, all
 * results together have a limit, and the DequantizeLinear of a weight stays, since the small weight is what a device
 * wants to hold.
 */
#include "pass/rewrite.h"

/* Bytes of an output by its inferred type; false when they are not known before it is computed. */
static bool output_bytes(const pt_model *model, const pt_value *value, uint64_t *out_bytes) {
    const pt_type *type = &value->type;
    uint64_t count = 1;
    if (type->kind != PARTITA_KIND_TENSOR || type->rank < 0) return false;
    for (int32_t i = 0; i < type->rank; i++) {
        int64_t dim;
        if (!pt_dim_value(&model->symbols, type->dims[i], &dim) || dim < 0) return false;
        if (!pt_mul_u64(count, (uint64_t)dim, &count)) return false;
    }
    if (type->dtype == PARTITA_STRING) return pt_mul_u64(count, 64, out_bytes); /* a guess; the budget sees the truth */
    return pt_dtype_bits(type->dtype) != 0 && pt_dtype_bytes(type->dtype, count, out_bytes);
}

static bool is_foldable(const pt_pass_run *run, const pt_node *node) {
    const pt_model *model = run->model;
    uint64_t in = 0, out = 0, bytes;
    if (!node->schema || !(node->schema->flags & PT_OP_PURE) || (node->schema->flags & PT_OP_CONTROL_FLOW))
        return false;
    if (pt_str_is(node->op, "DequantizeLinear")) return false; /* of any domain */
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] == PT_NONE) continue;
        const pt_tensor *tensor = pt_value_at(model, node->inputs[i])->constant;
        if (!tensor || tensor->sparse_indices) return false;
        in += tensor->weight->bytes;
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] == PT_NONE) continue;
        if (!output_bytes(model, pt_value_at(model, node->outputs[i]), &bytes)) return false;
        if (!pt_add_u64(out, bytes, &out)) return false;
    }
    if (out > in && out - in > run->options->fold_growth) return false;
    return out <= run->options->fold_total && run->folded_bytes <= run->options->fold_total - out;
}

/* Every output is there and of the type that was inferred. */
static bool is_complete(const pt_model *model, const pt_node *node, pt_tensor *const *tensors) {
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] == PT_NONE) continue;
        const pt_value *value = pt_value_at(model, node->outputs[i]);
        if (!tensors[i] || tensors[i]->dtype != value->type.dtype) return false;
        if (tensors[i]->rank != (uint32_t)value->type.rank) return false;
    }
    return true;
}

static partita_status fold(pt_pass_run *run, pt_id id, pt_tensor **tensors) {
    pt_model *model = run->model;
    partita_status status = run->options->evaluate(run->options->user, model, id, tensors);
    bool stop = status == PARTITA_OUT_OF_MEMORY || status == PARTITA_CANCELLED || status == PARTITA_DEADLINE;
    if (stop) return status;
    /* A node that cannot be computed may lie in a branch that is never taken; otherwise the run says what is wrong. */
    if (status != PARTITA_OK) return PARTITA_OK;
    const pt_node *node = pt_node_at(model, id);
    if (!is_complete(model, node, tensors)) return PARTITA_OK;
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] == PT_NONE) continue;
        run->folded_bytes += tensors[i]->weight->bytes;
        PT_TRY(pt_value_set_constant(model, node->outputs[i], tensors[i]));
    }
    pt_node_remove(model, id, "fold");
    run->changes++;
    return PARTITA_OK;
}

static partita_status visit(pt_pass_run *run, pt_id id) {
    const pt_node *node = pt_node_at(run->model, id);
    if (!is_foldable(run, node)) return PARTITA_OK;
    pt_tensor **tensors = pt_calloc((size_t)node->output_count + 1, sizeof *tensors);
    if (!tensors) return PT_OUT_OF_MEMORY();
    partita_status status = fold(run, id, tensors);
    pt_free(tensors);
    return status;
}

partita_status pt_pass_fold(pt_pass_run *run) {
    return run->options->evaluate ? pt_rewrite_nodes(run, visit) : PARTITA_OK;
}
