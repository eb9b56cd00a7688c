/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What MultiHeadAttention, Attention, QAttention and GroupQueryAttention each have where: operands, caches, masks.
 */
#include "cpu/kernels/ms_attention.h"

#define NONE CPU_MS_NONE

static uint32_t if_there(const cpu_call *call, uint32_t input) { return cpu_has_input(call, input) ? input : NONE; }
static uint32_t if_wanted(const cpu_call *call, uint32_t output) {
    return cpu_has_output(call, output) ? output : NONE;
}

static partita_status bad(const cpu_call *call, const char *what) {
    return cpu_fail(call->host, PARTITA_BAD_INPUT, "%s", what);
}

/* ---- masks ----------------------------------------------------------------------------------- */

partita_status cpu_ms_masks_check(const cpu_call *call, const cpu_ms_call *c) {
    if (c->mask != NONE) {
        const cpu_tensor *m = &call->in[c->mask];
        int64_t b = c->batch;
        bool fits = m->rank == 1   ? m->dims[0] == b || m->dims[0] == 2 * b || m->dims[0] == 3 * b + 2
                    : m->rank == 2 ? m->dims[0] == b && m->dims[1] == c->total
                    : m->rank == 3 ? m->dims[0] == b && m->dims[1] == c->rows && m->dims[2] == c->total
                    : m->rank == 4 ? m->dims[0] == b && m->dims[1] == 1 && m->dims[2] >= c->past + c->rows &&
                                         m->dims[3] >= c->total
                                   : false;
        if (!fits) return bad(call, "the mask does not fit the keys");
    }
    if (c->bias == NONE) return PARTITA_OK;
    const cpu_tensor *t = &call->in[c->bias];
    if (t->rank != 4 || (t->dims[0] != 1 && t->dims[0] != c->batch) || (t->dims[1] != 1 && t->dims[1] != c->heads) ||
        t->dims[2] != c->rows || t->dims[3] < c->total)
        return bad(call, "attention_bias does not fit queries and keys");
    return PARTITA_OK;
}

bool cpu_ms_hidden(const cpu_call *call, const cpu_ms_call *c, int64_t batch, int64_t row, int64_t key) {
    const cpu_tensor *m = &call->in[c->mask];
    const int32_t *mask = m->data;
    if (m->rank == 1) {
        bool starts = m->dims[0] == 2 * c->batch;
        return key >= mask[batch] || (starts && key < mask[c->batch + batch]);
    }
    if (m->rank == 2) return mask[batch * c->total + key] <= 0;
    if (m->rank == 3) return mask[(batch * c->rows + row) * c->total + key] <= 0;
    return mask[(batch * m->dims[2] + c->past + row) * m->dims[3] + key] <= 0;
}

/* ---- caches ---------------------------------------------------------------------------------- */

/* A cache of K or V: [batch, heads, length, width]. */
static partita_status cache_of(const cpu_call *call, const cpu_ms_call *c, uint32_t input, int64_t width,
                               int64_t *out_length) {
    const cpu_tensor *t = &call->in[input];
    if (t->rank != 4 || t->dims[0] != c->batch || t->dims[1] != c->kv_heads || t->dims[3] != width)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the cache of input %u does not fit K and V", input);
    *out_length = t->dims[2];
    return PARTITA_OK;
}

static partita_status presents_check(const cpu_call *call, cpu_ms_call *c) {
    const cpu_ms_state *state = call->state;
    const uint32_t outputs[2] = {c->present_k, c->present_v};
    for (uint32_t i = 0; i < 2; i++) {
        if (outputs[i] == NONE) continue;
        const cpu_tensor *t = &call->out[outputs[i]];
        int64_t width = i == 0 ? c->width : c->v_width;
        const int64_t dims[4] = {c->batch, c->kv_heads, c->present_room, state->cache_bits == 4 ? width / 2 : width};
        partita_status status = cpu_expect(call, outputs[i], 4, dims);
        if (status != PARTITA_OK || t->count == 0) return status;
    }
    return PARTITA_OK;
}

static partita_status results_check(const cpu_call *call, cpu_ms_call *c) {
    const int64_t dims[3] = {c->batch, c->rows, c->heads * c->v_width};
    partita_status status = cpu_expect(call, 0, 3, dims);
    if (status == PARTITA_OK && c->shown != NONE) {
        const int64_t shown[4] = {c->batch, c->heads, c->rows, c->total};
        status = cpu_expect(call, c->shown, 4, shown);
    }
    return status == PARTITA_OK ? cpu_ms_masks_check(call, c) : status;
}

