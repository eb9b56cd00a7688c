/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise operators: types, broadcasting, attributes, NaN. */
#include "plugins/opencl/trial.h"

/* Unary operators with their truth; inputs in (-1, 1) unless shifted. */
static double t_relu(double x) { return x < 0 ? 0 : x; }
static double t_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double t_softplus(double x) { return log1p(exp(x)); }
static double t_hardswish(double x) { return x * fmax(0, fmin(1, x / 6 + 0.5)); }
static double t_mish(double x) { return x * tanh(log1p(exp(x))); }
static double t_round(double x) { return rint(x); }
static double t_sign(double x) { return (x > 0) - (x < 0); }
static double t_softsign(double x) { return x / (1 + fabs(x)); }
static double t_reciprocal(double x) { return 1 / x; }
static double t_neg(double x) { return -x; }
static const struct {
    const char *op;
    double (*truth)(double);
    float scale, shift;
} unaries[] = {
    {"Abs", fabs, 3, 0},
    {"Acos", acos, 0.99f, 0},
    {"Acosh", acosh, 1, 3},
    {"Asin", asin, 0.99f, 0},
    {"Asinh", asinh, 5, 0},
    {"Atan", atan, 5, 0},
    {"Atanh", atanh, 0.9f, 0},
    {"Ceil", ceil, 5, 0},
    {"Cos", cos, 5, 0},
    {"Cosh", cosh, 3, 0},
    {"Erf", erf, 3, 0},
    {"Exp", exp, 4, 0},
    {"Floor", floor, 5, 0},
    {"HardSwish", t_hardswish, 5, 0},
    {"Log", log, 1, 2},
    {"Mish", t_mish, 5, 0},
    {"Neg", t_neg, 3, 0},
    {"Reciprocal", t_reciprocal, 1, 3},
    {"Relu", t_relu, 2, 0},
    {"Round", t_round, 5, 0},
    {"Sigmoid", t_sigmoid, 8, 0},
    {"Sign", t_sign, 1, 0},
    {"Sin", sin, 5, 0},
    {"Sinh", sinh, 3, 0},
    {"Softplus", t_softplus, 9, 0},
    {"Softsign", t_softsign, 4, 0},
    {"Sqrt", sqrt, 1, 2},
    {"Tan", tan, 1, 0},
    {"Tanh", tanh, 6, 0},
};

static void unary_all(trial *t) {
    for (size_t k = 0; k < sizeof(unaries) / sizeof(unaries[0]); k++) {
        uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(3, 41)), y = trial_out(t, PARTITA_FLOAT32, DIMS(3, 41));
        trial_node(t, unaries[k].op, 13, x, NONE, NONE, y);
        for (uint64_t i = 0; i < t->elements[x]; i++) {
            FLOATS(x)[i] = FLOATS(x)[i] * unaries[k].scale + unaries[k].shift;
            FLOATS(y)[i] = (float)unaries[k].truth(FLOATS(x)[i]);
        }
    }
}

static void unary_parameters(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(77)), y[4];
    for (int k = 0; k < 4; k++) y[k] = trial_out(t, PARTITA_FLOAT32, DIMS(77));
    trial_node(t, "LeakyRelu", 16, x, NONE, NONE, y[0]);
    bb_float(&t->block, "alpha", 0.3f);
    trial_node(t, "HardSigmoid", 6, x, NONE, NONE, y[1]);
    bb_float(&t->block, "alpha", 0.7f);
    bb_float(&t->block, "beta", 0.1f);
    trial_node(t, "Elu", 6, x, NONE, NONE, y[2]);
    bb_float(&t->block, "alpha", 1.5f);
    trial_node(t, "Shrink", 9, x, NONE, NONE, y[3]);
    bb_float(&t->block, "bias", 0.2f);
    bb_float(&t->block, "lambd", 0.4f);
    for (int i = 0; i < 77; i++) {
        float v = FLOATS(x)[i], h = 0.7f * v + 0.1f;
        FLOATS(y[0])[i] = v < 0 ? 0.3f * v : v;
        FLOATS(y[1])[i] = h < 0 ? 0 : h > 1 ? 1 : h;
        FLOATS(y[2])[i] = v < 0 ? 1.5f * (expf(v) - 1) : v;
        FLOATS(y[3])[i] = v < -0.4f ? v + 0.2f : v > 0.4f ? v - 0.2f : 0;
    }
}

