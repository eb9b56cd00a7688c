/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device memory of an executable: weights, uploaded once and shared by content between executables of a device when
 * they are large, and offsets of intermediate values in the scratch that the host gives.
 */
#include "gpu/executable.h"
#include <stdlib.h>

#define SHARED_FROM 65536u /* bytes from which a weight has a buffer of its own */

typedef struct gpu_weight_entry {
    struct gpu_weight_entry *next;
    uint64_t id, bytes;
    uint32_t users;
    ptp_buffer *buffer;
} gpu_weight_entry;

struct gpu_weight_pool {
    gpu_weight_entry *first;
};

void *gpu_alloc(const ptp_host *host, uint64_t count, uint64_t size) {
    void *block = count > UINT64_MAX / 2 / size ? NULL : host->alloc(host->self, count ? count * size : size, 64);
    if (!block) {
        gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for %llu elements of %llu bytes", (unsigned long long)count,
                 (unsigned long long)size);
        return NULL;
    }
    memset(block, 0, count ? count * size : size);
    return block;
}

void gpu_array_free(gpu_array *array, const ptp_host *host) {
    if (array->data) host->free(host->self, array->data);
    memset(array, 0, sizeof(*array));
}

void *gpu_array_add(gpu_array *array, const ptp_host *host, uint32_t count, uint64_t size) {
    if (array->count + count > array->capacity) {
        uint32_t capacity = (array->count + count) * 2 < 64 ? 64 : (array->count + count) * 2;
        void *data = gpu_alloc(host, capacity, size);
        if (!data) return NULL;
        if (array->data) {
            memcpy(data, array->data, array->count * size);
            host->free(host->self, array->data);
        }
        array->data = data;
        array->capacity = capacity;
    }
    void *added = (char *)array->data + array->count * size;
    array->count += count;
    return added;
}

static uint64_t align_up(uint64_t n, uint64_t alignment) { return (n + alignment - 1) / alignment * alignment; }

/* Takes the pool's buffer of this content, or makes it. */
static partita_status pool_take(gpu_device *device, const ptp_weight *weight, gpu_weight_ref *out) {
    const ptp_host *host = device->host;
    partita_status status = PARTITA_OK;
    gpu_weight_entry *entry = NULL;
    pthread_mutex_lock(&device->lock);
    if (!device->weights) device->weights = gpu_alloc(host, 1, sizeof(*device->weights));
    if (!device->weights) {
        status = PARTITA_OUT_OF_MEMORY;
        goto out;
    }
    for (entry = device->weights->first; entry; entry = entry->next) {
        if (entry->id == weight->id && entry->bytes == weight->bytes) break;
    }
    if (!entry) {
        entry = gpu_alloc(host, 1, sizeof(*entry));
        status = entry ? device->backend->buffer_alloc(device, weight->bytes, &entry->buffer) : PARTITA_OUT_OF_MEMORY;
        if (status == PARTITA_OK) {
            status = device->backend->buffer_upload(device, entry->buffer, 0, weight->data, weight->bytes);
        }
        if (status != PARTITA_OK) {
            if (entry && entry->buffer) device->backend->buffer_free(device, entry->buffer);
            if (entry) host->free(host->self, entry);
            goto out;
        }
        entry->id = weight->id;
        entry->bytes = weight->bytes;
        entry->next = device->weights->first;
        device->weights->first = entry;
        device->weight_bytes += weight->bytes;
    }
    entry->users++;
    out->entry = entry;
    out->buffer = entry->buffer;
    out->bytes = weight->bytes;
out:
    pthread_mutex_unlock(&device->lock);
    return status;
}

static void pool_give(gpu_device *device, gpu_weight_entry *entry) {
    pthread_mutex_lock(&device->lock);
    if (--entry->users == 0) {
        gpu_weight_entry **link = &device->weights->first;
        while (*link != entry) link = &(*link)->next;
        *link = entry->next;
        device->weight_bytes -= entry->bytes;
        device->backend->buffer_free(device, entry->buffer);
        device->host->free(device->host->self, entry);
    }
    pthread_mutex_unlock(&device->lock);
}

