/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax at level baseline: vectors of 4 floats. */
#define NAME  cpu_softmax_baseline
#define LANES 4
#include "cpu/kernels/softmax_rows.inc"
