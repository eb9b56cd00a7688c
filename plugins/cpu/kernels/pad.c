/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pad in all modes, and CenterCropPad. An item is one row of the output: each coordinate is mapped to one of the input,
 * or to none, which is the constant.
 */
#include "cpu/kernels/support.h"

extern const cpu_kernel cpu_kernels_pad[];
extern const uint32_t cpu_kernels_pad_count;

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

typedef struct pad_state {
    uint32_t mode;
    bool attributes; /* opsets 1 and 2 */
    bool center;     /* CenterCropPad */
    cpu_ints pads;   /* of opsets 1 and 2; of CenterCropPad its axes */
    float value;
} pad_state;

/* Per dim: what negative pads leave of the input, and how far the output starts before it. */
typedef struct pad_plan {
    int64_t before[CPU_MAX_RANK], start[CPU_MAX_RANK], length[CPU_MAX_RANK];
    int64_t strides[CPU_MAX_RANK];
    uint32_t mode;
    _Alignas(16) uint8_t constant[16];
} pad_plan;

static partita_status carried_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    return cpu_carry_prepare(node, host, cpu_kernels_pad, cpu_kernels_pad_count, out_state);
}

static partita_status pad_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    pad_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    state->center = ptp_str_is(ptp_ref_str(node->block, node->row.op), "CenterCropPad");
    state->attributes = node->row.since < 11;
    if (state->center) return cpu_ints_attr(node, host, "axes", &state->pads);
    state->mode = cpu_attr_is(node, "mode", "reflect") ? PAD_REFLECT
                  : cpu_attr_is(node, "mode", "edge")  ? PAD_EDGE
                  : cpu_attr_is(node, "mode", "wrap")  ? PAD_WRAP
                                                       : PAD_CONSTANT;
    if (state->mode == PAD_CONSTANT && cpu_attr_has(node, "mode") && !cpu_attr_is(node, "mode", "constant"))
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "a mode that is not constant, reflect, edge or wrap");
    if (!state->attributes) return PARTITA_OK;
    state->value = cpu_attr_float(node, "value", 0);
    return cpu_ints_attr(node, host, node->row.since < 2 ? "paddings" : "pads", &state->pads);
}

static void plan_dim(const cpu_call *call, pad_plan *plan, uint32_t d, int64_t before, int64_t after) {
    int64_t dim = call->in[0].dims[d];
    plan->before[d] = before > 0 ? before : 0;
    plan->start[d] = before < 0 ? -before : 0;
    plan->length[d] = dim - plan->start[d] + (after < 0 ? after : 0);
    if (plan->length[d] < 0) plan->length[d] = 0;
}

static partita_status plan_center(const cpu_call *call, const pad_state *state, pad_plan *plan, int64_t *dims) {
    const cpu_tensor *in = &call->in[0];
    cpu_ints shape;
    partita_status status = cpu_ints_input(call, 1, &shape);
    if (status != PARTITA_OK) return status;
    if (shape.count != (state->pads.given ? state->pads.count : in->rank))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "shape has %u entries", shape.count);
    for (uint32_t i = 0; i < shape.count; i++) {
        uint32_t axis;
        status = cpu_axis(call, state->pads.given ? state->pads.at[i] : i, in->rank, &axis);
        if (status != PARTITA_OK) return status;
        int64_t dim = in->dims[axis], target = shape.at[i];
        if (target < 0) return cpu_fail(call->host, PARTITA_BAD_INPUT, "dim %lld", (long long)target);
        dims[axis] = target;
        int64_t before = target >= dim ? (target - dim) / 2 : -((dim - target) / 2);
        plan_dim(call, plan, axis, before, target - dim - before);
    }
    return PARTITA_OK;
}

static partita_status plan_constant(const cpu_call *call, const pad_state *state, pad_plan *plan) {
    const cpu_tensor *in = &call->in[0];
    if (state->attributes) {
        partita_dtype part; /* of a complex constant the imaginary one is 0 */
        cpu_parts(in->dtype, &part);
        cpu_store_floats(part, plan->constant, 0, 1, &state->value);
    } else if (!state->center && cpu_has_input(call, 2)) {
        const cpu_tensor *constant = &call->in[2];
        if (constant->count != 1 || constant->dtype != in->dtype)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "constant_value must be one element of the data's type");
        memcpy(plan->constant, constant->data, cpu_size(in));
    }
    return PARTITA_OK;
}

