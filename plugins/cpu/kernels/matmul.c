/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference MatMul and Gemm: products in double, integers in 64 bits that wrap.
 */
#include "cpu/kernels/matmul.h"
#include "cpu/kernels/ms_fused.h"
#include "cpu/kernels/reference.h"

partita_status cpu_product_matmul(const cpu_call *call, const cpu_tensor *a, const cpu_tensor *b, cpu_product *out) {
    uint32_t a_lead = a->rank > 2 ? a->rank - 2 : 0, b_lead = b->rank > 2 ? b->rank - 2 : 0;
    int64_t a_step = 1, b_step = 1;
    *out = (cpu_product){.batches = 1, .batch_rank = a_lead > b_lead ? a_lead : b_lead};
    if (a->rank == 0 || b->rank == 0) return cpu_fail(call->host, PARTITA_BAD_INPUT, "an operand is a scalar");
    out->m = a->rank > 1 ? (uint64_t)a->dims[a->rank - 2] : 1;
    out->k = (uint64_t)a->dims[a->rank - 1];
    out->n = b->rank > 1 ? (uint64_t)b->dims[b->rank - 1] : 1;
    if ((uint64_t)b->dims[b->rank > 1 ? b->rank - 2 : 0] != out->k)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "inner dims differ: %lld and %lld", (long long)out->k,
                        (long long)b->dims[b->rank > 1 ? b->rank - 2 : 0]);
    out->a_row = (int64_t)out->k;
    out->a_column = 1;
    out->b_row = (int64_t)out->n;
    out->b_column = 1;
    a_step = (int64_t)(out->m * out->k);
    b_step = (int64_t)(out->k * out->n);
    for (uint32_t i = 0; i < out->batch_rank; i++) {
        uint32_t at = out->batch_rank - 1 - i;
        int64_t a_dim = i < a_lead ? a->dims[a_lead - 1 - i] : 1, b_dim = i < b_lead ? b->dims[b_lead - 1 - i] : 1;
        if (a_dim != b_dim && a_dim != 1 && b_dim != 1)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "leading dims %lld and %lld do not broadcast",
                            (long long)a_dim, (long long)b_dim);
        out->batch_dims[at] = a_dim == 1 ? b_dim : a_dim;
        out->a_batch[at] = a_dim == 1 ? 0 : a_step;
        out->b_batch[at] = b_dim == 1 ? 0 : b_step;
        a_step *= a_dim;
        b_step *= b_dim;
        out->batches *= (uint64_t)out->batch_dims[at];
    }
    return PARTITA_OK;
}

/* `dims` are those of the tensor with the last two exchanged. */
static bool dims_turn(cpu_tensor *tensor, bool turned, int64_t *dims) {
    if (!turned || tensor->rank < 2) return false;
    memcpy(dims, tensor->dims, tensor->rank * sizeof(int64_t));
    dims[tensor->rank - 1] = tensor->dims[tensor->rank - 2];
    dims[tensor->rank - 2] = tensor->dims[tensor->rank - 1];
    tensor->dims = dims;
    return true;
}

partita_status cpu_product_turned(const cpu_call *call, bool a_turned, bool b_turned, cpu_product *out) {
    cpu_tensor a = call->in[0], b = call->in[1];
    int64_t a_dims[CPU_MAX_RANK], b_dims[CPU_MAX_RANK];
    a_turned = dims_turn(&a, a_turned, a_dims);
    b_turned = dims_turn(&b, b_turned, b_dims);
    partita_status status = cpu_product_matmul(call, &a, &b, out);
    if (a_turned) out->a_row = 1, out->a_column = (int64_t)out->m;
    if (b_turned) out->b_row = 1, out->b_column = (int64_t)out->k;
    return status;
}

void cpu_product_batch(const cpu_product *product, uint64_t index, int64_t *out_a, int64_t *out_b) {
    *out_a = *out_b = 0;
    for (uint32_t i = product->batch_rank; i-- > 0;) {
        int64_t at = (int64_t)(index % (uint64_t)product->batch_dims[i]);
        index /= (uint64_t)product->batch_dims[i];
        *out_a += at * product->a_batch[i];
        *out_b += at * product->b_batch[i];
    }
}

