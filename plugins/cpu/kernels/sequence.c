/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences and optionals. Their values are handles of the host: a kernel makes containers of items and gives them out.
 */
#include "cpu/kernels/support.h"

typedef struct sequence_state {
    int64_t axis;
    bool new_axis, keep;
    partita_dtype dtype;
} sequence_state;

static partita_status sequence_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    sequence_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->axis = cpu_attr_int(node, "axis", 0);
    state->new_axis = cpu_attr_int(node, "new_axis", 0) != 0;
    state->keep = cpu_attr_int(node, "keepdims", 1) != 0;
    state->dtype = cpu_output_dtype(node, 0);
    *out_state = state;
    return PARTITA_OK;
}

/* A handle of the tensor, to be released. */
static partita_status value_of(const cpu_call *call, const cpu_tensor *tensor, ptp_value **out) {
    const ptp_host *host = call->host;
    ptp_tensor view = {.size = sizeof(view)};
    *out = NULL;
    if (tensor->value != NULL) {
        host->value_retain(host->self, tensor->value);
        *out = tensor->value;
        return PARTITA_OK;
    }
    partita_status status = host->value_new_tensor(host->self, tensor->dtype, tensor->rank, tensor->dims, out);
    if (status == PARTITA_OK) status = host->value_tensor(host->self, *out, &view);
    if (status == PARTITA_OK && tensor->bytes > 0) memcpy(view.data, tensor->data, tensor->bytes);
    return status;
}

/* Gives a container of `n` items as output 0 and lets go of the items. */
static partita_status container_give(const cpu_call *call, partita_kind kind, partita_dtype dtype, ptp_value **items,
                                     uint64_t n, partita_status status) {
    const ptp_host *host = call->host;
    ptp_value *container = NULL;
    if (status == PARTITA_OK) status = host->value_new_container(host->self, kind, dtype, items, n, &container);
    if (status == PARTITA_OK) status = cpu_call_set(call, 0, container);
    if (container != NULL) host->value_release(host->self, container);
    for (uint64_t i = 0; i < n; i++)
        if (items[i] != NULL) host->value_release(host->self, items[i]);
    return status;
}

static partita_status sequence_check(const cpu_call *call, uint64_t *out_count) {
    const cpu_tensor *in = &call->in[0];
    *out_count = 0;
    if (in->kind != PARTITA_KIND_SEQUENCE || in->value == NULL)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "input 0 is no sequence");
    *out_count = call->host->value_count(call->host->self, in->value);
    return PARTITA_OK;
}

/* Position input `index` within [-n, limit), or `otherwise` when it is absent. */
static partita_status position_of(const cpu_call *call, uint32_t index, uint64_t n, uint64_t limit, uint64_t otherwise,
                                  uint64_t *out) {
    cpu_ints given;
    partita_status status = cpu_ints_input(call, index, &given);
    *out = otherwise;
    if (status != PARTITA_OK || !given.given) return status;
    int64_t at = given.count == 1 ? given.at[0] : INT64_MAX;
    if (at < -(int64_t)n || at >= (int64_t)limit)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "position %lld of a sequence of %llu", (long long)at,
                        (unsigned long long)n);
    *out = (uint64_t)(at < 0 ? at + (int64_t)n : at);
    return PARTITA_OK;
}

static partita_status construct_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const sequence_state *state = call->state;
    ptp_value **items = cpu_alloc(call->host, call->in_count * sizeof(*items));
    partita_status status = items == NULL ? PARTITA_OUT_OF_MEMORY : PARTITA_OK;
    for (uint32_t i = 0; status == PARTITA_OK && i < call->in_count; i++)
        status = value_of(call, &call->in[i], &items[i]);
    status =
        container_give(call, PARTITA_KIND_SEQUENCE, state->dtype, items, items != NULL ? call->in_count : 0, status);
    cpu_free(call->host, items);
    return status;
}

static partita_status empty_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const sequence_state *state = call->state;
    return container_give(call, PARTITA_KIND_SEQUENCE, state->dtype, NULL, 0, PARTITA_OK);
}

static partita_status at_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const ptp_host *host = call->host;
    uint64_t n, at;
    partita_status status = sequence_check(call, &n);
    if (status == PARTITA_OK) status = position_of(call, 1, n, n, 0, &at);
    if (status != PARTITA_OK) return status;
    return cpu_call_set(call, 0, host->value_item(host->self, call->in[0].value, at));
}

