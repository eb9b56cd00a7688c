/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two kinds of moves share: the graph of a move, and the gadgets by which a tensor with several consumers is
 * paid once.
 */
#include "partitioner/cut.h"

partita_status pt_part_cutter_init(pt_part_cutter *cutter, const pt_part_energy *energy) {
    uint32_t nodes = energy->model->nodes;
    *cutter = (pt_part_cutter){.energy = energy};
    cutter->label = pt_arena_array(&cutter->arena, nodes, sizeof *cutter->label);
    cutter->trial = pt_arena_array(&cutter->arena, nodes, sizeof *cutter->trial);
    cutter->vertex = pt_arena_array(&cutter->arena, nodes, sizeof *cutter->vertex);
    cutter->members = pt_arena_array(&cutter->arena, nodes, sizeof *cutter->members);
    if (!cutter->label || !cutter->trial || !cutter->vertex || !cutter->members) return PT_OUT_OF_MEMORY();
    return PARTITA_OK;
}

void pt_part_cutter_deinit(pt_part_cutter *cutter) {
    if (!cutter) return;
    pt_flow_deinit(&cutter->flow);
    pt_arena_deinit(&cutter->arena);
}

void pt_part_cutter_start(pt_part_cutter *cutter, const uint32_t *label) {
    memcpy(cutter->label, label, cutter->energy->model->nodes * sizeof *label);
    cutter->value = pt_part_energy_of(cutter->energy, cutter->label);
}

void pt_part_cutter_begin(pt_part_cutter *cutter) {
    pt_flow_reset(&cutter->flow);
    memset(cutter->vertex, 0xff, cutter->energy->model->nodes * sizeof *cutter->vertex);
}

void pt_part_cutter_constant(pt_part_cutter *cutter, int64_t cost) {
    cutter->flow.constant = pt_part_add(cutter->flow.constant, cost);
}

uint32_t pt_part_cutter_members(pt_part_cutter *cutter, uint32_t t, uint32_t label) {
    const pt_part_model *m = cutter->energy->model;
    uint32_t count = 0;
    for (uint32_t c = m->first_consumer[t]; c < m->first_consumer[t + 1]; c++) {
        uint32_t node = m->consumers[c];
        if (cutter->vertex[node] == PT_NONE || (label != PT_NONE && cutter->label[node] != label)) continue;
        cutter->members[count++] = cutter->vertex[node];
    }
    return count;
}

uint32_t pt_part_cutter_fixed(const pt_part_cutter *cutter, uint32_t t) {
    const pt_part_model *m = cutter->energy->model;
    uint32_t fixed = m->is_output[t] ? UINT32_C(1) << m->host : 0;
    for (uint32_t c = m->first_consumer[t]; c < m->first_consumer[t + 1]; c++) {
        if (cutter->vertex[m->consumers[c]] == PT_NONE) fixed |= UINT32_C(1) << cutter->label[m->consumers[c]];
    }
    return fixed;
}

/* The auxiliary vertex must have label 0 as soon as one member has it. */
void pt_part_cutter_some_0(pt_part_cutter *cutter, uint32_t count, int64_t cost, uint32_t producer,
                           int64_t with_producer) {
    pt_flow *flow = &cutter->flow;
    if (count == 0 || (cost == 0 && with_producer == 0)) return;
    uint32_t v = count == 1 ? cutter->members[0] : pt_flow_add(flow);
    for (uint32_t i = 0; i < count && count > 1; i++) pt_flow_arc_cost(flow, cutter->members[i], v, PT_PART_INFINITE);
    pt_flow_cost(flow, v, cost, 0);
    if (producer != PT_NONE) pt_flow_arc_cost(flow, v, producer, with_producer);
}

void pt_part_cutter_some_1(pt_part_cutter *cutter, uint32_t count, int64_t cost, uint32_t producer,
                           int64_t with_producer) {
    pt_flow *flow = &cutter->flow;
    if (count == 0 || (cost == 0 && with_producer == 0)) return;
    uint32_t v = count == 1 ? cutter->members[0] : pt_flow_add(flow);
    for (uint32_t i = 0; i < count && count > 1; i++) pt_flow_arc_cost(flow, v, cutter->members[i], PT_PART_INFINITE);
    pt_flow_cost(flow, v, 0, cost);
    if (producer != PT_NONE) pt_flow_arc_cost(flow, producer, v, with_producer);
}

partita_status pt_part_cutter_finish(pt_part_cutter *cutter, uint32_t label0, uint32_t label1) {
    PT_TRY(pt_flow_solve(&cutter->flow, &cutter->cut));
    const pt_part_model *m = cutter->energy->model;
    for (uint32_t node = 0; node < m->nodes; node++) {
        cutter->trial[node] = cutter->label[node];
        if (cutter->vertex[node] == PT_NONE) continue;
        if (pt_flow_label(&cutter->flow, cutter->vertex[node]) == 1) {
            cutter->trial[node] = label1;
        } else if (label0 != PT_NONE) {
            cutter->trial[node] = label0;
        }
    }
    int64_t value = pt_part_energy_of(cutter->energy, cutter->trial);
    if (value < cutter->value) {
        uint32_t *label = cutter->label;
        cutter->label = cutter->trial;
        cutter->trial = label;
        cutter->value = value;
    }
    return PARTITA_OK;
}
