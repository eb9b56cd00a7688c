/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution at level avx512: vectors of 16 floats. */
#define NAME  cpu_depthwise_avx512
#define LANES 16
#include "cpu/kernels/conv_depthwise.inc"
