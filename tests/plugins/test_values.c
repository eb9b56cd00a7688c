/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ABI has to carry before it counts as usable: outputs whose shape depends on data, values of every kind,
 * packed types, a weight in a mapping, an error inside an asynchronous run. The other side is echo_plugin.c.
 */
#include "graph/model.h"
#include "onnx/writer.h"

#include <partita/partita.h>
#include <partita/plugin.h>

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define OK_MESSAGE partita_last_error()
#include "ok.h"

enum { MOST = 8, LARGE = 3000 };

/* A model of nodes "OP" of the domain test.echo, or of ONNX, from inputs of these types to outputs. */
typedef struct world {
    pt_model *model;
    partita_context *context;
    partita_model *loaded;
    partita_plan *plan;
    partita_session *session;
    partita_value *inputs[MOST], *outputs[MOST];
    uint32_t input_count, output_count;
    char path[64];
} world;

static const char *const paths[] = {ECHO_FOLDER};

static void begin(world *w) {
    pt_id graph;
    memset(w, 0, sizeof(*w));
    OK(pt_model_create(&w->model));
    OK(pt_model_add_graph(w->model, PT_STR("main"), PT_NONE, &graph));
    w->model->ir_version = 10;
    assert_true(pt_array_push(&w->model->opsets, (pt_opset){PT_STR(""), 17}));
    assert_true(pt_array_push(&w->model->opsets, (pt_opset){PT_STR("test.echo"), 1}));
}

static pt_id add_value(world *w, const char *name, const pt_type *type) {
    pt_id value;
    OK(pt_model_add_value(w->model, 0, pt_str(name), type, &value));
    return value;
}

static pt_id add_input(world *w, const char *name, const pt_type *type, partita_value *value) {
    pt_id input = add_value(w, name, type);
    OK(pt_graph_add_input(w->model, 0, input));
    w->inputs[w->input_count++] = value;
    return input;
}

static pt_id add_weight(world *w, const char *name, partita_dtype dtype, uint32_t rank, const int64_t *dims,
                        const void *data, uint64_t bytes) {
    pt_dim own[4];
    pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = dtype, .rank = (int32_t)rank, .dims = own};
    void *copy = pt_malloc((size_t)bytes);
    pt_weight *weight;
    pt_tensor *tensor;
    pt_id value;
    for (uint32_t i = 0; i < rank; i++) own[i] = dims[i];
    memcpy(copy, data, (size_t)bytes);
    OK(pt_weight_create_owned(copy, bytes, &weight));
    OK(pt_model_add_tensor(w->model, dtype, rank, dims, weight, &tensor));
    value = add_value(w, name, &type);
    OK(pt_value_set_constant(w->model, value, tensor));
    return value;
}

static void add_node(world *w, const char *op, const char *domain, const pt_id *inputs, uint32_t count,
                     const char *output, const pt_type *type) {
    pt_id value = add_value(w, output, type), node;
    uint32_t source;
    OK(pt_model_add_node(w->model, 0, pt_str(op), pt_str(domain), *domain ? 1 : 17, inputs, count, &value, 1, &node));
    OK(pt_model_add_source(w->model, pt_str(output), pt_str(op), pt_str(domain), &source));
    OK(pt_node_add_source(w->model, node, source));
    OK(pt_graph_add_output(w->model, 0, value));
    w->output_count++;
}

/* Writes the model, loads it, compiles it for the device. */
static void load(world *w, const char *devices, const partita_option *option) {
    const partita_context_options context = {.size = sizeof(context),
                                             .plugin_paths = paths,
                                             .plugin_path_count = 1,
                                             .options = option,
                                             .option_count = option != NULL};
    const partita_plan_options plan = {.size = sizeof(plan), .devices = devices};
    const partita_session_options session = {.size = sizeof(session), .measure = 1}; /* counts launches */
    void *bytes;
    uint64_t size;
    int fd;
    OK(pt_onnx_write(w->model, UINT64_MAX, &bytes, &size));
    snprintf(w->path, sizeof(w->path), "/tmp/partita-values-XXXXXX");
    fd = mkstemp(w->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, (size_t)size), (ssize_t)size);
    close(fd);
    pt_free(bytes);
    OK(partita_context_create(&context, &w->context));
    OK(partita_model_load_file(w->context, w->path, NULL, &w->loaded));
    OK(partita_plan_create(w->loaded, &plan, &w->plan));
    OK(partita_session_create(w->plan, &session, &w->session));
}

