/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts: compiled to the host's kernels over this device's own memory, run by the compute lane. Programs are told a
 * changed table of host services, because memory they ask for during a run lies on the device.
 */
#include "sim/sim.h"

#include <stdio.h>

struct ptp_executable {
    ptp_device *device;
    cpu_program *program;
    void **weights; /* the device's copies */
    uint32_t weight_count;
    uint64_t weight_bytes;
    const ptp_block *block;
    double us; /* of one run, launch included */
    bool wrong;
    atomic_uint inside;               /* calls of exec under way */
    int64_t dims_limit[CPU_MAX_RANK]; /* what every input port has for its largest dims */
};

/* What programs take for the run. */
typedef struct sim_run {
    ptp_run *run;
    ptp_device *device;
} sim_run;

/* Where the texts of failures go on a lane's thread; elsewhere to the host. */
static _Thread_local char *lane_message;
static _Thread_local size_t lane_message_size;

/* ---- services as programs see them ----------------------------------------------------------- */

static _Thread_local const ptp_host *calling_host;

static void program_fail(void *self, partita_status code, const char *message) {
    if (lane_message)
        snprintf(lane_message, lane_message_size, "%s", message ? message : "");
    else if (calling_host)
        calling_host->fail(self, code, message);
}

static int32_t program_run_stopped(void *self, ptp_run *run) {
    const sim_run *r = (const sim_run *)(const void *)run;
    return r->device->host->run_stopped(self, r->run);
}

/* The host allocates in the device's memory; the program works at the device's address. */
static partita_status program_alloc_output(void *self, ptp_run *run, uint32_t index, partita_dtype dtype, uint32_t rank,
                                           const int64_t *dims, ptp_tensor *out) {
    const sim_run *r = (const sim_run *)(const void *)run;
    partita_status status = r->device->host->run_alloc_output(self, r->run, index, dtype, rank, dims, out);
    if (status == PARTITA_OK && out->buffer) out->data = sim_address(out->buffer, out->offset);
    return status;
}

static partita_status program_set_output(void *self, ptp_run *run, uint32_t index, ptp_value *value) {
    const sim_run *r = (const sim_run *)(const void *)run;
    return r->device->host->run_set_output(self, r->run, index, value);
}

static void program_trace(void *self, ptp_run *run, const char *name, uint64_t begin_ns, uint64_t end_ns,
                          uint32_t lane) {
    const sim_run *r = (const sim_run *)(const void *)run;
    r->device->host->trace(self, r->run, name, begin_ns, end_ns, lane);
}

void sim_program_host_init(ptp_plugin *plugin) {
    uint32_t size = plugin->host->size;
    ptp_host *host = &plugin->program_host;
    memset(host, 0, sizeof(*host));
    memcpy(host, plugin->host, size < sizeof(*host) ? size : sizeof(*host));
    host->size = sizeof(*host);
    host->fail = program_fail;
    host->run_stopped = program_run_stopped;
    host->run_alloc_output = program_alloc_output;
    host->run_set_output = program_set_output;
    if (host->trace) host->trace = program_trace;
}

/* ---- compile --------------------------------------------------------------------------------- */

static void executable_destroy(ptp_executable *executable) {
    if (!executable) return;
    cpu_program_destroy(executable->program);
    for (uint32_t i = 0; executable->weights && i < executable->weight_count; i++) {
        cpu_free(executable->device->host, executable->weights[i]);
    }
    cpu_free(executable->device->host, executable->weights);
    atomic_fetch_sub(&executable->device->counters.weight_bytes, executable->weight_bytes);
    cpu_free(executable->device->host, executable);
}

static ptp_weight *weight_at(const ptp_compile *compile, uint32_t index) {
    return (ptp_weight *)(void *)((char *)compile->weights + (size_t)index * compile->weights->size);
}

