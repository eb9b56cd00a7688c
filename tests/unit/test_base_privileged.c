/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a privileged process takes from its environment: how much is said, and nothing else. The program copies itself,
 * makes the copy set-user-id, and starts it as another user.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../skip.h"

enum { NOBODY = 65534, NOT_PRIVILEGED = 3 };

static int answer(void) {
    if (!getauxval(AT_SECURE)) return NOT_PRIVILEGED;
    return pt_env("PARTITA_LOG") && !pt_env("PARTITA_DEVICES") ? 0 : 1;
}

static bool copy_self(const char *path) {
    char chunk[65536];
    FILE *in = fopen("/proc/self/exe", "rb"), *out = fopen(path, "wb");
    bool good = in && out;
    for (size_t got; good && (got = fread(chunk, 1, sizeof chunk, in)) > 0;) good = fwrite(chunk, 1, got, out) == got;
    if (in) fclose(in);
    if (out) good = fclose(out) == 0 && good;
    return good && chmod(path, 04755) == 0;
}

static void only_the_log_level_is_taken(void **state) {
    PT_UNUSED(state);
    char path[64];
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP_BECAUSE("tool:sanitizer", "sanitizers do not start in a privileged process");
#endif
    if (geteuid() != 0) SKIP_BECAUSE("tool:root", "only root makes a program set-user-id");
    snprintf(path, sizeof path, "/tmp/partita_privileged_%d", (int)getpid());
    assert_true(copy_self(path));
    pid_t child = fork();
    if (child == 0) {
        setenv("PARTITA_LOG", "info", 1);
        setenv("PARTITA_DEVICES", "cpu", 1);
        if (setgid(NOBODY) == 0 && setuid(NOBODY) == 0) execl(path, path, "--answer", (char *)NULL);
        _exit(NOT_PRIVILEGED);
    }
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    unlink(path);
    assert_true(WIFEXITED(code));
    if (WEXITSTATUS(code) == NOT_PRIVILEGED) SKIP_BECAUSE("tool:setuid", "set-user-id has no effect in /tmp");
    assert_int_equal(WEXITSTATUS(code), 0);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--answer") == 0) return answer();
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_the_log_level_is_taken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
