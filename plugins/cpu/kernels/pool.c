/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MaxPool with indices, AveragePool, LpPool and the Global ones, MaxUnpool: reference in double, float32 by planes.
 */
#include "cpu/kernels/conv.h"
#include "cpu/kernels/reference.h"

enum { POOL_MAX, POOL_AVERAGE, POOL_LP };

typedef struct pool_state {
    cpu_window_attrs attrs;
    uint32_t kind;
    bool global, count_pads, column_major;
    float p;
} pool_state;

/* Number of taps whose coordinate lies below `limit`. */
static int64_t taps_below(int64_t from, int64_t dilation, int64_t kernel, int64_t limit) {
    int64_t room = limit - from;
    if (room <= 0) return 0;
    int64_t taps = (room + dilation - 1) / dilation;
    return taps < kernel ? taps : kernel;
}

/* The number of an element within its plane, as `storage_order` counts. */
static int64_t index_of(const pool_state *state, const cpu_window *g, int64_t here) {
    if (!state->column_major || g->in_size == 0) return here;
    int64_t x = here % g->in[2], y = here / g->in[2] % g->in[1], z = here / (g->in[2] * g->in[1]);
    if (g->spatial == 3) return z + g->in[0] * (y + g->in[1] * x);
    return y + g->in[1] * x;
}

#define TYPE double
#define NAME window_double
#include "cpu/kernels/pool.inc"
#define TYPE float
#define NAME window_float
#include "cpu/kernels/pool.inc"

static partita_status pool_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    pool_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->global = op.size > 6 && memcmp(op.data, "Global", 6) == 0;
    if (state->global) op = (partita_str){op.data + 6, op.size - 6};
    state->kind = ptp_str_is(op, "MaxPool") ? POOL_MAX : ptp_str_is(op, "AveragePool") ? POOL_AVERAGE : POOL_LP;
    state->count_pads = cpu_attr_int(node, "count_include_pad", 0) != 0;
    state->column_major = cpu_attr_int(node, "storage_order", 0) != 0;
    state->p = cpu_attr_float(node, "p", (float)cpu_attr_int(node, "p", 2));
    partita_status status = cpu_window_attrs_read(node, host, &state->attrs);
    if (status == PARTITA_OK)
        *out_state = state;
    else
        cpu_free(host, state);
    return status;
}

static partita_status window_of(const cpu_call *call, cpu_window *g) {
    const pool_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *y = &call->out[0];
    if (state->global) {
        /* One window over everything, whatever the rank. */
        int64_t size = (int64_t)cpu_extent(x->dims, 2, x->rank);
        if (x->rank < 2) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u has no spatial dims", x->rank);
        *g = (cpu_window){.spatial = 1,
                          .in = {1, 1, size},
                          .out = {1, 1, 1},
                          .kernel = {1, 1, size},
                          .stride = {1, 1, 1},
                          .dilation = {1, 1, 1},
                          .in_size = size,
                          .out_size = 1,
                          .kernel_size = size};
    } else {
        partita_status status = cpu_window_make(call, &state->attrs, x, y, NULL, g);
        if (status != PARTITA_OK) return status;
    }
    if (y->count != (uint64_t)(x->dims[0] * x->dims[1] * g->out_size))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than the pooling");
    return PARTITA_OK;
}

static partita_status pool_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_tensor *x = &call->in[0];
    cpu_doubles doubles;
    cpu_window g;
    int64_t *indices = cpu_has_output(call, 1) ? call->out[1].data : NULL;
    (void)begin, (void)end, (void)worker;
    partita_status status = window_of(call, &g);
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &doubles);
    doubles.out[1] = NULL; /* indices are written where they belong */
    for (int64_t plane = 0; plane < x->dims[0] * x->dims[1]; plane++) {
        for (int64_t p = 0; p < g.out_size; p++) {
            int64_t found, to = plane * g.out_size + p;
            doubles.out[0][to] = window_double(call->state, &g, doubles.in[0] + plane * g.in_size, p, &found);
            if (indices != NULL) indices[to] = plane * g.in_size + index_of(call->state, &g, found);
        }
    }
    cpu_doubles_store(call, &doubles);
    return PARTITA_OK;
}

