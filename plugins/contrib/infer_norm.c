/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators whose result has the shape of their first input, normalisations and embeddings.
 */
#include "contrib/contrib.h"

partita_status contrib_infer_like(const ptp_inference *node) {
    node->output_like(node->self, 0, 0, PARTITA_UNDEFINED);
    return PARTITA_OK;
}

/* Mean and deviation: float, with the normalised dims 1. */
static void write_statistics(const ptp_inference *node, uint32_t output, const ptp_known *input, int32_t axis) {
    ptp_dim dims[PTP_MAX_RANK];
    for (int32_t i = 0; i < input->rank; i++) dims[i] = i < axis ? input->dims[i] : 1;
    node->output(node->self, output, PARTITA_FLOAT32, input->rank, dims);
}

partita_status contrib_infer_simplified_norm(const ptp_inference *node) {
    ptp_known input = ptp_input_of(node, 0), scale = ptp_input_of(node, 1);
    partita_status status = PARTITA_OK;
    node->output_like(node->self, 0, 0, scale.dtype);
    if (input.rank < 0) {
        node->output(node->self, 1, PARTITA_FLOAT32, -1, NULL);
        return PARTITA_OK;
    }
    int32_t axis = contrib_axis(node, "axis", -1, input.rank, &status);
    if (status == PARTITA_OK) write_statistics(node, 1, &input, axis);
    return status;
}

partita_status contrib_infer_skip_norm(const ptp_inference *node) {
    ptp_known input = ptp_input_of(node, 0);
    if (input.rank == 0) return contrib_fail(node, "the input is a scalar");
    node->output_like(node->self, 0, 0, PARTITA_UNDEFINED);
    write_statistics(node, 1, &input, input.rank - 1);
    write_statistics(node, 2, &input, input.rank - 1);
    node->output_like(node->self, 3, 0, PARTITA_UNDEFINED);
    return PARTITA_OK;
}

partita_status contrib_infer_bias_split_gelu(const ptp_inference *node) {
    ptp_known input = ptp_input_of(node, 0);
    ptp_dim dims[PTP_MAX_RANK];
    if (input.rank == 0) return contrib_fail(node, "the input is a scalar");
    for (int32_t i = 0; i < input.rank; i++)
        dims[i] = i + 1 < input.rank ? input.dims[i] : contrib_div(node, input.dims[i], 2);
    node->output(node->self, 0, input.dtype, input.rank, dims);
    return PARTITA_OK;
}

/* ids [batch, length] and a table [words, width] give [batch, length, width]. */
static partita_status embed(const ptp_inference *node, partita_dtype dtype) {
    ptp_known ids = ptp_input_of(node, 0), table = ptp_input_of(node, 2);
    ptp_dim dims[3] = {ptp_dim_of(&ids, 0), ptp_dim_of(&ids, 1), ptp_dim_of(&table, 1)};
    partita_status status = contrib_want(node, 0, 2);
    if (status == PARTITA_OK) status = contrib_want(node, 2, 2);
    if (status != PARTITA_OK) return status;
    node->output(node->self, 0, dtype, 3, dims);
    node->output(node->self, 1, PARTITA_INT32, 1, dims);
    node->output(node->self, 2, dtype, 3, dims);
    return PARTITA_OK;
}

partita_status contrib_infer_embed_norm(const ptp_inference *node) { return embed(node, ptp_input_of(node, 2).dtype); }
partita_status contrib_infer_quantized_embed(const ptp_inference *node) {
    return embed(node, ptp_input_of(node, 8).dtype);
}
