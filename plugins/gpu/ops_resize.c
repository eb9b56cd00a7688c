/* SPDX-License-Identifier: Apache-2.0 */
/* Resize and Upsample: one pass per axis that changes. */
#include "gpu/gpu.h"

#include <math.h>

/* Numbers of the kernel's MODE, COORD and NEAREST. */
static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
static const char *const coordinates[] = {"half_pixel", "pytorch_half_pixel", "align_corners",
                                          "asymmetric", "tf_crop_and_resize", "half_pixel_symmetric",
                                          NULL};
static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};

static int choice(const gpu_node *node, const char *name, const char *const *list, const char *otherwise) {
    for (int i = 0; list[i]; i++) {
        if (gpu_string_is(node, name, list[i], otherwise)) return i;
    }
    return -1;
}

typedef struct resize_args {
    int mode, coordinate, rounding;
    float scales[GPU_MAX_RANK]; /* 0: the ratio of the shapes */
    float starts[GPU_MAX_RANK], ends[GPU_MAX_RANK];
} resize_args;

static bool is_upsample(const gpu_node *node) { return ptp_str_is(node->op, "Upsample"); }

/* Index of the inputs: Resize-10 and Upsample have (x, scales), later ones (x, roi, scales, sizes). */
static uint32_t scales_input(const gpu_node *node) { return is_upsample(node) || node->row.since < 11 ? 1 : 2; }

static bool floats_read(const gpu_operand *operand, float *out, uint32_t count) {
    if (!operand || !operand->data || operand->dtype != PARTITA_FLOAT32) return false;
    if (operand->data_bytes != count * sizeof(float)) return false;
    memcpy(out, operand->data, count * sizeof(float));
    return true;
}

static bool empty(const gpu_operand *operand) { return !operand || gpu_elements(operand) == 0; }

/* Reads everything that the host must know; false with the cause in `check` (which may be NULL when planning). */
static bool resize_read(const gpu_node *node, resize_args *out, gpu_check *check) {
    int32_t rank = node->inputs[0].rank;
    int64_t axes[GPU_MAX_RANK];
    float numbers[2 * GPU_MAX_RANK];
    uint32_t count = (uint32_t)rank, given, at = scales_input(node);
    memset(out, 0, sizeof(*out));
    bool old = is_upsample(node) || node->row.since < 11;
    out->mode = choice(node, "mode", modes, "nearest");
    out->coordinate = old ? 3 : choice(node, "coordinate_transformation_mode", coordinates, "half_pixel");
    out->rounding = old ? 2 : choice(node, "nearest_mode", roundings, "round_prefer_floor");
    for (int32_t d = 0; d < GPU_MAX_RANK; d++) {
        axes[d] = d;
        out->ends[d] = 1;
    }
    const int64_t *list = ptp_attribute_ints(node->block, &node->row, "axes", &given);
    if (list && given <= GPU_MAX_RANK) {
        memcpy(axes, list, given * sizeof(int64_t));
        count = given;
    }
    for (uint32_t i = 0; i < count; i++) {
        int32_t axis = gpu_axis(axes[i], rank);
        if (axis < 0) return check && gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "axes outside rank %d", rank);
        axes[i] = axis;
    }
    uint32_t attribute_count;
    const float *attribute = ptp_attribute_floats(node->block, &node->row, "scales", &attribute_count);
    if (attribute && attribute_count == count) {
        memcpy(out->scales, attribute, count * sizeof(float));
    } else if (!empty(gpu_input(node, at))) {
        if (!floats_read(gpu_input(node, at), numbers, count)) {
            return check &&
                   gpu_refuse(check, PARTITA_REASON_NOT_CONSTANT, "input %u (scales) must be a small constant", at);
        }
        for (uint32_t i = 0; i < count; i++) out->scales[axes[i]] = numbers[i];
    }
    if (out->coordinate != 4) return true;
    if (!floats_read(gpu_input(node, 1), numbers, 2 * count)) {
        return check && gpu_refuse(check, PARTITA_REASON_NOT_CONSTANT, "input 1 (roi) must be a small constant");
    }
    for (uint32_t i = 0; i < count; i++) {
        out->starts[axes[i]] = numbers[i];
        out->ends[axes[i]] = numbers[count + i];
    }
    return true;
}

static bool refuse_text(gpu_check *check, const char *name) {
    partita_str text = ptp_attribute_str(check->node->block, &check->node->row, name);
    return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "%s %.*s", name, (int)text.size, text.data);
}

static bool check_resize(gpu_check *check) {
    const gpu_node *node = check->node;
    resize_args args;
    if (!resize_read(node, &args, check)) return false;
    if (args.mode < 0) return refuse_text(check, "mode");
    if (args.coordinate < 0) return refuse_text(check, "coordinate_transformation_mode");
    if (args.rounding < 0) return refuse_text(check, "nearest_mode");
    if (gpu_int(node, "antialias", 0) != 0) return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "antialias 1");
    if (!gpu_string_is(node, "keep_aspect_ratio_policy", "stretch", "stretch")) {
        return refuse_text(check, "keep_aspect_ratio_policy");
    }
    if (args.mode != 0 && node->inputs[0].dtype != PARTITA_FLOAT32) {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "mode %s of %s", modes[args.mode],
                          gpu_dtype_name(node->inputs[0].dtype));
    }
    if (args.coordinate == 4 && node->inputs[0].dtype != PARTITA_FLOAT32) {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "tf_crop_and_resize of %s",
                          gpu_dtype_name(node->inputs[0].dtype));
    }
    return true;
}

