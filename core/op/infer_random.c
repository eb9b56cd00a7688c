/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers, windows and spectra, losses.
 */
#include "op/infer.h"

static partita_dtype dtype_attribute(const pt_infer *infer, const char *name, int64_t otherwise) {
    int64_t number = pt_node_int(infer->node, name, otherwise);
    return number > 0 && number < PARTITA_DTYPE_COUNT ? (partita_dtype)number : PARTITA_FLOAT32;
}

partita_status pt_op_infer_random(pt_infer *infer) {
    pt_infer_tensor(infer, 0, dtype_attribute(infer, "dtype", PARTITA_FLOAT32));
    const pt_attribute *shape = pt_infer_ints(infer, "shape");
    pt_dim *dims = shape ? pt_infer_rank(infer, 0, shape->count) : NULL;
    for (uint32_t i = 0; dims && i < shape->count; i++) {
        if (shape->ints[i] < 0) return pt_infer_fail(infer, "the shape has a dim of %lld", (long long)shape->ints[i]);
        dims[i] = shape->ints[i];
    }
    return infer->status;
}

partita_status pt_op_infer_multinomial(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_tensor(infer, 0, dtype_attribute(infer, "dtype", PARTITA_INT32));
    pt_dim *dims = pt_infer_rank(infer, 0, 2);
    if (in->rank >= 1) dims[0] = in->dims[0];
    dims[1] = pt_infer_number(infer, pt_node_int(infer->node, "sample_size", 1));
    return infer->status;
}

/* ---- windows and spectra --------------------------------------------------------------------- */

static pt_dim scalar(const pt_infer_value *value) {
    return value->small && value->small_count == 1 ? value->small[0] : PT_DIM_UNKNOWN;
}

static pt_dim half(pt_infer *infer, pt_dim length) { return pt_infer_add(infer, pt_infer_div(infer, length, 2), 1); }

partita_status pt_op_infer_window(pt_infer *infer) {
    pt_infer_tensor(infer, 0, dtype_attribute(infer, "output_datatype", PARTITA_FLOAT32));
    pt_infer_rank(infer, 0, 1)[0] = scalar(pt_infer_in(infer, 0));
    return infer->status;
}

partita_status pt_op_infer_dft(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *length = pt_infer_in(infer, 1),
                         *axis_input = pt_infer_in(infer, 2);
    bool inverse = pt_node_int(infer->node, "inverse", 0) != 0,
         one_sided = pt_node_int(infer->node, "onesided", 0) != 0;
    int64_t number = pt_node_int(infer->node, "axis", infer->since < 20 ? 1 : -2);
    int64_t count;
    int32_t axis;
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) return infer->status;
    if (in->rank < 2) return pt_infer_fail(infer, "an input of rank %d, less than 2", in->rank);
    pt_dim last = in->dims[in->rank - 1];
    if (one_sided && pt_infer_exact(infer, last, &count) && count != (inverse ? 2 : 1)) {
        return pt_infer_fail(infer, "a one-sided transform of elements with %lld parts instead of %d", (long long)count,
                             inverse ? 2 : 1);
    }
    /* The last dim: real and imaginary part. */
    pt_dim parts = one_sided && inverse ? 1 : 2;
    if (infer->since >= 20 && pt_infer_has(infer, 2) && !pt_infer_exact(infer, scalar(axis_input), &number)) {
        /* Without a cut every axis keeps its length. */
        if (!pt_infer_has(infer, 1) && !one_sided) pt_infer_shape_like(infer, 0, in);
        if (pt_infer_out(infer, 0)->rank < 0) pt_infer_rank(infer, 0, in->rank);
        pt_infer_out(infer, 0)->dims[in->rank - 1] = parts;
        return infer->status;
    }
    PT_TRY(pt_infer_axis(infer, number, in->rank, &axis));
    if (axis == in->rank - 1) return pt_infer_fail(infer, "axis %d is that of real and imaginary part", axis);
    pt_dim *dims = pt_infer_shape_like(infer, 0, in);
    bool cut = pt_infer_has(infer, 1);
    if (cut) dims[axis] = scalar(length);
    if (one_sided && inverse && !cut) dims[axis] = pt_infer_mul(infer, pt_infer_sub(infer, dims[axis], 1), 2);
    if (one_sided && !inverse) dims[axis] = half(infer, dims[axis]);
    dims[in->rank - 1] = parts;
    return infer->status;
}

partita_status pt_op_infer_stft(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *window = pt_infer_in(infer, 2);
    pt_infer_tensor(infer, 0, in->dtype);
    /* Exporters leave the last axis, of 1, out. */
    bool known = in->rank == 2 || in->rank == 3;
    if (in->rank >= 0 && !known) return pt_infer_fail(infer, "a signal of rank %d, expected 3", in->rank);
    pt_dim *dims = pt_infer_rank(infer, 0, 4);
    pt_dim step = scalar(pt_infer_in(infer, 1)), length = scalar(pt_infer_in(infer, 3));
    if (!pt_infer_has(infer, 3) && window->rank == 1) length = window->dims[0];
    if (!pt_infer_has(infer, 3) && !pt_infer_has(infer, 2) && known) length = in->dims[1];
    if (known) {
        dims[0] = in->dims[0];
        dims[1] = pt_infer_add(infer, pt_infer_div(infer, pt_infer_sub(infer, in->dims[1], length), step), 1);
    }
    dims[2] = pt_node_int(infer->node, "onesided", 1) ? half(infer, length) : length;
    dims[3] = 2;
    return infer->status;
}

partita_status pt_op_infer_mel_weight_matrix(pt_infer *infer) {
    pt_infer_tensor(infer, 0, dtype_attribute(infer, "output_datatype", PARTITA_FLOAT32));
    pt_dim *dims = pt_infer_rank(infer, 0, 2);
    dims[0] = half(infer, scalar(pt_infer_in(infer, 1)));
    dims[1] = scalar(pt_infer_in(infer, 0));
    return infer->status;
}

partita_status pt_op_infer_image_decoder(pt_infer *infer) {
    pt_infer_tensor(infer, 0, PARTITA_UINT8);
    pt_infer_rank(infer, 0, 3)[2] = pt_infer_string_is(infer, "pixel_format", "Grayscale") ? 1 : 3;
    return infer->status;
}

/* ---- losses ---------------------------------------------------------------------------------- */

partita_status pt_op_infer_loss(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *target = pt_infer_in(infer, 1);
    pt_infer_tensor(infer, 0, in->dtype)->rank = 0;
    if (pt_infer_string_is(infer, "reduction", "none")) pt_infer_shape_like(infer, 0, target);
    if (pt_str_is(infer->node->op, "SoftmaxCrossEntropyLoss")) pt_infer_like(infer, 1, in);
    return infer->status;
}
