/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conv or ConvTranspose followed by BatchNormalization at inference becomes one node: with s = scale / sqrt(var + eps)
 * per output channel, W' = W s and b' = (b - mean) s + B. Computed in double and rounded once, so a result differs from
 * the unfused one by a rounding of each weight. Both are recipes: a model that is only looked at computes nothing.
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

static double number_at(partita_dtype dtype, const void *data, uint64_t i) {
    float single;
    double number;
    if (dtype == PARTITA_FLOAT64) {
        memcpy(&number, (const char *)data + i * sizeof number, sizeof number);
        return number;
    }
    memcpy(&single, (const char *)data + i * sizeof single, sizeof single);
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

/* ---- recipes --------------------------------------------------------------------------------- */

/* What both recipes need of the pair, beyond the life of its nodes. */
typedef struct fused {
    pt_weight *weight, *bias, *scale, *offset, *mean, *variance; /* held; bias NULL: none */
    partita_dtype dtype;
    uint64_t count, rows, columns, channels, group; /* elements of W, its two first dims */
    double epsilon;
    bool transposed;
} fused;

static void fused_destroy(void *state) {
    fused *f = state;
    pt_weight *const all[] = {f->weight, f->bias, f->scale, f->offset, f->mean, f->variance};
    for (size_t i = 0; i < PT_COUNT_OF(all); i++) pt_weight_release(all[i]);
    pt_free(f);
}

static fused *fused_create(const pair *p) {
    fused *f = pt_malloc(sizeof *f);
    if (!f) return NULL;
    *f = (fused){.weight = p->weight->weight,
                 .bias = p->bias ? p->bias->weight : NULL,
                 .scale = p->scale->weight,
                 .offset = p->offset->weight,
                 .mean = p->mean->weight,
                 .variance = p->variance->weight,
                 .dtype = p->weight->dtype,
                 .count = p->weight->count,
                 .rows = (uint64_t)p->weight->dims[0],
                 .columns = (uint64_t)p->weight->dims[1],
                 .channels = p->channels,
                 .group = p->group,
                 .epsilon = p->epsilon,
                 .transposed = p->transposed};
    pt_weight *const all[] = {f->weight, f->bias, f->scale, f->offset, f->mean, f->variance};
    for (size_t i = 0; i < PT_COUNT_OF(all); i++) pt_weight_retain(all[i]);
    return f;
}

/* The sources as numbers while something is made of them; any may be a recipe itself. */
enum { BIAS, SCALE, OFFSET, MEAN, VARIANCE, SOURCES };

typedef struct sources {
    pt_weight *weight[SOURCES];
    const void *data[SOURCES];
} sources;

static partita_status sources_open(const fused *f, sources *s) {
    *s = (sources){.weight = {f->bias, f->scale, f->offset, f->mean, f->variance}};
    for (int i = 0; i < SOURCES; i++)
        if (s->weight[i]) PT_TRY(pt_weight_align(s->weight[i], 1, &s->data[i], NULL));
    return PARTITA_OK;
}

static void sources_close(sources *s) {
    for (int i = 0; i < SOURCES; i++)
        if (s->weight[i]) pt_weight_unalign(s->weight[i], s->data[i]);
}

static double factor_of(const fused *f, const sources *s, uint64_t c) {
    return number_at(f->dtype, s->data[SCALE], c) / sqrt(number_at(f->dtype, s->data[VARIANCE], c) + f->epsilon);
}

/* The output channel that element i of W belongs to. */
static uint64_t channel_of(const fused *f, uint64_t i) {
    uint64_t inner = f->count / f->rows, row = i / inner;
    if (!f->transposed) return row;
    return row / (f->rows / f->group) * f->columns + i % inner / (inner / f->columns);
}

static partita_status make_weight(const void *state, void *out_data) {
    const fused *f = state;
    const void *data = NULL;
    sources s = {0};
    partita_status status = PARTITA_OK;
    double *factors = pt_malloc((size_t)f->channels * sizeof *factors);
    if (!factors) return PT_OUT_OF_MEMORY();
    PT_CHECK(sources_open(f, &s));
    PT_CHECK(pt_weight_align(f->weight, 1, &data, NULL));
    for (uint64_t c = 0; c < f->channels; c++) factors[c] = factor_of(f, &s, c);
    for (uint64_t i = 0; i < f->count; i++)
        store_at(f->dtype, out_data, i, number_at(f->dtype, data, i) * factors[channel_of(f, i)]);
    pt_weight_drop_pages(f->weight); /* nobody else reads them: the node has the new weight now */
out:
    pt_weight_unalign(f->weight, data);
    sources_close(&s);
    pt_free(factors);
    return status;
}

static partita_status make_bias(const void *state, void *out_data) {
    const fused *f = state;
    sources s = {0};
    partita_status status = sources_open(f, &s);
    for (uint64_t c = 0; status == PARTITA_OK && c < f->channels; c++) {
        double bias = f->bias ? number_at(f->dtype, s.data[BIAS], c) : 0;
        bias -= number_at(f->dtype, s.data[MEAN], c);
        store_at(f->dtype, out_data, c, bias * factor_of(f, &s, c) + number_at(f->dtype, s.data[OFFSET], c));
    }
    sources_close(&s);
    return status;
}

static partita_status fused_constant(pt_model *model, const pair *p, bool bias, pt_id *out_value) {
    const int64_t channels = (int64_t)p->channels;
    const pt_tensor *like = bias ? p->scale : p->weight;
    pt_recipe recipe = {bias ? make_bias : make_weight, fused_destroy, fused_create(p)};
    if (!recipe.state) return PT_OUT_OF_MEMORY();
    return pt_rewrite_new_constant(model, pt_node_at(model, p->conv)->graph, p->weight->dtype, like->rank,
                                   bias ? &channels : like->dims, &recipe, like->weight->bytes, out_value);
}

static partita_status visit(pt_pass_run *run, pt_id id) {
    pt_model *model = run->model;
    pair p;
    pt_id weight, bias;
    if (!matches(model, id, &p)) return PARTITA_OK;
    PT_TRY(fused_constant(model, &p, false, &weight));
    PT_TRY(fused_constant(model, &p, true, &bias));
    PT_TRY(pt_node_set_input(model, p.conv, 1, weight));
    PT_TRY(pt_node_set_input(model, p.conv, 2, bias));
    PT_TRY(pt_node_take_sources(model, p.conv, id));
    return pt_rewrite_absorb(run, id, "conv_bn");
}

partita_status pt_pass_conv_bn(pt_pass_run *run) { return pt_rewrite_nodes(run, visit); }
