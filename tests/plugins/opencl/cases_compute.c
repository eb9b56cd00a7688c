/* SPDX-License-Identifier: Apache-2.0 */
/* Products, convolutions, pooling, reductions, normalisations, resizing, recurrence. */
#include "plugins/opencl/trial.h"

/* ---- products --------------------------------------------------------------------------------------------------- */

static void matmul_one(trial *t, int m, int n, int k) {
    uint32_t a = trial_in(t, PARTITA_FLOAT32, DIMS(m, k)), b = trial_in(t, PARTITA_FLOAT32, DIMS(k, n)),
             y = trial_out(t, PARTITA_FLOAT32, DIMS(m, n));
    trial_node(t, "MatMul", 13, a, b, NONE, y);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++) sum += (double)FLOATS(a)[i * k + l] * FLOATS(b)[l * n + j];
            FLOATS(y)[i * n + j] = (float)sum;
        }
}

/* Around the tiles: smaller, equal, larger by one. */
static void matmul_sizes(trial *t) {
    static const int sizes[][3] = {{1, 1, 1},   {4, 16, 8},   {5, 17, 9},  {3, 15, 33},
                                   {33, 40, 7}, {1, 100, 64}, {64, 1, 10}, {4, 7, 3}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) matmul_one(t, sizes[i][0], sizes[i][1], sizes[i][2]);
}

static void matmul_batches(trial *t) {
    uint32_t a = trial_in(t, PARTITA_FLOAT32, DIMS(2, 1, 5, 6)), b = trial_in(t, PARTITA_FLOAT32, DIMS(3, 6, 20)),
             y = trial_out(t, PARTITA_FLOAT32, DIMS(2, 3, 5, 20));
    trial_node(t, "MatMul", 13, a, b, NONE, y);
    for (int n = 0; n < 6; n++)
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < 20; j++) {
                double sum = 0;
                for (int l = 0; l < 6; l++)
                    sum += (double)FLOATS(a)[(n / 3 * 5 + i) * 6 + l] * FLOATS(b)[(n % 3 * 6 + l) * 20 + j];
                FLOATS(y)[(n * 5 + i) * 20 + j] = (float)sum;
            }
    uint32_t v = trial_in(t, PARTITA_FLOAT32, DIMS(6)), c = trial_in(t, PARTITA_FLOAT32, DIMS(2, 4, 6)),
             z = trial_out(t, PARTITA_FLOAT32, DIMS(2, 4)), w = trial_out(t, PARTITA_FLOAT32, DIMS(3, 20));
    trial_node(t, "MatMul", 13, c, v, NONE, z);
    trial_node(t, "MatMul", 13, v, b, NONE, w);
    for (int i = 0; i < 8; i++) {
        double sum = 0;
        for (int l = 0; l < 6; l++) sum += (double)FLOATS(c)[i * 6 + l] * FLOATS(v)[l];
        FLOATS(z)[i] = (float)sum;
    }
    for (int i = 0; i < 60; i++) {
        double sum = 0;
        for (int l = 0; l < 6; l++) sum += (double)FLOATS(v)[l] * FLOATS(b)[(i / 20 * 6 + l) * 20 + i % 20];
        FLOATS(w)[i] = (float)sum;
    }
}

static void gemm(trial *t) {
    for (int form = 0; form < 4; form++) {
        int ta = form & 1, tb = form >> 1, m = 6, n = 18, k = 11;
        uint32_t a = trial_in(t, PARTITA_FLOAT32, ta ? DIMS(11, 6) : DIMS(6, 11)),
                 b = trial_in(t, PARTITA_FLOAT32, tb ? DIMS(18, 11) : DIMS(11, 18));
        uint32_t c = trial_in(t, PARTITA_FLOAT32,
                              form == 0   ? DIMS(18)
                              : form == 1 ? DIMS(6, 1)
                              : form == 2 ? DIMS(6, 18)
                                          : SCALAR_DIMS),
                 y = trial_out(t, PARTITA_FLOAT32, DIMS(6, 18));
        trial_node(t, "Gemm", 13, a, b, c, y);
        bb_float(&t->block, "alpha", 0.5f);
        bb_float(&t->block, "beta", 2.0f);
        bb_int(&t->block, "transA", ta);
        bb_int(&t->block, "transB", tb);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) {
                double sum = 0;
                for (int l = 0; l < k; l++)
                    sum += (double)FLOATS(a)[ta ? l * m + i : i * k + l] * FLOATS(b)[tb ? j * k + l : l * n + j];
                float bias = FLOATS(c)[form == 0 ? j : form == 1 ? i : form == 2 ? i * n + j : 0];
                FLOATS(y)[i * n + j] = (float)(0.5 * sum + 2.0 * bias);
            }
    }
}

