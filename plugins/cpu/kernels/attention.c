/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference Attention. ONNX defines it as a function of simpler operators, and the short types are rounded where those
 * would store.
 */
#include "cpu/kernels/attention.h"
#include "cpu/kernels/softmax.h"

partita_status cpu_attention_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cpu_attention_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->q_heads = cpu_attr_int(node, "q_num_heads", 0);
    state->kv_heads = cpu_attr_int(node, "kv_num_heads", 0);
    state->causal = cpu_attr_int(node, "is_causal", 0) != 0;
    state->scaled = cpu_attr_has(node, "scale");
    state->scale = cpu_attr_float(node, "scale", 1);
    state->softcap = cpu_attr_float(node, "softcap", 0);
    state->precision = (partita_dtype)cpu_attr_int(node, "softmax_precision", PARTITA_UNDEFINED);
    state->shown = cpu_attr_int(node, "qk_matmul_output_mode", CPU_ATTENTION_RAW);
    state->left = cpu_attr_int(node, "left_window_size", -1);
    state->right = cpu_attr_int(node, "right_window_size", -1);
    state->padded_mask = node->row.since >= 24;
    state->wide = ptp_str_is(ptp_ref_str(node->block, node->row.op), "FlexAttention") != 0;
    if (state->wide && state->precision == PARTITA_UNDEFINED && cpu_input_dtype(node, 0) != PARTITA_FLOAT64)
        state->precision = PARTITA_FLOAT32;
    state->level = node->level;
    return PARTITA_OK;
}

bool cpu_attention_claim(const cpu_node *node, ptp_answer *answer) {
    int64_t precision = cpu_attr_int(node, "softmax_precision", PARTITA_UNDEFINED);
    int64_t shown = cpu_attr_int(node, "qk_matmul_output_mode", 0);
    ptp_value_row value;
    if (precision < 0 || precision >= 64 || (precision != 0 && (CPU_FLOATS >> precision & 1) == 0))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "softmax_precision %lld", (long long)precision);
    if (shown < 0 || shown > CPU_ATTENTION_SOFTMAX)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "qk_matmul_output_mode %lld", (long long)shown);
    if (cpu_attr_int(node, "left_window_size", -1) < -1 || cpu_attr_int(node, "right_window_size", -1) < -1)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "a window of negative size");
    if (cpu_node_input(node, 4, &value) != cpu_node_input(node, 5, &value))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "past_key and past_value are not both there");
    if (cpu_node_input(node, 4, &value) && cpu_node_input(node, 6, &value))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "both past_key and nonpad_kv_seqlen are there");
    static const uint32_t same[] = {0, 0, 2, 3, 1, 2}; /* the input that has the same type */
    for (uint32_t i = 1; i < 6; i++)
        if (cpu_node_input(node, i, &value) &&
            (i == 3 ? value.dtype >= 64 || ((CPU_NUMBERS | CPU_TYPE(BOOL)) >> value.dtype & 1) == 0
                    : value.dtype != cpu_input_dtype(node, same[i]) || (CPU_FLOATS >> value.dtype & 1) == 0))
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input %u is of %s", i, cpu_dtype_name(value.dtype));
    if (cpu_node_input(node, 6, &value) && value.dtype != PARTITA_INT64)
        return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input 6 is of %s", cpu_dtype_name(value.dtype));
    return true;
}

static partita_status operand_of(const cpu_call *call, const cpu_tensor *tensor, int64_t heads, const char *name,
                                 cpu_attention_operand *out) {
    if (tensor->rank == 4) {
        int64_t width = tensor->dims[3], length = tensor->dims[2];
        *out = (cpu_attention_operand){.heads = tensor->dims[1],
                                       .length = length,
                                       .width = width,
                                       .batch_step = tensor->dims[1] * length * width,
                                       .head_step = length * width,
                                       .row_step = width};
        return PARTITA_OK;
    }
    if (tensor->rank != 3) return cpu_fail(call->host, PARTITA_BAD_INPUT, "%s has rank %u", name, tensor->rank);
    if (heads < 1 || tensor->dims[2] % heads != 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%lld elements of %s are not of %lld heads",
                        (long long)tensor->dims[2], name, (long long)heads);
    *out = (cpu_attention_operand){.heads = heads,
                                   .length = tensor->dims[1],
                                   .width = tensor->dims[2] / heads,
                                   .batch_step = tensor->dims[1] * tensor->dims[2],
                                   .head_step = tensor->dims[2] / heads,
                                   .row_step = tensor->dims[2]};
    return PARTITA_OK;
}

