/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where, Clip, and the tests of floating-point numbers: element-wise operators whose inputs or outputs are of different
 * types.
 */
#include "cpu/kernels/support.h"

extern const cpu_kernel cpu_kernels_select[];
extern const uint32_t cpu_kernels_select_count;

#define CHUNK 256

/* ---- Where ---- */

static partita_status where_carried(const cpu_node *node, const ptp_host *host, void **out_state) {
    return cpu_carry_prepare(node, host, cpu_kernels_select, cpu_kernels_select_count, out_state);
}

typedef struct wide {
    uint64_t half[2];
} wide;

static void where_pick(uint32_t size, const cpu_walk *walk, const uint8_t *condition, const char *x, const char *y,
                       char *z, uint64_t n) {
    uint32_t sc = walk->steps[0], sx = walk->steps[1], sy = walk->steps[2];
#define PICK(type)                                                                                                     \
    {                                                                                                                  \
        const type *a = (const type *)(const void *)x, *b = (const type *)(const void *)y;                             \
        type *out = (type *)(void *)z;                                                                                 \
        for (uint64_t i = 0; i < n; i++) out[i] = condition[i * sc] ? a[i * sx] : b[i * sy];                           \
    }
    switch (size) {
    case 1: PICK(uint8_t) break;
    case 2: PICK(uint16_t) break;
    case 4: PICK(uint32_t) break;
    case 8: PICK(uint64_t) break;
    default: PICK(wide) break;
    }
}

static partita_status where_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in[3] = {&call->in[0], &call->in[1], &call->in[2]}, *out = &call->out[0];
    uint32_t size = cpu_size(out);
    uint64_t first, last, at[CPU_WALK_INPUTS];
    cpu_walk walk;
    if (in[1]->dtype != in[2]->dtype) return cpu_fail(call->host, PARTITA_BAD_INPUT, "X and Y are of different types");
    partita_status status = cpu_walk_init(call, out, in, 3, NULL, &walk);
    if (status != PARTITA_OK) return status;
    cpu_item_range(out, begin, end, &first, &last);
    cpu_walk_seek(&walk, first);
    while (first < last) {
        uint64_t n = cpu_walk_next(&walk, last - first, at);
        where_pick(size, &walk, (const uint8_t *)in[0]->data + at[0], (const char *)in[1]->data + at[1] * size,
                   (const char *)in[2]->data + at[2] * size, (char *)out->data + first * size, n);
        first += n;
    }
    return PARTITA_OK;
}

/* ---- Clip ---- */

typedef struct clip_state {
    bool attributes; /* opsets before 11 */
    float low, high;
} clip_state;

static partita_status clip_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    clip_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->attributes = node->row.since < 11;
    /* Version 1 has no defaults; those of version 6 are float's limits, which infinities exceed. */
    state->low = cpu_attr_float(node, "min", -INFINITY);
    state->high = cpu_attr_float(node, "max", INFINITY);
    *out_state = state;
    return PARTITA_OK;
}

/* A NaN passes; where the bounds cross the upper one holds. */
#define CLIP_LOOP(type)                                                                                                \
    {                                                                                                                  \
        const type *x = (const type *)in->data + first;                                                                \
        type *z = (type *)out->data + first;                                                                           \
        const type lo = low != NULL ? *(const type *)low : 0, hi = high != NULL ? *(const type *)high : 0;             \
        for (uint64_t i = 0; i < n; i++) {                                                                             \
            type value = x[i];                                                                                         \
            if (low != NULL) value = value < lo ? lo : value;                                                          \
            if (high != NULL) value = value > hi ? hi : value;                                                         \
            z[i] = value;                                                                                              \
        }                                                                                                              \
        return;                                                                                                        \
    }

static void clip_range(const cpu_tensor *in, const cpu_tensor *out, const void *low, const void *high, uint64_t first,
                       uint64_t n) {
    switch (in->dtype) {
    case PARTITA_FLOAT32: CLIP_LOOP(float)
    case PARTITA_FLOAT64: CLIP_LOOP(double)
    case PARTITA_INT8: CLIP_LOOP(int8_t)
    case PARTITA_INT16: CLIP_LOOP(int16_t)
    case PARTITA_INT32: CLIP_LOOP(int32_t)
    case PARTITA_INT64: CLIP_LOOP(int64_t)
    case PARTITA_UINT8: CLIP_LOOP(uint8_t)
    case PARTITA_UINT16: CLIP_LOOP(uint16_t)
    case PARTITA_UINT32: CLIP_LOOP(uint32_t)
    case PARTITA_UINT64: CLIP_LOOP(uint64_t)
    default: break;
    }
    float chunk[CHUNK], lo = -INFINITY, hi = INFINITY;
    if (low != NULL) cpu_load_floats(in->dtype, low, 0, 1, &lo);
    if (high != NULL) cpu_load_floats(in->dtype, high, 0, 1, &hi);
    for (uint64_t i = 0; i < n; i += CHUNK) {
        uint64_t m = n - i < CHUNK ? n - i : CHUNK;
        cpu_load_floats(in->dtype, in->data, first + i, m, chunk);
        for (uint64_t j = 0; j < m; j++) {
            float value = chunk[j] < lo ? lo : chunk[j];
            chunk[j] = value > hi ? hi : value;
        }
        cpu_store_floats(out->dtype, out->data, first + i, m, chunk);
    }
}

