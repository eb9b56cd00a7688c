/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offering: each cluster goes back to its device as a whole, which accepts it, gives nodes back, declines, and may know a
 * better estimate for the whole than the sum of its units.
 */
#include "plan/build.h"
#include "plugin/block.h"

/* Withdraws the claim of a node's unit; true when it stood. */
static bool withdraw(pt_plan *plan, pt_id node, uint32_t device, const ptp_offer *offer) {
    pt_plan_answer *answer = &plan->answers[(size_t)plan->node_unit[node] * plan->device_count + device];
    partita_str text = pt_arena_str(&plan->arena, (partita_str){offer->text, strnlen(offer->text, sizeof(offer->text))});
    if (answer->can != PTP_YES) return false;
    answer->can = PTP_NO;
    answer->reason = (uint8_t)(offer->reason && offer->reason < PARTITA_REASON_COUNT ? offer->reason : PARTITA_REASON_SLOW);
    answer->text = text.data ? text.data : "";
    return true;
}

/* True when somebody else takes every node of the cluster that the device would give back. */
static bool replaceable(const pt_plan *plan, const pt_plan_cluster *cluster, const uint8_t *drop) {
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (drop && !drop[i]) continue;
        uint32_t unit = plan->node_unit[cluster->nodes[i]];
        bool other = false;
        for (uint32_t d = 0; d < plan->device_count; d++)
            other |= d != cluster->device && plan->answers[(size_t)unit * plan->device_count + d].can == PTP_YES;
        if (!other) return false;
    }
    return true;
}

static partita_status offer_cluster(pt_plan *plan, pt_plan_cluster *cluster, bool *changed) {
    pt_device *device = plan->devices[cluster->device];
    pt_block *block = NULL;
    partita_status status = PARTITA_OK;
    uint8_t *drop = pt_calloc(cluster->node_count + 1, 1);
    if (!drop) return PT_OUT_OF_MEMORY();
    PT_CHECK(pt_block_create_part(plan->model, plan->symbol_values, cluster->nodes, cluster->node_count, cluster->inputs,
                                  cluster->input_count, cluster->outputs, cluster->output_count, &block));
    ptp_offer offer = {.size = sizeof(offer), .precision = plan->precision, .block = block->data, .drop = drop,
                       .us = -1};
    PT_CHECK(pt_device_call(device, device->device.offer(device->handle, &offer)));
    bool whole = offer.verdict == PTP_DECLINE;
    if (offer.verdict != PTP_ACCEPT && replaceable(plan, cluster, whole ? NULL : drop)) {
        for (uint32_t i = 0; i < cluster->node_count; i++)
            if (whole || drop[i]) *changed |= withdraw(plan, cluster->nodes[i], cluster->device, &offer);
    } else if (offer.us >= 0) {
        cluster->estimate_us = offer.us + device->info.launch_us;
        cluster->source = "cluster";
    }
out:
    pt_block_destroy(block);
    pt_free(drop);
    return status;
}

partita_status pt_plan_offer(pt_plan *plan, bool *out_changed) {
    *out_changed = false;
    for (uint32_t i = 0; i < plan->cluster_count; i++)
        if (plan->devices[plan->clusters[i].device]->device.offer)
            PT_TRY(offer_cluster(plan, &plan->clusters[i], out_changed));
    return PARTITA_OK;
}
