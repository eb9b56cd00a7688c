/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of float32 by packed products: an item is one image and one head of K and V, which are packed once for all
 * heads of Q that share them; scores are made, biased and normalised for a block of queries at a time.
 */
#include "cpu/kernels/attention.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/softmax.h"

#define QUERY_BLOCK 64
#define DIRECT_ROWS 4 /* fewer queries are not worth packing V */

typedef struct fast_state {
    cpu_attention_state base;
    const cpu_gemm_micro *micro;
    cpu_softmax_fn softmax;
} fast_state;

/* The queries of one item: rows of one head after the other, or, for one query each, all heads as rows of one. */
typedef struct queries {
    int64_t heads, rows;
    bool head_rows; /* a row is a head */
} queries;

/* One worker's room, in floats from its start. */
typedef struct room {
    uint64_t keys, values, scores, all;
} room;

static partita_status fast_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    void *base;
    fast_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    partita_status status = cpu_attention_prepare(node, host, &base);
    if (status != PARTITA_OK) return status;
    state->base = *(cpu_attention_state *)base;
    cpu_free(host, base);
    state->micro = cpu_gemm_micro_of(node->level);
    state->softmax = cpu_softmax_of(node->level);
    return PARTITA_OK;
}

static void fast_release(const ptp_host *host, void *state) { cpu_free(host, state); }

/* A softmax in another type, and masks that are no float32, are for the reference. */
static bool fast_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row value;
    int64_t precision = cpu_attr_int(node, "softmax_precision", PARTITA_FLOAT32);
    if (!cpu_attention_claim(node, answer)) return false;
    if (precision != PARTITA_FLOAT32)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "softmax_precision %lld", (long long)precision);
    for (uint32_t i = 2; i < 4; i++)
        if (cpu_node_input(node, i, &value) && value.dtype != PARTITA_FLOAT32 &&
            (i == 2 || value.dtype != PARTITA_BOOL))
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input %u is of %s", i, cpu_dtype_name(value.dtype));
    return true;
}

static queries queries_of(const cpu_attention *a) {
    if (a->q.length == 1) return (queries){.heads = 1, .rows = a->group, .head_rows = true};
    return (queries){.heads = a->group, .rows = a->q.length};
}

static room room_of(const cpu_attention *a, const cpu_gemm_micro *micro) {
    uint64_t width = (uint64_t)a->k.width, values = (uint64_t)a->v.width;
    room r;
    /* What was before and what is new are packed each for itself. */
    r.keys = 0;
    r.values = r.keys + cpu_gemm_packed_size(micro, width, (uint64_t)a->past) +
               cpu_gemm_packed_size(micro, width, (uint64_t)a->k.length);
    r.scores = r.values + cpu_gemm_packed_size(micro, (uint64_t)a->past, values) +
               cpu_gemm_packed_size(micro, (uint64_t)a->k.length, values);
    r.all = r.scores + QUERY_BLOCK * (uint64_t)a->total;
    r.all = cpu_blocks(r.all, 16) * 16;
    return r;
}

static uint64_t fast_scratch(const cpu_call *call) {
    const fast_state *state = call->state;
    cpu_attention a;
    if (cpu_attention_of(call, &a) != PARTITA_OK) return 0; /* `run` says why */
    return call->workers * room_of(&a, state->micro).all * sizeof(float);
}

static uint64_t fast_items(const cpu_call *call) {
    cpu_attention a;
    return cpu_attention_of(call, &a) == PARTITA_OK ? (uint64_t)(a.batch * a.k.heads) : 1;
}

/* ---- one item -------------------------------------------------------------------------------- */

/* What was before (part 0) or is new (part 1) of K or V. */
typedef struct part {
    const float *data;
    uint64_t first, length; /* keys */
    int64_t row_step;
    float *packed; /* NULL: read where it lies */
} part;

typedef struct item {
    const cpu_call *call;
    const fast_state *state;
    const cpu_attention *a;
    int64_t batch, head; /* of K and V */
    part keys[2], values[2];
    float *scores;
} item;

static part part_of(const cpu_call *call, uint32_t input, const cpu_attention_operand *operand, int64_t batch,
                    int64_t head, uint64_t first, float *packed) {
    if (!cpu_has_input(call, input)) return (part){0};
    return (part){.data = (const float *)call->in[input].data + batch * operand->batch_step + head * operand->head_step,
                  .first = first,
                  .length = (uint64_t)operand->length,
                  .row_step = operand->row_step,
                  .packed = packed};
}

