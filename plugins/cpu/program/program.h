/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of a graph as a flat program of resolved kernels, in host memory. It knows the ABI's blocks, tensors and host
 * services, and no device: the `cpu` plugin is a thin layer above it, `sim` runs its devices' work by it.
 *
 *   cpu_program   compiled: kernels, prepared states, constants. Immutable after create.
 *   cpu_frame     a program at fixed shapes: where every value lies. Immutable after create; many runs at once.
 */
#ifndef CPU_PROGRAM_PROGRAM_H
#define CPU_PROGRAM_PROGRAM_H

#include "cpu/kernels/kernel.h"

typedef struct cpu_program cpu_program;
typedef struct cpu_frame cpu_frame;

typedef struct cpu_program_config {
    const ptp_host *host;
    uint32_t level;   /* CPU_LEVEL_* */
    uint32_t workers; /* most workers of a run; 0: all of the host's */
    bool reference;   /* reference kernels only */
} cpu_program_config;

/* PARTITA_CANNOT_COMPILE when a node has no kernel. Sets the weights' modes. */
partita_status cpu_program_create(const cpu_program_config *config, ptp_compile *compile, cpu_program **out_program);
/* Accepts NULL and what create built half. */
void cpu_program_destroy(cpu_program *program);
/* Fills `alignment`, `output` and `alias`; the domain is the caller's. */
void cpu_program_ports(const cpu_program *program, ptp_port *inputs, ptp_port *outputs);
/* Bytes of weights that prepared states hold beside the model's own are not counted: constants are. */
uint64_t cpu_program_weight_bytes(const cpu_program *program);

/* Reads resize->shapes, fills scratch_bytes, scratch_alignment and bounds. */
partita_status cpu_frame_create(cpu_program *program, ptp_resize *resize, cpu_frame **out_frame);
void cpu_frame_destroy(cpu_frame *frame);
/* Runs on the calling thread and the host's pool. All tensors and the scratch are at host addresses; waits and `done`
 * are the caller's. The failure's text, with the node's name, has gone to host->fail. */
partita_status cpu_frame_run(const cpu_frame *frame, const ptp_exec *exec);

/* Time of a node at nominal shapes on one of `workers` equal cores' share, in microseconds, and at a frame's shapes. */
double cpu_node_cost(const cpu_node *node, uint32_t workers, bool reference);

#endif
