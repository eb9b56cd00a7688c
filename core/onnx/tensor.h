/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors of ONNX files in every encoding, as weights. The TensorProto comes out of a skeleton (scan.h): its raw_data
 * is a reference into the file.
 */
#ifndef PT_ONNX_TENSOR_H
#define PT_ONNX_TENSOR_H

#include "graph/model.h"
#include "onnx/external.h"

#include <onnx/onnx-ml.pb-c.h>

/* Where the bytes of tensors come from. */
typedef struct pt_onnx_origin {
    pt_mapping *mapping;  /* of the file that was scanned */
    pt_onnx_files *files; /* of external data */
    uint64_t *left;       /* what the budget has left for data that must be converted */
    uint64_t copied;      /* bytes copied because they lie unaligned */
} pt_onnx_origin;

typedef struct pt_onnx_data {
    partita_dtype dtype;
    uint32_t rank;
    const int64_t *dims; /* borrowed from the TensorProto */
    uint64_t count;
    pt_weight *weight; /* a reference of the caller's */
    uint64_t *offsets; /* of strings, in the arena */
} pt_onnx_data;

partita_status pt_onnx_decode(pt_onnx_origin *origin, const Onnx__TensorProto *proto, pt_arena *arena,
                              pt_onnx_data *out_data);
/* As tensors of a model. Messages do not name the tensor. */
partita_status pt_onnx_tensor(pt_model *model, pt_onnx_origin *origin, const Onnx__TensorProto *proto,
                              pt_tensor **out_tensor);
partita_status pt_onnx_sparse_tensor(pt_model *model, pt_onnx_origin *origin, const Onnx__SparseTensorProto *proto,
                                     pt_tensor **out_tensor);

static inline partita_str pt_onnx_str(const char *text) { return text ? pt_str(text) : PT_STR(""); }

#endif
