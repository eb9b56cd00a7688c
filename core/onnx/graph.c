/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs and nodes. All values of a graph are made before its nodes, so that the order of nodes in the file is free;
 * names are looked up in the graph and then outwards, which makes captures plain uses.
 */
#include "onnx/import.h"

#include <partita/plugin.h>

void pt_scope_deinit(pt_scope *scope) {
    pt_map_deinit(&scope->names);
    pt_map_deinit(&scope->results);
}

pt_id pt_scope_find(const pt_scope *scope, const char *name) {
    partita_str key = pt_str(name);
    for (; scope; scope = scope->parent) {
        uint32_t value = pt_map_get(&scope->names, key);
        if (value != PT_NONE) return value;
    }
    return PT_NONE;
}

/* Names are borrowed from the file's message, which outlives the import. */
static partita_status declare(pt_importer *importer, pt_scope *scope, const char *name, const pt_type *type,
                              pt_id *out_value) {
    if (pt_map_get(&scope->names, pt_str(name)) != PT_NONE) {
        return pt_fail(PARTITA_BAD_MODEL, "value %s is defined twice", name);
    }
    /* What a call's node computes is the caller's value already. */
    *out_value = pt_map_get(&scope->results, pt_str(name));
    if (*out_value == PT_NONE) {
        PT_TRY(pt_model_add_value(importer->model, scope->graph, pt_str(name), type, out_value));
    }
    return pt_map_put(&scope->names, pt_str(name), *out_value) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static bool is_constant(const Onnx__NodeProto *node) {
    return node->op_type && strcmp(node->op_type, "Constant") == 0 && pt_import_domain(node->domain).size == 0;
}

static partita_status resolve_values(pt_importer *importer, const pt_site *site, char *const *names, size_t count,
                                     bool inputs, pt_id **out_ids) {
    const pt_scope *scope = site->scope;
    pt_id *ids = pt_arena_array(&importer->scratch, count, sizeof *ids);
    if (!ids) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) {
        ids[i] = PT_NONE;
        if (!names[i] || !*names[i]) continue;
        ids[i] = inputs ? pt_scope_find(scope, names[i]) : pt_map_get(&scope->names, pt_str(names[i]));
        if (ids[i] == PT_NONE && !pt_import_is_formal(site->call, names[i])) {
            return pt_fail(PARTITA_BAD_MODEL, "input %s is computed by no node and is no input or initializer",
                           names[i]);
        }
    }
    *out_ids = ids;
    return PARTITA_OK;
}

/* The operator Optional spells its type as an attribute that is a type. */
static partita_status take_type(pt_importer *importer, const Onnx__NodeProto *proto, pt_id output) {
    for (size_t i = 0; i < proto->n_attribute; i++) {
        if (!proto->attribute[i]->tp || output == PT_NONE || strcmp(proto->op_type, "Optional") != 0) continue;
        pt_type element, type = {.kind = PARTITA_KIND_OPTIONAL, .rank = -1, .element = &element};
        PT_TRY(pt_import_type(importer, proto->attribute[i]->tp, PT_TRUST_KIND, &element));
        type.dtype = element.dtype;
        PT_TRY(pt_type_copy(&importer->model->arena, &type, &pt_value_at(importer->model, output)->type));
    }
    return PARTITA_OK;
}

static partita_status import_attributes(pt_importer *importer, const pt_site *site, const Onnx__NodeProto *proto,
                                        pt_id node, partita_str source) {
    pt_attribute *attributes = pt_arena_array(&importer->model->arena, proto->n_attribute, sizeof *attributes);
    uint32_t count = 0;
    if (!attributes) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < proto->n_attribute; i++) {
        bool present;
        PT_TRY(pt_import_attribute(importer, site, proto->attribute[i], node, source, &attributes[count], &present));
        for (uint32_t k = 0; k < count && present; k++) {
            if (pt_str_equal(attributes[k].name, attributes[count].name)) {
                return pt_fail(PARTITA_BAD_MODEL, "attribute %s is there twice", proto->attribute[i]->name);
            }
        }
        count += present;
    }
    pt_node_at(importer->model, node)->attributes = attributes;
    pt_node_at(importer->model, node)->attribute_count = count;
    return PARTITA_OK;
}

