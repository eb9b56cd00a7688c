/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions and pooling, with channels first or last.
 */
#include "contrib/contrib.h"

/* Attributes of a window, of `rank` spatial dims; NULL where the node does not say. */
typedef struct window {
    int32_t rank;
    const int64_t *kernel, *strides, *dilations, *pads;
    bool ceil, same, same_lower, valid;
} window;

static partita_status take_ints(const ptp_inference *node, const char *name, uint64_t count, int64_t least,
                                const int64_t **out_ints) {
    ptp_argument ints = ptp_argument_of(node, name);
    char text[96];
    *out_ints = NULL;
    if (ints.type != PTP_ATTRIBUTE_INTS) return PARTITA_OK;
    bool fits = ints.count == count;
    for (uint64_t i = 0; fits && i < count; i++) fits = ints.ints[i] >= least && ints.ints[i] <= INT32_MAX;
    if (!fits) {
        snprintf(text, sizeof text, "%s does not hold %llu numbers from %lld on", name, (unsigned long long)count,
                 (long long)least);
        return contrib_fail(node, text);
    }
    *out_ints = ints.ints;
    return PARTITA_OK;
}

static bool is_text(const ptp_argument *argument, const char *text) {
    size_t size = strlen(text);
    return argument->type == PTP_ATTRIBUTE_STRING && argument->s.size == size &&
           memcmp(argument->s.data, text, size) == 0;
}

static partita_status take_window(const ptp_inference *node, int32_t rank, window *out) {
    ptp_argument pad = ptp_argument_of(node, "auto_pad");
    uint64_t count = (uint64_t)rank;
    *out = (window){.rank = rank,
                    .ceil = ptp_int_of(node, "ceil_mode", 0) != 0,
                    .same = is_text(&pad, "SAME_UPPER") || is_text(&pad, "SAME_LOWER"),
                    .valid = is_text(&pad, "VALID")};
    if (!out->same && !out->valid && pad.type && !is_text(&pad, "NOTSET") && pad.s.size)
        return contrib_fail(node, "auto_pad is none of NOTSET, VALID, SAME_UPPER, SAME_LOWER");
    partita_status status = take_ints(node, "kernel_shape", count, 1, &out->kernel);
    if (status == PARTITA_OK) status = take_ints(node, "strides", count, 1, &out->strides);
    if (status == PARTITA_OK) status = take_ints(node, "dilations", count, 1, &out->dilations);
    if (status == PARTITA_OK) status = take_ints(node, "pads", 2 * count, 0, &out->pads);
    return status;
}

/* Extent of the result along spatial dim i. */
static ptp_dim slide(const ptp_inference *node, const window *w, int32_t i, ptp_dim in, ptp_dim kernel) {
    int64_t stride = w->strides ? w->strides[i] : 1, dilation = w->dilations ? w->dilations[i] : 1;
    if (w->same) return ptp_apply(node, PTP_DIM_CEIL_DIV, in, stride);
    int64_t pads = w->pads && !w->valid ? w->pads[i] + w->pads[w->rank + i] : 0;
    ptp_dim reach = contrib_add(node, contrib_mul(node, ptp_apply(node, PTP_DIM_SUB, kernel, 1), dilation), 1);
    ptp_dim room = ptp_apply(node, PTP_DIM_SUB, contrib_add(node, in, pads), reach);
    int64_t free_room;
    if (node->exact(node->self, room, &free_room) && free_room < 0) {
        (void)contrib_fail(node, "the window is larger than the padded input");
        return PTP_DIM_UNKNOWN;
    }
    ptp_dim steps = ptp_apply(node, w->ceil ? PTP_DIM_CEIL_DIV : PTP_DIM_FLOOR_DIV, room, stride);
    int64_t before = w->pads && !w->valid ? w->pads[i] : 0, counted, extent;
    /* With ceil the last window still begins within the input or the padding before it. */
    if (w->ceil && node->exact(node->self, steps, &counted) && node->exact(node->self, in, &extent) &&
        counted * stride >= extent + before)
        steps = counted - 1;
    return contrib_add(node, steps, 1);
}

