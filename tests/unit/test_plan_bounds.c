/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes that only data tells: what a plan announces for them, bounded where their producers are. */
#include "plan_fake.h"

#include <stdlib.h>

#define NONE PT_PLAN_NO_BOUND

/* The edge that takes the value from the device to the host. */
static const pt_plan_edge *edge_of(const builder *b, const pt_plan *plan, const char *name) {
    for (uint32_t i = 0; i < plan->edge_count; i++)
        if (plan->edges[i].value == build_value(b, name) && plan->edges[i].to == PT_PLAN_HOST) return &plan->edges[i];
    fail_msg("no edge of %s", name);
    return NULL;
}

typedef struct announced {
    const char *value;
    uint64_t bytes, at_most;
} announced;

static void check(builder *b, const announced *rows, size_t count) {
    fake_machine m;
    pt_plan *plan;
    for (size_t i = 0; i < count; i++) build_output(b, rows[i].value);
    OK(build_infer(b));
    fake_start(&m, "a*");
    pt_plan_request request = fake_request(&m, b->model);
    OK(pt_plan_create(&request, &plan));
    for (size_t i = 0; i < count; i++) {
        const pt_plan_edge *edge = edge_of(b, plan, rows[i].value);
        if (edge->bytes != rows[i].bytes || edge->at_most != rows[i].at_most)
            fail_msg("%s: %llu, at most %llu", rows[i].value, (unsigned long long)edge->bytes,
                     (unsigned long long)edge->at_most);
    }
    pt_plan_destroy(plan);
    fake_end(&m);
    build_end(b);
}

static void producers_bound_their_outputs(void **state) {
    (void)state;
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "4,5");
    build_input(&b, "c", PARTITA_BOOL, "4");
    build_input(&b, "k", PARTITA_INT64, "1");
    build_input(&b, "boxes", PARTITA_FLOAT32, "2,10,4");
    build_input(&b, "scores", PARTITA_FLOAT32, "2,3,10");
    build_node(&b, "Relu", "x", "r");
    build_node(&b, "NonZero", "r", "at");
    pt_id rows = build_node(&b, "Compress", "r c", "rows");
    build_attr_int(&b, rows, "axis", -2);
    build_node(&b, "Compress", "r c", "flat");
    pt_id unique = build_node(&b, "Unique", "r", "u i");
    build_attr_int(&b, unique, "axis", 1);
    build_node(&b, "Unique", "r", "all");
    build_node(&b, "TopK", "r k", "top which");
    build_node(&b, "NonMaxSuppression", "boxes scores k", "kept");
    const announced rows_told[] = {{"r", 80, 80},     {"at", 0, 320},   {"rows", 0, 80}, {"flat", 0, 80},
                                   {"u", 0, 80},      {"i", 0, 40},     {"all", 0, 80},  {"top", 0, 80},
                                   {"which", 0, 160}, {"kept", 0, 1440}};
    check(&b, rows_told, PT_COUNT_OF(rows_told));
}

static void expressions_carry_bounds(void **state) {
    (void)state;
    builder b;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "4,5");
    build_input(&b, "s", PARTITA_INT64, "1");
    build_node(&b, "NonZero", "x", "at");                      /* [2, K] */
    build_node(&b, "Transpose", "at", "pairs");                /* [K, 2] */
    build_node(&b, "GatherND", "x pairs", "v");                /* [K] */
    pt_id joined = build_node(&b, "Concat", "v v v", "three"); /* [3 K] */
    build_attr_int(&b, joined, "axis", 0);
    build_node(&b, "ConstantOfShape", "s", "any"); /* as many as s says */
    build_node(&b, "Shape", "v", "n");             /* known, though what it counts is not */
    const announced told[] = {{"at", 0, 320},    {"pairs", 0, 320}, {"v", 0, 80},
                              {"three", 0, 240}, {"any", 0, NONE},  {"n", 8, 8}};
    check(&b, told, PT_COUNT_OF(told));
}

/* Nothing moves of what is only looked at, whatever its size. */
static void imports_move_nothing(void **state) {
    (void)state;
    builder b;
    fake_machine m;
    pt_plan *plan;
    build_start(&b, 17);
    build_input(&b, "x", PARTITA_FLOAT32, "4,5");
    build_node(&b, "NonZero", "x", "at");
    build_output(&b, "at");
    OK(build_infer(&b));
    fake_start(&m, "a");
    pt_plan_request request = fake_request(&m, b.model);
    OK(pt_plan_create(&request, &plan));
    for (uint32_t i = 0; i < plan->edge_count; i++) assert_int_equal(plan->edges[i].at_most, 0);
    pt_plan_destroy(plan);
    fake_end(&m);
    build_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(producers_bound_their_outputs),
                                       cmocka_unit_test(expressions_carry_bounds),
                                       cmocka_unit_test(imports_move_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
