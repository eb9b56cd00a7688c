/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MatMulNBits: weights of 2, 4 or 8 bits in blocks along K with a scale and a zero point each. An item is a few columns
 * of the product: for few rows of A they are dequantised and multiplied one after the other, for more they become a
 * packed panel of the float product. The reference does the first in double. Where accuracy_level allows int8, A is
 * rounded to it first, as onnxruntime does.
 */
#include "cpu/kernels/ms_nbits.h"
#include "cpu/kernels/reference.h"

#define FEW_ROWS 6  /* of A */
#define ROUNDED  16 /* rows of A that are rounded at a time */

enum {
    IN_A = CPU_NBITS_A,
    IN_B = CPU_NBITS_B,
    IN_SCALES = CPU_NBITS_SCALES,
    IN_ZEROS = CPU_NBITS_ZEROS,
    IN_GROUPS = CPU_NBITS_GROUPS,
    IN_BIAS = CPU_NBITS_BIAS
};

static bool nbits_claim(const cpu_node *node, ptp_answer *answer) {
    int64_t bits = cpu_attr_int(node, "bits", 4), block = cpu_attr_int(node, "block_size", 0);
    ptp_value_row value;
    if (bits != 2 && bits != 4 && bits != 8)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "bits %lld", (long long)bits);
    if (block < 16 || block > INT32_MAX || (block & (block - 1)) != 0)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "block_size %lld", (long long)block);
    if (cpu_attr_int(node, "K", 0) < 1 || cpu_attr_int(node, "N", 0) < 1 || cpu_attr_int(node, "K", 0) > INT32_MAX ||
        cpu_attr_int(node, "N", 0) > INT32_MAX)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "K or N is no size");
    if (cpu_attr_int(node, "weight_prepacked", 0) != 0)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "weight_prepacked is another device's format");
    if (cpu_input_dtype(node, IN_B) != PARTITA_UINT8)
        return cpu_refuse(answer, PARTITA_REASON_DTYPE, "B is of %s", cpu_dtype_name(cpu_input_dtype(node, IN_B)));
    for (uint32_t i = IN_SCALES; i <= IN_BIAS; i++)
        if (cpu_node_input(node, i, &value) &&
            value.dtype != (i == IN_GROUPS ? PARTITA_INT32 : cpu_input_dtype(node, 0)) &&
            (i != IN_ZEROS || value.dtype != PARTITA_UINT8) && (i == IN_GROUPS || value.dtype != PARTITA_FLOAT32))
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input %u is of %s", i, cpu_dtype_name(value.dtype));
    return true;
}

static partita_status nbits_reference_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cpu_nbits *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->k = cpu_attr_int(node, "K", 0);
    state->n = cpu_attr_int(node, "N", 0);
    state->block = cpu_attr_int(node, "block_size", 0);
    state->bits = cpu_attr_int(node, "bits", 4);
    return PARTITA_OK;
}

static partita_status nbits_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_status status = nbits_reference_prepare(node, host, out_state);
    ptp_value_row zeros;
    if (status != PARTITA_OK) return status;
    cpu_nbits *state = *out_state;
    bool plain = !cpu_node_input(node, IN_GROUPS, &zeros) &&
                 (!cpu_node_input(node, IN_ZEROS, &zeros) || zeros.dtype == PARTITA_UINT8);
    state->micro = cpu_gemm_micro_of(node->level);
    state->rounds = plain && cpu_attr_int(node, "accuracy_level", 0) == 4 && state->block <= 256 &&
                    (state->bits != 2 || state->block >= 32);
    return PARTITA_OK;
}

static uint64_t blocks_of(const cpu_nbits *s) { return cpu_blocks((uint64_t)s->k, (uint64_t)s->block); }
static uint64_t blob_of(const cpu_nbits *s) { return (uint64_t)(s->block * s->bits / 8); }

/* ---- weights --------------------------------------------------------------------------------- */

