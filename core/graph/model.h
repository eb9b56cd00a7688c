/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model: values, nodes and graphs under dense ids, and the source nodes that people are shown.
 *
 * One id space for the whole model: a body of If, Loop or Scan is a graph of its own, and a node in it may use any
 * value of an outer graph directly (a capture). Everything lies in the model's arena and dies with it; weights are
 * reference-counted handles. Not thread-safe while it is built; immutable, and so safe to read, afterwards.
 */
#ifndef PT_GRAPH_MODEL_H
#define PT_GRAPH_MODEL_H

#include "base/base.h"
#include "graph/dim.h"
#include "graph/weight.h"

typedef uint32_t pt_id;

/* ---- types of values ------------------------------------------------------------------------- */

typedef struct pt_type {
    partita_kind kind;       /* NONE: not known yet */
    partita_dtype dtype;     /* of tensors (dense and sparse); of a map's values; UNDEFINED: not known */
    partita_dtype key_dtype; /* of a map */
    int32_t rank;            /* of tensors; -1: not known */
    pt_dim *dims;            /* [rank], in the model's arena */
    struct pt_type *element; /* of a sequence or optional; of a map whose values are no tensors */
} pt_type;

/* ---- attributes ------------------------------------------------------------------------------ */

/* Type of an attribute: the numbers are PTP_ATTRIBUTE_* of the ABI. */
typedef struct pt_attribute {
    partita_str name;
    uint32_t type;
    uint32_t count; /* of ints, floats, strings, tensors, graphs; 1 for single ones */
    union {
        int64_t i;
        float f;
        partita_str s;
        const int64_t *ints;
        const float *floats;
        const partita_str *strings;
        struct pt_tensor *const *tensors; /* TENSOR and TENSORS */
        const pt_id *graphs;              /* GRAPH and GRAPHS */
    };
} pt_attribute;

/* ---- nodes, values, graphs ------------------------------------------------------------------- */

typedef struct pt_use {
    pt_id node;
    uint32_t input;
} pt_use;

/* A value that is known before any run. */
typedef struct pt_value {
    partita_str name; /* "" for values made by passes without one */
    pt_type type;
    pt_id graph;
    pt_id producer;        /* node, PT_NONE for inputs, constants and absent ones */
    uint32_t output;       /* which output of the producer */
    pt_tensor *constant;   /* initializer or folded; NULL */
    pt_tensor *preset;     /* of an input of the model that a run may leave out; NULL */
    pt_dim *small;         /* elements of a small integer or bool tensor, as dims; NULL when not known */
    uint32_t small_count;  /* at most PT_SMALL_MAX */
    bool is_input;         /* of its graph */
    bool is_output;        /* of its graph, or of a body inside it */
    bool dead;             /* no longer part of the model */
    PT_ARRAY(pt_use) uses; /* by nodes, in any order; being a graph's output is not in here */
} pt_value;
#define PT_SMALL_MAX 64

typedef struct pt_node {
    partita_str op, domain;         /* domain "" is ai.onnx */
    int32_t version;                /* opset version in force for the domain */
    const struct pt_schema *schema; /* set by pt_model_check; NULL for an operator nobody knows */
    pt_id graph;
    pt_id *inputs; /* PT_NONE: absent */
    uint32_t input_count;
    pt_id *outputs; /* PT_NONE: absent */
    uint32_t output_count;
    pt_attribute *attributes; /* defaults of the schema filled in by pt_model_check */
    uint32_t attribute_count;
    uint32_t *sources; /* rows of model->sources: what people are shown */
    uint32_t source_count;
    bool dead;
} pt_node;

typedef struct pt_graph {
    partita_str name;
    pt_id parent;            /* node whose body this is; PT_NONE for the main graph */
    PT_ARRAY(pt_id) inputs;  /* values */
    PT_ARRAY(pt_id) outputs; /* values; may be captures, inputs or constants */
    PT_ARRAY(pt_id) order;   /* live nodes of this graph, topological after pt_graph_sort */
} pt_graph;

/* A node as the model's file had it. Unnamed ones are "#17:Conv"; in a body "outer/then_branch/#3:Add". */
typedef struct pt_source {
    partita_str name;
    partita_str op, domain;
    const char *removed_by; /* pass that removed it; NULL while a live node carries it */
    uint32_t carriers;      /* live nodes that carry it */
} pt_source;

typedef struct pt_opset {
    partita_str domain;
    int64_t version;
} pt_opset;

typedef struct pt_property {
    partita_str key, value;
} pt_property;

typedef struct pt_model {
    pt_arena arena;
    PT_ARRAY(pt_value) values;
    PT_ARRAY(pt_node) nodes;
    PT_ARRAY(pt_graph) graphs; /* 0 is the main graph */
    PT_ARRAY(pt_source) sources;
    PT_ARRAY(pt_opset) opsets;
    PT_ARRAY(pt_property) metadata;
    PT_ARRAY(pt_tensor *) tensors; /* every tensor, for releasing weights */
    pt_symbols symbols;
    int64_t ir_version;
    partita_str producer_name, producer_version, graph_name, doc;
    partita_str path;             /* of the file; "" from memory */
    uint64_t copied_weight_bytes; /* weights copied because the file gives too little alignment */
} pt_model;

