/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices in the test, and models made at random.
 */
#include "plan_fake.h"

#include <partita/block.h>
#include <stdio.h>
#include <stdlib.h>

static bool has_word(const char *list, partita_str word) {
    for (const char *at = list; at && *at; at += strcspn(at, " "), at += *at == ' ') {
        size_t size = strcspn(at, " ");
        if (*at == '*' || (size == word.size && memcmp(at, word.data, size) == 0)) return true;
    }
    return false;
}

/* ---- the device ------------------------------------------------------------------------------ */

static partita_status fake_info(ptp_device *device, ptp_device_info *out_info) {
    PT_UNUSED(device);
    PT_UNUSED(out_info);
    return PARTITA_OK;
}

/* 0 to 3, by seed and operator; 0 for seed 0. */
static double spread_of(uint64_t seed, partita_str op) {
    uint64_t hash = seed;
    for (size_t i = 0; seed && i < op.size; i++) hash = (hash ^ (unsigned char)op.data[i]) * UINT64_C(0x100000001b3);
    return seed ? (double)(hash >> 32 & 31) / 10 : 0;
}

static void answer_node(const ptp_device *device, const ptp_block *block, uint32_t row, ptp_answer *answer) {
    ptp_node_row node = ptp_node_at(block, row);
    partita_str op = ptp_ref_str(block, node.op);
    answer->us = device->us < 0 ? device->us : answer->us + device->us * (1 + spread_of(device->spread, op));
    if (has_word(device->refuses, op)) {
        answer->can = PTP_NO;
        answer->reason = PARTITA_REASON_OP;
        snprintf(answer->text, sizeof(answer->text), "no %.*s here", (int)op.size, op.data);
    } else if (node.bodies.count && !device->bodies) {
        answer->can = PTP_NO;
        answer->reason = PARTITA_REASON_CONTROL_FLOW;
    } else if (has_word(device->only_if, op)) {
        answer->can = PTP_ONLY_IF;
        answer->condition = device->condition;
    }
}

static void answer_group(ptp_device *device, const ptp_unit_row *unit, ptp_answer *answer) {
    device->groups_asked++;
    device->largest_group = PT_MAX(device->largest_group, unit->nodes.count);
    if (device->groups == FAKE_GROUPS_AS_NODES) return;
    answer->can = device->groups == FAKE_GROUPS_WHOLE ? PTP_YES : PTP_NO;
    answer->us = device->group_us;
    answer->reason = answer->can == PTP_YES ? PARTITA_REASON_NONE : PARTITA_REASON_POLICY;
    snprintf(answer->text, sizeof(answer->text), "%s", answer->can == PTP_YES ? "" : "no groups here");
}

static partita_status fake_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers) {
    device->asks++;
    device->units_asked += ask->count;
    for (uint32_t i = 0; i < ask->count; i++) {
        ptp_unit_row unit = ptp_unit_at(ask->block, ask->units[i]);
        answers[i].us = 0;
        answers[i].can = PTP_YES;
        for (uint32_t n = 0; n < unit.nodes.count && answers[i].can != PTP_NO; n++)
            answer_node(device, ask->block, ptp_ref_id(ask->block, unit.nodes, n), &answers[i]);
        if (unit.kind == PTP_UNIT_GROUP) answer_group(device, &unit, &answers[i]);
    }
    return PARTITA_OK;
}

static partita_status fake_offer(ptp_device *device, ptp_offer *offer) {
    ptp_graph_row graph = ptp_graph_at(offer->block, 0);
    device->offers++;
    device->groups_offered += offer->block->units.count;
    device->largest_offer = PT_MAX(device->largest_offer, graph.node_count);
    bool large = device->most_nodes && graph.node_count > device->most_nodes;
    offer->verdict = device->declines || large ? PTP_DECLINE : PTP_ACCEPT;
    for (uint32_t i = 0; i < graph.node_count && offer->verdict != PTP_DECLINE; i++) {
        ptp_node_row node = ptp_node_at(offer->block, graph.first_node + i);
        if (!has_word(device->trims, ptp_ref_str(offer->block, node.op))) continue;
        offer->drop[i] = 1;
        offer->verdict = PTP_TRIM;
    }
    if (offer->verdict != PTP_ACCEPT) {
        offer->reason = PARTITA_REASON_POLICY;
        snprintf(offer->text, sizeof(offer->text), "given back");
    } else if (device->whole > 0) {
        offer->us = device->us * graph.node_count * device->whole;
    }
    return PARTITA_OK;
}

