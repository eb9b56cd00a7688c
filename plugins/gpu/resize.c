/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixed shapes: every step plans its launches - params, grid, bindings by value - then scratch gets offsets. Programs
 * come from the device's cache, where compile put them all, since their forms do not follow from these shapes (form.c).
 */
#include "gpu/executable.h"

partita_status gpu_emit(gpu_plan *plan, gpu_call *call) {
    gpu_device *device = plan->device;
    struct gpu_instance *instance = plan->instance;
    for (int d = 0; d < 3; d++) {
        if (call->groups[d] == 0) return PARTITA_OK; /* nothing to compute */
    }
    partita_status status = gpu_check_call(plan, call);
    if (status != PARTITA_OK || !instance) return status;
    status = gpu_pending_flush(plan, call);
    if (status != PARTITA_OK) return status;
    gpu_key key = {.kernel = call->kernel,
                   .body = call->body,
                   .defines = call->defines,
                   .local = {call->local[0], call->local[1], call->local[2]},
                   .binding_count = call->binding_count,
                   .fused = call->fused};
    gpu_program *program = NULL;
    status = gpu_program_get(device, &key, &program);
    if (status != PARTITA_OK) return status;
    gpu_planned *launch = gpu_array_add(&instance->launches, device->host, 1, sizeof(*launch));
    gpu_ref *refs = gpu_array_add(&instance->refs, device->host, call->binding_count, sizeof(*refs));
    uint32_t *params = gpu_array_add(&instance->params, device->host, call->param_count + 1, sizeof(*params));
    if (!launch || !refs || !params) return PARTITA_OUT_OF_MEMORY;
    memcpy(refs, call->bindings, call->binding_count * sizeof(*refs));
    memcpy(params, call->params, call->param_count * sizeof(*params));
    *launch = (gpu_planned){.program = program,
                            .name = call->kernel,
                            .groups = {call->groups[0], call->groups[1], call->groups[2]},
                            .first_binding = instance->refs.count - call->binding_count,
                            .binding_count = call->binding_count,
                            .first_param = instance->params.count - call->param_count - 1,
                            .param_count = call->param_count};
    return PARTITA_OK;
}

/* Bytes of all values at these shapes; those over a limit are an error, with their name. */
static partita_status sizes_compute(ptp_executable *executable, const ptp_shape *shapes,
                                    struct gpu_instance *instance) {
    gpu_check check = {.device = executable->device};
    const ptp_host *host = executable->device->host;
    for (uint32_t row = 0; row < executable->value_count; row++) {
        ptp_value_row value = ptp_value_at(executable->block, row);
        const gpu_value *root = &executable->values[executable->values[row].root];
        if (root->home == GPU_HOME_NONE) continue;
        gpu_operand operand = {.dtype = value.dtype, .rank = shapes[row].rank};
        partita_str name = ptp_ref_str(executable->block, value.name);
        if (operand.rank < 0 || operand.rank > GPU_MAX_RANK) {
            return gpu_fail(host, PARTITA_UNSUPPORTED, "%.*s has rank %d", (int)name.size, name.data, operand.rank);
        }
        memcpy(operand.dims, shapes[row].dims, (size_t)operand.rank * sizeof(int64_t));
        int64_t n = gpu_elements(&operand);
        if (n < 0) {
            return gpu_fail(host, PARTITA_UNSUPPORTED, "the shape of %.*s is not known", (int)name.size, name.data);
        }
        instance->bytes[row] = gpu_bytes(&operand);
        if (n == 0 && instance->form == GPU_FORM_REPLAY) instance->form = GPU_FORM_FREE; /* steps are left out */
        if (instance->form != GPU_FORM_RECORD && !gpu_check_size(&check, &operand, name.data, (int)name.size)) {
            return gpu_fail(host, PARTITA_UNSUPPORTED, "%s", check.text);
        }
    }
    return PARTITA_OK;
}

static bool outputs_empty(const gpu_node *node) {
    for (uint32_t i = 0; i < node->output_count; i++) {
        const gpu_operand *operand = gpu_output(node, i);
        if (operand && gpu_elements(operand) != 0) return false;
    }
    return true;
}

