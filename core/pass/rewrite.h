/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes share: the functions of the rows, and the safe ways to take a node out.
 */
#ifndef PT_PASS_REWRITE_H
#define PT_PASS_REWRITE_H

#include "op/schema.h"
#include "pass/pass.h"

/* One function per file of the same name. */
partita_status pt_pass_shape(pt_pass_run *run);
partita_status pt_pass_fold(pt_pass_run *run);
partita_status pt_pass_identity(pt_pass_run *run);
partita_status pt_pass_cast(pt_pass_run *run);
partita_status pt_pass_cse(pt_pass_run *run);
partita_status pt_pass_conv_bn(pt_pass_run *run);
partita_status pt_pass_quant(pt_pass_run *run);
partita_status pt_pass_dead(pt_pass_run *run);

/* Calls `visit` for each live node of each graph, bodies included. The visit may remove nodes. */
typedef partita_status (*pt_rewrite_fn)(pt_pass_run *run, pt_id node);
partita_status pt_rewrite_nodes(pt_pass_run *run, pt_rewrite_fn visit);

/*
 * Takes `node` out where its output 0 always equals `value`, one of its inputs. Does nothing where outputs of a graph
 * would lose their name or become a value that the graph does not compute. No other output of the node may be used.
 */
partita_status pt_rewrite_bypass(pt_pass_run *run, pt_id node, pt_id value, const char *pass);
/*
 * Takes `node` out after its work went into the producer of its input 0, a value that nobody else uses: that producer
 * computes the node's output 0 from now on.
 */
partita_status pt_rewrite_absorb(pt_pass_run *run, pt_id node, const char *pass);
/* The node is of ONNX's own domain and of this operator. */
bool pt_rewrite_is(const pt_node *node, const char *op);
/* Input i, PT_NONE when there is none. */
pt_id pt_rewrite_input(const pt_node *node, uint32_t input);
/* The constant dense tensor behind input i; NULL. */
const pt_tensor *pt_rewrite_constant(const pt_model *model, const pt_node *node, uint32_t input);
/* No output but the first one is used. */
bool pt_rewrite_one_output(const pt_model *model, const pt_node *node);
/* A new constant of this type, whose bytes are made when they are needed; takes over the recipe's state, when this
 * fails too. */
partita_status pt_rewrite_new_constant(pt_model *model, pt_id graph, partita_dtype dtype, uint32_t rank,
                                       const int64_t *dims, const pt_recipe *recipe, uint64_t bytes, pt_id *out_value);

#endif
