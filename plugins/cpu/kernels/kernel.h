/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interface of host kernels: what a kernel is told, and the row that offers it. Kernels know tensors in host
 * memory, attributes and nothing of plugins, programs or devices, so that `sim` compiles the same files.
 *
 * A kernel works on contiguous row-major tensors. It splits its work into `items`; the program gives each worker a
 * range of them with a barrier behind the node, so a kernel never starts threads and never waits.
 *
 * `items` and `scratch` see tensors without data and may be called more than once; `call->workers` is the largest
 * number of workers, the same for all three. A `view` kernel is not called where its output can share the input's
 * bytes. Each family is one file (or a few) with `const cpu_kernel cpu_kernels_<family>[]` and its count
 * `const uint32_t cpu_kernels_<family>_count` behind it, listed in families.inc.
 */
#ifndef CPU_KERNELS_KERNEL_H
#define CPU_KERNELS_KERNEL_H

#include <partita/block.h>
#include <stdbool.h>

#define CPU_MAX_RANK 16
#define CPU_MAX_INPUTS                                                                                                 \
    64 /* of kernels that look at all inputs at once by a fixed array; variadic ones have no limit                     \
        */

typedef struct cpu_tensor {
    partita_kind kind; /* NONE: an absent optional input or output */
    partita_dtype dtype;
    uint32_t rank;
    const int64_t *dims;
    uint64_t count; /* elements */
    uint64_t bytes;
    void *data;       /* never written through an input */
    ptp_value *value; /* of what is no dense tensor of numbers; else NULL */
} cpu_tensor;

/* What a kernel sees of its node, at claim and at compile. */
typedef struct cpu_node {
    const ptp_block *block;
    ptp_node_row row;
    uint32_t row_index;
    uint32_t level;     /* CPU_LEVEL_* that kernels may use */
    uint32_t precision; /* PTP_PRECISION_* */
    bool widened;       /* float16 and bfloat16 are held in float32: all rows of values say so */
    /* At compile: per input, the constant's tensor, or kind NONE when it is not constant. At claim NULL: what is known
     * is in ptp_value_row.data. */
    const cpu_tensor *constants;
    /* At compile: the constant in row `value` of the block, as tensors of attributes are; NULL when it is none. */
    const cpu_tensor *(*constant_at)(const struct cpu_node *node, uint32_t value);
    const void *owner; /* of `constant_at` */
} cpu_node;

enum { CPU_LEVEL_BASELINE = 0, CPU_LEVEL_AVX2 = 1, CPU_LEVEL_AVX512 = 2 };

/* One execution of one node. The same for all workers. */
typedef struct cpu_call {
    const void *state;    /* of `prepare`; NULL without */
    const cpu_tensor *in; /* by input, absent ones have kind NONE */
    cpu_tensor *out;      /* by output; of an `emit` kernel without data until cpu_call_alloc */
    uint32_t in_count, out_count;
    void *scratch; /* `scratch` bytes, aligned to 64, shared by all workers */
    uint32_t workers;
    const ptp_host *host;
    struct cpu_runner *runner; /* for cpu_call_alloc */
} cpu_call;

/* Who runs kernels: what an `emit` kernel's outputs go to. The program has one, tests and `sim` may have others. */
typedef struct cpu_runner {
    partita_status (*alloc)(const cpu_call *call, uint32_t index, uint32_t rank, const int64_t *dims);
    partita_status (*set)(const cpu_call *call, uint32_t index, ptp_value *value);
} cpu_runner;

