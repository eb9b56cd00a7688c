/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conv or ConvTranspose followed by BatchNormalization at inference becomes one node: with s = scale / sqrt(var + eps)
 * per output channel, W' = W s and b' = (b - mean) s + B. Computed in double and rounded once, so a result differs from
 * the unfused one by a rounding of each weight.
 */
#include "pass/rewrite.h"

#include <math.h>

typedef struct pair {
    pt_id conv, norm;
    const pt_tensor *weight, *bias, *scale, *offset, *mean, *variance;
    uint64_t channels; /* of the output */
    double epsilon;
    bool transposed; /* W is [in, out / group, ...], otherwise [out, in / group, ...] */
    uint64_t group;
} pair;

static double number_at(const pt_tensor *tensor, uint64_t i) {
    float single;
    double number;
    if (tensor->dtype == PARTITA_FLOAT64) {
        memcpy(&number, (const char *)tensor->weight->data + i * sizeof number, sizeof number);
        return number;
    }
    memcpy(&single, (const char *)tensor->weight->data + i * sizeof single, sizeof single);
    return (double)single;
}

static void store_at(partita_dtype dtype, void *to, uint64_t i, double number) {
    if (dtype == PARTITA_FLOAT64) {
        ((double *)to)[i] = number;
    } else {
        ((float *)to)[i] = (float)number;
    }
}

static bool is_per_channel(const pair *p, const pt_tensor *tensor) {
    return tensor && tensor->rank == 1 && tensor->count == p->channels && tensor->dtype == p->weight->dtype;
}

static bool finds_conv(const pt_model *model, pair *p) {
    const pt_node *norm = pt_node_at(model, p->norm);
    pt_id value = pt_rewrite_input(norm, 0);
    if (value == PT_NONE) return false;
    const pt_value *between = pt_value_at(model, value);
    p->conv = between->producer;
    if (p->conv == PT_NONE || between->uses.size != 1 || between->is_output || between->graph != norm->graph) {
        return false;
    }
    const pt_node *conv = pt_node_at(model, p->conv);
    p->transposed = pt_rewrite_is(conv, "ConvTranspose");
    if (!p->transposed && !pt_rewrite_is(conv, "Conv")) return false;
    p->weight = pt_rewrite_constant(model, conv, 1);
    p->bias = pt_rewrite_constant(model, conv, 2);
    p->group = (uint64_t)pt_node_int(conv, "group", 1);
    if (!p->weight || p->weight->rank < 2 || p->weight->count == 0 || p->group == 0) return false;
    if (p->weight->dtype != PARTITA_FLOAT32 && p->weight->dtype != PARTITA_FLOAT64) return false;
    p->channels = p->transposed ? (uint64_t)p->weight->dims[1] * p->group : (uint64_t)p->weight->dims[0];
    bool fits = !p->transposed || (uint64_t)p->weight->dims[0] % p->group == 0;
    return fits && (pt_rewrite_input(conv, 2) == PT_NONE || is_per_channel(p, p->bias));
}

static bool matches(const pt_model *model, pt_id id, pair *p) {
    const pt_node *norm = pt_node_at(model, id);
    *p = (pair){.norm = id};
    if (!pt_rewrite_is(norm, "BatchNormalization") || !pt_rewrite_one_output(model, norm)) return false;
    if (pt_node_int(norm, "training_mode", 0) != 0 || pt_node_int(norm, "spatial", 1) != 1) return false;
    if (norm->version < 7 && pt_node_int(norm, "is_test", 0) == 0) return false;
    if (!finds_conv(model, p)) return false;
    p->scale = pt_rewrite_constant(model, norm, 1);
    p->offset = pt_rewrite_constant(model, norm, 2);
    p->mean = pt_rewrite_constant(model, norm, 3);
    p->variance = pt_rewrite_constant(model, norm, 4);
    p->epsilon = (double)pt_node_float(norm, "epsilon", 1e-5f);
    return is_per_channel(p, p->scale) && is_per_channel(p, p->offset) && is_per_channel(p, p->mean) &&
           is_per_channel(p, p->variance);
}

static double factor_of(const pair *p, uint64_t channel) {
    return number_at(p->scale, channel) / sqrt(number_at(p->variance, channel) + p->epsilon);
}

/* The output channel that element i of W belongs to. */
static uint64_t channel_of(const pair *p, uint64_t i) {
    uint64_t rows = (uint64_t)p->weight->dims[0], inner = p->weight->count / rows;
    uint64_t row = i / inner;
    if (!p->transposed) return row;
    uint64_t columns = (uint64_t)p->weight->dims[1];
    return row / (rows / p->group) * columns + i % inner / (inner / columns);
}

static partita_status fused_weight(pt_model *model, const pair *p, pt_id *out_value) {
    uint64_t bytes = p->weight->weight->bytes;
    double *factors = pt_malloc((size_t)p->channels * sizeof *factors);
    void *data = pt_malloc((size_t)bytes);
    if (!factors || !data) {
        pt_free(factors);
        pt_free(data);
        return PT_OUT_OF_MEMORY();
    }
    for (uint64_t c = 0; c < p->channels; c++) factors[c] = factor_of(p, c);
    for (uint64_t i = 0; i < p->weight->count; i++) {
        store_at(p->weight->dtype, data, i, number_at(p->weight, i) * factors[channel_of(p, i)]);
    }
    pt_free(factors);
    return pt_rewrite_new_constant(model, pt_node_at(model, p->conv)->graph, p->weight->dtype, p->weight->rank,
                                   p->weight->dims, data, bytes, out_value);
}

static partita_status fused_bias(pt_model *model, const pair *p, pt_id *out_value) {
    int64_t dim = (int64_t)p->channels;
    uint64_t bytes = p->scale->weight->bytes;
    void *data = pt_malloc((size_t)bytes);
    if (!data) return PT_OUT_OF_MEMORY();
    for (uint64_t c = 0; c < p->channels; c++) {
        double bias = p->bias ? number_at(p->bias, c) : 0;
        store_at(p->weight->dtype, data, c, (bias - number_at(p->mean, c)) * factor_of(p, c) + number_at(p->offset, c));
    }
    return pt_rewrite_new_constant(model, pt_node_at(model, p->conv)->graph, p->weight->dtype, 1, &dim, data, bytes,
                                   out_value);
}

static partita_status visit(pt_pass_run *run, pt_id id) {
    pt_model *model = run->model;
    pair p;
    pt_id weight, bias;
    if (!matches(model, id, &p)) return PARTITA_OK;
    PT_TRY(fused_weight(model, &p, &weight));
    PT_TRY(fused_bias(model, &p, &bias));
    PT_TRY(pt_node_set_input(model, p.conv, 1, weight));
    PT_TRY(pt_node_set_input(model, p.conv, 2, bias));
    PT_TRY(pt_node_take_sources(model, p.conv, id));
    return pt_rewrite_absorb(run, id, "conv_bn");
}

partita_status pt_pass_conv_bn(pt_pass_run *run) { return pt_rewrite_nodes(run, visit); }
