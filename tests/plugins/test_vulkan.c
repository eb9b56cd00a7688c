/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Vulkan plugin through the ABI alone, under the validation layer, which must have nothing to say: memory, copies,
 * maps, imports, order, limits, failing allocations. What kernels compute is judged by device_cases.
 */
#include "plugins/block_build.h"
#include "plugins/opencl/fake_host.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

static fake_host fake;
static bool layered; /* the validation layer is there */

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if ((call) != PARTITA_OK) fail_msg("%s: %s", #call, fake.message);                                             \
    } while (0)

static const ptp_option validated[] = {{"validation", "1"}};
static const ptp_option staged[] = {{"validation", "1"}, {"staged", "1"}, {"push_descriptors", "0"}};

/* Opens device 0; without the layer the options that need it are left out. */
static ptp_device *open_with(const ptp_option *options, uint32_t count) {
    ptp_device *device = NULL;
    if (!layered) {
        options++;
        count--;
    }
    OK(fake.info->plugin->open(fake.plugin, 0, options, count, &device));
    return device;
}
#define OPEN(options) open_with(options, sizeof(options) / sizeof(options[0]))

static void shut(ptp_device *device) {
    fake.info->plugin->close(device);
    assert_int_equal(fake.errors, 0);
}

static void need_device(void) {
    if (!fake.plugin) {
        print_message("no Vulkan driver or loader: %s\n", fake.message);
        skip();
    }
}

static ptp_buffer *buffer_of(ptp_device *device, uint64_t bytes) {
    ptp_buffer *buffer = NULL;
    OK(fake.info->memory->alloc(device, 0, bytes, &buffer));
    return buffer;
}

static partita_status copy_batch(ptp_device *device, ptp_copy *copies, uint32_t count) {
    ptp_timeline timeline;
    fake_timeline_init(&timeline);
    for (uint32_t i = 0; i < count; i++) copies[i].size = sizeof(copies[i]);
    partita_status status = fake.info->memory->copy(device, copies, count, (ptp_point){&timeline, 1});
    return status == PARTITA_OK ? fake_wait(&fake, &timeline, 1, 0) : status;
}

static void upload(ptp_device *device, ptp_buffer *buffer, uint64_t offset, const void *data, uint64_t bytes) {
    ptp_copy copy = {.source_data = data, .target = buffer, .target_offset = offset, .bytes = bytes};
    OK(copy_batch(device, &copy, 1));
}

static void download(ptp_device *device, ptp_buffer *buffer, uint64_t offset, void *data, uint64_t bytes) {
    ptp_copy copy = {.source = buffer, .source_offset = offset, .target_data = data, .bytes = bytes};
    OK(copy_batch(device, &copy, 1));
}

