/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All rows of all families, found by operator name, and the choice among the rows of one operator. A claim and a
 * compile use the same function, so they cannot disagree.
 */
#include "cpu/kernels/kernel.h"

#include <stdio.h>
#include <threads.h>

#define FAMILY(name)                                                                                                   \
    extern const cpu_kernel cpu_kernels_##name[];                                                                      \
    extern const uint32_t cpu_kernels_##name##_count;
#include "cpu/kernels/families.inc"
#undef FAMILY

typedef struct family {
    const cpu_kernel *rows;
    const uint32_t *count;
} family;

static const family families[] = {
#define FAMILY(name) {cpu_kernels_##name, &cpu_kernels_##name##_count},
#include "cpu/kernels/families.inc"
#undef FAMILY
};

#define FAMILY_COUNT (sizeof(families) / sizeof(families[0]))
#define ROW_LIMIT    4096
#define BUCKETS      1024

/* Rows with one hash of the name are a chain, in the order of the families. 0 ends a chain. */
static const cpu_kernel *row_at[ROW_LIMIT];
static uint16_t next_row[ROW_LIMIT];
static uint16_t first_row[BUCKETS];
static once_flag index_once = ONCE_FLAG_INIT;

static uint32_t name_hash(const char *name, size_t size) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    return (hash ^ hash >> 16) % BUCKETS;
}

static void index_build(void) {
    static uint16_t last_row[BUCKETS];
    uint32_t used = 1;
    for (size_t f = 0; f < FAMILY_COUNT; f++) {
        for (uint32_t r = 0; r < *families[f].count && used < ROW_LIMIT; r++, used++) {
            const cpu_kernel *row = &families[f].rows[r];
            uint32_t bucket = name_hash(row->op, strlen(row->op));
            row_at[used] = row;
            if (last_row[bucket] == 0)
                first_row[bucket] = (uint16_t)used;
            else
                next_row[last_row[bucket]] = (uint16_t)used;
            last_row[bucket] = (uint16_t)used;
        }
    }
}

/* The type by which rows are chosen: of the named input, or of output 0 for operators without that input. */
static partita_dtype type_of(const cpu_node *node, uint32_t input) {
    ptp_value_row value;
    if (cpu_node_input(node, input, &value) || cpu_node_output(node, 0, &value)) return value.dtype;
    return PARTITA_UNDEFINED;
}

static bool row_is_better(const cpu_kernel *row, const cpu_kernel *best) {
    if (best == NULL || row->level > best->level) return true;
    return row->level == best->level && best->reference && !row->reference;
}

const cpu_kernel *cpu_kernel_find(const cpu_node *node, bool reference, ptp_answer *answer) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    partita_str domain = ptp_ref_str(node->block, node->row.domain);
    const cpu_kernel *best = NULL;
    ptp_answer refusal = *answer;
    bool version_fits = false, type_fits = false, claim_said = false;
    partita_dtype type = PARTITA_UNDEFINED;

    call_once(&index_once, index_build);
    cpu_refuse(&refusal, PARTITA_REASON_OP, "no kernel for %.*s%s%.*s", (int)domain.size, domain.data,
               domain.size > 0 ? "." : "", (int)op.size, op.data);
    for (uint32_t r = first_row[name_hash(op.data, op.size)]; r != 0; r = next_row[r]) {
        const cpu_kernel *row = row_at[r];
        ptp_answer said = *answer;
        if (!ptp_str_is(op, row->op) || !ptp_str_is(domain, row->domain)) continue;
        if (reference && !row->reference) continue;
        if (row->level > node->level) continue;
        if (node->row.since < row->since || node->row.since > row->until) {
            if (!version_fits)
                cpu_refuse(&refusal, PARTITA_REASON_OPSET, "no kernel for %s version %d", row->op, node->row.since);
            continue;
        }
        version_fits = true;
        type = type_of(node, row->type_input);
        if (type >= 64 || (row->types >> type & 1) == 0) {
            if (!type_fits)
                cpu_refuse(&refusal, PARTITA_REASON_DTYPE, "no %s kernel for %s", cpu_dtype_name(type), row->op);
            continue;
        }
        type_fits = true;
        if (!row_is_better(row, best)) continue;
        if (row->claim != NULL && !row->claim(node, &said)) {
            if (!claim_said) refusal = said;
            claim_said = true;
            continue;
        }
        best = row;
    }
    if (best == NULL) *answer = refusal;
    return best;
}
