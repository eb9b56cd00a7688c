/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: per tensor, per axis and per block. By chunks: elements,
 * scales and zero points are brought to float beside each other, so that one loop serves all types and granularities.
 */
#include "cpu/kernels/integer.h"

#define CHUNK 256

typedef struct quantise_state {
    int64_t axis, block_size;
    bool saturate;
    partita_dtype precision; /* of the division; UNDEFINED: the scale's type */
} quantise_state;

static partita_status quantise_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    quantise_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->axis = cpu_attr_int(node, "axis", 1);
    state->block_size = cpu_attr_int(node, "block_size", 0);
    state->saturate = cpu_attr_int(node, "saturate", 1) != 0;
    state->precision = (partita_dtype)cpu_attr_int(node, "precision", 0);
    *out_state = state;
    return PARTITA_OK;
}

/* Element e has scale ((e / (axis * inner)) * blocks + (e / inner % axis) / block) * inner_scale + e % inner, where
 * per-axis scales have no outer and no inner part. */
typedef struct grain {
    uint64_t axis, inner, block, blocks;
    bool one, per_axis;
} grain;

static partita_status grain_init(const cpu_call *call, const quantise_state *state, grain *out) {
    const cpu_tensor *in = &call->in[0], *scale = &call->in[1];
    uint32_t axis;
    *out = (grain){.axis = 1, .inner = 1, .block = 1, .blocks = 1};
    if (cpu_has_input(call, 2) && call->in[2].count != scale->count)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "scale and zero point have different shapes");
    out->one = scale->count == 1 && scale->rank <= 1;
    if (out->one) return PARTITA_OK;
    partita_status status = cpu_axis(call, state->axis, in->rank, &axis);
    if (status != PARTITA_OK) return status;
    out->axis = (uint64_t)in->dims[axis];
    out->inner = cpu_extent(in->dims, axis + 1, in->rank);
    out->per_axis = scale->rank == 1 && state->block_size == 0;
    if (out->per_axis) {
        out->blocks = out->axis;
        if (scale->count == out->axis) return PARTITA_OK;
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%llu scales for an axis of %llu",
                        (unsigned long long)scale->count, (unsigned long long)out->axis);
    }
    bool fits = state->block_size > 0 && scale->rank == in->rank;
    out->block = fits ? (uint64_t)state->block_size : 1;
    out->blocks = (out->axis + out->block - 1) / out->block;
    for (uint32_t d = 0; fits && d < in->rank; d++)
        fits = scale->dims[d] == (d == axis ? (int64_t)out->blocks : in->dims[d]);
    return fits ? PARTITA_OK : cpu_fail(call->host, PARTITA_BAD_INPUT, "the scale's shape fits no block of the input");
}

static uint64_t grain_at(const grain *g, uint64_t element) {
    uint64_t along = element / g->inner % g->axis;
    if (g->per_axis) return along;
    return (element / g->inner / g->axis * g->blocks + along / g->block) * g->inner + element % g->inner;
}

/* Scales and zero points of elements [first, first + n), beside each other. */
static void grain_load(const cpu_call *call, const grain *g, uint64_t first, uint64_t n, float *scale, float *zero) {
    const cpu_tensor *scales = &call->in[1], *zeros = cpu_has_input(call, 2) ? &call->in[2] : NULL;
    for (uint64_t i = 0; i < n;) {
        uint64_t at = g->one ? 0 : grain_at(g, first + i);
        /* How long the scale stands still. */
        uint64_t run = g->one ? n - i : g->inner - (first + i) % g->inner;
        if (!g->one && !g->per_axis && g->inner > 1) run = 1;
        if (!g->one && !g->per_axis && g->inner == 1) {
            uint64_t along = (first + i) % g->axis;
            run = g->block - along % g->block;
            if (run > g->axis - along) run = g->axis - along;
        }
        if (run > n - i) run = n - i;
        float s, z = 0;
        cpu_load_floats(scales->dtype, scales->data, at, 1, &s);
        if (zeros != NULL) cpu_load_floats(zeros->dtype, zeros->data, at, 1, &z);
        for (uint64_t j = i; j < i + run; j++) scale[j] = s, zero[j] = z;
        i += run;
    }
}

