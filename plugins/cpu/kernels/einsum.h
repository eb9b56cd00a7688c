/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernels of Einsum share: the equation as labels, and sizes and strides of all labels once the operands'
 * shapes are known.
 */
#ifndef CPU_KERNELS_EINSUM_H
#define CPU_KERNELS_EINSUM_H

#include "cpu/kernels/reference.h"

#define CPU_EINSUM_LABELS 68 /* 52 letters, then the dims of the ellipsis counted from the last */

/* One term of the equation: labels in order; one of them stands for what the ellipsis covers. */
typedef struct cpu_einsum_term {
    uint8_t labels[CPU_EINSUM_LABELS];
    uint32_t count;
    bool ellipsis;
} cpu_einsum_term;

typedef struct cpu_einsum {
    cpu_einsum_term in[CPU_DOUBLES_IN], out;
    uint32_t in_count;
} cpu_einsum;

/* Sizes of all labels, -1 for those of no operand, and each operand's stride along them: 0 where it lacks the label or
 * is broadcast along it. `out` has the output's labels in order, `sum` the others. */
typedef struct cpu_einsum_loops {
    int64_t size[CPU_EINSUM_LABELS];
    int64_t stride[CPU_DOUBLES_IN][CPU_EINSUM_LABELS];
    uint8_t out[CPU_EINSUM_LABELS], sum[CPU_EINSUM_LABELS];
    uint32_t out_count, sum_count;
} cpu_einsum_loops;

/* `claim` and `prepare` of the kernels; the state is a cpu_einsum. */
bool cpu_einsum_claim(const cpu_node *node, ptp_answer *answer);
partita_status cpu_einsum_prepare(const cpu_node *node, const ptp_host *host, void **out_state);
/* The loops of these operands; fails where their shapes contradict the equation or the output's shape. */
partita_status cpu_einsum_bind(const cpu_call *call, cpu_einsum_loops *out);

#endif
