/* SPDX-License-Identifier: Apache-2.0 */
/* Mutation of a node's attributes: values, types, missing ones, foreign ones, those that other seeds have. */
#include "fuzz.h"

#define TYPE(name) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##name

static ProtobufCBinaryData random_text(fuzz_rng *rng) {
    partita_str text = fuzz_extreme_text(rng);
    return (ProtobufCBinaryData){text.size, (uint8_t *)text.data};
}

/* A list's new length: one less, one more, none, the same, or long. */
static size_t new_length(fuzz_rng *rng, size_t n) {
    switch (fuzz_below(rng, 8)) {
    case 0: return n ? n - 1 : 0;
    case 1: return n + 1;
    case 2: return 0;
    case 3: return fuzz_chance(rng, 30) ? 200 : n + 2;
    default: return n;
    }
}

#define RESIZE(c, list, n, size)                                                                                       \
    do {                                                                                                               \
        size_t old_ = (n), new_ = (size);                                                                              \
        void *fresh_ = pt_arena_array((c)->arena, new_ + 1, sizeof(*(list)));                                          \
        if (old_ && new_) memcpy(fresh_, (list), (old_ < new_ ? old_ : new_) * sizeof(*(list)));                       \
        (list) = fresh_;                                                                                               \
        (n) = new_;                                                                                                    \
    } while (0)

static void mutate_ints(fuzz_case *c, Onnx__AttributeProto *a) {
    size_t old = a->n_ints;
    RESIZE(c, a->ints, a->n_ints, new_length(&c->rng, old));
    for (size_t i = old; i < a->n_ints; i++) a->ints[i] = fuzz_extreme_int(&c->rng);
    if (a->n_ints && fuzz_chance(&c->rng, 80)) a->ints[fuzz_below(&c->rng, a->n_ints)] = fuzz_extreme_int(&c->rng);
}

static void mutate_floats(fuzz_case *c, Onnx__AttributeProto *a) {
    size_t old = a->n_floats;
    RESIZE(c, a->floats, a->n_floats, new_length(&c->rng, old));
    if (a->n_floats && fuzz_chance(&c->rng, 80)) {
        double value = fuzz_extreme_float(&c->rng);
        if (value < 1e39 && value > -1e39) a->floats[fuzz_below(&c->rng, a->n_floats)] = (float)value;
    }
}

static void mutate_strings(fuzz_case *c, Onnx__AttributeProto *a) {
    size_t old = a->n_strings;
    RESIZE(c, a->strings, a->n_strings, new_length(&c->rng, old));
    for (size_t i = old; i < a->n_strings; i++) a->strings[i] = random_text(&c->rng);
    if (a->n_strings) a->strings[fuzz_below(&c->rng, a->n_strings)] = random_text(&c->rng);
}

static void mutate_tensor(fuzz_case *c, Onnx__AttributeProto *a) {
    switch (fuzz_below(&c->rng, 4)) {
    case 0: a->t->data_type = (int32_t)fuzz_below(&c->rng, 30); break;
    case 1: a->t->n_dims = 0; break;
    case 2:
        RESIZE(c, a->t->dims, a->t->n_dims, a->t->n_dims + 1);
        a->t->dims[a->t->n_dims - 1] = fuzz_extreme_int(&c->rng);
        break;
    default:
        if (a->t->has_raw_data && a->t->raw_data.len)
            a->t->raw_data.data[fuzz_below(&c->rng, a->t->raw_data.len)] ^= (uint8_t)fuzz_next(&c->rng);
    }
}

/* Bodies: outputs and nodes go missing, or their nodes read other values. */
static void mutate_graph(fuzz_case *c, Onnx__GraphProto *g) {
    Onnx__NodeProto *node = g->n_node ? g->node[fuzz_below(&c->rng, g->n_node)] : NULL;
    switch (fuzz_below(&c->rng, 6)) {
    case 0: g->n_output = g->n_output ? g->n_output - 1 : 0; break;
    case 1: g->n_input = g->n_input ? g->n_input - 1 : 0; break;
    case 2: g->n_node = g->n_node ? g->n_node - 1 : 0; break;
    case 3:
        if (node && node->n_input && node->n_input > 1) node->input[0] = node->input[1];
        break;
    case 4:
        if (node) node->n_attribute = 0;
        break;
    default:
        if (g->n_input > 1) {
            Onnx__ValueInfoProto *first = g->input[0];
            g->input[0] = g->input[1];
            g->input[1] = first;
        }
    }
}

