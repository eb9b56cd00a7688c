/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conv, MaxPool, AveragePool and LpPool over more than three spatial dims, in double: exporters reduce over windows
 * that have batch and channels among their dims. Places and taps are counted like the digits of numbers.
 */
#include "cpu/kernels/conv.h"
#include "cpu/kernels/reference.h"

bool cpu_window_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row x;
    if (!cpu_node_input(node, 0, &x) || x.rank <= CPU_SPATIAL + 2) return true;
    return cpu_refuse(answer, PARTITA_REASON_RANK, "%d spatial dims, 1 to %d are implemented", x.rank - 2, CPU_SPATIAL);
}

static bool many_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row x = {0};
    if (cpu_node_input(node, 0, &x) && x.rank > CPU_SPATIAL + 2 && x.rank <= CPU_MAX_RANK) return true;
    return cpu_refuse(answer, PARTITA_REASON_RANK, "the rank is %d", x.rank);
}

enum { MANY_CONV, MANY_MAX, MANY_AVERAGE, MANY_LP };

typedef struct many_state {
    cpu_window_attrs attrs;
    uint32_t kind;
    bool count_pads;
    double p;
} many_state;

static partita_status many_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    many_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->kind = ptp_str_is(op, "Conv")          ? MANY_CONV
                  : ptp_str_is(op, "MaxPool")     ? MANY_MAX
                  : ptp_str_is(op, "AveragePool") ? MANY_AVERAGE
                                                  : MANY_LP;
    state->count_pads = cpu_attr_int(node, "count_include_pad", 0) != 0;
    state->p = (double)cpu_attr_float(node, "p", (float)cpu_attr_int(node, "p", 2));
    if (state->kind == MANY_MAX && cpu_attr_int(node, "storage_order", 0) != 0)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "storage_order 1 over more than three spatial dims");
    return cpu_window_attrs_read(node, host, &state->attrs);
}

typedef struct many {
    uint32_t dims;
    int64_t in[CPU_MAX_RANK], out[CPU_MAX_RANK], kernel[CPU_MAX_RANK];
    int64_t stride[CPU_MAX_RANK], dilation[CPU_MAX_RANK], pad[CPU_MAX_RANK], pad_end[CPU_MAX_RANK];
    int64_t in_size, out_size, taps; /* taps: of the weights, which are in memory */
} many;

static partita_status many_make(const cpu_call *call, const int64_t *kernel_dims, many *g) {
    const cpu_window_attrs *attrs = &((const many_state *)call->state)->attrs;
    const cpu_tensor *x = &call->in[0], *y = &call->out[0];
    if (x->rank <= CPU_SPATIAL + 2 || x->rank > CPU_MAX_RANK || y->rank != x->rank)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "ranks %u and %u", x->rank, y->rank);
    *g = (many){.dims = x->rank - 2, .in_size = 1, .out_size = 1, .taps = 1};
    for (uint32_t d = 0; d < g->dims; d++) {
        g->in[d] = x->dims[d + 2];
        g->out[d] = y->dims[d + 2];
        g->kernel[d] = kernel_dims != NULL ? kernel_dims[d] : cpu_window_entry(&attrs->kernel, d, 1);
        g->stride[d] = cpu_window_entry(&attrs->strides, d, 1);
        g->dilation[d] = cpu_window_entry(&attrs->dilations, d, 1);
        if (attrs->auto_pad != CPU_PAD_VALID) {
            g->pad[d] = cpu_window_entry(&attrs->pads, d, 0);
            g->pad_end[d] = cpu_window_entry(&attrs->pads, d + attrs->pads.count / 2, 0);
        }
        if (g->kernel[d] < 1 || g->stride[d] < 1 || g->dilation[d] < 1 || g->kernel[d] > INT32_MAX ||
            g->stride[d] > INT32_MAX || g->dilation[d] > INT32_MAX || g->pad[d] > INT32_MAX || g->pad[d] < -INT32_MAX)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "kernel, stride, dilation or pad of spatial dim %u", d);
        if (attrs->auto_pad == CPU_PAD_SAME_UPPER || attrs->auto_pad == CPU_PAD_SAME_LOWER) {
            int64_t total = (g->out[d] - 1) * g->stride[d] + g->dilation[d] * (g->kernel[d] - 1) + 1 - g->in[d];
            total = total < 0 ? 0 : total;
            g->pad[d] = attrs->auto_pad == CPU_PAD_SAME_UPPER ? total / 2 : total - total / 2;
            g->pad_end[d] = total - g->pad[d];
        }
        g->in_size *= g->in[d];
        g->out_size *= g->out[d];
        if (kernel_dims != NULL) g->taps *= g->kernel[d];
    }
    return PARTITA_OK;
}

