/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulated devices by themselves: memory that the host cannot see, handles of every kind, order without waits, time as
 * declared, failures as described.
 */
#include "host_stub.h"
#include "op/schema.h"
#include "plugin/block.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if ((call) != PARTITA_OK) fail_msg("%s: %s", #call, pt_last_message());                                        \
    } while (0)

enum { COUNT = 1024, BYTES = COUNT * 4 };

/* A machine of two devices: options are "sim:0.key", "value" pairs up to a NULL. */
typedef struct machine {
    pt_registry *registry;
    pt_device *device[2];
    stub_timeline timeline;
    uint64_t at;
} machine;

static void machine_open(machine *m, const char *const *options) {
    ptp_option rows[16];
    pt_registry_options request = {.services = stub_services(), .options = rows};
    *m = (machine){.at = 0};
    for (; options && options[2 * request.option_count]; request.option_count++) {
        rows[request.option_count] =
            (ptp_option){options[2 * request.option_count], options[2 * request.option_count + 1]};
    }
    stub_timeline_init(&m->timeline);
    OK(pt_registry_create(&request, &m->registry));
    OK(pt_registry_device(m->registry, PT_STR("sim:0"), &m->device[0]));
    OK(pt_registry_device(m->registry, PT_STR("sim:1"), &m->device[1]));
}
#define MACHINE(m, ...)                                                                                                \
    machine m;                                                                                                         \
    machine_open(&m, (const char *const[]){__VA_ARGS__, NULL})

static void machine_close(machine *m) {
    pt_registry_destroy(m->registry);
    stub_timeline_deinit(&m->timeline);
}

static ptp_buffer *alloc(pt_device *device, uint64_t bytes) {
    ptp_buffer *buffer = NULL;
    OK(pt_device_call(device, device->memory.alloc(device->handle, 0, bytes, &buffer)));
    return buffer;
}

static void release(pt_device *device, ptp_buffer *buffer) { device->memory.free(device->handle, buffer); }

static partita_status copy(machine *m, uint32_t d, ptp_buffer *source, const void *source_data, ptp_buffer *target,
                           void *target_data, uint64_t bytes) {
    const ptp_copy row = {.size = sizeof(row),
                          .source = source,
                          .source_data = source_data,
                          .target = target,
                          .target_data = target_data,
                          .bytes = bytes};
    pt_device *device = m->device[d];
    return pt_device_call(device, device->memory.copy(device->handle, &row, 1, stub_point(&m->timeline, ++m->at)));
}

static ptp_usage usage_of(pt_device *device) {
    ptp_usage usage = {.size = sizeof(usage)};
    OK(pt_device_call(device, device->device.usage(device->handle, &usage)));
    return usage;
}

static void fill(float *data, float first) {
    for (int i = 0; i < COUNT; i++) data[i] = first + (float)i;
}

static void assert_message(const char *part) {
    if (!strstr(pt_last_message(), part)) fail_msg("\"%s\" does not say \"%s\"", pt_last_message(), part);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void devices_are_described(void **state) {
    MACHINE(m, "sim:0.memory_bytes", "8192", "sim:1.async", "0");
    PT_UNUSED(state);
    const ptp_device_info *info = &m.device[0]->info;
    assert_string_equal(m.device[0]->name, "sim:0");
    assert_string_equal(info->kind, "sim");
    assert_string_equal(info->resources[0], "sim:0");
    assert_int_equal(info->domains[0].memory, PTP_MEMORY_DEVICE);
    assert_int_equal(info->domains[0].bytes_total, 8192);
    assert_true(info->flags & PTP_DEVICE_SIMULATED);
    assert_true(info->flags & PTP_DEVICE_ASYNC);
    assert_false(m.device[1]->info.flags & PTP_DEVICE_ASYNC);
    machine_close(&m);
}

static void bytes_go_there_and_back(void **state) {
    float there[COUNT], back[COUNT] = {0}, *seen;
    MACHINE(m, NULL);
    PT_UNUSED(state);
    pt_device *device = m.device[0];
    ptp_buffer *buffer = alloc(device, BYTES);
    fill(there, 1);
    /* No wait between the two: the second is after the first because it touches the same memory. */
    OK(copy(&m, 0, NULL, there, buffer, NULL, BYTES));
    OK(copy(&m, 0, buffer, NULL, NULL, back, BYTES));
    OK(stub_wait(&m.timeline, m.at));
    assert_memory_equal(there, back, BYTES);
    OK(pt_device_call(
        device, device->memory.map(device->handle, buffer, 4 * 100, 16, PTP_MAP_READ | PTP_MAP_WRITE, (void **)&seen)));
    assert_true(seen[0] == 101);
    seen[0] = -5;
    OK(pt_device_call(device, device->memory.unmap(device->handle, buffer, seen)));
    assert_int_not_equal(device->memory.unmap(device->handle, buffer, seen), PARTITA_OK);
    OK(copy(&m, 0, buffer, NULL, NULL, back, BYTES));
    OK(stub_wait(&m.timeline, m.at));
    assert_true(back[100] == -5);
    assert_int_equal(usage_of(device).copies, 3);
    assert_int_equal(usage_of(device).copied_bytes, 3 * BYTES);
    assert_int_equal(usage_of(device).buffer_bytes, BYTES);
    assert_int_not_equal(copy(&m, 0, buffer, NULL, NULL, back, BYTES + 1), PARTITA_OK);
    assert_message("reaches beyond its buffer");
    release(device, buffer);
    assert_int_equal(usage_of(device).buffer_bytes, 0);
    machine_close(&m);
}

/* Touches an address in a child; true when that ended it. */
static bool faults(volatile char *address) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        (void)*address;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status);
}

