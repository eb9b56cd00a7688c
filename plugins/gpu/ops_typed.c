/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise operators whose inputs differ in type or number: Cast, Clip, Gelu, IsInf, IsNaN, Mod, Not, Pow, Swish,
 * Where. */
#include "gpu/gpu.h"
#include <math.h>

static partita_status emit_one(gpu_plan *plan, partita_dtype type, const char *computed, const char *expression) {
    gpu_pointwise pointwise;
    gpu_pointwise_init(&pointwise, plan, type);
    gpu_pointwise_add(&pointwise, "x", &plan->node->inputs[0], gpu_ref_in(plan, 0), computed);
    pointwise.expression = expression;
    return gpu_emit_pointwise(plan, &pointwise);
}

/* ---- Cast ------------------------------------------------------------------------------------------------------- */

static bool check_cast(gpu_check *check) {
    const gpu_type *from = gpu_type_of(check->node->inputs[0].dtype), *to = gpu_type_of(check->node->outputs[0].dtype);
    if (from->dtype == to->dtype) return true;
    const gpu_type *both[2] = {from, to};
    for (int i = 0; i < 2; i++) {
        if (!both[i]->computed || (both[i]->needs & check->device->caps.features) != both[i]->needs) {
            return gpu_refuse(check, PARTITA_REASON_DTYPE, "%s to %s: the device does not compute in %s",
                              gpu_dtype_name(from->dtype), gpu_dtype_name(to->dtype), gpu_dtype_name(both[i]->dtype));
        }
    }
    return true;
}

static partita_status plan_cast(gpu_plan *plan) {
    const gpu_operand *x = &plan->node->inputs[0], *y = &plan->node->outputs[0];
    if (x->dtype == y->dtype) {
        return gpu_emit_copy(plan, gpu_elements(x), x->dtype, gpu_ref_in(plan, 0), gpu_ref_out(plan, 0));
    }
    if (y->dtype == PARTITA_BOOL) {
        gpu_type const *type = gpu_type_of(x->dtype);
        return emit_one(plan, x->dtype, NULL, type->letter == 'B' ? "x" : "SELECT(x != F(0), 1, 0)");
    }
    /* a narrow integer takes the low bits of a wide one, from floating point too */
    const gpu_type *from = gpu_type_of(x->dtype), *to = gpu_type_of(y->dtype);
    bool narrow = from->letter == 'F' && to->bytes < 4;
    return emit_one(plan, PARTITA_UNDEFINED, NULL, narrow ? "CAST(i32, x)" : "x");
}

/* ---- Clip ------------------------------------------------------------------------------------------------------- */

static partita_status plan_clip_attributes(gpu_plan *plan) {
    gpu_pointwise pointwise;
    gpu_pointwise_init(&pointwise, plan, plan->node->inputs[0].dtype);
    gpu_pointwise_add(&pointwise, "x", &plan->node->inputs[0], gpu_ref_in(plan, 0), NULL);
    pointwise.expression = "m_min(m_max(x, P0), P1)";
    pointwise.scalars[0] = gpu_float(plan->node, "min", -3.402823466e+38f);
    pointwise.scalars[1] = gpu_float(plan->node, "max", 3.402823466e+38f);
    pointwise.scalar_count = 2;
    return gpu_emit_pointwise(plan, &pointwise);
}

static bool check_clip(gpu_check *check) {
    for (uint32_t i = 1; i < 3; i++) {
        const gpu_operand *bound = gpu_input(check->node, i);
        if (bound && bound->dtype != check->node->inputs[0].dtype) {
            return gpu_refuse(check, PARTITA_REASON_DTYPE, "bound %u is %s", i, gpu_dtype_name(bound->dtype));
        }
        if (bound && bound->rank > 0 && gpu_elements(bound) != 1) {
            return gpu_refuse(check, PARTITA_REASON_SHAPE, "bound %u is no scalar but has rank %d", i, bound->rank);
        }
    }
    return true;
}

