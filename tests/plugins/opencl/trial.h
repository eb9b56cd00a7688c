/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One part with its inputs and what must come out, built by a function per case: the expected numbers are written by
 * plain C loops in the case itself. The same cases run on a device and, as texts, through the compilers of the other
 * APIs.
 */
#ifndef TESTS_OPENCL_TRIAL_H
#define TESTS_OPENCL_TRIAL_H

#include "plugins/block_build.h"
#include <math.h>
#include <stdbool.h>

typedef struct trial {
    block_build block;
    void *data[BB_MAX]; /* by value: what goes in, or must come out */
    uint64_t elements[BB_MAX];
    uint32_t seed;
} trial;

typedef struct trial_case {
    const char *name;
    void (*build)(trial *t);
} trial_case;

extern const trial_case trial_cases[];
extern const unsigned trial_case_count;

/* cases_*.c */
#define DECLARE_CASES(family)                                                                                          \
    extern const trial_case cases_##family[];                                                                          \
    extern const unsigned cases_##family##_count;
DECLARE_CASES(elementwise)
DECLARE_CASES(move)
DECLARE_CASES(compute)

static inline float trial_random(trial *t) {
    t->seed = t->seed * 1664525u + 1013904223u;
    return (float)(t->seed >> 8) / (float)(1 << 23) - 1.0f; /* in [-1, 1) */
}

typedef struct dims8 {
    int32_t rank;
    int64_t dims[8];
} dims8;
#define DIMS(...)                                                                                                      \
    (dims8) {                                                                                                          \
        (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), { __VA_ARGS__ }                                 \
    }
#define SCALAR_DIMS                                                                                                    \
    (dims8) {                                                                                                          \
        0, { 0 }                                                                                                       \
    }

static inline uint64_t trial_count(dims8 d) {
    uint64_t n = 1;
    for (int32_t i = 0; i < d.rank; i++) n *= (uint64_t)d.dims[i];
    return n;
}

static inline void trial_store(trial *t, uint32_t id, partita_dtype dtype, dims8 d, bool random) {
    uint64_t n = trial_count(d);
    t->elements[id] = n;
    t->data[id] = calloc(n + 1, 8);
    assert(t->data[id]);
    for (uint64_t i = 0; i < n && random; i++) {
        float v = trial_random(t);
        switch (dtype) {
        case PARTITA_FLOAT32: ((float *)t->data[id])[i] = v; break;
        case PARTITA_INT64: ((int64_t *)t->data[id])[i] = (int64_t)(v * 20); break;
        case PARTITA_INT32: ((int32_t *)t->data[id])[i] = (int32_t)(v * 20); break;
        case PARTITA_BOOL: ((uint8_t *)t->data[id])[i] = v > 0; break;
        default: ((uint8_t *)t->data[id])[i] = (uint8_t)(v * 100 + 100); break;
        }
    }
}

/* An input, filled at random. */
static inline uint32_t trial_in(trial *t, partita_dtype dtype, dims8 d) {
    uint32_t id = bb_input(&t->block, "in", dtype, d.rank, d.dims);
    trial_store(t, id, dtype, d, true);
    return id;
}
/* A constant of given bytes, or filled at random when data is NULL. */
static inline uint32_t trial_constant(trial *t, partita_dtype dtype, dims8 d, const void *data) {
    void *copy = NULL;
    uint32_t id = t->block.value_count;
    trial_store(t, id, dtype, d, data == NULL);
    copy = t->data[id];
    if (data) memcpy(copy, data, trial_count(d) * bb_dtype_bytes(dtype));
    return bb_constant(&t->block, "constant", dtype, d.rank, d.dims, copy);
}
static inline uint32_t trial_ints(trial *t, int64_t n, const int64_t *values) {
    return trial_constant(t, PARTITA_INT64, DIMS(n), values);
}
/* An output of the part. */
static inline uint32_t trial_out(trial *t, partita_dtype dtype, dims8 d) {
    uint32_t id = bb_value(&t->block, "out", dtype, d.rank, d.dims);
    trial_store(t, id, dtype, d, false);
    return bb_output(&t->block, id);
}
/* A value inside. */
static inline uint32_t trial_inner(trial *t, partita_dtype dtype, dims8 d) {
    return bb_value(&t->block, "inner", dtype, d.rank, d.dims);
}
static inline void trial_node(trial *t, const char *op, int32_t since, uint32_t a, uint32_t b, uint32_t c,
                              uint32_t out) {
    uint32_t inputs[3] = {a, b, c}, n = 3;
    while (n > 0 && inputs[n - 1] == PARTITA_NONE) n--;
    bb_node(&t->block, op, since, inputs, n, &out, 1);
}
#define NONE       PARTITA_NONE
#define FLOATS(id) ((float *)t->data[id])
#define INT64S(id) ((int64_t *)t->data[id])
#define INT32S(id) ((int32_t *)t->data[id])
#define BYTES(id)  ((uint8_t *)t->data[id])

static inline void trial_init(trial *t) {
    memset(t, 0, sizeof(*t));
    bb_init(&t->block);
    t->seed = 7;
}
static inline void trial_free(trial *t) {
    for (uint32_t i = 0; i < BB_MAX; i++) free(t->data[i]);
    bb_free(&t->block);
}

#endif
