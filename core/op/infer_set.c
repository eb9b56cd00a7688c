/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inference of operator sets: the callback of a row sees the inference at hand through a table of the ABI, so that it
 * serves symbols, nominal sizes and the shapes of a run as the functions of this room do.
 */
#include "op/infer.h"

#include <partita/operator_set.h>

/* What `self` is to the callback. */
typedef struct bridge {
    pt_infer *infer;
    bool told; /* why the node is wrong */
} bridge;

static pt_infer *of(void *self) { return ((bridge *)self)->infer; }

/* ---- reading --------------------------------------------------------------------------------- */

static void read_input(void *self, uint32_t index, ptp_known *out) {
    const pt_infer *infer = of(self);
    const pt_infer_value *value = pt_infer_in(infer, index);
    ptp_known known = {.size = out->size,
                       .present = pt_infer_has(infer, index),
                       .kind = value->kind,
                       .dtype = value->dtype,
                       .key_dtype = value->key_dtype,
                       .rank = value->rank,
                       .dims = value->dims,
                       .elements = value->small,
                       .element_count = value->small_count,
                       .data = value->data,
                       .count = value->data_count};
    memcpy(out, &known, PT_MIN((size_t)out->size, sizeof known));
}

static void read_attribute(void *self, const char *name, ptp_argument *out) {
    const pt_infer *infer = of(self);
    const pt_attribute *attribute = name ? pt_node_attribute(infer->node, name) : NULL;
    ptp_argument argument = {.size = out->size};
    if (attribute) {
        argument.type = attribute->type;
        argument.count = attribute->count;
        switch (attribute->type) {
        case PTP_ATTRIBUTE_INT: argument.i = attribute->i; break;
        case PTP_ATTRIBUTE_FLOAT: argument.f = (double)attribute->f; break;
        case PTP_ATTRIBUTE_STRING: argument.s = attribute->s; break;
        case PTP_ATTRIBUTE_INTS: argument.ints = attribute->ints; break;
        case PTP_ATTRIBUTE_FLOATS: argument.floats = attribute->floats; break;
        case PTP_ATTRIBUTE_STRINGS: argument.strings = attribute->strings; break;
        default: break;
        }
    }
    memcpy(out, &argument, PT_MIN((size_t)out->size, sizeof argument));
}

/* ---- dims ------------------------------------------------------------------------------------ */

/* A handle that the host never gave is an unknown dim. */
static pt_dim known_dim(const pt_infer *infer, ptp_dim dim) {
    if (dim == PTP_DIM_UNKNOWN || pt_dim_is_exact(dim)) return dim;
    return -(dim + 1) < (int64_t)infer->symbols->rows.size ? dim : PT_DIM_UNKNOWN;
}

static void keep(pt_infer *infer, partita_status status) {
    if (infer->status == PARTITA_OK) infer->status = status;
}

static ptp_dim apply(void *self, uint32_t op, ptp_dim x, ptp_dim y) {
    static const pt_dim_op ops[] = {
        [PTP_DIM_ADD] = PT_DIM_ADD,
        [PTP_DIM_SUB] = PT_DIM_SUB,
        [PTP_DIM_MUL] = PT_DIM_MUL,
        [PTP_DIM_FLOOR_DIV] = PT_DIM_FLOOR_DIV,
        [PTP_DIM_TRUNC_DIV] = PT_DIM_TRUNC_DIV,
        [PTP_DIM_MOD] = PT_DIM_MOD,
        [PTP_DIM_MAX] = PT_DIM_MAX,
        [PTP_DIM_MIN] = PT_DIM_MIN,
        [PTP_DIM_BROADCAST] = PT_DIM_BROADCAST,
    };
    pt_infer *infer = of(self);
    pt_dim a = known_dim(infer, x), b = known_dim(infer, y), result = PT_DIM_UNKNOWN;
    if (op == PTP_DIM_CEIL_DIV) return pt_infer_ceil_div(infer, a, b);
    if (op == PTP_DIM_SAME) {
        keep(infer, pt_infer_same_dim(infer, a, b, &result));
        return result;
    }
    return op < PT_COUNT_OF(ops) && ops[op] != PT_DIM_BASE ? pt_infer_apply(infer, ops[op], a, b) : PT_DIM_UNKNOWN;
}

