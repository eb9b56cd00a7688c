/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Element-wise operators: types and shapes. What they do to the elements of small tensors is in infer_values.c.
 */
#include "op/infer_run.h"

#include <math.h>

partita_status pt_op_infer_none(pt_infer *infer) { return infer->status; }

partita_status pt_op_infer_same(pt_infer *infer) {
    pt_infer_like(infer, 0, pt_infer_in(infer, 0));
    return infer->status;
}

partita_status pt_op_infer_identity(pt_infer *infer) {
    pt_infer_like(infer, 0, pt_infer_in(infer, 0));
    pt_infer_small_like(infer, 0, pt_infer_in(infer, 0));
    return infer->status;
}

partita_status pt_op_infer_prelu(pt_infer *infer) { return pt_op_infer_same(infer); }

static partita_status same_dtype(pt_infer *infer, uint32_t first, uint32_t count, partita_dtype *out_dtype) {
    *out_dtype = PARTITA_UNDEFINED;
    for (uint32_t i = first; i < first + count; i++) {
        partita_dtype dtype = pt_infer_in(infer, i)->dtype;
        if (dtype == PARTITA_UNDEFINED) continue;
        if (*out_dtype != PARTITA_UNDEFINED && *out_dtype != dtype) {
            return pt_infer_fail(infer, "inputs are of types %s and %s", pt_dtype_name(*out_dtype),
                                 pt_dtype_name(dtype));
        }
        *out_dtype = dtype;
    }
    return PARTITA_OK;
}

/* Before opset 7 the second operand had to be a piece of the first one's shape. */
static partita_status binary_shape(pt_infer *infer) {
    if (infer->since >= 7) return pt_infer_broadcast(infer, 0, 0, 2);
    pt_infer_shape_like(infer, 0, pt_infer_in(infer, 0));
    return infer->status;
}

static bool is_op(const pt_infer *infer, const char *name) { return pt_str_is(infer->node->op, name); }

partita_status pt_op_infer_binary(pt_infer *infer) {
    partita_dtype dtype = pt_infer_in(infer, 0)->dtype;
    /* Only the exponent may be of another type. */
    if (!is_op(infer, "Pow")) PT_TRY(same_dtype(infer, 0, 2, &dtype));
    pt_infer_tensor(infer, 0, dtype);
    PT_TRY(binary_shape(infer));
    pt_infer_small_binary(infer, 0, 1, pt_infer_binary_of(infer));
    return infer->status;
}

partita_status pt_op_infer_compare(pt_infer *infer) {
    partita_dtype dtype;
    PT_TRY(same_dtype(infer, 0, 2, &dtype));
    pt_infer_tensor(infer, 0, PARTITA_BOOL);
    PT_TRY(binary_shape(infer));
    pt_infer_small_binary(infer, 0, 1, pt_infer_binary_of(infer));
    return infer->status;
}

partita_status pt_op_infer_variadic(pt_infer *infer) {
    partita_dtype dtype;
    PT_TRY(same_dtype(infer, 0, infer->input_count, &dtype));
    pt_infer_tensor(infer, 0, dtype);
    if (infer->since < 8) {
        pt_infer_shape_like(infer, 0, pt_infer_in(infer, 0));
        return infer->status;
    }
    PT_TRY(pt_infer_broadcast(infer, 0, 0, infer->input_count));
    if (infer->input_count == 1) {
        pt_infer_small_like(infer, 0, pt_infer_in(infer, 0));
    } else if (infer->input_count == 2) {
        pt_infer_small_binary(infer, 0, 1, pt_infer_binary_of(infer));
    }
    return infer->status;
}

/* ---- types change ---------------------------------------------------------------------------- */

static partita_status dtype_of(pt_infer *infer, int64_t number, partita_dtype *out_dtype) {
    if (number <= 0 || number >= PARTITA_DTYPE_COUNT) {
        return pt_infer_fail(infer, "%lld is no element type", (long long)number);
    }
    *out_dtype = (partita_dtype)number;
    return PARTITA_OK;
}

static pt_dim to_bool(pt_infer *infer, pt_dim x) {
    int64_t number;
    if (pt_infer_exact(infer, x, &number)) return number != 0;
    return pt_infer_positive(infer, x) ? 1 : PT_DIM_UNKNOWN;
}

