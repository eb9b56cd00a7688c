/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions: one kernel, one row of expressions per operator. ArgMax, ArgMin, Softmax, LogSoftmax and CumSum walk an
 * axis. */
#include "gpu/gpu.h"

/* v: element, acc: so far (JOIN: v is another lane's acc), n: how many; LOWEST and HIGHEST of the type. */
typedef struct reduction {
    const char *init, *step, *join, *finish;
    bool log_sum_exp;
    bool passes_through; /* without axes and with noop_with_empty_axes it is the identity */
} reduction;

static const reduction sum = {"F(0)", "acc + v", "acc + v", "acc", false, true};
static const reduction mean = {"F(0)", "acc + v", "acc + v", "acc / CAST(T, n)", false, true};
static const reduction product = {"F(1)", "acc * v", "acc * v", "acc", false, true};
static const reduction largest = {"LOWEST", "m_max(acc, v)", "m_max(acc, v)", "acc", false, true};
static const reduction smallest = {"HIGHEST", "m_min(acc, v)", "m_min(acc, v)", "acc", false, true};
static const reduction norm1 = {"F(0)", "acc + m_abs(v)", "acc + v", "acc", false, false};
static const reduction norm2 = {"F(0)", "acc + v * v", "acc + v", "m_sqrt(acc)", false, false};
static const reduction squares = {"F(0)", "acc + v * v", "acc + v", "acc", false, false};
static const reduction log_sum = {"F(0)", "acc + v", "acc + v", "m_log(acc)", false, false};
static const reduction log_sum_exp = {"F(0)", "acc + m_exp(v - largest)", "acc + v", "m_log(acc) + largest", true,
                                      false};

static const char *bound_text(partita_dtype dtype, bool low) {
    switch (dtype) {
    case PARTITA_FLOAT32: return low ? "(-F32_INF)" : "F32_INF";
    case PARTITA_INT32: return low ? "(-2147483647 - 1)" : "2147483647";
    case PARTITA_UINT32: return low ? "0u" : "4294967295u";
    case PARTITA_INT64:
        return low ? "(-(CAST(i64, 1) << 62) * CAST(i64, 2))"
                   : "(((CAST(i64, 1) << 62) - CAST(i64, 1)) * CAST(i64, 2) + CAST(i64, 1))";
    case PARTITA_UINT64: return low ? "CAST(u64, 0)" : "(CAST(u64, 0) - CAST(u64, 1))";
    case PARTITA_INT8: return low ? "-128" : "127";
    case PARTITA_INT16: return low ? "-32768" : "32767";
    case PARTITA_UINT16: return low ? "0" : "65535";
    default: return low ? "0" : "255";
    }
}

partita_status gpu_emit_reduce(gpu_plan *plan, const gpu_op *op, uint32_t mask) {
    const reduction *row = op->data;
    const gpu_operand *x = &plan->node->inputs[0];
    int64_t strides[GPU_MAX_RANK], dims[2][GPU_MAX_RANK], steps[2][GPU_MAX_RANK], count[2] = {1, 1};
    int32_t rank[2] = {0, 0};
    gpu_call call;
    gpu_strides(x->dims, x->rank, strides);
    for (int32_t d = 0; d < x->rank; d++) {
        int side = (int)(mask >> d & 1u);
        dims[side][rank[side]] = x->dims[d];
        steps[side][rank[side]++] = strides[d];
        count[side] *= x->dims[d];
    }
    for (int side = 0; side < 2; side++) {
        int64_t *list = steps[side];
        rank[side] = gpu_collapse(plan, dims[side], &list, 1, rank[side]);
    }
    gpu_call_init(&call, "reduce");
    gpu_define_type(&call, x->dtype);
    gpu_define(&call, "RANK", rank[0]);
    gpu_define(&call, "REDUCED", rank[1]);
    gpu_define_text(&call, "LOWEST", bound_text(x->dtype, true));
    gpu_define_text(&call, "HIGHEST", bound_text(x->dtype, false));
    gpu_define_text(&call, "INIT", row->init);
    gpu_define_text(&call, "STEP", row->step);
    gpu_define_text(&call, "JOIN", row->join);
    gpu_define_text(&call, "FINISH", row->finish);
    gpu_define(&call, "LOGSUMEXP", row->log_sum_exp);
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    gpu_param(&call, count[0]);
    gpu_param(&call, count[1]);
    for (int side = 0; side < 2; side++) {
        for (int32_t d = 0; d < rank[side]; d++) gpu_param(&call, steps[side][d]);
    }
    for (int side = 0; side < 2; side++) {
        for (int32_t d = 1; d < rank[side]; d++) gpu_param_divisor(&call, dims[side][d]);
    }
    gpu_grid_rows(plan, &call, (uint64_t)count[0], (uint64_t)count[1]);
    return gpu_emit(plan, &call);
}

