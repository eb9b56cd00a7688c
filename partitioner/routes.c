/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closure of the link prices over routes. The best route depends on the size: a route, over whichever ways of its
 * links, is a line latency + per_block * blocks, and the price is the lower envelope of the lines. An envelope is
 * concave, so a line that is best at both ends of a range of sizes is best within: ranges are halved until that holds
 * for every pair.
 */
#include "partitioner/model.h"

#include <stdlib.h>

typedef struct lines {
    int64_t *latency, *per_block; /* [devices * devices] */
} lines;

static bool new_lines(pt_part_model *m, lines *out) {
    size_t pairs = (size_t)m->devices * m->devices;
    out->latency = pt_arena_array(&m->arena, pairs, sizeof *out->latency);
    out->per_block = pt_arena_array(&m->arena, pairs, sizeof *out->per_block);
    return out->latency && out->per_block;
}

/* Infinite when the link is missing or the number is too large to be a time. */
static int64_t line_price(const lines *l, size_t pair, uint64_t blocks) {
    int64_t price;
    if (l->latency[pair] >= PT_PART_INFINITE || l->per_block[pair] >= PT_PART_INFINITE || blocks > INT64_MAX ||
        !pt_mul_i64(l->per_block[pair], (int64_t)blocks, &price)) {
        return PT_PART_INFINITE;
    }
    return price >= PT_PART_INFINITE ? PT_PART_INFINITE : pt_part_add(price, l->latency[pair]);
}

/* The cheapest way of each link at one size. */
static void take_links(const pt_part_model *m, uint64_t blocks, lines *l) {
    const pt_part_problem *p = m->problem;
    size_t pairs = (size_t)m->devices * m->devices;
    for (size_t pair = 0; pair < pairs; pair++) {
        bool same = pair % (m->devices + 1) == 0;
        l->latency[pair] = same ? 0 : p->link_latency[pair];
        l->per_block[pair] = same ? 0 : p->link_per_kib[pair];
        for (uint32_t line = 1; !same && line < p->lines; line++) {
            int64_t latency = p->link_latency[line * pairs + pair], per_block = p->link_per_kib[line * pairs + pair];
            const lines other = {&latency, &per_block};
            if (line_price(&other, 0, blocks) >= line_price(l, pair, blocks)) continue;
            l->latency[pair] = latency;
            l->per_block[pair] = per_block;
        }
    }
}

/* Floyd and Warshall at one size; equal prices keep the direct link. */
static void close_at(const pt_part_model *m, uint64_t blocks, lines *l) {
    uint32_t k = m->devices;
    take_links(m, blocks, l);
    for (uint32_t via = 0; via < k; via++) {
        for (uint32_t d = 0; d < k; d++) {
            for (uint32_t e = 0; e < k; e++) {
                size_t direct = (size_t)d * k + e, first = (size_t)d * k + via, second = (size_t)via * k + e;
                int64_t price = pt_part_add(line_price(l, first, blocks), line_price(l, second, blocks));
                if (price >= line_price(l, direct, blocks)) continue;
                l->latency[direct] = l->latency[first] + l->latency[second];
                l->per_block[direct] = l->per_block[first] + l->per_block[second];
            }
        }
    }
}

/* True when every line of `l` has at this size the price that is in `best`. */
static bool as_good_at(const pt_part_model *m, const lines *l, const lines *best, uint64_t blocks) {
    for (size_t pair = 0; pair < (size_t)m->devices * m->devices; pair++) {
        if (line_price(l, pair, blocks) != line_price(best, pair, blocks)) return false;
    }
    return true;
}

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The distinct sizes, ascending; size 0 stands in when there is no tensor. */
static partita_status distinct_sizes(pt_part_model *m, uint64_t **out_sizes, uint32_t *out_count) {
    const pt_part_problem *p = m->problem;
    uint64_t *sizes = pt_arena_array(&m->arena, (size_t)p->tensors + 1, sizeof *sizes);
    if (!sizes) return PT_OUT_OF_MEMORY();
    for (uint32_t t = 0; t < p->tensors; t++) sizes[t] = pt_part_blocks(p->bytes[t]);
    qsort(sizes, p->tensors, sizeof *sizes, compare_u64);
    uint32_t count = 0;
    for (uint32_t t = 0; t < p->tensors; t++) {
        if (count == 0 || sizes[count - 1] != sizes[t]) sizes[count++] = sizes[t];
    }
    *out_sizes = sizes;
    *out_count = PT_MAX(count, 1u);
    return PARTITA_OK;
}

static partita_status check_reachable(const pt_part_model *m, const lines *l) {
    for (uint32_t d = 0; d < m->devices; d++) {
        for (uint32_t e = 0; e < m->devices; e++) {
            if (line_price(l, (size_t)d * m->devices + e, 0) >= PT_PART_INFINITE) {
                return pt_fail(PARTITA_INVALID_ARGUMENT, "no route from device %u to device %u", d, e);
            }
        }
    }
    return PARTITA_OK;
}

partita_status pt_part_close_routes(pt_part_model *m) {
    const pt_part_problem *p = m->problem;
    uint64_t *sizes = NULL;
    uint32_t count = 0;
    PT_TRY(distinct_sizes(m, &sizes, &count));
    m->routes = pt_arena_array(&m->arena, count, sizeof *m->routes);
    m->tensor_routes = pt_arena_array(&m->arena, p->tensors, sizeof *m->tensor_routes);
    lines far;
    if (!m->routes || !m->tensor_routes || !new_lines(m, &far)) return PT_OUT_OF_MEMORY();
    for (uint32_t first = 0; first < count;) {
        lines near;
        if (!new_lines(m, &near)) return PT_OUT_OF_MEMORY();
        close_at(m, sizes[first], &near);
        PT_TRY(check_reachable(m, &near));
        uint32_t last = count - 1;
        while (last > first) {
            close_at(m, sizes[last], &far);
            if (as_good_at(m, &near, &far, sizes[last])) break;
            last = first + (last - first) / 2;
        }
        m->routes[m->routes_count++] = (pt_part_routes){sizes[last], near.latency, near.per_block};
        first = last + 1;
    }
    for (uint32_t t = 0; t < p->tensors; t++) {
        uint32_t low = 0, high = m->routes_count - 1;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (m->routes[middle].last_block < pt_part_blocks(p->bytes[t])) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        m->tensor_routes[t] = low;
    }
    return PARTITA_OK;
}
