/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the shared GPU part: a node as claiming and planning see it, the table of operators, kernel calls, and
 * executables. One row of the table says everything about an operator, so that "can" and "does" cannot disagree.
 */
#ifndef GPU_GPU_H
#define GPU_GPU_H

#include "gpu/backend.h"
#include "gpu/source.h"
#include <partita/block.h>
#include <stdbool.h>

#define GPU_MAX_RANK        8
#define GPU_MAX_ELEMENTS    0x7fffffffll
#define GPU_MAX_FLOAT_INDEX (1ll << 24) /* of positions that are computed as float */

/* ==== Element types (node.c) ===================================================================================== */

typedef struct gpu_type {
    partita_dtype dtype;
    char letter; /* class as in elementwise.inc: F I U B; M: moved only */
    uint8_t bytes;
    uint32_t needs;       /* GPU_HAS_* for arithmetic */
    const char *stored;   /* S */
    const char *computed; /* T; NULL: moved only */
} gpu_type;

/* NULL for types that no kernel sees: strings, complex, sub-byte. */
const gpu_type *gpu_type_of(partita_dtype dtype);
const char *gpu_dtype_name(partita_dtype dtype);
/* The word that moves elements of this size, "u8" to "w8". */
const char *gpu_word_of(uint32_t bytes);

/* ==== A node (node.c) ============================================================================================ */

typedef struct gpu_operand {
    uint32_t row;   /* of values; PARTITA_NONE when absent */
    uint32_t flags; /* PTP_VALUE_* */
    partita_kind kind;
    partita_dtype dtype;
    int32_t rank;
    int64_t dims[GPU_MAX_RANK]; /* -1 where not known */
    const void *data;           /* bytes of a constant that the host can read; else NULL */
    uint64_t data_bytes;
} gpu_operand;

typedef struct gpu_node {
    const ptp_block *block;
    uint32_t index;
    ptp_node_row row;
    partita_str op;
    uint32_t input_count;
    uint32_t output_count;
    gpu_operand *inputs; /* input_count, then outputs */
    gpu_operand *outputs;
    uint32_t capacity;
} gpu_node;

/* Which dims a read takes. */
enum { GPU_DIMS_DECLARED = 0, GPU_DIMS_NOMINAL = 1, GPU_DIMS_ACTUAL = 2 };

/* Bytes of constants beyond those in the block: compile keeps what it must read. */
typedef struct gpu_constants {
    const void *const *data; /* by row of values; NULL entries */
    const uint64_t *bytes;
} gpu_constants;

/* Fills `node`, which is zeroed before the first use and reused after. shapes: for GPU_DIMS_ACTUAL, by row of values.
 */
partita_status gpu_node_read(gpu_node *node, const ptp_host *host, const ptp_block *block, uint32_t index,
                             uint32_t dims, const ptp_shape *shapes, const gpu_constants *constants);
void gpu_node_deinit(gpu_node *node, const ptp_host *host);

static inline const gpu_operand *gpu_input(const gpu_node *node, uint32_t i) {
    return i < node->input_count && node->inputs[i].row != PARTITA_NONE ? &node->inputs[i] : NULL;
}
static inline const gpu_operand *gpu_output(const gpu_node *node, uint32_t i) {
    return i < node->output_count && node->outputs[i].row != PARTITA_NONE ? &node->outputs[i] : NULL;
}
static inline int64_t gpu_int(const gpu_node *node, const char *name, int64_t otherwise) {
    return ptp_attribute_int(node->block, &node->row, name, otherwise);
}
static inline float gpu_float(const gpu_node *node, const char *name, float otherwise) {
    return ptp_attribute_float(node->block, &node->row, name, otherwise);
}
/* 1 when the string attribute has this value; an absent one has `otherwise`. */
bool gpu_string_is(const gpu_node *node, const char *name, const char *value, const char *otherwise);
/* Elements; -1 when a dim is not known. Saturates at INT64_MAX. */
int64_t gpu_elements(const gpu_operand *operand);
/* Product of dims[from .. to). */
int64_t gpu_extent(const gpu_operand *operand, int32_t from, int32_t to);
/* Bytes of a value of these dims. */
uint64_t gpu_bytes(const gpu_operand *operand);
/* The axis in 0 .. rank - 1; negative ones count from the end. -1 when outside. */
int32_t gpu_axis(int64_t axis, int32_t rank);
/* Reads a constant of int32 or int64 as int64: up to `capacity`; returns the count, or -1 when it is not readable. */
int32_t gpu_integers(const gpu_operand *operand, int64_t *out, int32_t capacity);
/* Reads element 0 of a constant of any numeric type as double. false when it is not readable. */
bool gpu_scalar(const gpu_operand *operand, double *out);
/* The axes of a node as a mask, from the attribute "axes" or the constant input; false when not readable. *out_given is
 * false when there are none. */
