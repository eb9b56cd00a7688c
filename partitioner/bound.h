/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lower bounds, with launches and overlap: no placement is better.
 */
#ifndef PT_PARTITIONER_BOUND_H
#define PT_PARTITIONER_BOUND_H

#include "partitioner/model.h"

/* Of the latency: the longest way through the graph, each unit where it's best for the way. */
partita_status pt_part_bound_path(const pt_part_model *model, int64_t *out_bound);
/* Of the period, and of the latency too: the work shared by all resources without transfers; the dearest unit. */
partita_status pt_part_bound_load(const pt_part_model *model, int64_t *out_bound);

#endif
