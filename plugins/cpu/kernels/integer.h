/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What products of 8-bit integers share: zero points and scales that are one number or a list, and the way back to 8
 * bits.
 */
#ifndef CPU_KERNELS_INTEGER_H
#define CPU_KERNELS_INTEGER_H

#include "cpu/kernels/support.h"

/* Element i of an 8-bit tensor. */
static inline int32_t cpu_byte_at(const cpu_tensor *t, uint64_t i) {
    return t->dtype == PARTITA_INT8 ? ((const int8_t *)t->data)[i] : ((const uint8_t *)t->data)[i];
}

/* A zero point: 0 when absent, one for all, or one per entry. */
static inline int32_t cpu_zero_at(const cpu_call *call, uint32_t input, uint64_t i) {
    if (!cpu_has_input(call, input)) return 0;
    const cpu_tensor *t = &call->in[input];
    return cpu_byte_at(t, t->count == 1 ? 0 : i);
}

static inline float cpu_scale_at(const cpu_call *call, uint32_t input, uint64_t i) {
    const cpu_tensor *t = &call->in[input];
    float value = 1;
    cpu_load_floats(t->dtype, t->data, t->count == 1 ? 0 : i, 1, &value);
    return value;
}

/* sum * factor, rounded to nearest, ties to even, moved by the zero point, kept in the type's range. */
static inline void cpu_requantise(const cpu_tensor *y, uint64_t at, int32_t sum, float factor, int32_t zero) {
    float value = rintf((float)sum * factor) + (float)zero;
    float low = y->dtype == PARTITA_INT8 ? -128 : 0, high = y->dtype == PARTITA_INT8 ? 127 : 255;
    value = value < low ? low : value > high ? high : value;
    if (y->dtype == PARTITA_INT8)
        ((int8_t *)y->data)[at] = (int8_t)value;
    else
        ((uint8_t *)y->data)[at] = (uint8_t)value;
}

/* An entry of a bias: integers, or floats in units of `scale`. */
static inline int32_t cpu_bias_at(const cpu_tensor *bias, uint64_t i, float scale) {
    if (bias->dtype == PARTITA_INT32) return ((const int32_t *)bias->data)[i];
    float value = rintf(((const float *)bias->data)[i] / scale);
    return value > -2147483648.0f ? (value < 2147483648.0f ? (int32_t)value : INT32_MAX) : INT32_MIN;
}

/* Scale and zero point that DynamicQuantizeLinear gives to these elements, and the byte of one with them. */
void cpu_dynamic_scale(const float *x, uint64_t n, float *out_scale, int32_t *out_zero);
static inline int32_t cpu_dynamic_quantised(float x, float scale, int32_t zero) {
    float value = rintf(x / scale) + (float)zero;
    return value > 0 ? (value < 255 ? (int32_t)value : 255) : 0; /* a NaN becomes 0 */
}

/* sums[j] = the sum over k of left[k] times (B's element (k, j) - zeros[j]); element (0, 0) is number `first`. */
void cpu_byte_products(const cpu_tensor *b, uint64_t first, int64_t row, int64_t column, uint64_t k, uint64_t n,
                       const int32_t *left, const int32_t *zeros, int32_t *sums);

#define CPU_BYTES (CPU_TYPE(INT8) | CPU_TYPE(UINT8))

#endif
