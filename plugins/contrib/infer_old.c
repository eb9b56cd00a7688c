/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that ONNX had on trial and gave up with opset 10; converters of Core ML and Windows' models wrote them.
 */
#include "contrib/contrib.h"

/* [N, C, H, W] less the border: left, top, right and bottom; with a scale, that height and width behind left and top.
 */
partita_status contrib_infer_crop(const ptp_inference *node) {
    ptp_known input = ptp_input_of(node, 0);
    ptp_argument border = ptp_argument_of(node, "border"), scale = ptp_argument_of(node, "scale");
    partita_status status = contrib_want(node, 0, 4);
    if (status != PARTITA_OK) return status;
    if (border.count != 4) return contrib_fail(node, "border has not 4 entries");
    if (scale.count != 0 && scale.count != 2) return contrib_fail(node, "scale has not 2 entries");
    ptp_dim dims[4] = {ptp_dim_of(&input, 0), ptp_dim_of(&input, 1)};
    for (int i = 0; i < 2; i++) {
        int64_t before = border.ints[1 - i], behind = border.ints[3 - i];
        if (before < 0 || behind < 0 || (scale.count == 2 && scale.ints[i] < 0))
            return contrib_fail(node, "border or scale is negative");
        if (input.rank < 0)
            dims[2 + i] = PTP_DIM_UNKNOWN;
        else if (scale.count == 2)
            dims[2 + i] = scale.ints[i];
        else
            dims[2 + i] = ptp_apply(node, PTP_DIM_SUB, ptp_apply(node, PTP_DIM_SUB, input.dims[2 + i], before), behind);
    }
    node->output(node->self, 0, input.dtype, 4, dims);
    return PARTITA_OK;
}

/* A bias a channel. */
partita_status contrib_infer_image_scaler(const ptp_inference *node) {
    ptp_known input = ptp_input_of(node, 0);
    ptp_argument bias = ptp_argument_of(node, "bias");
    partita_status status = contrib_want(node, 0, 4);
    if (status != PARTITA_OK) return status;
    if (bias.count != 1 && input.rank > 0)
        (void)ptp_apply(node, PTP_DIM_SAME, ptp_dim_of(&input, 1), (ptp_dim)bias.count);
    node->output_like(node->self, 0, 0, PARTITA_UNDEFINED);
    return PARTITA_OK;
}
