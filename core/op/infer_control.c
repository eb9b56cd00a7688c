/* SPDX-License-Identifier: Apache-2.0 */
/*
 * If, Loop, Scan and SequenceMap: their bodies are inferred with what goes in, and what comes out is brought together.
 * Only the pass over a model gets here; for shapes of a run the host runs the bodies.
 */
#include "op/infer.h"

#include <limits.h>

/*
 * Loops are tried until what is carried no longer changes. From TRIES on all carried dims are given up, which always
 * ends it; within PATIENT_DEPTH bodies they are at once, so that nested loops do not multiply.
 */
enum { PATIENT_DEPTH = 2, TRIES = 3 };

static pt_id body_of(const pt_infer *infer, const char *name) {
    const pt_attribute *attribute = pt_node_attribute(infer->node, name);
    return attribute && pt_attribute_has_graphs(attribute) && attribute->count == 1 ? attribute->graphs[0] : PT_NONE;
}

static partita_status need_body(pt_infer *infer, const char *name, pt_id *out_graph) {
    *out_graph = body_of(infer, name);
    return *out_graph == PT_NONE ? pt_infer_fail(infer, "attribute '%s' is no graph", name) : PARTITA_OK;
}

static partita_status need_counts(pt_infer *infer, pt_id graph, size_t inputs, size_t outputs) {
    const pt_graph *body = &infer->model->graphs.data[graph];
    if (body->inputs.size != inputs) {
        return pt_infer_fail(infer, "the body has %zu inputs instead of %zu", body->inputs.size, inputs);
    }
    if (body->outputs.size != outputs) {
        return pt_infer_fail(infer, "the body has %zu outputs instead of %zu", body->outputs.size, outputs);
    }
    return PARTITA_OK;
}

/* ---- If -------------------------------------------------------------------------------------- */

/* This type with tensors of any shape. */
static const pt_type *any_shape(pt_infer *infer, const pt_type *element) {
    if (!element || element->kind == PARTITA_KIND_MAP) return element;
    const pt_infer_value shapeless = {
        .kind = element->kind, .dtype = element->dtype, .rank = -1, .element = any_shape(infer, element->element)};
    return pt_infer_make_type(infer, &shapeless);
}

static bool is_same(const pt_type *a, const pt_type *b) {
    if (a == b || !a || !b) return a == b;
    bool same = a->kind == b->kind && a->dtype == b->dtype && a->key_dtype == b->key_dtype && a->rank == b->rank;
    for (int32_t i = 0; same && i < a->rank; i++) same = a->dims[i] == b->dims[i];
    return same && is_same(a->element, b->element);
}

/* What holds for both. */
static partita_status meet(pt_infer *infer, const pt_infer_value *a, const pt_infer_value *b, pt_infer_value *out) {
    *out = *a;
    out->data = NULL;
    if (a->kind == PARTITA_KIND_NONE || b->kind == PARTITA_KIND_NONE) {
        if (a->kind == PARTITA_KIND_NONE) out->kind = b->kind, out->dtype = b->dtype, out->element = b->element;
        out->rank = -1;
        out->small = NULL;
        return PARTITA_OK;
    }
    if (a->kind != b->kind || (a->dtype && b->dtype && a->dtype != b->dtype)) {
        return pt_infer_fail(infer, "the branches give values of different types");
    }
    if (!is_same(a->element, b->element)) out->element = any_shape(infer, a->element ? a->element : b->element);
    if (a->rank != b->rank) out->rank = -1;
    for (int32_t i = 0; i < out->rank; i++) {
        if (a->dims[i] != b->dims[i]) out->dims[i] = PT_DIM_UNKNOWN;
    }
    bool same = a->small && b->small && a->small_count == b->small_count &&
                memcmp(a->small, b->small, a->small_count * sizeof *a->small) == 0;
    if (!same) out->small = NULL;
    return PARTITA_OK;
}

/*
 * A branch that is never taken may be wrong for these shapes: exporters write Ifs whose branches fit one shape each. A
 * model is bad when the branch that is taken is wrong, or both are where that's not known.
 */
