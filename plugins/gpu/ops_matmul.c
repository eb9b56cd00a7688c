/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul and Gemm, and the product that convolutions and recurrent layers use too. */
#include "gpu/gpu.h"

/* What suits these rows and columns; any tile does for any. */
static gpu_tile tile_best(const gpu_device *device, int64_t rows, int64_t columns) {
    bool on_cpu = (device->caps.features & GPU_ON_CPU) != 0;
    uint32_t subgroup = device->caps.subgroup;
    if (gpu_vector_width(device) > 1) return (gpu_tile){rows == 1 ? 1 : 4, on_cpu ? 2 : 1, 0};
    if (!on_cpu) return (gpu_tile){rows == 1 ? 1 : 8, 4, 64};
    uint32_t lanes = subgroup ? subgroup : 8;
    uint32_t tall = rows == 1 ? 1 : subgroup && rows >= 16 ? 16 : 8;
    return (gpu_tile){tall, columns >= 512 ? 8 : 4, lanes};
}

gpu_tile gpu_tile_choose(gpu_plan *plan, int64_t rows, int64_t columns) {
    gpu_tile tile = tile_best(plan->device, rows, columns);
    uint64_t chosen = gpu_decide(plan, GPU_DECIDE_TILE, (uint64_t)tile.rows << 8 | tile.vectors);
    return (gpu_tile){(uint32_t)(chosen >> 8), chosen & 255u, tile.lanes};
}

void gpu_define_tile(const gpu_device *device, gpu_call *call, const gpu_tile *tile) {
    gpu_define(call, "TILE_M", tile->rows);
    gpu_define(call, "TILE_V", tile->vectors);
    if (tile->lanes && tile->lanes == device->caps.subgroup && tile->rows % tile->lanes == 0) {
        gpu_define(call, "SUBGROUP", tile->lanes);
    }
}

partita_status gpu_emit_product(gpu_plan *plan, const gpu_product *product, gpu_ref a, gpu_ref b, gpu_ref bias,
                                gpu_ref y) {
    const gpu_device *device = plan->device;
    bool on_cpu = (device->caps.features & GPU_ON_CPU) != 0;
    gpu_tile tile = gpu_tile_choose(plan, product->fixed_rows ? product->m : -1, product->n);
    uint32_t tile_n = tile.vectors * gpu_vector_width(device) * (tile.lanes ? tile.lanes : 1);
    int64_t batch[GPU_MAX_RANK], strides[3][GPU_MAX_RANK], count = 1;
    int64_t *lists[3] = {strides[0], strides[1], strides[2]};
    memcpy(batch, product->batch, sizeof(batch));
    memcpy(strides[0], product->a_batch, sizeof(strides[0]));
    memcpy(strides[1], product->b_batch, sizeof(strides[1]));
    memcpy(strides[2], product->bias_batch, sizeof(strides[2]));
    for (int32_t d = 0; d < product->batch_rank; d++) count *= batch[d];
    int32_t rank = gpu_collapse(plan, batch, lists, product->has_bias ? 3 : 2, product->batch_rank);
    int32_t padded = rank <= 2 ? rank : 6, shift = padded - rank;
    gpu_call call;
    gpu_call_init(&call, tile.lanes ? "matmul_lanes" : "matmul");
    gpu_define_tile(device, &call, &tile);
    gpu_define(&call, "HAS_BIAS", product->has_bias);
    gpu_define(&call, "BATCH_RANK", padded);
    gpu_bind(&call, a);
    gpu_bind(&call, b);
    gpu_bind(&call, product->has_bias ? bias : a);
    gpu_bind(&call, y);
    gpu_param(&call, product->m);
    gpu_param(&call, product->n);
    gpu_param(&call, product->k);
    gpu_param(&call, product->a_row);
    gpu_param(&call, product->a_column);
    gpu_param(&call, product->b_row);
    gpu_param(&call, product->b_column);
    gpu_param(&call, product->bias_row);
    gpu_param(&call, product->bias_column);
    gpu_param_float(&call, product->alpha);
    gpu_param_float(&call, product->beta);
    gpu_param(&call, product->n);
    for (int32_t d = 0; d < padded; d++) {
        gpu_param(&call, d < shift ? 1 : batch[d - shift]);
        for (int32_t s = 0; s < (product->has_bias ? 3 : 2); s++)
            gpu_param(&call, d < shift ? 0 : strides[s][d - shift]);
    }
    uint64_t across = ((uint64_t)product->n + tile_n - 1) / tile_n;
    uint64_t down = ((uint64_t)product->m + tile.rows - 1) / tile.rows;
    if (tile.lanes) {
        while (call.param_count < 30) gpu_param(&call, 0);
        gpu_param(&call, count);
        gpu_grid_linear(device, &call, down * across * (uint64_t)count * tile.lanes, tile.lanes);
        return gpu_emit(plan, &call);
    }
    const uint32_t on_host[3] = {1, 8, 1}, on_gpu[3] = {device->caps.max_group < 128 ? 8 : 16, 8, 1};
    gpu_grid(&call, on_cpu ? on_host : on_gpu, across, down, (uint64_t)count);
    return gpu_emit(plan, &call);
}

