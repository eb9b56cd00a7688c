/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the room: how the nodes of a derivative are made.
 *
 * What goes wrong is kept in `status`, as in inference; from then on every function returns PT_NONE and does nothing.
 * So a derivative is written like a formula.
 */
#ifndef PT_GRADIENT_BUILD_H
#define PT_GRADIENT_BUILD_H

#include "op/schema.h"

#define PT_GRAD_RANK_MAX 16
enum { PT_GRAD_SLOTS = 10 }; /* inputs and outputs that recipes can name */

/* One expansion of a Gradient. */
typedef struct pt_grad {
    pt_model *model;
    pt_id graph;     /* where new nodes go: that of the Gradient */
    pt_id node;      /* the Gradient, whose sources new nodes carry */
    int32_t version; /* of ONNX's own operators that are made */
    pt_arena scratch;
    partita_status status;
} pt_grad;

/* One node to be differentiated. */
typedef struct pt_grad_site {
    pt_grad *grad;
    const struct pt_grad_row *row;
    pt_id node;
    const pt_id *inputs, *outputs;
    uint32_t input_count, output_count;
    const pt_id *upstream; /* by output: the gradient of y with respect to it; PT_NONE: zero */
    const bool *wanted;    /* by input */
    pt_id *results;        /* by input: set by the derivative where it is wanted and not zero */
} pt_grad_site;

typedef void (*pt_grad_fn)(pt_grad_site *site);

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Keeps the first failure. */
pt_id pt_grad_fail(pt_grad *g, const char *format, ...) PT_PRINTF(2, 3);
bool pt_grad_failed(const pt_grad *g);
/* A node of ONNX with these attributes; its types are inferred. */
void pt_grad_emit(pt_grad *g, const char *op, const pt_id *inputs, uint32_t input_count, const pt_attribute *attributes,
                  uint32_t attribute_count, pt_id *out_values, uint32_t output_count);
/* The same for one output. */
pt_id pt_grad_op(pt_grad *g, const char *op, const pt_id *inputs, uint32_t count, const pt_attribute *attributes,
                 uint32_t attribute_count);
pt_id pt_grad_unary(pt_grad *g, const char *op, pt_id x);
pt_id pt_grad_binary(pt_grad *g, const char *op, pt_id a, pt_id b);
/* The node again, of its own version, with other inputs. `drop`: attribute that is left out; NULL. */
pt_id pt_grad_again(pt_grad *g, pt_id node, const pt_id *inputs, uint32_t input_count, const char *drop);
/* As pt_grad_again, all outputs: PT_NONE where the node has none. */
void pt_grad_clone(pt_grad *g, pt_id node, const pt_id *inputs, uint32_t input_count, const char *drop,
                   pt_id *out_values);
/* Output of a node of the model; it is added where the node did without. */
pt_id pt_grad_output(pt_grad *g, pt_id node, uint32_t output);

pt_attribute pt_grad_int(const char *name, int64_t value);
pt_attribute pt_grad_string(const char *name, const char *value);
/* `values` are copied. */
pt_attribute pt_grad_list(pt_grad *g, const char *name, const int64_t *values, uint32_t count);

/* ---- constants ------------------------------------------------------------------------------- */

/* A scalar of this element type. */
pt_id pt_grad_scalar(pt_grad *g, partita_dtype dtype, double value);
pt_id pt_grad_scalar_int(pt_grad *g, int64_t value);
pt_id pt_grad_ints(pt_grad *g, const int64_t *values, uint32_t count);
/* first, first + 1, ..., last - 1 */
pt_id pt_grad_range(pt_grad *g, int64_t first, int64_t last);

/* ---- types ----------------------------------------------------------------------------------- */

