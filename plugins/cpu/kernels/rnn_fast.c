/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM, GRU and RNN of float32. An item is one direction of a piece of the batch: first the part of all gates that
 * comes from X as one product, then step by step the part that comes from the state.
 */
#include "cpu/kernels/rnn.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/rnn_activation.h"

#define TYPE    float
#define NAME(x) x##_float
#include "cpu/kernels/rnn_cell.inc"

typedef struct fast_state {
    cpu_rnn_state rnn;
    const cpu_gemm_micro *micro;
    const cpu_rnn_vectors *vectors;
    float *w, *r; /* packed, by direction, when constant */
    uint64_t w_each, r_each;
} fast_state;

/* What an item needs of the scratch, in floats. */
typedef struct rooms {
    uint64_t pieces, piece; /* pieces of the batch, rows of one */
    uint64_t w, r, x, sums, state;
    uint64_t all;
} rooms;

/* W and R are [directions, rows, columns] and multiply from the right, transposed. R of GRU is two products: its last
 * gate waits for the reset. */
static uint64_t packed_floats(const fast_state *state, uint64_t rows, uint64_t columns) {
    return cpu_gemm_packed_size(state->micro, columns, rows);
}

static uint64_t r_floats(const fast_state *state, uint64_t hidden) {
    if (state->rnn.kind != CPU_GRU) return packed_floats(state, state->rnn.gates * hidden, hidden);
    return packed_floats(state, 2 * hidden, hidden) + packed_floats(state, hidden, hidden);
}

static void w_pack(const fast_state *state, const float *w, uint64_t rows, uint64_t columns, float *to) {
    cpu_gemm_pack(state->micro, columns, rows, w, 1, (int64_t)columns, to);
}

static void r_pack(const fast_state *state, const float *r, uint64_t hidden, float *to) {
    if (state->rnn.kind != CPU_GRU) {
        w_pack(state, r, state->rnn.gates * hidden, hidden, to);
        return;
    }
    w_pack(state, r, 2 * hidden, hidden, to);
    w_pack(state, r + 2 * hidden * hidden, hidden, hidden, to + packed_floats(state, 2 * hidden, hidden));
}

static void fast_release(const ptp_host *host, void *any) {
    fast_state *state = any;
    if (state == NULL) return;
    cpu_free(host, state->w);
    cpu_free(host, state->r);
    cpu_free(host, state);
}

static partita_status constants_pack(const cpu_node *node, const ptp_host *host, fast_state *state) {
    for (uint32_t input = 1; input <= 2; input++) {
        const cpu_tensor *t = &node->constants[input];
        if (t->kind == PARTITA_KIND_NONE || t->rank != 3 || (uint64_t)t->dims[0] != state->rnn.directions) continue;
        uint64_t rows = (uint64_t)t->dims[1], columns = (uint64_t)t->dims[2];
        if (input == 2 && rows != state->rnn.gates * columns) continue;
        uint64_t each = input == 1 ? packed_floats(state, rows, columns) : r_floats(state, columns);
        float *packed = cpu_alloc(host, each * state->rnn.directions * sizeof(float));
        if (packed == NULL) return PARTITA_OUT_OF_MEMORY;
        for (uint64_t d = 0; d < state->rnn.directions; d++) {
            const float *from = (const float *)t->data + d * rows * columns;
            if (input == 1)
                w_pack(state, from, rows, columns, packed + d * each);
            else
                r_pack(state, from, columns, packed + d * each);
        }
        if (input == 1) {
            state->w = packed;
            state->w_each = each;
        } else {
            state->r = packed;
            state->r_each = each;
        }
    }
    return PARTITA_OK;
}

static partita_status fast_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    fast_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->micro = cpu_gemm_micro_of(node->level);
    state->vectors = &cpu_rnn_baseline;
#if defined(__x86_64__)
    if (node->level >= CPU_LEVEL_AVX512)
        state->vectors = &cpu_rnn_avx512;
    else if (node->level >= CPU_LEVEL_AVX2)
        state->vectors = &cpu_rnn_avx2;
#endif
    partita_status status = cpu_rnn_read(node, host, &state->rnn);
    if (status == PARTITA_OK) status = constants_pack(node, host, state);
    if (status == PARTITA_OK)
        *out_state = state;
    else
        fast_release(host, state);
    return status;
}