static partita_status infer_branches(pt_infer *infer, const pt_id graphs[2], int *out_taken) {
    const char *messages[2];
    for (int i = 0; i < 2; i++) {
        PT_TRY(need_counts(infer, graphs[i], 0, infer->output_count));
        PT_TRY(pt_infer_branch(infer, graphs[i], &messages[i]));
    }
    if (*out_taken >= 0)
        return messages[*out_taken] ? pt_fail_copy(PARTITA_BAD_MODEL, messages[*out_taken]) : PARTITA_OK;
    if (messages[0] && messages[1]) return pt_fail_copy(PARTITA_BAD_MODEL, messages[0]);
    if (messages[0] || messages[1]) *out_taken = messages[0] ? 1 : 0;
    return PARTITA_OK;
}

partita_status pt_op_infer_if(pt_infer *infer) {
    const pt_infer_value *condition = pt_infer_in(infer, 0);
    pt_id graphs[2];
    PT_TRY(need_body(infer, "else_branch", &graphs[0]));
    PT_TRY(need_body(infer, "then_branch", &graphs[1]));
    int64_t chosen;
    bool known = condition->small && condition->small_count == 1 && pt_infer_exact(infer, condition->small[0], &chosen);
    int taken = known ? chosen != 0 : -1;
    PT_TRY(infer_branches(infer, graphs, &taken));
    for (uint32_t i = 0; i < infer->output_count; i++) {
        pt_infer_value values[2], *out = pt_infer_out(infer, i);
        for (int k = 0; k < 2; k++) pt_infer_body_output(infer, graphs[k], i, &values[k]);
        if (taken < 0) {
            PT_TRY(meet(infer, &values[0], &values[1], out));
            continue;
        }
        *out = values[taken];
        out->data = NULL;
        if (!known) out->small = NULL;
        if (out->kind == PARTITA_KIND_NONE) {
            out->kind = values[!taken].kind;
            out->dtype = values[!taken].dtype;
        }
    }
    return infer->status;
}

/* ---- carried values -------------------------------------------------------------------------- */

/* A body that runs again on values it made: their shapes must hold for every round. */
typedef struct carried {
    pt_id graph;
    uint32_t count;        /* of carried values */
    uint32_t first_input;  /* of the body */
    uint32_t first_output; /* of the body */
    bool keeps_shape;      /* what comes out has the shape of what goes in */
    pt_infer_value *values;
} carried;

/* Of Scan: states keep their shape, so that what is known of one of the two holds for both. */
static partita_status match(pt_infer *infer, pt_infer_value *value, const pt_infer_value *after, bool *out_changed) {
    if (after->rank < 0) return PARTITA_OK;
    bool fresh = value->rank < 0;
    if (!fresh && value->rank != after->rank) {
        return pt_infer_fail(infer, "a state changes its rank from %d to %d", value->rank, after->rank);
    }
    value->rank = after->rank;
    for (int32_t i = 0; i < after->rank; i++) {
        pt_dim old = fresh ? PT_DIM_UNKNOWN : value->dims[i], dim = after->dims[i];
        bool varies = dim != PT_DIM_UNKNOWN && pt_dim_depends_on_data(infer->symbols, dim);
        PT_TRY(pt_infer_same_dim(infer, old, varies ? PT_DIM_UNKNOWN : dim, &value->dims[i]));
        *out_changed = *out_changed || fresh || value->dims[i] != old;
    }
    return PARTITA_OK;
}

/* Gives up what the body's output contradicts; true when that changed the value. */
static partita_status widen(pt_infer *infer, pt_infer_value *value, const pt_infer_value *after, bool keeps_shape,
                            bool *out_changed) {
    if (value->kind == PARTITA_KIND_NONE || after->kind == PARTITA_KIND_NONE) return PARTITA_OK;
    /* What goes in as an optional may come out as what it holds. */
    if (value->kind == PARTITA_KIND_OPTIONAL && after->kind != PARTITA_KIND_OPTIONAL) return PARTITA_OK;
    if (value->kind != after->kind || (value->dtype && after->dtype && value->dtype != after->dtype)) {
        return pt_infer_fail(infer, "a carried value changes its type from %s to %s", pt_dtype_name(value->dtype),
                             pt_dtype_name(after->dtype));
    }
    if (keeps_shape) return match(infer, value, after, out_changed);
    if (value->rank < 0) return PARTITA_OK;
    if (value->rank != after->rank) {
        value->rank = -1;
        *out_changed = true;
        return PARTITA_OK;
    }
    for (int32_t i = 0; i < value->rank; i++) {
        if (value->dims[i] == PT_DIM_UNKNOWN || value->dims[i] == after->dims[i]) continue;
        value->dims[i] = PT_DIM_UNKNOWN;
        *out_changed = true;
    }
    return PARTITA_OK;
}

