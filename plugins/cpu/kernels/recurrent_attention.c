/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LinearAttention and CausalConvWithState: operators that go through a sequence with a state that the caller keeps
 * from one call to the next.
 */
#include "cpu/kernels/reference.h"

/* ---- LinearAttention ------------------------------------------------------------------------- */

typedef struct linear_state {
    int64_t q_heads, kv_heads;
    double scale; /* 0: by the width of the keys */
    bool gated, corrected;
} linear_state;

static partita_status linear_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    linear_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->q_heads = cpu_attr_int(node, "q_num_heads", 0);
    state->kv_heads = cpu_attr_int(node, "kv_num_heads", 0);
    state->scale = (double)cpu_attr_float(node, "scale", 0);
    bool both = cpu_attr_is(node, "update_rule", "gated_delta") || !cpu_attr_has(node, "update_rule");
    state->gated = both || cpu_attr_is(node, "update_rule", "gated");
    state->corrected = both || cpu_attr_is(node, "update_rule", "delta");
    return PARTITA_OK;
}

static bool floats_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row value;
    for (uint32_t i = 1; i < node->row.inputs.count; i++)
        if (cpu_node_input(node, i, &value) && (value.dtype >= 64 || (CPU_FLOATS >> value.dtype & 1) == 0))
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input %u is of %s", i, cpu_dtype_name(value.dtype));
    return true;
}

static bool linear_claim(const cpu_node *node, ptp_answer *answer) {
    static const char *const rules[] = {"linear", "gated", "delta", "gated_delta"};
    bool known = !cpu_attr_has(node, "update_rule");
    for (uint32_t i = 0; i < 4; i++) known = known || cpu_attr_is(node, "update_rule", rules[i]);
    if (!known) return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "an update_rule that is not known");
    return floats_claim(node, answer);
}

typedef struct linear {
    int64_t batch, length, q_heads, kv_heads, keys, values; /* keys and values: widths of a head */
    int64_t decays, betas;                                  /* numbers per place */
} linear;

/* An optional input of the rule: the numbers per place, one of two lengths. */
static partita_status gate_of(const cpu_call *call, uint32_t index, bool wanted, const linear *l, int64_t a, int64_t b,
                              int64_t *out) {
    const cpu_tensor *gate = &call->in[index];
    *out = 0;
    if (cpu_has_input(call, index) != wanted)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u is %s by this update_rule", index,
                        wanted ? "needed" : "not allowed");
    if (!wanted) return PARTITA_OK;
    if (gate->rank != 3 || gate->dims[0] != l->batch || gate->dims[1] != l->length ||
        (gate->dims[2] != a && gate->dims[2] != b))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u does not fit the heads", index);
    *out = gate->dims[2];
    return PARTITA_OK;
}

static partita_status linear_of(const cpu_call *call, linear *l) {
    const linear_state *state = call->state;
    const cpu_tensor *q = &call->in[0], *k = &call->in[1], *v = &call->in[2];
    *l = (linear){.q_heads = state->q_heads, .kv_heads = state->kv_heads};
    if (l->q_heads < 1 || l->kv_heads < 1 || l->q_heads % l->kv_heads != 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%lld heads of queries for %lld of keys", (long long)l->q_heads,
                        (long long)l->kv_heads);
    if (q->rank != 3 || k->rank != 3 || v->rank != 3 || q->dims[2] % l->q_heads != 0 || v->dims[2] % l->kv_heads != 0 ||
        k->dims[2] != q->dims[2] / l->q_heads * l->kv_heads || k->dims[0] != q->dims[0] || v->dims[0] != q->dims[0] ||
        k->dims[1] != q->dims[1] || v->dims[1] != q->dims[1])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the shapes of query, key and value do not fit each other");
    l->batch = q->dims[0];
    l->length = q->dims[1];
    l->keys = q->dims[2] / l->q_heads;
    l->values = v->dims[2] / l->kv_heads;
    const int64_t kept[4] = {l->batch, l->kv_heads, l->keys, l->values};
    const int64_t joined[3] = {l->batch, l->length, l->q_heads * l->values};
    if (cpu_has_input(call, 3) && !cpu_same_dims(&call->in[3], 4, kept))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "past_state does not fit the heads");
    partita_status status = gate_of(call, 4, state->gated, l, l->kv_heads, l->kv_heads * l->keys, &l->decays);
    if (status == PARTITA_OK) status = gate_of(call, 5, state->corrected, l, l->kv_heads, 1, &l->betas);
    if (status == PARTITA_OK) status = cpu_expect(call, 0, 3, joined);
    return status == PARTITA_OK ? cpu_expect(call, 1, 4, kept) : status;
}

