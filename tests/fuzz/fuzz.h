/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fuzzer of operators: seeds (models of few nodes with inputs), mutation by a seeded generator, one case through
 * the public API on one device, and processes that are watched.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "onnx/onnx-ml.pb-c.h"
#include "onnx/tensor_file.h"
#include <inttypes.h>
#include <partita/partita.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names that a mutated model gives its node, so that errors can be judged by them. */
#define FUZZ_NODE "fuzzed_node"

/* ---- random numbers: the same for a seed on every machine ---- */

typedef struct fuzz_rng {
    uint64_t state;
} fuzz_rng;
uint64_t fuzz_next(fuzz_rng *rng);
uint64_t fuzz_below(fuzz_rng *rng, uint64_t n); /* 0 for n 0 */
bool fuzz_chance(fuzz_rng *rng, uint32_t percent);

/* ---- corpus.c ---- */

typedef struct fuzz_input {
    partita_kind kind;
    const uint8_t *data;
    uint32_t size;
} fuzz_input;

typedef struct fuzz_seed {
    const uint8_t *model;
    uint32_t size, input_count;
    fuzz_input *inputs;
} fuzz_seed;

typedef struct fuzz_operator {
    partita_str domain, op;
    fuzz_seed *seeds;
    uint32_t seed_count;
} fuzz_operator;

typedef struct fuzz_corpus {
    pt_arena arena;
    uint8_t *bytes;
    fuzz_operator *operators;
    uint32_t operator_count;
} fuzz_corpus;
partita_status fuzz_corpus_read(const char *path, fuzz_corpus *out_corpus);
void fuzz_corpus_deinit(fuzz_corpus *corpus);

/* ---- a case: what mutation makes and the API gets ---- */

typedef struct fuzz_feed {
    const char *name; /* of the graph's input */
    pt_item item;
} fuzz_feed;

typedef struct fuzz_case {
    pt_arena *arena; /* of everything below */
    fuzz_rng rng;
    Onnx__ModelProto *model;
    Onnx__NodeProto *node; /* the operator's, in the graph itself */
    fuzz_feed *feeds;
    uint32_t feed_count;
    bool only_values; /* nothing but values, and shapes together, changed: the case may well be valid */
} fuzz_case;

/* Case `number` of an operator: a seed, mutated. False when the seed cannot be read. */
bool fuzz_case_make(const fuzz_operator *op, uint64_t seed, uint64_t number, pt_arena *arena, fuzz_case *out_case);
void fuzz_mutate_value(fuzz_case *c, pt_item *item); /* elements */
void fuzz_mutate_shape(fuzz_case *c, pt_item *item); /* dims, elements follow */
void fuzz_mutate_dtype(fuzz_case *c, pt_item *item); /* type, elements follow */
void fuzz_item_resize(fuzz_case *c, pt_item *item, const int64_t *dims, uint32_t rank);
/* Messages in an arena; freeing them does nothing. */
ProtobufCAllocator fuzz_allocator(pt_arena *arena);
/* The item as an initializer of the model. */
Onnx__TensorProto *fuzz_tensor_of(fuzz_case *c, const pt_item *item, const char *name);
void fuzz_mutate_attribute(fuzz_case *c, const fuzz_operator *op);
int64_t fuzz_extreme_int(fuzz_rng *rng);
double fuzz_extreme_float(fuzz_rng *rng);
partita_str fuzz_extreme_text(fuzz_rng *rng);

/* ---- case.c ---- */

typedef struct fuzz_result {
    partita_status status;
    char error[512];
    bool named; /* an error that says node and cause */
} fuzz_result;
/* Loads, plans, compiles and runs it on `device`. */
void fuzz_case_run(partita_context *context, const fuzz_case *c, const char *device, fuzz_result *out_result);
/* Writes model.onnx and input_N.pb into a folder, for looking at it. */
partita_status fuzz_case_write(const fuzz_case *c, const char *folder);

/* ---- watch.c ---- */

typedef struct fuzz_options {
    const fuzz_corpus *corpus;
    uint64_t seed, first, count; /* cases per operator */
    uint32_t batch, jobs, limit_s;
    const char *device;  /* NULL: cpu and reference in turn */
    const char *only;    /* operator, or NULL */
    bool verbose, leaks; /* leaks: look for them behind each case, not each batch */
} fuzz_options;
/* Runs all cases in processes of their own. The number of reports; prints a line for each operator. */
uint64_t fuzz_watch(const fuzz_options *options);

#endif
