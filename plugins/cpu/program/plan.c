/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a program and the shapes of its values to a frame: where every value lies. Views share their input's bytes, a
 * kernel that may work in place takes over an input that dies, and the rest gets offsets in one scratch by best fit in
 * the order of the steps. Sizes and offsets only: this runs whenever a shape is new.
 */
#include "cpu/program/internal.h"

#define ALIGNMENT 64u
/* Below this a step or a frame is not worth waking other workers. */
#define SOLO_US 4.0
#define TEAM_US 25.0

typedef struct hole {
    uint64_t offset, bytes;
} hole;

typedef struct cpu_planner {
    cpu_frame *frame;
    const cpu_program *program;
    uint32_t *root; /* by value: the value whose bytes it lies in */
    uint32_t *last; /* by root: last step that needs the bytes */
    uint64_t *room; /* by root: bytes it holds in the scratch; 0 when none */
    hole *holes;
    uint32_t hole_count;
    uint64_t end; /* of what was ever used */
} cpu_planner;

static uint64_t round_up(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static uint64_t room_take(cpu_planner *planner, uint64_t bytes) {
    uint32_t best = PARTITA_NONE;
    uint64_t offset;
    bytes = round_up(bytes > 0 ? bytes : 1);
    for (uint32_t i = 0; i < planner->hole_count; i++)
        if (planner->holes[i].bytes >= bytes &&
            (best == PARTITA_NONE || planner->holes[i].bytes < planner->holes[best].bytes))
            best = i;
    if (best != PARTITA_NONE) {
        hole *taken = &planner->holes[best];
        offset = taken->offset;
        taken->offset += bytes;
        taken->bytes -= bytes;
        if (taken->bytes == 0) {
            planner->hole_count--;
            memmove(taken, taken + 1, sizeof(hole) * (planner->hole_count - best));
        }
        return offset;
    }
    /* A hole at the very end grows instead of being left behind. */
    if (planner->hole_count > 0) {
        hole *tail = &planner->holes[planner->hole_count - 1];
        if (tail->offset + tail->bytes == planner->end) {
            offset = tail->offset;
            planner->hole_count--;
            planner->end = offset + bytes;
            return offset;
        }
    }
    offset = planner->end;
    planner->end += bytes;
    return offset;
}

static void room_give(cpu_planner *planner, uint64_t offset, uint64_t bytes) {
    uint32_t at = 0;
    bytes = round_up(bytes > 0 ? bytes : 1);
    while (at < planner->hole_count && planner->holes[at].offset < offset) at++;
    bool joins_left = at > 0 && planner->holes[at - 1].offset + planner->holes[at - 1].bytes == offset;
    bool joins_right = at < planner->hole_count && planner->holes[at].offset == offset + bytes;
    if (joins_left && joins_right) {
        planner->holes[at - 1].bytes += bytes + planner->holes[at].bytes;
        planner->hole_count--;
        memmove(&planner->holes[at], &planner->holes[at + 1], sizeof(hole) * (planner->hole_count - at));
    } else if (joins_left) {
        planner->holes[at - 1].bytes += bytes;
    } else if (joins_right) {
        planner->holes[at].offset = offset;
        planner->holes[at].bytes += bytes;
    } else {
        memmove(&planner->holes[at + 1], &planner->holes[at], sizeof(hole) * (planner->hole_count - at));
        planner->holes[at] = (hole){offset, bytes};
        planner->hole_count++;
    }
}

static bool shape_is_known(const cpu_slot *slot, const ptp_shape *shape) {
    if (slot->handle || shape->rank < 0 || shape->rank > CPU_MAX_RANK) return false;
    for (int32_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 0) return false;
    return true;
}

/* Kinds of places that follow from the value alone; who stays CPU_PLACE_SCRATCH gets an offset later. */
static partita_status places_make(cpu_planner *planner, const ptp_resize *resize) {
    cpu_frame *frame = planner->frame;
    const cpu_program *program = planner->program;
    uint64_t used = 0;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const cpu_slot *slot = &program->slots[i];
        cpu_place *place = &frame->places[i];
        const ptp_shape *shape = &resize->shapes[slot->shape_of];
        planner->root[i] = i;
        planner->last[i] = slot->last_step;
        place->tensor = slot->tensor;
        if (slot->constant) {
            place->kind = CPU_PLACE_CONSTANT;
            place->known = true;
            continue;
        }
        if (slot->in_port == PARTITA_NONE && slot->producer == PARTITA_NONE) continue;
        place->known = shape_is_known(slot, shape);
        if (!place->known) {
            place->kind = CPU_PLACE_DYNAMIC;
            place->offset = frame->dynamic_count++;
            continue;
        }
        place->tensor.rank = (uint32_t)shape->rank;
        place->tensor.dims = frame->dims + used;
        if (shape->rank > 0) memcpy(frame->dims + used, shape->dims, sizeof(int64_t) * (size_t)shape->rank);
        used += (uint64_t)shape->rank;
        if (!cpu_shape_size(slot->row.dtype, (uint32_t)shape->rank, shape->dims, &place->tensor.count,
                            &place->tensor.bytes))
            return cpu_fail(program->host, PARTITA_INVALID_ARGUMENT, "a value is too large for this machine");
        if (slot->in_port != PARTITA_NONE) {
            place->kind = CPU_PLACE_IN_PORT;
            place->offset = slot->in_port;
        } else {
            place->kind = CPU_PLACE_SCRATCH;
        }
    }
    return PARTITA_OK;
}

