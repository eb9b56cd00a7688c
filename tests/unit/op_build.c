/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models in few words.
 */
#include "op_build.h"

#include <partita/plugin.h>
#include <stdlib.h>

enum { PORTS_MAX = 16 };

static partita_str keep(builder *b, const char *text, size_t size) {
    partita_str copy = pt_arena_str(&b->model->arena, (partita_str){text, size});
    assert_non_null(copy.data);
    return copy;
}

void build_start(builder *b, int32_t version) {
    *b = (builder){.version = version};
    OK(pt_model_create(&b->model));
    OK(pt_model_add_graph(b->model, PT_STR("main"), PT_NONE, &b->graph));
}

void build_end(builder *b) {
    pt_model_destroy(b->model);
    b->model = NULL;
}

pt_id build_body(builder *b, pt_id node, const char *name) {
    pt_id before = b->graph, *graphs = pt_arena_alloc(&b->model->arena, sizeof *graphs);
    assert_non_null(graphs);
    OK(pt_model_add_graph(b->model, keep(b, name, strlen(name)), node, &b->graph));
    *graphs = b->graph;
    OK(pt_node_set_attribute(
        b->model, node,
        &(pt_attribute){
            .name = keep(b, name, strlen(name)), .type = PTP_ATTRIBUTE_GRAPH, .count = 1, .graphs = graphs}));
    return before;
}

static pt_id add_value(builder *b, const char *name, size_t size, const pt_type *type) {
    pt_id id;
    OK(pt_model_add_value(b->model, b->graph, keep(b, name, size), type, &id));
    return id;
}

/* The pieces of a text between separators. */
static size_t piece(const char **text, char separator) {
    const char *end = strchr(*text, separator);
    return end ? (size_t)(end - *text) : strlen(*text);
}

pt_id build_input(builder *b, const char *name, partita_dtype dtype, const char *dims) {
    pt_dim numbers[PORTS_MAX];
    pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = dtype, .rank = dims ? 0 : -1, .dims = numbers};
    while (dims && *dims) {
        size_t size = piece(&dims, ',');
        pt_dim *dim = &numbers[type.rank++];
        if (*dims >= '0' && *dims <= '9') {
            *dim = strtoll(dims, NULL, 10);
        } else {
            OK(pt_dim_named(&b->model->symbols, keep(b, dims, size), dim));
        }
        dims += size + (dims[size] == ',');
    }
    pt_id id = add_value(b, name, strlen(name), &type);
    OK(pt_graph_add_input(b->model, b->graph, id));
    return id;
}

static pt_id constant(builder *b, const char *name, partita_dtype dtype, const void *data, size_t bytes,
                      int64_t count) {
    /* A count of -1: a scalar. */
    pt_weight *weight;
    pt_tensor *tensor;
    void *copy = pt_malloc(bytes + 1);
    assert_non_null(copy);
    if (bytes) memcpy(copy, data, bytes);
    OK(pt_weight_create_owned(copy, bytes, &weight));
    OK(pt_model_add_tensor(b->model, dtype, count < 0 ? 0 : 1, &count, weight, &tensor));
    pt_id id = add_value(b, name, strlen(name), &(pt_type){.rank = -1});
    OK(pt_value_set_constant(b->model, id, tensor));
    return id;
}

pt_id build_ints(builder *b, const char *name, const int64_t *numbers, int64_t count) {
    return constant(b, name, PARTITA_INT64, numbers, (size_t)count * sizeof *numbers, count);
}

pt_id build_int(builder *b, const char *name, int64_t number) {
    return constant(b, name, PARTITA_INT64, &number, sizeof number, -1);
}

pt_id build_floats(builder *b, const char *name, const float *numbers, int64_t count) {
    return constant(b, name, PARTITA_FLOAT32, numbers, (size_t)count * sizeof *numbers, count);
}

pt_id build_bool(builder *b, const char *name, bool truth) {
    uint8_t byte = truth;
    return constant(b, name, PARTITA_BOOL, &byte, 1, -1);
}