/* [2,3,4,5] with shapes that broadcast along other axes. */
static void binary_broadcast(trial *t) {
    static const dims8 shapes[] = {{4, {2, 3, 4, 5}}, {1, {5}}, {4, {1, 3, 1, 1}},
                                   {4, {2, 1, 4, 1}}, {0, {0}}, {3, {3, 4, 1}}};
    for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++) {
        static const char *const ops[] = {"Add", "Sub", "Mul", "Div"};
        uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(2, 3, 4, 5)), y = trial_in(t, PARTITA_FLOAT32, shapes[k]);
        uint32_t z = trial_out(t, PARTITA_FLOAT32, DIMS(2, 3, 4, 5));
        int op = (int)k % 4, swapped = (int)k % 2;
        trial_node(t, ops[op], 14, swapped ? y : x, swapped ? x : y, NONE, z);
        for (int i = 0; i < 120; i++) {
            int64_t at[4] = {i / 60, i / 20 % 3, i / 5 % 4, i % 5}, from = 0;
            FLOATS(x)[i] += FLOATS(x)[i] < 0 ? -0.5f : 0.5f;
            for (int32_t d = 0; d < shapes[k].rank; d++) {
                int64_t n = shapes[k].dims[d];
                from = from * n + (n == 1 ? 0 : at[d + 4 - shapes[k].rank]);
            }
            float v = FLOATS(y)[from];
            if (i == 0) {
                for (uint64_t j = 0; j < t->elements[y]; j++) FLOATS(y)[j] += FLOATS(y)[j] < 0 ? -0.5f : 0.5f;
                v = FLOATS(y)[from];
            }
            float a = swapped ? v : FLOATS(x)[i], b = swapped ? FLOATS(x)[i] : v;
            FLOATS(z)[i] = op == 0 ? a + b : op == 1 ? a - b : op == 2 ? a * b : a / b;
        }
    }
}

static void binary_rank8(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(2, 1, 2, 3, 2, 1, 2, 3)),
             y = trial_in(t, PARTITA_FLOAT32, DIMS(2, 2, 1, 3, 1, 2, 1, 3));
    uint32_t z = trial_out(t, PARTITA_FLOAT32, DIMS(2, 2, 2, 3, 2, 2, 2, 3));
    static const int64_t dz[] = {2, 2, 2, 3, 2, 2, 2, 3}, dx[] = {2, 1, 2, 3, 2, 1, 2, 3},
                         dy[] = {2, 2, 1, 3, 1, 2, 1, 3};
    trial_node(t, "Add", 14, x, y, NONE, z);
    for (int64_t i = 0; i < 576; i++) {
        int64_t at[8], rest = i, from_x = 0, from_y = 0;
        for (int d = 7; d >= 0; d--) {
            at[d] = rest % dz[d];
            rest /= dz[d];
        }
        for (int d = 0; d < 8; d++) {
            from_x = from_x * dx[d] + at[d] % dx[d];
            from_y = from_y * dy[d] + at[d] % dy[d];
        }
        FLOATS(z)[i] = FLOATS(x)[from_x] + FLOATS(y)[from_y];
    }
}

