/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MatMulDequantised, of the domain `cpu`: A times the result of a DequantizeLinear of constant weights [K, N], which no
 * model names; the program makes it of the two operators. The weights are brought into the layout of MatMulNBits once,
 * and A is rounded as there.
 */
#include "cpu/kernels/ms_nbits.h"

#define BLOCK 32 /* where the scale is one for all or one for each column */

enum { IN_A, IN_W, IN_SCALE, IN_ZERO, IN_BIAS };

typedef struct state {
    cpu_nbits nbits; /* first: the call's state */
    uint8_t *codes;
    float *scales, *zeros;
    uint64_t blocks;
} state;

/* Element i of integers of 2, 4 or 8 bits. */
static int32_t code_at(const cpu_tensor *t, uint64_t i) {
    uint32_t bits = cpu_dtype_bits(t->dtype);
    uint64_t bit = i * bits;
    uint32_t code = ((const uint8_t *)t->data)[bit / 8] >> bit % 8 & ((1u << bits) - 1);
    bool is_signed = t->dtype == PARTITA_INT8 || t->dtype == PARTITA_INT4 || t->dtype == PARTITA_INT2;
    return is_signed && code >> (bits - 1) != 0 ? (int32_t)code - (1 << bits) : (int32_t)code;
}

static int32_t offset_of(partita_dtype dtype) {
    return dtype == PARTITA_INT8 ? 128 : dtype == PARTITA_INT4 ? 8 : dtype == PARTITA_INT2 ? 2 : 0;
}

/* Codes without sign, column by column, each block from a whole byte on. */
static void weights_turn(state *s, const cpu_tensor *w, const cpu_tensor *scale, const cpu_tensor *zero,
                         int64_t block_size) {
    uint64_t n = (uint64_t)s->nbits.n, k = (uint64_t)s->nbits.k, block = (uint64_t)s->nbits.block;
    uint64_t bits = (uint64_t)s->nbits.bits, blob = block * bits / 8;
    int32_t offset = offset_of(w->dtype);
    for (uint64_t column = 0; column < n; column++) {
        for (uint64_t b = 0; b < s->blocks; b++) {
            uint64_t from = block_size > 0 ? b * n + column : scale->count == 1 ? 0 : column;
            int32_t z = zero->kind == PARTITA_KIND_NONE ? 0 : code_at(zero, from);
            s->scales[column * s->blocks + b] = ((const float *)scale->data)[from];
            s->zeros[column * s->blocks + b] = (float)(z + offset);
        }
        for (uint64_t i = 0; i < k; i++) {
            uint64_t bit = i % block * bits;
            uint8_t *to = s->codes + (column * s->blocks + i / block) * blob + bit / 8;
            *to = (uint8_t)(*to | (uint32_t)(code_at(w, i * n + column) + offset) << bit % 8);
        }
    }
}

static bool dequantised_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row w;
    int64_t block = cpu_attr_int(node, "block_size", 0);
    if (!cpu_node_input(node, IN_W, &w) || w.rank != 2 || (w.flags & PTP_VALUE_CONSTANT) == 0)
        return cpu_refuse(answer, PARTITA_REASON_RANK, "the weights are no constant matrix");
    if (block != 0 && (block < 16 || block > 256 || (block & (block - 1)) != 0))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "block_size %lld", (long long)block);
    return true;
}

static void dequantised_release(const ptp_host *host, void *memory) {
    state *s = memory;
    if (s != NULL) {
        cpu_free(host, s->codes);
        cpu_free(host, s->scales);
        cpu_free(host, s->zeros);
    }
    cpu_free(host, s);
}

static partita_status dequantised_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    const cpu_tensor *w = &node->constants[IN_W], *scale = &node->constants[IN_SCALE], none = {0};
    const cpu_tensor *zero = node->row.inputs.count > IN_ZERO ? &node->constants[IN_ZERO] : &none;
    int64_t block_size = cpu_attr_int(node, "block_size", 0);
    state *s = cpu_alloc(host, sizeof(*s));
    *out_state = s;
    if (s == NULL) return PARTITA_OUT_OF_MEMORY;
    s->nbits = (cpu_nbits){.k = w->dims[0],
                           .n = w->dims[1],
                           .block = block_size > 0 ? block_size : BLOCK,
                           .bits = cpu_dtype_bits(w->dtype),
                           .rounds = true,
                           .micro = cpu_gemm_micro_of(node->level)};
    s->nbits.rounds = s->nbits.bits != 2 || s->nbits.block >= 32;
    s->blocks = cpu_blocks((uint64_t)s->nbits.k, (uint64_t)s->nbits.block);
    uint64_t n = (uint64_t)s->nbits.n, all = n * s->blocks;
    uint64_t fits = block_size > 0 ? all : scale->count == 1 ? 1 : n;
    if (scale->count != fits || (zero->kind != PARTITA_KIND_NONE && zero->count != fits) || n == 0 || s->nbits.k == 0)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "scale and zero point do not fit the weights");
    s->codes = cpu_alloc(host, all * (uint64_t)(s->nbits.block * s->nbits.bits / 8));
    s->scales = cpu_alloc(host, all * sizeof(float));
    s->zeros = cpu_alloc(host, all * sizeof(float));
    if (s->codes == NULL || s->scales == NULL || s->zeros == NULL) return PARTITA_OUT_OF_MEMORY;
    weights_turn(s, w, scale, zero, block_size);
    return PARTITA_OK;
}

/* The call as MatMulNBits has it. */
static cpu_call call_of(const cpu_call *call, cpu_tensor *in) {
    const state *s = call->state;
    cpu_call made = *call;
    uint64_t all = (uint64_t)s->nbits.n * s->blocks;
    memset(in, 0, sizeof(*in) * CPU_NBITS_INPUTS);
    in[CPU_NBITS_A] = call->in[IN_A];
    in[CPU_NBITS_B] = (cpu_tensor){.kind = PARTITA_KIND_TENSOR,
                                   .dtype = PARTITA_UINT8,
                                   .count = all * (uint64_t)(s->nbits.block * s->nbits.bits / 8),
                                   .data = s->codes};
    in[CPU_NBITS_SCALES] =
        (cpu_tensor){.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .count = all, .data = s->scales};
    in[CPU_NBITS_ZEROS] =
        (cpu_tensor){.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_FLOAT32, .count = all, .data = s->zeros};
    if (cpu_has_input(call, IN_BIAS)) in[CPU_NBITS_BIAS] = call->in[IN_BIAS];
    made.in = in;
    made.in_count = CPU_NBITS_INPUTS;
    return made;
}

static partita_status dequantised_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    cpu_tensor in[CPU_NBITS_INPUTS];
    cpu_call made = call_of(call, in);
    return cpu_nbits_run(&made, begin, end, worker);
}

const cpu_kernel cpu_kernels_dequantised[] = {
    {.op = "MatMulDequantised",
     .domain = "cpu",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(FLOAT32),
     .claim = dequantised_claim,
     .prepare = dequantised_prepare,
     .release = dequantised_release,
     .scratch = cpu_nbits_scratch,
     .items = cpu_nbits_items,
     .run = dequantised_run},
};
const uint32_t cpu_kernels_dequantised_count = sizeof(cpu_kernels_dequantised) / sizeof(cpu_kernels_dequantised[0]);
