/* SPDX-License-Identifier: Apache-2.0 */
/* A graph of the model, the devices' answers and the routes between them, as the partitioner's integers. */
#include "plan/problem.h"
#include "plan/build.h"
#include "plan/route.h"

/* Prices are lines through what a route costs at this size: routes are chosen per size, the partitioner's links once. */
#define LINK_BYTES (UINT64_C(256) << 10)

static pt_route_end end_of(const pt_plan *plan, uint32_t device) {
    return pt_route_end_of(device < plan->device_count ? plan->devices[device] : NULL);
}

static bool share_resource(const ptp_device_info *a, const ptp_device_info *b) {
    for (int i = 0; i < PTP_MAX_RESOURCES; i++)
        for (int k = 0; k < PTP_MAX_RESOURCES; k++)
            if (a->resources[i][0] && strncmp(a->resources[i], b->resources[k], sizeof(a->resources[i])) == 0) return true;
    return false;
}

partita_status pt_links_make(const pt_plan *plan, uint64_t max_memory, pt_arena *arena, pt_links *out_links) {
    uint32_t k = plan->device_count + 1;
    if (k > PT_PART_MAX_DEVICES)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "%u devices, at most %u", plan->device_count, PT_PART_MAX_DEVICES - 1);
    pt_links links = {k,
                      pt_arena_array(arena, (size_t)k * k, sizeof(int64_t)),
                      pt_arena_array(arena, (size_t)k * k, sizeof(int64_t)),
                      pt_arena_array(arena, k, sizeof(int64_t)),
                      pt_arena_array(arena, k, sizeof(uint32_t)),
                      pt_arena_array(arena, k, sizeof(uint64_t))};
    if (!links.latency || !links.per_kib || !links.launch || !links.resource || !links.capacity)
        return PT_OUT_OF_MEMORY();
    for (uint32_t from = 0; from < k; from++) {
        links.resource[from] = from;
        links.capacity[from] = UINT64_MAX;
        for (uint32_t to = 0; to < k; to++) {
            pt_route route;
            if (from == to) continue;
            pt_route_choose(end_of(plan, from), end_of(plan, to), LINK_BYTES, &route);
            links.latency[from * k + to] = pt_us_to_ps(route.us);
            links.per_kib[from * k + to] = pt_us_to_ps(route.us_per_byte * 1024);
        }
        if (from == plan->device_count) continue;
        const ptp_device_info *info = &plan->devices[from]->info;
        links.launch[from] = pt_us_to_ps(info->launch_us);
        uint64_t memory = info->domain_count ? info->domains[0].bytes_total : 0;
        if (memory) links.capacity[from] = memory;
        if (max_memory) links.capacity[from] = PT_MIN(links.capacity[from], max_memory);
        for (uint32_t other = 0; other < from; other++)
            if (share_resource(info, &plan->devices[other]->info)) {
                links.resource[from] = links.resource[other];
                break;
            }
    }
    *out_links = links;
    return PARTITA_OK;
}

/* ---- one graph ------------------------------------------------------------------------------- */

typedef struct gathering {
    const pt_plan *plan;
    pt_graph_problem *out;
    uint32_t *local;            /* by row of plan->units: the unit in this graph's problem; PT_NONE */
    uint32_t *first_consumer;
    PT_ARRAY(uint32_t) consumers;
    uint32_t *mark;             /* by local unit: tensor + 1 that lists it last */
} gathering;

/* The unit of this graph that a use belongs to: the node's own, or that of the node around it. */
static uint32_t unit_of_use(const gathering *g, pt_id node) {
    const pt_model *model = g->plan->model;
    while (model->nodes.data[node].graph != g->out->graph) {
        node = model->graphs.data[model->nodes.data[node].graph].parent;
        if (node == PT_NONE) return PT_NONE;
    }
    uint32_t unit = g->plan->node_unit[node];
    return unit == PT_NONE ? PT_NONE : g->local[unit];
}