static bool check_reduce(gpu_check *check) {
    uint32_t mask;
    bool given;
    const reduction *row = check->op->data;
    if (!gpu_need_constant(check, 1, "axes")) return false;
    if (!gpu_axes(check->node, 1, check->node->inputs[0].rank, &mask, &given)) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "axes outside rank %d", check->node->inputs[0].rank);
    }
    if (!given && gpu_int(check->node, "noop_with_empty_axes", 0) != 0 && !row->passes_through) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "noop_with_empty_axes without axes");
    }
    return true;
}

static partita_status plan_reduce(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0];
    uint32_t mask;
    bool given;
    if (!gpu_axes(plan->node, 1, x->rank, &mask, &given)) {
        return gpu_fail(plan->device->host, PARTITA_INTERNAL, "axes were not checked");
    }
    if (!given && gpu_int(plan->node, "noop_with_empty_axes", 0) != 0) {
        return gpu_emit_copy(plan, gpu_elements(x), x->dtype, gpu_ref_in(plan, 0), gpu_ref_out(plan, 0));
    }
    return gpu_emit_reduce(plan, plan->op, given ? mask : UINT32_MAX);
}

static bool check_global(gpu_check *check) {
    return check->node->inputs[0].rank >= 3 ||
           gpu_refuse(check, PARTITA_REASON_RANK, "rank %d, at least 3", check->node->inputs[0].rank);
}

static partita_status plan_global(gpu_plan *plan) { return gpu_emit_reduce(plan, plan->op, UINT32_MAX << 2); }

/* ---- along one axis --------------------------------------------------------------------------------------------- */

static void line_params(const gpu_operand *x, int32_t from, int32_t to, gpu_call *call, int64_t *out_lines,
                        int64_t *out_n) {
    int64_t inner = gpu_extent(x, to, x->rank), outer = gpu_extent(x, 0, from);
    *out_n = gpu_extent(x, from, to);
    *out_lines = outer * inner;
    gpu_param(call, *out_lines);
    gpu_param(call, *out_n);
    gpu_param_divisor(call, inner);
}

static bool check_axis(gpu_check *check) {
    /* before version 13 Softmax flattens at the axis, which may then be the rank itself */
    int64_t axis = gpu_int(check->node, "axis", 0);
    int32_t rank = check->node->inputs[0].rank;
    bool flat = check->node->row.since < 13 && check->op->data != NULL && axis == rank;
    return flat || gpu_axis(axis, rank) >= 0 ||
           gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "axis %lld of rank %d", (long long)axis, rank);
}

static partita_status plan_arg(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0];
    int32_t axis = gpu_axis(gpu_int(plan->node, "axis", 0), x->rank);
    bool last = gpu_int(plan->node, "select_last_index", 0) != 0, low = ptp_str_is(plan->node->op, "ArgMin");
    int64_t lines, n;
    gpu_call call;
    gpu_call_init(&call, "argreduce");
    gpu_define_type(&call, x->dtype);
    /* the largest, or the first NaN */
    gpu_define_text(&call, "BETTER",
                    low ? (last ? "v <= best" : "v < best")
                        : (last ? "(v >= best || (m_isnan(v) && !m_isnan(best)))"
                                : "(v > best || (m_isnan(v) && !m_isnan(best)))"));
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    line_params(x, axis, axis + 1, &call, &lines, &n);
    gpu_grid_linear(plan->device, &call, (uint64_t)lines, 16);
    return gpu_emit(plan, &call);
}