bool gpu_axes(const gpu_node *node, uint32_t input, int32_t rank, uint32_t *out_mask, bool *out_given);

/* ==== The table of operators (rows.c) ============================================================================ */

typedef struct gpu_op gpu_op;
typedef struct gpu_check gpu_check;
typedef struct gpu_plan gpu_plan;

enum {
    GPU_OP_ALIAS = 1u /* output 0 is input 0 under another shape: no kernel */
};

struct gpu_op {
    const char *op;
    int32_t since_min, since_max; /* versions of the operator that the row implements */
    const char *classes;    /* letters that input 0 (of an operator without inputs: output 0) may have; "M": any */
    const char *attributes; /* names it implements, separated by commas */
    uint32_t max_inputs, max_outputs;
    uint32_t host_inputs; /* mask of inputs that no kernel reads: shapes, axes, pads */
    uint32_t flags;
    bool (*check)(gpu_check *check); /* NULL: nothing beyond the columns */
    partita_status (*plan)(gpu_plan *plan);
    const void *data; /* the family's own row */
    float efficiency; /* share of the device's sustained rate; 0: bound by memory */
};

/* One array per family, each ended by a row without a name; several rows may have one name (versions, classes). */
extern const gpu_op *const gpu_op_families[];
extern const uint32_t gpu_op_family_count;
extern const gpu_op gpu_ops_elementwise[], gpu_ops_typed[], gpu_ops_move[], gpu_ops_gather[], gpu_ops_matmul[],
    gpu_ops_conv[], gpu_ops_pool[], gpu_ops_reduce[], gpu_ops_norm[], gpu_ops_resize[], gpu_ops_recurrent[],
    gpu_ops_shape[];

/* ==== Claiming (claim.c) ========================================================================================= */

struct gpu_check { /* device is all that gpu_check_size needs */
    const gpu_device *device;
    const gpu_node *node;
    const gpu_op *op;
    uint32_t reason; /* PARTITA_REASON_*; NONE: can */
    char text[160];
};

