/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control flow that the host runs: what If, Loop, Scan and SequenceMap share.
 */
#ifndef PT_RUN_CONTROL_H
#define PT_RUN_CONTROL_H

#include "run/run.h"
#include "run/value_parts.h"

/* One execution of one control-flow node. Values are references held until the node is done. */
typedef struct pt_control {
    pt_frame *frame;
    const pt_node *node;
    const char *name;       /* of the node, for messages */
    partita_value **inputs; /* NULL: absent */
    partita_value **outputs;
} pt_control;

/* A list of values that are held. */
typedef struct pt_value_list {
    PT_ARRAY(partita_value *) items;
} pt_value_list;

/* The body named by a graph attribute; PT_NONE. */
pt_id pt_control_body(const pt_control *control, const char *attribute);
/* Takes over the reference, when this fails too. */
partita_status pt_value_list_take(pt_value_list *list, partita_value *value);
void pt_value_list_clear(pt_value_list *list);
/* Releases what is in place and takes over `value`. */
void pt_value_replace(partita_value **place, partita_value *value);
/*
 * Stacks the list along a new axis, see pt_value_stack; where it is empty, `like` gives the dims, those that are known
 * by now as numbers.
 */
partita_status pt_control_stack(const pt_control *control, const pt_value_list *list, uint64_t length, uint32_t axis,
                                bool reverse, const pt_type *like, partita_value **out_value);

partita_status pt_control_if(pt_control *control);
partita_status pt_control_loop(pt_control *control);
partita_status pt_control_scan(pt_control *control);
partita_status pt_control_sequence_map(pt_control *control);

#endif
