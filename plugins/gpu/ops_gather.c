/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes at indices that lie on the device. */
#include "gpu/gpu.h"

enum { FORM_AXIS = 0, FORM_ELEMENTS = 1, FORM_TUPLES = 2 };

static bool check_index_type(gpu_check *check, uint32_t input) {
    partita_dtype dtype = check->node->inputs[input].dtype;
    return dtype == PARTITA_INT64 || dtype == PARTITA_INT32 ||
           gpu_refuse(check, PARTITA_REASON_DTYPE, "indices are %s", gpu_dtype_name(dtype));
}

static bool check_gather(gpu_check *check) {
    int64_t axis = gpu_int(check->node, "axis", 0);
    if (gpu_axis(axis, check->node->inputs[0].rank) < 0) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "axis %lld of rank %d", (long long)axis,
                          check->node->inputs[0].rank);
    }
    return check_index_type(check, 1);
}

static void call_begin(const gpu_plan *plan, gpu_call *call, const char *kernel, int form, uint32_t index_input,
                       int64_t n) {
    gpu_call_init(call, kernel);
    gpu_define_word(call, plan->node->outputs[0].dtype);
    gpu_define(call, "FORM", form);
    gpu_define(call, "INDEX64", plan->node->inputs[index_input].dtype == PARTITA_INT64);
    gpu_param(call, n);
    gpu_grid_linear(plan->device, call, (uint64_t)n, 64);
}

static partita_status plan_gather(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0], *indices = &plan->node->inputs[1];
    int32_t axis = gpu_axis(gpu_int(plan->node, "axis", 0), x->rank);
    gpu_call call;
    call_begin(plan, &call, "gather", FORM_AXIS, 1, gpu_elements(&plan->node->outputs[0]));
    gpu_param(&call, x->dims[axis]);
    gpu_param_divisor(&call, gpu_extent(x, axis + 1, x->rank));
    gpu_param_divisor(&call, gpu_elements(indices));
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_in(plan, 1));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    return gpu_emit(plan, &call);
}

/* The axis, strides of what is indexed and extents of what is walked, for FORM_ELEMENTS. */
static void params_elements(gpu_call *call, const gpu_operand *indexed, const gpu_operand *walked, int32_t axis) {
    int64_t strides[GPU_MAX_RANK];
    int32_t rank = walked->rank > 0 ? walked->rank : 1;
    gpu_strides(indexed->dims, indexed->rank, strides);
    gpu_define(call, "RANK", rank);
    gpu_param(call, indexed->rank > 0 ? indexed->dims[axis] : 1);
    gpu_param(call, axis);
    for (int32_t d = 0; d < rank; d++) gpu_param(call, indexed->rank > 0 ? strides[d] : 0);
    for (int32_t d = 0; d < rank; d++) gpu_param(call, walked->rank > 0 ? walked->dims[d] : 1);
}

static partita_status plan_gather_elements(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0];
    gpu_call call;
    call_begin(plan, &call, "gather", FORM_ELEMENTS, 1, gpu_elements(&plan->node->outputs[0]));
    params_elements(&call, x, &plan->node->outputs[0], gpu_axis(gpu_int(plan->node, "axis", 0), x->rank));
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_in(plan, 1));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    return gpu_emit(plan, &call);
}

static bool check_tuples(gpu_check *check) {
    const gpu_operand *x = &check->node->inputs[0], *indices = &check->node->inputs[1];
    int64_t length = indices->rank > 0 ? indices->dims[indices->rank - 1] : -1;
    int64_t batch = gpu_int(check->node, "batch_dims", 0);
    if (indices->rank < 1 || x->rank < 1) return gpu_refuse(check, PARTITA_REASON_RANK, "a scalar");
    if (length < 0) return gpu_refuse(check, PARTITA_REASON_SHAPE, "the length of the index tuples is not known");
    if (batch < 0 || batch >= indices->rank || batch + length > x->rank) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "batch_dims %lld, tuples of %lld, rank %d", (long long)batch,
                          (long long)length, x->rank);
    }
    return check_index_type(check, 1);
}

