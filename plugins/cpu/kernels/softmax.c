/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference Softmax, LogSoftmax and Hardmax. Before version 13 everything from the axis on is one row.
 */
#include "cpu/kernels/softmax.h"
#include "cpu/kernels/reference.h"

cpu_softmax_fn cpu_softmax_of(uint32_t level) {
#if defined(__x86_64__)
    if (level >= CPU_LEVEL_AVX512) return cpu_softmax_avx512;
    if (level >= CPU_LEVEL_AVX2) return cpu_softmax_avx2;
#endif
    (void)level;
    return cpu_softmax_baseline;
}

partita_status cpu_softmax_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    cpu_softmax_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->flat = node->row.since < 13;
    state->axis = cpu_attr_int(node, "axis", state->flat ? 1 : -1);
    state->kind = ptp_str_is(op, "Softmax")      ? CPU_SOFTMAX
                  : ptp_str_is(op, "LogSoftmax") ? CPU_LOG_SOFTMAX
                                                 : CPU_HARDMAX;
    state->rows = cpu_softmax_of(node->level);
    return PARTITA_OK;
}

partita_status cpu_softmax_shape(const cpu_call *call, uint64_t *out_outer, uint64_t *out_size, uint64_t *out_inner) {
    const cpu_softmax_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    uint32_t axis = 0;
    if (x->rank == 0) {
        *out_outer = *out_size = *out_inner = 1;
        return PARTITA_OK;
    }
    /* Flattened at the rank itself every row has one element. */
    if (state->flat && state->axis == (int64_t)x->rank)
        axis = x->rank;
    else {
        partita_status status = cpu_axis(call, state->axis, x->rank, &axis);
        if (status != PARTITA_OK) return status;
    }
    *out_outer = cpu_extent(x->dims, 0, axis);
    *out_size = state->flat ? cpu_extent(x->dims, axis, x->rank) : (uint64_t)x->dims[axis];
    *out_inner = state->flat ? 1 : cpu_extent(x->dims, axis + 1, x->rank);
    return PARTITA_OK;
}

void cpu_softmax_row(uint32_t kind, partita_dtype step, const double *x, double *y, uint64_t n, uint64_t stride) {
    double most = -INFINITY, sum = 0;
    uint64_t where = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (x[i * stride] > most || i == 0) {
            most = x[i * stride];
            where = i;
        }
    }
    for (uint64_t i = 0; i < n; i++) sum += cpu_rounded(step, exp(cpu_rounded(step, x[i * stride] - most)));
    sum = cpu_rounded(step, sum);
    for (uint64_t i = 0; i < n; i++) {
        double off = cpu_rounded(step, x[i * stride] - most);
        if (kind == CPU_HARDMAX)
            y[i * stride] = i == where;
        else if (kind == CPU_SOFTMAX)
            y[i * stride] = cpu_rounded(step, exp(off)) / sum;
        else
            y[i * stride] = off - cpu_rounded(step, log(sum));
    }
}

static partita_status softmax_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_softmax_state *state = call->state;
    uint64_t outer, size, inner;
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_softmax_shape(call, &outer, &size, &inner);
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &d);
    /* From version 13 on its definition is a function of operators that store their results. */
    partita_dtype step = state->flat ? PARTITA_FLOAT64 : cpu_step_dtype(call->in[0].dtype);
    for (uint64_t i = 0; i < outer * inner; i++) {
        uint64_t at = i / inner * size * inner + i % inner;
        cpu_softmax_row(state->kind, step, d.in[0] + at, d.out[0] + at, size, inner);
    }
    cpu_doubles_store(call, &d);
    return PARTITA_OK;
}

#define ROW_FLOATS 4096

static uint64_t softmax_items(const cpu_call *call) {
    uint64_t outer, size, inner;
    if (cpu_softmax_shape(call, &outer, &size, &inner) != PARTITA_OK || size * inner == 0) return 1;
    uint64_t each = size * inner >= ROW_FLOATS ? 1 : ROW_FLOATS / (size * inner);
    return (outer + each - 1) / each;
}

static partita_status softmax_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_softmax_state *state = call->state;
    uint64_t outer, size, inner;
    (void)worker;
    partita_status status = cpu_softmax_shape(call, &outer, &size, &inner);
    if (status != PARTITA_OK || size * inner == 0) return status;
    uint64_t each = size * inner >= ROW_FLOATS ? 1 : ROW_FLOATS / (size * inner);
    uint64_t first = begin * each, last = end * each < outer ? end * each : outer;
    if (first < last)
        state->rows(state->kind, (const float *)call->in[0].data + first * size * inner,
                    (float *)call->out[0].data + first * size * inner, last - first, size, inner);
    return PARTITA_OK;
}

#define REFERENCE(operator)                                                                                            \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,         \
        .prepare = cpu_softmax_prepare, .release = cpu_free, .scratch = cpu_doubles_scratch, .run = softmax_reference  \
    }
#define FAST(operator)                                                                                                 \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_TYPE(FLOAT32),                     \
        .prepare = cpu_softmax_prepare, .release = cpu_free, .items = softmax_items, .run = softmax_run                \
    }
const cpu_kernel cpu_kernels_softmax[] = {REFERENCE("Softmax"), REFERENCE("LogSoftmax"), REFERENCE("Hardmax"),
                                          FAST("Softmax"), FAST("LogSoftmax")};
const uint32_t cpu_kernels_softmax_count = sizeof(cpu_kernels_softmax) / sizeof(cpu_kernels_softmax[0]);
