/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins: which device a node must go to, by pattern (options) or by name (a saved plan). The last pin that matches the
 * first of a node's source nodes holds.
 */
#ifndef PT_PLAN_PINS_H
#define PT_PLAN_PINS_H

#include "plan/plan.h"

typedef struct pt_pins pt_pins;

/* INVALID_ARGUMENT for a pattern that is no regular expression, BAD_INPUT for a plan that is no plan, DEVICE_ABSENT for
 * a device outside the set. */
partita_status pt_pins_create(const pt_plan *plan, const pt_plan_request *request, pt_pins **out_pins);
void pt_pins_destroy(pt_pins *pins);
/* True with the index of the plan's device, or PT_PLAN_HOST, when the node is pinned. */
bool pt_pins_find(const pt_pins *pins, pt_id node, uint32_t *out_device);

/* Tells of each rule, and of a saved plan's nodes, that match nothing in the model, by a warning. DEVICE_ABSENT and the
 * like as pt_pins_create. */
partita_status pt_pins_check(const pt_plan *plan, const pt_plan_request *request);

/* Index of a device of the plan by name; "opencl" is "opencl:0"; "(host)" is PT_PLAN_HOST. */
partita_status pt_plan_find_device(const pt_plan *plan, const char *name, uint32_t *out_device);

/* json_read.c: calls `add` with each source node's name, operator and device of a plan's JSON; NULL where it has none
 * of the last two. */
partita_status pt_plan_json_placement(const char *json,
                                      partita_status (*add)(void *user, const char *node, const char *op,
                                                            const char *device),
                                      void *user);

#endif
