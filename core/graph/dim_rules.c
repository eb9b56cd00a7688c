/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simplification of dims. Sums are brought into a normal form, a number plus multiples of other symbols in the order of
 * their ids, so that two ways of computing one size share a row. A multiple of a product is a product with the number
 * taken out. Everything else is a few local rules.
 */
#include "graph/dim_table.h"

enum { MAX_TERMS = 12, MAX_FACTORS = 12 };

/* constant + sum of coefficient * symbol; terms sorted by symbol, coefficients not 0. */
typedef struct linear {
    int64_t constant;
    uint32_t count;
    struct {
        pt_dim symbol;
        int64_t coefficient;
    } terms[MAX_TERMS];
} linear;

static bool linear_add_term(linear *sum, pt_dim symbol, int64_t coefficient) {
    uint32_t at = 0;
    /* Ids of symbols grow as the dim gets smaller. */
    while (at < sum->count && sum->terms[at].symbol > symbol) at++;
    if (at < sum->count && sum->terms[at].symbol == symbol) {
        if (!pt_add_i64(sum->terms[at].coefficient, coefficient, &sum->terms[at].coefficient)) return false;
        if (sum->terms[at].coefficient == 0) {
            sum->count--;
            memmove(&sum->terms[at], &sum->terms[at + 1], (sum->count - at) * sizeof sum->terms[0]);
        }
        return true;
    }
    if (sum->count == MAX_TERMS) return false;
    memmove(&sum->terms[at + 1], &sum->terms[at], (sum->count - at) * sizeof sum->terms[0]);
    sum->terms[at].symbol = symbol;
    sum->terms[at].coefficient = coefficient;
    sum->count++;
    return true;
}

/* sum += scale * dim. False when it does not fit: the caller keeps the plain expression. Depth is bounded by the normal
 * form itself: a sum has at most MAX_TERMS + 1 levels. */
static bool linear_add(const pt_symbols *symbols, linear *sum, pt_dim dim, int64_t scale, int depth) {
    int64_t value, product;
    if (depth > 2 * MAX_TERMS) return false;
    if (pt_dim_value(symbols, dim, &value)) {
        return pt_mul_i64(value, scale, &product) && pt_add_i64(sum->constant, product, &sum->constant);
    }
    const pt_symbol *row = pt_dim_row(symbols, dim);
    if (row->op == PT_DIM_ADD) {
        return linear_add(symbols, sum, row->a, scale, depth + 1) && linear_add(symbols, sum, row->b, scale, depth + 1);
    }
    if (row->op == PT_DIM_SUB) {
        return scale != INT64_MIN && linear_add(symbols, sum, row->a, scale, depth + 1) &&
               linear_add(symbols, sum, row->b, -scale, depth + 1);
    }
    if (row->op == PT_DIM_MUL && pt_dim_value(symbols, row->b, &value)) {
        return pt_mul_i64(scale, value, &scale) && linear_add(symbols, sum, row->a, scale, depth + 1);
    }
    return linear_add_term(sum, dim, scale);
}

/* The dim of a sum: added terms, then subtracted ones, then the number. */
static partita_status linear_dim(pt_symbols *symbols, const linear *sum, pt_dim *out_dim) {
    bool any = false;
    pt_dim result = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < sum->count; i++) {
            int64_t coefficient = sum->terms[i].coefficient;
            bool negative = coefficient < 0;
            if (negative != (pass == 1)) continue;
            /* Without anything to subtract from, the term keeps its sign. */
            int64_t factor = negative && any ? -coefficient : coefficient;
            pt_dim term = sum->terms[i].symbol, number;
            if (factor != 1) {
                PT_TRY(pt_dim_exact(symbols, factor, &number));
                PT_TRY(pt_dim_intern(symbols, PT_DIM_MUL, term, number, &term));
            }
            if (any) {
                PT_TRY(pt_dim_intern(symbols, negative ? PT_DIM_SUB : PT_DIM_ADD, result, term, &result));
            } else {
                result = term;
            }
            any = true;
        }
    }
    if (!any) return pt_dim_exact(symbols, sum->constant, out_dim);
    if (sum->constant > 0) return pt_dim_intern(symbols, PT_DIM_ADD, result, sum->constant, out_dim);
    if (sum->constant < 0) return pt_dim_intern(symbols, PT_DIM_SUB, result, -sum->constant, out_dim);
    *out_dim = result;
    return PARTITA_OK;
}

