/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalisations of float32 by rows or planes. Sums go in sixteen parts, which the compiler turns into vectors.
 */
#include "cpu/kernels/norm.h"

#define PARTS      16
#define ROW_FLOATS 2048 /* of an item, at least */

static float sum(const float *x, uint64_t n) {
    float parts[PARTS] = {0}, rest = 0;
    uint64_t i = 0;
    for (; i + PARTS <= n; i += PARTS)
        for (int j = 0; j < PARTS; j++) parts[j] += x[i + (uint64_t)j];
    for (; i < n; i++) rest += x[i];
    for (int j = 0; j < PARTS; j++) rest += parts[j];
    return rest;
}

static float sum_squares(const float *x, float mean, uint64_t n) {
    float parts[PARTS] = {0}, rest = 0;
    uint64_t i = 0;
    for (; i + PARTS <= n; i += PARTS)
        for (int j = 0; j < PARTS; j++) parts[j] += (x[i + (uint64_t)j] - mean) * (x[i + (uint64_t)j] - mean);
    for (; i < n; i++) rest += (x[i] - mean) * (x[i] - mean);
    for (int j = 0; j < PARTS; j++) rest += parts[j];
    return rest;
}

static void affine(float *y, const float *x, float scale, float shift, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) y[i] = x[i] * scale + shift;
}

static const float *floats(const cpu_call *call, uint32_t input) {
    return cpu_has_input(call, input) ? call->in[input].data : NULL;
}

static uint64_t plane_items(const cpu_call *call) {
    const cpu_tensor *x = &call->in[0];
    return x->rank < 2 ? 1 : (uint64_t)x->dims[0] * (uint64_t)x->dims[1];
}

/* Types may differ, and inputs be left out where they must not: both are the reference's to say. */
static bool floats_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row value;
    for (uint32_t i = 0; i < node->row.inputs.count; i++)
        if (cpu_node_input(node, i, &value) ? value.dtype != PARTITA_FLOAT32 : true)
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input %u is of %s", i,
                              cpu_dtype_name(cpu_input_dtype(node, i)));
    for (uint32_t i = 0; i < node->row.outputs.count; i++)
        if (cpu_node_output(node, i, &value) && value.dtype != PARTITA_FLOAT32)
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "output %u is of %s", i, cpu_dtype_name(value.dtype));
    return true;
}

static bool batch_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row value;
    if (cpu_attr_int(node, "training_mode", 0) != 0)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "training_mode is 1");
    if (cpu_attr_int(node, "spatial", 1) == 0) return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "spatial is 0");
    if (cpu_node_input(node, 0, &value) && value.rank >= 0 && value.rank < 2)
        return cpu_refuse(answer, PARTITA_REASON_RANK, "rank %d has no channels", value.rank);
    for (uint32_t i = 1; i < node->row.outputs.count; i++)
        if (cpu_node_output(node, i, &value))
            return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "output %u: statistics", i);
    return floats_claim(node, answer);
}

static partita_status batch_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    (void)worker;
    if (x->rank < 2) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u has no channels", x->rank);
    uint64_t channels = (uint64_t)x->dims[1], size = cpu_extent(x->dims, 2, x->rank);
    partita_status status = cpu_norm_channels(call, 1, 4, channels);
    if (status != PARTITA_OK) return status;
    const float *scale = floats(call, 1), *bias = floats(call, 2), *mean = floats(call, 3), *variance = floats(call, 4);
    for (uint64_t plane = begin; plane < end; plane++) {
        uint64_t c = plane % channels;
        float factor = scale[c] / sqrtf(variance[c] + state->epsilon);
        affine((float *)call->out[0].data + plane * size, (const float *)x->data + plane * size, factor,
               bias[c] - mean[c] * factor, size);
    }
    return PARTITA_OK;
}

static partita_status instance_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    (void)worker;
    if (x->rank < 2) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u has no channels", x->rank);
    uint64_t channels = (uint64_t)x->dims[1], size = cpu_extent(x->dims, 2, x->rank);
    partita_status status = cpu_norm_channels(call, 1, 2, channels);
    if (status != PARTITA_OK) return status;
    for (uint64_t plane = begin; plane < end; plane++) {
        const float *from = (const float *)x->data + plane * size;
        float mean = sum(from, size) / (float)size, variance = sum_squares(from, mean, size) / (float)size;
        float factor = floats(call, 1)[plane % channels] / sqrtf(variance + state->epsilon);
        float *to = (float *)call->out[0].data + plane * size, shift = floats(call, 2)[plane % channels];
        for (uint64_t i = 0; i < size; i++) to[i] = (from[i] - mean) * factor + shift;
    }
    return PARTITA_OK;
}

static uint64_t group_items(const cpu_call *call) {
    const cpu_norm_state *state = call->state;
    return call->in[0].rank < 1 ? 1 : (uint64_t)call->in[0].dims[0] * (uint64_t)(state->groups > 0 ? state->groups : 1);
}

