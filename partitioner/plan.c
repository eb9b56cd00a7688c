/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The passes in their order: normalise, candidates, evaluation, the best one's clusters and schedule. Greedy and every
 * "device first" are among the candidates, so no plan is worse than those.
 */
#include "partitioner/candidates.h"
#include "partitioner/cut.h"
#include "partitioner/evaluate.h"

enum {
    LARGE = 20000,   /* nodes from which one energy has to do */
    LOAD_ROUNDS = 5, /* of multiplicative weights on loads, for throughput */
    LEAST_WEIGHT = 64,
    MOST_WEIGHT = 16 * PT_PART_ONE,
};

typedef struct planner {
    pt_part_model model;
    pt_part_evaluator evaluator;
    pt_arena arena;
    uint32_t *label, *best; /* [nodes] */
    pt_part_result *result;
} planner;

/* Evaluates p->label and keeps it when it's the best so far; the earlier one wins a tie. */
static partita_status try_candidate(planner *p, pt_part_candidate candidate, uint32_t device) {
    pt_part_result *r = p->result;
    pt_part_trial *trial = &r->trial[r->trials];
    *trial = (pt_part_trial){.candidate = candidate, .device = device};
    PT_TRY(pt_part_evaluator_run(&p->evaluator, p->label, NULL, &trial->value));
    if (r->trials++ == 0 || pt_part_value_better(p->model.problem->objective, &trial->value, &r->value)) {
        r->value = trial->value;
        r->candidate = candidate;
        r->candidate_device = device;
        uint32_t *label = p->best;
        p->best = p->label;
        p->label = label;
    }
    return PARTITA_OK;
}

static partita_status try_cut(planner *p, pt_part_candidate candidate, const pt_part_energy *energy) {
    PT_TRY(pt_part_cut(energy, p->label));
    return try_candidate(p, candidate, PT_NONE);
}

/* Weights in 1/1024: cheaper transfers spread the work over devices, dearer ones gather it. */
static const struct {
    pt_part_candidate candidate;
    int64_t price_weight;
    bool launch;
} energies[] = {
    {PT_PART_CANDIDATE_CUT_LAUNCH, PT_PART_ONE, true}, /* the one that large problems get */
    {PT_PART_CANDIDATE_CUT, PT_PART_ONE, false},       {PT_PART_CANDIDATE_CUT_SPREAD, 307, true},
    {PT_PART_CANDIDATE_CUT_GATHER, 3072, true},        {PT_PART_CANDIDATE_CUT_FREE, 51, true},
};

static partita_status try_cuts(planner *p) {
    size_t count = p->model.nodes > LARGE ? 1 : PT_COUNT_OF(energies);
    for (size_t i = 0; i < count; i++) {
        pt_part_energy energy = {&p->model, energies[i].price_weight, NULL, energies[i].launch};
        PT_TRY(try_cut(p, energies[i].candidate, &energy));
    }
    return PARTITA_OK;
}

/* Devices grow dearer in proportion to their load under the last labels. */
static void reweigh(const planner *p, const uint32_t *label, int64_t *weight) {
    const pt_part_model *m = &p->model;
    int64_t load[PT_PART_MAX_DEVICES] = {0}, most = 1;
    for (uint32_t node = 0; node < m->nodes; node++) {
        load[m->resource[label[node]]] += pt_part_node_cost(m, node, label[node]);
    }
    for (uint32_t d = 0; d < m->devices; d++) most = PT_MAX(most, load[d]);
    for (uint32_t d = 0; d < m->devices; d++) {
        /* From 1/2 for an idle device to 3/2 for the busiest. */
        int64_t share = load[m->resource[d]] / (most / PT_PART_ONE + 1);
        weight[d] = weight[d] * (PT_PART_ONE / 2 + share) / PT_PART_ONE;
        weight[d] = PT_MIN(PT_MAX(weight[d], LEAST_WEIGHT), MOST_WEIGHT);
    }
}

static partita_status try_loads(planner *p) {
    int64_t weight[PT_PART_MAX_DEVICES];
    uint32_t rounds = p->model.nodes > LARGE ? 1 : LOAD_ROUNDS;
    for (uint32_t d = 0; d < p->model.devices; d++) weight[d] = PT_PART_ONE;
    reweigh(p, p->best, weight);
    for (uint32_t round = 0; round < rounds; round++) {
        pt_part_energy energy = {&p->model, PT_PART_ONE / 2, weight, false};
        PT_TRY(pt_part_cut(&energy, p->label));
        reweigh(p, p->label, weight);
        PT_TRY(try_candidate(p, PT_PART_CANDIDATE_CUT_LOAD, PT_NONE));
    }
    return PARTITA_OK;
}

