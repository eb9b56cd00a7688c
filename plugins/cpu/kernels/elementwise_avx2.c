/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The element-wise operators again, compiled for AVX2 and FMA. The transcendental functions are written without
 * branches and without calls, so that the compiler turns each row's loop into vectors of eight; relative errors are
 * below 5e-7.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float bits_to_float(int32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
static inline int32_t float_to_bits(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* exp(x) = 2^n * exp(r), |r| <= ln(2)/2. 2^n in two factors, for results below the smallest normal and near the
 * largest. */
static inline float fast_exp(float x) {
    float bounded = x < -104.0f ? -104.0f : x;
    bounded = bounded > 89.0f ? 89.0f : bounded; /* a NaN stays */
    float n = rintf(bounded * 1.44269504088896341f);
    float r = fmaf(n, -0.693145751953125f, bounded);
    r = fmaf(n, -1.428606765330187e-6f, r);
    float p = fmaf(r, 1.9875691500e-4f, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    p = fmaf(p, r * r, r) + 1.0f;
    float whole = n == n ? n : 0.0f; /* converting a NaN is not defined */
    int32_t e = (int32_t)whole, half = e >> 1;
    return p * bits_to_float((half + 127) << 23) * bits_to_float((e - half + 127) << 23);
}

/* log(x): x = 2^e * m, m in [sqrt(1/2), sqrt(2)). */
static inline float fast_log(float x) {
    float scaled = x < 1.17549435e-38f ? x * 8388608.0f : x;
    float shift = x < 1.17549435e-38f ? -23.0f : 0.0f;
    int32_t bits = float_to_bits(scaled) - 0x3f3504f3;
    float e = (float)(bits >> 23) + shift;
    float m = bits_to_float((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
    float z = m * m;
    float p = fmaf(m, 7.0376836292e-2f, -1.1514610310e-1f);
    p = fmaf(p, m, 1.1676998740e-1f);
    p = fmaf(p, m, -1.2420140846e-1f);
    p = fmaf(p, m, 1.4249322787e-1f);
    p = fmaf(p, m, -1.6668057665e-1f);
    p = fmaf(p, m, 2.0000714765e-1f);
    p = fmaf(p, m, -2.4999993993e-1f);
    p = fmaf(p, m, 3.3333331174e-1f);
    p = p * m * z;
    p = fmaf(e, -2.12194440e-4f, p);
    p = fmaf(z, -0.5f, p);
    float result = fmaf(e, 0.693359375f, m + p);
    result = x == INFINITY ? x : result;
    result = x == 0.0f ? -INFINITY : result;
    return x < 0.0f || x != x ? NAN : result;
}

/* log(1 + x) with what 1 + x lost put back. */
static inline float fast_log1p(float x) {
    float y = 1.0f + x, lost = x - (y - 1.0f);
    float result = fast_log(y) + (y > 0.0f && y < INFINITY ? lost / y : 0.0f);
    return x == 0.0f ? x : result;
}

/* Odd rational functions, minimax fits of the relative error, with one division; beyond their range they are 1. */
static inline float fast_tanh(float x) {
    float bounded = x < -9.0f ? -9.0f : x;
    bounded = bounded > 9.0f ? 9.0f : bounded;
    float z = bounded * bounded;
    float p = fmaf(z, 1.3336730830815213e-08f, 2.0596280592144467e-05f);
    p = fmaf(p, z, 3.4948161337524652e-3f);
    p = fmaf(p, z, 1.3380376994609833e-1f);
    p = fmaf(p, z, 1.0f);
    float q = fmaf(z, 7.769261287648987e-07f, 3.284368140157312e-4f);
    q = fmaf(q, z, 2.5874050334095955e-2f);
    q = fmaf(q, z, 4.671369194984436e-1f);
    q = fmaf(q, z, 1.0f);
    float value = bounded * p / q;
    value = value > 1.0f ? 1.0f : value;
    return value < -1.0f ? -1.0f : value;
}

static inline float fast_erf(float x) {
    float bounded = x < -3.92f ? -3.92f : x;
    bounded = bounded > 3.92f ? 3.92f : bounded;
    float z = bounded * bounded;
    float p = fmaf(z, 2.0499626316450303e-06f, 2.848688163794577e-4f);
    p = fmaf(p, z, 3.7654724437743425e-3f);
    p = fmaf(p, z, 5.274823680520058e-2f);
    p = fmaf(p, z, 1.9040460884571075e-1f);
    p = fmaf(p, z, 1.1283791065216064f);
    float q = fmaf(z, 3.808969631791115e-05f, 1.1624806793406606e-3f);
    q = fmaf(q, z, 1.4968933537602425e-2f);
    q = fmaf(q, z, 1.141081303358078e-1f);
    q = fmaf(q, z, 5.020744204521179e-1f);
    q = fmaf(q, z, 1.0f);
    float value = bounded * p / q;
    value = value > 1.0f ? 1.0f : value;
    return value < -1.0f ? -1.0f : value;
}

/* Which function of math.h is made of what; those without a vector form stay calls. */
#define F32_exp   fast_exp
#define F32_log   fast_log
#define F32_log1p fast_log1p
#define F32_tanh  fast_tanh
#define F32_erf   fast_erf
#define F32_sqrt  sqrtf
#define F32_floor floorf
#define F32_ceil  ceilf
#define F32_rint  rintf
#define F32_sin   sinf
#define F32_cos   cosf
#define F32_tan   tanf
#define F32_asin  asinf
#define F32_acos  acosf
#define F32_atan  atanf
#define F32_sinh  sinhf
#define F32_cosh  coshf
#define F32_asinh asinhf
#define F32_acosh acoshf
#define F32_atanh atanhf

#define ELEMENTWISE_LEVEL CPU_LEVEL_AVX2
#define ELEMENTWISE_ROWS  cpu_kernels_elementwise_avx2
#define ELEMENTWISE_COUNT cpu_kernels_elementwise_avx2_count
#define F32(name)         F32_##name
#include "cpu/kernels/elementwise.inc"
