/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes that several operators have: those of products and of broadcasting.
 */
#include "contrib/contrib.h"

int32_t contrib_axis(const ptp_inference *node, const char *name, int64_t otherwise, int32_t rank,
                     partita_status *out_status) {
    int64_t axis = ptp_int_of(node, name, otherwise);
    char text[96];
    *out_status = PARTITA_OK;
    if (axis >= -rank && axis < rank) return (int32_t)(axis < 0 ? axis + rank : axis);
    snprintf(text, sizeof text, "%s %lld is out of range for rank %d", name, (long long)axis, rank);
    *out_status = contrib_fail(node, text);
    return -1;
}

int32_t contrib_broadcast(const ptp_inference *node, const ptp_known *a, const ptp_known *b, ptp_dim *out_dims) {
    if (a->rank < 0 || b->rank < 0) return -1;
    int32_t rank = a->rank > b->rank ? a->rank : b->rank;
    for (int32_t i = 0; i < rank; i++) {
        ptp_dim x = i < rank - a->rank ? 1 : a->dims[i - (rank - a->rank)];
        ptp_dim y = i < rank - b->rank ? 1 : b->dims[i - (rank - b->rank)];
        out_dims[i] = ptp_apply(node, PTP_DIM_BROADCAST, x, y);
    }
    return rank;
}

partita_status contrib_matmul(const ptp_inference *node, const ptp_known *a, const ptp_known *b, partita_dtype dtype) {
    ptp_dim dims[PTP_MAX_RANK + 2], rows[2] = {1, 0}, columns[2] = {0, 1};
    ptp_known left = *a, right = *b;
    node->output(node->self, 0, dtype, -1, NULL);
    if (a->rank < 0 || b->rank < 0) return PARTITA_OK;
    if (a->rank == 0 || b->rank == 0) return contrib_fail(node, "an operand of the product is a scalar");
    if (a->rank == 1) { /* a row, whose dim goes again */
        rows[1] = a->dims[0];
        left.rank = 2;
        left.dims = rows;
    }
    if (b->rank == 1) {
        columns[0] = b->dims[0];
        right.rank = 2;
        right.dims = columns;
    }
    (void)ptp_apply(node, PTP_DIM_SAME, ptp_dim_of(&left, -1), ptp_dim_of(&right, -2));
    ptp_dim row = ptp_dim_of(&left, -2), column = ptp_dim_of(&right, -1);
    left.rank -= 2;
    right.rank -= 2;
    int32_t rank = contrib_broadcast(node, &left, &right, dims);
    if (a->rank > 1) dims[rank++] = row;
    if (b->rank > 1) dims[rank++] = column;
    node->output(node->self, 0, dtype, rank, dims);
    return PARTITA_OK;
}