static uint64_t pool_items(const cpu_call *call) {
    const cpu_tensor *x = &call->in[0];
    return x->rank < 2 ? 1 : (uint64_t)(x->dims[0] * x->dims[1]);
}

/* The sum in several parts, which vectors can do. */
static float sum_of(const float *x, int64_t n) {
    float parts[16] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) parts[j] += x[i + j];
    for (; i < n; i++) sum += x[i];
    for (int j = 0; j < 16; j++) sum += parts[j];
    return sum;
}

/* Columns [first, last) of a row whose windows lie inside: maximum or sum without a look at the borders. */
static void row_inside(const pool_state *state, const cpu_window *g, const float *x, float *y, int64_t row,
                       int64_t first, int64_t last) {
    const float *from = x + (row * g->stride[1] - g->pad[1]) * g->in[2] - g->pad[2];
    float scale = 1.0f / (float)g->kernel_size;
    for (int64_t column = first; column < last; column++) {
        const float *corner = from + column * g->stride[2];
        float result = state->kind == POOL_MAX ? corner[0] : 0;
        for (int64_t ky = 0; ky < g->kernel[1]; ky++) {
            for (int64_t kx = 0; kx < g->kernel[2]; kx++) {
                float value = corner[ky * g->in[2] + kx];
                if (state->kind == POOL_AVERAGE)
                    result += value;
                else
                    result = value > result || value != value ? value : result;
            }
        }
        y[row * g->out[2] + column] = state->kind == POOL_MAX ? result : result * scale;
    }
}

static void plane_float(const pool_state *state, const cpu_window *g, const float *x, float *y) {
    int64_t first = g->pad[2] > 0 ? (g->pad[2] + g->stride[2] - 1) / g->stride[2] : 0;
    int64_t room = g->in[2] + g->pad[2] - g->kernel[2];
    int64_t last = room >= 0 ? room / g->stride[2] + 1 : 0;
    if (last > g->out[2]) last = g->out[2];
    if (first > last) first = last;
    for (int64_t row = 0; row < g->out[1]; row++) {
        int64_t top = row * g->stride[1] - g->pad[1];
        bool inside = top >= 0 && top + g->kernel[1] <= g->in[1];
        int64_t begin = inside ? first : 0, end = inside ? last : 0;
        for (int64_t p = 0; p < begin; p++)
            y[row * g->out[2] + p] = window_float(state, g, x, row * g->out[2] + p, NULL);
        row_inside(state, g, x, y, row, begin, end);
        for (int64_t p = end; p < g->out[2]; p++)
            y[row * g->out[2] + p] = window_float(state, g, x, row * g->out[2] + p, NULL);
    }
}

static partita_status pool_float(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const pool_state *state = call->state;
    int64_t *indices = cpu_has_output(call, 1) ? call->out[1].data : NULL;
    cpu_window g;
    (void)worker;
    partita_status status = window_of(call, &g);
    if (status != PARTITA_OK) return status;
    bool plain = indices == NULL && state->kind != POOL_LP && g.in_size > 0 && g.in[0] == 1 && g.kernel[0] == 1 &&
                 g.dilation[1] == 1 && g.dilation[2] == 1;
    for (int64_t plane = (int64_t)begin; plane < (int64_t)end; plane++) {
        const float *x = (const float *)call->in[0].data + plane * g.in_size;
        float *y = (float *)call->out[0].data + plane * g.out_size;
        if (state->global && state->kind == POOL_AVERAGE)
            *y = sum_of(x, g.in_size) / (float)g.in_size;
        else if (plain)
            plane_float(state, &g, x, y);
        else {
            for (int64_t p = 0; p < g.out_size; p++) {
                int64_t found;
                y[p] = window_float(state, &g, x, p, &found);
                if (indices != NULL) indices[plane * g.out_size + p] = plane * g.in_size + index_of(state, &g, found);
            }
        }
    }
    return PARTITA_OK;
}