static void give_up(pt_infer_value *value, bool rank) {
    for (int32_t i = 0; i < value->rank; i++) value->dims[i] = PT_DIM_UNKNOWN;
    if (rank) value->rank = -1;
}

/* The body once, with the values as they are known now; `*out_changed` when it gives others. */
static partita_status try_body(pt_infer *infer, carried *all, bool *out_changed) {
    *out_changed = false;
    for (uint32_t i = 0; i < all->count; i++) {
        PT_TRY(pt_infer_body_input(infer, all->graph, all->first_input + i, &all->values[i]));
    }
    PT_TRY(pt_infer_body(infer, all->graph));
    for (uint32_t i = 0; i < all->count; i++) {
        pt_infer_value after;
        pt_infer_body_output(infer, all->graph, all->first_output + i, &after);
        PT_TRY(widen(infer, &all->values[i], &after, all->keeps_shape, out_changed));
    }
    return infer->status;
}

/* Until the values that go in are those that come out. What is known in the body is that of the last try. */
static partita_status settle(pt_infer *infer, carried *all) {
    bool changed = true;
    for (uint32_t i = 0; i < all->count; i++) {
        pt_infer_value *value = &all->values[i];
        value->small = NULL;
        value->data = NULL;
        if (value->kind != PARTITA_KIND_TENSOR)
            value->element = value->kind == PARTITA_KIND_SEQUENCE ? any_shape(infer, value->element) : NULL;
        if (pt_infer_depth(infer) >= PATIENT_DEPTH && !all->keeps_shape) give_up(value, false);
    }
    pt_infer_snapshot *before = pt_infer_snapshot_take(infer, all->graph);
    if (!before) return infer->status;
    partita_status status = PARTITA_OK;
    int most = !all->keeps_shape ? INT_MAX : pt_infer_depth(infer) >= PATIENT_DEPTH ? 1 : TRIES;
    for (int tries = 0; changed && tries < most && status == PARTITA_OK; tries++) {
        if (tries > 0) pt_infer_snapshot_restore(infer, before);
        for (uint32_t i = 0; tries >= TRIES && i < all->count; i++) give_up(&all->values[i], tries > TRIES);
        status = try_body(infer, all, &changed);
    }
    pt_infer_snapshot_free(before);
    return status;
}

/* A final value is either the first or what the body gives: what goes into the body holds for both. */
static void final_values(pt_infer *infer, const carried *all) {
    for (uint32_t i = 0; i < all->count; i++) {
        pt_infer_value body;
        pt_infer_body_output(infer, all->graph, all->first_output + i, &body);
        pt_infer_like(infer, i, &all->values[i]);
        pt_infer_value *out = pt_infer_out(infer, i);
        if (out->kind == PARTITA_KIND_NONE || out->kind == PARTITA_KIND_OPTIONAL) {
            pt_infer_from_type(NULL, out);
            out->kind = body.kind;
            out->dtype = body.dtype;
        }
    }
}

static pt_infer_value *first_values(pt_infer *infer, uint32_t first, uint32_t count) {
    pt_infer_value *values = pt_arena_array(infer->scratch, count, sizeof *values);
    if (!values) infer->status = PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; values && i < count; i++) values[i] = *pt_infer_in(infer, first + i);
    return values;
}

/* Outputs that collect one value a round, in a new dim at `axis`. */
static partita_status collect(pt_infer *infer, pt_id graph, uint32_t body_output, uint32_t output, int64_t axis_number,
                              pt_dim rounds) {
    pt_infer_value value;
    int32_t axis;
    pt_infer_body_output(infer, graph, body_output, &value);
    pt_infer_tensor(infer, output, value.dtype);
    if (value.rank < 0) return infer->status;
    PT_TRY(pt_infer_axis(infer, axis_number, (int64_t)value.rank + 1, &axis));
    pt_dim *dims = pt_infer_rank(infer, output, (int64_t)value.rank + 1);
    for (int32_t i = 0, from = 0; dims && i <= value.rank; i++) {
        if (i == axis) {
            dims[i] = rounds;
            continue;
        }
        pt_dim dim = value.dims[from++];
        /* What a round makes of its data has no common size. */
        bool varies = dim != PT_DIM_UNKNOWN && pt_dim_depends_on_data(infer->symbols, dim);
        dims[i] = varies ? PT_DIM_UNKNOWN : dim;
    }
    return infer->status;
}

