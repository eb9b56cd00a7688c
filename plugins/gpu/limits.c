/* SPDX-License-Identifier: Apache-2.0 */
/* What is too large for the device or for 32-bit indices, said with the number and the limit: at ask, and of other
 * shapes at resize. */
#include "gpu/executable.h"
#include <stdarg.h>
#include <stdio.h>

int64_t gpu_times(int64_t a, int64_t b) { return a > 0 && b > INT64_MAX / a ? INT64_MAX : a * b; }

/* The largest range that a kernel can see at once. */
static uint64_t range_limit(const gpu_caps *caps) {
    uint64_t limit = caps->max_binding ? caps->max_binding : UINT64_MAX;
    return caps->max_buffer && caps->max_buffer < limit ? caps->max_buffer : limit;
}

bool gpu_check_size(gpu_check *check, const gpu_operand *operand, const char *what, int size) {
    int64_t n = gpu_elements(operand);
    uint64_t bytes = gpu_bytes(operand), limit = range_limit(&check->device->caps);
    if (n > GPU_MAX_ELEMENTS) {
        return gpu_refuse(check, PARTITA_REASON_LIMIT, "%.*s has %lld elements, at most %lld", size, what, (long long)n,
                          (long long)GPU_MAX_ELEMENTS);
    }
    if (bytes <= limit) return true;
    return gpu_refuse(check, PARTITA_REASON_MEMORY, "%.*s has %llu bytes, one buffer at most %llu", size, what,
                      (unsigned long long)bytes, (unsigned long long)limit);
}

partita_status gpu_plan_refuse(gpu_plan *plan, uint32_t reason, const char *format, ...) {
    char text[160];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    if (!plan->check) return gpu_fail(plan->device->host, PARTITA_UNSUPPORTED, "%s", text);
    gpu_refuse(plan->check, reason, "%s", text);
    return PARTITA_UNSUPPORTED;
}

/* Shapes that only give kernels their form are never run. */
static bool is_form(const gpu_plan *plan) { return plan->instance && plan->instance->form == GPU_FORM_RECORD; }

partita_status gpu_plan_need(gpu_plan *plan, int64_t value, int64_t most, const char *what) {
    if (value <= most || is_form(plan)) return PARTITA_OK;
    return gpu_plan_refuse(plan, PARTITA_REASON_LIMIT, "%s %lld, at most %lld", what, (long long)value,
                           (long long)most);
}

partita_status gpu_temp(gpu_plan *plan, int64_t elements, uint32_t element_bytes, gpu_ref *out_ref) {
    uint64_t limit = range_limit(&plan->device->caps);
    int64_t bytes = gpu_times(elements, element_bytes);
    if (!is_form(plan) && elements > GPU_MAX_ELEMENTS) {
        return gpu_plan_refuse(plan, PARTITA_REASON_LIMIT, "a step needs %lld elements at once, at most %lld",
                               (long long)elements, (long long)GPU_MAX_ELEMENTS);
    }
    if (!is_form(plan) && (uint64_t)bytes > limit) {
        return gpu_plan_refuse(plan, PARTITA_REASON_MEMORY, "a step needs %lld bytes at once, one buffer at most %llu",
                               (long long)bytes, (unsigned long long)limit);
    }
    plan->temp_bytes += (uint64_t)bytes;
    *out_ref = (gpu_ref){GPU_REF_TEMP, 0};
    if (!plan->instance) return PARTITA_OK;
    gpu_temp_range *temp = gpu_array_add(&plan->instance->temps, plan->device->host, 1, sizeof(*temp));
    if (!temp) return PARTITA_OUT_OF_MEMORY;
    *temp = (gpu_temp_range){.bytes = bytes ? (uint64_t)bytes : 4};
    out_ref->index = plan->instance->temps.count - 1;
    return PARTITA_OK;
}

partita_status gpu_check_call(gpu_plan *plan, const gpu_call *call) {
    const gpu_caps *caps = &plan->device->caps;
    uint32_t items = call->local[0] * call->local[1] * call->local[2];
    if (call->overflow) {
        return gpu_fail(plan->device->host, PARTITA_INTERNAL, "kernel %s: a param, macro or binding too much",
                        call->kernel);
    }
    if (is_form(plan)) return PARTITA_OK;
    if (call->wide != 0) {
        return gpu_plan_refuse(plan, PARTITA_REASON_LIMIT, "kernel %s: %lld does not fit its 32-bit indices",
                               call->kernel, (long long)call->wide);
    }
    if (caps->max_bindings && call->binding_count > caps->max_bindings) {
        return gpu_plan_refuse(plan, PARTITA_REASON_LIMIT, "kernel %s needs %u buffers, at most %u", call->kernel,
                               call->binding_count, caps->max_bindings);
    }
    if (items > caps->max_group) {
        return gpu_plan_refuse(plan, PARTITA_REASON_LIMIT, "kernel %s needs groups of %u, at most %u", call->kernel,
                               items, caps->max_group);
    }
    for (int d = 0; d < 3; d++) {
        if (caps->max_local[d] && call->local[d] > caps->max_local[d]) {
            return gpu_plan_refuse(plan, PARTITA_REASON_LIMIT, "kernel %s needs groups of %u on axis %d, at most %u",
                                   call->kernel, call->local[d], d, caps->max_local[d]);
        }
        if (caps->max_groups[d] && call->groups[d] > caps->max_groups[d]) {
            return gpu_plan_refuse(plan, PARTITA_REASON_LIMIT, "kernel %s needs %u groups on axis %d, at most %u",
                                   call->kernel, call->groups[d], d, caps->max_groups[d]);
        }
    }
    return PARTITA_OK;
}

bool gpu_check_plan(gpu_check *check, const gpu_op *op, const gpu_node *node, uint64_t *out_scratch) {
    bool empty = true;
    char what[32];
    *out_scratch = 0;
    for (uint32_t i = 0; i < node->input_count + node->output_count; i++) {
        bool input = i < node->input_count;
        const gpu_operand *operand = &node->inputs[i];
        if (operand->row == PARTITA_NONE) continue;
        if (gpu_elements(operand) < 0) return true;
        if (input && i < 32 && (op->host_inputs >> i & 1u)) continue;
        snprintf(what, sizeof(what), "%s %u", input ? "input" : "output", input ? i : i - node->input_count);
        if (!gpu_check_size(check, operand, what, (int)strlen(what))) return false;
        empty = empty && (input || gpu_elements(operand) == 0);
    }
    if (empty || op->flags & GPU_OP_ALIAS) return true;
    gpu_plan plan = {.device = (gpu_device *)check->device, .op = op, .node = node, .check = check};
    if (op->plan(&plan) == PARTITA_OK) {
        *out_scratch = plan.temp_bytes;
        return true;
    }
    return check->reason == PARTITA_REASON_NONE ? gpu_refuse(check, PARTITA_REASON_SHAPE, "the node cannot be planned")
                                                : false;
}
