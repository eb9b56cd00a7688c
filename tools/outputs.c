/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs of a run: as JSON, as files, as a summary for people. */
#include "job.h"
#include "element.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>

json_t *tool_json_document(void) { return json_pack("{s:i}", "schema", 1); }

void tool_json_set(json_t *object, const char *key, json_t *value) {
    json_t *text = pt_json_text(pt_str(key));
    json_object_set_new(object, json_string_value(text), value);
    json_decref(text);
}

void tool_json_set_error(json_t *document, partita_status status) {
    json_object_set_new(document, "error",
                        json_pack("{s:i,s:s,s:o}", "code", (int)status, "status", partita_status_text(status),
                                  "message", pt_json_text(pt_str(pt_last_message()))));
}

static bool printed;

bool tool_json_is_printed(void) { return printed; }

partita_status tool_json_print(json_t *document) {
    char *text = document ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(document);
    if (!text) return PT_OUT_OF_MEMORY();
    printf("%s\n", text);
    printed = true;
    free(text);
    return PARTITA_OK;
}

/* JSON has no NaN and no infinity: they are the strings "nan", "inf", "-inf". */
static json_t *number(double value) {
    if (isnan(value)) return json_string("nan");
    if (isinf(value)) return json_string(value > 0 ? "inf" : "-inf");
    return json_real(value);
}

/* JSON's integers are those of int64 here; what is larger is a string of its digits. */
static json_t *large_json(uint64_t value) {
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRIu64, value);
    return json_string(digits);
}

static json_t *element_json(const partita_value_view *view, uint64_t index) {
    tool_element element;
    if (view->dtype == PARTITA_STRING)
        return pt_json_text((partita_str){(const char *)view->data + view->offsets[index],
                                          (size_t)(view->offsets[index + 1] - view->offsets[index])});
    if (view->dtype == PARTITA_BOOL) return json_boolean(((const uint8_t *)view->data)[index]);
    element = tool_element_at(view, index);
    if (view->dtype == PARTITA_UINT64 && element.integer < 0) return large_json((uint64_t)element.integer);
    if (element.is_integer) return json_integer(element.integer);
    if (view->dtype == PARTITA_COMPLEX64 || view->dtype == PARTITA_COMPLEX128)
        return json_pack("[oo]", number(element.real), number(element.imaginary));
    return number(element.real);
}

static json_t *tensor_json(const partita_value_view *view, bool with_data) {
    json_t *shape = json_array(), *data = with_data ? json_array() : NULL;
    for (uint32_t i = 0; i < view->rank; i++) json_array_append_new(shape, json_integer(view->dims[i]));
    for (uint64_t i = 0; data && i < view->count; i++) json_array_append_new(data, element_json(view, i));
    json_t *object =
        json_pack("{s:s,s:s,s:o}", "type", "tensor", "dtype", partita_dtype_name(view->dtype), "shape", shape);
    if (data) json_object_set_new(object, "data", data);
    return object;
}

static json_t *items_json(const partita_value *value, uint64_t count, bool with_data) {
    json_t *items = json_array();
    for (uint64_t i = 0; i < count; i++)
        json_array_append_new(items, tool_value_json(partita_value_item(value, i), with_data));
    return items;
}

/* The keys of a map as a plain list. */
static json_t *keys_json(const partita_value *value) {
    json_t *keys = json_array();
    partita_value_view view = {.size = sizeof(view)};
    if (partita_value_view_of(partita_value_item(value, 0), &view) != PARTITA_OK) return keys;
    for (uint64_t i = 0; i < view.count; i++) json_array_append_new(keys, element_json(&view, i));
    return keys;
}

json_t *tool_value_json(const partita_value *value, bool with_data) {
    partita_value_view view = {.size = sizeof(view)};
    if (!value || partita_value_view_of(value, &view) != PARTITA_OK) return json_null();
    switch (view.kind) {
    case PARTITA_KIND_TENSOR: return tensor_json(&view, with_data);
    case PARTITA_KIND_SEQUENCE:
        return json_pack("{s:s,s:o}", "type", "sequence", "items", items_json(value, view.count, with_data));
    case PARTITA_KIND_OPTIONAL:
        return json_pack("{s:s,s:o}", "type", "optional", "item",
                         view.count ? tool_value_json(partita_value_item(value, 0), with_data) : json_null());
    case PARTITA_KIND_MAP: {
        json_t *values = json_array();
        partita_value *held = partita_value_item(value, 1);
        partita_value_view of_values = {.size = sizeof(of_values)};
        if (partita_value_view_of(held, &of_values) == PARTITA_OK)
            for (uint64_t i = 0; i < of_values.count; i++)
                json_array_append_new(values, of_values.kind == PARTITA_KIND_TENSOR
                                                  ? element_json(&of_values, i)
                                                  : tool_value_json(partita_value_item(held, i), with_data));
        return json_pack("{s:s,s:o,s:o}", "type", "map", "keys", keys_json(value), "values", values);
    }
    case PARTITA_KIND_SPARSE: {
        json_t *shape = json_array();
        for (uint32_t i = 0; i < view.rank; i++) json_array_append_new(shape, json_integer(view.dims[i]));
        return json_pack("{s:s,s:o,s:o,s:o}", "type", "sparse", "shape", shape, "values",
                         tool_value_json(partita_value_item(value, 0), with_data), "indices",
                         tool_value_json(partita_value_item(value, 1), with_data));
    }
    default: return json_null();
    }
}