static rooms rooms_of(const cpu_call *call, const fast_state *state, const cpu_rnn_sizes *s) {
    rooms r = {0};
    uint64_t rows = state->rnn.gates * s->hidden;
    r.pieces = s->batch < call->workers ? s->batch : call->workers;
    if (r.pieces < 1) r.pieces = 1;
    r.piece = cpu_blocks(s->batch, r.pieces);
    if (r.piece < 1) r.piece = 1;
    r.pieces = cpu_blocks(s->batch, r.piece);
    r.w = state->w != NULL ? 0 : packed_floats(state, rows, s->input);
    r.r = state->r != NULL ? 0 : r_floats(state, s->hidden);
    r.x = s->steps * r.piece * rows;
    r.sums = rows;                     /* the biases' sum */
    r.state = 3 * r.piece * s->hidden; /* h, c, and what the reset leaves */
    r.all = (r.w + r.r + r.x + r.sums + r.state + 15) / 16 * 16;
    return r;
}

static uint64_t fast_items(const cpu_call *call) {
    const fast_state *state = call->state;
    cpu_rnn_sizes s;
    if (cpu_rnn_sizes_of(call, &state->rnn, &s) != PARTITA_OK) return 1; /* `run` says why */
    return state->rnn.directions * rooms_of(call, state, &s).pieces;
}

static uint64_t fast_scratch(const cpu_call *call) {
    const fast_state *state = call->state;
    cpu_rnn_sizes s;
    if (cpu_rnn_sizes_of(call, &state->rnn, &s) != PARTITA_OK) return 0;
    return call->workers * rooms_of(call, state, &s).all * sizeof(float);
}

typedef struct piece {
    const cpu_call *call;
    const fast_state *state;
    const cpu_rnn_sizes *s;
    uint64_t d, b0, b1, n, rows;
    const float *w, *r, *wb, *rb, *p;
    float *x, *sums, *h, *c, *reset;
} piece;

/* y [m, n] (row stride y_row) += or = a [m, k] * packed. */
static void multiply(const piece *p, const float *packed, uint64_t m, uint64_t n, uint64_t k, const float *a,
                     int64_t a_row, float *y, int64_t y_row, bool accumulate, const float *bias) {
    cpu_gemm gemm = {.micro = p->state->micro,
                     .m = m,
                     .n = n,
                     .k = k,
                     .a = a,
                     .a_row = a_row,
                     .a_column = 1,
                     .packed = packed,
                     .c = y,
                     .c_row = y_row,
                     .alpha = 1,
                     .accumulate = accumulate,
                     .column_bias = bias};
    cpu_gemm_run(&gemm, 0, m, 0, cpu_blocks(n, p->state->micro->columns));
}

/* The gates' sums from X for all steps: row t * piece + b. */
static void x_multiply(const piece *p) {
    const cpu_rnn_state *rnn = &p->state->rnn;
    uint64_t count = p->b1 - p->b0, input = p->s->input;
    const float *x = p->call->in[0].data;
    if (p->wb != NULL) {
        /* GRU's last recurrent bias stays with the state when the reset comes behind it. */
        uint64_t with_r = rnn->kind == CPU_GRU && rnn->linear_before_reset ? 2 * p->n : p->rows;
        for (uint64_t j = 0; j < p->rows; j++) p->sums[j] = p->wb[j] + (j < with_r ? p->rb[j] : 0);
    }
    const float *bias = p->wb != NULL ? p->sums : NULL;
    if (!rnn->batch_first && count == p->s->batch) {
        multiply(p, p->w, p->s->steps * count, p->rows, input, x, (int64_t)input, p->x, (int64_t)p->rows, false, bias);
        return;
    }
    for (uint64_t b = 0; b < count; b++) {
        int64_t step = (int64_t)((rnn->batch_first ? 1 : p->s->batch) * input);
        multiply(p, p->w, p->s->steps, p->rows, input, x + cpu_rnn_x_row(rnn, p->s, 0, p->b0 + b) * input, step,
                 p->x + b * p->rows, (int64_t)(count * p->rows), false, bias);
    }
}

static void apply(const piece *p, uint32_t which, uint64_t n, float *x) {
    const cpu_rnn_state *rnn = &p->state->rnn;
    const cpu_activation *activation = &rnn->activations[p->d][which];
    if (rnn->clip == 0 && activation->function == ACTIVATION_Sigmoid)
        p->state->vectors->sigmoid(n, x);
    else if (rnn->clip == 0 && activation->function == ACTIVATION_Tanh)
        p->state->vectors->tanh(n, x);
    else
        for (uint64_t j = 0; j < n; j++) x[j] = activate_float(activation, rnn->clip, x[j]);
}

