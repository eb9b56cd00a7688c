/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel families share: state, attributes, checked reading of index inputs, walking over broadcast shapes,
 * strided copies, and carrying of elements that have no address of their own (packed types, strings).
 */
#ifndef CPU_KERNELS_SUPPORT_H
#define CPU_KERNELS_SUPPORT_H

#include "cpu/kernels/kernel.h"
#include "cpu/kernels/number.h"

#define CPU_NEWEST 28 /* the newest schema version that was looked at */
#define CPU_FLOAT6 (CPU_TYPE(FLOAT6E2M3) | CPU_TYPE(FLOAT6E3M2))
#define CPU_PACKED                                                                                                     \
    (CPU_TYPE(UINT4) | CPU_TYPE(INT4) | CPU_TYPE(FLOAT4E2M1) | CPU_TYPE(UINT2) | CPU_TYPE(INT2) | CPU_FLOAT6)
#define CPU_HALVES (CPU_TYPE(FLOAT16) | CPU_TYPE(BFLOAT16))
#define CPU_FLOAT8 (CPU_TYPE(FLOAT8E4M3FN) | CPU_TYPE(FLOAT8E4M3FNUZ) | CPU_TYPE(FLOAT8E5M2) | CPU_TYPE(FLOAT8E5M2FNUZ))
#define CPU_INDEX  (CPU_TYPE(INT32) | CPU_TYPE(INT64))
#define CPU_EVERY  (CPU_FIXED | CPU_PACKED | CPU_TYPE(STRING))

/* Elements of one item of element-wise kernels. */
#define CPU_ITEM 4096

/* The node's attributes. */
int64_t cpu_attr_int(const cpu_node *node, const char *name, int64_t otherwise);
float cpu_attr_float(const cpu_node *node, const char *name, float otherwise);
bool cpu_attr_is(const cpu_node *node, const char *name, const char *text);
bool cpu_attr_has(const cpu_node *node, const char *name);
partita_dtype cpu_input_dtype(const cpu_node *node, uint32_t index);
partita_dtype cpu_output_dtype(const cpu_node *node, uint32_t index);

/* An attribute or input that is a short list of integers. */
typedef struct cpu_ints {
    bool given;
    uint32_t count;
    int64_t at[2 * CPU_MAX_RANK];
} cpu_ints;
partita_status cpu_ints_attr(const cpu_node *node, const ptp_host *host, const char *name, cpu_ints *out);
/* Input `index`, which may be absent. BAD_INPUT when it is no 0-d or 1-d tensor of int32 or int64. */
partita_status cpu_ints_input(const cpu_call *call, uint32_t index, cpu_ints *out);

/* Whether input or output `index` is there. */
bool cpu_has_input(const cpu_call *call, uint32_t index);
bool cpu_has_output(const cpu_call *call, uint32_t index);

/* Negative axes count from the end. BAD_INPUT outside [-rank, rank). */
partita_status cpu_axis(const cpu_call *call, int64_t axis, uint32_t rank, uint32_t *out_axis);
/* Bytes of one element of a type of whole bytes. */
static inline uint32_t cpu_size(const cpu_tensor *tensor) { return cpu_dtype_bits(tensor->dtype) / 8; }
/* Product of dims [first, last). */
uint64_t cpu_extent(const int64_t *dims, uint32_t first, uint32_t last);
/* Integer `i` of a tensor of int32 or int64. */
static inline int64_t cpu_index(const cpu_tensor *tensor, uint64_t i) {
    return tensor->dtype == PARTITA_INT32 ? ((const int32_t *)tensor->data)[i] : ((const int64_t *)tensor->data)[i];
}
bool cpu_same_dims(const cpu_tensor *tensor, uint32_t rank, const int64_t *dims);
/* BAD_INPUT unless the output has this shape; inference and kernel must agree before anything is written. */
partita_status cpu_expect(const cpu_call *call, uint32_t output, uint32_t rank, const int64_t *dims);
partita_status cpu_expect_like(const cpu_call *call, uint32_t output, const cpu_tensor *like);

/* ---- broadcasting ---- */

#define CPU_WALK_INPUTS 3
/* Walks the output of a broadcast in row-major order, by runs in which each input stands still or moves by one. */
typedef struct cpu_walk {
    uint32_t rank, inputs;
    int64_t dims[CPU_MAX_RANK];
    int64_t strides[CPU_WALK_INPUTS][CPU_MAX_RANK];
    int64_t at[CPU_MAX_RANK];
    int64_t offsets[CPU_WALK_INPUTS]; /* of the present position */
    uint32_t steps[CPU_WALK_INPUTS];  /* within a run: 0 or 1 */
} cpu_walk;
/* Input i is aligned to the output's last dims, or from dim axes[i] on when that is not negative (opsets before 7).
 * axes NULL: all to the last dims. BAD_INPUT when it cannot be broadcast. */
partita_status cpu_walk_init(const cpu_call *call, const cpu_tensor *out, const cpu_tensor *const *in, uint32_t n,
                             const int64_t *axes, cpu_walk *walk);