static void host_access_outside_map_is_caught(void **state) {
    MACHINE(m, NULL);
    PT_UNUSED(state);
    pt_device *device = m.device[0];
    ptp_buffer *buffer = alloc(device, BYTES);
    void *data;
    OK(pt_device_call(device, device->memory.map(device->handle, buffer, 0, BYTES, PTP_MAP_READ, &data)));
    assert_false(faults(data));
    OK(pt_device_call(device, device->memory.unmap(device->handle, buffer, data)));
    assert_true(faults(data));
    release(device, buffer);
    machine_close(&m);
}

static void limits_hold(void **state) {
    MACHINE(m, "sim:0.memory_bytes", "10000", "sim:0.max_buffer", "8000", "sim:1.fail_alloc", "2");
    PT_UNUSED(state);
    pt_device *device = m.device[0];
    ptp_buffer *first = alloc(device, 6000), *second = NULL;
    assert_int_equal(pt_device_call(device, device->memory.alloc(device->handle, 0, 9000, &second)),
                     PARTITA_OUT_OF_MEMORY);
    assert_message("sim:0: a buffer has at most 8000 bytes");
    assert_int_equal(pt_device_call(device, device->memory.alloc(device->handle, 0, 5000, &second)),
                     PARTITA_OUT_OF_MEMORY);
    assert_message("5000 bytes asked for, 6000 of 10000 in use");
    release(device, first);
    release(device, alloc(device, 5000));
    release(m.device[1], alloc(m.device[1], 1));
    assert_int_equal(pt_device_call(m.device[1], m.device[1]->memory.alloc(m.device[1]->handle, 0, 1, &second)),
                     PARTITA_OUT_OF_MEMORY);
    release(m.device[1], alloc(m.device[1], 1));
    machine_close(&m);
}

/* ---- handles --------------------------------------------------------------------------------- */

static void memory_is_shared_by_handle(void **state) {
    static const uint32_t kinds[] = {PTP_HANDLE_MEMFD, PTP_HANDLE_OPAQUE_FD, PTP_HANDLE_DMA_BUF,
                                     PTP_HANDLE_HOST_POINTER};
    MACHINE(m, "sim:0.export", "memfd,opaque-fd,dma-buf,host-pointer");
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(kinds); i++) {
        pt_device *from = m.device[0], *to = m.device[1];
        ptp_buffer *buffer = alloc(from, BYTES), *imported = NULL;
        float there[COUNT], back[COUNT] = {0};
        int64_t handle = -1;
        fill(there, (float)i);
        OK(copy(&m, 0, NULL, there, buffer, NULL, BYTES));
        OK(stub_wait(&m.timeline, m.at));
        OK(pt_device_call(from, from->memory.export_handle(from->handle, buffer, kinds[i], &handle)));
        OK(pt_device_call(to, to->memory.import_handle(to->handle, 0, kinds[i], handle, BYTES, &imported)));
        OK(copy(&m, 1, imported, NULL, NULL, back, BYTES));
        OK(stub_wait(&m.timeline, m.at));
        assert_memory_equal(there, back, BYTES);
        /* And the other way: what one writes the other reads. */
        fill(there, -1);
        OK(copy(&m, 1, NULL, there, imported, NULL, BYTES));
        OK(stub_wait(&m.timeline, m.at));
        OK(copy(&m, 0, buffer, NULL, NULL, back, BYTES));
        OK(stub_wait(&m.timeline, m.at));
        assert_memory_equal(there, back, BYTES);
        release(to, imported);
        release(from, buffer);
    }
    machine_close(&m);
}

