/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the program share. compile.c makes programs, plan.c frames, run.c runs them, dynamic.c is the part
 * of a run whose shapes are known only then.
 */
#ifndef CPU_PROGRAM_INTERNAL_H
#define CPU_PROGRAM_INTERNAL_H

#include "cpu/program/program.h"

#include <stdatomic.h>

/* A value of the block, or behind those one of them as float32. */
typedef struct cpu_slot {
    ptp_value_row row;
    uint32_t shape_of;  /* the block's value whose shape it has */
    uint32_t wide;      /* the slot that holds it as float32, for the steps to come; PARTITA_NONE */
    uint32_t in_port;   /* PARTITA_NONE when it is no input of the part */
    uint32_t out_port;  /* the first output of the part that it is */
    uint32_t producer;  /* index of a step; PARTITA_NONE */
    uint32_t last_step; /* last step that reads it or, when none does, its producer; steps' count for outputs */
    bool constant;      /* `tensor` is whole */
    bool handle;        /* no dense tensor of numbers */
    cpu_tensor tensor;  /* of a constant; of others kind and dtype only */
} cpu_slot;

typedef struct cpu_step {
    const cpu_kernel *kernel;
    void *state;
    uint32_t node;
    uint32_t first_arg; /* inputs, then outputs, in cpu_program.args */
    uint32_t in_count, out_count;
    double bytes, us; /* at nominal shapes */
} cpu_step;

/* An output of the part that no step writes: an input or a constant, or a second name of another output. */
typedef struct cpu_copy {
    uint32_t value, port;
} cpu_copy;

struct cpu_program {
    const ptp_host *host;
    cpu_program_config config;
    const ptp_block *block;    /* of the part, or of `groups` */
    struct cpu_groups *groups; /* NULL: no group of the part has another form */
    ptp_infer *infer;
    uint32_t workers;
    uint32_t value_count; /* slots that are values of the block */
    uint32_t slot_count, step_count, arg_count, copy_count;
    uint32_t in_port_count, out_port_count;
    cpu_slot *slots;
    cpu_step *steps;
    uint32_t *args; /* rows of values; PARTITA_NONE for absent ones */
    cpu_copy *copies;
    const uint32_t *in_ports, *out_ports;
    uint64_t weight_bytes;
};

/* Where a value lies in a frame. */
enum {
    CPU_PLACE_NONE = 0,
    CPU_PLACE_CONSTANT,
    CPU_PLACE_IN_PORT,
    CPU_PLACE_OUT_PORT, /* static: the host allocates it */
    CPU_PLACE_SCRATCH,  /* at `offset` of the scratch */
    CPU_PLACE_DYNAMIC   /* `offset` is an index into cpu_run.dynamic */
};

typedef struct cpu_place {
    uint32_t kind;
    bool known;        /* tensor's dims are those of every run */
    uint64_t offset;   /* or number of a port */
    cpu_tensor tensor; /* without data unless constant */
} cpu_place;

typedef struct cpu_frame_step {
    uint64_t items;
    uint64_t scratch_offset, scratch_bytes;
    bool dynamic; /* something about it is known only in the run */
    bool solo;    /* one worker runs it whole */
    bool skip;    /* a view whose output lies on its input */
    bool barrier; /* behind it */
} cpu_frame_step;

struct cpu_frame {
    cpu_program *program;
    cpu_place *places; /* by value */
    cpu_frame_step *steps;
    cpu_tensor *args; /* as the program's args, without data of this run */
    uint32_t dynamic_count;
    uint32_t workers;
    uint64_t calls_offset, args_offset, dynamic_offset, scratch_bytes;
    int64_t *dims; /* storage of the places' dims */
};

/* A value whose shape or handle this run found. */
typedef struct cpu_dynamic {
    int64_t dims[CPU_MAX_RANK];
    cpu_tensor tensor; /* kind NONE until its producer ran */
    void *owned;       /* memory to be freed */
    ptp_value *held;   /* reference to be released */
} cpu_dynamic;

typedef struct cpu_run cpu_run;

/* A step's call in a run. */
typedef struct cpu_step_call {
    cpu_call call; /* first: kernels give it back through cpu_call_alloc */
    cpu_run *run;
    uint32_t step;
    uint64_t items;
} cpu_step_call;

struct cpu_run {
    cpu_runner runner;
    const cpu_frame *frame;
    const ptp_exec *exec;
    cpu_step_call *calls;
    cpu_tensor *args;
    cpu_dynamic *dynamic;
    atomic_int claimed; /* the first failure writes `message` */
    atomic_int status;
    char message[384];
};

/* compile.c: the host allocates an output port of this value. */
bool cpu_slot_is_static(const cpu_slot *slot);

/* widen.c: values of the block in float16 or bfloat16. */
uint32_t cpu_widen_count(const ptp_block *block);
/* Whether the node is better computed in float32. */
bool cpu_widen_fits(const cpu_program *program, const cpu_node *plain);
/* Before a widened step: its input as float32, and a slot for its output. A half value is widened and rounded at most
 * once. */
partita_status cpu_widen_input(cpu_program *program, uint32_t node, uint32_t value);
void cpu_widen_output(cpu_program *program, uint32_t value);
/* Behind it: the output in its own type. */
void cpu_widen_round(cpu_program *program, uint32_t node, uint32_t value);
/* The memory of a widened constant. */
void cpu_widen_free(cpu_program *program, uint32_t slot);

/* ports.c: the most bytes of outputs at the frame's shapes, into resize->bounds. */
void cpu_frame_bounds(const cpu_frame *frame, ptp_resize *resize);

/* dynamic.c: shapes, memory and arguments of step `index`; sets its items, 0 when it is done already. */
void cpu_dynamic_prepare(cpu_run *run, uint32_t index, uint32_t workers);
/* Frees what no later step reads. */
void cpu_dynamic_retire(cpu_run *run, uint32_t index);
void cpu_dynamic_clear(cpu_run *run);
partita_status cpu_dynamic_alloc(const cpu_call *call, uint32_t index, uint32_t rank, const int64_t *dims);
partita_status cpu_dynamic_set(const cpu_call *call, uint32_t index, ptp_value *value);
/* Fills the tensor of an input port of another kind than dense numbers. */
partita_status cpu_tensor_of_value(const ptp_host *host, ptp_value *value, cpu_tensor *out);

/* run.c */
const ptp_tensor *cpu_run_input(const cpu_run *run, uint32_t port);
ptp_tensor *cpu_run_output(const cpu_run *run, uint32_t port);
void cpu_run_fail(cpu_run *run, uint32_t step, partita_status code, const char *text);
void cpu_run_range(cpu_run *run, uint32_t index, uint64_t begin, uint64_t end, uint32_t worker);
/* Address of a value in this run; NULL for what has none yet. */
void *cpu_run_address(const cpu_run *run, uint32_t value);

/* cost.c */
double cpu_step_cost(const cpu_program *program, const cpu_step *step, const cpu_place *places);

#endif
