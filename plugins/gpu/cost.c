/* SPDX-License-Identifier: Apache-2.0 */
/* What a node costs at nominal shapes: the larger of its arithmetic at the row's efficiency and its memory traffic. */
#include "gpu/gpu.h"

static bool traffic_add(const gpu_operand *operand, double *bytes) {
    if (!operand) return true;
    if (gpu_elements(operand) < 0) return false;
    *bytes += (double)gpu_bytes(operand);
    return true;
}

/* A loaded pixel is used for as many products as the group has filters: below eight that shows. */
static double share_of_filters(const gpu_node *node) {
    if (!ptp_str_is(node->op, "Conv")) return 1;
    int64_t group = gpu_int(node, "group", 1), filters = node->inputs[1].dims[0];
    if (group <= 1 || filters < group || filters / group >= 8) return 1;
    return (double)(filters / group) / 8;
}

double gpu_cost(const gpu_device *device, const gpu_op *op, const gpu_node *node) {
    double bytes = 0;
    if (op->flags & GPU_OP_ALIAS) return 0;
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (i < 32 && (op->host_inputs >> i & 1u)) continue;
        if (!traffic_add(gpu_input(node, i), &bytes)) return -1;
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (!traffic_add(gpu_output(node, i), &bytes)) return -1;
    }
    double memory = device->info.bytes_per_us > 0 ? bytes / device->info.bytes_per_us : 0;
    double share = op->efficiency > 0 ? op->efficiency : 0.1;
    share *= share_of_filters(node);
    double compute = device->info.flops_per_us > 0 ? (double)node->row.flops / (device->info.flops_per_us * share) : 0;
    /* one kernel among others in a batch; info.launch_us is for the whole part */
    return (memory > compute ? memory : compute) + device->info.launch_us * 0.1;
}
