/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layouts: for one combination of symbolic dims, where each slot of a program lies in the arenas and which instance
 * each part runs with. Kept in a bounded cache per program; a new one costs sizes and offsets only.
 */
#ifndef PT_RUN_LAYOUT_H
#define PT_RUN_LAYOUT_H

#include "run/program.h"

/* Room of a slot in an arena. */
typedef struct pt_room {
    bool known;      /* dims and bytes are known beforehand */
    bool bounded;    /* `bytes` are the most that it may have */
    bool placed;     /* has a place in a chunk */
    uint32_t leader; /* slot whose place it shares; its own number when it has one of its own */
    uint32_t next;   /* another slot that shares the leader's place; PT_NONE */
    uint32_t chunk;
    uint64_t offset, bytes;
    const int64_t *dims;
} pt_room;

/* A piece of an arena: as large as the domain's buffers may be. */
typedef struct pt_chunk_size {
    uint32_t place;
    uint64_t bytes;
} pt_chunk_size;

typedef struct pt_layout {
    struct pt_layout *next;
    uint32_t holders; /* under the program's lock */
    uint64_t hash, used, footprint;
    const int64_t *key;
    pt_room *rooms;                 /* by slot */
    pt_instance **instances;        /* by step; NULL: sized when it is launched */
    PT_ARRAY(pt_chunk_size) chunks; /* the first ones by place, then further ones */
    pt_arena arena;
} pt_layout;

typedef _Atomic(const pt_part *) pt_part_cell;
/* The layout for evaluated symbols; *out_ns: time taken to make it, 0 when it was there. *part: the part that its
 * device is sizing, at which it stopped when it fails; else NULL. */
partita_status pt_layout_acquire(pt_program *program, const int64_t *symbol_values, pt_layout **out_layout,
                                 uint64_t *out_ns, pt_part_cell *part);
void pt_layout_release(pt_program *program, pt_layout *layout);
/* Dims of a dense tensor under the symbols into dims[rank], which may be NULL; false when one is not known or it is no
 * dense tensor. */
bool pt_value_dims(const pt_model *model, pt_id value, const int64_t *symbol_values, int64_t *dims);
void pt_program_drop_layouts(pt_program *program);
void pt_program_drop_frames(pt_program *program);

#endif
