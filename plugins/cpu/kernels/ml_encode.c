/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators of ai.onnx.ml that look up elements: LabelEncoder, CategoryMapper, OneHotEncoder.
 */
#include "cpu/kernels/ml.h"

/* Keys to the numbers of values; what is not found has the number behind the last. */
typedef struct encode_state {
    ml_table table;
    ml_texts key_texts, value_texts; /* the default behind the values */
    uint64_t *cells;                 /* values that are numbers, as elements of the output, the default last */
    uint64_t count;
    bool zeros, indexed; /* indexed: LabelEncoder 1 of whole numbers, which are places in the list */
} encode_state;

static void encode_release(const ptp_host *host, void *state) {
    encode_state *encode = state;
    if (encode == NULL) return;
    if (encode->table.entries != NULL) ml_table_free(host, &encode->table);
    cpu_free(host, encode->key_texts.offsets);
    cpu_free(host, encode->value_texts.offsets);
    cpu_free(host, encode->cells);
    cpu_free(host, encode);
}

static int64_t key_at(const ml_list *keys, uint64_t i) {
    return cpu_dtype_is_float(keys->dtype) ? ml_key_of_real(ml_list_real(keys, i)) : ml_list_int(keys, i);
}

/* Of keys that are given twice the last counts where the operator says so, else the first. */
static partita_status keys_put(encode_state *state, const ptp_host *host, const ml_list *keys, bool last_wins) {
    const cpu_strings *texts = &state->key_texts.strings;
    uint64_t count = texts->count > 0 ? texts->count : keys->count;
    partita_status status = ml_table_init(host, count, &state->table);
    for (uint64_t i = 0; status == PARTITA_OK && i < count; i++) {
        uint64_t *place = texts->count > 0 ? ml_table_put_string(&state->table, cpu_string_at(texts, i))
                                           : ml_table_put_number(&state->table, key_at(keys, i));
        if (*place == UINT64_MAX || last_wins) *place = i;
    }
    state->count = count;
    return status;
}

/* Numbers of the values of elements [first, last); strings are whole tensors. */
static partita_status look_up(const cpu_call *call, const cpu_strings *strings, uint64_t first, uint64_t last,
                              uint64_t *picks) {
    const encode_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    bool real = cpu_dtype_is_float(x->dtype);
    for (uint64_t i = first; i < last; i++) {
        uint64_t found = UINT64_MAX;
        double number;
        int64_t whole;
        if (strings != NULL) {
            found = ml_table_string(&state->table, cpu_string_at(strings, i));
        } else if (real) {
            cpu_load_doubles(x->dtype, x->data, i, 1, &number);
            found = ml_table_number(&state->table, ml_key_of_real(number));
        } else {
            cpu_load_int64s(x->dtype, x->data, i, 1, &whole);
            if (!state->indexed)
                found = ml_table_number(&state->table, whole);
            else if (whole >= 0 && (uint64_t)whole < state->count)
                found = (uint64_t)whole;
        }
        picks[i - first] = found != UINT64_MAX ? found : state->count;
    }
    return PARTITA_OK;
}

static partita_status strings_if(const cpu_call *call, cpu_strings *room, const cpu_strings **out) {
    *out = NULL;
    if (call->in[0].dtype != PARTITA_STRING) return PARTITA_OK;
    *out = room;
    return cpu_strings_of(call, &call->in[0], room);
}

#define PIECE 512

static partita_status encode_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const encode_state *state = call->state;
    const cpu_tensor *out = &call->out[0];
    const cpu_strings *strings;
    cpu_strings room;
    uint64_t first, last, picks[PIECE];
    partita_status status = cpu_expect_like(call, 0, &call->in[0]);
    if (status == PARTITA_OK) status = strings_if(call, &room, &strings);
    if (status != PARTITA_OK) return status;
    uint32_t size = cpu_size(out);
    cpu_item_range(out, begin, end, &first, &last);
    for (uint64_t at = first; at < last; at += PIECE) {
        uint64_t n = last - at < PIECE ? last - at : PIECE;
        look_up(call, strings, at, at + n, picks);
        for (uint64_t i = 0; i < n; i++)
            memcpy((char *)out->data + (at + i) * size, (const char *)state->cells + picks[i] * size, size);
    }
    return PARTITA_OK;
}

