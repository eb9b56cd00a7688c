/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operator sets: good ones are looked up, inferred and expanded; of those that do one thing wrong each is an error that
 * says what, and costs nobody else anything.
 */
#include "onnx/writer.h"
#include "run/context.h"

#include <partita/partita.h>

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define OK_MESSAGE partita_last_error()
#include "ok.h"

static void assert_message(const char *part) {
    if (!strstr(partita_last_error(), part)) fail_msg("\"%s\" does not say \"%s\"", partita_last_error(), part);
}

/* The folder of one set, and that of the plugins that are built. */
static partita_status open_context(const char *set, partita_context **out_context) {
    char folder[1024];
    const char *paths[] = {folder};
    const partita_context_options options = {.size = sizeof(options), .plugin_paths = paths, .plugin_path_count = 1};
    snprintf(folder, sizeof(folder), "%s/%s", SETS_FOLDER, set);
    return partita_context_create(&options, out_context);
}

/* ---- models ---------------------------------------------------------------------------------- */

typedef struct bytes {
    void *data;
    uint64_t size;
} bytes;

static pt_id add_value(pt_model *model, const char *name, int32_t rank, pt_dim dim) {
    pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = rank, .dims = &dim};
    pt_id id;
    OK(pt_model_add_value(model, 0, pt_str(name), rank < 0 ? NULL : &type, &id));
    return id;
}

/* x [N] (or a scalar), b [N] -> the operator "node" of the domain toy -> y; `op` NULL: Neg, and toy is only imported.
 */
static bytes make_model(const char *op, bool scalar, bool second, const float *factor) {
    pt_model *model;
    pt_id graph, in[2], y, node;
    pt_dim n;
    uint32_t source;
    bytes out;
    OK(pt_model_create(&model));
    model->ir_version = 8;
    OK(pt_model_add_graph(model, PT_STR("main"), PT_NONE, &graph));
    assert_true(pt_array_push(&model->opsets, (pt_opset){PT_STR(""), 15}));
    assert_true(pt_array_push(&model->opsets, (pt_opset){PT_STR("toy"), 1}));
    OK(pt_dim_named(&model->symbols, PT_STR("N"), &n));
    in[0] = add_value(model, "x", scalar ? 0 : 1, n);
    in[1] = second ? add_value(model, "b", 1, n) : PT_NONE;
    y = add_value(model, "y", -1, 0);
    for (uint32_t i = 0; i <= second; i++) OK(pt_graph_add_input(model, 0, in[i]));
    OK(pt_graph_add_output(model, 0, y));
    OK(pt_model_add_node(model, 0, op ? pt_str(op) : PT_STR("Neg"), op ? PT_STR("toy") : PT_STR(""), op ? 1 : 15, in,
                         second ? 2 : 1, &y, 1, &node));
    OK(pt_model_add_source(model, PT_STR("the node"), PT_STR("x"), PT_STR(""), &source));
    OK(pt_node_add_source(model, node, source));
    if (factor) {
        OK(pt_node_set_attribute(
            model, node,
            &(pt_attribute){.name = PT_STR("factor"), .type = PTP_ATTRIBUTE_FLOAT, .count = 1, .f = *factor}));
    }
    OK(pt_onnx_write(model, UINT64_MAX, &out.data, &out.size));
    pt_model_destroy(model);
    return out;
}

static partita_status load(partita_context *context, bytes model, partita_model **out_model) {
    partita_status status = partita_model_load_memory(context, model.data, model.size, NULL, out_model);
    pt_free(model.data);
    return status;
}

static partita_status plan_on_cpu(partita_model *model, partita_plan **out_plan) {
    const partita_plan_options options = {.size = sizeof(options), .devices = "cpu"};
    return partita_plan_create(model, &options, out_plan);
}

/* Runs x = 1, 2, .. and b = 10, 20, ..; compares y. */
static void run_and_compare(partita_session *session, int64_t count, bool second, const float *want,
                            int64_t want_count) {
    float x[8], b[8], y[16];
    partita_value *inputs[2] = {NULL}, *output = NULL;
    partita_value_view view = {.size = sizeof(view)};
    for (int i = 0; i < count; i++) {
        x[i] = (float)(i + 1);
        b[i] = 10.0f * x[i];
    }
    OK(partita_value_create(PARTITA_FLOAT32, 1, &count, x, &inputs[0]));
    if (second) OK(partita_value_create(PARTITA_FLOAT32, 1, &count, b, &inputs[1]));
    OK(partita_session_run(session, NULL, inputs, second ? 2 : 1, &output, 1));
    OK(partita_value_view_of(output, &view));
    assert_int_equal(view.rank, 1);
    assert_int_equal(view.dims[0], want_count);
    OK(partita_value_read(output, y, (uint64_t)want_count * sizeof(*y)));
    for (int64_t i = 0; i < want_count; i++) assert_true(y[i] == want[i]);
    partita_value_release(inputs[0]);
    partita_value_release(inputs[1]);
    partita_value_release(output);
}

/* ---- good ones ------------------------------------------------------------------------------- */

