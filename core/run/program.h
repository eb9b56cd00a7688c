/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session runs, decided beforehand: per graph a list of steps over slots. A slot is one value in one memory; a
 * step launches a part, moves values, or is a control-flow node whose bodies are programs of their own.
 */
#ifndef PT_RUN_PROGRAM_H
#define PT_RUN_PROGRAM_H

#include "plan/route.h"
#include "run/part.h"
#include <partita/partita.h>

/* A memory that values lie in. Number 0 is the host's. */
typedef struct pt_place {
    pt_device *device; /* NULL: host */
    uint32_t domain;
    pt_budget *budget;     /* what the session may hold there; borrowed. NULL: no limit */
    uint64_t weight_bytes; /* that parts hold there, as the plan counts them: spent of the budget */
} pt_place;

typedef enum pt_slot_kind {
    PT_SLOT_GIVEN,    /* input of the graph: whoever runs it sets it */
    PT_SLOT_CONSTANT, /* constant of the model that the host or an output needs */
    PT_SLOT_CAPTURE,  /* slot of the program around this one */
    PT_SLOT_MADE      /* written by a step */
} pt_slot_kind;

typedef struct pt_slot {
    pt_id value;
    uint32_t place;
    pt_slot_kind kind;
    uint32_t producer;  /* step; PT_NONE unless MADE */
    uint32_t parent;    /* CAPTURE: slot of the program around */
    uint32_t import_of; /* slot whose bytes this one sees from another device; PT_NONE */
    uint32_t alias_of;  /* slot whose bytes its producer may take over for it, being the last to read them; PT_NONE */
    bool arena;         /* lies in the arena when its size is known beforehand */
    bool is_import_source;
    bool is_scratch;    /* of its producer: no value */
    bool only_output;   /* an output of the graph that no step reads */
    uint32_t alignment; /* that the ports which write and read it ask for */
    uint32_t output;    /* index among the graph's outputs; PT_NONE */
    uint32_t next;      /* another slot of the same value; PT_NONE */
} pt_slot;

/* A value on its way from slot to slot. */
typedef struct pt_move {
    uint32_t from, to; /* slots */
    pt_route route;
    uint32_t edge; /* of the plan, for the counters; PT_NONE */
} pt_move;

typedef enum pt_step_kind { PT_STEP_LAUNCH, PT_STEP_MOVE, PT_STEP_NODE, PT_STEP_UNMAP } pt_step_kind;

typedef struct pt_step {
    pt_step_kind kind;
    pt_device *device; /* where it is enqueued; NULL: on the calling thread */
    bool async;        /* issued without blocking, completed by its timeline */
    pt_part *part;     /* LAUNCH */
    pt_id node;        /* NODE */
    pt_move *moves;    /* MOVE: from one place to one place; UNMAP: the move whose mapping ends */
    uint32_t move_count;
    uint32_t *inputs; /* slots, by port or input; PT_NONE: absent */
    uint32_t input_count;
    uint32_t *outputs; /* slots */
    uint32_t output_count;
    uint32_t *needs; /* further slots that must be there: captures of the bodies of a NODE */
    uint32_t need_count;
    uint32_t scratch; /* slot of a LAUNCH */
    uint32_t *successors;
    uint8_t *light; /* by successor: it may be issued as soon as this one is */
    uint32_t successor_count;
    uint32_t predecessor_count;
    uint32_t *queue_before; /* predecessors on the same device that is not IN_ORDER */
    uint32_t queue_before_count;
} pt_step;

typedef struct pt_program {
    struct pt_build *build;
    pt_id graph;
    struct pt_program *around; /* of the graph around; NULL */
    pt_arena arena;
    PT_ARRAY(pt_slot) slots;
    PT_ARRAY(pt_step) steps; /* in the order of the plan; a topological one */
    uint32_t *inputs;        /* slots of the graph's inputs */
    uint32_t input_count;
    uint32_t *outputs; /* slots of the graph's outputs, in host memory */
    uint32_t output_count;
    partita_value **constants; /* by slot; NULL where none */
    uint32_t *slot_of;         /* by value: one of its slots, the others by `next`; only while it is made */
    uint64_t *conflicts;       /* bit [a * slots + b]: the two may not share bytes */
    uint32_t *key_symbols;     /* base and data symbols that sizes of this graph depend on */
    uint32_t key_symbol_count;
    pthread_mutex_t lock; /* guards what follows */
    struct pt_layout *layouts;
    uint64_t layout_bytes, clock;
    struct pt_frame *idle; /* frames to be used again */
} pt_program;

/* Everything compiled from one plan; replaced as a whole when a part is demoted. */
typedef struct pt_build {
    _Atomic uint32_t references;
    struct partita_session *session;
    const pt_model *model;
    pt_plan *plan;
    bool owns_plan;        /* else it is the application's */
    partita_model *origin; /* held: that `model` is of, when it is not the session's; NULL */
    pt_place *places;
    uint32_t place_count;
    pt_part **parts;       /* by cluster */
    pt_program **programs; /* by graph; NULL where no program of the host runs it */
    struct pt_measure *clusters, *edges;
    uint32_t *first_edge, *next_edge; /* edges of the plan by value */
    uint32_t import_alignment;        /* that host arenas have */
} pt_build;

/* Programs of every graph that the host runs, out of plan and parts. */
partita_status pt_programs_create(pt_build *build);
void pt_program_destroy(pt_program *program);
/* program_slots.c: the slot of `value` in `place`, made with the move that fills it where there is none. */
partita_status pt_program_need(pt_program *program, pt_id value, uint32_t place, uint32_t *out_slot);
/* The slot, or PT_NONE. */
uint32_t pt_program_find(const pt_program *program, pt_id value, uint32_t place);
/* program_order.c: order, dependencies, conflicts, once all steps are there. */
partita_status pt_program_finish(pt_program *program);
uint32_t pt_place_of(const pt_build *build, pt_device *device, uint32_t domain);
/* Appends the step that launches a part, with the slots of its outputs and scratch. */
partita_status pt_program_add_launch(pt_program *program, pt_part *part);
partita_status pt_program_add_slot(pt_program *program, const pt_slot *slot, uint32_t *out_slot);

#endif