/* The next number whose digits are below `size`. */
static void digits_next(int64_t *digits, const int64_t *size, uint32_t count) {
    while (count-- > 0 && ++digits[count] == size[count]) digits[count] = 0;
}

/* Number of taps whose coordinate lies below `limit`. */
static int64_t taps_below(int64_t from, int64_t dilation, int64_t kernel, int64_t limit) {
    int64_t room = limit - from;
    if (room <= 0) return 0;
    int64_t taps = (room + dilation - 1) / dilation;
    return taps < kernel ? taps : kernel;
}

/* The taps of one window that lie inside: from `first` on, `size` a dim. */
typedef struct window {
    int64_t from[CPU_MAX_RANK], first[CPU_MAX_RANK], size[CPU_MAX_RANK];
    int64_t inside, counted; /* counted: at most in the padding */
} window;

static void window_open(const many *g, const int64_t *at, window *out) {
    out->inside = out->counted = 1;
    for (uint32_t d = 0; d < g->dims; d++) {
        int64_t from = at[d] * g->stride[d] - g->pad[d], dilation = g->dilation[d];
        int64_t first = from < 0 ? (-from + dilation - 1) / dilation : 0;
        int64_t last = taps_below(from, dilation, g->kernel[d], g->in[d]);
        out->from[d] = from;
        out->first[d] = first;
        out->size[d] = last > first ? last - first : 0;
        out->inside *= out->size[d];
        out->counted *= taps_below(from, dilation, g->kernel[d], g->in[d] + g->pad_end[d]);
    }
}

/* Where the tap with these digits lies in the plane, and its number among the kernel's. */
static int64_t tap_place(const many *g, const window *w, const int64_t *digits, int64_t *out_tap) {
    int64_t place = 0, number = 0;
    for (uint32_t d = 0; d < g->dims; d++) {
        int64_t tap = w->first[d] + digits[d];
        place = place * g->in[d] + w->from[d] + tap * g->dilation[d];
        number = number * g->kernel[d] + tap;
    }
    if (out_tap != NULL) *out_tap = number;
    return place;
}

/* One place of a pooling; `out_found` is that of a maximum. */
static double pool_one(const many_state *state, const many *g, const int64_t *at, const double *x, int64_t *out_found) {
    int64_t digits[CPU_MAX_RANK] = {0}, found = -1;
    double result = state->kind == MANY_MAX ? -(double)INFINITY : 0;
    window w;
    window_open(g, at, &w);
    for (int64_t k = 0; k < w.inside; k++, digits_next(digits, w.size, g->dims)) {
        int64_t place = tap_place(g, &w, digits, NULL);
        double value = x[place];
        if (state->kind == MANY_AVERAGE) {
            result += value;
        } else if (state->kind == MANY_LP) {
            result += pow(fabs(value), state->p);
        } else if (found < 0 || value > result || (isnan(value) && !isnan(result))) {
            result = value;
            found = place;
        }
    }
    int64_t divisor = state->count_pads ? w.counted : w.inside;
    *out_found = found < 0 ? 0 : found;
    if (state->kind == MANY_AVERAGE) return divisor > 0 ? result / (double)divisor : 0;
    return state->kind == MANY_LP ? pow(result, 1 / state->p) : result;
}

