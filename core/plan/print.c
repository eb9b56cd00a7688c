/* SPDX-License-Identifier: Apache-2.0 */
/* The plan as text for people, and as Graphviz's. */
#include "plan/build.h"
#include "plan/words.h"
#include <inttypes.h>

/* A name as people are shown it: on one line. */
static void print_name(pt_text *out, partita_str name) { pt_text_append_clean(out, name, true); }

static void print_summary(const pt_plan *plan, pt_text *out) {
    static const char *const objectives[] = {"latency", "throughput", "memory"};
    pt_text_printf(out, "%s %.1f us estimated, at least %.1f us, by %s, over", objectives[PT_MIN(plan->objective, 2u)],
                   plan->estimate_us, plan->lower_bound_us, plan->candidate);
    for (uint32_t i = 0; i < plan->device_count; i++)
        pt_text_printf(out, "%s %s", i ? "," : "", plan->devices[i]->name);
    const pt_graph *graph = &plan->model->graphs.data[0];
    if (graph->inputs.size) pt_text_printf(out, "\nfor");
    for (size_t i = 0; i < graph->inputs.size; i++) {
        const pt_value *value = &plan->model->values.data[graph->inputs.data[i]];
        pt_text_printf(out, "%s ", i ? "," : "");
        print_name(out, value->name);
        for (int32_t d = 0; d < value->type.rank; d++) {
            int64_t dim = pt_dim_evaluate(value->type.dims[d], plan->symbol_values);
            if (dim == PT_DIM_UNKNOWN)
                pt_text_printf(out, "%s?", d ? "x" : "=");
            else
                pt_text_printf(out, "%s%" PRId64, d ? "x" : "=", dim);
        }
    }
    pt_text_printf(out, "\n");
}

static void print_clusters(const pt_plan *plan, const pt_plan_measured *measured, pt_text *out) {
    pt_text_printf(out, "%5s %-10s %6s %12s%s  %s\n", "part", "device", "nodes", "estimate us",
                   measured ? "  measured us" : "", "first node");
    for (uint32_t i = 0; i < plan->cluster_count; i++) {
        const pt_plan_cluster *cluster = &plan->clusters[i];
        pt_text_printf(out, "%5u %-10s %6u %12.1f", i, pt_plan_device_name(plan, cluster->device), cluster->node_count,
                       cluster->estimate_us);
        if (measured) pt_text_printf(out, " %12.1f", measured->cluster_us[i]);
        pt_text_printf(out, "  ");
        print_name(out, pt_node_name(plan->model, cluster->nodes[0]));
        pt_text_printf(out, "\n");
    }
}

static void print_edges(const pt_plan *plan, const pt_plan_measured *measured, pt_text *out) {
    pt_text scratch = {0};
    uint64_t bytes = 0, moved = 0;
    uint32_t unknown = 0;
    if (plan->edge_count) pt_text_printf(out, "crossing\n");
    for (uint32_t i = 0; i < plan->edge_count; i++) {
        const pt_plan_edge *edge = &plan->edges[i];
        bytes += edge->bytes;
        unknown += edge->at_most != edge->bytes;
        pt_text_printf(out, "  %-10s -> %-10s %-7s ", pt_plan_device_name(plan, edge->from),
                       pt_plan_device_name(plan, edge->to), pt_plan_route_name(edge));
        if (edge->at_most == edge->bytes)
            pt_text_printf(out, "%10" PRIu64 " bytes", edge->bytes);
        else
            pt_plan_print_bytes(edge, out);
        pt_text_printf(out, " %10.1f us", edge->estimate_us);
        if (measured) {
            moved += measured->edge_bytes[i];
            pt_text_printf(out, ", moved %" PRIu64 " in %" PRIu64 " copies, %.1f us", measured->edge_bytes[i],
                           measured->edge_copies[i], measured->edge_us[i]);
        }
        pt_text_printf(out, "  ");
        print_name(out, pt_plan_value_name(plan, edge->value, &scratch));
        pt_text_printf(out, "\n");
    }
    pt_text_printf(out, "%u parts, %u crossing values, %" PRIu64 " bytes", plan->cluster_count, plan->edge_count,
                   bytes);
    if (unknown) pt_text_printf(out, " and those of %u unknown ones", unknown);
    if (measured) pt_text_printf(out, ", %" PRIu64 " moved", moved);
    pt_text_printf(out, "\n");
    pt_text_deinit(&scratch);
}

static void print_refusal(const pt_plan_answer *answer, pt_text *out) {
    pt_text_printf(out, "no, %s: ", pt_reason_code(answer->reason));
    print_name(out, pt_str(pt_plan_answer_text(answer)));
    pt_text_printf(out, "\n");
}

static void print_answers(const pt_plan *plan, uint32_t unit, const char *indent, pt_text *out) {
    for (uint32_t d = 0; d < plan->device_count; d++) {
        const pt_plan_answer *answer = pt_plan_answer_at(plan, unit, d);
        pt_text_printf(out, "%s%s: ", indent, plan->devices[d]->name);
        if (answer->can == PTP_YES)
            pt_text_printf(out, "yes, %.1f us (%s)%s", answer->us, answer->source,
                           answer->as_pieces ? ", as a group " : "\n");
        if (answer->can != PTP_YES || answer->as_pieces) print_refusal(answer, out);
    }
}

static void print_why_node(const pt_plan *plan, pt_id node, pt_text *out) {
    uint32_t piece = plan->node_piece[node], group = piece == PT_NONE ? PT_NONE : plan->units[piece].parent;
    pt_text_printf(out, "%s", pt_plan_device_name(plan, pt_plan_where(plan, node)));
    if (group != PT_NONE && !plan->units[group].expanded)
        pt_text_printf(out, ", in a group of %u", plan->units[group].node_count);
    pt_text_printf(out, "\n");
    if (plan->node_unit[node] != PT_NONE) print_answers(plan, plan->node_unit[node], "    ", out);
    if (group == PT_NONE || !plan->units[group].expanded) return;
    pt_text_printf(out, "    its group of %u:\n", plan->units[group].node_count);
    print_answers(plan, group, "        ", out);
}