/* Every coefficient fits into `linear_dim`, which negates. */
static bool linear_is_plain(const linear *sum) {
    if (sum->constant == INT64_MIN) return false;
    for (uint32_t i = 0; i < sum->count; i++) {
        if (sum->terms[i].coefficient == INT64_MIN) return false;
    }
    return true;
}

static partita_status add_or_sub(pt_symbols *symbols, pt_dim_op op, pt_dim a, pt_dim b, pt_dim *out_dim) {
    linear sum = {0};
    if (linear_add(symbols, &sum, a, 1, 0) && linear_add(symbols, &sum, b, op == PT_DIM_ADD ? 1 : -1, 0) &&
        linear_is_plain(&sum)) {
        return linear_dim(symbols, &sum, out_dim);
    }
    return pt_dim_intern(symbols, op, a, b, out_dim);
}

/* ---- products -------------------------------------------------------------------------------- */

/* number * product of symbols, in the order of their ids. */
typedef struct product {
    int64_t number;
    uint32_t count;
    pt_dim factors[MAX_FACTORS];
} product;

static bool product_add(const pt_symbols *symbols, product *all, pt_dim dim, int depth) {
    int64_t value;
    if (depth > 2 * MAX_FACTORS) return false;
    if (pt_dim_value(symbols, dim, &value)) return pt_mul_i64(all->number, value, &all->number);
    const pt_symbol *row = pt_dim_row(symbols, dim);
    if (row->op == PT_DIM_MUL) {
        return product_add(symbols, all, row->a, depth + 1) && product_add(symbols, all, row->b, depth + 1);
    }
    if (all->count == MAX_FACTORS) return false;
    uint32_t at = all->count++;
    for (; at > 0 && all->factors[at - 1] < dim; at--) all->factors[at] = all->factors[at - 1];
    all->factors[at] = dim;
    return true;
}

static partita_status product_dim(pt_symbols *symbols, const product *all, pt_dim *out_dim) {
    if (all->count == 0 || all->number == 0) return pt_dim_exact(symbols, all->number, out_dim);
    pt_dim result = all->factors[0];
    for (uint32_t i = 1; i < all->count; i++) {
        PT_TRY(pt_dim_intern(symbols, PT_DIM_MUL, result, all->factors[i], &result));
    }
    linear sum = {0};
    /* A number times a sum is a sum of multiples. */
    if (linear_add(symbols, &sum, result, all->number, 0) && linear_is_plain(&sum)) {
        return linear_dim(symbols, &sum, out_dim);
    }
    PT_TRY(pt_dim_exact(symbols, all->number, out_dim));
    return pt_dim_intern(symbols, PT_DIM_MUL, result, *out_dim, out_dim);
}

static partita_status multiply(pt_symbols *symbols, pt_dim a, pt_dim b, pt_dim *out_dim) {
    product all = {.number = 1};
    if (product_add(symbols, &all, a, 0) && product_add(symbols, &all, b, 0)) {
        return product_dim(symbols, &all, out_dim);
    }
    return pt_dim_intern(symbols, PT_DIM_MUL, a, b, out_dim);
}

/* ---- division -------------------------------------------------------------------------------- */

/* Takes the factors of `b` out of `a`. True when all went and the numbers divide, so that the quotient is exact. */
static bool product_cancel(product *a, const product *b) {
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t at = 0;
        while (at < a->count && a->factors[at] != b->factors[i]) at++;
        if (at == a->count) return false;
        a->count--;
        memmove(&a->factors[at], &a->factors[at + 1], (a->count - at) * sizeof a->factors[0]);
    }
    if (b->number == 0 || a->number % b->number != 0 || (a->number == INT64_MIN && b->number == -1)) return false;
    a->number /= b->number;
    return true;
}