#define PRODUCT(name, type)                                                                                            \
    static void name(const cpu_product *p, const type *a, const type *b, type *c) {                                    \
        for (uint64_t i = 0; i < p->m; i++) {                                                                          \
            for (uint64_t j = 0; j < p->n; j++) {                                                                      \
                type sum = 0;                                                                                          \
                for (uint64_t k = 0; k < p->k; k++)                                                                    \
                    sum += a[(int64_t)i * p->a_row + (int64_t)k * p->a_column] *                                       \
                           b[(int64_t)k * p->b_row + (int64_t)j * p->b_column];                                        \
                c[i * p->n + j] = sum;                                                                                 \
            }                                                                                                          \
        }                                                                                                              \
    }
PRODUCT(product_double, double)
PRODUCT(product_uint64, uint64_t)

static void products_double(const cpu_product *product, const cpu_doubles *doubles) {
    for (uint64_t i = 0; i < product->batches; i++) {
        int64_t a, b;
        cpu_product_batch(product, i, &a, &b);
        product_double(product, doubles->in[0] + a, doubles->in[1] + b, doubles->out[0] + i * product->m * product->n);
    }
}

static partita_status matmul_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    cpu_doubles doubles;
    cpu_product product;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_product_matmul(call, &call->in[0], &call->in[1], &product);
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &doubles);
    products_double(&product, &doubles);
    cpu_doubles_store(call, &doubles);
    return PARTITA_OK;
}

static partita_status matmul_integers(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    cpu_integers integers;
    cpu_product product;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_product_matmul(call, &call->in[0], &call->in[1], &product);
    if (status != PARTITA_OK) return status;
    cpu_integers_load(call, &integers);
    for (uint64_t i = 0; i < product.batches; i++) {
        int64_t a, b;
        cpu_product_batch(&product, i, &a, &b);
        product_uint64(&product, integers.in[0] + a, integers.in[1] + b, integers.out + i * product.m * product.n);
    }
    cpu_integers_store(call, &integers);
    return PARTITA_OK;
}

/* What Gemm's attributes say; C is broadcast to [m, n]. */
typedef struct gemm_state {
    float alpha, beta;
    bool a_transposed, b_transposed;
    cpu_fused fused; /* of FusedGemm */
} gemm_state;

static partita_status gemm_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    gemm_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->alpha = cpu_attr_float(node, "alpha", 1);
    state->beta = cpu_attr_float(node, "beta", 1);
    state->a_transposed = cpu_attr_int(node, "transA", 0) != 0;
    state->b_transposed = cpu_attr_int(node, "transB", 0) != 0;
    return cpu_fused_read(node, host, &state->fused);
}

/* FusedMatMul. */
static partita_status turned_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const gemm_state *state = call->state;
    cpu_doubles doubles;
    cpu_product product;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_product_turned(call, state->a_transposed, state->b_transposed, &product);
    if (status == PARTITA_OK && call->out[0].count != product.batches * product.m * product.n)
        status = cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than the product");
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &doubles);
    products_double(&product, &doubles);
    for (uint64_t i = 0; i < call->out[0].count; i++) doubles.out[0][i] *= (double)state->alpha;
    cpu_doubles_store(call, &doubles);
    return PARTITA_OK;
}

bool cpu_product_turned_claim(const cpu_node *node, ptp_answer *answer) {
    if (cpu_attr_int(node, "transBatchA", 0) == 0 && cpu_attr_int(node, "transBatchB", 0) == 0) return true;
    return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "transBatchA or transBatchB");
}

partita_status cpu_product_gemm(const cpu_call *call, bool a_transposed, bool b_transposed, cpu_product *out) {
    const cpu_tensor *a = &call->in[0], *b = &call->in[1];
    if (a->rank != 2 || b->rank != 2) return cpu_fail(call->host, PARTITA_BAD_INPUT, "an operand is no matrix");
    *out = (cpu_product){.batches = 1,
                         .m = (uint64_t)a->dims[a_transposed],
                         .k = (uint64_t)a->dims[!a_transposed],
                         .n = (uint64_t)b->dims[!b_transposed],
                         .a_row = a_transposed ? 1 : a->dims[1],
                         .a_column = a_transposed ? a->dims[1] : 1,
                         .b_row = b_transposed ? 1 : b->dims[1],
                         .b_column = b_transposed ? b->dims[1] : 1};
    if ((uint64_t)b->dims[b_transposed] == out->k) return PARTITA_OK;
    return cpu_fail(call->host, PARTITA_BAD_INPUT, "inner dims differ");
}

