/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenCL device around its operators: options, memory, routes, counters, other shapes, failing allocations,
 * threads. */
#include "plugins/opencl/run_part.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "skip.h"

typedef struct fixture {
    fake_host fake;
    ptp_device *device;
    ptp_timeline timeline;
    uint64_t tick;
} fixture;

static int open_device(void **state) {
    fixture *f = calloc(1, sizeof(*f));
    fake_host_init(&f->fake);
    fake_timeline_init(&f->timeline);
    *state = f;
    partita_status status = fake_host_start(&f->fake, "opencl");
    if (status == PARTITA_DEVICE_ABSENT) return 0;
    if (status != PARTITA_OK) return -1;
    return f->fake.info->plugin->open(f->fake.plugin, 0, NULL, 0, &f->device);
}

static int close_device(void **state) {
    fixture *f = *state;
    if (f->device) {
        f->fake.info->plugin->close(f->device);
        if (f->fake.info->plugin->stop(f->fake.plugin) != PARTITA_OK || f->fake.live != 0) return -1;
    }
    free(f);
    return 0;
}

#define NEED_DEVICE(f)                                                                                                 \
    if (!(f)->device) SKIP_BECAUSE("driver:opencl", "%s", (f)->fake.message)

static void copy_wait(fixture *f, ptp_copy *copies, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) copies[i].size = sizeof(ptp_copy);
    uint64_t tick = ++f->tick;
    assert_int_equal(f->fake.info->memory->copy(f->device, copies, n, (ptp_point){&f->timeline, tick}), PARTITA_OK);
    assert_int_equal(fake_wait(&f->fake, &f->timeline, tick, 0), PARTITA_OK);
}

static ptp_usage usage_of(fixture *f) {
    ptp_usage usage = {.size = sizeof(usage)};
    assert_int_equal(f->fake.info->device->usage(f->device, &usage), PARTITA_OK);
    return usage;
}

static void describes_itself(void **state) {
    fixture *f = *state;
    NEED_DEVICE(f);
    ptp_device_info info = {.size = sizeof(info)}, peeked = {.size = sizeof(peeked)};
    assert_int_equal(f->fake.info->device->info(f->device, &info), PARTITA_OK);
    assert_string_equal(info.kind, "opencl");
    assert_true(info.flags & PTP_DEVICE_ASYNC);
    assert_true(info.flags & PTP_DEVICE_IN_ORDER);
    assert_int_equal(info.domain_count, 1);
    assert_true(info.domains[0].max_buffer > 0 && info.domains[0].alignment >= 64);
    if (info.flags & PTP_DEVICE_EMULATED) assert_string_equal(info.resources[0], "host-cores");
    assert_int_equal(f->fake.info->plugin->peek(f->fake.plugin, 0, &peeked), PARTITA_OK);
    assert_memory_equal(&info, &peeked, sizeof(info));
    ptp_device_info older = {.size = 64}; /* an older host's struct ends there */
    assert_int_equal(f->fake.info->device->info(f->device, &older), PARTITA_OK);
    assert_int_equal(older.size, 64);
    assert_int_equal(older.domain_count, 0);
}

static void checks_options(void **state) {
    fixture *f = *state;
    NEED_DEVICE(f);
    static const struct {
        ptp_option option;
        const char *words;
    } bad[] = {{{"speed", "1"}, "no option 'speed'"},
               {{"units", "many"}, "units 'many'"},
               {{"units", "-1"}, "units '-1'"},
               {{"kernels", "fast"}, "kernels 'fast'"}};
    ptp_device *other = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(f->fake.info->plugin->open(f->fake.plugin, 0, &bad[i].option, 1, &other),
                         PARTITA_INVALID_ARGUMENT);
        assert_non_null(strstr(f->fake.message, bad[i].words));
    }
    assert_int_equal(f->fake.info->plugin->open(f->fake.plugin, 99, NULL, 0, &other), PARTITA_INVALID_ARGUMENT);
    assert_null(other);
    const ptp_option one = {"units", "1"};
    assert_int_equal(f->fake.info->plugin->open(f->fake.plugin, 0, &one, 1, &other), PARTITA_OK);
    f->fake.info->plugin->close(other);
    assert_int_equal(f->fake.info->plugin->stop(f->fake.plugin), PARTITA_BUSY);
    uint32_t count = 0;
    assert_non_null(f->fake.info->plugin->options(f->fake.plugin, 0, &count));
    assert_int_equal(count, 2);
}

