/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts.
 */
#include "contrib/contrib.h"

/* [C] or [N, C] texts give [C, D] or [N, C, D], where D is the largest number of pieces. */
partita_status contrib_infer_tokenizer(const ptp_inference *node) {
    ptp_known input = ptp_input_of(node, 0);
    ptp_dim dims[3];
    if (input.rank >= 0 && input.rank != 1 && input.rank != 2)
        return contrib_fail(node, "the input has neither rank 1 nor 2");
    for (int32_t i = 0; i < input.rank; i++) dims[i] = input.dims[i];
    if (input.rank > 0) dims[input.rank] = PTP_DIM_UNKNOWN;
    node->output(node->self, 0, PARTITA_STRING, input.rank < 0 ? -1 : input.rank + 1, dims);
    return PARTITA_OK;
}

/* Hashes of 32 bits, of whatever shape. */
partita_status contrib_infer_hash(const ptp_inference *node) {
    node->output_like(node->self, 0, 0, ptp_int_of(node, "positive", 1) != 0 ? PARTITA_UINT32 : PARTITA_INT32);
    return PARTITA_OK;
}