static partita_status plan_gather_nd(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0], *indices = &plan->node->inputs[1];
    int32_t batch = (int32_t)gpu_int(plan->node, "batch_dims", 0), length = (int32_t)indices->dims[indices->rank - 1];
    int64_t strides[GPU_MAX_RANK];
    gpu_call call;
    gpu_strides(x->dims, x->rank, strides);
    call_begin(plan, &call, "gather", FORM_TUPLES, 1, gpu_elements(&plan->node->outputs[0]));
    gpu_param_divisor(&call, gpu_extent(x, batch + length, x->rank));
    gpu_param_divisor(&call, gpu_extent(indices, batch, indices->rank - 1));
    gpu_param(&call, gpu_extent(x, batch, x->rank));
    gpu_param(&call, length);
    for (int32_t d = 0; d < length; d++) gpu_param(&call, x->dims[batch + d]);
    for (int32_t d = 0; d < length; d++) gpu_param(&call, strides[batch + d]);
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_in(plan, 1));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    return gpu_emit(plan, &call);
}

/* ---- scatter ---------------------------------------------------------------------------------------------------- */

static bool check_scatter(gpu_check *check) {
    const gpu_node *node = check->node;
    if (!gpu_string_is(node, "reduction", "none", "none")) {
        partita_str reduction = ptp_attribute_str(node->block, &node->row, "reduction");
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "reduction %.*s", (int)reduction.size, reduction.data);
    }
    return ptp_str_is(node->op, "ScatterND") ? check_tuples(check) : check_gather(check);
}

static partita_status plan_scatter(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    const gpu_operand *x = &node->inputs[0], *indices = &node->inputs[1], *updates = &node->inputs[2];
    partita_status status = gpu_emit_copy(plan, gpu_elements(x), x->dtype, gpu_ref_in(plan, 0), gpu_ref_out(plan, 0));
    if (status != PARTITA_OK || gpu_elements(updates) == 0) return status;
    gpu_call call;
    if (ptp_str_is(node->op, "ScatterND")) {
        int32_t length = (int32_t)indices->dims[indices->rank - 1];
        int64_t strides[GPU_MAX_RANK];
        gpu_strides(x->dims, x->rank, strides);
        call_begin(plan, &call, "scatter", FORM_TUPLES, 1, gpu_elements(updates));
        gpu_param_divisor(&call, gpu_extent(x, length, x->rank));
        gpu_param(&call, length);
        for (int32_t d = 0; d < length; d++) gpu_param(&call, x->dims[d]);
        for (int32_t d = 0; d < length; d++) gpu_param(&call, strides[d]);
    } else {
        call_begin(plan, &call, "scatter", FORM_ELEMENTS, 1, gpu_elements(updates));
        params_elements(&call, x, updates, gpu_axis(gpu_int(node, "axis", 0), x->rank));
    }
    gpu_bind(&call, gpu_ref_in(plan, 1));
    gpu_bind(&call, gpu_ref_in(plan, 2));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    return gpu_emit(plan, &call);
}

const gpu_op gpu_ops_gather[] = {
    {"Gather", 1, 28, "M", "axis", 2, 1, 0, 0, check_gather, plan_gather, NULL, 0},
    {"GatherElements", 11, 28, "M", "axis", 2, 1, 0, 0, check_gather, plan_gather_elements, NULL, 0},
    {"GatherND", 11, 28, "M", "batch_dims", 2, 1, 0, 0, check_tuples, plan_gather_nd, NULL, 0},
    {"ScatterElements", 11, 28, "M", "axis,reduction", 3, 1, 0, 0, check_scatter, plan_scatter, NULL, 0},
    {"ScatterND", 11, 28, "M", "reduction", 3, 1, 0, 0, check_scatter, plan_scatter, NULL, 0},
    {0},
};
