/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing the command line by the rows of options.inc: what is not as a row says ends here, before anything runs. */
#include "options.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define COMMAND_BIT(id) (1u << COMMAND_##id)

enum {
    ALL = ~0u,
    PLACING = COMMAND_BIT(PLAN) | COMMAND_BIT(EXPLAIN) | COMMAND_BIT(RUN) | COMMAND_BIT(BENCH) | COMMAND_BIT(TEST),
    RUNNING = COMMAND_BIT(EXPLAIN) | COMMAND_BIT(RUN) | COMMAND_BIT(BENCH) | COMMAND_BIT(TEST),
    FEEDING = PLACING & ~COMMAND_BIT(TEST), /* whose inputs lie beside the model */
    LOADING = PLACING | COMMAND_BIT(INSPECT),
    DEVICES = COMMAND_BIT(DEVICES),
    INSPECT = COMMAND_BIT(INSPECT),
    PLAN = COMMAND_BIT(PLAN) | COMMAND_BIT(EXPLAIN),
    PLAN_ONLY = COMMAND_BIT(PLAN),
    RUN = COMMAND_BIT(RUN),
    BENCH = COMMAND_BIT(BENCH),
    TEST = COMMAND_BIT(TEST),
    JUDGING = COMMAND_BIT(RUN) | COMMAND_BIT(TEST),
    PROFILE = COMMAND_BIT(PROFILE),
    CONFORM = COMMAND_BIT(CONFORMANCE),
    HELP = COMMAND_BIT(HELP)
};

enum { READY = TOOL_READY, LATER = TOOL_LATER };
enum { KIND_FLAG, KIND_TEXT, KIND_WORDS, KIND_WHOLE, KIND_REAL, KIND_MANY, KIND_PAIRS };
/* Of pairs `low` says where they are split: 0 at the first equals sign, 1 at the last; of reals whether 0 is too low.
 */
#define FLAG                                                                                                           \
    { KIND_FLAG, 0, 0 }
#define TEXT                                                                                                           \
    { KIND_TEXT, 0, 0 }
#define WORDS                                                                                                          \
    { KIND_WORDS, 0, 0 }
#define WHOLE(low, high)                                                                                               \
    { KIND_WHOLE, low, high }
#define REAL                                                                                                           \
    { KIND_REAL, 0, 0 }
#define REAL_ABOVE_0                                                                                                   \
    { KIND_REAL, 1, 0 }
#define MANY                                                                                                           \
    { KIND_MANY, 0, 0 }
#define PAIRS                                                                                                          \
    { KIND_PAIRS, 0, 0 }
#define PAIRS_LAST                                                                                                     \
    { KIND_PAIRS, 1, 0 }

const tool_command_row tool_commands[COMMAND_COUNT] = {
#define TOOL_COMMAND(id, name, arguments, state, text) {name, arguments, state, text},
#include "options.inc"
};

const tool_option_row tool_option_rows[OPTION_COUNT] = {
#define TOOL_OPTION(id, name, argument, commands, state, kind, text) {name, argument, commands, state, kind, text},
#include "options.inc"
};

bool tool_option_is_of(int option, int command) { return tool_option_rows[option].commands & (1u << command); }

void tool_option_range(int option, char *out_text, size_t capacity) {
    const tool_option_row *row = &tool_option_rows[option];
    out_text[0] = '\0';
    if (row->value.kind == KIND_WHOLE && row->value.high <= UINT32_MAX)
        snprintf(out_text, capacity, "%llu to %llu", (unsigned long long)row->value.low,
                 (unsigned long long)row->value.high);
}

/* ---- values ---------------------------------------------------------------------------------- */

bool tool_parse_uint(const char *text, uint64_t high, uint64_t *out_value) {
    uint64_t value = 0;
    if (!*text) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return false;
        uint64_t digit = (uint64_t)(*text - '0');
        if (digit > high || value > (high - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *out_value = value;
    return true;
}

static partita_status check_whole(const tool_option_row *row, const char *text) {
    uint64_t value;
    if (tool_parse_uint(text, row->value.high, &value) && value >= row->value.low) return PARTITA_OK;
    return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s: '%s' is no whole number from %llu to %llu", row->name, text,
                   (unsigned long long)row->value.low, (unsigned long long)row->value.high);
}

static partita_status check_real(const tool_option_row *row, const char *text) {
    char *end;
    double value = strtod(text, &end);
    bool above = row->value.low != 0;
    if (end != text && !*end && isfinite(value) && (above ? value > 0 : value >= 0)) return PARTITA_OK;
    return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s: '%s' is no number %s", row->name, text,
                   above ? "above 0" : "of 0 or more");
}

static partita_status check_word(const tool_option_row *row, const char *text) {
    size_t size = strlen(text);
    for (const char *at = row->argument; *at;) {
        size_t piece = strcspn(at, "|");
        if (piece == size && memcmp(at, text, size) == 0) return PARTITA_OK;
        at += piece + (at[piece] == '|');
    }
    return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s: '%s' is none of %s", row->name, text, row->argument);
}

/* Size of the key in KEY=VALUE; 0 when there is none. */
static size_t key_size(const tool_option_row *row, const char *text) {
    const char *equals = row->value.low ? strrchr(text, '=') : strchr(text, '=');
    return equals ? (size_t)(equals - text) : 0;
}

