/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking: one batched call per device over one block of the whole model. A conditional yes is resolved here, so that the
 * rest of the planner knows only yes and no.
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

static partita_status ask_device(pt_plan *plan, uint32_t index, const pt_block *block, const uint32_t *node_rows,
                                 const uint32_t *rows, ptp_answer *answers) {
    pt_device *device = plan->devices[index];
    memset(answers, 0, plan->unit_count * sizeof(*answers));
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        answers[i].size = sizeof(*answers);
        answers[i].us = -1;
    }
    ptp_ask ask = {.size = sizeof(ask),
                   .precision = plan->precision,
                   .block = block->data,
                   .units = rows,
                   .count = plan->unit_count};
    PT_TRY(pt_device_call(device, device->device.ask(device->handle, &ask, answers)));
    for (uint32_t i = 0; i < plan->unit_count; i++) {
        pt_plan_answer *answer = &plan->answers[(size_t)i * plan->device_count + index];
        PT_TRY(store_answer(plan, &plan->units[i], &answers[i], answer));
        if (answer->us < 0) {
            answer->us = roofline_us(&plan->units[i], block->data, node_rows, &device->info);
            answer->source = "roofline";
        }
    }
    return PARTITA_OK;
}

static partita_status take_previous(pt_plan *plan, const pt_plan *previous) {
    size_t count = (size_t)plan->unit_count * plan->device_count;
    if (previous->unit_count != plan->unit_count || previous->device_count != plan->device_count)
        return pt_fail(PARTITA_INTERNAL, "the plan to replace is of another model or set of devices");
    for (size_t i = 0; i < count; i++) {
        plan->answers[i] = previous->answers[i];
        const char *text = previous->answers[i].text;
        plan->answers[i].text = pt_arena_str(&plan->arena, pt_str(text ? text : "")).data;
        if (!plan->answers[i].text) return PT_OUT_OF_MEMORY();
        if (plan->answers[i].demoted) plan->answers[i].can = PTP_NO;
    }
    return PARTITA_OK;
}

partita_status pt_plan_ask(pt_plan *plan, const pt_plan_request *request) {
    size_t units = plan->unit_count;
    partita_status status = PARTITA_OK;
    pt_block *block = NULL;
    uint32_t *node_rows = NULL, *rows = NULL;
    ptp_answer *answers = NULL;
    pt_block_unit *table = NULL;
    plan->answers = pt_arena_array(&plan->arena, units * plan->device_count + 1, sizeof(pt_plan_answer));
    if (!plan->answers) return PT_OUT_OF_MEMORY();
    if (request->previous) return take_previous(plan, request->previous);
    node_rows = pt_calloc(plan->model->nodes.size + 1, sizeof(*node_rows));
    rows = pt_calloc(units + 1, sizeof(*rows));
    answers = pt_calloc(units + 1, sizeof(*answers));
    table = pt_calloc(units + 1, sizeof(*table));
    if (!node_rows || !rows || !answers || !table) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint32_t i = 0; i < units; i++) {
        const pt_plan_unit *unit = &plan->units[i];
        table[i] = (pt_block_unit){unit->kind, unit->graph, unit->nodes, unit->node_count, unit->parent};
        rows[i] = i;
    }
    PT_CHECK(pt_block_create_model(plan->model, plan->symbol_values, table, (uint32_t)units, &block));
    for (uint32_t i = 0; i < block->data->nodes.count; i++) node_rows[block->nodes[i]] = i;
    for (uint32_t i = 0; i < plan->device_count; i++) PT_CHECK(ask_device(plan, i, block, node_rows, rows, answers));
out:
    pt_block_destroy(block);
    pt_free(table);
    pt_free(answers);
    pt_free(rows);
    pt_free(node_rows);
    return status;
}
