/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading inputs and attributes, and writing outputs, for the inference functions of operators.
 */
#include "op/infer.h"

#include <math.h>
#include <partita/plugin.h>
#include <stdio.h>

/* ---- inputs ---------------------------------------------------------------------------------- */

const pt_infer_value *pt_infer_in(const pt_infer *infer, uint32_t input) {
    return input < infer->input_count ? &infer->inputs[input] : &infer->nothing;
}

bool pt_infer_has(const pt_infer *infer, uint32_t input) {
    return input < infer->node->input_count && infer->node->inputs[input] != PT_NONE;
}

const pt_attribute *pt_infer_ints(const pt_infer *infer, const char *name) {
    const pt_attribute *attribute = pt_node_attribute(infer->node, name);
    return attribute && attribute->type == PTP_ATTRIBUTE_INTS ? attribute : NULL;
}

bool pt_infer_string_is(const pt_infer *infer, const char *name, const char *text) {
    const pt_attribute *attribute = pt_node_attribute(infer->node, name);
    return attribute && attribute->type == PTP_ATTRIBUTE_STRING && pt_str_is(attribute->s, text);
}

bool pt_infer_numbers(const pt_infer *infer, const pt_infer_value *value, int64_t *out_numbers) {
    if (!value->small) return false;
    for (uint32_t i = 0; i < value->small_count; i++) {
        if (!pt_infer_exact(infer, value->small[i], &out_numbers[i])) return false;
    }
    return true;
}

/* float16 as a number. */
static double half_number(uint16_t bits) {
    int exponent = bits >> 10 & 31;
    double fraction = (double)(bits & 1023), sign = bits >> 15 ? -1.0 : 1.0;
    if (exponent == 31) return fraction != 0.0 ? (double)NAN : sign * (double)INFINITY;
    return sign * (exponent ? ldexp(1024.0 + fraction, exponent - 25) : ldexp(fraction, -24));
}

static bool real_number(partita_dtype dtype, const void *data, uint64_t index, double *out_real) {
    const char *at = data;
    float single;
    uint16_t bits;
    uint32_t wide;
    switch (dtype) {
    case PARTITA_FLOAT32:
        memcpy(&single, at + index * sizeof single, sizeof single);
        *out_real = (double)single;
        return true;
    case PARTITA_FLOAT64: memcpy(out_real, at + index * sizeof *out_real, sizeof *out_real); return true;
    case PARTITA_FLOAT16:
        memcpy(&bits, at + index * sizeof bits, sizeof bits);
        *out_real = half_number(bits);
        return true;
    case PARTITA_BFLOAT16:
        memcpy(&bits, at + index * sizeof bits, sizeof bits);
        wide = (uint32_t)bits << 16;
        memcpy(&single, &wide, sizeof single);
        *out_real = (double)single;
        return true;
    default: return false;
    }
}

bool pt_infer_reals(const pt_infer_value *value, double *out_reals, uint32_t max) {
    if (!value->data || value->data_count > max) return false;
    for (uint64_t i = 0; i < value->data_count; i++) {
        if (!real_number(value->dtype, value->data, i, &out_reals[i])) return false;
    }
    return true;
}

bool pt_infer_count(const pt_infer_value *value, int64_t *out_count) {
    uint64_t count;
    if (value->rank < 0 || !pt_dims_count(value->dims, (uint32_t)value->rank, &count)) return false;
    *out_count = (int64_t)PT_MIN(count, (uint64_t)INT64_MAX);
    return true;
}

pt_infer_list pt_infer_list_of(pt_infer *infer, const char *attribute, uint32_t input) {
    pt_infer_list list = {.count = -1};
    const pt_attribute *ints = attribute ? pt_infer_ints(infer, attribute) : NULL;
    if (ints) {
        list.present = true;
        list.count = ints->count;
        pt_dim *elements = pt_arena_array(infer->scratch, ints->count, sizeof *elements);
        if (!elements) {
            infer->status = PT_OUT_OF_MEMORY();
            return list;
        }
        for (uint32_t i = 0; i < ints->count; i++)
            elements[i] = pt_infer_number(infer, PT_MAX(ints->ints[i], -INT64_MAX));
        list.elements = elements;
    } else if (pt_infer_has(infer, input)) {
        const pt_infer_value *value = pt_infer_in(infer, input);
        list.present = true;
        list.elements = value->small;
        int64_t count;
        if (value->small) {
            list.count = value->small_count;
        } else if (pt_infer_count(value, &count)) {
            list.count = count;
        }
    }
    return list;
}

