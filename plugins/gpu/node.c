/* SPDX-License-Identifier: Apache-2.0 */
/* A node of a block, read once into plain operands, and the small questions that checks and plans ask of it. */
#include "gpu/gpu.h"
#include <stdlib.h>

static const gpu_type types[] = {
    {PARTITA_FLOAT32, 'F', 4, 0, "f32", "f32"},
    {PARTITA_INT32, 'I', 4, 0, "i32", "i32"},
    {PARTITA_UINT32, 'U', 4, 0, "u32", "u32"},
    {PARTITA_INT64, 'I', 8, GPU_HAS_INT64, "i64", "i64"},
    {PARTITA_UINT64, 'U', 8, GPU_HAS_INT64, "u64", "u64"},
    {PARTITA_INT8, 'I', 1, GPU_HAS_INT8, "i8", "i32"},
    {PARTITA_UINT8, 'U', 1, GPU_HAS_INT8, "u8", "i32"},
    {PARTITA_INT16, 'I', 2, GPU_HAS_INT16, "i16", "i32"},
    {PARTITA_UINT16, 'U', 2, GPU_HAS_INT16, "u16", "i32"},
    {PARTITA_BOOL, 'B', 1, GPU_HAS_INT8, "u8", "i32"},
    {PARTITA_FLOAT16, 'M', 2, GPU_HAS_INT16, "u16", NULL},
    {PARTITA_BFLOAT16, 'M', 2, GPU_HAS_INT16, "u16", NULL},
    {PARTITA_FLOAT64, 'M', 8, 0, "w8", NULL},
    {PARTITA_COMPLEX64, 'M', 8, 0, "w8", NULL},
    {PARTITA_FLOAT8E4M3FN, 'M', 1, GPU_HAS_INT8, "u8", NULL},
    {PARTITA_FLOAT8E4M3FNUZ, 'M', 1, GPU_HAS_INT8, "u8", NULL},
    {PARTITA_FLOAT8E5M2, 'M', 1, GPU_HAS_INT8, "u8", NULL},
    {PARTITA_FLOAT8E5M2FNUZ, 'M', 1, GPU_HAS_INT8, "u8", NULL},
    {PARTITA_FLOAT8E8M0, 'M', 1, GPU_HAS_INT8, "u8", NULL},
};

const gpu_type *gpu_type_of(partita_dtype dtype) {
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i].dtype == dtype) return &types[i];
    }
    return NULL;
}

const char *gpu_dtype_name(partita_dtype dtype) {
    static const char *const names[] = {
#define X(name, value, text, bits) [value] = text,
        PARTITA_DTYPE_ROWS(X)
#undef X
    };
    return dtype < sizeof(names) / sizeof(names[0]) && names[dtype] ? names[dtype] : "an unknown type";
}

const char *gpu_word_of(uint32_t bytes) { return bytes == 1 ? "u8" : bytes == 2 ? "u16" : bytes == 4 ? "u32" : "w8"; }

static void operand_read(gpu_operand *out, const ptp_block *block, uint32_t row, uint32_t dims, const ptp_shape *shapes,
                         const gpu_constants *constants) {
    memset(out, 0, sizeof(*out));
    out->row = row;
    if (row == PARTITA_NONE) return;
    ptp_value_row value = ptp_value_at(block, row);
    out->flags = value.flags;
    out->kind = value.kind;
    out->dtype = value.dtype;
    out->rank = value.rank;
    const int64_t *from = ptp_ref_data(block, dims == GPU_DIMS_NOMINAL ? value.nominal : value.dims);
    if (dims == GPU_DIMS_ACTUAL) {
        out->rank = shapes[row].rank;
        from = shapes[row].dims;
    } else if (dims == GPU_DIMS_NOMINAL && (int32_t)value.nominal.count < value.rank) {
        from = ptp_ref_data(block, value.dims);
    }
    for (int32_t d = 0; d < out->rank && d < GPU_MAX_RANK; d++) out->dims[d] = from[d];
    for (int32_t d = 0; d < out->rank && d < GPU_MAX_RANK; d++) {
        if (out->dims[d] == 0) out->data = ""; /* nothing to read: known, whoever makes it */
    }
    if ((value.flags & PTP_VALUE_CONSTANT) == 0) return;
    if (value.data.count > 0) {
        out->data = ptp_ref_data(block, value.data);
        out->data_bytes = value.data.count;
    } else if (constants && constants->data[row]) {
        out->data = constants->data[row];
        out->data_bytes = constants->bytes[row];
    }
}

