/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators of ai.onnx.ml that change features one by one or row by row: Binarizer, Imputer, Scaler, Normalizer,
 * FeatureVectorizer, ArrayFeatureExtractor.
 */
#include "cpu/kernels/ml.h"

/* Elements are worked on in pieces of so many. */
#define PIECE 512

typedef struct feature_state {
    double threshold; /* Binarizer */
    ml_list imputed, scale, offset;
    double replaced;
    int64_t replaced_int;
    char norm; /* 'M', '1', '2' */
    ml_list widths;
} feature_state;

static partita_status state_make(const ptp_host *host, void **out_state, feature_state **out) {
    *out = cpu_alloc(host, sizeof(**out));
    *out_state = *out;
    return *out != NULL ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
}

/* A list of one number for all, or of one a feature. */
static partita_status list_check(const cpu_call *call, const char *name, const ml_list *list) {
    const cpu_tensor *x = &call->in[0];
    uint64_t columns = x->rank > 0 ? (uint64_t)x->dims[x->rank - 1] : 1;
    if (list->count <= 1 || list->count == columns) return PARTITA_OK;
    return cpu_fail(call->host, PARTITA_BAD_INPUT, "%s has %u entries for %llu features", name, list->count,
                    (unsigned long long)columns);
}

static double entry_of(const ml_list *list, uint64_t column, double otherwise) {
    if (list->count == 0) return otherwise;
    return ml_list_real(list, list->count == 1 ? 0 : column);
}

/* What becomes of element `x` in a column. */
typedef double (*change_fn)(const feature_state *state, double x, uint64_t column);

static partita_status change_run(const cpu_call *call, uint64_t begin, uint64_t end, change_fn change) {
    const cpu_tensor *x = &call->in[0];
    uint64_t first, last, columns = x->rank > 0 ? (uint64_t)x->dims[x->rank - 1] : 1;
    double piece[PIECE];
    partita_status status = cpu_expect_like(call, 0, x);
    if (status != PARTITA_OK) return status;
    cpu_item_range(&call->out[0], begin, end, &first, &last);
    for (uint64_t at = first; at < last; at += PIECE) {
        uint64_t n = last - at < PIECE ? last - at : PIECE;
        cpu_load_doubles(x->dtype, x->data, at, n, piece);
        for (uint64_t i = 0; i < n; i++) piece[i] = change(call->state, piece[i], (at + i) % columns);
        cpu_store_doubles(call->out[0].dtype, call->out[0].data, at, n, piece);
    }
    return PARTITA_OK;
}

/* ---- Binarizer ---- */

static partita_status binarizer_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    feature_state *state;
    partita_status status = state_make(host, out_state, &state);
    if (status == PARTITA_OK) state->threshold = cpu_attr_float(node, "threshold", 0);
    return status;
}

static double binarize(const feature_state *state, double x, uint64_t column) {
    (void)column;
    return x > state->threshold;
}

static partita_status binarizer_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    return change_run(call, begin, end, binarize);
}

/* ---- Imputer ---- */

static partita_status imputer_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    feature_state *state;
    partita_status status = state_make(host, out_state, &state);
    if (status != PARTITA_OK) return status;
    bool floats = cpu_dtype_is_float(cpu_input_dtype(node, 0));
    const char *name = floats ? "imputed_value_floats" : "imputed_value_int64s";
    state->replaced = cpu_attr_float(node, "replaced_value_float", 0);
    state->replaced_int = cpu_attr_int(node, "replaced_value_int64", 0);
    status = ml_list_read(node, host, name, NULL, &state->imputed);
    if (status == PARTITA_OK && state->imputed.count == 0)
        status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "%s is missing", name);
    return status;
}

static double impute(const feature_state *state, double x, uint64_t column) {
    bool replaced = isnan(state->replaced) ? isnan(x) : x == state->replaced;
    return replaced ? entry_of(&state->imputed, column, x) : x;
}

