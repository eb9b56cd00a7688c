/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists, labels, tables of keys and rows of features for the operators of ai.onnx.ml: see ml.h.
 */
#include "cpu/kernels/ml.h"

/* ---- lists ---- */

static partita_status list_of_tensor(const cpu_node *node, const ptp_host *host, const char *name,
                                     const ptp_attribute_row *row, ml_list *out) {
    const cpu_tensor *tensor =
        node->constant_at != NULL ? node->constant_at(node, ptp_ref_id(node->block, row->data, 0)) : NULL;
    if (tensor == NULL) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "the tensor of %s is not at hand", name);
    if (tensor->count > UINT32_MAX) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%s is too long", name);
    *out = (ml_list){true, (uint32_t)tensor->count, tensor->dtype, tensor->data, tensor->value};
    return PARTITA_OK;
}

partita_status ml_list_read(const cpu_node *node, const ptp_host *host, const char *name, const char *tensor,
                            ml_list *out) {
    const char *const names[2] = {name, tensor};
    ptp_attribute_row row;
    *out = (ml_list){0};
    for (uint32_t i = 0; i < 2; i++) {
        if (names[i] == NULL || !ptp_attribute_find(node->block, &node->row, names[i], &row)) continue;
        if (row.type == PTP_ATTRIBUTE_TENSOR) return list_of_tensor(node, host, names[i], &row, out);
        bool ints = row.type == PTP_ATTRIBUTE_INTS;
        if (!ints && row.type != PTP_ATTRIBUTE_FLOATS)
            return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%s is no list of numbers", names[i]);
        *out = (ml_list){true, row.data.count, ints ? PARTITA_INT64 : PARTITA_FLOAT32,
                         ptp_ref_data(node->block, row.data), NULL};
        if (out->count > 0) return PARTITA_OK; /* an empty list says nothing: the tensor may */
    }
    return PARTITA_OK;
}

double ml_list_real(const ml_list *list, uint64_t i) {
    double value = 0;
    if (list->dtype == PARTITA_FLOAT32) return ((const float *)list->data)[i];
    cpu_load_doubles(list->dtype, list->data, i, 1, &value);
    return value;
}

int64_t ml_list_int(const ml_list *list, uint64_t i) {
    int64_t value = 0;
    if (list->dtype == PARTITA_INT64) return ((const int64_t *)list->data)[i];
    cpu_load_int64s(list->dtype, list->data, i, 1, &value);
    return value;
}

/* ---- strings ---- */

/* String `i` of a list attribute, or of a tensor's strings. */
typedef struct text_source {
    const ptp_block *block;
    const ptp_ref *refs;
    cpu_strings strings;
    uint64_t count;
} text_source;

static partita_str source_at(const text_source *source, uint64_t i) {
    return source->refs != NULL ? ptp_ref_str(source->block, source->refs[i]) : cpu_string_at(&source->strings, i);
}

static partita_status source_find(const cpu_node *node, const ptp_host *host, const char *name, const char *tensor,
                                  text_source *out) {
    ptp_attribute_row row;
    *out = (text_source){.block = node->block};
    if (name != NULL && ptp_attribute_find(node->block, &node->row, name, &row) && row.type == PTP_ATTRIBUTE_STRINGS) {
        out->refs = ptp_ref_data(node->block, row.data);
        out->count = row.data.count;
        return PARTITA_OK;
    }
    ml_list list;
    partita_status status = ml_list_read(node, host, NULL, tensor, &list);
    if (status != PARTITA_OK || list.value == NULL) return status;
    status =
        host->value_strings(host->self, list.value, &out->strings.offsets, &out->strings.bytes, &out->strings.count);
    out->count = out->strings.count;
    return status;
}

partita_status ml_texts_read(const cpu_node *node, const ptp_host *host, const char *name, const char *tensor,
                             const partita_str *more, ml_texts *out) {
    text_source source;
    *out = (ml_texts){0};
    partita_status status = source_find(node, host, name, tensor, &source);
    if (status != PARTITA_OK) return status;
    uint64_t bytes = more != NULL ? more->size : 0, count = source.count + (more != NULL);
    for (uint64_t i = 0; i < source.count; i++) bytes += source_at(&source, i).size;
    out->offsets = cpu_alloc(host, (count + 1) * sizeof(*out->offsets) + bytes);
    if (out->offsets == NULL) return PARTITA_OUT_OF_MEMORY;
    char *at = (char *)(out->offsets + count + 1);
    out->strings = (cpu_strings){out->offsets, at, source.count};
    for (uint64_t i = 0; i < count; i++) {
        partita_str text = i < source.count ? source_at(&source, i) : *more;
        if (text.size > 0) memcpy(at + out->offsets[i], text.data, text.size);
        out->offsets[i + 1] = out->offsets[i] + text.size;
    }
    return PARTITA_OK;
}

