/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulated devices by themselves: memory that the host cannot see, handles of every kind, prices of routes, files that
 * describe a machine.
 */
#include "sim_machine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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
    ptp_buffer *buffer = machine_alloc(device, BYTES);
    fill_floats(there, 1);
    /* No wait between the two: the second is after the first because it touches the same memory. */
    OK(machine_copy(&m, 0, NULL, there, buffer, NULL, BYTES));
    OK(machine_copy(&m, 0, buffer, NULL, NULL, back, BYTES));
    OK(stub_wait(&m.timeline, m.at));
    assert_memory_equal(there, back, BYTES);
    OK(pt_device_call(
        device, device->memory.map(device->handle, buffer, 4 * 100, 16, PTP_MAP_READ | PTP_MAP_WRITE, (void **)&seen)));
    assert_true(seen[0] == 101);
    seen[0] = -5;
    OK(pt_device_call(device, device->memory.unmap(device->handle, buffer, seen)));
    assert_int_not_equal(device->memory.unmap(device->handle, buffer, seen), PARTITA_OK);
    OK(machine_copy(&m, 0, buffer, NULL, NULL, back, BYTES));
    OK(stub_wait(&m.timeline, m.at));
    assert_true(back[100] == -5);
    assert_int_equal(machine_usage(device).copies, 3);
    assert_int_equal(machine_usage(device).copied_bytes, 3 * BYTES);
    assert_int_equal(machine_usage(device).buffer_bytes, BYTES);
    assert_int_not_equal(machine_copy(&m, 0, buffer, NULL, NULL, back, BYTES + 1), PARTITA_OK);
    assert_message("reaches beyond its buffer");
    machine_release(device, buffer);
    assert_int_equal(machine_usage(device).buffer_bytes, 0);
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
    ptp_buffer *buffer = machine_alloc(device, BYTES);
    void *data;
    OK(pt_device_call(device, device->memory.map(device->handle, buffer, 0, BYTES, PTP_MAP_READ, &data)));
    assert_false(faults(data));
    OK(pt_device_call(device, device->memory.unmap(device->handle, buffer, data)));
    assert_true(faults(data));
    machine_release(device, buffer);
    machine_close(&m);
}

static void limits_hold(void **state) {
    MACHINE(m, "sim:0.memory_bytes", "10000", "sim:0.max_buffer", "8000", "sim:1.fail_alloc", "2");
    PT_UNUSED(state);
    pt_device *device = m.device[0];
    ptp_buffer *first = machine_alloc(device, 6000), *second = NULL;
    assert_int_equal(pt_device_call(device, device->memory.alloc(device->handle, 0, 9000, &second)),
                     PARTITA_OUT_OF_MEMORY);
    assert_message("sim:0: a buffer has at most 8000 bytes");
    assert_int_equal(pt_device_call(device, device->memory.alloc(device->handle, 0, 5000, &second)),
                     PARTITA_OUT_OF_MEMORY);
    assert_message("5000 bytes asked for, 6000 of 10000 in use");
    machine_release(device, first);
    machine_release(device, machine_alloc(device, 5000));
    machine_release(m.device[1], machine_alloc(m.device[1], 1));
    assert_int_equal(pt_device_call(m.device[1], m.device[1]->memory.alloc(m.device[1]->handle, 0, 1, &second)),
                     PARTITA_OUT_OF_MEMORY);
    machine_release(m.device[1], machine_alloc(m.device[1], 1));
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
        ptp_buffer *buffer = machine_alloc(from, BYTES), *imported = NULL;
        float there[COUNT], back[COUNT] = {0};
        int64_t handle = -1;
        fill_floats(there, (float)i);
        OK(machine_copy(&m, 0, NULL, there, buffer, NULL, BYTES));
        OK(stub_wait(&m.timeline, m.at));
        OK(pt_device_call(from, from->memory.export_handle(from->handle, buffer, kinds[i], &handle)));
        OK(pt_device_call(to, to->memory.import_handle(to->handle, 0, kinds[i], handle, BYTES, &imported)));
        OK(machine_copy(&m, 1, imported, NULL, NULL, back, BYTES));
        OK(stub_wait(&m.timeline, m.at));
        assert_memory_equal(there, back, BYTES);
        /* And the other way: what one writes the other reads. */
        fill_floats(there, -1);
        OK(machine_copy(&m, 1, NULL, there, imported, NULL, BYTES));
        OK(stub_wait(&m.timeline, m.at));
        OK(machine_copy(&m, 0, buffer, NULL, NULL, back, BYTES));
        OK(stub_wait(&m.timeline, m.at));
        assert_memory_equal(there, back, BYTES);
        machine_release(to, imported);
        machine_release(from, buffer);
    }
    machine_close(&m);
}

static void host_memory_is_imported(void **state) {
    MACHINE(m, "sim:0.import_alignment", "4096");
    PT_UNUSED(state);
    pt_device *device = m.device[0];
    float *memory = pt_malloc_aligned(2 * BYTES, 4096), *seen, back[COUNT];
    ptp_buffer *buffer = NULL;
    fill_floats(memory, 3);
    OK(pt_device_call(device, device->memory.import_handle(device->handle, 0, PTP_HANDLE_HOST_POINTER,
                                                           (int64_t)(intptr_t)memory, BYTES, &buffer)));
    OK(pt_device_call(device, device->memory.map(device->handle, buffer, 0, BYTES, PTP_MAP_READ, (void **)&seen)));
    assert_ptr_equal(seen, memory);
    OK(pt_device_call(device, device->memory.unmap(device->handle, buffer, seen)));
    OK(machine_copy(&m, 0, buffer, NULL, NULL, back, BYTES));
    OK(stub_wait(&m.timeline, m.at));
    assert_memory_equal(memory, back, BYTES);
    machine_release(device, buffer);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_described),
        cmocka_unit_test(bytes_go_there_and_back),
        cmocka_unit_test(host_access_outside_map_is_caught),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(memory_is_shared_by_handle),
        cmocka_unit_test(host_memory_is_imported),
        cmocka_unit_test(routes_have_prices),
        cmocka_unit_test(machine_files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