/* Weights of numbers are uploaded: programs read the device's copies. */
static partita_status upload(ptp_executable *executable, const ptp_compile *compile, ptp_weight *weights) {
    ptp_device *device = executable->device;
    const sim_config *config = &device->config;
    executable->weights = cpu_alloc(device->host, (uint64_t)compile->weight_count * sizeof(void *));
    if (!executable->weights) return PARTITA_OUT_OF_MEMORY;
    executable->weight_count = compile->weight_count;
    for (uint32_t i = 0; i < compile->weight_count; i++) {
        const ptp_weight *from = weight_at(compile, i);
        sim_out(&weights[i], from, sizeof(weights[i]));
        weights[i].size = sizeof(weights[i]);
        if (from->value || !from->data) continue;
        uint64_t used = atomic_fetch_add(&device->counters.weight_bytes, from->bytes) + from->bytes +
                        atomic_load(&device->counters.buffer_bytes);
        executable->weight_bytes += from->bytes;
        if (config->memory_bytes && used > (uint64_t)config->memory_bytes) {
            return cpu_fail(device->host, PARTITA_CANNOT_COMPILE, "weights do not fit: %llu bytes of %lld",
                            (unsigned long long)used, (long long)config->memory_bytes);
        }
        executable->weights[i] = device->host->alloc(device->host->self, from->bytes ? from->bytes : 1, 64);
        if (!executable->weights[i]) {
            return cpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "no memory for a weight of %llu bytes",
                            (unsigned long long)from->bytes);
        }
        if (from->bytes) memcpy(executable->weights[i], from->data, (size_t)from->bytes);
        weights[i].data = executable->weights[i];
    }
    return PARTITA_OK;
}

/* The part's time, and what this device was told to do with its operators. */
static partita_status look(ptp_executable *executable) {
    const sim_config *config = &executable->device->config;
    ptp_graph_row graph = ptp_graph_at(executable->block, 0);
    double us = 0;
    for (uint32_t i = 0; i < graph.node_count; i++) {
        ptp_node_row node = ptp_node_at(executable->block, graph.first_node + i);
        partita_str op = ptp_ref_str(executable->block, node.op);
        if (sim_list_has(config->fail_compile, op)) {
            return cpu_fail(executable->device->host, sim_fail_status(config, PARTITA_CANNOT_COMPILE),
                            "%.*s does not compile as described", (int)op.size, op.data);
        }
        if (sim_list_has(config->wrong, op)) executable->wrong = true;
        us += sim_node_us(config, executable->block, &node);
    }
    executable->us = (config->launch_us + us * config->fuse) * config->slow;
    return PARTITA_OK;
}

static partita_status build(ptp_executable *executable, ptp_compile *compile, ptp_weight *weights) {
    ptp_device *device = executable->device;
    const cpu_program_config config = {
        .host = &device->plugin->program_host, .level = device->plugin->level, .workers = 1};
    ptp_compile mine = {.size = sizeof(mine)};
    partita_status status = look(executable);
    if (status == PARTITA_OK) status = upload(executable, compile, weights);
    if (status != PARTITA_OK) return status;
    sim_out(&mine, compile, sizeof(mine));
    mine.size = sizeof(mine);
    mine.weights = weights;
    calling_host = device->host;
    status = cpu_program_create(&config, &mine, &executable->program);
    calling_host = NULL;
    for (uint32_t i = 0; status == PARTITA_OK && i < compile->weight_count; i++) {
        weight_at(compile, i)->mode = executable->weights[i] ? PTP_WEIGHT_UPLOAD : PTP_WEIGHT_BORROW;
    }
    return status;
}

