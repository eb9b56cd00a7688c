/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GridSample over two or three spatial dims: nearest, linear and cubic, padding by zeros, the border or reflection. In
 * double.
 */
#include "cpu/kernels/support.h"

enum { NEAREST, LINEAR, CUBIC };
enum { ZEROS, BORDER, REFLECTION };

typedef struct grid_state {
    uint32_t mode, padding;
    bool align_corners;
} grid_state;

static partita_status grid_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str mode = ptp_attribute_str(node->block, &node->row, "mode");
    partita_str padding = ptp_attribute_str(node->block, &node->row, "padding_mode");
    grid_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->mode = ptp_str_is(mode, "nearest")                                ? NEAREST
                  : ptp_str_is(mode, "bicubic") || ptp_str_is(mode, "cubic") ? CUBIC
                                                                             : LINEAR;
    state->padding = ptp_str_is(padding, "border") ? BORDER : ptp_str_is(padding, "reflection") ? REFLECTION : ZEROS;
    state->align_corners = cpu_attr_int(node, "align_corners", 0) != 0;
    return PARTITA_OK;
}

static double reflect(double x, double low, double high) {
    double range = high - low;
    if (range <= 0) return low;
    double off = fmod(fabs(x - low), 2 * range);
    return low + (off <= range ? off : 2 * range - off);
}

/* Index of a neighbour after padding; -1: it counts as 0. */
static int64_t padded(const grid_state *state, int64_t i, int64_t n) {
    if (i >= 0 && i < n) return i;
    if (state->padding == ZEROS || n == 0) return -1;
    if (state->padding == BORDER) return i < 0 ? 0 : n - 1;
    double x =
        reflect((double)i, state->align_corners ? 0 : -0.5, state->align_corners ? (double)n - 1 : (double)n - 0.5);
    int64_t at = (int64_t)nearbyint(x);
    return at < 0 ? 0 : at >= n ? n - 1 : at;
}

/* Neighbours and weights along one dim for grid coordinate g in [-1, 1]. */
static uint32_t taps_of(const grid_state *state, double g, int64_t n, int64_t *index, double *weight) {
    double size = (double)n;
    double x = state->align_corners ? (g + 1) / 2 * (size - 1) : ((g + 1) * size - 1) / 2;
    if (!(x > -1e9 && x < 1e9)) x = -1e9;
    if (state->mode != CUBIC && state->padding == BORDER) x = x < 0 ? 0 : x > size - 1 ? size - 1 : x;
    if (state->mode != CUBIC && state->padding == REFLECTION)
        x = reflect(x, state->align_corners ? 0 : -0.5, state->align_corners ? size - 1 : size - 0.5);
    double low = floor(x), part = x - low;
    if (state->mode == NEAREST) {
        index[0] = padded(state, (int64_t)nearbyint(x), n);
        weight[0] = 1;
        return 1;
    }
    if (state->mode == LINEAR) {
        for (uint32_t t = 0; t < 2; t++) index[t] = padded(state, (int64_t)low + t, n);
        weight[0] = 1 - part;
        weight[1] = part;
        return 2;
    }
    const double a = -0.75;
    for (int t = 0; t < 4; t++) {
        double d = fabs(part + 1 - t);
        index[t] = padded(state, (int64_t)low - 1 + t, n);
        weight[t] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((d - 5) * d + 8) * d * a - 4 * a;
    }
    return 4;
}

static partita_status grid_check(const cpu_call *call) {
    const cpu_tensor *x = &call->in[0], *grid = &call->in[1], *y = &call->out[0];
    if (x->rank < 4 || x->rank > 5 || grid->rank != x->rank || y->rank != x->rank ||
        grid->dims[grid->rank - 1] != (int64_t)x->rank - 2 || grid->dims[0] != x->dims[0] || y->dims[0] != x->dims[0] ||
        y->dims[1] != x->dims[1])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the shapes of X and grid do not fit each other");
    for (uint32_t i = 2; i < y->rank; i++)
        if (y->dims[i] != grid->dims[i - 1])
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape");
    return PARTITA_OK;
}

/* Everything as double; complex elements are two. */
static uint64_t grid_scratch(const cpu_call *call) {
    partita_dtype part;
    uint64_t parts = cpu_parts(call->in[0].dtype, &part);
    return ((call->in[0].count + call->out[0].count) * parts + call->in[1].count + 1) * sizeof(double);
}

