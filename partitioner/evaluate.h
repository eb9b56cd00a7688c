/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One evaluator for all objectives: a placement of units to its values, and the order between values.
 */
#ifndef PT_PARTITIONER_EVALUATE_H
#define PT_PARTITIONER_EVALUATE_H

#include "partitioner/schedule.h"

typedef struct pt_part_evaluator {
    const pt_part_model *model;
    pt_part_clustering clustering;
    pt_part_schedule schedule;
    pt_arena arena;
    uint32_t *device; /* [units] of the placement that is being evaluated */
    uint64_t *kept;   /* [devices] bytes */
} pt_part_evaluator;

partita_status pt_part_evaluator_init(pt_part_evaluator *evaluator, const pt_part_model *model);
void pt_part_evaluator_deinit(pt_part_evaluator *evaluator);
/* `cluster`: NULL for the canonical ones. Leaves the clustering and the schedule for pt_part_result_fill. */
partita_status pt_part_evaluator_run(pt_part_evaluator *evaluator, const uint32_t *label, const uint32_t *cluster,
                                     pt_part_value *out_value);
/* Copies what was evaluated last into the result's arena; sets the value and the bound. */
partita_status pt_part_result_fill(pt_part_result *result, const pt_part_evaluator *evaluator,
                                   const pt_part_value *value);

#endif
