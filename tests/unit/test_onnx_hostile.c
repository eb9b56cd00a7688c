/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models that want to harm: each load ends with an error or with a model, within a second and 64 MiB.
 */
#include "onnx/reader.h"

#include "hostile/bytes.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
enum { LIMIT_MS = 1000, LIMIT_KIB = 64 * 1024 };

/* A line of /proc/self/status in KiB. */
static long memory_kib(const char *key) {
    char line[256];
    long value = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0) value = atol(line + strlen(key));
    }
    if (file) fclose(file);
    return value;
}

static void reset_peak(void) {
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file) return;
    fputs("5", file);
    fclose(file);
}

/* Loads within the limits; the status. Frees the bytes. */
static partita_status load(bytes *file, const char *what) {
    pt_model *model = NULL;
    reset_peak();
    long before = memory_kib("VmRSS:");
    uint64_t begin = pt_now_ns();
    partita_status status = pt_onnx_load_memory(file->data, file->size, false, NULL, NULL, &model);
    uint64_t ms = (pt_now_ns() - begin) / 1000000;
    long growth = memory_kib("VmHWM:") - before;
    if (status == PARTITA_OK) assert_int_equal(pt_model_validate(model), PARTITA_OK);
    pt_model_destroy(model);
    bytes_free(file);
    /* Sanitizers cost a multiple of both. */
    if (ms > LIMIT_MS * (SANITIZED ? 10 : 1)) fail_msg("%s: %llu ms", what, (unsigned long long)ms);
    if (!SANITIZED && growth > LIMIT_KIB) fail_msg("%s: %ld KiB", what, growth);
    if (status != PARTITA_OK) assert_true(*pt_last_message());
    return status;
}

static void assert_load(bytes *file, const char *what, partita_status expected, const char *message) {
    partita_status status = load(file, what);
    if (status != expected) fail_msg("%s: status %d, %s", what, status, status ? pt_last_message() : "loads");
    if (message && !strstr(pt_last_message(), message)) fail_msg("%s: says: %s", what, pt_last_message());
}

/* ---- wire format ----------------------------------------------------------------------------- */

/* The graph around `depth` graphs in each other, as attributes of nodes. */
static bytes nested_graphs(int depth) {
    bytes graph = {0};
    for (int i = 0; i < depth; i++) {
        bytes outer = {0}, node = bytes_node("If", NULL, NULL, NULL), attribute = {0};
        bytes_str(&attribute, ATTRIBUTE_NAME, "b");
        bytes_message(&attribute, ATTRIBUTE_GRAPH, &graph);
        bytes_int(&attribute, ATTRIBUTE_TYPE, 5);
        bytes_message(&node, NODE_ATTRIBUTE, &attribute);
        bytes_message(&outer, GRAPH_NODE, &node);
        graph = outer;
    }
    return bytes_model(&graph);
}

static void nesting_is_bounded(void **state) {
    PT_UNUSED(state);
    static const int refused[] = {32, 33, 1000, 3000, 20000};
    for (size_t i = 0; i < PT_COUNT_OF(refused); i++) {
        bytes file = nested_graphs(refused[i]);
        assert_load(&file, "nested graphs", PARTITA_BAD_MODEL, "nested more than 32 deep");
    }
    bytes file = nested_graphs(31);
    assert_load(&file, "31 nested graphs", PARTITA_OK, NULL);
    /* sequences of sequences of ... */
    bytes type = {0}, graph = {0}, info = {0};
    for (int i = 0; i < 3000; i++) {
        bytes sequence = {0}, outer = {0};
        bytes_message(&sequence, 1, &type);
        bytes_message(&outer, 4, &sequence);
        type = outer;
    }
    bytes_str(&info, 1, "x");
    bytes_message(&info, 2, &type);
    bytes_message(&graph, GRAPH_INPUT, &info);
    file = bytes_model(&graph);
    assert_load(&file, "nested types", PARTITA_BAD_MODEL, "nested more than 128 deep");
}

static void repeated_fields_are_refused(void **state) {
    PT_UNUSED(state);
    bytes file = {0};
    bytes_int(&file, MODEL_IR, 8);
    while (file.size < 880000) {
        bytes graph = {0}, node = bytes_node("Relu", NULL, "x", "y");
        bytes_message(&graph, GRAPH_NODE, &node);
        bytes_str(&graph, GRAPH_NAME, "g");
        bytes_message(&file, MODEL_GRAPH, &graph);
    }
    assert_load(&file, "880 kB of repeated graphs", PARTITA_BAD_MODEL, "there twice");
    bytes graph = {0}, tensor = {0};
    for (int i = 0; i < 2; i++) bytes_block(&tensor, TENSOR_RAW, "abcd", 4);
    bytes_message(&graph, GRAPH_INITIALIZER, &tensor);
    file = bytes_model(&graph);
    assert_load(&file, "data twice", PARTITA_BAD_MODEL, "there twice");
}

