/* SPDX-License-Identifier: Apache-2.0 */
/* `partita plan` and `partita explain`: the plan, before and after running it. */
#include "interrupt.h"
#include "job.h"

static partita_status write_text(const char *path, const char *text) {
    tool_file file;
    PT_TRY(tool_file_begin(path, &file));
    fprintf(file.stream, "%s\n", text);
    return tool_file_end(&file, PARTITA_OK);
}

/* Files that the options ask for: each a text that the plan gives. */
static partita_status write_files(const tool_job *job) {
    static const struct {
        int option;
        partita_status (*text)(const partita_plan *plan, char **out_text);
    } files[] = {{OPTION_OUTPUT, partita_plan_json}, {OPTION_DOT, partita_plan_dot}, {OPTION_SVG, partita_plan_svg}};
    for (size_t i = 0; i < PT_COUNT_OF(files); i++) {
        const char *path = tool_option_text(job->options, files[i].option, NULL);
        char *text;
        if (!path) continue;
        PT_TRY(files[i].text(job->plan, &text));
        partita_status status = write_text(path, text);
        partita_text_destroy(text);
        PT_TRY(status);
    }
    return PARTITA_OK;
}

static partita_status print_text(char *text) {
    partita_status status = fputs(text, stdout) < 0 ? pt_fail(PARTITA_IO, "stdout cannot be written") : PARTITA_OK;
    size_t size = strlen(text);
    if (size == 0 || text[size - 1] != '\n') putchar('\n');
    partita_text_destroy(text);
    return status;
}

partita_status tool_plan(const tool_options *options) {
    tool_job job;
    char *text;
    partita_status status;
    PT_CHECK(tool_job_open(options, &job));
    PT_CHECK(tool_job_load(&job, options->arguments[0]));
    PT_CHECK(tool_job_inputs(&job));
    PT_CHECK(tool_job_plan(&job));
    PT_CHECK(write_files(&job));
    if (options->given[OPTION_JSON])
        PT_CHECK(partita_plan_json(job.plan, &text));
    else
        PT_CHECK(partita_plan_print(job.plan, options->given[OPTION_WHY], &text));
    status = print_text(text);
out:
    tool_job_deinit(&job);
    return status;
}

partita_status tool_explain(const tool_options *options) {
    tool_job job = {.options = options};
    char *text;
    partita_status status;
    PT_CHECK(tool_interrupt_watch());
    PT_CHECK(tool_job_open(options, &job));
    PT_CHECK(tool_job_session(&job, true));
    PT_CHECK(write_files(&job));
    PT_CHECK(tool_job_run_watched(&job));
    if (options->given[OPTION_JSON])
        PT_CHECK(partita_session_explain_json(job.session, &text));
    else
        PT_CHECK(partita_session_explain_print(job.session, &text));
    status = print_text(text);
out:
    tool_job_deinit(&job);
    return status;
}
