/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise operators straight from the rows that core and plugins share: the text of a row is the kernel's
 * expression. */
#include "gpu/gpu.h"

typedef enum row_kind { UNARY, BINARY, COMPARE, LOGIC, VARIADIC } row_kind;

typedef struct expression_row {
    row_kind kind;
    bool mean;
    const char *p0, *p1;
    const char *text;
} expression_row;

#define FINISH_NONE false
#define FINISH_MEAN true
/* In the order of gpu_ops_elementwise. */
static const expression_row expressions[] = {
#define ROW_UNARY(op, classes, p0, p1, expression)    {UNARY, false, p0, p1, #expression},
#define ROW_BINARY(op, classes, expression)           {BINARY, false, "", "", #expression},
#define ROW_COMPARE(op, classes, expression)          {COMPARE, false, "", "", "SELECT(" #expression ", 1, 0)"},
#define ROW_LOGIC(op, expression)                     {LOGIC, false, "", "", #expression},
#define ROW_VARIADIC(op, classes, finish, expression) {VARIADIC, FINISH_##finish, "", "", #expression},
#include "rows/elementwise.inc"
};

static const expression_row *expression_of(const gpu_op *op) { return &expressions[op - gpu_ops_elementwise]; }

static partita_status plan_unary(gpu_plan *plan) {
    const expression_row *row = expression_of(plan->op);
    const gpu_operand *x = &plan->node->inputs[0];
    gpu_pointwise pointwise;
    gpu_pointwise_init(&pointwise, plan, x->dtype);
    gpu_pointwise_add(&pointwise, "x", x, gpu_ref_in(plan, 0), NULL);
    pointwise.expression = row->text;
    const char *names[2] = {row->p0, row->p1};
    for (uint32_t i = 0; i < 2 && names[i][0]; i++) {
        pointwise.scalars[pointwise.scalar_count++] = gpu_float(plan->node, names[i], 0);
    }
    return gpu_emit_pointwise(plan, &pointwise);
}

static partita_status plan_binary(gpu_plan *plan) {
    gpu_pointwise pointwise;
    gpu_pointwise_init(&pointwise, plan, plan->node->inputs[0].dtype);
    gpu_pointwise_add(&pointwise, "x", &plan->node->inputs[0], gpu_ref_in(plan, 0), NULL);
    gpu_pointwise_add(&pointwise, "y", &plan->node->inputs[1], gpu_ref_in(plan, 1), NULL);
    pointwise.expression = expression_of(plan->op)->text;
    return gpu_emit_pointwise(plan, &pointwise);
}

/* Input after input into the result: the first launch broadcasts two, the others read what is there. */
static partita_status plan_variadic(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    const expression_row *row = expression_of(plan->op);
    const gpu_operand *out = &node->outputs[0];
    partita_status status = PARTITA_OK;
    gpu_pointwise pointwise;
    for (uint32_t i = 1; i < node->input_count && status == PARTITA_OK; i++) {
        gpu_pointwise_init(&pointwise, plan, out->dtype);
        gpu_pointwise_add(&pointwise, "x", i == 1 ? &node->inputs[0] : out,
                          i == 1 ? gpu_ref_in(plan, 0) : gpu_ref_out(plan, 0), NULL);
        gpu_pointwise_add(&pointwise, "y", &node->inputs[i], gpu_ref_in(plan, i), NULL);
        pointwise.expression = row->text;
        status = gpu_emit_pointwise(plan, &pointwise);
    }
    if (status == PARTITA_OK && node->input_count == 1) {
        status = gpu_emit_copy(plan, gpu_elements(out), out->dtype, gpu_ref_in(plan, 0), gpu_ref_out(plan, 0));
    } else if (status == PARTITA_OK && row->mean) {
        gpu_pointwise_init(&pointwise, plan, out->dtype);
        gpu_pointwise_add(&pointwise, "x", out, gpu_ref_out(plan, 0), NULL);
        pointwise.expression = "x / P0";
        pointwise.scalars[pointwise.scalar_count++] = (float)node->input_count;
        status = gpu_emit_pointwise(plan, &pointwise);
    }
    return status;
}

static bool check_variadic(gpu_check *check) {
    for (uint32_t i = 0; i < check->node->input_count; i++) {
        if (!gpu_input(check->node, i)) return gpu_refuse(check, PARTITA_REASON_SHAPE, "input %u is absent", i);
    }
    return gpu_need_same_dtype(check);
}

/* Before version 7 a binary operator broadcast by attributes of its own. */
const gpu_op gpu_ops_elementwise[] = {
#define ROW_UNARY(op, classes, p0, p1, expression)                                                                     \
    {#op, 1, 28, classes, p0 "," p1 ",consumed_inputs", 1, 1, 0, 0, NULL, plan_unary, NULL, 0},
#define ROW_BINARY(op, classes, expression)                                                                            \
    {#op, 7, 28, classes, "", 2, 1, 0, 0, gpu_need_same_dtype, plan_binary, NULL, 0},
#define ROW_COMPARE(op, classes, expression)                                                                           \
    {#op, 7, 28, classes, "", 2, 1, 0, 0, gpu_need_same_dtype, plan_binary, NULL, 0},
#define ROW_LOGIC(op, expression) {#op, 7, 28, "B", "", 2, 1, 0, 0, gpu_need_same_dtype, plan_binary, NULL, 0},
#define ROW_VARIADIC(op, classes, finish, expression)                                                                  \
    {#op, 1, 28, classes, "consumed_inputs", UINT32_MAX, 1, 0, 0, check_variadic, plan_variadic, NULL, 0},
#include "rows/elementwise.inc"
    {0},
};