static void copies_and_counts(void **state) {
    fixture *f = *state;
    NEED_DEVICE(f);
    const ptp_memory_vtable *memory = f->fake.info->memory;
    enum { N = 100000 };
    ptp_buffer *a, *b;
    char *from = malloc(N), *to = calloc(1, N);
    for (int i = 0; i < N; i++) from[i] = (char)(i * 7);
    ptp_usage before = usage_of(f);
    assert_int_equal(memory->alloc(f->device, 0, N, &a), PARTITA_OK);
    assert_int_equal(memory->alloc(f->device, 0, N + 128, &b), PARTITA_OK);
    assert_true(usage_of(f).buffer_bytes == before.buffer_bytes + 2 * N + 128);
    copy_wait(f, (ptp_copy[]){{.source_data = from, .target = a, .bytes = N}}, 1);
    copy_wait(f,
              (ptp_copy[]){{.source = a, .source_offset = 100, .target = b, .target_offset = 128, .bytes = N - 100},
                           {.source = a, .target = b, .bytes = 100}},
              2);
    copy_wait(f,
              (ptp_copy[]){{.source = b, .source_offset = 128, .target_data = to + 100, .bytes = N - 100},
                           {.source = b, .target_data = to, .bytes = 100}},
              2);
    assert_memory_equal(from, to, N);
    ptp_usage after = usage_of(f);
    assert_true(after.copies == before.copies + 5 && after.copied_bytes == before.copied_bytes + 3 * N);
    copy_wait(f, NULL, 0); /* signals all the same */
    void *mapped;
    assert_int_equal(memory->map(f->device, b, 128, 50, PTP_MAP_READ | PTP_MAP_WRITE, &mapped), PARTITA_OK);
    assert_memory_equal(mapped, from + 100, 50);
    memset(mapped, 9, 50);
    assert_int_equal(memory->unmap(f->device, b, mapped), PARTITA_OK);
    copy_wait(f, (ptp_copy[]){{.source = b, .source_offset = 128, .target_data = to, .bytes = 50}}, 1);
    assert_true(to[0] == 9 && to[49] == 9);
    memory->free(f->device, a);
    memory->free(f->device, b);
    memory->free(f->device, NULL);
    assert_true(usage_of(f).buffer_bytes == before.buffer_bytes);
    assert_int_equal(memory->alloc(f->device, 0, UINT64_C(1) << 60, &a), PARTITA_OUT_OF_MEMORY);
    assert_int_equal(memory->alloc(f->device, 3, 16, &a), PARTITA_INVALID_ARGUMENT);
    free(from);
    free(to);
}

/* Relu of [rows, 64] whose first dim is open. */
static float weight[64 * 512];
static void open_part(trial *t, int64_t rows) {
    static const int64_t dims[2] = {-1, 64};
    const int64_t nominal[2] = {rows, 64};
    uint32_t x = bb_value_nominal(&t->block, "x", PARTITA_FLOAT32, 2, dims, nominal);
    t->block.values[x].flags |= PTP_VALUE_INPUT;
    t->block.inputs[t->block.input_count++] = x;
    uint32_t w = bb_constant(&t->block, "w", PARTITA_FLOAT32, 2, (int64_t[]){64, 512}, weight);
    const int64_t open[2] = {-1, 512}, wide[2] = {rows, 512};
    uint32_t h = bb_value_nominal(&t->block, "h", PARTITA_FLOAT32, 2, open, wide),
             y = bb_value_nominal(&t->block, "y", PARTITA_FLOAT32, 2, open, wide);
    trial_node(t, "MatMul", 13, x, w, NONE, h);
    trial_node(t, "Relu", 14, h, NONE, NONE, y);
    bb_output(&t->block, y);
    bb_finish(&t->block);
}