/* Sets reason and text; returns false, to be returned. */
bool gpu_refuse(gpu_check *check, uint32_t reason, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The row that takes the node, or NULL with reason and text. */
const gpu_op *gpu_claim(gpu_check *check, const gpu_device *device, const gpu_node *node);
/* Limits of the device and of 32-bit indices (limits.c): false, with the number, for a value of too many elements or
 * bytes; `what` names it in `size` bytes. */
bool gpu_check_size(gpu_check *check, const gpu_operand *operand, const char *what, int size);
/* Plans the node at its dims without building anything; where they are not known, nothing is checked. */
bool gpu_check_plan(gpu_check *check, const gpu_op *op, const gpu_node *node, uint64_t *out_scratch);
/* a b, at most INT64_MAX; neither is below 0. */
int64_t gpu_times(int64_t a, int64_t b);
/* Common refusals of checks. */
bool gpu_need_constant(gpu_check *check, uint32_t input, const char *what);
bool gpu_need_same_dtype(gpu_check *check);
/* Microseconds at nominal shapes; below 0 when dims are not known. */
double gpu_cost(const gpu_device *device, const gpu_op *op, const gpu_node *node);

/* ==== Kernel calls (call.c) ====================================================================================== */

enum { GPU_REF_NONE = 0, GPU_REF_VALUE = 1, GPU_REF_TEMP = 2, GPU_REF_PORT = 3 };
typedef struct gpu_ref {
    uint32_t kind;
    uint32_t index; /* row of values, temp of the instance, or output port */
} gpu_ref;

/* One launch under construction. Overflow, and params that need more than 32 bits, are reported by gpu_emit. */
typedef struct gpu_call {
    const char *kernel;
    const char *body;
    char defines[1024];
    uint32_t defines_size;
    uint32_t binding_count;
    uint32_t param_count;
    gpu_ref bindings[GPU_MAX_BINDINGS];
    uint32_t params[GPU_MAX_PARAMS];
    uint32_t local[3];
    uint32_t groups[3];
    int64_t wide; /* a param that does not fit; 0: all do */
    bool fused;   /* a chain of several steps */
    bool overflow;
} gpu_call;

void gpu_call_init(gpu_call *call, const char *kernel);
void gpu_define(gpu_call *call, const char *name, int64_t value);
void gpu_define_text(gpu_call *call, const char *name, const char *text);
/* T, S, T_FLOAT, T_SIGNED of an element type. */
void gpu_define_type(gpu_call *call, partita_dtype dtype);
/* S as the word that moves elements of this type. */
void gpu_define_word(gpu_call *call, partita_dtype dtype);
void gpu_bind(gpu_call *call, gpu_ref ref);
void gpu_param(gpu_call *call, int64_t value);
void gpu_param_float(gpu_call *call, float value);
/* Three words: a divisor and how to divide by it. */
void gpu_param_divisor(gpu_call *call, int64_t divisor);
/* One work-item per element of 0 .. n - 1, for LINEAR_ID. */
void gpu_grid_linear(const gpu_device *device, gpu_call *call, uint64_t n, uint32_t local);
/* One group per row, for the cooperative form of row kernels; else a work-item per row. Defines COOPERATIVE. */
void gpu_grid_rows(gpu_plan *plan, gpu_call *call, uint64_t rows, uint64_t length);
void gpu_grid(gpu_call *call, const uint32_t local[3], uint64_t x, uint64_t y, uint64_t z); /* in work-items */

/* ==== Planning a step (resize.c) ================================================================================= */

struct gpu_plan {
    ptp_executable *executable; /* NULL, like the instance, when the node is only checked */
    gpu_device *device;
    struct gpu_instance *instance;
    const gpu_op *op;
    const gpu_node *node;
    gpu_check *check; /* gets the cause of gpu_plan_refuse; NULL: the host does */
    uint64_t temp_bytes;
};

/* Why a step cannot be done at these dims; returns PARTITA_UNSUPPORTED. */
partita_status gpu_plan_refuse(gpu_plan *plan, uint32_t reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Refuses a number of the shapes above `most`: "WHAT value, at most most". */
partita_status gpu_plan_need(gpu_plan *plan, int64_t value, int64_t most, const char *what);

/* What makes another kernel out of the same step (form.c). Returns what to do instead of `value`, which follows from
 * these dims: what was decided when the part was compiled. The caller checks that it fits these dims too. */
enum {
    GPU_DECIDE_AXES = 1,
    GPU_DECIDE_READ,
    GPU_DECIDE_JOIN,
    GPU_DECIDE_TILE,
    GPU_DECIDE_ROWS,
    GPU_DECIDE_SHARED,
    GPU_DECIDE_PRODUCT
};
uint64_t gpu_decide(gpu_plan *plan, uint32_t kind, uint64_t value);

static inline gpu_ref gpu_ref_in(const gpu_plan *plan, uint32_t i) {
    gpu_ref ref = {GPU_REF_VALUE, plan->node->inputs[i].row};
    return ref;
}
static inline gpu_ref gpu_ref_out(const gpu_plan *plan, uint32_t i) {
    gpu_ref ref = {GPU_REF_VALUE, plan->node->outputs[i].row};
    return ref;
}
/* Memory of this step alone. */
partita_status gpu_temp(gpu_plan *plan, int64_t elements, uint32_t element_bytes, gpu_ref *out_ref);
/* Builds or finds the program and appends the launch. */
partita_status gpu_emit(gpu_plan *plan, gpu_call *call);

/* A strided copy, by the move kernel: of `rank` axes (any number up to 16 before collapsing). Strides and offsets count
 * elements. */
typedef struct gpu_move {
    int32_t rank;
    int64_t dims[16], from[16], to[16];
    int64_t from_base, to_base;
} gpu_move;
partita_status gpu_emit_move(gpu_plan *plan, const gpu_move *move, partita_dtype dtype, gpu_ref source, gpu_ref target);
/* Whole contiguous copy. */
partita_status gpu_emit_copy(gpu_plan *plan, int64_t elements, partita_dtype dtype, gpu_ref source, gpu_ref target);
/* Element-wise: a generated kernel. Every input is a variable of the expression. */
typedef struct gpu_variable {
    const char *stored;   /* type in the buffer */
    const char *computed; /* type of the variable */
    gpu_ref ref;
    int64_t strides[GPU_MAX_RANK]; /* over the axes of gpu_pointwise, 0 where broadcast */
    int64_t elements;
    uint32_t mode; /* GPU_READ_*; set by gpu_emit_pointwise */
} gpu_variable;
enum { GPU_READ_WHOLE = 0, GPU_READ_ONE, GPU_READ_STRIDED }; /* at the result's index, at 0, through strides */
typedef struct gpu_pointwise {
    int32_t rank;
    int64_t dims[GPU_MAX_RANK]; /* of the result */
    uint32_t count;
    gpu_variable variables[GPU_MAX_BINDINGS - 1];
    const char *names[GPU_MAX_BINDINGS - 1]; /* in the expression */
    partita_dtype type;                      /* T; PARTITA_UNDEFINED: the expression uses no name of T */
    const char *stored;                      /* type of the result in its buffer */
    const char *expression;                  /* its value, of a type that converts to `stored` */
    uint32_t scalar_count;                   /* P0, P1 of the expression */
    float scalars[2];
    gpu_ref result;
} gpu_pointwise;
/* The result's axes are those of output 0; ref of the result is output 0. */
void gpu_pointwise_init(gpu_pointwise *pointwise, const gpu_plan *plan, partita_dtype type);
/* Adds an input, broadcast to the result's axes. computed NULL: the type's own. */
void gpu_pointwise_add(gpu_pointwise *pointwise, const char *name, const gpu_operand *operand, gpu_ref ref,
                       const char *computed);
/* The launch comes at once, or with that of the one element-wise step that reads the result (pointwise.c). */
partita_status gpu_emit_pointwise(gpu_plan *plan, const gpu_pointwise *pointwise);
/* Emits what was put off and is bound by the call: gpu_emit does so before each launch. */
partita_status gpu_pending_flush(gpu_plan *plan, const gpu_call *call);

/* y = alpha * a b + beta * bias over batches, by the matmul kernel. Strides count elements. */
typedef struct gpu_product {
    int64_t m, n, k;
    int64_t a_row, a_column, b_row, b_column, bias_row, bias_column;
    float alpha, beta;
    bool has_bias;
    bool fixed_rows; /* m comes with a weight: a program may suit it, for it stays */
    int32_t batch_rank;
    int64_t batch[GPU_MAX_RANK], a_batch[GPU_MAX_RANK], b_batch[GPU_MAX_RANK], bias_batch[GPU_MAX_RANK];
} gpu_product;
partita_status gpu_emit_product(gpu_plan *plan, const gpu_product *product, gpu_ref a, gpu_ref b, gpu_ref bias,
                                gpu_ref y);

/* What a work-item of a multiplying kernel computes: rows by vectors; by lanes: single columns, `lanes` apart. */
typedef struct gpu_tile {
    uint32_t rows, vectors;
    uint32_t lanes; /* work-items of a group, side by side; 0: vectors within a work-item */
} gpu_tile;
/* rows: of a weight, -1 where they change with the shapes, since a change builds no programs. */
gpu_tile gpu_tile_choose(gpu_plan *plan, int64_t rows, int64_t columns);
/* TILE_M, TILE_V, and SUBGROUP where lanes hand each other what they load. */
void gpu_define_tile(const gpu_device *device, gpu_call *call, const gpu_tile *tile);

/* Sum, mean or largest over the axes of `mask`. */
partita_status gpu_emit_reduce(gpu_plan *plan, const gpu_op *op, uint32_t mask);

/* Window of a convolution or pooling along its one or two spatial axes, as h and w (h is 1 of a 1-D one). */
typedef struct gpu_window {
    int64_t in[2], out[2], kernel[2], stride[2], before[2], after[2], dilation[2];
} gpu_window;
/* Reads strides, dilations, pads, auto_pad; kernel is given. */
void gpu_window_read(const gpu_node *node, const gpu_operand *x, const gpu_operand *y, const int64_t *kernel,
                     gpu_window *out);
bool gpu_check_window(gpu_check *check);
/* Positions in and around the window fit 32 bits, their products with strides and dilations too. */
partita_status gpu_window_need(gpu_plan *plan, const gpu_window *window);

static inline uint32_t gpu_vector_width(const gpu_device *device) {
    return device->caps.vector_width ? device->caps.vector_width : 4;
}
/* Row-major strides of dims. */
void gpu_strides(const int64_t *dims, int32_t rank, int64_t *out_strides);
/* Drops axes of extent 1 and merges neighbours that all `count` stride lists (of at most 16 axes) pass through alike.
 * Returns the new rank, at least 1. plan NULL: by these dims alone. */
int32_t gpu_collapse(gpu_plan *plan, int64_t *dims, int64_t *const *strides, int32_t count, int32_t rank);

#endif
