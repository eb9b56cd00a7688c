/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference LSTM, GRU and RNN: every gate of every row as a plain sum, in double.
 */
#include "cpu/kernels/rnn.h"
#include "cpu/kernels/reference.h"
#include "cpu/kernels/rnn_activation.h"

#define TYPE    double
#define NAME(x) x##_double
#include "cpu/kernels/rnn_cell.inc"

static const struct {
    const char *name;
    bool has_alpha, has_beta;
    float alpha, beta;
} functions[] = {
#define X(name, has_alpha, has_beta, alpha, beta) {#name, has_alpha, has_beta, alpha, beta},
    CPU_ACTIVATION_ROWS(X)
#undef X
};
#define FUNCTION_COUNT (sizeof(functions) / sizeof(functions[0]))

/* Names compare without case, as old models write them. */
static bool name_is(partita_str name, const char *other) {
    if (name.size != strlen(other)) return false;
    for (size_t i = 0; i < name.size; i++)
        if ((name.data[i] | 32) != (other[i] | 32)) return false;
    return true;
}

static partita_status activations_read(const cpu_node *node, const ptp_host *host, cpu_rnn_state *state) {
    static const uint32_t usual[3][3] = {{ACTIVATION_Tanh},
                                         {ACTIVATION_Sigmoid, ACTIVATION_Tanh},
                                         {ACTIVATION_Sigmoid, ACTIVATION_Tanh, ACTIVATION_Tanh}};
    uint32_t each = state->kind + 1, alpha_count, beta_count, alpha_at = 0, beta_at = 0;
    const float *alphas = ptp_attribute_floats(node->block, &node->row, "activation_alpha", &alpha_count);
    const float *betas = ptp_attribute_floats(node->block, &node->row, "activation_beta", &beta_count);
    ptp_attribute_row row = {0};
    bool given = ptp_attribute_find(node->block, &node->row, "activations", &row) != 0 &&
                 row.type == PTP_ATTRIBUTE_STRINGS && row.data.count > 0;
    if (given && row.data.count < each * state->directions)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%u activations, %u needed", row.data.count,
                        each * state->directions);
    state->usual = state->clip == 0;
    for (uint32_t i = 0; i < each * state->directions; i++) {
        cpu_activation *activation = &state->activations[i / each][i % each];
        activation->function = usual[state->kind][i % each];
        if (given) {
            partita_str name = ptp_ref_str(node->block, ((const ptp_ref *)ptp_ref_data(node->block, row.data))[i]);
            uint32_t f = 0;
            while (f < FUNCTION_COUNT && !name_is(name, functions[f].name)) f++;
            if (f == FUNCTION_COUNT)
                return cpu_fail(host, PARTITA_CANNOT_COMPILE, "no activation %.*s", (int)name.size, name.data);
            activation->function = f;
        }
        activation->alpha = functions[activation->function].alpha;
        activation->beta = functions[activation->function].beta;
        if (functions[activation->function].has_alpha && alpha_at < alpha_count) activation->alpha = alphas[alpha_at++];
        if (functions[activation->function].has_beta && beta_at < beta_count) activation->beta = betas[beta_at++];
        if (activation->function != usual[state->kind][i % each]) state->usual = false;
    }
    return PARTITA_OK;
}

partita_status cpu_rnn_read(const cpu_node *node, const ptp_host *host, cpu_rnn_state *state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    partita_str direction = ptp_attribute_str(node->block, &node->row, "direction");
    state->kind = ptp_str_is(op, "LSTM") || ptp_str_is(op, "DynamicQuantizeLSTM") ? CPU_LSTM
                  : ptp_str_is(op, "GRU")                                         ? CPU_GRU
                                                                                  : CPU_RNN;
    state->gates = state->kind == CPU_LSTM ? 4 : state->kind == CPU_GRU ? 3 : 1;
    state->directions = ptp_str_is(direction, "bidirectional") ? 2 : 1;
    state->reverse[0] = ptp_str_is(direction, "reverse") != 0;
    state->reverse[1] = true;
    state->clip = cpu_attr_float(node, "clip", 0);
    state->input_forget = cpu_attr_int(node, "input_forget", 0) != 0;
    state->linear_before_reset = cpu_attr_int(node, "linear_before_reset", 0) != 0;
    state->batch_first = cpu_attr_int(node, "layout", 0) != 0;
    return activations_read(node, host, state);
}

static bool shape_is(const cpu_tensor *tensor, uint32_t rank, uint64_t a, uint64_t b, uint64_t c) {
    return tensor->rank == rank && (uint64_t)tensor->dims[0] == a && (rank < 2 || (uint64_t)tensor->dims[1] == b) &&
           (rank < 3 || (uint64_t)tensor->dims[2] == c);
}

