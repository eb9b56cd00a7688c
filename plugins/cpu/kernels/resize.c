/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize and Upsample: reference in double, float32 split over the leading dims that stay as they are.
 */
#include "cpu/kernels/resize.h"
#include "cpu/kernels/reference.h"

#define TYPE    double
#define NAME(x) x##_double
#include "cpu/kernels/resize.inc"
#define TYPE    float
#define NAME(x) x##_float
#include "cpu/kernels/resize.inc"

/* Elements of the largest piece between two axes, from dim `first` on. */
static uint64_t largest(const cpu_call *call, uint32_t first) {
    const cpu_tensor *x = &call->in[0], *y = &call->out[0];
    uint64_t most = 0;
    for (uint32_t cut = first; cut <= x->rank; cut++) {
        uint64_t here = cpu_extent(x->dims, first, cut) * cpu_extent(y->dims, cut, y->rank);
        if (here > most) most = here;
    }
    return most;
}

/* Cubic weights reach beyond the input's values: integers stop at their type's limits. */
static void saturate(partita_dtype dtype, double *values, uint64_t n) {
    uint32_t bits = cpu_dtype_bits(dtype);
    bool is_signed = (CPU_INTS >> dtype & 1) != 0;
    if (cpu_dtype_is_float(dtype) || dtype == PARTITA_BOOL) return;
    double low = is_signed ? -ldexp(1, (int)bits - 1) : 0, beyond = ldexp(1, (int)(is_signed ? bits - 1 : bits));
    double high = bits < 64 ? beyond - 1 : nextafter(beyond, 0);
    for (uint64_t i = 0; i < n; i++) values[i] = fmin(fmax(values[i], low), high);
}

static uint64_t reference_scratch(const cpu_call *call) {
    if (call->in[0].rank != call->out[0].rank) return 0;
    return (call->in[0].count + call->out[0].count + 2 * largest(call, 0)) * sizeof(double);
}

static partita_status resize_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_resize_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *y = &call->out[0];
    cpu_resize_axis axes[CPU_MAX_RANK];
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_resize_axes_make(call, axes);
    if (status == PARTITA_OK) {
        double *from = call->scratch, *to = from + x->count, *room = to + y->count;
        cpu_load_doubles(x->dtype, x->data, 0, x->count, from);
        block_double(axes, 0, x->rank, from, to, room, largest(call, 0));
        extrapolate_double(axes, 0, x->rank, to, (double)state->extrapolation);
        saturate(y->dtype, to, y->count);
        cpu_store_doubles(y->dtype, y->data, 0, y->count, to);
    }
    cpu_resize_axes_free(call, axes);
    return status;
}

/* Leading dims that may turn out to stay. */
static uint32_t leading(const cpu_call *call) {
    uint32_t n = 0;
    while (n < 2 && n < call->in[0].rank && n < call->out[0].rank && call->in[0].dims[n] == call->out[0].dims[n]) n++;
    return n;
}

static uint64_t resize_items(const cpu_call *call) { return cpu_extent(call->in[0].dims, 0, leading(call)); }

static uint64_t resize_scratch(const cpu_call *call) {
    if (call->in[0].rank != call->out[0].rank) return 0;
    /* Leading dims that do not stay make one block of everything, done by one worker. */
    uint64_t split = 2 * call->workers * largest(call, leading(call)), whole = 2 * largest(call, 0);
    return (split > whole ? split : whole) * sizeof(float);
}

/* The two neighbours of an output along an axis. One outside of the input counts nothing; behind the last, both halves.
 */
static void neighbours(const cpu_resize_axis *axis, uint64_t j, int64_t *at, float *weight) {
    for (uint32_t t = 0; t < 2; t++) at[t] = axis->index[2 * j + t], weight[t] = axis->weight[2 * j + t];
    if (at[0] != at[1]) return;
    bool before = at[0] == 0 && axis->in > 1;
    weight[0] = before ? 1.0f : 0.5f;
    weight[1] = before ? 0.0f : 0.5f;
}

/* Both axes at once, as onnxruntime sums: that tells where ties fall when the result is quantised. */
static void bilinear(const cpu_resize_axis *rows, const cpu_resize_axis *columns, const float *x, float *y) {
    int64_t at_y[2], at_x[2];
    float wy[2], wx[2];
    for (uint64_t i = 0; i < rows->out; i++) {
        neighbours(rows, i, at_y, wy);
        const float *above = x + (uint64_t)at_y[0] * columns->in, *below = x + (uint64_t)at_y[1] * columns->in;
        for (uint64_t j = 0; j < columns->out; j++) {
            neighbours(columns, j, at_x, wx);
            *y++ = wx[0] * wy[0] * above[at_x[0]] + wx[1] * wy[0] * above[at_x[1]] + wx[0] * wy[1] * below[at_x[0]] +
                   wx[1] * wy[1] * below[at_x[1]];
        }
    }
}

static bool is_bilinear(const cpu_resize_state *state, const cpu_resize_axis *axes, uint32_t first, uint32_t rank) {
    bool plain = state->mode == CPU_RESIZE_LINEAR && !state->antialias && !state->exclude_outside && rank == first + 2;
    for (uint32_t i = first; plain && i < rank; i++) plain = !axes[i].identity && axes[i].taps == 2;
    return plain;
}

static partita_status resize_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_resize_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *y = &call->out[0];
    cpu_resize_axis axes[CPU_MAX_RANK];
    uint32_t first = leading(call);
    partita_status status = cpu_resize_axes_make(call, axes);
    for (uint32_t i = 0; i < leading(call); i++)
        if (!axes[i].identity) first = 0;
    if (status == PARTITA_OK && first < leading(call)) {
        end = begin == 0 ? 1 : begin;
        worker = 0;
    }
    uint64_t each = largest(call, first), in = cpu_extent(x->dims, first, x->rank),
             out = cpu_extent(y->dims, first, y->rank);
    float *room = (float *)call->scratch + 2 * worker * each;
    for (uint64_t item = begin; item < end && status == PARTITA_OK; item++) {
        float *to = (float *)y->data + item * out;
        if (is_bilinear(state, axes, first, x->rank))
            bilinear(&axes[first], &axes[first + 1], (const float *)x->data + item * in, to);
        else
            block_float(axes, first, x->rank, (const float *)x->data + item * in, to, room, each);
        extrapolate_float(axes, first, x->rank, to, state->extrapolation);
    }
    cpu_resize_axes_free(call, axes);
    return status;
}

#define NUMBERS (CPU_NUMBERS | CPU_TYPE(BOOL))
#define REFERENCE(operator, first, last)                                                                               \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = first, .until = last, .types = NUMBERS, .reference = true,              \
        .prepare = cpu_resize_prepare, .release = cpu_free, .scratch = reference_scratch, .run = resize_reference      \
    }
#define FAST(operator, first, last)                                                                                    \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = first, .until = last, .types = CPU_TYPE(FLOAT32),                       \
        .prepare = cpu_resize_prepare, .release = cpu_free, .scratch = resize_scratch, .items = resize_items,          \
        .run = resize_run                                                                                              \
    }
const cpu_kernel cpu_kernels_resize[] = {REFERENCE("Resize", 10, CPU_NEWEST), REFERENCE("Upsample", 1, 9),
                                         FAST("Resize", 10, CPU_NEWEST), FAST("Upsample", 1, 9)};
const uint32_t cpu_kernels_resize_count = sizeof(cpu_kernels_resize) / sizeof(cpu_kernels_resize[0]);