/* ---- convolutions ----------------------------------------------------------------------------------------------- */

typedef struct conv_shape {
    int n, c, h, w, m, kh, kw, group, sh, sw, top, left, bottom, right, dh, dw;
    bool bias;
} conv_shape;

static void conv_one(trial *t, const conv_shape *s) {
    int oh = (s->h + s->top + s->bottom - s->dh * (s->kh - 1) - 1) / s->sh + 1,
        ow = (s->w + s->left + s->right - s->dw * (s->kw - 1) - 1) / s->sw + 1;
    int cg = s->c / s->group, mg = s->m / s->group;
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(s->n, s->c, s->h, s->w)),
             w = trial_constant(t, PARTITA_FLOAT32, DIMS(s->m, cg, s->kh, s->kw), NULL);
    uint32_t b = s->bias ? trial_constant(t, PARTITA_FLOAT32, DIMS(s->m), NULL) : NONE,
             y = trial_out(t, PARTITA_FLOAT32, DIMS(s->n, s->m, oh, ow));
    trial_node(t, "Conv", 11, x, w, b, y);
    bb_int(&t->block, "group", s->group);
    bb_ints(&t->block, "strides", (int64_t[]){s->sh, s->sw}, 2);
    bb_ints(&t->block, "pads", (int64_t[]){s->top, s->left, s->bottom, s->right}, 4);
    bb_ints(&t->block, "dilations", (int64_t[]){s->dh, s->dw}, 2);
    for (int n = 0; n < s->n; n++)
        for (int m = 0; m < s->m; m++)
            for (int i = 0; i < oh * ow; i++) {
                double sum = s->bias ? FLOATS(b)[m] : 0;
                for (int c = 0; c < cg; c++)
                    for (int k = 0; k < s->kh * s->kw; k++) {
                        int r = i / ow * s->sh - s->top + k / s->kw * s->dh,
                            q = i % ow * s->sw - s->left + k % s->kw * s->dw;
                        if (r < 0 || q < 0 || r >= s->h || q >= s->w) continue;
                        sum += (double)FLOATS(x)[((n * s->c + m / mg * cg + c) * s->h + r) * s->w + q] *
                               FLOATS(w)[(m * cg + c) * s->kh * s->kw + k];
                    }
                FLOATS(y)[(n * s->m + m) * oh * ow + i] = (float)sum;
            }
}

static void conv_forms(trial *t) {
    static const conv_shape shapes[] = {
        {2, 3, 9, 11, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, true},    /* padded */
        {1, 8, 10, 20, 8, 3, 3, 8, 1, 1, 1, 1, 1, 1, 1, 1, false},  /* depthwise */
        {1, 6, 12, 13, 9, 3, 5, 3, 2, 1, 0, 2, 1, 2, 1, 1, true},   /* grouped, asymmetric */
        {1, 4, 15, 17, 10, 3, 3, 1, 1, 1, 2, 2, 2, 2, 2, 3, true},  /* dilated */
        {2, 10, 6, 7, 12, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, true},   /* product */
        {1, 12, 6, 7, 8, 1, 1, 4, 1, 1, 0, 0, 0, 0, 1, 1, true},    /* grouped product */
        {1, 5, 8, 9, 7, 1, 1, 1, 2, 2, 0, 0, 0, 0, 1, 1, false},    /* strided 1x1 */
        {1, 3, 21, 23, 16, 7, 7, 1, 2, 2, 3, 3, 3, 3, 1, 1, false}, /* stem */
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) conv_one(t, &shapes[i]);
}

static void conv_line(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(1, 4, 30)), w = trial_in(t, PARTITA_FLOAT32, DIMS(6, 4, 3)),
             y = trial_out(t, PARTITA_FLOAT32, DIMS(1, 6, 15));
    trial_node(t, "Conv", 11, x, w, NONE, y);
    bb_string(&t->block, "auto_pad", "SAME_UPPER");
    bb_ints(&t->block, "strides", (int64_t[]){2}, 1);
    for (int m = 0; m < 6; m++)
        for (int i = 0; i < 15; i++) {
            double sum = 0;
            for (int c = 0; c < 4; c++)
                for (int k = 0; k < 3; k++)
                    if (i * 2 + k < 30) sum += (double)FLOATS(x)[c * 30 + i * 2 + k] * FLOATS(w)[(m * 4 + c) * 3 + k];
            FLOATS(y)[m * 15 + i] = (float)sum;
        }
}

