/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds messages in protobuf's wire format by hand, well-formed or not: what no library would write.
 */
#ifndef PT_TESTS_HOSTILE_BYTES_H
#define PT_TESTS_HOSTILE_BYTES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    uint8_t *data;
    size_t size, capacity;
} bytes;

static inline void bytes_add(bytes *b, const void *data, size_t size) {
    if (b->size + size > b->capacity) {
        b->capacity = (b->size + size) * 2;
        b->data = realloc(b->data, b->capacity);
        if (!b->data) abort();
    }
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline void bytes_free(bytes *b) {
    free(b->data);
    *b = (bytes){0};
}

static inline void bytes_varint(bytes *b, uint64_t value) {
    uint8_t byte;
    for (; value >= 0x80; value >>= 7) {
        byte = (uint8_t)(value | 0x80);
        bytes_add(b, &byte, 1);
    }
    byte = (uint8_t)value;
    bytes_add(b, &byte, 1);
}

static inline void bytes_tag(bytes *b, uint32_t field, uint32_t wire) { bytes_varint(b, (uint64_t)field << 3 | wire); }

static inline void bytes_int(bytes *b, uint32_t field, int64_t value) {
    bytes_tag(b, field, 0);
    bytes_varint(b, (uint64_t)value);
}

static inline void bytes_block(bytes *b, uint32_t field, const void *data, size_t size) {
    bytes_tag(b, field, 2);
    bytes_varint(b, size);
    bytes_add(b, data, size);
}

static inline void bytes_str(bytes *b, uint32_t field, const char *text) { bytes_block(b, field, text, strlen(text)); }

/* Puts `inner` in as a field and frees it. */
static inline void bytes_message(bytes *b, uint32_t field, bytes *inner) {
    bytes_block(b, field, inner->data, inner->size);
    bytes_free(inner);
}

/* Numbers of fields, by message. */
enum { MODEL_IR = 1, MODEL_GRAPH = 7, MODEL_OPSET = 8, MODEL_FUNCTION = 25 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_INT = 3, ATTRIBUTE_TENSOR = 5, ATTRIBUTE_GRAPH = 6, ATTRIBUTE_TYPE = 20 };
enum {
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_FLOATS = 4,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_EXTERNAL = 13,
    TENSOR_LOCATION = 14
};
enum {
    FUNCTION_NAME = 1,
    FUNCTION_INPUT = 4,
    FUNCTION_OUTPUT = 5,
    FUNCTION_NODE = 7,
    FUNCTION_OPSET = 9,
    FUNCTION_DOMAIN = 10
};

static inline void bytes_opset(bytes *b, uint32_t field, const char *domain, int64_t version) {
    bytes opset = {0};
    bytes_str(&opset, 1, domain);
    bytes_int(&opset, 2, version);
    bytes_message(b, field, &opset);
}

/* A model around the graph, which is freed. */
static inline bytes bytes_model(bytes *graph) {
    bytes model = {0};
    bytes_int(&model, MODEL_IR, 8);
    bytes_opset(&model, MODEL_OPSET, "", 17);
    bytes_message(&model, MODEL_GRAPH, graph);
    return model;
}

static inline bytes bytes_node(const char *op, const char *domain, const char *input, const char *output) {
    bytes node = {0};
    if (input) bytes_str(&node, NODE_INPUT, input);
    if (output) bytes_str(&node, NODE_OUTPUT, output);
    bytes_str(&node, NODE_OP, op);
    if (domain) bytes_str(&node, NODE_DOMAIN, domain);
    return node;
}

/* A named value without type. */
static inline void bytes_info(bytes *graph, uint32_t field, const char *name) {
    bytes info = {0};
    bytes_str(&info, 1, name);
    bytes_message(graph, field, &info);
}

#endif
