/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantised groups as operators on integers. A copy of a block, in which a group [DequantizeLinear... -> operator ->
 * QuantizeLinear] is the operator's QLinear form, with the values between retyped to what they hold then. The claim and
 * the compile both look at it, so a group costs what it will run. What a group becomes, and what it doesn't, is what
 * onnxruntime does with it, bit by bit where integers decide.
 */
#ifndef CPU_PROGRAM_GROUPS_H
#define CPU_PROGRAM_GROUPS_H

#include "cpu/kernels/kernel.h"

typedef struct cpu_groups cpu_groups;

/* Looks at `count` units of the block; those that are no groups or have no other form stay as they are. `compile`: has
 * the constants that the block doesn't show; NULL at a claim, which takes them for what they should be. */
partita_status cpu_groups_create(const ptp_host *host, const ptp_block *block, const uint32_t *units, uint32_t count,
                                 const ptp_compile *compile, cpu_groups **out_groups);
void cpu_groups_destroy(cpu_groups *groups);
const ptp_block *cpu_groups_block(const cpu_groups *groups);
/* Nodes that stand for units[index]; 0 when the unit stays as it is. */
uint32_t cpu_groups_rows(const cpu_groups *groups, uint32_t index, const ptp_node_row **out_rows);
/* Whether units[index] has another form, and every node of it a kernel. */
bool cpu_groups_fit(const cpu_groups *groups, uint32_t index, uint32_t level, uint32_t precision);
/* The unit stays as it is. */
void cpu_groups_drop(cpu_groups *groups, uint32_t index);
/* Puts the new nodes where their groups end, in graph 0 of the copy. */
partita_status cpu_groups_apply(cpu_groups *groups);
/* After apply: the row in the original block of a node, a group's being its last operator. */
uint32_t cpu_groups_origin(const cpu_groups *groups, uint32_t row);

/* ---- for the rules, groups_rules.c ---- */

/* What a rule makes. Refs of rows are into the copy; `failed` when there was no memory. */
typedef struct cpu_group {
    cpu_groups *groups;
    const ptp_block *block; /* the original */
    const ptp_compile *compile;
    uint32_t unit;
    ptp_ref nodes;
    uint32_t anchor; /* row of the last operator */
} cpu_group;
bool cpu_group_rewrite(cpu_group *group);

/* The node `like` under another name, on these values. */
void cpu_group_emit(cpu_group *group, const ptp_node_row *like, const char *op, const char *domain,
                    const uint32_t *inputs, uint32_t input_count, uint32_t output);
/* The last emitted node gets one attribute more. */
void cpu_group_attribute(cpu_group *group, const char *name, int64_t number);
/* The value holds elements of this type. */
void cpu_group_retype(cpu_group *group, uint32_t value, partita_dtype dtype);

#endif