/* One place of one head: the state [keys, values] decays and takes the key's value in. `taken` has room for a value. */
static void state_update(const linear *l, const cpu_doubles *d, int64_t place, int64_t head, double *kept,
                         double *taken) {
    const double *k = d->in[1] + (place * l->kv_heads + head) * l->keys;
    const double *v = d->in[2] + (place * l->kv_heads + head) * l->values;
    bool by_key = l->decays != l->kv_heads;
    for (int64_t i = 0; l->decays > 0 && i < l->keys; i++) {
        int64_t gate = by_key ? head * l->keys + i : head;
        double decay = exp(d->in[4][place * l->decays + gate]);
        for (int64_t j = 0; j < l->values; j++) kept[i * l->values + j] *= decay;
    }
    for (int64_t j = 0; j < l->values; j++) taken[j] = v[j];
    if (l->betas > 0) {
        double beta = d->in[5][place * l->betas + (l->betas == 1 ? 0 : head)];
        for (int64_t i = 0; i < l->keys; i++)
            for (int64_t j = 0; j < l->values; j++) taken[j] -= kept[i * l->values + j] * k[i];
        for (int64_t j = 0; j < l->values; j++) taken[j] *= beta;
    }
    for (int64_t i = 0; i < l->keys; i++)
        for (int64_t j = 0; j < l->values; j++) kept[i * l->values + j] += k[i] * taken[j];
}

static void state_read(const linear *l, double scale, const double *q, const double *kept, double *y) {
    for (int64_t j = 0; j < l->values; j++) y[j] = 0;
    for (int64_t i = 0; i < l->keys; i++)
        for (int64_t j = 0; j < l->values; j++) y[j] += q[i] * kept[i * l->values + j];
    for (int64_t j = 0; j < l->values; j++) y[j] *= scale;
}

static uint64_t linear_scratch(const cpu_call *call) {
    linear l;
    uint64_t own = linear_of(call, &l) == PARTITA_OK ? (uint64_t)l.values * sizeof(double) : 0;
    return cpu_doubles_scratch(call) + own;
}

CPU_DOUBLES_KERNEL(linear_run) {
    const linear_state *state = call->state;
    linear l;
    partita_status status = linear_of(call, &l);
    if (status != PARTITA_OK) return status;
    double *taken = (double *)call->scratch + cpu_doubles_scratch(call) / sizeof(double);
    double scale = state->scale != 0 ? state->scale : 1 / sqrt((double)l.keys);
    int64_t group = l.q_heads / l.kv_heads;
    for (uint64_t i = 0; i < call->out[1].count; i++) d->out[1][i] = d->in[3] != NULL ? d->in[3][i] : 0;
    for (int64_t i = 0; i < l.batch * l.length * l.kv_heads; i++) {
        int64_t place = i / l.kv_heads, head = i % l.kv_heads;
        double *kept = d->out[1] + (place / l.length * l.kv_heads + head) * l.keys * l.values;
        state_update(&l, d, place, head, kept, taken);
        for (int64_t g = 0; g < group; g++) {
            int64_t row = place * l.q_heads + head * group + g;
            state_read(&l, scale, d->in[0] + row * l.keys, kept, d->out[0] + row * l.values);
        }
    }
    return PARTITA_OK;
}

