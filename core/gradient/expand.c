/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expansion of one Gradient: the nodes between xs, zs and y are found, computed again where the Gradient gives other
 * values than the named ones, and walked backwards, each by its row.
 */
#include "gradient/build.h"
#include "gradient/gradient.h"

#include <partita/plugin.h>

/* A node on the way back. */
typedef struct step {
    pt_id node;
    const pt_grad_row *row; /* NULL: none, an error when something arrives there */
    const pt_id *body;      /* of a row that is a body: what computes the outputs instead */
} step;

typedef struct expansion {
    pt_grad g;
    const pt_id *given, *named; /* [count] */
    uint32_t count, x_count;
    pt_id y;
    PT_ARRAY(pt_id) order;  /* nodes that y is computed by, topological */
    PT_ARRAY(pt_id) mapped; /* by value: what stands for it; PT_NONE: itself */
    PT_ARRAY(bool) active;  /* by value: depends on xs in a differentiable way */
    PT_ARRAY(pt_id) grads;  /* by value */
    PT_ARRAY(step) steps;
} expansion;

/* ---- tables by value ------------------------------------------------------------------------- */

static pt_id mapped(const expansion *e, pt_id value) {
    if (value == PT_NONE || value >= e->mapped.size || e->mapped.data[value] == PT_NONE) return value;
    return e->mapped.data[value];
}

static partita_status map_to(expansion *e, pt_id value, pt_id other) {
    while (e->mapped.size <= value) {
        if (!pt_array_push(&e->mapped, PT_NONE)) return PT_OUT_OF_MEMORY();
    }
    e->mapped.data[value] = other;
    return PARTITA_OK;
}

static bool is_active(const expansion *e, pt_id value) {
    return value != PT_NONE && value < e->active.size && e->active.data[value];
}

static partita_status activate(expansion *e, pt_id value) {
    while (e->active.size <= value) {
        if (!pt_array_push(&e->active, false)) return PT_OUT_OF_MEMORY();
    }
    e->active.data[value] = true;
    return PARTITA_OK;
}

static pt_id grad_of(const expansion *e, pt_id value) {
    return value == PT_NONE || value >= e->grads.size ? PT_NONE : e->grads.data[value];
}

static partita_status accumulate(expansion *e, pt_id value, pt_id grad) {
    if (value == PT_NONE || grad == PT_NONE) return PARTITA_OK;
    while (e->grads.size <= value) {
        if (!pt_array_push(&e->grads, PT_NONE)) return PT_OUT_OF_MEMORY();
    }
    pt_id sum = pt_grad_add(&e->g, e->grads.data[value], grad);
    e->grads.data[value] = sum;
    return e->g.status;
}

/* ---- the nodes in between -------------------------------------------------------------------- */

static bool has_bodies(const pt_node *node) {
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        if (pt_attribute_has_graphs(&node->attributes[i])) return true;
    }
    return false;
}

/* Inputs, and what bodies take from outside. */
static partita_status inputs_of(expansion *e, pt_id id, const pt_id **out_inputs, uint32_t *out_count) {
    const pt_node *node = pt_node_at(e->g.model, id);
    pt_id *captures, *all;
    uint32_t count;
    *out_inputs = node->inputs;
    *out_count = node->input_count;
    if (!has_bodies(node)) return PARTITA_OK;
    PT_TRY(pt_node_captures(e->g.model, id, &e->g.scratch, &captures, &count));
    all = pt_arena_array(&e->g.scratch, (size_t)count + node->input_count + 1, sizeof *all);
    if (!all) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < node->input_count; i++) all[i] = node->inputs[i];
    for (uint32_t i = 0; i < count; i++) all[node->input_count + i] = captures[i];
    *out_inputs = all;
    *out_count = node->input_count + count;
    return PARTITA_OK;
}

typedef struct frame {
    pt_id node;
    const pt_id *inputs;
    uint32_t count, next;
} frame;

typedef struct walk {
    PT_ARRAY(frame) stack;
    bool *seen;  /* by node */
    bool *named; /* by value: where the walk ends */
} walk;

