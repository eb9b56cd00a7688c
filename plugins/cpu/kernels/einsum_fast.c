/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Einsum of float32 as products of matrices. Of two operands each label is one of four things: in both and in the
 * output (a batch), in one and in the output (rows or columns), or summed over (the inner dim). What lies in memory as
 * a matrix is read where it is, the rest is gathered first. Further operands are taken in one by one.
 */
#include "cpu/kernels/einsum.h"
#include "cpu/kernels/gemm.h"

#define ROW_BLOCK   64
#define PACK_FLOATS (64 * 1024) /* of B packed at once */
#define DOT_BLOCK   256         /* results of an item where there are neither rows nor columns */

typedef struct group {
    uint8_t labels[CPU_EINSUM_LABELS];
    uint32_t count;
    uint64_t size;
} group;

/* One product of two operands and how it splits. */
typedef struct pair {
    const int64_t *size; /* by label */
    group batch, rows, columns, inner;
    int64_t a[CPU_EINSUM_LABELS], b[CPU_EINSUM_LABELS], c[CPU_EINSUM_LABELS]; /* strides by label */
    bool swapped;                                                             /* the second operand is A */
    uint64_t out_count;
    const cpu_gemm_micro *micro;
    uint64_t block_columns, column_blocks, row_blocks, items;
    uint64_t room; /* floats of scratch a worker needs */
} pair;

static void group_add(group *g, const pair *p, uint8_t label) {
    g->labels[g->count++] = label;
    g->size *= (uint64_t)p->size[label];
}

static int64_t group_offset(const group *g, const pair *p, const int64_t *strides, uint64_t index) {
    int64_t offset = 0;
    for (uint32_t i = g->count; i-- > 0;) {
        uint64_t size = (uint64_t)p->size[g->labels[i]];
        offset += (int64_t)(index % size) * strides[g->labels[i]];
        index /= size;
    }
    return offset;
}

/* Whether one stride walks the whole group. */
static bool group_even(const group *g, const pair *p, const int64_t *strides, int64_t *out_step) {
    int64_t step = 0, expected = 0;
    *out_step = 0;
    for (uint32_t i = g->count; i-- > 0;) {
        uint8_t label = g->labels[i];
        if (p->size[label] == 1) continue;
        if (expected == 0 && step == 0)
            step = strides[label];
        else if (strides[label] != expected)
            return false;
        if (step == 0) return false;
        expected = strides[label] * p->size[label];
    }
    *out_step = step;
    return true;
}

static void pair_split(pair *p, uint32_t workers) {
    uint64_t width = p->micro->columns, k = p->inner.size > 0 ? p->inner.size : 1;
    uint64_t panels = cpu_blocks(p->columns.size, width), block = PACK_FLOATS / (k * width);
    if (block > panels) block = panels;
    if (block == 0) block = 1;
    p->row_blocks = cpu_blocks(p->rows.size, ROW_BLOCK);
    while (workers > 1 && block > 1 && p->batch.size * p->row_blocks * cpu_blocks(panels, block) < 4ull * workers)
        block = (block + 1) / 2;
    p->block_columns = block * width;
    p->column_blocks = cpu_blocks(panels, block);
    uint64_t rows = p->rows.size < ROW_BLOCK ? p->rows.size : ROW_BLOCK;
    p->room = rows * k + 2 * p->block_columns * k + rows * p->block_columns;
    p->items = p->batch.size * p->row_blocks * p->column_blocks;
    if (p->rows.size == 1 && p->columns.size == 1) {
        p->items = cpu_blocks(p->batch.size, DOT_BLOCK);
        p->room = 0;
    }
}

static void swap_operands(pair *p) {
    group rows = p->rows;
    int64_t a[CPU_EINSUM_LABELS];
    memcpy(a, p->a, sizeof(a));
    memcpy(p->a, p->b, sizeof(a));
    memcpy(p->b, a, sizeof(a));
    p->rows = p->columns;
    p->columns = rows;
    p->swapped = true;
}

/* The inner labels from A's longest stride to its shortest, so that they are even more often. */
static void inner_sort(pair *p) {
    for (uint32_t i = 1; i < p->inner.count; i++)
        for (uint32_t j = i; j > 0; j--) {
            uint8_t *at = &p->inner.labels[j], label = *at;
            if (p->a[at[-1]] >= p->a[label]) break;
            *at = at[-1];
            at[-1] = label;
        }
}

