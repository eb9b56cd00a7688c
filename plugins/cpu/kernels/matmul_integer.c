/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MatMulInteger and QLinearMatMul: exact sums in 32 bits, one row of the product at a time.
 */
#include "cpu/kernels/integer.h"
#include "cpu/kernels/matmul.h"

typedef struct operands {
    const cpu_tensor *a, *b;
    uint32_t a_zero, b_zero; /* inputs */
    bool quantised;
} operands;

static operands operands_of(const cpu_call *call) {
    bool quantised = call->in_count >= 8;
    return (operands){.a = &call->in[0],
                      .b = &call->in[quantised ? 3 : 1],
                      .a_zero = 2,
                      .b_zero = quantised ? 5 : 3,
                      .quantised = quantised};
}

/* A list counts rows of A, columns of B, or those of every matrix of the batch. */
static uint64_t list_index(const cpu_tensor *t, uint64_t each, uint64_t matrix, uint64_t i) {
    return t->count == each ? i : matrix * each + i;
}

static int32_t a_zero(const cpu_call *call, const operands *o, const cpu_product *p, uint64_t matrix, uint64_t row) {
    if (!cpu_has_input(call, o->a_zero)) return 0;
    return cpu_zero_at(call, o->a_zero, list_index(&call->in[o->a_zero], p->m, matrix, row));
}

static partita_status lists_check(const cpu_call *call, const operands *o, const cpu_product *p) {
    uint32_t of_rows[] = {o->a_zero, 1, 6, 7}, of_columns[] = {o->b_zero, 4};
    /* Matrices without elements are not counted: a list is for each of them alike then. */
    uint64_t a_matrices = p->k > 0 ? o->a->count / (p->m * p->k) : 1;
    uint64_t b_matrices = p->k > 0 ? o->b->count / (p->k * p->n) : 1;
    for (uint32_t i = 0; i < (o->quantised ? 4u : 1u); i++) {
        uint64_t n = cpu_has_input(call, of_rows[i]) ? call->in[of_rows[i]].count : 1;
        if (n != 1 && n != p->m && n != p->m * a_matrices)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has %llu entries for %llu rows", of_rows[i],
                            (unsigned long long)n, (unsigned long long)p->m);
    }
    for (uint32_t i = 0; i < (o->quantised ? 2u : 1u); i++) {
        uint64_t n = cpu_has_input(call, of_columns[i]) ? call->in[of_columns[i]].count : 1;
        if (n != 1 && n != p->n && n != p->n * b_matrices)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has %llu entries for %llu columns", of_columns[i],
                            (unsigned long long)n, (unsigned long long)p->n);
    }
    return PARTITA_OK;
}

static uint64_t integer_items(const cpu_call *call) {
    operands o = operands_of(call);
    cpu_product p;
    if (cpu_product_matmul(call, o.a, o.b, &p) != PARTITA_OK) return 1; /* `run` says why */
    return p.batches * p.m;
}

/* Per worker the sums of a row and the zero points of B's columns. */
static uint64_t row_ints(const cpu_product *p) { return (2 * p->n + 15) / 16 * 16; }

static uint64_t integer_scratch(const cpu_call *call) {
    operands o = operands_of(call);
    cpu_product p;
    if (cpu_product_matmul(call, o.a, o.b, &p) != PARTITA_OK) return 0;
    return call->workers * row_ints(&p) * sizeof(int32_t);
}

static void row_sums(const cpu_product *p, const operands *o, int64_t from_a, int64_t from_b, int32_t zero,
                     const int32_t *b_zeros, int32_t *sums) {
    memset(sums, 0, p->n * sizeof(int32_t));
    for (uint64_t k = 0; k < p->k; k++) {
        int32_t left = cpu_byte_at(o->a, (uint64_t)from_a + k) - zero;
        uint64_t row = (uint64_t)from_b + k * p->n;
        if (o->b->dtype == PARTITA_INT8) {
            const int8_t *b = (const int8_t *)o->b->data + row;
            for (uint64_t j = 0; j < p->n; j++) sums[j] += left * (b[j] - b_zeros[j]);
        } else {
            const uint8_t *b = (const uint8_t *)o->b->data + row;
            for (uint64_t j = 0; j < p->n; j++) sums[j] += left * (b[j] - b_zeros[j]);
        }
    }
}

