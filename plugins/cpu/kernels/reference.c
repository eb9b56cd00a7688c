/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading of a reference kernel's inputs as doubles, storing of its outputs.
 */
#include "cpu/kernels/reference.h"

static uint64_t room_of(const cpu_tensor *tensor) {
    return tensor->kind == PARTITA_KIND_TENSOR ? tensor->count * sizeof(double) : 0;
}

uint64_t cpu_doubles_scratch(const cpu_call *call) {
    uint64_t bytes = sizeof(double);
    for (uint32_t i = 0; i < call->in_count && i < CPU_DOUBLES_IN; i++) bytes += room_of(&call->in[i]);
    for (uint32_t i = 0; i < call->out_count && i < CPU_DOUBLES_OUT; i++) bytes += room_of(&call->out[i]);
    return bytes;
}

void cpu_doubles_load(const cpu_call *call, cpu_doubles *doubles) {
    double *next = call->scratch;
    memset(doubles, 0, sizeof(*doubles));
    for (uint32_t i = 0; i < call->in_count && i < CPU_DOUBLES_IN; i++) {
        const cpu_tensor *tensor = &call->in[i];
        if (tensor->kind != PARTITA_KIND_TENSOR) continue;
        cpu_load_doubles(tensor->dtype, tensor->data, 0, tensor->count, next);
        doubles->in[i] = next;
        next += tensor->count;
    }
    for (uint32_t i = 0; i < call->out_count && i < CPU_DOUBLES_OUT; i++) {
        if (call->out[i].kind != PARTITA_KIND_TENSOR) continue;
        doubles->out[i] = next;
        next += call->out[i].count;
    }
}

void cpu_doubles_store(const cpu_call *call, const cpu_doubles *doubles) {
    for (uint32_t i = 0; i < call->out_count && i < CPU_DOUBLES_OUT; i++) {
        const cpu_tensor *tensor = &call->out[i];
        if (doubles->out[i] != NULL) cpu_store_doubles(tensor->dtype, tensor->data, 0, tensor->count, doubles->out[i]);
    }
}

void cpu_integers_load(const cpu_call *call, cpu_integers *integers) {
    uint64_t *next = call->scratch;
    memset(integers, 0, sizeof(*integers));
    for (uint32_t i = 0; i < call->in_count && i < CPU_DOUBLES_IN; i++) {
        const cpu_tensor *tensor = &call->in[i];
        if (tensor->kind != PARTITA_KIND_TENSOR) continue;
        cpu_load_int64s(tensor->dtype, tensor->data, 0, tensor->count, (int64_t *)next);
        integers->in[i] = next;
        next += tensor->count;
    }
    integers->out = next;
}

void cpu_integers_store(const cpu_call *call, const cpu_integers *integers) {
    const cpu_tensor *out = &call->out[0];
    cpu_store_int64s(out->dtype, out->data, 0, out->count, (const int64_t *)integers->out);
}

partita_status cpu_doubles_run(const cpu_call *call, cpu_doubles_fn body) {
    cpu_doubles doubles;
    cpu_doubles_load(call, &doubles);
    partita_status status = body(call, &doubles);
    if (status == PARTITA_OK) cpu_doubles_store(call, &doubles);
    return status;
}
