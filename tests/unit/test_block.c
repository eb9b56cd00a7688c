/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks: what a plugin reads of a model and of a part is what the model holds, and a failed allocation costs nothing.
 */
#include "plugin/block.h"
#include <partita/block.h>

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ok.h"

/* x [N, 3] -> Relu a; b = If(cond) { Neg(a) + small }; y = Concat(b, large) with attributes of every type. */
typedef struct built {
    pt_model *model;
    pt_id x, cond, a, b, y, small, large, body_out, shape, items;
    pt_id relu, branch, concat, neg;
    pt_id body;
    int64_t *symbols;
} built;

enum { LARGE = 2000 };

static pt_id add_value(pt_model *model, pt_id graph, const char *name, partita_kind kind, int32_t rank, pt_dim *dims) {
    pt_type type = {.kind = kind, .dtype = PARTITA_FLOAT32, .rank = rank, .dims = dims};
    pt_id id = PT_NONE;
    OK(pt_model_add_value(model, graph, pt_str(name), &type, &id));
    return id;
}

static pt_id add_node(pt_model *model, pt_id graph, const char *op, const char *name, const pt_id *in, uint32_t n_in,
                      pt_id out) {
    pt_id node = PT_NONE;
    uint32_t source = 0;
    OK(pt_model_add_node(model, graph, pt_str(op), PT_STR(""), 17, in, n_in, &out, 1, &node));
    OK(pt_model_add_source(model, pt_str(name), pt_str(op), PT_STR(""), &source));
    OK(pt_node_add_source(model, node, source));
    return node;
}

static pt_tensor *add_tensor(pt_model *model, int64_t count) {
    float *data = pt_malloc((size_t)count * sizeof(*data));
    pt_weight *weight;
    pt_tensor *tensor = NULL;
    for (int64_t i = 0; i < count; i++) data[i] = (float)i;
    OK(pt_weight_create_owned(data, (uint64_t)count * sizeof(*data), &weight));
    OK(pt_model_add_tensor(model, PARTITA_FLOAT32, 1, &count, weight, &tensor));
    return tensor;
}

static void set_attributes(built *t) {
    static const int64_t ints[] = {4, -5};
    static const float floats[] = {0.5f, 1.5f, 2.5f};
    static const partita_str strings[] = {{"one", 3}, {"", 0}};
    pt_tensor **tensor = pt_arena_alloc(&t->model->arena, sizeof(*tensor));
    const pt_attribute rows[] = {
        {.name = PT_STR("axis"), .type = PTP_ATTRIBUTE_INT, .count = 1, .i = -1},
        {.name = PT_STR("alpha"), .type = PTP_ATTRIBUTE_FLOAT, .count = 1, .f = 0.25f},
        {.name = PT_STR("mode"), .type = PTP_ATTRIBUTE_STRING, .count = 1, .s = PT_STR("same")},
        {.name = PT_STR("pads"), .type = PTP_ATTRIBUTE_INTS, .count = 2, .ints = ints},
        {.name = PT_STR("scales"), .type = PTP_ATTRIBUTE_FLOATS, .count = 3, .floats = floats},
        {.name = PT_STR("words"), .type = PTP_ATTRIBUTE_STRINGS, .count = 2, .strings = strings},
        {.name = PT_STR("empty"), .type = PTP_ATTRIBUTE_INTS, .count = 0},
        {.name = PT_STR("value"), .type = PTP_ATTRIBUTE_TENSOR, .count = 1, .tensors = tensor},
    };
    *tensor = add_tensor(t->model, 2);
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) OK(pt_node_set_attribute(t->model, t->concat, &rows[i]));
}