static partita_status steps_plan(ptp_executable *executable, struct gpu_instance *instance, const ptp_shape *shapes) {
    gpu_device *device = executable->device;
    gpu_node *node = &executable->node;
    const gpu_constants constants = {(const void *const *)executable->constant_data, executable->constant_bytes};
    for (uint32_t s = 0; s < executable->step_count; s++) {
        const gpu_step *step = &executable->steps[s];
        gpu_decisions_begin(executable, instance, s);
        if (step->op->flags & GPU_OP_ALIAS) continue;
        partita_status status =
            gpu_node_read(node, device->host, executable->block, step->node, GPU_DIMS_ACTUAL, shapes, &constants);
        if (status != PARTITA_OK) return status;
        if (outputs_empty(node)) continue;
        gpu_plan plan = {executable, device, instance, step->op, node, NULL, 0};
        status = step->op->plan(&plan);
        if (status != PARTITA_OK) return status;
    }
    gpu_decisions_begin(executable, instance, executable->step_count);
    for (uint32_t t = 0; t < executable->tail_count; t++) {
        const gpu_tail *tail = &executable->tails[t];
        ptp_value_row value = ptp_value_at(executable->block, tail->row);
        const gpu_type *type = gpu_type_of(value.dtype);
        gpu_plan plan = {executable, device, instance, NULL, NULL, NULL, 0};
        partita_status status = gpu_emit_copy(&plan, (int64_t)(instance->bytes[tail->row] / type->bytes), value.dtype,
                                              (gpu_ref){GPU_REF_VALUE, tail->row}, (gpu_ref){GPU_REF_PORT, tail->port});
        if (status != PARTITA_OK) return status;
    }
    return PARTITA_OK;
}

/* Bindings from values and temps to homes and offsets. */
static partita_status places_fill(ptp_executable *executable, struct gpu_instance *instance) {
    const ptp_host *host = executable->device->host;
    const gpu_ref *refs = instance->refs.data;
    const gpu_temp_range *temps = instance->temps.data;
    ptp_graph_row graph = ptp_graph_at(executable->block, 0);
    instance->places = gpu_alloc(host, instance->refs.count, sizeof(*instance->places));
    instance->bound = gpu_alloc(host, instance->refs.count, sizeof(*instance->bound));
    instance->ready = gpu_alloc(host, instance->launches.count, sizeof(*instance->ready));
    if (!instance->places || !instance->bound || !instance->ready) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < instance->refs.count; i++) {
        gpu_place *place = &instance->places[i];
        if (refs[i].kind == GPU_REF_TEMP) {
            const gpu_temp_range *temp = &temps[refs[i].index];
            *place = (gpu_place){GPU_HOME_SCRATCH, 0, temp->offset, temp->bytes};
        } else if (refs[i].kind == GPU_REF_PORT) {
            uint32_t row = ptp_ref_id(executable->block, graph.outputs, refs[i].index);
            *place = (gpu_place){GPU_HOME_OUTPUT, refs[i].index, 0, instance->bytes[row]};
        } else {
            uint32_t root = executable->values[refs[i].index].root;
            const gpu_value *value = &executable->values[root];
            uint32_t index = value->home == GPU_HOME_WEIGHT ? root : value->port;
            uint64_t offset = value->home == GPU_HOME_SCRATCH ? instance->offsets[root] : 0;
            *place = (gpu_place){value->home, index, offset, instance->bytes[refs[i].index]};
        }
        if (place->bytes == 0) place->bytes = 4;
    }
    return PARTITA_OK;
}

partita_status gpu_instance_create(ptp_executable *executable, const ptp_shape *shapes, bool record,
                                   struct gpu_instance **out_instance) {
    const ptp_host *host = executable->device->host;
    struct gpu_instance *instance = gpu_alloc(host, 1, sizeof(*instance));
    if (!instance) return PARTITA_OUT_OF_MEMORY;
    instance->form = record ? GPU_FORM_RECORD : executable->decisions.count > 0 ? GPU_FORM_REPLAY : GPU_FORM_FREE;
    instance->bytes = gpu_alloc(host, executable->value_count, sizeof(*instance->bytes));
    instance->offsets = gpu_alloc(host, executable->value_count, sizeof(*instance->offsets));
    partita_status status = instance->bytes && instance->offsets ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
    if (status == PARTITA_OK) status = sizes_compute(executable, shapes, instance);
    if (status == PARTITA_OK) status = steps_plan(executable, instance, shapes);
    if (status == PARTITA_OK && instance->lost) status = PARTITA_OUT_OF_MEMORY;
    gpu_array_free(&instance->pending, host);
    if (status == PARTITA_OK) status = gpu_storage_plan(executable, instance);
    if (status == PARTITA_OK) status = places_fill(executable, instance);
    if (status != PARTITA_OK) {
        gpu_instance_destroy(executable, instance);
        return status;
    }
    *out_instance = instance;
    return PARTITA_OK;
}

void gpu_instance_destroy(ptp_executable *executable, struct gpu_instance *instance) {
    if (!instance) return;
    const ptp_host *host = executable->device->host;
    if (instance->record) executable->device->backend->record_free(executable->device, instance->record);
    gpu_array_free(&instance->launches, host);
    gpu_array_free(&instance->refs, host);
    gpu_array_free(&instance->params, host);
    gpu_array_free(&instance->temps, host);
    void *blocks[] = {instance->bytes, instance->offsets, instance->places, instance->bound, instance->ready};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (blocks[i]) host->free(host->self, blocks[i]);
    }
    host->free(host->self, instance);
}
