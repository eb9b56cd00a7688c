/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax at level avx2: vectors of 8 floats. */
#define NAME  cpu_softmax_avx2
#define LANES 8
#include "cpu/kernels/softmax_rows.inc"
