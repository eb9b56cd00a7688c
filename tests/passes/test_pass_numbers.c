/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of fused weights: Conv and ConvTranspose, grouped, with and without bias, computed by plain loops in
 * double, before and after.
 */
#include "op/schema.h"
#include "pass/pass.h"
#include "passes/text.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { IN = 4, SIZE = 5, KERNEL = 3, GROUP = 2, MAX_OUT = 6 };

static float weight_at(const pt_tensor *tensor, size_t i) { return ((const float *)tensor->weight->data)[i]; }

static const pt_tensor *constant_of(const pt_model *model, const pt_node *node, uint32_t input) {
    return input < node->input_count ? pt_value_at(model, node->inputs[input])->constant : NULL;
}

/* A convolution without padding, stride 1; `out` [channels][full], where full is SIZE - KERNEL + 1 or SIZE + KERNEL
 * - 1. */
static void convolve(const pt_model *model, const pt_node *node, const double *x, int channels, double *out) {
    bool transposed = pt_str_is(node->op, "ConvTranspose");
    const pt_tensor *w = constant_of(model, node, 1), *bias = constant_of(model, node, 2);
    int full = transposed ? SIZE + KERNEL - 1 : SIZE - KERNEL + 1;
    int in_group = IN / GROUP, out_group = channels / GROUP;
    for (int o = 0; o < channels; o++) {
        for (int p = 0; p < full; p++) {
            double sum = bias ? weight_at(bias, (size_t)o) : 0;
            for (int i = 0; i < in_group; i++) {
                int channel = o / out_group * in_group + i;
                for (int k = 0; k < KERNEL; k++) {
                    int at = transposed ? p - k : p + k;
                    if (at < 0 || at >= SIZE) continue;
                    size_t index = transposed ? (size_t)((channel * out_group + o % out_group) * KERNEL + k)
                                              : (size_t)((o * in_group + i) * KERNEL + k);
                    sum += x[channel * SIZE + at] * (double)weight_at(w, index);
                }
            }
            out[o * full + p] = sum;
        }
    }
}

static void normalise(const pt_model *model, const pt_node *node, int channels, int full, double *values) {
    double epsilon = (double)pt_node_float(node, "epsilon", 0);
    for (int c = 0; c < channels; c++) {
        size_t i = (size_t)c;
        double factor = (double)weight_at(constant_of(model, node, 1), i) /
                        sqrt((double)weight_at(constant_of(model, node, 4), i) + epsilon);
        for (int p = 0; p < full; p++) {
            double *v = &values[c * full + p];
            *v = (*v - (double)weight_at(constant_of(model, node, 3), i)) * factor +
                 (double)weight_at(constant_of(model, node, 2), i);
        }
    }
}

static void fill(pt_model *model, const char *name, uint32_t *seed, float low, float high) {
    for (size_t v = 0; v < model->values.size; v++) {
        const pt_value *value = &model->values.data[v];
        if (!pt_str_is(value->name, name) || !value->constant) continue;
        union {
            const void *from;
            float *to;
        } data = {value->constant->weight->data};
        for (uint64_t i = 0; i < value->constant->count; i++) {
            *seed = *seed * 1664525u + 1013904223u;
            data.to[i] = low + (high - low) * (float)(*seed >> 8) / 16777216.0f;
        }
    }
}

