/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arenas of one frame: chunks of memory per place, kept from run to run, and their imports by other devices.
 */
#ifndef PT_RUN_MEMORY_H
#define PT_RUN_MEMORY_H

#include "run/layout.h"

/* A chunk as another device sees it. */
typedef struct pt_import {
    uint32_t place;
    ptp_buffer *buffer; /* NULL: it could not be imported */
} pt_import;

typedef struct pt_chunk {
    uint32_t place;
    uint64_t capacity;
    uint64_t spent;       /* of the place's budget */
    void *data;           /* host */
    ptp_buffer *buffer;   /* device */
    pthread_mutex_t lock; /* guards the imports: steps that import may be issued from several threads */
    PT_ARRAY(pt_import) imports;
} pt_chunk;

typedef struct pt_memory {
    PT_ARRAY(pt_chunk *) chunks;
} pt_memory;

/* Makes room for a layout; what is large enough already stays, with its imports. *out_place: where it failed. */
partita_status pt_memory_fit(pt_memory *memory, pt_build *build, const pt_layout *layout, uint32_t *out_place);
void pt_memory_deinit(pt_memory *memory, pt_build *build);
/* The chunk's buffer on the device of `place`, imported on first use; NULL when the device cannot after all. */
ptp_buffer *pt_chunk_import(pt_build *build, pt_chunk *chunk, uint32_t place, uint32_t handle_kind);

#endif
