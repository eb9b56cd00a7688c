/* SPDX-License-Identifier: Apache-2.0 */
/* A run: the launches of an instance with this run's buffers, handed to the API as one batch. */
#include "gpu/executable.h"

static partita_status binding_fill(const ptp_executable *executable, const gpu_place *place, const ptp_exec *exec,
                                   gpu_binding *out) {
    const ptp_host *host = executable->device->host;
    const ptp_tensor *tensor = NULL;
    out->bytes = place->bytes;
    switch (place->home) {
    case GPU_HOME_SCRATCH:
        out->buffer = exec->scratch;
        out->offset = exec->scratch_offset + place->offset;
        break;
    case GPU_HOME_WEIGHT:
        out->buffer = executable->values[place->index].weight.buffer;
        out->offset = executable->values[place->index].weight.offset;
        break;
    default:
        /* the host's struct may be larger than ours */
        tensor = place->home == GPU_HOME_INPUT
                     ? (const ptp_tensor *)((const char *)exec->inputs + (size_t)place->index * exec->inputs[0].size)
                     : (const ptp_tensor *)((const char *)exec->outputs + (size_t)place->index * exec->outputs[0].size);
        out->buffer = tensor->buffer;
        out->offset = tensor->offset;
        if (tensor->bytes < place->bytes && tensor->bytes > 0) out->bytes = tensor->bytes;
        break;
    }
    if (!out->buffer) {
        return gpu_fail(host, PARTITA_INVALID_ARGUMENT, "%s %u is in no buffer of this device",
                        place->home == GPU_HOME_INPUT    ? "input"
                        : place->home == GPU_HOME_OUTPUT ? "output"
                                                         : "scratch",
                        place->index);
    }
    if (out->offset % executable->device->caps.alignment != 0) {
        return gpu_fail(host, PARTITA_INVALID_ARGUMENT, "offset %llu is no multiple of %u",
                        (unsigned long long)out->offset, executable->device->caps.alignment);
    }
    return PARTITA_OK;
}

partita_status gpu_exec(ptp_executable *executable, ptp_instance *opaque, const ptp_exec *exec) {
    struct gpu_instance *instance = (struct gpu_instance *)opaque;
    const gpu_planned *launches = instance->launches.data;
    for (uint32_t i = 0; i < instance->refs.count; i++) {
        partita_status status = binding_fill(executable, &instance->places[i], exec, &instance->bound[i]);
        if (status != PARTITA_OK) return status;
    }
    for (uint32_t i = 0; i < instance->launches.count; i++) {
        const gpu_planned *from = &launches[i];
        instance->ready[i] = (gpu_launch){.program = from->program,
                                          .name = from->name,
                                          .bindings = instance->bound + from->first_binding,
                                          .binding_count = from->binding_count,
                                          .param_count = from->param_count,
                                          .params = (const uint32_t *)instance->params.data + from->first_param,
                                          .groups = {from->groups[0], from->groups[1], from->groups[2]}};
    }
    gpu_batch batch = {.launches = instance->ready,
                       .count = instance->launches.count,
                       .done = exec->done,
                       .run = exec->run,
                       .record = &instance->record};
    return executable->device->backend->submit(executable->device, &batch);
}