static void host_memory_is_imported(void **state) {
    MACHINE(m, "sim:0.import_alignment", "4096");
    PT_UNUSED(state);
    pt_device *device = m.device[0];
    float *memory = pt_malloc_aligned(2 * BYTES, 4096), *seen, back[COUNT];
    ptp_buffer *buffer = NULL;
    fill(memory, 3);
    OK(pt_device_call(device, device->memory.import_handle(device->handle, 0, PTP_HANDLE_HOST_POINTER,
                                                           (int64_t)(intptr_t)memory, BYTES, &buffer)));
    OK(pt_device_call(device, device->memory.map(device->handle, buffer, 0, BYTES, PTP_MAP_READ, (void **)&seen)));
    assert_ptr_equal(seen, memory);
    OK(pt_device_call(device, device->memory.unmap(device->handle, buffer, seen)));
    OK(copy(&m, 0, buffer, NULL, NULL, back, BYTES));
    OK(stub_wait(&m.timeline, m.at));
    assert_memory_equal(memory, back, BYTES);
    release(device, buffer);
    assert_int_equal(
        pt_device_call(device, device->memory.import_handle(device->handle, 0, PTP_HANDLE_HOST_POINTER,
                                                            (int64_t)(intptr_t)(memory + 1), 4096, &buffer)),
        PARTITA_INVALID_ARGUMENT);
    assert_message("multiples of 4096");
    assert_int_equal(
        pt_device_call(device, device->memory.import_handle(device->handle, 0, PTP_HANDLE_CUDA_IPC, 0, 1, &buffer)),
        PARTITA_UNSUPPORTED);
    assert_int_equal(
        pt_device_call(device, device->memory.import_handle(device->handle, 0, PTP_HANDLE_MEMFD, 12345, 1, &buffer)),
        PARTITA_INVALID_ARGUMENT);
    pt_free(memory);
    machine_close(&m);
}

static uint32_t route_answer(pt_device *device, uint32_t outgoing, uint32_t route, uint32_t handle,
                             const ptp_device_info *peer, double *out_us) {
    ptp_route row = {.size = sizeof(row),
                     .outgoing = outgoing,
                     .route = route,
                     .handle = handle,
                     .peer = peer,
                     .peer_memory = peer ? PTP_MEMORY_DEVICE : PTP_MEMORY_HOST};
    OK(pt_device_call(device, device->device.route(device->handle, &row)));
    *out_us = row.us + 1000 * row.us_per_byte;
    return row.route;
}

