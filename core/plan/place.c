/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: unit->device of every unit. Graph by graph, bodies before the graph around them, since what the host pays
 * for a control-flow node is its nested plan. Pins first; then at random where that is asked for, else by the
 * partitioner.
 */
#include "plan/build.h"
#include "plan/pins.h"
#include "plan/problem.h"

/* Trips of a Loop or Scan whose number nobody knows. */
#define EXPECTED_TRIPS 16.0
/* What the host pays per trip besides the nested plan. */
#define TRIP_US 2.0

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
        const pt_plan_answer *answer = pt_plan_answer_at(plan, unit, i);
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
    pt_arena arena;
    double *host_us;  /* by unit: what the host pays for control flow; negative: it cannot run it */
    double *least_us; /* by unit: no placement of the bodies is cheaper */
} placing;

/* ---- what is allowed ------------------------------------------------------------------------- */

static int64_t *costs_of(const pt_graph_problem *graph, uint32_t unit) {
    return &graph->cost[(size_t)unit * graph->problem.devices];
}

/* The last resort takes only what nobody else takes, or what is pinned to it. */
static void restrain_fallback(const pt_plan *plan, pt_graph_problem *graph) {
    uint32_t k = graph->problem.devices;
    if (plan->fallback == PT_NONE) return;
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        int64_t *cost = costs_of(graph, i);
        for (uint32_t d = 0; d < k && graph->pinned[i] != plan->fallback; d++)
            if (d != plan->fallback && cost[d] < PT_PART_INFINITE) cost[plan->fallback] = PT_PART_INFINITE;
    }
}

/*
 * Pins a unit. Control flow that the host runs stays there when the pinned device does not run bodies. A device that
 * failed what is pinned to it loses the pin with the claim.
 */
static partita_status pin_units(placing *p, pt_graph_problem *graph) {
    pt_plan *plan = p->plan;
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        uint32_t device, unit = graph->first_unit + i;
        plan->units[unit].pinned = false;
        if (!pt_pins_find(p->pins, plan->units[unit].nodes[0], &device)) continue;
        uint32_t column = pt_problem_column(plan, device);
        if (costs_of(graph, i)[column] < PT_PART_INFINITE) {
            graph->pinned[i] = column;
            plan->units[unit].pinned = true;
            continue;
        }
        if (p->host_us[unit] >= 0) continue;
        if (device != PT_PLAN_HOST && pt_plan_answer_at(plan, unit, device)->demoted) continue;
        partita_status status = pt_plan_fail_unplaced(plan, unit);
        return pt_annotate(status, "pinned to '%s'", device == PT_PLAN_HOST ? "(host)" : plan->devices[device]->name);
    }
    return PARTITA_OK;
}

/* ---- at random ------------------------------------------------------------------------------- */

/* Of a unit, whatever became of the others: what a demotion leaves alone stays where it is. */
static uint64_t random_of(uint64_t seed, uint32_t unit) {
    uint64_t z = seed * UINT64_C(0xd1342543de82ef95) + (unit + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static partita_status place_random(placing *p, const pt_graph_problem *graph) {
    uint32_t k = graph->problem.devices;
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        uint32_t willing[PT_PART_MAX_DEVICES], count = 0, unit = graph->first_unit + i;
        for (uint32_t d = 0; d < k; d++) {
            bool allowed = graph->pinned[i] == PT_NONE || graph->pinned[i] == d;
            if (allowed && costs_of(graph, i)[d] < PT_PART_INFINITE) willing[count++] = d;
        }
        if (count == 0) return pt_plan_fail_unplaced(p->plan, unit);
        uint32_t device = willing[random_of(p->request->seed, unit) % count];
        p->plan->units[unit].device = pt_problem_device(p->plan, device);
    }
    return PARTITA_OK;
}

/* A unit that is computed: not a piece of control flow that a device runs as a whole. */
static bool computed(const pt_plan *plan, uint32_t unit) {
    const pt_model *model = plan->model;
    pt_id graph = plan->units[unit].graph;
    while (model->graphs.data[graph].parent != PT_NONE) {
        pt_id parent = model->graphs.data[graph].parent;
        if (pt_plan_node_device(plan, parent) != PT_PLAN_HOST) return false;
        graph = model->nodes.data[parent].graph;
    }
    return true;
}

/* The first unit, of the main graph or of a body, that the device takes from one that keeps others; PT_NONE. */
static uint32_t find_gift(const pt_plan *plan, uint32_t device, bool of_body, const uint32_t *load) {
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        const pt_plan_unit *unit = &plan->units[i];
        if (unit->device == PT_PLAN_HOST || unit->pinned || (unit->graph != 0) != of_body || !computed(plan, i))
            continue;
        if (pt_plan_answer_at(plan, i, device)->can == PTP_YES && (of_body || load[unit->device] > 1)) return i;
    }
    return PT_NONE;
}

/* A willing device that got nothing gets one unit; of the main graph where possible, since a branch may never be run.
 */
static void give_to_idle(pt_plan *plan) {
    for (uint32_t d = 0; d < plan->device_count; d++) {
        uint32_t load[PT_PART_MAX_DEVICES] = {0};
        if (d == plan->fallback) continue;
        for (uint32_t i = 0; i < plan->graphs[0].unit_count; i++)
            if (plan->units[i].device != PT_PLAN_HOST) load[plan->units[i].device]++;
        if (load[d]) continue;
        uint32_t gift = find_gift(plan, d, false, load);
        if (gift == PT_NONE) gift = find_gift(plan, d, true, load);
        if (gift != PT_NONE) plan->units[gift].device = d;
    }
}

/* ---- by cost --------------------------------------------------------------------------------- */

