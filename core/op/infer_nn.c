/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolution, pooling, normalisation.
 */
#include "op/infer.h"

/* ---- windows --------------------------------------------------------------------------------- */

/* A window that moves over `count` axes. */
typedef struct window {
    int32_t count;
    pt_dim kernel[PT_RANK_MAX];
    int64_t strides[PT_RANK_MAX], dilations[PT_RANK_MAX];
    int64_t pads[2 * PT_RANK_MAX];
    bool same, valid; /* auto_pad */
    bool ceil;
} window;

static partita_status window_list(pt_infer *infer, const char *name, int32_t count, int64_t otherwise, int64_t least,
                                  int64_t *out) {
    const pt_attribute *attribute = pt_infer_ints(infer, name);
    for (int32_t i = 0; i < count; i++) out[i] = otherwise;
    if (!attribute || attribute->count == 0) return PARTITA_OK;
    if (attribute->count != (uint32_t)count) {
        return pt_infer_fail(infer, "attribute '%s' has %u numbers instead of %d", name, attribute->count, count);
    }
    for (int32_t i = 0; i < count; i++) {
        out[i] = attribute->ints[i];
        if (out[i] < least || out[i] > INT32_MAX) {
            return pt_infer_fail(infer, "attribute '%s' has a number of %lld", name, (long long)out[i]);
        }
    }
    return PARTITA_OK;
}

/* `weights`: where the kernel's size stands when there is no attribute; NULL. */
static partita_status window_of(pt_infer *infer, int32_t count, const pt_infer_value *weights, window *out) {
    int64_t kernel[PT_RANK_MAX];
    *out = (window){.count = count};
    PT_TRY(window_list(infer, "strides", count, 1, 1, out->strides));
    PT_TRY(window_list(infer, "dilations", count, 1, 1, out->dilations));
    PT_TRY(window_list(infer, "pads", 2 * count, 0, -INT32_MAX, out->pads));
    PT_TRY(window_list(infer, "kernel_shape", count, -1, 1, kernel));
    out->same =
        pt_infer_string_is(infer, "auto_pad", "SAME_UPPER") || pt_infer_string_is(infer, "auto_pad", "SAME_LOWER");
    out->valid = pt_infer_string_is(infer, "auto_pad", "VALID");
    out->ceil = pt_node_int(infer->node, "ceil_mode", 0) != 0;
    for (int32_t i = 0; i < count; i++) {
        pt_dim own = weights && weights->rank == count + 2 ? weights->dims[i + 2] : PT_DIM_UNKNOWN;
        out->kernel[i] = kernel[i] < 0 ? PT_DIM_UNKNOWN : kernel[i];
        PT_TRY(pt_infer_same_dim(infer, out->kernel[i], own, &out->kernel[i]));
    }
    return PARTITA_OK;
}

/* Extent of the kernel, with holes. */
static pt_dim window_span(pt_infer *infer, const window *w, int32_t i) {
    return pt_infer_add(infer, pt_infer_mul(infer, pt_infer_sub(infer, w->kernel[i], 1), w->dilations[i]), 1);
}

/* How many places the window has on axis `i` of extent `dim`. */
static partita_status window_places(pt_infer *infer, const window *w, int32_t i, pt_dim dim, pt_dim *out_dim) {
    int64_t number;
    if (w->same) {
        *out_dim = pt_infer_ceil_div(infer, dim, w->strides[i]);
        return infer->status;
    }
    int64_t before = w->valid ? 0 : w->pads[i], after = w->valid ? 0 : w->pads[w->count + i];
    pt_dim free =
        pt_infer_sub(infer, pt_infer_add(infer, dim, pt_infer_number(infer, before + after)), window_span(infer, w, i));
    if (pt_infer_exact(infer, free, &number) && number < 0 && number + w->strides[i] < 0) {
        return pt_infer_fail(infer, "a window of %lld does not fit into axis %d with its pads", (long long)w->kernel[i],
                             i + 2);
    }
    if (w->ceil) {
        /* A window that would start behind the input does not count. */
        pt_dim begun =
            pt_infer_ceil_div(infer, pt_infer_add(infer, dim, pt_infer_number(infer, before)), w->strides[i]);
        *out_dim = pt_infer_add(infer, pt_infer_ceil_div(infer, free, w->strides[i]), 1);
        *out_dim = pt_infer_min(infer, *out_dim, begun);
    } else {
        /* Towards zero, as in ONNX's own inference: one place for a window that sticks out by less than a stride. */
        *out_dim = pt_infer_add(infer, pt_infer_apply(infer, PT_DIM_TRUNC_DIV, free, w->strides[i]), 1);
    }
    return infer->status;
}

