/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution at level avx2: vectors of 8 floats. */
#define NAME  cpu_depthwise_avx2
#define LANES 8
#include "cpu/kernels/conv_depthwise.inc"
