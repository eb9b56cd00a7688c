/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of 8-bit integers of com.microsoft: MatMulIntegerToFloat, DynamicQuantizeMatMul, which makes its own bytes
 * of A, and QGemm; and MatMulInteger and QLinearMatMul where A has one zero point. Exact sums in 32 bits: the reference
 * makes a row of the product at a time, the others a tile's rows from pairs.
 */
#include "cpu/kernels/matmul.h"
#include "cpu/kernels/pairs.h"

#define NONE UINT32_MAX

/* Inputs by what they are; NONE: the operator has none. */
typedef struct integer_state {
    uint32_t b, a_scale, b_scale, a_zero, b_zero, bias, y_scale, y_zero;
    bool dynamic, gemm, a_turned, b_turned;
    float alpha;
    const cpu_pairs *pairs; /* NULL: the reference */
    int32_t *packed;        /* a constant B; NULL when it is none, or more than one matrix */
} integer_state;

typedef struct form_row {
    const char *op;
    integer_state state;
} form_row;

static const form_row forms[] = {
    {"MatMulIntegerToFloat", {1, 2, 3, 4, 5, 6, NONE, NONE, .alpha = 1}},
    {"DynamicQuantizeMatMul", {1, NONE, 2, NONE, 3, 4, NONE, NONE, .dynamic = true, .alpha = 1}},
    {"QGemm", {3, 1, 4, 2, 5, 6, 7, 8, .gemm = true, .alpha = 1}},
    {"MatMulInteger", {1, NONE, NONE, 2, 3, NONE, NONE, NONE, .alpha = 1}},
    {"QLinearMatMul", {3, 1, 4, 2, 5, NONE, 6, 7, .alpha = 1}},
};

static const integer_state *form_of(const cpu_node *node) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (ptp_str_is(op, forms[i].op)) return &forms[i].state;
    return NULL;
}

static partita_status integer_reference_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    integer_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *state = *form_of(node);
    state->a_turned = cpu_attr_int(node, "transA", 0) != 0;
    state->b_turned = cpu_attr_int(node, "transB", 0) != 0;
    state->alpha = cpu_attr_float(node, "alpha", 1);
    return PARTITA_OK;
}

/* One matrix that doesn't change is packed here. */
static partita_status integer_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_status status = integer_reference_prepare(node, host, out_state);
    if (status != PARTITA_OK) return status;
    integer_state *state = *out_state;
    const cpu_tensor *b = &node->constants[state->b], *zero = NULL;
    ptp_value_row row;
    state->pairs = cpu_pairs_of(node->level);
    if (state->b_zero < node->row.inputs.count && cpu_node_input(node, state->b_zero, &row)) {
        zero = &node->constants[state->b_zero];
        if (zero->kind == PARTITA_KIND_NONE) return PARTITA_OK;
    }
    if (b->kind == PARTITA_KIND_NONE || b->rank != 2 || b->count == 0) return PARTITA_OK;
    uint64_t k = (uint64_t)b->dims[state->b_turned], n = (uint64_t)b->dims[!state->b_turned];
    if (zero != NULL && zero->count != 1 && zero->count != n) return PARTITA_OK;
    int32_t *zeros = cpu_alloc(host, n * sizeof(*zeros));
    state->packed = cpu_alloc(host, cpu_pairs_packed(state->pairs, k, n) * sizeof(int32_t));
    if (zeros != NULL && state->packed != NULL) {
        for (uint64_t j = 0; j < n; j++) zeros[j] = zero == NULL ? 0 : cpu_byte_at(zero, zero->count == 1 ? 0 : j);
        cpu_pairs_pack(state->pairs, b, 0, state->b_turned ? 1 : (int64_t)n, state->b_turned ? (int64_t)k : 1, k, n,
                       zeros, state->packed);
    }
    status = zeros != NULL && state->packed != NULL ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
    cpu_free(host, zeros);
    return status;
}

static void integer_release(const ptp_host *host, void *memory) {
    integer_state *state = memory;
    if (state != NULL) cpu_free(host, state->packed);
    cpu_free(host, state);
}

static bool integer_claim(const cpu_node *node, ptp_answer *answer) {
    partita_dtype b = cpu_input_dtype(node, form_of(node)->b);
    if ((CPU_BYTES >> (b < 64 ? b : 63) & 1) == 0)
        return cpu_refuse(answer, PARTITA_REASON_DTYPE, "B is of %s", cpu_dtype_name(b));
    return true;
}

