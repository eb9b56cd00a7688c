/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conv of float32. A tile of output positions is a panel of B whose rows are the taps: it is packed straight from the
 * input, never written out whole, and multiplied by the weights. One input channel per group goes the direct way.
 */
#include "cpu/kernels/conv.h"
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/ms_fused.h"

#define TILE_FLOATS   65536 /* of a packed tile */
#define DIRECT_REACH  256   /* rows or columns under a window of the direct way */
#define FEATURE_LEAST 48    /* features of an item, below which packing is not paid back */

typedef struct conv_state {
    cpu_window_attrs attrs;
    const cpu_gemm_micro *micro;
    cpu_depthwise_fn depthwise;
    cpu_fused fused; /* of FusedConv */
} conv_state;

typedef struct conv_layout {
    cpu_conv conv;
    bool direct;
    int64_t k;           /* rows of B */
    int64_t tile, tiles; /* positions of an item, and how many tiles cover the output; rows when direct */
    int64_t features, feature_blocks;
} conv_layout;

/* Whether the rows under a window are few enough to copy. */
static bool is_compact(const cpu_window *g) {
    for (uint32_t i = 1; i < CPU_SPATIAL; i++)
        if ((g->kernel[i] - 1) * g->dilation[i] > DIRECT_REACH || g->stride[i] > DIRECT_REACH) return false;
    return true;
}

static partita_status layout_of(const cpu_call *call, conv_layout *out) {
    const conv_state *state = call->state;
    cpu_conv *conv = &out->conv;
    partita_status status = cpu_conv_make(call, &state->attrs, &call->in[0], &call->in[1], &call->out[0], conv);
    if (status != PARTITA_OK) return status;
    int64_t wanted = call->workers > 1 ? 4 * (int64_t)call->workers : 1;
    out->direct = conv->group_channels == 1 && conv->window.in[0] == 1 && conv->window.kernel[0] == 1 &&
                  is_compact(&conv->window);
    out->k = conv->group_channels * conv->window.kernel_size;
    if (out->direct) {
        int64_t planes = conv->images * conv->features, rows = conv->window.out[1];
        out->tile = rows > 32 ? 32 : rows > 0 ? rows : 1;
        while (out->tile > 4 && planes * (int64_t)cpu_blocks((uint64_t)rows, (uint64_t)out->tile) < wanted)
            out->tile = (out->tile + 1) / 2;
        out->tiles = (int64_t)cpu_blocks((uint64_t)rows, (uint64_t)out->tile);
        out->features = out->feature_blocks = 1;
        return PARTITA_OK;
    }
    int64_t width = state->micro->columns, positions = conv->window.out_size, groups = conv->images * conv->group;
    out->tile = TILE_FLOATS / (out->k > 0 ? out->k : 1) / width * width; /* of no channels: k is 0 */
    if (out->tile < 2 * width) out->tile = 2 * width;
    if (out->tile > 512) out->tile = 512 / width * width;
    int64_t panels = (int64_t)cpu_blocks((uint64_t)positions, (uint64_t)width);
    while (out->tile > width && groups * (int64_t)cpu_blocks((uint64_t)panels, (uint64_t)(out->tile / width)) < wanted)
        out->tile = (out->tile / width + 1) / 2 * width;
    out->tiles = (int64_t)cpu_blocks((uint64_t)positions, (uint64_t)out->tile);
    out->feature_blocks = 1;
    while (groups * out->tiles * out->feature_blocks < wanted &&
           conv->group_features / (out->feature_blocks * 2) >= FEATURE_LEAST)
        out->feature_blocks *= 2;
    out->features = (int64_t)cpu_blocks(cpu_blocks((uint64_t)conv->group_features, (uint64_t)out->feature_blocks),
                                        state->micro->rows) *
                    state->micro->rows;
    if (out->features == 0) out->features = state->micro->rows; /* no features at all: no blocks of them */
    out->feature_blocks = (int64_t)cpu_blocks((uint64_t)conv->group_features, (uint64_t)out->features);
    return PARTITA_OK;
}

static partita_status conv_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    conv_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    partita_status status = cpu_window_attrs_read(node, host, &state->attrs);
    if (status == PARTITA_OK) status = cpu_fused_read(node, host, &state->fused);
    state->micro = cpu_gemm_micro_of(node->level);
    state->depthwise = cpu_depthwise_baseline;
#if defined(__x86_64__)
    if (node->level >= CPU_LEVEL_AVX512)
        state->depthwise = cpu_depthwise_avx512;
    else if (node->level >= CPU_LEVEL_AVX2)
        state->depthwise = cpu_depthwise_avx2;
#endif
    if (status == PARTITA_OK)
        *out_state = state;
    else
        cpu_free(host, state);
    return status;
}