static void cast_small(pt_infer *infer, partita_dtype from, partita_dtype to) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    bool whole = to == PARTITA_BOOL || to == PARTITA_INT64 || to == PARTITA_INT32 || to == PARTITA_UINT32 ||
                 to == PARTITA_UINT64 || to == PARTITA_INT16 || to == PARTITA_UINT16 || to == PARTITA_INT8 ||
                 to == PARTITA_UINT8 || to == PARTITA_FLOAT32 || to == PARTITA_FLOAT64;
    if (!whole || from == PARTITA_STRING) return;
    if (pt_infer_dtype_is_float(from) && !pt_infer_dtype_is_float(to) && pt_infer_rounded(infer, false)) return;
    if (!in->small) return;
    pt_dim *small = pt_infer_small(infer, 0, in->small_count);
    for (uint32_t i = 0; small && i < in->small_count; i++) {
        small[i] = to == PARTITA_BOOL ? to_bool(infer, in->small[i]) : in->small[i];
    }
}

static partita_dtype dtype_from_text(partita_str text) {
    char lower[16] = "";
    for (size_t i = 0; i < text.size && i < sizeof lower - 1; i++) {
        lower[i] = (char)(text.data[i] >= 'A' && text.data[i] <= 'Z' ? text.data[i] + 32 : text.data[i]);
    }
    if (strcmp(lower, "float") == 0) return PARTITA_FLOAT32;
    if (strcmp(lower, "double") == 0) return PARTITA_FLOAT64;
    return pt_dtype_from_name(pt_str(lower));
}

partita_status pt_op_infer_cast(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    partita_dtype dtype = PARTITA_UNDEFINED;
    if (infer->since == 1 && is_op(infer, "Cast")) {
        const pt_attribute *to = pt_node_attribute(infer->node, "to");
        dtype = to ? dtype_from_text(to->s) : PARTITA_UNDEFINED;
        if (dtype == PARTITA_UNDEFINED) return pt_infer_fail(infer, "attribute 'to' names no element type");
    } else {
        PT_TRY(dtype_of(infer, pt_node_int(infer->node, "to", 0), &dtype));
    }
    if (is_op(infer, "BitCast") && in->dtype && pt_dtype_bits(in->dtype) != pt_dtype_bits(dtype)) {
        return pt_infer_fail(infer, "bits of %s are no %s", pt_dtype_name(in->dtype), pt_dtype_name(dtype));
    }
    pt_infer_like(infer, 0, in);
    pt_infer_tensor(infer, 0, dtype)->rank = in->rank;
    if (is_op(infer, "Cast")) cast_small(infer, in->dtype, dtype);
    return infer->status;
}

partita_status pt_op_infer_cast_like(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    partita_dtype dtype = pt_infer_in(infer, 1)->dtype;
    pt_infer_tensor(infer, 0, dtype);
    pt_infer_shape_like(infer, 0, in);
    if (dtype != PARTITA_UNDEFINED) cast_small(infer, in->dtype, dtype);
    return infer->status;
}

/* Shape of the input; type of the attribute `dtype`, without it the input's. */
partita_status pt_op_infer_like(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    const pt_attribute *attribute = pt_node_attribute(infer->node, "dtype");
    partita_dtype dtype = in->dtype;
    if (attribute) PT_TRY(dtype_of(infer, attribute->i, &dtype));
    pt_infer_tensor(infer, 0, dtype);
    pt_infer_shape_like(infer, 0, in);
    return infer->status;
}

partita_status pt_op_infer_predicate(pt_infer *infer) {
    pt_infer_tensor(infer, 0, PARTITA_BOOL);
    pt_infer_shape_like(infer, 0, pt_infer_in(infer, 0));
    return infer->status;
}

partita_status pt_op_infer_dropout(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_like(infer, 0, in);
    pt_infer_small_like(infer, 0, in);
    pt_infer_tensor(infer, 1, infer->since >= 10 ? PARTITA_BOOL : in->dtype);
    pt_infer_shape_like(infer, 1, in);
    return infer->status;
}

/* ---- elements -------------------------------------------------------------------------------- */

