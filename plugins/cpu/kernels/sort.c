/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TopK and Unique. Elements of every type are compared by keys, unsigned numbers in the same order.
 */
#include "cpu/kernels/support.h"

#include <stdlib.h>

typedef struct entry {
    uint64_t key, index;
} entry;

static int entry_less(const void *left, const void *right) {
    const entry *a = left, *b = right;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* ---- TopK: an item is one line ---- */

typedef struct topk_state {
    int64_t axis, k; /* k: of opset 1, where it is an attribute; else -1 */
    bool largest;
} topk_state;

static partita_status topk_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    topk_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->axis = cpu_attr_int(node, "axis", -1);
    state->k = node->row.since < 10 ? cpu_attr_int(node, "k", 0) : -1;
    state->largest = cpu_attr_int(node, "largest", 1) != 0;
    *out_state = state;
    return PARTITA_OK;
}

static partita_status topk_axis(const cpu_call *call, const topk_state *state, uint32_t *out_axis, uint64_t *out_k) {
    const cpu_tensor *in = &call->in[0];
    int64_t k = state->k;
    int64_t dims[CPU_MAX_RANK];
    partita_status status = cpu_axis(call, state->axis, in->rank, out_axis);
    if (status != PARTITA_OK) return status;
    if (state->k < 0) {
        cpu_ints given;
        status = cpu_ints_input(call, 1, &given);
        if (status != PARTITA_OK) return status;
        k = given.count == 1 ? given.at[0] : -1;
    }
    if (k < 0 || k > in->dims[*out_axis])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the top %lld of %lld", (long long)k,
                        (long long)in->dims[*out_axis]);
    for (uint32_t d = 0; d < in->rank; d++) dims[d] = d == *out_axis ? k : in->dims[d];
    *out_k = (uint64_t)k;
    for (uint32_t o = 0; o < 2 && status == PARTITA_OK; o++)
        if (cpu_has_output(call, o)) status = cpu_expect(call, o, in->rank, dims);
    return status;
}

/* The k smallest entries to the front, in any order, by partitioning around pivots. */
static void entries_select(entry *entries, uint64_t n, uint64_t k) {
    uint64_t low = 0, high = n;
    while (high - low > 16) {
        uint64_t middle = low + (high - low) / 2;
        entry pivot = entries[middle];
        uint64_t i = low, j = high - 1;
        for (;;) {
            while (entry_less(&entries[i], &pivot) < 0) i++;
            while (entry_less(&pivot, &entries[j]) < 0) j--;
            if (i >= j) break;
            entry swap = entries[i];
            entries[i++] = entries[j];
            entries[j--] = swap;
        }
        uint64_t cut = j + 1;
        if (cut == k) return;
        if (cut < k)
            low = cut;
        else
            high = cut;
    }
    qsort(entries + low, high - low, sizeof(*entries), entry_less);
}

static uint64_t topk_items(const cpu_call *call) {
    const topk_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    int64_t axis = state->axis < 0 ? state->axis + in->rank : state->axis;
    if (axis < 0 || axis >= in->rank || in->dims[axis] == 0 || in->count == 0) return 1;
    return in->count / (uint64_t)in->dims[axis];
}

static partita_status topk_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const topk_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *values = &call->out[0];
    uint32_t axis, size = cpu_size(in);
    uint64_t k;
    partita_status status = topk_axis(call, state, &axis, &k);
    if (status != PARTITA_OK || k == 0 || in->count == 0) return status;
    uint64_t n = (uint64_t)in->dims[axis], inner = cpu_extent(in->dims, axis + 1, in->rank);
    entry *entries = cpu_alloc(call->host, n * sizeof(*entries));
    uint64_t *keys = cpu_alloc(call->host, n * sizeof(*keys));
    if (entries == NULL || keys == NULL) status = PARTITA_OUT_OF_MEMORY;
    for (uint64_t line = begin; status == PARTITA_OK && line < end; line++) {
        uint64_t first = line / inner * n * inner + line % inner, out = line / inner * k * inner + line % inner;
        cpu_load_keys(in->dtype, in->data, first, (int64_t)inner, n, keys);
        for (uint64_t i = 0; i < n; i++) entries[i] = (entry){state->largest ? ~keys[i] : keys[i], i};
        entries_select(entries, n, k);
        qsort(entries, k, sizeof(*entries), entry_less);
        for (uint64_t i = 0; i < k; i++) {
            if (cpu_has_output(call, 0))
                memcpy((char *)values->data + (out + i * inner) * size,
                       (const char *)in->data + (first + entries[i].index * inner) * size, size);
            if (cpu_has_output(call, 1)) ((int64_t *)call->out[1].data)[out + i * inner] = (int64_t)entries[i].index;
        }
    }
    cpu_free(call->host, keys);
    cpu_free(call->host, entries);
    return status;
}

