/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of float32 by products of matrices: scores are made, biased and normalised for a block of queries at a
 * time, over the keys that any of them sees. K and V are packed once for the queries of an item; where those are as few
 * as a tile has rows, as when text is generated, both are read where they lie.
 */
#include "cpu/kernels/attention.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/softmax.h"

#define QUERY_BLOCK 64

typedef struct fast_state {
    cpu_attention_state base;
    const cpu_gemm_micro *micro;
    cpu_softmax_fn softmax;
} fast_state;

/* The work on one head of K and V: the queries of all heads of Q that share it, and one worker's room in floats. */
typedef struct layout {
    int64_t heads, rows;
    bool head_rows; /* one query each: the heads are rows of one matrix */
    bool few;
    int64_t head_blocks, slices; /* blocks of queries a head; items that share the blocks of all heads */
    uint64_t values, scores, turned, all;
} layout;

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

static uint64_t packed_parts(const cpu_gemm_micro *micro, const cpu_attention *a, bool values) {
    uint64_t past = (uint64_t)a->past, now = (uint64_t)a->k.length;
    if (values)
        return cpu_gemm_packed_size(micro, past, (uint64_t)a->v.width) +
               cpu_gemm_packed_size(micro, now, (uint64_t)a->v.width);
    return cpu_gemm_packed_size(micro, (uint64_t)a->k.width, past) +
           cpu_gemm_packed_size(micro, (uint64_t)a->k.width, now);
}

static void layout_of(const cpu_call *call, const cpu_attention *a, layout *l) {
    const cpu_gemm_micro *micro = ((const fast_state *)call->state)->micro;
    l->head_rows = a->q.length == 1;
    l->heads = l->head_rows ? 1 : a->group;
    l->rows = l->head_rows ? a->group : a->q.length;
    l->few = l->heads * l->rows <= (int64_t)micro->rows;
    l->head_blocks = (int64_t)cpu_blocks((uint64_t)l->rows, QUERY_BLOCK);
    /* Each slice packs for itself: only where workers would have nothing to do, and for two blocks at least. */
    int64_t items = a->batch * a->k.heads, most = l->heads * l->head_blocks / 2;
    l->slices = items > 0 ? (2 * (int64_t)call->workers + items - 1) / items : 1;
    if (call->workers == 1 || most < 1) l->slices = 1;
    if (most >= 1 && l->slices > most) l->slices = most;
    uint64_t rows = l->rows < QUERY_BLOCK ? (uint64_t)l->rows : QUERY_BLOCK, total = (uint64_t)a->total;
    l->values = l->few ? cpu_gemm_packed_size(micro, (uint64_t)a->k.width, rows) : packed_parts(micro, a, false);
    l->scores = l->values + (l->few ? 0 : packed_parts(micro, a, true));
    l->turned = l->scores + rows * total;
    l->all = cpu_blocks(l->turned + (l->few ? rows * total : 0), 16) * 16;
}

static uint64_t fast_scratch(const cpu_call *call) {
    cpu_attention a;
    layout l;
    if (cpu_attention_of(call, &a) != PARTITA_OK) return 0; /* `run` says why */
    layout_of(call, &a, &l);
    return call->workers * l.all * sizeof(float);
}