/* Row of one batch element whose gates' sums are complete but for GRU's last gate. */
static void gru_rows(const piece *p, float *gates, uint64_t gate_row, const uint8_t *live, uint64_t count) {
    const cpu_rnn_state *rnn = &p->state->rnn;
    uint64_t n = p->n;
    const float *last = p->r + packed_floats(p->state, 2 * n, n);
    for (uint64_t b = 0; b < count; b++) apply(p, 0, 2 * n, gates + b * gate_row);
    if (rnn->linear_before_reset) {
        multiply(p, last, count, n, n, p->h, (int64_t)n, p->reset, (int64_t)n, false,
                 p->rb != NULL ? p->rb + 2 * n : NULL);
        for (uint64_t b = 0; b < count; b++)
            for (uint64_t j = 0; j < n; j++)
                gates[b * gate_row + 2 * n + j] += gates[b * gate_row + n + j] * p->reset[b * n + j];
    } else {
        for (uint64_t b = 0; b < count; b++)
            for (uint64_t j = 0; j < n; j++) p->reset[b * n + j] = gates[b * gate_row + n + j] * p->h[b * n + j];
        multiply(p, last, count, n, n, p->reset, (int64_t)n, gates + 2 * n, (int64_t)gate_row, true, NULL);
    }
    for (uint64_t b = 0; b < count; b++) {
        float *row = gates + b * gate_row, *h = p->h + b * n;
        if (!live[b]) continue;
        apply(p, 1, n, row + 2 * n);
        for (uint64_t j = 0; j < n; j++) h[j] = (1 - row[j]) * row[2 * n + j] + row[j] * h[j];
    }
}

/* Rows that the reversed direction reads are not those of one step: gather them. */
static void step_run(const piece *p, uint64_t i, const uint64_t *lengths, uint8_t *live, float *gates) {
    const cpu_rnn_state *rnn = &p->state->rnn;
    uint64_t n = p->n, count = p->b1 - p->b0;
    for (uint64_t b = 0; b < count; b++) {
        uint64_t t = i < lengths[b] && rnn->reverse[p->d] ? lengths[b] - 1 - i : i;
        live[b] = i < lengths[b];
        memcpy(gates + b * p->rows, p->x + (t * count + b) * p->rows, p->rows * sizeof(float));
    }
    uint64_t recurrent = rnn->kind == CPU_GRU ? 2 * n : p->rows;
    multiply(p, p->r, count, recurrent, n, p->h, (int64_t)n, gates, (int64_t)p->rows, true, NULL);
    if (rnn->kind == CPU_GRU) gru_rows(p, gates, p->rows, live, count);
    for (uint64_t b = 0; b < count; b++) {
        uint64_t t = live[b] && rnn->reverse[p->d] ? lengths[b] - 1 - i : i;
        float *row = gates + b * p->rows, *h = p->h + b * n;
        if (live[b] && rnn->kind == CPU_LSTM) {
            if (rnn->usual && !rnn->input_forget)
                p->state->vectors->lstm(n, row, p->p, p->c + b * n, h);
            else
                lstm_float(rnn, (uint32_t)p->d, n, row, p->p, p->c + b * n, h);
        } else if (live[b] && rnn->kind == CPU_RNN) {
            apply(p, 0, n, row);
            memcpy(h, row, n * sizeof(float));
        }
        if (!cpu_has_output(p->call, 0)) continue;
        float *y = (float *)p->call->out[0].data + cpu_rnn_y_row(rnn, p->s, t, p->d, p->b0 + b) * n;
        if (live[b])
            memcpy(y, h, n * sizeof(float));
        else
            memset(y, 0, n * sizeof(float));
    }
}

/* First state of a row in, last state out: input or output `index`, NULL when absent. */
static void states_begin(const piece *p) {
    const cpu_rnn_state *rnn = &p->state->rnn;
    for (uint64_t b = p->b0; b < p->b1; b++) {
        uint64_t row = cpu_rnn_state_row(rnn, p->s, p->d, b) * p->n;
        float *h = p->h + (b - p->b0) * p->n, *c = p->c + (b - p->b0) * p->n;
        memset(h, 0, p->n * sizeof(float));
        memset(c, 0, p->n * sizeof(float));
        if (cpu_has_input(p->call, 5)) memcpy(h, (const float *)p->call->in[5].data + row, p->n * sizeof(float));
        if (rnn->kind == CPU_LSTM && cpu_has_input(p->call, 6))
            memcpy(c, (const float *)p->call->in[6].data + row, p->n * sizeof(float));
    }
}

