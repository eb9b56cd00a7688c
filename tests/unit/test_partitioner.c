/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole plans, judged by the second simulator: never above greedy or one device, clusters acyclic, bounds below the
 * optimum, the same plan each time, and what happens to wrong input and failing memory.
 */
#include "partitioner/partitioner.h"
#include "unit/partitioner_random.h"
#include "unit/partitioner_truth.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MOST_UNITS = 64 };

static unsigned random_kind(uint64_t *state) {
    static const unsigned links[] = {0, CHEAP_LINKS, DEAR_LINKS};
    unsigned what = random_below(state, 32) & (WITH_INFINITE | WITH_LAUNCH | WITH_RESOURCES | ODD_PRICES);
    return what | links[random_below(state, 3)];
}

/* By the truth: with its own clusters. */
static void judge(const truth *t, const uint32_t *device, int64_t *out_latency, int64_t *out_period) {
    uint32_t cluster[MOST_UNITS], clusters = truth_clusters(t, device, cluster);
    truth_simulate(t, device, cluster, clusters, out_latency, out_period);
}

static void check_plan(const truth *t, const pt_part_result *r) {
    uint32_t cluster[MOST_UNITS], clusters = truth_clusters(t, r->device, cluster);
    int64_t latency, period;
    assert_true(truth_feasible(t, r->device));
    assert_int_equal(r->clusters, clusters);
    assert_memory_equal(r->cluster, cluster, r->units * sizeof *cluster);
    assert_true(truth_acyclic(t, cluster, clusters));
    truth_simulate(t, r->device, cluster, clusters, &latency, &period);
    assert_true(r->value.latency == latency);
    assert_true(r->value.period == period);
    assert_true(r->value.additive == truth_additive(t, r->device));
    for (uint32_t c = 1; c < r->clusters; c++) {
        assert_true(r->cluster_start[r->cluster_order[c - 1]] <= r->cluster_start[r->cluster_order[c]]);
    }
    for (uint32_t u = 0; u < r->units; u++) assert_int_equal(r->cluster_device[r->cluster[u]], r->device[u]);
    for (uint32_t i = 0; i < r->transfers; i++) assert_true(r->transfer[i].end <= latency);
}

static void plans_are_never_above_greedy_or_one_device(void **unused) {
    PT_UNUSED(unused);
    uint64_t state = 11;
    for (uint64_t seed = 0; seed < 400; seed++) {
        uint32_t k = 1 + random_below(&state, 5);
        uint32_t units = 1 + random_below(&state, MOST_UNITS);
        random_problem *r = random_create(seed, units, k, random_kind(&state));
        r->p.objective = seed % 2 ? PT_PART_THROUGHPUT : PT_PART_LATENCY;
        truth t = truth_create(&r->p);
        pt_part_result result;
        assert_int_equal(pt_part_plan(&r->p, &result), PARTITA_OK);
        check_plan(&t, &result);
        int64_t plan = seed % 2 ? result.value.period : result.value.latency;
        assert_true(result.lower_bound <= plan);
        for (uint32_t first = 0; first <= k; first++) {
            uint32_t device[MOST_UNITS];
            int64_t latency, period;
            truth_greedy(&t, first < k ? first : PT_NONE, device);
            judge(&t, device, &latency, &period);
            assert_true(plan <= (seed % 2 ? period : latency));
        }
        pt_part_result_deinit(&result);
        truth_destroy(&t);
        random_destroy(r);
    }
}

static void bounds_are_below_the_optimum(void **unused) {
    PT_UNUSED(unused);
    uint64_t state = 21;
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint32_t k = 2 + random_below(&state, 2);
        random_problem *r = random_create(5000 + seed, k == 2 ? 7 : 5, k, random_kind(&state));
        truth t = truth_create(&r->p);
        uint32_t device[MOST_UNITS] = {0};
        int64_t best_latency = INT64_MAX, best_period = INT64_MAX, latency, period;
        do {
            if (!truth_feasible(&t, device)) continue;
            judge(&t, device, &latency, &period);
            best_latency = PT_MIN(best_latency, latency);
            best_period = PT_MIN(best_period, period);
        } while (truth_next(&t, device));
        pt_part_result result;
        assert_int_equal(pt_part_plan(&r->p, &result), PARTITA_OK);
        assert_true(result.lower_bound <= best_latency && best_latency <= result.value.latency);
        pt_part_result_deinit(&result);
        r->p.objective = PT_PART_THROUGHPUT;
        assert_int_equal(pt_part_plan(&r->p, &result), PARTITA_OK);
        assert_true(result.lower_bound <= best_period && best_period <= result.value.period);
        pt_part_result_deinit(&result);
        truth_destroy(&t);
        random_destroy(r);
    }
}

