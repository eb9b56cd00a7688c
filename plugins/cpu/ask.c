/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers to the host's question: a unit is taken when every node of it has a kernel, the same look-up that compile
 * does.
 */
#include "cpu/device.h"

#include <stdio.h>

static uint64_t weights_of(const cpu_node *node) {
    uint64_t bytes = 0;
    ptp_value_row value;
    for (uint32_t i = 0; i < node->row.inputs.count; i++)
        if (cpu_node_input(node, i, &value) && (value.flags & PTP_VALUE_CONSTANT) != 0) bytes += value.bytes;
    return bytes;
}

static void unit_answer(const ptp_device *device, const ptp_ask *ask, const ptp_unit_row *unit, ptp_answer *answer) {
    uint32_t workers = device->config.workers;
    answer->can = PTP_YES;
    answer->reason = PARTITA_REASON_NONE;
    answer->us = 0;
    answer->weight_bytes = 0;
    answer->scratch_bytes = 0;
    if (workers == 0) workers = device->host->workers(device->host->self);
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
        answer->us += cpu_node_cost(&node, workers, device->config.reference);
        answer->weight_bytes += weights_of(&node);
    }
}

partita_status cpu_device_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers) {
    for (uint32_t i = 0; i < ask->count; i++) {
        ptp_answer *slot = (ptp_answer *)((char *)answers + (size_t)i * answers->size);
        ptp_unit_row unit = ptp_unit_at(ask->block, ask->units[i]);
        ptp_answer answer = {.size = sizeof(answer)};
        uint32_t size = slot->size;
        unit_answer(device, ask, &unit, &answer);
        memcpy(slot, &answer, size < sizeof(answer) ? size : sizeof(answer));
        slot->size = size;
    }
    return PARTITA_OK;
}