/* Outputs of the part, and those of kernels that say the shape themselves. */
static partita_status outputs_make(cpu_planner *planner) {
    cpu_frame *frame = planner->frame;
    const cpu_program *program = planner->program;
    for (uint32_t s = 0; s < program->step_count; s++) {
        const cpu_step *step = &program->steps[s];
        for (uint32_t o = 0; o < step->out_count; o++) {
            uint32_t value = program->args[step->first_arg + step->in_count + o];
            if (value == PARTITA_NONE) continue;
            const cpu_slot *slot = &program->slots[value];
            cpu_place *place = &frame->places[value];
            bool fixed = slot->out_port != PARTITA_NONE && cpu_slot_is_static(slot);
            if (fixed && !place->known)
                return cpu_fail(program->host, PARTITA_BAD_INPUT, "for these inputs output %u has no shape",
                                slot->out_port);
            if (fixed) {
                place->kind = CPU_PLACE_OUT_PORT;
                place->offset = slot->out_port;
            } else if (place->kind == CPU_PLACE_SCRATCH && (step->kernel->emit || slot->out_port != PARTITA_NONE)) {
                place->kind = CPU_PLACE_DYNAMIC;
                place->offset = frame->dynamic_count++;
            }
        }
    }
    return PARTITA_OK;
}

static void views_join(cpu_planner *planner) {
    cpu_frame *frame = planner->frame;
    const cpu_program *program = planner->program;
    for (uint32_t s = 0; s < program->step_count; s++) {
        const cpu_step *step = &program->steps[s];
        if (!step->kernel->view || step->in_count == 0 || step->out_count != 1) continue;
        uint32_t in = program->args[step->first_arg], out = program->args[step->first_arg + step->in_count];
        if (in == PARTITA_NONE || out == PARTITA_NONE) continue;
        uint32_t root = planner->root[in];
        cpu_place *from = &frame->places[root], *to = &frame->places[out];
        if (!from->known || !to->known || from->tensor.bytes != to->tensor.bytes) continue;
        if (from->kind == CPU_PLACE_DYNAMIC) continue;
        if (to->kind == CPU_PLACE_OUT_PORT && from->kind == CPU_PLACE_SCRATCH) {
            from->kind = CPU_PLACE_OUT_PORT;
            from->offset = to->offset;
        } else if (to->kind != CPU_PLACE_SCRATCH) {
            continue;
        }
        planner->root[out] = root;
        if (planner->last[root] == PARTITA_NONE || planner->last[out] > planner->last[root])
            planner->last[root] = planner->last[out];
        frame->steps[s].skip = true;
    }
}

static bool step_is_dynamic(const cpu_planner *planner, const cpu_step *step) {
    if (step->kernel->emit) return true;
    for (uint32_t a = 0; a < step->in_count + step->out_count; a++) {
        uint32_t value = planner->program->args[step->first_arg + a];
        if (value == PARTITA_NONE) continue;
        if (planner->frame->places[value].kind == CPU_PLACE_DYNAMIC) return true;
    }
    return false;
}

