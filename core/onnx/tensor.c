/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding of tensors. Data that lies in the file as a tensor wants it stays there; the rest is converted into memory
 * of its own, which the budget bounds.
 */
#include "onnx/tensor.h"
#include "onnx/scan.h"

/* Mapped data up to this size is copied when it isn't aligned, so that small tensors can be read as they are. */
enum { SMALL_BYTES = 4096, WEIGHT_ALIGNMENT = 16 };

static partita_status charge(pt_onnx_origin *origin, uint64_t bytes) {
    if (bytes > *origin->left) return pt_fail(PARTITA_OVER_BUDGET, "data to convert exceeds the budget of the load");
    *origin->left -= bytes;
    return PARTITA_OK;
}

static partita_status own(pt_onnx_origin *origin, uint64_t bytes, void **out_memory) {
    PT_TRY(charge(origin, bytes));
    *out_memory = pt_malloc_aligned(bytes ? (size_t)bytes : 1, WEIGHT_ALIGNMENT);
    return *out_memory ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status weight_from(pt_onnx_origin *origin, pt_mapping *mapping, uint64_t offset, uint64_t bytes,
                                  pt_weight **out_weight) {
    pt_weight *mapped = NULL;
    void *copy = NULL;
    PT_TRY(pt_weight_create_mapped(mapping, offset, bytes, &mapped));
    if (bytes > SMALL_BYTES || ((uintptr_t)mapped->data & (WEIGHT_ALIGNMENT - 1)) == 0) {
        *out_weight = mapped;
        return PARTITA_OK;
    }
    partita_status status = own(origin, bytes, &copy);
    if (status == PARTITA_OK) {
        memcpy(copy, mapped->data, (size_t)bytes);
        origin->copied += bytes;
        status = pt_weight_create_owned(copy, bytes, out_weight);
    }
    pt_weight_release(mapped);
    return status;
}

/* ---- data in the file ------------------------------------------------------------------------ */

static partita_status expect_bytes(uint64_t have, uint64_t want) {
    if (have == want) return PARTITA_OK;
    return pt_fail(PARTITA_BAD_MODEL, "has %llu bytes of data, its dims and type need %llu", (unsigned long long)have,
                   (unsigned long long)want);
}

static partita_status decode_bulk(pt_onnx_origin *origin, const Onnx__TensorProto *proto, uint64_t bytes,
                                  pt_onnx_data *out) {
    pt_bulk bulk;
    if (proto->raw_data.len != sizeof bulk) return pt_fail(PARTITA_INTERNAL, "a tensor that was not scanned");
    memcpy(&bulk, proto->raw_data.data, sizeof bulk);
    bool floats = out->dtype == PARTITA_FLOAT32 || out->dtype == PARTITA_COMPLEX64;
    bool doubles = out->dtype == PARTITA_FLOAT64 || out->dtype == PARTITA_COMPLEX128;
    if ((bulk.field == PT_BULK_FLOATS && !floats) || (bulk.field == PT_BULK_DOUBLES && !doubles)) {
        return pt_fail(PARTITA_BAD_MODEL, "its data is not in the field of its type");
    }
    if (bulk.field != PT_BULK_FLOATS && bulk.field != PT_BULK_DOUBLES && bulk.field != PT_BULK_RAW) {
        return pt_fail(PARTITA_INTERNAL, "a tensor that was not scanned");
    }
    PT_TRY(expect_bytes(bulk.bytes, bytes));
    return weight_from(origin, origin->mapping, bulk.offset, bytes, &out->weight);
}

/* Decimal digits only. */
static partita_status parse_number(const char *key, const char *text, uint64_t *out_value) {
    uint64_t value = 0;
    if (!*text) goto bad;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') goto bad;
        if (!pt_mul_u64(value, 10, &value) || !pt_add_u64(value, (uint64_t)(*text - '0'), &value)) goto bad;
    }
    *out_value = value;
    return PARTITA_OK;
bad:
    return pt_fail(PARTITA_BAD_MODEL, "the %s of its external data is no number", key);
}

