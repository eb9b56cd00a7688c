/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of symbols: sharing by hash, evaluation, printing. A row's operands stand before it, so one pass from the
 * front evaluates all.
 */
#include "graph/dim_table.h"

#include <math.h>

struct pt_symbols_index {
    uint32_t capacity; /* a power of two */
    uint32_t size;
    uint32_t slots[]; /* row + 1; 0: empty */
};

void pt_symbols_deinit(pt_symbols *symbols) {
    if (!symbols) return;
    pt_array_deinit(&symbols->rows);
    pt_free(symbols->index);
    symbols->index = NULL;
}

bool pt_symbols_copy(pt_symbols *symbols, const pt_symbols *from) {
    size_t size = from->index ? sizeof *from->index + (size_t)from->index->capacity * sizeof(uint32_t) : 0;
    if (!pt_array_reserve(&symbols->rows, from->rows.size)) return false;
    if (from->rows.size) memcpy(symbols->rows.data, from->rows.data, from->rows.size * sizeof *from->rows.data);
    symbols->rows.size = from->rows.size;
    if (!from->index) return true;
    symbols->index = pt_malloc(size);
    if (symbols->index) memcpy(symbols->index, from->index, size);
    return symbols->index != NULL;
}

const pt_symbol *pt_dim_row(const pt_symbols *symbols, pt_dim dim) {
    return pt_dim_is_exact(dim) ? NULL : &symbols->rows.data[pt_dim_symbol(dim)];
}

/* Named base symbols are found by name, all others by what they compute. */
static uint64_t row_hash(const pt_symbol *row) {
    int64_t key[3] = {row->op, row->a, row->b};
    if (row->op == PT_DIM_BASE) return pt_hash_bytes(row->name.data, row->name.size, 1);
    return pt_hash_bytes(key, sizeof key, 2);
}

static bool row_equal(const pt_symbol *x, const pt_symbol *y) {
    if (x->op != y->op) return false;
    if (x->op == PT_DIM_BASE) return pt_str_equal(x->name, y->name);
    return x->a == y->a && x->b == y->b;
}

static bool index_grow(pt_symbols *symbols) {
    struct pt_symbols_index *old = symbols->index;
    uint32_t capacity = old ? old->capacity * 2 : 64;
    struct pt_symbols_index *index = pt_calloc(1, sizeof *index + (size_t)capacity * sizeof(uint32_t));
    if (!index) return false;
    index->capacity = capacity;
    for (uint32_t i = 0; old && i < old->capacity; i++) {
        if (!old->slots[i]) continue;
        uint32_t slot = (uint32_t)row_hash(&symbols->rows.data[old->slots[i] - 1]) & (capacity - 1);
        while (index->slots[slot]) slot = (slot + 1) & (capacity - 1);
        index->slots[slot] = old->slots[i];
        index->size++;
    }
    pt_free(old);
    symbols->index = index;
    return true;
}

static partita_status add_row(pt_symbols *symbols, const pt_symbol *row, pt_dim *out_dim) {
    if (symbols->rows.size >= INT32_MAX) return pt_fail(PARTITA_OVER_BUDGET, "too many symbolic dims");
    if (!pt_array_push(&symbols->rows, *row)) return PT_OUT_OF_MEMORY();
    *out_dim = pt_dim_of_symbol((uint32_t)symbols->rows.size - 1);
    return PARTITA_OK;
}

static partita_status find_or_add(pt_symbols *symbols, const pt_symbol *row, pt_dim *out_dim) {
    if ((!symbols->index || symbols->index->size >= symbols->index->capacity / 4 * 3) && !index_grow(symbols)) {
        return PT_OUT_OF_MEMORY();
    }
    struct pt_symbols_index *index = symbols->index;
    uint32_t slot = (uint32_t)row_hash(row) & (index->capacity - 1);
    for (; index->slots[slot]; slot = (slot + 1) & (index->capacity - 1)) {
        if (row_equal(&symbols->rows.data[index->slots[slot] - 1], row)) {
            *out_dim = pt_dim_of_symbol(index->slots[slot] - 1);
            return PARTITA_OK;
        }
    }
    PT_TRY(add_row(symbols, row, out_dim));
    index->slots[slot] = pt_dim_symbol(*out_dim) + 1;
    index->size++;
    return PARTITA_OK;
}

