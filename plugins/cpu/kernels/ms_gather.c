/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GatherBlockQuantized: rows of a table of small codes are looked up and dequantised. An item is one index.
 */
#include "cpu/kernels/support.h"

typedef struct gather_state {
    int64_t gather_axis, axis, block, bits;
} gather_state;

/* The table as elements: packed bytes are `each` elements along the last dim. */
typedef struct table {
    uint32_t rank, gather, axis, each;
    int64_t dims[CPU_MAX_RANK], scale_steps[CPU_MAX_RANK];
    uint64_t block, blocks, outer, inner, rows; /* around the gathered axis */
} table;

static partita_status gather_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    gather_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->gather_axis = cpu_attr_int(node, "gather_axis", 0);
    state->axis = cpu_attr_int(node, "quantize_axis", 1);
    state->block = cpu_attr_int(node, "block_size", 128);
    state->bits = cpu_attr_int(node, "bits", 4);
    return PARTITA_OK;
}

static bool gather_claim(const cpu_node *node, ptp_answer *answer) {
    int64_t bits = cpu_attr_int(node, "bits", 4), block = cpu_attr_int(node, "block_size", 128);
    partita_dtype index = cpu_input_dtype(node, 1), scale = cpu_input_dtype(node, 2);
    if (cpu_input_dtype(node, 0) == PARTITA_UINT8 && bits != 2 && bits != 4 && bits != 8)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "bits %lld", (long long)bits);
    if (block < 0 || (block & (block - 1)) != 0)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "block_size %lld", (long long)block);
    if (index != PARTITA_INT32 && index != PARTITA_INT64)
        return cpu_refuse(answer, PARTITA_REASON_DTYPE, "indices of %s", cpu_dtype_name(index));
    if (scale >= 64 || (CPU_FLOATS >> scale & 1) == 0)
        return cpu_refuse(answer, PARTITA_REASON_DTYPE, "scales of %s", cpu_dtype_name(scale));
    return true;
}

static partita_status table_of(const cpu_call *call, table *t) {
    const gather_state *state = call->state;
    const cpu_tensor *data = &call->in[0], *scales = &call->in[2], *zeros = &call->in[3];
    partita_status status = cpu_axis(call, state->gather_axis, data->rank, &t->gather);
    if (status == PARTITA_OK) status = cpu_axis(call, state->axis, data->rank, &t->axis);
    if (status != PARTITA_OK) return status;
    t->rank = data->rank;
    t->each = data->dtype == PARTITA_UINT8 ? (uint32_t)(8 / state->bits) : 1;
    memcpy(t->dims, data->dims, t->rank * sizeof(int64_t));
    t->dims[t->rank - 1] *= t->each;
    int64_t along = t->dims[t->axis];
    t->block = state->block > 0 ? (uint64_t)state->block : (uint64_t)(along > 0 ? along : 1);
    t->blocks = ((uint64_t)along + t->block - 1) / t->block;
    int64_t step = 1;
    bool fits = scales->rank == t->rank && (t->each == 1 || t->gather != t->rank - 1);
    for (uint32_t d = t->rank; fits && d-- > 0;) {
        int64_t wanted = d == t->axis ? (int64_t)t->blocks : t->dims[d];
        fits = scales->dims[d] == wanted || scales->dims[d] == 1;
        t->scale_steps[d] = scales->dims[d] == 1 ? 0 : step;
        step *= scales->dims[d];
    }
    if (fits && cpu_has_input(call, 3)) {
        uint64_t packed = t->each > 1 && scales->rank > 0
                              ? scales->count /
                                    (uint64_t)(scales->dims[t->rank - 1] > 0 ? scales->dims[t->rank - 1] : 1) *
                                    (uint64_t)((scales->dims[t->rank - 1] + t->each - 1) / t->each)
                              : scales->count;
        fits = zeros->dtype == data->dtype && zeros->count == packed;
    }
    if (!fits) return cpu_fail(call->host, PARTITA_BAD_INPUT, "scales and zero points do not fit the data's blocks");
    t->rows = (uint64_t)t->dims[t->gather];
    t->outer = cpu_extent(t->dims, 0, t->gather);
    t->inner = cpu_extent(t->dims, t->gather + 1, t->rank);
    if (call->out[0].count != t->outer * call->in[1].count * t->inner)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than what is gathered");
    return PARTITA_OK;
}

static float code_at(const cpu_tensor *t, int64_t bits, uint64_t i) {
    float value;
    if (t->dtype != PARTITA_UINT8) {
        cpu_load_floats(t->dtype, t->data, i, 1, &value);
        return value;
    }
    uint64_t bit = i * (uint64_t)bits;
    return (float)(((const uint8_t *)t->data)[bit / 8] >> bit % 8 & ((1 << bits) - 1));
}

/* Zero points of bytes are packed by rows of the last dim. */
static float zero_of(const cpu_call *call, const table *t, uint64_t scale) {
    const gather_state *state = call->state;
    bool bytes = call->in[0].dtype == PARTITA_UINT8;
    if (!cpu_has_input(call, 3)) return bytes ? (float)(1 << (state->bits - 1)) : 0;
    uint64_t width = (uint64_t)call->in[2].dims[t->rank - 1], row_codes = (width + t->each - 1) / t->each * t->each;
    return code_at(&call->in[3], state->bits, scale / width * row_codes + scale % width);
}

static float element_at(const cpu_call *call, const table *t, uint64_t element) {
    uint64_t rest = element, scale = 0;
    float factor;
    for (uint32_t d = t->rank; d-- > 0; rest /= (uint64_t)t->dims[d]) {
        uint64_t at = rest % (uint64_t)t->dims[d];
        scale += (d == t->axis ? at / t->block : at) * (uint64_t)t->scale_steps[d];
    }
    cpu_load_floats(call->in[2].dtype, call->in[2].data, scale, 1, &factor);
    return (code_at(&call->in[0], ((const gather_state *)call->state)->bits, element) - zero_of(call, t, scale)) *
           factor;
}

static uint64_t gather_items(const cpu_call *call) { return call->in[1].count; }

/* An index outside of the table gives zeros. */
static partita_status gather_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_tensor *out = &call->out[0];
    table t;
    (void)worker;
    partita_status status = table_of(call, &t);
    if (status != PARTITA_OK) return status;
    for (uint64_t item = begin; item < end && item < call->in[1].count; item++) {
        int64_t row = cpu_index(&call->in[1], item);
        if (row < 0) row += (int64_t)t.rows;
        bool inside = row >= 0 && row < (int64_t)t.rows;
        for (uint64_t o = 0; o < t.outer; o++) {
            for (uint64_t i = 0; i < t.inner; i++) {
                float value = inside ? element_at(call, &t, (o * t.rows + (uint64_t)row) * t.inner + i) : 0;
                cpu_store_floats(out->dtype, out->data, (o * call->in[1].count + item) * t.inner + i, 1, &value);
            }
        }
    }
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_ms_gather[] = {
    {.op = "GatherBlockQuantized",
     .domain = "com.microsoft",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(UINT8) | CPU_TYPE(UINT4) | CPU_TYPE(INT4) | CPU_FLOAT8 | CPU_TYPE(FLOAT4E2M1),
     .reference = true,
     .claim = gather_claim,
     .prepare = gather_prepare,
     .release = cpu_free,
     .items = gather_items,
     .run = gather_run},
};
const uint32_t cpu_kernels_ms_gather_count = sizeof(cpu_kernels_ms_gather) / sizeof(cpu_kernels_ms_gather[0]);
