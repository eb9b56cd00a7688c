/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The placement as a value: copies of what the evaluator left, in the result's own arena.
 */
#include "partitioner/bound.h"
#include "partitioner/evaluate.h"

#include <stdlib.h>

static const char *const candidate_names[] = {
#define X(name, text) text,
    PT_PART_CANDIDATE_ROWS(X)
#undef X
};

const char *pt_part_candidate_name(pt_part_candidate candidate) {
    return (unsigned)candidate < PT_PART_CANDIDATE_COUNT ? candidate_names[candidate] : "unknown";
}

void pt_part_result_deinit(pt_part_result *result) {
    if (!result) return;
    pt_arena_deinit(&result->arena);
    *result = (pt_part_result){0};
}

static int by_start(const void *a, const void *b) {
    const pt_part_event *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* By start, then by id, which is topological: a cluster never comes before one that it waits for. */
static partita_status order_clusters(pt_part_result *r) {
    pt_arena scratch = {0};
    pt_part_event *events = pt_arena_array(&scratch, r->clusters, sizeof *events);
    if (events) {
        for (uint32_t c = 0; c < r->clusters; c++) events[c] = (pt_part_event){r->cluster_start[c], c};
        qsort(events, r->clusters, sizeof *events, by_start);
        for (uint32_t c = 0; c < r->clusters; c++) r->cluster_order[c] = events[c].id;
    }
    pt_arena_deinit(&scratch);
    return events ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status set_bound(pt_part_result *r, const pt_part_model *m) {
    int64_t path;
    PT_TRY(pt_part_bound_load(m, &r->lower_bound));
    if (m->problem->objective == PT_PART_THROUGHPUT) return PARTITA_OK;
    PT_TRY(pt_part_bound_path(m, &path));
    r->lower_bound = PT_MAX(r->lower_bound, path);
    return PARTITA_OK;
}

partita_status pt_part_result_fill(pt_part_result *r, const pt_part_evaluator *e, const pt_part_value *value) {
    const pt_part_schedule *s = &e->schedule;
    r->units = e->model->units;
    r->clusters = e->clustering.count;
    r->transfers = s->issued;
    r->value = *value;
    bool ok = true;
#define ARRAY(field, count) ok = ok && (r->field = pt_arena_array(&r->arena, (count), sizeof *r->field)) != NULL
    ARRAY(device, r->units);
    ARRAY(cluster, r->units);
    ARRAY(cluster_device, r->clusters);
    ARRAY(cluster_order, r->clusters);
    ARRAY(cluster_start, r->clusters);
    ARRAY(cluster_end, r->clusters);
    ARRAY(transfer, r->transfers);
#undef ARRAY
    if (!ok) return PT_OUT_OF_MEMORY();
    memcpy(r->device, e->device, r->units * sizeof *r->device);
    memcpy(r->cluster, e->clustering.of, r->units * sizeof *r->cluster);
    memcpy(r->cluster_device, e->clustering.device, r->clusters * sizeof *r->cluster_device);
    memcpy(r->cluster_start, s->start, r->clusters * sizeof *r->cluster_start);
    memcpy(r->cluster_end, s->end, r->clusters * sizeof *r->cluster_end);
    for (uint32_t i = 0; i < s->issued; i++) {
        const pt_part_arrival *a = &s->arrival[s->issue_order[i]];
        r->transfer[i] = (pt_part_transfer){a->tensor, a->from, a->to, a->start, a->end};
    }
    PT_TRY(order_clusters(r));
    return set_bound(r, e->model);
}
