/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types of values.
 */
#include "onnx/import.h"

static partita_status element_type(int32_t written, partita_dtype *out_dtype) {
    if (written < 0 || written >= PARTITA_DTYPE_COUNT) {
        return pt_fail(PARTITA_BAD_MODEL, "element type %d is not known", (int)written);
    }
    *out_dtype = (partita_dtype)written;
    return PARTITA_OK;
}

static partita_status named_dim(pt_importer *importer, const char *name, pt_trust trust, pt_dim *out_dim) {
    partita_str text = pt_str(name);
    if (text.size == 0 || pt_str_is(text, "?")) {
        return trust == PT_TRUST_INPUT ? pt_dim_named(&importer->model->symbols, PT_STR(""), out_dim)
                                       : pt_dim_data(&importer->model->symbols, out_dim);
    }
    uint32_t known = pt_map_get(&importer->dim_names, text);
    if (known != PT_NONE) {
        *out_dim = pt_dim_of_symbol(known);
        return PARTITA_OK;
    }
    if (trust != PT_TRUST_INPUT) return pt_dim_data(&importer->model->symbols, out_dim);
    text = pt_arena_str(&importer->model->arena, text);
    if (!text.data) return PT_OUT_OF_MEMORY();
    PT_TRY(pt_dim_named(&importer->model->symbols, text, out_dim));
    return pt_map_put(&importer->dim_names, text, pt_dim_symbol(*out_dim)) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status import_dim(pt_importer *importer, const Onnx__TensorShapeProto__Dimension *proto, pt_trust trust,
                                 pt_dim *out_dim) {
    if (proto->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM) {
        return named_dim(importer, proto->dim_param, trust, out_dim);
    }
    bool known = proto->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    /* Some exporters write 0 or -1 where they mean "any". */
    if (!known || proto->dim_value < (trust == PT_TRUST_INPUT ? 1 : 0)) return named_dim(importer, "", trust, out_dim);
    *out_dim = proto->dim_value;
    return PARTITA_OK;
}

static partita_status import_shape(pt_importer *importer, const Onnx__TensorShapeProto *proto, pt_trust trust,
                                   pt_type *out) {
    out->rank = -1;
    if (!proto || trust == PT_TRUST_KIND) return PARTITA_OK;
    if (proto->n_dim > INT32_MAX) return pt_fail(PARTITA_BAD_MODEL, "a rank is too large");
    out->rank = (int32_t)proto->n_dim;
    out->dims = pt_arena_array(&importer->model->arena, proto->n_dim, sizeof *out->dims);
    if (!out->dims) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < proto->n_dim; i++) { PT_TRY(import_dim(importer, proto->dim[i], trust, &out->dims[i])); }
    return PARTITA_OK;
}

/* Dims of a sequence's items differ from item to item: they are not taken over. */
static partita_status import_element(pt_importer *importer, const Onnx__TypeProto *proto, pt_type *out) {
    if (!proto) return PARTITA_OK;
    out->element = pt_arena_alloc(&importer->model->arena, sizeof *out->element);
    if (!out->element) return PT_OUT_OF_MEMORY();
    PT_TRY(pt_import_type(importer, proto, PT_TRUST_KIND, out->element));
    out->dtype = out->element->dtype;
    return PARTITA_OK;
}

partita_status pt_import_type(pt_importer *importer, const Onnx__TypeProto *proto, pt_trust trust, pt_type *out_type) {
    pt_type type = {.rank = -1};
    switch (proto ? proto->value_case : ONNX__TYPE_PROTO__VALUE__NOT_SET) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        type.kind = PARTITA_KIND_TENSOR;
        PT_TRY(element_type(proto->tensor_type->elem_type, &type.dtype));
        PT_TRY(import_shape(importer, proto->tensor_type->shape, trust, &type));
        break;
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
        type.kind = PARTITA_KIND_SPARSE;
        PT_TRY(element_type(proto->sparse_tensor_type->elem_type, &type.dtype));
        PT_TRY(import_shape(importer, proto->sparse_tensor_type->shape, trust, &type));
        break;
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        type.kind = PARTITA_KIND_SEQUENCE;
        PT_TRY(import_element(importer, proto->sequence_type->elem_type, &type));
        break;
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        type.kind = PARTITA_KIND_OPTIONAL;
        PT_TRY(import_element(importer, proto->optional_type->elem_type, &type));
        break;
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        type.kind = PARTITA_KIND_MAP;
        PT_TRY(element_type(proto->map_type->key_type, &type.key_dtype));
        PT_TRY(import_element(importer, proto->map_type->value_type, &type));
        break;
    default: break;
    }
    *out_type = type;
    return PARTITA_OK;
}
