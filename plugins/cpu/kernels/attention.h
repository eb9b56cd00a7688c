/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention: what the attributes say, where the elements of the operands lie, and which keys a query sees.
 */
#ifndef CPU_KERNELS_ATTENTION_H
#define CPU_KERNELS_ATTENTION_H

#include "cpu/kernels/reference.h"

enum { CPU_ATTENTION_RAW, CPU_ATTENTION_CAPPED, CPU_ATTENTION_BIASED, CPU_ATTENTION_SOFTMAX };

typedef struct cpu_attention_state {
    int64_t q_heads, kv_heads; /* of operands that have no dim for heads */
    bool causal, scaled, padded_mask;
    bool wide; /* FlexAttention: the softmax's type also for the sum over the values */
    float scale, softcap;
    partita_dtype precision; /* of the softmax; UNDEFINED: that of Q */
    int64_t shown;           /* which step output 3 shows */
    int64_t left, right;     /* of the window; -1: no bound */
    uint32_t level;
} cpu_attention_state;

/* An operand as [batch, heads, length, width], in elements; the rows are dense. */
typedef struct cpu_attention_operand {
    int64_t heads, length, width;
    int64_t batch_step, head_step, row_step;
} cpu_attention_operand;

typedef struct cpu_attention {
    const cpu_attention_state *state;
    cpu_attention_operand q, k, v, y, past_k, past_v;
    int64_t batch, past, total, group; /* total: keys; group: heads of Q for each head of K */
    float scale;
    /* The mask broadcast to [batch, heads, length, total]; keys behind mask_length are hidden. */
    bool masked;
    int64_t mask_steps[4], mask_length;
    const int64_t *valid; /* per image, the keys that are no padding; NULL: all are */
} cpu_attention;

partita_status cpu_attention_prepare(const cpu_node *node, const ptp_host *host, void **out_state);
bool cpu_attention_claim(const cpu_node *node, ptp_answer *answer);
/* Checks the shapes of inputs and outputs; works without data. */
partita_status cpu_attention_of(const cpu_call *call, cpu_attention *out);
/* The keys [first, last) that query `row` of image `batch` may see by its place. */
void cpu_attention_range(const cpu_attention *a, int64_t batch, int64_t row, int64_t *out_first, int64_t *out_last);
/* Inputs past and new one behind the other as output `index`: the rows of image and head. */
void cpu_attention_present(const cpu_call *call, uint32_t index, const cpu_attention *a, int64_t batch, int64_t head);

#endif
