/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions of numbers, see number.h. One loop per type pair through a macro; the small formats go through a
 * description of their fields, so that all 8-, 6- and 4-bit floats share one conversion.
 */
#include "cpu/kernels/kernel.h"
#include "cpu/kernels/number.h"

typedef struct minifloat {
    int mantissa; /* bits */
    int bias;
    uint32_t largest;   /* code of the largest finite value */
    uint32_t infinity;  /* code, 0: none */
    uint32_t nan;       /* code, 0: none */
    uint32_t sign;      /* mask of the sign bit */
    bool unsigned_zero; /* the code of -0 is NaN */
} minifloat;

/* Those of 4 and 6 bits have neither NaN nor infinity: NaN becomes -0, as in the libraries that define its conversion.
 */
static const minifloat formats[PARTITA_DTYPE_COUNT] = {
    [PARTITA_FLOAT8E4M3FN] = {3, 7, 0x7e, 0, 0x7f, 0x80, false},
    [PARTITA_FLOAT8E4M3FNUZ] = {3, 8, 0x7f, 0, 0x80, 0x80, true},
    [PARTITA_FLOAT8E5M2] = {2, 15, 0x7b, 0x7c, 0x7e, 0x80, false},
    [PARTITA_FLOAT8E5M2FNUZ] = {2, 16, 0x7f, 0, 0x80, 0x80, true},
    [PARTITA_FLOAT4E2M1] = {1, 1, 0x7, 0, 0, 0x8, false},
    [PARTITA_FLOAT6E2M3] = {3, 1, 0x1f, 0, 0, 0x20, false},
    [PARTITA_FLOAT6E3M2] = {2, 3, 0x1f, 0, 0, 0x20, false},
};

bool cpu_dtype_is_minifloat(partita_dtype dtype) {
    return dtype == PARTITA_FLOAT8E8M0 || (dtype < PARTITA_DTYPE_COUNT && formats[dtype].sign != 0);
}

bool cpu_dtype_is_float(partita_dtype dtype) {
    return dtype == PARTITA_FLOAT32 || dtype == PARTITA_FLOAT64 || dtype == PARTITA_FLOAT16 ||
           dtype == PARTITA_BFLOAT16 || cpu_dtype_is_minifloat(dtype);
}

float cpu_float_from_minifloat(partita_dtype dtype, uint8_t code) {
    if (dtype == PARTITA_FLOAT8E8M0) return code == 0xff ? NAN : ldexpf(1.0f, (int)code - 127);
    const minifloat *f = &formats[dtype];
    uint32_t body = code & (f->sign - 1), fraction = body & ((1u << f->mantissa) - 1);
    int exponent = (int)(body >> f->mantissa);
    if (f->unsigned_zero && code == f->sign) return NAN;
    if (body > f->largest)
        return f->infinity != 0 && body == f->infinity ? (code & f->sign ? -INFINITY : INFINITY) : NAN;
    float value = exponent == 0 ? ldexpf((float)fraction, 1 - f->bias - f->mantissa)
                                : ldexpf((float)(fraction | 1u << f->mantissa), exponent - f->bias - f->mantissa);
    return code & f->sign ? -value : value;
}

uint8_t cpu_e8m0_from_float(float value, bool saturate, char mode) {
    uint32_t bits = cpu_float_bits(value), exponent = bits >> 23 & 0xff, fraction = bits & 0x7fffff;
    if (exponent == 0xff) return fraction == 0 && saturate ? 0xfe : 0xff;
    if (exponent == 0 && fraction < 0x400000 && !saturate) return 0xff;
    /* Code 0 is 2^-127, a subnormal float whose fraction is 0x400000; other codes have fraction 0. */
    uint32_t exact = exponent == 0 ? 0x400000 : 0;
    bool up = mode == 'u' ? fraction > exact : mode == 'n' && fraction >= exact + (exponent == 0 ? 0x200000 : 0x400000);
    exponent += up;
    return (uint8_t)(exponent == 0xff && saturate ? 0xfe : exponent);
}

uint8_t cpu_minifloat_from_float(partita_dtype dtype, float value, bool saturate) {
    if (dtype == PARTITA_FLOAT8E8M0) return cpu_e8m0_from_float(value, saturate, 'u');
    const minifloat *f = &formats[dtype];
    uint32_t sign = signbit(value) ? f->sign : 0;
    if (isnan(value)) return (uint8_t)(f->nan == 0 ? f->sign : f->unsigned_zero ? f->nan : f->nan | sign);
    uint32_t body = f->largest + 1;
    float size = fabsf(value);
    if (size <= 1e30f) {
        /* In units of the last place at this exponent, which is at least that of the subnormals; rintf ties to even. */
        int exponent = size > 0 ? ilogbf(size) : 1 - f->bias;
        if (exponent < 1 - f->bias) exponent = 1 - f->bias;
        float places = rintf(ldexpf(size, f->mantissa - exponent));
        body = (uint32_t)places + ((uint32_t)(exponent + f->bias - 1) << f->mantissa);
    }
    if (body == 0 && f->unsigned_zero) return 0;
    if (body <= f->largest) return (uint8_t)(body | sign);
    if (saturate || f->nan == 0) return (uint8_t)(f->largest | sign);
    if (f->infinity != 0) return (uint8_t)(f->infinity | sign);
    return (uint8_t)(f->unsigned_zero ? f->nan : f->nan | sign);
}