partita_status cpu_ms_image_plain(const cpu_call *call, const cpu_ms_call *c, int64_t batch, cpu_ms_image *out) {
    (void)call, (void)batch;
    *out = (cpu_ms_image){.rows = c->rows, .past = c->past, .total = c->total, .place = c->past, .kept = c->total};
    return PARTITA_OK;
}

/* ---- MultiHeadAttention ---------------------------------------------------------------------- */

enum { M_QUERY, M_KEY, M_VALUE, M_BIAS, M_MASK, M_ATTENTION_BIAS, M_PAST_K, M_PAST_V, M_PAST_LENGTH, M_BEAMS };

/* Part `part` of `parts` that lie together in [batch, length, heads, parts, width]. */
static cpu_ms_rows packed_rows(const cpu_tensor *t, uint32_t input, int64_t part) {
    int64_t width = t->dims[4], parts = t->dims[3], heads = t->dims[2];
    return (cpu_ms_rows){.input = input,
                         .first = part * width,
                         .batch = t->dims[1] * heads * parts * width,
                         .head = parts * width,
                         .row = heads * parts * width,
                         .bias = NONE};
}

static cpu_ms_rows dense_rows(const cpu_tensor *t, uint32_t input, int64_t heads) {
    if (t->rank == 4)
        return (cpu_ms_rows){.input = input,
                             .batch = t->dims[1] * t->dims[2] * t->dims[3],
                             .head = t->dims[2] * t->dims[3],
                             .row = t->dims[3],
                             .bias = NONE};
    return (cpu_ms_rows){
        .input = input, .batch = t->dims[1] * t->dims[2], .head = t->dims[2] / heads, .row = t->dims[2], .bias = NONE};
}

static partita_status keys_of(const cpu_call *call, cpu_ms_call *c) {
    const cpu_tensor *k = &call->in[M_KEY], *v = &call->in[M_VALUE];
    bool has_value = cpu_has_input(call, M_VALUE);
    if (k->dims[0] != c->batch) return bad(call, "query and key are of different batches");
    if (k->rank == 5) {
        if (k->dims[2] != c->heads || k->dims[3] != 2 || k->dims[4] != c->width || has_value)
            return bad(call, "the packed key and value do not fit the query");
        c->keys = k->dims[1];
        c->v_width = c->width;
        c->k = packed_rows(k, M_KEY, 0);
        c->v = packed_rows(k, M_KEY, 1);
        return PARTITA_OK;
    }
    uint32_t at = k->rank == 4 ? 2 : 1;
    if (!has_value || (k->rank != 3 && k->rank != 4) || v->rank != k->rank || v->dims[0] != c->batch ||
        v->dims[at] != k->dims[at])
        return bad(call, "key and value do not fit each other");
    if (k->rank == 4 ? k->dims[1] != c->heads || v->dims[1] != c->heads || k->dims[3] != c->width
                     : k->dims[2] != c->heads * c->width || v->dims[2] % c->heads != 0)
        return bad(call, "key and value do not fit the heads of the query");
    c->keys = k->dims[at];
    c->v_width = k->rank == 4 ? v->dims[3] : v->dims[2] / c->heads;
    c->k = dense_rows(k, M_KEY, c->heads);
    c->v = dense_rows(v, M_VALUE, c->heads);
    return PARTITA_OK;
}

static partita_status query_of(const cpu_call *call, cpu_ms_call *c) {
    const cpu_tensor *q = &call->in[M_QUERY];
    bool packed = q->rank == 5;
    if (packed ? q->dims[2] != c->heads || q->dims[3] != 3 || cpu_has_input(call, M_KEY)
               : q->rank != 3 || q->dims[2] % c->heads != 0 || !cpu_has_input(call, M_KEY))
        return bad(call, "the query does not fit num_heads, or the key is missing");
    c->batch = q->dims[0];
    c->rows = q->dims[1];
    c->width = packed ? q->dims[4] : q->dims[2] / c->heads;
    c->q = packed ? packed_rows(q, M_QUERY, 0) : dense_rows(q, M_QUERY, c->heads);
    if (!packed) return keys_of(call, c);
    c->keys = c->rows;
    c->v_width = c->width;
    c->k = packed_rows(q, M_QUERY, 1);
    c->v = packed_rows(q, M_QUERY, 2);
    return PARTITA_OK;
}

