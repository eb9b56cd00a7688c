/* SPDX-License-Identifier: Apache-2.0 */
/* Help, man page, completion and their JSON, made from the rows of options.inc. */
#include "job.h"

/* Exit codes and environment, the same in the help and the man page. */
static const struct {
    int code;
    const char *text;
} exit_codes[] = {{0, "fine"},
                  {1, "usage"},
                  {2, "bad model or input"},
                  {3, "no allowed device takes part of the model"},
                  {4, "device or plugin absent or failed"},
                  {5, "the numbers differ"},
                  {6, "out of memory or over budget"}};
static const struct {
    const char *name, *text;
} variables[] = {{"PARTITA_PLUGIN_PATH", "folders of plugins, with colons between them"},
                 {"PARTITA_DEVICES", "what --devices says, where it is not given"},
                 {"PARTITA_CPU_LEVEL", "baseline, avx2 or avx512: highest level of instructions of the cpu device"},
                 {"PARTITA_LOG", "debug, info, warning, error or off: what goes to stderr"},
                 {"PARTITA_LAYERS", "not in this version"},
                 {"PARTITA_CACHE_DIR", "not in this version"}};

static const char *later_text(int state) { return state == TOOL_LATER ? " (not in this version)" : ""; }

/* ---- help ------------------------------------------------------------------------------------ */

static void print_option(int option, FILE *stream) {
    const tool_option_row *row = &tool_option_rows[option];
    char left[64], range[64];
    snprintf(left, sizeof(left), "--%s%s%s", row->name, row->argument ? " " : "", row->argument ? row->argument : "");
    tool_option_range(option, range, sizeof(range));
    fprintf(stream, "  %-36s %s%s%s%s\n", left, row->text, range[0] ? "; " : "", range, later_text(row->state));
}

void tool_help_print(int command, FILE *stream) {
    if (command != COMMAND_COUNT) {
        const tool_command_row *row = &tool_commands[command];
        fprintf(stream, "usage: partita %s %s%s[OPTIONS]\n%s%s\n\n", row->name, row->arguments,
                row->arguments[0] ? " " : "", row->text, later_text(row->state));
        for (int i = 0; i < OPTION_COUNT; i++)
            if (tool_option_is_of(i, command)) print_option(i, stream);
        return;
    }
    fprintf(stream, "usage: partita COMMAND [OPTIONS]\n\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(stream, "  %-12s %-15s %s%s\n", tool_commands[i].name, tool_commands[i].arguments,
                tool_commands[i].text, later_text(tool_commands[i].state));
    fprintf(stream, "\n'partita COMMAND --help' lists the options of a command.\n\nExit codes:\n");
    for (size_t i = 0; i < PT_COUNT_OF(exit_codes); i++)
        fprintf(stream, "  %d  %s\n", exit_codes[i].code, exit_codes[i].text);
    fprintf(stream, "\nEnvironment:\n");
    for (size_t i = 0; i < PT_COUNT_OF(variables); i++)
        fprintf(stream, "  %-20s %s\n", variables[i].name, variables[i].text);
}

static json_t *option_json(int option) {
    const tool_option_row *row = &tool_option_rows[option];
    return json_pack("{s:s,s:s?,s:b,s:s}", "name", row->name, "argument", row->argument, "in_version",
                     row->state == TOOL_READY, "text", row->text);
}

partita_status tool_help_json(int command) {
    json_t *document = tool_json_document(), *list = json_array();
    for (int c = 0; c < COMMAND_COUNT; c++) {
        if (command != COMMAND_COUNT && command != c) continue;
        json_t *options = json_array();
        for (int i = 0; i < OPTION_COUNT; i++)
            if (tool_option_is_of(i, c)) json_array_append_new(options, option_json(i));
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:b,s:s,s:o}", "name", tool_commands[c].name, "arguments",
                                        tool_commands[c].arguments, "in_version", tool_commands[c].state == TOOL_READY,
                                        "text", tool_commands[c].text, "options", options));
    }
    json_object_set_new(document, "commands", list);
    return tool_json_print(document);
}

/* ---- man page -------------------------------------------------------------------------------- */

