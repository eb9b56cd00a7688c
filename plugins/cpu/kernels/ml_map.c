/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps of ai.onnx.ml: ZipMap, CastMap, DictVectorizer. A map is a handle of two items: its keys and its values.
 */
#include "cpu/kernels/ml.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct map_state {
    ml_labels labels; /* ZipMap */
    ml_table table;   /* DictVectorizer: from keys to columns */
    ml_texts texts;
    uint64_t columns;
    partita_dtype dtype;
    bool sparse;     /* CastMap */
    locale_t locale; /* for numbers in strings: points are points */
} map_state;

static void map_release(const ptp_host *host, void *state) {
    map_state *map = state;
    if (map == NULL) return;
    ml_labels_free(host, &map->labels);
    if (map->table.entries != NULL) ml_table_free(host, &map->table);
    cpu_free(host, map->texts.offsets);
    if (map->locale != (locale_t)0) freelocale(map->locale);
    cpu_free(host, map);
}

static partita_status map_make(const ptp_host *host, void **out_state, map_state **out) {
    *out = cpu_alloc(host, sizeof(**out));
    *out_state = *out;
    return *out != NULL ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
}

/* ---- ZipMap ---- */

static partita_status zip_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    map_state *state;
    partita_status status = map_make(host, out_state, &state);
    return status == PARTITA_OK ? ml_labels_read(node, host, "classlabels_int64s", &state->labels) : status;
}

/* One tensor of keys, which all maps share. */
static partita_status zip_keys(const ptp_host *host, const ml_labels *labels, ptp_value **out) {
    int64_t dims[1] = {labels->count};
    ptp_tensor view = {.size = sizeof(view)};
    if (labels->text)
        return host->value_new_strings(host->self, 1, dims, labels->texts.strings.offsets, labels->texts.strings.bytes,
                                       out);
    partita_status status = host->value_new_tensor(host->self, PARTITA_INT64, 1, dims, out);
    if (status == PARTITA_OK) status = host->value_tensor(host->self, *out, &view);
    for (uint32_t i = 0; status == PARTITA_OK && i < labels->count; i++)
        ((int64_t *)view.data)[i] = ml_list_int(&labels->ints, i);
    return status;
}

static partita_status zip_row(const cpu_call *call, ptp_value *keys, uint64_t row, uint64_t columns, ptp_value **out) {
    const ptp_host *host = call->host;
    const cpu_tensor *x = &call->in[0];
    int64_t dims[1] = {(int64_t)columns};
    ptp_tensor view = {.size = sizeof(view)};
    ptp_value *items[2] = {keys, NULL};
    partita_status status = host->value_new_tensor(host->self, x->dtype, 1, dims, &items[1]);
    if (status == PARTITA_OK) status = host->value_tensor(host->self, items[1], &view);
    uint64_t bytes = columns * cpu_size(x);
    if (status == PARTITA_OK && bytes > 0) memcpy(view.data, (const char *)x->data + row * bytes, bytes);
    if (status == PARTITA_OK) status = host->value_new_container(host->self, PARTITA_KIND_MAP, x->dtype, items, 2, out);
    if (items[1] != NULL) host->value_release(host->self, items[1]);
    return status;
}

static partita_status zip_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const map_state *state = call->state;
    const ptp_host *host = call->host;
    uint64_t rows, columns;
    ptp_value *keys = NULL, *sequence = NULL, **maps = NULL;
    partita_status status = ml_rows(call, &call->in[0], &rows, &columns);
    if (status == PARTITA_OK && columns != state->labels.count)
        status = cpu_fail(host, PARTITA_BAD_INPUT, "%llu columns for %u labels", (unsigned long long)columns,
                          state->labels.count);
    if (status != PARTITA_OK) return status;
    maps = cpu_alloc(host, rows * sizeof(*maps));
    if (maps == NULL) return PARTITA_OUT_OF_MEMORY;
    status = zip_keys(host, &state->labels, &keys);
    for (uint64_t r = 0; status == PARTITA_OK && r < rows; r++) status = zip_row(call, keys, r, columns, &maps[r]);
    if (status == PARTITA_OK)
        status = host->value_new_container(host->self, PARTITA_KIND_SEQUENCE, call->in[0].dtype, maps, rows, &sequence);
    if (status == PARTITA_OK) status = cpu_call_set(call, 0, sequence);
    if (sequence != NULL) host->value_release(host->self, sequence);
    for (uint64_t r = 0; r < rows; r++)
        if (maps[r] != NULL) host->value_release(host->self, maps[r]);
    if (keys != NULL) host->value_release(host->self, keys);
    cpu_free(host, maps);
    return status;
}

