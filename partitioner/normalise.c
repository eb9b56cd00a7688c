/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks the problem and folds what restricts it into costs: pins become infinite costs, groups become nodes, and
 * tensors that never travel are dropped. All later passes may trust the numbers: no sum over them overflows.
 */
#include "partitioner/model.h"

/* Every pass may add up all costs and prices, some of them four times over, and stay below infinity. */
#define LARGEST_TOTAL (PT_PART_INFINITE / 64)

static partita_status check_unit(const pt_part_problem *p, uint32_t i) {
    if (p->pinned && p->pinned[i] != PT_NONE && p->pinned[i] >= p->devices) {
        return pt_fail(PARTITA_INVALID_ARGUMENT, "unit %u is pinned to device %u of %u", i, p->pinned[i], p->devices);
    }
    if (p->group && p->group[i] != PT_NONE && p->group[i] >= p->units) {
        return pt_fail(PARTITA_INVALID_ARGUMENT, "unit %u has group %u of %u", i, p->group[i], p->units);
    }
    for (uint32_t d = 0; d < p->devices; d++) {
        if (p->cost[(size_t)i * p->devices + d] < 0) {
            return pt_fail(PARTITA_INVALID_ARGUMENT, "unit %u has a negative cost on device %u", i, d);
        }
    }
    return PARTITA_OK;
}

static partita_status check_tensor(const pt_part_problem *p, uint32_t t) {
    uint32_t producer = p->producer[t];
    if (producer != PT_NONE && producer >= p->units) {
        return pt_fail(PARTITA_INVALID_ARGUMENT, "tensor %u is made by unit %u of %u", t, producer, p->units);
    }
    if (p->first_consumer[t] > p->first_consumer[t + 1]) {
        return pt_fail(PARTITA_INVALID_ARGUMENT, "consumers of tensor %u end before they begin", t);
    }
    for (uint32_t c = p->first_consumer[t]; c < p->first_consumer[t + 1]; c++) {
        uint32_t consumer = p->consumers[c];
        if (consumer >= p->units || (producer != PT_NONE && consumer <= producer)) {
            return pt_fail(PARTITA_INVALID_ARGUMENT, "units are not in topological order: tensor %u goes to unit %u", t,
                           consumer);
        }
    }
    return PARTITA_OK;
}

static partita_status check_devices(const pt_part_problem *p) {
    uint32_t k = p->devices, seen = 0;
    if (k == 0 || k > PT_PART_MAX_DEVICES || p->host >= k) {
        return pt_fail(PARTITA_INVALID_ARGUMENT, "%u devices, the host being %u: between 1 and %u are possible", k,
                       p->host, PT_PART_MAX_DEVICES);
    }
    for (uint32_t d = 0; d < k; d++) {
        bool bad = (p->launch && (p->launch[d] < 0 || p->launch[d] > LARGEST_TOTAL)) ||
                   (p->resource && p->resource[d] >= k) || (p->priority && p->priority[d] >= k);
        if (!bad && p->priority) seen |= UINT32_C(1) << p->priority[d];
        for (uint32_t e = 0; e < k && !bad; e++) {
            size_t pair = (size_t)d * k + e;
            bad = p->channel && p->channel[pair] >= k * k;
            for (uint32_t line = 0; d != e && line < PT_MAX(p->lines, 1u); line++) {
                size_t at = (size_t)line * k * k + pair;
                bad |= p->link_latency[at] < 0 || p->link_per_kib[at] < 0;
            }
        }
        if (bad) return pt_fail(PARTITA_INVALID_ARGUMENT, "device %u has a number out of range", d);
    }
    if (p->priority && seen != (uint32_t)((UINT64_C(1) << k) - 1)) {
        return pt_fail(PARTITA_INVALID_ARGUMENT, "the priority order does not name every device once");
    }
    return PARTITA_OK;
}

static partita_status check(const pt_part_problem *p) {
    PT_TRY(check_devices(p));
    for (uint32_t i = 0; i < p->units; i++) PT_TRY(check_unit(p, i));
    for (uint32_t t = 0; t < p->tensors; t++) PT_TRY(check_tensor(p, t));
    return PARTITA_OK;
}

