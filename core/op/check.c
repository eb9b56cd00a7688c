/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each node against its schema: counts of inputs and outputs, names and types of attributes; defaults are filled in, so
 * that nobody behind this point has to know them.
 */
#include "op/schema.h"

#include <partita/plugin.h>
#include <stdlib.h>

static const char *const type_names[] = {
    [0] = "undefined",
    [PTP_ATTRIBUTE_INT] = "int",
    [PTP_ATTRIBUTE_FLOAT] = "float",
    [PTP_ATTRIBUTE_STRING] = "string",
    [PTP_ATTRIBUTE_TENSOR] = "tensor",
    [PTP_ATTRIBUTE_GRAPH] = "graph",
    [PTP_ATTRIBUTE_INTS] = "ints",
    [PTP_ATTRIBUTE_FLOATS] = "floats",
    [PTP_ATTRIBUTE_STRINGS] = "strings",
    [PTP_ATTRIBUTE_TENSORS] = "tensors",
    [PTP_ATTRIBUTE_GRAPHS] = "graphs",
};

static const char *type_name(uint32_t type) { return type < PT_COUNT_OF(type_names) ? type_names[type] : "unknown"; }

static const pt_schema_attribute *find_attribute(const pt_schema *schema, partita_str name) {
    for (uint32_t i = 0; i < schema->attribute_count; i++) {
        if (pt_str_is(name, schema->attributes[i].name)) return &schema->attributes[i];
    }
    return NULL;
}

/* The pieces of "a,b"; `out` NULL only counts. */
static uint32_t split(const char *text, partita_str *out) {
    uint32_t count = 0;
    while (*text) {
        const char *end = strchr(text, ',');
        size_t size = end ? (size_t)(end - text) : strlen(text);
        if (out) out[count] = (partita_str){text, size};
        count++;
        text += size + (end ? 1 : 0);
    }
    return count;
}

static partita_status default_list(pt_arena *arena, const pt_schema_attribute *row, pt_attribute *attribute) {
    uint32_t count = split(row->default_text, NULL);
    partita_str *pieces = pt_arena_array(arena, count, sizeof *pieces);
    if (!pieces) return PT_OUT_OF_MEMORY();
    split(row->default_text, pieces);
    attribute->count = count;
    attribute->strings = pieces;
    if (row->type == PTP_ATTRIBUTE_STRINGS) return PARTITA_OK;
    int64_t *ints = pt_arena_array(arena, count, sizeof *ints);
    float *floats = pt_arena_array(arena, count, sizeof *floats);
    if (!ints || !floats) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) {
        ints[i] = strtoll(pieces[i].data, NULL, 10);
        floats[i] = strtof(pieces[i].data, NULL);
    }
    if (row->type == PTP_ATTRIBUTE_INTS) {
        attribute->ints = ints;
    } else {
        attribute->floats = floats;
    }
    return PARTITA_OK;
}

static partita_status set_default(pt_model *model, pt_id node, const pt_schema_attribute *row) {
    pt_attribute attribute = {.name = pt_str(row->name), .type = row->type, .count = 1};
    switch (row->type) {
    case PTP_ATTRIBUTE_INT: attribute.i = row->default_int; break;
    case PTP_ATTRIBUTE_FLOAT: attribute.f = row->default_float; break;
    case PTP_ATTRIBUTE_STRING: attribute.s = pt_str(row->default_text); break;
    default: PT_TRY(default_list(&model->arena, row, &attribute)); break;
    }
    return pt_node_set_attribute(model, node, &attribute);
}

static partita_status check_attributes(pt_model *model, pt_id id, const pt_schema *schema) {
    const pt_node *node = pt_node_at(model, id);
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        const pt_attribute *attribute = &node->attributes[i];
        const pt_schema_attribute *row = find_attribute(schema, attribute->name);
        if (!row) {
            return pt_fail(PARTITA_BAD_MODEL, "no attribute '%.*s' in version %d of the operator",
                           PT_STR_ARG(attribute->name), schema->since);
        }
        if (row->type && row->type != attribute->type) {
            return pt_fail(PARTITA_BAD_MODEL, "attribute '%s' is %s instead of %s", row->name,
                           type_name(attribute->type), type_name(row->type));
        }
    }
    for (uint32_t i = 0; i < schema->attribute_count; i++) {
        const pt_schema_attribute *row = &schema->attributes[i];
        if (pt_node_attribute(pt_node_at(model, id), row->name)) continue;
        if (row->required) return pt_fail(PARTITA_BAD_MODEL, "attribute '%s' is missing", row->name);
        if (row->has_default) PT_TRY(set_default(model, id, row));
    }
    return PARTITA_OK;
}