static partita_status group_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    uint64_t channels, size, groups = (uint64_t)state->groups;
    (void)worker;
    partita_status status = cpu_norm_groups(call, &channels, &size);
    if (status != PARTITA_OK || call->in[0].count == 0) return status;
    uint64_t each = channels / groups;
    bool by_group = call->in[1].count == groups;
    for (uint64_t group = begin; group < end; group++) {
        const float *from = (const float *)call->in[0].data + group * each * size;
        float *to = (float *)call->out[0].data + group * each * size;
        float mean = sum(from, each * size) / (float)(each * size);
        float inverse = 1 / sqrtf(sum_squares(from, mean, each * size) / (float)(each * size) + state->epsilon);
        for (uint64_t c = 0; c < each; c++) {
            uint64_t at = by_group ? group % groups : group % groups * each + c;
            float factor = floats(call, 1)[at] * inverse, shift = floats(call, 2)[at];
            for (uint64_t i = c * size; i < (c + 1) * size; i++) to[i] = (from[i] - mean) * factor + shift;
        }
    }
    return PARTITA_OK;
}

/* Rows of an item: short rows go together. */
static uint64_t rows_each(uint64_t size) { return size >= ROW_FLOATS ? 1 : ROW_FLOATS / (size > 0 ? size : 1); }

static uint64_t row_items(const cpu_call *call) {
    uint64_t rows, size;
    if (cpu_norm_rows(call, &rows, &size) != PARTITA_OK) return 1; /* `run` says why */
    return (rows + rows_each(size) - 1) / rows_each(size);
}

/* Scale and bias of the normalised dims, not broadcast within them. */
static bool row_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row x, scale;
    int64_t axis = cpu_attr_int(node, "axis", -1);
    if (!cpu_node_input(node, 0, &x) || x.rank < 0)
        return cpu_refuse(answer, PARTITA_REASON_RANK, "the rank is not known");
    if (axis < 0) axis += x.rank;
    if (axis < 0 || axis >= x.rank) return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "the axis is no dim");
    for (uint32_t i = 1; i < node->row.inputs.count; i++) {
        if (!cpu_node_input(node, i, &scale)) continue;
        const int64_t *dims = ptp_ref_data(node->block, scale.dims), *whole = ptp_ref_data(node->block, x.dims);
        bool same = scale.rank == x.rank - axis;
        for (int32_t d = 0; same && d < scale.rank; d++) same = dims[d] >= 0 && dims[d] == whole[axis + d];
        if (!same) return cpu_refuse(answer, PARTITA_REASON_SHAPE, "input %u is broadcast", i);
    }
    return floats_claim(node, answer);
}

static partita_status layer_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    uint64_t rows, size;
    (void)worker;
    partita_status status = cpu_norm_rows(call, &rows, &size);
    if (status != PARTITA_OK) return status;
    const float *scale = floats(call, 1), *bias = floats(call, 2);
    float *means = cpu_has_output(call, 1) ? call->out[1].data : NULL;
    float *inverses = cpu_has_output(call, 2) ? call->out[2].data : NULL;
    uint64_t last = end * rows_each(size) < rows ? end * rows_each(size) : rows;
    for (uint64_t r = begin * rows_each(size); r < last; r++) {
        const float *from = (const float *)call->in[0].data + r * size;
        float *to = (float *)call->out[0].data + r * size;
        float mean = sum(from, size) / (float)size;
        float inverse = 1 / sqrtf(sum_squares(from, mean, size) / (float)size + state->epsilon);
        if (bias != NULL)
            for (uint64_t i = 0; i < size; i++) to[i] = (from[i] - mean) * inverse * scale[i] + bias[i];
        else
            for (uint64_t i = 0; i < size; i++) to[i] = (from[i] - mean) * inverse * scale[i];
        if (means != NULL) means[r] = mean;
        if (inverses != NULL) inverses[r] = inverse;
    }
    return PARTITA_OK;
}

static partita_status rms_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    uint64_t rows, size;
    (void)worker;
    partita_status status = cpu_norm_rows(call, &rows, &size);
    if (status != PARTITA_OK) return status;
    const float *scale = floats(call, 1);
    uint64_t last = end * rows_each(size) < rows ? end * rows_each(size) : rows;
    for (uint64_t r = begin * rows_each(size); r < last; r++) {
        const float *from = (const float *)call->in[0].data + r * size;
        float *to = (float *)call->out[0].data + r * size;
        float inverse = 1 / sqrtf(sum_squares(from, 0, size) / (float)size + state->epsilon);
        for (uint64_t i = 0; i < size; i++) to[i] = from[i] * inverse * scale[i];
    }
    return PARTITA_OK;
}

#define ROW(operator, first, function, claimed, item_count, inplace)                                                   \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = first, .until = CPU_NEWEST, .types = CPU_TYPE(FLOAT32),                 \
        .claim = claimed, .prepare = cpu_norm_prepare, .release = cpu_free, .items = item_count, .run = function,      \
        .in_place = inplace                                                                                            \
    }
const cpu_kernel cpu_kernels_norm_fast[] = {
    ROW("BatchNormalization", 1, batch_run, batch_claim, plane_items, true),
    ROW("InstanceNormalization", 1, instance_run, floats_claim, plane_items, true),
    ROW("GroupNormalization", 18, group_run, floats_claim, group_items, true),
    ROW("LayerNormalization", 17, layer_run, row_claim, row_items, true),
    ROW("RMSNormalization", 23, rms_run, row_claim, row_items, true),
};
const uint32_t cpu_kernels_norm_fast_count = sizeof(cpu_kernels_norm_fast) / sizeof(cpu_kernels_norm_fast[0]);
