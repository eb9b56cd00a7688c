/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inference over a model: nodes in order, bodies within their node. What the functions of the operators say is laid
 * over what is known already: a computed dim replaces a declared one, an unknown dim keeps a number that was declared
 * and otherwise becomes a symbol that only a run binds. Declared names of dims inside the model are not trusted.
 */
#include "op/infer_run.h"

#include <partita/operator_set.h>
#include <stdio.h>

enum { DEPTH_MAX = 64 };

/* ---- what is known about a value ------------------------------------------------------------- */

const pt_tensor *pt_infer_constant(const pt_model *model, pt_id id) {
    const pt_value *value = pt_value_at(model, id);
    if (value->constant) return value->constant;
    if (value->producer == PT_NONE) return NULL;
    const pt_node *node = pt_node_at(model, value->producer);
    if (!pt_str_is(node->op, "Constant") || node->domain.size) return NULL;
    const pt_attribute *attribute = pt_node_attribute(node, "value");
    return attribute && attribute->count == 1 ? attribute->tensors[0] : NULL;
}

static partita_status load_constant(struct pt_infer_run *run, pt_id id, const pt_tensor *tensor, pt_infer_value *out) {
    bool any;
    if (tensor->sparse_indices || tensor->dtype == PARTITA_STRING || !tensor->weight || !tensor->weight->data) {
        return PARTITA_OK;
    }
    out->data = tensor->weight->data;
    out->data_count = tensor->count;
    if (out->small || tensor->count > PT_SMALL_MAX) return PARTITA_OK;
    bool is_float = pt_infer_dtype_is_float(tensor->dtype);
    if (is_float && !run->floats) return PARTITA_OK;
    uint32_t count = (uint32_t)tensor->count;
    pt_dim *elements = pt_arena_array(is_float ? &run->scratch : &run->model->arena, count, sizeof *elements);
    if (!elements) return PT_OUT_OF_MEMORY();
    PT_TRY(pt_infer_elements(&run->model->symbols, tensor->dtype, out->data, count, elements, &any));
    if (!any) return PARTITA_OK;
    out->small = elements;
    out->small_count = count;
    if (is_float) {
        run->floats[id].elements = elements;
        run->floats[id].count = count;
        return PARTITA_OK;
    }
    /* What the model keeps has no unknown elements: there is one number that is no dim. */
    for (uint32_t i = 0; i < count; i++) {
        if (elements[i] == PT_DIM_UNKNOWN) return PARTITA_OK;
    }
    pt_value_at(run->model, id)->small = elements;
    pt_value_at(run->model, id)->small_count = count;
    return PARTITA_OK;
}

static partita_status load(struct pt_infer_run *run, pt_id id, pt_infer_value *out) {
    pt_infer_from_type(NULL, out);
    if (id == PT_NONE) return PARTITA_OK;
    const pt_value *value = pt_value_at(run->model, id);
    pt_infer_from_type(&value->type, out);
    if (value->type.rank > PT_RANK_MAX) {
        return pt_fail(PARTITA_UNSUPPORTED, "'%.*s' has rank %d, more than %d", PT_STR_ARG(value->name),
                       value->type.rank, PT_RANK_MAX);
    }
    out->small = value->small;
    out->small_count = value->small_count;
    if (!out->small && run->floats) {
        out->small = run->floats[id].elements;
        out->small_count = run->floats[id].count;
    }
    const pt_tensor *tensor = pt_infer_constant(run->model, id);
    if (tensor) PT_TRY(load_constant(run, id, tensor, out));
    pt_infer_drop_odd(out);
    return PARTITA_OK;
}

/* ---- storing --------------------------------------------------------------------------------- */

static bool depends_on_data(const pt_model *model, pt_dim dim) {
    return dim != PT_DIM_UNKNOWN && pt_dim_depends_on_data(&model->symbols, dim);
}

