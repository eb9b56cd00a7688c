/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operator sets, one for each case: SET_<CASE> says at build time what is wrong with it. Without a case it's a
 * well-behaved one. No device has its operators.
 */
#include <partita/operator_set.h>

/* toy.Twice, by inference and body. */
static partita_status infer_twice(const ptp_inference *node) {
    ptp_known input = ptp_input_of(node, 0);
    ptp_dim dims[2];
#if defined(SET_SILENT)
    return PARTITA_BAD_MODEL;
#elif defined(SET_NO_STATUS)
    return 12345;
#endif
    if (input.rank == 0) return node->fail(node->self, "a scalar cannot be put beside itself");
    if (input.rank != 1) return PARTITA_OK;
#if defined(SET_BAD_HANDLES)
    dims[0] = INT64_MIN + 1;
    dims[1] = -1000000;
    (void)ptp_apply(node, 77, dims[0], dims[1]);
    node->output_elements(node->self, 0, 2, dims);
    node->output(node->self, 99, 999, 12, NULL);
    node->output(node->self, 0, 999, 2, dims);
    node->output_like(node->self, 0, 99, 0);
    node->output_broadcast(node->self, 0, PARTITA_FLOAT32, 1, UINT32_MAX);
    node->output(node->self, 0, PARTITA_FLOAT32, 1, dims);
    return PARTITA_OK;
#elif defined(SET_RANK)
    node->output(node->self, 0, PARTITA_FLOAT32, 1000, NULL);
    return PARTITA_OK;
#endif
    dims[0] = ptp_apply(node, PTP_DIM_MUL, ptp_dim_of(&input, 0), 2);
    node->output(node->self, 0, input.dtype, 1, dims);
    return PARTITA_OK;
}

/* toy.Scaled has the choice: 0 multiplies by the attribute, 1 adds the second input before. */
static partita_status choose_scaled(const ptp_inference *node, uint32_t *out_body) {
#if defined(SET_CHOICE)
    *out_body = 17;
#elif defined(SET_NO_CHOICE)
    *out_body = PARTITA_NONE;
#else
    *out_body = ptp_input_of(node, 1).present ? 1 : 0;
#endif
    (void)node;
    return PARTITA_OK;
}

#define BODY(count, text)  {.size = sizeof(ptp_operator_body), .bytes = text, .byte_count = count},
#define BODIES(label, ...) static const ptp_operator_body bodies_##label[] = {__VA_ARGS__};
#include "operator_bodies.inc"

static const ptp_operator_body body_garbage = {
    .size = sizeof(ptp_operator_body), .bytes = "\377\376 no", .byte_count = 5};

#define ROW_SIZE sizeof(ptp_operator_row)

static const ptp_operator_attribute attributes[] = {
    {.size = sizeof(ptp_operator_attribute),
#ifdef SET_ATTRIBUTE_TYPE
     .type = PTP_ATTRIBUTE_GRAPH,
#else
     .type = PTP_ATTRIBUTE_FLOAT,
#endif
     .name = "factor",
     .flags = PTP_OPERATOR_ATTRIBUTE_DEFAULT,
     .default_float = 3.0f},
#ifdef SET_ATTRIBUTE_TWICE
    {.size = sizeof(ptp_operator_attribute), .type = PTP_ATTRIBUTE_INT, .name = "factor"},
#endif
#ifdef SET_ATTRIBUTE_DEFAULT
    {.size = sizeof(ptp_operator_attribute),
     .type = PTP_ATTRIBUTE_INTS,
     .name = "list",
     .flags = PTP_OPERATOR_ATTRIBUTE_DEFAULT},
#endif
};

#define TOY_UNARY(label)                                                                                               \
    .size = ROW_SIZE, .domain = "toy", .name = label, .since = 1, .min_inputs = 1, .max_inputs = 1, .min_outputs = 1,  \
    .max_outputs = 1
static const ptp_operator_row rows[] = {
    {
#ifdef SET_SHORT_ROWS
        .size = 16,
#elif defined(SET_NO_CHOOSE_SLOT)
        .size = offsetof(ptp_operator_row, choose), /* of a header that had no choice yet */
#else
        .size = ROW_SIZE,
#endif
        .flags = PTP_OPERATOR_PURE,
#if defined(SET_CLOSED_DOMAIN)
        .domain = "ai.onnx.ml",
#elif defined(SET_OTHER_DOMAIN)
        .domain = "elsewhere",
#elif defined(SET_STANDARD_NAME)
        .domain = "",
#elif defined(SET_NO_DOMAIN)
        .domain = NULL,
#else
        .domain = "toy",
#endif
#if defined(SET_STANDARD_NAME)
        .name = "Upsample", /* of old opsets only */
#elif defined(SET_NO_NAME)
        .name = "",
#else
        .name = "Twice",
#endif
#ifdef SET_VERSION
        .since = 0,
#else
        .since = 1,
#endif
        .min_inputs = 1,
#ifdef SET_COUNTS
        .max_inputs = 0,
#else
        .max_inputs = 1,
#endif
        .min_outputs = 1,
        .max_outputs = 1,
        .bodies = bodies_twice,
        .body_count = 1,
        .infer = infer_twice,
    },
#ifndef SET_NO_CHOOSE_SLOT
#ifdef SET_DUPLICATE
    {.size = ROW_SIZE, .domain = "toy", .name = "Twice", .since = 1, .max_inputs = 1, .max_outputs = 1},
#endif
    {.size = ROW_SIZE,
     .domain = "toy",
     .name = "Scaled",
     .since = 1,
     .min_inputs = 1,
     .max_inputs = 2,
     .min_outputs = 1,
     .max_outputs = 1,
     .attributes = attributes,
     .attribute_count = sizeof(attributes) / sizeof(attributes[0]),
     .bodies = bodies_scaled,
     .body_count = 2,
     .choose = choose_scaled},
    /* Uses toy.Scaled in its body. */
    {TOY_UNARY("Nested"), .bodies = bodies_nested, .body_count = 1},
    /* Uses itself. */
    {TOY_UNARY("Endless"), .bodies = bodies_endless, .body_count = 1},
    {TOY_UNARY("Garbage"), .bodies = &body_garbage, .body_count = 1, .infer = infer_twice},
    {TOY_UNARY("Wrong"), .bodies = bodies_wrong, .body_count = 1, .infer = infer_twice},
#endif
};

static const ptp_operator_set operators = {.size = sizeof(ptp_operator_set),
#ifdef SET_EMPTY
                                           .count = 0,
#elif defined(SET_ENDLESS_COUNT)
                                           .count = UINT32_MAX,
#elif defined(SET_NO_CHOOSE_SLOT)
                                           .count = 1,
#else
                                           .count = sizeof(rows) / sizeof(rows[0]),
#endif
#ifdef SET_NO_ROWS
                                           .rows = NULL
#else
                                           .rows = rows
#endif
};

PTP_DEFINE_OPERATOR_SET(SET_NAME, "1.0", &operators)