/* The product of an operand with strides `a` and operand `next`; what later operands or the output need stays, laid out
 * in the output's order or, for the last operand, as the output is. */
static void pair_make(const cpu_einsum_loops *l, uint32_t operands, const int64_t *a, uint32_t next,
                      const cpu_gemm_micro *micro, uint32_t workers, pair *p) {
    static const int64_t nothing[CPU_EINSUM_LABELS];
    const int64_t *b = next < operands ? l->stride[next] : nothing;
    uint8_t kept[CPU_EINSUM_LABELS];
    uint32_t kept_count = 0;
    memset(p, 0, sizeof(*p));
    p->size = l->size;
    p->micro = micro;
    memcpy(p->a, a, sizeof(p->a));
    memcpy(p->b, b, sizeof(p->b));
    p->batch.size = p->rows.size = p->columns.size = p->inner.size = p->out_count = 1;
    for (uint32_t i = 0; i < l->out_count; i++) kept[kept_count++] = l->out[i];
    for (uint32_t i = 0; i < l->sum_count; i++) {
        uint8_t label = l->sum[i];
        bool later = false;
        for (uint32_t o = next + 1; o < operands; o++) later = later || l->stride[o][label] != 0;
        if (a[label] == 0 && b[label] == 0) continue;
        if (later)
            kept[kept_count++] = label;
        else
            group_add(&p->inner, p, label);
    }
    uint8_t last = CPU_EINSUM_LABELS;
    for (uint32_t i = kept_count; i-- > 0;) {
        uint8_t label = kept[i];
        bool in_a = a[label] != 0, in_b = b[label] != 0;
        if (!in_a && !in_b) continue; /* of later operands, or of size 1 */
        p->c[label] = (int64_t)p->out_count;
        p->out_count *= (uint64_t)p->size[label];
        if (last == CPU_EINSUM_LABELS) last = label;
    }
    for (uint32_t i = 0; i < kept_count; i++) {
        uint8_t label = kept[i];
        bool in_a = a[label] != 0, in_b = b[label] != 0;
        if (in_a || in_b) group_add(in_a && in_b ? &p->batch : in_a ? &p->rows : &p->columns, p, label);
    }
    bool rows_last = last != CPU_EINSUM_LABELS && p->rows.count > 0 && p->rows.labels[p->rows.count - 1] == last;
    if (rows_last || (p->columns.size == 1 && p->rows.size > 1)) swap_operands(p);
    inner_sort(p);
    pair_split(p, workers);
}

/* Elements (i, j) of a matrix with these groups as its dims, gathered into rows of `columns`. */
static void gather(const pair *p, const float *from, const int64_t *strides, const group *rows, uint64_t r0,
                   uint64_t r1, const group *columns, uint64_t c0, uint64_t c1, float *to) {
    int64_t step;
    bool even = group_even(columns, p, strides, &step);
    for (uint64_t r = r0; r < r1; r++) {
        const float *row = from + group_offset(rows, p, strides, r);
        if (even)
            for (uint64_t c = c0; c < c1; c++) *to++ = row[(int64_t)c * step];
        else
            for (uint64_t c = c0; c < c1; c++) *to++ = row[group_offset(columns, p, strides, c)];
    }
}

static void scatter(const pair *p, const float *from, uint64_t r0, uint64_t r1, uint64_t c0, uint64_t c1, float *to) {
    for (uint64_t r = r0; r < r1; r++) {
        float *row = to + group_offset(&p->rows, p, p->c, r);
        for (uint64_t c = c0; c < c1; c++) row[group_offset(&p->columns, p, p->c, c)] = *from++;
    }
}

/* Results [first, last) where neither operand has a dim of its own. */
static void dots_run(const pair *p, const float *a, const float *b, float *c, uint64_t first, uint64_t last) {
    int64_t step_a = 0, step_b = 0;
    bool even = group_even(&p->inner, p, p->a, &step_a) && group_even(&p->inner, p, p->b, &step_b);
    for (uint64_t i = first; i < last; i++) {
        const float *x = a + group_offset(&p->batch, p, p->a, i), *y = b + group_offset(&p->batch, p, p->b, i);
        float sum = 0;
        for (uint64_t k = 0; k < p->inner.size; k++)
            sum += even ? x[(int64_t)k * step_a] * y[(int64_t)k * step_b]
                        : x[group_offset(&p->inner, p, p->a, k)] * y[group_offset(&p->inner, p, p->b, k)];
        c[group_offset(&p->batch, p, p->c, i)] = sum;
    }
}

