/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Support vector machines of ai.onnx.ml: SVMClassifier, SVMRegressor. With support vectors, classes are told apart in
 * pairs; probabilities come from the pairs' sigmoids (Platt), coupled so that they fit all pairs best (Wu, Lin, Weng,
 * second method).
 */
#include "cpu/kernels/ml.h"

typedef enum svm_kernel { SVM_LINEAR, SVM_POLY, SVM_RBF, SVM_SIGMOID } svm_kernel;

typedef struct svm_state {
    ml_classifier classifier; /* of SVMClassifier */
    ml_list coefficients, rho, prob_a, prob_b, per_class;
    double *vectors; /* [vector_count, features] */
    uint64_t vector_count, features, classes, pairs;
    svm_kernel kernel;
    double gamma, coef0, degree;
    bool probabilities, one_class;
    ml_transform transform;
} svm_state;

static void svm_release(const ptp_host *host, void *state) {
    if (state != NULL) {
        ml_labels_free(host, &((svm_state *)state)->classifier.labels);
        cpu_free(host, ((svm_state *)state)->vectors);
    }
    cpu_free(host, state);
}

static partita_status kernel_read(const cpu_node *node, const ptp_host *host, svm_state *state) {
    static const char *const names[] = {"LINEAR", "POLY", "RBF", "SIGMOID"};
    partita_str text = ptp_attribute_str(node->block, &node->row, "kernel_type");
    uint32_t count = 0;
    const float *params = ptp_attribute_floats(node->block, &node->row, "kernel_params", &count);
    if (count != 0 && count != 3)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "kernel_params has %u entries, not 3", count);
    if (count == 3) state->gamma = params[0], state->coef0 = params[1], state->degree = params[2];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!ptp_str_is(text, names[i])) continue;
        state->kernel = (svm_kernel)i;
        return PARTITA_OK;
    }
    return cpu_fail(host, PARTITA_CANNOT_COMPILE, "kernel_type %.*s is unknown", (int)text.size, text.data);
}

/* What both have; `count` support vectors, or 0 for a linear model. */
static partita_status svm_read(const cpu_node *node, const ptp_host *host, svm_state *state, uint64_t count) {
    ml_list vectors;
    int64_t known = ml_feature_count(node);
    partita_status status = ml_list_read(node, host, "coefficients", NULL, &state->coefficients);
    if (status == PARTITA_OK) status = ml_list_read(node, host, "rho", NULL, &state->rho);
    if (status == PARTITA_OK) status = ml_list_read(node, host, "support_vectors", NULL, &vectors);
    if (status == PARTITA_OK) status = ml_transform_read(node, host, &state->transform);
    if (status == PARTITA_OK) status = kernel_read(node, host, state);
    if (status != PARTITA_OK) return status;
    uint64_t whole = count > 0 ? vectors.count : state->coefficients.count, rows = count > 0 ? count : state->classes;
    if (rows == 0 || whole % rows != 0)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%llu numbers are no %llu %s", (unsigned long long)whole,
                        (unsigned long long)rows, count > 0 ? "support vectors" : "rows of coefficients");
    state->vector_count = count;
    state->features = whole / rows;
    if (known >= 0 && (uint64_t)known != state->features)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%lld features, the model has %llu", (long long)known,
                        (unsigned long long)state->features);
    const ml_list *source = count > 0 ? &vectors : &state->coefficients;
    state->vectors = cpu_alloc(host, whole * sizeof(double));
    if (state->vectors == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; i < whole; i++) state->vectors[i] = ml_list_real(source, i);
    if (count == 0) state->kernel = SVM_LINEAR;
    return PARTITA_OK;
}

static double kernel_of(const svm_state *state, const double *x, const double *vector) {
    double sum = 0;
    if (state->kernel == SVM_RBF) {
        for (uint64_t i = 0; i < state->features; i++) sum += (x[i] - vector[i]) * (x[i] - vector[i]);
        return exp(-state->gamma * sum);
    }
    for (uint64_t i = 0; i < state->features; i++) sum += x[i] * vector[i];
    if (state->kernel == SVM_LINEAR) return sum;
    sum = state->gamma * sum + state->coef0;
    return state->kernel == SVM_POLY ? pow(sum, state->degree) : tanh(sum);
}

static partita_status svm_rows(const cpu_call *call, uint64_t *out_rows) {
    const svm_state *state = call->state;
    uint64_t columns;
    partita_status status = ml_rows(call, &call->in[0], out_rows, &columns);
    if (status == PARTITA_OK && columns != state->features)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%llu features, the model has %llu", (unsigned long long)columns,
                        (unsigned long long)state->features);
    return status;
}

/* ---- SVMClassifier ---- */

