/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QLinearMatMul where an operand or the product is a float of 8 bits: the definition, in double. An item is a row of
 * the product.
 */
#include "cpu/kernels/integer.h"
#include "cpu/kernels/matmul.h"

enum { A, A_SCALE, A_ZERO, B, B_SCALE, B_ZERO, Y_SCALE, Y_ZERO };

static double number_at(const cpu_tensor *t, uint64_t i) {
    double value;
    cpu_load_doubles(t->dtype, t->data, i, 1, &value);
    return value;
}

/* Entry i of a list, which counts the rows or columns of one matrix, or of all. */
static double list_at(const cpu_tensor *t, uint64_t each, uint64_t matrix, uint64_t i) {
    return number_at(t, t->count == 1 ? 0 : t->count == each ? i : matrix * each + i);
}

static bool list_fits(const cpu_tensor *t, uint64_t each, uint64_t matrices) {
    return t->kind == PARTITA_KIND_TENSOR && (t->count == 1 || t->count == each || t->count == each * matrices);
}

static partita_status lists_check(const cpu_call *call, const cpu_product *p) {
    uint64_t a = p->k > 0 ? call->in[A].count / (p->m * p->k) : 1, b = p->k > 0 ? call->in[B].count / (p->k * p->n) : 1;
    for (uint32_t i = A_SCALE; i <= Y_ZERO; i++) {
        bool columns = i == B_SCALE || i == B_ZERO;
        if (i != B && !list_fits(&call->in[i], columns ? p->n : p->m, columns ? b : a))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has %llu entries", i,
                            (unsigned long long)call->in[i].count);
    }
    return PARTITA_OK;
}

static uint64_t float8_items(const cpu_call *call) {
    cpu_product p;
    return cpu_product_matmul(call, &call->in[A], &call->in[B], &p) == PARTITA_OK ? p.batches * p.m : 1;
}

static void put(const cpu_tensor *y, uint64_t at, double value, double zero) {
    if (cpu_dtype_is_minifloat(y->dtype)) {
        ((uint8_t *)y->data)[at] = cpu_minifloat_from_float(y->dtype, cpu_float_odd(value + zero), true);
        return;
    }
    double low = y->dtype == PARTITA_INT8 ? -128 : 0, high = y->dtype == PARTITA_INT8 ? 127 : 255;
    value = rint(value) + zero;
    value = value < low || value != value ? low : value > high ? high : value;
    cpu_store_doubles(y->dtype, y->data, at, 1, &value);
}

static partita_status float8_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in = call->in;
    cpu_product p;
    partita_status status = cpu_product_matmul(call, &in[A], &in[B], &p);
    if (status != PARTITA_OK || begin >= end || p.m * p.n == 0) return status;
    status = lists_check(call, &p);
    if (status != PARTITA_OK) return status;
    for (uint64_t item = begin; item < end; item++) {
        uint64_t row = item % p.m;
        int64_t from_a, from_b;
        cpu_product_batch(&p, item / p.m, &from_a, &from_b);
        uint64_t of_a = p.k > 0 ? (uint64_t)from_a / (p.m * p.k) : 0,
                 of_b = p.k > 0 ? (uint64_t)from_b / (p.k * p.n) : 0;
        double a_zero = list_at(&in[A_ZERO], p.m, of_a, row);
        double scale = list_at(&in[A_SCALE], p.m, of_a, row) / list_at(&in[Y_SCALE], p.m, of_a, row);
        for (uint64_t j = 0; j < p.n; j++) {
            double sum = 0, b_zero = list_at(&in[B_ZERO], p.n, of_b, j);
            for (uint64_t k = 0; k < p.k; k++)
                sum += (number_at(&in[A], (uint64_t)from_a + row * p.k + k) - a_zero) *
                       (number_at(&in[B], (uint64_t)from_b + k * p.n + j) - b_zero);
            put(&call->out[0], item * p.n + j, sum * (scale * list_at(&in[B_SCALE], p.n, of_b, j)),
                list_at(&in[Y_ZERO], p.m, of_a, row));
        }
    }
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_matmul_float8[] = {{.op = "QLinearMatMul",
                                                 .domain = "",
                                                 .since = 21,
                                                 .until = CPU_NEWEST,
                                                 .types = CPU_FLOAT8 | CPU_BYTES,
                                                 .reference = true,
                                                 .items = float8_items,
                                                 .run = float8_run}};
const uint32_t cpu_kernels_matmul_float8_count =
    sizeof(cpu_kernels_matmul_float8) / sizeof(cpu_kernels_matmul_float8[0]);