static void canonical_clusters_are_acyclic(void **unused) {
    PT_UNUSED(unused);
    uint64_t state = 31;
    uint32_t cyclic = 0, count = 10000;
    for (uint32_t seed = 0; seed < count; seed++) {
        uint32_t k = 2 + random_below(&state, 2);
        uint32_t units = 8 + random_below(&state, 17);
        random_problem *r = random_create(20000 + seed, units, k, WITH_LAUNCH);
        truth t = truth_create(&r->p);
        uint32_t device[MOST_UNITS], component[MOST_UNITS];
        for (uint32_t u = 0; u < units; u++) device[u] = random_below(&state, k);
        pt_part_result result;
        assert_int_equal(pt_part_evaluate(&r->p, device, NULL, &result), PARTITA_OK);
        assert_true(truth_acyclic(&t, result.cluster, result.clusters));
        /* Ids are topological. */
        for (uint32_t i = 0; i < r->p.tensors; i++) {
            uint32_t u = r->p.producer[i];
            for (uint32_t c = r->first[i]; u != PT_NONE && c < r->first[i + 1]; c++) {
                assert_true(result.cluster[u] <= result.cluster[r->consumers[c]]);
            }
        }
        uint32_t components = truth_components(&t, device, component);
        cyclic += !truth_acyclic(&t, component, components);
        pt_part_result_deinit(&result);
        truth_destroy(&t);
        random_destroy(r);
    }
    print_message("components per device are cyclic in %.1f %%\n", 100.0 * cyclic / count);
    assert_true(cyclic >= count * 15 / 100);
}

static void given_clusters_are_checked(void **unused) {
    PT_UNUSED(unused);
    uint64_t state = 41;
    uint32_t refused = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint32_t k = 2, units = 20;
        random_problem *r = random_create(seed, units, k, WITH_LAUNCH);
        truth t = truth_create(&r->p);
        uint32_t device[MOST_UNITS], component[MOST_UNITS], single[MOST_UNITS];
        int64_t latency, period;
        for (uint32_t u = 0; u < units; u++) {
            device[u] = random_below(&state, k);
            single[u] = units - 1 - u;
        }
        pt_part_result result;
        assert_int_equal(pt_part_evaluate(&r->p, device, single, &result), PARTITA_OK);
        assert_int_equal(result.clusters, units);
        assert_int_equal(result.candidate, PT_PART_CANDIDATE_GIVEN);
        truth_simulate(&t, device, result.cluster, units, &latency, &period);
        assert_true(latency == result.value.latency);
        pt_part_result_deinit(&result);
        uint32_t components = truth_components(&t, device, component);
        partita_status status = pt_part_evaluate(&r->p, device, component, &result);
        assert_true((status == PARTITA_OK) == truth_acyclic(&t, component, components));
        refused += status != PARTITA_OK;
        if (status != PARTITA_OK) assert_string_equal(pt_last_message(), "the clusters form a cycle");
        pt_part_result_deinit(&result);
        memset(single, 0, sizeof single);
        device[0] = 0;
        device[1] = 1;
        assert_int_equal(pt_part_evaluate(&r->p, device, single, &result), PARTITA_INVALID_ARGUMENT);
        single[3] = units;
        assert_int_equal(pt_part_evaluate(&r->p, device, single, &result), PARTITA_INVALID_ARGUMENT);
        truth_destroy(&t);
        random_destroy(r);
    }
    assert_true(refused > 0 && refused < 300);
}