static void item_pack(item *it, float *memory) {
    const cpu_attention *a = it->a;
    const cpu_gemm_micro *micro = it->state->micro;
    room r = room_of(a, micro);
    uint64_t width = (uint64_t)a->k.width, past = (uint64_t)a->past;
    float *keys = memory + r.keys, *values = memory + r.values;
    it->scores = memory + r.scores;
    it->keys[0] = part_of(it->call, 4, &a->past_k, it->batch, it->head, 0, keys);
    it->keys[1] =
        part_of(it->call, 1, &a->k, it->batch, it->head, past, keys + cpu_gemm_packed_size(micro, width, past));
    it->values[0] = part_of(it->call, 5, &a->past_v, it->batch, it->head, 0, values);
    it->values[1] = part_of(it->call, 2, &a->v, it->batch, it->head, past,
                            values + cpu_gemm_packed_size(micro, past, (uint64_t)a->v.width));
    bool direct = queries_of(a).heads * queries_of(a).rows < DIRECT_ROWS;
    for (uint32_t i = 0; i < 2; i++) {
        const part *k = &it->keys[i];
        part *v = &it->values[i];
        if (k->length > 0) cpu_gemm_pack(micro, width, k->length, k->data, 1, k->row_step, k->packed);
        if (direct)
            v->packed = NULL;
        else if (v->length > 0)
            cpu_gemm_pack(micro, v->length, (uint64_t)a->v.width, v->data, v->row_step, 1, v->packed);
    }
}

/* Scores [rows, total] of the queries at `q`. */
static void scores_make(const item *it, const float *q, int64_t q_step, uint64_t rows) {
    const cpu_attention *a = it->a;
    const cpu_gemm_micro *micro = it->state->micro;
    float root = sqrtf(a->scale);
    for (uint32_t i = 0; i < 2; i++) {
        const part *k = &it->keys[i];
        if (k->length == 0) continue;
        cpu_gemm gemm = {.micro = micro,
                         .m = rows,
                         .n = k->length,
                         .k = (uint64_t)a->k.width,
                         .a = q,
                         .a_row = q_step,
                         .a_column = 1,
                         .packed = k->packed,
                         .c = it->scores + k->first,
                         .c_row = a->total,
                         .alpha = root * root};
        cpu_gemm_run(&gemm, 0, rows, 0, cpu_blocks(k->length, micro->columns));
    }
}

static void values_sum(const item *it, float *y, int64_t y_step, uint64_t rows) {
    const cpu_attention *a = it->a;
    const cpu_gemm_micro *micro = it->state->micro;
    for (uint32_t i = 0; i < 2; i++) {
        const part *v = &it->values[i];
        /* Without any key the product of nothing still writes zeros. */
        if (v->length == 0 && (i == 0 || a->total > 0)) continue;
        cpu_gemm gemm = {.micro = micro,
                         .m = rows,
                         .n = (uint64_t)a->v.width,
                         .k = v->length,
                         .a = it->scores + v->first,
                         .a_row = a->total,
                         .a_column = 1,
                         .packed = v->packed,
                         .b = v->data,
                         .b_row = v->row_step,
                         .c = y,
                         .c_row = y_step,
                         .alpha = 1,
                         .accumulate = v->first > 0};
        cpu_gemm_run(&gemm, 0, rows, 0, cpu_blocks((uint64_t)a->v.width, micro->columns));
    }
}

static void shown(const item *it, int64_t mode, int64_t head, int64_t row, const float *scores) {
    const cpu_attention *a = it->a;
    if (!cpu_has_output(it->call, 3) || a->state->shown != mode) return;
    memcpy((float *)it->call->out[3].data + ((it->batch * a->q.heads + head) * a->q.length + row) * a->total, scores,
           (size_t)a->total * sizeof(float));
}

