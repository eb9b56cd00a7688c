/* SPDX-License-Identifier: Apache-2.0 */
/* Products of pairs of integers at level baseline: vectors of 4 sums. */
#define NAME  cpu_pairs_baseline
#define LANES 4
#define ROWS  4
#include "cpu/kernels/pairs.inc"
