/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the reference and the fast normalisations share: attributes and the checks of shapes.
 */
#ifndef CPU_KERNELS_NORM_H
#define CPU_KERNELS_NORM_H

#include "cpu/kernels/support.h"

typedef struct cpu_norm_state {
    float epsilon, momentum, alpha, beta, bias;
    int64_t axis, groups, size, p;
    bool training;
    bool by_element; /* statistics for each element of an image, not for each channel */
    cpu_ints axes;
} cpu_norm_state;

partita_status cpu_norm_prepare(const cpu_node *node, const ptp_host *host, void **out_state);
/* Inputs [first, first + count) are there and have one element per channel. */
partita_status cpu_norm_channels(const cpu_call *call, uint32_t first, uint32_t count, uint64_t channels);
/* Of operators that normalise all dims from `axis` on. */
partita_status cpu_norm_rows(const cpu_call *call, uint64_t *out_rows, uint64_t *out_size);
partita_status cpu_norm_groups(const cpu_call *call, uint64_t *out_channels, uint64_t *out_size);

#endif