/* The only way to make or change a model. All return OUT_OF_MEMORY or succeed. */
partita_status pt_model_create(pt_model **out_model);
void pt_model_destroy(pt_model *model);
/* A copy that is changed apart from `model`, which must outlive it: names, types and tensors are borrowed. */
partita_status pt_model_copy(const pt_model *model, pt_model **out_copy);
partita_status pt_model_add_graph(pt_model *model, partita_str name, pt_id parent, pt_id *out_graph);
/* `type` is copied, dims too. */
partita_status pt_model_add_value(pt_model *model, pt_id graph, partita_str name, const pt_type *type,
                                  pt_id *out_value);
/* Appends to the graph's order; registers uses. Output values get producer and output number. */
partita_status pt_model_add_node(pt_model *model, pt_id graph, partita_str op, partita_str domain, int32_t version,
                                 const pt_id *inputs, uint32_t input_count, const pt_id *outputs, uint32_t output_count,
                                 pt_id *out_node);
partita_status pt_model_add_source(pt_model *model, partita_str name, partita_str op, partita_str domain,
                                   uint32_t *out_source);
partita_status pt_node_add_source(pt_model *model, pt_id node, uint32_t source);
/* `to` also carries what `from` carried. */
partita_status pt_node_take_sources(pt_model *model, pt_id to, pt_id from);
/* Adds or replaces; the attribute's arrays are borrowed from the arena. */
partita_status pt_node_set_attribute(pt_model *model, pt_id node, const pt_attribute *attribute);
/* An input beyond the last one is added, those between are absent. */
partita_status pt_node_set_input(pt_model *model, pt_id node, uint32_t input, pt_id value);
/* Every use of `from`, as graph output too, becomes one of `to`. */
partita_status pt_value_replace_uses(pt_model *model, pt_id from, pt_id to);
/*
 * `to` takes the place of `from`: the producer of `from` computes it, what used `from` uses it; `from` is dead, `to`
 * loses its former producer. For values of one graph; how a node goes whose output keeps its name.
 */
partita_status pt_value_take_place(pt_model *model, pt_id to, pt_id from);
/* Removes the node and its bodies; its sources are marked `removed_by` unless another live node carries them. Outputs
 * must have no uses. `pass`: a literal. */
void pt_node_remove(pt_model *model, pt_id node, const char *pass);
/* A tensor of the model; `dims` are copied, the reference to `weight` is taken over, when this fails too. */
partita_status pt_model_add_tensor(pt_model *model, partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                   pt_weight *weight, pt_tensor **out_tensor);
/* Appends to the inputs or outputs of a graph and marks the value. */
partita_status pt_graph_add_input(pt_model *model, pt_id graph, pt_id value);
partita_status pt_graph_add_output(pt_model *model, pt_id graph, pt_id value);
/* Marks a value without producer and uses as no longer part of the model. */
void pt_value_remove(pt_model *model, pt_id value);
/* Makes the value a constant of this tensor, and of its type. The producer, if any, loses this output. */
partita_status pt_value_set_constant(pt_model *model, pt_id value, pt_tensor *tensor);
partita_status pt_type_copy(pt_arena *arena, const pt_type *from, pt_type *to);

/* Sorts each graph's order topologically (stable); BAD_MODEL naming a node when there is a cycle. */
partita_status pt_model_sort(pt_model *model);
/* Every invariant that passes rely on: ids in range, use lists equal inputs, order topological, captures from outer
 * graphs only, every source carried or removed. INTERNAL with the first violation. */
partita_status pt_model_validate(const pt_model *model);
/* The model as text, one line a node; the format that tests/passes compares. */
void pt_model_print(const pt_model *model, pt_text *out_text);
void pt_type_print(const pt_model *model, const pt_type *type, pt_text *out_text);

static inline pt_value *pt_value_at(const pt_model *model, pt_id value) { return &model->values.data[value]; }
static inline pt_node *pt_node_at(const pt_model *model, pt_id node) { return &model->nodes.data[node]; }
bool pt_attribute_has_graphs(const pt_attribute *attribute);
/* NULL when the node has none. */
const pt_attribute *pt_node_attribute(const pt_node *node, const char *name);
int64_t pt_node_int(const pt_node *node, const char *name, int64_t otherwise);
float pt_node_float(const pt_node *node, const char *name, float otherwise);
/* The name people see: of the first source; "(none)" without. */
partita_str pt_node_name(const pt_model *model, pt_id node);
/* Version of the domain's opset; 0 when the model does not import it. */
int64_t pt_model_opset(const pt_model *model, partita_str domain);
/* True when the value lies in `graph` or a graph around it. */
bool pt_value_visible(const pt_model *model, pt_id value, pt_id graph);
/* Values that the bodies of `node` take from outside them, each once, in order of first use. */
partita_status pt_node_captures(const pt_model *model, pt_id node, pt_arena *arena, pt_id **out_values,
                                uint32_t *out_count);

#endif