static void set_body(built *t) {
    pt_model *m = t->model;
    pt_id *graphs = pt_arena_alloc(&m->arena, sizeof(*graphs));
    pt_dim dims[2] = {0, 3};
    OK(pt_dim_named(&m->symbols, PT_STR("N"), &dims[0]));
    OK(pt_model_add_graph(m, PT_STR("then"), t->branch, &t->body));
    t->body_out = add_value(m, t->body, "body_out", PARTITA_KIND_TENSOR, 2, dims);
    t->neg = add_node(m, t->body, "Neg", "branch/then_branch/neg", (pt_id[]){t->a, t->small}, 2, t->body_out);
    OK(pt_graph_add_output(m, t->body, t->body_out));
    *graphs = t->body;
    OK(pt_node_set_attribute(
        m, t->branch,
        &(pt_attribute){.name = PT_STR("then_branch"), .type = PTP_ATTRIBUTE_GRAPH, .count = 1, .graphs = graphs}));
}

static void build(built *t) {
    OK(pt_model_create(&t->model));
    pt_model *m = t->model;
    pt_id graph;
    pt_dim n, twice, unknown;
    OK(pt_dim_named(&m->symbols, PT_STR("N"), &n));
    OK(pt_dim_apply(&m->symbols, PT_DIM_MUL, n, 2, &twice));
    OK(pt_dim_data(&m->symbols, &unknown));
    OK(pt_model_add_graph(m, PT_STR("main"), PT_NONE, &graph));
    OK(pt_array_push(&m->opsets, (pt_opset){PT_STR(""), 17}) ? PARTITA_OK : PARTITA_OUT_OF_MEMORY);
    t->x = add_value(m, graph, "x", PARTITA_KIND_TENSOR, 2, (pt_dim[]){n, 3});
    t->cond = add_value(m, graph, "cond", PARTITA_KIND_TENSOR, 0, NULL);
    t->a = add_value(m, graph, "a", PARTITA_KIND_TENSOR, 2, (pt_dim[]){n, 3});
    t->b = add_value(m, graph, "b", PARTITA_KIND_TENSOR, 2, (pt_dim[]){twice, 3});
    t->y = add_value(m, graph, "y", PARTITA_KIND_TENSOR, 2, (pt_dim[]){unknown, 3});
    t->small = add_value(m, graph, "small", PARTITA_KIND_TENSOR, 1, (pt_dim[]){3});
    t->large = add_value(m, graph, "large", PARTITA_KIND_TENSOR, 1, (pt_dim[]){LARGE});
    t->shape = add_value(m, graph, "shape", PARTITA_KIND_TENSOR, 1, (pt_dim[]){2});
    pt_value_at(m, t->shape)->type.dtype = PARTITA_INT64;
    pt_value_at(m, t->shape)->small = pt_arena_array(&m->arena, 2, sizeof(pt_dim));
    pt_value_at(m, t->shape)->small[0] = twice;
    pt_value_at(m, t->shape)->small[1] = 3;
    pt_value_at(m, t->shape)->small_count = 2;
    OK(pt_value_set_constant(m, t->small, add_tensor(m, 3)));
    OK(pt_value_set_constant(m, t->large, add_tensor(m, LARGE)));
    OK(pt_graph_add_input(m, graph, t->x));
    OK(pt_graph_add_input(m, graph, t->cond));
    t->relu = add_node(m, graph, "Relu", "relu", (pt_id[]){t->x, PT_NONE, t->shape}, 3, t->a);
    t->branch = add_node(m, graph, "If", "branch", (pt_id[]){t->cond}, 1, t->b);
    set_body(t);
    t->concat = add_node(m, graph, "Concat", "join", (pt_id[]){t->b, t->large}, 2, t->y);
    set_attributes(t);
    OK(pt_graph_add_output(m, graph, t->y));
    t->symbols = pt_malloc(m->symbols.rows.size * sizeof(*t->symbols));
    for (size_t i = 0; i < m->symbols.rows.size; i++) t->symbols[i] = PT_DIM_UNKNOWN;
    t->symbols[pt_dim_symbol(n)] = 5;
    pt_symbols_evaluate(&m->symbols, t->symbols);
}

static int setup(void **state) {
    built *t = calloc(1, sizeof(*t));
    build(t);
    *state = t;
    return 0;
}

static int teardown(void **state) {
    built *t = *state;
    pt_model_destroy(t->model);
    pt_free(t->symbols);
    free(t);
    return 0;
}