static const char softmax_linear[] = "softmax", softmax_log[] = "logarithm";

static partita_status plan_softmax(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0];
    bool flat = plan->node->row.since < 13;
    int64_t lines, n, given = gpu_int(plan->node, "axis", flat ? 1 : -1);
    int32_t axis = flat && given == x->rank ? x->rank : gpu_axis(given, x->rank);
    gpu_call call;
    gpu_call_init(&call, "softmax");
    gpu_define(&call, "LOGARITHM", plan->op->data == softmax_log);
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    line_params(x, axis, flat ? x->rank : axis + 1, &call, &lines, &n);
    gpu_grid_rows(plan, &call, (uint64_t)lines, (uint64_t)n);
    return gpu_emit(plan, &call);
}

static bool check_cumsum(gpu_check *check) {
    double axis;
    if (!gpu_scalar(gpu_input(check->node, 1), &axis)) {
        return gpu_refuse(check, PARTITA_REASON_NOT_CONSTANT, "input 1 (axis) must be a small constant");
    }
    return gpu_axis((int64_t)axis, check->node->inputs[0].rank) >= 0 ||
           gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "axis %d of rank %d", (int)axis, check->node->inputs[0].rank);
}

static partita_status plan_cumsum(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0];
    double given = 0;
    gpu_scalar(gpu_input(plan->node, 1), &given);
    int32_t axis = gpu_axis((int64_t)given, x->rank);
    int64_t lines, n;
    gpu_call call;
    gpu_call_init(&call, "cumsum");
    gpu_define_type(&call, x->dtype);
    gpu_define(&call, "EXCLUSIVE", gpu_int(plan->node, "exclusive", 0) != 0);
    gpu_define(&call, "REVERSE", gpu_int(plan->node, "reverse", 0) != 0);
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, gpu_ref_out(plan, 0));
    line_params(x, axis, axis + 1, &call, &lines, &n);
    gpu_grid_linear(plan->device, &call, (uint64_t)lines, 16);
    return gpu_emit(plan, &call);
}

#define REDUCE(name, classes, row)                                                                                     \
    { name, 1, 28, classes, "axes,keepdims,noop_with_empty_axes", 2, 1, 2, 0, check_reduce, plan_reduce, &row, 0.1f }
const gpu_op gpu_ops_reduce[] = {
    REDUCE("ReduceSum", "FIU", sum),
    REDUCE("ReduceMean", "FIU", mean),
    REDUCE("ReduceMax", "FIUB", largest),
    REDUCE("ReduceMin", "FIUB", smallest),
    REDUCE("ReduceProd", "FIU", product),
    REDUCE("ReduceL1", "FIU", norm1),
    REDUCE("ReduceL2", "F", norm2),
    REDUCE("ReduceLogSum", "F", log_sum),
    REDUCE("ReduceLogSumExp", "F", log_sum_exp),
    REDUCE("ReduceSumSquare", "FIU", squares),
    {"GlobalAveragePool", 1, 28, "F", "", 1, 1, 0, 0, check_global, plan_global, &mean, 0.1f},
    {"GlobalMaxPool", 1, 28, "F", "", 1, 1, 0, 0, check_global, plan_global, &largest, 0.1f},
    {"ArgMax", 1, 28, "FIU", "axis,keepdims,select_last_index", 1, 1, 0, 0, check_axis, plan_arg, NULL, 0.05f},
    {"ArgMin", 1, 28, "FIU", "axis,keepdims,select_last_index", 1, 1, 0, 0, check_axis, plan_arg, NULL, 0.05f},
    {"Softmax", 1, 28, "F", "axis", 1, 1, 0, 0, check_axis, plan_softmax, softmax_linear, 0.05f},
    {"LogSoftmax", 1, 28, "F", "axis", 1, 1, 0, 0, check_axis, plan_softmax, softmax_log, 0.05f},
    {"CumSum", 11, 28, "FIU", "exclusive,reverse", 2, 1, 2, 0, check_cumsum, plan_cumsum, NULL, 0.05f},
    {0},
};