static void states_end(const piece *p) {
    const cpu_rnn_state *rnn = &p->state->rnn;
    for (uint64_t b = p->b0; b < p->b1; b++) {
        uint64_t row = cpu_rnn_state_row(rnn, p->s, p->d, b) * p->n;
        if (cpu_has_output(p->call, 1))
            memcpy((float *)p->call->out[1].data + row, p->h + (b - p->b0) * p->n, p->n * sizeof(float));
        if (rnn->kind == CPU_LSTM && cpu_has_output(p->call, 2))
            memcpy((float *)p->call->out[2].data + row, p->c + (b - p->b0) * p->n, p->n * sizeof(float));
    }
}

static partita_status piece_run(piece *p) {
    const ptp_host *host = p->call->host;
    uint64_t count = p->b1 - p->b0;
    /* Gates of one step, lengths and who is still running. */
    char *room = cpu_alloc(host, count * (p->rows * sizeof(float) + sizeof(uint64_t) + 1));
    if (room == NULL) return PARTITA_OUT_OF_MEMORY;
    uint64_t *lengths = (uint64_t *)(void *)room;
    float *gates = (float *)(void *)(lengths + count);
    uint8_t *live = (uint8_t *)(gates + count * p->rows);
    for (uint64_t b = 0; b < count; b++) lengths[b] = cpu_rnn_length(p->call, p->s, p->b0 + b);
    states_begin(p);
    x_multiply(p);
    for (uint64_t i = 0; i < p->s->steps; i++) step_run(p, i, lengths, live, gates);
    states_end(p);
    cpu_free(host, room);
    return PARTITA_OK;
}

static partita_status fast_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const fast_state *state = call->state;
    cpu_rnn_sizes s;
    partita_status status = cpu_rnn_sizes_of(call, &state->rnn, &s);
    if (status != PARTITA_OK) return status;
    rooms r = rooms_of(call, state, &s);
    float *room = (float *)call->scratch + worker * r.all;
    uint64_t rows = state->rnn.gates * s.hidden;
    for (uint64_t item = begin; item < end && status == PARTITA_OK; item++) {
        piece p = {.call = call, .state = state, .s = &s, .d = item / r.pieces, .n = s.hidden, .rows = rows};
        float *next = room;
        p.b0 = item % r.pieces * r.piece;
        p.b1 = p.b0 + r.piece < s.batch ? p.b0 + r.piece : s.batch;
        if (p.b0 >= p.b1) continue;
        const float *w = (const float *)call->in[1].data + p.d * rows * s.input;
        const float *u = (const float *)call->in[2].data + p.d * rows * s.hidden;
        p.w = state->w != NULL ? state->w + p.d * state->w_each : next;
        if (state->w == NULL) w_pack(state, w, rows, s.input, next);
        next += r.w;
        p.r = state->r != NULL ? state->r + p.d * state->r_each : next;
        if (state->r == NULL) r_pack(state, u, s.hidden, next);
        next += r.r;
        p.x = next;
        p.sums = p.x + r.x;
        p.h = p.sums + r.sums;
        p.c = p.h + r.piece * s.hidden;
        p.reset = p.c + r.piece * s.hidden;
        if (cpu_has_input(call, 3)) {
            p.wb = (const float *)call->in[3].data + p.d * 2 * rows;
            p.rb = p.wb + rows;
        }
        if (state->rnn.kind == CPU_LSTM && cpu_has_input(call, 7))
            p.p = (const float *)call->in[7].data + p.d * 3 * s.hidden;
        status = piece_run(&p);
    }
    return status;
}

#define ROW(operator)                                                                                                  \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_TYPE(FLOAT32),                     \
        .prepare = fast_prepare, .release = fast_release, .scratch = fast_scratch, .items = fast_items,                \
        .run = fast_run                                                                                                \
    }
const cpu_kernel cpu_kernels_rnn_fast[] = {ROW("LSTM"), ROW("GRU"), ROW("RNN")};
const uint32_t cpu_kernels_rnn_fast_count = sizeof(cpu_kernels_rnn_fast) / sizeof(cpu_kernels_rnn_fast[0]);
