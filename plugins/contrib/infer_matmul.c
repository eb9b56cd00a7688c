/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of matrices, plain, fused and quantised.
 */
#include "contrib/contrib.h"

/*
 * One operand of FusedMatMul: transBatch moves the first dim behind the others but the last, trans swaps the last two.
 * `dims` holds the result.
 */
static partita_status turn(const ptp_inference *node, const char *trans, const char *batch, ptp_known *operand,
                           ptp_dim *dims) {
    int32_t rank = operand->rank;
    if (rank < 0) return PARTITA_OK;
    for (int32_t i = 0; i < rank; i++) dims[i] = operand->dims[i];
    if (ptp_int_of(node, batch, 0)) {
        if (rank < 2) return contrib_fail(node, "an operand with a batch to turn has rank 1");
        for (int32_t i = 0; i + 2 < rank; i++) dims[i] = operand->dims[i + 1];
        dims[rank - 2] = operand->dims[0];
    }
    if (ptp_int_of(node, trans, 0) && rank > 1) {
        ptp_dim last = dims[rank - 1];
        dims[rank - 1] = dims[rank - 2];
        dims[rank - 2] = last;
    }
    operand->dims = dims;
    return PARTITA_OK;
}

partita_status contrib_infer_fused_matmul(const ptp_inference *node) {
    ptp_known a = ptp_input_of(node, 0), b = ptp_input_of(node, 1);
    ptp_dim a_dims[PTP_MAX_RANK], b_dims[PTP_MAX_RANK];
    partita_status status = turn(node, "transA", "transBatchA", &a, a_dims);
    if (status == PARTITA_OK) status = turn(node, "transB", "transBatchB", &b, b_dims);
    return status == PARTITA_OK ? contrib_matmul(node, &a, &b, a.dtype) : status;
}

static partita_status product(const ptp_inference *node, partita_dtype dtype) {
    ptp_known a = ptp_input_of(node, 0), b = ptp_input_of(node, 1);
    return contrib_matmul(node, &a, &b, dtype);
}

partita_status contrib_infer_dynamic_matmul(const ptp_inference *node) {
    return product(node, ptp_input_of(node, 0).dtype);
}
partita_status contrib_infer_integer_matmul(const ptp_inference *node) {
    return product(node, ptp_input_of(node, 2).dtype);
}

/* A [M, K] or turned, B at input `second` [K, N] or turned. */
static partita_status gemm(const ptp_inference *node, uint32_t second, partita_dtype dtype) {
    ptp_known a = ptp_input_of(node, 0), b = ptp_input_of(node, second);
    bool turn_a = ptp_int_of(node, "transA", 0) != 0, turn_b = ptp_int_of(node, "transB", 0) != 0;
    partita_status status = contrib_want(node, 0, 2);
    if (status == PARTITA_OK) status = contrib_want(node, second, 2);
    if (status != PARTITA_OK) return status;
    ptp_dim dims[2] = {ptp_dim_of(&a, turn_a ? 1 : 0), ptp_dim_of(&b, turn_b ? 0 : 1)};
    (void)ptp_apply(node, PTP_DIM_SAME, ptp_dim_of(&a, turn_a ? 0 : 1), ptp_dim_of(&b, turn_b ? 1 : 0));
    node->output(node->self, 0, dtype, 2, dims);
    return PARTITA_OK;
}

partita_status contrib_infer_gemm(const ptp_inference *node) { return gemm(node, 1, ptp_input_of(node, 0).dtype); }

/* Without a scale of the result it's a float. */
partita_status contrib_infer_quantized_gemm(const ptp_inference *node) {
    ptp_known zero = ptp_input_of(node, 8), scale = ptp_input_of(node, 7), a = ptp_input_of(node, 0);
    partita_dtype dtype = !scale.present ? ptp_input_of(node, 1).dtype : zero.present ? zero.dtype : a.dtype;
    return gemm(node, 3, dtype);
}

/* Weights of few bits: A [..., K] gives [..., N]. */
partita_status contrib_infer_narrow_matmul(const ptp_inference *node) {
    ptp_known a = ptp_input_of(node, 0);
    ptp_dim dims[PTP_MAX_RANK];
    int64_t rows, columns;
    if (!contrib_positive(node, "K", &rows) || !contrib_positive(node, "N", &columns))
        return contrib_fail(node, "K and N must be positive");
    if (a.rank == 0) return contrib_fail(node, "input 0 is a scalar");
    for (int32_t i = 0; i < a.rank; i++) dims[i] = i + 1 < a.rank ? a.dims[i] : columns;
    if (a.rank > 0) (void)ptp_apply(node, PTP_DIM_SAME, ptp_dim_of(&a, -1), rows);
    node->output(node->self, 0, a.dtype, a.rank, dims);
    return PARTITA_OK;
}

partita_status contrib_infer_inverse(const ptp_inference *node) {
    ptp_known input = ptp_input_of(node, 0);
    if (input.rank == 0 || input.rank == 1) return contrib_fail(node, "the input is no matrix");
    if (input.rank > 0) (void)ptp_apply(node, PTP_DIM_SAME, ptp_dim_of(&input, -1), ptp_dim_of(&input, -2));
    node->output_like(node->self, 0, 0, PARTITA_UNDEFINED);
    return PARTITA_OK;
}

/* What a matrix is multiplied by to give the right sides, which have the same shape. */
partita_status contrib_infer_solve(const ptp_inference *node) {
    ptp_known matrix = ptp_input_of(node, 0), right = ptp_input_of(node, 1);
    partita_status status = contrib_want(node, 0, 2);
    if (status != PARTITA_OK) return status;
    if (right.rank == 0 || right.rank > 2) return contrib_fail(node, "input 1 has neither rank 1 nor 2");
    if (matrix.rank > 0) (void)ptp_apply(node, PTP_DIM_SAME, ptp_dim_of(&matrix, 0), ptp_dim_of(&matrix, 1));
    if (matrix.rank > 0 && right.rank > 0)
        (void)ptp_apply(node, PTP_DIM_SAME, ptp_dim_of(&matrix, 0), ptp_dim_of(&right, 0));
    node->output_like(node->self, 0, 1, PARTITA_UNDEFINED);
    return PARTITA_OK;
}

partita_status contrib_infer_cdist(const ptp_inference *node) {
    ptp_known a = ptp_input_of(node, 0), b = ptp_input_of(node, 1);
    ptp_dim dims[2] = {ptp_dim_of(&a, 0), ptp_dim_of(&b, 0)};
    partita_status status = contrib_want(node, 0, 2);
    if (status == PARTITA_OK) status = contrib_want(node, 1, 2);
    if (status != PARTITA_OK) return status;
    (void)ptp_apply(node, PTP_DIM_SAME, ptp_dim_of(&a, 1), ptp_dim_of(&b, 1));
    node->output(node->self, 0, a.dtype, 2, dims);
    return PARTITA_OK;
}
