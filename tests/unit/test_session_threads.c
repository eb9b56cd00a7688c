/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sixteen threads on one session: sizes, trip counts and branches differ from run to run, runs in the foreground and in
 * the background, some cancelled or out of time, devices that fail meanwhile; and contexts that come and go beside it.
 */
#include "op_build.h"

#include "onnx/writer.h"

#include <math.h>
#include <partita/partita.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 16, RUNS = 10, WIDTH = 4, MOST_ROWS = 24, MOST_TRIPS = 4, INPUTS = 3, OUTPUTS = 3 };

/*
 * m = x * x + x; p = c ? m + a : a - x; each of n trips: v += b when even, else v -= a, collected as v * t.
 * z is the last v and |p|; nz says where x is positive. x, z [N,4], trace [n,N,4].
 */
static void build_loop(builder *b) {
    pt_id before, inner, node;
    node = build_node(b, "Loop", "n - p", "y trace");
    before = build_body(b, node, "body");
    build_input(b, "i", PARTITA_INT64, "");
    build_input(b, "go", PARTITA_BOOL, "");
    build_input(b, "v", PARTITA_FLOAT32, "N,4");
    build_node(b, "Identity", "go", "more");
    build_node(b, "Mod", "i two", "odd");
    build_node(b, "Equal", "odd zero", "even");
    node = build_node(b, "If", "even", "w");
    inner = build_body(b, node, "then_branch");
    build_node(b, "Add", "v b", "w_even");
    build_output(b, "w_even");
    b->graph = inner;
    inner = build_body(b, node, "else_branch");
    build_node(b, "Sub", "v a", "w_odd");
    build_output(b, "w_odd");
    b->graph = inner;
    build_node(b, "Mul", "w t", "seen");
    build_output(b, "more");
    build_output(b, "w");
    build_output(b, "seen");
    b->graph = before;
}

static void build_model(void **out_bytes, uint64_t *out_size) {
    builder b;
    build_start(&b, 17);
    b.model->ir_version = 8;
    assert_true(pt_array_push(&b.model->opsets, (pt_opset){PT_STR(""), 17}));
    build_input(&b, "x", PARTITA_FLOAT32, "N,4");
    build_input(&b, "n", PARTITA_INT64, "");
    build_input(&b, "c", PARTITA_BOOL, "");
    build_int(&b, "two", 2);
    build_int(&b, "zero", 0);
    build_node(&b, "Mul", "x x", "a");
    build_node(&b, "Neg", "x", "b");
    build_node(&b, "Sub", "a b", "m");
    pt_id node = build_node(&b, "If", "c", "p");
    pt_id before = build_body(&b, node, "then_branch");
    build_node(&b, "Add", "m a", "p_then");
    build_output(&b, "p_then");
    b.graph = before;
    before = build_body(&b, node, "else_branch");
    build_node(&b, "Sub", "a x", "p_else");
    build_output(&b, "p_else");
    b.graph = before;
    build_node(&b, "Abs", "p", "t");
    build_loop(&b);
    build_node(&b, "Add", "y t", "z");
    build_node(&b, "Relu", "x", "r");
    build_node(&b, "NonZero", "r", "nz");
    build_output(&b, "z");
    build_output(&b, "trace");
    build_output(&b, "nz");
    OK(build_infer(&b));
    OK(pt_onnx_write(b.model, UINT64_MAX, out_bytes, out_size));
    build_end(&b);
}

/* One run: its inputs, and what has to come out. Numbers are quarters, so that all of it is exact. */
typedef struct job {
    int64_t rows, trips, positive;
    bool truth;
    float x[MOST_ROWS * WIDTH], z[MOST_ROWS * WIDTH], trace[MOST_TRIPS * MOST_ROWS * WIDTH];
    int64_t nz[2 * MOST_ROWS * WIDTH];
} job;

static void make_job(job *j, uint32_t seed) {
    j->rows = 1 + seed * 7 % MOST_ROWS;
    j->trips = seed / 3 % (MOST_TRIPS + 1);
    j->truth = seed & 1;
    j->positive = 0;
    int64_t count = j->rows * WIDTH;
    for (int64_t i = 0; i < count; i++) {
        float x = (float)((seed + (uint32_t)i * 5) % 17) / 4 - 2, a = x * x, v;
        float p = j->truth ? a + x + a : a - x, t = fabsf(p);
        j->x[i] = x;
        v = p;
        for (int64_t k = 0; k < j->trips; k++) {
            v = k % 2 ? v - a : v + -x;
            j->trace[k * count + i] = v * t;
        }
        j->z[i] = v + t;
        j->positive += x > 0;
    }
    for (int64_t i = 0, at = 0; i < count; i++) {
        if (!(j->x[i] > 0)) continue;
        j->nz[at] = i / WIDTH;
        j->nz[j->positive + at++] = i % WIDTH;
    }
}

