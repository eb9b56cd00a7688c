/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the plan will cost and in what order its steps start: the partitioner's simulator run on the clusters that the
 * plan has, graph by graph, bodies first.
 */
#include "plan/build.h"
#include "plan/problem.h"
#include <stdlib.h>

partita_status pt_plan_graphs_inside_out(const pt_plan *plan, pt_arena *arena, pt_id **out_graphs,
                                         uint32_t *out_count) {
    const pt_model *model = plan->model;
    size_t most = model->graphs.size;
    uint32_t *depth = pt_arena_array(arena, most + 1, sizeof(uint32_t)), deepest = 0, count = 0;
    pt_id *graphs = pt_arena_array(arena, most + 1, sizeof(pt_id));
    if (!depth || !graphs) return PT_OUT_OF_MEMORY();
    for (pt_id i = 0; i < most; i++) {
        for (pt_id g = i; model->graphs.data[g].parent != PT_NONE; depth[i]++)
            g = model->nodes.data[model->graphs.data[g].parent].graph;
        deepest = PT_MAX(deepest, depth[i]);
    }
    for (uint32_t d = deepest + 1; d-- > 0;)
        for (pt_id i = 0; i < most; i++)
            if (depth[i] == d && plan->graphs[i].hostable) graphs[count++] = i;
    *out_graphs = graphs;
    *out_count = count;
    return PARTITA_OK;
}

typedef struct ranked_step {
    uint32_t rank;
    pt_plan_step step;
} ranked_step;

static int by_rank(const void *a, const void *b) {
    uint32_t x = ((const ranked_step *)a)->rank, y = ((const ranked_step *)b)->rank;
    return (x > y) - (x < y);
}

/* Steps of the graph in the order in which the simulator starts their clusters. */
static partita_status order_steps(pt_plan *plan, const pt_graph_problem *graph, const pt_part_result *result,
                                  pt_arena *arena) {
    pt_plan_graph *of_plan = &plan->graphs[graph->graph];
    ranked_step *ranked = pt_arena_array(arena, of_plan->step_count + 1, sizeof(*ranked));
    uint32_t *rank = pt_arena_array(arena, result->clusters + 1, sizeof(uint32_t));
    if (!ranked || !rank) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < result->clusters; i++) rank[result->cluster_order[i]] = i;
    for (uint32_t i = 0; i < of_plan->step_count; i++) {
        pt_plan_step step = of_plan->steps[i];
        pt_id node = step.is_node ? step.index : plan->clusters[step.index].nodes[0];
        uint32_t row = graph->rows[plan->node_unit[node] - of_plan->first_unit];
        ranked[i] = (ranked_step){rank[result->cluster[row]], step};
    }
    qsort(ranked, of_plan->step_count, sizeof(*ranked), by_rank);
    for (uint32_t i = 0; i < of_plan->step_count; i++) of_plan->steps[i] = ranked[i].step;
    return PARTITA_OK;
}

/* What the partitioner is told of the plan's clusters: those of one graph are neighbours in the plan's table. */
static void number_clusters(const pt_plan *plan, const pt_graph_problem *graph, uint32_t *device, uint32_t *cluster) {
    uint32_t lowest = PT_NONE, next = 0;
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        const pt_plan_unit *unit = &plan->units[graph->units[i]];
        device[i] = pt_problem_column(plan, unit->device);
        if (unit->cluster != PT_NONE) lowest = PT_MIN(lowest, unit->cluster);
    }
    for (uint32_t i = 0; i < graph->problem.units; i++) {
        const pt_plan_unit *unit = &plan->units[graph->units[i]];
        if (unit->cluster == PT_NONE) continue;
        cluster[i] = unit->cluster - lowest;
        next = PT_MAX(next, cluster[i] + 1);
    }
    for (uint32_t i = 0; i < graph->problem.units; i++) /* what the host runs is a cluster each */
        if (plan->units[graph->units[i]].cluster == PT_NONE) cluster[i] = next++;
}

static partita_status schedule_graph(pt_plan *plan, const pt_links *links, pt_id id, double *host_us, pt_arena *arena) {
    pt_graph_problem graph;
    pt_part_result result = {0};
    partita_status status = PARTITA_OK;
    const pt_model *model = plan->model;
    PT_TRY(pt_graph_problem_make(plan, links, id, host_us, arena, &graph));
    uint32_t units = graph.problem.units;
    uint32_t *device = pt_arena_array(arena, units + 1, sizeof(*device));
    uint32_t *cluster = pt_arena_array(arena, units + 1, sizeof(*cluster));
    if (!device || !cluster) return PT_OUT_OF_MEMORY();
    number_clusters(plan, &graph, device, cluster);
    if (units) {
        PT_CHECK(pt_part_evaluate(&graph.problem, device, cluster, &result));
        PT_CHECK(order_steps(plan, &graph, &result, arena));
    }
    double us = pt_ps_to_us(result.value.latency);
    pt_id parent = model->graphs.data[id].parent;
    if (parent == PT_NONE) {
        plan->estimate_us = plan->objective == PT_PLAN_THROUGHPUT ? pt_ps_to_us(result.value.period) : us;
        plan->lower_bound_us = PT_MIN(plan->lower_bound_us, plan->estimate_us);
    } else {
        uint32_t unit = plan->node_unit[parent];
        host_us[unit] = PT_MAX(host_us[unit], pt_plan_host_price(plan, &model->nodes.data[parent], us));
    }
out:
    pt_part_result_deinit(&result);
    return status;
}

uint64_t pt_plan_weight_bytes(const pt_plan *plan, uint32_t device) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < plan->unit_count; i++)
        if (plan->units[i].device == device && plan->units[i].cluster != PT_NONE)
            bytes += pt_plan_answer_at(plan, i, device)->weight_bytes;
    return bytes;
}

/* A plan whose weights alone pass the limit of a memory is no plan; finding one that fits is the memory objective's
 * work. Devices without memory of their own share the host's. */
static partita_status check_memory(const pt_plan *plan, uint64_t max_memory) {
    uint64_t in_host = 0;
    for (uint32_t d = 0; max_memory && d < plan->device_count; d++) {
        uint64_t bytes = pt_plan_weight_bytes(plan, d);
        if (!plan->devices[d]->has_memory) bytes = in_host += bytes;
        if (bytes > max_memory)
            return pt_fail(PARTITA_OVER_BUDGET, "%s would hold %llu bytes of weights, at most %llu are allowed",
                           plan->devices[d]->name, (unsigned long long)bytes, (unsigned long long)max_memory);
    }
    return PARTITA_OK;
}

partita_status pt_plan_schedule(pt_plan *plan, const pt_plan_request *request) {
    partita_status status = PARTITA_OK;
    pt_arena arena = {0};
    pt_links links;
    pt_id *graphs;
    uint32_t count;
    double *host_us = pt_arena_array(&arena, plan->unit_count + 1, sizeof(double));
    if (!host_us) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < plan->unit_count; i++) host_us[i] = plan->units[i].device == PT_PLAN_HOST ? 0 : -1;
    PT_CHECK(check_memory(plan, request->max_memory));
    PT_CHECK(pt_links_make(plan, request->max_memory, &arena, &links));
    PT_CHECK(pt_plan_graphs_inside_out(plan, &arena, &graphs, &count));
    for (uint32_t i = 0; i < count; i++)
        if (plan->graphs[graphs[i]].hosted) PT_CHECK(schedule_graph(plan, &links, graphs[i], host_us, &arena));
out:
    pt_arena_deinit(&arena);
    return status;
}
