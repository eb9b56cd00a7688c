/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The definitions of the partitioner a second time, written for clearness and not for speed, straight on the problem:
 * prices, additive cost, canonical clusters, schedule, enumeration. Shares no code with partitioner/.
 */
#ifndef PT_TESTS_PARTITIONER_TRUTH_H
#define PT_TESTS_PARTITIONER_TRUTH_H

#include "partitioner/partitioner.h"

typedef struct truth {
    const pt_part_problem *p;
    int64_t *tau; /* [tensors][devices][devices], closed */
} truth;

truth truth_create(const pt_part_problem *p);
void truth_destroy(truth *t);
bool truth_feasible(const truth *t, const uint32_t *device);
int64_t truth_additive(const truth *t, const uint32_t *device);
/* Canonical clusters, numbered by (depth, first unit); their number. */
uint32_t truth_clusters(const truth *t, const uint32_t *device, uint32_t *cluster);
/* Connected components of equal devices. */
uint32_t truth_components(const truth *t, const uint32_t *device, uint32_t *component);
bool truth_acyclic(const truth *t, const uint32_t *cluster, uint32_t clusters);
void truth_simulate(const truth *t, const uint32_t *device, const uint32_t *cluster, uint32_t clusters,
                    int64_t *out_latency, int64_t *out_period);
/* The next assignment in counting order; false after the last. */
bool truth_next(const truth *t, uint32_t *device);
/* Every unit on the first device that takes it: `first` (or PT_NONE), then by index. */
void truth_greedy(const truth *t, uint32_t first, uint32_t *device);

#endif