static void assert_text(const ptp_block *block, ptp_ref ref, const char *text) {
    partita_str found = ptp_ref_str(block, ref);
    if (!pt_str_is(found, text)) fail_msg("\"%.*s\" is not \"%s\"", PT_STR_ARG(found), text);
}

static ptp_value_row row_of(const pt_block *block, pt_id value) {
    assert_int_not_equal(block->value_rows[value], PT_NONE);
    return ptp_value_at(block->data, block->value_rows[value]);
}

static void model_block_has_everything(void **state) {
    built *t = *state;
    pt_block *block;
    const ptp_block *data;
    OK(pt_block_create_model(t->model, t->symbols, NULL, 0, &block));
    data = block->data;
    assert_int_equal(data->graphs.count, 2);
    assert_int_equal(data->nodes.count, 4);
    assert_int_equal(data->opsets.count, 1);
    assert_true(data->bytes > sizeof(*data));

    ptp_graph_row main = ptp_graph_at(data, 0), body = ptp_graph_at(data, 1);
    assert_text(data, main.name, "main");
    assert_text(data, body.name, "then");
    assert_int_equal(main.node_count, 3);
    assert_int_equal(body.first_node, 3);
    assert_int_equal(body.node_count, 1);
    assert_int_equal(main.parent, PARTITA_NONE);
    assert_int_equal(body.parent, 1);
    assert_int_equal(ptp_ref_id(data, main.inputs, 0), block->value_rows[t->x]);
    assert_int_equal(ptp_ref_id(data, main.inputs, 1), block->value_rows[t->cond]);
    assert_int_equal(ptp_ref_id(data, body.outputs, 0), block->value_rows[t->body_out]);

    ptp_node_row relu = ptp_node_at(data, 0), branch = ptp_node_at(data, 1), neg = ptp_node_at(data, 3);
    assert_text(data, relu.op, "Relu");
    assert_text(data, relu.domain, "");
    assert_text(data, relu.name, "relu");
    assert_int_equal(relu.since, 17);
    assert_int_equal(relu.inputs.count, 3);
    assert_int_equal(ptp_ref_id(data, relu.inputs, 1), PARTITA_NONE);
    assert_int_equal(relu.unit, PARTITA_NONE);
    assert_text(data, neg.name, "branch/then_branch/neg");
    assert_int_equal(neg.graph, 1);
    assert_int_equal(branch.bodies.count, 1);
    assert_int_equal(ptp_ref_id(data, branch.bodies, 0), 1);
    assert_int_equal(branch.captures.count, 2);
    assert_int_equal(ptp_ref_id(data, branch.captures, 0), block->value_rows[t->a]);
    assert_int_equal(block->nodes[3], t->neg);
    pt_block_destroy(block);
}

static void values_have_types_and_dims(void **state) {
    built *t = *state;
    pt_block *block;
    OK(pt_block_create_model(t->model, t->symbols, NULL, 0, &block));
    const ptp_block *data = block->data;
    ptp_value_row x = row_of(block, t->x), b = row_of(block, t->b), y = row_of(block, t->y);
    const int64_t *dims = ptp_ref_data(data, x.dims), *nominal = ptp_ref_data(data, b.nominal);
    const ptp_ref *names = ptp_ref_data(data, x.dim_names);

    assert_int_equal(x.flags, PTP_VALUE_INPUT);
    assert_int_equal(x.producer, PARTITA_NONE);
    assert_int_equal(x.rank, 2);
    assert_int_equal(x.bytes, 60);
    assert_int_equal(dims[0], -1);
    assert_int_equal(dims[1], 3);
    assert_text(data, names[0], "N");
    assert_text(data, names[1], "");
    assert_int_equal(nominal[0], 10);
    assert_int_equal(b.producer, 1);
    assert_int_equal(y.flags, PTP_VALUE_OUTPUT | PTP_VALUE_DATA_SHAPED);
    assert_int_equal(y.bytes, 0);
    assert_int_equal(((const int64_t *)ptp_ref_data(data, y.nominal))[0], -1);

    ptp_value_row shape = row_of(block, t->shape);
    const int64_t *elements = ptp_ref_data(data, shape.data);
    assert_true(shape.flags & PTP_VALUE_SMALL_KNOWN);
    assert_int_equal(shape.data.count, 16);
    assert_int_equal(elements[0], 10);
    assert_int_equal(elements[1], 3);
    pt_block_destroy(block);
}

