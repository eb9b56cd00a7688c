/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scan: the body runs once per element along the scan axes. Opset 8 has a batch in front of everything and lengths per
 * sequence; since opset 9 there is none, and axes are free.
 */
#include "run/control.h"

typedef struct scan {
    pt_control *control;
    pt_id body;
    uint32_t first;                   /* index of the first state among the node's inputs: 1 in opset 8 */
    uint32_t states, inputs, outputs; /* numbers of values */
    partita_value **in;               /* states, slices */
    partita_value **out;              /* states, scan outputs */
    pt_value_list *collected;         /* by scan output */
} scan;

static int64_t listed(const pt_node *node, const char *attribute, uint32_t index) {
    const pt_attribute *a = pt_node_attribute(node, attribute);
    return a && a->type == PTP_ATTRIBUTE_INTS && index < a->count ? a->ints[index] : 0;
}

static partita_status find_axis(int64_t axis, uint32_t rank, uint32_t *out_axis) {
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return pt_fail(PARTITA_BAD_MODEL, "scan axis %lld of rank %u", (long long)axis, rank);
    *out_axis = (uint32_t)axis;
    return PARTITA_OK;
}

static partita_status start(scan *s) {
    pt_control *control = s->control;
    const pt_node *node = control->node;
    s->body = pt_control_body(control, "body");
    int64_t scanned = pt_node_int(node, "num_scan_inputs", 0);
    if (s->body == PT_NONE || scanned < 1 || scanned + s->first > node->input_count)
        return pt_fail(PARTITA_BAD_MODEL, "Scan without a body or with a wrong num_scan_inputs");
    s->inputs = (uint32_t)scanned;
    s->states = node->input_count - s->first - s->inputs;
    const pt_graph *graph = &control->frame->program->build->model->graphs.data[s->body];
    if (graph->inputs.size != s->states + s->inputs || graph->outputs.size < s->states ||
        node->output_count > graph->outputs.size)
        return pt_fail(PARTITA_BAD_MODEL, "the body's inputs or outputs do not fit the node's");
    s->outputs = (uint32_t)graph->outputs.size - s->states;
    s->in = pt_calloc(s->states + s->inputs + 1, sizeof(*s->in));
    s->out = pt_calloc(s->states + s->outputs + 1, sizeof(*s->out));
    s->collected = pt_calloc(s->outputs + 1, sizeof(*s->collected));
    if (!s->in || !s->out || !s->collected) return PT_OUT_OF_MEMORY();
    for (uint32_t i = s->first; i < node->input_count; i++)
        if (!control->inputs[i] || control->inputs[i]->kind != PARTITA_KIND_TENSOR)
            return pt_fail(PARTITA_BAD_MODEL, "input %u of Scan is no tensor", i);
    return PARTITA_OK;
}

/* Inference counts on it, and so does the standard. */
static bool keeps_shape(const partita_value *before, const partita_value *after) {
    return before->rank == after->rank && memcmp(before->dims, after->dims, before->rank * sizeof(*before->dims)) == 0;
}

/* One run of the body over the slices in `in`; states move on, scan outputs are collected. */
static partita_status iterate(scan *s) {
    if (pt_request_stopped(s->control->frame->request)) return pt_request_fail_stopped(s->control->frame->request);
    PT_TRY(pt_body_run(s->control->frame, s->body, s->in, s->states + s->inputs, s->out, s->states + s->outputs));
    for (uint32_t i = 0; i < s->states; i++) {
        if (!keeps_shape(s->in[i], s->out[i]))
            return pt_fail(PARTITA_BAD_INPUT, "state %u of Scan changes its shape", i);
        pt_value_replace(&s->in[i], s->out[i]);
        s->out[i] = NULL;
    }
    for (uint32_t i = 0; i < s->outputs; i++) {
        partita_value *own;
        PT_TRY(pt_value_own(s->out[s->states + i], &own));
        pt_value_replace(&s->out[s->states + i], NULL);
        PT_TRY(pt_value_list_take(&s->collected[i], own));
    }
    return PARTITA_OK;
}

/* Type of the body's output `index`: states first, then scan outputs. */
static const pt_type *output_type(const scan *s, uint32_t index) {
    const pt_model *model = s->control->frame->program->build->model;
    return &model->values.data[model->graphs.data[s->body].outputs.data[index]].type;
}

/* ---- since opset 9 --------------------------------------------------------------------------- */

static partita_status take_slices(scan *s, int64_t index, int64_t length) {
    const pt_node *node = s->control->node;
    for (uint32_t i = 0; i < s->inputs; i++) {
        const partita_value *from = s->control->inputs[s->states + i];
        bool reverse = listed(node, "scan_input_directions", i) != 0;
        uint32_t axis = 0;
        partita_value *slice;
        PT_TRY(find_axis(listed(node, "scan_input_axes", i), from->rank, &axis));
        PT_TRY(pt_value_slice(from, axis, reverse ? length - 1 - index : index, &slice));
        pt_value_replace(&s->in[s->states + i], slice);
    }
    return PARTITA_OK;
}

static partita_status find_length(const scan *s, int64_t *out_length) {
    const pt_node *node = s->control->node;
    for (uint32_t i = 0; i < s->inputs; i++) {
        const partita_value *from = s->control->inputs[s->states + i];
        uint32_t axis = 0;
        PT_TRY(find_axis(listed(node, "scan_input_axes", i), from->rank, &axis));
        if (i == 0)
            *out_length = from->dims[axis];
        else if (from->dims[axis] != *out_length)
            return pt_fail(PARTITA_BAD_INPUT, "scan inputs of lengths %lld and %lld", (long long)*out_length,
                           (long long)from->dims[axis]);
    }
    return PARTITA_OK;
}

