/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of every struct of the ABI against the golden file, and the rows against the headers, so that no field is
 * missing. `test_abi_layout --print` writes what the golden file is to hold; docs/abi.md says when that's allowed.
 */
#include <partita/operator_set.h>
#include <partita/plugin.h>

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct row {
    const char *name, *field; /* field NULL: the struct itself */
    size_t offset, size;
} row;

static const row rows[] = {
#define STRUCT(type)       {#type, NULL, 0, sizeof(type)},
#define FIELD(type, field) {#type, #field, offsetof(type, field), sizeof(((type *)0)->field)},
#include "abi_layout.inc"
#undef STRUCT
#undef FIELD
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void print_row(const row *r, char *line, size_t size) {
    if (!r->field)
        snprintf(line, size, "%s %zu\n", r->name, r->size);
    else
        snprintf(line, size, "%s.%s %zu %zu\n", r->name, r->field, r->offset, r->size);
}

static char *read_text(const char *folder, const char *file) {
    const char *root = getenv("PARTITA_TEST_SOURCE");
    char path[1024];
    char *text;
    long size;
    FILE *in;
    snprintf(path, sizeof(path), "%s/%s/%s", root ? root : "tests", folder, file);
    in = fopen(path, "r");
    if (!in) fail_msg("%s cannot be read", path);
    fseek(in, 0, SEEK_END);
    size = ftell(in);
    rewind(in);
    text = calloc((size_t)size + 1, 1);
    assert_int_equal(fread(text, 1, (size_t)size, in), (size_t)size);
    fclose(in);
    return text;
}

static void layout_is_golden(void **state) {
    char *golden = read_text("plugins", "abi_layout.golden");
    const char *at = golden;
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        char line[256];
        print_row(&rows[i], line, sizeof(line));
        if (strncmp(at, line, strlen(line)) != 0) {
            fail_msg("layout is \"%.*s\", the golden file has \"%.*s\"; docs/abi.md says how it may change",
                     (int)strcspn(line, "\n"), line, (int)strcspn(at, "\n"), at);
        }
        at += strlen(line);
    }
    assert_string_equal(at, "");
    free(golden);
}

/* ---- rows against headers -------------------------------------------------------------------- */

static void drop_comments(char *text) {
    for (char *open = strstr(text, "/*"); open; open = strstr(open, "/*")) {
        char *close = strstr(open, "*/");
        memset(open, ' ', (size_t)(close + 2 - open));
    }
}

static bool has_row(const char *name, size_t name_size, const char *field, size_t field_size) {
    for (size_t i = 0; i < ROWS; i++) {
        const char *row_field = rows[i].field ? rows[i].field : "";
        if (strlen(rows[i].name) == name_size && memcmp(rows[i].name, name, name_size) == 0 &&
            strlen(row_field) == field_size && memcmp(row_field, field, field_size) == 0) {
            return true;
        }
    }
    return false;
}

static size_t word_size(const char *word) {
    size_t size = 0;
    while (isalnum((unsigned char)word[size]) || word[size] == '_') size++;
    return size;
}

/* Name of a declaration that ends before `end`: behind "(*", else the last word before an array's bracket. */
static const char *declared_name(const char *begin, const char *end) {
    const char *bracket = memchr(begin, '[', (size_t)(end - begin));
    for (const char *at = begin; at + 1 < end; at++) {
        if (at[0] == '(' && at[1] == '*') return at + 2;
    }
    if (bracket) end = bracket;
    while (end > begin && (isalnum((unsigned char)end[-1]) || end[-1] == '_')) end--;
    return end;
}

static void check_struct(const char *name, size_t name_size, const char *body, const char *end) {
    if (!has_row(name, name_size, "", 0)) fail_msg("struct %.*s has no rows", (int)name_size, name);
    for (const char *semicolon = body; (semicolon = memchr(body, ';', (size_t)(end - body))) != NULL;) {
        const char *field = declared_name(body, semicolon);
        if (!has_row(name, name_size, field, word_size(field))) {
            fail_msg("%.*s.%.*s has no row", (int)name_size, name, (int)word_size(field), field);
        }
        body = semicolon + 1;
    }
}

static void rows_are_complete(void **state) {
    static const char *const headers[] = {"types.h", "plugin.h", "operator_set.h"};
    size_t structs = 0, listed = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        char *text = read_text("../sdk/include/partita", headers[i]);
        drop_comments(text);
        for (char *at = strstr(text, "typedef struct "); at; at = strstr(at + 1, "typedef struct ")) {
            const char *name = at + strlen("typedef struct ");
            const char *body = name + word_size(name);
            char *end;
            if (strncmp(body, " {", 2) != 0) continue; /* only named */
            end = strstr(body, "\n}");
            assert_non_null(end);
            check_struct(name, word_size(name), body + 2, end);
            structs++;
        }
        free(text);
    }
    for (size_t i = 0; i < ROWS; i++) listed += rows[i].field == NULL;
    assert_int_equal(structs, listed);
}

/* `size` is first, and of 32 bits, in every struct that crosses; partita_str only lies inside of others. */
static void structs_begin_with_size(void **state) {
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].field && strcmp(rows[i].field, "size") == 0 && strcmp(rows[i].name, "partita_str") != 0) {
            assert_int_equal(rows[i].offset, 0);
            assert_int_equal(rows[i].size, 4);
        }
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_is_golden),
        cmocka_unit_test(rows_are_complete),
        cmocka_unit_test(structs_begin_with_size),
    };
    if (argc > 1 && strcmp(argv[1], "--print") == 0) {
        for (size_t i = 0; i < ROWS; i++) {
            char line[256];
            print_row(&rows[i], line, sizeof(line));
            fputs(line, stdout);
        }
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
