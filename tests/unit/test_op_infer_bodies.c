/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inference through bodies and sequences: what branches have in common, what a loop carries from round to round, the
 * axis a scan walks, and every allocation failing on the way.
 */
#include "op_build.h"

#include <stdio.h>
#include <stdlib.h>

/* known: -1 an input, else a constant of that value. */
static void build_condition(builder *b, int known) {
    if (known < 0) {
        build_input(b, "cond", PARTITA_BOOL, "");
    } else {
        build_bool(b, "cond", known);
    }
}

static void branches_meet(void **state) {
    PT_UNUSED(state);
    for (int known = -1; known < 2; known++) {
        builder b;
        build_start(&b, 17);
        build_input(&b, "x", PARTITA_FLOAT32, "N,1,4");
        build_ints(&b, "axes", (int64_t[]){1}, 1);
        build_condition(&b, known);
        pt_id node = build_node(&b, "If", "cond", "y z");
        pt_id outer = build_body(&b, node, "then_branch");
        build_node(&b, "Squeeze", "x axes", "then_y");
        build_node(&b, "Neg", "x", "then_z");
        build_output(&b, "then_y");
        build_output(&b, "then_z");
        b.graph = outer;
        build_body(&b, node, "else_branch");
        build_node(&b, "Identity", "x", "else_y");
        build_node(&b, "Shape", "x", "else_s");
        build_attr_int(&b, build_node(&b, "Concat", "x x", "else_z"), "axis", 1);
        build_output(&b, "else_y");
        build_output(&b, "else_z");
        b.graph = outer;
        OK(build_infer(&b));
        assert_dims(&b, "then_y", "N,4");
        assert_dims(&b, "y", known < 0 ? "none" : known ? "N,4" : "N,1,4");
        const pt_type *z = &pt_value_at(b.model, build_value(&b, "z"))->type;
        assert_int_equal(z->rank, 3);
        assert_int_equal(pt_dim_depends_on_data(&b.model->symbols, z->dims[1]), known < 0);
        build_end(&b);
    }
}

/* A branch that cannot be taken for these shapes is no error; one that is taken is. */
static void wrong_branches(void **state) {
    PT_UNUSED(state);
    for (int known = -1; known < 2; known++) {
        builder b;
        build_start(&b, 17);
        build_input(&b, "x", PARTITA_FLOAT32, "2,5,4");
        build_ints(&b, "axes", (int64_t[]){1}, 1);
        build_condition(&b, known);
        pt_id node = build_node(&b, "If", "cond", "y");
        pt_id outer = build_body(&b, node, "then_branch");
        build_node(&b, "Squeeze", "x axes", "then_y");
        build_output(&b, "then_y");
        b.graph = outer;
        build_body(&b, node, "else_branch");
        build_node(&b, "Identity", "x", "else_y");
        build_output(&b, "else_y");
        b.graph = outer;
        if (known == 1) {
            assert_int_equal(build_infer(&b), PARTITA_BAD_MODEL);
            assert_non_null(strstr(pt_last_message(), "node 'y' (If): node 'then_y' (Squeeze): dim 1 is 5"));
        } else {
            OK(build_infer(&b));
            assert_dims(&b, "y", "2,5,4");
            assert_dtype(&b, "then_y", PARTITA_FLOAT32);
        }
        build_end(&b);
    }
}

static void build_loop(builder *b, const char *rounds_text) {
    build_start(b, 17);
    build_input(b, "x", PARTITA_FLOAT32, "N,4");
    build_input(b, "keep", PARTITA_FLOAT32, "N,4");
    build_bool(b, "true", true);
    if (rounds_text) {
        build_input(b, "rounds", PARTITA_INT64, rounds_text);
    } else {
        build_int(b, "rounds", 6);
    }
    pt_id node = build_node(b, "Loop", "rounds true x keep", "grown kept collected");
    pt_id outer = build_body(b, node, "body");
    build_input(b, "i", PARTITA_INT64, "");
    build_input(b, "go", PARTITA_BOOL, NULL);
    build_input(b, "carried", PARTITA_FLOAT32, NULL);
    build_input(b, "constant", PARTITA_FLOAT32, NULL);
    build_node(b, "Identity", "go", "on");
    build_attr_int(b, build_node(b, "Concat", "carried x", "next"), "axis", 0);
    build_node(b, "Relu", "constant", "same");
    build_attr_ints(b, build_node(b, "Transpose", "constant", "row"), "perm", (int64_t[]){1, 0}, 2);
    build_output(b, "on");
    build_output(b, "next");
    build_output(b, "same");
    build_output(b, "row");
    b->graph = outer;
}

static void loops_carry_what_holds(void **state) {
    PT_UNUSED(state);
    builder b;
    build_loop(&b, NULL);
    OK(build_infer(&b));
    const pt_type *carried = &pt_value_at(b.model, build_value(&b, "carried"))->type;
    const pt_type *grown = &pt_value_at(b.model, build_value(&b, "grown"))->type;
    assert_int_equal(carried->rank, 2);
    assert_true(pt_dim_depends_on_data(&b.model->symbols, carried->dims[0]));
    assert_int_equal(carried->dims[1], 4);
    assert_true(pt_dim_depends_on_data(&b.model->symbols, grown->dims[0]));
    assert_dims(&b, "constant", "N,4");
    assert_dims(&b, "kept", "N,4");
    assert_dims(&b, "collected", "6,4,N");
    size_t symbols = b.model->symbols.rows.size;
    OK(pt_model_infer(b.model));
    OK(pt_model_infer(b.model));
    assert_true(b.model->symbols.rows.size == symbols);
    build_end(&b);

    build_loop(&b, "");
    OK(build_infer(&b));
    const pt_type *collected = &pt_value_at(b.model, build_value(&b, "collected"))->type;
    assert_int_equal(collected->rank, 3);
    assert_true(pt_dim_depends_on_data(&b.model->symbols, collected->dims[0]));
    build_end(&b);
}

