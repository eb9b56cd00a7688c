/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalisations of com.microsoft that add before they normalise: a skip connection, a bias, or embeddings that are
 * looked up. A row at a time in double, rounded once.
 */
#include "cpu/kernels/reference.h"

#define MS_NONE UINT32_MAX

/* Where a node's inputs and outputs lie; MS_NONE: it has none of these. */
typedef struct norm_ports {
    const char *op;
    bool centred, embeds;
    uint32_t skip, gamma, beta, bias; /* inputs */
    uint32_t mean, deviation, sum;    /* outputs */
} norm_ports;

static const norm_ports ports_of[] = {
    {"SkipLayerNormalization", true, false, 1, 2, 3, 4, 1, 2, 3},
    {"SkipSimplifiedLayerNormalization", false, false, 1, 2, MS_NONE, 3, 1, 2, 3},
    {"SimplifiedLayerNormalization", false, false, MS_NONE, 1, MS_NONE, MS_NONE, MS_NONE, 1, MS_NONE},
    {"EmbedLayerNormalization", true, true, MS_NONE, 5, 6, MS_NONE, MS_NONE, MS_NONE, 2},
    {"QEmbedLayerNormalization", true, true, MS_NONE, 5, 6, MS_NONE, MS_NONE, MS_NONE, MS_NONE},
};

typedef struct norm_state {
    const norm_ports *ports;
    float epsilon;
    int64_t axis;
} norm_state;

static partita_status norm_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    norm_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    for (size_t i = 0; i < sizeof(ports_of) / sizeof(ports_of[0]); i++)
        if (ptp_str_is(op, ports_of[i].op)) state->ports = &ports_of[i];
    bool standard = state->ports->skip == MS_NONE && !state->ports->embeds;
    state->epsilon = cpu_attr_float(node, "epsilon", standard ? 1e-5f : 1e-12f);
    state->axis = cpu_attr_int(node, "axis", -1);
    return PARTITA_OK;
}

static bool has_in(const cpu_call *call, uint32_t index) { return index != MS_NONE && cpu_has_input(call, index); }
static bool has_out(const cpu_call *call, uint32_t index) { return index != MS_NONE && cpu_has_output(call, index); }

static uint64_t row_size(const cpu_call *call) {
    const norm_state *state = call->state;
    const cpu_tensor *y = &call->out[0];
    int64_t axis = state->axis < 0 ? state->axis + y->rank : state->axis;
    if (axis < 0 || axis >= y->rank) return 0; /* `run` says why */
    return cpu_extent(y->dims, (uint32_t)axis, y->rank);
}

/* Rows that an item takes, so that an item is worth handing out. */
static uint64_t rows_each(uint64_t size) { return size >= 4096 ? 1 : 4096 / (size > 0 ? size : 1); }

static uint64_t norm_items(const cpu_call *call) {
    uint64_t size = row_size(call), rows = size > 0 ? call->out[0].count / size : 0;
    return rows > 0 ? (rows + rows_each(size) - 1) / rows_each(size) : 1;
}

static uint64_t worker_doubles(const cpu_call *call) { return (4 * row_size(call) + 7) / 8 * 8; }
static uint64_t norm_scratch(const cpu_call *call) { return call->workers * worker_doubles(call) * sizeof(double); }

/* Adds `count` elements from `first` on to the row. */
static void row_add(const cpu_call *call, uint32_t input, uint64_t first, uint64_t count, double *row, double *room) {
    const cpu_tensor *t = &call->in[input];
    cpu_load_doubles(t->dtype, t->data, first, count, room);
    for (uint64_t i = 0; i < count; i++) row[i] += room[i];
}

static double first_of(const cpu_tensor *t) {
    double value;
    cpu_load_doubles(t->dtype, t->data, 0, 1, &value);
    return value;
}

/* Elements of a table or of gamma and beta; of QEmbedLayerNormalization they are bytes with a scale and a zero point
 * in inputs 8 and 13 on, in the tables' order. */
static void quantised_load(const cpu_call *call, uint32_t input, uint64_t first, uint64_t count, double *to) {
    const cpu_tensor *t = &call->in[input];
    cpu_load_doubles(t->dtype, t->data, first, count, to);
    if (call->in_count <= 9) return;
    double scale = first_of(&call->in[6 + input]), zero = first_of(&call->in[11 + input]);
    for (uint64_t i = 0; i < count; i++) to[i] = (to[i] - zero) * scale;
}

/* ---- embeddings ------------------------------------------------------------------------------ */

