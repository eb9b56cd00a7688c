/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisations: batch by the element-wise generator, layer, instance, group and RMS by one kernel over rows. */
#include "gpu/gpu.h"

static bool check_batch(gpu_check *check) {
    const gpu_node *node = check->node;
    if (node->row.since < 7 && gpu_int(node, "is_test", 0) == 0) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "is_test 0: training");
    }
    if (gpu_int(node, "training_mode", 0) != 0) return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "training_mode 1");
    if (gpu_int(node, "spatial", 1) == 0) return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "spatial 0");
    if (node->inputs[0].rank < 2) return gpu_refuse(check, PARTITA_REASON_RANK, "rank %d", node->inputs[0].rank);
    return gpu_need_same_dtype(check);
}

/* Over the axes n, c, rest: the four statistics go along c. */
static partita_status plan_batch(gpu_plan *plan) {
    static const char *const names[] = {"x", "scale", "bias", "mean", "variance"};
    const gpu_operand *x = &plan->node->inputs[0];
    gpu_pointwise pointwise;
    gpu_pointwise_init(&pointwise, plan, PARTITA_FLOAT32);
    pointwise.rank = 3;
    pointwise.dims[0] = x->dims[0];
    pointwise.dims[1] = x->dims[1];
    pointwise.dims[2] = gpu_extent(x, 2, x->rank);
    for (uint32_t i = 0; i < 5; i++) {
        gpu_operand view = plan->node->inputs[i];
        view.rank = 3;
        view.dims[0] = i == 0 ? pointwise.dims[0] : 1;
        view.dims[1] = pointwise.dims[1];
        view.dims[2] = i == 0 ? pointwise.dims[2] : 1;
        gpu_pointwise_add(&pointwise, names[i], &view, gpu_ref_in(plan, i), NULL);
    }
    pointwise.expression = "(x - mean) / m_sqrt(variance + P0) * scale + bias";
    pointwise.scalars[pointwise.scalar_count++] = gpu_float(plan->node, "epsilon", 1e-5f);
    return gpu_emit_pointwise(plan, &pointwise);
}

/* Index of scale and bias: (row % rows) * per_row + k / divisor. */
static partita_status emit_rows(gpu_plan *plan, int64_t rows, int64_t n, int64_t scale_rows, int64_t per_row,
                                int64_t divisor, bool rms) {
    bool bias = gpu_input(plan->node, 2) != NULL;
    gpu_call call;
    gpu_call_init(&call, "standardize");
    gpu_define(&call, "RMS", rms);
    gpu_define(&call, "HAS_BIAS", bias);
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_in(plan, 1));
    gpu_bind(&call, gpu_ref_in(plan, bias ? 2 : 1));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    gpu_param(&call, rows);
    gpu_param(&call, n);
    gpu_param_float(&call, gpu_float(plan->node, "epsilon", 1e-5f));
    gpu_param(&call, scale_rows);
    gpu_param(&call, per_row);
    gpu_param_divisor(&call, divisor);
    gpu_grid_rows(plan, &call, (uint64_t)rows, (uint64_t)n);
    return gpu_emit(plan, &call);
}

static bool check_layer(gpu_check *check) {
    const gpu_node *node = check->node;
    const gpu_operand *x = &node->inputs[0], *scale = &node->inputs[1];
    int64_t given = gpu_int(node, "axis", -1), stash = gpu_int(node, "stash_type", 1);
    int32_t axis = gpu_axis(given, x->rank);
    if (axis < 0) return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "axis %lld of rank %d", (long long)given, x->rank);
    if (stash != PARTITA_FLOAT32) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "stash_type %lld, only 1", (long long)stash);
    }
    int64_t n = gpu_extent(x, axis, x->rank);
    for (uint32_t i = 1; i < 3; i++) {
        const gpu_operand *operand = gpu_input(node, i);
        int64_t have = operand ? gpu_elements(operand) : n;
        if (have >= 0 && n >= 0 && have != n) {
            return gpu_refuse(check, PARTITA_REASON_SHAPE, "input %u has %lld elements for %lld", i, (long long)have,
                              (long long)n);
        }
        if (operand && have < 0 && operand->rank != x->rank - axis) {
            return gpu_refuse(check, PARTITA_REASON_SHAPE, "input %u has rank %d for %d axes", i, scale->rank,
                              x->rank - axis);
        }
    }
    return gpu_need_same_dtype(check);
}