static partita_status enter(expansion *e, walk *w, pt_id value) {
    if (value == PT_NONE || w->named[value]) return PARTITA_OK;
    frame f = {.node = pt_value_at(e->g.model, value)->producer};
    if (f.node == PT_NONE || w->seen[f.node]) return PARTITA_OK;
    w->seen[f.node] = true;
    PT_TRY(inputs_of(e, f.node, &f.inputs, &f.count));
    return pt_array_push(&w->stack, f) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status collect(expansion *e) {
    walk w = {.seen = pt_arena_array(&e->g.scratch, e->g.model->nodes.size, sizeof *w.seen),
              .named = pt_arena_array(&e->g.scratch, e->g.model->values.size, sizeof *w.named)};
    partita_status status = w.seen && w.named ? PARTITA_OK : PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < e->count && status == PARTITA_OK; i++) w.named[e->named[i]] = true;
    if (status == PARTITA_OK) status = enter(e, &w, e->y);
    while (w.stack.size && status == PARTITA_OK) {
        frame *top = &w.stack.data[w.stack.size - 1];
        if (top->next < top->count) {
            status = enter(e, &w, top->inputs[top->next++]);
        } else {
            status = pt_array_push(&e->order, top->node) ? PARTITA_OK : PT_OUT_OF_MEMORY();
            w.stack.size--;
        }
    }
    pt_array_deinit(&w.stack);
    return status;
}

static partita_status at_node(const expansion *e, pt_id node, partita_status status) {
    partita_str name = pt_node_name(e->g.model, node), op = pt_node_at(e->g.model, node)->op;
    return status ? pt_annotate(status, "node '%.*s' (%.*s)", PT_STR_ARG(name), PT_STR_ARG(op)) : PARTITA_OK;
}

/* ---- other values than the named ones -------------------------------------------------------- */

static partita_status compute_again(expansion *e, size_t index) {
    pt_id id = e->order.data[index];
    const pt_id *inputs;
    uint32_t count, outputs = pt_node_at(e->g.model, id)->output_count;
    bool differs = false;
    PT_TRY(inputs_of(e, id, &inputs, &count));
    for (uint32_t i = 0; i < count; i++) differs = differs || mapped(e, inputs[i]) != inputs[i];
    if (!differs) return PARTITA_OK;
    if (has_bodies(pt_node_at(e->g.model, id))) {
        return pt_fail(PARTITA_UNSUPPORTED, "an operator with bodies is not computed again for other values");
    }
    pt_id *changed = pt_arena_array(&e->g.scratch, (size_t)count + 1, sizeof *changed);
    pt_id *made = pt_arena_array(&e->g.scratch, (size_t)outputs + 1, sizeof *made);
    if (!changed || !made) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) changed[i] = mapped(e, inputs[i]);
    pt_grad_clone(&e->g, id, changed, count, NULL, made);
    PT_TRY(e->g.status);
    e->order.data[index] = (pt_id)e->g.model->nodes.size - 1;
    for (uint32_t i = 0; i < outputs; i++) {
        if (made[i] != PT_NONE) PT_TRY(map_to(e, pt_node_at(e->g.model, id)->outputs[i], made[i]));
    }
    return PARTITA_OK;
}

/* Values that the Gradient gives get names of their own: they may be used in between as what they are, too. */
static partita_status substitute(expansion *e) {
    for (uint32_t i = 0; i < e->count; i++) {
        if (e->given[i] == e->named[i]) continue;
        pt_id value = pt_grad_unary(&e->g, "Identity", e->given[i]);
        PT_TRY(e->g.status);
        PT_TRY(map_to(e, e->named[i], value));
    }
    if (e->mapped.size == 0) return PARTITA_OK;
    for (size_t i = 0; i < e->order.size; i++) PT_TRY(at_node(e, e->order.data[i], compute_again(e, i)));
    e->y = mapped(e, e->y);
    return PARTITA_OK;
}

/* ---- what depends on xs ---------------------------------------------------------------------- */

static bool is_differentiable(const pt_model *model, pt_id value) {
    const pt_type *type = &pt_value_at(model, value)->type;
    bool complex = type->dtype == PARTITA_COMPLEX64 || type->dtype == PARTITA_COMPLEX128;
    return type->kind != PARTITA_KIND_TENSOR || type->dtype == PARTITA_UNDEFINED || complex ||
           pt_grad_is_float(type->dtype);
}

static partita_status plan_node(expansion *e, pt_id node);

static void fill_site(expansion *e, pt_id node, pt_grad_site *site) {
    const pt_node *row = pt_node_at(e->g.model, node);
    *site = (pt_grad_site){.grad = &e->g,
                           .node = node,
                           .inputs = row->inputs,
                           .outputs = row->outputs,
                           .input_count = row->input_count,
                           .output_count = row->output_count};
}

