/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The activation that a fused operator of com.microsoft ends with.
 */
#ifndef CPU_KERNELS_MS_FUSED_H
#define CPU_KERNELS_MS_FUSED_H

#include "cpu/kernels/support.h"

typedef struct cpu_fused {
    uint32_t function; /* 0: none */
    float alpha, beta;
} cpu_fused;

/* Reads `activation` with activation_params, or activation_alpha and activation_beta. Nodes without have none. */
partita_status cpu_fused_read(const cpu_node *node, const ptp_host *host, cpu_fused *out);
bool cpu_fused_claim(const cpu_node *node, ptp_answer *answer);
double cpu_fused_value(const cpu_fused *fused, double x);
/* Onto rows of floats, `step` apart. */
void cpu_fused_rows(const cpu_fused *fused, float *x, uint64_t rows, uint64_t columns, int64_t step);

#endif
