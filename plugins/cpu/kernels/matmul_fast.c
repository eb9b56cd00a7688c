/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MatMul and Gemm of float32 by the packed product. A constant B is packed once; another B is packed by each item for
 * its own columns, or read where it lies when A has too few rows to pay for packing.
 */
#include "cpu/kernels/gemm.h"
#include "cpu/kernels/matmul.h"
#include "cpu/kernels/ms_fused.h"

#define ROW_BLOCK   96    /* rows of an item */
#define PACK_FLOATS 49152 /* of a B packed while running: half a second cache */
#define DIRECT_ROWS 4     /* fewer rows are not worth packing B */

typedef struct product_state {
    const cpu_gemm_micro *micro;
    float alpha, beta;
    bool is_gemm, a_transposed, b_transposed;
    cpu_fused fused;      /* of FusedGemm */
    float *packed;        /* of a constant B: its matrices one behind the other */
    uint64_t packed_each; /* floats of one */
    uint64_t k, n;        /* of a constant B */
} product_state;

/* What `items`, `scratch` and `run` all need to know. */
typedef struct product_layout {
    cpu_product product;
    uint64_t row_blocks, column_blocks, panels, panel_block;
    bool direct;
} product_layout;

static partita_status product_of(const cpu_call *call, cpu_product *out) {
    const product_state *state = call->state;
    if (state->is_gemm) return cpu_product_gemm(call, state->a_transposed, state->b_transposed, out);
    return cpu_product_turned(call, state->a_transposed, state->b_transposed, out);
}

static partita_status layout_of(const cpu_call *call, product_layout *out) {
    const product_state *state = call->state;
    cpu_product *p = &out->product;
    partita_status status = product_of(call, p);
    if (status != PARTITA_OK) return status;
    /* A batch over rows of A alone is one taller matrix. */
    bool shared_b = p->batches > 1 && p->a_column == 1;
    for (uint32_t i = 0; i < p->batch_rank; i++)
        if (p->b_batch[i] != 0 || (p->a_batch[i] == 0 && p->batch_dims[i] > 1)) shared_b = false;
    if (shared_b) {
        p->m *= p->batches;
        p->batches = 1;
        p->batch_rank = 0;
    }
    out->panels = cpu_blocks(p->n, state->micro->columns);
    out->direct = state->packed == NULL && p->m < DIRECT_ROWS && p->b_column == 1;
    uint64_t block = out->panels > 0 ? out->panels : 1;
    if (state->packed == NULL && !out->direct) {
        uint64_t fit = PACK_FLOATS / ((p->k > 0 ? p->k : 1) * state->micro->columns);
        if (block > fit) block = fit > 0 ? fit : 1;
    }
    uint64_t rows = state->packed != NULL ? ROW_BLOCK : 2 * ROW_BLOCK;
    out->row_blocks = cpu_blocks(p->m, rows);
    /* Enough items that no worker waits long for another. */
    uint64_t wanted = call->workers > 1 ? 4 * (uint64_t)call->workers : 1;
    while (block > 1 && p->batches * out->row_blocks * cpu_blocks(out->panels, block) < wanted) block = (block + 1) / 2;
    out->panel_block = block;
    out->column_blocks = cpu_blocks(out->panels, block);
    return PARTITA_OK;
}

static partita_status state_make(const cpu_node *node, const ptp_host *host, bool is_gemm, product_state **out_state) {
    product_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->micro = cpu_gemm_micro_of(node->level);
    state->is_gemm = is_gemm;
    state->alpha = state->beta = 1;
    return PARTITA_OK;
}

static partita_status constant_pack(const cpu_node *node, const ptp_host *host, product_state *state) {
    const cpu_tensor *b = &node->constants[1];
    if (b->kind == PARTITA_KIND_NONE || b->rank < 2 || b->count == 0) return PARTITA_OK;
    uint64_t rows = (uint64_t)b->dims[b->rank - 2], columns = (uint64_t)b->dims[b->rank - 1];
    state->k = state->b_transposed ? columns : rows;
    state->n = state->b_transposed ? rows : columns;
    state->packed_each = cpu_gemm_packed_size(state->micro, state->k, state->n);
    uint64_t matrices = b->count / (rows * columns);
    state->packed = cpu_alloc(host, state->packed_each * matrices * sizeof(float));
    if (state->packed == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t i = 0; i < matrices; i++)
        cpu_gemm_pack(state->micro, state->k, state->n, (const float *)b->data + i * rows * columns,
                      state->b_transposed ? 1 : (int64_t)columns, state->b_transposed ? (int64_t)columns : 1,
                      state->packed + i * state->packed_each);
    return PARTITA_OK;
}