/* ---- Loop ------------------------------------------------------------------------------------ */

/* How many rounds there are: known when the condition cannot end them early. */
static pt_dim loop_rounds(pt_infer *infer, pt_id graph) {
    const pt_infer_value *most = pt_infer_in(infer, 0), *condition = pt_infer_in(infer, 1);
    bool starts =
        !pt_infer_has(infer, 1) || (condition->small && condition->small_count == 1 && condition->small[0] == 1);
    pt_infer_value again;
    pt_infer_body_output(infer, graph, 0, &again);
    bool goes_on = again.small && again.small_count == 1 && again.small[0] == 1;
    if (!starts || !goes_on || !most->small || most->small_count != 1) return PT_DIM_UNKNOWN;
    return pt_infer_max(infer, most->small[0], 0);
}

partita_status pt_op_infer_loop(pt_infer *infer) {
    carried all = {.first_input = 2, .first_output = 1, .count = infer->input_count - 2};
    const pt_dim yes = 1;
    PT_TRY(need_body(infer, "body", &all.graph));
    if (infer->output_count < all.count) return pt_infer_fail(infer, "fewer outputs than carried values");
    PT_TRY(need_counts(infer, all.graph, 2 + (size_t)all.count, 1 + (size_t)infer->output_count));
    all.values = first_values(infer, 2, all.count);
    if (!all.values) return infer->status;
    pt_infer_value round = {.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_INT64, .rank = 0};
    /* Inside the body the condition was true. */
    pt_infer_value condition = {
        .kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_BOOL, .rank = 0, .small = &yes, .small_count = 1};
    /* Some exporters declare these two as lists of one element. */
    const pt_graph *body = &infer->model->graphs.data[all.graph];
    if (pt_value_at(infer->model, body->inputs.data[0])->type.rank >= 0) round.rank = -1;
    if (pt_value_at(infer->model, body->inputs.data[1])->type.rank >= 0) condition.rank = -1;
    PT_TRY(pt_infer_body_input(infer, all.graph, 0, &round));
    PT_TRY(pt_infer_body_input(infer, all.graph, 1, &condition));
    PT_TRY(settle(infer, &all));
    final_values(infer, &all);
    pt_dim rounds = loop_rounds(infer, all.graph);
    for (uint32_t i = all.count; i < infer->output_count; i++) PT_TRY(collect(infer, all.graph, 1 + i, i, 0, rounds));
    return infer->status;
}

/* ---- Scan ------------------------------------------------------------------------------------ */

static int64_t scan_axis(const pt_infer *infer, const char *name, uint32_t i) {
    const pt_attribute *attribute = pt_infer_ints(infer, name);
    return attribute && i < attribute->count ? attribute->ints[i] : 0;
}

/* `value` without the dim at `axis`, which must be `*rounds` long. */
static partita_status take_axis(pt_infer *infer, pt_infer_value *value, int64_t axis_number, pt_dim *rounds) {
    int32_t axis;
    if (value->rank < 0) return PARTITA_OK;
    PT_TRY(pt_infer_axis(infer, axis_number, value->rank, &axis));
    pt_dim dim = value->dims[axis];
    if (rounds) PT_TRY(pt_infer_same_dim(infer, *rounds, dim, rounds));
    memmove(value->dims + axis, value->dims + axis + 1, (size_t)(value->rank - axis - 1) * sizeof *value->dims);
    value->rank--;
    return PARTITA_OK;
}

