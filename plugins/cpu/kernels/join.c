/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Concat and Split: blocks along one axis, copied between one tensor and many. An item is one block of one of the many.
 */
#include "cpu/kernels/support.h"

extern const cpu_kernel cpu_kernels_join[];
extern const uint32_t cpu_kernels_join_count;

static partita_status carried_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    return cpu_carry_prepare(node, host, cpu_kernels_join, cpu_kernels_join_count, out_state);
}

static partita_status axis_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    int64_t *axis = cpu_alloc(host, sizeof(*axis));
    if (axis == NULL) return PARTITA_OUT_OF_MEMORY;
    bool concat_1 = ptp_str_is(ptp_ref_str(node->block, node->row.op), "Concat") && node->row.since < 4;
    *axis = cpu_attr_int(node, "axis", concat_1 ? 1 : 0);
    *out_state = axis;
    return PARTITA_OK;
}

/* The one tensor seen as outer x axis x inner, and the many that lie along the axis. */
typedef struct joint {
    const cpu_tensor *one, *many;
    uint32_t count, axis;
    uint64_t outer, inner_bytes;
} joint;

static uint64_t joint_outer(const cpu_tensor *one, int64_t axis) {
    if (axis < 0) axis += one->rank;
    if (axis < 0 || axis >= one->rank) return 1; /* `run` says what is wrong */
    return cpu_extent(one->dims, 0, (uint32_t)axis);
}

static partita_status joint_init(const cpu_call *call, const cpu_tensor *one, const cpu_tensor *many, uint32_t count,
                                 joint *out) {
    int64_t sum = 0;
    partita_status status = cpu_axis(call, *(const int64_t *)call->state, one->rank, &out->axis);
    if (status != PARTITA_OK) return status;
    for (uint32_t k = 0; k < count; k++) {
        bool fits = many[k].kind == PARTITA_KIND_TENSOR && many[k].rank == one->rank && many[k].dtype == one->dtype;
        for (uint32_t d = 0; fits && d < one->rank; d++) fits = d == out->axis || many[k].dims[d] == one->dims[d];
        if (!fits)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "tensor %u has another type or shape than the others", k);
        sum += many[k].dims[out->axis];
    }
    if (sum != one->dims[out->axis])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the pieces are %lld long along axis %u, the whole %lld",
                        (long long)sum, out->axis, (long long)one->dims[out->axis]);
    out->one = one;
    out->many = many;
    out->count = count;
    out->outer = cpu_extent(one->dims, 0, out->axis);
    out->inner_bytes = cpu_extent(one->dims, out->axis + 1, one->rank) * cpu_size(one);
    return PARTITA_OK;
}

/* Bytes of one block of piece k, and where it starts in a row of the whole. */
static uint64_t joint_block(const joint *j, uint32_t k, uint64_t *out_offset) {
    uint64_t offset = 0;
    for (uint32_t i = 0; i < k; i++) offset += (uint64_t)j->many[i].dims[j->axis] * j->inner_bytes;
    *out_offset = offset;
    return (uint64_t)j->many[k].dims[j->axis] * j->inner_bytes;
}

static void joint_copy(const joint *j, uint64_t begin, uint64_t end, bool split) {
    uint64_t row_bytes = (uint64_t)j->one->dims[j->axis] * j->inner_bytes, offset = 0;
    while (begin < end) {
        uint32_t k = (uint32_t)(begin / j->outer);
        uint64_t block = joint_block(j, k, &offset), stop = ((uint64_t)k + 1) * j->outer;
        if (stop > end) stop = end;
        for (; begin < stop; begin++) {
            uint64_t row = begin - (uint64_t)k * j->outer;
            char *whole = (char *)j->one->data + row * row_bytes + offset;
            char *piece = (char *)j->many[k].data + row * block;
            if (block > 0) memcpy(split ? piece : whole, split ? whole : piece, block);
        }
    }
}

static uint64_t concat_items(const cpu_call *call) {
    return joint_outer(&call->out[0], *(const int64_t *)call->state) * call->in_count;
}
static uint64_t split_items(const cpu_call *call) {
    return joint_outer(&call->in[0], *(const int64_t *)call->state) * call->out_count;
}

static partita_status concat_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    joint j;
    partita_status status = joint_init(call, &call->out[0], call->in, call->in_count, &j);
    if (status == PARTITA_OK) joint_copy(&j, begin, end, false);
    return status;
}

static partita_status split_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    joint j;
    partita_status status = joint_init(call, &call->in[0], call->out, call->out_count, &j);
    if (status == PARTITA_OK) joint_copy(&j, begin, end, true);
    return status;
}

const cpu_kernel cpu_kernels_join[] = {
    CPU_MOVING_ROWS("Concat", axis_prepare, concat_items, concat_run),
    CPU_MOVING_ROWS("Split", axis_prepare, split_items, split_run),
};
const uint32_t cpu_kernels_join_count = sizeof(cpu_kernels_join) / sizeof(cpu_kernels_join[0]);
