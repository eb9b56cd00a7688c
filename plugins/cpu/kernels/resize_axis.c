/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of Resize and Upsample. Coordinates are computed in float32, as the operator's users expect ties to fall.
 */
#include "cpu/kernels/resize.h"

enum { HALF_PIXEL, SYMMETRIC, PYTORCH, ALIGN_CORNERS, ASYMMETRIC, TF_HALF_PIXEL, TF_CROP };
enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, ROUND_FLOOR, ROUND_CEIL, ROUND_SIMPLE };
enum { STRETCH, NOT_LARGER, NOT_SMALLER };

/* Position of `text` in `names`, or -1. */
static int32_t position(partita_str text, const char *const *names, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (ptp_str_is(text, names[i])) return (int32_t)i;
    return -1;
}

static const char *const transform_names[] = {"half_pixel",        "half_pixel_symmetric", "pytorch_half_pixel",
                                              "align_corners",     "asymmetric",           "tf_half_pixel_for_nn",
                                              "tf_crop_and_resize"};
static const char *const rounding_names[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
static const char *const aspect_names[] = {"stretch", "not_larger", "not_smaller"};
static const char *const mode_names[] = {"nearest", "linear", "cubic"};

static partita_status texts_read(const cpu_node *node, const ptp_host *host, cpu_resize_state *state) {
    partita_str mode = ptp_attribute_str(node->block, &node->row, "mode");
    partita_str transform = ptp_attribute_str(node->block, &node->row, "coordinate_transformation_mode");
    partita_str rounding = ptp_attribute_str(node->block, &node->row, "nearest_mode");
    partita_str aspect = ptp_attribute_str(node->block, &node->row, "keep_aspect_ratio_policy");
    bool old = state->since < 11;
    int32_t m = mode.size == 0 ? 0 : position(mode, mode_names, 3);
    int32_t t = old ? ASYMMETRIC : transform.size == 0 ? HALF_PIXEL : position(transform, transform_names, 7);
    int32_t r = old ? ROUND_SIMPLE : rounding.size == 0 ? ROUND_PREFER_FLOOR : position(rounding, rounding_names, 4);
    int32_t a = aspect.size == 0 ? STRETCH : position(aspect, aspect_names, 3);
    if (ptp_str_is(mode, "bilinear")) m = CPU_RESIZE_LINEAR;
    if (m < 0 || t < 0 || r < 0 || a < 0)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "an attribute has a value that is not known");
    state->mode = (uint32_t)m;
    state->transform = (uint32_t)t;
    state->rounding = (uint32_t)r;
    state->aspect = (uint32_t)a;
    return PARTITA_OK;
}

partita_status cpu_resize_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cpu_resize_state *state = cpu_alloc(host, sizeof(*state));
    uint32_t count = 0;
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    const float *scales = ptp_attribute_floats(node->block, &node->row, "scales", &count);
    state->since = node->row.since;
    state->upsample = ptp_str_is(ptp_ref_str(node->block, node->row.op), "Upsample") != 0;
    state->exclude_outside = cpu_attr_int(node, "exclude_outside", 0) != 0;
    state->antialias = cpu_attr_int(node, "antialias", 0) != 0;
    state->cubic_a = cpu_attr_float(node, "cubic_coeff_a", -0.75f);
    state->extrapolation = cpu_attr_float(node, "extrapolation_value", 0);
    state->scale_count = count < CPU_MAX_RANK ? count : CPU_MAX_RANK;
    if (count > 0) memcpy(state->scales, scales, state->scale_count * sizeof(float));
    if (state->upsample && state->since < 7) {
        state->scale_count = 4;
        state->scales[0] = state->scales[1] = 1;
        state->scales[2] = cpu_attr_float(node, "height_scale", 1);
        state->scales[3] = cpu_attr_float(node, "width_scale", 1);
    }
    partita_status status = texts_read(node, host, state);
    if (status == PARTITA_OK) status = cpu_ints_attr(node, host, "axes", &state->axes);
    if (status == PARTITA_OK)
        *out_state = state;
    else
        cpu_free(host, state);
    return status;
}

typedef struct span {
    float scale, in, out, roi_start, roi_end;
    float length; /* `out` before it became a whole number */
} span;

