/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear models of ai.onnx.ml: LinearClassifier, LinearRegressor.
 */
#include "cpu/kernels/ml.h"

typedef struct linear_state {
    ml_classifier classifier; /* of LinearClassifier */
    ml_list coefficients;     /* [targets, C] */
    ml_list intercepts;       /* [targets], or none */
    uint64_t targets;
    ml_transform transform;
} linear_state;

static void linear_release(const ptp_host *host, void *state) {
    if (state != NULL) ml_labels_free(host, &((linear_state *)state)->classifier.labels);
    cpu_free(host, state);
}

/* Coefficients must be rows of as many as there are features, where those are known. */
static partita_status linear_check(const cpu_node *node, const ptp_host *host, const linear_state *state) {
    int64_t features = ml_feature_count(node);
    uint64_t have = state->coefficients.count;
    if (state->targets == 0 || have % state->targets != 0)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%llu coefficients are no rows for %llu targets",
                        (unsigned long long)have, (unsigned long long)state->targets);
    if (state->intercepts.count > 0 && state->intercepts.count != state->targets)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%u intercepts for %llu targets", state->intercepts.count,
                        (unsigned long long)state->targets);
    if (features >= 0 && (uint64_t)features != have / state->targets)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%llu coefficients a target for %lld features",
                        (unsigned long long)(have / state->targets), (long long)features);
    return PARTITA_OK;
}

static partita_status linear_read(const cpu_node *node, const ptp_host *host, linear_state *state) {
    partita_status status = ml_list_read(node, host, "coefficients", NULL, &state->coefficients);
    if (status == PARTITA_OK) status = ml_list_read(node, host, "intercepts", NULL, &state->intercepts);
    if (status == PARTITA_OK) status = ml_transform_read(node, host, &state->transform);
    return status;
}

static void linear_row(const linear_state *state, const double *x, uint64_t columns, double *scores) {
    const float *c = state->coefficients.data;
    for (uint64_t t = 0; t < state->targets; t++, c += columns) {
        double sum = 0;
        for (uint64_t i = 0; i < columns; i++) sum += x[i] * (double)c[i];
        scores[t] = sum + (state->intercepts.count > 0 ? ml_list_real(&state->intercepts, t) : 0);
    }
}

static partita_status linear_rows(const cpu_call *call, uint64_t *out_rows, uint64_t *out_columns) {
    const linear_state *state = call->state;
    partita_status status = ml_rows(call, &call->in[0], out_rows, out_columns);
    if (status == PARTITA_OK && *out_columns != state->coefficients.count / state->targets)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%llu features, the model has %llu",
                        (unsigned long long)*out_columns,
                        (unsigned long long)(state->coefficients.count / state->targets));
    return status;
}

/* ---- LinearClassifier ---- */

static partita_status classifier_score(const cpu_call *call, uint64_t first, uint64_t last, double *room,
                                       double *scores, uint64_t *picks) {
    (void)room;
    const linear_state *state = call->state;
    uint64_t rows, columns, wide = state->classifier.columns;
    partita_status status = linear_rows(call, &rows, &columns);
    if (status != PARTITA_OK) return status;
    for (uint64_t r = first; r < last; r++) {
        double *row = scores + (r - first) * wide;
        uint64_t best = 0;
        linear_row(state, ml_row(&call->in[0], r, columns, ml_feature_room(&state->classifier, scores)), columns, row);
        if (state->targets == 1) {
            /* Two classes told apart by the sign; a single label is the positive one, or 1, against 0. */
            bool two = state->classifier.labels.count == 2;
            best = two ? row[0] > 0 : row[0] > 0 ? 0 : state->classifier.labels.count;
            if (two) row[1] = row[0], row[0] = -row[1];
        }
        for (uint64_t c = 1; state->targets > 1 && c < state->targets; c++)
            if (row[c] > row[best]) best = c;
        ml_transform_apply(state->transform, row, wide);
        picks[r - first] = best;
    }
    return PARTITA_OK;
}

static partita_status classifier_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    linear_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    ml_labels *labels = &state->classifier.labels;
    partita_status status = ml_labels_read(node, host, "classlabels_ints", labels);
    if (status == PARTITA_OK) status = linear_read(node, host, state);
    if (status != PARTITA_OK) return status;
    int64_t features = ml_feature_count(node);
    state->targets = state->intercepts.count > 0 ? state->intercepts.count
                     : features > 0              ? state->coefficients.count / (uint64_t)features
                                                 : labels->count;
    state->classifier.columns = state->targets == 1 && labels->count == 2 ? 2 : state->targets;
    state->classifier.score = classifier_score;
    if (state->targets > 1 && state->targets != labels->count)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%llu rows of coefficients for %u labels",
                        (unsigned long long)state->targets, labels->count);
    return linear_check(node, host, state);
}

/* ---- LinearRegressor ---- */

static partita_status regressor_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    linear_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    int64_t targets = cpu_attr_int(node, "targets", 1);
    if (targets < 1) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%lld targets", (long long)targets);
    state->targets = (uint64_t)targets;
    partita_status status = linear_read(node, host, state);
    return status == PARTITA_OK ? linear_check(node, host, state) : status;
}

static uint64_t regressor_room(const cpu_call *call) {
    const linear_state *state = call->state;
    return state->targets + state->coefficients.count / state->targets;
}

static uint64_t regressor_scratch(const cpu_call *call) {
    return regressor_room(call) * call->workers * sizeof(double);
}

static partita_status regressor_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const linear_state *state = call->state;
    uint64_t rows, columns;
    partita_status status = linear_rows(call, &rows, &columns);
    int64_t dims[2] = {(int64_t)rows, (int64_t)state->targets};
    if (status == PARTITA_OK) status = cpu_expect(call, 0, 2, dims);
    double *scores = (double *)call->scratch + worker * regressor_room(call);
    for (uint64_t r = begin; status == PARTITA_OK && r < end; r++) {
        linear_row(state, ml_row(&call->in[0], r, columns, scores + state->targets), columns, scores);
        ml_transform_apply(state->transform, scores, state->targets);
        cpu_store_doubles(call->out[0].dtype, call->out[0].data, r * state->targets, state->targets, scores);
    }
    return status;
}

const cpu_kernel cpu_kernels_ml_linear[] = {
    ML_CLASSIFIER_ROWS("LinearClassifier", 1, ML_NEWEST, classifier_prepare, linear_release),
    ML_REGRESSOR_ROW("LinearRegressor", 1, ML_NEWEST, ML_FEATURES, linear_release),
};
const uint32_t cpu_kernels_ml_linear_count = sizeof(cpu_kernels_ml_linear) / sizeof(cpu_kernels_ml_linear[0]);