/* Whole numbers stay whole: a double has not all of them. */
static partita_status impute_ints(const cpu_call *call, uint64_t begin, uint64_t end) {
    const feature_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    uint64_t first, last, columns = x->rank > 0 ? (uint64_t)x->dims[x->rank - 1] : 1;
    partita_status status = cpu_expect_like(call, 0, x);
    if (status != PARTITA_OK) return status;
    cpu_item_range(&call->out[0], begin, end, &first, &last);
    for (uint64_t i = first; i < last; i++) {
        int64_t value = cpu_index(x, i);
        if (value == state->replaced_int)
            value = ml_list_int(&state->imputed, state->imputed.count == 1 ? 0 : i % columns);
        cpu_store_int64s(x->dtype, call->out[0].data, i, 1, &value);
    }
    return PARTITA_OK;
}

static partita_status imputer_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    partita_status status =
        list_check(call, "the list of imputed values", &((const feature_state *)call->state)->imputed);
    if (status != PARTITA_OK) return status;
    return cpu_dtype_is_float(call->in[0].dtype) ? change_run(call, begin, end, impute) : impute_ints(call, begin, end);
}

/* ---- Scaler ---- */

static partita_status scaler_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    feature_state *state;
    partita_status status = state_make(host, out_state, &state);
    if (status == PARTITA_OK) status = ml_list_read(node, host, "scale", NULL, &state->scale);
    if (status == PARTITA_OK) status = ml_list_read(node, host, "offset", NULL, &state->offset);
    return status;
}

static double scale(const feature_state *state, double x, uint64_t column) {
    return (x - entry_of(&state->offset, column, 0)) * entry_of(&state->scale, column, 1);
}

static partita_status scaler_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const feature_state *state = call->state;
    partita_status status = list_check(call, "scale", &state->scale);
    if (status == PARTITA_OK) status = list_check(call, "offset", &state->offset);
    return status == PARTITA_OK ? change_run(call, begin, end, scale) : status;
}

/* ---- Normalizer ---- */

static partita_status normalizer_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    feature_state *state;
    partita_status status = state_make(host, out_state, &state);
    if (status != PARTITA_OK) return status;
    partita_str norm = ptp_attribute_str(node->block, &node->row, "norm");
    state->norm = ptp_str_is(norm, "MAX") ? 'M' : ptp_str_is(norm, "L1") ? '1' : ptp_str_is(norm, "L2") ? '2' : 0;
    if (state->norm == 0)
        status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "norm %.*s is unknown", (int)norm.size, norm.data);
    return status;
}

static double norm_of(char kind, const double *x, uint64_t n) {
    double norm = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (kind == 'M')
            norm = fmax(norm, fabs(x[i]));
        else
            norm += kind == '1' ? fabs(x[i]) : x[i] * x[i];
    }
    return kind == '2' ? sqrt(norm) : norm;
}

static uint64_t normalizer_columns(const cpu_call *call) {
    const cpu_tensor *x = &call->in[0];
    return x->rank > 0 ? (uint64_t)x->dims[x->rank - 1] : 1;
}
static uint64_t normalizer_scratch(const cpu_call *call) {
    return normalizer_columns(call) * call->workers * sizeof(double);
}
static uint64_t normalizer_items(const cpu_call *call) {
    uint64_t columns = normalizer_columns(call);
    return columns > 0 ? call->in[0].count / columns : 0;
}

static partita_status normalizer_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const feature_state *state = call->state;
    uint64_t columns = normalizer_columns(call);
    double *row = (double *)call->scratch + worker * columns;
    partita_status status = cpu_expect_like(call, 0, &call->in[0]);
    for (uint64_t r = begin; status == PARTITA_OK && r < end; r++) {
        cpu_load_doubles(call->in[0].dtype, call->in[0].data, r * columns, columns, row);
        double norm = norm_of(state->norm, row, columns);
        for (uint64_t i = 0; norm != 0 && i < columns; i++) row[i] /= norm;
        cpu_store_doubles(call->out[0].dtype, call->out[0].data, r * columns, columns, row);
    }
    return status;
}