pt_id build_value(const builder *b, const char *name) {
    for (pt_id id = 0; id < b->model->values.size; id++) {
        if (pt_str_is(pt_value_at(b->model, id)->name, name)) return id;
    }
    fail_msg("no value %s", name);
    return PT_NONE;
}

static uint32_t ports(builder *b, const char *names, bool fresh, pt_id *ids) {
    uint32_t count = 0;
    while (*names) {
        size_t size = piece(&names, ' ');
        char name[64] = "";
        assert_true(size < sizeof name && count < PORTS_MAX);
        memcpy(name, names, size);
        if (strcmp(name, "-") == 0) {
            ids[count++] = PT_NONE;
        } else {
            ids[count++] = fresh ? add_value(b, name, size, &(pt_type){.rank = -1}) : build_value(b, name);
        }
        names += size + (names[size] == ' ');
    }
    return count;
}

pt_id build_node(builder *b, const char *op, const char *inputs, const char *outputs) {
    pt_id in[PORTS_MAX], out[PORTS_MAX], node;
    uint32_t in_count = ports(b, inputs, false, in), out_count = ports(b, outputs, true, out), source;
    OK(pt_model_add_node(b->model, b->graph, pt_str(op), PT_STR(""), b->version, in, in_count, out, out_count, &node));
    OK(pt_model_add_source(b->model, keep(b, outputs, strlen(outputs)), pt_str(op), PT_STR(""), &source));
    OK(pt_node_add_source(b->model, node, source));
    return node;
}

void build_output(builder *b, const char *name) { OK(pt_graph_add_output(b->model, b->graph, build_value(b, name))); }

void build_attr_int(builder *b, pt_id node, const char *name, int64_t number) {
    OK(pt_node_set_attribute(
        b->model, node, &(pt_attribute){.name = pt_str(name), .type = PTP_ATTRIBUTE_INT, .count = 1, .i = number}));
}

void build_attr_ints(builder *b, pt_id node, const char *name, const int64_t *numbers, uint32_t count) {
    int64_t *copy = pt_arena_array(&b->model->arena, count, sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, numbers, count * sizeof *copy);
    OK(pt_node_set_attribute(
        b->model, node,
        &(pt_attribute){.name = pt_str(name), .type = PTP_ATTRIBUTE_INTS, .count = count, .ints = copy}));
}

void build_attr_text(builder *b, pt_id node, const char *name, const char *text) {
    OK(pt_node_set_attribute(
        b->model, node,
        &(pt_attribute){.name = pt_str(name), .type = PTP_ATTRIBUTE_STRING, .count = 1, .s = pt_str(text)}));
}

partita_status build_infer(builder *b) {
    PT_TRY(pt_model_sort(b->model));
    PT_TRY(pt_model_check(b->model));
    return pt_model_infer(b->model);
}

static void assert_list(const builder *b, const char *name, const pt_dim *dims, int64_t count, const char *expected) {
    pt_text text = {0};
    if (count < 0) pt_text_printf(&text, "none");
    for (int64_t i = 0; i < count; i++) {
        if (i) pt_text_printf(&text, ",");
        pt_dim_print(&b->model->symbols, dims[i], &text);
    }
    bool equal = strcmp(text.data ? text.data : "", expected) == 0;
    if (!equal) print_error("%s: %s instead of %s\n", name, text.data ? text.data : "", expected);
    pt_text_deinit(&text);
    assert_true(equal);
}

void assert_dims(const builder *b, const char *name, const char *dims) {
    const pt_type *type = &pt_value_at(b->model, build_value(b, name))->type;
    assert_list(b, name, type->dims, type->rank, dims);
}

void assert_elements(const builder *b, const char *name, const char *elements) {
    const pt_value *value = pt_value_at(b->model, build_value(b, name));
    assert_list(b, name, value->small, value->small ? (int64_t)value->small_count : -1, elements);
}

void assert_dtype(const builder *b, const char *name, partita_dtype dtype) {
    assert_string_equal(pt_dtype_name(pt_value_at(b->model, build_value(b, name))->type.dtype), pt_dtype_name(dtype));
}
