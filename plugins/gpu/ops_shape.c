/* SPDX-License-Identifier: Apache-2.0 */
/* Operators whose result the host knows from shapes alone, written by a kernel so that nothing is copied: Shape, Size,
 * ConstantOfShape; and Range, whose length it knows. */
#include "gpu/gpu.h"

static partita_status emit_words(gpu_plan *plan, const int64_t *values, int32_t count, int64_t n) {
    gpu_call call;
    gpu_call_init(&call, "fill");
    gpu_define_text(&call, "S", "w8");
    gpu_define_text(&call, "FILL", count > 1 ? "W8(P(1u + i), 0u)" : "W8(P(1), P(2))");
    gpu_bind(&call, gpu_ref_out(plan, 0));
    gpu_param(&call, n);
    for (int32_t i = 0; i < count; i++) gpu_param(&call, values[i] & UINT32_MAX);
    if (count == 1) gpu_param(&call, (int64_t)((uint64_t)values[0] >> 32));
    gpu_grid_linear(plan->device, &call, (uint64_t)n, 64);
    return gpu_emit(plan, &call);
}

static partita_status plan_shape(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0];
    int64_t n = plan->node->outputs[0].dims[0], start = gpu_int(plan->node, "start", 0);
    if (start < 0) start += x->rank;
    if (start < 0) start = 0;
    if (start + n > x->rank) { return gpu_plan_refuse(plan, PARTITA_REASON_SHAPE, "Shape of %lld axes", (long long)n); }
    return emit_words(plan, x->dims + start, (int32_t)n, n);
}

static partita_status plan_size(gpu_plan *plan) {
    int64_t n = gpu_elements(&plan->node->inputs[0]);
    return emit_words(plan, &n, 1, 1);
}

static bool value_read(const gpu_node *node, const void **out_data, uint64_t *out_bytes) {
    ptp_attribute_row row;
    *out_data = NULL;
    *out_bytes = 0;
    if (!ptp_attribute_find(node->block, &node->row, "value", &row)) return true;
    if (row.type != PTP_ATTRIBUTE_TENSOR) return false;
    ptp_value_row value = ptp_value_at(node->block, *(const uint32_t *)ptp_ref_data(node->block, row.data));
    *out_data = ptp_ref_data(node->block, value.data);
    *out_bytes = value.data.count;
    return value.data.count > 0 && value.data.count <= 8;
}

static bool check_constant(gpu_check *check) {
    const void *data;
    uint64_t bytes;
    return value_read(check->node, &data, &bytes) ||
           gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "value has %llu bytes", (unsigned long long)bytes);
}

static partita_status plan_constant(gpu_plan *plan) {
    const gpu_operand *y = &plan->node->outputs[0];
    uint32_t bytes = gpu_type_of(y->dtype)->bytes;
    const void *data;
    uint64_t size;
    uint32_t words[2] = {0, 0};
    gpu_call call;
    if (!value_read(plan->node, &data, &size))
        return gpu_fail(plan->device->host, PARTITA_INTERNAL, "value was not checked");
    if (data) memcpy(words, data, size < 8 ? size : 8);
    gpu_call_init(&call, "fill");
    gpu_define_word(&call, y->dtype);
    gpu_define_text(&call, "FILL", bytes == 8 ? "W8(P(1), P(2))" : "CAST(S, P(1))");
    gpu_bind(&call, gpu_ref_out(plan, 0));
    gpu_param(&call, gpu_elements(y));
    gpu_param(&call, words[0]);
    gpu_param(&call, words[1]);
    gpu_grid_linear(plan->device, &call, (uint64_t)gpu_elements(y), 64);
    return gpu_emit(plan, &call);
}

static bool check_range(gpu_check *check) {
    const gpu_node *node = check->node;
    for (uint32_t i = 0; i < 3; i++) {
        if (gpu_elements(&node->inputs[i]) != 1) {
            return gpu_refuse(check, PARTITA_REASON_SHAPE, "input %u has rank %d and is no scalar", i,
                              node->inputs[i].rank);
        }
    }
    if (gpu_int(node, "stash_type", 1) != 1) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "stash_type %lld",
                          (long long)gpu_int(node, "stash_type", 1));
    }
    return gpu_need_same_dtype(check);
}

static partita_status plan_range(gpu_plan *plan) {
    int64_t n = gpu_elements(&plan->node->outputs[0]);
    gpu_call call;
    gpu_call_init(&call, "range");
    gpu_define_type(&call, plan->node->outputs[0].dtype);
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_in(plan, 2));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    gpu_param(&call, n);
    gpu_grid_linear(plan->device, &call, (uint64_t)n, 64);
    return gpu_emit(plan, &call);
}

const gpu_op gpu_ops_shape[] = {
    {"Shape", 1, 28, "M", "start,end", 1, 1, 1, 0, NULL, plan_shape, NULL, 0},
    {"Size", 1, 28, "M", "", 1, 1, 1, 0, NULL, plan_size, NULL, 0},
    {"ConstantOfShape", 9, 28, "M", "value", 1, 1, 1, 0, check_constant, plan_constant, NULL, 0},
    {"Range", 11, 28, "FI", "stash_type", 3, 1, 2, 0, check_range, plan_range, NULL, 0},
    {0},
};
