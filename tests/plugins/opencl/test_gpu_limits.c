/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of a device, by the shared GPU part over a device that runs nothing: each is a no at ask, or an error at
 * resize, with the number that is too large and what there is.
 */
#include "gpu/backend.h"
#include "plugins/opencl/run_part.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct ptp_buffer {
    gpu_buffer gpu;
};
struct gpu_program {
    int unused;
};
struct ptp_device {
    gpu_device gpu;
};

static partita_status buffer_alloc(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer) {
    *out_buffer = device->host->alloc(device->host->self, sizeof(**out_buffer), 16);
    if (*out_buffer) **out_buffer = (ptp_buffer){.gpu.bytes = bytes};
    return *out_buffer ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
}
static void buffer_free(gpu_device *device, ptp_buffer *buffer) { device->host->free(device->host->self, buffer); }
static partita_status buffer_upload(gpu_device *device, ptp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes) {
    (void)device, (void)buffer, (void)offset, (void)data, (void)bytes;
    return PARTITA_OK;
}
static partita_status program_create(gpu_device *device, const gpu_source *source, gpu_program **out_program) {
    (void)source;
    *out_program = device->host->alloc(device->host->self, sizeof(**out_program), 16);
    return *out_program ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
}
static void program_destroy(gpu_device *device, gpu_program *program) {
    device->host->free(device->host->self, program);
}
static const gpu_backend_vtable backend = {.name = "none",
                                           .head = "",
                                           .prelude = "prelude/opencl",
                                           .buffer_alloc = buffer_alloc,
                                           .buffer_free = buffer_free,
                                           .buffer_upload = buffer_upload,
                                           .program_create = program_create,
                                           .program_destroy = program_destroy};

static const gpu_caps wide = {.features = GPU_HAS_INT64 | GPU_HAS_INT8 | GPU_HAS_INT16,
                              .alignment = 64,
                              .max_group = 256,
                              .max_groups = {65535, 65535, 65535},
                              .shared_bytes = 32768,
                              .vector_width = 4};

static void device_init(ptp_device *device, fake_host *fake, const gpu_caps *caps) {
    fake_host_init(fake);
    memset(device, 0, sizeof(*device));
    device->gpu = (gpu_device){.backend = &backend, .host = &fake->host, .caps = *caps};
    assert_int_equal(gpu_device_init(&device->gpu), PARTITA_OK);
}

static void device_deinit(ptp_device *device, fake_host *fake) {
    gpu_device_deinit(&device->gpu);
    assert_int_equal(fake->live, 0);
}

/* ---- at ask ----------------------------------------------------------------------------------------------------- */

/* Values without bytes: what they would hold fits no memory. */
static uint32_t value_in(trial *t, dims8 d) { return bb_input(&t->block, "in", PARTITA_FLOAT32, d.rank, d.dims); }
static uint32_t value_out(trial *t, dims8 d) {
    return bb_output(&t->block, bb_value(&t->block, "out", PARTITA_FLOAT32, d.rank, d.dims));
}
static void relu(trial *t, dims8 d) {
    uint32_t x = value_in(t, d);
    trial_node(t, "Relu", 14, x, NONE, NONE, value_out(t, d));
}
static void relu_small(trial *t) { relu(t, DIMS(3, 100)); }
static void relu_many(trial *t) { relu(t, DIMS(65536, 32768)); }
static void relu_beyond(trial *t) { relu(t, DIMS(INT64_C(1) << 40, INT64_C(1) << 40)); }
static void lstm(trial *t, int64_t steps, int64_t units) {
    uint32_t in[3] = {value_in(t, DIMS(steps, 1, 2)), value_in(t, DIMS(1, 4 * units, 2)),
                      value_in(t, DIMS(1, 4 * units, units))};
    uint32_t out[2] = {NONE, value_out(t, DIMS(1, 1, units))};
    bb_node(&t->block, "LSTM", 14, in, 3, out, 2);
    bb_int(&t->block, "hidden_size", units);
}
static void lstm_short(trial *t) { lstm(t, 2, 4); }
static void lstm_long(trial *t) { lstm(t, 1000, 8); }
static void pool(trial *t, const char *attribute, int64_t value) {
    uint32_t x = value_in(t, DIMS(1, 1, 8));
    trial_node(t, "MaxPool", 12, x, NONE, NONE, value_out(t, DIMS(1, 1, 1)));
    bb_ints(&t->block, "kernel_shape", (int64_t[]){1}, 1);
    bb_ints(&t->block, attribute, (int64_t[]){value, 0}, strcmp(attribute, "pads") == 0 ? 2 : 1);
}
static void pool_stride(trial *t) { pool(t, "strides", INT64_C(1) << 33); }
static void pool_padding(trial *t) { pool(t, "pads", INT64_C(1) << 31); }
static void pool_dilation(trial *t) { pool(t, "dilations", INT64_C(1) << 62); }
static void pad_off(trial *t) {
    uint32_t x = value_in(t, DIMS(8)), pads = trial_ints(t, 2, (int64_t[]){INT64_MIN, INT64_MAX});
    trial_node(t, "Pad", 13, x, pads, NONE, value_out(t, DIMS(8)));
}
static void pad_on(trial *t) {
    uint32_t x = value_in(t, DIMS(8)), pads = trial_ints(t, 2, (int64_t[]){INT64_C(1) << 31, -(INT64_C(1) << 31)});
    trial_node(t, "Pad", 13, x, pads, NONE, value_out(t, DIMS(8)));
}
static void resize_wide(trial *t) {
    static const float scales[3] = {1, 1, 1};
    uint32_t in[3] = {value_in(t, DIMS(1, 1, 20000000)), NONE, trial_constant(t, PARTITA_FLOAT32, DIMS(3), scales)};
    uint32_t y = value_out(t, DIMS(1, 1, 20000001));
    bb_node(&t->block, "Resize", 13, in, 3, &y, 1);
    bb_string(&t->block, "mode", "linear");
}
static void conv_planes(trial *t) {
    uint32_t x = value_in(t, DIMS(1, 300, 4, 4)), w = value_in(t, DIMS(300, 1, 3, 3));
    trial_node(t, "Conv", 11, x, w, NONE, value_out(t, DIMS(1, 300, 2, 2)));
    bb_int(&t->block, "group", 300);
}

