/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random problems for the partitioner's tests: DAGs with shared tensors, outputs and host inputs, random prices.
 */
#ifndef PT_TESTS_PARTITIONER_RANDOM_H
#define PT_TESTS_PARTITIONER_RANDOM_H

#include "partitioner/partitioner.h"

typedef struct random_problem {
    pt_part_problem p;
    pt_arena arena;
    int64_t *cost, *latency, *per_kib, *launch;
    uint32_t *pinned, *group, *resource, *channel, *producer, *first, *consumers;
    uint64_t *bytes, *unit_bytes, *capacity;
    uint8_t *is_output;
} random_problem;

/* What is in the problem besides units and edges. */
enum {
    WITH_INFINITE = 1, /* a quarter of the costs are infinite */
    WITH_PINS = 2,     /* some units are pinned, some are grouped */
    WITH_LAUNCH = 4,
    WITH_RESOURCES = 8, /* devices share resources, channels, memory */
    ODD_PRICES = 16,    /* independent for each pair and direction, so that routes may be cheaper than links, which have
                           two ways each */
    CHEAP_LINKS = 32,
    DEAR_LINKS = 64,
};

uint64_t random_next(uint64_t *state);
/* From 0 to n - 1. */
uint32_t random_below(uint64_t *state, uint32_t n);
random_problem *random_create(uint64_t seed, uint32_t units, uint32_t devices, unsigned what);
void random_destroy(random_problem *problem);

#endif
