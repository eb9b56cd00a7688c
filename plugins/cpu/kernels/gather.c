/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that pick elements or blocks by index. Every index is checked before it is used.
 */
#include "cpu/kernels/support.h"

extern const cpu_kernel cpu_kernels_gather[];
extern const uint32_t cpu_kernels_gather_count;

static partita_status carried_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    return cpu_carry_prepare(node, host, cpu_kernels_gather, cpu_kernels_gather_count, out_state);
}

typedef struct gather_state {
    bool has_axis;
    int64_t axis; /* of ReverseSequence: time_axis */
    int64_t batch;
} gather_state;

static partita_status gather_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    gather_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->has_axis = cpu_attr_has(node, "axis");
    state->axis = cpu_attr_int(node, "axis", 0);
    state->batch = cpu_attr_int(node, "batch_dims", 0);
    if (ptp_str_is(ptp_ref_str(node->block, node->row.op), "ReverseSequence")) {
        state->axis = cpu_attr_int(node, "time_axis", 0);
        state->batch = cpu_attr_int(node, "batch_axis", 1);
    }
    *out_state = state;
    return PARTITA_OK;
}

static partita_status index_check(const cpu_call *call, const cpu_tensor *indices) {
    if (indices->kind == PARTITA_KIND_TENSOR && (indices->dtype == PARTITA_INT32 || indices->dtype == PARTITA_INT64))
        return PARTITA_OK;
    return cpu_fail(call->host, PARTITA_BAD_INPUT, "indices must be int32 or int64");
}

static partita_status index_fail(const cpu_call *call, int64_t index, int64_t dim) {
    return cpu_fail(call->host, PARTITA_BAD_INPUT, "index %lld is outside [-%lld, %lld)", (long long)index,
                    (long long)dim, (long long)dim);
}

/* ---- Gather: an item is one block ---- */

static uint64_t gather_items(const cpu_call *call) {
    const gather_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    int64_t axis = state->axis < 0 ? state->axis + in->rank : state->axis;
    if (call->out[0].count == 0 || axis < 0 || axis >= in->rank) return 1;
    return cpu_extent(in->dims, 0, (uint32_t)axis) * call->in[1].count;
}

static partita_status gather_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const gather_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *indices = &call->in[1], *out = &call->out[0];
    uint32_t axis;
    partita_status status = cpu_axis(call, state->axis, in->rank, &axis);
    if (status == PARTITA_OK) status = index_check(call, indices);
    if (status != PARTITA_OK) return status;
    uint64_t outer = cpu_extent(in->dims, 0, axis), block = cpu_extent(in->dims, axis + 1, in->rank) * cpu_size(in);
    int64_t dim = in->dims[axis];
    if (outer * indices->count * block != out->bytes)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another size than the blocks gathered");
    if (out->bytes == 0) return PARTITA_OK;
    uint64_t row = begin / indices->count, i = begin % indices->count;
    for (uint64_t item = begin; item < end; item++) {
        int64_t index = cpu_index(indices, i);
        if (index < -dim || index >= dim) return index_fail(call, index, dim);
        if (index < 0) index += dim;
        memcpy((char *)out->data + item * block,
               (const char *)in->data + (row * (uint64_t)dim + (uint64_t)index) * block, block);
        if (++i == indices->count) i = 0, row++;
    }
    return PARTITA_OK;
}

/* ---- GatherElements ---- */