static const struct ask_case {
    const char *name;
    void (*build)(trial *t);
    gpu_caps change; /* fields other than 0 replace those of `wide` */
    uint32_t reason;
    const char *words;
} ask_cases[] = {
    {"bytes of a binding",
     relu_small,
     {.max_binding = 1024},
     PARTITA_REASON_MEMORY,
     "1200 bytes, one buffer at most 1024"},
    {"bytes of a buffer",
     relu_small,
     {.max_buffer = 1000},
     PARTITA_REASON_MEMORY,
     "1200 bytes, one buffer at most 1000"},
    {"elements", relu_many, {0}, PARTITA_REASON_LIMIT, "2147483648 elements, at most 2147483647"},
    {"elements beyond 64 bits", relu_beyond, {0}, PARTITA_REASON_LIMIT, "at most 2147483647"},
    {"groups", relu_small, {.max_groups = {1, 1, 1}}, PARTITA_REASON_LIMIT, "groups on axis 0, at most 1"},
    {"items of a group", relu_small, {.max_group = 32}, PARTITA_REASON_LIMIT, "groups of 64, at most 32"},
    {"items along an axis", relu_small, {.max_local = {128, 1, 1}}, PARTITA_REASON_LIMIT, "256 on axis 0, at most 128"},
    {"planes",
     conv_planes,
     {.max_groups = {65535, 65535, 64}},
     PARTITA_REASON_LIMIT,
     "300 groups on axis 2, at most 64"},
    {"buffers", lstm_short, {.max_bindings = 4}, PARTITA_REASON_LIMIT, "recurrent needs 8 buffers, at most 4"},
    {"a temporary",
     lstm_long,
     {.max_binding = 65536},
     PARTITA_REASON_MEMORY,
     "128000 bytes at once, one buffer at most 65536"},
    {"a stride", pool_stride, {0}, PARTITA_REASON_LIMIT, "8589934592, at most"},
    {"padding", pool_padding, {0}, PARTITA_REASON_LIMIT, "2147483648, at most"},
    {"a dilation", pool_dilation, {0}, PARTITA_REASON_LIMIT, "4611686018427387904, at most"},
    {"pads below 0", pad_off, {0}, PARTITA_REASON_LIMIT, "9223372036854775807, at most 2147483647"},
    {"pads", pad_on, {0}, PARTITA_REASON_LIMIT, "2147483648, at most 2147483647"},
    {"positions as float", resize_wide, {0}, PARTITA_REASON_LIMIT, "20000001, at most 16777216"},
};

static gpu_caps changed(const gpu_caps *change) {
    gpu_caps caps = wide;
    if (change->max_binding) caps.max_binding = change->max_binding;
    if (change->max_buffer) caps.max_buffer = change->max_buffer;
    if (change->max_group) caps.max_group = change->max_group;
    if (change->max_bindings) caps.max_bindings = change->max_bindings;
    if (change->max_local[0]) memcpy(caps.max_local, change->max_local, sizeof(caps.max_local));
    if (change->max_groups[0]) memcpy(caps.max_groups, change->max_groups, sizeof(caps.max_groups));
    return caps;
}

