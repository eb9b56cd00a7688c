/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax and its kin: the state, the shape, and the rows that each level computes.
 */
#ifndef CPU_KERNELS_SOFTMAX_H
#define CPU_KERNELS_SOFTMAX_H

#include "cpu/kernels/support.h"

enum { CPU_SOFTMAX, CPU_LOG_SOFTMAX, CPU_HARDMAX };

/* `outer` blocks of [size, inner] floats, softmax along `size`. */
typedef void (*cpu_softmax_fn)(uint32_t kind, const float *x, float *y, uint64_t outer, uint64_t size, uint64_t inner);

typedef struct cpu_softmax_state {
    uint32_t kind;
    bool flat;
    int64_t axis;
    cpu_softmax_fn rows;
} cpu_softmax_state;

/* The rows of the highest level up to this one. */
cpu_softmax_fn cpu_softmax_of(uint32_t level);
partita_status cpu_softmax_prepare(const cpu_node *node, const ptp_host *host, void **out_state);
partita_status cpu_softmax_shape(const cpu_call *call, uint64_t *out_outer, uint64_t *out_size, uint64_t *out_inner);

/* One row of the reference; y may be x. The results of its steps are rounded to `step`. */
void cpu_softmax_row(uint32_t kind, partita_dtype step, const double *x, double *y, uint64_t n, uint64_t stride);
void cpu_softmax_baseline(uint32_t kind, const float *x, float *y, uint64_t outer, uint64_t size, uint64_t inner);
void cpu_softmax_avx2(uint32_t kind, const float *x, float *y, uint64_t outer, uint64_t size, uint64_t inner);
void cpu_softmax_avx512(uint32_t kind, const float *x, float *y, uint64_t outer, uint64_t size, uint64_t inner);

#endif
