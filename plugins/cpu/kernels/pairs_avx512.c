/* SPDX-License-Identifier: Apache-2.0 */
/* Products of pairs of integers at level avx512: vectors of 16 sums. */
#define NAME  cpu_pairs_avx512
#define LANES 16
#define ROWS  12
#include "cpu/kernels/pairs.inc"