/* Nodes in the order of their first unit. */
static partita_status make_nodes(pt_part_model *m, const pt_part_problem *p) {
    uint32_t *node_of_group = pt_arena_array(&m->arena, p->units, sizeof *node_of_group);
    m->node_of = pt_arena_array(&m->arena, p->units, sizeof *m->node_of);
    if (!node_of_group || !m->node_of) return PT_OUT_OF_MEMORY();
    memset(node_of_group, 0xff, p->units * sizeof *node_of_group);
    for (uint32_t i = 0; i < p->units; i++) {
        uint32_t group = p->group ? p->group[i] : PT_NONE;
        if (group != PT_NONE && node_of_group[group] != PT_NONE) {
            m->node_of[i] = node_of_group[group];
            continue;
        }
        if (group != PT_NONE) node_of_group[group] = m->nodes;
        m->node_of[i] = m->nodes++;
    }
    return PARTITA_OK;
}

static partita_status unplaced(const pt_part_model *m, const pt_part_problem *p, uint32_t node) {
    uint32_t members = 0, unit = 0;
    for (uint32_t i = 0; i < p->units; i++) {
        if (m->node_of[i] == node && members++ == 0) unit = i;
    }
    if (members > 1) return pt_fail(PARTITA_UNPLACED, "no device takes all of group %u", p->group[unit]);
    if (p->pinned && p->pinned[unit] != PT_NONE) {
        return pt_fail(PARTITA_UNPLACED, "unit %u is pinned to device %u, which does not take it", unit,
                       p->pinned[unit]);
    }
    return pt_fail(PARTITA_UNPLACED, "no device takes unit %u", unit);
}

static partita_status sum_costs(pt_part_model *m, const pt_part_problem *p, int64_t *total) {
    uint32_t k = p->devices;
    m->cost = pt_arena_array(&m->arena, (size_t)m->nodes * k, sizeof *m->cost);
    if (!m->cost) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < p->units; i++) {
        int64_t *node_cost = m->cost + (size_t)m->node_of[i] * k;
        int64_t most = 0;
        for (uint32_t d = 0; d < k; d++) {
            int64_t cost = p->cost[(size_t)i * k + d];
            if (p->pinned && p->pinned[i] != PT_NONE && p->pinned[i] != d) cost = PT_PART_INFINITE;
            if (cost < PT_PART_INFINITE) most = PT_MAX(most, cost);
            node_cost[d] = pt_part_add(node_cost[d], cost);
        }
        if (most > LARGEST_TOTAL - *total) return pt_fail(PARTITA_INVALID_ARGUMENT, "the costs of units are too large");
        *total += most;
    }
    for (uint32_t node = 0; node < m->nodes; node++) {
        uint32_t able = 0;
        for (uint32_t d = 0; d < k; d++) {
            if (pt_part_node_cost(m, node, d) < PT_PART_INFINITE) able |= UINT32_C(1) << d;
        }
        if (!able) return unplaced(m, p, node);
        m->usable |= able;
    }
    return PARTITA_OK;
}

/* Adds what the tensor's travels, to at most all devices, could ever cost. */
static partita_status check_prices(const pt_part_model *m, uint32_t t, int64_t *total) {
    const pt_part_problem *p = m->problem;
    const pt_part_routes *routes = &m->routes[m->tensor_routes[t]];
    uint32_t targets = PT_MIN(p->first_consumer[t + 1] - p->first_consumer[t] + 1, p->devices);
    int64_t most = 0, price, launch = 0;
    for (uint32_t d = 0; d < p->devices; d++) launch = PT_MAX(launch, m->launch[d]);
    for (uint32_t pair = 0; pair < p->devices * p->devices; pair++) {
        if (!pt_mul_i64(routes->per_block[pair], (int64_t)pt_part_blocks(p->bytes[t]), &price) ||
            !pt_add_i64(price, routes->latency[pair], &price)) {
            price = PT_PART_INFINITE;
        }
        most = PT_MAX(most, price);
    }
    if (!pt_add_i64(most, launch, &most) || !pt_mul_i64(most, targets, &most) || most > LARGEST_TOTAL - *total) {
        return pt_fail(PARTITA_INVALID_ARGUMENT, "the transfer prices of tensor %u are too large", t);
    }
    *total += most;
    return PARTITA_OK;
}

