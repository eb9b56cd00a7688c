/* SPDX-License-Identifier: Apache-2.0 */
/* Machines without OpenCL: no loader, and a loader without drivers. Each in a process of its own, since both are found
 * once. */
#include "plugins/opencl/fake_host.h"
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static bool hide_loader;

/* Takes the place of libc's, for the plugin too: it finds everything but the OpenCL loader. */
__attribute__((visibility("default"))) void *dlopen(const char *name, int flags) {
    static void *(*real)(const char *, int);
    if (!real) {
        void *symbol = dlsym(RTLD_NEXT, "dlopen");
        memcpy(&real, &symbol, sizeof(real));
    }
    if (hide_loader && name && strstr(name, "libOpenCL")) name = "libOpenCL-hidden.so.1";
    return real(name, flags);
}

/* 0 when start says DEVICE_ABSENT with these words. */
static int start_in_child(const char *words, bool without_loader) {
    pid_t child = fork();
    if (child == 0) {
        fake_host fake;
        hide_loader = without_loader;
        if (!without_loader) setenv("OCL_ICD_VENDORS", "/nonexistent/", 1);
        fake_host_init(&fake);
        partita_status status = fake_host_start(&fake, "opencl");
        bool right = status == PARTITA_DEVICE_ABSENT && strstr(fake.message, words) && fake.live == 0;
        if (!right) fprintf(stderr, "status %d: %s\n", status, fake.message);
        _exit(right ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    return status;
}

static void no_loader(void **state) {
    (void)state;
    assert_int_equal(start_in_child("libOpenCL.so.1", true), 0);
}

static void no_driver(void **state) {
    (void)state;
    assert_int_equal(start_in_child("no OpenCL driver (ICD) found", false), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_loader), cmocka_unit_test(no_driver)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