static partita_status settle_dim(struct pt_infer_run *run, pt_dim inferred, pt_dim old, pt_dim *out_dim) {
    pt_symbols *symbols = &run->model->symbols;
    int64_t number;
    bool unknown = inferred == PT_DIM_UNKNOWN, has_old = old != PT_DIM_UNKNOWN;
    if (!unknown && pt_dim_value(symbols, inferred, &number) && number < 0) {
        return pt_fail(PARTITA_BAD_MODEL, "a dim of %lld", (long long)number);
    }
    bool vague = unknown || depends_on_data(run->model, inferred);
    bool keep = vague && has_old && (pt_dim_is_exact(old) || (unknown && depends_on_data(run->model, old)));
    *out_dim = keep ? old : inferred;
    if (*out_dim == PT_DIM_UNKNOWN) PT_TRY(pt_dim_data(symbols, out_dim));
    if (pt_dim_is_exact(*out_dim)) return PARTITA_OK;
    /* It's the size of something; an expression only where it's sure to be computed. */
    pt_symbol *row = &symbols->rows.data[pt_dim_symbol(*out_dim)];
    if (row->op == PT_DIM_DATA || run->lenient == 0) row->nonnegative = true;
    return PARTITA_OK;
}

static bool is_tensor(partita_kind kind) { return kind == PARTITA_KIND_TENSOR || kind == PARTITA_KIND_SPARSE; }

static partita_status merge_type(struct pt_infer_run *run, const pt_type *inferred, pt_type *type);

static partita_status merge_shape(struct pt_infer_run *run, const pt_type *inferred, pt_type *type) {
    pt_dim dims[PT_RANK_MAX];
    int32_t rank = inferred->rank >= 0 ? inferred->rank : type->rank;
    if (rank < 0 || rank > PT_RANK_MAX) return PARTITA_OK;
    bool changed = type->rank != rank;
    for (int32_t i = 0; i < rank; i++) {
        pt_dim fresh = inferred->rank >= 0 ? inferred->dims[i] : PT_DIM_UNKNOWN;
        pt_dim old = type->rank == rank ? type->dims[i] : PT_DIM_UNKNOWN;
        PT_TRY(settle_dim(run, fresh, old, &dims[i]));
        changed = changed || dims[i] != old;
    }
    if (!changed) return PARTITA_OK;
    pt_dim *copy = pt_arena_array(&run->model->arena, (size_t)rank, sizeof *copy);
    if (!copy) return PT_OUT_OF_MEMORY();
    memcpy(copy, dims, (size_t)rank * sizeof *copy);
    type->dims = copy;
    type->rank = rank;
    return PARTITA_OK;
}

static const char *type_word(const pt_type *type) {
    static const char *const kinds[] = {
#define X(name, value, text) [value] = text,
        PARTITA_KIND_ROWS(X)
#undef X
    };
    if (is_tensor(type->kind)) return pt_dtype_name(type->dtype);
    return type->kind < PT_COUNT_OF(kinds) ? kinds[type->kind] : "unknown";
}

static partita_status clash(const pt_type *inferred, const pt_type *type) {
    return pt_fail(PARTITA_BAD_MODEL, "declared %s, but the operator gives %s", type_word(type), type_word(inferred));
}

static partita_status merge_type(struct pt_infer_run *run, const pt_type *inferred, pt_type *type) {
    if (inferred->kind == PARTITA_KIND_NONE)
        return is_tensor(type->kind) ? merge_shape(run, inferred, type) : PARTITA_OK;
    bool empty = type->kind == PARTITA_KIND_NONE;
    if (empty) {
        *type = (pt_type){.kind = inferred->kind, .rank = -1};
    } else if (type->kind != inferred->kind) {
        return clash(inferred, type);
    }
    if (inferred->dtype != PARTITA_UNDEFINED) {
        if (type->dtype != PARTITA_UNDEFINED && type->dtype != inferred->dtype) return clash(inferred, type);
        type->dtype = inferred->dtype;
    }
    if (inferred->key_dtype != PARTITA_UNDEFINED) type->key_dtype = inferred->key_dtype;
    if (is_tensor(type->kind)) return merge_shape(run, inferred, type);
    if (!inferred->element) return PARTITA_OK;
    /* An element that is there may be shared with another value: the merged one is new. */
    pt_type element = {.rank = -1}, *copy = pt_arena_alloc(&run->model->arena, sizeof *copy);
    if (!copy) return PT_OUT_OF_MEMORY();
    if (type->element) element = *type->element;
    PT_TRY(merge_type(run, inferred->element, &element));
    *copy = element;
    type->element = copy;
    return PARTITA_OK;
}

