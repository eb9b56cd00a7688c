/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heterogeneous earliest finish time (Topcuoglu, Hariri, Wu, 2002), appending only: units by decreasing rank, each on
 * the device where it would end first. A tensor travels once per device; a launch is paid where no input was made on
 * the same device, since a cluster begins there.
 */
#include "partitioner/candidates.h"

#include <stdlib.h>

typedef struct ranked {
    int64_t rank;
    uint32_t unit;
} ranked;

static int by_rank(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? 1 : -1;
    return (x->unit > y->unit) - (x->unit < y->unit);
}

static int64_t mean_cost(const pt_part_model *m, uint32_t unit) {
    int64_t sum = 0, count = 0;
    for (uint32_t d = 0; d < m->devices; d++) {
        if (pt_part_node_cost(m, m->node_of[unit], d) >= PT_PART_INFINITE) continue;
        sum += pt_part_unit_cost(m, unit, d);
        count++;
    }
    return sum / count;
}

static int64_t mean_price(const pt_part_model *m, uint32_t t) {
    int64_t sum = 0;
    if (m->devices == 1) return 0;
    for (uint32_t d = 0; d < m->devices; d++) {
        for (uint32_t e = 0; e < m->devices; e++) sum += pt_part_tau(m, t, d, e);
    }
    return sum / ((int64_t)m->devices * (m->devices - 1));
}

/* Length of the longest way to the end, with mean costs. Consumers have larger indices. */
static void rank_units(const pt_part_model *m, ranked *units) {
    const pt_part_problem *p = m->problem;
    for (uint32_t i = m->units; i-- > 0;) {
        int64_t after = 0;
        for (uint32_t j = m->first_made[i]; j < m->first_made[i + 1]; j++) {
            uint32_t t = m->made[j];
            int64_t longest = 0;
            for (uint32_t c = p->first_consumer[t]; c < p->first_consumer[t + 1]; c++) {
                longest = PT_MAX(longest, units[p->consumers[c]].rank);
            }
            after = PT_MAX(after, longest + mean_price(m, t));
        }
        units[i] = (ranked){after + mean_cost(m, i), i};
    }
    qsort(units, m->units, sizeof *units, by_rank);
}

typedef struct heft {
    const pt_part_model *model;
    int64_t *ready;   /* [units * devices]: when all inputs so far are there */
    uint32_t *local;  /* [units]: devices on which an input was made */
    int64_t *free_at; /* [devices] by resource */
    uint32_t *label;
} heft;

/* Tells the consumers of unit i's tensors (or of the host's) when these are on each device. */
static void send(const heft *h, uint32_t i, uint32_t from, int64_t now) {
    const pt_part_model *m = h->model;
    const pt_part_problem *p = m->problem;
    for (uint32_t j = m->first_made[i]; j < m->first_made[i + 1]; j++) {
        uint32_t t = m->made[j];
        for (uint32_t d = 0; d < m->devices; d++) {
            int64_t arrival = now + pt_part_tau(m, t, from, d);
            for (uint32_t c = p->first_consumer[t]; c < p->first_consumer[t + 1]; c++) {
                int64_t *ready = &h->ready[(size_t)p->consumers[c] * m->devices + d];
                *ready = PT_MAX(*ready, arrival);
            }
        }
        if (i == m->units) continue; /* what the host holds was made in no cluster */
        for (uint32_t c = p->first_consumer[t]; c < p->first_consumer[t + 1]; c++) {
            h->local[p->consumers[c]] |= UINT32_C(1) << from;
        }
    }
}

static int64_t finish_on(const heft *h, uint32_t i, uint32_t d) {
    const pt_part_model *m = h->model;
    int64_t start = PT_MAX(h->ready[(size_t)i * m->devices + d], h->free_at[m->resource[d]]);
    return start + (h->local[i] >> d & 1 ? 0 : m->launch[d]) + pt_part_unit_cost(m, i, d);
}

static void place(const heft *h, uint32_t i) {
    const pt_part_model *m = h->model;
    uint32_t node = m->node_of[i], best = h->label[node];
    if (best == PT_NONE) {
        int64_t best_finish = INT64_MAX;
        for (uint32_t d = 0; d < m->devices; d++) {
            if (pt_part_node_cost(m, node, d) >= PT_PART_INFINITE) continue;
            int64_t finish = finish_on(h, i, d);
            if (finish >= best_finish) continue;
            best_finish = finish;
            best = d;
        }
        h->label[node] = best;
    }
    int64_t finish = finish_on(h, i, best);
    h->free_at[m->resource[best]] = finish;
    send(h, i, best, finish);
}

partita_status pt_part_heft(const pt_part_model *model, uint32_t *out_label) {
    pt_arena arena = {0};
    partita_status status = PARTITA_OK;
    heft h = {.model = model, .label = out_label};
    ranked *units = pt_arena_array(&arena, model->units, sizeof *units);
    h.ready = pt_arena_array(&arena, (size_t)model->units * model->devices, sizeof *h.ready);
    h.local = pt_arena_array(&arena, model->units, sizeof *h.local);
    h.free_at = pt_arena_array(&arena, model->devices, sizeof *h.free_at);
    if (!units || !h.ready || !h.local || !h.free_at) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    memset(out_label, 0xff, model->nodes * sizeof *out_label);
    rank_units(model, units);
    send(&h, model->units, model->host, 0);
    for (uint32_t i = 0; i < model->units; i++) place(&h, units[i].unit);
out:
    pt_arena_deinit(&arena);
    return status;
}
