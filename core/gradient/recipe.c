/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recipes: the texts of rows.inc, evaluated into nodes. rows.inc says what they look like. A name is evaluated when it
 * is used first, so that only what a wanted derivative needs is made.
 */
#include "gradient/build.h"

#include <ctype.h>
#include <partita/plugin.h>
#include <stdlib.h>

enum { MAX_NAMES = 24, MAX_ARGUMENTS = 8, MAX_ATTRIBUTES = 6, MAX_INTS = 16, MAX_WORD = 48 };

typedef struct name_slot {
    partita_str name;
    const char *start; /* of its expression */
    pt_id value;
    bool done;
} name_slot;

typedef struct recipe {
    pt_grad_site *site;
    pt_grad *g;
    const char *at;
    partita_dtype dtype; /* of literals */
    pt_id aligned;       /* input 1 as old broadcasting has it; PT_NONE: not made yet */
    name_slot names[MAX_NAMES];
    uint32_t name_count;
} recipe;

static pt_id expression(recipe *r);

/* ---- characters ------------------------------------------------------------------------------ */

static void skip(recipe *r) {
    while (isspace((unsigned char)*r->at)) r->at++;
}

static bool take(recipe *r, const char *text) {
    size_t size = strlen(text);
    skip(r);
    if (strncmp(r->at, text, size) != 0) return false;
    r->at += size;
    return true;
}

static pt_id broken(recipe *r, const char *what) {
    return pt_grad_fail(r->g, "the recipe is broken: %s expected at '%.20s'", what, r->at);
}

static partita_str word(recipe *r) {
    skip(r);
    const char *start = r->at;
    while (isalnum((unsigned char)*r->at) || *r->at == '_') r->at++;
    return (partita_str){start, (size_t)(r->at - start)};
}

/* ---- attributes ------------------------------------------------------------------------------ */

static const pt_attribute *attribute_of(recipe *r, partita_str name) {
    const pt_node *node = pt_node_at(r->g->model, r->site->node);
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        if (pt_str_equal(node->attributes[i].name, name)) return &node->attributes[i];
    }
    pt_grad_fail(r->g, "attribute '%.*s' is missing", PT_STR_ARG(name));
    return NULL;
}

/* "[1, @size, @axes]" after the bracket. */
static uint32_t int_list(recipe *r, int64_t *out_values) {
    uint32_t count = 0;
    while (!pt_grad_failed(r->g) && !take(r, "]")) {
        const pt_attribute *attribute = take(r, "@") ? attribute_of(r, word(r)) : NULL;
        uint32_t more = attribute && attribute->type == PTP_ATTRIBUTE_INTS ? attribute->count : 1;
        if (count + more > MAX_INTS) {
            broken(r, "a shorter list");
        } else if (attribute && attribute->type == PTP_ATTRIBUTE_INTS) {
            for (uint32_t i = 0; i < more; i++) out_values[count++] = attribute->ints[i];
        } else if (attribute) {
            out_values[count++] = attribute->i;
        } else {
            char *end;
            out_values[count++] = strtoll(r->at, &end, 10);
            if (end == r->at) broken(r, "a number");
            r->at = end;
        }
        take(r, ",");
    }
    return count;
}

/* The value behind "name=". */
static pt_attribute call_attribute(recipe *r, partita_str name) {
    pt_attribute made = {.type = PTP_ATTRIBUTE_INT, .count = 1};
    int64_t values[MAX_INTS];
    char *end;
    if (take(r, "@")) {
        const pt_attribute *attribute = attribute_of(r, word(r));
        if (attribute) made = *attribute;
    } else if (take(r, "[")) {
        uint32_t count = int_list(r, values);
        made = pt_grad_list(r->g, "", values, count);
    } else if (take(r, "'")) {
        made.type = PTP_ATTRIBUTE_STRING;
        made.s = word(r);
        if (!take(r, "'")) broken(r, "a quote");
    } else {
        made.i = strtoll(r->at, &end, 10);
        r->at = end;
    }
    made.name = pt_arena_str(&r->g->model->arena, name);
    if (!made.name.data && !pt_grad_failed(r->g)) r->g->status = PT_OUT_OF_MEMORY();
    return made;
}