static partita_status run(world *w) {
    return partita_session_run(w->session, NULL, w->inputs, w->input_count, w->outputs, w->output_count);
}

static void end(world *w, const char *device, bool ran) {
    partita_device_usage usage = {.size = sizeof(usage)};
    OK(partita_session_device(w->session, 0, &usage));
    assert_string_equal(usage.device, device);
    assert_int_equal(usage.launches > 0, ran);
    for (uint32_t i = 0; i < w->input_count; i++) partita_value_release(w->inputs[i]);
    for (uint32_t i = 0; i < w->output_count; i++) partita_value_release(w->outputs[i]);
    partita_session_destroy(w->session);
    partita_plan_destroy(w->plan);
    partita_model_destroy(w->loaded);
    partita_context_destroy(w->context);
    pt_model_destroy(w->model);
    unlink(w->path);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static partita_value_view view_of(const partita_value *value) {
    partita_value_view view = {.size = sizeof(view)};
    OK(partita_value_view_of(value, &view));
    return view;
}

static void assert_same(const partita_value *a, const partita_value *b) {
    assert_non_null(a);
    assert_non_null(b);
    partita_value_view x = view_of(a), y = view_of(b);
    assert_int_equal(x.kind, y.kind);
    assert_int_equal(x.count, y.count);
    if (x.kind == PARTITA_KIND_TENSOR || x.kind == PARTITA_KIND_SPARSE) {
        assert_int_equal(x.dtype, y.dtype);
        assert_int_equal(x.rank, y.rank);
        if (x.rank) assert_memory_equal(x.dims, y.dims, x.rank * sizeof(*x.dims));
    }
    if (x.kind == PARTITA_KIND_TENSOR) {
        if (x.dtype == PARTITA_STRING) assert_memory_equal(x.offsets, y.offsets, (x.count + 1) * sizeof(*x.offsets));
        assert_int_equal(x.bytes, y.bytes);
        if (x.bytes) assert_memory_equal(x.data, y.data, x.bytes);
        return;
    }
    uint64_t items = x.kind == PARTITA_KIND_SPARSE || x.kind == PARTITA_KIND_MAP ? 2 : x.count;
    for (uint64_t i = 0; i < items; i++) assert_same(partita_value_item(a, i), partita_value_item(b, i));
}

/* ---- values of every kind -------------------------------------------------------------------- */

static partita_value *dense(partita_dtype dtype, uint32_t rank, const int64_t *dims, const void *data) {
    partita_value *value;
    OK(partita_value_create(dtype, rank, dims, data, &value));
    return value;
}

static partita_value *floats(int64_t count) {
    float data[16];
    for (int64_t i = 0; i < count; i++) data[i] = (float)i - 2.5f;
    return dense(PARTITA_FLOAT32, 1, &count, data);
}

static partita_value *words(void) {
    const partita_str text[] = {{"na\0me", 5}, {"", 0}, {"\xce\xbb", 2}, {"longer than a few bytes", 23}};
    partita_value *value;
    OK(partita_value_create_strings(2, (int64_t[]){2, 2}, text, &value));
    return value;
}

static partita_value *sparse(void) {
    partita_value *values = floats(3), *value;
    partita_value *indices = dense(PARTITA_INT64, 2, (int64_t[]){3, 2}, (int64_t[]){0, 1, 1, 0, 2, 3});
    OK(partita_value_create_sparse(2, (int64_t[]){3, 4}, values, indices, &value));
    partita_value_release(values);
    partita_value_release(indices);
    return value;
}

static partita_value *container(partita_kind kind, partita_value *first, partita_value *second) {
    partita_value *items[] = {first, second}, *value;
    uint64_t count = (first != NULL) + (second != NULL);
    OK(partita_value_create_container(kind, PARTITA_FLOAT32, items, count, &value));
    partita_value_release(first);
    partita_value_release(second);
    return value;
}

static void every_kind_crosses(void **state) {
    pt_type tensor = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = -1};
    pt_type text = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_STRING, .rank = 2, .dims = (pt_dim[]){2, 2}};
    pt_type thin = {.kind = PARTITA_KIND_SPARSE, .dtype = PARTITA_FLOAT32, .rank = 2, .dims = (pt_dim[]){3, 4}};
    pt_type list = {.kind = PARTITA_KIND_SEQUENCE, .rank = -1, .element = &tensor};
    pt_type maybe = {.kind = PARTITA_KIND_OPTIONAL, .rank = -1, .element = &tensor};
    pt_type table = {.kind = PARTITA_KIND_MAP, .dtype = PARTITA_FLOAT32, .key_dtype = PARTITA_INT64, .rank = -1};
    pt_type nibbles = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_INT4, .rank = 1, .dims = (pt_dim[]){5}};
    partita_value *keys = dense(PARTITA_INT64, 1, (int64_t[]){3}, (int64_t[]){7, -1, 5});
    const struct {
        const char *name;
        pt_type *type;
        partita_value *value;
    } rows[] = {
        {"text", &text, words()},
        {"thin", &thin, sparse()},
        {"list", &list, container(PARTITA_KIND_SEQUENCE, floats(2), floats(5))},
        {"some", &maybe, container(PARTITA_KIND_OPTIONAL, floats(4), NULL)},
        {"none", &maybe, container(PARTITA_KIND_OPTIONAL, NULL, NULL)},
        {"table", &table, container(PARTITA_KIND_MAP, keys, floats(3))},
        {"nibbles", &nibbles, dense(PARTITA_INT4, 1, (int64_t[]){5}, "\x21\xf8\x07")},
    };
    world w;
    PT_UNUSED(state);
    begin(&w);
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        char output[32];
        pt_id input = add_input(&w, rows[i].name, rows[i].type, rows[i].value);
        snprintf(output, sizeof(output), "%s_out", rows[i].name);
        add_node(&w, "Echo", "test.echo", &input, 1, output, rows[i].type);
    }
    load(&w, "echo", NULL);
    for (int again = 0; again < 3; again++) {
        OK(run(&w));
        for (uint32_t i = 0; i < w.output_count; i++) {
            assert_ptr_not_equal(w.inputs[i], w.outputs[i]);
            assert_same(w.inputs[i], w.outputs[i]);
            if (again < 2) partita_value_release(w.outputs[i]), w.outputs[i] = NULL;
        }
    }
    end(&w, "echo", true);
}