static partita_status check_pair(const tool_option_row *row, const char *text, const tool_list *before) {
    size_t size = key_size(row, text);
    if (size == 0)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s: '%s' is not of the form %s", row->name, text, row->argument);
    for (size_t i = 0; i < before->size; i++)
        if (key_size(row, before->data[i]) == size && memcmp(before->data[i], text, size) == 0)
            return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s: '%.*s' is given twice", row->name, (int)size, text);
    return PARTITA_OK;
}

static partita_status check_value(const tool_option_row *row, const char *text, const tool_list *before) {
    if (!*text) return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s: the value is empty; give %s", row->name, row->argument);
    if (row->value.kind == KIND_PAIRS) return check_pair(row, text, before);
    if (row->value.kind == KIND_MANY) return PARTITA_OK;
    if (before->size) return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s is given twice", row->name);
    if (row->value.kind == KIND_WHOLE) return check_whole(row, text);
    if (row->value.kind == KIND_REAL) return check_real(row, text);
    return row->value.kind == KIND_WORDS ? check_word(row, text) : PARTITA_OK;
}

/* ---- words ----------------------------------------------------------------------------------- */

static int find_option(const char *name, size_t size, int command) {
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (strlen(tool_option_rows[i].name) == size && memcmp(tool_option_rows[i].name, name, size) == 0 &&
            tool_option_is_of(i, command))
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
        return pt_fail(PARTITA_INVALID_ARGUMENT, "'partita %s' has no option --%.*s",
                       tool_commands[options->command].name, (int)size, name);
    const tool_option_row *row = &tool_option_rows[option];
    if (row->state == LATER) return pt_fail(PARTITA_NOT_IN_VERSION, "--%s: not in this version", row->name);
    options->given[option] = true;
    if (!row->argument)
        return equals ? pt_fail(PARTITA_INVALID_ARGUMENT, "--%s takes no value", row->name) : PARTITA_OK;
    const char *value = equals ? equals + 1 : NULL;
    if (!value) {
        if (*index + 1 >= argc)
            return pt_fail(PARTITA_INVALID_ARGUMENT, "--%s needs a value: %s", row->name, row->argument);
        value = argv[++*index];
    }
    PT_TRY(check_value(row, value, &options->values[option]));
    return pt_array_push(&options->values[option], value) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status check_arguments(const tool_options *options) {
    const char *name = tool_commands[options->command].name, *wanted = tool_commands[options->command].arguments;
    int count = options->argument_count;
    if (strcmp(wanted, "MODEL") == 0 && count != 1)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "'partita %s' takes one MODEL, not %d", name, count);
    if (wanted[0] == '\0' && count != 0)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "'partita %s' takes no argument: %s", name, options->arguments[0]);
    if (strcmp(wanted, "[COMMAND]") == 0 && count > 1)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "'partita %s' takes one command: %s", name, options->arguments[1]);
    if (strcmp(wanted, "DIR...") == 0 && count == 0)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "'partita %s' takes one DIR or more", name);
    for (int i = 0; i < count; i++)
        if (!options->arguments[i][0])
            return pt_fail(PARTITA_INVALID_ARGUMENT, "'partita %s': %s is empty", name, wanted);
    return PARTITA_OK;
}

/* True when the word stands among the options: who asks for JSON or help gets it whatever else is wrong. */
static bool asks_for(int argc, char **argv, const char *word) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], word) == 0) return true;
    return false;
}

partita_status tool_options_parse(int argc, char **argv, tool_options *out_options) {
    memset(out_options, 0, sizeof(*out_options));
    out_options->command = COMMAND_HELP;
    out_options->given[OPTION_JSON] = asks_for(argc, argv, "--json");
    if (argc < 2) return pt_fail(PARTITA_INVALID_ARGUMENT, "no command given; see 'partita help'");
    const char *name = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ? "help" : argv[1];
    int command = 0;
    while (command < COMMAND_COUNT && strcmp(tool_commands[command].name, name) != 0) command++;
    if (command == COMMAND_COUNT)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "unknown command '%s'; see 'partita help'", name);
    out_options->command = command;
    if (tool_commands[command].state == LATER) {
        if (!asks_for(argc, argv, "--help")) return pt_fail(PARTITA_NOT_IN_VERSION, "%s: not in this version", name);
        out_options->given[OPTION_HELP] = true;
        return PARTITA_OK;
    }
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
    return out_options->given[OPTION_HELP] ? PARTITA_OK : check_arguments(out_options);
}

void tool_options_deinit(tool_options *options) {
    for (int i = 0; i < OPTION_COUNT; i++) pt_array_deinit(&options->values[i]);
}

const char *tool_option_text(const tool_options *options, int option, const char *otherwise) {
    size_t count = options->values[option].size;
    return count ? options->values[option].data[count - 1] : otherwise;
}

uint64_t tool_option_uint(const tool_options *options, int option, uint64_t otherwise) {
    const char *text = tool_option_text(options, option, NULL);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

double tool_option_double(const tool_options *options, int option, double otherwise) {
    const char *text = tool_option_text(options, option, NULL);
    return text ? strtod(text, NULL) : otherwise;
}
