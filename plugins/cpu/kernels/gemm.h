/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of float32 matrices: a micro kernel per level computes a tile of `rows` x `columns` of C over a range of k,
 * the rest is loops. B is packed in panels of `columns` columns, so that a tile reads it in one stream:
 * packed[panel][k][columns], the last panel filled up with zeros.
 */
#ifndef CPU_KERNELS_GEMM_H
#define CPU_KERNELS_GEMM_H

#include "cpu/kernels/support.h"

typedef struct cpu_gemm_tile {
    uint64_t k;
    const float *a; /* element (i, p) at a[i * a_row + p * a_column] */
    int64_t a_row, a_column;
    const float *b; /* row p at b[p * b_row] */
    int64_t b_row;
    float *c;
    int64_t c_row;
    uint32_t rows, columns; /* at most the micro kernel's */
    float alpha;
    bool accumulate;          /* add to C; otherwise to the biases */
    const float *row_bias;    /* [rows] or NULL */
    const float *column_bias; /* [columns] or NULL */
} cpu_gemm_tile;

typedef struct cpu_gemm_micro {
    uint32_t rows, columns;
    void (*run)(const cpu_gemm_tile *tile);
} cpu_gemm_micro;

extern const cpu_gemm_micro cpu_gemm_baseline, cpu_gemm_avx2, cpu_gemm_avx512;
const cpu_gemm_micro *cpu_gemm_micro_of(uint32_t level);

typedef struct cpu_gemm {
    const cpu_gemm_micro *micro;
    uint64_t m, n, k;
    const float *a;
    int64_t a_row, a_column;
    const float *packed; /* of panel 0; NULL: `b` is read where it lies, its columns neighbours */
    const float *b;
    int64_t b_row;
    float *c;
    int64_t c_row;
    float alpha;
    bool accumulate;
    const float *row_bias, *column_bias;
} cpu_gemm;

/* Floats of a packed B. */
uint64_t cpu_gemm_packed_size(const cpu_gemm_micro *micro, uint64_t k, uint64_t n);
/* Packs columns [first, first + n) of a B with these strides. */
void cpu_gemm_pack(const cpu_gemm_micro *micro, uint64_t k, uint64_t n, const float *b, int64_t b_row, int64_t b_column,
                   float *packed);
/* Rows [m0, m1) of the panels [p0, p1). */
void cpu_gemm_run(const cpu_gemm *gemm, uint64_t m0, uint64_t m1, uint64_t p0, uint64_t p1);

#endif