/* Insert and erase: the items but one, or with one more. */
static partita_status edit_run(const cpu_call *call, bool insert) {
    const sequence_state *state = call->state;
    const ptp_host *host = call->host;
    uint64_t n, at = 0, count = 0;
    ptp_value **items = NULL;
    partita_status status = sequence_check(call, &n);
    if (status == PARTITA_OK && insert) status = position_of(call, 2, n, n + 1, n, &at);
    if (status == PARTITA_OK && !insert) status = position_of(call, 1, n, n, n - 1, &at);
    if (status == PARTITA_OK && !insert && n == 0)
        status = cpu_fail(host, PARTITA_BAD_INPUT, "nothing to erase from an empty sequence");
    if (status != PARTITA_OK) return status;
    items = cpu_alloc(host, (n + 1) * sizeof(*items));
    if (items == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; i <= n && status == PARTITA_OK; i++) {
        if (insert && i == at) status = value_of(call, &call->in[1], &items[count++]);
        if (i == n || (!insert && i == at)) continue;
        items[count] = host->value_item(host->self, call->in[0].value, i);
        host->value_retain(host->self, items[count++]);
    }
    status = container_give(call, PARTITA_KIND_SEQUENCE, state->dtype, items, count, status);
    cpu_free(host, items);
    return status;
}

static partita_status insert_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    return edit_run(call, true);
}
static partita_status erase_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    return edit_run(call, false);
}

static partita_status length_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    uint64_t n;
    partita_status status = sequence_check(call, &n);
    if (status == PARTITA_OK) status = cpu_expect(call, 0, 0, NULL);
    if (status == PARTITA_OK) *(int64_t *)call->out[0].data = (int64_t)n;
    return status;
}

/* ---- ConcatFromSequence ---- */

/* Dims of the whole; the pieces must agree in type and in all other dims. */
static partita_status concat_dims(const cpu_call *call, const sequence_state *state, const cpu_tensor *pieces,
                                  uint64_t n, uint32_t *out_axis, uint32_t *out_rank, int64_t *dims) {
    uint32_t rank = pieces[0].rank, axis;
    if (rank + state->new_axis > CPU_MAX_RANK) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u", rank + 1);
    partita_status status = cpu_axis(call, state->axis, rank + state->new_axis, &axis);
    if (status != PARTITA_OK) return status;
    int64_t sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        const cpu_tensor *p = &pieces[i];
        bool fits = p->dtype == pieces[0].dtype && p->rank == rank && (p->dtype == PARTITA_STRING || cpu_size(p) > 0);
        for (uint32_t d = 0; fits && d < rank; d++)
            fits = (d == axis && !state->new_axis) || p->dims[d] == pieces[0].dims[d];
        if (!fits)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "item %llu does not fit the first", (unsigned long long)i);
        sum += state->new_axis ? 1 : p->dims[axis];
    }
    for (uint32_t d = 0; d < rank + state->new_axis; d++)
        dims[d] = d == axis ? sum : pieces[0].dims[d > axis && state->new_axis ? d - 1 : d];
    *out_axis = axis;
    *out_rank = rank + state->new_axis;
    return PARTITA_OK;
}

/* Strings of all pieces behind each other, and which of them stands where in the whole. */
static partita_status concat_strings(const cpu_call *call, const cpu_tensor *pieces, uint64_t n, uint32_t axis,
                                     uint32_t rank, const int64_t *dims) {
    const ptp_host *host = call->host;
    uint64_t count = cpu_extent(dims, 0, rank), total = 0, at = 0, outer = cpu_extent(dims, 0, axis);
    uint64_t *offsets = cpu_alloc(host, (count + 1) * sizeof(*offsets)),
             *picks = cpu_alloc(host, (count + 1) * sizeof(*picks));
    char *bytes = NULL;
    partita_status status = offsets == NULL || picks == NULL ? PARTITA_OUT_OF_MEMORY : PARTITA_OK;
    cpu_strings s;
    for (uint64_t i = 0; status == PARTITA_OK && i < n; i++) {
        status = cpu_strings_of(call, &pieces[i], &s);
        if (status == PARTITA_OK && s.count > 0) total += s.offsets[s.count] - s.offsets[0];
    }
    if (status == PARTITA_OK && (bytes = cpu_alloc(host, total)) == NULL) status = PARTITA_OUT_OF_MEMORY;
    uint64_t string = 0, start = 0;
    for (uint64_t i = 0; status == PARTITA_OK && i < n; i++) {
        status = cpu_strings_of(call, &pieces[i], &s);
        uint64_t block = outer > 0 ? pieces[i].count / outer : 0;
        for (uint64_t j = 0; status == PARTITA_OK && j < s.count; j++) {
            uint64_t size = s.offsets[j + 1] - s.offsets[j];
            memcpy(bytes + at, s.bytes + s.offsets[j], size);
            picks[j / block * (count / outer) + start + j % block] = string;
            at += size;
            offsets[++string] = at;
        }
        start += block;
    }
    cpu_strings all = {offsets, bytes, count};
    if (status == PARTITA_OK) status = cpu_set_strings(call, 0, rank, dims, &all, picks, count);
    cpu_free(host, bytes);
    cpu_free(host, picks);
    cpu_free(host, offsets);
    return status;
}