int64_t ml_feature_count(const cpu_node *node) {
    ptp_value_row row;
    if (!cpu_node_input(node, 0, &row) || row.kind != PARTITA_KIND_TENSOR || row.rank < 1) return -1;
    return ((const int64_t *)ptp_ref_data(node->block, row.dims))[row.rank - 1];
}

/* ---- tables ---- */

typedef struct ml_entry {
    partita_str text;
    int64_t number; /* a table has keys of one kind */
    uint64_t value;
} ml_entry;

partita_status ml_table_init(const ptp_host *host, uint64_t count, ml_table *table) {
    uint64_t size = 8;
    while (size < 2 * count) size *= 2;
    table->mask = size - 1;
    table->entries = cpu_alloc(host, size * sizeof(*table->entries));
    if (table->entries == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; i < size; i++) table->entries[i].value = UINT64_MAX;
    return PARTITA_OK;
}

void ml_table_free(const ptp_host *host, ml_table *table) { cpu_free(host, table->entries); }

static ml_entry *number_entry(const ml_table *table, int64_t key) {
    uint64_t hash = (uint64_t)key * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t at = (hash ^ hash >> 32) & table->mask;
    while (table->entries[at].value != UINT64_MAX && table->entries[at].number != key) at = (at + 1) & table->mask;
    return &table->entries[at];
}

static ml_entry *string_entry(const ml_table *table, partita_str key) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < key.size; i++) hash = (hash ^ (uint8_t)key.data[i]) * UINT64_C(1099511628211);
    uint64_t at = (hash ^ hash >> 32) & table->mask;
    for (; table->entries[at].value != UINT64_MAX; at = (at + 1) & table->mask) {
        const partita_str *have = &table->entries[at].text;
        if (have->size == key.size && (key.size == 0 || memcmp(have->data, key.data, key.size) == 0)) break;
    }
    return &table->entries[at];
}

uint64_t *ml_table_put_number(ml_table *table, int64_t key) {
    ml_entry *entry = number_entry(table, key);
    entry->number = key;
    return &entry->value;
}

uint64_t *ml_table_put_string(ml_table *table, partita_str key) {
    ml_entry *entry = string_entry(table, key);
    if (entry->value == UINT64_MAX) entry->text = key;
    return &entry->value;
}

uint64_t ml_table_number(const ml_table *table, int64_t key) { return number_entry(table, key)->value; }
uint64_t ml_table_string(const ml_table *table, partita_str key) { return string_entry(table, key)->value; }

int64_t ml_key_of_real(double value) {
    int64_t key;
    if (value == 0) value = 0; /* of either sign */
    if (isnan(value)) return INT64_MIN + 1;
    memcpy(&key, &value, sizeof(key));
    return key;
}

/* ---- rows ---- */

partita_status ml_rows(const cpu_call *call, const cpu_tensor *x, uint64_t *out_rows, uint64_t *out_columns) {
    if (x->rank != 1 && x->rank != 2)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "X must be [N, C] or [C], not of rank %u", x->rank);
    *out_rows = x->rank == 1 ? 1 : (uint64_t)x->dims[0];
    *out_columns = (uint64_t)x->dims[x->rank - 1];
    return PARTITA_OK;
}

const double *ml_row(const cpu_tensor *x, uint64_t row, uint64_t columns, double *room) {
    if (x->dtype == PARTITA_FLOAT64) return (const double *)x->data + row * columns;
    cpu_load_doubles(x->dtype, x->data, row * columns, columns, room);
    return room;
}

uint64_t ml_items_rows(const cpu_call *call) {
    const cpu_tensor *x = &call->in[0];
    return x->rank == 2 ? (uint64_t)x->dims[0] : 1;
}

/* ---- labels ---- */

partita_status ml_labels_read(const cpu_node *node, const ptp_host *host, const char *numbers, ml_labels *out) {
    static const partita_str none = {"", 0};
    *out = (ml_labels){0};
    partita_status status = ml_texts_read(node, host, "classlabels_strings", NULL, &none, &out->texts);
    if (status == PARTITA_OK) status = ml_list_read(node, host, numbers, NULL, &out->ints);
    if (status != PARTITA_OK) return status;
    out->text = out->texts.strings.count > 0;
    out->count = out->text ? (uint32_t)out->texts.strings.count : out->ints.count;
    if (out->count == 0) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "there are no class labels");
    return PARTITA_OK;
}

void ml_labels_free(const ptp_host *host, ml_labels *labels) { cpu_free(host, labels->texts.offsets); }

bool ml_claim_text(const cpu_node *node, ptp_answer *answer) {
    return cpu_output_dtype(node, 0) == PARTITA_STRING ||
           cpu_refuse(answer, PARTITA_REASON_DTYPE, "the output is no string");
}

bool ml_claim_numbers(const cpu_node *node, ptp_answer *answer) {
    return cpu_output_dtype(node, 0) != PARTITA_STRING ||
           cpu_refuse(answer, PARTITA_REASON_DTYPE, "the output is string");
}
