/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions over axes. The input's dims are sorted into kept and reduced ones; an item is a run of up to COLUMNS
 * output elements that lie behind each other in the input too, or one element where the innermost dim is reduced.
 * Floats are summed in double, integers in 64 bits, so that the order does not show.
 */
#include "cpu/kernels/support.h"

#pragma GCC diagnostic ignored "-Wtype-limits" /* the loops are made for unsigned types too */

#define COLUMNS 64

enum { SUM, MEAN, MAX, MIN, PROD, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE };
static const char *const names[] = {"ReduceSum", "ReduceMean", "ReduceMax",    "ReduceMin",       "ReduceProd",
                                    "ReduceL1",  "ReduceL2",   "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"};

typedef struct reduce_state {
    uint32_t kind;
    bool axes_input, noop, keep;
    cpu_ints axes;
} reduce_state;

static partita_status reduce_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    reduce_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    while (!ptp_str_is(op, names[state->kind])) state->kind++;
    state->axes_input = node->row.since >= (state->kind == SUM ? 13 : 18);
    state->noop = cpu_attr_int(node, "noop_with_empty_axes", 0) != 0;
    state->keep = cpu_attr_int(node, "keepdims", 1) != 0;
    return state->axes_input ? PARTITA_OK : cpu_ints_attr(node, host, "axes", &state->axes);
}

/* Kept and reduced dims, each group in order, dims that lie behind each other joined. */
typedef struct reduce_plan {
    cpu_view kept, reduced;
    uint64_t columns; /* output elements that are neighbours in the input; 1 when the innermost dim is reduced */
    uint64_t count;   /* elements per output element */
} reduce_plan;

static partita_status reduce_axes(const cpu_call *call, const reduce_state *state, uint32_t *out_mask) {
    const cpu_tensor *in = &call->in[0];
    cpu_ints axes = state->axes;
    partita_status status = state->axes_input ? cpu_ints_input(call, 1, &axes) : PARTITA_OK;
    *out_mask = 0;
    if (status != PARTITA_OK) return status;
    if (axes.count == 0 && !state->noop) *out_mask = (1u << in->rank) - 1;
    for (uint32_t i = 0; i < axes.count; i++) {
        uint32_t axis;
        status = cpu_axis(call, axes.at[i], in->rank, &axis);
        if (status != PARTITA_OK) return status;
        *out_mask |= 1u << axis;
    }
    return PARTITA_OK;
}

static partita_status reduce_plan_init(const cpu_call *call, reduce_plan *plan) {
    const reduce_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    int64_t strides[CPU_MAX_RANK], dims[CPU_MAX_RANK];
    uint32_t mask, rank = 0;
    partita_status status = reduce_axes(call, state, &mask);
    if (status != PARTITA_OK) return status;
    memset(plan, 0, sizeof(*plan));
    cpu_strides(in->dims, in->rank, strides);
    for (uint32_t d = 0; d < in->rank; d++) {
        cpu_view *group = (mask >> d & 1u) != 0 ? &plan->reduced : &plan->kept;
        group->dims[group->rank] = in->dims[d];
        group->strides[group->rank++] = strides[d];
        if ((mask >> d & 1u) == 0)
            dims[rank++] = in->dims[d];
        else if (state->keep)
            dims[rank++] = 1;
    }
    status = cpu_expect(call, 0, rank, dims);
    plan->count = cpu_view_count(&plan->reduced);
    cpu_view_collapse(&plan->kept);
    cpu_view_collapse(&plan->reduced);
    const cpu_view *kept = &plan->kept;
    plan->columns = kept->rank > 0 && kept->strides[kept->rank - 1] == 1 ? (uint64_t)kept->dims[kept->rank - 1] : 1;
    return status;
}

static uint64_t reduce_items(const cpu_call *call) {
    /* Axes of an input are not at hand here: elements are the finest split, and `run` shares them out. */
    return call->out[0].count;
}

static int64_t view_offset(const cpu_view *view, uint64_t element) {
    int64_t offset = 0;
    for (uint32_t d = view->rank; d-- > 0;) {
        offset += (int64_t)(element % (uint64_t)view->dims[d]) * view->strides[d];
        element /= (uint64_t)view->dims[d];
    }
    return offset;
}

