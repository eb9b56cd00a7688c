/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas, the check of nodes against them, and the count of operations. That the rows are those of the onnx package
 * is for infer_cases.py.
 */
#include "op_build.h"

#include <partita/plugin.h>
#include <stdlib.h>

static void rows_are_sorted(void **state) {
    PT_UNUSED(state);
    uint32_t count;
    const pt_schema *rows = pt_schema_rows(&count);
    assert_true(count > 600);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(rows[i].since >= 1 && rows[i].since <= rows[i].until);
        assert_non_null(rows[i].infer);
        if (i == 0) continue;
        int order = strcmp(rows[i - 1].domain, rows[i].domain);
        if (order == 0) order = strcmp(rows[i - 1].name, rows[i].name);
        if (order == 0) order = rows[i - 1].until < rows[i].since ? -1 : 1;
        if (order >= 0) fail_msg("row %s %d is out of order", rows[i].name, rows[i].since);
    }
}

static void every_row_is_found(void **state) {
    PT_UNUSED(state);
    uint32_t count;
    const pt_schema *rows = pt_schema_rows(&count);
    for (uint32_t i = 0; i < count; i++) {
        partita_str domain = pt_str(rows[i].domain), name = pt_str(rows[i].name);
        assert_ptr_equal(pt_schema_find(domain, name, rows[i].since), &rows[i]);
        assert_ptr_equal(pt_schema_find(domain, name, rows[i].until), &rows[i]);
    }
    assert_ptr_equal(pt_schema_find(PT_STR("ai.onnx"), PT_STR("Add"), 13),
                     pt_schema_find(PT_STR(""), PT_STR("Add"), 13));
}

/* Those with an expression have a schema that says so. */
static void elementwise_rows_have_schemas(void **state) {
    PT_UNUSED(state);
    static const char *const names[] = {
#define ROW_UNARY(op, classes, p0, p1, expression)    #op,
#define ROW_BINARY(op, classes, expression)           #op,
#define ROW_COMPARE(op, classes, expression)          #op,
#define ROW_LOGIC(op, expression)                     #op,
#define ROW_VARIADIC(op, classes, finish, expression) #op,
#include "rows/elementwise.inc"
    };
    for (size_t i = 0; i < PT_COUNT_OF(names); i++) {
        const pt_schema *schema = pt_schema_find(PT_STR(""), pt_str(names[i]), 28);
        if (!schema || !(schema->flags & PT_OP_ELEMENTWISE)) fail_msg("no element-wise schema of %s", names[i]);
    }
}

static void absent_ones_are_not_found(void **state) {
    PT_UNUSED(state);
    assert_null(pt_schema_find(PT_STR(""), PT_STR("Add"), 0));
    assert_null(pt_schema_find(PT_STR(""), PT_STR("Ad"), 13));
    assert_null(pt_schema_find(PT_STR(""), PT_STR("Addd"), 13));
    assert_null(pt_schema_find(PT_STR(""), PT_STR(""), 13));
    assert_null(pt_schema_find(PT_STR("z"), PT_STR("Add"), 13));
    assert_null(pt_schema_find(PT_STR(""), PT_STR("Gelu"), 19));
    /* Removed ones are found where they were in force. */
    assert_non_null(pt_schema_find(PT_STR(""), PT_STR("Upsample"), 9));
    assert_null(pt_schema_find(PT_STR(""), PT_STR("Upsample"), 10));
    assert_int_equal(pt_schema_find(PT_STR(""), PT_STR("Softmax"), 12)->since, 11);
    assert_int_equal(pt_schema_find(PT_STR(""), PT_STR("Softmax"), 999)->since, 13);
}

static void defaults_are_filled_in(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "1,3,8,8");
    build_input(&b, "w", PARTITA_FLOAT32, "4,3,3,3");
    pt_id conv = build_node(&b, "Conv", "x w", "y");
    build_input(&b, "r", PARTITA_FLOAT32, "1,4,5");
    pt_id rnn = build_node(&b, "RNN", "x w r", "h");
    OK(pt_model_check(b.model));
    const pt_node *node = pt_node_at(b.model, conv);
    assert_int_equal(pt_node_int(node, "group", 0), 1);
    assert_true(pt_str_is(pt_node_attribute(node, "auto_pad")->s, "NOTSET"));
    assert_null(pt_node_attribute(node, "pads"));
    const pt_attribute *activations = pt_node_attribute(pt_node_at(b.model, rnn), "activations");
    assert_int_equal(activations->count, 2);
    assert_true(pt_str_is(activations->strings[1], "Tanh"));
    uint32_t count = node->attribute_count;
    OK(pt_model_check(b.model));
    assert_int_equal(pt_node_at(b.model, conv)->attribute_count, count);
    build_end(&b);
}

static void check_fails(builder *b, const char *words) {
    assert_int_equal(pt_model_check(b->model), PARTITA_BAD_MODEL);
    if (!strstr(pt_last_message(), words)) fail_msg("'%s' lacks '%s'", pt_last_message(), words);
    build_end(b);
}

