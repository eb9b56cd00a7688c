/* SPDX-License-Identifier: Apache-2.0 */
/* `partita run`: one run, its outputs summarised, written, judged. */
#include "job.h"

static partita_status judge(const tool_job *job, const char *path) {
    tool_values expected = {0};
    tool_tolerance tolerance = {.rtol = tool_option_double(job->options, OPTION_RTOL, 1e-3),
                                .atol = tool_option_double(job->options, OPTION_ATOL, 1e-7)};
    partita_status status, first = PARTITA_OK;
    PT_CHECK(tool_npz_read(path, &expected));
    for (size_t i = 0; i < expected.size; i++) {
        bool known = false;
        for (uint32_t k = 0; k < job->output_count; k++)
            known |= strcmp(partita_model_output(job->model, k)->name, expected.data[i].name) == 0;
        if (!known)
            PT_CHECK(pt_fail(PARTITA_BAD_INPUT, "%s: the model has no output '%s'", path, expected.data[i].name));
    }
    uint32_t judged = 0;
    for (uint32_t i = 0; i < job->output_count; i++) {
        const char *name = partita_model_output(job->model, i)->name;
        partita_value *want = tool_values_find(&expected, name);
        if (!want) continue;
        judged++;
        status = tool_value_compare(name, job->outputs[i], want, &tolerance);
        if (status == PARTITA_OK) continue;
        fprintf(stderr, "partita: %s\n", pt_last_message());
        if (first == PARTITA_OK) first = status;
    }
    status = judged ? first : pt_fail(PARTITA_BAD_INPUT, "%s holds no output of the model", path);
out:
    tool_values_deinit(&expected);
    return status;
}

static partita_status print_json(const tool_job *job, double run_ms) {
    json_t *document = tool_json_document(), *outputs = json_object();
    for (uint32_t i = 0; i < job->output_count; i++)
        tool_json_set(outputs, partita_model_output(job->model, i)->name, tool_value_json(job->outputs[i], false));
    json_object_set_new(document, "load_ms", json_real(job->load_ms));
    json_object_set_new(document, "run_ms", json_real(run_ms));
    json_object_set_new(document, "outputs", outputs);
    return tool_json_print(document);
}

partita_status tool_run(const tool_options *options) {
    tool_job job = {.options = options};
    partita_status status;
    const char *path = tool_option_text(options, OPTION_OUTPUTS, NULL);
    if (path) PT_CHECK(tool_outputs_check(path));
    PT_CHECK(tool_job_open(options, &job));
    PT_CHECK(tool_job_session(&job, false));
    uint64_t start = pt_now_ns();
    PT_CHECK(tool_job_run(&job));
    double run_ms = tool_ms_since(start);
    if (path) PT_CHECK(tool_outputs_write(&job, path));
    if (options->given[OPTION_JSON])
        PT_CHECK(print_json(&job, run_ms));
    else
        tool_outputs_print(&job, stdout);
    const char *expected = tool_option_text(options, OPTION_COMPARE, NULL);
    if (expected) status = judge(&job, expected);
out:
    tool_job_deinit(&job);
    return status;
}
