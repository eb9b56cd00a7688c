/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ConvInteger and QLinearConv with constant weights: they are packed once, a panel of output positions is packed from
 * the input where it is needed, and both are multiplied as pairs of int16.
 */
#include "cpu/kernels/conv.h"
#include "cpu/kernels/pairs.h"

#define PANEL_BYTES 131072 /* of the panels of an item */

enum { X, X_SCALE, X_ZERO, W, W_SCALE, W_ZERO, Y_SCALE, Y_ZERO, BIAS };

typedef struct conv_state {
    cpu_window_attrs attrs;
    const cpu_pairs *pairs;
    bool quantised;
    uint64_t features, k, blocks; /* of a group */
    int32_t *weights;             /* [group][block of rows][pair][rows] */
} conv_state;

static bool is_quantised(const cpu_node *node) {
    return ptp_str_is(ptp_ref_str(node->block, node->row.op), "QLinearConv") != 0;
}

static bool conv_claim(const cpu_node *node, ptp_answer *answer) {
    bool quantised = is_quantised(node);
    ptp_value_row w, zero;
    if (!cpu_node_input(node, quantised ? W : 1, &w) || (w.flags & PTP_VALUE_CONSTANT) == 0 || w.rank < 3)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "the weights are not constant");
    if (cpu_node_input(node, quantised ? W_ZERO : 3, &zero) && (zero.flags & PTP_VALUE_CONSTANT) == 0)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "the weights' zero points are not constant");
    return true;
}

/* Rows of a block lie beside each other; rows beyond the last are zeros. */
static void weights_pack(conv_state *state, const cpu_tensor *w, const cpu_tensor *zeros) {
    uint64_t rows = state->pairs->rows, pairs = cpu_pairs_count(state->k);
    for (uint64_t f = 0; f < (uint64_t)w->dims[0]; f++) {
        uint64_t group = f / state->features, row = f % state->features;
        int32_t zero = zeros->kind == PARTITA_KIND_NONE ? 0 : cpu_byte_at(zeros, zeros->count == 1 ? 0 : f);
        int32_t *to = state->weights + (group * state->blocks + row / rows) * pairs * rows + row % rows;
        for (uint64_t p = 0; p < pairs; p++) {
            uint64_t at = f * state->k + 2 * p;
            int32_t second = 2 * p + 1 < state->k ? cpu_byte_at(w, at + 1) - zero : 0;
            to[p * rows] = cpu_pair((int16_t)(cpu_byte_at(w, at) - zero), (int16_t)second);
        }
    }
}

static void conv_release(const ptp_host *host, void *memory) {
    conv_state *state = memory;
    if (state != NULL) cpu_free(host, state->weights);
    cpu_free(host, state);
}

static partita_status conv_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    conv_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->pairs = cpu_pairs_of(node->level);
    state->quantised = is_quantised(node);
    partita_status status = cpu_window_attrs_read(node, host, &state->attrs);
    if (status != PARTITA_OK) return status;
    const cpu_tensor *w = &node->constants[state->quantised ? W : 1];
    uint32_t zero_at = state->quantised ? W_ZERO : 3;
    cpu_tensor none = {0};
    const cpu_tensor *zeros = zero_at < node->row.inputs.count ? &node->constants[zero_at] : &none;
    uint64_t groups = state->attrs.group > 0 ? (uint64_t)state->attrs.group : 1, all = (uint64_t)w->dims[0];
    if (all % groups != 0 || (zeros->kind != PARTITA_KIND_NONE && zeros->count != 1 && zeros->count != all))
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "the weights fit neither groups nor zero points");
    state->features = all / groups;
    state->k = cpu_extent(w->dims, 1, w->rank);
    state->blocks = cpu_blocks(state->features, state->pairs->rows);
    state->weights = cpu_alloc(host, groups * state->blocks * cpu_pairs_count(state->k) * state->pairs->rows * 4);
    if (state->weights == NULL) return PARTITA_OUT_OF_MEMORY;
    weights_pack(state, w, zeros);
    return PARTITA_OK;
}

typedef struct conv_layout {
    cpu_conv conv;
    int64_t tile, tiles;            /* positions of an item, and how many cover the output */
    uint64_t pairs, blocks, splits; /* of rows in an item, and items that share a tile */
} conv_layout;

