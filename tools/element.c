/* SPDX-License-Identifier: Apache-2.0 */
/* One element of a dense tensor of any type, widened to double and int64, or made from a word. */
#include "element.h"
#include "base/base.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>

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

/* The format of a type; NULL where it is no small float. */
static const float_format *format_of(partita_dtype dtype) {
    for (size_t i = 0; i < PT_COUNT_OF(formats); i++)
        if (formats[i].dtype == dtype) return &formats[i].format;
    return NULL;
}

static uint32_t width_of(const float_format *format) {
    return (uint32_t)(1 + format->exponent_bits + format->mantissa_bits);
}

/* The pattern next to `value`, the even one between two; false where the format has none for it. Patterns of one sign
 * are in the order of their values. */
static bool small_bits(double value, const float_format *format, uint32_t *out_bits) {
    uint32_t sign = 1u << (width_of(format) - 1), low = 0, high = sign - 1;
    if (isnan(value)) {
        *out_bits = isnan(small_float(high, format)) ? high : sign;
        return isnan(small_float(*out_bits, format));
    }
    while (isnan(small_float(high, format))) high--;
    double size = fabs(value);
    if (size > small_float(high, format)) return false;
    if (isfinite(size) && isinf(small_float(high, format))) high--;
    if (size > small_float(high, format)) return false;
    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;
        if (small_float(middle, format) <= size)
            low = middle;
        else
            high = middle - 1;
    }
    double under = size - small_float(low, format), over = small_float(low + 1, format) - size;
    if (isfinite(size) && under > 0 && (over < under || (over == under && low & 1))) low++;
    *out_bits = signbit(value) && !(format->only_zero_is_nan && low == 0) ? low | sign : low;
    return true;
}

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
    const float_format *format = format_of(view->dtype);
    return real(format ? small_float(raw_bits(view, index, width_of(format)), format) : NAN);
}

/* ---- from words ------------------------------------------------------------------------------ */

/* Writes the low `width` bits, at most 16, of an element that is zero so far. */
static void set_bits(void *data, uint64_t index, uint32_t width, uint32_t bits) {
    uint8_t *bytes = data;
    uint64_t at = index * width;
    bits <<= at % 8;
    for (uint64_t i = at / 8; bits; i++, bits >>= 8) bytes[i] |= (uint8_t)(bits & 255);
}

bool tool_element_set(void *data, partita_dtype dtype, uint64_t index, double value) {
    const float_format *format = format_of(dtype);
    uint32_t bits;
    if (dtype == PARTITA_FLOAT32) return ((float *)data)[index] = (float)value, true;
    if (dtype == PARTITA_FLOAT64) return ((double *)data)[index] = value, true;
    if (!format || !small_bits(value, format, &bits)) return false;
    set_bits(data, index, width_of(format), bits);
    return true;
}

/* Integers, by their width: what the word may be. */
static bool parse_integer(void *data, partita_dtype dtype, uint64_t index, const char *word) {
    static const struct {
        partita_dtype dtype;
        int64_t low, high;
    } ranges[] = {
        {PARTITA_INT8, INT8_MIN, INT8_MAX},
        {PARTITA_INT16, INT16_MIN, INT16_MAX},
        {PARTITA_INT32, INT32_MIN, INT32_MAX},
        {PARTITA_INT64, INT64_MIN, INT64_MAX},
        {PARTITA_UINT8, 0, UINT8_MAX},
        {PARTITA_UINT16, 0, UINT16_MAX},
        {PARTITA_UINT32, 0, UINT32_MAX},
        {PARTITA_INT4, -8, 7},
        {PARTITA_UINT4, 0, 15},
        {PARTITA_INT2, -2, 1},
        {PARTITA_UINT2, 0, 3},
        {PARTITA_BOOL, 0, 1},
    };
    char *end;
    errno = 0;
    if (dtype == PARTITA_UINT64) {
        uint64_t value = strtoull(word, &end, 10);
        ((uint64_t *)data)[index] = value;
        return end != word && !*end && errno == 0 && !strchr(word, '-');
    }
    int64_t value = strtoll(word, &end, 10);
    if (end == word || *end || errno != 0) return false;
    for (size_t i = 0; i < PT_COUNT_OF(ranges); i++) {
        if (ranges[i].dtype != dtype) continue;
        uint32_t width = pt_dtype_bits(dtype);
        if (value < ranges[i].low || value > ranges[i].high) return false;
        if (width >= 8)
            memcpy((uint8_t *)data + index * (width / 8), &value, width / 8);
        else
            set_bits(data, index, width, (uint32_t)value & ((1u << width) - 1));
        return true;
    }
    return false;
}

bool tool_element_parse(void *data, partita_dtype dtype, uint64_t index, const char *word) {
    char *end;
    if (dtype == PARTITA_BOOL && strcmp(word, "true") == 0) word = "1";
    if (dtype == PARTITA_BOOL && strcmp(word, "false") == 0) word = "0";
    if (dtype != PARTITA_FLOAT32 && dtype != PARTITA_FLOAT64 && !format_of(dtype))
        return parse_integer(data, dtype, index, word);
    double value = strtod(word, &end);
    if (dtype == PARTITA_FLOAT32) value = (double)strtof(word, &end); /* rounds once */
    return end != word && !*end && tool_element_set(data, dtype, index, value);
}

const char *tool_kind_name(partita_kind kind) {
    static const char *const names[PARTITA_KIND_COUNT] = {
#define X(name, number, text) [number] = text,
        PARTITA_KIND_ROWS(X)
#undef X
    };
    return names[kind];
}