static void integers(trial *t) {
    uint32_t x = trial_in(t, PARTITA_INT64, DIMS(50)), y = trial_in(t, PARTITA_INT64, DIMS(50));
    uint32_t quotient = trial_out(t, PARTITA_INT64, DIMS(50)), rest = trial_out(t, PARTITA_INT64, DIMS(50));
    uint32_t less = trial_out(t, PARTITA_BOOL, DIMS(50)), most = trial_out(t, PARTITA_INT64, DIMS(50));
    uint32_t power = trial_out(t, PARTITA_INT64, DIMS(50));
    uint32_t a = trial_in(t, PARTITA_UINT8, DIMS(50)), b = trial_in(t, PARTITA_UINT8, DIMS(50)),
             sum = trial_out(t, PARTITA_UINT8, DIMS(50));
    trial_node(t, "Div", 14, x, y, NONE, quotient);
    trial_node(t, "Mod", 13, x, y, NONE, rest);
    bb_int(&t->block, "fmod", 0);
    trial_node(t, "Less", 13, x, y, NONE, less);
    trial_node(t, "Max", 13, x, y, NONE, most);
    trial_node(t, "Pow", 15, x, trial_constant(t, PARTITA_INT64, SCALAR_DIMS, (int64_t[]){3}), NONE, power);
    trial_node(t, "Add", 14, a, b, NONE, sum);
    for (int i = 0; i < 50; i++) {
        int64_t p = INT64S(x)[i], q = INT64S(y)[i] == 0 ? 3 : INT64S(y)[i];
        INT64S(y)[i] = q;
        INT64S(quotient)[i] = p / q;
        INT64S(rest)[i] = p % q != 0 && ((p % q < 0) != (q < 0)) ? p % q + q : p % q;
        BYTES(less)[i] = p < q;
        INT64S(most)[i] = p > q ? p : q;
        INT64S(power)[i] = p * p * p;
        BYTES(sum)[i] = (uint8_t)(BYTES(a)[i] + BYTES(b)[i]);
    }
}

static void logic(trial *t) {
    uint32_t x = trial_in(t, PARTITA_BOOL, DIMS(6, 7)), y = trial_in(t, PARTITA_BOOL, DIMS(7)), out[4];
    for (int k = 0; k < 4; k++) out[k] = trial_out(t, PARTITA_BOOL, DIMS(6, 7));
    trial_node(t, "And", 7, x, y, NONE, out[0]);
    trial_node(t, "Or", 7, x, y, NONE, out[1]);
    trial_node(t, "Xor", 7, x, y, NONE, out[2]);
    trial_node(t, "Not", 1, x, NONE, NONE, out[3]);
    for (int i = 0; i < 42; i++) {
        uint8_t a = BYTES(x)[i], b = BYTES(y)[i % 7];
        BYTES(out[0])[i] = a & b;
        BYTES(out[1])[i] = a | b;
        BYTES(out[2])[i] = a ^ b;
        BYTES(out[3])[i] = !a;
    }
}

static void not_a_number(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(4)), y = trial_in(t, PARTITA_FLOAT32, DIMS(4)),
             most = trial_out(t, PARTITA_FLOAT32, DIMS(4));
    uint32_t relu = trial_out(t, PARTITA_FLOAT32, DIMS(4)), nan = trial_out(t, PARTITA_BOOL, DIMS(4)),
             inf = trial_out(t, PARTITA_BOOL, DIMS(4));
    const float xs[] = {NAN, 1, -INFINITY, 2}, ys[] = {1, NAN, 3, INFINITY};
    trial_node(t, "Max", 13, x, y, NONE, most);
    trial_node(t, "Relu", 14, x, NONE, NONE, relu);
    trial_node(t, "IsNaN", 13, x, NONE, NONE, nan);
    trial_node(t, "IsInf", 10, x, NONE, NONE, inf);
    bb_int(&t->block, "detect_negative", 1);
    bb_int(&t->block, "detect_positive", 1);
    for (int i = 0; i < 4; i++) {
        FLOATS(x)[i] = xs[i];
        FLOATS(y)[i] = ys[i];
        FLOATS(most)[i] = isnan(xs[i]) || isnan(ys[i]) ? NAN : fmaxf(xs[i], ys[i]);
        FLOATS(relu)[i] = isnan(xs[i]) ? NAN : xs[i] < 0 ? 0 : xs[i];
        BYTES(nan)[i] = isnan(xs[i]) != 0;
        BYTES(inf)[i] = isinf(xs[i]) != 0;
    }
}

