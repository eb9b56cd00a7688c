/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting operations: one function for each family of the rows.
 */
#ifndef PT_OP_FLOPS_H
#define PT_OP_FLOPS_H

#include "op/schema.h"

#define ROW_OP_IN(domain, name, since, until, in_min, in_max, out_min, out_max, kind, function, count, attributes)     \
    uint64_t pt_op_flops_##count(const pt_model *model, const pt_node *node, const int64_t *symbol_values);
#include "rows/operators.inc"
/* Of operator sets alone. */
uint64_t pt_op_flops_packed_attention(const pt_model *model, const pt_node *node, const int64_t *symbol_values);

#endif