static void routes_have_prices(void **state) {
    MACHINE(m, "sim:0.copy_us", "7", "sim:0.copy_bytes_per_us", "500", "sim:0.import_us", "3", "sim:1.import", "memfd");
    PT_UNUSED(state);
    ptp_device_info stranger = m.device[1]->info;
    double us;
    snprintf(stranger.kind, sizeof(stranger.kind), "other");
    assert_int_equal(route_answer(m.device[0], 1, PTP_ROUTE_COPY, 0, NULL, &us), PTP_ROUTE_COPY);
    assert_true(us == 9);
    assert_int_equal(route_answer(m.device[0], 1, PTP_ROUTE_IMPORT, PTP_HANDLE_DMA_BUF, &m.device[1]->info, &us),
                     PTP_ROUTE_IMPORT);
    assert_true(us == 3);
    assert_int_equal(route_answer(m.device[0], 1, PTP_ROUTE_IMPORT, PTP_HANDLE_DMA_BUF, &stranger, &us),
                     PTP_ROUTE_NONE);
    assert_int_equal(route_answer(m.device[0], 1, PTP_ROUTE_IMPORT, PTP_HANDLE_MEMFD, &stranger, &us),
                     PTP_ROUTE_IMPORT);
    assert_int_equal(route_answer(m.device[1], 0, PTP_ROUTE_IMPORT, PTP_HANDLE_DMA_BUF, &m.device[0]->info, &us),
                     PTP_ROUTE_NONE);
    assert_int_equal(route_answer(m.device[0], 1, PTP_ROUTE_COPY, 0, &m.device[1]->info, &us), PTP_ROUTE_NONE);
    machine_close(&m);
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* y = Relu(Add(x, w)), as a part. */
typedef struct part {
    pt_model *model;
    pt_block *block;
    int64_t *symbols;
    pt_id x, w, s, y, add, relu;
    float weight[COUNT];
    pt_device *device;
    ptp_executable *executable;
    ptp_instance *instance;
    ptp_resize resize;
    ptp_shape shapes[8];
} part;

static pt_id add_value(pt_model *model, const char *name) {
    pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .rank = 1, .dims = (pt_dim[]){COUNT}};
    pt_id id = PT_NONE;
    OK(pt_model_add_value(model, 0, pt_str(name), &type, &id));
    return id;
}

static pt_id add_node(pt_model *model, const char *op, const pt_id *in, uint32_t n_in, pt_id out) {
    pt_id node = PT_NONE;
    uint32_t source;
    OK(pt_model_add_node(model, 0, pt_str(op), PT_STR(""), 17, in, n_in, &out, 1, &node));
    OK(pt_model_add_source(model, pt_str(op), pt_str(op), PT_STR(""), &source));
    OK(pt_node_add_source(model, node, source));
    return node;
}

static void part_build(part *p) {
    pt_id graph;
    pt_weight *weight;
    pt_tensor *tensor;
    void *data = pt_malloc(BYTES);
    memset(p, 0, sizeof(*p));
    OK(pt_model_create(&p->model));
    OK(pt_model_add_graph(p->model, PT_STR("main"), PT_NONE, &graph));
    OK(pt_array_push(&p->model->opsets, (pt_opset){PT_STR(""), 17}) ? PARTITA_OK : PARTITA_OUT_OF_MEMORY);
    p->x = add_value(p->model, "x");
    p->w = add_value(p->model, "w");
    p->s = add_value(p->model, "s");
    p->y = add_value(p->model, "y");
    fill(p->weight, -100);
    memcpy(data, p->weight, BYTES);
    OK(pt_weight_create_owned(data, BYTES, &weight));
    OK(pt_model_add_tensor(p->model, PARTITA_FLOAT32, 1, (int64_t[]){COUNT}, weight, &tensor));
    OK(pt_value_set_constant(p->model, p->w, tensor));
    OK(pt_graph_add_input(p->model, graph, p->x));
    p->add = add_node(p->model, "Add", (pt_id[]){p->x, p->w}, 2, p->s);
    p->relu = add_node(p->model, "Relu", (pt_id[]){p->s}, 1, p->y);
    OK(pt_graph_add_output(p->model, graph, p->y));
    OK(pt_model_check(p->model));
    p->symbols = pt_calloc(p->model->symbols.rows.size + 1, sizeof(*p->symbols));
    OK(pt_block_create_part(p->model, p->symbols, (pt_id[]){p->add, p->relu}, 2, &p->x, 1, &p->y, 1, &p->block));
}

static partita_status part_compile(part *p, pt_device *device) {
    static const int64_t dims[] = {COUNT};
    ptp_weight weight = {.size = sizeof(weight), .data = p->weight, .bytes = BYTES, .fd = -1};
    ptp_compile compile = {.size = sizeof(compile), .block = p->block->data, .weights = &weight, .weight_count = 1};
    partita_status status;
    p->device = device;
    status = pt_device_call(device, device->device.compile(device->handle, &compile, &p->executable));
    if (status != PARTITA_OK) return status;
    assert_int_equal(weight.mode, PTP_WEIGHT_UPLOAD);
    for (uint32_t i = 0; i < p->block->data->values.count; i++) p->shapes[i] = (ptp_shape){1, 0, dims};
    p->resize =
        (ptp_resize){.size = sizeof(p->resize), .shape_count = p->block->data->values.count, .shapes = p->shapes};
    return pt_device_call(device, device->executable.resize(p->executable, &p->resize, &p->instance));
}