static void empty_messages_are_bounded(void **state) {
    PT_UNUSED(state);
    static const uint32_t fields[] = {GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT, 13, 14, 15};
    for (size_t i = 0; i < PT_COUNT_OF(fields); i++) {
        bytes graph = {0};
        while (graph.size < 2000000) bytes_block(&graph, fields[i], "", 0);
        bytes file = bytes_model(&graph);
        partita_status status = load(&file, "2 MB of empty messages");
        /* Annotations aren't read at all; an input needs a name. */
        assert_int_equal(status, fields[i] == 14                                             ? PARTITA_OK
                                 : fields[i] == GRAPH_NODE || fields[i] == GRAPH_INITIALIZER ? PARTITA_OVER_BUDGET
                                                                                             : status);
    }
    /* 2 MB of small nodes, of unpacked numbers, of attributes of one node */
    bytes graph = {0};
    while (graph.size < 2000000) {
        bytes node = bytes_node("Relu", NULL, NULL, NULL);
        bytes_message(&graph, GRAPH_NODE, &node);
    }
    bytes file = bytes_model(&graph);
    load(&file, "2 MB of small nodes");
    bytes tensor = {0};
    while (tensor.size < 2000000) bytes_int(&tensor, TENSOR_DIMS, 1);
    bytes_int(&tensor, TENSOR_TYPE, 1);
    bytes_message(&graph, GRAPH_INITIALIZER, &tensor);
    file = bytes_model(&graph);
    load(&file, "2 MB of dims");
    bytes node = bytes_node("Relu", NULL, NULL, "y");
    while (node.size < 2000000) {
        bytes attribute = {0};
        bytes_str(&attribute, ATTRIBUTE_NAME, "abc");
        bytes_int(&attribute, ATTRIBUTE_INT, 1);
        bytes_message(&node, NODE_ATTRIBUTE, &attribute);
    }
    bytes_message(&graph, GRAPH_NODE, &node);
    file = bytes_model(&graph);
    assert_int_not_equal(load(&file, "2 MB of attributes"), PARTITA_OK);
    while (graph.size < 2000000) bytes_opset(&graph, MODEL_OPSET, "abc", 1);
    bytes empty = {0};
    bytes_message(&graph, MODEL_GRAPH, &empty);
    bytes_int(&graph, MODEL_IR, 8);
    assert_int_not_equal(load(&graph, "2 MB of operator sets"), PARTITA_OK);
}

static void unknown_fields_cost_nothing(void **state) {
    PT_UNUSED(state);
    bytes graph = {0}, node = bytes_node("Relu", NULL, "x", "y");
    bytes_message(&graph, GRAPH_NODE, &node);
    bytes_info(&graph, GRAPH_INPUT, "x");
    bytes_info(&graph, GRAPH_OUTPUT, "y");
    while (graph.size < 1500000) bytes_int(&graph, 100, 1);
    bytes file = bytes_model(&graph);
    while (file.size < 3000000) bytes_block(&file, 200, "abc", 3);
    assert_load(&file, "3 MB of unknown fields", PARTITA_OK, NULL);
}

static void broken_wire_is_refused(void **state) {
    PT_UNUSED(state);
    static const struct {
        const char *what, *data;
        size_t size;
    } rows[] = {
        {"nothing", "", 0},
        {"field 0", "\x00\x01", 2},
        {"group", "\x0b\x0c", 2},
        {"number without end", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 13},
        {"length beyond the end", "\x3a\x7f", 2},
        {"huge length", "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {"graph as a number", "\x38\x01", 2},
        {"version as a block", "\x0a\x01\x01", 3},
        {"number cut off", "\x08", 1},
        {"zero in a name",
         "\x12\x03"
         "a\0b",
         5},
        {"text", "hello, I am no model", 20},
    };
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        bytes file = {0};
        bytes_add(&file, rows[i].data, rows[i].size);
        assert_load(&file, rows[i].what, PARTITA_BAD_MODEL, NULL);
    }
}

/* ---- small models, cut and changed ----------------------------------------------------------- */

static bytes sample(void) {
    char path[4096];
    bytes file = {0};
    const char *root = getenv("PARTITA_TEST_SOURCE");
    snprintf(path, sizeof path, "%s/unit/onnx/features.onnx", root ? root : "tests");
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, in)) > 0;) bytes_add(&file, block, n);
    fclose(in);
    return file;
}

