/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model as text, one line a node:
 *
 *     graph "g"
 *       input x: float32[N,3]
 *       constant w: float32[3] = {1,2,3}
 *       y: float32[N,3] = Mul(x, w) {axis=1} <- "n1", "n2"
 *       output y
 *     removed "n3" by identity
 *
 * A value without a name is %12. Bodies stand indented under their node. Constants are listed where they are used.
 */
#include "graph/model.h"

#include <partita/plugin.h>

enum { CONSTANT_ITEMS = 8 };

static void indent(pt_text *text, int depth) {
    for (int i = 0; i < depth; i++) pt_text_append(text, PT_STR("  "));
}

static void print_value(const pt_model *model, pt_id value, pt_text *text) {
    if (value == PT_NONE) {
        pt_text_append(text, PT_STR("-"));
    } else if (pt_value_at(model, value)->name.size) {
        pt_text_append(text, pt_value_at(model, value)->name);
    } else {
        pt_text_printf(text, "%%%u", value);
    }
}

static void print_tensor_type(const pt_model *model, const pt_type *type, pt_text *text) {
    pt_text_printf(text, "%s", pt_dtype_name(type->dtype));
    if (type->rank < 0) return;
    pt_text_append(text, PT_STR("["));
    for (int32_t i = 0; i < type->rank; i++) {
        if (i) pt_text_append(text, PT_STR(","));
        pt_dim_print(&model->symbols, type->dims[i], text);
    }
    pt_text_append(text, PT_STR("]"));
}

void pt_type_print(const pt_model *model, const pt_type *type, pt_text *out_text) {
    switch (type->kind) {
    case PARTITA_KIND_TENSOR: print_tensor_type(model, type, out_text); return;
    case PARTITA_KIND_SPARSE:
        pt_text_append(out_text, PT_STR("sparse("));
        print_tensor_type(model, type, out_text);
        break;
    case PARTITA_KIND_SEQUENCE:
    case PARTITA_KIND_OPTIONAL:
        pt_text_append(out_text, type->kind == PARTITA_KIND_SEQUENCE ? PT_STR("seq(") : PT_STR("optional("));
        if (type->element) pt_type_print(model, type->element, out_text);
        break;
    case PARTITA_KIND_MAP:
        pt_text_printf(out_text, "map(%s,", pt_dtype_name(type->key_dtype));
        if (type->element) {
            pt_type_print(model, type->element, out_text);
        } else {
            pt_text_printf(out_text, "%s", pt_dtype_name(type->dtype));
        }
        break;
    default: pt_text_append(out_text, PT_STR("?")); return;
    }
    pt_text_append(out_text, PT_STR(")"));
}

/* ---- constants ------------------------------------------------------------------------------- */

#define PRINT_AS(type, format, cast)                                                                                   \
    do {                                                                                                               \
        type item;                                                                                                     \
        memcpy(&item, (const char *)tensor->weight->data + i * sizeof item, sizeof item);                              \
        pt_text_printf(text, format, (cast)item);                                                                      \
    } while (0)

static bool print_item(const pt_tensor *tensor, uint64_t i, pt_text *text) {
    switch (tensor->dtype) {
    case PARTITA_FLOAT32: PRINT_AS(float, "%.9g", double); break;
    case PARTITA_FLOAT64: PRINT_AS(double, "%.17g", double); break;
    case PARTITA_INT64: PRINT_AS(int64_t, "%lld", long long); break;
    case PARTITA_INT32: PRINT_AS(int32_t, "%ld", long); break;
    case PARTITA_INT16: PRINT_AS(int16_t, "%d", int); break;
    case PARTITA_INT8: PRINT_AS(int8_t, "%d", int); break;
    case PARTITA_UINT64: PRINT_AS(uint64_t, "%llu", unsigned long long); break;
    case PARTITA_UINT32: PRINT_AS(uint32_t, "%lu", unsigned long); break;
    case PARTITA_UINT16: PRINT_AS(uint16_t, "%u", unsigned); break;
    case PARTITA_BOOL:
    case PARTITA_UINT8: PRINT_AS(uint8_t, "%u", unsigned); break;
    case PARTITA_STRING: {
        uint64_t begin = tensor->offsets[i];
        size_t size = (size_t)(tensor->offsets[i + 1] - begin);
        pt_text_append(text, PT_STR("\""));
        pt_text_append(text, (partita_str){(const char *)tensor->weight->data + begin, size});
        pt_text_append(text, PT_STR("\""));
        break;
    }
    default: return false;
    }
    return true;
}

static void print_tensor(const pt_tensor *tensor, pt_text *text) {
    if (tensor->sparse_indices) {
        pt_text_printf(text, "{%llu of %llu}", (unsigned long long)tensor->sparse_nnz,
                       (unsigned long long)tensor->count);
        return;
    }
    if (tensor->count > CONSTANT_ITEMS) {
        pt_text_printf(text, "{%llu bytes}", (unsigned long long)tensor->weight->bytes);
        return;
    }
    pt_text_append(text, PT_STR("{"));
    for (uint64_t i = 0; i < tensor->count; i++) {
        if (i) pt_text_append(text, PT_STR(","));
        if (!print_item(tensor, i, text)) {
            pt_text_printf(text, "%llu bytes", (unsigned long long)tensor->weight->bytes);
            break;
        }
    }
    pt_text_append(text, PT_STR("}"));
}

/* ---- nodes and graphs ------------------------------------------------------------------------ */

