/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan as an object: made stage by stage, offered to its devices, replaced by a better one where their offers show
 * one, destroyed.
 */
#include "plan/plan.h"
#include "plan/build.h"
#include "plan/pins.h"

static partita_status take_request(pt_plan *plan, const pt_plan_request *request) {
    size_t symbols = request->model->symbols.rows.size;
    plan->model = request->model;
    plan->device_count = request->device_count;
    plan->fallback = request->fallback;
    plan->objective = request->objective;
    plan->precision = request->precision;
    plan->devices = pt_arena_array(&plan->arena, request->device_count + 1, sizeof(pt_device *));
    plan->symbol_values = pt_arena_array(&plan->arena, symbols + 1, sizeof(int64_t));
    if (!plan->devices || !plan->symbol_values) return PT_OUT_OF_MEMORY();
    if (request->device_count) memcpy(plan->devices, request->devices, request->device_count * sizeof(pt_device *));
    for (size_t i = 0; i < symbols; i++)
        plan->symbol_values[i] = request->base_values ? request->base_values[i] : PT_DIM_UNKNOWN;
    pt_symbols_evaluate(&plan->model->symbols, plan->symbol_values);
    return PARTITA_OK;
}

/* ---- demotions ------------------------------------------------------------------------------- */

static partita_status add_demotion(pt_plan *plan, const char *cluster, uint32_t device, uint32_t reason,
                                   const char *text) {
    pt_plan_demotion row = {pt_arena_str(&plan->arena, pt_str(cluster)).data, device, reason,
                            pt_arena_str(&plan->arena, pt_str(text)).data};
    return row.cluster && row.text && pt_array_push(&plan->demotions, row) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* The node of `previous` that each node is, or was expanded from; PT_NONE: of another kind. */
static partita_status find_origins(const pt_plan *plan, const pt_plan *previous, pt_id **out_origins) {
    const pt_model *model = plan->model, *old = previous->model;
    pt_id *by_source = pt_calloc(model->sources.size + 1, sizeof(*by_source));
    pt_id *origins = pt_calloc(model->nodes.size + 1, sizeof(*origins));
    if (!by_source || !origins) {
        pt_free(by_source);
        pt_free(origins);
        return PT_OUT_OF_MEMORY();
    }
    for (size_t i = 0; i < model->sources.size; i++) by_source[i] = PT_NONE;
    for (pt_id id = 0; id < old->nodes.size; id++) {
        const pt_node *node = &old->nodes.data[id];
        for (uint32_t i = 0; i < node->source_count && !node->dead; i++)
            if (model->nodes.data[id].dead) by_source[node->sources[i]] = id;
    }
    for (pt_id id = 0; id < model->nodes.size; id++) {
        const pt_node *node = &model->nodes.data[id];
        origins[id] = id < old->nodes.size ? id : PT_NONE;
        for (uint32_t i = 0; i < node->source_count && origins[id] == PT_NONE; i++)
            origins[id] = by_source[node->sources[i]];
    }
    pt_free(by_source);
    *out_origins = origins;
    return PARTITA_OK;
}

/* What was withdrawn of the nodes of `previous` is withdrawn of what they became. */
static partita_status inherit(pt_plan *plan, const pt_plan *previous, const pt_id *origins) {
    for (pt_id id = 0; id < plan->model->nodes.size; id++) {
        uint32_t piece = origins[id] == PT_NONE ? PT_NONE : previous->node_piece[origins[id]];
        for (uint32_t d = 0; d < plan->device_count && piece != PT_NONE && plan->node_piece[id] != PT_NONE; d++) {
            const pt_plan_answer *answer = pt_plan_answer_at(previous, piece, d);
            if (!answer->demoted) continue;
            const char *text = pt_arena_str(&plan->arena, pt_str(answer->text)).data;
            if (!text) return PT_OUT_OF_MEMORY();
            pt_plan_withdraw(plan, id, d, answer->reason, text, true);
        }
    }
    return PARTITA_OK;
}

static bool is_of(const pt_plan *plan, pt_id node, const pt_plan_cluster *cluster) {
    uint32_t unit = plan->node_unit[node];
    return unit != PT_NONE && plan->units[unit].cluster == (uint32_t)(cluster - plan->clusters);
}

/* Withdraws the claim of the cluster of `previous` that failed, and records why. `origins`: NULL for the same model. */
static partita_status demote(pt_plan *plan, const pt_plan_request *request, const pt_id *origins) {
    const pt_plan_cluster *c = &request->previous->clusters[request->demoted];
    partita_str name = pt_node_name(request->previous->model, c->nodes[0]);
    partita_str title = c->node_count == 1
                            ? pt_arena_str(&plan->arena, name)
                            : pt_arena_printf(&plan->arena, "%.*s and %u more", PT_STR_ARG(name), c->node_count - 1);
    if (!title.data) return PT_OUT_OF_MEMORY();
    PT_TRY(add_demotion(plan, title.data, c->device, request->demoted_reason, request->demoted_text));
    const char *text = plan->demotions.data[plan->demotions.size - 1].text;
    for (uint32_t i = 0; i < c->node_count && !origins; i++)
        pt_plan_withdraw(plan, c->nodes[i], c->device, request->demoted_reason, text, true);
    for (pt_id id = 0; origins && id < plan->model->nodes.size; id++)
        if (plan->node_piece[id] != PT_NONE && origins[id] != PT_NONE && is_of(request->previous, origins[id], c))
            pt_plan_withdraw(plan, id, c->device, request->demoted_reason, text, true);
    return PARTITA_OK;
}

static partita_status take_demotions(pt_plan *plan, const pt_plan_request *request) {
    const pt_plan *previous = request->previous;
    partita_status status = PARTITA_OK;
    pt_id *origins = NULL;
    if (!previous) return PARTITA_OK;
    for (size_t i = 0; i < previous->demotions.size; i++) {
        const pt_plan_demotion *row = &previous->demotions.data[i];
        PT_TRY(add_demotion(plan, row->cluster, row->device, row->reason, row->text));
    }
    if (request->expanded) PT_CHECK(find_origins(plan, previous, &origins));
    if (request->expanded) PT_CHECK(inherit(plan, previous, origins));
    if (request->demoted != PT_NONE) status = demote(plan, request, origins);
out:
    pt_free(origins);
    return status;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Everything behind the answers: where units go, and what that makes. May run again on the same plan. */
static partita_status arrange(pt_plan *plan, const pt_plan_request *request) {
    plan->cluster_count = plan->edge_count = 0;
    for (uint32_t i = 0; i < plan->unit_count; i++) plan->units[i].cluster = PT_NONE;
    PT_TRY(pt_plan_place(plan, request));
    PT_TRY(pt_plan_make_clusters(plan));
    return pt_plan_make_edges(plan);
}

/* Rounds of offering, in all the plans that are tried. */
#define MAX_OFFERS 3

/* A plan that every device accepted or, when the rounds are used up, one whose devices gave back what they may. */
static partita_status make(const pt_plan_request *request, uint32_t *rounds, pt_plan **out_plan) {
    partita_status status = PARTITA_OK;
    pt_plan *plan = pt_calloc(1, sizeof(*plan));
    if (!plan) return PT_OUT_OF_MEMORY();
    PT_CHECK(take_request(plan, request));
    if (!request->previous) PT_CHECK(pt_pins_check(plan, request));
    PT_CHECK(pt_plan_make_units(plan));
    PT_CHECK(pt_plan_ask(plan, request));
    PT_CHECK(take_demotions(plan, request));
    for (bool changed = true; changed;) {
        PT_CHECK(arrange(plan, request));
        changed = false;
        if (*rounds == 0) break;
        --*rounds;
        PT_CHECK(pt_plan_offer(plan, &changed));
    }
    PT_CHECK(pt_plan_schedule(plan, request));
    *out_plan = plan;
    plan = NULL;
out:
    pt_plan_destroy(plan);
    return status;
}

static bool is_claimed(const pt_plan *plan, uint32_t unit) {
    for (uint32_t i = 0; i < plan->device_count; i++)
        if (pt_plan_answer_at(plan, unit, i)->can == PTP_YES) return true;
    return false;
}

partita_status pt_plan_unclaimed(const pt_plan_request *request, pt_arena *arena, pt_id **out_nodes,
                                 uint32_t *out_count) {
    partita_status status = PARTITA_OK;
    pt_plan *plan = pt_calloc(1, sizeof(*plan));
    if (!plan) return PT_OUT_OF_MEMORY();
    *out_count = 0;
    PT_CHECK(take_request(plan, request));
    PT_CHECK(pt_plan_make_units(plan));
    PT_CHECK(pt_plan_ask(plan, request));
    PT_CHECK(take_demotions(plan, request));
    *out_nodes = pt_arena_array(arena, plan->unit_count + 1, sizeof(pt_id));
    if (!*out_nodes) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        const pt_plan_unit *unit = &plan->units[i];
        bool claimed = is_claimed(plan, i) || (unit->parent != PT_NONE && is_claimed(plan, unit->parent));
        if (unit->kind != PTP_UNIT_GROUP && !claimed) (*out_nodes)[(*out_count)++] = unit->nodes[0];
    }
out:
    pt_plan_destroy(plan);
    return status;
}

/* True when an offer priced a cluster otherwise than its units, so that other placements may be better now. */
static bool offers_tell_more(const pt_plan *plan) {
    for (uint32_t i = 0; i < plan->cluster_count; i++) {
        const pt_plan_cluster *cluster = &plan->clusters[i];
        double told = cluster->estimate_us - plan->devices[cluster->device]->info.launch_us;
        if (told < cluster->unit_us * 0.999 || told > cluster->unit_us * 1.001) return true;
    }
    return false;
}

static bool same_placement(const pt_plan *a, const pt_plan *b) {
    for (uint32_t i = 0; i < a->unit_count; i++)
        if (a->units[i].device != b->units[i].device) return false;
    return true;
}

partita_status pt_plan_create(const pt_plan_request *request, pt_plan **out_plan) {
    uint32_t rounds = MAX_OFFERS;
    pt_plan *best;
    PT_TRY(make(request, &rounds, &best));
    bool by_cost = !request->random && request->objective != PT_PLAN_MEMORY;
    while (by_cost && rounds > 0 && offers_tell_more(best)) {
        pt_plan_request again = *request;
        pt_plan *other;
        again.previous = best;
        again.demoted = PT_NONE;
        partita_status status = make(&again, &rounds, &other);
        if (status == PARTITA_UNPLACED || status == PARTITA_OVER_BUDGET) break; /* what there is stays */
        if (status != PARTITA_OK) {
            pt_plan_destroy(best);
            return status;
        }
        bool better = other->estimate_us < best->estimate_us && !same_placement(best, other);
        pt_plan_destroy(better ? best : other);
        if (!better) break;
        best = other;
    }
    *out_plan = best;
    return PARTITA_OK;
}

void pt_plan_destroy(pt_plan *plan) {
    if (!plan) return;
    pt_array_deinit(&plan->demotions);
    pt_arena_deinit(&plan->arena);
    pt_free(plan);
}