/* Channel dim and first spatial dim of an input of this layout. */
static int32_t channel_of(bool last, int32_t rank) { return last ? rank - 1 : 1; }

/* last: the input's channels are; last_weights: their input channels are. */
static partita_status convolve(const ptp_inference *node, uint32_t second, bool last, bool last_weights,
                               partita_dtype dtype) {
    ptp_known input = ptp_input_of(node, 0), weights = ptp_input_of(node, second);
    ptp_dim dims[PTP_MAX_RANK];
    window w;
    node->output(node->self, 0, dtype, -1, NULL);
    if (input.rank < 0 || weights.rank < 0) return PARTITA_OK;
    if (input.rank < 3 || weights.rank != input.rank)
        return contrib_fail(node, "input and weights have different ranks, or fewer than 3 dims");
    partita_status status = take_window(node, input.rank - 2, &w);
    if (status != PARTITA_OK) return status;
    dims[0] = input.dims[0];
    dims[channel_of(last, input.rank)] = weights.dims[0];
    for (int32_t i = 0; i < w.rank; i++) {
        ptp_dim kernel = w.kernel ? w.kernel[i] : weights.dims[last_weights ? 1 + i : 2 + i];
        int32_t at = last ? 1 + i : 2 + i;
        dims[at] = slide(node, &w, i, input.dims[at], kernel);
    }
    node->output(node->self, 0, dtype, input.rank, dims);
    return PARTITA_OK;
}

partita_status contrib_infer_conv(const ptp_inference *node) {
    return convolve(node, 1, false, false, ptp_input_of(node, 0).dtype);
}
partita_status contrib_infer_conv_last(const ptp_inference *node) {
    return convolve(node, 1, true, true, ptp_input_of(node, 0).dtype);
}
partita_status contrib_infer_quantized_conv(const ptp_inference *node) {
    return convolve(node, 3, ptp_int_of(node, "channels_last", 0) != 0, false, ptp_input_of(node, 7).dtype);
}

static partita_status pool(const ptp_inference *node, bool last) {
    ptp_known input = ptp_input_of(node, 0);
    ptp_dim dims[PTP_MAX_RANK];
    window w;
    node->output(node->self, 0, input.dtype, -1, NULL);
    if (input.rank < 0) return PARTITA_OK;
    if (input.rank < 3) return contrib_fail(node, "the input has fewer than 3 dims");
    partita_status status = take_window(node, input.rank - 2, &w);
    if (status != PARTITA_OK) return status;
    for (int32_t i = 0; i < input.rank; i++) dims[i] = input.dims[i];
    for (int32_t i = 0; i < w.rank; i++) {
        int32_t at = last ? 1 + i : 2 + i;
        dims[at] = slide(node, &w, i, input.dims[at], w.kernel[i]);
    }
    node->output(node->self, 0, input.dtype, input.rank, dims);
    return PARTITA_OK;
}

partita_status contrib_infer_pool_last(const ptp_inference *node) { return pool(node, true); }
partita_status contrib_infer_quantized_pool(const ptp_inference *node) {
    return pool(node, ptp_int_of(node, "channels_last", 0) != 0);
}

partita_status contrib_infer_quantized_global_pool(const ptp_inference *node) {
    ptp_known input = ptp_input_of(node, 0);
    ptp_dim dims[PTP_MAX_RANK];
    if (input.rank >= 0 && input.rank < 3) return contrib_fail(node, "the input has fewer than 3 dims");
    int32_t channel = channel_of(ptp_int_of(node, "channels_last", 0) != 0, input.rank);
    for (int32_t i = 0; i < input.rank; i++) dims[i] = i == 0 || i == channel ? input.dims[i] : 1;
    node->output(node->self, 0, input.dtype, input.rank, dims);
    return PARTITA_OK;
}