static partita_status encode_text_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const encode_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    const cpu_strings *strings;
    cpu_strings room;
    partita_status status = strings_if(call, &room, &strings);
    if (status != PARTITA_OK) return status;
    uint64_t *picks = cpu_alloc(call->host, x->count * sizeof(*picks));
    if (picks == NULL) return PARTITA_OUT_OF_MEMORY;
    look_up(call, strings, 0, x->count, picks);
    status = cpu_set_strings(call, 0, x->rank, x->dims, &state->value_texts.strings, picks, x->count);
    cpu_free(call->host, picks);
    return status;
}

/* Values that are numbers, and the default, as the output's elements. */
static partita_status cells_make(encode_state *state, const ptp_host *host, partita_dtype dtype, const ml_list *values,
                                 const ml_list *otherwise) {
    state->cells = cpu_alloc(host, (state->count + 1) * sizeof(*state->cells));
    if (state->cells == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; i <= state->count; i++) {
        const ml_list *from = i < state->count ? values : otherwise;
        uint64_t at = i < state->count ? i : 0;
        double real;
        int64_t whole;
        if (cpu_dtype_is_float(dtype))
            real = ml_list_real(from, at), cpu_store_doubles(dtype, state->cells, i, 1, &real);
        else
            whole = ml_list_int(from, at), cpu_store_int64s(dtype, state->cells, i, 1, &whole);
    }
    return PARTITA_OK;
}

/* ---- LabelEncoder ---- */

/* default_tensor, or the default of the values' type. `whole`, `real` live as long as the list. */
static partita_status default_read(const cpu_node *node, const ptp_host *host, partita_dtype dtype, int64_t *whole,
                                   float *real, ml_list *out) {
    partita_status status = ml_list_read(node, host, NULL, "default_tensor", out);
    if (status != PARTITA_OK) return status;
    if (out->given && out->count == 1 && out->value == NULL) { return PARTITA_OK; }
    *whole = cpu_attr_int(node, "default_int64", -1);
    *real = cpu_attr_float(node, "default_float", -0.0f);
    bool floats = cpu_dtype_is_float(dtype);
    *out = (ml_list){true, 1, floats ? PARTITA_FLOAT32 : PARTITA_INT64, floats ? (const void *)real : whole, NULL};
    return PARTITA_OK;
}

static partita_status label_values(const cpu_node *node, const ptp_host *host, encode_state *state) {
    partita_dtype dtype = cpu_output_dtype(node, 0);
    ml_list values, otherwise;
    int64_t whole;
    float real;
    if (dtype == PARTITA_STRING) {
        ml_texts given;
        partita_str text = ptp_attribute_str(node->block, &node->row, "default_string");
        partita_status status = ml_texts_read(node, host, NULL, "default_tensor", NULL, &given);
        if (status == PARTITA_OK && given.strings.count == 1) text = cpu_string_at(&given.strings, 0);
        if (status == PARTITA_OK)
            status = ml_texts_read(node, host, "values_strings", "values_tensor", &text, &state->value_texts);
        cpu_free(host, given.offsets);
        if (status == PARTITA_OK && state->value_texts.strings.count != state->count)
            status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "%llu values for %llu keys",
                              (unsigned long long)state->value_texts.strings.count, (unsigned long long)state->count);
        return status;
    }
    partita_status status = ml_list_read(node, host, dtype == PARTITA_FLOAT32 ? "values_floats" : "values_int64s",
                                         "values_tensor", &values);
    if (status == PARTITA_OK) status = default_read(node, host, dtype, &whole, &real, &otherwise);
    if (status == PARTITA_OK && values.count != state->count)
        status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "%u values for %llu keys", values.count,
                          (unsigned long long)state->count);
    return status == PARTITA_OK ? cells_make(state, host, dtype, &values, &otherwise) : status;
}

