/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of element types, out of the rows in types.h, and sizes of shapes.
 */
#include "base/base.h"

static const struct {
    const char *name;
    uint32_t bits;
} dtype_rows[] = {
#define X(name, value, text, bits) [value] = {text, bits},
    PARTITA_DTYPE_ROWS(X)
#undef X
};
_Static_assert(PT_COUNT_OF(dtype_rows) == PARTITA_DTYPE_COUNT, "one row for each dtype");

uint32_t pt_dtype_bits(partita_dtype dtype) { return dtype < PARTITA_DTYPE_COUNT ? dtype_rows[dtype].bits : 0; }

const char *pt_dtype_name(partita_dtype dtype) {
    return dtype_rows[dtype < PARTITA_DTYPE_COUNT ? dtype : PARTITA_UNDEFINED].name;
}

partita_dtype pt_dtype_from_name(partita_str name) {
    for (partita_dtype dtype = PARTITA_UNDEFINED + 1; dtype < PARTITA_DTYPE_COUNT; dtype++) {
        if (pt_str_is(name, dtype_rows[dtype].name)) return dtype;
    }
    return PARTITA_UNDEFINED;
}

bool pt_dims_count(const int64_t *dims, uint32_t rank, uint64_t *out_count) {
    uint64_t count = 1;
    bool empty = false;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] < 0) return false;
        /* An empty tensor is empty however large its other dims are. */
        if (dims[i] == 0) empty = true;
    }
    for (uint32_t i = 0; i < rank && !empty; i++) {
        if (!pt_mul_u64(count, (uint64_t)dims[i], &count)) return false;
    }
    /* No more than dims themselves may be, so that who adds a little to it does not wrap. */
    if (!empty && count > INT64_MAX) return false;
    *out_count = empty ? 0 : count;
    return true;
}

bool pt_dtype_bytes(partita_dtype dtype, uint64_t count, uint64_t *out_bytes) {
    uint64_t bits = pt_dtype_bits(dtype);
    if (bits == 0) return false;
    uint64_t bytes;
    if (bits < 8)
        bytes = count / 8 * bits + (count % 8 * bits + 7) / 8;
    else if (!pt_mul_u64(count, bits / 8, &bytes))
        return false;
    if (bytes > INT64_MAX) return false;
    *out_bytes = bytes;
    return true;
}
