/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part as an ONNX model, as a plugin with a parser of its own gets it: read again, with its weights found where the
 * model says, it computes what the part does.
 */
#include "world.h"

#include "onnx/writer.h"

#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COUNT = 1000 };

static pt_id add_weight(world *w, const char *name, int64_t count, float first) {
    pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 1, .dims = (pt_dim[]){count}};
    float *data = pt_malloc((size_t)count * sizeof(*data));
    pt_weight *weight;
    pt_tensor *tensor;
    pt_id id;
    for (int64_t i = 0; i < count; i++) data[i] = first + (float)i;
    OK(pt_weight_create_owned(data, (uint64_t)count * sizeof(*data), &weight));
    OK(pt_model_add_tensor(w->model, PARTITA_FLOAT32, 1, &count, weight, &tensor));
    OK(pt_model_add_value(w->model, 0, pt_str(name), &type, &id));
    OK(pt_value_set_constant(w->model, id, tensor));
    return id;
}

/* y = -((x + large) * small), of which the sum and the product go to the plugin. Loaded from `path`, or from memory. */
static void model_open(world *w, const char *folder, const char *path) {
    static const char *const paths[] = {ONNX_FOLDER};
    const partita_option option = {"onnx.folder", folder};
    const partita_pin pins[] = {{"sum|product", "onnx"}, {"y", "cpu"}};
    const partita_context_options context = {
        .size = sizeof(context), .plugin_paths = paths, .plugin_path_count = 1, .options = &option, .option_count = 1};
    const partita_plan_options plan = {.size = sizeof(plan), .devices = "onnx,cpu", .pins = pins, .pin_count = 2};
    partita_counters counters = {.size = sizeof(counters)};
    void *bytes;
    uint64_t size;
    pt_id x = world_begin(w, COUNT);
    pt_id sum = world_node(w, "Add", "sum", x, add_weight(w, "large", COUNT, -3));
    pt_id product = world_node(w, "Mul", "product", sum, add_weight(w, "small", 1, 0.5f));
    OK(pt_graph_add_output(w->model, 0, world_node(w, "Neg", "y", product, PT_NONE)));
    OK(pt_onnx_write(w->model, UINT64_MAX, &bytes, &size));
    OK(partita_context_create(&context, &w->context));
    if (path) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, (size_t)size, file), (size_t)size);
        fclose(file);
        OK(partita_model_load_file(w->context, path, NULL, &w->loaded));
    } else {
        OK(partita_model_load_memory(w->context, bytes, size, NULL, &w->loaded));
    }
    pt_free(bytes);
    OK(partita_plan_create(w->loaded, &plan, &w->plan));
    OK(partita_session_create(w->plan, NULL, &w->session));
    partita_session_counters(w->session, &counters);
    assert_int_equal(counters.demotions, 1);
}

/* The part that was written, read by this library, on the reference device. */
static void part_open(world *w, const char *folder) {
    const partita_plan_options plan = {.size = sizeof(plan), .devices = "reference"};
    char path[256];
    snprintf(path, sizeof(path), "%s/0/model.onnx", folder);
    *w = (world){.count = COUNT};
    OK(partita_context_create(NULL, &w->context));
    OK(partita_model_load_file(w->context, path, NULL, &w->loaded));
    OK(partita_plan_create(w->loaded, &plan, &w->plan));
    OK(partita_session_create(w->plan, NULL, &w->session));
}

/* Files below the part's folder of weights; each is removed. */
static uint32_t remove_part(const char *folder) {
    static const char *const names[] = {"model.onnx", "weight", ""};
    char command[300], path[300];
    uint32_t count = 0;
    snprintf(command, sizeof(command), "find %s/0/weight -type f -size +1k -print -delete", folder);
    FILE *found = popen(command, "r");
    assert_non_null(found);
    for (int c = fgetc(found); c != EOF; c = fgetc(found)) count += c == '\n';
    pclose(found);
    snprintf(command, sizeof(command), "find %s/0/weight -type f -delete", folder);
    assert_int_equal(system(command), 0);
    for (size_t i = 0; i < PT_COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/0/%s", folder, names[i]);
        assert_int_equal(remove(path), 0);
    }
    return count;
}

static void parts_compute_the_same(void **state) {
    PT_UNUSED(state);
    for (int from_file = 0; from_file < 2; from_file++) {
        char folder[] = "/tmp/partita-part-XXXXXX", path[64];
        float numbers[COUNT], whole[COUNT], part[COUNT];
        struct stat about;
        world w, p;
        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/whole.onnx", folder);
        model_open(&w, folder, from_file ? path : NULL);
        part_open(&p, folder);
        for (int i = 0; i < COUNT; i++) numbers[i] = (float)(i % 17) - 8;
        OK(world_run(&w, numbers, whole));
        OK(world_run(&p, numbers, part));
        for (int i = 0; i < COUNT; i++) {
            assert_true(whole[i] == -part[i]);
            assert_true(part[i] == (numbers[i] - 3 + (float)i) * 0.5f);
        }
        world_end(&p);
        world_end(&w);
        snprintf(path, sizeof(path), "%s/0/model.onnx", folder);
        assert_int_equal(stat(path, &about), 0);
        assert_true(about.st_size < COUNT * 4); /* the large weight is no copy in it */
        assert_int_equal(remove_part(folder), 1);
        snprintf(path, sizeof(path), "%s/whole.onnx", folder);
        unlink(path);
        assert_int_equal(rmdir(folder), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_compute_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