static float coordinate(const cpu_resize_state *state, const span *s, float x) {
    switch (state->transform) {
    case SYMMETRIC: {
        float adjustment = s->out / (s->scale * s->in), center = s->in / 2;
        return center * (1 - adjustment) + (x + 0.5f) / s->scale - 0.5f;
    }
    case PYTORCH: return s->out > 1 ? (x + 0.5f) / s->scale - 0.5f : 0;
    case ALIGN_CORNERS: return s->length == 1 ? 0 : x * (s->in - 1) / (s->length - 1);
    case ASYMMETRIC: return x / s->scale;
    case TF_HALF_PIXEL: return (x + 0.5f) / s->scale;
    case TF_CROP:
        if (s->out > 1)
            return s->roi_start * (s->in - 1) + x * (s->roi_end - s->roi_start) * (s->in - 1) / (s->out - 1);
        return 0.5f * (s->roi_start + s->roi_end) * (s->in - 1);
    default: return (x + 0.5f) / s->scale - 0.5f;
    }
}

static int64_t nearest(const cpu_resize_state *state, float x, bool down) {
    switch (state->rounding) {
    case ROUND_PREFER_FLOOR: return (int64_t)(x == floorf(x) + 0.5f ? floorf(x) : roundf(x));
    case ROUND_PREFER_CEIL: return (int64_t)floorf(x + 0.5f);
    case ROUND_FLOOR: return (int64_t)floorf(x);
    case ROUND_CEIL: return (int64_t)ceilf(x);
    default: return (int64_t)(down ? ceilf(x) : x);
    }
}

static float filter(const cpu_resize_state *state, float x) {
    float a = state->cubic_a;
    x = fabsf(x);
    if (state->mode == CPU_RESIZE_LINEAR) return x < 1 ? 1 - x : 0;
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return ((x - 5) * x + 8) * x * a - 4 * a;
    return 0;
}

static int64_t clip(int64_t x, int64_t n) { return x < 0 ? 0 : x >= n ? n - 1 : x; }

static float bounded(float x) { return x > 1e9f ? 1e9f : x < -1e9f || x != x ? -1e9f : x; }

/* Taps of one output: neighbours of x, or all under the stretched filter. What lies outside goes to the border's
 * element, or is left out. */
static void taps_fill(const cpu_resize_state *state, cpu_resize_axis *axis, uint64_t j, float x, float stretch) {
    int64_t *index = axis->index + j * axis->taps, n = (int64_t)axis->in;
    float *weight = axis->weight + j * axis->taps, total = 0;
    float support = (state->mode == CPU_RESIZE_LINEAR ? 1.0f : 2.0f) * stretch;
    int64_t first = stretch > 1 ? (int64_t)floorf(x + 0.5f - support + 0.5f)
                                : (int64_t)floorf(x) - (state->mode == CPU_RESIZE_CUBIC);
    for (uint32_t t = 0; t < axis->taps; t++) {
        int64_t at = first + (int64_t)t;
        float w = filter(state, ((float)at - x) / stretch);
        if (state->exclude_outside && (at < 0 || at >= n)) w = 0;
        index[t] = clip(at, n);
        weight[t] = w;
        total += w;
    }
    if ((stretch > 1 || state->exclude_outside) && total != 0)
        for (uint32_t t = 0; t < axis->taps; t++) weight[t] /= total;
}

static partita_status axis_make(const cpu_call *call, const span *s, cpu_resize_axis *axis) {
    const cpu_resize_state *state = call->state;
    float stretch = state->antialias && state->mode != CPU_RESIZE_NEAREST && s->scale < 1 ? 1 / s->scale : 1;
    axis->identity = axis->in == axis->out && s->scale == 1 && state->transform != TF_CROP;
    if (axis->identity || axis->out == 0) return PARTITA_OK;
    if (axis->in == 0 || !(s->scale > 0))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "an empty axis or a scale that is not positive");
    uint32_t usual = state->mode == CPU_RESIZE_NEAREST ? 1 : state->mode == CPU_RESIZE_LINEAR ? 2 : 4;
    if (stretch > (float)axis->in + 1) stretch = (float)axis->in + 1;
    axis->taps = stretch > 1 ? (uint32_t)(2 * ceilf(stretch * (float)usual / 2) + 1) : usual;
    uint64_t count = axis->out * axis->taps;
    axis->index = cpu_alloc(call->host, count * sizeof(int64_t));
    axis->weight = cpu_alloc(call->host, count * sizeof(float));
    if (state->transform == TF_CROP) axis->outside = cpu_alloc(call->host, axis->out);
    if (axis->index == NULL || axis->weight == NULL || (state->transform == TF_CROP && axis->outside == NULL))
        return PARTITA_OUT_OF_MEMORY;
    for (uint64_t j = 0; j < axis->out; j++) {
        float x = bounded(s->scale == 1 && state->transform != TF_CROP ? (float)j : coordinate(state, s, (float)j));
        if (axis->outside != NULL) axis->outside[j] = x < 0 || x > s->in - 1;
        if (state->mode == CPU_RESIZE_NEAREST) {
            axis->index[j] = clip(nearest(state, x, s->scale < 1), (int64_t)axis->in);
            axis->weight[j] = 1;
        } else {
            taps_fill(state, axis, j, x, stretch);
        }
    }
    return PARTITA_OK;
}

