/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of com.microsoft in its forms: what each makes of its attributes, and what it says of one image. The work
 * on a head of K and V is the same for all, and its core is ONNX's own Attention.
 */
#ifndef CPU_KERNELS_MS_ATTENTION_H
#define CPU_KERNELS_MS_ATTENTION_H

#include "cpu/kernels/attention.h"
#include "cpu/kernels/gemm.h"

#define CPU_MS_NONE UINT32_MAX

typedef struct cpu_ms_state cpu_ms_state;

/* Rows of one head's Q, K or V: row i of image b, head h begins at element first + b * batch + h * head + i * row. */
typedef struct cpu_ms_rows {
    uint32_t input; /* CPU_MS_NONE: a product of input 0 and a column of weights, from column `first` on */
    int64_t first, batch, head, row;
    uint32_t bias; /* an input with one element for each column of Q, K and V; CPU_MS_NONE: none */
    int64_t bias_first;
} cpu_ms_rows;

typedef struct cpu_ms_call {
    int64_t batch, heads, kv_heads, group, width, v_width; /* group: heads of Q that share one of K */
    int64_t rows, keys, past, total;                       /* total: the longest of all images, past and new */
    int64_t past_room, present_room;                       /* rows of the caches */
    cpu_ms_rows q, k, v;
    uint32_t past_k, past_v, present_k, present_v, shown; /* inputs and outputs */
    int64_t past_v_first, present_v_first;                /* elements, where one tensor has both */
    uint32_t mask, bias, sink;
} cpu_ms_call;

/* One image: rows of Q that count, keys that it had before and has now, and the place of its first query. */
typedef struct cpu_ms_image {
    int64_t rows, past, total;
} cpu_ms_image;

struct cpu_ms_state {
    partita_status (*call_of)(const cpu_call *call, cpu_ms_call *out);
    partita_status (*image_of)(const cpu_call *call, const cpu_ms_call *c, int64_t batch, cpu_ms_image *out);
    int64_t heads, kv_heads;
    int64_t widths[3]; /* of Q, K and V in Attention; 0: equal thirds */
    bool causal, rotary, interleaved, sinks, quantised;
    int64_t window; /* keys that a query sees, itself among them; -1: all */
    float filter;   /* what a masked key's score gets */
    const cpu_kernel *core;
    void *core_state;
    const cpu_gemm_micro *micro; /* NULL: products in double */
};

/* The forms. */
partita_status cpu_ms_multi_call(const cpu_call *call, cpu_ms_call *out);
partita_status cpu_ms_projected_call(const cpu_call *call, cpu_ms_call *out);
partita_status cpu_ms_group_call(const cpu_call *call, cpu_ms_call *out);
partita_status cpu_ms_image_plain(const cpu_call *call, const cpu_ms_call *c, int64_t batch, cpu_ms_image *out);
partita_status cpu_ms_image_group(const cpu_call *call, const cpu_ms_call *c, int64_t batch, cpu_ms_image *out);
/* Whether the mask of padding hides a key from a query; the mask's shape was looked at by the form. */
bool cpu_ms_hidden(const cpu_call *call, const cpu_ms_call *c, int64_t batch, int64_t row, int64_t key);
/* Shapes of mask and bias; every form ends with it. */
partita_status cpu_ms_masks_check(const cpu_call *call, const cpu_ms_call *c);

/* The kernel. */
uint64_t cpu_ms_attention_items(const cpu_call *call);
uint64_t cpu_ms_attention_scratch(const cpu_call *call);
partita_status cpu_ms_attention_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker);

#endif
