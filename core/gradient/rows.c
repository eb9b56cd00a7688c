/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of derivatives, and which one a node has.
 */
#include "gradient/build.h"

#include <partita/plugin.h>
#include <stdlib.h>

#define NEWEST                                   INT32_MAX
#define ROW_ZERO(op, since, until, when)         {#op, since, until, when, PT_GRAD_ZERO, NULL, NULL},
#define ROW_RECIPE(op, since, until, when, text) {#op, since, until, when, PT_GRAD_RECIPE, text, NULL},
#define ROW_BODY(op, since, until, when, text)   {#op, since, until, when, PT_GRAD_BODY, text, NULL},
#define ROW_FUNCTION(op, since, until, when, function, text)                                                           \
    {#op, since, until, when, PT_GRAD_FUNCTION, text, pt_grad_##function},
static const pt_grad_row rows[] = {
#include "gradient/rows.inc"
};

/* One condition: "#2", "name=value". */
static bool holds(const pt_node *node, partita_str condition) {
    if (condition.data[0] == '#') {
        uint32_t least = (uint32_t)(condition.data[1] - '0');
        return node->output_count >= least && node->outputs[least - 1] != PT_NONE;
    }
    const char *equals = memchr(condition.data, '=', condition.size);
    if (!equals) return false;
    partita_str name = {condition.data, (size_t)(equals - condition.data)};
    partita_str value = {equals + 1, condition.size - name.size - 1};
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        const pt_attribute *attribute = &node->attributes[i];
        if (!pt_str_equal(attribute->name, name)) continue;
        if (attribute->type == PTP_ATTRIBUTE_STRING) return pt_str_equal(attribute->s, value);
        return attribute->type == PTP_ATTRIBUTE_INT && attribute->i == strtoll(value.data, NULL, 10);
    }
    return false;
}

static bool fits(const pt_node *node, const char *when) {
    while (*when) {
        const char *comma = strchr(when, ',');
        size_t size = comma ? (size_t)(comma - when) : strlen(when);
        if (!holds(node, (partita_str){when, size})) return false;
        when += size + (comma != NULL);
    }
    return true;
}

const pt_grad_row *pt_grad_find(const pt_model *model, pt_id node) {
    const pt_node *row = pt_node_at(model, node);
    if (row->domain.size || !row->schema) return NULL;
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        const pt_grad_row *candidate = &rows[i];
        bool named = pt_str_is(row->op, candidate->op) && row->schema->since >= candidate->since &&
                     row->schema->since <= candidate->until;
        if (named && fits(row, candidate->when)) return candidate;
    }
    return NULL;
}