static partita_status part_open(fixture *f, trial *t, ptp_executable **out) {
    ptp_compile compile = {.size = sizeof(compile),
                           .block = t->block.block,
                           .weights = t->block.weights,
                           .weight_count = t->block.weight_count};
    return f->fake.info->device->compile(f->device, &compile, out);
}

static void shapes_build_nothing(void **state) {
    fixture *f = *state;
    NEED_DEVICE(f);
    trial *t = malloc(sizeof(*t));
    ptp_executable *executable[2];
    trial_init(t);
    open_part(t, 4);
    ptp_usage before = usage_of(f);
    assert_int_equal(part_open(f, t, &executable[0]), PARTITA_OK);
    ptp_usage compiled = usage_of(f);
    assert_int_equal(compiled.programs_built, before.programs_built + 2);
    assert_true(compiled.weight_bytes == before.weight_bytes + 64 * 512 * 4);
    assert_int_equal(t->block.weights[0].mode, PTP_WEIGHT_UPLOAD);
    assert_int_equal(part_open(f, t, &executable[1]), PARTITA_OK);
    assert_true(usage_of(f).weight_bytes == compiled.weight_bytes); /* equal content lives once */
    for (int64_t rows = 1; rows <= 100; rows++) {
        const int64_t in[2] = {rows, 64}, w[2] = {64, 512}, out[2] = {rows, 512};
        const ptp_shape shapes[4] = {{2, 0, in}, {2, 0, w}, {2, 0, out}, {2, 0, out}};
        ptp_resize resize = {.size = sizeof(resize), .shape_count = 4, .shapes = shapes};
        ptp_instance *instance;
        assert_int_equal(f->fake.info->executable->resize(executable[0], &resize, &instance), PARTITA_OK);
        assert_true(resize.scratch_bytes >= (uint64_t)rows * 512 * 4 && resize.scratch_alignment >= 64);
        f->fake.info->executable->release(executable[0], instance);
    }
    assert_int_equal(usage_of(f).programs_built, compiled.programs_built);
    const ptp_shape unknown[4] = {{2, 0, (int64_t[]){-1, 64}},
                                  {2, 0, (int64_t[]){64, 512}},
                                  {2, 0, (int64_t[]){-1, 512}},
                                  {2, 0, (int64_t[]){-1, 512}}};
    ptp_resize resize = {.size = sizeof(resize), .shape_count = 4, .shapes = unknown};
    ptp_instance *instance;
    assert_int_equal(f->fake.info->executable->resize(executable[0], &resize, &instance), PARTITA_UNSUPPORTED);
    assert_non_null(strstr(f->fake.message, "shape of x is not known"));
    f->fake.info->executable->destroy(executable[0]);
    f->fake.info->executable->destroy(executable[1]);
    f->fake.info->executable->destroy(NULL);
    assert_true(usage_of(f).weight_bytes == before.weight_bytes);
    trial_free(t);
    free(t);
}

