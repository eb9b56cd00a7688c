/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions by RE2, whose syntax ONNX names. It takes linear time and bounded memory for any expression.
 */
#include "cpu/kernels/library.h"

#include <cstdio>
#include <exception>
#include <re2/re2.h>

static void *compile(const char *pattern, size_t size, bool longest, char *error, size_t error_size) {
    try {
        re2::RE2::Options options;
        options.set_log_errors(false);
        options.set_longest_match(longest);
        re2::RE2 *regex = new re2::RE2(re2::StringPiece(pattern, size), options);
        if (regex->ok()) return regex;
        std::snprintf(error, error_size, "%s", regex->error().c_str());
        delete regex;
    } catch (const std::exception &e) { std::snprintf(error, error_size, "%s", e.what()); }
    return nullptr;
}

static bool matches(const void *regex, const char *text, size_t size) {
    try {
        return re2::RE2::FullMatch(re2::StringPiece(text, size), *static_cast<const re2::RE2 *>(regex));
    } catch (const std::exception &) { return false; }
}

static bool find(const void *regex, const char *text, size_t size, size_t from, size_t *out_at, size_t *out_size) {
    try {
        re2::StringPiece found;
        bool there = from <= size && static_cast<const re2::RE2 *>(regex)->Match(re2::StringPiece(text, size), from,
                                                                                 size, re2::RE2::UNANCHORED, &found, 1);
        if (!there) return false;
        *out_at = static_cast<size_t>(found.data() - text);
        *out_size = found.size();
        return true;
    } catch (const std::exception &) { return false; }
}

static void release(void *regex) { delete static_cast<re2::RE2 *>(regex); }

extern "C" {
CPU_LIBRARY_EXPORT extern const cpu_regex_library cpu_library_table;
const cpu_regex_library cpu_library_table = {CPU_LIBRARY_VERSION, compile, matches, find, release};
}
