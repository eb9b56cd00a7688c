/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values in files: what onnx wrote is read, and what is written is read as the same. Models that are written load
 * again.
 */
#include "onnx/reader.h"
#include "onnx/tensor_file.h"
#include "onnx/writer.h"

#include <partita/plugin.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ok.h"

static const char *test_file(const char *name) {
    static char path[4096];
    const char *root = getenv("PARTITA_TEST_SOURCE");
    snprintf(path, sizeof path, "%s/unit/onnx/%s", root ? root : "tests", name);
    return path;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* float32[2,3]{1,2,3,4,5,6} and the like, so that a test is one line. */
static void describe(const pt_item *item, pt_text *text) {
    if (item->kind != PARTITA_KIND_TENSOR) {
        static const char *const names[] = {"none", "tensor", "sparse", "sequence", "map", "optional"};
        pt_text_printf(text, "%s", names[item->kind]);
        if (item->kind == PARTITA_KIND_SPARSE) {
            for (uint32_t i = 0; i < item->rank; i++) pt_text_printf(text, "%c%d", i ? ',' : ' ', (int)item->dims[i]);
        }
        pt_text_printf(text, "(");
        for (uint64_t i = 0; i < item->item_count; i++) {
            if (i) pt_text_printf(text, " ");
            describe(&item->items[i], text);
        }
        pt_text_printf(text, ")");
        return;
    }
    pt_text_printf(text, "%s[", pt_dtype_name(item->dtype));
    for (uint32_t i = 0; i < item->rank; i++) pt_text_printf(text, "%s%d", i ? "," : "", (int)item->dims[i]);
    pt_text_printf(text, "]{");
    for (uint64_t i = 0; i < item->count; i++) {
        if (i) pt_text_printf(text, ",");
        if (item->dtype == PARTITA_STRING) {
            size_t size = (size_t)(item->offsets[i + 1] - item->offsets[i]);
            pt_text_append(text, (partita_str){(const char *)item->data + item->offsets[i], size});
        } else if (item->dtype == PARTITA_INT64) {
            pt_text_printf(text, "%lld", (long long)((const int64_t *)item->data)[i]);
        } else if (item->dtype == PARTITA_FLOAT64) {
            pt_text_printf(text, "%g", ((const double *)item->data)[i]);
        } else {
            pt_text_printf(text, "%g", (double)((const float *)item->data)[i]);
        }
    }
    pt_text_printf(text, "}");
}

static const struct {
    const char *file;
    partita_kind kind;
    const char *name, *expected;
} values[] = {
    {"tensor.pb", PARTITA_KIND_TENSOR, "t", "float32[2,3]{1,2,3,4,5,6}"},
    {"strings.pb", PARTITA_KIND_TENSOR, "s", "string[2]{a,bc}"},
    {"sequence.pb", PARTITA_KIND_SEQUENCE, "q", "sequence(int64[2]{1,2} int64[1,1]{3})"},
    {"nested.pb", PARTITA_KIND_SEQUENCE, "n",
     "sequence(sequence(float32[1]{1}) sequence(float32[1]{2} float32[1]{3}))"},
    {"map_int.pb", PARTITA_KIND_MAP, "m", "map(int64[2]{3,-4} float32[2]{0.5,0.25})"},
    {"map_text.pb", PARTITA_KIND_MAP, "k", "map(string[2]{x,yz} sequence(int64[2]{1,2} int64[1]{3}))"},
    {"optional.pb", PARTITA_KIND_OPTIONAL, "o", "optional(float32[2]{7,8})"},
    {"optional_sequence.pb", PARTITA_KIND_OPTIONAL, "os", "optional(sequence(float32[1]{7}))"},
    {"none.pb", PARTITA_KIND_OPTIONAL, "none", "optional()"},
    {"sparse.pb", PARTITA_KIND_SPARSE, "v", "sparse 2,3(float64[2]{1.5,2.5} int64[2]{1,5})"},
};

static void values_are_read_and_written(void **state) {
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(values); i++) {
        pt_arena arena = {0};
        pt_item item;
        OK(pt_item_read_file(test_file(values[i].file), values[i].kind, &arena, &item));
        assert_true(pt_str_is(item.name, values[i].name));
        for (int turn = 0; turn < 2; turn++) {
            pt_text text = {0};
            describe(&item, &text);
            assert_string_equal(text.data, values[i].expected);
            pt_text_deinit(&text);
            void *bytes;
            uint64_t size;
            OK(pt_item_write(&item, &bytes, &size));
            OK(pt_item_read(bytes, size, values[i].kind, &arena, &item));
            pt_free(bytes);
        }
        pt_arena_deinit(&arena);
    }
}

static void broken_values_are_refused(void **state) {
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(values); i++) {
        FILE *file = fopen(test_file(values[i].file), "rb");
        char data[4096];
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        for (size_t cut = 0; cut < size; cut++) {
            for (partita_kind kind = PARTITA_KIND_TENSOR; kind <= PARTITA_KIND_OPTIONAL; kind++) {
                pt_arena arena = {0};
                pt_item item;
                char *mine = malloc(cut ? cut : 1); /* so that ASan sees a read beyond the end */
                memcpy(mine, data, cut);
                partita_status status = pt_item_read(mine, cut, kind, &arena, &item);
                assert_true(status == PARTITA_OK || status == PARTITA_BAD_INPUT);
                pt_arena_deinit(&arena);
                free(mine);
            }
        }
    }
    pt_arena arena = {0};
    pt_item item;
    assert_int_equal(pt_item_read_file("/nowhere.pb", PARTITA_KIND_TENSOR, &arena, &item), PARTITA_IO);
}