/* floor(sum / d) = (multiples of d) / d + floor(rest / d), for a number d > 0. True when something was taken out. */
static bool linear_split(linear *sum, int64_t d, linear *out_quotient) {
    linear rest = {0};
    *out_quotient = (linear){0};
    for (uint32_t i = 0; i < sum->count; i++) {
        bool whole = sum->terms[i].coefficient % d == 0;
        linear *to = whole ? out_quotient : &rest;
        to->terms[to->count] = sum->terms[i];
        if (whole) to->terms[to->count].coefficient /= d;
        to->count++;
    }
    pt_dim_fold(PT_DIM_FLOOR_DIV, sum->constant, d, &out_quotient->constant);
    rest.constant = sum->constant - out_quotient->constant * d;
    bool progress = out_quotient->count > 0 || out_quotient->constant != 0;
    *sum = rest;
    return progress;
}

static partita_status divide(pt_symbols *symbols, pt_dim_op op, pt_dim a, pt_dim b, pt_dim *out_dim) {
    int64_t d, inner;
    if (a == b) {
        *out_dim = 1;
        return PARTITA_OK;
    }
    product top = {.number = 1}, bottom = {.number = 1};
    if (product_add(symbols, &top, a, 0) && product_add(symbols, &bottom, b, 0) && product_cancel(&top, &bottom)) {
        return product_dim(symbols, &top, out_dim);
    }
    if (!pt_dim_value(symbols, b, &d) || d <= 0) return pt_dim_intern(symbols, op, a, b, out_dim);
    linear sum = {0}, quotient;
    bool is_linear = linear_add(symbols, &sum, a, 1, 0);
    if (op == PT_DIM_TRUNC_DIV) {
        /* The two divisions agree where nothing is negative. */
        if (pt_dim_is_nonnegative(symbols, a)) return divide(symbols, PT_DIM_FLOOR_DIV, a, b, out_dim);
        linear_split(&sum, d, &quotient);
        if (is_linear && sum.count == 0 && sum.constant == 0) return linear_dim(symbols, &quotient, out_dim);
        return pt_dim_intern(symbols, op, a, b, out_dim);
    }
    if (is_linear && linear_split(&sum, d, &quotient) && linear_is_plain(&quotient)) {
        pt_dim rest, whole;
        PT_TRY(linear_dim(symbols, &sum, &rest));
        PT_TRY(linear_dim(symbols, &quotient, &whole));
        PT_TRY(pt_dim_apply(symbols, PT_DIM_FLOOR_DIV, rest, b, &rest));
        return pt_dim_apply(symbols, PT_DIM_ADD, whole, rest, out_dim);
    }
    const pt_symbol *row = pt_dim_row(symbols, a);
    if (row->op == PT_DIM_FLOOR_DIV && pt_dim_value(symbols, row->b, &inner) && inner > 0 && pt_mul_i64(inner, d, &d)) {
        return pt_dim_apply(symbols, PT_DIM_FLOOR_DIV, row->a, d, out_dim);
    }
    return pt_dim_intern(symbols, op, a, b, out_dim);
}

static partita_status modulo(pt_symbols *symbols, pt_dim a, pt_dim b, pt_dim *out_dim) {
    int64_t d;
    linear sum = {0}, quotient;
    if (a == b) {
        *out_dim = 0;
        return PARTITA_OK;
    }
    if (pt_dim_value(symbols, b, &d) && d > 0 && linear_add(symbols, &sum, a, 1, 0)) {
        linear_split(&sum, d, &quotient);
        if (sum.count == 0) return pt_dim_exact(symbols, sum.constant, out_dim);
    }
    return pt_dim_intern(symbols, PT_DIM_MOD, a, b, out_dim);
}

/* ---- the larger, the smaller, the broadcast one ---------------------------------------------- */

