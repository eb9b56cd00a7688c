/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The activation functions that LSTM, GRU and RNN name: name, whether it takes alpha and beta, and their defaults.
 */
#ifndef CPU_KERNELS_RNN_ACTIVATION_H
#define CPU_KERNELS_RNN_ACTIVATION_H

#define CPU_ACTIVATION_ROWS(X)                                                                                         \
    X(Sigmoid, false, false, 0, 0)                                                                                     \
    X(Tanh, false, false, 0, 0)                                                                                        \
    X(Relu, false, false, 0, 0)                                                                                        \
    X(Affine, true, true, 1, 0)                                                                                        \
    X(LeakyRelu, true, false, 0.01f, 0)                                                                                \
    X(ThresholdedRelu, true, false, 1, 0)                                                                              \
    X(ScaledTanh, true, true, 1, 1)                                                                                    \
    X(HardSigmoid, true, true, 0.2f, 0.5f)                                                                             \
    X(Elu, true, false, 1, 0)                                                                                          \
    X(Softsign, false, false, 0, 0)                                                                                    \
    X(Softplus, false, false, 0, 0)

enum {
#define X(name, has_alpha, has_beta, alpha, beta) ACTIVATION_##name,
    CPU_ACTIVATION_ROWS(X)
#undef X
};

#endif