static partita_status decode_external(pt_onnx_origin *origin, const Onnx__TensorProto *proto, uint64_t bytes,
                                      pt_onnx_data *out) {
    partita_str location = PT_STR("");
    uint64_t offset = 0, length = bytes;
    pt_mapping *mapping;
    if (out->dtype == PARTITA_STRING) return pt_fail(PARTITA_BAD_MODEL, "strings cannot be external data");
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const char *key = proto->external_data[i]->key, *value = proto->external_data[i]->value;
        if (!key || !value) continue;
        if (strcmp(key, "location") == 0) location = pt_str(value);
        if (strcmp(key, "offset") == 0) PT_TRY(parse_number(key, value, &offset));
        if (strcmp(key, "length") == 0) PT_TRY(parse_number(key, value, &length));
    }
    PT_TRY(expect_bytes(length, bytes));
    PT_TRY(pt_onnx_files_get(origin->files, location, &mapping));
    partita_status status = weight_from(origin, mapping, offset, bytes, &out->weight);
    return status ? pt_annotate(status, "external data %.*s", PT_STR_ARG(location)) : PARTITA_OK;
}

/* ---- data in typed fields -------------------------------------------------------------------- */

typedef enum typed_field { NO_FIELD, FLOATS, INT32S, STRINGS, INT64S, DOUBLES, UINT64S } typed_field;

/* The field that holds a type's data, and how many entries one element takes. */
static const struct {
    uint8_t field, per_element;
} typed_rows[PARTITA_DTYPE_COUNT] = {
    [PARTITA_FLOAT32] = {FLOATS, 1},     [PARTITA_COMPLEX64] = {FLOATS, 2},      [PARTITA_FLOAT64] = {DOUBLES, 1},
    [PARTITA_COMPLEX128] = {DOUBLES, 2}, [PARTITA_INT64] = {INT64S, 1},          [PARTITA_UINT64] = {UINT64S, 1},
    [PARTITA_UINT32] = {UINT64S, 1},     [PARTITA_STRING] = {STRINGS, 1},        [PARTITA_INT32] = {INT32S, 1},
    [PARTITA_INT16] = {INT32S, 1},       [PARTITA_INT8] = {INT32S, 1},           [PARTITA_UINT16] = {INT32S, 1},
    [PARTITA_UINT8] = {INT32S, 1},       [PARTITA_BOOL] = {INT32S, 1},           [PARTITA_FLOAT16] = {INT32S, 1},
    [PARTITA_BFLOAT16] = {INT32S, 1},    [PARTITA_FLOAT8E4M3FN] = {INT32S, 1},   [PARTITA_FLOAT8E4M3FNUZ] = {INT32S, 1},
    [PARTITA_FLOAT8E5M2] = {INT32S, 1},  [PARTITA_FLOAT8E5M2FNUZ] = {INT32S, 1}, [PARTITA_FLOAT8E8M0] = {INT32S, 1},
    [PARTITA_UINT4] = {INT32S, 1},       [PARTITA_INT4] = {INT32S, 1},           [PARTITA_FLOAT4E2M1] = {INT32S, 1},
    [PARTITA_UINT2] = {INT32S, 1},       [PARTITA_INT2] = {INT32S, 1},           [PARTITA_FLOAT6E2M3] = {INT32S, 1},
    [PARTITA_FLOAT6E3M2] = {INT32S, 1},
};

static partita_status decode_strings(pt_onnx_origin *origin, const Onnx__TensorProto *proto, pt_arena *arena,
                                     pt_onnx_data *out) {
    uint64_t total = 0;
    char *bytes;
    if (proto->n_string_data != out->count) {
        return pt_fail(PARTITA_BAD_MODEL, "has %zu strings, its dims need %llu", proto->n_string_data,
                       (unsigned long long)out->count);
    }
    out->offsets = pt_arena_array(arena, (size_t)out->count + 1, sizeof *out->offsets);
    if (!out->offsets) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < proto->n_string_data; i++) {
        total += proto->string_data[i].len;
        out->offsets[i + 1] = total;
    }
    void *memory;
    PT_TRY(own(origin, total, &memory));
    bytes = memory;
    for (size_t i = 0; i < proto->n_string_data; i++) {
        if (proto->string_data[i].len) {
            memcpy(bytes + out->offsets[i], proto->string_data[i].data, proto->string_data[i].len);
        }
    }
    return pt_weight_create_owned(bytes, total, &out->weight);
}

/* Elements of 6 bits, one in each entry, behind each other from the lowest bit on. */
static void pack_six(const int32_t *from, size_t count, uint8_t *to) {
    for (size_t i = 0; i < count; i++) {
        uint32_t shifted = ((uint32_t)from[i] & 63u) << (i * 6 % 8);
        to[i * 6 / 8] |= (uint8_t)shifted;
        if (shifted > 255) to[i * 6 / 8 + 1] |= (uint8_t)(shifted >> 8);
    }
}

