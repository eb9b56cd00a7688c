/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loop: carried values go from iteration to iteration as they are, scan outputs are collected and stacked at the end.
 */
#include "run/control.h"

typedef struct loop {
    pt_control *control;
    pt_id body;
    uint32_t carried, scanned; /* numbers of values */
    partita_value **in;        /* iteration, condition, carried */
    partita_value **out;       /* condition, carried, scanned */
    pt_value_list *collected;  /* by scan output */
} loop;

static partita_status start(loop *l, int64_t *out_trips, bool *out_goes) {
    pt_control *control = l->control;
    const pt_node *node = control->node;
    *out_trips = INT64_MAX;
    *out_goes = true;
    if (node->input_count > 0 && control->inputs[0])
        PT_TRY(pt_value_scalar_int(control->inputs[0], "the trip count", out_trips));
    if (node->input_count > 1 && control->inputs[1])
        PT_TRY(pt_value_scalar_bool(control->inputs[1], "the condition", out_goes));
    l->body = pt_control_body(control, "body");
    if (l->body == PT_NONE) return pt_fail(PARTITA_BAD_MODEL, "Loop without a body");
    l->carried = node->input_count > 2 ? node->input_count - 2 : 0;
    const pt_graph *graph = &control->frame->program->build->model->graphs.data[l->body];
    if (graph->inputs.size != l->carried + 2 || graph->outputs.size < l->carried + 1)
        return pt_fail(PARTITA_BAD_MODEL, "the body has %zu inputs and %zu outputs for %u carried values",
                       graph->inputs.size, graph->outputs.size, l->carried);
    l->scanned = (uint32_t)graph->outputs.size - 1 - l->carried;
    if (node->output_count > l->carried + l->scanned)
        return pt_fail(PARTITA_BAD_MODEL, "the node has %u outputs, its body gives %u", node->output_count,
                       l->carried + l->scanned);
    l->in = pt_calloc(l->carried + 2, sizeof(*l->in));
    l->out = pt_calloc(1 + l->carried + l->scanned, sizeof(*l->out));
    l->collected = pt_calloc(l->scanned + 1, sizeof(*l->collected));
    if (!l->in || !l->out || !l->collected) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < l->carried; i++) {
        partita_value *initial = control->inputs[2 + i];
        if (!initial) return pt_fail(PARTITA_BAD_MODEL, "carried value %u has no initial value", i);
        partita_value_retain(initial);
        l->in[2 + i] = initial;
    }
    return PARTITA_OK;
}

/* A body may take an optional and give what such a one holds: the next turn gets it as an optional again. */
static partita_status wrap_optionals(loop *l) {
    const pt_model *model = l->control->frame->program->build->model;
    const pt_graph *graph = &model->graphs.data[l->body];
    for (uint32_t i = 0; i < l->carried; i++) {
        partita_value *wrapped, **value = &l->in[2 + i];
        bool wants = model->values.data[graph->inputs.data[2 + i]].type.kind == PARTITA_KIND_OPTIONAL;
        if (!wants || (*value)->kind == PARTITA_KIND_OPTIONAL) continue;
        PT_TRY(pt_value_create_container(PARTITA_KIND_OPTIONAL, (*value)->dtype, value, 1, &wrapped));
        pt_value_replace(value, wrapped);
    }
    return PARTITA_OK;
}

static partita_status iterate(loop *l, int64_t iteration, bool *goes) {
    partita_value *number, *condition;
    PT_TRY(wrap_optionals(l));
    PT_TRY(pt_value_from_int(iteration, &number));
    pt_value_replace(&l->in[0], number);
    PT_TRY(pt_value_from_bool(true, &condition));
    pt_value_replace(&l->in[1], condition);
    PT_TRY(pt_body_run(l->control->frame, l->body, l->in, l->carried + 2, l->out, 1 + l->carried + l->scanned));
    PT_TRY(pt_value_scalar_bool(l->out[0], "the body's condition", goes));
    pt_value_replace(&l->out[0], NULL);
    for (uint32_t i = 0; i < l->carried; i++) {
        pt_value_replace(&l->in[2 + i], l->out[1 + i]);
        l->out[1 + i] = NULL;
    }
    for (uint32_t i = 0; i < l->scanned; i++) {
        partita_value *own, **from = &l->out[1 + l->carried + i];
        PT_TRY(pt_value_own(*from, &own));
        pt_value_replace(from, NULL);
        PT_TRY(pt_value_list_take(&l->collected[i], own));
    }
    return PARTITA_OK;
}

static partita_status finish(loop *l) {
    pt_control *control = l->control;
    const pt_model *model = control->frame->program->build->model;
    const pt_graph *graph = &model->graphs.data[l->body];
    for (uint32_t i = 0; i < control->node->output_count; i++) {
        if (i < l->carried) {
            partita_value_retain(l->in[2 + i]);
            control->outputs[i] = l->in[2 + i];
            continue;
        }
        pt_value_list *list = &l->collected[i - l->carried];
        const pt_type *type = &model->values.data[graph->outputs.data[1 + i]].type;
        PT_TRY(pt_control_stack(control, list, list->items.size, 0, false, type, &control->outputs[i]));
    }
    return PARTITA_OK;
}

partita_status pt_control_loop(pt_control *control) {
    loop l = {.control = control};
    int64_t trips;
    bool goes;
    partita_status status = PARTITA_OK;
    PT_CHECK(start(&l, &trips, &goes));
    for (int64_t i = 0; goes && i < trips; i++) {
        if (pt_request_stopped(control->frame->request)) {
            status = pt_request_fail_stopped(control->frame->request);
            goto out;
        }
        PT_CHECK(iterate(&l, i, &goes));
    }
    PT_CHECK(finish(&l));
out:
    for (uint32_t i = 0; l.in && i < l.carried + 2; i++) partita_value_release(l.in[i]);
    for (uint32_t i = 0; l.out && i < 1 + l.carried + l.scanned; i++) partita_value_release(l.out[i]);
    for (uint32_t i = 0; l.collected && i < l.scanned; i++) pt_value_list_clear(&l.collected[i]);
    pt_free(l.in);
    pt_free(l.out);
    pt_free(l.collected);
    return status;
}