partita_status cpu_rnn_sizes_of(const cpu_call *call, const cpu_rnn_state *state, cpu_rnn_sizes *sizes) {
    const cpu_tensor *x = &call->in[0], *r = &call->in[2];
    uint64_t d = state->directions;
    if (x->rank != 3 || r->rank != 3) return cpu_fail(call->host, PARTITA_BAD_INPUT, "X and R must have rank 3");
    sizes->steps = (uint64_t)x->dims[state->batch_first];
    sizes->batch = (uint64_t)x->dims[!state->batch_first];
    sizes->input = (uint64_t)x->dims[2];
    sizes->hidden = (uint64_t)r->dims[2];
    uint64_t rows = state->gates * sizes->hidden, lead = state->batch_first ? sizes->batch : d;
    uint64_t second = state->batch_first ? d : sizes->batch;
    bool fits = shape_is(&call->in[1], 3, d, rows, sizes->input) && shape_is(r, 3, d, rows, sizes->hidden);
    if (cpu_has_input(call, 3)) fits = fits && shape_is(&call->in[3], 2, d, 2 * rows, 0);
    if (cpu_has_input(call, 4)) fits = fits && shape_is(&call->in[4], 1, sizes->batch, 0, 0);
    if (cpu_has_input(call, 5)) fits = fits && shape_is(&call->in[5], 3, lead, second, sizes->hidden);
    if (state->kind == CPU_LSTM && cpu_has_input(call, 6))
        fits = fits && shape_is(&call->in[6], 3, lead, second, sizes->hidden);
    if (state->kind == CPU_LSTM && cpu_has_input(call, 7))
        fits = fits && shape_is(&call->in[7], 2, d, 3 * sizes->hidden, 0);
    if (cpu_has_output(call, 0)) fits = fits && call->out[0].count == sizes->steps * d * sizes->batch * sizes->hidden;
    for (uint32_t i = 1; i < call->out_count; i++)
        if (cpu_has_output(call, i)) fits = fits && call->out[i].count == d * sizes->batch * sizes->hidden;
    return fits ? PARTITA_OK
                : cpu_fail(call->host, PARTITA_BAD_INPUT, "the shapes of the inputs do not fit each other");
}

uint64_t cpu_rnn_x_row(const cpu_rnn_state *state, const cpu_rnn_sizes *sizes, uint64_t t, uint64_t b) {
    return state->batch_first ? b * sizes->steps + t : t * sizes->batch + b;
}

uint64_t cpu_rnn_y_row(const cpu_rnn_state *state, const cpu_rnn_sizes *sizes, uint64_t t, uint64_t d, uint64_t b) {
    if (state->batch_first) return (b * sizes->steps + t) * state->directions + d;
    return (t * state->directions + d) * sizes->batch + b;
}

uint64_t cpu_rnn_state_row(const cpu_rnn_state *state, const cpu_rnn_sizes *sizes, uint64_t d, uint64_t b) {
    return state->batch_first ? b * state->directions + d : d * sizes->batch + b;
}

uint64_t cpu_rnn_length(const cpu_call *call, const cpu_rnn_sizes *sizes, uint64_t b) {
    if (!cpu_has_input(call, 4)) return sizes->steps;
    int64_t length = cpu_index(&call->in[4], b);
    return length < 0 ? 0 : (uint64_t)length < sizes->steps ? (uint64_t)length : sizes->steps;
}

