/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing: messages are built in an arena out of the model's own strings and bytes, and packed once.
 */
#include "onnx/writer.h"
#include "onnx/encode.h"

#include <partita/plugin.h>
#include <stdio.h>

enum { OLDEST_WRITTEN_IR = 8 };

typedef struct writer {
    const pt_model *model;
    const pt_onnx_part *part;
    pt_arena arena;
    pt_map named;              /* names of the part's inputs and outputs -> values */
    uint8_t *seen;             /* by value: the constant is among the initializers */
    PT_ARRAY(pt_id) constants; /* used by the nodes, in order of first use */
    PT_ARRAY(pt_opset) opsets;
} writer;

/* ---- names ----------------------------------------------------------------------------------- */

static char *value_name(writer *w, pt_id value) {
    if (value == PT_NONE) return pt_encode_str(&w->arena, PT_STR(""));
    partita_str name = pt_value_at(w->model, value)->name;
    if (name.size && pt_map_get(&w->named, name) == value) return pt_encode_str(&w->arena, name);
    partita_str unique = pt_arena_printf(&w->arena, "%.*s%%%u", PT_STR_ARG(name), value);
    return unique.data ? pt_encode_str(&w->arena, unique) : NULL;
}

static partita_status value_names(writer *w, const pt_id *values, size_t count, char ***out_names) {
    *out_names = pt_arena_array(&w->arena, count, sizeof **out_names);
    if (!*out_names) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) {
        (*out_names)[i] = value_name(w, values[i]);
        if (!(*out_names)[i]) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

static partita_status reserve_names(writer *w, const pt_id *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        partita_str name = pt_value_at(w->model, values[i])->name;
        if (name.size == 0 || pt_map_get(&w->named, name) != PT_NONE) continue;
        if (!pt_map_put(&w->named, name, values[i])) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static partita_status note_constant(writer *w, pt_id value) {
    if (value == PT_NONE || w->seen[value] || !pt_value_at(w->model, value)->constant) return PARTITA_OK;
    w->seen[value] = 1;
    return pt_array_push(&w->constants, value) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status note_opset(writer *w, const pt_node *node) {
    for (size_t i = 0; i < w->opsets.size; i++) {
        if (!pt_str_equal(w->opsets.data[i].domain, node->domain)) continue;
        w->opsets.data[i].version = PT_MAX(w->opsets.data[i].version, node->version);
        return PARTITA_OK;
    }
    return pt_array_push(&w->opsets, (pt_opset){node->domain, node->version}) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status write_body(writer *w, pt_id id, Onnx__GraphProto **out);

static partita_status write_graphs(writer *w, const pt_attribute *attribute, Onnx__GraphProto **graphs) {
    for (uint32_t i = 0; i < attribute->count; i++) { PT_TRY(write_body(w, attribute->graphs[i], &graphs[i])); }
    return PARTITA_OK;
}

static partita_status write_strings(writer *w, const partita_str *strings, uint32_t count, ProtobufCBinaryData *out) {
    for (uint32_t i = 0; i < count; i++) {
        char *copy = pt_encode_str(&w->arena, strings[i]);
        if (!copy) return PT_OUT_OF_MEMORY();
        out[i] = (ProtobufCBinaryData){strings[i].size, (uint8_t *)copy};
    }
    return PARTITA_OK;
}

/* Tensors of an attribute; sparse ones are written only where there is one alone. */
static partita_status write_tensors(writer *w, const pt_attribute *attribute, Onnx__TensorProto **tensors) {
    for (uint32_t i = 0; i < attribute->count; i++) {
        if (attribute->tensors[i]->sparse_indices) {
            return pt_fail(PARTITA_UNSUPPORTED, "a list of sparse tensors cannot be written");
        }
        PT_TRY(pt_encode_model_tensor(&w->arena, attribute->tensors[i], tensors[i]));
    }
    return PARTITA_OK;
}

static void *copy_numbers(writer *w, const void *from, size_t count, size_t bytes) {
    void *copy = pt_arena_array(&w->arena, count, bytes);
    if (copy && count) memcpy(copy, from, count * bytes);
    return copy;
}

static partita_status write_list(writer *w, const pt_attribute *attribute, Onnx__AttributeProto *out) {
    size_t count = attribute->count;
    switch (attribute->type) {
    case PTP_ATTRIBUTE_INTS:
        out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        out->n_ints = count;
        out->ints = copy_numbers(w, attribute->ints, count, sizeof *attribute->ints);
        return out->ints ? PARTITA_OK : PT_OUT_OF_MEMORY();
    case PTP_ATTRIBUTE_FLOATS:
        out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
        out->n_floats = count;
        out->floats = copy_numbers(w, attribute->floats, count, sizeof *attribute->floats);
        return out->floats ? PARTITA_OK : PT_OUT_OF_MEMORY();
    case PTP_ATTRIBUTE_STRINGS:
        out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS;
        out->n_strings = count;
        out->strings = pt_arena_array(&w->arena, count, sizeof *out->strings);
        return out->strings ? write_strings(w, attribute->strings, attribute->count, out->strings) : PT_OUT_OF_MEMORY();
    case PTP_ATTRIBUTE_TENSORS:
        out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSORS;
        out->n_tensors = count;
        out->tensors = pt_encode_list(&w->arena, &onnx__tensor_proto__descriptor, count);
        return out->tensors ? write_tensors(w, attribute, out->tensors) : PT_OUT_OF_MEMORY();
    default:
        out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPHS;
        out->n_graphs = count;
        out->graphs = pt_arena_array(&w->arena, count, sizeof *out->graphs);
        return out->graphs ? write_graphs(w, attribute, out->graphs) : PT_OUT_OF_MEMORY();
    }
}

static partita_status write_sparse(writer *w, const pt_tensor *tensor, Onnx__SparseTensorProto **out) {
    *out = pt_encode_new(&w->arena, &onnx__sparse_tensor_proto__descriptor);
    return *out ? pt_encode_sparse_tensor(&w->arena, tensor, *out) : PT_OUT_OF_MEMORY();
}

static partita_status write_attribute(writer *w, const pt_attribute *attribute, Onnx__AttributeProto *out) {
    out->name = pt_encode_str(&w->arena, attribute->name);
    if (!out->name) return PT_OUT_OF_MEMORY();
    out->has_type = true;
    switch (attribute->type) {
    case PTP_ATTRIBUTE_INT:
        out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        out->has_i = true;
        out->i = attribute->i;
        return PARTITA_OK;
    case PTP_ATTRIBUTE_FLOAT:
        out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        out->has_f = true;
        out->f = attribute->f;
        return PARTITA_OK;
    case PTP_ATTRIBUTE_STRING:
        out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
        out->has_s = true;
        return write_strings(w, &attribute->s, 1, &out->s);
    case PTP_ATTRIBUTE_TENSOR:
        if (attribute->tensors[0]->sparse_indices) {
            out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR;
            return write_sparse(w, attribute->tensors[0], &out->sparse_tensor);
        }
        out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
        out->t = pt_encode_new(&w->arena, &onnx__tensor_proto__descriptor);
        return out->t ? write_tensors(w, attribute, &out->t) : PT_OUT_OF_MEMORY();
    case PTP_ATTRIBUTE_GRAPH:
        out->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
        return write_graphs(w, attribute, &out->g);
    default: return write_list(w, attribute, out);
    }
}

static partita_status write_node(writer *w, pt_id id, Onnx__NodeProto *out) {
    const pt_node *node = pt_node_at(w->model, id);
    out->name = node->source_count ? pt_encode_str(&w->arena, pt_node_name(w->model, id)) : NULL;
    out->op_type = pt_encode_str(&w->arena, node->op);
    out->domain = pt_encode_str(&w->arena, node->domain);
    if (!out->op_type || !out->domain || (node->source_count && !out->name)) return PT_OUT_OF_MEMORY();
    out->n_input = node->input_count;
    out->n_output = node->output_count;
    PT_TRY(value_names(w, node->inputs, node->input_count, &out->input));
    PT_TRY(value_names(w, node->outputs, node->output_count, &out->output));
    for (uint32_t i = 0; i < node->input_count; i++) PT_TRY(note_constant(w, node->inputs[i]));
    PT_TRY(note_opset(w, node));
    out->n_attribute = node->attribute_count;
    out->attribute = pt_encode_list(&w->arena, &onnx__attribute_proto__descriptor, node->attribute_count);
    if (!out->attribute) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        PT_TRY(write_attribute(w, &node->attributes[i], out->attribute[i]));
    }
    return PARTITA_OK;
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static partita_status write_infos(writer *w, const pt_id *values, size_t count, Onnx__ValueInfoProto ***out) {
    *out = pt_encode_list(&w->arena, &onnx__value_info_proto__descriptor, count);
    if (!*out) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) {
        (*out)[i]->name = value_name(w, values[i]);
        if (!(*out)[i]->name) return PT_OUT_OF_MEMORY();
        PT_TRY(
            pt_encode_type(&w->arena, &w->model->symbols, &pt_value_at(w->model, values[i])->type, &(*out)[i]->type));
    }
    return PARTITA_OK;
}

/* `spare`: room for so many more nodes. */
static partita_status write_graph(writer *w, partita_str name, const pt_id *inputs, size_t input_count,
                                  const pt_id *outputs, size_t output_count, const pt_id *nodes, size_t node_count,
                                  size_t spare, Onnx__GraphProto **out) {
    Onnx__GraphProto *graph = pt_encode_new(&w->arena, &onnx__graph_proto__descriptor);
    if (!graph) return PT_OUT_OF_MEMORY();
    graph->name = pt_encode_str(&w->arena, name);
    graph->n_node = node_count;
    graph->node = pt_encode_list(&w->arena, &onnx__node_proto__descriptor, node_count + spare);
    if (!graph->name || !graph->node) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < node_count; i++) PT_TRY(write_node(w, nodes[i], graph->node[i]));
    graph->n_input = input_count;
    graph->n_output = output_count;
    PT_TRY(write_infos(w, inputs, input_count, &graph->input));
    for (size_t i = 0; i < output_count; i++) PT_TRY(note_constant(w, outputs[i]));
    *out = graph;
    return write_infos(w, outputs, output_count, &graph->output);
}

/* A body may not give out a value of an outer graph, constants among them, directly: such a one is copied. */
static partita_status copy_output(writer *w, Onnx__GraphProto *graph, size_t i) {
    Onnx__ValueInfoProto *info = graph->output[i];
    Onnx__NodeProto *node = graph->node[graph->n_node++];
    partita_str unique = pt_arena_printf(&w->arena, "%s%%out%zu", info->name, i);
    node->op_type = pt_encode_str(&w->arena, PT_STR("Identity"));
    node->n_input = node->n_output = 1;
    node->input = pt_arena_alloc(&w->arena, sizeof *node->input);
    node->output = pt_arena_alloc(&w->arena, sizeof *node->output);
    if (!unique.data || !node->op_type || !node->input || !node->output) return PT_OUT_OF_MEMORY();
    node->input[0] = info->name;
    node->output[0] = info->name = pt_encode_str(&w->arena, unique);
    return info->name ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status write_body(writer *w, pt_id id, Onnx__GraphProto **out) {
    const pt_graph *body = &w->model->graphs.data[id];
    PT_TRY(write_graph(w, body->name, body->inputs.data, body->inputs.size, body->outputs.data, body->outputs.size,
                       body->order.data, body->order.size, body->outputs.size, out));
    for (size_t i = 0; i < body->outputs.size; i++) {
        const pt_value *value = pt_value_at(w->model, body->outputs.data[i]);
        if (value->graph != id || value->constant) PT_TRY(copy_output(w, *out, i));
    }
    return PARTITA_OK;
}

static partita_status external_entry(writer *w, Onnx__StringStringEntryProto *out, const char *key, const char *format,
                                     uint64_t number) {
    char text[64];
    snprintf(text, sizeof text, format, (unsigned long long)number);
    out->key = pt_encode_str(&w->arena, pt_str(key));
    out->value = pt_encode_str(&w->arena, pt_str(text));
    return out->key && out->value ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status write_external(writer *w, const pt_tensor *tensor, Onnx__TensorProto *out) {
    PT_TRY(pt_encode_tensor(&w->arena, tensor->dtype, tensor->rank, tensor->dims, NULL, 0, NULL, out));
    out->has_raw_data = false;
    out->has_data_location = true;
    out->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    out->n_external_data = 3;
    out->external_data = pt_encode_list(&w->arena, &onnx__string_string_entry_proto__descriptor, 3);
    if (!out->external_data) return PT_OUT_OF_MEMORY();
    PT_TRY(external_entry(w, out->external_data[0], "location", "weight/%llu", tensor->weight->id));
    PT_TRY(external_entry(w, out->external_data[1], "offset", "%llu", 0));
    return external_entry(w, out->external_data[2], "length", "%llu", tensor->weight->bytes);
}

/* All constants are initializers of the main graph, where bodies see them too. */
static partita_status write_initializers(writer *w, Onnx__GraphProto *graph) {
    size_t count = w->constants.size;
    graph->initializer = pt_encode_list(&w->arena, &onnx__tensor_proto__descriptor, count);
    graph->sparse_initializer = pt_arena_array(&w->arena, count, sizeof *graph->sparse_initializer);
    if (!graph->initializer || !graph->sparse_initializer) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) {
        const pt_tensor *tensor = pt_value_at(w->model, w->constants.data[i])->constant;
        char *name = value_name(w, w->constants.data[i]);
        if (!name) return PT_OUT_OF_MEMORY();
        if (tensor->sparse_indices) {
            Onnx__SparseTensorProto **out = &graph->sparse_initializer[graph->n_sparse_initializer++];
            PT_TRY(write_sparse(w, tensor, out));
            (*out)->values->name = name;
            continue;
        }
        Onnx__TensorProto *out = graph->initializer[graph->n_initializer++];
        out->name = name;
        bool external = tensor->dtype != PARTITA_STRING && tensor->weight->bytes >= w->part->external_from;
        PT_TRY(external ? write_external(w, tensor, out) : pt_encode_model_tensor(&w->arena, tensor, out));
    }
    return PARTITA_OK;
}

static partita_status write_model(writer *w, Onnx__ModelProto **out) {
    const pt_onnx_part *part = w->part;
    Onnx__ModelProto *proto = pt_encode_new(&w->arena, &onnx__model_proto__descriptor);
    if (!proto) return PT_OUT_OF_MEMORY();
    PT_TRY(reserve_names(w, part->inputs, part->input_count));
    PT_TRY(reserve_names(w, part->outputs, part->output_count));
    PT_TRY(write_graph(w, w->model->graph_name.size ? w->model->graph_name : PT_STR("part"), part->inputs,
                       part->input_count, part->outputs, part->output_count, part->nodes, part->node_count, 0,
                       &proto->graph));
    PT_TRY(write_initializers(w, proto->graph));
    proto->has_ir_version = true;
    proto->ir_version = PT_MAX(w->model->ir_version, OLDEST_WRITTEN_IR);
    proto->n_opset_import = w->opsets.size;
    proto->opset_import = pt_encode_list(&w->arena, &onnx__operator_set_id_proto__descriptor, w->opsets.size);
    if (!proto->opset_import) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < w->opsets.size; i++) {
        proto->opset_import[i]->domain = pt_encode_str(&w->arena, w->opsets.data[i].domain);
        if (!proto->opset_import[i]->domain) return PT_OUT_OF_MEMORY();
        proto->opset_import[i]->has_version = true;
        proto->opset_import[i]->version = w->opsets.data[i].version;
    }
    *out = proto;
    return PARTITA_OK;
}

partita_status pt_onnx_write_part(const pt_model *model, const pt_onnx_part *part, void **out_bytes,
                                  uint64_t *out_size) {
    partita_status status;
    writer w = {.model = model, .part = part};
    Onnx__ModelProto *proto = NULL;
    void *bytes = NULL;
    w.seen = pt_calloc(model->values.size + 1, 1);
    if (!w.seen) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    PT_CHECK(write_model(&w, &proto));
    size_t size = protobuf_c_message_get_packed_size(&proto->base);
    if (size > INT32_MAX) {
        status = pt_fail(PARTITA_UNSUPPORTED, "the part is larger than 2 GiB as ONNX");
        goto out;
    }
    bytes = pt_malloc(size ? size : 1);
    if (!bytes) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    protobuf_c_message_pack(&proto->base, bytes);
    *out_bytes = bytes;
    *out_size = size;
out:
    pt_free(w.seen);
    pt_array_deinit(&w.constants);
    pt_array_deinit(&w.opsets);
    pt_map_deinit(&w.named);
    pt_arena_deinit(&w.arena);
    return status;
}

partita_status pt_onnx_write(const pt_model *model, uint64_t external_from, void **out_bytes, uint64_t *out_size) {
    const pt_graph *graph = &model->graphs.data[0];
    pt_onnx_part part = {.nodes = graph->order.data,
                         .node_count = (uint32_t)graph->order.size,
                         .inputs = graph->inputs.data,
                         .input_count = (uint32_t)graph->inputs.size,
                         .outputs = graph->outputs.data,
                         .output_count = (uint32_t)graph->outputs.size,
                         .external_from = external_from};
    return pt_onnx_write_part(model, &part, out_bytes, out_size);
}
