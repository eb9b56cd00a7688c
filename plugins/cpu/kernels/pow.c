/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pow, whose exponent may be of another type than its base. Powers of integers by integers are exact (and wrap); all
 * others are computed in the base's precision, or the exponent's where that is higher.
 */
#include "cpu/kernels/support.h"

#define CHUNK 256

typedef struct pow_state {
    bool legacy_axis;
    int64_t axis;
} pow_state;

static partita_status pow_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    pow_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->legacy_axis = node->row.since < 7 && cpu_attr_has(node, "axis");
    state->axis = cpu_attr_int(node, "axis", 0);
    *out_state = state;
    return PARTITA_OK;
}

static int64_t pow_int(int64_t base, int64_t exponent) {
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 != 0 ? -1 : 1) : 0;
    uint64_t result = 1, square = (uint64_t)base;
    for (; exponent != 0; exponent >>= 1, square *= square)
        if ((exponent & 1) != 0) result *= square;
    return (int64_t)result;
}

static bool is_int(partita_dtype dtype) { return !cpu_dtype_is_float(dtype); }

static void pow_floats(const float *x, uint32_t sx, const float *y, uint32_t sy, float *z, uint64_t n) {
    if (sy == 0 && y[0] == 2.0f) {
        for (uint64_t i = 0; i < n; i++) z[i] = x[i * sx] * x[i * sx];
    } else if (sy == 0 && y[0] == 3.0f) {
        for (uint64_t i = 0; i < n; i++) z[i] = x[i * sx] * x[i * sx] * x[i * sx];
    } else if (sy == 0 && y[0] == 0.5f) {
        /* pow(-inf, 0.5) is inf and pow(-0, 0.5) is 0. */
        for (uint64_t i = 0; i < n; i++) z[i] = x[i * sx] == -INFINITY ? INFINITY : sqrtf(x[i * sx] + 0.0f);
    } else {
        for (uint64_t i = 0; i < n; i++) z[i] = powf(x[i * sx], y[i * sy]);
    }
}

/* Whether float holds the exponents: of the wide types one that stands still is looked at, others are not. */
static bool fits_float(const cpu_tensor *y, uint64_t at, uint32_t step) {
    double value;
    if (cpu_dtype_bits(y->dtype) < 32 || y->dtype == PARTITA_FLOAT32) return true;
    if (step != 0) return false;
    cpu_load_doubles(y->dtype, y->data, at, 1, &value);
    return (double)(float)value == value;
}

/* At most CHUNK elements; pointers stand at the tensors' starts. */
static void pow_chunk(const cpu_call *call, const cpu_walk *walk, const uint64_t *at, uint64_t first, uint64_t n) {
    const cpu_tensor *x = &call->in[0], *y = &call->in[1], *z = &call->out[0];
    uint32_t sx = walk->steps[0], sy = walk->steps[1];
    uint64_t nx = sx == 1 ? n : 1, ny = sy == 1 ? n : 1;
    union {
        float f[CHUNK];
        double d[CHUNK];
        int64_t i[CHUNK];
    } a, b, c;
    if (is_int(x->dtype) && is_int(y->dtype)) {
        cpu_load_int64s(x->dtype, x->data, at[0], nx, a.i);
        cpu_load_int64s(y->dtype, y->data, at[1], ny, b.i);
        for (uint64_t i = 0; i < n; i++) c.i[i] = pow_int(a.i[i * sx], b.i[i * sy]);
        cpu_store_int64s(z->dtype, z->data, first, n, c.i);
    } else if (is_int(x->dtype) || x->dtype == PARTITA_FLOAT64 || !fits_float(y, at[1], sy)) {
        cpu_load_doubles(x->dtype, x->data, at[0], nx, a.d);
        cpu_load_doubles(y->dtype, y->data, at[1], ny, b.d);
        for (uint64_t i = 0; i < n; i++) c.d[i] = pow(a.d[i * sx], b.d[i * sy]);
        cpu_store_doubles(z->dtype, z->data, first, n, c.d);
    } else {
        cpu_load_floats(x->dtype, x->data, at[0], nx, a.f);
        cpu_load_floats(y->dtype, y->data, at[1], ny, b.f);
        pow_floats(a.f, sx, b.f, sy, c.f, n);
        cpu_store_floats(z->dtype, z->data, first, n, c.f);
    }
}

static partita_status pow_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const pow_state *state = call->state;
    const cpu_tensor *in[2] = {&call->in[0], &call->in[1]}, *out = &call->out[0];
    int64_t axes[2] = {-1, -1};
    uint64_t first, last, at[CPU_WALK_INPUTS];
    cpu_walk walk;
    if (state->legacy_axis && in[1]->rank < in[0]->rank && in[1]->count != 1)
        axes[1] = state->axis < 0 ? state->axis + in[0]->rank : state->axis;
    partita_status status = cpu_walk_init(call, out, in, 2, axes, &walk);
    if (status != PARTITA_OK) return status;
    cpu_item_range(out, begin, end, &first, &last);
    cpu_walk_seek(&walk, first);
    while (first < last) {
        uint64_t n = cpu_walk_next(&walk, last - first < CHUNK ? last - first : CHUNK, at);
        pow_chunk(call, &walk, at, first, n);
        first += n;
    }
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_pow[] = {
    {.op = "Pow",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_NUMBERS,
     .reference = true,
     .prepare = pow_prepare,
     .release = cpu_free,
     .items = cpu_items_elements,
     .run = pow_run,
     .in_place = true},
};
const uint32_t cpu_kernels_pow_count = sizeof(cpu_kernels_pow) / sizeof(cpu_kernels_pow[0]);