/* Gives output `index` of an `emit` kernel its shape and memory. */
partita_status cpu_call_alloc(const cpu_call *call, uint32_t index, uint32_t rank, const int64_t *dims);
/* Gives output `index` of an `emit` kernel as a handle; the call keeps its own reference. */
partita_status cpu_call_set(const cpu_call *call, uint32_t index, ptp_value *value);
/* host->fail with text, for the kernels' error returns; returns `code`. */
partita_status cpu_fail(const ptp_host *host, partita_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What the last cpu_fail on this thread said, for the program to add the node's name. */
const char *cpu_fail_text(void);

/* Memory of the host for states and tables, zeroed, aligned to 64; NULL with cpu_fail's text when there is none. */
void *cpu_alloc(const ptp_host *host, uint64_t bytes);
void cpu_free(const ptp_host *host, void *block);
/* Bits of one element; 0 for strings and what is unknown. */
uint32_t cpu_dtype_bits(partita_dtype dtype);
const char *cpu_dtype_name(partita_dtype dtype);
/* Elements and bytes of a shape. False when they do not fit 63 bits or a dim is negative. */
bool cpu_shape_size(partita_dtype dtype, uint32_t rank, const int64_t *dims, uint64_t *out_count, uint64_t *out_bytes);

/* For `claim`: a "no" with its reason and text. */
bool cpu_refuse(ptp_answer *answer, uint32_t reason, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Rows of the node's inputs and outputs as values; false when absent. */
bool cpu_node_input(const cpu_node *node, uint32_t index, ptp_value_row *out_row);
bool cpu_node_output(const cpu_node *node, uint32_t index, ptp_value_row *out_row);
/* The highest level this machine's cores and system have, lowered by PARTITA_CPU_LEVEL (baseline, avx2, avx512). */
uint32_t cpu_level_detect(void);
/* `level`, or the lower one of this name. */
uint32_t cpu_level_lower(const char *name, uint32_t level);

typedef struct cpu_kernel {
    const char *op;
    const char *domain;   /* "" is ai.onnx */
    int32_t since, until; /* schema versions (ptp_node_row.since) it implements */
    uint64_t types;       /* 1 << dtype, of the input that `type_input` names (or of output 0 when it has no inputs) */
    uint32_t type_input;
    uint32_t level; /* lowest CPU_LEVEL_* it needs; the highest row that fits wins, the reference is level 0 */
    bool reference; /* the scalar kernel by which others are judged; the device `reference` uses only these */
    /* optional: further conditions. Fills reason and text when it cannot. NULL: takes every node of op, version, type.
     */
    bool (*claim)(const cpu_node *node, ptp_answer *answer);
    /* optional: parses attributes and packs constants once; state from host->alloc, freed by `release`, also when it
     * fails after it gave one. */
    partita_status (*prepare)(const cpu_node *node, const ptp_host *host, void **out_state);
    void (*release)(const ptp_host *host, void *state);
    /* optional: bytes of scratch for these shapes (tensors without data). */
    uint64_t (*scratch)(const cpu_call *call);
    /* optional: number of items to split; NULL: 1, so one worker runs it all. */
    uint64_t (*items)(const cpu_call *call);
    /* Runs items [begin, end). Of `emit` kernels: called once, by one worker, with 0 and 1. */
    partita_status (*run)(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker);
    bool emit;          /* output shapes are known only while it runs, or outputs are no dense tensors */
    bool shaped;        /* of an `emit` kernel: inference gives its outputs' rank and dims before `run` */
    bool in_place;      /* output 0 may lie on input 0 when both have the same bytes */
    bool packs_weights; /* `prepare` copies constant input 1: its pages may be dropped */
    bool view;          /* output 0 is input 0's bytes under another shape */
} cpu_kernel;

/* All rows, and the best one for a node: NULL with reason and text in `answer` when there is none. */
const cpu_kernel *cpu_kernel_find(const cpu_node *node, bool reference, ptp_answer *answer);

/* Type sets for rows. */
#define CPU_TYPE(name) (UINT64_C(1) << PARTITA_##name)
#define CPU_FLOATS     (CPU_TYPE(FLOAT32) | CPU_TYPE(FLOAT64) | CPU_TYPE(FLOAT16) | CPU_TYPE(BFLOAT16))
#define CPU_INTS       (CPU_TYPE(INT8) | CPU_TYPE(INT16) | CPU_TYPE(INT32) | CPU_TYPE(INT64))
#define CPU_UINTS      (CPU_TYPE(UINT8) | CPU_TYPE(UINT16) | CPU_TYPE(UINT32) | CPU_TYPE(UINT64))
#define CPU_NUMBERS    (CPU_FLOATS | CPU_INTS | CPU_UINTS)
#define CPU_FIXED                                                                                                      \
    (CPU_NUMBERS | CPU_TYPE(BOOL) | CPU_TYPE(COMPLEX64) | CPU_TYPE(COMPLEX128) | CPU_TYPE(FLOAT8E4M3FN) |              \
     CPU_TYPE(FLOAT8E4M3FNUZ) | CPU_TYPE(FLOAT8E5M2) | CPU_TYPE(FLOAT8E5M2FNUZ) |                                      \
     CPU_TYPE(FLOAT8E8M0)) /* whole bytes per element */

#endif
