/* SPDX-License-Identifier: Apache-2.0 */
/* Gates at level avx512: vectors of 16 floats. */
#define NAME  cpu_rnn_avx512
#define LANES 16
#include "cpu/kernels/rnn_vectors.inc"
