/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MurmurHash3 of com.microsoft, which hashes features by their names: the x86 variant of 32 bits of each text's or
 * number's bytes.
 */
#include "cpu/kernels/reference.h"

static inline uint32_t turned(uint32_t x, int by) { return x << by | x >> (32 - by); }

static inline uint32_t mixed(uint32_t block) { return turned(block * 0xcc9e2d51u, 15) * 0x1b873593u; }

static uint32_t murmur(const unsigned char *bytes, uint64_t size, uint32_t hash) {
    uint64_t i = 0;
    uint32_t rest = 0;
    for (; i + 4 <= size; i += 4) {
        uint32_t block =
            bytes[i] | (uint32_t)bytes[i + 1] << 8 | (uint32_t)bytes[i + 2] << 16 | (uint32_t)bytes[i + 3] << 24;
        hash = turned(hash ^ mixed(block), 13) * 5 + 0xe6546b64u;
    }
    for (uint64_t k = size; k > i; k--) rest = rest << 8 | bytes[k - 1];
    hash ^= mixed(rest);
    hash ^= (uint32_t)size;
    hash = (hash ^ hash >> 16) * 0x85ebca6bu;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
    return hash ^ hash >> 16;
}

static partita_status murmur_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    uint32_t *seed = cpu_alloc(host, sizeof(*seed));
    *out_state = seed;
    if (seed == NULL) return PARTITA_OUT_OF_MEMORY;
    *seed = (uint32_t)cpu_attr_int(node, "seed", 0);
    return PARTITA_OK;
}

static partita_status murmur_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cpu_tensor *x = &call->in[0];
    const uint32_t seed = *(const uint32_t *)call->state;
    cpu_strings strings = {0};
    partita_status status = cpu_expect_like(call, 0, x);
    if (status == PARTITA_OK && x->dtype == PARTITA_STRING) status = cpu_strings_of(call, x, &strings);
    if (status != PARTITA_OK) return status;
    uint32_t *out = call->out[0].data; /* of int32: the same bits */
    uint64_t width = x->dtype == PARTITA_STRING ? 0 : cpu_size(x);
    for (uint64_t i = 0; i < x->count; i++) {
        partita_str text =
            width == 0 ? cpu_string_at(&strings, i) : (partita_str){(const char *)x->data + i * width, width};
        out[i] = murmur((const unsigned char *)text.data, text.size, seed);
    }
    return status;
}

const cpu_kernel cpu_kernels_hash[] = {
    {.op = "MurmurHash3",
     .domain = "com.microsoft",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(STRING) | CPU_TYPE(INT32) | CPU_TYPE(UINT32) | CPU_TYPE(INT64) | CPU_TYPE(UINT64) |
              CPU_TYPE(FLOAT32) | CPU_TYPE(FLOAT64),
     .reference = true,
     .prepare = murmur_prepare,
     .release = cpu_free,
     .run = murmur_run},
};
const uint32_t cpu_kernels_hash_count = sizeof(cpu_kernels_hash) / sizeof(cpu_kernels_hash[0]);