/* B of a block, packed into `packed`. */
static void columns_pack(const pair *p, const float *b, uint64_t n0, uint64_t n1, float *gathered, float *packed) {
    int64_t row, column;
    if (group_even(&p->inner, p, p->b, &row) && group_even(&p->columns, p, p->b, &column)) {
        cpu_gemm_pack(p->micro, p->inner.size, n1 - n0, b + (int64_t)n0 * column, row, column, packed);
        return;
    }
    gather(p, b, p->b, &p->inner, 0, p->inner.size, &p->columns, n0, n1, gathered);
    cpu_gemm_pack(p->micro, p->inner.size, n1 - n0, gathered, (int64_t)(n1 - n0), 1, packed);
}

static void block_run(const pair *p, const float *a, const float *packed, float *c, uint64_t m0, uint64_t m1,
                      uint64_t n0, uint64_t n1, float *room_a, float *room_c) {
    int64_t column;
    cpu_gemm gemm = {.micro = p->micro, .m = m1 - m0, .n = n1 - n0, .k = p->inner.size, .packed = packed, .alpha = 1};
    if (group_even(&p->rows, p, p->a, &gemm.a_row) && group_even(&p->inner, p, p->a, &gemm.a_column)) {
        gemm.a = a + (int64_t)m0 * gemm.a_row;
    } else {
        gather(p, a, p->a, &p->rows, m0, m1, &p->inner, 0, p->inner.size, room_a);
        gemm.a = room_a;
        gemm.a_row = (int64_t)p->inner.size;
        gemm.a_column = 1;
    }
    bool direct = group_even(&p->rows, p, p->c, &gemm.c_row) && group_even(&p->columns, p, p->c, &column) &&
                  (column == 1 || p->columns.size == 1);
    gemm.c = direct ? c + (int64_t)m0 * gemm.c_row + (int64_t)n0 : room_c;
    if (!direct) gemm.c_row = (int64_t)(n1 - n0);
    cpu_gemm_run(&gemm, 0, m1 - m0, 0, cpu_blocks(n1 - n0, p->micro->columns));
    if (!direct) scatter(p, room_c, m0, m1, n0, n1, c);
}

static void pair_run(const pair *p, const float *a, const float *b, float *c, uint64_t begin, uint64_t end,
                     float *room) {
    if (p->rows.size == 1 && p->columns.size == 1) {
        uint64_t last = end * DOT_BLOCK < p->batch.size ? end * DOT_BLOCK : p->batch.size;
        dots_run(p, a, b, c, begin * DOT_BLOCK, last);
        return;
    }
    uint64_t rows = p->rows.size < ROW_BLOCK ? p->rows.size : ROW_BLOCK, packed_for = UINT64_MAX;
    float *packed = room, *gathered = packed + p->block_columns * p->inner.size;
    float *room_a = gathered + p->block_columns * p->inner.size, *room_c = room_a + rows * p->inner.size;
    for (uint64_t item = begin; item < end; item++) {
        /* Rows change fastest, so that what was packed serves the next item too. */
        uint64_t m0 = item % p->row_blocks * ROW_BLOCK, rest = item / p->row_blocks;
        uint64_t n0 = rest % p->column_blocks * p->block_columns, batch = rest / p->column_blocks;
        uint64_t m1 = m0 + ROW_BLOCK < p->rows.size ? m0 + ROW_BLOCK : p->rows.size;
        uint64_t n1 = n0 + p->block_columns < p->columns.size ? n0 + p->block_columns : p->columns.size;
        if (packed_for != rest) columns_pack(p, b + group_offset(&p->batch, p, p->b, batch), n0, n1, gathered, packed);
        packed_for = rest;
        block_run(p, a + group_offset(&p->batch, p, p->a, batch), packed, c + group_offset(&p->batch, p, p->c, batch),
                  m0, m1, n0, n1, room_a, room_c);
    }
}

typedef struct fast_state {
    cpu_einsum equation; /* first, so that the reference's functions find it */
    const cpu_gemm_micro *micro;
} fast_state;

