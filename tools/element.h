/* SPDX-License-Identifier: Apache-2.0 */
/* One element of a dense tensor of any type, widened: for printing and for judging, not for speed. */
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

/* "sequence", ... */
const char *tool_kind_name(partita_kind kind);

#endif
