/* SPDX-License-Identifier: Apache-2.0 */
/* One element of a dense tensor of any type, widened or made from a word: for people and for judging, not for speed. */
#ifndef TOOLS_ELEMENT_H
#define TOOLS_ELEMENT_H

#include <partita/partita.h>
#include <stdbool.h>

typedef struct tool_element {
    bool is_integer;
    int64_t integer;        /* of integer types; uint64 above INT64_MAX wraps, `real` holds the size */
    double real, imaginary; /* of all types */
} tool_element;

/* `view`: dense tensor of numbers in host memory. */
tool_element tool_element_at(const partita_value_view *view, uint64_t index);

/* Writes an element of floats; false where the type has nothing near. `data` is zero so far, with 4 bytes to spare. */
bool tool_element_set(void *data, partita_dtype dtype, uint64_t index, double value);
/* The same of a number in decimal, "true" and "false"; false when `word` is none that the type holds. No complex ones.
 */
bool tool_element_parse(void *data, partita_dtype dtype, uint64_t index, const char *word);

/* "sequence", ... */
const char *tool_kind_name(partita_kind kind);

#endif
