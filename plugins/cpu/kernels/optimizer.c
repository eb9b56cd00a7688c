/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adagrad, Adam and Momentum: one step of training for any number of tensors. Inputs are the rate, the count of steps,
 * then all tensors, all their gradients and one or two groups of what is kept about each; outputs the same without the
 * gradients. One function per operator moves one element.
 */
#include "cpu/kernels/reference.h"

#define PIECE  256 /* elements at a time */
#define GROUPS 4   /* at most: tensor, gradient, two kept */

typedef struct optimizer_state {
    uint32_t groups;
    double alpha, beta, epsilon, norm, norm_post, decay;
    bool nesterov;
    /* One element: its groups before, of which those but the gradient change. */
    void (*step)(const struct optimizer_state *state, double rate, double count, double *element);
} optimizer_state;

enum { X, G, V, H }; /* Adagrad keeps its squares in V's place */

static void adagrad_step(const optimizer_state *state, double rate, double count, double *e) {
    double gradient = state->norm * e[X] + e[G];
    e[V] += gradient * gradient;
    e[X] -= rate / (1 + count * state->decay) * gradient / (sqrt(e[V]) + state->epsilon);
}

static void adam_step(const optimizer_state *state, double rate, double count, double *e) {
    double gradient = state->norm * e[X] + e[G];
    e[V] = state->alpha * e[V] + (1 - state->alpha) * gradient;
    e[H] = state->beta * e[H] + (1 - state->beta) * gradient * gradient;
    if (count > 0) rate *= sqrt(1 - pow(state->beta, count)) / (1 - pow(state->alpha, count));
    e[X] = (1 - state->norm_post) * (e[X] - rate * e[V] / (sqrt(e[H]) + state->epsilon));
}

static void momentum_step(const optimizer_state *state, double rate, double count, double *e) {
    double gradient = state->norm * e[X] + e[G];
    e[V] = state->alpha * e[V] + (count > 0 ? state->beta : 1) * gradient;
    e[X] -= rate * (state->nesterov ? gradient + state->alpha * e[V] : e[V]);
}

static partita_status optimizer_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    optimizer_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->step = ptp_str_is(op, "Adam") ? adam_step : ptp_str_is(op, "Adagrad") ? adagrad_step : momentum_step;
    state->groups = state->step == adam_step ? 4 : 3;
    state->alpha = (double)cpu_attr_float(node, "alpha", 0.9f);
    state->beta = (double)cpu_attr_float(node, "beta", 0.999f);
    state->epsilon = (double)cpu_attr_float(node, "epsilon", 1e-6f);
    state->norm = (double)cpu_attr_float(node, "norm_coefficient", 0);
    state->norm_post = (double)cpu_attr_float(node, "norm_coefficient_post", 0);
    state->decay = (double)cpu_attr_float(node, "decay_factor", 0);
    state->nesterov = cpu_attr_is(node, "mode", "nesterov");
    return PARTITA_OK;
}

static bool optimizer_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row value;
    if (cpu_input_dtype(node, 1) != PARTITA_INT64)
        return cpu_refuse(answer, PARTITA_REASON_DTYPE, "the count of steps is of %s",
                          cpu_dtype_name(cpu_input_dtype(node, 1)));
    for (uint32_t i = 0; i < node->row.inputs.count; i++)
        if (i != 1 &&
            (!cpu_node_input(node, i, &value) || (value.dtype != PARTITA_FLOAT32 && value.dtype != PARTITA_FLOAT64)))
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input %u is not of floating-point numbers", i);
    return true;
}

/* Tensor `t`: the groups' operands and their targets, all of one shape. */
static partita_status tensor_step(const cpu_call *call, uint32_t t, uint32_t tensors, double rate, double count) {
    const optimizer_state *state = call->state;
    const cpu_tensor *in[GROUPS] = {0};
    cpu_tensor *out[GROUPS] = {0};
    double pieces[GROUPS][PIECE], element[GROUPS];
    for (uint32_t g = 0; g < state->groups; g++) {
        uint32_t to = (g > 1 ? g - 1 : 0) * tensors + t;
        in[g] = &call->in[2 + g * tensors + t];
        if (!cpu_same_dims(in[g], in[X]->rank, in[X]->dims))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "tensor %u: its operands have different shapes", t);
        if (g == G || !cpu_has_output(call, to)) continue;
        partita_status status = cpu_expect_like(call, to, in[X]);
        if (status != PARTITA_OK) return status;
        out[g] = &call->out[to];
    }
    for (uint64_t at = 0; at < in[X]->count; at += PIECE) {
        uint64_t n = in[X]->count - at < PIECE ? in[X]->count - at : PIECE;
        for (uint32_t g = 0; g < state->groups; g++) cpu_load_doubles(in[g]->dtype, in[g]->data, at, n, pieces[g]);
        for (uint64_t i = 0; i < n; i++) {
            for (uint32_t g = 0; g < state->groups; g++) element[g] = pieces[g][i];
            state->step(state, rate, count, element);
            for (uint32_t g = 0; g < state->groups; g++) pieces[g][i] = element[g];
        }
        for (uint32_t g = 0; g < state->groups; g++)
            if (out[g] != NULL) cpu_store_doubles(out[g]->dtype, out[g]->data, at, n, pieces[g]);
    }
    return PARTITA_OK;
}

static partita_status optimizer_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const optimizer_state *state = call->state;
    uint32_t tensors = (call->in_count - 2) / state->groups;
    double rate;
    (void)begin, (void)end, (void)worker;
    if (tensors * state->groups + 2 != call->in_count || call->out_count > tensors * (state->groups - 1) ||
        call->in[0].count != 1 || call->in[1].count != 1)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%u inputs are no rate, count and groups of %u", call->in_count,
                        state->groups);
    cpu_load_doubles(call->in[0].dtype, call->in[0].data, 0, 1, &rate);
    double count = (double)cpu_index(&call->in[1], 0);
    for (uint32_t t = 0; t < tensors; t++) {
        partita_status status = tensor_step(call, t, tensors, rate, count);
        if (status != PARTITA_OK) return status;
    }
    return PARTITA_OK;
}

#define ROW(operator)                                                                                                  \
    {                                                                                                                  \
        .op = operator, .domain = "ai.onnx.preview.training", .since = 1, .until = CPU_NEWEST,                         \
        .types = CPU_TYPE(FLOAT32) | CPU_TYPE(FLOAT64), .reference = true, .claim = optimizer_claim,                   \
        .prepare = optimizer_prepare, .release = cpu_free, .run = optimizer_run                                        \
    }
const cpu_kernel cpu_kernels_optimizer[] = {ROW("Adagrad"), ROW("Adam"), ROW("Momentum")};
const uint32_t cpu_kernels_optimizer_count = sizeof(cpu_kernels_optimizer) / sizeof(cpu_kernels_optimizer[0]);