/* ---- CausalConvWithState --------------------------------------------------------------------- */

static partita_status causal_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    bool *swish = cpu_alloc(host, sizeof(*swish));
    *out_state = swish;
    if (swish == NULL) return PARTITA_OUT_OF_MEMORY;
    *swish = cpu_attr_is(node, "activation", "silu") || cpu_attr_is(node, "activation", "swish");
    return PARTITA_OK;
}

static bool causal_claim(const cpu_node *node, ptp_answer *answer) {
    static const char *const known[] = {"none", "silu", "swish"};
    bool is_known = !cpu_attr_has(node, "activation");
    for (uint32_t i = 0; i < 3; i++) is_known = is_known || cpu_attr_is(node, "activation", known[i]);
    if (!is_known) return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "an activation that is not known");
    return floats_claim(node, answer);
}

static partita_status causal_check(const cpu_call *call) {
    const cpu_tensor *x = &call->in[0], *w = &call->in[1];
    if (x->rank != 3 || w->rank != 3 || w->dims[0] != x->dims[1] || w->dims[1] != 1 || w->dims[2] < 1)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the weights do not fit the input");
    const int64_t kept[3] = {x->dims[0], x->dims[1], w->dims[2] - 1};
    if (cpu_has_input(call, 2) && call->in[2].count != (uint64_t)x->dims[1])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the bias does not fit the channels");
    if (cpu_has_input(call, 3) && !cpu_same_dims(&call->in[3], 3, kept))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "past_state does not fit the channels and the kernel");
    partita_status status = cpu_expect_like(call, 0, x);
    return status == PARTITA_OK ? cpu_expect(call, 1, 3, kept) : status;
}

/* Element `at` of what came before, from 0 on, and then the input. */
static double joined_at(const double *past, int64_t kept, const double *x, int64_t at) {
    return at >= kept ? x[at - kept] : past != NULL ? past[at] : 0;
}

CPU_DOUBLES_KERNEL(causal_run) {
    const bool *swish = call->state;
    const cpu_tensor *x = &call->in[0];
    partita_dtype step = cpu_step_dtype(x->dtype);
    partita_status status = causal_check(call);
    if (status != PARTITA_OK) return status;
    int64_t channels = x->dims[1], length = x->dims[2], width = call->in[1].dims[2], kept = width - 1;
    for (int64_t row = 0; row < x->dims[0] * channels; row++) {
        const double *from = d->in[0] + row * length, *w = d->in[1] + row % channels * width;
        const double *past = d->in[3] != NULL ? d->in[3] + row * kept : NULL;
        for (int64_t i = 0; i < length; i++) {
            double sum = d->in[2] != NULL ? d->in[2][row % channels] : 0;
            for (int64_t k = 0; k < width; k++) sum += w[k] * joined_at(past, kept, from, i + k);
            if (*swish) {
                sum = cpu_rounded(step, sum);
                sum /= 1 + exp(-sum);
            }
            d->out[0][row * length + i] = sum;
        }
        for (int64_t i = 0; i < kept; i++) d->out[1][row * kept + i] = joined_at(past, kept, from, length + i);
    }
    return PARTITA_OK;
}

#define ROW(operator, claims, prepares, room, runs)                                                                    \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 27, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,        \
        .claim = claims, .prepare = prepares, .release = cpu_free, .scratch = room, .run = runs                        \
    }
const cpu_kernel cpu_kernels_recurrent_attention[] = {
    ROW("LinearAttention", linear_claim, linear_prepare, linear_scratch, linear_run),
    ROW("CausalConvWithState", causal_claim, causal_prepare, cpu_doubles_scratch, causal_run),
};
const uint32_t cpu_kernels_recurrent_attention_count =
    sizeof(cpu_kernels_recurrent_attention) / sizeof(cpu_kernels_recurrent_attention[0]);
