/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pre-scan: checks a message's wire format against a budget before protobuf-c sees a byte, and writes the skeleton
 * that protobuf-c gets instead of the file: without unknown fields, without fields nobody reads, and with a reference
 * in the place of each tensor's bulk.
 *
 * protobuf-c alone would follow nesting until the stack ends, merge repeated singular fields in quadratic time, and
 * take a hundred times a file's size for empty messages.
 */
#ifndef PT_ONNX_SCAN_H
#define PT_ONNX_SCAN_H

#include "base/base.h"

#include <protobuf-c/protobuf-c.h>

/* What stands in `raw_data` of the skeleton: where the bytes lie in the file. */
typedef struct pt_bulk {
    uint64_t offset, bytes;
    uint32_t field; /* number of the field of TensorProto they were written in */
    uint32_t reserved;
} pt_bulk;
enum { PT_BULK_RAW = 9, PT_BULK_FLOATS = 4, PT_BULK_DOUBLES = 10 };

typedef struct pt_scan {
    uint8_t *skeleton; /* pt_free */
    uint64_t size;     /* of the skeleton */
    uint64_t budget;   /* what import may take in all */
    uint64_t cost;     /* estimate of what it takes */
} pt_scan;

/* `budget` 0: by the size of the structure, see pt_onnx_options. */
partita_status pt_onnx_scan(const void *data, uint64_t size, const ProtobufCMessageDescriptor *root, uint64_t budget,
                            pt_scan *out_scan);

/*
 * Scans and unpacks. The message lies in `arena`, which must be empty, and dies with it. *out_left: what the budget has
 * left for the model.
 */
partita_status pt_onnx_unpack(const void *data, uint64_t size, const ProtobufCMessageDescriptor *root, uint64_t budget,
                              pt_arena *arena, ProtobufCMessage **out_message, uint64_t *out_left);

#endif