CPU_DOUBLES_KERNEL(pool_run) {
    many g;
    const cpu_tensor *x = &call->in[0];
    partita_status status = many_make(call, NULL, &g);
    if (status != PARTITA_OK) return status;
    int64_t planes = x->dims[0] * x->dims[1];
    if (call->out[0].count != (uint64_t)(planes * g.out_size))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than the pooling");
    for (int64_t plane = 0; plane < planes; plane++) {
        int64_t at[CPU_MAX_RANK] = {0};
        for (int64_t p = 0; p < g.out_size; p++, digits_next(at, g.out, g.dims)) {
            int64_t found, to = plane * g.out_size + p;
            d->out[0][to] = pool_one(call->state, &g, at, d->in[0] + plane * g.in_size, &found);
            if (cpu_has_output(call, 1)) d->out[1][to] = (double)(plane * g.in_size + found);
        }
    }
    return PARTITA_OK;
}

CPU_DOUBLES_KERNEL(conv_run) {
    many g;
    const cpu_tensor *x = &call->in[0], *w = &call->in[1], *y = &call->out[0];
    int64_t group = ((const many_state *)call->state)->attrs.group;
    if (w->rank != x->rank) return cpu_fail(call->host, PARTITA_BAD_INPUT, "ranks of X and W differ");
    partita_status status = many_make(call, w->dims + 2, &g);
    if (status != PARTITA_OK) return status;
    int64_t images = x->dims[0], features = w->dims[0], channels = w->dims[1];
    if (group < 1 || features % group != 0 || x->dims[1] != channels * group || y->dims[0] != images ||
        y->dims[1] != features || (cpu_has_input(call, 2) && call->in[2].count != (uint64_t)features))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "channels of X, W, B and Y do not fit group %lld",
                        (long long)group);
    for (int64_t n = 0; n < images * features; n++) {
        int64_t at[CPU_MAX_RANK] = {0}, m = n % features;
        const double *from = d->in[0] + (n / features * group + m / (features / group)) * channels * g.in_size;
        const double *weights = d->in[1] + m * channels * g.taps;
        for (int64_t p = 0; p < g.out_size; p++, digits_next(at, g.out, g.dims)) {
            int64_t digits[CPU_MAX_RANK] = {0}, tap;
            double sum = d->in[2] != NULL ? d->in[2][m] : 0;
            window inside;
            window_open(&g, at, &inside);
            for (int64_t k = 0; k < inside.inside; k++, digits_next(digits, inside.size, g.dims)) {
                int64_t place = tap_place(&g, &inside, digits, &tap);
                for (int64_t c = 0; c < channels; c++) sum += from[c * g.in_size + place] * weights[c * g.taps + tap];
            }
            d->out[0][n * g.out_size + p] = sum;
        }
    }
    return PARTITA_OK;
}

#define ROW(operator, kinds, function)                                                                                 \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = 1, .until = CPU_NEWEST, .types = kinds, .reference = true,              \
        .claim = many_claim, .prepare = many_prepare, .release = cpu_free, .scratch = cpu_doubles_scratch,             \
        .run = function                                                                                                \
    }
const cpu_kernel cpu_kernels_window_many[] = {
    ROW("Conv", CPU_FLOATS, conv_run), ROW("MaxPool", CPU_FLOATS | CPU_TYPE(INT8) | CPU_TYPE(UINT8), pool_run),
    ROW("AveragePool", CPU_FLOATS, pool_run), ROW("LpPool", CPU_FLOATS, pool_run)};
const uint32_t cpu_kernels_window_many_count = sizeof(cpu_kernels_window_many) / sizeof(cpu_kernels_window_many[0]);