static partita_status part_exec(part *p, machine *m, ptp_buffer *x, ptp_buffer *y, ptp_buffer *scratch) {
    static const int64_t dims[] = {COUNT};
    stub_run run = {.device = p->device};
    ptp_tensor input = {.size = sizeof(input),
                        .kind = PARTITA_KIND_TENSOR,
                        .dtype = PARTITA_FLOAT32,
                        .rank = 1,
                        .dims = dims,
                        .buffer = x,
                        .bytes = BYTES};
    ptp_tensor output = input;
    output.buffer = y;
    const ptp_exec exec = {.size = sizeof(exec),
                           .input_count = 1,
                           .inputs = &input,
                           .outputs = &output,
                           .output_count = 1,
                           .done = stub_point(&m->timeline, ++m->at),
                           .scratch = scratch,
                           .scratch_bytes = p->resize.scratch_bytes};
    PT_UNUSED(run);
    return pt_device_call(p->device, p->device->executable.exec(p->executable, p->instance, &exec));
}

static void part_destroy(part *p) {
    if (p->executable) {
        p->device->executable.release(p->executable, p->instance);
        p->device->executable.destroy(p->executable);
    }
    pt_block_destroy(p->block);
    pt_free(p->symbols);
    pt_model_destroy(p->model);
}

/* map waits for the device's earlier work on the buffer, whatever became of it. */
static void wait_until_quiet(machine *m, uint32_t d, ptp_buffer *buffer) {
    pt_device *device = m->device[d];
    void *data;
    if (device->memory.map(device->handle, buffer, 0, BYTES, PTP_MAP_READ, &data) != PARTITA_OK) return;
    OK(device->memory.unmap(device->handle, buffer, data));
}

/* x to the device, the part, y back: enqueued at once. */
static partita_status part_pass(part *p, machine *m, const float *x, float *y) {
    uint32_t d = p->device == m->device[1];
    ptp_buffer *in = alloc(p->device, BYTES), *out = alloc(p->device, BYTES);
    ptp_buffer *scratch = alloc(p->device, p->resize.scratch_bytes);
    partita_status status = copy(m, d, NULL, x, in, NULL, BYTES);
    if (status == PARTITA_OK) status = part_exec(p, m, in, out, scratch);
    if (status == PARTITA_OK) status = copy(m, d, out, NULL, NULL, y, BYTES);
    if (status == PARTITA_OK) status = stub_wait(&m->timeline, m->at);
    /* A failed one doesn't stop the others: the buffers go when all is quiet. */
    wait_until_quiet(m, d, out);
    release(p->device, in);
    release(p->device, out);
    release(p->device, scratch);
    return status;
}

static void assert_right(const part *p, const float *x, const float *y) {
    for (int i = 0; i < COUNT; i++) {
        float sum = x[i] + p->weight[i];
        assert_true(y[i] == (sum > 0 ? sum : 0));
    }
}

static void parts_compute_in_order(void **state) {
    static const char *const modes[] = {"1", "0"};
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(modes); i++) {
        MACHINE(m, "sim:0.us", "Add:2000,*:1000", "sim:0.launch_us", "500", "sim:0.async", modes[i], "sim:0.copy_us",
                "0");
        float x[COUNT], y[COUNT];
        part p;
        uint64_t begin, took;
        fill(x, 0.5f);
        part_build(&p);
        OK(part_compile(&p, m.device[0]));
        begin = pt_now_ns();
        OK(part_pass(&p, &m, x, y));
        took = pt_now_ns() - begin;
        assert_right(&p, x, y);
        assert_true(took >= 3500000);
        assert_int_equal(usage_of(m.device[0]).launches, 1);
        assert_int_equal(usage_of(m.device[0]).weight_bytes, BYTES);
        assert_true(usage_of(m.device[0]).busy_ns >= 3500000);
        part_destroy(&p);
        assert_int_equal(usage_of(m.device[0]).weight_bytes, 0);
        machine_close(&m);
    }
}

