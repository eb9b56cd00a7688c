/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution at level baseline: vectors of 4 floats. */
#define NAME  cpu_depthwise_baseline
#define LANES 4
#include "cpu/kernels/conv_depthwise.inc"
