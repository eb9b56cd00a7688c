/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status codes and this thread's message. A message is formatted aside first, because its arguments are often the
 * message that is there already.
 */
#include "base/base.h"

#include <stdio.h>

enum { MESSAGE_BYTES = 1024 };

static PT_THREAD_LOCAL char last_message[MESSAGE_BYTES];

static const struct {
    const char *text;
    int exit_code;
} status_rows[] = {
#define X(name, value, exit_code, text) [value] = {text, exit_code},
    PARTITA_STATUS_ROWS(X)
#undef X
};

partita_status pt_fail(partita_status code, const char *format, ...) {
    char text[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return pt_fail_copy(code, text);
}

partita_status pt_fail_copy(partita_status code, const char *message) {
    char text[MESSAGE_BYTES];
    /* A message is one line of UTF-8: what came from a model or a plugin may be anything. */
    pt_str_show(pt_str(message), text, sizeof text);
    memcpy(last_message, text, sizeof text);
    return code;
}

partita_status pt_annotate(partita_status code, const char *format, ...) {
    char text[2 * MESSAGE_BYTES + 2]; /* what is too long is cut at its end, when it's copied */
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, MESSAGE_BYTES, format, arguments);
    va_end(arguments);
    size = PT_MAX(PT_MIN(size, MESSAGE_BYTES - 1), 0);
    snprintf(text + size, sizeof text - (size_t)size, "%s%s", last_message[0] ? ": " : "", last_message);
    return pt_fail_copy(code, text);
}

const char *pt_last_message(void) { return last_message; }

void pt_clear_message(void) { last_message[0] = '\0'; }

bool pt_status_is_valid(partita_status code) {
    return code >= 0 && (size_t)code < PT_COUNT_OF(status_rows) && status_rows[code].text;
}

const char *pt_status_text(partita_status code) {
    return pt_status_is_valid(code) ? status_rows[code].text : "unknown status";
}

int pt_status_exit_code(partita_status code) {
    if (!pt_status_is_valid(code)) return status_rows[PARTITA_INTERNAL].exit_code;
    return status_rows[code].exit_code;
}
