/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topological order. A node comes after the producers of its own inputs and of what its bodies take from outside. Nodes
 * are visited in the order they have, so a sorted graph stays as it is.
 */
#include "graph/model.h"

/* Producers of each node within its graph: rows[first[n] .. first[n + 1]). */
typedef struct edges {
    uint32_t *first; /* [nodes + 2]; while filling, first[n + 1] is where the next one of n goes */
    pt_id *rows;
    bool counting;
} edges;

/* The node of graph `home` that is `node`, or has it in a body; PT_NONE when `home` isn't around it. */
static pt_id ancestor(const pt_model *model, pt_id node, pt_id home) {
    while (node != PT_NONE && pt_node_at(model, node)->graph != home) {
        node = model->graphs.data[pt_node_at(model, node)->graph].parent;
    }
    return node;
}

static void add_edge(const pt_model *model, edges *all, pt_id node, pt_id value) {
    if (value == PT_NONE || node == PT_NONE) return;
    pt_id producer = pt_value_at(model, value)->producer;
    if (producer == PT_NONE) return;
    pt_id user = ancestor(model, node, pt_node_at(model, producer)->graph);
    if (user == PT_NONE) return;
    if (all->counting) {
        all->first[user + 2]++;
    } else {
        all->rows[all->first[user + 1]++] = producer;
    }
}

static void add_edges(const pt_model *model, edges *all) {
    for (pt_id n = 0; n < model->nodes.size; n++) {
        const pt_node *node = pt_node_at(model, n);
        if (node->dead) continue;
        for (uint32_t i = 0; i < node->input_count; i++) add_edge(model, all, n, node->inputs[i]);
    }
    for (size_t g = 0; g < model->graphs.size; g++) {
        const pt_graph *graph = &model->graphs.data[g];
        for (size_t i = 0; i < graph->outputs.size; i++) add_edge(model, all, graph->parent, graph->outputs.data[i]);
    }
}

static partita_status collect(const pt_model *model, edges *all) {
    size_t nodes = model->nodes.size;
    all->first = pt_calloc(nodes + 2, sizeof *all->first);
    if (!all->first) return PT_OUT_OF_MEMORY();
    all->counting = true;
    add_edges(model, all);
    uint64_t total = 0;
    for (size_t n = 0; n <= nodes; n++) {
        total += all->first[n + 1];
        if (total > UINT32_MAX) return pt_fail(PARTITA_OVER_BUDGET, "too many edges");
        all->first[n + 1] = (uint32_t)total;
    }
    all->rows = pt_malloc(total ? (size_t)total * sizeof *all->rows : 1);
    if (!all->rows) return PT_OUT_OF_MEMORY();
    all->counting = false;
    add_edges(model, all);
    return PARTITA_OK;
}

enum { WHITE, GREY, BLACK };

typedef struct visit {
    pt_id node;
    uint32_t next; /* edge to follow */
} visit;

/* Depth first without recursion; appends to `order`, which has room. */
static partita_status visit_graph(const pt_model *model, const edges *all, const pt_graph *graph, uint8_t *colours,
                                  visit *stack, pt_id *order) {
    size_t count = 0;
    for (size_t i = 0; i < graph->order.size; i++) {
        size_t depth = 0;
        if (colours[graph->order.data[i]] == BLACK) continue;
        stack[depth++] = (visit){graph->order.data[i], all->first[graph->order.data[i]]};
        colours[graph->order.data[i]] = GREY;
        while (depth) {
            visit *top = &stack[depth - 1];
            if (top->next == all->first[top->node + 1]) {
                colours[top->node] = BLACK;
                order[count++] = top->node;
                depth--;
                continue;
            }
            pt_id producer = all->rows[top->next++];
            if (colours[producer] == GREY) {
                partita_str name = pt_node_name(model, producer);
                return pt_fail(PARTITA_BAD_MODEL, "node %.*s takes part in a cycle", PT_STR_ARG(name));
            }
            if (colours[producer] == BLACK) continue;
            colours[producer] = GREY;
            stack[depth++] = (visit){producer, all->first[producer]};
        }
    }
    return PARTITA_OK;
}

partita_status pt_model_sort(pt_model *model) {
    partita_status status;
    edges all = {0};
    uint8_t *colours = pt_calloc(model->nodes.size + 1, 1);
    visit *stack = pt_malloc((model->nodes.size + 1) * sizeof *stack);
    pt_id *order = pt_malloc((model->nodes.size + 1) * sizeof *order);
    if (!colours || !stack || !order) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    PT_CHECK(collect(model, &all));
    for (size_t g = 0; g < model->graphs.size; g++) {
        pt_graph *graph = &model->graphs.data[g];
        PT_CHECK(visit_graph(model, &all, graph, colours, stack, order));
        if (graph->order.size) memcpy(graph->order.data, order, graph->order.size * sizeof *order);
    }
out:
    pt_free(all.first);
    pt_free(all.rows);
    pt_free(colours);
    pt_free(stack);
    pt_free(order);
    return status;
}
