/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partitioner: costs of a DAG on devices in, a placement out. It knows no ONNX and no plugin. Times are integers
 * in picoseconds, so that "equal to the optimum" is exact and the same input gives the same plan on every machine.
 *
 * additive    sum of unit costs, plus the price of each tensor once per device it travels to (energy.c)
 * latency     end of a deterministic list schedule of clusters and transfers (simulate.c, cluster.c)
 * period      the most loaded resource or lane: what a pipeline takes per request
 *
 * Prices are closed over routes first (routes.c): a tensor takes the cheapest way for its size. Host memory that no
 * device computes in is a device of its own, with infinite costs.
 */
#ifndef PT_PARTITIONER_H
#define PT_PARTITIONER_H

#include "base/base.h"

/* A unit that a device doesn't take; a link that doesn't exist. */
#define PT_PART_INFINITE    (INT64_C(1) << 60)
#define PT_PART_MAX_DEVICES 32

typedef enum pt_part_objective {
    PT_PART_LATENCY,
    PT_PART_THROUGHPUT, /* the least period */
    PT_PART_MEMORY,     /* the fewest bytes over the capacities, then latency */
} pt_part_objective;

/* What is to be placed. All arrays are borrowed; those that may be NULL say so. */
typedef struct pt_part_problem {
    uint32_t units;   /* in topological order: a producer comes before its consumers */
    uint32_t devices; /* 1..PT_PART_MAX_DEVICES */
    uint32_t tensors;
    uint32_t host;                  /* the device where inputs start and outputs end */
    const int64_t *cost;            /* [units * devices] ps, or PT_PART_INFINITE */
    const uint32_t *pinned;         /* NULL or [units]: the only device allowed, or PT_NONE */
    const uint32_t *group;          /* NULL or [units]: units with equal numbers < units stay together; PT_NONE: free */
    const uint64_t *unit_bytes;     /* NULL or [units]: what the unit keeps on its device */
    const uint64_t *capacity;       /* NULL or [devices]: bytes */
    const uint32_t *producer;       /* [tensors]: a unit, or PT_NONE for the host */
    const uint64_t *bytes;          /* [tensors] */
    const uint8_t *is_output;       /* NULL or [tensors]: must end on the host */
    const uint32_t *first_consumer; /* [tensors + 1]: where a tensor's consumers begin in `consumers` */
    const uint32_t *consumers;
    uint32_t lines;              /* ways of one link, the cheapest of which is taken for each size; 0: 1 */
    const int64_t *link_latency; /* [lines * devices * devices] from, to: ps, or PT_PART_INFINITE: no such way */
    const int64_t *link_per_kib; /* [lines * devices * devices] ps for each begun 1024 bytes */
    const uint32_t *channel;     /* NULL or [devices * devices] < devices^2: pairs with equal numbers share a lane */
    const int64_t *launch;       /* NULL or [devices]: ps for starting one cluster */
    const uint32_t *resource;    /* NULL or [devices] < devices: devices with equal numbers take turns */
    const uint32_t *priority;    /* NULL or [devices]: all devices, the preferred first; NULL: by index */
    pt_part_objective objective;
} pt_part_problem;

/* Where a placement came from: name, text. */
#define PT_PART_CANDIDATE_ROWS(X)                                                                                      \
    X(GREEDY, "greedy")             /* the first device in priority order */                                           \
    X(DEVICE_FIRST, "device-first") /* one device wherever it can, then as greedy */                                   \
    X(HEFT, "heft")                 /* earliest finish, one unit after the other */                                    \
    X(CUT, "cut")                   /* least additive cost */                                                          \
    X(CUT_LAUNCH, "cut-launch")     /* every crossing pays a launch too */                                             \
    X(CUT_SPREAD, "cut-spread")     /* with cheaper transfers */                                                       \
    X(CUT_GATHER, "cut-gather")     /* with dearer transfers */                                                        \
    X(CUT_FREE, "cut-free")         /* with almost free transfers */                                                   \
    X(CUT_LOAD, "cut-load")         /* units are dearer on loaded devices */                                           \
    X(GIVEN, "given")               /* by the caller */

typedef enum pt_part_candidate {
#define X(name, text) PT_PART_CANDIDATE_##name,
    PT_PART_CANDIDATE_ROWS(X)
#undef X
        PT_PART_CANDIDATE_COUNT
} pt_part_candidate;

const char *pt_part_candidate_name(pt_part_candidate candidate);

/* How good a placement is, by every model. */
typedef struct pt_part_value {
    int64_t latency, period, second_load, additive;
    uint64_t overflow; /* bytes over the capacities */
} pt_part_value;

/* True when a is better than b, strictly. */
bool pt_part_value_better(pt_part_objective objective, const pt_part_value *a, const pt_part_value *b);

/* A copy of a tensor on its way to a device. Devices that share memory pay 0 and are listed too. */
typedef struct pt_part_transfer {
    uint32_t tensor, from, to;
    int64_t start, end;
} pt_part_transfer;

/* A candidate that was tried. */
typedef struct pt_part_trial {
    pt_part_candidate candidate;
    uint32_t device; /* of DEVICE_FIRST, else PT_NONE */
    pt_part_value value;
} pt_part_trial;

/* A placement. Cluster ids are topological: every edge between clusters goes from a smaller to a larger id. */
typedef struct pt_part_result {
    uint32_t units, clusters, transfers, trials;
    uint32_t *device;           /* [units] */
    uint32_t *cluster;          /* [units] */
    uint32_t *cluster_device;   /* [clusters] */
    uint32_t *cluster_order;    /* [clusters]: ids in the order of their start */
    int64_t *cluster_start;     /* [clusters] ps, in the schedule */
    int64_t *cluster_end;       /* [clusters] */
    pt_part_transfer *transfer; /* [transfers] in the order of their issue */
    pt_part_trial *trial;       /* [trials] in the order in which they were tried */
    pt_part_value value;
    int64_t lower_bound; /* no plan has a smaller latency (or period, when the objective is throughput) */
    pt_part_candidate candidate;
    uint32_t candidate_device; /* of DEVICE_FIRST, else PT_NONE */
    pt_arena arena;            /* holds the arrays */
} pt_part_result;

/*
 * Places the units. PARTITA_UNPLACED: a unit or group has no device. PARTITA_INVALID_ARGUMENT: the problem contradicts
 * itself or its numbers are too large. Thread-safe; no state is kept.
 */
partita_status pt_part_plan(const pt_part_problem *problem, pt_part_result *out_result);
/*
 * Values a placement given by the caller: device[units], and cluster[units] or NULL for the canonical clusters.
 * Pins and groups are checked as costs are; a clustering must keep devices apart and its quotient must be acyclic.
 * The result's clusters are renumbered so that ids are topological.
 */
partita_status pt_part_evaluate(const pt_part_problem *problem, const uint32_t *device, const uint32_t *cluster,
                                pt_part_result *out_result);
void pt_part_result_deinit(pt_part_result *result);

#endif
