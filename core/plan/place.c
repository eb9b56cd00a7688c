/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: unit->device of every unit, out of the devices' answers. Each unit goes to the first device, in the order
 * of preference, that takes it.
 */
#include "plan/build.h"

partita_status pt_plan_fail_unplaced(const pt_plan *plan, uint32_t unit) {
    static const char *const reasons[PARTITA_REASON_COUNT] = {
#define X(name, value, text, long_text) [value] = long_text,
        PARTITA_REASON_ROWS(X)
#undef X
    };
    const pt_plan_unit *u = &plan->units[unit];
    const pt_node *node = &plan->model->nodes.data[u->nodes[0]];
    pt_text text = {0};
    for (uint32_t i = 0; i < plan->device_count; i++) {
        const pt_plan_answer *answer = &plan->answers[(size_t)unit * plan->device_count + i];
        const char *cause = answer->text && answer->text[0] ? answer->text : reasons[answer->reason];
        pt_text_printf(&text, "%s%s: %s", i ? "; " : "", plan->devices[i]->name, cause);
    }
    partita_str name = pt_node_name(plan->model, u->nodes[0]);
    partita_status status = pt_fail(PARTITA_UNPLACED, "node '%.*s' (%.*s): no allowed device takes it: %s",
                                    PT_STR_ARG(name), PT_STR_ARG(node->op), text.data ? text.data : "no devices");
    pt_text_deinit(&text);
    return status;
}

partita_status pt_plan_place(pt_plan *plan, const pt_plan_request *request) {
    PT_UNUSED(request);
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        pt_plan_unit *unit = &plan->units[i];
        unit->device = PT_PLAN_HOST;
        if (pt_plan_host_runs(&plan->model->nodes.data[unit->nodes[0]])) continue;
        uint32_t device = 0;
        while (device < plan->device_count && plan->answers[(size_t)i * plan->device_count + device].can != PTP_YES)
            device++;
        if (device == plan->device_count) return pt_plan_fail_unplaced(plan, i);
        unit->device = device;
    }
    plan->candidate = "greedy";
    return PARTITA_OK;
}
