/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cast and CastLike between all types. Numbers go by chunks through the widest type that loses nothing on the way:
 * floats through float or double, integers through int64.
 */
#include "cpu/kernels/support.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK 256

typedef struct cast_state {
    bool saturate;
    char round_mode; /* of float8e8m0: 'u', 'd' or 'n' */
    locale_t locale; /* for numbers in strings: points are points */
} cast_state;

static partita_status cast_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cast_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    state->saturate = cpu_attr_int(node, "saturate", 1) != 0;
    state->round_mode = cpu_attr_is(node, "round_mode", "down")      ? 'd'
                        : cpu_attr_is(node, "round_mode", "nearest") ? 'n'
                                                                     : 'u';
    if (cpu_input_dtype(node, 0) != PARTITA_STRING && cpu_output_dtype(node, 0) != PARTITA_STRING) return PARTITA_OK;
    state->locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (state->locale == (locale_t)0) return cpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for a locale");
    return PARTITA_OK;
}

static void cast_release(const ptp_host *host, void *state) {
    cast_state *cast = state;
    if (cast == NULL) return;
    if (cast->locale != (locale_t)0) freelocale(cast->locale);
    cpu_free(host, cast);
}

static bool is_string(const cpu_node *node, bool output) {
    return (output ? cpu_output_dtype(node, 0) : cpu_input_dtype(node, 0)) == PARTITA_STRING;
}
static bool claim_numbers(const cpu_node *node, ptp_answer *answer) {
    return !is_string(node, true) || cpu_refuse(answer, PARTITA_REASON_DTYPE, "the output is string");
}
static bool claim_to_string(const cpu_node *node, ptp_answer *answer) {
    return is_string(node, true) || cpu_refuse(answer, PARTITA_REASON_DTYPE, "the output is no string");
}

/* Codes of a small float, whose overflow the node decides; `first` is even, so packed codes fill whole bytes. */
static void store_small_floats(const cast_state *state, const cpu_tensor *out, uint64_t first, uint64_t n,
                               const double *in) {
    uint8_t codes[CHUNK];
    for (uint64_t i = 0; i < n; i++) {
        float value = cpu_float_odd(in[i]);
        codes[i] = out->dtype == PARTITA_FLOAT8E8M0 ? cpu_e8m0_from_float(value, state->saturate, state->round_mode)
                                                    : cpu_minifloat_from_float(out->dtype, value, state->saturate);
    }
    if (cpu_dtype_bits(out->dtype) == 8)
        memcpy((char *)out->data + first, codes, n);
    else
        cpu_pack(out->dtype, codes, n, (char *)out->data + first * cpu_dtype_bits(out->dtype) / 8);
}

static void cast_chunk(const cast_state *state, const cpu_tensor *in, const cpu_tensor *out, uint64_t first,
                       uint64_t n) {
    union {
        float f[CHUNK];
        double d[CHUNK];
        int64_t i[CHUNK];
    } chunk;
    bool from_float = cpu_dtype_is_float(in->dtype), to_float = cpu_dtype_is_float(out->dtype);
    if (!from_float && !cpu_dtype_is_minifloat(out->dtype) && in->dtype != PARTITA_UINT64) {
        cpu_load_int64s(in->dtype, in->data, first, n, chunk.i);
        cpu_store_int64s(out->dtype, out->data, first, n, chunk.i);
    } else if (in->dtype == PARTITA_UINT64 && !to_float) {
        cpu_load_int64s(in->dtype, in->data, first, n, chunk.i);
        cpu_store_int64s(out->dtype, out->data, first, n, chunk.i);
    } else if (in->dtype != PARTITA_FLOAT64 && (from_float || out->dtype == PARTITA_FLOAT32) && to_float &&
               !cpu_dtype_is_minifloat(out->dtype)) {
        cpu_load_floats(in->dtype, in->data, first, n, chunk.f);
        cpu_store_floats(out->dtype, out->data, first, n, chunk.f);
    } else {
        cpu_load_doubles(in->dtype, in->data, first, n, chunk.d);
        if (cpu_dtype_is_minifloat(out->dtype))
            store_small_floats(state, out, first, n, chunk.d);
        else
            cpu_store_doubles(out->dtype, out->data, first, n, chunk.d);
    }
}

