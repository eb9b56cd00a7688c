/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups among the units: whole or expanded, what a device says to the pieces of one that it refused, and how a claim
 * is taken back.
 */
#include "plan/build.h"

void pt_plan_set_expanded(pt_plan *plan, uint32_t group, bool expanded) {
    pt_plan_unit *unit = &plan->units[group];
    unit->expanded = expanded;
    for (uint32_t i = 0; i < unit->node_count; i++)
        plan->node_unit[unit->nodes[i]] = expanded ? plan->node_piece[unit->nodes[i]] : group;
}

static bool takes(const pt_plan *plan, uint32_t unit, uint32_t device) {
    return pt_plan_answer_at(plan, unit, device)->can == PTP_YES;
}

void pt_plan_compose(pt_plan *plan, uint32_t group, uint32_t device) {
    const pt_plan_unit *unit = &plan->units[group];
    pt_plan_answer *whole = pt_plan_answer_at(plan, group, device);
    pt_plan_answer sum = *whole;
    if (whole->can == PTP_YES) return;
    sum.us = 0;
    sum.weight_bytes = sum.scratch_bytes = 0;
    for (uint32_t i = 0; i < unit->node_count; i++) {
        const pt_plan_answer *piece = pt_plan_answer_at(plan, plan->node_piece[unit->nodes[i]], device);
        if (piece->can != PTP_YES) return;
        sum.us += piece->us;
        sum.weight_bytes += piece->weight_bytes;
        sum.scratch_bytes = PT_MAX(sum.scratch_bytes, piece->scratch_bytes);
    }
    *whole = sum;
    whole->can = PTP_YES;
    whole->as_pieces = true;
    whole->source = "pieces";
}

static bool taken_elsewhere(const pt_plan *plan, uint32_t unit, uint32_t device) {
    for (uint32_t d = 0; d < plan->device_count; d++)
        if (d != device && takes(plan, unit, d)) return true;
    return false;
}

bool pt_plan_replaceable(const pt_plan *plan, pt_id node, uint32_t device) {
    uint32_t piece = plan->node_piece[node], group = plan->units[piece].parent;
    if (group != PT_NONE && taken_elsewhere(plan, group, device)) return true;
    if (!taken_elsewhere(plan, piece, device)) return false;
    for (uint32_t i = 0; group != PT_NONE && i < plan->units[group].node_count; i++)
        if (!taken_elsewhere(plan, plan->node_piece[plan->units[group].nodes[i]], PT_NONE)) return false;
    return true;
}

static void withdraw_unit(pt_plan *plan, uint32_t unit, uint32_t device, uint32_t reason, const char *text,
                          bool demoted) {
    pt_plan_answer *answer = pt_plan_answer_at(plan, unit, device);
    answer->can = PTP_NO;
    answer->as_pieces = false;
    answer->demoted |= demoted;
    answer->reason = (uint8_t)reason;
    answer->text = text;
}

void pt_plan_withdraw(pt_plan *plan, pt_id node, uint32_t device, uint32_t reason, const char *text, bool demoted) {
    uint32_t piece = plan->node_piece[node], group = plan->units[piece].parent;
    withdraw_unit(plan, piece, device, reason, text, demoted);
    if (group != PT_NONE) withdraw_unit(plan, group, device, reason, text, demoted);
}
