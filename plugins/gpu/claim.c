/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claiming: the table's columns, then the row's own check. A node is taken only when every attribute, input and output
 * that it has is one that the row implements; each refusal says what and how much.
 */
#include "gpu/gpu.h"
#include <stdarg.h>
#include <stdio.h>

bool gpu_refuse(gpu_check *check, uint32_t reason, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(check->text, sizeof(check->text), format, list);
    va_end(list);
    check->reason = reason;
    return false;
}

bool gpu_need_constant(gpu_check *check, uint32_t input, const char *what) {
    const gpu_operand *operand = gpu_input(check->node, input);
    if (!operand || operand->data) return true;
    return gpu_refuse(check, PARTITA_REASON_NOT_CONSTANT, "input %u (%s) must be a small constant", input, what);
}

bool gpu_need_same_dtype(gpu_check *check) {
    const gpu_node *node = check->node;
    for (uint32_t i = 1; i < node->input_count; i++) {
        const gpu_operand *a = gpu_input(node, 0), *b = gpu_input(node, i);
        if (a && b && a->dtype != b->dtype) {
            return gpu_refuse(check, PARTITA_REASON_DTYPE, "inputs are %s and %s", gpu_dtype_name(a->dtype),
                              gpu_dtype_name(b->dtype));
        }
    }
    return true;
}

static bool check_operand(gpu_check *check, const gpu_operand *operand, const char *what, uint32_t i, bool on_device) {
    if (operand->kind != PARTITA_KIND_TENSOR) {
        return gpu_refuse(check, PARTITA_REASON_KIND, "%s %u is no dense tensor", what, i);
    }
    if (operand->rank < 0) return gpu_refuse(check, PARTITA_REASON_RANK, "%s %u has no known rank", what, i);
    if (operand->rank > GPU_MAX_RANK) {
        return gpu_refuse(check, PARTITA_REASON_RANK, "%s %u has rank %d, at most %d", what, i, operand->rank,
                          GPU_MAX_RANK);
    }
    if (operand->flags & PTP_VALUE_DATA_SHAPED) {
        return gpu_refuse(check, PARTITA_REASON_DYNAMIC, "the shape of %s %u depends on data", what, i);
    }
    const gpu_type *type = gpu_type_of(operand->dtype);
    if (!type) {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "%s %u is %s", what, i, gpu_dtype_name(operand->dtype));
    }
    if (!on_device) return true;
    uint32_t narrow = type->bytes == 1 ? GPU_HAS_INT8 : type->bytes == 2 ? GPU_HAS_INT16 : 0;
    if ((check->device->caps.features & narrow) != narrow) {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "%s %u is %s: the device has no buffers of %d-bit elements",
                          what, i, gpu_dtype_name(operand->dtype), type->bytes * 8);
    }
    char name[32];
    int size = snprintf(name, sizeof(name), "%s %u", what, i);
    return gpu_check_size(check, operand, name, size);
}

static bool name_in_list(partita_str name, const char *list) {
    while (*list) {
        const char *end = strchr(list, ',');
        size_t size = end ? (size_t)(end - list) : strlen(list);
        if (size == name.size && memcmp(list, name.data, size) == 0) return true;
        list += size + (end ? 1 : 0);
    }
    return false;
}

static bool check_attributes(gpu_check *check) {
    const gpu_node *node = check->node;
    for (uint32_t i = 0; i < node->row.attributes.count; i++) {
        ptp_attribute_row row = ptp_attribute_at(node->block, node->row.attributes.offset + i);
        partita_str name = ptp_ref_str(node->block, row.name);
        if (!name_in_list(name, check->op->attributes)) {
            return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "attribute %.*s of %.*s is not implemented",
                              (int)name.size, name.data, (int)node->op.size, node->op.data);
        }
    }
    return true;
}

static bool check_class(gpu_check *check) {
    const gpu_node *node = check->node;
    const gpu_operand *operand =
        gpu_input(node, 0) && (check->op->host_inputs & 1u) == 0 ? gpu_input(node, 0) : gpu_output(node, 0);
    if (!operand) return gpu_refuse(check, PARTITA_REASON_SHAPE, "no first input or output");
    const gpu_type *type = gpu_type_of(operand->dtype);
    if (!type) return gpu_refuse(check, PARTITA_REASON_DTYPE, "%s", gpu_dtype_name(operand->dtype));
    if (strchr(check->op->classes, 'M')) return true; /* bits are moved: any type */
    if (!strchr(check->op->classes, type->letter)) {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "%s; this kernel takes %s", gpu_dtype_name(operand->dtype),
                          strcmp(check->op->classes, "F") == 0 ? "float32 only" : "other types");
    }
    if ((type->needs & check->device->caps.features) != type->needs) {
        return gpu_refuse(check, PARTITA_REASON_DTYPE, "%s: the device has no such arithmetic",
                          gpu_dtype_name(operand->dtype));
    }
    return true;
}

