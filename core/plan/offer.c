/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offering: each cluster goes back to its device as a whole, which accepts it, gives nodes back, declines, and may know
 * a better estimate for the whole than the sum of its units.
 */
#include "plan/build.h"
#include "plugin/block.h"

static partita_status withdraw(pt_plan *plan, pt_id node, uint32_t device, const ptp_offer *offer) {
    partita_str text =
        pt_arena_str(&plan->arena, (partita_str){offer->text, strnlen(offer->text, sizeof(offer->text))});
    if (!text.data) return PT_OUT_OF_MEMORY();
    bool known = offer->reason && offer->reason < PARTITA_REASON_COUNT;
    pt_plan_withdraw(plan, node, device, known ? offer->reason : PARTITA_REASON_SLOW, text.data, false);
    return PARTITA_OK;
}

/*
 * What a device gives back goes only where somebody else takes it. Otherwise, and where the user chose the device, it
 * stays, and compiling tells whether the device can do it after all.
 */
static bool replaceable(const pt_plan *plan, pt_id node, uint32_t device) {
    uint32_t unit = plan->node_unit[node];
    if (plan->units[unit].pinned || pt_plan_answer_at(plan, unit, device)->can != PTP_YES) return false;
    return pt_plan_replaceable(plan, node, device);
}

/* The device's price for the whole, as a factor on what its units cost. */
static void take_price(pt_plan *plan, pt_plan_cluster *cluster, double us) {
    double whole = us >= 0 && us <= 1e12 && cluster->unit_us > 0 ? us / cluster->unit_us : 1;
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        pt_plan_answer_at(plan, plan->node_unit[cluster->nodes[i]], cluster->device)->whole = whole;
        pt_plan_answer_at(plan, plan->node_piece[cluster->nodes[i]], cluster->device)->whole = whole;
    }
    cluster->estimate_us = plan->devices[cluster->device]->info.launch_us + cluster->unit_us * whole;
    if (us >= 0) cluster->source = "cluster";
}

static partita_status offer_cluster(pt_plan *plan, pt_plan_cluster *cluster, bool *changed) {
    pt_device *device = plan->devices[cluster->device];
    pt_block *block = NULL;
    partita_status status = PARTITA_OK;
    bool kept = true;
    uint8_t *drop = pt_calloc(cluster->node_count + 1, 1);
    if (!drop) return PT_OUT_OF_MEMORY();
    PT_CHECK(pt_plan_cluster_block(plan, cluster, &block));
    ptp_offer offer = {
        .size = sizeof(offer), .precision = plan->precision, .block = block->data, .drop = drop, .us = -1};
    PT_CHECK(pt_device_call(device, device->device.offer(device->handle, &offer)));
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        bool back = offer.verdict == PTP_DECLINE || (offer.verdict != PTP_ACCEPT && drop[i]);
        drop[i] = back && replaceable(plan, cluster->nodes[i], cluster->device);
        kept &= !drop[i];
    }
    for (uint32_t i = 0; i < cluster->node_count; i++)
        if (drop[i]) PT_CHECK(withdraw(plan, cluster->nodes[i], cluster->device, &offer));
    if (kept) take_price(plan, cluster, offer.us);
    *changed |= !kept;
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
