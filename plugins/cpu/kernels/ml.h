/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operators of ai.onnx.ml share: lists that are attributes of several types, labels, tables of keys, rows of
 * features, scores and their transforms. Models were trained in double mostly, so all is computed in double and rounded
 * once, when it is written.
 */
#ifndef CPU_KERNELS_ML_H
#define CPU_KERNELS_ML_H

#include "cpu/kernels/support.h"

#define ML_FEATURES (CPU_TYPE(FLOAT32) | CPU_TYPE(FLOAT64) | CPU_TYPE(INT32) | CPU_TYPE(INT64))
#define ML_NEWEST   5

/* ---- lists ---- */

/* Numbers of an attribute: of a list, or of a tensor. */
typedef struct ml_list {
    bool given;
    uint32_t count;
    partita_dtype dtype; /* UNDEFINED when there is none */
    const void *data;
    ptp_value *value; /* of a tensor of strings */
} ml_list;
/* The attribute `name`, or `tensor` where it is not there; either may be NULL. CANNOT_COMPILE when its type is another.
 */
partita_status ml_list_read(const cpu_node *node, const ptp_host *host, const char *name, const char *tensor,
                            ml_list *out);
double ml_list_real(const ml_list *list, uint64_t i);
int64_t ml_list_int(const ml_list *list, uint64_t i);

/* Strings as a block of their own, from an attribute's list or tensor; freed by cpu_free of `offsets`. One more may
 * follow behind those of the list. */
typedef struct ml_texts {
    uint64_t *offsets; /* NULL: none. The bytes lie behind them */
    cpu_strings strings;
} ml_texts;
partita_status ml_texts_read(const cpu_node *node, const ptp_host *host, const char *name, const char *tensor,
                             const partita_str *more, ml_texts *out);

/* The last dim of input 0 where it is known, else -1. */
int64_t ml_feature_count(const cpu_node *node);

/* ---- tables ---- */

/* From keys to their numbers: whole numbers, or strings that must outlive the table. */
typedef struct ml_table {
    uint64_t mask;
    struct ml_entry *entries;
} ml_table;
partita_status ml_table_init(const ptp_host *host, uint64_t count, ml_table *table);
void ml_table_free(const ptp_host *host, ml_table *table);
/* The place of the key's number, UINT64_MAX when it is new; for no more keys than the table was made for. */
uint64_t *ml_table_put_number(ml_table *table, int64_t key);
uint64_t *ml_table_put_string(ml_table *table, partita_str key);
/* UINT64_MAX when the key is not there. */
uint64_t ml_table_number(const ml_table *table, int64_t key);
uint64_t ml_table_string(const ml_table *table, partita_str key);
/* Keys of floating-point numbers: zeros are equal, and so are NaNs. */
int64_t ml_key_of_real(double value);

/* ---- rows ---- */

/* X is [N, C], or [C] for one row. */
partita_status ml_rows(const cpu_call *call, const cpu_tensor *x, uint64_t *out_rows, uint64_t *out_columns);
/* Row `row` as doubles: the input's own where it is of that type, else converted into `room`. */
const double *ml_row(const cpu_tensor *x, uint64_t row, uint64_t columns, double *room);
/* Items are rows of input 0. */
uint64_t ml_items_rows(const cpu_call *call);

/* ---- scores ---- */

typedef enum ml_transform { ML_NONE, ML_SOFTMAX, ML_LOGISTIC, ML_SOFTMAX_ZERO, ML_PROBIT } ml_transform;
partita_status ml_transform_read(const cpu_node *node, const ptp_host *host, ml_transform *out);
void ml_transform_apply(ml_transform transform, double *scores, uint64_t n);
double ml_logistic(double x);

typedef struct ml_labels {
    bool text;
    uint32_t count;
    ml_list ints;
    ml_texts texts;
} ml_labels;
/* `numbers`: the attribute's name. The strings classlabels_strings come first. */
partita_status ml_labels_read(const cpu_node *node, const ptp_host *host, const char *numbers, ml_labels *out);
void ml_labels_free(const ptp_host *host, ml_labels *labels);

/* Classifiers: every state starts with this. */
typedef struct ml_classifier {
    ml_labels labels;
    uint64_t columns; /* of scores */
    uint64_t room;    /* doubles of scratch a worker needs, beside a row of features and of scores */
    /* Writes the scores of rows [first, last), `columns` each, and the label's number of each row; what is no label
     * (of a single one, that it is not) has the number behind the last: 0 or an empty string. `room` is the worker's.
     */
    partita_status (*score)(const cpu_call *call, uint64_t first, uint64_t last, double *room, double *scores,
                            uint64_t *picks);
} ml_classifier;
#define ML_BLOCK 32 /* rows that are scored together */
/* Room for ML_BLOCK rows of features lies behind the scores. */
static inline double *ml_feature_room(const ml_classifier *state, double *scores) {
    return scores + ML_BLOCK * state->columns;
}
uint64_t ml_classifier_scratch(const cpu_call *call);
partita_status ml_classifier_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker);
/* The same where labels are strings: an `emit` kernel. */
partita_status ml_classifier_emit(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker);
/* Claims for rows whose output 0 is, or is not, of strings. */
bool ml_claim_text(const cpu_node *node, ptp_answer *answer);
bool ml_claim_numbers(const cpu_node *node, ptp_answer *answer);

/* Rows of a classifier: labels that are numbers, labels that are strings. */
#define ML_CLASSIFIER_ROWS(name, first, last, prepares, releases)                                                      \
    {.op = name,                                                                                                       \
     .domain = "ai.onnx.ml",                                                                                           \
     .since = first,                                                                                                   \
     .until = last,                                                                                                    \
     .types = ML_FEATURES,                                                                                             \
     .reference = true,                                                                                                \
     .claim = ml_claim_numbers,                                                                                        \
     .prepare = prepares,                                                                                              \
     .release = releases,                                                                                              \
     .scratch = ml_classifier_scratch,                                                                                 \
     .items = ml_items_rows,                                                                                           \
     .run = ml_classifier_run},                                                                                        \
    {                                                                                                                  \
        .op = name, .domain = "ai.onnx.ml", .since = first, .until = last, .types = ML_FEATURES, .reference = true,    \
        .claim = ml_claim_text, .prepare = prepares, .release = releases, .run = ml_classifier_emit, .emit = true,     \
        .shaped = true                                                                                                 \
    }
/* The row of a regressor, whose functions the file calls regressor_. */
#define ML_REGRESSOR_ROW(name, first, last, type_set, releases)                                                        \
    {                                                                                                                  \
        .op = name, .domain = "ai.onnx.ml", .since = first, .until = last, .types = type_set, .reference = true,       \
        .prepare = regressor_prepare, .release = releases, .scratch = regressor_scratch, .items = ml_items_rows,       \
        .run = regressor_run                                                                                           \
    }

#endif
