/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placements that are made unit by unit, without a cut. All label nodes.
 */
#ifndef PT_PARTITIONER_CANDIDATES_H
#define PT_PARTITIONER_CANDIDATES_H

#include "partitioner/model.h"

/* `first` (PT_NONE: none) wherever it can, otherwise the first device in priority order. */
void pt_part_greedy(const pt_part_model *model, uint32_t first, uint32_t *out_label);
/* Units by decreasing rank, each where it finishes first. */
partita_status pt_part_heft(const pt_part_model *model, uint32_t *out_label);

#endif
