/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the devices and the crossing edges of a session did so far, row by row, for programs that judge it.
 */
#include "run/session.h"
#include "op/schema.h"
#include "plan/words.h"
#include <stdatomic.h>

partita_status partita_session_device(const partita_session *session, uint32_t index, partita_device_usage *out_usage) {
    PT_REQUIRE(session && out_usage);
    pt_build *build = pt_session_hold_build((partita_session *)session);
    const pt_plan *plan = build->plan;
    if (index >= plan->device_count) {
        pt_build_release(build);
        return pt_fail(PARTITA_INVALID_ARGUMENT, "the plan has no device %u", index);
    }
    pt_device *device = plan->devices[index];
    partita_device_usage usage = {.size = sizeof(usage), .device = device->name};
    ptp_usage counted = {.size = sizeof(counted)};
    if (device->device.usage && pt_device_call(device, device->device.usage(device->handle, &counted)) == PARTITA_OK)
        usage.copied_bytes = counted.copied_bytes;
    for (uint32_t i = 0; i < plan->cluster_count; i++) {
        const pt_plan_cluster *cluster = &plan->clusters[i];
        if (cluster->device != index) continue;
        usage.parts++;
        usage.launches += atomic_load(&build->clusters[i].count);
        usage.busy_us += (double)atomic_load(&build->clusters[i].ns) / 1e3;
        for (uint32_t k = 0; k < cluster->node_count; k++)
            usage.flops += (double)pt_node_flops(plan->model, cluster->nodes[k], plan->symbol_values);
    }
    memcpy(out_usage, &usage, PT_MIN(out_usage->size, sizeof(usage)));
    pt_build_release(build);
    return PARTITA_OK;
}

partita_status partita_session_edge(const partita_session *session, uint32_t index, partita_edge_usage *out_usage) {
    PT_REQUIRE(session && out_usage);
    pt_build *build = pt_session_hold_build((partita_session *)session);
    const pt_plan *plan = build->plan;
    if (index >= plan->edge_count) {
        pt_build_release(build);
        return pt_fail(PARTITA_INVALID_ARGUMENT, "the plan has no edge %u", index);
    }
    const pt_plan_edge *edge = &plan->edges[index];
    partita_edge_usage usage = {.size = sizeof(usage),
                                .staged = edge->staged,
                                .value = pt_value_at(plan->model, edge->value)->name.data,
                                .from = pt_plan_device_name(plan, edge->from),
                                .to = pt_plan_device_name(plan, edge->to),
                                .route = pt_plan_route_name(edge),
                                .bytes_moved = atomic_load(&build->edges[index].bytes),
                                .copies = atomic_load(&build->edges[index].copies),
                                .runs = atomic_load(&build->edges[index].count)};
    memcpy(out_usage, &usage, PT_MIN(out_usage->size, sizeof(usage)));
    pt_build_release(build);
    return PARTITA_OK;
}
