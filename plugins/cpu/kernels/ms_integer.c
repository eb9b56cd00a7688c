/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of 8-bit integers of com.microsoft: MatMulIntegerToFloat, DynamicQuantizeMatMul, which makes its own bytes
 * of A, and QGemm. Exact sums in 32 bits, a row of the product at a time.
 */
#include "cpu/kernels/integer.h"
#include "cpu/kernels/matmul.h"

#define NONE UINT32_MAX

/* Inputs by what they are; NONE: the operator has none. */
typedef struct integer_state {
    uint32_t b, a_scale, b_scale, a_zero, b_zero, bias, y_scale, y_zero;
    bool dynamic, gemm, a_turned, b_turned;
    float alpha;
} integer_state;

static const integer_state to_float = {1, 2, 3, 4, 5, 6, NONE, NONE, false, false, false, false, 1};
static const integer_state dynamic = {1, NONE, 2, NONE, 3, 4, NONE, NONE, true, false, false, false, 1};
static const integer_state gemm = {3, 1, 4, 2, 5, 6, 7, 8, false, true, false, false, 1};

static partita_status integer_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    integer_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *state = ptp_str_is(op, "QGemm") ? gemm : ptp_str_is(op, "DynamicQuantizeMatMul") ? dynamic : to_float;
    state->a_turned = cpu_attr_int(node, "transA", 0) != 0;
    state->b_turned = cpu_attr_int(node, "transB", 0) != 0;
    state->alpha = cpu_attr_float(node, "alpha", 1);
    return PARTITA_OK;
}

static bool integer_claim(const cpu_node *node, ptp_answer *answer) {
    bool is_gemm = ptp_str_is(ptp_ref_str(node->block, node->row.op), "QGemm") != 0;
    partita_dtype b = cpu_input_dtype(node, is_gemm ? 3 : 1);
    if ((CPU_BYTES >> (b < 64 ? b : 63) & 1) == 0)
        return cpu_refuse(answer, PARTITA_REASON_DTYPE, "B is of %s", cpu_dtype_name(b));
    return true;
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
        if (n != 1 && n != p->n && n != p->n * matrices)
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

/* The scale of A is of all its elements, so items are few: each looks at all of A first. */
static uint64_t integer_items(const cpu_call *call) {
    cpu_product p;
    if (product_of(call, &p) != PARTITA_OK) return 1; /* `run` says why */
    uint64_t rows = p.batches * p.m, workers = call->workers;
    return rows < workers ? (rows > 0 ? rows : 1) : workers;
}

static uint64_t worker_ints(const cpu_product *p) { return (p->k + 2 * p->n + 15) / 16 * 16; }
static uint64_t integer_scratch(const cpu_call *call) {
    cpu_product p;
    return product_of(call, &p) != PARTITA_OK ? 0 : call->workers * worker_ints(&p) * sizeof(int32_t);
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

static void results_store(const cpu_call *call, const cpu_product *p, uint64_t row, uint64_t matrix, float a_scale,
                          const int32_t *sums) {
    const integer_state *state = call->state;
    const cpu_tensor *y = &call->out[0], *scales = &call->in[state->b_scale];
    bool added = has(call, state->bias);
    const cpu_tensor *bias = added ? &call->in[state->bias] : NULL;
    int64_t c_column = added && bias->rank > 0 && bias->dims[bias->rank - 1] != 1 ? 1 : 0;
    int64_t c_row = added && bias->rank > 1 && bias->dims[0] != 1 ? bias->dims[1] : 0;
    for (uint64_t j = 0; j < p->n; j++) {
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

static partita_status integer_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const integer_state *state = call->state;
    const cpu_tensor *a = &call->in[0];
    cpu_product p;
    float scale = 1;
    int32_t zero = 0;
    partita_status status = product_of(call, &p);
    if (status == PARTITA_OK) status = inputs_check(call, &p);
    uint64_t rows = p.batches * p.m, items = integer_items(call);
    if (status != PARTITA_OK || begin >= end || rows * p.n == 0) return status;
    if (state->dynamic) {
        cpu_dynamic_scale(a->data, a->count, &scale, &zero);
    } else {
        scale = cpu_scale_at(call, state->a_scale, 0);
        zero = cpu_zero_at(call, state->a_zero, 0);
    }
    int32_t *left = (int32_t *)call->scratch + worker * worker_ints(&p), *zeros = left + p.k, *sums = zeros + p.n;
    for (uint64_t row = rows * begin / items; row < rows * end / items; row++) {
        int64_t from_a, from_b;
        cpu_product_batch(&p, row / p.m, &from_a, &from_b);
        uint64_t matrix = p.k > 0 ? (uint64_t)from_b / (p.k * p.n) : 0;
        for (uint64_t j = 0; j < p.n; j++) {
            uint64_t n = has(call, state->b_zero) ? call->in[state->b_zero].count : 0;
            zeros[j] = n == 0 ? 0 : cpu_zero_at(call, state->b_zero, n > p.n ? matrix * p.n + j : j);
        }
        left_load(call, &p, from_a + (int64_t)(row % p.m) * p.a_row, scale, zero, left);
        cpu_byte_products(&call->in[state->b], (uint64_t)from_b, p.b_row, p.b_column, p.k, p.n, left, zeros, sums);
        results_store(call, &p, row, matrix, scale, sums);
    }
    return PARTITA_OK;
}

#define ROW(operator, kinds)                                                                                           \
    {                                                                                                                  \
        .op = operator, .domain = "com.microsoft", .since = 1, .until = CPU_NEWEST, .types = kinds, .reference = true, \
        .claim = integer_claim, .prepare = integer_prepare, .release = cpu_free, .scratch = integer_scratch,           \
        .items = integer_items, .run = integer_run                                                                     \
    }
const cpu_kernel cpu_kernels_ms_integer[] = {
    ROW("MatMulIntegerToFloat", CPU_BYTES),
    ROW("DynamicQuantizeMatMul", CPU_TYPE(FLOAT32)),
    ROW("QGemm", CPU_BYTES),
};
const uint32_t cpu_kernels_ms_integer_count = sizeof(cpu_kernels_ms_integer) / sizeof(cpu_kernels_ms_integer[0]);