static partita_status write_json(const tool_job *job, const char *path) {
    json_t *document = json_object();
    for (uint32_t i = 0; i < job->output_count; i++)
        tool_json_set(document, partita_model_output(job->model, i)->name, tool_value_json(job->outputs[i], true));
    tool_file file;
    partita_status status = tool_file_begin(path, &file);
    if (status == PARTITA_OK) {
        errno = ENOMEM; /* the dump also fails without a write */
        bool failed = json_dumpf(document, file.stream, JSON_COMPACT | JSON_REAL_PRECISION(17)) != 0;
        if (failed) status = pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
        status = tool_file_end(&file, status);
    }
    json_decref(document);
    return status;
}

static bool is_json(const char *path) {
    size_t size = strlen(path);
    return size > 5 && strcmp(path + size - 5, ".json") == 0;
}

partita_status tool_outputs_check(const char *path) {
    size_t size = strlen(path);
    if (is_json(path) || (size > 4 && strcmp(path + size - 4, ".npz") == 0)) return PARTITA_OK;
    return pt_fail(PARTITA_INVALID_ARGUMENT, "--outputs: '%s' is neither .npz nor .json", path);
}

partita_status tool_outputs_write(const tool_job *job, const char *path) {
    if (is_json(path)) return write_json(job, path);
    tool_values values = {0};
    partita_status status = PARTITA_OK;
    for (uint32_t i = 0; i < job->output_count && status == PARTITA_OK; i++) {
        partita_value_retain(job->outputs[i]);
        status = tool_values_add(&values, partita_model_output(job->model, i)->name, job->outputs[i]);
    }
    if (status == PARTITA_OK) status = tool_npz_write(path, &values);
    tool_values_deinit(&values);
    return status;
}

void tool_show(partita_str text, FILE *stream) {
    pt_text shown = {0};
    pt_text_append_clean(&shown, text, true);
    fputs(shown.data ? shown.data : "", stream);
    pt_text_deinit(&shown);
}

static void print_tensor(const partita_value_view *view, FILE *stream) {
    fprintf(stream, "%s[", partita_dtype_name(view->dtype));
    for (uint32_t i = 0; i < view->rank; i++) fprintf(stream, "%s%" PRId64, i ? "," : "", view->dims[i]);
    fprintf(stream, "]");
    if (view->dtype == PARTITA_STRING) {
        for (uint64_t i = 0; i < view->count && i < 4; i++) {
            fprintf(stream, " \"");
            tool_show((partita_str){(const char *)view->data + view->offsets[i],
                                    (size_t)(view->offsets[i + 1] - view->offsets[i])},
                      stream);
            fprintf(stream, "\"");
        }
        return;
    }
    double low = INFINITY, high = -INFINITY, sum = 0;
    uint64_t strange = 0;
    for (uint64_t i = 0; i < view->count; i++) {
        double x = tool_element_at(view, i).real;
        if (!isfinite(x)) {
            strange++;
            continue;
        }
        low = fmin(low, x), high = fmax(high, x), sum += x;
    }
    if (view->count > strange)
        fprintf(stream, "  min %.6g  max %.6g  mean %.6g", low, high, sum / (double)(view->count - strange));
    if (strange) fprintf(stream, "  not finite %" PRIu64, strange);
}

void tool_outputs_print(const tool_job *job, FILE *stream) {
    for (uint32_t i = 0; i < job->output_count; i++) {
        partita_value_view view = {.size = sizeof(view)};
        tool_show(pt_str(partita_model_output(job->model, i)->name), stream);
        fprintf(stream, ": ");
        if (!job->outputs[i] || partita_value_view_of(job->outputs[i], &view) != PARTITA_OK) {
            fprintf(stream, "none\n");
            continue;
        }
        if (view.kind == PARTITA_KIND_TENSOR)
            print_tensor(&view, stream);
        else
            fprintf(stream, "%s of %" PRIu64, tool_kind_name(view.kind), view.count);
        fprintf(stream, "\n");
    }
}