/* The bytes of a constant, from the weights of the compile or the block itself. */
static bool constant_source(const ptp_executable *executable, const ptp_compile *compile, uint32_t row,
                            const void **out_data, uint64_t *out_bytes, const ptp_weight **out_weight) {
    ptp_value_row value = ptp_value_at(executable->block, row);
    *out_weight = NULL;
    if (value.weight != PARTITA_NONE && value.weight < compile->weight_count) {
        const ptp_weight *weight =
            (const ptp_weight *)((const char *)compile->weights + (size_t)value.weight * compile->weights[0].size);
        *out_data = weight->data;
        *out_bytes = weight->bytes;
        *out_weight = weight;
        return weight->data != NULL || weight->bytes == 0;
    }
    *out_data = ptp_ref_data(executable->block, value.data);
    *out_bytes = value.data.count;
    return true;
}

/* Weights below SHARED_FROM lie together in one buffer: first pass adds up, second uploads. */
static partita_status small_upload(ptp_executable *executable, ptp_compile *compile) {
    gpu_device *device = executable->device;
    uint64_t total = 0;
    for (uint32_t row = 0; row < executable->value_count; row++) {
        gpu_value *value = &executable->values[row];
        if (value->home != GPU_HOME_WEIGHT || value->root != row || value->weight.entry) continue;
        value->weight.offset = total;
        total += align_up(value->weight.bytes ? value->weight.bytes : 4, device->caps.alignment);
    }
    if (total == 0) return PARTITA_OK;
    char *together = gpu_alloc(device->host, total, 1);
    if (!together) return PARTITA_OUT_OF_MEMORY;
    partita_status status = device->backend->buffer_alloc(device, total, &executable->small_weights);
    for (uint32_t row = 0; row < executable->value_count && status == PARTITA_OK; row++) {
        gpu_value *value = &executable->values[row];
        if (value->home != GPU_HOME_WEIGHT || value->root != row || value->weight.entry) continue;
        const void *data;
        const ptp_weight *weight;
        uint64_t bytes;
        constant_source(executable, compile, row, &data, &bytes, &weight);
        if (bytes) memcpy(together + value->weight.offset, data, bytes);
        value->weight.buffer = executable->small_weights;
    }
    if (status == PARTITA_OK) {
        status = device->backend->buffer_upload(device, executable->small_weights, 0, together, total);
    }
    device->host->free(device->host->self, together);
    if (status == PARTITA_OK) {
        pthread_mutex_lock(&device->lock);
        device->weight_bytes += total;
        pthread_mutex_unlock(&device->lock);
        executable->small_bytes = total;
    }
    return status;
}

partita_status gpu_weights_upload(ptp_executable *executable, ptp_compile *compile) {
    gpu_device *device = executable->device;
    for (uint32_t row = 0; row < executable->value_count; row++) {
        gpu_value *value = &executable->values[row];
        if (value->home != GPU_HOME_WEIGHT || value->root != row) continue;
        const void *data;
        const ptp_weight *weight;
        if (!constant_source(executable, compile, row, &data, &value->weight.bytes, &weight)) {
            return gpu_fail(device->host, PARTITA_CANNOT_COMPILE, "constant in row %u has no bytes", row);
        }
        if (weight && value->weight.bytes >= SHARED_FROM) {
            partita_status status = pool_take(device, weight, &value->weight);
            if (status != PARTITA_OK) return status;
        }
    }
    for (uint32_t i = 0; i < compile->weight_count; i++) {
        ptp_weight *weight = (ptp_weight *)((char *)compile->weights + (size_t)i * compile->weights[0].size);
        weight->mode = PTP_WEIGHT_UPLOAD;
    }
    return small_upload(executable, compile);
}

void gpu_weights_release(ptp_executable *executable) {
    gpu_device *device = executable->device;
    for (uint32_t row = 0; executable->values && row < executable->value_count; row++) {
        if (executable->values[row].weight.entry) pool_give(device, executable->values[row].weight.entry);
    }
    if (executable->small_weights) {
        device->backend->buffer_free(device, executable->small_weights);
        pthread_mutex_lock(&device->lock);
        device->weight_bytes -= executable->small_bytes;
        pthread_mutex_unlock(&device->lock);
    }
}

void gpu_weights_free(gpu_device *device) {
    if (device->weights) device->host->free(device->host->self, device->weights);
    device->weights = NULL;
}

/* ---- scratch ---------------------------------------------------------------------------------------------------- */

