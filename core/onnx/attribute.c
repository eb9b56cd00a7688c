/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes, and the tensors that Constant nodes spell as attributes.
 */
#include "onnx/import.h"

#include <partita/plugin.h>

enum { ONNX_SPARSE = 11, ONNX_TYPE = 13, ONNX_SPARSES = 12, ONNX_TYPES = 14 };

/* ONNX numbers floats before ints, the ABI ints before floats. Very old writers leave the type out: what is there
 * tells it. */
static uint32_t type_of(const Onnx__AttributeProto *proto) {
    switch (proto->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED: break;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT: return PTP_ATTRIBUTE_FLOAT;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT: return PTP_ATTRIBUTE_INT;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS: return PTP_ATTRIBUTE_FLOATS;
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS: return PTP_ATTRIBUTE_INTS;
    default: return (uint32_t)proto->type;
    }
    if (proto->has_f) return PTP_ATTRIBUTE_FLOAT;
    if (proto->has_i) return PTP_ATTRIBUTE_INT;
    if (proto->has_s) return PTP_ATTRIBUTE_STRING;
    if (proto->t) return PTP_ATTRIBUTE_TENSOR;
    if (proto->g) return PTP_ATTRIBUTE_GRAPH;
    if (proto->sparse_tensor) return ONNX_SPARSE;
    if (proto->tp) return ONNX_TYPE;
    if (proto->n_floats) return PTP_ATTRIBUTE_FLOATS;
    if (proto->n_ints) return PTP_ATTRIBUTE_INTS;
    if (proto->n_strings) return PTP_ATTRIBUTE_STRINGS;
    if (proto->n_tensors) return PTP_ATTRIBUTE_TENSORS;
    if (proto->n_graphs) return PTP_ATTRIBUTE_GRAPHS;
    return 0;
}

static partita_status copy_array(pt_importer *importer, const void *from, size_t count, size_t bytes, void *out) {
    void *copy = pt_arena_array(&importer->model->arena, count, bytes);
    if (!copy) return PT_OUT_OF_MEMORY();
    if (count) memcpy(copy, from, count * bytes);
    memcpy(out, &copy, sizeof copy);
    return PARTITA_OK;
}

static partita_status copy_string(pt_importer *importer, const ProtobufCBinaryData *from, partita_str *out) {
    *out = pt_arena_str(&importer->model->arena, (partita_str){(const char *)from->data, from->len});
    return out->data ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status copy_strings(pt_importer *importer, const Onnx__AttributeProto *proto, pt_attribute *out) {
    partita_str *strings = pt_arena_array(&importer->model->arena, proto->n_strings, sizeof *strings);
    if (!strings) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < proto->n_strings; i++) PT_TRY(copy_string(importer, &proto->strings[i], &strings[i]));
    out->strings = strings;
    return PARTITA_OK;
}

/* The tensors in `protos`, or else the sparse ones. */
static partita_status import_tensors(pt_importer *importer, Onnx__TensorProto *const *protos,
                                     Onnx__SparseTensorProto *const *sparse, size_t count, pt_attribute *out) {
    pt_tensor **tensors = pt_arena_array(&importer->model->arena, count, sizeof *tensors);
    if (!tensors) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) {
        const void *proto = protos ? (const void *)protos[i] : (const void *)sparse[i];
        if (!proto) return pt_fail(PARTITA_BAD_MODEL, "has no tensor");
        PT_TRY(protos ? pt_onnx_tensor(importer->model, &importer->origin, protos[i], &tensors[i])
                      : pt_onnx_sparse_tensor(importer->model, &importer->origin, sparse[i], &tensors[i]));
    }
    out->tensors = tensors;
    out->count = (uint32_t)count;
    return PARTITA_OK;
}

static partita_status import_graphs(pt_importer *importer, const pt_site *site, Onnx__GraphProto *const *protos,
                                    size_t count, bool list, pt_id node, partita_str source, pt_attribute *out) {
    pt_id *graphs = pt_arena_array(&importer->model->arena, count, sizeof *graphs);
    if (!graphs) return PT_OUT_OF_MEMORY();
    if (node == PT_NONE) return pt_fail(PARTITA_BAD_MODEL, "a graph where none can be");
    for (size_t i = 0; i < count; i++) {
        if (!protos[i]) return pt_fail(PARTITA_BAD_MODEL, "has no graph");
        PT_TRY(pt_importer_charge(importer, source.size + out->name.size));
        partita_str prefix =
            list ? pt_arena_printf(&importer->scratch, "%.*s/%.*s.%zu/", PT_STR_ARG(source), PT_STR_ARG(out->name), i)
                 : pt_arena_printf(&importer->scratch, "%.*s/%.*s/", PT_STR_ARG(source), PT_STR_ARG(out->name));
        if (!prefix.data) return PT_OUT_OF_MEMORY();
        PT_TRY(pt_import_graph(importer, site, protos[i], node, prefix, &graphs[i]));
    }
    out->graphs = graphs;
    return PARTITA_OK;
}