static partita_status encode_make(const ptp_host *host, void **out_state, encode_state **out) {
    *out = cpu_alloc(host, sizeof(**out));
    *out_state = *out;
    return *out != NULL ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
}

static partita_status label_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    encode_state *state;
    ml_list keys = {0};
    partita_dtype dtype = cpu_input_dtype(node, 0);
    partita_status status = encode_make(host, out_state, &state);
    if (status != PARTITA_OK) return status;
    if (dtype == PARTITA_STRING)
        status = ml_texts_read(node, host, "keys_strings", "keys_tensor", NULL, &state->key_texts);
    else
        status =
            ml_list_read(node, host, dtype == PARTITA_FLOAT32 ? "keys_floats" : "keys_int64s", "keys_tensor", &keys);
    if (status == PARTITA_OK && keys.count == 0 && state->key_texts.strings.count == 0)
        status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "there are no keys of the input's type");
    if (status == PARTITA_OK) status = keys_put(state, host, &keys, node->row.since >= 4);
    return status == PARTITA_OK ? label_values(node, host, state) : status;
}

/* Version 1 has one list of strings, whose places are the numbers. CategoryMapper has two lists. */
static partita_status pairs_prepare(const cpu_node *node, const ptp_host *host, encode_state *state, const char *texts,
                                    const char *numbers) {
    ml_list ints = {0};
    partita_str text = ptp_attribute_str(node->block, &node->row, "default_string");
    int64_t whole = cpu_attr_int(node, "default_int64", -1);
    ml_list otherwise = {true, 1, PARTITA_INT64, &whole, NULL};
    partita_status status = numbers != NULL ? ml_list_read(node, host, numbers, NULL, &ints) : PARTITA_OK;
    if (status == PARTITA_OK) status = ml_texts_read(node, host, texts, NULL, &text, &state->value_texts);
    if (status != PARTITA_OK) return status;
    uint64_t count = state->value_texts.strings.count;
    if (count == 0 || (numbers != NULL && ints.count != count))
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%s has %llu entries, its numbers %u", texts,
                        (unsigned long long)count, ints.count);
    if (cpu_input_dtype(node, 0) != PARTITA_STRING) {
        state->indexed = numbers == NULL;
        state->count = count;
        return state->indexed ? PARTITA_OK : keys_put(state, host, &ints, true);
    }
    status = ml_texts_read(node, host, texts, NULL, NULL, &state->key_texts);
    if (status == PARTITA_OK) status = keys_put(state, host, &ints, true);
    if (status == PARTITA_OK && numbers != NULL) return cells_make(state, host, PARTITA_INT64, &ints, &otherwise);
    if (status != PARTITA_OK) return status;
    state->cells = cpu_alloc(host, (count + 1) * sizeof(*state->cells));
    if (state->cells == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; i < count; i++) state->cells[i] = i;
    state->cells[count] = (uint64_t)whole;
    return PARTITA_OK;
}

static partita_status label_1_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    encode_state *state;
    partita_status status = encode_make(host, out_state, &state);
    return status == PARTITA_OK ? pairs_prepare(node, host, state, "classes_strings", NULL) : status;
}

static partita_status category_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    encode_state *state;
    partita_status status = encode_make(host, out_state, &state);
    return status == PARTITA_OK ? pairs_prepare(node, host, state, "cats_strings", "cats_int64s") : status;
}

/* ---- OneHotEncoder ---- */