partita_status pt_infer_axes(pt_infer *infer, pt_infer_list list, int32_t rank, bool *out_known, bool *out_selected) {
    *out_known = list.elements != NULL;
    memset(out_selected, 0, PT_RANK_MAX * sizeof *out_selected);
    for (int64_t i = 0; *out_known && i < list.count; i++) {
        int64_t number;
        int32_t axis;
        if (!pt_infer_exact(infer, list.elements[i], &number)) {
            *out_known = false;
            break;
        }
        PT_TRY(pt_infer_axis(infer, number, rank, &axis));
        if (out_selected[axis]) return pt_infer_fail(infer, "axis %d is given twice", axis);
        out_selected[axis] = true;
    }
    return PARTITA_OK;
}

/* ---- outputs --------------------------------------------------------------------------------- */

pt_infer_value *pt_infer_out(pt_infer *infer, uint32_t output) {
    return output < infer->output_count ? &infer->outputs[output] : &infer->spare;
}

pt_infer_value *pt_infer_tensor(pt_infer *infer, uint32_t output, partita_dtype dtype) {
    pt_infer_value *value = pt_infer_out(infer, output);
    value->kind = PARTITA_KIND_TENSOR;
    value->dtype = dtype;
    value->rank = -1;
    return value;
}

pt_dim *pt_infer_rank(pt_infer *infer, uint32_t output, int64_t rank) {
    pt_infer_value *value = pt_infer_out(infer, output);
    if (rank < 0 || rank > PT_RANK_MAX) {
        if (infer->status == PARTITA_OK) {
            infer->status = pt_infer_fail(infer, "rank %lld is not in 0 to %d", (long long)rank, PT_RANK_MAX);
        }
        return NULL;
    }
    value->rank = (int32_t)rank;
    for (int64_t i = 0; i < rank; i++) value->dims[i] = PT_DIM_UNKNOWN;
    return value->dims;
}

pt_dim *pt_infer_shape_like(pt_infer *infer, uint32_t output, const pt_infer_value *value) {
    pt_infer_value *out = pt_infer_out(infer, output);
    out->rank = value->rank;
    memcpy(out->dims, value->dims, sizeof out->dims);
    return out->dims;
}

void pt_infer_like(pt_infer *infer, uint32_t output, const pt_infer_value *value) {
    pt_infer_value *out = pt_infer_out(infer, output);
    *out = *value;
    out->small = NULL;
    out->small_count = 0;
    out->data = NULL;
    out->data_count = 0;
}

pt_dim *pt_infer_small(pt_infer *infer, uint32_t output, int64_t count) {
    pt_infer_value *value = pt_infer_out(infer, output);
    if (count < 0 || count > PT_SMALL_MAX || infer->status != PARTITA_OK) return NULL;
    pt_dim *small = pt_arena_array(infer->scratch, (size_t)count, sizeof *small);
    if (!small) {
        infer->status = PT_OUT_OF_MEMORY();
        return NULL;
    }
    for (int64_t i = 0; i < count; i++) small[i] = PT_DIM_UNKNOWN;
    value->small = small;
    value->small_count = (uint32_t)count;
    return small;
}

void pt_infer_small_like(pt_infer *infer, uint32_t output, const pt_infer_value *value) {
    pt_infer_value *out = pt_infer_out(infer, output);
    out->small = value->small;
    out->small_count = value->small_count;
}

partita_status pt_infer_fail(pt_infer *infer, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return pt_fail(infer->run ? PARTITA_BAD_MODEL : PARTITA_BAD_INPUT, "%s", text);
}

/* ---- types ----------------------------------------------------------------------------------- */

pt_type *pt_infer_make_type(pt_infer *infer, const pt_infer_value *value) {
    pt_type *type = pt_arena_alloc(infer->scratch, sizeof *type);
    if (!type) {
        infer->status = PT_OUT_OF_MEMORY();
        return NULL;
    }
    *type = (pt_type){.kind = value->kind,
                      .dtype = value->dtype,
                      .key_dtype = value->key_dtype,
                      .rank = value->rank,
                      .element = (pt_type *)value->element};
    if (value->rank > 0) {
        type->dims = pt_arena_array(infer->scratch, (size_t)value->rank, sizeof(pt_dim));
        if (!type->dims) {
            infer->status = PT_OUT_OF_MEMORY();
            return NULL;
        }
        memcpy(type->dims, value->dims, (size_t)value->rank * sizeof(pt_dim));
    }
    return type;
}

void pt_infer_from_type(const pt_type *type, pt_infer_value *out_value) {
    *out_value = (pt_infer_value){.rank = -1};
    if (!type) return;
    out_value->kind = type->kind;
    out_value->dtype = type->dtype;
    out_value->key_dtype = type->key_dtype;
    out_value->element = type->element;
    bool tensor = type->kind == PARTITA_KIND_TENSOR || type->kind == PARTITA_KIND_SPARSE;
    if (!tensor || type->rank < 0 || type->rank > PT_RANK_MAX) return;
    out_value->rank = type->rank;
    for (int32_t i = 0; i < type->rank; i++) out_value->dims[i] = type->dims[i];
}