static partita_status cast_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    uint64_t first, last;
    partita_status status = cpu_expect_like(call, 0, in);
    if (status != PARTITA_OK) return status;
    cpu_item_range(out, begin, end, &first, &last);
    if (in->dtype == out->dtype) {
        uint64_t bits = cpu_dtype_bits(in->dtype);
        uint64_t from = first * bits / 8, to = (last * bits + 7) / 8;
        if (from < to && out->data != in->data)
            memcpy((char *)out->data + from, (const char *)in->data + from, to - from);
        return PARTITA_OK;
    }
    for (; first < last; first += CHUNK)
        cast_chunk(call->state, in, out, first, last - first < CHUNK ? last - first : CHUNK);
    return PARTITA_OK;
}

/* ---- strings ---- */

static bool text_number(const char *text, partita_dtype dtype, double *out_real, int64_t *out_int, bool *out_is_int) {
    char *end;
    errno = 0;
    *out_is_int = false;
    if (strcmp(text, "True") == 0 || strcmp(text, "False") == 0 || strcmp(text, "true") == 0 ||
        strcmp(text, "false") == 0) {
        *out_int = text[0] == 'T' || text[0] == 't';
        *out_is_int = true;
        return dtype == PARTITA_BOOL;
    }
    if (!cpu_dtype_is_float(dtype)) {
        *out_int = dtype == PARTITA_UINT64 ? (int64_t)strtoull(text, &end, 10) : strtoll(text, &end, 10);
        *out_is_int = true;
        if (end != text && *end == '\0' && errno == 0) return true;
        *out_is_int = false;
    }
    *out_real = strtod(text, &end);
    return end != text && *end == '\0';
}

static partita_status parse_one(const cpu_call *call, const cpu_strings *strings, uint64_t i) {
    const cpu_tensor *out = &call->out[0];
    uint64_t size = strings->offsets[i + 1] - strings->offsets[i];
    char text[256];
    double real = 0;
    int64_t whole = 0;
    bool is_int = false;
    if (size < sizeof(text)) {
        memcpy(text, strings->bytes + strings->offsets[i], size);
        text[size] = '\0';
    }
    if (size >= sizeof(text) || strlen(text) != size || !text_number(text, out->dtype, &real, &whole, &is_int))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "string %llu is no number", (unsigned long long)i);
    if (is_int)
        cpu_store_int64s(out->dtype, out->data, i, 1, &whole);
    else if (cpu_dtype_is_minifloat(out->dtype))
        store_small_floats(call->state, out, i, 1, &real);
    else
        cpu_store_doubles(out->dtype, out->data, i, 1, &real);
    return PARTITA_OK;
}

static partita_status from_strings_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cast_state *state = call->state;
    cpu_strings strings;
    partita_status status = cpu_expect_like(call, 0, &call->in[0]);
    if (status == PARTITA_OK) status = cpu_strings_of(call, &call->in[0], &strings);
    if (status != PARTITA_OK) return status;
    locale_t before = uselocale(state->locale);
    for (uint64_t i = 0; i < strings.count && status == PARTITA_OK; i++) status = parse_one(call, &strings, i);
    uselocale(before);
    return status;
}

