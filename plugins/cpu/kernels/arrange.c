/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators whose output is the input read in another order: each makes a view of its input, one function copies.
 */
#include "cpu/kernels/support.h"

extern const cpu_kernel cpu_kernels_arrange[];
extern const uint32_t cpu_kernels_arrange_count;

static partita_status carried_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    return cpu_carry_prepare(node, host, cpu_kernels_arrange, cpu_kernels_arrange_count, out_state);
}

/* ---- Transpose ---- */

static partita_status transpose_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cpu_ints *perm = cpu_alloc(host, sizeof(*perm));
    if (perm == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = perm;
    return cpu_ints_attr(node, host, "perm", perm);
}

static partita_status transpose_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_ints *perm = call->state;
    const cpu_tensor *in = &call->in[0];
    cpu_view view = {.rank = in->rank};
    int64_t strides[CPU_MAX_RANK];
    uint32_t seen = 0;
    if (perm->given && perm->count != in->rank && perm->count > 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "perm has %u entries for rank %u", perm->count, in->rank);
    cpu_strides(in->dims, in->rank, strides);
    for (uint32_t i = 0; i < in->rank; i++) {
        int64_t axis = perm->count > 0 ? perm->at[i] : (int64_t)in->rank - 1 - i;
        if (axis < 0 || axis >= in->rank || (seen >> axis & 1u) != 0)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "perm is no permutation");
        seen |= 1u << axis;
        view.dims[i] = in->dims[axis];
        view.strides[i] = strides[axis];
    }
    partita_status status = cpu_expect(call, 0, view.rank, view.dims);
    return status == PARTITA_OK ? cpu_view_run(call, &view, begin, end) : status;
}

/* ---- DepthToSpace, SpaceToDepth ---- */

typedef struct block_state {
    int64_t size;
    bool column_first; /* mode CRD */
} block_state;

static partita_status block_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    block_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->size = cpu_attr_int(node, "blocksize", 0);
    state->column_first = cpu_attr_is(node, "mode", "CRD");
    *out_state = state;
    if (state->size < 1 || state->size > INT32_MAX)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "blocksize %lld", (long long)state->size);
    return PARTITA_OK;
}

static partita_status block_check(const cpu_call *call, bool to_space) {
    const block_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    int64_t b = state->size;
    if (in->rank != 4) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u, must be 4", in->rank);
    if (to_space ? in->dims[1] % (b * b) != 0 : in->dims[2] % b != 0 || in->dims[3] % b != 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "dims do not divide by blocksize %lld", (long long)b);
    int64_t dims[4] = {in->dims[0], to_space ? in->dims[1] / (b * b) : in->dims[1] * b * b,
                       to_space ? in->dims[2] * b : in->dims[2] / b, to_space ? in->dims[3] * b : in->dims[3] / b};
    return cpu_expect(call, 0, 4, dims);
}

static partita_status to_space_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const block_state *state = call->state;
    partita_status status = block_check(call, true);
    if (status != PARTITA_OK) return status;
    int64_t b = state->size, n = call->in[0].dims[0], c = call->in[0].dims[1] / (b * b), h = call->in[0].dims[2],
            w = call->in[0].dims[3], plane = h * w;
    /* Input channels are (row of block, column of block, channel), or channel first in mode CRD. */
    int64_t channel = state->column_first ? b * b * plane : plane;
    int64_t column = state->column_first ? plane : c * plane;
    cpu_view view = {
        .rank = 6, .dims = {n, c, h, b, w, b}, .strides = {c * b * b * plane, channel, w, b * column, 1, column}};
    return cpu_view_run(call, &view, begin, end);
}

static partita_status to_depth_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const block_state *state = call->state;
    partita_status status = block_check(call, false);
    if (status != PARTITA_OK) return status;
    int64_t b = state->size, n = call->in[0].dims[0], c = call->in[0].dims[1], h = call->in[0].dims[2] / b,
            w = call->in[0].dims[3] / b, plane = h * w * b * b, row = w * b;
    cpu_view view = {.rank = 6, .dims = {n, b, b, c, h, w}, .strides = {c * plane, row, 1, plane, row * b, b}};
    if (state->column_first) {
        view = (cpu_view){.rank = 6, .dims = {n, c, b, b, h, w}, .strides = {c * plane, plane, row, 1, row * b, b}};
    }
    return cpu_view_run(call, &view, begin, end);
}

/* ---- Expand, Tile ---- */

static partita_status expand_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    cpu_walk walk;
    cpu_view view = {.rank = 0};
    partita_status status = cpu_walk_init(call, out, &in, 1, NULL, &walk);
    if (status != PARTITA_OK) return status;
    view.rank = walk.rank;
    for (uint32_t i = 0; i < walk.rank; i++) {
        view.dims[i] = walk.dims[i];
        view.strides[i] = walk.strides[0][i];
    }
    return cpu_view_run(call, &view, begin, end);
}

/* The output's dims are the input's, each repeated; Tile 1 repeats one axis by two scalars, which shapes say as well.
 */
