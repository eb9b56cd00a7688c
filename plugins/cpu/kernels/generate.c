/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that make a tensor out of a few numbers: ConstantOfShape, Range, EyeLike, OneHot, Trilu.
 */
#include "cpu/kernels/support.h"

extern const cpu_kernel cpu_kernels_generate[];
extern const uint32_t cpu_kernels_generate_count;

/* ---- ConstantOfShape ---- */

typedef struct constant_state {
    uint8_t element[16];
} constant_state;

/* The value's bytes; `out_known` false when the block has only a weight's number. */
static ptp_ref constant_value(const cpu_node *node, bool *out_known) {
    ptp_attribute_row row;
    ptp_ref none = {0, 0};
    *out_known = true;
    if (!ptp_attribute_find(node->block, &node->row, "value", &row) || row.type != PTP_ATTRIBUTE_TENSOR) return none;
    ptp_value_row value = ptp_value_at(node->block, ptp_ref_id(node->block, row.data, 0));
    *out_known = value.data.count > 0 && value.data.count <= 16;
    return value.data;
}

static bool constant_claim(const cpu_node *node, ptp_answer *answer) {
    bool known;
    constant_value(node, &known);
    return known || cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "value must be one number");
}

static partita_status constant_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    bool known;
    ptp_ref value = constant_value(node, &known);
    if (!known) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "value must be one number");
    constant_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    memcpy(state->element, ptp_ref_data(node->block, value), value.count);
    uint32_t bits = cpu_dtype_bits(cpu_output_dtype(node, 0));
    for (uint32_t shift = bits; bits < 8 && shift < 8; shift += bits)
        state->element[0] |= (uint8_t)((state->element[0] & ((1u << bits) - 1)) << shift);
    *out_state = state;
    return PARTITA_OK;
}

static uint64_t constant_items(const cpu_call *call) { return call->out[0].bytes / 65536 + 1; }

static partita_status constant_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const constant_state *state = call->state;
    const cpu_tensor *out = &call->out[0];
    uint32_t bits = cpu_dtype_bits(out->dtype), size = bits < 8 ? 1 : bits / 8;
    uint64_t first = begin * 65536, last = end * 65536 < out->bytes ? end * 65536 : out->bytes;
    cpu_ints shape;
    partita_status status = cpu_ints_input(call, 0, &shape);
    if (status == PARTITA_OK) status = cpu_expect(call, 0, shape.count, shape.at);
    if (status == PARTITA_OK && first < last)
        cpu_fill((char *)out->data + first, state->element, size, (last - first) / size);
    /* What a packed type leaves of its last byte is 0. */
    if (status == PARTITA_OK && bits < 8 && last == out->bytes && first < last)
        ((uint8_t *)out->data)[last - 1] &= (uint8_t)(0xff >> ((out->bytes * 8 - out->count * bits) & 7));
    return status;
}

/* ---- Range ---- */

/* Steps from start to below limit; integers by integers, as double does not hold them all. */
static int64_t range_steps(bool real, const double *numbers, const int64_t *ints) {
    if (!real) {
        bool up = ints[2] > 0;
        if (up ? ints[0] >= ints[1] : ints[0] <= ints[1]) return 0;
        uint64_t span = up ? (uint64_t)ints[1] - (uint64_t)ints[0] : (uint64_t)ints[0] - (uint64_t)ints[1];
        uint64_t step = up ? (uint64_t)ints[2] : UINT64_C(0) - (uint64_t)ints[2];
        return (int64_t)((span - 1) / step + 1);
    }
    double steps = ceil((numbers[1] - numbers[0]) / numbers[2]);
    return steps > 0 && steps < 9e18 ? (int64_t)steps : 0;
}