/* Decisions of all pairs of classes, and the votes for each class. */
static void pairs_decide(const svm_state *state, const double *kernels, double *decisions, double *votes) {
    uint64_t pair = 0, first_i = 0, n = state->vector_count;
    const float *c = state->coefficients.data;
    for (uint64_t i = 0; i < state->classes; i++) votes[i] = 0;
    for (uint64_t i = 0; i < state->classes; i++) {
        uint64_t count_i = (uint64_t)ml_list_int(&state->per_class, i), first_j = first_i + count_i;
        for (uint64_t j = i + 1; j < state->classes; j++, pair++) {
            uint64_t count_j = (uint64_t)ml_list_int(&state->per_class, j);
            double sum = ml_list_real(&state->rho, pair);
            for (uint64_t k = first_i; k < first_i + count_i; k++) sum += (double)c[(j - 1) * n + k] * kernels[k];
            for (uint64_t k = first_j; k < first_j + count_j; k++) sum += (double)c[i * n + k] * kernels[k];
            decisions[pair] = sum;
            votes[sum > 0 ? i : j]++;
            first_j += count_j;
        }
        first_i += count_i;
    }
}

/* Probabilities p of n classes out of those of the pairs: r[i][j] is how sure i is against j. */
static void probabilities_couple(const double *r, uint64_t n, double *q, double *qp, double *p) {
    double limit = 0.005 / (double)n;
    for (uint64_t i = 0; i < n; i++) {
        p[i] = 1.0 / (double)n;
        q[i * n + i] = 0;
        for (uint64_t j = 0; j < n; j++) {
            if (i == j) continue;
            q[i * n + i] += r[j * n + i] * r[j * n + i];
            q[i * n + j] = -r[j * n + i] * r[i * n + j];
        }
    }
    for (uint64_t round = 0; round < (n > 100 ? n : 100); round++) {
        double whole = 0, worst = 0;
        for (uint64_t i = 0; i < n; i++) {
            qp[i] = 0;
            for (uint64_t j = 0; j < n; j++) qp[i] += q[i * n + j] * p[j];
            whole += p[i] * qp[i];
        }
        for (uint64_t i = 0; i < n; i++) worst = fmax(worst, fabs(qp[i] - whole));
        if (worst < limit) break;
        for (uint64_t i = 0; i < n; i++) {
            double step = (whole - qp[i]) / q[i * n + i];
            p[i] += step;
            whole = (whole + step * (step * q[i * n + i] + 2 * qp[i])) / ((1 + step) * (1 + step));
            for (uint64_t j = 0; j < n; j++) {
                qp[j] = (qp[j] + step * q[i * n + j]) / (1 + step);
                p[j] /= 1 + step;
            }
        }
    }
}

static void probabilities_of(const svm_state *state, const double *decisions, double *room, double *p) {
    uint64_t n = state->classes, pair = 0;
    double *r = room, *q = r + n * n, *qp = q + n * n;
    for (uint64_t i = 0; i < n; i++) {
        r[i * n + i] = 0;
        for (uint64_t j = i + 1; j < n; j++, pair++) {
            double a = ml_list_real(&state->prob_a, pair), b = ml_list_real(&state->prob_b, pair);
            double sure = fmin(fmax(ml_logistic(-(a * decisions[pair] + b)), 1e-7), 1 - 1e-7);
            r[i * n + j] = sure;
            r[j * n + i] = 1 - sure;
        }
    }
    probabilities_couple(r, n, q, qp, p);
}

static uint64_t best_of(const double *scores, uint64_t n) {
    uint64_t best = 0;
    for (uint64_t i = 1; i < n; i++)
        if (scores[i] > scores[best]) best = i;
    return best;
}

static partita_status classifier_score(const cpu_call *call, uint64_t first, uint64_t last, double *room,
                                       double *scores, uint64_t *picks) {
    const svm_state *state = call->state;
    uint64_t rows, n = state->classes, wide = state->classifier.columns;
    partita_status status = svm_rows(call, &rows);
    double *kernels = room, *decisions = kernels + state->vector_count, *votes = decisions + state->pairs;
    double *more = votes + n;
    for (uint64_t r = first; status == PARTITA_OK && r < last; r++) {
        const double *x = ml_row(&call->in[0], r, state->features, ml_feature_room(&state->classifier, scores));
        double *row = scores + (r - first) * wide;
        if (state->vector_count == 0) {
            for (uint64_t c = 0; c < n; c++)
                row[c] = kernel_of(state, x, state->vectors + c * state->features) + ml_list_real(&state->rho, 0);
            picks[r - first] = best_of(row, n);
            ml_transform_apply(state->transform, row, n);
            continue;
        }
        for (uint64_t v = 0; v < state->vector_count; v++)
            kernels[v] = kernel_of(state, x, state->vectors + v * state->features);
        pairs_decide(state, kernels, decisions, votes);
        picks[r - first] = best_of(votes, n);
        if (state->probabilities)
            probabilities_of(state, decisions, more, row);
        else if (state->pairs == 1)
            row[0] = -decisions[0], row[1] = decisions[0];
        else
            memcpy(row, decisions, state->pairs * sizeof(*row));
        ml_transform_apply(state->transform, row, wide);
    }
    return status;
}

