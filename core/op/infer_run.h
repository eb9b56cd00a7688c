/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the pass over a model and the inference of one run's shapes share.
 */
#ifndef PT_OP_INFER_RUN_H
#define PT_OP_INFER_RUN_H

#include "op/infer.h"

/* The pass over a model. */
struct pt_infer_run {
    pt_model *model;
    pt_arena scratch;
    /* Whole numbers in small floating-point tensors, by value: sizes often take a way through floats. */
    struct pt_infer_floats {
        const pt_dim *elements;
        uint32_t count;
    } * floats;
    pt_infer_value *values; /* for the inputs and outputs of the node at hand */
    size_t capacity;
    uint32_t depth; /* bodies around the node at hand */
    bool *trusted;  /* by symbol: dims of the model's inputs, whose names mean something where nothing is computed */
    size_t trusted_count;
    /* Within a branch that may never be taken: a node that is wrong for these shapes is passed over, and counted. */
    uint32_t lenient;
    uint64_t faults;
    char first_fault[1024];
};

/* The tensor of a constant, or of what a Constant node says; NULL. */
const pt_tensor *pt_infer_constant(const pt_model *model, pt_id value);
/*
 * Elements as dims: integers, bools, and the whole numbers among float32 and float64 (others become PT_DIM_UNKNOWN).
 * `out_any` false when the type is none of these or no element is known.
 */
partita_status pt_infer_elements(pt_symbols *symbols, partita_dtype dtype, const void *data, uint32_t count,
                                 pt_dim *out_elements, bool *out_any);
/* Forgets elements that are not as many as the shape says; whoever reads elements relies on the shape. */
void pt_infer_drop_odd(pt_infer_value *value);
/* Forgets elements of outputs that their types cannot hold: the true ones are others. */
void pt_infer_drop_unheld(pt_infer *infer);
bool pt_infer_dtype_is_float(partita_dtype dtype);
/* Calls the schema's function; its failure, or the one kept in the inference. */
partita_status pt_infer_call(pt_infer *infer, const pt_schema *schema);
/* How rows of tables about operators begin; such tables are sorted by it. */
typedef struct pt_op_key {
    const char *domain, *name;
    int32_t since;
} pt_op_key;
/* The last row of the node's operator whose version is not above the node's; NULL. */
const void *pt_op_key_find(const pt_node *node, const void *table, size_t count, size_t size);
/* BAD_MODEL when inputs have types that the schema does not let come together. */
partita_status pt_infer_check_types(pt_infer *infer);
/* BAD_MODEL when inputs have shapes that do not fit each other or the operator; BAD_INPUT for shapes of a run. */
partita_status pt_infer_check_forms(pt_infer *infer);

#endif
