/* SPDX-License-Identifier: Apache-2.0 */
/* Data movement: aliases that cost nothing, strided copies, Pad and Tile. */
#include "gpu/gpu.h"
#include <math.h>

static const int64_t *ints(const gpu_node *node, const char *name, uint32_t *out_count) {
    return ptp_attribute_ints(node->block, &node->row, name, out_count);
}

/* ---- aliases ---------------------------------------------------------------------------------------------------- */

static partita_status plan_alias(gpu_plan *plan) {
    (void)plan; /* output and input share their bytes: chosen at compile */
    return PARTITA_OK;
}

static bool check_dropout(gpu_check *check) {
    const gpu_node *node = check->node;
    double training;
    if (node->row.since < 7 && gpu_int(node, "is_test", 0) == 0) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "is_test 0: training");
    }
    if (!gpu_input(node, 2)) return true;
    if (!gpu_scalar(gpu_input(node, 2), &training)) {
        return gpu_refuse(check, PARTITA_REASON_NOT_CONSTANT, "input 2 (training_mode) must be a small constant");
    }
    return training == 0 || gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "training_mode is 1");
}

/* ---- strided copies --------------------------------------------------------------------------------------------- */

static partita_status plan_transpose(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0], *y = &plan->node->outputs[0];
    uint32_t count;
    const int64_t *perm = ints(plan->node, "perm", &count);
    int64_t strides[GPU_MAX_RANK];
    gpu_move move = {.rank = x->rank};
    gpu_strides(x->dims, x->rank, strides);
    gpu_strides(y->dims, y->rank, move.to);
    for (int32_t d = 0; d < x->rank; d++) {
        int32_t from = perm && (int32_t)count == x->rank ? gpu_axis(perm[d], x->rank) : x->rank - 1 - d;
        if (from < 0) {
            return gpu_plan_refuse(plan, PARTITA_REASON_ATTRIBUTE, "perm has an axis %lld", (long long)perm[d]);
        }
        move.dims[d] = y->dims[d];
        move.from[d] = strides[from];
    }
    return gpu_emit_move(plan, &move, x->dtype, gpu_ref_in(plan, 0), gpu_ref_out(plan, 0));
}

static bool check_axis(gpu_check *check) {
    int64_t axis = gpu_int(check->node, "axis", 0);
    int32_t rank = check->node->inputs[0].rank;
    return gpu_axis(axis, rank) >= 0 ||
           gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "axis %lld of rank %d", (long long)axis, rank);
}

static partita_status plan_concat(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    const gpu_operand *y = &node->outputs[0];
    int32_t axis = gpu_axis(gpu_int(node, "axis", 1), y->rank);
    if (axis < 0) return gpu_plan_refuse(plan, PARTITA_REASON_ATTRIBUTE, "axis outside rank %d", y->rank);
    int64_t inner = gpu_extent(y, axis + 1, y->rank), outer = gpu_extent(y, 0, axis), at = 0;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const gpu_operand *x = &node->inputs[i];
        int64_t length = x->dims[axis] * inner;
        gpu_move move = {
            .rank = 2, .dims = {outer, length}, .from = {length, 1}, .to = {y->dims[axis] * inner, 1}, .to_base = at};
        partita_status status = gpu_emit_move(plan, &move, y->dtype, gpu_ref_in(plan, i), gpu_ref_out(plan, 0));
        if (status != PARTITA_OK) return status;
        at += length;
    }
    return PARTITA_OK;
}

static bool check_concat(gpu_check *check) {
    for (uint32_t i = 0; i < check->node->input_count; i++) {
        if (!gpu_input(check->node, i)) return gpu_refuse(check, PARTITA_REASON_SHAPE, "input %u is absent", i);
    }
    return gpu_need_same_dtype(check);
}

