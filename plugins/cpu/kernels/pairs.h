/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of 8-bit integers without their zero points, which need 9 bits: as pairs of int16 along k, whose products
 * are summed in 32 bits, exactly. A pair is one int32, its first element in the low half.
 */
#ifndef CPU_KERNELS_PAIRS_H
#define CPU_KERNELS_PAIRS_H

#include "cpu/kernels/integer.h"

#define CPU_PAIRS_ROWS    12 /* the most of any level */
#define CPU_PAIRS_COLUMNS 32

typedef struct cpu_pairs {
    uint32_t rows, columns; /* of a tile */
    /* c[rows][columns] = the sum over p of a[p][`rows` of the level] times b[p][columns] */
    void (*tile)(uint64_t pairs, const int32_t *a, const int32_t *b, uint32_t rows, int32_t *c);
    /* bytes minus zero */
    void (*widen)(const void *bytes, bool is_signed, int32_t zero, uint64_t n, int16_t *to);
    /* Two rows of elements as one of pairs. */
    void (*join)(const int16_t *first, const int16_t *second, uint64_t n, int32_t *to);
    /* (sum + bias) * factor, rounded to even, plus zero, as bytes. */
    void (*requantise)(const int32_t *sums, uint64_t n, int32_t bias, float factor, int32_t zero, bool is_signed,
                       void *to);
} cpu_pairs;

extern const cpu_pairs cpu_pairs_baseline, cpu_pairs_avx2, cpu_pairs_avx512;
const cpu_pairs *cpu_pairs_of(uint32_t level);

/* Pairs of a packed B of [k, n], whose element (i, j) is number first + i * row + j * column, minus zeros[j]. */
uint64_t cpu_pairs_packed(const cpu_pairs *pairs, uint64_t k, uint64_t n);
void cpu_pairs_pack(const cpu_pairs *pairs, const cpu_tensor *b, uint64_t first, int64_t row, int64_t column,
                    uint64_t k, uint64_t n, const int32_t *zeros, int32_t *to);
/* Row `row` of a tile's A from its elements. */
void cpu_pairs_row(const cpu_pairs *pairs, const int32_t *left, uint64_t k, uint32_t row, int32_t *to);
/* sums[r * step + j] of at most a tile's rows, over all columns of a packed B. */
void cpu_pairs_rows(const cpu_pairs *pairs, uint64_t k, uint64_t n, const int32_t *a, const int32_t *b, uint32_t rows,
                    int32_t *sums, uint64_t step);

static inline uint64_t cpu_pairs_count(uint64_t k) { return (k + 1) / 2; }
static inline int32_t cpu_pair(int16_t first, int16_t second) {
    return (int32_t)((uint32_t)(uint16_t)first | (uint32_t)(uint16_t)second << 16);
}

#endif
