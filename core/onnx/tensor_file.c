/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading values goes the way of models: pre-scan, skeleton, protobuf-c; so data files may be as hostile as models.
 */
#include "onnx/tensor_file.h"
#include "onnx/encode.h"
#include "onnx/scan.h"
#include "onnx/tensor.h"

#include <errno.h>
#include <fcntl.h>
#include <onnx/onnx-data.pb-c.h>
#include <stdio.h>
#include <unistd.h>

typedef struct reader {
    pt_onnx_origin origin;
    pt_arena *arena;
} reader;

static partita_status copy_name(reader *r, const char *name, partita_str *out) {
    *out = pt_arena_str(r->arena, pt_onnx_str(name));
    return out->data ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status read_tensor(reader *r, const Onnx__TensorProto *proto, pt_item *out) {
    pt_onnx_data data;
    if (!proto) return pt_fail(PARTITA_BAD_INPUT, "a tensor is missing");
    PT_TRY(pt_onnx_decode(&r->origin, proto, r->arena, &data));
    void *copy = pt_arena_alloc(r->arena, (size_t)data.weight->bytes);
    int64_t *dims = pt_arena_array(r->arena, data.rank, sizeof *dims);
    if (copy && data.weight->bytes) memcpy(copy, data.weight->data, (size_t)data.weight->bytes);
    if (dims && data.rank) memcpy(dims, data.dims, data.rank * sizeof *dims);
    *out = (pt_item){.kind = PARTITA_KIND_TENSOR,
                     .dtype = data.dtype,
                     .rank = data.rank,
                     .dims = dims,
                     .count = data.count,
                     .data = copy,
                     .bytes = data.weight->bytes,
                     .offsets = data.offsets};
    pt_weight_release(data.weight);
    return copy && dims ? copy_name(r, proto->name, &out->name) : PT_OUT_OF_MEMORY();
}

static partita_status new_items(reader *r, uint64_t count, pt_item *out) {
    out->items = pt_arena_array(r->arena, (size_t)count, sizeof *out->items);
    out->item_count = count;
    return out->items ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status read_sparse(reader *r, const Onnx__SparseTensorProto *proto, pt_item *out) {
    if (!proto || !proto->values || !proto->indices) return pt_fail(PARTITA_BAD_INPUT, "a sparse tensor is missing");
    *out = (pt_item){.kind = PARTITA_KIND_SPARSE, .rank = (uint32_t)proto->n_dims};
    int64_t *dims = pt_arena_array(r->arena, proto->n_dims, sizeof *dims);
    if (!dims) return PT_OUT_OF_MEMORY();
    if (proto->n_dims) memcpy(dims, proto->dims, proto->n_dims * sizeof *dims);
    out->dims = dims;
    if (!pt_dims_count(dims, out->rank, &out->count)) return pt_fail(PARTITA_BAD_INPUT, "its dims are too large");
    PT_TRY(new_items(r, 2, out));
    PT_TRY(read_tensor(r, proto->values, &out->items[0]));
    PT_TRY(read_tensor(r, proto->indices, &out->items[1]));
    out->dtype = out->items[0].dtype;
    return copy_name(r, proto->values->name, &out->name);
}

static partita_status read_map(reader *r, const Onnx__MapProto *proto, pt_item *out);
static partita_status read_optional(reader *r, const Onnx__OptionalProto *proto, pt_item *out);

static partita_status read_sequence(reader *r, const Onnx__SequenceProto *proto, pt_item *out) {
    if (!proto) return pt_fail(PARTITA_BAD_INPUT, "a sequence is missing");
    *out = (pt_item){.kind = PARTITA_KIND_SEQUENCE};
    const size_t counts[] = {proto->n_tensor_values, proto->n_sparse_tensor_values, proto->n_sequence_values,
                             proto->n_map_values, proto->n_optional_values};
    size_t kind = 0, total = 0;
    for (size_t i = 0; i < PT_COUNT_OF(counts); i++) {
        total += counts[i];
        if (counts[i]) kind = i;
    }
    if (total != counts[kind]) return pt_fail(PARTITA_BAD_INPUT, "a sequence has items of several kinds");
    PT_TRY(new_items(r, total, out));
    for (size_t i = 0; i < total; i++) {
        switch (kind) {
        case 0: PT_TRY(read_tensor(r, proto->tensor_values[i], &out->items[i])); break;
        case 1: PT_TRY(read_sparse(r, proto->sparse_tensor_values[i], &out->items[i])); break;
        case 2: PT_TRY(read_sequence(r, proto->sequence_values[i], &out->items[i])); break;
        case 3: PT_TRY(read_map(r, proto->map_values[i], &out->items[i])); break;
        default: PT_TRY(read_optional(r, proto->optional_values[i], &out->items[i])); break;
        }
    }
    if (total) out->dtype = out->items[0].dtype;
    return copy_name(r, proto->name, &out->name);
}

/* ---- maps ------------------------------------------------------------------------------------ */

/* Integer keys are written as int64 whatever their type is. */
static partita_status read_keys(reader *r, const Onnx__MapProto *proto, pt_item *out) {
    int64_t *dims = pt_arena_alloc(r->arena, sizeof *dims);
    uint64_t bytes;
    Onnx__TensorProto strings = ONNX__TENSOR_PROTO__INIT;
    if (!dims) return PT_OUT_OF_MEMORY();
    if (proto->key_type == PARTITA_STRING) {
        dims[0] = (int64_t)proto->n_string_keys;
        strings.n_dims = 1;
        strings.dims = dims;
        strings.data_type = PARTITA_STRING;
        strings.n_string_data = proto->n_string_keys;
        strings.string_data = proto->string_keys;
        return read_tensor(r, &strings, out);
    }
    partita_dtype dtype = (partita_dtype)proto->key_type;
    uint32_t size = pt_dtype_bits(dtype) / 8;
    if (size == 0) return pt_fail(PARTITA_BAD_INPUT, "keys of a map have type %d", (int)proto->key_type);
    dims[0] = (int64_t)proto->n_keys;
    *out = (pt_item){.kind = PARTITA_KIND_TENSOR, .dtype = dtype, .rank = 1, .dims = dims, .count = proto->n_keys};
    if (!pt_dtype_bytes(dtype, out->count, &bytes)) return PT_OUT_OF_MEMORY();
    char *keys = pt_arena_alloc(r->arena, (size_t)bytes);
    if (!keys) return PT_OUT_OF_MEMORY();
    /* The low bytes, which come first. */
    for (size_t i = 0; i < proto->n_keys; i++) memcpy(keys + i * size, &proto->keys[i], PT_MIN(size, 8));
    out->data = keys;
    out->bytes = bytes;
    return PARTITA_OK;
}

/* Scalars of one type become one tensor. */
static partita_status join_scalars(reader *r, const pt_item *sequence, pt_item *out) {
    *out = *sequence;
    if (sequence->item_count == 0) return PARTITA_OK;
    const pt_item *first = &sequence->items[0];
    for (uint64_t i = 0; i < sequence->item_count; i++) {
        const pt_item *item = &sequence->items[i];
        bool scalar = item->kind == PARTITA_KIND_TENSOR && item->rank == 0 && item->dtype != PARTITA_STRING;
        if (!scalar || item->dtype != first->dtype) return PARTITA_OK;
    }
    int64_t *dims = pt_arena_alloc(r->arena, sizeof *dims);
    char *data = pt_arena_array(r->arena, (size_t)sequence->item_count, (size_t)first->bytes);
    if (!dims || !data) return PT_OUT_OF_MEMORY();
    *dims = (int64_t)sequence->item_count;
    for (uint64_t i = 0; i < sequence->item_count; i++) {
        memcpy(data + i * first->bytes, sequence->items[i].data, (size_t)first->bytes);
    }
    *out = (pt_item){.kind = PARTITA_KIND_TENSOR,
                     .name = sequence->name,
                     .dtype = first->dtype,
                     .rank = 1,
                     .dims = dims,
                     .count = sequence->item_count,
                     .data = data,
                     .bytes = first->bytes * sequence->item_count};
    return PARTITA_OK;
}

static partita_status read_map(reader *r, const Onnx__MapProto *proto, pt_item *out) {
    pt_item values;
    if (!proto) return pt_fail(PARTITA_BAD_INPUT, "a map is missing");
    *out = (pt_item){.kind = PARTITA_KIND_MAP};
    PT_TRY(new_items(r, 2, out));
    PT_TRY(read_keys(r, proto, &out->items[0]));
    PT_TRY(read_sequence(r, proto->values, &values));
    PT_TRY(join_scalars(r, &values, &out->items[1]));
    uint64_t count = out->items[1].kind == PARTITA_KIND_TENSOR ? out->items[1].count : out->items[1].item_count;
    if (count != out->items[0].count) return pt_fail(PARTITA_BAD_INPUT, "a map has more keys or values than the other");
    out->dtype = out->items[1].dtype;
    return copy_name(r, proto->name, &out->name);
}

static partita_status read_optional(reader *r, const Onnx__OptionalProto *proto, pt_item *out) {
    if (!proto) return pt_fail(PARTITA_BAD_INPUT, "an optional is missing");
    *out = (pt_item){.kind = PARTITA_KIND_OPTIONAL};
    bool some = proto->tensor_value || proto->sparse_tensor_value || proto->sequence_value || proto->map_value ||
                proto->optional_value;
    PT_TRY(new_items(r, some, out));
    if (proto->tensor_value) PT_TRY(read_tensor(r, proto->tensor_value, &out->items[0]));
    if (proto->sparse_tensor_value) PT_TRY(read_sparse(r, proto->sparse_tensor_value, &out->items[0]));
    if (proto->sequence_value) PT_TRY(read_sequence(r, proto->sequence_value, &out->items[0]));
    if (proto->map_value) PT_TRY(read_map(r, proto->map_value, &out->items[0]));
    if (proto->optional_value) PT_TRY(read_optional(r, proto->optional_value, &out->items[0]));
    if (some) out->dtype = out->items[0].dtype;
    return copy_name(r, proto->name, &out->name);
}

/* ---- files ----------------------------------------------------------------------------------- */

static const ProtobufCMessageDescriptor *message_of(partita_kind kind) {
    switch (kind) {
    case PARTITA_KIND_TENSOR: return &onnx__tensor_proto__descriptor;
    case PARTITA_KIND_SPARSE: return &onnx__sparse_tensor_proto__descriptor;
    case PARTITA_KIND_SEQUENCE: return &onnx__sequence_proto__descriptor;
    case PARTITA_KIND_MAP: return &onnx__map_proto__descriptor;
    case PARTITA_KIND_OPTIONAL: return &onnx__optional_proto__descriptor;
    default: return NULL;
    }
}

static partita_status read_mapping(pt_mapping *mapping, partita_kind kind, pt_arena *arena, pt_item *out) {
    const ProtobufCMessageDescriptor *descriptor = message_of(kind);
    pt_onnx_files files = {0}; /* no folder: data files are complete */
    pt_arena message_arena = {0};
    ProtobufCMessage *message = NULL;
    uint64_t left = 0;
    reader r = {.origin = {.mapping = mapping, .files = &files, .left = &left}, .arena = arena};
    partita_status status = PARTITA_OK;
    if (!descriptor) return pt_fail(PARTITA_INVALID_ARGUMENT, "no kind of value: %u", kind);
    /* An empty message is an empty file: an optional or a sequence without anything. */
    bool empty = pt_mapping_bytes(mapping) == 0 && kind != PARTITA_KIND_TENSOR && kind != PARTITA_KIND_SPARSE;
    if (empty) {
        *out = (pt_item){.kind = kind, .name = PT_STR("")};
        return PARTITA_OK;
    }
    PT_CHECK(pt_onnx_unpack(pt_mapping_data(mapping), pt_mapping_bytes(mapping), descriptor, 0, &message_arena,
                            &message, &left));
    switch (kind) {
    case PARTITA_KIND_TENSOR: status = read_tensor(&r, (const Onnx__TensorProto *)message, out); break;
    case PARTITA_KIND_SPARSE: status = read_sparse(&r, (const Onnx__SparseTensorProto *)message, out); break;
    case PARTITA_KIND_SEQUENCE: status = read_sequence(&r, (const Onnx__SequenceProto *)message, out); break;
    case PARTITA_KIND_MAP: status = read_map(&r, (const Onnx__MapProto *)message, out); break;
    default: status = read_optional(&r, (const Onnx__OptionalProto *)message, out); break;
    }
out:
    pt_arena_deinit(&message_arena);
    return status == PARTITA_BAD_MODEL ? PARTITA_BAD_INPUT : status;
}

partita_status pt_item_read(const void *data, uint64_t size, partita_kind kind, pt_arena *arena, pt_item *out_item) {
    pt_mapping *mapping = NULL;
    PT_TRY(pt_mapping_from_memory(data, size, false, &mapping));
    partita_status status = read_mapping(mapping, kind, arena, out_item);
    pt_mapping_release(mapping);
    return status;
}

partita_status pt_item_read_file(const char *path, partita_kind kind, pt_arena *arena, pt_item *out_item) {
    pt_mapping *mapping = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
    partita_status status = pt_mapping_open_fd(fd, path, true, &mapping);
    close(fd);
    if (status != PARTITA_OK) return status;
    status = read_mapping(mapping, kind, arena, out_item);
    pt_mapping_release(mapping);
    return status ? pt_annotate(status, "%s", path) : PARTITA_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static partita_status write_any(pt_arena *arena, const pt_item *item, ProtobufCMessage **out);

static partita_status write_tensor(pt_arena *arena, const pt_item *item, Onnx__TensorProto *out) {
    if (item->name.size && !(out->name = pt_encode_str(arena, item->name))) return PT_OUT_OF_MEMORY();
    return pt_encode_tensor(arena, item->dtype, item->rank, item->dims, item->data, item->bytes, item->offsets, out);
}

/* Items of one kind into the field of that kind; the arrays are of pointers to messages. */
static partita_status write_sequence(pt_arena *arena, const pt_item *item, Onnx__SequenceProto *out) {
    size_t count = (size_t)item->item_count;
    ProtobufCMessage **messages = pt_arena_array(arena, count, sizeof *messages);
    partita_kind kind = count ? item->items[0].kind : PARTITA_KIND_TENSOR;
    if (!messages) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) {
        if (item->items[i].kind != kind) return pt_fail(PARTITA_INVALID_ARGUMENT, "items of several kinds");
        PT_TRY(write_any(arena, &item->items[i], &messages[i]));
    }
    if (item->name.size && !(out->name = pt_encode_str(arena, item->name))) return PT_OUT_OF_MEMORY();
    out->has_elem_type = true;
    out->elem_type = (int32_t)kind; /* ONNX numbers kinds as we do */
    switch (kind) {
    case PARTITA_KIND_TENSOR:
        out->n_tensor_values = count;
        out->tensor_values = (Onnx__TensorProto **)messages;
        break;
    case PARTITA_KIND_SPARSE:
        out->n_sparse_tensor_values = count;
        out->sparse_tensor_values = (Onnx__SparseTensorProto **)messages;
        break;
    case PARTITA_KIND_SEQUENCE:
        out->n_sequence_values = count;
        out->sequence_values = (Onnx__SequenceProto **)messages;
        break;
    case PARTITA_KIND_MAP:
        out->n_map_values = count;
        out->map_values = (Onnx__MapProto **)messages;
        break;
    default:
        out->n_optional_values = count;
        out->optional_values = (Onnx__OptionalProto **)messages;
        break;
    }
    return PARTITA_OK;
}

/* A tensor of a map's values as a sequence of scalars. */
static partita_status split_scalars(pt_arena *arena, const pt_item *values, pt_item *out) {
    *out = (pt_item){.kind = PARTITA_KIND_SEQUENCE, .name = values->name, .item_count = values->count};
    out->items = pt_arena_array(arena, (size_t)values->count, sizeof *out->items);
    if (!out->items) return PT_OUT_OF_MEMORY();
    uint64_t size = pt_dtype_bits(values->dtype) / 8;
    if (size == 0) return pt_fail(PARTITA_INVALID_ARGUMENT, "values of a map have no size");
    for (uint64_t i = 0; i < values->count; i++) {
        out->items[i] = (pt_item){.kind = PARTITA_KIND_TENSOR,
                                  .dtype = values->dtype,
                                  .count = 1,
                                  .data = (const char *)values->data + i * size,
                                  .bytes = size};
    }
    return PARTITA_OK;
}

static partita_status write_map(pt_arena *arena, const pt_item *item, Onnx__MapProto *out) {
    if (item->item_count != 2) return pt_fail(PARTITA_INVALID_ARGUMENT, "a map without keys and values");
    const pt_item *keys = &item->items[0], *values = &item->items[1];
    pt_item split;
    ProtobufCMessage *message;
    if (item->name.size && !(out->name = pt_encode_str(arena, item->name))) return PT_OUT_OF_MEMORY();
    out->has_key_type = true;
    out->key_type = (int32_t)keys->dtype;
    if (keys->dtype == PARTITA_STRING) {
        Onnx__TensorProto strings = ONNX__TENSOR_PROTO__INIT;
        PT_TRY(write_tensor(arena, keys, &strings));
        out->n_string_keys = strings.n_string_data;
        out->string_keys = strings.string_data;
    } else {
        uint64_t size = pt_dtype_bits(keys->dtype) / 8;
        out->n_keys = (size_t)keys->count;
        out->keys = pt_arena_array(arena, out->n_keys, sizeof *out->keys);
        if (!out->keys) return PT_OUT_OF_MEMORY();
        for (size_t i = 0; i < out->n_keys; i++) {
            const char *at = (const char *)keys->data + i * size;
            bool is_signed =
                keys->dtype == PARTITA_INT8 || keys->dtype == PARTITA_INT16 || keys->dtype == PARTITA_INT32;
            if (is_signed && (at[size - 1] & 0x80)) out->keys[i] = -1;
            memcpy(&out->keys[i], at, (size_t)PT_MIN(size, 8));
        }
    }
    if (values->kind == PARTITA_KIND_TENSOR) {
        PT_TRY(split_scalars(arena, values, &split));
        values = &split;
    }
    PT_TRY(write_any(arena, values, &message));
    out->values = (Onnx__SequenceProto *)message;
    return PARTITA_OK;
}

static partita_status write_optional(pt_arena *arena, const pt_item *item, Onnx__OptionalProto *out) {
    ProtobufCMessage *message;
    if (item->name.size && !(out->name = pt_encode_str(arena, item->name))) return PT_OUT_OF_MEMORY();
    if (item->item_count == 0) return PARTITA_OK;
    PT_TRY(write_any(arena, &item->items[0], &message));
    out->has_elem_type = true;
    out->elem_type = (int32_t)item->items[0].kind;
    switch (item->items[0].kind) {
    case PARTITA_KIND_TENSOR: out->tensor_value = (Onnx__TensorProto *)message; break;
    case PARTITA_KIND_SPARSE: out->sparse_tensor_value = (Onnx__SparseTensorProto *)message; break;
    case PARTITA_KIND_SEQUENCE: out->sequence_value = (Onnx__SequenceProto *)message; break;
    case PARTITA_KIND_MAP: out->map_value = (Onnx__MapProto *)message; break;
    default: out->optional_value = (Onnx__OptionalProto *)message; break;
    }
    return PARTITA_OK;
}

static partita_status write_sparse(pt_arena *arena, const pt_item *item, Onnx__SparseTensorProto *out) {
    ProtobufCMessage *parts[2];
    if (item->item_count != 2) return pt_fail(PARTITA_INVALID_ARGUMENT, "a sparse tensor without values and indices");
    for (int i = 0; i < 2; i++) PT_TRY(write_any(arena, &item->items[i], &parts[i]));
    int64_t *dims = pt_arena_array(arena, item->rank, sizeof *dims);
    if (!dims) return PT_OUT_OF_MEMORY();
    if (item->rank) memcpy(dims, item->dims, item->rank * sizeof *dims);
    out->values = (Onnx__TensorProto *)parts[0];
    out->indices = (Onnx__TensorProto *)parts[1];
    out->n_dims = item->rank;
    out->dims = dims;
    return PARTITA_OK;
}

static partita_status write_any(pt_arena *arena, const pt_item *item, ProtobufCMessage **out) {
    const ProtobufCMessageDescriptor *descriptor = message_of(item->kind);
    if (!descriptor) return pt_fail(PARTITA_INVALID_ARGUMENT, "no kind of value: %u", item->kind);
    *out = pt_encode_new(arena, descriptor);
    if (!*out) return PT_OUT_OF_MEMORY();
    switch (item->kind) {
    case PARTITA_KIND_TENSOR: return write_tensor(arena, item, (Onnx__TensorProto *)*out);
    case PARTITA_KIND_SPARSE: return write_sparse(arena, item, (Onnx__SparseTensorProto *)*out);
    case PARTITA_KIND_SEQUENCE: return write_sequence(arena, item, (Onnx__SequenceProto *)*out);
    case PARTITA_KIND_MAP: return write_map(arena, item, (Onnx__MapProto *)*out);
    default: return write_optional(arena, item, (Onnx__OptionalProto *)*out);
    }
}

partita_status pt_item_write(const pt_item *item, void **out_bytes, uint64_t *out_size) {
    partita_status status;
    pt_arena arena = {0};
    ProtobufCMessage *message = NULL;
    PT_CHECK(write_any(&arena, item, &message));
    size_t size = protobuf_c_message_get_packed_size(message);
    void *bytes = pt_malloc(size ? size : 1);
    if (!bytes) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    protobuf_c_message_pack(message, bytes);
    *out_bytes = bytes;
    *out_size = size;
out:
    pt_arena_deinit(&arena);
    return status;
}

partita_status pt_item_write_file(const char *path, const pt_item *item) {
    void *bytes = NULL;
    uint64_t size;
    PT_TRY(pt_item_write(item, &bytes, &size));
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(bytes, 1, (size_t)size, file) == size;
    if (file && fclose(file) != 0) written = false;
    pt_free(bytes);
    return written ? PARTITA_OK : pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
}
