/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling a cluster: its block, its weights as handles, the device's executable and its ports.
 */
#include "run/part.h"
#include "op/schema.h"

static partita_status make_weights(pt_part *part) {
    uint32_t count = part->block->weight_count;
    part->weights = pt_calloc(count + 1, sizeof(*part->weights));
    part->weight_values = pt_calloc(count + 1, sizeof(*part->weight_values));
    if (!part->weights || !part->weight_values) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) {
        const pt_tensor *tensor = part->block->tensors[i];
        ptp_weight *weight = &part->weights[i];
        weight->size = sizeof(*weight);
        weight->id = tensor->weight->id;
        weight->fd = -1;
        if (tensor->dtype == PARTITA_STRING || tensor->sparse_indices) {
            PT_TRY(pt_value_create_constant(tensor, &part->weight_values[i]));
            weight->value = pt_value_handle(part->weight_values[i]);
            continue;
        }
        PT_TRY(pt_weight_align(tensor->weight, 16, &weight->data, NULL));
        weight->bytes = tensor->weight->bytes;
        weight->fd = tensor->weight->mapping ? tensor->weight->fd : -1;
        weight->fd_offset = tensor->weight->fd_offset;
    }
    return PARTITA_OK;
}

/* What the device has in a form of its own is not needed again: aligned copies go, and pages of the file. */
static void drop_sources(pt_part *part) {
    for (uint32_t i = 0; i < part->block->weight_count; i++) {
        ptp_weight *weight = &part->weights[i];
        if (weight->mode == PTP_WEIGHT_BORROW || weight->value) continue;
        pt_weight_unalign(part->block->tensors[i]->weight, weight->data);
        pt_weight_drop_pages(part->block->tensors[i]->weight);
        weight->data = NULL;
    }
}

static partita_status compile(pt_part *part, uint32_t precision, const ptp_job *job) {
    pt_device *device = part->device;
    part->infer = (ptp_infer){part->model, part->block};
    ptp_job own = {.progress = job->progress, .user = job->user, .part = part};
    ptp_compile compile = {.size = sizeof(compile),
                           .precision = precision,
                           .block = part->block->data,
                           .weights = part->weights,
                           .weight_count = part->block->weight_count,
                           .job = &own,
                           .infer = &part->infer};
    ptp_executable *executable = NULL;
    pthread_mutex_init(&own.lock, NULL);
    partita_status status = pt_device_call(device, device->device.compile(device->handle, &compile, &executable));
    pthread_mutex_destroy(&own.lock);
    pt_free(own.onnx);
    PT_TRY(status);
    if (!executable) return pt_fail(PARTITA_INTERNAL, "%s: compile gave no executable", device->name);
    part->executable = executable;
    part->serial = compile.flags & PTP_EXECUTABLE_SERIAL;
    return PARTITA_OK;
}

static partita_status check_port(const pt_part *part, ptp_port *port) {
    const ptp_device_info *info = &part->device->info;
    if (port->domain != PTP_DOMAIN_HOST && (!part->device->has_memory || port->domain >= info->domain_count)) {
        if (!part->device->has_memory && port->domain == 0)
            port->domain = PTP_DOMAIN_HOST;
        else
            return pt_fail(PARTITA_INTERNAL, "%s: a port names domain %u of %u", part->device->name, port->domain,
                           info->domain_count);
    }
    if (port->alignment & (port->alignment - 1))
        return pt_fail(PARTITA_INTERNAL, "%s: a port's alignment is %u, no power of two", part->device->name,
                       port->alignment);
    port->alignment = PT_MAX(port->alignment, 16);
    return PARTITA_OK;
}

static partita_status check_output(const pt_part *part, const ptp_port *port) {
    if (port->output > PTP_PORT_DATA_DEPENDENT)
        return pt_fail(PARTITA_INTERNAL, "%s: a port says that its output is %u, which is nothing", part->device->name,
                       port->output);
    if (port->alias != PARTITA_NONE && port->alias >= part->input_count)
        return pt_fail(PARTITA_INTERNAL, "%s: an output may take over input %u of %u", part->device->name, port->alias,
                       part->input_count);
    return PARTITA_OK;
}

static partita_status ask_ports(pt_part *part) {
    pt_device *device = part->device;
    part->inputs = pt_calloc(part->input_count + 1, sizeof(ptp_port));
    part->outputs = pt_calloc(part->output_count + 1, sizeof(ptp_port));
    part->port_rows = pt_calloc(part->input_count + 1, sizeof(uint32_t));
    if (!part->inputs || !part->outputs || !part->port_rows) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < part->input_count; i++) {
        part->inputs[i] = (ptp_port){.size = sizeof(ptp_port), .alias = PARTITA_NONE};
        part->port_rows[i] = part->block->value_rows[part->input_values[i]];
    }
    for (uint32_t i = 0; i < part->output_count; i++)
        part->outputs[i] = (ptp_port){.size = sizeof(ptp_port), .alias = PARTITA_NONE};
    PT_TRY(pt_device_call(device, device->executable.ports(part->executable, part->inputs, part->outputs)));
    for (uint32_t i = 0; i < part->input_count; i++) PT_TRY(check_port(part, &part->inputs[i]));
    for (uint32_t i = 0; i < part->output_count; i++) {
        PT_TRY(check_port(part, &part->outputs[i]));
        PT_TRY(check_output(part, &part->outputs[i]));
        part->dynamic |= part->outputs[i].output != PTP_PORT_STATIC;
    }
    return PARTITA_OK;
}

