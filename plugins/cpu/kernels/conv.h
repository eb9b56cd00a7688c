/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The geometry of windows that slide over up to three spatial dims: Conv, ConvTranspose, pooling and their kin. Fewer
 * dims are filled up in front with dims of 1.
 */
#ifndef CPU_KERNELS_CONV_H
#define CPU_KERNELS_CONV_H

#include "cpu/kernels/support.h"

#define CPU_SPATIAL 3

enum { CPU_PAD_NOTSET = 0, CPU_PAD_SAME_UPPER, CPU_PAD_SAME_LOWER, CPU_PAD_VALID };

/* Attributes, as the node has them. Part of every state of the family. */
typedef struct cpu_window_attrs {
    uint32_t auto_pad;
    bool ceil_mode, has_kernel;
    int64_t group;
    cpu_ints kernel, strides, dilations, pads, output_padding, output_shape;
} cpu_window_attrs;

partita_status cpu_window_attrs_read(const cpu_node *node, const ptp_host *host, cpu_window_attrs *out);
/* Entry `index` of a list that may be shorter, or absent. */
static inline int64_t cpu_window_entry(const cpu_ints *list, uint32_t index, int64_t otherwise) {
    return index < list->count ? list->at[index] : otherwise;
}

typedef struct cpu_window {
    uint32_t spatial; /* dims of the tensors, 1 to 3 */
    int64_t in[CPU_SPATIAL], out[CPU_SPATIAL], kernel[CPU_SPATIAL], stride[CPU_SPATIAL], dilation[CPU_SPATIAL];
    int64_t pad[CPU_SPATIAL]; /* in front */
    int64_t pad_end[CPU_SPATIAL];
    int64_t in_size, out_size, kernel_size; /* products */
} cpu_window;

/* `kernel_dims`: of the weights, or NULL to take the attribute. Checks what could leave the memory. */
partita_status cpu_window_make(const cpu_call *call, const cpu_window_attrs *attrs, const cpu_tensor *in,
                               const cpu_tensor *out, const int64_t *kernel_dims, cpu_window *window);
/* The same for a transposed convolution, whose input is the smaller side. */
partita_status cpu_window_make_transposed(const cpu_call *call, const cpu_window_attrs *attrs, const cpu_tensor *in,
                                          const cpu_tensor *out, const int64_t *kernel_dims, cpu_window *window);

/* A 1x1 kernel that takes every position once: the input is the matrix of taps. */
bool cpu_window_is_pointwise(const cpu_window *window);

/* A piece of a panel whose positions are neighbours in one output row. */
typedef struct cpu_window_run {
    uint32_t first, count;
    int64_t z, y, x; /* input coordinates of its first position, tap 0 */
} cpu_window_run;
/* The positions [position, position + count) in runs; returns how many, at most `count`. */
uint32_t cpu_window_runs(const cpu_window *window, int64_t position, uint32_t count, cpu_window_run *runs);

/* Claims what these windows can: refuses more spatial dims, where the rank is known. */
bool cpu_window_claim(const cpu_node *node, ptp_answer *answer);

/* Convolution of one image: X [n, c, ...], W [m, c / group, ...]. */
typedef struct cpu_conv {
    cpu_window window;
    int64_t images, channels, features, group, group_channels, group_features;
} cpu_conv;
partita_status cpu_conv_make(const cpu_call *call, const cpu_window_attrs *attrs, const cpu_tensor *x,
                             const cpu_tensor *w, const cpu_tensor *y, cpu_conv *conv);

/* Rows of a depthwise convolution by a level's vectors: sums of taps, each a shifted row. */
typedef struct cpu_depthwise {
    const float *x; /* the channel's plane [in rows, in columns] */
    const float *w; /* [kernel rows, kernel columns] */
    float *y;       /* the output plane */
    float *room;    /* cpu_depthwise_rows x cpu_depthwise_width floats */
    float bias;
    int64_t in_rows, in_columns, out_columns, kernel_rows, kernel_columns;
    int64_t stride_rows, stride_columns, dilation_rows, dilation_columns, pad_rows, pad_columns;
} cpu_depthwise;
/* Of the room for `rows` output rows: vectors of any level read only inside it. */
static inline int64_t cpu_depthwise_width(const cpu_depthwise *d) {
    return (d->out_columns + 31) / 32 * 32 * d->stride_columns + (d->kernel_columns - 1) * d->dilation_columns + 32;
}
static inline int64_t cpu_depthwise_rows(const cpu_depthwise *d, int64_t rows) {
    return (rows - 1) * d->stride_rows + (d->kernel_rows - 1) * d->dilation_rows + 1;
}
typedef void (*cpu_depthwise_fn)(const cpu_depthwise *d, int64_t first_row, int64_t last_row);
void cpu_depthwise_baseline(const cpu_depthwise *d, int64_t first_row, int64_t last_row);
void cpu_depthwise_avx2(const cpu_depthwise *d, int64_t first_row, int64_t last_row);
void cpu_depthwise_avx512(const cpu_depthwise *d, int64_t first_row, int64_t last_row);

#endif