static partita_status range_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cpu_tensor *out = &call->out[0];
    double numbers[3];
    int64_t ints[3];
    for (uint32_t i = 0; i < 3; i++) {
        const cpu_tensor *in = &call->in[i];
        if (in->count != 1 || in->dtype != out->dtype)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "start, limit and delta must be one number of one type");
        cpu_load_doubles(in->dtype, in->data, 0, 1, &numbers[i]);
        cpu_load_int64s(in->dtype, in->data, 0, 1, &ints[i]);
    }
    if (numbers[2] == 0) return cpu_fail(call->host, PARTITA_BAD_INPUT, "delta is 0");
    bool real = cpu_dtype_is_float(out->dtype);
    int64_t n = range_steps(real, numbers, ints);
    partita_status status = cpu_expect(call, 0, 1, &n);
    for (int64_t i = 0; status == PARTITA_OK && i < n; i++) {
        double real_value = numbers[0] + (double)i * numbers[2];
        int64_t int_value = ints[0] + i * ints[2];
        if (real)
            cpu_store_doubles(out->dtype, out->data, (uint64_t)i, 1, &real_value);
        else
            cpu_store_int64s(out->dtype, out->data, (uint64_t)i, 1, &int_value);
    }
    return status;
}

/* ---- EyeLike ---- */

static partita_status k_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    int64_t *k = cpu_alloc(host, sizeof(*k));
    if (k == NULL) return PARTITA_OUT_OF_MEMORY;
    if (ptp_str_is(ptp_ref_str(node->block, node->row.op), "Trilu"))
        *k = cpu_attr_int(node, "upper", 1);
    else
        *k = cpu_attr_int(node, "k", 0);
    *out_state = k;
    return PARTITA_OK;
}

static partita_status eye_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cpu_tensor *out = &call->out[0];
    int64_t k = *(const int64_t *)call->state, one = 1;
    if (out->rank != 2) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u, must be 2", out->rank);
    partita_status status = cpu_expect_like(call, 0, &call->in[0]);
    if (status != PARTITA_OK || out->bytes == 0) return status;
    memset(out->data, 0, out->bytes);
    for (int64_t r = 0; r < out->dims[0]; r++) {
        if (k > out->dims[1] || k < -out->dims[0] || r + k < 0 || r + k >= out->dims[1]) continue;
        cpu_store_int64s(out->dtype, out->data, (uint64_t)(r * out->dims[1] + r + k), 1, &one);
    }
    return PARTITA_OK;
}

/* ---- OneHot ---- */

static partita_status carried_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    return cpu_carry_prepare(node, host, cpu_kernels_generate, cpu_kernels_generate_count, out_state);
}

typedef struct one_hot_state {
    int64_t axis;
    bool from_end; /* negative indices count from the end; in version 9 they are outside */
} one_hot_state;

static partita_status one_hot_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    one_hot_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->axis = cpu_attr_int(node, "axis", -1);
    state->from_end = node->row.since >= 11;
    *out_state = state;
    return PARTITA_OK;
}

static partita_status one_hot_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const one_hot_state *state = call->state;
    const cpu_tensor *indices = &call->in[0], *values = &call->in[2], *out = &call->out[0];
    uint32_t axis, size = cpu_size(values);
    int64_t depth, dims[CPU_MAX_RANK + 1];
    double given;
    partita_status status = cpu_axis(call, state->axis, indices->rank + 1, &axis);
    if (status != PARTITA_OK) return status;
    if (call->in[1].count != 1 || values->count != 2 || indices->rank + 1 > CPU_MAX_RANK)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "depth must be one number and values two");
    cpu_load_doubles(call->in[1].dtype, call->in[1].data, 0, 1, &given);
    depth = cpu_int64_from_double(given);
    for (uint32_t d = 0; d <= indices->rank; d++)
        dims[d] = d < axis ? indices->dims[d] : d == axis ? depth : indices->dims[d - 1];
    status = cpu_expect(call, 0, indices->rank + 1, dims);
    if (status != PARTITA_OK) return status;
    uint64_t inner = cpu_extent(indices->dims, axis, indices->rank);
    cpu_fill(out->data, values->data, size, out->count);
    for (uint64_t i = 0; i < indices->count; i++) {
        int64_t index;
        cpu_load_int64s(indices->dtype, indices->data, i, 1, &index);
        if (index < (state->from_end ? -depth : 0) || index >= depth) continue; /* the row stays off */
        if (index < 0) index += depth;
        uint64_t at = (i / inner * (uint64_t)depth + (uint64_t)index) * inner + i % inner;
        memcpy((char *)out->data + at * size, (const char *)values->data + size, size);
    }
    return PARTITA_OK;
}

