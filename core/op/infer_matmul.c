/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of matrices, and attention, which is made of them.
 */
#include "op/infer_run.h"

/* ---- matmul, gemm ---------------------------------------------------------------------------- */

/* As a matrix: a vector on the left gets a dim of 1 in front, one on the right behind. */
static pt_infer_value as_matrix(const pt_infer_value *value, bool left) {
    pt_infer_value matrix = *value;
    if (value->rank != 1) return matrix;
    matrix.rank = 2;
    matrix.dims[left ? 1 : 0] = value->dims[0];
    matrix.dims[left ? 0 : 1] = 1;
    return matrix;
}

partita_status pt_op_infer_matmul(pt_infer *infer) {
    bool quantized = pt_str_is(infer->node->op, "QLinearMatMul"), integer = pt_str_is(infer->node->op, "MatMulInteger");
    const pt_infer_value *a = pt_infer_in(infer, 0), *b = pt_infer_in(infer, quantized ? 3 : 1);
    pt_infer_value *out = pt_infer_tensor(infer, 0,
                                          integer     ? PARTITA_INT32
                                          : quantized ? pt_infer_in(infer, 7)->dtype
                                                      : a->dtype);
    if (!quantized && !integer && a->dtype && b->dtype && a->dtype != b->dtype) {
        return pt_infer_fail(infer, "inputs are of types %s and %s", pt_dtype_name(a->dtype), pt_dtype_name(b->dtype));
    }
    if (a->rank < 0 || b->rank < 0) return infer->status;
    if (a->rank == 0 || b->rank == 0) return pt_infer_fail(infer, "a scalar is no matrix");
    pt_infer_value left = as_matrix(a, true), right = as_matrix(b, false);
    pt_dim inner;
    PT_TRY(pt_infer_same_dim(infer, left.dims[left.rank - 1], right.dims[right.rank - 2], &inner));
    PT_TRY(pt_infer_broadcast_batch(infer, 0, &left, &right, 2));
    out->dims[out->rank - 2] = left.dims[left.rank - 2];
    out->dims[out->rank - 1] = right.dims[right.rank - 1];
    if (b->rank == 1) out->rank--;
    if (a->rank == 1) {
        if (b->rank != 1) out->dims[out->rank - 2] = out->dims[out->rank - 1];
        out->rank--;
    }
    return infer->status;
}

partita_status pt_op_infer_gemm(pt_infer *infer) {
    const pt_infer_value *a = pt_infer_in(infer, 0), *b = pt_infer_in(infer, 1);
    bool turn_a = pt_node_int(infer->node, "transA", 0) != 0, turn_b = pt_node_int(infer->node, "transB", 0) != 0;
    pt_infer_tensor(infer, 0, a->dtype);
    if ((a->rank >= 0 && a->rank != 2) || (b->rank >= 0 && b->rank != 2)) {
        return pt_infer_fail(infer, "inputs of rank %d and %d instead of 2", a->rank, b->rank);
    }
    pt_dim *dims = pt_infer_rank(infer, 0, 2), inner = PT_DIM_UNKNOWN;
    if (a->rank == 2) {
        dims[0] = a->dims[turn_a ? 1 : 0];
        inner = a->dims[turn_a ? 0 : 1];
    }
    if (b->rank == 2) {
        dims[1] = b->dims[turn_b ? 0 : 1];
        PT_TRY(pt_infer_same_dim(infer, inner, b->dims[turn_b ? 1 : 0], &inner));
    }
    return infer->status;
}

partita_status pt_op_infer_det(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 0) return infer->status;
    if (in->rank < 2) return pt_infer_fail(infer, "an input of rank %d is no matrix", in->rank);
    pt_dim *dims = pt_infer_rank(infer, 0, in->rank - 2);
    if (dims) memcpy(dims, in->dims, (size_t)(in->rank - 2) * sizeof *dims);
    return infer->status;
}

/* ---- einsum ---------------------------------------------------------------------------------- */