static pt_dim not_of(pt_infer *infer, pt_dim x) { return pt_infer_sub(infer, 1, x); }
static pt_dim neg_of(pt_infer *infer, pt_dim x) { return pt_infer_sub(infer, 0, x); }
static pt_dim relu_of(pt_infer *infer, pt_dim x) { return pt_infer_max(infer, x, 0); }
static pt_dim whole_of(pt_infer *infer, pt_dim x) {
    PT_UNUSED(infer);
    return x;
}

static pt_dim abs_of(pt_infer *infer, pt_dim x) {
    int64_t number;
    if (pt_infer_nonnegative(infer, x)) return x;
    return pt_infer_exact(infer, x, &number) && number != INT64_MIN ? number < 0 ? -number : number : PT_DIM_UNKNOWN;
}

static pt_dim sign_of(pt_infer *infer, pt_dim x) {
    int64_t number;
    if (pt_infer_positive(infer, x)) return 1;
    return pt_infer_exact(infer, x, &number) ? pt_infer_number(infer, (number > 0) - (number < 0)) : PT_DIM_UNKNOWN;
}

partita_status pt_op_infer_unary(pt_infer *infer) {
    static const struct {
        const char *name;
        pt_infer_unary_fn fn;
    } functions[] = {{"Not", not_of},   {"Neg", neg_of},     {"Relu", relu_of},  {"Abs", abs_of},
                     {"Sign", sign_of}, {"Floor", whole_of}, {"Ceil", whole_of}, {"Round", whole_of}};
    pt_infer_like(infer, 0, pt_infer_in(infer, 0));
    bool up = is_op(infer, "Ceil");
    if ((up || is_op(infer, "Floor")) && pt_infer_rounded(infer, up)) return infer->status;
    for (size_t i = 0; i < PT_COUNT_OF(functions); i++) {
        if (is_op(infer, functions[i].name)) pt_infer_small_unary(infer, functions[i].fn);
    }
    return infer->status;
}

partita_status pt_op_infer_clip(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *low = pt_infer_in(infer, 1), *high = pt_infer_in(infer, 2);
    pt_infer_like(infer, 0, in);
    bool bounds_known =
        (!pt_infer_has(infer, 1) || low->small_count == 1) && (!pt_infer_has(infer, 2) || high->small_count == 1);
    if (!in->small || infer->since < 11 || !bounds_known) return infer->status;
    pt_dim *small = pt_infer_small(infer, 0, in->small_count);
    for (uint32_t i = 0; small && i < in->small_count; i++) {
        small[i] = in->small[i];
        if (low->small) small[i] = pt_infer_max(infer, small[i], low->small[0]);
        if (high->small) small[i] = pt_infer_min(infer, small[i], high->small[0]);
    }
    return infer->status;
}

partita_status pt_op_infer_where(pt_infer *infer) {
    partita_dtype dtype;
    PT_TRY(same_dtype(infer, 1, 2, &dtype));
    pt_infer_value *out = pt_infer_tensor(infer, 0, dtype);
    PT_TRY(pt_infer_broadcast(infer, 0, 0, 3));
    const pt_infer_value *condition = pt_infer_in(infer, 0), *x = pt_infer_in(infer, 1), *y = pt_infer_in(infer, 2);
    int64_t count, chosen;
    if (!x->small || !y->small || !pt_infer_count(out, &count) || count == 0) return infer->status;
    pt_dim *small = pt_infer_small(infer, 0, count);
    for (int64_t i = 0; small && i < count; i++) {
        pt_dim a = x->small[pt_infer_broadcast_index(x, out, i)], b = y->small[pt_infer_broadcast_index(y, out, i)];
        pt_dim which =
            condition->small ? condition->small[pt_infer_broadcast_index(condition, out, i)] : PT_DIM_UNKNOWN;
        if (pt_infer_exact(infer, which, &chosen)) {
            small[i] = chosen ? a : b;
        } else if (a == b) {
            small[i] = a;
        }
    }
    return infer->status;
}

partita_status pt_op_infer_string_concat(pt_infer *infer) {
    pt_infer_tensor(infer, 0, PARTITA_STRING);
    return pt_infer_broadcast(infer, 0, 0, 2);
}