/* ---- FeatureVectorizer ---- */

static bool vectorizer_claim(const cpu_node *node, ptp_answer *answer) {
    for (uint32_t i = 0; i < node->row.inputs.count; i++) {
        partita_dtype dtype = cpu_input_dtype(node, i);
        if (dtype >= 64 || (ML_FEATURES >> dtype & 1) == 0)
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input %u is of type %s", i, cpu_dtype_name(dtype));
    }
    return true;
}

static partita_status vectorizer_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    feature_state *state;
    partita_status status = state_make(host, out_state, &state);
    if (status == PARTITA_OK) status = ml_list_read(node, host, "inputdimensions", NULL, &state->widths);
    if (status != PARTITA_OK) return status;
    for (uint32_t i = 0; i < state->widths.count; i++)
        if (ml_list_int(&state->widths, i) < 0)
            return cpu_fail(host, PARTITA_CANNOT_COMPILE, "inputdimensions has %lld",
                            (long long)ml_list_int(&state->widths, i));
    if (state->widths.count > 0 && state->widths.count != node->row.inputs.count)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%u inputdimensions for %u inputs", state->widths.count,
                        node->row.inputs.count);
    return PARTITA_OK;
}

/* Inputs side by side, each cut or filled with zeros to its width. */
static partita_status vectorizer_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const feature_state *state = call->state;
    const cpu_tensor *out = &call->out[0];
    double piece[PIECE];
    uint64_t rows, columns, at = 0, wide = out->rank == 2 ? (uint64_t)out->dims[1] : 0;
    for (uint32_t i = 0; i < call->in_count; i++) {
        partita_status status = ml_rows(call, &call->in[i], &rows, &columns);
        if (status != PARTITA_OK) return status;
        uint64_t width = state->widths.count > 0 ? (uint64_t)ml_list_int(&state->widths, i) : columns;
        if (out->rank != 2 || rows != (uint64_t)out->dims[0] || width > wide - at)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u does not fit the output", i);
        for (uint64_t r = 0; r < rows; r++) {
            for (uint64_t c = 0; c < width; c += PIECE) {
                uint64_t n = width - c < PIECE ? width - c : PIECE;
                uint64_t have = c >= columns ? 0 : columns - c < n ? columns - c : n;
                memset(piece, 0, sizeof(piece));
                cpu_load_doubles(call->in[i].dtype, call->in[i].data, r * columns + c, have, piece);
                cpu_store_doubles(out->dtype, out->data, r * wide + at + c, n, piece);
            }
        }
        at += width;
    }
    return at == wide ? PARTITA_OK : cpu_fail(call->host, PARTITA_BAD_INPUT, "the inputs do not fill the output");
}

/* ---- ArrayFeatureExtractor ---- */

static bool extract_claim(const cpu_node *node, ptp_answer *answer) {
    partita_dtype dtype = cpu_input_dtype(node, 1);
    return dtype == PARTITA_INT64 || dtype == PARTITA_INT32 ||
           cpu_refuse(answer, PARTITA_REASON_DTYPE, "the places are of type %s, not int64", cpu_dtype_name(dtype));
}

/* Which element of the last axis: negative numbers count from its end, as ONNX's own evaluator has it. */
static uint64_t place_of(const cpu_tensor *places, uint64_t i, uint64_t inner) {
    int64_t place = cpu_index(places, i);
    return (uint64_t)(place < 0 ? place + (int64_t)inner : place);
}

