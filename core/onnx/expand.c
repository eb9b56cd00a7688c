/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of a model replaced by the nodes of a function that computes the same. The function's bytes come from an
 * operator set or from the standard; its inputs, outputs and attributes are the node's.
 */
#include "onnx/expand.h"
#include "onnx/import.h"
#include "onnx/scan.h"

#include <stdio.h>

enum { NAME_BYTES = 16 };

typedef struct expansion {
    pt_importer importer;
    pt_node node; /* as it was: rows move when nodes are added */
    pt_id id;
    pt_scope scope; /* the node's values under the names that the call uses */
} expansion;

/* "i3" for input 3, "" for one that is absent. */
static partita_status name_values(expansion *e, const char *prefix, const pt_id *values, uint32_t count,
                                  char ***out_names) {
    char **names = pt_arena_array(&e->importer.scratch, count, sizeof *names);
    char *texts = pt_arena_array(&e->importer.scratch, count, NAME_BYTES);
    if (!names || !texts) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) {
        names[i] = texts + (size_t)i * NAME_BYTES;
        if (values[i] == PT_NONE) continue;
        snprintf(names[i], NAME_BYTES, "%s%u", prefix, i);
        if (!pt_map_put(&e->scope.names, pt_str(names[i]), values[i])) return PT_OUT_OF_MEMORY();
    }
    *out_names = names;
    return PARTITA_OK;
}

/* The new nodes carry what the node carried; what the importer noted of the function's own nodes goes. */
static partita_status hand_over_sources(expansion *e, size_t first_node, size_t source_count) {
    pt_model *model = e->importer.model;
    model->sources.size = source_count;
    for (size_t i = first_node; i < model->nodes.size; i++) {
        model->nodes.data[i].sources = NULL;
        model->nodes.data[i].source_count = 0;
        PT_TRY(pt_node_take_sources(model, (pt_id)i, e->id));
    }
    return PARTITA_OK;
}

static partita_status import(expansion *e, const Onnx__FunctionProto *function) {
    pt_model *model = e->importer.model;
    size_t first_node = model->nodes.size, source_count = model->sources.size;
    Onnx__NodeProto call = ONNX__NODE_PROTO__INIT;
    pt_site site = {&e->scope, NULL, PT_STR("")};
    call.n_input = e->node.input_count;
    call.n_output = e->node.output_count;
    PT_TRY(name_values(e, "i", e->node.inputs, e->node.input_count, &call.input));
    PT_TRY(name_values(e, "o", e->node.outputs, e->node.output_count, &call.output));
    PT_TRY(pt_import_call(&e->importer, &site, function, &call, pt_node_name(model, e->id)));
    PT_TRY(hand_over_sources(e, first_node, source_count));
    for (uint32_t i = 0; i < e->node.output_count; i++) pt_node_at(model, e->id)->outputs[i] = PT_NONE;
    pt_node_remove(model, e->id, "expand");
    return PARTITA_OK;
}

partita_status pt_onnx_expand(pt_model *model, pt_id id, const void *bytes, uint64_t size) {
    static const pt_onnx_options options = {0};
    static const Onnx__ModelProto none = ONNX__MODEL_PROTO__INIT;
    expansion e = {.node = *pt_node_at(model, id), .id = id, .scope = {.graph = pt_node_at(model, id)->graph}};
    pt_arena message_arena = {0};
    ProtobufCMessage *message = NULL;
    partita_status status;
    e.importer.model = model;
    e.importer.proto = &none;
    e.importer.options = &options;
    e.importer.origin.left = &e.importer.left;
    e.importer.expanded = &e.node;
    PT_CHECK(pt_mapping_from_memory(bytes, size, false, &e.importer.origin.mapping));
    PT_CHECK(
        pt_onnx_unpack(bytes, size, &onnx__function_proto__descriptor, 0, &message_arena, &message, &e.importer.left));
    PT_CHECK(pt_import_choose(model, &e.node, (Onnx__FunctionProto *)message));
    PT_CHECK(import(&e, (const Onnx__FunctionProto *)message));
out:
    pt_scope_deinit(&e.scope);
    pt_map_deinit(&e.importer.functions);
    pt_text_deinit(&e.importer.key);
    pt_map_deinit(&e.importer.dim_names);
    pt_arena_deinit(&e.importer.scratch);
    pt_arena_deinit(&message_arena);
    pt_mapping_release(e.importer.origin.mapping);
    if (status == PARTITA_OK) return status;
    partita_str name = pt_node_name(model, id);
    return pt_annotate(status, "node '%.*s' (%.*s): its body in ONNX", PT_STR_ARG(name), PT_STR_ARG(e.node.op));
}
