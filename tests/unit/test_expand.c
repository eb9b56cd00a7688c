/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators expanded into the functions that ONNX defines them by: the model stays valid, and what inference says of
 * the outputs through the function is what it says of the operator. Their numbers are those of ONNX's own expanded
 * tests.
 */
#include "onnx/expand.h"
#include "op_build.h"

#include <stdlib.h>

/* x is float [N, 3, 4, 5], h float16, half [5] of it; labels and weights are those of a loss; s is an int64 scalar;
 * theta [N, 2, 3] and size (2, 3, 4, 5) are AffineGrid's. */
static const struct {
    const char *op;
    int32_t version;
    const char *inputs;
} rows[] = {
    {"AffineGrid", 20, "theta size"},
    {"Bernoulli", 22, "h"},
    {"BlackmanWindow", 17, "s"},
    {"CastLike", 15, "x h"},
    {"CastLike", 25, "h x"},
    {"Celu", 12, "x"},
    {"Celu", 28, "x"},
    {"Clip", 13, "x f f"},
    {"Clip", 13, "x f"},
    {"Clip", 13, "x - f"},
    {"Clip", 13, "x"},
    {"DynamicQuantizeLinear", 11, "x"},
    {"Elu", 22, "x"},
    {"Gelu", 20, "h"},
    {"GreaterOrEqual", 16, "x x"},
    {"HammingWindow", 17, "s"},
    {"HannWindow", 17, "s"},
    {"HardSigmoid", 22, "x"},
    {"HardSwish", 14, "x"},
    {"LayerNormalization", 17, "h half"}, /* its numbers are those of floats, its result is not */
    {"LayerNormalization", 17, "h half half"},
    {"LeakyRelu", 16, "x"},
    {"LessOrEqual", 12, "x x"},
    {"LogSoftmax", 13, "x"},
    {"MeanVarianceNormalization", 13, "x"},
    {"Mish", 18, "x"},
    {"NegativeLogLikelihoodLoss", 13, "x labels"},
    {"NegativeLogLikelihoodLoss", 22, "x labels weights"},
    {"PRelu", 16, "x x"},
    {"RMSNormalization", 23, "h half"},
    {"Range", 11, "s t u"},
    {"ReduceL1", 18, "x axes"},
    {"ReduceL2", 18, "x axes"},
    {"ReduceL2", 18, "x"}, /* what the function's call leaves out is absent within it */
    {"ReduceLogSum", 18, "x axes"},
    {"ReduceLogSumExp", 18, "x axes"},
    {"ReduceSumSquare", 18, "x axes"},
    {"Relu", 14, "x"},
    {"Selu", 22, "x"},
    {"Shrink", 9, "x"},
    {"Softmax", 13, "x"},
    {"SoftmaxCrossEntropyLoss", 13, "x labels"},
    {"Softplus", 22, "x"},
    {"Softsign", 22, "x"},
    {"SwiGLU", 28, "x x"},
    {"Swish", 24, "x"},
    {"ThresholdedRelu", 22, "x"},
};

static void build(builder *b, const char *op, int32_t version, const char *inputs) {
    static const char *const outputs[] = {"y", "y z v"};
    const int64_t sizes[] = {2, 3, 4, 5}, axes[] = {1};
    build_start(b, version);
    build_input(b, "x", PARTITA_FLOAT32, "N,3,4,5");
    build_input(b, "h", PARTITA_FLOAT16, "N,3,4,5");
    build_input(b, "half", PARTITA_FLOAT16, "5");
    build_input(b, "f", PARTITA_FLOAT32, "");
    build_input(b, "labels", PARTITA_INT64, "N,4,5");
    build_input(b, "weights", PARTITA_FLOAT32, "3");
    build_input(b, "theta", PARTITA_FLOAT32, "2,2,3");
    build_ints(b, "size", sizes, 4);
    build_ints(b, "axes", axes, 1);
    build_int(b, "s", 2);
    build_int(b, "t", 11);
    build_int(b, "u", 3);
    build_node(b, op, inputs, outputs[strcmp(op, "DynamicQuantizeLinear") == 0]);
    build_output(b, "y");
    OK(build_infer(b));
}

static void print_type(const pt_model *model, pt_id value, pt_text *text) {
    pt_type_print(model, &pt_value_at(model, value)->type, text);
    pt_text_append(text, PT_STR(""));
}