/* Lists for rows are another kernel's. */
static bool single_claim(const cpu_node *node, ptp_answer *answer) {
    const integer_state *form = form_of(node);
    const uint32_t ones[] = {form->a_scale, form->a_zero, form->y_scale, form->y_zero};
    ptp_value_row value;
    for (uint32_t i = 0; i < 4; i++) {
        if (ones[i] >= node->row.inputs.count || !cpu_node_input(node, ones[i], &value)) continue;
        const int64_t *dims = ptp_ref_data(node->block, value.dims);
        bool single = value.rank == 0 || (value.rank == 1 && dims[0] == 1);
        if (!single || (i % 2 == 0 && value.dtype != PARTITA_FLOAT32))
            return cpu_refuse(answer, PARTITA_REASON_RANK, "input %u is not one number", ones[i]);
    }
    bool bytes = cpu_output_dtype(node, 0) == PARTITA_INT32 || (CPU_BYTES >> cpu_output_dtype(node, 0) & 1) != 0;
    if (!bytes) return cpu_refuse(answer, PARTITA_REASON_DTYPE, "Y is no 8-bit integer");
    return integer_claim(node, answer);
}

static bool has(const cpu_call *call, uint32_t input) { return input != NONE && cpu_has_input(call, input); }

static partita_status product_of(const cpu_call *call, cpu_product *p) {
    const integer_state *state = call->state;
    const cpu_tensor *a = &call->in[0], *b = &call->in[state->b];
    if (!state->gemm) return cpu_product_matmul(call, a, b, p);
    if (a->rank != 2 || b->rank != 2) return cpu_fail(call->host, PARTITA_BAD_INPUT, "an operand is no matrix");
    *p = (cpu_product){.batches = 1,
                       .m = (uint64_t)a->dims[state->a_turned],
                       .k = (uint64_t)a->dims[!state->a_turned],
                       .n = (uint64_t)b->dims[!state->b_turned]};
    p->a_row = state->a_turned ? 1 : a->dims[1];
    p->a_column = state->a_turned ? a->dims[1] : 1;
    p->b_row = state->b_turned ? 1 : b->dims[1];
    p->b_column = state->b_turned ? b->dims[1] : 1;
    if ((uint64_t)b->dims[state->b_turned] == p->k) return PARTITA_OK;
    return cpu_fail(call->host, PARTITA_BAD_INPUT, "inner dims differ");
}

static partita_status inputs_check(const cpu_call *call, const cpu_product *p) {
    const integer_state *state = call->state;
    const uint32_t lists[] = {state->b_scale, state->b_zero}, ones[] = {state->a_zero, state->y_scale, state->y_zero};
    uint64_t matrices = call->in[state->b].count / (p->k * p->n > 0 ? p->k * p->n : 1);
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t n = has(call, lists[i]) ? call->in[lists[i]].count : 1;
        if (n != 1 && n != p->n && (n == 0 || n != p->n * matrices))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has %llu entries for %llu columns", lists[i],
                            (unsigned long long)n, (unsigned long long)p->n);
    }
    for (uint32_t i = 0; i < 3; i++)
        if (has(call, ones[i]) && call->in[ones[i]].count != 1)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u is more than one number", ones[i]);
    if (has(call, state->a_scale) && call->in[state->a_scale].count != 1)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the scale of A is more than one number");
    if (has(call, state->bias) && !state->gemm && call->in[state->bias].count != p->n)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the bias has not one element per column");
    if (has(call, state->bias) && state->gemm) {
        const cpu_tensor *c = &call->in[state->bias];
        int64_t rows = c->rank > 1 ? c->dims[c->rank - 2] : 1, columns = c->rank > 0 ? c->dims[c->rank - 1] : 1;
        if (c->rank > 2 || (c->dtype != PARTITA_INT32 && c->dtype != PARTITA_FLOAT32) ||
            (rows != 1 && (uint64_t)rows != p->m) || (columns != 1 && (uint64_t)columns != p->n))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "C cannot be broadcast");
    }
    if (call->out[0].count != p->batches * p->m * p->n)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than the product");
    return PARTITA_OK;
}

/* The scale of A is of all its elements, so items are few: each looks at all of A first. Few rows share out columns. */
static uint64_t integer_items(const cpu_call *call) {
    const integer_state *state = call->state;
    cpu_product p;
    if (product_of(call, &p) != PARTITA_OK) return 1; /* `run` says why */
    uint64_t rows = p.batches * p.m, workers = call->workers;
    if (rows >= workers) return workers;
    if (state->packed == NULL) return rows > 0 ? rows : 1;
    uint64_t panels = cpu_blocks(p.n, state->pairs->columns);
    return panels < workers ? (panels > 0 ? panels : 1) : workers;
}

/* Pairs pay where B is packed already, or many rows read it. */
#define MANY_ROWS 8
static bool by_pairs(const integer_state *state, const cpu_product *p, uint64_t workers) {
    return state->pairs != NULL && (state->packed != NULL || p->m >= MANY_ROWS * workers);
}