static void conv_transpose(trial *t) {
    enum { C = 4, M = 3, H = 5, W = 6, K = 3, G = 2 };
    int oh = (H - 1) * 2 - 1 - 0 + K + 1, ow = (W - 1) * 2 - 1 - 1 + K;
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(1, C, H, W)), w = trial_in(t, PARTITA_FLOAT32, DIMS(C, M, K, K)),
             b = trial_in(t, PARTITA_FLOAT32, DIMS(M * G));
    uint32_t y = trial_out(t, PARTITA_FLOAT32, DIMS(1, M * G, oh, ow));
    trial_node(t, "ConvTranspose", 11, x, w, b, y);
    bb_int(&t->block, "group", G);
    bb_ints(&t->block, "strides", (int64_t[]){2, 2}, 2);
    bb_ints(&t->block, "pads", (int64_t[]){1, 1, 0, 1}, 4);
    bb_ints(&t->block, "output_padding", (int64_t[]){1, 0}, 2);
    for (int m = 0; m < M * G; m++)
        for (int i = 0; i < oh * ow; i++) FLOATS(y)[m * oh * ow + i] = FLOATS(b)[m];
    for (int c = 0; c < C; c++)
        for (int i = 0; i < H * W; i++)
            for (int m = 0; m < M; m++)
                for (int k = 0; k < K * K; k++) {
                    int r = i / W * 2 - 1 + k / K, q = i % W * 2 - 1 + k % K, channel = c / (C / G) * M + m;
                    if (r < 0 || q < 0 || r >= oh || q >= ow) continue;
                    FLOATS(y)
                    [(channel * oh + r) * ow + q] += FLOATS(x)[c * H * W + i] * FLOATS(w)[(c * M + m) * K * K + k];
                }
}

/* ---- pooling ---------------------------------------------------------------------------------------------------- */

static void pools(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(2, 3, 7, 8));
    for (int form = 0; form < 3; form++) { /* maximum, average, average that counts padding */
        uint32_t y = trial_out(t, PARTITA_FLOAT32, DIMS(2, 3, 4, 4));
        trial_node(t, form == 0 ? "MaxPool" : "AveragePool", form == 0 ? 12 : 19, x, NONE, NONE, y);
        bb_ints(&t->block, "kernel_shape", (int64_t[]){3, 3}, 2);
        bb_ints(&t->block, "strides", (int64_t[]){2, 2}, 2);
        bb_ints(&t->block, "pads", (int64_t[]){1, 1, 1, 0}, 4);
        bb_int(&t->block, "ceil_mode", 1);
        if (form > 0) bb_int(&t->block, "count_include_pad", form == 2);
        for (int p = 0; p < 6; p++)
            for (int i = 0; i < 16; i++) {
                float most = -INFINITY, sum = 0;
                int found = 0, within = 0;
                for (int k = 0; k < 9; k++) {
                    int r = i / 4 * 2 - 1 + k / 3, q = i % 4 * 2 - 1 + k % 3;
                    if (r < 8 && q < 8) within++;
                    if (r < 0 || q < 0 || r >= 7 || q >= 8) continue;
                    most = fmaxf(most, FLOATS(x)[(p * 7 + r) * 8 + q]);
                    sum += FLOATS(x)[(p * 7 + r) * 8 + q];
                    found++;
                }
                FLOATS(y)[p * 16 + i] = form == 0 ? most : sum / (float)(form == 1 ? found : within);
            }
    }
    uint32_t mean = trial_out(t, PARTITA_FLOAT32, DIMS(2, 3, 1, 1)),
             most = trial_out(t, PARTITA_FLOAT32, DIMS(2, 3, 1, 1));
    trial_node(t, "GlobalAveragePool", 1, x, NONE, NONE, mean);
    trial_node(t, "GlobalMaxPool", 1, x, NONE, NONE, most);
    for (int p = 0; p < 6; p++) {
        float sum = 0, top = -INFINITY;
        for (int i = 0; i < 56; i++) {
            sum += FLOATS(x)[p * 56 + i];
            top = fmaxf(top, FLOATS(x)[p * 56 + i]);
        }
        FLOATS(mean)[p] = sum / 56;
        FLOATS(most)[p] = top;
    }
}

/* ---- reductions ------------------------------------------------------------------------------------------------- */