static partita_status fast_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    void *equation;
    *out_state = NULL;
    partita_status status = cpu_einsum_prepare(node, host, &equation);
    if (status != PARTITA_OK) return status;
    fast_state *state = cpu_alloc(host, sizeof(*state));
    if (state != NULL) {
        memcpy(&state->equation, equation, sizeof(state->equation));
        state->micro = cpu_gemm_micro_of(node->level);
    }
    cpu_free(host, equation);
    *out_state = state;
    return state != NULL ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
}

/* Nothing to sum, or no element at all. */
static bool is_empty(const cpu_einsum_loops *l) {
    for (uint32_t i = 0; i < CPU_EINSUM_LABELS; i++)
        if (l->size[i] == 0) return true;
    return false;
}

/* Floats of the two intermediate results that alternate, and of a worker's room for the largest product. */
static void rooms_count(const cpu_call *call, const cpu_einsum_loops *l, uint64_t *out_between, uint64_t *out_room) {
    const fast_state *state = call->state;
    uint32_t operands = state->equation.in_count;
    int64_t a[CPU_EINSUM_LABELS];
    *out_between = *out_room = 0;
    memcpy(a, l->stride[0], sizeof(a));
    for (uint32_t next = 1; next == 1 || next < operands; next++) {
        pair p;
        pair_make(l, operands, a, next, state->micro, call->workers, &p);
        if (p.room > *out_room) *out_room = p.room;
        if (next + 1 < operands && p.out_count > *out_between) *out_between = p.out_count;
        memcpy(a, p.c, sizeof(a));
    }
}

static uint64_t fast_scratch(const cpu_call *call) {
    const fast_state *state = call->state;
    cpu_einsum_loops l;
    uint64_t between, room;
    if (cpu_einsum_bind(call, &l) != PARTITA_OK || is_empty(&l)) return 0; /* `run` says why */
    rooms_count(call, &l, &between, &room);
    return (2 * between + (state->equation.in_count > 2 ? 1 : call->workers) * room) * sizeof(float);
}

static uint64_t fast_items(const cpu_call *call) {
    const fast_state *state = call->state;
    cpu_einsum_loops l;
    pair p;
    if (state->equation.in_count > 2 || cpu_einsum_bind(call, &l) != PARTITA_OK || is_empty(&l)) return 1;
    pair_make(&l, state->equation.in_count, l.stride[0], 1, state->micro, call->workers, &p);
    return p.items;
}

static partita_status fast_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const fast_state *state = call->state;
    static const float one = 1;
    uint32_t operands = state->equation.in_count;
    bool alone = operands > 2; /* one worker takes one product after the other */
    cpu_einsum_loops l;
    uint64_t between, room;
    int64_t strides[CPU_EINSUM_LABELS];
    partita_status status = cpu_einsum_bind(call, &l);
    if (status != PARTITA_OK) return status;
    if (is_empty(&l)) {
        memset(call->out[0].data, 0, call->out[0].bytes);
        return PARTITA_OK;
    }
    rooms_count(call, &l, &between, &room);
    float *results = call->scratch, *rooms = results != NULL ? results + 2 * between : NULL;
    const float *a = call->in[0].data;
    memcpy(strides, l.stride[0], sizeof(strides));
    for (uint32_t next = 1; next == 1 || next < operands; next++) {
        pair p;
        pair_make(&l, operands, strides, next, state->micro, call->workers, &p);
        const float *b = next < operands ? call->in[next].data : &one;
        float *c = next + 1 < operands ? results + next % 2 * between : call->out[0].data;
        pair_run(&p, p.swapped ? b : a, p.swapped ? a : b, c, alone ? 0 : begin, alone ? p.items : end,
                 rooms != NULL ? rooms + (alone ? 0 : worker) * room : NULL);
        memcpy(strides, p.c, sizeof(strides));
        a = c;
    }
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_einsum_fast[] = {
    {.op = "Einsum",
     .domain = "",
     .since = 12,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(FLOAT32),
     .claim = cpu_einsum_claim,
     .prepare = fast_prepare,
     .release = cpu_free,
     .scratch = fast_scratch,
     .items = fast_items,
     .run = fast_run},
};
const uint32_t cpu_kernels_einsum_fast_count = sizeof(cpu_kernels_einsum_fast) / sizeof(cpu_kernels_einsum_fast[0]);
