/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing the command line, and the texts that are made from the same rows: help, man page, completion. */
#include "options.h"
#include <errno.h>
#include <stdlib.h>

#define COMMAND_BIT(id) (1u << COMMAND_##id)

enum { READY, LATER };
enum {
    ALL = ~0u,
    PLACING = COMMAND_BIT(PLAN) | COMMAND_BIT(EXPLAIN) | COMMAND_BIT(RUN) | COMMAND_BIT(BENCH) | COMMAND_BIT(TEST),
    RUNNING = COMMAND_BIT(EXPLAIN) | COMMAND_BIT(RUN) | COMMAND_BIT(BENCH) | COMMAND_BIT(TEST),
    LOADING = PLACING | COMMAND_BIT(INSPECT),
    DEVICES = COMMAND_BIT(DEVICES),
    INSPECT = COMMAND_BIT(INSPECT),
    PLAN = COMMAND_BIT(PLAN) | COMMAND_BIT(EXPLAIN),
    PLAN_ONLY = COMMAND_BIT(PLAN),
    RUN = COMMAND_BIT(RUN) | COMMAND_BIT(EXPLAIN),
    BENCH = COMMAND_BIT(BENCH),
    TEST = COMMAND_BIT(TEST),
    JUDGING = COMMAND_BIT(RUN) | COMMAND_BIT(TEST),
    HELP = COMMAND_BIT(HELP)
};

static const struct command_row {
    const char *name, *arguments;
    int state;
    const char *text;
} commands[] = {
#define TOOL_COMMAND(id, name, arguments, state, text) {name, arguments, state, text},
#include "options.inc"
};

static const struct option_row {
    const char *name, *argument;
    unsigned commands;
    int state;
    const char *text;
} rows[] = {
#define TOOL_OPTION(id, name, argument, commands, state, text) {name, argument, commands, state, text},
#include "options.inc"
};

const char *tool_command_name(int command) { return commands[command].name; }
const char *tool_option_name(int option) { return rows[option].name; }

static int find_option(const char *name, size_t size, int command) {
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (strlen(rows[i].name) == size && memcmp(rows[i].name, name, size) == 0 &&
            (rows[i].commands & (1u << command)))
            return i;
    }
    return -1;
}

/* One word that starts with a dash; *index moves on when the option's argument is the next word. */
static partita_status parse_option(int argc, char **argv, int *index, tool_options *options) {
    const char *word = argv[*index];
    if (strcmp(word, "-o") == 0) word = "--output";
    if (strcmp(word, "-h") == 0) word = "--help";
    if (word[0] != '-' || word[1] != '-')
        return pt_fail(PARTITA_INVALID_ARGUMENT, "unknown option %s; options are long, as --devices", word);
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    int option = find_option(name, size, options->command);
    if (option < 0)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "'partita %s' has no option --%.*s", commands[options->command].name,
                       (int)size, name);
    if (rows[option].state == LATER)
        return pt_fail(PARTITA_NOT_IN_VERSION, "--%s: not in this version", rows[option].name);
    options->given[option] = true;
    if (!rows[option].argument) {
        if (equals) return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s takes no value", rows[option].name);
        return PARTITA_OK;
    }
    const char *value = equals ? equals + 1 : NULL;
    if (!value) {
        if (*index + 1 >= argc)
            return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s needs a value: %s", rows[option].name,
                           rows[option].argument);
        value = argv[++*index];
    }
    if (!pt_array_push(&options->values[option], value)) return PT_OUT_OF_MEMORY();
    return PARTITA_OK;
}

partita_status tool_options_parse(int argc, char **argv, tool_options *out_options) {
    memset(out_options, 0, sizeof(*out_options));
    out_options->command = COMMAND_HELP;
    if (argc < 2) return pt_fail(PARTITA_INVALID_ARGUMENT, "no command given; see 'partita help'");
    const char *name = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ? "help" : argv[1];
    int command = 0;
    while (command < COMMAND_COUNT && strcmp(commands[command].name, name) != 0) command++;
    if (command == COMMAND_COUNT)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "unknown command '%s'; see 'partita help'", name);
    out_options->command = command;
    if (commands[command].state == LATER) return pt_fail(PARTITA_NOT_IN_VERSION, "%s: not in this version", name);
    int plain = 2; /* arguments are gathered at the front of what follows the command */
    bool only_arguments = false;
    for (int i = 2; i < argc; i++) {
        if (!only_arguments && strcmp(argv[i], "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && argv[i][0] == '-' && argv[i][1] != '\0') {
            PT_TRY(parse_option(argc, argv, &i, out_options));
        } else {
            argv[plain++] = argv[i];
        }
    }
    out_options->arguments = (const char *const *)argv + 2;
    out_options->argument_count = plain - 2;
    if (out_options->given[OPTION_HELP]) return PARTITA_OK;
    const char *wanted = commands[command].arguments;
    if (strcmp(wanted, "MODEL") == 0 && out_options->argument_count != 1)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "'partita %s' takes one MODEL", name);
    if (wanted[0] == '\0' && out_options->argument_count != 0)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "'partita %s' takes no argument: %s", name, argv[2]);
    if (strcmp(wanted, "DIR...") == 0 && out_options->argument_count == 0)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "'partita %s' takes one DIR or more", name);
    return PARTITA_OK;
}

