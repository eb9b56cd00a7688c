/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds a ptp_block by hand, for tests that speak the ABI without a host: values, nodes with attributes, ports; one
 * unit per node. Everything is asserted, nothing is optional.
 */
#ifndef TESTS_BLOCK_BUILD_H
#define TESTS_BLOCK_BUILD_H

#include <partita/block.h>
#include <assert.h>
#include <stdlib.h>

#define BB_MAX 256

typedef struct block_build {
    char *heap; /* refs count from the block's start: the header lies before the heap */
    uint32_t used, capacity;
    ptp_value_row values[BB_MAX];
    ptp_node_row nodes[BB_MAX];
    ptp_attribute_row attributes[BB_MAX];
    ptp_weight weights[BB_MAX];
    uint32_t inputs[BB_MAX], outputs[BB_MAX];
    uint32_t value_count, node_count, attribute_count, weight_count, input_count, output_count;
    ptp_block *block;
} block_build;

static inline ptp_ref bb_put(block_build *b, const void *data, uint32_t bytes, uint32_t count) {
    uint32_t at = (b->used + 7) / 8 * 8;
    if (at + bytes > b->capacity) {
        b->capacity = (at + bytes) * 2 + 4096;
        b->heap = realloc(b->heap, b->capacity);
        assert(b->heap);
    }
    if (bytes > 0) memcpy(b->heap + at, data, bytes);
    b->used = at + bytes;
    return (ptp_ref){(uint32_t)sizeof(ptp_block) + at, count};
}

static inline ptp_ref bb_text(block_build *b, const char *text) {
    return bb_put(b, text, (uint32_t)strlen(text), (uint32_t)strlen(text));
}

static inline void bb_init(block_build *b) { memset(b, 0, sizeof(*b)); }

static inline uint32_t bb_dtype_bytes(partita_dtype dtype) {
    static const uint8_t bits[] = {
#define X(name, value, text, n) [value] = n,
        PARTITA_DTYPE_ROWS(X)
#undef X
    };
    return bits[dtype] / 8u;
}

/* A value; dims may hold -1, then nominal gives the dims that costs are for (NULL: the dims themselves). */
static inline uint32_t bb_value_nominal(block_build *b, const char *name, partita_dtype dtype, int32_t rank,
                                        const int64_t *dims, const int64_t *nominal) {
    assert(b->value_count < BB_MAX);
    ptp_value_row *row = &b->values[b->value_count];
    uint32_t n = rank > 0 ? (uint32_t)rank : 0;
    row->name = bb_text(b, name);
    row->kind = PARTITA_KIND_TENSOR;
    row->dtype = dtype;
    row->rank = rank;
    row->dims = bb_put(b, dims, n * 8, n);
    row->nominal = bb_put(b, nominal ? nominal : dims, n * 8, n);
    ptp_ref none[16] = {{0, 0}};
    row->dim_names = bb_put(b, none, n * (uint32_t)sizeof(ptp_ref), n);
    row->producer = PARTITA_NONE;
    row->weight = PARTITA_NONE;
    return b->value_count++;
}

static inline uint32_t bb_value(block_build *b, const char *name, partita_dtype dtype, int32_t rank,
                                const int64_t *dims) {
    return bb_value_nominal(b, name, dtype, rank, dims, NULL);
}

/* A constant: in the block up to 4 KiB, and always a weight. The bytes are borrowed. */
static inline uint32_t bb_constant(block_build *b, const char *name, partita_dtype dtype, int32_t rank,
                                   const int64_t *dims, const void *data) {
    uint32_t id = bb_value(b, name, dtype, rank, dims), bytes = bb_dtype_bytes(dtype);
    for (int32_t d = 0; d < rank; d++) bytes *= (uint32_t)dims[d];
    b->values[id].flags |= PTP_VALUE_CONSTANT;
    b->values[id].weight = b->weight_count;
    b->weights[b->weight_count] = (ptp_weight){
        .size = sizeof(ptp_weight), .id = (uint64_t)(uintptr_t)data, .data = data, .bytes = bytes, .fd = -1};
    b->weight_count++;
    if (bytes <= 4096) b->values[id].data = bb_put(b, data, bytes, bytes);
    return id;
}

static inline uint32_t bb_input(block_build *b, const char *name, partita_dtype dtype, int32_t rank,
                                const int64_t *dims) {
    uint32_t id = bb_value(b, name, dtype, rank, dims);
    b->values[id].flags |= PTP_VALUE_INPUT;
    b->inputs[b->input_count++] = id;
    return id;
}

static inline uint32_t bb_output(block_build *b, uint32_t id) {
    b->values[id].flags |= PTP_VALUE_OUTPUT;
    b->outputs[b->output_count++] = id;
    return id;
}