static partita_status lookup_check(const cpu_call *call, uint32_t table, int64_t at, uint64_t size) {
    const cpu_tensor *t = &call->in[table];
    if (t->rank != 2 || (uint64_t)t->dims[1] != size)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the table of input %u has not %llu columns", table,
                        (unsigned long long)size);
    if (at < 0 || at >= t->dims[0])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "row %lld of input %u, which has %lld", (long long)at, table,
                        (long long)t->dims[0]);
    return PARTITA_OK;
}

static partita_status embedded(const cpu_call *call, uint64_t row, uint64_t size, double *x, double *room) {
    const cpu_tensor *words = &call->in[0];
    int64_t length = words->dims[1], place = (int64_t)row % length;
    bool quantised = call->in_count > 9, segments = cpu_has_input(call, 1) && cpu_has_input(call, 4);
    if (!quantised && cpu_has_input(call, 8)) {
        bool shared = call->in[8].count == (uint64_t)length;
        if (!shared && call->in[8].count != words->count)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "position_ids do not fit the words");
        place = cpu_index(&call->in[8], shared ? row % (uint64_t)length : row);
    }
    const int64_t at[3] = {cpu_index(words, row), place, segments ? cpu_index(&call->in[1], row) : 0};
    for (uint64_t i = 0; i < size; i++) x[i] = 0;
    for (uint32_t t = 0; t < (segments ? 3u : 2u); t++) {
        partita_status status = lookup_check(call, 2 + t, at[t], size);
        if (status != PARTITA_OK) return status;
        quantised_load(call, 2 + t, (uint64_t)at[t] * size, size, room);
        for (uint64_t i = 0; i < size; i++) x[i] += room[i];
    }
    return PARTITA_OK;
}

/* Words of each text: how many of its mask are not 0. Without a mask 0. */
static partita_status mask_count(const cpu_call *call) {
    const cpu_tensor *words = &call->in[0];
    if (!cpu_has_output(call, 1)) return PARTITA_OK;
    int64_t dims[1] = {words->dims[0]};
    partita_status status = cpu_expect(call, 1, 1, dims);
    if (status == PARTITA_OK && cpu_has_input(call, 7) && call->in[7].count != words->count)
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "the mask does not fit the words");
    for (int64_t b = 0; status == PARTITA_OK && b < words->dims[0]; b++) {
        int32_t count = 0;
        for (int64_t i = 0; cpu_has_input(call, 7) && i < words->dims[1]; i++)
            count += cpu_index(&call->in[7], (uint64_t)(b * words->dims[1] + i)) == 1;
        ((int32_t *)call->out[1].data)[b] = count;
    }
    return status;
}

/* Scales and zero points of QEmbedLayerNormalization: one number for each table that is there. */
static partita_status codes_check(const cpu_call *call) {
    for (uint32_t i = 8; call->in_count > 9 && i < 18; i++) {
        bool needed = cpu_has_input(call, i < 13 ? i - 6 : i - 11);
        uint64_t count = i < call->in_count && cpu_has_input(call, i) ? call->in[i].count : 0;
        if (needed && count != 1)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has %llu numbers instead of 1", i,
                            (unsigned long long)count);
    }
    return PARTITA_OK;
}

static partita_status embeds_check(const cpu_call *call) {
    const cpu_tensor *words = &call->in[0], *y = &call->out[0];
    partita_status status = codes_check(call);
    if (status != PARTITA_OK) return status;
    if (words->rank != 2 || y->rank != 3 || y->dims[0] != words->dims[0] || y->dims[1] != words->dims[1])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the words are no matrix that fits the output");
    if (cpu_has_input(call, 1) && call->in[1].count != words->count)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "segment_ids do not fit the words");
    return PARTITA_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static partita_status shapes_check(const cpu_call *call, uint64_t size) {
    const norm_state *state = call->state;
    const norm_ports *p = state->ports;
    const uint32_t vectors[] = {p->gamma, p->beta, p->bias};
    if (size == 0 && call->out[0].count > 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "axis %lld of rank %u", (long long)state->axis,
                        call->out[0].rank);
    for (uint32_t i = 0; i < 3; i++)
        if (has_in(call, vectors[i]) && call->in[vectors[i]].count != size)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has %llu elements for rows of %llu", vectors[i],
                            (unsigned long long)call->in[vectors[i]].count, (unsigned long long)size);
    if (has_in(call, p->skip) && (call->in[p->skip].count == 0 || call->in[0].count % call->in[p->skip].count != 0 ||
                                  call->in[p->skip].count % (size > 0 ? size : 1) != 0))
        return call->in[0].count == 0 ? PARTITA_OK
                                      : cpu_fail(call->host, PARTITA_BAD_INPUT, "skip does not fit the input");
    if (has_out(call, p->sum) && call->out[p->sum].count != call->out[0].count)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the sum has another shape than the output");
    return p->embeds ? embeds_check(call) : cpu_expect_like(call, 0, &call->in[0]);
}