/* Of a worker: A's elements and pairs, sums, zero points of B, and a B that is packed here. */
static uint64_t worker_ints(const integer_state *state, const cpu_product *p, uint64_t workers) {
    uint64_t rows = by_pairs(state, p, workers) ? state->pairs->rows : 0;
    uint64_t packed = rows > 0 && state->packed == NULL ? cpu_pairs_packed(state->pairs, p->k, p->n) : 0;
    return (p->k + 1 + 2 * p->n + rows * (cpu_pairs_count(p->k) + p->n) + packed + 15) / 16 * 16;
}

static uint64_t integer_scratch(const cpu_call *call) {
    cpu_product p;
    if (product_of(call, &p) != PARTITA_OK) return 0;
    return call->workers * worker_ints(call->state, &p, call->workers) * sizeof(int32_t);
}

/* A row of A without its zero point. */
static void left_load(const cpu_call *call, const cpu_product *p, int64_t first, float scale, int32_t zero,
                      int32_t *left) {
    const integer_state *state = call->state;
    const cpu_tensor *a = &call->in[0];
    for (uint64_t k = 0; k < p->k; k++) {
        uint64_t at = (uint64_t)(first + (int64_t)k * p->a_column);
        if (state->dynamic)
            left[k] = cpu_dynamic_quantised(((const float *)a->data)[at], scale, zero) - zero;
        else
            left[k] = cpu_byte_at(a, at) - zero;
    }
}

/* Columns [first, last) of a row. */
static void results_store(const cpu_call *call, const cpu_product *p, uint64_t row, uint64_t first, uint64_t last,
                          uint64_t matrix, float a_scale, const int32_t *sums) {
    const integer_state *state = call->state;
    if (state->b_scale == NONE) {
        memcpy((int32_t *)call->out[0].data + row * p->n + first, sums + first, (last - first) * sizeof(int32_t));
        return;
    }
    const cpu_tensor *y = &call->out[0], *scales = &call->in[state->b_scale];
    bool added = has(call, state->bias);
    const cpu_tensor *bias = added ? &call->in[state->bias] : NULL;
    int64_t c_column = added && bias->rank > 0 && bias->dims[bias->rank - 1] != 1 ? 1 : 0;
    int64_t c_row = added && bias->rank > 1 && bias->dims[0] != 1 ? bias->dims[1] : 0;
    for (uint64_t j = first; j < last; j++) {
        uint64_t at = scales->count > p->n ? matrix * p->n + j : j;
        float factor = state->alpha * a_scale * cpu_scale_at(call, state->b_scale, at);
        int32_t sum = sums[j];
        if (added && state->gemm)
            sum += cpu_bias_at(bias, (uint64_t)((int64_t)(row % p->m) * c_row + (int64_t)j * c_column),
                               a_scale * cpu_scale_at(call, state->b_scale, at));
        if (has(call, state->y_scale)) {
            cpu_requantise(y, row * p->n + j, sum, factor / cpu_scale_at(call, state->y_scale, 0),
                           cpu_zero_at(call, state->y_zero, 0));
            continue;
        }
        float value = (float)sum * factor;
        if (added && !state->gemm) value += ((const float *)bias->data)[j];
        ((float *)y->data)[row * p->n + j] = value;
    }
}

/* What rows of one matrix of A and all of one of B share. */
typedef struct products {
    const cpu_call *call;
    const cpu_product *p;
    float scale;
    int32_t zero, *left, *zeros, *sums, *a, *packed;
    uint64_t from_b; /* of the B that `zeros` and `packed` are of */
} products;

static void matrix_load(products *w, uint64_t from_b, bool pairs) {
    const integer_state *state = w->call->state;
    const cpu_product *p = w->p;
    uint64_t matrix = p->k * p->n > 0 ? from_b / (p->k * p->n) : 0;
    uint64_t n = has(w->call, state->b_zero) ? w->call->in[state->b_zero].count : 0;
    if (w->from_b == from_b) return;
    w->from_b = from_b;
    for (uint64_t j = 0; j < p->n; j++)
        w->zeros[j] = n == 0 ? 0 : cpu_zero_at(w->call, state->b_zero, n > p->n ? matrix * p->n + j : j);
    if (pairs && state->packed == NULL)
        cpu_pairs_pack(state->pairs, &w->call->in[state->b], from_b, p->b_row, p->b_column, p->k, p->n, w->zeros,
                       w->packed);
}

