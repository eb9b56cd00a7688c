/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that write into a copy of their input by index. One worker runs them: updates may meet, and their order is
 * part of the result.
 */
#include "cpu/kernels/support.h"

extern const cpu_kernel cpu_kernels_scatter[];
extern const uint32_t cpu_kernels_scatter_count;

enum { REDUCE_NONE, REDUCE_ADD, REDUCE_MUL, REDUCE_MAX, REDUCE_MIN };

typedef struct scatter_state {
    int64_t axis;
    uint32_t reduction;
    bool circular; /* TensorScatter */
} scatter_state;

static partita_status carried_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    return cpu_carry_prepare(node, host, cpu_kernels_scatter, cpu_kernels_scatter_count, out_state);
}

static partita_status scatter_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    scatter_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    state->axis = cpu_attr_int(node, "axis", 0);
    state->circular = cpu_attr_is(node, "mode", "circular");
    if (!cpu_attr_has(node, "reduction")) return PARTITA_OK;
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        state->reduction = i;
        if (cpu_attr_is(node, "reduction", names[i])) return PARTITA_OK;
    }
    return cpu_fail(host, PARTITA_CANNOT_COMPILE, "a reduction that is not none, add, mul, max or min");
}

static bool scatter_claim(const cpu_node *node, ptp_answer *answer) {
    partita_dtype dtype = cpu_input_dtype(node, 0);
    bool reduces = cpu_attr_has(node, "reduction") && !cpu_attr_is(node, "reduction", "none");
    if (!reduces || (CPU_NUMBERS >> dtype & 1) != 0) return true;
    return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "no reduction of %s", cpu_dtype_name(dtype));
}

/* ---- combining n elements into the target ---- */

#define COMBINE(type, a, b)                                                                                            \
    (reduction == REDUCE_ADD   ? (type)((a) + (b))                                                                     \
     : reduction == REDUCE_MUL ? (type)((a) * (b))                                                                     \
     : reduction == REDUCE_MAX ? ((a) != (a) || (a) > (b) ? (a) : (b))                                                 \
                               : ((a) != (a) || (a) < (b) ? (a) : (b)))
#define COMBINE_CASE(name, type)                                                                                       \
    case PARTITA_##name:                                                                                               \
        for (uint64_t i = 0; i < n; i++) {                                                                             \
            type a = ((type *)target)[i], b = ((const type *)source)[i];                                               \
            ((type *)target)[i] = COMBINE(type, a, b);                                                                 \
        }                                                                                                              \
        return;

static void combine(partita_dtype dtype, uint32_t reduction, void *target, const void *source, uint64_t n) {
    switch (dtype) {
        COMBINE_CASE(FLOAT32, float)
        COMBINE_CASE(FLOAT64, double)
        COMBINE_CASE(INT8, int8_t)
        COMBINE_CASE(INT16, int16_t)
        COMBINE_CASE(INT32, int32_t)
        COMBINE_CASE(INT64, int64_t)
        COMBINE_CASE(UINT8, uint8_t)
        COMBINE_CASE(UINT16, uint16_t)
        COMBINE_CASE(UINT32, uint32_t)
        COMBINE_CASE(UINT64, uint64_t)
    default: break;
    }
    for (uint64_t i = 0; i < n; i++) {
        float a, b;
        cpu_load_floats(dtype, target, i, 1, &a);
        cpu_load_floats(dtype, source, i, 1, &b);
        a = COMBINE(float, a, b);
        cpu_store_floats(dtype, target, i, 1, &a);
    }
}

static void put(const cpu_call *call, uint32_t reduction, uint64_t at, uint64_t from, uint64_t n) {
    uint32_t size = cpu_size(&call->out[0]);
    char *target = (char *)call->out[0].data + at * size;
    const char *source = (const char *)call->in[2].data + from * size;
    if (reduction == REDUCE_NONE)
        memcpy(target, source, n * size);
    else
        combine(call->out[0].dtype, reduction, target, source, n);
}

/* The output starts as the data. */
static partita_status scatter_start(const cpu_call *call, const cpu_tensor *updates, const cpu_tensor *indices) {
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    if (updates->dtype != in->dtype)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "updates are of another type than the data");
    if (indices != NULL && indices->dtype != PARTITA_INT32 && indices->dtype != PARTITA_INT64)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "indices must be int32 or int64");
    partita_status status = cpu_expect_like(call, 0, in);
    if (status == PARTITA_OK && out->data != in->data && in->bytes > 0) memcpy(out->data, in->data, in->bytes);
    return status;
}

static partita_status index_fail(const cpu_call *call, int64_t index, int64_t dim) {
    return cpu_fail(call->host, PARTITA_BAD_INPUT, "index %lld is outside [-%lld, %lld)", (long long)index,
                    (long long)dim, (long long)dim);
}

