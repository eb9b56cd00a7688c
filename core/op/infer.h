/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of inference: what the function of an operator reads and writes. One function serves the symbolic pass over a
 * model and the actual shapes of a run.
 *
 * Helpers that compute dims or reserve outputs cannot fail in their result: what goes wrong is kept in `status`, which
 * the caller of the function looks at. A dim nobody can tell is PT_DIM_UNKNOWN; the symbolic pass turns it into a
 * symbol when it stores the output.
 */
#ifndef PT_OP_INFER_H
#define PT_OP_INFER_H

#include "op/schema.h"

#define PT_RANK_MAX 16

/* What is known about an input or an output. */
typedef struct pt_infer_value {
    partita_kind kind;
    partita_dtype dtype, key_dtype;
    const pt_type *element; /* of sequences, optionals, maps of such */
    int32_t rank;           /* -1: not known */
    pt_dim dims[PT_RANK_MAX];
    const pt_dim *small; /* elements, PT_DIM_UNKNOWN among them; NULL when none is known */
    uint32_t small_count;
    const void *data; /* of inputs: all elements in host memory, dense; NULL */
    uint64_t data_count;
} pt_infer_value;

struct pt_infer_run; /* the pass over a model */

struct pt_infer {
    const pt_model *model;
    const pt_node *node;
    pt_id node_id;
    int32_t since;            /* of the schema: which behaviour is meant */
    struct pt_infer_run *run; /* NULL when shapes of a run are asked for */
    pt_symbols *symbols;
    pt_arena *scratch; /* dies after the pass */
    pt_infer_value *inputs, *outputs;
    uint32_t input_count, output_count;
    pt_infer_value nothing; /* stands for absent inputs */
    pt_infer_value spare;   /* takes what is said about absent outputs */
    partita_status status;
};

/* ---- inputs ---------------------------------------------------------------------------------- */

/* Never NULL: an absent input has kind NONE and rank -1. */
const pt_infer_value *pt_infer_in(const pt_infer *infer, uint32_t input);
bool pt_infer_has(const pt_infer *infer, uint32_t input);
/* Attribute of this type, or NULL. */
const pt_attribute *pt_infer_ints(const pt_infer *infer, const char *name);
bool pt_infer_string_is(const pt_infer *infer, const char *name, const char *text);
/* All elements of a small integer input as numbers, at most PT_SMALL_MAX; false when one is not known. */
bool pt_infer_numbers(const pt_infer *infer, const pt_infer_value *value, int64_t *out_numbers);
/* Elements of a floating-point input in host memory; false when they are not at hand or more than `max`. */
bool pt_infer_reals(const pt_infer_value *value, double *out_reals, uint32_t max);
/* Number of elements of a value with exact dims; false otherwise. */
bool pt_infer_count(const pt_infer_value *value, int64_t *out_count);
/*
 * Elements of a list that is an input in newer versions and was an attribute in older ones. `count` is -1 when not even
 * the length is known; elements NULL when only the length is.
 */
typedef struct pt_infer_list {
    const pt_dim *elements;
    int64_t count;
    bool present;
} pt_infer_list;
pt_infer_list pt_infer_list_of(pt_infer *infer, const char *attribute, uint32_t input);
/* The list as axes of `rank`, from 0 on; `known` false when they are not known. Errors when out of range or repeated.
 */
partita_status pt_infer_axes(pt_infer *infer, pt_infer_list list, int32_t rank, bool *out_known, bool *out_selected);

/* ---- outputs --------------------------------------------------------------------------------- */