/* Rows [begin, end) of the product, which lie in one batch, columns [first, last). */
static void rows_run(products *w, uint64_t begin, uint64_t end, uint64_t first, uint64_t last) {
    const integer_state *state = w->call->state;
    const cpu_product *p = w->p;
    int64_t from_a, from_b;
    bool pairs = by_pairs(state, p, w->call->workers);
    cpu_product_batch(p, begin / p->m, &from_a, &from_b);
    uint64_t matrix = p->k * p->n > 0 ? (uint64_t)from_b / (p->k * p->n) : 0;
    matrix_load(w, (uint64_t)from_b, pairs);
    for (uint64_t row = begin; row < end; row++) {
        left_load(w->call, p, from_a + (int64_t)(row % p->m) * p->a_row, w->scale, w->zero, w->left);
        if (pairs) {
            cpu_pairs_row(state->pairs, w->left, p->k, (uint32_t)(row - begin), w->a);
            continue;
        }
        cpu_byte_products(&w->call->in[state->b], (uint64_t)from_b, p->b_row, p->b_column, p->k, p->n, w->left,
                          w->zeros, w->sums);
        results_store(w->call, p, row, first, last, matrix, w->scale, w->sums);
    }
    if (!pairs) return;
    const int32_t *b = state->packed != NULL ? state->packed : w->packed;
    cpu_pairs_rows(state->pairs, p->k, last - first, w->a, b + first * cpu_pairs_count(p->k), (uint32_t)(end - begin),
                   w->sums + first, p->n);
    for (uint64_t row = begin; row < end; row++)
        results_store(w->call, p, row, first, last, matrix, w->scale, w->sums + (row - begin) * p->n);
}

static partita_status integer_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const integer_state *state = call->state;
    cpu_product p;
    products w = {.call = call, .p = &p, .scale = 1, .from_b = UINT64_MAX};
    partita_status status = product_of(call, &p);
    if (status == PARTITA_OK) status = inputs_check(call, &p);
    uint64_t rows = p.batches * p.m, items = integer_items(call), first_row = 0, last_row = rows, first = 0, last = p.n;
    if (status != PARTITA_OK || begin >= end || rows * p.n == 0) return status;
    if (state->dynamic) {
        cpu_dynamic_scale(call->in[0].data, call->in[0].count, &w.scale, &w.zero);
    } else {
        w.scale = has(call, state->a_scale) ? cpu_scale_at(call, state->a_scale, 0) : 1;
        w.zero = has(call, state->a_zero) ? cpu_zero_at(call, state->a_zero, 0) : 0;
    }
    bool pairs = by_pairs(state, &p, call->workers);
    uint64_t tile = pairs ? state->pairs->rows : 1;
    w.left = (int32_t *)call->scratch + worker * worker_ints(state, &p, call->workers);
    w.zeros = w.left + p.k + 1;
    w.sums = w.zeros + p.n;
    w.a = w.sums + (pairs ? tile : 1) * p.n;
    w.packed = w.a + tile * cpu_pairs_count(p.k);
    if (rows >= call->workers || state->packed == NULL) {
        first_row = rows * begin / items;
        last_row = rows * end / items;
    } else {
        uint64_t columns = state->pairs->columns, panels = cpu_blocks(p.n, columns);
        first = panels * begin / items * columns;
        last = panels * end / items * columns;
        if (last > p.n) last = p.n;
    }
    for (uint64_t row = first_row, stop; row < last_row && first < last; row = stop) {
        stop = row + tile < last_row ? row + tile : last_row;
        uint64_t batch_end = (row / p.m + 1) * p.m;
        if (stop > batch_end) stop = batch_end;
        rows_run(&w, row, stop, first, last);
    }
    return PARTITA_OK;
}

#define ROW(operator, group, kinds, is_reference, claims, prepares)                                                    \
    {                                                                                                                  \
        .op = operator, .domain = group, .since = 1, .until = CPU_NEWEST, .types = kinds, .reference = is_reference,   \
        .claim = claims, .prepare = prepares, .release = integer_release, .scratch = integer_scratch,                  \
        .items = integer_items, .run = integer_run                                                                     \
    }
#define ROWS(operator, kinds)                                                                                          \
    ROW(operator, "com.microsoft", kinds, true, integer_claim, integer_reference_prepare),                             \
        ROW(operator, "com.microsoft", kinds, false, integer_claim, integer_prepare)
const cpu_kernel cpu_kernels_ms_integer[] = {
    ROWS("MatMulIntegerToFloat", CPU_BYTES),
    ROWS("DynamicQuantizeMatMul", CPU_TYPE(FLOAT32)),
    ROWS("QGemm", CPU_BYTES),
    ROW("MatMulInteger", "", CPU_BYTES, false, single_claim, integer_prepare),
    ROW("QLinearMatMul", "", CPU_BYTES, false, single_claim, integer_prepare),
};
const uint32_t cpu_kernels_ms_integer_count = sizeof(cpu_kernels_ms_integer) / sizeof(cpu_kernels_ms_integer[0]);
