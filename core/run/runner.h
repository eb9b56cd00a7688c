/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of a session from outside: what runs on the calling thread and what runs in the background share.
 */
#ifndef PT_RUN_RUNNER_H
#define PT_RUN_RUNNER_H

#include "run/run.h"

void pt_request_init(pt_request *request, partita_session *session, const partita_run_options *options);
void pt_request_deinit(pt_request *request);
/* Runs, again after demotions. `bound`: by output, NULL entries are allocated. outputs: references of the caller's. */
partita_status pt_request_run(pt_request *request, partita_value *const *inputs, uint32_t input_count,
                              partita_value *const *bound, partita_value **outputs, uint32_t output_count);
/* Stops it soon. Thread-safe while the request is initialised. */
void pt_request_stop(pt_request *request);
/* Runs hold the session; destroying it waits for those that are not stuck. */
void pt_session_enter(partita_session *session);
void pt_session_leave(partita_session *session, bool stranded);
/* A run whose caller leaves before it is back. */
void pt_session_strand(partita_session *session);
/* request.c: as partita_session_run on a thread of its own, so that a device that hangs does not hold the caller. */
partita_status pt_request_run_apart(partita_session *session, const partita_run_options *options,
                                    partita_value *const *inputs, uint32_t input_count, partita_value **outputs,
                                    uint32_t output_count);
/* stuck.c: the devices that the request has not heard from are counted as stuck, until it is back. */
void pt_request_mark_stuck(pt_request *request);
void pt_request_unmark_stuck(pt_request *request);

#endif