static const float three = 3.0f, half = 0.5f;

static const struct {
    const char *op;
    bool second;
    const float *factor;
    int64_t y_count; /* for x of 3 */
    float y[6];
} good_rows[] = {
    {"Twice", false, NULL, 6, {1, 2, 3, 1, 2, 3}},
    {"Scaled", false, NULL, 3, {3, 6, 9}},
    {"Scaled", false, &half, 3, {0.5f, 1, 1.5f}},
    {"Scaled", true, &three, 3, {33, 66, 99}},
    {"Nested", false, NULL, 6, {0.5f, 1, 1.5f, 0.5f, 1, 1.5f}},
};

static void operators_are_expanded(void **state) {
    (void)state;
    for (size_t i = 0; i < PT_COUNT_OF(good_rows); i++) {
        partita_context *context;
        partita_model *model;
        partita_plan *plan;
        partita_session *session;
        OK(open_context("good", &context));
        OK(load(context, make_model(good_rows[i].op, false, good_rows[i].second, good_rows[i].factor), &model));
        /* By inference or through the body. */
        assert_int_equal(partita_model_output(model, 0)->rank, 1);
        assert_int_equal(partita_model_output(model, 0)->dtype, PARTITA_FLOAT32);
        OK(plan_on_cpu(model, &plan));
        OK(partita_session_create(plan, NULL, &session));
        partita_model_destroy(model);
        run_and_compare(session, 3, good_rows[i].second, good_rows[i].y, good_rows[i].y_count);
        run_and_compare(session, 3, good_rows[i].second, good_rows[i].y, good_rows[i].y_count);
        run_and_compare(session, 1, good_rows[i].second, (float[]){good_rows[i].y[0], good_rows[i].y[0]},
                        good_rows[i].y_count / 3);
        partita_session_destroy(session);
        partita_plan_destroy(plan);
        partita_context_destroy(context);
    }
}

/* The node that people wrote is the one that is shown and pinned. */
static void sources_stay(void **state) {
    const partita_pin pin = {"the node", "cpu"};
    const partita_plan_options options = {.size = sizeof(options), .devices = "cpu", .pins = &pin, .pin_count = 1};
    partita_context *context;
    partita_model *model;
    partita_plan *plan;
    char *text;
    (void)state;
    OK(open_context("good", &context));
    OK(load(context, make_model("Nested", false, false, NULL), &model));
    OK(partita_plan_create(model, &options, &plan));
    OK(partita_plan_json(plan, &text));
    assert_non_null(strstr(text, "\"the node\""));
    assert_null(strstr(text, "the node/"));
    partita_text_destroy(text);
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    partita_context_destroy(context);
}

static void only_used_sets_are_opened(void **state) {
    partita_context *context;
    partita_model *model;
    (void)state;
    OK(open_context("good", &context));
    for (int used = 0; used < 2; used++) {
        OK(load(context, make_model(used ? "Twice" : NULL, false, false, NULL), &model));
        partita_model_destroy(model);
        for (uint32_t i = 0; i < pt_registry_plugin_count(context->registry); i++) {
            const pt_plugin *plugin = pt_registry_plugin(context->registry, i);
            if (plugin->domain_count == 0) continue;
            assert_int_equal(plugin->opened, used && strcmp(plugin->name, "good") == 0);
        }
    }
    partita_context_destroy(context);
}

/* ---- sets that are wrong --------------------------------------------------------------------- */

static const struct {
    const char *set, *message;
} bad_rows[] = {
    {"empty", "its operator set has 0 rows"},
    {"endless_count", "its operator set has 4294967295 rows"},
    {"no_rows", "rows of 0 bytes"},
    {"short_rows", "rows of 16 bytes"},
    {"closed_domain", "operator ai.onnx.ml.Twice: the domain \"ai.onnx.ml\" is not open to operator sets"},
    {"other_domain", "operator elsewhere.Twice: its manifest does not name the domain \"elsewhere\""},
    {"standard_name", "ONNX has an operator of this name"},
    {"no_domain", "has no proper name or domain"},
    {"no_name", "has no proper name or domain"},
    {"version", "version 0 is none"},
    {"counts", "has at least 1 inputs and 1 outputs, and at most 0 and 1"},
    {"duplicate", "operator toy.Twice is there twice in version 1"},
    {"attribute_type", "attribute factor has type 5, which no operator set can have"},
    {"attribute_twice", "attribute factor is there twice"},
    {"attribute_default", "attribute list has no proper default"},
};

static void bad_sets_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < PT_COUNT_OF(bad_rows); i++) {
        const partita_plugin_info *plugins;
        const char *message = NULL;
        partita_context *context;
        partita_model *model = NULL;
        partita_plan *plan;
        uint32_t count;
        OK(open_context(bad_rows[i].set, &context));
        OK(partita_context_plugins(context, &plugins, &count));
        for (uint32_t k = 0; k < count; k++)
            if (strcmp(plugins[k].name, bad_rows[i].set) == 0) message = plugins[k].message;
        assert_non_null(message);
        if (!strstr(message, bad_rows[i].message)) fail_msg("%s: \"%s\"", bad_rows[i].set, message);
        /* Its operators are then nobody's. */
        OK(load(context, make_model("Twice", false, false, NULL), &model));
        assert_int_equal(plan_on_cpu(model, &plan), PARTITA_UNPLACED);
        assert_message("no kernel for toy.Twice");
        partita_model_destroy(model);
        partita_context_destroy(context);
    }
}

