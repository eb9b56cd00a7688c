/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking: one batched call per device over one block of the whole model, in which equal units are asked about once,
 * groups and their pieces in the same call. A conditional yes is resolved here, so that the rest of the planner knows
 * only yes and no.
 */
#include "plan/build.h"
#include "plugin/block.h"
#include <partita/block.h>

/* True when every dim of the unit's values is exact already. */
static bool exact_shapes(const pt_plan *plan, const pt_plan_unit *unit) {
    const pt_model *model = plan->model;
    for (uint32_t i = 0; i < unit->node_count; i++) {
        const pt_node *node = &model->nodes.data[unit->nodes[i]];
        for (uint32_t k = 0; k < node->input_count + node->output_count; k++) {
            pt_id value = k < node->input_count ? node->inputs[k] : node->outputs[k - node->input_count];
            if (value == PT_NONE) continue;
            const pt_type *type = &model->values.data[value].type;
            for (int32_t d = 0; d < type->rank; d++)
                if (!pt_dim_is_exact(type->dims[d])) return false;
            if (type->rank < 0) return false;
        }
    }
    return true;
}

static partita_status store_answer(pt_plan *plan, const pt_plan_unit *unit, const ptp_answer *from,
                                   pt_plan_answer *to) {
    uint32_t reason = from->reason;
    bool can = from->can == PTP_YES;
    const char *text = from->text;
    if (from->can == PTP_ONLY_IF) {
        can = true;
        if ((from->condition & PTP_IF_FAST_PRECISION) && plan->precision != PTP_PRECISION_FAST) {
            can = false;
            reason = PARTITA_REASON_PRECISION;
        } else if ((from->condition & PTP_IF_EXACT_SHAPES) && !exact_shapes(plan, unit)) {
            can = false;
            reason = PARTITA_REASON_DYNAMIC;
        }
    }
    if (!can && reason == PARTITA_REASON_NONE) reason = PARTITA_REASON_OP;
    to->can = can ? PTP_YES : PTP_NO;
    to->reason = (uint8_t)(can ? PARTITA_REASON_NONE : reason);
    to->us = from->us;
    to->whole = 1;
    to->source = "unit";
    to->weight_bytes = from->weight_bytes;
    to->scratch_bytes = from->scratch_bytes;
    partita_str copy = pt_arena_str(&plan->arena, (partita_str){text, strnlen(text, sizeof(from->text))});
    to->text = copy.data;
    return copy.data ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* Time by declared rates, for an answer without a time. */
static double roofline_us(const pt_plan_unit *unit, const ptp_block *block, const uint32_t *node_rows,
                          const ptp_device_info *info) {
    double flops = 0, bytes = 0;
    for (uint32_t i = 0; i < unit->node_count; i++) {
        ptp_node_row row = ptp_node_at(block, node_rows[unit->nodes[i]]);
        flops += (double)row.flops;
        for (uint32_t k = 0; k < row.inputs.count + row.outputs.count; k++) {
            uint32_t id = k < row.inputs.count ? ptp_ref_id(block, row.inputs, k)
                                               : ptp_ref_id(block, row.outputs, k - row.inputs.count);
            if (id != PARTITA_NONE) bytes += (double)ptp_value_at(block, id).bytes;
        }
    }
    double compute = flops / (info->flops_per_us > 0 ? info->flops_per_us : 1000);
    double memory = bytes / (info->bytes_per_us > 0 ? info->bytes_per_us : 1000);
    return PT_MAX(compute, memory) + 0.5;
}

/* Times beyond this are no times. */
#define MOST_US 1e12

/* What is asked, the same of all devices. */
typedef struct asking {
    pt_block *block;
    uint32_t *node_rows; /* by the model's nodes */
    uint32_t *same;      /* by unit: the first that equals it */
    uint32_t *units;     /* [count]: those that are asked about */
    uint32_t count;
    ptp_answer *answers; /* [count] */
} asking;

/* What a device that says nothing will keep of a unit: its constants as they are. */
static uint64_t constant_bytes(const pt_plan *plan, const pt_plan_unit *unit) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < unit->node_count; i++) {
        const pt_node *node = &plan->model->nodes.data[unit->nodes[i]];
        for (uint32_t k = 0; k < node->input_count; k++) {
            const pt_tensor *constant =
                node->inputs[k] == PT_NONE ? NULL : plan->model->values.data[node->inputs[k]].constant;
            if (constant && constant->weight) bytes += constant->weight->bytes;
        }
    }
    return bytes;
}

