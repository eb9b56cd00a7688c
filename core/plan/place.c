/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: unit->device of every unit. Graph by graph, bodies before the graph around them, since what the host pays
 * for a control-flow node is its nested plan. Pins first; then at random where that is asked for, else by the
 * partitioner.
 */
#include "plan/place.h"
#include "plan/pins.h"

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
    partita_str name = pt_node_name(plan->model, u->nodes[0]), op = node->op;
    if (node->source_count) op = plan->model->sources.data[node->sources[0]].op;
    bool whole = pt_str_equal(op, node->op); /* else of a body, in whose place nobody took the source node either */
    partita_status status =
        pt_fail(PARTITA_UNPLACED, "node '%.*s' (%.*s): no allowed device takes %s%.*s%s: %s", PT_STR_ARG(name),
                PT_STR_ARG(op), whole ? "" : "it, nor ", PT_STR_ARG(whole ? pt_str("it") : node->op),
                whole ? "" : " of its body", text.data ? text.data : "no devices");
    pt_text_deinit(&text);
    return status;
}

/* ---- what is allowed ------------------------------------------------------------------------- */

/* The last resort takes only what nobody else takes, or what is pinned to it. */
static void restrain_fallback(const pt_plan *plan, pt_graph_problem *graph) {
    uint32_t k = graph->problem.devices;
    if (plan->fallback == PT_NONE) return;
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        int64_t *cost = pt_problem_costs(graph, i);
        for (uint32_t d = 0; d < k && graph->pinned[i] != plan->fallback; d++)
            if (d != plan->fallback && cost[d] < PT_PART_INFINITE) cost[plan->fallback] = PT_PART_INFINITE;
    }
}

/* The device that the nodes of a unit are pinned to; PT_PLAN_FREE without pins. False where two pins differ. */
static bool pin_of_unit(const pt_placing *p, uint32_t unit, uint32_t *out_device) {
    const pt_plan_unit *u = &p->plan->units[unit];
    *out_device = PT_PLAN_FREE;
    for (uint32_t i = 0; i < u->node_count; i++) {
        uint32_t pin = p->pins[u->nodes[i]];
        if (pin == PT_PLAN_FREE || pin == *out_device) continue;
        if (*out_device != PT_PLAN_FREE) return false;
        *out_device = pin;
    }
    return true;
}

/*
 * Pins a unit. Control flow that the host runs stays there when the pinned device does not run bodies. A device that
 * failed what is pinned to it loses the pin with the claim.
 */
