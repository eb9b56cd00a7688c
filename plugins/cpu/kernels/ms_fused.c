/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations at the end of FusedConv and FusedGemm.
 */
#include "cpu/kernels/ms_fused.h"

/* name, alpha and beta where the node gives none, value of x */
#define FUSED_ROWS(X)                                                                                                  \
    X(Relu, 0, 0, x > 0 ? x : 0)                                                                                       \
    X(LeakyRelu, 0.01f, 0, x < 0 ? a * x : x)                                                                          \
    X(Clip, -3.4028234e38f, 3.4028234e38f, x < a ? a : (x > b ? b : x))                                                \
    X(Sigmoid, 0, 0, 1 / (1 + exp(-x)))                                                                                \
    X(Tanh, 0, 0, tanh(x))                                                                                             \
    X(HardSigmoid, 0.2f, 0.5f, fmin(fmax(a *x + b, 0), 1))                                                             \
    X(Elu, 1, 0, x < 0 ? a * (exp(x) - 1) : x)                                                                         \
    X(ThresholdedRelu, 1, 0, x > a ? x : 0)                                                                            \
    X(ScaledTanh, 1, 1, a *tanh(b *x))                                                                                 \
    X(Softsign, 0, 0, x / (1 + fabs(x)))                                                                               \
    X(Softplus, 0, 0, x > 20 ? x : log1p(exp(x)))

enum {
    FUSED_NONE,
#define X(name, alpha, beta, expression) FUSED_##name,
    FUSED_ROWS(X)
#undef X
};

static const struct {
    const char *name;
    float alpha, beta;
} functions[] = {{"", 0, 0},
#define X(name, alpha, beta, expression) {#name, alpha, beta},
                 FUSED_ROWS(X)
#undef X
};
#define FUNCTION_COUNT (sizeof(functions) / sizeof(functions[0]))

static uint32_t function_of(const cpu_node *node) {
    partita_str name = ptp_attribute_str(node->block, &node->row, "activation");
    uint32_t f = 0;
    if (name.size == 0) return FUSED_NONE;
    while (f < FUNCTION_COUNT && !ptp_str_is(name, functions[f].name)) f++;
    return f;
}

bool cpu_fused_claim(const cpu_node *node, ptp_answer *answer) {
    partita_str name = ptp_attribute_str(node->block, &node->row, "activation");
    if (function_of(node) < FUNCTION_COUNT) return true;
    return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "activation %.*s", (int)name.size, name.data);
}

partita_status cpu_fused_read(const cpu_node *node, const ptp_host *host, cpu_fused *out) {
    uint32_t count = 0;
    const float *given = ptp_attribute_floats(node->block, &node->row, "activation_params", &count);
    out->function = function_of(node);
    if (out->function >= FUNCTION_COUNT) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "an unknown activation");
    out->alpha = cpu_attr_float(node, "activation_alpha", functions[out->function].alpha);
    out->beta = cpu_attr_float(node, "activation_beta", functions[out->function].beta);
    if (count > 0) out->alpha = given[0];
    if (count > 1) out->beta = given[1];
    return PARTITA_OK;
}

double cpu_fused_value(const cpu_fused *fused, double x) {
    double a = (double)fused->alpha, b = (double)fused->beta;
    (void)a, (void)b;
    switch (fused->function) {
#define X(name, alpha, beta, expression)                                                                               \
    case FUSED_##name: return expression;
        FUSED_ROWS(X)
#undef X
    default: return x;
    }
}

/* The usual ones in loops that compilers turn into vectors. */
void cpu_fused_rows(const cpu_fused *fused, float *x, uint64_t rows, uint64_t columns, int64_t step) {
    float a = fused->alpha, b = fused->beta;
    if (fused->function == FUSED_NONE) return;
    for (uint64_t r = 0; r < rows; r++, x += step) {
        if (fused->function == FUSED_Relu)
            for (uint64_t i = 0; i < columns; i++) x[i] = x[i] > 0 ? x[i] : 0;
        else if (fused->function == FUSED_LeakyRelu)
            for (uint64_t i = 0; i < columns; i++) x[i] = x[i] < 0 ? a * x[i] : x[i];
        else if (fused->function == FUSED_Clip)
            for (uint64_t i = 0; i < columns; i++) x[i] = x[i] < a ? a : (x[i] > b ? b : x[i]);
        else
            for (uint64_t i = 0; i < columns; i++) x[i] = (float)cpu_fused_value(fused, (double)x[i]);
    }
}
