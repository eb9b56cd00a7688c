/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recurrent layers: RNN, GRU, LSTM.
 */
#include "op/infer.h"

partita_status pt_op_infer_rnn(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *recurrence = pt_infer_in(infer, 2);
    bool batch_first = pt_node_int(infer->node, "layout", 0) != 0;
    pt_dim directions = pt_infer_string_is(infer, "direction", "bidirectional") ? 2 : 1, hidden = PT_DIM_UNKNOWN;
    for (uint32_t i = 0; i < 3; i++) pt_infer_tensor(infer, i, in->dtype);
    if (in->rank >= 0 && in->rank != 3) return pt_infer_fail(infer, "an input of rank %d instead of 3", in->rank);
    const pt_attribute *attribute = pt_node_attribute(infer->node, "hidden_size");
    if (attribute) hidden = pt_infer_number(infer, attribute->i);
    if (!attribute && recurrence->rank == 3) hidden = recurrence->dims[2];
    pt_dim time = in->rank == 3 ? in->dims[batch_first ? 1 : 0] : PT_DIM_UNKNOWN;
    pt_dim batch = in->rank == 3 ? in->dims[batch_first ? 0 : 1] : PT_DIM_UNKNOWN;
    pt_dim *y = pt_infer_rank(infer, 0, 4);
    y[0] = batch_first ? batch : time;
    y[1] = batch_first ? time : directions;
    y[2] = batch_first ? directions : batch;
    y[3] = hidden;
    for (uint32_t i = 1; i < 3; i++) {
        pt_dim *state = pt_infer_rank(infer, i, 3);
        state[0] = batch_first ? batch : directions;
        state[1] = batch_first ? directions : batch;
        state[2] = hidden;
    }
    return infer->status;
}
