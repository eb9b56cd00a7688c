/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program says of its ports: alignment, which outputs the host can allocate beforehand and how large they get at
 * most, and which may lie on an input.
 */
#include "cpu/program/internal.h"

/* Bounds beyond this many bytes are none: most of that memory would never be touched. */
#define MOST_BOUND (UINT64_C(16) << 20)

/* ---- bounds ---------------------------------------------------------------------------------- */

static bool times(uint64_t *bytes, uint64_t factor) {
    if (factor && *bytes > MOST_BOUND / factor) return false;
    *bytes *= factor;
    return true;
}

/* One index for each dim of each element. */
static bool bound_coordinates(const cpu_tensor *const *in, uint64_t *bytes) {
    *bytes = sizeof(int64_t);
    return times(bytes, in[0]->count) && times(bytes, in[0]->rank);
}

static bool bound_elements(const cpu_tensor *const *in, uint64_t *bytes) {
    *bytes = in[0]->bytes;
    return *bytes <= MOST_BOUND;
}

/* One for each slice along some axis, of which a tensor without elements may have many. */
static bool bound_slices(const cpu_tensor *const *in, uint64_t *bytes) {
    uint64_t most = in[0]->count;
    for (uint32_t d = 0; d < in[0]->rank; d++)
        if ((uint64_t)in[0]->dims[d] > most) most = (uint64_t)in[0]->dims[d];
    *bytes = sizeof(int64_t);
    return times(bytes, most);
}

/* Every box of every class: batch, class, box. */
static bool bound_boxes(const cpu_tensor *const *in, uint64_t *bytes) {
    *bytes = 3 * sizeof(int64_t);
    return in[1] && times(bytes, in[1]->count);
}

static const struct {
    const char *op;
    uint32_t output;
    bool (*bound)(const cpu_tensor *const *in, uint64_t *bytes); /* false: none that is worth its memory */
} bound_rows[] = {
    {"NonZero", 0, bound_coordinates},     {"Compress", 0, bound_elements}, {"Unique", 0, bound_elements},
    {"Unique", 1, bound_slices},           {"Unique", 2, bound_slices},     {"Unique", 3, bound_slices},
    {"NonMaxSuppression", 0, bound_boxes},
};
enum { BOUND_ROWS = sizeof(bound_rows) / sizeof(bound_rows[0]) };

/* The row for a value; BOUND_ROWS when there is none. */
static uint32_t bound_row(const cpu_program *program, uint32_t value) {
    const cpu_slot *slot = &program->slots[value];
    uint32_t row = 0;
    if (slot->producer == PARTITA_NONE || slot->handle || slot->row.rank < 0) return BOUND_ROWS;
    const cpu_step *step = &program->steps[slot->producer];
    ptp_node_row node = ptp_node_at(program->block, step->node);
    if (ptp_ref_str(program->block, node.domain).size) return BOUND_ROWS;
    partita_str op = ptp_ref_str(program->block, node.op);
    while (row < BOUND_ROWS && !(ptp_str_is(op, bound_rows[row].op) &&
                                 program->args[step->first_arg + step->in_count + bound_rows[row].output] == value))
        row++;
    return row;
}

static uint64_t bound_of(const cpu_frame *frame, uint32_t value) {
    const cpu_program *program = frame->program;
    const cpu_tensor *in[2] = {NULL, NULL};
    uint32_t row = bound_row(program, value);
    uint64_t bytes = 0;
    if (row == BOUND_ROWS) return PTP_NO_BOUND;
    const cpu_step *step = &program->steps[program->slots[value].producer];
    for (uint32_t i = 0; i < 2 && i < step->in_count; i++) {
        uint32_t input = program->args[step->first_arg + i];
        if (input != PARTITA_NONE && frame->places[input].known) in[i] = &frame->places[input].tensor;
    }
    return in[0] && bound_rows[row].bound(in, &bytes) ? bytes : PTP_NO_BOUND;
}

void cpu_frame_bounds(const cpu_frame *frame, ptp_resize *resize) {
    const cpu_program *program = frame->program;
    bool told = resize->size >= offsetof(ptp_resize, bounds) + sizeof(resize->bounds) && resize->bounds;
    for (uint32_t i = 0; told && i < program->out_port_count && i < resize->output_count; i++)
        if (program->slots[program->out_ports[i]].out_port == i)
            resize->bounds[i] = bound_of(frame, program->out_ports[i]);
}

/* ---- in place -------------------------------------------------------------------------------- */

static uint32_t readers_of(const cpu_program *program, uint32_t value) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < program->step_count; s++) {
        const cpu_step *step = &program->steps[s];
        for (uint32_t i = 0; i < step->in_count; i++) count += program->args[step->first_arg + i] == value;
    }
    for (uint32_t i = 0; i < program->copy_count; i++) count += program->copies[i].value == value;
    for (uint32_t i = 0; i < program->out_port_count; i++) count += program->out_ports[i] == value;
    return count;
}

/* The input port that the value's kernel may write over, since it alone reads it; PARTITA_NONE. */
static uint32_t alias_of(const cpu_program *program, uint32_t value) {
    const cpu_slot *slot = &program->slots[value];
    if (slot->producer == PARTITA_NONE || !cpu_slot_is_static(slot)) return PARTITA_NONE;
    const cpu_step *step = &program->steps[slot->producer];
    const uint32_t *args = program->args + step->first_arg;
    if (!step->kernel->in_place || step->in_count == 0 || args[step->in_count] != value) return PARTITA_NONE;
    if (args[0] == PARTITA_NONE || readers_of(program, args[0]) != 1) return PARTITA_NONE;
    return program->slots[args[0]].in_port;
}

/* ---- ports ----------------------------------------------------------------------------------- */

/* The element's own alignment is enough for every kernel, so callers' memory is used where it lies. */
static uint32_t alignment_of(const cpu_slot *slot) {
    uint32_t bytes = cpu_dtype_bits(slot->row.dtype) / 8;
    return bytes > 1 ? bytes : 1;
}

static uint32_t output_of(const cpu_program *program, uint32_t port) {
    const cpu_slot *slot = &program->slots[program->out_ports[port]];
    if (cpu_slot_is_static(slot)) return PTP_PORT_STATIC;
    bool bounded = slot->out_port == port && bound_row(program, program->out_ports[port]) < BOUND_ROWS;
    return bounded ? PTP_PORT_BOUNDED : PTP_PORT_DATA_DEPENDENT;
}

void cpu_program_ports(const cpu_program *program, ptp_port *inputs, ptp_port *outputs) {
    for (uint32_t i = 0; i < program->in_port_count; i++) {
        ptp_port *port = (ptp_port *)((char *)inputs + (size_t)i * inputs->size);
        port->alignment = alignment_of(&program->slots[program->in_ports[i]]);
        port->output = PTP_PORT_STATIC;
        port->alias = PARTITA_NONE;
    }
    for (uint32_t i = 0; i < program->out_port_count; i++) {
        ptp_port *port = (ptp_port *)((char *)outputs + (size_t)i * outputs->size);
        port->alignment = alignment_of(&program->slots[program->out_ports[i]]);
        port->output = output_of(program, i);
        port->alias = program->slots[program->out_ports[i]].out_port == i ? alias_of(program, program->out_ports[i])
                                                                          : PARTITA_NONE;
    }
}