/* Entries of int32_data are elements, or bytes of packed ones; only their low bits count. */
static void narrow_int32(const int32_t *from, size_t count, partita_dtype dtype, void *to) {
    uint32_t bits = pt_dtype_bits(dtype);
    for (size_t i = 0; i < count; i++) {
        uint32_t value = (uint32_t)from[i];
        if (bits == 32) {
            ((uint32_t *)to)[i] = value;
        } else if (bits == 16) {
            ((uint16_t *)to)[i] = (uint16_t)value;
        } else {
            ((uint8_t *)to)[i] = dtype == PARTITA_BOOL ? value != 0 : (uint8_t)value;
        }
    }
}

static partita_status decode_typed(pt_onnx_origin *origin, const Onnx__TensorProto *proto, uint64_t bytes,
                                   pt_onnx_data *out) {
    typed_field field = typed_rows[out->dtype].field;
    size_t have = field == FLOATS    ? proto->n_float_data
                  : field == DOUBLES ? proto->n_double_data
                  : field == INT64S  ? proto->n_int64_data
                  : field == UINT64S ? proto->n_uint64_data
                                     : proto->n_int32_data;
    /* Packed types have a byte in each entry, but for those of 6 bits. */
    uint32_t bits = pt_dtype_bits(out->dtype);
    uint64_t want = bits < 8 && bits != 6 ? bytes : out->count;
    if (have % typed_rows[out->dtype].per_element != 0 || have / typed_rows[out->dtype].per_element != want) {
        return pt_fail(PARTITA_BAD_MODEL, "has %zu numbers of %s, its dims need %llu", have, pt_dtype_name(out->dtype),
                       (unsigned long long)want);
    }
    void *memory;
    PT_TRY(own(origin, bytes, &memory));
    if (have == 0) return pt_weight_create_owned(memory, bytes, &out->weight);
    switch (field) {
    case FLOATS: memcpy(memory, proto->float_data, (size_t)bytes); break;
    case DOUBLES: memcpy(memory, proto->double_data, (size_t)bytes); break;
    case INT64S: memcpy(memory, proto->int64_data, (size_t)bytes); break;
    case UINT64S:
        if (out->dtype == PARTITA_UINT64) {
            memcpy(memory, proto->uint64_data, (size_t)bytes);
        } else {
            for (size_t i = 0; i < have; i++) ((uint32_t *)memory)[i] = (uint32_t)proto->uint64_data[i];
        }
        break;
    default:
        if (bits == 6)
            pack_six(proto->int32_data, have, memset(memory, 0, (size_t)bytes));
        else
            narrow_int32(proto->int32_data, have, out->dtype, memory);
        break;
    }
    return pt_weight_create_owned(memory, bytes, &out->weight);
}

/* Data may be in one field only, and in that of its type. */
static partita_status check_fields(const Onnx__TensorProto *proto, partita_dtype dtype, bool external) {
    const struct {
        typed_field field;
        size_t count;
    } fields[] = {{FLOATS, proto->n_float_data}, {INT32S, proto->n_int32_data},   {STRINGS, proto->n_string_data},
                  {INT64S, proto->n_int64_data}, {DOUBLES, proto->n_double_data}, {UINT64S, proto->n_uint64_data}};
    bool bulk = proto->has_raw_data || external;
    if (proto->has_raw_data && external) return pt_fail(PARTITA_BAD_MODEL, "has data in the file and outside");
    for (size_t i = 0; i < PT_COUNT_OF(fields); i++) {
        if (fields[i].count == 0) continue;
        if (bulk) return pt_fail(PARTITA_BAD_MODEL, "has its data twice");
        if (fields[i].field != typed_rows[dtype].field) {
            return pt_fail(PARTITA_BAD_MODEL, "its data is not in the field of its type");
        }
    }
    return PARTITA_OK;
}