/* roff takes a hyphen for a place to break, a backslash for a command, and a dot or quote that starts a line too. */
static void put_roff(const char *text, FILE *stream) {
    for (const char *at = text; *at; at++) {
        if (at == text && (*at == '.' || *at == '\'')) fputs("\\&", stream);
        if (*at == '-')
            fputs("\\-", stream);
        else if (*at == '\\')
            fputs("\\e", stream);
        else
            fputc(*at, stream);
    }
}

static void put_item(const char *bold, const char *rest, const char *text, const char *more, FILE *stream) {
    fputs(".TP\n.B ", stream);
    put_roff(bold, stream);
    if (rest[0]) fputs(" ", stream);
    put_roff(rest, stream);
    fputs("\n", stream);
    put_roff(text, stream);
    put_roff(more, stream);
    fputs("\n", stream);
}

static void put_option(int option, FILE *stream) {
    const tool_option_row *row = &tool_option_rows[option];
    char name[64], range[64], more[128];
    snprintf(name, sizeof(name), "--%s", row->name);
    tool_option_range(option, range, sizeof(range));
    snprintf(more, sizeof(more), "%s%s%s", range[0] ? "; " : "", range, later_text(row->state));
    put_item(name, row->argument ? row->argument : "", row->text, more, stream);
    fputs(".br\nOf ", stream);
    bool first = true, all = true;
    for (int c = 0; c < COMMAND_COUNT; c++) all = all && tool_option_is_of(option, c);
    for (int c = 0; c < COMMAND_COUNT && !all; c++) {
        if (!tool_option_is_of(option, c)) continue;
        if (!first) fputs(", ", stream);
        put_roff(tool_commands[c].name, stream);
        first = false;
    }
    fputs(all ? "every command.\n" : ".\n", stream);
}

void tool_man_print(FILE *stream) {
    fprintf(stream,
            ".TH PARTITA 1 \"\" \"Partita %s\"\n.SH NAME\npartita \\- run ONNX models over accelerator plugins\n"
            ".SH SYNOPSIS\n.B partita\n.I COMMAND\n[\\fIOPTIONS\\fR]\n.SH COMMANDS\n",
            partita_version());
    for (int i = 0; i < COMMAND_COUNT; i++)
        put_item(tool_commands[i].name, tool_commands[i].arguments, tool_commands[i].text,
                 later_text(tool_commands[i].state), stream);
    fprintf(stream, ".SH OPTIONS\n");
    for (int i = 0; i < OPTION_COUNT; i++) put_option(i, stream);
    fprintf(stream, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < PT_COUNT_OF(exit_codes); i++)
        fprintf(stream, ".TP\n.B %d\n%s\n", exit_codes[i].code, exit_codes[i].text);
    fprintf(stream, ".SH ENVIRONMENT\n");
    for (size_t i = 0; i < PT_COUNT_OF(variables); i++) put_item(variables[i].name, "", variables[i].text, "", stream);
}

/* ---- completion ------------------------------------------------------------------------------ */

/* Commands, then options of the command; files and folders otherwise. */
void tool_completion_print(FILE *stream) {
    fprintf(stream, "# bash completion for partita\n_partita() {\n    local word=${COMP_WORDS[COMP_CWORD]}\n"
                    "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W '");
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (tool_commands[i].state == TOOL_READY) fprintf(stream, "%s%s", i ? " " : "", tool_commands[i].name);
    fprintf(stream, "' -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n");
    for (int c = 0; c < COMMAND_COUNT; c++) {
        if (tool_commands[c].state != TOOL_READY) continue;
        fprintf(stream, "    %s) COMPREPLY=($(compgen -f -W '", tool_commands[c].name);
        for (int i = 0; i < OPTION_COUNT; i++)
            if (tool_option_is_of(i, c) && tool_option_rows[i].state == TOOL_READY)
                fprintf(stream, "--%s ", tool_option_rows[i].name);
        fprintf(stream, "' -- \"$word\")) ;;\n");
    }
    fprintf(stream, "    esac\n}\ncomplete -F _partita -o filenames partita\n");
}
