/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators of com.microsoft on quantised bytes that are computed in float between: element by element, joined along an
 * axis, and averages.
 */
#include "cpu/kernels/conv.h"
#include "cpu/kernels/integer.h"

#include <float.h>

/* A quantised operand: its bytes, one scale and one zero point. */
typedef struct operand {
    const cpu_tensor *bytes;
    float scale;
    int32_t zero;
} operand;

/* The tensor with scale and zero point in the inputs behind; BAD_INPUT when those are no single numbers. */
static partita_status parameters(const cpu_call *call, uint32_t scale, const cpu_tensor *bytes, operand *out) {
    bool fits = cpu_has_input(call, scale) && call->in[scale].count == 1 && call->in[scale].dtype == PARTITA_FLOAT32;
    if (cpu_has_input(call, scale + 1))
        fits = fits && call->in[scale + 1].count == 1 && call->in[scale + 1].dtype == bytes->dtype;
    if (!fits || (bytes->dtype != PARTITA_INT8 && bytes->dtype != PARTITA_UINT8))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "inputs %u and %u are no scale and zero point of a tensor of %s",
                        scale, scale + 1, cpu_dtype_name(bytes->dtype));
    *out = (operand){bytes, cpu_scale_at(call, scale, 0), cpu_zero_at(call, scale + 1, 0)};
    return PARTITA_OK;
}

static float value_at(const operand *o, uint64_t i) { return (float)(cpu_byte_at(o->bytes, i) - o->zero) * o->scale; }

/* A whole number, kept in the type's range. */
static void code_put(const operand *o, uint64_t i, float value) {
    float low = o->bytes->dtype == PARTITA_INT8 ? -128 : 0, high = o->bytes->dtype == PARTITA_INT8 ? 127 : 255;
    value = value > low ? (value < high ? value : high) : low; /* a NaN becomes the least */
    if (o->bytes->dtype == PARTITA_INT8)
        ((int8_t *)o->bytes->data)[i] = (int8_t)value;
    else
        ((uint8_t *)o->bytes->data)[i] = (uint8_t)value;
}

static void value_put(const operand *o, uint64_t i, float value) {
    code_put(o, i, rintf(value / o->scale) + (float)o->zero);
}

/* ---- one operand ----------------------------------------------------------------------------- */

typedef struct unary_state {
    bool leaky;
    float alpha;
} unary_state;

static partita_status unary_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    unary_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->leaky = ptp_str_is(ptp_ref_str(node->block, node->row.op), "QLinearLeakyRelu") != 0;
    state->alpha = cpu_attr_float(node, "alpha", 0.01f);
    return PARTITA_OK;
}

/* There are 256 results. */
static partita_status unary_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const unary_state *state = call->state;
    operand x, y;
    uint8_t table[256];
    uint64_t first, last;
    (void)worker;
    partita_status status = cpu_expect_like(call, 0, &call->in[0]);
    if (status == PARTITA_OK) status = parameters(call, 1, &call->in[0], &x);
    if (status == PARTITA_OK) status = parameters(call, 3, &call->out[0], &y);
    if (status != PARTITA_OK) return status;
    cpu_tensor codes = {.dtype = y.bytes->dtype, .data = table};
    y.bytes = &codes;
    for (int32_t i = 0; i < 256; i++) {
        float value = (float)((x.bytes->dtype == PARTITA_INT8 ? (int8_t)i : i) - x.zero) * x.scale;
        value_put(&y, (uint64_t)i, state->leaky ? (value < 0 ? value * state->alpha : value) : 1 / (1 + expf(-value)));
    }
    cpu_item_range(&call->out[0], begin, end, &first, &last);
    for (uint64_t i = first; i < last; i++)
        ((uint8_t *)call->out[0].data)[i] = table[((const uint8_t *)call->in[0].data)[i]];
    return PARTITA_OK;
}

/* ---- two operands ---------------------------------------------------------------------------- */

static partita_status pair_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    bool *times = cpu_alloc(host, sizeof(*times));
    *out_state = times;
    if (times == NULL) return PARTITA_OUT_OF_MEMORY;
    *times = ptp_str_is(ptp_ref_str(node->block, node->row.op), "QLinearMul") != 0;
    return PARTITA_OK;
}

