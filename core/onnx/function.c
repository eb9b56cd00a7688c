/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-local functions: a call is replaced by the function's nodes, in a scope of their own where the formal inputs
 * are the caller's values.
 */
#include "onnx/import.h"

enum { MAX_CALLS = 32 }; /* within each other */

partita_str pt_import_domain(const char *domain) {
    partita_str text = pt_onnx_str(domain);
    return pt_str_is(text, "ai.onnx") ? PT_STR("") : text;
}

partita_status pt_import_source(pt_importer *importer, partita_str name, const char *op, partita_str domain,
                                uint32_t *out_source) {
    return pt_model_add_source(importer->model, name, pt_str(op), domain, out_source);
}

partita_status pt_import_version(const pt_importer *importer, const pt_site *site, partita_str domain,
                                 int32_t *out_version) {
    int64_t version = 0;
    if (site->call) {
        const Onnx__FunctionProto *function = site->call->function;
        for (size_t i = 0; i < function->n_opset_import; i++) {
            const Onnx__OperatorSetIdProto *opset = function->opset_import[i];
            if (pt_str_equal(pt_import_domain(opset->domain), domain)) version = opset->version;
        }
    }
    if (version == 0) version = pt_model_opset(importer->model, domain);
    if (version == 0 && domain.size) version = 1; /* exporters forget to import the domains of their own operators */
    if (version < 1 || version > INT32_MAX) {
        return pt_fail(PARTITA_BAD_MODEL, "version %lld of its operator set is none", (long long)version);
    }
    *out_version = (int32_t)version;
    return PARTITA_OK;
}

/* ---- finding --------------------------------------------------------------------------------- */

/* Domain, name and overload, with a byte between them that no name has; in importer->key until the next one. */
static partita_status function_key(pt_importer *importer, const char *domain, const char *name, const char *overload,
                                   partita_str *out_key) {
    importer->key.size = 0;
    pt_text_append(&importer->key, pt_import_domain(domain));
    pt_text_append(&importer->key, PT_STR("\x01"));
    pt_text_append(&importer->key, pt_onnx_str(name));
    pt_text_append(&importer->key, PT_STR("\x01"));
    pt_text_append(&importer->key, pt_onnx_str(overload));
    *out_key = (partita_str){importer->key.data, importer->key.size};
    return importer->key.failed ? PT_OUT_OF_MEMORY() : PARTITA_OK;
}

