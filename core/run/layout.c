/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and caching layouts. Slots get their offsets largest first, each at the lowest offset where no conflicting
 * slot lies.
 */
#include "run/layout.h"
#include "run/session.h"
#include <stdatomic.h>
#include <stdlib.h>

bool pt_value_dims(const pt_model *model, pt_id value, const int64_t *symbol_values, int64_t *dims) {
    const pt_type *type = &model->values.data[value].type;
    if (type->kind != PARTITA_KIND_TENSOR || type->rank < 0) return false;
    for (int32_t i = 0; i < type->rank; i++) {
        int64_t dim = pt_dim_evaluate(type->dims[i], symbol_values);
        if (dim < 0) return false;
        if (dims) dims[i] = dim;
    }
    return true;
}

static uint64_t max_buffer(const pt_build *build, uint32_t place) {
    const pt_place *p = &build->places[place];
    uint64_t limit = p->device ? p->device->info.domains[p->domain].max_buffer : 0;
    return limit ? limit : UINT64_MAX;
}

static partita_status size_slots(pt_program *program, pt_layout *layout, const int64_t *symbol_values) {
    const pt_model *model = program->build->model;
    for (size_t i = 0; i < program->slots.size; i++) {
        const pt_slot *slot = &program->slots.data[i];
        pt_room *room = &layout->rooms[i];
        if (slot->value == PT_NONE) continue;
        const pt_type *type = &model->values.data[slot->value].type;
        if (type->kind != PARTITA_KIND_TENSOR || type->rank < 0 || pt_dtype_bits(type->dtype) == 0) continue;
        int64_t *dims = pt_arena_array(&layout->arena, (size_t)type->rank + 1, sizeof(*dims));
        if (!dims) return PT_OUT_OF_MEMORY();
        uint64_t count;
        room->known = pt_value_dims(model, slot->value, symbol_values, dims);
        if (!room->known) continue;
        room->dims = dims;
        if (!pt_dims_count(dims, (uint32_t)type->rank, &count) || !pt_dtype_bytes(type->dtype, count, &room->bytes)) {
            partita_str name = model->values.data[slot->value].name;
            return pt_fail(PARTITA_BAD_INPUT, "the size of value '%.*s' overflows", PT_STR_ARG(name));
        }
    }
    return PARTITA_OK;
}

static partita_status size_steps(pt_program *program, pt_layout *layout, const int64_t *symbol_values,
                                 pt_part_cell *part) {
    for (uint32_t s = 0; s < program->steps.size; s++) {
        const pt_step *step = &program->steps.data[s];
        if (step->kind != PT_STEP_LAUNCH) continue;
        pt_port_shape *shapes = pt_arena_array(&layout->arena, step->input_count + 1, sizeof(*shapes));
        if (!shapes) return PT_OUT_OF_MEMORY();
        bool known = true, made;
        for (uint32_t i = 0; i < step->input_count; i++) {
            const pt_type *type = &program->build->model->values.data[step->part->input_values[i]].type;
            bool dense = type->kind == PARTITA_KIND_TENSOR && type->dtype != PARTITA_STRING;
            const pt_room *room = &layout->rooms[step->inputs[i]];
            if (dense && !room->known) known = false;
            shapes[i] = (pt_port_shape){dense && room->known ? type->rank : -1, room->dims};
        }
        if (!known) continue;
        atomic_store(part, step->part);
        PT_TRY(pt_part_check_shapes(step->part, symbol_values, shapes));
        partita_status status =
            pt_part_acquire_instance(step->part, symbol_values, shapes, &layout->instances[s], &made);
        if (status != PARTITA_OK) return pt_part_annotate(step->part, status);
        atomic_store(part, NULL);
        layout->footprint += 4096;
        pt_room *scratch = &layout->rooms[step->scratch];
        scratch->known = true;
        scratch->bytes = layout->instances[s]->scratch_bytes;
        for (uint32_t i = 0; i < step->output_count; i++) {
            uint64_t bound = layout->instances[s]->bounds[i];
            if (bound == PTP_NO_BOUND) continue;
            layout->rooms[step->outputs[i]].bounded = true;
            layout->rooms[step->outputs[i]].bytes = bound;
        }
    }
    return PARTITA_OK;
}

/* A slot while offsets are given out. */
typedef struct place_row {
    uint32_t slot;
    uint64_t bytes;
} place_row;