partita_status sim_compile(ptp_device *device, ptp_compile *compile, ptp_executable **out_executable) {
    ptp_executable *executable;
    ptp_weight *weights;
    partita_status status;
    *out_executable = NULL;
    if (sim_is_lost(device)) return PARTITA_DEVICE_LOST;
    executable = cpu_alloc(device->host, sizeof(*executable));
    weights = cpu_alloc(device->host, (uint64_t)compile->weight_count * sizeof(*weights));
    if (!executable || !weights) {
        cpu_free(device->host, executable);
        cpu_free(device->host, weights);
        return PARTITA_OUT_OF_MEMORY;
    }
    executable->device = device;
    executable->block = compile->block;
    for (uint32_t i = 0; i < CPU_MAX_RANK; i++) executable->dims_limit[i] = device->config.max_dim;
    status = build(executable, compile, weights);
    cpu_free(device->host, weights);
    if (status != PARTITA_OK) {
        executable_destroy(executable);
        return status;
    }
    atomic_fetch_add(&device->counters.programs, 1);
    bool has_flags = compile->size >= offsetof(ptp_compile, flags) + sizeof(compile->flags);
    if (has_flags && device->config.serial) compile->flags = PTP_EXECUTABLE_SERIAL;
    *out_executable = executable;
    return PARTITA_OK;
}

static void place_ports(const ptp_executable *executable, ptp_ref values, bool inputs, ptp_port *ports) {
    const ptp_device *device = executable->device;
    for (uint32_t i = 0; i < values.count; i++) {
        ptp_port *port = (ptp_port *)(void *)((char *)ports + (size_t)i * ports->size);
        ptp_value_row value = ptp_value_at(executable->block, ptp_ref_id(executable->block, values, i));
        bool dense = value.kind == PARTITA_KIND_TENSOR && value.dtype != PARTITA_STRING;
        port->domain = dense && device->info.domain_count ? 0 : PTP_DOMAIN_HOST;
        if (port->alignment < (uint32_t)device->config.alignment) port->alignment = (uint32_t)device->config.alignment;
        bool has_range = port->size >= offsetof(ptp_port, max_dims) + sizeof(port->max_dims);
        if (inputs && has_range && device->config.max_dim && value.rank >= 0 && value.rank <= CPU_MAX_RANK)
            port->max_dims = executable->dims_limit;
    }
}

static partita_status executable_ports(ptp_executable *executable, ptp_port *inputs, ptp_port *outputs) {
    ptp_graph_row graph = ptp_graph_at(executable->block, 0);
    cpu_program_ports(executable->program, inputs, outputs);
    if (graph.inputs.count) place_ports(executable, graph.inputs, true, inputs);
    if (graph.outputs.count) place_ports(executable, graph.outputs, false, outputs);
    return PARTITA_OK;
}

static uint64_t most_elements(const ptp_resize *resize) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < resize->shape_count; i++) {
        uint64_t count = 1;
        for (int32_t d = 0; d < resize->shapes[i].rank; d++) {
            int64_t dim = resize->shapes[i].dims[d];
            count *= dim > 0 ? (uint64_t)dim : 1;
        }
        if (count > most) most = count;
    }
    return most;
}

/* Bounds that were described, right or not. */
static void override_bounds(const ptp_executable *executable, ptp_resize *resize) {
    const sim_config *config = &executable->device->config;
    const ptp_block *block = executable->block;
    ptp_graph_row graph = ptp_graph_at(block, 0);
    bool told = resize->size >= offsetof(ptp_resize, bounds) + sizeof(resize->bounds) && resize->bounds;
    for (uint32_t i = 0; told && config->bound[0] && i < graph.outputs.count && i < resize->output_count; i++) {
        ptp_value_row value = ptp_value_at(block, ptp_ref_id(block, graph.outputs, i));
        double bytes;
        if (value.producer == PARTITA_NONE) continue;
        ptp_node_row node = ptp_node_at(block, value.producer);
        if (sim_list_number(config->bound, ptp_ref_str(block, node.op), &bytes)) resize->bounds[i] = (uint64_t)bytes;
    }
}