/* Version 8 has a batch in front of everything, and an input of lengths before the others. */
static partita_status scan_batched(pt_infer *infer, uint32_t states, const carried *all, pt_dim rounds) {
    pt_dim batch = PT_DIM_UNKNOWN;
    for (uint32_t i = 1; i < infer->input_count; i++) {
        const pt_infer_value *in = pt_infer_in(infer, i);
        if (in->rank > 0) PT_TRY(pt_infer_same_dim(infer, batch, in->dims[0], &batch));
    }
    for (uint32_t i = 0; i < infer->output_count; i++) {
        pt_infer_value value;
        pt_infer_body_output(infer, all->graph, i, &value);
        if (i < states) value = all->values[i];
        pt_infer_tensor(infer, i, value.dtype);
        int32_t more = i < states ? 1 : 2;
        pt_dim *dims = value.rank >= 0 ? pt_infer_rank(infer, i, (int64_t)value.rank + more) : NULL;
        if (!dims) continue;
        dims[0] = batch;
        if (more == 2) dims[1] = rounds;
        memcpy(dims + more, value.dims, (size_t)value.rank * sizeof *dims);
    }
    return infer->status;
}

partita_status pt_op_infer_scan(pt_infer *infer) {
    uint32_t skip = infer->since < 9 ? 1 : 0, inputs = infer->input_count - skip;
    int64_t scanned = pt_node_int(infer->node, "num_scan_inputs", 0);
    carried all = {.keeps_shape = true};
    PT_TRY(need_body(infer, "body", &all.graph));
    if (infer->input_count < skip || scanned < 1 || scanned > inputs) {
        return pt_infer_fail(infer, "attribute 'num_scan_inputs' is %lld for %u inputs", (long long)scanned, inputs);
    }
    all.count = inputs - (uint32_t)scanned;
    if (infer->output_count < all.count) return pt_infer_fail(infer, "fewer outputs than states");
    PT_TRY(need_counts(infer, all.graph, inputs, infer->output_count));
    all.values = first_values(infer, skip, all.count);
    if (!all.values) return infer->status;
    for (uint32_t i = 0; skip && i < all.count; i++) PT_TRY(take_axis(infer, &all.values[i], 0, NULL));
    pt_dim rounds = PT_DIM_UNKNOWN;
    for (uint32_t i = 0; i < (uint32_t)scanned; i++) {
        pt_infer_value value = *pt_infer_in(infer, skip + all.count + i);
        value.small = NULL;
        value.data = NULL;
        if (skip) PT_TRY(take_axis(infer, &value, 0, NULL));
        PT_TRY(take_axis(infer, &value, skip ? 0 : scan_axis(infer, "scan_input_axes", i), &rounds));
        PT_TRY(pt_infer_body_input(infer, all.graph, all.count + i, &value));
    }
    PT_TRY(settle(infer, &all));
    if (skip) return scan_batched(infer, all.count, &all, rounds);
    final_values(infer, &all);
    for (uint32_t i = all.count; i < infer->output_count; i++) {
        PT_TRY(collect(infer, all.graph, i, i, scan_axis(infer, "scan_output_axes", i - all.count), rounds));
    }
    return infer->status;
}

/* ---- SequenceMap ----------------------------------------------------------------------------- */

partita_status pt_op_infer_sequence_map(pt_infer *infer) {
    pt_id graph;
    PT_TRY(need_body(infer, "body", &graph));
    PT_TRY(need_counts(infer, graph, infer->input_count, infer->output_count));
    for (uint32_t i = 0; i < infer->input_count; i++) {
        pt_infer_value value = *pt_infer_in(infer, i);
        if (value.kind == PARTITA_KIND_SEQUENCE) pt_infer_from_type(value.element, &value);
        value.small = NULL;
        PT_TRY(pt_infer_body_input(infer, graph, i, &value));
    }
    PT_TRY(pt_infer_body(infer, graph));
    for (uint32_t i = 0; i < infer->output_count; i++) {
        pt_infer_value value, *out = pt_infer_out(infer, i);
        pt_infer_body_output(infer, graph, i, &value);
        out->kind = PARTITA_KIND_SEQUENCE;
        out->dtype = value.dtype;
        out->element = pt_infer_make_type(infer, &value);
    }
    return infer->status;
}

/* ---- Gradient -------------------------------------------------------------------------------- */

/* Each output is what the input of the same number is. */
partita_status pt_op_infer_gradient(pt_infer *infer) {
    for (uint32_t i = 0; i < infer->output_count; i++) pt_infer_like(infer, i, pt_infer_in(infer, i));
    return infer->status;
}