static partita_status plan_split(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    const gpu_operand *x = &node->inputs[0];
    int32_t axis = gpu_axis(gpu_int(node, "axis", 0), x->rank);
    int64_t inner = gpu_extent(x, axis + 1, x->rank), outer = gpu_extent(x, 0, axis), at = 0;
    for (uint32_t i = 0; i < node->output_count; i++) {
        const gpu_operand *y = gpu_output(node, i);
        if (!y) return gpu_plan_refuse(plan, PARTITA_REASON_SHAPE, "output %u of a split is absent", i);
        int64_t length = y->dims[axis] * inner;
        gpu_move move = {
            .rank = 2, .dims = {outer, length}, .from = {x->dims[axis] * inner, 1}, .to = {length, 1}, .from_base = at};
        partita_status status = gpu_emit_move(plan, &move, x->dtype, gpu_ref_in(plan, 0), gpu_ref_out(plan, i));
        if (status != PARTITA_OK) return status;
        at += length;
    }
    return PARTITA_OK;
}

static bool check_split(gpu_check *check) {
    for (uint32_t i = 0; i < check->node->output_count; i++) {
        if (!gpu_output(check->node, i)) return gpu_refuse(check, PARTITA_REASON_SHAPE, "output %u is absent", i);
    }
    return check_axis(check);
}

/* starts, axes and steps of a Slice; the ends follow from the result's shape. */
typedef struct slice_args {
    int64_t starts[GPU_MAX_RANK], axes[GPU_MAX_RANK], steps[GPU_MAX_RANK];
    int32_t count;
} slice_args;

static bool slice_read(const gpu_node *node, slice_args *out) {
    uint32_t count = 0, axis_count = 0;
    memset(out, 0, sizeof(*out));
    for (int32_t d = 0; d < GPU_MAX_RANK; d++) {
        out->axes[d] = d;
        out->steps[d] = 1;
    }
    if (node->row.since < 10) {
        const int64_t *starts = ints(node, "starts", &count), *axes = ints(node, "axes", &axis_count);
        if (!starts || count > GPU_MAX_RANK || (axes && axis_count != count)) return false;
        memcpy(out->starts, starts, count * sizeof(int64_t));
        if (axes) memcpy(out->axes, axes, count * sizeof(int64_t));
        out->count = (int32_t)count;
        return true;
    }
    out->count = gpu_integers(gpu_input(node, 1), out->starts, GPU_MAX_RANK);
    if (out->count < 0) return false;
    if (gpu_input(node, 3) && gpu_integers(gpu_input(node, 3), out->axes, GPU_MAX_RANK) != out->count) return false;
    if (gpu_input(node, 4) && gpu_integers(gpu_input(node, 4), out->steps, GPU_MAX_RANK) != out->count) return false;
    return true;
}

static bool check_slice(gpu_check *check) {
    slice_args args;
    if (!gpu_need_constant(check, 1, "starts") || !gpu_need_constant(check, 3, "axes") ||
        !gpu_need_constant(check, 4, "steps")) {
        return false;
    }
    if (!slice_read(check->node, &args)) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE,
                          "starts, axes and steps have different lengths, or are no integers");
    }
    for (int32_t i = 0; i < args.count; i++) {
        if (gpu_axis(args.axes[i], check->node->inputs[0].rank) < 0 || args.steps[i] == 0) {
            return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "axis %lld with step %lld of rank %d",
                              (long long)args.axes[i], (long long)args.steps[i], check->node->inputs[0].rank);
        }
    }
    return true;
}

static partita_status plan_slice(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0], *y = &plan->node->outputs[0];
    slice_args args;
    gpu_move move = {.rank = x->rank};
    if (!slice_read(plan->node, &args)) return gpu_fail(plan->device->host, PARTITA_INTERNAL, "slice was not checked");
    gpu_strides(x->dims, x->rank, move.from);
    gpu_strides(y->dims, y->rank, move.to);
    memcpy(move.dims, y->dims, sizeof(y->dims));
    for (int32_t i = 0; i < args.count; i++) {
        int32_t axis = gpu_axis(args.axes[i], x->rank);
        int64_t dim = x->dims[axis], start = args.starts[i] < 0 ? args.starts[i] + dim : args.starts[i];
        int64_t last = args.steps[i] > 0 ? dim : dim - 1;
        start = start < 0 ? 0 : start > last ? last : start;
        move.from_base += start * move.from[axis];
        /* a step beyond the axis reads one element only */
        move.from[axis] *= y->dims[axis] > 1 ? args.steps[i] : 0;
    }
    return gpu_emit_move(plan, &move, x->dtype, gpu_ref_in(plan, 0), gpu_ref_out(plan, 0));
}