static void round_to(partita_dtype dtype, float *values, uint64_t n) {
    uint16_t halves[CHUNK];
    if (dtype != PARTITA_FLOAT16 && dtype != PARTITA_BFLOAT16) return;
    cpu_store_floats(dtype, halves, 0, n, values);
    cpu_load_floats(dtype, halves, 0, n, values);
}

static bool int_range(partita_dtype dtype, float *out_low, float *out_high) {
    uint32_t bits = cpu_dtype_bits(dtype);
    bool is_signed = dtype == PARTITA_INT8 || dtype == PARTITA_INT16 || dtype == PARTITA_INT4 || dtype == PARTITA_INT2;
    if (cpu_dtype_is_float(dtype)) return false;
    *out_low = is_signed ? -(float)(1u << (bits - 1)) : 0;
    *out_high = is_signed ? (float)((1u << (bits - 1)) - 1) : (float)((1u << bits) - 1);
    return true;
}

/* x / scale, rounded to even, plus zero, clamped. The clamp comes first: then adding 1.5 * 2^23 rounds. */
static void quantise_ints(float *x, const float *zero, uint64_t n, float low, float high) {
    for (uint64_t i = 0; i < n; i++) {
        float least = low - zero[i], most = high - zero[i];
        float value = x[i] >= least ? x[i] : least; /* a NaN becomes the lowest */
        value = value <= most ? value : most;
        value = (value + 12582912.0f) - 12582912.0f;
        x[i] = value + zero[i];
    }
}

static void quantise_store(const cpu_tensor *out, uint64_t first, uint64_t n, const float *x, bool saturate) {
    uint8_t codes[CHUNK];
    bool small = cpu_dtype_is_minifloat(out->dtype);
    if (!small && cpu_dtype_bits(out->dtype) >= 8) {
        cpu_store_floats(out->dtype, out->data, first, n, x);
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        codes[i] = small ? cpu_minifloat_from_float(out->dtype, x[i], saturate) : (uint8_t)(int32_t)x[i];
    if (cpu_dtype_bits(out->dtype) == 8)
        memcpy((char *)out->data + first, codes, n);
    else
        cpu_pack(out->dtype, codes, n, (char *)out->data + first * cpu_dtype_bits(out->dtype) / 8);
}

static partita_status quantise_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const quantise_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    float x[CHUNK], scale[CHUNK], zero[CHUNK], low = 0, high = 0;
    uint64_t first, last;
    grain g;
    partita_status status = grain_init(call, state, &g);
    if (status == PARTITA_OK) status = cpu_expect_like(call, 0, in);
    if (status == PARTITA_OK && cpu_has_input(call, 2) && call->in[2].dtype != out->dtype)
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "zero point and output are of different types");
    if (status != PARTITA_OK) return status;
    partita_dtype precision = state->precision != PARTITA_UNDEFINED ? state->precision : call->in[1].dtype;
    bool ints = int_range(out->dtype, &low, &high);
    cpu_item_range(out, begin, end, &first, &last);
    for (; first < last; first += CHUNK) {
        uint64_t n = last - first < CHUNK ? last - first : CHUNK;
        cpu_load_floats(in->dtype, in->data, first, n, x);
        grain_load(call, &g, first, n, scale, zero);
        round_to(precision, x, n);
        round_to(precision, scale, n);
        for (uint64_t i = 0; i < n; i++) x[i] /= scale[i];
        round_to(precision, x, n);
        if (ints)
            quantise_ints(x, zero, n, low, high);
        else
            for (uint64_t i = 0; i < n; i++) x[i] += zero[i];
        quantise_store(out, first, n, x, state->saturate);
    }
    return PARTITA_OK;
}