static int compare_rows(const void *a, const void *b) {
    const place_row *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

/* Whether any of those at a's place conflicts with any of those at b's. */
static bool conflict(const pt_program *program, const pt_layout *layout, uint32_t a, uint32_t b) {
    if (!program->conflicts) return true;
    size_t stride = program->slots.size / 64 + 1;
    for (uint32_t x = a; x != PT_NONE; x = layout->rooms[x].next)
        for (uint32_t y = b; y != PT_NONE; y = layout->rooms[y].next)
            if (program->conflicts[x * stride + y / 64] >> (y % 64) & 1) return true;
    return false;
}

static uint64_t own_alignment(const pt_program *program, const pt_layout *layout, uint32_t slot) {
    const pt_slot *s = &program->slots.data[slot];
    const pt_place *place = &program->build->places[s->place];
    uint64_t alignment = PT_MAX(s->alignment, 64);
    if (place->device) alignment = PT_MAX(alignment, place->device->info.domains[place->domain].alignment);
    if (s->is_scratch) alignment = PT_MAX(alignment, layout->instances[s->producer]->scratch_alignment);
    return alignment;
}

static uint64_t slot_alignment(const pt_program *program, const pt_layout *layout, uint32_t slot) {
    uint64_t alignment = 1;
    for (uint32_t i = slot; i != PT_NONE; i = layout->rooms[i].next)
        alignment = PT_MAX(alignment, own_alignment(program, layout, i));
    return alignment;
}

/* Outputs that take over the bytes of an input, as far as the sizes are equal, are placed with it. */
static void join_aliases(const pt_program *program, pt_layout *layout) {
    for (uint32_t i = 0; i < program->slots.size; i++) {
        layout->rooms[i].leader = i;
        layout->rooms[i].next = PT_NONE;
    }
    for (uint32_t i = 0; i < program->slots.size; i++) {
        uint32_t from = program->slots.data[i].alias_of;
        pt_room *room = &layout->rooms[i];
        if (from == PT_NONE || !room->known || room->bounded || !layout->rooms[from].known) continue;
        if (layout->rooms[from].bounded || layout->rooms[from].bytes != room->bytes) continue;
        pt_room *leader = &layout->rooms[layout->rooms[from].leader];
        room->leader = layout->rooms[from].leader;
        room->next = leader->next;
        leader->next = i;
    }
}

/* Lowest offset in `chunk` where nothing placed before in this place conflicts. `placed` is sorted by offset. */
static partita_status find_offset(const pt_program *program, const pt_layout *layout, const uint32_t *placed,
                                  uint32_t count, uint32_t slot, uint32_t chunk, uint64_t *out_offset) {
    uint64_t offset = 0, end, alignment = slot_alignment(program, layout, slot);
    for (uint32_t i = 0; i < count; i++) {
        const pt_room *other = &layout->rooms[placed[i]];
        if (other->chunk != chunk || !conflict(program, layout, slot, placed[i])) continue;
        if (!pt_add_u64(offset, layout->rooms[slot].bytes, &end)) break;
        if (other->offset >= end) break;
        if (other->offset + other->bytes > offset && !pt_align_u64(other->offset + other->bytes, alignment, &offset))
            return PT_OUT_OF_MEMORY();
    }
    *out_offset = offset;
    return pt_add_u64(offset, layout->rooms[slot].bytes, &end) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status place_slot(const pt_program *program, pt_layout *layout, uint32_t *placed, uint32_t *count,
                                 uint32_t slot) {
    uint32_t place = program->slots.data[slot].place;
    uint64_t limit = max_buffer(program->build, place), offset = 0;
    pt_room *room = &layout->rooms[slot];
    uint32_t chunk = 0;
    for (; chunk < layout->chunks.size; chunk++) {
        if (layout->chunks.data[chunk].place != place) continue;
        PT_TRY(find_offset(program, layout, placed, *count, slot, chunk, &offset));
        if (offset == 0 || offset + room->bytes <= limit) break;
    }
    if (chunk == layout->chunks.size) {
        if (!pt_array_push(&layout->chunks, (pt_chunk_size){place, 0})) return PT_OUT_OF_MEMORY();
        offset = 0;
    }
    room->chunk = chunk;
    room->offset = offset;
    room->placed = true;
    layout->chunks.data[chunk].bytes = PT_MAX(layout->chunks.data[chunk].bytes, offset + room->bytes);
    uint32_t at = (*count)++;
    while (at > 0 && layout->rooms[placed[at - 1]].offset > offset) {
        placed[at] = placed[at - 1];
        at--;
    }
    placed[at] = slot;
    return PARTITA_OK;
}

static partita_status place_slots(pt_program *program, pt_layout *layout) {
    uint32_t count = 0;
    join_aliases(program, layout);
    place_row *rows = pt_calloc(program->slots.size + 1, sizeof(*rows));
    uint32_t *placed = pt_calloc(program->slots.size + 1, sizeof(*placed));
    partita_status status = rows && placed ? PARTITA_OK : PT_OUT_OF_MEMORY();
    if (status != PARTITA_OK) goto out;
    for (uint32_t place = 0; place < program->build->place_count; place++)
        if (!pt_array_push(&layout->chunks, (pt_chunk_size){place, 0})) {
            status = PT_OUT_OF_MEMORY();
            goto out;
        }
    for (uint32_t i = 0; i < program->slots.size; i++)
        if (program->slots.data[i].arena && (layout->rooms[i].known || layout->rooms[i].bounded) &&
            layout->rooms[i].bytes && layout->rooms[i].leader == i)
            rows[count++] = (place_row){i, layout->rooms[i].bytes};
    qsort(rows, count, sizeof(*rows), compare_rows);
    for (uint32_t place = 0; place < program->build->place_count; place++) {
        uint32_t placed_count = 0;
        for (uint32_t i = 0; i < count; i++)
            if (program->slots.data[rows[i].slot].place == place)
                PT_CHECK(place_slot(program, layout, placed, &placed_count, rows[i].slot));
    }
    for (uint32_t i = 0; i < program->slots.size; i++) {
        const pt_room *leader = &layout->rooms[layout->rooms[i].leader];
        layout->rooms[i].placed = leader->placed;
        layout->rooms[i].chunk = leader->chunk;
        layout->rooms[i].offset = leader->offset;
    }
out:
    pt_free(rows);
    pt_free(placed);
    return status;
}

static void destroy_layout(pt_program *program, pt_layout *layout) {
    for (size_t s = 0; layout->instances && s < program->steps.size; s++)
        if (layout->instances[s]) pt_part_release_instance(program->steps.data[s].part, layout->instances[s]);
    pt_array_deinit(&layout->chunks);
    pt_arena_deinit(&layout->arena);
    pt_free(layout);
}

static partita_status make_layout(pt_program *program, const int64_t *symbol_values, const int64_t *key,
                                  pt_layout **out_layout, pt_part_cell *part) {
    partita_status status = PARTITA_OK;
    pt_layout *layout = pt_calloc(1, sizeof(*layout));
    if (!layout) return PT_OUT_OF_MEMORY();
    int64_t *kept = pt_arena_array(&layout->arena, program->key_symbol_count + 1, sizeof(*kept));
    layout->rooms = pt_arena_array(&layout->arena, program->slots.size + 1, sizeof(*layout->rooms));
    layout->instances = pt_arena_array(&layout->arena, program->steps.size + 1, sizeof(*layout->instances));
    if (!kept || !layout->rooms || !layout->instances) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    if (program->key_symbol_count) memcpy(kept, key, program->key_symbol_count * sizeof(*kept));
    layout->key = kept;
    PT_CHECK(size_slots(program, layout, symbol_values));
    PT_CHECK(size_steps(program, layout, symbol_values, part));
    PT_CHECK(place_slots(program, layout));
    layout->footprint += layout->arena.bytes + sizeof(*layout);
    *out_layout = layout;
    layout = NULL;
out:
    if (layout) destroy_layout(program, layout);
    return status;
}

/* Drops the least recently used idle ones beyond the budget. */
static void trim_layouts(pt_program *program) {
    uint64_t budget = program->build->session->max_shapes_bytes;
    while (program->layout_bytes > budget) {
        pt_layout **oldest = NULL;
        for (pt_layout **at = &program->layouts; *at; at = &(*at)->next)
            if (!(*at)->holders && (!oldest || (*at)->used < (*oldest)->used)) oldest = at;
        if (!oldest) return;
        pt_layout *layout = *oldest;
        *oldest = layout->next;
        program->layout_bytes -= layout->footprint;
        destroy_layout(program, layout);
    }
}

partita_status pt_layout_acquire(pt_program *program, const int64_t *symbol_values, pt_layout **out_layout,
                                 uint64_t *out_ns, pt_part_cell *part) {
    partita_status status = PARTITA_OK;
    atomic_store(part, NULL);
    size_t bytes = program->key_symbol_count * sizeof(int64_t);
    int64_t fixed[64], *key = fixed;
    *out_ns = 0;
    if (program->key_symbol_count > PT_COUNT_OF(fixed) && !(key = pt_malloc(bytes))) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < program->key_symbol_count; i++) key[i] = symbol_values[program->key_symbols[i]];
    uint64_t hash = pt_hash_bytes(key, bytes, program->graph);
    pthread_mutex_lock(&program->lock);
    pt_layout **at = &program->layouts, *found;
    while (*at && ((*at)->hash != hash || memcmp((*at)->key, key, bytes) != 0)) at = &(*at)->next;
    if ((found = *at) != NULL) { /* to the front: the next run most likely has the same dims */
        *at = found->next;
        found->next = program->layouts;
        program->layouts = found;
    } else {
        uint64_t begin = pt_thread_ns();
        PT_CHECK(make_layout(program, symbol_values, key, &found, part));
        found->hash = hash;
        found->next = program->layouts;
        program->layouts = found;
        program->layout_bytes += found->footprint;
        *out_ns = PT_MAX(pt_thread_ns() - begin, 1);
    }
    found->holders++;
    found->used = ++program->clock;
    trim_layouts(program);
    *out_layout = found;
out:
    pthread_mutex_unlock(&program->lock);
    if (key != fixed) pt_free(key);
    return status;
}

void pt_layout_release(pt_program *program, pt_layout *layout) {
    if (!layout) return;
    pthread_mutex_lock(&program->lock);
    layout->holders--;
    pthread_mutex_unlock(&program->lock);
}

void pt_program_drop_layouts(pt_program *program) {
    while (program->layouts) {
        pt_layout *layout = program->layouts;
        program->layouts = layout->next;
        destroy_layout(program, layout);
    }
}
