/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of a whole life of a model - load, plan, compile, run - fails once, and then all behind it. */
#include "base/base.h"
#include "run_case.h"

typedef struct life {
    const char *devices;
    uint64_t deadline_ms, max_memory;
    const partita_option *options;
    uint32_t option_count;
} life;

static void drop(void *user, int32_t level, const char *message) {
    (void)user;
    (void)level;
    (void)message;
}

/* One life; the first failure ends it. */
static partita_status live(const run_case *c, const life *l, bool *out_equal) {
    static const char *const all[] = {"*"};
    const partita_model_options defaults = {.size = sizeof(defaults), .overridable = all, .overridable_count = 1};
    const partita_run_options late = {.size = sizeof(late), .deadline_ms = l->deadline_ms};
    partita_context *context = NULL;
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_session *session = NULL;
    partita_value *outputs[CASE_MOST] = {NULL};
    partita_status status;
    partita_plan_options options = {
        .size = sizeof(options), .devices = l->devices, .pin_random = 1, .random_seed = 1, .max_memory = l->max_memory};
    partita_context_options quiet = {.size = sizeof(quiet),
                                     .threads = 1,
                                     .options = l->options,
                                     .option_count = l->option_count,
                                     .log = l->option_count ? drop : NULL};
    *out_equal = false;
    PT_CHECK(partita_context_create(&quiet, &context));
    PT_CHECK(partita_model_load_file(context, c->path, &defaults, &model));
    PT_CHECK(partita_plan_create(model, &options, &plan));
    PT_CHECK(partita_session_create(plan, NULL, &session));
    PT_CHECK(partita_session_run(session, &late, c->inputs, c->input_count, outputs, c->output_count));
    *out_equal = run_case_equal(c, outputs);
out:
    for (uint32_t i = 0; i < CASE_MOST; i++) partita_value_release(outputs[i]);
    partita_session_destroy(session);
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    partita_context_destroy(context);
    return status;
}

static void check(const char *name, bool once, life l) {
    run_case c;
    bool equal;
    run_case_load(name, &c);
    if (strcmp(name, "defaults") == 0) c.input_count = 3; /* two of them left out */
    pt_alloc_fail_after(-1, false);
    assert_int_equal(live(&c, &l, &equal), PARTITA_OK);
    uint64_t count = pt_alloc_count();
    assert_true(count > 0);
    /* each of the first hundred, then ever larger steps: about four hundred lives */
    for (uint64_t k = 0; k < count; k += 1 + k / 100) {
        pt_alloc_fail_after((int64_t)k, once);
        partita_status status = live(&c, &l, &equal);
        pt_alloc_fail_after(-1, false);
        if (status == PARTITA_OK)
            assert_true(equal); /* what failed could be done without */
        else if (!once)
            assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
    }
    run_case_free(&c);
}

static void test_each_allocation_fails(void **state) {
    (void)state;
    check("branches", true, (life){.devices = "cpu"});
    check("branches", false, (life){.devices = "cpu"});
}

static void test_with_devices(void **state) {
    (void)state;
    check("nested", true, (life){.devices = "cpu,sim:0"});
}

/* On a thread of its own, with inputs that are left out. */
static void test_apart(void **state) {
    (void)state;
    check("defaults", true, (life){.devices = "cpu", .deadline_ms = 60000});
    check("defaults", false, (life){.devices = "cpu", .deadline_ms = 60000});
}

/* What a device fails with is expanded for another one; memory is counted. */
static void test_expanded(void **state) {
    (void)state;
    static const partita_option options[] = {{"sim:0.fail_compile", "MeanVarianceNormalization"},
                                             {"sim:1.not_ops", "MeanVarianceNormalization"}};
    check("function", true, (life){"sim:0,sim:1", 0, UINT64_C(1) << 40, options, 2});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_fails),
                                       cmocka_unit_test(test_with_devices), cmocka_unit_test(test_apart),
                                       cmocka_unit_test(test_expanded)};
    pt_log_set(NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