/* The shape that the window gives; ONNX's own results count indices in it also where output_shape is another. */
static partita_status unpool_dims(const cpu_call *call, int64_t *dims) {
    const cpu_window_attrs *attrs = &((const pool_state *)call->state)->attrs;
    const cpu_tensor *x = &call->in[0];
    if (x->rank < 3 || call->out[0].rank != x->rank || attrs->kernel.count != x->rank - 2)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "a kernel of %u dims for rank %u", attrs->kernel.count, x->rank);
    for (uint32_t i = 0; i < x->rank; i++) {
        dims[i] = x->dims[i];
        if (i < 2) continue;
        int64_t stride = i - 2 < attrs->strides.count ? attrs->strides.at[i - 2] : 1;
        bool padded = attrs->pads.count == 2 * (x->rank - 2);
        int64_t pads = padded ? attrs->pads.at[i - 2] + attrs->pads.at[x->rank + i - 4] : 0;
        dims[i] = (x->dims[i] - 1) * stride + attrs->kernel.at[i - 2] - pads;
        if (dims[i] < 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "the window has no place in dim %u", i);
    }
    return PARTITA_OK;
}

/* Every value goes back to the place that its index names; other places are 0. */
static partita_status unpool_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_tensor *x = &call->in[0], *indices = &call->in[1], *y = &call->out[0];
    uint64_t bytes = cpu_dtype_bits(x->dtype) / 8;
    int64_t dims[CPU_MAX_RANK], steps[CPU_MAX_RANK];
    (void)begin, (void)end, (void)worker;
    if (indices->count != x->count) return cpu_fail(call->host, PARTITA_BAD_INPUT, "one index per value is needed");
    partita_status status = unpool_dims(call, dims);
    if (status != PARTITA_OK) return status;
    cpu_strides(y->dims, y->rank, steps);
    memset(y->data, 0, y->bytes);
    for (uint64_t i = 0; i < x->count; i++) {
        int64_t index = ((const int64_t *)indices->data)[i], rest = index, to = 0;
        bool inside = index >= 0;
        for (uint32_t d = y->rank; d-- > 0; rest /= dims[d]) {
            inside = inside && (d == 0 ? rest : rest % dims[d]) < y->dims[d];
            to += (d == 0 ? rest : rest % dims[d]) * steps[d];
        }
        if (!inside)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "index %lld is outside of the output", (long long)index);
        memcpy((char *)y->data + (uint64_t)to * bytes, (const char *)x->data + i * bytes, bytes);
    }
    return PARTITA_OK;
}

#define REFERENCE(operator, more)                                                                                      \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_FLOATS | (more),                   \
        .reference = true, .prepare = pool_prepare, .release = cpu_free, .scratch = cpu_doubles_scratch,               \
        .run = pool_reference                                                                                          \
    }
#define FAST(operator, claims)                                                                                         \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_TYPE(FLOAT32), .claim = claims,    \
        .prepare = pool_prepare, .release = cpu_free, .items = pool_items, .run = pool_float                           \
    }
#define BYTES (CPU_TYPE(UINT8) | CPU_TYPE(INT8))
const cpu_kernel cpu_kernels_pool[] = {
    REFERENCE("MaxPool", BYTES),
    REFERENCE("AveragePool", 0),
    REFERENCE("LpPool", 0),
    REFERENCE("GlobalMaxPool", 0),
    REFERENCE("GlobalAveragePool", 0),
    REFERENCE("GlobalLpPool", 0),
    FAST("MaxPool", cpu_window_claim),
    FAST("AveragePool", cpu_window_claim),
    FAST("LpPool", cpu_window_claim),
    FAST("GlobalMaxPool", NULL),
    FAST("GlobalAveragePool", NULL),
    FAST("GlobalLpPool", NULL),
    {.op = "MaxUnpool",
     .domain = "",
     .since = 9,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS,
     .reference = true,
     .prepare = pool_prepare,
     .release = cpu_free,
     .run = unpool_run},
};
const uint32_t cpu_kernels_pool_count = sizeof(cpu_kernels_pool) / sizeof(cpu_kernels_pool[0]);
