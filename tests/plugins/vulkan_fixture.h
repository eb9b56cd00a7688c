/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the Vulkan plugin share: the plugin through the ABI alone, under the validation layer, which must
 * have nothing to say; buffers and copies; a part that computes.
 */
#ifndef TESTS_VULKAN_FIXTURE_H
#define TESTS_VULKAN_FIXTURE_H

#include "plugins/block_build.h"
#include "plugins/opencl/fake_host.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>
#include "skip.h"

static fake_host fake;
static bool layered; /* the validation layer is there */

#define OK_MESSAGE fake.message
#include "ok.h"

static const ptp_option validated[] = {{"validation", "1"}};
static const ptp_option staged[] = {{"validation", "1"}, {"staged", "1"}, {"push_descriptors", "0"}};

/* Opens device 0; without the layer the options that need it are left out. */
static inline ptp_device *open_with(const ptp_option *options, uint32_t count) {
    ptp_device *device = NULL;
    if (!layered) {
        options++;
        count--;
    }
    OK(fake.info->plugin->open(fake.plugin, 0, options, count, &device));
    return device;
}
#define OPEN(options) open_with(options, sizeof(options) / sizeof(options[0]))

static inline void shut(ptp_device *device) {
    fake.info->plugin->close(device);
    assert_int_equal(fake.errors, 0);
}

static inline void need_device(void) {
    if (!fake.plugin) SKIP_BECAUSE("driver:vulkan", "%s", fake.message);
}

static inline ptp_buffer *buffer_of(ptp_device *device, uint64_t bytes) {
    ptp_buffer *buffer = NULL;
    OK(fake.info->memory->alloc(device, 0, bytes, &buffer));
    return buffer;
}

static inline partita_status copy_batch(ptp_device *device, ptp_copy *copies, uint32_t count) {
    ptp_timeline timeline;
    fake_timeline_init(&timeline);
    for (uint32_t i = 0; i < count; i++) copies[i].size = sizeof(copies[i]);
    partita_status status = fake.info->memory->copy(device, copies, count, (ptp_point){&timeline, 1});
    return status == PARTITA_OK ? fake_wait(&fake, &timeline, 1, 0) : status;
}

static inline void upload(ptp_device *device, ptp_buffer *buffer, uint64_t offset, const void *data, uint64_t bytes) {
    ptp_copy copy = {.source_data = data, .target = buffer, .target_offset = offset, .bytes = bytes};
    OK(copy_batch(device, &copy, 1));
}

static inline void download(ptp_device *device, ptp_buffer *buffer, uint64_t offset, void *data, uint64_t bytes) {
    ptp_copy copy = {.source = buffer, .source_offset = offset, .target_data = data, .bytes = bytes};
    OK(copy_batch(device, &copy, 1));
}

static inline uint8_t *pattern(uint64_t bytes, uint32_t seed) {
    uint8_t *data = malloc(bytes);
    for (uint64_t i = 0; i < bytes; i++) data[i] = (uint8_t)((i * 2654435761u + seed) >> 13);
    return data;
}

/* ---- a part: y = Relu(x * c + x), n floats ---- */

typedef struct part {
    block_build build;
    ptp_executable *executable;
    ptp_instance *instance;
    ptp_resize resize;
    ptp_shape shapes[16];
} part;

static const float factor = 2.0f;

static inline void part_build(part *p, int64_t n) {
    memset(p, 0, sizeof(*p));
    bb_init(&p->build);
    uint32_t x = bb_input(&p->build, "x", PARTITA_FLOAT32, 1, &n);
    uint32_t c = bb_constant(&p->build, "c", PARTITA_FLOAT32, 0, NULL, &factor);
    uint32_t m = bb_value(&p->build, "m", PARTITA_FLOAT32, 1, &n), s = bb_value(&p->build, "s", PARTITA_FLOAT32, 1, &n);
    uint32_t y = bb_output(&p->build, bb_value(&p->build, "y", PARTITA_FLOAT32, 1, &n));
    bb_node(&p->build, "Mul", 14, (uint32_t[]){x, c}, 2, &m, 1);
    bb_node(&p->build, "Add", 14, (uint32_t[]){m, x}, 2, &s, 1);
    bb_node(&p->build, "Relu", 14, &s, 1, &y, 1);
    bb_finish(&p->build);
    for (uint32_t v = 0; v < p->build.value_count; v++) {
        p->shapes[v] =
            (ptp_shape){.rank = p->build.values[v].rank, .dims = ptp_ref_data(p->build.block, p->build.values[v].dims)};
    }
}

static inline partita_status part_compile(part *p, ptp_device *device) {
    ptp_compile compile = {.size = sizeof(compile),
                           .block = p->build.block,
                           .weights = p->build.weights,
                           .weight_count = p->build.weight_count};
    p->resize = (ptp_resize){.size = sizeof(p->resize), .shape_count = p->build.value_count, .shapes = p->shapes};
    partita_status status = fake.info->device->compile(device, &compile, &p->executable);
    return status == PARTITA_OK ? fake.info->executable->resize(p->executable, &p->resize, &p->instance) : status;
}

static inline void part_drop(part *p) {
    if (p->instance) fake.info->executable->release(p->executable, p->instance);
    fake.info->executable->destroy(p->executable);
    bb_free(&p->build);
}

static inline partita_status part_run(part *p, ptp_buffer *x, uint64_t x_offset, ptp_buffer *y, uint64_t y_offset,
                                      ptp_buffer *scratch, int64_t n, ptp_point done) {
    uint64_t bytes = (uint64_t)n * sizeof(float);
    ptp_tensor in = {.size = sizeof(in),
                     .kind = PARTITA_KIND_TENSOR,
                     .dtype = PARTITA_FLOAT32,
                     .rank = 1,
                     .dims = &n,
                     .buffer = x,
                     .offset = x_offset,
                     .bytes = bytes};
    ptp_tensor out = in;
    out.buffer = y;
    out.offset = y_offset;
    ptp_exec exec = {.size = sizeof(exec),
                     .input_count = 1,
                     .inputs = &in,
                     .outputs = &out,
                     .output_count = 1,
                     .done = done,
                     .scratch = scratch,
                     .scratch_bytes = p->resize.scratch_bytes};
    return fake.info->executable->exec(p->executable, p->instance, &exec);
}

static inline int start(void **state) {
    (void)state;
    fake_host_init(&fake);
    partita_status status = fake_host_start(&fake, "vulkan");
    if (status != PARTITA_OK && status != PARTITA_DEVICE_ABSENT) {
        print_error("vulkan: %s\n", fake.message);
        return 1;
    }
    if (status == PARTITA_DEVICE_ABSENT) return 0;
    ptp_device *device = NULL;
    layered = fake.info->plugin->open(fake.plugin, 0, validated, 1, &device) == PARTITA_OK;
    if (!layered) print_message("without the validation layer: %s\n", fake.message);
    fake.info->plugin->close(device);
    return 0;
}

static inline int stop(void **state) {
    (void)state;
    return fake.plugin && (fake.info->plugin->stop(fake.plugin) != PARTITA_OK || fake.live != 0);
}

#endif
