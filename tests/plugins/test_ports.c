/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ports promise, as sessions use it: bounded outputs with memory beforehand and real dims afterwards, outputs that
 * take over an input's memory, executables that are good for a range of shapes.
 */
#include "world.h"

#include "onnx/writer.h"
#include "run/layout.h"
#include "run/session.h"

#include <stdio.h>

enum { ROWS = 3, COLUMNS = 4, CELLS = ROWS * COLUMNS, BOUND = CELLS * 2 * 8 };

/* ---- bounded outputs ------------------------------------------------------------------------- */

/* x [3, 4] -> NonZero "found" -> Neg "y"; when `both`, "found" is an output too. */
typedef struct search {
    world w;
    uint32_t output_count;
} search;

static pt_id add(search *s, const char *name, partita_dtype dtype, pt_dim first, pt_dim second) {
    pt_type type = {.kind = PARTITA_KIND_TENSOR, .dtype = dtype, .rank = 2, .dims = (pt_dim[]){first, second}};
    pt_id id;
    OK(pt_model_add_value(s->w.model, 0, pt_str(name), &type, &id));
    return id;
}

static void add_node(search *s, const char *op, const char *name, pt_id input, pt_id output) {
    uint32_t source;
    pt_id node;
    OK(pt_model_add_node(s->w.model, 0, pt_str(op), PT_STR(""), 13, &input, 1, &output, 1, &node));
    OK(pt_model_add_source(s->w.model, pt_str(name), pt_str(op), PT_STR(""), &source));
    OK(pt_node_add_source(s->w.model, node, source));
}

static void search_open(search *s, bool both, const char *devices, const char *first, const char *second, bool strict,
                        const partita_option *options, uint32_t option_count) {
    const partita_pin pins[] = {{"found", first}, {"y", second}};
    const partita_context_options context = {.size = sizeof(context), .options = options, .option_count = option_count};
    const partita_plan_options plan = {
        .size = sizeof(plan), .devices = devices, .pins = pins, .pin_count = strict ? 2 : 0, .strict = strict};
    pt_dim n;
    pt_id x, found, y;
    void *bytes;
    uint64_t size;
    memset(s, 0, sizeof(*s));
    OK(pt_model_create(&s->w.model));
    OK(pt_model_add_graph(s->w.model, PT_STR("main"), PT_NONE, &x));
    s->w.model->ir_version = 8;
    assert_true(pt_array_push(&s->w.model->opsets, (pt_opset){PT_STR(""), 17}));
    OK(pt_dim_data(&s->w.model->symbols, &n));
    x = add(s, "x", PARTITA_FLOAT32, ROWS, COLUMNS);
    found = add(s, "found", PARTITA_INT64, 2, n);
    y = add(s, "y", PARTITA_INT64, 2, n);
    OK(pt_graph_add_input(s->w.model, 0, x));
    add_node(s, "NonZero", "found", x, found);
    add_node(s, "Neg", "y", found, y);
    OK(pt_graph_add_output(s->w.model, 0, y));
    if (both) OK(pt_graph_add_output(s->w.model, 0, found));
    s->output_count = both ? 2 : 1;
    OK(pt_onnx_write(s->w.model, UINT64_MAX, &bytes, &size));
    OK(partita_context_create(&context, &s->w.context));
    OK(partita_model_load_memory(s->w.context, bytes, size, NULL, &s->w.loaded));
    pt_free(bytes);
    OK(partita_plan_create(s->w.loaded, &plan, &s->w.plan));
    OK(partita_session_create(s->w.plan, NULL, &s->w.session));
}

/* The first `count` cells are not 0. */
static partita_status search_run(search *s, int64_t count) {
    float cells[CELLS] = {0};
    partita_value *input, *outputs[2] = {NULL, NULL};
    for (int64_t i = 0; i < count; i++) cells[i] = 1;
    PT_TRY(partita_value_create(PARTITA_FLOAT32, 2, (int64_t[]){ROWS, COLUMNS}, cells, &input));
    partita_status status = partita_session_run(s->w.session, NULL, &input, 1, outputs, s->output_count);
    for (uint32_t o = 0; status == PARTITA_OK && o < s->output_count; o++) {
        partita_value_view view = {.size = sizeof(view)};
        int64_t sign = o == 0 ? -1 : 1;
        OK(partita_value_view_of(outputs[o], &view));
        assert_int_equal(view.dims[0], 2);
        assert_int_equal(view.dims[1], count);
        assert_int_equal(view.bytes, count * 16);
        for (int64_t i = 0; i < count; i++) {
            assert_int_equal(((const int64_t *)view.data)[i], sign * (i / COLUMNS));
            assert_int_equal(((const int64_t *)view.data)[count + i], sign * (i % COLUMNS));
        }
    }
    partita_value_release(input);
    for (uint32_t o = 0; o < s->output_count; o++) partita_value_release(outputs[o]);
    return status;
}