/* ---- maps as input ---- */

typedef struct map_input {
    cpu_tensor keys, values;
    cpu_strings key_texts, value_texts; /* where they are strings */
} map_input;

static partita_status map_open(const cpu_call *call, map_input *out) {
    const ptp_host *host = call->host;
    const cpu_tensor *in = &call->in[0];
    *out = (map_input){0};
    if (in->kind != PARTITA_KIND_MAP || in->value == NULL || host->value_count(host->self, in->value) != 2)
        return cpu_fail(host, PARTITA_BAD_INPUT, "X is no map");
    partita_status status = cpu_tensor_of(call, host->value_item(host->self, in->value, 0), &out->keys);
    if (status == PARTITA_OK) status = cpu_tensor_of(call, host->value_item(host->self, in->value, 1), &out->values);
    if (status == PARTITA_OK && (out->keys.count != out->values.count ||
                                 (out->keys.dtype != PARTITA_STRING && out->keys.dtype != PARTITA_INT64)))
        return cpu_fail(host, PARTITA_BAD_INPUT, "X must have a value a key, keys of int64 or string");
    if (status == PARTITA_OK && out->keys.dtype == PARTITA_STRING)
        status = cpu_strings_of(call, &out->keys, &out->key_texts);
    if (status == PARTITA_OK && out->values.dtype == PARTITA_STRING)
        status = cpu_strings_of(call, &out->values, &out->value_texts);
    return status;
}

/* Strings picked out of those of the map, or `empty` where there is none (UINT64_MAX). */
static partita_status give_strings(const cpu_call *call, const cpu_strings *from, uint64_t *picks, uint64_t n,
                                   const char *empty) {
    const ptp_host *host = call->host;
    int64_t dims[2] = {1, (int64_t)n};
    uint64_t size = from->count > 0 ? from->offsets[from->count] : 0, more = strlen(empty);
    uint64_t *offsets = cpu_alloc(host, (from->count + 2) * sizeof(*offsets) + size + more);
    if (offsets == NULL) return PARTITA_OUT_OF_MEMORY;
    char *bytes = (char *)(offsets + from->count + 2);
    if (from->count > 0) memcpy(offsets, from->offsets, (from->count + 1) * sizeof(*offsets));
    if (size > 0) memcpy(bytes, from->bytes, size);
    memcpy(bytes + size, empty, more);
    offsets[from->count + 1] = offsets[from->count] + more;
    for (uint64_t i = 0; i < n; i++)
        if (picks[i] == UINT64_MAX) picks[i] = from->count;
    const cpu_strings all = {offsets, bytes, from->count + 1};
    partita_status status = cpu_set_strings(call, 0, 2, dims, &all, picks, n);
    cpu_free(host, offsets);
    return status;
}

/* ---- DictVectorizer ---- */

static partita_status dict_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    map_state *state;
    ml_list ints;
    partita_status status = map_make(host, out_state, &state);
    if (status == PARTITA_OK) status = ml_texts_read(node, host, "string_vocabulary", NULL, NULL, &state->texts);
    if (status == PARTITA_OK) status = ml_list_read(node, host, "int64_vocabulary", NULL, &ints);
    if (status != PARTITA_OK) return status;
    const cpu_strings *texts = &state->texts.strings;
    state->columns = texts->count > 0 ? texts->count : ints.count;
    if (state->columns == 0) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "there is no vocabulary");
    status = ml_table_init(host, state->columns, &state->table);
    for (uint64_t i = 0; status == PARTITA_OK && i < state->columns; i++)
        *(texts->count > 0 ? ml_table_put_string(&state->table, cpu_string_at(texts, i))
                           : ml_table_put_number(&state->table, ml_list_int(&ints, i))) = i;
    return status;
}