static partita_status add_consumers(gathering *g, pt_id value, uint32_t tensor, uint32_t producer) {
    const pt_value *v = &g->plan->model->values.data[value];
    for (size_t i = 0; i < v->uses.size; i++) {
        uint32_t unit = unit_of_use(g, v->uses.data[i].node);
        if (unit == PT_NONE || unit == producer || g->mark[unit] == tensor + 1) continue;
        g->mark[unit] = tensor + 1;
        if (!pt_array_push(&g->consumers, unit)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

static bool output_of_graph(const pt_model *model, pt_id graph, pt_id value) {
    const pt_graph *g = &model->graphs.data[graph];
    if (!model->values.data[value].is_output) return false;
    for (size_t i = 0; i < g->outputs.size; i++)
        if (g->outputs.data[i] == value) return true;
    return false;
}

/* Values that a unit of this graph uses or makes and that may cross, each once. */
static partita_status gather_tensors(gathering *g, pt_arena *arena) {
    const pt_plan *plan = g->plan;
    const pt_model *model = plan->model;
    pt_graph_problem *out = g->out;
    size_t most = model->values.size;
    uint32_t *producer = pt_arena_array(arena, most + 1, sizeof(uint32_t));
    uint64_t *bytes = pt_arena_array(arena, most + 1, sizeof(uint64_t));
    uint8_t *is_output = pt_arena_array(arena, most + 1, 1);
    out->values = pt_arena_array(arena, most + 1, sizeof(pt_id));
    g->first_consumer = pt_arena_array(arena, most + 2, sizeof(uint32_t));
    if (!producer || !bytes || !is_output || !out->values || !g->first_consumer) return PT_OUT_OF_MEMORY();
    uint32_t count = 0;
    for (pt_id value = 0; value < most; value++) {
        const pt_value *v = &model->values.data[value];
        if (v->dead || v->constant || !pt_value_visible(model, value, out->graph)) continue;
        uint32_t made_by = PT_NONE;
        if (v->producer != PT_NONE && v->graph == out->graph) made_by = g->local[plan->node_unit[v->producer]];
        size_t before = g->consumers.size;
        PT_TRY(add_consumers(g, value, count, made_by));
        bool output = output_of_graph(model, out->graph, value);
        if (g->consumers.size == before && !(output && made_by != PT_NONE)) continue;
        out->values[count] = value;
        producer[count] = made_by;
        bytes[count] = pt_plan_value_bytes(plan, value);
        is_output[count] = output && made_by != PT_NONE;
        g->first_consumer[++count] = (uint32_t)g->consumers.size;
    }
    out->problem.tensors = count;
    out->problem.producer = producer;
    out->problem.bytes = bytes;
    out->problem.is_output = is_output;
    out->problem.first_consumer = g->first_consumer;
    uint32_t *consumers = pt_arena_array(arena, g->consumers.size + 1, sizeof(uint32_t));
    if (!consumers) return PT_OUT_OF_MEMORY();
    if (g->consumers.size) memcpy(consumers, g->consumers.data, g->consumers.size * sizeof(uint32_t));
    out->problem.consumers = consumers;
    return PARTITA_OK;
}

static partita_status gather_units(gathering *g, const double *host_us, pt_arena *arena) {
    const pt_plan *plan = g->plan;
    pt_graph_problem *out = g->out;
    uint32_t k = plan->device_count + 1, count = 0;
    for (uint32_t i = 0; i < plan->unit_count; i++) count += plan->units[i].graph == out->graph;
    uint64_t *bytes = pt_arena_array(arena, count + 1, sizeof(uint64_t));
    out->units = pt_arena_array(arena, count + 1, sizeof(uint32_t));
    out->cost = pt_arena_array(arena, (size_t)count * k + 1, sizeof(int64_t));
    out->pinned = pt_arena_array(arena, count + 1, sizeof(uint32_t));
    g->mark = pt_arena_array(arena, count + 1, sizeof(uint32_t));
    if (!out->units || !out->cost || !out->pinned || !bytes || !g->mark) return PT_OUT_OF_MEMORY();
    count = 0;
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        if (plan->units[i].graph != out->graph) continue;
        g->local[i] = count;
        out->units[count] = i;
        out->pinned[count] = PT_NONE;
        for (uint32_t d = 0; d < plan->device_count; d++) {
            const pt_plan_answer *answer = &plan->answers[(size_t)i * plan->device_count + d];
            out->cost[(size_t)count * k + d] = answer->can == PTP_YES ? pt_us_to_ps(answer->us) : PT_PART_INFINITE;
            if (answer->can == PTP_YES) bytes[count] = PT_MAX(bytes[count], answer->weight_bytes);
        }
        out->cost[(size_t)count * k + plan->device_count] = host_us[i] >= 0 ? pt_us_to_ps(host_us[i]) : PT_PART_INFINITE;
        count++;
    }
    out->problem.units = count;
    out->problem.unit_bytes = bytes;
    return PARTITA_OK;
}

partita_status pt_graph_problem_make(const pt_plan *plan, const pt_links *links, pt_id graph, const double *host_us,
                                     pt_arena *arena, pt_graph_problem *out_problem) {
    static const pt_part_objective objectives[] = {PT_PART_LATENCY, PT_PART_THROUGHPUT, PT_PART_MEMORY};
    memset(out_problem, 0, sizeof(*out_problem));
    out_problem->graph = graph;
    gathering g = {.plan = plan, .out = out_problem};
    partita_status status = PARTITA_OK;
    g.local = pt_arena_array(arena, plan->unit_count + 1, sizeof(uint32_t));
    if (!g.local) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < plan->unit_count; i++) g.local[i] = PT_NONE;
    PT_CHECK(gather_units(&g, host_us, arena));
    PT_CHECK(gather_tensors(&g, arena));
    pt_part_problem *problem = &out_problem->problem;
    problem->devices = links->devices;
    problem->host = plan->device_count;
    problem->cost = out_problem->cost;
    problem->pinned = out_problem->pinned;
    problem->link_latency = links->latency;
    problem->link_per_kib = links->per_kib;
    problem->launch = links->launch;
    problem->resource = links->resource;
    problem->capacity = links->capacity;
    problem->objective = objectives[PT_MIN(plan->objective, 2u)];
out:
    pt_array_deinit(&g.consumers);
    return status;
}
