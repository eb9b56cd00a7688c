/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference Conv and ConvTranspose: the sums as they are written, in double.
 */
#include "cpu/kernels/conv.h"
#include "cpu/kernels/ms_fused.h"
#include "cpu/kernels/reference.h"

typedef struct conv_state {
    cpu_window_attrs attrs;
    cpu_fused fused; /* of FusedConv */
} conv_state;

static partita_status conv_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    conv_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    partita_status status = cpu_window_attrs_read(node, host, &state->attrs);
    if (status == PARTITA_OK) status = cpu_fused_read(node, host, &state->fused);
    if (status == PARTITA_OK)
        *out_state = state;
    else
        cpu_free(host, state);
    return status;
}

/* A row of inputs times one tap, added to the outputs; output 0 meets element `first`. */
static void row_add(const double *restrict row, int64_t width, int64_t first, int64_t stride, double tap,
                    double *restrict out, int64_t count) {
    int64_t begin = first < 0 ? (-first + stride - 1) / stride : 0;
    int64_t end = first < width ? (width - 1 - first) / stride + 1 : 0;
    if (end > count) end = count;
    if (stride == 1) {
        for (int64_t i = begin; i < end; i++) out[i] += row[first + i] * tap;
    } else {
        for (int64_t i = begin; i < end; i++) out[i] += row[first + i * stride] * tap;
    }
}

/* One row of outputs: a tap counts for all of them at once, so that each is the sum in the order of its taps. */
static void row_sums(const cpu_window *g, int64_t channels, const int64_t *at, const double *x, const double *w,
                     double *out) {
    int64_t width = g->in[2];
    for (int64_t i = 0; i < g->out[2]; i++) out[i] = 0;
    for (int64_t c = 0; c < channels; c++, x += g->in_size) {
        for (int64_t kz = 0; kz < g->kernel[0]; kz++) {
            int64_t z = at[0] * g->stride[0] - g->pad[0] + kz * g->dilation[0];
            for (int64_t ky = 0; ky < g->kernel[1]; ky++, w += g->kernel[2]) {
                int64_t y = at[1] * g->stride[1] - g->pad[1] + ky * g->dilation[1];
                if (z < 0 || z >= g->in[0] || y < 0 || y >= g->in[1]) continue;
                for (int64_t kx = 0; kx < g->kernel[2]; kx++)
                    row_add(x + (z * g->in[1] + y) * width, width, kx * g->dilation[2] - g->pad[2], g->stride[2], w[kx],
                            out, g->out[2]);
            }
        }
    }
}

static partita_status bias_check(const cpu_call *call, int64_t features) {
    if (!cpu_has_input(call, 2) || call->in[2].count == (uint64_t)features) return PARTITA_OK;
    return cpu_fail(call->host, PARTITA_BAD_INPUT, "the bias has %llu elements", (unsigned long long)call->in[2].count);
}

static partita_status conv_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    cpu_conv conv;
    cpu_doubles doubles;
    (void)begin, (void)end, (void)worker;
    const conv_state *state = call->state;
    partita_status status = cpu_conv_make(call, &state->attrs, &call->in[0], &call->in[1], &call->out[0], &conv);
    if (status == PARTITA_OK) status = bias_check(call, conv.features);
    if (status == PARTITA_OK && cpu_has_input(call, 3)) status = cpu_expect_like(call, 0, &call->in[3]);
    if (status != PARTITA_OK) return status;
    const cpu_window *g = &conv.window;
    cpu_doubles_load(call, &doubles);
    double *out = doubles.out[0];
    for (int64_t n = 0; n < conv.images; n++) {
        for (int64_t m = 0; m < conv.features; m++) {
            int64_t first = m / conv.group_features * conv.group_channels;
            const double *x = doubles.in[0] + (n * conv.channels + first) * g->in_size;
            const double *w = doubles.in[1] + m * conv.group_channels * g->kernel_size;
            for (int64_t p = 0; p < g->out_size; p++, out++) {
                int64_t at[2] = {p / (g->out[1] * g->out[2]), p / g->out[2] % g->out[1]};
                if (p % g->out[2] == 0) row_sums(g, conv.group_channels, at, x, w, out);
                double sum = *out + (doubles.in[2] != NULL ? doubles.in[2][m] : 0);
                if (doubles.in[3] != NULL) sum += doubles.in[3][out - doubles.out[0]];
                *out = cpu_fused_value(&state->fused, sum);
            }
        }
    }
    cpu_doubles_store(call, &doubles);
    return PARTITA_OK;
}