/* Steps of the mask; a dim of 1 is broadcast, and so is one that is not there. */
static partita_status mask_of(const cpu_call *call, cpu_attention *a) {
    const cpu_tensor *mask = &call->in[3];
    const int64_t whole[4] = {a->batch, a->q.heads, a->q.length, a->total};
    int64_t step = 1;
    a->masked = cpu_has_input(call, 3);
    a->mask_length = a->total;
    if (!a->masked) return PARTITA_OK;
    if (mask->rank > 4) return cpu_fail(call->host, PARTITA_BAD_INPUT, "the mask has rank %u", mask->rank);
    for (uint32_t i = 0; i < mask->rank; i++) {
        uint32_t at = 3 - i;
        int64_t dim = mask->dims[mask->rank - 1 - i];
        bool is_short = at == 3 && a->state->padded_mask && dim < a->total;
        if (is_short) a->mask_length = dim;
        if (!is_short && dim != 1 && dim != whole[at])
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "dim %u of the mask is %lld instead of %lld",
                            mask->rank - 1 - i, (long long)dim, (long long)whole[at]);
        a->mask_steps[at] = dim == 1 ? 0 : step;
        step *= dim;
    }
    return PARTITA_OK;
}

static partita_status outputs_check(const cpu_call *call, const cpu_attention *a) {
    const int64_t keys[4] = {a->batch, a->k.heads, a->total, a->k.width};
    const int64_t values[4] = {a->batch, a->v.heads, a->total, a->v.width};
    const int64_t products[4] = {a->batch, a->q.heads, a->q.length, a->total};
    const int64_t *const shapes[4] = {NULL, keys, values, products};
    for (uint32_t i = 1; i < call->out_count; i++) {
        if (!cpu_has_output(call, i)) continue;
        partita_status status = cpu_expect(call, i, 4, shapes[i]);
        if (status != PARTITA_OK) return status;
    }
    const int64_t by_heads[4] = {a->batch, a->q.heads, a->q.length, a->v.width};
    const int64_t joined[3] = {a->batch, a->q.length, a->q.heads * a->v.width};
    return call->in[0].rank == 4 ? cpu_expect(call, 0, 4, by_heads) : cpu_expect(call, 0, 3, joined);
}

static partita_status past_of(const cpu_call *call, cpu_attention *a) {
    const cpu_tensor *keys = &call->in[4], *values = &call->in[5];
    if (!cpu_has_input(call, 4)) return PARTITA_OK;
    if (keys->rank != 4 || values->rank != 4)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the past has rank %u and %u", keys->rank, values->rank);
    partita_status status = operand_of(call, keys, 0, "past_key", &a->past_k);
    if (status == PARTITA_OK) status = operand_of(call, values, 0, "past_value", &a->past_v);
    if (status != PARTITA_OK) return status;
    if (keys->dims[0] != a->batch || values->dims[0] != a->batch || a->past_k.heads != a->k.heads ||
        a->past_v.heads != a->v.heads || a->past_k.width != a->k.width || a->past_v.width != a->v.width ||
        a->past_k.length != a->past_v.length)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the past does not fit K and V");
    a->past = a->past_k.length;
    return PARTITA_OK;
}

partita_status cpu_attention_of(const cpu_call *call, cpu_attention *out) {
    const cpu_attention_state *state = call->state;
    const cpu_tensor *in = call->in;
    *out = (cpu_attention){.state = state};
    partita_status status = operand_of(call, &in[0], state->q_heads, "Q", &out->q);
    if (status == PARTITA_OK) status = operand_of(call, &in[1], state->kv_heads, "K", &out->k);
    if (status == PARTITA_OK) status = operand_of(call, &in[2], state->kv_heads, "V", &out->v);
    if (status != PARTITA_OK) return status;
    out->batch = in[0].dims[0];
    if (in[1].dims[0] != out->batch || in[2].dims[0] != out->batch || out->k.heads != out->v.heads ||
        out->k.length != out->v.length || out->k.width != out->q.width)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the shapes of Q, K and V do not fit each other");
    if (out->k.heads < 1 || out->q.heads % out->k.heads != 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%lld heads of Q for %lld of K", (long long)out->q.heads,
                        (long long)out->k.heads);
    out->group = out->q.heads / out->k.heads;
    status = past_of(call, out);
    if (status != PARTITA_OK) return status;
    out->total = out->past + out->k.length;
    out->scale = state->scaled ? state->scale : 1 / sqrtf((float)out->q.width);
    if (cpu_has_input(call, 6)) {
        if (in[6].count != (uint64_t)out->batch)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "nonpad_kv_seqlen is not one number for each image");
        out->valid = in[6].data;
    }
    status = mask_of(call, out);
    if (status == PARTITA_OK) status = outputs_check(call, out);
    if (status != PARTITA_OK) return status;
    return operand_of(call, &call->out[0], out->q.heads, "Y", &out->y);
}

