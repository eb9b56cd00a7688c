/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that a plugin needs and that's gone when it's loaded.
 */
__attribute__((visibility("default"))) int hostile_needed(void);
int hostile_needed(void) { return 0; }