/* The shortest text that reads back as the same number of the type. */
static int print_real(char *text, size_t size, partita_dtype dtype, double value) {
    if (isnan(value)) return snprintf(text, size, "NaN");
    if (isinf(value)) return snprintf(text, size, value < 0 ? "-INF" : "INF");
    int most = dtype == PARTITA_FLOAT64 ? 17 : 9, length = 0;
    for (int digits = dtype == PARTITA_FLOAT64 ? 15 : 6; digits <= most; digits++) {
        length = snprintf(text, size, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (dtype == PARTITA_FLOAT64 ? back == value : (float)back == (float)value) break;
    }
    return length;
}

static int print_one(const cpu_tensor *in, uint64_t i, char *text, size_t size) {
    double real;
    int64_t whole;
    if (cpu_dtype_is_float(in->dtype)) {
        cpu_load_doubles(in->dtype, in->data, i, 1, &real);
        return print_real(text, size, in->dtype, real);
    }
    cpu_load_int64s(in->dtype, in->data, i, 1, &whole);
    if (in->dtype == PARTITA_BOOL) return snprintf(text, size, whole != 0 ? "1" : "0");
    return in->dtype == PARTITA_UINT64 ? snprintf(text, size, "%llu", (unsigned long long)whole)
                                       : snprintf(text, size, "%lld", (long long)whole);
}

#define MOST_DIGITS 32 /* of a printed number */

static partita_status to_strings_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cast_state *state = call->state;
    const ptp_host *host = call->host;
    const cpu_tensor *in = &call->in[0];
    uint64_t *offsets = cpu_alloc(host, (in->count + 1) * sizeof(*offsets));
    char *bytes = cpu_alloc(host, (in->count + 1) * MOST_DIGITS);
    ptp_value *value = NULL;
    partita_status status = PARTITA_OUT_OF_MEMORY;
    if (offsets == NULL || bytes == NULL) goto out;
    locale_t before = uselocale(state->locale);
    for (uint64_t i = 0; i < in->count; i++)
        offsets[i + 1] = offsets[i] + (uint64_t)print_one(in, i, bytes + offsets[i], MOST_DIGITS);
    uselocale(before);
    status = host->value_new_strings(host->self, in->rank, in->dims, offsets, bytes, &value);
    if (status == PARTITA_OK) status = cpu_call_set(call, 0, value);
    if (value != NULL) host->value_release(host->self, value);
out:
    cpu_free(host, bytes);
    cpu_free(host, offsets);
    return status;
}

static partita_status same_strings_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    return cpu_call_set(call, 0, call->in[0].value);
}

#define CAST_NUMBERS ((CPU_FIXED | CPU_PACKED) & ~(CPU_TYPE(COMPLEX64) | CPU_TYPE(COMPLEX128)))
#define CAST_ROWS(name)                                                                                                \
    {.op = name,                                                                                                       \
     .domain = "",                                                                                                     \
     .since = 1,                                                                                                       \
     .until = CPU_NEWEST,                                                                                              \
     .types = CAST_NUMBERS,                                                                                            \
     .reference = true,                                                                                                \
     .claim = claim_numbers,                                                                                           \
     .prepare = cast_prepare,                                                                                          \
     .release = cast_release,                                                                                          \
     .items = cpu_items_elements,                                                                                      \
     .run = cast_run},                                                                                                 \
        {.op = name,                                                                                                   \
         .domain = "",                                                                                                 \
         .since = 1,                                                                                                   \
         .until = CPU_NEWEST,                                                                                          \
         .types = CAST_NUMBERS,                                                                                        \
         .reference = true,                                                                                            \
         .claim = claim_to_string,                                                                                     \
         .prepare = cast_prepare,                                                                                      \
         .release = cast_release,                                                                                      \
         .run = to_strings_run,                                                                                        \
         .emit = true},                                                                                                \
        {.op = name,                                                                                                   \
         .domain = "",                                                                                                 \
         .since = 1,                                                                                                   \
         .until = CPU_NEWEST,                                                                                          \
         .types = CPU_TYPE(STRING),                                                                                    \
         .reference = true,                                                                                            \
         .claim = claim_numbers,                                                                                       \
         .prepare = cast_prepare,                                                                                      \
         .release = cast_release,                                                                                      \
         .run = from_strings_run},                                                                                     \
    {                                                                                                                  \
        .op = name, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_TYPE(STRING), .reference = true,       \
        .claim = claim_to_string, .run = same_strings_run, .emit = true                                                \
    }

const cpu_kernel cpu_kernels_cast[] = {
    CAST_ROWS("Cast"),
    CAST_ROWS("CastLike"),
};
const uint32_t cpu_kernels_cast_count = sizeof(cpu_kernels_cast) / sizeof(cpu_kernels_cast[0]);