static cpu_depthwise direct_of(const cpu_window *g) {
    return (cpu_depthwise){.in_rows = g->in[1],
                           .in_columns = g->in[2],
                           .out_columns = g->out[2],
                           .kernel_rows = g->kernel[1],
                           .kernel_columns = g->kernel[2],
                           .stride_rows = g->stride[1],
                           .stride_columns = g->stride[2],
                           .dilation_rows = g->dilation[1],
                           .dilation_columns = g->dilation[2],
                           .pad_rows = g->pad[1],
                           .pad_columns = g->pad[2]};
}

/* Of one worker: the packed tile, or the padded rows. */
static uint64_t room_floats(const conv_layout *layout) {
    if (!layout->direct) return (uint64_t)(layout->tile * layout->k);
    cpu_depthwise d = direct_of(&layout->conv.window);
    return (uint64_t)(cpu_depthwise_rows(&d, layout->tile) * cpu_depthwise_width(&d));
}

static uint64_t conv_scratch(const cpu_call *call) {
    conv_layout layout;
    if (layout_of(call, &layout) != PARTITA_OK) return 0;
    return call->workers * room_floats(&layout) * sizeof(float);
}

static uint64_t conv_items(const cpu_call *call) {
    conv_layout layout;
    if (layout_of(call, &layout) != PARTITA_OK) return 1; /* `run` says why */
    if (layout.direct) return (uint64_t)(layout.conv.images * layout.conv.features * layout.tiles);
    return (uint64_t)(layout.conv.images * layout.conv.group * layout.tiles * layout.feature_blocks);
}

/* One run of one tap: from = the input row, x the coordinate of its first position. */
static inline void run_copy(float *to, const float *from, int64_t x, uint32_t count, int64_t stride, int64_t width) {
    if (stride == 1) {
        int64_t begin = x < 0 ? -x : 0, end = width - x < (int64_t)count ? width - x : (int64_t)count;
        if (begin > (int64_t)count) begin = count;
        if (end < begin) end = begin;
        for (int64_t i = 0; i < begin; i++) to[i] = 0;
        for (int64_t i = begin; i < end; i++) to[i] = from[x + i];
        for (int64_t i = end; i < (int64_t)count; i++) to[i] = 0;
        return;
    }
    for (uint32_t i = 0; i < count; i++, x += stride) to[i] = x >= 0 && x < width ? from[x] : 0;
}

static void panel_pack(const cpu_window *g, int64_t channels, const float *x, int64_t position, uint32_t count,
                       uint32_t width, float *to) {
    cpu_window_run runs[64];
    uint32_t n = cpu_window_runs(g, position, count, runs);
    if (channels * g->kernel_size == 0) return; /* no taps: there is no room either */
    if (count < width) memset(to, 0, (size_t)(channels * g->kernel_size) * width * sizeof(float));
    for (int64_t c = 0; c < channels; c++, x += g->in_size) {
        for (int64_t kz = 0; kz < g->kernel[0]; kz++) {
            for (int64_t ky = 0; ky < g->kernel[1]; ky++, to += g->kernel[2] * width) {
                for (uint32_t r = 0; r < n; r++) {
                    int64_t z = runs[r].z + kz * g->dilation[0], y = runs[r].y + ky * g->dilation[1];
                    bool inside = z >= 0 && z < g->in[0] && y >= 0 && y < g->in[1];
                    const float *from = inside ? x + (z * g->in[1] + y) * g->in[2] : NULL;
                    for (int64_t kx = 0; kx < g->kernel[2]; kx++) {
                        float *piece = to + kx * width + runs[r].first;
                        if (inside)
                            run_copy(piece, from, runs[r].x + kx * g->dilation[2], runs[r].count, g->stride[2],
                                     g->in[2]);
                        else
                            memset(piece, 0, runs[r].count * sizeof(float));
                    }
                }
            }
        }
    }
}

static void tile_pack(const conv_layout *layout, const cpu_gemm_micro *micro, const float *x, int64_t first,
                      int64_t last, float *packed) {
    const cpu_window *g = &layout->conv.window;
    if (cpu_window_is_pointwise(g)) {
        cpu_gemm_pack(micro, (uint64_t)layout->k, (uint64_t)(last - first), x + first, g->in_size, 1, packed);
        return;
    }
    for (int64_t p = first; p < last; p += micro->columns) {
        uint32_t count = last - p < (int64_t)micro->columns ? (uint32_t)(last - p) : micro->columns;
        panel_pack(g, layout->conv.group_channels, x, p, count, micro->columns, packed + (p - first) * layout->k);
    }
}

/* What FusedConv does to results from element `first` on: adds input 3, and the activation. */
static void rows_finish(const cpu_call *call, int64_t first, int64_t rows, int64_t columns, int64_t step) {
    float *y = (float *)call->out[0].data + first;
    const float *z = cpu_has_input(call, 3) ? (const float *)call->in[3].data + first : NULL;
    for (int64_t r = 0; z != NULL && r < rows; r++)
        for (int64_t i = 0; i < columns; i++) y[r * step + i] += z[r * step + i];
    cpu_fused_rows(&((const conv_state *)call->state)->fused, y, (uint64_t)rows, (uint64_t)columns, step);
}