static partita_status pad_plan_init(const cpu_call *call, pad_plan *plan) {
    const pad_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    cpu_ints pads = state->pads, axes = {.given = false};
    partita_status status = PARTITA_OK;
    int64_t dims[CPU_MAX_RANK];
    memset(plan, 0, sizeof(*plan));
    plan->mode = state->mode;
    cpu_strides(in->dims, in->rank, plan->strides);
    for (uint32_t d = 0; d < in->rank; d++) plan->length[d] = dims[d] = in->dims[d];
    if (state->center) {
        status = plan_center(call, state, plan, dims);
    } else {
        if (!state->attributes) status = cpu_ints_input(call, 1, &pads);
        if (status == PARTITA_OK && !state->attributes) status = cpu_ints_input(call, 3, &axes);
        if (status != PARTITA_OK) return status;
        uint32_t n = axes.given ? axes.count : in->rank;
        if (pads.count != 2 * n) return cpu_fail(call->host, PARTITA_BAD_INPUT, "%u pads for %u axes", pads.count, n);
        for (uint32_t i = 0; i < n && status == PARTITA_OK; i++) {
            uint32_t axis;
            status = cpu_axis(call, axes.given ? axes.at[i] : i, in->rank, &axis);
            if (status != PARTITA_OK) return status;
            if (pads.at[i] > INT64_MAX / 4 || pads.at[n + i] > INT64_MAX / 4 || pads.at[i] < -in->dims[axis] ||
                pads.at[n + i] < -in->dims[axis])
                return cpu_fail(call->host, PARTITA_BAD_INPUT, "pads %lld and %lld of axis %u", (long long)pads.at[i],
                                (long long)pads.at[n + i], axis);
            plan_dim(call, plan, axis, pads.at[i], pads.at[n + i]);
            dims[axis] = in->dims[axis] + pads.at[i] + pads.at[n + i];
        }
    }
    if (status == PARTITA_OK) status = cpu_expect(call, 0, in->rank, dims);
    for (uint32_t d = 0; status == PARTITA_OK && d < in->rank; d++) {
        if (plan->length[d] == 0 && dims[d] > 0 && plan->mode != PAD_CONSTANT)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "dim %u is empty: nothing to repeat", d);
    }
    return status == PARTITA_OK ? plan_constant(call, state, plan) : status;
}

/* The input's coordinate of an output's one; -1: the constant. */
static int64_t pad_map(const pad_plan *plan, uint32_t d, int64_t at) {
    int64_t n = plan->length[d], i = at - plan->before[d];
    if (i >= 0 && i < n) return plan->start[d] + i;
    switch (plan->mode) {
    case PAD_EDGE: i = i < 0 ? 0 : n - 1; break;
    case PAD_WRAP: i = (i % n + n) % n; break;
    case PAD_REFLECT: {
        int64_t period = n > 1 ? 2 * (n - 1) : 1;
        i = (i % period + period) % period;
        if (i >= n) i = period - i;
        break;
    }
    default: return -1;
    }
    return plan->start[d] + i;
}

static void pad_row(const pad_plan *plan, uint32_t size, uint32_t d, const char *source, char *row, int64_t columns) {
    int64_t left = plan->before[d], n = plan->length[d];
    if (left > columns) left = columns;
    if (n > columns - left) n = columns - left;
    for (int64_t c = 0; c < columns; c++) {
        if (c == left && n > 0) {
            memcpy(row + c * size, source + plan->start[d] * size, (size_t)n * size);
            c += n - 1;
            continue;
        }
        int64_t from = pad_map(plan, d, c);
        memcpy(row + c * size, from < 0 ? (const char *)plan->constant : source + from * size, size);
    }
}

static uint64_t pad_items(const cpu_call *call) {
    const cpu_tensor *out = &call->out[0];
    if (out->count == 0) return 0;
    return out->rank == 0 ? 1 : out->count / (uint64_t)out->dims[out->rank - 1];
}

static partita_status pad_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    uint32_t size = cpu_size(in);
    pad_plan plan;
    partita_status status = pad_plan_init(call, &plan);
    if (status != PARTITA_OK) return status;
    if (in->rank == 0) {
        memcpy(out->data, in->data, size);
        return PARTITA_OK;
    }
    uint32_t inner = in->rank - 1;
    int64_t columns = out->dims[inner];
    for (uint64_t item = begin; item < end; item++) {
        char *row = (char *)out->data + item * (uint64_t)columns * size;
        uint64_t rest = item;
        int64_t offset = 0;
        bool outside = false;
        for (uint32_t d = inner; d-- > 0;) {
            int64_t from = pad_map(&plan, d, (int64_t)(rest % (uint64_t)out->dims[d]));
            rest /= (uint64_t)out->dims[d];
            outside |= from < 0;
            offset += from * plan.strides[d];
        }
        if (outside)
            cpu_fill(row, plan.constant, size, (uint64_t)columns);
        else
            pad_row(&plan, size, inner, (const char *)in->data + offset * size, row, columns);
    }
    return PARTITA_OK;
}

#define PAD_ROWS(name, first)                                                                                          \
    {.op = name,                                                                                                       \
     .domain = "",                                                                                                     \
     .since = first,                                                                                                   \
     .until = CPU_NEWEST,                                                                                              \
     .types = CPU_FIXED,                                                                                               \
     .reference = true,                                                                                                \
     .prepare = pad_prepare,                                                                                           \
     .release = cpu_free,                                                                                              \
     .items = pad_items,                                                                                               \
     .run = pad_run},                                                                                                  \
        CPU_CARRIED_PACKED(name, carried_prepare, 0), CPU_CARRIED_STRINGS(name, carried_prepare, 0, true)

const cpu_kernel cpu_kernels_pad[] = {
    PAD_ROWS("Pad", 1),
    PAD_ROWS("CenterCropPad", 18),
};
const uint32_t cpu_kernels_pad_count = sizeof(cpu_kernels_pad) / sizeof(cpu_kernels_pad[0]);