/* x * y + z, rounded once: the product is exact in double, x being a byte. */
static float sum_of(int32_t x, float y, float z) { return (float)((double)x * (double)y + (double)z); }

/* Sums are made of two ratios of scales and all that doesn't change; so ties fall as they do in onnxruntime. */
typedef struct pair {
    operand in[2], out;
    bool times;
    float ratios[2], rest;
} pair;

static void pair_init(pair *p) {
    const operand *a = &p->in[0], *b = &p->in[1];
    p->ratios[0] = p->times ? a->scale * b->scale / p->out.scale : a->scale / p->out.scale;
    p->ratios[1] = b->scale / p->out.scale;
    p->rest = (float)p->out.zero;
    if (!p->times) p->rest -= sum_of(a->zero, p->ratios[0], p->ratios[1] * (float)b->zero);
}

#define CHUNK 256

/* Bytes as numbers; one for all when the operand stands still. */
static void bytes_load(const operand *o, uint64_t from, uint32_t step, uint64_t n, int32_t *to) {
    const int8_t *s = (const int8_t *)o->bytes->data + from;
    const uint8_t *u = (const uint8_t *)o->bytes->data + from;
    bool is_signed = o->bytes->dtype == PARTITA_INT8;
    for (uint64_t i = 0; step == 0 && i < n; i++) to[i] = is_signed ? *s : *u;
    for (uint64_t i = 0; step != 0 && is_signed && i < n; i++) to[i] = s[i];
    for (uint64_t i = 0; step != 0 && !is_signed && i < n; i++) to[i] = u[i];
}

/* The clamp comes first: then adding 1.5 * 2^23 rounds. A NaN becomes the lowest. */
static void codes_store(const operand *o, uint64_t at, float *values, uint64_t n) {
    float low = o->bytes->dtype == PARTITA_INT8 ? -128 : 0, high = o->bytes->dtype == PARTITA_INT8 ? 127 : 255;
    uint8_t *to = (uint8_t *)o->bytes->data + at;
    for (uint64_t i = 0; i < n; i++) {
        float value = values[i] > low ? values[i] : low;
        value = value < high ? value : high;
        to[i] = (uint8_t)(int32_t)((value + 12582912.0f) - 12582912.0f);
    }
}

static void pair_elements(const pair *p, uint64_t at, const uint64_t *from, const uint32_t *steps, uint64_t n) {
    int32_t x[CHUNK], y[CHUNK];
    float values[CHUNK];
    /* What stands still is added to the rest first. */
    uint32_t first = steps[0] == 0 ? 1 : 0;
    const int32_t *early = first ? x : y, *late = first ? y : x;
    for (uint64_t done = 0, count; done < n; done += count) {
        count = n - done < CHUNK ? n - done : CHUNK;
        bytes_load(&p->in[0], from[0] + done * steps[0], steps[0], count, x);
        bytes_load(&p->in[1], from[1] + done * steps[1], steps[1], count, y);
        for (uint64_t i = 0; p->times && i < count; i++)
            values[i] = (float)((x[i] - p->in[0].zero) * (y[i] - p->in[1].zero)) * p->ratios[0] + p->rest;
        for (uint64_t i = 0; !p->times && i < count; i++)
            values[i] = sum_of(late[i], p->ratios[first], sum_of(early[i], p->ratios[!first], p->rest));
        codes_store(&p->out, at + done, values, count);
    }
}

static partita_status pair_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_tensor *in[2] = {&call->in[0], &call->in[3]};
    pair p = {.times = *(const bool *)call->state};
    cpu_walk walk;
    uint64_t at, last;
    (void)worker;
    partita_status status = parameters(call, 1, in[0], &p.in[0]);
    if (status == PARTITA_OK) status = parameters(call, 4, in[1], &p.in[1]);
    if (status == PARTITA_OK) status = parameters(call, 6, &call->out[0], &p.out);
    if (status == PARTITA_OK) status = cpu_walk_init(call, &call->out[0], in, 2, NULL, &walk);
    if (status != PARTITA_OK) return status;
    pair_init(&p);
    cpu_item_range(&call->out[0], begin, end, &at, &last);
    if (at < last) cpu_walk_seek(&walk, at);
    while (at < last) {
        uint64_t from[2], run = cpu_walk_next(&walk, last - at, from);
        pair_elements(&p, at, from, walk.steps, run);
        at += run;
    }
    return PARTITA_OK;
}