static void ports_are_on_the_device(void **state) {
    MACHINE(m, "sim:1.memory", "host");
    PT_UNUSED(state);
    for (uint32_t d = 0; d < 2; d++) {
        ptp_port input = {.size = sizeof(input)}, output = {.size = sizeof(output)};
        part p;
        part_build(&p);
        OK(part_compile(&p, m.device[d]));
        OK(pt_device_call(p.device, p.device->executable.ports(p.executable, &input, &output)));
        assert_int_equal(input.domain, d == 0 ? 0 : PTP_DOMAIN_HOST);
        assert_int_equal(output.domain, input.domain);
        assert_int_equal(output.output, PTP_PORT_STATIC);
        assert_int_equal(input.alignment, 64);
        assert_int_equal(m.device[d]->has_memory, d == 0);
        part_destroy(&p);
    }
    machine_close(&m);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* Runs the part on both devices at once, three times; nanoseconds. */
static uint64_t both(machine *m) {
    part p[2];
    ptp_buffer *buffers[2][3];
    uint64_t begin;
    for (uint32_t d = 0; d < 2; d++) {
        part_build(&p[d]);
        OK(part_compile(&p[d], m->device[d]));
        for (int i = 0; i < 2; i++) buffers[d][i] = alloc(m->device[d], BYTES);
        buffers[d][2] = alloc(m->device[d], p[d].resize.scratch_bytes);
    }
    begin = pt_now_ns();
    for (uint32_t k = 0; k < 6; k++) {
        OK(part_exec(&p[k % 2], m, buffers[k % 2][0], buffers[k % 2][1], buffers[k % 2][2]));
    }
    for (uint32_t d = 0; d < 2; d++) wait_until_quiet(m, d, buffers[d][1]);
    begin = pt_now_ns() - begin;
    for (uint32_t d = 0; d < 2; d++) {
        part_destroy(&p[d]);
        for (int i = 0; i < 3; i++) release(m->device[d], buffers[d][i]);
    }
    return begin;
}

static void resources_are_shared_or_not(void **state) {
    uint64_t apart, together;
    PT_UNUSED(state);
    {
        MACHINE(m, "sim:0.us", "*:10000", "sim:1.us", "*:10000");
        apart = both(&m);
        machine_close(&m);
    }
    {
        MACHINE(m, "sim:0.us", "*:10000", "sim:1.us", "*:10000", "sim:0.resource", "gpu0,pci", "sim:1.resource", "pci");
        together = both(&m);
        machine_close(&m);
    }
    /* Three runs of 20 ms each: at once, or one after the other. */
    assert_true(apart >= 60000000);
    assert_true(together >= 120000000);
    assert_true(apart < together);
}

static void copies_take_their_time(void **state) {
    MACHINE(m, "sim:0.copy_us", "1000", "sim:0.copy_bytes_per_us", "1");
    PT_UNUSED(state);
    char data[4000] = {0};
    ptp_buffer *buffer = alloc(m.device[0], sizeof(data));
    uint64_t begin = pt_now_ns();
    OK(copy(&m, 0, NULL, data, buffer, NULL, sizeof(data)));
    OK(stub_wait(&m.timeline, m.at));
    assert_true(pt_now_ns() - begin >= 5000000);
    release(m.device[0], buffer);
    machine_close(&m);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void failures_come_as_described(void **state) {
    float x[COUNT], y[COUNT];
    part p;
    PT_UNUSED(state);
    fill(x, 0);
    {
        MACHINE(m, "sim:0.fail_compile", "Relu", "sim:1.fail_exec", "2");
        part_build(&p);
        assert_int_equal(part_compile(&p, m.device[0]), PARTITA_CANNOT_COMPILE);
        assert_message("sim:0: Relu does not compile as described");
        OK(part_compile(&p, m.device[1]));
        OK(part_pass(&p, &m, x, y));
        assert_int_equal(part_pass(&p, &m, x, y), PARTITA_DEVICE_FAILED); /* told by the timeline */
        assert_string_equal(m.timeline.message, "the run fails as described");
        m.timeline.status = PARTITA_OK;
        OK(part_pass(&p, &m, x, y));
        part_destroy(&p);
        machine_close(&m);
    }
    {
        MACHINE(m, "sim:0.fail_exec", "1", "sim:0.fail_exec_count", "0", "sim:0.async", "0", "sim:1.lost", "2");
        part_build(&p);
        OK(part_compile(&p, m.device[0]));
        for (int i = 0; i < 3; i++) {
            assert_int_equal(part_pass(&p, &m, x, y), PARTITA_DEVICE_FAILED); /* told by the call */
            assert_message("sim:0: the run fails as described");
        }
        part_destroy(&p);
        part_build(&p);
        OK(part_compile(&p, m.device[1]));
        OK(part_pass(&p, &m, x, y));
        assert_int_equal(part_pass(&p, &m, x, y), PARTITA_DEVICE_LOST);
        assert_message("sim:1: the device is lost as described");
        part_destroy(&p);
        machine_close(&m);
    }
    {
        MACHINE(m, "sim:0.wrong", "Add", "sim:1.fail_copy", "1", "sim:1.async", "0");
        ptp_buffer *buffer = alloc(m.device[1], BYTES);
        part_build(&p);
        OK(part_compile(&p, m.device[0]));
        OK(part_pass(&p, &m, x, y));
        assert_true(y[0] != 0);
        part_destroy(&p);
        assert_int_equal(copy(&m, 1, NULL, x, buffer, NULL, BYTES), PARTITA_DEVICE_FAILED);
        OK(copy(&m, 1, NULL, x, buffer, NULL, BYTES));
        release(m.device[1], buffer);
        machine_close(&m);
    }
}

static void weights_must_fit(void **state) {
    MACHINE(m, "sim:0.memory_bytes", "5000");
    PT_UNUSED(state);
    ptp_buffer *buffer = alloc(m.device[0], 2000);
    part p;
    part_build(&p);
    assert_int_equal(part_compile(&p, m.device[0]), PARTITA_CANNOT_COMPILE);
    assert_message("weights do not fit: 6096 bytes of 5000");
    release(m.device[0], buffer);
    OK(part_compile(&p, m.device[0]));
    part_destroy(&p);
    machine_close(&m);
}

static void answers_follow_the_description(void **state) {
    MACHINE(m, "sim:0.us", "Add:30,*:10", "sim:0.speed", "2", "sim:0.not_ops", "Relu", "sim:0.fuse", "0.5",
            "sim:1.max_buffer", "4000", "sim:1.trim", "Relu");
    PT_UNUSED(state);
    ptp_answer answers[2] = {{.size = sizeof(answers[0])}, {.size = sizeof(answers[0])}};
    uint8_t drop[2] = {0};
    pt_block *block;
    part p;
    part_build(&p);
    const pt_block_unit units[] = {{PTP_UNIT_NODE, 0, &p.add, 1, PARTITA_NONE},
                                   {PTP_UNIT_NODE, 0, &p.relu, 1, PARTITA_NONE}};
    const uint32_t rows[] = {0, 1};
    OK(pt_block_create_model(p.model, p.symbols, units, 2, &block));
    const ptp_ask ask = {.size = sizeof(ask), .block = block->data, .units = rows, .count = 2};
    OK(pt_device_call(m.device[0], m.device[0]->device.ask(m.device[0]->handle, &ask, answers)));
    assert_int_equal(answers[0].can, PTP_YES);
    assert_true(answers[0].us == 15);
    assert_int_equal(answers[0].weight_bytes, BYTES);
    assert_int_equal(answers[1].can, PTP_NO);
    assert_int_equal(answers[1].reason, PARTITA_REASON_OP);
    OK(pt_device_call(m.device[1], m.device[1]->device.ask(m.device[1]->handle, &ask, answers)));
    assert_int_equal(answers[0].reason, PARTITA_REASON_MEMORY);
    assert_non_null(strstr(answers[0].text, "4096 bytes, a buffer at most 4000"));

    ptp_offer offer = {.size = sizeof(offer), .block = p.block->data, .drop = drop};
    OK(pt_device_call(m.device[0], m.device[0]->device.offer(m.device[0]->handle, &offer)));
    assert_int_equal(offer.verdict, PTP_ACCEPT);
    assert_true(offer.us == 10);
    OK(pt_device_call(m.device[1], m.device[1]->device.offer(m.device[1]->handle, &offer)));
    assert_int_equal(offer.verdict, PTP_TRIM);
    assert_int_equal(drop[0], 0);
    assert_int_equal(drop[1], 1);
    pt_block_destroy(block);
    part_destroy(&p);
    machine_close(&m);
}

/* ---- machine files --------------------------------------------------------------------------- */

static void machine_files_are_read(void **state) {
    static const struct {
        const char *content, *message;
    } rows[] = {
        {"[device]\nspeed = fast\n", "line 2: speed: \"fast\" is no float"},
        {"# nothing\nspeed = 2\n", "line 2: a key before the first [device]"},
        {"[device]\n\nwings = 2\n", "line 3: there is no key \"wings\""},
        {"[device]\nmemory = paper\n", "memory: there is no kind \"paper\""},
        {"[device]\nalignment = 3\n", "alignment: not a power of two"},
        {"what\n", "line 1: neither [device] nor key = value"},
        {"", "has no [device]"},
    };
    char path[] = "/tmp/partita-machine-XXXXXX";
    const pt_registry_options request = {.services = stub_services()};
    pt_registry *registry;
    pt_device *device;
    int fd = mkstemp(path);
    PT_UNUSED(state);
    assert_true(fd >= 0);
    setenv("PARTITA_SIM_MACHINE", path, 1);
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, rows[i].content, strlen(rows[i].content), 0), (ssize_t)strlen(rows[i].content));
        OK(pt_registry_create(&request, &registry));
        assert_int_not_equal(pt_registry_device(registry, PT_STR("sim"), &device), PARTITA_OK);
        assert_message(rows[i].message);
        pt_registry_destroy(registry);
    }
    dprintf(fd, "[device] # the only one\n  name = small npu\nlaunch_us=0.5\nresource = npu, pci\n");
    OK(pt_registry_create(&request, &registry));
    OK(pt_registry_device(registry, PT_STR("sim"), &device));
    assert_string_equal(device->name, "sim");
    assert_string_equal(device->info.description, "small npu");
    assert_true(device->info.launch_us == 0.5);
    pt_registry_destroy(registry);
    setenv("PARTITA_SIM_MACHINE", "/nowhere/machine", 1);
    OK(pt_registry_create(&request, &registry));
    assert_int_not_equal(pt_registry_device(registry, PT_STR("sim"), &device), PARTITA_OK);
    assert_message("machine file /nowhere/machine");
    pt_registry_destroy(registry);
    unsetenv("PARTITA_SIM_MACHINE");
    close(fd);
    unlink(path);
}

