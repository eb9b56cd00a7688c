/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products with weights of few bits in blocks along K, for the operators that bring them in different layouts: inputs
 * of the call lie as those of MatMulNBits, its state is this one.
 */
#ifndef CPU_KERNELS_MS_NBITS_H
#define CPU_KERNELS_MS_NBITS_H

#include "cpu/kernels/gemm.h"

enum {
    CPU_NBITS_A,
    CPU_NBITS_B,
    CPU_NBITS_SCALES,
    CPU_NBITS_ZEROS,
    CPU_NBITS_GROUPS,
    CPU_NBITS_BIAS,
    CPU_NBITS_INPUTS
};

typedef struct cpu_nbits {
    int64_t k, n, block, bits;
    bool rounds;                 /* each block of a row of A to 255 steps, as accuracy_level 4 allows */
    const cpu_gemm_micro *micro; /* NULL: the reference */
} cpu_nbits;

uint64_t cpu_nbits_items(const cpu_call *call);
uint64_t cpu_nbits_scratch(const cpu_call *call);
partita_status cpu_nbits_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker);

#endif
