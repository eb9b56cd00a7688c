/* SPDX-License-Identifier: Apache-2.0 */
/* The `partita` command: one binary, subcommands. Data to stdout, words for people to stderr. */
#include "interrupt.h"
#include "job.h"

static partita_status help(const tool_options *options) {
    int command = COMMAND_COUNT;
    if (options->given[OPTION_MAN]) {
        tool_man_print(stdout);
        return PARTITA_OK;
    }
    if (options->given[OPTION_COMPLETION]) {
        tool_completion_print(stdout);
        return PARTITA_OK;
    }
    if (options->argument_count > 0) {
        for (command = 0; command < COMMAND_COUNT; command++)
            if (strcmp(tool_commands[command].name, options->arguments[0]) == 0) break;
        if (command == COMMAND_COUNT)
            return pt_fail(PARTITA_INVALID_ARGUMENT, "unknown command '%s'", options->arguments[0]);
    }
    if (options->given[OPTION_JSON]) return tool_help_json(command);
    tool_help_print(command, stdout);
    return PARTITA_OK;
}

static partita_status (*const runners[COMMAND_COUNT])(const tool_options *) = {
    [COMMAND_DEVICES] = tool_devices, [COMMAND_INSPECT] = tool_inspect, [COMMAND_PLAN] = tool_plan,
    [COMMAND_EXPLAIN] = tool_explain, [COMMAND_RUN] = tool_run,         [COMMAND_BENCH] = tool_bench,
    [COMMAND_TEST] = tool_test,       [COMMAND_DOCTOR] = tool_doctor,   [COMMAND_HELP] = help,
};

/* A level that nobody knows leaves the default, and that is said. */
static void check_log_level(void) {
    static const char *const levels[] = {"debug", "info", "warning", "error", "off"};
    const char *wanted = pt_env("PARTITA_LOG");
    if (!wanted || !*wanted) return;
    for (size_t i = 0; i < PT_COUNT_OF(levels); i++)
        if (strcmp(levels[i], wanted) == 0) return;
    pt_log(PARTITA_LOG_WARNING,
           "log-level: PARTITA_LOG is '%.40s', none of debug, info, warning, error, off; warnings and errors are shown",
           wanted);
}

int main(int argc, char **argv) {
    tool_options options;
    check_log_level();
    partita_status status = tool_options_parse(argc, argv, &options);
    if (status == PARTITA_OK) {
        if (options.given[OPTION_HELP] && options.given[OPTION_JSON])
            status = tool_help_json(options.command);
        else if (options.given[OPTION_HELP])
            tool_help_print(options.command, stdout);
        else
            status = runners[options.command](&options);
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == PARTITA_OK)
        status = pt_fail(PARTITA_IO, "stdout cannot be written");
    if (status != PARTITA_OK) {
        const char *message = pt_last_message();
        fprintf(stderr, "partita: %s\n", message[0] ? message : partita_status_text(status));
        if (options.given[OPTION_JSON] && !tool_json_is_printed()) {
            json_t *document = tool_json_document();
            tool_json_set_error(document, status);
            tool_json_print(document);
        }
    }
    tool_options_deinit(&options);
    tool_interrupt_end();
    return partita_status_exit_code(status);
}
