/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that change the resolution or the arrangement of pictures.
 */
#include "op/infer.h"

#include <math.h>

/* ---- resize ---------------------------------------------------------------------------------- */

static pt_dim scaled(pt_infer *infer, pt_dim dim, double scale) {
    int64_t number;
    if (pt_infer_exact(infer, dim, &number) && number == 1 && scale == 1.0) return 1;
    return pt_infer_scale(infer, dim, (float)scale);
}

/* Sizes for `count` axes, with a policy for the aspect ratio: one scale for all of them. */
static partita_status keep_ratio(pt_infer *infer, const int32_t *axes, const pt_dim *sizes, int64_t count, bool larger,
                                 pt_dim *dims) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    double scale = larger ? 0.0 : (double)INFINITY;
    for (int64_t i = 0; i < count; i++) {
        int64_t size, dim;
        dims[axes[i]] = PT_DIM_UNKNOWN;
        bool known =
            pt_infer_exact(infer, sizes[i], &size) && pt_infer_exact(infer, in->dims[axes[i]], &dim) && dim > 0;
        if (!known) scale = NAN;
        if (known && !isnan(scale)) {
            double own = (double)size / (double)dim;
            scale = larger ? PT_MAX(scale, own) : PT_MIN(scale, own);
        }
    }
    if (isnan(scale)) return infer->status;
    for (int64_t i = 0; i < count; i++) dims[axes[i]] = (pt_dim)floor(scale * (double)in->dims[axes[i]] + 0.5);
    return infer->status;
}

static partita_status resize_axes(pt_infer *infer, int32_t rank, int32_t *axes, int64_t *out_count) {
    const pt_attribute *attribute = pt_infer_ints(infer, "axes");
    *out_count = attribute ? (int64_t)attribute->count : rank;
    if (*out_count > rank) return pt_infer_fail(infer, "%lld axes for rank %d", (long long)*out_count, rank);
    for (int64_t i = 0; i < *out_count; i++) {
        axes[i] = (int32_t)i;
        if (attribute) PT_TRY(pt_infer_axis(infer, attribute->ints[i], rank, &axes[i]));
    }
    return PARTITA_OK;
}

/* The scales: an input since version 9, attributes before. False when they are not at hand. */
static bool scales_of(pt_infer *infer, double *scales, int64_t *out_count) {
    const pt_node *node = infer->node;
    bool upsample = pt_str_is(node->op, "Upsample");
    const pt_infer_value *value = pt_infer_in(infer, upsample || infer->since == 10 ? 1 : 2);
    if (upsample && infer->since == 1) {
        scales[0] = scales[1] = 1.0;
        scales[2] = (double)pt_node_float(node, "height_scale", 1.0f);
        scales[3] = (double)pt_node_float(node, "width_scale", 1.0f);
        *out_count = 4;
        return true;
    }
    const pt_attribute *attribute = upsample ? pt_node_attribute(node, "scales") : NULL;
    if (attribute) {
        *out_count = PT_MIN(attribute->count, (uint32_t)PT_RANK_MAX);
        for (int64_t i = 0; i < *out_count; i++) scales[i] = (double)attribute->floats[i];
        return true;
    }
    *out_count = (int64_t)value->data_count;
    return pt_infer_reals(value, scales, PT_RANK_MAX) && *out_count > 0;
}