static partita_status clip_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const clip_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    const void *bounds[2] = {NULL, NULL};
    double given[2]; /* room for a bound of any type */
    uint64_t first, last;
    partita_status status = cpu_expect_like(call, 0, in);
    if (status != PARTITA_OK) return status;
    if (state->attributes) {
        cpu_store_floats(in->dtype, &given[0], 0, 1, &state->low);
        cpu_store_floats(in->dtype, &given[1], 0, 1, &state->high);
        bounds[0] = &given[0];
        bounds[1] = &given[1];
    }
    for (uint32_t k = 1; k <= 2 && !state->attributes; k++) {
        if (!cpu_has_input(call, k)) continue;
        if (call->in[k].count != 1 || call->in[k].dtype != in->dtype)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "a bound must be one element of the input's type");
        bounds[k - 1] = call->in[k].data;
    }
    cpu_item_range(out, begin, end, &first, &last);
    clip_range(in, out, bounds[0], bounds[1], first, last - first);
    return PARTITA_OK;
}

/* ---- IsNaN, IsInf ---- */

typedef struct test_state {
    bool nan, positive, negative;
} test_state;

static partita_status test_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    test_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->nan = ptp_str_is(ptp_ref_str(node->block, node->row.op), "IsNaN");
    state->positive = !state->nan && cpu_attr_int(node, "detect_positive", 1) != 0;
    state->negative = !state->nan && cpu_attr_int(node, "detect_negative", 1) != 0;
    *out_state = state;
    return PARTITA_OK;
}

static partita_status test_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const test_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    uint8_t *out = call->out[0].data;
    double chunk[CHUNK];
    uint64_t first, last;
    partita_status status = cpu_expect_like(call, 0, in);
    if (status != PARTITA_OK) return status;
    cpu_item_range(&call->out[0], begin, end, &first, &last);
    for (; first < last; first += CHUNK) {
        uint64_t n = last - first < CHUNK ? last - first : CHUNK;
        cpu_load_doubles(in->dtype, in->data, first, n, chunk);
        for (uint64_t i = 0; i < n; i++) {
            double x = chunk[i];
            out[first + i] =
                state->nan ? x != x : (state->positive && x == INFINITY) || (state->negative && x == -INFINITY);
        }
    }
    return PARTITA_OK;
}

/* ---- Equal of strings ---- */

static partita_status equal_strings_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cpu_tensor *in[2] = {&call->in[0], &call->in[1]}, *out = &call->out[0];
    uint8_t *equal = out->data;
    uint64_t at[CPU_WALK_INPUTS];
    cpu_strings a, b;
    cpu_walk walk;
    partita_status status = cpu_walk_init(call, out, in, 2, NULL, &walk);
    if (status == PARTITA_OK) status = cpu_strings_of(call, in[0], &a);
    if (status == PARTITA_OK) status = cpu_strings_of(call, in[1], &b);
    if (status != PARTITA_OK) return status;
    cpu_walk_seek(&walk, 0);
    for (uint64_t i = 0; i < out->count; i++) {
        cpu_walk_next(&walk, 1, at);
        uint64_t n = a.offsets[at[0] + 1] - a.offsets[at[0]];
        equal[i] = n == b.offsets[at[1] + 1] - b.offsets[at[1]] &&
                   memcmp(a.bytes + a.offsets[at[0]], b.bytes + b.offsets[at[1]], n) == 0;
    }
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_select[] = {
    {.op = "Where",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FIXED,
     .type_input = 1,
     .reference = true,
     .items = cpu_items_elements,
     .run = where_run},
    CPU_CARRIED_STRINGS("Where", where_carried, 1, true),
    {.op = "Clip",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_NUMBERS,
     .reference = true,
     .prepare = clip_prepare,
     .release = cpu_free,
     .items = cpu_items_elements,
     .run = clip_run,
     .in_place = true},
    {.op = "IsNaN",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS | CPU_FLOAT8,
     .reference = true,
     .prepare = test_prepare,
     .release = cpu_free,
     .items = cpu_items_elements,
     .run = test_run},
    {.op = "IsInf",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS | CPU_FLOAT8,
     .reference = true,
     .prepare = test_prepare,
     .release = cpu_free,
     .items = cpu_items_elements,
     .run = test_run},
    {.op = "Equal",
     .domain = "",
     .since = 19,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(STRING),
     .reference = true,
     .run = equal_strings_run},
};
const uint32_t cpu_kernels_select_count = sizeof(cpu_kernels_select) / sizeof(cpu_kernels_select[0]);
