/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling over one or two axes; the global ones are reductions. */
#include "gpu/gpu.h"

static bool check_pool(gpu_check *check) {
    uint32_t count;
    if (!ptp_attribute_ints(check->node->block, &check->node->row, "kernel_shape", &count)) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "no kernel_shape");
    }
    return gpu_check_window(check);
}

static partita_status plan_pool(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    const gpu_operand *x = &node->inputs[0], *y = &node->outputs[0];
    uint32_t count;
    const int64_t *kernel = ptp_attribute_ints(node->block, &node->row, "kernel_shape", &count);
    bool average = ptp_str_is(node->op, "AveragePool");
    int64_t n = gpu_elements(y);
    gpu_window window;
    gpu_call call;
    gpu_window_read(node, x, y, kernel, &window);
    partita_status status = gpu_window_need(plan, &window);
    if (status != PARTITA_OK) return status;
    gpu_call_init(&call, "pool");
    gpu_define(&call, "AVERAGE", average);
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    gpu_param(&call, n);
    gpu_param_divisor(&call, window.out[1]);
    gpu_param_divisor(&call, window.out[0]);
    for (int d = 0; d < 2; d++) gpu_param(&call, window.in[d]);
    for (int d = 0; d < 2; d++) gpu_param(&call, window.kernel[d]);
    for (int d = 0; d < 2; d++) gpu_param(&call, window.stride[d]);
    for (int d = 0; d < 2; d++) gpu_param(&call, window.before[d]);
    for (int d = 0; d < 2; d++) gpu_param(&call, window.dilation[d]);
    gpu_param(&call, average && gpu_int(node, "count_include_pad", 0) != 0);
    for (int d = 0; d < 2; d++) gpu_param(&call, window.after[d]);
    gpu_grid_linear(plan->device, &call, (uint64_t)n, 64);
    return gpu_emit(plan, &call);
}

#define WINDOW "auto_pad,ceil_mode,dilations,kernel_shape,pads,strides"
const gpu_op gpu_ops_pool[] = {
    {"MaxPool", 1, 28, "F", WINDOW ",storage_order", 1, 1, 0, 0, check_pool, plan_pool, NULL, 0.1f},
    {"AveragePool", 1, 28, "F", WINDOW ",count_include_pad", 1, 1, 0, 0, check_pool, plan_pool, NULL, 0.1f},
    {0},
};