static ptp_dim number(void *self, int64_t value) { return pt_infer_number(of(self), value); }

static int32_t exact(void *self, ptp_dim dim, int64_t *out_number) {
    return pt_infer_exact(of(self), known_dim(of(self), dim), out_number);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_output(void *self, uint32_t index, partita_dtype dtype, int32_t rank, const ptp_dim *dims) {
    pt_infer *infer = of(self);
    pt_infer_tensor(infer, index, dtype < PARTITA_DTYPE_COUNT ? dtype : PARTITA_UNDEFINED);
    pt_dim *to = rank < 0 ? NULL : pt_infer_rank(infer, index, rank);
    for (int32_t i = 0; to && dims && i < rank; i++) to[i] = known_dim(infer, dims[i]);
}

static void write_like(void *self, uint32_t index, uint32_t input, partita_dtype dtype) {
    pt_infer *infer = of(self);
    pt_infer_like(infer, index, pt_infer_in(infer, input));
    if (dtype != PARTITA_UNDEFINED && dtype < PARTITA_DTYPE_COUNT) pt_infer_out(infer, index)->dtype = dtype;
}

static void write_broadcast(void *self, uint32_t index, partita_dtype dtype, uint32_t first, uint32_t count) {
    pt_infer *infer = of(self);
    pt_infer_tensor(infer, index, dtype < PARTITA_DTYPE_COUNT ? dtype : PARTITA_UNDEFINED);
    if (first > infer->input_count || count > infer->input_count - first) return;
    keep(infer, pt_infer_broadcast(infer, index, first, count));
}

static void write_elements(void *self, uint32_t index, uint32_t count, const ptp_dim *elements) {
    pt_infer *infer = of(self);
    pt_dim *to = pt_infer_small(infer, index, count);
    for (uint32_t i = 0; to && elements && i < count; i++) to[i] = known_dim(infer, elements[i]);
}

static partita_status fail(void *self, const char *message) {
    ((bridge *)self)->told = true;
    return pt_infer_fail(of(self), "%s", message ? message : "is wrong, for no reason that its operator set gives");
}

/* ---- calls ----------------------------------------------------------------------------------- */

static ptp_inference table_for(bridge *self) {
    return (ptp_inference){.size = sizeof(ptp_inference),
                           .since = self->infer->since,
                           .input_count = self->infer->input_count,
                           .output_count = self->infer->output_count,
                           .self = self,
                           .input = read_input,
                           .attribute = read_attribute,
                           .apply = apply,
                           .number = number,
                           .exact = exact,
                           .output = write_output,
                           .output_like = write_like,
                           .output_broadcast = write_broadcast,
                           .output_elements = write_elements,
                           .fail = fail};
}

static partita_status settle(const bridge *self, partita_status status) {
    const char *origin = self->infer->node->schema->origin;
    if (status == PARTITA_OK) return self->infer->status;
    if (!pt_status_is_valid(status)) {
        return pt_fail(PARTITA_INTERNAL, "operator set %s: returned %d, which is no status", origin, (int)status);
    }
    if (self->told) return status;
    return pt_fail(status, "operator set %s: failed, and gave no reason (%s)", origin, pt_status_text(status));
}

partita_status pt_op_choose_set(pt_infer *infer, uint32_t *out_body) {
    bridge self = {.infer = infer};
    const ptp_inference table = table_for(&self);
    const ptp_operator_row *row = infer->node->schema->row;
    *out_body = row->body_count ? 0 : PT_NONE;
    if (!row->choose || !row->body_count) return PARTITA_OK;
    PT_TRY(settle(&self, row->choose(&table, out_body)));
    if (*out_body < row->body_count || *out_body == PT_NONE) return PARTITA_OK;
    return pt_fail(PARTITA_INTERNAL, "operator set %s: chose body %u of %u", infer->node->schema->origin, *out_body,
                   row->body_count);
}

partita_status pt_op_infer_set(pt_infer *infer) {
    bridge self = {.infer = infer};
    const ptp_inference table = table_for(&self);
    return settle(&self, infer->node->schema->row->infer(&table));
}