/* Input and output wrap host memory: nothing is copied, and the map shows what the device wrote. */
static void imported_pointers(void **state) {
    fixture *f = *state;
    NEED_DEVICE(f);
    const ptp_memory_vtable *memory = f->fake.info->memory;
    enum { N = 4096 };
    float *from = aligned_alloc(4096, N * 4), *to = aligned_alloc(4096, N * 4);
    trial *t = malloc(sizeof(*t));
    part_run *run = malloc(sizeof(*run));
    trial_init(t);
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(N)), y = trial_out(t, PARTITA_FLOAT32, DIMS(N));
    trial_node(t, "Neg", 13, x, NONE, NONE, y);
    bb_finish(&t->block);
    for (int i = 0; i < N; i++) from[i] = (float)i;
    assert_int_equal(part_compile(&f->fake, f->device, t, run), PARTITA_OK);
    run->inputs[0] = (ptp_tensor){.size = sizeof(ptp_tensor), .bytes = N * 4};
    run->outputs[0] = run->inputs[0];
    assert_int_equal(memory->import_handle(f->device, 0, PTP_HANDLE_HOST_POINTER, (int64_t)(intptr_t)from, N * 4,
                                           &run->inputs[0].buffer),
                     PARTITA_OK);
    assert_int_equal(memory->import_handle(f->device, 0, PTP_HANDLE_HOST_POINTER, (int64_t)(intptr_t)to, N * 4,
                                           &run->outputs[0].buffer),
                     PARTITA_OK);
    ptp_usage before = usage_of(f);
    ptp_exec exec = {.size = sizeof(exec),
                     .input_count = 1,
                     .inputs = run->inputs,
                     .outputs = run->outputs,
                     .output_count = 1,
                     .done = {&run->timeline, 1},
                     .scratch = run->scratch,
                     .scratch_bytes = run->scratch_bytes};
    assert_int_equal(f->fake.info->executable->exec(run->executable, run->instance, &exec), PARTITA_OK);
    assert_int_equal(fake_wait(&f->fake, &run->timeline, 1, 0), PARTITA_OK);
    void *mapped;
    assert_int_equal(memory->map(f->device, run->outputs[0].buffer, 0, N * 4, PTP_MAP_READ, &mapped), PARTITA_OK);
    assert_ptr_equal(mapped, to);
    for (int i = 0; i < N; i++) assert_true(to[i] == -(float)i);
    assert_int_equal(memory->unmap(f->device, run->outputs[0].buffer, mapped), PARTITA_OK);
    ptp_usage after = usage_of(f);
    assert_true(after.copied_bytes == before.copied_bytes && after.launches == before.launches + 1);
    ptp_buffer *none = NULL;
    assert_int_equal(
        memory->import_handle(f->device, 0, PTP_HANDLE_HOST_POINTER, (int64_t)(intptr_t)from + 4, 64, &none),
        PARTITA_INVALID_ARGUMENT);
    assert_int_equal(memory->import_handle(f->device, 0, PTP_HANDLE_OPAQUE_FD, 3, 64, &none), PARTITA_UNSUPPORTED);
    part_free(&f->fake, f->device, t, run);
    trial_free(t);
    free(run);
    free(t);
    free(from);
    free(to);
}

static void routes(void **state) {
    fixture *f = *state;
    NEED_DEVICE(f);
    ptp_route copy = {.size = sizeof(copy), .route = PTP_ROUTE_COPY, .peer_memory = PTP_MEMORY_HOST};
    ptp_route import = {.size = sizeof(import),
                        .route = PTP_ROUTE_IMPORT,
                        .handle = PTP_HANDLE_HOST_POINTER,
                        .peer_memory = PTP_MEMORY_HOST};
    ptp_route fd = {.size = sizeof(fd), .route = PTP_ROUTE_IMPORT, .handle = PTP_HANDLE_OPAQUE_FD};
    ptp_route share = {.size = sizeof(share), .route = PTP_ROUTE_SHARE};
    assert_int_equal(f->fake.info->device->route(f->device, &copy), PARTITA_OK);
    assert_true(copy.route == PTP_ROUTE_COPY && copy.us > 0 && copy.us_per_byte > 0);
    assert_int_equal(f->fake.info->device->route(f->device, &import), PARTITA_OK);
    assert_true(import.route == PTP_ROUTE_NONE || import.us < copy.us);
    assert_int_equal(f->fake.info->device->route(f->device, &fd), PARTITA_OK);
    assert_int_equal(fd.route, PTP_ROUTE_NONE);
    assert_int_equal(f->fake.info->device->route(f->device, &share), PARTITA_OK);
    assert_int_equal(share.route, PTP_ROUTE_NONE);
}

