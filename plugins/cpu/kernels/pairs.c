/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing for products of pairs, and products of a few rows of A with a B of whole panels:
 * packed[panel][pair][columns], the last panel and the last pair filled up with zeros.
 */
#include "cpu/kernels/pairs.h"

const cpu_pairs *cpu_pairs_of(uint32_t level) {
#if defined(__x86_64__)
    if (level >= CPU_LEVEL_AVX512) return &cpu_pairs_avx512;
    if (level >= CPU_LEVEL_AVX2) return &cpu_pairs_avx2;
#endif
    (void)level;
    return &cpu_pairs_baseline;
}

uint64_t cpu_pairs_packed(const cpu_pairs *pairs, uint64_t k, uint64_t n) {
    return cpu_blocks(n, pairs->columns) * pairs->columns * cpu_pairs_count(k);
}

/* Row k of B from column `first` on. */
static void row_load(const cpu_pairs *pairs, const cpu_tensor *b, uint64_t at, int64_t column, const int32_t *zeros,
                     uint64_t count, int16_t *to) {
    if (column == 1) {
        pairs->widen((const uint8_t *)b->data + at, b->dtype == PARTITA_INT8, 0, count, to);
        for (uint64_t j = 0; j < count; j++) to[j] = (int16_t)(to[j] - zeros[j]);
        return;
    }
    for (uint64_t j = 0; j < count; j++) to[j] = (int16_t)(cpu_byte_at(b, at + j * (uint64_t)column) - zeros[j]);
}

void cpu_pairs_pack(const cpu_pairs *pairs, const cpu_tensor *b, uint64_t first, int64_t row, int64_t column,
                    uint64_t k, uint64_t n, const int32_t *zeros, int32_t *to) {
    int16_t rows[2][CPU_PAIRS_COLUMNS];
    for (uint64_t j = 0; j < n; j += pairs->columns) {
        uint64_t count = n - j < pairs->columns ? n - j : pairs->columns, at = first + j * (uint64_t)column;
        memset(rows, 0, sizeof(rows));
        for (uint64_t i = 0; i < k; i += 2, to += pairs->columns) {
            row_load(pairs, b, at + i * (uint64_t)row, column, zeros + j, count, rows[0]);
            if (i + 1 < k)
                row_load(pairs, b, at + (i + 1) * (uint64_t)row, column, zeros + j, count, rows[1]);
            else
                memset(rows[1], 0, sizeof(rows[1]));
            pairs->join(rows[0], rows[1], pairs->columns, to);
        }
    }
}

void cpu_pairs_row(const cpu_pairs *pairs, const int32_t *left, uint64_t k, uint32_t row, int32_t *to) {
    to += row;
    for (uint64_t i = 0; i < k; i += 2, to += pairs->rows)
        *to = cpu_pair((int16_t)left[i], (int16_t)(i + 1 < k ? left[i + 1] : 0));
}

void cpu_pairs_rows(const cpu_pairs *pairs, uint64_t k, uint64_t n, const int32_t *a, const int32_t *b, uint32_t rows,
                    int32_t *sums, uint64_t step) {
    int32_t tile[CPU_PAIRS_ROWS * CPU_PAIRS_COLUMNS];
    for (uint64_t j = 0; j < n; j += pairs->columns, b += cpu_pairs_count(k) * pairs->columns) {
        uint64_t count = n - j < pairs->columns ? n - j : pairs->columns;
        pairs->tile(cpu_pairs_count(k), a, b, rows, tile);
        for (uint32_t r = 0; r < rows; r++)
            memcpy(sums + r * step + j, tile + r * pairs->columns, count * sizeof(int32_t));
    }
}
