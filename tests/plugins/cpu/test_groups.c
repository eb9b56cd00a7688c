/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantised groups as operators on integers: what becomes of a chain, and that the program of a group gives what its
 * nodes one by one give, but for a step where those round sums of floats.
 */
#include "plugins/cpu/part.h"

#include "cpu/program/groups.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const ptp_host *host;

static const float x_scale = 0.05f, w_scale = 0.01f, y_scale = 0.2f, bias_scale = 0.05f * 0.01f, other_scale = 0.001f;
static const uint8_t x_zero = 120, y_zero = 0, y_middle = 100;
static const int64_t four = 4;

#define SIDE 4
#define ALL  (SIDE * SIDE)

/* Values of a chain, which works on matrices [4, 4] or images [1, 1, 4, 4]. */
typedef struct chain {
    part *p;
    uint32_t rank, x, out;
    int64_t dims[4];
    int8_t weights[ALL];
    int32_t bias;
    int64_t shape[2];
    char text[128]; /* the words, which the nodes keep */
} chain;

static uint32_t scalar(chain *c, partita_dtype dtype, const void *data) {
    return part_constant(c->p, dtype, 0, NULL, data);
}

static uint32_t value_like(chain *c, partita_dtype dtype) { return part_value_add(c->p, dtype, c->rank, c->dims); }

static uint32_t dequantised(chain *c, uint32_t bytes, partita_dtype zero_type, const float *scale, const void *zero,
                            uint32_t rank, const int64_t *dims) {
    uint32_t to = part_value_add(c->p, PARTITA_FLOAT32, rank, dims);
    uint32_t in[] = {bytes, scalar(c, PARTITA_FLOAT32, scale), scalar(c, zero_type, zero)};
    part_node_add(c->p, "DequantizeLinear", 13, zero == NULL ? 2 : 3, in, to);
    return to;
}

/* A word adds its node to what the chain has come to. */
static void word_add(chain *c, const char *word, uint32_t *at) {
    static const int8_t none = 0;
    uint32_t to = value_like(c, PARTITA_FLOAT32), in[3] = {*at}, count = 1;
    const char *op = word;
    if (strcmp(word, "Conv") == 0 || strcmp(word, "ConvOther") == 0) {
        const int64_t one[] = {1}, kernel[] = {1, 1, 1, 1};
        uint32_t w = part_constant(c->p, PARTITA_INT8, 4, kernel, c->weights);
        in[1] = dequantised(c, w, PARTITA_INT8, &w_scale, &none, 4, kernel);
        uint32_t b = part_constant(c->p, PARTITA_INT32, 1, one, &c->bias);
        in[2] = dequantised(c, b, PARTITA_INT32, op[4] ? &other_scale : &bias_scale, NULL, 1, one);
        op = "Conv";
        count = 3;
    } else if (strcmp(word, "MatMul") == 0) {
        uint32_t w = part_constant(c->p, PARTITA_INT8, 2, c->dims, c->weights);
        in[1] = dequantised(c, w, PARTITA_INT8, &w_scale, &none, 2, c->dims);
        count = 2;
    } else if (strcmp(word, "Reshape") == 0) {
        in[1] = part_constant(c->p, PARTITA_INT64, 1, (int64_t[]){2}, c->shape);
        count = 2;
    }
    part_node_add(c->p, op, 13, count, in, to);
    *at = to;
}

/* Words with spaces between; Q and M quantise, to a zero point that is the lowest byte or one in the middle, S with the
 * input's own numbers. */
static chain *chain_new(const char *words, bool grouped) {
    chain *c = calloc(1, sizeof(*c));
    char *rest = c->text;
    c->p = part_new();
    c->p->grouped = grouped;
    c->rank = strstr(words, "Conv") != NULL ? 4 : 2;
    for (uint32_t i = 0; i < c->rank; i++) c->dims[i] = c->rank == 4 && i < 2 ? 1 : SIDE;
    c->shape[0] = c->shape[1] = four;
    for (int i = 0; i < ALL; i++) c->weights[i] = (int8_t)(i * 37 % 199 - 99);
    c->bias = 321;
    c->x = part_input(c->p, PARTITA_UINT8, c->rank, c->dims);
    uint32_t at = dequantised(c, c->x, PARTITA_UINT8, &x_scale, &x_zero, c->rank, c->dims);
    snprintf(c->text, sizeof(c->text), "%s", words);
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;) {
        if (strlen(word) > 1) {
            word_add(c, word, &at);
            continue;
        }
        const float *scale = *word == 'S' ? &x_scale : &y_scale;
        const uint8_t *zero = *word == 'S' ? &x_zero : *word == 'Q' ? &y_zero : &y_middle;
        uint32_t in[] = {at, scalar(c, PARTITA_FLOAT32, scale), scalar(c, PARTITA_UINT8, zero)};
        at = value_like(c, PARTITA_UINT8);
        part_node_add(c->p, "QuantizeLinear", 13, 3, in, at);
    }
    part_output(c->p, at);
    c->out = at;
    return c;
}

static void chain_free(chain *c) {
    part_free(c->p, host);
    free(c);
}

static cpu_program_config config_of(bool reference) {
    return (cpu_program_config){.host = host, .level = cpu_level_detect(), .workers = 1, .reference = reference};
}

/* ---- forms ----------------------------------------------------------------------------------- */

typedef struct form {
    const char *words, *operators; /* "": the group stays as it is */
} form;