static partita_status store_small(struct pt_infer_run *run, pt_id id, const pt_infer_value *inferred) {
    pt_value *value = pt_value_at(run->model, id);
    if (!inferred->small || inferred->small_count > PT_SMALL_MAX || value->constant) return PARTITA_OK;
    if (pt_infer_dtype_is_float(inferred->dtype)) {
        if (!run->floats) return PARTITA_OK;
        run->floats[id].elements = inferred->small;
        run->floats[id].count = inferred->small_count;
        return PARTITA_OK;
    }
    bool any = inferred->small_count == 0, changed = !value->small || value->small_count != inferred->small_count;
    const pt_dim *old = changed ? NULL : value->small;
    pt_dim elements[PT_SMALL_MAX];
    for (uint32_t i = 0; i < inferred->small_count; i++) {
        pt_dim element = inferred->small[i];
        any = any || element != PT_DIM_UNKNOWN;
        if (element == PT_DIM_UNKNOWN && old) element = old[i];
        elements[i] = element;
        changed = changed || element != old[i];
    }
    if (!changed || (!any && !old)) return PARTITA_OK;
    for (uint32_t i = 0; i < inferred->small_count; i++) {
        if (elements[i] == PT_DIM_UNKNOWN) PT_TRY(pt_dim_data(&run->model->symbols, &elements[i]));
    }
    pt_dim *copy = pt_arena_array(&run->model->arena, inferred->small_count, sizeof *copy);
    if (!copy) return PT_OUT_OF_MEMORY();
    memcpy(copy, elements, inferred->small_count * sizeof *copy);
    value->small = copy;
    value->small_count = inferred->small_count;
    return PARTITA_OK;
}

static partita_status store(struct pt_infer_run *run, pt_id id, const pt_infer_value *inferred) {
    if (id == PT_NONE) return PARTITA_OK;
    pt_type fresh = {.kind = inferred->kind,
                     .dtype = inferred->dtype,
                     .key_dtype = inferred->key_dtype,
                     .rank = inferred->rank,
                     .dims = (pt_dim *)inferred->dims,
                     .element = (pt_type *)inferred->element};
    pt_value *value = pt_value_at(run->model, id);
    partita_status status = merge_type(run, &fresh, &value->type);
    if (status == PARTITA_OK) return store_small(run, id, inferred);
    return pt_annotate(status, "'%.*s'", PT_STR_ARG(value->name));
}

/* ---- nodes ----------------------------------------------------------------------------------- */

partita_status pt_infer_call(pt_infer *infer, const pt_schema *schema) {
    partita_status status = schema->infer(infer);
    if (status == PARTITA_OK) pt_infer_drop_unheld(infer);
    return status == PARTITA_OK ? infer->status : status;
}

static bool reserve(struct pt_infer_run *run, size_t need) {
    if (need <= run->capacity) return true;
    pt_free(run->values);
    run->values = pt_calloc(need, sizeof *run->values);
    run->capacity = run->values ? need : 0;
    return run->values != NULL;
}

/* The names that the file gives to dims of operators nobody knows count where they are those of the model's inputs. */
static void declared(const struct pt_infer_run *run, pt_id id, pt_infer_value *out) {
    if (id == PT_NONE) return;
    pt_infer_from_type(&pt_value_at(run->model, id)->type, out);
    for (int32_t i = 0; i < out->rank; i++) {
        pt_dim dim = out->dims[i];
        bool trusted =
            pt_dim_is_exact(dim) || (pt_dim_symbol(dim) < run->trusted_count && run->trusted[pt_dim_symbol(dim)]);
        if (!trusted) out->dims[i] = PT_DIM_UNKNOWN;
    }
}