static void every_allocation_may_fail(void **state) {
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(values); i++) {
        for (int64_t k = 0;; k++) {
            pt_arena arena = {0};
            pt_item item;
            void *bytes = NULL;
            uint64_t size;
            char path[4096];
            snprintf(path, sizeof path, "%s", test_file(values[i].file));
            pt_alloc_fail_after(k, true);
            partita_status status = pt_item_read_file(path, values[i].kind, &arena, &item);
            if (status == PARTITA_OK) status = pt_item_write(&item, &bytes, &size);
            pt_alloc_fail_after(-1, false);
            pt_free(bytes);
            pt_arena_deinit(&arena);
            if (status == PARTITA_OK) break;
            assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        }
    }
}

/* ---- models ---------------------------------------------------------------------------------- */

static const pt_tensor *constant_like(const pt_model *model, partita_str name) {
    for (size_t i = 0; i < model->values.size; i++) {
        partita_str other = model->values.data[i].name;
        bool same = other.size >= name.size && memcmp(other.data, name.data, name.size) == 0 &&
                    (other.size == name.size || other.data[name.size] == '%');
        if (same && model->values.data[i].constant) return model->values.data[i].constant;
    }
    return NULL;
}

static void written_models_load_again(void **state) {
    PT_UNUSED(state);
    pt_model *model, *again;
    void *bytes;
    uint64_t size;
    OK(pt_onnx_load_file(test_file("features.onnx"), NULL, &model));
    OK(pt_onnx_write(model, UINT64_MAX, &bytes, &size));
    OK(pt_onnx_load_memory(bytes, size, false, NULL, NULL, &again));
    OK(pt_model_validate(again));
    assert_int_equal(again->nodes.size, model->nodes.size);
    assert_int_equal(again->graphs.size, model->graphs.size);
    assert_int_equal(again->graphs.data[0].inputs.size, model->graphs.data[0].inputs.size);
    for (size_t i = 0; i < model->graphs.data[0].inputs.size; i++) {
        const pt_value *x = pt_value_at(model, model->graphs.data[0].inputs.data[i]);
        const pt_value *y = pt_value_at(again, again->graphs.data[0].inputs.data[i]);
        assert_true(pt_str_equal(x->name, y->name));
        assert_int_equal(x->type.kind, y->type.kind);
        assert_int_equal(x->type.rank, y->type.rank);
        assert_int_equal(x->type.dtype, y->type.dtype);
    }
    for (size_t i = 0; i < model->graphs.data[0].order.size; i++) {
        const pt_node *x = pt_node_at(model, model->graphs.data[0].order.data[i]);
        const pt_node *y = pt_node_at(again, again->graphs.data[0].order.data[i]);
        assert_true(pt_str_equal(x->op, y->op) && pt_str_equal(x->domain, y->domain));
        assert_int_equal(x->attribute_count, y->attribute_count);
        assert_true(pt_str_equal(pt_node_name(model, model->graphs.data[0].order.data[i]),
                                 pt_node_name(again, again->graphs.data[0].order.data[i])));
        for (uint32_t k = 0; k < x->attribute_count; k++) {
            assert_int_equal(x->attributes[k].type, y->attributes[k].type);
            if (x->attributes[k].type == PTP_ATTRIBUTE_INT) assert_int_equal(x->attributes[k].i, y->attributes[k].i);
        }
    }
    for (size_t i = 0; i < model->values.size; i++) {
        const pt_value *value = &model->values.data[i];
        if (!value->constant || value->uses.size == 0) continue;
        const pt_tensor *other = constant_like(again, value->name);
        assert_non_null(other);
        assert_int_equal(other->weight->bytes, value->constant->weight->bytes);
        assert_memory_equal(other->weight->data, value->constant->weight->data, other->weight->bytes);
    }
    pt_model_destroy(again);
    pt_free(bytes);
    pt_model_destroy(model);
}

static void large_weights_can_stay_outside(void **state) {
    PT_UNUSED(state);
    pt_model *model, *again = NULL;
    void *bytes;
    uint64_t size;
    OK(pt_onnx_load_file(test_file("features.onnx"), NULL, &model));
    OK(pt_onnx_write(model, 12, &bytes, &size)); /* "w" has 12 bytes */
    char location[64];
    snprintf(location, sizeof location, "weight/%llu",
             (unsigned long long)constant_like(model, PT_STR("w"))->weight->id);
    assert_non_null(memmem(bytes, size, location, strlen(location)));
    assert_int_equal(pt_onnx_load_memory(bytes, size, false, NULL, NULL, &again), PARTITA_BAD_MODEL);
    assert_non_null(strstr(pt_last_message(), location));
    pt_free(bytes);
    for (int64_t k = 0;; k++) {
        bytes = NULL;
        pt_alloc_fail_after(k, true);
        partita_status status = pt_onnx_write(model, 12, &bytes, &size);
        pt_alloc_fail_after(-1, false);
        pt_free(bytes);
        if (status == PARTITA_OK) break;
        assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
    }
    pt_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_and_written),    cmocka_unit_test(broken_values_are_refused),
        cmocka_unit_test(every_allocation_may_fail),      cmocka_unit_test(written_models_load_again),
        cmocka_unit_test(large_weights_can_stay_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
