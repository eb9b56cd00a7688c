/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RotaryEmbedding: pairs of a head's elements turned by the angle of their position, the short types rounded where the
 * operator's body would store.
 */
#include "cpu/kernels/reference.h"

typedef struct rotary_state {
    int64_t heads, turned;
    bool interleaved;
} rotary_state;

/* The input as [batch, heads, length, width]; angles: where the rows of both caches lie. */
typedef struct rotary {
    int64_t batch, heads, length, width, turned;
    int64_t batch_step, head_step, row_step;
} rotary;

static partita_status rotary_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    rotary_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->heads = cpu_attr_int(node, "num_heads", 0);
    state->turned = cpu_attr_int(node, "rotary_embedding_dim", 0);
    state->interleaved = cpu_attr_int(node, "interleaved", 0) != 0;
    return PARTITA_OK;
}

static bool rotary_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row value;
    for (uint32_t i = 1; i <= 2; i++)
        if (cpu_input_dtype(node, i) != cpu_input_dtype(node, 0))
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "the caches are not of the input's type");
    if (cpu_node_input(node, 3, &value) && value.dtype != PARTITA_INT64)
        return cpu_refuse(answer, PARTITA_REASON_DTYPE, "position_ids are of %s", cpu_dtype_name(value.dtype));
    return true;
}

static partita_status input_of(const cpu_call *call, rotary *out) {
    const rotary_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    bool by_heads = x->rank == 4;
    if (!by_heads && (x->rank != 3 || state->heads < 1 || x->dims[2] % state->heads != 0))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "an input of rank %u is not of %lld heads", x->rank,
                        (long long)state->heads);
    out->batch = x->dims[0];
    out->heads = by_heads ? x->dims[1] : state->heads;
    out->length = by_heads ? x->dims[2] : x->dims[1];
    out->width = by_heads ? x->dims[3] : x->dims[2] / state->heads;
    out->batch_step = out->heads * out->length * out->width;
    out->head_step = by_heads ? out->length * out->width : out->width;
    out->row_step = by_heads ? out->width : out->heads * out->width;
    out->turned = state->turned != 0 ? state->turned : out->width;
    if (out->turned < 0 || out->turned > out->width || out->turned % 2 != 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%lld of %lld elements cannot be turned", (long long)out->turned,
                        (long long)out->width);
    return cpu_expect_like(call, 0, x);
}

/* With positions the caches are looked up in, [positions, turned / 2]; else they are as long as the input. */
static partita_status caches_check(const cpu_call *call, const rotary *r) {
    bool looked_up = cpu_has_input(call, 3);
    const cpu_tensor *cosine = &call->in[1];
    uint32_t rank = looked_up ? 2 : 3;
    const int64_t places[2] = {r->batch, r->length};
    if (!cpu_same_dims(&call->in[2], cosine->rank, cosine->dims) || cosine->rank != rank ||
        cosine->dims[rank - 1] != r->turned / 2 ||
        (!looked_up && (cosine->dims[0] != r->batch || cosine->dims[1] != r->length)))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the caches do not fit the input");
    if (!looked_up) return PARTITA_OK;
    if (!cpu_same_dims(&call->in[3], 2, places))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "position_ids do not fit the input");
    for (uint64_t i = 0; i < call->in[3].count; i++) {
        int64_t position = cpu_index(&call->in[3], i);
        if (position < -cosine->dims[0] || position >= cosine->dims[0])
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "position %lld of %lld", (long long)position,
                            (long long)cosine->dims[0]);
    }
    return PARTITA_OK;
}

static void row_turn(const rotary *r, bool interleaved, partita_dtype step, const double *x, const double *cosine,
                     const double *sine, double *y) {
    int64_t half = r->turned / 2;
    for (int64_t i = 0; i < half; i++) {
        int64_t a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + half;
        y[a] = cpu_rounded(step, cosine[i] * x[a]) - cpu_rounded(step, sine[i] * x[b]);
        y[b] = cpu_rounded(step, sine[i] * x[a]) + cpu_rounded(step, cosine[i] * x[b]);
    }
    for (int64_t i = r->turned; i < r->width; i++) y[i] = x[i];
}