/* Whether output 0 of the step can take over the bytes of input 0, which nobody needs any more. */
static bool takes_over(const cpu_planner *planner, uint32_t index, const cpu_step *step, uint32_t out) {
    const uint32_t *args = planner->program->args + step->first_arg;
    const cpu_place *places = planner->frame->places;
    if (!step->kernel->in_place || step->in_count == 0 || args[0] == PARTITA_NONE) return false;
    uint32_t root = planner->root[args[0]];
    if (places[root].kind != CPU_PLACE_SCRATCH || planner->room[root] == 0 || planner->last[root] != index)
        return false;
    if (places[args[0]].tensor.bytes != places[out].tensor.bytes) return false;
    for (uint32_t i = 1; i < step->in_count; i++)
        if (args[i] != PARTITA_NONE && planner->root[args[i]] == root) return false;
    return true;
}

static void step_rooms(cpu_planner *planner, uint32_t index) {
    cpu_frame *frame = planner->frame;
    const cpu_step *step = &planner->program->steps[index];
    const uint32_t *args = planner->program->args + step->first_arg;
    cpu_frame_step *here = &frame->steps[index];
    for (uint32_t o = 0; o < step->out_count; o++) {
        uint32_t out = args[step->in_count + o];
        if (out == PARTITA_NONE || planner->root[out] != out || frame->places[out].kind != CPU_PLACE_SCRATCH) continue;
        if (o == 0 && takes_over(planner, index, step, out)) {
            uint32_t root = planner->root[args[0]];
            frame->places[out].offset = frame->places[root].offset;
            planner->room[out] = planner->room[root];
            planner->room[root] = 0;
            continue;
        }
        planner->room[out] = round_up(frame->places[out].tensor.bytes > 0 ? frame->places[out].tensor.bytes : 1);
        frame->places[out].offset = room_take(planner, planner->room[out]);
    }
    if (here->scratch_bytes > 0) {
        here->scratch_offset = room_take(planner, here->scratch_bytes);
        room_give(planner, here->scratch_offset, here->scratch_bytes);
    }
    for (uint32_t a = 0; a < step->in_count + step->out_count; a++) {
        if (args[a] == PARTITA_NONE) continue;
        uint32_t root = planner->root[args[a]];
        if (planner->room[root] == 0 || planner->last[root] != index) continue;
        room_give(planner, frame->places[root].offset, planner->room[root]);
        planner->room[root] = 0;
    }
}

static void args_fill(cpu_frame *frame) {
    const cpu_program *program = frame->program;
    for (uint32_t a = 0; a < program->arg_count; a++) {
        uint32_t value = program->args[a];
        frame->args[a] = value == PARTITA_NONE ? (cpu_tensor){0} : frame->places[value].tensor;
    }
}

/* Scratch and items of the steps whose shapes are known, and who runs them. */
static void steps_size(cpu_planner *planner) {
    cpu_frame *frame = planner->frame;
    const cpu_program *program = planner->program;
    double total = 0;
    for (uint32_t s = 0; s < program->step_count; s++) {
        const cpu_step *step = &program->steps[s];
        cpu_frame_step *here = &frame->steps[s];
        cpu_call call = {.state = step->state,
                         .in = frame->args + step->first_arg,
                         .out = frame->args + step->first_arg + step->in_count,
                         .in_count = step->in_count,
                         .out_count = step->out_count,
                         .workers = program->workers,
                         .host = program->host};
        double us = cpu_step_cost(program, step, frame->places);
        here->dynamic = step_is_dynamic(planner, step);
        here->solo = true;
        if (here->skip) continue;
        total += us;
        if (here->dynamic) continue;
        here->items = step->kernel->items != NULL ? step->kernel->items(&call) : 1;
        here->solo = here->items <= 1 || us < SOLO_US;
        if (step->kernel->scratch != NULL) here->scratch_bytes = step->kernel->scratch(&call);
    }
    frame->workers = total < TEAM_US ? 1 : program->workers;
}

/* A worker that goes on alone needs no barrier; a dynamic step brings its own. */
static void barriers_set(cpu_frame *frame) {
    const cpu_program *program = frame->program;
    bool parallel_before = false; /* unsynchronised work of all workers, resp. of worker 0 */
    uint32_t before = PARTITA_NONE;
    for (uint32_t s = 0; s < program->step_count; s++) {
        cpu_frame_step *here = &frame->steps[s];
        if (here->skip) continue;
        bool alone = here->solo || here->dynamic;
        if (before != PARTITA_NONE && (parallel_before || !alone)) frame->steps[before].barrier = true;
        parallel_before = !alone;
        before = here->dynamic ? PARTITA_NONE : s;
        if (here->dynamic) parallel_before = false;
    }
}

