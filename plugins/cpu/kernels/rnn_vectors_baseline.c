/* SPDX-License-Identifier: Apache-2.0 */
/* Gates at level baseline: vectors of 4 floats. */
#define NAME  cpu_rnn_baseline
#define LANES 4
#include "cpu/kernels/rnn_vectors.inc"
