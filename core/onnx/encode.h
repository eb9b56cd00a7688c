/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of ONNX messages from pieces of models, in an arena. Bytes of tensors are borrowed until the message is
 * packed.
 */
#ifndef PT_ONNX_ENCODE_H
#define PT_ONNX_ENCODE_H

#include "graph/model.h"

#include <onnx/onnx-ml.pb-c.h>

/* A message of a type, and an array of pointers to `count` of them, initialised; NULL when memory is out. */
void *pt_encode_new(pt_arena *arena, const ProtobufCMessageDescriptor *type);
void *pt_encode_list(pt_arena *arena, const ProtobufCMessageDescriptor *type, size_t count);

/* A terminated copy; NULL when memory is out. */
char *pt_encode_str(pt_arena *arena, partita_str text);
/* Fills an initialised message. Strings need `offsets`. */
partita_status pt_encode_tensor(pt_arena *arena, partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                const void *data, uint64_t bytes, const uint64_t *offsets, Onnx__TensorProto *out);
partita_status pt_encode_model_tensor(pt_arena *arena, const pt_tensor *tensor, Onnx__TensorProto *out);
partita_status pt_encode_sparse_tensor(pt_arena *arena, const pt_tensor *tensor, Onnx__SparseTensorProto *out);
/* *out NULL for a type that is not known. */
partita_status pt_encode_type(pt_arena *arena, const pt_symbols *symbols, const pt_type *type, Onnx__TypeProto **out);

#endif
