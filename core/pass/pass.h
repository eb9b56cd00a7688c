/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graph rewrites. One file, one pass, one row; the runner goes through the rows until nothing changes, infers in
 * between, and in builds with assertions validates after each.
 *
 * Source nodes survive every pass: a fused node carries those of all its parts, one that is gone says which pass
 * removed it. Names, types and order of the main graph's inputs and outputs never change.
 */
#ifndef PT_PASS_PASS_H
#define PT_PASS_PASS_H

#include "graph/model.h"

/*
 * Computes a node whose inputs are all constants, or absent. out_tensors [output_count]: tensors of the model
 * (pt_model_add_tensor), NULL for absent outputs. After any failure but OUT_OF_MEMORY,
 * CANCELLED and DEADLINE the node stays as it is.
 */
typedef partita_status (*pt_evaluate_fn)(void *user, pt_model *model, pt_id node, pt_tensor **out_tensors);

typedef struct pt_pass_options {
    pt_evaluate_fn evaluate; /* NULL: nothing is folded that only numbers tell */
    void *user;
    uint64_t fold_growth; /* bytes that a folded result may be larger than its inputs; 0: 1 MiB */
    uint64_t fold_total;  /* bytes of all folded results; 0: 64 MiB */
} pt_pass_options;

/* What a pass works on. */
typedef struct pt_pass_run {
    pt_model *model;
    const pt_pass_options *options; /* with defaults filled in */
    uint64_t folded_bytes;
    uint32_t changes; /* each rewrite counts one */
} pt_pass_run;

typedef struct pt_pass {
    const char *name; /* as in pt_source.removed_by */
    partita_status (*run)(pt_pass_run *run);
} pt_pass;

/* All passes, in the order in which they run. */
const pt_pass *pt_pass_rows(uint32_t *out_count);
const pt_pass *pt_pass_find(const char *name);

/* The model was checked and inferred (core/op). `options` NULL: defaults. */
partita_status pt_model_run_passes(pt_model *model, const pt_pass_options *options);
/* One pass, once. */
partita_status pt_model_run_pass(pt_model *model, const pt_pass *pass, const pt_pass_options *options);

#endif
