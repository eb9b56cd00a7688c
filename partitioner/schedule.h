/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From devices of units to clusters, and from clusters to a schedule. The memory is kept from one evaluation to the
 * next.
 */
#ifndef PT_PARTITIONER_SCHEDULE_H
#define PT_PARTITIONER_SCHEDULE_H

#include "partitioner/model.h"

/* Clusters with topological ids. */
typedef struct pt_part_clustering {
    const pt_part_model *model;
    pt_arena arena;
    uint32_t count;
    uint32_t *of;                  /* [units] */
    uint32_t *device;              /* [count] */
    uint32_t *depth, *root, *slot; /* [units + 1] scratch */
} pt_part_clustering;

partita_status pt_part_clustering_init(pt_part_clustering *clustering, const pt_part_model *model);
void pt_part_clustering_deinit(pt_part_clustering *clustering);
/* Connected components of units of equal device and depth, depth being the most crossings on a way to the unit. */
void pt_part_cluster_canonical(pt_part_clustering *clustering, const uint32_t *device);
/* The caller's clusters, numbered anew. Fails when one spans devices or when they form a cycle. */
partita_status pt_part_cluster_given(pt_part_clustering *clustering, const uint32_t *device, const uint32_t *cluster);

/* A tensor that becomes available on a device; with from == to it's there when the producer ends. */
typedef struct pt_part_arrival {
    uint32_t tensor, from, to;
    uint32_t first_waiter, waiters; /* clusters that need it there */
    int64_t start, end;
} pt_part_arrival;

typedef struct pt_part_event {
    int64_t key;
    uint32_t id;
} pt_part_event;

typedef struct pt_part_schedule {
    const pt_part_model *model;
    const pt_part_clustering *clustering;
    pt_arena arena;
    uint32_t arrivals, issued, events;
    pt_part_arrival *arrival;
    uint32_t *waiter;                   /* clusters, by arrival */
    uint32_t *first_arrival;            /* [clusters + 2]: of a producing cluster; cluster number `count` is the host */
    uint32_t *by_producer;              /* arrivals by producing cluster, then tensor */
    uint32_t *issue_order;              /* arrivals that travel, as issued */
    int64_t *work, *rank, *start, *end; /* [clusters]; work: launch and units */
    uint32_t *pending, *stamp;          /* [clusters + 1] */
    pt_part_event *event;               /* heap of what will happen */
    pt_part_event *ready;               /* heaps of ready clusters, one for each resource ... */
    uint32_t *first_ready, *ready_count; /* ... [devices] from here, of so many */
    bool *busy;                          /* [devices] by resource */
    int64_t *channel_free;               /* [devices * devices] */
    int64_t *load;                       /* [devices + devices * devices]: resources, then channels */
} pt_part_schedule;

partita_status pt_part_schedule_init(pt_part_schedule *schedule, const pt_part_clustering *clustering);
void pt_part_schedule_deinit(pt_part_schedule *schedule);
/* Sets latency, period and second_load of the value for the clustering as it is now. */
void pt_part_simulate(pt_part_schedule *schedule, const uint32_t *device, pt_part_value *out_value);

#endif
