/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Greedy by priority, which is what others do, and its variants with one device before all others.
 */
#include "partitioner/candidates.h"

void pt_part_greedy(const pt_part_model *model, uint32_t first, uint32_t *out_label) {
    for (uint32_t node = 0; node < model->nodes; node++) {
        uint32_t device = first;
        for (uint32_t i = 0; device == PT_NONE || pt_part_node_cost(model, node, device) >= PT_PART_INFINITE; i++) {
            device = model->priority[i]; /* some device takes every node */
        }
        out_label[node] = device;
    }
}
