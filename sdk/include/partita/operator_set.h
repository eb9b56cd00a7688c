/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Operator sets: operators beyond the ONNX standard, as data. A set says what an operator looks like (schema and
 * attributes), what its results look like (an inference callback, or a body), and how it is computed where no device
 * has it (a body in ONNX). Any plugin may claim the operators of any set.
 *
 * The rules of <partita/plugin.h> hold here too. Rows live as long as the library, and are walked by the size of the
 * first one.
 */
#ifndef PARTITA_OPERATOR_SET_H
#define PARTITA_OPERATOR_SET_H

#include <partita/plugin.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** No upper limit, for max_inputs and max_outputs. */
#define PTP_MANY UINT32_MAX

/** Properties of an operator. */
enum {
    PTP_OPERATOR_PURE = 1u, /* same inputs, same outputs: may be folded, shared, removed */
    PTP_OPERATOR_RANDOM = 2u,
    PTP_OPERATOR_DATA_SHAPED = 4u, /* an output's shape depends on data */
    PTP_OPERATOR_MOVES_DATA = 16u, /* no arithmetic */
    PTP_OPERATOR_ELEMENTWISE = 32u
};

/** How operations are counted; 2 per multiply-add. */
enum {
    PTP_FLOPS_OUTPUT = 0,          /* one for each element of the first output */
    PTP_FLOPS_INPUT = 1,           /* one for each element of the first input */
    PTP_FLOPS_MATMUL = 2,          /* 2 for each element of the output and of the last dim of input 0 */
    PTP_FLOPS_GEMM = 3,            /* as Gemm: transA may turn input 0 */
    PTP_FLOPS_CONV = 4,            /* as Conv; the weights are input 1 */
    PTP_FLOPS_POOL = 5,            /* kernel_shape for each element of the output */
    PTP_FLOPS_RNN = 6,             /* X, W and R are inputs 0 to 2 */
    PTP_FLOPS_ATTENTION = 7,       /* queries, keys and values are inputs 0 to 2 */
    PTP_FLOPS_PACKED_ATTENTION = 8 /* inputs 0 and 1 are what all three come of, and the weights */
};

/* ==== Inference ================================================================================================== */

/**
 * A dim, or an element of a small integer tensor: a number from 0 on, or else a handle of the host. The same callback
 * serves shapes with symbols (when a model is loaded) and numbers (when it runs).
 */
typedef int64_t ptp_dim;
#define PTP_DIM_UNKNOWN INT64_MIN
/** The largest rank of a tensor. */
#define PTP_MAX_RANK 16

/** Arithmetic on dims. */
enum {
    PTP_DIM_ADD = 1,
    PTP_DIM_SUB = 2,
    PTP_DIM_MUL = 3,
    PTP_DIM_FLOOR_DIV = 4, /* towards minus infinity */
    PTP_DIM_TRUNC_DIV = 5, /* towards zero */
    PTP_DIM_CEIL_DIV = 6,
    PTP_DIM_MOD = 7,
    PTP_DIM_MAX = 8,
    PTP_DIM_MIN = 9,
    PTP_DIM_BROADCAST = 10, /* a where b is 1, b where a is 1; an error where two numbers do not broadcast */
    PTP_DIM_SAME = 11       /* the better known one of two that must be equal; an error where two numbers differ */
};

/** What is known of an input. */
typedef struct ptp_known {
    uint32_t size;
    uint32_t present;  /* 0: the node leaves this input out */
    partita_kind kind; /* PARTITA_KIND_NONE: not known */
    partita_dtype dtype;
    partita_dtype key_dtype; /* of a map */
    int32_t rank;            /* -1: not known */
    const ptp_dim *dims;
    const ptp_dim *elements; /* of a small integer tensor, PTP_DIM_UNKNOWN among them; NULL when none is known */
    uint32_t element_count;
    uint32_t reserved;
    const void *data; /* the whole dense tensor in host memory, when it is at hand; else NULL */
    uint64_t count;   /* of elements in `data` */
} ptp_known;

