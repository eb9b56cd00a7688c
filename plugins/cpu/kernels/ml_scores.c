/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of the models of ai.onnx.ml: their transforms, and how classifiers run over rows: see ml.h.
 */
#include "cpu/kernels/ml.h"

partita_status ml_transform_read(const cpu_node *node, const ptp_host *host, ml_transform *out) {
    static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
    ptp_attribute_row row;
    *out = ML_NONE;
    if (!ptp_attribute_find(node->block, &node->row, "post_transform", &row)) return PARTITA_OK;
    if (row.type == PTP_ATTRIBUTE_INT) {
        int64_t number = cpu_attr_int(node, "post_transform", 0);
        if (number < ML_NONE || number > ML_PROBIT)
            return cpu_fail(host, PARTITA_CANNOT_COMPILE, "post_transform %lld is unknown", (long long)number);
        *out = (ml_transform)number;
        return PARTITA_OK;
    }
    partita_str text = ptp_attribute_str(node->block, &node->row, "post_transform");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!ptp_str_is(text, names[i])) continue;
        *out = (ml_transform)i;
        return PARTITA_OK;
    }
    return cpu_fail(host, PARTITA_CANNOT_COMPILE, "post_transform %.*s is unknown", (int)text.size, text.data);
}

double ml_logistic(double x) {
    double e = exp(-fabs(x));
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

/* The standard normal's quantile: bisection on erfc, which needs no table of coefficients and ends at the last bit. */
static double probit(double p) {
    if (isnan(p) || p < 0 || p > 1) return (double)NAN;
    if (p == 0 || p == 1) return p == 0 ? -(double)INFINITY : (double)INFINITY;
    double low = -39, high = 39;
    for (int i = 0; i < 100; i++) {
        double middle = 0.5 * (low + high);
        if (0.5 * erfc(-middle * 0.70710678118654752440) < p)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

/* Of SOFTMAX_ZERO: scores that are zero stay zero. */
static void softmax(double *scores, uint64_t n, bool zeros_stay) {
    double most = -(double)INFINITY, sum = 0;
    for (uint64_t i = 0; i < n; i++) most = scores[i] > most ? scores[i] : most;
    for (uint64_t i = 0; i < n; i++) {
        bool zero = zeros_stay && fabs(scores[i]) <= 1e-7;
        scores[i] = zero ? scores[i] * exp(-most) : exp(scores[i] - most);
        sum += scores[i];
    }
    for (uint64_t i = 0; i < n; i++) scores[i] = sum == 0 ? 0.5 : scores[i] / sum;
}

void ml_transform_apply(ml_transform transform, double *scores, uint64_t n) {
    switch (transform) {
    case ML_NONE: break;
    case ML_SOFTMAX: softmax(scores, n, false); break;
    case ML_SOFTMAX_ZERO: softmax(scores, n, true); break;
    case ML_LOGISTIC:
        for (uint64_t i = 0; i < n; i++) scores[i] = ml_logistic(scores[i]);
        break;
    case ML_PROBIT:
        for (uint64_t i = 0; i < n; i++) scores[i] = probit(scores[i]);
        break;
    }
}

/* ---- classifiers ---- */

static uint64_t worker_room(const cpu_call *call) {
    const ml_classifier *state = call->state;
    const cpu_tensor *x = &call->in[0];
    uint64_t columns = x->rank > 0 ? (uint64_t)x->dims[x->rank - 1] : 0;
    return ML_BLOCK * (columns + state->columns) + state->room;
}

uint64_t ml_classifier_scratch(const cpu_call *call) { return worker_room(call) * call->workers * sizeof(double); }

/* Rows [first, last), at most ML_BLOCK. */
static partita_status block_run(const cpu_call *call, uint64_t first, uint64_t last, double *room, uint64_t *picks) {
    const ml_classifier *state = call->state;
    double *scores = room + state->room;
    partita_status status = state->score(call, first, last, room, scores, picks);
    if (status == PARTITA_OK && cpu_has_output(call, 1))
        cpu_store_doubles(call->out[1].dtype, call->out[1].data, first * state->columns,
                          (last - first) * state->columns, scores);
    return status;
}

static partita_status outputs_check(const cpu_call *call, uint64_t rows) {
    const ml_classifier *state = call->state;
    int64_t dims[2] = {(int64_t)rows, (int64_t)state->columns};
    return cpu_has_output(call, 1) ? cpu_expect(call, 1, 2, dims) : PARTITA_OK;
}

partita_status ml_classifier_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const ml_classifier *state = call->state;
    uint64_t rows, columns, picks[ML_BLOCK];
    partita_status status = ml_rows(call, &call->in[0], &rows, &columns);
    if (status == PARTITA_OK) status = outputs_check(call, rows);
    double *room = (double *)call->scratch + worker * worker_room(call);
    int64_t *labels = cpu_has_output(call, 0) ? call->out[0].data : NULL;
    if (end > rows) end = rows;
    for (uint64_t i = begin; status == PARTITA_OK && i < end; i += ML_BLOCK) {
        uint64_t last = end - i < ML_BLOCK ? end : i + ML_BLOCK;
        status = block_run(call, i, last, room, picks);
        for (uint64_t r = i; status == PARTITA_OK && labels != NULL && r < last; r++)
            labels[r] = picks[r - i] < state->labels.count ? ml_list_int(&state->labels.ints, picks[r - i]) : 0;
    }
    return status;
}

partita_status ml_classifier_emit(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const ml_classifier *state = call->state;
    uint64_t rows, columns, *picks = NULL;
    partita_status status = ml_rows(call, &call->in[0], &rows, &columns);
    if (status != PARTITA_OK) return status;
    int64_t dims[2] = {(int64_t)rows, (int64_t)state->columns};
    picks = cpu_alloc(call->host, rows * sizeof(*picks));
    double *room = cpu_alloc(call->host, worker_room(call) * sizeof(*room));
    if (picks == NULL || room == NULL) status = PARTITA_OUT_OF_MEMORY;
    if (status == PARTITA_OK && cpu_has_output(call, 1)) status = cpu_call_alloc(call, 1, 2, dims);
    for (uint64_t i = 0; status == PARTITA_OK && i < rows; i += ML_BLOCK)
        status = block_run(call, i, rows - i < ML_BLOCK ? rows : i + ML_BLOCK, room, picks + i);
    if (status == PARTITA_OK && cpu_has_output(call, 0))
        status = cpu_set_strings(call, 0, 1, dims, &state->labels.texts.strings, picks, rows);
    cpu_free(call->host, room);
    cpu_free(call->host, picks);
    return status;
}