/* Never NULL: what is said about an absent output is dropped. */
pt_infer_value *pt_infer_out(pt_infer *infer, uint32_t output);
/* The output is a tensor of this element type, of unknown rank. */
pt_infer_value *pt_infer_tensor(pt_infer *infer, uint32_t output, partita_dtype dtype);
/* Its rank is known; returns its dims, all unknown so far. NULL when the rank is out of range (status is set). */
pt_dim *pt_infer_rank(pt_infer *infer, uint32_t output, int64_t rank);
/* The output has the shape of `value`; returns its dims. */
pt_dim *pt_infer_shape_like(pt_infer *infer, uint32_t output, const pt_infer_value *value);
/* The output is of the type of `value`, shape included. Not its elements. */
void pt_infer_like(pt_infer *infer, uint32_t output, const pt_infer_value *value);
/* Room for the output's elements, all unknown so far. NULL when they are too many, or memory is out (status is set). */
pt_dim *pt_infer_small(pt_infer *infer, uint32_t output, int64_t count);
/* The same elements in the same order. */
void pt_infer_small_like(pt_infer *infer, uint32_t output, const pt_infer_value *value);
/* Fails with BAD_MODEL (BAD_INPUT for shapes of a run) and this text. */
partita_status pt_infer_fail(pt_infer *infer, const char *format, ...) PT_PRINTF(2, 3);
/* The type of a value, as one to be an element; lives in the scratch. NULL when memory is out (status is set). */
pt_type *pt_infer_make_type(pt_infer *infer, const pt_infer_value *value);
void pt_infer_from_type(const pt_type *type, pt_infer_value *out_value);

/* ---- dims ------------------------------------------------------------------------------------ */

pt_dim pt_infer_apply(pt_infer *infer, pt_dim_op op, pt_dim a, pt_dim b);
static inline pt_dim pt_infer_add(pt_infer *infer, pt_dim a, pt_dim b) {
    return pt_infer_apply(infer, PT_DIM_ADD, a, b);
}
static inline pt_dim pt_infer_sub(pt_infer *infer, pt_dim a, pt_dim b) {
    return pt_infer_apply(infer, PT_DIM_SUB, a, b);
}
static inline pt_dim pt_infer_mul(pt_infer *infer, pt_dim a, pt_dim b) {
    return pt_infer_apply(infer, PT_DIM_MUL, a, b);
}
static inline pt_dim pt_infer_div(pt_infer *infer, pt_dim a, pt_dim b) {
    return pt_infer_apply(infer, PT_DIM_FLOOR_DIV, a, b);
}
static inline pt_dim pt_infer_max(pt_infer *infer, pt_dim a, pt_dim b) {
    return pt_infer_apply(infer, PT_DIM_MAX, a, b);
}
static inline pt_dim pt_infer_min(pt_infer *infer, pt_dim a, pt_dim b) {
    return pt_infer_apply(infer, PT_DIM_MIN, a, b);
}
pt_dim pt_infer_ceil_div(pt_infer *infer, pt_dim a, pt_dim b);
/* floor(dim * scale) as ONNX's Resize has it, in float. */
pt_dim pt_infer_scale(pt_infer *infer, pt_dim dim, float scale);
/* Any number as a dim. */
pt_dim pt_infer_number(pt_infer *infer, int64_t number);
pt_dim pt_infer_product(pt_infer *infer, const pt_dim *dims, int64_t count);
/* The number of an exact dim, of either sign. */
bool pt_infer_exact(const pt_infer *infer, pt_dim dim, int64_t *out_number);
bool pt_infer_nonnegative(const pt_infer *infer, pt_dim dim);
bool pt_infer_positive(const pt_infer *infer, pt_dim dim);
/* 0 equal, 1 a > b, -1 a < b, 2 a >= b, -2 a <= b, 3 not known. */
int pt_infer_compare(pt_infer *infer, pt_dim a, pt_dim b);
/* `axis` of `rank`, from 0 on; fails when out of range. */
partita_status pt_infer_axis(pt_infer *infer, int64_t axis, int64_t rank, int32_t *out_axis);
/* Two dims that must be equal: the better known one. Fails when they cannot be. */
partita_status pt_infer_same_dim(pt_infer *infer, pt_dim a, pt_dim b, pt_dim *out_dim);
/* The shape that inputs [first, first + count) broadcast to becomes that of the output. */
partita_status pt_infer_broadcast(pt_infer *infer, uint32_t output, uint32_t first, uint32_t count);
/* The output's shape is what `a` and `b` broadcast to, without their last `skip` dims; room for `skip` more follows. */
partita_status pt_infer_broadcast_batch(pt_infer *infer, uint32_t output, const pt_infer_value *a,
                                        const pt_infer_value *b, int32_t skip);
