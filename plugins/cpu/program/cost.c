/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node costs: the larger of its arithmetic at the rate of its class and its bytes at the memory's rate, and a
 * constant. The rates are those of one core with AVX2; a plan is better served by measurements.
 */
#include "cpu/program/internal.h"

#define NODE_US                0.5
#define BYTES_PER_US           10e3
#define REFERENCE_FLOPS_PER_US 800.0

typedef struct rate {
    const char *op;
    double flops_per_us;
} rate;

/* Operators whose arithmetic is dense; of all others the bytes decide, at least. */
static const rate dense_rates[] = {
    {"Conv", 45e3},        {"ConvTranspose", 20e3}, {"MatMul", 55e3},        {"Gemm", 55e3},
    {"LSTM", 15e3},        {"GRU", 15e3},           {"RNN", 15e3},           {"MatMulInteger", 20e3},
    {"ConvInteger", 15e3}, {"QLinearConv", 15e3},   {"QLinearMatMul", 15e3}, {"Einsum", 10e3},
};

static double rate_of(partita_str op, bool reference) {
    if (reference) return REFERENCE_FLOPS_PER_US;
    for (size_t i = 0; i < sizeof(dense_rates) / sizeof(dense_rates[0]); i++)
        if (ptp_str_is(op, dense_rates[i].op)) return dense_rates[i].flops_per_us;
    return 3e3;
}

double cpu_node_cost(const cpu_node *node, uint32_t workers, bool reference) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    double bytes = 0, us;
    ptp_value_row value;
    for (uint32_t i = 0; i < node->row.inputs.count; i++)
        if (cpu_node_input(node, i, &value)) bytes += (double)value.bytes;
    for (uint32_t i = 0; i < node->row.outputs.count; i++)
        if (cpu_node_output(node, i, &value)) bytes += (double)value.bytes;
    us = (double)node->row.flops / rate_of(op, reference);
    if (bytes / BYTES_PER_US > us) us = bytes / BYTES_PER_US;
    /* Small nodes stay on one worker. */
    if (us > 10 && workers > 1) us /= workers;
    return us + NODE_US;
}

double cpu_step_cost(const cpu_program *program, const cpu_step *step, const cpu_place *places) {
    double bytes = 0;
    for (uint32_t a = 0; a < step->in_count + step->out_count; a++) {
        uint32_t value = program->args[step->first_arg + a];
        if (value != PARTITA_NONE) bytes += (double)places[value].tensor.bytes;
    }
    double us = bytes / BYTES_PER_US;
    if (step->bytes > 0) us = step->us * bytes / step->bytes > us ? step->us * bytes / step->bytes : us;
    return us;
}