static partita_status import_operator(pt_importer *importer, const pt_site *site, const Onnx__NodeProto *proto,
                                      partita_str name) {
    pt_id *inputs, *outputs, node;
    uint32_t source;
    int32_t version;
    partita_str domain = pt_import_domain(proto->domain);
    PT_TRY(pt_import_version(importer, site, domain, &version));
    PT_TRY(resolve_values(importer, site, proto->input, proto->n_input, true, &inputs));
    PT_TRY(resolve_values(importer, site, proto->output, proto->n_output, false, &outputs));
    PT_TRY(pt_model_add_node(importer->model, site->scope->graph, pt_str(proto->op_type), domain, version, inputs,
                             (uint32_t)proto->n_input, outputs, (uint32_t)proto->n_output, &node));
    PT_TRY(pt_import_source(importer, name, proto->op_type, domain, &source));
    PT_TRY(pt_node_add_source(importer->model, node, source));
    PT_TRY(import_attributes(importer, site, proto, node, name));
    if (pt_import_is_gradient(proto)) PT_TRY(pt_import_gradient(importer, site, node));
    return proto->n_output ? take_type(importer, proto, outputs[0]) : PARTITA_OK;
}

static partita_status import_constant_node(pt_importer *importer, const pt_site *site, const Onnx__NodeProto *proto,
                                           partita_str name) {
    pt_tensor *tensor;
    uint32_t source;
    if (proto->n_input || proto->n_output != 1 || !proto->output[0] || !*proto->output[0]) {
        return pt_fail(PARTITA_BAD_MODEL, "a constant has no inputs and one output");
    }
    PT_TRY(pt_import_constant(importer, site, proto, &tensor));
    PT_TRY(pt_value_set_constant(importer->model, pt_map_get(&site->scope->names, pt_str(proto->output[0])), tensor));
    PT_TRY(pt_import_source(importer, name, proto->op_type, PT_STR(""), &source));
    importer->model->sources.data[source].removed_by = "import";
    return PARTITA_OK;
}

static partita_status import_node(pt_importer *importer, const pt_site *site, const Onnx__NodeProto *proto,
                                  partita_str name) {
    const Onnx__FunctionProto *function;
    if (proto->n_attribute > PT_IMPORT_MANY) {
        return pt_fail(PARTITA_BAD_MODEL, "has more than %d attributes", PT_IMPORT_MANY);
    }
    PT_TRY(pt_import_function_of(importer, proto, &function));
    if (!function && pt_import_is_flex(proto)) return pt_import_flex(importer, site, proto, name);
    if (function) return pt_import_call(importer, site, function, proto, name);
    if (is_constant(proto)) return import_constant_node(importer, site, proto, name);
    return import_operator(importer, site, proto, name);
}

