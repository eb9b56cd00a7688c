/* SPDX-License-Identifier: Apache-2.0 */
/* Mutation of what a model is fed: elements, dims, types of a value in plain memory. */
#include "fuzz.h"
#include <math.h>

/* What one call may make a value grow to: cases are many and small. */
#define MAX_ELEMENTS 4096

uint64_t fuzz_next(fuzz_rng *rng) { return pt_random(&rng->state); }

uint64_t fuzz_below(fuzz_rng *rng, uint64_t n) { return n ? fuzz_next(rng) % n : 0; }
bool fuzz_chance(fuzz_rng *rng, uint32_t percent) { return fuzz_below(rng, 100) < percent; }

int64_t fuzz_extreme_int(fuzz_rng *rng) {
    static const int64_t values[] = {0,
                                     1,
                                     -1,
                                     2,
                                     -2,
                                     3,
                                     4,
                                     7,
                                     16,
                                     127,
                                     -128,
                                     255,
                                     65536,
                                     1000000,
                                     INT32_MAX,
                                     INT32_MIN,
                                     INT64_MAX,
                                     INT64_MIN,
                                     INT64_MAX - 1,
                                     (int64_t)1 << 40,
                                     (int64_t)1 << 62};
    if (fuzz_chance(rng, 40)) return (int64_t)fuzz_below(rng, 12) - 4;
    return values[fuzz_below(rng, sizeof(values) / sizeof(values[0]))];
}

double fuzz_extreme_float(fuzz_rng *rng) {
    static const double values[] = {0,   -0.0,     1,         -1,           0.5,    -0.5,    2,
                                    3,   1e-45,    1e-8,      1e8,          3.4e38, -3.4e38, 1e300,
                                    NAN, INFINITY, -INFINITY, 2147483648.0, 9.3e18, -9.3e18};
    return values[fuzz_below(rng, sizeof(values) / sizeof(values[0]))];
}

partita_str fuzz_extreme_text(fuzz_rng *rng) {
    static const partita_str values[] = {
        PT_STR(""),
        PT_STR("a"),
        PT_STR("NOTSET"),
        PT_STR("SAME_UPPER"),
        PT_STR("VALID"),
        PT_STR("nan"),
        PT_STR("-inf"),
        PT_STR("1e999"),
        PT_STR("99999999999999999999"),
        PT_STR("0x12"),
        PT_STR("\xff\xfe\x80"),
        PT_STR("\xed\xa0\x80"),
        PT_STR("a\0b"),
        PT_STR("(a*)*b"),
        PT_STR("((((a{1,1000}){1,1000}){1,1000}){1,1000})"),
        PT_STR("[[:alpha:]+(?"),
        PT_STR("ij,jk->ik"),
        PT_STR("...i,...i"),
        PT_STR("i->ii"),
        PT_STR("ab...,..."),
        PT_STR("\xc3\x9f\xc4\xb0"),
        PT_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        PT_STR("linear"),
        PT_STR("cubic"),
        PT_STR("reflect"),
        PT_STR("max"),
        PT_STR("SOFTMAX"),
        PT_STR("%s%n")};
    return values[fuzz_below(rng, sizeof(values) / sizeof(values[0]))];
}

static uint64_t bytes_of(partita_dtype dtype, uint64_t count) { return (count * partita_dtype_bits(dtype) + 7) / 8; }

/* One element, random of its kind; `extreme` out of what a model would hold. */
static void set_element(fuzz_rng *rng, pt_item *item, uint64_t i, bool extreme) {
    uint8_t *data = (uint8_t *)item->data;
    double real = extreme ? fuzz_extreme_float(rng) : (double)(int64_t)fuzz_below(rng, 4001) / 500 - 4;
    int64_t integer = extreme ? fuzz_extreme_int(rng) : (int64_t)fuzz_below(rng, 8) - 1;
    float narrow = fabs(real) < 3.4e38 ? (float)real : (float)copysign(INFINITY, real);
    if (isnan(real)) narrow = NAN;
    switch (item->dtype) {
    case PARTITA_FLOAT32: memcpy(data + 4 * i, &narrow, 4); break;
    case PARTITA_FLOAT64: memcpy(data + 8 * i, &real, 8); break;
    case PARTITA_COMPLEX64: memcpy(data + 8 * i + 4 * fuzz_below(rng, 2), &narrow, 4); break;
    case PARTITA_COMPLEX128: memcpy(data + 16 * i + 8 * fuzz_below(rng, 2), &real, 8); break;
    case PARTITA_BOOL: data[i] = (uint8_t)fuzz_below(rng, 2); break;
    default: {
        uint32_t bits = partita_dtype_bits(item->dtype);
        uint64_t value = bits < 32 ? fuzz_next(rng) : (uint64_t)integer;
        if (bits < 8)
            data[i * bits / 8] = (uint8_t)value;
        else
            memcpy(data + i * (bits / 8), &value, bits / 8);
    }
    }
}

static void set_strings(fuzz_case *c, pt_item *item, uint64_t count, bool extreme) {
    uint64_t *offsets = pt_arena_array(c->arena, count + 1, sizeof(*offsets));
    pt_text text = {0};
    for (uint64_t i = 0; i < count; i++) {
        if (extreme || item->count == 0)
            pt_text_append(&text, fuzz_extreme_text(&c->rng));
        else {
            uint64_t from = fuzz_below(&c->rng, item->count);
            pt_text_append(&text, (partita_str){(const char *)item->data + item->offsets[from],
                                                item->offsets[from + 1] - item->offsets[from]});
        }
        offsets[i + 1] = text.size;
    }
    item->data = pt_arena_str(c->arena, (partita_str){text.data, text.size}).data;
    item->bytes = text.size;
    item->offsets = offsets;
    item->count = count;
    pt_text_deinit(&text);
}