/* Of keys that are a cache only the query gets its bias. */
static partita_status biases_of(const cpu_call *call, cpu_ms_call *c) {
    if (!cpu_has_input(call, M_BIAS)) return PARTITA_OK;
    if (call->in[M_BIAS].count != (uint64_t)(c->heads * (2 * c->width + c->v_width)))
        return bad(call, "the bias has not one element for each of Q, K and V");
    c->q.bias = M_BIAS;
    if (cpu_has_input(call, M_KEY) && call->in[M_KEY].rank == 4) return PARTITA_OK;
    c->k.bias = c->v.bias = M_BIAS;
    c->k.bias_first = c->heads * c->width;
    c->v.bias_first = 2 * c->heads * c->width;
    return PARTITA_OK;
}

/* With its length given the past lies at the beginning of a buffer that the new keys go into, and the present is that
 * buffer. Without data, when only sizes are asked for, it is full. */
static partita_status past_of(const cpu_call *call, cpu_ms_call *c) {
    c->past = c->past_room;
    c->present_room = c->past_room + c->keys;
    if (!cpu_has_input(call, M_PAST_LENGTH) || c->past_k == NONE) return PARTITA_OK;
    const cpu_tensor *length = &call->in[M_PAST_LENGTH];
    if (length->count != 1) return bad(call, "past_sequence_length is no single number");
    c->present_room = c->past_room;
    c->past = length->data != NULL ? ((const int32_t *)length->data)[0] : c->past_room - c->keys;
    if (c->past < 0 || c->past > c->past_room - c->keys)
        return bad(call, "past_sequence_length leaves the new keys no room in the buffer");
    return PARTITA_OK;
}

/* [batch, beams, length]: the images are the beams of each. What it says of rows behind the past does not matter. */
static partita_status beams_of(const cpu_call *call, cpu_ms_call *c, bool past_known) {
    c->beams = if_there(call, M_BEAMS);
    if (c->beams == NONE) return PARTITA_OK;
    const cpu_tensor *t = &call->in[M_BEAMS];
    if (t->rank != 3 || t->count != (uint64_t)(c->batch * t->dims[2]) || (past_known && t->dims[2] < c->past))
        return bad(call, "cache_indirection does not fit the batch and its past");
    for (uint64_t i = 0; past_known && t->data != NULL && i < t->count; i++) {
        int32_t beam = ((const int32_t *)t->data)[i];
        if ((int64_t)(i % (uint64_t)t->dims[2]) < c->past && (beam < 0 || beam >= t->dims[1]))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "cache_indirection names beam %d of %lld", beam,
                            (long long)t->dims[1]);
    }
    return PARTITA_OK;
}

partita_status cpu_ms_multi_call(const cpu_call *call, cpu_ms_call *out) {
    const cpu_ms_state *state = call->state;
    int64_t past_v = 0;
    *out = (cpu_ms_call){.heads = state->heads, .kv_heads = state->heads, .group = 1, .sink = NONE, .beams = NONE};
    partita_status status = query_of(call, out);
    if (status == PARTITA_OK) status = biases_of(call, out);
    if (status != PARTITA_OK) return status;
    out->past_k = if_there(call, M_PAST_K);
    out->past_v = if_there(call, M_PAST_V);
    if ((out->past_k == NONE) != (out->past_v == NONE)) return bad(call, "past_key and past_value are not both there");
    if (out->past_k != NONE) {
        status = cache_of(call, out, M_PAST_K, out->width, &out->past_room);
        if (status == PARTITA_OK) status = cache_of(call, out, M_PAST_V, out->v_width, &past_v);
        if (status == PARTITA_OK && past_v != out->past_room)
            status = bad(call, "the past of K and V differ in length");
        if (status != PARTITA_OK) return status;
    }
    status = past_of(call, out);
    bool knows = out->past_k == NONE || !cpu_has_input(call, M_PAST_LENGTH) || call->in[M_PAST_LENGTH].data != NULL;
    if (status == PARTITA_OK) status = beams_of(call, out, knows);
    if (status != PARTITA_OK) return status;
    out->total = out->seen = out->past + out->keys;
    out->last_sees_all = state->causal && out->keys > out->rows;
    out->present_k = if_wanted(call, 1);
    out->present_v = if_wanted(call, 2);
    out->shown = if_wanted(call, 3);
    out->mask = if_there(call, M_MASK);
    out->bias = if_there(call, M_ATTENTION_BIAS);
    status = presents_check(call, out);
    return status != PARTITA_OK || !knows ? status : results_check(call, out);
}