/** An attribute of the node, with the row's default filled in. */
typedef struct ptp_argument {
    uint32_t size;
    uint32_t type;  /* PTP_ATTRIBUTE_*; 0: the node has none of this name */
    uint64_t count; /* 1 of a single one */
    int64_t i;
    double f;
    partita_str s;
    const int64_t *ints;
    const float *floats;
    const partita_str *strings;
} ptp_argument;

/**
 * One node while its outputs are inferred. Valid during the call, on the calling thread. Slots take `self`. Those
 * without a result keep what went wrong for the end of the callback; what is said about an output that the node leaves
 * out is dropped.
 */
typedef struct ptp_inference {
    uint32_t size;
    int32_t since; /* of the row */
    uint32_t input_count;
    uint32_t output_count;
    void *self;
    /** Fills `out`, whose size the caller sets. */
    void (*input)(void *self, uint32_t index, ptp_known *out);
    void (*attribute)(void *self, const char *name, ptp_argument *out);
    /** PTP_DIM_UNKNOWN where an operand is unknown, and after an error. */
    ptp_dim (*apply)(void *self, uint32_t op, ptp_dim a, ptp_dim b);
    /** Any number, also a negative one, as a dim. */
    ptp_dim (*number)(void *self, int64_t number);
    /** 1, with the number, when `dim` is one. */
    int32_t (*exact)(void *self, ptp_dim dim, int64_t *out_number);
    /** The output is a tensor of this type. rank -1: not known. `dims` NULL: none is known. */
    void (*output)(void *self, uint32_t index, partita_dtype dtype, int32_t rank, const ptp_dim *dims);
    /** It is of the input's kind, type and shape; dtype PARTITA_UNDEFINED: of its element type too. */
    void (*output_like)(void *self, uint32_t index, uint32_t input, partita_dtype dtype);
    /** It has the shape that inputs first .. first + count - 1 broadcast to. */
    void (*output_broadcast)(void *self, uint32_t index, partita_dtype dtype, uint32_t first, uint32_t count);
    /** Elements of a small integer output. */
    void (*output_elements)(void *self, uint32_t index, uint32_t count, const ptp_dim *elements);
    /** The node is wrong, for this reason; returns what the callback is to return. */
    partita_status (*fail)(void *self, const char *message);
} ptp_inference;

/* Shorter ways to read a node. */

static inline ptp_known ptp_input_of(const ptp_inference *node, uint32_t index) {
    ptp_known known;
    memset(&known, 0, sizeof(known));
    known.size = sizeof(known);
    node->input(node->self, index, &known);
    return known;
}

static inline ptp_argument ptp_argument_of(const ptp_inference *node, const char *name) {
    ptp_argument argument;
    memset(&argument, 0, sizeof(argument));
    argument.size = sizeof(argument);
    node->attribute(node->self, name, &argument);
    return argument;
}

static inline int64_t ptp_int_of(const ptp_inference *node, const char *name, int64_t otherwise) {
    ptp_argument argument = ptp_argument_of(node, name);
    return argument.type == PTP_ATTRIBUTE_INT ? argument.i : otherwise;
}

/** PTP_DIM_UNKNOWN when there is no such dim or it is not known; a negative axis counts from the end. */
static inline ptp_dim ptp_dim_of(const ptp_known *known, int32_t axis) {
    if (axis < 0) axis += known->rank;
    return axis >= 0 && axis < known->rank ? known->dims[axis] : PTP_DIM_UNKNOWN;
}

static inline ptp_dim ptp_apply(const ptp_inference *node, uint32_t op, ptp_dim a, ptp_dim b) {
    return node->apply(node->self, op, a, b);
}

/* ==== Rows ======================================================================================================= */

enum {
    PTP_OPERATOR_ATTRIBUTE_REQUIRED = 1u,
    PTP_OPERATOR_ATTRIBUTE_DEFAULT = 2u /* one that the node leaves out has the value below */
};