void cpu_walk_seek(cpu_walk *walk, uint64_t element);
/* Elements of the run at the present position, at most `limit`; the position moves behind it. Offsets of its start. */
uint64_t cpu_walk_next(cpu_walk *walk, uint64_t limit, uint64_t *out_offsets);

/* Items of CPU_ITEM elements of output 0. */
uint64_t cpu_items_elements(const cpu_call *call);
/* The elements that items [begin, end) stand for. */
void cpu_item_range(const cpu_tensor *out, uint64_t begin, uint64_t end, uint64_t *out_first, uint64_t *out_last);

/* ---- strided copies ---- */

#define CPU_VIEW_RANK (2 * CPU_MAX_RANK)
/* Row-major target of these dims, whose element at `at` comes from the source's element offset + sum(at * strides). */
typedef struct cpu_view {
    uint32_t rank;
    int64_t dims[CPU_VIEW_RANK];
    int64_t strides[CPU_VIEW_RANK];
    int64_t offset;
} cpu_view;
/* Drops dims of 1 and joins dims that lie behind each other. */
void cpu_view_collapse(cpu_view *view);
uint64_t cpu_view_count(const cpu_view *view);
/* Copies target elements [first, last) of a collapsed view; element of `size` bytes: 1, 2, 4, 8 or 16. */
void cpu_view_copy(const cpu_view *view, uint32_t size, const void *source, void *target, uint64_t first,
                   uint64_t last);
/* Row-major strides of dims. */
void cpu_strides(const int64_t *dims, uint32_t rank, int64_t *strides);

/* Items [begin, end) of output 0 through a view of input 0, which is collapsed on the way. */
partita_status cpu_view_run(const cpu_call *call, cpu_view *view, uint64_t begin, uint64_t end);

void cpu_fill(void *target, const void *element, uint32_t size, uint64_t count);

/* ---- carried elements ---- */

/*
 * Kernels that only move elements know sizes 1, 2, 4, 8 and 16. Tensors of packed types are moved as one code per byte,
 * tensors of strings as one number per string. A family gives its rows for whole bytes; the carried rows of an operator
 * stand behind its own and run it.
 */
partita_status cpu_carry_prepare(const cpu_node *node, const ptp_host *host, const cpu_kernel *rows, uint32_t count,
                                 void **out_state);
void cpu_carry_release(const ptp_host *host, void *state);
partita_status cpu_carry_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker);
#define CPU_CARRIED_PACKED(name, prepares, input)                                                                      \
    {                                                                                                                  \
        .op = name, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_PACKED, .type_input = input,           \
        .reference = true, .prepare = prepares, .release = cpu_carry_release, .run = cpu_carry_run                     \
    }
#define CPU_CARRIED_STRINGS(name, prepares, input, is_shaped)                                                          \
    {                                                                                                                  \
        .op = name, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_TYPE(STRING), .type_input = input,     \
        .reference = true, .prepare = prepares, .release = cpu_carry_release, .run = cpu_carry_run, .emit = true,      \
        .shaped = is_shaped                                                                                            \
    }

/* Rows of an operator that moves elements: whole bytes by `runs`, packed types and strings carried through it by the
 * file's carried_prepare. */
#define CPU_MOVING_ROWS(name, prepares, item, runs)                                                                    \
    {.op = name,                                                                                                       \
     .domain = "",                                                                                                     \
     .since = 1,                                                                                                       \
     .until = CPU_NEWEST,                                                                                              \
     .types = CPU_FIXED,                                                                                               \
     .reference = true,                                                                                                \
     .prepare = prepares,                                                                                              \
     .release = cpu_free,                                                                                              \
     .items = item,                                                                                                    \
     .run = runs},                                                                                                     \
        CPU_CARRIED_PACKED(name, carried_prepare, 0), CPU_CARRIED_STRINGS(name, carried_prepare, 0, true)

/* Strings of a tensor: string i is bytes[offsets[i] .. offsets[i + 1]). */
typedef struct cpu_strings {
    const uint64_t *offsets;
    const char *bytes;
    uint64_t count;
} cpu_strings;
partita_status cpu_strings_of(const cpu_call *call, const cpu_tensor *tensor, cpu_strings *out);
static inline partita_str cpu_string_at(const cpu_strings *strings, uint64_t i) {
    return (partita_str){strings->bytes + strings->offsets[i], strings->offsets[i + 1] - strings->offsets[i]};
}

/* Strings of this shape: string i is string picks[i] of `from`. As a value to be released, and as output `index`. */
partita_status cpu_new_strings(const ptp_host *host, uint32_t rank, const int64_t *dims, const cpu_strings *from,
                               const uint64_t *picks, uint64_t n, ptp_value **out);
partita_status cpu_set_strings(const cpu_call *call, uint32_t index, uint32_t rank, const int64_t *dims,
                               const cpu_strings *from, const uint64_t *picks, uint64_t n);

/* Blocks that n elements fill, the last one perhaps in part. */
static inline uint64_t cpu_blocks(uint64_t n, uint64_t block) { return (n + block - 1) / block; }

/* A tensor view of a value, as inputs of kernels are. */
partita_status cpu_tensor_of(const cpu_call *call, ptp_value *value, cpu_tensor *out);

#endif
