/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which input types belong together: what schemas say by type variables. Kernels are chosen by the type of one input
 * and rely on this for the others.
 */
#include "op/infer_run.h"

#include <partita/operator_set.h>

enum { LETTERS_MAX = 8 };

typedef struct types_row {
    pt_op_key key;
    const char *letters;
    uint64_t types[LETTERS_MAX];
} types_row;

static const types_row rows[] = {
#define ROW_TYPES(domain, name, since, letters, ...) {{domain, name, since}, letters, {__VA_ARGS__}},
#include "rows/types.inc"
#undef ROW_TYPES
};

static int compare_text(partita_str a, const char *b) {
    size_t size = strlen(b);
    int order = memcmp(a.data ? a.data : "", b, a.size < size ? a.size : size);
    return order ? order : (a.size > size) - (a.size < size);
}

const void *pt_op_key_find(const pt_node *node, const void *table, size_t count, size_t size) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const pt_op_key *key = (const void *)((const char *)table + middle * size);
        int order = compare_text(node->domain, key->domain);
        if (order == 0) order = compare_text(node->op, key->name);
        if (order == 0) order = node->version >= key->since ? 1 : -1;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    const pt_op_key *key = low ? (const void *)((const char *)table + (low - 1) * size) : NULL;
    bool found = key && compare_text(node->domain, key->domain) == 0 && compare_text(node->op, key->name) == 0;
    return found ? key : NULL;
}

/* Letters of an operator set were checked when it was taken. */
static partita_status check_letters(pt_infer *infer, const char *letter, const uint64_t *types) {
    uint32_t first[LETTERS_MAX];
    for (uint32_t i = 0; i < LETTERS_MAX; i++) first[i] = PT_NONE;
    for (uint32_t i = 0; i < infer->input_count && *letter; i++) {
        const pt_infer_value *in = &infer->inputs[i];
        bool alone = *letter >= 'A' && *letter <= 'Z';
        uint32_t at = (uint32_t)(*letter - (alone ? 'A' : 'a'));
        if (letter[1] != '+') letter++;
        if (at >= LETTERS_MAX || in->kind != PARTITA_KIND_TENSOR || in->dtype == PARTITA_UNDEFINED) continue;
        if (!(types[at] >> in->dtype & 1))
            return pt_infer_fail(infer, "input %u is of type %s", i, pt_dtype_name(in->dtype));
        if (first[at] == PT_NONE || alone) first[at] = i;
        partita_dtype other = infer->inputs[first[at]].dtype;
        if (other != in->dtype)
            return pt_infer_fail(infer, "inputs %u and %u are of types %s and %s", first[at], i, pt_dtype_name(other),
                                 pt_dtype_name(in->dtype));
    }
    return PARTITA_OK;
}

partita_status pt_infer_check_types(pt_infer *infer) {
    const pt_schema *schema = infer->node->schema;
    if (schema && schema->row) {
        const ptp_operator_row *own = schema->row;
        return own->input_letters ? check_letters(infer, own->input_letters, own->letter_types) : PARTITA_OK;
    }
    const types_row *row = pt_op_key_find(infer->node, rows, PT_COUNT_OF(rows), sizeof rows[0]);
    return row ? check_letters(infer, row->letters, row->types) : PARTITA_OK;
}