static double dot(const double *a, const double *b, uint64_t n) {
    double sum = 0;
    for (uint64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

typedef struct lane {
    const cpu_rnn_state *state;
    uint32_t d;
    uint64_t n, input;
    const double *w, *r, *wb, *rb, *p; /* of this direction; biases and peepholes may be NULL */
    double *h, *c, *sums, *extra;
} lane;

static void gru_step(const lane *l, const double *x) {
    const cpu_activation *f = l->state->activations[l->d];
    double clip = (double)l->state->clip;
    uint64_t n = l->n;
    for (uint64_t j = 0; j < 2 * n; j++) {
        double sum = dot(x, l->w + j * l->input, l->input) + dot(l->h, l->r + j * n, n);
        if (l->wb != NULL) sum += l->wb[j] + l->rb[j];
        l->sums[j] = activate_double(&f[0], clip, sum);
    }
    for (uint64_t j = 0; j < n; j++) l->extra[j] = l->h[j] * l->sums[n + j];
    for (uint64_t j = 0; j < n; j++) {
        const double *row = l->r + (2 * n + j) * n;
        double from_x = dot(x, l->w + (2 * n + j) * l->input, l->input) + (l->wb != NULL ? l->wb[2 * n + j] : 0);
        double bias = l->rb != NULL ? l->rb[2 * n + j] : 0;
        double from_h =
            l->state->linear_before_reset ? l->sums[n + j] * (dot(l->h, row, n) + bias) : dot(l->extra, row, n) + bias;
        l->sums[2 * n + j] = activate_double(&f[1], clip, from_x + from_h);
    }
    for (uint64_t j = 0; j < n; j++) l->h[j] = (1 - l->sums[j]) * l->sums[2 * n + j] + l->sums[j] * l->h[j];
}

static void step(const lane *l, const double *x) {
    const cpu_rnn_state *state = l->state;
    uint64_t rows = state->gates * l->n;
    if (state->kind == CPU_GRU) {
        gru_step(l, x);
        return;
    }
    for (uint64_t j = 0; j < rows; j++) {
        l->sums[j] = dot(x, l->w + j * l->input, l->input) + dot(l->h, l->r + j * l->n, l->n);
        if (l->wb != NULL) l->sums[j] += l->wb[j] + l->rb[j];
    }
    if (state->kind == CPU_LSTM)
        lstm_double(state, l->d, l->n, l->sums, l->p, l->c, l->h);
    else
        for (uint64_t j = 0; j < rows; j++)
            l->h[j] = activate_double(&state->activations[l->d][0], (double)state->clip, l->sums[j]);
}

static uint64_t rnn_scratch(const cpu_call *call) {
    uint64_t hidden = call->in[2].rank == 3 ? (uint64_t)call->in[2].dims[2] : 0;
    return cpu_doubles_scratch(call) + 8 * hidden * sizeof(double);
}

static partita_status rnn_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_rnn_state *state = call->state;
    cpu_rnn_sizes s;
    cpu_doubles v;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_rnn_sizes_of(call, state, &s);
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &v);
    uint64_t n = s.hidden, rows = state->gates * n, used = cpu_doubles_scratch(call) / sizeof(double);
    double *room = (double *)call->scratch + used;
    lane l = {.state = state,
              .n = n,
              .input = s.input,
              .h = room,
              .c = room + n,
              .sums = room + 2 * n,
              .extra = room + 6 * n};
    for (uint64_t lane_at = 0; lane_at < state->directions * s.batch; lane_at++) {
        uint64_t d = lane_at / s.batch, b = lane_at % s.batch, length = cpu_rnn_length(call, &s, b);
        uint64_t row = cpu_rnn_state_row(state, &s, d, b) * n;
        l.d = (uint32_t)d;
        l.w = v.in[1] + d * rows * s.input;
        l.r = v.in[2] + d * rows * n;
        l.wb = v.in[3] != NULL ? v.in[3] + d * 2 * rows : NULL;
        l.rb = v.in[3] != NULL ? l.wb + rows : NULL;
        l.p = v.in[7] != NULL ? v.in[7] + d * 3 * n : NULL;
        for (uint64_t j = 0; j < n; j++) {
            l.h[j] = v.in[5] != NULL ? v.in[5][row + j] : 0;
            l.c[j] = state->kind == CPU_LSTM && v.in[6] != NULL ? v.in[6][row + j] : 0;
        }
        for (uint64_t i = 0; i < s.steps; i++) {
            uint64_t t = i < length && state->reverse[d] ? length - 1 - i : i;
            double *y = v.out[0] != NULL ? v.out[0] + cpu_rnn_y_row(state, &s, t, d, b) * n : NULL;
            if (i < length) step(&l, v.in[0] + cpu_rnn_x_row(state, &s, t, b) * s.input);
            for (uint64_t j = 0; y != NULL && j < n; j++) y[j] = i < length ? l.h[j] : 0;
        }
        if (v.out[1] != NULL) memcpy(v.out[1] + row, l.h, n * sizeof(double));
        if (v.out[2] != NULL) memcpy(v.out[2] + row, l.c, n * sizeof(double));
    }
    cpu_doubles_store(call, &v);
    return PARTITA_OK;
}

static partita_status rnn_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cpu_rnn_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    partita_status status = cpu_rnn_read(node, host, state);
    if (status == PARTITA_OK)
        *out_state = state;
    else
        cpu_free(host, state);
    return status;
}

#define ROW(operator)                                                                                                  \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,         \
        .prepare = rnn_prepare, .release = cpu_free, .scratch = rnn_scratch, .run = rnn_reference                      \
    }
const cpu_kernel cpu_kernels_rnn[] = {ROW("LSTM"), ROW("GRU"), ROW("RNN")};
const uint32_t cpu_kernels_rnn_count = sizeof(cpu_kernels_rnn) / sizeof(cpu_kernels_rnn[0]);