partita_status pt_part_create(const pt_plan *plan, uint32_t cluster, ptp_job *job, pt_part **out_part) {
    const pt_plan_cluster *c = &plan->clusters[cluster];
    partita_status status = PARTITA_OK;
    pt_part *part = pt_calloc(1, sizeof(*part));
    if (!part) return PT_OUT_OF_MEMORY();
    pthread_mutex_init(&part->lock, NULL);
    pthread_mutex_init(&part->turn, NULL);
    part->device = plan->devices[c->device];
    part->cluster = cluster;
    part->model = plan->model;
    part->nodes = c->nodes;
    part->node_count = c->node_count;
    part->input_values = c->inputs;
    part->input_count = c->input_count;
    part->output_values = c->outputs;
    part->output_count = c->output_count;
    PT_CHECK(pt_plan_cluster_block(plan, c, &part->block));
    for (uint32_t i = 0; i < part->block->data->values.count; i++) {
        pt_id value = part->block->values[i];
        int32_t rank = value == PT_NONE ? -1 : plan->model->values.data[value].type.rank;
        part->key_size += 1 + (uint32_t)PT_MAX(rank, 0);
    }
    PT_CHECK(make_weights(part));
    PT_CHECK(compile(part, plan->precision, job));
    PT_CHECK(ask_ports(part));
    drop_sources(part);
    *out_part = part;
    part = NULL;
out:
    pt_part_destroy(part);
    return status;
}

void pt_part_destroy(pt_part *part) {
    if (!part) return;
    pt_device *device = part->device;
    for (size_t i = 0; i < part->instances.size; i++) {
        pt_device_begin(device);
        device->executable.release(part->executable, part->instances.data[i].instance->handle);
        pt_device_finish(device, PARTITA_OK);
        pt_free(part->instances.data[i].instance);
    }
    pt_array_deinit(&part->instances);
    if (part->executable) {
        pt_device_begin(device);
        device->executable.destroy(part->executable);
        pt_device_finish(device, PARTITA_OK);
    }
    for (uint32_t i = 0; part->weights && part->weight_values && i < part->block->weight_count; i++) {
        if (!part->weights[i].value) pt_weight_unalign(part->block->tensors[i]->weight, part->weights[i].data);
        partita_value_release(part->weight_values[i]);
    }
    pt_free(part->weight_values);
    pt_free(part->weights);
    pt_free(part->inputs);
    pt_free(part->outputs);
    pt_free(part->port_rows);
    pt_block_destroy(part->block);
    pthread_mutex_destroy(&part->turn);
    pthread_mutex_destroy(&part->lock);
    pt_free(part);
}

partita_status pt_part_annotate(const pt_part *part, partita_status status) {
    uint32_t count = part->block->data->nodes.count;
    partita_str name = pt_node_name(part->model, part->block->nodes[0]);
    if (count == 1) return pt_annotate(status, "node '%.*s'", PT_STR_ARG(name));
    return pt_annotate(status, "node '%.*s' and %u more", PT_STR_ARG(name), count - 1);
}

partita_status pt_part_infer(ptp_infer *infer, uint32_t node, const ptp_tensor *inputs, uint32_t count,
                             ptp_shape *out_shapes, int64_t *dims, uint32_t output_count) {
    pt_shaped in_fixed[16], out_fixed[16];
    pt_shaped *in = in_fixed, *out = out_fixed;
    if (!infer || node >= infer->block->data->nodes.count)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "inference of a node that the part does not have");
    if (count > PT_COUNT_OF(in_fixed)) in = pt_calloc(count, sizeof(*in));
    if (output_count > PT_COUNT_OF(out_fixed)) out = pt_calloc(output_count, sizeof(*out));
    partita_status status = in && out ? PARTITA_OK : PT_OUT_OF_MEMORY();
    if (status != PARTITA_OK) goto out;
    for (uint32_t i = 0; i < count; i++)
        in[i] = (pt_shaped){inputs[i].kind, inputs[i].dtype, (int32_t)inputs[i].rank, inputs[i].dims, inputs[i].data};
    PT_CHECK(pt_node_infer_actual(infer->model, infer->block->nodes[node], in, count, out, dims, output_count));
    for (uint32_t i = 0; i < output_count; i++) {
        bool known = out[i].rank >= 0;
        for (int32_t d = 0; known && d < out[i].rank; d++) known = dims[i * 16 + (uint32_t)d] >= 0;
        if (!known) status = PARTITA_UNSUPPORTED;
        out_shapes[i] = (ptp_shape){.rank = out[i].rank, .dims = dims + i * 16};
    }
    if (status != PARTITA_OK) pt_fail(status, "only the data tells the output's shape");
out:
    if (in != in_fixed) pt_free(in);
    if (out != out_fixed) pt_free(out);
    return status;
}