static partita_status window_dims(pt_infer *infer, const window *w, const pt_infer_value *in, pt_dim *dims) {
    for (int32_t i = 0; i < w->count; i++) {
        dims[i + 2] = PT_DIM_UNKNOWN;
        if (w->kernel[i] != PT_DIM_UNKNOWN || w->same)
            PT_TRY(window_places(infer, w, i, in->dims[i + 2], &dims[i + 2]));
    }
    return infer->status;
}

static partita_status need_rank(pt_infer *infer, const pt_infer_value *in, int32_t least) {
    if (in->rank < 0 || in->rank >= least) return PARTITA_OK;
    return pt_infer_fail(infer, "an input of rank %d, less than %d", in->rank, least);
}

/* ---- convolution ----------------------------------------------------------------------------- */

static partita_status check_channels(pt_infer *infer, const pt_infer_value *in, const pt_infer_value *weights) {
    int64_t channels, own, group = pt_node_int(infer->node, "group", 1);
    if (group < 1) return pt_infer_fail(infer, "attribute 'group' must be positive");
    if (in->rank < 2 || weights->rank < 2) return PARTITA_OK;
    if (in->rank != weights->rank) {
        return pt_infer_fail(infer, "weights of rank %d for an input of rank %d", weights->rank, in->rank);
    }
    if (!pt_infer_exact(infer, in->dims[1], &channels) || !pt_infer_exact(infer, weights->dims[1], &own))
        return PARTITA_OK;
    if (own <= INT64_MAX / group && own * group == channels) return PARTITA_OK;
    return pt_infer_fail(infer, "%lld channels for weights of %lld in %lld groups", (long long)channels, (long long)own,
                         (long long)group);
}

partita_status pt_op_infer_conv(pt_infer *infer) {
    bool quantized = pt_str_is(infer->node->op, "QLinearConv"), integer = pt_str_is(infer->node->op, "ConvInteger");
    const pt_infer_value *in = pt_infer_in(infer, 0), *weights = pt_infer_in(infer, quantized ? 3 : 1);
    window w;
    pt_infer_tensor(infer, 0, integer ? PARTITA_INT32 : quantized ? pt_infer_in(infer, 7)->dtype : in->dtype);
    PT_TRY(need_rank(infer, in, 3));
    int32_t rank = in->rank >= 0 ? in->rank : weights->rank;
    if (rank < 3) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, rank);
    PT_TRY(check_channels(infer, in, weights));
    PT_TRY(window_of(infer, rank - 2, weights, &w));
    if (in->rank >= 0) dims[0] = in->dims[0];
    if (weights->rank >= 1) dims[1] = weights->dims[0];
    return in->rank >= 0 ? window_dims(infer, &w, in, dims) : infer->status;
}

