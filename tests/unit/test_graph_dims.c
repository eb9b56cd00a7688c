/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dims: sharing, simplification, evaluation. Every simplified expression is checked against the numbers it stands for.
 */
#include "graph/dim.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct table {
    pt_symbols symbols;
    pt_dim w, h, n;
} table;

static void table_init(table *t) {
    memset(t, 0, sizeof *t);
    assert_int_equal(pt_dim_named(&t->symbols, PT_STR("W"), &t->w), 0);
    assert_int_equal(pt_dim_named(&t->symbols, PT_STR("H"), &t->h), 0);
    assert_int_equal(pt_dim_named(&t->symbols, PT_STR("N"), &t->n), 0);
}

static pt_dim apply(table *t, pt_dim_op op, pt_dim a, pt_dim b) {
    pt_dim result = 0;
    assert_int_equal(pt_dim_apply(&t->symbols, op, a, b, &result), 0);
    return result;
}

static void assert_text(table *t, pt_dim dim, const char *expected) {
    pt_text text = {0};
    pt_dim_print(&t->symbols, dim, &text);
    assert_string_equal(text.data, expected);
    pt_text_deinit(&text);
}

static void names_are_shared_and_unnamed_are_not(void **state) {
    PT_UNUSED(state);
    table t;
    table_init(&t);
    pt_dim a, b;
    assert_int_equal(pt_dim_named(&t.symbols, PT_STR("W"), &a), 0);
    assert_int_equal(a, t.w);
    pt_dim_named(&t.symbols, PT_STR("?"), &a);
    pt_dim_named(&t.symbols, PT_STR("?"), &b);
    assert_int_not_equal(a, b);
    pt_dim_named(&t.symbols, PT_STR(""), &b);
    assert_int_not_equal(a, b);
    pt_dim_data(&t.symbols, &a);
    assert_true(pt_dim_depends_on_data(&t.symbols, apply(&t, PT_DIM_ADD, a, t.w)));
    assert_false(pt_dim_depends_on_data(&t.symbols, apply(&t, PT_DIM_ADD, t.h, t.w)));
    pt_symbols_deinit(&t.symbols);
}

static void expressions_are_simplified(void **state) {
    PT_UNUSED(state);
    table t;
    table_init(&t);
    int64_t value;
    /* ((W + 3) - 1) / 2 + 1 by two ways */
    pt_dim a = apply(&t, PT_DIM_SUB, apply(&t, PT_DIM_ADD, t.w, 3), 1);
    pt_dim b = apply(&t, PT_DIM_ADD, t.w, 2);
    assert_int_equal(a, b);
    assert_text(&t, apply(&t, PT_DIM_FLOOR_DIV, a, 2), "(W/2)+1");
    assert_int_equal(apply(&t, PT_DIM_ADD, t.w, t.h), apply(&t, PT_DIM_ADD, t.h, t.w));
    assert_int_equal(apply(&t, PT_DIM_SUB, apply(&t, PT_DIM_ADD, t.w, t.h), t.h), t.w);
    assert_int_equal(apply(&t, PT_DIM_SUB, t.w, t.w), 0);
    pt_dim minus = apply(&t, PT_DIM_SUB, 0, t.w);
    assert_int_equal(apply(&t, PT_DIM_ADD, minus, t.w), 0);
    /* products */
    pt_dim area = apply(&t, PT_DIM_MUL, apply(&t, PT_DIM_MUL, t.w, 12), t.h);
    assert_int_equal(apply(&t, PT_DIM_FLOOR_DIV, area, t.h), apply(&t, PT_DIM_MUL, 12, t.w));
    assert_int_equal(apply(&t, PT_DIM_TRUNC_DIV, area, apply(&t, PT_DIM_MUL, t.h, t.w)), 12);
    assert_int_equal(apply(&t, PT_DIM_MUL, t.w, 0), 0);
    assert_int_equal(apply(&t, PT_DIM_MUL, t.w, 1), t.w);
    assert_int_equal(apply(&t, PT_DIM_FLOOR_DIV, t.w, 1), t.w);
    assert_int_equal(apply(&t, PT_DIM_MOD, apply(&t, PT_DIM_MUL, t.w, 8), 4), 0);
    assert_int_equal(apply(&t, PT_DIM_FLOOR_DIV, apply(&t, PT_DIM_FLOOR_DIV, t.w, 2), 3),
                     apply(&t, PT_DIM_TRUNC_DIV, t.w, 6));
    /* bounds of Slice */
    assert_int_equal(apply(&t, PT_DIM_MIN, t.w, INT64_MAX), t.w);
    assert_int_equal(apply(&t, PT_DIM_MAX, 0, t.w), t.w);
    assert_int_equal(apply(&t, PT_DIM_MIN, t.w, apply(&t, PT_DIM_ADD, t.w, 1)), t.w);
    assert_int_equal(apply(&t, PT_DIM_MIN, t.w, t.h), apply(&t, PT_DIM_MIN, t.h, t.w));
    /* broadcast */
    assert_int_equal(apply(&t, PT_DIM_BROADCAST, t.w, 1), t.w);
    assert_int_equal(apply(&t, PT_DIM_BROADCAST, 5, t.w), 5);
    assert_int_equal(apply(&t, PT_DIM_BROADCAST, t.h, t.w), apply(&t, PT_DIM_BROADCAST, t.w, t.h));
    assert_int_equal(pt_dim_apply(&t.symbols, PT_DIM_BROADCAST, 3, 4, &a), PARTITA_BAD_MODEL);
    /* numbers */
    assert_true(pt_dim_value(&t.symbols, apply(&t, PT_DIM_SUB, 3, 5), &value));
    assert_int_equal(value, -2);
    assert_false(pt_dim_value(&t.symbols, apply(&t, PT_DIM_MUL, INT64_MAX, 2), &value));
    assert_false(pt_dim_value(&t.symbols, apply(&t, PT_DIM_FLOOR_DIV, 3, 0), &value));
    pt_symbols_deinit(&t.symbols);
}