static partita_status executable_resize(ptp_executable *executable, ptp_resize *resize, ptp_instance **out_instance) {
    ptp_device *device = executable->device;
    const sim_config *config = &device->config;
    uint64_t number = atomic_fetch_add(&device->counters.resizes, 1) + 1;
    partita_status status;
    if (sim_is_among(number, config->hang_resize, 1)) sim_sleep_until(sim_now_ns() + (uint64_t)(config->hang_us * 1e3));
    if (sim_is_among(number, config->fail_resize, config->fail_resize_count)) {
        return cpu_fail(device->host, sim_fail_status(config, PARTITA_UNSUPPORTED), "sizing %llu fails as described",
                        (unsigned long long)number);
    }
    if (config->most_elements && most_elements(resize) > (uint64_t)config->most_elements) {
        return cpu_fail(device->host, sim_fail_status(config, PARTITA_UNSUPPORTED),
                        "a value of %llu elements, the device takes %lld", (unsigned long long)most_elements(resize),
                        (long long)config->most_elements);
    }
    calling_host = device->host;
    status = cpu_frame_create(executable->program, resize, (cpu_frame **)(void *)out_instance);
    calling_host = NULL;
    if (status == PARTITA_OK) override_bounds(executable, resize);
    return status;
}

static void executable_release(ptp_executable *executable, ptp_instance *instance) {
    (void)executable;
    cpu_frame_destroy((cpu_frame *)(void *)instance);
}

/* ---- run ------------------------------------------------------------------------------------- */

typedef struct exec_work {
    sim_work work;
    const ptp_executable *executable;
    const cpu_frame *frame;
    sim_run run;
    ptp_exec exec;
    ptp_tensor *tensors; /* inputs, then outputs */
    int64_t *dims;
    bool fails, hangs;
} exec_work;

static void exec_destroy(sim_work *work) {
    exec_work *e = (exec_work *)work;
    const ptp_host *host = work->device->host;
    cpu_free(host, e->tensors);
    cpu_free(host, e->dims);
    cpu_free(host, work->ranges);
    cpu_free(host, work->waits);
    cpu_free(host, work);
}

/* Numbers that are not those of the kernels, in every dense output. */
static void spoil(const exec_work *e) {
    for (uint32_t i = 0; i < e->exec.output_count; i++) {
        const ptp_tensor *output = &e->exec.outputs[i];
        uint32_t bytes = cpu_dtype_bits(output->dtype) / 8;
        if (!output->data || output->bytes == 0) continue;
        if (bytes < 1) bytes = 1;
        ((unsigned char *)output->data)[bytes - 1] ^= 0x41;
    }
}

static partita_status exec_run(sim_work *work, char *message, size_t size) {
    exec_work *e = (exec_work *)work;
    partita_status status;
    atomic_fetch_add(&work->device->counters.launches, 1);
    if (e->hangs) sim_sleep_until(sim_now_ns() + (uint64_t)(work->device->config.hang_us * 1e3));
    if (e->fails) {
        snprintf(message, size, "the run fails as described");
        return sim_fail_status(&work->device->config, PARTITA_DEVICE_FAILED);
    }
    lane_message = message;
    lane_message_size = size;
    status = cpu_frame_run(e->frame, &e->exec);
    lane_message = NULL;
    if (status == PARTITA_OK && e->executable->wrong) spoil(e);
    return status;
}

static const ptp_tensor *tensor_at(const ptp_tensor *tensors, uint32_t index) {
    return (const ptp_tensor *)(const void *)((const char *)tensors + (size_t)index * tensors->size);
}

static void take_tensor(exec_work *e, uint32_t at, const ptp_tensor *from, bool write, int64_t **dims) {
    ptp_tensor *to = &e->tensors[at];
    sim_out(to, from, sizeof(*to));
    to->size = sizeof(*to);
    if (from->rank && from->dims) {
        memcpy(*dims, from->dims, from->rank * sizeof(**dims));
        to->dims = *dims;
        *dims += from->rank;
    }
    if (!to->buffer) return;
    to->data = sim_address(to->buffer, to->offset);
    e->work.ranges[e->work.range_count++] = sim_range_of(to->buffer, to->offset, to->bytes, write);
}