CPU_DOUBLES_KERNEL(rotary_run) {
    const rotary_state *state = call->state;
    partita_dtype step = cpu_step_dtype(call->in[0].dtype);
    rotary r = {0};
    partita_status status = input_of(call, &r);
    if (status == PARTITA_OK) status = caches_check(call, &r);
    if (status != PARTITA_OK) return status;
    for (int64_t i = 0; i < r.batch * r.length; i++) {
        int64_t angle = i;
        if (cpu_has_input(call, 3)) angle = cpu_index(&call->in[3], (uint64_t)i);
        if (angle < 0) angle += call->in[1].dims[0];
        angle *= r.turned / 2;
        for (int64_t head = 0; head < r.heads; head++) {
            int64_t at = i / r.length * r.batch_step + head * r.head_step + i % r.length * r.row_step;
            row_turn(&r, state->interleaved, step, d->in[0] + at, d->in[1] + angle, d->in[2] + angle, d->out[0] + at);
        }
    }
    return PARTITA_OK;
}

/* ---- com.microsoft --------------------------------------------------------------------------- */

/* Its positions come before the caches, and may be one number: that of the first row. */
enum { MS_PLACES = 1, MS_COSINE, MS_SINE };

/* onnxruntime takes its attributes is_packed_batching and scale on each of its devices, and computes with neither. */
static bool ms_claim(const cpu_node *node, ptp_answer *answer) {
    for (uint32_t i = MS_COSINE; i <= MS_SINE; i++)
        if (cpu_input_dtype(node, i) != cpu_input_dtype(node, 0))
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "the caches are not of the input's type");
    if (cpu_input_dtype(node, MS_PLACES) == PARTITA_INT64) return true;
    return cpu_refuse(answer, PARTITA_REASON_DTYPE, "position_ids are of %s",
                      cpu_dtype_name(cpu_input_dtype(node, MS_PLACES)));
}

/* The places of all rows lie behind the doubles, which hold them once more. */
static uint64_t ms_scratch(const cpu_call *call) {
    return cpu_doubles_scratch(call) + 2 * call->in[0].count * sizeof(int64_t);
}

static partita_status ms_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_tensor *x = &call->in[0], *cosine = &call->in[MS_COSINE];
    cpu_tensor in[4] = {*x, *cosine, call->in[MS_SINE], call->in[MS_PLACES]};
    rotary_state state = *(const rotary_state *)call->state;
    cpu_call inner = *call;
    inner.in = in;
    inner.state = &state;
    /* Without a number of heads the caches tell how wide one is. */
    if (state.heads == 0 && x->rank == 3 && cosine->rank == 2 && cosine->dims[1] > 0)
        state.heads = x->dims[2] / (2 * cosine->dims[1]);
    if (in[3].count != 1 || x->count == 0 || x->rank < 3) return rotary_run(&inner, begin, end, worker);
    int64_t *places = (int64_t *)((char *)call->scratch + cpu_doubles_scratch(call)) + x->count;
    const int64_t dims[2] = {x->dims[0], x->dims[x->rank - 2]};
    for (int64_t i = 0; i < dims[0] * dims[1]; i++) places[i] = cpu_index(&call->in[MS_PLACES], 0) + i % dims[1];
    in[3] = (cpu_tensor){.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_INT64, .rank = 2, .dims = dims, .data = places};
    in[3].count = (uint64_t)(dims[0] * dims[1]);
    return rotary_run(&inner, begin, end, worker);
}

const cpu_kernel cpu_kernels_rotary[] = {
    {.op = "RotaryEmbedding",
     .domain = "com.microsoft",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS,
     .reference = true,
     .claim = ms_claim,
     .prepare = rotary_prepare,
     .release = cpu_free,
     .scratch = ms_scratch,
     .run = ms_run},
    {.op = "RotaryEmbedding",
     .domain = "",
     .since = 23,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS,
     .reference = true,
     .claim = rotary_claim,
     .prepare = rotary_prepare,
     .release = cpu_free,
     .scratch = cpu_doubles_scratch,
     .run = rotary_run},
};
const uint32_t cpu_kernels_rotary_count = sizeof(cpu_kernels_rotary) / sizeof(cpu_kernels_rotary[0]);