static partita_status ask_device(pt_plan *plan, uint32_t index, const asking *a) {
    pt_device *device = plan->devices[index];
    memset(a->answers, 0, a->count * sizeof(*a->answers));
    for (uint32_t i = 0; i < a->count; i++) {
        a->answers[i].size = sizeof(*a->answers);
        a->answers[i].us = -1;
    }
    ptp_ask ask = {.size = sizeof(ask),
                   .precision = plan->precision,
                   .block = a->block->data,
                   .units = a->units,
                   .count = a->count};
    PT_TRY(pt_device_call(device, device->device.ask(device->handle, &ask, a->answers)));
    for (uint32_t i = 0; i < a->count; i++) {
        const pt_plan_unit *unit = &plan->units[a->units[i]];
        pt_plan_answer *answer = pt_plan_answer_at(plan, a->units[i], index);
        PT_TRY(store_answer(plan, unit, &a->answers[i], answer));
        if (answer->can == PTP_YES && answer->weight_bytes == 0) answer->weight_bytes = constant_bytes(plan, unit);
        if (answer->us >= 0 && answer->us <= MOST_US) continue;
        answer->us = roofline_us(unit, a->block->data, a->node_rows, &device->info);
        answer->source = "roofline";
    }
    for (uint32_t i = 0; i < plan->unit_count; i++)
        if (a->same[i] != i) *pt_plan_answer_at(plan, i, index) = *pt_plan_answer_at(plan, a->same[i], index);
    for (uint32_t i = 0; i < plan->unit_count; i++)
        if (plan->units[i].kind == PTP_UNIT_GROUP) pt_plan_compose(plan, i, index);
    return PARTITA_OK;
}

static partita_status take_previous(pt_plan *plan, const pt_plan *previous) {
    size_t count = (size_t)plan->unit_count * plan->device_count;
    const char *last = NULL, *copy = "";
    if (previous->unit_count != plan->unit_count || previous->device_count != plan->device_count)
        return pt_fail(PARTITA_INTERNAL, "the plan to replace is of another model or set of devices");
    for (size_t i = 0; i < count; i++) {
        plan->answers[i] = previous->answers[i];
        if (previous->answers[i].text != last) { /* neighbours often have the text of an equal unit */
            last = previous->answers[i].text;
            copy = pt_arena_str(&plan->arena, pt_str(last)).data;
            if (!copy) return PT_OUT_OF_MEMORY();
        }
        plan->answers[i].text = copy;
    }
    return PARTITA_OK;
}

static partita_status prepare(const pt_plan *plan, asking *a) {
    uint32_t units = plan->unit_count;
    partita_status status;
    pt_block_unit *table = pt_calloc(units + 1, sizeof(*table));
    a->node_rows = pt_calloc(plan->model->nodes.size + 1, sizeof(*a->node_rows));
    a->same = pt_calloc(units + 1, sizeof(*a->same));
    a->units = pt_calloc(units + 1, sizeof(*a->units));
    if (!table || !a->node_rows || !a->same || !a->units) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint32_t i = 0; i < units; i++) {
        const pt_plan_unit *unit = &plan->units[i];
        table[i] = (pt_block_unit){unit->kind, unit->graph, unit->nodes, unit->node_count, unit->parent};
    }
    PT_CHECK(pt_plan_find_equals(plan, a->same));
    for (uint32_t i = 0; i < units; i++)
        if (a->same[i] == i) a->units[a->count++] = i;
    a->answers = pt_calloc(a->count + 1, sizeof(*a->answers));
    if (!a->answers) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    PT_CHECK(pt_block_create_model(plan->model, plan->symbol_values, table, units, &a->block));
    for (uint32_t i = 0; i < a->block->data->nodes.count; i++) a->node_rows[a->block->nodes[i]] = i;
out:
    pt_free(table);
    return status;
}

partita_status pt_plan_ask(pt_plan *plan, const pt_plan_request *request) {
    partita_status status;
    asking a = {0};
    plan->answers =
        pt_arena_array(&plan->arena, (size_t)plan->unit_count * plan->device_count + 1, sizeof(pt_plan_answer));
    if (!plan->answers) return PT_OUT_OF_MEMORY();
    if (request->previous && !request->expanded) return take_previous(plan, request->previous);
    PT_CHECK(prepare(plan, &a));
    for (uint32_t i = 0; i < plan->device_count; i++) PT_CHECK(ask_device(plan, i, &a));
out:
    pt_block_destroy(a.block);
    pt_free(a.answers);
    pt_free(a.units);
    pt_free(a.same);
    pt_free(a.node_rows);
    return status;
}