/* The caller's arrays are its own again when exec returns: the work keeps copies. */
static partita_status exec_take(exec_work *e, const ptp_exec *exec) {
    const ptp_host *host = e->work.device->host;
    uint64_t tensors = (uint64_t)exec->input_count + exec->output_count, rank = 0;
    int64_t *dims;
    for (uint32_t i = 0; i < exec->input_count; i++) rank += tensor_at(exec->inputs, i)->rank;
    for (uint32_t i = 0; i < exec->output_count; i++) rank += tensor_at(exec->outputs, i)->rank;
    e->tensors = cpu_alloc(host, tensors * sizeof(*e->tensors));
    e->dims = cpu_alloc(host, rank * sizeof(*e->dims));
    e->work.ranges = cpu_alloc(host, (tensors + 1) * sizeof(sim_range));
    e->work.waits = cpu_alloc(host, (uint64_t)exec->wait_count * sizeof(ptp_point));
    if (!e->tensors || !e->dims || !e->work.ranges || !e->work.waits) return PARTITA_OUT_OF_MEMORY;
    dims = e->dims;
    for (uint32_t i = 0; i < exec->input_count; i++) take_tensor(e, i, tensor_at(exec->inputs, i), false, &dims);
    for (uint32_t i = 0; i < exec->output_count; i++) {
        take_tensor(e, exec->input_count + i, tensor_at(exec->outputs, i), true, &dims);
    }
    if (exec->wait_count) memcpy(e->work.waits, exec->waits, exec->wait_count * sizeof(ptp_point));
    e->work.wait_count = exec->wait_count;
    e->run = (sim_run){exec->run, e->work.device};
    e->exec = (ptp_exec){.size = sizeof(e->exec),
                         .input_count = exec->input_count,
                         .run = exec->run ? (ptp_run *)(void *)&e->run : NULL,
                         .inputs = e->tensors,
                         .outputs = e->tensors + exec->input_count,
                         .output_count = exec->output_count,
                         .scratch_data = exec->scratch_data,
                         .scratch_bytes = exec->scratch_bytes};
    if (exec->scratch) {
        e->exec.scratch_data = sim_address(exec->scratch, exec->scratch_offset);
        e->work.ranges[e->work.range_count++] =
            sim_range_of(exec->scratch, exec->scratch_offset, exec->scratch_bytes, true);
    }
    return PARTITA_OK;
}

static partita_status exec_begin(ptp_executable *executable, ptp_instance *instance, const ptp_exec *exec) {
    ptp_device *device = executable->device;
    const sim_config *config = &device->config;
    uint64_t number = atomic_fetch_add(&device->counters.execs, 1) + 1;
    partita_status status;
    exec_work *e;
    if (sim_is_lost(device)) return PARTITA_DEVICE_LOST;
    e = cpu_alloc(device->host, sizeof(*e));
    if (!e) return PARTITA_OUT_OF_MEMORY;
    e->work = (sim_work){
        .device = device, .run = exec_run, .destroy = exec_destroy, .us = executable->us, .done = exec->done};
    e->executable = executable;
    e->frame = (const cpu_frame *)(const void *)instance;
    e->fails = sim_is_among(number, config->fail_exec, config->fail_exec_count);
    e->hangs = sim_is_among(number, config->hang_exec, 1);
    status = exec_take(e, exec);
    if (status != PARTITA_OK) {
        exec_destroy(&e->work);
        return status;
    }
    return sim_enqueue(device, SIM_COMPUTE, &e->work);
}

static partita_status executable_exec(ptp_executable *executable, ptp_instance *instance, const ptp_exec *exec) {
    ptp_device *device = executable->device;
    bool alone = atomic_fetch_add(&executable->inside, 1) == 0;
    partita_status status = alone || !device->config.serial
                                ? exec_begin(executable, instance, exec)
                                : cpu_fail(device->host, PARTITA_DEVICE_FAILED, "a serial part is run twice at once");
    atomic_fetch_sub(&executable->inside, 1);
    return status;
}

const ptp_executable_vtable sim_executable_vtable = {
    .size = sizeof(ptp_executable_vtable),
    .destroy = executable_destroy,
    .ports = executable_ports,
    .resize = executable_resize,
    .release = executable_release,
    .exec = executable_exec,
};
