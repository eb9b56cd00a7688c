/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TfIdfVectorizer. The items of the pool are numbered as they come; a tree over these numbers, kept as a table of its
 * edges, knows the n-grams. A row of the input is numbered once and then walked from every item on.
 */
#include "cpu/kernels/ml.h"

typedef struct tf_idf {
    const ptp_block *block;
    const int64_t *numbers; /* the pool, as given: numbers or texts */
    const ptp_ref *texts;
    uint32_t pool;
    ml_table items;         /* to the number of an item */
    ml_table edges;         /* from a node of the tree and an item to the node behind them; 0 is the root */
    uint32_t *grams;        /* by node of the tree: n-gram + 1, or 0 */
    const int64_t *indexes; /* by n-gram: the output's column */
    const float *weights;   /* by n-gram; NULL: all 1 */
    uint32_t indexes_count;
    int64_t shortest, longest, skips;
    bool inverse, weighted;
} tf_idf;

static int64_t edge_key(uint64_t node, uint64_t item) { return (int64_t)(node << 32 | item); }

static partita_status items_make(tf_idf *t, const ptp_host *host) {
    uint64_t known = 0;
    partita_status status = ml_table_init(host, t->pool, &t->items);
    for (uint32_t i = 0; i < t->pool && status == PARTITA_OK; i++) {
        uint64_t *item = t->texts != NULL ? ml_table_put_string(&t->items, ptp_ref_str(t->block, t->texts[i]))
                                          : ml_table_put_number(&t->items, t->numbers[i]);
        if (*item == UINT64_MAX) *item = known++;
    }
    return status;
}

/* Puts the n-gram at `start` into the tree, of which `nodes` are used. */
static void tree_add(tf_idf *t, uint32_t start, uint64_t length, uint32_t gram, uint64_t *nodes) {
    uint64_t node = 0;
    for (uint64_t i = start; i < start + length; i++) {
        uint64_t item = t->texts != NULL ? ml_table_string(&t->items, ptp_ref_str(t->block, t->texts[i]))
                                         : ml_table_number(&t->items, t->numbers[i]);
        uint64_t *behind = ml_table_put_number(&t->edges, edge_key(node, item));
        if (*behind == UINT64_MAX) *behind = ++*nodes;
        node = *behind;
    }
    t->grams[node] = gram + 1;
}

static partita_status tree_make(tf_idf *t, const ptp_host *host, const int64_t *starts, uint32_t lengths) {
    uint64_t gram = 0, nodes = 0;
    t->grams = cpu_alloc(host, ((uint64_t)t->pool + 1) * sizeof(*t->grams));
    if (t->grams == NULL || ml_table_init(host, t->pool, &t->edges) != PARTITA_OK) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < lengths; i++) {
        int64_t first = starts[i], last = i + 1 < lengths ? starts[i + 1] : (int64_t)t->pool, length = (int64_t)i + 1;
        if (first < 0 || last < first || last > (int64_t)t->pool || (last - first) % length != 0)
            return cpu_fail(host, PARTITA_BAD_MODEL, "ngram_counts does not divide the pool of %u", t->pool);
        for (; first < last; first += length, gram++) {
            if (gram >= t->indexes_count)
                return cpu_fail(host, PARTITA_BAD_MODEL, "ngram_indexes has %u entries, too few", t->indexes_count);
            if (length >= t->shortest && length <= t->longest)
                tree_add(t, (uint32_t)first, (uint64_t)length, (uint32_t)gram, &nodes);
        }
    }
    return PARTITA_OK;
}

static bool list_of(const cpu_node *node, const char *name, uint32_t type, const void **out_data, uint32_t *out_count) {
    ptp_attribute_row row;
    *out_count = 0;
    *out_data = NULL;
    if (!ptp_attribute_find(node->block, &node->row, name, &row) || row.type != type || row.data.count == 0)
        return false;
    *out_data = ptp_ref_data(node->block, row.data);
    *out_count = row.data.count;
    return true;
}

static partita_status tf_idf_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    const void *data, *starts;
    uint32_t lengths, weights;
    tf_idf *t = cpu_alloc(host, sizeof(*t));
    if (t == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = t;
    t->block = node->block;
    t->inverse = cpu_attr_is(node, "mode", "IDF");
    t->weighted = !cpu_attr_is(node, "mode", "TF");
    t->shortest = cpu_attr_int(node, "min_gram_length", 1);
    t->longest = cpu_attr_int(node, "max_gram_length", 1);
    t->skips = cpu_attr_int(node, "max_skip_count", 0);
    if (t->weighted && !t->inverse && !cpu_attr_is(node, "mode", "TFIDF"))
        return cpu_fail(host, PARTITA_BAD_MODEL, "mode is none of TF, IDF and TFIDF");
    if (t->shortest < 1 || t->longest < t->shortest || t->skips < 0)
        return cpu_fail(host, PARTITA_BAD_MODEL, "n-grams of %lld to %lld items, %lld skipped", (long long)t->shortest,
                        (long long)t->longest, (long long)t->skips);
    bool strings = cpu_input_dtype(node, 0) == PARTITA_STRING;
    list_of(node, strings ? "pool_strings" : "pool_int64s", strings ? PTP_ATTRIBUTE_STRINGS : PTP_ATTRIBUTE_INTS, &data,
            &t->pool);
    if (strings)
        t->texts = data;
    else
        t->numbers = data;
    list_of(node, "ngram_counts", PTP_ATTRIBUTE_INTS, &starts, &lengths);
    list_of(node, "ngram_indexes", PTP_ATTRIBUTE_INTS, &data, &t->indexes_count);
    t->indexes = data;
    if (list_of(node, "weights", PTP_ATTRIBUTE_FLOATS, &data, &weights) && weights != t->indexes_count)
        return cpu_fail(host, PARTITA_BAD_MODEL, "%u weights of %u n-grams", weights, t->indexes_count);
    t->weights = data;
    if (t->pool == 0) return cpu_fail(host, PARTITA_BAD_MODEL, "no pool of the input's type");
    partita_status status = items_make(t, host);
    return status == PARTITA_OK ? tree_make(t, host, starts, lengths) : status;
}