static partita_status plan_expand(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0], *y = &plan->node->outputs[0];
    int64_t strides[GPU_MAX_RANK];
    gpu_move move = {.rank = y->rank};
    int32_t shift = y->rank - x->rank;
    gpu_strides(x->dims, x->rank, strides);
    gpu_strides(y->dims, y->rank, move.to);
    for (int32_t d = 0; d < y->rank; d++) {
        move.dims[d] = y->dims[d];
        move.from[d] = d < shift || x->dims[d - shift] == 1 ? 0 : strides[d - shift];
    }
    return gpu_emit_move(plan, &move, x->dtype, gpu_ref_in(plan, 0), gpu_ref_out(plan, 0));
}

static bool check_blocks(gpu_check *check) {
    const gpu_node *node = check->node;
    if (node->inputs[0].rank != 4) {
        return gpu_refuse(check, PARTITA_REASON_RANK, "rank %d, only 4", node->inputs[0].rank);
    }
    bool to_space = ptp_str_is(node->op, "DepthToSpace");
    if (gpu_string_is(node, "mode", "DCR", "DCR") || (to_space && gpu_string_is(node, "mode", "CRD", "DCR")))
        return true;
    partita_str mode = ptp_attribute_str(node->block, &node->row, "mode");
    return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "mode %.*s", (int)mode.size, mode.data);
}

/* Both directions move [n, b, b, c, h, w] (DCR) or [n, c, b, b, h, w] (CRD) from or to [n, c, h, b, w, b]. */
static partita_status plan_blocks(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    bool to_space = ptp_str_is(node->op, "DepthToSpace");
    const gpu_operand *deep = to_space ? &node->inputs[0] : &node->outputs[0];
    int64_t b = gpu_int(node, "blocksize", 1), n = deep->dims[0], h = deep->dims[2], w = deep->dims[3];
    int64_t c = deep->dims[1] / (b * b), area = h * w;
    bool crd = gpu_string_is(node, "mode", "CRD", "DCR");
    gpu_move move = {.rank = 6, .dims = {n, c, h, b, w, b}};
    int64_t depth[6] = {deep->dims[1] * area, crd ? b * b * area : area, w, crd ? b * area : b * c * area, 1,
                        crd ? area : c * area};
    int64_t space[6] = {c * b * b * area, b * b * area, b * w * b, w * b, b, 1};
    memcpy(to_space ? move.from : move.to, depth, sizeof(depth));
    memcpy(to_space ? move.to : move.from, space, sizeof(space));
    return gpu_emit_move(plan, &move, deep->dtype, gpu_ref_in(plan, 0), gpu_ref_out(plan, 0));
}

/* ---- Pad and Tile ----------------------------------------------------------------------------------------------- */

enum { PAD_CONSTANT = 0, PAD_REFLECT = 1, PAD_EDGE = 2, PAD_WRAP = 3 };

