/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all kernels share: failures, memory, sizes of shapes, and the refusal of a claim. No kernel lives here.
 */
#include "cpu/kernels/kernel.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char failure[256];

partita_status cpu_fail(const ptp_host *host, partita_status code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof(failure), format, arguments);
    va_end(arguments);
    if (host != NULL && host->fail != NULL) host->fail(host->self, code, failure);
    return code;
}

const char *cpu_fail_text(void) { return failure; }

partita_status cpu_call_alloc(const cpu_call *call, uint32_t index, uint32_t rank, const int64_t *dims) {
    return call->runner->alloc(call, index, rank, dims);
}

partita_status cpu_call_set(const cpu_call *call, uint32_t index, ptp_value *value) {
    return call->runner->set(call, index, value);
}

void *cpu_alloc(const ptp_host *host, uint64_t bytes) {
    void *block = bytes > SIZE_MAX ? NULL : host->alloc(host->self, bytes > 0 ? bytes : 1, 64);
    if (block == NULL) {
        cpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for %llu bytes", (unsigned long long)bytes);
        return NULL;
    }
    memset(block, 0, (size_t)bytes);
    return block;
}

void cpu_free(const ptp_host *host, void *block) {
    if (block != NULL) host->free(host->self, block);
}

uint32_t cpu_dtype_bits(partita_dtype dtype) {
    static const uint8_t bits_of[PARTITA_DTYPE_COUNT] = {
#define X(name, value, text, bits) [value] = bits,
        PARTITA_DTYPE_ROWS(X)
#undef X
    };
    return dtype < PARTITA_DTYPE_COUNT ? bits_of[dtype] : 0;
}

const char *cpu_dtype_name(partita_dtype dtype) {
    static const char *const name_of[PARTITA_DTYPE_COUNT] = {
#define X(name, value, text, bits) [value] = text,
        PARTITA_DTYPE_ROWS(X)
#undef X
    };
    return dtype < PARTITA_DTYPE_COUNT ? name_of[dtype] : "unknown";
}

bool cpu_shape_size(partita_dtype dtype, uint32_t rank, const int64_t *dims, uint64_t *out_count, uint64_t *out_bytes) {
    uint64_t count = 1, bits = 0;
    bool empty = false;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] < 0) return false;
        if (dims[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(count, (uint64_t)dims[i], &count))
            return false;
    }
    if (empty) count = 0;
    if (__builtin_mul_overflow(count, (uint64_t)cpu_dtype_bits(dtype), &bits) || bits > INT64_MAX - 7) return false;
    *out_count = count;
    *out_bytes = (bits + 7) / 8;
    return true;
}

bool cpu_refuse(ptp_answer *answer, uint32_t reason, const char *format, ...) {
    va_list arguments;
    answer->can = PTP_NO;
    answer->reason = reason;
    va_start(arguments, format);
    vsnprintf(answer->text, sizeof(answer->text), format, arguments);
    va_end(arguments);
    return false;
}

static bool value_of(const cpu_node *node, ptp_ref list, uint32_t index, ptp_value_row *out_row) {
    uint32_t value = ptp_ref_id(node->block, list, index);
    if (value == PARTITA_NONE) return false;
    *out_row = ptp_value_at(node->block, value);
    bool half = out_row->dtype == PARTITA_FLOAT16 || out_row->dtype == PARTITA_BFLOAT16;
    if (node->widened && half) {
        out_row->dtype = PARTITA_FLOAT32;
        out_row->bytes *= 2;
    }
    return true;
}

bool cpu_node_input(const cpu_node *node, uint32_t index, ptp_value_row *out_row) {
    return value_of(node, node->row.inputs, index, out_row);
}

bool cpu_node_output(const cpu_node *node, uint32_t index, ptp_value_row *out_row) {
    return value_of(node, node->row.outputs, index, out_row);
}