/* Over the axes 1 and 3 of [2, 5, 3, 40], and over all. */
static void reduces(trial *t) {
    static const char *const ops[] = {"ReduceSum", "ReduceMean", "ReduceMax",    "ReduceMin",       "ReduceProd",
                                      "ReduceL1",  "ReduceL2",   "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"};
    for (int k = 0; k < 20; k++) {
        int op = k % 10;
        bool all = k >= 10;
        uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(2, 5, 3, 40)),
                 y = trial_out(t, PARTITA_FLOAT32, all ? DIMS(1, 1, 1, 1) : DIMS(2, 3));
        trial_node(t, ops[op], 18, x, all ? NONE : trial_ints(t, 2, (int64_t[]){1, -1}), NONE, y);
        bb_int(&t->block, "keepdims", all);
        bb_int(&t->block, "noop_with_empty_axes", 0);
        for (int i = 0; i < 1200; i++)
            FLOATS(x)[i] = op == 4 ? 1 + FLOATS(x)[i] * 0.02f : op == 7 ? FLOATS(x)[i] + 1.1f : FLOATS(x)[i];
        double acc[6], count = all ? 1200 : 200;
        for (int i = 0; i < 6; i++) acc[i] = op == 2 ? -INFINITY : op == 3 ? INFINITY : op == 4;
        for (int i = 0; i < 1200; i++) {
            double v = FLOATS(x)[i], *a = &acc[all ? 0 : i / 600 * 3 + i / 40 % 3];
            *a = op == 2              ? fmax(*a, v)
                 : op == 3            ? fmin(*a, v)
                 : op == 4            ? *a * v
                 : op == 5            ? *a + fabs(v)
                 : op == 6 || op == 9 ? *a + v * v
                 : op == 8            ? *a + exp(v)
                                      : *a + v;
        }
        for (int i = 0; i < (all ? 1 : 6); i++) {
            FLOATS(y)
            [i] = (float)(op == 1              ? acc[i] / count
                          : op == 6            ? sqrt(acc[i])
                          : op == 7 || op == 8 ? log(acc[i])
                                               : acc[i]);
        }
    }
}

static void reduce_integers(trial *t) {
    uint32_t x = trial_in(t, PARTITA_INT64, DIMS(4, 90)), sum = trial_out(t, PARTITA_INT64, DIMS(4)),
             most = trial_out(t, PARTITA_INT64, DIMS(4)), least = trial_out(t, PARTITA_INT64, DIMS(4));
    uint32_t out[3] = {sum, most, least};
    static const char *const ops[] = {"ReduceSum", "ReduceMax", "ReduceMin"};
    for (int k = 0; k < 3; k++) {
        trial_node(t, ops[k], k == 0 ? 11 : 13, x, NONE, NONE, out[k]);
        bb_ints(&t->block, "axes", (int64_t[]){1}, 1);
        bb_int(&t->block, "keepdims", 0);
    }
    for (int i = 0; i < 360; i++) INT64S(x)[i] = INT64S(x)[i] * 3000000000 - 7;
    for (int i = 0; i < 4; i++) {
        INT64S(most)[i] = INT64_MIN;
        INT64S(least)[i] = INT64_MAX;
        for (int j = 0; j < 90; j++) {
            int64_t v = INT64S(x)[i * 90 + j];
            INT64S(sum)[i] += v;
            INT64S(most)[i] = v > INT64S(most)[i] ? v : INT64S(most)[i];
            INT64S(least)[i] = v < INT64S(least)[i] ? v : INT64S(least)[i];
        }
    }
}

static void arguments(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(3, 9, 4));
    for (int form = 0; form < 4; form++) {
        bool low = form & 1, last = form >> 1;
        uint32_t y = trial_out(t, PARTITA_INT64, DIMS(3, 4));
        trial_node(t, low ? "ArgMin" : "ArgMax", 13, x, NONE, NONE, y);
        bb_int(&t->block, "axis", -2);
        bb_int(&t->block, "keepdims", 0);
        bb_int(&t->block, "select_last_index", last);
        for (int i = 0; i < 108; i++) FLOATS(x)[i] = (float)(i * 7 % 5);
        for (int i = 0; i < 12; i++)
            for (int k = 1; k < 9; k++) {
                float v = FLOATS(x)[(i / 4 * 9 + k) * 4 + i % 4],
                      best = FLOATS(x)[(i / 4 * 9 + INT64S(y)[i]) * 4 + i % 4];
                if (low ? v < best || (last && v == best) : v > best || (last && v == best)) INT64S(y)[i] = k;
            }
    }
}