/* Elements lie behind each other from the lowest bit on; those of 6 bits may reach into the next byte. */
void cpu_unpack(partita_dtype dtype, const void *packed, uint64_t first, uint64_t n, uint8_t *codes) {
    const uint8_t *bytes = packed;
    uint32_t bits = cpu_dtype_bits(dtype), mask = (1u << bits) - 1;
    bool is_signed = dtype == PARTITA_INT4 || dtype == PARTITA_INT2;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = (first + i) * bits;
        uint32_t shift = (uint32_t)(at % 8), word = bytes[at / 8];
        if (shift + bits > 8) word |= (uint32_t)bytes[at / 8 + 1] << 8;
        uint32_t code = word >> shift & mask;
        if (is_signed && (code >> (bits - 1)) != 0) code |= ~mask;
        codes[i] = (uint8_t)code;
    }
}

/* Elements are stored in order: the first of a byte clears it. */
static void code_set(uint8_t *bytes, uint32_t bits, uint64_t i, uint32_t code) {
    uint64_t at = i * bits;
    uint32_t shift = (uint32_t)(at % 8), word = (code & ((1u << bits) - 1)) << shift;
    bytes[at / 8] = (uint8_t)((shift == 0 ? 0u : bytes[at / 8]) | word);
    if (shift + bits > 8) bytes[at / 8 + 1] = (uint8_t)(word >> 8);
}

void cpu_pack(partita_dtype dtype, const uint8_t *codes, uint64_t n, void *packed) {
    uint32_t bits = cpu_dtype_bits(dtype);
    for (uint64_t i = 0; i < n; i++) code_set(packed, bits, i, codes[i]);
}

/* Rows: dtype, its C type, element as number, number as element. */
#define SAME(x) (x)
#define NUMBER_ROWS(X)                                                                                                 \
    X(FLOAT32, float, SAME, SAME)                                                                                      \
    X(FLOAT64, double, SAME, SAME)                                                                                     \
    X(FLOAT16, uint16_t, cpu_float_from_half, half_from)                                                               \
    X(BFLOAT16, uint16_t, cpu_float_from_bfloat, bfloat_from)                                                          \
    X(INT8, int8_t, SAME, int32_from)                                                                                  \
    X(INT16, int16_t, SAME, int32_from)                                                                                \
    X(INT32, int32_t, SAME, int32_from)                                                                                \
    X(INT64, int64_t, SAME, int64_from)                                                                                \
    X(UINT8, uint8_t, SAME, int32_from)                                                                                \
    X(UINT16, uint16_t, SAME, int32_from)                                                                              \
    X(UINT32, uint32_t, SAME, int64_from)                                                                              \
    X(UINT64, uint64_t, SAME, uint64_from)                                                                             \
    X(BOOL, uint8_t, SAME, bool_from)

#define half_from(x)   cpu_half_from_float(cpu_float_odd((double)(x)))
#define bfloat_from(x) cpu_bfloat_from_float(cpu_float_odd((double)(x)))
#define bool_from(x)   ((x) != 0)

#define LOAD_CASE(name, type, from, to)                                                                                \
    case PARTITA_##name: {                                                                                             \
        const type *in = (const type *)data + first;                                                                   \
        for (uint64_t i = 0; i < n; i++) out[i] = LOAD_AS(from(in[i]));                                                \
        return;                                                                                                        \
    }
#define STORE_CASE(name, type, from, to)                                                                               \
    case PARTITA_##name: {                                                                                             \
        type *out = (type *)data + first;                                                                              \
        for (uint64_t i = 0; i < n; i++) out[i] = (type)to(in[i]);                                                     \
        return;                                                                                                        \
    }

/* Code `i` of a small type as float; integers of 4 and 2 bits too. */
static float small_at(partita_dtype dtype, const void *data, uint64_t i) {
    uint8_t code;
    if (cpu_dtype_bits(dtype) == 8) return cpu_float_from_minifloat(dtype, ((const uint8_t *)data)[i]);
    cpu_unpack(dtype, data, i, 1, &code);
    if (cpu_dtype_is_minifloat(dtype)) return cpu_float_from_minifloat(dtype, code);
    return dtype == PARTITA_INT4 || dtype == PARTITA_INT2 ? (float)(int8_t)code : (float)code;
}