partita_status gpu_node_read(gpu_node *node, const ptp_host *host, const ptp_block *block, uint32_t index,
                             uint32_t dims, const ptp_shape *shapes, const gpu_constants *constants) {
    node->block = block;
    node->index = index;
    node->row = ptp_node_at(block, index);
    node->op = ptp_ref_str(block, node->row.op);
    node->input_count = node->row.inputs.count;
    node->output_count = node->row.outputs.count;
    uint64_t need = (uint64_t)node->input_count + node->output_count;
    if (need > node->capacity) {
        if (node->inputs) host->free(host->self, node->inputs);
        node->capacity = 0;
        node->inputs = host->alloc(host->self, (need + 8) * sizeof(gpu_operand), 16);
        if (!node->inputs) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for %u operands", (unsigned)need);
        node->capacity = (uint32_t)need + 8;
    }
    node->outputs = node->inputs + node->input_count;
    for (uint32_t i = 0; i < node->input_count; i++) {
        operand_read(&node->inputs[i], block, ptp_ref_id(block, node->row.inputs, i), dims, shapes, constants);
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        operand_read(&node->outputs[i], block, ptp_ref_id(block, node->row.outputs, i), dims, shapes, constants);
    }
    return PARTITA_OK;
}

void gpu_node_deinit(gpu_node *node, const ptp_host *host) {
    if (node->inputs) host->free(host->self, node->inputs);
    memset(node, 0, sizeof(*node));
}

bool gpu_string_is(const gpu_node *node, const char *name, const char *value, const char *otherwise) {
    ptp_attribute_row row;
    if (!ptp_attribute_find(node->block, &node->row, name, &row)) return strcmp(value, otherwise) == 0;
    return ptp_str_is(ptp_ref_str(node->block, row.data), value);
}

int64_t gpu_extent(const gpu_operand *operand, int32_t from, int32_t to) {
    int64_t n = 1;
    for (int32_t d = from; d < to; d++) {
        int64_t dim = operand->dims[d];
        if (dim < 0) return -1;
        if (dim == 0)
            n = 0;
        else if (n > INT64_MAX / dim)
            n = INT64_MAX;
        else
            n *= dim;
    }
    return n;
}

int64_t gpu_elements(const gpu_operand *operand) { return gpu_extent(operand, 0, operand->rank); }

uint64_t gpu_bytes(const gpu_operand *operand) {
    const gpu_type *type = gpu_type_of(operand->dtype);
    int64_t n = gpu_elements(operand);
    return n <= 0 || !type ? 0 : (uint64_t)n > UINT64_MAX / type->bytes ? UINT64_MAX : (uint64_t)n * type->bytes;
}

int32_t gpu_axis(int64_t axis, int32_t rank) {
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? (int32_t)axis : -1;
}

int32_t gpu_integers(const gpu_operand *operand, int64_t *out, int32_t capacity) {
    if (!operand || !operand->data) return -1;
    bool wide = operand->dtype == PARTITA_INT64;
    if (!wide && operand->dtype != PARTITA_INT32) return -1;
    uint64_t count = operand->data_bytes / (wide ? 8 : 4);
    if (count > (uint64_t)capacity) return -1;
    for (uint64_t i = 0; i < count; i++) {
        int64_t v8;
        int32_t v4;
        if (wide) {
            memcpy(&v8, (const char *)operand->data + i * 8, 8);
        } else {
            memcpy(&v4, (const char *)operand->data + i * 4, 4);
            v8 = v4;
        }
        out[i] = v8;
    }
    return (int32_t)count;
}

bool gpu_scalar(const gpu_operand *operand, double *out) {
    if (!operand || !operand->data || operand->data_bytes == 0) return false;
    const void *data = operand->data;
    switch (operand->dtype) {
#define READ(type, ctype)                                                                                              \
    case PARTITA_##type: {                                                                                             \
        ctype v;                                                                                                       \
        if (operand->data_bytes < sizeof(v)) return false;                                                             \
        memcpy(&v, data, sizeof(v));                                                                                   \
        *out = (double)v;                                                                                              \
        return true;                                                                                                   \
    }
        READ(FLOAT32, float)
        READ(FLOAT64, double)
        READ(INT64, int64_t)
        READ(INT32, int32_t)
        READ(UINT64, uint64_t)
        READ(UINT32, uint32_t)
        READ(INT16, int16_t)
        READ(UINT16, uint16_t)
        READ(INT8, int8_t)
        READ(UINT8, uint8_t)
        READ(BOOL, uint8_t)
#undef READ
    default: return false;
    }
}

bool gpu_axes(const gpu_node *node, uint32_t input, int32_t rank, uint32_t *out_mask, bool *out_given) {
    int64_t axes[GPU_MAX_RANK];
    int32_t count = 0;
    const gpu_operand *operand = gpu_input(node, input);
    uint32_t given = 0;
    const int64_t *list = ptp_attribute_ints(node->block, &node->row, "axes", &given);
    *out_mask = 0;
    if (operand) {
        count = gpu_integers(operand, axes, GPU_MAX_RANK);
        if (count < 0) return false;
    } else if (given > 0) {
        if (given > GPU_MAX_RANK) return false;
        memcpy(axes, list, given * sizeof(int64_t));
        count = (int32_t)given;
    }
    for (int32_t i = 0; i < count; i++) {
        int32_t axis = gpu_axis(axes[i], rank);
        if (axis < 0) return false;
        *out_mask |= 1u << axis;
    }
    *out_given = count > 0;
    return true;
}
