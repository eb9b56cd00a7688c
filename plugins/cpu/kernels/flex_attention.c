/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of a FlexAttention with bodies: scores of queries and keys, and weights times values. Heads of K and V
 * may be shared by groups of heads of Q.
 */
#include "cpu/kernels/reference.h"

typedef struct flex_state {
    bool scaled;
    float scale;
} flex_state;

static partita_status flex_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    flex_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->scaled = cpu_attr_has(node, "scale");
    state->scale = cpu_attr_float(node, "scale", 1);
    return PARTITA_OK;
}

static bool flex_claim(const cpu_node *node, ptp_answer *answer) {
    for (uint32_t i = 0; i < 3; i++) {
        partita_dtype dtype = i < 2 ? cpu_input_dtype(node, i) : cpu_output_dtype(node, 0);
        if (dtype >= 64 || (CPU_FLOATS >> dtype & 1) == 0)
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "an operand of %s", cpu_dtype_name(dtype));
    }
    return true;
}

/* [batch, heads, rows, inner] times [batch, kv heads, columns, inner], or for values [batch, kv heads, inner, columns].
 */
typedef struct flex {
    int64_t batch, heads, kv_heads, rows, inner, columns;
    int64_t b_row, b_column; /* steps of B along the inner dim and the columns */
} flex;

static partita_status flex_of(const cpu_call *call, bool values, flex *f) {
    const cpu_tensor *a = &call->in[0], *b = &call->in[1];
    if (a->rank != 4 || b->rank != 4 || a->dims[0] != b->dims[0] || a->dims[3] != b->dims[values ? 2 : 3] ||
        b->dims[1] < 1 || a->dims[1] % b->dims[1] != 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the shapes of the operands do not fit each other");
    *f = (flex){.batch = a->dims[0],
                .heads = a->dims[1],
                .kv_heads = b->dims[1],
                .rows = a->dims[2],
                .inner = a->dims[3],
                .columns = b->dims[values ? 3 : 2],
                .b_row = values ? b->dims[3] : 1,
                .b_column = values ? 1 : b->dims[3]};
    const int64_t dims[4] = {f->batch, f->heads, f->rows, f->columns};
    return cpu_expect(call, 0, 4, dims);
}

static void product(const flex *f, partita_dtype step, double scale, const double *a, const double *b, double *c) {
    for (int64_t i = 0; i < f->rows; i++) {
        for (int64_t j = 0; j < f->columns; j++) {
            double sum = 0;
            for (int64_t p = 0; p < f->inner; p++)
                sum += cpu_rounded(step, a[i * f->inner + p] * scale) *
                       cpu_rounded(step, b[p * f->b_row + j * f->b_column] * scale);
            c[i * f->columns + j] = cpu_rounded(step, sum);
        }
    }
}

static void heads_run(const flex *f, const cpu_doubles *d, partita_dtype step, double scale) {
    int64_t group = f->heads / f->kv_heads;
    for (int64_t i = 0; i < f->batch * f->heads; i++) {
        int64_t head = i / f->heads * f->kv_heads + i % f->heads / group;
        product(f, step, scale, d->in[0] + i * f->rows * f->inner, d->in[1] + head * f->inner * f->columns,
                d->out[0] + i * f->rows * f->columns);
    }
}

/* Both operands times the root of the scale, stored in their own type. */
CPU_DOUBLES_KERNEL(scores_run) {
    const flex_state *state = call->state;
    partita_dtype step = cpu_step_dtype(call->in[0].dtype);
    flex f;
    partita_status status = flex_of(call, false, &f);
    if (status != PARTITA_OK) return status;
    float scale = state->scaled ? state->scale : 1 / sqrtf((float)f.inner);
    heads_run(&f, d, step, cpu_rounded(step, (double)sqrtf(scale)));
    return PARTITA_OK;
}

CPU_DOUBLES_KERNEL(values_run) {
    flex f;
    partita_status status = flex_of(call, true, &f);
    if (status == PARTITA_OK) heads_run(&f, d, PARTITA_FLOAT64, 1);
    return status;
}

#define ROW(operator, runs)                                                                                            \
    {                                                                                                                  \
        .op = operator, .domain = "partita", .since = 1, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,  \
        .claim = flex_claim, .prepare = flex_prepare, .release = cpu_free, .scratch = cpu_doubles_scratch, .run = runs \
    }
const cpu_kernel cpu_kernels_flex_attention[] = {ROW("FlexScores", scores_run), ROW("FlexValues", values_run)};
const uint32_t cpu_kernels_flex_attention_count =
    sizeof(cpu_kernels_flex_attention) / sizeof(cpu_kernels_flex_attention[0]);