static float zero_of(const cpu_call *call, uint64_t column, uint64_t block) {
    const cpu_nbits *s = call->state;
    float zero = (float)(1 << (s->bits - 1));
    if (!cpu_has_input(call, IN_ZEROS)) return zero;
    const cpu_tensor *zeros = &call->in[IN_ZEROS];
    uint64_t blocks = blocks_of(s);
    if (zeros->dtype != PARTITA_UINT8) {
        cpu_load_floats(zeros->dtype, zeros->data, column * blocks + block, 1, &zero);
        return zero;
    }
    uint64_t bytes = cpu_blocks(blocks * (uint64_t)s->bits, 8), bit = block * (uint64_t)s->bits;
    uint8_t packed = ((const uint8_t *)zeros->data)[column * bytes + bit / 8];
    return (float)(packed >> bit % 8 & ((1 << s->bits) - 1));
}

static void codes_4(const uint8_t *from, uint64_t n, float scale, float zero, float *to) {
    for (uint64_t i = 0; i < n / 2; i++) {
        to[2 * i] = ((float)(from[i] & 15) - zero) * scale;
        to[2 * i + 1] = ((float)(from[i] >> 4) - zero) * scale;
    }
    if (n % 2 != 0) to[n - 1] = ((float)(from[n / 2] & 15) - zero) * scale;
}
static void codes_8(const uint8_t *from, uint64_t n, float scale, float zero, float *to) {
    for (uint64_t i = 0; i < n; i++) to[i] = ((float)from[i] - zero) * scale;
}
static void codes_2(const uint8_t *from, uint64_t n, float scale, float zero, float *to) {
    for (uint64_t i = 0; i < n; i++) to[i] = ((float)(from[i / 4] >> 2 * (i % 4) & 3) - zero) * scale;
}

/* One element, whose scale is that of block `group`. */
static float grouped_at(const cpu_call *call, uint64_t column, uint64_t at, uint64_t group) {
    const cpu_nbits *s = call->state;
    uint64_t blocks = blocks_of(s), bit = at % (uint64_t)s->block * (uint64_t)s->bits;
    const uint8_t *blob =
        (const uint8_t *)call->in[IN_B].data + (column * blocks + at / (uint64_t)s->block) * blob_of(s);
    float scale;
    cpu_load_floats(call->in[IN_SCALES].dtype, call->in[IN_SCALES].data, column * blocks + group, 1, &scale);
    return ((float)(blob[bit / 8] >> bit % 8 & ((1 << s->bits) - 1)) - zero_of(call, column, group)) * scale;
}

/* The K weights of one column of the product. */
static void column_load(const cpu_call *call, uint64_t column, float *to) {
    const cpu_nbits *s = call->state;
    uint64_t k = (uint64_t)s->k, block = (uint64_t)s->block, blocks = blocks_of(s);
    if (cpu_has_input(call, IN_GROUPS)) {
        const int32_t *groups = call->in[IN_GROUPS].data;
        for (uint64_t i = 0; i < k; i++) to[i] = grouped_at(call, column, i, (uint64_t)groups[i]);
        return;
    }
    for (uint64_t b = 0; b < blocks; b++) {
        const uint8_t *blob = (const uint8_t *)call->in[IN_B].data + (column * blocks + b) * blob_of(s);
        uint64_t n = k - b * block < block ? k - b * block : block;
        float scale, zero = zero_of(call, column, b);
        cpu_load_floats(call->in[IN_SCALES].dtype, call->in[IN_SCALES].data, column * blocks + b, 1, &scale);
        (s->bits == 4 ? codes_4 : s->bits == 8 ? codes_8 : codes_2)(blob, n, scale, zero, to + b * block);
    }
}

/* ---- the call -------------------------------------------------------------------------------- */

static uint64_t rows_of(const cpu_call *call) {
    const cpu_nbits *s = call->state;
    return call->in[IN_A].count / (uint64_t)s->k;
}

