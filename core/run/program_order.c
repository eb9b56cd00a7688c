/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finishing a program: steps in a topological order with moves right behind what they move, who waits for whom and how,
 * which slots may not share bytes, and which symbols decide about sizes.
 */
#include "run/program.h"

/* Slots beyond this many never share bytes: the table of conflicts would grow with their square. */
#define SHARING_SLOTS 8192

/* ---- order ----------------------------------------------------------------------------------- */

typedef struct sorter {
    pt_program *program;
    uint32_t *rank; /* new index of each step; PT_NONE: not placed */
    uint32_t placed;
} sorter;

static uint32_t move_source(const pt_program *program, const pt_step *step) {
    return program->slots.data[step->moves[0].from].producer;
}

/* Places the moves that `producer` (PT_NONE: what is there from the start) enables, and those that they enable. */
static void place_moves(sorter *s, uint32_t producer) {
    const pt_program *program = s->program;
    for (uint32_t i = 0; i < program->steps.size; i++) {
        const pt_step *step = &program->steps.data[i];
        if (step->kind != PT_STEP_MOVE || s->rank[i] != PT_NONE || move_source(program, step) != producer) continue;
        s->rank[i] = s->placed++;
        place_moves(s, i);
    }
}

static partita_status sort_steps(pt_program *program, uint32_t *rank) {
    size_t count = program->steps.size;
    sorter s = {program, rank, 0};
    pt_step *sorted = pt_calloc(count + 1, sizeof(*sorted));
    if (!sorted) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) rank[i] = PT_NONE;
    place_moves(&s, PT_NONE);
    for (uint32_t i = 0; i < count; i++) {
        if (program->steps.data[i].kind == PT_STEP_MOVE) continue;
        rank[i] = s.placed++;
        place_moves(&s, i);
    }
    for (size_t i = 0; i < count; i++) sorted[rank[i]] = program->steps.data[i];
    if (count) memcpy(program->steps.data, sorted, count * sizeof(*sorted));
    pt_free(sorted);
    for (size_t i = 0; i < program->slots.size; i++) {
        uint32_t *producer = &program->slots.data[i].producer;
        if (*producer != PT_NONE) *producer = rank[*producer];
    }
    return PARTITA_OK;
}

/* ---- readers --------------------------------------------------------------------------------- */

typedef void (*slot_fn)(void *user, uint32_t slot);

static void each_read(const pt_step *step, slot_fn fn, void *user) {
    for (uint32_t i = 0; i < step->input_count; i++)
        if (step->inputs[i] != PT_NONE) fn(user, step->inputs[i]);
    for (uint32_t i = 0; i < step->need_count; i++) fn(user, step->needs[i]);
    for (uint32_t i = 0; step->kind == PT_STEP_MOVE && i < step->move_count; i++) fn(user, step->moves[i].from);
}

