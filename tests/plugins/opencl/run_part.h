/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles, sizes and runs a trial on an open device, and compares what comes out. */
#ifndef TESTS_OPENCL_RUN_PART_H
#define TESTS_OPENCL_RUN_PART_H

#include "plugins/opencl/fake_host.h"
#include "plugins/opencl/trial.h"

typedef struct part_run {
    ptp_executable *executable;
    ptp_instance *instance;
    ptp_buffer *scratch;
    uint64_t scratch_bytes;
    ptp_tensor inputs[BB_MAX], outputs[BB_MAX];
    ptp_timeline timeline;
    uint64_t tick;
} part_run;

static inline uint64_t part_bytes(const trial *t, uint32_t id) {
    return t->elements[id] * bb_dtype_bytes(t->block.values[id].dtype);
}

/* Ask first: OK only when every unit is taken; the first refusal's text becomes the message. */
static inline partita_status part_ask(fake_host *fake, ptp_device *device, trial *t) {
    uint32_t units[BB_MAX];
    ptp_answer *answers = calloc(BB_MAX, sizeof(*answers));
    for (uint32_t i = 0; i < t->block.node_count; i++) {
        units[i] = i;
        answers[i].size = sizeof(ptp_answer);
    }
    ptp_ask ask = {.size = sizeof(ask), .block = t->block.block, .units = units, .count = t->block.node_count};
    partita_status status = fake->info->device->ask(device, &ask, answers);
    for (uint32_t i = 0; i < t->block.node_count && status == PARTITA_OK; i++) {
        if (answers[i].can == PTP_YES) continue;
        status = PARTITA_DECLINED;
        snprintf(fake->message, sizeof(fake->message), "node %u: reason %u: %s", i, answers[i].reason, answers[i].text);
    }
    free(answers);
    return status;
}

static inline partita_status part_compile(fake_host *fake, ptp_device *device, trial *t, part_run *run) {
    ptp_shape shapes[BB_MAX];
    memset(run, 0, sizeof(*run));
    fake_timeline_init(&run->timeline);
    ptp_compile compile = {.size = sizeof(compile),
                           .block = t->block.block,
                           .weights = t->block.weights,
                           .weight_count = t->block.weight_count};
    if (compile.weight_count == 0) compile.weights = NULL;
    partita_status status = fake->info->device->compile(device, &compile, &run->executable);
    if (status != PARTITA_OK) return status;
    for (uint32_t i = 0; i < t->block.value_count; i++) {
        shapes[i] =
            (ptp_shape){.rank = t->block.values[i].rank, .dims = ptp_ref_data(t->block.block, t->block.values[i].dims)};
    }
    ptp_resize resize = {.size = sizeof(resize), .shape_count = t->block.value_count, .shapes = shapes};
    status = fake->info->executable->resize(run->executable, &resize, &run->instance);
    if (status == PARTITA_OK && resize.scratch_bytes > 0) {
        status = fake->info->memory->alloc(device, 0, resize.scratch_bytes, &run->scratch);
    }
    run->scratch_bytes = resize.scratch_bytes;
    return status;
}

/* Moves inputs in, runs, moves outputs out into `results` (by output, allocated by the caller). */
static inline partita_status part_exec(fake_host *fake, ptp_device *device, trial *t, part_run *run, void **results) {
    const ptp_memory_vtable *memory = fake->info->memory;
    ptp_copy copies[BB_MAX];
    uint32_t n = 0;
    partita_status status = PARTITA_OK;
    memset(copies, 0, sizeof(copies));
    for (uint32_t i = 0; i < t->block.input_count && status == PARTITA_OK; i++) {
        uint32_t id = t->block.inputs[i];
        run->inputs[i] = (ptp_tensor){.size = sizeof(ptp_tensor), .bytes = part_bytes(t, id)};
        if (!run->inputs[i].buffer) status = memory->alloc(device, 0, part_bytes(t, id), &run->inputs[i].buffer);
        copies[n++] = (ptp_copy){.size = sizeof(ptp_copy),
                                 .source_data = t->data[id],
                                 .target = run->inputs[i].buffer,
                                 .bytes = part_bytes(t, id)};
    }
    for (uint32_t i = 0; i < t->block.output_count && status == PARTITA_OK; i++) {
        run->outputs[i] = (ptp_tensor){.size = sizeof(ptp_tensor), .bytes = part_bytes(t, t->block.outputs[i])};
        status = memory->alloc(device, 0, run->outputs[i].bytes, &run->outputs[i].buffer);
    }
    if (status == PARTITA_OK && n > 0) {
        status = memory->copy(device, copies, n, (ptp_point){&run->timeline, ++run->tick});
    }
    if (status == PARTITA_OK) {
        ptp_exec exec = {.size = sizeof(exec),
                         .input_count = t->block.input_count,
                         .inputs = run->inputs,
                         .outputs = run->outputs,
                         .output_count = t->block.output_count,
                         .done = {&run->timeline, ++run->tick},
                         .scratch = run->scratch,
                         .scratch_bytes = run->scratch_bytes};
        status = fake->info->executable->exec(run->executable, run->instance, &exec);
    }
    if (status == PARTITA_OK) status = fake_wait(fake, &run->timeline, run->tick, 0);
    memset(copies, 0, sizeof(copies));
    for (uint32_t i = 0; i < t->block.output_count; i++) {
        copies[i] = (ptp_copy){.size = sizeof(ptp_copy),
                               .source = run->outputs[i].buffer,
                               .target_data = results[i],
                               .bytes = run->outputs[i].bytes};
    }
    if (status == PARTITA_OK) {
        status = memory->copy(device, copies, t->block.output_count, (ptp_point){&run->timeline, ++run->tick});
    }
    if (status == PARTITA_OK) status = fake_wait(fake, &run->timeline, run->tick, 0);
    return status;
}

static inline void part_free(fake_host *fake, ptp_device *device, trial *t, part_run *run) {
    const ptp_memory_vtable *memory = fake->info->memory;
    for (uint32_t i = 0; i < t->block.input_count; i++) memory->free(device, run->inputs[i].buffer);
    for (uint32_t i = 0; i < t->block.output_count; i++) memory->free(device, run->outputs[i].buffer);
    memory->free(device, run->scratch);
    if (run->executable) {
        fake->info->executable->release(run->executable, run->instance);
        fake->info->executable->destroy(run->executable);
    }
}

/* |a - b| <= 1e-3 |b| + 1e-4 max|b|, NaN where NaN; integers equal. Returns the first element that differs, or -1. */
static inline int64_t part_difference(const trial *t, uint32_t id, const void *got) {
    partita_dtype dtype = t->block.values[id].dtype;
    uint64_t n = t->elements[id];
    if (dtype != PARTITA_FLOAT32) {
        uint32_t bytes = bb_dtype_bytes(dtype);
        for (uint64_t i = 0; i < n; i++) {
            if (memcmp((const char *)got + i * bytes, (const char *)t->data[id] + i * bytes, bytes) != 0)
                return (int64_t)i;
        }
        return -1;
    }
    const float *a = got, *b = t->data[id];
    float most = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (isfinite(b[i]) && fabsf(b[i]) > most) most = fabsf(b[i]);
    }
    for (uint64_t i = 0; i < n; i++) {
        bool same = isnan(b[i])       ? isnan(a[i]) != 0
                    : !isfinite(b[i]) ? a[i] == b[i]
                                      : fabsf(a[i] - b[i]) <= 1e-3f * fabsf(b[i]) + 1e-4f * most;
        if (!same) return (int64_t)i;
    }
    return -1;
}

#endif