static partita_status make_tensors(pt_part_model *m, const pt_part_problem *p) {
    size_t tensors = p->tensors, uses = p->tensors ? p->first_consumer[p->tensors] : 0;
    m->origin = pt_arena_array(&m->arena, tensors, sizeof *m->origin);
    m->producer = pt_arena_array(&m->arena, tensors, sizeof *m->producer);
    m->is_output = pt_arena_array(&m->arena, tensors, sizeof *m->is_output);
    m->first_consumer = pt_arena_array(&m->arena, tensors + 1, sizeof *m->first_consumer);
    m->consumers = pt_arena_array(&m->arena, uses, sizeof *m->consumers);
    uint32_t *last_seen = pt_arena_array(&m->arena, m->nodes, sizeof *last_seen);
    if (!m->origin || !m->producer || !m->is_output || !m->first_consumer || !m->consumers || !last_seen) {
        return PT_OUT_OF_MEMORY();
    }
    uint32_t used = 0;
    for (uint32_t t = 0; t < p->tensors; t++) {
        uint32_t producer = p->producer[t] == PT_NONE ? PT_NONE : m->node_of[p->producer[t]], first = used;
        for (uint32_t c = p->first_consumer[t]; c < p->first_consumer[t + 1]; c++) {
            uint32_t node = m->node_of[p->consumers[c]];
            if (node == producer || last_seen[node] == t + 1) continue;
            last_seen[node] = t + 1;
            m->consumers[used++] = node;
        }
        bool output = pt_part_is_output(p, t) && producer != PT_NONE;
        if (used == first && !output) continue;
        m->origin[m->tensors] = t;
        m->producer[m->tensors] = producer;
        m->is_output[m->tensors] = output;
        m->first_consumer[m->tensors++] = first;
    }
    m->first_consumer[m->tensors] = used;
    return PARTITA_OK;
}

/* Tensors by producer; the host makes its own as if it were one more unit, behind the last. */
static partita_status sort_by_producer(pt_part_model *m, const pt_part_problem *p) {
    m->first_made = pt_arena_array(&m->arena, (size_t)p->units + 2, sizeof *m->first_made);
    m->made = pt_arena_array(&m->arena, p->tensors, sizeof *m->made);
    if (!m->first_made || !m->made) return PT_OUT_OF_MEMORY();
    for (uint32_t t = 0; t < p->tensors; t++) {
        m->first_made[p->producer[t] == PT_NONE ? p->units + 1 : p->producer[t] + 1]++;
    }
    for (uint32_t i = 0; i <= p->units; i++) m->first_made[i + 1] += m->first_made[i];
    for (uint32_t t = 0; t < p->tensors; t++) {
        m->made[m->first_made[p->producer[t] == PT_NONE ? p->units : p->producer[t]]++] = t;
    }
    for (uint32_t i = p->units; i > 0; i--) m->first_made[i] = m->first_made[i - 1];
    m->first_made[0] = 0;
    return PARTITA_OK;
}

/* Arrays that the problem leaves out get their meaning. */
static partita_status fill_devices(pt_part_model *m, const pt_part_problem *p) {
    uint32_t k = p->devices;
    uint32_t *numbers = pt_arena_array(&m->arena, (size_t)k * k, sizeof *numbers);
    int64_t *zeros = pt_arena_array(&m->arena, k, sizeof *zeros);
    if (!numbers || !zeros) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < k * k; i++) numbers[i] = i;
    m->priority = p->priority ? p->priority : numbers;
    m->resource = p->resource ? p->resource : numbers;
    m->channel = p->channel ? p->channel : numbers;
    m->launch = p->launch ? p->launch : zeros;
    return PARTITA_OK;
}

partita_status pt_part_model_init(pt_part_model *model, const pt_part_problem *problem) {
    int64_t total = 0;
    *model = (pt_part_model){
        .problem = problem, .units = problem->units, .devices = problem->devices, .host = problem->host};
    PT_TRY(check(problem));
    PT_TRY(fill_devices(model, problem));
    PT_TRY(make_nodes(model, problem));
    PT_TRY(sum_costs(model, problem, &total));
    PT_TRY(pt_part_close_routes(model));
    for (uint32_t t = 0; t < problem->tensors; t++) PT_TRY(check_prices(model, t, &total));
    PT_TRY(sort_by_producer(model, problem));
    return make_tensors(model, problem);
}

void pt_part_model_deinit(pt_part_model *model) {
    if (model) pt_arena_deinit(&model->arena);
}