/* ---- one family of loops per type: accumulators a[0..m), element x ---- */

#define ADD(a, x)        ((a) + (x))
#define ADD_ABS(a, x)    ((a) + ((x) < 0 ? -(x) : (x)))
#define ADD_SQUARE(a, x) ((a) + (x) * (x))
#define MULTIPLY(a, x)   ((a) * (x))
#define LARGER(a, x)     ((a) != (a) || (a) > (x) ? (a) : (x))
#define SMALLER(a, x)    ((a) != (a) || (a) < (x) ? (a) : (x))

/* `columns` neighbours into as many accumulators, or `n` elements `stride` apart into eight of them. */
#define STEP_LOOP(type, acc, op)                                                                                       \
    if (columns > 1) {                                                                                                 \
        for (uint64_t i = 0; i < n; i++)                                                                               \
            for (uint64_t c = 0; c < columns; c++) {                                                                   \
                const acc v = (acc)x[(int64_t)i * stride + (int64_t)c];                                                \
                a[c] = op(a[c], v);                                                                                    \
            }                                                                                                          \
    } else {                                                                                                           \
        uint64_t i = 0;                                                                                                \
        for (; stride == 1 && i + 8 <= n; i += 8)                                                                      \
            for (uint64_t l = 0; l < 8; l++) {                                                                         \
                const acc v = (acc)x[i + l];                                                                           \
                a[l] = op(a[l], v);                                                                                    \
            }                                                                                                          \
        for (; i < n; i++) {                                                                                           \
            const acc v = (acc)x[(int64_t)i * stride];                                                                 \
            a[0] = op(a[0], v);                                                                                        \
        }                                                                                                              \
    }

#define STEP_FUNCTION(name, type, acc)                                                                                 \
    static void step_##name(uint32_t kind, const void *data, int64_t stride, uint64_t n, uint64_t columns, acc *a) {   \
        const type *x = data;                                                                                          \
        switch (kind) {                                                                                                \
        case MAX: STEP_LOOP(type, acc, LARGER) break;                                                                  \
        case MIN: STEP_LOOP(type, acc, SMALLER) break;                                                                 \
        case PROD: STEP_LOOP(type, acc, MULTIPLY) break;                                                               \
        case L1: STEP_LOOP(type, acc, ADD_ABS) break;                                                                  \
        case L2:                                                                                                       \
        case SUM_SQUARE: STEP_LOOP(type, acc, ADD_SQUARE) break;                                                       \
        default: STEP_LOOP(type, acc, ADD) break;                                                                      \
        }                                                                                                              \
    }

STEP_FUNCTION(f32, float, double)
STEP_FUNCTION(f64, double, double)
STEP_FUNCTION(i8, int8_t, int64_t)
STEP_FUNCTION(i16, int16_t, int64_t)
STEP_FUNCTION(i32, int32_t, int64_t)
STEP_FUNCTION(i64, int64_t, int64_t)
STEP_FUNCTION(u8, uint8_t, uint64_t)
STEP_FUNCTION(u16, uint16_t, uint64_t)
STEP_FUNCTION(u32, uint32_t, uint64_t)
STEP_FUNCTION(u64, uint64_t, uint64_t)

typedef union accumulators {
    double real[COLUMNS];
    int64_t whole[COLUMNS];
    uint64_t natural[COLUMNS];
} accumulators;

static bool is_natural(partita_dtype dtype) {
    return dtype == PARTITA_UINT8 || dtype == PARTITA_UINT16 || dtype == PARTITA_UINT32 || dtype == PARTITA_UINT64 ||
           dtype == PARTITA_BOOL;
}

/* Lowest and highest of the type: what an empty maximum or minimum is. */
static int64_t type_limit(partita_dtype dtype, bool low) {
    uint32_t bits = cpu_dtype_bits(dtype);
    if (dtype == PARTITA_BOOL) return low ? 0 : 1;
    if (is_natural(dtype)) return low ? 0 : bits == 64 ? -1 : (int64_t)((UINT64_C(1) << bits) - 1);
    return low ? -(INT64_C(1) << (bits - 1)) : (int64_t)((UINT64_C(1) << (bits - 1)) - 1);
}

