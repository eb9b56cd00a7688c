/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: a plan compiled, its counters, and the runs that are under way.
 */
#ifndef PT_RUN_SESSION_H
#define PT_RUN_SESSION_H

#include "run/context.h"
#include "run/program.h"

typedef struct pt_session_counters {
    _Atomic uint64_t plans, compiles, resizes, resize_ns_max, runs, copies, bytes_copied, imports, host_waits;
} pt_session_counters;

/* Times of one cluster or edge, over the runs of a build. */
typedef struct pt_measure {
    _Atomic uint64_t ns, count, bytes, copies;
} pt_measure;

/* A plan with the model that it is for. */
typedef struct pt_planned {
    pt_plan *plan;
    bool owns_plan;       /* else it is the application's */
    partita_model *model; /* held; NULL: the session's. Operators were expanded when devices failed */
} pt_planned;

struct partita_session {
    _Atomic uint32_t references; /* the application's, and one of each run */
    partita_plan *plan;          /* held */
    const pt_log_sink *log;      /* of the context */
    bool measure, strict;
    uint64_t max_shapes_bytes;
    pt_budget **budgets; /* [0] of host memory, [1 + d] of device d of the plan; NULL: no limit. Held */
    ptp_job job;
    pt_session_counters counters;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t idle;
    uint32_t active; /* runs and requests under way */
    uint32_t stuck;  /* of these: left by their callers */
    pt_build *build; /* the current one, held */
    bool replacing;  /* somebody makes the next one */
};

/* What the session may hold in the device's memory, or the host's (NULL, or a device without its own); NULL: no limit.
 */
pt_budget *pt_session_budget(const partita_session *session, const pt_device *device);
/* stuck.c: true while runs that nobody waits for any more have not heard from the device for long. */
bool pt_device_hangs(const pt_device *device);
/* build.c. `planned` is taken over, when this fails too. */
partita_status pt_build_create(partita_session *session, pt_planned planned, pt_build **out_build);
/*
 * True when a failure inside a device's step or compilation is the device's own, so that another device may do better:
 * not the model's, the inputs' or the caller's, nor the host's want of memory since pt_alloc_failures() gave
 * `alloc_failures`.
 */
bool pt_is_device_fault(partita_status status, uint64_t alloc_failures);
pt_build *pt_session_hold_build(partita_session *session);
void pt_build_release(pt_build *build);
/* Frees the arenas that no run uses at present. */
void pt_build_drop_idle(pt_build *build);
/* True when a device that hangs has a part of it. */
bool pt_build_hangs(const pt_build *build);
/*
 * After a part of `build` failed at run time (cluster PT_NONE: none did), or a device of it hangs: such claims are
 * withdrawn and another build takes over. OK when the run may start again; the failure's status when nobody is left or
 * the session is strict.
 */
partita_status pt_session_demote(partita_session *session, pt_build *build, uint32_t cluster, partita_status failure);

#endif