/* Bytes that are planned for the bounded output; 0 when it has no place in the arena. */
static uint64_t planned_bound(const search *s) {
    const pt_program *program = s->w.session->build->programs[0];
    for (uint32_t i = 0; i < program->slots.size; i++) {
        const pt_room *room = &program->layouts->rooms[i];
        if (room->bounded && room->placed) return room->bytes;
    }
    return 0;
}

static const struct {
    const char *devices, *first, *second;
    partita_option option;
} habits[] = {
    {"sim:0,sim:1", "sim:0", "sim:1", {"sim:0.async", "1"}},
    {"sim:0,sim:1", "sim:0", "sim:1", {"sim:0.async", "0"}},
    {"sim:0,sim:1", "sim:0", "sim:1", {"sim:0.memory", "host"}},
    {"sim:0,sim:1", "sim:0", "sim:1", {"sim:0.export", ""}},
    {"sim:0,cpu", "sim:0", "cpu", {"sim:0.export", "host-pointer"}},
    {"sim:0,cpu", "cpu", "sim:0", {"sim:0.import", "host-pointer"}},
};

static void bounded_outputs_are_trimmed(void **state) {
    static const int64_t counts[] = {5, 0, CELLS, 1, 0};
    PT_UNUSED(state);
    for (size_t h = 0; h < PT_COUNT_OF(habits); h++) {
        for (int both = 0; both < 2; both++) {
            search s;
            search_open(&s, both, habits[h].devices, habits[h].first, habits[h].second, true, &habits[h].option, 1);
            for (size_t i = 0; i < PT_COUNT_OF(counts); i++) OK(search_run(&s, counts[i]));
            if (!both) assert_int_equal(planned_bound(&s), BOUND);
            world_end(&s.w);
        }
    }
}

/* Only the real bytes move. */
static void transfers_move_real_bytes(void **state) {
    static const partita_option options[] = {{"sim:0.export", ""}, {"sim:1.import", ""}};
    partita_counters counters = {.size = sizeof(counters)};
    search s;
    PT_UNUSED(state);
    search_open(&s, false, "sim:0,sim:1", "sim:0", "sim:1", true, options, 2);
    OK(search_run(&s, 3));
    partita_session_counters(s.w.session, &counters);
    /* x in; 3 pairs out to the host, on to the second device, and back again. */
    assert_int_equal(counters.bytes_copied, CELLS * 4 + 3 * 3 * 16);
    world_end(&s.w);
}

static void assert_told(const char *part) {
    if (!strstr(partita_last_error(), part)) fail_msg("\"%s\" does not say \"%s\"", partita_last_error(), part);
}

static void more_than_the_bound_is_an_error(void **state) {
    PT_UNUSED(state);
    for (int async = 0; async < 2; async++) {
        const partita_option options[] = {{"sim:0.bound", "NonZero:64"}, {"sim:0.async", async ? "1" : "0"}};
        search s;
        search_open(&s, false, "sim:0,sim:1", "sim:0", "sim:1", true, options, 2);
        OK(search_run(&s, 4));
        assert_int_equal(planned_bound(&s), 64);
        assert_int_equal(search_run(&s, 5), PARTITA_DEVICE_FAILED);
        assert_told("node 'found'");
        assert_told("sim:0");
        assert_told("has 80 bytes, its bound is 64");
        OK(search_run(&s, 4));
        world_end(&s.w);
        /* Where another device may answer, it does. */
        const partita_option both[] = {options[0], options[1], {"sim:1.speed", "0.001"}};
        search_open(&s, false, "sim:0,sim:1", NULL, NULL, false, both, 3);
        OK(search_run(&s, 5));
        world_end(&s.w);
    }
}

