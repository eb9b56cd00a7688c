/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances of a part: one per combination of shapes, found by the dims of every value of the part, the least recently
 * used idle ones released beyond a number.
 */
#include "run/part.h"

#define IDLE_INSTANCES 256

/* Dims of every row into `key`: rank, then dims; of unknown rank -1. */
static void fill_key(const pt_part *part, const int64_t *symbol_values, const pt_port_shape *inputs, int64_t *key,
                     ptp_shape *shapes) {
    uint32_t at = 0;
    for (uint32_t i = 0; i < part->block->data->values.count; i++) {
        pt_id value = part->block->values[i];
        const pt_type *type = value == PT_NONE ? NULL : &part->model->values.data[value].type;
        int32_t rank = type ? type->rank : -1;
        shapes[i] = (ptp_shape){.rank = rank, .dims = key + at + 1};
        key[at++] = rank;
        for (int32_t d = 0; d < rank; d++) {
            int64_t dim = pt_dim_evaluate(type->dims[d], symbol_values);
            key[at++] = dim < 0 ? -1 : dim;
        }
    }
    for (uint32_t i = 0; i < part->input_count; i++) {
        ptp_shape *shape = &shapes[part->port_rows[i]];
        if (inputs[i].rank < 0) continue;
        if (shape->rank == inputs[i].rank) {
            int64_t *dims = key + (shape->dims - key);
            for (int32_t d = 0; d < shape->rank; d++) dims[d] = inputs[i].dims[d];
            continue;
        }
        /* a rank that only the run tells: its dims follow behind the rows */
        key[at++] = inputs[i].rank;
        *shape = (ptp_shape){.rank = inputs[i].rank, .dims = key + at};
        for (int32_t d = 0; d < inputs[i].rank; d++) key[at++] = inputs[i].dims[d];
    }
}

static uint32_t extra_size(const pt_part *part, const pt_port_shape *inputs) {
    uint32_t size = 0;
    for (uint32_t i = 0; i < part->input_count; i++) size += 1 + (uint32_t)PT_MAX(inputs[i].rank, 0);
    return size;
}

/* An executable that was compiled for a range of shapes is asked for no other. */
static partita_status check_range(const pt_part *part, uint32_t input, const ptp_shape *shape) {
    const ptp_port *port = &part->inputs[input];
    const pt_value *value = &part->model->values.data[part->input_values[input]];
    for (int32_t d = 0; d < value->type.rank && shape->rank == value->type.rank; d++) {
        int64_t least = port->min_dims ? port->min_dims[d] : 0, most = port->max_dims ? port->max_dims[d] : INT64_MAX;
        if (shape->dims[d] < 0 || (shape->dims[d] >= least && shape->dims[d] <= most)) continue;
        return pt_fail(PARTITA_CANNOT_COMPILE, "%s: dim %d of input '%.*s' is %lld, compiled for %lld to %lld",
                       part->device->name, (int)d, PT_STR_ARG(value->name), (long long)shape->dims[d], (long long)least,
                       (long long)most);
    }
    return PARTITA_OK;
}

static partita_status size_instance(pt_part *part, pt_instance *instance, const ptp_shape *shapes) {
    pt_device *device = part->device;
    ptp_resize resize = {.size = sizeof(resize),
                         .shape_count = part->block->data->values.count,
                         .shapes = shapes,
                         .output_count = part->output_count,
                         .bounds = instance->bounds};
    for (uint32_t i = 0; i < part->input_count; i++) PT_TRY(check_range(part, i, &shapes[part->port_rows[i]]));
    for (uint32_t i = 0; i < part->output_count; i++)
        instance->bounds[i] = part->outputs[i].max_bytes ? part->outputs[i].max_bytes : PTP_NO_BOUND;
    PT_TRY(pt_device_call(device, device->executable.resize(part->executable, &resize, &instance->handle)));
    instance->scratch_bytes = resize.scratch_bytes;
    instance->scratch_alignment = PT_MAX(resize.scratch_alignment, 64);
    for (uint32_t i = 0; i < part->output_count; i++)
        if (part->outputs[i].output != PTP_PORT_BOUNDED) instance->bounds[i] = PTP_NO_BOUND;
    return PARTITA_OK;
}

/* Releases the idle one that was not used for the longest time. */
static void trim(pt_part *part) {
    size_t oldest = part->instances.size;
    pt_instance_row *rows = part->instances.data;
    if (part->instances.size <= IDLE_INSTANCES) return;
    for (size_t i = 0; i < part->instances.size; i++)
        if (!rows[i].instance->holders &&
            (oldest == part->instances.size || rows[i].instance->used < rows[oldest].instance->used))
            oldest = i;
    if (oldest == part->instances.size) return;
    pt_device_begin(part->device);
    part->device->executable.release(part->executable, rows[oldest].instance->handle);
    pt_device_finish(part->device, PARTITA_OK);
    pt_free(rows[oldest].instance);
    rows[oldest] = rows[--part->instances.size];
}

static pt_instance *find(const pt_part *part, uint64_t hash, const int64_t *key, uint32_t size) {
    for (size_t i = 0; i < part->instances.size; i++) {
        pt_instance *instance = part->instances.data[i].instance;
        if (part->instances.data[i].hash == hash && instance->key_size == size &&
            memcmp(instance->key, key, size * sizeof(int64_t)) == 0)
            return instance;
    }
    return NULL;
}

partita_status pt_part_acquire_instance(pt_part *part, const int64_t *symbol_values, const pt_port_shape *inputs,
                                        pt_instance **out_instance, bool *out_new) {
    partita_status status = PARTITA_OK;
    uint32_t rows = part->block->data->values.count;
    uint32_t size = part->key_size + extra_size(part, inputs);
    pt_instance *made = pt_calloc(1, sizeof(*made) + (size + part->output_count) * sizeof(int64_t));
    ptp_shape fixed[128], *shapes = rows <= PT_COUNT_OF(fixed) ? fixed : pt_calloc(rows, sizeof(*shapes));
    *out_new = false;
    if (!made || !shapes) {
        pt_free(made);
        if (shapes != fixed) pt_free(shapes);
        return PT_OUT_OF_MEMORY();
    }
    made->key = (int64_t *)(made + 1);
    made->key_size = size;
    made->bounds = (uint64_t *)(made->key + size);
    fill_key(part, symbol_values, inputs, made->key, shapes);
    uint64_t hash = pt_hash_bytes(made->key, size * sizeof(int64_t), size);
    pthread_mutex_lock(&part->lock);
    pt_instance *found = find(part, hash, made->key, size);
    if (!found) {
        if (!pt_array_reserve(&part->instances, part->instances.size + 1)) {
            status = PT_OUT_OF_MEMORY();
            goto out;
        }
        PT_CHECK(size_instance(part, made, shapes));
        found = made;
        made = NULL;
        part->instances.data[part->instances.size++] = (pt_instance_row){hash, found};
        *out_new = true;
    }
    found->holders++;
    found->used = ++part->clock;
    trim(part);
    *out_instance = found;
out:
    pthread_mutex_unlock(&part->lock);
    pt_free(made);
    if (shapes != fixed) pt_free(shapes);
    return status;
}

void pt_part_release_instance(pt_part *part, pt_instance *instance) {
    if (!instance) return;
    pthread_mutex_lock(&part->lock);
    instance->holders--;
    pthread_mutex_unlock(&part->lock);
}
