/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compile: each node gets its row of the table; each value a home; weights go to the device; then the part is planned
 * once for all shapes and once at nominal ones, so that its programs exist before the first run.
 */
#include "gpu/executable.h"

static bool step_reads(const gpu_op *op, uint32_t input) { return input >= 32 || (op->host_inputs >> input & 1u) == 0; }

static void executable_destroy(ptp_executable *executable) {
    if (!executable) return;
    const ptp_host *host = executable->device->host;
    gpu_weights_release(executable);
    gpu_node_deinit(&executable->node, host);
    gpu_array_free(&executable->decisions, host);
    for (uint32_t row = 0; executable->constant_data && row < executable->value_count; row++) {
        if (executable->constant_data[row]) host->free(host->self, (void *)executable->constant_data[row]);
    }
    void *blocks[] = {executable->values, executable->steps, executable->tails, (void *)executable->constant_data,
                      executable->constant_bytes};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (blocks[i]) host->free(host->self, blocks[i]);
    }
    host->free(host->self, executable);
}

/* A constant that a plan reads on the host, and that is too large for the block: kept, since weights are not read
 * later. */
static partita_status keep_constant(ptp_executable *executable, const ptp_compile *compile, uint32_t row) {
    const ptp_host *host = executable->device->host;
    ptp_value_row value = ptp_value_at(executable->block, row);
    if (value.data.count > 0 || value.weight >= compile->weight_count || executable->constant_data[row]) {
        return PARTITA_OK;
    }
    const ptp_weight *weight =
        (const ptp_weight *)((const char *)compile->weights + (size_t)value.weight * compile->weights[0].size);
    if (!weight->data || weight->bytes > 65536) return PARTITA_OK;
    void *copy = gpu_alloc(host, weight->bytes, 1);
    if (!copy) return PARTITA_OUT_OF_MEMORY;
    memcpy(copy, weight->data, weight->bytes);
    executable->constant_data[row] = copy;
    executable->constant_bytes[row] = weight->bytes;
    return PARTITA_OK;
}

/* Rows of the table by node, constants that plans read, aliases. */
static partita_status steps_choose(ptp_executable *executable, const ptp_compile *compile) {
    const ptp_host *host = executable->device->host;
    gpu_node *node = &executable->node;
    ptp_graph_row graph = ptp_graph_at(executable->block, 0);
    const gpu_constants constants = {(const void *const *)executable->constant_data, executable->constant_bytes};
    for (uint32_t i = 0; i < graph.node_count; i++) {
        gpu_check check;
        ptp_node_row row = ptp_node_at(executable->block, graph.first_node + i);
        for (uint32_t k = 0; k < row.inputs.count; k++) {
            uint32_t id = ptp_ref_id(executable->block, row.inputs, k);
            if (id == PARTITA_NONE) continue;
            partita_status kept = keep_constant(executable, compile, id);
            if (kept != PARTITA_OK) return kept;
        }
        partita_status status =
            gpu_node_read(node, host, executable->block, graph.first_node + i, GPU_DIMS_DECLARED, NULL, &constants);
        if (status != PARTITA_OK) return status;
        const gpu_op *op = gpu_claim(&check, executable->device, node);
        if (!op) {
            partita_str name = ptp_ref_str(executable->block, row.name);
            return gpu_fail(host, PARTITA_CANNOT_COMPILE, "%.*s: %s", (int)name.size, name.data, check.text);
        }
        executable->steps[i].op = op;
        executable->steps[i].node = graph.first_node + i;
        if (op->flags & GPU_OP_ALIAS) {
            executable->values[node->outputs[0].row].root = executable->values[node->inputs[0].row].root;
        }
    }
    return PARTITA_OK;
}

