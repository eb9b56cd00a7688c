/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble: evaluation of an ensemble over rows, and what becomes
 * of the sums.
 */
#include "cpu/kernels/ml_tree.h"

static bool is_member(const ml_ensemble *e, uint32_t set, double value) {
    const double *members = e->members + e->sets[set].first;
    for (uint32_t i = 0; i < e->sets[set].count; i++)
        if (members[i] == value) return true;
    return false;
}

static inline void leaf_add(const ml_ensemble *e, const ml_span *leaf, double *sums, uint8_t *seen) {
    for (uint32_t i = leaf->first; i < leaf->first + leaf->count; i++) {
        uint32_t target = e->weights[i].target;
        double weight = e->weights[i].weight;
        if (e->aggregate <= ML_SUM || !seen[target])
            sums[target] += weight;
        else if (e->aggregate == ML_MIN ? weight < sums[target] : weight > sums[target])
            sums[target] = weight;
        seen[target] = 1;
    }
}

#define REAL   float
#define NODE   ml_node
#define NAME   float
#define SET(n) cpu_float_bits((n)->split)
#include "cpu/kernels/ml_tree_walk.inc"
#define REAL   double
#define NODE   ml_wide_node
#define NAME   wide
#define SET(n) (uint32_t)(n)->split
#include "cpu/kernels/ml_tree_walk.inc"

void ml_ensemble_sum(const ml_ensemble *ensemble, const cpu_tensor *x, uint64_t columns, uint64_t first, uint64_t last,
                     double *room, double *sums, uint8_t *seen) {
    uint64_t rows = last - first, n = rows * ensemble->targets;
    memset(sums, 0, n * sizeof(*sums));
    memset(seen, 0, n);
    if (!ensemble->wide) {
        sum_float(ensemble, ensemble->nodes, (const float *)x->data + first * columns, columns, rows, sums, seen);
    } else if (x->dtype == PARTITA_FLOAT64) {
        sum_wide(ensemble, ensemble->wide_nodes, (const double *)x->data + first * columns, columns, rows, sums, seen);
    } else {
        cpu_load_doubles(x->dtype, x->data, first * columns, rows * columns, room);
        sum_wide(ensemble, ensemble->wide_nodes, room, columns, rows, sums, seen);
    }
    for (uint64_t i = 0; i < n; i++) {
        if (ensemble->aggregate == ML_AVERAGE && ensemble->root_count > 0) sums[i] /= ensemble->root_count;
        if (ensemble->base != NULL) sums[i] += ensemble->base[i % ensemble->targets];
    }
}

static partita_status features_check(const cpu_call *call, const ml_ensemble *ensemble, uint64_t *out_rows,
                                     uint64_t *out_columns) {
    partita_status status = ml_rows(call, &call->in[0], out_rows, out_columns);
    if (status == PARTITA_OK && (uint64_t)ensemble->features > *out_columns)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%llu features, the trees test %lld",
                        (unsigned long long)*out_columns, (long long)ensemble->features);
    return status;
}

/* ---- TreeEnsembleClassifier ---- */

typedef struct classifier_state {
    ml_classifier classifier;
    ml_ensemble ensemble;
    ml_transform transform;
    bool two;  /* two labels, all weights for one class: one score tells them apart */
    bool half; /* by a half, as no weight is negative and scores are probabilities; else by its sign */
} classifier_state;

/* Scores are told apart as they are given out, in float: weights of 0.1 (float) added up five times in double are more
 * than a half. A score of one class that stands for two. */
static uint64_t two_scores(const classifier_state *state, double score, double *out) {
    out[0] = state->half ? 1 - score : -score;
    out[1] = score;
    ml_transform_apply(state->transform, out, 2);
    return (float)score > (state->half ? 0.5f : 0);
}

static partita_status classifier_score(const cpu_call *call, uint64_t first, uint64_t last, double *room,
                                       double *scores, uint64_t *picks) {
    const classifier_state *state = call->state;
    const ml_ensemble *e = &state->ensemble;
    uint64_t rows, columns, wide = state->classifier.columns;
    uint8_t *seen = (uint8_t *)(room + ML_BLOCK * e->targets);
    partita_status status = features_check(call, e, &rows, &columns);
    if (status != PARTITA_OK) return status;
    ml_ensemble_sum(e, &call->in[0], columns, first, last, ml_feature_room(&state->classifier, scores), room, seen);
    for (uint64_t r = 0; r < last - first; r++) {
        const double *sums = room + r * e->targets;
        double *row = scores + r * wide;
        if (state->two) {
            picks[r] = two_scores(state, sums[seen[r * e->targets + 1] ? 1 : 0], row);
            continue;
        }
        uint64_t best = 0;
        for (uint64_t c = 1; c < wide; c++)
            if ((float)sums[c] > (float)sums[best]) best = c;
        picks[r] = state->classifier.labels.count > 1 || sums[0] > 0 ? best : 1;
        memcpy(row, sums, wide * sizeof(*row));
        ml_transform_apply(state->transform, row, wide);
    }
    return status;
}