static partita_status integer_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    operands o = operands_of(call);
    cpu_product p;
    partita_status status = cpu_product_matmul(call, o.a, o.b, &p);
    if (status != PARTITA_OK || begin >= end || p.m * p.n == 0) return status;
    status = lists_check(call, &o, &p);
    if (status != PARTITA_OK) return status;
    int32_t *sums = (int32_t *)call->scratch + worker * row_ints(&p), *zeros = sums + p.n;
    uint64_t a_each = p.m * p.k > 0 ? p.m * p.k : 1, b_each = p.k * p.n > 0 ? p.k * p.n : 1;
    for (uint64_t item = begin; item < end; item++) {
        uint64_t batch = item / p.m, row = item % p.m;
        int64_t from_a, from_b;
        cpu_product_batch(&p, batch, &from_a, &from_b);
        uint64_t a_matrix = (uint64_t)from_a / a_each, b_matrix = (uint64_t)from_b / b_each;
        for (uint64_t j = 0; j < p.n; j++)
            zeros[j] = cpu_has_input(call, o.b_zero)
                           ? cpu_zero_at(call, o.b_zero, list_index(&call->in[o.b_zero], p.n, b_matrix, j))
                           : 0;
        row_sums(&p, &o, from_a + (int64_t)(row * p.k), from_b, a_zero(call, &o, &p, a_matrix, row), zeros, sums);
        if (!o.quantised) {
            memcpy((int32_t *)call->out[0].data + item * p.n, sums, p.n * sizeof(int32_t));
            continue;
        }
        float left = cpu_scale_at(call, 1, list_index(&call->in[1], p.m, a_matrix, row));
        float target = cpu_scale_at(call, 6, list_index(&call->in[6], p.m, a_matrix, row));
        int32_t zero = cpu_zero_at(call, 7, list_index(&call->in[7], p.m, a_matrix, row));
        for (uint64_t j = 0; j < p.n; j++) {
            float right = cpu_scale_at(call, 4, list_index(&call->in[4], p.n, b_matrix, j));
            cpu_requantise(&call->out[0], item * p.n + j, sums[j], left * right / target, zero);
        }
    }
    return PARTITA_OK;
}

/* Floats of 8 bits are another kernel's. */
static bool bytes_claim(const cpu_node *node, ptp_answer *answer) {
    bool bytes = (CPU_BYTES >> cpu_input_dtype(node, 3) & 1) != 0 && (CPU_BYTES >> cpu_output_dtype(node, 0) & 1) != 0;
    return bytes || cpu_refuse(answer, PARTITA_REASON_DTYPE, "B or Y are no 8-bit integers");
}

#define PRODUCTS(name, type)                                                                                           \
    static void name(const type *b, int64_t row, int64_t column, uint64_t k, uint64_t n, const int32_t *left,          \
                     const int32_t *zeros, int32_t *sums) {                                                            \
        for (uint64_t p = 0; p < k && column == 1; p++)                                                                \
            for (uint64_t j = 0; j < n; j++) sums[j] += left[p] * (b[(int64_t)p * row + (int64_t)j] - zeros[j]);       \
        for (uint64_t j = 0; j < n && column != 1; j++)                                                                \
            for (uint64_t p = 0; p < k; p++)                                                                           \
                sums[j] += left[p] * (b[(int64_t)p * row + (int64_t)j * column] - zeros[j]);                           \
    }
PRODUCTS(products_signed, int8_t)
PRODUCTS(products_unsigned, uint8_t)

void cpu_byte_products(const cpu_tensor *b, uint64_t first, int64_t row, int64_t column, uint64_t k, uint64_t n,
                       const int32_t *left, const int32_t *zeros, int32_t *sums) {
    memset(sums, 0, n * sizeof(int32_t));
    if (b->dtype == PARTITA_INT8)
        products_signed((const int8_t *)b->data + first, row, column, k, n, left, zeros, sums);
    else
        products_unsigned((const uint8_t *)b->data + first, row, column, k, n, left, zeros, sums);
}

#define ROW(operator, claims)                                                                                          \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 10, .until = CPU_NEWEST, .types = CPU_BYTES, .reference = true,         \
        .claim = claims, .scratch = integer_scratch, .items = integer_items, .run = integer_run                        \
    }
const cpu_kernel cpu_kernels_matmul_integer[] = {ROW("MatMulInteger", NULL), ROW("QLinearMatMul", bytes_claim)};
const uint32_t cpu_kernels_matmul_integer_count =
    sizeof(cpu_kernels_matmul_integer) / sizeof(cpu_kernels_matmul_integer[0]);
