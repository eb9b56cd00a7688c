/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operator with random inputs and attributes: inference answers or fails with words, and does no harm. Of use
 * under sanitizers above all. Deterministic.
 */
#include "op_build.h"

#include <partita/plugin.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIES = 40, INPUTS_MAX = 9 };

static uint64_t random_state;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % n;
}

static int64_t random_number(void) {
    static const int64_t special[] = {INT64_MAX, INT64_MIN, INT32_MAX, INT32_MIN, 1 << 20, -100, 0, 1};
    return random_below(12) == 0 ? special[random_below(PT_COUNT_OF(special))] : (int64_t)random_below(8) - 2;
}

static const char *random_dims(char *text, size_t size) {
    static const char *const names[] = {"N", "C", "?", "seq"};
    int at = 0, rank = (int)random_below(6);
    text[0] = '\0';
    if (random_below(12) == 0) return NULL;
    for (int i = 0; i < rank; i++) {
        const char *comma = i ? "," : "";
        if (random_below(4) == 0) {
            at += snprintf(text + at, size - (size_t)at, "%s%s", comma, names[random_below(PT_COUNT_OF(names))]);
        } else {
            at += snprintf(text + at, size - (size_t)at, "%s%u", comma, random_below(7));
        }
    }
    return text;
}

static void random_input(builder *b, const char *name) {
    int64_t numbers[6];
    float floats[6];
    char dims[64];
    uint32_t count = random_below(6), kind = random_below(8);
    for (uint32_t i = 0; i < PT_COUNT_OF(numbers); i++) {
        numbers[i] = random_number();
        floats[i] = (float)random_number() / 3.0f;
    }
    if (kind == 0) {
        build_int(b, name, numbers[0]);
    } else if (kind <= 2) {
        build_ints(b, name, numbers, count);
    } else if (kind == 3) {
        build_floats(b, name, floats, count);
    } else {
        static const partita_dtype dtypes[] = {PARTITA_FLOAT32, PARTITA_INT64, PARTITA_BOOL, PARTITA_STRING,
                                               PARTITA_UINT8};
        partita_dtype dtype = random_below(3) ? PARTITA_FLOAT32 : dtypes[random_below(PT_COUNT_OF(dtypes))];
        build_input(b, name, dtype, random_dims(dims, sizeof dims));
    }
}

static void random_attribute(builder *b, pt_id node, const pt_schema_attribute *row) {
    static const char *const texts[] = {"NOTSET",    "SAME_UPPER",    "VALID", "ij,jk->ik",
                                        "...i,i...", "bidirectional", "none",  ""};
    pt_attribute attribute = {.name = pt_str(row->name), .type = row->type, .count = 1};
    uint32_t count = random_below(7);
    int64_t *numbers = pt_arena_array(&b->model->arena, count, sizeof *numbers);
    float *floats = pt_arena_array(&b->model->arena, count, sizeof *floats);
    partita_str *strings = pt_arena_array(&b->model->arena, count, sizeof *strings);
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = random_number();
        floats[i] = (float)random_number();
        strings[i] = PT_STR("x");
    }
    switch (row->type) {
    case PTP_ATTRIBUTE_INT: attribute.i = random_number(); break;
    case PTP_ATTRIBUTE_FLOAT: attribute.f = (float)random_number(); break;
    case PTP_ATTRIBUTE_STRING: attribute.s = pt_str(texts[random_below(PT_COUNT_OF(texts))]); break;
    case PTP_ATTRIBUTE_INTS:
        attribute.ints = numbers;
        attribute.count = count;
        break;
    case PTP_ATTRIBUTE_FLOATS:
        attribute.floats = floats;
        attribute.count = count;
        break;
    case PTP_ATTRIBUTE_STRINGS:
        attribute.strings = strings;
        attribute.count = count;
        break;
    default: return;
    }
    OK(pt_node_set_attribute(b->model, node, &attribute));
}

/* A body whose outputs are its inputs, one after another. */
static void random_body(builder *b, pt_id node, const char *name, uint32_t inputs, uint32_t outputs) {
    pt_id outer = build_body(b, node, name);
    char value[32], op[64];
    for (uint32_t i = 0; i < inputs; i++) {
        snprintf(value, sizeof value, "%s_in%u", name, i);
        build_input(b, value, PARTITA_FLOAT32, NULL);
    }
    for (uint32_t i = 0; i < outputs; i++) {
        snprintf(value, sizeof value, "%s_out%u", name, i);
        snprintf(op, sizeof op, inputs ? "%s_in%u" : "x0", name, inputs ? i % inputs : 0);
        build_node(b, random_below(2) ? "Identity" : "Shape", op, value);
        build_output(b, value);
    }
    b->graph = outer;
}

