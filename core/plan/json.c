/* SPDX-License-Identifier: Apache-2.0 */
/* The plan as one JSON document: what `partita plan --json` prints and what a session takes back. */
#include "plan/build.h"
#include "plan/json_text.h"
#include "plan/words.h"
#include "op/schema.h"
#include <jansson.h>

static json_t *names_of_cluster(const pt_plan *plan, const pt_plan_cluster *cluster) {
    const pt_model *model = plan->model;
    json_t *names = json_array();
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const pt_node *node = &model->nodes.data[cluster->nodes[i]];
        for (uint32_t k = 0; k < node->source_count; k++)
            json_array_append_new(names, pt_json_text(model->sources.data[node->sources[k]].name));
    }
    return names;
}

static json_t *clusters_json(const pt_plan *plan, const pt_plan_measured *measured) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < plan->cluster_count; i++) {
        const pt_plan_cluster *cluster = &plan->clusters[i];
        json_t *row = json_pack("{s:i,s:s,s:o,s:f,s:s}", "id", (int)i, "device",
                                pt_plan_device_name(plan, cluster->device), "nodes", names_of_cluster(plan, cluster),
                                "estimate_us", cluster->estimate_us, "source", cluster->source);
        if (measured) json_object_set_new(row, "measured_us", json_real(measured->cluster_us[i]));
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *edges_json(const pt_plan *plan, const pt_plan_measured *measured) {
    json_t *list = json_array();
    pt_text scratch = {0};
    for (uint32_t i = 0; i < plan->edge_count; i++) {
        const pt_plan_edge *edge = &plan->edges[i];
        json_t *row = json_pack(
            "{s:o,s:s,s:s,s:I,s:s,s:f}", "value", pt_json_text(pt_plan_value_name(plan, edge->value, &scratch)), "from",
            pt_plan_device_name(plan, edge->from), "to", pt_plan_device_name(plan, edge->to), "bytes",
            (json_int_t)edge->bytes, "route", pt_plan_route_name(edge), "estimate_us", edge->estimate_us);
        json_object_set_new(row, "at_most",
                            edge->at_most > INT64_MAX ? json_null() : json_integer((json_int_t)edge->at_most));
        if (measured) {
            json_object_set_new(row, "measured_us", json_real(measured->edge_us[i]));
            json_object_set_new(row, "bytes_moved", json_integer((json_int_t)measured->edge_bytes[i]));
            json_object_set_new(row, "copies", json_integer((json_int_t)measured->edge_copies[i]));
        }
        json_array_append_new(list, row);
    }
    pt_text_deinit(&scratch);
    return list;
}

static json_t *answers_json(const pt_plan *plan, uint32_t unit) {
    json_t *list = json_array();
    for (uint32_t d = 0; unit != PT_NONE && d < plan->device_count; d++) {
        const pt_plan_answer *answer = pt_plan_answer_at(plan, unit, d);
        bool can = answer->can == PTP_YES, refused = !can || answer->as_pieces;
        json_array_append_new(list, json_pack("{s:s,s:b,s:s,s:o,s:f}", "device", plan->devices[d]->name, "can", can,
                                              "code", refused ? pt_reason_code(answer->reason) : "", "reason",
                                              pt_json_text(pt_str(pt_plan_answer_text(answer))), "us", answer->us));
    }
    return list;
}

/* Null for a node that belongs to none. Answers to a whole one are those of its nodes. */
static json_t *group_json(const pt_plan *plan, pt_id node) {
    uint32_t piece = node == PT_NONE ? PT_NONE : plan->node_piece[node];
    uint32_t group = piece == PT_NONE ? PT_NONE : plan->units[piece].parent;
    if (group == PT_NONE) return json_null();
    const pt_plan_unit *unit = &plan->units[group];
    json_t *row =
        json_pack("{s:i,s:i,s:b}", "unit", (int)group, "nodes", (int)unit->node_count, "whole", (int)!unit->expanded);
    if (unit->expanded) json_object_set_new(row, "answers", answers_json(plan, group));
    return row;
}

/* NULL when memory is out. */
static json_t *nodes_json(const pt_plan *plan) {
    const pt_model *model = plan->model;
    pt_id *carrier = pt_plan_carriers(model);
    json_t *list = carrier ? json_array() : NULL;
    for (size_t i = 0; list && i < model->sources.size; i++) {
        const pt_source *source = &model->sources.data[i];
        pt_id node = carrier[i];
        bool first = node != PT_NONE && model->nodes.data[node].sources[0] == i;
        json_t *row = json_pack("{s:o,s:o,s:o}", "name", pt_json_text(source->name), "op", pt_json_text(source->op),
                                "domain", pt_json_text(source->domain));
        json_object_set_new(row, "device",
                            node == PT_NONE ? json_null()
                                            : json_string(pt_plan_device_name(plan, pt_plan_where(plan, node))));
        json_object_set_new(row, "removed_by",
                            node != PT_NONE ? json_null() : json_string(source->removed_by ? source->removed_by : ""));
        uint32_t unit = node == PT_NONE ? PT_NONE : plan->node_unit[node];
        json_object_set_new(row, "unit", unit == PT_NONE ? json_null() : json_integer(unit));
        /* Of a fused node the first source carries the work, so that the column sums up to the model's. */
        json_object_set_new(row, "flops",
                            json_integer(first ? (json_int_t)pt_node_flops(model, node, plan->symbol_values) : 0));
        json_object_set_new(row, "answers", answers_json(plan, unit));
        if (plan->has_groups) json_object_set_new(row, "group", group_json(plan, node));
        json_array_append_new(list, row);
    }
    pt_free(carrier);
    return list;
}

static json_t *demotions_json(const pt_plan *plan) {
    json_t *list = json_array();
    for (size_t i = 0; i < plan->demotions.size; i++) {
        const pt_plan_demotion *row = &plan->demotions.data[i];
        json_array_append_new(list, json_pack("{s:o,s:s,s:s,s:o}", "cluster", pt_json_text(pt_str(row->cluster)),
                                              "device", pt_plan_device_name(plan, row->device), "code",
                                              pt_reason_code(row->reason), "reason", pt_json_text(pt_str(row->text))));
    }
    return list;
}

/* Nominal shapes of the main graph's inputs: what the plan is priced for. */
static json_t *shapes_json(const pt_plan *plan) {
    const pt_model *model = plan->model;
    const pt_graph *graph = &model->graphs.data[0];
    json_t *shapes = json_object();
    for (size_t i = 0; i < graph->inputs.size; i++) {
        const pt_value *value = &model->values.data[graph->inputs.data[i]];
        json_t *dims = json_array();
        if (value->type.kind != PARTITA_KIND_TENSOR) {
            json_decref(dims);
            continue;
        }
        for (int32_t d = 0; d < value->type.rank; d++) {
            int64_t dim = pt_dim_evaluate(value->type.dims[d], plan->symbol_values);
            json_array_append_new(dims, dim == PT_DIM_UNKNOWN ? json_null() : json_integer(dim));
        }
        json_t *name = pt_json_text(value->name);
        json_object_set_new(shapes, json_string_value(name), dims);
        json_decref(name);
    }
    return shapes;
}

partita_status pt_plan_to_json(const pt_plan *plan, const pt_plan_measured *measured, char **out_json) {
    static const char *const objectives[] = {"latency", "throughput", "memory"};
    json_t *document = json_pack("{s:i,s:s,s:f,s:f,s:s}", "schema", 1, "objective",
                                 objectives[PT_MIN(plan->objective, 2u)], "estimate_us", plan->estimate_us,
                                 "lower_bound_us", plan->lower_bound_us, "candidate", plan->candidate);
    json_t *devices = json_array();
    for (uint32_t i = 0; i < plan->device_count; i++)
        json_array_append_new(devices, json_string(plan->devices[i]->name));
    json_object_set_new(document, "devices", devices);
    json_object_set_new(document, "shapes", shapes_json(plan));
    json_object_set_new(document, "clusters", clusters_json(plan, measured));
    json_object_set_new(document, "edges", edges_json(plan, measured));
    bool complete = json_object_set_new(document, "nodes", nodes_json(plan)) == 0;
    json_object_set_new(document, "demotions", demotions_json(plan));
    char *text = complete ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(document);
    if (!text) return PT_OUT_OF_MEMORY();
    size_t size = strlen(text) + 1;
    *out_json = pt_malloc(size);
    if (*out_json) memcpy(*out_json, text, size);
    free(text);
    return *out_json ? PARTITA_OK : PT_OUT_OF_MEMORY();
}
