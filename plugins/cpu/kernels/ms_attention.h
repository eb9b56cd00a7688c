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
    int64_t seen; /* keys that one image sees at most: total, or the window's */
    cpu_ms_rows q, k, v;
    uint32_t past_k, past_v, present_k, present_v, shown; /* inputs and outputs */
    int64_t past_v_first, present_v_first;                /* elements, where one tensor has both */
    uint32_t mask, bias, sink;
    uint32_t beams;     /* an input that says of which beam's cache each old row is; CPU_MS_NONE: of its own */
    bool last_sees_all; /* of queries that see no later key the last one does, and counts as the last key's */
} cpu_ms_call;

/* One image, its keys counted from the first that it sees: how many lie in the cache, how many there are with the new
 * ones, where the first query stands among them, and how many of the last ones the cache keeps. */
typedef struct cpu_ms_image {
    int64_t rows; /* of Q, that count */
    int64_t past, total, place, kept;
    int64_t first; /* position of the first key */
} cpu_ms_image;

struct cpu_ms_state {
    partita_status (*call_of)(const cpu_call *call, cpu_ms_call *out);
    partita_status (*image_of)(const cpu_call *call, const cpu_ms_call *c, int64_t batch, cpu_ms_image *out);
    int64_t heads, kv_heads;
    int64_t widths[3]; /* of Q, K and V in Attention; 0: equal thirds */
    bool causal, rotary, interleaved, sinks, quantised, grouped;
    int64_t window;      /* keys that a query sees, itself among them; -1: all */
    bool sliding;        /* the caches keep no more than the window needs */
    uint32_t cache_bits; /* 4, 8; 0: the caches are of the operator's type */
    bool normalised;     /* Q and K, by their root mean square */
    float epsilons[2];   /* of Q and of K */
    float filter;        /* what a masked key's score gets */
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

/* One head of K and V of one image, and a worker's room for it. */
typedef struct cpu_ms_item {
    const cpu_call *call;
    const cpu_ms_state *state;
    const cpu_ms_call *c;
    cpu_ms_image image;
    int64_t batch, head; /* of K and V */
    float *q, *k, *v, *y, *mask, *shown, *x, *w, *core;
} cpu_ms_item;

/* The cache of K or V: inputs and outputs, and where in them it begins. */
typedef struct cpu_ms_cache {
    uint32_t past, present, scale;
    int64_t past_first, present_first, width;
} cpu_ms_cache;
/* Puts the old rows in front of `rows`. */
void cpu_ms_past_load(const cpu_ms_item *it, const cpu_ms_cache *cache, float *rows);
/* Rounds the new rows, those behind the old ones, to what the cache holds of them, and writes it. */
void cpu_ms_present_store(const cpu_ms_item *it, const cpu_ms_cache *cache, float *rows);
/* How many of `total` positions a cache of `room` rows holds when queries see `window` of them. */
int64_t cpu_ms_resident(int64_t total, int64_t room, int64_t window);

/* The kernel. */
uint64_t cpu_ms_attention_items(const cpu_call *call);
uint64_t cpu_ms_attention_scratch(const cpu_call *call);
partita_status cpu_ms_attention_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker);

#endif