partita_status pt_op_infer_resize(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *sizes = pt_infer_in(infer, 3), *roi = pt_infer_in(infer, 1);
    int32_t axes[PT_RANK_MAX];
    int64_t count, given;
    double scales[PT_RANK_MAX], corners[2 * PT_RANK_MAX];
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) return infer->status;
    PT_TRY(resize_axes(infer, in->rank, axes, &count));
    pt_dim *dims = pt_infer_shape_like(infer, 0, in);
    if (sizes->rank >= 0 && sizes->rank != 1) return pt_infer_fail(infer, "sizes of rank %d instead of 1", sizes->rank);
    if (sizes->rank == 1 && pt_infer_exact(infer, sizes->dims[0], &given) && given != count &&
        (given || sizes->small)) {
        return pt_infer_fail(infer, "%lld sizes for %lld axes", (long long)given, (long long)count);
    }
    if (sizes->kind != PARTITA_KIND_NONE && sizes->small) {
        bool larger = pt_infer_string_is(infer, "keep_aspect_ratio_policy", "not_smaller");
        if (larger || pt_infer_string_is(infer, "keep_aspect_ratio_policy", "not_larger")) {
            return keep_ratio(infer, axes, sizes->small, count, larger, dims);
        }
        for (int64_t i = 0; i < count; i++) dims[axes[i]] = sizes->small[i];
        return infer->status;
    }
    bool crop = pt_infer_string_is(infer, "coordinate_transformation_mode", "tf_crop_and_resize");
    bool crop_known = crop && roi->data_count == 2 * (uint64_t)count && pt_infer_reals(roi, corners, 2 * PT_RANK_MAX);
    if (scales_of(infer, scales, &given) && given != count) {
        return pt_infer_fail(infer, "%lld scales for %lld axes", (long long)given, (long long)count);
    }
    bool known = scales_of(infer, scales, &given) && (!crop || crop_known);
    for (int64_t i = 0; i < count; i++) {
        pt_dim *dim = &dims[axes[i]];
        double scale = known && crop ? scales[i] * (corners[count + i] - corners[i]) : known ? scales[i] : 1.0;
        *dim = known ? scaled(infer, *dim, scale) : PT_DIM_UNKNOWN;
    }
    return infer->status;
}

/* ---- sampling -------------------------------------------------------------------------------- */

partita_status pt_op_infer_grid_sample(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *grid = pt_infer_in(infer, 1);
    pt_infer_tensor(infer, 0, in->dtype);
    int32_t rank = in->rank >= 0 ? in->rank : grid->rank;
    if (rank < 0) return infer->status;
    if (rank < 3 || (in->rank >= 0 && grid->rank >= 0 && in->rank != grid->rank)) {
        return pt_infer_fail(infer, "a grid of rank %d for an input of rank %d", grid->rank, in->rank);
    }
    pt_dim places = rank - 2;
    if (grid->rank == rank) PT_TRY(pt_infer_same_dim(infer, grid->dims[rank - 1], places, &places));
    pt_dim *dims = pt_infer_rank(infer, 0, rank);
    if (in->rank >= 0) memcpy(dims, in->dims, 2 * sizeof *dims);
    for (int32_t i = 2; i < rank && grid->rank >= 0; i++) dims[i] = grid->dims[i - 1];
    return infer->status;
}

partita_status pt_op_infer_affine_grid(pt_infer *infer) {
    const pt_infer_value *theta = pt_infer_in(infer, 0);
    pt_infer_tensor(infer, 0, theta->dtype);
    pt_infer_list sizes = pt_infer_list_of(infer, NULL, 1);
    if (sizes.count < 0) return infer->status;
    if (sizes.count != 4 && sizes.count != 5) return pt_infer_fail(infer, "%lld sizes", (long long)sizes.count);
    int32_t rank = (int32_t)sizes.count;
    pt_dim *dims = pt_infer_rank(infer, 0, rank);
    if (sizes.elements) dims[0] = sizes.elements[0];
    for (int32_t i = 2; sizes.elements && i < rank; i++) dims[i - 1] = sizes.elements[i];
    dims[rank - 1] = rank - 2;
    return infer->status;
}

partita_status pt_op_infer_roi_align(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *rois = pt_infer_in(infer, 1), *batches = pt_infer_in(infer, 2);
    pt_infer_tensor(infer, 0, in->dtype);
    pt_dim *dims = pt_infer_rank(infer, 0, 4);
    if (rois->rank >= 1) dims[0] = rois->dims[0];
    if (batches->rank >= 1) PT_TRY(pt_infer_same_dim(infer, dims[0], batches->dims[0], &dims[0]));
    if (in->rank >= 2) dims[1] = in->dims[1];
    dims[2] = pt_infer_number(infer, pt_node_int(infer->node, "output_height", 1));
    dims[3] = pt_infer_number(infer, pt_node_int(infer->node, "output_width", 1));
    return infer->status;
}