static void product_release(const ptp_host *host, void *state) {
    if (state != NULL) cpu_free(host, ((product_state *)state)->packed);
    cpu_free(host, state);
}

static partita_status product_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    product_state *state;
    partita_str op = ptp_ref_str(node->block, node->row.op);
    bool is_gemm = ptp_str_is(op, "Gemm") || ptp_str_is(op, "FusedGemm");
    *out_state = NULL;
    partita_status status = state_make(node, host, is_gemm, &state);
    if (status != PARTITA_OK) return status;
    state->alpha = cpu_attr_float(node, "alpha", 1);
    state->beta = cpu_attr_float(node, "beta", 1);
    state->a_transposed = cpu_attr_int(node, "transA", 0) != 0;
    state->b_transposed = cpu_attr_int(node, "transB", 0) != 0;
    status = cpu_fused_read(node, host, &state->fused);
    if (status == PARTITA_OK) status = constant_pack(node, host, state);
    if (status != PARTITA_OK) {
        product_release(host, state);
        return status;
    }
    *out_state = state;
    return PARTITA_OK;
}

/* A constant vector is not packed, and a row that says it packs must. */
static bool product_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row b;
    if (!cpu_node_input(node, 1, &b) || (b.flags & PTP_VALUE_CONSTANT) == 0 || b.rank >= 2) return true;
    return cpu_refuse(answer, PARTITA_REASON_RANK, "B is a constant of rank %d", b.rank);
}

static bool gemm_claim(const cpu_node *node, ptp_answer *answer) {
    return cpu_fused_claim(node, answer) && product_claim(node, answer);
}
static bool turned_claim(const cpu_node *node, ptp_answer *answer) {
    return cpu_product_turned_claim(node, answer) && product_claim(node, answer);
}

static uint64_t product_scratch(const cpu_call *call) {
    const product_state *state = call->state;
    product_layout layout;
    if (layout_of(call, &layout) != PARTITA_OK || state->packed != NULL || layout.direct) return 0;
    return call->workers * layout.panel_block * state->micro->columns * layout.product.k * sizeof(float);
}

static uint64_t product_items(const cpu_call *call) {
    product_layout layout;
    if (layout_of(call, &layout) != PARTITA_OK) return 1; /* `run` says why */
    return layout.product.batches * layout.row_blocks * layout.column_blocks;
}

/* C of Gemm, times beta, laid into the item's piece of the output. */
static void added_fill(const cpu_call *call, const cpu_gemm *gemm, uint64_t m0, uint64_t m1, uint64_t n0, uint64_t n1) {
    const product_state *state = call->state;
    const cpu_tensor *c = &call->in[2];
    int64_t rows = c->rank > 1 ? c->dims[c->rank - 2] : 1, columns = c->rank > 0 ? c->dims[c->rank - 1] : 1;
    int64_t row = rows == 1 ? 0 : columns, column = columns == 1 ? 0 : 1;
    for (uint64_t i = m0; i < m1; i++)
        for (uint64_t j = n0; j < n1; j++)
            gemm->c[i * gemm->n + j] = state->beta * ((const float *)c->data)[(int64_t)i * row + (int64_t)j * column];
}

static partita_status shapes_check(const cpu_call *call, const cpu_product *p, bool added) {
    const cpu_tensor *c = &call->in[2];
    if (call->out[0].count != p->batches * p->m * p->n)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than the product");
    if (!added) return PARTITA_OK;
    int64_t rows = c->rank > 1 ? c->dims[c->rank - 2] : 1, columns = c->rank > 0 ? c->dims[c->rank - 1] : 1;
    if (c->rank > 2 || (rows != 1 && (uint64_t)rows != p->m) || (columns != 1 && (uint64_t)columns != p->n))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "C cannot be broadcast");
    return PARTITA_OK;
}

