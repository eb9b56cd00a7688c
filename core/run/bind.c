/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binding a frame: inputs are checked against the model's types and decide about symbolic dims; with those the layout
 * is found. And the other end: what a run computed becomes values of the caller's.
 */
#include "run/run.h"
#include <stdatomic.h>

/* ---- checks ---------------------------------------------------------------------------------- */

static void print_dims(pt_text *text, uint32_t rank, const int64_t *dims) {
    pt_text_printf(text, "[");
    for (uint32_t i = 0; i < rank; i++) pt_text_printf(text, "%s%lld", i ? "," : "", (long long)dims[i]);
    pt_text_printf(text, "]");
}

static partita_status fail_shape(const pt_frame *frame, partita_status code, const char *what, pt_id id, uint32_t rank,
                                 const int64_t *dims) {
    const pt_model *model = frame->program->build->model;
    const pt_value *value = &model->values.data[id];
    pt_text text = {0};
    print_dims(&text, rank, dims);
    pt_text_printf(&text, ", expected ");
    pt_type_print(model, &value->type, &text);
    partita_status status =
        pt_fail(code, "%s '%.*s': shape %s", what, PT_STR_ARG(value->name), text.data ? text.data : "");
    pt_text_deinit(&text);
    return status;
}

/* Takes the base symbols among the dims, or compares with what they are; false when they differ. */
static bool take_dims(const pt_model *model, const pt_type *type, const int64_t *dims, int64_t *symbols) {
    for (int32_t i = 0; i < type->rank; i++) {
        if (pt_dim_is_exact(type->dims[i])) {
            if (type->dims[i] != dims[i]) return false;
            continue;
        }
        uint32_t s = pt_dim_symbol(type->dims[i]);
        pt_dim_op op = model->symbols.rows.data[s].op;
        if (symbols[s] == PT_DIM_UNKNOWN) {
            if (op == PT_DIM_BASE || op == PT_DIM_DATA) symbols[s] = dims[i];
        } else if (symbols[s] != dims[i]) {
            return false;
        }
    }
    return true;
}

static partita_status check_input(const pt_frame *frame, uint32_t index, const partita_value *value) {
    const pt_program *program = frame->program;
    pt_id id = program->slots.data[program->inputs[index]].value;
    const pt_value *input = &program->build->model->values.data[id];
    const pt_type *type = &input->type;
    if (!value) return pt_fail(PARTITA_BAD_INPUT, "input '%.*s' is missing", PT_STR_ARG(input->name));
    static const char *const kinds[PARTITA_KIND_COUNT] = {
#define X(name, number, text) [number] = text,
        PARTITA_KIND_ROWS(X)
#undef X
    };
    if (type->kind != PARTITA_KIND_NONE && type->kind != value->kind)
        return pt_fail(PARTITA_BAD_INPUT, "input '%.*s': a %s, expected a %s", PT_STR_ARG(input->name),
                       kinds[value->kind], kinds[type->kind]);
    bool tensor = type->kind == PARTITA_KIND_TENSOR || type->kind == PARTITA_KIND_SPARSE;
    if (tensor && type->dtype != PARTITA_UNDEFINED && type->dtype != value->dtype)
        return pt_fail(PARTITA_BAD_INPUT, "input '%.*s': element type %s, expected %s", PT_STR_ARG(input->name),
                       pt_dtype_name(value->dtype), pt_dtype_name(type->dtype));
    if (tensor && type->rank >= 0 && (uint32_t)type->rank != value->rank)
        return fail_shape(frame, PARTITA_BAD_INPUT, "input", id, value->rank, value->dims);
    return PARTITA_OK;
}

/* ---- slots that are there from the start ------------------------------------------------------ */

void pt_slot_set(pt_frame *frame, uint32_t slot, partita_value *value) {
    pt_slot_state *state = &frame->slots[slot];
    partita_value_release(state->value);
    partita_value_release(state->backing);
    *state = (pt_slot_state){.value = value};
    pt_value_to_tensor(value, &state->tensor);
}

/* True when every reader takes a value on a device as it is. */
static bool stays_on_device(const pt_program *program, uint32_t slot, const partita_value *value) {
    for (size_t s = 0; s < program->steps.size; s++) {
        const pt_step *step = &program->steps.data[s];
        for (uint32_t i = 0; i < step->input_count; i++)
            if (step->inputs[i] == slot) return false;
        for (uint32_t i = 0; i < step->need_count; i++)
            if (step->needs[i] == slot) return false;
        for (uint32_t i = 0; step->kind == PT_STEP_MOVE && i < step->move_count; i++) {
            const pt_place *to = &program->build->places[program->slots.data[step->moves[i].to].place];
            if (step->moves[i].from == slot && (to->device != value->device || to->domain != value->domain))
                return false;
        }
    }
    return program->slots.data[slot].output == PT_NONE;
}