/* What people see: prefix and name, or "#17:Conv" where the file gives none. */
static partita_status source_name(pt_importer *importer, const pt_site *site, const Onnx__NodeProto *proto, size_t i,
                                  partita_str *out_name) {
    bool named = proto->name && *proto->name;
    size_t size = named ? strlen(proto->name) : strlen(proto->op_type) + 16;
    PT_TRY(pt_importer_charge(importer, site->prefix.size ? 2 * (site->prefix.size + size) : 0));
    if (site->call) PT_TRY(pt_importer_charge(importer, sizeof(pt_node) + sizeof(pt_source) + 256));
    *out_name = named ? pt_arena_printf(&importer->scratch, "%.*s%s", PT_STR_ARG(site->prefix), proto->name)
                      : pt_arena_printf(&importer->scratch, "%.*s#%zu:%s", PT_STR_ARG(site->prefix), i, proto->op_type);
    return out_name->data ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

partita_status pt_import_nodes(pt_importer *importer, const pt_site *site, Onnx__NodeProto *const *nodes,
                               size_t count) {
    for (size_t i = 0; i < count; i++) {
        const Onnx__NodeProto *node = nodes[i];
        if (!node->op_type || !*node->op_type) {
            return pt_fail(PARTITA_BAD_MODEL, "node %.*s#%zu has no operator", PT_STR_ARG(site->prefix), i);
        }
        for (size_t k = 0; k < node->n_output; k++) {
            pt_id value;
            if (!*node->output[k]) continue;
            if (site->call) PT_TRY(pt_importer_charge(importer, sizeof(pt_value) + strlen(node->output[k]) + 64));
            partita_status status = declare(importer, site->scope, node->output[k], NULL, &value);
            if (status && node->name && *node->name)
                return pt_annotate(status, "node %.*s%s (%s)", PT_STR_ARG(site->prefix), node->name, node->op_type);
            if (status) return pt_annotate(status, "node %.*s#%zu:%s", PT_STR_ARG(site->prefix), i, node->op_type);
        }
    }
    for (size_t i = 0; i < count; i++) {
        partita_str name;
        PT_TRY(source_name(importer, site, nodes[i], i, &name));
        partita_status status = import_node(importer, site, nodes[i], name);
        if (status) return pt_annotate(status, "node %.*s (%s)", PT_STR_ARG(name), nodes[i]->op_type);
    }
    return PARTITA_OK;
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static partita_status add_constant(pt_importer *importer, pt_scope *scope, const char *name, pt_tensor *tensor) {
    pt_id value;
    PT_TRY(declare(importer, scope, name, NULL, &value));
    return pt_value_set_constant(importer->model, value, tensor);
}

/* A body's inputs are given at each turn, so an initializer of the same name never counts. */
static bool is_hidden(const pt_importer *importer, const pt_scope *scope, const char *name) {
    pt_id value = pt_map_get(&scope->names, pt_str(name));
    return value != PT_NONE && pt_value_at(importer->model, value)->is_input;
}

static partita_status import_initializers(pt_importer *importer, pt_scope *scope, const Onnx__GraphProto *proto) {
    pt_tensor *tensor;
    for (size_t i = 0; i < proto->n_initializer; i++) {
        const char *name = proto->initializer[i]->name;
        if (!name || !*name) return pt_fail(PARTITA_BAD_MODEL, "initializer %zu has no name", i);
        if (is_hidden(importer, scope, name)) continue;
        partita_status status = pt_onnx_tensor(importer->model, &importer->origin, proto->initializer[i], &tensor);
        if (status == PARTITA_OK) status = add_constant(importer, scope, name, tensor);
        if (status) return pt_annotate(status, "initializer %s", name);
    }
    for (size_t i = 0; i < proto->n_sparse_initializer; i++) {
        const Onnx__SparseTensorProto *sparse = proto->sparse_initializer[i];
        const char *name = sparse->values ? sparse->values->name : NULL;
        if (!name || !*name) return pt_fail(PARTITA_BAD_MODEL, "sparse initializer %zu has no name", i);
        if (is_hidden(importer, scope, name)) continue;
        partita_status status = pt_onnx_sparse_tensor(importer->model, &importer->origin, sparse, &tensor);
        if (status == PARTITA_OK) status = add_constant(importer, scope, name, tensor);
        if (status) return pt_annotate(status, "sparse initializer %s", name);
    }
    return PARTITA_OK;
}

static bool is_overridable(const pt_importer *importer, const pt_value *value) {
    const pt_onnx_options *options = importer->options;
    if (value->constant->sparse_indices) return false;
    for (uint32_t i = 0; i < options->overridable_count; i++)
        if (strcmp(options->overridable[i], "*") == 0 || pt_str_is(value->name, options->overridable[i])) return true;
    return false;
}

/* The constant becomes an input, with the constant for those who give none. */
static partita_status make_overridable(pt_importer *importer, const pt_scope *scope, const Onnx__ValueInfoProto *info,
                                       pt_id id) {
    pt_type type;
    PT_TRY(pt_import_type(importer, info->type, PT_TRUST_INPUT, &type));
    pt_value *value = pt_value_at(importer->model, id);
    const pt_tensor *tensor = value->constant;
    bool fits = type.kind == PARTITA_KIND_TENSOR && type.dtype == tensor->dtype &&
                (type.rank < 0 || type.rank == (int32_t)tensor->rank);
    for (int32_t i = 0; fits && i < type.rank; i++)
        fits = !pt_dim_is_exact(type.dims[i]) || type.dims[i] == tensor->dims[i];
    if (!fits) return pt_fail(PARTITA_BAD_MODEL, "its initializer is of another type");
    value->type = type;
    value->preset = value->constant;
    value->constant = NULL;
    return pt_graph_add_input(importer->model, scope->graph, id);
}

static partita_status import_inputs(pt_importer *importer, pt_scope *scope, const Onnx__GraphProto *proto, bool main) {
    for (size_t i = 0; i < proto->n_input; i++) {
        const Onnx__ValueInfoProto *info = proto->input[i];
        pt_type type;
        pt_id value;
        if (!info->name || !*info->name) return pt_fail(PARTITA_BAD_MODEL, "input %zu has no name", i);
        /* Old versions list initializers among the inputs; newer ones may, as defaults of inputs. */
        uint32_t known = pt_map_get(&scope->names, pt_str(info->name));
        if (main && known != PT_NONE && pt_value_at(importer->model, known)->constant) {
            if (!is_overridable(importer, pt_value_at(importer->model, known))) continue;
            partita_status made = make_overridable(importer, scope, info, known);
            if (made) return pt_annotate(made, "input %s", info->name);
            continue;
        }
        partita_status status = pt_import_type(importer, info->type, main ? PT_TRUST_INPUT : PT_TRUST_KIND, &type);
        if (status == PARTITA_OK) status = declare(importer, scope, info->name, &type, &value);
        if (status) return pt_annotate(status, "input %s", info->name);
        PT_TRY(pt_graph_add_input(importer->model, scope->graph, value));
    }
    return PARTITA_OK;
}

/* ONNX's own domains: room op infers their types, and better than what is written. */
static bool is_inferred(partita_str domain) {
    return domain.size == 0 || (domain.size > 8 && memcmp(domain.data, "ai.onnx.", 8) == 0);
}

static partita_status believe(pt_importer *importer, const pt_scope *scope, const Onnx__ValueInfoProto *info) {
    uint32_t id = info->name ? pt_map_get(&scope->names, pt_str(info->name)) : PT_NONE;
    if (id == PT_NONE || pt_value_at(importer->model, id)->type.kind != PARTITA_KIND_NONE) return PARTITA_OK;
    pt_type type;
    pt_id producer = pt_value_at(importer->model, id)->producer;
    bool inferred = producer == PT_NONE || is_inferred(pt_node_at(importer->model, producer)->domain);
    partita_status status = pt_import_type(importer, info->type, inferred ? PT_TRUST_KIND : PT_TRUST_DECLARED, &type);
    if (status) return pt_annotate(status, "value %s", info->name);
    pt_value_at(importer->model, id)->type = type;
    return PARTITA_OK;
}

static partita_status import_outputs(pt_importer *importer, const pt_scope *scope, const Onnx__GraphProto *proto) {
    for (size_t i = 0; i < proto->n_output; i++) {
        const char *name = proto->output[i]->name;
        pt_id value = name ? pt_scope_find(scope, name) : PT_NONE;
        if (value == PT_NONE) {
            return pt_fail(PARTITA_BAD_MODEL, "output %s of graph %s is not computed", name ? name : "",
                           proto->name ? proto->name : "");
        }
        PT_TRY(pt_graph_add_output(importer->model, scope->graph, value));
    }
    return PARTITA_OK;
}

static partita_status import_contents(pt_importer *importer, const pt_site *site, const Onnx__GraphProto *proto,
                                      bool main) {
    pt_scope *scope = site->scope;
    if (main) PT_TRY(import_initializers(importer, scope, proto));
    PT_TRY(import_inputs(importer, scope, proto, main));
    if (!main) PT_TRY(import_initializers(importer, scope, proto));
    PT_TRY(pt_import_nodes(importer, site, proto->node, proto->n_node));
    PT_TRY(import_outputs(importer, scope, proto));
    for (size_t i = 0; i < proto->n_value_info; i++) PT_TRY(believe(importer, scope, proto->value_info[i]));
    for (size_t i = 0; i < proto->n_output; i++) PT_TRY(believe(importer, scope, proto->output[i]));
    return PARTITA_OK;
}

partita_status pt_import_inline(pt_importer *importer, const pt_site *around, const Onnx__GraphProto *proto,
                                partita_str prefix, pt_id input, pt_id *out_value) {
    pt_scope scope = {.parent = around->scope, .graph = around->scope->graph};
    pt_site site = {.scope = &scope, .call = around->call, .prefix = prefix};
    if (proto->n_input != 1 || proto->n_output != 1 || !proto->input[0]->name || !proto->output[0]->name) {
        return pt_fail(PARTITA_BAD_MODEL, "the body has %zu inputs and %zu outputs instead of one each", proto->n_input,
                       proto->n_output);
    }
    bool room = pt_map_put(&scope.names, pt_str(proto->input[0]->name), input);
    partita_status status = room ? import_initializers(importer, &scope, proto) : PT_OUT_OF_MEMORY();
    if (status == PARTITA_OK) status = pt_import_nodes(importer, &site, proto->node, proto->n_node);
    if (status == PARTITA_OK) {
        *out_value = pt_scope_find(&scope, proto->output[0]->name);
        if (*out_value == PT_NONE)
            status = pt_fail(PARTITA_BAD_MODEL, "output %s of the body is not computed", proto->output[0]->name);
    }
    pt_scope_deinit(&scope);
    return status;
}

partita_status pt_import_graph(pt_importer *importer, const pt_site *around, const Onnx__GraphProto *proto,
                               pt_id parent, partita_str prefix, pt_id *out_graph) {
    pt_scope scope = {.parent = around ? around->scope : NULL};
    pt_site site = {.scope = &scope, .call = around ? around->call : NULL, .prefix = prefix};
    PT_TRY(pt_model_add_graph(importer->model, pt_onnx_str(proto->name), parent, &scope.graph));
    partita_status status = import_contents(importer, &site, proto, parent == PT_NONE);
    pt_scope_deinit(&scope);
    if (status == PARTITA_OK) *out_graph = scope.graph;
    return status;
}
