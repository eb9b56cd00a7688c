/* SPDX-License-Identifier: Apache-2.0 */
/* `partita inspect`: what a model holds, and what loading it costs. */
#include "job.h"
#include "process_memory.h"
#include <inttypes.h>

static void print_values(json_t *document, const char *key) {
    size_t index;
    json_t *row;
    printf("%s\n", key);
    json_array_foreach(json_object_get(document, key), index, row) {
        char *shape = json_dumps(json_object_get(row, "shape"), JSON_COMPACT | JSON_ENCODE_ANY);
        printf("  ");
        tool_show(pt_str(json_string_value(json_object_get(row, "name"))), stdout);
        printf(": %s %s\n", json_string_value(json_object_get(row, "dtype")), shape ? shape : "");
        free(shape);
    }
}

static void print_operator(const char *name, json_int_t count) {
    char shown[256];
    pt_str_show(pt_str(name), shown, sizeof(shown));
    printf("  %-28s %" JSON_INTEGER_FORMAT "\n", shown, count);
}

static void print_inspection(json_t *document) {
    const char *key;
    json_t *value;
    size_t index;
    print_values(document, "inputs");
    print_values(document, "outputs");
    printf("opsets\n");
    json_array_foreach(json_object_get(document, "opsets"), index, value) {
        const char *domain = json_string_value(json_object_get(value, "domain"));
        printf("  %s %" JSON_INTEGER_FORMAT "\n", domain && domain[0] ? domain : "ai.onnx",
               json_integer_value(json_object_get(value, "version")));
    }
    printf("operators\n");
    json_object_foreach(json_object_get(document, "operators"), key, value)
        print_operator(key, json_integer_value(value));
    printf("parameters %" JSON_INTEGER_FORMAT ", %.1f MiB of weights, %.3f GFLOP\n",
           json_integer_value(json_object_get(document, "parameters")),
           json_number_value(json_object_get(document, "weight_bytes")) / 0x1p20,
           json_number_value(json_object_get(document, "flops")) / 1e9);
    printf("loaded in %.1f ms, private memory %.1f MiB, peak %.1f MiB\n",
           json_number_value(json_object_get(document, "load_ms")),
           json_number_value(json_object_get(document, "private_mib")),
           json_number_value(json_object_get(document, "peak_mib")));
}

partita_status tool_inspect(const tool_options *options) {
    tool_job job;
    char *text = NULL;
    json_t *document = NULL;
    partita_status status;
    PT_CHECK(tool_job_open(options, &job));
    uint64_t start = pt_now_ns();
    PT_CHECK(tool_job_load(&job, options->arguments[0]));
    double load_ms = tool_ms_since(start);
    tool_process_memory memory = tool_process_memory_now();
    PT_CHECK(partita_model_inspect(job.model, &text));
    document = json_loads(text, 0, NULL);
    if (!document) PT_CHECK(PT_OUT_OF_MEMORY());
    json_object_set_new(document, "load_ms", json_real(load_ms));
    json_object_set_new(document, "private_mib", json_real(memory.private_dirty_mib));
    json_object_set_new(document, "peak_mib", json_real(memory.peak_mib));
    if (options->given[OPTION_JSON])
        status = tool_json_print(json_incref(document));
    else
        print_inspection(document);
out:
    json_decref(document);
    partita_text_destroy(text);
    tool_job_deinit(&job);
    return status;
}
