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

struct partita_session {
    partita_plan *plan; /* held */
    bool measure, strict;
    uint64_t max_shapes_bytes;
    ptp_job job;
    pt_session_counters counters;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t idle;
    uint32_t active; /* runs and requests under way */
    pt_build *build; /* the current one, held */
    bool replacing;  /* somebody makes the next one */
};

/* build.c. An owned plan is taken over, when this fails too. */
partita_status pt_build_create(partita_session *session, pt_plan *plan, bool owns_plan, pt_build **out_build);
pt_build *pt_session_hold_build(partita_session *session);
void pt_build_release(pt_build *build);
/*
 * After a part of `build` failed at run time: its claim is withdrawn and another build takes over. OK when the run may
 * start again; the failure's status when nobody is left or the session is strict.
 */
partita_status pt_session_demote(partita_session *session, pt_build *build, uint32_t cluster, partita_status failure);

#endif