static partita_status call_check(const cpu_call *call) {
    const cpu_nbits *s = call->state;
    const cpu_tensor *a = &call->in[IN_A], *zeros = &call->in[IN_ZEROS];
    uint64_t n = (uint64_t)s->n, blocks = blocks_of(s);
    if (a->rank == 0 || a->dims[a->rank - 1] != s->k)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the last dim of A is not K, %lld", (long long)s->k);
    if (call->out[0].count != rows_of(call) * n)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than the product");
    if (cpu_has_input(call, IN_BIAS) && call->in[IN_BIAS].count != n)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the bias has not N elements, %lld", (long long)s->n);
    if (call->in[IN_B].count == 0) return PARTITA_OK; /* left out: a product of zeros */
    if (call->in[IN_B].count != n * blocks * blob_of(s) || call->in[IN_SCALES].count != n * blocks)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "B and its scales are not of %lld columns of %llu blocks",
                        (long long)s->n, (unsigned long long)blocks);
    uint64_t packed = cpu_blocks(blocks * (uint64_t)s->bits, 8);
    if (cpu_has_input(call, IN_ZEROS) && zeros->count != n * (zeros->dtype == PARTITA_UINT8 ? packed : blocks))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the zero points do not fit B");
    if (!cpu_has_input(call, IN_GROUPS)) return PARTITA_OK;
    if (call->in[IN_GROUPS].count < (uint64_t)s->k)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "g_idx has not K elements, %lld", (long long)s->k);
    for (uint64_t i = 0; i < (uint64_t)s->k; i++) {
        int32_t group = ((const int32_t *)call->in[IN_GROUPS].data)[i];
        if (group < 0 || (uint64_t)group >= blocks)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "g_idx names block %d of %llu", group,
                            (unsigned long long)blocks);
    }
    return PARTITA_OK;
}

static float dot_float(const float *a, const float *b, uint64_t n) {
    float parts[16] = {0}, sum = 0;
    uint64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) parts[j] += a[i + (uint64_t)j] * b[i + (uint64_t)j];
    for (; i < n; i++) sum += a[i] * b[i];
    for (int j = 0; j < 16; j++) sum += parts[j];
    return sum;
}

