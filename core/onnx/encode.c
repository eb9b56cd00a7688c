/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors and types as ONNX messages. All memory is the arena's; protobuf-c only packs.
 */
#include "onnx/encode.h"

#include <string.h>

void *pt_encode_new(pt_arena *arena, const ProtobufCMessageDescriptor *type) {
    void *message = pt_arena_alloc(arena, type->sizeof_message);
    if (message) protobuf_c_message_init(type, message);
    return message;
}

void *pt_encode_list(pt_arena *arena, const ProtobufCMessageDescriptor *type, size_t count) {
    void **list = pt_arena_array(arena, count, sizeof *list);
    for (size_t i = 0; list && i < count; i++) {
        list[i] = pt_encode_new(arena, type);
        if (!list[i]) return NULL;
    }
    return list;
}

char *pt_encode_str(pt_arena *arena, partita_str text) {
    /* The arena's bytes are ours to hand on as protobuf-c's char *. */
    union {
        const char *from;
        char *to;
    } copy = {pt_arena_str(arena, text).data};
    return copy.to;
}

/* protobuf-c's structs have no const, though packing only reads. */
static void *borrow(const void *data) {
    union {
        const void *from;
        void *to;
    } bytes = {data};
    return bytes.to;
}

partita_status pt_encode_tensor(pt_arena *arena, partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                const void *data, uint64_t bytes, const uint64_t *offsets, Onnx__TensorProto *out) {
    uint64_t count;
    out->has_data_type = true;
    out->data_type = (int32_t)dtype;
    out->n_dims = rank;
    out->dims = borrow(dims);
    if (dtype != PARTITA_STRING) {
        out->has_raw_data = true;
        out->raw_data = (ProtobufCBinaryData){(size_t)bytes, borrow(data)};
        return PARTITA_OK;
    }
    if (!pt_dims_count(dims, rank, &count)) return pt_fail(PARTITA_INVALID_ARGUMENT, "dims of strings are too large");
    out->n_string_data = (size_t)count;
    out->string_data = pt_arena_array(arena, (size_t)count, sizeof *out->string_data);
    if (!out->string_data) return PT_OUT_OF_MEMORY();
    for (uint64_t i = 0; i < count; i++) {
        out->string_data[i].len = (size_t)(offsets[i + 1] - offsets[i]);
        out->string_data[i].data = borrow((const char *)data + offsets[i]);
    }
    return PARTITA_OK;
}

/* Bytes that are made for this, kept by the arena. */
static partita_status encode_recipe(pt_arena *arena, const pt_tensor *tensor, Onnx__TensorProto *out) {
    const void *data;
    pt_weight *weight = tensor->weight;
    PT_TRY(pt_weight_align(weight, 1, &data, NULL));
    void *copy = pt_arena_alloc(arena, (size_t)weight->bytes);
    if (copy) memcpy(copy, data, (size_t)weight->bytes);
    pt_weight_unalign(weight, data);
    if (!copy) return PT_OUT_OF_MEMORY();
    return pt_encode_tensor(arena, tensor->dtype, tensor->rank, tensor->dims, copy, weight->bytes, NULL, out);
}

partita_status pt_encode_model_tensor(pt_arena *arena, const pt_tensor *tensor, Onnx__TensorProto *out) {
    if (tensor->weight->recipe) return encode_recipe(arena, tensor, out);
    return pt_encode_tensor(arena, tensor->dtype, tensor->rank, tensor->dims, tensor->weight->data,
                            tensor->weight->bytes, tensor->offsets, out);
}

partita_status pt_encode_sparse_tensor(pt_arena *arena, const pt_tensor *tensor, Onnx__SparseTensorProto *out) {
    Onnx__TensorProto **parts = pt_encode_list(arena, &onnx__tensor_proto__descriptor, 2);
    int64_t *count = pt_arena_alloc(arena, sizeof *count);
    if (!parts || !count) return PT_OUT_OF_MEMORY();
    *count = (int64_t)tensor->sparse_nnz;
    out->values = parts[0];
    out->indices = parts[1];
    out->n_dims = tensor->rank;
    out->dims = borrow(tensor->dims);
    PT_TRY(pt_encode_tensor(arena, tensor->dtype, 1, count, tensor->weight->data, tensor->weight->bytes, NULL,
                            out->values));
    return pt_encode_model_tensor(arena, tensor->sparse_indices, out->indices);
}

/* ---- types ----------------------------------------------------------------------------------- */

