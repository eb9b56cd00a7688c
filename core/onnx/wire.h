/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire format's numbers: what scanner and writer share.
 */
#ifndef PT_ONNX_WIRE_H
#define PT_ONNX_WIRE_H

#include "base/base.h"

enum { PT_WIRE_VARINT = 0, PT_WIRE_FIXED64 = 1, PT_WIRE_BYTES = 2, PT_WIRE_FIXED32 = 5 };

/* Reads a varint at *at, which moves on; false when it is cut off or longer than 10 bytes. */
static inline bool pt_wire_varint(const uint8_t *data, uint64_t end, uint64_t *at, uint64_t *out_value) {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 70 && *at < end; shift += 7) {
        uint8_t byte = data[(*at)++];
        if (shift < 64) value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out_value = value;
            return true;
        }
    }
    return false;
}

/* Writes a varint of up to 10 bytes; returns how many. */
static inline uint32_t pt_wire_put_varint(uint8_t *out, uint64_t value) {
    uint32_t count = 0;
    for (; value >= 0x80; value >>= 7) out[count++] = (uint8_t)(value | 0x80);
    out[count++] = (uint8_t)value;
    return count;
}

/* A length in always five bytes, so that it can be written when it is known, before bytes that are there already. */
enum { PT_WIRE_LENGTH_BYTES = 5 };
static inline void pt_wire_put_length(uint8_t out[PT_WIRE_LENGTH_BYTES], uint32_t value) {
    for (int i = 0; i < PT_WIRE_LENGTH_BYTES; i++, value >>= 7) {
        out[i] = (uint8_t)((value & 0x7f) | (i + 1 < PT_WIRE_LENGTH_BYTES ? 0x80 : 0));
    }
}

#endif