static partita_status convert(pt_importer *importer, const pt_site *site, const Onnx__AttributeProto *proto, pt_id node,
                              partita_str source, pt_attribute *out, bool *out_present) {
    out->type = type_of(proto);
    out->count = 1;
    switch (out->type) {
    case PTP_ATTRIBUTE_FLOAT: out->f = proto->f; break;
    case PTP_ATTRIBUTE_INT: out->i = proto->i; break;
    case PTP_ATTRIBUTE_STRING: return copy_string(importer, &proto->s, &out->s);
    case PTP_ATTRIBUTE_TENSOR: return import_tensors(importer, &proto->t, NULL, 1, out);
    case PTP_ATTRIBUTE_GRAPH: return import_graphs(importer, site, &proto->g, 1, false, node, source, out);
    case PTP_ATTRIBUTE_FLOATS:
        out->count = (uint32_t)proto->n_floats;
        return copy_array(importer, proto->floats, proto->n_floats, sizeof *proto->floats, &out->floats);
    case PTP_ATTRIBUTE_INTS:
        out->count = (uint32_t)proto->n_ints;
        return copy_array(importer, proto->ints, proto->n_ints, sizeof *proto->ints, &out->ints);
    case PTP_ATTRIBUTE_STRINGS: out->count = (uint32_t)proto->n_strings; return copy_strings(importer, proto, out);
    case PTP_ATTRIBUTE_TENSORS: return import_tensors(importer, proto->tensors, NULL, proto->n_tensors, out);
    case PTP_ATTRIBUTE_GRAPHS:
        out->count = (uint32_t)proto->n_graphs;
        return import_graphs(importer, site, proto->graphs, proto->n_graphs, true, node, source, out);
    case ONNX_SPARSE:
        out->type = PTP_ATTRIBUTE_TENSOR;
        return import_tensors(importer, NULL, &proto->sparse_tensor, 1, out);
    case ONNX_SPARSES:
        out->type = PTP_ATTRIBUTE_TENSORS;
        return import_tensors(importer, NULL, proto->sparse_tensors, proto->n_sparse_tensors, out);
    case ONNX_TYPE:
    case ONNX_TYPES: *out_present = false; break;
    default: return pt_fail(PARTITA_BAD_MODEL, "has type %u, which is not known", out->type);
    }
    return PARTITA_OK;
}

static const Onnx__AttributeProto *find(Onnx__AttributeProto *const *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (list[i]->name && strcmp(list[i]->name, name) == 0) return list[i];
    }
    return NULL;
}

/* An attribute of the node that a body replaces: one of the model, or what is known of its inputs. */
static partita_status take_given(pt_importer *importer, const pt_call *call, const Onnx__AttributeProto *proto,
                                 pt_attribute *out, bool *out_given) {
    const pt_attribute *given = call->expanded ? pt_node_attribute(call->expanded, proto->ref_attr_name) : NULL;
    *out_given = given != NULL;
    if (!given) {
        if (!call->expanded) return PARTITA_OK;
        return pt_import_type_of(importer->model, call, proto->ref_attr_name, out, out_given);
    }
    *out = *given;
    if (given->type != PTP_ATTRIBUTE_INT || type_of(proto) != PTP_ATTRIBUTE_INTS) return PARTITA_OK;
    /* A list of the one number. */
    out->type = PTP_ATTRIBUTE_INTS;
    return copy_array(importer, &given->i, 1, sizeof given->i, &out->ints);
}

/*
 * Follows references to attributes of calls: to what the call gives, else to the function's default. NULL in
 * *out_written when there is none, or when an expanded node gives one, *out_given.
 */
static partita_status resolve(pt_importer *importer, const Onnx__AttributeProto *proto, const pt_site **site,
                              const Onnx__AttributeProto **out_written, pt_attribute *out, bool *out_given) {
    *out_written = NULL;
    *out_given = false;
    while (proto && proto->ref_attr_name && *proto->ref_attr_name) {
        const pt_call *call = (*site)->call;
        if (!call) return PARTITA_OK;
        const char *name = proto->ref_attr_name;
        const Onnx__FunctionProto *function = call->function;
        PT_TRY(take_given(importer, call, proto, out, out_given));
        if (*out_given) return PARTITA_OK;
        proto = find(call->node->attribute, call->node->n_attribute, name);
        if (!proto) {
            *out_written = find(function->attribute_proto, function->n_attribute_proto, name);
            return PARTITA_OK;
        }
        *site = call->site;
    }
    *out_written = proto;
    return PARTITA_OK;
}