static pt_item *part_of(fuzz_rng *rng, pt_item *item) {
    while (item->kind != PARTITA_KIND_TENSOR && item->item_count)
        item = &item->items[fuzz_below(rng, item->item_count)];
    return item->kind == PARTITA_KIND_TENSOR ? item : NULL;
}

void fuzz_mutate_value(fuzz_case *c, pt_item *item) {
    bool extreme = fuzz_chance(&c->rng, 40), all = fuzz_chance(&c->rng, 40);
    item = part_of(&c->rng, item);
    if (!item || item->count == 0) return;
    if (item->dtype == PARTITA_STRING) {
        set_strings(c, item, item->count, extreme);
        return;
    }
    for (uint64_t i = 0; all && i < item->count && i < MAX_ELEMENTS; i++) set_element(&c->rng, item, i, extreme);
    if (!all) set_element(&c->rng, item, fuzz_below(&c->rng, item->count), extreme);
}

void fuzz_item_resize(fuzz_case *c, pt_item *item, const int64_t *dims, uint32_t rank) {
    uint64_t count = 1;
    for (uint32_t i = 0; i < rank; i++)
        if (dims[i] < 0 || (count *= (uint64_t)dims[i]) > MAX_ELEMENTS) return;
    int64_t *kept = pt_arena_array(c->arena, rank + 1, sizeof(*kept));
    if (rank) memcpy(kept, dims, rank * sizeof(*kept));
    if (item->dtype == PARTITA_STRING)
        set_strings(c, item, count, false);
    else {
        uint64_t bytes = bytes_of(item->dtype, count);
        uint8_t *data = pt_arena_alloc(c->arena, bytes + 16);
        for (uint64_t i = 0; i < bytes; i++) data[i] = item->bytes ? ((const uint8_t *)item->data)[i % item->bytes] : 0;
        *item = (pt_item){
            .kind = item->kind, .name = item->name, .dtype = item->dtype, .data = data, .bytes = bytes, .count = count};
    }
    item->dims = kept;
    item->rank = rank;
}

void fuzz_mutate_shape(fuzz_case *c, pt_item *item) {
    int64_t dims[24];
    item = part_of(&c->rng, item);
    if (!item || item->rank > 20) return;
    uint32_t rank = item->rank, at = (uint32_t)fuzz_below(&c->rng, rank);
    if (rank) memcpy(dims, item->dims, rank * sizeof(*dims));
    switch (fuzz_below(&c->rng, 7)) {
    case 0:
    case 1:
        if (rank) dims[at] = (int64_t)fuzz_below(&c->rng, 7);
        break;
    case 2:
        if (rank) dims[at] += fuzz_chance(&c->rng, 50) ? 1 : -1;
        break;
    case 3: /* one more dim */
        memmove(&dims[at + 1], &dims[at], (rank - at) * sizeof(*dims));
        dims[at] = (int64_t)fuzz_below(&c->rng, 3);
        rank++;
        break;
    case 4: /* one dim less */
        if (rank) {
            rank--;
            memmove(&dims[at], &dims[at + 1], (rank - at) * sizeof(*dims));
        }
        break;
    case 5: rank = 0; break;
    default: /* any rank, also beyond what is usual */
        rank = (uint32_t)fuzz_below(&c->rng, fuzz_chance(&c->rng, 20) ? 20 : 6);
        for (uint32_t i = 0; i < rank; i++) dims[i] = 1 + (int64_t)fuzz_below(&c->rng, rank > 6 ? 1 : 4);
    }
    fuzz_item_resize(c, item, dims, rank);
}

void fuzz_mutate_dtype(fuzz_case *c, pt_item *item) {
    item = part_of(&c->rng, item);
    if (!item) return;
    partita_dtype dtype = 1 + (partita_dtype)fuzz_below(&c->rng, PARTITA_DTYPE_COUNT - 1);
    bool text = item->dtype == PARTITA_STRING || dtype == PARTITA_STRING;
    if (text) { /* bytes of one are none of the other */
        uint64_t count = item->count;
        item->count = 0;
        item->bytes = 0;
        item->dtype = dtype;
        if (dtype == PARTITA_STRING) {
            set_strings(c, item, count, true);
            return;
        }
    }
    item->dtype = dtype;
    fuzz_item_resize(c, item, item->dims, item->rank);
    if (dtype == PARTITA_BOOL)
        for (uint64_t i = 0; i < item->bytes; i++) ((uint8_t *)item->data)[i] &= 1;
    if (bytes_of(dtype, item->count) != item->bytes) fuzz_item_resize(c, item, NULL, 0);
}

Onnx__TensorProto *fuzz_tensor_of(fuzz_case *c, const pt_item *item, const char *name) {
    Onnx__TensorProto *tensor = pt_arena_alloc(c->arena, sizeof(*tensor));
    onnx__tensor_proto__init(tensor);
    tensor->name = (char *)name;
    tensor->n_dims = item->rank;
    tensor->dims = (int64_t *)item->dims;
    tensor->has_data_type = 1;
    tensor->data_type = (int32_t)item->dtype;
    if (item->dtype != PARTITA_STRING) {
        tensor->has_raw_data = 1;
        tensor->raw_data = (ProtobufCBinaryData){item->bytes, (uint8_t *)item->data};
        return tensor;
    }
    tensor->n_string_data = item->count;
    tensor->string_data = pt_arena_array(c->arena, item->count + 1, sizeof(*tensor->string_data));
    for (uint64_t i = 0; i < item->count; i++)
        tensor->string_data[i] =
            (ProtobufCBinaryData){item->offsets[i + 1] - item->offsets[i], (uint8_t *)item->data + item->offsets[i]};
    return tensor;
}