static void tf_idf_release(const ptp_host *host, void *state) {
    tf_idf *t = state;
    if (t == NULL) return;
    ml_table_free(host, &t->items);
    ml_table_free(host, &t->edges);
    cpu_free(host, t->grams);
    cpu_free(host, t);
}

static uint64_t tf_idf_items(const cpu_call *call) { return call->in[0].rank == 2 ? (uint64_t)call->in[0].dims[0] : 1; }

static void gram_count(const tf_idf *t, uint32_t gram, uint64_t columns, double *row) {
    int64_t column = t->indexes[gram];
    double weight = t->weighted && t->weights != NULL ? (double)t->weights[gram] : 1;
    if (column < 0 || (uint64_t)column >= columns) return;
    row[column] = t->inverse ? weight : row[column] + weight;
}

/* All n-grams that begin at item `start`, of at least `shortest` items that lie `step` apart. */
static void grams_from(const tf_idf *t, const uint64_t *items, uint64_t count, uint64_t start, uint64_t step,
                       int64_t shortest, uint64_t columns, double *row) {
    uint64_t node = 0;
    int64_t length = 1;
    for (uint64_t at = start; at < count && length <= t->longest; at += step, length++) {
        if (items[at] == UINT64_MAX) return;
        node = ml_table_number(&t->edges, edge_key(node, items[at]));
        if (node == UINT64_MAX) return;
        if (length >= shortest && t->grams[node] != 0) gram_count(t, t->grams[node] - 1, columns, row);
    }
}

static void row_count(const tf_idf *t, const uint64_t *items, uint64_t count, uint64_t columns, double *row) {
    int64_t shortest = t->shortest;
    for (uint64_t step = 1; step <= count && step <= (uint64_t)t->skips + 1; step++) {
        for (uint64_t start = 0; start < count; start++)
            grams_from(t, items, count, start, step, shortest, columns, row);
        /* Skips make no difference for single items: they count once. */
        if (shortest == 1 && ++shortest > t->longest) return;
    }
}

static partita_status tf_idf_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const tf_idf *t = call->state;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    uint64_t rows = tf_idf_items(call), count = rows > 0 ? in->count / rows : 0, columns;
    cpu_strings strings = {0};
    if (in->rank > 2 || out->rank < 1 || out->count != rows * (columns = (uint64_t)out->dims[out->rank - 1]))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the input must be [items] or [rows, items]");
    partita_status status = t->texts != NULL ? cpu_strings_of(call, in, &strings) : PARTITA_OK;
    if (status != PARTITA_OK || begin == end) return status;
    double *row = cpu_alloc(call->host, columns * sizeof(*row));
    uint64_t *items = cpu_alloc(call->host, (count + 1) * sizeof(*items));
    if (row == NULL || items == NULL) status = PARTITA_OUT_OF_MEMORY;
    for (uint64_t r = begin; status == PARTITA_OK && r < end; r++) {
        for (uint64_t i = 0; i < count; i++) {
            uint64_t at = r * count + i;
            items[i] = t->texts != NULL ? ml_table_string(&t->items, cpu_string_at(&strings, at))
                                        : ml_table_number(&t->items, cpu_index(in, at));
        }
        memset(row, 0, columns * sizeof(*row));
        row_count(t, items, count, columns, row);
        cpu_store_doubles(out->dtype, out->data, r * columns, columns, row);
    }
    cpu_free(call->host, items);
    cpu_free(call->host, row);
    return status;
}

const cpu_kernel cpu_kernels_tf_idf[] = {{.op = "TfIdfVectorizer",
                                          .domain = "",
                                          .since = 9,
                                          .until = CPU_NEWEST,
                                          .types = CPU_TYPE(STRING) | CPU_INDEX,
                                          .reference = true,
                                          .prepare = tf_idf_prepare,
                                          .release = tf_idf_release,
                                          .items = tf_idf_items,
                                          .run = tf_idf_run}};
const uint32_t cpu_kernels_tf_idf_count = sizeof(cpu_kernels_tf_idf) / sizeof(cpu_kernels_tf_idf[0]);
