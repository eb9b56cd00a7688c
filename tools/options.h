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
#define TOOL_OPTION(id, name, argument, commands, state, kind, text) OPTION_##id,
#include "options.inc"
    OPTION_COUNT
};

/* The rows themselves, for whoever makes texts from them. */
enum { TOOL_READY, TOOL_LATER };
typedef struct tool_command_row {
    const char *name, *arguments;
    int state;
    const char *text;
} tool_command_row;
typedef struct tool_option_row {
    const char *name, *argument;
    unsigned commands; /* bits of COMMAND_* */
    int state;
    struct {
        int kind;
        uint64_t low, high; /* of whole numbers */
    } value;
    const char *text;
} tool_option_row;
extern const tool_command_row tool_commands[COMMAND_COUNT];
extern const tool_option_row tool_option_rows[OPTION_COUNT];
bool tool_option_is_of(int option, int command);
/* "1 to 4096" where a row bounds its whole numbers below what any machine counts; else "". */
void tool_option_range(int option, char *out_text, size_t capacity);

/* Values of an option that may be given several times, in order. */
typedef PT_ARRAY(const char *) tool_list;

typedef struct tool_options {
    int command;
    const char *const *arguments; /* what is no option: MODEL, DIR... */
    int argument_count;
    bool given[OPTION_COUNT];
    tool_list values[OPTION_COUNT]; /* of options with an argument */
} tool_options;

/* INVALID_ARGUMENT naming the word that is off, and what a value must be; NOT_IN_VERSION for rows of later versions. */
partita_status tool_options_parse(int argc, char **argv, tool_options *out_options);
void tool_options_deinit(tool_options *options);
/* Last value given, or `otherwise`. Numbers were checked when they were parsed. */
const char *tool_option_text(const tool_options *options, int option, const char *otherwise);
uint64_t tool_option_uint(const tool_options *options, int option, uint64_t otherwise);
double tool_option_double(const tool_options *options, int option, double otherwise);
/* Decimal digits only, without sign or space, up to `high`. */
bool tool_parse_uint(const char *text, uint64_t high, uint64_t *out_value);

/* texts.c: made from the rows. Help of one command, or of all with COMMAND_COUNT. */
void tool_help_print(int command, FILE *stream);
partita_status tool_help_json(int command);
void tool_man_print(FILE *stream);
void tool_completion_print(FILE *stream);

#endif
