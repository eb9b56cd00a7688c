/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a control-flow node: its inputs as values of the host, its bodies as frames inside this one, its outputs as
 * values of their own.
 */
#include "run/control.h"

pt_id pt_control_body(const pt_control *control, const char *attribute) {
    const pt_attribute *body = pt_node_attribute(control->node, attribute);
    return body && body->type == PTP_ATTRIBUTE_GRAPH && body->count ? body->graphs[0] : PT_NONE;
}

partita_status pt_value_list_take(pt_value_list *list, partita_value *value) {
    if (pt_array_push(&list->items, value)) return PARTITA_OK;
    partita_value_release(value);
    return PT_OUT_OF_MEMORY();
}

void pt_value_list_clear(pt_value_list *list) {
    for (size_t i = 0; i < list->items.size; i++) partita_value_release(list->items.data[i]);
    pt_array_deinit(&list->items);
}

void pt_value_replace(partita_value **place, partita_value *value) {
    partita_value_release(*place);
    *place = value;
}

partita_status pt_control_stack(const pt_control *control, const pt_value_list *list, uint64_t length, uint32_t axis,
                                bool reverse, const pt_type *like, partita_value **out_value) {
    pt_frame *frame = control->frame;
    uint32_t rank = (uint32_t)PT_MAX(like->rank, 0);
    pt_type known = *like;
    pt_dim *dims = pt_calloc(rank + 1, sizeof(*dims));
    if (!dims) return PT_OUT_OF_MEMORY();
    pthread_mutex_lock(&frame->lock);
    for (uint32_t i = 0; i < rank; i++) {
        int64_t dim = pt_dim_evaluate(like->dims[i], frame->symbols);
        dims[i] = dim < 0 ? like->dims[i] : dim;
    }
    pthread_mutex_unlock(&frame->lock);
    known.dims = dims;
    partita_status status =
        pt_value_stack(list->items.data, list->items.size, length, axis, reverse, &known, control->name, out_value);
    pt_free(dims);
    return status;
}

partita_status pt_body_run(pt_frame *around, pt_id graph, partita_value *const *inputs, uint32_t input_count,
                           partita_value **outputs, uint32_t output_count) {
    pt_program *program = graph == PT_NONE ? NULL : around->program->build->programs[graph];
    partita_status status;
    pt_frame *frame;
    if (!program) return pt_fail(PARTITA_INTERNAL, "a body has no program");
    if (program->output_count != output_count)
        return pt_fail(PARTITA_BAD_MODEL, "the body has %u outputs, expected %u", program->output_count, output_count);
    PT_TRY(pt_frame_acquire(around->request, program, around, &frame));
    PT_CHECK(pt_frame_bind(frame, inputs, input_count));
    PT_CHECK(pt_frame_run(frame));
    for (uint32_t i = 0; i < output_count; i++) outputs[i] = NULL;
    status = pt_frame_outputs(frame, outputs);
    for (uint32_t i = 0; status != PARTITA_OK && i < output_count; i++) pt_value_replace(&outputs[i], NULL);
out:
    pt_frame_release(frame, status != PARTITA_OK);
    return status;
}

static partita_status dispatch(pt_control *control) {
    if (pt_str_is(control->node->op, "If")) return pt_control_if(control);
    if (pt_str_is(control->node->op, "Loop")) return pt_control_loop(control);
    if (pt_str_is(control->node->op, "SequenceMap")) return pt_control_sequence_map(control);
    return pt_control_scan(control);
}

/* Outputs live longer than what the node read. */
static partita_status publish(pt_control *control, const pt_step *step) {
    for (uint32_t i = 0; i < step->output_count; i++) {
        partita_value *own;
        if (step->outputs[i] == PT_NONE) continue;
        if (!control->outputs[i]) return pt_fail(PARTITA_INTERNAL, "output %u was not computed", i);
        PT_TRY(pt_value_own(control->outputs[i], &own));
        pt_slot_set(control->frame, step->outputs[i], own);
        if (own->kind == PARTITA_KIND_TENSOR || own->kind == PARTITA_KIND_SPARSE)
            PT_TRY(pt_frame_bind_data(control->frame, control->node->outputs[i], own->rank, own->dims));
    }
    return PARTITA_OK;
}

partita_status pt_step_control(pt_frame *frame, uint32_t s) {
    const pt_step *step = &frame->program->steps.data[s];
    const pt_model *model = frame->program->build->model;
    partita_status status = PARTITA_OK;
    pt_control control = {.frame = frame, .node = &model->nodes.data[step->node]};
    control.name = pt_node_name(model, step->node).data;
    control.inputs = pt_calloc(step->input_count + 1, sizeof(*control.inputs));
    control.outputs = pt_calloc(step->output_count + 1, sizeof(*control.outputs));
    if (!control.inputs || !control.outputs) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint32_t i = 0; i < step->input_count; i++)
        if (step->inputs[i] != PT_NONE) PT_CHECK(pt_frame_value(frame, step->inputs[i], &control.inputs[i]));
    PT_CHECK(dispatch(&control));
    PT_CHECK(publish(&control, step));
out:
    for (uint32_t i = 0; control.inputs && i < step->input_count; i++) partita_value_release(control.inputs[i]);
    for (uint32_t i = 0; control.outputs && i < step->output_count; i++) partita_value_release(control.outputs[i]);
    pt_free(control.inputs);
    pt_free(control.outputs);
    return status;
}

partita_status pt_control_if(pt_control *control) {
    bool truth;
    if (!control->inputs[0]) return pt_fail(PARTITA_BAD_MODEL, "If without a condition");
    PT_TRY(pt_value_scalar_bool(control->inputs[0], "the condition", &truth));
    return pt_body_run(control->frame, pt_control_body(control, truth ? "then_branch" : "else_branch"), NULL, 0,
                       control->outputs, control->node->output_count);
}
