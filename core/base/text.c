/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing text. The first failure sticks, so that callers check once, at the end.
 */
#include "base/base.h"

#include <stdio.h>

void pt_text_deinit(pt_text *text) {
    if (!text) return;
    pt_free(text->data);
    *text = (pt_text){0};
}

/* Room for `more` bytes and the terminator. */
static bool reserve(pt_text *text, size_t more) {
    size_t need;
    if (text->failed) return false;
    if (!pt_add_size(text->size, more, &need) || !pt_add_size(need, 1, &need) ||
        !pt_array_grow(&text->data, &text->capacity, need, 1)) {
        text->failed = true;
        return false;
    }
    return true;
}

void pt_text_append(pt_text *text, partita_str piece) {
    if (!reserve(text, piece.size)) return;
    if (piece.size) memcpy(text->data + text->size, piece.data, piece.size);
    text->size += piece.size;
    text->data[text->size] = '\0';
}

void pt_text_printf(pt_text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0) {
        text->failed = true;
        return;
    }
    if (!reserve(text, (size_t)size)) return;
    va_start(arguments, format);
    vsnprintf(text->data + text->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    text->size += (size_t)size;
}