void cpu_attention_range(const cpu_attention *a, int64_t batch, int64_t row, int64_t *out_first, int64_t *out_last) {
    /* Keys before this block of queries: the place of its first query. */
    int64_t place = (a->valid != NULL ? a->valid[batch] - a->q.length : a->past) + row;
    int64_t first = 0, last = a->mask_length;
    if (a->valid != NULL && a->valid[batch] < last) last = a->valid[batch];
    if (a->state->causal && place + 1 < last) last = place + 1;
    if (a->state->right >= 0 && place < last && a->state->right < last - 1 - place) last = place + a->state->right + 1;
    if (a->state->left >= 0 && place > a->state->left) first = place - a->state->left;
    if (first > a->total) first = a->total;
    *out_first = first;
    *out_last = last > first ? last : first;
}

static void rows_copy(const cpu_attention_operand *from, const cpu_tensor *source, int64_t batch, int64_t head,
                      uint8_t *target) {
    uint32_t size = cpu_size(source);
    int64_t at = batch * from->batch_step + head * from->head_step;
    for (int64_t row = 0; row < from->length; row++, at += from->row_step, target += from->width * size)
        memcpy(target, (const uint8_t *)source->data + at * size, (size_t)(from->width * size));
}

void cpu_attention_present(const cpu_call *call, uint32_t index, const cpu_attention *a, int64_t batch, int64_t head) {
    if (!cpu_has_output(call, index)) return;
    const cpu_attention_operand *now = index == 1 ? &a->k : &a->v, *past = index == 1 ? &a->past_k : &a->past_v;
    int64_t row_bytes = now->width * cpu_size(&call->out[index]);
    if (row_bytes == 0) return;
    uint8_t *target = (uint8_t *)call->out[index].data + (batch * now->heads + head) * a->total * row_bytes;
    if (a->past > 0) rows_copy(past, &call->in[index + 3], batch, head, target);
    rows_copy(now, &call->in[index], batch, head, target + a->past * row_bytes);
}

/* ---- the reference --------------------------------------------------------------------------- */

/* One query: its place among the heads and rows, its row of scores, of biases and of Q after scaling. */
typedef struct query {
    int64_t batch, head, row;
    double *scores, *biases, *scaled;
} query;

static const double *row_of(const cpu_attention *a, const query *at, const cpu_attention_operand *now,
                            const double *elements, const cpu_attention_operand *past, const double *old, int64_t key) {
    int64_t head = at->head / a->group;
    if (key < a->past) return old + at->batch * past->batch_step + head * past->head_step + key * past->row_step;
    return elements + at->batch * now->batch_step + head * now->head_step + (key - a->past) * now->row_step;
}

static void scores_of(const cpu_attention *a, const cpu_doubles *d, partita_dtype step, const query *at) {
    double scale = cpu_rounded(step, (double)sqrtf(a->scale)); /* its definition has the root in float */
    const double *q = d->in[0] + at->batch * a->q.batch_step + at->head * a->q.head_step + at->row * a->q.row_step;
    for (int64_t i = 0; i < a->q.width; i++) at->scaled[i] = cpu_rounded(step, q[i] * scale);
    for (int64_t key = 0; key < a->total; key++) {
        const double *k = row_of(a, at, &a->k, d->in[1], &a->past_k, d->in[4], key);
        double sum = 0;
        for (int64_t i = 0; i < a->q.width; i++) sum += at->scaled[i] * cpu_rounded(step, k[i] * scale);
        at->scores[key] = cpu_rounded(step, sum);
    }
}

static void capped(const cpu_attention *a, partita_dtype step, double *scores) {
    double cap = cpu_rounded(step, (double)a->state->softcap);
    if (!(cap > 0)) return;
    for (int64_t key = 0; key < a->total; key++)
        scores[key] = cpu_rounded(step, cpu_rounded(step, tanh(cpu_rounded(step, scores[key] / cap))) * cap);
}

/* What is added to the scores: the mask, and -infinity for keys that this query does not see. False when it sees none.
 */
static bool biases_of(const cpu_call *call, const cpu_attention *a, const cpu_doubles *d, partita_dtype step,
                      const query *at) {
    int64_t first, last;
    bool is_bool = a->masked && call->in[3].dtype == PARTITA_BOOL, any = false;
    cpu_attention_range(a, at->batch, at->row, &first, &last);
    int64_t place = at->batch * a->mask_steps[0] + at->head * a->mask_steps[1] + at->row * a->mask_steps[2];
    for (int64_t key = 0; key < a->total; key++) {
        double bias = key < first || key >= last ? -INFINITY : 0;
        if (a->masked && key < a->mask_length) {
            double mask = d->in[3][place + key * a->mask_steps[3]];
            bias += is_bool ? (mask != 0 ? 0 : -INFINITY) : mask;
        }
        at->biases[key] = cpu_rounded(step, bias);
        any = any || at->biases[key] != -INFINITY;
    }
    return any;
}