static void softmax_one(trial *t, const char *op, int since, int axis, int outer, int n, int inner, dims8 d) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, d), y = trial_out(t, PARTITA_FLOAT32, d);
    trial_node(t, op, since, x, NONE, NONE, y);
    bb_int(&t->block, "axis", axis);
    for (int i = 0; i < outer * inner; i++) {
        double sum = 0;
        int from = i / inner * n * inner + i % inner;
        for (int k = 0; k < n; k++) {
            FLOATS(x)[from + k * inner] *= 30;
            sum += exp(FLOATS(x)[from + k * inner]);
        }
        for (int k = 0; k < n; k++) {
            double v = FLOATS(x)[from + k * inner];
            FLOATS(y)[from + k * inner] = (float)(op[0] == 'L' ? v - log(sum) : exp(v) / sum);
        }
    }
}

static void softmaxes(trial *t) {
    softmax_one(t, "Softmax", 13, -1, 6, 100, 1, DIMS(2, 3, 100));
    softmax_one(t, "Softmax", 13, 1, 2, 7, 5, DIMS(2, 7, 5));
    softmax_one(t, "Softmax", 11, 1, 2, 35, 1, DIMS(2, 7, 5)); /* flattens */
    softmax_one(t, "LogSoftmax", 13, 0, 1, 9, 11, DIMS(9, 11));
}

static void cumsum(trial *t) {
    for (int form = 0; form < 4; form++) {
        bool exclusive = form & 1, reverse = form >> 1;
        uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(2, 6, 3)), y = trial_out(t, PARTITA_FLOAT32, DIMS(2, 6, 3));
        trial_node(t, "CumSum", 14, x, trial_constant(t, PARTITA_INT64, SCALAR_DIMS, (int64_t[]){1}), NONE, y);
        bb_int(&t->block, "exclusive", exclusive);
        bb_int(&t->block, "reverse", reverse);
        for (int i = 0; i < 36; i++)
            for (int k = 0; k < 6; k++) {
                int at = i / 3 % 6;
                if (reverse ? k > at || (k == at && !exclusive) : k < at || (k == at && !exclusive)) {
                    FLOATS(y)[i] += FLOATS(x)[(i / 18 * 6 + k) * 3 + i % 3];
                }
            }
    }
}

/* ---- normalisations --------------------------------------------------------------------------------------------- */

static void normalise(trial *t, uint32_t x, uint32_t scale, uint32_t bias, uint32_t y, int rows, int n,
                      int (*index)(int row, int k)) {
    for (int i = 0; i < rows; i++) {
        double mean = 0, variance = 0;
        for (int k = 0; k < n; k++) mean += FLOATS(x)[i * n + k] / (double)n;
        for (int k = 0; k < n; k++) variance += (FLOATS(x)[i * n + k] - mean) * (FLOATS(x)[i * n + k] - mean) / n;
        for (int k = 0; k < n; k++) {
            int c = index(i, k);
            FLOATS(y)
            [i * n + k] = (float)((FLOATS(x)[i * n + k] - mean) / sqrt(variance + 1e-3) * FLOATS(scale)[c] +
                                  (bias == NONE ? 0 : FLOATS(bias)[c]));
        }
    }
}
static int index_k(int row, int k) {
    (void)row;
    return k;
}
static int index_channel(int row, int k) {
    (void)k;
    return row % 4;
}
static int index_group(int row, int k) { return row % 2 * 2 + k / 35; }

