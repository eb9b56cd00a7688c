/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention in its forms: what they put out, and the cache of keys and values that they hand on.
 */
#include "contrib/contrib.h"

/* The cache as one tensor of keys and values: [2, batch, heads, past + length, head]. */
static partita_status write_present(const ptp_inference *node, uint32_t past_input, const ptp_known *input,
                                    ptp_dim width) {
    ptp_known past = ptp_input_of(node, past_input);
    int64_t heads;
    if (!contrib_positive(node, "num_heads", &heads)) return contrib_fail(node, "num_heads must be positive");
    partita_status status = contrib_want(node, past_input, 5);
    if (status != PARTITA_OK) return status;
    ptp_dim length = ptp_dim_of(input, 1);
    if (past.present && ptp_int_of(node, "past_present_share_buffer", 0)) {
        length = ptp_dim_of(&past, 3);
    } else if (past.present) {
        length = contrib_add(node, ptp_dim_of(&past, 3), length);
    }
    ptp_dim dims[5] = {2, ptp_dim_of(input, 0), heads, length, contrib_div(node, width, heads)};
    if (past.rank == 5) dims[4] = past.dims[4];
    node->output(node->self, 1, input->dtype, 5, dims);
    return PARTITA_OK;
}

/* Width of the result where weights or bias hold queries, keys and values beside each other. */
static ptp_dim value_width(const ptp_inference *node, uint32_t weights, uint32_t bias) {
    ptp_argument sizes = ptp_argument_of(node, "qkv_hidden_sizes");
    ptp_known matrix = ptp_input_of(node, weights), offsets = ptp_input_of(node, bias);
    if (sizes.type == PTP_ATTRIBUTE_INTS && sizes.count == 3 && sizes.ints[2] > 0) return sizes.ints[2];
    ptp_dim all = ptp_dim_of(&matrix, 1);
    return contrib_div(node, all != PTP_DIM_UNKNOWN ? all : ptp_dim_of(&offsets, 0), 3);
}

static partita_status packed_attention(const ptp_inference *node, partita_dtype dtype, uint32_t past) {
    ptp_known input = ptp_input_of(node, 0);
    partita_status status = contrib_want(node, 0, 3);
    if (status == PARTITA_OK) status = contrib_want(node, 1, 2);
    if (status == PARTITA_OK) status = contrib_want(node, 2, 1);
    if (status != PARTITA_OK) return status;
    ptp_dim dims[3] = {ptp_dim_of(&input, 0), ptp_dim_of(&input, 1), value_width(node, 1, 2)};
    node->output(node->self, 0, dtype, 3, dims);
    input.dtype = dtype;
    return write_present(node, past, &input, dims[2]);
}

partita_status contrib_infer_attention(const ptp_inference *node) {
    return packed_attention(node, ptp_input_of(node, 0).dtype, 4);
}
partita_status contrib_infer_quantized_attention(const ptp_inference *node) {
    return packed_attention(node, ptp_input_of(node, 3).dtype, 8);
}

/* ---- separate queries, keys and values ------------------------------------------------------- */

/* Where keys and values come from, by the inputs' ranks. */
typedef struct source {
    ptp_dim length;      /* of the keys */
    ptp_dim head;        /* width of a head of keys */
    ptp_dim value_head;  /* of values */
    ptp_dim value_width; /* of all heads */
} source;

static source find_source(const ptp_inference *node, int64_t heads) {
    ptp_known query = ptp_input_of(node, 0), key = ptp_input_of(node, 1), value = ptp_input_of(node, 2);
    source s = {PTP_DIM_UNKNOWN, PTP_DIM_UNKNOWN, PTP_DIM_UNKNOWN, PTP_DIM_UNKNOWN};
    if (query.rank == 5) { /* [batch, length, heads, 3, head] */
        s.length = ptp_dim_of(&query, 1);
        s.head = s.value_head = ptp_dim_of(&query, 4);
    } else if (key.rank == 5) { /* [batch, length, heads, 2, head] */
        s.length = ptp_dim_of(&key, 1);
        s.head = s.value_head = ptp_dim_of(&key, 4);
    } else if (key.rank == 4) { /* [batch, heads, length, head] */
        s.length = ptp_dim_of(&key, 2);
        s.head = ptp_dim_of(&key, 3);
        s.value_head = value.rank == 4 ? ptp_dim_of(&value, 3) : PTP_DIM_UNKNOWN;
    } else if (key.rank == 3) { /* [batch, length, width] */
        s.length = ptp_dim_of(&key, 1);
        s.head = contrib_div(node, ptp_dim_of(&key, 2), heads);
        s.value_width = ptp_dim_of(&value, 2);
        s.value_head = contrib_div(node, s.value_width, heads);
    } else if (!key.present && query.rank == 3) { /* keys and values are the queries' own */
        s.length = ptp_dim_of(&query, 1);
        s.head = s.value_head = contrib_div(node, ptp_dim_of(&query, 2), heads);
    }
    if (s.value_width == PTP_DIM_UNKNOWN) s.value_width = contrib_mul(node, s.value_head, heads);
    return s;
}