static void constants_are_weights(void **state) {
    built *t = *state;
    pt_block *block;
    OK(pt_block_create_model(t->model, t->symbols, NULL, 0, &block));
    const ptp_block *data = block->data;
    ptp_value_row small = row_of(block, t->small), large = row_of(block, t->large);
    assert_int_equal(block->weight_count, 3);
    assert_true(small.flags & PTP_VALUE_CONSTANT);
    assert_true(large.flags & PTP_VALUE_CONSTANT);
    assert_int_equal(small.data.count, 12);
    assert_int_equal(((const float *)ptp_ref_data(data, small.data))[2], 2);
    assert_int_equal(small.data.offset % 16, 0);
    assert_int_equal(large.data.count, 0);
    assert_int_equal(block->weights[large.weight], t->large);
    assert_ptr_equal(block->tensors[large.weight], pt_value_at(t->model, t->large)->constant);
    pt_block_destroy(block);
}

static void attributes_of_every_type(void **state) {
    built *t = *state;
    pt_block *block;
    OK(pt_block_create_model(t->model, t->symbols, NULL, 0, &block));
    const ptp_block *data = block->data;
    ptp_node_row node = ptp_node_at(data, 2);
    ptp_attribute_row row;
    uint32_t count;
    assert_int_equal(ptp_attribute_int(data, &node, "axis", 7), -1);
    assert_int_equal(ptp_attribute_int(data, &node, "none", 7), 7);
    assert_true(ptp_attribute_float(data, &node, "alpha", 0) == 0.25f);
    assert_true(pt_str_is(ptp_attribute_str(data, &node, "mode"), "same"));
    assert_int_equal(ptp_attribute_ints(data, &node, "pads", &count)[1], -5);
    assert_int_equal(count, 2);
    assert_true(ptp_attribute_floats(data, &node, "scales", &count)[2] == 2.5f);
    assert_int_equal(count, 3);
    ptp_attribute_ints(data, &node, "empty", &count);
    assert_int_equal(count, 0);
    assert_true(ptp_attribute_find(data, &node, "words", &row));
    assert_text(data, ((const ptp_ref *)ptp_ref_data(data, row.data))[0], "one");
    assert_text(data, ((const ptp_ref *)ptp_ref_data(data, row.data))[1], "");
    assert_true(ptp_attribute_find(data, &node, "value", &row));
    ptp_value_row value = ptp_value_at(data, ptp_ref_id(data, row.data, 0));
    assert_int_equal(block->values[ptp_ref_id(data, row.data, 0)], PT_NONE);
    assert_int_equal(block->weights[value.weight], PT_NONE);
    assert_int_equal(block->tensors[value.weight]->count, 2);
    assert_int_equal(value.rank, 1);
    assert_int_equal(value.data.count, 8);
    node = ptp_node_at(data, 1);
    assert_true(ptp_attribute_find(data, &node, "then_branch", &row));
    assert_int_equal(ptp_ref_id(data, row.data, 0), 1);
    pt_block_destroy(block);
}

