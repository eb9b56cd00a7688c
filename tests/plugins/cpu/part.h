/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of a graph made by hand, compiled and run by the program, for tests of the program itself. Values are float32,
 * int64, int32 or bytes; numbers of values and nodes are what the calls return, counted from 0.
 */
#ifndef TESTS_CPU_PART_H
#define TESTS_CPU_PART_H

#include "plugins/cpu/fake_host.h"

#include "cpu/program/program.h"

#define PART_VALUES 600
#define PART_NODES  600

typedef struct part_value {
    partita_dtype dtype;
    uint32_t rank, flags, weight, producer;
    int64_t dims[8];
    const void *data; /* of a constant */
    bool unknown;     /* the shape is not told at resize */
} part_value;

typedef struct part_node {
    const char *op;
    int32_t since;
    uint32_t in[8], out[4], in_count, out_count;
    const char *attribute; /* one integer attribute, or NULL */
    int64_t number;
} part_node;

typedef struct part {
    part_value values[PART_VALUES];
    part_node nodes[PART_NODES];
    uint32_t value_count, node_count, inputs[8], input_count, outputs[16], output_count, weight_count;
    bool grouped; /* all nodes are one group */
    char *block;
    ptp_weight weights[64];
    ptp_shape shapes[PART_VALUES];
    cpu_program *program;
    cpu_frame *frame;
    void *scratch;
    uint64_t scratch_bytes;
    fake_output given[16];
    ptp_tensor results[16];
} part;

part *part_new(void);
void part_free(part *p, const ptp_host *host);
uint32_t part_value_add(part *p, partita_dtype dtype, uint32_t rank, const int64_t *dims);
uint32_t part_input(part *p, partita_dtype dtype, uint32_t rank, const int64_t *dims);
uint32_t part_constant(part *p, partita_dtype dtype, uint32_t rank, const int64_t *dims, const void *data);
void part_output(part *p, uint32_t value);
part_node *part_node_add(part *p, const char *op, int32_t since, uint32_t in_count, const uint32_t *in, uint32_t out);
/* Compiles and lays out; the frame of the values' dims. */
partita_status part_build(part *p, const cpu_program_config *config);
/* Runs with these inputs; results[i] is output i until the next run. */
partita_status part_run(part *p, const ptp_host *host, void *const *inputs);

#endif