static partita_status one_hot_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    encode_state *state;
    ml_list keys = {0};
    partita_status status = encode_make(host, out_state, &state);
    if (status != PARTITA_OK) return status;
    bool text = cpu_input_dtype(node, 0) == PARTITA_STRING;
    state->zeros = cpu_attr_int(node, "zeros", 1) != 0;
    status = text ? ml_texts_read(node, host, "cats_strings", NULL, NULL, &state->key_texts)
                  : ml_list_read(node, host, "cats_int64s", NULL, &keys);
    if (status == PARTITA_OK && keys.count == 0 && state->key_texts.strings.count == 0)
        status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "%s is missing", text ? "cats_strings" : "cats_int64s");
    return status == PARTITA_OK ? keys_put(state, host, &keys, false) : status;
}

static partita_status one_hot_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const encode_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    int64_t dims[CPU_MAX_RANK + 1];
    const cpu_strings *strings;
    cpu_strings room;
    if (x->rank >= CPU_MAX_RANK) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u", x->rank);
    if (x->rank > 0) memcpy(dims, x->dims, x->rank * sizeof(*dims));
    dims[x->rank] = (int64_t)state->count;
    partita_status status = cpu_expect(call, 0, x->rank + 1, dims);
    if (status == PARTITA_OK) status = strings_if(call, &room, &strings);
    if (status != PARTITA_OK) return status;
    float *out = call->out[0].data;
    if (call->out[0].bytes > 0) memset(out, 0, call->out[0].bytes);
    for (uint64_t i = 0; i < x->count; i++) {
        int64_t whole = 0;
        if (strings == NULL) cpu_load_int64s(x->dtype, x->data, i, 1, &whole); /* numbers with a fraction are cut */
        uint64_t found = strings != NULL ? ml_table_string(&state->table, cpu_string_at(strings, i))
                                         : ml_table_number(&state->table, whole);
        if (found != UINT64_MAX)
            out[i * state->count + found] = 1;
        else if (!state->zeros)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "element %llu is of no category", (unsigned long long)i);
    }
    return PARTITA_OK;
}

#define ENCODE_ROWS(name, first, last, set, prepares)                                                                  \
    {.op = name,                                                                                                       \
     .domain = "ai.onnx.ml",                                                                                           \
     .since = first,                                                                                                   \
     .until = last,                                                                                                    \
     .types = set,                                                                                                     \
     .reference = true,                                                                                                \
     .claim = ml_claim_numbers,                                                                                        \
     .prepare = prepares,                                                                                              \
     .release = encode_release,                                                                                        \
     .items = cpu_items_elements,                                                                                      \
     .run = encode_run},                                                                                               \
    {                                                                                                                  \
        .op = name, .domain = "ai.onnx.ml", .since = first, .until = last, .types = set, .reference = true,            \
        .claim = ml_claim_text, .prepare = prepares, .release = encode_release, .run = encode_text_run, .emit = true,  \
        .shaped = true                                                                                                 \
    }

const cpu_kernel cpu_kernels_ml_encode[] = {
    ENCODE_ROWS("LabelEncoder", 1, 1, CPU_TYPE(STRING) | CPU_TYPE(INT64), label_1_prepare),
    ENCODE_ROWS("LabelEncoder", 2, ML_NEWEST, CPU_TYPE(STRING) | CPU_NUMBERS, label_prepare),
    ENCODE_ROWS("CategoryMapper", 1, ML_NEWEST, CPU_TYPE(STRING) | CPU_TYPE(INT64), category_prepare),
    {.op = "OneHotEncoder",
     .domain = "ai.onnx.ml",
     .since = 1,
     .until = ML_NEWEST,
     .types = CPU_TYPE(STRING) | ML_FEATURES,
     .reference = true,
     .prepare = one_hot_prepare,
     .release = encode_release,
     .run = one_hot_run},
};
const uint32_t cpu_kernels_ml_encode_count = sizeof(cpu_kernels_ml_encode) / sizeof(cpu_kernels_ml_encode[0]);