/* "@alpha" as a number. */
static pt_id attribute_number(recipe *r) {
    const pt_attribute *attribute = attribute_of(r, word(r));
    if (!attribute) return PT_NONE;
    double value = attribute->type == PTP_ATTRIBUTE_FLOAT ? (double)attribute->f : (double)attribute->i;
    return pt_grad_scalar(r->g, r->dtype, value);
}

/* ---- functions of the recipes ---------------------------------------------------------------- */

/* What a reduction took away comes back as dims of one element. */
static pt_id keep(recipe *r, pt_id value) {
    pt_grad *g = r->g;
    pt_id x = r->site->inputs[0], listed = r->site->input_count > 1 ? r->site->inputs[1] : PT_NONE;
    const pt_node *node = pt_node_at(g->model, r->site->node);
    const pt_attribute *axes = pt_node_attribute(node, "axes");
    if (pt_node_int(node, "keepdims", 1) || value == PT_NONE) return value;
    bool none = listed != PT_NONE && pt_grad_type(g, listed)->rank == 1 && pt_grad_type(g, listed)->dims[0] == 0;
    if (none && pt_node_int(node, "noop_with_empty_axes", 0)) return value;
    if (axes && axes->count) return pt_grad_unsqueeze(g, value, pt_grad_ints(g, axes->ints, axes->count));
    if (listed != PT_NONE && !none) return pt_grad_unsqueeze(g, value, listed);
    if (pt_node_int(node, "noop_with_empty_axes", 0)) return value;
    return pt_grad_unsqueeze(g, value, pt_grad_range(g, 0, pt_grad_rank(g, x)));
}

/* A vector over the channels, so that it broadcasts to `model`. */
static pt_id channel(pt_grad *g, pt_id value, pt_id model) {
    return pt_grad_unsqueeze(g, value, pt_grad_range(g, 1, pt_grad_rank(g, model) - 1));
}

static pt_id evens(pt_grad *g, pt_id value) {
    int64_t axes[PT_GRAD_RANK_MAX];
    int32_t rank = pt_grad_rank(g, value);
    for (int32_t i = 0; i < rank; i++) axes[i] = 2 * (int64_t)i;
    return pt_grad_ints(g, axes, (uint32_t)rank);
}

static pt_id count(recipe *r, pt_id whole, pt_id part) {
    pt_grad *g = r->g;
    pt_id ratio = pt_grad_binary(g, "Div", pt_grad_unary(g, "Size", whole), pt_grad_unary(g, "Size", part));
    return pt_grad_cast(g, ratio, r->dtype);
}

static pt_id axes_from(recipe *r, pt_id value) {
    int32_t rank = pt_grad_rank(r->g, value);
    return pt_grad_range(r->g, pt_grad_axis(r->g, r->site->node, -1, rank), rank);
}

static pt_id axis_only(recipe *r, pt_id value) {
    int64_t axis = pt_grad_axis(r->g, r->site->node, -1, pt_grad_rank(r->g, value));
    return pt_grad_ints(r->g, &axis, 1);
}

/* All axes but that of the channels. */
static pt_id batch_axes(pt_grad *g, pt_id value) {
    int64_t axes[PT_GRAD_RANK_MAX] = {0};
    int32_t rank = pt_grad_rank(g, value);
    uint32_t size = 1;
    for (int32_t i = 2; i < rank; i++) axes[size++] = i;
    return pt_grad_ints(g, axes, size);
}

static pt_id again(recipe *r, pt_id value) {
    pt_id inputs[PT_GRAD_SLOTS];
    uint32_t size = PT_MIN(r->site->input_count, (uint32_t)PT_GRAD_SLOTS);
    for (uint32_t i = 0; i < size; i++) inputs[i] = i ? r->site->inputs[i] : value;
    return pt_grad_again(r->g, r->site->node, inputs, size, NULL);
}

/* Where labels are the ones that do not count; nothing without the attribute. */
static pt_id ignored(recipe *r, pt_id labels) {
    const pt_attribute *attribute = pt_node_attribute(pt_node_at(r->g->model, r->site->node), "ignore_index");
    return attribute ? pt_grad_binary(r->g, "Equal", labels, pt_grad_scalar_int(r->g, attribute->i)) : PT_NONE;
}