static partita_status product_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const product_state *state = call->state;
    const cpu_gemm_micro *micro = state->micro;
    product_layout layout;
    partita_status status = layout_of(call, &layout);
    const cpu_product *p = &layout.product;
    bool added = state->is_gemm && state->beta != 0 && cpu_has_input(call, 2);
    if (status == PARTITA_OK) status = shapes_check(call, p, added);
    if (status != PARTITA_OK) return status;
    bool column_bias = added && state->beta == 1 && call->in[2].count == p->n &&
                       (call->in[2].rank < 2 || call->in[2].dims[0] == 1) && call->in[2].rank > 0;
    uint64_t rows =
        cpu_blocks(cpu_blocks(p->m, layout.row_blocks > 0 ? layout.row_blocks : 1), micro->rows) * micro->rows;
    float *room = (float *)call->scratch;
    uint64_t packed_for = UINT64_MAX;
    if (room != NULL) room += worker * layout.panel_block * micro->columns * p->k;
    for (uint64_t item = begin; item < end; item++) {
        /* Rows change fastest, so that what was packed serves the next item too. */
        uint64_t row_block = item % layout.row_blocks, rest = item / layout.row_blocks;
        uint64_t column_block = rest % layout.column_blocks, batch = rest / layout.column_blocks;
        uint64_t m0 = row_block * rows, m1 = m0 + rows < p->m ? m0 + rows : p->m;
        uint64_t p0 = column_block * layout.panel_block;
        uint64_t p1 = p0 + layout.panel_block < layout.panels ? p0 + layout.panel_block : layout.panels;
        uint64_t n0 = p0 * micro->columns, n1 = p1 * micro->columns < p->n ? p1 * micro->columns : p->n;
        int64_t from_a, from_b;
        if (m0 >= m1) continue;
        cpu_product_batch(p, batch, &from_a, &from_b);
        cpu_gemm gemm = {.micro = micro,
                         .m = p->m,
                         .n = p->n,
                         .k = p->k,
                         .a = (const float *)call->in[0].data + from_a,
                         .a_row = p->a_row,
                         .a_column = p->a_column,
                         .c_row = (int64_t)p->n,
                         .alpha = state->alpha};
        gemm.c = (float *)call->out[0].data + batch * p->m * p->n;
        const float *b = (const float *)call->in[1].data + from_b;
        if (column_bias)
            gemm.column_bias = call->in[2].data;
        else if (added)
            added_fill(call, &gemm, m0, m1, n0, n1);
        gemm.accumulate = added && !column_bias;
        if (state->packed != NULL) {
            gemm.packed = state->packed + (uint64_t)from_b / (p->k * p->n) * state->packed_each;
        } else if (layout.direct) {
            gemm.b = b;
            gemm.b_row = p->b_row;
        } else {
            if (packed_for != rest)
                cpu_gemm_pack(micro, p->k, n1 - n0, b + (int64_t)n0 * p->b_column, p->b_row, p->b_column, room);
            packed_for = rest;
            gemm.packed = room;
            gemm.n = n1 - n0;
            gemm.c += n0;
            if (gemm.column_bias != NULL) gemm.column_bias += n0;
            p1 -= p0;
            p0 = 0;
        }
        cpu_gemm_run(&gemm, m0, m1, p0, p1);
        cpu_fused_rows(&state->fused, (float *)call->out[0].data + (batch * p->m + m0) * p->n + n0, m1 - m0, n1 - n0,
                       (int64_t)p->n);
    }
    return PARTITA_OK;
}

#define FAST(operator, group, first, claims)                                                                           \
    {                                                                                                                  \
        .op = operator, .domain = group, .since = first, .until = CPU_NEWEST, .types = CPU_TYPE(FLOAT32),              \
        .claim = claims, .prepare = product_prepare, .release = product_release, .scratch = product_scratch,           \
        .items = product_items, .run = product_run, .packs_weights = true                                              \
    }
const cpu_kernel cpu_kernels_matmul_fast[] = {FAST("MatMul", "", 1, product_claim), FAST("Gemm", "", 7, product_claim),
                                              FAST("FusedGemm", "com.microsoft", 1, gemm_claim),
                                              FAST("FusedMatMul", "com.microsoft", 1, turned_claim)};
const uint32_t cpu_kernels_matmul_fast_count = sizeof(cpu_kernels_matmul_fast) / sizeof(cpu_kernels_matmul_fast[0]);