static partita_status fake_compile(ptp_device *device, ptp_compile *compile, ptp_executable **out_executable) {
    PT_UNUSED(device);
    PT_UNUSED(compile);
    PT_UNUSED(out_executable);
    return PARTITA_CANNOT_COMPILE;
}

/* Copies to and from the host, and handles between devices at one price for all sizes. */
static partita_status fake_route(ptp_device *device, ptp_route *route) {
    bool copy = route->route == PTP_ROUTE_COPY && !route->peer;
    if (!copy && route->route != PTP_ROUTE_IMPORT) route->route = PTP_ROUTE_NONE;
    route->us = copy ? 5 : device->import_us / 2;
    route->us_per_byte = copy ? 0.001 : 0;
    return PARTITA_OK;
}

void fake_join(fake_machine *machine, double us) {
    for (uint32_t i = 0; i < machine->count; i++) {
        machine->devices[i].import_us = us;
        machine->slots[i].device.device.route = fake_route;
        machine->slots[i].device.info.domains[0].export_mask = 1u << PTP_HANDLE_OPAQUE_FD;
        machine->slots[i].device.info.domains[0].import_mask = 1u << PTP_HANDLE_OPAQUE_FD;
    }
}

void fake_start(fake_machine *machine, const char *names) {
    memset(machine, 0, sizeof(*machine));
    pthread_mutex_init(&machine->stray.lock, NULL);
    machine->plugin.stray = &machine->stray;
    for (const char *at = names; *at; at += strcspn(at, " "), at += *at == ' ') {
        struct ptp_device *fake = &machine->devices[machine->count];
        pt_device_slot *slot = &machine->slots[machine->count];
        size_t size = strcspn(at, " *");
        *fake = (struct ptp_device){.us = 10};
        snprintf(slot->name, sizeof(slot->name), "%.*s", (int)size, at);
        pt_device *device = &slot->device;
        *device = (pt_device){.plugin = &machine->plugin, .name = slot->name, .handle = fake};
        device->info = (ptp_device_info){.size = sizeof(device->info), .flags = PTP_DEVICE_CONCURRENT, .launch_us = 1};
        device->device = (ptp_device_vtable){.size = sizeof(device->device),
                                             .info = fake_info,
                                             .ask = fake_ask,
                                             .offer = fake_offer,
                                             .compile = fake_compile};
        if (at[size] == '*') {
            device->has_memory = true;
            device->info.domain_count = 1;
            device->info.domains[0] = (ptp_domain_info){.size = sizeof(ptp_domain_info), .memory = PTP_MEMORY_DEVICE};
            device->info.copy_us = 5;
            device->info.copy_bytes_per_us = 1000;
        }
        machine->list[machine->count++] = device;
    }
}

void fake_end(fake_machine *machine) { pthread_mutex_destroy(&machine->stray.lock); }

pt_plan_request fake_request(const fake_machine *machine, const pt_model *model) {
    return (pt_plan_request){.model = model,
                             .devices = (pt_device **)(uintptr_t)machine->list,
                             .device_count = machine->count,
                             .fallback = PT_NONE,
                             .demoted = PT_NONE};
}

const char *fake_where(const builder *b, const pt_plan *plan, const char *value) {
    uint32_t device = pt_plan_node_device(plan, pt_value_at(b->model, build_value(b, value))->producer);
    return device == PT_PLAN_HOST ? "(host)" : plan->devices[device]->name;
}