static void pins_and_groups_are_kept(void **unused) {
    PT_UNUSED(unused);
    uint64_t state = 51;
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint32_t k = 2 + random_below(&state, 3);
        random_problem *r = random_create(seed, 40, k, random_kind(&state) | WITH_PINS);
        truth t = truth_create(&r->p);
        pt_part_result result, again;
        assert_int_equal(pt_part_plan(&r->p, &result), PARTITA_OK);
        check_plan(&t, &result);
        /* Pinned as a whole, the plan is the same; so is its value when it's given. */
        memcpy(r->pinned, result.device, 40 * sizeof *r->pinned);
        assert_int_equal(pt_part_plan(&r->p, &again), PARTITA_OK);
        assert_memory_equal(again.device, result.device, 40 * sizeof *again.device);
        assert_memory_equal(&again.value, &result.value, sizeof again.value);
        pt_part_result_deinit(&again);
        assert_int_equal(pt_part_evaluate(&r->p, result.device, NULL, &again), PARTITA_OK);
        assert_memory_equal(&again.value, &result.value, sizeof again.value);
        pt_part_result_deinit(&again);
        result.device[5] = (result.device[5] + 1) % k;
        assert_int_equal(pt_part_evaluate(&r->p, result.device, NULL, &again), PARTITA_UNPLACED);
        pt_part_result_deinit(&result);
        truth_destroy(&t);
        random_destroy(r);
    }
}

static void same_input_gives_the_same_plan(void **unused) {
    PT_UNUSED(unused);
    uint64_t state = 61;
    for (uint64_t seed = 0; seed < 60; seed++) {
        random_problem *r = random_create(seed, 300, 4, random_kind(&state) | WITH_PINS);
        r->p.objective = (pt_part_objective)(seed % 3);
        pt_part_result a, b;
        assert_int_equal(pt_part_plan(&r->p, &a), PARTITA_OK);
        free(malloc(1000)); /* other addresses */
        assert_int_equal(pt_part_plan(&r->p, &b), PARTITA_OK);
        assert_memory_equal(a.device, b.device, a.units * sizeof *a.device);
        assert_memory_equal(a.cluster, b.cluster, a.units * sizeof *a.cluster);
        assert_int_equal(a.clusters, b.clusters);
        assert_memory_equal(a.cluster_order, b.cluster_order, a.clusters * sizeof *a.cluster_order);
        assert_memory_equal(a.cluster_end, b.cluster_end, a.clusters * sizeof *a.cluster_end);
        assert_int_equal(a.transfers, b.transfers);
        assert_memory_equal(&a.value, &b.value, sizeof a.value);
        assert_true(a.lower_bound == b.lower_bound && a.candidate == b.candidate);
        pt_part_result_deinit(&a);
        pt_part_result_deinit(&b);
        random_destroy(r);
    }
}

static void memory_counts_what_is_over(void **unused) {
    PT_UNUSED(unused);
    int64_t cost[] = {1, 100, 1, 100}, link[] = {0, 1, 1, 0}, zero[4] = {0};
    uint64_t kept[] = {10, 10}, capacity[] = {15, 100};
    uint32_t first[] = {0};
    pt_part_problem p = {.units = 2,
                         .devices = 2,
                         .cost = cost,
                         .unit_bytes = kept,
                         .capacity = capacity,
                         .first_consumer = first,
                         .link_latency = link,
                         .link_per_kib = zero};
    pt_part_result result;
    assert_int_equal(pt_part_plan(&p, &result), PARTITA_OK);
    assert_int_equal(result.value.overflow, 5);
    assert_int_equal(result.value.latency, 2);
    pt_part_result_deinit(&result);
    p.objective = PT_PART_MEMORY;
    assert_int_equal(pt_part_plan(&p, &result), PARTITA_OK);
    assert_int_equal(result.value.overflow, 0);
    pt_part_result_deinit(&result);
}

static void nothing_to_place_is_a_plan(void **unused) {
    PT_UNUSED(unused);
    int64_t zero[1] = {0};
    uint32_t first[] = {0};
    pt_part_problem p = {
        .devices = 1, .cost = zero, .first_consumer = first, .link_latency = zero, .link_per_kib = zero};
    pt_part_result result;
    assert_int_equal(pt_part_plan(&p, &result), PARTITA_OK);
    assert_int_equal(result.clusters, 0);
    assert_int_equal(result.value.latency, 0);
    assert_int_equal(result.lower_bound, 0);
    pt_part_result_deinit(&result);
    pt_part_result_deinit(&result);
    pt_part_result_deinit(NULL);
}