/* What a node says that is wrong for these shapes. */
static partita_status call(struct pt_infer_run *run, pt_infer *infer) {
    partita_status status = pt_infer_check_types(infer);
    if (status == PARTITA_OK) status = pt_infer_check_forms(infer);
    if (status == PARTITA_OK) status = pt_infer_call(infer, infer->node->schema);
    if (status != PARTITA_BAD_MODEL || run->lenient == 0) return status;
    if (run->faults++ == 0) {
        partita_str name = pt_node_name(run->model, infer->node_id);
        snprintf(run->first_fault, sizeof run->first_fault, "node '%.*s' (%.*s): %s", PT_STR_ARG(name),
                 PT_STR_ARG(infer->node->op), pt_last_message());
    }
    pt_clear_message();
    for (uint32_t i = 0; i < infer->output_count; i++) {
        infer->outputs[i].rank = -1;
        infer->outputs[i].small = NULL;
        infer->outputs[i].element = NULL;
    }
    return PARTITA_OK;
}

/* `values` has room for the node's inputs and outputs. */
static partita_status open_node(struct pt_infer_run *run, pt_id id, pt_infer_value *values, pt_infer *out) {
    const pt_node *node = pt_node_at(run->model, id);
    *out = (pt_infer){.model = run->model,
                      .node = node,
                      .node_id = id,
                      .since = node->schema ? node->schema->since : 0,
                      .run = run,
                      .symbols = &run->model->symbols,
                      .scratch = &run->scratch,
                      .inputs = values,
                      .outputs = values + node->input_count,
                      .input_count = node->input_count,
                      .output_count = node->output_count,
                      .nothing = {.rank = -1}};
    for (uint32_t i = 0; i < node->input_count; i++) PT_TRY(load(run, node->inputs[i], &out->inputs[i]));
    for (uint32_t i = 0; i < node->output_count; i++) pt_infer_from_type(NULL, &out->outputs[i]);
    return PARTITA_OK;
}

/* What the body said of them stays. */
static bool is_known(const struct pt_infer_run *run, const pt_node *node) {
    bool known = pt_node_needs_body(node);
    for (uint32_t i = 0; known && i < node->output_count; i++)
        known = node->outputs[i] == PT_NONE || pt_value_at(run->model, node->outputs[i])->type.dtype;
    return known;
}

static partita_status infer_into(struct pt_infer_run *run, pt_id id, pt_infer_value *values) {
    const pt_node *node = pt_node_at(run->model, id);
    pt_infer infer;
    if (is_known(run, node)) return PARTITA_OK;
    PT_TRY(open_node(run, id, values, &infer));
    if (node->schema && node->schema->infer) {
        PT_TRY(call(run, &infer));
    } else {
        for (uint32_t i = 0; i < node->output_count; i++) declared(run, node->outputs[i], &infer.outputs[i]);
    }
    for (uint32_t i = 0; i < node->output_count; i++) PT_TRY(store(run, node->outputs[i], &infer.outputs[i]));
    return PARTITA_OK;
}

static partita_status infer_node(struct pt_infer_run *run, pt_id id) {
    const pt_node *node = pt_node_at(run->model, id);
    size_t need = (size_t)node->input_count + node->output_count;
    partita_status status = PARTITA_OK;
    if (node->schema && (node->schema->flags & PT_OP_CONTROL_FLOW)) {
        /* The nodes of its bodies need the shared room. */
        pt_infer_value *values = pt_calloc(PT_MAX(need, (size_t)1), sizeof *values);
        status = values ? infer_into(run, id, values) : PT_OUT_OF_MEMORY();
        pt_free(values);
    } else {
        status = reserve(run, need) ? infer_into(run, id, run->values) : PT_OUT_OF_MEMORY();
    }
    if (status == PARTITA_OK) return PARTITA_OK;
    partita_str name = pt_node_name(run->model, id);
    return pt_annotate(status, "node '%.*s' (%.*s)", PT_STR_ARG(name), PT_STR_ARG(node->op));
}

static partita_status infer_graph(struct pt_infer_run *run, pt_id graph) {
    for (size_t i = 0; i < run->model->graphs.data[graph].order.size; i++) {
        pt_id id = run->model->graphs.data[graph].order.data[i];
        if (!pt_node_at(run->model, id)->dead) PT_TRY(infer_node(run, id));
    }
    return PARTITA_OK;
}

