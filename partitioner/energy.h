/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The additive cost that cuts minimise, in the weights under which it's asked for candidates.
 */
#ifndef PT_PARTITIONER_ENERGY_H
#define PT_PARTITIONER_ENERGY_H

#include "partitioner/model.h"

#define PT_PART_ONE 1024 /* a weight of 1 */

typedef struct pt_part_energy {
    const pt_part_model *model;
    int64_t price_weight;       /* of transfers, in 1/PT_PART_ONE */
    const int64_t *cost_weight; /* NULL or [devices]: of units on a device, in 1/PT_PART_ONE */
    bool launch;                /* every crossing pays the target's launch */
} pt_part_energy;

/* value * weight / PT_PART_ONE, rounded up: rounding up keeps the triangle inequality. */
static inline int64_t pt_part_weigh(int64_t value, int64_t weight) {
    return value / PT_PART_ONE * weight + (value % PT_PART_ONE * weight + PT_PART_ONE - 1) / PT_PART_ONE;
}

/* What unit costs are; infinity stays. */
static inline int64_t pt_part_energy_cost(const pt_part_energy *e, uint32_t node, uint32_t device) {
    int64_t cost = pt_part_node_cost(e->model, node, device);
    if (!e->cost_weight || cost >= PT_PART_INFINITE) return cost;
    return pt_part_weigh(cost, e->cost_weight[device]);
}

/* What it costs that tensor `t` of the model travels. */
static inline int64_t pt_part_energy_price(const pt_part_energy *e, uint32_t t, uint32_t from, uint32_t to) {
    if (from == to) return 0;
    int64_t tau = pt_part_tau(e->model, e->model->origin[t], from, to);
    if (e->price_weight != PT_PART_ONE) tau = pt_part_weigh(tau, e->price_weight);
    return tau + (e->launch ? e->model->launch[to] : 0);
}

/* Where tensor `t` starts under the labels of the nodes. */
static inline uint32_t pt_part_home(const pt_part_model *m, uint32_t t, const uint32_t *label) {
    return m->producer[t] == PT_NONE ? m->host : label[m->producer[t]];
}

/* The cost of a labelling; infinite when a node is where it can't be. */
int64_t pt_part_energy_of(const pt_part_energy *e, const uint32_t *label);

#endif