partita_status pt_dim_named(pt_symbols *symbols, partita_str name, pt_dim *out_dim) {
    pt_symbol row = {.op = PT_DIM_BASE, .name = name, .nonnegative = true};
    if (name.size == 0 || pt_str_is(name, "?")) {
        row.name = PT_STR("");
        return add_row(symbols, &row, out_dim);
    }
    return find_or_add(symbols, &row, out_dim);
}

partita_status pt_dim_data(pt_symbols *symbols, pt_dim *out_dim) {
    pt_symbol row = {.op = PT_DIM_DATA, .name = PT_STR(""), .data = true};
    return add_row(symbols, &row, out_dim);
}

partita_status pt_dim_exact(pt_symbols *symbols, int64_t value, pt_dim *out_dim) {
    if (value >= 0) {
        *out_dim = value;
        return PARTITA_OK;
    }
    return pt_dim_intern(symbols, PT_DIM_EXACT, value, 0, out_dim);
}

bool pt_dim_value(const pt_symbols *symbols, pt_dim dim, int64_t *out_value) {
    const pt_symbol *row = pt_dim_row(symbols, dim);
    if (row && row->op != PT_DIM_EXACT) return false;
    *out_value = row ? row->a : dim;
    return true;
}

bool pt_dim_depends_on_data(const pt_symbols *symbols, pt_dim dim) {
    const pt_symbol *row = pt_dim_row(symbols, dim);
    return row && row->data;
}

bool pt_dim_is_nonnegative(const pt_symbols *symbols, pt_dim dim) {
    const pt_symbol *row = pt_dim_row(symbols, dim);
    return !row || row->nonnegative;
}

/* Whether a op b is known to be >= 0. */
static bool result_nonnegative(const pt_symbols *symbols, pt_dim_op op, pt_dim a, pt_dim b) {
    bool x = pt_dim_is_nonnegative(symbols, a), y = pt_dim_is_nonnegative(symbols, b);
    switch (op) {
    case PT_DIM_MAX: return x || y;
    case PT_DIM_SCALE: return x;
    case PT_DIM_MOD: return y;
    case PT_DIM_ADD:
    case PT_DIM_MUL:
    case PT_DIM_MIN:
    case PT_DIM_FLOOR_DIV:
    case PT_DIM_TRUNC_DIV:
    case PT_DIM_BROADCAST: return x && y;
    default: return false;
    }
}

partita_status pt_dim_intern(pt_symbols *symbols, pt_dim_op op, pt_dim a, pt_dim b, pt_dim *out_dim) {
    pt_symbol row = {.op = op, .name = PT_STR(""), .a = a, .b = b};
    if (op != PT_DIM_EXACT) {
        row.data = pt_dim_depends_on_data(symbols, a) || pt_dim_depends_on_data(symbols, b);
        row.nonnegative = result_nonnegative(symbols, op, a, b);
    }
    return find_or_add(symbols, &row, out_dim);
}

/* ---- numbers --------------------------------------------------------------------------------- */

float pt_dim_scale(int64_t bits) {
    uint32_t low = (uint32_t)bits;
    float factor;
    memcpy(&factor, &low, sizeof factor);
    return factor;
}

static bool scale(int64_t a, int64_t bits, int64_t *out_value) {
    float scaled = floorf((float)a * pt_dim_scale(bits));
    if (!(fabsf(scaled) < 9e18f)) return false;
    *out_value = (int64_t)scaled;
    return true;
}

bool pt_dim_fold(pt_dim_op op, int64_t a, int64_t b, int64_t *out_value) {
    bool division = op == PT_DIM_FLOOR_DIV || op == PT_DIM_TRUNC_DIV || op == PT_DIM_MOD;
    if (division && (b == 0 || (a == INT64_MIN && b == -1))) return false;
    switch (op) {
    case PT_DIM_ADD: return pt_add_i64(a, b, out_value);
    case PT_DIM_SUB: return pt_sub_i64(a, b, out_value);
    case PT_DIM_MUL: return pt_mul_i64(a, b, out_value);
    case PT_DIM_FLOOR_DIV: *out_value = a / b - (a % b != 0 && (a < 0) != (b < 0)); return true;
    case PT_DIM_TRUNC_DIV: *out_value = a / b; return true;
    case PT_DIM_MOD: *out_value = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0); return true;
    case PT_DIM_MAX: *out_value = PT_MAX(a, b); return true;
    case PT_DIM_MIN: *out_value = PT_MIN(a, b); return true;
    case PT_DIM_BROADCAST: *out_value = b == 1 ? a : b; return a == b || a == 1 || b == 1;
    case PT_DIM_SCALE: return scale(a, b, out_value);
    case PT_DIM_WRAP: *out_value = a; return a >= 0 || pt_add_i64(a, b, out_value);
    default: return false;
    }
}