/* Each allocation of a run may fail; what does, leaves nothing behind. */
static void every_allocation_may_fail(void **state) {
    PT_UNUSED(state);
    for (int both = 0; both < 2; both++) {
        partita_status status = PARTITA_OUT_OF_MEMORY;
        search s;
        search_open(&s, both, "sim:0,cpu", "sim:0", "cpu", true, &(partita_option){"sim:0.async", "0"}, 1);
        for (int64_t k = 0; status != PARTITA_OK; k++) {
            assert_true(k < 500);
            pt_alloc_fail_after(k, true);
            status = search_run(&s, 5);
            pt_alloc_fail_after(-1, false);
            if (status != PARTITA_OK) assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
        }
        world_end(&s.w);
    }
}

/* ---- in place -------------------------------------------------------------------------------- */

static const pt_room *room_of(const world *w, const char *name, const char *device, uint32_t *out_slot) {
    const pt_build *build = w->session->build;
    const pt_program *program = build->programs[0];
    for (uint32_t i = 0; i < program->slots.size; i++) {
        const pt_slot *slot = &program->slots.data[i];
        if (slot->value == PT_NONE || !slot->place) continue;
        partita_str value = build->model->values.data[slot->value].name;
        if (value.size < strlen(name) || memcmp(value.data, name, strlen(name)) != 0) continue;
        if (strcmp(build->places[slot->place].device->name, device) != 0) continue;
        *out_slot = i;
        return &program->layouts->rooms[i];
    }
    fail_msg("no %s on %s", name, device);
    return NULL;
}

static bool lie_together(const world *w, const char *a, const char *b, const char *device) {
    uint32_t i, k;
    const pt_room *x = room_of(w, a, device, &i), *y = room_of(w, b, device, &k);
    assert_true(x->placed && y->placed);
    return x->chunk == y->chunk && x->offset == y->offset;
}

enum { COUNT = 1000 };

static void run_and_compare(world *w, float factor) {
    float numbers[COUNT], result[COUNT];
    for (int r = 0; r < 3; r++) {
        for (int i = 0; i < COUNT; i++) numbers[i] = (float)(i + r);
        OK(world_run(w, numbers, result));
        for (int i = 0; i < COUNT; i++)
            if (result[i] != factor * numbers[i]) fail_msg("%g for %g", (double)result[i], (double)numbers[i]);
    }
}

/* a (sim:0) -> b (sim:1) -> c (sim:0) -> d (sim:1): c is the last to read b. */
static void last_reader_writes_in_place(void **state) {
    static const partita_option options[] = {{"sim:0.export", ""}, {"sim:1.export", ""}};
    static const partita_pin pins[] = {{"a|c", "sim:0"}, {"b|d", "sim:1"}};
    world w;
    PT_UNUSED(state);
    pt_id x = world_begin(&w, COUNT), a = world_node(&w, "Neg", "a", x, PT_NONE);
    pt_id b = world_node(&w, "Neg", "b", a, PT_NONE), c = world_node(&w, "Neg", "c", b, PT_NONE);
    world_load(&w, world_node(&w, "Neg", "d", c, PT_NONE), "sim:0,sim:1", options, 2, pins, 2);
    run_and_compare(&w, 1);
    assert_true(lie_together(&w, "b", "c", "sim:0"));
    assert_true(lie_together(&w, "a", "b", "sim:1"));
    assert_true(lie_together(&w, "c", "d", "sim:1"));
    world_end(&w);
}

/* As above, and e (sim:0) reads b too, after d: c may not lie on it, e may. */
static void later_readers_keep_their_input(void **state) {
    static const partita_option options[] = {{"sim:0.export", ""}, {"sim:1.export", ""}};
    static const partita_pin pins[] = {{"a|c|e", "sim:0"}, {"b|d|f", "sim:1"}};
    world w;
    PT_UNUSED(state);
    pt_id x = world_begin(&w, COUNT), a = world_node(&w, "Neg", "a", x, PT_NONE);
    pt_id b = world_node(&w, "Neg", "b", a, PT_NONE), c = world_node(&w, "Neg", "c", b, PT_NONE);
    pt_id d = world_node(&w, "Neg", "d", c, PT_NONE), e = world_node(&w, "Add", "e", b, d);
    world_load(&w, world_node(&w, "Neg", "f", e, PT_NONE), "sim:0,sim:1", options, 2, pins, 2);
    run_and_compare(&w, -2);
    assert_false(lie_together(&w, "b", "c", "sim:0"));
    assert_true(lie_together(&w, "b", "e", "sim:0"));
    world_end(&w);
}

