/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators on strings.
 */
#include "op/infer.h"

partita_status pt_op_infer_text_normalizer(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    const pt_attribute *stopwords = pt_node_attribute(infer->node, "stopwords");
    pt_infer_tensor(infer, 0, PARTITA_STRING);
    if (in->rank < 1) return infer->status;
    pt_dim *dims = pt_infer_shape_like(infer, 0, in);
    /* Words that are dropped shorten the last dim. */
    if (stopwords && stopwords->count) dims[in->rank - 1] = PT_DIM_UNKNOWN;
    return infer->status;
}

partita_status pt_op_infer_string_split(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_tensor(infer, 0, PARTITA_STRING);
    pt_infer_tensor(infer, 1, PARTITA_INT64);
    if (in->rank < 0) return infer->status;
    pt_infer_shape_like(infer, 1, in);
    pt_dim *dims = pt_infer_rank(infer, 0, (int64_t)in->rank + 1);
    if (dims) memcpy(dims, in->dims, (size_t)in->rank * sizeof *dims);
    return infer->status;
}

partita_status pt_op_infer_tf_idf(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    const pt_attribute *indexes = pt_infer_ints(infer, "ngram_indexes");
    int64_t largest = -1;
    for (uint32_t i = 0; indexes && i < indexes->count; i++) largest = PT_MAX(largest, indexes->ints[i]);
    pt_infer_tensor(infer, 0, PARTITA_FLOAT32);
    if (largest < -1 || largest >= INT32_MAX) return pt_infer_fail(infer, "attribute 'ngram_indexes' is out of range");
    if (in->rank < 0) return infer->status;
    if (in->rank < 1 || in->rank > 2) return pt_infer_fail(infer, "an input of rank %d instead of 1 or 2", in->rank);
    pt_dim *dims = pt_infer_rank(infer, 0, in->rank);
    if (in->rank == 2) dims[0] = in->dims[0];
    dims[in->rank - 1] = largest + 1;
    return infer->status;
}
