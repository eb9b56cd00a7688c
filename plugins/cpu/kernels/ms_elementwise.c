/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations of com.microsoft with a bias in front, BiasSplitGelu and BiasSoftmax. By chunks in double, rounded once.
 */
#include "cpu/kernels/reference.h"
#include "cpu/kernels/softmax.h"

#define CHUNK 256

typedef struct gelu_state {
    double (*function)(double x, double alpha);
    double alpha;
} gelu_state;

static double gelu(double x, double alpha) {
    (void)alpha;
    return 0.5 * x * (1 + erf(x * 0.70710678118654752));
}
static double gelu_fast(double x, double alpha) {
    (void)alpha;
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
static double gelu_quick(double x, double alpha) { return x / (1 + exp(-alpha * x)); }

static partita_status gelu_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    gelu_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->function = ptp_str_is(op, "FastGelu") ? gelu_fast : ptp_str_is(op, "QuickGelu") ? gelu_quick : gelu;
    state->alpha = (double)cpu_attr_float(node, "alpha", 1.702f);
    return PARTITA_OK;
}

/* The bias has one element for each of the last dim. */
static partita_status bias_check(const cpu_call *call) {
    const cpu_tensor *x = &call->in[0];
    if (!cpu_has_input(call, 1)) return PARTITA_OK;
    if (x->rank > 0 && call->in[1].count == (uint64_t)x->dims[x->rank - 1]) return PARTITA_OK;
    return cpu_fail(call->host, PARTITA_BAD_INPUT, "the bias has %llu elements", (unsigned long long)call->in[1].count);
}

static partita_status gelu_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const gelu_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    double x[CHUNK], b[CHUNK];
    uint64_t first, last;
    (void)worker;
    partita_status status = cpu_expect_like(call, 0, in);
    if (status == PARTITA_OK) status = bias_check(call);
    if (status != PARTITA_OK) return status;
    cpu_item_range(out, begin, end, &first, &last);
    while (first < last) {
        uint64_t n = last - first < CHUNK ? last - first : CHUNK;
        if (cpu_has_input(call, 1)) {
            uint64_t width = call->in[1].count, at = first % width;
            if (n > width - at) n = width - at;
            cpu_load_doubles(call->in[1].dtype, call->in[1].data, at, n, b);
        }
        cpu_load_doubles(in->dtype, in->data, first, n, x);
        for (uint64_t i = 0; i < n; i++)
            x[i] = state->function(cpu_has_input(call, 1) ? x[i] + b[i] : x[i], state->alpha);
        cpu_store_doubles(out->dtype, out->data, first, n, x);
        first += n;
    }
    return PARTITA_OK;
}

/* The left half of a row times the GELU of its right half. */
CPU_DOUBLES_KERNEL(split_run) {
    const cpu_tensor *x = &call->in[0];
    int64_t dims[CPU_MAX_RANK];
    partita_status status = bias_check(call);
    if (status == PARTITA_OK && (x->rank == 0 || x->dims[x->rank - 1] % 2 != 0))
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "the last dim has no two halves");
    if (status != PARTITA_OK) return status;
    memcpy(dims, x->dims, x->rank * sizeof(int64_t));
    uint64_t half = (uint64_t)(dims[x->rank - 1] /= 2);
    status = cpu_expect(call, 0, x->rank, dims);
    for (uint64_t i = 0; status == PARTITA_OK && i < call->out[0].count; i++) {
        uint64_t column = i % half, at = i / half * 2 * half + column;
        d->out[0][i] = (d->in[0][at] + d->in[1][column]) * gelu(d->in[0][at + half] + d->in[1][half + column], 0);
    }
    return status;
}

/* ---- BiasSoftmax ----------------------------------------------------------------------------- */

static partita_status softmax_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    int64_t *axis = cpu_alloc(host, sizeof(*axis));
    *out_state = axis;
    if (axis == NULL) return PARTITA_OUT_OF_MEMORY;
    *axis = cpu_attr_int(node, "axis", 1);
    return PARTITA_OK;
}

/* Rows are all dims from the axis on. Whether the bias is repeated on the inside or the outside, its dims tell. */
CPU_DOUBLES_KERNEL(softmax_run) {
    const cpu_tensor *x = &call->in[0], *added[1] = {&call->in[1]};
    uint32_t axis;
    cpu_walk walk;
    partita_status status = cpu_axis(call, *(const int64_t *)call->state, x->rank, &axis);
    if (status == PARTITA_OK) status = cpu_expect_like(call, 0, x);
    if (status == PARTITA_OK) status = cpu_walk_init(call, &call->out[0], added, 1, NULL, &walk);
    if (status != PARTITA_OK || x->count == 0) return status;
    cpu_walk_seek(&walk, 0);
    for (uint64_t at = 0; at < x->count;) {
        uint64_t offset, run = cpu_walk_next(&walk, UINT64_MAX, &offset);
        for (uint64_t i = 0; i < run; i++) d->out[0][at + i] = d->in[0][at + i] + d->in[1][offset + i * walk.steps[0]];
        at += run;
    }
    uint64_t size = cpu_extent(x->dims, axis, x->rank);
    for (uint64_t at = 0; at < x->count; at += size)
        cpu_softmax_row(CPU_SOFTMAX, PARTITA_FLOAT64, d->out[0] + at, d->out[0] + at, size, 1);
    return PARTITA_OK;
}

#define GELU(operator)                                                                                                 \
    {                                                                                                                  \
        .op = operator, .domain = "com.microsoft", .since = 1, .until = CPU_NEWEST, .types = CPU_FLOATS,               \
        .reference = true, .prepare = gelu_prepare, .release = cpu_free, .items = cpu_items_elements, .run = gelu_run  \
    }
const cpu_kernel cpu_kernels_ms_elementwise[] = {
    GELU("Gelu"),
    GELU("BiasGelu"),
    GELU("FastGelu"),
    GELU("QuickGelu"),
    {.op = "BiasSplitGelu",
     .domain = "com.microsoft",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS,
     .reference = true,
     .scratch = cpu_doubles_scratch,
     .run = split_run},
    {.op = "BiasSoftmax",
     .domain = "com.microsoft",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS,
     .reference = true,
     .prepare = softmax_prepare,
     .release = cpu_free,
     .scratch = cpu_doubles_scratch,
     .run = softmax_run},
};
const uint32_t cpu_kernels_ms_elementwise_count =
    sizeof(cpu_kernels_ms_elementwise) / sizeof(cpu_kernels_ms_elementwise[0]);