/* Every allocation of the plugin fails once: an error each time, and nothing is left. */
static void failing_allocations(void **state) {
    fixture *f = *state;
    NEED_DEVICE(f);
    trial *t = malloc(sizeof(*t));
    part_run *run = malloc(sizeof(*run));
    trial_init(t);
    open_part(t, 4);
    t->elements[t->block.inputs[0]] = 4 * 64;
    t->data[t->block.inputs[0]] = calloc(4 * 64, 4);
    t->elements[t->block.outputs[0]] = 4 * 512;
    float *result = malloc(4 * 512 * 4);
    void *results[1] = {result};
    int64_t live = f->fake.live;
    bool done = false;
    for (int64_t k = 0; k < 300 && !done; k++) {
        f->fake.fail_after = k;
        /* nominal shapes are those of the run */
        memset(run, 0, sizeof(*run));
        fake_timeline_init(&run->timeline);
        partita_status status = part_ask(&f->fake, f->device, t);
        ptp_executable *executable = NULL;
        if (status == PARTITA_OK) status = part_open(f, t, &executable);
        run->executable = executable;
        const int64_t in[2] = {4, 64}, w[2] = {64, 512}, out[2] = {4, 512};
        const ptp_shape shapes[4] = {{2, 0, in}, {2, 0, w}, {2, 0, out}, {2, 0, out}};
        ptp_resize resize = {.size = sizeof(resize), .shape_count = 4, .shapes = shapes};
        if (status == PARTITA_OK) status = f->fake.info->executable->resize(executable, &resize, &run->instance);
        if (status == PARTITA_OK)
            status = f->fake.info->memory->alloc(f->device, 0, resize.scratch_bytes, &run->scratch);
        run->scratch_bytes = resize.scratch_bytes;
        if (status == PARTITA_OK) status = part_exec(&f->fake, f->device, t, run, results);
        done = f->fake.fail_after >= 0;
        f->fake.fail_after = -1;
        if (done)
            assert_int_equal(status, PARTITA_OK);
        else
            assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        part_free(&f->fake, f->device, t, run);
        /* programs and the pool stay with the device */
        if (k == 0) live = f->fake.live;
    }
    assert_true(done);
    assert_true(f->fake.live >= live && f->fake.live <= live + 8);
    trial_free(t);
    free(result);
    free(run);
    free(t);
}

typedef struct worker {
    fixture *f;
    pthread_t thread;
    int failures;
} worker;

static void *work(void *user) {
    worker *w = user;
    const ptp_memory_vtable *memory = w->f->fake.info->memory;
    ptp_timeline timeline;
    char from[1000], to[1000];
    fake_timeline_init(&timeline);
    for (int i = 0; i < 50; i++) {
        ptp_buffer *buffer = NULL;
        memset(from, i, sizeof(from));
        if (memory->alloc(w->f->device, 0, sizeof(from), &buffer) != PARTITA_OK) {
            w->failures++;
            break;
        }
        ptp_copy in = {.size = sizeof(in), .source_data = from, .target = buffer, .bytes = sizeof(from)};
        ptp_copy out = {.size = sizeof(out), .source = buffer, .target_data = to, .bytes = sizeof(to)};
        memory->copy(w->f->device, &in, 1, (ptp_point){&timeline, (uint64_t)i * 2 + 1});
        memory->copy(w->f->device, &out, 1, (ptp_point){&timeline, (uint64_t)i * 2 + 2});
        w->failures += fake_wait(&w->f->fake, &timeline, (uint64_t)i * 2 + 2, 0) != PARTITA_OK ||
                       memcmp(from, to, sizeof(from)) != 0;
        memory->free(w->f->device, buffer);
    }
    return NULL;
}

/* Asks and compiles; programs and weights are shared with the other threads. */
static void *compile_work(void *user) {
    worker *w = user;
    for (int i = 0; i < 8; i++) {
        trial *t = malloc(sizeof(*t));
        ptp_executable *executable = NULL;
        trial_init(t);
        open_part(t, 4);
        w->failures += part_ask(&w->f->fake, w->f->device, t) != PARTITA_OK;
        w->failures += part_open(w->f, t, &executable) != PARTITA_OK;
        w->f->fake.info->executable->destroy(executable);
        trial_free(t);
        free(t);
    }
    return NULL;
}

static void many_threads(void **state) {
    fixture *f = *state;
    NEED_DEVICE(f);
    worker workers[6];
    for (int i = 0; i < 6; i++) {
        workers[i] = (worker){.f = f};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, i % 2 ? work : compile_work, &workers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].failures, 0);
    }
    assert_int_equal(f->fake.backwards, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_itself),    cmocka_unit_test(checks_options),
        cmocka_unit_test(copies_and_counts),   cmocka_unit_test(shapes_build_nothing),
        cmocka_unit_test(imported_pointers),   cmocka_unit_test(routes),
        cmocka_unit_test(failing_allocations), cmocka_unit_test(many_threads),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
