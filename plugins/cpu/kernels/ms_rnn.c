/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DynamicQuantizeLSTM: weights are bytes; X is made bytes once, the state before each step, both over the whole batch.
 * An item is a direction.
 */
#include "cpu/kernels/integer.h"
#include "cpu/kernels/rnn.h"
#include "cpu/kernels/rnn_activation.h"

#define TYPE    float
#define NAME(x) x##_float
#include "cpu/kernels/rnn_cell.inc"

enum { IN_X, IN_W, IN_R, IN_B, IN_LENGTHS, IN_H, IN_C, IN_P, IN_W_SCALE, IN_W_ZERO, IN_R_SCALE, IN_R_ZERO };

static partita_status lstm_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cpu_rnn_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    return state == NULL ? PARTITA_OUT_OF_MEMORY : cpu_rnn_read(node, host, state);
}

static bool lstm_claim(const cpu_node *node, ptp_answer *answer) {
    static const uint32_t bytes[] = {IN_W, IN_R, IN_W_ZERO, IN_R_ZERO};
    ptp_value_row value;
    for (uint32_t i = 0; i < 4; i++)
        if (!cpu_node_input(node, bytes[i], &value) || value.dtype >= 64 || (CPU_BYTES >> value.dtype & 1) == 0)
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input %u is not of bytes", bytes[i]);
    return true;
}

static bool is3(const cpu_tensor *t, uint64_t a, uint64_t b, uint64_t c) {
    const int64_t dims[3] = {(int64_t)a, (int64_t)b, (int64_t)c};
    return cpu_same_dims(t, 3, dims);
}

/* An optional input has this many elements. */
static bool counts(const cpu_call *call, uint32_t input, uint64_t n) {
    return !cpu_has_input(call, input) || call->in[input].count == n;
}

/* W and R are turned, [directions, inner, gates]; scales and zero points are one for each direction or each gate. */
static partita_status sizes_of(const cpu_call *call, cpu_rnn_sizes *s) {
    const cpu_rnn_state *state = call->state;
    const cpu_tensor *x = &call->in[IN_X], *r = &call->in[IN_R];
    uint64_t d = state->directions;
    if (x->rank != 3 || r->rank != 3) return cpu_fail(call->host, PARTITA_BAD_INPUT, "X and R must have rank 3");
    *s = (cpu_rnn_sizes){(uint64_t)x->dims[0], (uint64_t)x->dims[1], (uint64_t)x->dims[2], (uint64_t)r->dims[1]};
    uint64_t rows = 4 * s->hidden, states = d * s->batch * s->hidden;
    bool fits = is3(&call->in[IN_W], d, s->input, rows) && is3(r, d, s->hidden, rows);
    fits = fits && counts(call, IN_B, d * 2 * rows) && counts(call, IN_LENGTHS, s->batch) &&
           counts(call, IN_H, states) && counts(call, IN_C, states) && counts(call, IN_P, d * 3 * s->hidden);
    for (uint32_t i = IN_W_SCALE; i <= IN_R_ZERO; i++)
        fits = fits && cpu_has_input(call, i) && (call->in[i].count == d || call->in[i].count == d * rows);
    if (cpu_has_output(call, 0)) fits = fits && call->out[0].count == s->steps * states;
    for (uint32_t i = 1; i < call->out_count; i++)
        if (cpu_has_output(call, i)) fits = fits && call->out[i].count == states;
    return fits ? PARTITA_OK
                : cpu_fail(call->host, PARTITA_BAD_INPUT, "the shapes of the inputs do not fit each other");
}

static uint64_t lstm_items(const cpu_call *call) { return ((const cpu_rnn_state *)call->state)->directions; }

/* Of an item, in floats: gates of all steps, states, and rows of a product. */
static uint64_t item_floats(const cpu_rnn_sizes *s) {
    uint64_t inner = s->input > s->hidden ? s->input : s->hidden;
    return (s->steps * s->batch * 4 * s->hidden + 3 * s->batch * s->hidden + inner + 8 * s->hidden + 15) / 16 * 16;
}