static partita_status annotate_value(const pt_frame *frame, const char *what, uint32_t slot, partita_status status) {
    pt_id id = frame->program->slots.data[slot].value;
    return pt_annotate(status, "%s '%.*s'", what, PT_STR_ARG(frame->program->build->model->values.data[id].name));
}

/* The caller's value, or a copy where it lies on another device or at an address that no port takes. */
static partita_status set_given(pt_frame *frame, uint32_t index, partita_value *value) {
    const pt_program *program = frame->program;
    uint32_t slot = program->inputs[index];
    pt_session_counters *counters = &frame->request->session->counters;
    partita_value *copy = NULL;
    bool on_device = value->storage == PT_STORAGE_DEVICE;
    bool unaligned = pt_value_is_dense(value) && !on_device && value->bytes &&
                     (uintptr_t)value->data % program->slots.data[slot].alignment != 0;
    if (on_device ? stays_on_device(program, slot, value) : !unaligned) {
        partita_value_retain(value);
        pt_slot_set(frame, slot, value);
        return PARTITA_OK;
    }
    partita_status status = pt_value_create_dense(value->dtype, value->rank, value->dims, &copy);
    if (status == PARTITA_OK) status = partita_value_read(value, copy->data, copy->bytes);
    if (status != PARTITA_OK) {
        partita_value_release(copy);
        return annotate_value(frame, "input", slot, status);
    }
    if (on_device) {
        atomic_fetch_add(&counters->copies, 1);
        atomic_fetch_add(&counters->bytes_copied, copy->bytes);
    }
    pt_slot_set(frame, slot, copy);
    return PARTITA_OK;
}

static void set_others(pt_frame *frame) {
    const pt_program *program = frame->program;
    for (uint32_t i = 0; i < program->slots.size; i++) {
        const pt_slot *slot = &program->slots.data[i];
        if (slot->kind == PT_SLOT_CONSTANT) {
            partita_value_retain(program->constants[i]);
            pt_slot_set(frame, i, program->constants[i]);
        } else if (slot->kind == PT_SLOT_CAPTURE) {
            frame->slots[i] = frame->around->slots[slot->parent];
            partita_value_retain(frame->slots[i].value);
            partita_value_retain(frame->slots[i].backing);
        }
    }
}

static void start_symbols(pt_frame *frame) {
    size_t count = frame->program->build->model->symbols.rows.size;
    if (frame->around) {
        pthread_mutex_lock(&frame->around->lock);
        memcpy(frame->symbols, frame->around->symbols, count * sizeof(int64_t));
        pthread_mutex_unlock(&frame->around->lock);
        return;
    }
    for (size_t i = 0; i < count; i++) frame->symbols[i] = PT_DIM_UNKNOWN;
}

static void count_resize(pt_session_counters *counters, uint64_t ns) {
    uint64_t most = atomic_load(&counters->resize_ns_max);
    atomic_fetch_add(&counters->resizes, 1);
    while (ns > most && !atomic_compare_exchange_weak(&counters->resize_ns_max, &most, ns)) {}
}

static uint64_t bytes_in(const pt_frame *frame, const uint32_t *slots, uint32_t count, uint32_t place) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        if (frame->program->slots.data[slots[i]].place == place)
            bytes = PT_MAX(bytes, frame->layout->rooms[slots[i]].bytes);
    return bytes;
}

/* The part whose tensors and scratch take most of a memory. */
static const pt_part *largest_in(const pt_frame *frame, uint32_t place) {
    const pt_program *program = frame->program;
    const pt_part *largest = NULL;
    uint64_t most = 0;
    for (size_t s = 0; s < program->steps.size; s++) {
        const pt_step *step = &program->steps.data[s];
        if (step->kind != PT_STEP_LAUNCH) continue;
        if (place && step->device != program->build->places[place].device) continue;
        uint64_t bytes = PT_MAX(bytes_in(frame, step->inputs, step->input_count, place),
                                bytes_in(frame, step->outputs, step->output_count, place));
        bytes = PT_MAX(bytes, bytes_in(frame, &step->scratch, 1, place));
        if ((largest || !place) && bytes <= most) continue; /* a device's failure is some part's */
        most = bytes;
        largest = step->part;
    }
    return largest;
}

