/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maximum flow by two search trees that are kept and repaired after each augmentation (Boykov and Kolmogorov, "An
 * experimental comparison of min-cut/max-flow algorithms", 2004). Every unit has links to both terminals, so paths
 * are short. No recursion: chains are 100,000 long.
 */
#include "partitioner/flow.h"

#include "partitioner/model.h"

enum { TREE_NONE, TREE_SOURCE, TREE_SINK };

#define NO_ARC      UINT32_MAX
#define NO_PARENT   UINT32_MAX
#define AT_TERMINAL (UINT32_MAX - 1)
#define IS_ORPHAN   (UINT32_MAX - 2)

void pt_flow_deinit(pt_flow *flow) {
    if (!flow) return;
    pt_array_deinit(&flow->nodes);
    pt_array_deinit(&flow->arcs);
    pt_array_deinit(&flow->costs);
    pt_array_deinit(&flow->orphans);
}

void pt_flow_reset(pt_flow *flow) {
    flow->nodes.size = flow->arcs.size = flow->costs.size = flow->orphans.size = 0;
    flow->constant = 0;
    flow->failed = false;
}

uint32_t pt_flow_add(pt_flow *flow) {
    pt_flow_node node = {.first_arc = NO_ARC};
    if (flow->failed || !pt_array_push(&flow->costs, 0) || !pt_array_push(&flow->costs, 0) ||
        !pt_array_push(&flow->nodes, node)) {
        flow->failed = true;
        return 0;
    }
    return (uint32_t)flow->nodes.size - 1;
}

void pt_flow_cost(pt_flow *flow, uint32_t node, int64_t cost0, int64_t cost1) {
    if (flow->failed) return;
    int64_t *costs = flow->costs.data + (size_t)node * 2;
    costs[0] = pt_part_add(costs[0], cost0);
    costs[1] = pt_part_add(costs[1], cost1);
}

static void push_arc(pt_flow *flow, uint32_t from, uint32_t to, int64_t residual) {
    flow->arcs.data[flow->arcs.size] = (pt_flow_arc){residual, to, flow->nodes.data[from].first_arc};
    flow->nodes.data[from].first_arc = (uint32_t)flow->arcs.size++;
}

void pt_flow_arc_cost(pt_flow *flow, uint32_t from, uint32_t to, int64_t cost) {
    if (cost <= 0 || flow->failed) return;
    if (!pt_array_reserve(&flow->arcs, flow->arcs.size + 2)) {
        flow->failed = true;
        return;
    }
    push_arc(flow, from, to, cost);
    push_arc(flow, to, from, 0);
}

/* ---- queue of active nodes, first in first out ------------------------------------------------ */

static void activate(pt_flow *flow, uint32_t v) {
    pt_flow_node *nodes = flow->nodes.data;
    if (nodes[v].next_active != PT_NONE) return;
    nodes[v].next_active = v;
    if (flow->last_active != PT_NONE) {
        nodes[flow->last_active].next_active = v;
    } else {
        flow->first_active = v;
    }
    flow->last_active = v;
}

static uint32_t next_active(pt_flow *flow) {
    pt_flow_node *nodes = flow->nodes.data;
    while (flow->first_active != PT_NONE) {
        uint32_t v = flow->first_active;
        if (nodes[v].next_active == v) {
            flow->first_active = flow->last_active = PT_NONE;
        } else {
            flow->first_active = nodes[v].next_active;
        }
        nodes[v].next_active = PT_NONE;
        if (nodes[v].tree != TREE_NONE) return v;
    }
    return PT_NONE;
}

/* ---- trees ------------------------------------------------------------------------------------ */

static void plant(pt_flow *flow) {
    flow->first_active = flow->last_active = PT_NONE;
    flow->time = 0;
    for (uint32_t v = 0; v < flow->nodes.size; v++) {
        pt_flow_node *node = &flow->nodes.data[v];
        int64_t cost0 = flow->costs.data[(size_t)v * 2], cost1 = flow->costs.data[(size_t)v * 2 + 1];
        /* The source's link is cut when the label is 1, the sink's when it's 0. What both share is flow already. */
        flow->constant = pt_part_add(flow->constant, PT_MIN(cost0, cost1));
        node->excess = cost1 - cost0;
        node->next_active = PT_NONE;
        node->stamp = 0;
        node->depth = 1;
        node->tree = node->excess > 0 ? TREE_SOURCE : node->excess < 0 ? TREE_SINK : TREE_NONE;
        node->parent = node->tree == TREE_NONE ? NO_PARENT : AT_TERMINAL;
        if (node->tree != TREE_NONE) activate(flow, v);
    }
}

/* Residual of the arc in the direction in which flow runs through the tree: away from the source, towards the sink. */
static int64_t outward(const pt_flow *flow, uint32_t arc, uint8_t tree) {
    return flow->arcs.data[tree == TREE_SOURCE ? arc : arc ^ 1].residual;
}

/* Lets the tree of v grow; returns an arc from the source's tree to the sink's when the trees meet. */
static uint32_t grow(pt_flow *flow, uint32_t v) {
    pt_flow_node *nodes = flow->nodes.data, *node = &nodes[v];
    for (uint32_t a = node->first_arc; a != NO_ARC; a = flow->arcs.data[a].next) {
        if (outward(flow, a, node->tree) <= 0) continue;
        uint32_t u = flow->arcs.data[a].head;
        pt_flow_node *other = &nodes[u];
        if (other->tree == TREE_NONE) {
            other->tree = node->tree;
            other->parent = a ^ 1;
            other->stamp = node->stamp;
            other->depth = node->depth + 1;
            activate(flow, u);
        } else if (other->tree != node->tree) {
            return node->tree == TREE_SOURCE ? a : a ^ 1;
        } else if (other->stamp <= node->stamp && other->depth > node->depth) {
            /* A shorter way to the terminal. */
            other->parent = a ^ 1;
            other->stamp = node->stamp;
            other->depth = node->depth + 1;
        }
    }
    return NO_ARC;
}

/* Residual between v and its parent, in the direction of the flow. */
static int64_t *inward(pt_flow *flow, uint32_t v) {
    uint32_t arc = flow->nodes.data[v].parent;
    return &flow->arcs.data[flow->nodes.data[v].tree == TREE_SOURCE ? arc ^ 1 : arc].residual;
}

static int64_t *against(pt_flow *flow, uint32_t v) {
    uint32_t arc = flow->nodes.data[v].parent;
    return &flow->arcs.data[flow->nodes.data[v].tree == TREE_SOURCE ? arc : arc ^ 1].residual;
}

static uint32_t parent_of(const pt_flow *flow, uint32_t v) { return flow->arcs.data[flow->nodes.data[v].parent].head; }

static bool make_orphan(pt_flow *flow, uint32_t v) {
    flow->nodes.data[v].parent = IS_ORPHAN;
    return pt_array_push(&flow->orphans, v);
}

static int64_t narrowest(pt_flow *flow, uint32_t v, int64_t least) {
    for (; flow->nodes.data[v].parent != AT_TERMINAL; v = parent_of(flow, v)) least = PT_MIN(least, *inward(flow, v));
    int64_t excess = flow->nodes.data[v].excess;
    return PT_MIN(least, excess < 0 ? -excess : excess);
}

static bool push_along(pt_flow *flow, uint32_t v, int64_t amount) {
    bool ok = true;
    while (flow->nodes.data[v].parent != AT_TERMINAL) {
        uint32_t parent = parent_of(flow, v);
        int64_t *left = inward(flow, v);
        *against(flow, v) += amount;
        *left -= amount;
        if (*left == 0) ok = make_orphan(flow, v) && ok;
        v = parent;
    }
    pt_flow_node *root = &flow->nodes.data[v];
    root->excess += root->tree == TREE_SOURCE ? -amount : amount;
    if (root->excess == 0) ok = make_orphan(flow, v) && ok;
    return ok;
}

static bool augment(pt_flow *flow, uint32_t bridge) {
    uint32_t tail = flow->arcs.data[bridge ^ 1].head, head = flow->arcs.data[bridge].head;
    int64_t amount = narrowest(flow, head, narrowest(flow, tail, flow->arcs.data[bridge].residual));
    flow->arcs.data[bridge].residual -= amount;
    flow->arcs.data[bridge ^ 1].residual += amount;
    flow->constant = pt_part_add(flow->constant, amount);
    bool ok = push_along(flow, tail, amount);
    return push_along(flow, head, amount) && ok;
}

/* Depth of v when its tree still hangs on the terminal, else 0. Stamps the way: it's cheap next time. */
static uint32_t depth_of(pt_flow *flow, uint32_t v) {
    pt_flow_node *nodes = flow->nodes.data;
    uint32_t steps = 0, depth, u = v;
    for (;; u = parent_of(flow, u), steps++) {
        if (nodes[u].stamp == flow->time) {
            depth = nodes[u].depth + steps;
            break;
        }
        if (nodes[u].parent == AT_TERMINAL) {
            nodes[u].stamp = flow->time;
            nodes[u].depth = 1;
            depth = steps + 1;
            break;
        }
        if (nodes[u].parent == IS_ORPHAN || nodes[u].parent == NO_PARENT) return 0;
    }
    uint32_t result = depth;
    for (u = v; nodes[u].stamp != flow->time; u = parent_of(flow, u)) {
        nodes[u].stamp = flow->time;
        nodes[u].depth = depth--;
    }
    return result;
}

/* Finds the orphan a new parent, or frees it and makes orphans of its children. */
static bool adopt(pt_flow *flow, uint32_t v) {
    pt_flow_node *nodes = flow->nodes.data;
    uint8_t tree = nodes[v].tree;
    uint32_t best_arc = NO_ARC, best_depth = UINT32_MAX;
    for (uint32_t a = nodes[v].first_arc; a != NO_ARC; a = flow->arcs.data[a].next) {
        uint32_t u = flow->arcs.data[a].head;
        if (nodes[u].tree != tree || nodes[u].parent == NO_PARENT || outward(flow, a ^ 1, tree) <= 0) continue;
        uint32_t depth = depth_of(flow, u);
        if (depth && depth < best_depth) {
            best_arc = a;
            best_depth = depth;
        }
    }
    if (best_arc != NO_ARC) {
        nodes[v].parent = best_arc;
        nodes[v].stamp = flow->time;
        nodes[v].depth = best_depth + 1;
        return true;
    }
    bool ok = true;
    for (uint32_t a = nodes[v].first_arc; a != NO_ARC; a = flow->arcs.data[a].next) {
        uint32_t u = flow->arcs.data[a].head, parent = nodes[u].parent;
        if (nodes[u].tree != tree || parent == NO_PARENT) continue;
        if (outward(flow, a ^ 1, tree) > 0) activate(flow, u);
        if (parent != AT_TERMINAL && parent != IS_ORPHAN && flow->arcs.data[parent].head == v) {
            ok = make_orphan(flow, u) && ok;
        }
    }
    nodes[v].tree = TREE_NONE;
    nodes[v].parent = NO_PARENT;
    return ok;
}

partita_status pt_flow_solve(pt_flow *flow, int64_t *out_cost) {
    if (flow->failed) return PT_OUT_OF_MEMORY();
    plant(flow);
    for (uint32_t v; (v = next_active(flow)) != PT_NONE;) {
        /* The same node goes on as long as it finds paths. */
        for (uint32_t bridge; flow->nodes.data[v].tree != TREE_NONE && (bridge = grow(flow, v)) != NO_ARC;) {
            flow->time++;
            flow->orphans.size = 0;
            bool ok = augment(flow, bridge);
            for (size_t i = 0; ok && i < flow->orphans.size; i++) ok = adopt(flow, flow->orphans.data[i]);
            if (!ok) return PT_OUT_OF_MEMORY();
        }
    }
    *out_cost = flow->constant;
    return PARTITA_OK;
}

uint32_t pt_flow_label(const pt_flow *flow, uint32_t node) { return flow->nodes.data[node].tree == TREE_SINK; }