typedef struct ptp_operator_attribute {
    uint32_t size;
    uint32_t type; /* PTP_ATTRIBUTE_* */
    const char *name;
    uint32_t flags;
    float default_float;      /* FLOAT */
    int64_t default_int;      /* INT */
    const char *default_text; /* STRING; of INTS, FLOATS and STRINGS "1,2", "" for an empty list */
} ptp_operator_attribute;

/**
 * Bytes of an ONNX FunctionProto. Inputs, outputs and attributes of the operator by position and name. A node of it
 * that is named "when CONDITIONS" is there for operators that fulfil all of them, with commas between, and "or" between
 * those of which one is enough: `axis` (there is such an input, output or attribute), `!axis`, `axis < 0` (or >=, =,
 * !=), `mode = tanh`, `X.rank = 4`, `X.type = 10`, `version < 13`. A reference to the attribute `type_of_X` gives the
 * element type of input X.
 */
typedef struct ptp_operator_body {
    uint32_t size;
    uint32_t reserved;
    const void *bytes;
    uint64_t byte_count;
} ptp_operator_body;

typedef struct ptp_operator_row {
    uint32_t size;
    uint32_t flags;     /* PTP_OPERATOR_* */
    const char *domain; /* "" is ai.onnx: only for names that ONNX has in none of its versions */
    const char *name;
    int32_t since;  /* first version of the domain with this behaviour; in force until the next row of the name */
    uint32_t flops; /* PTP_FLOPS_* */
    uint32_t min_inputs;
    uint32_t max_inputs; /* those behind min_inputs may be left out, or absent; see optional_inputs */
    uint32_t min_outputs;
    uint32_t max_outputs;
    const ptp_operator_attribute *attributes;
    const ptp_operator_body *bodies;
    uint32_t attribute_count;
    uint32_t body_count;
    /** optional: default is inference through the body, and without one what the model's file says. Thread-safe. */
    partita_status (*infer)(const ptp_inference *node);
    /** optional: default is body 0. Which of the bodies computes this node; PARTITA_NONE: none does. Thread-safe. */
    partita_status (*choose)(const ptp_inference *node, uint32_t *out_body);
    /** Bit i: input i may be absent although it is among the first min_inputs; the others of these may not. */
    uint64_t optional_inputs;
    /** optional: default is that nothing is checked. A letter for each input, a to h: inputs of one letter have one
     * element type. '.': any; a last '+' goes on with the letter before it. A model that breaks it is not loaded. */
    const char *input_letters;
    const uint64_t *letter_types; /* uint64_t[letter_count]: the types of each letter, as bits 1 << dtype */
    uint32_t letter_count;        /* at most 8 */
    uint32_t reserved;
} ptp_operator_row;

typedef struct ptp_operator_set {
    uint32_t size;
    uint32_t count;
    const ptp_operator_row *rows; /* in any order */
} ptp_operator_set;

/**
 * Defines the one exported symbol of a plugin that is an operator set only:
 * PTP_DEFINE_OPERATOR_SET("name", "1.0", &operator_set);
 */
#define PTP_OPERATOR_SET_INFO(abi, name, version, set)                                                                 \
    {sizeof(ptp_plugin_info), abi, name, version, PTP_SANITIZER, NULL, NULL, NULL, NULL, set, NULL},
#define PTP_DEFINE_OPERATOR_SET(name, version, set)                                                                    \
    PTP_EXPORT const ptp_plugin_info *partita_plugin_query(const ptp_query *query);                                    \
    PTP_EXPORT const ptp_plugin_info *partita_plugin_query(const ptp_query *query) {                                   \
        static const ptp_plugin_info infos[] = {PTP_ABI_ROWS(PTP_OPERATOR_SET_INFO, name, version, set)};              \
        uint32_t abi = ptp_agree(query, PTP_ABI_OLDEST, PTP_ABI_VERSION,                                               \
                                 "it speaks ABI " PTP_TEXT(PTP_ABI_OLDEST) " to " PTP_TEXT(PTP_ABI_VERSION));          \
        return abi ? &infos[abi - PTP_ABI_OLDEST] : NULL;                                                              \
    }

#ifdef __cplusplus
}
#endif
#endif