static partita_status encode_dim(pt_arena *arena, const pt_symbols *symbols, pt_dim dim,
                                 Onnx__TensorShapeProto__Dimension *out) {
    int64_t value;
    pt_text text = {0};
    if (pt_dim_value(symbols, dim, &value)) {
        out->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        out->dim_value = value;
        return PARTITA_OK;
    }
    pt_dim_print(symbols, dim, &text);
    out->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    out->dim_param = text.failed ? NULL : pt_encode_str(arena, (partita_str){text.data, text.size});
    pt_text_deinit(&text);
    return out->dim_param ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status encode_shape(pt_arena *arena, const pt_symbols *symbols, const pt_type *type,
                                   Onnx__TensorShapeProto **out) {
    if (type->rank < 0) return PARTITA_OK;
    size_t rank = (size_t)type->rank;
    Onnx__TensorShapeProto *shape = pt_encode_new(arena, &onnx__tensor_shape_proto__descriptor);
    if (!shape) return PT_OUT_OF_MEMORY();
    shape->n_dim = rank;
    shape->dim = pt_encode_list(arena, &onnx__tensor_shape_proto__dimension__descriptor, rank);
    if (!shape->dim) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < rank; i++) PT_TRY(encode_dim(arena, symbols, type->dims[i], shape->dim[i]));
    *out = shape;
    return PARTITA_OK;
}

/* The type of a map's values where it is a tensor without element type of its own. */
static partita_status encode_value_type(pt_arena *arena, const pt_symbols *symbols, const pt_type *type,
                                        Onnx__TypeProto **out) {
    pt_type scalar = {.kind = PARTITA_KIND_TENSOR, .dtype = type->dtype, .rank = -1};
    return pt_encode_type(arena, symbols, type->element ? type->element : &scalar, out);
}

partita_status pt_encode_type(pt_arena *arena, const pt_symbols *symbols, const pt_type *type, Onnx__TypeProto **out) {
    Onnx__TypeProto *proto;
    *out = NULL;
    if (type->kind == PARTITA_KIND_NONE) return PARTITA_OK;
    proto = pt_encode_new(arena, &onnx__type_proto__descriptor);
    if (!proto) return PT_OUT_OF_MEMORY();
    switch (type->kind) {
    case PARTITA_KIND_TENSOR:
        proto->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
        proto->tensor_type = pt_encode_new(arena, &onnx__type_proto__tensor__descriptor);
        if (!proto->tensor_type) return PT_OUT_OF_MEMORY();
        proto->tensor_type->has_elem_type = true;
        proto->tensor_type->elem_type = (int32_t)type->dtype;
        PT_TRY(encode_shape(arena, symbols, type, &proto->tensor_type->shape));
        break;
    case PARTITA_KIND_SPARSE:
        proto->value_case = ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE;
        proto->sparse_tensor_type = pt_encode_new(arena, &onnx__type_proto__sparse_tensor__descriptor);
        if (!proto->sparse_tensor_type) return PT_OUT_OF_MEMORY();
        proto->sparse_tensor_type->has_elem_type = true;
        proto->sparse_tensor_type->elem_type = (int32_t)type->dtype;
        PT_TRY(encode_shape(arena, symbols, type, &proto->sparse_tensor_type->shape));
        break;
    case PARTITA_KIND_SEQUENCE:
        proto->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
        proto->sequence_type = pt_encode_new(arena, &onnx__type_proto__sequence__descriptor);
        if (!proto->sequence_type) return PT_OUT_OF_MEMORY();
        PT_TRY(encode_value_type(arena, symbols, type, &proto->sequence_type->elem_type));
        break;
    case PARTITA_KIND_OPTIONAL:
        proto->value_case = ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
        proto->optional_type = pt_encode_new(arena, &onnx__type_proto__optional__descriptor);
        if (!proto->optional_type) return PT_OUT_OF_MEMORY();
        PT_TRY(encode_value_type(arena, symbols, type, &proto->optional_type->elem_type));
        break;
    default:
        proto->value_case = ONNX__TYPE_PROTO__VALUE_MAP_TYPE;
        proto->map_type = pt_encode_new(arena, &onnx__type_proto__map__descriptor);
        if (!proto->map_type) return PT_OUT_OF_MEMORY();
        proto->map_type->has_key_type = true;
        proto->map_type->key_type = (int32_t)type->key_dtype;
        PT_TRY(encode_value_type(arena, symbols, type, &proto->map_type->value_type));
        break;
    }
    *out = proto;
    return PARTITA_OK;
}
