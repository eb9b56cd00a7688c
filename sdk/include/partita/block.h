/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Reading a ptp_block: rows come back whole whatever the writer's stride was, fields beyond it as zero.
 * The host builds and checks blocks before it hands them out, so accessors do not check offsets.
 */
#ifndef PARTITA_BLOCK_H
#define PARTITA_BLOCK_H

#include <partita/plugin.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Copies row `index` of `table` into `row` of `size` bytes. */
static inline void ptp_row_read(const ptp_block *block, const ptp_table *table, uint32_t index, void *row,
                                size_t size) {
    size_t have = table->stride < size ? table->stride : size;
    memset(row, 0, size);
    memcpy(row, (const char *)block + table->offset + (size_t)index * table->stride, have);
}

/** Address of what `ref` names: elements of the type that the field's comment says. */
static inline const void *ptp_ref_data(const ptp_block *block, ptp_ref ref) { return (const char *)block + ref.offset; }
static inline partita_str ptp_ref_str(const ptp_block *block, ptp_ref ref) {
    partita_str text = {(const char *)block + ref.offset, ref.count};
    return text;
}
static inline uint32_t ptp_ref_id(const ptp_block *block, ptp_ref ref, uint32_t index) {
    return index < ref.count ? ((const uint32_t *)ptp_ref_data(block, ref))[index] : PARTITA_NONE;
}

static inline ptp_graph_row ptp_graph_at(const ptp_block *block, uint32_t index) {
    ptp_graph_row row;
    ptp_row_read(block, &block->graphs, index, &row, sizeof(row));
    return row;
}
static inline ptp_node_row ptp_node_at(const ptp_block *block, uint32_t index) {
    ptp_node_row row;
    ptp_row_read(block, &block->nodes, index, &row, sizeof(row));
    return row;
}
static inline ptp_value_row ptp_value_at(const ptp_block *block, uint32_t index) {
    ptp_value_row row;
    ptp_row_read(block, &block->values, index, &row, sizeof(row));
    return row;
}
static inline ptp_attribute_row ptp_attribute_at(const ptp_block *block, uint32_t index) {
    ptp_attribute_row row;
    ptp_row_read(block, &block->attributes, index, &row, sizeof(row));
    return row;
}
static inline ptp_unit_row ptp_unit_at(const ptp_block *block, uint32_t index) {
    ptp_unit_row row;
    ptp_row_read(block, &block->units, index, &row, sizeof(row));
    return row;
}

static inline int ptp_str_is(partita_str text, const char *other) {
    return strlen(other) == text.size && memcmp(text.data, other, text.size) == 0;
}

/** Finds an attribute of a node. 0 when the node has none of this name. */
static inline int ptp_attribute_find(const ptp_block *block, const ptp_node_row *node, const char *name,
                                     ptp_attribute_row *out_row) {
    for (uint32_t i = 0; i < node->attributes.count; i++) {
        *out_row = ptp_attribute_at(block, node->attributes.offset + i);
        if (ptp_str_is(ptp_ref_str(block, out_row->name), name)) return 1;
    }
    return 0;
}
static inline int64_t ptp_attribute_int(const ptp_block *block, const ptp_node_row *node, const char *name,
                                        int64_t otherwise) {
    ptp_attribute_row row;
    if (!ptp_attribute_find(block, node, name, &row) || row.type != PTP_ATTRIBUTE_INT) return otherwise;
    return *(const int64_t *)ptp_ref_data(block, row.data);
}
static inline float ptp_attribute_float(const ptp_block *block, const ptp_node_row *node, const char *name,
                                        float otherwise) {
    ptp_attribute_row row;
    if (!ptp_attribute_find(block, node, name, &row) || row.type != PTP_ATTRIBUTE_FLOAT) return otherwise;
    return *(const float *)ptp_ref_data(block, row.data);
}
/** Empty when there is none. */
static inline partita_str ptp_attribute_str(const ptp_block *block, const ptp_node_row *node, const char *name) {
    ptp_attribute_row row;
    partita_str none = {"", 0};
    if (!ptp_attribute_find(block, node, name, &row) || row.type != PTP_ATTRIBUTE_STRING) return none;
    return ptp_ref_str(block, row.data);
}
/** The integers of an attribute and their count; NULL and 0 when there is none. */
static inline const int64_t *ptp_attribute_ints(const ptp_block *block, const ptp_node_row *node, const char *name,
                                                uint32_t *out_count) {
    ptp_attribute_row row;
    *out_count = 0;
    if (!ptp_attribute_find(block, node, name, &row) || row.type != PTP_ATTRIBUTE_INTS) return NULL;
    *out_count = row.data.count;
    return (const int64_t *)ptp_ref_data(block, row.data);
}
static inline const float *ptp_attribute_floats(const ptp_block *block, const ptp_node_row *node, const char *name,
                                                uint32_t *out_count) {
    ptp_attribute_row row;
    *out_count = 0;
    if (!ptp_attribute_find(block, node, name, &row) || row.type != PTP_ATTRIBUTE_FLOATS) return NULL;
    *out_count = row.data.count;
    return (const float *)ptp_ref_data(block, row.data);
}

#ifdef __cplusplus
}
#endif
#endif
