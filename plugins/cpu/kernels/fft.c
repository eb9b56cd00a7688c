/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fft.h. Passes go from one buffer to the other in the order of Stockham, so nothing is reversed at the end. All
 * roots are taken from the first octant of the circle, where the library's sine and cosine are right to the last place.
 */
#include "cpu/kernels/fft.h"

#include <math.h>
#include <string.h>

#define LARGEST_RADIX 13
#define LARGEST       (UINT64_C(1) << 40) /* so that no index leaves 63 bits */

typedef struct single_complex {
    float re, im;
} single_complex;

#define REAL    double
#define COMPLEX cpu_complex
#define NAME(x) x##_double
#include "cpu/kernels/fft_passes.inc"
#undef REAL
#undef COMPLEX
#undef NAME
#define REAL    float
#define COMPLEX single_complex
#define NAME(x) x##_single
#include "cpu/kernels/fft_passes.inc"

/* exp(-2 pi i k / n) for k < n. */
static cpu_complex root_of(uint64_t k, uint64_t n) {
    uint64_t eighth = 8 * k / n, rest = 8 * k - eighth * n; /* the angle is (eighth + rest / n) * pi / 4 */
    if (eighth & 1u) rest = n - rest;
    double angle = 0.78539816339744830962 * ((double)rest / (double)n), c = cos(angle), s = sin(angle);
    double re[8] = {c, s, -s, -c, -c, -s, s, c}, im[8] = {s, c, c, s, -s, -c, -c, -s};
    return (cpu_complex){re[eighth], -im[eighth]};
}

/* The radices of n; 0 when it has a large prime. */
static uint32_t factor(uint64_t n, uint8_t *radix) {
    static const uint8_t primes[] = {4, 2, 3, 5, 7, 11, LARGEST_RADIX};
    uint32_t count = 0;
    for (uint32_t i = 0; i < sizeof(primes); i++) {
        for (; n % primes[i] == 0; n /= primes[i]) radix[count++] = primes[i];
    }
    return n == 1 ? count : 0;
}

static uint64_t convolution_of(uint64_t n) {
    uint64_t m = 1;
    while (m < 2 * n - 1) m *= 2;
    return m;
}

uint64_t cpu_fft_room(uint64_t n) {
    uint8_t radix[CPU_FFT_STEPS];
    if (n > LARGEST) return 0;
    if (n == 1 || factor(n, radix) > 0) return 2 * n;
    return n + 4 * convolution_of(n);
}

static single_complex narrowed(cpu_complex c) { return (single_complex){(float)c.re, (float)c.im}; }

void cpu_fft_init(cpu_fft *fft, uint64_t n, bool single, cpu_complex *memory) {
    *fft = (cpu_fft){.n = n, .single = single};
    fft->steps = factor(n, fft->radix);
    if (n == 1 || fft->steps > 0) {
        for (uint64_t k = 0; k < n; k++) {
            cpu_complex root = root_of(k, n);
            if (single)
                ((single_complex *)memory)[k] = narrowed(root);
            else
                memory[k] = root;
        }
        fft->roots = memory;
        fft->work = memory + n;
        return;
    }
    uint64_t m = convolution_of(n), square = 0; /* k^2 mod 2n */
    uint8_t radix[CPU_FFT_STEPS];
    cpu_complex *chirp = memory, *filter = chirp + n, *roots = filter + m, *work = roots + m;
    for (uint64_t k = 0; k < n; k++) {
        chirp[k] = root_of(square, 2 * n);
        square = (square + 2 * k + 1) % (2 * n);
    }
    for (uint64_t k = 0; k < m; k++) {
        filter[k] = (cpu_complex){0, 0};
        roots[k] = root_of(k, m);
    }
    for (uint64_t k = 0; k < n; k++) {
        cpu_complex turned = {chirp[k].re / (double)m, -chirp[k].im / (double)m};
        filter[k] = turned;
        if (k > 0) filter[m - k] = turned;
    }
    passes_double(m, factor(m, radix), radix, roots, filter, work);
    fft->convolution = m;
    fft->chirp = chirp;
    fft->filter = filter;
    fft->inner_roots = roots;
    fft->work = work;
}

/* Numbers and roots of float32 take half of the room that there is. */
static void run_single(const cpu_fft *fft, cpu_complex *data) {
    single_complex *x = (single_complex *)fft->work;
    for (uint64_t k = 0; k < fft->n; k++) x[k] = narrowed(data[k]);
    passes_single(fft->n, fft->steps, fft->radix, (const single_complex *)fft->roots, x, x + fft->n);
    for (uint64_t k = 0; k < fft->n; k++) data[k] = (cpu_complex){(double)x[k].re, (double)x[k].im};
}

void cpu_fft_run(const cpu_fft *fft, cpu_complex *data) {
    uint64_t n = fft->n, m = fft->convolution;
    uint8_t radix[CPU_FFT_STEPS];
    if (m == 0) {
        if (fft->single)
            run_single(fft, data);
        else
            passes_double(n, fft->steps, fft->radix, fft->roots, data, fft->work);
        return;
    }
    cpu_complex *a = fft->work, *other = a + m;
    uint32_t steps = factor(m, radix);
    memset(a, 0, m * sizeof(*a));
    for (uint64_t k = 0; k < n; k++) a[k] = times_double(data[k], fft->chirp[k]);
    passes_double(m, steps, radix, fft->inner_roots, a, other);
    /* The way back is the way there of the conjugate. */
    for (uint64_t k = 0; k < m; k++) {
        a[k] = times_double(a[k], fft->filter[k]);
        a[k].im = -a[k].im;
    }
    passes_double(m, steps, radix, fft->inner_roots, a, other);
    for (uint64_t k = 0; k < n; k++) {
        a[k].im = -a[k].im;
        data[k] = times_double(a[k], fft->chirp[k]);
    }
}
