/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gradient names the tensors that it differentiates in attributes. Names mean something while a file is read only, so
 * their values become inputs behind those that the node has: the values given, xs and zs, y.
 */
#include "onnx/import.h"

#include <partita/plugin.h>

bool pt_import_is_gradient(const Onnx__NodeProto *node) {
    return strcmp(node->op_type, "Gradient") == 0 &&
           pt_str_is(pt_import_domain(node->domain), "ai.onnx.preview.training");
}

static partita_status append(pt_importer *importer, const pt_site *site, pt_id node, const char *attribute,
                             partita_str name) {
    partita_str terminated = pt_arena_str(&importer->scratch, name);
    if (!terminated.data) return PT_OUT_OF_MEMORY();
    pt_id value = name.size ? pt_scope_find(site->scope, terminated.data) : PT_NONE;
    if (value == PT_NONE) {
        return pt_fail(PARTITA_BAD_MODEL, "attribute %s names '%.*s', which is no tensor of the graph", attribute,
                       PT_STR_ARG(name));
    }
    return pt_node_set_input(importer->model, node, pt_node_at(importer->model, node)->input_count, value);
}

static partita_status strings(const pt_node *node, const char *name, const partita_str **out_names,
                              uint32_t *out_count) {
    const pt_attribute *attribute = pt_node_attribute(node, name);
    *out_count = 0;
    *out_names = NULL;
    if (!attribute) return PARTITA_OK;
    if (attribute->type != PTP_ATTRIBUTE_STRINGS) return pt_fail(PARTITA_BAD_MODEL, "attribute %s is no strings", name);
    *out_names = attribute->strings;
    *out_count = attribute->count;
    return PARTITA_OK;
}

partita_status pt_import_gradient(pt_importer *importer, const pt_site *site, pt_id node) {
    const pt_node *row = pt_node_at(importer->model, node);
    const pt_attribute *y = pt_node_attribute(row, "y");
    const partita_str *xs, *zs;
    uint32_t x_count, z_count, given = row->input_count;
    PT_TRY(strings(row, "xs", &xs, &x_count));
    PT_TRY(strings(row, "zs", &zs, &z_count));
    if (x_count == 0) return pt_fail(PARTITA_BAD_MODEL, "attribute xs names no tensor");
    if (!y || y->type != PTP_ATTRIBUTE_STRING) return pt_fail(PARTITA_BAD_MODEL, "attribute y is missing");
    if (given != (uint64_t)x_count + z_count) {
        return pt_fail(PARTITA_BAD_MODEL, "%u inputs for %u tensors of xs and %u of zs", given, x_count, z_count);
    }
    if (given > PT_IMPORT_MANY) return pt_fail(PARTITA_BAD_MODEL, "names more than %d tensors", PT_IMPORT_MANY);
    for (uint32_t i = 0; i < given; i++) {
        if (row->inputs[i] == PT_NONE) return pt_fail(PARTITA_BAD_MODEL, "input %u is absent", i);
    }
    for (uint32_t i = 0; i < x_count; i++) PT_TRY(append(importer, site, node, "xs", xs[i]));
    for (uint32_t i = 0; i < z_count; i++) PT_TRY(append(importer, site, node, "zs", zs[i]));
    return append(importer, site, node, "y", y->s);
}