/* ---- Attention and QAttention ---------------------------------------------------------------- */

static partita_status projection_of(const cpu_call *call, cpu_ms_call *c) {
    const cpu_ms_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *w = &call->in[1];
    if (x->rank != 3 || w->rank != 2 || w->dims[0] != x->dims[2]) return bad(call, "input and weights do not fit");
    int64_t third = w->dims[1] / 3;
    int64_t q = state->widths[0] > 0 ? state->widths[0] : third, v = state->widths[0] > 0 ? state->widths[2] : third;
    if ((state->widths[0] > 0 && state->widths[1] != q) || q < 1 || v < 1 || q > w->dims[1] || v > w->dims[1] ||
        2 * q + v != w->dims[1] || q % c->heads != 0 || v % c->heads != 0)
        return bad(call, "the columns of the weights are not of the heads of Q, K and V");
    if (cpu_has_input(call, 2) && call->in[2].count != (uint64_t)w->dims[1])
        return bad(call, "the bias has not one element for each column of the weights");
    c->batch = x->dims[0];
    c->rows = c->keys = x->dims[1];
    c->width = q / c->heads;
    c->v_width = v / c->heads;
    c->q = (cpu_ms_rows){.input = NONE, .head = c->width, .bias = if_there(call, 2)};
    c->k = c->v = c->q;
    c->k.first = c->k.bias_first = q;
    c->v.first = c->v.bias_first = 2 * q;
    c->v.head = c->v_width;
    return PARTITA_OK;
}

static partita_status quantisation_check(const cpu_call *call) {
    uint64_t columns = (uint64_t)call->in[1].dims[1];
    const uint32_t ones[2] = {3, 6}, lists[2] = {4, 7};
    for (uint32_t i = 0; i < 2; i++) {
        if (cpu_has_input(call, ones[i]) && call->in[ones[i]].count != 1)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u is more than one number", ones[i]);
        if (cpu_has_input(call, lists[i]) && call->in[lists[i]].count != 1 && call->in[lists[i]].count != columns)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has not one entry per column", lists[i]);
    }
    return PARTITA_OK;
}

partita_status cpu_ms_projected_call(const cpu_call *call, cpu_ms_call *out) {
    const cpu_ms_state *state = call->state;
    uint32_t past = state->quantised ? 8 : 4;
    *out = (cpu_ms_call){
        .heads = state->heads, .kv_heads = state->heads, .group = 1, .sink = NONE, .shown = NONE, .beams = NONE};
    partita_status status = projection_of(call, out);
    if (status == PARTITA_OK && state->quantised) status = quantisation_check(call);
    if (status != PARTITA_OK) return status;
    out->past_k = out->past_v = if_there(call, past);
    out->present_k = out->present_v = if_wanted(call, 1);
    if (out->past_k != NONE) {
        const cpu_tensor *t = &call->in[past];
        if (t->rank != 5 || t->dims[0] != 2 || t->dims[1] != out->batch || t->dims[2] != out->heads ||
            t->dims[4] != out->width || out->width != out->v_width)
            return bad(call, "the past does not fit K and V");
        out->past = t->dims[3];
        out->past_v_first = out->batch * out->heads * out->past * out->width;
    }
    out->past_room = out->past;
    out->total = out->seen = out->present_room = out->past + out->keys;
    if (out->present_k != NONE) {
        const int64_t dims[5] = {2, out->batch, out->heads, out->total, out->width};
        if (out->width != out->v_width) return bad(call, "a present of K and V of different widths");
        status = cpu_expect(call, 1, 5, dims);
        if (status != PARTITA_OK) return status;
        out->present_v_first = out->batch * out->heads * out->total * out->width;
    }
    out->mask = if_there(call, state->quantised ? 5 : 3);
    out->bias = state->quantised ? NONE : if_there(call, 5);
    /* A mask of one column says nothing of any key. */
    if (out->mask != NONE && call->in[out->mask].rank == 2 && call->in[out->mask].dims[1] == 1 && out->total != 1)
        out->mask = NONE;
    return results_check(call, out);
}

