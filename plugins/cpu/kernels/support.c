/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes, index inputs, checks, and the walk over broadcast shapes: see support.h.
 */
#include "cpu/kernels/support.h"

int64_t cpu_attr_int(const cpu_node *node, const char *name, int64_t otherwise) {
    return ptp_attribute_int(node->block, &node->row, name, otherwise);
}

float cpu_attr_float(const cpu_node *node, const char *name, float otherwise) {
    return ptp_attribute_float(node->block, &node->row, name, otherwise);
}

bool cpu_attr_is(const cpu_node *node, const char *name, const char *text) {
    return ptp_str_is(ptp_attribute_str(node->block, &node->row, name), text) != 0;
}

bool cpu_attr_has(const cpu_node *node, const char *name) {
    ptp_attribute_row row;
    return ptp_attribute_find(node->block, &node->row, name, &row) != 0;
}

partita_dtype cpu_input_dtype(const cpu_node *node, uint32_t index) {
    ptp_value_row value;
    return cpu_node_input(node, index, &value) ? value.dtype : PARTITA_UNDEFINED;
}

partita_dtype cpu_output_dtype(const cpu_node *node, uint32_t index) {
    ptp_value_row value;
    return cpu_node_output(node, index, &value) ? value.dtype : PARTITA_UNDEFINED;
}

partita_status cpu_ints_attr(const cpu_node *node, const ptp_host *host, const char *name, cpu_ints *out) {
    uint32_t count = 0;
    const int64_t *ints = ptp_attribute_ints(node->block, &node->row, name, &count);
    memset(out, 0, sizeof(*out));
    if (count > 2 * CPU_MAX_RANK)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%s has %u entries, at most %d", name, count, 2 * CPU_MAX_RANK);
    out->given = cpu_attr_has(node, name);
    out->count = count;
    if (count > 0) memcpy(out->at, ints, count * sizeof(*ints));
    return PARTITA_OK;
}

bool cpu_has_input(const cpu_call *call, uint32_t index) {
    return index < call->in_count && call->in[index].kind != PARTITA_KIND_NONE;
}

bool cpu_has_output(const cpu_call *call, uint32_t index) {
    return index < call->out_count && call->out[index].kind != PARTITA_KIND_NONE;
}

partita_status cpu_ints_input(const cpu_call *call, uint32_t index, cpu_ints *out) {
    memset(out, 0, sizeof(*out));
    if (!cpu_has_input(call, index)) return PARTITA_OK;
    const cpu_tensor *tensor = &call->in[index];
    if (tensor->rank > 1 || (tensor->dtype != PARTITA_INT32 && tensor->dtype != PARTITA_INT64) ||
        (tensor->data == NULL && tensor->count > 0))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u must be a list of integers", index);
    if (tensor->count > 2 * CPU_MAX_RANK)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has %llu entries, at most %d", index,
                        (unsigned long long)tensor->count, 2 * CPU_MAX_RANK);
    out->given = true;
    out->count = (uint32_t)tensor->count;
    for (uint32_t i = 0; i < out->count; i++) out->at[i] = cpu_index(tensor, i);
    return PARTITA_OK;
}

partita_status cpu_axis(const cpu_call *call, int64_t axis, uint32_t rank, uint32_t *out_axis) {
    if (axis < -(int64_t)rank || axis >= (int64_t)rank)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "axis %lld of a tensor of rank %u", (long long)axis, rank);
    *out_axis = (uint32_t)(axis < 0 ? axis + rank : axis);
    return PARTITA_OK;
}

uint64_t cpu_extent(const int64_t *dims, uint32_t first, uint32_t last) {
    uint64_t count = 1;
    for (uint32_t i = first; i < last; i++) count *= (uint64_t)dims[i];
    return count;
}

bool cpu_same_dims(const cpu_tensor *tensor, uint32_t rank, const int64_t *dims) {
    return tensor->rank == rank && (rank == 0 || memcmp(tensor->dims, dims, rank * sizeof(*dims)) == 0);
}