static bool make_inputs(const job *j, partita_value **inputs) {
    const int64_t dims[] = {j->rows, WIDTH};
    const uint8_t truth = j->truth;
    return partita_value_create(PARTITA_FLOAT32, 2, dims, j->x, &inputs[0]) == PARTITA_OK &&
           partita_value_create(PARTITA_INT64, 0, NULL, &j->trips, &inputs[1]) == PARTITA_OK &&
           partita_value_create(PARTITA_BOOL, 0, NULL, &truth, &inputs[2]) == PARTITA_OK;
}

static bool equal(const partita_value *value, const void *want, uint32_t rank, const int64_t *dims, uint64_t bytes) {
    partita_value_view view;
    return value && partita_value_view_of(value, &view) == PARTITA_OK && view.rank == rank &&
           memcmp(view.dims, dims, rank * sizeof(*dims)) == 0 && view.bytes == bytes &&
           (bytes == 0 || memcmp(view.data, want, bytes) == 0);
}

static bool outputs_equal(const job *j, partita_value *const *outputs) {
    const int64_t z[] = {j->rows, WIDTH}, trace[] = {j->trips, j->rows, WIDTH}, nz[] = {2, j->positive};
    uint64_t row = (uint64_t)j->rows * WIDTH * sizeof(float);
    return equal(outputs[0], j->z, 2, z, row) && equal(outputs[1], j->trace, 3, trace, row * (uint64_t)j->trips) &&
           equal(outputs[2], j->nz, 2, nz, 2 * (uint64_t)j->positive * sizeof(int64_t));
}

static void release(partita_value **values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) partita_value_release(values[i]);
}

/* ---- one run --------------------------------------------------------------------------------- */

/* In the foreground, the first output bound. */
static bool run_bound(partita_session *session, const job *j, partita_value **inputs) {
    const int64_t dims[] = {j->rows, WIDTH};
    partita_value *outputs[OUTPUTS] = {NULL}, *bound;
    if (partita_value_create(PARTITA_FLOAT32, 2, dims, NULL, &bound) != PARTITA_OK) return false;
    outputs[0] = bound;
    bool good = partita_session_run(session, NULL, inputs, INPUTS, outputs, OUTPUTS) == PARTITA_OK &&
                outputs[0] == bound && outputs_equal(j, outputs);
    if (!good) print_error("bound: %s\n", partita_last_error());
    release(outputs, OUTPUTS);
    return good;
}

static bool run_plain(partita_session *session, const job *j, partita_value **inputs) {
    partita_value *outputs[OUTPUTS] = {NULL};
    bool good =
        partita_session_run(session, NULL, inputs, INPUTS, outputs, OUTPUTS) == PARTITA_OK && outputs_equal(j, outputs);
    if (!good) print_error("plain: %s\n", partita_last_error());
    release(outputs, OUTPUTS);
    return good;
}

/* In the background; `cancel`: it may end either way, but nothing else. */
static bool run_request(partita_session *session, const job *j, partita_value **inputs, bool cancel) {
    partita_request *request;
    partita_value *outputs[OUTPUTS];
    if (partita_request_start(session, NULL, inputs, INPUTS, NULL, OUTPUTS, &request) != PARTITA_OK) return false;
    if (cancel) partita_request_cancel(request);
    partita_status status = partita_request_wait(request, UINT64_MAX);
    for (uint32_t i = 0; i < OUTPUTS; i++) outputs[i] = partita_request_output(request, i);
    bool good = status == PARTITA_OK ? outputs_equal(j, outputs) : cancel && status == PARTITA_CANCELLED;
    if (!good) print_error("request: %s: %s\n", partita_status_text(status), partita_last_error());
    partita_request_destroy(request);
    return good;
}

static bool run_late(partita_session *session, const job *j, partita_value **inputs) {
    const partita_run_options options = {.size = sizeof(options), .deadline_ms = 1};
    partita_value *outputs[OUTPUTS] = {NULL};
    partita_status status = partita_session_run(session, &options, inputs, INPUTS, outputs, OUTPUTS);
    bool good = status == PARTITA_OK ? outputs_equal(j, outputs) : status == PARTITA_DEADLINE && !outputs[0];
    if (!good) print_error("late: %s: %s\n", partita_status_text(status), partita_last_error());
    release(outputs, OUTPUTS);
    return good;
}

typedef struct worker {
    partita_session *session;
    uint32_t number;
    atomic_uint *good;
} worker;

