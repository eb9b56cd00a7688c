/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The discrete Fourier transform of any length in double, in O(n log n): mixed radix for lengths of small primes,
 * Bluestein's convolution for the others. Own code, since Debian packages no BSD-like one in double.
 */
#ifndef CPU_KERNELS_FFT_H
#define CPU_KERNELS_FFT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cpu_complex {
    double re, im;
} cpu_complex;

#define CPU_FFT_STEPS 64

/* A transform of `n` points, n >= 1. Its tables lie in the caller's memory. */
typedef struct cpu_fft {
    uint64_t n;
    bool single;
    uint32_t steps; /* 0 with n > 1: by convolution */
    uint8_t radix[CPU_FFT_STEPS];
    const cpu_complex *roots;       /* exp(-2 pi i k / n) */
    uint64_t convolution;           /* its length, a power of two */
    const cpu_complex *chirp;       /* exp(-pi i k^2 / n) */
    const cpu_complex *filter;      /* the transformed chirp */
    const cpu_complex *inner_roots; /* of the convolution */
    cpu_complex *work;
} cpu_fft;

/* Complex numbers that a transform of n points needs; 0 when that is too many to count. */
uint64_t cpu_fft_room(uint64_t n);
/* `memory`: cpu_fft_room(n) of them. `single`: each step is rounded to float32, where no convolution is needed. */
void cpu_fft_init(cpu_fft *fft, uint64_t n, bool single, cpu_complex *memory);
/* Transforms `data` in place: exp(-2 pi i jk/n), not scaled. */
void cpu_fft_run(const cpu_fft *fft, cpu_complex *data);

#endif