/* ---- Unique ---- */

typedef struct unique_state {
    bool has_axis, sorted;
    int64_t axis;
} unique_state;

/* What is compared: `count` slices of `size` elements, each of `parts` keys (a complex number has two, the real one
 * first). Slices equal to one before belong to its group. */
typedef struct unique {
    const cpu_call *call;
    cpu_strings strings;
    uint64_t count, size, parts, outer, inner, groups;
    uint64_t *keys, *order, *group_of, *first, *counts, *rank_of;
} unique;

static partita_status unique_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    unique_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->has_axis = cpu_attr_has(node, "axis");
    state->axis = cpu_attr_int(node, "axis", 0);
    state->sorted = cpu_attr_int(node, "sorted", 1) != 0;
    *out_state = state;
    return PARTITA_OK;
}

static int string_less(const void *left, const void *right, void *user) {
    const cpu_strings *s = user;
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    uint64_t na = s->offsets[a + 1] - s->offsets[a], nb = s->offsets[b + 1] - s->offsets[b];
    int order = memcmp(s->bytes + s->offsets[a], s->bytes + s->offsets[b], na < nb ? na : nb);
    return order != 0 ? order : na < nb ? -1 : na > nb;
}

static int slice_less(const void *left, const void *right, void *user) {
    const unique *u = user;
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    uint64_t n = u->size * u->parts;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t x = u->keys[a * n + i], y = u->keys[b * n + i];
        if (x != y) return x < y ? -1 : 1;
    }
    return a < b ? -1 : a > b;
}

static bool slice_same(const unique *u, uint64_t a, uint64_t b) {
    uint64_t n = u->size * u->parts;
    return memcmp(u->keys + a * n, u->keys + b * n, n * sizeof(*u->keys)) == 0;
}

/* Strings take the number of their place in order as key. */
static partita_status unique_string_keys(unique *u, uint64_t *keys) {
    const cpu_tensor *in = &u->call->in[0];
    uint64_t *order = cpu_alloc(u->call->host, in->count * sizeof(*order)), rank = 0;
    partita_status status = order == NULL ? PARTITA_OUT_OF_MEMORY : cpu_strings_of(u->call, in, &u->strings);
    for (uint64_t i = 0; status == PARTITA_OK && i < in->count; i++) order[i] = i;
    if (status == PARTITA_OK) qsort_r(order, in->count, sizeof(*order), string_less, &u->strings);
    for (uint64_t i = 0; status == PARTITA_OK && i < in->count; i++) {
        if (i > 0 && string_less(&order[i - 1], &order[i], &u->strings) != 0) rank++;
        keys[order[i]] = rank;
    }
    cpu_free(u->call->host, order);
    return status;
}

static partita_status unique_keys(unique *u) {
    const cpu_tensor *in = &u->call->in[0];
    const ptp_host *host = u->call->host;
    partita_dtype part;
    uint64_t n = in->count * cpu_parts(in->dtype, &part);
    uint64_t *flat = cpu_alloc(host, n * sizeof(*flat));
    partita_status status = PARTITA_OK;
    u->keys = cpu_alloc(host, n * sizeof(*u->keys));
    if (flat == NULL || u->keys == NULL)
        status = PARTITA_OUT_OF_MEMORY;
    else if (in->dtype == PARTITA_STRING)
        status = unique_string_keys(u, flat);
    else
        cpu_load_keys(part, in->data, 0, 1, n, flat);
    for (uint64_t i = 0; status == PARTITA_OK && i < in->count; i++) {
        uint64_t slice = i / u->inner % u->count, o = i / u->inner / u->count;
        uint64_t *keys = u->keys + (slice * u->size + o * u->inner + i % u->inner) * u->parts;
        for (uint64_t k = 0; k < u->parts; k++) keys[k] = flat[i * u->parts + k];
    }
    cpu_free(host, flat);
    return status;
}

/* Groups of equal slices, numbered as they are to be given out. */
static void unique_groups(unique *u, bool sorted) {
    for (uint64_t i = 0; i < u->count; i++) u->order[i] = i;
    qsort_r(u->order, u->count, sizeof(*u->order), slice_less, u);
    for (uint64_t i = 0; i < u->count; i++) {
        bool starts = i == 0 || !slice_same(u, u->order[i - 1], u->order[i]);
        if (starts) {
            u->first[u->groups] = u->order[i]; /* the order within a group is that of the input */
            u->counts[u->groups++] = 0;
        }
        u->group_of[u->order[i]] = u->groups - 1;
        u->counts[u->groups - 1]++;
    }
    if (sorted) {
        for (uint64_t g = 0; g < u->groups; g++) u->rank_of[g] = g;
        return;
    }
    uint64_t next = 0;
    for (uint64_t i = 0; i < u->count; i++)
        if (u->first[u->group_of[i]] == i) u->rank_of[u->group_of[i]] = next++;
}

