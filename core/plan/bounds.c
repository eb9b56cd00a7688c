/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounds of sizes that only data tells: what a producer can give at most, and intervals through the expressions that
 * depend on it, at the plan's nominal shapes.
 */
#include "graph/dim_table.h"
#include "plan/build.h"

#define LEAST INT64_MIN /* also: nothing bounds it */
#define MOST  INT64_MAX

typedef struct interval {
    int64_t low, high;
} interval;

typedef struct bounding {
    const pt_plan *plan;
    interval *of;    /* by symbol */
    pt_id *value_of; /* by DATA symbol: a value that has it for a dim; PT_NONE */
    uint32_t *axis_of;
} bounding;

/* ---- arithmetic ------------------------------------------------------------------------------ */

static bool is_endless(int64_t end) { return end == LEAST || end == MOST; }

/* Where it overflows or an operand is endless the result is `endless`. */
static int64_t fold(pt_dim_op op, int64_t a, int64_t b, int64_t endless) {
    int64_t value;
    return !is_endless(a) && !is_endless(b) && pt_dim_fold(op, a, b, &value) ? value : endless;
}

static interval of_dim(const bounding *b, pt_dim dim) {
    return pt_dim_is_exact(dim) ? (interval){dim, dim} : b->of[pt_dim_symbol(dim)];
}

/* The extremes of an operation that is monotonic in each operand lie at corners. */
static interval corners(pt_dim_op op, interval x, interval y) {
    interval result = {MOST, LEAST};
    for (int i = 0; i < 4; i++) {
        int64_t a = i & 1 ? x.high : x.low, b = i & 2 ? y.high : y.low;
        result.low = PT_MIN(result.low, fold(op, a, b, LEAST));
        result.high = PT_MAX(result.high, fold(op, a, b, MOST));
    }
    return result;
}

static interval apply(const pt_symbol *row, interval x, interval y) {
    switch (row->op) {
    case PT_DIM_ADD: return (interval){fold(PT_DIM_ADD, x.low, y.low, LEAST), fold(PT_DIM_ADD, x.high, y.high, MOST)};
    case PT_DIM_SUB: return (interval){fold(PT_DIM_SUB, x.low, y.high, LEAST), fold(PT_DIM_SUB, x.high, y.low, MOST)};
    case PT_DIM_MUL: return corners(PT_DIM_MUL, x, y);
    case PT_DIM_FLOOR_DIV:
    case PT_DIM_TRUNC_DIV: return y.low > 0 ? corners(row->op, x, y) : (interval){LEAST, MOST};
    case PT_DIM_MOD: return y.low > 0 ? (interval){0, y.high == MOST ? MOST : y.high - 1} : (interval){LEAST, MOST};
    case PT_DIM_MAX: return (interval){PT_MAX(x.low, y.low), PT_MAX(x.high, y.high)};
    case PT_DIM_MIN: return (interval){PT_MIN(x.low, y.low), PT_MIN(x.high, y.high)};
    case PT_DIM_BROADCAST: return (interval){PT_MIN(x.low, y.low), PT_MAX(x.high, y.high)};
    case PT_DIM_SCALE: /* y holds a float's bits */
        return (interval){fold(PT_DIM_SCALE, x.low, y.low, LEAST), fold(PT_DIM_SCALE, x.high, y.low, MOST)};
    default: return (interval){LEAST, MOST};
    }
}

/* ---- producers ------------------------------------------------------------------------------- */

/* Whence the most comes: all elements of the first input, as many as it has along the same axis or along the one that
 * an attribute names, or as many boxes as there are for all batches and classes. */
typedef enum bound_rule { ALL, SAME_AXIS, ATTRIBUTE_AXIS, BOXES } bound_rule;

static const struct {
    const char *op;
    bound_rule rule;
} producers[] = {{"NonZero", ALL},     {"Compress", ATTRIBUTE_AXIS}, {"Unique", ATTRIBUTE_AXIS},
                 {"Slice", SAME_AXIS}, {"TopK", SAME_AXIS},          {"NonMaxSuppression", BOXES}};

static const pt_type *type_of(const bounding *b, const pt_node *node, uint32_t input) {
    if (input >= node->input_count || node->inputs[input] == PT_NONE) return NULL;
    const pt_type *type = &b->plan->model->values.data[node->inputs[input]].type;
    return type->kind == PARTITA_KIND_TENSOR && type->rank >= 0 ? type : NULL;
}

