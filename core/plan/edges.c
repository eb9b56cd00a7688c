/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edges: the values that cross from one device to another, each once per memory that needs it. Devices that work in
 * host memory and the host itself are one memory.
 */
#include "plan/build.h"
#include "plan/route.h"

/* Under these values of symbols; false when a dim is not known, or it is no dense tensor. */
static bool bytes_under(const pt_plan *plan, pt_id value, const int64_t *symbols, uint64_t *out_bytes) {
    const pt_type *type = &plan->model->values.data[value].type;
    uint64_t count = 1;
    if (type->kind != PARTITA_KIND_TENSOR || type->rank < 0) return false;
    for (int32_t i = 0; i < type->rank; i++) {
        int64_t dim = pt_dim_evaluate(type->dims[i], symbols);
        if (dim < 0 || !pt_mul_u64(count, (uint64_t)dim, &count)) return false;
    }
    return pt_dtype_bytes(type->dtype, count, out_bytes);
}

bool pt_plan_value_size(const pt_plan *plan, pt_id value, uint64_t *out_bytes) {
    return bytes_under(plan, value, plan->symbol_values, out_bytes);
}

uint64_t pt_plan_value_bytes(const pt_plan *plan, pt_id value) {
    uint64_t bytes = 0;
    return pt_plan_value_size(plan, value, &bytes) ? bytes : 0;
}

static pt_route_end end_of(const pt_plan *plan, uint32_t device) {
    return pt_route_end_of(device == PT_PLAN_HOST ? NULL : plan->devices[device]);
}

/* Number of the memory where a device computes: 0 is the host's. */
static uint32_t memory_of(const pt_plan *plan, uint32_t device) {
    return end_of(plan, device).domain == PTP_DOMAIN_HOST ? 0 : device + 1;
}

typedef struct crossing {
    pt_plan *plan;
    PT_ARRAY(pt_plan_edge) edges;
    uint32_t *arrived; /* by memory: value + 1 that was brought there last */
    int64_t *most;     /* by symbol */
} crossing;

/* Of a value whose size only data tells. It may lie in memory of its own, which is copied where an arena is imported.
 */
static uint64_t most_moved(const crossing *c, const pt_plan_edge *edge, const pt_route *route, bool on_host) {
    uint64_t most;
    bool moves = route->route == PTP_ROUTE_COPY || (route->route == PTP_ROUTE_IMPORT && memory_of(c->plan, edge->to));
    if (!moves) return 0;
    if (!bytes_under(c->plan, edge->value, c->most, &most) || most >= PT_PLAN_NO_BOUND / 2) return PT_PLAN_NO_BOUND;
    return route->route == PTP_ROUTE_IMPORT || on_host ? most : pt_route_moved(route, most);
}

static partita_status cross(crossing *c, pt_id value, uint32_t from, uint32_t to) {
    pt_plan *plan = c->plan;
    if (from == to || c->arrived[memory_of(plan, to)] == value + 1) return PARTITA_OK;
    c->arrived[memory_of(plan, to)] = value + 1;
    uint64_t bytes = 0;
    bool known = pt_plan_value_size(plan, value, &bytes);
    pt_route route;
    pt_route_choose(end_of(plan, from), end_of(plan, to), bytes, &route);
    if (from == PT_PLAN_HOST && route.route == PTP_ROUTE_SHARE) return PARTITA_OK;
    bool on_host = c->arrived[0] == value + 1; /* the first half of a staged copy is there already */
    pt_plan_edge edge = {.value = value, .from = from, .to = to, .route = route.route, .staged = route.staged};
    edge.bytes = edge.at_most = route.staged && on_host ? bytes : pt_route_moved(&route, bytes);
    if (!known) edge.at_most = most_moved(c, &edge, &route, on_host);
    edge.estimate_us = pt_route_us(&route, bytes);
    if (route.staged) c->arrived[0] = value + 1;
    return pt_array_push(&c->edges, edge) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static uint32_t reader_device(const pt_plan *plan, pt_id reader) {
    return reader == PT_NONE ? PT_PLAN_HOST : pt_plan_node_device(plan, reader);
}

static partita_status cross_value(crossing *c, const pt_plan_readers *readers, pt_id id) {
    pt_plan *plan = c->plan;
    if (readers->first[id] == readers->first[id + 1]) return PARTITA_OK; /* perhaps not even alive */
    pt_id producer = plan->model->values.data[id].producer;
    uint32_t from = producer == PT_NONE ? PT_PLAN_HOST : pt_plan_node_device(plan, producer);
    c->arrived[memory_of(plan, from)] = id + 1;
    /* what the host needs goes first, so that a staged copy finds it there */
    for (int host = 1; host >= 0; host--)
        for (uint32_t i = readers->first[id]; i < readers->first[id + 1]; i++) {
            uint32_t to = reader_device(plan, readers->nodes[i]);
            if ((memory_of(plan, to) == 0) == (host == 1)) PT_TRY(cross(c, id, from, to));
        }
    return PARTITA_OK;
}

partita_status pt_plan_make_edges(pt_plan *plan) {
    const pt_model *model = plan->model;
    crossing c = {.plan = plan};
    partita_status status = PARTITA_OK;
    pt_arena scratch = {0};
    pt_plan_readers readers;
    c.arrived = pt_arena_array(&scratch, plan->device_count + 1, sizeof(uint32_t));
    if (!c.arrived) return PT_OUT_OF_MEMORY();
    PT_CHECK(pt_plan_find_readers(plan, &scratch, &readers));
    PT_CHECK(pt_plan_find_most(plan, &scratch, &c.most));
    /* only values of graphs that the host runs have readers */
    for (pt_id id = 0; id < model->values.size; id++) PT_CHECK(cross_value(&c, &readers, id));
    plan->edges = pt_arena_array(&plan->arena, c.edges.size + 1, sizeof(pt_plan_edge));
    if (!plan->edges) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    if (c.edges.size) memcpy(plan->edges, c.edges.data, c.edges.size * sizeof(pt_plan_edge));
    plan->edge_count = (uint32_t)c.edges.size;
out:
    pt_array_deinit(&c.edges);
    pt_arena_deinit(&scratch);
    return status;
}
