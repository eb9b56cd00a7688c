/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of an operator's bodies computes a node, in the order of bodies.txt; PARTITA_NONE where none does.
 */
#include "contrib/contrib.h"

static partita_status choose(uint32_t *out_body, uint32_t body) {
    *out_body = body;
    return PARTITA_OK;
}

partita_status contrib_choose_only(const ptp_inference *node, uint32_t *out_body) {
    (void)node;
    return choose(out_body, 0);
}

/* The second one adds the bias, where there is one. */
static partita_status by_bias(const ptp_inference *node, uint32_t bias, uint32_t *out_body) {
    return choose(out_body, ptp_input_of(node, bias).present ? 1 : 0);
}
partita_status contrib_choose_bias_1(const ptp_inference *node, uint32_t *out) { return by_bias(node, 1, out); }
partita_status contrib_choose_bias_3(const ptp_inference *node, uint32_t *out) { return by_bias(node, 3, out); }
partita_status contrib_choose_bias_4(const ptp_inference *node, uint32_t *out) { return by_bias(node, 4, out); }
partita_status contrib_choose_bias_6(const ptp_inference *node, uint32_t *out) { return by_bias(node, 6, out); }

/* QuantizeLinear without a zero point gives unsigned bytes. */
static partita_status by_zero_point(const ptp_inference *node, uint32_t zero_point, uint32_t *out_body) {
    bool fits = ptp_input_of(node, zero_point).present || ptp_input_of(node, 0).dtype == PARTITA_UINT8;
    return choose(out_body, fits ? 0 : PARTITA_NONE);
}
partita_status contrib_choose_zero_4(const ptp_inference *node, uint32_t *out) { return by_zero_point(node, 4, out); }
partita_status contrib_choose_zero_7(const ptp_inference *node, uint32_t *out) { return by_zero_point(node, 7, out); }

/* One body for each of 1 to 3 spatial dims. */
partita_status contrib_choose_spatial(const ptp_inference *node, uint32_t *out_body) {
    int32_t rank = ptp_input_of(node, 0).rank;
    return choose(out_body, rank >= 3 && rank <= 5 ? (uint32_t)(rank - 3) : PARTITA_NONE);
}

/* As it is, or turned there and back. */
partita_status contrib_choose_quantized_conv(const ptp_inference *node, uint32_t *out_body) {
    if (!ptp_int_of(node, "channels_last", 0)) return choose(out_body, 0);
    partita_status status = contrib_choose_spatial(node, out_body);
    if (*out_body != PARTITA_NONE) ++*out_body;
    return status;
}

partita_status contrib_choose_group_norm(const ptp_inference *node, uint32_t *out_body) {
    int64_t activation = ptp_int_of(node, "activation", 0);
    uint32_t first = ptp_int_of(node, "channels_last", 1) ? 0 : 2;
    bool fits = ptp_input_of(node, 0).rank == 4 && (activation == 0 || activation == 1);
    return choose(out_body, fits ? (uint32_t)activation + first : PARTITA_NONE);
}

partita_status contrib_choose_last_axis(const ptp_inference *node, uint32_t *out_body) {
    int64_t axis = ptp_int_of(node, "axis", -1);
    int32_t rank = ptp_input_of(node, 0).rank;
    bool fits = (axis == -1 || (rank > 0 && axis == rank - 1)) && ptp_int_of(node, "stash_type", 1) == 1;
    return choose(out_body, fits ? 0 : PARTITA_NONE);
}

/* How an operand lies: bit 0 its last two dims are swapped, bit 1 its first dim stands before the last. */
static uint32_t turned(const ptp_inference *node, const char *trans, const char *batch) {
    return (ptp_int_of(node, trans, 0) != 0) + 2u * (ptp_int_of(node, batch, 0) != 0);
}

partita_status contrib_choose_fused_matmul(const ptp_inference *node, uint32_t *out_body) {
    uint32_t a = turned(node, "transA", "transBatchA"), b = turned(node, "transB", "transBatchB");
    bool vectors = (a && ptp_input_of(node, 0).rank < 2) || (b && ptp_input_of(node, 1).rank < 2);
    return choose(out_body, vectors ? PARTITA_NONE : a + 4 * b);
}

partita_status contrib_choose_activation(const ptp_inference *node, uint32_t *out_body) {
    static const char *const names[] = {"", "Relu", "LeakyRelu", "Sigmoid", "Tanh"};
    ptp_argument activation = ptp_argument_of(node, "activation");
    partita_str text = activation.type == PTP_ATTRIBUTE_STRING ? activation.s : (partita_str){"", 0};
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == text.size && memcmp(names[i], text.size ? text.data : "", text.size) == 0)
            return choose(out_body, i);
    }
    return choose(out_body, PARTITA_NONE);
}

partita_status contrib_choose_softmax(const ptp_inference *node, uint32_t *out_body) {
    return choose(out_body, ptp_int_of(node, "opset", 13) < 13 ? 0 : 1);
}

partita_status contrib_choose_channels_first(const ptp_inference *node, uint32_t *out_body) {
    return choose(out_body, ptp_int_of(node, "channels_last", 0) ? PARTITA_NONE : 0);
}

partita_status contrib_choose_crop(const ptp_inference *node, uint32_t *out_body) {
    return choose(out_body, ptp_argument_of(node, "scale").count != 0);
}

partita_status contrib_choose_metric(const ptp_inference *node, uint32_t *out_body) {
    ptp_argument metric = ptp_argument_of(node, "metric");
    bool root = metric.s.size == 9 && memcmp(metric.s.data, "euclidean", 9) == 0;
    bool square = metric.s.size == 11 && memcmp(metric.s.data, "sqeuclidean", 11) == 0;
    return choose(out_body, square ? 0 : root ? 1 : PARTITA_NONE);
}
