/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantised groups: [DequantizeLinear... -> operator -> QuantizeLinear...], as exporters write an integer operator. The
 * operator may be a short chain: one that computes, those that only move in front of it, those that only move, clamp or
 * pool behind it. All that leaves a group leaves behind its last operator, the anchor, and all that enters is computed
 * before it: so a group may be taken for one node at the place of its anchor, and no set of groups makes a cycle.
 */
#include "pass/quant.h"
#include "plan/build.h"
#include <stdlib.h>

typedef struct finding {
    const pt_plan *plan;
    const pt_model *model;
    pt_arena *arena;
    uint32_t *position; /* of each node in its graph */
    pt_plan_groups out;
    PT_ARRAY(pt_id) members; /* of all groups found, one after the other */
    PT_ARRAY(uint32_t) first;
} finding;

static pt_quant_role role_of(const finding *f, pt_id node) { return pt_quant_role_of(&f->model->nodes.data[node]); }

static bool is_border(const finding *f, pt_id node) { return role_of(f, node) > PT_QUANT_FOLLOWER; }

static bool has_bodies(const pt_node *node) {
    for (uint32_t i = 0; i < node->attribute_count; i++)
        if (pt_attribute_has_graphs(&node->attributes[i])) return true;
    return false;
}

/* A QuantizeLinear of this use whose scale and zero point are constants, and so are computed by nobody. */
static bool quantises(const finding *f, const pt_use *use) {
    const pt_node *node = &f->model->nodes.data[use->node];
    if (role_of(f, use->node) != PT_QUANT_QUANTIZE || use->input != 0 || f->out.of[use->node] != PT_NONE) return false;
    for (uint32_t i = 1; i < node->input_count; i++)
        if (node->inputs[i] != PT_NONE && !f->model->values.data[node->inputs[i]].constant) return false;
    return true;
}

/* True when each output of the node is read by QuantizeLinear only, and one is. */
static bool is_quantised(const finding *f, pt_id id) {
    const pt_node *node = &f->model->nodes.data[id];
    bool read = false;
    for (uint32_t k = 0; k < node->output_count; k++) {
        if (node->outputs[k] == PT_NONE) continue;
        const pt_value *value = &f->model->values.data[node->outputs[k]];
        if (value->is_output) return false;
        for (size_t i = 0; i < value->uses.size; i++) {
            const pt_use *use = &value->uses.data[i];
            if (f->model->nodes.data[use->node].graph != node->graph || !quantises(f, use)) return false;
            read = true;
        }
    }
    return read;
}

/* The node that makes the value, when it is free and nobody reads any output of it but `reader`; PT_NONE. */
static pt_id exclusive_producer(const finding *f, pt_id value, pt_id reader) {
    const pt_model *model = f->model;
    pt_id producer = value == PT_NONE ? PT_NONE : model->values.data[value].producer;
    if (producer == PT_NONE || f->out.of[producer] != PT_NONE) return PT_NONE;
    const pt_node *node = &model->nodes.data[producer];
    if (node->graph != model->nodes.data[reader].graph) return PT_NONE;
    for (uint32_t k = 0; k < node->output_count; k++) {
        if (node->outputs[k] == PT_NONE) continue;
        const pt_value *output = &model->values.data[node->outputs[k]];
        if (output->is_output) return PT_NONE;
        for (size_t i = 0; i < output->uses.size; i++)
            if (output->uses.data[i].node != reader) return PT_NONE;
    }
    return producer;
}

