/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel counts as this process's memory. */
#ifndef TOOLS_PROCESS_MEMORY_H
#define TOOLS_PROCESS_MEMORY_H

typedef struct tool_process_memory {
    double private_dirty_mib; /* Private_Dirty of /proc/self/smaps_rollup */
    double resident_mib;      /* VmRSS */
    double peak_mib;          /* VmHWM */
} tool_process_memory;

/* Zeros where /proc does not tell. */
tool_process_memory tool_process_memory_now(void);

#endif