static partita_status row_load(const cpu_call *call, uint64_t row, uint64_t size, double *x, double *room) {
    const norm_ports *p = ((const norm_state *)call->state)->ports;
    if (p->embeds) return embedded(call, row, size, x, room);
    cpu_load_doubles(call->in[0].dtype, call->in[0].data, row * size, size, x);
    if (has_in(call, p->skip)) row_add(call, p->skip, row * size % call->in[p->skip].count, size, x, room);
    if (has_in(call, p->bias)) row_add(call, p->bias, 0, size, x, room);
    return PARTITA_OK;
}

static void row_normalise(const cpu_call *call, uint64_t row, uint64_t size, double *x, const double *gamma,
                          const double *beta) {
    const norm_state *state = call->state;
    const norm_ports *p = state->ports;
    double mean = 0, squares = 0;
    if (has_out(call, p->sum)) cpu_store_doubles(call->out[p->sum].dtype, call->out[p->sum].data, row * size, size, x);
    for (uint64_t i = 0; p->centred && i < size; i++) mean += x[i];
    mean /= (double)size;
    for (uint64_t i = 0; i < size; i++) squares += (x[i] - mean) * (x[i] - mean);
    double inverse = 1 / sqrt(squares / (double)size + (double)state->epsilon);
    for (uint64_t i = 0; i < size; i++) x[i] = (x[i] - mean) * inverse * gamma[i] + beta[i];
    cpu_store_doubles(call->out[0].dtype, call->out[0].data, row * size, size, x);
    if (has_out(call, p->mean)) cpu_store_doubles(call->out[p->mean].dtype, call->out[p->mean].data, row, 1, &mean);
    if (has_out(call, p->deviation))
        cpu_store_doubles(call->out[p->deviation].dtype, call->out[p->deviation].data, row, 1, &inverse);
}

static partita_status norm_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const norm_ports *p = ((const norm_state *)call->state)->ports;
    uint64_t size = row_size(call), rows = size > 0 ? call->out[0].count / size : 0, each = rows_each(size);
    partita_status status = shapes_check(call, size);
    if (status == PARTITA_OK && p->embeds && begin == 0) status = mask_count(call);
    if (status != PARTITA_OK) return status;
    double *x = (double *)call->scratch + worker * worker_doubles(call), *room = x + size, *gamma = room + size;
    double *beta = gamma + size;
    for (uint64_t i = 0; i < size; i++) gamma[i] = 1, beta[i] = 0;
    if (has_in(call, p->gamma)) quantised_load(call, p->gamma, 0, size, gamma);
    if (has_in(call, p->beta)) quantised_load(call, p->beta, 0, size, beta);
    uint64_t last = end * each < rows ? end * each : rows;
    for (uint64_t row = begin * each; row < last; row++) {
        status = row_load(call, row, size, x, room);
        if (status != PARTITA_OK) return status;
        row_normalise(call, row, size, x, gamma, beta);
    }
    return PARTITA_OK;
}

#define ROW(operator, group, kinds, by)                                                                                \
    {                                                                                                                  \
        .op = operator, .domain = group, .since = 1, .until = CPU_NEWEST, .types = kinds, .type_input = by,            \
        .reference = true, .prepare = norm_prepare, .release = cpu_free, .scratch = norm_scratch, .items = norm_items, \
        .run = norm_run                                                                                                \
    }
const cpu_kernel cpu_kernels_ms_norm[] = {
    ROW("SkipLayerNormalization", "com.microsoft", CPU_FLOATS, 0),
    ROW("SkipSimplifiedLayerNormalization", "com.microsoft", CPU_FLOATS, 0),
    ROW("SimplifiedLayerNormalization", "", CPU_FLOATS, 0),
    ROW("EmbedLayerNormalization", "com.microsoft", CPU_FLOATS, 2),
    ROW("QEmbedLayerNormalization", "com.microsoft", CPU_TYPE(INT8) | CPU_TYPE(UINT8), 2),
};
const uint32_t cpu_kernels_ms_norm_count = sizeof(cpu_kernels_ms_norm) / sizeof(cpu_kernels_ms_norm[0]);