/* An imported view of a device's memory by the host is mapped; it ends behind its last reader, by a step. */
static partita_status add_unmaps(pt_program *program) {
    size_t count = program->steps.size;
    for (size_t i = 0; i < count; i++) {
        pt_step step = program->steps.data[i];
        if (step.kind != PT_STEP_MOVE || step.moves[0].route.route != PTP_ROUTE_IMPORT) continue;
        if (program->slots.data[step.moves[0].to].place != 0) continue;
        pt_step unmap = {.kind = PT_STEP_UNMAP,
                         .device = step.device,
                         .node = PT_NONE,
                         .scratch = PT_NONE,
                         .moves = step.moves,
                         .move_count = step.move_count};
        if (!pt_array_push(&program->steps, unmap)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

/* ---- dependencies ---------------------------------------------------------------------------- */

typedef struct linker {
    pt_program *program;
    uint32_t step;            /* the one whose predecessors are looked for */
    uint32_t *seen;           /* by step: the last one that it was a predecessor of, plus one */
    PT_ARRAY(uint32_t) pairs; /* predecessor, successor */
    bool failed;
} linker;

static void link_step(linker *l, uint32_t before) {
    if (before == PT_NONE || before == l->step || l->seen[before] == l->step + 1) return;
    l->seen[before] = l->step + 1;
    if (!pt_array_push(&l->pairs, before) || !pt_array_push(&l->pairs, l->step)) l->failed = true;
}

static void link_slot(void *user, uint32_t slot) {
    linker *l = user;
    link_step(l, l->program->slots.data[slot].producer);
}

typedef struct unmap_search {
    const pt_step *unmap;
    bool reads;
} unmap_search;

static void reads_mapped(void *user, uint32_t slot) {
    unmap_search *search = user;
    for (uint32_t i = 0; i < search->unmap->move_count; i++) search->reads |= search->unmap->moves[i].to == slot;
}

/* Waits of an unmap: for whatever reads the mapped slots. */
static void link_unmap(linker *l, const pt_step *unmap) {
    for (uint32_t s = 0; s < l->program->steps.size; s++) {
        unmap_search search = {unmap, false};
        each_read(&l->program->steps.data[s], reads_mapped, &search);
        if (search.reads) link_step(l, s);
    }
    for (uint32_t i = 0; i < unmap->move_count; i++) link_slot(l, unmap->moves[i].to);
}

/* True when `to` may be issued while `from` is only issued: the device or its waits keep the order. */
static bool is_light(const pt_step *from, const pt_step *to) {
    if (!from->async || !to->async || from->device != to->device) return false;
    if (from->kind == PT_STEP_LAUNCH && from->part->dynamic) return false;
    return (from->device->info.flags & PTP_DEVICE_IN_ORDER) || to->kind == PT_STEP_LAUNCH;
}

static partita_status link_steps(pt_program *program) {
    size_t count = program->steps.size;
    linker l = {.program = program};
    partita_status status = PARTITA_OK;
    l.seen = pt_calloc(count + 1, sizeof(uint32_t));
    if (!l.seen) return PT_OUT_OF_MEMORY();
    for (uint32_t s = 0; s < count; s++) {
        l.step = s;
        if (program->steps.data[s].kind == PT_STEP_UNMAP)
            link_unmap(&l, &program->steps.data[s]);
        else
            each_read(&program->steps.data[s], link_slot, &l);
    }
    for (size_t i = 0; i < l.pairs.size; i += 2) {
        program->steps.data[l.pairs.data[i]].successor_count++;
        program->steps.data[l.pairs.data[i + 1]].predecessor_count++;
    }
    for (uint32_t s = 0; s < count && !l.failed; s++) {
        pt_step *step = &program->steps.data[s];
        step->successors = pt_arena_array(&program->arena, step->successor_count + 1, sizeof(uint32_t));
        step->light = pt_arena_array(&program->arena, step->successor_count + 1, 1);
        step->queue_before = pt_arena_array(&program->arena, step->predecessor_count + 1, sizeof(uint32_t));
        l.failed = !step->successors || !step->light || !step->queue_before;
        step->successor_count = 0;
    }
    if (l.failed) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (size_t i = 0; i < l.pairs.size; i += 2) {
        pt_step *from = &program->steps.data[l.pairs.data[i]], *to = &program->steps.data[l.pairs.data[i + 1]];
        bool light = is_light(from, to);
        from->successors[from->successor_count] = l.pairs.data[i + 1];
        from->light[from->successor_count++] = light;
        if (light && !(to->device->info.flags & PTP_DEVICE_IN_ORDER))
            to->queue_before[to->queue_before_count++] = l.pairs.data[i];
    }
out:
    pt_array_deinit(&l.pairs);
    pt_free(l.seen);
    return status;
}

/* ---- conflicts ------------------------------------------------------------------------------- */

typedef struct bits {
    uint64_t *words;
    size_t stride; /* words of a row */
} bits;

static bool bit_at(const bits *b, size_t row, size_t column) {
    return b->words[row * b->stride + column / 64] >> (column % 64) & 1;
}
static void bit_set(bits *b, size_t row, size_t column) {
    b->words[row * b->stride + column / 64] |= UINT64_C(1) << (column % 64);
}

/* Slot in whose memory a slot lies. */
static uint32_t root_slot(const pt_program *program, uint32_t slot) {
    while (program->slots.data[slot].import_of != PT_NONE) slot = program->slots.data[slot].import_of;
    return slot;
}

/* reach[a] has b when step b runs only after step a is complete. */
static void fill_reach(const pt_program *program, bits *reach) {
    for (size_t a = program->steps.size; a-- > 0;) {
        const pt_step *step = &program->steps.data[a];
        for (uint32_t i = 0; i < step->successor_count; i++) {
            size_t b = step->successors[i];
            bit_set(reach, a, b);
            for (size_t w = 0; w < reach->stride; w++)
                reach->words[a * reach->stride + w] |= reach->words[b * reach->stride + w];
        }
    }
}

typedef struct after_search {
    const pt_program *program;
    bits *after; /* by slot: steps that run after every reader of the slot */
    const bits *reach;
    uint32_t step;
} after_search;

static void cut_after(void *user, uint32_t slot) {
    after_search *s = user;
    uint32_t root = root_slot(s->program, slot);
    for (size_t w = 0; w < s->after->stride; w++)
        s->after->words[root * s->after->stride + w] &= s->reach->words[s->step * s->reach->stride + w];
}

static void fill_after(const pt_program *program, const bits *reach, bits *after) {
    for (size_t slot = 0; slot < program->slots.size; slot++) {
        uint32_t producer = program->slots.data[slot].producer;
        if (producer == PT_NONE) continue;
        memcpy(after->words + slot * after->stride, reach->words + producer * reach->stride, after->stride * 8);
    }
    for (uint32_t s = 0; s < program->steps.size; s++) {
        const pt_step *step = &program->steps.data[s];
        after_search search = {program, after, reach, s};
        each_read(step, cut_after, &search);
        for (uint32_t i = 0; step->kind == PT_STEP_UNMAP && i < step->move_count; i++)
            cut_after(&search, step->moves[i].to);
    }
    for (uint32_t i = 0; i < program->output_count; i++)
        memset(after->words + root_slot(program, program->outputs[i]) * after->stride, 0, after->stride * 8);
}

typedef struct reader_search {
    const pt_program *program;
    const bits *reach;
    uint32_t slot, step; /* step that would write over the slot */
    uint32_t reader;
    bool later; /* somebody may read it then */
} reader_search;

static void note_later_reader(void *user, uint32_t slot) {
    reader_search *s = user;
    if (root_slot(s->program, slot) != s->slot || s->reader == s->step) return;
    s->later |= !bit_at(s->reach, s->reader, s->step);
}

static bool is_read_later(const pt_program *program, const bits *reach, uint32_t slot, uint32_t step) {
    reader_search search = {program, reach, slot, step, 0, false};
    for (uint32_t r = 0; r < program->steps.size && !search.later; r++) {
        const pt_step *reader = &program->steps.data[r];
        search.reader = r;
        each_read(reader, note_later_reader, &search);
        for (uint32_t i = 0; reader->kind == PT_STEP_UNMAP && i < reader->move_count; i++)
            note_later_reader(&search, reader->moves[i].to);
    }
    for (uint32_t i = 0; i < program->output_count; i++)
        search.later |= root_slot(program, program->outputs[i]) == slot;
    return search.later;
}

/* True for the first output of the step that asks for the input's bytes. */
static bool is_first_alias(const pt_step *step, uint32_t output) {
    for (uint32_t i = 0; i < output; i++)
        if (step->part->outputs[i].alias != PARTITA_NONE &&
            step->inputs[step->part->outputs[i].alias] == step->inputs[step->part->outputs[output].alias])
            return false;
    return true;
}

static bool is_input_twice(const pt_step *step, uint32_t input) {
    for (uint32_t i = 0; i < step->input_count; i++)
        if (i != input && step->inputs[i] == step->inputs[input]) return true;
    return false;
}

/* Outputs that may lie where an input of their part lies, since nobody reads that any more. */
static void find_aliases(pt_program *program, const bits *reach) {
    for (uint32_t s = 0; s < program->steps.size; s++) {
        const pt_step *step = &program->steps.data[s];
        for (uint32_t o = 0; step->kind == PT_STEP_LAUNCH && o < step->output_count; o++) {
            uint32_t input = step->part->outputs[o].alias;
            if (input == PARTITA_NONE || !is_first_alias(step, o) || is_input_twice(step, input)) continue;
            pt_slot *to = &program->slots.data[step->outputs[o]];
            const pt_slot *from = &program->slots.data[step->inputs[input]];
            if (from->kind != PT_SLOT_MADE || from->import_of != PT_NONE || from->place != to->place) continue;
            if (!from->arena || !to->arena || is_read_later(program, reach, step->inputs[input], s)) continue;
            to->alias_of = step->inputs[input];
        }
    }
}

/* Two slots of one place conflict unless every reader of one runs before the writer of the other. */
static partita_status find_conflicts(pt_program *program) {
    size_t slots = program->slots.size, steps = program->steps.size;
    if (slots > SHARING_SLOTS || steps > SHARING_SLOTS) return PARTITA_OK;
    partita_status status = PARTITA_OK;
    bits reach = {.stride = steps / 64 + 1}, after = {.stride = steps / 64 + 1}, conflicts = {.stride = slots / 64 + 1};
    reach.words = pt_calloc((steps + 1) * reach.stride, 8);
    after.words = pt_calloc((slots + 1) * after.stride, 8);
    conflicts.words = pt_calloc((slots + 1) * conflicts.stride, 8);
    if (!reach.words || !after.words || !conflicts.words) {
        status = PT_OUT_OF_MEMORY();
        pt_free(conflicts.words);
        goto out;
    }
    fill_reach(program, &reach);
    fill_after(program, &reach, &after);
    for (size_t a = 0; a < slots; a++) {
        const pt_slot *x = &program->slots.data[a];
        for (size_t b = 0; b < a && x->producer != PT_NONE; b++) {
            const pt_slot *y = &program->slots.data[b];
            if (y->producer == PT_NONE || x->place != y->place) continue;
            if (bit_at(&after, a, y->producer) || bit_at(&after, b, x->producer)) continue;
            bit_set(&conflicts, a, b);
            bit_set(&conflicts, b, a);
        }
    }
    program->conflicts = conflicts.words;
    find_aliases(program, &reach);
out:
    pt_free(reach.words);
    pt_free(after.words);
    return status;
}

/* ---- symbols that sizes depend on ------------------------------------------------------------ */

static void mark_dim(pt_dim dim, uint8_t *marks) {
    if (!pt_dim_is_exact(dim)) marks[pt_dim_symbol(dim)] = 1;
}

static void mark_value(const pt_model *model, pt_id value, uint8_t *marks) {
    if (value == PT_NONE) return;
    const pt_type *type = &model->values.data[value].type;
    for (int32_t i = 0; i < type->rank; i++) mark_dim(type->dims[i], marks);
}

static partita_status find_key_symbols(pt_program *program) {
    const pt_model *model = program->build->model;
    size_t count = model->symbols.rows.size;
    uint8_t *marks = pt_calloc(count + 1, 1);
    program->key_symbols = pt_calloc(count + 1, sizeof(uint32_t));
    if (!marks || !program->key_symbols) {
        pt_free(marks);
        return PT_OUT_OF_MEMORY();
    }
    for (size_t i = 0; i < program->slots.size; i++) mark_value(model, program->slots.data[i].value, marks);
    for (size_t s = 0; s < program->steps.size; s++) {
        const pt_part *part = program->steps.data[s].part;
        for (uint32_t i = 0; part && i < part->block->data->values.count; i++)
            mark_value(model, part->block->values[i], marks);
    }
    for (size_t i = count; i-- > 0;) { /* operands come before what is made of them */
        const pt_symbol *symbol = &model->symbols.rows.data[i];
        if (!marks[i] || symbol->op == PT_DIM_EXACT || symbol->op == PT_DIM_BASE || symbol->op == PT_DIM_DATA) continue;
        mark_dim(symbol->a, marks);
        mark_dim(symbol->b, marks);
    }
    for (uint32_t i = 0; i < count; i++) {
        pt_dim_op op = model->symbols.rows.data[i].op;
        if (marks[i] && (op == PT_DIM_BASE || op == PT_DIM_DATA)) program->key_symbols[program->key_symbol_count++] = i;
    }
    pt_free(marks);
    return PARTITA_OK;
}

static void note_reader(void *user, uint32_t slot) {
    pt_program *program = user;
    program->slots.data[slot].only_output = false;
}

static void find_only_outputs(pt_program *program) {
    for (uint32_t i = 0; i < program->output_count; i++) program->slots.data[program->outputs[i]].only_output = true;
    for (size_t s = 0; s < program->steps.size; s++) each_read(&program->steps.data[s], note_reader, program);
}

static partita_status make_constants(pt_program *program) {
    program->constants = pt_calloc(program->slots.size + 1, sizeof(*program->constants));
    if (!program->constants) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < program->slots.size; i++) {
        const pt_slot *slot = &program->slots.data[i];
        if (slot->kind != PT_SLOT_CONSTANT) continue;
        PT_TRY(
            pt_value_create_constant(program->build->model->values.data[slot->value].constant, &program->constants[i]));
    }
    return PARTITA_OK;
}

/* A slot that another device sees lies where that device can see it too, in whichever program it was made. */
static void align_imports(pt_program *program) {
    for (size_t i = 0; i < program->slots.size; i++) {
        const pt_slot *slot = &program->slots.data[i];
        if (slot->import_of == PT_NONE) continue;
        const pt_place *place = &program->build->places[slot->place];
        uint32_t alignment = place->device ? place->device->info.domains[place->domain].alignment : 0;
        alignment = PT_MAX(alignment, slot->alignment);
        pt_program *owner = program;
        pt_slot *source = &owner->slots.data[slot->import_of];
        while (source->kind == PT_SLOT_CAPTURE) {
            source->alignment = PT_MAX(source->alignment, alignment);
            owner = owner->around;
            source = &owner->slots.data[source->parent];
        }
        source->alignment = PT_MAX(source->alignment, alignment);
    }
}

partita_status pt_program_finish(pt_program *program) {
    uint32_t *rank = pt_calloc(program->steps.size + 1, sizeof(uint32_t));
    if (!rank) return PT_OUT_OF_MEMORY();
    partita_status status = sort_steps(program, rank);
    pt_free(rank);
    PT_TRY(status);
    PT_TRY(add_unmaps(program));
    PT_TRY(link_steps(program));
    PT_TRY(find_conflicts(program));
    PT_TRY(find_key_symbols(program));
    find_only_outputs(program);
    align_imports(program);
    PT_TRY(make_constants(program));
    pt_free(program->slot_of);
    program->slot_of = NULL;
    return PARTITA_OK;
}