/* Where each root lives, and how often each value is read. */
static void homes_choose(ptp_executable *executable) {
    const ptp_block *block = executable->block;
    ptp_graph_row graph = ptp_graph_at(block, 0);
    for (uint32_t i = 0; i < graph.inputs.count; i++) {
        gpu_value *value = &executable->values[ptp_ref_id(block, graph.inputs, i)];
        value->home = GPU_HOME_INPUT;
        value->port = i;
    }
    for (uint32_t s = 0; s < executable->step_count; s++) {
        ptp_node_row node = ptp_node_at(block, executable->steps[s].node);
        for (uint32_t i = 0; i < node.inputs.count; i++) {
            uint32_t row = ptp_ref_id(block, node.inputs, i);
            if (row == PARTITA_NONE || !step_reads(executable->steps[s].op, i)) continue;
            gpu_value *root = &executable->values[executable->values[row].root];
            if (root->home == GPU_HOME_NONE && (ptp_value_at(block, row).flags & PTP_VALUE_CONSTANT)) {
                root->home = GPU_HOME_WEIGHT;
            }
            /* who reads an alias does not name this value: it counts as read by many */
            executable->values[row].uses += executable->steps[s].op->flags & GPU_OP_ALIAS ? 2 : 1;
        }
        for (uint32_t i = 0; i < node.outputs.count; i++) {
            uint32_t row = ptp_ref_id(block, node.outputs, i);
            if (row == PARTITA_NONE) continue;
            gpu_value *root = &executable->values[executable->values[row].root];
            if (root->home == GPU_HOME_NONE) root->home = GPU_HOME_SCRATCH;
        }
    }
    for (uint32_t i = 0; i < graph.outputs.count; i++) {
        uint32_t row = ptp_ref_id(block, graph.outputs, i);
        executable->values[row].uses++;
        gpu_value *root = &executable->values[executable->values[row].root];
        if (root->home == GPU_HOME_SCRATCH) {
            root->home = GPU_HOME_OUTPUT;
            root->port = i;
            continue;
        }
        if (root->home == GPU_HOME_NONE) root->home = GPU_HOME_WEIGHT;
        executable->tails[executable->tail_count++] = (gpu_tail){row, i};
    }
}

/* Plans once with open dims as symbols, for forms and programs. */
static partita_status forms_build(ptp_executable *executable) {
    const ptp_host *host = executable->device->host;
    struct gpu_instance *instance = NULL;
    uint64_t count = 0;
    bool open = false;
    for (uint32_t row = 0; row < executable->value_count; row++) {
        int32_t rank = ptp_value_at(executable->block, row).rank;
        count += rank > 0 ? (uint64_t)rank : 0;
    }
    ptp_shape *shapes = gpu_alloc(host, executable->value_count, sizeof(*shapes));
    int64_t *dims = gpu_alloc(host, count, sizeof(*dims));
    partita_status status = shapes && dims ? gpu_form_shapes(executable, shapes, dims, &open) : PARTITA_OUT_OF_MEMORY;
    if (status == PARTITA_OK && open) {
        status = gpu_instance_create(executable, shapes, true, &instance);
        if (status == PARTITA_OK) {
            gpu_instance_destroy(executable, instance);
        } else {
            /* shapes that no run has may not go together: then each resize decides by itself */
            gpu_array_free(&executable->decisions, host);
            if (status != PARTITA_OUT_OF_MEMORY && status != PARTITA_CANNOT_COMPILE) status = PARTITA_OK;
        }
    }
    if (shapes) host->free(host->self, shapes);
    if (dims) host->free(host->self, dims);
    return status;
}

/* Plans once at nominal shapes, when they are known: what does not fit them is said now. */
static partita_status nominal_build(ptp_executable *executable) {
    const ptp_host *host = executable->device->host;
    const ptp_block *block = executable->block;
    struct gpu_instance *instance = NULL;
    partita_status status = PARTITA_OK;
    ptp_shape *shapes = gpu_alloc(host, executable->value_count, sizeof(*shapes));
    if (!shapes) return PARTITA_OUT_OF_MEMORY;
    bool known = true;
    for (uint32_t row = 0; row < executable->value_count; row++) {
        ptp_value_row value = ptp_value_at(block, row);
        bool nominal = (int32_t)value.nominal.count >= value.rank;
        shapes[row].rank = value.rank;
        shapes[row].dims = ptp_ref_data(block, nominal ? value.nominal : value.dims);
        for (int32_t d = 0; d < value.rank; d++) known = known && shapes[row].dims[d] >= 0;
    }
    if (known) status = gpu_instance_create(executable, shapes, false, &instance);
    if (instance) gpu_instance_destroy(executable, instance);
    host->free(host->self, shapes);
    return status == PARTITA_UNSUPPORTED ? PARTITA_CANNOT_COMPILE : status;
}