static partita_status emit_pad(gpu_plan *plan, int mode, const int64_t *before, uint64_t fill) {
    const gpu_operand *x = &plan->node->inputs[0], *y = &plan->node->outputs[0];
    gpu_call call;
    const gpu_type *type = gpu_type_of(x->dtype);
    int64_t n = gpu_elements(y);
    /* in ranks of 1 to 4 and 8 */
    int32_t rank = x->rank < 1 ? 1 : x->rank <= 4 ? x->rank : GPU_MAX_RANK, shift = rank - x->rank;
    for (int32_t d = 0; d < x->rank; d++) {
        bool cut = before[d] < 0;
        int64_t moved = before[d] < -INT64_MAX ? INT64_MAX : cut ? -before[d] : before[d];
        int64_t reach = cut && moved < INT32_MAX ? y->dims[d] + moved : moved;
        partita_status status = gpu_plan_need(plan, reach, INT32_MAX, "padding reaches");
        if (status == PARTITA_OK && mode == PAD_REFLECT) {
            status = gpu_plan_need(plan, x->dims[d], INT32_MAX / 2, "an axis to reflect has");
        }
        if (status != PARTITA_OK) return status;
    }
    gpu_call_init(&call, "pad");
    gpu_define_word(&call, x->dtype);
    gpu_define(&call, "RANK", rank);
    gpu_define(&call, "MODE", mode);
    gpu_define_text(&call, "FILL", type->bytes == 8 ? "W8(P(1), P(2))" : "CAST(S, P(1))");
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    gpu_param(&call, n);
    gpu_param(&call, (int64_t)(fill & UINT32_MAX));
    gpu_param(&call, (int64_t)(fill >> 32));
    for (int32_t d = 0; d < rank; d++) gpu_param(&call, d < shift ? 1 : y->dims[d - shift]);
    for (int32_t d = 0; d < rank; d++) gpu_param(&call, d < shift ? 1 : x->dims[d - shift]);
    for (int32_t d = 0; d < rank; d++) gpu_param(&call, d < shift ? 0 : before[d - shift]);
    gpu_grid_linear(plan->device, &call, (uint64_t)n, 256 <= plan->device->caps.max_group ? 256 : 64);
    return gpu_emit(plan, &call);
}

static partita_status plan_tile(gpu_plan *plan) {
    static const int64_t none[GPU_MAX_RANK];
    return emit_pad(plan, PAD_WRAP, none, 0);
}

/* Pads before each axis; false when they are not readable. */
static bool pads_read(const gpu_node *node, int64_t *before) {
    int64_t pads[2 * GPU_MAX_RANK], axes[GPU_MAX_RANK];
    int32_t rank = node->inputs[0].rank, count, axis_count = rank;
    uint32_t given;
    memset(before, 0, GPU_MAX_RANK * sizeof(*before));
    for (int32_t d = 0; d < GPU_MAX_RANK; d++) axes[d] = d;
    if (node->row.since < 11) {
        const int64_t *list = ints(node, "pads", &given);
        if (!list || given > 2 * GPU_MAX_RANK) return false;
        memcpy(pads, list, given * sizeof(int64_t));
        count = (int32_t)given;
    } else {
        count = gpu_integers(gpu_input(node, 1), pads, 2 * GPU_MAX_RANK);
        if (gpu_input(node, 3)) axis_count = gpu_integers(gpu_input(node, 3), axes, GPU_MAX_RANK);
    }
    if (axis_count < 0 || count != 2 * axis_count) return false;
    for (int32_t i = 0; i < axis_count; i++) {
        int32_t axis = gpu_axis(axes[i], rank);
        if (axis < 0) return false;
        before[axis] = pads[i];
    }
    return true;
}

static int pad_mode(const gpu_node *node) {
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
    for (int i = 0; i < 4; i++) {
        if (gpu_string_is(node, "mode", modes[i], "constant")) return i;
    }
    return -1;
}

/* The bits of the fill in the element's type; false for types that the host does not convert to. */
static bool fill_bits(partita_dtype dtype, double value, int64_t exact, uint64_t *out) {
    float single = (float)value;
    uint32_t word;
    *out = 0;
    switch (dtype) {
    case PARTITA_FLOAT32:
        memcpy(&word, &single, sizeof(word));
        *out = word;
        return true;
    case PARTITA_FLOAT64: memcpy(out, &value, sizeof(value)); return true;
    case PARTITA_FLOAT16:
    case PARTITA_BFLOAT16: return value == 0 && !signbit(value);
    default: *out = (uint64_t)exact; return gpu_type_of(dtype)->letter != 'M' || value == 0;
    }
}