/* ---- judging --------------------------------------------------------------------------------- */

/* True when what the step reads in its own graph was made by an earlier step; what it makes is made then. */
static bool step_ready(const pt_plan *plan, pt_plan_step step, pt_id graph, bool *made) {
    const pt_model *model = plan->model;
    const pt_id *nodes = step.is_node ? &step.index : plan->clusters[step.index].nodes;
    uint32_t count = step.is_node ? 1 : plan->clusters[step.index].node_count;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < pt_node_at(model, nodes[i])->output_count; k++)
            if (pt_node_at(model, nodes[i])->outputs[k] != PT_NONE)
                made[pt_node_at(model, nodes[i])->outputs[k]] = true;
    for (uint32_t i = 0; i < count; i++) {
        const pt_node *node = pt_node_at(model, nodes[i]);
        pt_arena arena = {0};
        pt_id *captures;
        uint32_t capture_count;
        OK(pt_node_captures(model, nodes[i], &arena, &captures, &capture_count));
        bool ready = true;
        for (uint32_t k = 0; k < node->input_count + capture_count; k++) {
            pt_id value = k < node->input_count ? node->inputs[k] : captures[k - node->input_count];
            if (value == PT_NONE || pt_value_at(model, value)->producer == PT_NONE) continue;
            if (pt_value_at(model, value)->graph == graph && !made[value]) ready = false;
        }
        pt_arena_deinit(&arena);
        if (!ready) return false;
    }
    return true;
}

void fake_check_order(const pt_plan *plan) {
    const pt_model *model = plan->model;
    bool *made = calloc(model->values.size + 1, sizeof(bool));
    size_t computed = 0;
    for (pt_id g = 0; g < model->graphs.size; g++) {
        const pt_plan_graph *graph = &plan->graphs[g];
        for (uint32_t i = 0; graph->hosted && i < graph->step_count; i++) {
            pt_plan_step step = graph->steps[i];
            computed += step.is_node ? 1 : plan->clusters[step.index].node_count;
            if (!step_ready(plan, step, g, made))
                fail_msg("step %u of graph %u reads what no step before it makes", i, g);
        }
        for (size_t i = 0; graph->hosted && i < model->graphs.data[g].order.size; i++) computed--;
    }
    free(made);
    assert_int_equal(computed, 0); /* each node once */
}

/* ---- models at random ------------------------------------------------------------------------ */

static uint64_t next(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

void fake_random_model(builder *b, uint32_t nodes, uint32_t reach, uint64_t seed) {
    static const char *const unary[] = {"Relu", "Sigmoid", "Tanh", "Neg"}, *const binary[] = {"Add", "Mul", "Sub"};
    const pt_type type = {.rank = -1};
    build_start(b, 17);
    pt_model *model = b->model;
    pt_id *values = calloc(nodes + 1, sizeof(*values));
    values[0] = build_input(b, "x", PARTITA_FLOAT32, "64");
    for (uint32_t i = 1; i <= nodes; i++) {
        pt_id node, inputs[2];
        uint32_t source, count = 1 + (next(&seed) % 2), back = PT_MIN(i, reach);
        partita_str name = pt_arena_printf(&model->arena, "v%u", i - 1);
        for (uint32_t k = 0; k < count; k++) inputs[k] = values[i - 1 - (k ? next(&seed) % back : 0)];
        partita_str op = pt_str(count == 1 ? unary[next(&seed) % 4] : binary[next(&seed) % 3]);
        OK(pt_model_add_value(model, 0, name, &type, &values[i]));
        OK(pt_model_add_node(model, 0, op, PT_STR(""), 17, inputs, count, &values[i], 1, &node));
        OK(pt_model_add_source(model, name, op, PT_STR(""), &source));
        OK(pt_node_add_source(model, node, source));
    }
    for (uint32_t i = 1; i <= nodes; i++)
        if (!pt_value_at(model, values[i])->uses.size) OK(pt_graph_add_output(model, 0, values[i]));
    free(values);
    OK(build_infer(b));
}
