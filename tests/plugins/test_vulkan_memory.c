/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the Vulkan plugin: description, copies, maps, imports, routes, failing allocations. */
#include "plugins/vulkan_fixture.h"

#include <sys/mman.h>

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

static void import_host(ptp_device *device) {
    ptp_device_info info = {.size = sizeof(info)};
    OK(fake.info->device->info(device, &info));
    if (!(info.domains[0].import_mask & 1u << PTP_HANDLE_HOST_POINTER)) {
        shut(device);
        SKIP_BECAUSE("feature:host-import", "the driver imports no host pointers");
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

/* Staged, memory is treated as if it were not coherent: what the host wrote is flushed before it is read. */
static void test_import_host(void **state) {
    (void)state;
    need_device();
    import_host(OPEN(validated));
    import_host(OPEN(staged));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_copy_batch),  cmocka_unit_test(test_map),
        cmocka_unit_test(test_import_host), cmocka_unit_test(test_fd_between_devices),
        cmocka_unit_test(test_routes),      cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