/* Sizes of a model with support vectors. */
static partita_status pairs_check(const ptp_host *host, const svm_state *state) {
    if (state->per_class.count != state->classes)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "vectors_per_class has %u entries for %llu classes",
                        state->per_class.count, (unsigned long long)state->classes);
    if (state->classes < 2) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "one class has no pairs");
    if (state->coefficients.count != (state->classes - 1) * state->vector_count)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%u coefficients for %llu classes and %llu support vectors",
                        state->coefficients.count, (unsigned long long)state->classes,
                        (unsigned long long)state->vector_count);
    if (state->rho.count < state->pairs ||
        (state->probabilities && (state->prob_a.count < state->pairs || state->prob_b.count < state->pairs)))
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "rho, prob_a or prob_b is shorter than the %llu pairs of classes",
                        (unsigned long long)state->pairs);
    return PARTITA_OK;
}

static partita_status classifier_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    uint64_t vectors = 0;
    svm_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    partita_status status = ml_labels_read(node, host, "classlabels_ints", &state->classifier.labels);
    if (status == PARTITA_OK) status = ml_list_read(node, host, "vectors_per_class", NULL, &state->per_class);
    if (status == PARTITA_OK) status = ml_list_read(node, host, "prob_a", NULL, &state->prob_a);
    if (status == PARTITA_OK) status = ml_list_read(node, host, "prob_b", NULL, &state->prob_b);
    if (status != PARTITA_OK) return status;
    for (uint64_t i = 0; i < state->per_class.count; i++) {
        int64_t n = ml_list_int(&state->per_class, i);
        if (n < 0 || n > INT32_MAX)
            return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%lld support vectors of a class", (long long)n);
        vectors += (uint64_t)n;
    }
    uint64_t n = state->classes = state->classifier.labels.count;
    status = svm_read(node, host, state, vectors);
    if (status != PARTITA_OK) return status;
    state->pairs = vectors > 0 ? n * (n - 1) / 2 : 0;
    state->probabilities = vectors > 0 && state->prob_a.count > 0;
    state->classifier.columns = vectors == 0 || state->probabilities ? n : state->pairs == 1 ? 2 : state->pairs;
    state->classifier.room = vectors + state->pairs + n + (state->probabilities ? 2 * n * n + n : 0);
    state->classifier.score = classifier_score;
    if (vectors > 0) return pairs_check(host, state);
    return state->rho.count > 0 ? PARTITA_OK : cpu_fail(host, PARTITA_CANNOT_COMPILE, "rho is missing");
}

/* ---- SVMRegressor ---- */

static partita_status regressor_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    svm_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    int64_t supports = cpu_attr_int(node, "n_supports", 0);
    if (supports < 0) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "n_supports is %lld", (long long)supports);
    state->classes = 1;
    state->one_class = cpu_attr_int(node, "one_class", 0) != 0;
    partita_status status = svm_read(node, host, state, (uint64_t)supports);
    if (status != PARTITA_OK) return status;
    if (supports > 0 && state->coefficients.count != (uint64_t)supports)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%u coefficients for %lld support vectors",
                        state->coefficients.count, (long long)supports);
    return state->rho.count > 0 ? PARTITA_OK : cpu_fail(host, PARTITA_CANNOT_COMPILE, "rho is missing");
}

static uint64_t regressor_scratch(const cpu_call *call) {
    return ((const svm_state *)call->state)->features * call->workers * sizeof(double);
}

static partita_status regressor_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const svm_state *state = call->state;
    uint64_t rows;
    partita_status status = svm_rows(call, &rows);
    if (status == PARTITA_OK && call->out[0].count != rows)
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "Y must have one number a row");
    double *room = (double *)call->scratch + worker * state->features;
    for (uint64_t r = begin; status == PARTITA_OK && r < end; r++) {
        const double *x = ml_row(&call->in[0], r, state->features, room);
        double sum = ml_list_real(&state->rho, 0);
        if (state->vector_count == 0) sum += kernel_of(state, x, state->vectors);
        for (uint64_t v = 0; v < state->vector_count; v++)
            sum += ml_list_real(&state->coefficients, v) * kernel_of(state, x, state->vectors + v * state->features);
        if (state->one_class) sum = sum > 0 ? 1 : -1;
        ml_transform_apply(state->transform, &sum, 1);
        cpu_store_doubles(call->out[0].dtype, call->out[0].data, r, 1, &sum);
    }
    return status;
}

const cpu_kernel cpu_kernels_ml_svm[] = {
    ML_CLASSIFIER_ROWS("SVMClassifier", 1, ML_NEWEST, classifier_prepare, svm_release),
    ML_REGRESSOR_ROW("SVMRegressor", 1, ML_NEWEST, ML_FEATURES, svm_release),
};
const uint32_t cpu_kernels_ml_svm_count = sizeof(cpu_kernels_ml_svm) / sizeof(cpu_kernels_ml_svm[0]);