static partita_status concat_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const sequence_state *state = call->state;
    const ptp_host *host = call->host;
    int64_t dims[CPU_MAX_RANK + 1];
    uint32_t axis = 0, rank = 0;
    uint64_t n;
    partita_status status = sequence_check(call, &n);
    if (status == PARTITA_OK && n == 0) status = cpu_fail(host, PARTITA_BAD_INPUT, "an empty sequence has no shape");
    if (status != PARTITA_OK) return status;
    cpu_tensor *pieces = cpu_alloc(host, n * sizeof(*pieces));
    if (pieces == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; status == PARTITA_OK && i < n; i++)
        status = cpu_tensor_of(call, host->value_item(host->self, call->in[0].value, i), &pieces[i]);
    if (status == PARTITA_OK) status = concat_dims(call, state, pieces, n, &axis, &rank, dims);
    if (status == PARTITA_OK && pieces[0].dtype == PARTITA_STRING) {
        status = concat_strings(call, pieces, n, axis, rank, dims);
    } else if (status == PARTITA_OK) {
        status = cpu_call_alloc(call, 0, rank, dims);
        uint64_t outer = cpu_extent(dims, 0, axis), at = 0;
        uint64_t row = cpu_extent(dims, axis, rank) * cpu_size(&pieces[0]);
        for (uint64_t i = 0; status == PARTITA_OK && i < n; i++) {
            uint64_t block = outer > 0 ? pieces[i].bytes / outer : 0;
            for (uint64_t o = 0; o < outer && block > 0; o++)
                memcpy((char *)call->out[0].data + o * row + at, (const char *)pieces[i].data + o * block, block);
            at += block;
        }
    }
    cpu_free(host, pieces);
    return status;
}

/* ---- SplitToSequence ---- */

/* Length of piece i: of a list, of equal pieces of one length, or 1 when there is no input. */
typedef struct cut {
    const cpu_tensor *list;
    int64_t length;
    uint64_t count;
} cut;

static partita_status cut_init(const cpu_call *call, int64_t dim, cut *out) {
    const cpu_tensor *split = cpu_has_input(call, 1) ? &call->in[1] : NULL;
    *out = (cut){.length = 1, .count = (uint64_t)dim};
    if (split == NULL) return PARTITA_OK;
    if (split->rank > 1 || (split->dtype != PARTITA_INT32 && split->dtype != PARTITA_INT64))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "split must be a number or a list of integers");
    if (split->rank == 0) {
        out->length = cpu_index(split, 0);
        if (out->length < 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "pieces of %lld", (long long)out->length);
        out->count = (uint64_t)(dim / out->length + (dim % out->length != 0));
        return PARTITA_OK;
    }
    int64_t sum = 0;
    for (uint64_t i = 0; i < split->count; i++) {
        int64_t length = cpu_index(split, i);
        if (length < 0 || length > dim - sum)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "the pieces are longer than the axis, which has %lld",
                            (long long)dim);
        sum += length;
    }
    if (sum != dim) return cpu_fail(call->host, PARTITA_BAD_INPUT, "the pieces are shorter than the axis");
    out->list = split;
    out->count = split->count;
    return PARTITA_OK;
}

static partita_status split_piece(const cpu_call *call, uint32_t axis, bool drop, int64_t start, int64_t length,
                                  ptp_value **out) {
    const cpu_tensor *in = &call->in[0];
    const ptp_host *host = call->host;
    int64_t dims[CPU_MAX_RANK];
    uint32_t rank = 0;
    ptp_tensor view = {.size = sizeof(view)};
    for (uint32_t d = 0; d < in->rank; d++)
        if (d != axis || !drop) dims[rank++] = d == axis ? length : in->dims[d];
    uint64_t outer = cpu_extent(in->dims, 0, axis), inner = cpu_extent(in->dims, axis + 1, in->rank);
    uint64_t row = (uint64_t)in->dims[axis] * inner, block = (uint64_t)length * inner, from = (uint64_t)start * inner;
    if (in->dtype == PARTITA_STRING) {
        cpu_strings s;
        uint64_t *picks = cpu_alloc(host, (outer * block + 1) * sizeof(*picks));
        partita_status status = picks == NULL ? PARTITA_OUT_OF_MEMORY : cpu_strings_of(call, in, &s);
        for (uint64_t i = 0; status == PARTITA_OK && i < outer * block; i++)
            picks[i] = i / block * row + from + i % block;
        if (status == PARTITA_OK) status = cpu_new_strings(host, rank, dims, &s, picks, outer * block, out);
        cpu_free(host, picks);
        return status;
    }
    partita_status status = host->value_new_tensor(host->self, in->dtype, rank, dims, out);
    if (status == PARTITA_OK) status = host->value_tensor(host->self, *out, &view);
    uint32_t size = cpu_size(in);
    for (uint64_t o = 0; status == PARTITA_OK && block > 0 && o < outer; o++)
        memcpy((char *)view.data + o * block * size, (const char *)in->data + (o * row + from) * size, block * size);
    return status;
}