partita_status pt_op_infer_conv_transpose(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *weights = pt_infer_in(infer, 1);
    const pt_attribute *shape = pt_infer_ints(infer, "output_shape");
    int64_t extra[PT_RANK_MAX], channels, rows, group = pt_node_int(infer->node, "group", 1);
    window w;
    pt_infer_tensor(infer, 0, in->dtype);
    PT_TRY(need_rank(infer, in, 3));
    if (in->rank < 0) return infer->status;
    if (weights->rank >= 0 && weights->rank != in->rank) {
        return pt_infer_fail(infer, "weights of rank %d for an input of rank %d", weights->rank, in->rank);
    }
    if (weights->rank >= 0 && pt_infer_exact(infer, in->dims[1], &channels) &&
        pt_infer_exact(infer, weights->dims[0], &rows) && channels != rows) {
        return pt_infer_fail(infer, "%lld channels for weights of %lld", (long long)channels, (long long)rows);
    }
    PT_TRY(window_of(infer, in->rank - 2, weights, &w));
    PT_TRY(window_list(infer, "output_padding", w.count, 0, 0, extra));
    pt_dim *dims = pt_infer_rank(infer, 0, in->rank);
    dims[0] = in->dims[0];
    if (weights->rank >= 2) dims[1] = pt_infer_mul(infer, weights->dims[1], pt_infer_number(infer, group));
    /* Some exporters give the whole shape instead of the spatial part. */
    uint32_t skip = shape && shape->count == (uint32_t)in->rank ? 2 : 0;
    bool shaped = shape && shape->count == (uint32_t)w.count + skip;
    for (int32_t i = 0; i < w.count; i++) {
        if (shaped) {
            dims[i + 2] = pt_infer_number(infer, shape->ints[(uint32_t)i + skip]);
        } else if (w.same) {
            dims[i + 2] = pt_infer_mul(infer, in->dims[i + 2], w.strides[i]);
        } else if (w.kernel[i] != PT_DIM_UNKNOWN) {
            int64_t pads = w.valid ? 0 : w.pads[i] + w.pads[w.count + i];
            pt_dim reach = pt_infer_mul(infer, pt_infer_sub(infer, in->dims[i + 2], 1), w.strides[i]);
            reach = pt_infer_add(infer, reach, window_span(infer, &w, i));
            dims[i + 2] = pt_infer_add(infer, reach, pt_infer_number(infer, extra[i] - pads));
        }
    }
    return infer->status;
}

/* State: the last k - 1 places, carried from call to call. */
partita_status pt_op_infer_causal_conv(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *weights = pt_infer_in(infer, 1), *past = pt_infer_in(infer, 3);
    pt_infer_like(infer, 0, in);
    pt_infer_tensor(infer, 1, in->dtype);
    pt_dim *dims = pt_infer_rank(infer, 1, 3);
    if (in->rank == 3) memcpy(dims, in->dims, 2 * sizeof *dims);
    if (weights->rank == 3) dims[2] = pt_infer_sub(infer, weights->dims[2], 1);
    return past->rank == 3 ? pt_infer_same_dim(infer, dims[2], past->dims[2], &dims[2]) : infer->status;
}

/* ---- pooling --------------------------------------------------------------------------------- */

partita_status pt_op_infer_pool(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    window w;
    pt_infer_tensor(infer, 0, in->dtype);
    pt_infer_tensor(infer, 1, PARTITA_INT64);
    PT_TRY(need_rank(infer, in, 3));
    if (in->rank < 0) return infer->status;
    PT_TRY(window_of(infer, in->rank - 2, NULL, &w));
    pt_dim *dims = pt_infer_rank(infer, 0, in->rank);
    dims[0] = in->dims[0];
    dims[1] = in->dims[1];
    PT_TRY(window_dims(infer, &w, in, dims));
    pt_infer_shape_like(infer, 1, pt_infer_out(infer, 0));
    return infer->status;
}

partita_status pt_op_infer_global_pool(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_tensor(infer, 0, in->dtype);
    PT_TRY(need_rank(infer, in, 2));
    if (in->rank < 0) return infer->status;
    pt_dim *dims = pt_infer_shape_like(infer, 0, in);
    for (int32_t i = 2; i < in->rank; i++) dims[i] = 1;
    return infer->status;
}