static partita_status layout_of(const cpu_call *call, conv_layout *out) {
    const conv_state *state = call->state;
    const cpu_tensor *w = &call->in[state->quantised ? W : 1];
    partita_status status = cpu_conv_make(call, &state->attrs, &call->in[X], w, &call->out[0], &out->conv);
    if (status != PARTITA_OK) return status;
    int64_t columns = state->pairs->columns, groups = out->conv.images * out->conv.group;
    uint64_t wanted = call->workers > 1 ? 4 * (uint64_t)call->workers : 1;
    if ((uint64_t)(out->conv.group_channels * out->conv.window.kernel_size) != state->k)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the weights have another shape than those that were packed");
    out->pairs = cpu_pairs_count(state->k);
    int64_t panels = PANEL_BYTES / (int64_t)(out->pairs * 4 * (uint64_t)columns + 1);
    out->tile = (panels < 1 ? 1 : panels > 16 ? 16 : panels) * columns;
    while (out->tile > columns &&
           (uint64_t)groups * cpu_blocks((uint64_t)out->conv.window.out_size, (uint64_t)out->tile) < wanted)
        out->tile = (out->tile / columns + 1) / 2 * columns;
    out->tiles = (int64_t)cpu_blocks((uint64_t)out->conv.window.out_size, (uint64_t)out->tile);
    out->splits = 1;
    while ((uint64_t)(groups * out->tiles) * out->splits < wanted && state->blocks / (out->splits * 2) >= 4)
        out->splits *= 2;
    out->blocks = cpu_blocks(state->blocks, out->splits);
    return PARTITA_OK;
}

static uint64_t conv_items(const cpu_call *call) {
    conv_layout layout;
    if (layout_of(call, &layout) != PARTITA_OK) return 1; /* `run` says why */
    return (uint64_t)(layout.conv.images * layout.conv.group * layout.tiles) * layout.splits;
}

static uint64_t room_bytes(const conv_layout *layout) { return layout->pairs * (uint64_t)layout->tile * 4; }

static uint64_t conv_scratch(const cpu_call *call) {
    conv_layout layout;
    return layout_of(call, &layout) != PARTITA_OK ? 0 : call->workers * room_bytes(&layout);
}

/* Elements of one tap of one plane at these positions, without the zero point. */
static void tap_load(const cpu_window *g, const cpu_window_run *runs, uint32_t n, const uint8_t *plane, bool is_signed,
                     int32_t zero, int64_t tap, int16_t *to) {
    int64_t kz = tap / (g->kernel[1] * g->kernel[2]) * g->dilation[0];
    int64_t ky = tap / g->kernel[2] % g->kernel[1] * g->dilation[1], kx = tap % g->kernel[2] * g->dilation[2];
    for (uint32_t r = 0; r < n; r++) {
        int64_t z = runs[r].z + kz, y = runs[r].y + ky, x = runs[r].x + kx, count = runs[r].count;
        int16_t *piece = to + runs[r].first;
        const uint8_t *from = plane + (z * g->in[1] + y) * g->in[2];
        int64_t step = g->stride[2], begin = x < 0 ? -x : 0, end = x < g->in[2] ? g->in[2] - x : 0;
        if (step != 1) {
            begin = (begin + step - 1) / step;
            end = (end + step - 1) / step;
        }
        if (z < 0 || z >= g->in[0] || y < 0 || y >= g->in[1]) end = 0;
        if (end > count) end = count;
        if (begin > end) begin = end;
        for (int64_t i = 0; i < begin; i++) piece[i] = 0;
        if (step != 1)
            for (int64_t i = begin; i < end; i++)
                piece[i] = (int16_t)((is_signed ? (int8_t)from[x + i * step] : (int32_t)from[x + i * step]) - zero);
        else if (is_signed)
            for (int64_t i = begin; i < end; i++) piece[i] = (int16_t)((int8_t)from[x + i] - zero);
        else
            for (int64_t i = begin; i < end; i++) piece[i] = (int16_t)(from[x + i] - zero);
        for (int64_t i = end; i < count; i++) piece[i] = 0;
    }
}

/* One panel: positions [position, position + columns), those from `count` on are zeros. */
static void panel_pack(const conv_state *state, const cpu_window *g, const cpu_tensor *x, uint64_t first_plane,
                       int32_t zero, int64_t position, uint32_t count, int32_t *to) {
    uint32_t columns = state->pairs->columns;
    bool plain = cpu_window_is_pointwise(g), is_signed = x->dtype == PARTITA_INT8;
    cpu_window_run runs[CPU_PAIRS_COLUMNS];
    uint32_t n = plain ? 0 : cpu_window_runs(g, position, count, runs);
    int16_t rows[2][CPU_PAIRS_COLUMNS] = {{0}};
    for (uint64_t k = 0; k < state->k; k++) {
        const uint8_t *plane =
            (const uint8_t *)x->data + first_plane + k / (uint64_t)g->kernel_size * (uint64_t)g->in_size;
        if (plain)
            state->pairs->widen(plane + position, is_signed, zero, count, rows[k % 2]);
        else
            tap_load(g, runs, n, plane, is_signed, zero, (int64_t)(k % (uint64_t)g->kernel_size), rows[k % 2]);
        if (k % 2 == 0 && k + 1 < state->k) continue;
        if (k % 2 == 0) memset(rows[1], 0, sizeof(rows[1]));
        state->pairs->join(rows[0], rows[1], columns, to);
        to += columns;
    }
}

