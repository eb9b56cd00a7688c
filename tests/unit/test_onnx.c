/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading ONNX models: every encoding of tensors against what onnx's own numpy_helper read, and every feature of the
 * format against the graph that must come out. The files lie in unit/onnx beside the script that made them.
 */
#include "onnx/reader.h"

#include "hostile/bytes.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ok.h"

static const char *test_file(const char *name) {
    static char path[4096];
    const char *root = getenv("PARTITA_TEST_SOURCE");
    snprintf(path, sizeof path, "%s/unit/onnx/%s", root ? root : "tests", name);
    return path;
}

static const pt_tensor *constant_named(const pt_model *model, const char *name) {
    for (size_t i = 0; i < model->values.size; i++) {
        if (pt_str_is(model->values.data[i].name, name)) return model->values.data[i].constant;
    }
    return NULL;
}

static void encodings_equal_onnx(void **state) {
    PT_UNUSED(state);
    pt_model *model;
    OK(pt_onnx_load_file(test_file("encodings.onnx"), NULL, &model));
    FILE *file = fopen(test_file("encodings.txt"), "r");
    assert_non_null(file);
    char name[256], dims[256], hex[4096];
    int dtype, lines = 0;
    while (fscanf(file, "%255s %d %255s %4095s", name, &dtype, dims, hex) == 4) {
        const pt_tensor *tensor = constant_named(model, name);
        if (!tensor) fail_msg("%s is missing", name);
        assert_int_equal(tensor->dtype, dtype);
        uint32_t rank = 0;
        for (char *dim = strtok(dims, ","); dim && strcmp(dim, "-") != 0; dim = strtok(NULL, ",")) {
            assert_int_equal(tensor->dims[rank], atoi(dim));
            rank++;
        }
        assert_int_equal(tensor->rank, rank);
        size_t size = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
        assert_int_equal(tensor->weight->bytes, size);
        for (size_t i = 0; i < size; i++) {
            unsigned byte;
            sscanf(hex + 2 * i, "%2x", &byte);
            if (((const uint8_t *)tensor->weight->data)[i] != byte) fail_msg("%s differs at byte %zu", name, i);
        }
        lines++;
    }
    fclose(file);
    assert_int_equal(lines, 151);
    const pt_tensor *big = constant_named(model, "float_big_typed");
    uint64_t sum = 0;
    for (size_t i = 0; i < big->count; i++) {
        uint32_t word;
        memcpy(&word, (const char *)big->weight->data + 4 * i, 4);
        sum += word;
    }
    assert_true(sum == UINT64_C(42498775691834)); /* printed by make.py */
    assert_non_null(big->weight->mapping);
    const pt_tensor *strings = constant_named(model, "strings");
    const uint64_t offsets[] = {0, 0, 3, 5, 8};
    assert_memory_equal(strings->offsets, offsets, sizeof offsets);
    pt_model_destroy(model);
}

static const char features[] =
    "graph \"features\"\n"
    "  input x: float32[N,3]\n"
    "  input cond: bool[]\n"
    "  input any: float32[?1,?2,?3,?4,2]\n"
    "  input list: seq(int64)\n"
    "  input map: map(string,float32)\n"
    "  constant w: float32[3] = {1,2,3}\n"
    "  constant trips: int64[] = {3}\n"
    "  constant shape: int64[2] = {1,-1}\n"
    "  constant k: float32[] = {3}\n"
    "  m = Mul(x, k) <- \"call/#1:Mul\"\n"
    "  i = LeakyRelu(m) {alpha=0.25} <- \"call/in/leaky\"\n"
    "  f: float32 = Add(i, w) <- \"call/#3:Add\"\n"
    "  branch = If(cond) {else_branch=graph, then_branch=graph} <- \"choice\"\n"
    "    graph \"else\"\n"
    "      constant bias: float32[1] = {7}\n"
    "      e: float32 = Add(f, bias) <- \"choice/else_branch/plus\"\n"
    "      output e\n"
    "    graph \"then\"\n"
    "      t: float32 = Neg(f) <- \"choice/then_branch/#0:Neg\"\n"
    "      output t\n"
    "  late = Loop(trips, -, branch) {body=graph} <- \"#3:Loop\"\n"
    "    graph \"body\"\n"
    "      input turn: int64\n"
    "      input keep: bool\n"
    "      input state: float32\n"
    "      keep_out: bool = Identity(keep) <- \"#3:Loop/body/#0:Identity\"\n"
    "      state_out: float32 = Mul(state, w) <- \"#3:Loop/body/#1:Mul\"\n"
    "      output keep_out\n"
    "      output state_out\n"
    "  z: float32 = Identity(late) <- \"#0:Identity\"\n"
    "  g: float32 = Identity(x) <- \"call/a\"\n"
    "  maybe: optional(float32) = Optional() <- \"#8:Optional\"\n"
    "  own: float32[N,!5,5] = com.example.Special(x, shape) {level=4, names=[\"a\",\"b\"], table={2 bytes}} "
    "<- \"#9:Special\"\n"
    "  output z\n"
    "  output own\n"
    "  output g\n"
    "  output maybe\n"
    "removed \"call/#0:Constant\" by import\n"
    "removed \"n\" by import\n"
    "removed \"#5:Constant\" by import\n"
    "removed \"#6:Constant\" by import\n"
    "removed \"#7:Constant\" by import\n";