typedef struct einsum {
    pt_dim letters[128]; /* dim of each letter; PT_DIM_UNKNOWN */
    uint32_t counts[128];
    pt_dim wild[PT_RANK_MAX]; /* what the dots stand for */
    int32_t wild_rank;
    bool implicit; /* no arrow */
} einsum;

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* One operand's term against its shape. */
static partita_status einsum_term(pt_infer *infer, einsum *all, const char *term, size_t size,
                                  const pt_infer_value *in) {
    int32_t named = 0, at = 0;
    for (size_t i = 0; i < size; i++) named += is_letter(term[i]);
    bool dots = memchr(term, '.', size) != NULL;
    int32_t wild = in->rank - named;
    if (in->rank >= 0 && (wild < 0 || (!dots && wild != 0))) {
        return pt_infer_fail(infer, "term '%.*s' for an operand of rank %d", (int)size, term, in->rank);
    }
    for (size_t i = 0; i < size; i++) {
        if (is_letter(term[i])) {
            pt_dim *dim = &all->letters[(unsigned char)term[i]], own = in->rank >= 0 ? in->dims[at++] : PT_DIM_UNKNOWN;
            all->counts[(unsigned char)term[i]]++;
            *dim = *dim == PT_DIM_UNKNOWN ? own : pt_infer_apply(infer, PT_DIM_BROADCAST, *dim, own);
        } else if (term[i] == '.') {
            if (size - i < 3 || memcmp(term + i, "...", 3) != 0)
                return pt_infer_fail(infer, "dots that are no ellipsis");
            i += 2;
            if (in->rank < 0) continue;
            int32_t shift = PT_MAX(wild - all->wild_rank, 0), old = all->wild_rank;
            memmove(all->wild + shift, all->wild, (size_t)old * sizeof *all->wild);
            for (int32_t k = 0; k < shift; k++) all->wild[k] = 1;
            all->wild_rank += shift;
            for (int32_t k = 0; k < wild; k++) {
                pt_dim *dim = &all->wild[all->wild_rank - wild + k];
                *dim = pt_infer_apply(infer, PT_DIM_BROADCAST, *dim, in->dims[at++]);
            }
        } else if (term[i] != ' ') {
            return pt_infer_fail(infer, "character '%c' in the equation", term[i]);
        }
    }
    return infer->status;
}

/* Without an arrow: the dots, then the letters that occur once, in alphabetical order. */
static size_t einsum_implied(const einsum *all, char *out) {
    size_t size = 0;
    if (all->wild_rank > 0) {
        memcpy(out, "...", 3);
        size = 3;
    }
    for (char c = 'A'; c <= 'z'; c++) {
        if (is_letter(c) && all->counts[(unsigned char)c] == 1) out[size++] = c;
    }
    return size;
}

static partita_status einsum_result(pt_infer *infer, const einsum *all, const char *term, size_t size) {
    int64_t rank = 0;
    int32_t at = 0;
    for (size_t i = 0; i < size; i++) rank += is_letter(term[i]);
    if (memchr(term, '.', size)) rank += all->wild_rank;
    pt_dim *dims = pt_infer_rank(infer, 0, rank);
    if (!dims) return infer->status;
    for (size_t i = 0; i < size; i++) {
        if (is_letter(term[i])) {
            dims[at++] = all->letters[(unsigned char)term[i]];
        } else if (size - i >= 3 && term[i] == '.' && at + all->wild_rank <= rank) {
            memcpy(dims + at, all->wild, (size_t)all->wild_rank * sizeof *dims);
            at += all->wild_rank;
            i += 2;
        }
    }
    return infer->status;
}

