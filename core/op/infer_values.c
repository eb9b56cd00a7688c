/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elements of small tensors under element-wise operators, and picked by place. Elements are dims: numbers or symbols.
 */
#include "op/infer_run.h"

#include <math.h>

void pt_infer_small_binary(pt_infer *infer, uint32_t a, uint32_t b, pt_infer_binary_fn fn) {
    const pt_infer_value *x = pt_infer_in(infer, a), *y = pt_infer_in(infer, b), *out = pt_infer_out(infer, 0);
    int64_t count;
    if (!fn || !x->small || !y->small || !pt_infer_count(out, &count) || count == 0) return;
    pt_dim *small = pt_infer_small(infer, 0, count);
    for (int64_t i = 0; small && i < count; i++) {
        int64_t from_x = pt_infer_broadcast_index(x, out, i), from_y = pt_infer_broadcast_index(y, out, i);
        if (from_x < x->small_count && from_y < y->small_count)
            small[i] = fn(infer, x->small[from_x], y->small[from_y]);
    }
}

void pt_infer_small_unary(pt_infer *infer, pt_infer_unary_fn fn) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_dim *small = in->small ? pt_infer_small(infer, 0, in->small_count) : NULL;
    for (uint32_t i = 0; small && i < in->small_count; i++) {
        if (in->small[i] != PT_DIM_UNKNOWN) small[i] = fn(infer, in->small[i]);
    }
}

void pt_infer_small_pick(pt_infer *infer, uint32_t output, pt_infer_index_fn index, const void *user) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *out = pt_infer_out(infer, output);
    int64_t count, at[PT_RANK_MAX];
    if (!in->small || !pt_infer_count(out, &count)) return;
    pt_dim *small = pt_infer_small(infer, output, count);
    for (int64_t i = 0; small && i < count; i++) {
        int64_t rest = i;
        for (int32_t k = out->rank - 1; k >= 0; k--) {
            at[k] = rest % out->dims[k];
            rest /= out->dims[k];
        }
        int64_t from = index(user, at);
        if (from >= 0 && from < in->small_count) small[i] = in->small[from];
    }
}

/* Where arithmetic wraps or rounds, elements are not those of dims. Dims themselves fit into 32 bits. */
static bool holds(const pt_infer *infer, partita_dtype dtype, pt_dim element) {
    const int64_t whole_float = (int64_t)1 << 24, whole_double = (int64_t)1 << 53;
    uint32_t bits = pt_dtype_bits(dtype);
    int64_t number;
    if (element == PT_DIM_UNKNOWN || dtype == PARTITA_BOOL) return true;
    if (!pt_infer_exact(infer, element, &number)) return bits >= 32;
    switch (dtype) {
    case PARTITA_INT8:
    case PARTITA_INT16:
    case PARTITA_INT32: return number >= -((int64_t)1 << (bits - 1)) && number < (int64_t)1 << (bits - 1);
    case PARTITA_UINT8:
    case PARTITA_UINT16:
    case PARTITA_UINT32: return number >= 0 && number < (int64_t)1 << bits;
    case PARTITA_UINT64: return number >= 0;
    case PARTITA_FLOAT32: return number >= -whole_float && number <= whole_float;
    case PARTITA_FLOAT64: return number >= -whole_double && number <= whole_double;
    default: return true;
    }
}

void pt_infer_drop_unheld(pt_infer *infer) {
    for (uint32_t i = 0; i < infer->output_count; i++) {
        const pt_infer_value out = infer->outputs[i];
        uint32_t held = 0;
        while (out.small && held < out.small_count && holds(infer, out.dtype, out.small[held])) held++;
        if (!out.small || held == out.small_count) continue;
        pt_dim *small = pt_infer_small(infer, i, out.small_count);
        for (uint32_t k = 0; small && k < out.small_count; k++)
            if (holds(infer, out.dtype, out.small[k])) small[k] = out.small[k];
    }
}

/* ---- functions of two operands --------------------------------------------------------------- */

static pt_dim divide(pt_infer *infer, pt_dim x, pt_dim y) {
    int64_t number, divisor;
    partita_dtype dtype = pt_infer_in(infer, 0)->dtype;
    if (pt_infer_exact(infer, y, &divisor) && divisor == 0) return PT_DIM_UNKNOWN;
    if (!pt_infer_dtype_is_float(dtype)) return pt_infer_apply(infer, PT_DIM_TRUNC_DIV, x, y);
    /* A quotient of floats is followed only where it is a whole number for sure. */
    if (pt_infer_apply(infer, PT_DIM_MOD, x, y) != 0) return PT_DIM_UNKNOWN;
    if (!pt_infer_exact(infer, y, &number) || number <= 0) return PT_DIM_UNKNOWN;
    return pt_infer_div(infer, x, y);
}

static pt_dim modulo(pt_infer *infer, pt_dim x, pt_dim y) {
    bool same = pt_infer_nonnegative(infer, x) && pt_infer_nonnegative(infer, y);
    /* With fmod the sign is the dividend's. */
    if (pt_node_int(infer->node, "fmod", 0) && !same) return PT_DIM_UNKNOWN;
    return y == 0 ? PT_DIM_UNKNOWN : pt_infer_apply(infer, PT_DIM_MOD, x, y);
}

static pt_dim power(pt_infer *infer, pt_dim x, pt_dim y) {
    int64_t exponent;
    if (!pt_infer_exact(infer, y, &exponent) || exponent < 0 || exponent > 62) return PT_DIM_UNKNOWN;
    pt_dim result = 1;
    for (int64_t i = 0; i < exponent; i++) result = pt_infer_mul(infer, result, x);
    return result;
}