/* The product, and where C's elements go: without C, or times 0, it is not looked at. */
static partita_status gemm_product(const cpu_call *call, cpu_product *out, cpu_walk *out_added) {
    const gemm_state *state = call->state;
    const cpu_tensor *added = &call->in[2];
    partita_status status = cpu_product_gemm(call, state->a_transposed, state->b_transposed, out);
    if (status != PARTITA_OK) return status;
    if (call->out[0].count != out->m * out->n)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than the product");
    return cpu_has_input(call, 2) ? cpu_walk_init(call, &call->out[0], &added, 1, NULL, out_added) : PARTITA_OK;
}

/* alpha * c + beta * added. */
#define GEMM_FINISH(name, type)                                                                                        \
    static void name(const cpu_call *call, cpu_walk *walk, type alpha, type beta, const type *added, type *c) {        \
        uint64_t n = call->out[0].count, offset;                                                                       \
        for (uint64_t i = 0; i < n; i++) c[i] *= alpha;                                                                \
        if (beta == 0 || !cpu_has_input(call, 2)) return;                                                              \
        cpu_walk_seek(walk, 0);                                                                                        \
        for (uint64_t at = 0; at < n;) {                                                                               \
            uint64_t run = cpu_walk_next(walk, UINT64_MAX, &offset);                                                   \
            for (uint64_t i = 0; i < run; i++) c[at + i] += beta * added[offset + i * walk->steps[0]];                 \
            at += run;                                                                                                 \
        }                                                                                                              \
    }
GEMM_FINISH(gemm_finish_double, double)
GEMM_FINISH(gemm_finish_uint64, uint64_t)

/* When the factors are whole. */
static void gemm_integers(const cpu_call *call, const cpu_product *product, cpu_walk *walk) {
    const gemm_state *state = call->state;
    cpu_integers integers;
    cpu_integers_load(call, &integers);
    product_uint64(product, integers.in[0], integers.in[1], integers.out);
    gemm_finish_uint64(call, walk, (uint64_t)cpu_int64_from_double((double)state->alpha),
                       (uint64_t)cpu_int64_from_double((double)state->beta), integers.in[2], integers.out);
    cpu_integers_store(call, &integers);
}

static partita_status gemm_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const gemm_state *state = call->state;
    cpu_doubles doubles;
    cpu_product product = {.m = 0};
    cpu_walk walk;
    (void)begin, (void)end, (void)worker;
    partita_status status = gemm_product(call, &product, &walk);
    if (status != PARTITA_OK) return status;
    if (!cpu_dtype_is_float(call->in[0].dtype) && truncf(state->alpha) == state->alpha &&
        truncf(state->beta) == state->beta) {
        gemm_integers(call, &product, &walk);
        return PARTITA_OK;
    }
    cpu_doubles_load(call, &doubles);
    product_double(&product, doubles.in[0], doubles.in[1], doubles.out[0]);
    gemm_finish_double(call, &walk, (double)state->alpha, (double)state->beta, doubles.in[2], doubles.out[0]);
    for (uint64_t i = 0; i < product.m * product.n; i++)
        doubles.out[0][i] = cpu_fused_value(&state->fused, doubles.out[0][i]);
    cpu_doubles_store(call, &doubles);
    return PARTITA_OK;
}

#define WIDE_INTS (CPU_TYPE(INT32) | CPU_TYPE(INT64) | CPU_TYPE(UINT32) | CPU_TYPE(UINT64))
#define GEMM(operator, group, kinds, claims, function)                                                                 \
    {                                                                                                                  \
        .op = operator, .domain = group, .since = 1, .until = CPU_NEWEST, .types = kinds, .reference = true,           \
        .claim = claims, .prepare = gemm_prepare, .release = cpu_free, .scratch = cpu_doubles_scratch, .run = function \
    }
const cpu_kernel cpu_kernels_matmul[] = {
    {.op = "MatMul",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS,
     .reference = true,
     .scratch = cpu_doubles_scratch,
     .run = matmul_reference},
    {.op = "MatMul",
     .domain = "",
     .since = 9,
     .until = CPU_NEWEST,
     .types = WIDE_INTS,
     .reference = true,
     .scratch = cpu_doubles_scratch,
     .run = matmul_integers},
    GEMM("Gemm", "", CPU_FLOATS | WIDE_INTS, NULL, gemm_reference),
    GEMM("FusedGemm", "com.microsoft", CPU_FLOATS, cpu_fused_claim, gemm_reference),
    GEMM("FusedMatMul", "com.microsoft", CPU_FLOATS, cpu_product_turned_claim, turned_reference),
};
const uint32_t cpu_kernels_matmul_count = sizeof(cpu_kernels_matmul) / sizeof(cpu_kernels_matmul[0]);