static void *work(void *user) {
    const worker *w = user;
    for (uint32_t i = 0; i < RUNS; i++) {
        job *j = calloc(1, sizeof(*j));
        partita_value *inputs[INPUTS] = {NULL};
        make_job(j, w->number * 31 + i * 7);
        bool good = make_inputs(j, inputs);
        switch ((w->number + i) % 6) {
        case 0: good = good && run_bound(w->session, j, inputs); break;
        case 1: good = good && run_request(w->session, j, inputs, false); break;
        case 2: good = good && run_request(w->session, j, inputs, true); break;
        case 3: good = good && run_late(w->session, j, inputs); break;
        default: good = good && run_plain(w->session, j, inputs); break;
        }
        release(inputs, INPUTS);
        free(j);
        if (good) atomic_fetch_add(w->good, 1);
    }
    return NULL;
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void drop_message(void *user, int32_t level, const char *message) {
    PT_UNUSED(user);
    PT_UNUSED(level);
    PT_UNUSED(message);
}

static partita_session *start_session(const char *devices, uint64_t seed, const partita_option *options, uint32_t count,
                                      partita_context **out_context) {
    const partita_context_options context = {
        .size = sizeof(context), .options = options, .option_count = count, .threads = 3, .log = drop_message};
    const partita_plan_options plan_options = {
        .size = sizeof(plan_options), .devices = devices, .pin_random = seed > 0, .random_seed = seed};
    partita_session_options session_options = {.size = sizeof(session_options), .measure = 1};
    partita_model *model;
    partita_plan *plan;
    partita_session *session;
    void *bytes;
    uint64_t size;
    build_model(&bytes, &size);
    OK(partita_context_create(&context, out_context));
    OK(partita_model_load_memory(*out_context, bytes, size, NULL, &model));
    pt_free(bytes);
    OK(partita_plan_create(model, &plan_options, &plan));
    OK(partita_session_create(plan, &session_options, &session));
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    return session;
}

static void check(const char *devices, uint64_t seed, const partita_option *options, uint32_t count, bool demotes) {
    partita_context *context;
    partita_session *session = start_session(devices, seed, options, count, &context);
    partita_counters counters = {.size = sizeof(counters)};
    pthread_t threads[THREADS];
    worker workers[THREADS];
    atomic_uint good = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){session, i, &good};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&good), THREADS * RUNS);
    partita_session_counters(session, &counters);
    assert_int_equal(counters.demotions > 0, demotes);
    assert_true(demotes || counters.plans == 1);
    partita_session_destroy(session);
    partita_context_destroy(context);
}

static void test_placements(void **state) {
    PT_UNUSED(state);
    check("cpu", 0, NULL, 0, false);
    for (uint64_t seed = 1; seed <= 8; seed++) check("cpu,sim:0,sim:1", seed, NULL, 0, false);
}

static void test_ways_of_devices(void **state) {
    static const partita_option sync[] = {{"sim:0.async", "0"}, {"sim:1.in_order", "0"}};
    static const partita_option copies[] = {{"sim:0.import", ""}, {"sim:0.export", ""}, {"sim:1.memory", "host"}};
    static const partita_option slow[] = {{"sim:0.us", "*:300"}, {"sim:1.copy_us", "300"}};
    PT_UNUSED(state);
    check("cpu,sim:0,sim:1", 3, sync, PT_COUNT_OF(sync), false);
    check("cpu,sim:0,sim:1", 4, copies, PT_COUNT_OF(copies), false);
    check("cpu,sim:0,sim:1", 5, slow, PT_COUNT_OF(slow), false);
}

/* All threads meet the failure, one plans again, all answer. */
static void test_failing_device(void **state) {
    static const partita_option exec[] = {{"sim:0.fail_exec", "40"}, {"sim:0.fail_exec_count", "0"}};
    static const partita_option copy[] = {{"sim:1.fail_copy", "30"}};
    PT_UNUSED(state);
    check("cpu,sim:0,sim:1", 2, exec, PT_COUNT_OF(exec), true);
    check("cpu,sim:0,sim:1", 6, copy, PT_COUNT_OF(copy), true);
}

static void *live(void *user) {
    static const char *const sets[] = {"cpu", "sim:0", "cpu,sim:1"};
    atomic_uint *good = user;
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_session *session = NULL;
    partita_context *context;
    uint32_t number = atomic_fetch_add(good, 1);
    const partita_context_options options = {.size = sizeof(options), .threads = 2};
    const partita_plan_options place = {.size = sizeof(place), .devices = sets[number % 3], .fallback = 1};
    void *bytes;
    uint64_t size;
    build_model(&bytes, &size);
    if (partita_context_create(&options, &context) != PARTITA_OK) return NULL;
    bool fine = partita_model_load_memory(context, bytes, size, NULL, &model) == PARTITA_OK &&
                partita_plan_create(model, &place, &plan) == PARTITA_OK &&
                partita_session_create(plan, NULL, &session) == PARTITA_OK;
    partita_context_destroy(context); /* what was made of it holds it */
    job *j = calloc(1, sizeof(*j));
    partita_value *inputs[INPUTS] = {NULL};
    make_job(j, number);
    fine = fine && make_inputs(j, inputs) && run_plain(session, j, inputs);
    release(inputs, INPUTS);
    free(j);
    partita_model_destroy(model);
    partita_plan_destroy(plan);
    partita_session_destroy(session);
    pt_free(bytes);
    if (fine) atomic_fetch_add(good, 1000);
    return NULL;
}

static void test_contexts(void **state) {
    pthread_t threads[THREADS];
    atomic_uint good = 0;
    PT_UNUSED(state);
    for (uint32_t i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, live, &good), 0);
    for (uint32_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&good), THREADS * 1001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placements),
        cmocka_unit_test(test_ways_of_devices),
        cmocka_unit_test(test_failing_device),
        cmocka_unit_test(test_contexts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