partita_status pt_op_infer_einsum(pt_infer *infer) {
    const pt_attribute *equation = pt_node_attribute(infer->node, "equation");
    einsum all = {.wild_rank = 0};
    pt_infer_tensor(infer, 0, pt_infer_in(infer, 0)->dtype);
    if (!equation) return infer->status;
    const char *text = equation->s.data, *end = text + equation->s.size;
    for (size_t i = 0; i < PT_COUNT_OF(all.letters); i++) all.letters[i] = PT_DIM_UNKNOWN;
    const char *arrow = NULL, *term = text;
    for (const char *c = text; c + 1 < end && !arrow; c++) {
        if (c[0] == '-' && c[1] == '>') arrow = c;
    }
    const char *left_end = arrow ? arrow : end;
    bool known = true;
    for (uint32_t i = 0; i < infer->input_count; i++) {
        const char *comma = term < left_end ? memchr(term, ',', (size_t)(left_end - term)) : NULL;
        const char *stop = comma ? comma : left_end;
        if (!comma != (i + 1 == infer->input_count)) {
            return pt_infer_fail(infer, "%u operands for equation '%.*s'", infer->input_count, PT_STR_ARG(equation->s));
        }
        known = known && pt_infer_in(infer, i)->rank >= 0;
        PT_TRY(einsum_term(infer, &all, term, (size_t)(stop - term), pt_infer_in(infer, i)));
        term = comma ? comma + 1 : stop;
    }
    char implied[64];
    /* An operand of unknown rank leaves open what the dots stand for. */
    if (!known && memchr(text, '.', equation->s.size)) return infer->status;
    if (!arrow) return einsum_result(infer, &all, implied, einsum_implied(&all, implied));
    return einsum_result(infer, &all, arrow + 2, (size_t)(end - arrow - 2));
}

/* ---- attention ------------------------------------------------------------------------------- */

/* An operand as [batch, heads, length, width], whether it's given so or as [batch, length, heads * width]. */
static bool by_heads(pt_infer *infer, const pt_infer_value *in, int64_t heads, pt_dim out[4]) {
    if (in->rank == 4) {
        memcpy(out, in->dims, 4 * sizeof *out);
        return true;
    }
    if (in->rank != 3 || heads <= 0) return false;
    out[0] = in->dims[0];
    out[1] = heads;
    out[2] = in->dims[1];
    out[3] = pt_infer_div(infer, in->dims[2], heads);
    return true;
}

static void set_dims(pt_infer *infer, uint32_t output, pt_dim a, pt_dim b, pt_dim c, pt_dim d) {
    pt_dim *dims = pt_infer_rank(infer, output, 4);
    dims[0] = a;
    dims[1] = b;
    dims[2] = c;
    dims[3] = d;
}

partita_status pt_op_infer_attention(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *past = pt_infer_in(infer, 4);
    int64_t heads = pt_node_int(infer->node, "q_num_heads", 0), kv_heads = pt_node_int(infer->node, "kv_num_heads", 0);
    pt_dim q[4], k[4], v[4];
    partita_dtype v_dtype = pt_infer_in(infer, 2)->dtype;
    pt_infer_tensor(infer, 0, in->dtype);
    pt_infer_tensor(infer, 1, pt_infer_in(infer, 1)->dtype);
    pt_infer_tensor(infer, 2, v_dtype);
    pt_infer_tensor(infer, 3, in->dtype);
    if (in->rank == 3 && heads <= 0) return pt_infer_fail(infer, "attribute 'q_num_heads' is missing");
    int32_t k_rank = pt_infer_in(infer, 1)->rank;
    if (in->rank >= 0 && k_rank >= 0 && k_rank != in->rank)
        return pt_infer_fail(infer, "a key of rank %d for a query of rank %d", k_rank, in->rank);
    if (!by_heads(infer, in, heads, q) || !by_heads(infer, pt_infer_in(infer, 1), kv_heads, k) ||
        !by_heads(infer, pt_infer_in(infer, 2), kv_heads, v)) {
        return infer->status;
    }
    pt_dim total = k[2];
    if (pt_infer_has(infer, 4)) total = pt_infer_add(infer, total, past->rank == 4 ? past->dims[2] : PT_DIM_UNKNOWN);
    if (in->rank == 4) {
        set_dims(infer, 0, q[0], q[1], q[2], v[3]);
    } else {
        pt_dim *dims = pt_infer_rank(infer, 0, 3);
        dims[0] = q[0];
        dims[1] = q[2];
        dims[2] = pt_infer_mul(infer, q[1], v[3]);
    }
    set_dims(infer, 1, k[0], k[1], total, k[3]);
    set_dims(infer, 2, v[0], v[1], total, v[3]);
    set_dims(infer, 3, q[0], q[1], q[2], total);
    return infer->status;
}

