/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantised operators: each value comes with its scale and zero point.
 */
#include "contrib/contrib.h"

partita_status contrib_infer_quantize(const ptp_inference *node) {
    ptp_known zero = ptp_input_of(node, 2);
    node->output_like(node->self, 0, 0, zero.present ? zero.dtype : PARTITA_UINT8);
    return PARTITA_OK;
}

partita_status contrib_infer_dequantize(const ptp_inference *node) {
    node->output_like(node->self, 0, 0, ptp_input_of(node, 1).dtype);
    return PARTITA_OK;
}

/* A and B are inputs 0 and 3. */
partita_status contrib_infer_quantized_pair(const ptp_inference *node) {
    ptp_known a = ptp_input_of(node, 0), b = ptp_input_of(node, 3);
    ptp_dim dims[PTP_MAX_RANK];
    int32_t rank = contrib_broadcast(node, &a, &b, dims);
    node->output(node->self, 0, a.dtype, rank, dims);
    return PARTITA_OK;
}

partita_status contrib_infer_quantized_where(const ptp_inference *node) {
    ptp_known condition = ptp_input_of(node, 0), x = ptp_input_of(node, 1), y = ptp_input_of(node, 4), both = x;
    ptp_dim inner[PTP_MAX_RANK], dims[PTP_MAX_RANK];
    both.rank = contrib_broadcast(node, &x, &y, inner);
    both.dims = inner;
    int32_t rank = both.rank < 0 ? -1 : contrib_broadcast(node, &condition, &both, dims);
    node->output(node->self, 0, x.dtype, rank, dims);
    return PARTITA_OK;
}

/* Scale and zero point of the result, then values with theirs. */
partita_status contrib_infer_quantized_concat(const ptp_inference *node) {
    enum { FIRST = 2, EACH = 3 };
    ptp_known first = ptp_input_of(node, FIRST);
    partita_dtype dtype = ptp_input_of(node, 1).dtype;
    ptp_dim dims[PTP_MAX_RANK];
    partita_status status;
    if (node->input_count < FIRST + EACH || (node->input_count - FIRST) % EACH)
        return contrib_fail(node, "the inputs are not scale and zero point, then values with theirs");
    node->output(node->self, 0, dtype, -1, NULL);
    if (first.rank < 0) return PARTITA_OK;
    int32_t axis = contrib_axis(node, "axis", 0, first.rank, &status);
    if (status != PARTITA_OK) return status;
    for (int32_t i = 0; i < first.rank; i++) dims[i] = first.dims[i];
    for (uint32_t k = FIRST + EACH; k < node->input_count; k += EACH) {
        ptp_known next = ptp_input_of(node, k);
        status = contrib_want(node, k, first.rank);
        if (status != PARTITA_OK) return status;
        for (int32_t i = 0; i < first.rank; i++)
            dims[i] = ptp_apply(node, i == axis ? PTP_DIM_ADD : PTP_DIM_SAME, dims[i], ptp_dim_of(&next, i));
    }
    node->output(node->self, 0, dtype, first.rank, dims);
    return PARTITA_OK;
}

/* As LSTM, but for the weights, which lie turned: W [directions, width, 4 hidden], R [directions, hidden, 4 hidden]. */
partita_status contrib_infer_quantized_lstm(const ptp_inference *node) {
    ptp_known x = ptp_input_of(node, 0), r = ptp_input_of(node, 2);
    ptp_argument direction = ptp_argument_of(node, "direction");
    int64_t hidden;
    partita_status status = contrib_want(node, 0, 3);
    if (status == PARTITA_OK) status = contrib_want(node, 2, 3);
    if (status != PARTITA_OK) return status;
    bool both = direction.type == PTP_ATTRIBUTE_STRING && direction.s.size == strlen("bidirectional") &&
                memcmp(direction.s.data, "bidirectional", direction.s.size) == 0;
    ptp_dim ways = both ? 2 : 1;
    ptp_dim width = contrib_positive(node, "hidden_size", &hidden) ? hidden : ptp_dim_of(&r, 1);
    ptp_dim steps[4] = {ptp_dim_of(&x, 0), ways, ptp_dim_of(&x, 1), width}, last[3] = {ways, steps[2], width};
    node->output(node->self, 0, x.dtype, 4, steps);
    node->output(node->self, 1, x.dtype, 3, last);
    node->output(node->self, 2, x.dtype, 3, last);
    return PARTITA_OK;
}

/* How many numbers an element of the data holds: bytes may hold several narrow ones. */
static int64_t numbers_per_element(const ptp_inference *node, partita_dtype dtype) {
    int64_t bits = ptp_int_of(node, "bits", 4);
    return dtype == PARTITA_UINT8 && bits > 0 && bits < 8 ? 8 / bits : 1;
}

/* As Gather: the indices' dims take the place of the gathered one. */
partita_status contrib_infer_gather_blocks(const ptp_inference *node) {
    ptp_known data = ptp_input_of(node, 0), indices = ptp_input_of(node, 1), scales = ptp_input_of(node, 2);
    ptp_dim dims[2 * PTP_MAX_RANK];
    partita_status status;
    int32_t rank = 0;
    node->output(node->self, 0, scales.dtype, -1, NULL);
    if (data.rank < 0 || indices.rank < 0) return PARTITA_OK;
    int32_t gathered = contrib_axis(node, "gather_axis", 0, data.rank, &status);
    if (status != PARTITA_OK) return status;
    int32_t blocks = contrib_axis(node, "quantize_axis", 1, data.rank, &status);
    if (status != PARTITA_OK) return status;
    for (int32_t i = 0; i < data.rank; i++) {
        for (int32_t k = 0; i == gathered && k < indices.rank; k++) dims[rank++] = indices.dims[k];
        if (i == gathered) continue;
        dims[rank++] =
            i == blocks ? contrib_mul(node, data.dims[i], numbers_per_element(node, data.dtype)) : data.dims[i];
    }
    if (rank > PTP_MAX_RANK) return contrib_fail(node, "the result has more than 16 dims");
    node->output(node->self, 0, scales.dtype, rank, dims);
    return PARTITA_OK;
}