static void clip_where_cast(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(2, 30)), c = trial_in(t, PARTITA_BOOL, DIMS(2, 1));
    uint32_t low = trial_in(t, PARTITA_FLOAT32, SCALAR_DIMS),
             high = trial_constant(t, PARTITA_FLOAT32, SCALAR_DIMS, (float[]){0.5f});
    uint32_t clipped = trial_out(t, PARTITA_FLOAT32, DIMS(2, 30)), above = trial_out(t, PARTITA_FLOAT32, DIMS(2, 30)),
             chosen = trial_out(t, PARTITA_FLOAT32, DIMS(2, 30));
    uint32_t whole = trial_out(t, PARTITA_INT64, DIMS(2, 30)), truth = trial_out(t, PARTITA_BOOL, DIMS(2, 30)),
             back = trial_out(t, PARTITA_FLOAT32, DIMS(2, 1));
    uint32_t old = trial_out(t, PARTITA_FLOAT32, DIMS(2, 30));
    trial_node(t, "Clip", 13, x, low, high, clipped);
    trial_node(t, "Clip", 13, x, NONE, high, above);
    trial_node(t, "Where", 16, c, x, high, chosen);
    trial_node(t, "Cast", 13, x, NONE, NONE, whole);
    bb_int(&t->block, "to", PARTITA_INT64);
    trial_node(t, "Cast", 13, x, NONE, NONE, truth);
    bb_int(&t->block, "to", PARTITA_BOOL);
    trial_node(t, "Cast", 13, c, NONE, NONE, back);
    bb_int(&t->block, "to", PARTITA_FLOAT32);
    trial_node(t, "Clip", 6, x, NONE, NONE, old);
    bb_float(&t->block, "min", -0.25f);
    FLOATS(low)[0] = -0.5f;
    for (int i = 0; i < 60; i++) {
        float v = FLOATS(x)[i] * 3;
        if (i % 9 == 0) v = 0;
        FLOATS(x)[i] = v;
        FLOATS(clipped)[i] = v < -0.5f ? -0.5f : v > 0.5f ? 0.5f : v;
        FLOATS(above)[i] = v > 0.5f ? 0.5f : v;
        FLOATS(chosen)[i] = BYTES(c)[i / 30] ? v : 0.5f;
        INT64S(whole)[i] = (int64_t)v;
        BYTES(truth)[i] = v != 0;
        FLOATS(back)[i / 30] = BYTES(c)[i / 30];
        FLOATS(old)[i] = v < -0.25f ? -0.25f : v;
    }
}

static void variadic(trial *t) {
    uint32_t in[4] = {trial_in(t, PARTITA_FLOAT32, DIMS(3, 4)), trial_in(t, PARTITA_FLOAT32, DIMS(4)),
                      trial_in(t, PARTITA_FLOAT32, DIMS(3, 1)), trial_in(t, PARTITA_FLOAT32, SCALAR_DIMS)};
    uint32_t least = trial_out(t, PARTITA_FLOAT32, DIMS(3, 4)), mean = trial_out(t, PARTITA_FLOAT32, DIMS(3, 4)),
             one = trial_out(t, PARTITA_FLOAT32, DIMS(3, 4));
    bb_node(&t->block, "Min", 13, in, 4, &least, 1);
    bb_node(&t->block, "Mean", 13, in, 4, &mean, 1);
    bb_node(&t->block, "Sum", 13, in, 1, &one, 1);
    for (int i = 0; i < 12; i++) {
        float v[4] = {FLOATS(in[0])[i], FLOATS(in[1])[i % 4], FLOATS(in[2])[i / 4], FLOATS(in[3])[0]};
        FLOATS(least)[i] = fminf(fminf(v[0], v[1]), fminf(v[2], v[3]));
        FLOATS(mean)[i] = (v[0] + v[1] + v[2] + v[3]) / 4;
        FLOATS(one)[i] = v[0];
    }
}