static void asks(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(ask_cases) / sizeof(ask_cases[0]); i++) {
        const struct ask_case *one = &ask_cases[i];
        fake_host fake;
        ptp_device device;
        uint32_t unit = 0;
        gpu_caps caps = changed(&one->change);
        trial *t = malloc(sizeof(*t));
        trial_init(t);
        one->build(t);
        device_init(&device, &fake, &caps);
        ptp_ask ask = {.size = sizeof(ask), .block = bb_finish(&t->block), .units = &unit, .count = 1};
        ptp_answer answer = {.size = sizeof(answer)};
        assert_int_equal(gpu_ask(&device, &ask, &answer), PARTITA_OK);
        if (answer.can != PTP_NO || answer.reason != one->reason || !strstr(answer.text, one->words)) {
            fail_msg("%s: answer %u, reason %u: '%s'", one->name, answer.can, answer.reason, answer.text);
        }
        device_deinit(&device, &fake);
        trial_free(t);
        free(t);
    }
}

/* ---- at resize -------------------------------------------------------------------------------------------------- */

/* Softmax of Softmax of [n], n open: both results and a temporary of none. */
static void open_part(trial *t, uint32_t nodes) {
    static const int64_t open[1] = {-1};
    const int64_t nominal[1] = {10};
    uint32_t from = bb_value_nominal(&t->block, "x", PARTITA_FLOAT32, 1, open, nominal);
    t->block.values[from].flags |= PTP_VALUE_INPUT;
    t->block.inputs[t->block.input_count++] = from;
    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t to = bb_value_nominal(&t->block, "y", PARTITA_FLOAT32, 1, open, nominal);
        trial_node(t, "Softmax", 13, from, NONE, NONE, to);
        from = to;
    }
    bb_output(&t->block, from);
    bb_finish(&t->block);
}

static void resizes(void **state) {
    (void)state;
    static const struct {
        int64_t n;
        const char *words;
    } cases[] = {{4097, "16388 bytes, one buffer at most 16384"},
                 {INT64_C(1) << 31, "2147483648 elements, at most 2147483647"},
                 {2049, "bytes of scratch, one buffer has at most 16384"}};
    gpu_caps caps = wide;
    fake_host fake;
    ptp_device device;
    ptp_executable *executable = NULL;
    trial *t = malloc(sizeof(*t));
    caps.max_buffer = 16384;
    trial_init(t);
    open_part(t, 4);
    device_init(&device, &fake, &caps);
    ptp_compile compile = {.size = sizeof(compile), .block = t->block.block};
    assert_int_equal(gpu_compile(&device, &compile, &executable), PARTITA_OK);
    for (size_t i = 0; i < 1 + sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t n = i == 0 ? 2000 : cases[i - 1].n;
        ptp_shape shapes[5];
        for (int v = 0; v < 5; v++) shapes[v] = (ptp_shape){.rank = 1, .dims = &n};
        ptp_resize resize = {.size = sizeof(resize), .shape_count = 5, .shapes = shapes};
        ptp_instance *instance = NULL;
        partita_status status = gpu_executable_vtable.resize(executable, &resize, &instance);
        assert_int_equal(status, i == 0 ? PARTITA_OK : PARTITA_UNSUPPORTED);
        if (i > 0 && !strstr(fake.message, cases[i - 1].words)) fail_msg("%lld: %s", (long long)n, fake.message);
        gpu_executable_vtable.release(executable, instance);
    }
    gpu_executable_vtable.destroy(executable);
    device_deinit(&device, &fake);
    trial_free(t);
    free(t);
}

/* What is too large at nominal dims cannot be compiled, whatever else the dims may be. */
static void nominal(void **state) {
    (void)state;
    gpu_caps caps = wide;
    fake_host fake;
    ptp_device device;
    ptp_executable *executable = NULL;
    trial *t = malloc(sizeof(*t));
    caps.max_buffer = 36;
    trial_init(t);
    open_part(t, 1);
    device_init(&device, &fake, &caps);
    ptp_compile compile = {.size = sizeof(compile), .block = t->block.block};
    assert_int_equal(gpu_compile(&device, &compile, &executable), PARTITA_CANNOT_COMPILE);
    assert_non_null(strstr(fake.message, "40 bytes, one buffer at most 36"));
    device_deinit(&device, &fake);
    trial_free(t);
    free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks),
        cmocka_unit_test(resizes),
        cmocka_unit_test(nominal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