static void norms(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(3, 4, 5, 7)), wide = trial_in(t, PARTITA_FLOAT32, DIMS(35)),
             bias = trial_in(t, PARTITA_FLOAT32, DIMS(35));
    uint32_t c1 = trial_in(t, PARTITA_FLOAT32, DIMS(4)), c2 = trial_in(t, PARTITA_FLOAT32, DIMS(4)), y[4];
    for (int k = 0; k < 4; k++) y[k] = trial_out(t, PARTITA_FLOAT32, DIMS(3, 4, 5, 7));
    uint32_t flat = trial_inner(t, PARTITA_FLOAT32, DIMS(3, 4, 35)),
             out = trial_out(t, PARTITA_FLOAT32, DIMS(3, 4, 35));
    trial_node(t, "Reshape", 14, x, trial_ints(t, 3, (int64_t[]){3, 4, 35}), NONE, flat);
    trial_node(t, "LayerNormalization", 17, flat, wide, bias, out);
    bb_float(&t->block, "epsilon", 1e-3f);
    bb_int(&t->block, "axis", -1);
    trial_node(t, "InstanceNormalization", 6, x, c1, c2, y[0]);
    bb_float(&t->block, "epsilon", 1e-3f);
    trial_node(t, "GroupNormalization", 21, x, c1, c2, y[1]);
    bb_float(&t->block, "epsilon", 1e-3f);
    bb_int(&t->block, "num_groups", 2);
    uint32_t mean = trial_in(t, PARTITA_FLOAT32, DIMS(4)), variance = trial_in(t, PARTITA_FLOAT32, DIMS(4)),
             in[5] = {x, c1, c2, mean, variance};
    bb_node(&t->block, "BatchNormalization", 15, in, 5, &y[2], 1);
    bb_float(&t->block, "epsilon", 1e-3f);
    bb_float(&t->block, "momentum", 0.9f);
    trial_node(t, "Neg", 13, x, NONE, NONE, y[3]);
    normalise(t, x, wide, bias, out, 12, 35, index_k);
    normalise(t, x, c1, c2, y[0], 12, 35, index_channel);
    normalise(t, x, c1, c2, y[1], 6, 70, index_group);
    for (int i = 0; i < 420; i++) {
        int c = i / 35 % 4;
        if (i % 35 == 0 && i < 140) FLOATS(variance)[c] = fabsf(FLOATS(variance)[c]);
        FLOATS(y[2])
        [i] = (FLOATS(x)[i] - FLOATS(mean)[c]) / sqrtf(FLOATS(variance)[c] + 1e-3f) * FLOATS(c1)[c] + FLOATS(c2)[c];
        FLOATS(y[3])[i] = -FLOATS(x)[i];
    }
}

/* ---- resize ----------------------------------------------------------------------------------------------------- */

static double tap(const float *x, int n, int i) { return x[i < 0 ? 0 : i >= n ? n - 1 : i]; }

static void resizes(trial *t) {
    static const char *const coordinates[] = {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"};
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    for (int k = 0; k < 12; k++) {
        int mode = k / 4, form = k % 4, n = 6, out = 14;
        uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(1, 1, 2, n)),
                 y = trial_out(t, PARTITA_FLOAT32, DIMS(1, 1, 2, out));
        uint32_t in[] = {x, NONE, NONE, trial_ints(t, 4, (int64_t[]){1, 1, 2, 14})};
        bb_node(&t->block, "Resize", 13, in, 4, &y, 1);
        bb_string(&t->block, "mode", modes[mode]);
        bb_string(&t->block, "coordinate_transformation_mode", coordinates[form]);
        bb_string(&t->block, "nearest_mode", "floor");
        for (int i = 0; i < 2 * out; i++) {
            const float *row = FLOATS(x) + i / out * n;
            float o = (float)(i % out), scale = (float)out / (float)n;
            float at = form == 1   ? o / scale
                       : form == 2 ? o * (float)(n - 1) / (float)(out - 1)
                                   : (o + 0.5f) / scale - 0.5f;
            int low = (int)floorf(at);
            double f = at - floorf(at), w[4], sum = 0;
            if (mode == 0) sum = tap(row, n, low);
            if (mode == 1) {
                double inside = at < 0 ? 0 : at > n - 1 ? n - 1 : at, part = inside - floor(inside);
                sum = (1 - part) * tap(row, n, (int)inside) + part * tap(row, n, (int)inside + 1);
            }
            if (mode == 2) {
                const double a = -0.75, d[4] = {1 + f, f, 1 - f, 2 - f};
                for (int j = 0; j < 4; j++) {
                    w[j] = d[j] <= 1 ? ((a + 2) * d[j] - (a + 3)) * d[j] * d[j] + 1
                                     : ((a * d[j] - 5 * a) * d[j] + 8 * a) * d[j] - 4 * a;
                    sum += w[j] * tap(row, n, low - 1 + j);
                }
            }
            FLOATS(y)[i] = (float)sum;
        }
    }
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(1, 2, 3, 4)), y = trial_out(t, PARTITA_FLOAT32, DIMS(1, 2, 6, 8));
    trial_node(t, "Upsample", 9, x, trial_constant(t, PARTITA_FLOAT32, DIMS(4), (float[]){1, 1, 2, 2}), NONE, y);
    bb_string(&t->block, "mode", "nearest");
    for (int i = 0; i < 96; i++) FLOATS(y)[i] = FLOATS(x)[(i / 48 * 3 + i / 8 % 6 / 2) * 4 + i % 8 / 2];
}