static void every_truncation_is_survived(void **state) {
    PT_UNUSED(state);
    bytes whole = sample();
    for (size_t size = 0; size < whole.size; size++) {
        bytes file = {0};
        bytes_add(&file, whole.data, size);
        partita_status status = load(&file, "truncated");
        /* Between two fields of the model a cut may leave a model. */
        if (status != PARTITA_OK) assert_int_equal(status, PARTITA_BAD_MODEL);
    }
    bytes_free(&whole);
}

static void random_changes_are_survived(void **state) {
    PT_UNUSED(state);
    bytes whole = sample();
    uint64_t random = 11;
    for (int round = 0; round < (SANITIZED ? 5000 : 30000); round++) {
        bytes file = {0};
        bytes_add(&file, whole.data, whole.size);
        for (int change = 0; change <= round % 3; change++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            uint8_t *at = &file.data[(random >> 20) % file.size];
            *at = random >> 62 ? (uint8_t)(random >> 50) : (uint8_t)(*at ^ (1 << ((random >> 50) & 7)));
        }
        pt_model *model = NULL;
        if (pt_onnx_load_memory(file.data, file.size, false, NULL, NULL, &model) == PARTITA_OK) {
            assert_int_equal(pt_model_validate(model), PARTITA_OK);
        }
        pt_model_destroy(model);
        bytes_free(&file);
    }
    bytes_free(&whole);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void dims_that_overflow_are_refused(void **state) {
    PT_UNUSED(state);
    static const int64_t dims[][3] = {
        {INT64_C(1) << 42, INT64_C(1) << 42, 1},
        {INT64_MAX, 2, 1},
        {(INT64_C(1) << 62) + 2, 1, 1},
        {-1, 4, 1},
        {INT64_MIN, 1, 1},
        {INT64_C(1) << 32, INT64_C(1) << 32, 0},
        {(INT64_C(1) << 31) + 1, 1, 1},
        {4294967297, 1, 1},
        {INT64_MAX, INT64_MAX, INT64_MAX},
        {2, 1, 1},
    };
    for (size_t i = 0; i < PT_COUNT_OF(dims); i++) {
        for (int way = 0; way < 3; way++) {
            for (int type = 0; type < 30; type++) {
                bytes graph = {0}, tensor = {0};
                for (int k = 0; k < 3; k++) bytes_int(&tensor, TENSOR_DIMS, dims[i][k]);
                bytes_int(&tensor, TENSOR_TYPE, type);
                bytes_str(&tensor, TENSOR_NAME, "w");
                if (way == 0) bytes_block(&tensor, TENSOR_RAW, "abc", 3);
                if (way == 1) bytes_block(&tensor, TENSOR_FLOATS, "abcd", 4);
                bytes_message(&graph, GRAPH_INITIALIZER, &tensor);
                bytes file = bytes_model(&graph);
                /* Without data and with a zero among dims that do not overflow it is an empty tensor. */
                partita_status status = load(&file, "dims");
                if (status == PARTITA_OK)
                    assert_true(way == 2 && dims[i][2] == 0 && type > 0 && type < PARTITA_DTYPE_COUNT);
                if (status != PARTITA_OK) assert_int_equal(status, PARTITA_BAD_MODEL);
            }
        }
    }
    /* In types of inputs they are what they are: dims of a value that no run can have. */
    bytes graph = {0}, info = {0}, type = {0}, tensor = {0}, shape = {0};
    for (size_t i = 0; i < PT_COUNT_OF(dims); i++) {
        bytes dim = {0};
        bytes_int(&dim, 1, dims[i][0]);
        bytes_message(&shape, 1, &dim);
    }
    bytes_int(&tensor, 1, 1);
    bytes_message(&tensor, 2, &shape);
    bytes_message(&type, 1, &tensor);
    bytes_str(&info, 1, "x");
    bytes_message(&info, 2, &type);
    bytes_message(&graph, GRAPH_INPUT, &info);
    bytes file = bytes_model(&graph);
    assert_load(&file, "dims of an input", PARTITA_OK, NULL);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static void broken_graphs_are_named(void **state) {
    PT_UNUSED(state);
    static const struct {
        const char *nodes[4][3]; /* op, input, output */
        const char *output, *message;
    } rows[] = {
        {{{"Relu", "nowhere", "y"}}, "y", "node #0:Relu (Relu): input nowhere"},
        {{{"Relu", "x", "y"}, {"Abs", "x", "y"}}, "y", "value y is defined twice"},
        {{{"Relu", "x", "x"}}, "x", "value x is defined twice"},
        {{{"Relu", "x", "y"}}, "z", "output z"},
        {{{"Relu", "b", "a"}, {"Abs", "a", "b"}}, "b", "cycle"},
        {{{"Relu", "a", "a"}}, "a", "cycle"},
        {{{"", "x", "y"}}, "y", "no operator"},
        {{{"Constant", NULL, "y"}}, "y", "without value"},
        {{{"Constant", "x", "y"}}, "y", "no inputs"},
    };
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        bytes graph = {0};
        for (size_t n = 0; n < 4 && rows[i].nodes[n][0]; n++) {
            bytes node = bytes_node(rows[i].nodes[n][0], NULL, rows[i].nodes[n][1], rows[i].nodes[n][2]);
            bytes_message(&graph, GRAPH_NODE, &node);
        }
        bytes_info(&graph, GRAPH_INPUT, "x");
        bytes_info(&graph, GRAPH_OUTPUT, rows[i].output);
        bytes file = bytes_model(&graph);
        assert_load(&file, rows[i].message, PARTITA_BAD_MODEL, rows[i].message);
    }
}

/* `count` functions; f<i> calls f<i + 1> (the last one `last`) twice, in a chain. */
static bytes function_chain(int count, const char *last, int name_size) {
    bytes graph = {0}, node = bytes_node("f0", "local", "x", "y");
    char *call_name = calloc((size_t)name_size + 1, 1);
    memset(call_name, 'n', (size_t)name_size);
    bytes_message(&graph, GRAPH_NODE, &node);
    bytes_info(&graph, GRAPH_INPUT, "x");
    bytes_info(&graph, GRAPH_OUTPUT, "y");
    bytes file = bytes_model(&graph);
    bytes_opset(&file, MODEL_OPSET, "local", 1);
    for (int i = 0; i < count; i++) {
        bytes function = {0};
        char name[16], next[16];
        snprintf(name, sizeof name, "f%d", i);
        snprintf(next, sizeof next, "f%d", i + 1);
        const char *callee = i + 1 < count ? next : last;
        bytes_str(&function, FUNCTION_NAME, name);
        bytes_str(&function, FUNCTION_DOMAIN, "local");
        bytes_str(&function, FUNCTION_INPUT, "a");
        bytes_str(&function, FUNCTION_OUTPUT, "c");
        for (int k = 0; k < 2; k++) {
            node = bytes_node(callee, *callee == 'f' ? "local" : "", k ? "b" : "a", k ? "c" : "b");
            if (name_size) bytes_str(&node, NODE_NAME, call_name);
            bytes_message(&function, FUNCTION_NODE, &node);
        }
        bytes_opset(&function, FUNCTION_OPSET, "", 17);
        bytes_message(&file, MODEL_FUNCTION, &function);
    }
    free(call_name);
    return file;
}

static void functions_cannot_explode(void **state) {
    PT_UNUSED(state);
    bytes file = function_chain(4, "Relu", 0);
    assert_load(&file, "16 nodes by functions", PARTITA_OK, NULL);
    file = function_chain(30, "Relu", 0);
    assert_load(&file, "2^30 nodes by functions", PARTITA_OVER_BUDGET, NULL);
    file = function_chain(1000, "Relu", 0);
    load(&file, "a long chain");
    file = function_chain(1, "f0", 0);
    assert_load(&file, "recursion", PARTITA_BAD_MODEL, "calls itself");
    file = function_chain(5, "f2", 0);
    assert_load(&file, "recursion through others", PARTITA_BAD_MODEL, "calls itself");
    file = function_chain(12, "Relu", 50000);
    assert_load(&file, "long names, repeated", PARTITA_OVER_BUDGET, NULL);
}

static void budgets_are_kept(void **state) {
    PT_UNUSED(state);
    bytes file = sample();
    pt_model *model = NULL;
    pt_onnx_options options = {.memory_budget = 1000};
    assert_int_equal(pt_onnx_load_memory(file.data, file.size, false, NULL, &options, &model), PARTITA_OVER_BUDGET);
    assert_non_null(strstr(pt_last_message(), "1000"));
    options.memory_budget = 1 << 20;
    assert_int_equal(pt_onnx_load_memory(file.data, file.size, false, NULL, &options, &model), PARTITA_OK);
    pt_model_destroy(model);
    bytes_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(repeated_fields_are_refused),
        cmocka_unit_test(empty_messages_are_bounded),
        cmocka_unit_test(unknown_fields_cost_nothing),
        cmocka_unit_test(broken_wire_is_refused),
        cmocka_unit_test(every_truncation_is_survived),
        cmocka_unit_test(random_changes_are_survived),
        cmocka_unit_test(dims_that_overflow_are_refused),
        cmocka_unit_test(broken_graphs_are_named),
        cmocka_unit_test(functions_cannot_explode),
        cmocka_unit_test(budgets_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