static uint64_t lstm_scratch(const cpu_call *call) {
    cpu_rnn_sizes s = {0};
    return sizes_of(call, &s) != PARTITA_OK ? 0 : call->workers * item_floats(&s) * sizeof(float);
}

typedef struct lane {
    const cpu_call *call;
    cpu_rnn_sizes s;
    uint64_t d;
    float *gates, *h, *c, *shown;
    int32_t *left, *zeros, *sums;
} lane;

/* Adds rows [rows, inner] times the bytes of W or R to their gates. */
static void product_add(const lane *l, uint32_t weights, const float *x, uint64_t rows, float *gates) {
    const cpu_call *call = l->call;
    const cpu_tensor *w = &call->in[weights], *scales = &call->in[weights == IN_W ? IN_W_SCALE : IN_R_SCALE];
    const cpu_tensor *zeros = &call->in[weights == IN_W ? IN_W_ZERO : IN_R_ZERO];
    uint64_t inner = (uint64_t)w->dims[1], n = (uint64_t)w->dims[2];
    bool one_scale = scales->count != n * (uint64_t)w->dims[0], one_zero = zeros->count != n * (uint64_t)w->dims[0];
    float scale;
    int32_t zero;
    cpu_dynamic_scale(x, rows * inner, &scale, &zero);
    for (uint64_t j = 0; j < n; j++) l->zeros[j] = cpu_byte_at(zeros, one_zero ? l->d : l->d * n + j);
    for (uint64_t row = 0; row < rows; row++, x += inner, gates += n) {
        for (uint64_t k = 0; k < inner; k++) l->left[k] = cpu_dynamic_quantised(x[k], scale, zero) - zero;
        cpu_byte_products(w, l->d * inner * n, (int64_t)n, 1, inner, n, l->left, l->zeros, l->sums);
        for (uint64_t j = 0; j < n; j++)
            gates[j] += (float)l->sums[j] * (scale * ((const float *)scales->data)[one_scale ? l->d : l->d * n + j]);
    }
}

static void states_load(const lane *l) {
    const cpu_call *call = l->call;
    uint64_t n = 4 * l->s.hidden, states = l->s.batch * l->s.hidden;
    const float *b = cpu_has_input(call, IN_B) ? (const float *)call->in[IN_B].data + l->d * 2 * n : NULL;
    for (uint64_t i = 0; i < l->s.steps * l->s.batch * n; i++) l->gates[i] = b != NULL ? b[i % n] + b[n + i % n] : 0;
    const float *h = cpu_has_input(call, IN_H) ? (const float *)call->in[IN_H].data + l->d * states : NULL;
    const float *c = cpu_has_input(call, IN_C) ? (const float *)call->in[IN_C].data + l->d * states : NULL;
    for (uint64_t i = 0; i < states; i++) {
        l->h[i] = h != NULL ? h[i] : 0;
        l->c[i] = c != NULL ? c[i] : 0;
    }
}

/* Step `i` of a text of `length` steps of row b: at which place of X. */
static uint64_t place_of(const lane *l, uint64_t i, uint64_t length) {
    return ((const cpu_rnn_state *)l->call->state)->reverse[l->d] ? length - 1 - i : i;
}

static void step(const lane *l, uint64_t i) {
    const cpu_call *call = l->call;
    const cpu_rnn_state *state = call->state;
    uint64_t n = l->s.hidden, batch = l->s.batch;
    float *y = cpu_has_output(call, 0) ? call->out[0].data : NULL;
    const float *p = cpu_has_input(call, IN_P) ? (const float *)call->in[IN_P].data + l->d * 3 * n : NULL;
    for (uint64_t b = 0; b < batch; b++) {
        uint64_t length = cpu_rnn_length(call, &l->s, b);
        float *to =
            y != NULL ? y + cpu_rnn_y_row(state, &l->s, i < length ? place_of(l, i, length) : i, l->d, b) * n : NULL;
        if (i < length)
            lstm_float(state, (uint32_t)l->d, n, l->gates + (i * batch + b) * 4 * n, p, l->c + b * n, l->h + b * n);
        for (uint64_t j = 0; to != NULL && j < n; j++) to[j] = i < length ? l->h[b * n + j] : 0;
    }
}