static pt_id reduced(recipe *r, pt_id losses, pt_id weights) {
    const pt_attribute *reduction = pt_node_attribute(pt_node_at(r->g->model, r->site->node), "reduction");
    if (reduction && pt_str_is(reduction->s, "none")) return losses;
    pt_id sum = pt_grad_sum(r->g, losses, PT_NONE, false);
    if (reduction && pt_str_is(reduction->s, "sum")) return sum;
    return pt_grad_binary(r->g, "Div", sum, pt_grad_sum(r->g, weights, PT_NONE, false));
}

/* The sum over `size` channels around each. */
static pt_id neighbours(recipe *r, pt_id value) {
    pt_grad *g = r->g;
    int64_t size = pt_node_int(pt_node_at(g->model, r->site->node), "size", 1), one = 1;
    int64_t kernel[2] = {size, 1}, pads[4] = {(size - 1) / 2, 0, size / 2, 0}, planes[4] = {0, 0, 0, -1};
    pt_attribute attributes[3] = {pt_grad_list(g, "kernel_shape", kernel, 2), pt_grad_list(g, "pads", pads, 4),
                                  pt_grad_int("count_include_pad", 1)};
    pt_id flat = pt_grad_reshape(g, pt_grad_unsqueeze(g, value, pt_grad_ints(g, &one, 1)), pt_grad_ints(g, planes, 4));
    pt_id mean = pt_grad_op(g, "AveragePool", &flat, 1, attributes, 3);
    return pt_grad_like(g, pt_grad_binary(g, "Mul", mean, pt_grad_scalar(g, r->dtype, (double)size)), value);
}

static pt_id call_shaping(recipe *r, partita_str name, const pt_id *in) {
    pt_grad *g = r->g;
    if (pt_str_is(name, "shape")) return pt_grad_shape(g, in[0]);
    if (pt_str_is(name, "like")) return pt_grad_like(g, in[0], in[1]);
    if (pt_str_is(name, "expand")) return pt_grad_expand(g, in[0], in[1]);
    if (pt_str_is(name, "sum_to")) return pt_grad_sum_to(g, in[0], in[1]);
    if (pt_str_is(name, "cast")) return pt_grad_cast(g, in[0], pt_grad_dtype(g, in[1]));
    if (pt_str_is(name, "zeros")) return pt_grad_full(g, in[0], 0.0);
    if (pt_str_is(name, "keep")) return keep(r, in[0]);
    if (pt_str_is(name, "channel")) return channel(g, in[0], in[1]);
    if (pt_str_is(name, "default")) return in[0] == PT_NONE ? in[1] : in[0];
    return pt_grad_fail(g, "the recipe is broken: no function %.*s", PT_STR_ARG(name));
}

