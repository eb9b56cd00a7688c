/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing values to where they are needed: captures from programs around, constants, and moves between memories. A
 * value goes once to each memory; a staged copy leaves its first half in host memory for others.
 */
#include "plan/build.h"
#include "run/program.h"

static pt_device *producer_device(const pt_build *build, pt_id value) {
    pt_id producer = build->model->values.data[value].producer;
    if (producer == PT_NONE || build->plan->node_unit[producer] == PT_NONE) return NULL;
    uint32_t device = pt_plan_node_device(build->plan, producer);
    return device == PT_PLAN_HOST ? NULL : build->plan->devices[device];
}

/* Place where a value lies once it is computed: the slot that was there first. */
static uint32_t home_slot(const pt_program *program, pt_id value) {
    uint32_t slot = program->slot_of[value], home = PT_NONE;
    for (; slot != PT_NONE; slot = program->slots.data[slot].next) home = slot;
    return home;
}

/* The plan's edge that a move belongs to: to this device, or to any that works in the place's memory. */
static uint32_t edge_for(const pt_build *build, pt_id value, uint32_t place) {
    uint32_t edge = build->first_edge[value];
    for (; edge != PT_NONE; edge = build->next_edge[edge]) {
        uint32_t to = build->plan->edges[edge].to;
        pt_route_end end = pt_route_end_of(to == PT_PLAN_HOST ? NULL : build->plan->devices[to]);
        if (pt_place_of(build, end.device, end.domain) == place) return edge;
    }
    return PT_NONE;
}

static partita_status add_constant(pt_program *program, pt_id value, uint32_t *out_slot) {
    pt_slot slot = {
        .value = value, .kind = PT_SLOT_CONSTANT, .producer = PT_NONE, .parent = PT_NONE, .import_of = PT_NONE};
    return pt_program_add_slot(program, &slot, out_slot);
}

