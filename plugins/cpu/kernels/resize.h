/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize and Upsample as one table of taps per axis: output j is the sum of weight[t] * input[index[t]] over its taps.
 */
#ifndef CPU_KERNELS_RESIZE_H
#define CPU_KERNELS_RESIZE_H

#include "cpu/kernels/support.h"

enum { CPU_RESIZE_NEAREST, CPU_RESIZE_LINEAR, CPU_RESIZE_CUBIC };

typedef struct cpu_resize_state {
    uint32_t mode, transform, rounding, aspect;
    int32_t since;
    bool upsample, exclude_outside, antialias;
    float cubic_a, extrapolation;
    cpu_ints axes;
    uint32_t scale_count;
    float scales[CPU_MAX_RANK]; /* of Upsample before version 9 */
} cpu_resize_state;

partita_status cpu_resize_prepare(const cpu_node *node, const ptp_host *host, void **out_state);

/* What one axis does. Freed by cpu_resize_axis_free. */
typedef struct cpu_resize_axis {
    uint64_t in, out;
    uint32_t taps;
    bool identity;
    int64_t *index;   /* [out * taps] */
    float *weight;    /* [out * taps] */
    uint8_t *outside; /* [out]: takes the extrapolation value; NULL when none does */
} cpu_resize_axis;

/* Tables of all axes of the call. */
partita_status cpu_resize_axes_make(const cpu_call *call, cpu_resize_axis *axes);
void cpu_resize_axes_free(const cpu_call *call, cpu_resize_axis *axes);

#endif
