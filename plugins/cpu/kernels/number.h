/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that C has no type for: half, bfloat16 and the 8-, 4- and 2-bit formats, and conversions that are defined for
 * every value. Half types are computed in float; each store rounds to nearest, ties to even.
 */
#ifndef CPU_KERNELS_NUMBER_H
#define CPU_KERNELS_NUMBER_H

#include <partita/types.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

static inline uint32_t cpu_float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}
static inline float cpu_bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Without branches, so that compilers vectorise loops over it: a subnormal half is normalised by a float subtraction.
 */
static inline float cpu_float_from_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, body = (uint32_t)(half & 0x7fffu) << 13;
    float scaled = cpu_bits_float(body + (112u << 23));
    float small = cpu_bits_float(body + (113u << 23)) - cpu_bits_float(113u << 23);
    float special = cpu_bits_float(body + (224u << 23));
    float value = body >= 0x7c00u << 13 ? special : (body < 0x400u << 13 ? small : scaled);
    return cpu_bits_float(cpu_float_bits(value) | sign);
}
static inline uint16_t cpu_half_from_float(float value) {
    uint32_t bits = cpu_float_bits(value), sign = bits >> 16 & 0x8000u, body = bits & 0x7fffffffu;
    uint32_t normal = (body + 0xc8000fffu + (body >> 13 & 1u)) >> 13;
    /* Adding 0.5 puts a subnormal's last place at the float's last place: the addition rounds. */
    uint32_t small = cpu_float_bits(cpu_bits_float(body) + 0.5f) - 0x3f000000u;
    uint32_t special = body > 0x7f800000u ? 0x7e00u : 0x7c00u;
    uint32_t half = body >= 0x477ff000u ? special : (body < 0x38800000u ? small : normal);
    return (uint16_t)(half | sign);
}
/* Rounds to odd first, so that the second rounding cannot err. */
static inline float cpu_float_odd(double value) {
    float near = (float)value;
    uint32_t bits = cpu_float_bits(near);
    if ((double)near == value || near != near || (bits & 1u)) return near;
    if (isinf(near)) return cpu_bits_float(bits - 1);
    bool below = fabs((double)near) < fabs(value);
    return cpu_bits_float(below ? bits + 1 : bits - 1);
}
static inline float cpu_float_from_bfloat(uint16_t bfloat) { return cpu_bits_float((uint32_t)bfloat << 16); }
static inline uint16_t cpu_bfloat_from_float(float value) {
    uint32_t bits = cpu_float_bits(value);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16 | 0x40u) : rounded);
}

/* A value out of range gives what the processor's conversion gives on x86: the smallest integer; narrower types wrap.
 */
static inline int64_t cpu_int64_from_double(double value) {
    return value >= -9223372036854775808.0 && value < 9223372036854775808.0 ? (int64_t)value : INT64_MIN;
}
static inline uint64_t cpu_uint64_from_double(double value) {
    if (value >= 9223372036854775808.0 && value < 18446744073709551616.0) return (uint64_t)value;
    return (uint64_t)cpu_int64_from_double(value);
}
static inline int32_t cpu_int32_from_double(double value) {
    return value > -2147483649.0 && value < 2147483648.0 ? (int32_t)value : INT32_MIN;
}

/* The 8-bit floats and float4e2m1: value of a code, and the code nearest to a value. `dtype` must be one of them.
 * `saturate`: what is too large becomes the largest, else NaN or infinity as the type has it. */
float cpu_float_from_minifloat(partita_dtype dtype, uint8_t code);
uint8_t cpu_minifloat_from_float(partita_dtype dtype, float value, bool saturate);
/* float8e8m0 with the rounding that Cast's round_mode names: 'u' up, 'd' down, 'n' nearest. */
uint8_t cpu_e8m0_from_float(float value, bool saturate, char mode);
bool cpu_dtype_is_minifloat(partita_dtype dtype);

bool cpu_dtype_is_float(partita_dtype dtype);

/* Codes of packed types, one per byte, sign-extended where the type is signed. `first`: index of the first element. */
void cpu_unpack(partita_dtype dtype, const void *packed, uint64_t first, uint64_t n, uint8_t *codes);
void cpu_pack(partita_dtype dtype, const uint8_t *codes, uint64_t n, void *packed);

/* n elements from index `first` of any numeric type as double, and back with that type's rounding and wrapping. Exact
 * for all but the two 64-bit integer types, which have their own pair. */
/* Numbers in an element, and their type: a complex one is two. */
static inline uint32_t cpu_parts(partita_dtype dtype, partita_dtype *out_part) {
    bool two = dtype == PARTITA_COMPLEX64 || dtype == PARTITA_COMPLEX128;
    *out_part = dtype == PARTITA_COMPLEX64 ? PARTITA_FLOAT32 : dtype == PARTITA_COMPLEX128 ? PARTITA_FLOAT64 : dtype;
    return two ? 2 : 1;
}
void cpu_load_doubles(partita_dtype dtype, const void *data, uint64_t first, uint64_t n, double *out);
void cpu_load_int64s(partita_dtype dtype, const void *data, uint64_t first, uint64_t n, int64_t *out);
void cpu_load_floats(partita_dtype dtype, const void *data, uint64_t first, uint64_t n, float *out);
void cpu_store_floats(partita_dtype dtype, void *data, uint64_t first, uint64_t n, const float *in);
void cpu_store_doubles(partita_dtype dtype, void *data, uint64_t first, uint64_t n, const double *in);
void cpu_store_int64s(partita_dtype dtype, void *data, uint64_t first, uint64_t n, const int64_t *in);

/* Keys of n elements `stride` apart: unsigned numbers in the order of the elements. Zeros of both signs are equal, a
 * NaN is above all else. */
void cpu_load_keys(partita_dtype dtype, const void *data, uint64_t first, int64_t stride, uint64_t n, uint64_t *out);

#endif
