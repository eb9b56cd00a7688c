/* SPDX-License-Identifier: Apache-2.0 */
/* The families of the operator table. */
#include "gpu/gpu.h"

const gpu_op *const gpu_op_families[] = {
    gpu_ops_elementwise, gpu_ops_typed,  gpu_ops_move, gpu_ops_gather, gpu_ops_matmul,    gpu_ops_conv,
    gpu_ops_pool,        gpu_ops_reduce, gpu_ops_norm, gpu_ops_resize, gpu_ops_recurrent, gpu_ops_shape,
};
const uint32_t gpu_op_family_count = sizeof(gpu_op_families) / sizeof(gpu_op_families[0]);
