/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference of all element-wise operators: scalar, with the functions of math.h.
 */
#define ELEMENTWISE_LEVEL CPU_LEVEL_BASELINE
#define ELEMENTWISE_ROWS  cpu_kernels_elementwise
#define ELEMENTWISE_COUNT cpu_kernels_elementwise_count
#define F32(name)         name##f
#include "cpu/kernels/elementwise.inc"