static uint8_t *pattern(uint64_t bytes, uint32_t seed) {
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

static void part_build(part *p, int64_t n) {
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

static partita_status part_compile(part *p, ptp_device *device) {
    ptp_compile compile = {.size = sizeof(compile),
                           .block = p->build.block,
                           .weights = p->build.weights,
                           .weight_count = p->build.weight_count};
    p->resize = (ptp_resize){.size = sizeof(p->resize), .shape_count = p->build.value_count, .shapes = p->shapes};
    partita_status status = fake.info->device->compile(device, &compile, &p->executable);
    return status == PARTITA_OK ? fake.info->executable->resize(p->executable, &p->resize, &p->instance) : status;
}

static void part_drop(part *p) {
    if (p->instance) fake.info->executable->release(p->executable, p->instance);
    fake.info->executable->destroy(p->executable);
    bb_free(&p->build);
}

static partita_status part_run(part *p, ptp_buffer *x, uint64_t x_offset, ptp_buffer *y, uint64_t y_offset,
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

/* ---- tests ---- */

static void test_info(void **state) {
    (void)state;
    need_device();
    ptp_device_info peeked = {.size = sizeof(peeked)}, info = {.size = sizeof(info)};
    OK(fake.info->plugin->peek(fake.plugin, 0, &peeked));
    ptp_device *device = OPEN(validated);
    OK(fake.info->device->info(device, &info));
    assert_string_equal(info.kind, "vulkan");
    assert_memory_equal(&info, &peeked, sizeof(info));
    assert_true(info.flags & PTP_DEVICE_ASYNC && info.flags & PTP_DEVICE_IN_ORDER);
    assert_true(!(info.flags & PTP_DEVICE_EMULATED) || strcmp(info.resources[0], "host-cores") == 0);
    assert_int_equal(info.domain_count, 1);
    assert_true(info.domains[0].alignment >= 16 && info.domains[0].max_binding > 0 && info.domains[0].bytes_total > 0);
    char text[256], small[4];
    OK(fake.info->device->cache_need(device, text, sizeof(text)));
    assert_true(strlen(text) > 8);
    assert_int_equal(fake.info->device->cache_need(device, small, sizeof(small)), PARTITA_INVALID_ARGUMENT);
    assert_int_equal(fake.info->plugin->stop(fake.plugin), PARTITA_BUSY);
    assert_int_equal(fake.info->plugin->open(fake.plugin, 99, NULL, 0, &(ptp_device *){NULL}),
                     PARTITA_INVALID_ARGUMENT);
    shut(device);
}

/* Sizes around those of pages, of a submission's staging and of a block. */
static void copies_round(ptp_device *device) {
    const uint64_t sizes[] = {1, 3, 4095, 4097, 1 << 20, (16 << 20) + 5, 40 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *data = pattern(sizes[i], (uint32_t)i), *back = malloc(sizes[i]);
        ptp_buffer *a = buffer_of(device, sizes[i]), *b = buffer_of(device, sizes[i] + 7);
        upload(device, a, 0, data, sizes[i]);
        ptp_copy across = {.source = a, .target = b, .target_offset = 7, .bytes = sizes[i]};
        OK(copy_batch(device, &across, 1));
        download(device, b, 7, back, sizes[i]);
        assert_memory_equal(data, back, sizes[i]);
        fake.info->memory->free(device, a);
        fake.info->memory->free(device, b);
        free(data);
        free(back);
    }
}

static void test_copies(void **state) {
    (void)state;
    need_device();
    for (int way = 0; way < 2; way++) {
        ptp_device *device = way ? OPEN(staged) : OPEN(validated);
        copies_round(device);
        ptp_usage usage = {.size = sizeof(usage)};
        OK(fake.info->device->usage(device, &usage));
        assert_int_equal(usage.copies, 21);
        assert_int_equal(usage.copied_bytes, 3 * (1 + 3 + 4095 + 4097 + (1 << 20) + (16 << 20) + 5 + (40 << 20)));
        assert_int_equal(usage.buffer_bytes, 0);
        shut(device);
    }
}

static void test_copy_batch(void **state) {
    (void)state;
    need_device();
    enum { COUNT = 200, EACH = 1000 };
    static ptp_copy copies[COUNT];
    ptp_device *device = OPEN(validated);
    uint8_t *data = pattern(COUNT * EACH, 5), *back = malloc(COUNT * EACH);
    ptp_buffer *buffer = buffer_of(device, COUNT * EACH);
    for (int i = 0; i < COUNT; i++) {
        copies[i] = (ptp_copy){
            .source_data = data + i * EACH, .target = buffer, .target_offset = (uint64_t)i * EACH, .bytes = EACH};
    }
    OK(copy_batch(device, copies, COUNT));
    for (int i = 0; i < COUNT; i++) {
        copies[i] = (ptp_copy){
            .source = buffer, .source_offset = (uint64_t)i * EACH, .target_data = back + i * EACH, .bytes = EACH};
    }
    OK(copy_batch(device, copies, COUNT));
    assert_memory_equal(data, back, COUNT * EACH);
    copies[0].source_offset = COUNT * EACH - 1;
    assert_int_equal(copy_batch(device, copies, 1), PARTITA_INVALID_ARGUMENT);
    copies[0].source = NULL;
    assert_int_equal(copy_batch(device, copies, 1), PARTITA_INVALID_ARGUMENT);
    OK(copy_batch(device, copies, 0)); /* nothing to copy: only the signal */
    fake.info->memory->free(device, buffer);
    shut(device);
    free(data);
    free(back);
}

static void test_map(void **state) {
    (void)state;
    need_device();
    for (int way = 0; way < 2; way++) {
        ptp_device *device = way ? OPEN(staged) : OPEN(validated);
        const ptp_memory_vtable *memory = fake.info->memory;
        uint8_t *data = pattern(10000, 9), back[10000];
        ptp_buffer *buffer = buffer_of(device, 10000);
        void *at = NULL;
        upload(device, buffer, 0, data, 10000);
        OK(memory->map(device, buffer, 100, 500, PTP_MAP_READ | PTP_MAP_WRITE, &at));
        assert_memory_equal(at, data + 100, 500);
        memset(at, 0x77, 10);
        OK(memory->unmap(device, buffer, at));
        memset(data + 100, 0x77, 10);
        download(device, buffer, 0, back, 10000);
        assert_memory_equal(back, data, 10000);
        assert_int_equal(memory->unmap(device, buffer, at), PARTITA_INVALID_ARGUMENT);
        assert_int_equal(memory->map(device, buffer, 9999, 2, PTP_MAP_READ, &at), PARTITA_INVALID_ARGUMENT);
        OK(memory->map(device, buffer, 0, 10000, PTP_MAP_READ, &at)); /* freed with the buffer */
        memory->free(device, buffer);
        assert_int_equal(memory->alloc(device, 1, 4, &buffer), PARTITA_INVALID_ARGUMENT);
        assert_int_not_equal(memory->alloc(device, 0, UINT64_MAX - 5, &buffer), PARTITA_OK);
        shut(device);
        free(data);
    }
}

static void test_import_host(void **state) {
    (void)state;
    need_device();
    ptp_device_info info = {.size = sizeof(info)};
    ptp_device *device = OPEN(validated);
    OK(fake.info->device->info(device, &info));
    if (!(info.domains[0].import_mask & 1u << PTP_HANDLE_HOST_POINTER)) {
        shut(device);
        skip();
    }
    enum { N = 4096 };
    const ptp_memory_vtable *memory = fake.info->memory;
    float *pages = mmap(NULL, 8 * N, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ptp_buffer *whole, *inside, *scratch;
    part p;
    part_build(&p, N);
    OK(part_compile(&p, device));
    for (int i = 0; i < N; i++) pages[i] = (float)(i - 100);
    OK(memory->import_handle(device, 0, PTP_HANDLE_HOST_POINTER, (int64_t)(intptr_t)pages, 8 * N, &whole));
    scratch = buffer_of(device, p.resize.scratch_bytes + 1);
    ptp_timeline timeline;
    fake_timeline_init(&timeline);
    OK(part_run(&p, whole, 0, whole, 4 * N, scratch, N, (ptp_point){&timeline, 1}));
    OK(fake_wait(&fake, &timeline, 1, 0));
    void *at;
    OK(memory->map(device, whole, 4 * N, 4 * N, PTP_MAP_READ, &at));
    assert_ptr_equal(at, pages + N);
    for (int i = 0; i < N; i++) assert_true(pages[N + i] == (i < 100 ? 0.0f : 3.0f * (float)(i - 100)));
    OK(memory->unmap(device, whole, at));
    /* not at a page, but at the device's alignment: the pages around it are taken */
    OK(memory->import_handle(device, 0, PTP_HANDLE_HOST_POINTER, (int64_t)(intptr_t)(pages + 64), 1000, &inside));
    float back[250];
    download(device, inside, 0, back, 1000);
    assert_memory_equal(back, pages + 64, 1000);
    memory->free(device, inside);
    assert_int_not_equal(
        memory->import_handle(device, 0, PTP_HANDLE_HOST_POINTER, (int64_t)(intptr_t)pages + 1, 100, &inside),
        PARTITA_OK);
    assert_int_not_equal(memory->import_handle(device, 0, PTP_HANDLE_DMA_BUF, 3, 100, &inside), PARTITA_OK);
    assert_int_not_equal(memory->import_handle(device, 0, PTP_HANDLE_OPAQUE_FD, -1, 100, &inside), PARTITA_OK);
    memory->free(device, whole);
    memory->free(device, scratch);
    part_drop(&p);
    shut(device);
    munmap(pages, 8 * N);
}

static void test_fd_between_devices(void **state) {
    (void)state;
    need_device();
    ptp_device_info info = {.size = sizeof(info)};
    ptp_device *a = OPEN(validated), *b = OPEN(validated);
    const ptp_memory_vtable *memory = fake.info->memory;
    OK(fake.info->device->info(a, &info));
    ptp_route route = {.size = sizeof(route),
                       .peer = &info,
                       .peer_memory = info.domains[0].memory,
                       .route = PTP_ROUTE_IMPORT,
                       .handle = PTP_HANDLE_OPAQUE_FD};
    OK(fake.info->device->route(b, &route));
    if (route.route == PTP_ROUTE_IMPORT) {
        uint8_t *data = pattern(100000, 3), *back = malloc(100000);
        int64_t fd = -1;
        ptp_buffer *source = buffer_of(a, 100000), *seen = NULL;
        upload(a, source, 0, data, 100000);
        OK(memory->export_handle(a, source, PTP_HANDLE_OPAQUE_FD, &fd));
        OK(memory->import_handle(b, 0, PTP_HANDLE_OPAQUE_FD, fd, 100000, &seen));
        download(b, seen, 0, back, 100000);
        assert_memory_equal(data, back, 100000);
        memory->free(b, seen);
        memory->free(a, source);
        free(data);
        free(back);
    }
    shut(a);
    shut(b);
}

static void test_routes(void **state) {
    (void)state;
    need_device();
    ptp_device *device = OPEN(staged);
    ptp_device_info other = {.size = sizeof(other), .kind = "opencl"};
    ptp_route route = {.size = sizeof(route), .route = PTP_ROUTE_COPY};
    OK(fake.info->device->route(device, &route));
    assert_true(route.route == PTP_ROUTE_COPY && route.us > 0 && route.us_per_byte > 0);
    route = (ptp_route){.size = sizeof(route), .route = PTP_ROUTE_COPY, .peer = &other};
    OK(fake.info->device->route(device, &route));
    assert_int_equal(route.route, PTP_ROUTE_NONE);
    route =
        (ptp_route){.size = sizeof(route), .route = PTP_ROUTE_IMPORT, .handle = PTP_HANDLE_OPAQUE_FD, .peer = &other};
    OK(fake.info->device->route(device, &route));
    assert_int_equal(route.route, PTP_ROUTE_NONE);
    /* memory that the host is not shown has no address to give */
    route =
        (ptp_route){.size = sizeof(route), .route = PTP_ROUTE_IMPORT, .handle = PTP_HANDLE_HOST_POINTER, .outgoing = 1};
    OK(fake.info->device->route(device, &route));
    assert_int_equal(route.route, PTP_ROUTE_NONE);
    shut(device);
}

/* Runs and copies enqueued one after the other, each on what the one before left, none waited for. */
static void in_order(ptp_device *device, int64_t n, int rounds) {
    part p;
    ptp_timeline timeline;
    ptp_copy copy = {.size = sizeof(copy), .bytes = (uint64_t)n * sizeof(float)};
    float *x = malloc(copy.bytes), *y = malloc(copy.bytes);
    part_build(&p, n);
    OK(part_compile(&p, device));
    ptp_buffer *a = buffer_of(device, copy.bytes), *b = buffer_of(device, copy.bytes);
    ptp_buffer *scratch = buffer_of(device, p.resize.scratch_bytes + 1);
    fake_timeline_init(&timeline);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i % 17) - 3.0f;
    copy.source_data = x;
    copy.target = a;
    OK(fake.info->memory->copy(device, &copy, 1, (ptp_point){NULL, 0}));
    for (int round = 0; round < rounds; round++) {
        OK(part_run(&p, a, 0, b, 0, scratch, n, (ptp_point){NULL, 0}));
        ptp_copy back = {.size = sizeof(back), .source = b, .target = a, .bytes = copy.bytes};
        OK(fake.info->memory->copy(device, &back, 1, (ptp_point){NULL, 0}));
    }
    ptp_copy last = {.size = sizeof(last), .source = a, .target_data = y, .bytes = copy.bytes};
    OK(fake.info->memory->copy(device, &last, 1, (ptp_point){&timeline, 1}));
    OK(fake_wait(&fake, &timeline, 1, 0));
    for (int64_t i = 0; i < n; i++) {
        float want = x[i];
        for (int round = 0; round < rounds; round++) want = want * factor + want > 0 ? want * factor + want : 0.0f;
        assert_true(y[i] == want);
    }
    ptp_buffer *buffers[] = {a, b, scratch};
    for (int i = 0; i < 3; i++) fake.info->memory->free(device, buffers[i]);
    part_drop(&p);
    free(x);
    free(y);
}

static void test_order(void **state) {
    (void)state;
    need_device();
    for (int way = 0; way < 2; way++) {
        ptp_device *device = way ? OPEN(staged) : OPEN(validated);
        in_order(device, 10000, 12);
        in_order(device, 1, 3);
        ptp_usage usage = {.size = sizeof(usage)};
        OK(fake.info->device->usage(device, &usage));
        assert_true(usage.launches >= 15 && usage.launches <= 3 * 15); /* the three may be one kernel */
        assert_true(usage.programs_built > 0 && usage.programs_built <= 6 && usage.busy_ns > 0 &&
                    usage.weight_bytes == 0);
        OK(fake.info->device->trim(device, 0));
        shut(device);
    }
}

static void test_limits(void **state) {
    (void)state;
    need_device();
    ptp_device_info info = {.size = sizeof(info)};
    ptp_device *device = OPEN(validated);
    block_build b;
    uint32_t unit = 0;
    OK(fake.info->device->info(device, &info));
    int64_t n = (int64_t)(info.domains[0].max_binding / 4 + 1);
    if (n > INT32_MAX) n = INT32_MAX;
    bb_init(&b);
    uint32_t x = bb_input(&b, "x", PARTITA_FLOAT32, 1, &n),
             y = bb_output(&b, bb_value(&b, "y", PARTITA_FLOAT32, 1, &n));
    bb_node(&b, "Relu", 14, &x, 1, &y, 1);
    ptp_ask ask = {.size = sizeof(ask), .block = bb_finish(&b), .units = &unit, .count = 1};
    ptp_answer answer = {.size = sizeof(answer)};
    OK(fake.info->device->ask(device, &ask, &answer));
    assert_int_equal(answer.can, PTP_NO);
    assert_true(answer.reason == PARTITA_REASON_LIMIT || answer.reason == PARTITA_REASON_MEMORY);
    char number[32];
    snprintf(number, sizeof(number), "%llu", (unsigned long long)info.domains[0].max_binding);
    assert_non_null(strstr(answer.text, number));
    bb_free(&b);
    shut(device);
}

/* The k-th allocation of the host's memory fails, for every k: an error, no leak, no crash. */
static void test_failing_allocations(void **state) {
    (void)state;
    need_device();
    int64_t live = fake.live;
    bool done = false;
    for (int64_t k = 0; !done; k++) {
        ptp_device *device = NULL;
        ptp_buffer *x = NULL;
        part p;
        part_build(&p, 64);
        fake.fail_after = k;
        partita_status status = fake.info->plugin->open(fake.plugin, 0, NULL, 0, &device);
        if (status == PARTITA_OK) status = part_compile(&p, device);
        if (status == PARTITA_OK) status = fake.info->memory->alloc(device, 0, 512, &x);
        if (status == PARTITA_OK) {
            float host[64] = {0};
            ptp_copy copies[2] = {{.source_data = host, .target = x, .bytes = 256},
                                  {.source = x, .target_data = host, .bytes = 256}};
            status = copy_batch(device, copies, 2);
        }
        if (status == PARTITA_OK) {
            ptp_timeline timeline;
            fake_timeline_init(&timeline);
            status = part_run(&p, x, 0, x, 256, x, 64, (ptp_point){&timeline, 1});
            if (status == PARTITA_OK) status = fake_wait(&fake, &timeline, 1, 0);
        }
        done = status == PARTITA_OK && fake.fail_after >= 0;
        if (status == PARTITA_OK && !done) fail_msg("allocation %lld failed, but nobody said so", (long long)k);
        fake.fail_after = -1;
        if (device) fake.info->memory->free(device, x);
        if (p.executable || p.instance)
            part_drop(&p);
        else
            bb_free(&p.build);
        fake.info->plugin->close(device);
        assert_int_equal(fake.live, live);
    }
}

typedef struct worker {
    ptp_device *device;
    uint32_t seed;
    bool good;
} worker;

static void *worker_run(void *user) {
    worker *w = user;
    uint8_t *data = pattern(70000, w->seed), *back = malloc(70000);
    w->good = true;
    for (int i = 0; i < 30 && w->good; i++) {
        ptp_buffer *buffer = NULL;
        w->good = fake.info->memory->alloc(w->device, 0, 70000, &buffer) == PARTITA_OK;
        ptp_copy up = {.source_data = data, .target = buffer, .bytes = 70000};
        ptp_copy down = {.source = buffer, .target_data = back, .bytes = 70000};
        w->good =
            w->good && copy_batch(w->device, &up, 1) == PARTITA_OK && copy_batch(w->device, &down, 1) == PARTITA_OK;
        w->good = w->good && memcmp(data, back, 70000) == 0;
        fake.info->memory->free(w->device, buffer);
    }
    free(data);
    free(back);
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    need_device();
    enum { COUNT = 12 };
    pthread_t threads[COUNT];
    worker workers[COUNT];
    ptp_device *device = OPEN(validated);
    for (uint32_t i = 0; i < COUNT; i++) {
        workers[i] = (worker){device, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, worker_run, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < COUNT; i++) pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < COUNT; i++) assert_true(workers[i].good);
    shut(device);
}

/* The host goes on from the signal itself: a copy of more pieces than there are submissions, while another thread
 * copies. */
static struct {
    ptp_timeline first, second;
    ptp_device *device;
    ptp_copy copy;
    partita_status status;
} chained;

static void signal_and_copy(void *self, ptp_timeline *timeline, uint64_t value, partita_status code,
                            const char *message) {
    if (timeline == &chained.first) {
        chained.status = fake.info->memory->copy(chained.device, &chained.copy, 1, (ptp_point){&chained.second, 1});
    }
    fake_signal(self, timeline, value, code, message);
}

static void test_signal_goes_on(void **state) {
    (void)state;
    need_device();
    const uint64_t bytes = 160u << 20;
    ptp_device *device = OPEN(validated);
    uint8_t *data = pattern(bytes, 1), small[100] = {0};
    ptp_buffer *buffer = buffer_of(device, bytes), *other = buffer_of(device, 100);
    fake_timeline_init(&chained.first);
    fake_timeline_init(&chained.second);
    chained.device = device;
    chained.status = PARTITA_INTERNAL;
    chained.copy = (ptp_copy){.size = sizeof(ptp_copy), .source_data = data, .target = buffer, .bytes = bytes};
    fake.host.timeline_signal = signal_and_copy;
    ptp_copy one = {.size = sizeof(one), .source_data = small, .target = other, .bytes = 100};
    OK(fake.info->memory->copy(device, &one, 1, (ptp_point){&chained.first, 1}));
    for (int i = 0; i < 50; i++) OK(fake.info->memory->copy(device, &one, 1, (ptp_point){NULL, 0}));
    OK(fake_wait(&fake, &chained.first, 1, 0));
    assert_int_equal(chained.status, PARTITA_OK);
    OK(fake_wait(&fake, &chained.second, 1, 0));
    fake.host.timeline_signal = fake_signal;
    uint8_t *back = malloc(bytes);
    download(device, buffer, 0, back, bytes);
    assert_memory_equal(data, back, bytes);
    fake.info->memory->free(device, buffer);
    fake.info->memory->free(device, other);
    shut(device);
    free(data);
    free(back);
}

static int start(void **state) {
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

static int stop(void **state) {
    (void)state;
    return fake.plugin && (fake.info->plugin->stop(fake.plugin) != PARTITA_OK || fake.live != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_copy_batch),  cmocka_unit_test(test_map),
        cmocka_unit_test(test_import_host), cmocka_unit_test(test_fd_between_devices),
        cmocka_unit_test(test_routes),      cmocka_unit_test(test_order),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_threads),     cmocka_unit_test(test_signal_goes_on),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