static partita_status trust_inputs(struct pt_infer_run *run) {
    const pt_model *model = run->model;
    run->trusted_count = model->symbols.rows.size;
    run->trusted = pt_calloc(PT_MAX(run->trusted_count, (size_t)1), sizeof *run->trusted);
    if (!run->trusted) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < model->graphs.data[0].inputs.size; i++) {
        const pt_type *type = &pt_value_at(model, model->graphs.data[0].inputs.data[i])->type;
        for (int32_t k = 0; type->kind == PARTITA_KIND_TENSOR && k < type->rank; k++) {
            if (!pt_dim_is_exact(type->dims[k])) run->trusted[pt_dim_symbol(type->dims[k])] = true;
        }
    }
    return PARTITA_OK;
}

static partita_status run_infer(pt_model *model, pt_id node) {
    struct pt_infer_run run = {.model = model};
    partita_status status = trust_inputs(&run);
    if (status == PARTITA_OK && node == PT_NONE) {
        run.floats = pt_calloc(PT_MAX(model->values.size, (size_t)1), sizeof *run.floats);
        status = run.floats ? infer_graph(&run, 0) : PT_OUT_OF_MEMORY();
    } else if (status == PARTITA_OK) {
        status = infer_node(&run, node);
    }
    pt_free(run.floats);
    pt_free(run.trusted);
    pt_free(run.values);
    pt_arena_deinit(&run.scratch);
    return status;
}

partita_status pt_model_infer(pt_model *model) { return model->graphs.size ? run_infer(model, PT_NONE) : PARTITA_OK; }

partita_status pt_node_infer(pt_model *model, pt_id node) { return run_infer(model, node); }

/* ---- bodies in ONNX -------------------------------------------------------------------------- */

bool pt_node_needs_body(const pt_node *node) {
    return node->schema && node->schema->row && !node->schema->infer && node->schema->row->body_count;
}

/* Of an operator set: the one that its row chooses for what is known of the inputs. */
static partita_status choose_body(struct pt_infer_run *run, pt_id id, uint32_t *out_body) {
    pt_infer infer;
    size_t need = (size_t)pt_node_at(run->model, id)->input_count + pt_node_at(run->model, id)->output_count;
    if (!reserve(run, need)) return PT_OUT_OF_MEMORY();
    PT_TRY(open_node(run, id, run->values, &infer));
    return pt_op_choose_set(&infer, out_body);
}

partita_status pt_node_body(pt_model *model, pt_id id, const void **out_bytes, uint64_t *out_size) {
    const pt_node *node = pt_node_at(model, id);
    struct pt_infer_run run = {.model = model};
    uint32_t body = PT_NONE;
    *out_bytes = NULL;
    *out_size = 0;
    if (!node->schema) return PARTITA_OK;
    if (!node->schema->row) {
        *out_bytes = pt_schema_function(node->schema, out_size);
        return PARTITA_OK;
    }
    if (node->schema->row->body_count == 0) return PARTITA_OK;
    partita_status status = choose_body(&run, id, &body);
    if (status == PARTITA_OK && body != PT_NONE) {
        *out_bytes = node->schema->row->bodies[body].bytes;
        *out_size = node->schema->row->bodies[body].byte_count;
    }
    pt_free(run.values);
    pt_arena_deinit(&run.scratch);
    if (status == PARTITA_OK) return status;
    partita_str name = pt_node_name(model, id);
    return pt_annotate(status, "node '%.*s' (%.*s)", PT_STR_ARG(name), PT_STR_ARG(node->op));
}

/* ---- bodies of control flow ------------------------------------------------------------------ */

uint32_t pt_infer_depth(const pt_infer *infer) { return infer->run->depth; }

partita_status pt_infer_body(pt_infer *infer, pt_id graph) {
    struct pt_infer_run *run = infer->run;
    if (run->depth >= DEPTH_MAX) return pt_fail(PARTITA_BAD_MODEL, "bodies are nested deeper than %d", DEPTH_MAX);
    run->depth++;
    partita_status status = infer_graph(run, graph);
    run->depth--;
    return status;
}