const pt_type *pt_grad_type(const pt_grad *g, pt_id value);
partita_dtype pt_grad_dtype(const pt_grad *g, pt_id value);
/* Of a tensor whose rank is known; fails otherwise. */
int32_t pt_grad_rank(pt_grad *g, pt_id value);
bool pt_grad_is_float(partita_dtype dtype);
/* Attribute `axis` from 0 on. */
int64_t pt_grad_axis(pt_grad *g, pt_id node, int64_t otherwise, int64_t rank);

/* ---- what many derivatives need -------------------------------------------------------------- */

pt_id pt_grad_shape(pt_grad *g, pt_id value);
/* Dims [first, last) of a shape. */
pt_id pt_grad_dims(pt_grad *g, pt_id shape, int64_t first, int64_t last);
pt_id pt_grad_reshape(pt_grad *g, pt_id value, pt_id shape);
pt_id pt_grad_like(pt_grad *g, pt_id value, pt_id model);
pt_id pt_grad_expand(pt_grad *g, pt_id value, pt_id model);
/* All elements are `value`, shape and type of `model`. */
pt_id pt_grad_full(pt_grad *g, pt_id model, double value);
pt_id pt_grad_cast(pt_grad *g, pt_id value, partita_dtype dtype);
pt_id pt_grad_concat(pt_grad *g, const pt_id *pieces, uint32_t count, int64_t axis);
pt_id pt_grad_transpose(pt_grad *g, pt_id value, const int64_t *perm);
pt_id pt_grad_unsqueeze(pt_grad *g, pt_id value, pt_id axes);
/* Sum over `axes` (PT_NONE: all). */
pt_id pt_grad_sum(pt_grad *g, pt_id value, pt_id axes, bool keep);
/* What was broadcast is summed up, so that the shape becomes that of `model`. */
pt_id pt_grad_sum_to(pt_grad *g, pt_id value, pt_id model);
pt_id pt_grad_add(pt_grad *g, pt_id a, pt_id b);

/* ---- rows ------------------------------------------------------------------------------------ */

typedef enum pt_grad_kind {
    PT_GRAD_ZERO,    /* constant almost everywhere */
    PT_GRAD_RECIPE,  /* text: the derivative of each input */
    PT_GRAD_BODY,    /* text: the operator in terms of others, which are differentiated instead */
    PT_GRAD_FUNCTION /* function */
} pt_grad_kind;

typedef struct pt_grad_row {
    const char *op;
    int32_t since, until; /* opset versions */
    const char *when;     /* "name=value" of an attribute; "": always */
    pt_grad_kind kind;
    const char *text;
    pt_grad_fn function;
} pt_grad_row;

/* NULL when there is none. */
const pt_grad_row *pt_grad_find(const pt_model *model, pt_id node);
/*
 * Evaluates a text. `dy` etc. are the site's; for a body the outputs go to `out_values` [output_count], else the
 * results to the site.
 */
void pt_grad_recipe(pt_grad_site *site, const char *text);
void pt_grad_body(pt_grad_site *site, const char *text, pt_id *out_values);

void pt_grad_max_pool(pt_grad_site *site);
void pt_grad_average_pool(pt_grad_site *site);
void pt_grad_lp_pool(pt_grad_site *site);
void pt_grad_conv(pt_grad_site *site);
void pt_grad_conv_transpose(pt_grad_site *site);
void pt_grad_matmul(pt_grad_site *site);
void pt_grad_gemm(pt_grad_site *site);
void pt_grad_einsum(pt_grad_site *site);
void pt_grad_concat_of(pt_grad_site *site);
void pt_grad_split_of(pt_grad_site *site);
void pt_grad_transpose_of(pt_grad_site *site);
void pt_grad_gather(pt_grad_site *site);
void pt_grad_moved(pt_grad_site *site);
void pt_grad_scatter(pt_grad_site *site);
void pt_grad_variadic_sum(pt_grad_site *site);
void pt_grad_extreme(pt_grad_site *site);
void pt_grad_dropout(pt_grad_site *site);
void pt_grad_dequantize(pt_grad_site *site);
void pt_grad_resize(pt_grad_site *site);

#endif
