/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nodes are in quantised computation [DequantizeLinear... -> operator -> QuantizeLinear...]: the one list that the
 * pass and the planner's groups share.
 */
#ifndef PT_PASS_QUANT_H
#define PT_PASS_QUANT_H

#include "graph/model.h"

typedef enum pt_quant_role {
    PT_QUANT_OPERATOR,   /* any other */
    PT_QUANT_FOLLOWER,   /* does in integers what it does in floats, behind an operator: moves, clamps, pools */
    PT_QUANT_DEQUANTIZE, /* DequantizeLinear */
    PT_QUANT_QUANTIZE,   /* QuantizeLinear */
    PT_QUANT_DYNAMIC,    /* DynamicQuantizeLinear, which is neither */
} pt_quant_role;

pt_quant_role pt_quant_role_of(const pt_node *node);

/* A follower that may stand in front of the operator too: it moves integers of one scale as it moves floats. */
bool pt_quant_is_passable(const pt_node *node);

/* Operators of a group, those that follow included. */
#define PT_QUANT_LONGEST 8

#endif