partita_status contrib_infer_heads_attention(const ptp_inference *node) {
    ptp_known query = ptp_input_of(node, 0), past_key = ptp_input_of(node, 6), past_value = ptp_input_of(node, 7);
    int64_t heads;
    if (!contrib_positive(node, "num_heads", &heads)) return contrib_fail(node, "num_heads must be positive");
    if (query.rank >= 0 && query.rank != 3 && query.rank != 5)
        return contrib_fail(node, "the query has neither rank 3 nor 5");
    partita_status status = contrib_want(node, 6, 4);
    if (status == PARTITA_OK) status = contrib_want(node, 7, 4);
    if (status != PARTITA_OK) return status;
    source s = find_source(node, heads);
    ptp_dim batch = ptp_dim_of(&query, 0), length = ptp_dim_of(&query, 1), total = s.length;
    if (past_key.present && ptp_input_of(node, 8).present) {
        total = ptp_dim_of(&past_key, 2); /* one buffer for past and present */
    } else if (past_key.present) {
        total = contrib_add(node, ptp_dim_of(&past_key, 2), s.length);
    }
    ptp_dim out[3] = {batch, length, s.value_width};
    ptp_dim keys[4] = {batch, heads, total, s.head}, values[4] = {batch, heads, total, s.value_head};
    ptp_dim scores[4] = {batch, heads, length, total};
    if (past_key.rank == 4 && keys[3] == PTP_DIM_UNKNOWN) keys[3] = past_key.dims[3];
    if (past_value.rank == 4 && values[3] == PTP_DIM_UNKNOWN) values[3] = past_value.dims[3];
    node->output(node->self, 0, query.dtype, 3, out);
    node->output(node->self, 1, query.dtype, 4, keys);
    node->output(node->self, 2, query.dtype, 4, values);
    node->output(node->self, 3, query.dtype, 4, scores);
    return PARTITA_OK;
}

/* ---- grouped queries ------------------------------------------------------------------------- */

/* [batch, groups, length, head]: of the past as far as it goes, else of the keys. */
static partita_status write_cache(const ptp_inference *node, uint32_t output, uint32_t past_input, int64_t groups,
                                  ptp_dim head) {
    ptp_known query = ptp_input_of(node, 0), past = ptp_input_of(node, past_input), total = ptp_input_of(node, 6);
    partita_status status = contrib_want(node, past_input, 4);
    if (status != PARTITA_OK) return status;
    ptp_dim length = total.elements && total.element_count == 1 ? total.elements[0] : PTP_DIM_UNKNOWN;
    if (past.present && ptp_int_of(node, "sliding_window_cache", 0))
        length = ptp_dim_of(&past, 2); /* which is as long as its owner made it */
    else if (past.present)
        length = ptp_apply(node, PTP_DIM_MAX, ptp_dim_of(&past, 2), length);
    ptp_dim dims[4] = {ptp_dim_of(&query, 0), groups, length, past.rank == 4 ? past.dims[3] : head};
    node->output(node->self, output, past.present ? past.dtype : query.dtype, 4, dims);
    return PARTITA_OK;
}

partita_status contrib_infer_grouped_attention(const ptp_inference *node) {
    ptp_known query = ptp_input_of(node, 0), key = ptp_input_of(node, 1), total = ptp_input_of(node, 6);
    int64_t heads, groups;
    if (!contrib_positive(node, "num_heads", &heads) || !contrib_positive(node, "kv_num_heads", &groups))
        return contrib_fail(node, "num_heads and kv_num_heads must be positive");
    if (heads % groups) return contrib_fail(node, "num_heads is no multiple of kv_num_heads");
    partita_status status = contrib_want(node, 0, 3);
    if (status != PARTITA_OK) return status;
    /* Without keys the query holds all three. */
    ptp_dim width = ptp_dim_of(&query, 2), head = contrib_div(node, width, heads);
    if (!key.present) {
        head = contrib_div(node, width, contrib_add(node, heads, 2 * groups));
        width = contrib_mul(node, head, heads);
    }
    ptp_dim out[3] = {ptp_dim_of(&query, 0), ptp_dim_of(&query, 1), width};
    ptp_dim length = total.elements && total.element_count == 1 ? total.elements[0] : PTP_DIM_UNKNOWN;
    ptp_dim scores[4] = {out[0], heads, out[1], length};
    node->output(node->self, 0, query.dtype, 3, out);
    node->output(node->self, 3, query.dtype, 4, scores);
    status = write_cache(node, 1, 3, groups, head);
    return status == PARTITA_OK ? write_cache(node, 2, 4, groups, head) : status;
}

partita_status contrib_infer_rotary(const ptp_inference *node) {
    ptp_known input = ptp_input_of(node, 0);
    if (input.rank >= 0 && input.rank != 3 && input.rank != 4)
        return contrib_fail(node, "the input has neither rank 3 nor 4");
    node->output_like(node->self, 0, 0, PARTITA_UNDEFINED);
    return PARTITA_OK;
}