/* Memory that another device sees is read there: its owner may write over it only behind that. */
static void imported_memory_has_readers_too(void **state) {
    static const partita_option options[] = {{"sim:0.us", "*:200"}, {"sim:1.us", "*:2000"}};
    static const partita_pin pins[] = {{"a|c|e", "sim:0"}, {"b|d", "sim:1"}};
    world w;
    PT_UNUSED(state);
    pt_id x = world_begin(&w, COUNT), a = world_node(&w, "Neg", "a", x, PT_NONE);
    pt_id b = world_node(&w, "Neg", "b", a, PT_NONE), c = world_node(&w, "Neg", "c", b, PT_NONE);
    pt_id d = world_node(&w, "Add", "d", b, c); /* sim:1 reads b, whose bytes it owns, and c's on sim:0 */
    world_load(&w, world_node(&w, "Add", "e", d, a), "sim:0,sim:1", options, 2, pins, 2);
    run_and_compare(&w, -1);
    world_end(&w);
}

/* ---- ranges of shapes ------------------------------------------------------------------------ */

/* y = Neg(x) of n elements; n is known only when it runs. */
static void range_open(world *w, const char *devices, bool strict) {
    static const partita_option options[] = {{"sim:0.max_dim", "16"}, {"sim:1.speed", "0.001"}};
    const partita_context_options context = {.size = sizeof(context), .options = options, .option_count = 2};
    const partita_plan_options plan = {.size = sizeof(plan), .devices = devices, .strict = strict};
    void *bytes;
    uint64_t size;
    pt_dim n;
    memset(w, 0, sizeof(*w));
    pt_id x = world_begin(w, 8), y = world_node(w, "Neg", "y", x, PT_NONE);
    OK(pt_dim_named(&w->model->symbols, PT_STR("n"), &n));
    ((pt_dim *)(uintptr_t)w->model->values.data[x].type.dims)[0] = n;
    ((pt_dim *)(uintptr_t)w->model->values.data[y].type.dims)[0] = n;
    OK(pt_graph_add_output(w->model, 0, y));
    OK(pt_onnx_write(w->model, UINT64_MAX, &bytes, &size));
    OK(partita_context_create(&context, &w->context));
    OK(partita_model_load_memory(w->context, bytes, size, NULL, &w->loaded));
    pt_free(bytes);
    OK(partita_plan_create(w->loaded, &plan, &w->plan));
    OK(partita_session_create(w->plan, NULL, &w->session));
}

static partita_status run_sized(world *w, int64_t count) {
    float numbers[64], result[64];
    for (int i = 0; i < 64; i++) numbers[i] = (float)i;
    w->count = count;
    PT_TRY(world_run(w, numbers, result));
    for (int64_t i = 0; i < count; i++) assert_true(result[i] == -numbers[i]);
    return PARTITA_OK;
}

static void ranges_hold(void **state) {
    partita_counters counters = {.size = sizeof(counters)};
    world w;
    PT_UNUSED(state);
    range_open(&w, "sim:0", true);
    OK(run_sized(&w, 8));
    OK(run_sized(&w, 16));
    assert_int_equal(run_sized(&w, 17), PARTITA_CANNOT_COMPILE);
    assert_told("node 'y'");
    assert_told("sim:0: dim 0 of input 'x' is 17, compiled for 0 to 16");
    OK(run_sized(&w, 3));
    world_end(&w);
    range_open(&w, "sim:0,sim:1", false);
    OK(run_sized(&w, 16));
    OK(run_sized(&w, 17));
    partita_session_counters(w.session, &counters);
    assert_int_equal(counters.plans, 2);
    world_end(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounded_outputs_are_trimmed),     cmocka_unit_test(transfers_move_real_bytes),
        cmocka_unit_test(more_than_the_bound_is_an_error), cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(last_reader_writes_in_place),     cmocka_unit_test(later_readers_keep_their_input),
        cmocka_unit_test(imported_memory_has_readers_too), cmocka_unit_test(ranges_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
