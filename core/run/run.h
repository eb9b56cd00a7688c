/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a program once: a request, its frames (one per program under way, bodies inside), and the state of their
 * slots and steps.
 */
#ifndef PT_RUN_RUN_H
#define PT_RUN_RUN_H

#include "run/memory.h"
#include "run/session.h"
#include "run/timeline.h"

/* Largest rank that a run may tell of a bounded output. */
enum { PT_OUTPUT_RANK = 16 };

/* What all frames of one run share. */
typedef struct pt_request {
    partita_session *session;
    pt_build *build;      /* held */
    uint64_t deadline_ns; /* monotonic; 0: none */
    _Atomic bool cancelled;
    pthread_mutex_t lock;     /* guards `waiting` */
    struct pt_frame *waiting; /* frame that its thread is in: cancelling wakes it */
    bool apart;               /* the caller may leave: no memory of its own is touched while it runs */
    pt_device *stuck[8];      /* devices that had not come back when the caller left */
    uint32_t stuck_count;
    _Atomic uint32_t failed_cluster; /* cluster whose device failed; PT_NONE. Frames set it under their own locks */
    pt_spender spender;              /* of what the run allocates, on whatever thread */
} pt_request;

/* One execution of one step: what plugins know as the run. */
struct ptp_run {
    struct pt_frame *frame;
    uint32_t step;
};

typedef struct pt_slot_state {
    partita_value *value;   /* held; NULL: in the arena or a view */
    partita_value *backing; /* held: memory of a bounded output that lies in no arena */
    bool bounded;           /* memory of `bound` bytes is there; the tensor has no kind until the run tells its dims */
    uint64_t bound;
    pt_chunk *chunk; /* of the arena that it lies in; NULL */
    uint64_t chunk_offset;
    void *mapped; /* host view of a device's memory */
    ptp_tensor tensor;
} pt_slot_state;

typedef struct pt_step_state {
    uint32_t unmet; /* predecessors that must still be issued or complete */
    bool started, issued, complete;
    bool signalled; /* complete before the issuing thread came back: what it is told then */
    partita_status signal_status;
    char signal_message[256];
    pt_timeline timeline; /* of async steps */
    bool has_timeline;
    struct ptp_run run;
    ptp_tensor *inputs, *outputs; /* of a launch */
    int64_t **output_dims;        /* of its bounded outputs; NULL entries */
    char refusal[256];            /* why the host did not take what the plugin gave; "" */
    pt_instance *late;            /* instance that was made for this launch; held */
    ptp_copy *copies;
    ptp_point *waits;
    uint64_t begin_ns;
} pt_step_state;

typedef struct pt_frame {
    struct pt_frame *next; /* in the program's idle list */
    pt_program *program;
    struct pt_frame *around;
    pt_request *request;
    pt_layout *layout;
    pt_part_cell sizing; /* part that its device is sizing before the run */
    pt_memory memory;
    pt_arena arena;
    int64_t *symbols;
    pt_slot_state *slots;
    pt_step_state *steps;
    partita_value *const *inputs; /* as given; while it runs */
    partita_value *const *bound;  /* by output: where the caller wants it; NULL entries */
    uint64_t number;              /* of the run: what the steps' timelines are signalled with */
    pthread_mutex_t lock;         /* guards what follows, the steps' states and slots that are not ready */
    pthread_cond_t moved;
    uint32_t *ready_async, *ready_sync; /* steps that may start */
    uint32_t ready_async_count, ready_sync_count;
    uint32_t remaining;    /* steps that are not complete */
    uint32_t in_flight;    /* steps that somebody works on */
    partita_status status; /* first failure */
    char message[512];
} pt_frame;

/* frame.c: a frame for one execution; out of the idle ones where possible. */
partita_status pt_frame_acquire(pt_request *request, pt_program *program, pt_frame *around, pt_frame **out_frame);
/* Gives it back; `failed`: it is not used again. */
void pt_frame_release(pt_frame *frame, bool failed);
/* bind.c: takes the inputs, binds the dims that they decide about, finds the layout. */
partita_status pt_frame_bind(pt_frame *frame, partita_value *const *inputs, uint32_t input_count);
/* Dims of a value that its producer told; fails when they contradict what was known. Takes the lock. */
partita_status pt_frame_bind_data(pt_frame *frame, pt_id value, uint32_t rank, const int64_t *dims);
/* INVALID_ARGUMENT when a bound output cannot take what the run will give, as far as that is known. */
partita_status pt_frame_check_bound(const pt_frame *frame);
/* What is bound to the slot's output and may be written before the run ends: not where an input lies, which a run that
 * starts again reads again. NULL. */
partita_value *pt_frame_bound(const pt_frame *frame, uint32_t slot);
/* Outputs as values of the caller's, after a run: of bound entries the bound value, unless the request runs apart and
 * it lies in host memory. */
partita_status pt_frame_outputs(pt_frame *frame, partita_value **outputs);
/* A value of a ready slot in host memory that lives as long as the frame; the caller's reference. */
partita_status pt_frame_value(pt_frame *frame, uint32_t slot, partita_value **out_value);

/* exec.c: the frame that the request's thread is in, from binding it until it is released; NULL: none. */
void pt_request_enter(pt_request *request, pt_frame *frame);
/* exec.c: a step's timeline was signalled. */
void pt_frame_signalled(pt_frame *frame, uint32_t step, partita_status status, const char *message);
/* exec.c: runs all steps; returns when nothing is under way any more. */
partita_status pt_frame_run(pt_frame *frame);
/* launch.c, move.c: start a step; *out_pending: its timeline tells when it is complete. */
partita_status pt_step_launch(pt_frame *frame, uint32_t step, bool *out_pending);
partita_status pt_step_launched(pt_frame *frame, uint32_t step);
partita_status pt_step_move(pt_frame *frame, uint32_t step, bool *out_pending);
/* Outputs of the graph stay mapped until they were handed out. */
partita_status pt_step_unmap(pt_frame *frame, uint32_t step, bool outputs_too);
/* Memory for a slot: its room in the arena, the bound output, or a value of its own. Sets the tensor. */
partita_status pt_slot_allocate(pt_frame *frame, uint32_t slot, uint32_t rank, const int64_t *dims);
/* output.c: memory for an output whose size or bound is known; another is empty until the plugin allocates it. */
partita_status pt_output_prepare(pt_frame *frame, uint32_t step, uint32_t index, const pt_instance *instance);
/* Puts a value into a slot; takes over the reference. */
void pt_slot_set(pt_frame *frame, uint32_t slot, partita_value *value);

/* control.c: a control-flow node. */
partita_status pt_step_control(pt_frame *frame, uint32_t step);
/* Runs a body once with these inputs; outputs are the caller's references. */
partita_status pt_body_run(pt_frame *around, pt_id graph, partita_value *const *inputs, uint32_t input_count,
                           partita_value **outputs, uint32_t output_count);

bool pt_request_stopped(const pt_request *request);
/* Fails with CANCELLED or DEADLINE. */
partita_status pt_request_fail_stopped(const pt_request *request);

/* Services for plugins. */
int32_t pt_run_stopped(ptp_run *run);
partita_status pt_run_alloc_output(ptp_run *run, uint32_t index, partita_dtype dtype, uint32_t rank,
                                   const int64_t *dims, ptp_tensor *out);
partita_status pt_run_set_output(ptp_run *run, uint32_t index, partita_value *value);

#endif
