/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of a whole life of a model - load, plan, compile, run - fails once, and then all behind it. */
#include "base/base.h"
#include "run_case.h"

/* One life; the first failure ends it. */
static partita_status live(const run_case *c, const char *devices, uint64_t deadline_ms, bool *out_equal) {
    static const char *const all[] = {"*"};
    const partita_model_options defaults = {.size = sizeof(defaults), .overridable = all, .overridable_count = 1};
    const partita_run_options late = {.size = sizeof(late), .deadline_ms = deadline_ms};
    partita_context *context = NULL;
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_session *session = NULL;
    partita_value *outputs[CASE_MOST] = {NULL};
    partita_status status;
    partita_plan_options options = {.size = sizeof(options), .devices = devices, .pin_random = 1, .random_seed = 1};
    partita_context_options quiet = {.size = sizeof(quiet), .threads = 1};
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

static void check(const char *name, const char *devices, bool once, uint64_t deadline_ms) {
    run_case c;
    bool equal;
    run_case_load(name, &c);
    if (strcmp(name, "defaults") == 0) c.input_count = 3; /* two of them left out */
    pt_alloc_fail_after(-1, false);
    assert_int_equal(live(&c, devices, deadline_ms, &equal), PARTITA_OK);
    uint64_t count = pt_alloc_count();
    assert_true(count > 0);
    /* each of the first hundred, then ever larger steps: about four hundred lives */
    for (uint64_t k = 0; k < count; k += 1 + k / 100) {
        pt_alloc_fail_after((int64_t)k, once);
        partita_status status = live(&c, devices, deadline_ms, &equal);
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
    check("branches", "cpu", true, 0);
    check("branches", "cpu", false, 0);
}

static void test_with_devices(void **state) {
    (void)state;
    check("nested", "cpu,sim:0", true, 0);
}

/* On a thread of its own, with inputs that are left out. */
static void test_apart(void **state) {
    (void)state;
    check("defaults", "cpu", true, 60000);
    check("defaults", "cpu", false, 60000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_fails),
                                       cmocka_unit_test(test_with_devices), cmocka_unit_test(test_apart)};
    pt_log_set(NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
