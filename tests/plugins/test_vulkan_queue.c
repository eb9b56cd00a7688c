/* SPDX-License-Identifier: Apache-2.0 */
/* Work on the Vulkan plugin's queue: order, limits, threads, signals. What kernels compute is judged by device_cases.
 */
#include "plugins/vulkan_fixture.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_signal_goes_on),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