static partita_status dequantise_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    float x[CHUNK], scale[CHUNK], zero[CHUNK];
    uint64_t first, last;
    grain g;
    partita_status status = grain_init(call, call->state, &g);
    if (status == PARTITA_OK) status = cpu_expect_like(call, 0, in);
    if (status == PARTITA_OK && cpu_has_input(call, 2) && call->in[2].dtype != in->dtype)
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "zero point and input are of different types");
    if (status != PARTITA_OK) return status;
    cpu_item_range(out, begin, end, &first, &last);
    for (; first < last; first += CHUNK) {
        uint64_t n = last - first < CHUNK ? last - first : CHUNK;
        cpu_load_floats(in->dtype, in->data, first, n, x);
        grain_load(call, &g, first, n, scale, zero);
        for (uint64_t i = 0; i < n; i++) x[i] = (x[i] - zero[i]) * scale[i];
        cpu_store_floats(out->dtype, out->data, first, n, x);
    }
    return PARTITA_OK;
}

/* ---- DynamicQuantizeLinear ---- */

void cpu_dynamic_scale(const float *x, uint64_t n, float *out_scale, int32_t *out_zero) {
    float low = 0, high = 0;
    for (uint64_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    *out_scale = high == low ? 1.0f : (high - low) / 255.0f;
    *out_zero = (int32_t)rintf(fminf(fmaxf(-low / *out_scale, 0.0f), 255.0f));
}

static partita_status dynamic_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    const float *x = in->data;
    float scale, chunk[CHUNK], zeros[CHUNK];
    int32_t zero;
    partita_status status = cpu_expect_like(call, 0, in);
    if (status != PARTITA_OK) return status;
    cpu_dynamic_scale(x, in->count, &scale, &zero);
    for (uint32_t i = 0; i < CHUNK; i++) zeros[i] = (float)zero;
    for (uint64_t first = 0; first < in->count; first += CHUNK) {
        uint64_t n = in->count - first < CHUNK ? in->count - first : CHUNK;
        for (uint64_t i = 0; i < n; i++) chunk[i] = x[first + i] / scale;
        quantise_ints(chunk, zeros, n, 0, 255);
        cpu_store_floats(out->dtype, out->data, first, n, chunk);
    }
    if (cpu_has_output(call, 1)) *(float *)call->out[1].data = scale;
    if (cpu_has_output(call, 2)) *(uint8_t *)call->out[2].data = (uint8_t)zero;
    return PARTITA_OK;
}

/* Only DequantizeLinear has int32. */
static bool quantise_claim(const cpu_node *node, ptp_answer *answer) {
    return cpu_output_dtype(node, 0) != PARTITA_INT32 || cpu_refuse(answer, PARTITA_REASON_DTYPE, "quantised to int32");
}

#define FLOATS (CPU_TYPE(FLOAT32) | CPU_HALVES | CPU_TYPE(INT32))
#define CODES                                                                                                          \
    (CPU_TYPE(INT8) | CPU_TYPE(UINT8) | CPU_TYPE(INT16) | CPU_TYPE(UINT16) | CPU_TYPE(INT32) | CPU_FLOAT8 | CPU_PACKED)
#define ROW(operator, group, first, kinds, claims, runs)                                                               \
    {                                                                                                                  \
        .op = operator, .domain = group, .since = first, .until = CPU_NEWEST, .types = kinds, .reference = true,       \
        .claim = claims, .prepare = quantise_prepare, .release = cpu_free, .items = cpu_items_elements, .run = runs    \
    }
const cpu_kernel cpu_kernels_quantise[] = {
    ROW("QuantizeLinear", "", 10, FLOATS, quantise_claim, quantise_run),
    ROW("QuantizeLinear", "com.microsoft", 1, FLOATS, quantise_claim, quantise_run),
    ROW("DequantizeLinear", "", 10, CODES, NULL, dequantise_run),
    ROW("DequantizeLinear", "com.microsoft", 1, CODES, NULL, dequantise_run),
    {.op = "DynamicQuantizeLinear",
     .domain = "",
     .since = 11,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(FLOAT32),
     .reference = true,
     .run = dynamic_run},
};
const uint32_t cpu_kernels_quantise_count = sizeof(cpu_kernels_quantise) / sizeof(cpu_kernels_quantise[0]);
