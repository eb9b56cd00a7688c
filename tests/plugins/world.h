/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of float32 vectors, made node by node, as a session on named devices.
 */
#ifndef TESTS_PLUGINS_WORLD_H
#define TESTS_PLUGINS_WORLD_H

#include "base/base.h"
#include "graph/model.h"

#include <partita/partita.h>

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define OK_MESSAGE partita_last_error()
#include "ok.h"

typedef struct world {
    int64_t count;                   /* elements of every value */
    const partita_thread_pool *pool; /* of the context; NULL: its own */
    pt_model *model;
    partita_context *context;
    partita_model *loaded;
    partita_plan *plan;
    partita_session *session;
} world;

/* Returns the input x. */
pt_id world_begin(world *w, int64_t count);
/* b PT_NONE: one input. Returns the output. */
pt_id world_node(world *w, const char *op, const char *name, pt_id a, pt_id b);
/* y is the output. */
void world_load(world *w, pt_id y, const char *devices, const partita_option *options, uint32_t option_count,
                const partita_pin *pins, uint32_t pin_count);
/* Runs x = numbers; y into `result`. Not through asserts, for threads. */
partita_status world_run(const world *w, const float *numbers, float *result);
partita_status world_run_session(const world *w, partita_session *session, const float *numbers, float *result);
void world_end(world *w);

#endif
