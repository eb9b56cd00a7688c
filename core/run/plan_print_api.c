/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans as text: what was planned, and beside it what a session measured.
 */
#include "run/session.h"
#include <stdatomic.h>

static partita_status take_text(pt_text *text, char **out_text) {
    if (text->failed || !text->data) {
        bool failed = text->failed;
        pt_text_deinit(text);
        if (failed || !(text->data = pt_calloc(1, 1))) return PT_OUT_OF_MEMORY();
    }
    *out_text = text->data;
    return PARTITA_OK;
}

partita_status partita_plan_json(const partita_plan *plan, char **out_json) {
    PT_REQUIRE(plan && out_json);
    return pt_plan_to_json(plan->plan, NULL, out_json);
}

partita_status partita_plan_print(const partita_plan *plan, uint32_t why, char **out_text) {
    pt_text text = {0};
    PT_REQUIRE(plan && out_text);
    pt_plan_print(plan->plan, NULL, why != 0, &text);
    return take_text(&text, out_text);
}

partita_status partita_plan_dot(const partita_plan *plan, char **out_text) {
    pt_text text = {0};
    PT_REQUIRE(plan && out_text);
    pt_plan_print_dot(plan->plan, &text);
    return take_text(&text, out_text);
}

partita_status partita_plan_svg(const partita_plan *plan, char **out_text) {
    pt_text text = {0};
    PT_REQUIRE(plan && out_text);
    pt_plan_print_svg(plan->plan, &text);
    return take_text(&text, out_text);
}

/* ---- explain --------------------------------------------------------------------------------- */

/* Averages over the runs of a build, in arrays of one block. */
typedef struct measures {
    pt_plan_measured view;
    void *block;
} measures;

static partita_status collect(const pt_build *build, measures *out) {
    size_t clusters = build->plan->cluster_count, edges = build->plan->edge_count;
    double *times = pt_calloc(clusters + 3 * edges + 1, sizeof(double));
    if (!times) return PT_OUT_OF_MEMORY();
    double *edge_us = times + clusters;
    uint64_t *bytes = (uint64_t *)(edge_us + edges), *copies = bytes + edges;
    for (size_t i = 0; i < clusters; i++) {
        uint64_t count = atomic_load(&build->clusters[i].count);
        times[i] = count ? (double)atomic_load(&build->clusters[i].ns) / 1e3 / (double)count : 0;
    }
    for (size_t i = 0; i < edges; i++) {
        uint64_t count = atomic_load(&build->edges[i].count);
        edge_us[i] = count ? (double)atomic_load(&build->edges[i].ns) / 1e3 / (double)count : 0;
        bytes[i] = atomic_load(&build->edges[i].bytes);
        copies[i] = atomic_load(&build->edges[i].copies);
    }
    *out = (measures){{times, edge_us, bytes, copies}, times};
    return PARTITA_OK;
}

partita_status partita_session_explain_json(const partita_session *session, char **out_json) {
    PT_REQUIRE(session && out_json);
    pt_build *build = pt_session_hold_build((partita_session *)session);
    measures m;
    partita_status status = collect(build, &m);
    if (status == PARTITA_OK) {
        status = pt_plan_to_json(build->plan, &m.view, out_json);
        pt_free(m.block);
    }
    pt_build_release(build);
    return status;
}

partita_status partita_session_explain_print(const partita_session *session, char **out_text) {
    PT_REQUIRE(session && out_text);
    pt_build *build = pt_session_hold_build((partita_session *)session);
    pt_text text = {0};
    measures m;
    partita_status status = collect(build, &m);
    if (status == PARTITA_OK) {
        pt_plan_print(build->plan, &m.view, false, &text);
        pt_free(m.block);
        status = take_text(&text, out_text);
    }
    pt_build_release(build);
    return status;
}