static partita_status tile_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    cpu_view view = {.rank = 2 * in->rank};
    int64_t strides[CPU_MAX_RANK];
    if (out->rank != in->rank)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "output of rank %u from rank %u", out->rank, in->rank);
    cpu_strides(in->dims, in->rank, strides);
    for (uint32_t i = 0; i < in->rank; i++) {
        if (in->dims[i] == 0 ? out->dims[i] != 0 : out->dims[i] % in->dims[i] != 0)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "dim %lld is no multiple of %lld", (long long)out->dims[i],
                            (long long)in->dims[i]);
        view.dims[2 * i] = in->dims[i] == 0 ? 0 : out->dims[i] / in->dims[i];
        view.dims[2 * i + 1] = in->dims[i];
        view.strides[2 * i + 1] = strides[i];
    }
    return cpu_view_run(call, &view, begin, end);
}

/* ---- Slice ---- */

typedef struct slice_state {
    bool attributes; /* opset 1: starts, ends and axes are attributes */
    cpu_ints starts, ends, axes, steps;
} slice_state;

static partita_status slice_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    slice_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    state->attributes = node->row.since < 10;
    if (!state->attributes) return PARTITA_OK;
    partita_status status = cpu_ints_attr(node, host, "starts", &state->starts);
    if (status == PARTITA_OK) status = cpu_ints_attr(node, host, "ends", &state->ends);
    if (status == PARTITA_OK) status = cpu_ints_attr(node, host, "axes", &state->axes);
    return status;
}

/* The range of one axis: first element, and how many. */
static int64_t slice_range(int64_t dim, int64_t start, int64_t end, int64_t step, int64_t *out_first) {
    if (start < 0) start = start < -dim ? -1 : start + dim;
    if (end < 0) end = end < -dim ? -1 : end + dim;
    if (step > 0) {
        start = start < 0 ? 0 : start > dim ? dim : start;
        end = end < 0 ? 0 : end > dim ? dim : end;
    } else {
        start = start < 0 ? 0 : start > dim - 1 ? dim - 1 : start;
        end = end > dim - 1 ? dim - 1 : end;
    }
    *out_first = start;
    int64_t span = step > 0 ? end - start : start - end;
    uint64_t stride = step > 0 ? (uint64_t)step : UINT64_C(0) - (uint64_t)step;
    return span <= 0 || dim == 0 ? 0 : (int64_t)(((uint64_t)span - 1) / stride + 1);
}

static partita_status slice_view(const cpu_call *call, const slice_state *s, cpu_view *view) {
    const cpu_tensor *in = &call->in[0];
    uint32_t seen = 0, axis;
    if (s->ends.count != s->starts.count || (s->axes.given && s->axes.count != s->starts.count) ||
        (s->steps.given && s->steps.count != s->starts.count) || (!s->axes.given && s->starts.count > in->rank))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "starts, ends, axes and steps have different lengths");
    view->rank = in->rank;
    cpu_strides(in->dims, in->rank, view->strides);
    for (uint32_t i = 0; i < in->rank; i++) view->dims[i] = in->dims[i];
    for (uint32_t i = 0; i < s->starts.count; i++) {
        int64_t first, step = s->steps.given ? s->steps.at[i] : 1;
        partita_status status = cpu_axis(call, s->axes.given ? s->axes.at[i] : i, in->rank, &axis);
        if (status != PARTITA_OK) return status;
        if (step == 0 || (seen >> axis & 1u) != 0)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "axis %u has step 0 or is named twice", axis);
        seen |= 1u << axis;
        view->dims[axis] = slice_range(in->dims[axis], s->starts.at[i], s->ends.at[i], step, &first);
        view->offset += first * view->strides[axis];
        /* A step past the end never moves, and its product could overflow. */
        view->strides[axis] = view->dims[axis] > 1 ? view->strides[axis] * step : 0;
    }
    return PARTITA_OK;
}

static partita_status slice_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const slice_state *state = call->state;
    slice_state given;
    cpu_view view = {.rank = 0};
    partita_status status = PARTITA_OK;
    if (!state->attributes) {
        status = cpu_ints_input(call, 1, &given.starts);
        if (status == PARTITA_OK) status = cpu_ints_input(call, 2, &given.ends);
        if (status == PARTITA_OK) status = cpu_ints_input(call, 3, &given.axes);
        if (status == PARTITA_OK) status = cpu_ints_input(call, 4, &given.steps);
        state = &given;
    }
    if (status == PARTITA_OK) status = slice_view(call, state, &view);
    if (status == PARTITA_OK) status = cpu_expect(call, 0, view.rank, view.dims);
    return status == PARTITA_OK ? cpu_view_run(call, &view, begin, end) : status;
}

const cpu_kernel cpu_kernels_arrange[] = {
    CPU_MOVING_ROWS("Transpose", transpose_prepare, cpu_items_elements, transpose_run),
    CPU_MOVING_ROWS("DepthToSpace", block_prepare, cpu_items_elements, to_space_run),
    CPU_MOVING_ROWS("SpaceToDepth", block_prepare, cpu_items_elements, to_depth_run),
    CPU_MOVING_ROWS("Expand", NULL, cpu_items_elements, expand_run),
    CPU_MOVING_ROWS("Tile", NULL, cpu_items_elements, tile_run),
    CPU_MOVING_ROWS("Slice", slice_prepare, cpu_items_elements, slice_run),
};
const uint32_t cpu_kernels_arrange_count = sizeof(cpu_kernels_arrange) / sizeof(cpu_kernels_arrange[0]);
