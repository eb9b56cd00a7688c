/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects behind the application's API: context, model and plan, each keeping its parent alive by a reference.
 */
#ifndef PT_RUN_CONTEXT_H
#define PT_RUN_CONTEXT_H

#include "base/pool.h"
#include "graph/model.h"
#include "op/schema.h"
#include "plan/plan.h"
#include "plugin/registry.h"
#include <partita/partita.h>
#include <pthread.h>

struct partita_context {
    _Atomic uint32_t references;
    pt_pool *pool;
    pt_registry *registry;
    pt_log_sink log;      /* constant */
    pthread_mutex_t lock; /* guards the lists below */
    pt_arena arena;
    PT_ARRAY(partita_plugin_info) plugins;
    PT_ARRAY(partita_device_info) devices;
    PT_ARRAY(partita_option_info) options;
    bool has_plugins, has_devices, has_options;
};

struct partita_model {
    _Atomic uint32_t references;
    partita_context *context;
    pt_model *graph;
    pt_arena arena;
    partita_value_info *inputs, *outputs;
    partita_value **defaults; /* by input; NULL where there is none */
    bool has_defaults;
    bool optimized;
    partita_model *origin; /* of one with operators expanded: the model whose names, types and weights it borrows */
};

struct partita_plan {
    _Atomic uint32_t references;
    partita_model *model;
    pt_plan *plan;
    pt_plan_request request; /* to plan again after a demotion; arrays in the arena. Constant */
    pt_arena arena;
    bool strict;
};

void pt_context_retain(partita_context *context);
void pt_model_retain(partita_model *model);
void pt_plan_retain(partita_plan *plan);
/* Operators beyond the standard, as the context's plugins bring them. */
pt_schema_source pt_context_schemas(partita_context *context);
/* A model of the same inputs and outputs out of `graph`, a copy of the model's that was changed; taken over, when this
 * fails too. */
partita_status pt_model_derive(partita_model *model, pt_model *graph, partita_model **out_model);
/* A derived model with these nodes expanded, where they have a body; *out_model NULL when none has. */
partita_status pt_model_expand(partita_model *model, const pt_id *nodes, uint32_t count, partita_model **out_model);
/*
 * As pt_plan_create, but operators that nobody takes are expanded where they have a body. *model, which is held, gives
 * way to the model derived from it, and the request is for that one then; `arena` holds what the request points to.
 */
partita_status pt_plan_create_expanding(partita_model **model, pt_plan_request *request, pt_arena *arena,
                                        pt_plan **out_plan);
/* Infers the outputs of nodes that only their bodies tell. The model was checked and inferred. */
partita_status pt_model_infer_bodies(pt_model *model, const pt_schema_source *source);
/* What people are told of a device; strings live in `arena`. */
partita_status pt_device_describe(pt_arena *arena, const char *name, const char *plugin, const ptp_device_info *info,
                                  partita_device_info *out_info);
/* Rows of the services table that live in this room. */
const ptp_host *pt_run_services(void);
/* The field of an options struct, or 0 when the caller's struct is too small to have it. */
/* What an application must give. Several pointers are joined by `&&`. */
#define PT_REQUIRE(given)                                                                                              \
    do {                                                                                                               \
        if (!(given)) return pt_fail(PARTITA_INVALID_ARGUMENT, "a pointer is NULL");                                   \
    } while (0)

#define PT_OPTION(options, type, field)                                                                                \
    ((options) && (options)->size >= offsetof(type, field) + sizeof((options)->field) ? (options)->field : 0)

#endif