/* ---- recurrence ------------------------------------------------------------------------------------------------- */

enum { STEPS = 5, BATCH = 2, WIDTH = 7, UNITS = 6 };
static double sigmoid(double v) { return 1 / (1 + exp(-v)); }

/* The input's part and the state's part of gate k of unit u, without and with biases. */
static double part(const float *w, const float *v, int gate, int unit, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)w[(gate * UNITS + unit) * n + i] * v[i];
    return sum;
}

static void lstm(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(STEPS, BATCH, WIDTH)),
             w = trial_in(t, PARTITA_FLOAT32, DIMS(2, 4 * UNITS, WIDTH)),
             r = trial_in(t, PARTITA_FLOAT32, DIMS(2, 4 * UNITS, UNITS));
    uint32_t b = trial_in(t, PARTITA_FLOAT32, DIMS(2, 8 * UNITS)), lengths = trial_in(t, PARTITA_INT32, DIMS(BATCH)),
             h0 = trial_in(t, PARTITA_FLOAT32, DIMS(2, BATCH, UNITS)),
             c0 = trial_in(t, PARTITA_FLOAT32, DIMS(2, BATCH, UNITS));
    uint32_t p = trial_in(t, PARTITA_FLOAT32, DIMS(2, 3 * UNITS)), in[] = {x, w, r, b, lengths, h0, c0, p};
    uint32_t out[] = {trial_out(t, PARTITA_FLOAT32, DIMS(STEPS, 2, BATCH, UNITS)),
                      trial_out(t, PARTITA_FLOAT32, DIMS(2, BATCH, UNITS)),
                      trial_out(t, PARTITA_FLOAT32, DIMS(2, BATCH, UNITS))};
    bb_node(&t->block, "LSTM", 14, in, 8, out, 3);
    bb_string(&t->block, "direction", "bidirectional");
    bb_int(&t->block, "hidden_size", UNITS);
    INT32S(lengths)[0] = STEPS;
    INT32S(lengths)[1] = 3;
    for (int d = 0; d < 2; d++)
        for (int n = 0; n < BATCH; n++) {
            const float *wd = FLOATS(w) + d * 4 * UNITS * WIDTH, *rd = FLOATS(r) + d * 4 * UNITS * UNITS,
                        *bd = FLOATS(b) + d * 8 * UNITS, *pd = FLOATS(p) + d * 3 * UNITS;
            float h[UNITS], c[UNITS], next[UNITS];
            memcpy(h, FLOATS(h0) + (d * BATCH + n) * UNITS, sizeof(h));
            memcpy(c, FLOATS(c0) + (d * BATCH + n) * UNITS, sizeof(c));
            int length = INT32S(lengths)[n];
            for (int s = 0; s < length; s++) {
                int at = d == 0 ? s : length - 1 - s;
                const float *v = FLOATS(x) + (at * BATCH + n) * WIDTH;
                for (int u = 0; u < UNITS; u++) {
                    double g[4];
                    for (int k = 0; k < 4; k++)
                        g[k] = part(wd, v, k, u, WIDTH) + part(rd, h, k, u, UNITS) + bd[k * UNITS + u] +
                               bd[(4 + k) * UNITS + u];
                    double i = sigmoid(g[0] + pd[u] * c[u]), f = sigmoid(g[2] + pd[2 * UNITS + u] * c[u]);
                    double cell = f * c[u] + i * tanh(g[3]), o = sigmoid(g[1] + pd[UNITS + u] * cell);
                    c[u] = (float)cell;
                    next[u] = (float)(o * tanh(cell));
                }
                memcpy(h, next, sizeof(h));
                memcpy(FLOATS(out[0]) + ((at * 2 + d) * BATCH + n) * UNITS, h, sizeof(h));
            }
            memcpy(FLOATS(out[1]) + (d * BATCH + n) * UNITS, h, sizeof(h));
            memcpy(FLOATS(out[2]) + (d * BATCH + n) * UNITS, c, sizeof(c));
        }
}

