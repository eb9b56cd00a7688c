/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SequenceMap: the body for each item of the sequences, tensors as they are, its outputs collected to sequences.
 */
#include "run/control.h"

typedef struct map {
    pt_control *control;
    pt_id body;
    uint64_t length;
    partita_value **in; /* borrowed: of the node's inputs, or items of them */
    partita_value **out;
    pt_value_list *collected; /* by output */
} map;

static partita_status start(map *m) {
    pt_control *control = m->control;
    const pt_node *node = control->node;
    m->body = pt_control_body(control, "body");
    if (m->body == PT_NONE) return pt_fail(PARTITA_BAD_MODEL, "SequenceMap without a body");
    const pt_graph *graph = &control->frame->program->build->model->graphs.data[m->body];
    if (graph->inputs.size != node->input_count || graph->outputs.size != node->output_count)
        return pt_fail(PARTITA_BAD_MODEL, "the body has %zu inputs and %zu outputs, the node %u and %u",
                       graph->inputs.size, graph->outputs.size, node->input_count, node->output_count);
    for (uint32_t i = 0; i < node->input_count; i++) {
        const partita_value *value = control->inputs[i];
        bool sequence = value && value->kind == PARTITA_KIND_SEQUENCE;
        if (!value || (i == 0 && !sequence)) return pt_fail(PARTITA_BAD_INPUT, "input %u is no sequence", i);
        if (i == 0) m->length = value->item_count;
        if (sequence && value->item_count != m->length)
            return pt_fail(PARTITA_BAD_INPUT, "sequence %u has %llu items, the first %llu", i,
                           (unsigned long long)value->item_count, (unsigned long long)m->length);
    }
    m->in = pt_calloc(node->input_count + 1, sizeof(*m->in));
    m->out = pt_calloc(node->output_count + 1, sizeof(*m->out));
    m->collected = pt_calloc(node->output_count + 1, sizeof(*m->collected));
    return m->in && m->out && m->collected ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status apply(map *m, uint64_t index) {
    pt_control *control = m->control;
    const pt_node *node = control->node;
    for (uint32_t i = 0; i < node->input_count; i++) {
        partita_value *value = control->inputs[i];
        m->in[i] = value->kind == PARTITA_KIND_SEQUENCE ? value->items[index] : value;
    }
    PT_TRY(pt_body_run(control->frame, m->body, m->in, node->input_count, m->out, node->output_count));
    for (uint32_t i = 0; i < node->output_count; i++) {
        partita_value *own;
        PT_TRY(pt_value_own(m->out[i], &own));
        pt_value_replace(&m->out[i], NULL);
        PT_TRY(pt_value_list_take(&m->collected[i], own));
    }
    return PARTITA_OK;
}

static partita_status finish(map *m) {
    pt_control *control = m->control;
    const pt_model *model = control->frame->program->build->model;
    const pt_graph *graph = &model->graphs.data[m->body];
    for (uint32_t i = 0; i < control->node->output_count; i++) {
        pt_value_list *list = &m->collected[i];
        partita_dtype dtype = model->values.data[graph->outputs.data[i]].type.dtype;
        PT_TRY(pt_value_create_container(PARTITA_KIND_SEQUENCE, dtype, list->items.data, list->items.size,
                                         &control->outputs[i]));
    }
    return PARTITA_OK;
}

partita_status pt_control_sequence_map(pt_control *control) {
    map m = {.control = control};
    uint32_t count = control->node->output_count;
    partita_status status = PARTITA_OK;
    PT_CHECK(start(&m));
    for (uint64_t i = 0; i < m.length; i++) {
        if (pt_request_stopped(control->frame->request)) {
            status = pt_request_fail_stopped(control->frame->request);
            goto out;
        }
        PT_CHECK(apply(&m, i));
    }
    PT_CHECK(finish(&m));
out:
    for (uint32_t i = 0; m.out && i < count; i++) partita_value_release(m.out[i]);
    for (uint32_t i = 0; m.collected && i < count; i++) pt_value_list_clear(&m.collected[i]);
    pt_free(m.in);
    pt_free(m.out);
    pt_free(m.collected);
    return status;
}
