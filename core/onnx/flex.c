/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FlexAttention with bodies: partita.FlexScores, the first body, Softmax, the second body, partita.FlexValues, with the
 * bodies' nodes in the graph around. So bodies are planned and computed like any other nodes. Without bodies it stays
 * one node.
 */
#include "onnx/import.h"

enum { SOFTMAX_VERSION = 13 };

static const Onnx__AttributeProto *find(const Onnx__NodeProto *node, const char *name) {
    for (size_t i = 0; i < node->n_attribute; i++) {
        if (node->attribute[i]->name && strcmp(node->attribute[i]->name, name) == 0) return node->attribute[i];
    }
    return NULL;
}

static const Onnx__GraphProto *body_of(const Onnx__NodeProto *node, const char *name) {
    const Onnx__AttributeProto *attribute = find(node, name);
    return attribute ? attribute->g : NULL;
}

bool pt_import_is_flex(const Onnx__NodeProto *node) {
    return strcmp(node->op_type, "FlexAttention") == 0 &&
           pt_str_is(pt_import_domain(node->domain), "ai.onnx.preview") &&
           (body_of(node, "score_mod") || body_of(node, "prob_mod"));
}

typedef struct flex {
    pt_importer *importer;
    const pt_site *site;
    const Onnx__NodeProto *node;
    partita_str name;
    uint32_t source;
} flex;

/* A node that stands for a piece of the operator; `out` PT_NONE: a new value. */
static partita_status add(const flex *f, const char *op, const char *domain, int32_t version, const pt_id *inputs,
                          uint32_t count, pt_id *out, pt_id *out_node) {
    pt_model *model = f->importer->model;
    if (*out == PT_NONE) {
        partita_str name = pt_arena_printf(&f->importer->scratch, "%.*s/%s", PT_STR_ARG(f->name), op);
        if (!name.data) return PT_OUT_OF_MEMORY();
        PT_TRY(pt_model_add_value(model, f->site->scope->graph, name, NULL, out));
    }
    PT_TRY(pt_model_add_node(model, f->site->scope->graph, pt_str(op), pt_str(domain), version, inputs, count, out, 1,
                             out_node));
    return pt_node_add_source(model, *out_node, f->source);
}

static partita_status take_attribute(const flex *f, const char *name, pt_id node) {
    const Onnx__AttributeProto *proto = find(f->node, name);
    pt_attribute attribute;
    bool present;
    if (!proto) return PARTITA_OK;
    PT_TRY(pt_import_attribute(f->importer, f->site, proto, PT_NONE, f->name, &attribute, &present));
    return present ? pt_node_set_attribute(f->importer->model, node, &attribute) : PARTITA_OK;
}

static partita_status apply(const flex *f, const char *name, pt_id *value) {
    const Onnx__GraphProto *body = body_of(f->node, name);
    if (!body) return PARTITA_OK;
    partita_str prefix = pt_arena_printf(&f->importer->scratch, "%.*s/%s/", PT_STR_ARG(f->name), name);
    if (!prefix.data) return PT_OUT_OF_MEMORY();
    partita_status status = pt_import_inline(f->importer, f->site, body, prefix, *value, value);
    return status ? pt_annotate(status, "attribute %s", name) : PARTITA_OK;
}

partita_status pt_import_flex(pt_importer *importer, const pt_site *site, const Onnx__NodeProto *node,
                              partita_str source) {
    flex f = {importer, site, node, source, 0};
    pt_id in[3], scores = PT_NONE, weights = PT_NONE, added;
    if (node->n_input != 3 || node->n_output != 1 || !*node->output[0]) {
        return pt_fail(PARTITA_BAD_MODEL, "%zu inputs and %zu outputs instead of 3 and 1", node->n_input,
                       node->n_output);
    }
    for (size_t i = 0; i < node->n_attribute; i++) {
        const char *name = node->attribute[i]->name;
        bool known = name && (find(node, name) == node->attribute[i]) &&
                     (strcmp(name, "scale") == 0 || strcmp(name, "softmax_precision") == 0 ||
                      strcmp(name, "score_mod") == 0 || strcmp(name, "prob_mod") == 0);
        if (!known) return pt_fail(PARTITA_BAD_MODEL, "attribute %s is not known or there twice", name ? name : "");
    }
    for (size_t i = 0; i < 3; i++) {
        in[i] = pt_scope_find(site->scope, node->input[i]);
        if (in[i] == PT_NONE) return pt_fail(PARTITA_BAD_MODEL, "input %s is computed by no node", node->input[i]);
    }
    PT_TRY(pt_import_source(importer, source, node->op_type, pt_import_domain(node->domain), &f.source));
    PT_TRY(add(&f, "FlexScores", "partita", 1, in, 2, &scores, &added));
    PT_TRY(take_attribute(&f, "scale", added));
    PT_TRY(take_attribute(&f, "softmax_precision", added));
    PT_TRY(apply(&f, "score_mod", &scores));
    PT_TRY(add(&f, "Softmax", "", SOFTMAX_VERSION, &scores, 1, &weights, &added));
    PT_TRY(apply(&f, "prob_mod", &weights));
    pt_id output = pt_map_get(&site->scope->names, pt_str(node->output[0]));
    pt_id summed[2] = {weights, in[2]};
    return add(&f, "FlexValues", "partita", 1, summed, 2, &output, &added);
}
