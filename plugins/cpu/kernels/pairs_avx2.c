/* SPDX-License-Identifier: Apache-2.0 */
/* Products of pairs of integers at level avx2: vectors of 8 sums. */
#define NAME  cpu_pairs_avx2
#define LANES 8
#define ROWS  6
#include "cpu/kernels/pairs.inc"
