/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConvTranspose of float32: the taps of a block of features for a tile of input positions are one product; they are
 * then added to the outputs around each position. An item has its features to itself, so nothing is added twice at
 * once.
 */
#include "cpu/kernels/conv.h"
#include "cpu/kernels/gemm.h"

#define COLUMN_FLOATS 65536 /* of the taps of a tile */

typedef struct transpose_state {
    cpu_window_attrs attrs;
    const cpu_gemm_micro *micro;
} transpose_state;

typedef struct transpose_layout {
    cpu_window window;
    int64_t images, channels, features, group, group_channels, group_features;
    int64_t block, blocks; /* features of an item, and how many blocks a group has */
    int64_t tile;          /* input positions at once */
} transpose_layout;

static partita_status layout_of(const cpu_call *call, transpose_layout *out) {
    const transpose_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *w = &call->in[1], *y = &call->out[0];
    if (x->rank != w->rank || x->rank < 3) return cpu_fail(call->host, PARTITA_BAD_INPUT, "ranks of X and W differ");
    partita_status status = cpu_window_make_transposed(call, &state->attrs, x, y, w->dims + 2, &out->window);
    if (status != PARTITA_OK) return status;
    out->images = x->dims[0];
    out->channels = x->dims[1];
    out->group = state->attrs.group;
    out->group_features = w->dims[1];
    out->features = out->group_features * out->group;
    if (out->group < 1 || out->channels % out->group != 0 || w->dims[0] != out->channels || y->dims[0] != out->images ||
        y->dims[1] != out->features || (cpu_has_input(call, 2) && call->in[2].count != (uint64_t)out->features))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "channels of X, W, B and Y do not fit group %lld",
                        (long long)out->group);
    out->group_channels = out->channels / out->group;
    int64_t wanted = call->workers > 1 ? 2 * (int64_t)call->workers : 1;
    out->block = out->group_features > 0 ? out->group_features : 1;
    while (out->block > 1 &&
           out->images * out->group * (int64_t)cpu_blocks((uint64_t)out->group_features, (uint64_t)out->block) < wanted)
        out->block = (out->block + 1) / 2;
    out->blocks = (int64_t)cpu_blocks((uint64_t)out->group_features, (uint64_t)out->block);
    int64_t width = state->micro->columns, rows = out->block * out->window.kernel_size;
    out->tile = COLUMN_FLOATS / (rows > out->group_channels ? rows : out->group_channels + 1) / width * width;
    if (out->tile < width) out->tile = width;
    return PARTITA_OK;
}

static partita_status transpose_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    transpose_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->micro = cpu_gemm_micro_of(node->level);
    partita_status status = cpu_window_attrs_read(node, host, &state->attrs);
    if (status == PARTITA_OK)
        *out_state = state;
    else
        cpu_free(host, state);
    return status;
}

static uint64_t transpose_items(const cpu_call *call) {
    transpose_layout layout;
    if (layout_of(call, &layout) != PARTITA_OK) return 1; /* `run` says why */
    return (uint64_t)(layout.images * layout.group * layout.blocks);
}

/* Per worker the packed tile of X and the taps. */
static uint64_t room_floats(const transpose_layout *layout) {
    return (uint64_t)(layout->tile * (layout->group_channels + layout->block * layout->window.kernel_size));
}

static uint64_t transpose_scratch(const cpu_call *call) {
    transpose_layout layout;
    if (layout_of(call, &layout) != PARTITA_OK) return 0;
    return call->workers * room_floats(&layout) * sizeof(float);
}