static void start_with_x(builder *b, int64_t opset) {
    build_start(b, opset);
    build_input(b, "x", PARTITA_FLOAT32, "1,3");
}

static void bad_nodes_are_named(void **state) {
    PT_UNUSED(state);
    builder b;
    start_with_x(&b, 17);
    build_attr_int(&b, build_node(&b, "Relu", "x", "y"), "alpha", 1);
    check_fails(&b, "node 'y' (Relu): no attribute 'alpha' in version 14 of the operator");

    start_with_x(&b, 17);
    build_attr_text(&b, build_node(&b, "Softmax", "x", "y"), "axis", "1");
    check_fails(&b, "node 'y' (Softmax): attribute 'axis' is string instead of int");

    start_with_x(&b, 17);
    build_node(&b, "Cast", "x", "y");
    check_fails(&b, "attribute 'to' is missing");

    start_with_x(&b, 17);
    build_node(&b, "Add", "x", "y");
    check_fails(&b, "1 inputs instead of 2");

    start_with_x(&b, 17);
    build_node(&b, "Add", "- x", "y");
    check_fails(&b, "input 0 is left out");

    start_with_x(&b, 17);
    build_input(&b, "scale", PARTITA_FLOAT32, "3");
    build_node(&b, "LayerNormalization", "x scale", "- mean");
    check_fails(&b, "output 0 is left out");

    start_with_x(&b, 17);
    build_node(&b, "Concat", "x - x", "y");
    check_fails(&b, "input 1 is left out");

    start_with_x(&b, 17);
    build_node(&b, "Frobnicate", "x", "y");
    check_fails(&b, "no operator 'Frobnicate' in opset 17");

    start_with_x(&b, 0);
    build_node(&b, "Relu", "x", "y");
    check_fails(&b, "imports no opset");
}

static void unknown_ones_may_belong_to_a_plugin(void **state) {
    PT_UNUSED(state);
    builder b;
    pt_id node;
    build_start(&b, 17);
    pt_id x = build_input(&b, "x", PARTITA_FLOAT32, "1,3");
    OK(pt_model_add_node(b.model, b.graph, PT_STR("Special"), PT_STR("com.example"), 1, &x, 1, NULL, 0, &node));
    b.version = 99;
    pt_id later = build_node(&b, "Frobnicate", "x", "z");
    OK(pt_model_check(b.model));
    assert_null(pt_node_at(b.model, node)->schema);
    assert_null(pt_node_at(b.model, later)->schema);
    build_end(&b);
}

/* Numbers by hand. */
static void operations_are_counted(void **state) {
    PT_UNUSED(state);
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "N,6,8,8");
    build_input(&b, "w", PARTITA_FLOAT32, "4,3,3,3");
    pt_id conv = build_node(&b, "Conv", "x w", "y");
    build_attr_int(&b, conv, "group", 2);
    pt_id relu = build_node(&b, "Relu", "y", "r");
    build_int(&b, "axis", 1);
    build_ints(&b, "shape", (int64_t[]){0, -1}, 2);
    pt_id reshape = build_node(&b, "Reshape", "r shape", "f");
    build_input(&b, "m", PARTITA_FLOAT32, "144,10");
    pt_id product = build_node(&b, "MatMul", "f m", "p");
    pt_id mean = build_node(&b, "ReduceMean", "p", "q");
    build_input(&b, "t", PARTITA_FLOAT32, "5,2,7");
    build_input(&b, "lw", PARTITA_FLOAT32, "1,12,7");
    build_input(&b, "lr", PARTITA_FLOAT32, "1,12,3");
    pt_id lstm = build_node(&b, "LSTM", "t lw lr", "h");
    build_attr_int(&b, lstm, "hidden_size", 3);
    OK(build_infer(&b));
    int64_t *values = malloc(b.model->symbols.rows.size * sizeof *values);
    for (size_t i = 0; i < b.model->symbols.rows.size; i++) values[i] = PT_DIM_UNKNOWN;
    values[pt_dim_symbol(pt_value_at(b.model, build_value(&b, "x"))->type.dims[0])] = 2;
    pt_symbols_evaluate(&b.model->symbols, values);
    assert_int_equal(pt_node_flops(b.model, conv, values), 2 * (2 * 4 * 6 * 6) * (3 * 3 * 3));
    assert_int_equal(pt_node_flops(b.model, relu, values), 2 * 4 * 6 * 6);
    assert_int_equal(pt_node_flops(b.model, reshape, values), 0);
    assert_int_equal(pt_node_flops(b.model, product, values), 2 * (2 * 10) * 144);
    assert_int_equal(pt_node_flops(b.model, mean, values), 2 * 10);
    assert_int_equal(pt_node_flops(b.model, lstm, values), 2 * (5 * 2) * (12 * 7 + 12 * 3));
    free(values);
    build_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sorted),
        cmocka_unit_test(every_row_is_found),
        cmocka_unit_test(elementwise_rows_have_schemas),
        cmocka_unit_test(absent_ones_are_not_found),
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(bad_nodes_are_named),
        cmocka_unit_test(unknown_ones_may_belong_to_a_plugin),
        cmocka_unit_test(operations_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