static partita_status take(finding *f, pt_id node) {
    f->out.of[node] = f->out.count;
    return pt_array_push(&f->members, node) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* The DequantizeLinear behind the value, with those on the way that only move; PT_NONE when there is none for us. */
static pt_id dequantiser_of(const finding *f, pt_id value, pt_id reader, pt_id *moving, uint32_t *out_count) {
    *out_count = 0;
    for (uint32_t length = 0; length < PT_QUANT_LONGEST; length++) {
        pt_id producer = exclusive_producer(f, value, reader);
        if (producer == PT_NONE || role_of(f, producer) == PT_QUANT_DEQUANTIZE) return producer;
        const pt_node *node = &f->model->nodes.data[producer];
        if (!pt_quant_is_passable(node) || node->output_count != 1 || node->input_count == 0) return PT_NONE;
        moving[(*out_count)++] = producer;
        reader = producer;
        value = node->inputs[0];
    }
    return PT_NONE;
}

static partita_status take_dequantisers(finding *f, pt_id id, uint32_t *count) {
    const pt_node *node = &f->model->nodes.data[id];
    pt_id moving[PT_QUANT_LONGEST];
    uint32_t moves;
    for (uint32_t k = 0; k < node->input_count; k++) {
        pt_id producer = dequantiser_of(f, node->inputs[k], id, moving, &moves);
        if (producer == PT_NONE) continue;
        PT_TRY(take(f, producer));
        for (uint32_t i = 0; i < moves; i++) PT_TRY(take(f, moving[i]));
        ++*count;
    }
    return PARTITA_OK;
}

static partita_status take_quantisers(finding *f, pt_id id) {
    const pt_node *node = &f->model->nodes.data[id];
    for (uint32_t k = 0; k < node->output_count; k++) {
        if (node->outputs[k] == PT_NONE) continue;
        const pt_value *value = &f->model->values.data[node->outputs[k]];
        for (size_t i = 0; i < value->uses.size; i++) PT_TRY(take(f, value->uses.data[i].node));
    }
    return PARTITA_OK;
}

/* The operators before the anchor, as long as each follows one that nobody else reads. */
static partita_status take_chain(finding *f, pt_id anchor, uint32_t *dequantisers) {
    pt_id at = anchor;
    PT_TRY(take_dequantisers(f, at, dequantisers));
    for (int length = 1; length < PT_QUANT_LONGEST && role_of(f, at) == PT_QUANT_FOLLOWER; length++) {
        const pt_node *node = &f->model->nodes.data[at];
        pt_id before = node->input_count ? exclusive_producer(f, node->inputs[0], at) : PT_NONE;
        if (before == PT_NONE || is_border(f, before) || has_bodies(&f->model->nodes.data[before])) break;
        PT_TRY(take(f, before));
        PT_TRY(take_dequantisers(f, before, dequantisers));
        at = before;
    }
    return PARTITA_OK;
}

static int by_position(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static partita_status sort_members(finding *f, size_t begin) {
    size_t count = f->members.size - begin;
    uint64_t *keys = pt_malloc(count * sizeof(*keys));
    if (!keys) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < count; i++) {
        pt_id node = f->members.data[begin + i];
        keys[i] = (uint64_t)f->position[node] << 32 | node;
    }
    qsort(keys, count, sizeof(*keys), by_position);
    for (size_t i = 0; i < count; i++) f->members.data[begin + i] = (pt_id)keys[i];
    pt_free(keys);
    return PARTITA_OK;
}

static partita_status try_anchor(finding *f, pt_id id) {
    const pt_node *node = &f->model->nodes.data[id];
    size_t begin = f->members.size;
    uint32_t dequantisers = 0;
    if (f->out.of[id] != PT_NONE || is_border(f, id) || has_bodies(node)) return PARTITA_OK;
    bool quantised = is_quantised(f, id);
    if (!quantised && role_of(f, id) == PT_QUANT_FOLLOWER)
        return PARTITA_OK; /* what only moves floats is no quantised computation */
    PT_TRY(take(f, id));
    PT_TRY(quantised ? take_chain(f, id, &dequantisers) : take_dequantisers(f, id, &dequantisers));
    if (dequantisers == 0) {
        while (f->members.size > begin) f->out.of[f->members.data[--f->members.size]] = PT_NONE;
        return PARTITA_OK;
    }
    if (quantised) PT_TRY(take_quantisers(f, id));
    PT_TRY(sort_members(f, begin));
    f->out.anchored[id] = f->out.count++;
    return pt_array_push(&f->first, (uint32_t)f->members.size) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

/* From the end: who follows comes before what it follows. */
static partita_status find_in_graph(finding *f, pt_id graph) {
    const pt_graph *g = &f->model->graphs.data[graph];
    for (size_t i = 0; i < g->order.size; i++) f->position[g->order.data[i]] = (uint32_t)i;
    for (size_t i = g->order.size; i-- > 0;) PT_TRY(try_anchor(f, g->order.data[i]));
    return PARTITA_OK;
}

static bool has_dequantisers(const pt_model *model) {
    for (size_t i = 0; i < model->nodes.size; i++)
        if (!model->nodes.data[i].dead && pt_quant_role_of(&model->nodes.data[i]) == PT_QUANT_DEQUANTIZE) return true;
    return false;
}

partita_status pt_plan_find_groups(const pt_plan *plan, pt_arena *arena, pt_plan_groups *out_groups) {
    const pt_model *model = plan->model;
    size_t nodes = model->nodes.size;
    finding f = {.plan = plan, .model = model, .arena = arena};
    partita_status status = PARTITA_OK;
    *out_groups = (pt_plan_groups){0};
    if (!has_dequantisers(model)) return PARTITA_OK;
    f.out.of = pt_arena_array(arena, nodes + 1, sizeof(uint32_t));
    f.out.anchored = pt_arena_array(arena, nodes + 1, sizeof(uint32_t));
    f.position = pt_arena_array(arena, nodes + 1, sizeof(uint32_t));
    if (!f.out.of || !f.out.anchored || !f.position || !pt_array_push(&f.first, 0u)) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (size_t i = 0; i < nodes; i++) f.out.of[i] = f.out.anchored[i] = PT_NONE;
    for (pt_id graph = 0; graph < model->graphs.size; graph++)
        if (plan->graphs[graph].hostable) PT_CHECK(find_in_graph(&f, graph));
    f.out.first = pt_arena_array(arena, f.first.size, sizeof(uint32_t));
    f.out.members = pt_arena_array(arena, f.members.size + 1, sizeof(pt_id));
    if (!f.out.first || !f.out.members) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    memcpy(f.out.first, f.first.data, f.first.size * sizeof(uint32_t));
    if (f.members.size) memcpy(f.out.members, f.members.data, f.members.size * sizeof(pt_id));
    *out_groups = f.out;
out:
    pt_array_deinit(&f.first);
    pt_array_deinit(&f.members);
    return status;
}
