/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a simulated device can be told: one row a key, for the machine file and for device options alike.
 *
 * A machine file has a section "[device]" for each device and a line "key = value" for each key; '#' starts a comment.
 */
#include "sim/sim.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_TEXT, KEY_NUMBER, KEY_INT };

#define KEYS(X)                                                                                                        \
    X(name, TEXT, "string", "", "description that is printed")                                                         \
    X(resource, TEXT, "string", "", "resources it uses, comma-separated; default is one of its own")                   \
    X(flops_per_us, NUMBER, "float", "1000", "declared rate of arithmetic")                                            \
    X(bytes_per_us, NUMBER, "float", "1000", "declared rate of its memory")                                            \
    X(launch_us, NUMBER, "float", "5", "time to start a part")                                                         \
    X(us, TEXT, "string", "", "times of nodes by operator, over the rates: Conv:100,*:20")                             \
    X(speed, NUMBER, "float", "1", "divides the times of nodes")                                                       \
    X(fuse, NUMBER, "float", "1", "factor on a whole cluster's time, as offered and as run")                           \
    X(slow, NUMBER, "float", "1", "factor on what a run takes over what was announced")                                \
    X(copy_us, NUMBER, "float", "5", "fixed part of a copy from or to host memory")                                    \
    X(copy_bytes_per_us, NUMBER, "float", "1000", "rate of such a copy")                                               \
    X(import_us, NUMBER, "float", "1", "price of using imported memory, and of lending one's own")                     \
    X(memory, TEXT, "device|unified|pinned|host", "device", "kind of its memory; host: it has none of its own")        \
    X(memory_bytes, INT, "int", "0", "bytes of its memory; 0: no limit")                                               \
    X(max_buffer, INT, "int", "0", "bytes of its largest buffer; 0: no limit")                                         \
    X(alignment, INT, "int", "64", "of tensors in its buffers")                                                        \
    X(import, TEXT, "string", "memfd,opaque-fd,dma-buf,host-pointer", "handles that it imports")                       \
    X(export, TEXT, "string", "memfd,opaque-fd,dma-buf", "handles that it exports")                                    \
    X(import_alignment, INT, "int", "64", "of imported host pointers")                                                 \
    X(ops, TEXT, "string", "", "operators it takes; empty: all that have a kernel")                                    \
    X(not_ops, TEXT, "string", "", "operators it refuses")                                                             \
    X(all_kinds, INT, "int", "0", "1: takes values of every kind")                                                     \
    X(async, INT, "int", "1", "0: calls return when the work is done")                                                 \
    X(in_order, INT, "int", "1", "0: work is ordered by waits alone")                                                  \
    X(serial, INT, "int", "0", "1: runs of one part must take turns, and fail when they do not")                       \
    X(bound, TEXT, "string", "", "bytes that outputs get at most, by operator, over what is right: NonZero:64")        \
    X(max_dim, INT, "int", "0", "largest dim of inputs that its parts are compiled for; 0: any")                       \
    X(decline, TEXT, "string", "", "operators whose clusters it declines when they're offered")                        \
    X(trim, TEXT, "string", "", "operators that it gives back when a cluster is offered")                              \
    X(fail_compile, TEXT, "string", "", "operators that it takes and cannot compile")                                  \
    X(fail_exec, INT, "int", "0", "number of the run that fails; 0: none")                                             \
    X(fail_exec_count, INT, "int", "1", "how many runs fail from there; 0: all")                                       \
    X(fail_resize, INT, "int", "0", "number of the sizing of a part that fails; 0: none")                              \
    X(fail_resize_count, INT, "int", "1", "how many fail from there; 0: all")                                          \
    X(fail_code, TEXT, "own|unsupported|out-of-memory|internal|none", "own", "status of the failures above")           \
    X(most_elements, INT, "int", "0", "elements of a value from which parts can't be sized; 0: no limit")              \
    X(hang_exec, INT, "int", "0", "number of the run that hangs; 0: none")                                             \
    X(hang_resize, INT, "int", "0", "number of the sizing of a part that hangs; 0: none")                              \
    X(hang_us, NUMBER, "float", "1e6", "how long it hangs")                                                            \
    X(fail_copy, INT, "int", "0", "number of the copy call that fails")                                                \
    X(fail_alloc, INT, "int", "0", "number of the allocation that fails")                                              \
    X(lost, INT, "int", "0", "number of the run from which the device is lost")                                        \
    X(wrong, TEXT, "string", "", "operators whose parts give wrong numbers")

static const struct {
    const char *key;
    int kind;
    size_t offset, size;
} key_rows[] = {
#define X(key, kind, type, otherwise, text)                                                                            \
    {#key, KEY_##kind, offsetof(sim_config, key), sizeof(((sim_config *)0)->key)},
    KEYS(X)
#undef X
};
enum { KEY_COUNT = sizeof(key_rows) / sizeof(key_rows[0]) };

static const ptp_option_row option_rows[] = {
#define X(key, kind, type, otherwise, text) {sizeof(ptp_option_row), 0, #key, type, otherwise, text},
    KEYS(X)
#undef X
};

const ptp_option_row *sim_option_rows(uint32_t *out_count) {
    *out_count = KEY_COUNT;
    return option_rows;
}

bool sim_config_set(sim_config *config, const char *key, const char *value, char *problem, size_t size) {
    for (int i = 0; i < KEY_COUNT; i++) {
        char *field = (char *)config + key_rows[i].offset;
        char *end = NULL;
        if (strcmp(key_rows[i].key, key) != 0) continue;
        errno = 0;
        if (key_rows[i].kind == KEY_TEXT) {
            if (strlen(value) < key_rows[i].size) {
                memset(field, 0, key_rows[i].size);
                memcpy(field, value, strlen(value));
                return true;
            }
        } else if (key_rows[i].kind == KEY_NUMBER) {
            double number = strtod(value, &end);
            memcpy(field, &number, sizeof(number));
        } else {
            int64_t number = strtoll(value, &end, 10);
            memcpy(field, &number, sizeof(number));
        }
        if (end && end != value && *end == '\0' && errno == 0) return true;
        snprintf(problem, size, "%s: \"%.100s\" is no %s", key, value, option_rows[i].type);
        return false;
    }
    snprintf(problem, size, "there is no key \"%.60s\"", key);
    return false;
}

partita_status sim_fail_status(const sim_config *config, partita_status own) {
    static const struct {
        const char *text;
        partita_status status;
    } rows[] = {{"unsupported", PARTITA_UNSUPPORTED},
                {"out-of-memory", PARTITA_OUT_OF_MEMORY},
                {"internal", PARTITA_INTERNAL},
                {"none", 12345}}; /* a number that is no status */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(config->fail_code, rows[i].text) == 0) return rows[i].status;
    }
    return own;
}

