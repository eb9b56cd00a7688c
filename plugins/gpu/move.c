/* SPDX-License-Identifier: Apache-2.0 */
/* Strided copies: what most data movement comes down to after its axes are collapsed. */
#include "gpu/gpu.h"

void gpu_strides(const int64_t *dims, int32_t rank, int64_t *out_strides) {
    int64_t stride = 1;
    for (int32_t d = rank - 1; d >= 0; d--) {
        out_strides[d] = stride;
        stride *= dims[d];
    }
}

partita_status gpu_emit_move(gpu_plan *plan, const gpu_move *move, partita_dtype dtype, gpu_ref source,
                             gpu_ref target) {
    gpu_call call;
    int64_t dims[16], from[16], to[16], *lists[2] = {from, to}, n = 1;
    memcpy(dims, move->dims, sizeof(dims));
    memcpy(from, move->from, sizeof(from));
    memcpy(to, move->to, sizeof(to));
    for (int32_t d = 0; d < move->rank; d++) n *= dims[d];
    if (n == 0) return PARTITA_OK;
    int32_t rank = gpu_collapse(plan, dims, lists, 2, move->rank);
    if (rank > GPU_MAX_RANK) {
        return gpu_plan_refuse(plan, PARTITA_REASON_RANK, "a copy over %d axes, at most %d", rank, GPU_MAX_RANK);
    }
    int32_t padded = rank <= 4 ? rank : GPU_MAX_RANK, shift = padded - rank;
    gpu_call_init(&call, "move");
    gpu_define_word(&call, dtype);
    gpu_define(&call, "RANK", padded);
    gpu_bind(&call, source);
    gpu_bind(&call, target);
    gpu_param(&call, n);
    gpu_param(&call, move->from_base);
    gpu_param(&call, move->to_base);
    for (int32_t d = 0; d < padded; d++) gpu_param(&call, d < shift ? 0 : from[d - shift]);
    for (int32_t d = 0; d < padded; d++) gpu_param(&call, d < shift ? 0 : to[d - shift]);
    for (int32_t d = 1; d < padded; d++) {
        int64_t extent = d < shift ? 1 : dims[d - shift];
        if (padded <= 4)
            gpu_param_divisor(&call, extent);
        else
            gpu_param(&call, extent);
    }
    gpu_grid_linear(plan->device, &call, (uint64_t)n, 256 <= plan->device->caps.max_group ? 256 : 64);
    return gpu_emit(plan, &call);
}

partita_status gpu_emit_copy(gpu_plan *plan, int64_t elements, partita_dtype dtype, gpu_ref source, gpu_ref target) {
    gpu_move move = {.rank = 1, .dims = {elements}, .from = {1}, .to = {1}};
    return gpu_emit_move(plan, &move, dtype, source, target);
}