/* The most of a product of dims; none of them is negative. */
static int64_t most_of(const bounding *b, const pt_dim *dims, uint32_t count) {
    int64_t most = 1;
    for (uint32_t i = 0; i < count; i++) most = fold(PT_DIM_MUL, most, PT_MAX(of_dim(b, dims[i]).high, 0), MOST);
    return most;
}

static int64_t most_by(const bounding *b, const pt_node *node, bound_rule rule, uint32_t axis) {
    const pt_type *x = type_of(b, node, 0), *scores = type_of(b, node, 1);
    if (!x) return MOST;
    uint32_t rank = (uint32_t)x->rank;
    if (rule == BOXES) return scores ? most_of(b, scores->dims, (uint32_t)scores->rank) : MOST;
    if (rule == ATTRIBUTE_AXIS && pt_node_attribute(node, "axis")) {
        int64_t named = pt_node_int(node, "axis", 0);
        axis = (uint32_t)(named < 0 ? named + (int64_t)rank : named);
        rule = SAME_AXIS;
    }
    if (rule == SAME_AXIS) return axis < rank ? of_dim(b, x->dims[axis]).high : MOST;
    return most_of(b, x->dims, rank);
}

static interval of_data(const bounding *b, uint32_t symbol) {
    const pt_model *model = b->plan->model;
    interval result = {model->symbols.rows.data[symbol].nonnegative ? 0 : LEAST, MOST};
    if (b->value_of[symbol] == PT_NONE) return result;
    const pt_node *node = &model->nodes.data[model->values.data[b->value_of[symbol]].producer];
    if (node->domain.size) return result;
    for (size_t i = 0; i < PT_COUNT_OF(producers); i++)
        if (pt_str_is(node->op, producers[i].op)) result.high = most_by(b, node, producers[i].rule, b->axis_of[symbol]);
    return result;
}

static void find_values(bounding *b) {
    const pt_model *model = b->plan->model;
    for (pt_id id = 0; id < model->values.size; id++) {
        const pt_value *value = &model->values.data[id];
        if (value->dead || value->producer == PT_NONE || value->type.kind != PARTITA_KIND_TENSOR) continue;
        for (int32_t d = 0; d < value->type.rank; d++) {
            if (pt_dim_is_exact(value->type.dims[d])) continue;
            uint32_t symbol = pt_dim_symbol(value->type.dims[d]);
            if (model->symbols.rows.data[symbol].op != PT_DIM_DATA || b->value_of[symbol] != PT_NONE) continue;
            b->value_of[symbol] = id;
            b->axis_of[symbol] = (uint32_t)d;
        }
    }
}

partita_status pt_plan_find_most(const pt_plan *plan, pt_arena *arena, int64_t **out_most) {
    const pt_symbols *symbols = &plan->model->symbols;
    size_t count = symbols->rows.size;
    bounding b = {.plan = plan,
                  .of = pt_arena_array(arena, count + 1, sizeof(interval)),
                  .value_of = pt_arena_array(arena, count + 1, sizeof(pt_id)),
                  .axis_of = pt_arena_array(arena, count + 1, sizeof(uint32_t))};
    int64_t *most = pt_arena_array(arena, count + 1, sizeof(*most));
    if (!b.of || !b.value_of || !b.axis_of || !most) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) b.value_of[i] = PT_NONE;
    find_values(&b);
    for (uint32_t i = 0; i < count; i++) {
        const pt_symbol *row = &symbols->rows.data[i];
        int64_t known = plan->symbol_values[i];
        if (known != PT_DIM_UNKNOWN)
            b.of[i] = (interval){known, known};
        else if (row->op == PT_DIM_EXACT) /* the one number that cannot be told from an unknown one */
            b.of[i] = (interval){row->a, row->a};
        else if (row->op == PT_DIM_DATA || row->op == PT_DIM_BASE)
            b.of[i] = row->op == PT_DIM_DATA ? of_data(&b, i) : (interval){0, MOST};
        else
            b.of[i] = apply(row, of_dim(&b, row->a), of_dim(&b, row->b));
        if (row->nonnegative) b.of[i].low = PT_MAX(b.of[i].low, 0);
        most[i] = b.of[i].high == MOST ? PT_DIM_UNKNOWN : b.of[i].high;
    }
    *out_most = most;
    return PARTITA_OK;
}
