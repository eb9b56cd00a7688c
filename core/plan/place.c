/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: unit->device of every unit. Graph by graph, bodies before the graph around them, since what the host pays for
 * a control-flow node is its nested plan. Pins first; then at random where that is asked for, else by the partitioner.
 */
#include "plan/build.h"
#include "plan/pins.h"
#include "plan/problem.h"
#include <partita/block.h>

/* Trips of a Loop or Scan whose number nobody knows. */
#define EXPECTED_TRIPS 16.0
/* What the host pays per trip besides the nested plan. */
#define TRIP_US        2.0

partita_status pt_plan_fail_unplaced(const pt_plan *plan, uint32_t unit) {
    static const char *const reasons[PARTITA_REASON_COUNT] = {
#define X(name, value, text, long_text) [value] = long_text,
        PARTITA_REASON_ROWS(X)
#undef X
    };
    const pt_plan_unit *u = &plan->units[unit];
    const pt_node *node = &plan->model->nodes.data[u->nodes[0]];
    pt_text text = {0};
    for (uint32_t i = 0; i < plan->device_count; i++) {
        const pt_plan_answer *answer = &plan->answers[(size_t)unit * plan->device_count + i];
        const char *cause = answer->text && answer->text[0] ? answer->text : reasons[answer->reason];
        pt_text_printf(&text, "%s%s: %s", i ? "; " : "", plan->devices[i]->name,
                       answer->can == PTP_YES ? "takes it, but a pin names another device" : cause);
    }
    partita_str name = pt_node_name(plan->model, u->nodes[0]);
    partita_status status = pt_fail(PARTITA_UNPLACED, "node '%.*s' (%.*s): no allowed device takes it: %s",
                                    PT_STR_ARG(name), PT_STR_ARG(node->op), text.data ? text.data : "no devices");
    pt_text_deinit(&text);
    return status;
}

typedef struct placing {
    pt_plan *plan;
    const pt_plan_request *request;
    pt_pins *pins;
    pt_links links;
    pt_arena arena;   /* links, host_us */
    double *host_us;  /* by unit; negative: the host cannot run it */
    uint64_t random;
} placing;

static pt_plan_answer *answer_at(const pt_plan *plan, uint32_t unit, uint32_t device) {
    return &plan->answers[(size_t)unit * plan->device_count + device];
}

/* ---- what is allowed ------------------------------------------------------------------------- */

/* The last resort takes only what nobody else takes. */
static void restrain_fallback(const pt_plan *plan, pt_graph_problem *graph) {
    uint32_t k = graph->problem.devices;
    if (plan->fallback == PT_NONE) return;
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        int64_t *cost = &graph->cost[(size_t)i * k];
        for (uint32_t d = 0; d < k; d++)
            if (d != plan->fallback && cost[d] < PT_PART_INFINITE) cost[plan->fallback] = PT_PART_INFINITE;
    }
}

/* Pins a unit; control flow that the host runs stays there when the pinned device does not run bodies. */
static partita_status pin_units(placing *p, pt_graph_problem *graph) {
    uint32_t k = graph->problem.devices;
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        uint32_t device, unit = graph->units[i];
        if (!pt_pins_find(p->pins, p->plan->units[unit].nodes[0], &device)) continue;
        uint32_t column = device == PT_PLAN_HOST ? p->plan->device_count : device;
        if (graph->cost[(size_t)i * k + column] < PT_PART_INFINITE) {
            graph->pinned[i] = column;
            continue;
        }
        if (p->host_us[unit] >= 0) continue;
        partita_status status = pt_plan_fail_unplaced(p->plan, unit);
        return pt_annotate(status, "pinned to '%s'", device == PT_PLAN_HOST ? "(host)" : p->plan->devices[device]->name);
    }
    return PARTITA_OK;
}

