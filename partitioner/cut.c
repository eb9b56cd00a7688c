/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which moves are made, from which starts: one exact cut when at most two devices take anything; otherwise expansions
 * until they gain little, then exchanges of pairs.
 */
#include "partitioner/cut.h"

enum {
    MOST_ROUNDS = 8,
    SMALL = 1024,      /* nodes * devices up to which several starts and rounds are cheap */
    MOST_SWEEPS = 3,   /* more expansion sweeps gain next to nothing */
    LEAST_GAIN = 1000, /* a sweep that gains less than one part in this is the last */
};

/* `first`: wherever it can be (PT_NONE: nowhere in particular), the rest where the unit alone is cheapest. */
static void start_labels(const pt_part_energy *e, uint32_t first, uint32_t *label) {
    const pt_part_model *m = e->model;
    for (uint32_t node = 0; node < m->nodes; node++) {
        label[node] = 0;
        for (uint32_t d = 1; d < m->devices; d++) {
            if (pt_part_energy_cost(e, node, d) < pt_part_energy_cost(e, node, label[node])) label[node] = d;
        }
        if (first != PT_NONE && pt_part_node_cost(m, node, first) < PT_PART_INFINITE) label[node] = first;
    }
}

static partita_status expand_all(pt_part_cutter *cutter, uint32_t usable) {
    for (uint32_t sweep = 0; sweep < MOST_SWEEPS; sweep++) {
        int64_t before = cutter->value;
        for (uint32_t d = 0; d < cutter->energy->model->devices; d++) {
            if (usable >> d & 1) PT_TRY(pt_part_move_expand(cutter, d));
        }
        if (before - cutter->value <= before / LEAST_GAIN) break;
    }
    return PARTITA_OK;
}

/* All pairs of the devices in `first` with those in `second`. */
static partita_status exchange(pt_part_cutter *cutter, uint32_t first, uint32_t second) {
    for (uint32_t a = 0; a < cutter->energy->model->devices; a++) {
        for (uint32_t b = 0; b < cutter->energy->model->devices; b++) {
            bool twice = first >> b & second >> a & 1;
            if (a == b || (twice && b < a)) continue;
            if (first >> a & second >> b & 1) PT_TRY(pt_part_move_pair(cutter, a, b));
        }
    }
    return PARTITA_OK;
}

static partita_status improve(pt_part_cutter *cutter, uint32_t usable, bool small) {
    for (uint32_t round = 0; round < (small ? MOST_ROUNDS : 1); round++) {
        int64_t before = cutter->value;
        PT_TRY(expand_all(cutter, usable));
        PT_TRY(exchange(cutter, usable, usable));
        if (cutter->value == before) break;
    }
    return PARTITA_OK;
}

/* True when at most two devices take anything: then one pair move is the optimum. */
static bool is_pair(uint32_t usable, uint32_t *out_a, uint32_t *out_b) {
    uint32_t found = 0, pair[2] = {0, 0};
    for (uint32_t d = 0; d < PT_PART_MAX_DEVICES; d++) {
        if (!(usable >> d & 1)) continue;
        if (found == 2) return false;
        pair[found++] = d;
    }
    *out_a = pair[0];
    *out_b = found == 2 ? pair[1] : pair[0];
    return true;
}

partita_status pt_part_cut(const pt_part_energy *energy, uint32_t *out_label) {
    const pt_part_model *m = energy->model;
    pt_part_cutter cutter;
    partita_status status;
    uint32_t a, b;
    PT_CHECK(pt_part_cutter_init(&cutter, energy));
    start_labels(energy, PT_NONE, out_label);
    pt_part_cutter_start(&cutter, out_label);
    if (is_pair(m->usable, &a, &b)) {
        if (a != b) PT_CHECK(pt_part_move_pair(&cutter, a, b));
        memcpy(out_label, cutter.label, m->nodes * sizeof *out_label);
        goto out;
    }
    bool small = (uint64_t)m->nodes * m->devices <= SMALL;
    PT_CHECK(improve(&cutter, m->usable, small));
    memcpy(out_label, cutter.label, m->nodes * sizeof *out_label);
    int64_t best = cutter.value;
    for (uint32_t d = 0; small && d < m->devices; d++) {
        if (!(m->usable >> d & 1)) continue;
        start_labels(energy, d, cutter.trial);
        pt_part_cutter_start(&cutter, cutter.trial);
        /* What can't be on d finds its place before any move may drag everything away from d. */
        uint32_t self = UINT32_C(1) << d, others = m->usable & ~self;
        PT_CHECK(exchange(&cutter, others, others));
        PT_CHECK(exchange(&cutter, self, others));
        PT_CHECK(improve(&cutter, m->usable, small));
        if (cutter.value >= best) continue;
        best = cutter.value;
        memcpy(out_label, cutter.label, m->nodes * sizeof *out_label);
    }
out:
    pt_part_cutter_deinit(&cutter);
    return status;
}