/* ---- shapes that depend on data -------------------------------------------------------------- */

static void data_gives_the_shape(void **state) {
    static const float matrix[] = {0, 3, 0, 0, -1, 0, 0, 0, 2, 0, 0, 9};
    static const float boxes[] = {0, 0, 10, 10, 0, 1, 10, 11, 20, 20, 30, 30, 0, 0, 9, 10, 50, 50, 51, 51};
    static const float scores[] = {0.6f, 0.9f, 0.3f, 0.8f, 0.5f};
    static const int64_t corners[] = {0, 1, 2, 2, 1, 0, 0, 3}, kept[] = {0, 0, 1, 0, 0, 4, 0, 0, 2};
    pt_dim unknown[2];
    pt_type x = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 2, .dims = (pt_dim[]){3, 4}};
    pt_type b = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 3, .dims = (pt_dim[]){1, 5, 4}};
    pt_type s = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 3, .dims = (pt_dim[]){1, 1, 5}};
    pt_type indices = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_INT64, .rank = 2, .dims = unknown};
    pt_id in[4];
    world w;
    PT_UNUSED(state);
    begin(&w);
    OK(pt_dim_data(&w.model->symbols, &unknown[0]));
    OK(pt_dim_data(&w.model->symbols, &unknown[1]));
    in[0] = add_input(&w, "x", &x, dense(PARTITA_FLOAT32, 2, (int64_t[]){3, 4}, matrix));
    add_node(&w, "NonZero", "", in, 1, "corners", &indices);
    in[0] = add_input(&w, "boxes", &b, dense(PARTITA_FLOAT32, 3, (int64_t[]){1, 5, 4}, boxes));
    in[1] = add_input(&w, "scores", &s, dense(PARTITA_FLOAT32, 3, (int64_t[]){1, 1, 5}, scores));
    in[2] = add_weight(&w, "most", PARTITA_INT64, 1, (int64_t[]){1}, (int64_t[]){3}, 8);
    in[3] = add_weight(&w, "threshold", PARTITA_FLOAT32, 1, (int64_t[]){1}, (float[]){0.5f}, 4);
    add_node(&w, "NonMaxSuppression", "", in, 4, "kept", &indices);
    load(&w, "echo", NULL);
    OK(run(&w));
    partita_value_view found = view_of(w.outputs[0]), stayed = view_of(w.outputs[1]);
    assert_int_equal(found.dims[0], 2);
    assert_int_equal(found.dims[1], 4);
    assert_memory_equal(found.data, corners, sizeof(corners));
    assert_int_equal(stayed.dims[0], 3);
    assert_int_equal(stayed.dims[1], 3);
    assert_memory_equal(stayed.data, kept, sizeof(kept));
    end(&w, "echo", true);
}