static partita_status plan_clip(gpu_plan *plan) {
    const gpu_operand *low = gpu_input(plan->node, 1), *high = gpu_input(plan->node, 2);
    gpu_pointwise pointwise;
    gpu_pointwise_init(&pointwise, plan, plan->node->inputs[0].dtype);
    gpu_pointwise_add(&pointwise, "x", &plan->node->inputs[0], gpu_ref_in(plan, 0), NULL);
    if (low) gpu_pointwise_add(&pointwise, "low", low, gpu_ref_in(plan, 1), NULL);
    if (high) gpu_pointwise_add(&pointwise, "high", high, gpu_ref_in(plan, 2), NULL);
    pointwise.expression = low && high ? "m_min(m_max(x, low), high)"
                           : low       ? "m_max(x, low)"
                           : high      ? "m_min(x, high)"
                                       : "x";
    return gpu_emit_pointwise(plan, &pointwise);
}

/* ---- Pow, Mod --------------------------------------------------------------------------------------------------- */

static bool check_pow(gpu_check *check) {
    const gpu_type *base = gpu_type_of(check->node->inputs[0].dtype),
                   *power = gpu_type_of(check->node->inputs[1].dtype);
    if (!power->computed || power->letter == 'B' || (power->needs & check->device->caps.features) != power->needs) {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "the exponent is %s", gpu_dtype_name(power->dtype));
    }
    if (base->letter != 'F' && power->letter == 'F') {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "%s to the power of %s", gpu_dtype_name(base->dtype),
                          gpu_dtype_name(power->dtype));
    }
    /* float32 holds integers up to 2^24; beyond, even and odd exponents would be taken for each other */
    bool wide = power->letter != 'F' && power->bytes > 2;
    double value = INFINITY;
    gpu_scalar(&check->node->inputs[1], &value);
    if (base->letter == 'F' && wide && (gpu_elements(&check->node->inputs[1]) != 1 || fabs(value) > 16777216)) {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "exponents of %s that may be above 2^24",
                          gpu_dtype_name(power->dtype));
    }
    return true;
}

static partita_status plan_pow(gpu_plan *plan) {
    gpu_pointwise pointwise;
    double power;
    gpu_pointwise_init(&pointwise, plan, plan->node->inputs[0].dtype);
    gpu_pointwise_add(&pointwise, "x", &plan->node->inputs[0], gpu_ref_in(plan, 0), NULL);
    if (gpu_elements(&plan->node->inputs[1]) == 1 && gpu_scalar(&plan->node->inputs[1], &power) && power == 2) {
        pointwise.expression = "x * x";
    } else {
        gpu_pointwise_add(&pointwise, "y", &plan->node->inputs[1], gpu_ref_in(plan, 1), NULL);
        pointwise.expression = "m_pow(x, CAST(T, y))";
    }
    return gpu_emit_pointwise(plan, &pointwise);
}

static bool check_mod(gpu_check *check) {
    const gpu_type *type = gpu_type_of(check->node->inputs[0].dtype);
    if (type->letter == 'F' && gpu_int(check->node, "fmod", 0) == 0) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "fmod 0 with %s", gpu_dtype_name(type->dtype));
    }
    return gpu_need_same_dtype(check);
}

static partita_status plan_mod(gpu_plan *plan) {
    gpu_pointwise pointwise;
    gpu_pointwise_init(&pointwise, plan, plan->node->inputs[0].dtype);
    gpu_pointwise_add(&pointwise, "x", &plan->node->inputs[0], gpu_ref_in(plan, 0), NULL);
    gpu_pointwise_add(&pointwise, "y", &plan->node->inputs[1], gpu_ref_in(plan, 1), NULL);
    pointwise.expression = gpu_int(plan->node, "fmod", 0) ? "m_fmod(x, y)" : "m_imod(x, y)";
    return gpu_emit_pointwise(plan, &pointwise);
}

/* ---- the others ------------------------------------------------------------------------------------------------- */

static bool check_where(gpu_check *check) {
    const gpu_operand *x = &check->node->inputs[1], *y = &check->node->inputs[2];
    if (x->dtype == y->dtype) return true;
    return gpu_refuse(check, PARTITA_REASON_DTYPE, "values are %s and %s", gpu_dtype_name(x->dtype),
                      gpu_dtype_name(y->dtype));
}

