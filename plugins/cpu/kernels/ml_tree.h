/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ensemble of trees as it is evaluated: all nodes in one array, parents before their children and the two levels
 * close together; a child is a node or a leaf. Every comparison is brought to "at most" or "equal" when the ensemble is
 * built, by exchanging the children or taking the next lower threshold.
 */
#ifndef CPU_KERNELS_ML_TREE_H
#define CPU_KERNELS_ML_TREE_H

#include "cpu/kernels/ml.h"

#define ML_LEAF    0x80000000u /* of a child: the rest is a leaf's number */
#define ML_MISSING 0x80000000u /* of a feature: NaN goes to the true branch */
#define ML_EQUAL   0x40000000u /* of a feature: the branch is on equality, with one value or with a set */
#define ML_MEMBER  0x20000000u
#define ML_FEATURE 0x1fffffffu

typedef struct ml_node {
    float split; /* of a set: the bits are its number */
    uint32_t feature;
    uint32_t next[2]; /* false, true */
} ml_node;

typedef struct ml_wide_node {
    double split;
    uint32_t feature;
    uint32_t next[2];
} ml_wide_node;

/* What is added where. */
typedef struct ml_weight {
    double weight;
    uint32_t target;
} ml_weight;

typedef struct ml_span {
    uint32_t first, count;
} ml_span;

typedef enum ml_aggregate { ML_AVERAGE, ML_SUM, ML_MIN, ML_MAX } ml_aggregate;
typedef enum ml_walk { ML_WALK_FALSE, ML_WALK_TRUE, ML_WALK_MIXED } ml_walk; /* where NaN goes, in all nodes */

typedef struct ml_ensemble {
    const ptp_host *host;
    bool wide; /* thresholds are compared in double */
    ml_walk walk;
    ml_node *nodes;
    ml_wide_node *wide_nodes;
    uint32_t node_count, root_count, leaf_count, set_count, targets;
    uint32_t *roots; /* as children are */
    ml_span *leaves; /* their weights */
    ml_weight *weights;
    ml_span *sets; /* of members */
    double *members;
    uint32_t member_count, weight_count;
    int64_t features; /* at least so many are needed */
    double *base;     /* by target; NULL: none */
    ml_aggregate aggregate;
} ml_ensemble;

/* A node as attributes describe it. Children are numbers of nodes, or of leaves. */
typedef enum ml_mode { ML_LEQ, ML_LT, ML_GTE, ML_GT, ML_EQ, ML_NEQ, ML_IN, ML_IS_LEAF } ml_mode;
typedef struct ml_source {
    const ptp_host *host;
    uint32_t count;
    ml_mode (*mode)(const struct ml_source *source, uint32_t i);
    ml_list features, splits, missing;
    const uint32_t *children; /* 2 a node, false and true, ML_LEAF as in the ensemble */
    const uint32_t *roots;
    const uint32_t *sets; /* by node: number of the set of an ML_IN; NULL */
    const void *user;
} ml_source;

/* Features of float are compared with thresholds of float; of all others as doubles, which hold them. */
static inline bool ml_is_wide(const cpu_node *node, const ml_list *splits) {
    return cpu_input_dtype(node, 0) != PARTITA_FLOAT32 || splits->dtype == PARTITA_FLOAT64;
}

/* Nodes and roots of the ensemble out of the source: checks features, children and that there are no cycles. Leaves,
 * weights, sets, targets, wide are there already. `given_features`: how many X has, -1 when not known. */
partita_status ml_ensemble_pack(ml_ensemble *ensemble, const ml_source *source, int64_t given_features);
void ml_ensemble_deinit(ml_ensemble *ensemble);

/* Sums of rows [first, last), at most ML_BLOCK: `targets` a row. `seen`: which got a weight at all; room for as many.
 * `room`: ML_BLOCK rows of features, used when they are converted. */
void ml_ensemble_sum(const ml_ensemble *ensemble, const cpu_tensor *x, uint64_t columns, uint64_t first, uint64_t last,
                     double *room, double *sums, uint8_t *seen);

/* From the lists of TreeEnsembleClassifier and TreeEnsembleRegressor. `prefix` is "class" or "target". */
partita_status ml_ensemble_read(const cpu_node *node, const ptp_host *host, const char *prefix, uint32_t targets,
                                ml_ensemble *ensemble);
/* From those of TreeEnsemble. */
partita_status ml_ensemble_read_5(const cpu_node *node, const ptp_host *host, ml_ensemble *ensemble);

#endif
