/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss, which is the former behind a logarithmic softmax over the
 * classes. Scores are [batch, classes, places...], targets [batch, places...].
 */
#include "cpu/kernels/reference.h"
#include "cpu/kernels/softmax.h"

enum { REDUCE_NONE, REDUCE_SUM, REDUCE_MEAN };

typedef struct loss_state {
    uint32_t reduction;
    bool softmax, ignores;
    int64_t ignored;
} loss_state;

static partita_status loss_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    loss_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->softmax = ptp_str_is(ptp_ref_str(node->block, node->row.op), "SoftmaxCrossEntropyLoss") != 0;
    state->reduction = cpu_attr_is(node, "reduction", "none")  ? REDUCE_NONE
                       : cpu_attr_is(node, "reduction", "sum") ? REDUCE_SUM
                                                               : REDUCE_MEAN;
    state->ignores = cpu_attr_has(node, "ignore_index");
    state->ignored = cpu_attr_int(node, "ignore_index", 0);
    return PARTITA_OK;
}

static bool loss_claim(const cpu_node *node, ptp_answer *answer) {
    partita_dtype target = cpu_input_dtype(node, 1);
    ptp_value_row weights;
    if (target != PARTITA_INT32 && target != PARTITA_INT64)
        return cpu_refuse(answer, PARTITA_REASON_DTYPE, "targets of %s", cpu_dtype_name(target));
    if (cpu_node_input(node, 2, &weights) && weights.dtype != cpu_input_dtype(node, 0))
        return cpu_refuse(answer, PARTITA_REASON_DTYPE, "weights of %s", cpu_dtype_name(weights.dtype));
    return true;
}

static partita_status loss_check(const cpu_call *call) {
    const loss_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *target = &call->in[1];
    if (x->rank < 2 || target->rank != x->rank - 1 || target->dims[0] != x->dims[0] ||
        !cpu_same_dims(&(cpu_tensor){.rank = target->rank - 1, .dims = target->dims + 1}, x->rank - 2, x->dims + 2))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the targets do not fit the scores");
    if (cpu_has_input(call, 2) && call->in[2].count != (uint64_t)x->dims[1])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%llu weights for %lld classes",
                        (unsigned long long)call->in[2].count, (long long)x->dims[1]);
    for (uint64_t i = 0; i < target->count; i++) {
        int64_t label = cpu_index(target, i);
        if ((label < 0 || label >= x->dims[1]) && !(state->ignores && label == state->ignored))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "target %lld of %lld classes", (long long)label,
                            (long long)x->dims[1]);
    }
    if (cpu_has_output(call, 1)) {
        partita_status status = cpu_expect_like(call, 1, x);
        if (status != PARTITA_OK) return status;
    }
    return state->reduction == REDUCE_NONE ? cpu_expect_like(call, 0, target) : cpu_expect(call, 0, 0, NULL);
}

/* The scratch has room for the logarithms behind the operands. */
static uint64_t loss_scratch(const cpu_call *call) {
    return cpu_doubles_scratch(call) + call->in[0].count * sizeof(double);
}

CPU_DOUBLES_KERNEL(loss_run) {
    const loss_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *target = &call->in[1];
    double sum = 0, weights = 0;
    partita_status status = loss_check(call);
    if (status != PARTITA_OK) return status;
    uint64_t classes = (uint64_t)x->dims[1], places = cpu_extent(x->dims, 2, x->rank);
    const double *likely = d->in[0];
    if (state->softmax) {
        double *logarithms = (double *)call->scratch + cpu_doubles_scratch(call) / sizeof(double);
        for (uint64_t i = 0; i < target->count; i++) {
            uint64_t at = i / places * classes * places + i % places;
            cpu_softmax_row(CPU_LOG_SOFTMAX, PARTITA_FLOAT64, d->in[0] + at, logarithms + at, classes, places);
        }
        likely = logarithms;
        if (d->out[1] != NULL) memcpy(d->out[1], logarithms, x->count * sizeof(double));
    }
    for (uint64_t i = 0; i < target->count; i++) {
        int64_t label = cpu_index(target, i);
        bool counts = !(state->ignores && label == state->ignored);
        double weight = !counts ? 0 : d->in[2] != NULL ? d->in[2][label] : 1;
        double loss = counts ? -likely[(i / places * classes + (uint64_t)label) * places + i % places] * weight : 0;
        if (state->reduction == REDUCE_NONE) d->out[0][i] = loss;
        sum += loss;
        weights += weight;
    }
    if (state->reduction == REDUCE_SUM) d->out[0][0] = sum;
    if (state->reduction == REDUCE_MEAN) d->out[0][0] = sum / weights;
    return PARTITA_OK;
}

#define ROW(operator)                                                                                                  \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 12, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,        \
        .claim = loss_claim, .prepare = loss_prepare, .release = cpu_free, .scratch = loss_scratch, .run = loss_run    \
    }
const cpu_kernel cpu_kernels_loss[] = {ROW("NegativeLogLikelihoodLoss"), ROW("SoftmaxCrossEntropyLoss")};
const uint32_t cpu_kernels_loss_count = sizeof(cpu_kernels_loss) / sizeof(cpu_kernels_loss[0]);