static partita_status check_count(const char *what, uint32_t count, uint32_t least, uint32_t most) {
    if (count >= least && count <= most) return PARTITA_OK;
    if (least == most) return pt_fail(PARTITA_BAD_MODEL, "%u %s instead of %u", count, what, least);
    if (most == UINT32_MAX) return pt_fail(PARTITA_BAD_MODEL, "%u %s instead of at least %u", count, what, least);
    return pt_fail(PARTITA_BAD_MODEL, "%u %s instead of %u to %u", count, what, least, most);
}

/* Inputs that may be left out follow those that may not, but for Loop, Scan and the old Resize (as exporters wrote it);
 * rows of operator sets name others. */
static partita_status check_left_out(const pt_node *node, const pt_schema *schema) {
    if (schema->flags & PT_OP_CONTROL_FLOW) return PARTITA_OK;
    uint32_t needed = strcmp(schema->name, "Resize") == 0 ? 1 : schema->min_inputs;
    /* No operator of ONNX gives one of any number of inputs a meaning when it is not there. */
    if (schema->max_inputs == UINT32_MAX && node->domain.size == 0) needed = node->input_count;
    for (uint32_t i = 0; i < needed; i++)
        if (node->inputs[i] == PT_NONE && (i >= 64 || !(schema->optional_inputs >> i & 1)))
            return pt_fail(PARTITA_BAD_MODEL, "input %u is left out, which it may not be", i);
    return PARTITA_OK;
}

/* Outputs of any number may be left out one by one. */
static partita_status check_left_out_outputs(const pt_node *node, const pt_schema *schema) {
    for (uint32_t i = 0; schema->max_outputs != UINT32_MAX && i < schema->min_outputs; i++)
        if (node->outputs[i] == PT_NONE)
            return pt_fail(PARTITA_BAD_MODEL, "output %u is left out, which it may not be", i);
    return PARTITA_OK;
}

static partita_status check_node(pt_model *model, pt_id id, const pt_schema_source *source) {
    pt_node *node = pt_node_at(model, id);
    const pt_schema *schema = pt_schema_find(node->domain, node->op, node->version);
    if (!schema && source) PT_TRY(source->find(source->user, node->domain, node->op, node->version, &schema));
    if (!schema) {
        if (node->domain.size == 0 && node->version <= PT_NEWEST_OPSET) {
            if (node->version <= 0) return pt_fail(PARTITA_BAD_MODEL, "the model imports no opset of ai.onnx");
            return pt_fail(PARTITA_BAD_MODEL, "no operator '%.*s' in opset %d", PT_STR_ARG(node->op), node->version);
        }
        return PARTITA_OK;
    }
    node->schema = schema;
    PT_TRY(check_count("inputs", node->input_count, schema->min_inputs, schema->max_inputs));
    PT_TRY(check_left_out(node, schema));
    PT_TRY(check_count("outputs", node->output_count, schema->min_outputs, schema->max_outputs));
    PT_TRY(check_left_out_outputs(node, schema));
    return check_attributes(model, id, schema);
}

static partita_status check_named(pt_model *model, pt_id id, const pt_schema_source *source) {
    partita_status status = check_node(model, id, source);
    if (status == PARTITA_OK) return PARTITA_OK;
    partita_str name = pt_node_name(model, id), op = pt_node_at(model, id)->op;
    return pt_annotate(status, "node '%.*s' (%.*s)", PT_STR_ARG(name), PT_STR_ARG(op));
}

partita_status pt_node_check(pt_model *model, pt_id node) { return check_named(model, node, NULL); }

partita_status pt_model_check(pt_model *model) { return pt_model_check_with(model, NULL); }

partita_status pt_model_check_with(pt_model *model, const pt_schema_source *source) {
    for (pt_id id = 0; id < model->nodes.size; id++) {
        if (!pt_node_at(model, id)->dead) PT_TRY(check_named(model, id, source));
    }
    return PARTITA_OK;
}