partita_status pt_onnx_decode(pt_onnx_origin *origin, const Onnx__TensorProto *proto, pt_arena *arena,
                              pt_onnx_data *out_data) {
    pt_onnx_data data = {
        .dtype = (partita_dtype)proto->data_type, .rank = (uint32_t)proto->n_dims, .dims = proto->dims};
    uint64_t bytes = 0;
    if (proto->data_type <= 0 || proto->data_type >= PARTITA_DTYPE_COUNT) {
        return pt_fail(PARTITA_BAD_MODEL, "has element type %d, which is not known", (int)proto->data_type);
    }
    if (!pt_dims_count(data.dims, data.rank, &data.count)) {
        return pt_fail(PARTITA_BAD_MODEL, "its dims are negative or too large");
    }
    if (data.dtype != PARTITA_STRING && (!pt_dtype_bytes(data.dtype, data.count, &bytes) || bytes > SIZE_MAX / 2)) {
        return pt_fail(PARTITA_BAD_MODEL, "its dims are too large");
    }
    bool external = proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    PT_TRY(check_fields(proto, data.dtype, external));
    if (external) {
        PT_TRY(decode_external(origin, proto, bytes, &data));
    } else if (data.dtype == PARTITA_STRING) {
        if (proto->has_raw_data) return pt_fail(PARTITA_BAD_MODEL, "strings cannot be raw data");
        PT_TRY(decode_strings(origin, proto, arena, &data));
    } else if (proto->has_raw_data) {
        PT_TRY(decode_bulk(origin, proto, bytes, &data));
    } else {
        PT_TRY(decode_typed(origin, proto, bytes, &data));
    }
    *out_data = data;
    return PARTITA_OK;
}

partita_status pt_onnx_tensor(pt_model *model, pt_onnx_origin *origin, const Onnx__TensorProto *proto,
                              pt_tensor **out_tensor) {
    pt_onnx_data data;
    PT_TRY(pt_onnx_decode(origin, proto, &model->arena, &data));
    PT_TRY(pt_model_add_tensor(model, data.dtype, data.rank, data.dims, data.weight, out_tensor));
    (*out_tensor)->offsets = data.offsets;
    return PARTITA_OK;
}

/* ---- sparse tensors -------------------------------------------------------------------------- */

/* Each index in range, in ascending order without repetition, as ONNX asks. */
static partita_status check_indices(const pt_tensor *indices, const int64_t *dims, uint32_t rank, uint64_t count) {
    bool linear = indices->rank == 1;
    uint64_t last = 0;
    for (uint64_t i = 0; i < (uint64_t)indices->dims[0]; i++) {
        uint64_t position = 0;
        for (uint32_t k = 0; k < (linear ? 1 : rank); k++) {
            int64_t index;
            uint64_t limit = linear ? count : (uint64_t)dims[k];
            uint64_t at = linear ? i : i * rank + k;
            memcpy(&index, (const char *)indices->weight->data + at * sizeof index, sizeof index);
            if (index < 0 || (uint64_t)index >= limit) {
                return pt_fail(PARTITA_BAD_MODEL, "index %lld of a sparse tensor is out of range", (long long)index);
            }
            position = position * (linear ? 1 : limit) + (uint64_t)index;
        }
        if (i > 0 && position <= last) {
            return pt_fail(PARTITA_BAD_MODEL, "the indices of a sparse tensor are not in order");
        }
        last = position;
    }
    return PARTITA_OK;
}

partita_status pt_onnx_sparse_tensor(pt_model *model, pt_onnx_origin *origin, const Onnx__SparseTensorProto *proto,
                                     pt_tensor **out_tensor) {
    pt_tensor *values, *indices;
    uint64_t count;
    uint32_t rank = (uint32_t)proto->n_dims;
    if (!proto->values || !proto->indices) return pt_fail(PARTITA_BAD_MODEL, "a sparse tensor lacks values or indices");
    if (!pt_dims_count(proto->dims, rank, &count)) {
        return pt_fail(PARTITA_BAD_MODEL, "its dims are negative or too large");
    }
    PT_TRY(pt_onnx_tensor(model, origin, proto->values, &values));
    PT_TRY(pt_onnx_tensor(model, origin, proto->indices, &indices));
    bool linear = indices->rank == 1;
    if (values->rank != 1 || indices->dtype != PARTITA_INT64 || values->dtype == PARTITA_STRING ||
        (!linear && (indices->rank != 2 || indices->dims[1] != (int64_t)rank)) || indices->dims[0] != values->dims[0]) {
        return pt_fail(PARTITA_BAD_MODEL, "values and indices of a sparse tensor do not fit together");
    }
    PT_TRY(check_indices(indices, proto->dims, rank, count));
    /* A tensor of its own that shares the weight of the values: its dims are those of the dense one. */
    pt_weight_retain(values->weight);
    PT_TRY(pt_model_add_tensor(model, values->dtype, rank, proto->dims, values->weight, out_tensor));
    (*out_tensor)->sparse_indices = indices;
    (*out_tensor)->sparse_nnz = values->count;
    return PARTITA_OK;
}
