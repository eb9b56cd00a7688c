/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax at level avx512: vectors of 16 floats. */
#define NAME  cpu_softmax_avx512
#define LANES 16
#include "cpu/kernels/softmax_rows.inc"
