/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes between two memories: the one function by which planner and session choose how a value gets from one device to
 * another, so that a plan announces what a run does.
 */
#ifndef PT_PLAN_ROUTE_H
#define PT_PLAN_ROUTE_H

#include "plugin/registry.h"

/* A way between two memories. */
typedef struct pt_route {
    uint32_t route;  /* PTP_ROUTE_SHARE, _IMPORT, _COPY */
    uint32_t handle; /* PTP_HANDLE_* of an import */
    bool staged;     /* a copy through host memory, in two */
    bool mapped;     /* staged: the host sees the source's memory, so that only the second copy is made */
    double us;       /* fixed part of the price */
    double us_per_byte;
} pt_route;

/* One end of a route. */
typedef struct pt_route_end {
    pt_device *device; /* NULL: memory of the host that no device owns (inputs of a run, results of control flow) */
    uint32_t domain;   /* of the device; PTP_DOMAIN_HOST: host memory */
} pt_route_end;

/* Where a device computes: its domain 0, or host memory when it has none. NULL is the host. */
static inline pt_route_end pt_route_end_of(pt_device *device) {
    return (pt_route_end){device, device && device->has_memory && device->info.domain_count ? 0 : PTP_DOMAIN_HOST};
}
/* Price for a value of `bytes`. */
static inline double pt_route_us(const pt_route *route, uint64_t bytes) {
    return route->us + route->us_per_byte * (double)bytes;
}
/* Bytes that travel when a value of `bytes` takes this route. */
static inline uint64_t pt_route_moved(const pt_route *route, uint64_t bytes) {
    return route->route != PTP_ROUTE_COPY ? 0 : route->staged && !route->mapped ? 2 * bytes : bytes;
}
/*
 * The cheapest route for `bytes` that both ends can do; asked of both. There always is one: devices with memory can
 * copy from and to the host. Only memory that a device's parts fill can be imported: a NULL source device has none.
 */
void pt_route_choose(pt_route_end from, pt_route_end to, uint64_t bytes, pt_route *out_route);

#endif