/* ---- QLinearSoftmax -------------------------------------------------------------------------- */

typedef struct softmax_state {
    int64_t axis;
    bool flat;
} softmax_state;

static partita_status softmax_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    softmax_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->axis = cpu_attr_int(node, "axis", -1);
    state->flat = cpu_attr_int(node, "opset", 13) < 13;
    return PARTITA_OK;
}

/* exp of every distance from the row's maximum, as large as a row's sum allows. */
static void softmax_table(float scale, uint64_t size, float *table) {
    double shift = (double)logf(FLT_MAX / (float)size) - 5;
    shift = (shift > 0 ? shift : 0) / (double)scale;
    for (int32_t i = 0; i < 256; i++) table[i] = (float)exp(((double)i - 255 + shift) * (double)scale);
}

static partita_status softmax_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const softmax_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    float table[256];
    uint32_t axis;
    operand x, y;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_axis(call, state->axis, in->rank, &axis);
    if (status == PARTITA_OK) status = cpu_expect_like(call, 0, in);
    if (status == PARTITA_OK) status = parameters(call, 1, in, &x);
    if (status == PARTITA_OK) status = parameters(call, 3, &call->out[0], &y);
    if (status != PARTITA_OK || in->count == 0) return status;
    uint64_t inner = state->flat ? 1 : cpu_extent(in->dims, axis + 1, in->rank);
    uint64_t size = state->flat ? cpu_extent(in->dims, axis, in->rank) : (uint64_t)in->dims[axis];
    float steps = floorf(1.0f / y.scale); /* of the output in 1 */
    softmax_table(x.scale, size, table);
    for (uint64_t r = 0; r < in->count / size; r++) {
        uint64_t at = r / inner * size * inner + r % inner;
        int32_t most = INT32_MIN;
        float sum = 0;
        for (uint64_t i = 0; i < size; i++) {
            int32_t code = cpu_byte_at(in, at + i * inner);
            most = code > most ? code : most;
        }
        for (uint64_t i = 0; i < size; i++) sum += table[255 - most + cpu_byte_at(in, at + i * inner)];
        for (uint64_t i = 0; i < size; i++) {
            double part = (double)table[255 - most + cpu_byte_at(in, at + i * inner)] * (double)steps / (double)sum;
            code_put(&y, at + i * inner, (float)rint(part) + (float)y.zero);
        }
    }
    return PARTITA_OK;
}

/* ---- QLinearConcat --------------------------------------------------------------------------- */

static partita_status axis_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    int64_t *axis = cpu_alloc(host, sizeof(*axis));
    *out_state = axis;
    if (axis == NULL) return PARTITA_OUT_OF_MEMORY;
    *axis = cpu_attr_int(node, "axis", 0);
    return PARTITA_OK;
}

/* Inputs after the output's scale and zero point are threes: bytes, scale, zero point. */
static partita_status concat_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_tensor *out = &call->out[0];
    operand x, y;
    uint32_t axis;
    int64_t before = 0;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_axis(call, *(const int64_t *)call->state, out->rank, &axis);
    if (status == PARTITA_OK) status = parameters(call, 0, out, &y);
    if (status == PARTITA_OK && call->in_count % 3 != 2)
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "%u inputs are no threes", call->in_count);
    if (status != PARTITA_OK) return status;
    uint64_t inner = cpu_extent(out->dims, axis + 1, out->rank), whole = (uint64_t)out->dims[axis] * inner;
    for (uint32_t i = 2; i < call->in_count; i += 3) {
        const cpu_tensor *in = &call->in[i];
        bool fits = cpu_has_input(call, i) && in->rank == out->rank;
        for (uint32_t d = 0; fits && d < in->rank; d++)
            fits = d == axis ? in->dims[d] <= out->dims[d] - before : in->dims[d] == out->dims[d];
        if (!fits) return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u does not fit the output", i);
        status = parameters(call, i + 1, in, &x);
        if (status != PARTITA_OK) return status;
        uint64_t block = (uint64_t)in->dims[axis] * inner;
        for (uint64_t e = 0; e < in->count; e++)
            value_put(&y, e / block * whole + (uint64_t)before * inner + e % block, value_at(&x, e));
        before += in->dims[axis];
    }
    return before == out->dims[axis] ? PARTITA_OK
                                     : cpu_fail(call->host, PARTITA_BAD_INPUT, "the inputs do not fill the output");
}

