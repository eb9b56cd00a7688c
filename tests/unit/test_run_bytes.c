/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes that a plan announces per edge are those that a run moves, and those that the devices count. */
#include "run/session.h"
#include "run_case.h"
#include <stdio.h>

static uint64_t device_bytes(const pt_plan *plan) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < plan->device_count; i++) {
        ptp_usage usage = {.size = sizeof(usage)};
        pt_device *device = plan->devices[i];
        if (!device->has_memory || !device->device.usage) continue;
        assert_int_equal(device->device.usage(device->handle, &usage), PARTITA_OK);
        bytes += usage.copied_bytes;
    }
    return bytes;
}

static void check(partita_context *context, const char *name, const char *dim, int64_t n, bool branches,
                  uint32_t seed) {
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_session *session = NULL;
    partita_dim row = {dim, n};
    partita_plan_options options = {.size = sizeof(options),
                                    .devices = "cpu,sim:0,sim:1",
                                    .pin_random = 1,
                                    .random_seed = seed,
                                    .dims = &row,
                                    .dim_count = dim ? 1 : 0};
    run_case c;
    run_case_load(name, &c);
    RUN_CHECK(partita_model_load_file(context, c.path, NULL, &model));
    RUN_CHECK(partita_plan_create(model, &options, &plan));
    RUN_CHECK(partita_session_create(plan, NULL, &session));
    const pt_build *build = session->build;
    uint64_t before = device_bytes(build->plan), moved = 0, announced = 0;
    const uint32_t runs = 3;
    for (uint32_t i = 0; i < runs; i++) run_once_equal(session, &c);
    for (uint32_t i = 0; i < build->plan->edge_count; i++) {
        if (branches && build->edges[i].bytes == 0) continue; /* of the branch that was not taken */
        if (build->edges[i].bytes != runs * build->plan->edges[i].bytes)
            print_error("%s, seed %u, edge %u from %d to %d: %llu bytes, announced %llu\n", name, seed, i,
                        (int)build->plan->edges[i].from, (int)build->plan->edges[i].to,
                        (unsigned long long)build->edges[i].bytes / runs,
                        (unsigned long long)build->plan->edges[i].bytes);
        assert_int_equal(build->edges[i].bytes, runs * build->plan->edges[i].bytes);
        moved += build->edges[i].bytes;
        announced += runs * build->plan->edges[i].bytes;
    }
    assert_int_equal(run_counters(session).bytes_copied, announced);
    assert_int_equal(device_bytes(build->plan) - before, moved);
    partita_session_destroy(session);
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    run_case_free(&c);
}

static void check_all(partita_context *context) {
    for (uint32_t seed = 1; seed <= 12; seed++) {
        check(context, "branches", "N", 3, false, seed);
        check(context, "lanes", "N", 4, false, seed);
        check(context, "branch", NULL, 0, true, seed);
        check(context, "through", NULL, 0, false, seed);
    }
}

static void test_every_route(void **state) {
    (void)state;
    static const char *const options[][4] = {{"sim:0.import", "", "sim:1.import", ""},
                                             {"sim:0.export", "", "sim:1.export", ""},
                                             {"sim:0.export", "host-pointer", "sim:1.import", ""},
                                             {"sim:0.in_order", "0", "sim:1.export", "memfd"}};
    partita_context *context = run_context(NULL);
    check_all(context);
    partita_context_destroy(context);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        context = run_context(options[i][0], options[i][1], options[i][2], options[i][3], NULL);
        check_all(context);
        partita_context_destroy(context);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_route)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