/* Columns of the vocabulary in which keys of the map are: picks of the map's values. */
static partita_status dict_picks(const cpu_call *call, const map_input *map, uint64_t *picks) {
    const map_state *state = call->state;
    bool text = map->keys.dtype == PARTITA_STRING;
    if (text != (state->texts.strings.count > 0))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the vocabulary is of another type than the map's keys");
    for (uint64_t i = 0; i < state->columns; i++) picks[i] = UINT64_MAX;
    for (uint64_t i = 0; i < map->keys.count; i++) {
        uint64_t column = text ? ml_table_string(&state->table, cpu_string_at(&map->key_texts, i))
                               : ml_table_number(&state->table, cpu_index(&map->keys, i));
        if (column != UINT64_MAX) picks[column] = i;
    }
    return PARTITA_OK;
}

static partita_status dict_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const map_state *state = call->state;
    int64_t dims[2] = {1, (int64_t)state->columns};
    map_input map;
    partita_status status = map_open(call, &map);
    if (status != PARTITA_OK) return status;
    uint64_t *picks = cpu_alloc(call->host, state->columns * sizeof(*picks));
    if (picks == NULL) return PARTITA_OUT_OF_MEMORY;
    status = dict_picks(call, &map, picks);
    if (status == PARTITA_OK && map.values.dtype == PARTITA_STRING) {
        status = give_strings(call, &map.value_texts, picks, state->columns, "");
    } else if (status == PARTITA_OK) {
        status = cpu_call_alloc(call, 0, 2, dims);
        uint32_t size = cpu_size(&map.values);
        if (status == PARTITA_OK && call->out[0].dtype != map.values.dtype)
            status =
                cpu_fail(call->host, PARTITA_BAD_INPUT, "the map's values are of another type than the model says");
        for (uint64_t i = 0; status == PARTITA_OK && i < state->columns; i++) {
            char *to = (char *)call->out[0].data + i * size;
            if (picks[i] == UINT64_MAX)
                memset(to, 0, size);
            else
                memcpy(to, (const char *)map.values.data + picks[i] * size, size);
        }
    }
    cpu_free(call->host, picks);
    return status;
}

/* ---- CastMap ---- */

static partita_status cast_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    map_state *state;
    partita_status status = map_make(host, out_state, &state);
    if (status != PARTITA_OK) return status;
    int64_t most = cpu_attr_int(node, "max_map", 1);
    state->sparse = cpu_attr_is(node, "map_form", "SPARSE");
    state->dtype = cpu_output_dtype(node, 0);
    if (!state->sparse && !cpu_attr_is(node, "map_form", "DENSE"))
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "map_form is neither DENSE nor SPARSE");
    if (state->sparse && (most < 1 || most > INT32_MAX))
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "max_map is %lld", (long long)most);
    state->columns = (uint64_t)most;
    state->locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return state->locale != (locale_t)0 ? PARTITA_OK : cpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a locale");
}

typedef struct keyed {
    int64_t key;
    uint64_t at;
} keyed;

static int keyed_compare(const void *a, const void *b) {
    const keyed *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Where each column's value lies in the map: in the order of the keys. */
static partita_status dense_picks(const cpu_call *call, const map_input *map, uint64_t *picks) {
    uint64_t n = map->keys.count;
    keyed *order = cpu_alloc(call->host, n * sizeof(*order));
    if (order == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; i < n; i++) order[i] = (keyed){cpu_index(&map->keys, i), i};
    qsort(order, n, sizeof(*order), keyed_compare);
    for (uint64_t i = 0; i < n; i++) picks[i] = order[i].at;
    cpu_free(call->host, order);
    return PARTITA_OK;
}

/* The same where the key is the column. */
static partita_status sparse_picks(const cpu_call *call, const map_input *map, uint64_t columns, uint64_t *picks) {
    for (uint64_t i = 0; i < columns; i++) picks[i] = UINT64_MAX;
    for (uint64_t i = 0; i < map->keys.count; i++) {
        int64_t key = cpu_index(&map->keys, i);
        if (key < 0 || key >= (int64_t)columns)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "key %lld, max_map is %llu", (long long)key,
                            (unsigned long long)columns);
        picks[key] = i;
    }
    return PARTITA_OK;
}

