/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of library.h, by name.
 */
#ifndef CPU_KERNELS_LIBRARIES_H
#define CPU_KERNELS_LIBRARIES_H

#include "cpu/kernels/library.h"
#include "cpu/kernels/support.h"

typedef enum cpu_library {
    CPU_LIBRARY_JPEG,
    CPU_LIBRARY_PNG,
    CPU_LIBRARY_TIFF,
    CPU_LIBRARY_WEBP,
    CPU_LIBRARY_JPEG2000,
    CPU_LIBRARY_REGEX,
    CPU_LIBRARY_TEXT,
    CPU_LIBRARY_COUNT
} cpu_library;

/* The library's table; UNSUPPORTED where it was left out. Any thread may ask. */
partita_status cpu_library_open(const ptp_host *host, cpu_library which, const void **out_table);

#endif
