/* SPDX-License-Identifier: Apache-2.0 */
/* `partita run`: one run, its outputs summarised, written, judged. */
#include "interrupt.h"
#include "job.h"

/* The archive to judge by, which holds outputs of the model and nothing else. */
static partita_status read_expected(const tool_job *job, const char *path, tool_values *out_expected) {
    PT_TRY(tool_npz_read(path, out_expected));
    for (size_t i = 0; i < out_expected->size; i++) {
        bool known = false;
        for (uint32_t k = 0; k < job->output_count; k++)
            known |= strcmp(partita_model_output(job->model, k)->name, out_expected->data[i].name) == 0;
        if (!known)
            return pt_fail(PARTITA_BAD_INPUT, "%s: the model has no output '%s'", path, out_expected->data[i].name);
    }
    return out_expected->size ? PARTITA_OK : pt_fail(PARTITA_BAD_INPUT, "%s holds no output of the model", path);
}

/* MISMATCH with the first output that differs; those behind it are told to stderr. */
static partita_status judge(const tool_job *job, const tool_values *expected) {
    tool_tolerance tolerance = {.rtol = tool_option_double(job->options, OPTION_RTOL, 1e-3),
                                .atol = tool_option_double(job->options, OPTION_ATOL, 1e-7)};
    partita_status first = PARTITA_OK;
    pt_text message = {0};
    for (uint32_t i = 0; i < job->output_count; i++) {
        const char *name = partita_model_output(job->model, i)->name;
        partita_value *want = tool_values_find(expected, name);
        partita_status status = want ? tool_value_compare(name, job->outputs[i], want, &tolerance) : PARTITA_OK;
        if (status == PARTITA_OK) continue;
        if (first == PARTITA_OK)
            first = status, pt_text_printf(&message, "%s", pt_last_message());
        else
            fprintf(stderr, "partita: %s\n", pt_last_message());
    }
    if (first != PARTITA_OK && message.data) pt_fail_copy(first, message.data);
    pt_text_deinit(&message);
    return first;
}

/* `verdict`: of judging; what differs stands in the document too. */
static partita_status print_json(const tool_job *job, double run_ms, partita_status verdict) {
    json_t *document = tool_json_document(), *outputs = json_object();
    for (uint32_t i = 0; i < job->output_count; i++)
        tool_json_set(outputs, partita_model_output(job->model, i)->name, tool_value_json(job->outputs[i], false));
    json_object_set_new(document, "load_ms", json_real(job->load_ms));
    json_object_set_new(document, "run_ms", json_real(run_ms));
    json_object_set_new(document, "outputs", outputs);
    if (verdict != PARTITA_OK) tool_json_set_error(document, verdict);
    return tool_json_print(document);
}

partita_status tool_run(const tool_options *options) {
    tool_job job = {.options = options};
    tool_values expected = {0};
    partita_status status, verdict = PARTITA_OK;
    const char *path = tool_option_text(options, OPTION_OUTPUTS, NULL);
    const char *judged_by = tool_option_text(options, OPTION_COMPARE, NULL);
    PT_CHECK(tool_interrupt_watch());
    if (path) PT_CHECK(tool_outputs_check(path));
    PT_CHECK(tool_job_open(options, &job));
    PT_CHECK(tool_job_session(&job, false));
    if (judged_by) PT_CHECK(read_expected(&job, judged_by, &expected));
    uint64_t start = pt_now_ns();
    PT_CHECK(tool_job_run_watched(&job));
    double run_ms = tool_ms_since(start);
    if (path) PT_CHECK(tool_outputs_write(&job, path));
    verdict = judge(&job, &expected);
    if (options->given[OPTION_JSON])
        PT_CHECK(print_json(&job, run_ms, verdict));
    else
        tool_outputs_print(&job, stdout);
    status = verdict;
out:
    tool_values_deinit(&expected);
    tool_job_deinit(&job);
    return status;
}
