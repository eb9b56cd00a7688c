/* SPDX-License-Identifier: Apache-2.0 */
/* A chain of element-wise expressions over one index space, that becomes one generated kernel. */
#ifndef GPU_CHAIN_H
#define GPU_CHAIN_H

#include "gpu/gpu.h"

#define GPU_MAX_TERMS     8u
#define GPU_MAX_VARIABLES (GPU_MAX_BINDINGS - 1)

/* What an expression calls `name`: a variable, or the value of an earlier term. */
typedef struct gpu_read {
    const char *name;
    bool term;
    uint8_t index;
} gpu_read;

typedef struct gpu_term {
    const char *expression;
    uint32_t read_count;
    gpu_read reads[GPU_MAX_VARIABLES];
    uint32_t scalar_count;
    float scalars[2]; /* P0, P1 */
} gpu_term;

/* The last term is the result; the others are float32 like T. */
typedef struct gpu_chain {
    int32_t rank;
    int64_t dims[GPU_MAX_RANK];
    int64_t elements;
    uint32_t count, term_count;
    gpu_variable variables[GPU_MAX_VARIABLES];
    gpu_term terms[GPU_MAX_TERMS];
    partita_dtype type;
    const char *stored;
    gpu_ref result;
} gpu_chain;

/* chain.c: whether params and buffers of the chain fit a launch; the launch itself. */
bool gpu_chain_fits(const gpu_device *device, const gpu_chain *chain);
partita_status gpu_chain_emit(gpu_plan *plan, const gpu_chain *chain);

#endif
