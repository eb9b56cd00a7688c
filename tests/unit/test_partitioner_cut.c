/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The additive cost: cuts against enumeration, moves that never raise it, flow as a certificate on larger graphs.
 */
#include "partitioner/cut.h"
#include "unit/partitioner_random.h"
#include "unit/partitioner_truth.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MOST_UNITS = 2000 };

/* The least additive cost of all assignments. */
static int64_t enumerate(const truth *t) {
    uint32_t device[16] = {0};
    int64_t best = INT64_MAX;
    do {
        if (truth_feasible(t, device)) best = PT_MIN(best, truth_additive(t, device));
    } while (truth_next(t, device));
    return best;
}

/* What the cuts find, valued by the truth. */
static int64_t cut(const truth *t) {
    pt_part_model model;
    static uint32_t label[MOST_UNITS], device[MOST_UNITS];
    assert_int_equal(pt_part_model_init(&model, t->p), PARTITA_OK);
    pt_part_energy energy = {.model = &model, .price_weight = PT_PART_ONE};
    assert_int_equal(pt_part_cut(&energy, label), PARTITA_OK);
    for (uint32_t u = 0; u < t->p->units; u++) device[u] = label[model.node_of[u]];
    int64_t value = truth_additive(t, device);
    assert_true(truth_feasible(t, device));
    assert_true(value == pt_part_energy_of(&energy, label));
    pt_part_model_deinit(&model);
    return value;
}

static unsigned random_kind(uint64_t *state) {
    static const unsigned links[] = {0, CHEAP_LINKS, DEAR_LINKS};
    unsigned what = random_below(state, 32) & (WITH_INFINITE | WITH_PINS | ODD_PRICES);
    return what | links[random_below(state, 3)];
}

static void two_devices_are_exact(void **unused) {
    PT_UNUSED(unused);
    uint64_t state = 2;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        uint32_t units = 5 + random_below(&state, 10);
        random_problem *r = random_create(seed, units, 2, random_kind(&state));
        truth t = truth_create(&r->p);
        int64_t found = cut(&t), best = enumerate(&t);
        if (found != best) print_error("seed %d\n", (int)seed);
        assert_true(found == best);
        truth_destroy(&t);
        random_destroy(r);
    }
}

static void three_and_four_devices_are_close(void **unused) {
    PT_UNUSED(unused);
    for (uint32_t k = 3; k <= 4; k++) {
        uint64_t state = k;
        uint32_t exact = 0, count = 500;
        double gaps = 0, worst = 0;
        for (uint64_t seed = 0; seed < count; seed++) {
            uint32_t units = 5 + random_below(&state, k == 3 ? 7 : 5);
            random_problem *r = random_create(1000 * k + seed, units, k, random_kind(&state) & ~(unsigned)WITH_PINS);
            truth t = truth_create(&r->p);
            int64_t found = cut(&t), best = enumerate(&t);
            double gap = best ? (double)(found - best) / (double)best : 0;
            assert_true(found >= best);
            exact += found == best;
            gaps += gap;
            worst = PT_MAX(worst, gap);
            truth_destroy(&t);
            random_destroy(r);
        }
        print_message("%u devices: exact %.1f %%, mean gap %.3f %%, worst %.1f %%\n", k, 100.0 * exact / count,
                      100 * gaps / count, 100 * worst);
        assert_true(exact >= count * 0.97);
        assert_true(gaps / count <= 0.003);
        assert_true(worst <= 0.25);
    }
}