/* ---- averages -------------------------------------------------------------------------------- */

typedef struct average_state {
    cpu_window_attrs attrs;
    bool global, last, count_pads;
} average_state;

static partita_status average_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    average_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->global = ptp_str_is(ptp_ref_str(node->block, node->row.op), "QLinearGlobalAveragePool") != 0;
    state->last = cpu_attr_int(node, "channels_last", 0) != 0;
    state->count_pads = cpu_attr_int(node, "count_include_pad", 0) != 0;
    return cpu_window_attrs_read(node, host, &state->attrs);
}

/* Where the elements of a plane lie. */
typedef struct planes {
    int64_t channels;
    uint64_t step, image; /* between places of a plane, between images */
} planes;

static planes planes_of(const cpu_tensor *t, bool last) {
    uint64_t size = last ? cpu_extent(t->dims, 1, t->rank - 1) : cpu_extent(t->dims, 2, t->rank);
    int64_t channels = last ? t->dims[t->rank - 1] : t->dims[1];
    return (planes){channels, last ? (uint64_t)channels : 1, size * (uint64_t)channels};
}

static uint64_t plane_at(const planes *p, bool last, int64_t image, int64_t channel, uint64_t size) {
    return (uint64_t)image * p->image + (last ? (uint64_t)channel : (uint64_t)channel * size);
}

/* Of the window at place `p`: the sum of its elements and how many they count as. Floats one after the other, and in
 * integers for a window of the whole plane; pads count where they do as the whole window. */
static void window_sum(const average_state *state, const cpu_window *g, const operand *x, uint64_t first, uint64_t step,
                       int64_t p, float *out_sum, int64_t *out_whole, int64_t *out_count) {
    int64_t at[3] = {p / (g->out[1] * g->out[2]), p / g->out[2] % g->out[1], p % g->out[2]}, from[3], to[3];
    int64_t inside = 1, whole = 0;
    float sum = 0;
    for (uint32_t d = 0; d < 3; d++) {
        int64_t start = at[d] * g->stride[d] - g->pad[d], stop = start + g->kernel[d];
        from[d] = start > 0 ? start : 0;
        to[d] = stop < g->in[d] ? stop : g->in[d];
        inside *= to[d] > from[d] ? to[d] - from[d] : 0;
    }
    for (int64_t z = from[0]; z < to[0]; z++)
        for (int64_t y = from[1]; y < to[1]; y++)
            for (int64_t c = from[2]; c < to[2]; c++) {
                uint64_t place = first + (uint64_t)((z * g->in[1] + y) * g->in[2] + c) * step;
                int32_t code = cpu_byte_at(x->bytes, place) - x->zero;
                sum += x->scale * (float)code;
                whole += code;
            }
    *out_sum = sum;
    *out_whole = whole;
    *out_count = state->count_pads ? g->kernel[0] * g->kernel[1] * g->kernel[2] : inside;
}

