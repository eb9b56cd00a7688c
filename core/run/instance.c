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

static partita_status size_instance(pt_part *part, pt_instance *instance, const ptp_shape *shapes) {
    pt_device *device = part->device;
    ptp_resize resize = {.size = sizeof(resize), .shape_count = part->block->data->values.count, .shapes = shapes};
    PT_TRY(pt_device_call(device, device->executable.resize(part->executable, &resize, &instance->handle)));
    instance->scratch_bytes = resize.scratch_bytes;
    instance->scratch_alignment = PT_MAX(resize.scratch_alignment, 64);
    return PARTITA_OK;
}

static void destroy_instance(pt_part *part, pt_instance *instance) {
    pt_device_begin(part->device);
    part->device->executable.release(part->executable, instance->handle);
    pt_device_finish(part->device, PARTITA_OK);
    pt_free(instance);
}

/* Releases the idle one that was not used for the longest time. */
static void trim(pt_part *part) {
    pt_instance **oldest = NULL;
    if (part->instance_count <= IDLE_INSTANCES) return;
    for (pt_instance **at = &part->instances; *at; at = &(*at)->next)
        if (!(*at)->holders && (!oldest || (*at)->used < (*oldest)->used)) oldest = at;
    if (!oldest) return;
    pt_instance *instance = *oldest;
    *oldest = instance->next;
    part->instance_count--;
    destroy_instance(part, instance);
}

partita_status pt_part_acquire_instance(pt_part *part, const int64_t *symbol_values, const pt_port_shape *inputs,
                                        pt_instance **out_instance, bool *out_new) {
    partita_status status = PARTITA_OK;
    uint32_t rows = part->block->data->values.count;
    uint32_t size = part->key_size + extra_size(part, inputs);
    pt_instance *made = pt_calloc(1, sizeof(*made) + size * sizeof(int64_t));
    ptp_shape *shapes = pt_calloc(rows + 1, sizeof(*shapes));
    *out_new = false;
    if (!made || !shapes) {
        pt_free(made);
        pt_free(shapes);
        return PT_OUT_OF_MEMORY();
    }
    made->key = (int64_t *)(made + 1);
    made->key_size = size;
    fill_key(part, symbol_values, inputs, made->key, shapes);
    made->hash = pt_hash_bytes(made->key, size * sizeof(int64_t), size);
    pthread_mutex_lock(&part->lock);
    pt_instance *found = part->instances;
    while (found && (found->hash != made->hash || found->key_size != size ||
                     memcmp(found->key, made->key, size * sizeof(int64_t)) != 0))
        found = found->next;
    if (!found) {
        PT_CHECK(size_instance(part, made, shapes));
        found = made;
        made = NULL;
        found->next = part->instances;
        part->instances = found;
        part->instance_count++;
        *out_new = true;
    }
    found->holders++;
    found->used = ++part->clock;
    trim(part);
    *out_instance = found;
out:
    pthread_mutex_unlock(&part->lock);
    pt_free(made);
    pt_free(shapes);
    return status;
}

void pt_part_release_instance(pt_part *part, pt_instance *instance) {
    if (!instance) return;
    pthread_mutex_lock(&part->lock);
    instance->holders--;
    pthread_mutex_unlock(&part->lock);
}