static partita_status plan_matmul(gpu_plan *plan) {
    const gpu_operand *a = &plan->node->inputs[0], *b = &plan->node->inputs[1];
    int32_t a_batch = a->rank > 2 ? a->rank - 2 : 0, b_batch = b->rank > 2 ? b->rank - 2 : 0;
    int64_t a_strides[GPU_MAX_RANK], b_strides[GPU_MAX_RANK];
    gpu_product product = {.alpha = 1, .batch_rank = a_batch > b_batch ? a_batch : b_batch};
    gpu_strides(a->dims, a->rank, a_strides);
    gpu_strides(b->dims, b->rank, b_strides);
    product.m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    product.k = a->dims[a->rank - 1];
    product.n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    product.a_row = product.k;
    product.a_column = 1;
    product.b_row = product.n;
    product.b_column = 1;
    bool b_shared = true;
    for (int32_t d = 0; d < product.batch_rank; d++) {
        int32_t da = d - (product.batch_rank - a_batch), db = d - (product.batch_rank - b_batch);
        int64_t na = da >= 0 ? a->dims[da] : 1, nb = db >= 0 ? b->dims[db] : 1;
        product.batch[d] = na == 1 ? nb : na;
        product.a_batch[d] = na == 1 ? 0 : a_strides[da];
        product.b_batch[d] = nb == 1 ? 0 : b_strides[db];
        b_shared = b_shared && nb == 1;
    }
    if (gpu_decide(plan, GPU_DECIDE_SHARED, b_shared) && b_shared) { /* one matrix for all batches: more rows */
        product.m *= gpu_extent(a, 0, a_batch);
        product.batch_rank = 0;
    }
    return gpu_emit_product(plan, &product, gpu_ref_in(plan, 0), gpu_ref_in(plan, 1), gpu_ref_in(plan, 0),
                            gpu_ref_out(plan, 0));
}

static bool check_matmul(gpu_check *check) {
    const gpu_operand *a = &check->node->inputs[0], *b = &check->node->inputs[1];
    if (a->rank < 1 || b->rank < 1) return gpu_refuse(check, PARTITA_REASON_RANK, "ranks %d and %d", a->rank, b->rank);
    return gpu_need_same_dtype(check);
}

static partita_status plan_gemm(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    float beta = gpu_float(node, "beta", 1);
    /* 0 times C is 0, whatever C holds */
    const gpu_operand *a = &node->inputs[0], *b = &node->inputs[1], *c = beta != 0 ? gpu_input(node, 2) : NULL;
    bool across_a = gpu_int(node, "transA", 0) != 0, across_b = gpu_int(node, "transB", 0) != 0;
    gpu_product product = {.alpha = gpu_float(node, "alpha", 1), .beta = beta, .has_bias = c != NULL};
    product.m = a->dims[across_a ? 1 : 0];
    product.k = a->dims[across_a ? 0 : 1];
    product.n = b->dims[across_b ? 0 : 1];
    product.a_row = across_a ? 1 : product.k;
    product.a_column = across_a ? product.m : 1;
    product.b_row = across_b ? 1 : product.n;
    product.b_column = across_b ? product.k : 1;
    if (c) {
        int64_t columns = c->rank > 0 ? c->dims[c->rank - 1] : 1, rows = c->rank > 1 ? c->dims[0] : 1;
        product.bias_row = rows == 1 ? 0 : columns;
        product.bias_column = columns == 1 ? 0 : 1;
    }
    return gpu_emit_product(plan, &product, gpu_ref_in(plan, 0), gpu_ref_in(plan, 1),
                            c ? gpu_ref_in(plan, 2) : gpu_ref_in(plan, 0), gpu_ref_out(plan, 0));
}

static bool check_gemm(gpu_check *check) {
    const gpu_node *node = check->node;
    if (node->inputs[0].rank != 2 || node->inputs[1].rank != 2 || (gpu_input(node, 2) && node->inputs[2].rank > 2)) {
        return gpu_refuse(check, PARTITA_REASON_RANK, "ranks %d and %d, only 2", node->inputs[0].rank,
                          node->inputs[1].rank);
    }
    return gpu_need_same_dtype(check);
}

const gpu_op gpu_ops_matmul[] = {
    {"MatMul", 1, 28, "F", "", 2, 1, 0, 0, check_matmul, plan_matmul, NULL, 0.7f},
    {"Gemm", 7, 28, "F", "alpha,beta,transA,transB", 3, 1, 0, 0, check_gemm, plan_gemm, NULL, 0.3f},
    {0},
};