static void scans_walk_an_axis(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "state", PARTITA_FLOAT32, "B,8");
    build_input(&b, "xs", PARTITA_FLOAT32, "B,T,8");
    pt_id node = build_node(&b, "Scan", "state xs", "last all");
    build_attr_int(&b, node, "num_scan_inputs", 1);
    build_attr_ints(&b, node, "scan_input_axes", (int64_t[]){1}, 1);
    build_attr_ints(&b, node, "scan_output_axes", (int64_t[]){-1}, 1);
    pt_id outer = build_body(&b, node, "body");
    build_input(&b, "s", PARTITA_FLOAT32, NULL);
    build_input(&b, "x", PARTITA_FLOAT32, NULL);
    build_node(&b, "Add", "s x", "next");
    build_node(&b, "Neg", "x", "out");
    build_output(&b, "next");
    build_output(&b, "out");
    b.graph = outer;
    OK(build_infer(&b));
    assert_dims(&b, "x", "B,8");
    assert_dims(&b, "last", "B,8");
    assert_dims(&b, "all", "B,8,T");
    build_end(&b);
}

/* Each loop tries twice what's inside: without a limit 60 of them would take for ever. */
static void deep_loops_are_cheap(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x0", PARTITA_FLOAT32, "1,2");
    build_bool(&b, "true", true);
    build_int(&b, "rounds", 3);
    enum { DEPTH = 60 };
    pt_id graphs[DEPTH];
    char inputs[64], outputs[64], name[32];
    for (int i = 0; i < DEPTH; i++) {
        snprintf(inputs, sizeof inputs, "rounds true x%d", i);
        snprintf(outputs, sizeof outputs, "y%d", i);
        pt_id node = build_node(&b, "Loop", inputs, outputs);
        graphs[i] = build_body(&b, node, "body");
        snprintf(name, sizeof name, "i%d", i);
        build_input(&b, name, PARTITA_INT64, "");
        snprintf(name, sizeof name, "c%d", i);
        build_input(&b, name, PARTITA_BOOL, "");
        snprintf(name, sizeof name, "x%d", i + 1);
        build_input(&b, name, PARTITA_FLOAT32, NULL);
    }
    snprintf(inputs, sizeof inputs, "x%d x%d", DEPTH, DEPTH);
    build_attr_int(&b, build_node(&b, "Concat", inputs, "y60"), "axis", 0);
    for (int i = DEPTH - 1; i >= 0; i--) {
        snprintf(name, sizeof name, "c%d", i);
        build_output(&b, name);
        snprintf(name, sizeof name, "y%d", i + 1);
        build_output(&b, name);
        b.graph = graphs[i];
    }
    uint64_t start = pt_now_ns();
    OK(build_infer(&b));
    assert_true(pt_now_ns() - start < UINT64_C(2000000000));
    assert_int_equal(pt_value_at(b.model, build_value(&b, "y0"))->type.rank, 2);
    build_end(&b);
}

static void sequences_keep_what_is_common(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "N,3");
    build_input(&b, "y", PARTITA_FLOAT32, "N,5");
    build_node(&b, "SequenceConstruct", "x y", "both");
    build_int(&b, "zero", 0);
    build_node(&b, "SequenceAt", "both zero", "one");
    build_attr_int(&b, build_node(&b, "ConcatFromSequence", "both", "all"), "axis", 1);
    OK(build_infer(&b));
    assert_int_equal(pt_value_at(b.model, build_value(&b, "both"))->type.kind, PARTITA_KIND_SEQUENCE);
    const pt_type *one = &pt_value_at(b.model, build_value(&b, "one"))->type;
    assert_int_equal(one->dtype, PARTITA_FLOAT32);
    assert_int_equal(one->rank, 2);
    assert_true(one->dims[0] == pt_value_at(b.model, build_value(&b, "x"))->type.dims[0]);
    assert_true(pt_dim_depends_on_data(&b.model->symbols, one->dims[1]));
    assert_int_equal(pt_value_at(b.model, build_value(&b, "all"))->type.rank, 2);
    build_end(&b);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void every_allocation_may_fail(void **state) {
    PT_UNUSED(state);
    bool failed = true;
    for (int64_t k = 0; failed; k++) {
        builder b;
        build_loop(&b, NULL);
        build_node(&b, "Shape", "grown", "shape");
        build_ints(&b, "rest", (int64_t[]){-1, 2}, 2);
        build_node(&b, "Reshape", "kept rest", "pairs");
        pt_alloc_fail_after(k, true);
        partita_status status = build_infer(&b);
        failed = status != PARTITA_OK;
        pt_alloc_fail_after(-1, false);
        if (failed) assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        build_end(&b);
        assert_true(k < 10000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_meet),
        cmocka_unit_test(wrong_branches),
        cmocka_unit_test(loops_carry_what_holds),
        cmocka_unit_test(scans_walk_an_axis),
        cmocka_unit_test(deep_loops_are_cheap),
        cmocka_unit_test(sequences_keep_what_is_common),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