/* Sets that load, and fail once they are asked. */
static const struct {
    const char *set, *op;
    bool scalar;
    partita_status load, plan;
    const char *message;
} failing_rows[] = {
    {"good", "Twice", true, PARTITA_BAD_MODEL, 0, "node 'the node' (Twice): a scalar cannot be put beside itself"},
    {"silent", "Twice", false, PARTITA_BAD_MODEL, 0, "operator set silent: failed, and gave no reason"},
    {"no_status", "Twice", false, PARTITA_INTERNAL, 0, "operator set no_status: returned 12345, which is no status"},
    {"rank", "Twice", false, PARTITA_BAD_MODEL, 0, "rank 1000 is not in 0 to 16"},
    {"choice", "Scaled", false, PARTITA_INTERNAL, 0, "operator set choice: chose body 17 of 2"},
    {"no_choice", "Scaled", false, PARTITA_OK, PARTITA_UNPLACED, "no kernel for toy.Scaled"},
    {"good", "Endless", false, PARTITA_OK, PARTITA_UNPLACED, "no kernel for toy.Endless"},
    {"good", "Garbage", false, PARTITA_OK, PARTITA_BAD_MODEL, "node 'the node' (Garbage): its body in ONNX"},
    {"good", "Wrong", false, PARTITA_OK, PARTITA_BAD_MODEL, "input Z is computed by no node"},
    {"good", "Unknown", false, PARTITA_OK, PARTITA_UNPLACED, "no kernel for toy.Unknown"},
};

static void failures_are_told(void **state) {
    (void)state;
    for (size_t i = 0; i < PT_COUNT_OF(failing_rows); i++) {
        partita_context *context;
        partita_model *model = NULL;
        partita_plan *plan;
        OK(open_context(failing_rows[i].set, &context));
        partita_status status =
            load(context, make_model(failing_rows[i].op, failing_rows[i].scalar, false, NULL), &model);
        if (status != failing_rows[i].load) fail_msg("row %zu: load gives %d: %s", i, status, partita_last_error());
        if (status == PARTITA_OK) {
            status = plan_on_cpu(model, &plan);
            if (status != failing_rows[i].plan) fail_msg("row %zu: plan gives %d: %s", i, status, partita_last_error());
        }
        assert_message(failing_rows[i].message);
        partita_model_destroy(model);
        partita_context_destroy(context);
    }
}

/* Handles that the host never gave are unknown dims. */
static void bad_handles_do_no_harm(void **state) {
    partita_context *context;
    partita_model *model;
    (void)state;
    OK(open_context("bad_handles", &context));
    OK(load(context, make_model("Twice", false, false, NULL), &model));
    assert_int_equal(partita_model_output(model, 0)->rank, 1);
    assert_int_equal(partita_model_output(model, 0)->dims[0], -1);
    partita_model_destroy(model);
    partita_context_destroy(context);
}

/* A row of an older header works as far as it goes. */
static void short_rows_have_defaults(void **state) {
    partita_context *context;
    partita_model *model;
    partita_plan *plan;
    (void)state;
    OK(open_context("no_choose_slot", &context));
    OK(load(context, make_model("Twice", false, false, NULL), &model));
    OK(plan_on_cpu(model, &plan));
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    partita_context_destroy(context);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void every_allocation_may_fail(void **state) {
    partita_context *context;
    partita_status status = PARTITA_OUT_OF_MEMORY;
    (void)state;
    OK(open_context("good", &context));
    for (int64_t k = 0; status != PARTITA_OK; k++) {
        bytes file = make_model("Nested", false, false, NULL);
        partita_model *model = NULL;
        partita_plan *plan = NULL;
        pt_alloc_fail_after(k, true);
        status = partita_model_load_memory(context, file.data, file.size, NULL, &model);
        if (status == PARTITA_OK) status = plan_on_cpu(model, &plan);
        pt_alloc_fail_after(-1, false);
        if (status != PARTITA_OK && status != PARTITA_OUT_OF_MEMORY)
            fail_msg("allocation %lld: %s", (long long)k, partita_last_error());
        partita_plan_destroy(plan);
        partita_model_destroy(model);
        pt_free(file.data);
        assert_true(k < 100000);
    }
    partita_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_are_expanded),    cmocka_unit_test(sources_stay),
        cmocka_unit_test(only_used_sets_are_opened), cmocka_unit_test(bad_sets_are_refused),
        cmocka_unit_test(failures_are_told),         cmocka_unit_test(bad_handles_do_no_harm),
        cmocka_unit_test(short_rows_have_defaults),  cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
