/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program of the cpu plugin: memory that is shared over time, views, work in place, outputs that are inputs, shapes
 * that only data tells, failures. Random graphs are compared with the same sums done one by one.
 */
#include "plugins/cpu/part.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const ptp_host *host;

static uint64_t random_state;
static uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

static cpu_program_config config_of(uint32_t workers, bool reference) {
    return (cpu_program_config){.host = host, .level = cpu_level_detect(), .workers = workers, .reference = reference};
}

/* A random graph over values of 240 floats: sums, negations, views of three shapes; truth[v] is computed on the side.
 */
static void random_graph_check(uint64_t seed, int64_t rows, uint32_t nodes, const cpu_program_config *config) {
    const int64_t shapes[3][2] = {{rows, 12}, {12, rows}, {4, 3 * rows}}, flat[1] = {12 * rows};
    int64_t before = fake_host_alive();
    uint32_t count = (uint32_t)(12 * rows), kinds[PART_VALUES];
    part *p = part_new();
    float *truth[PART_VALUES] = {0};
    random_state = seed;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t v = part_input(p, PARTITA_FLOAT32, 2, shapes[i]);
        kinds[v] = i;
        truth[v] = malloc(count * sizeof(float));
        for (uint32_t j = 0; j < count; j++) truth[v][j] = (float)((int)random_below(17) - 8);
    }
    uint32_t targets[4];
    for (uint32_t i = 0; i < 3; i++) targets[i] = part_constant(p, PARTITA_INT64, 1, (int64_t[]){2}, shapes[i]);
    targets[3] = part_constant(p, PARTITA_INT64, 1, (int64_t[]){1}, flat);
    for (uint32_t n = 0; n < nodes; n++) {
        uint32_t a = random_below(p->value_count), what = random_below(4);
        if (truth[a] == NULL || kinds[a] > 2) a = random_below(3);
        uint32_t kind = what == 2 ? random_below(3) : kinds[a];
        uint32_t v = part_value_add(p, PARTITA_FLOAT32, 2, shapes[kind]);
        truth[v] = malloc(count * sizeof(float));
        kinds[v] = kind;
        if (what == 0) {
            uint32_t b = a;
            for (uint32_t i = v; i-- > 0;)
                if (truth[i] != NULL && kinds[i] == kind && random_below(3) == 0) {
                    b = i;
                    break;
                }
            for (uint32_t j = 0; j < count; j++) truth[v][j] = truth[a][j] - truth[b][j];
            part_node_add(p, "Sub", 14, 2, (uint32_t[]){a, b}, v);
        } else if (what == 2) {
            memcpy(truth[v], truth[a], count * sizeof(float));
            part_node_add(p, "Reshape", 14, 2, (uint32_t[]){a, targets[kind]}, v);
        } else {
            for (uint32_t j = 0; j < count; j++)
                truth[v][j] = what == 1 ? -truth[a][j] : truth[a][j] < 0 ? 0 : truth[a][j];
            part_node_add(p, what == 1 ? "Neg" : "Relu", what == 1 ? 13 : 14, 1, &a, v);
        }
        /* Numbers stay small enough to be exact. */
        for (uint32_t j = 0; j < count; j++)
            if (truth[v][j] > 1e6f || truth[v][j] < -1e6f) nodes = n;
        if (random_below(12) == 0 && p->output_count < 12) part_output(p, v);
    }
    part_output(p, p->value_count - 1);
    part_output(p, random_below(3)); /* an input as it is */
    part_output(p, p->value_count - 1);
    assert_int_equal(part_build(p, config), PARTITA_OK);
    void *inputs[3] = {truth[0], truth[1], truth[2]};
    for (uint32_t round = 0; round < 2; round++) {
        assert_int_equal(part_run(p, host, inputs), PARTITA_OK);
        for (uint32_t i = 0; i < p->output_count; i++)
            assert_memory_equal(p->results[i].data, truth[p->outputs[i]], count * sizeof(float));
    }
    for (uint32_t i = 0; i < p->value_count; i++) free(truth[i]);
    part_free(p, host);
    assert_int_equal(fake_host_alive(), before);
}

static void test_random_graphs(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        cpu_program_config config = config_of(seed % 2 ? 3 : 1, seed % 5 == 0);
        random_graph_check(seed, seed % 3 == 0 ? 4000 : 20, 5 + (uint32_t)seed, &config);
    }
}

/* Memory of values that are dead is used again: a chain needs room for few of them. */
static void test_chain_is_short(void **state) {
    const int64_t dims[2] = {100, 100};
    cpu_program_config config = config_of(1, false);
    part *p = part_new();
    (void)state;
    uint32_t at = part_input(p, PARTITA_FLOAT32, 2, dims);
    float *in = calloc(100 * 100, sizeof(float));
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t next = part_value_add(p, PARTITA_FLOAT32, 2, dims);
        part_node_add(p, i % 2 ? "Neg" : "Relu", i % 2 ? 13 : 14, 1, &at, next);
        at = next;
    }
    part_output(p, at);
    assert_int_equal(part_build(p, &config), PARTITA_OK);
    assert_true(p->scratch_bytes < 3 * 40000);
    assert_int_equal(part_run(p, host, (void *[]){in}), PARTITA_OK);
    free(in);
    part_free(p, host);
}