partita_status pt_op_infer_max_unpool(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *places = pt_infer_in(infer, 1), *shape = pt_infer_in(infer, 2);
    window w;
    pt_infer_tensor(infer, 0, in->dtype);
    PT_TRY(need_rank(infer, in, 3));
    if (in->rank < 0) return infer->status;
    PT_TRY(window_of(infer, in->rank - 2, NULL, &w));
    pt_dim *dims = pt_infer_rank(infer, 0, in->rank);
    if (places->rank >= 0 && places->rank != in->rank) {
        return pt_infer_fail(infer, "places of rank %d for an input of rank %d", places->rank, in->rank);
    }
    if (pt_infer_has(infer, 2)) {
        pt_dim length = shape->rank == 1 ? shape->dims[0] : PT_DIM_UNKNOWN;
        PT_TRY(pt_infer_same_dim(infer, length, in->rank, &length));
        bool known = shape->small && shape->small_count == (uint32_t)in->rank;
        for (int32_t i = 0; known && i < in->rank; i++) dims[i] = shape->small[i];
        return infer->status;
    }
    pt_dim from[PT_RANK_MAX];
    for (int32_t i = 0; i < in->rank; i++) {
        pt_dim place = places->rank == in->rank ? places->dims[i] : PT_DIM_UNKNOWN;
        PT_TRY(pt_infer_same_dim(infer, in->dims[i], place, &from[i]));
    }
    dims[0] = from[0];
    dims[1] = from[1];
    for (int32_t i = 0; i < w.count; i++) {
        pt_dim reach = pt_infer_mul(infer, pt_infer_sub(infer, from[i + 2], 1), w.strides[i]);
        reach = pt_infer_add(infer, reach, w.kernel[i]);
        dims[i + 2] = pt_infer_sub(infer, reach, pt_infer_number(infer, w.pads[i] + w.pads[w.count + i]));
    }
    return infer->status;
}

/* ---- normalisation --------------------------------------------------------------------------- */

/* The same, along an axis. Before version 11 it may lie behind the last one. */
partita_status pt_op_infer_same_axis(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    int32_t axis;
    pt_infer_like(infer, 0, in);
    if (in->rank < 0 || infer->since < 11) return infer->status;
    return pt_infer_axis(infer, pt_node_int(infer->node, "axis", -1), in->rank, &axis);
}

/* The other outputs are one number per channel; saved ones of old versions too. */
partita_status pt_op_infer_batch_norm(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *scale = pt_infer_in(infer, 1), *mean = pt_infer_in(infer, 3);
    int64_t channels, own;
    pt_infer_like(infer, 0, in);
    bool spatial = pt_node_int(infer->node, "spatial", 1) != 0;
    if (spatial && in->rank >= 2 && scale->rank == 1 && pt_infer_exact(infer, in->dims[1], &channels) &&
        pt_infer_exact(infer, scale->dims[0], &own) && channels != own) {
        return pt_infer_fail(infer, "%lld channels for a scale of %lld", (long long)channels, (long long)own);
    }
    for (uint32_t i = 1; i < infer->output_count; i++) {
        pt_infer_tensor(infer, i, infer->since >= 14 ? mean->dtype : in->dtype);
        if (!spatial) {
            pt_infer_shape_like(infer, i, mean);
            continue;
        }
        pt_dim *dims = pt_infer_rank(infer, i, 1);
        if (in->rank >= 2) dims[0] = in->dims[1];
    }
    return infer->status;
}

partita_status pt_op_infer_layer_norm(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    int32_t axis = 0;
    int64_t stash = pt_node_int(infer->node, "stash_type", 1);
    pt_infer_like(infer, 0, in);
    if (in->rank >= 0) PT_TRY(pt_infer_axis(infer, pt_node_int(infer->node, "axis", -1), in->rank, &axis));
    for (uint32_t i = 1; i < 3; i++) {
        pt_infer_tensor(infer, i, stash > 0 && stash < PARTITA_DTYPE_COUNT ? (partita_dtype)stash : PARTITA_FLOAT32);
        if (in->rank < 0) continue;
        pt_dim *dims = pt_infer_shape_like(infer, i, in);
        for (int32_t k = axis; k < in->rank; k++) dims[k] = 1;
    }
    return infer->status;
}