bool sim_is_among(uint64_t number, int64_t first, int64_t count) {
    return first && number >= (uint64_t)first && (count == 0 || number - (uint64_t)first < (uint64_t)count);
}

void sim_config_init(sim_config *config) {
    char problem[8];
    memset(config, 0, sizeof(*config));
    for (int i = 0; i < KEY_COUNT; i++) {
        sim_config_set(config, key_rows[i].key, option_rows[i].default_value, problem, sizeof(problem));
    }
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* The next word of a comma-separated list; its size is 0 at the end. */
static partita_str next_word(const char **at) {
    partita_str word;
    while (**at == ',' || **at == ' ') (*at)++;
    word.data = *at;
    word.size = strcspn(*at, ",");
    *at += word.size;
    while (word.size && word.data[word.size - 1] == ' ') word.size--;
    return word;
}

bool sim_list_has(const char *list, partita_str word) {
    for (partita_str piece = next_word(&list); piece.size; piece = next_word(&list)) {
        if (piece.size == word.size && memcmp(piece.data, word.data, word.size) == 0) return true;
    }
    return false;
}

bool sim_list_number(const char *list, partita_str word, double *out_number) {
    bool found = false;
    for (partita_str piece = next_word(&list); piece.size; piece = next_word(&list)) {
        const char *colon = memchr(piece.data, ':', piece.size);
        size_t size = colon ? (size_t)(colon - piece.data) : 0;
        bool same = size == word.size && memcmp(piece.data, word.data, size) == 0;
        if (!colon || (!same && !(size == 1 && *piece.data == '*' && !found))) continue;
        *out_number = strtod(colon + 1, NULL);
        if (same) return true;
        found = true;
    }
    return found;
}

uint32_t sim_handle_mask(const char *list) {
    static const struct {
        const char *word;
        uint32_t handle;
    } rows[] = {{"memfd", PTP_HANDLE_MEMFD},
                {"opaque-fd", PTP_HANDLE_OPAQUE_FD},
                {"dma-buf", PTP_HANDLE_DMA_BUF},
                {"host-pointer", PTP_HANDLE_HOST_POINTER}};
    uint32_t mask = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (sim_list_has(list, (partita_str){rows[i].word, strlen(rows[i].word)})) mask |= 1u << rows[i].handle;
    }
    return mask;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static char *trimmed(char *text) {
    size_t size;
    while (*text == ' ' || *text == '\t') text++;
    size = strlen(text);
    while (size && strchr(" \t\r\n", text[size - 1])) text[--size] = '\0';
    return text;
}

/* One line of the file; `problem` is filled when it's wrong. */
static bool read_line(char *line, sim_config *configs, uint32_t *count, char *problem, size_t size) {
    char *comment = strchr(line, '#');
    char *equals;
    if (comment) *comment = '\0';
    line = trimmed(line);
    if (!*line) return true;
    if (strcmp(line, "[device]") == 0) {
        if (*count == SIM_MOST_DEVICES) {
            snprintf(problem, size, "more than %d devices", SIM_MOST_DEVICES);
            return false;
        }
        sim_config_init(&configs[(*count)++]);
        return true;
    }
    equals = strchr(line, '=');
    if (!equals || *count == 0) {
        snprintf(problem, size, "%s", equals ? "a key before the first [device]" : "neither [device] nor key = value");
        return false;
    }
    *equals = '\0';
    return sim_config_set(&configs[*count - 1], trimmed(line), trimmed(equals + 1), problem, size);
}

partita_status sim_machine_read(const ptp_host *host, sim_config *configs, uint32_t *out_count) {
    const char *path = secure_getenv("PARTITA_SIM_MACHINE");
    partita_status status = PARTITA_OK;
    char line[1024], problem[256];
    uint32_t number = 0;
    FILE *file;
    *out_count = 0;
    if (!path || !*path) {
        for (uint32_t i = 0; i < 2; i++) sim_config_init(&configs[(*out_count)++]);
        return PARTITA_OK;
    }
    file = fopen(path, "re");
    if (!file) return cpu_fail(host, PARTITA_IO, "machine file %s: %s", path, strerror(errno));
    while (status == PARTITA_OK && fgets(line, sizeof(line), file)) {
        number++;
        if (!read_line(line, configs, out_count, problem, sizeof(problem))) {
            status = cpu_fail(host, PARTITA_INVALID_ARGUMENT, "machine file %s, line %u: %s", path, number, problem);
        }
    }
    fclose(file);
    if (status == PARTITA_OK && *out_count == 0) {
        return cpu_fail(host, PARTITA_DEVICE_ABSENT, "machine file %s has no [device]", path);
    }
    return status;
}
