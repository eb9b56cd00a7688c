/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models in few words, for tests of operators: values go by name, dims are text ("N,3,?"), constants are lists.
 */
#ifndef OP_BUILD_H
#define OP_BUILD_H

#include "op/schema.h"

#include <setjmp.h>

#include <cmocka.h>

#include "ok.h"

typedef struct builder {
    pt_model *model;
    pt_id graph;     /* where things are added */
    int32_t version; /* of the opset */
} builder;

void build_start(builder *b, int32_t version);
void build_end(builder *b);
/* A body of `node` as its attribute `name`; further things are added to it. Returns the graph before. */
pt_id build_body(builder *b, pt_id node, const char *name);
/* An input of the graph; `dims` NULL: rank not known, "": a scalar. */
pt_id build_input(builder *b, const char *name, partita_dtype dtype, const char *dims);
pt_id build_ints(builder *b, const char *name, const int64_t *numbers, int64_t count);
pt_id build_int(builder *b, const char *name, int64_t number);
pt_id build_floats(builder *b, const char *name, const float *numbers, int64_t count);
pt_id build_bool(builder *b, const char *name, bool truth);
/* Inputs and outputs by name, with spaces between; "-" is an absent one. Outputs are new values. */
pt_id build_node(builder *b, const char *op, const char *inputs, const char *outputs);
void build_output(builder *b, const char *name);
void build_attr_int(builder *b, pt_id node, const char *name, int64_t number);
void build_attr_ints(builder *b, pt_id node, const char *name, const int64_t *numbers, uint32_t count);
void build_attr_text(builder *b, pt_id node, const char *name, const char *text);
/* The value of this name, in any graph. */
pt_id build_value(const builder *b, const char *name);
/* Checks and infers. */
partita_status build_infer(builder *b);
/* The dims, "N,3", or "none" when the rank is not known; and the elements, "none" when they are not known. */
void assert_dims(const builder *b, const char *name, const char *dims);
void assert_elements(const builder *b, const char *name, const char *elements);
void assert_dtype(const builder *b, const char *name, partita_dtype dtype);

#endif