/* ---- Trilu: an item is one row ---- */

static uint64_t trilu_items(const cpu_call *call) {
    const cpu_tensor *out = &call->out[0];
    return out->rank < 2 || out->count == 0 ? 1 : out->count / (uint64_t)out->dims[out->rank - 1];
}

static partita_status trilu_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    bool upper = *(const int64_t *)call->state != 0;
    int64_t k = 0;
    uint32_t size = cpu_size(in);
    partita_status status = cpu_expect_like(call, 0, in);
    if (status == PARTITA_OK && in->rank < 2)
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u, at least 2", in->rank);
    if (cpu_has_input(call, 1)) {
        if (call->in[1].count != 1 || call->in[1].dtype != PARTITA_INT64)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "k must be one int64");
        k = cpu_index(&call->in[1], 0);
    }
    if (status != PARTITA_OK || in->count == 0) return status;
    int64_t rows = in->dims[in->rank - 2], columns = in->dims[in->rank - 1];
    if (k > columns) k = columns;
    if (k < -rows) k = -rows;
    for (uint64_t item = begin; item < end; item++) {
        /* Columns from `edge` on belong to the upper part, with the diagonal; to the lower one those up to it. */
        int64_t edge = (int64_t)(item % (uint64_t)rows) + k + (upper ? 0 : 1);
        edge = edge < 0 ? 0 : edge > columns ? columns : edge;
        char *row = (char *)out->data + item * (uint64_t)columns * size;
        const char *source = (const char *)in->data + item * (uint64_t)columns * size;
        uint64_t left = (uint64_t)edge * size, bytes = (uint64_t)columns * size;
        if (row != source) memcpy(row, source, bytes);
        if (upper)
            memset(row, 0, left);
        else
            memset(row + left, 0, bytes - left);
    }
    return PARTITA_OK;
}

#define TRILU(group)                                                                                                   \
    {                                                                                                                  \
        .op = "Trilu", .domain = group, .since = 1, .until = CPU_NEWEST, .types = CPU_FIXED, .reference = true,        \
        .prepare = k_prepare, .release = cpu_free, .items = trilu_items, .run = trilu_run, .in_place = true            \
    }
const cpu_kernel cpu_kernels_generate[] = {
    {.op = "ConstantOfShape",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(INT64),
     .reference = true,
     .claim = constant_claim,
     .prepare = constant_prepare,
     .release = cpu_free,
     .items = constant_items,
     .run = constant_run},
    {.op = "Range",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_NUMBERS,
     .reference = true,
     .run = range_run},
    {.op = "EyeLike",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_NUMBERS | CPU_TYPE(BOOL),
     .reference = true,
     .prepare = k_prepare,
     .release = cpu_free,
     .run = eye_run},
    {.op = "OneHot",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FIXED,
     .type_input = 2,
     .reference = true,
     .prepare = one_hot_prepare,
     .release = cpu_free,
     .run = one_hot_run},
    CPU_CARRIED_STRINGS("OneHot", carried_prepare, 2, true),
    TRILU(""),
    TRILU("com.microsoft"),
    CPU_CARRIED_STRINGS("Trilu", carried_prepare, 0, true),
};
const uint32_t cpu_kernels_generate_count = sizeof(cpu_kernels_generate) / sizeof(cpu_kernels_generate[0]);