/* A value of the map as the number of column `i`. */
static partita_status cast_number(const cpu_call *call, const map_input *map, uint64_t i, uint64_t pick) {
    const cpu_tensor *out = &call->out[0];
    double real = 0;
    if (pick != UINT64_MAX && map->values.dtype == PARTITA_STRING) {
        partita_str given = cpu_string_at(&map->value_texts, pick);
        char text[128], *end = text;
        if (given.size < sizeof(text)) {
            memcpy(text, given.data, given.size);
            text[given.size] = '\0';
            real = strtod(text, &end);
        }
        if (end == text || *end != '\0')
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "value %llu of the map is no number",
                            (unsigned long long)pick);
        if (out->dtype == PARTITA_INT64) { /* a double has not all of them */
            int64_t whole = strtoll(text, &end, 10);
            if (*end != '\0') whole = cpu_int64_from_double(real);
            cpu_store_int64s(out->dtype, out->data, i, 1, &whole);
            return PARTITA_OK;
        }
    } else if (pick != UINT64_MAX) {
        cpu_load_doubles(map->values.dtype, map->values.data, pick, 1, &real);
    }
    int64_t whole = cpu_int64_from_double(real);
    if (out->dtype == PARTITA_INT64)
        cpu_store_int64s(out->dtype, out->data, i, 1, &whole);
    else
        cpu_store_doubles(out->dtype, out->data, i, 1, &real);
    return PARTITA_OK;
}

#define NUMBER_ROOM 64 /* of a printed number */

/* The map's values printed, in their own order. */
static partita_status values_print(const cpu_call *call, const map_input *map, ml_texts *out) {
    uint64_t n = map->values.count;
    out->offsets = cpu_alloc(call->host, (n + 1) * (sizeof(*out->offsets) + NUMBER_ROOM));
    if (out->offsets == NULL) return PARTITA_OUT_OF_MEMORY;
    char *bytes = (char *)(out->offsets + n + 1);
    out->strings = (cpu_strings){out->offsets, bytes, n};
    for (uint64_t i = 0; i < n; i++) {
        double real;
        cpu_load_doubles(map->values.dtype, map->values.data, i, 1, &real);
        out->offsets[i + 1] = out->offsets[i] + (uint64_t)snprintf(bytes + out->offsets[i], NUMBER_ROOM, "%f", real);
    }
    return PARTITA_OK;
}

static partita_status cast_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const map_state *state = call->state;
    map_input map;
    ml_texts printed = {0};
    partita_status status = map_open(call, &map);
    if (status == PARTITA_OK && map.keys.dtype != PARTITA_INT64)
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "keys must be int64");
    if (status != PARTITA_OK) return status;
    uint64_t columns = state->sparse ? state->columns : map.keys.count;
    int64_t dims[2] = {1, (int64_t)columns};
    uint64_t *picks = cpu_alloc(call->host, columns * sizeof(*picks));
    if (picks == NULL) return PARTITA_OUT_OF_MEMORY;
    locale_t before = uselocale(state->locale);
    status = state->sparse ? sparse_picks(call, &map, columns, picks) : dense_picks(call, &map, picks);
    if (status == PARTITA_OK && state->dtype == PARTITA_STRING) {
        bool text = map.values.dtype == PARTITA_STRING;
        if (!text) status = values_print(call, &map, &printed);
        if (status == PARTITA_OK)
            status = give_strings(call, text ? &map.value_texts : &printed.strings, picks, columns, "0.f");
    } else if (status == PARTITA_OK) {
        status = cpu_call_alloc(call, 0, 2, dims);
        for (uint64_t i = 0; status == PARTITA_OK && i < columns; i++) status = cast_number(call, &map, i, picks[i]);
    }
    uselocale(before);
    cpu_free(call->host, printed.offsets);
    cpu_free(call->host, picks);
    return status;
}

#define MAP_ROW(name, prepares, runs)                                                                                  \
    {                                                                                                                  \
        .op = name, .domain = "ai.onnx.ml", .since = 1, .until = ML_NEWEST, .types = ~UINT64_C(0), .reference = true,  \
        .prepare = prepares, .release = map_release, .run = runs, .emit = true                                         \
    }

const cpu_kernel cpu_kernels_ml_map[] = {
    MAP_ROW("ZipMap", zip_prepare, zip_run),
    MAP_ROW("DictVectorizer", dict_prepare, dict_run),
    MAP_ROW("CastMap", cast_prepare, cast_run),
};
const uint32_t cpu_kernels_ml_map_count = sizeof(cpu_kernels_ml_map) / sizeof(cpu_kernels_ml_map[0]);
