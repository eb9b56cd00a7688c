/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers to the host's question: a unit is taken when every node of it has a kernel, the same look-up that compile
 * does. A quantised group is taken as what it will run: operators on integers, where it has such a form.
 */
#include "cpu/device.h"
#include "cpu/program/groups.h"

#include <stdio.h>

static uint64_t weights_of(const cpu_node *node) {
    uint64_t bytes = 0;
    ptp_value_row value;
    for (uint32_t i = 0; i < node->row.inputs.count; i++)
        if (cpu_node_input(node, i, &value) && (value.flags & PTP_VALUE_CONSTANT) != 0) bytes += value.bytes;
    return bytes;
}

static uint32_t workers_of(const ptp_device *device) {
    return device->config.workers > 0 ? device->config.workers : device->host->workers(device->host->self);
}

static void node_add(const ptp_device *device, const cpu_node *node, ptp_answer *answer) {
    answer->us += cpu_node_cost(node, workers_of(device), device->config.reference);
    answer->weight_bytes += weights_of(node);
}

static void unit_answer(const ptp_device *device, const ptp_ask *ask, const ptp_unit_row *unit, ptp_answer *answer) {
    *answer = (ptp_answer){.size = sizeof(*answer), .can = PTP_YES, .reason = PARTITA_REASON_NONE};
    if (unit->kind == PTP_UNIT_CONTROL_FLOW) {
        cpu_refuse(answer, PARTITA_REASON_CONTROL_FLOW, "nested graphs are run by the host");
        return;
    }
    for (uint32_t i = 0; i < unit->nodes.count; i++) {
        uint32_t index = ptp_ref_id(ask->block, unit->nodes, i);
        cpu_node node = {.block = ask->block,
                         .row = ptp_node_at(ask->block, index),
                         .row_index = index,
                         .level = device->config.level,
                         .precision = ask->precision};
        partita_str domain = ptp_ref_str(ask->block, node.row.domain), op = ptp_ref_str(ask->block, node.row.op);
        if (domain.size == 0 && node.row.bodies.count > 0) {
            cpu_refuse(answer, PARTITA_REASON_CONTROL_FLOW, "%.*s: nested graphs are run by the host", (int)op.size,
                       op.data);
            return;
        }
        if (cpu_kernel_find(&node, device->config.reference, answer) == NULL) return;
        node_add(device, &node, answer);
    }
}

/* The asked unit as operators on integers; false when it has no such form. */
static bool group_answer(const ptp_device *device, const ptp_ask *ask, const cpu_groups *groups, uint32_t index,
                         ptp_answer *answer) {
    const ptp_node_row *rows;
    uint32_t count = groups != NULL ? cpu_groups_rows(groups, index, &rows) : 0;
    if (count == 0 || !cpu_groups_fit(groups, index, device->config.level, ask->precision)) return false;
    *answer = (ptp_answer){.size = sizeof(*answer), .can = PTP_YES, .reason = PARTITA_REASON_NONE};
    for (uint32_t i = 0; i < count; i++) {
        cpu_node node = {.block = cpu_groups_block(groups),
                         .row = rows[i],
                         .level = device->config.level,
                         .precision = ask->precision};
        node_add(device, &node, answer);
    }
    return true;
}

static bool has_groups(const ptp_ask *ask) {
    for (uint32_t i = 0; i < ask->count; i++)
        if (ptp_unit_at(ask->block, ask->units[i]).kind == PTP_UNIT_GROUP) return true;
    return false;
}

partita_status cpu_device_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers) {
    cpu_groups *groups = NULL;
    if (!device->config.reference && has_groups(ask)) {
        partita_status status = cpu_groups_create(device->host, ask->block, ask->units, ask->count, NULL, &groups);
        if (status != PARTITA_OK) return status;
    }
    for (uint32_t i = 0; i < ask->count; i++) {
        ptp_answer *slot = (ptp_answer *)((char *)answers + (size_t)i * answers->size);
        ptp_unit_row unit = ptp_unit_at(ask->block, ask->units[i]);
        ptp_answer answer;
        uint32_t size = slot->size;
        if (!group_answer(device, ask, groups, i, &answer)) unit_answer(device, ask, &unit, &answer);
        memcpy(slot, &answer, size < sizeof(answer) ? size : sizeof(answer));
        slot->size = size;
    }
    cpu_groups_destroy(groups);
    return PARTITA_OK;
}