/* The window's geometry looks at dims as [images, channels, places]. */
static partita_status window_of(const cpu_call *call, cpu_window *g) {
    const average_state *state = call->state;
    cpu_tensor in = call->in[0], out = call->out[0];
    int64_t dims[2][CPU_MAX_RANK];
    if (in.rank < 2 || out.rank != in.rank) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u", in.rank);
    if (state->global) {
        int64_t size = (int64_t)(state->last ? cpu_extent(in.dims, 1, in.rank - 1) : cpu_extent(in.dims, 2, in.rank));
        *g = (cpu_window){.in = {1, 1, size}, .out = {1, 1, 1}, .kernel = {1, 1, size}, .stride = {1, 1, 1}};
        g->in_size = size;
        g->out_size = 1;
    } else {
        for (uint32_t i = 0; i < in.rank; i++) {
            uint32_t at = !state->last || i == 0 ? i : i == 1 ? in.rank - 1 : i - 1;
            dims[0][i] = in.dims[at];
            dims[1][i] = out.dims[at];
        }
        in.dims = dims[0];
        out.dims = dims[1];
        partita_status status = cpu_window_make(call, &state->attrs, &in, &out, NULL, g);
        if (status != PARTITA_OK) return status;
    }
    uint32_t channel = state->last ? in.rank - 1 : 1;
    if (call->out[0].count != (uint64_t)(call->in[0].dims[0] * call->in[0].dims[channel] * g->out_size))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than the pooling");
    return PARTITA_OK;
}

static uint64_t average_items(const cpu_call *call) {
    const average_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    return x->rank < 2 ? 1 : (uint64_t)(x->dims[0] * x->dims[state->last ? x->rank - 1 : 1]);
}

static partita_status average_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const average_state *state = call->state;
    operand x, y;
    cpu_window g;
    (void)worker;
    partita_status status = window_of(call, &g);
    if (status == PARTITA_OK) status = parameters(call, 1, &call->in[0], &x);
    if (status == PARTITA_OK) status = parameters(call, 3, &call->out[0], &y);
    if (status != PARTITA_OK) return status;
    planes in = planes_of(&call->in[0], state->last), out = planes_of(&call->out[0], state->last);
    for (int64_t item = (int64_t)begin; item < (int64_t)end && item < (int64_t)average_items(call); item++) {
        uint64_t first = plane_at(&in, state->last, item / in.channels, item % in.channels, (uint64_t)g.in_size);
        uint64_t to = plane_at(&out, state->last, item / in.channels, item % in.channels, (uint64_t)g.out_size);
        for (int64_t p = 0; p < g.out_size; p++) {
            int64_t whole, count;
            float sum;
            window_sum(state, &g, &x, first, in.step, p, &sum, &whole, &count);
            if (state->global)
                sum = rintf((float)whole * (x.scale / (y.scale * (float)count))) + (float)y.zero;
            else
                sum = rintf((count > 0 ? sum / (float)count : 0) / y.scale + (float)y.zero);
            code_put(&y, to + (uint64_t)p * out.step, sum);
        }
    }
    return PARTITA_OK;
}

#define ROW(operator, by, prepares, room, item, runs)                                                                  \
    {                                                                                                                  \
        .op = operator, .domain = "com.microsoft", .since = 1, .until = CPU_NEWEST, .types = CPU_BYTES,                \
        .type_input = by, .reference = true, .prepare = prepares, .release = cpu_free, .scratch = room, .items = item, \
        .run = runs                                                                                                    \
    }
const cpu_kernel cpu_kernels_ms_qlinear[] = {
    ROW("QLinearSigmoid", 0, unary_prepare, NULL, cpu_items_elements, unary_run),
    ROW("QLinearLeakyRelu", 0, unary_prepare, NULL, cpu_items_elements, unary_run),
    ROW("QLinearAdd", 0, pair_prepare, NULL, cpu_items_elements, pair_run),
    ROW("QLinearMul", 0, pair_prepare, NULL, cpu_items_elements, pair_run),
    ROW("QLinearSoftmax", 0, softmax_prepare, NULL, NULL, softmax_run),
    ROW("QLinearConcat", 2, axis_prepare, NULL, NULL, concat_run),
    ROW("QLinearAveragePool", 0, average_prepare, NULL, average_items, average_run),
    ROW("QLinearGlobalAveragePool", 0, average_prepare, NULL, average_items, average_run),
};
const uint32_t cpu_kernels_ms_qlinear_count = sizeof(cpu_kernels_ms_qlinear) / sizeof(cpu_kernels_ms_qlinear[0]);