static partita_status elements_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const scatter_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *indices = &call->in[1], *updates = &call->in[2];
    uint32_t axis;
    uint64_t at[CPU_WALK_INPUTS];
    cpu_walk walk = {.rank = in->rank, .inputs = 1};
    partita_status status = cpu_axis(call, state->axis, in->rank, &axis);
    if (status == PARTITA_OK && (indices->rank != in->rank || !cpu_same_dims(updates, indices->rank, indices->dims)))
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "data, indices and updates are of different shapes");
    for (uint32_t d = 0; status == PARTITA_OK && d < in->rank; d++) {
        walk.dims[d] = indices->dims[d];
        if (d != axis && indices->dims[d] > in->dims[d])
            status = cpu_fail(call->host, PARTITA_BAD_INPUT, "dim %u of indices exceeds the data's", d);
    }
    if (status == PARTITA_OK) status = scatter_start(call, updates, indices);
    if (status != PARTITA_OK) return status;
    int64_t dim = in->dims[axis];
    cpu_strides(in->dims, in->rank, walk.strides[0]);
    int64_t stride = walk.strides[0][axis];
    walk.strides[0][axis] = 0;
    cpu_walk_seek(&walk, 0);
    for (uint64_t i = 0; i < indices->count; i++) {
        int64_t index = cpu_index(indices, i);
        cpu_walk_next(&walk, 1, at);
        if (index < -dim || index >= dim) return index_fail(call, index, dim);
        if (index < 0) index += dim;
        put(call, state->reduction, at[0] + (uint64_t)(index * stride), i, 1);
    }
    return PARTITA_OK;
}

static partita_status nd_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const scatter_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *indices = &call->in[1], *updates = &call->in[2];
    if (indices->rank == 0) return cpu_fail(call->host, PARTITA_BAD_INPUT, "indices have rank 0");
    int64_t k = indices->dims[indices->rank - 1];
    if (k < 0 || k > in->rank)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%lld indices per slice of rank %u", (long long)k, in->rank);
    uint64_t slices = cpu_extent(indices->dims, 0, indices->rank - 1), n = cpu_extent(in->dims, (uint32_t)k, in->rank);
    if (updates->count != slices * n)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "updates have %llu elements, indices name %llu",
                        (unsigned long long)updates->count, (unsigned long long)(slices * n));
    partita_status status = scatter_start(call, updates, indices);
    for (uint64_t s = 0; status == PARTITA_OK && s < slices; s++) {
        uint64_t at = 0;
        for (uint32_t d = 0; d < (uint32_t)k; d++) {
            int64_t index = cpu_index(indices, s * (uint64_t)k + d), dim = in->dims[d];
            if (index < -dim || index >= dim) return index_fail(call, index, dim);
            at = at * (uint64_t)dim + (uint64_t)(index < 0 ? index + dim : index);
        }
        put(call, state->reduction, at * n, s * n, n);
    }
    return status;
}

/* ---- TensorScatter: rows of a cache, batch by batch ---- */

static partita_status tensor_scatter_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const scatter_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *update = &call->in[1];
    const cpu_tensor *write = cpu_has_input(call, 2) ? &call->in[2] : NULL;
    uint32_t axis;
    partita_status status = cpu_axis(call, state->axis, in->rank, &axis);
    if (status != PARTITA_OK) return status;
    bool fits =
        axis > 0 && update->rank == in->rank && (write == NULL || (write->rank == 1 && write->dims[0] == in->dims[0]));
    for (uint32_t d = 0; fits && d < in->rank; d++)
        fits = d == axis ? update->dims[d] <= in->dims[d] : update->dims[d] == in->dims[d];
    if (!fits) return cpu_fail(call->host, PARTITA_BAD_INPUT, "cache, update and write_indices do not fit");
    status = scatter_start(call, update, NULL);
    uint64_t rows = (uint64_t)in->dims[axis], n = (uint64_t)update->dims[axis];
    uint64_t block = cpu_extent(in->dims, axis + 1, in->rank) * cpu_size(in);
    uint64_t per_batch = cpu_extent(in->dims, 1, axis), outer = cpu_extent(in->dims, 0, axis);
    for (uint64_t o = 0; status == PARTITA_OK && block > 0 && o < outer; o++) {
        int64_t first = write != NULL ? cpu_index(write, o / per_batch) : 0;
        if (state->circular && first >= 0 && rows > 0) first %= (int64_t)rows;
        if (first < 0 || (uint64_t)first > rows || (!state->circular && (uint64_t)first + n > rows))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "%llu rows at %lld of %llu", (unsigned long long)n,
                            (long long)first, (unsigned long long)rows);
        for (uint64_t r = 0; r < n; r++)
            memcpy((char *)call->out[0].data + (o * rows + ((uint64_t)first + r) % rows) * block,
                   (const char *)update->data + (o * n + r) * block, block);
    }
    return status;
}

#define SCATTER_ROWS(name, runs)                                                                                       \
    {.op = name,                                                                                                       \
     .domain = "",                                                                                                     \
     .since = 1,                                                                                                       \
     .until = CPU_NEWEST,                                                                                              \
     .types = CPU_FIXED,                                                                                               \
     .reference = true,                                                                                                \
     .claim = scatter_claim,                                                                                           \
     .prepare = scatter_prepare,                                                                                       \
     .release = cpu_free,                                                                                              \
     .run = runs,                                                                                                      \
     .in_place = true},                                                                                                \
        CPU_CARRIED_STRINGS(name, carried_prepare, 0, true)

const cpu_kernel cpu_kernels_scatter[] = {
    SCATTER_ROWS("Scatter", elements_run),
    SCATTER_ROWS("ScatterElements", elements_run),
    SCATTER_ROWS("ScatterND", nd_run),
    {.op = "TensorScatter",
     .domain = "",
     .since = 24,
     .until = CPU_NEWEST,
     .types = CPU_FIXED,
     .reference = true,
     .prepare = scatter_prepare,
     .release = cpu_free,
     .run = tensor_scatter_run,
     .in_place = true},
    CPU_CARRIED_PACKED("TensorScatter", carried_prepare, 0),
    CPU_CARRIED_STRINGS("TensorScatter", carried_prepare, 0, true),
};
const uint32_t cpu_kernels_scatter_count = sizeof(cpu_kernels_scatter) / sizeof(cpu_kernels_scatter[0]);