static void features_become_a_plain_graph(void **state) {
    PT_UNUSED(state);
    pt_model *model;
    pt_text text = {0};
    OK(pt_onnx_load_file(test_file("features.onnx"), NULL, &model));
    OK(pt_model_validate(model));
    pt_model_print(model, &text);
    assert_string_equal(text.data, features);
    pt_text_deinit(&text);
    assert_true(pt_str_is(model->producer_name, "make.py"));
    assert_true(pt_str_is(model->doc, "what it is"));
    assert_int_equal(model->ir_version, 10);
    assert_int_equal(pt_model_opset(model, PT_STR("")), 18);
    assert_int_equal(pt_model_opset(model, PT_STR("com.example")), 0);
    assert_int_equal(model->metadata.size, 2);
    assert_true(pt_str_is(model->metadata.data[0].key, "author"));
    assert_true(pt_str_is(model->metadata.data[0].value, "nobody"));
    /* A function's nodes have the versions that the function was written for. */
    for (size_t i = 0; i < model->nodes.size; i++) {
        const pt_node *node = &model->nodes.data[i];
        int32_t version = 18;
        if (pt_str_is(node->op, "LeakyRelu")) version = 16;
        if (pt_str_is(pt_node_name(model, (pt_id)i), "call/#1:Mul")) version = 17;
        if (pt_str_is(pt_node_name(model, (pt_id)i), "call/#3:Add")) version = 17;
        if (pt_str_is(pt_node_name(model, (pt_id)i), "call/a")) version = 17;
        if (pt_str_is(node->op, "Special")) version = 1;
        assert_int_equal(node->version, version);
    }
    const pt_tensor *sparse = constant_named(model, "sparse");
    assert_int_equal(sparse->sparse_nnz, 2);
    assert_int_equal(sparse->count, 12);
    assert_int_equal(sparse->sparse_indices->rank, 2);
    sparse = constant_named(model, "s");
    assert_int_equal(sparse->sparse_nnz, 1);
    assert_int_equal(((const int8_t *)sparse->weight->data)[0], 5);
    const pt_tensor *strings = constant_named(model, "strings");
    assert_int_equal(strings->count, 3);
    assert_memory_equal(strings->weight->data, "abc", 3);
    pt_model_destroy(model);
}

/* Borrowed, copied, read: the same model. */
static void ways_to_load_agree(void **state) {
    PT_UNUSED(state);
    FILE *file = fopen(test_file("features.onnx"), "rb");
    static char data[65536];
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    for (int way = 0; way < 3; way++) {
        pt_model *model;
        pt_text text = {0};
        pt_onnx_options options = {.copy_weights = true};
        char *mine = malloc(size);
        memcpy(mine, data, size);
        if (way == 0) OK(pt_onnx_load_memory(mine, size, false, NULL, NULL, &model));
        if (way == 1) {
            OK(pt_onnx_load_memory(mine, size, true, NULL, NULL, &model));
            memset(mine, 0xee, size);
        }
        if (way == 2) OK(pt_onnx_load_file(test_file("features.onnx"), &options, &model));
        pt_model_print(model, &text);
        assert_string_equal(text.data, features);
        pt_text_deinit(&text);
        pt_model_destroy(model);
        free(mine);
    }
}

/* In IR version 3 initializers are inputs too; what comes out has no such inputs, in any version. */
static void versions_3_to_14_load(void **state) {
    PT_UNUSED(state);
    for (int version = 2; version <= 15; version++) {
        bytes graph = {0}, tensor = {0}, node = bytes_node("Add", NULL, "x", "y"), model = {0};
        bytes_str(&node, NODE_INPUT, "w");
        bytes_message(&graph, GRAPH_NODE, &node);
        bytes_int(&tensor, TENSOR_DIMS, 1);
        bytes_int(&tensor, TENSOR_TYPE, PARTITA_FLOAT32);
        bytes_str(&tensor, TENSOR_NAME, "w");
        bytes_block(&tensor, TENSOR_RAW, "abcd", 4);
        bytes_message(&graph, GRAPH_INITIALIZER, &tensor);
        bytes_info(&graph, GRAPH_INPUT, "x");
        bytes_info(&graph, GRAPH_INPUT, "w");
        bytes_info(&graph, GRAPH_OUTPUT, "y");
        bytes_int(&model, MODEL_IR, version);
        bytes_opset(&model, MODEL_OPSET, "", 7);
        bytes_message(&model, MODEL_GRAPH, &graph);
        pt_model *loaded;
        partita_status status = pt_onnx_load_memory(model.data, model.size, true, NULL, NULL, &loaded);
        bytes_free(&model);
        assert_int_equal(status, version < 3 || version > 14 ? PARTITA_BAD_MODEL : PARTITA_OK);
        if (status) continue;
        assert_int_equal(loaded->graphs.data[0].inputs.size, 1);
        assert_true(pt_str_is(pt_value_at(loaded, loaded->graphs.data[0].inputs.data[0])->name, "x"));
        pt_model_destroy(loaded);
    }
}

/* The failure of each allocation is an error, and leaks nothing (under ASan). */
static void every_allocation_may_fail(void **state) {
    PT_UNUSED(state);
    static const char *const files[] = {"features.onnx", "encodings.onnx"};
    for (size_t f = 0; f < PT_COUNT_OF(files); f++) {
        for (int once = 0; once < 2; once++) {
            for (int64_t k = 0;; k += f == 0 ? 1 : 7) {
                pt_model *model = NULL;
                pt_alloc_fail_after(k, once);
                partita_status status = pt_onnx_load_file(test_file(files[f]), NULL, &model);
                pt_alloc_fail_after(-1, false);
                pt_model_destroy(model);
                if (status == PARTITA_OK) break;
                assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
                assert_true(k < 10000);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodings_equal_onnx),      cmocka_unit_test(features_become_a_plain_graph),
        cmocka_unit_test(ways_to_load_agree),        cmocka_unit_test(versions_3_to_14_load),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