/* Merges into the step that moves from the same producer between the same places. */
static partita_status add_move(pt_program *program, const pt_move *move, uint32_t *out_step) {
    const pt_slot *from = &program->slots.data[move->from];
    uint32_t to_place = program->slots.data[move->to].place;
    for (uint32_t s = 0; s < program->steps.size; s++) {
        pt_step *step = &program->steps.data[s];
        if (step->kind != PT_STEP_MOVE || step->moves[0].route.route != move->route.route) continue;
        const pt_slot *first = &program->slots.data[step->moves[0].from];
        if (first->producer != from->producer || first->place != from->place || first->kind != from->kind ||
            program->slots.data[step->moves[0].to].place != to_place)
            continue;
        pt_move *moves = pt_arena_array(&program->arena, step->move_count + 1, sizeof(*moves));
        if (!moves) return PT_OUT_OF_MEMORY();
        memcpy(moves, step->moves, step->move_count * sizeof(*moves));
        moves[step->move_count++] = *move;
        step->moves = moves;
        *out_step = s;
        return PARTITA_OK;
    }
    pt_step step = {.kind = PT_STEP_MOVE, .node = PT_NONE, .scratch = PT_NONE, .move_count = 1};
    const pt_place *places = program->build->places;
    step.device = to_place ? places[to_place].device : places[from->place].device;
    step.async = move->route.route == PTP_ROUTE_COPY && (step.device->info.flags & PTP_DEVICE_ASYNC);
    step.moves = pt_arena_array(&program->arena, 1, sizeof(*step.moves));
    if (!step.moves) return PT_OUT_OF_MEMORY();
    step.moves[0] = *move;
    *out_step = (uint32_t)program->steps.size;
    return pt_array_push(&program->steps, step) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* The bytes that an import sees must lie in an arena, in programs around too. */
static void mark_import_source(pt_program *program, uint32_t slot) {
    for (;;) {
        pt_slot *source = &program->slots.data[slot];
        source->is_import_source = true;
        if (source->kind != PT_SLOT_CAPTURE) {
            const pt_type *type = &program->build->model->values.data[source->value].type;
            source->arena = source->kind == PT_SLOT_MADE && type->rank >= 0;
            return;
        }
        slot = source->parent;
        program = program->around;
    }
}

static partita_status move_to(pt_program *program, uint32_t from, uint32_t place, uint32_t edge, uint32_t *out_slot) {
    const pt_build *build = program->build;
    pt_slot source = program->slots.data[from];
    pt_route_end from_end = {build->places[source.place].device, build->places[source.place].domain};
    pt_route_end to_end = {build->places[place].device, build->places[place].domain};
    if (!source.place) from_end = (pt_route_end){producer_device(build, source.value), PTP_DOMAIN_HOST};
    uint32_t home = home_slot(program, source.value);
    if (from != home && !source.place) from_end.device = NULL; /* staged: no further import */
    pt_move move = {.from = from, .edge = edge};
    pt_route_choose(from_end, to_end, pt_plan_value_bytes(build->plan, source.value), &move.route);
    if (move.route.staged) {
        uint32_t half = pt_program_find(program, source.value, 0);
        uint32_t first = edge_for(build, source.value, 0); /* where the host needs it too, that edge brings it */
        if (half == PT_NONE) PT_TRY(move_to(program, from, 0, first == PT_NONE ? edge : first, &half));
        return move_to(program, half, place, edge, out_slot);
    }
    bool import = move.route.route == PTP_ROUTE_IMPORT;
    pt_slot target = {.value = source.value,
                      .place = place,
                      .kind = PT_SLOT_MADE,
                      .parent = PT_NONE,
                      .import_of = import ? from : PT_NONE,
                      .arena = !import && build->model->values.data[source.value].type.rank >= 0};
    if (import) mark_import_source(program, from);
    PT_TRY(pt_program_add_slot(program, &target, &move.to));
    uint32_t step = PT_NONE;
    PT_TRY(add_move(program, &move, &step));
    program->slots.data[move.to].producer = step;
    *out_slot = move.to;
    return PARTITA_OK;
}

/* Step of the node whose body `program` is, in the program around. */
static pt_step *step_around(pt_program *program) {
    pt_id parent = program->build->model->graphs.data[program->graph].parent;
    for (size_t s = 0; s < program->around->steps.size; s++) {
        pt_step *step = &program->around->steps.data[s];
        if (step->kind == PT_STEP_NODE && step->node == parent) return step;
    }
    return NULL;
}

static partita_status capture(pt_program *program, pt_id value, uint32_t place, uint32_t *out_slot) {
    pt_step *step = step_around(program);
    if (!step) return pt_fail(PARTITA_INTERNAL, "a body's node has no step");
    uint32_t parent = pt_program_find(program->around, value, place);
    if (parent == PT_NONE) PT_TRY(pt_program_need(program->around, value, place, &parent));
    step = step_around(program); /* steps may have moved */
    bool known = false;
    for (uint32_t i = 0; i < step->need_count; i++) known |= step->needs[i] == parent;
    if (!known) {
        uint32_t *needs = pt_arena_array(&program->around->arena, step->need_count + 1, sizeof(uint32_t));
        if (!needs) return PT_OUT_OF_MEMORY();
        if (step->need_count) memcpy(needs, step->needs, step->need_count * sizeof(uint32_t));
        needs[step->need_count++] = parent;
        step->needs = needs;
    }
    pt_slot slot = {.value = value,
                    .place = place,
                    .kind = PT_SLOT_CAPTURE,
                    .producer = PT_NONE,
                    .parent = parent,
                    .import_of = PT_NONE};
    return pt_program_add_slot(program, &slot, out_slot);
}

/* Brings a value of a graph around into this program: of an If, only the branch that is taken moves it. */
static partita_status bring_in(pt_program *program, pt_id value, uint32_t place, uint32_t *out_slot) {
    const pt_model *model = program->build->model;
    const pt_node *node = &model->nodes.data[model->graphs.data[program->graph].parent];
    bool once = pt_str_is(node->op, "If");
    if (!once || pt_program_find(program->around, value, place) != PT_NONE)
        return capture(program, value, place, out_slot);
    pt_program *owner = program->around;
    while (owner->slot_of[value] == PT_NONE && owner->around) owner = owner->around;
    uint32_t home = home_slot(owner, value);
    if (home == PT_NONE) return pt_fail(PARTITA_INTERNAL, "a captured value has no home");
    uint32_t home_place = owner->slots.data[home].place;
    if (home_place == place) return capture(program, value, place, out_slot);
    uint32_t here = pt_program_find(program, value, home_place);
    if (here == PT_NONE) PT_TRY(capture(program, value, home_place, &here));
    return move_to(program, here, place, edge_for(program->build, value, place), out_slot);
}

partita_status pt_program_need(pt_program *program, pt_id value, uint32_t place, uint32_t *out_slot) {
    const pt_model *model = program->build->model;
    *out_slot = pt_program_find(program, value, place);
    if (*out_slot != PT_NONE) return PARTITA_OK;
    uint32_t home = home_slot(program, value);
    if (home == PT_NONE && model->values.data[value].constant) {
        PT_TRY(add_constant(program, value, &home));
        if (place == 0) {
            *out_slot = home;
            return PARTITA_OK;
        }
    }
    if (home != PT_NONE && program->slots.data[home].kind != PT_SLOT_CAPTURE)
        return move_to(program, home, place, edge_for(program->build, value, place), out_slot);
    if (!program->around) {
        partita_str name = model->values.data[value].name;
        return pt_fail(PARTITA_INTERNAL, "value '%.*s' is used and never made", PT_STR_ARG(name));
    }
    return bring_in(program, value, place, out_slot);
}
