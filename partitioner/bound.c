/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path bound is a dynamic program over (unit, device). The load bound is the dual of the fractional assignment:
 * whatever the weights of the resources, nobody works less than the sum of the cheapest weighted costs; some rounds of
 * multiplicative weights find good ones. Its floating point uses nothing but + - * /, so it's the same everywhere.
 */
#include "partitioner/bound.h"

enum { ROUNDS = 200, ROUNDS_IF_LARGE = 30, LARGE = 200000 };

static int64_t cost_of(const pt_part_model *m, uint32_t unit, uint32_t device) {
    if (pt_part_node_cost(m, m->node_of[unit], device) >= PT_PART_INFINITE) return PT_PART_INFINITE;
    return pt_part_unit_cost(m, unit, device);
}

/* When the tensor, made at `made[device]`, can be on `to` for a cluster that begins there or goes on. */
static int64_t earliest(const pt_part_model *m, uint32_t t, const int64_t *made, uint32_t to) {
    int64_t best = PT_PART_INFINITE;
    for (uint32_t from = 0; from < m->devices; from++) {
        int64_t arrival = pt_part_add(made[from], from == to ? 0 : pt_part_tau(m, t, from, to) + m->launch[to]);
        best = PT_MIN(best, arrival);
    }
    return best;
}

static void pass_on(const pt_part_model *m, uint32_t t, const int64_t *made, int64_t *reach) {
    const pt_part_problem *p = m->problem;
    for (uint32_t d = 0; d < m->devices; d++) {
        int64_t arrival =
            p->producer[t] == PT_NONE ? pt_part_tau(m, t, m->host, d) + m->launch[d] : earliest(m, t, made, d);
        for (uint32_t c = p->first_consumer[t]; c < p->first_consumer[t + 1]; c++) {
            int64_t *there = &reach[(size_t)p->consumers[c] * m->devices + d];
            *there = PT_MAX(*there, arrival);
        }
    }
}

partita_status pt_part_bound_path(const pt_part_model *m, int64_t *out_bound) {
    uint32_t k = m->devices;
    pt_arena arena = {0};
    /* First when all inputs are there, then when the unit has ended. */
    int64_t *reach = pt_arena_array(&arena, (size_t)m->units * k, sizeof *reach);
    if (!reach) {
        pt_arena_deinit(&arena);
        return PT_OUT_OF_MEMORY();
    }
    for (size_t i = 0; i < (size_t)m->units * k; i++) reach[i] = m->launch[i % k];
    for (uint32_t j = m->first_made[m->units]; j < m->first_made[m->units + 1]; j++) {
        pass_on(m, m->made[j], NULL, reach);
    }
    int64_t bound = 0;
    for (uint32_t u = 0; u < m->units; u++) {
        int64_t *ends = reach + (size_t)u * k, first = PT_PART_INFINITE;
        for (uint32_t d = 0; d < k; d++) {
            ends[d] = pt_part_add(ends[d], cost_of(m, u, d));
            first = PT_MIN(first, ends[d]);
        }
        bound = PT_MAX(bound, first);
        for (uint32_t j = m->first_made[u]; j < m->first_made[u + 1]; j++) {
            uint32_t t = m->made[j];
            pass_on(m, t, ends, reach);
            if (!pt_part_is_output(m->problem, t)) continue;
            int64_t home = PT_PART_INFINITE;
            for (uint32_t d = 0; d < k; d++) home = PT_MIN(home, pt_part_add(ends[d], pt_part_tau(m, t, d, m->host)));
            bound = PT_MAX(bound, home);
        }
    }
    pt_arena_deinit(&arena);
    *out_bound = bound;
    return PARTITA_OK;
}

/* The bound under these weights, which sum to 1; `load`: what the resources get by it. */
static double weighted_load(const pt_part_model *m, const double *weight, double *load) {
    double sum = 0;
    for (uint32_t r = 0; r < m->devices; r++) load[r] = 0;
    for (uint32_t u = 0; u < m->units; u++) {
        double least = 0, cost = 0;
        uint32_t chosen = PT_NONE;
        for (uint32_t d = 0; d < m->devices; d++) {
            int64_t exact = cost_of(m, u, d);
            if (exact >= PT_PART_INFINITE) continue;
            double weighted = weight[m->resource[d]] * (double)exact;
            if (chosen != PT_NONE && weighted >= least) continue;
            least = weighted;
            cost = (double)exact;
            chosen = d;
        }
        sum += least;
        load[m->resource[chosen]] += cost;
    }
    return sum;
}

static void adjust(double *weight, const double *load, uint32_t count) {
    double most = 0, sum = 0;
    for (uint32_t r = 0; r < count; r++) most = PT_MAX(most, load[r]);
    for (uint32_t r = 0; r < count; r++) {
        if (most > 0) weight[r] *= 1 + load[r] / most / 4;
        sum += weight[r];
    }
    for (uint32_t r = 0; r < count; r++) weight[r] /= sum;
}

partita_status pt_part_bound_load(const pt_part_model *m, int64_t *out_bound) {
    double weight[PT_PART_MAX_DEVICES] = {0}, load[PT_PART_MAX_DEVICES], best = 0;
    int64_t dearest = 0;
    uint32_t used = 0;
    for (uint32_t u = 0; u < m->units; u++) {
        int64_t least = PT_PART_INFINITE;
        for (uint32_t d = 0; d < m->devices; d++) least = PT_MIN(least, cost_of(m, u, d));
        dearest = PT_MAX(dearest, least);
    }
    /* Resources that take nothing would only water the weights down. */
    for (uint32_t d = 0; d < m->devices; d++) {
        if (m->usable >> d & 1) used |= UINT32_C(1) << m->resource[d];
    }
    for (uint32_t r = 0; r < m->devices; r++) weight[r] = used >> r & 1;
    adjust(weight, weight, m->devices);
    int rounds = (uint64_t)m->units * m->devices > LARGE ? ROUNDS_IF_LARGE : ROUNDS;
    for (int round = 0; round < rounds && m->units > 0; round++) {
        double bound = weighted_load(m, weight, load);
        best = PT_MAX(best, bound);
        adjust(weight, load, m->devices);
    }
    /* A little less than computed covers what rounding may have added. */
    *out_bound = PT_MAX(dearest, (int64_t)(best * (1 - 1e-9)));
    return PARTITA_OK;
}