static void direct_run(const cpu_call *call, const conv_layout *layout, uint64_t begin, uint64_t end, uint32_t worker) {
    const conv_state *state = call->state;
    const cpu_conv *conv = &layout->conv;
    const cpu_window *g = &conv->window;
    cpu_depthwise d = direct_of(g);
    d.room = (float *)call->scratch + worker * room_floats(layout);
    for (uint64_t item = begin; item < end; item++) {
        int64_t plane = (int64_t)item / layout->tiles, first = (int64_t)item % layout->tiles * layout->tile;
        int64_t last = first + layout->tile < g->out[1] ? first + layout->tile : g->out[1];
        int64_t feature = plane % conv->features, image = plane / conv->features;
        int64_t channel = feature / conv->group_features;
        d.x = (const float *)call->in[0].data + (image * conv->channels + channel) * g->in_size;
        d.w = (const float *)call->in[1].data + feature * g->kernel_size;
        d.y = (float *)call->out[0].data + plane * g->out_size;
        d.bias = cpu_has_input(call, 2) ? ((const float *)call->in[2].data)[feature] : 0;
        state->depthwise(&d, first, last);
        rows_finish(call, plane * g->out_size + first * g->out[2], last - first, g->out[2], g->out[2]);
    }
}

static partita_status conv_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const conv_state *state = call->state;
    conv_layout layout;
    partita_status status = layout_of(call, &layout);
    if (status != PARTITA_OK) return status;
    const cpu_conv *conv = &layout.conv;
    const cpu_window *g = &conv->window;
    if (cpu_has_input(call, 2) && call->in[2].count != (uint64_t)conv->features)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the bias has another length than W has features");
    if (cpu_has_input(call, 3) && !cpu_same_dims(&call->in[3], call->out[0].rank, call->out[0].dims))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "Z has another shape than the output");
    if (layout.direct) {
        direct_run(call, &layout, begin, end, worker);
        return PARTITA_OK;
    }
    const float *bias = cpu_has_input(call, 2) ? call->in[2].data : NULL;
    float *room = (float *)call->scratch + (int64_t)worker * layout.tile * layout.k;
    int64_t packed_for = -1;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        int64_t block = item % layout.feature_blocks, rest = item / layout.feature_blocks;
        int64_t tile = rest % layout.tiles, plane = rest / layout.tiles; /* image and group */
        int64_t group = plane % conv->group, image = plane / conv->group;
        int64_t first = tile * layout.tile,
                last = first + layout.tile < g->out_size ? first + layout.tile : g->out_size;
        const float *x =
            (const float *)call->in[0].data + (image * conv->channels + group * conv->group_channels) * g->in_size;
        if (packed_for != rest) tile_pack(&layout, state->micro, x, first, last, room);
        packed_for = rest;
        int64_t feature = group * conv->group_features;
        int64_t m0 = block * layout.features;
        int64_t m1 = m0 + layout.features < conv->group_features ? m0 + layout.features : conv->group_features;
        cpu_gemm gemm = {.micro = state->micro,
                         .m = (uint64_t)conv->group_features,
                         .n = (uint64_t)(last - first),
                         .k = (uint64_t)layout.k,
                         .a = (const float *)call->in[1].data + feature * layout.k,
                         .a_row = layout.k,
                         .a_column = 1,
                         .packed = room,
                         .c_row = g->out_size,
                         .alpha = 1,
                         .row_bias = bias != NULL ? bias + feature : NULL};
        gemm.c = (float *)call->out[0].data + (image * conv->features + feature) * g->out_size + first;
        cpu_gemm_run(&gemm, (uint64_t)m0, (uint64_t)m1, 0, cpu_blocks(gemm.n, state->micro->columns));
        rows_finish(call, (image * conv->features + feature + m0) * g->out_size + first, m1 - m0, last - first,
                    g->out_size);
    }
    return PARTITA_OK;
}

#define ROW(operator, group, claims)                                                                                   \
    {                                                                                                                  \
        .op = operator, .domain = group, .since = 1, .until = CPU_NEWEST, .types = CPU_TYPE(FLOAT32), .claim = claims, \
        .prepare = conv_prepare, .release = cpu_free, .scratch = conv_scratch, .items = conv_items, .run = conv_run    \
    }
const cpu_kernel cpu_kernels_conv_fast[] = {ROW("Conv", "", cpu_window_claim),
                                            ROW("FusedConv", "com.microsoft", cpu_fused_claim)};
const uint32_t cpu_kernels_conv_fast_count = sizeof(cpu_kernels_conv_fast) / sizeof(cpu_kernels_conv_fast[0]);