static bool pad_fill(const gpu_node *node, uint64_t *out) {
    const gpu_operand *operand = gpu_input(node, 2);
    double value = node->row.since < 11 ? (double)gpu_float(node, "value", 0) : 0;
    int64_t exact = 0;
    if (operand && !gpu_scalar(operand, &value)) return false;
    if (operand && operand->dtype == PARTITA_INT64)
        memcpy(&exact, operand->data, sizeof(exact));
    else if (gpu_type_of(node->inputs[0].dtype)->letter != 'F')
        exact = (int64_t)value;
    return fill_bits(node->inputs[0].dtype, value, exact, out);
}

static bool check_pad(gpu_check *check) {
    const gpu_node *node = check->node;
    int64_t before[GPU_MAX_RANK];
    uint64_t fill;
    if (!gpu_need_constant(check, 1, "pads") || !gpu_need_constant(check, 2, "constant_value") ||
        !gpu_need_constant(check, 3, "axes")) {
        return false;
    }
    if (pad_mode(node) < 0) {
        partita_str mode = ptp_attribute_str(node->block, &node->row, "mode");
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "mode %.*s", (int)mode.size, mode.data);
    }
    if (!pads_read(node, before)) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "pads do not fit rank %d and the axes",
                          node->inputs[0].rank);
    }
    if (!pad_fill(node, &fill)) {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "a fill of %s", gpu_dtype_name(node->inputs[0].dtype));
    }
    return true;
}

static partita_status plan_pad(gpu_plan *plan) {
    int64_t before[GPU_MAX_RANK];
    uint64_t fill = 0;
    if (!pads_read(plan->node, before) || !pad_fill(plan->node, &fill)) {
        return gpu_fail(plan->device->host, PARTITA_INTERNAL, "pad was not checked");
    }
    return emit_pad(plan, pad_mode(plan->node), before, fill);
}

const gpu_op gpu_ops_move[] = {
    {"Identity", 1, 28, "M", "", 1, 1, 0, GPU_OP_ALIAS, NULL, plan_alias, NULL, 0},
    {"Dropout", 1, 28, "F", "ratio,is_test,seed,consumed_inputs", 3, 1, 6, GPU_OP_ALIAS, check_dropout, plan_alias,
     NULL, 0},
    {"Reshape", 1, 28, "M", "allowzero,shape,consumed_inputs", 2, 1, 2, GPU_OP_ALIAS, NULL, plan_alias, NULL, 0},
    {"Flatten", 1, 28, "M", "axis", 1, 1, 0, GPU_OP_ALIAS, NULL, plan_alias, NULL, 0},
    {"Squeeze", 1, 28, "M", "axes", 2, 1, 2, GPU_OP_ALIAS, NULL, plan_alias, NULL, 0},
    {"Unsqueeze", 1, 28, "M", "axes", 2, 1, 2, GPU_OP_ALIAS, NULL, plan_alias, NULL, 0},
    {"Transpose", 1, 28, "M", "perm", 1, 1, 0, 0, NULL, plan_transpose, NULL, 0},
    {"Concat", 1, 28, "M", "axis", UINT32_MAX, 1, 0, 0, check_concat, plan_concat, NULL, 0},
    {"Split", 2, 28, "M", "axis,split,num_outputs", 2, UINT32_MAX, 2, 0, check_split, plan_split, NULL, 0},
    {"Slice", 1, 28, "M", "starts,ends,axes", 5, 1, 30, 0, check_slice, plan_slice, NULL, 0},
    {"Expand", 8, 28, "M", "", 2, 1, 2, 0, NULL, plan_expand, NULL, 0},
    {"Tile", 6, 28, "M", "", 2, 1, 2, 0, NULL, plan_tile, NULL, 0},
    {"Pad", 2, 28, "M", "mode,pads,value", 4, 1, 14, 0, check_pad, plan_pad, NULL, 0},
    {"DepthToSpace", 1, 28, "M", "blocksize,mode", 1, 1, 0, 0, check_blocks, plan_blocks, NULL, 0},
    {"SpaceToDepth", 1, 28, "M", "blocksize,mode", 1, 1, 0, 0, check_blocks, plan_blocks, NULL, 0},
    {0},
};