typedef struct range {
    uint64_t offset, bytes;
    uint32_t last;
} range;

typedef struct item {
    uint64_t bytes;
    uint64_t *offset;
    uint32_t first, last;
} item;

static int item_compare(const void *a, const void *b) {
    const item *x = a, *y = b;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x->bytes > y->bytes ? -1 : x->bytes < y->bytes);
}

/* First gap in time order: `live` is sorted by offset, and what ended before the item is dropped. */
static void place_item(range *live, uint32_t *count, const item *one, uint64_t alignment, uint64_t *total) {
    uint64_t bytes = align_up(one->bytes ? one->bytes : 4, alignment), at = 0;
    uint32_t kept = 0, slot;
    for (uint32_t i = 0; i < *count; i++) {
        if (live[i].last >= one->first) live[kept++] = live[i];
    }
    for (slot = 0; slot < kept && live[slot].offset < at + bytes; slot++) at = live[slot].offset + live[slot].bytes;
    memmove(live + slot + 1, live + slot, (kept - slot) * sizeof(*live));
    live[slot] = (range){at, bytes, one->last};
    *count = kept + 1;
    *one->offset = at;
    if (at + bytes > *total) *total = at + bytes;
}

/* First and last launch that binds each root and temp; first is UINT32_MAX for those that none does. */
typedef struct span {
    uint32_t first, last;
} span;

static void spans_find(const ptp_executable *executable, const struct gpu_instance *instance, span *spans) {
    const gpu_planned *launches = instance->launches.data;
    const gpu_ref *refs = instance->refs.data;
    for (uint32_t i = 0; i < executable->value_count + instance->temps.count; i++) spans[i].first = UINT32_MAX;
    for (uint32_t l = 0; l < instance->launches.count; l++) {
        for (uint32_t b = 0; b < launches[l].binding_count; b++) {
            gpu_ref ref = refs[launches[l].first_binding + b];
            if (ref.kind == GPU_REF_PORT) continue;
            uint32_t at =
                ref.kind == GPU_REF_TEMP ? executable->value_count + ref.index : executable->values[ref.index].root;
            if (spans[at].first == UINT32_MAX) spans[at].first = l;
            spans[at].last = l;
        }
    }
}

partita_status gpu_storage_plan(const ptp_executable *executable, struct gpu_instance *instance) {
    const ptp_host *host = executable->device->host;
    gpu_temp_range *temps = instance->temps.data;
    uint32_t count = 0, live_count = 0, values = executable->value_count;
    uint64_t capacity = (uint64_t)values + instance->temps.count;
    item *items = gpu_alloc(host, capacity, sizeof(*items));
    range *live = gpu_alloc(host, capacity + 1, sizeof(*live));
    span *spans = gpu_alloc(host, capacity, sizeof(*spans));
    partita_status status = items && live && spans ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
    if (status == PARTITA_OK) {
        spans_find(executable, instance, spans);
        for (uint32_t i = 0; i < capacity; i++) {
            const gpu_value *value = i < values ? &executable->values[i] : NULL;
            if (spans[i].first == UINT32_MAX || (value && value->home != GPU_HOME_SCRATCH)) continue;
            uint64_t bytes = value ? instance->bytes[i] : temps[i - values].bytes;
            uint64_t *offset = value ? &instance->offsets[i] : &temps[i - values].offset;
            items[count++] = (item){bytes, offset, spans[i].first, spans[i].last};
        }
        qsort(items, count, sizeof(*items), item_compare);
        for (uint32_t i = 0; i < count; i++) {
            place_item(live, &live_count, &items[i], executable->device->caps.alignment, &instance->scratch_bytes);
        }
    }
    uint64_t most = executable->device->caps.max_buffer;
    if (status == PARTITA_OK && most && instance->scratch_bytes > most && instance->form != GPU_FORM_RECORD) {
        status =
            gpu_fail(host, PARTITA_UNSUPPORTED, "the part needs %llu bytes of scratch, one buffer has at most %llu",
                     (unsigned long long)instance->scratch_bytes, (unsigned long long)most);
    }
    void *blocks[] = {items, live, spans};
    for (size_t i = 0; i < 3; i++) {
        if (blocks[i]) host->free(host->self, blocks[i]);
    }
    return status;
}
