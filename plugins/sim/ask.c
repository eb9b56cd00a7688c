/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device says before a run: which units it takes and for how long, what it thinks of a cluster, what a route
 * costs. The same times are what a run takes.
 */
#include "sim/sim.h"

#include <stdio.h>

double sim_node_us(const sim_config *config, const ptp_block *block, const ptp_node_row *node) {
    double us, bytes = 0, compute = 0;
    if (!sim_list_number(config->us, ptp_ref_str(block, node->op), &us)) {
        for (uint32_t i = 0; i < node->inputs.count + node->outputs.count; i++) {
            uint32_t value = i < node->inputs.count ? ptp_ref_id(block, node->inputs, i)
                                                    : ptp_ref_id(block, node->outputs, i - node->inputs.count);
            if (value != PARTITA_NONE) bytes += (double)ptp_value_at(block, value).bytes;
        }
        if (config->flops_per_us > 0) compute = (double)node->flops / config->flops_per_us;
        us = config->bytes_per_us > 0 ? bytes / config->bytes_per_us : 0;
        if (compute > us) us = compute;
    }
    return config->speed > 0 ? us / config->speed : us;
}

/* ---- ask ------------------------------------------------------------------------------------- */

static bool value_fits(const ptp_device *device, const ptp_block *block, uint32_t index, ptp_answer *answer) {
    const sim_config *config = &device->config;
    ptp_value_row value;
    partita_str name;
    if (index == PARTITA_NONE) return true;
    value = ptp_value_at(block, index);
    name = ptp_ref_str(block, value.name);
    if (!config->all_kinds && (value.kind > PARTITA_KIND_TENSOR || value.dtype == PARTITA_STRING)) {
        return cpu_refuse(answer, PARTITA_REASON_KIND, "value \"%.*s\" is no dense tensor of numbers", (int)name.size,
                          name.data);
    }
    if (config->max_buffer && value.bytes > (uint64_t)config->max_buffer) {
        return cpu_refuse(answer, PARTITA_REASON_MEMORY, "value \"%.*s\" has %llu bytes, a buffer at most %lld",
                          (int)name.size, name.data, (unsigned long long)value.bytes, (long long)config->max_buffer);
    }
    return true;
}

static bool node_fits(const ptp_device *device, const ptp_ask *ask, uint32_t index, ptp_answer *answer) {
    const sim_config *config = &device->config;
    cpu_node node = {.block = ask->block,
                     .row = ptp_node_at(ask->block, index),
                     .row_index = index,
                     .level = device->plugin->level,
                     .precision = ask->precision};
    partita_str op = ptp_ref_str(ask->block, node.row.op);
    if (node.row.bodies.count) return cpu_refuse(answer, PARTITA_REASON_CONTROL_FLOW, "nested graphs are not run");
    if ((config->ops[0] && !sim_list_has(config->ops, op)) || sim_list_has(config->not_ops, op)) {
        return cpu_refuse(answer, PARTITA_REASON_OP, "this machine's description leaves %.*s out", (int)op.size,
                          op.data);
    }
    for (uint32_t i = 0; i < node.row.inputs.count; i++) {
        if (!value_fits(device, ask->block, ptp_ref_id(ask->block, node.row.inputs, i), answer)) return false;
    }
    for (uint32_t i = 0; i < node.row.outputs.count; i++) {
        if (!value_fits(device, ask->block, ptp_ref_id(ask->block, node.row.outputs, i), answer)) return false;
    }
    if (!cpu_kernel_find(&node, false, answer)) return false;
    answer->us += sim_node_us(config, ask->block, &node.row);
    for (uint32_t i = 0; i < node.row.inputs.count; i++) {
        ptp_value_row value;
        if (cpu_node_input(&node, i, &value) && (value.flags & PTP_VALUE_CONSTANT)) answer->weight_bytes += value.bytes;
    }
    return true;
}

partita_status sim_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers) {
    uint32_t stride = ask->count ? answers->size : 0;
    for (uint32_t i = 0; i < ask->count; i++) {
        ptp_unit_row unit = ptp_unit_at(ask->block, ask->units[i]);
        ptp_answer answer = {.size = sizeof(answer), .can = PTP_YES};
        for (uint32_t n = 0; n < unit.nodes.count && answer.can == PTP_YES; n++) {
            node_fits(device, ask, ptp_ref_id(ask->block, unit.nodes, n), &answer);
        }
        if (device->config.memory_bytes && answer.weight_bytes > (uint64_t)device->config.memory_bytes) {
            cpu_refuse(&answer, PARTITA_REASON_MEMORY, "weights of %llu bytes, its memory has %lld",
                       (unsigned long long)answer.weight_bytes, (long long)device->config.memory_bytes);
        }
        sim_out((char *)answers + (size_t)i * stride, &answer, sizeof(answer));
    }
    return PARTITA_OK;
}

/* ---- offer ----------------------------------------------------------------------------------- */

partita_status sim_offer(ptp_device *device, ptp_offer *offer) {
    const sim_config *config = &device->config;
    ptp_graph_row graph = ptp_graph_at(offer->block, 0);
    double us = 0;
    for (uint32_t i = 0; i < graph.node_count; i++) {
        ptp_node_row node = ptp_node_at(offer->block, graph.first_node + i);
        partita_str op = ptp_ref_str(offer->block, node.op);
        us += sim_node_us(config, offer->block, &node);
        if (sim_list_has(config->decline, op)) {
            offer->verdict = PTP_DECLINE;
            offer->reason = PARTITA_REASON_POLICY;
            snprintf(offer->text, sizeof(offer->text), "clusters with %.*s are declined", (int)op.size, op.data);
            return PARTITA_OK;
        }
        if (sim_list_has(config->trim, op)) {
            offer->drop[i] = 1;
            offer->verdict = PTP_TRIM;
            offer->reason = PARTITA_REASON_POLICY;
            snprintf(offer->text, sizeof(offer->text), "%.*s is given back", (int)op.size, op.data);
        }
    }
    offer->us = us * config->fuse;
    return PARTITA_OK;
}

/* ---- route ----------------------------------------------------------------------------------- */

/* File descriptors of a driver's own kind mean something to the same driver only. */
static bool can_use(const ptp_route *route) {
    if (route->handle == PTP_HANDLE_MEMFD || route->handle == PTP_HANDLE_HOST_POINTER) return true;
    return route->peer && strcmp(route->peer->kind, "sim") == 0;
}

partita_status sim_route(ptp_device *device, ptp_route *route) {
    const sim_config *config = &device->config;
    const ptp_domain_info *domain = &device->info.domains[0];
    uint32_t mask = route->outgoing ? domain->export_mask : domain->import_mask;
    if (device->info.domain_count == 0) {
        route->route = PTP_ROUTE_NONE;
        return PARTITA_OK;
    }
    switch (route->route) {
    case PTP_ROUTE_IMPORT:
        if (!(mask & 1u << route->handle) || !can_use(route)) break;
        route->us = config->import_us;
        route->us_per_byte = 0;
        return PARTITA_OK;
    case PTP_ROUTE_COPY:
        if (route->peer && route->peer_memory != PTP_MEMORY_HOST) break;
        route->us = config->copy_us;
        route->us_per_byte = config->copy_bytes_per_us > 0 ? 1 / config->copy_bytes_per_us : 0;
        return PARTITA_OK;
    default: break;
    }
    route->route = PTP_ROUTE_NONE;
    return PARTITA_OK;
}