static pt_dim and_of(pt_infer *infer, pt_dim x, pt_dim y) { return pt_infer_mul(infer, x, y); }

static pt_dim or_of(pt_infer *infer, pt_dim x, pt_dim y) {
    if (x == 1 || y == 1) return 1;
    return pt_infer_max(infer, x, y);
}

static pt_dim xor_of(pt_infer *infer, pt_dim x, pt_dim y) {
    int64_t a, b;
    return pt_infer_exact(infer, x, &a) && pt_infer_exact(infer, y, &b) ? (a != 0) != (b != 0) : PT_DIM_UNKNOWN;
}

static pt_dim equal(pt_infer *infer, pt_dim x, pt_dim y) {
    int order = pt_infer_compare(infer, x, y);
    if (order == 0) return 1;
    return order == 1 || order == -1 ? 0 : PT_DIM_UNKNOWN;
}

static pt_dim less(pt_infer *infer, pt_dim x, pt_dim y) {
    int order = pt_infer_compare(infer, x, y);
    if (order == -1) return 1;
    return order >= 0 && order <= 2 ? 0 : PT_DIM_UNKNOWN;
}

static pt_dim less_or_equal(pt_infer *infer, pt_dim x, pt_dim y) {
    int order = pt_infer_compare(infer, x, y);
    if (order == 0 || order == -1 || order == -2) return 1;
    return order == 1 ? 0 : PT_DIM_UNKNOWN;
}

static pt_dim greater(pt_infer *infer, pt_dim x, pt_dim y) { return less(infer, y, x); }
static pt_dim greater_or_equal(pt_infer *infer, pt_dim x, pt_dim y) { return less_or_equal(infer, y, x); }

pt_infer_binary_fn pt_infer_binary_of(const pt_infer *infer) {
    static const struct {
        const char *name;
        pt_infer_binary_fn fn;
    } functions[] = {
        {"Add", pt_infer_add},
        {"Sum", pt_infer_add},
        {"Sub", pt_infer_sub},
        {"Mul", pt_infer_mul},
        {"Div", divide},
        {"Mod", modulo},
        {"Pow", power},
        {"Max", pt_infer_max},
        {"Min", pt_infer_min},
        {"And", and_of},
        {"Or", or_of},
        {"Xor", xor_of},
        {"Equal", equal},
        {"Less", less},
        {"Greater", greater},
        {"LessOrEqual", less_or_equal},
        {"GreaterOrEqual", greater_or_equal},
    };
    if (infer->since < 7) return NULL;
    for (size_t i = 0; i < PT_COUNT_OF(functions); i++) {
        if (pt_str_is(infer->node->op, functions[i].name)) return functions[i].fn;
    }
    return NULL;
}

/* ---- scaled sizes ---------------------------------------------------------------------------- */

/* The node that makes this value; NULL when it's none of this operator of ai.onnx. */
static const pt_node *made_by(const pt_model *model, pt_id id, const char *op) {
    const pt_value *value = id == PT_NONE ? NULL : pt_value_at(model, id);
    if (!value || value->producer == PT_NONE) return NULL;
    const pt_node *node = pt_node_at(model, value->producer);
    return node->domain.size == 0 && pt_str_is(node->op, op) ? node : NULL;
}

/* The one float of a constant. */
static bool fraction(const pt_model *model, pt_id id, float *out_fraction) {
    const pt_tensor *tensor = id == PT_NONE ? NULL : pt_infer_constant(model, id);
    if (!tensor || tensor->dtype != PARTITA_FLOAT32 || tensor->count != 1 || !tensor->weight) return false;
    memcpy(out_fraction, tensor->weight->data, sizeof *out_fraction);
    return true;
}

/* The size times the factor, or divided by it; PT_DIM_UNKNOWN where rounding is not sure to be that of floats. */
static pt_dim rounded(pt_infer *infer, pt_dim size, float factor, bool quotient, bool up) {
    bool whole = factor >= 1.0f && factor <= 1024.0f && factor == floorf(factor);
    if (!pt_infer_nonnegative(infer, size)) return PT_DIM_UNKNOWN;
    if (!quotient) return up ? PT_DIM_UNKNOWN : pt_infer_scale(infer, size, factor);
    if (!whole) return PT_DIM_UNKNOWN;
    return up ? pt_infer_ceil_div(infer, size, (pt_dim)factor) : pt_infer_div(infer, size, (pt_dim)factor);
}

bool pt_infer_rounded(pt_infer *infer, bool up) {
    if (!infer->run || !infer->run->floats) return false;
    pt_id input = infer->node->inputs[0];
    /* Exporters put a cast between the product and the floor. */
    for (const pt_node *cast; (cast = made_by(infer->model, input, "Cast")) != NULL;) {
        if (!pt_infer_dtype_is_float(pt_value_at(infer->model, cast->inputs[0])->type.dtype)) break;
        input = cast->inputs[0];
    }
    const pt_node *product = made_by(infer->model, input, "Mul"), *quotient = made_by(infer->model, input, "Div");
    const pt_node *made = product ? product : quotient;
    if (!made || made->input_count != 2) return false;
    for (uint32_t side = 0; side < (product ? 2u : 1u); side++) {
        float factor;
        pt_id size = made->inputs[side];
        if (size == PT_NONE || !fraction(infer->model, made->inputs[1 - side], &factor)) continue;
        const struct pt_infer_floats *known = &infer->run->floats[size];
        if (!known->elements || factor <= 0.0f) continue;
        pt_dim *small = pt_infer_small(infer, 0, known->count);
        for (uint32_t i = 0; small && i < known->count; i++) {
            small[i] = rounded(infer, known->elements[i], factor, made == quotient, up);
        }
        return small != NULL;
    }
    return false;
}
