/* SPDX-License-Identifier: Apache-2.0 */
/* A graph of the model, the devices' answers and the routes between them, as the partitioner's integers. */
#include "plan/problem.h"
#include "plan/build.h"
#include "plan/route.h"

/* Which route is the cheapest depends on the size: a handle costs the same for all, a copy costs by the byte. Those
 * that are at these sizes are the ways of a link; of each pair of memories few differ. */
static const uint64_t link_bytes[] = {64, 4 << 10, 64 << 10, 1 << 20, 16 << 20};
enum { LINES = PT_COUNT_OF(link_bytes) };

static pt_route_end end_of(const pt_plan *plan, uint32_t device) {
    return pt_route_end_of(device < plan->device_count ? plan->devices[device] : NULL);
}

static bool share_resource(const ptp_device_info *a, const ptp_device_info *b) {
    for (int i = 0; i < PTP_MAX_RESOURCES; i++)
        for (int k = 0; k < PTP_MAX_RESOURCES; k++)
            if (a->resources[i][0] && strncmp(a->resources[i], b->resources[k], sizeof(a->resources[i])) == 0)
                return true;
    return false;
}

static void price_link(const pt_plan *plan, pt_links *links, uint32_t from, uint32_t to) {
    for (uint32_t line = 0; line < LINES; line++) {
        size_t at = ((size_t)line * links->devices + from) * links->devices + to;
        pt_route route;
        pt_route_choose(end_of(plan, from), end_of(plan, to), link_bytes[line], &route);
        links->latency[at] = pt_us_to_ps(route.us);
        links->per_kib[at] = pt_us_to_ps(route.us_per_byte * 1024);
    }
}