/* Index into an operand of `value`'s dims for element `index` of a tensor of `dims` that it broadcasts to. */
int64_t pt_infer_broadcast_index(const pt_infer_value *value, const pt_infer_value *whole, int64_t index);

/* ---- elements -------------------------------------------------------------------------------- */

typedef pt_dim (*pt_infer_binary_fn)(pt_infer *infer, pt_dim x, pt_dim y);
/* Elements of output 0, whose shape is set, out of those of inputs a and b that broadcast to it. */
void pt_infer_small_binary(pt_infer *infer, uint32_t a, uint32_t b, pt_infer_binary_fn fn);
typedef pt_dim (*pt_infer_unary_fn)(pt_infer *infer, pt_dim x);
void pt_infer_small_unary(pt_infer *infer, pt_infer_unary_fn fn);
/* Elements of output 0 are those of input 0 at the places that `index` gives for each. */
typedef int64_t (*pt_infer_index_fn)(const void *user, const int64_t *at);
void pt_infer_small_pick(pt_infer *infer, uint32_t output, pt_infer_index_fn index, const void *user);
/*
 * Whole numbers of output 0 when input 0 is a product with a fraction or a quotient, which is rounded here (Floor, Ceil
 * or Cast): how sizes are scaled. False when it is nothing of the kind.
 */
bool pt_infer_rounded(pt_infer *infer, bool up);
/* The function of an element-wise operator of two operands; NULL when it has none. */
pt_infer_binary_fn pt_infer_binary_of(const pt_infer *infer);

/* ---- bodies ---------------------------------------------------------------------------------- */

/* The bodies' values are inferred through these; only in the pass over a model (run is not NULL). */
partita_status pt_infer_body(pt_infer *infer, pt_id graph);
/*
 * For a branch that may never be taken: nodes that are wrong for these shapes have outputs of unknown shape.
 * `*out_message` is what the first one says, in the scratch; NULL when there was none.
 */
partita_status pt_infer_branch(pt_infer *infer, pt_id graph, const char **out_message);
/* Sets what is known about an input of a body. */
partita_status pt_infer_body_input(pt_infer *infer, pt_id graph, uint32_t input, const pt_infer_value *value);
/* What is known about an output of a body. */
void pt_infer_body_output(pt_infer *infer, pt_id graph, uint32_t output, pt_infer_value *out_value);
/* What is known about the body's values now; restored, a second try starts from the same. NULL when memory is out. */
typedef struct pt_infer_snapshot pt_infer_snapshot;
pt_infer_snapshot *pt_infer_snapshot_take(pt_infer *infer, pt_id graph);
void pt_infer_snapshot_restore(pt_infer *infer, const pt_infer_snapshot *snapshot);
void pt_infer_snapshot_free(pt_infer_snapshot *snapshot);
/* Bodies around this node. */
uint32_t pt_infer_depth(const pt_infer *infer);

/* ---- functions of the rows ------------------------------------------------------------------- */

#define ROW_OP_IN(domain, name, since, until, in_min, in_max, out_min, out_max, kind, function, flops, attributes)     \
    partita_status pt_op_infer_##function(pt_infer *infer);
#include "rows/operators.inc"
/* Of rows of an operator set that have a callback. */
partita_status pt_op_infer_set(pt_infer *infer);
/* Which of the bodies of the row computes the node; PT_NONE. */
partita_status pt_op_choose_set(pt_infer *infer, uint32_t *out_body);

#endif