static pt_id random_node(builder *b, const pt_schema *row) {
    char name[16];
    pt_id in[INPUTS_MAX], out[4], node;
    uint32_t most = PT_MIN(row->max_inputs, (uint32_t)INPUTS_MAX);
    uint32_t inputs = row->min_inputs + random_below(most - row->min_inputs + 1);
    uint32_t outputs = PT_MIN(row->min_outputs + random_below(3), PT_MIN(row->max_outputs, 4u));
    random_input(b, "x0");
    for (uint32_t i = 0; i < inputs; i++) {
        snprintf(name, sizeof name, "x%u", i);
        if (i) random_input(b, name);
        in[i] = i && random_below(8) == 0 ? PT_NONE : build_value(b, name);
    }
    for (uint32_t i = 0; i < outputs; i++) {
        snprintf(name, sizeof name, "y%u", i);
        partita_str text = pt_arena_str(&b->model->arena, pt_str(name));
        OK(pt_model_add_value(b->model, b->graph, text, &(pt_type){.rank = -1}, &out[i]));
    }
    OK(pt_model_add_node(b->model, b->graph, pt_str(row->name), pt_str(row->domain), row->since, in, inputs, out,
                         outputs, &node));
    for (uint32_t i = 0; i < row->attribute_count; i++) {
        const pt_schema_attribute *attribute = &row->attributes[i];
        if (attribute->type == PTP_ATTRIBUTE_GRAPH) {
            bool branch = strstr(attribute->name, "branch") != NULL, loop = strcmp(row->name, "Loop") == 0;
            random_body(b, node, attribute->name, branch ? 0 : inputs, outputs + (loop ? 1 : 0));
        } else if (attribute->required || random_below(3) == 0) {
            random_attribute(b, node, attribute);
        }
    }
    return node;
}

/* The same node in a run: dims of random extent, data for small ones. */
static void random_run(const builder *b, pt_id id) {
    const pt_node *node = pt_node_at(b->model, id);
    pt_shaped inputs[INPUTS_MAX], outputs[4];
    int64_t dims[INPUTS_MAX][8], data[INPUTS_MAX][16], out_dims[4 * 16];
    for (uint32_t i = 0; i < node->input_count; i++) {
        uint64_t count = 1;
        inputs[i] = (pt_shaped){PARTITA_KIND_TENSOR, random_below(2) ? PARTITA_INT64 : PARTITA_FLOAT32,
                                (int32_t)random_below(5), dims[i], NULL};
        for (int32_t k = 0; k < inputs[i].rank; k++) count *= (uint64_t)(dims[i][k] = random_below(5));
        for (size_t k = 0; k < 16; k++) data[i][k] = random_number();
        if (count <= 16 && random_below(2)) inputs[i].data = data[i];
    }
    partita_status status =
        pt_node_infer_actual(b->model, id, inputs, node->input_count, outputs, out_dims, node->output_count);
    for (uint32_t i = 0; status == PARTITA_OK && i < node->output_count; i++) {
        assert_true(outputs[i].rank >= -1 && outputs[i].rank <= 16);
        for (int32_t k = 0; k < outputs[i].rank; k++) assert_true(outputs[i].dims[k] >= -1);
    }
}

static void random_nodes_do_no_harm(void **state) {
    PT_UNUSED(state);
    uint32_t count, right = 0, wrong = 0;
    const pt_schema *rows = pt_schema_rows(&count);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < TRIES; k++) {
            random_state = (uint64_t)i * 1000 + k;
            builder b;
            build_start(&b, 17);
            pt_id node = random_node(&b, &rows[i]);
            partita_status status = build_infer(&b);
            if (status == PARTITA_OK) status = pt_model_infer(b.model);
            right += status == PARTITA_OK;
            wrong += status != PARTITA_OK;
            if (status != PARTITA_OK && status != PARTITA_BAD_MODEL) {
                fail_msg("%s %d, try %u: %s", rows[i].name, rows[i].since, k, pt_last_message());
            }
            if (status == PARTITA_OK) {
                OK(pt_model_validate(b.model));
                pt_node_flops(b.model, node, NULL);
                for (int n = 0; n < 3; n++) random_run(&b, node);
            }
            build_end(&b);
        }
    }
    assert_true(right > 1000 && wrong > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_nodes_do_no_harm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
