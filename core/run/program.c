/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making programs: first every graph's own slots, outer graphs before inner ones, then what steps need where, then
 * order and dependencies.
 */
#include "run/program.h"
#include "plan/build.h"
#include "run/layout.h"

uint32_t pt_place_of(const pt_build *build, pt_device *device, uint32_t domain) {
    if (!device || domain == PTP_DOMAIN_HOST) return 0;
    for (uint32_t i = 1; i < build->place_count; i++)
        if (build->places[i].device == device && build->places[i].domain == domain) return i;
    return 0;
}

uint32_t pt_program_find(const pt_program *program, pt_id value, uint32_t place) {
    uint32_t slot = program->slot_of[value];
    while (slot != PT_NONE && program->slots.data[slot].place != place) slot = program->slots.data[slot].next;
    return slot;
}

partita_status pt_program_add_slot(pt_program *program, const pt_slot *slot, uint32_t *out_slot) {
    uint32_t index = (uint32_t)program->slots.size;
    if (!pt_array_push(&program->slots, *slot)) return PT_OUT_OF_MEMORY();
    pt_slot *added = &program->slots.data[index];
    added->next = PT_NONE;
    added->output = PT_NONE;
    added->alias_of = PT_NONE;
    added->alignment = PT_MAX(added->alignment, 16);
    if (slot->value != PT_NONE) {
        added->next = program->slot_of[slot->value];
        program->slot_of[slot->value] = index;
    }
    *out_slot = index;
    return PARTITA_OK;
}

static partita_status add_made(pt_program *program, pt_id value, uint32_t place, uint32_t step, const ptp_port *port,
                               uint32_t *out_slot) {
    const pt_type *type = &program->build->model->values.data[value].type;
    pt_slot slot = {.value = value,
                    .place = place,
                    .kind = PT_SLOT_MADE,
                    .producer = step,
                    .parent = PT_NONE,
                    .import_of = PT_NONE};
    slot.arena = port && port->output != PTP_PORT_DATA_DEPENDENT && type->kind == PARTITA_KIND_TENSOR &&
                 type->dtype != PARTITA_STRING && type->rank >= 0;
    slot.alignment = port ? port->alignment : 0;
    return pt_program_add_slot(program, &slot, out_slot);
}

static uint32_t *new_ids(pt_program *program, uint32_t count) {
    return pt_arena_array(&program->arena, count + 1, sizeof(uint32_t));
}

partita_status pt_program_add_launch(pt_program *program, pt_part *part) {
    pt_step step = {.kind = PT_STEP_LAUNCH,
                    .part = part,
                    .device = part->device,
                    .async = (part->device->info.flags & PTP_DEVICE_ASYNC) != 0,
                    .node = PT_NONE,
                    .input_count = part->input_count,
                    .output_count = part->output_count};
    uint32_t index = (uint32_t)program->steps.size;
    step.inputs = new_ids(program, part->input_count);
    step.outputs = new_ids(program, part->output_count);
    if (!step.inputs || !step.outputs) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < part->output_count; i++) {
        uint32_t place = pt_place_of(program->build, part->device, part->outputs[i].domain);
        PT_TRY(add_made(program, part->output_values[i], place, index, &part->outputs[i], &step.outputs[i]));
    }
    pt_slot scratch = {.value = PT_NONE,
                       .kind = PT_SLOT_MADE,
                       .producer = index,
                       .parent = PT_NONE,
                       .import_of = PT_NONE,
                       .arena = true,
                       .is_scratch = true,
                       .place =
                           pt_place_of(program->build, part->device, part->device->has_memory ? 0 : PTP_DOMAIN_HOST)};
    PT_TRY(pt_program_add_slot(program, &scratch, &step.scratch));
    return pt_array_push(&program->steps, step) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status add_node(pt_program *program, pt_id id) {
    const pt_node *node = &program->build->model->nodes.data[id];
    pt_step step = {.kind = PT_STEP_NODE,
                    .node = id,
                    .scratch = PT_NONE,
                    .input_count = node->input_count,
                    .output_count = node->output_count};
    uint32_t index = (uint32_t)program->steps.size;
    step.inputs = new_ids(program, node->input_count);
    step.outputs = new_ids(program, node->output_count);
    if (!step.inputs || !step.outputs) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < node->output_count; i++) {
        step.outputs[i] = PT_NONE;
        if (node->outputs[i] == PT_NONE) continue;
        PT_TRY(add_made(program, node->outputs[i], 0, index, NULL, &step.outputs[i]));
    }
    return pt_array_push(&program->steps, step) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* The slots that a graph has before anything moves. */
static partita_status make_own_slots(pt_program *program) {
    const pt_build *build = program->build;
    const pt_graph *graph = &build->model->graphs.data[program->graph];
    const pt_plan_graph *plan = &build->plan->graphs[program->graph];
    size_t values = build->model->values.size;
    program->slot_of = pt_calloc(values + 1, sizeof(uint32_t));
    program->inputs = new_ids(program, (uint32_t)graph->inputs.size);
    program->outputs = new_ids(program, (uint32_t)graph->outputs.size);
    if (!program->slot_of || !program->inputs || !program->outputs) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < values; i++) program->slot_of[i] = PT_NONE;
    for (size_t i = 0; i < graph->inputs.size; i++) {
        pt_slot slot = {.value = graph->inputs.data[i],
                        .kind = PT_SLOT_GIVEN,
                        .producer = PT_NONE,
                        .parent = PT_NONE,
                        .import_of = PT_NONE};
        PT_TRY(pt_program_add_slot(program, &slot, &program->inputs[program->input_count++]));
    }
    for (uint32_t i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].is_node)
            PT_TRY(add_node(program, plan->steps[i].index));
        else
            PT_TRY(pt_program_add_launch(program, build->parts[plan->steps[i].index]));
    }
    return PARTITA_OK;
}