static partita_status place_by_cost(placing *p, const pt_graph_problem *graph) {
    pt_part_result result = {0};
    partita_status status = pt_part_plan(&graph->problem, &result);
    if (status == PARTITA_UNPLACED) {
        for (uint32_t i = 0; i < graph->problem.units; i++) {
            bool taken = false;
            for (uint32_t d = 0; d < graph->problem.devices; d++) taken |= costs_of(graph, i)[d] < PT_PART_INFINITE;
            if (!taken) status = pt_plan_fail_unplaced(p->plan, graph->first_unit + i);
            if (!taken) break;
        }
    }
    bool free = false;
    for (uint32_t i = 0; status == PARTITA_OK && i < graph->problem.units; i++) {
        p->plan->units[graph->first_unit + i].device = pt_problem_device(p->plan, result.device[i]);
        free |= graph->pinned[i] == PT_NONE;
    }
    if (status == PARTITA_OK && graph->graph == 0 && free)
        p->plan->candidate = pt_part_candidate_name(result.candidate);
    pt_part_result_deinit(&result);
    return status;
}

/* Value of a placed graph, and the bound of all its placements. */
typedef struct graph_value {
    double us, least_us;
} graph_value;

static partita_status value_graph(placing *p, pt_graph_problem *graph, graph_value *out_value) {
    pt_plan *plan = p->plan;
    uint32_t units = graph->problem.units;
    pt_part_result result = {0};
    *out_value = (graph_value){0, 0};
    if (!units) return PARTITA_OK; /* a body may only hand values on */
    uint32_t *device = pt_arena_array(&p->arena, units + 1, sizeof(*device));
    if (!device) return PT_OUT_OF_MEMORY();
    bool nested = false;
    for (uint32_t i = 0; i < units; i++) {
        device[i] = pt_problem_column(plan, plan->units[graph->first_unit + i].device);
        nested |= p->host_us[graph->first_unit + i] >= 0;
    }
    PT_TRY(pt_part_evaluate(&graph->problem, device, NULL, &result));
    out_value->us = pt_ps_to_us(result.value.latency);
    if (nested) { /* again, with what its bodies cost at least */
        pt_part_result_deinit(&result);
        for (uint32_t i = 0; i < units; i++)
            if (p->host_us[graph->first_unit + i] >= 0)
                costs_of(graph, i)[plan->device_count] = pt_us_to_ps(p->least_us[graph->first_unit + i]);
        PT_TRY(pt_part_evaluate(&graph->problem, device, NULL, &result));
    }
    out_value->least_us = pt_ps_to_us(result.lower_bound);
    pt_part_result_deinit(&result);
    return PARTITA_OK;
}

static double expected_trips(const pt_plan *plan, const pt_node *node) {
    if (pt_str_is(node->op, "If")) return 1;
    if (pt_str_is(node->op, "Loop") && node->input_count && node->inputs[0] != PT_NONE) {
        const pt_value *trips = &plan->model->values.data[node->inputs[0]];
        int64_t known = trips->small && trips->small_count ? pt_dim_evaluate(trips->small[0], plan->symbol_values) : -1;
        if (known >= 0 && known < 1 << 20) return (double)known;
    }
    return EXPECTED_TRIPS;
}

double pt_plan_host_price(const pt_plan *plan, const pt_node *node, double us) {
    return (us + TRIP_US) * expected_trips(plan, node);
}

static partita_status place_graph(placing *p, pt_id id) {
    pt_graph_problem graph;
    graph_value value;
    const pt_model *model = p->plan->model;
    PT_TRY(pt_graph_problem_make(p->plan, &p->links, id, p->host_us, &p->arena, &graph));
    PT_TRY(pin_units(p, &graph));
    restrain_fallback(p->plan, &graph);
    if (graph.problem.units && p->request->random)
        PT_TRY(place_random(p, &graph));
    else if (graph.problem.units)
        PT_TRY(place_by_cost(p, &graph));
    PT_TRY(value_graph(p, &graph, &value));
    pt_id parent = model->graphs.data[id].parent;
    if (parent == PT_NONE) {
        p->plan->lower_bound_us = value.least_us;
        return PARTITA_OK;
    }
    /* Branches of an If exclude each other: the dearest counts. Other nodes have one body. */
    const pt_node *node = &model->nodes.data[parent];
    double *us = &p->host_us[p->plan->node_unit[parent]], *least = &p->least_us[p->plan->node_unit[parent]];
    *us = PT_MAX(*us, pt_plan_host_price(p->plan, node, value.us));
    *least = PT_MAX(*least, pt_plan_host_price(p->plan, node, value.least_us));
    return PARTITA_OK;
}

/* A body that fits nowhere closes its node to the host: the node must then go to a device as a whole. When it cannot,
 * the body's cause is the one to tell. */
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
    placing p = {.plan = plan, .request = request};
    partita_status status = PARTITA_OK;
    pt_id *graphs;
    uint32_t count;
    p.host_us = pt_arena_array(&p.arena, plan->unit_count + 1, sizeof(double));
    p.least_us = pt_arena_array(&p.arena, plan->unit_count + 1, sizeof(double));
    if (!p.host_us || !p.least_us) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        plan->units[i].device = PT_PLAN_HOST;
        p.host_us[i] = -1;
    }
    plan->candidate = request->random ? "random" : "given";
    PT_CHECK(pt_pins_create(plan, request, &p.pins));
    PT_CHECK(pt_links_make(plan, request->max_memory, &p.arena, &p.links));
    PT_CHECK(pt_plan_graphs_inside_out(plan, &p.arena, &graphs, &count));
    PT_CHECK(place_all(&p, graphs, count));
    if (request->random) give_to_idle(plan);
out:
    pt_pins_destroy(p.pins);
    pt_arena_deinit(&p.arena);
    return status;
}