static partita_status pin_units(pt_placing *p, pt_graph_problem *graph) {
    pt_plan *plan = p->plan;
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        uint32_t device, unit = graph->units[i];
        plan->units[unit].pinned = false;
        if (!pin_of_unit(p, unit, &device) || device == PT_PLAN_FREE) continue;
        uint32_t column = pt_problem_column(plan, device);
        if (pt_problem_costs(graph, i)[column] < PT_PART_INFINITE) {
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

partita_status pt_placing_problem(pt_placing *p, pt_id graph, pt_arena *arena, pt_graph_problem *out_problem) {
    PT_TRY(pt_graph_problem_make(p->plan, &p->links, graph, p->host_us, arena, out_problem));
    PT_TRY(pin_units(p, out_problem));
    restrain_fallback(p->plan, out_problem);
    return PARTITA_OK;
}

/* True when a device takes the unit; the last resort counts where `last` says so. */
static bool has_taker(const pt_plan *plan, uint32_t unit, bool last) {
    for (uint32_t d = 0; d < plan->device_count; d++)
        if (pt_plan_answer_at(plan, unit, d)->can == PTP_YES && (last || d != plan->fallback)) return true;
    return false;
}

static bool may_be_whole(const pt_placing *p, uint32_t group) {
    const pt_plan *plan = p->plan;
    uint32_t device;
    if (!pin_of_unit(p, group, &device)) return false;
    if (device == PT_PLAN_HOST) return false;
    if (device != PT_PLAN_FREE) return pt_plan_answer_at(plan, group, device)->can == PTP_YES;
    if (has_taker(plan, group, false)) return true;
    /* the last resort takes a group whole only when nobody else takes any of it */
    for (uint32_t i = 0; i < plan->units[group].node_count; i++)
        if (has_taker(plan, plan->node_piece[plan->units[group].nodes[i]], false)) return false;
    return has_taker(plan, group, true);
}

static bool may_be_expanded(const pt_placing *p, uint32_t group, bool whole) {
    const pt_plan_unit *unit = &p->plan->units[group];
    bool last = !whole || !has_taker(p->plan, group, false);
    for (uint32_t i = 0; i < unit->node_count; i++) {
        uint32_t piece = p->plan->node_piece[unit->nodes[i]], pin = p->pins[unit->nodes[i]];
        if (!has_taker(p->plan, piece, last)) return false;
        bool pinned = pin != PT_PLAN_FREE && pin != PT_PLAN_HOST;
        if (pinned && pt_plan_answer_at(p->plan, piece, pin)->can != PTP_YES) return false;
    }
    return true;
}

/* Of a unit, whatever became of the others: what a demotion leaves alone stays where it is. */
static uint64_t random_of(uint64_t seed, uint32_t unit) {
    return pt_mix(seed * UINT64_C(0xd1342543de82ef95) + (unit + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15));
}

/* Whole wherever that is possible, or by chance; what is not possible in either way is told of its pieces. */
static void start_groups(pt_placing *p, pt_id graph) {
    const pt_plan_graph *g = &p->plan->graphs[graph];
    for (uint32_t i = g->first_unit; p->plan->has_groups && i < g->first_unit + g->unit_count; i++) {
        if (p->plan->units[i].kind != PTP_UNIT_GROUP) continue;
        bool whole = may_be_whole(p, i);
        p->ways[i] = (uint8_t)((whole ? PT_WAY_WHOLE : 0) | (may_be_expanded(p, i, whole) ? PT_WAY_EXPANDED : 0));
        bool torn = p->request->random && (p->ways[i] & PT_WAY_EXPANDED) && random_of(p->request->seed, i) >> 63;
        pt_plan_set_expanded(p->plan, i, !whole || torn);
    }
}

/* ---- at random ------------------------------------------------------------------------------- */

static partita_status place_random(pt_placing *p, pt_id id) {
    pt_graph_problem graph;
    PT_TRY(pt_placing_problem(p, id, &p->arena, &graph));
    for (uint32_t i = 0; i < graph.problem.units; i++) {
        uint32_t willing[PT_PART_MAX_DEVICES], count = 0, unit = graph.units[i];
        for (uint32_t d = 0; d < graph.problem.devices; d++) {
            bool allowed = graph.pinned[i] == PT_NONE || graph.pinned[i] == d;
            if (allowed && pt_problem_costs(&graph, i)[d] < PT_PART_INFINITE) willing[count++] = d;
        }
        if (count == 0) return pt_plan_fail_unplaced(p->plan, unit);
        uint32_t device = willing[random_of(p->request->seed, unit) % count];
        p->plan->units[unit].device = pt_problem_device(p->plan, device);
    }
    pt_placing_fold(p, id);
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

/* The first piece that the device takes of a whole group whose own device takes the other pieces too; PT_NONE. */
static uint32_t find_piece(const pt_plan *plan, uint32_t device) {
    for (uint32_t i = 0; plan->has_groups && i < plan->unit_count; i++) {
        uint32_t group = plan->units[i].parent;
        if (group == PT_NONE || plan->units[group].expanded || plan->units[group].pinned || !computed(plan, i))
            continue;
        const pt_plan_unit *whole = &plan->units[group];
        bool can = whole->device != PT_PLAN_HOST && pt_plan_answer_at(plan, i, device)->can == PTP_YES;
        for (uint32_t k = 0; can && k < whole->node_count; k++) {
            uint32_t piece = plan->node_piece[whole->nodes[k]];
            can = piece == i || pt_plan_answer_at(plan, piece, whole->device)->can == PTP_YES;
        }
        if (can) return i;
    }
    return PT_NONE;
}

static void tear_out(pt_plan *plan, uint32_t piece, uint32_t device) {
    uint32_t group = plan->units[piece].parent;
    pt_plan_unit *whole = &plan->units[group];
    pt_plan_set_expanded(plan, group, true);
    for (uint32_t i = 0; i < whole->node_count; i++) {
        uint32_t other = plan->node_piece[whole->nodes[i]];
        plan->units[other].device = other == piece ? device : whole->device;
    }
    whole->device = PT_PLAN_HOST;
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
        if (gift != PT_NONE) {
            plan->units[gift].device = d;
            continue;
        }
        gift = find_piece(plan, d);
        if (gift != PT_NONE) tear_out(plan, gift, d);
    }
}

/* ---- by cost --------------------------------------------------------------------------------- */

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

static partita_status place_graph(pt_placing *p, pt_id id) {
    const pt_model *model = p->plan->model;
    double us, least_us;
    start_groups(p, id);
    if (p->request->random)
        PT_TRY(place_random(p, id));
    else
        PT_TRY(pt_placing_choose(p, id));
    PT_TRY(pt_placing_value(p, id, &us, &least_us));
    pt_id parent = model->graphs.data[id].parent;
    if (parent == PT_NONE) {
        p->plan->lower_bound_us = least_us;
        return PARTITA_OK;
    }
    /* Branches of an If exclude each other: the dearest counts. Other nodes have one body. */
    const pt_node *node = &model->nodes.data[parent];
    double *host_us = &p->host_us[p->plan->node_unit[parent]], *least = &p->least_us[p->plan->node_unit[parent]];
    *host_us = PT_MAX(*host_us, pt_plan_host_price(p->plan, node, us));
    *least = PT_MAX(*least, pt_plan_host_price(p->plan, node, least_us));
    return PARTITA_OK;
}

/* A body that fits nowhere closes its node to the host: the node must then go to a device as a whole. When it cannot,
 * the body's cause is the one to tell. */
static partita_status place_all(pt_placing *p, const pt_id *graphs, uint32_t count) {
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

/* Each node's pin, once for all the problems that are made of its graph. */
static partita_status resolve_pins(pt_placing *p) {
    const pt_plan *plan = p->plan;
    size_t nodes = plan->model->nodes.size;
    pt_pins *pins;
    p->pins = pt_arena_array(&p->arena, nodes + 1, sizeof(uint32_t));
    if (!p->pins) return PT_OUT_OF_MEMORY();
    PT_TRY(pt_pins_create(plan, p->request, &pins));
    for (pt_id i = 0; i < nodes; i++) {
        p->pins[i] = PT_PLAN_FREE;
        if (plan->node_unit[i] != PT_NONE) pt_pins_find(pins, i, &p->pins[i]);
    }
    pt_pins_destroy(pins);
    return PARTITA_OK;
}

partita_status pt_plan_place(pt_plan *plan, const pt_plan_request *request) {
    pt_placing p = {.plan = plan, .request = request};
    partita_status status = PARTITA_OK;
    pt_id *graphs;
    uint32_t count;
    p.host_us = pt_arena_array(&p.arena, plan->unit_count + 1, sizeof(double));
    p.least_us = pt_arena_array(&p.arena, plan->unit_count + 1, sizeof(double));
    p.ways = pt_arena_array(&p.arena, plan->unit_count + 1, 1);
    if (!p.host_us || !p.least_us || !p.ways) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        plan->units[i].device = PT_PLAN_HOST;
        plan->units[i].pinned = false;
        p.host_us[i] = -1;
    }
    plan->candidate = request->random ? "random" : "given";
    PT_CHECK(resolve_pins(&p));
    PT_CHECK(pt_links_make(plan, request->max_memory, &p.arena, &p.links));
    PT_CHECK(pt_plan_graphs_inside_out(plan, &p.arena, &graphs, &count));
    PT_CHECK(place_all(&p, graphs, count));
    if (request->random) give_to_idle(plan);
out:
    pt_arena_deinit(&p.arena);
    return status;
}