/* Every input element adds its weights to the outputs around it. */
static void scatter(const cpu_window *g, const double *x, const double *w, double *y) {
    for (int64_t p = 0; p < g->in_size; p++) {
        int64_t at[3] = {p / (g->in[1] * g->in[2]), p / g->in[2] % g->in[1], p % g->in[2]};
        for (int64_t k = 0; k < g->kernel_size; k++) {
            int64_t tap[3] = {k / (g->kernel[1] * g->kernel[2]), k / g->kernel[2] % g->kernel[1], k % g->kernel[2]};
            int64_t to[3];
            bool inside = true;
            for (uint32_t d = 0; d < 3; d++) {
                to[d] = at[d] * g->stride[d] - g->pad[d] + tap[d] * g->dilation[d];
                inside = inside && to[d] >= 0 && to[d] < g->out[d];
            }
            if (inside) y[(to[0] * g->out[1] + to[1]) * g->out[2] + to[2]] += x[p] * w[k];
        }
    }
}

static partita_status transpose_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_window_attrs *attrs = &((const conv_state *)call->state)->attrs;
    const cpu_tensor *x = &call->in[0], *w = &call->in[1], *y = &call->out[0];
    cpu_window g;
    cpu_doubles doubles;
    (void)begin, (void)end, (void)worker;
    if (x->rank != w->rank || x->rank < 3) return cpu_fail(call->host, PARTITA_BAD_INPUT, "ranks of X and W differ");
    partita_status status = cpu_window_make_transposed(call, attrs, x, y, w->dims + 2, &g);
    if (status != PARTITA_OK) return status;
    int64_t channels = x->dims[1], each = w->dims[1], group = attrs->group, features = each * group;
    if (group < 1 || channels % group != 0 || w->dims[0] != channels || y->dims[1] != features ||
        y->dims[0] != x->dims[0])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "channels of X, W and Y do not fit group %lld",
                        (long long)group);
    status = bias_check(call, features);
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &doubles);
    for (int64_t n = 0; n < x->dims[0]; n++) {
        for (int64_t m = 0; m < features; m++) {
            double *out = doubles.out[0] + (n * features + m) * g.out_size;
            int64_t first = m / each * (channels / group);
            for (int64_t p = 0; p < g.out_size; p++) out[p] = doubles.in[2] != NULL ? doubles.in[2][m] : 0;
            for (int64_t c = first; c < first + channels / group; c++)
                scatter(&g, doubles.in[0] + (n * channels + c) * g.in_size,
                        doubles.in[1] + (c * each + m % each) * g.kernel_size, out);
        }
    }
    cpu_doubles_store(call, &doubles);
    return PARTITA_OK;
}

#define ROW(operator, group, claims, function)                                                                         \
    {                                                                                                                  \
        .op = operator, .domain = group, .since = 1, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,      \
        .claim = claims, .prepare = conv_prepare, .release = cpu_free, .scratch = cpu_doubles_scratch, .run = function \
    }
const cpu_kernel cpu_kernels_conv[] = {ROW("Conv", "", NULL, conv_reference),
                                       ROW("FusedConv", "com.microsoft", cpu_fused_claim, conv_reference),
                                       ROW("ConvTranspose", "", NULL, transpose_reference)};
const uint32_t cpu_kernels_conv_count = sizeof(cpu_kernels_conv) / sizeof(cpu_kernels_conv[0]);
