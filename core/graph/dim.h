/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dims: exact numbers, or symbols. A symbol is named (a dim of an input), unnamed (an input dim without a name; what
 * only a run tells), or an expression over others. Expressions are simplified and shared, so that equal computations
 * give equal dims; given the base symbols, all others are evaluated in one pass over the table.
 */
#ifndef PT_GRAPH_DIM_H
#define PT_GRAPH_DIM_H

#include "base/base.h"

/* >= 0: exact. < 0: symbol -(dim + 1). */
typedef int64_t pt_dim;

static inline bool pt_dim_is_exact(pt_dim dim) { return dim >= 0; }
static inline uint32_t pt_dim_symbol(pt_dim dim) { return (uint32_t)(-(dim + 1)); }
static inline pt_dim pt_dim_of_symbol(uint32_t symbol) { return -(pt_dim)symbol - 1; }

/* Expression of a symbol; BASE has none. */
typedef enum pt_dim_op {
    PT_DIM_BASE,  /* named or unnamed, bound by an input's shape */
    PT_DIM_DATA,  /* bound when a data-dependent output was computed */
    PT_DIM_EXACT, /* the number `a` itself: how negative numbers are dims (elements of small tensors) */
    PT_DIM_ADD,
    PT_DIM_SUB,
    PT_DIM_MUL,
    PT_DIM_FLOOR_DIV, /* towards minus infinity */
    PT_DIM_TRUNC_DIV, /* towards zero: integer Div of ONNX */
    PT_DIM_MOD,
    PT_DIM_MAX,
    PT_DIM_MIN,
    PT_DIM_BROADCAST, /* a where b is 1, b where a is 1, a where equal, else undefined */
    PT_DIM_SCALE,     /* floor(a * s) in float32, where b holds the bits of s > 0: how Resize has it */
    PT_DIM_WRAP       /* a where a is not negative, else a + b: an index that may count from the end */
} pt_dim_op;

typedef struct pt_symbol {
    pt_dim_op op;
    partita_str name; /* of a named base symbol; "" */
    pt_dim a, b;      /* operands; of EXACT a is the raw number */
    bool data;        /* depends on a DATA symbol */
    bool nonnegative; /* known to be >= 0 whatever the inputs are */
} pt_symbol;

typedef struct pt_symbols {
    PT_ARRAY(pt_symbol) rows;
    struct pt_symbols_index *index; /* hash-consing */
} pt_symbols;

void pt_symbols_deinit(pt_symbols *symbols);
/* The same symbols under the same numbers, names borrowed, in an empty table. False when memory is out. */
bool pt_symbols_copy(pt_symbols *symbols, const pt_symbols *from);
/* The base symbol of this name; "" or "?" gives a new unnamed one each time. `name` must outlive the table. */
partita_status pt_dim_named(pt_symbols *symbols, partita_str name, pt_dim *out_dim);
/* A new symbol that only a run tells. */
partita_status pt_dim_data(pt_symbols *symbols, pt_dim *out_dim);
/* `value`, also a negative one. */
partita_status pt_dim_exact(pt_symbols *symbols, int64_t value, pt_dim *out_dim);
/*
 * a op b: folded, simplified, shared. Overflow and division by zero give a DATA symbol. BAD_MODEL when two exact dims
 * do not broadcast.
 */
partita_status pt_dim_apply(pt_symbols *symbols, pt_dim_op op, pt_dim a, pt_dim b, pt_dim *out_dim);
/* True, with the number, for exact dims of either sign. */
bool pt_dim_value(const pt_symbols *symbols, pt_dim dim, int64_t *out_value);
/* True when the dim depends on data, not on input shapes alone. */
bool pt_dim_depends_on_data(const pt_symbols *symbols, pt_dim dim);
void pt_dim_print(const pt_symbols *symbols, pt_dim dim, pt_text *out_text);

#define PT_DIM_UNKNOWN INT64_MIN
/* values[s] of each symbol: base and data symbols are read (PT_DIM_UNKNOWN when not bound), the others written. */
void pt_symbols_evaluate(const pt_symbols *symbols, int64_t *values);
/* A dim under evaluated symbols; PT_DIM_UNKNOWN where not known. */
int64_t pt_dim_evaluate(pt_dim dim, const int64_t *values);

#endif
