/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four shapes of graphs in turn: layers, chains with skips, branches that meet again, and loose sparse ones.
 */
#include "unit/partitioner_random.h"

#include <stdlib.h>

uint64_t random_next(uint64_t *state) {
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return pt_hash_bytes(state, sizeof *state, 12345);
}

uint32_t random_below(uint64_t *state, uint32_t n) { return (uint32_t)(random_next(state) % n); }

/* From 0 to 2^(bits + range), with a long tail. One draw for each statement: C doesn't order those of an expression. */
static int64_t random_number(uint64_t *state, uint32_t bits, uint32_t range) {
    int64_t number = random_below(state, UINT32_C(1) << bits);
    return number << random_below(state, range);
}

static bool is_input(uint64_t *state, uint32_t shape, uint32_t from, uint32_t to) {
    switch (shape) {
    case 0: return from / 3 + 1 == to / 3 && random_below(state, 2);
    case 1: return from + 1 == to || (from + 4 > to && random_below(state, 3) == 0);
    case 2: return to % 5 == 4 ? from + 4 >= to : from % 5 == 4 && from + 5 > to;
    default: return random_below(state, to) < 2;
    }
}

static void add_graph(random_problem *r, uint64_t *state) {
    uint32_t n = r->p.units, shape = random_below(state, 4), used = 0, t = 0;
    for (uint32_t u = 0; u < n; u++, t++) {
        r->producer[t] = u;
        r->first[t] = used;
        for (uint32_t v = u + 1; v < n && v < u + 40; v++) {
            if (is_input(state, shape, u, v)) r->consumers[used++] = v;
        }
        r->is_output[t] = used == r->first[t] || random_below(state, 10) == 0;
        r->bytes[t] = (uint64_t)random_number(state, 6, 3) << 10;
    }
    for (uint32_t input = 0; input < 2; input++, t++) {
        r->producer[t] = PT_NONE;
        r->first[t] = used;
        for (uint32_t v = input; v < n && v < input + 8; v += 1 + random_below(state, 4)) r->consumers[used++] = v;
        r->bytes[t] = (uint64_t)random_below(state, 64) << 10;
        r->is_output[t] = random_below(state, 8) == 0;
    }
    r->first[t] = used;
    r->p.tensors = t;
}

static void add_prices(random_problem *r, uint64_t *state, unsigned what) {
    uint32_t k = r->p.devices;
    int64_t scale = what & CHEAP_LINKS ? 1 : what & DEAR_LINKS ? 60 : 10;
    int64_t latency = 1 + random_below(state, 30);
    int64_t per_kib = 1 + random_below(state, 3);
    for (uint32_t d = 0; d < k; d++) {
        r->launch[d] = what & WITH_LAUNCH ? random_below(state, 200) : 0;
        r->resource[d] = what & WITH_RESOURCES ? random_below(state, k) : d;
        for (uint32_t e = 0; e < k; e++) {
            if (what & ODD_PRICES) {
                latency = random_below(state, 60);
                per_kib = random_below(state, 8);
            }
            bool shared = what & WITH_RESOURCES && random_below(state, 4) == 0;
            r->latency[d * k + e] = shared ? 0 : latency * scale;
            r->per_kib[d * k + e] = shared ? 0 : per_kib * scale;
            r->channel[d * k + e] = what & WITH_RESOURCES ? random_below(state, k * k) : d * k + e;
        }
    }
}

/* A second way of each link, for large sizes. */
static void add_ways(random_problem *r, uint64_t state) {
    uint32_t pairs = r->p.devices * r->p.devices;
    for (uint32_t pair = 0; pair < pairs; pair++) {
        r->latency[pairs + pair] = r->latency[pair] + random_below(&state, 400);
        r->per_kib[pairs + pair] = r->per_kib[pair] / (1 + random_below(&state, 8));
    }
    r->p.lines = 2;
}

static void add_costs(random_problem *r, uint64_t *state, unsigned what) {
    uint32_t n = r->p.units, k = r->p.devices;
    for (uint32_t u = 0; u < n; u++) {
        int64_t base = 1 + random_number(state, 6, 7);
        /* The one device that takes the unit for sure; the same for all when some are grouped. */
        uint32_t able = what & WITH_PINS ? r->p.host : random_below(state, k);
        for (uint32_t d = 0; d < k; d++) {
            bool infinite = what & WITH_INFINITE && d != able && random_below(state, 4) == 0;
            int64_t cost = base / (1 + random_below(state, 6));
            cost += random_below(state, 9);
            r->cost[u * k + d] = infinite ? PT_PART_INFINITE : cost;
        }
        r->unit_bytes[u] = random_below(state, 1000);
        r->pinned[u] = r->group[u] = PT_NONE;
        if (!(what & WITH_PINS)) continue;
        uint32_t device = random_below(state, k);
        if (random_below(state, 8) == 0 && r->cost[u * k + device] < PT_PART_INFINITE) r->pinned[u] = device;
        if (r->pinned[u] == PT_NONE && random_below(state, 5) == 0) r->group[u] = random_below(state, n) % 2;
    }
    for (uint32_t d = 0; d < k; d++) r->capacity[d] = 200 * (uint64_t)n;
}

random_problem *random_create(uint64_t seed, uint32_t units, uint32_t devices, unsigned what) {
    random_problem *r = calloc(1, sizeof *r);
    uint64_t state = seed;
    size_t tensors = (size_t)units + 2, pairs = (size_t)devices * devices;
#define ARRAY(field, count) r->field = pt_arena_array(&r->arena, (count), sizeof *r->field)
    ARRAY(cost, (size_t)units * devices);
    ARRAY(latency, 2 * pairs);
    ARRAY(per_kib, 2 * pairs);
    ARRAY(launch, devices);
    ARRAY(pinned, units);
    ARRAY(group, units);
    ARRAY(resource, devices);
    ARRAY(channel, pairs);
    ARRAY(producer, tensors);
    ARRAY(first, tensors + 1);
    ARRAY(consumers, (size_t)units * 40 + 16);
    ARRAY(bytes, tensors);
    ARRAY(unit_bytes, units);
    ARRAY(capacity, devices);
    ARRAY(is_output, tensors);
#undef ARRAY
    r->p = (pt_part_problem){
        .units = units,
        .devices = devices,
        .host = random_below(&state, devices),
        .cost = r->cost,
        .pinned = r->pinned,
        .group = r->group,
        .unit_bytes = r->unit_bytes,
        .capacity = r->capacity,
        .producer = r->producer,
        .bytes = r->bytes,
        .is_output = r->is_output,
        .first_consumer = r->first,
        .consumers = r->consumers,
        .link_latency = r->latency,
        .link_per_kib = r->per_kib,
        .channel = r->channel,
        .launch = r->launch,
        .resource = r->resource,
    };
    add_graph(r, &state);
    add_prices(r, &state, what);
    if (what & ODD_PRICES) add_ways(r, seed + 1);
    add_costs(r, &state, what);
    return r;
}

void random_destroy(random_problem *problem) {
    pt_arena_deinit(&problem->arena);
    free(problem);
}