static partita_status gather_elements_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const gather_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *indices = &call->in[1], *out = &call->out[0];
    uint32_t axis, size = cpu_size(in), inner = in->rank - 1;
    uint64_t first, last, at[CPU_WALK_INPUTS];
    partita_status status = cpu_axis(call, state->axis, in->rank, &axis);
    if (status == PARTITA_OK) status = index_check(call, indices);
    if (status == PARTITA_OK && indices->rank != in->rank)
        status =
            cpu_fail(call->host, PARTITA_BAD_INPUT, "indices of rank %u, data of rank %u", indices->rank, in->rank);
    if (status == PARTITA_OK) status = cpu_expect_like(call, 0, indices);
    if (status != PARTITA_OK) return status;
    /* The position in the data without the gathered axis, which the index adds. */
    cpu_walk walk = {.rank = in->rank, .inputs = 1};
    int64_t dim = in->dims[axis];
    cpu_strides(in->dims, in->rank, walk.strides[0]);
    for (uint32_t d = 0; d < in->rank; d++) {
        walk.dims[d] = indices->dims[d];
        if (d != axis && indices->dims[d] > in->dims[d])
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "dim %u of indices exceeds the data's", d);
    }
    int64_t stride = walk.strides[0][axis];
    walk.strides[0][axis] = 0;
    cpu_item_range(out, begin, end, &first, &last);
    cpu_walk_seek(&walk, first);
    while (first < last) {
        uint64_t n = cpu_walk_next(&walk, last - first, at);
        for (uint64_t i = 0; i < n; i++) {
            int64_t index = cpu_index(indices, first + i);
            if (index < -dim || index >= dim) return index_fail(call, index, dim);
            if (index < 0) index += dim;
            int64_t from = (int64_t)at[0] + (int64_t)i * walk.strides[0][inner] + index * stride;
            memcpy((char *)out->data + (first + i) * size, (const char *)in->data + (uint64_t)from * size, size);
        }
        first += n;
    }
    return PARTITA_OK;
}

/* ---- GatherND: an item is one slice ---- */

static uint64_t gather_nd_items(const cpu_call *call) {
    const cpu_tensor *indices = &call->in[1];
    if (indices->rank == 0 || call->out[0].count == 0) return 1;
    return cpu_extent(indices->dims, 0, indices->rank - 1);
}

static partita_status gather_nd_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const gather_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *indices = &call->in[1], *out = &call->out[0];
    int64_t batch = state->batch;
    partita_status status = index_check(call, indices);
    if (status != PARTITA_OK) return status;
    if (batch < 0 || indices->rank <= batch || in->rank <= batch)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "batch_dims %lld", (long long)batch);
    uint32_t b = (uint32_t)batch;
    int64_t k = indices->dims[indices->rank - 1];
    if (k < 1 || k + b > in->rank || memcmp(in->dims, indices->dims, b * sizeof(int64_t)) != 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%lld indices per slice of rank %u", (long long)k, in->rank);
    uint32_t deep = b + (uint32_t)k;
    uint64_t slices = cpu_extent(indices->dims, 0, indices->rank - 1), batches = cpu_extent(in->dims, 0, b);
    uint64_t block = cpu_extent(in->dims, deep, in->rank) * cpu_size(in);
    if (slices * block != out->bytes)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another size than the slices gathered");
    if (out->bytes == 0) return PARTITA_OK;
    for (uint64_t item = begin; item < end; item++) {
        uint64_t at = item / (slices / batches);
        for (uint32_t d = b; d < deep; d++) {
            int64_t index = cpu_index(indices, item * (uint64_t)k + d - b), dim = in->dims[d];
            if (index < -dim || index >= dim) return index_fail(call, index, dim);
            at = at * (uint64_t)dim + (uint64_t)(index < 0 ? index + dim : index);
        }
        memcpy((char *)out->data + item * block, (const char *)in->data + at * block, block);
    }
    return PARTITA_OK;
}

/* ---- Compress ---- */