static partita_status emit_axis(gpu_plan *plan, const resize_args *args, const int64_t *dims, int32_t axis,
                                gpu_ref from, gpu_ref to) {
    const gpu_node *node = plan->node;
    const gpu_operand *x = &node->inputs[0];
    int64_t in = dims[axis], out = node->outputs[0].dims[axis], outer = 1, inner = 1;
    for (int32_t d = 0; d < axis; d++) outer *= dims[d];
    for (int32_t d = axis + 1; d < x->rank; d++) inner *= dims[d];
    partita_status status = gpu_plan_need(plan, in > out ? in : out, GPU_MAX_FLOAT_INDEX, "an axis to resize has");
    if (status != PARTITA_OK) return status;
    gpu_call call;
    gpu_call_init(&call, "resize");
    if (args->mode == 0 && args->coordinate != 4)
        gpu_define_word(&call, x->dtype);
    else
        gpu_define_text(&call, "S", "f32");
    gpu_define(&call, "MODE", args->mode);
    gpu_define(&call, "COORD", args->coordinate);
    /* version 10 leaves open which neighbour a smaller result takes: the next one, as onnxruntime */
    bool next = node->row.since < 11 && !is_upsample(node) && out < in;
    gpu_define(&call, "NEAREST", args->mode != 0 ? 0 : next ? 3 : args->rounding);
    gpu_define(&call, "EXCLUDE_OUTSIDE", gpu_int(node, "exclude_outside", 0) != 0);
    gpu_define_text(&call, "FILL", "PF(11)");
    gpu_bind(&call, from);
    gpu_bind(&call, to);
    gpu_param(&call, outer * out * inner);
    gpu_param_divisor(&call, inner);
    gpu_param_divisor(&call, out);
    gpu_param(&call, in);
    gpu_param_float(&call, args->scales[axis] > 0 ? args->scales[axis] : (float)out / (float)in);
    gpu_param_float(&call, args->starts[axis]);
    gpu_param_float(&call, args->ends[axis]);
    gpu_param_float(&call, gpu_float(node, "extrapolation_value", 0));
    gpu_param_float(&call, gpu_float(node, "cubic_coeff_a", -0.75f));
    /* align_corners takes the length that a scale gives before it is a whole number, as ONNX's own results do; they are
     * of version 19, and the text of all versions says otherwise */
    bool fractional = args->coordinate == 2 && node->row.since >= 19;
    float length = fractional ? args->scales[axis] * (float)in : 0;
    gpu_param_float(&call, fabsf(length - (float)out) > 1e-5f * length && length > 0 ? length : (float)out);
    gpu_grid_linear(plan->device, &call, (uint64_t)(outer * out * inner), 64);
    return gpu_emit(plan, &call);
}

static partita_status plan_resize(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0], *y = &plan->node->outputs[0];
    resize_args args;
    int64_t dims[GPU_MAX_RANK];
    int32_t axes[GPU_MAX_RANK], count = 0;
    gpu_ref from = gpu_ref_in(plan, 0);
    if (!resize_read(plan->node, &args, NULL))
        return gpu_fail(plan->device->host, PARTITA_INTERNAL, "resize was not checked");
    memcpy(dims, x->dims, sizeof(dims));
    for (int32_t d = 0; d < x->rank; d++) {
        bool scaled = args.scales[d] > 0 && args.scales[d] != 1.0f;
        bool cropped = args.coordinate == 4 && (args.starts[d] != 0 || args.ends[d] != 1);
        if (x->dims[d] != y->dims[d] || scaled || cropped) axes[count++] = d;
    }
    if (count == 0) return gpu_emit_copy(plan, gpu_elements(x), x->dtype, from, gpu_ref_out(plan, 0));
    for (int32_t i = 0; i < count; i++) {
        gpu_ref to = gpu_ref_out(plan, 0);
        int64_t next[GPU_MAX_RANK], n = 1;
        memcpy(next, dims, sizeof(next));
        next[axes[i]] = y->dims[axes[i]];
        for (int32_t d = 0; d < x->rank; d++) n = gpu_times(n, next[d]);
        partita_status status = PARTITA_OK;
        if (i + 1 < count) status = gpu_temp(plan, n, gpu_type_of(x->dtype)->bytes, &to);
        if (status == PARTITA_OK) status = emit_axis(plan, &args, dims, axes[i], from, to);
        if (status != PARTITA_OK) return status;
        memcpy(dims, next, sizeof(dims));
        from = to;
    }
    return PARTITA_OK;
}

#define COMMON "mode,coordinate_transformation_mode,nearest_mode,cubic_coeff_a,exclude_outside,extrapolation_value"
const gpu_op gpu_ops_resize[] = {
    {"Resize", 10, 10, "M", "mode", 2, 1, 2, 0, check_resize, plan_resize, NULL, 0.05f},
    {"Resize", 11, 28, "M", COMMON ",antialias,axes,keep_aspect_ratio_policy", 4, 1, 14, 0, check_resize, plan_resize,
     NULL, 0.05f},
    {"Upsample", 7, 10, "M", "mode,scales", 2, 1, 2, 0, check_resize, plan_resize, NULL, 0.05f},
    {0},
};
