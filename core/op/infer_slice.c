/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slice, and how many elements a slice has when its bounds or the dim are symbols.
 */
#include "op/infer.h"

typedef struct slice {
    pt_dim dims[PT_RANK_MAX];
    pt_dim starts[PT_RANK_MAX]; /* from the front */
    int64_t steps[PT_RANK_MAX]; /* 0: not known */
    const pt_infer_value *in;
} slice;

/* A bound from the front, however it is given; far outside means "to the end", and must not overflow. */
static pt_dim bound(pt_infer *infer, pt_dim at, pt_dim dim) {
    int64_t number;
    if (pt_infer_exact(infer, at, &number)) {
        if (number >= INT32_MAX) return pt_infer_add(infer, dim, 1);
        if (number <= -INT32_MAX) return pt_infer_number(infer, -1);
        return number < 0 ? pt_infer_add(infer, dim, at) : at;
    }
    return pt_infer_nonnegative(infer, at) ? at : pt_infer_apply(infer, PT_DIM_WRAP, at, dim);
}

/* A bound of the list; from its data where that is at hand, because the smallest int64, "to the front", is no dim. */
static pt_dim bound_of(pt_infer *infer, pt_infer_list list, const pt_infer_value *value, int64_t i) {
    int64_t number;
    bool at_hand = value->data && value->dtype == PARTITA_INT64 && (uint64_t)i < value->data_count;
    if (!at_hand) return list.elements ? list.elements[i] : PT_DIM_UNKNOWN;
    memcpy(&number, (const char *)value->data + (size_t)i * sizeof number, sizeof number);
    return pt_infer_number(infer, PT_MAX(number, -INT64_MAX));
}

static void slice_axis(pt_infer *infer, slice *all, int32_t axis, pt_dim start, pt_dim end, int64_t step) {
    pt_dim dim = all->in->dims[axis], span;
    all->steps[axis] = step;
    all->starts[axis] = all->dims[axis] = PT_DIM_UNKNOWN;
    if (step == 0) return;
    pt_dim from = bound(infer, start, dim), to = bound(infer, end, dim);
    /* The other two of the four limits only matter to slices that are empty anyhow. */
    if (step > 0) {
        from = pt_infer_max(infer, from, 0);
        to = pt_infer_min(infer, to, dim);
        span = pt_infer_sub(infer, to, from);
    } else {
        from = pt_infer_min(infer, from, pt_infer_sub(infer, dim, 1));
        to = pt_infer_max(infer, to, pt_infer_number(infer, -1));
        span = pt_infer_sub(infer, from, to);
    }
    all->starts[axis] = from;
    all->dims[axis] = pt_infer_max(infer, pt_infer_ceil_div(infer, span, step > 0 ? step : -step), 0);
}

static int64_t slice_place(const void *user, const int64_t *at) {
    const slice *all = user;
    int64_t index = 0;
    for (int32_t i = 0; i < all->in->rank; i++) {
        index = index * all->in->dims[i] + all->starts[i] + at[i] * all->steps[i];
    }
    return index;
}

/* Only when it's known for every axis where the elements come from. */
static void slice_elements(pt_infer *infer, slice *all) {
    int64_t number;
    for (int32_t i = 0; i < all->in->rank; i++) {
        if (!pt_infer_exact(infer, all->starts[i], &number)) return;
        all->starts[i] = number;
    }
    pt_infer_small_pick(infer, 0, slice_place, all);
}

partita_status pt_op_infer_slice(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_list starts = pt_infer_list_of(infer, "starts", 1), ends = pt_infer_list_of(infer, "ends", 2);
    pt_infer_list axes = pt_infer_list_of(infer, "axes", 3), steps = pt_infer_list_of(infer, NULL, 4);
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, in->rank);
    int64_t count = PT_MAX(starts.count, ends.count);
    bool axes_known = !axes.present || axes.elements;
    if (count < 0 || !axes_known) return infer->status;
    slice all = {.in = in};
    memcpy(all.dims, in->dims, sizeof all.dims);
    for (int32_t i = 0; i < in->rank; i++) all.steps[i] = 1;
    bool differ = (starts.count >= 0 && starts.count != count) || (ends.count >= 0 && ends.count != count) ||
                  (axes.present && axes.count != count) || (steps.elements && steps.count != count);
    if (differ) return pt_infer_fail(infer, "starts, ends, axes and steps differ in length");
    for (int64_t i = 0; i < count; i++) {
        int64_t axis_number = i, step = 1;
        int32_t axis;
        if (axes.present && !pt_infer_exact(infer, axes.elements[i], &axis_number)) return infer->status;
        PT_TRY(pt_infer_axis(infer, axis_number, in->rank, &axis));
        if (steps.present && (!steps.elements || !pt_infer_exact(infer, steps.elements[i], &step))) {
            step = 0;
        } else if (step == 0 || step == INT64_MIN) {
            return pt_infer_fail(infer, "a slice with a step of 0");
        }
        pt_dim start = bound_of(infer, starts, pt_infer_in(infer, 1), i);
        pt_dim end = bound_of(infer, ends, pt_infer_in(infer, 2), i);
        slice_axis(infer, &all, axis, start, end, PT_MAX(PT_MIN(step, INT32_MAX), -INT32_MAX));
    }
    memcpy(dims, all.dims, (size_t)in->rank * sizeof *dims);
    slice_elements(infer, &all);
    return infer->status;
}