static bool check_row(gpu_check *check) {
    const gpu_node *node = check->node;
    const gpu_op *op = check->op;
    if (node->row.bodies.count > 0) {
        return gpu_refuse(check, PARTITA_REASON_CONTROL_FLOW, "%u nested graphs", node->row.bodies.count);
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        const gpu_operand *operand = gpu_input(node, i);
        if (!operand) continue;
        if (i >= op->max_inputs) {
            return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "input %u is given, at most %u are implemented", i,
                              op->max_inputs);
        }
        bool on_device = i >= 32 || (op->host_inputs >> i & 1u) == 0;
        if (!check_operand(check, operand, "input", i, on_device)) return false;
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        const gpu_operand *operand = gpu_output(node, i);
        if (!operand) continue;
        if (i >= op->max_outputs) {
            return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "output %u is asked for, at most %u are implemented", i,
                              op->max_outputs);
        }
        if (!check_operand(check, operand, "output", i, true)) return false;
    }
    return check_class(check) && check_attributes(check) && (!op->check || op->check(check));
}

const gpu_op *gpu_claim(gpu_check *check, const gpu_device *device, const gpu_node *node) {
    partita_str domain = ptp_ref_str(node->block, node->row.domain);
    memset(check, 0, sizeof(*check));
    check->device = device;
    check->node = node;
    bool named = false, tried = false;
    int32_t low = INT32_MAX, high = 0;
    for (uint32_t f = 0; f < gpu_op_family_count && domain.size == 0; f++) {
        for (const gpu_op *op = gpu_op_families[f]; op->op; op++) {
            if (op->op[0] != node->op.data[0] || !ptp_str_is(node->op, op->op)) continue;
            named = true;
            low = op->since_min < low ? op->since_min : low;
            high = op->since_max > high ? op->since_max : high;
            if (node->row.since < op->since_min || node->row.since > op->since_max) continue;
            tried = true;
            check->op = op;
            check->reason = PARTITA_REASON_NONE;
            if (check_row(check)) return op;
            /* another row may take other types; any other refusal is final */
            if (check->reason != PARTITA_REASON_DTYPE) return NULL;
        }
    }
    if (tried) return NULL;
    if (named) {
        gpu_refuse(check, PARTITA_REASON_OPSET, "%.*s-%d; kernels are for versions %d to %d", (int)node->op.size,
                   node->op.data, node->row.since, low, high);
    } else if (node->row.bodies.count > 0) {
        gpu_refuse(check, PARTITA_REASON_CONTROL_FLOW, "%.*s runs nested graphs", (int)node->op.size, node->op.data);
    } else {
        gpu_refuse(check, PARTITA_REASON_OP, "no kernel for %.*s%s%.*s", (int)domain.size, domain.data,
                   domain.size ? "." : "", (int)node->op.size, node->op.data);
    }
    return NULL;
}

static void answer_no(ptp_answer *answer, uint32_t reason, const char *text) {
    answer->can = PTP_NO;
    answer->reason = reason;
    snprintf(answer->text, sizeof(answer->text), "%s", text);
}

static partita_status answer_unit(gpu_device *device, const ptp_ask *ask, uint32_t unit, gpu_node *node,
                                  ptp_answer *answer) {
    const ptp_block *block = ask->block;
    ptp_unit_row row = ptp_unit_at(block, unit);
    const uint32_t *nodes = ptp_ref_data(block, row.nodes);
    answer->can = PTP_YES;
    answer->reason = PARTITA_REASON_NONE;
    answer->us = 0;
    answer->weight_bytes = 0;
    answer->scratch_bytes = 0;
    answer->text[0] = 0;
    if (row.kind == PTP_UNIT_CONTROL_FLOW) {
        answer_no(answer, PARTITA_REASON_CONTROL_FLOW, "the device runs no nested graphs");
        return PARTITA_OK;
    }
    for (uint32_t i = 0; i < row.nodes.count; i++) {
        gpu_check check;
        partita_status status = gpu_node_read(node, device->host, block, nodes[i], GPU_DIMS_DECLARED, NULL, NULL);
        if (status != PARTITA_OK) return status;
        const gpu_op *op = gpu_claim(&check, device, node);
        if (!op) {
            answer_no(answer, check.reason, check.text);
            return PARTITA_OK;
        }
        for (uint32_t k = 0; k < node->input_count; k++) {
            const gpu_operand *operand = gpu_input(node, k);
            bool read = k >= 32 || (op->host_inputs >> k & 1u) == 0;
            if (operand && read && (operand->flags & PTP_VALUE_CONSTANT)) answer->weight_bytes += gpu_bytes(operand);
        }
        status = gpu_node_read(node, device->host, block, nodes[i], GPU_DIMS_NOMINAL, NULL, NULL);
        if (status != PARTITA_OK) return status;
        uint64_t scratch = 0;
        if (!gpu_check_plan(&check, op, node, &scratch)) {
            answer_no(answer, check.reason, check.text);
            return PARTITA_OK;
        }
        if (scratch > answer->scratch_bytes) answer->scratch_bytes = scratch;
        double us = gpu_cost(device, op, node);
        answer->us = us < 0 || answer->us < 0 ? -1 : answer->us + us;
    }
    return PARTITA_OK;
}

partita_status gpu_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers) {
    gpu_device *gpu = (gpu_device *)device;
    gpu_node node = {0};
    partita_status status = PARTITA_OK;
    for (uint32_t i = 0; i < ask->count && status == PARTITA_OK; i++) {
        /* the host's struct may be larger than ours */
        ptp_answer *answer = (ptp_answer *)((char *)answers + (size_t)i * answers[0].size);
        status = answer_unit(gpu, ask, ask->units[i], &node, answer);
    }
    gpu_node_deinit(&node, gpu->host);
    return status;
}