static void classifier_release(const ptp_host *host, void *state) {
    if (state != NULL) {
        ml_labels_free(host, &((classifier_state *)state)->classifier.labels);
        ml_ensemble_deinit(&((classifier_state *)state)->ensemble);
    }
    cpu_free(host, state);
}

static partita_status classifier_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    classifier_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    ml_ensemble *e = &state->ensemble;
    partita_status status = ml_labels_read(node, host, "classlabels_int64s", &state->classifier.labels);
    if (status == PARTITA_OK) status = ml_transform_read(node, host, &state->transform);
    if (status == PARTITA_OK) status = ml_ensemble_read(node, host, "class", state->classifier.labels.count, e);
    if (status != PARTITA_OK) return status;
    bool one = true;
    state->half = state->transform == ML_NONE || state->transform == ML_PROBIT;
    for (uint32_t i = 0; i < e->weight_count; i++) {
        if (e->weights[i].weight < 0) state->half = false;
        if (e->weights[i].target != e->weights[0].target) one = false;
    }
    for (uint32_t i = 0; e->base != NULL && i < e->targets; i++)
        if (e->base[i] < 0) state->half = false;
    state->two = e->targets == 2 && one;
    state->classifier.columns = e->targets;
    state->classifier.room = ML_BLOCK * (uint64_t)e->targets + (ML_BLOCK * (uint64_t)e->targets + 7) / 8;
    state->classifier.score = classifier_score;
    return PARTITA_OK;
}

/* ---- TreeEnsembleRegressor, TreeEnsemble ---- */

typedef struct regressor_state {
    ml_ensemble ensemble;
    ml_transform transform;
} regressor_state;

static void regressor_release(const ptp_host *host, void *state) {
    if (state != NULL) ml_ensemble_deinit(&((regressor_state *)state)->ensemble);
    cpu_free(host, state);
}

static partita_status regressor_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    regressor_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    partita_status status = ml_transform_read(node, host, &state->transform);
    if (status != PARTITA_OK) return status;
    return node->row.since >= 5 ? ml_ensemble_read_5(node, host, &state->ensemble)
                                : ml_ensemble_read(node, host, "target", 0, &state->ensemble);
}

/* Sums, which of them were seen, and the features as doubles. */
static uint64_t regressor_room(const cpu_call *call) {
    const ml_ensemble *e = &((const regressor_state *)call->state)->ensemble;
    const cpu_tensor *x = &call->in[0];
    uint64_t columns = x->rank > 0 && e->wide ? (uint64_t)x->dims[x->rank - 1] : 0;
    return ML_BLOCK * (columns + e->targets) + (ML_BLOCK * (uint64_t)e->targets + 7) / 8;
}

static uint64_t regressor_scratch(const cpu_call *call) {
    return regressor_room(call) * call->workers * sizeof(double);
}

static partita_status regressor_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const regressor_state *state = call->state;
    const ml_ensemble *e = &state->ensemble;
    uint64_t rows, columns, targets = e->targets;
    partita_status status = features_check(call, e, &rows, &columns);
    int64_t dims[2] = {(int64_t)rows, (int64_t)targets};
    if (status == PARTITA_OK) status = cpu_expect(call, 0, 2, dims);
    double *sums = (double *)call->scratch + worker * regressor_room(call);
    double *features = sums + ML_BLOCK * targets;
    if (end > rows) end = rows;
    for (uint64_t i = begin; status == PARTITA_OK && i < end; i += ML_BLOCK) {
        uint64_t last = end - i < ML_BLOCK ? end : i + ML_BLOCK;
        uint8_t *seen = (uint8_t *)(features + (e->wide ? ML_BLOCK * columns : 0));
        ml_ensemble_sum(e, &call->in[0], columns, i, last, features, sums, seen);
        for (uint64_t r = 0; r < last - i; r++) ml_transform_apply(state->transform, sums + r * targets, targets);
        cpu_store_doubles(call->out[0].dtype, call->out[0].data, i * targets, (last - i) * targets, sums);
    }
    return status;
}

const cpu_kernel cpu_kernels_ml_tree[] = {
    ML_CLASSIFIER_ROWS("TreeEnsembleClassifier", 1, ML_NEWEST, classifier_prepare, classifier_release),
    ML_REGRESSOR_ROW("TreeEnsembleRegressor", 1, 4, ML_FEATURES, regressor_release),
    ML_REGRESSOR_ROW("TreeEnsemble", 5, ML_NEWEST, CPU_TYPE(FLOAT32) | CPU_TYPE(FLOAT64) | CPU_TYPE(FLOAT16),
                     regressor_release),
};
const uint32_t cpu_kernels_ml_tree_count = sizeof(cpu_kernels_ml_tree) / sizeof(cpu_kernels_ml_tree[0]);