static partita_status larger_or_smaller(pt_symbols *symbols, pt_dim_op op, pt_dim a, pt_dim b, pt_dim *out_dim) {
    linear difference = {0};
    int64_t value;
    bool larger = op == PT_DIM_MAX;
    if (linear_add(symbols, &difference, a, 1, 0) && linear_add(symbols, &difference, b, -1, 0) &&
        difference.count == 0) {
        *out_dim = (difference.constant >= 0) == larger ? a : b;
        return PARTITA_OK;
    }
    for (int side = 0; side < 2; side++) {
        pt_dim number = side ? a : b, other = side ? b : a;
        if (!pt_dim_value(symbols, number, &value)) continue;
        bool below = value == INT64_MIN || (value <= 0 && pt_dim_is_nonnegative(symbols, other));
        bool above = value == INT64_MAX;
        if (below || above) {
            *out_dim = below == larger ? other : number;
            return PARTITA_OK;
        }
    }
    return pt_dim_intern(symbols, op, PT_MAX(a, b), PT_MIN(a, b), out_dim);
}

static partita_status broadcast(pt_symbols *symbols, pt_dim a, pt_dim b, pt_dim *out_dim) {
    int64_t value;
    if (a == b || b == 1) {
        *out_dim = a;
    } else if (a == 1 || pt_dim_value(symbols, b, &value)) {
        *out_dim = b;
    } else if (pt_dim_value(symbols, a, &value)) {
        *out_dim = a; /* the other one can only be 1 or the same */
    } else {
        return pt_dim_intern(symbols, PT_DIM_BROADCAST, PT_MAX(a, b), PT_MIN(a, b), out_dim);
    }
    return PARTITA_OK;
}

/* A whole factor is a product, and a half, a quarter, ... a division: those meet other rules. */
static partita_status scale(pt_symbols *symbols, pt_dim a, pt_dim bits, pt_dim *out_dim) {
    int64_t number = 0;
    pt_dim_value(symbols, bits, &number);
    float factor = pt_dim_scale(number);
    for (int64_t whole = 1; whole <= 64; whole++) {
        if (factor == (float)whole) return multiply(symbols, a, whole, out_dim);
        bool power_of_two = (whole & (whole - 1)) == 0;
        if (power_of_two && factor * (float)whole == 1.0f) return divide(symbols, PT_DIM_FLOOR_DIV, a, whole, out_dim);
    }
    return pt_dim_intern(symbols, PT_DIM_SCALE, a, bits, out_dim);
}

partita_status pt_dim_apply(pt_symbols *symbols, pt_dim_op op, pt_dim a, pt_dim b, pt_dim *out_dim) {
    int64_t x, y, value;
    bool b_known = pt_dim_value(symbols, b, &y);
    if (b_known && pt_dim_value(symbols, a, &x)) {
        if (pt_dim_fold(op, x, y, &value)) return pt_dim_exact(symbols, value, out_dim);
        if (op == PT_DIM_BROADCAST) {
            return pt_fail(PARTITA_BAD_MODEL, "dims %lld and %lld do not broadcast", (long long)x, (long long)y);
        }
        return pt_dim_data(symbols, out_dim);
    }
    bool division = op == PT_DIM_FLOOR_DIV || op == PT_DIM_TRUNC_DIV || op == PT_DIM_MOD;
    if (division && b_known && y == 0) return pt_dim_data(symbols, out_dim);
    switch (op) {
    case PT_DIM_ADD:
    case PT_DIM_SUB: return add_or_sub(symbols, op, a, b, out_dim);
    case PT_DIM_MUL: return multiply(symbols, a, b, out_dim);
    case PT_DIM_FLOOR_DIV:
    case PT_DIM_TRUNC_DIV: return divide(symbols, op, a, b, out_dim);
    case PT_DIM_MOD: return modulo(symbols, a, b, out_dim);
    case PT_DIM_MAX:
    case PT_DIM_MIN: return larger_or_smaller(symbols, op, a, b, out_dim);
    case PT_DIM_BROADCAST: return broadcast(symbols, a, b, out_dim);
    case PT_DIM_SCALE: return scale(symbols, a, b, out_dim);
    case PT_DIM_WRAP:
        if (!pt_dim_is_nonnegative(symbols, a)) return pt_dim_intern(symbols, op, a, b, out_dim);
        *out_dim = a;
        return PARTITA_OK;
    default: return pt_fail(PARTITA_INTERNAL, "no operation on dims: %d", (int)op);
    }
}