partita_status pt_links_make(const pt_plan *plan, uint64_t max_memory, pt_arena *arena, pt_links *out_links) {
    uint32_t k = plan->device_count + 1;
    if (k > PT_PART_MAX_DEVICES)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "%u devices, at most %u", plan->device_count, PT_PART_MAX_DEVICES - 1);
    pt_links links = {k,
                      LINES,
                      pt_arena_array(arena, (size_t)LINES * k * k, sizeof(int64_t)),
                      pt_arena_array(arena, (size_t)LINES * k * k, sizeof(int64_t)),
                      pt_arena_array(arena, k, sizeof(int64_t)),
                      pt_arena_array(arena, k, sizeof(uint32_t)),
                      pt_arena_array(arena, k, sizeof(uint64_t)),
                      pt_arena_array(arena, plan->model->values.size + 1, sizeof(uint32_t))};
    if (!links.latency || !links.per_kib || !links.launch || !links.resource || !links.capacity || !links.tensor_of)
        return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < plan->model->values.size; i++) links.tensor_of[i] = PT_NONE;
    for (uint32_t from = 0; from < k; from++) {
        links.resource[from] = from;
        links.capacity[from] = UINT64_MAX;
        for (uint32_t to = 0; to < k; to++)
            if (from != to) price_link(plan, &links, from, to);
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

/* A value that may cross; the problem's tensors are in the order in which the graph's nodes name them. */
typedef struct tensor_row {
    pt_id value;
    uint32_t producer; /* unit of the problem; PT_NONE: the host */
    bool output;
} tensor_row;

typedef struct use_row {
    uint32_t tensor, unit;
} use_row;

typedef struct gathering {
    const pt_plan *plan;
    const pt_links *links;
    pt_graph_problem *out;
    pt_arena scratch;
    PT_ARRAY(tensor_row) tensors;
    PT_ARRAY(use_row) uses;
} gathering;

static uint32_t unit_of(const gathering *g, pt_id node) {
    return g->out->rows[g->plan->node_unit[node] - g->plan->graphs[g->out->graph].first_unit];
}

static partita_status name_tensor(gathering *g, pt_id value, uint32_t *out_tensor) {
    const pt_value *v = &g->plan->model->values.data[value];
    uint32_t *known = &g->links->tensor_of[value];
    if (*known == PT_NONE) {
        tensor_row row = {.value = value, .producer = PT_NONE};
        if (v->producer != PT_NONE && v->graph == g->out->graph) row.producer = unit_of(g, v->producer);
        if (!pt_array_push(&g->tensors, row)) return PT_OUT_OF_MEMORY();
        *known = (uint32_t)g->tensors.size - 1;
    }
    *out_tensor = *known;
    return PARTITA_OK;
}

static partita_status add_use(gathering *g, pt_id value, uint32_t unit) {
    uint32_t tensor;
    if (value == PT_NONE || g->plan->model->values.data[value].constant) return PARTITA_OK;
    PT_TRY(name_tensor(g, value, &tensor));
    if (g->tensors.data[tensor].producer == unit) return PARTITA_OK;
    return pt_array_push(&g->uses, (use_row){tensor, unit}) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* Control flow reads what its bodies capture, wherever it is run. */
static partita_status add_uses_of(gathering *g, pt_id id) {
    const pt_node *node = &g->plan->model->nodes.data[id];
    uint32_t unit = unit_of(g, id), count;
    pt_id *captures;
    for (uint32_t k = 0; k < node->input_count; k++) PT_TRY(add_use(g, node->inputs[k], unit));
    if (g->plan->units[g->plan->node_unit[id]].kind != PTP_UNIT_CONTROL_FLOW) return PARTITA_OK;
    PT_TRY(pt_node_captures(g->plan->model, id, &g->scratch, &captures, &count));
    for (uint32_t k = 0; k < count; k++) PT_TRY(add_use(g, captures[k], unit));
    return PARTITA_OK;
}

static partita_status gather_rows(gathering *g) {
    const pt_model *model = g->plan->model;
    const pt_graph *graph = &model->graphs.data[g->out->graph];
    for (uint32_t i = 0; i < g->out->problem.units; i++) {
        const pt_plan_unit *unit = &g->plan->units[g->out->units[i]];
        for (uint32_t k = 0; k < unit->node_count; k++) PT_TRY(add_uses_of(g, unit->nodes[k]));
    }
    for (size_t i = 0; i < graph->outputs.size; i++) {
        const pt_value *v = &model->values.data[graph->outputs.data[i]];
        uint32_t tensor;
        if (v->producer == PT_NONE || v->constant || v->graph != g->out->graph) continue; /* on the host already */
        PT_TRY(name_tensor(g, graph->outputs.data[i], &tensor));
        g->tensors.data[tensor].output = true;
    }
    return PARTITA_OK;
}

/* Rows to the problem's arrays; consumers by tensor, each once. */
static partita_status write_tensors(gathering *g, pt_arena *arena) {
    uint32_t count = (uint32_t)g->tensors.size;
    uint32_t *producer = pt_arena_array(arena, count + 1, sizeof(uint32_t));
    uint64_t *bytes = pt_arena_array(arena, count + 1, sizeof(uint64_t));
    uint8_t *is_output = pt_arena_array(arena, count + 1, 1);
    uint32_t *first = pt_arena_array(arena, count + 2, sizeof(uint32_t));
    uint32_t *consumers = pt_arena_array(arena, g->uses.size + 1, sizeof(uint32_t));
    uint32_t *last = pt_arena_array(&g->scratch, count + 1, sizeof(uint32_t));
    if (!producer || !bytes || !is_output || !first || !consumers || !last) return PT_OUT_OF_MEMORY();
    for (uint32_t t = 0; t < count; t++) {
        producer[t] = g->tensors.data[t].producer;
        bytes[t] = pt_plan_value_bytes(g->plan, g->tensors.data[t].value);
        is_output[t] = g->tensors.data[t].output;
    }
    /* uses come by unit, so a repeated one repeats the tensor's latest; last[t]: unit + 1 */
    size_t kept = 0;
    for (size_t i = 0; i < g->uses.size; i++) {
        use_row use = g->uses.data[i];
        if (last[use.tensor] == use.unit + 1) continue;
        last[use.tensor] = use.unit + 1;
        g->uses.data[kept++] = use;
        first[use.tensor + 2]++;
    }
    for (uint32_t t = 0; t < count; t++) first[t + 2] += first[t + 1];
    /* first[t + 1] is where t's next consumer goes, and in the end where those of t + 1 begin */
    for (size_t i = 0; i < kept; i++) consumers[first[g->uses.data[i].tensor + 1]++] = g->uses.data[i].unit;
    g->out->problem.tensors = count;
    g->out->problem.producer = producer;
    g->out->problem.bytes = bytes;
    g->out->problem.is_output = is_output;
    g->out->problem.first_consumer = first;
    g->out->problem.consumers = consumers;
    return PARTITA_OK;
}

/* The partitioner refuses sums that it could not add up; costs that are beyond all measure say no more than "not here".
 */
static void cap_costs(int64_t *cost, size_t count, uint32_t units) {
    int64_t most = (INT64_C(1) << 53) / PT_MAX(units, 1u);
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += cost[i] < PT_PART_INFINITE ? (double)cost[i] : 0;
    if (sum <= (double)(INT64_C(1) << 53)) return;
    for (size_t i = 0; i < count; i++)
        if (cost[i] < PT_PART_INFINITE) cost[i] = PT_MIN(cost[i], most);
}

static partita_status list_units(gathering *g, pt_arena *arena, uint32_t *out_count) {
    const pt_plan_graph *graph = &g->plan->graphs[g->out->graph];
    g->out->units = pt_arena_array(arena, graph->unit_count + 1, sizeof(uint32_t));
    g->out->rows = pt_arena_array(arena, graph->unit_count + 1, sizeof(uint32_t));
    *out_count = 0;
    if (!g->out->units || !g->out->rows) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < graph->unit_count; i++) {
        g->out->rows[i] = PT_NONE;
        if (!pt_plan_unit_placed(g->plan, graph->first_unit + i)) continue;
        g->out->rows[i] = *out_count;
        g->out->units[(*out_count)++] = graph->first_unit + i;
    }
    return PARTITA_OK;
}

static partita_status write_units(gathering *g, const double *host_us, pt_arena *arena) {
    const pt_plan *plan = g->plan;
    pt_graph_problem *out = g->out;
    uint32_t k = plan->device_count + 1, count;
    PT_TRY(list_units(g, arena, &count));
    uint64_t *bytes = pt_arena_array(arena, count + 1, sizeof(uint64_t));
    out->cost = pt_arena_array(arena, (size_t)count * k + 1, sizeof(int64_t));
    out->pinned = pt_arena_array(arena, count + 1, sizeof(uint32_t));
    if (!out->cost || !out->pinned || !bytes) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) {
        uint32_t unit = out->units[i];
        int64_t *cost = &out->cost[(size_t)i * k];
        out->pinned[i] = PT_NONE;
        for (uint32_t d = 0; d < plan->device_count; d++) {
            const pt_plan_answer *answer = pt_plan_answer_at(plan, unit, d);
            cost[d] = answer->can == PTP_YES ? pt_us_to_ps(answer->us * answer->whole) : PT_PART_INFINITE;
            if (answer->can == PTP_YES) bytes[i] = PT_MAX(bytes[i], answer->weight_bytes);
        }
        cost[plan->device_count] = host_us[unit] >= 0 ? pt_us_to_ps(host_us[unit]) : PT_PART_INFINITE;
    }
    cap_costs(out->cost, (size_t)count * k, count);
    out->problem.units = count;
    out->problem.unit_bytes = bytes;
    return PARTITA_OK;
}

