/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantization.
 */
#include "op/infer.h"

static partita_dtype output_dtype(const pt_infer *infer) {
    int64_t number = pt_node_int(infer->node, "output_dtype", 0);
    return number > 0 && number < PARTITA_DTYPE_COUNT ? (partita_dtype)number : PARTITA_UNDEFINED;
}

partita_status pt_op_infer_quantize(pt_infer *infer) {
    partita_dtype dtype = pt_infer_in(infer, 2)->dtype, wanted = output_dtype(infer);
    if (wanted && dtype && wanted != dtype) {
        return pt_infer_fail(infer, "attribute 'output_dtype' is %s, the zero point %s", pt_dtype_name(wanted),
                             pt_dtype_name(dtype));
    }
    if (!dtype) dtype = wanted;
    pt_infer_tensor(infer, 0, dtype ? dtype : PARTITA_UINT8);
    pt_infer_shape_like(infer, 0, pt_infer_in(infer, 0));
    return infer->status;
}

partita_status pt_op_infer_dequantize(pt_infer *infer) {
    const pt_infer_value *scale = pt_infer_in(infer, 1), *zero = pt_infer_in(infer, 2), *in = pt_infer_in(infer, 0);
    partita_dtype wanted = output_dtype(infer);
    if (zero->dtype && in->dtype && zero->dtype != in->dtype) {
        return pt_infer_fail(infer, "a zero point of %s for an input of %s", pt_dtype_name(zero->dtype),
                             pt_dtype_name(in->dtype));
    }
    pt_infer_tensor(infer, 0, wanted ? wanted : scale->dtype);
    pt_infer_shape_like(infer, 0, in);
    return infer->status;
}

partita_status pt_op_infer_dynamic_quantize(pt_infer *infer) {
    pt_infer_tensor(infer, 0, PARTITA_UINT8);
    pt_infer_shape_like(infer, 0, pt_infer_in(infer, 0));
    pt_infer_tensor(infer, 1, PARTITA_FLOAT32)->rank = 0;
    pt_infer_tensor(infer, 2, PARTITA_UINT8)->rank = 0;
    return infer->status;
}