/* Every way to spoil a good problem gets the status, and a message. */
static void wrong_input_is_refused(void **unused) {
    PT_UNUSED(unused);
    for (uint32_t way = 0; way < 18; way++) {
        random_problem *r = random_create(3, 12, 3, WITH_LAUNCH);
        uint32_t priority[] = {0, 1, 1};
        partita_status expected = PARTITA_INVALID_ARGUMENT;
        switch (way) {
        case 0: r->p.devices = 0; break;
        case 1: r->p.devices = PT_PART_MAX_DEVICES + 1; break;
        case 2: r->p.host = 3; break;
        case 3: r->cost[7] = -1; break;
        case 4: r->cost[7] = PT_PART_INFINITE - 1; break;
        case 5: r->pinned[2] = 3; break;
        case 6: r->group[2] = 12; break;
        case 7: r->consumers[0] = 12; break;
        case 8: r->producer[0] = 11; break;
        case 9: r->producer[1] = 12; break;
        case 10: r->first[1] = r->first[2] + 1; break;
        case 11: r->latency[1] = -1; break;
        case 12: r->per_kib[1] = INT64_MAX / 2; break;
        case 13: r->bytes[3] = UINT64_MAX; break;
        case 14: r->resource[1] = 3; break;
        case 15: r->channel[1] = 9; break;
        case 16: r->p.priority = priority; break;
        case 17:
            for (uint32_t d = 0; d < 3; d++) r->cost[5 * 3 + d] = PT_PART_INFINITE;
            expected = PARTITA_UNPLACED;
            break;
        }
        /* A dear link is no error while there's a way round it. */
        if (way == 12) r->per_kib[2] = INT64_MAX / 2;
        pt_part_result result;
        pt_clear_message();
        assert_int_equal(pt_part_plan(&r->p, &result), expected);
        assert_true(pt_last_message()[0] != '\0');
        assert_null(result.device);
        random_destroy(r);
    }
}

static void failed_allocations_are_reported(void **unused) {
    PT_UNUSED(unused);
    for (uint32_t k = 2; k <= 3; k++) {
        random_problem *r = random_create(9, 200, k, WITH_INFINITE | WITH_PINS | WITH_LAUNCH | ODD_PRICES);
        r->p.objective = PT_PART_THROUGHPUT;
        pt_part_result result;
        partita_status status = PARTITA_OUT_OF_MEMORY;
        int64_t step = 0;
        for (; status != PARTITA_OK; step++) {
            pt_alloc_fail_after(step, step % 2);
            status = pt_part_plan(&r->p, &result);
            if (status != PARTITA_OK) assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
            assert_true(step < 100000);
        }
        pt_alloc_fail_after(-1, false);
        assert_true(step > 50);
        uint32_t *device = malloc(200 * sizeof *device);
        memcpy(device, result.device, 200 * sizeof *device);
        uint32_t *cluster = malloc(200 * sizeof *cluster);
        memcpy(cluster, result.cluster, 200 * sizeof *cluster);
        pt_part_result_deinit(&result);
        for (step = 0, status = PARTITA_OUT_OF_MEMORY; status != PARTITA_OK; step++) {
            pt_alloc_fail_after(step, true);
            status = pt_part_evaluate(&r->p, device, cluster, &result);
            if (status != PARTITA_OK) assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        }
        pt_alloc_fail_after(-1, false);
        pt_part_result_deinit(&result);
        free(device);
        free(cluster);
        random_destroy(r);
    }
}

static void large_problems_are_planned(void **unused) {
    PT_UNUSED(unused);
    random_problem *r = random_create(1, 20000, 8, WITH_INFINITE | WITH_LAUNCH);
    pt_part_result result;
    assert_int_equal(pt_part_plan(&r->p, &result), PARTITA_OK);
    assert_true(result.lower_bound <= result.value.latency);
    assert_true(result.value.latency <= result.trial[0].value.latency);
    pt_part_result_deinit(&result);
    random_destroy(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_never_above_greedy_or_one_device),
        cmocka_unit_test(bounds_are_below_the_optimum),
        cmocka_unit_test(canonical_clusters_are_acyclic),
        cmocka_unit_test(given_clusters_are_checked),
        cmocka_unit_test(pins_and_groups_are_kept),
        cmocka_unit_test(same_input_gives_the_same_plan),
        cmocka_unit_test(memory_counts_what_is_over),
        cmocka_unit_test(nothing_to_place_is_a_plan),
        cmocka_unit_test(wrong_input_is_refused),
        cmocka_unit_test(failed_allocations_are_reported),
        cmocka_unit_test(large_problems_are_planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
