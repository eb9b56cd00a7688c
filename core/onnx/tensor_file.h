/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that hold one value: TensorProto, SparseTensorProto, SequenceProto, MapProto, OptionalProto, as ONNX's test
 * data. The files do not say which of these they are.
 */
#ifndef PT_ONNX_TENSOR_FILE_H
#define PT_ONNX_TENSOR_FILE_H

#include "base/base.h"

/* A value in plain memory. Everything lies in the arena that it was read into. */
typedef struct pt_item {
    partita_kind kind;
    partita_str name;
    partita_dtype dtype; /* of a tensor or sparse tensor; of a container's tensors where known */
    uint32_t rank;       /* of a tensor or sparse tensor */
    const int64_t *dims;
    uint64_t count;   /* elements of a tensor */
    const void *data; /* of a tensor: packed, aligned to 16; of strings one after the other */
    uint64_t bytes;
    const uint64_t *offsets; /* of strings: [count + 1] into data */
    /*
     * Parts. Sequence: its items. Optional: none or one. Map: keys (a tensor of rank 1) and values (a tensor of rank 1
     * where all are scalars of one type, else a sequence). Sparse: values and indices.
     */
    struct pt_item *items;
    uint64_t item_count;
} pt_item;

partita_status pt_item_read(const void *data, uint64_t size, partita_kind kind, pt_arena *arena, pt_item *out_item);
partita_status pt_item_read_file(const char *path, partita_kind kind, pt_arena *arena, pt_item *out_item);
/* *out_bytes: pt_free. */
partita_status pt_item_write(const pt_item *item, void **out_bytes, uint64_t *out_size);
partita_status pt_item_write_file(const char *path, const pt_item *item);

#endif
