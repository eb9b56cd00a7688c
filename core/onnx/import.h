/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the importer: what its files share. One importer lives for one load.
 */
#ifndef PT_ONNX_IMPORT_H
#define PT_ONNX_IMPORT_H

#include "onnx/reader.h"
#include "onnx/tensor.h"

/* Attributes of a node, operator sets of a model: lists that are searched one by one have at most so many items. */
enum { PT_IMPORT_MANY = 1024 };

typedef struct pt_importer {
    pt_model *model;
    const Onnx__ModelProto *proto;
    pt_onnx_origin origin;
    const pt_onnx_options *options;
    uint64_t left;           /* of the budget */
    pt_map functions;        /* key -> functions of the model */
    pt_text key;             /* being looked up */
    pt_map dim_names;        /* name -> symbol */
    pt_arena scratch;        /* keys and prefixes; dies with the importer */
    const pt_node *expanded; /* the model's node that a function replaces (pt_onnx_expand); NULL */
} pt_importer;

/* Names of one graph, or of one call's function body. */
typedef struct pt_scope {
    pt_map names;                  /* -> values */
    const struct pt_scope *parent; /* where names that are not here are looked up */
    pt_map results;                /* of a call: formal output -> value of the caller, until a node computes it */
    pt_id graph;
} pt_scope;

/* A call of a model-local function that is being replaced by its nodes. */
typedef struct pt_call {
    const Onnx__FunctionProto *function;
    const Onnx__NodeProto *node;
    const struct pt_site *site; /* of the call itself */
    uint32_t depth;
    const pt_node *expanded; /* has the call's attributes instead of `node`; NULL */
} pt_call;

/* Where nodes are imported to. */
typedef struct pt_site {
    pt_scope *scope;
    const pt_call *call; /* NULL outside of functions */
    partita_str prefix;  /* of the names of source nodes */
} pt_site;

/* Takes bytes from the budget. */
partita_status pt_importer_charge(pt_importer *importer, uint64_t bytes);

/* How much of a written type is believed. */
typedef enum pt_trust {
    PT_TRUST_INPUT,    /* all; names of dims are defined here; dims below 1 are unknown */
    PT_TRUST_DECLARED, /* all, but a dim that no input names is known to a run only */
    PT_TRUST_KIND      /* kind and element type */
} pt_trust;
partita_status pt_import_type(pt_importer *importer, const Onnx__TypeProto *proto, pt_trust trust, pt_type *out_type);

/*
 * The attribute of `node` (PT_NONE: one without graphs). References to the attributes of a call are resolved;
 * *out_present is false for one that the call leaves out and for types, which are no attributes here.
 */
partita_status pt_import_attribute(pt_importer *importer, const pt_site *site, const Onnx__AttributeProto *proto,
                                   pt_id node, partita_str source, pt_attribute *out_attribute, bool *out_present);
/* The tensor of a Constant node. */
partita_status pt_import_constant(pt_importer *importer, const pt_site *site, const Onnx__NodeProto *proto,
                                  pt_tensor **out_tensor);

/* PT_NONE when the name is not known in the scope or around it. */
pt_id pt_scope_find(const pt_scope *scope, const char *name);
void pt_scope_deinit(pt_scope *scope);
/* Values for all outputs of the nodes, then the nodes. */
partita_status pt_import_nodes(pt_importer *importer, const pt_site *site, Onnx__NodeProto *const *nodes, size_t count);
/* A graph below `parent` (PT_NONE: the model's own) within `around`. */
partita_status pt_import_graph(pt_importer *importer, const pt_site *around, const Onnx__GraphProto *proto,
                               pt_id parent, partita_str prefix, pt_id *out_graph);

/* The nodes of a graph of one input and one output, in the site's own graph, with `input` for its input. */
partita_status pt_import_inline(pt_importer *importer, const pt_site *around, const Onnx__GraphProto *proto,
                                partita_str prefix, pt_id input, pt_id *out_value);

/* FlexAttention with bodies is replaced by nodes: its scores, the bodies and the softmax, the sum over the values. */
bool pt_import_is_flex(const Onnx__NodeProto *node);
partita_status pt_import_flex(pt_importer *importer, const pt_site *site, const Onnx__NodeProto *node,
                              partita_str source);

/* The tensors that the attributes of a Gradient name become inputs of it. */
bool pt_import_is_gradient(const Onnx__NodeProto *node);
partita_status pt_import_gradient(pt_importer *importer, const pt_site *site, pt_id node);

/* The function that a node calls; NULL when it is an operator. */
partita_status pt_import_function_of(pt_importer *importer, const Onnx__NodeProto *node,
                                     const Onnx__FunctionProto **out_function);
partita_status pt_import_index_functions(pt_importer *importer);
/* True for an input of the call's function: one that the call leaves out is absent within. `call` may be NULL. */
bool pt_import_is_formal(const pt_call *call, const char *name);
/* Replaces a call by the function's nodes; its outputs are values of the site's scope. */
partita_status pt_import_call(pt_importer *importer, const pt_site *site, const Onnx__FunctionProto *function,
                              const Onnx__NodeProto *node, partita_str source);
/*
 * Bodies that depend on the node they replace. Those of the function's nodes go whose conditions the node does not
 * fulfil; and what a reference gives that asks for an input's type, *out_given.
 */
partita_status pt_import_choose(const pt_model *model, const pt_node *node, Onnx__FunctionProto *function);
partita_status pt_import_type_of(const pt_model *model, const pt_call *call, const char *name, pt_attribute *out,
                                 bool *out_given);
/* Opset version in force for a domain where the site's nodes were written. */
partita_status pt_import_version(const pt_importer *importer, const pt_site *site, partita_str domain,
                                 int32_t *out_version);
/* "" for ai.onnx. */
partita_str pt_import_domain(const char *domain);
partita_status pt_import_source(pt_importer *importer, partita_str name, const char *op, partita_str domain,
                                uint32_t *out_source);

#endif