/* The nodes of a body are differentiated instead of the node. */
static partita_status plan_body(expansion *e, step *s) {
    pt_id first = (pt_id)e->g.model->nodes.size;
    pt_grad_site site;
    fill_site(e, s->node, &site);
    pt_id *body = pt_arena_array(&e->g.scratch, (size_t)site.output_count + 1, sizeof *body);
    if (!body) return PT_OUT_OF_MEMORY();
    pt_grad_body(&site, s->row->text, body);
    PT_TRY(e->g.status);
    s->body = body;
    pt_id last = (pt_id)e->g.model->nodes.size;
    for (pt_id id = first; id < last; id++) PT_TRY(plan_node(e, id));
    return PARTITA_OK;
}

static partita_status plan_node(expansion *e, pt_id node) {
    const pt_id *inputs;
    uint32_t count;
    bool depends = false, matters = false;
    step s = {.node = node, .row = pt_grad_find(e->g.model, node)};
    PT_TRY(inputs_of(e, node, &inputs, &count));
    for (uint32_t i = 0; i < count; i++) depends = depends || is_active(e, inputs[i]);
    if (!depends || (s.row && s.row->kind == PT_GRAD_ZERO)) return PARTITA_OK;
    for (uint32_t i = 0; i < pt_node_at(e->g.model, node)->output_count; i++) {
        pt_id output = pt_node_at(e->g.model, node)->outputs[i];
        if (output == PT_NONE || !is_differentiable(e->g.model, output)) continue;
        PT_TRY(activate(e, output));
        matters = true;
    }
    if (!matters) return PARTITA_OK;
    if (s.row && s.row->kind == PT_GRAD_BODY) PT_TRY(plan_body(e, &s));
    return pt_array_push(&e->steps, s) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status plan(expansion *e) {
    for (uint32_t i = 0; i < e->x_count; i++) {
        pt_id x = mapped(e, e->named[i]);
        if (is_differentiable(e->g.model, x)) PT_TRY(activate(e, x));
    }
    for (size_t i = 0; i < e->order.size; i++) PT_TRY(at_node(e, e->order.data[i], plan_node(e, e->order.data[i])));
    return PARTITA_OK;
}

/* ---- backwards ------------------------------------------------------------------------------- */

static partita_status differentiate(expansion *e, const step *s, pt_grad_site *site) {
    if (!s->row) {
        return pt_fail(PARTITA_UNSUPPORTED, "Gradient has no derivative of version %d of the operator",
                       pt_node_at(e->g.model, s->node)->version);
    }
    if (s->row->kind == PT_GRAD_RECIPE) {
        pt_grad_recipe(site, s->row->text);
    } else {
        s->row->function(site);
    }
    PT_TRY(e->g.status);
    for (uint32_t i = 0; i < site->input_count; i++) {
        if (!site->wanted[i] || site->results[i] == PT_NONE) continue;
        pt_id result = pt_grad_cast(&e->g, site->results[i], pt_grad_dtype(&e->g, site->inputs[i]));
        PT_TRY(accumulate(e, site->inputs[i], result));
    }
    return e->g.status;
}

static partita_status step_back(expansion *e, const step *s) {
    pt_grad_site site;
    bool arrives = false;
    fill_site(e, s->node, &site);
    site.row = s->row;
    pt_id *upstream = pt_arena_array(&e->g.scratch, PT_GRAD_SLOTS + (size_t)site.output_count, sizeof *upstream);
    bool *wanted = pt_arena_array(&e->g.scratch, (size_t)site.input_count + 1, sizeof *wanted);
    pt_id *results = pt_arena_array(&e->g.scratch, (size_t)site.input_count + 1, sizeof *results);
    if (!upstream || !wanted || !results) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < site.output_count; i++) {
        upstream[i] = grad_of(e, site.outputs[i]);
        arrives = arrives || upstream[i] != PT_NONE;
    }
    if (!arrives) return PARTITA_OK;
    for (uint32_t i = 0; s->body && i < site.output_count; i++) PT_TRY(accumulate(e, s->body[i], upstream[i]));
    if (s->body) return PARTITA_OK;
    for (uint32_t i = 0; i < site.input_count; i++) {
        wanted[i] = is_active(e, site.inputs[i]);
        results[i] = PT_NONE;
    }
    site.upstream = upstream;
    site.wanted = wanted;
    site.results = results;
    return differentiate(e, s, &site);
}

static partita_status backwards(expansion *e) {
    PT_TRY(accumulate(e, e->y, pt_grad_full(&e->g, e->y, 1.0)));
    PT_TRY(e->g.status);
    for (size_t i = e->steps.size; i-- > 0;) {
        const step s = e->steps.data[i];
        PT_TRY(at_node(e, s.node, step_back(e, &s)));
    }
    return PARTITA_OK;
}

/* ---- Gradient -------------------------------------------------------------------------------- */