partita_status pt_op_infer_max_roi_pool(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *rois = pt_infer_in(infer, 1);
    const pt_attribute *pooled = pt_infer_ints(infer, "pooled_shape");
    pt_infer_tensor(infer, 0, in->dtype);
    if (!pooled || pooled->count != 2) return pt_infer_fail(infer, "attribute 'pooled_shape' must have 2 numbers");
    pt_dim *dims = pt_infer_rank(infer, 0, 4);
    if (rois->rank >= 1) dims[0] = rois->dims[0];
    if (in->rank >= 2) dims[1] = in->dims[1];
    dims[2] = pt_infer_number(infer, pooled->ints[0]);
    dims[3] = pt_infer_number(infer, pooled->ints[1]);
    return infer->status;
}

/* ---- arrangement ----------------------------------------------------------------------------- */

/* Blocks of depth become blocks of space, or the other way round. */
static partita_status infer_blocks(pt_infer *infer, bool to_space) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    int64_t block = pt_node_int(infer->node, "blocksize", 0);
    pt_infer_tensor(infer, 0, in->dtype);
    if (block <= 0 || block > INT32_MAX) return pt_infer_fail(infer, "attribute 'blocksize' must be positive");
    if (in->rank < 0) return infer->status;
    if (in->rank != 4) return pt_infer_fail(infer, "an input of rank %d instead of 4", in->rank);
    pt_dim *dims = pt_infer_shape_like(infer, 0, in);
    dims[1] = to_space ? pt_infer_div(infer, dims[1], block * block) : pt_infer_mul(infer, dims[1], block * block);
    for (int i = 2; i < 4; i++)
        dims[i] = to_space ? pt_infer_mul(infer, dims[i], block) : pt_infer_div(infer, dims[i], block);
    return infer->status;
}

partita_status pt_op_infer_depth_to_space(pt_infer *infer) { return infer_blocks(infer, true); }

partita_status pt_op_infer_space_to_depth(pt_infer *infer) { return infer_blocks(infer, false); }

partita_status pt_op_infer_center_crop_pad(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *shape = pt_infer_in(infer, 1);
    const pt_attribute *axes = pt_infer_ints(infer, "axes");
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) return infer->status;
    pt_dim *dims = pt_infer_shape_like(infer, 0, in);
    uint32_t count = axes ? axes->count : (uint32_t)in->rank;
    if (shape->small && shape->small_count != count) {
        return pt_infer_fail(infer, "%u sizes for %u axes", shape->small_count, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        int32_t axis = (int32_t)i;
        if (axes) PT_TRY(pt_infer_axis(infer, axes->ints[i], in->rank, &axis));
        dims[axis] = shape->small ? shape->small[i] : PT_DIM_UNKNOWN;
    }
    return infer->status;
}

partita_status pt_op_infer_col2im(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *image = pt_infer_in(infer, 1), *block = pt_infer_in(infer, 2);
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank >= 0 && in->rank != 3) return pt_infer_fail(infer, "an input of rank %d instead of 3", in->rank);
    int64_t axes = image->small ? (int64_t)image->small_count : block->small ? (int64_t)block->small_count : -1;
    if (axes < 0 && !pt_infer_count(image, &axes)) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, 2 + axes);
    if (!dims) return infer->status;
    if (in->rank == 3) dims[0] = in->dims[0];
    if (in->rank == 3 && block->small) {
        dims[1] = pt_infer_div(infer, in->dims[1], pt_infer_product(infer, block->small, block->small_count));
    }
    for (int64_t i = 0; image->small && i < axes; i++) dims[2 + i] = image->small[i];
    return infer->status;
}