/* The plain meaning of an operation. */
static int64_t reference(pt_dim_op op, int64_t a, int64_t b) {
    switch (op) {
    case PT_DIM_ADD: return a + b;
    case PT_DIM_SUB: return a - b;
    case PT_DIM_MUL: return a * b;
    case PT_DIM_FLOOR_DIV: return (a - (((a % b) + b) % b)) / b;
    case PT_DIM_TRUNC_DIV: return a / b;
    case PT_DIM_MOD: return ((a % b) + b) % b;
    case PT_DIM_MAX: return a > b ? a : b;
    default: return a < b ? a : b;
    }
}

static void random_expressions_keep_their_value(void **state) {
    PT_UNUSED(state);
    enum { COUNT = 40 };
    uint64_t random = 7;
    for (int round = 0; round < 300; round++) {
        table t;
        table_init(&t);
        pt_dim dims[COUNT] = {t.w, t.h, t.n, 2, 3, 6};
        int64_t truth[COUNT] = {4 + round % 13, 1 + round % 7, 2 + round % 3, 2, 3, 6};
        int64_t base[3] = {truth[0], truth[1], truth[2]};
        int count = 6;
        while (count < COUNT) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            uint32_t pick = (uint32_t)(random >> 33);
            pt_dim_op op = PT_DIM_ADD + pick % 8;
            int a = (int)(pick / 8 % (uint32_t)count), b = (int)(pick / 512 % (uint32_t)count);
            bool division = op == PT_DIM_FLOOR_DIV || op == PT_DIM_TRUNC_DIV || op == PT_DIM_MOD;
            if (division && truth[b] <= 0) continue;
            int64_t value = reference(op, truth[a], truth[b]);
            if (value > 1000000 || value < -1000000) continue;
            dims[count] = apply(&t, op, dims[a], dims[b]);
            truth[count++] = value;
        }
        int64_t *values = calloc(t.symbols.rows.size, sizeof *values);
        memcpy(values, base, sizeof base);
        for (size_t i = 3; i < t.symbols.rows.size; i++) values[i] = PT_DIM_UNKNOWN;
        pt_symbols_evaluate(&t.symbols, values);
        for (int i = 0; i < COUNT; i++) assert_int_equal(pt_dim_evaluate(dims[i], values), truth[i]);
        free(values);
        pt_symbols_deinit(&t.symbols);
    }
}

static void unknown_and_overflow_stay_unknown(void **state) {
    PT_UNUSED(state);
    table t;
    table_init(&t);
    pt_dim sum = apply(&t, PT_DIM_ADD, t.w, t.h), square = apply(&t, PT_DIM_MUL, t.n, t.n);
    int64_t values[16] = {PT_DIM_UNKNOWN, 5, INT64_MAX};
    pt_symbols_evaluate(&t.symbols, values);
    assert_true(pt_dim_evaluate(sum, values) == PT_DIM_UNKNOWN);
    assert_true(pt_dim_evaluate(square, values) == PT_DIM_UNKNOWN);
    assert_int_equal(pt_dim_evaluate(t.h, values), 5);
    pt_symbols_deinit(&t.symbols);
}

/* Shared expressions double in length at each level: neither time nor text may. */
static void deep_expressions_are_cheap(void **state) {
    PT_UNUSED(state);
    table t;
    table_init(&t);
    pt_dim dim = t.w;
    for (int i = 0; i < 2000; i++) {
        dim = apply(&t, PT_DIM_MAX, apply(&t, PT_DIM_MUL, dim, dim), apply(&t, PT_DIM_ADD, dim, t.h));
    }
    pt_text text = {0};
    pt_dim_print(&t.symbols, dim, &text);
    assert_true(text.size < 10000);
    pt_text_deinit(&text);
    pt_symbols_deinit(&t.symbols);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_shared_and_unnamed_are_not), cmocka_unit_test(expressions_are_simplified),
        cmocka_unit_test(random_expressions_keep_their_value),  cmocka_unit_test(unknown_and_overflow_stay_unknown),
        cmocka_unit_test(deep_expressions_are_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
