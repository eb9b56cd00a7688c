/* SPDX-License-Identifier: Apache-2.0 */
/* The micro kernel of level avx512: 12 rows of two vectors of 16 floats. */
#define NAME  cpu_gemm_avx512
#define LANES 16
#define ROWS  12
#include "cpu/kernels/gemm_micro.inc"