static void accumulators_start(accumulators *a, uint32_t kind, partita_dtype dtype) {
    bool real = cpu_dtype_is_float(dtype);
    for (uint32_t i = 0; i < COLUMNS; i++) {
        if (real)
            a->real[i] = kind == MAX ? -INFINITY : kind == MIN ? INFINITY : kind == PROD ? 1 : 0;
        else
            a->whole[i] = kind == MAX || kind == MIN ? type_limit(dtype, kind == MAX) : kind == PROD;
    }
}

/* A run of the input into the accumulators; halves are widened by pieces. */
static void accumulators_step(accumulators *a, uint32_t kind, partita_dtype dtype, const void *data, int64_t at,
                              int64_t stride, uint64_t n, uint64_t columns) {
    const char *x = (const char *)data + at * (int64_t)(cpu_dtype_bits(dtype) / 8);
    switch (dtype) {
    case PARTITA_FLOAT32: step_f32(kind, x, stride, n, columns, a->real); return;
    case PARTITA_FLOAT64: step_f64(kind, x, stride, n, columns, a->real); return;
    case PARTITA_INT8: step_i8(kind, x, stride, n, columns, a->whole); return;
    case PARTITA_INT16: step_i16(kind, x, stride, n, columns, a->whole); return;
    case PARTITA_INT32: step_i32(kind, x, stride, n, columns, a->whole); return;
    case PARTITA_INT64: step_i64(kind, x, stride, n, columns, a->whole); return;
    case PARTITA_BOOL:
    case PARTITA_UINT8: step_u8(kind, x, stride, n, columns, a->natural); return;
    case PARTITA_UINT16: step_u16(kind, x, stride, n, columns, a->natural); return;
    case PARTITA_UINT32: step_u32(kind, x, stride, n, columns, a->natural); return;
    case PARTITA_UINT64: step_u64(kind, x, stride, n, columns, a->natural); return;
    default: break;
    }
    double wide[COLUMNS];
    for (uint64_t i = 0; i < n; i++) {
        cpu_load_doubles(dtype, data, (uint64_t)(at + (int64_t)i * stride), columns, wide);
        step_f64(kind, wide, 0, 1, columns, a->real);
    }
}

/* Eight lanes of one output element become one. */
static void accumulators_join(accumulators *a, uint32_t kind, partita_dtype dtype) {
    uint32_t join = kind == MAX || kind == MIN || kind == PROD ? kind : SUM;
    for (uint32_t l = 1; l < 8; l++) {
        if (cpu_dtype_is_float(dtype))
            step_f64(join, &a->real[l], 1, 1, 1, a->real);
        else if (is_natural(dtype))
            step_u64(join, &a->natural[l], 1, 1, 1, a->natural);
        else
            step_i64(join, &a->whole[l], 1, 1, 1, a->whole);
    }
}

static double finish_real(uint32_t kind, double a, double count) {
    switch (kind) {
    case MEAN: return a / count;
    case L2: return sqrt(a);
    case LOG_SUM: return log(a);
    default: return a;
    }
}

static void accumulators_store(accumulators *a, uint32_t kind, const cpu_tensor *out, uint64_t first, uint64_t n,
                               uint64_t count) {
    bool natural = is_natural(out->dtype), real = cpu_dtype_is_float(out->dtype);
    if (!real && kind != L2 && kind != LOG_SUM) {
        for (uint64_t i = 0; kind == MEAN && count > 0 && i < n; i++)
            a->whole[i] = natural ? (int64_t)(a->natural[i] / count) : a->whole[i] / (int64_t)count;
        cpu_store_int64s(out->dtype, out->data, first, n, a->whole);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        double sum = real ? a->real[i] : natural ? (double)a->natural[i] : (double)a->whole[i];
        a->real[i] = finish_real(kind, sum, (double)count);
    }
    cpu_store_doubles(out->dtype, out->data, first, n, a->real);
}

