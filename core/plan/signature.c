/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units that no device can tell apart: the same operators with the same attributes on values of the same types, dims
 * and known contents, wired in the same way. A network of 100,000 nodes has a few hundred of them, and each is asked
 * once. The signature is all of that as bytes, so that equality is exact. What has bodies is like nothing else.
 */
#include "plan/build.h"
#include "op/schema.h"

/* Contents of constants are part of a signature up to this size, which is what a block shows of them. */
#define SMALL_BYTES 4096u

typedef struct signing {
    const pt_model *model;
    PT_ARRAY(unsigned char) bytes; /* of the unit that is being signed */
    PT_ARRAY(pt_id) values;        /* of it, in the order of their first naming */
    bool failed;
} signing;

static void put(signing *s, const void *data, size_t size) {
    size_t end = s->bytes.size + size;
    if (s->failed || !pt_array_reserve(&s->bytes, end)) {
        s->failed = true;
        return;
    }
    if (size) memcpy(s->bytes.data + s->bytes.size, data, size);
    s->bytes.size = end;
}

static void put_number(signing *s, int64_t number) { put(s, &number, sizeof(number)); }

static void put_text(signing *s, partita_str text) {
    put_number(s, (int64_t)text.size);
    put(s, text.data, text.size);
}

static void put_type(signing *s, const pt_type *type) {
    for (; type; type = type->element) {
        const int64_t head[] = {type->kind, type->dtype, type->key_dtype, type->rank};
        put(s, head, sizeof(head));
        if (type->rank > 0) put(s, type->dims, (size_t)type->rank * sizeof(pt_dim));
    }
}

/* Large contents are told apart by nobody; strings and sparse ones are rare and count as unlike. */
static void put_tensor(signing *s, const pt_tensor *tensor) {
    bool plain = tensor->dtype != PARTITA_STRING && !tensor->sparse_indices && tensor->weight;
    const int64_t head[] = {tensor->dtype, tensor->rank, plain};
    put(s, head, sizeof(head));
    if (tensor->rank) put(s, tensor->dims, tensor->rank * sizeof(int64_t));
    if (!plain)
        put(s, &tensor, sizeof(tensor));
    else if (tensor->weight->bytes <= SMALL_BYTES)
        put(s, tensor->weight->data, (size_t)tensor->weight->bytes);
}

/* A value that was named before is its number; which ones are the same is part of the wiring. */
static void put_value(signing *s, pt_id value) {
    if (value == PT_NONE) {
        put_number(s, -1);
        return;
    }
    for (size_t i = 0; i < s->values.size; i++)
        if (s->values.data[i] == value) {
            put_number(s, (int64_t)i);
            return;
        }
    const pt_value *v = &s->model->values.data[value];
    const int64_t head[] = {(int64_t)s->values.size, v->producer == PT_NONE, v->constant != NULL, v->small_count};
    if (!pt_array_push(&s->values, value)) s->failed = true;
    put(s, head, sizeof(head));
    put_type(s, &v->type);
    if (v->constant)
        put_tensor(s, v->constant);
    else if (v->small)
        put(s, v->small, v->small_count * sizeof(pt_dim));
}

static void put_attribute(signing *s, const pt_attribute *a) {
    put_text(s, a->name);
    put_number(s, a->type);
    put_number(s, a->count);
    switch (a->type) {
    case PTP_ATTRIBUTE_INT: put_number(s, a->i); break;
    case PTP_ATTRIBUTE_FLOAT: put(s, &a->f, sizeof(a->f)); break;
    case PTP_ATTRIBUTE_STRING: put_text(s, a->s); break;
    case PTP_ATTRIBUTE_INTS: put(s, a->ints, a->count * sizeof(*a->ints)); break;
    case PTP_ATTRIBUTE_FLOATS: put(s, a->floats, a->count * sizeof(*a->floats)); break;
    case PTP_ATTRIBUTE_STRINGS:
        for (uint32_t i = 0; i < a->count; i++) put_text(s, a->strings[i]);
        break;
    default:
        for (uint32_t i = 0; i < a->count; i++) put_tensor(s, a->tensors[i]);
    }
}

static void sign(signing *s, const pt_plan_unit *unit) {
    s->bytes.size = s->values.size = 0;
    put_number(s, unit->kind);
    for (uint32_t i = 0; i < unit->node_count; i++) {
        const pt_node *node = &s->model->nodes.data[unit->nodes[i]];
        put_text(s, node->op);
        put_text(s, node->domain);
        put_number(s, node->schema ? node->schema->since : node->version);
        put_number(s, node->attribute_count);
        for (uint32_t k = 0; k < node->attribute_count; k++) put_attribute(s, &node->attributes[k]);
        put_number(s, node->input_count);
        for (uint32_t k = 0; k < node->input_count; k++) put_value(s, node->inputs[k]);
        put_number(s, node->output_count);
        for (uint32_t k = 0; k < node->output_count; k++) put_value(s, node->outputs[k]);
    }
}

partita_status pt_plan_find_equals(const pt_plan *plan, uint32_t *same) {
    signing s = {.model = plan->model};
    pt_arena kept = {0};
    pt_map known = {0};
    partita_status status = PARTITA_OK;
    for (uint32_t i = 0; i < plan->unit_count && !s.failed; i++) {
        same[i] = i;
        if (plan->units[i].kind == PTP_UNIT_CONTROL_FLOW) continue;
        sign(&s, &plan->units[i]);
        partita_str signature = {(const char *)s.bytes.data, s.bytes.size};
        uint32_t before = s.failed ? PT_NONE : pt_map_get(&known, signature);
        if (before != PT_NONE) {
            same[i] = before;
            continue;
        }
        signature = pt_arena_str(&kept, signature);
        if (!signature.data || !pt_map_put(&known, signature, i)) s.failed = true;
    }
    if (s.failed) status = PT_OUT_OF_MEMORY();
    pt_map_deinit(&known);
    pt_arena_deinit(&kept);
    pt_array_deinit(&s.bytes);
    pt_array_deinit(&s.values);
    return status;
}
