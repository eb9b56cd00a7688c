/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Skipping with a reason that tests/driver.py reads: a line `SKIP[what] reason` before cmocka's own. What is missing
 * has a name, so that continuous integration can tell a driver that must be there (`driver:opencl`, `driver:vulkan`)
 * from what a machine may lack (`tool:...`, `library:...`, `device:...`).
 */
#ifndef TESTS_SKIP_H
#define TESTS_SKIP_H

/* cmocka.h must be included before. */
#define SKIP_BECAUSE(what, ...)                                                                                        \
    do {                                                                                                               \
        print_message("SKIP[" what "] ");                                                                              \
        print_message(__VA_ARGS__);                                                                                    \
        print_message("\n");                                                                                           \
        skip();                                                                                                        \
    } while (0)

#endif
