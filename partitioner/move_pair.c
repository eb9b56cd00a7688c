/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair move: label 0 is device a, label 1 is device b. Exact for asymmetric, non-metric and infinite prices and
 * for shared tensors, so with two devices in all one such move is the optimum.
 */
#include "partitioner/cut.h"

static void add_nodes(pt_part_cutter *cutter, uint32_t a, uint32_t b) {
    const pt_part_energy *e = cutter->energy;
    for (uint32_t node = 0; node < e->model->nodes; node++) {
        uint32_t label = cutter->label[node];
        int64_t on_a = pt_part_energy_cost(e, node, a), on_b = pt_part_energy_cost(e, node, b);
        if ((label == a || label == b) && on_a < PT_PART_INFINITE && on_b < PT_PART_INFINITE) {
            cutter->vertex[node] = pt_flow_add(&cutter->flow);
            pt_flow_cost(&cutter->flow, cutter->vertex[node], on_a, on_b);
        } else {
            pt_part_cutter_constant(cutter, pt_part_energy_cost(e, node, label));
        }
    }
}

static void add_tensor_of_fixed(pt_part_cutter *cutter, uint32_t t, uint32_t home, uint32_t a, uint32_t b) {
    const pt_part_energy *e = cutter->energy;
    uint32_t fixed = pt_part_cutter_fixed(cutter, t), count = pt_part_cutter_members(cutter, t, PT_NONE);
    for (uint32_t d = 0; d < e->model->devices; d++) {
        if (fixed >> d & 1) pt_part_cutter_constant(cutter, pt_part_energy_price(e, t, home, d));
    }
    if (!(fixed >> a & 1)) pt_part_cutter_some_0(cutter, count, pt_part_energy_price(e, t, home, a), PT_NONE, 0);
    if (!(fixed >> b & 1)) pt_part_cutter_some_1(cutter, count, pt_part_energy_price(e, t, home, b), PT_NONE, 0);
}

static void add_tensor_of_free(pt_part_cutter *cutter, uint32_t t, uint32_t producer, uint32_t a, uint32_t b) {
    const pt_part_energy *e = cutter->energy;
    uint32_t fixed = pt_part_cutter_fixed(cutter, t), count = pt_part_cutter_members(cutter, t, PT_NONE);
    for (uint32_t d = 0; d < e->model->devices; d++) {
        if (!(fixed >> d & 1)) continue;
        pt_flow_cost(&cutter->flow, producer, pt_part_energy_price(e, t, a, d), pt_part_energy_price(e, t, b, d));
    }
    if (!(fixed >> a & 1)) pt_part_cutter_some_0(cutter, count, 0, producer, pt_part_energy_price(e, t, b, a));
    if (!(fixed >> b & 1)) pt_part_cutter_some_1(cutter, count, 0, producer, pt_part_energy_price(e, t, a, b));
}

partita_status pt_part_move_pair(pt_part_cutter *cutter, uint32_t a, uint32_t b) {
    const pt_part_model *m = cutter->energy->model;
    pt_part_cutter_begin(cutter);
    add_nodes(cutter, a, b);
    for (uint32_t t = 0; t < m->tensors; t++) {
        uint32_t producer = m->producer[t] == PT_NONE ? PT_NONE : cutter->vertex[m->producer[t]];
        if (producer == PT_NONE) {
            add_tensor_of_fixed(cutter, t, pt_part_home(m, t, cutter->label), a, b);
        } else {
            add_tensor_of_free(cutter, t, producer, a, b);
        }
    }
    return pt_part_cutter_finish(cutter, a, b);
}