static const form forms[] = {
    {"Conv Q", "QLinearConv"},
    {"Conv Relu Q", "QLinearConv"},
    {"Conv Relu M", ""}, /* the clamp does something */
    {"ConvOther Q", ""}, /* the bias counts other units */
    {"Conv Sigmoid Q", ""},
    {"MatMul Q", "QLinearMatMul"},
    {"MatMul", "MatMulIntegerToFloat"},
    {"MatMul Transpose Q", "QLinearMatMul Transpose"},
    {"MatMul Relu Transpose Reshape Q", "QLinearMatMul Transpose Reshape"},
    {"MatMul Transpose Relu Q", ""},
    {"Transpose MatMul M", "Transpose QLinearMatMul"},
    {"Reshape Transpose MatMul", "Reshape Transpose MatMulIntegerToFloat"},
    {"Transpose S", "Transpose"},
    {"Transpose Q", ""}, /* other numbers */
    {"Sigmoid Q", "QLinearSigmoid"},
    {"Erf Q", ""},
};

static void operators_of(const cpu_groups *groups, char *text, size_t size) {
    const ptp_node_row *rows;
    uint32_t count = cpu_groups_rows(groups, 0, &rows);
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        partita_str op = ptp_ref_str(cpu_groups_block(groups), rows[i].op);
        used += (size_t)snprintf(text + used, size - used, "%s%.*s", i ? " " : "", (int)op.size, op.data);
    }
}

static void test_forms(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        chain *c = chain_new(forms[i].words, true);
        cpu_program_config config = config_of(false);
        cpu_groups *groups;
        uint32_t unit = 0;
        char text[256];
        assert_int_equal(part_build(c->p, &config), PARTITA_OK);
        const ptp_block *block = (const ptp_block *)(const void *)c->p->block;
        assert_int_equal(cpu_groups_create(host, block, &unit, 1, NULL, &groups), PARTITA_OK);
        operators_of(groups, text, sizeof(text));
        if (strcmp(text, forms[i].operators) != 0)
            fail_msg("%s: \"%s\" instead of \"%s\"", forms[i].words, text, forms[i].operators);
        /* The copy is a block of its own right, and gives back what is dropped. */
        const ptp_block *copy = cpu_groups_block(groups);
        assert_int_equal(cpu_groups_fit(groups, 0, config.level, 0), forms[i].operators[0] != '\0');
        cpu_groups_drop(groups, 0);
        assert_int_equal(cpu_groups_apply(groups), PARTITA_OK);
        assert_int_equal(copy->nodes.count, block->nodes.count);
        for (uint32_t v = 0; v < block->values.count; v++)
            assert_int_equal(ptp_value_at(copy, v).dtype, ptp_value_at(block, v).dtype);
        for (uint32_t n = 0; n < block->nodes.count; n++) assert_int_equal(cpu_groups_origin(groups, n), n);
        cpu_groups_destroy(groups);
        chain_free(c);
    }
}

/* ---- results --------------------------------------------------------------------------------- */

static void run_bytes(const char *words, bool grouped, bool reference, const uint8_t *x, uint8_t *out, uint64_t bytes) {
    chain *c = chain_new(words, grouped);
    cpu_program_config config = config_of(reference);
    void *inputs[] = {(void *)(uintptr_t)x};
    if (part_build(c->p, &config) != PARTITA_OK || part_run(c->p, host, inputs) != PARTITA_OK)
        fail_msg("%s: %s", words, fake_host_failure());
    assert_int_equal(c->p->results[0].bytes, bytes);
    memcpy(out, c->p->results[0].data, bytes);
    chain_free(c);
}

static void test_results(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        size_t length = strlen(forms[i].words);
        bool floats = length >= 6 && strcmp(forms[i].words + length - 6, "MatMul") == 0;
        uint64_t bytes = floats ? ALL * sizeof(float) : ALL;
        uint8_t x[ALL], whole[ALL * 4], single[ALL * 4], plain[ALL * 4];
        for (int k = 0; k < ALL; k++) x[k] = (uint8_t)(k * 83 + (int)i * 29);
        run_bytes(forms[i].words, true, false, x, whole, bytes);
        run_bytes(forms[i].words, false, false, x, single, bytes);
        run_bytes(forms[i].words, true, true, x, plain, bytes); /* the reference goes node by node */
        for (int k = 0; k < ALL; k++) {
            float a = floats ? ((float *)(void *)whole)[k] : whole[k],
                  b = floats ? ((float *)(void *)single)[k] : single[k];
            float c = floats ? ((float *)(void *)plain)[k] : plain[k];
            float most = floats ? 1e-4f : 1;
            if (a - b > most || b - a > most || a - c > most || c - a > most)
                fail_msg("%s: element %d is %g, %g one by one, %g by the reference", forms[i].words, k, (double)a,
                         (double)b, (double)c);
        }
    }
}

/* Exact, by the definition of the integers. */
static void test_conv_is_exact(void **unused) {
    (void)unused;
    uint8_t x[ALL], y[ALL];
    chain *c = chain_new("Conv Q", true);
    int32_t weight = c->weights[0], bias = c->bias;
    chain_free(c);
    for (int k = 0; k < ALL; k++) x[k] = (uint8_t)(k * 83);
    run_bytes("Conv Q", true, false, x, y, ALL);
    for (int k = 0; k < ALL; k++) {
        double want = (double)((x[k] - x_zero) * weight + bias) * (double)(x_scale * w_scale / y_scale);
        double rounded = want < 0 ? 0 : want > 255 ? 255 : (double)(int)(want + 0.5);
        assert_int_equal(y[k], (int)rounded);
    }
}

static int setup(void **state) {
    (void)state;
    host = fake_host_start(2);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(fake_host_alive(), 0);
    fake_host_stop();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_conv_is_exact),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