/* Of tokens by heads; packed ones need their count. */
partita_status pt_op_infer_rotary(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_like(infer, 0, in);
    if (in->rank == 3 && pt_node_int(infer->node, "num_heads", 0) < 1)
        return pt_infer_fail(infer, "an input of rank 3 without attribute 'num_heads'");
    return infer->status;
}

/* The last dim of an input is a multiple of `number`, or 1 where that is fine. */
static partita_status need_multiple(pt_infer *infer, uint32_t input, int64_t number, bool whole) {
    const pt_infer_value *in = pt_infer_in(infer, input);
    int64_t width;
    if (in->rank < 1 || !pt_infer_exact(infer, in->dims[in->rank - 1], &width)) return PARTITA_OK;
    if (whole ? width == number || width == 1 : width % number == 0) return PARTITA_OK;
    return pt_infer_fail(infer, "the last dim of input %u is %lld for %lld heads", input, (long long)width,
                         (long long)number);
}

static partita_status linear_widths(pt_infer *infer, int64_t heads, int64_t kv_heads) {
    const pt_infer_value *k = pt_infer_in(infer, 1), *decay = pt_infer_in(infer, 4);
    int64_t k_width, width;
    if (heads < 1) return pt_infer_fail(infer, "attribute 'q_num_heads' must be positive");
    if (kv_heads < 1) return pt_infer_fail(infer, "attribute 'kv_num_heads' must be positive");
    PT_TRY(need_multiple(infer, 0, heads, false));
    PT_TRY(need_multiple(infer, 1, kv_heads, false));
    PT_TRY(need_multiple(infer, 2, kv_heads, false));
    PT_TRY(need_multiple(infer, 5, kv_heads, true));
    if (decay->rank != 3 || !pt_infer_exact(infer, decay->dims[2], &width) || width == kv_heads) return PARTITA_OK;
    if (k->rank != 3 || !pt_infer_exact(infer, k->dims[2], &k_width) || width == k_width) return PARTITA_OK;
    return pt_infer_fail(infer, "the last dim of the decay is %lld instead of %lld or %lld", (long long)width,
                         (long long)kv_heads, (long long)k_width);
}

partita_status pt_op_infer_linear_attention(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *past = pt_infer_in(infer, 3);
    int64_t heads = pt_node_int(infer->node, "q_num_heads", 0), kv_heads = pt_node_int(infer->node, "kv_num_heads", 0);
    pt_dim k[4], v[4];
    pt_infer_tensor(infer, 0, in->dtype);
    pt_infer_tensor(infer, 1, past->dtype ? past->dtype : in->dtype);
    if (in->rank >= 0 && in->rank != 3) return pt_infer_fail(infer, "a query of rank %d instead of 3", in->rank);
    PT_TRY(linear_widths(infer, heads, kv_heads));
    bool has_k = by_heads(infer, pt_infer_in(infer, 1), kv_heads, k);
    bool has_v = by_heads(infer, pt_infer_in(infer, 2), kv_heads, v);
    pt_dim k_width = has_k ? k[3] : PT_DIM_UNKNOWN, v_width = has_v ? v[3] : PT_DIM_UNKNOWN;
    pt_dim batch = in->rank == 3 ? in->dims[0] : has_k ? k[0] : PT_DIM_UNKNOWN;
    if (past->rank >= 0) {
        if (past->rank != 4) return pt_infer_fail(infer, "a state of rank %d instead of 4", past->rank);
        PT_TRY(pt_infer_same_dim(infer, batch, past->dims[0], &batch));
        pt_dim state_heads = kv_heads;
        PT_TRY(pt_infer_same_dim(infer, state_heads, past->dims[1], &state_heads));
        PT_TRY(pt_infer_same_dim(infer, k_width, past->dims[2], &k_width));
        PT_TRY(pt_infer_same_dim(infer, v_width, past->dims[3], &v_width));
    }
    pt_dim *dims = pt_infer_rank(infer, 0, 3);
    dims[0] = batch;
    dims[1] = in->rank == 3 ? in->dims[1] : has_k ? k[2] : PT_DIM_UNKNOWN;
    dims[2] = pt_infer_mul(infer, pt_infer_number(infer, heads), v_width);
    set_dims(infer, 1, batch, pt_infer_number(infer, kv_heads), k_width, v_width);
    return infer->status;
}

