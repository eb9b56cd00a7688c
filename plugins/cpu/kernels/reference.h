/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of reference kernels for numbers: all inputs as double, the operator in plain loops, all outputs rounded
 * once to their type. One item; the doubles lie in the scratch.
 */
#ifndef CPU_KERNELS_REFERENCE_H
#define CPU_KERNELS_REFERENCE_H

#include "cpu/kernels/support.h"

#define CPU_DOUBLES_IN  10
#define CPU_DOUBLES_OUT 5

typedef struct cpu_doubles {
    const double *in[CPU_DOUBLES_IN]; /* NULL for an absent one */
    double *out[CPU_DOUBLES_OUT];
} cpu_doubles;

uint64_t cpu_doubles_scratch(const cpu_call *call);
void cpu_doubles_load(const cpu_call *call, cpu_doubles *doubles);
void cpu_doubles_store(const cpu_call *call, const cpu_doubles *doubles);

/* The same for integers, in 64 bits that wrap, in as much scratch; what a kernel of one output makes of them. */
typedef struct cpu_integers {
    const uint64_t *in[CPU_DOUBLES_IN]; /* NULL for an absent one */
    uint64_t *out;
} cpu_integers;
void cpu_integers_load(const cpu_call *call, cpu_integers *integers);
void cpu_integers_store(const cpu_call *call, const cpu_integers *integers);

/* The whole of a kernel of doubles: loads, calls `body`, stores what it computed when it says OK. */
typedef partita_status (*cpu_doubles_fn)(const cpu_call *call, const cpu_doubles *doubles);
partita_status cpu_doubles_run(const cpu_call *call, cpu_doubles_fn body);
/* Stands in front of the body of a kernel's `run`, which sees `call` and `d`. */
#define CPU_DOUBLES_KERNEL(name)                                                                                       \
    static partita_status name##_body(const cpu_call *call, const cpu_doubles *d);                                     \
    static partita_status name(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {                  \
        (void)begin, (void)end, (void)worker;                                                                          \
        return cpu_doubles_run(call, name##_body);                                                                     \
    }                                                                                                                  \
    static partita_status name##_body(const cpu_call *call, const cpu_doubles *d)

/* For operators that ONNX defines as a function of others: what one of those would have stored in this type. */
static inline double cpu_rounded(partita_dtype dtype, double value) {
    if (dtype == PARTITA_FLOAT16) return (double)cpu_float_from_half(cpu_half_from_float(cpu_float_odd(value)));
    if (dtype == PARTITA_BFLOAT16) return (double)cpu_float_from_bfloat(cpu_bfloat_from_float(cpu_float_odd(value)));
    return dtype == PARTITA_FLOAT32 ? (double)(float)value : value;
}
/* The type to round such steps to: the short ones are, others are computed in double and rounded once. */
static inline partita_dtype cpu_step_dtype(partita_dtype dtype) {
    return dtype == PARTITA_FLOAT16 || dtype == PARTITA_BFLOAT16 ? dtype : PARTITA_FLOAT64;
}

#endif