/* Names who is in want of the host's memory: a part, or else the largest of the values that lie there. */
static partita_status annotate_want(const pt_frame *frame, const pt_part *part, partita_status status) {
    uint32_t largest = PT_NONE;
    status = pt_spender_status(&frame->request->spender, status);
    if (part) return pt_part_annotate(part, status);
    for (uint32_t i = 0; i < frame->program->slots.size; i++)
        if (frame->layout->rooms[i].placed && frame->program->slots.data[i].place == 0 &&
            (largest == PT_NONE || frame->layout->rooms[i].bytes > frame->layout->rooms[largest].bytes))
            largest = i;
    bool named = largest != PT_NONE && frame->program->slots.data[largest].value != PT_NONE;
    return named ? annotate_value(frame, "value", largest, status) : status;
}

/* Layout and memory for the dims that are known by now. A part that stands in the way is the request's failed one. */
static partita_status find_room(pt_frame *frame) {
    pt_program *program = frame->program;
    uint64_t resize_ns;
    uint32_t place = 0;
    partita_status status = pt_layout_acquire(program, frame->symbols, &frame->layout, &resize_ns, &frame->sizing);
    const pt_part *part = atomic_load(&frame->sizing);
    if (status == PARTITA_OK) {
        if (resize_ns) count_resize(&frame->request->session->counters, resize_ns);
        status = pt_memory_fit(&frame->memory, program->build, frame->layout, &place);
        if (status != PARTITA_OK) part = largest_in(frame, place);
        if (status != PARTITA_OK && !place) return annotate_want(frame, part, status);
    }
    if (status == PARTITA_OK || status == PARTITA_BAD_INPUT || !part) return status;
    frame->request->failed_cluster = part->cluster;
    return pt_part_annotate(part, pt_spender_status(&frame->request->spender, status));
}

partita_status pt_frame_bind(pt_frame *frame, partita_value *const *inputs, uint32_t input_count) {
    pt_program *program = frame->program;
    const pt_model *model = program->build->model;
    if (input_count != program->input_count)
        return pt_fail(PARTITA_BAD_INPUT, "%u inputs, expected %u", input_count, program->input_count);
    pt_request_enter(frame->request, frame);
    frame->inputs = inputs;
    start_symbols(frame);
    for (int pass = 0; pass < 2; pass++) { /* the second compares dims that others decide */
        for (uint32_t i = 0; i < input_count; i++) {
            pt_id id = program->slots.data[program->inputs[i]].value;
            const pt_type *type = &model->values.data[id].type;
            PT_TRY(check_input(frame, i, inputs[i]));
            if (inputs[i]->kind != PARTITA_KIND_TENSOR && inputs[i]->kind != PARTITA_KIND_SPARSE) continue;
            if (type->rank >= 0 && !take_dims(model, type, inputs[i]->dims, frame->symbols))
                return fail_shape(frame, PARTITA_BAD_INPUT, "input", id, inputs[i]->rank, inputs[i]->dims);
        }
        if (pass == 0) pt_symbols_evaluate(&model->symbols, frame->symbols);
    }
    for (uint32_t i = 0; i < input_count; i++) PT_TRY(set_given(frame, i, inputs[i]));
    set_others(frame);
    return find_room(frame);
}

partita_status pt_frame_bind_data(pt_frame *frame, pt_id value, uint32_t rank, const int64_t *dims) {
    const pt_model *model = frame->program->build->model;
    const pt_type *type = &model->values.data[value].type;
    if (type->rank < 0) return PARTITA_OK;
    bool fits = (uint32_t)type->rank == rank;
    if (fits) {
        pthread_mutex_lock(&frame->lock);
        fits = take_dims(model, type, dims, frame->symbols);
        if (fits) pt_symbols_evaluate(&model->symbols, frame->symbols);
        pthread_mutex_unlock(&frame->lock);
    }
    return fits ? PARTITA_OK : fail_shape(frame, PARTITA_DEVICE_FAILED, "computed value", value, rank, dims);
}

/* ---- outputs --------------------------------------------------------------------------------- */

partita_status pt_frame_check_bound(const pt_frame *frame) {
    const pt_program *program = frame->program;
    for (uint32_t i = 0; frame->bound && i < program->output_count; i++) {
        const partita_value *bound = frame->bound[i];
        const pt_room *room = &frame->layout->rooms[program->outputs[i]];
        pt_id id = program->slots.data[program->outputs[i]].value;
        const pt_value *value = &program->build->model->values.data[id];
        if (!bound) continue;
        if (!pt_value_is_dense(bound) || (value->type.dtype && value->type.dtype != bound->dtype))
            return pt_fail(PARTITA_INVALID_ARGUMENT, "output '%.*s': the bound value is of another type",
                           PT_STR_ARG(value->name));
        bool same = !room->known || ((uint32_t)value->type.rank == bound->rank &&
                                     memcmp(room->dims, bound->dims, bound->rank * sizeof(int64_t)) == 0);
        if (!same) return fail_shape(frame, PARTITA_INVALID_ARGUMENT, "bound output", id, bound->rank, bound->dims);
    }
    return PARTITA_OK;
}

