/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pre-scan walks the file twice by protobuf-c's own descriptors: once to check and to count, once to write the
 * skeleton into a block of the counted size.
 */
#include "onnx/scan.h"
#include "onnx/wire.h"

#include "graph/model.h"
#include <onnx/onnx-ml.pb-c.h>

enum {
    MAX_MESSAGES = 128, /* nested in each other; other parsers stop at 100 */
    MAX_GRAPHS = 32,    /* nested in each other */
    BUDGET_FACTOR = 20,
    BUDGET_BASE = 16 << 20,
    BULK_BYTES = 65536,   /* typed data from this size on isn't parsed but referenced */
    FIELDS_ON_STACK = 16, /* fields of one message that protobuf-c parses without allocating */
    FIELD_COST = 64
};

typedef struct scanner {
    const uint8_t *data;
    uint8_t *out;    /* NULL: count only */
    uint64_t size;   /* written or counted */
    uint64_t room;   /* of out: a mapped file may change between the two walks */
    uint64_t cost;   /* of protobuf-c and of the model */
    uint64_t kept;   /* bytes of the file that are structure */
    uint64_t budget; /* 0: by `kept` */
} scanner;

/* What the model keeps for a message beside protobuf-c's struct. */
static uint64_t model_cost(const ProtobufCMessageDescriptor *message) {
    if (message == &onnx__node_proto__descriptor) return sizeof(pt_node) + sizeof(pt_source) + 64;
    if (message == &onnx__attribute_proto__descriptor) return sizeof(pt_attribute);
    if (message == &onnx__tensor_proto__descriptor) {
        return sizeof(pt_value) + sizeof(pt_tensor) + sizeof(pt_weight) + 128;
    }
    return 0;
}

/* Fields that nobody reads, by name. */
static bool is_dropped(const ProtobufCMessageDescriptor *message, const ProtobufCFieldDescriptor *field) {
    static const char *const everywhere[] = {"training_info",           "configuration", "device_configurations",
                                             "quantization_annotation", "denotation",    "segment"};
    static const char *const inside[] = {"doc_string", "metadata_props"};
    for (size_t i = 0; i < PT_COUNT_OF(everywhere); i++) {
        if (strcmp(field->name, everywhere[i]) == 0) return true;
    }
    if (message == &onnx__model_proto__descriptor) return false;
    for (size_t i = 0; i < PT_COUNT_OF(inside); i++) {
        if (strcmp(field->name, inside[i]) == 0) return true;
    }
    return false;
}

static partita_status malformed(uint64_t at, const char *what) {
    return pt_fail(PARTITA_BAD_MODEL, "byte %llu: %s", (unsigned long long)at, what);
}

static void emit(scanner *scan, const void *bytes, uint64_t count) {
    if (scan->out && scan->size <= scan->room && count <= scan->room - scan->size) {
        memcpy(scan->out + scan->size, bytes, (size_t)count);
    }
    scan->size += count;
}

static void emit_tag(scanner *scan, uint32_t field, uint32_t wire) {
    uint8_t tag[10];
    emit(scan, tag, pt_wire_put_varint(tag, (uint64_t)field << 3 | wire));
}

/* Bytes of an element in protobuf-c's arrays, and how it stands on the wire; strings and messages have none. */
static uint32_t element_bytes(ProtobufCType type, uint32_t *out_wire) {
    switch (type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32: *out_wire = PT_WIRE_FIXED32; return 4;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64: *out_wire = PT_WIRE_FIXED64; return 8;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SINT64: *out_wire = PT_WIRE_VARINT; return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: *out_wire = PT_WIRE_BYTES; return 0;
    default: *out_wire = PT_WIRE_VARINT; return 4;
    }
}

/* A message being walked. */
typedef struct walk {
    const ProtobufCMessageDescriptor *message;
    uint64_t seen; /* bit i: singular field i was there */
    bool bulk;     /* of a tensor: its data is referenced */
    uint32_t depth, graphs;
} walk;

/* One field of the file. */
typedef struct piece {
    const ProtobufCFieldDescriptor *field;
    uint32_t number, wire;
    uint64_t begin, end; /* of its bytes, behind the length */
} piece;

static partita_status walk_message(scanner *scan, const ProtobufCMessageDescriptor *message, uint64_t begin,
                                   uint64_t end, uint32_t depth, uint32_t graphs);