/* ---- at random ------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static partita_status place_random(placing *p, const pt_graph_problem *graph) {
    uint32_t k = graph->problem.devices;
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        uint32_t willing[PT_PART_MAX_DEVICES], count = 0;
        for (uint32_t d = 0; d < k; d++) {
            bool allowed = graph->pinned[i] == PT_NONE || graph->pinned[i] == d;
            if (allowed && graph->cost[(size_t)i * k + d] < PT_PART_INFINITE) willing[count++] = d;
        }
        if (count == 0) return pt_plan_fail_unplaced(p->plan, graph->units[i]);
        uint32_t device = willing[next_random(&p->random) % count];
        p->plan->units[graph->units[i]].device = pt_problem_device(p->plan, device);
    }
    return PARTITA_OK;
}

/* A unit that is computed: not a piece of control flow that a device runs as a whole. */
static bool computed(const pt_plan *plan, uint32_t unit) {
    const pt_model *model = plan->model;
    pt_id graph = plan->units[unit].graph;
    while (model->graphs.data[graph].parent != PT_NONE) {
        pt_id parent = model->graphs.data[graph].parent;
        if (plan->node_unit[parent] == PT_NONE || pt_plan_node_device(plan, parent) != PT_PLAN_HOST) return false;
        graph = model->nodes.data[parent].graph;
    }
    return true;
}

/* A willing device that got nothing gets one unit, of a device that keeps others; of the main graph where possible, since
 * a branch may never be run. */
static void give_to_idle(placing *p) {
    pt_plan *plan = p->plan;
    for (uint32_t d = 0; d < plan->device_count; d++) {
        uint32_t load[PT_PART_MAX_DEVICES] = {0};
        if (d == plan->fallback) continue;
        for (uint32_t i = 0; i < plan->unit_count; i++)
            if (plan->units[i].device != PT_PLAN_HOST && computed(plan, i) && plan->units[i].graph == 0)
                load[plan->units[i].device]++;
        if (load[d]) continue;
        for (int body = 0; body < 2; body++) {
            uint32_t taken = PT_NONE;
            for (uint32_t i = 0; i < plan->unit_count && taken == PT_NONE; i++) {
                const pt_plan_unit *unit = &plan->units[i];
                if (unit->device == PT_PLAN_HOST || (unit->graph == 0) == (body == 1) || !computed(plan, i)) continue;
                if (answer_at(plan, i, d)->can == PTP_YES && (body == 1 || load[unit->device] > 1)) taken = i;
            }
            if (taken == PT_NONE) continue;
            plan->units[taken].device = d;
            break;
        }
    }
}

/* ---- by cost --------------------------------------------------------------------------------- */

static partita_status place_by_cost(placing *p, const pt_graph_problem *graph) {
    pt_part_result result = {0};
    partita_status status = pt_part_plan(&graph->problem, &result);
    if (status == PARTITA_UNPLACED) {
        for (uint32_t i = 0; i < graph->problem.units; i++) {
            bool taken = false;
            for (uint32_t d = 0; d < graph->problem.devices; d++)
                taken |= graph->cost[(size_t)i * graph->problem.devices + d] < PT_PART_INFINITE;
            if (!taken) status = pt_plan_fail_unplaced(p->plan, graph->units[i]);
            if (!taken) break;
        }
    }
    if (status == PARTITA_OK) {
        for (uint32_t i = 0; i < graph->problem.units; i++)
            p->plan->units[graph->units[i]].device = pt_problem_device(p->plan, result.device[i]);
        if (graph->graph == 0) {
            p->plan->candidate = pt_part_candidate_name(result.candidate);
            p->plan->lower_bound_us = pt_ps_to_us(result.lower_bound);
        }
    }
    pt_part_result_deinit(&result);
    return status;
}

/* Latency of a placed graph, for the node around it. */
static partita_status value_graph(placing *p, const pt_graph_problem *graph, double *out_us) {
    pt_part_result result = {0};
    uint32_t *device = pt_arena_array(&p->arena, graph->problem.units + 1, sizeof(*device));
    if (!device) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        uint32_t of_plan = p->plan->units[graph->units[i]].device;
        device[i] = of_plan == PT_PLAN_HOST ? p->plan->device_count : of_plan;
    }
    PT_TRY(pt_part_evaluate(&graph->problem, device, NULL, &result));
    *out_us = pt_ps_to_us(result.value.latency);
    pt_part_result_deinit(&result);
    return PARTITA_OK;
}

