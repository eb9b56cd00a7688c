/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans for models whose operators no device takes: those that are functions are replaced by their bodies, in a model
 * derived from the one at hand, until every node has a device or nothing is left to expand.
 */
#include "run/context.h"
#include <stdio.h>

/* Functions within functions within functions: no model has more. */
enum { MOST_EXPANSIONS = 16 };

/* Nominal sizes for the derived model: its symbols begin with those that the request knows. */
static partita_status extend_values(const pt_plan_request *request, const pt_model *model, pt_arena *arena,
                                    const int64_t **out_values) {
    size_t known = request->model->symbols.rows.size, count = model->symbols.rows.size;
    int64_t *values = pt_arena_array(arena, count + 1, sizeof(*values));
    if (!values) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) {
        bool base = model->symbols.rows.data[i].op == PT_DIM_BASE;
        values[i] = i < known ? request->base_values[i] : base ? 1 : PT_DIM_UNKNOWN;
    }
    *out_values = values;
    return PARTITA_OK;
}

/* Expands what nobody takes; *out_any false when none of it has a body. */
static partita_status expand_unclaimed(partita_model **model, pt_plan_request *request, pt_arena *arena,
                                       bool *out_any) {
    pt_arena scratch = {0};
    pt_id *nodes;
    uint32_t count;
    partita_model *expanded = NULL;
    const int64_t *values = NULL;
    partita_status status;
    *out_any = false;
    PT_CHECK(pt_plan_unclaimed(request, &scratch, &nodes, &count));
    PT_CHECK(pt_model_expand(*model, nodes, count, &expanded));
    if (!expanded) goto out;
    PT_CHECK(extend_values(request, expanded->graph, arena, &values));
    request->model = expanded->graph;
    request->base_values = values;
    request->expanded = request->previous != NULL;
    partita_model_destroy(*model);
    *model = expanded;
    expanded = NULL;
    *out_any = true;
out:
    partita_model_destroy(expanded);
    pt_arena_deinit(&scratch);
    return status;
}

partita_status pt_plan_create_expanding(partita_model **model, pt_plan_request *request, pt_arena *arena,
                                        pt_plan **out_plan) {
    partita_status status = pt_plan_create(request, out_plan);
    for (int i = 0; i < MOST_EXPANSIONS && status == PARTITA_UNPLACED; i++) {
        char message[1024];
        bool any;
        snprintf(message, sizeof(message), "%s", pt_last_message());
        PT_TRY(expand_unclaimed(model, request, arena, &any));
        if (!any) return pt_fail_copy(status, message);
        status = pt_plan_create(request, out_plan);
    }
    return status;
}