/* ---- GroupQueryAttention --------------------------------------------------------------------- */

enum { G_QUERY, G_KEY, G_VALUE, G_PAST_K, G_PAST_V, G_LENGTHS, G_TOTAL, G_COSINE, G_SINE, G_PLACES, G_BIAS, G_SINK };
enum { G_K_SCALE = G_SINK + 1, G_V_SCALE, G_Q_NORM, G_K_NORM, G_ROWS };

static partita_status group_operands(const cpu_call *call, cpu_ms_call *c) {
    const cpu_tensor *q = &call->in[G_QUERY], *k = &call->in[G_KEY], *v = &call->in[G_VALUE];
    bool packed = !cpu_has_input(call, G_KEY);
    int64_t shares = packed ? c->heads + 2 * c->kv_heads : c->heads;
    if (q->rank != 3 || q->dims[2] % shares != 0 || q->dims[2] == 0)
        return bad(call, "the query does not fit the heads");
    c->batch = q->dims[0];
    c->rows = c->keys = q->dims[1];
    c->width = c->v_width = q->dims[2] / shares;
    c->q = (cpu_ms_rows){
        .input = G_QUERY, .batch = c->rows * q->dims[2], .head = c->width, .row = q->dims[2], .bias = NONE};
    c->k = c->v = c->q;
    c->k.first = c->heads * c->width;
    c->v.first = (c->heads + c->kv_heads) * c->width;
    if (packed) return cpu_has_input(call, G_VALUE) ? bad(call, "a value without a key") : PARTITA_OK;
    /* Keys of no length: all of them lie in the cache. */
    c->keys = k->rank == 3 && k->dims[1] == 0 ? 0 : c->rows;
    const int64_t dims[3] = {c->batch, c->keys, c->kv_heads * c->width};
    if (!cpu_same_dims(k, 3, dims) || !cpu_has_input(call, G_VALUE) || !cpu_same_dims(v, 3, dims))
        return bad(call, "key and value do not fit the query");
    c->k = dense_rows(k, G_KEY, c->kv_heads);
    c->v = dense_rows(v, G_VALUE, c->kv_heads);
    return PARTITA_OK;
}

static partita_status group_lists(const cpu_call *call, const cpu_ms_call *c) {
    const cpu_ms_state *state = call->state;
    const cpu_tensor *cosine = &call->in[G_COSINE], *places = &call->in[G_PLACES];
    if (call->in[G_LENGTHS].count != (uint64_t)c->batch || call->in[G_TOTAL].count != 1 ||
        (cpu_has_input(call, G_ROWS) && call->in[G_ROWS].count != (uint64_t)c->batch))
        return bad(call, "the lengths are not one for each image");
    if (cpu_has_input(call, G_SINK) && call->in[G_SINK].count != (uint64_t)c->heads)
        return bad(call, "head_sink has not one element for each head");
    for (uint32_t i = G_Q_NORM; state->normalised && i <= G_K_NORM; i++)
        if (call->in[i].count != (uint64_t)c->width) return bad(call, "a norm's weights do not fit the heads");
    if (!state->rotary) return PARTITA_OK;
    if (!cpu_has_input(call, G_COSINE) || !cpu_has_input(call, G_SINE) || cosine->rank != 2 ||
        !cpu_same_dims(&call->in[G_SINE], 2, cosine->dims) || 2 * cosine->dims[1] > c->width)
        return bad(call, "the caches of sine and cosine do not fit the heads");
    if (cpu_has_input(call, G_PLACES) && places->count != (uint64_t)(c->batch * c->rows))
        return bad(call, "position_ids do not fit the query");
    return PARTITA_OK;
}