/* Biases onto one query's scores. False when it sees no key at all. */
static bool bias_add(const item *it, int64_t head, int64_t row, float *scores) {
    const cpu_attention *a = it->a;
    int64_t first, last, step = a->mask_steps[3];
    bool any = false;
    cpu_attention_range(a, it->batch, row, &first, &last);
    if (!a->masked) {
        any = last > first;
    } else {
        int64_t place = it->batch * a->mask_steps[0] + head * a->mask_steps[1] + row * a->mask_steps[2];
        const cpu_tensor *mask = &it->call->in[3];
        for (int64_t key = first; key < last; key++) {
            float bias = mask->dtype == PARTITA_BOOL
                             ? (((const uint8_t *)mask->data)[place + key * step] ? 0 : -INFINITY)
                             : ((const float *)mask->data)[place + key * step];
            scores[key] += bias;
            any = any || bias != -INFINITY;
        }
    }
    for (int64_t key = 0; key < first; key++) scores[key] += -INFINITY;
    for (int64_t key = last; key < a->total; key++) scores[key] += -INFINITY;
    return any;
}

static bool all_hidden(const float *scores, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(scores[i] == -INFINITY)) return false;
    return true;
}

static void row_normalise(const item *it, int64_t head, int64_t row, float *scores) {
    const cpu_attention *a = it->a;
    float cap = a->state->softcap;
    shown(it, CPU_ATTENTION_RAW, head, row, scores);
    for (int64_t key = 0; cap > 0 && key < a->total; key++) scores[key] = tanhf(scores[key] / cap) * cap;
    shown(it, CPU_ATTENTION_CAPPED, head, row, scores);
    bool any = bias_add(it, head, row, scores);
    shown(it, CPU_ATTENTION_BIASED, head, row, scores);
    if (!any || all_hidden(scores, a->total))
        memset(scores, 0, (size_t)a->total * sizeof(float));
    else
        it->state->softmax(CPU_SOFTMAX, scores, scores, 1, (uint64_t)a->total, 1);
    shown(it, CPU_ATTENTION_SOFTMAX, head, row, scores);
}

static void item_run(item *it, float *memory) {
    const cpu_attention *a = it->a;
    queries all = queries_of(a);
    item_pack(it, memory);
    for (int64_t i = 0; i < all.heads; i++) {
        int64_t head = it->head * a->group + i;
        int64_t q_step = all.head_rows ? a->q.head_step : a->q.row_step;
        int64_t y_step = all.head_rows ? a->y.head_step : a->y.row_step;
        const float *q = (const float *)it->call->in[0].data + it->batch * a->q.batch_step + head * a->q.head_step;
        float *y = (float *)it->call->out[0].data + it->batch * a->y.batch_step + head * a->y.head_step;
        for (int64_t first = 0; first < all.rows; first += QUERY_BLOCK) {
            int64_t rows = all.rows - first < QUERY_BLOCK ? all.rows - first : QUERY_BLOCK;
            scores_make(it, q + first * q_step, q_step, (uint64_t)rows);
            for (int64_t r = 0; r < rows; r++)
                row_normalise(it, all.head_rows ? head + first + r : head, all.head_rows ? 0 : first + r,
                              it->scores + r * a->total);
            values_sum(it, y + first * y_step, y_step, (uint64_t)rows);
        }
    }
}

static partita_status fast_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const fast_state *state = call->state;
    cpu_attention a;
    partita_status status = cpu_attention_of(call, &a);
    if (status != PARTITA_OK) return status;
    float *memory = (float *)call->scratch + worker * room_of(&a, state->micro).all;
    for (uint64_t i = begin; i < end; i++) {
        item it = {.call = call, .state = state, .a = &a};
        it.batch = (int64_t)i / a.k.heads;
        it.head = (int64_t)i % a.k.heads;
        cpu_attention_present(call, 1, &a, it.batch, it.head);
        cpu_attention_present(call, 2, &a, it.batch, it.head);
        item_run(&it, memory);
    }
    return PARTITA_OK;
}

#define ROW(operator, group, first)                                                                                    \
    {                                                                                                                  \
        .op = operator, .domain = group, .since = first, .until = CPU_NEWEST, .types = CPU_TYPE(FLOAT32),              \
        .claim = fast_claim, .prepare = fast_prepare, .release = fast_release, .scratch = fast_scratch,                \
        .items = fast_items, .run = fast_run                                                                           \
    }
const cpu_kernel cpu_kernels_attention_fast[] = {ROW("Attention", "", 23), ROW("FlexAttention", "ai.onnx.preview", 1)};
const uint32_t cpu_kernels_attention_fast_count =
    sizeof(cpu_kernels_attention_fast) / sizeof(cpu_kernels_attention_fast[0]);
