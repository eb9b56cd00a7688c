/* SPDX-License-Identifier: Apache-2.0 */
/* The file of seeds that seeds.py wrote: "PTF1", then per operator its domain, name and seeds; all numbers u32. */
#include "fuzz.h"
#include <errno.h>

typedef struct reader {
    const uint8_t *at;
    uint64_t left;
    bool bad;
} reader;

static const uint8_t *take(reader *r, uint64_t n) {
    if (r->bad || n > r->left) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *at = r->at;
    r->at += n;
    r->left -= n;
    return at;
}

static uint32_t take_u32(reader *r) {
    const uint8_t *at = take(r, 4);
    uint32_t value = 0;
    if (at) memcpy(&value, at, 4);
    return value;
}

static partita_str take_text(reader *r) {
    uint32_t size = take_u32(r);
    return (partita_str){(const char *)take(r, size), size};
}

static void take_seed(reader *r, pt_arena *arena, fuzz_seed *seed) {
    seed->size = take_u32(r);
    seed->input_count = take_u32(r);
    seed->model = take(r, seed->size);
    seed->inputs = r->bad ? NULL : pt_arena_array(arena, seed->input_count + 1, sizeof(*seed->inputs));
    for (uint32_t i = 0; seed->inputs && i < seed->input_count; i++) {
        seed->inputs[i].kind = take_u32(r);
        seed->inputs[i].size = take_u32(r);
        seed->inputs[i].data = take(r, seed->inputs[i].size);
    }
    if (!seed->inputs) r->bad = true;
}

static partita_status read_bytes(const char *path, uint8_t **out_bytes, uint64_t *out_size) {
    FILE *file = fopen(path, "rb");
    if (!file) return pt_fail(PARTITA_IO, "%s: %s", path, strerror(errno));
    partita_status status = PARTITA_OK;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *bytes = size > 0 ? pt_malloc((size_t)size) : NULL;
    if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        pt_free(bytes);
        status = pt_fail(PARTITA_IO, "%s: cannot be read", path);
    } else {
        *out_bytes = bytes;
        *out_size = (uint64_t)size;
    }
    fclose(file);
    return status;
}

partita_status fuzz_corpus_read(const char *path, fuzz_corpus *out_corpus) {
    uint64_t size = 0;
    fuzz_corpus c = {0};
    partita_status status = read_bytes(path, &c.bytes, &size);
    if (status != PARTITA_OK) return status;
    reader r = {c.bytes, size, false};
    const uint8_t *magic = take(&r, 4);
    if (!magic || memcmp(magic, "PTF1", 4)) r.bad = true;
    c.operator_count = take_u32(&r);
    c.operators = r.bad ? NULL : pt_arena_array(&c.arena, c.operator_count, sizeof(*c.operators));
    for (uint32_t i = 0; c.operators && i < c.operator_count && !r.bad; i++) {
        fuzz_operator *op = &c.operators[i];
        op->domain = take_text(&r);
        op->op = take_text(&r);
        op->seed_count = take_u32(&r);
        op->seeds = r.bad ? NULL : pt_arena_array(&c.arena, op->seed_count + 1, sizeof(*op->seeds));
        for (uint32_t k = 0; op->seeds && k < op->seed_count; k++) take_seed(&r, &c.arena, &op->seeds[k]);
    }
    if (r.bad || !c.operators) {
        fuzz_corpus_deinit(&c);
        return pt_fail(PARTITA_IO, "%s: no file of seeds", path);
    }
    *out_corpus = c;
    return PARTITA_OK;
}

void fuzz_corpus_deinit(fuzz_corpus *corpus) {
    pt_arena_deinit(&corpus->arena);
    pt_free(corpus->bytes);
    *corpus = (fuzz_corpus){0};
}
