/* SPDX-License-Identifier: Apache-2.0 */
/* Names of devices, routes, reasons and values, as people and JSON see them. */
#include "plan/words.h"
#include <inttypes.h>
#include "plan/build.h"

const char *pt_plan_device_name(const pt_plan *plan, uint32_t device) {
    return device < plan->device_count ? plan->devices[device]->name : "(host)";
}

const char *pt_plan_route_name(const pt_plan_edge *edge) {
    if (edge->route == PTP_ROUTE_SHARE) return "share";
    if (edge->route == PTP_ROUTE_IMPORT) return "import";
    return edge->staged ? "staged" : "copy";
}

static const struct {
    const char *code, *text;
} reasons[PARTITA_REASON_COUNT] = {
#define X(name, value, text, long_text) [value] = {text, long_text},
    PARTITA_REASON_ROWS(X)
#undef X
};

const char *pt_reason_code(uint32_t reason) { return reasons[reason < PARTITA_REASON_COUNT ? reason : 0].code; }

const char *pt_plan_answer_text(const pt_plan_answer *answer) {
    if (answer->can == PTP_YES && !answer->as_pieces) return "";
    return answer->text && answer->text[0] ? answer->text : reasons[answer->reason].text;
}

uint32_t pt_plan_where(const pt_plan *plan, pt_id node) {
    const pt_model *model = plan->model;
    uint32_t device = PT_PLAN_HOST;
    /* the outermost node that a device runs whole decides; without one the node's own unit does */
    for (pt_id at = node; at != PT_NONE; at = model->graphs.data[model->nodes.data[at].graph].parent) {
        bool placed = plan->node_unit[at] != PT_NONE && pt_plan_node_device(plan, at) != PT_PLAN_HOST;
        if (placed) device = pt_plan_node_device(plan, at);
    }
    return device;
}

partita_str pt_plan_value_name(const pt_plan *plan, pt_id value, pt_text *scratch) {
    const pt_value *v = &plan->model->values.data[value];
    if (v->name.size) return v->name;
    scratch->size = 0;
    if (v->producer == PT_NONE)
        pt_text_printf(scratch, "value %u", value);
    else
        pt_text_printf(scratch, "%.*s:%u", PT_STR_ARG(pt_node_name(plan->model, v->producer)), v->output);
    return pt_str(scratch->data ? scratch->data : "");
}

pt_id *pt_plan_carriers(const pt_model *model) {
    pt_id *carrier = pt_realloc_array(NULL, model->sources.size + 1, sizeof(*carrier));
    if (!carrier) return NULL;
    for (size_t i = 0; i < model->sources.size; i++) carrier[i] = PT_NONE;
    for (size_t n = model->nodes.size; n-- > 0;) {
        const pt_node *node = &model->nodes.data[n];
        for (uint32_t i = 0; !node->dead && i < node->source_count; i++) carrier[node->sources[i]] = (pt_id)n;
    }
    return carrier;
}

void pt_plan_print_bytes(const pt_plan_edge *edge, pt_text *out) {
    if (edge->at_most == edge->bytes)
        pt_text_printf(out, "%" PRIu64 " bytes", edge->bytes);
    else if (edge->at_most == PT_PLAN_NO_BOUND)
        pt_text_printf(out, "unknown bytes");
    else
        pt_text_printf(out, "unknown (at most %" PRIu64 ") bytes", edge->at_most);
}