double pt_plan_expected_trips(const pt_plan *plan, const pt_node *node) {
    if (pt_str_is(node->op, "If")) return 1;
    if (pt_str_is(node->op, "Loop") && node->input_count && node->inputs[0] != PT_NONE) {
        const pt_value *trips = &plan->model->values.data[node->inputs[0]];
        int64_t known = trips->small && trips->small_count ? pt_dim_evaluate(trips->small[0], plan->symbol_values) : -1;
        if (known >= 0 && known < 1 << 20) return (double)known;
    }
    return EXPECTED_TRIPS;
}

static partita_status place_graph(placing *p, pt_id id) {
    pt_graph_problem graph;
    const pt_model *model = p->plan->model;
    PT_TRY(pt_graph_problem_make(p->plan, &p->links, id, p->host_us, &p->arena, &graph));
    restrain_fallback(p->plan, &graph);
    PT_TRY(pin_units(p, &graph));
    /* a body may only hand values on */
    if (graph.problem.units && p->request->random) PT_TRY(place_random(p, &graph));
    else if (graph.problem.units) PT_TRY(place_by_cost(p, &graph));
    pt_id parent = model->graphs.data[id].parent;
    if (parent == PT_NONE) return PARTITA_OK;
    double us = 0;
    if (graph.problem.units) PT_TRY(value_graph(p, &graph, &us));
    /* Branches of an If exclude each other: the dearest counts. Other nodes have one body. */
    double *sum = &p->host_us[p->plan->node_unit[parent]];
    double price = (us + TRIP_US) * pt_plan_expected_trips(p->plan, &model->nodes.data[parent]);
    *sum = PT_MAX(*sum, price);
    return PARTITA_OK;
}

/* A body that fits nowhere closes its node to the host: the node must then go to a device as a whole. When it cannot, the
 * body's cause is the one to tell. */
static partita_status place_all(placing *p, const pt_id *graphs, uint32_t count) {
    const pt_model *model = p->plan->model;
    bool *closed = pt_arena_array(&p->arena, model->nodes.size + 1, sizeof(bool));
    partita_str cause = {0};
    if (!closed) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) {
        pt_id parent = model->graphs.data[graphs[i]].parent;
        if (parent != PT_NONE && closed[parent]) continue;
        partita_status status = place_graph(p, graphs[i]);
        if (status == PARTITA_UNPLACED && parent != PT_NONE) {
            closed[parent] = true;
            p->host_us[p->plan->node_unit[parent]] = -1;
            if (!cause.data) cause = pt_arena_str(&p->arena, pt_str(pt_last_message()));
        } else if (status != PARTITA_OK) {
            return status == PARTITA_UNPLACED && cause.data ? pt_fail_copy(status, cause.data) : status;
        }
    }
    return PARTITA_OK;
}

partita_status pt_plan_place(pt_plan *plan, const pt_plan_request *request) {
    placing p = {.plan = plan, .request = request, .random = request->seed};
    partita_status status = PARTITA_OK;
    pt_id *graphs;
    uint32_t count;
    p.host_us = pt_arena_array(&p.arena, plan->unit_count + 1, sizeof(double));
    if (!p.host_us) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        plan->units[i].device = PT_PLAN_HOST;
        p.host_us[i] = -1;
    }
    plan->candidate = request->random ? "random" : "given";
    PT_CHECK(pt_pins_create(plan, request, &p.pins));
    PT_CHECK(pt_links_make(plan, request->max_memory, &p.arena, &p.links));
    PT_CHECK(pt_plan_graphs_inside_out(plan, &p.arena, &graphs, &count));
    PT_CHECK(place_all(&p, graphs, count));
    if (request->random) give_to_idle(&p);
out:
    pt_pins_destroy(p.pins);
    pt_arena_deinit(&p.arena);
    return status;
}