partita_status pt_import_index_functions(pt_importer *importer) {
    partita_str key;
    for (size_t i = 0; i < importer->proto->n_functions; i++) {
        const Onnx__FunctionProto *function = importer->proto->functions[i];
        if (function->n_attribute_proto > PT_IMPORT_MANY || function->n_opset_import > PT_IMPORT_MANY) {
            return pt_fail(PARTITA_BAD_MODEL, "a function has more than %d attributes or operator sets",
                           PT_IMPORT_MANY);
        }
        PT_TRY(function_key(importer, function->domain, function->name, function->overload, &key));
        if (pt_map_get(&importer->functions, key) != PT_NONE) {
            return pt_fail(PARTITA_BAD_MODEL, "function %s is defined twice", function->name ? function->name : "");
        }
        key = pt_arena_str(&importer->scratch, key);
        if (!key.data || !pt_map_put(&importer->functions, key, (uint32_t)i)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

partita_status pt_import_function_of(pt_importer *importer, const Onnx__NodeProto *node,
                                     const Onnx__FunctionProto **out_function) {
    partita_str key;
    *out_function = NULL;
    if (importer->functions.size == 0) return PARTITA_OK;
    PT_TRY(function_key(importer, node->domain, node->op_type, node->overload, &key));
    uint32_t index = pt_map_get(&importer->functions, key);
    if (index != PT_NONE) *out_function = importer->proto->functions[index];
    return PARTITA_OK;
}

/* ---- calls ----------------------------------------------------------------------------------- */

bool pt_import_is_formal(const pt_call *call, const char *name) {
    for (size_t i = 0; call && i < call->function->n_input; i++) {
        if (strcmp(call->function->input[i], name) == 0) return true;
    }
    return false;
}

/* Formal inputs are the caller's values; those that the call leaves out are absent. */
static partita_status bind_inputs(const pt_call *call, pt_scope *scope) {
    const Onnx__FunctionProto *function = call->function;
    if (call->node->n_input > function->n_input) return pt_fail(PARTITA_BAD_MODEL, "more inputs than the function has");
    for (size_t i = 0; i < call->node->n_input; i++) {
        const char *name = call->node->input[i];
        if (!*name) continue;
        pt_id value = pt_scope_find(call->site->scope, name);
        if (value == PT_NONE && pt_import_is_formal(call->site->call, name)) continue;
        if (value == PT_NONE) {
            return pt_fail(PARTITA_BAD_MODEL, "input %s is computed by no node and is no input or initializer", name);
        }
        if (pt_map_get(&scope->names, pt_str(function->input[i])) != PT_NONE) {
            return pt_fail(PARTITA_BAD_MODEL, "value %s is defined twice", function->input[i]);
        }
        if (!pt_map_put(&scope->names, pt_str(function->input[i]), value)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

static partita_status bind_outputs(const pt_call *call, pt_scope *scope) {
    const Onnx__FunctionProto *function = call->function;
    if (call->node->n_output > function->n_output) {
        return pt_fail(PARTITA_BAD_MODEL, "more outputs than the function has");
    }
    for (size_t i = 0; i < call->node->n_output; i++) {
        if (!*call->node->output[i]) continue;
        pt_id value = pt_map_get(&call->site->scope->names, pt_str(call->node->output[i]));
        if (!pt_map_put(&scope->results, pt_str(function->output[i]), value)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

/* An output that is an input, or a second name of another output, is copied. */
static partita_status copy_output(pt_importer *importer, const pt_site *site, const char *formal, pt_id value) {
    pt_id from = pt_map_get(&site->scope->names, pt_str(formal)), node;
    uint32_t source;
    int32_t version;
    if (from == value) return PARTITA_OK;
    if (from == PT_NONE) return pt_fail(PARTITA_BAD_MODEL, "output %s of the function is not computed", formal);
    PT_TRY(pt_import_version(importer, site, PT_STR(""), &version));
    PT_TRY(pt_importer_charge(importer, sizeof(pt_node) + sizeof(pt_source) + site->prefix.size + strlen(formal)));
    partita_str name = pt_arena_printf(&importer->scratch, "%.*s%s", PT_STR_ARG(site->prefix), formal);
    if (!name.data) return PT_OUT_OF_MEMORY();
    PT_TRY(pt_model_add_node(importer->model, site->scope->graph, PT_STR("Identity"), PT_STR(""), version, &from, 1,
                             &value, 1, &node));
    PT_TRY(pt_import_source(importer, name, "Identity", PT_STR(""), &source));
    return pt_node_add_source(importer->model, node, source);
}

static partita_status import_body(pt_importer *importer, const pt_site *site, const pt_call *call) {
    PT_TRY(bind_inputs(call, site->scope));
    PT_TRY(bind_outputs(call, site->scope));
    PT_TRY(pt_import_nodes(importer, site, call->function->node, call->function->n_node));
    for (size_t i = 0; i < call->node->n_output; i++) {
        if (!*call->node->output[i]) continue;
        pt_id value = pt_map_get(&call->site->scope->names, pt_str(call->node->output[i]));
        PT_TRY(copy_output(importer, site, call->function->output[i], value));
    }
    return PARTITA_OK;
}

partita_status pt_import_call(pt_importer *importer, const pt_site *site, const Onnx__FunctionProto *function,
                              const Onnx__NodeProto *node, partita_str source) {
    pt_call call = {function, node, site, site->call ? site->call->depth + 1 : 0,
                    site->call ? NULL : importer->expanded};
    for (const pt_call *outer = site->call; outer; outer = outer->site->call) {
        if (outer->function == function) return pt_fail(PARTITA_BAD_MODEL, "function %s calls itself", function->name);
    }
    if (call.depth >= MAX_CALLS) return pt_fail(PARTITA_BAD_MODEL, "functions call each other more than 32 deep");
    PT_TRY(pt_importer_charge(importer, source.size + 1));
    pt_scope scope = {.graph = site->scope->graph};
    pt_site inside = {&scope, &call, pt_arena_printf(&importer->scratch, "%.*s/", PT_STR_ARG(source))};
    if (!inside.prefix.data) return PT_OUT_OF_MEMORY();
    partita_status status = import_body(importer, &inside, &call);
    pt_scope_deinit(&scope);
    return status;
}