static void mutate_content(fuzz_case *c, Onnx__AttributeProto *a) {
    switch (a->type) {
    case TYPE(INT): a->i = fuzz_extreme_int(&c->rng); break;
    case TYPE(FLOAT): {
        double value = fuzz_extreme_float(&c->rng);
        a->f = value > 1e39 ? 1e38f : value < -1e39 ? -1e38f : (float)value;
        break;
    }
    case TYPE(STRING): a->s = random_text(&c->rng); break;
    case TYPE(INTS): mutate_ints(c, a); break;
    case TYPE(FLOATS): mutate_floats(c, a); break;
    case TYPE(STRINGS): mutate_strings(c, a); break;
    case TYPE(TENSOR):
        if (a->t) mutate_tensor(c, a);
        break;
    case TYPE(GRAPH):
        if (a->g) mutate_graph(c, a->g);
        break;
    default: break;
    }
}

static Onnx__AttributeProto *add(fuzz_case *c, char *name) {
    Onnx__NodeProto *node = c->node;
    RESIZE(c, node->attribute, node->n_attribute, node->n_attribute + 1);
    Onnx__AttributeProto *a = pt_arena_alloc(c->arena, sizeof(*a));
    onnx__attribute_proto__init(a);
    a->name = name;
    a->has_type = 1;
    node->attribute[node->n_attribute - 1] = a;
    return a;
}

static void set_random(fuzz_case *c, Onnx__AttributeProto *a) {
    static const int types[] = {TYPE(INT), TYPE(FLOAT), TYPE(STRING), TYPE(INTS), TYPE(FLOATS), TYPE(STRINGS)};
    a->has_type = 1;
    a->type = (Onnx__AttributeProto__AttributeType)types[fuzz_below(&c->rng, 6)];
    a->has_i = a->type == TYPE(INT);
    a->has_f = a->type == TYPE(FLOAT);
    a->has_s = a->type == TYPE(STRING);
    a->n_ints = a->n_floats = a->n_strings = 0;
    a->t = NULL;
    a->g = NULL;
    mutate_content(c, a);
}

/* An attribute of the operator that this seed lacks, from another seed. */
static void borrow(fuzz_case *c, const fuzz_operator *op) {
    const fuzz_seed *seed = &op->seeds[fuzz_below(&c->rng, op->seed_count)];
    Onnx__ModelProto *other = onnx__model_proto__unpack(NULL, seed->size, seed->model);
    Onnx__AttributeProto *found = NULL;
    for (size_t i = 0; other && other->graph && i < other->graph->n_node; i++) {
        Onnx__NodeProto *node = other->graph->node[i];
        if (node->op_type && pt_str_is(op->op, node->op_type) && node->n_attribute)
            found = node->attribute[fuzz_below(&c->rng, node->n_attribute)];
    }
    if (found) { /* a copy in the arena: by its bytes */
        size_t size = onnx__attribute_proto__get_packed_size(found);
        uint8_t *bytes = pt_arena_alloc(c->arena, size + 1);
        onnx__attribute_proto__pack(found, bytes);
        ProtobufCAllocator allocator = fuzz_allocator(c->arena);
        Onnx__AttributeProto *copy = onnx__attribute_proto__unpack(&allocator, size, bytes);
        Onnx__AttributeProto **slot = NULL;
        for (size_t i = 0; copy && i < c->node->n_attribute; i++)
            if (strcmp(c->node->attribute[i]->name, copy->name) == 0) slot = &c->node->attribute[i];
        if (copy && !slot) {
            add(c, copy->name);
            slot = &c->node->attribute[c->node->n_attribute - 1];
        }
        if (slot) *slot = copy;
    }
    if (other) onnx__model_proto__free_unpacked(other, NULL);
}

void fuzz_mutate_attribute(fuzz_case *c, const fuzz_operator *op) {
    Onnx__NodeProto *node = c->node;
    size_t at = fuzz_below(&c->rng, node->n_attribute);
    uint64_t kind = fuzz_below(&c->rng, 16);
    if (kind < 3 || node->n_attribute == 0) {
        if (kind == 0)
            set_random(c, add(c, "no_such_attribute"));
        else
            borrow(c, op);
        return;
    }
    Onnx__AttributeProto *a = node->attribute[at];
    if (kind == 3)
        node->attribute[at] = node->attribute[--node->n_attribute];
    else if (kind == 4)
        set_random(c, a);
    else if (kind == 5) { /* twice */
        Onnx__AttributeProto *copy = add(c, a->name);
        *copy = *a;
    } else
        mutate_content(c, a);
}