static partita_status run_plain(scan *s) {
    pt_control *control = s->control;
    const pt_node *node = control->node;
    int64_t length = 0;
    PT_TRY(find_length(s, &length));
    for (uint32_t i = 0; i < s->states; i++) {
        partita_value_retain(control->inputs[i]);
        s->in[i] = control->inputs[i];
    }
    for (int64_t t = 0; t < length; t++) {
        PT_TRY(take_slices(s, t, length));
        PT_TRY(iterate(s));
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (i < s->states) {
            partita_value_retain(s->in[i]);
            control->outputs[i] = s->in[i];
            continue;
        }
        uint32_t o = i - s->states, axis = 0;
        pt_value_list *list = &s->collected[o];
        uint32_t rank =
            1 + (list->items.size ? list->items.data[0]->rank : (uint32_t)PT_MAX(output_type(s, i)->rank, 0));
        PT_TRY(find_axis(listed(node, "scan_output_axes", o), rank, &axis));
        PT_TRY(pt_control_stack(control, list, list->items.size, axis, listed(node, "scan_output_directions", o) != 0,
                                output_type(s, i), &control->outputs[i]));
    }
    return PARTITA_OK;
}

/* ---- opset 8 --------------------------------------------------------------------------------- */

/* One sequence of the batch; its results are appended to `results`, by output of the node. */
static partita_status run_sequence(scan *s, int64_t b, int64_t length, int64_t longest, pt_value_list *results) {
    pt_control *control = s->control;
    for (uint32_t i = 0; i < s->states; i++) {
        partita_value *state;
        PT_TRY(pt_value_slice(control->inputs[s->first + i], 0, b, &state));
        pt_value_replace(&s->in[i], state);
    }
    for (int64_t t = 0; t < length; t++) {
        for (uint32_t i = 0; i < s->inputs; i++) {
            partita_value *sequence, *slice;
            bool reverse = listed(control->node, "directions", i) != 0;
            PT_TRY(pt_value_slice(control->inputs[s->first + s->states + i], 0, b, &sequence));
            partita_status status = pt_value_slice(sequence, 0, reverse ? length - 1 - t : t, &slice);
            partita_value_release(sequence);
            PT_TRY(status);
            pt_value_replace(&s->in[s->states + i], slice);
        }
        PT_TRY(iterate(s));
    }
    for (uint32_t i = 0; i < s->states + s->outputs; i++) {
        partita_value *result;
        if (i < s->states) {
            PT_TRY(pt_value_own(s->in[i], &result));
        } else {
            pt_value_list *list = &s->collected[i - s->states];
            PT_TRY(pt_control_stack(control, list, (uint64_t)longest, 0, false, output_type(s, i), &result));
            pt_value_list_clear(list);
        }
        PT_TRY(pt_value_list_take(&results[i], result));
    }
    return PARTITA_OK;
}

static partita_status run_batch(scan *s) {
    pt_control *control = s->control;
    const partita_value *lengths = control->inputs[0], *first = control->inputs[s->first + s->states];
    uint32_t count = s->states + s->outputs;
    partita_status status = PARTITA_OK;
    if (first->rank < 2) return pt_fail(PARTITA_BAD_INPUT, "a scan input has no batch and sequence axis");
    int64_t batch = first->dims[0], longest = first->dims[1];
    if (lengths && (lengths->dtype != PARTITA_INT64 || lengths->count != (uint64_t)batch))
        return pt_fail(PARTITA_BAD_INPUT, "sequence_lens does not fit the batch");
    pt_value_list *results = pt_calloc(count + 1, sizeof(*results));
    if (!results) return PT_OUT_OF_MEMORY();
    for (int64_t b = 0; b < batch; b++) {
        int64_t length = lengths ? ((const int64_t *)lengths->data)[b] : longest;
        if (length < 0 || length > longest) {
            status = pt_fail(PARTITA_BAD_INPUT, "sequence length %lld of %lld", (long long)length, (long long)longest);
            goto out;
        }
        PT_CHECK(run_sequence(s, b, length, longest, results));
    }
    for (uint32_t i = 0; i < control->node->output_count; i++)
        PT_CHECK(pt_control_stack(control, &results[i], results[i].items.size, 0, false, output_type(s, i),
                                  &control->outputs[i]));
out:
    for (uint32_t i = 0; i < count; i++) pt_value_list_clear(&results[i]);
    pt_free(results);
    return status;
}

partita_status pt_control_scan(pt_control *control) {
    bool batched = control->node->version < 9;
    scan s = {.control = control, .first = batched ? 1 : 0};
    partita_status status = start(&s);
    if (status == PARTITA_OK) status = batched ? run_batch(&s) : run_plain(&s);
    for (uint32_t i = 0; s.in && i < s.states + s.inputs; i++) partita_value_release(s.in[i]);
    for (uint32_t i = 0; s.out && i < s.states + s.outputs; i++) partita_value_release(s.out[i]);
    for (uint32_t i = 0; s.collected && i < s.outputs; i++) pt_value_list_clear(&s.collected[i]);
    pt_free(s.in);
    pt_free(s.out);
    pt_free(s.collected);
    return status;
}
