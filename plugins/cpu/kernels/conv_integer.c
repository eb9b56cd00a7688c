/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConvInteger and QLinearConv: exact sums in 32 bits, one output plane at a time, one tap after the other along its
 * rows.
 */
#include "cpu/kernels/conv.h"
#include "cpu/kernels/integer.h"

typedef struct operands {
    const cpu_tensor *x, *w;
    uint32_t x_zero, w_zero; /* inputs */
    bool quantised;
} operands;

static operands operands_of(const cpu_call *call) {
    bool quantised = call->in_count >= 8;
    return (operands){.x = &call->in[0],
                      .w = &call->in[quantised ? 3 : 1],
                      .x_zero = 2,
                      .w_zero = quantised ? 5 : 3,
                      .quantised = quantised};
}

static partita_status conv_of(const cpu_call *call, const operands *o, cpu_conv *conv) {
    partita_status status = cpu_conv_make(call, call->state, o->x, o->w, &call->out[0], conv);
    if (status != PARTITA_OK) return status;
    uint32_t lists[] = {o->w_zero, 4, 8}, ones[] = {o->x_zero, 1, 6, 7};
    for (uint32_t i = 0; i < (o->quantised ? 3u : 1u); i++)
        if (cpu_has_input(call, lists[i]) && call->in[lists[i]].count != 1 &&
            call->in[lists[i]].count != (uint64_t)conv->features)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u is not one entry per feature", lists[i]);
    for (uint32_t i = 0; i < (o->quantised ? 4u : 1u); i++)
        if (cpu_has_input(call, ones[i]) && call->in[ones[i]].count != 1)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u is more than one number", ones[i]);
    if (cpu_has_input(call, 8) && o->quantised && call->in[8].count != (uint64_t)conv->features)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the bias has not one entry per feature");
    return PARTITA_OK;
}

static partita_status conv_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cpu_window_attrs *state = cpu_alloc(host, sizeof(*state));
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    partita_status status = cpu_window_attrs_read(node, host, state);
    if (status == PARTITA_OK)
        *out_state = state;
    else
        cpu_free(host, state);
    return status;
}

static uint64_t conv_items(const cpu_call *call) {
    const cpu_tensor *y = &call->out[0];
    return y->rank < 2 ? 1 : (uint64_t)y->dims[0] * (uint64_t)y->dims[1];
}

static uint64_t conv_scratch(const cpu_call *call) {
    return call->workers * ((cpu_extent(call->out[0].dims, 2, call->out[0].rank) + 15) / 16 * 16) * sizeof(int32_t);
}

/* One tap along one output row; `x` is the input row, `at` the coordinate of the first output. */
#define TAP(name, type)                                                                                                \
    static void name(int32_t *sums, const type *x, int64_t at, int64_t count, int64_t stride, int64_t width,           \
                     int32_t weight, int32_t zero) {                                                                   \
        int64_t first = at < 0 ? (-at + stride - 1) / stride : 0;                                                      \
        int64_t last = width > at ? (width - at + stride - 1) / stride : 0;                                            \
        if (last > count) last = count;                                                                                \
        if (stride == 1)                                                                                               \
            for (int64_t i = first; i < last; i++) sums[i] += weight * (x[at + i] - zero);                             \
        else                                                                                                           \
            for (int64_t i = first; i < last; i++) sums[i] += weight * (x[at + i * stride] - zero);                    \
    }
TAP(tap_signed, int8_t)
TAP(tap_unsigned, uint8_t)

/* Adds one channel, whose plane begins at element `plane`, weighted by w's elements from `first_weight` on. */
static void channel_add(const cpu_window *g, const operands *o, uint64_t plane, uint64_t first_weight, int32_t x_zero,
                        int32_t w_zero, int32_t *sums) {
    for (int64_t k = 0; k < g->kernel_size; k++) {
        int64_t kz = k / (g->kernel[1] * g->kernel[2]), ky = k / g->kernel[2] % g->kernel[1], kx = k % g->kernel[2];
        int32_t weight = cpu_byte_at(o->w, first_weight + (uint64_t)k) - w_zero;
        int64_t at = kx * g->dilation[2] - g->pad[2];
        for (int64_t row = 0; row < g->out[0] * g->out[1] && weight != 0; row++) {
            int64_t z = row / g->out[1] * g->stride[0] - g->pad[0] + kz * g->dilation[0];
            int64_t y = row % g->out[1] * g->stride[1] - g->pad[1] + ky * g->dilation[1];
            if (z < 0 || z >= g->in[0] || y < 0 || y >= g->in[1]) continue;
            uint64_t from = plane + (uint64_t)((z * g->in[1] + y) * g->in[2]);
            int32_t *to = sums + row * g->out[2];
            if (o->x->dtype == PARTITA_INT8)
                tap_signed(to, (const int8_t *)o->x->data + from, at, g->out[2], g->stride[2], g->in[2], weight,
                           x_zero);
            else
                tap_unsigned(to, (const uint8_t *)o->x->data + from, at, g->out[2], g->stride[2], g->in[2], weight,
                             x_zero);
        }
    }
}

static partita_status conv_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    operands o = operands_of(call);
    cpu_conv conv;
    partita_status status = conv_of(call, &o, &conv);
    if (status != PARTITA_OK) return status;
    const cpu_window *g = &conv.window;
    uint64_t size = (uint64_t)g->out_size;
    int32_t *sums = (int32_t *)call->scratch + worker * ((size + 15) / 16 * 16),
            x_zero = cpu_zero_at(call, o.x_zero, 0);
    for (uint64_t item = begin; item < end && size > 0; item++) {
        int64_t image = (int64_t)item / conv.features, feature = (int64_t)item % conv.features;
        int64_t channel = image * conv.channels + feature / conv.group_features * conv.group_channels;
        int32_t w_zero = cpu_zero_at(call, o.w_zero, (uint64_t)feature);
        float scale = o.quantised ? cpu_scale_at(call, 1, 0) * cpu_scale_at(call, 4, (uint64_t)feature) : 1;
        int32_t bias = o.quantised && cpu_has_input(call, 8) ? cpu_bias_at(&call->in[8], (uint64_t)feature, scale) : 0;
        for (uint64_t i = 0; i < size; i++) sums[i] = bias;
        for (int64_t c = 0; c < conv.group_channels; c++)
            channel_add(g, &o, (uint64_t)((channel + c) * g->in_size),
                        (uint64_t)((feature * conv.group_channels + c) * g->kernel_size), x_zero, w_zero, sums);
        if (!o.quantised) {
            memcpy((int32_t *)call->out[0].data + item * size, sums, size * sizeof(int32_t));
            continue;
        }
        float factor = scale / cpu_scale_at(call, 6, 0);
        for (uint64_t i = 0; i < size; i++)
            cpu_requantise(&call->out[0], item * size + i, sums[i], factor, cpu_zero_at(call, 7, 0));
    }
    return PARTITA_OK;
}

#define ROW(operator)                                                                                                  \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 10, .until = CPU_NEWEST, .types = CPU_BYTES, .reference = true,         \
        .prepare = conv_prepare, .release = cpu_free, .scratch = conv_scratch, .items = conv_items, .run = conv_run    \
    }
const cpu_kernel cpu_kernels_conv_integer[] = {ROW("ConvInteger"), ROW("QLinearConv")};
const uint32_t cpu_kernels_conv_integer_count = sizeof(cpu_kernels_conv_integer) / sizeof(cpu_kernels_conv_integer[0]);