/* Nothing found is an output without elements. */
static void nothing_is_found(void **state) {
    pt_dim unknown[2] = {2, 0};
    pt_type x = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 2, .dims = (pt_dim[]){3, 4}};
    pt_type indices = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_INT64, .rank = 2, .dims = unknown};
    pt_id in;
    world w;
    PT_UNUSED(state);
    begin(&w);
    OK(pt_dim_data(&w.model->symbols, &unknown[1]));
    in = add_input(&w, "x", &x, dense(PARTITA_FLOAT32, 2, (int64_t[]){3, 4}, NULL));
    add_node(&w, "NonZero", "", &in, 1, "corners", &indices);
    load(&w, "echo", NULL);
    OK(run(&w));
    assert_int_equal(view_of(w.outputs[0]).count, 0);
    assert_int_equal(view_of(w.outputs[0]).dims[1], 0);
    end(&w, "echo", true);
}

/* The plugin writes into memory that is there, and tells the dims afterwards. */
static void bounded_outputs_are_written_first(void **state) {
    static const float cells[12] = {1, 1, 1, 1, 1};
    static const struct {
        const char *bound;
        partita_status status;
    } rows[] = {{"1000", PARTITA_OK}, {"80", PARTITA_OK}, {"79", PARTITA_DEVICE_FAILED}};
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        const partita_option option = {"echo.bound", rows[i].bound};
        pt_dim unknown[2] = {2, 0};
        pt_type x = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 2, .dims = (pt_dim[]){3, 4}};
        pt_type indices = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_INT64, .rank = 2, .dims = unknown};
        pt_id in;
        world w;
        begin(&w);
        OK(pt_dim_data(&w.model->symbols, &unknown[1]));
        in = add_input(&w, "x", &x, dense(PARTITA_FLOAT32, 2, (int64_t[]){3, 4}, cells));
        add_node(&w, "NonZero", "", &in, 1, "corners", &indices);
        load(&w, "echo", &option);
        assert_int_equal(run(&w), rows[i].status);
        if (rows[i].status == PARTITA_OK) {
            assert_int_equal(view_of(w.outputs[0]).dims[1], 5);
            assert_memory_equal(view_of(w.outputs[0]).data, ((int64_t[]){0, 0, 0, 0, 1, 0, 1, 2, 3, 0}), 80);
        } else if (!strstr(partita_last_error(),
                           "node 'corners': echo: output 'corners' has 80 bytes, its bound is 79")) {
            fail_msg("\"%s\" tells not who and why", partita_last_error());
        }
        end(&w, "echo", rows[i].status == PARTITA_OK);
    }
}

