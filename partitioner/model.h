/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The normalised problem that all passes work on. Units of a group are contracted to one *node*, what a pin forbids
 * costs infinity, prices are closed over routes. Nodes are what the cuts label; the schedule is made of units.
 */
#ifndef PT_PARTITIONER_MODEL_H
#define PT_PARTITIONER_MODEL_H

#include "partitioner/partitioner.h"

/* The cheapest routes are the same for all sizes up to `last_block`. */
typedef struct pt_part_routes {
    uint64_t last_block;
    const int64_t *latency, *per_block; /* [devices * devices] of the whole route */
} pt_part_routes;

typedef struct pt_part_model {
    const pt_part_problem *problem;
    pt_arena arena;
    uint32_t units, devices, host;
    /* units */
    uint32_t *node_of;       /* [units] */
    uint32_t *first_made;    /* [units + 2]: where a unit's tensors begin in `made`; unit number `units` is the host */
    uint32_t *made;          /* tensors by producer, in index order */
    uint32_t *tensor_routes; /* [problem->tensors]: index into routes */
    /* nodes */
    uint32_t nodes;
    int64_t *cost; /* [nodes * devices] */
    uint32_t tensors;
    uint32_t *origin;         /* [tensors]: tensor of the problem */
    uint32_t *producer;       /* [tensors]: node, or PT_NONE for the host */
    uint8_t *is_output;       /* [tensors] */
    uint32_t *first_consumer; /* [tensors + 1] */
    uint32_t *consumers;      /* nodes, each once, never the producer */
    /* devices */
    uint32_t usable; /* set of devices that take any node */
    const uint32_t *priority, *resource, *channel;
    const int64_t *launch;
    pt_part_routes *routes;
    uint32_t routes_count;
} pt_part_model;

partita_status pt_part_model_init(pt_part_model *model, const pt_part_problem *problem);
void pt_part_model_deinit(pt_part_model *model);

/* Closes the link prices over routes for every size that occurs; sets routes and tensor_routes. */
partita_status pt_part_close_routes(pt_part_model *model);

static inline uint64_t pt_part_blocks(uint64_t bytes) { return bytes / 1024 + (bytes % 1024 != 0); }

/* What it costs to bring tensor `t` of the problem from device to device. */
static inline int64_t pt_part_tau(const pt_part_model *model, uint32_t t, uint32_t from, uint32_t to) {
    if (from == to) return 0;
    const pt_part_routes *routes = &model->routes[model->tensor_routes[t]];
    size_t pair = (size_t)from * model->devices + to;
    return routes->latency[pair] + routes->per_block[pair] * (int64_t)pt_part_blocks(model->problem->bytes[t]);
}

static inline int64_t pt_part_node_cost(const pt_part_model *model, uint32_t node, uint32_t device) {
    return model->cost[(size_t)node * model->devices + device];
}

static inline int64_t pt_part_unit_cost(const pt_part_model *model, uint32_t unit, uint32_t device) {
    return model->problem->cost[(size_t)unit * model->devices + device];
}

static inline bool pt_part_is_output(const pt_part_problem *problem, uint32_t t) {
    return problem->is_output && problem->is_output[t];
}

/* Every use of every tensor that the unit (or the host, as number `units`) makes. */
#define PT_PART_FOR_EACH_CONSUMER(model, unit, consumer)                                                               \
    for (uint32_t j_ = (model)->first_made[unit]; j_ < (model)->first_made[(unit) + 1]; j_++)                          \
        for (uint32_t c_ = (model)->problem->first_consumer[(model)->made[j_]], consumer;                              \
             c_ < (model)->problem->first_consumer[(model)->made[j_] + 1] &&                                           \
             (consumer = (model)->problem->consumers[c_], true);                                                       \
             c_++)

/* Sums that stay at infinity once they are there. */
static inline int64_t pt_part_add(int64_t a, int64_t b) {
    return a >= PT_PART_INFINITE || b >= PT_PART_INFINITE ? PT_PART_INFINITE : a + b;
}

#endif