static partita_status unique_values(const unique *u, uint32_t rank, const int64_t *dims, uint64_t *picks) {
    const cpu_call *call = u->call;
    const cpu_tensor *in = &call->in[0];
    /* Element by element: which input element it is. */
    for (uint64_t g = 0; g < u->groups; g++) {
        for (uint64_t o = 0; o < u->outer; o++)
            for (uint64_t i = 0; i < u->inner; i++)
                picks[(o * u->groups + u->rank_of[g]) * u->inner + i] = (o * u->count + u->first[g]) * u->inner + i;
    }
    uint64_t n = u->groups * u->size;
    if (in->dtype == PARTITA_STRING) return cpu_set_strings(call, 0, rank, dims, &u->strings, picks, n);
    partita_status status = cpu_call_alloc(call, 0, rank, dims);
    uint32_t size = cpu_size(in);
    for (uint64_t i = 0; status == PARTITA_OK && i < n; i++)
        memcpy((char *)call->out[0].data + i * size, (const char *)in->data + picks[i] * size, size);
    return status;
}

static partita_status unique_numbers(const unique *u) {
    const cpu_call *call = u->call;
    for (uint32_t o = 1; o < 4; o++) {
        int64_t n = (int64_t)(o == 2 ? u->count : u->groups);
        if (!cpu_has_output(call, o)) continue;
        partita_status status = cpu_call_alloc(call, o, 1, &n);
        if (status != PARTITA_OK) return status;
        int64_t *out = call->out[o].data;
        for (uint64_t g = 0; o != 2 && g < u->groups; g++)
            out[u->rank_of[g]] = (int64_t)(o == 1 ? u->first[g] : u->counts[g]);
        for (uint64_t i = 0; o == 2 && i < u->count; i++) out[i] = (int64_t)u->rank_of[u->group_of[i]];
    }
    return PARTITA_OK;
}

static partita_status unique_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const unique_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    const ptp_host *host = call->host;
    partita_dtype part;
    unique u = {
        .call = call, .count = in->count, .size = 1, .parts = cpu_parts(in->dtype, &part), .outer = 1, .inner = 1};
    int64_t dims[CPU_MAX_RANK];
    uint32_t axis = 0, rank = 1;
    partita_status status = PARTITA_OK;
    if (state->has_axis) {
        status = cpu_axis(call, state->axis, in->rank, &axis);
        if (status != PARTITA_OK) return status;
        rank = in->rank;
        memcpy(dims, in->dims, rank * sizeof(*dims));
        u.count = (uint64_t)in->dims[axis];
        u.outer = cpu_extent(in->dims, 0, axis);
        u.inner = cpu_extent(in->dims, axis + 1, rank);
        u.size = u.outer * u.inner;
    }
    uint64_t *room = cpu_alloc(host, (5 * u.count + in->count) * sizeof(*room));
    if (room == NULL) return PARTITA_OUT_OF_MEMORY;
    u.order = room;
    u.group_of = room + u.count;
    u.first = room + 2 * u.count;
    u.counts = room + 3 * u.count;
    u.rank_of = room + 4 * u.count;
    status = unique_keys(&u);
    if (status == PARTITA_OK) {
        unique_groups(&u, state->sorted);
        dims[axis] = (int64_t)u.groups;
        status = unique_values(&u, rank, dims, room + 5 * u.count);
    }
    if (status == PARTITA_OK) status = unique_numbers(&u);
    cpu_free(host, u.keys);
    cpu_free(host, room);
    return status;
}

const cpu_kernel cpu_kernels_sort[] = {
    {.op = "TopK",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_NUMBERS,
     .reference = true,
     .prepare = topk_prepare,
     .release = cpu_free,
     .items = topk_items,
     .run = topk_run},
    {.op = "Unique",
     .domain = "",
     .since = 11,
     .until = CPU_NEWEST,
     .types = CPU_NUMBERS | CPU_TYPE(BOOL) | CPU_TYPE(STRING) | CPU_TYPE(COMPLEX64) | CPU_TYPE(COMPLEX128),
     .reference = true,
     .prepare = unique_prepare,
     .release = cpu_free,
     .run = unique_run,
     .emit = true},
};
const uint32_t cpu_kernels_sort_count = sizeof(cpu_kernels_sort) / sizeof(cpu_kernels_sort[0]);
