/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Minimum cut of a graph whose nodes choose between label 0 (the source's side) and label 1 (the sink's side). The
 * memory is kept from one cut to the next, since a plan solves hundreds of them.
 */
#ifndef PT_PARTITIONER_FLOW_H
#define PT_PARTITIONER_FLOW_H

#include "base/base.h"

typedef struct pt_flow_node {
    int64_t excess; /* residual from the source (> 0) or to the sink (< 0) */
    uint32_t first_arc;
    uint32_t parent;       /* arc to the parent in the tree, or one of the marks in flow.c */
    uint32_t next_active;  /* queue of active nodes; itself: the last one */
    uint32_t stamp, depth; /* depth in the tree, known to be right at the time of the stamp */
    uint8_t tree;
} pt_flow_node;

typedef struct pt_flow_arc {
    int64_t residual;
    uint32_t head, next;
} pt_flow_arc;

typedef struct pt_flow {
    PT_ARRAY(pt_flow_node) nodes;
    PT_ARRAY(pt_flow_arc) arcs; /* an arc and its reverse differ in the last bit */
    PT_ARRAY(int64_t) costs;    /* [2 * nodes]: of label 0 and 1 */
    PT_ARRAY(uint32_t) orphans;
    int64_t constant; /* what is paid whatever the labels are */
    uint32_t first_active, last_active, time;
    bool failed; /* memory was out; sticks until the reset */
} pt_flow;

void pt_flow_deinit(pt_flow *flow);
void pt_flow_reset(pt_flow *flow);
/* A new node; 0 when memory is out (then `failed` is set, and arcs to wrong nodes do no harm). */
uint32_t pt_flow_add(pt_flow *flow);
/* Adds to what the labels cost; the costs may be negative. */
void pt_flow_cost(pt_flow *flow, uint32_t node, int64_t cost0, int64_t cost1);
/* `cost` when `from` has label 0 and `to` has label 1. Not negative. */
void pt_flow_arc_cost(pt_flow *flow, uint32_t from, uint32_t to, int64_t cost);
/* The least cost. Nodes that may have either label get 0, all of them: choices one by one would be no cut. */
partita_status pt_flow_solve(pt_flow *flow, int64_t *out_cost);
uint32_t pt_flow_label(const pt_flow *flow, uint32_t node);

#endif
