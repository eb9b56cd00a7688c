/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log, clock and environment. A context's messages go to its own sink. For the process's a read lock is held while the
 * callback runs, so that once pt_log_set returns the old callback isn't running any more; a callback may log, but not
 * call pt_log_set.
 */
#include "base/base.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pt_log_fn log_fn;
static void *log_user;

static const char *const level_names[] = {"debug", "info", "warning", "error", "off"};

/* The lowest level that goes to stderr. Asked for once: the environment isn't safe to read while it's written. */
static int32_t stderr_level = PARTITA_LOG_WARNING;
static pthread_once_t stderr_level_once = PTHREAD_ONCE_INIT;

static void read_stderr_level(void) {
    const char *wanted = pt_env("PARTITA_LOG");
    for (size_t i = 0; wanted && i < PT_COUNT_OF(level_names); i++) {
        if (strcmp(wanted, level_names[i]) == 0) stderr_level = (int32_t)i;
    }
}

static void log_to_stderr(int32_t level, const char *message) {
    pthread_once(&stderr_level_once, read_stderr_level);
    if (level < stderr_level) return;
    const char *name = level_names[level < 0 ? 0 : PT_MIN(level, PARTITA_LOG_ERROR)];
    char line[1200];
    int size = snprintf(line, sizeof line, "partita: %s: %s\n", name, message);
    if (size < 0) return;
    if ((size_t)size >= sizeof line) {
        size = sizeof line - 1;
        line[size - 1] = '\n';
    }
    /* One write for one line, so that lines of several threads don't mix. */
    ssize_t written = write(STDERR_FILENO, line, (size_t)size);
    PT_UNUSED(written);
}

void pt_log_set(pt_log_fn fn, void *user) {
    pthread_rwlock_wrlock(&lock);
    log_fn = fn;
    log_user = user;
    pthread_rwlock_unlock(&lock);
}

static void log_message(const pt_log_sink *sink, int32_t level, const char *format, va_list arguments) {
    char raw[1024], message[sizeof raw];
    vsnprintf(raw, sizeof raw, format, arguments);
    pt_str_show(pt_str(raw), message, sizeof message);
    if (sink && sink->fn) {
        sink->fn(sink->user, level, message);
        return;
    }
    pthread_rwlock_rdlock(&lock);
    if (log_fn) {
        log_fn(log_user, level, message);
    } else {
        log_to_stderr(level, message);
    }
    pthread_rwlock_unlock(&lock);
}

void pt_log(int32_t level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    log_message(NULL, level, format, arguments);
    va_end(arguments);
}

void pt_log_to(const pt_log_sink *sink, int32_t level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    log_message(sink, level, format, arguments);
    va_end(arguments);
}

uint64_t pt_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t pt_thread_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A privileged process takes nothing from its user but how much is said. */
const char *pt_env(const char *name) { return strcmp(name, "PARTITA_LOG") == 0 ? getenv(name) : secure_getenv(name); }