static void moves_never_raise_the_cost(void **unused) {
    PT_UNUSED(unused);
    uint64_t state = 77;
    for (uint64_t seed = 0; seed < 100; seed++) {
        uint32_t k = 3 + random_below(&state, 3);
        random_problem *r = random_create(seed, 60, k, random_kind(&state));
        pt_part_model model;
        pt_part_cutter cutter;
        uint32_t label[60];
        assert_int_equal(pt_part_model_init(&model, &r->p), PARTITA_OK);
        pt_part_energy energy = {&model, 300, NULL, true};
        assert_int_equal(pt_part_cutter_init(&cutter, &energy), PARTITA_OK);
        for (uint32_t node = 0; node < model.nodes; node++) {
            do {
                label[node] = random_below(&state, k);
            } while (pt_part_node_cost(&model, node, label[node]) >= PT_PART_INFINITE);
        }
        pt_part_cutter_start(&cutter, label);
        for (int move = 0; move < 30; move++) {
            int64_t before = cutter.value;
            uint32_t a = random_below(&state, k);
            uint32_t b = (a + 1 + random_below(&state, k - 1)) % k;
            bool expand = random_below(&state, 2);
            partita_status status = expand ? pt_part_move_expand(&cutter, a) : pt_part_move_pair(&cutter, a, b);
            assert_int_equal(status, PARTITA_OK);
            assert_true(cutter.value <= before);
            assert_true(cutter.cut <= before);
            /* Exact for a pair; a bound from above where a shared tensor was majorised. */
            if (expand) assert_true(pt_part_energy_of(&energy, cutter.label) <= cutter.cut);
            if (!expand) assert_true(pt_part_energy_of(&energy, cutter.label) == cutter.cut);
        }
        pt_part_cutter_deinit(&cutter);
        pt_part_model_deinit(&model);
        random_destroy(r);
    }
}

static void flow_certifies_the_cut(void **unused) {
    PT_UNUSED(unused);
    static const uint32_t sizes[] = {100, 100, 100, 2000, 2000, 2000, 2000};
    uint64_t state = 5;
    for (uint32_t i = 0; i < PT_COUNT_OF(sizes); i++) {
        random_problem *r = random_create(900 + i, sizes[i], 2, random_kind(&state));
        truth t = truth_create(&r->p);
        pt_part_model model;
        pt_part_cutter cutter;
        static uint32_t label[MOST_UNITS];
        assert_int_equal(pt_part_model_init(&model, &r->p), PARTITA_OK);
        pt_part_energy energy = {.model = &model, .price_weight = PT_PART_ONE};
        assert_int_equal(pt_part_cutter_init(&cutter, &energy), PARTITA_OK);
        for (uint32_t n = 0; n < model.nodes; n++) label[n] = pt_part_node_cost(&model, n, 0) >= PT_PART_INFINITE;
        pt_part_cutter_start(&cutter, label);
        assert_int_equal(pt_part_move_pair(&cutter, 0, 1), PARTITA_OK);
        assert_true(cutter.cut == cutter.value);
        assert_true(cut(&t) == cutter.cut);
        pt_part_cutter_deinit(&cutter);
        pt_part_model_deinit(&model);
        truth_destroy(&t);
        random_destroy(r);
    }
}

static void prices_are_closed_for_every_size(void **unused) {
    PT_UNUSED(unused);
    for (uint64_t seed = 0; seed < 50; seed++) {
        random_problem *r = random_create(seed, 60, 5, ODD_PRICES);
        truth t = truth_create(&r->p);
        pt_part_model model;
        assert_int_equal(pt_part_model_init(&model, &r->p), PARTITA_OK);
        for (uint32_t i = 0; i < r->p.tensors; i++) {
            for (uint32_t d = 0; d < 5; d++) {
                for (uint32_t e = 0; e < 5; e++)
                    assert_true(pt_part_tau(&model, i, d, e) == t.tau[(i * 5 + d) * 5 + e]);
            }
        }
        pt_part_model_deinit(&model);
        truth_destroy(&t);
        random_destroy(r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_devices_are_exact),
        cmocka_unit_test(three_and_four_devices_are_close),
        cmocka_unit_test(moves_never_raise_the_cost),
        cmocka_unit_test(flow_certifies_the_cut),
        cmocka_unit_test(prices_are_closed_for_every_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