static void functions_give_what_operators_give(void **state) {
    (void)state;
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        builder b;
        pt_model *copy;
        pt_text before = {0}, after = {0};
        const void *bytes;
        uint64_t size;
        build(&b, rows[i].op, rows[i].version, rows[i].inputs);
        pt_id node = b.model->graphs.data[0].order.data[0], y = build_value(&b, "y");
        OK(pt_model_copy(b.model, &copy));
        OK(pt_node_body(copy, node, &bytes, &size));
        if (!bytes) fail_msg("%s has no function", rows[i].op);
        OK(pt_onnx_expand(copy, node, bytes, size));
        OK(pt_model_sort(copy));
        OK(pt_model_check(copy));
        OK(pt_model_infer(copy));
        OK(pt_model_validate(copy));
        print_type(b.model, y, &before);
        print_type(copy, y, &after);
        if (strcmp(before.data, after.data) != 0)
            fail_msg("%s: %s, by its function %s", rows[i].op, before.data, after.data);
        /* The model itself is what it was. */
        OK(pt_model_validate(b.model));
        assert_int_equal(b.model->graphs.data[0].order.size, 1);
        pt_text_deinit(&before);
        pt_text_deinit(&after);
        pt_model_destroy(copy);
        build_end(&b);
    }
}

/* Bytes of a function cut off, and changed, anywhere: an error, or another function. */
static void break_function(const char *op, int32_t version, const char *inputs) {
    builder b;
    const void *bytes;
    uint64_t size;
    build(&b, op, version, inputs);
    pt_id node = b.model->graphs.data[0].order.data[0];
    OK(pt_node_body(b.model, node, &bytes, &size));
    for (uint64_t at = 0; at < 2 * size; at++) {
        pt_model *copy;
        uint64_t length = at < size ? at : size;
        unsigned char *broken = malloc(length + 1);
        assert_non_null(broken);
        memcpy(broken, bytes, length);
        if (at >= size) broken[at - size] ^= 0x5a;
        OK(pt_model_copy(b.model, &copy));
        if (pt_onnx_expand(copy, node, broken, length) == PARTITA_OK && pt_model_sort(copy) == PARTITA_OK &&
            pt_model_check(copy) == PARTITA_OK && pt_model_infer(copy) == PARTITA_OK)
            OK(pt_model_validate(copy));
        else
            assert_true(pt_last_message()[0]);
        pt_model_destroy(copy);
        free(broken);
    }
    build_end(&b);
}

static void broken_functions_are_errors(void **state) {
    (void)state;
    break_function("HardSigmoid", 22, "x");
    break_function("Clip", 13, "x f"); /* has conditions */
    break_function("CastLike", 19, "x h");
}

/* A body that depends on what inference cannot tell says so. */
static void unknown_types_are_said(void **state) {
    builder b;
    const void *bytes;
    uint64_t size;
    (void)state;
    build_start(&b, 15);
    build_input(&b, "x", PARTITA_FLOAT32, "N");
    build_input(&b, "like", PARTITA_UNDEFINED, NULL);
    build_node(&b, "CastLike", "x like", "y");
    build_output(&b, "y");
    OK(build_infer(&b));
    pt_id node = b.model->graphs.data[0].order.data[0];
    OK(pt_node_body(b.model, node, &bytes, &size));
    assert_int_equal(pt_onnx_expand(b.model, node, bytes, size), PARTITA_UNSUPPORTED);
    assert_non_null(strstr(pt_last_message(), "the type of target_type"));
    build_end(&b);
}

static void every_allocation_may_fail(void **state) {
    partita_status status = PARTITA_OUT_OF_MEMORY;
    builder b;
    (void)state;
    build(&b, "MeanVarianceNormalization", 13, "x");
    pt_id node = b.model->graphs.data[0].order.data[0];
    for (int64_t k = 0; status != PARTITA_OK; k++) {
        pt_model *copy = NULL;
        const void *bytes;
        uint64_t size;
        OK(pt_node_body(b.model, node, &bytes, &size));
        pt_alloc_fail_after(k, true);
        status = pt_model_copy(b.model, &copy);
        if (status == PARTITA_OK) status = pt_onnx_expand(copy, node, bytes, size);
        pt_alloc_fail_after(-1, false);
        if (status != PARTITA_OK) assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        pt_model_destroy(copy);
    }
    build_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_give_what_operators_give),
        cmocka_unit_test(broken_functions_are_errors),
        cmocka_unit_test(unknown_types_are_said),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
