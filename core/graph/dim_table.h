/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the dims: what the table of symbols (dim.c) and the rules of simplification (dim_rules.c) share.
 */
#ifndef PT_GRAPH_DIM_TABLE_H
#define PT_GRAPH_DIM_TABLE_H

#include "graph/dim.h"

/* The symbol `a op b` as it stands, made when there is none yet. EXACT: a is the raw number. */
partita_status pt_dim_intern(pt_symbols *symbols, pt_dim_op op, pt_dim a, pt_dim b, pt_dim *out_dim);
/* a op b of numbers; false on overflow, division by zero, or numbers that do not broadcast. */
bool pt_dim_fold(pt_dim_op op, int64_t a, int64_t b, int64_t *out_value);
/* The factor of a SCALE, out of its bits. */
float pt_dim_scale(int64_t bits);
/* The row of a dim that is a symbol; NULL for an exact dim. */
const pt_symbol *pt_dim_row(const pt_symbols *symbols, pt_dim dim);
bool pt_dim_is_nonnegative(const pt_symbols *symbols, pt_dim dim);

#endif