partita_status gpu_compile(ptp_device *device, ptp_compile *compile, ptp_executable **out_executable) {
    gpu_device *gpu = (gpu_device *)device;
    const ptp_host *host = gpu->host;
    ptp_graph_row graph = ptp_graph_at(compile->block, 0);
    ptp_executable *made = gpu_alloc(host, 1, sizeof(*made));
    if (!made) return PARTITA_OUT_OF_MEMORY;
    made->device = gpu;
    made->block = compile->block;
    /* bounded, since a model cut many ways would else build a kernel for every chain that each cut leaves */
    pthread_mutex_lock(&gpu->lock);
    made->fuse = gpu->fused_built < GPU_MAX_FUSED;
    pthread_mutex_unlock(&gpu->lock);
    made->value_count = compile->block->values.count;
    made->step_count = graph.node_count;
    made->input_count = graph.inputs.count;
    made->output_count = graph.outputs.count;
    made->values = gpu_alloc(host, made->value_count, sizeof(*made->values));
    made->steps = gpu_alloc(host, (uint64_t)made->step_count + 1, sizeof(*made->steps));
    made->tails = gpu_alloc(host, made->output_count, sizeof(*made->tails));
    made->constant_data = gpu_alloc(host, made->value_count, sizeof(*made->constant_data));
    made->constant_bytes = gpu_alloc(host, made->value_count, sizeof(*made->constant_bytes));
    partita_status status = made->values && made->steps && made->tails && made->constant_data && made->constant_bytes
                                ? PARTITA_OK
                                : PARTITA_OUT_OF_MEMORY;
    for (uint32_t row = 0; made->values && row < made->value_count; row++) { made->values[row].root = row; }
    if (status == PARTITA_OK) status = steps_choose(made, compile);
    if (status == PARTITA_OK) {
        homes_choose(made);
        status = gpu_weights_upload(made, compile);
    }
    if (status == PARTITA_OK) status = forms_build(made);
    if (status == PARTITA_OK) status = nominal_build(made);
    if (status != PARTITA_OK) {
        executable_destroy(made);
        return status;
    }
    *out_executable = made;
    return PARTITA_OK;
}

static void port_fill(const ptp_executable *executable, ptp_port *ports, uint32_t i) {
    ptp_port *port = (ptp_port *)((char *)ports + (size_t)i * ports[0].size);
    port->domain = 0;
    port->alignment = executable->device->caps.alignment;
    port->output = PTP_PORT_STATIC;
    port->alias = PARTITA_NONE;
}

static partita_status executable_ports(ptp_executable *executable, ptp_port *inputs, ptp_port *outputs) {
    for (uint32_t i = 0; i < executable->input_count; i++) port_fill(executable, inputs, i);
    for (uint32_t i = 0; i < executable->output_count; i++) port_fill(executable, outputs, i);
    return PARTITA_OK;
}

static partita_status executable_resize(ptp_executable *executable, ptp_resize *resize, ptp_instance **out_instance) {
    struct gpu_instance *instance = NULL;
    partita_status status = gpu_instance_create(executable, resize->shapes, false, &instance);
    if (status != PARTITA_OK) return status;
    resize->scratch_bytes = instance->scratch_bytes;
    resize->scratch_alignment = executable->device->caps.alignment;
    *out_instance = (ptp_instance *)instance;
    return PARTITA_OK;
}

static void executable_release(ptp_executable *executable, ptp_instance *instance) {
    gpu_instance_destroy(executable, (struct gpu_instance *)instance);
}

const ptp_executable_vtable gpu_executable_vtable = {
    .size = sizeof(ptp_executable_vtable),
    .destroy = executable_destroy,
    .ports = executable_ports,
    .resize = executable_resize,
    .release = executable_release,
    .exec = gpu_exec,
};