/* What a plugin says of its ports is looked at before anything runs. */
static void wrong_ports_are_refused(void **state) {
    static const struct {
        const char *lie, *message;
    } rows[] = {{"alias", "echo: an output may take over input 77 of 1"},
                {"output", "echo: a port says that its output is 77"},
                {"domain", "echo: a port names domain 77 of 0"},
                {"alignment", "echo: a port's alignment is 77, no power of two"}};
    pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 1, .dims = (pt_dim[]){4}};
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        const partita_option option = {"echo.lie", rows[i].lie};
        const partita_context_options context = {.size = sizeof(context),
                                                 .plugin_paths = paths,
                                                 .plugin_path_count = 1,
                                                 .options = &option,
                                                 .option_count = 1};
        const partita_plan_options plan = {.size = sizeof(plan), .devices = "echo"};
        void *bytes;
        uint64_t size;
        world w;
        begin(&w);
        pt_id in = add_input(&w, "x", &type, floats(4));
        add_node(&w, "Echo", "test.echo", &in, 1, "y", &type);
        OK(pt_onnx_write(w.model, UINT64_MAX, &bytes, &size));
        OK(partita_context_create(&context, &w.context));
        OK(partita_model_load_memory(w.context, bytes, size, NULL, &w.loaded));
        OK(partita_plan_create(w.loaded, &plan, &w.plan));
        assert_int_not_equal(partita_session_create(w.plan, NULL, &w.session), PARTITA_OK);
        assert_null(w.session);
        if (!strstr(partita_last_error(), rows[i].message) || !strstr(partita_last_error(), "node 'y'"))
            fail_msg("\"%s\" does not say \"%s\"", partita_last_error(), rows[i].message);
        partita_value_release(w.inputs[0]);
        partita_plan_destroy(w.plan);
        partita_model_destroy(w.loaded);
        partita_context_destroy(w.context);
        pt_model_destroy(w.model);
        pt_free(bytes);
    }
}

/* ---- weights, failures ----------------------------------------------------------------------- */

static void weights_lie_in_the_file(void **state) {
    static float numbers[LARGE];
    pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 1, .dims = (pt_dim[]){LARGE}};
    world w;
    pt_id in;
    PT_UNUSED(state);
    for (int i = 0; i < LARGE; i++) numbers[i] = (float)i * 0.5f;
    begin(&w);
    in = add_weight(&w, "w", PARTITA_FLOAT32, 1, (int64_t[]){LARGE}, numbers, sizeof(numbers));
    add_node(&w, "Mapped", "test.echo", &in, 1, "y", &type);
    load(&w, "echo", NULL);
    OK(run(&w));
    assert_memory_equal(view_of(w.outputs[0]).data, numbers, sizeof(numbers));
    end(&w, "echo", true);
}

static void asynchronous_errors_arrive(void **state) {
    pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 1, .dims = (pt_dim[]){4}};
    partita_request *request;
    world w;
    pt_id in;
    PT_UNUSED(state);
    begin(&w);
    in = add_input(&w, "x", &type, floats(4));
    add_node(&w, "Fail", "test.echo", &in, 1, "y", &type);
    load(&w, "echo", NULL);
    assert_int_equal(run(&w), PARTITA_DEVICE_FAILED);
    if (!strstr(partita_last_error(), "the queue ran dry") || !strstr(partita_last_error(), "'y'")) {
        fail_msg("\"%s\" tells neither node nor cause", partita_last_error());
    }
    assert_null(w.outputs[0]);
    OK(partita_request_start(w.session, NULL, w.inputs, 1, w.outputs, 1, &request));
    assert_int_equal(partita_request_wait(request, UINT64_MAX), PARTITA_DEVICE_FAILED);
    assert_non_null(strstr(partita_last_error(), "the queue ran dry"));
    partita_request_destroy(request);
    end(&w, "echo", false);
}

/* A simulated device that takes values of every kind keeps those that are no dense tensors in the host's memory. */
static void simulated_devices_take_every_kind(void **state) {
    pt_type text = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_STRING, .rank = 2, .dims = (pt_dim[]){2, 2}};
    static const partita_option option = {"sim:0.all_kinds", "1"};
    world w;
    pt_id in;
    PT_UNUSED(state);
    begin(&w);
    in = add_input(&w, "text", &text, words());
    add_node(&w, "Identity", "", &in, 1, "same", &text);
    load(&w, "sim:0", &option);
    OK(run(&w));
    assert_same(w.inputs[0], w.outputs[0]);
    end(&w, "sim:0", true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_crosses),
        cmocka_unit_test(data_gives_the_shape),
        cmocka_unit_test(nothing_is_found),
        cmocka_unit_test(weights_lie_in_the_file),
        cmocka_unit_test(bounded_outputs_are_written_first),
        cmocka_unit_test(wrong_ports_are_refused),
        cmocka_unit_test(asynchronous_errors_arrive),
        cmocka_unit_test(simulated_devices_take_every_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