static partita_status plan_layer(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    const gpu_operand *x = &node->inputs[0];
    int32_t axis = gpu_axis(gpu_int(node, "axis", -1), x->rank);
    int64_t n = gpu_extent(x, axis, x->rank);
    for (uint32_t i = 1; i < 3; i++) {
        if (gpu_input(node, i) && gpu_elements(&node->inputs[i]) != n) {
            return gpu_plan_refuse(plan, PARTITA_REASON_SHAPE, "input %u of a normalisation has %lld elements for %lld",
                                   i, (long long)gpu_elements(&node->inputs[i]), (long long)n);
        }
    }
    return emit_rows(plan, gpu_extent(x, 0, axis), n, 1, 0, 1, ptp_str_is(node->op, "RMSNormalization"));
}

static bool check_instance(gpu_check *check) {
    if (check->node->inputs[0].rank < 3) {
        return gpu_refuse(check, PARTITA_REASON_RANK, "rank %d, at least 3", check->node->inputs[0].rank);
    }
    return gpu_need_same_dtype(check);
}

static partita_status plan_instance(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0];
    int64_t n = gpu_extent(x, 2, x->rank);
    return emit_rows(plan, x->dims[0] * x->dims[1], n, x->dims[1], 1, n, false);
}

static bool check_group(gpu_check *check) {
    const gpu_node *node = check->node;
    int64_t groups = gpu_int(node, "num_groups", 0), channels = node->inputs[0].rank > 1 ? node->inputs[0].dims[1] : 0;
    int64_t stash = gpu_int(node, "stash_type", 1);
    if (groups < 1 || (channels >= 0 && channels % groups != 0) || node->inputs[0].rank < 2) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "%lld groups of %lld channels", (long long)groups,
                          (long long)channels);
    }
    if (stash != PARTITA_FLOAT32) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "stash_type %lld, only 1", (long long)stash);
    }
    return gpu_need_same_dtype(check);
}

static partita_status plan_group(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0];
    int64_t groups = gpu_int(plan->node, "num_groups", 1), channels = x->dims[1] / groups;
    int64_t pixels = gpu_extent(x, 2, x->rank), n = channels * pixels;
    /* scale per group in version 18, per channel from 21 */
    bool by_channel = plan->node->row.since >= 21;
    return emit_rows(plan, x->dims[0] * groups, n, groups, by_channel ? channels : 1, by_channel ? pixels : n, false);
}

const gpu_op gpu_ops_norm[] = {
    {"BatchNormalization", 1, 28, "F", "epsilon,momentum,spatial,is_test,training_mode,consumed_inputs", 5, 1, 0, 0,
     check_batch, plan_batch, NULL, 0.1f},
    {"LayerNormalization", 17, 28, "F", "axis,epsilon,stash_type", 3, 1, 0, 0, check_layer, plan_layer, NULL, 0.1f},
    {"RMSNormalization", 23, 28, "F", "axis,epsilon,stash_type", 2, 1, 0, 0, check_layer, plan_layer, NULL, 0.1f},
    {"InstanceNormalization", 1, 28, "F", "epsilon,consumed_inputs", 3, 1, 0, 0, check_instance, plan_instance, NULL,
     0.1f},
    {"GroupNormalization", 18, 28, "F", "epsilon,num_groups,stash_type", 3, 1, 0, 0, check_group, plan_group, NULL,
     0.1f},
    {0},
};