static void print_attribute_item(const pt_attribute *attribute, uint32_t i, pt_text *text) {
    switch (attribute->type) {
    case PTP_ATTRIBUTE_INT: pt_text_printf(text, "%lld", (long long)attribute->i); break;
    case PTP_ATTRIBUTE_FLOAT: pt_text_printf(text, "%.9g", (double)attribute->f); break;
    case PTP_ATTRIBUTE_STRING: pt_text_printf(text, "\"%.*s\"", PT_STR_ARG(attribute->s)); break;
    case PTP_ATTRIBUTE_INTS: pt_text_printf(text, "%lld", (long long)attribute->ints[i]); break;
    case PTP_ATTRIBUTE_FLOATS: pt_text_printf(text, "%.9g", (double)attribute->floats[i]); break;
    case PTP_ATTRIBUTE_STRINGS: pt_text_printf(text, "\"%.*s\"", PT_STR_ARG(attribute->strings[i])); break;
    case PTP_ATTRIBUTE_TENSOR:
    case PTP_ATTRIBUTE_TENSORS: print_tensor(attribute->tensors[i], text); break;
    default: pt_text_append(text, PT_STR("graph")); break;
    }
}

static void print_attributes(const pt_node *node, pt_text *text) {
    pt_text_append(text, PT_STR(" {"));
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        const pt_attribute *attribute = &node->attributes[i];
        bool list = attribute->type >= PTP_ATTRIBUTE_INTS;
        pt_text_printf(text, "%s%.*s=%s", i ? ", " : "", PT_STR_ARG(attribute->name), list ? "[" : "");
        for (uint32_t k = 0; k < (list ? attribute->count : 1); k++) {
            if (k) pt_text_append(text, PT_STR(","));
            print_attribute_item(attribute, k, text);
        }
        if (list) pt_text_append(text, PT_STR("]"));
    }
    pt_text_append(text, PT_STR("}"));
}

static void print_typed_value(const pt_model *model, pt_id value, pt_text *text) {
    print_value(model, value, text);
    if (value == PT_NONE || pt_value_at(model, value)->type.kind == PARTITA_KIND_NONE) return;
    pt_text_append(text, PT_STR(": "));
    pt_type_print(model, &pt_value_at(model, value)->type, text);
}

static void print_graph(const pt_model *model, pt_id graph, int depth, pt_text *text);

static void print_node(const pt_model *model, pt_id id, int depth, pt_text *text) {
    const pt_node *node = pt_node_at(model, id);
    indent(text, depth);
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (i) pt_text_append(text, PT_STR(", "));
        print_typed_value(model, node->outputs[i], text);
    }
    pt_text_printf(text, " = %.*s%s%.*s(", PT_STR_ARG(node->domain), node->domain.size ? "." : "",
                   PT_STR_ARG(node->op));
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (i) pt_text_append(text, PT_STR(", "));
        print_value(model, node->inputs[i], text);
    }
    pt_text_append(text, PT_STR(")"));
    if (node->attribute_count) print_attributes(node, text);
    for (uint32_t i = 0; i < node->source_count; i++) {
        pt_text_printf(text, "%s\"%.*s\"", i ? ", " : " <- ", PT_STR_ARG(model->sources.data[node->sources[i]].name));
    }
    pt_text_append(text, PT_STR("\n"));
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        const pt_attribute *attribute = &node->attributes[i];
        if (!pt_attribute_has_graphs(attribute)) continue;
        for (uint32_t k = 0; k < attribute->count; k++) print_graph(model, attribute->graphs[k], depth + 1, text);
    }
}

static void print_graph(const pt_model *model, pt_id id, int depth, pt_text *text) {
    const pt_graph *graph = &model->graphs.data[id];
    indent(text, depth);
    pt_text_printf(text, "graph \"%.*s\"\n", PT_STR_ARG(graph->name));
    for (size_t i = 0; i < graph->inputs.size; i++) {
        indent(text, depth + 1);
        pt_text_append(text, PT_STR("input "));
        print_typed_value(model, graph->inputs.data[i], text);
        pt_text_append(text, PT_STR("\n"));
    }
    for (size_t v = 0; v < model->values.size; v++) {
        const pt_value *value = pt_value_at(model, (pt_id)v);
        if (value->graph != id || value->dead || !value->constant) continue;
        if (!value->is_output && value->uses.size == 0) continue;
        indent(text, depth + 1);
        pt_text_append(text, PT_STR("constant "));
        print_typed_value(model, (pt_id)v, text);
        pt_text_append(text, PT_STR(" = "));
        print_tensor(value->constant, text);
        pt_text_append(text, PT_STR("\n"));
    }
    for (size_t i = 0; i < graph->order.size; i++) print_node(model, graph->order.data[i], depth + 1, text);
    for (size_t i = 0; i < graph->outputs.size; i++) {
        indent(text, depth + 1);
        pt_text_append(text, PT_STR("output "));
        print_value(model, graph->outputs.data[i], text);
        pt_text_append(text, PT_STR("\n"));
    }
}

void pt_model_print(const pt_model *model, pt_text *out_text) {
    if (model->graphs.size) print_graph(model, 0, 0, out_text);
    for (size_t s = 0; s < model->sources.size; s++) {
        const pt_source *source = &model->sources.data[s];
        if (!source->removed_by) continue;
        pt_text_printf(out_text, "removed \"%.*s\" by %s\n", PT_STR_ARG(source->name), source->removed_by);
    }
}