partita_status pt_import_attribute(pt_importer *importer, const pt_site *site, const Onnx__AttributeProto *proto,
                                   pt_id node, partita_str source, pt_attribute *out_attribute, bool *out_present) {
    *out_present = true;
    *out_attribute = (pt_attribute){0};
    if (!proto->name || !*proto->name) return pt_fail(PARTITA_BAD_MODEL, "an attribute has no name");
    if (site->call) PT_TRY(pt_importer_charge(importer, sizeof(pt_attribute) + strlen(proto->name)));
    out_attribute->name = pt_arena_str(&importer->model->arena, pt_str(proto->name));
    if (!out_attribute->name.data) return PT_OUT_OF_MEMORY();
    partita_str name = out_attribute->name;
    const Onnx__AttributeProto *written;
    bool given;
    PT_TRY(resolve(importer, proto, &site, &written, out_attribute, &given));
    out_attribute->name = name;
    if (given) return PARTITA_OK;
    if (!written) {
        *out_present = false;
        return site->call
                   ? PARTITA_OK
                   : pt_fail(PARTITA_BAD_MODEL, "attribute %s refers to a function's, outside of one", proto->name);
    }
    partita_status status = convert(importer, site, written, node, source, out_attribute, out_present);
    return status ? pt_annotate(status, "attribute %s", proto->name) : PARTITA_OK;
}

/* ---- constants ------------------------------------------------------------------------------- */

static partita_status add_tensor(pt_importer *importer, partita_dtype dtype, bool scalar, uint32_t count,
                                 const void *from, size_t bytes, pt_tensor **out_tensor) {
    int64_t dim = count;
    pt_weight *weight = NULL;
    void *memory = pt_malloc(bytes ? bytes : 1);
    if (!memory) return PT_OUT_OF_MEMORY();
    if (bytes) memcpy(memory, from, bytes);
    PT_TRY(pt_weight_create_owned(memory, bytes, &weight));
    return pt_model_add_tensor(importer->model, dtype, scalar ? 0 : 1, &dim, weight, out_tensor);
}

static partita_status add_strings(pt_importer *importer, bool scalar, const partita_str *strings, uint32_t count,
                                  pt_tensor **out_tensor) {
    pt_text text = {0};
    uint64_t *offsets = pt_arena_array(&importer->model->arena, (size_t)count + 1, sizeof *offsets);
    if (!offsets) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) {
        pt_text_append(&text, strings[i]);
        offsets[i + 1] = text.size;
    }
    partita_status status = text.failed
                                ? PT_OUT_OF_MEMORY()
                                : add_tensor(importer, PARTITA_STRING, scalar, count, text.data, text.size, out_tensor);
    pt_text_deinit(&text);
    if (status == PARTITA_OK) (*out_tensor)->offsets = offsets;
    return status;
}

partita_status pt_import_constant(pt_importer *importer, const pt_site *site, const Onnx__NodeProto *proto,
                                  pt_tensor **out_tensor) {
    pt_attribute a = {0};
    bool present = false;
    for (size_t i = 0; i < proto->n_attribute && !present; i++) {
        if (!proto->attribute[i]->name || strncmp(proto->attribute[i]->name, "value", 5) != 0) {
            if (!proto->attribute[i]->name || strcmp(proto->attribute[i]->name, "sparse_value") != 0) continue;
        }
        PT_TRY(pt_import_attribute(importer, site, proto->attribute[i], PT_NONE, PT_STR(""), &a, &present));
    }
    if (!present) return pt_fail(PARTITA_BAD_MODEL, "a constant without value");
    switch (a.type) {
    case PTP_ATTRIBUTE_TENSOR: *out_tensor = a.tensors[0]; return PARTITA_OK;
    case PTP_ATTRIBUTE_FLOAT: return add_tensor(importer, PARTITA_FLOAT32, true, 1, &a.f, sizeof a.f, out_tensor);
    case PTP_ATTRIBUTE_INT: return add_tensor(importer, PARTITA_INT64, true, 1, &a.i, sizeof a.i, out_tensor);
    case PTP_ATTRIBUTE_FLOATS:
        return add_tensor(importer, PARTITA_FLOAT32, false, a.count, a.floats, a.count * sizeof *a.floats, out_tensor);
    case PTP_ATTRIBUTE_INTS:
        return add_tensor(importer, PARTITA_INT64, false, a.count, a.ints, a.count * sizeof *a.ints, out_tensor);
    case PTP_ATTRIBUTE_STRING: return add_strings(importer, true, &a.s, 1, out_tensor);
    case PTP_ATTRIBUTE_STRINGS: return add_strings(importer, false, a.strings, a.count, out_tensor);
    default: return pt_fail(PARTITA_BAD_MODEL, "a constant whose value has the wrong type");
    }
}
