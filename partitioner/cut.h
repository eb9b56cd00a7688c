/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labellings of least additive cost by minimum cuts: one cut when two devices are in question, moves that each are
 * one cut when there are more.
 */
#ifndef PT_PARTITIONER_CUT_H
#define PT_PARTITIONER_CUT_H

#include "partitioner/energy.h"
#include "partitioner/flow.h"

/* A labelling that moves improve, and the memory that they share. */
typedef struct pt_part_cutter {
    const pt_part_energy *energy;
    pt_flow flow;
    pt_arena arena;
    uint32_t *label, *trial; /* [nodes] */
    uint32_t *vertex;        /* [nodes]: in the flow; PT_NONE: its label is fixed in this move */
    uint32_t *members;       /* [nodes]: vertices of consumers */
    int64_t value;           /* of `label` */
    int64_t cut;             /* what the last move's cut cost: not less than the value of what it proposed */
} pt_part_cutter;

partita_status pt_part_cutter_init(pt_part_cutter *cutter, const pt_part_energy *energy);
void pt_part_cutter_deinit(pt_part_cutter *cutter);
/* Starts anew from these labels. */
void pt_part_cutter_start(pt_part_cutter *cutter, const uint32_t *label);

/* Every node on a or b may go to the other: the best such labelling, exactly, whatever the prices are. */
partita_status pt_part_move_pair(pt_part_cutter *cutter, uint32_t a, uint32_t b);
/* Every node may go to a. The value never rises; the best such move is found but for some shared tensors. */
partita_status pt_part_move_expand(pt_part_cutter *cutter, uint32_t a);

/* Steps of a move: a new graph, a vertex for a node that may choose; then the cut, taken over if it's cheaper. */
void pt_part_cutter_begin(pt_part_cutter *cutter);
/* Vertices of tensor t's consumers that have the label (PT_NONE: any); their number. Fills cutter->members. */
uint32_t pt_part_cutter_members(pt_part_cutter *cutter, uint32_t t, uint32_t label);
/* Devices where a consumer of t stays whatever happens, the host's if t must end there. */
uint32_t pt_part_cutter_fixed(const pt_part_cutter *cutter, uint32_t t);
void pt_part_cutter_constant(pt_part_cutter *cutter, int64_t cost);
/*
 * If some of the first `count` members chooses label 0 (1): `cost`, and `with_producer` more if the producer's vertex
 * chooses the other label. At most one auxiliary vertex.
 */
void pt_part_cutter_some_0(pt_part_cutter *cutter, uint32_t count, int64_t cost, uint32_t producer,
                           int64_t with_producer);
void pt_part_cutter_some_1(pt_part_cutter *cutter, uint32_t count, int64_t cost, uint32_t producer,
                           int64_t with_producer);
/* Solves; nodes with a vertex get label0 (PT_NONE: the one they have) or label1. */
partita_status pt_part_cutter_finish(pt_part_cutter *cutter, uint32_t label0, uint32_t label1);

/* The best labelling that moves find under this energy. */
partita_status pt_part_cut(const pt_part_energy *energy, uint32_t *out_label);

#endif
