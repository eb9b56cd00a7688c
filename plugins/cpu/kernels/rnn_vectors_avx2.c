/* SPDX-License-Identifier: Apache-2.0 */
/* Gates at level avx2: vectors of 8 floats. */
#define NAME  cpu_rnn_avx2
#define LANES 8
#include "cpu/kernels/rnn_vectors.inc"