static void print_why(const pt_plan *plan, pt_text *out) {
    const pt_model *model = plan->model;
    pt_id *carrier = pt_plan_carriers(model);
    for (size_t i = 0; carrier && i < model->sources.size; i++) {
        const pt_source *source = &model->sources.data[i];
        pt_id node = carrier[i];
        print_name(out, source->name);
        pt_text_printf(out, " (");
        print_name(out, source->op);
        pt_text_printf(out, "): ");
        if (node == PT_NONE) {
            pt_text_printf(out, "removed by %s\n", source->removed_by ? source->removed_by : "");
            continue;
        }
        print_why_node(plan, node, out);
    }
    pt_free(carrier);
}

void pt_plan_print(const pt_plan *plan, const pt_plan_measured *measured, bool why, pt_text *out_text) {
    print_summary(plan, out_text);
    print_clusters(plan, measured, out_text);
    print_edges(plan, measured, out_text);
    for (size_t i = 0; i < plan->demotions.size; i++) {
        const pt_plan_demotion *row = &plan->demotions.data[i];
        pt_text_printf(out_text, "demoted: ");
        print_name(out_text, pt_str(row->cluster));
        pt_text_printf(out_text, " from %s, %s: ", pt_plan_device_name(plan, row->device), pt_reason_code(row->reason));
        print_name(out_text, pt_str(row->text));
        pt_text_printf(out_text, "\n");
    }
    if (why) print_why(plan, out_text);
}

/* ---- Graphviz -------------------------------------------------------------------------------- */

static void dot_text(pt_text *out, partita_str text) {
    char shown[256];
    pt_str_show(text, shown, sizeof(shown));
    for (const char *at = shown; *at; at++) {
        if (*at == '"' || *at == '\\') pt_text_append(out, PT_STR("\\"));
        pt_text_append(out, (partita_str){at, 1});
    }
}

/* The box that stands for a value's producer or consumer: a part, a node that the host runs, or the world outside. */
static void dot_place(const pt_plan *plan, pt_id node, pt_text *out) {
    uint32_t unit = node == PT_NONE ? PT_NONE : plan->node_unit[node];
    if (unit == PT_NONE)
        pt_text_printf(out, "world");
    else if (plan->units[unit].cluster == PT_NONE)
        pt_text_printf(out, "n%u", node);
    else
        pt_text_printf(out, "p%u", plan->units[unit].cluster);
}

static void dot_edges(const pt_plan *plan, pt_text *out) {
    const pt_model *model = plan->model;
    for (pt_id id = 0; id < model->values.size; id++) {
        const pt_value *value = &model->values.data[id];
        if (value->dead || value->constant) continue;
        uint32_t from = value->producer == PT_NONE ? PT_NONE : plan->node_unit[value->producer], before = PT_NONE;
        for (size_t i = 0; i < value->uses.size; i++) {
            pt_id node = value->uses.data[i].node;
            uint32_t to = plan->node_unit[node];
            bool inside = from != PT_NONE && to != PT_NONE && plan->units[from].cluster == plan->units[to].cluster &&
                          plan->units[to].cluster != PT_NONE;
            uint32_t target = to == PT_NONE ? PT_NONE : plan->units[to].cluster;
            if (to == PT_NONE || inside || (target != PT_NONE && target == before)) continue;
            before = target;
            pt_text_printf(out, "  ");
            dot_place(plan, value->producer, out);
            pt_text_printf(out, " -> ");
            dot_place(plan, node, out);
            uint64_t bytes;
            if (pt_plan_value_size(plan, id, &bytes))
                pt_text_printf(out, " [label=\"%" PRIu64 "\"];\n", bytes);
            else
                pt_text_printf(out, " [label=\"?\"];\n");
        }
    }
}

void pt_plan_print_dot(const pt_plan *plan, pt_text *out_text) {
    static const char *const colours[] = {"#cfe3f7", "#f7d9c4", "#d5efd0", "#e6d6f2", "#f7efc0", "#d0ecec"};
    pt_text_printf(out_text, "digraph plan {\n  node [shape=box style=filled fontname=\"sans-serif\"];\n"
                             "  world [label=\"inputs\" fillcolor=\"#eeeeee\"];\n");
    for (uint32_t i = 0; i < plan->cluster_count; i++) {
        const pt_plan_cluster *cluster = &plan->clusters[i];
        pt_text_printf(out_text, "  p%u [fillcolor=\"%s\" label=\"%s\\n", i,
                       colours[cluster->device % PT_COUNT_OF(colours)], pt_plan_device_name(plan, cluster->device));
        dot_text(out_text, pt_node_name(plan->model, cluster->nodes[0]));
        if (cluster->node_count > 1) pt_text_printf(out_text, "\\nand %u more", cluster->node_count - 1);
        pt_text_printf(out_text, "\\n%.1f us\"];\n", cluster->estimate_us);
    }
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        const pt_plan_unit *unit = &plan->units[i];
        if (unit->device != PT_PLAN_HOST || unit->cluster != PT_NONE) continue;
        pt_text_printf(out_text, "  n%u [fillcolor=\"#eeeeee\" label=\"(host)\\n", unit->nodes[0]);
        dot_text(out_text, pt_node_name(plan->model, unit->nodes[0]));
        pt_text_printf(out_text, "\"];\n");
    }
    dot_edges(plan, out_text);
    pt_text_printf(out_text, "}\n");
}