static void powers(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(40)), y = trial_in(t, PARTITA_FLOAT32, DIMS(40)), out[3];
    for (int k = 0; k < 3; k++) out[k] = trial_out(t, PARTITA_FLOAT32, DIMS(40));
    trial_node(t, "Pow", 15, x, y, NONE, out[0]);
    trial_node(t, "Pow", 15, x, trial_constant(t, PARTITA_FLOAT32, SCALAR_DIMS, (float[]){2}), NONE, out[1]);
    trial_node(t, "Gelu", 20, x, NONE, NONE, out[2]);
    for (int i = 0; i < 40; i++) {
        if (i % 3 == 0)
            FLOATS(y)[i] = (float)(i % 5);
        else
            FLOATS(x)[i] = fabsf(FLOATS(x)[i]) + 0.1f;
        float v = FLOATS(x)[i];
        FLOATS(out[0])[i] = powf(v, FLOATS(y)[i]);
        FLOATS(out[1])[i] = v * v;
        FLOATS(out[2])[i] = 0.5f * v * (1 + erff(v * 0.70710678f));
    }
}

/* Chains that become one kernel, and what must break them: a second reader, an alias, a smaller shape, too many terms
 * or inputs, a reader that is no element-wise step. */
static void chains(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(2, 3, 4)), row = trial_in(t, PARTITA_FLOAT32, DIMS(3, 1)), v[9],
             y[6];
    const dims8 d = {3, {2, 3, 4}};
    for (int k = 0; k < 9; k++) v[k] = trial_inner(t, PARTITA_FLOAT32, d);
    for (int k = 0; k < 4; k++) y[k] = trial_out(t, PARTITA_FLOAT32, d);
    y[4] = trial_out(t, PARTITA_BOOL, d);
    y[5] = trial_out(t, PARTITA_FLOAT32, DIMS(2, 3));
    trial_node(t, "Add", 14, x, row, NONE, v[0]); /* with strides */
    trial_node(t, "Sigmoid", 13, v[0], NONE, NONE, v[1]);
    trial_node(t, "Mul", 14, x, v[1], NONE, y[0]); /* one kernel of three */
    trial_node(t, "Exp", 13, x, NONE, NONE, v[2]); /* two readers */
    trial_node(t, "Neg", 13, v[2], NONE, NONE, v[3]);
    trial_node(t, "Add", 14, v[3], v[2], NONE, y[1]);
    uint32_t small = trial_inner(t, PARTITA_FLOAT32, DIMS(3, 1)); /* smaller than what reads it */
    trial_node(t, "Neg", 13, row, NONE, NONE, small);
    trial_node(t, "Mul", 14, x, small, NONE, v[4]);
    trial_node(t, "LeakyRelu", 16, v[4], NONE, NONE, v[5]);
    bb_float(&t->block, "alpha", 0.5f);
    trial_node(t, "Elu", 6, v[5], NONE, NONE, y[2]);
    bb_float(&t->block, "alpha", 2.0f);
    trial_node(t, "Abs", 13, x, NONE, NONE, v[6]); /* through an alias */
    trial_node(t, "Identity", 13, v[6], NONE, NONE, v[7]);
    trial_node(t, "Sqrt", 13, v[7], NONE, NONE, y[3]);
    trial_node(t, "Mul", 14, x, x, NONE, v[8]);
    trial_node(t, "Greater", 13, v[8], trial_constant(t, PARTITA_FLOAT32, SCALAR_DIMS, (float[]){0.25f}), NONE, y[4]);
    uint32_t product = trial_inner(t, PARTITA_FLOAT32, d); /* read by no element-wise step */
    trial_node(t, "Tanh", 13, x, NONE, NONE, product);
    trial_node(t, "ReduceSum", 13, product, trial_ints(t, 1, (int64_t[]){2}), NONE, y[5]);
    bb_int(&t->block, "keepdims", 0);
    for (int i = 0; i < 24; i++) {
        float a = FLOATS(x)[i], b = FLOATS(row)[i / 4 % 3], e = -a * b;
        e = e < 0 ? 0.5f * e : e;
        FLOATS(y[0])[i] = (float)(a * t_sigmoid(a + b));
        FLOATS(y[1])[i] = 0;
        FLOATS(y[2])[i] = e < 0 ? 2.0f * (expf(e) - 1) : e;
        FLOATS(y[3])[i] = sqrtf(fabsf(a));
        BYTES(y[4])[i] = a * a > 0.25f;
        FLOATS(y[5])[i / 4] += tanhf(a);
    }
}

