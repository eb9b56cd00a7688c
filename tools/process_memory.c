/* SPDX-License-Identifier: Apache-2.0 */
/* Reads /proc/self for the memory figures of inspect and bench. */
#include "process_memory.h"
#include <stdio.h>
#include <string.h>

/* The number behind `key` in a file of "Key:  123 kB" lines, in MiB. */
static double kilobytes_of(const char *path, const char *key) {
    FILE *file = fopen(path, "r");
    char line[256];
    double mib = 0;
    size_t size = strlen(key);
    while (file && fgets(line, sizeof(line), file)) {
        unsigned long long kilobytes;
        if (strncmp(line, key, size) == 0 && sscanf(line + size, "%llu", &kilobytes) == 1)
            mib = (double)kilobytes / 1024;
    }
    if (file) fclose(file);
    return mib;
}

tool_process_memory tool_process_memory_now(void) {
    return (tool_process_memory){kilobytes_of("/proc/self/smaps_rollup", "Private_Dirty:"),
                                 kilobytes_of("/proc/self/status", "VmRSS:"),
                                 kilobytes_of("/proc/self/status", "VmHWM:")};
}