/* Each head of the keys serves as many of the queries. */
static partita_status need_heads(pt_infer *infer, const pt_infer_value *q, const pt_infer_value *k) {
    int64_t heads, kv_heads;
    if (q->rank != 4 || k->rank != 4) return PARTITA_OK;
    if (!pt_infer_exact(infer, q->dims[1], &heads) || !pt_infer_exact(infer, k->dims[1], &kv_heads)) return PARTITA_OK;
    if (heads == kv_heads || (kv_heads > 0 && heads % kv_heads == 0)) return PARTITA_OK;
    return pt_infer_fail(infer, "%lld heads of queries for %lld of keys", (long long)heads, (long long)kv_heads);
}

partita_status pt_op_infer_flex_attention(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *v = pt_infer_in(infer, 2);
    pt_infer_tensor(infer, 0, in->dtype);
    PT_TRY(need_heads(infer, in, pt_infer_in(infer, 1)));
    if (in->rank != 4) return infer->status;
    set_dims(infer, 0, in->dims[0], in->dims[1], in->dims[2], v->rank == 4 ? v->dims[3] : PT_DIM_UNKNOWN);
    return infer->status;
}

/* FlexAttention with bodies comes in pieces: scores, bodies and softmax, the sum over the values. */
partita_status pt_op_infer_flex_scores(pt_infer *infer) {
    const pt_infer_value *q = pt_infer_in(infer, 0), *k = pt_infer_in(infer, 1);
    int64_t precision = pt_node_int(infer->node, "softmax_precision", 0);
    partita_dtype dtype = q->dtype == PARTITA_FLOAT64 ? PARTITA_FLOAT64 : PARTITA_FLOAT32;
    if (precision > 0 && precision < PARTITA_DTYPE_COUNT) dtype = (partita_dtype)precision;
    pt_infer_tensor(infer, 0, q->dtype ? dtype : PARTITA_UNDEFINED);
    if (q->dtype && k->dtype && (q->dtype != k->dtype || !pt_infer_dtype_is_float(q->dtype)))
        return pt_infer_fail(infer, "inputs are of types %s and %s", pt_dtype_name(q->dtype), pt_dtype_name(k->dtype));
    PT_TRY(need_heads(infer, q, k));
    if (q->rank != 4 || k->rank != 4) return infer->status;
    set_dims(infer, 0, q->dims[0], q->dims[1], q->dims[2], k->dims[2]);
    return infer->status;
}

partita_status pt_op_infer_flex_values(pt_infer *infer) {
    const pt_infer_value *weights = pt_infer_in(infer, 0), *v = pt_infer_in(infer, 1);
    pt_infer_tensor(infer, 0, v->dtype);
    PT_TRY(need_heads(infer, weights, v));
    if (weights->rank != 4 || v->rank != 4) return infer->status;
    set_dims(infer, 0, weights->dims[0], weights->dims[1], weights->dims[2], v->dims[3]);
    return infer->status;
}