static uint64_t fast_items(const cpu_call *call) {
    cpu_attention a;
    layout l;
    if (cpu_attention_of(call, &a) != PARTITA_OK) return 1;
    layout_of(call, &a, &l);
    return (uint64_t)(a.batch * a.k.heads * l.slices);
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
    const layout *l;
    int64_t batch, head; /* of K and V */
    part keys[2], values[2];
    float *memory, *scores;
    int64_t seen; /* keys from 0 on that any query of the block sees */
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

static void item_pack(item *it) {
    const cpu_attention *a = it->a;
    const cpu_gemm_micro *micro = it->state->micro;
    uint64_t width = (uint64_t)a->k.width, past = (uint64_t)a->past;
    float *keys = it->memory, *values = it->memory + it->l->values;
    it->scores = it->memory + it->l->scores;
    it->keys[0] = part_of(it->call, 4, &a->past_k, it->batch, it->head, 0, keys);
    it->keys[1] =
        part_of(it->call, 1, &a->k, it->batch, it->head, past, keys + cpu_gemm_packed_size(micro, width, past));
    it->values[0] = part_of(it->call, 5, &a->past_v, it->batch, it->head, 0, values);
    it->values[1] = part_of(it->call, 2, &a->v, it->batch, it->head, past,
                            values + cpu_gemm_packed_size(micro, past, (uint64_t)a->v.width));
    for (uint32_t i = 0; i < 2; i++) {
        part *k = &it->keys[i], *v = &it->values[i];
        if (it->l->few) {
            k->packed = v->packed = NULL;
        } else if (k->length > 0) {
            cpu_gemm_pack(micro, width, k->length, k->data, 1, k->row_step, k->packed);
            cpu_gemm_pack(micro, v->length, (uint64_t)a->v.width, v->data, v->row_step, 1, v->packed);
        }
    }
}

/* The keys of a part that the block sees. */
static uint64_t seen_of(const item *it, const part *p) {
    uint64_t seen = (uint64_t)it->seen > p->first ? (uint64_t)it->seen - p->first : 0;
    return seen < p->length ? seen : p->length;
}

/* Scores of few queries: K times them, and turned around. */
static void scores_turned(const item *it, const float *q, int64_t q_step, uint64_t rows, float scale) {
    const cpu_attention *a = it->a;
    const cpu_gemm_micro *micro = it->state->micro;
    float *turned = rows == 1 ? it->scores : it->memory + it->l->turned;
    cpu_gemm_pack(micro, (uint64_t)a->k.width, rows, q, 1, q_step, it->memory);
    for (uint32_t i = 0; i < 2; i++) {
        const part *k = &it->keys[i];
        cpu_gemm gemm = {.micro = micro,
                         .m = seen_of(it, k),
                         .n = rows,
                         .k = (uint64_t)a->k.width,
                         .a = k->data,
                         .a_row = k->row_step,
                         .a_column = 1,
                         .packed = it->memory,
                         .c = turned + k->first * rows,
                         .c_row = (int64_t)rows,
                         .alpha = scale};
        if (gemm.m > 0) cpu_gemm_run(&gemm, 0, gemm.m, 0, cpu_blocks(rows, micro->columns));
    }
    for (uint64_t r = 0; rows > 1 && r < rows; r++)
        for (int64_t key = 0; key < it->seen; key++)
            it->scores[(int64_t)r * a->total + key] = turned[key * (int64_t)rows + (int64_t)r];
}

/* Scores [rows, total] of the queries at `q`. */
static void scores_make(const item *it, const float *q, int64_t q_step, uint64_t rows) {
    const cpu_attention *a = it->a;
    const cpu_gemm_micro *micro = it->state->micro;
    float root = sqrtf(a->scale);
    if (it->l->few) {
        scores_turned(it, q, q_step, rows, root * root);
        return;
    }
    for (uint32_t i = 0; i < 2; i++) {
        const part *k = &it->keys[i];
        cpu_gemm gemm = {.micro = micro,
                         .m = rows,
                         .n = seen_of(it, k),
                         .k = (uint64_t)a->k.width,
                         .a = q,
                         .a_row = q_step,
                         .a_column = 1,
                         .packed = k->packed,
                         .c = it->scores + k->first,
                         .c_row = a->total,
                         .alpha = root * root};
        if (gemm.n > 0) cpu_gemm_run(&gemm, 0, rows, 0, cpu_blocks(gemm.n, micro->columns));
    }
}

/* The panels of a packed V have all its keys, of which the product takes the first: so a panel at a time. */
static void values_sum(const item *it, float *y, int64_t y_step, uint64_t rows) {
    const cpu_attention *a = it->a;
    const cpu_gemm_micro *micro = it->state->micro;
    uint64_t width = (uint64_t)a->v.width, panels = cpu_blocks(width, micro->columns);
    for (uint64_t r = 0; it->seen == 0 && r < rows; r++) memset(y + (int64_t)r * y_step, 0, width * sizeof(float));
    for (uint32_t i = 0; i < 2; i++) {
        const part *v = &it->values[i];
        uint64_t at_once = v->packed != NULL ? 1 : panels;
        if (seen_of(it, v) == 0) continue;
        for (uint64_t panel = 0; panel < panels; panel += at_once) {
            uint64_t column = panel * micro->columns;
            cpu_gemm gemm = {.micro = micro,
                             .m = rows,
                             .n = width - column,
                             .k = seen_of(it, v),
                             .a = it->scores + v->first,
                             .a_row = a->total,
                             .a_column = 1,
                             .packed = v->packed != NULL ? v->packed + column * v->length : NULL,
                             .b = v->data,
                             .b_row = v->row_step,
                             .c = y + column,
                             .c_row = y_step,
                             .alpha = 1,
                             .accumulate = v->first > 0};
            cpu_gemm_run(&gemm, 0, rows, 0, at_once);
        }
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
    for (int64_t key = 0; key < first && key < it->seen; key++) scores[key] += -INFINITY;
    for (int64_t key = last; key < it->seen; key++) scores[key] += -INFINITY;
    return any;
}

static bool all_hidden(const float *scores, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(scores[i] == -INFINITY)) return false;
    return true;
}

static void row_normalise(const item *it, int64_t head, int64_t row, float *scores) {
    float cap = it->a->state->softcap;
    shown(it, CPU_ATTENTION_RAW, head, row, scores);
    for (int64_t key = 0; cap > 0 && key < it->seen; key++) scores[key] = tanhf(scores[key] / cap) * cap;
    shown(it, CPU_ATTENTION_CAPPED, head, row, scores);
    bool any = bias_add(it, head, row, scores);
    shown(it, CPU_ATTENTION_BIASED, head, row, scores);
    if (!any || all_hidden(scores, it->seen))
        for (int64_t key = 0; key < it->seen; key++) scores[key] = 0;
    else
        it->state->softmax(CPU_SOFTMAX, scores, scores, 1, (uint64_t)it->seen, 1);
    shown(it, CPU_ATTENTION_SOFTMAX, head, row, scores);
}

/* All keys where the scores are shown, else those before the last one that any of the queries sees. */
static int64_t keys_seen(const item *it, int64_t row, int64_t end) {
    int64_t seen = 0;
    if (cpu_has_output(it->call, 3)) return it->a->total;
    for (; row < end; row++) {
        int64_t first, last;
        cpu_attention_range(it->a, it->batch, row, &first, &last);
        if (last > first && last > seen) seen = last;
    }
    return seen;
}

/* Queries [first, first + rows) of the item's head `index`. */
static void block_run(item *it, int64_t index, int64_t first, int64_t rows) {
    const cpu_attention *a = it->a;
    bool head_rows = it->l->head_rows;
    int64_t head = it->head * a->group + index;
    int64_t q_step = head_rows ? a->q.head_step : a->q.row_step, y_step = head_rows ? a->y.head_step : a->y.row_step;
    const float *q = (const float *)it->call->in[0].data + it->batch * a->q.batch_step + head * a->q.head_step;
    float *y = (float *)it->call->out[0].data + it->batch * a->y.batch_step + head * a->y.head_step;
    it->seen = head_rows ? keys_seen(it, 0, 1) : keys_seen(it, first, first + rows);
    scores_make(it, q + first * q_step, q_step, (uint64_t)rows);
    for (int64_t r = 0; r < rows; r++)
        row_normalise(it, head_rows ? head + first + r : head, head_rows ? 0 : first + r, it->scores + r * a->total);
    values_sum(it, y + first * y_step, y_step, (uint64_t)rows);
}

static partita_status fast_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const fast_state *state = call->state;
    cpu_attention a;
    layout l;
    partita_status status = cpu_attention_of(call, &a);
    if (status != PARTITA_OK) return status;
    layout_of(call, &a, &l);
    int64_t blocks = l.heads * l.head_blocks;
    for (int64_t i = (int64_t)begin; i < (int64_t)end && i < a.batch * a.k.heads * l.slices; i++) {
        int64_t slice = i % l.slices, place = i / l.slices;
        item it = {.call = call, .state = state, .a = &a, .l = &l, .batch = place / a.k.heads};
        it.head = place % a.k.heads;
        it.memory = (float *)call->scratch + worker * l.all;
        for (uint32_t o = 1; o <= 2 && slice == 0; o++) cpu_attention_present(call, o, &a, it.batch, it.head);
        item_pack(&it);
        for (int64_t b = blocks * slice / l.slices; b < blocks * (slice + 1) / l.slices; b++) {
            int64_t first = b % l.head_blocks * QUERY_BLOCK;
            block_run(&it, b / l.head_blocks, first, l.rows - first < QUERY_BLOCK ? l.rows - first : QUERY_BLOCK);
        }
    }
    return PARTITA_OK;
}

#define ROW(operator, group, first)                                                                                    \
    {                                                                                                                  \
        .op = operator, .domain = group, .since = first, .until = CPU_NEWEST, .types = CPU_TYPE(FLOAT32),              \
        .claim = fast_claim, .prepare = fast_prepare, .release = cpu_free, .scratch = fast_scratch,                    \
        .items = fast_items, .run = fast_run                                                                           \
    }
const cpu_kernel cpu_kernels_attention_fast[] = {ROW("Attention", "", 23), ROW("FlexAttention", "ai.onnx.preview", 1)};
const uint32_t cpu_kernels_attention_fast_count =
    sizeof(cpu_kernels_attention_fast) / sizeof(cpu_kernels_attention_fast[0]);
