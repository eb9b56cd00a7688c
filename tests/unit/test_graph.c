/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The graph: building, changing, sorting, validating, printing, captures, weights and mappings.
 */
#include "graph/model.h"

#include <partita/plugin.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "ok.h"

typedef struct built {
    pt_model *model;
    pt_id x, c, cond, a, b, y; /* values */
    pt_id relu, branch, add;   /* nodes */
    pt_id body, inner;
} built;

static pt_id add_value(pt_model *model, pt_id graph, const char *name) {
    pt_id id = PT_NONE;
    pt_dim dims[2] = {0, 3};
    OK(pt_dim_named(&model->symbols, PT_STR("N"), &dims[0]));
    OK(pt_model_add_value(model, graph, pt_str(name),
                          &(pt_type){.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 2, .dims = dims},
                          &id));
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

/* x -> Relu a; b = If(cond) { Neg(a) }; y = Add(b, c), put in backwards. */
static void build(built *t) {
    OK(pt_model_create(&t->model));
    pt_model *m = t->model;
    pt_id graph, body_out;
    OK(pt_model_add_graph(m, PT_STR("main"), PT_NONE, &graph));
    t->x = add_value(m, graph, "x");
    OK(pt_graph_add_input(m, graph, t->x));
    t->cond = add_value(m, graph, "cond");
    OK(pt_graph_add_input(m, graph, t->cond));
    t->c = add_value(m, graph, "c");
    t->a = add_value(m, graph, "a");
    t->b = add_value(m, graph, "b");
    t->y = add_value(m, graph, "y");
    float *data = pt_malloc(12);
    memcpy(data, (float[]){1, 2, 3}, 12);
    pt_weight *weight;
    pt_tensor *tensor;
    OK(pt_weight_create_owned(data, 12, &weight));
    OK(pt_model_add_tensor(m, PARTITA_FLOAT32, 1, (int64_t[]){3}, weight, &tensor));
    OK(pt_value_set_constant(m, t->c, tensor));
    t->add = add_node(m, graph, "Add", "sum", (pt_id[]){t->b, t->c}, 2, t->y);
    t->branch = add_node(m, graph, "If", "branch", (pt_id[]){t->cond}, 1, t->b);
    t->relu = add_node(m, graph, "Relu", "relu", (pt_id[]){t->x}, 1, t->a);
    OK(pt_graph_add_output(m, graph, t->y));
    OK(pt_model_add_graph(m, PT_STR("then"), t->branch, &t->body));
    body_out = add_value(m, t->body, "body_out");
    t->inner = add_node(m, t->body, "Neg", "branch/then_branch/neg", (pt_id[]){t->a}, 1, body_out);
    OK(pt_graph_add_output(m, t->body, body_out));
    pt_id *graphs = pt_arena_alloc(&m->arena, sizeof *graphs);
    *graphs = t->body;
    OK(pt_node_set_attribute(
        m, t->branch,
        &(pt_attribute){.name = PT_STR("then_branch"), .type = PTP_ATTRIBUTE_GRAPH, .count = 1, .graphs = graphs}));
}

static void sort_puts_producers_and_captured_ones_first(void **state) {
    PT_UNUSED(state);
    built t;
    build(&t);
    assert_int_equal(pt_model_validate(t.model), PARTITA_INTERNAL);
    OK(pt_model_sort(t.model));
    const pt_id *order = t.model->graphs.data[0].order.data;
    assert_int_equal(order[0], t.relu);
    assert_int_equal(order[1], t.branch);
    assert_int_equal(order[2], t.add);
    OK(pt_model_validate(t.model));
    pt_text text = {0};
    pt_model_print(t.model, &text);
    assert_string_equal(text.data, "graph \"main\"\n"
                                   "  input x: float32[N,3]\n"
                                   "  input cond: float32[N,3]\n"
                                   "  constant c: float32[3] = {1,2,3}\n"
                                   "  a: float32[N,3] = Relu(x) <- \"relu\"\n"
                                   "  b: float32[N,3] = If(cond) {then_branch=graph} <- \"branch\"\n"
                                   "    graph \"then\"\n"
                                   "      body_out: float32[N,3] = Neg(a) <- \"branch/then_branch/neg\"\n"
                                   "      output body_out\n"
                                   "  y: float32[N,3] = Add(b, c) <- \"sum\"\n"
                                   "  output y\n");
    pt_text_deinit(&text);
    pt_arena arena = {0};
    pt_id *captures;
    uint32_t count;
    OK(pt_node_captures(t.model, t.branch, &arena, &captures, &count));
    assert_int_equal(count, 1);
    assert_int_equal(captures[0], t.a);
    assert_true(pt_value_visible(t.model, t.a, t.body));
    assert_false(pt_value_visible(t.model, pt_node_at(t.model, t.inner)->outputs[0], 0));
    pt_arena_deinit(&arena);
    pt_model_destroy(t.model);
}

static void cycles_are_named(void **state) {
    PT_UNUSED(state);
    built t;
    build(&t);
    OK(pt_node_set_input(t.model, t.relu, 0, t.y)); /* through the body: y -> relu -> a -> If -> y */
    assert_int_equal(pt_model_sort(t.model), PARTITA_BAD_MODEL);
    assert_non_null(strstr(pt_last_message(), "cycle"));
    pt_model_destroy(t.model);
}

static void edits_keep_uses_and_sources(void **state) {
    PT_UNUSED(state);
    built t;
    build(&t);
    OK(pt_model_sort(t.model));
    OK(pt_node_set_input(t.model, t.add, 1, t.x));
    OK(pt_node_set_input(t.model, t.add, 3, t.c));
    assert_int_equal(pt_node_at(t.model, t.add)->inputs[2], PT_NONE);
    OK(pt_model_validate(t.model));
    /* y = b alone: the sum goes, its source stays with the branch. */
    OK(pt_value_replace_uses(t.model, t.y, t.b));
    OK(pt_node_take_sources(t.model, t.branch, t.add));
    pt_node_remove(t.model, t.add, "test");
    OK(pt_model_validate(t.model));
    assert_int_equal(t.model->graphs.data[0].outputs.data[0], t.b);
    assert_null(t.model->sources.data[0].removed_by);
    /* The branch goes with its body. */
    OK(pt_value_replace_uses(t.model, t.b, t.a));
    pt_node_remove(t.model, t.branch, "test");
    OK(pt_model_validate(t.model));
    assert_true(pt_node_at(t.model, t.inner)->dead);
    for (int i = 0; i < 4; i++) assert_int_equal(t.model->sources.data[i].removed_by != NULL, i != 2);
    pt_model_destroy(t.model);
}

static void validator_sees_broken_models(void **state) {
    PT_UNUSED(state);
    for (int what = 0; what < 6; what++) {
        built t;
        build(&t);
        OK(pt_model_sort(t.model));
        switch (what) {
        case 0: pt_value_at(t.model, t.a)->uses.size--; break;
        case 1: pt_node_at(t.model, t.add)->inputs[0] = 12345; break;
        case 2: pt_value_at(t.model, t.b)->producer = t.relu; break;
        case 3: pt_node_at(t.model, t.relu)->dead = true; break;
        case 4: t.model->sources.data[1].carriers++; break;
        default: t.model->graphs.data[0].order.data[0] = t.branch; break;
        }
        assert_int_equal(pt_model_validate(t.model), PARTITA_INTERNAL);
        pt_model_destroy(t.model);
    }
}

static void weights_hold_their_mapping(void **state) {
    PT_UNUSED(state);
    char path[] = "/tmp/partita_graph_XXXXXX";
    int fd = mkstemp(path);
    char bytes[10000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 7);
    assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    for (int read = 0; read < 2; read++) {
        pt_mapping *mapping;
        pt_weight *weight;
        const void *data;
        uint64_t copied = 0;
        OK(pt_mapping_open_fd(fd, path, read, &mapping));
        assert_int_equal(pt_weight_create_mapped(mapping, 9000, 1001, &weight), PARTITA_BAD_MODEL);
        assert_int_equal(pt_weight_create_mapped(mapping, UINT64_MAX, 2, &weight), PARTITA_BAD_MODEL);
        OK(pt_weight_create_mapped(mapping, 4, 9000, &weight));
        pt_mapping_release(mapping);
        assert_memory_equal(weight->data, bytes + 4, 9000);
        assert_int_equal(weight->fd >= 0, !read);
        OK(pt_weight_align(weight, 4, &data, &copied));
        assert_ptr_equal(data, weight->data);
        OK(pt_weight_align(weight, 64, &data, &copied));
        OK(pt_weight_align(weight, 64, &data, &copied));
        assert_int_equal(copied, 9000);
        assert_memory_equal(data, bytes + 4, 9000);
        pt_weight_drop_pages(weight);
        assert_memory_equal(weight->data, bytes + 4, 9000);
        pt_weight_release(weight);
    }
    close(fd);
    unlink(path);
    pt_mapping *mapping;
    fd = open("/tmp", O_RDONLY);
    assert_int_equal(pt_mapping_open_fd(fd, "/tmp", false, &mapping), PARTITA_IO);
    close(fd);
}

/* Everything that allocates says so when there is nothing left, and leaks nothing. */
static void every_allocation_may_fail(void **state) {
    PT_UNUSED(state);
    for (int64_t k = 0;; k++) {
        pt_alloc_fail_after(k, true);
        pt_model *model = NULL;
        partita_status status = pt_model_create(&model);
        pt_id graph = 0, x = 0, y = 0, node = 0;
        uint32_t source = 0;
        pt_dim dims[2] = {1, 2};
        pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_INT64, .rank = 2, .dims = dims};
        if (!status) status = pt_dim_named(&model->symbols, PT_STR("K"), &dims[0]);
        if (!status) status = pt_dim_apply(&model->symbols, PT_DIM_ADD, dims[0], 1, &dims[1]);
        if (!status) status = pt_model_add_graph(model, PT_STR("g"), PT_NONE, &graph);
        if (!status) status = pt_model_add_value(model, graph, PT_STR("x"), &type, &x);
        if (!status) status = pt_graph_add_input(model, graph, x);
        if (!status) status = pt_model_add_value(model, graph, PT_STR("y"), &type, &y);
        if (!status) status = pt_model_add_node(model, graph, PT_STR("Neg"), PT_STR(""), 1, &x, 1, &y, 1, &node);
        if (!status) status = pt_model_add_source(model, PT_STR("n"), PT_STR("Neg"), PT_STR(""), &source);
        if (!status) status = pt_node_add_source(model, node, source);
        if (!status) status = pt_graph_add_output(model, graph, y);
        if (!status) status = pt_value_replace_uses(model, x, y);
        if (!status) status = pt_value_replace_uses(model, y, x);
        if (!status) status = pt_model_sort(model);
        pt_alloc_fail_after(-1, true);
        pt_model_destroy(model);
        if (status == PARTITA_OK) break;
        assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        assert_true(k < 1000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sort_puts_producers_and_captured_ones_first),
        cmocka_unit_test(cycles_are_named),
        cmocka_unit_test(edits_keep_uses_and_sources),
        cmocka_unit_test(validator_sees_broken_models),
        cmocka_unit_test(weights_hold_their_mapping),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