static partita_status split_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const sequence_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    uint32_t axis;
    cut pieces;
    partita_status status = cpu_axis(call, state->axis, in->rank, &axis);
    if (status == PARTITA_OK) status = cut_init(call, in->dims[axis], &pieces);
    if (status != PARTITA_OK) return status;
    if (in->dtype != PARTITA_STRING && cpu_size(in) == 0)
        return cpu_fail(call->host, PARTITA_UNSUPPORTED, "no pieces of packed elements");
    bool drop = !state->keep && !cpu_has_input(call, 1);
    int64_t start = 0;
    ptp_value **items = cpu_alloc(call->host, pieces.count * sizeof(*items));
    if (items == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; status == PARTITA_OK && i < pieces.count; i++) {
        int64_t length = pieces.list != NULL ? cpu_index(pieces.list, i) : pieces.length, rest = in->dims[axis] - start;
        if (length > rest) length = rest;
        status = split_piece(call, axis, drop, start, length, &items[i]);
        start += length;
    }
    status = container_give(call, PARTITA_KIND_SEQUENCE, in->dtype, items, pieces.count, status);
    cpu_free(call->host, items);
    return status;
}

/* ---- optionals ---- */

static partita_status optional_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const sequence_state *state = call->state;
    ptp_value *item = NULL;
    if (!cpu_has_input(call, 0)) return container_give(call, PARTITA_KIND_OPTIONAL, state->dtype, NULL, 0, PARTITA_OK);
    partita_status status = value_of(call, &call->in[0], &item);
    return container_give(call, PARTITA_KIND_OPTIONAL, state->dtype, &item, 1, status);
}

/* What is no optional has itself as element. */
static partita_status has_element_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    bool has = cpu_has_input(call, 0);
    if (has && call->in[0].kind == PARTITA_KIND_OPTIONAL)
        has = call->host->value_count(call->host->self, call->in[0].value) > 0;
    partita_status status = cpu_expect(call, 0, 0, NULL);
    if (status == PARTITA_OK) *(uint8_t *)call->out[0].data = has;
    return status;
}

static partita_status get_element_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const ptp_host *host = call->host;
    const cpu_tensor *in = &call->in[0];
    if (in->kind == PARTITA_KIND_OPTIONAL) {
        if (host->value_count(host->self, in->value) == 0)
            return cpu_fail(host, PARTITA_BAD_INPUT, "the optional has no element");
        return cpu_call_set(call, 0, host->value_item(host->self, in->value, 0));
    }
    ptp_value *value = NULL;
    partita_status status = value_of(call, in, &value);
    if (status == PARTITA_OK) status = cpu_call_set(call, 0, value);
    if (value != NULL) host->value_release(host->self, value);
    return status;
}

#define SEQUENCE_ROW(name, runs, emits)                                                                                \
    {                                                                                                                  \
        .op = name, .domain = "", .since = 11, .until = CPU_NEWEST, .types = ~UINT64_C(0), .reference = true,          \
        .prepare = sequence_prepare, .release = cpu_free, .run = runs, .emit = emits                                   \
    }

const cpu_kernel cpu_kernels_sequence[] = {
    SEQUENCE_ROW("SequenceConstruct", construct_run, true),
    SEQUENCE_ROW("SequenceEmpty", empty_run, true),
    SEQUENCE_ROW("SequenceAt", at_run, true),
    SEQUENCE_ROW("SequenceInsert", insert_run, true),
    SEQUENCE_ROW("SequenceErase", erase_run, true),
    SEQUENCE_ROW("SequenceLength", length_run, false),
    SEQUENCE_ROW("ConcatFromSequence", concat_run, true),
    SEQUENCE_ROW("SplitToSequence", split_run, true),
    SEQUENCE_ROW("Optional", optional_run, true),
    SEQUENCE_ROW("OptionalHasElement", has_element_run, false),
    SEQUENCE_ROW("OptionalGetElement", get_element_run, true),
};
const uint32_t cpu_kernels_sequence_count = sizeof(cpu_kernels_sequence) / sizeof(cpu_kernels_sequence[0]);
