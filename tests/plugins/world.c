/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building, loading and running the test's model.
 */
#include "world.h"

#include "onnx/writer.h"

static pt_id add_value(world *w, const char *name) {
    pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 1, .dims = (pt_dim[]){w->count}};
    pt_id id;
    OK(pt_model_add_value(w->model, 0, pt_str(name), &type, &id));
    return id;
}

pt_id world_begin(world *w, int64_t count) {
    pt_id graph, x;
    memset(w, 0, sizeof(*w));
    w->count = count;
    OK(pt_model_create(&w->model));
    OK(pt_model_add_graph(w->model, PT_STR("main"), PT_NONE, &graph));
    w->model->ir_version = 8;
    assert_true(pt_array_push(&w->model->opsets, (pt_opset){PT_STR(""), 17}));
    x = add_value(w, "x");
    OK(pt_graph_add_input(w->model, graph, x));
    return x;
}

pt_id world_node(world *w, const char *op, const char *name, pt_id a, pt_id b) {
    const pt_id inputs[] = {a, b};
    pt_id value = add_value(w, name), node;
    uint32_t source;
    OK(pt_model_add_node(w->model, 0, pt_str(op), PT_STR(""), 17, inputs, b == PT_NONE ? 1 : 2, &value, 1, &node));
    OK(pt_model_add_source(w->model, pt_str(name), pt_str(op), PT_STR(""), &source));
    OK(pt_node_add_source(w->model, node, source));
    return value;
}

void world_load(world *w, pt_id y, const char *devices, const partita_option *options, uint32_t option_count,
                const partita_pin *pins, uint32_t pin_count) {
    const partita_context_options context = {
        .size = sizeof(context), .options = options, .option_count = option_count, .pool = w->pool};
    const partita_plan_options plan = {.size = sizeof(plan), .devices = devices, .pins = pins, .pin_count = pin_count};
    void *bytes;
    uint64_t size;
    OK(pt_graph_add_output(w->model, 0, y));
    OK(pt_onnx_write(w->model, UINT64_MAX, &bytes, &size));
    OK(partita_context_create(&context, &w->context));
    OK(partita_model_load_memory(w->context, bytes, size, NULL, &w->loaded));
    pt_free(bytes);
    OK(partita_plan_create(w->loaded, &plan, &w->plan));
    OK(partita_session_create(w->plan, NULL, &w->session));
}

partita_status world_run(const world *w, const float *numbers, float *result) {
    return world_run_session(w, w->session, numbers, result);
}

partita_status world_run_session(const world *w, partita_session *session, const float *numbers, float *result) {
    partita_value *input, *output = NULL;
    partita_status status;
    PT_TRY(partita_value_create(PARTITA_FLOAT32, 1, &w->count, numbers, &input));
    status = partita_session_run(session, NULL, &input, 1, &output, 1);
    if (status == PARTITA_OK) status = partita_value_read(output, result, (uint64_t)w->count * sizeof(*result));
    partita_value_release(input);
    partita_value_release(output);
    return status;
}

void world_end(world *w) {
    partita_session_destroy(w->session);
    partita_plan_destroy(w->plan);
    partita_model_destroy(w->loaded);
    partita_context_destroy(w->context);
    pt_model_destroy(w->model);
}