static void chains_long(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(40)), from = x, y = trial_out(t, PARTITA_FLOAT32, DIMS(40));
    uint32_t more[12], sum = trial_out(t, PARTITA_FLOAT32, DIMS(40)), most = trial_out(t, PARTITA_FLOAT32, DIMS(40));
    for (int k = 0; k < 20; k++) { /* more terms than one kernel holds */
        uint32_t to = k == 19 ? y : trial_inner(t, PARTITA_FLOAT32, DIMS(40));
        trial_node(t, k % 2 ? "Neg" : "Sin", 13, from, NONE, NONE, to);
        from = to;
    }
    from = x;
    for (int k = 0; k < 12; k++) { /* more inputs than one kernel binds */
        more[k] = trial_in(t, PARTITA_FLOAT32, DIMS(40));
        uint32_t to = k == 11 ? sum : trial_inner(t, PARTITA_FLOAT32, DIMS(40));
        trial_node(t, "Add", 14, from, more[k], NONE, to);
        from = to;
    }
    bb_node(&t->block, "Max", 13, more, 12, &most, 1);
    for (int i = 0; i < 40; i++) {
        double v = FLOATS(x)[i];
        for (int k = 0; k < 20; k++) v = k % 2 ? -v : sin(v);
        FLOATS(y)[i] = (float)v;
        FLOATS(sum)[i] = FLOATS(x)[i];
        FLOATS(most)[i] = -INFINITY;
        for (int k = 0; k < 12; k++) {
            FLOATS(sum)[i] += FLOATS(more[k])[i];
            FLOATS(most)[i] = fmaxf(FLOATS(most)[i], FLOATS(more[k])[i]);
        }
    }
}

/* Batch normalisation walks other axes than what follows it. */
static void chains_axes(trial *t) {
    const dims8 d = {4, {2, 3, 2, 5}};
    uint32_t x = trial_in(t, PARTITA_FLOAT32, d), in[5] = {x}, norm = trial_inner(t, PARTITA_FLOAT32, d),
             plain = trial_inner(t, PARTITA_FLOAT32, d);
    for (int i = 1; i < 5; i++) in[i] = trial_in(t, PARTITA_FLOAT32, DIMS(3));
    uint32_t relu = trial_out(t, PARTITA_FLOAT32, d), w = trial_in(t, PARTITA_FLOAT32, DIMS(2, 1, 2, 1)),
             sum = trial_out(t, PARTITA_FLOAT32, d);
    bb_node(&t->block, "BatchNormalization", 15, in, 5, &norm, 1);
    bb_float(&t->block, "epsilon", 0.5f);
    trial_node(t, "Relu", 14, norm, NONE, NONE, relu);
    bb_node(&t->block, "BatchNormalization", 15, in, 5, &plain, 1);
    bb_float(&t->block, "epsilon", 0.5f);
    trial_node(t, "Add", 14, plain, w, NONE, sum);
    for (int c = 0; c < 3; c++) FLOATS(in[4])[c] = fabsf(FLOATS(in[4])[c]);
    for (int i = 0; i < 60; i++) {
        int c = i / 10 % 3;
        float v =
            (FLOATS(x)[i] - FLOATS(in[3])[c]) / sqrtf(FLOATS(in[4])[c] + 0.5f) * FLOATS(in[1])[c] + FLOATS(in[2])[c];
        FLOATS(relu)[i] = v < 0 ? 0 : v;
        FLOATS(sum)[i] = v + FLOATS(w)[i / 30 * 2 + i / 5 % 2];
    }
}

const trial_case cases_elementwise[] = {
    {"unary, all rows", unary_all},
    {"unary with parameters", unary_parameters},
    {"binary, broadcast", binary_broadcast},
    {"binary, rank 8", binary_rank8},
    {"integers", integers},
    {"logic", logic},
    {"not a number", not_a_number},
    {"clip, where, cast", clip_where_cast},
    {"variadic", variadic},
    {"powers", powers},
    {"chains", chains},
    {"chains, long", chains_long},
    {"chains, axes", chains_axes},
};
const unsigned cases_elementwise_count = sizeof(cases_elementwise) / sizeof(cases_elementwise[0]);
