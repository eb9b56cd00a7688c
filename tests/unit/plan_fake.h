/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that live in a test, for tests of the planner: what they take, at what price, and what they say to an offer
 * is set in fields, and they count what they are asked.
 */
#ifndef PLAN_FAKE_H
#define PLAN_FAKE_H

#include "op_build.h"
#include "plan/build.h"
#include "plugin/internal.h"

enum { FAKE_MOST = 4 };

/* What a device says to groups: what it says to their nodes together, yes for `group_us`, or no. */
enum { FAKE_GROUPS_AS_NODES, FAKE_GROUPS_WHOLE, FAKE_GROUPS_REFUSED };

struct ptp_device {
    const char *refuses; /* operators, each with a space behind it; "*" : everything */
    const char *only_if; /* operators taken under `condition` */
    uint32_t condition;
    double us;       /* of every node; < 0: says nothing */
    uint64_t spread; /* not 0: a seed by which operators cost up to four times as much */
    uint32_t groups; /* FAKE_GROUPS_* */
    double group_us;
    const char *trims; /* operators given back when a cluster has them */
    bool declines;
    uint32_t most_nodes; /* declines larger clusters; 0: no limit */
    double whole;        /* factor on the sum that an offer answers; 0: says nothing */
    bool bodies;         /* takes control flow whole */
    double import_us;    /* see fake_join */
    uint32_t asks, units_asked, groups_asked, largest_group, offers, largest_offer, groups_offered;
};

typedef struct fake_machine {
    struct ptp_device devices[FAKE_MOST];
    pt_device_slot slots[FAKE_MOST];
    pt_device *list[FAKE_MOST];
    pt_plugin plugin;
    pt_stray stray;
    uint32_t count;
} fake_machine;

/* `names`: "cpu a b"; each device takes everything for 10 us. A name with '*' behind it has memory of its own, whose
 * copies cost 5 us and a microsecond for 1000 bytes. */
void fake_start(fake_machine *machine, const char *names);
void fake_end(fake_machine *machine);
/* Devices with memory import from each other, too, for `us` whatever the size. */
void fake_join(fake_machine *machine, double us);
/* A request over all devices, by latency. */
pt_plan_request fake_request(const fake_machine *machine, const pt_model *model);
/* Name of the device that the node making the value is on. */
const char *fake_where(const builder *b, const pt_plan *plan, const char *value);
#define assert_where(b, plan, value, device) assert_string_equal(fake_where(b, plan, value), device)
/* Fails unless the clusters and host-run nodes of every graph can be ordered, as the plan's steps are. */
void fake_check_order(const pt_plan *plan);

/* A model of `nodes` element-wise nodes "v0", "v1", ... on float32 [64], each reading one or two of the values before
 * it, chosen by the seed. Values that nobody reads are outputs. */
void fake_random_model(builder *b, uint32_t nodes, uint32_t reach, uint64_t seed);

#endif