static partita_status compress_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const gather_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *condition = &call->in[1];
    const uint8_t *keep = condition->data;
    int64_t dims[CPU_MAX_RANK], length = (int64_t)in->count, kept = 0;
    uint32_t axis = 0, rank = 1;
    uint64_t outer = 1, block = cpu_size(in);
    if (condition->rank != 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "condition has rank %u", condition->rank);
    if (state->has_axis) {
        partita_status status = cpu_axis(call, state->axis, in->rank, &axis);
        if (status != PARTITA_OK) return status;
        rank = in->rank;
        memcpy(dims, in->dims, rank * sizeof(*dims));
        length = in->dims[axis];
        outer = cpu_extent(in->dims, 0, axis);
        block *= cpu_extent(in->dims, axis + 1, rank);
    }
    /* onnxruntime passes over what a condition has beyond the axis, and so do we. */
    if ((int64_t)condition->count < length) length = (int64_t)condition->count;
    for (int64_t i = 0; i < length; i++) kept += keep[i] != 0;
    dims[axis] = kept;
    partita_status status = cpu_call_alloc(call, 0, rank, dims);
    if (status != PARTITA_OK || block == 0) return status;
    char *out = call->out[0].data;
    uint64_t row = (state->has_axis ? (uint64_t)in->dims[axis] : in->count) * block;
    for (uint64_t o = 0; o < outer; o++) {
        const char *source = (const char *)in->data + o * row;
        for (int64_t i = 0; i < length; i++) {
            if (keep[i] == 0) continue;
            memcpy(out, source + (uint64_t)i * block, block);
            out += block;
        }
    }
    return PARTITA_OK;
}

/* ---- ReverseSequence: an item is one step of the outer axis ---- */

static partita_status reverse_check(const cpu_call *call) {
    const gather_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *lengths = &call->in[1];
    if (in->rank < 2 || state->axis + state->batch != 1 || state->axis * state->batch != 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "time and batch must be axes 0 and 1 of at least rank 2");
    if (lengths->rank != 1 || lengths->dtype != PARTITA_INT64 || lengths->dims[0] != in->dims[state->batch])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "sequence_lens must have one length per batch");
    for (uint64_t i = 0; i < lengths->count; i++) {
        int64_t n = cpu_index(lengths, i);
        if (n < 0 || n > in->dims[state->axis])
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "a sequence of %lld steps in %lld", (long long)n,
                            (long long)in->dims[state->axis]);
    }
    return cpu_expect_like(call, 0, in);
}

static uint64_t reverse_items(const cpu_call *call) { return call->in[0].rank < 2 ? 1 : (uint64_t)call->in[0].dims[0]; }

static partita_status reverse_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const gather_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    partita_status status = reverse_check(call);
    if (status != PARTITA_OK) return status;
    int64_t columns = in->dims[1];
    uint64_t block = cpu_extent(in->dims, 2, in->rank) * cpu_size(in);
    for (int64_t r = (int64_t)begin; block > 0 && r < (int64_t)end; r++) {
        for (int64_t c = 0; c < columns; c++) {
            int64_t time = state->axis == 0 ? r : c, n = cpu_index(&call->in[1], (uint64_t)(state->axis == 0 ? c : r));
            int64_t from = time < n ? n - 1 - time : time;
            int64_t source = state->axis == 0 ? from * columns + c : r * columns + from;
            memcpy((char *)call->out[0].data + (uint64_t)(r * columns + c) * block,
                   (const char *)in->data + (uint64_t)source * block, block);
        }
    }
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_gather[] = {
    CPU_MOVING_ROWS("Gather", gather_prepare, gather_items, gather_run),
    CPU_MOVING_ROWS("GatherElements", gather_prepare, cpu_items_elements, gather_elements_run),
    CPU_MOVING_ROWS("GatherND", gather_prepare, gather_nd_items, gather_nd_run),
    CPU_MOVING_ROWS("ReverseSequence", gather_prepare, reverse_items, reverse_run),
    {.op = "Compress",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FIXED,
     .reference = true,
     .prepare = gather_prepare,
     .release = cpu_free,
     .run = compress_run,
     .emit = true},
    CPU_CARRIED_STRINGS("Compress", carried_prepare, 0, false),
};
const uint32_t cpu_kernels_gather_count = sizeof(cpu_kernels_gather) / sizeof(cpu_kernels_gather[0]);
