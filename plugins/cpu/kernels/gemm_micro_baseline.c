/* SPDX-License-Identifier: Apache-2.0 */
/* The micro kernel of level baseline: 4 rows of two vectors of 4 floats. */
#define NAME  cpu_gemm_baseline
#define LANES 4
#define ROWS  4
#include "cpu/kernels/gemm_micro.inc"
