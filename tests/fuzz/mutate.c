/* SPDX-License-Identifier: Apache-2.0 */
/* A case: a seed of the operator, and between none and a few mutations of node, graph, opset and inputs. */
#include "fuzz.h"

static void *arena_take(void *arena, size_t size) { return pt_arena_alloc(arena, size ? size : 1); }
static void arena_keep(void *arena, void *block) { (void)arena, (void)block; }
ProtobufCAllocator fuzz_allocator(pt_arena *arena) { return (ProtobufCAllocator){arena_take, arena_keep, arena}; }

static bool is_node(const fuzz_operator *op, const Onnx__NodeProto *node) {
    const char *domain = node->domain && strcmp(node->domain, "ai.onnx") ? node->domain : "";
    return node->op_type && pt_str_is(op->op, node->op_type) && pt_str_is(op->domain, domain);
}

static Onnx__ValueInfoProto *input_of(const fuzz_case *c, const char *name) {
    for (size_t i = 0; i < c->model->graph->n_input; i++)
        if (strcmp(c->model->graph->input[i]->name, name) == 0) return c->model->graph->input[i];
    return NULL;
}

static Onnx__TypeProto__Tensor *tensor_type(Onnx__ValueInfoProto *info) {
    return info && info->type && info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? info->type->tensor_type
                                                                                               : NULL;
}

static Onnx__TensorShapeProto *shape_of(fuzz_case *c, const int64_t *dims, uint32_t rank, bool symbolic) {
    Onnx__TensorShapeProto *shape = pt_arena_alloc(c->arena, sizeof(*shape));
    onnx__tensor_shape_proto__init(shape);
    shape->n_dim = rank;
    shape->dim = pt_arena_array(c->arena, rank + 1, sizeof(*shape->dim));
    for (uint32_t i = 0; i < rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = pt_arena_alloc(c->arena, sizeof(*dim));
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = symbolic ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                                   : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (symbolic)
            dim->dim_param = (char *)pt_arena_printf(c->arena, "d%u", (unsigned)fuzz_below(&c->rng, 8)).data;
        else
            dim->dim_value = dims[i];
        shape->dim[i] = dim;
    }
    return shape;
}

/* What the model says of an input follows what it is fed: exactly, by symbols, by rank or not at all. */
static void declare(fuzz_case *c, const fuzz_feed *feed, uint64_t how) {
    Onnx__TypeProto__Tensor *type = tensor_type(input_of(c, feed->name));
    if (!type || feed->item.kind != PARTITA_KIND_TENSOR) return;
    type->has_elem_type = 1;
    type->elem_type = (int32_t)feed->item.dtype;
    type->shape = how < 5 ? shape_of(c, feed->item.dims, feed->item.rank, how > 2) : NULL;
}

/* Feeds become constants of the model: then inference, prepare and folding see their values. */
static void make_constant(fuzz_case *c, uint32_t index) {
    Onnx__GraphProto *g = c->model->graph;
    fuzz_feed feed = c->feeds[index];
    if (feed.item.kind != PARTITA_KIND_TENSOR) return;
    Onnx__TensorProto **all = pt_arena_array(c->arena, g->n_initializer + 1, sizeof(*all));
    if (g->n_initializer) memcpy(all, g->initializer, g->n_initializer * sizeof(*all));
    all[g->n_initializer] = fuzz_tensor_of(c, &feed.item, feed.name);
    g->initializer = all;
    g->n_initializer++;
    for (size_t i = 0; i < g->n_input; i++)
        if (strcmp(g->input[i]->name, feed.name) == 0) {
            memmove(&g->input[i], &g->input[i + 1], (g->n_input - i - 1) * sizeof(*g->input));
            g->n_input--;
            break;
        }
    memmove(&c->feeds[index], &c->feeds[index + 1], (c->feed_count - index - 1) * sizeof(*c->feeds));
    c->feed_count--;
}

static char **longer(fuzz_case *c, char **names, size_t n) {
    char **all = pt_arena_array(c->arena, n + 1, sizeof(*all));
    if (n) memcpy(all, names, n * sizeof(*all));
    return all;
}

static void mutate_node(fuzz_case *c) {
    Onnx__NodeProto *node = c->node;
    size_t in = fuzz_below(&c->rng, node->n_input), out = fuzz_below(&c->rng, node->n_output);
    switch (fuzz_below(&c->rng, 8)) {
    case 0:
        if (node->n_input) node->input[in] = "";
        break;
    case 1:
        if (node->n_input) node->n_input--;
        break;
    case 2: /* one more, that others have too */
        node->input = longer(c, node->input, node->n_input);
        node->input[node->n_input] = node->n_input ? node->input[in] : "";
        node->n_input++;
        break;
    case 3:
        if (node->n_input > 1) {
            char *first = node->input[0];
            node->input[0] = node->input[in];
            node->input[in] = first;
        }
        break;
    case 4:
        node->output = longer(c, node->output, node->n_output);
        node->output[node->n_output++] = fuzz_chance(&c->rng, 50) ? "one_more" : "";
        break;
    case 5:
        if (node->n_output > 1) node->output[out] = "";
        break;
    case 6:
        if (node->n_input) node->input[in] = node->input[0];
        break;
    default: /* an input given twice over */
        if (node->n_input && node->n_output && fuzz_chance(&c->rng, 20)) node->input[in] = node->output[0];
    }
}

