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

/* Bytes of the UTF-8 character that `text` starts with; 0 when it starts with none that XML may hold, too. */
static size_t character_size(partita_str text) {
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } rows[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    const unsigned char *bytes = (const unsigned char *)text.data;
    for (size_t extra = 0; extra < PT_COUNT_OF(rows); extra++) {
        if ((bytes[0] & rows[extra].mask) != rows[extra].lead) continue;
        if (extra >= text.size) return 0;
        uint32_t code = bytes[0] & (unsigned char)~rows[extra].mask;
        for (size_t i = 1; i <= extra; i++) {
            if ((bytes[i] & 0xc0) != 0x80) return 0;
            code = code << 6 | (bytes[i] & 0x3f);
        }
        bool character = code >= rows[extra].least && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) &&
                         code != 0xfffe && code != 0xffff;
        return character ? extra + 1 : 0;
    }
    return 0;
}

static bool is_control(partita_str character) {
    unsigned char first = (unsigned char)character.data[0];
    return first < 0x20 || first == 0x7f || (first == 0xc2 && (unsigned char)character.data[1] < 0xa0);
}

/* The first character, taken off `rest`. */
static partita_str take_character(partita_str *rest, bool shown) {
    size_t size = character_size(*rest);
    partita_str character = {rest->data, size};
    if (!size)
        character = PT_STR("?");
    else if (shown && is_control(character))
        character = PT_STR(" ");
    size = PT_MAX(size, 1u);
    *rest = (partita_str){rest->data + size, rest->size - size};
    return character;
}

void pt_text_append_clean(pt_text *text, partita_str piece, bool shown) {
    while (piece.size) pt_text_append(text, take_character(&piece, shown));
}

void pt_str_show(partita_str text, char *out, size_t capacity) {
    size_t size = 0;
    while (text.size) {
        partita_str character = take_character(&text, true);
        if (size + character.size >= capacity) break;
        memcpy(out + size, character.data, character.size);
        size += character.size;
    }
    out[size] = '\0';
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