static partita_status try_all(planner *p) {
    pt_part_greedy(&p->model, PT_NONE, p->label);
    PT_TRY(try_candidate(p, PT_PART_CANDIDATE_GREEDY, PT_NONE));
    for (uint32_t d = 0; d < p->model.devices; d++) {
        if (!(p->model.usable >> d & 1)) continue;
        pt_part_greedy(&p->model, d, p->label);
        PT_TRY(try_candidate(p, PT_PART_CANDIDATE_DEVICE_FIRST, d));
    }
    PT_TRY(pt_part_heft(&p->model, p->label));
    PT_TRY(try_candidate(p, PT_PART_CANDIDATE_HEFT, PT_NONE));
    PT_TRY(try_cuts(p));
    return p->model.problem->objective == PT_PART_THROUGHPUT ? try_loads(p) : PARTITA_OK;
}

static partita_status planner_init(planner *p, const pt_part_problem *problem, pt_part_result *result) {
    *result = (pt_part_result){0};
    *p = (planner){.result = result};
    PT_TRY(pt_part_model_init(&p->model, problem));
    PT_TRY(pt_part_evaluator_init(&p->evaluator, &p->model));
    size_t trials = 1 + problem->devices + 1 + PT_COUNT_OF(energies) + LOAD_ROUNDS;
    p->label = pt_arena_array(&p->arena, p->model.nodes, sizeof *p->label);
    p->best = pt_arena_array(&p->arena, p->model.nodes, sizeof *p->best);
    result->trial = pt_arena_array(&result->arena, trials, sizeof *result->trial);
    return p->label && p->best && result->trial ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static void planner_deinit(planner *p) {
    pt_part_evaluator_deinit(&p->evaluator);
    pt_part_model_deinit(&p->model);
    pt_arena_deinit(&p->arena);
}

partita_status pt_part_plan(const pt_part_problem *problem, pt_part_result *out_result) {
    planner p;
    pt_part_value value;
    partita_status status;
    PT_CHECK(planner_init(&p, problem, out_result));
    PT_CHECK(try_all(&p));
    PT_CHECK(pt_part_evaluator_run(&p.evaluator, p.best, NULL, &value));
    PT_CHECK(pt_part_result_fill(out_result, &p.evaluator, &value));
out:
    planner_deinit(&p);
    if (status != PARTITA_OK) pt_part_result_deinit(out_result);
    return status;
}

/* Labels of nodes out of devices of units, if that's possible. */
static partita_status take_given(planner *p, const uint32_t *device) {
    const pt_part_model *m = &p->model;
    memset(p->label, 0xff, m->nodes * sizeof *p->label);
    for (uint32_t i = 0; i < m->units; i++) {
        uint32_t *label = &p->label[m->node_of[i]];
        if (device[i] >= m->devices || pt_part_node_cost(m, m->node_of[i], device[i]) >= PT_PART_INFINITE) {
            return pt_fail(PARTITA_UNPLACED, "unit %u cannot be on device %u", i, device[i]);
        }
        if (*label != PT_NONE && *label != device[i]) {
            return pt_fail(PARTITA_INVALID_ARGUMENT, "group %u is on devices %u and %u", m->problem->group[i], *label,
                           device[i]);
        }
        *label = device[i];
    }
    return PARTITA_OK;
}

partita_status pt_part_evaluate(const pt_part_problem *problem, const uint32_t *device, const uint32_t *cluster,
                                pt_part_result *out_result) {
    planner p;
    pt_part_value value;
    partita_status status;
    PT_CHECK(planner_init(&p, problem, out_result));
    PT_CHECK(take_given(&p, device));
    PT_CHECK(pt_part_evaluator_run(&p.evaluator, p.label, cluster, &value));
    PT_CHECK(pt_part_result_fill(out_result, &p.evaluator, &value));
    out_result->candidate = PT_PART_CANDIDATE_GIVEN;
    out_result->candidate_device = PT_NONE;
    out_result->trial[out_result->trials++] = (pt_part_trial){PT_PART_CANDIDATE_GIVEN, PT_NONE, value};
out:
    planner_deinit(&p);
    if (status != PARTITA_OK) pt_part_result_deinit(out_result);
    return status;
}
