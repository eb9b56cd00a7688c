/* SPDX-License-Identifier: Apache-2.0 */
/* The micro kernel of level avx2: 6 rows of two vectors of 8 floats. */
#define NAME  cpu_gemm_avx2
#define LANES 8
#define ROWS  6
#include "cpu/kernels/gemm_micro.inc"