partita_status cpu_expect(const cpu_call *call, uint32_t output, uint32_t rank, const int64_t *dims) {
    const cpu_tensor *tensor = &call->out[output];
    if (tensor->rank != rank)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "output %u has rank %u, its inputs make %u", output,
                        tensor->rank, rank);
    for (uint32_t i = 0; i < rank; i++) {
        if (tensor->dims[i] != dims[i])
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "dim %u of output %u is %lld, its inputs make %lld", i,
                            output, (long long)tensor->dims[i], (long long)dims[i]);
    }
    return PARTITA_OK;
}

partita_status cpu_expect_like(const cpu_call *call, uint32_t output, const cpu_tensor *like) {
    return cpu_expect(call, output, like->rank, like->dims);
}

/* The input's strides in terms of the output's dims: 0 where it is broadcast. */
static partita_status walk_align(const cpu_call *call, const cpu_tensor *out, const cpu_tensor *in, int64_t axis,
                                 int64_t *strides) {
    int64_t first = axis >= 0 ? axis : (int64_t)out->rank - in->rank, stride = 1;
    memset(strides, 0, CPU_MAX_RANK * sizeof(*strides));
    if (first < 0 || first + in->rank > out->rank)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u does not broadcast to rank %u", in->rank, out->rank);
    for (uint32_t i = in->rank; i-- > 0;) {
        int64_t dim = in->dims[i], target = out->dims[first + i];
        if (dim != target && dim != 1)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "dim %lld does not broadcast to %lld", (long long)dim,
                            (long long)target);
        if (dim != 1) strides[first + i] = stride;
        stride *= dim;
    }
    return PARTITA_OK;
}

/* Whether dim `d` and the one before it are one for every input. */
static bool walk_joins(const cpu_walk *walk, uint32_t d) {
    for (uint32_t k = 0; k < walk->inputs; k++) {
        if (walk->strides[k][d - 1] != walk->strides[k][d] * walk->dims[d]) return false;
    }
    return true;
}

static void walk_collapse(cpu_walk *walk) {
    uint32_t rank = 0;
    for (uint32_t d = 0; d < walk->rank; d++) {
        if (walk->dims[d] == 1) continue;
        walk->dims[rank] = walk->dims[d];
        for (uint32_t k = 0; k < walk->inputs; k++) walk->strides[k][rank] = walk->strides[k][d];
        if (rank > 0 && walk_joins(walk, rank)) {
            walk->dims[rank - 1] *= walk->dims[rank];
            for (uint32_t k = 0; k < walk->inputs; k++) walk->strides[k][rank - 1] = walk->strides[k][rank];
        } else {
            rank++;
        }
    }
    walk->rank = rank;
}

partita_status cpu_walk_init(const cpu_call *call, const cpu_tensor *out, const cpu_tensor *const *in, uint32_t n,
                             const int64_t *axes, cpu_walk *walk) {
    memset(walk, 0, sizeof(*walk));
    if (out->rank > CPU_MAX_RANK)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u, at most %d", out->rank, CPU_MAX_RANK);
    walk->rank = out->rank;
    walk->inputs = n;
    for (uint32_t d = 0; d < out->rank; d++) walk->dims[d] = out->dims[d];
    for (uint32_t k = 0; k < n; k++) {
        partita_status status = walk_align(call, out, in[k], axes != NULL ? axes[k] : -1, walk->strides[k]);
        if (status != PARTITA_OK) return status;
    }
    walk_collapse(walk);
    for (uint32_t k = 0; k < n; k++) walk->steps[k] = walk->rank == 0 || walk->strides[k][walk->rank - 1] != 0;
    return PARTITA_OK;
}

void cpu_walk_seek(cpu_walk *walk, uint64_t element) {
    for (uint32_t k = 0; k < walk->inputs; k++) walk->offsets[k] = 0;
    for (uint32_t d = walk->rank; d-- > 0;) {
        uint64_t dim = (uint64_t)walk->dims[d];
        walk->at[d] = dim > 0 ? (int64_t)(element % dim) : 0;
        if (dim > 0) element /= dim;
        for (uint32_t k = 0; k < walk->inputs; k++) walk->offsets[k] += walk->at[d] * walk->strides[k][d];
    }
}