static void small_set(partita_dtype dtype, void *data, uint64_t i, double value) {
    uint32_t code = cpu_dtype_is_minifloat(dtype) ? cpu_minifloat_from_float(dtype, cpu_float_odd(value), true)
                                                  : (uint32_t)cpu_int64_from_double(value);
    code_set(data, cpu_dtype_bits(dtype), i, code);
}

#define int32_from  cpu_int32_from_double
#define int64_from  cpu_int64_from_double
#define uint64_from cpu_uint64_from_double

void cpu_load_doubles(partita_dtype dtype, const void *data, uint64_t first, uint64_t n, double *out) {
    switch (dtype) {
#define LOAD_AS(x) ((double)(x))
        NUMBER_ROWS(LOAD_CASE)
#undef LOAD_AS
    default:
        for (uint64_t i = 0; i < n; i++) out[i] = small_at(dtype, data, first + i);
    }
}

void cpu_load_floats(partita_dtype dtype, const void *data, uint64_t first, uint64_t n, float *out) {
    switch (dtype) {
#define LOAD_AS(x) ((float)(x))
        NUMBER_ROWS(LOAD_CASE)
#undef LOAD_AS
    default:
        for (uint64_t i = 0; i < n; i++) out[i] = small_at(dtype, data, first + i);
    }
}

void cpu_load_int64s(partita_dtype dtype, const void *data, uint64_t first, uint64_t n, int64_t *out) {
    switch (dtype) {
#define LOAD_AS(x)                                                                                                     \
    (_Generic((x), float                                                                                               \
              : cpu_int64_from_double((double)(x)), double                                                             \
              : cpu_int64_from_double((double)(x)), default                                                            \
              : (int64_t)(x)))
        NUMBER_ROWS(LOAD_CASE)
#undef LOAD_AS
    default:
        for (uint64_t i = 0; i < n; i++) out[i] = (int64_t)small_at(dtype, data, first + i);
    }
}

void cpu_store_doubles(partita_dtype dtype, void *data, uint64_t first, uint64_t n, const double *in) {
    switch (dtype) {
        NUMBER_ROWS(STORE_CASE)
    default:
        for (uint64_t i = 0; i < n; i++) small_set(dtype, data, first + i, in[i]);
    }
}

#undef half_from
#undef bfloat_from
#define half_from(x)   cpu_half_from_float(x)
#define bfloat_from(x) cpu_bfloat_from_float(x)
void cpu_store_floats(partita_dtype dtype, void *data, uint64_t first, uint64_t n, const float *in) {
    switch (dtype) {
        NUMBER_ROWS(STORE_CASE)
    default:
        for (uint64_t i = 0; i < n; i++) small_set(dtype, data, first + i, (double)in[i]);
    }
}

/* Integers wrap: the higher bits are dropped. */
#undef int32_from
#undef int64_from
#undef uint64_from
#undef half_from
#undef bfloat_from
#define int32_from(x)  (x)
#define int64_from(x)  (x)
#define uint64_from(x) (x)
#define half_from(x)   cpu_half_from_float(cpu_float_odd((double)(x)))
#define bfloat_from(x) cpu_bfloat_from_float(cpu_float_odd((double)(x)))
void cpu_store_int64s(partita_dtype dtype, void *data, uint64_t first, uint64_t n, const int64_t *in) {
    switch (dtype) {
        NUMBER_ROWS(STORE_CASE)
    default:
        for (uint64_t i = 0; i < n; i++) small_set(dtype, data, first + i, (double)in[i]);
    }
}

static uint64_t key_of_double(double value) {
    uint64_t bits;
    if (value != value) return UINT64_MAX;
    value += 0.0; /* -0 becomes 0 */
    memcpy(&bits, &value, sizeof(bits));
    return (bits >> 63) != 0 ? ~bits : bits | UINT64_C(1) << 63;
}

void cpu_load_keys(partita_dtype dtype, const void *data, uint64_t first, int64_t stride, uint64_t n, uint64_t *out) {
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = first + (uint64_t)((int64_t)i * stride);
        double real;
        int64_t whole;
        if (cpu_dtype_is_float(dtype)) {
            cpu_load_doubles(dtype, data, at, 1, &real);
            out[i] = key_of_double(real);
        } else {
            cpu_load_int64s(dtype, data, at, 1, &whole);
            out[i] = dtype == PARTITA_UINT64 ? (uint64_t)whole : (uint64_t)whole ^ UINT64_C(1) << 63;
        }
    }
}