static partita_status group_caches(const cpu_call *call, cpu_ms_call *c) {
    const cpu_ms_state *state = call->state;
    int64_t past_v = 0, width = state->cache_bits == 4 ? c->width / 2 : c->width;
    c->past_k = if_there(call, G_PAST_K);
    c->past_v = if_there(call, G_PAST_V);
    if ((c->past_k == NONE) != (c->past_v == NONE)) return bad(call, "past_key and past_value are not both there");
    if (c->past_k == NONE && (state->cache_bits > 0 || state->sliding)) return bad(call, "there is no cache");
    if (c->past_k == NONE) return PARTITA_OK;
    partita_status status = cache_of(call, c, G_PAST_K, width, &c->past_room);
    if (status == PARTITA_OK) status = cache_of(call, c, G_PAST_V, width, &past_v);
    if (status == PARTITA_OK && past_v != c->past_room) status = bad(call, "the past of K and V differ in length");
    if (status == PARTITA_OK && state->sliding && c->past_room < state->window)
        status = bad(call, "the cache has no room for the window");
    if (status != PARTITA_OK || state->cache_bits == 0) return status;
    if (2 * width != c->width && width != c->width) return bad(call, "a cache of 4 bits for an odd head");
    for (uint32_t i = G_K_SCALE; i <= G_V_SCALE; i++)
        if (!cpu_has_input(call, i) ||
            (call->in[i].count != 1 && call->in[i].count != (uint64_t)(c->kv_heads * c->width)))
            return bad(call, "the caches' scales are neither one number nor one for each column");
    return PARTITA_OK;
}

/* The present as its outputs say, which hold the longest image. */
static partita_status group_results(const cpu_call *call, cpu_ms_call *c) {
    const cpu_ms_state *state = call->state;
    bool knows = call->in[G_TOTAL].data != NULL;
    c->present_k = if_wanted(call, 1);
    c->present_v = if_wanted(call, 2);
    c->shown = if_wanted(call, 3);
    if (c->present_k != NONE && call->out[c->present_k].rank == 4) {
        c->present_room = call->out[c->present_k].dims[2];
        if (state->sliding ? c->present_room != c->past_room : knows && c->present_room < c->total)
            return bad(call, "the present has no room for the keys");
    }
    partita_status status = presents_check(call, c);
    return status != PARTITA_OK || !knows ? status : results_check(call, c);
}

/* Data of the lengths may be missing, when only sizes are asked for: then the caches bound them. */
partita_status cpu_ms_group_call(const cpu_call *call, cpu_ms_call *out) {
    const cpu_ms_state *state = call->state;
    *out = (cpu_ms_call){.heads = state->heads,
                         .kv_heads = state->kv_heads,
                         .group = state->heads / state->kv_heads,
                         .mask = NONE,
                         .bias = if_there(call, G_BIAS),
                         .sink = if_there(call, G_SINK),
                         .beams = NONE};
    partita_status status = group_operands(call, out);
    if (status == PARTITA_OK) status = group_lists(call, out);
    if (status == PARTITA_OK) status = group_caches(call, out);
    if (status != PARTITA_OK) return status;
    out->total = out->seen = out->past_room + out->keys;
    if (call->in[G_TOTAL].data != NULL) {
        out->total = ((const int32_t *)call->in[G_TOTAL].data)[0];
        if (out->total < 1 || (!state->sliding && out->total > out->seen))
            return bad(call, "total_sequence_length fits neither past nor query");
        if (!state->sliding) out->seen = out->total;
    }
    out->past = out->total > out->rows ? out->total - out->rows : 0;
    return group_results(call, out);
}

/* The cache of an image that keeps a window holds its last positions, the others all. */
partita_status cpu_ms_image_group(const cpu_call *call, const cpu_ms_call *c, int64_t batch, cpu_ms_image *out) {
    const cpu_ms_state *state = call->state;
    int64_t total = (int64_t)((const int32_t *)call->in[G_LENGTHS].data)[batch] + 1;
    int64_t rows = total < c->rows ? total : c->rows;
    if (cpu_has_input(call, G_ROWS)) rows = ((const int32_t *)call->in[G_ROWS].data)[batch];
    int64_t before = c->keys == 0 ? total : total - rows;
    bool fits = total >= 1 && total <= c->total && rows >= 0 && rows <= c->rows && rows <= total;
    if (!fits || (!state->sliding && before > c->past_room))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "seqlens_k of image %lld, %lld, fits neither past nor query",
                        (long long)batch, (long long)total - 1);
    int64_t past = state->sliding ? cpu_ms_resident(before, c->past_room, state->window) : before;
    int64_t first = before - past;
    *out = (cpu_ms_image){.rows = rows,
                          .past = past,
                          .total = total - first,
                          .place = total - rows - first,
                          .kept = state->sliding ? cpu_ms_resident(total, c->past_room, state->window) : total,
                          .first = first};
    return PARTITA_OK;
}
