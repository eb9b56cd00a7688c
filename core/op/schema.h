/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operator schemas out of the rows of sdk/rows, attribute checking, type and shape inference.
 */
#ifndef PT_OP_SCHEMA_H
#define PT_OP_SCHEMA_H

#include "graph/model.h"

typedef struct pt_infer pt_infer; /* inference of one node: core/op/infer.h */

/* Properties of an operator. */
enum {
    PT_OP_PURE = 1u, /* same inputs, same outputs: may be folded, shared, removed */
    PT_OP_RANDOM = 2u,
    PT_OP_DATA_SHAPED = 4u,  /* an output's shape depends on data */
    PT_OP_CONTROL_FLOW = 8u, /* has bodies */
    PT_OP_MOVES_DATA = 16u,  /* no arithmetic */
    PT_OP_ELEMENTWISE = 32u
};

typedef struct pt_schema_attribute {
    const char *name;
    uint32_t type; /* PTP_ATTRIBUTE_*; 0: a type proto, not checked */
    bool required;
    bool has_default;
    int64_t default_int;      /* INT */
    float default_float;      /* FLOAT */
    const char *default_text; /* STRING; INTS and FLOATS as "1,2" */
} pt_schema_attribute;

typedef struct pt_schema {
    const char *domain, *name;
    int32_t since; /* first opset version with this behaviour; in force until the next row of the same name */
    int32_t until; /* last opset version with this behaviour; INT32_MAX for the newest; 0-based gaps mean "removed" */
    uint32_t min_inputs, max_inputs, min_outputs, max_outputs; /* UINT32_MAX: variadic */
    uint32_t flags;
    const pt_schema_attribute *attributes;
    uint32_t attribute_count;
    partita_status (*infer)(pt_infer *infer); /* NULL: nothing can be said */
    /* FLOPs at the given dims; what moves data has none. */
    uint64_t (*flops)(const pt_model *model, const pt_node *node, const int64_t *symbol_values);
    const struct ptp_operator_row *row; /* of an operator set: pt_op_infer_set serves `infer`; NULL: the standard's */
    const char *origin;                 /* plugin that brought the row; NULL */
    uint64_t optional_inputs; /* bits: of the first min_inputs those that may be absent; only operator sets have any */
} pt_schema;

/* The schema in force for `name` at the opset version; NULL when there is none. */
const pt_schema *pt_schema_find(partita_str domain, partita_str name, int64_t opset_version);
/* The FunctionProto that defines an operator of the standard; NULL when it has none. */
const void *pt_schema_function(const pt_schema *schema, uint64_t *out_size);
/* True when some version of the standard has an operator of this name. */
bool pt_schema_is_standard(partita_str domain, partita_str name);
/* All rows, sorted by domain, name, since. */
const pt_schema *pt_schema_rows(uint32_t *out_count);

/* The last opset of ai.onnx whose rows are here. Operators of later ones are read as they are in it. */
enum { PT_NEWEST_OPSET = 28 };

/*
 * Finds each node's schema, checks counts and types of attributes, fills defaults in. BAD_MODEL with node and cause; an
 * operator that no schema knows keeps schema NULL (a plugin's operator set may know it) unless its domain is ai.onnx
 * and its opset version is one we know, when it is BAD_MODEL.
 */
partita_status pt_model_check(pt_model *model);
/* The same for one node. */
partita_status pt_node_check(pt_model *model, pt_id node);
/* Where operators that the standard lacks are looked up: NULL in *out_schema when they are not known there either. */
typedef struct pt_schema_source {
    partita_status (*find)(void *user, partita_str domain, partita_str name, int64_t version,
                           const pt_schema **out_schema);
    void *user;
} pt_schema_source;
/* As pt_model_check. The rows that the source gives live as long as the model. */
partita_status pt_model_check_with(pt_model *model, const pt_schema_source *source);

/*
 * Types, shapes with symbolic dims, and values of small integer tensors, through every node and body. Runs again after
 * passes: what was known stays. BAD_MODEL naming node and cause when types contradict each other.
 */
partita_status pt_model_infer(pt_model *model);
partita_status pt_node_infer(pt_model *model, pt_id node);

/*
 * The FunctionProto that computes this node: of its operator set, or of the standard. NULL when there is none. It lives
 * as long as the library that it is in.
 */
partita_status pt_node_body(pt_model *model, pt_id node, const void **out_bytes, uint64_t *out_size);
/* True for a node that only its body tells the outputs of: its operator set has no inference for it. */
bool pt_node_needs_body(const pt_node *node);

/* A run-time tensor for inference: data NULL when the value is not at hand. */
typedef struct pt_shaped {
    partita_kind kind;
    partita_dtype dtype;
    int32_t rank; /* -1: not known */
    const int64_t *dims;
    const void *data; /* host memory, packed */
} pt_shaped;
/*
 * Shapes of a node's outputs from actual inputs, with the node's own attributes. dims of output i land in
 * out_dims[i * 16 ..]; rank -1 or dim -1 where only the data tells. Thread-safe on an immutable model.
 */
partita_status pt_node_infer_actual(const pt_model *model, pt_id node, const pt_shaped *inputs, uint32_t input_count,
                                    pt_shaped *out_shapes, int64_t *out_dims, uint32_t output_count);

/* FLOPs of a node under evaluated symbols (pt_symbols_evaluate): 2 per multiply-add, else 1 per output element. */
uint64_t pt_node_flops(const pt_model *model, pt_id node, const int64_t *symbol_values);

#endif