/* All of the reduced space, for `columns` outputs whose input starts at `base`. */
static void reduce_space(const reduce_plan *plan, uint32_t kind, const cpu_tensor *in, int64_t base, uint64_t columns,
                         accumulators *a) {
    const cpu_view *reduced = &plan->reduced;
    if (plan->count == 0) return;
    uint64_t run = reduced->rank > 0 ? (uint64_t)reduced->dims[reduced->rank - 1] : 1;
    int64_t stride = reduced->rank > 0 ? reduced->strides[reduced->rank - 1] : 1;
    for (uint64_t i = 0; i < plan->count; i += run)
        accumulators_step(a, kind, in->dtype, in->data, base + view_offset(reduced, i), stride, run, columns);
}

/* log(sum(exp(x))) around the maximum, so that nothing overflows. Integers too, in double. */
static void reduce_log_sum_exp(const reduce_plan *plan, const cpu_tensor *in, int64_t base, uint64_t columns,
                               double *out) {
    for (uint64_t c = 0; c < columns; c++) {
        double top = -INFINITY, sum = 0, x;
        for (uint64_t i = 0; i < plan->count; i++) {
            cpu_load_doubles(in->dtype, in->data, (uint64_t)(base + view_offset(&plan->reduced, i)) + c, 1, &x);
            top = LARGER(top, x);
        }
        double shift = isfinite(top) ? top : 0;
        for (uint64_t i = 0; i < plan->count; i++) {
            cpu_load_doubles(in->dtype, in->data, (uint64_t)(base + view_offset(&plan->reduced, i)) + c, 1, &x);
            sum += exp(x - shift);
        }
        out[c] = log(sum) + shift;
    }
}

static partita_status reduce_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const reduce_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    reduce_plan plan;
    partita_status status = reduce_plan_init(call, &plan);
    if (status != PARTITA_OK) return status;
    for (uint64_t element = begin; element < end;) {
        uint64_t columns = plan.columns - element % plan.columns;
        accumulators a;
        if (columns > COLUMNS) columns = COLUMNS;
        if (columns > end - element) columns = end - element;
        int64_t base = view_offset(&plan.kept, element);
        if (state->kind == LOG_SUM_EXP) {
            reduce_log_sum_exp(&plan, in, base, columns, a.real);
            cpu_store_doubles(out->dtype, out->data, element, columns, a.real);
        } else {
            accumulators_start(&a, state->kind, in->dtype);
            reduce_space(&plan, state->kind, in, base, columns, &a);
            if (columns == 1) accumulators_join(&a, state->kind, in->dtype);
            accumulators_store(&a, state->kind, out, element, columns, plan.count);
        }
        element += columns;
    }
    return PARTITA_OK;
}

#define REDUCE_ROW(name, all)                                                                                          \
    {                                                                                                                  \
        .op = name, .domain = "", .since = 1, .until = CPU_NEWEST, .types = all, .reference = true,                    \
        .prepare = reduce_prepare, .release = cpu_free, .items = reduce_items, .run = reduce_run                       \
    }

const cpu_kernel cpu_kernels_reduce[] = {
    REDUCE_ROW("ReduceSum", CPU_NUMBERS),
    REDUCE_ROW("ReduceMean", CPU_NUMBERS),
    REDUCE_ROW("ReduceMax", CPU_NUMBERS | CPU_TYPE(BOOL)),
    REDUCE_ROW("ReduceMin", CPU_NUMBERS | CPU_TYPE(BOOL)),
    REDUCE_ROW("ReduceProd", CPU_NUMBERS),
    REDUCE_ROW("ReduceL1", CPU_NUMBERS),
    REDUCE_ROW("ReduceL2", CPU_NUMBERS),
    REDUCE_ROW("ReduceLogSum", CPU_NUMBERS),
    REDUCE_ROW("ReduceLogSumExp", CPU_NUMBERS),
    REDUCE_ROW("ReduceSumSquare", CPU_NUMBERS),
};
const uint32_t cpu_kernels_reduce_count = sizeof(cpu_kernels_reduce) / sizeof(cpu_kernels_reduce[0]);
