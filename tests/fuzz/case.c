/* SPDX-License-Identifier: Apache-2.0 */
/* One case through the public API, and whether its error says what went wrong where. */
#include "fuzz.h"
#include "tensor_file.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEADLINE_MS 2000

/* Exactly as long as the model, so that a read behind it is a report. */
static partita_status pack(const fuzz_case *c, uint8_t **out_bytes, size_t *out_size) {
    size_t size = onnx__model_proto__get_packed_size(c->model);
    uint8_t *bytes = malloc(size ? size : 1);
    if (!bytes) return PT_OUT_OF_MEMORY();
    onnx__model_proto__pack(c->model, bytes);
    *out_bytes = bytes;
    *out_size = size;
    return PARTITA_OK;
}

/* The error names the node, an input or the operator set, and says more than that. */
static bool says_enough(const fuzz_case *c, const fuzz_result *result) {
    if (result->status == PARTITA_OK) return true;
    const char *error = result->error;
    if (strlen(error) < 12 || result->status == PARTITA_INTERNAL) return false;
    if (strstr(error, FUZZ_NODE)) return true;
    if (result->status == PARTITA_DEADLINE || result->status == PARTITA_OUT_OF_MEMORY ||
        result->status == PARTITA_OVER_BUDGET)
        return true;
    for (size_t i = 0; i < c->model->graph->n_node; i++) {
        const Onnx__NodeProto *node = c->model->graph->node[i];
        if (node->name && node->name[0] && strstr(error, node->name)) return true;
        if (node->op_type && strstr(error, "#") && strstr(error, node->op_type)) return true;
    }
    for (uint32_t i = 0; i < c->feed_count; i++)
        if (strstr(error, c->feeds[i].name)) return true;
    for (size_t i = 0; i < c->model->graph->n_initializer; i++)
        if (strstr(error, c->model->graph->initializer[i]->name)) return true;
    for (size_t i = 0; i < c->model->graph->n_output; i++)
        if (strstr(error, c->model->graph->output[i]->name)) return true;
    return strstr(error, "opset") != NULL || strstr(error, "version") != NULL;
}

/* A loop without an end ends at its deadline; what goes on behind it for long is a hang, for the watch to see. */
static void wait_stuck(const partita_session *session) {
    partita_counters counters = {.size = sizeof(counters)};
    do {
        usleep(10000);
        partita_session_counters(session, &counters);
    } while (counters.stuck != 0);
}

static partita_status run_model(partita_model *model, const fuzz_case *c, const char *device) {
    partita_plan *plan = NULL;
    partita_session *session = NULL;
    uint32_t in_count = partita_model_input_count(model), out_count = partita_model_output_count(model);
    partita_value **in = calloc(in_count + 1, sizeof(*in)), **out = calloc(out_count + 1, sizeof(*out));
    partita_plan_options options = {.size = sizeof(options), .devices = device, .strict = 1};
    partita_run_options run = {.size = sizeof(run), .deadline_ms = DEADLINE_MS};
    partita_status status = in && out ? PARTITA_OK : PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; status == PARTITA_OK && i < in_count; i++)
        for (uint32_t k = 0; status == PARTITA_OK && k < c->feed_count; k++)
            if (strcmp(partita_model_input(model, i)->name, c->feeds[k].name) == 0 && !in[i])
                status = tool_value_of_item(&c->feeds[k].item, &in[i]);
    if (status == PARTITA_OK) status = partita_plan_create(model, &options, &plan);
    if (status == PARTITA_OK) status = partita_session_create(plan, NULL, &session);
    if (status == PARTITA_OK) status = partita_session_run(session, &run, in, in_count, out, out_count);
    if (status == PARTITA_DEADLINE) wait_stuck(session);
    char *error = status == PARTITA_OK ? NULL : strdup(partita_last_error());
    for (uint32_t i = 0; in && i < in_count; i++) partita_value_release(in[i]);
    for (uint32_t i = 0; out && i < out_count; i++) partita_value_release(out[i]);
    free(in);
    free(out);
    partita_session_destroy(session);
    partita_plan_destroy(plan);
    if (error) pt_fail(status, "%s", error);
    free(error);
    return status;
}

void fuzz_case_run(partita_context *context, const fuzz_case *c, const char *device, fuzz_result *out_result) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    partita_model *model = NULL;
    *out_result = (fuzz_result){.status = pack(c, &bytes, &size)};
    if (out_result->status == PARTITA_OK)
        out_result->status = partita_model_load_memory(context, bytes, size, NULL, &model);
    free(bytes);
    if (out_result->status == PARTITA_OK) out_result->status = run_model(model, c, device);
    if (out_result->status != PARTITA_OK)
        snprintf(out_result->error, sizeof(out_result->error), "%s", partita_last_error());
    partita_model_destroy(model);
    out_result->named = says_enough(c, out_result);
}

partita_status fuzz_case_write(const fuzz_case *c, const char *folder) {
    char path[4096];
    uint8_t *bytes = NULL;
    size_t size = 0;
    partita_status status = pack(c, &bytes, &size);
    mkdir(folder, 0777);
    snprintf(path, sizeof(path), "%s/model.onnx", folder);
    FILE *file = status == PARTITA_OK ? fopen(path, "wb") : NULL;
    if (status == PARTITA_OK && (!file || fwrite(bytes, 1, size, file) != size))
        status = pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
    if (file) fclose(file);
    free(bytes);
    for (uint32_t i = 0; status == PARTITA_OK && i < c->feed_count; i++) {
        snprintf(path, sizeof(path), "%s/input_%u.pb", folder, i);
        status = pt_item_write_file(path, &c->feeds[i].item);
    }
    return status;
}
