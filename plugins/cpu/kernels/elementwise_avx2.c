/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The element-wise operators again, compiled for AVX2 and FMA. The transcendental functions are written without branches
 * and without calls, so that the compiler turns each row's loop into vectors of eight; relative errors are below 5e-7.
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

/* exp(x) = 2^n * exp(r), |r| <= ln(2)/2. 2^n in two factors, for results below the smallest normal and near the largest. */
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

/* exp(x) - 1 without cancellation: 2^n * (exp(r) - 1) + (2^n - 1). */
static inline float fast_expm1(float x) {
    float bounded = x < -30.0f ? -30.0f : x;
    bounded = bounded > 80.0f ? 80.0f : bounded;
    float n = rintf(bounded * 1.44269504088896341f);
    float r = fmaf(n, -0.693145751953125f, bounded);
    r = fmaf(n, -1.428606765330187e-6f, r);
    float p = fmaf(r, 1.9875691500e-4f, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    p = fmaf(p, r * r, r);
    float whole = n == n ? n : 0.0f;
    float power = bits_to_float(((int32_t)whole + 127) << 23);
    return fmaf(p, power, power - 1.0f);
}

/* tanh(x) = e / (e + 2), e = exp(2|x|) - 1. */
static inline float fast_tanh(float x) {
    float size = fabsf(x);
    float e = fast_expm1(2.0f * (size > 10.0f ? 10.0f : size));
    float t = e / (e + 2.0f);
    return copysignf(x != x ? x : t, x);
}

/* Near 0 x times a polynomial of x^2, beyond 1 - exp(-q(|x|)); from 4 on the float next to 1 is 1. Both minimax fits. */
static inline float fast_erf(float x) {
    float size = fabsf(x), z = x * x, s = size > 4.0f ? 4.0f : size;
    float p = fmaf(z, -5.990892532281578e-4f, 4.993189126253128e-3f);
    p = fmaf(p, z, -2.6766624301671982e-2f);
    p = fmaf(p, z, 1.128181666135788e-1f);
    p = fmaf(p, z, -3.7612494826316833e-1f);
    p = fmaf(p, z, 1.1283791065216064f);
    float q = fmaf(s, -1.9572078599594533e-4f, 3.041093936190009e-3f);
    q = fmaf(q, s, -2.2218454629182816e-2f);
    q = fmaf(q, s, 1.0391402989625931e-1f);
    q = fmaf(q, s, 6.37202262878418e-1f);
    q = fmaf(q, s, 1.1276637315750122f);
    q = fmaf(q, s, 1.9855404389090836e-4f);
    float far = copysignf(1.0f - fast_exp(-q), x);
    float value = size < 0.921875f ? p * x : far;
    return x != x ? x : value;
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