/* A node; attributes added next are its own. */
static inline uint32_t bb_node(block_build *b, const char *op, int32_t since, const uint32_t *inputs, uint32_t n,
                               const uint32_t *outputs, uint32_t m) {
    assert(b->node_count < BB_MAX);
    ptp_node_row *row = &b->nodes[b->node_count];
    row->op = bb_text(b, op);
    row->domain = bb_text(b, "");
    row->name = bb_text(b, op);
    row->since = since;
    row->inputs = bb_put(b, inputs, n * 4, n);
    row->outputs = bb_put(b, outputs, m * 4, m);
    row->attributes = (ptp_ref){b->attribute_count, 0};
    row->bodies = row->captures = bb_put(b, NULL, 0, 0);
    row->unit = b->node_count;
    for (uint32_t i = 0; i < m; i++) {
        if (outputs[i] != PARTITA_NONE) b->values[outputs[i]].producer = b->node_count;
    }
    return b->node_count++;
}

static inline void bb_attribute(block_build *b, const char *name, uint32_t type, const void *data, uint32_t bytes,
                                uint32_t count) {
    assert(b->attribute_count < BB_MAX && b->node_count > 0);
    ptp_attribute_row *row = &b->attributes[b->attribute_count++];
    row->name = bb_text(b, name);
    row->type = type;
    row->data = bb_put(b, data, bytes, count);
    b->nodes[b->node_count - 1].attributes.count++;
}
static inline void bb_int(block_build *b, const char *name, int64_t value) {
    bb_attribute(b, name, PTP_ATTRIBUTE_INT, &value, 8, 1);
}
static inline void bb_float(block_build *b, const char *name, float value) {
    bb_attribute(b, name, PTP_ATTRIBUTE_FLOAT, &value, 4, 1);
}
static inline void bb_string(block_build *b, const char *name, const char *value) {
    bb_attribute(b, name, PTP_ATTRIBUTE_STRING, value, (uint32_t)strlen(value), (uint32_t)strlen(value));
}
static inline void bb_ints(block_build *b, const char *name, const int64_t *values, uint32_t count) {
    bb_attribute(b, name, PTP_ATTRIBUTE_INTS, values, count * 8, count);
}
static inline void bb_floats(block_build *b, const char *name, const float *values, uint32_t count) {
    bb_attribute(b, name, PTP_ATTRIBUTE_FLOATS, values, count * 4, count);
}
static inline void bb_strings(block_build *b, const char *name, const char *const *values, uint32_t count) {
    ptp_ref refs[16];
    assert(count <= 16);
    for (uint32_t i = 0; i < count; i++) refs[i] = bb_text(b, values[i]);
    bb_attribute(b, name, PTP_ATTRIBUTE_STRINGS, refs, count * (uint32_t)sizeof(ptp_ref), count);
}
static inline void bb_tensor(block_build *b, const char *name, uint32_t value) {
    bb_attribute(b, name, PTP_ATTRIBUTE_TENSOR, &value, 4, 1);
}

#define BB_TABLE(rows, n, type)                                                                                        \
    (ptp_table) { bb_put(b, rows, (n) * (uint32_t)sizeof(type), n).offset, n, sizeof(type), 0 }

/* The block, with one unit per node. Owned by the builder. */
static inline const ptp_block *bb_finish(block_build *b) {
    static const char domain[] = "";
    ptp_unit_row units[BB_MAX];
    memset(units, 0, sizeof(units));
    ptp_graph_row graph = {.node_count = b->node_count, .parent = PARTITA_NONE};
    graph.name = bb_text(b, "part");
    graph.inputs = bb_put(b, b->inputs, b->input_count * 4, b->input_count);
    graph.outputs = bb_put(b, b->outputs, b->output_count * 4, b->output_count);
    for (uint32_t i = 0; i < b->node_count; i++) {
        units[i].kind = PTP_UNIT_NODE;
        units[i].nodes = bb_put(b, &i, 4, 1);
        units[i].parent = PARTITA_NONE;
    }
    ptp_opset_row opset = {bb_put(b, domain, 0, 0), 21};
    ptp_block head = {.size = sizeof(ptp_block), .version = 1};
    head.graphs = BB_TABLE(&graph, 1, ptp_graph_row);
    head.nodes = BB_TABLE(b->nodes, b->node_count, ptp_node_row);
    head.values = BB_TABLE(b->values, b->value_count, ptp_value_row);
    head.attributes = BB_TABLE(b->attributes, b->attribute_count, ptp_attribute_row);
    head.units = BB_TABLE(units, b->node_count, ptp_unit_row);
    head.opsets = BB_TABLE(&opset, 1, ptp_opset_row);
    head.bytes = sizeof(ptp_block) + b->used;
    b->block = malloc(head.bytes);
    assert(b->block);
    memcpy(b->block, &head, sizeof(head));
    memcpy(b->block + 1, b->heap, b->used);
    return b->block;
}

static inline void bb_free(block_build *b) {
    free(b->block);
    free(b->heap);
    memset(b, 0, sizeof(*b));
}

#endif