void tool_options_deinit(tool_options *options) {
    for (int i = 0; i < OPTION_COUNT; i++) pt_array_deinit(&options->values[i]);
}

const char *tool_option_text(const tool_options *options, int option, const char *otherwise) {
    size_t count = options->values[option].size;
    return count ? options->values[option].data[count - 1] : otherwise;
}

partita_status tool_option_uint(const tool_options *options, int option, uint64_t otherwise, uint64_t *out_value) {
    const char *text = tool_option_text(options, option, NULL);
    *out_value = otherwise;
    if (!text) return PARTITA_OK;
    char *end;
    errno = 0;
    *out_value = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-')
        return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s: '%s' is no whole number", rows[option].name, text);
    return PARTITA_OK;
}

partita_status tool_option_double(const tool_options *options, int option, double otherwise, double *out_value) {
    const char *text = tool_option_text(options, option, NULL);
    *out_value = otherwise;
    if (!text) return PARTITA_OK;
    char *end;
    *out_value = strtod(text, &end);
    if (end == text || *end || !(*out_value >= 0))
        return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s: '%s' is no number of 0 or more", rows[option].name, text);
    return PARTITA_OK;
}

static void print_option(const struct option_row *row, FILE *stream) {
    char left[64];
    snprintf(left, sizeof(left), "--%s%s%s", row->name, row->argument ? " " : "", row->argument ? row->argument : "");
    fprintf(stream, "  %-32s %s%s\n", left, row->text, row->state == LATER ? " (not in this version)" : "");
}

void tool_help_print(int command, FILE *stream) {
    if (command == COMMAND_COUNT) {
        fprintf(stream, "usage: partita COMMAND [OPTIONS]\n\n");
        for (int i = 0; i < COMMAND_COUNT; i++)
            fprintf(stream, "  %-12s %-10s %s%s\n", commands[i].name, commands[i].arguments, commands[i].text,
                    commands[i].state == LATER ? " (not in this version)" : "");
        fprintf(stream,
                "\nExit codes: 0 fine, 1 usage, 2 bad model or input, 3 no allowed device takes part of the model,\n"
                "4 device or plugin absent or failed, 5 the numbers differ, 6 out of memory or over budget.\n"
                "Environment: PARTITA_PLUGIN_PATH, PARTITA_DEVICES, PARTITA_LOG, PARTITA_CPU_LEVEL.\n");
        return;
    }
    fprintf(stream, "usage: partita %s %s [OPTIONS]\n%s\n\n", commands[command].name, commands[command].arguments,
            commands[command].text);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (rows[i].commands & (1u << command)) print_option(&rows[i], stream);
}

void tool_man_print(FILE *stream) {
    fprintf(stream,
            ".TH PARTITA 1 \"\" \"Partita %s\"\n.SH NAME\npartita \\- run ONNX models over accelerator plugins\n"
            ".SH SYNOPSIS\n.B partita\nCOMMAND [OPTIONS]\n.SH COMMANDS\n",
            partita_version());
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(stream, ".TP\n.B %s %s\n%s\n", commands[i].name, commands[i].arguments, commands[i].text);
    fprintf(stream, ".SH OPTIONS\n");
    for (int i = 0; i < OPTION_COUNT; i++)
        fprintf(stream, ".TP\n.B \\-\\-%s %s\n%s\n", rows[i].name, rows[i].argument ? rows[i].argument : "",
                rows[i].text);
}

void tool_completion_print(FILE *stream) {
    fprintf(stream, "_partita() {\n    local word=${COMP_WORDS[COMP_CWORD]}\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                    "        COMPREPLY=($(compgen -W '");
    for (int i = 0; i < COMMAND_COUNT; i++) fprintf(stream, "%s%s", i ? " " : "", commands[i].name);
    fprintf(stream, "' -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n");
    for (int c = 0; c < COMMAND_COUNT; c++) {
        fprintf(stream, "    %s) COMPREPLY=($(compgen -f -W '", commands[c].name);
        for (int i = 0; i < OPTION_COUNT; i++)
            if (rows[i].commands & (1u << c)) fprintf(stream, "--%s ", rows[i].name);
        fprintf(stream, "' -- \"$word\")) ;;\n");
    }
    fprintf(stream, "    esac\n}\ncomplete -F _partita partita\n");
}
