/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, parsed: one struct for all commands, made from the rows of options.inc. */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include "base/base.h"
#include <partita/partita.h>
#include <stdio.h>

enum {
#define TOOL_COMMAND(id, name, arguments, state, text) COMMAND_##id,
#include "options.inc"
    COMMAND_COUNT
};
enum {
#define TOOL_OPTION(id, name, argument, commands, state, text) OPTION_##id,
#include "options.inc"
    OPTION_COUNT
};

/* Values of an option that may be given several times, in order. */
typedef PT_ARRAY(const char *) tool_list;

typedef struct tool_options {
    int command;
    const char *const *arguments; /* what is no option: MODEL, DIR... */
    int argument_count;
    bool given[OPTION_COUNT];
    tool_list values[OPTION_COUNT]; /* of options with an argument */
} tool_options;

/* INVALID_ARGUMENT naming the word that is off; NOT_IN_VERSION for rows of later versions. */
partita_status tool_options_parse(int argc, char **argv, tool_options *out_options);
void tool_options_deinit(tool_options *options);
/* Last value given, or `otherwise`. */
const char *tool_option_text(const tool_options *options, int option, const char *otherwise);
partita_status tool_option_uint(const tool_options *options, int option, uint64_t otherwise, uint64_t *out_value);
partita_status tool_option_double(const tool_options *options, int option, double otherwise, double *out_value);
/* Help of one command, or of all with COMMAND_COUNT. */
void tool_help_print(int command, FILE *stream);
void tool_man_print(FILE *stream);
void tool_completion_print(FILE *stream);
const char *tool_command_name(int command);
const char *tool_option_name(int option);

#endif
