/* SPDX-License-Identifier: Apache-2.0 */
/* One element of a dense tensor of any type, widened to double and int64. */
#include "element.h"
#include <math.h>
#include <string.h>

/* A small float: sign, exponent, mantissa bits; how its largest exponent is read. */
typedef struct float_format {
    int exponent_bits, mantissa_bits, bias;
    bool has_infinity;     /* the largest exponent holds infinity and NaN, as IEEE 754 does */
    bool only_zero_is_nan; /* FNUZ: the pattern of minus zero is NaN */
    bool all_ones_is_nan;  /* FN: the pattern of all ones is NaN */
} float_format;

static double small_float(uint32_t bits, const float_format *format) {
    int width = format->exponent_bits + format->mantissa_bits;
    uint32_t magnitude = bits & ((1u << width) - 1), sign = bits >> width & 1;
    int exponent = (int)(magnitude >> format->mantissa_bits),
        mantissa = (int)(magnitude & ((1u << format->mantissa_bits) - 1));
    if (format->only_zero_is_nan && sign && magnitude == 0) return NAN;
    if (format->all_ones_is_nan && magnitude == (1u << width) - 1) return NAN;
    if (format->has_infinity && exponent == (1 << format->exponent_bits) - 1)
        return mantissa ? NAN : sign ? -INFINITY : INFINITY;
    double value = exponent ? ldexp(1.0 + ldexp(mantissa, -format->mantissa_bits), exponent - format->bias)
                            : ldexp(mantissa, 1 - format->bias - format->mantissa_bits);
    return sign ? -value : value;
}

static const struct {
    partita_dtype dtype;
    float_format format;
} formats[] = {
    {PARTITA_FLOAT16, {5, 10, 15, true, false, false}},    {PARTITA_BFLOAT16, {8, 7, 127, true, false, false}},
    {PARTITA_FLOAT8E4M3FN, {4, 3, 7, false, false, true}}, {PARTITA_FLOAT8E4M3FNUZ, {4, 3, 8, false, true, false}},
    {PARTITA_FLOAT8E5M2, {5, 2, 15, true, false, false}},  {PARTITA_FLOAT8E5M2FNUZ, {5, 2, 16, false, true, false}},
    {PARTITA_FLOAT4E2M1, {2, 1, 1, false, false, false}},  {PARTITA_FLOAT6E2M3, {2, 3, 1, false, false, false}},
    {PARTITA_FLOAT6E3M2, {3, 2, 3, false, false, false}},
};

static uint32_t raw_bits(const partita_value_view *view, uint64_t index, uint32_t width) {
    const uint8_t *data = view->data;
    uint16_t two;
    if (width == 16) return memcpy(&two, data + index * 2, 2), two;
    if (width == 8) return data[index];
    uint64_t at = index * width;
    uint32_t shift = (uint32_t)(at % 8), word = data[at / 8];
    if (shift + width > 8) word |= (uint32_t)data[at / 8 + 1] << 8;
    return word >> shift & ((1u << width) - 1);
}

static tool_element integer(int64_t value) { return (tool_element){true, value, (double)value, 0}; }
static tool_element real(double value) { return (tool_element){false, 0, value, 0}; }

tool_element tool_element_at(const partita_value_view *view, uint64_t index) {
    const void *data = view->data;
    switch (view->dtype) {
    case PARTITA_FLOAT32: return real(((const float *)data)[index]);
    case PARTITA_FLOAT64: return real(((const double *)data)[index]);
    case PARTITA_COMPLEX64:
        return (tool_element){false, 0, ((const float *)data)[index * 2], ((const float *)data)[index * 2 + 1]};
    case PARTITA_COMPLEX128:
        return (tool_element){false, 0, ((const double *)data)[index * 2], ((const double *)data)[index * 2 + 1]};
    case PARTITA_INT8: return integer(((const int8_t *)data)[index]);
    case PARTITA_INT16: return integer(((const int16_t *)data)[index]);
    case PARTITA_INT32: return integer(((const int32_t *)data)[index]);
    case PARTITA_INT64: return integer(((const int64_t *)data)[index]);
    case PARTITA_BOOL:
    case PARTITA_UINT8: return integer(((const uint8_t *)data)[index]);
    case PARTITA_UINT16: return integer(((const uint16_t *)data)[index]);
    case PARTITA_UINT32: return integer(((const uint32_t *)data)[index]);
    case PARTITA_UINT64: {
        uint64_t value = ((const uint64_t *)data)[index];
        return (tool_element){true, (int64_t)value, (double)value, 0};
    }
    case PARTITA_UINT4: return integer(raw_bits(view, index, 4));
    case PARTITA_UINT2: return integer(raw_bits(view, index, 2));
    case PARTITA_INT4: return integer((int64_t)(raw_bits(view, index, 4) ^ 8) - 8);
    case PARTITA_INT2: return integer((int64_t)(raw_bits(view, index, 2) ^ 2) - 2);
    case PARTITA_FLOAT8E8M0: {
        uint32_t bits = raw_bits(view, index, 8);
        return real(bits == 255 ? NAN : ldexp(1.0, (int)bits - 127));
    }
    default: break;
    }
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (formats[i].dtype != view->dtype) continue;
        uint32_t width = (uint32_t)(1 + formats[i].format.exponent_bits + formats[i].format.mantissa_bits);
        return real(small_float(raw_bits(view, index, width), &formats[i].format));
    }
    return real(NAN);
}

const char *tool_kind_name(partita_kind kind) {
    static const char *const names[PARTITA_KIND_COUNT] = {
#define X(name, number, text) [number] = text,
        PARTITA_KIND_ROWS(X)
#undef X
    };
    return names[kind];
}