static partita_status read_piece(const scanner *scan, uint64_t end, uint64_t *at, piece *out) {
    uint64_t tag, length, start = *at;
    if (!pt_wire_varint(scan->data, end, at, &tag) || tag > UINT32_MAX) return malformed(start, "not a field");
    out->number = (uint32_t)(tag >> 3);
    out->wire = (uint32_t)(tag & 7);
    if (out->number == 0) return malformed(start, "field number 0");
    out->begin = *at;
    switch (out->wire) {
    case PT_WIRE_VARINT:
        if (!pt_wire_varint(scan->data, end, at, &length)) return malformed(start, "a number is cut off or too long");
        break;
    case PT_WIRE_FIXED32:
    case PT_WIRE_FIXED64: {
        uint64_t bytes = out->wire == PT_WIRE_FIXED32 ? 4 : 8;
        if (end - *at < bytes) return malformed(start, "a number is cut off");
        *at += bytes;
        break;
    }
    case PT_WIRE_BYTES:
        if (!pt_wire_varint(scan->data, end, at, &length)) return malformed(start, "a length is cut off or too long");
        if (length > end - *at) return malformed(start, "a field reaches beyond the end of what holds it");
        out->begin = *at;
        *at += length;
        break;
    default: return malformed(start, "unknown wire type");
    }
    out->end = *at;
    return PARTITA_OK;
}

/* A tensor's bulk: only where it lies goes into the skeleton. */
static partita_status put_bulk(scanner *scan, walk *tensor, const piece *p) {
    pt_bulk bulk = {.offset = p->begin, .bytes = p->end - p->begin, .field = p->number};
    if (tensor->bulk) return malformed(p->begin, "a tensor has its data twice");
    tensor->bulk = true;
    emit_tag(scan, PT_BULK_RAW, PT_WIRE_BYTES);
    uint8_t length = sizeof bulk;
    emit(scan, &length, 1);
    emit(scan, &bulk, sizeof bulk);
    scan->cost += sizeof bulk;
    return PARTITA_OK;
}

static partita_status put_message(scanner *scan, const walk *outer, const piece *p) {
    emit_tag(scan, p->number, PT_WIRE_BYTES);
    uint64_t length_at = scan->size;
    scan->size += PT_WIRE_LENGTH_BYTES;
    PT_TRY(walk_message(scan, p->field->descriptor, p->begin, p->end, outer->depth + 1, outer->graphs));
    uint64_t length = scan->size - length_at - PT_WIRE_LENGTH_BYTES;
    if (length > INT32_MAX) return pt_fail(PARTITA_OVER_BUDGET, "the model's structure is larger than 2 GiB");
    if (scan->out && scan->size <= scan->room) pt_wire_put_length(scan->out + length_at, (uint32_t)length);
    return PARTITA_OK;
}

static partita_status put_bytes(scanner *scan, walk *w, const piece *p) {
    uint64_t bytes = p->end - p->begin;
    bool tensor = w->message == &onnx__tensor_proto__descriptor;
    if (tensor && p->number == PT_BULK_RAW) return put_bulk(scan, w, p);
    if (p->field->type == PROTOBUF_C_TYPE_MESSAGE) return put_message(scan, w, p);
    if (p->field->type == PROTOBUF_C_TYPE_STRING && memchr(scan->data + p->begin, 0, (size_t)bytes)) {
        return malformed(p->begin, "a name contains a zero byte");
    }
    uint32_t element_wire, element = element_bytes(p->field->type, &element_wire);
    if (element) {
        /* A packed array; numbers of fixed size lie in the file as a tensor wants them. */
        if (bytes % element != 0 && element_wire != PT_WIRE_VARINT) return malformed(p->begin, "an array is cut off");
        bool fixed = element_wire != PT_WIRE_VARINT;
        if (tensor && fixed && bytes >= BULK_BYTES) return put_bulk(scan, w, p);
        scan->cost += fixed ? bytes : bytes * element;
    } else {
        scan->cost += bytes + 32;
    }
    if (bytes > INT32_MAX) return pt_fail(PARTITA_OVER_BUDGET, "a field is larger than 2 GiB");
    uint8_t length[10];
    emit_tag(scan, p->number, PT_WIRE_BYTES);
    emit(scan, length, pt_wire_put_varint(length, bytes));
    emit(scan, scan->data + p->begin, bytes);
    scan->kept += bytes;
    return PARTITA_OK;
}

static partita_status put_piece(scanner *scan, walk *w, const piece *p) {
    uint32_t wire, element = element_bytes(p->field->type, &wire);
    bool repeated = p->field->label == PROTOBUF_C_LABEL_REPEATED;
    if (p->wire != wire && !(repeated && element && p->wire == PT_WIRE_BYTES)) {
        return pt_fail(PARTITA_BAD_MODEL, "byte %llu: field %s of %s has the wrong type", (unsigned long long)p->begin,
                       p->field->name, w->message->short_name);
    }
    if (!repeated) {
        uint64_t bit = UINT64_C(1) << (p->field - w->message->fields);
        if (w->seen & bit) {
            return pt_fail(PARTITA_BAD_MODEL, "byte %llu: field %s of %s is there twice", (unsigned long long)p->begin,
                           p->field->name, w->message->short_name);
        }
        w->seen |= bit;
    }
    if (p->wire == PT_WIRE_BYTES) return put_bytes(scan, w, p);
    emit_tag(scan, p->number, p->wire);
    emit(scan, scan->data + p->begin, p->end - p->begin);
    scan->cost += repeated ? element : 0;
    scan->kept += p->end - p->begin;
    return PARTITA_OK;
}

