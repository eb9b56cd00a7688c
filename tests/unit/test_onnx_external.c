/* SPDX-License-Identifier: Apache-2.0 */
/*
 * External data: what lies beneath the model's folder loads, links of caches included; nothing else can be reached.
 */
#include "onnx/reader.h"

#include "hostile/bytes.h"

#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static const char *in_root(const char *name) {
    static char paths[4][512];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void write_file(const char *name, const void *data, size_t size) {
    FILE *file = fopen(in_root(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

static void make_folder(const char *name) { assert_int_equal(mkdir(in_root(name), 0700), 0); }
static void make_link(const char *target, const char *name) { assert_int_equal(symlink(target, in_root(name)), 0); }

static void external_entry(bytes *tensor, const char *key, const char *value) {
    bytes entry = {0};
    if (!value) return;
    bytes_str(&entry, 1, key);
    bytes_str(&entry, 2, value);
    bytes_message(tensor, TENSOR_EXTERNAL, &entry);
}

/* A model with one initializer of four floats that lies at `location`. */
static bytes external_model(const char *location, const char *offset, const char *length) {
    bytes graph = {0}, tensor = {0};
    bytes_int(&tensor, TENSOR_DIMS, 4);
    bytes_int(&tensor, TENSOR_TYPE, PARTITA_FLOAT32);
    bytes_str(&tensor, TENSOR_NAME, "w");
    external_entry(&tensor, "location", location);
    external_entry(&tensor, "offset", offset);
    external_entry(&tensor, "length", length);
    external_entry(&tensor, "anything", "else");
    bytes_int(&tensor, TENSOR_LOCATION, 1);
    bytes_message(&graph, GRAPH_INITIALIZER, &tensor);
    return bytes_model(&graph);
}

static void write_model(const char *name, const char *location) {
    bytes file = external_model(location, "4", "16");
    write_file(name, file.data, file.size);
    bytes_free(&file);
}

static int set_up(void **state) {
    PT_UNUSED(state);
    static const float data[] = {0, 1, 2, 3, 4, 5};
    snprintf(root, sizeof root, "/tmp/partita_external_XXXXXX");
    if (!mkdtemp(root)) return 1;
    make_folder("outside");
    write_file("outside/secret", data, sizeof data);
    make_folder("model");
    make_folder("model/sub");
    write_file("model/weights", data, sizeof data);
    write_file("model/sub/weights", data, sizeof data);
    make_link("weights", "model/inner_link");
    make_link("../outside/secret", "model/outer_link");
    make_link("../outside", "model/outer_folder");
    make_link(in_root("outside/secret"), "model/absolute_link");
    make_link("loop", "model/loop");
    make_link("/dev/zero", "model/device_link");
    if (mkfifo(in_root("model/fifo"), 0600) != 0) return 1;
    /* A cache: names in snapshots/1 are links to blobs. */
    make_folder("cache");
    make_folder("cache/blobs");
    make_folder("cache/snapshots");
    make_folder("cache/snapshots/1");
    write_file("cache/blobs/abc", data, sizeof data);
    write_model("cache/blobs/def", "model.onnx_data");
    make_link("../../blobs/def", "cache/snapshots/1/model.onnx");
    make_link("../../blobs/abc", "cache/snapshots/1/model.onnx_data");
    /* A link to a model whose data lies beside the model, not beside the link. */
    make_folder("elsewhere");
    write_model("model/model.onnx", "weights");
    make_link("../model/model.onnx", "elsewhere/model.onnx");
    return 0;
}

static int tear_down(void **state) {
    PT_UNUSED(state);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void assert_weight(pt_model *model) {
    static const float expected[] = {1, 2, 3, 4};
    const pt_tensor *tensor = model->values.data[0].constant;
    assert_int_equal(tensor->weight->bytes, 16);
    assert_memory_equal(tensor->weight->data, expected, 16);
    pt_model_destroy(model);
}

static void data_beneath_the_folder_loads(void **state) {
    PT_UNUSED(state);
    static const char *const locations[] = {"weights", "./weights", "sub/weights", "sub//weights", "inner_link"};
    pt_model *model;
    for (size_t i = 0; i < PT_COUNT_OF(locations); i++) {
        for (int copy = 0; copy < 2; copy++) {
            pt_onnx_options options = {.copy_weights = copy};
            write_model("model/m.onnx", locations[i]);
            if (pt_onnx_load_file(in_root("model/m.onnx"), &options, &model)) fail_msg("%s", pt_last_message());
            assert_weight(model);
        }
    }
    bytes file = external_model("weights", "4", NULL);
    assert_int_equal(pt_onnx_load_memory(file.data, file.size, false, in_root("model"), NULL, &model), PARTITA_OK);
    assert_weight(model);
    bytes_free(&file);
    /* a path without folder */
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(in_root("model")), 0);
    assert_int_equal(pt_onnx_load_file("m.onnx", NULL, &model), PARTITA_OK);
    assert_int_equal(chdir(before), 0);
    assert_weight(model);
}

static void caches_of_links_load(void **state) {
    PT_UNUSED(state);
    pt_model *model;
    if (pt_onnx_load_file(in_root("cache/snapshots/1/model.onnx"), NULL, &model)) fail_msg("%s", pt_last_message());
    assert_weight(model);
    if (pt_onnx_load_file(in_root("elsewhere/model.onnx"), NULL, &model)) fail_msg("%s", pt_last_message());
    assert_weight(model);
}

static void escapes_are_refused(void **state) {
    PT_UNUSED(state);
    const struct {
        const char *location;
        partita_status status;
    } rows[] = {
        {"../outside/secret", PARTITA_BAD_MODEL},
        {"sub/../../outside/secret", PARTITA_BAD_MODEL},
        {"sub/../weights", PARTITA_BAD_MODEL},
        {"..", PARTITA_BAD_MODEL},
        {in_root("outside/secret"), PARTITA_BAD_MODEL},
        {"/dev/zero", PARTITA_BAD_MODEL},
        {"/etc/passwd", PARTITA_BAD_MODEL},
        {"outer_link", PARTITA_BAD_MODEL},
        {"outer_folder/secret", PARTITA_BAD_MODEL},
        {"absolute_link", PARTITA_BAD_MODEL},
        {"device_link", PARTITA_BAD_MODEL},
        {"loop", PARTITA_IO},
        {"fifo", PARTITA_BAD_MODEL},
        {"sub", PARTITA_BAD_MODEL},
        {".", PARTITA_BAD_MODEL},
        {"", PARTITA_BAD_MODEL},
        {"missing", PARTITA_IO},
        {"weights/missing", PARTITA_IO},
        {"*/_ORT_MEM_ADDR_/*", PARTITA_IO},
    };
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        pt_model *model = NULL;
        write_model("model/m.onnx", rows[i].location);
        uint64_t begin = pt_now_ns();
        partita_status status = pt_onnx_load_file(in_root("model/m.onnx"), NULL, &model);
        assert_true(pt_now_ns() - begin < UINT64_C(1000000000));
        if (status != rows[i].status) fail_msg("%s: %d %s", rows[i].location, status, pt_last_message());
        assert_non_null(strstr(pt_last_message(), "initializer w"));
    }
    /* In the cache, too, links lead to the blobs only. */
    pt_model *model = NULL;
    assert_int_equal(unlink(in_root("cache/snapshots/1/model.onnx_data")), 0);
    make_link("../../../outside/secret", "cache/snapshots/1/model.onnx_data");
    assert_int_equal(pt_onnx_load_file(in_root("cache/snapshots/1/model.onnx"), NULL, &model), PARTITA_BAD_MODEL);
    /* A model in memory has no folder. */
    bytes file = external_model("weights", "4", "16");
    assert_int_equal(pt_onnx_load_memory(file.data, file.size, false, NULL, NULL, &model), PARTITA_BAD_MODEL);
    bytes_free(&file);
    assert_int_equal(pt_onnx_load_file(in_root("model/fifo"), NULL, &model), PARTITA_IO);
    assert_int_equal(pt_onnx_load_file(in_root("model"), NULL, &model), PARTITA_IO);
    assert_int_equal(pt_onnx_load_file(in_root("absent"), NULL, &model), PARTITA_IO);
}

static void offsets_are_checked(void **state) {
    PT_UNUSED(state);
    static const struct {
        const char *offset, *length;
        bool loads;
    } rows[] = {
        {"0", "16", true},
        {NULL, NULL, true},
        {"8", NULL, true},
        {"9", NULL, false},
        {"24", "0", false},
        {"4", "15", false},
        {"4", "17", false},
        {"-4", "16", false},
        {"4x", "16", false},
        {"", "16", false},
        {"18446744073709551615", "16", false},
        {"18446744073709551616", "16", false},
        {"9223372036854775807", NULL, false},
    };
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        pt_model *model = NULL;
        bytes file = external_model("weights", rows[i].offset, rows[i].length);
        partita_status status = pt_onnx_load_memory(file.data, file.size, true, in_root("model"), NULL, &model);
        assert_int_equal(status, rows[i].loads ? PARTITA_OK : PARTITA_BAD_MODEL);
        pt_model_destroy(model);
        bytes_free(&file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_beneath_the_folder_loads),
        cmocka_unit_test(caches_of_links_load),
        cmocka_unit_test(escapes_are_refused),
        cmocka_unit_test(offsets_are_checked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