static void row_store(const cpu_call *call, const int32_t *sums, uint64_t feature, uint64_t at, uint32_t count) {
    const conv_state *state = call->state;
    if (!state->quantised) {
        memcpy((int32_t *)call->out[0].data + at, sums, count * sizeof(int32_t));
        return;
    }
    float scale = cpu_scale_at(call, X_SCALE, 0) * cpu_scale_at(call, W_SCALE, feature);
    int32_t bias = cpu_has_input(call, BIAS) ? cpu_bias_at(&call->in[BIAS], feature, scale) : 0;
    state->pairs->requantise(sums, count, bias, scale / cpu_scale_at(call, Y_SCALE, 0), cpu_zero_at(call, Y_ZERO, 0),
                             call->out[0].dtype == PARTITA_INT8, (uint8_t *)call->out[0].data + at);
}

static partita_status inputs_check(const cpu_call *call, const cpu_conv *conv) {
    const conv_state *state = call->state;
    const uint32_t ones[] = {state->quantised ? X_ZERO : 2, X_SCALE, Y_SCALE, Y_ZERO};
    for (uint32_t i = 0; i < (state->quantised ? 4u : 1u); i++)
        if (cpu_has_input(call, ones[i]) && call->in[ones[i]].count != 1)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u is more than one number", ones[i]);
    if (!state->quantised) return PARTITA_OK;
    if (call->in[W_SCALE].count != 1 && call->in[W_SCALE].count != (uint64_t)conv->features)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u is not one entry per feature", W_SCALE);
    if (cpu_has_input(call, BIAS) && call->in[BIAS].count != (uint64_t)conv->features)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the bias has not one entry per feature");
    return PARTITA_OK;
}

/* Rows of the blocks [first, last) of a group, times one packed panel. */
static void panel_run(const cpu_call *call, const conv_layout *layout, int64_t plane, uint64_t first, uint64_t last,
                      int64_t position, uint32_t count, const int32_t *panel) {
    const conv_state *state = call->state;
    const cpu_conv *conv = &layout->conv;
    uint32_t rows = state->pairs->rows, columns = state->pairs->columns;
    int32_t sums[CPU_PAIRS_ROWS * CPU_PAIRS_COLUMNS];
    uint64_t group = (uint64_t)(plane % conv->group), image = (uint64_t)(plane / conv->group);
    for (uint64_t b = first; b < last; b++) {
        uint64_t row = b * rows, n = state->features - row < rows ? state->features - row : rows;
        const int32_t *weights = state->weights + (group * state->blocks + b) * layout->pairs * rows;
        state->pairs->tile(layout->pairs, weights, panel, (uint32_t)n, sums);
        for (uint64_t r = 0; r < n; r++) {
            uint64_t feature = group * state->features + row + r;
            uint64_t at = (image * (uint64_t)conv->features + feature) * (uint64_t)conv->window.out_size;
            row_store(call, sums + r * columns, feature, at + (uint64_t)position, count);
        }
    }
}

static partita_status conv_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const conv_state *state = call->state;
    conv_layout layout;
    partita_status status = layout_of(call, &layout);
    if (status == PARTITA_OK) status = inputs_check(call, &layout.conv);
    if (status != PARTITA_OK) return status;
    const cpu_conv *conv = &layout.conv;
    const cpu_window *g = &conv->window;
    int32_t *room = (int32_t *)(void *)((char *)call->scratch + worker * room_bytes(&layout));
    int32_t zero = cpu_zero_at(call, state->quantised ? X_ZERO : 2, 0);
    uint64_t packed_for = UINT64_MAX;
    for (uint64_t item = begin; item < end && g->out_size > 0; item++) {
        uint64_t split = item % layout.splits, rest = item / layout.splits;
        int64_t tile = (int64_t)rest % layout.tiles, plane = (int64_t)rest / layout.tiles;
        int64_t position = tile * layout.tile, columns = state->pairs->columns;
        int64_t stop = position + layout.tile < g->out_size ? position + layout.tile : g->out_size;
        uint64_t first = split * layout.blocks, last = first + layout.blocks;
        int64_t channel = plane / conv->group * conv->channels + plane % conv->group * conv->group_channels;
        if (last > state->blocks) last = state->blocks;
        int32_t *panel = room;
        for (; position < stop; position += columns, panel += layout.pairs * (uint64_t)columns) {
            uint32_t count = stop - position < columns ? (uint32_t)(stop - position) : (uint32_t)columns;
            if (packed_for != rest)
                panel_pack(state, g, &call->in[X], (uint64_t)(channel * g->in_size), zero, position, count, panel);
            panel_run(call, &layout, plane, first, last, position, count, panel);
        }
        packed_for = rest;
    }
    return PARTITA_OK;
}

#define ROW(operator)                                                                                                  \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 10, .until = CPU_NEWEST, .types = CPU_BYTES, .claim = conv_claim,       \
        .prepare = conv_prepare, .release = conv_release, .scratch = conv_scratch, .items = conv_items,                \
        .run = conv_run                                                                                                \
    }
const cpu_kernel cpu_kernels_conv_integer_fast[] = {ROW("ConvInteger"), ROW("QLinearConv")};
const uint32_t cpu_kernels_conv_integer_fast_count =
    sizeof(cpu_kernels_conv_integer_fast) / sizeof(cpu_kernels_conv_integer_fast[0]);