/* X in the order of the steps, so that the gates of a step are neighbours: rows of X change places in their text. */
static void gates_turn(const lane *l) {
    const cpu_call *call = l->call;
    uint64_t n = 4 * l->s.hidden, batch = l->s.batch;
    if (!((const cpu_rnn_state *)call->state)->reverse[l->d]) return;
    for (uint64_t b = 0; b < batch; b++) {
        uint64_t length = cpu_rnn_length(call, &l->s, b);
        for (uint64_t i = 0; i < length / 2; i++) {
            float *first = l->gates + (i * batch + b) * n, *last = l->gates + ((length - 1 - i) * batch + b) * n;
            for (uint64_t j = 0; j < n; j++) {
                float kept = first[j];
                first[j] = last[j];
                last[j] = kept;
            }
        }
    }
}

/* The states that step `i` takes in. Where Y is asked for they are its rows, which are zeros behind a text's end: that
 * matters to the scale of the others. */
static const float *states_of(const lane *l, uint64_t i) {
    uint64_t n = l->s.hidden, ended = 0;
    if (!cpu_has_output(l->call, 0)) return l->h;
    for (uint64_t b = 0; b < l->s.batch; b++) ended += i > cpu_rnn_length(l->call, &l->s, b);
    if (ended == 0) return l->h;
    memcpy(l->shown, l->h, l->s.batch * n * sizeof(float));
    for (uint64_t b = 0; b < l->s.batch; b++)
        if (i > cpu_rnn_length(l->call, &l->s, b)) memset(l->shown + b * n, 0, n * sizeof(float));
    return l->shown;
}

/* Steps behind the end of all texts have no part in the scale. */
static uint64_t longest_of(const lane *l) {
    uint64_t longest = 0;
    for (uint64_t b = 0; b < l->s.batch; b++) {
        uint64_t length = cpu_rnn_length(l->call, &l->s, b);
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* A text of no steps ends in zeros, whatever it began with. */
static void states_give(const lane *l, uint32_t output, const float *from) {
    uint64_t n = l->s.hidden, states = l->s.batch * n;
    if (!cpu_has_output(l->call, output)) return;
    float *to = (float *)l->call->out[output].data + l->d * states;
    for (uint64_t i = 0; i < states; i++) to[i] = cpu_rnn_length(l->call, &l->s, i / n) > 0 ? from[i] : 0;
}

static partita_status lstm_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    lane l = {.call = call};
    partita_status status = sizes_of(call, &l.s);
    if (status != PARTITA_OK) return status;
    uint64_t n = l.s.hidden, states = l.s.batch * n, inner = l.s.input > n ? l.s.input : n;
    l.gates = (float *)call->scratch + worker * item_floats(&l.s);
    l.h = l.gates + l.s.steps * l.s.batch * 4 * n;
    l.c = l.h + states;
    l.shown = l.c + states;
    l.left = (int32_t *)(l.shown + states);
    l.zeros = l.left + inner;
    l.sums = l.zeros + 4 * n;
    for (l.d = begin; l.d < end; l.d++) {
        states_load(&l);
        product_add(&l, IN_W, call->in[IN_X].data, longest_of(&l) * l.s.batch, l.gates);
        gates_turn(&l);
        for (uint64_t i = 0; i < l.s.steps; i++) {
            product_add(&l, IN_R, states_of(&l, i), l.s.batch, l.gates + i * l.s.batch * 4 * n);
            step(&l, i);
        }
        states_give(&l, 1, l.h);
        states_give(&l, 2, l.c);
    }
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_ms_rnn[] = {{.op = "DynamicQuantizeLSTM",
                                          .domain = "com.microsoft",
                                          .since = 1,
                                          .until = CPU_NEWEST,
                                          .types = CPU_TYPE(FLOAT32),
                                          .reference = true,
                                          .claim = lstm_claim,
                                          .prepare = lstm_prepare,
                                          .release = cpu_free,
                                          .scratch = lstm_scratch,
                                          .items = lstm_items,
                                          .run = lstm_run}};
const uint32_t cpu_kernels_ms_rnn_count = sizeof(cpu_kernels_ms_rnn) / sizeof(cpu_kernels_ms_rnn[0]);