/* Adds one tap of the positions [first, last) of the input to the output plane. */
static void tap_add(const cpu_window *g, int64_t tap, int64_t first, int64_t last, const float *from, float *y) {
    int64_t kz = tap / (g->kernel[1] * g->kernel[2]), ky = tap / g->kernel[2] % g->kernel[1], kx = tap % g->kernel[2];
    for (int64_t p = first; p < last;) {
        int64_t column = p % g->in[2], row = p / g->in[2] % g->in[1], depth = p / (g->in[2] * g->in[1]);
        int64_t run = g->in[2] - column < last - p ? g->in[2] - column : last - p;
        int64_t z = depth * g->stride[0] - g->pad[0] + kz * g->dilation[0];
        int64_t line = row * g->stride[1] - g->pad[1] + ky * g->dilation[1];
        int64_t x = column * g->stride[2] - g->pad[2] + kx * g->dilation[2];
        if (z >= 0 && z < g->out[0] && line >= 0 && line < g->out[1]) {
            float *to = y + (z * g->out[1] + line) * g->out[2];
            for (int64_t i = 0; i < run; i++, x += g->stride[2])
                if (x >= 0 && x < g->out[2]) to[x] += from[p - first + i];
        }
        p += run;
    }
}

static void item_run(const cpu_call *call, const transpose_layout *layout, int64_t item, float *room) {
    const transpose_state *state = call->state;
    const cpu_window *g = &layout->window;
    int64_t block = item % layout->blocks, plane = item / layout->blocks;
    int64_t group = plane % layout->group, image = plane / layout->group, taps = g->kernel_size;
    int64_t f0 = block * layout->block;
    int64_t f1 = f0 + layout->block < layout->group_features ? f0 + layout->block : layout->group_features;
    const float *x =
        (const float *)call->in[0].data + (image * layout->channels + group * layout->group_channels) * g->in_size;
    const float *w =
        (const float *)call->in[1].data + (group * layout->group_channels * layout->group_features + f0) * taps;
    float *y =
        (float *)call->out[0].data + (image * layout->features + group * layout->group_features + f0) * g->out_size;
    float *columns = room + layout->tile * layout->group_channels;
    for (int64_t f = f0; f < f1; f++) {
        float bias = cpu_has_input(call, 2) ? ((const float *)call->in[2].data)[group * layout->group_features + f] : 0;
        for (int64_t i = 0; i < g->out_size; i++) y[(f - f0) * g->out_size + i] = bias;
    }
    for (int64_t first = 0; first < g->in_size; first += layout->tile) {
        int64_t last = first + layout->tile < g->in_size ? first + layout->tile : g->in_size, count = last - first;
        cpu_gemm_pack(state->micro, (uint64_t)layout->group_channels, (uint64_t)count, x + first, g->in_size, 1, room);
        cpu_gemm gemm = {.micro = state->micro,
                         .m = (uint64_t)((f1 - f0) * taps),
                         .n = (uint64_t)count,
                         .k = (uint64_t)layout->group_channels,
                         .a = w,
                         .a_row = 1,
                         .a_column = layout->group_features * taps,
                         .packed = room,
                         .c = columns,
                         .c_row = count,
                         .alpha = 1};
        cpu_gemm_run(&gemm, 0, gemm.m, 0, cpu_blocks(gemm.n, state->micro->columns));
        for (int64_t row = 0; row < (f1 - f0) * taps; row++)
            tap_add(g, row % taps, first, last, columns + row * count, y + row / taps * g->out_size);
    }
}

static partita_status transpose_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    transpose_layout layout;
    partita_status status = layout_of(call, &layout);
    if (status != PARTITA_OK) return status;
    for (uint64_t item = begin; item < end; item++)
        item_run(call, &layout, (int64_t)item, (float *)call->scratch + worker * room_floats(&layout));
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_conv_transpose[] = {
    {.op = "ConvTranspose",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(FLOAT32),
     .prepare = transpose_prepare,
     .release = cpu_free,
     .scratch = transpose_scratch,
     .items = transpose_items,
     .run = transpose_run},
};
const uint32_t cpu_kernels_conv_transpose_count =
    sizeof(cpu_kernels_conv_transpose) / sizeof(cpu_kernels_conv_transpose[0]);
