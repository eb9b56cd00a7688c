/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops around the micro kernel, and the packing of B.
 */
#include "cpu/kernels/gemm.h"

/* A panel of this many rows stays in the first cache while the rows of A pass by. */
#define K_BLOCK 384

const cpu_gemm_micro *cpu_gemm_micro_of(uint32_t level) {
#if defined(__x86_64__)
    if (level >= CPU_LEVEL_AVX512) return &cpu_gemm_avx512;
    if (level >= CPU_LEVEL_AVX2) return &cpu_gemm_avx2;
#endif
    (void)level;
    return &cpu_gemm_baseline;
}

uint64_t cpu_gemm_packed_size(const cpu_gemm_micro *micro, uint64_t k, uint64_t n) {
    return cpu_blocks(n, micro->columns) * micro->columns * k;
}

void cpu_gemm_pack(const cpu_gemm_micro *micro, uint64_t k, uint64_t n, const float *b, int64_t b_row, int64_t b_column,
                   float *packed) {
    const uint64_t width = micro->columns;
    if (k == 0) return; /* there is no room either */
    for (uint64_t first = 0; first < n; first += width) {
        const float *from = b + (int64_t)first * b_column;
        uint64_t columns = n - first < width ? n - first : width;
        float *to = packed + first * k;
        if (columns < width) memset(to, 0, width * k * sizeof(float));
        if (b_column == 1) {
            for (uint64_t p = 0; p < k; p++, to += width, from += b_row) memcpy(to, from, columns * sizeof(float));
        } else {
            for (uint64_t j = 0; j < columns; j++)
                for (uint64_t p = 0; p < k; p++) to[p * width + j] = from[(int64_t)p * b_row + (int64_t)j * b_column];
        }
    }
}

/* The last columns of a B that is not packed: a vector would read past the end of its rows. */
static void tile_scalar(const cpu_gemm_tile *t) {
    for (uint32_t i = 0; i < t->rows; i++) {
        for (uint32_t j = 0; j < t->columns; j++) {
            float sum = 0, *c = &t->c[(int64_t)i * t->c_row + j];
            for (uint64_t p = 0; p < t->k; p++)
                sum += t->a[(int64_t)i * t->a_row + (int64_t)p * t->a_column] * t->b[(int64_t)p * t->b_row + j];
            sum *= t->alpha;
            if (t->accumulate)
                sum += *c;
            else
                sum += (t->row_bias != NULL ? t->row_bias[i] : 0) + (t->column_bias != NULL ? t->column_bias[j] : 0);
            *c = sum;
        }
    }
}

static void tile_run(const cpu_gemm *gemm, uint64_t m, uint64_t m1, uint64_t p, uint64_t k0, cpu_gemm_tile *tile) {
    const cpu_gemm_micro *micro = gemm->micro;
    uint64_t column = p * micro->columns;
    tile->rows = m1 - m < micro->rows ? (uint32_t)(m1 - m) : micro->rows;
    tile->columns = gemm->n - column < micro->columns ? (uint32_t)(gemm->n - column) : micro->columns;
    tile->a = gemm->a + (int64_t)m * gemm->a_row + (int64_t)k0 * gemm->a_column;
    tile->b = gemm->packed != NULL ? gemm->packed + column * gemm->k + k0 * micro->columns
                                   : gemm->b + (int64_t)k0 * gemm->b_row + (int64_t)column;
    tile->c = gemm->c + (int64_t)m * gemm->c_row + (int64_t)column;
    tile->row_bias = gemm->row_bias != NULL ? gemm->row_bias + m : NULL;
    tile->column_bias = gemm->column_bias != NULL ? gemm->column_bias + column : NULL;
    if (gemm->packed == NULL && tile->columns < micro->columns)
        tile_scalar(tile);
    else
        micro->run(tile);
}

void cpu_gemm_run(const cpu_gemm *gemm, uint64_t m0, uint64_t m1, uint64_t p0, uint64_t p1) {
    const cpu_gemm_micro *micro = gemm->micro;
    cpu_gemm_tile tile = {.a_row = gemm->a_row, .a_column = gemm->a_column, .c_row = gemm->c_row, .alpha = gemm->alpha};
    /* The operand with more of it passes by, a piece of the other stays in the first cache. */
    bool panels_inside = m1 - m0 > (p1 - p0) * micro->columns;
    tile.b_row = gemm->packed != NULL ? (int64_t)micro->columns : gemm->b_row;
    /* k = 0 still writes the biases. */
    for (uint64_t k0 = 0; k0 == 0 || k0 < gemm->k; k0 += K_BLOCK) {
        tile.k = gemm->k - k0 < K_BLOCK ? gemm->k - k0 : K_BLOCK;
        tile.accumulate = gemm->accumulate || k0 > 0;
        if (panels_inside) {
            for (uint64_t m = m0; m < m1; m += micro->rows)
                for (uint64_t p = p0; p < p1; p++) tile_run(gemm, m, m1, p, k0, &tile);
        } else {
            for (uint64_t p = p0; p < p1; p++)
                for (uint64_t m = m0; m < m1; m += micro->rows) tile_run(gemm, m, m1, p, k0, &tile);
        }
    }
}
