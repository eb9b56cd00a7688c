/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocating, growing and importing the chunks of a frame's arenas.
 */
#include "run/memory.h"
#include "run/session.h"
#include <stdatomic.h>

static void free_buffer(pt_device *device, ptp_buffer *buffer) {
    if (!buffer) return;
    pt_device_begin(device);
    device->memory.free(device->handle, buffer);
    pt_device_finish(device, PARTITA_OK);
}

static void destroy_chunk(pt_build *build, pt_chunk *chunk) {
    if (!chunk) return;
    for (size_t i = 0; i < chunk->imports.size; i++)
        free_buffer(build->places[chunk->imports.data[i].place].device, chunk->imports.data[i].buffer);
    pt_array_deinit(&chunk->imports);
    free_buffer(build->places[chunk->place].device, chunk->buffer);
    pt_free(chunk->data);
    pt_budget_give(build->places[chunk->place].budget, chunk->spent);
    pthread_mutex_destroy(&chunk->lock);
    pt_free(chunk);
}

static partita_status create_chunk(pt_build *build, uint32_t place, uint64_t bytes, pt_chunk **out_chunk) {
    const pt_place *p = &build->places[place];
    partita_status status = PARTITA_OK;
    uint64_t rounded;
    pt_chunk *chunk = pt_calloc(1, sizeof(*chunk));
    if (!chunk) return PT_OUT_OF_MEMORY();
    pthread_mutex_init(&chunk->lock, NULL);
    chunk->place = place;
    uint32_t granule = PT_MAX(build->import_alignment, place ? 256 : 64); /* another device may import the pointer */
    if (!pt_align_u64(PT_MAX(bytes, 1), granule, &rounded) || rounded > SIZE_MAX) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    PT_CHECK(pt_budget_take(p->budget, rounded));
    chunk->spent = rounded;
    if (p->device) {
        PT_CHECK(
            pt_device_call(p->device, p->device->memory.alloc(p->device->handle, p->domain, rounded, &chunk->buffer)));
    } else if (!(chunk->data = pt_malloc_aligned((size_t)rounded, granule))) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    chunk->capacity = rounded;
    *out_chunk = chunk;
    chunk = NULL;
out:
    if (chunk) chunk->buffer = NULL;
    destroy_chunk(build, chunk);
    return status;
}

partita_status pt_memory_fit(pt_memory *memory, pt_build *build, const pt_layout *layout, uint32_t *out_place) {
    for (size_t i = 0; i < layout->chunks.size; i++) {
        pt_chunk_size need = layout->chunks.data[i];
        if (i == memory->chunks.size && !pt_array_push(&memory->chunks, NULL)) return PT_OUT_OF_MEMORY();
        pt_chunk **chunk = &memory->chunks.data[i];
        if (need.bytes == 0 || (*chunk && (*chunk)->place == need.place && (*chunk)->capacity >= need.bytes)) continue;
        destroy_chunk(build, *chunk);
        *chunk = NULL;
        *out_place = need.place;
        PT_TRY(create_chunk(build, need.place, need.bytes, chunk));
    }
    return PARTITA_OK;
}

void pt_memory_deinit(pt_memory *memory, pt_build *build) {
    for (size_t i = 0; i < memory->chunks.size; i++) destroy_chunk(build, memory->chunks.data[i]);
    pt_array_deinit(&memory->chunks);
}

static partita_status import_chunk(pt_build *build, const pt_chunk *chunk, uint32_t place, uint32_t handle_kind,
                                   ptp_buffer **out_buffer) {
    pt_device *source = build->places[chunk->place].device, *target = build->places[place].device;
    int64_t handle = (int64_t)(intptr_t)chunk->data;
    if (!target->memory.import_handle) return PARTITA_UNSUPPORTED;
    if (source) {
        if (!source->memory.export_handle) return PARTITA_UNSUPPORTED;
        PT_TRY(
            pt_device_call(source, source->memory.export_handle(source->handle, chunk->buffer, handle_kind, &handle)));
    }
    return pt_device_call(target, target->memory.import_handle(target->handle, build->places[place].domain, handle_kind,
                                                               handle, chunk->capacity, out_buffer));
}

ptp_buffer *pt_chunk_import(pt_build *build, pt_chunk *chunk, uint32_t place, uint32_t handle_kind) {
    ptp_buffer *buffer = NULL;
    pthread_mutex_lock(&chunk->lock);
    for (size_t i = 0; i < chunk->imports.size; i++)
        if (chunk->imports.data[i].place == place) {
            buffer = chunk->imports.data[i].buffer;
            goto out;
        }
    if (import_chunk(build, chunk, place, handle_kind, &buffer) == PARTITA_OK) {
        atomic_fetch_add(&build->session->counters.imports, 1);
    } else {
        buffer = NULL;
        pt_log_to(build->session->log, PARTITA_LOG_WARNING, "memory could not be imported by %s, values are copied: %s",
                  build->places[place].device->name, pt_last_message());
    }
    if (!pt_array_push(&chunk->imports, (pt_import){place, buffer})) {
        free_buffer(build->places[place].device, buffer);
        buffer = NULL;
    }
out:
    pthread_mutex_unlock(&chunk->lock);
    return buffer;
}