static partita_status plan_where(gpu_plan *plan) {
    gpu_pointwise pointwise;
    gpu_pointwise_init(&pointwise, plan, PARTITA_UNDEFINED);
    pointwise.stored = gpu_word_of(gpu_type_of(plan->node->outputs[0].dtype)->bytes);
    gpu_pointwise_add(&pointwise, "w", &plan->node->inputs[0], gpu_ref_in(plan, 0), NULL);
    gpu_pointwise_add(&pointwise, "x", &plan->node->inputs[1], gpu_ref_in(plan, 1), "word");
    gpu_pointwise_add(&pointwise, "y", &plan->node->inputs[2], gpu_ref_in(plan, 2), "word");
    pointwise.expression = "SELECT(w != 0, x, y)";
    return gpu_emit_pointwise(plan, &pointwise);
}

static partita_status plan_not(gpu_plan *plan) {
    return emit_one(plan, PARTITA_UNDEFINED, NULL, "SELECT(x == 0, 1, 0)");
}

static partita_status plan_isnan(gpu_plan *plan) {
    return emit_one(plan, plan->node->inputs[0].dtype, NULL, "SELECT(m_isnan(x), 1, 0)");
}

static partita_status plan_isinf(gpu_plan *plan) {
    bool low = gpu_int(plan->node, "detect_negative", 1) != 0, high = gpu_int(plan->node, "detect_positive", 1) != 0;
    return emit_one(plan, plan->node->inputs[0].dtype, NULL,
                    low && high ? "SELECT(m_isinf(x), 1, 0)"
                    : low       ? "SELECT(m_isinf(x) && x < F(0), 1, 0)"
                    : high      ? "SELECT(m_isinf(x) && x > F(0), 1, 0)"
                                : "0");
}

static bool check_gelu(gpu_check *check) {
    if (gpu_string_is(check->node, "approximate", "none", "none") ||
        gpu_string_is(check->node, "approximate", "tanh", "none")) {
        return true;
    }
    partita_str mode = ptp_attribute_str(check->node->block, &check->node->row, "approximate");
    return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "approximate is %.*s", (int)mode.size, mode.data);
}

static partita_status plan_gelu(gpu_plan *plan) {
    return emit_one(plan, plan->node->inputs[0].dtype, NULL,
                    gpu_string_is(plan->node, "approximate", "tanh", "none")
                        ? "F(0.5) * x * (F(1) + m_tanh(F(0.7978845608028654) * (x + F(0.044715) * x * x * x)))"
                        : "F(0.5) * x * (F(1) + m_erf(x * F(0.7071067811865476)))");
}

static partita_status plan_swish(gpu_plan *plan) {
    gpu_pointwise pointwise;
    gpu_pointwise_init(&pointwise, plan, plan->node->inputs[0].dtype);
    gpu_pointwise_add(&pointwise, "x", &plan->node->inputs[0], gpu_ref_in(plan, 0), NULL);
    pointwise.expression = "x / (F(1) + m_exp(-P0 * x))";
    pointwise.scalars[pointwise.scalar_count++] = gpu_float(plan->node, "alpha", 1);
    return gpu_emit_pointwise(plan, &pointwise);
}

const gpu_op gpu_ops_typed[] = {
    {"Cast", 6, 28, "M", "to,saturate,round_mode", 1, 1, 0, 0, check_cast, plan_cast, NULL, 0},
    {"Clip", 1, 10, "F", "min,max,consumed_inputs", 1, 1, 0, 0, NULL, plan_clip_attributes, NULL, 0},
    {"Clip", 11, 28, "FIU", "", 3, 1, 0, 0, check_clip, plan_clip, NULL, 0},
    {"Gelu", 20, 28, "F", "approximate", 1, 1, 0, 0, check_gelu, plan_gelu, NULL, 0},
    {"IsInf", 10, 28, "F", "detect_negative,detect_positive", 1, 1, 0, 0, NULL, plan_isinf, NULL, 0},
    {"IsNaN", 9, 28, "F", "", 1, 1, 0, 0, NULL, plan_isnan, NULL, 0},
    {"Mod", 10, 28, "FIU", "fmod", 2, 1, 0, 0, check_mod, plan_mod, NULL, 0},
    {"Not", 1, 28, "B", "", 1, 1, 0, 0, NULL, plan_not, NULL, 0},
    {"Pow", 7, 28, "FIU", "", 2, 1, 0, 0, check_pow, plan_pow, NULL, 0},
    {"Swish", 24, 28, "F", "alpha", 1, 1, 0, 0, NULL, plan_swish, NULL, 0},
    {"Where", 9, 28, "B", "", 3, 1, 0, 0, check_where, plan_where, NULL, 0},
    {0},
};