partita_status pt_graph_problem_make(const pt_plan *plan, const pt_links *links, pt_id graph, const double *host_us,
                                     pt_arena *arena, pt_graph_problem *out_problem) {
    static const pt_part_objective objectives[] = {PT_PART_LATENCY, PT_PART_THROUGHPUT, PT_PART_MEMORY};
    memset(out_problem, 0, sizeof(*out_problem));
    out_problem->graph = graph;
    gathering g = {.plan = plan, .links = links, .out = out_problem};
    partita_status status;
    PT_CHECK(write_units(&g, host_us, arena));
    PT_CHECK(gather_rows(&g));
    PT_CHECK(write_tensors(&g, arena));
    pt_part_problem *problem = &out_problem->problem;
    problem->devices = links->devices;
    problem->host = plan->device_count;
    problem->cost = out_problem->cost;
    problem->pinned = out_problem->pinned;
    problem->lines = links->lines;
    problem->link_latency = links->latency;
    problem->link_per_kib = links->per_kib;
    problem->launch = links->launch;
    problem->resource = links->resource;
    problem->capacity = links->capacity;
    problem->objective = objectives[PT_MIN(plan->objective, 2u)];
    /* a body is one step of a request, however many requests are in flight */
    if (graph != 0 && plan->objective == PT_PLAN_THROUGHPUT) problem->objective = PT_PART_LATENCY;
out:
    for (size_t i = 0; i < g.tensors.size; i++) links->tensor_of[g.tensors.data[i].value] = PT_NONE;
    pt_array_deinit(&g.tensors);
    pt_array_deinit(&g.uses);
    pt_arena_deinit(&g.scratch);
    return status;
}
