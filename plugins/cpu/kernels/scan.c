/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that walk along one axis: ArgMax, ArgMin, CumSum, CumProd. An item is one line.
 */
#include "cpu/kernels/support.h"

typedef struct scan_state {
    int64_t axis;
    bool keep, last, least;           /* ArgMax, ArgMin */
    bool product, exclusive, reverse; /* CumSum, CumProd */
} scan_state;

static partita_status scan_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    scan_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->axis = cpu_attr_int(node, "axis", 0);
    state->keep = cpu_attr_int(node, "keepdims", 1) != 0;
    state->last = cpu_attr_int(node, "select_last_index", 0) != 0;
    state->least = ptp_str_is(op, "ArgMin");
    state->product = ptp_str_is(op, "CumProd");
    state->exclusive = cpu_attr_int(node, "exclusive", 0) != 0;
    state->reverse = cpu_attr_int(node, "reverse", 0) != 0;
    *out_state = state;
    return PARTITA_OK;
}

/* ---- ArgMax, ArgMin ---- */

static uint64_t arg_items(const cpu_call *call) { return call->out[0].count > 0 ? call->out[0].count : 1; }

/* Index of the extreme element; keys are compared by chunks. */
static int64_t arg_line(const scan_state *state, const cpu_tensor *in, uint64_t first, int64_t stride, uint64_t n) {
    uint64_t keys[256], best_key = 0;
    int64_t best = -1;
    for (uint64_t i = 0; i < n; i += 256) {
        uint64_t m = n - i < 256 ? n - i : 256;
        cpu_load_keys(in->dtype, in->data, first + (uint64_t)((int64_t)i * stride), stride, m, keys);
        for (uint64_t j = 0; j < m; j++) {
            uint64_t key = state->least ? ~keys[j] : keys[j];
            if (best >= 0 && (key < best_key || (key == best_key && !state->last))) continue;
            best_key = key;
            best = (int64_t)(i + j);
        }
    }
    return best;
}

/* As above for float32 in memory order, which is nearly every case. A NaN wins, as it does by keys. */
static int64_t arg_line_floats(const scan_state *state, const float *x, uint64_t n) {
    float best = x[0];
    int64_t at = 0;
    for (uint64_t i = 1; i < n; i++) {
        bool better = state->least ? x[i] < best : x[i] > best;
        if (!better && !(state->last && x[i] == best)) continue;
        best = x[i];
        at = (int64_t)i;
    }
    return at;
}

static bool has_nan(const float *x, uint64_t n) {
    int found = 0;
    for (uint64_t i = 0; i < n; i++) found |= x[i] != x[i];
    return found != 0;
}

static partita_status arg_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const scan_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    int64_t dims[CPU_MAX_RANK];
    uint32_t axis, rank = 0;
    partita_status status = PARTITA_OK;
    /* A scalar is taken as one element of rank 1. */
    bool scalar = in->rank == 0 && (state->axis == 0 || state->axis == -1);
    if (scalar)
        axis = 0;
    else
        status = cpu_axis(call, state->axis, in->rank, &axis);
    for (uint32_t d = 0; status == PARTITA_OK && d < in->rank; d++) {
        if (d != axis)
            dims[rank++] = in->dims[d];
        else if (state->keep)
            dims[rank++] = 1;
    }
    if (status == PARTITA_OK) status = cpu_expect(call, 0, rank, dims);
    if (status != PARTITA_OK || out->count == 0) return status;
    uint64_t n = scalar ? 1 : (uint64_t)in->dims[axis], inner = scalar ? 1 : cpu_extent(in->dims, axis + 1, in->rank);
    if (n == 0) return cpu_fail(call->host, PARTITA_BAD_INPUT, "the axis is empty: there is no extreme element");
    for (uint64_t item = begin; item < end; item++) {
        uint64_t first = item / inner * n * inner + item % inner;
        const float *line = (const float *)in->data + first;
        bool fast = in->dtype == PARTITA_FLOAT32 && inner == 1 && !has_nan(line, n);
        ((int64_t *)out->data)[item] =
            fast ? arg_line_floats(state, line, n) : arg_line(state, in, first, (int64_t)inner, n);
    }
    return PARTITA_OK;
}

/* ---- CumSum, CumProd ---- */

static uint64_t cum_items(const cpu_call *call) {
    /* The axis is an input: the number of lines is not known here. One worker then does all. */
    return call->out[0].count > 0 ? 1 : 0;
}

#define CUM_LINE(acc, load, store)                                                                                     \
    {                                                                                                                  \
        acc sum = state->product;                                                                                      \
        for (uint64_t i = 0; i < n; i++) {                                                                             \
            uint64_t at = first + (state->reverse ? n - 1 - i : i) * stride;                                           \
            acc x;                                                                                                     \
            load(in->dtype, in->data, at, 1, &x);                                                                      \
            acc next = state->product ? (acc)(sum * x) : (acc)(sum + x);                                               \
            store(out->dtype, out->data, at, 1, state->exclusive ? &sum : &next);                                      \
            sum = next;                                                                                                \
        }                                                                                                              \
    }

static partita_status cum_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const scan_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    uint32_t axis;
    cpu_ints given;
    partita_status status = cpu_ints_input(call, 1, &given);
    if (status == PARTITA_OK && given.count != 1)
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "axis must be one number");
    if (status == PARTITA_OK) status = cpu_axis(call, given.at[0], in->rank, &axis);
    if (status == PARTITA_OK) status = cpu_expect_like(call, 0, in);
    if (status != PARTITA_OK) return status;
    uint64_t n = (uint64_t)in->dims[axis], stride = cpu_extent(in->dims, axis + 1, in->rank);
    for (uint64_t line = 0; n > 0 && line < in->count / n; line++) {
        uint64_t first = line / stride * n * stride + line % stride;
        if (cpu_dtype_is_float(in->dtype))
            CUM_LINE(double, cpu_load_doubles, cpu_store_doubles)
        else
            CUM_LINE(int64_t, cpu_load_int64s, cpu_store_int64s)
    }
    return PARTITA_OK;
}

#define SCAN_ROW(name, item, runs)                                                                                     \
    {                                                                                                                  \
        .op = name, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_NUMBERS, .reference = true,            \
        .prepare = scan_prepare, .release = cpu_free, .items = item, .run = runs                                       \
    }

const cpu_kernel cpu_kernels_scan[] = {
    SCAN_ROW("ArgMax", arg_items, arg_run),
    SCAN_ROW("ArgMin", arg_items, arg_run),
    SCAN_ROW("CumSum", cum_items, cum_run),
    SCAN_ROW("CumProd", cum_items, cum_run),
};
const uint32_t cpu_kernels_scan_count = sizeof(cpu_kernels_scan) / sizeof(cpu_kernels_scan[0]);
