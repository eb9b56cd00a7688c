/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a body asks of the node that it replaces. One body serves nodes that differ in attributes, in what they leave
 * out and in types: a node of it that is named "when reduction = mean, !weight" is there where all of that holds, and a
 * reference to the attribute type_of_X gives the element type of input X.
 */
#include "onnx/import.h"

#include <partita/plugin.h>
#include <stdlib.h>

enum { LONGEST = 64 };

/* The value that the body calls `name`; *out_formal false when it is none of its inputs and outputs. */
static pt_id find_value(const pt_node *node, const Onnx__FunctionProto *function, const char *name, bool *out_formal) {
    *out_formal = true;
    for (size_t i = 0; i < function->n_input; i++) {
        if (strcmp(function->input[i], name) == 0) return i < node->input_count ? node->inputs[i] : PT_NONE;
    }
    for (size_t i = 0; i < function->n_output; i++) {
        if (strcmp(function->output[i], name) == 0) return i < node->output_count ? node->outputs[i] : PT_NONE;
    }
    *out_formal = false;
    return PT_NONE;
}

static partita_status read_type(const pt_model *model, pt_id value, const char *name, const char *property,
                                int64_t *out_number) {
    const pt_type *type = value == PT_NONE ? NULL : &pt_value_at(model, value)->type;
    bool rank = strcmp(property, "rank") == 0;
    if (!rank && strcmp(property, "type") != 0)
        return pt_fail(PARTITA_BAD_MODEL, "its body asks for the %s of %s", property, name);
    *out_number = !type ? -1 : rank ? type->rank : (int64_t)type->dtype;
    if (type && *out_number == (rank ? -1 : PARTITA_UNDEFINED))
        return pt_fail(PARTITA_UNSUPPORTED, "its body depends on the %s of %s, which is not known", property, name);
    return PARTITA_OK;
}

static bool compare(double value, const char *op, double number) {
    if (*op == '<') return value < number;
    return *op == '>' ? value >= number : value == number;
}

/* An attribute that is not there equals nothing. */
static bool compare_attribute(const pt_attribute *attribute, const char *op, const char *operand) {
    switch (attribute ? attribute->type : 0) {
    case PTP_ATTRIBUTE_STRING: return pt_str_is(attribute->s, operand);
    case PTP_ATTRIBUTE_INT: return compare((double)attribute->i, op, strtod(operand, NULL));
    case PTP_ATTRIBUTE_FLOAT: return compare((double)attribute->f, op, strtod(operand, NULL));
    default: return false;
    }
}

/* The next word of letters of `set`, after spaces; "" when it is another character's turn. */
static const char *next_word(const char *at, const char *set, bool among, char out_word[LONGEST]) {
    at += strspn(at, " ");
    size_t size = among ? strspn(at, set) : strcspn(at, set);
    size_t kept = PT_MIN(size, (size_t)LONGEST - 1);
    memcpy(out_word, at, kept);
    out_word[kept] = '\0';
    return at + size;
}

/* A name, or one that is compared with a number or a word. */
static partita_status evaluate(const pt_model *model, const pt_node *node, const Onnx__FunctionProto *function,
                               const char **at, bool *out_holds) {
    char name[LONGEST], op[LONGEST], operand[LONGEST];
    *at += strspn(*at, " ");
    bool negated = **at == '!', formal;
    *at = next_word(*at + negated, " ,=!<>", false, name);
    *at = next_word(*at, "=!<>", true, op);
    *at = *op ? next_word(*at, " ,", false, operand) : *at;
    char *property = strchr(name, '.');
    if (property) *property++ = '\0';
    pt_id value = find_value(node, function, name, &formal);
    const pt_attribute *attribute = formal ? NULL : pt_node_attribute(node, name);
    bool holds = formal ? value != PT_NONE : attribute != NULL;
    int64_t number = 0;
    bool counted = property || strcmp(name, "version") == 0;
    if (property)
        PT_TRY(read_type(model, value, name, property, &number));
    else if (counted)
        number = node->version;
    if (*op && counted) holds = compare((double)number, op, strtod(operand, NULL));
    if (*op && !counted) holds = compare_attribute(attribute, op, operand);
    *out_holds = holds != (negated || strcmp(op, "!=") == 0);
    *at += strspn(*at, " ");
    return PARTITA_OK;
}

/* Between commas, of which all must hold, stands one or more with "or" between. */
static partita_status is_there(const pt_model *model, const pt_node *node, const Onnx__FunctionProto *function,
                               const char *name, bool *out_there) {
    *out_there = true;
    if (!name || strncmp(name, "when ", 5) != 0) return PARTITA_OK;
    for (const char *at = name + 4; *at && *out_there;) {
        bool any = false, holds;
        size_t skip = 1; /* the space or the comma; then "or" */
        do {
            const char *before = at += skip;
            PT_TRY(evaluate(model, node, function, &at, &holds));
            if (at == before) return pt_fail(PARTITA_BAD_MODEL, "'%s' is no condition", name);
            any = any || holds;
            skip = 3;
        } while (strncmp(at, "or ", 3) == 0);
        if (*at && *at != ',') return pt_fail(PARTITA_BAD_MODEL, "'%s' is no condition", name);
        *out_there = any;
    }
    return PARTITA_OK;
}

partita_status pt_import_choose(const pt_model *model, const pt_node *node, Onnx__FunctionProto *function) {
    size_t kept = 0;
    for (size_t i = 0; i < function->n_node; i++) {
        bool there;
        PT_TRY(is_there(model, node, function, function->node[i]->name, &there));
        if (there) function->node[kept++] = function->node[i];
    }
    function->n_node = kept;
    return PARTITA_OK;
}

partita_status pt_import_type_of(const pt_model *model, const pt_call *call, const char *name, pt_attribute *out,
                                 bool *out_given) {
    static const char prefix[] = "type_of_";
    bool formal;
    *out_given = strncmp(name, prefix, sizeof prefix - 1) == 0;
    if (!*out_given) return PARTITA_OK;
    pt_id value = find_value(call->expanded, call->function, name + sizeof prefix - 1, &formal);
    *out_given = value != PT_NONE;
    if (!*out_given) return PARTITA_OK;
    *out = (pt_attribute){.type = PTP_ATTRIBUTE_INT, .count = 1};
    return read_type(model, value, name + sizeof prefix - 1, "type", &out->i);
}