static partita_status connect(expansion *e) {
    for (uint32_t i = 0; i < pt_node_at(e->g.model, e->g.node)->output_count; i++) {
        pt_id output = pt_node_at(e->g.model, e->g.node)->outputs[i], x = mapped(e, e->named[i]);
        if (output == PT_NONE) continue;
        pt_id grad = grad_of(e, x);
        if (grad == PT_NONE) grad = pt_grad_full(&e->g, x, 0.0);
        grad = pt_grad_unary(&e->g, "Identity", grad);
        PT_TRY(e->g.status);
        PT_TRY(pt_value_take_place(e->g.model, output, grad));
    }
    pt_node_remove(e->g.model, e->g.node, "gradient");
    return PARTITA_OK;
}

static partita_status check(const expansion *e) {
    const pt_node *node = pt_node_at(e->g.model, e->g.node);
    for (uint32_t i = 0; i < e->count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (e->named[i] != e->named[k]) continue;
            partita_str name = pt_value_at(e->g.model, e->named[i])->name;
            return pt_fail(PARTITA_BAD_MODEL, "'%.*s' is named twice in xs and zs", PT_STR_ARG(name));
        }
    }
    if (node->output_count > e->x_count) {
        return pt_fail(PARTITA_BAD_MODEL, "%u outputs for %u tensors of xs", node->output_count, e->x_count);
    }
    if (pt_grad_is_float(pt_value_at(e->g.model, e->y)->type.dtype)) return PARTITA_OK;
    partita_str name = pt_value_at(e->g.model, e->y)->name;
    return pt_fail(PARTITA_BAD_MODEL, "'%.*s', which is y, is no tensor of floating-point numbers", PT_STR_ARG(name));
}

static partita_status expand(expansion *e) {
    PT_TRY(check(e));
    PT_TRY(collect(e));
    PT_TRY(substitute(e));
    PT_TRY(plan(e));
    PT_TRY(backwards(e));
    return connect(e);
}

static partita_status expand_node(pt_model *model, pt_id id) {
    enum { OLDEST = 18, NEWEST = 28 };
    const pt_node *node = pt_node_at(model, id);
    const pt_attribute *xs = pt_node_attribute(node, "xs");
    int64_t opset = pt_model_opset(model, PT_STR(""));
    if (node->input_count < 3 || node->input_count % 2 == 0 || !xs || xs->type != PTP_ATTRIBUTE_STRINGS) {
        return pt_fail(PARTITA_BAD_MODEL, "the named tensors are missing");
    }
    expansion e = {.g = {.model = model,
                         .graph = node->graph,
                         .node = id,
                         .version = (int32_t)PT_MIN(PT_MAX(opset, (int64_t)OLDEST), (int64_t)NEWEST)}};
    e.count = node->input_count / 2;
    e.given = node->inputs;
    e.named = node->inputs + e.count;
    e.x_count = PT_MIN(xs->count, e.count);
    e.y = node->inputs[2 * e.count];
    partita_status status = expand(&e);
    pt_array_deinit(&e.order);
    pt_array_deinit(&e.mapped);
    pt_array_deinit(&e.active);
    pt_array_deinit(&e.grads);
    pt_array_deinit(&e.steps);
    pt_arena_deinit(&e.g.scratch);
    return status;
}

static bool is_gradient(const pt_node *node) {
    return !node->dead && node->schema && pt_str_is(node->op, "Gradient") &&
           pt_str_is(node->domain, "ai.onnx.preview.training");
}

partita_status pt_model_expand_gradients(pt_model *model) {
    PT_ARRAY(pt_id) found = {0};
    partita_status status = PARTITA_OK;
    /* In topological order: the y of one may be what another computes. */
    for (size_t g = 0; g < model->graphs.size && status == PARTITA_OK; g++) {
        for (size_t i = 0; i < model->graphs.data[g].order.size && status == PARTITA_OK; i++) {
            pt_id id = model->graphs.data[g].order.data[i];
            if (is_gradient(pt_node_at(model, id)) && !pt_array_push(&found, id)) status = PT_OUT_OF_MEMORY();
        }
    }
    for (size_t i = 0; i < found.size && status == PARTITA_OK; i++) {
        partita_str name = pt_node_name(model, found.data[i]);
        status = expand_node(model, found.data[i]);
        if (status) pt_annotate(status, "node '%.*s' (Gradient)", PT_STR_ARG(name));
    }
    if (found.size && status == PARTITA_OK) status = pt_model_sort(model);
    if (found.size && status == PARTITA_OK) status = pt_model_infer(model);
    pt_array_deinit(&found);
    return status;
}
