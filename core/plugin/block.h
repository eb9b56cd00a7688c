/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the relocatable blocks of the ABI (ptp_block) out of a model: the whole model with its units for asking, or a
 * part for offering and compiling.
 */
#ifndef PT_PLUGIN_BLOCK_H
#define PT_PLUGIN_BLOCK_H

#include "graph/model.h"
#include <partita/plugin.h>

/* What a unit is, for the block's table of units. */
typedef struct pt_block_unit {
    uint32_t kind; /* PTP_UNIT_* */
    pt_id graph;
    const pt_id *nodes;
    uint32_t node_count;
    uint32_t parent;
} pt_block_unit;

typedef struct pt_block {
    ptp_block *data;           /* one piece of memory */
    pt_id *values;             /* model's value of each row of values; PT_NONE: a tensor of an attribute */
    pt_id *nodes;              /* model's node of each row of nodes */
    uint32_t *value_rows;      /* row of each of the model's values; PT_NONE */
    pt_id *weights;            /* value of each weight; PT_NONE: a tensor of an attribute */
    const pt_tensor **tensors; /* tensor of each weight, borrowed from the model */
    uint32_t weight_count;
} pt_block;

/* The whole model with all bodies. `symbol_values`: nominal sizes, evaluated (pt_symbols_evaluate). */
partita_status pt_block_create_model(const pt_model *model, const int64_t *symbol_values, const pt_block_unit *units,
                                     uint32_t unit_count, pt_block **out_block);
/* The nodes, in this order, as graph 0 with these inputs and outputs as ports; bodies of control-flow nodes come along.
 * Constants that the nodes use become weights (small ones have their bytes in `data` too), not inputs. */
partita_status pt_block_create_part(const pt_model *model, const int64_t *symbol_values, const pt_id *nodes,
                                    uint32_t node_count, const pt_id *inputs, uint32_t input_count,
                                    const pt_id *outputs, uint32_t output_count, pt_block **out_block);
/* As pt_block_create_part, and the block tells of units: groups among the nodes that the device took whole. */
partita_status pt_block_create_grouped_part(const pt_model *model, const int64_t *symbol_values, const pt_id *nodes,
                                            uint32_t node_count, const pt_id *inputs, uint32_t input_count,
                                            const pt_id *outputs, uint32_t output_count, const pt_block_unit *units,
                                            uint32_t unit_count, pt_block **out_block);
void pt_block_destroy(pt_block *block);

#endif