static partita_status walk_message(scanner *scan, const ProtobufCMessageDescriptor *message, uint64_t begin,
                                   uint64_t end, uint32_t depth, uint32_t graphs) {
    walk w = {.message = message, .depth = depth, .graphs = graphs};
    if (message == &onnx__graph_proto__descriptor) w.graphs++;
    if (w.graphs > MAX_GRAPHS) return malformed(begin, "graphs are nested more than 32 deep");
    if (depth > MAX_MESSAGES) return malformed(begin, "messages are nested more than 128 deep");
    scan->cost += message->sizeof_message + 2 * sizeof(void *) + model_cost(message);
    uint64_t at = begin, fields = 0;
    while (at < end) {
        piece p;
        uint64_t start = at;
        PT_TRY(read_piece(scan, end, &at, &p));
        p.field = protobuf_c_message_descriptor_get_field(message, p.number);
        if (!p.field || is_dropped(message, p.field)) continue;
        if (++fields > FIELDS_ON_STACK) scan->cost += FIELD_COST;
        scan->kept += p.begin - start;
        PT_TRY(put_piece(scan, &w, &p));
        if (!scan->out && scan->budget && scan->cost > scan->budget) break;
    }
    return PARTITA_OK;
}

static uint64_t budget_of(const scanner *scan, uint64_t budget) {
    if (budget) return budget;
    return BUDGET_BASE + PT_MIN(scan->kept, (UINT64_MAX - BUDGET_BASE) / BUDGET_FACTOR) * BUDGET_FACTOR;
}

partita_status pt_onnx_scan(const void *data, uint64_t size, const ProtobufCMessageDescriptor *root, uint64_t budget,
                            pt_scan *out_scan) {
    scanner scan = {.data = data, .budget = budget};
    if (size == 0) return pt_fail(PARTITA_BAD_MODEL, "the file is empty");
    PT_TRY(walk_message(&scan, root, 0, size, 0, 0));
    uint64_t limit = budget_of(&scan, budget), skeleton = scan.size, cost = scan.cost;
    if (cost > limit || skeleton > limit - cost) {
        return pt_fail(PARTITA_OVER_BUDGET,
                       "the model's structure needs %llu bytes of memory, the budget for it is %llu",
                       (unsigned long long)(cost + skeleton), (unsigned long long)limit);
    }
    scan = (scanner){.data = data, .room = skeleton, .out = pt_malloc(skeleton ? (size_t)skeleton : 1)};
    if (!scan.out) return PT_OUT_OF_MEMORY();
    partita_status status = walk_message(&scan, root, 0, size, 0, 0);
    if (status == PARTITA_OK && scan.size != skeleton) {
        status = pt_fail(PARTITA_BAD_MODEL, "the file changed while it was read");
    }
    if (status != PARTITA_OK) {
        pt_free(scan.out);
        return status;
    }
    *out_scan = (pt_scan){scan.out, skeleton, limit, cost};
    return PARTITA_OK;
}

/* ---- unpacking ------------------------------------------------------------------------------- */

typedef struct bounded {
    pt_arena *arena;
    uint64_t left;
    bool over_budget, out_of_memory;
} bounded;

static void *bounded_alloc(void *user, size_t bytes) {
    bounded *b = user;
    if (bytes > b->left) {
        b->over_budget = true;
        return NULL;
    }
    b->left -= bytes;
    void *memory = pt_arena_alloc(b->arena, bytes);
    if (!memory) b->out_of_memory = true;
    return memory;
}

/* The arena is freed as a whole. */
static void bounded_free(void *user, void *memory) {
    PT_UNUSED(user);
    PT_UNUSED(memory);
}

partita_status pt_onnx_unpack(const void *data, uint64_t size, const ProtobufCMessageDescriptor *root, uint64_t budget,
                              pt_arena *arena, ProtobufCMessage **out_message, uint64_t *out_left) {
    pt_scan scan;
    PT_TRY(pt_onnx_scan(data, size, root, budget, &scan));
    bounded memory = {.arena = arena, .left = scan.budget};
    ProtobufCAllocator allocator = {bounded_alloc, bounded_free, &memory};
    *out_message = protobuf_c_message_unpack(root, &allocator, (size_t)scan.size, scan.skeleton);
    pt_free(scan.skeleton);
    if (memory.out_of_memory) return PT_OUT_OF_MEMORY();
    if (memory.over_budget) {
        return pt_fail(PARTITA_OVER_BUDGET, "the model's structure exceeds the budget of %llu bytes",
                       (unsigned long long)scan.budget);
    }
    if (!*out_message) return pt_fail(PARTITA_BAD_MODEL, "the file is no ONNX model");
    *out_left = memory.left;
    return PARTITA_OK;
}
