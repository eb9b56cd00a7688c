/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every route that simulated devices can execute, in a session: what the plan announces is what the devices counted,
 * and the numbers are right.
 */
#include "world.h"

#include "run/context.h"

enum { COUNT = 5000, BYTES = COUNT * 4, RUNS = 3 };

typedef struct route_case {
    const char *devices, *first, *second; /* where the two nodes run */
    const char *export, *import;          /* of the first device, of the second */
    const char *route;                    /* of the value between them */
    uint64_t bytes;                       /* that it moves in a run */
    const char *alignment;                /* of what the second device imports; NULL: its default */
} route_case;

static const route_case cases[] = {
    {"sim:0,sim:1", "sim:0", "sim:1", "memfd", "memfd", "import", 0, NULL},
    {"sim:0,sim:1", "sim:0", "sim:1", "opaque-fd", "opaque-fd", "import", 0, NULL},
    {"sim:0,sim:1", "sim:0", "sim:1", "dma-buf", "dma-buf", "import", 0, NULL},
    {"sim:0,sim:1", "sim:0", "sim:1", "host-pointer", "host-pointer", "import", 0, NULL},
    {"sim:0,sim:1", "sim:0", "sim:1", "memfd", "dma-buf", "staged", 2 * BYTES, NULL},
    {"sim:0,sim:1", "sim:0", "sim:1", "host-pointer", "host-pointer", "import", 0, "4096"},
    {"sim:0,sim:1", "sim:0", "sim:1", "", "", "staged", 2 * BYTES, NULL},
    {"cpu,sim:1", "cpu", "sim:1", NULL, "host-pointer", "import", 0, NULL},
    {"cpu,sim:1", "cpu", "sim:1", NULL, "", "copy", BYTES, NULL},
    {"sim:0,cpu", "sim:0", "cpu", "", NULL, "copy", BYTES, NULL},
    {"sim:0,cpu", "sim:0", "cpu", "host-pointer", NULL, "import", 0, NULL},
};

/* Bytes that the simulated devices of the set counted themselves. */
static uint64_t counted_bytes(world *w, const char *devices) {
    static const char *const names[] = {"sim:0", "sim:1"};
    uint64_t bytes = 0;
    for (size_t i = 0; i < PT_COUNT_OF(names); i++) {
        ptp_usage usage = {.size = sizeof(usage)};
        pt_device *device;
        if (!strstr(devices, names[i])) continue;
        OK(pt_registry_device(w->context->registry, pt_str(names[i]), &device));
        OK(pt_device_call(device, device->device.usage(device->handle, &usage)));
        bytes += usage.copied_bytes;
    }
    return bytes;
}

static void check_case(const route_case *c) {
    partita_option options[3];
    const partita_pin pins[] = {{"first", c->first}, {"second", c->second}};
    partita_counters counters = {.size = sizeof(counters)};
    partita_edge_usage edge = {.size = sizeof(edge)};
    uint32_t option_count = 0;
    uint64_t announced = 0;
    float numbers[COUNT], result[COUNT];
    bool found = false;
    world w;
    if (c->export) options[option_count++] = (partita_option){"sim:0.export", c->export};
    if (c->import) options[option_count++] = (partita_option){"sim:1.import", c->import};
    if (c->alignment) options[option_count++] = (partita_option){"sim:1.import_alignment", c->alignment};
    pt_id x = world_begin(&w, COUNT), y = world_node(&w, "Abs", "first", x, PT_NONE);
    world_load(&w, world_node(&w, "Neg", "second", y, PT_NONE), c->devices, options, option_count, pins, 2);
    for (int r = 0; r < RUNS; r++) {
        for (int i = 0; i < COUNT; i++) numbers[i] = (float)(i - r);
        OK(world_run(&w, numbers, result));
        for (int i = 0; i < COUNT; i++) assert_true(result[i] == (numbers[i] < 0 ? numbers[i] : -numbers[i]));
    }
    for (uint32_t i = 0; partita_session_edge(w.session, i, &edge) == PARTITA_OK; i++) {
        announced += edge.bytes_moved;
        if (strncmp(edge.value, "first", 5) != 0) continue; /* the writer numbers names of inner values */
        found = true;
        if (strcmp(edge.route, c->route) != 0)
            fail_msg("%s to %s is by %s, not %s", c->first, c->second, edge.route, c->route);
        assert_int_equal(edge.bytes_moved, RUNS * c->bytes);
    }
    assert_true(found);
    partita_session_counters(w.session, &counters);
    assert_int_equal(counters.bytes_copied, announced);
    assert_int_equal(counted_bytes(&w, c->devices), announced);
    world_end(&w);
}

static void routes_move_what_they_announce(void **state) {
    PT_UNUSED(state);
    for (size_t i = 0; i < PT_COUNT_OF(cases); i++) check_case(&cases[i]);
}

/* Devices of every habit: synchronous, without order, without memory, taking values of every kind. */
static void habits_make_no_difference(void **state) {
    static const partita_option rows[][2] = {
        {{"sim:0.async", "0"}, {"sim:1.async", "1"}},
        {{"sim:0.async", "0"}, {"sim:1.async", "0"}},
        {{"sim:0.in_order", "0"}, {"sim:1.in_order", "0"}},
        {{"sim:0.memory", "host"}, {"sim:1.memory", "unified"}},
        {{"sim:0.memory", "host"}, {"sim:1.memory", "host"}},
        {{"sim:0.all_kinds", "1"}, {"sim:1.alignment", "4096"}},
        {{"sim:1.import_alignment", "4096"}, {"sim:0.export", "host-pointer"}},
        {{"sim:0.resource", "same"}, {"sim:1.resource", "same"}},
    };
    static const partita_pin pins[] = {{"a.*", "sim:0"}, {"b.*", "sim:1"}};
    float numbers[COUNT], result[COUNT];
    PT_UNUSED(state);
    for (int i = 0; i < COUNT; i++) numbers[i] = (float)i;
    for (size_t r = 0; r < PT_COUNT_OF(rows); r++) {
        world w;
        pt_id x = world_begin(&w, COUNT), a = world_node(&w, "Neg", "a0", x, PT_NONE);
        pt_id b = world_node(&w, "Neg", "b0", a, PT_NONE), c = world_node(&w, "Abs", "a1", a, PT_NONE);
        pt_id d = world_node(&w, "Add", "b1", b, c);
        world_load(&w, world_node(&w, "Add", "a2", d, x), "sim:0,sim:1", rows[r], 2, pins, 2);
        for (int k = 0; k < RUNS; k++) {
            OK(world_run(&w, numbers, result));
            for (int i = 0; i < COUNT; i++) assert_true(result[i] == 3 * numbers[i]);
        }
        world_end(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_move_what_they_announce),
        cmocka_unit_test(habits_make_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