static partita_status planner_run(cpu_planner *planner, const ptp_resize *resize) {
    cpu_frame *frame = planner->frame;
    const cpu_program *program = planner->program;
    partita_status status = places_make(planner, resize);
    if (status == PARTITA_OK) status = outputs_make(planner);
    if (status != PARTITA_OK) return status;
    views_join(planner);
    args_fill(frame);
    steps_size(planner);
    frame->calls_offset = 0;
    frame->args_offset = round_up(sizeof(cpu_step_call) * (uint64_t)program->step_count);
    frame->dynamic_offset = frame->args_offset + round_up(sizeof(cpu_tensor) * (uint64_t)program->arg_count);
    planner->end = frame->dynamic_offset + round_up(sizeof(cpu_dynamic) * (uint64_t)frame->dynamic_count);
    for (uint32_t s = 0; s < program->step_count; s++)
        if (!frame->steps[s].skip)
            step_rooms(planner, s);
        else if (planner->last[planner->root[program->args[program->steps[s].first_arg]]] == s)
            step_rooms(planner, s);
    for (uint32_t i = 0; i < program->slot_count; i++) {
        if (planner->root[i] == i) continue;
        frame->places[i].kind = frame->places[planner->root[i]].kind;
        frame->places[i].offset = frame->places[planner->root[i]].offset;
        frame->places[i].tensor.data = frame->places[planner->root[i]].tensor.data;
    }
    args_fill(frame);
    barriers_set(frame);
    frame->scratch_bytes = round_up(planner->end + 1);
    return PARTITA_OK;
}

static uint64_t dims_count(const cpu_program *program, const ptp_resize *resize) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        int32_t rank = resize->shapes[program->slots[i].shape_of].rank;
        if (rank > 0) count += (uint64_t)rank;
    }
    return count;
}

partita_status cpu_frame_create(cpu_program *program, ptp_resize *resize, cpu_frame **out_frame) {
    const ptp_host *host = program->host;
    uint64_t values = program->slot_count;
    cpu_planner planner = {.program = program};
    partita_status status = PARTITA_OUT_OF_MEMORY;
    cpu_frame *frame = NULL;
    *out_frame = NULL;
    if (resize->shape_count < program->value_count)
        return cpu_fail(host, PARTITA_INVALID_ARGUMENT, "shapes for %u of %u values", resize->shape_count,
                        program->value_count);
    frame = cpu_alloc(host, sizeof(*frame));
    if (frame == NULL) return PARTITA_OUT_OF_MEMORY;
    frame->program = program;
    frame->places = cpu_alloc(host, sizeof(cpu_place) * values);
    frame->steps = cpu_alloc(host, sizeof(cpu_frame_step) * (uint64_t)program->step_count);
    frame->args = cpu_alloc(host, sizeof(cpu_tensor) * (uint64_t)program->arg_count);
    frame->dims = cpu_alloc(host, sizeof(int64_t) * dims_count(program, resize));
    planner.frame = frame;
    planner.root = cpu_alloc(host, sizeof(uint32_t) * values);
    planner.last = cpu_alloc(host, sizeof(uint32_t) * values);
    planner.room = cpu_alloc(host, sizeof(uint64_t) * values);
    planner.holes = cpu_alloc(host, sizeof(hole) * (values + program->step_count + 1));
    if (frame->places != NULL && frame->steps != NULL && frame->args != NULL && frame->dims != NULL &&
        planner.root != NULL && planner.last != NULL && planner.room != NULL && planner.holes != NULL)
        status = planner_run(&planner, resize);
    cpu_free(host, planner.root);
    cpu_free(host, planner.last);
    cpu_free(host, planner.room);
    cpu_free(host, planner.holes);
    if (status != PARTITA_OK) {
        cpu_frame_destroy(frame);
        return status;
    }
    resize->scratch_bytes = frame->scratch_bytes;
    resize->scratch_alignment = ALIGNMENT;
    cpu_frame_bounds(frame, resize);
    *out_frame = frame;
    return PARTITA_OK;
}

void cpu_frame_destroy(cpu_frame *frame) {
    if (frame == NULL) return;
    const ptp_host *host = frame->program->host;
    cpu_free(host, frame->places);
    cpu_free(host, frame->steps);
    cpu_free(host, frame->args);
    cpu_free(host, frame->dims);
    cpu_free(host, frame);
}