/* Element i of the list that `input` is, as float. */
static float list_at(const cpu_tensor *list, uint64_t i) {
    double value = 0;
    cpu_load_doubles(list->dtype, list->data, i, 1, &value);
    return (float)value;
}

/* Under an aspect policy all axes take the smallest or the largest of their scales. */
static void aspect_keep(const cpu_resize_state *state, span *spans, const bool *named, uint32_t rank) {
    float chosen = 0;
    if (state->aspect == STRETCH) return;
    for (uint32_t i = 0; i < rank; i++) {
        if (!named[i]) continue;
        bool better = state->aspect == NOT_LARGER ? spans[i].scale < chosen : spans[i].scale > chosen;
        if (chosen == 0 || better) chosen = spans[i].scale;
    }
    for (uint32_t i = 0; i < rank; i++)
        if (named[i]) spans[i].scale = chosen;
}

static partita_status spans_make(const cpu_call *call, span *spans) {
    const cpu_resize_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *y = &call->out[0];
    bool old = state->upsample || state->since < 11, named[CPU_MAX_RANK] = {false};
    uint32_t scales_at = old ? 1 : 2;
    const cpu_tensor *scales =
        cpu_has_input(call, scales_at) && call->in[scales_at].count > 0 ? &call->in[scales_at] : NULL;
    const cpu_tensor *sizes = !old && cpu_has_input(call, 3) && call->in[3].count > 0 ? &call->in[3] : NULL;
    const cpu_tensor *roi = !old && cpu_has_input(call, 1) && call->in[1].count > 0 ? &call->in[1] : NULL;
    uint32_t count = state->axes.given ? state->axes.count : x->rank;
    if (y->rank != x->rank) return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another rank");
    for (uint32_t i = 0; i < x->rank; i++)
        spans[i] = (span){1, (float)x->dims[i], (float)y->dims[i], 0, 1, (float)y->dims[i]};
    if ((scales != NULL && scales->count != count) || (sizes != NULL && sizes->count != count) ||
        (roi != NULL && state->transform == TF_CROP && roi->count != 2 * (uint64_t)count) ||
        (state->scale_count > 0 && state->scale_count != count))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "roi, scales or sizes have not one entry for each of %u axes",
                        count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t axis = i;
        if (state->axes.given) {
            partita_status status = cpu_axis(call, state->axes.at[i], x->rank, &axis);
            if (status != PARTITA_OK) return status;
        }
        span *s = &spans[axis];
        named[axis] = true;
        if (scales != NULL)
            s->scale = list_at(scales, i);
        else if (sizes != NULL)
            s->scale = list_at(sizes, i) / s->in;
        else if (state->scale_count > 0)
            s->scale = state->scales[i];
        /* The text says the length of the result, but ONNX's own results, all of version 19, take the fractional one
         * that a scale gives; a whole one may have lost its last bit. Older versions follow the text, as their
         * exporters do. */
        float length = s->scale * s->in;
        if (sizes == NULL && state->since >= 19 && fabsf(length - s->out) > 1e-5f * length) s->length = length;
        if (roi != NULL && state->transform == TF_CROP) {
            s->roi_start = list_at(roi, i);
            s->roi_end = list_at(roi, count + i);
        }
    }
    if (sizes != NULL && scales == NULL) aspect_keep(state, spans, named, x->rank);
    return PARTITA_OK;
}

partita_status cpu_resize_axes_make(const cpu_call *call, cpu_resize_axis *axes) {
    span spans[CPU_MAX_RANK];
    const cpu_tensor *x = &call->in[0];
    memset(axes, 0, sizeof(*axes) * CPU_MAX_RANK);
    partita_status status = spans_make(call, spans);
    for (uint32_t i = 0; i < x->rank && status == PARTITA_OK; i++) {
        axes[i].in = (uint64_t)x->dims[i];
        axes[i].out = (uint64_t)call->out[0].dims[i];
        status = axis_make(call, &spans[i], &axes[i]);
    }
    return status;
}

void cpu_resize_axes_free(const cpu_call *call, cpu_resize_axis *axes) {
    for (uint32_t i = 0; i < CPU_MAX_RANK; i++) {
        cpu_free(call->host, axes[i].index);
        cpu_free(call->host, axes[i].weight);
        cpu_free(call->host, axes[i].outside);
    }
}