static double dot_double(const float *a, const float *b, uint64_t n) {
    double sum = 0;
    for (uint64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Columns of an item, and floats of a worker's room: a column's weights, those of a panel, A's row and Y's. */
static uint64_t columns_each(const cpu_nbits *s) { return s->micro != NULL ? s->micro->columns : 16; }
static uint64_t worker_floats(const cpu_call *call) {
    const cpu_nbits *s = call->state;
    uint64_t k = (uint64_t)s->k, columns = columns_each(s), rows = rows_of(call);
    bool panel = s->micro != NULL && rows > FEW_ROWS;
    uint64_t rounded = !s->rounds ? 1 : panel ? ROUNDED : FEW_ROWS;
    return cpu_blocks(k * (panel ? 2 * columns : 1) + rounded * k + (panel ? columns : 0), 16) * 16;
}

uint64_t cpu_nbits_items(const cpu_call *call) {
    const cpu_nbits *s = call->state;
    return cpu_blocks((uint64_t)s->n, columns_each(s));
}

uint64_t cpu_nbits_scratch(const cpu_call *call) { return call->workers * worker_floats(call) * sizeof(float); }

/* Row m of A as floats: where it lies, or in the room. */
static const float *row_of(const cpu_call *call, uint64_t m, float *room) {
    const cpu_tensor *a = &call->in[IN_A];
    uint64_t k = (uint64_t)((const cpu_nbits *)call->state)->k;
    if (a->dtype == PARTITA_FLOAT32) return (const float *)a->data + m * k;
    cpu_load_floats(a->dtype, a->data, m * k, k, room);
    return room;
}

/* Each block of the row as multiples of a 127th of its largest element. */
static void row_round(const cpu_nbits *s, const float *a, float *to) {
    for (int64_t first = 0; first < s->k; first += s->block) {
        int64_t last = first + s->block < s->k ? first + s->block : s->k;
        float most = 0;
        for (int64_t i = first; i < last; i++) most = fabsf(a[i]) > most ? fabsf(a[i]) : most;
        float step = most / 127.0f, inverse = most > 0 ? 127.0f / most : 0;
        /* Adding 1.5 * 2^23 rounds. */
        for (int64_t i = first; i < last; i++) to[i] = ((a[i] * inverse + 12582912.0f) - 12582912.0f) * step;
    }
}

static float bias_of(const cpu_call *call, uint64_t column) {
    float bias = 0;
    if (cpu_has_input(call, IN_BIAS))
        cpu_load_floats(call->in[IN_BIAS].dtype, call->in[IN_BIAS].data, column, 1, &bias);
    return bias;
}

static void columns_few(const cpu_call *call, uint64_t first, uint64_t last, float *room) {
    const cpu_nbits *s = call->state;
    const cpu_tensor *y = &call->out[0];
    uint64_t k = (uint64_t)s->k, rows = rows_of(call);
    bool empty = call->in[IN_B].count == 0;
    for (uint64_t m = 0; s->rounds && m < rows; m++) row_round(s, row_of(call, m, NULL), room + (m + 1) * k);
    for (uint64_t column = first; column < last; column++) {
        if (!empty) column_load(call, column, room);
        double bias = (double)bias_of(call, column);
        for (uint64_t m = 0; m < rows; m++) {
            double sum = bias;
            const float *a = s->rounds ? room + (m + 1) * k : row_of(call, m, room + k);
            if (!empty) sum += s->micro != NULL ? (double)dot_float(a, room, k) : dot_double(a, room, k);
            cpu_store_doubles(y->dtype, y->data, m * (uint64_t)s->n + column, 1, &sum);
        }
    }
}

static void columns_panel(const cpu_call *call, uint64_t first, uint64_t last, float *room) {
    const cpu_nbits *s = call->state;
    const cpu_tensor *a = &call->in[IN_A];
    uint64_t k = (uint64_t)s->k, columns = columns_each(s), rows = rows_of(call), n = last - first;
    float *packed = room + k * columns, *biases = packed + k * columns;
    for (uint64_t i = 0; i < n; i++) {
        column_load(call, first + i, room + i * k);
        biases[i] = bias_of(call, first + i);
    }
    cpu_gemm_pack(s->micro, k, n, room, 1, (int64_t)k, packed);
    cpu_gemm gemm = {.micro = s->micro,
                     .m = rows,
                     .n = n,
                     .k = k,
                     .a = a->data,
                     .a_row = s->k,
                     .a_column = 1,
                     .packed = packed,
                     .c = (float *)call->out[0].data + first,
                     .c_row = s->n,
                     .alpha = 1,
                     .column_bias = biases};
    if (!s->rounds) {
        cpu_gemm_run(&gemm, 0, rows, 0, 1);
        return;
    }
    float *rounded = biases + columns;
    for (uint64_t m = 0; m < rows; m += ROUNDED) {
        gemm.m = rows - m < ROUNDED ? rows - m : ROUNDED;
        for (uint64_t i = 0; i < gemm.m; i++) row_round(s, row_of(call, m + i, NULL), rounded + i * k);
        gemm.a = rounded;
        gemm.c = (float *)call->out[0].data + m * (uint64_t)s->n + first;
        cpu_gemm_run(&gemm, 0, gemm.m, 0, 1);
    }
}

partita_status cpu_nbits_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_nbits *s = call->state;
    partita_status status = call_check(call);
    if (status != PARTITA_OK) return status;
    float *room = (float *)call->scratch + worker * worker_floats(call);
    bool panel = s->micro != NULL && rows_of(call) > FEW_ROWS && call->in[IN_B].count > 0;
    for (uint64_t item = begin; item < end; item++) {
        uint64_t first = item * columns_each(s), last = first + columns_each(s);
        if (last > (uint64_t)s->n) last = (uint64_t)s->n;
        (panel ? columns_panel : columns_few)(call, first, last, room);
    }
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_ms_nbits[] = {
    {.op = "MatMulNBits",
     .domain = "com.microsoft",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(FLOAT32) | CPU_HALVES,
     .reference = true,
     .claim = nbits_claim,
     .prepare = nbits_reference_prepare,
     .release = cpu_free,
     .scratch = cpu_nbits_scratch,
     .items = cpu_nbits_items,
     .run = cpu_nbits_run},
    {.op = "MatMulNBits",
     .domain = "com.microsoft",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(FLOAT32),
     .claim = nbits_claim,
     .prepare = nbits_prepare,
     .release = cpu_free,
     .scratch = cpu_nbits_scratch,
     .items = cpu_nbits_items,
     .run = cpu_nbits_run},
};
const uint32_t cpu_kernels_ms_nbits_count = sizeof(cpu_kernels_ms_nbits) / sizeof(cpu_kernels_ms_nbits[0]);