static void mutate_opset(fuzz_case *c) {
    for (size_t i = 0; i < c->model->n_opset_import; i++) {
        Onnx__OperatorSetIdProto *set = c->model->opset_import[i];
        bool wild = fuzz_chance(&c->rng, 3);
        int64_t newest = set->domain && set->domain[0] ? 6 : 28;
        set->version = wild ? fuzz_extreme_int(&c->rng) : 1 + (int64_t)fuzz_below(&c->rng, (uint64_t)newest);
    }
}

/* All dims of one size, in all feeds, become another size: shapes that belong together stay so. */
static void mutate_shapes_together(fuzz_case *c) {
    int64_t dims[24];
    const fuzz_feed *pick = &c->feeds[fuzz_below(&c->rng, c->feed_count)];
    if (!c->feed_count || !pick->item.rank) return;
    int64_t old = pick->item.dims[fuzz_below(&c->rng, pick->item.rank)], now = (int64_t)fuzz_below(&c->rng, 9);
    for (uint32_t i = 0; i < c->feed_count; i++) {
        pt_item *item = &c->feeds[i].item;
        if (item->kind != PARTITA_KIND_TENSOR || item->rank > 24) continue;
        for (uint32_t d = 0; d < item->rank; d++) dims[d] = item->dims[d] == old ? now : item->dims[d];
        fuzz_item_resize(c, item, dims, item->rank);
    }
}

static void mutate_once(fuzz_case *c, const fuzz_operator *op) {
    pt_item *item = c->feed_count ? &c->feeds[fuzz_below(&c->rng, c->feed_count)].item : NULL;
    uint64_t kind = fuzz_below(&c->rng, 20);
    if (kind < 9 || !item) {
        if (kind % 9 < 7)
            fuzz_mutate_attribute(c, op);
        else if (kind % 9 == 7)
            mutate_node(c);
        else
            mutate_opset(c);
    } else if (kind < 12)
        fuzz_mutate_value(c, item);
    else if (kind < 17)
        fuzz_mutate_shape(c, item);
    else
        fuzz_mutate_dtype(c, item);
}

static bool read_seed(const fuzz_operator *op, const fuzz_seed *seed, fuzz_case *c) {
    ProtobufCAllocator allocator = fuzz_allocator(c->arena);
    c->model = onnx__model_proto__unpack(&allocator, seed->size, seed->model);
    if (!c->model || !c->model->graph) return false;
    Onnx__GraphProto *g = c->model->graph;
    for (size_t i = 0; i < g->n_node && !c->node; i++)
        if (is_node(op, g->node[i])) c->node = g->node[i];
    if (!c->node) return false;
    c->node->name = FUZZ_NODE;
    c->feeds = pt_arena_array(c->arena, seed->input_count + 1, sizeof(*c->feeds));
    for (uint32_t i = 0; i < seed->input_count; i++) {
        const fuzz_input *in = &seed->inputs[i];
        for (size_t k = 0, at = 0; k < g->n_input; k++) {
            bool constant = false;
            for (size_t w = 0; w < g->n_initializer; w++)
                if (strcmp(g->initializer[w]->name, g->input[k]->name) == 0) constant = true;
            if (!constant && at++ == i) c->feeds[i].name = g->input[k]->name;
        }
        if (!c->feeds[i].name) return false;
        if (pt_item_read(in->data, in->size, in->kind, c->arena, &c->feeds[i].item) != PARTITA_OK) return false;
        c->feed_count++;
    }
    return true;
}

bool fuzz_case_make(const fuzz_operator *op, uint64_t seed, uint64_t number, pt_arena *arena, fuzz_case *out_case) {
    fuzz_case c = {.arena = arena, .rng = {seed ^ pt_hash_bytes(op->op.data, op->op.size, number)}};
    const fuzz_seed *from = &op->seeds[fuzz_below(&c.rng, op->seed_count)];
    if (!read_seed(op, from, &c)) return false;
    c.only_values = fuzz_chance(&c.rng, 35);
    if (fuzz_chance(&c.rng, 50)) mutate_shapes_together(&c);
    if (c.only_values) {
        for (uint32_t i = 0; i < c.feed_count; i++)
            if (fuzz_chance(&c.rng, 50)) fuzz_mutate_value(&c, &c.feeds[i].item);
        if (fuzz_chance(&c.rng, 20)) mutate_opset(&c);
    } else
        for (uint64_t n = 1 + fuzz_below(&c.rng, 3); n; n--) mutate_once(&c, op);
    /* Outputs keep no declared type: it would be what every other case is refused for. */
    for (size_t i = 0; i < c.model->graph->n_output; i++) c.model->graph->output[i]->type = NULL;
    c.model->graph->n_value_info = 0;
    for (uint32_t i = 0; i < c.feed_count; i++)
        if (fuzz_chance(&c.rng, 97)) declare(&c, &c.feeds[i], fuzz_below(&c.rng, 7));
    for (uint32_t i = c.feed_count; i-- > 0;)
        if (fuzz_chance(&c.rng, 30)) make_constant(&c, i);
    *out_case = c;
    return true;
}