/* What the planned steps and the graph's outputs need where. The number of steps grows by moves meanwhile. */
static partita_status make_needs(pt_program *program) {
    const pt_build *build = program->build;
    const pt_graph *graph = &build->model->graphs.data[program->graph];
    uint32_t planned = build->plan->graphs[program->graph].step_count;
    for (uint32_t s = 0; s < planned; s++) {
        pt_step step = program->steps.data[s];
        for (uint32_t i = 0; i < step.input_count; i++) {
            if (step.kind == PT_STEP_LAUNCH) {
                uint32_t place = pt_place_of(build, step.device, step.part->inputs[i].domain);
                PT_TRY(pt_program_need(program, step.part->input_values[i], place, &step.inputs[i]));
                pt_slot *slot = &program->slots.data[step.inputs[i]];
                slot->alignment = PT_MAX(slot->alignment, step.part->inputs[i].alignment);
                continue;
            }
            pt_id value = build->model->nodes.data[step.node].inputs[i];
            step.inputs[i] = PT_NONE;
            if (value != PT_NONE) PT_TRY(pt_program_need(program, value, 0, &step.inputs[i]));
        }
    }
    for (size_t i = 0; i < graph->outputs.size; i++) {
        uint32_t slot;
        PT_TRY(pt_program_need(program, graph->outputs.data[i], 0, &slot));
        if (program->slots.data[slot].output == PT_NONE) program->slots.data[slot].output = (uint32_t)i;
        program->outputs[program->output_count++] = slot;
        if (!program->slots.data[slot].is_import_source) program->slots.data[slot].arena = false;
    }
    return PARTITA_OK;
}

static partita_status create_program(pt_build *build, pt_id graph) {
    pt_program *program = pt_calloc(1, sizeof(*program));
    if (!program) return PT_OUT_OF_MEMORY();
    pthread_mutex_init(&program->lock, NULL);
    program->build = build;
    program->graph = graph;
    build->programs[graph] = program;
    return make_own_slots(program);
}

static uint32_t graph_depth(const pt_model *model, pt_id graph) {
    uint32_t depth = 0;
    while (model->graphs.data[graph].parent != PT_NONE) {
        graph = model->nodes.data[model->graphs.data[graph].parent].graph;
        depth++;
    }
    return depth;
}

static bool host_runs_graph(const pt_build *build, pt_id graph) {
    const pt_model *model = build->model;
    pt_id parent = model->graphs.data[graph].parent;
    if (!pt_plan_graph_live(model, graph)) return false;
    if (parent == PT_NONE) return graph == 0;
    return build->plan->node_unit[parent] != PT_NONE && pt_plan_node_device(build->plan, parent) == PT_PLAN_HOST &&
           host_runs_graph(build, model->nodes.data[parent].graph);
}

partita_status pt_programs_create(pt_build *build) {
    size_t graphs = build->model->graphs.size;
    uint32_t deepest = 0;
    build->programs = pt_calloc(graphs + 1, sizeof(*build->programs));
    if (!build->programs) return PT_OUT_OF_MEMORY();
    for (pt_id graph = 0; graph < graphs; graph++) {
        if (!host_runs_graph(build, graph)) continue;
        PT_TRY(create_program(build, graph));
        deepest = PT_MAX(deepest, graph_depth(build->model, graph));
    }
    for (pt_id graph = 0; graph < graphs; graph++) {
        pt_id parent = build->model->graphs.data[graph].parent;
        if (build->programs[graph] && parent != PT_NONE)
            build->programs[graph]->around = build->programs[build->model->nodes.data[parent].graph];
    }
    for (uint32_t depth = 0; depth <= deepest; depth++) /* outer ones first: inner ones see what was brought already */
        for (pt_id graph = 0; graph < graphs; graph++)
            if (build->programs[graph] && graph_depth(build->model, graph) == depth)
                PT_TRY(make_needs(build->programs[graph]));
    for (pt_id graph = 0; graph < graphs; graph++)
        if (build->programs[graph]) PT_TRY(pt_program_finish(build->programs[graph]));
    return PARTITA_OK;
}

void pt_program_destroy(pt_program *program) {
    if (!program) return;
    pt_program_drop_frames(program);
    pt_program_drop_layouts(program);
    for (size_t i = 0; program->constants && i < program->slots.size; i++) partita_value_release(program->constants[i]);
    pt_free(program->constants);
    pt_free(program->slot_of);
    pt_free(program->conflicts);
    pt_free(program->key_symbols);
    pt_array_deinit(&program->slots);
    pt_array_deinit(&program->steps);
    pt_arena_deinit(&program->arena);
    pthread_mutex_destroy(&program->lock);
    pt_free(program);
}