static pt_id call_function(recipe *r, partita_str name, const pt_id *in) {
    pt_grad *g = r->g;
    if (pt_str_is(name, "count")) return count(r, in[0], in[1]);
    if (pt_str_is(name, "evens")) return evens(g, in[0]);
    if (pt_str_is(name, "axes_from")) return axes_from(r, in[0]);
    if (pt_str_is(name, "axis")) return axis_only(r, in[0]);
    if (pt_str_is(name, "spatial")) return pt_grad_range(g, 2, pt_grad_rank(g, in[0]));
    if (pt_str_is(name, "batch")) return batch_axes(g, in[0]);
    if (pt_str_is(name, "again")) return again(r, in[0]);
    if (pt_str_is(name, "ignored")) return ignored(r, in[0]);
    if (pt_str_is(name, "reduced")) return reduced(r, in[0], in[1]);
    if (pt_str_is(name, "neighbours")) return neighbours(r, in[0]);
    return call_shaping(r, name, in);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Before version 7 the second operand may lie at an axis of the first. */
static pt_id second_operand(recipe *r) {
    pt_grad *g = r->g;
    const pt_node *node = pt_node_at(g->model, r->site->node);
    pt_id b = r->site->input_count > 1 ? r->site->inputs[1] : PT_NONE;
    if (b == PT_NONE || !pt_node_int(node, "broadcast", 0) || !pt_node_attribute(node, "axis")) return b;
    if (r->aligned != PT_NONE) return r->aligned;
    int32_t rank = pt_grad_rank(g, r->site->inputs[0]), rank_b = pt_grad_rank(g, b);
    int64_t axis = pt_grad_axis(g, r->site->node, 0, rank);
    r->aligned = pt_grad_unsqueeze(g, b, pt_grad_range(g, rank_b, rank - axis));
    return r->aligned;
}

static pt_id input(recipe *r, uint32_t index) {
    if (index == 1) return second_operand(r);
    return index < r->site->input_count ? r->site->inputs[index] : PT_NONE;
}

static pt_id value_of(recipe *r, partita_str name) {
    const pt_grad_site *site = r->site;
    static const char *const inputs[] = {"a", "b", "c"};
    for (uint32_t i = 0; i < r->name_count; i++) {
        name_slot *slot = &r->names[i];
        if (!pt_str_equal(slot->name, name)) continue;
        if (slot->done) return slot->value;
        const char *at = r->at;
        slot->done = true;
        r->at = slot->start;
        pt_id value = expression(r);
        r->at = at;
        return slot->value = value;
    }
    for (uint32_t i = 0; i < PT_COUNT_OF(inputs); i++) {
        if (pt_str_is(name, inputs[i])) return input(r, i);
    }
    if (pt_str_is(name, "_")) return PT_NONE;
    if (pt_str_is(name, "x")) return input(r, 0);
    if (pt_str_is(name, "y")) return site->outputs[0];
    if (pt_str_is(name, "dy")) return site->upstream[0];
    uint32_t index = name.size == 2 && isdigit((unsigned char)name.data[1]) ? (uint32_t)(name.data[1] - '0') : PT_NONE;
    if (index != PT_NONE && name.data[0] == 'x') return input(r, index);
    if (index != PT_NONE && name.data[0] == 'y') return pt_grad_output(r->g, site->node, index);
    return pt_grad_fail(r->g, "the recipe is broken: no value %.*s", PT_STR_ARG(name));
}

/* ---- expressions ----------------------------------------------------------------------------- */

static bool starts_attribute(const char *at) {
    while (isspace((unsigned char)*at)) at++;
    while (isalnum((unsigned char)*at) || *at == '_') at++;
    return at[0] == '=' && at[1] != '=';
}

/* "Op(a, b, axis=1)" or "function(a)" after the bracket. */
static pt_id call(recipe *r, partita_str name) {
    pt_id arguments[MAX_ARGUMENTS] = {PT_NONE, PT_NONE, PT_NONE};
    pt_attribute attributes[MAX_ATTRIBUTES];
    uint32_t argument_count = 0, attribute_count = 0;
    char op[MAX_WORD] = "";
    while (!pt_grad_failed(r->g) && !take(r, ")")) {
        if (argument_count == MAX_ARGUMENTS || attribute_count == MAX_ATTRIBUTES) return broken(r, "fewer arguments");
        if (starts_attribute(r->at)) {
            partita_str attribute = word(r);
            take(r, "=");
            attributes[attribute_count++] = call_attribute(r, attribute);
        } else {
            arguments[argument_count++] = expression(r);
        }
        take(r, ",");
    }
    if (pt_grad_failed(r->g)) return PT_NONE;
    if (islower((unsigned char)name.data[0])) return call_function(r, name, arguments);
    if (arguments[0] == PT_NONE) return PT_NONE; /* nothing made of nothing */
    memcpy(op, name.data, PT_MIN(name.size, sizeof op - 1));
    return pt_grad_op(r->g, op, arguments, argument_count, attributes, attribute_count);
}

static pt_id primary(recipe *r) {
    int64_t values[MAX_INTS];
    skip(r);
    if (take(r, "(")) {
        pt_id value = expression(r);
        return take(r, ")") ? value : broken(r, ")");
    }
    if (take(r, "[")) {
        uint32_t size = int_list(r, values);
        return pt_grad_ints(r->g, values, size);
    }
    if (take(r, "@")) return attribute_number(r);
    if (isdigit((unsigned char)*r->at)) {
        char *end;
        double value = strtod(r->at, &end);
        r->at = end;
        return pt_grad_scalar(r->g, r->dtype, value);
    }
    partita_str name = word(r);
    if (name.size == 0) return broken(r, "a value");
    return take(r, "(") ? call(r, name) : value_of(r, name);
}

static pt_id unary(recipe *r) {
    if (take(r, "-")) return pt_grad_unary(r->g, "Neg", unary(r));
    return primary(r);
}

static pt_id product(recipe *r) {
    pt_id value = unary(r);
    for (;;) {
        if (take(r, "*")) {
            value = pt_grad_binary(r->g, "Mul", value, unary(r));
        } else if (take(r, "/")) {
            value = pt_grad_binary(r->g, "Div", value, unary(r));
        } else {
            return value;
        }
    }
}

static pt_id sum(recipe *r) {
    pt_id value = product(r);
    for (;;) {
        if (take(r, "+")) {
            value = pt_grad_binary(r->g, "Add", value, product(r));
        } else if (take(r, "-")) {
            value = pt_grad_binary(r->g, "Sub", value, product(r));
        } else {
            return value;
        }
    }
}

static pt_id expression(recipe *r) {
    pt_id value = sum(r);
    if (take(r, "==")) return pt_grad_binary(r->g, "Equal", value, sum(r));
    if (take(r, "<")) return pt_grad_binary(r->g, "Less", value, sum(r));
    if (take(r, ">")) return pt_grad_binary(r->g, "Greater", value, sum(r));
    return value;
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* Finds the names, "name = expression;" each. */
static bool open(recipe *r, pt_grad_site *site, const char *text) {
    *r = (recipe){.site = site, .g = site->grad, .at = text, .aligned = PT_NONE};
    while (!pt_grad_failed(r->g)) {
        skip(r);
        if (!*r->at) return true;
        name_slot slot = {.name = word(r), .value = PT_NONE};
        if (!take(r, "=") || r->name_count == MAX_NAMES) {
            broken(r, "a name");
            break;
        }
        slot.start = r->at;
        r->names[r->name_count++] = slot;
        while (*r->at && *r->at != ';') r->at++;
        take(r, ";");
    }
    return false;
}

/* "d1" when the recipe has it. */
static pt_id numbered(recipe *r, char letter, uint32_t number, bool *out_there) {
    char name[3] = {letter, (char)('0' + number % 10), 0};
    *out_there = false;
    for (uint32_t i = 0; i < r->name_count && number < PT_GRAD_SLOTS; i++) {
        if (pt_str_is(r->names[i].name, name)) *out_there = true;
    }
    return *out_there ? value_of(r, pt_str(name)) : PT_NONE;
}

void pt_grad_recipe(pt_grad_site *site, const char *text) {
    recipe r;
    bool there;
    if (site->upstream[0] == PT_NONE || !open(&r, site, text)) return;
    r.dtype = pt_grad_dtype(site->grad, site->upstream[0]);
    for (uint32_t i = 0; i < site->input_count && !pt_grad_failed(site->grad); i++) {
        if (!site->wanted[i]) continue;
        pt_id value = numbered(&r, 'd', i, &there);
        if (!there) {
            pt_grad_fail(site->grad, "the operator has no derivative with respect to input %u", i);
        } else if (value != PT_NONE) {
            value = pt_grad_sum_to(site->grad, value, input(&r, i));
            site->results[i] = pt_grad_like(site->grad, value, site->inputs[i]);
        }
    }
}

void pt_grad_body(pt_grad_site *site, const char *text, pt_id *out_values) {
    recipe r;
    bool there;
    for (uint32_t i = 0; i < site->output_count; i++) out_values[i] = PT_NONE;
    if (!open(&r, site, text)) return;
    for (uint32_t i = 0; i < site->input_count && r.dtype == PARTITA_UNDEFINED; i++) {
        partita_dtype dtype = pt_grad_dtype(site->grad, site->inputs[i]);
        if (pt_grad_is_float(dtype)) r.dtype = dtype;
    }
    for (uint32_t i = 0; i < site->output_count && !pt_grad_failed(site->grad); i++) {
        if (site->outputs[i] == PT_NONE) continue;
        out_values[i] = numbered(&r, 'y', i, &there);
        if (there) out_values[i] = pt_grad_cast(site->grad, out_values[i], pt_grad_dtype(site->grad, site->outputs[i]));
    }
}