int64_t pt_dim_evaluate(pt_dim dim, const int64_t *values) {
    return pt_dim_is_exact(dim) ? dim : values[pt_dim_symbol(dim)];
}

void pt_symbols_evaluate(const pt_symbols *symbols, int64_t *values) {
    for (size_t i = 0; i < symbols->rows.size; i++) {
        const pt_symbol *row = &symbols->rows.data[i];
        if (row->op == PT_DIM_BASE || row->op == PT_DIM_DATA) continue;
        if (row->op == PT_DIM_EXACT) {
            values[i] = row->a;
            continue;
        }
        int64_t a = pt_dim_evaluate(row->a, values), b = pt_dim_evaluate(row->b, values);
        if (a == PT_DIM_UNKNOWN || b == PT_DIM_UNKNOWN || !pt_dim_fold(row->op, a, b, &values[i])) {
            values[i] = PT_DIM_UNKNOWN;
        }
    }
}

/* ---- text ------------------------------------------------------------------------------------ */

enum { PRINT_DEPTH = 12, PRINT_BYTES = 200 };

static void print(const pt_symbols *symbols, pt_dim dim, int depth, size_t limit, bool inside, pt_text *text) {
    static const char *const infix[] = {[PT_DIM_ADD] = "+",       [PT_DIM_SUB] = "-",       [PT_DIM_MUL] = "*",
                                        [PT_DIM_FLOOR_DIV] = "/", [PT_DIM_TRUNC_DIV] = "/", [PT_DIM_MOD] = "%"};
    static const char *const prefix[] = {[PT_DIM_MAX] = "max",
                                         [PT_DIM_MIN] = "min",
                                         [PT_DIM_BROADCAST] = "broadcast",
                                         [PT_DIM_SCALE] = "scale",
                                         [PT_DIM_WRAP] = "wrap"};
    const pt_symbol *row = pt_dim_row(symbols, dim);
    if (!row) {
        pt_text_printf(text, "%lld", (long long)dim);
    } else if (row->op == PT_DIM_EXACT) {
        pt_text_printf(text, "%lld", (long long)row->a);
    } else if (row->op == PT_DIM_BASE && row->name.size) {
        pt_text_append(text, row->name);
    } else if (row->op == PT_DIM_BASE || row->op == PT_DIM_DATA || depth == 0 || text->size > limit) {
        /* Shared expressions can be exponentially long as text: beyond the limit only the number of the symbol. */
        pt_text_printf(text,
                       row->op == PT_DIM_BASE   ? "?%u"
                       : row->op == PT_DIM_DATA ? "!%u"
                                                : "$%u",
                       pt_dim_symbol(dim));
    } else {
        bool is_infix = row->op < PT_DIM_MAX;
        pt_text_printf(text, "%s", !is_infix ? prefix[row->op] : "");
        if (!is_infix || inside) pt_text_append(text, PT_STR("("));
        print(symbols, row->a, depth - 1, limit, is_infix, text);
        pt_text_printf(text, "%s", is_infix ? infix[row->op] : ",");
        if (row->op == PT_DIM_SCALE) {
            pt_text_printf(text, "%g", (double)pt_dim_scale(row->b));
        } else {
            print(symbols, row->b, depth - 1, limit, is_infix, text);
        }
        if (!is_infix || inside) pt_text_append(text, PT_STR(")"));
    }
}

void pt_dim_print(const pt_symbols *symbols, pt_dim dim, pt_text *out_text) {
    print(symbols, dim, PRINT_DEPTH, out_text->size + PRINT_BYTES, false, out_text);
}
