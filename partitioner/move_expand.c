/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The expansion move: label 0 is to stay, label 1 is to go to device a. Closed prices make a tensor with one consumer
 * exact. With more consumers "the producer stays and some consumer of a group stays" can have a price that no cut
 * expresses; it's replaced by "the producer stays", which costs as much now and at least as much after any move, so
 * that the value never rises.
 */
#include "partitioner/cut.h"

static void add_nodes(pt_part_cutter *cutter, uint32_t a) {
    const pt_part_energy *e = cutter->energy;
    for (uint32_t node = 0; node < e->model->nodes; node++) {
        int64_t here = pt_part_energy_cost(e, node, cutter->label[node]), there = pt_part_energy_cost(e, node, a);
        if (cutter->label[node] == a || there >= PT_PART_INFINITE) {
            pt_part_cutter_constant(cutter, here);
            continue;
        }
        cutter->vertex[node] = pt_flow_add(&cutter->flow);
        pt_flow_cost(&cutter->flow, cutter->vertex[node], here, there);
    }
}

/* Labels of the consumers, fixed or not, as a set. */
static uint32_t consumer_labels(const pt_part_cutter *cutter, uint32_t t) {
    const pt_part_model *m = cutter->energy->model;
    uint32_t labels = 0;
    for (uint32_t c = m->first_consumer[t]; c < m->first_consumer[t + 1]; c++) {
        labels |= UINT32_C(1) << cutter->label[m->consumers[c]];
    }
    return labels;
}

static void add_tensor_of_fixed(pt_part_cutter *cutter, uint32_t t, uint32_t home, uint32_t a) {
    const pt_part_energy *e = cutter->energy;
    uint32_t fixed = pt_part_cutter_fixed(cutter, t), labels = consumer_labels(cutter, t) | fixed;
    for (uint32_t g = 0; g < e->model->devices; g++) {
        if (fixed >> g & 1) {
            pt_part_cutter_constant(cutter, pt_part_energy_price(e, t, home, g));
        } else if (labels >> g & 1) {
            uint32_t count = pt_part_cutter_members(cutter, t, g);
            pt_part_cutter_some_0(cutter, count, pt_part_energy_price(e, t, home, g), PT_NONE, 0);
        }
    }
    if (fixed >> a & 1) return;
    uint32_t count = pt_part_cutter_members(cutter, t, PT_NONE);
    pt_part_cutter_some_1(cutter, count, pt_part_energy_price(e, t, home, a), PT_NONE, 0);
}

/* The only consumer chooses too: prices of both staying, the consumer going, the producer going. */
static void add_edge(pt_part_cutter *cutter, uint32_t t, uint32_t from, uint32_t b, uint32_t to, uint32_t g,
                     uint32_t a) {
    const pt_part_energy *e = cutter->energy;
    int64_t both_stay = pt_part_energy_price(e, t, b, g);
    int64_t consumer_goes = pt_part_energy_price(e, t, b, a), producer_goes = pt_part_energy_price(e, t, a, g);
    pt_part_cutter_constant(cutter, both_stay);
    pt_flow_cost(&cutter->flow, from, 0, producer_goes - both_stay);
    pt_flow_cost(&cutter->flow, to, 0, -producer_goes);
    pt_flow_arc_cost(&cutter->flow, from, to, consumer_goes + producer_goes - both_stay);
}

static void add_tensor_of_free(pt_part_cutter *cutter, uint32_t t, uint32_t producer, uint32_t b, uint32_t a) {
    const pt_part_energy *e = cutter->energy;
    const pt_part_model *m = e->model;
    uint32_t fixed = pt_part_cutter_fixed(cutter, t), labels = consumer_labels(cutter, t) | fixed;
    if (!fixed && m->first_consumer[t + 1] - m->first_consumer[t] == 1) {
        uint32_t consumer = m->consumers[m->first_consumer[t]];
        add_edge(cutter, t, producer, b, cutter->vertex[consumer], cutter->label[consumer], a);
        return;
    }
    for (uint32_t g = 0; g < m->devices; g++) {
        if (!(labels >> g & 1)) continue;
        int64_t stays = pt_part_energy_price(e, t, b, g), goes = pt_part_energy_price(e, t, a, g);
        if (fixed >> g & 1) {
            pt_flow_cost(&cutter->flow, producer, stays, goes);
            continue;
        }
        uint32_t count = pt_part_cutter_members(cutter, t, g);
        if (stays > goes) {
            pt_flow_cost(&cutter->flow, producer, stays - goes, 0);
            pt_part_cutter_some_0(cutter, count, goes, PT_NONE, 0);
        } else {
            pt_part_cutter_some_0(cutter, count, stays, producer, goes - stays);
        }
    }
    if (fixed >> a & 1) return;
    uint32_t count = pt_part_cutter_members(cutter, t, PT_NONE);
    pt_part_cutter_some_1(cutter, count, 0, producer, pt_part_energy_price(e, t, b, a));
}

partita_status pt_part_move_expand(pt_part_cutter *cutter, uint32_t a) {
    const pt_part_model *m = cutter->energy->model;
    pt_part_cutter_begin(cutter);
    add_nodes(cutter, a);
    for (uint32_t t = 0; t < m->tensors; t++) {
        uint32_t home = pt_part_home(m, t, cutter->label);
        uint32_t producer = m->producer[t] == PT_NONE ? PT_NONE : cutter->vertex[m->producer[t]];
        if (producer == PT_NONE) {
            add_tensor_of_fixed(cutter, t, home, a);
        } else {
            add_tensor_of_free(cutter, t, producer, home, a);
        }
    }
    return pt_part_cutter_finish(cutter, PT_NONE, a);
}