/* Where no score is left there is nothing to weigh. */
static void softmax_of(partita_dtype precision, double *x, int64_t n) {
    bool any = false;
    for (int64_t i = 0; i < n; i++) {
        x[i] = cpu_rounded(precision, x[i]);
        any = any || x[i] != -INFINITY;
    }
    if (any) cpu_softmax_row(CPU_SOFTMAX, precision, x, x, (uint64_t)n, 1);
    for (int64_t i = 0; i < n; i++) x[i] = any ? cpu_rounded(precision, x[i]) : 0;
}

static void shown(const cpu_attention *a, const cpu_doubles *d, int64_t mode, const query *at) {
    if (d->out[3] == NULL || a->state->shown != mode) return;
    memcpy(d->out[3] + ((at->batch * a->q.heads + at->head) * a->q.length + at->row) * a->total, at->scores,
           (size_t)a->total * sizeof(double));
}

static void query_run(const cpu_call *call, const cpu_attention *a, const cpu_doubles *d, const query *at) {
    partita_dtype step = cpu_step_dtype(call->in[0].dtype);
    double *y = d->out[0] + at->batch * a->y.batch_step + at->head * a->y.head_step + at->row * a->y.row_step;
    scores_of(a, d, step, at);
    shown(a, d, CPU_ATTENTION_RAW, at);
    capped(a, step, at->scores);
    shown(a, d, CPU_ATTENTION_CAPPED, at);
    bool any = biases_of(call, a, d, step, at);
    for (int64_t key = 0; key < a->total; key++) at->scores[key] = cpu_rounded(step, at->scores[key] + at->biases[key]);
    shown(a, d, CPU_ATTENTION_BIASED, at);
    softmax_of(a->state->precision != PARTITA_UNDEFINED ? a->state->precision : step, at->scores, a->total);
    for (int64_t key = 0; key < a->total; key++)
        at->scores[key] = any ? cpu_rounded(a->state->wide ? PARTITA_FLOAT64 : step, at->scores[key]) : 0;
    shown(a, d, CPU_ATTENTION_SOFTMAX, at);
    for (int64_t i = 0; i < a->v.width; i++) y[i] = 0;
    for (int64_t key = 0; key < a->total; key++) {
        const double *v = row_of(a, at, &a->v, d->in[2], &a->past_v, d->in[5], key);
        for (int64_t i = 0; i < a->v.width; i++) y[i] += at->scores[key] * v[i];
    }
}

static uint64_t reference_scratch(const cpu_call *call) {
    cpu_attention a;
    uint64_t own = 0;
    if (cpu_attention_of(call, &a) == PARTITA_OK) own = 2 * (uint64_t)a.total + (uint64_t)a.q.width;
    return cpu_doubles_scratch(call) + own * sizeof(double);
}

static partita_status attention_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    cpu_attention a;
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_attention_of(call, &a);
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &d);
    query at = {.scores = (double *)call->scratch + cpu_doubles_scratch(call) / sizeof(double)};
    at.biases = at.scores + a.total;
    at.scaled = at.biases + a.total;
    for (at.batch = 0; at.batch < a.batch; at.batch++)
        for (at.head = 0; at.head < a.q.heads; at.head++)
            for (at.row = 0; at.row < a.q.length; at.row++) query_run(call, &a, &d, &at);
    /* What is only carried is copied as it lies. */
    d.out[1] = d.out[2] = NULL;
    cpu_doubles_store(call, &d);
    for (int64_t i = 0; i < a.batch * a.k.heads; i++)
        for (uint32_t o = 1; o <= 2; o++) cpu_attention_present(call, o, &a, i / a.k.heads, i % a.k.heads);
    return PARTITA_OK;
}

#define ROW(operator, group, first)                                                                                    \
    {                                                                                                                  \
        .op = operator, .domain = group, .since = first, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,  \
        .claim = cpu_attention_claim, .prepare = cpu_attention_prepare, .release = cpu_free,                           \
        .scratch = reference_scratch, .run = attention_reference                                                       \
    }
const cpu_kernel cpu_kernels_attention[] = {ROW("Attention", "", 23), ROW("FlexAttention", "ai.onnx.preview", 1)};
const uint32_t cpu_kernels_attention_count = sizeof(cpu_kernels_attention) / sizeof(cpu_kernels_attention[0]);