/* ---- host memory that runs out --------------------------------------------------------------- */

static void every_allocation_may_fail(void **state) {
    float x[COUNT], y[COUNT];
    partita_status status = PARTITA_OUT_OF_MEMORY;
    PT_UNUSED(state);
    fill(x, 0);
    for (int64_t k = 0; status != PARTITA_OK; k++) {
        MACHINE(m, NULL);
        ptp_buffer *buffers[2], *scratch;
        part p;
        assert_true(k < 500);
        part_build(&p);
        for (int i = 0; i < 2; i++) buffers[i] = alloc(m.device[0], BYTES);
        scratch = alloc(m.device[0], 1 << 20);
        pt_alloc_fail_after(k, true);
        status = part_compile(&p, m.device[0]);
        if (status == PARTITA_OK) status = part_exec(&p, &m, buffers[0], buffers[1], scratch);
        if (status == PARTITA_OK) status = copy(&m, 0, buffers[1], NULL, NULL, y, BYTES);
        if (status == PARTITA_OK) status = stub_wait(&m.timeline, m.at);
        pt_alloc_fail_after(-1, false);
        if (status != PARTITA_OK) assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        wait_until_quiet(&m, 0, buffers[1]);
        part_destroy(&p);
        for (int i = 0; i < 2; i++) release(m.device[0], buffers[i]);
        release(m.device[0], scratch);
        machine_close(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_described),
        cmocka_unit_test(bytes_go_there_and_back),
        cmocka_unit_test(host_access_outside_map_is_caught),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(memory_is_shared_by_handle),
        cmocka_unit_test(host_memory_is_imported),
        cmocka_unit_test(routes_have_prices),
        cmocka_unit_test(parts_compute_in_order),
        cmocka_unit_test(ports_are_on_the_device),
        cmocka_unit_test(resources_are_shared_or_not),
        cmocka_unit_test(copies_take_their_time),
        cmocka_unit_test(failures_come_as_described),
        cmocka_unit_test(weights_must_fit),
        cmocka_unit_test(answers_follow_the_description),
        cmocka_unit_test(machine_files_are_read),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
