/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The additive cost of a labelling: units, and each tensor once for every device it travels to, straight from its
 * producer (a star: the transfer engine may find something cheaper, never something dearer).
 */
#include "partitioner/energy.h"

int64_t pt_part_energy_of(const pt_part_energy *e, const uint32_t *label) {
    const pt_part_model *m = e->model;
    int64_t sum = 0;
    for (uint32_t node = 0; node < m->nodes; node++) sum = pt_part_add(sum, pt_part_energy_cost(e, node, label[node]));
    for (uint32_t t = 0; t < m->tensors; t++) {
        uint32_t home = pt_part_home(m, t, label), visited = UINT32_C(1) << home;
        for (uint32_t c = m->first_consumer[t]; c < m->first_consumer[t + 1]; c++) {
            uint32_t device = label[m->consumers[c]];
            if (visited >> device & 1) continue;
            visited |= UINT32_C(1) << device;
            sum = pt_part_add(sum, pt_part_energy_price(e, t, home, device));
        }
        if (m->is_output[t] && !(visited >> m->host & 1)) {
            sum = pt_part_add(sum, pt_part_energy_price(e, t, home, m->host));
        }
    }
    return sum;
}
