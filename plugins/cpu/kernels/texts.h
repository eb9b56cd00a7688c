/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings as a kernel makes them, one behind the other, for operators whose outputs are text.
 */
#ifndef CPU_KERNELS_TEXTS_H
#define CPU_KERNELS_TEXTS_H

#include "cpu/kernels/support.h"

/* Begins as zeros with `host`. Once it is out of memory it stays `failed` and takes no more. */
typedef struct cpu_texts {
    const ptp_host *host;
    uint64_t *offsets;
    char *bytes;
    uint64_t count, size, count_room, size_room;
    bool failed;
} cpu_texts;

/* More bytes of the last string; `cpu_texts_end` closes it. */
void cpu_texts_put(cpu_texts *t, const char *bytes, uint64_t size);
void cpu_texts_end(cpu_texts *t);
/* A whole string. */
void cpu_texts_add(cpu_texts *t, const char *bytes, uint64_t size);
/* Gives them as output 0; their count must be what the dims say. */
partita_status cpu_texts_give(const cpu_call *call, cpu_texts *t, uint32_t rank, const int64_t *dims);
void cpu_texts_free(cpu_texts *t);

#endif
