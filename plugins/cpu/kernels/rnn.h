/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM, GRU and RNN: attributes, the sizes of one call, and where rows of X and Y lie in both layouts.
 */
#ifndef CPU_KERNELS_RNN_H
#define CPU_KERNELS_RNN_H

#include "cpu/kernels/support.h"

enum { CPU_RNN = 0, CPU_GRU = 1, CPU_LSTM = 2 };

typedef struct cpu_activation {
    uint32_t function;
    float alpha, beta;
} cpu_activation;

typedef struct cpu_rnn_state {
    uint32_t kind, gates, directions;
    bool reverse[2];
    bool input_forget, linear_before_reset, batch_first;
    bool usual; /* default activations, no clip */
    float clip;
    cpu_activation activations[2][3];
} cpu_rnn_state;

partita_status cpu_rnn_read(const cpu_node *node, const ptp_host *host, cpu_rnn_state *state);

typedef struct cpu_rnn_sizes {
    uint64_t steps, batch, input, hidden;
} cpu_rnn_sizes;

/* Checks every tensor of the call against the others. */
partita_status cpu_rnn_sizes_of(const cpu_call *call, const cpu_rnn_state *state, cpu_rnn_sizes *sizes);
uint64_t cpu_rnn_x_row(const cpu_rnn_state *state, const cpu_rnn_sizes *sizes, uint64_t t, uint64_t b);
uint64_t cpu_rnn_y_row(const cpu_rnn_state *state, const cpu_rnn_sizes *sizes, uint64_t t, uint64_t d, uint64_t b);
uint64_t cpu_rnn_state_row(const cpu_rnn_state *state, const cpu_rnn_sizes *sizes, uint64_t d, uint64_t b);
/* Steps of batch row b. */
uint64_t cpu_rnn_length(const cpu_call *call, const cpu_rnn_sizes *sizes, uint64_t b);

/* Default gates by vectors: `gates` holds the sums of one row. */
typedef struct cpu_rnn_vectors {
    /* gates [4 * n] in order i o f c; c and h [n] are read and written; p [3 * n] peepholes or NULL. */
    void (*lstm)(uint64_t n, const float *gates, const float *p, float *c, float *h);
    void (*sigmoid)(uint64_t n, float *x);
    void (*tanh)(uint64_t n, float *x);
} cpu_rnn_vectors;
extern const cpu_rnn_vectors cpu_rnn_baseline, cpu_rnn_avx2, cpu_rnn_avx512;

#endif