partita_status pt_infer_branch(pt_infer *infer, pt_id graph, const char **out_message) {
    struct pt_infer_run *run = infer->run;
    uint64_t faults = run->faults;
    *out_message = NULL;
    run->faults = 0;
    run->lenient++;
    partita_status status = pt_infer_body(infer, graph);
    run->lenient--;
    if (status == PARTITA_OK && run->faults) {
        *out_message = pt_arena_str(infer->scratch, pt_str(run->first_fault)).data;
        if (!*out_message) status = PT_OUT_OF_MEMORY();
    }
    run->faults = faults;
    return status;
}

partita_status pt_infer_body_input(pt_infer *infer, pt_id graph, uint32_t input, const pt_infer_value *value) {
    const pt_graph *body = &infer->model->graphs.data[graph];
    return input < body->inputs.size ? store(infer->run, body->inputs.data[input], value) : PARTITA_OK;
}

void pt_infer_body_output(pt_infer *infer, pt_id graph, uint32_t output, pt_infer_value *out_value) {
    const pt_graph *body = &infer->model->graphs.data[graph];
    pt_id id = output < body->outputs.size ? body->outputs.data[output] : PT_NONE;
    partita_status status = load(infer->run, id, out_value);
    if (status != PARTITA_OK && infer->status == PARTITA_OK) infer->status = status;
}

typedef struct saved_value {
    pt_id id;
    pt_type type;
    pt_dim *small;
    uint32_t small_count;
} saved_value;

struct pt_infer_snapshot {
    PT_ARRAY(saved_value) values;
};

static bool save_value(const pt_model *model, pt_id id, pt_infer_snapshot *snapshot) {
    if (id == PT_NONE) return true;
    const pt_value *value = pt_value_at(model, id);
    return pt_array_push(
        &snapshot->values,
        (saved_value){.id = id, .type = value->type, .small = value->small, .small_count = value->small_count});
}

static bool save_graph(const pt_model *model, pt_id graph, pt_infer_snapshot *snapshot) {
    const pt_graph *body = &model->graphs.data[graph];
    for (size_t i = 0; i < body->inputs.size; i++) {
        if (!save_value(model, body->inputs.data[i], snapshot)) return false;
    }
    for (size_t i = 0; i < body->order.size; i++) {
        const pt_node *node = pt_node_at(model, body->order.data[i]);
        for (uint32_t k = 0; k < node->output_count; k++) {
            if (!save_value(model, node->outputs[k], snapshot)) return false;
        }
        for (uint32_t k = 0; k < node->attribute_count; k++) {
            const pt_attribute *attribute = &node->attributes[k];
            for (uint32_t g = 0; pt_attribute_has_graphs(attribute) && g < attribute->count; g++) {
                if (!save_graph(model, attribute->graphs[g], snapshot)) return false;
            }
        }
    }
    return true;
}

pt_infer_snapshot *pt_infer_snapshot_take(pt_infer *infer, pt_id graph) {
    pt_infer_snapshot *snapshot = pt_calloc(1, sizeof *snapshot);
    if (snapshot && save_graph(infer->model, graph, snapshot)) return snapshot;
    pt_infer_snapshot_free(snapshot);
    infer->status = PT_OUT_OF_MEMORY();
    return NULL;
}

void pt_infer_snapshot_restore(pt_infer *infer, const pt_infer_snapshot *snapshot) {
    for (size_t i = 0; i < snapshot->values.size; i++) {
        const saved_value *saved = &snapshot->values.data[i];
        pt_value *value = pt_value_at(infer->model, saved->id);
        value->type = saved->type;
        value->small = saved->small;
        value->small_count = saved->small_count;
        if (infer->run->floats && !value->constant) {
            infer->run->floats[saved->id].elements = NULL;
            infer->run->floats[saved->id].count = 0;
        }
    }
}

void pt_infer_snapshot_free(pt_infer_snapshot *snapshot) {
    if (!snapshot) return;
    pt_array_deinit(&snapshot->values);
    pt_free(snapshot);
}
