/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening the machine, copies and memory of its devices; building, compiling and running the part.
 */
#include "sim_machine.h"

#include "op/schema.h"

void machine_open(machine *m, const char *const *options) {
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
void machine_close(machine *m) {
    pt_registry_destroy(m->registry);
    stub_timeline_deinit(&m->timeline);
}

ptp_buffer *machine_alloc(pt_device *device, uint64_t bytes) {
    ptp_buffer *buffer = NULL;
    OK(pt_device_call(device, device->memory.alloc(device->handle, 0, bytes, &buffer)));
    return buffer;
}

void machine_release(pt_device *device, ptp_buffer *buffer) { device->memory.free(device->handle, buffer); }

partita_status machine_copy(machine *m, uint32_t d, ptp_buffer *source, const void *source_data, ptp_buffer *target,
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

ptp_usage machine_usage(pt_device *device) {
    ptp_usage usage = {.size = sizeof(usage)};
    OK(pt_device_call(device, device->device.usage(device->handle, &usage)));
    return usage;
}

void fill_floats(float *data, float first) {
    for (int i = 0; i < COUNT; i++) data[i] = first + (float)i;
}

void assert_message(const char *piece) {
    if (!strstr(pt_last_message(), piece)) fail_msg("\"%s\" does not say \"%s\"", pt_last_message(), piece);
}

/* ---- the part ----------------------------------------------------------------------------------- */

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

void part_build(part *p) {
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
    fill_floats(p->weight, -100);
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

partita_status part_compile(part *p, pt_device *device) {
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

partita_status part_exec(part *p, machine *m, ptp_buffer *x, ptp_buffer *y, ptp_buffer *scratch) {
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

void part_destroy(part *p) {
    if (p->executable) {
        p->device->executable.release(p->executable, p->instance);
        p->device->executable.destroy(p->executable);
    }
    pt_block_destroy(p->block);
    pt_free(p->symbols);
    pt_model_destroy(p->model);
}

void machine_wait_quiet(machine *m, uint32_t d, ptp_buffer *buffer) {
    pt_device *device = m->device[d];
    void *data;
    if (device->memory.map(device->handle, buffer, 0, BYTES, PTP_MAP_READ, &data) != PARTITA_OK) return;
    OK(device->memory.unmap(device->handle, buffer, data));
}

partita_status part_pass(part *p, machine *m, const float *x, float *y) {
    uint32_t d = p->device == m->device[1];
    ptp_buffer *in = machine_alloc(p->device, BYTES), *out = machine_alloc(p->device, BYTES);
    ptp_buffer *scratch = machine_alloc(p->device, p->resize.scratch_bytes);
    partita_status status = machine_copy(m, d, NULL, x, in, NULL, BYTES);
    if (status == PARTITA_OK) status = part_exec(p, m, in, out, scratch);
    if (status == PARTITA_OK) status = machine_copy(m, d, out, NULL, NULL, y, BYTES);
    if (status == PARTITA_OK) status = stub_wait(&m->timeline, m->at);
    /* A failed one doesn't stop the others: the buffers go when all is quiet. */
    machine_wait_quiet(m, d, out);
    machine_release(p->device, in);
    machine_release(p->device, out);
    machine_release(p->device, scratch);
    return status;
}
