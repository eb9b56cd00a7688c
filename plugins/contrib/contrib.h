/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this operator set share: reading shapes, and the inference functions that the rows name. Each says
 * nothing where an input's rank is not known, and fails where ranks or dims contradict the operator.
 */
#ifndef CONTRIB_H
#define CONTRIB_H

#include <partita/operator_set.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* An input whose rank must be this one, where it's known. */
static inline partita_status contrib_want(const ptp_inference *node, uint32_t input, int32_t rank) {
    ptp_known known = ptp_input_of(node, input);
    char text[80];
    if (known.rank < 0 || known.rank == rank) return PARTITA_OK;
    snprintf(text, sizeof text, "input %u has rank %d instead of %d", input, known.rank, rank);
    return node->fail(node->self, text);
}

static inline partita_status contrib_fail(const ptp_inference *node, const char *text) {
    return node->fail(node->self, text);
}

static inline ptp_dim contrib_mul(const ptp_inference *node, ptp_dim a, ptp_dim b) {
    return ptp_apply(node, PTP_DIM_MUL, a, b);
}
static inline ptp_dim contrib_div(const ptp_inference *node, ptp_dim a, ptp_dim b) {
    return ptp_apply(node, PTP_DIM_FLOOR_DIV, a, b);
}
static inline ptp_dim contrib_add(const ptp_inference *node, ptp_dim a, ptp_dim b) {
    return ptp_apply(node, PTP_DIM_ADD, a, b);
}

/* Puts a positive attribute into `out`; false where it is missing or not positive. */
static inline bool contrib_positive(const ptp_inference *node, const char *name, int64_t *out) {
    *out = ptp_int_of(node, name, 0);
    return *out > 0;
}

/* The axis of the attribute, from 0 on; -1 after a failure that `out_status` holds. */
int32_t contrib_axis(const ptp_inference *node, const char *name, int64_t otherwise, int32_t rank,
                     partita_status *out_status);
/* The shape of a product of `a` and `b` as MatMul has it. */
partita_status contrib_matmul(const ptp_inference *node, const ptp_known *a, const ptp_known *b, partita_dtype dtype);
/* dims [rank] of what a and b broadcast to; returns the rank, -1 when not known. */
int32_t contrib_broadcast(const ptp_inference *node, const ptp_known *a, const ptp_known *b, ptp_dim *out_dims);

typedef partita_status contrib_infer_fn(const ptp_inference *node);
typedef partita_status contrib_choose_fn(const ptp_inference *node, uint32_t *out_body);
#define ROW(domain, name, in_min, in_max, absent, out_min, out_max, kind, flops, function, attributes)                 \
    contrib_infer_fn contrib_infer_##function;
#define ROW_WITH(domain, name, in_min, in_max, absent, out_min, out_max, kind, flops, function, attributes, choice)    \
    contrib_infer_fn contrib_infer_##function;                                                                         \
    contrib_choose_fn contrib_choose_##choice;
#include "contrib/operators.inc"

#endif
