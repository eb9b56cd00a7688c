/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluation: labels of nodes to devices of units, clusters, schedule, additive cost, bytes over the capacities.
 */
#include "partitioner/evaluate.h"

#include "partitioner/energy.h"

partita_status pt_part_evaluator_init(pt_part_evaluator *e, const pt_part_model *model) {
    *e = (pt_part_evaluator){.model = model};
    PT_TRY(pt_part_clustering_init(&e->clustering, model));
    PT_TRY(pt_part_schedule_init(&e->schedule, &e->clustering));
    e->device = pt_arena_array(&e->arena, model->units, sizeof *e->device);
    e->kept = pt_arena_array(&e->arena, model->devices, sizeof *e->kept);
    return e->device && e->kept ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

void pt_part_evaluator_deinit(pt_part_evaluator *e) {
    if (!e) return;
    pt_part_schedule_deinit(&e->schedule);
    pt_part_clustering_deinit(&e->clustering);
    pt_arena_deinit(&e->arena);
}

static uint64_t add_clamped(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

static uint64_t overflow_of(const pt_part_evaluator *e) {
    const pt_part_problem *p = e->model->problem;
    uint64_t over = 0;
    if (!p->unit_bytes || !p->capacity) return 0;
    memset(e->kept, 0, p->devices * sizeof *e->kept);
    for (uint32_t i = 0; i < p->units; i++) {
        e->kept[e->device[i]] = add_clamped(e->kept[e->device[i]], p->unit_bytes[i]);
    }
    for (uint32_t d = 0; d < p->devices; d++) {
        if (e->kept[d] > p->capacity[d]) over = add_clamped(over, e->kept[d] - p->capacity[d]);
    }
    return over;
}

partita_status pt_part_evaluator_run(pt_part_evaluator *e, const uint32_t *label, const uint32_t *cluster,
                                     pt_part_value *out_value) {
    const pt_part_model *m = e->model;
    const pt_part_energy additive = {.model = m, .price_weight = PT_PART_ONE};
    for (uint32_t i = 0; i < m->units; i++) e->device[i] = label[m->node_of[i]];
    if (cluster) {
        PT_TRY(pt_part_cluster_given(&e->clustering, e->device, cluster));
    } else {
        pt_part_cluster_canonical(&e->clustering, e->device);
    }
    *out_value = (pt_part_value){.additive = pt_part_energy_of(&additive, label), .overflow = overflow_of(e)};
    pt_part_simulate(&e->schedule, e->device, out_value);
    return PARTITA_OK;
}

bool pt_part_value_better(pt_part_objective objective, const pt_part_value *a, const pt_part_value *b) {
    if (objective == PT_PART_MEMORY && a->overflow != b->overflow) return a->overflow < b->overflow;
    if (objective == PT_PART_THROUGHPUT) {
        if (a->period != b->period) return a->period < b->period;
        if (a->second_load != b->second_load) return a->second_load < b->second_load;
    } else if (a->latency != b->latency) {
        return a->latency < b->latency;
    }
    return a->additive < b->additive;
}
