/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts on simulated devices: order without waits, time as declared, failures and answers as described.
 */
#include "sim_machine.h"

#include <stdlib.h>

/* ---- parts ----------------------------------------------------------------------------------- */

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
        fill_floats(x, 0.5f);
        part_build(&p);
        OK(part_compile(&p, m.device[0]));
        begin = pt_now_ns();
        OK(part_pass(&p, &m, x, y));
        took = pt_now_ns() - begin;
        assert_right(&p, x, y);
        assert_true(took >= 3500000);
        assert_int_equal(machine_usage(m.device[0]).launches, 1);
        assert_int_equal(machine_usage(m.device[0]).weight_bytes, BYTES);
        assert_true(machine_usage(m.device[0]).busy_ns >= 3500000);
        part_destroy(&p);
        assert_int_equal(machine_usage(m.device[0]).weight_bytes, 0);
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

/* Structs of hosts with an earlier or a later header: nothing is written beyond their end. */
static void structs_of_other_sizes(void **state) {
    static const uint32_t port_sizes[] = {offsetof(ptp_port, max_bytes), sizeof(ptp_port), sizeof(ptp_port) + 24};
    static const uint32_t resize_sizes[] = {offsetof(ptp_resize, bounds), sizeof(ptp_resize), sizeof(ptp_resize) + 24};
    enum { ROOM = 128 };
    MACHINE(m, "sim:0.max_dim", "5000");
    part p;
    PT_UNUSED(state);
    part_build(&p);
    OK(part_compile(&p, m.device[0]));
    for (size_t i = 0; i < PT_COUNT_OF(port_sizes); i++) {
        union {
            ptp_port port;
            unsigned char bytes[ROOM];
        } in, out;
        memset(&in, 0x5a, sizeof(in));
        memset(&out, 0x5a, sizeof(out));
        in.port.size = out.port.size = port_sizes[i];
        OK(pt_device_call(p.device, p.device->executable.ports(p.executable, &in.port, &out.port)));
        assert_int_equal(in.port.alignment, 64);
        for (uint32_t b = port_sizes[i]; b < ROOM; b++) {
            assert_int_equal(in.bytes[b], 0x5a);
            assert_int_equal(out.bytes[b], 0x5a);
        }
        if (i > 0) assert_int_equal(in.port.max_dims[0], 5000);
    }
    for (size_t i = 0; i < PT_COUNT_OF(resize_sizes); i++) {
        union {
            ptp_resize resize;
            unsigned char bytes[ROOM];
        } sized;
        ptp_instance *instance;
        memset(&sized, 0x5a, sizeof(sized));
        memcpy(&sized.resize, &p.resize, offsetof(ptp_resize, bounds));
        sized.resize.size = resize_sizes[i];
        if (i > 0) sized.resize.bounds = NULL;
        OK(pt_device_call(p.device, p.device->executable.resize(p.executable, &sized.resize, &instance)));
        assert_true(sized.resize.scratch_bytes > 0);
        p.device->executable.release(p.executable, instance);
    }
    part_destroy(&p);
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
        for (int i = 0; i < 2; i++) buffers[d][i] = machine_alloc(m->device[d], BYTES);
        buffers[d][2] = machine_alloc(m->device[d], p[d].resize.scratch_bytes);
    }
    begin = pt_now_ns();
    for (uint32_t k = 0; k < 6; k++) {
        OK(part_exec(&p[k % 2], m, buffers[k % 2][0], buffers[k % 2][1], buffers[k % 2][2]));
    }
    for (uint32_t d = 0; d < 2; d++) machine_wait_quiet(m, d, buffers[d][1]);
    begin = pt_now_ns() - begin;
    for (uint32_t d = 0; d < 2; d++) {
        part_destroy(&p[d]);
        for (int i = 0; i < 3; i++) machine_release(m->device[d], buffers[d][i]);
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
    ptp_buffer *buffer = machine_alloc(m.device[0], sizeof(data));
    uint64_t begin = pt_now_ns();
    OK(machine_copy(&m, 0, NULL, data, buffer, NULL, sizeof(data)));
    OK(stub_wait(&m.timeline, m.at));
    assert_true(pt_now_ns() - begin >= 5000000);
    machine_release(m.device[0], buffer);
    machine_close(&m);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void failures_come_as_described(void **state) {
    float x[COUNT], y[COUNT];
    part p;
    PT_UNUSED(state);
    fill_floats(x, 0);
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
        ptp_buffer *buffer = machine_alloc(m.device[1], BYTES);
        part_build(&p);
        OK(part_compile(&p, m.device[0]));
        OK(part_pass(&p, &m, x, y));
        assert_true(y[0] != 0);
        part_destroy(&p);
        assert_int_equal(machine_copy(&m, 1, NULL, x, buffer, NULL, BYTES), PARTITA_DEVICE_FAILED);
        OK(machine_copy(&m, 1, NULL, x, buffer, NULL, BYTES));
        machine_release(m.device[1], buffer);
        machine_close(&m);
    }
}

static void weights_must_fit(void **state) {
    MACHINE(m, "sim:0.memory_bytes", "5000");
    PT_UNUSED(state);
    ptp_buffer *buffer = machine_alloc(m.device[0], 2000);
    part p;
    part_build(&p);
    assert_int_equal(part_compile(&p, m.device[0]), PARTITA_CANNOT_COMPILE);
    assert_message("weights do not fit: 6096 bytes of 5000");
    machine_release(m.device[0], buffer);
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

/* ---- host memory that runs out --------------------------------------------------------------- */

static void every_allocation_may_fail(void **state) {
    float x[COUNT], y[COUNT];
    partita_status status = PARTITA_OUT_OF_MEMORY;
    PT_UNUSED(state);
    fill_floats(x, 0);
    for (int64_t k = 0; status != PARTITA_OK; k++) {
        MACHINE(m, NULL);
        ptp_buffer *buffers[2], *scratch;
        part p;
        assert_true(k < 500);
        part_build(&p);
        for (int i = 0; i < 2; i++) buffers[i] = machine_alloc(m.device[0], BYTES);
        scratch = machine_alloc(m.device[0], 1 << 20);
        pt_alloc_fail_after(k, true);
        status = part_compile(&p, m.device[0]);
        if (status == PARTITA_OK) status = part_exec(&p, &m, buffers[0], buffers[1], scratch);
        if (status == PARTITA_OK) status = machine_copy(&m, 0, buffers[1], NULL, NULL, y, BYTES);
        if (status == PARTITA_OK) status = stub_wait(&m.timeline, m.at);
        pt_alloc_fail_after(-1, false);
        if (status != PARTITA_OK) assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        machine_wait_quiet(&m, 0, buffers[1]);
        part_destroy(&p);
        for (int i = 0; i < 2; i++) machine_release(m.device[0], buffers[i]);
        machine_release(m.device[0], scratch);
        machine_close(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_compute_in_order),    cmocka_unit_test(ports_are_on_the_device),
        cmocka_unit_test(structs_of_other_sizes),    cmocka_unit_test(resources_are_shared_or_not),
        cmocka_unit_test(copies_take_their_time),    cmocka_unit_test(failures_come_as_described),
        cmocka_unit_test(weights_must_fit),          cmocka_unit_test(answers_follow_the_description),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