/* Elements of the last axis by number; a vector is one row. */
static partita_status extract_shape(const cpu_call *call, uint64_t *out_outer, uint64_t *out_inner, uint32_t *out_rank,
                                    int64_t *dims) {
    const cpu_tensor *x = &call->in[0], *places = &call->in[1];
    if (x->rank < 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "X must have an axis");
    *out_inner = (uint64_t)x->dims[x->rank - 1];
    *out_outer = cpu_extent(x->dims, 0, x->rank - 1);
    *out_rank = x->rank > 1 ? x->rank : 2;
    dims[0] = 1;
    for (uint32_t d = 0; d + 1 < x->rank; d++) dims[d] = x->dims[d];
    dims[*out_rank - 1] = (int64_t)places->count;
    for (uint64_t i = 0; i < places->count; i++)
        if (cpu_index(places, i) < -(int64_t)*out_inner || cpu_index(places, i) >= (int64_t)*out_inner)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "feature %lld of %llu", (long long)cpu_index(places, i),
                            (unsigned long long)*out_inner);
    return PARTITA_OK;
}

static partita_status extract_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cpu_tensor *x = &call->in[0], *places = &call->in[1];
    uint64_t outer, inner, n = places->count;
    uint32_t rank, size = cpu_size(x);
    int64_t dims[CPU_MAX_RANK];
    partita_status status = extract_shape(call, &outer, &inner, &rank, dims);
    if (status == PARTITA_OK) status = cpu_expect(call, 0, rank, dims);
    for (uint64_t o = 0; status == PARTITA_OK && o < outer; o++)
        for (uint64_t i = 0; i < n; i++)
            memcpy((char *)call->out[0].data + (o * n + i) * size,
                   (const char *)x->data + (o * inner + place_of(places, i, inner)) * size, size);
    return status;
}

static partita_status extract_text_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cpu_tensor *places = &call->in[1];
    uint64_t outer, inner, n = places->count, *picks;
    uint32_t rank;
    int64_t dims[CPU_MAX_RANK];
    cpu_strings strings;
    partita_status status = extract_shape(call, &outer, &inner, &rank, dims);
    if (status == PARTITA_OK) status = cpu_strings_of(call, &call->in[0], &strings);
    if (status != PARTITA_OK) return status;
    picks = cpu_alloc(call->host, outer * n * sizeof(*picks));
    if (picks == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; i < outer * n; i++) picks[i] = i / n * inner + place_of(places, i % n, inner);
    status = cpu_set_strings(call, 0, rank, dims, &strings, picks, outer * n);
    cpu_free(call->host, picks);
    return status;
}

#define FEATURE_ROW(name, prepares, item, runs)                                                                        \
    .op = name, .domain = "ai.onnx.ml", .since = 1, .until = ML_NEWEST, .types = ML_FEATURES, .reference = true,       \
    .prepare = prepares, .release = cpu_free, .items = item, .run = runs

const cpu_kernel cpu_kernels_ml_features[] = {
    {FEATURE_ROW("Binarizer", binarizer_prepare, cpu_items_elements, binarizer_run)},
    {FEATURE_ROW("Imputer", imputer_prepare, cpu_items_elements, imputer_run)},
    {FEATURE_ROW("Scaler", scaler_prepare, cpu_items_elements, scaler_run)},
    {FEATURE_ROW("Normalizer", normalizer_prepare, normalizer_items, normalizer_run), .scratch = normalizer_scratch},
    {FEATURE_ROW("FeatureVectorizer", vectorizer_prepare, NULL, vectorizer_run), .claim = vectorizer_claim},
    {.op = "ArrayFeatureExtractor",
     .domain = "ai.onnx.ml",
     .since = 1,
     .until = ML_NEWEST,
     .types = CPU_FIXED,
     .reference = true,
     .claim = extract_claim,
     .run = extract_run},
    {.op = "ArrayFeatureExtractor",
     .domain = "ai.onnx.ml",
     .since = 1,
     .until = ML_NEWEST,
     .types = CPU_TYPE(STRING),
     .reference = true,
     .claim = extract_claim,
     .run = extract_text_run,
     .emit = true,
     .shaped = true},
};
const uint32_t cpu_kernels_ml_features_count = sizeof(cpu_kernels_ml_features) / sizeof(cpu_kernels_ml_features[0]);