static void fused_weights_compute_the_same(void **state) {
    PT_UNUSED(state);
    for (int variant = 0; variant < 4; variant++) {
        bool transposed = variant & 1, with_bias = variant & 2;
        int channels = transposed ? 4 : 6, full = transposed ? SIZE + KERNEL - 1 : SIZE - KERNEL + 1;
        char text[1024];
        snprintf(text, sizeof text,
                 "graph \"g\"\n"
                 "  input x: float32[1,%d,%d]\n"
                 "  constant w: float32[%d,2,%d] = {0}\n"
                 "  constant b: float32[%d] = {0}\n"
                 "  constant s: float32[%d] = {0}\n"
                 "  constant o: float32[%d] = {0}\n"
                 "  constant m: float32[%d] = {0}\n"
                 "  constant v: float32[%d] = {0}\n"
                 "  c = %s(x, w%s) {group=2}\n"
                 "  y = BatchNormalization(c, s, o, m, v) {epsilon=0.001}\n"
                 "  output y\n",
                 IN, SIZE, transposed ? IN : channels, KERNEL, channels, channels, channels, channels, channels,
                 transposed ? "ConvTranspose" : "Conv", with_bias ? ", b" : "");
        pt_model *model;
        if (text_parse(text, 17, &model)) fail_msg("%s", pt_last_message());
        uint32_t seed = 5 + (uint32_t)variant;
        static const char *const names[] = {"w", "b", "s", "o", "m"};
        for (size_t i = 0; i < PT_COUNT_OF(names); i++) fill(model, names[i], &seed, -1, 1);
        fill(model, "v", &seed, 0.1f, 2);
        if (pt_model_check(model) || pt_model_infer(model)) fail_msg("%s", pt_last_message());
        double x[IN * SIZE], before[MAX_OUT * (SIZE + KERNEL)], after[MAX_OUT * (SIZE + KERNEL)];
        for (int i = 0; i < IN * SIZE; i++) x[i] = sin(i + variant);
        convolve(model, pt_node_at(model, 0), x, channels, before);
        normalise(model, pt_node_at(model, 1), channels, full, before);
        if (pt_model_run_passes(model, NULL)) fail_msg("%s", pt_last_message());
        assert_int_equal(model->graphs.data[0].order.size, 1);
        convolve(model, pt_node_at(model, 0), x, channels, after);
        for (int i = 0; i < channels * full; i++)
            assert_true(fabs(before[i] - after[i]) < 1e-6 * (1 + fabs(before[i])));
        pt_model_destroy(model);
    }
}

/* Large weights are made when somebody wants them, of sources that are made so themselves. */
static void large_weights_are_recipes(void **state) {
    PT_UNUSED(state);
    enum { CHANNELS = 64, INNER = 30 * KERNEL };
    static const char text[] = "graph \"g\"\n"
                               "  input x: float32[1,30,5]\n"
                               "  constant w: float32[64,30,3] = {0}\n"
                               "  constant s: float32[64] = {0}\n"
                               "  constant o: float32[64] = {0}\n"
                               "  constant v: float32[64] = {0}\n"
                               "  c = Conv(x, w)\n"
                               "  d = BatchNormalization(c, s, o, o, v) {epsilon=0.001}\n"
                               "  y = BatchNormalization(d, s, o, o, v) {epsilon=0.001}\n"
                               "  output y\n";
    pt_model *model;
    uint32_t seed = 3;
    const void *data;
    if (text_parse(text, 17, &model)) fail_msg("%s", pt_last_message());
    fill(model, "w", &seed, -1, 1);
    fill(model, "s", &seed, -1, 1);
    fill(model, "o", &seed, -1, 1);
    fill(model, "v", &seed, 0.1f, 2);
    if (pt_model_check(model) || pt_model_infer(model)) fail_msg("%s", pt_last_message());
    const pt_tensor *w = constant_of(model, pt_node_at(model, 0), 1);
    const pt_tensor *s = constant_of(model, pt_node_at(model, 1), 1), *v = constant_of(model, pt_node_at(model, 1), 4);
    if (pt_model_run_passes(model, NULL)) fail_msg("%s", pt_last_message());
    assert_int_equal(model->graphs.data[0].order.size, 1);
    pt_weight *fused = constant_of(model, pt_node_at(model, 0), 1)->weight;
    assert_non_null(fused->recipe);
    assert_null(fused->data);
    assert_int_equal(fused->bytes, CHANNELS * INNER * sizeof(float));
    assert_int_equal(pt_weight_align(fused, 16, &data, NULL), PARTITA_OK);
    for (size_t i = 0; i < CHANNELS * INNER; i++) {
        size_t c = i / INNER;
        double factor = (double)weight_at(s, c) / sqrt((double)weight_at(v, c) + (double)0.001f);
        double want = (double)weight_at(w, i) * factor * factor;
        assert_true(fabs(((const float *)data)[i] - want) < 1e-6 * (1e-3 + fabs(want)));
    }
    pt_weight_unalign(fused, data);
    pt_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fused_weights_compute_the_same),
                                       cmocka_unit_test(large_weights_are_recipes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