static partita_status grid_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const grid_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *grid = &call->in[1], *y = &call->out[0];
    partita_dtype part;
    (void)begin, (void)end, (void)worker;
    partita_status status = grid_check(call);
    if (status != PARTITA_OK) return status;
    uint64_t parts = cpu_parts(x->dtype, &part);
    double *in = call->scratch, *places = in + x->count * parts, *out = places + grid->count;
    cpu_load_doubles(part, x->data, 0, x->count * parts, in);
    cpu_load_doubles(grid->dtype, grid->data, 0, grid->count, places);
    uint32_t n = x->rank - 2;
    int64_t sizes[3] = {1, 1, 1};
    for (uint32_t i = 0; i < n; i++) sizes[3 - n + i] = x->dims[2 + i];
    uint64_t points = cpu_extent(call->out[0].dims, 2, x->rank), plane = cpu_extent(x->dims, 2, x->rank);
    uint64_t channels = (uint64_t)x->dims[1];
    for (uint64_t at = 0; at < (uint64_t)x->dims[0] * points; at++) {
        int64_t index[3][4] = {{0}};
        double weight[3][4] = {{1}, {1}, {1}};
        uint32_t taps[3] = {1, 1, 1};
        /* The grid names the last dim first. */
        for (uint32_t i = 0; i < n; i++)
            taps[2 - i] = taps_of(state, places[at * n + i], sizes[2 - i], index[2 - i], weight[2 - i]);
        for (uint64_t c = 0; c < channels * parts; c++) {
            const double *from = in + (at / points * channels + c / parts) * plane * parts + c % parts;
            double sum = 0;
            for (uint32_t k = 0; k < taps[0] * taps[1] * taps[2]; k++) {
                uint32_t tz = k / (taps[1] * taps[2]), ty = k / taps[2] % taps[1], tx = k % taps[2];
                int64_t iz = index[0][tz], iy = index[1][ty], ix = index[2][tx];
                if (iz >= 0 && iy >= 0 && ix >= 0)
                    sum += weight[0][tz] * weight[1][ty] * weight[2][tx] *
                           from[((iz * sizes[1] + iy) * sizes[2] + ix) * (int64_t)parts];
            }
            out[((at / points * channels + c / parts) * points + at % points) * parts + c % parts] = sum;
        }
    }
    cpu_store_doubles(part, y->data, 0, y->count * parts, out);
    return PARTITA_OK;
}

/* ---- the nearest element, which is moved as it is, of any type ---- */

static bool move_claim(const cpu_node *node, ptp_answer *answer) {
    if (cpu_attr_is(node, "mode", "nearest")) return true;
    return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "elements of this type can only be moved, not weighed");
}

static uint64_t move_items(const cpu_call *call) {
    return call->in[0].rank > 0 ? (uint64_t)call->in[0].dims[0] : 1; /* `run` says what is wrong */
}

static partita_status move_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const grid_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *grid = &call->in[1];
    partita_status status = grid_check(call);
    if (status != PARTITA_OK) return status;
    uint32_t n = x->rank - 2;
    uint64_t points = cpu_extent(call->out[0].dims, 2, x->rank), plane = cpu_extent(x->dims, 2, x->rank);
    uint64_t channels = (uint64_t)x->dims[1], size = cpu_size(x);
    for (uint64_t at = begin * points; at < end * points; at++) {
        int64_t from = 0, index;
        double g[3], one;
        cpu_load_doubles(grid->dtype, grid->data, at * n, n, g);
        for (uint32_t i = 0; i < n; i++) {
            taps_of(state, g[n - 1 - i], x->dims[2 + i], &index, &one);
            from = from < 0 || index < 0 ? -1 : from * x->dims[2 + i] + index;
        }
        for (uint64_t c = 0; c < channels; c++) {
            char *to = (char *)call->out[0].data + ((at / points * channels + c) * points + at % points) * size;
            const char *source = (const char *)x->data + (at / points * channels + c) * plane * size;
            if (from < 0)
                memset(to, 0, size);
            else
                memcpy(to, source + (uint64_t)from * size, size);
        }
    }
    return PARTITA_OK;
}

extern const cpu_kernel cpu_kernels_grid_sample[];
extern const uint32_t cpu_kernels_grid_sample_count;

static partita_status carried_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    return cpu_carry_prepare(node, host, cpu_kernels_grid_sample, cpu_kernels_grid_sample_count, out_state);
}

#define WEIGHED (CPU_NUMBERS | CPU_TYPE(BOOL) | CPU_TYPE(COMPLEX64) | CPU_TYPE(COMPLEX128))
#define GRID_ROW(all, claims, prepares, releases, scratches, item, runs, carried)                                      \
    {                                                                                                                  \
        .op = "GridSample", .domain = "", .since = 16, .until = CPU_NEWEST, .types = all, .reference = true,           \
        .claim = claims, .prepare = prepares, .release = releases, .scratch = scratches, .items = item, .run = runs,   \
        .emit = carried, .shaped = carried                                                                             \
    }
const cpu_kernel cpu_kernels_grid_sample[] = {
    GRID_ROW(CPU_FIXED, move_claim, grid_prepare, cpu_free, NULL, move_items, move_run, false),
    GRID_ROW(WEIGHED, NULL, grid_prepare, cpu_free, grid_scratch, NULL, grid_run, false),
    GRID_ROW(CPU_TYPE(STRING), move_claim, carried_prepare, cpu_carry_release, NULL, NULL, cpu_carry_run, true),
};
const uint32_t cpu_kernels_grid_sample_count = sizeof(cpu_kernels_grid_sample) / sizeof(cpu_kernels_grid_sample[0]);