/* True when two values may share bytes. Containers are not looked into: outputs that are bound are dense. */
static bool overlap(const partita_value *a, const partita_value *b) {
    if (a->storage == PT_STORAGE_DEVICE || b->storage == PT_STORAGE_DEVICE) return a == b;
    uintptr_t x = (uintptr_t)a->data, y = (uintptr_t)b->data;
    return x < y + b->bytes && y < x + a->bytes;
}

partita_value *pt_frame_bound(const pt_frame *frame, uint32_t slot) {
    const pt_program *program = frame->program;
    uint32_t output = program->slots.data[slot].output;
    partita_value *bound = frame->bound && output != PT_NONE ? frame->bound[output] : NULL;
    if (bound && frame->request->apart && bound->storage != PT_STORAGE_DEVICE) return NULL;
    for (uint32_t i = 0; bound && i < program->input_count; i++)
        if (overlap(frame->inputs[i], bound)) return NULL;
    return bound;
}

partita_status pt_frame_value(pt_frame *frame, uint32_t slot, partita_value **out_value) {
    const pt_slot_state *state = &frame->slots[slot];
    const ptp_tensor *tensor = &state->tensor;
    if (state->value) {
        partita_value_retain(state->value);
        *out_value = state->value;
        return PARTITA_OK;
    }
    return pt_value_create_over(tensor->dtype, tensor->rank, tensor->dims, tensor->data, NULL, out_value);
}

static partita_status check_filling(const pt_frame *frame, uint32_t index, const partita_value *bound) {
    const pt_program *program = frame->program;
    const ptp_tensor *tensor = &frame->slots[program->outputs[index]].tensor;
    pt_id id = program->slots.data[program->outputs[index]].value;
    if (tensor->dtype != bound->dtype || tensor->rank != bound->rank || tensor->value ||
        memcmp(tensor->dims, bound->dims, bound->rank * sizeof(int64_t)) != 0)
        return fail_shape(frame, PARTITA_INVALID_ARGUMENT, "bound output", id, bound->rank, bound->dims);
    return PARTITA_OK;
}

static partita_status fill_bound(pt_frame *frame, uint32_t index, partita_value *bound) {
    const ptp_tensor *tensor = &frame->slots[frame->program->outputs[index]].tensor;
    if (bound->storage == PT_STORAGE_DEVICE) {
        pt_session_counters *counters = &frame->request->session->counters;
        atomic_fetch_add(&counters->copies, 1);
        atomic_fetch_add(&counters->bytes_copied, bound->bytes);
    }
    return partita_value_write(bound, tensor->data, bound->bytes);
}

/* True when the value is nobody else's and may be handed out as it is. */
static bool is_free(const pt_frame *frame, uint32_t index) {
    const pt_program *program = frame->program;
    uint32_t slot = program->outputs[index];
    const partita_value *value = frame->slots[slot].value;
    if (!value) return false;
    if (!pt_value_is_dense(value) || frame->around) return true; /* bodies' values are read only */
    if (value->storage == PT_STORAGE_BORROWED || program->slots.data[slot].kind != PT_SLOT_MADE) return false;
    return atomic_load(&value->references) == 1 && program->slots.data[slot].output == index;
}

partita_status pt_frame_outputs(pt_frame *frame, partita_value **outputs) {
    const pt_program *program = frame->program;
    for (uint32_t i = 0; i < program->output_count; i++) {
        pt_slot_state *state = &frame->slots[program->outputs[i]];
        const ptp_tensor *tensor = &state->tensor;
        partita_value *bound = frame->bound ? frame->bound[i] : NULL;
        if (bound && state->value != bound) PT_TRY(check_filling(frame, i, bound));
        if (bound && !(frame->request->apart && bound->storage != PT_STORAGE_DEVICE)) {
            if (state->value != bound) PT_TRY(fill_bound(frame, i, bound));
            partita_value_retain(bound);
            outputs[i] = bound;
        } else if (is_free(frame, i)) {
            partita_value_retain(state->value);
            outputs[i] = state->value;
        } else {
            partita_status status = pt_value_create_dense(tensor->dtype, tensor->rank, tensor->dims, &outputs[i]);
            if (status != PARTITA_OK) return annotate_value(frame, "output", program->outputs[i], status);
            if (tensor->bytes) memcpy(outputs[i]->data, tensor->data, (size_t)tensor->bytes);
        }
    }
    return PARTITA_OK;
}