static void units_name_their_nodes(void **state) {
    built *t = *state;
    const pt_block_unit units[] = {{PTP_UNIT_GROUP, 0, (pt_id[]){t->relu, t->concat}, 2, PARTITA_NONE},
                                   {PTP_UNIT_NODE, 0, (pt_id[]){t->concat}, 1, 0},
                                   {PTP_UNIT_NODE, t->body, (pt_id[]){t->neg}, 1, PARTITA_NONE}};
    pt_block *block;
    OK(pt_block_create_model(t->model, t->symbols, units, 3, &block));
    const ptp_block *data = block->data;
    ptp_unit_row group = ptp_unit_at(data, 0), piece = ptp_unit_at(data, 1), inner = ptp_unit_at(data, 2);
    assert_int_equal(data->units.count, 3);
    assert_int_equal(group.kind, PTP_UNIT_GROUP);
    assert_int_equal(group.nodes.count, 2);
    assert_int_equal(ptp_ref_id(data, group.nodes, 1), 2);
    assert_int_equal(piece.parent, 0);
    assert_int_equal(inner.graph, 1);
    assert_int_equal(ptp_ref_id(data, inner.nodes, 0), 3);
    assert_int_equal(ptp_node_at(data, 2).unit, 0);
    assert_int_equal(ptp_node_at(data, 3).unit, 2);
    pt_block_destroy(block);
}

/* A part: its ports are its own, constants come along as weights, bodies too. */
static void part_block_has_its_ports(void **state) {
    built *t = *state;
    const pt_id nodes[] = {t->branch, t->concat}, inputs[] = {t->cond, t->a}, outputs[] = {t->b, t->y};
    pt_block *block;
    OK(pt_block_create_part(t->model, t->symbols, nodes, 2, inputs, 2, outputs, 2, &block));
    const ptp_block *data = block->data;
    ptp_graph_row part = ptp_graph_at(data, 0);
    assert_int_equal(part.node_count, 2);
    assert_int_equal(data->graphs.count, 2);
    assert_int_equal(data->nodes.count, 3);
    assert_int_equal(data->units.count, 0);
    assert_int_equal(ptp_ref_id(data, part.inputs, 1), block->value_rows[t->a]);
    assert_int_equal(ptp_ref_id(data, part.outputs, 0), block->value_rows[t->b]);
    assert_int_equal(row_of(block, t->a).flags, PTP_VALUE_INPUT);
    assert_int_equal(row_of(block, t->a).producer, PARTITA_NONE);
    assert_int_equal(row_of(block, t->b).flags, PTP_VALUE_OUTPUT);
    assert_int_equal(row_of(block, t->b).producer, 0);
    assert_int_equal(block->value_rows[t->x], PT_NONE);
    assert_int_equal(block->weight_count, 3);
    assert_int_equal(ptp_graph_at(data, 1).parent, 0);
    pt_block_destroy(block);
}

/* A reader of an older header, whose rows are shorter, and of a newer one, whose rows are longer. */
static void rows_of_other_sizes(void **state) {
    built *t = *state;
    struct {
        ptp_value_row row;
        uint64_t later;
    } longer;
    pt_block *block;
    uint32_t half[4];
    OK(pt_block_create_model(t->model, t->symbols, NULL, 0, &block));
    memset(&longer, 0xff, sizeof(longer));
    ptp_row_read(block->data, &block->data->values, 0, &longer, sizeof(longer));
    assert_int_equal(longer.later, 0);
    assert_int_equal(longer.row.bytes, ptp_value_at(block->data, 0).bytes);
    ptp_row_read(block->data, &block->data->values, 0, half, sizeof(half));
    assert_int_equal(half[2], longer.row.kind);
    pt_block_destroy(block);
}

static void every_allocation_may_fail(void **state) {
    built *t = *state;
    const pt_block_unit units[] = {{PTP_UNIT_NODE, 0, (pt_id[]){t->relu}, 1, PARTITA_NONE}};
    partita_status status = PARTITA_OUT_OF_MEMORY;
    pt_block *block;
    for (int64_t k = 0; status != PARTITA_OK; k++) {
        assert_true(k < 1000);
        pt_alloc_fail_after(k, true);
        status = pt_block_create_model(t->model, t->symbols, units, 1, &block);
        pt_alloc_fail_after(-1, false);
        if (status == PARTITA_OK) break;
        assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        assert_null(block);
    }
    pt_block_destroy(block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(model_block_has_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(values_have_types_and_dims, setup, teardown),
        cmocka_unit_test_setup_teardown(constants_are_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(attributes_of_every_type, setup, teardown),
        cmocka_unit_test_setup_teardown(units_name_their_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(part_block_has_its_ports, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_of_other_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
