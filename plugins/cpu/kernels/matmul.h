/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The geometry of MatMul and Gemm: both become a batch of products of matrices with strides.
 */
#ifndef CPU_KERNELS_MATMUL_H
#define CPU_KERNELS_MATMUL_H

#include "cpu/kernels/support.h"

typedef struct cpu_product {
    uint64_t batches, m, n, k;
    int64_t a_row, a_column, b_row, b_column; /* strides in elements */
    /* Batch `i` has its coordinates in `batch_dims`; strides are 0 where an operand is broadcast. */
    uint32_t batch_rank;
    int64_t batch_dims[CPU_MAX_RANK], a_batch[CPU_MAX_RANK], b_batch[CPU_MAX_RANK];
} cpu_product;

/* numpy's matmul: vectors get a dim of 1, leading dims broadcast. */
partita_status cpu_product_matmul(const cpu_call *call, const cpu_tensor *a, const cpu_tensor *b, cpu_product *out);
/* Of FusedMatMul: the last two dims of an operand that is no vector change places first. */
partita_status cpu_product_turned(const cpu_call *call, bool a_turned, bool b_turned, cpu_product *out);
/* Gemm's: one product of two matrices, each of them transposed or not. */
partita_status cpu_product_gemm(const cpu_call *call, bool a_transposed, bool b_transposed, cpu_product *out);
bool cpu_product_turned_claim(const cpu_node *node, ptp_answer *answer);
/* Element offsets of batch `index` of both operands. */
void cpu_product_batch(const cpu_product *product, uint64_t index, int64_t *out_a, int64_t *out_b);

#endif
