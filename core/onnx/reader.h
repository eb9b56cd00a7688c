/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading ONNX models. A file is mapped, its structure is checked against a budget before protobuf-c sees it, and its
 * weights stay where they are. What comes out is checked for form only: operators and types are the room op's to judge.
 *
 * Done while importing: Constant nodes become constants (their source nodes are removed by "import"), calls of
 * model-local functions are replaced by the functions' nodes ("call/inner"), initializers that are listed among the
 * inputs (old IR versions list all, newer ones those that callers may replace) are constants and no inputs, unless the
 * options name them. Of values that nodes compute, only kind and element type are
 * taken from value_info, since written shapes are often stale; those of operators outside ONNX's own domains keep all.
 */
#ifndef PT_ONNX_READER_H
#define PT_ONNX_READER_H

#include "graph/model.h"

typedef struct pt_onnx_options {
    bool copy_weights;      /* read files instead of mapping them: for files that may change while the model lives */
    uint64_t memory_budget; /* bytes that import may take, weights not counted; 0: 16 MiB and 20 times the structure */
    /* Inputs that stay inputs although an initializer has their name, which is their preset then. "*": all such. */
    const char *const *overridable;
    uint32_t overridable_count;
} pt_onnx_options;

/* `options` NULL: defaults. Errors: BAD_MODEL, IO, OVER_BUDGET, OUT_OF_MEMORY, with file, node and cause. */
partita_status pt_onnx_load_file(const char *path, const pt_onnx_options *options, pt_model **out_model);
/*
 * A model in memory, copied or borrowed until its last weight is released. `base_folder`: where external data may lie;
 * NULL: external data is an error.
 */
partita_status pt_onnx_load_memory(const void *data, uint64_t size, bool copy, const char *base_folder,
                                   const pt_onnx_options *options, pt_model **out_model);

#endif