uint64_t cpu_walk_next(cpu_walk *walk, uint64_t limit, uint64_t *out_offsets) {
    for (uint32_t k = 0; k < walk->inputs; k++) out_offsets[k] = (uint64_t)walk->offsets[k];
    if (walk->rank == 0) return limit < 1 ? limit : 1;
    uint32_t d = walk->rank - 1;
    uint64_t n = (uint64_t)(walk->dims[d] - walk->at[d]);
    if (n > limit) n = limit;
    walk->at[d] += (int64_t)n;
    for (uint32_t k = 0; k < walk->inputs; k++) walk->offsets[k] += (int64_t)n * walk->strides[k][d];
    while (walk->at[d] == walk->dims[d] && d > 0) {
        for (uint32_t k = 0; k < walk->inputs; k++)
            walk->offsets[k] += walk->strides[k][d - 1] - walk->dims[d] * walk->strides[k][d];
        walk->at[d] = 0;
        walk->at[--d]++;
    }
    return n;
}

uint64_t cpu_items_elements(const cpu_call *call) {
    uint64_t count = call->out[0].count;
    return count / CPU_ITEM + (count % CPU_ITEM != 0);
}

void cpu_item_range(const cpu_tensor *out, uint64_t begin, uint64_t end, uint64_t *out_first, uint64_t *out_last) {
    *out_first = begin * CPU_ITEM < out->count ? begin * CPU_ITEM : out->count;
    *out_last = end * CPU_ITEM < out->count ? end * CPU_ITEM : out->count;
}

partita_status cpu_strings_of(const cpu_call *call, const cpu_tensor *tensor, cpu_strings *out) {
    memset(out, 0, sizeof(*out));
    if (tensor->value == NULL) return cpu_fail(call->host, PARTITA_BAD_INPUT, "a tensor of strings has no handle");
    return call->host->value_strings(call->host->self, tensor->value, &out->offsets, &out->bytes, &out->count);
}

partita_status cpu_new_strings(const ptp_host *host, uint32_t rank, const int64_t *dims, const cpu_strings *from,
                               const uint64_t *picks, uint64_t n, ptp_value **out) {
    uint64_t *offsets = cpu_alloc(host, (n + 1) * sizeof(*offsets));
    char *bytes = NULL;
    partita_status status = PARTITA_OUT_OF_MEMORY;
    *out = NULL;
    if (offsets == NULL) return status;
    for (uint64_t i = 0; i < n; i++)
        offsets[i + 1] = offsets[i] + from->offsets[picks[i] + 1] - from->offsets[picks[i]];
    bytes = cpu_alloc(host, offsets[n]);
    for (uint64_t i = 0; bytes != NULL && i < n; i++)
        memcpy(bytes + offsets[i], from->bytes + from->offsets[picks[i]], offsets[i + 1] - offsets[i]);
    if (bytes != NULL) status = host->value_new_strings(host->self, rank, dims, offsets, bytes, out);
    cpu_free(host, bytes);
    cpu_free(host, offsets);
    return status;
}

partita_status cpu_set_strings(const cpu_call *call, uint32_t index, uint32_t rank, const int64_t *dims,
                               const cpu_strings *from, const uint64_t *picks, uint64_t n) {
    ptp_value *value;
    partita_status status = cpu_new_strings(call->host, rank, dims, from, picks, n, &value);
    if (status == PARTITA_OK) status = cpu_call_set(call, index, value);
    if (value != NULL) call->host->value_release(call->host->self, value);
    return status;
}

partita_status cpu_tensor_of(const cpu_call *call, ptp_value *value, cpu_tensor *out) {
    const ptp_host *host = call->host;
    memset(out, 0, sizeof(*out));
    out->kind = host->value_kind(host->self, value);
    out->value = value;
    if (out->kind != PARTITA_KIND_TENSOR) return PARTITA_OK;
    ptp_tensor view = {.size = sizeof(view)};
    partita_status status = host->value_tensor(host->self, value, &view);
    if (status != PARTITA_OK) return status;
    out->dtype = view.dtype;
    out->rank = view.rank;
    out->dims = view.dims;
    if (!cpu_shape_size(view.dtype, view.rank, view.dims, &out->count, &out->bytes))
        return cpu_fail(host, PARTITA_BAD_INPUT, "a tensor of a sequence is too large");
    if (view.dtype != PARTITA_STRING) {
        out->data = view.data;
        out->value = NULL;
    }
    return PARTITA_OK;
}
