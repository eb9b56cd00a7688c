/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing routes: candidates by the handle kinds and memories of both ends, each asked of the devices that take part,
 * the cheapest wins; equal prices go to the one that moves less.
 */
#include "plan/route.h"

/* Prices that are no numbers, or beyond a second for a byte, say nothing. */
static void add_price(pt_route *total, double us, double us_per_byte) {
    if (us > 0) total->us += PT_MIN(us, 1e6);
    if (us_per_byte > 0) total->us_per_byte += PT_MIN(us_per_byte, 1e6);
}

/* Asks one end whether it can do its half; adds its price. */
static bool ask_end(pt_route_end end, pt_route_end peer, bool outgoing, uint32_t route, uint32_t handle,
                    pt_route *total) {
    if (end.domain == PTP_DOMAIN_HOST) return true; /* the host's half of anything is free */
    pt_device *device = end.device;
    ptp_route ask = {.size = sizeof(ask),
                     .outgoing = outgoing,
                     .domain = end.domain,
                     .peer_memory = PTP_MEMORY_HOST,
                     .route = route,
                     .handle = handle};
    if (peer.domain != PTP_DOMAIN_HOST) {
        ask.peer = &peer.device->info;
        ask.peer_memory = peer.device->info.domains[peer.domain].memory;
    }
    if (!device->device.route) {
        if (route != PTP_ROUTE_COPY || ask.peer) return false;
        double rate = device->info.copy_bytes_per_us;
        add_price(total, device->info.copy_us, rate > 0 ? 1 / rate : 0);
        return true;
    }
    if (pt_device_call(device, device->device.route(device->handle, &ask)) != PARTITA_OK) return false;
    if (ask.route == PTP_ROUTE_NONE) return false;
    add_price(total, ask.us, ask.us_per_byte);
    return true;
}

static bool same_memory(pt_route_end from, pt_route_end to) {
    if (from.domain == PTP_DOMAIN_HOST || to.domain == PTP_DOMAIN_HOST) return from.domain == to.domain;
    return from.device == to.device && from.domain == to.domain;
}

static uint32_t export_mask(pt_route_end end) {
    if (end.domain != PTP_DOMAIN_HOST) return end.device->info.domains[end.domain].export_mask;
    return end.device ? 1u << PTP_HANDLE_HOST_POINTER : 0;
}

static uint32_t import_mask(pt_route_end end) {
    if (end.domain == PTP_DOMAIN_HOST) return 1u << PTP_HANDLE_HOST_POINTER;
    const ptp_domain_info *domain = &end.device->info.domains[end.domain];
    uint32_t mask = domain->import_mask;
    return domain->import_alignment ? mask : mask & ~(1u << PTP_HANDLE_HOST_POINTER);
}

static void consider(const pt_route *candidate, uint64_t bytes, pt_route *best, bool *found) {
    if (*found && pt_route_us(candidate, bytes) >= pt_route_us(best, bytes)) return;
    *best = *candidate;
    *found = true;
}

static void consider_import(pt_route_end from, pt_route_end to, uint64_t bytes, pt_route *best, bool *found) {
    uint32_t kinds = export_mask(from) & import_mask(to);
    for (uint32_t handle = 0; handle < PTP_HANDLE_COUNT; handle++) {
        pt_route candidate = {.route = PTP_ROUTE_IMPORT, .handle = handle};
        if (!(kinds & 1u << handle)) continue;
        if (ask_end(from, to, true, PTP_ROUTE_IMPORT, handle, &candidate) &&
            ask_end(to, from, false, PTP_ROUTE_IMPORT, handle, &candidate))
            consider(&candidate, bytes, best, found);
    }
}

static void choose_staged(pt_route_end from, pt_route_end to, uint64_t bytes, pt_route *out_route) {
    const pt_route_end host = {NULL, PTP_DOMAIN_HOST};
    pt_route first, second;
    pt_route_choose(from, host, bytes, &first);
    pt_route_choose(host, to, bytes, &second);
    *out_route = (pt_route){.route = PTP_ROUTE_COPY, .staged = true, .mapped = first.route == PTP_ROUTE_IMPORT};
    add_price(out_route, first.us + second.us, first.us_per_byte + second.us_per_byte);
}

void pt_route_choose(pt_route_end from, pt_route_end to, uint64_t bytes, pt_route *out_route) {
    const pt_route_end host = {NULL, PTP_DOMAIN_HOST};
    bool found = false;
    pt_route copy = {.route = PTP_ROUTE_COPY};
    if (same_memory(from, to)) {
        *out_route = (pt_route){.route = PTP_ROUTE_SHARE};
        return;
    }
    consider_import(from, to, bytes, out_route, &found);
    if (from.domain != PTP_DOMAIN_HOST && to.domain != PTP_DOMAIN_HOST) {
        choose_staged(from, to, bytes, &copy);
    } else {
        ask_end(from, host, true, PTP_ROUTE_COPY, 0, &copy);
        ask_end(to, host, false, PTP_ROUTE_COPY, 0, &copy);
    }
    consider(&copy, bytes, out_route, &found);
}