static void gru_one(trial *t, bool linear) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(STEPS, BATCH, WIDTH)),
             w = trial_in(t, PARTITA_FLOAT32, DIMS(1, 3 * UNITS, WIDTH)),
             r = trial_in(t, PARTITA_FLOAT32, DIMS(1, 3 * UNITS, UNITS)),
             b = trial_in(t, PARTITA_FLOAT32, DIMS(1, 6 * UNITS));
    uint32_t in[] = {x, w, r, b}, out[] = {trial_out(t, PARTITA_FLOAT32, DIMS(STEPS, 1, BATCH, UNITS)),
                                           trial_out(t, PARTITA_FLOAT32, DIMS(1, BATCH, UNITS))};
    bb_node(&t->block, "GRU", 14, in, 4, out, 2);
    bb_string(&t->block, "direction", "reverse");
    bb_int(&t->block, "hidden_size", UNITS);
    bb_int(&t->block, "linear_before_reset", linear);
    const float *bias = FLOATS(b);
    for (int n = 0; n < BATCH; n++) {
        float h[UNITS] = {0}, next[UNITS], reset[UNITS];
        for (int s = STEPS - 1; s >= 0; s--) {
            const float *v = FLOATS(x) + (s * BATCH + n) * WIDTH;
            double gate[2][UNITS];
            for (int u = 0; u < UNITS; u++) {
                for (int k = 0; k < 2; k++)
                    gate[k][u] = sigmoid(part(FLOATS(w), v, k, u, WIDTH) + part(FLOATS(r), h, k, u, UNITS) +
                                         bias[k * UNITS + u] + bias[(3 + k) * UNITS + u]);
                reset[u] = (float)(gate[1][u] * h[u]);
            }
            for (int u = 0; u < UNITS; u++) {
                double state = linear ? gate[1][u] * (part(FLOATS(r), h, 2, u, UNITS) + bias[5 * UNITS + u])
                                      : part(FLOATS(r), reset, 2, u, UNITS) + bias[5 * UNITS + u];
                double candidate = tanh(part(FLOATS(w), v, 2, u, WIDTH) + bias[2 * UNITS + u] + state);
                next[u] = (float)((1 - gate[0][u]) * candidate + gate[0][u] * h[u]);
            }
            memcpy(h, next, sizeof(h));
            memcpy(FLOATS(out[0]) + (s * BATCH + n) * UNITS, h, sizeof(h));
        }
        memcpy(FLOATS(out[1]) + n * UNITS, h, sizeof(h));
    }
}

static void gru(trial *t) {
    gru_one(t, false);
    gru_one(t, true);
}

/* RNN with the batch first and Relu, only its last state taken. */
static void rnn(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(BATCH, STEPS, WIDTH)),
             w = trial_in(t, PARTITA_FLOAT32, DIMS(1, UNITS, WIDTH)),
             r = trial_in(t, PARTITA_FLOAT32, DIMS(1, UNITS, UNITS));
    uint32_t in[] = {x, w, r}, out[] = {NONE, trial_out(t, PARTITA_FLOAT32, DIMS(BATCH, 1, UNITS))};
    bb_node(&t->block, "RNN", 14, in, 3, out, 2);
    bb_strings(&t->block, "activations", (const char *[]){"Relu"}, 1);
    bb_int(&t->block, "hidden_size", UNITS);
    bb_int(&t->block, "layout", 1);
    bb_float(&t->block, "clip", 0.8f);
    for (int n = 0; n < BATCH; n++) {
        float h[UNITS] = {0}, next[UNITS];
        for (int s = 0; s < STEPS; s++) {
            for (int u = 0; u < UNITS; u++) {
                double g =
                    part(FLOATS(w), FLOATS(x) + (n * STEPS + s) * WIDTH, 0, u, WIDTH) + part(FLOATS(r), h, 0, u, UNITS);
                next[u] = (float)(g < 0 ? 0 : g > 0.8f ? 0.8f : g);
            }
            memcpy(h, next, sizeof(h));
        }
        memcpy(FLOATS(out[1]) + n * UNITS, h, sizeof(h));
    }
}

const trial_case cases_compute[] = {
    {"matmul, sizes", matmul_sizes},
    {"matmul, batches", matmul_batches},
    {"gemm", gemm},
    {"conv, forms", conv_forms},
    {"conv, one axis", conv_line},
    {"conv transpose", conv_transpose},
    {"pools", pools},
    {"reductions", reduces},
    {"reductions of integers", reduce_integers},
    {"arguments", arguments},
    {"softmax", softmaxes},
    {"cumulative sum", cumsum},
    {"normalisations", norms},
    {"resize", resizes},
    {"lstm", lstm},
    {"gru", gru},
    {"rnn", rnn},
};
const unsigned cases_compute_count = sizeof(cases_compute) / sizeof(cases_compute[0]);