/* NonZero's rows are counted in the run; what follows has shapes that only inference then knows. */
static void test_data_dependent(void **state) {
    const int64_t in_dims[1] = {6}, found[2] = {1, 3}, axes[1] = {0};
    const float in[6] = {0, 2, 0, 5, 0, 7};
    int64_t before = fake_host_alive();
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers += 2) {
        cpu_program_config config = config_of(workers, false);
        part *p = part_new();
        uint32_t x = part_input(p, PARTITA_FLOAT32, 1, in_dims);
        uint32_t where = part_value_add(p, PARTITA_INT64, 2, found);
        uint32_t axis = part_constant(p, PARTITA_INT64, 1, axes, axes);
        uint32_t list = part_value_add(p, PARTITA_INT64, 1, (int64_t[]){3});
        uint32_t picked = part_value_add(p, PARTITA_FLOAT32, 1, (int64_t[]){3});
        uint32_t sum = part_value_add(p, PARTITA_FLOAT32, 1, (int64_t[]){3});
        p->values[where].unknown = p->values[list].unknown = p->values[picked].unknown = p->values[sum].unknown = true;
        part_node_add(p, "NonZero", 13, 1, &x, where);
        part_node_add(p, "Squeeze", 13, 2, (uint32_t[]){where, axis}, list);
        part_node_add(p, "Gather", 13, 2, (uint32_t[]){x, list}, picked);
        part_node_add(p, "Add", 14, 2, (uint32_t[]){picked, picked}, sum);
        part_output(p, sum);
        part_output(p, where);
        part_output(p, sum);
        assert_int_equal(part_build(p, &config), PARTITA_OK);
        for (uint32_t round = 0; round < 2; round++) {
            assert_int_equal(part_run(p, host, (void *[]){(void *)(uintptr_t)in}), PARTITA_OK);
            assert_int_equal(p->results[1].dims[1], 3);
            assert_memory_equal(p->results[1].data, ((int64_t[]){1, 3, 5}), 24);
            assert_memory_equal(p->results[0].data, ((float[]){4, 10, 14}), 12);
            assert_memory_equal(p->results[2].data, ((float[]){4, 10, 14}), 12);
        }
        part_free(p, host);
    }
    assert_int_equal(fake_host_alive(), before);
}

/* The text of a failure names the node and its operator, and nothing is left behind. */
static void test_failure_names_the_node(void **state) {
    const int64_t dims[1] = {4}, two[1] = {2};
    const int64_t indices[2] = {1, 9};
    const float in[4] = {1, 2, 3, 4};
    (void)state;
    for (uint32_t reference = 0; reference < 2; reference++) {
        cpu_program_config config = config_of(3, reference != 0);
        int64_t before = fake_host_alive();
        part *p = part_new();
        uint32_t x = part_input(p, PARTITA_FLOAT32, 1, dims);
        uint32_t where = part_input(p, PARTITA_INT64, 1, two);
        uint32_t y = part_value_add(p, PARTITA_FLOAT32, 1, two), z = part_value_add(p, PARTITA_FLOAT32, 1, two);
        part_node_add(p, "Gather", 13, 2, (uint32_t[]){x, where}, y);
        part_node_add(p, "Neg", 13, 1, &y, z);
        part_output(p, z);
        assert_int_equal(part_build(p, &config), PARTITA_OK);
        assert_int_not_equal(part_run(p, host, (void *[]){(void *)(uintptr_t)in, (void *)(uintptr_t)indices}),
                             PARTITA_OK);
        assert_non_null(strstr(fake_host_failure(), "node node (Gather)"));
        part_free(p, host);
        assert_int_equal(fake_host_alive(), before);
    }
}

static void test_no_kernel(void **state) {
    const int64_t dims[1] = {4};
    cpu_program_config config = config_of(1, false);
    part *p = part_new();
    (void)state;
    uint32_t x = part_input(p, PARTITA_FLOAT32, 1, dims), y = part_value_add(p, PARTITA_FLOAT32, 1, dims);
    part_node_add(p, "NoSuchOperator", 1, 1, &x, y);
    part_output(p, y);
    assert_int_equal(part_build(p, &config), PARTITA_CANNOT_COMPILE);
    assert_non_null(strstr(fake_host_failure(), "no kernel for NoSuchOperator"));
    part_free(p, host);
}

/* A constant B is packed, so its pages may go; one that is read elsewhere too stays. */
static void test_weight_modes(void **state) {
    static float b[64 * 64];
    const int64_t dims[2] = {64, 64};
    (void)state;
    for (uint32_t shared = 0; shared < 2; shared++) {
        cpu_program_config config = config_of(1, false);
        part *p = part_new();
        uint32_t x = part_input(p, PARTITA_FLOAT32, 2, dims), w = part_constant(p, PARTITA_FLOAT32, 2, dims, b);
        uint32_t y = part_value_add(p, PARTITA_FLOAT32, 2, dims), z = part_value_add(p, PARTITA_FLOAT32, 2, dims);
        part_node_add(p, "MatMul", 13, 2, (uint32_t[]){x, w}, y);
        part_node_add(p, "Add", 14, 2, (uint32_t[]){y, shared ? w : x}, z);
        part_output(p, z);
        assert_int_equal(part_build(p, &config), PARTITA_OK);
        assert_int_equal(p->weights[0].mode, shared ? PTP_WEIGHT_BORROW : PTP_WEIGHT_REPACK_RELEASE);
        part_free(p, host);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_graphs),  cmocka_unit_test(test_chain_is_short),
        cmocka_unit_test(test_data_dependent), cmocka_unit_test(test_failure_names_the_node),
        cmocka_unit_test(test_no_kernel),      cmocka_unit_test(test_weight_modes),
    };
    host = fake_host_start(3);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fake_host_stop();
    return failed;
}
