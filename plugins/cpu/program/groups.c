/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The edited copy of a block: rules append nodes, lists and texts behind the original's bytes and name the values that
 * change their type. Offsets of the original stay what they are.
 */
#include "cpu/program/groups.h"

typedef struct tail {
    char *data;
    uint64_t size, room;
} tail;

typedef struct retype {
    uint32_t value;
    uint32_t dtype;
} retype;

/* Of one unit: its runs in `rows` and `types`. */
typedef struct piece {
    uint32_t unit, anchor;
    uint32_t first_row, row_count, first_type, type_count;
} piece;

struct cpu_groups {
    const ptp_host *host;
    const ptp_block *source;
    const ptp_compile *compile;
    ptp_block *block;
    uint64_t base; /* offset of the tail */
    tail bytes, rows, types, attributes;
    piece *pieces;
    uint32_t piece_count, nodes_offset;
    uint32_t *origin;
    bool failed;
};

static uint64_t round_up(uint64_t bytes) { return (bytes + 15) / 16 * 16; }

static void *tail_take(cpu_groups *groups, tail *t, uint64_t bytes) {
    if (t->size + bytes > t->room) {
        uint64_t room = 2 * (t->size + bytes) + 1024;
        char *data = cpu_alloc(groups->host, room);
        if (data == NULL) {
            groups->failed = true;
            return NULL;
        }
        if (t->size > 0) memcpy(data, t->data, (size_t)t->size);
        cpu_free(groups->host, t->data);
        t->data = data;
        t->room = room;
    }
    void *at = t->data + t->size;
    t->size += bytes;
    return at;
}

/* A copy of these bytes in the block to come; offset 0 when there is no memory. */
static ptp_ref bytes_put(cpu_groups *groups, const void *data, uint64_t bytes, uint32_t count) {
    uint64_t offset = groups->base + groups->bytes.size;
    void *to = tail_take(groups, &groups->bytes, round_up(bytes));
    if (to != NULL) memcpy(to, data, (size_t)bytes);
    return (ptp_ref){to != NULL ? (uint32_t)offset : 0, count};
}

static uint32_t rows_made(const cpu_groups *groups) { return (uint32_t)(groups->rows.size / sizeof(ptp_node_row)); }

void cpu_group_emit(cpu_group *group, const ptp_node_row *like, const char *op, const char *domain,
                    const uint32_t *inputs, uint32_t input_count, uint32_t output) {
    cpu_groups *groups = group->groups;
    ptp_node_row row = *like;
    if (op != NULL) {
        row.op = bytes_put(groups, op, strlen(op), (uint32_t)strlen(op));
        row.domain = bytes_put(groups, domain, strlen(domain), (uint32_t)strlen(domain));
        row.since = domain[0] == '\0' ? 10 : 1;
    }
    row.inputs = bytes_put(groups, inputs, sizeof(*inputs) * (uint64_t)input_count, input_count);
    row.outputs = bytes_put(groups, &output, sizeof(output), 1);
    row.unit = PARTITA_NONE;
    void *to = tail_take(groups, &groups->rows, sizeof(row));
    if (to != NULL) memcpy(to, &row, sizeof(row));
}

/* A node's attributes are neighbours: those it has are copied behind the table, to its new end. */
void cpu_group_attribute(cpu_group *group, const char *name, int64_t number) {
    cpu_groups *groups = group->groups;
    if (groups->failed) return;
    ptp_node_row *node = (ptp_node_row *)(void *)(groups->rows.data + groups->rows.size) - 1;
    uint32_t stride = groups->source->attributes.stride;
    uint32_t first = groups->source->attributes.count + (uint32_t)(groups->attributes.size / stride);
    char *to = tail_take(groups, &groups->attributes, (uint64_t)(node->attributes.count + 1) * stride);
    ptp_attribute_row row = {.name = bytes_put(groups, name, strlen(name), (uint32_t)strlen(name)),
                             .type = PTP_ATTRIBUTE_INT,
                             .data = bytes_put(groups, &number, sizeof(number), 1)};
    if (to == NULL) return;
    for (uint32_t i = 0; i < node->attributes.count; i++, to += stride)
        memcpy(to,
               (const char *)groups->source + groups->source->attributes.offset +
                   (size_t)(node->attributes.offset + i) * stride,
               stride);
    memcpy(to, &row, stride < sizeof(row) ? stride : sizeof(row));
    node->attributes = (ptp_ref){first, node->attributes.count + 1};
}

void cpu_group_retype(cpu_group *group, uint32_t value, partita_dtype dtype) {
    retype *to = tail_take(group->groups, &group->groups->types, sizeof(*to));
    if (to != NULL) *to = (retype){value, dtype};
}

static char *value_row(const cpu_groups *groups, uint32_t value) {
    const ptp_table *table = &groups->block->values;
    return (char *)groups->block + table->offset + (size_t)value * table->stride;
}

static void types_set(cpu_groups *groups, const piece *p) {
    const retype *types = (const retype *)(const void *)groups->types.data + p->first_type;
    for (uint32_t i = 0; i < p->type_count; i++) {
        ptp_value_row row = ptp_value_at(groups->source, types[i].value);
        row.bytes = row.bytes / (cpu_dtype_bits(row.dtype) / 8) * (cpu_dtype_bits(types[i].dtype) / 8);
        row.dtype = types[i].dtype;
        memcpy(value_row(groups, types[i].value), &row,
               groups->block->values.stride < sizeof(row) ? groups->block->values.stride : sizeof(row));
    }
}

static void unit_rewrite(cpu_groups *groups, uint32_t unit_row, piece *p) {
    ptp_unit_row unit = ptp_unit_at(groups->source, unit_row);
    cpu_group group = {
        .groups = groups, .block = groups->source, .compile = groups->compile, .unit = unit_row, .nodes = unit.nodes};
    tail bytes = groups->bytes, rows = groups->rows, types = groups->types, attributes = groups->attributes;
    *p = (piece){
        .unit = unit_row, .first_row = rows_made(groups), .first_type = (uint32_t)(types.size / sizeof(retype))};
    if (unit.kind != PTP_UNIT_GROUP || unit.graph != 0) return;
    if (!cpu_group_rewrite(&group)) { /* what a rule made before it gave up */
        groups->bytes.size = bytes.size;
        groups->rows.size = rows.size;
        groups->types.size = types.size;
        groups->attributes.size = attributes.size;
        return;
    }
    p->anchor = group.anchor;
    p->row_count = rows_made(groups) - p->first_row;
    p->type_count = (uint32_t)(groups->types.size / sizeof(retype)) - p->first_type;
}

/* The original's bytes, the tail, the table of attributes grown, and room for the new table of nodes. */
static partita_status block_make(cpu_groups *groups) {
    const ptp_block *source = groups->source;
    uint64_t old_attributes = (uint64_t)source->attributes.count * source->attributes.stride;
    uint64_t attributes = round_up(groups->base + groups->bytes.size);
    uint64_t nodes = round_up(attributes + old_attributes + groups->attributes.size);
    uint64_t most = (uint64_t)source->nodes.count + rows_made(groups);
    uint64_t end = nodes + most * sizeof(ptp_node_row);
    if (end > UINT32_MAX) return cpu_fail(groups->host, PARTITA_OUT_OF_MEMORY, "the block is too large");
    groups->block = cpu_alloc(groups->host, end);
    groups->origin = cpu_alloc(groups->host, most * sizeof(uint32_t));
    if (groups->block == NULL || groups->origin == NULL) return PARTITA_OUT_OF_MEMORY;
    char *to = (char *)groups->block;
    memcpy(to, source, (size_t)source->bytes);
    if (groups->bytes.size > 0) memcpy(to + groups->base, groups->bytes.data, (size_t)groups->bytes.size);
    memcpy(to + attributes, (const char *)source + source->attributes.offset, (size_t)old_attributes);
    if (groups->attributes.size > 0)
        memcpy(to + attributes + old_attributes, groups->attributes.data, (size_t)groups->attributes.size);
    groups->block->bytes = end;
    groups->block->attributes.offset = (uint32_t)attributes;
    groups->block->attributes.count += (uint32_t)(groups->attributes.size / source->attributes.stride);
    groups->nodes_offset = (uint32_t)nodes;
    for (uint32_t i = 0; i < groups->piece_count; i++) types_set(groups, &groups->pieces[i]);
    return PARTITA_OK;
}

partita_status cpu_groups_create(const ptp_host *host, const ptp_block *block, const uint32_t *units, uint32_t count,
                                 const ptp_compile *compile, cpu_groups **out_groups) {
    cpu_groups *groups = cpu_alloc(host, sizeof(*groups));
    partita_status status = PARTITA_OUT_OF_MEMORY;
    *out_groups = NULL;
    if (groups == NULL) return PARTITA_OUT_OF_MEMORY;
    groups->host = host;
    groups->source = block;
    groups->compile = compile;
    groups->base = round_up(block->bytes);
    groups->pieces = cpu_alloc(host, sizeof(piece) * (uint64_t)count);
    if (groups->pieces != NULL) {
        groups->piece_count = count;
        for (uint32_t i = 0; i < count && !groups->failed; i++) unit_rewrite(groups, units[i], &groups->pieces[i]);
        if (!groups->failed) status = block_make(groups);
    }
    if (status == PARTITA_OK)
        *out_groups = groups;
    else
        cpu_groups_destroy(groups);
    return status;
}

void cpu_groups_destroy(cpu_groups *groups) {
    if (groups == NULL) return;
    const ptp_host *host = groups->host;
    cpu_free(host, groups->bytes.data);
    cpu_free(host, groups->rows.data);
    cpu_free(host, groups->types.data);
    cpu_free(host, groups->attributes.data);
    cpu_free(host, groups->pieces);
    cpu_free(host, groups->origin);
    cpu_free(host, groups->block);
    cpu_free(host, groups);
}

const ptp_block *cpu_groups_block(const cpu_groups *groups) { return groups->block; }

uint32_t cpu_groups_rows(const cpu_groups *groups, uint32_t index, const ptp_node_row **out_rows) {
    const piece *p = &groups->pieces[index];
    *out_rows = (const ptp_node_row *)(const void *)groups->rows.data + p->first_row;
    return p->row_count;
}

bool cpu_groups_fit(const cpu_groups *groups, uint32_t index, uint32_t level, uint32_t precision) {
    const ptp_node_row *rows;
    uint32_t count = cpu_groups_rows(groups, index, &rows);
    for (uint32_t i = 0; i < count; i++) {
        cpu_node node = {.block = groups->block, .row = rows[i], .level = level, .precision = precision};
        ptp_answer answer = {.size = sizeof(answer)};
        if (cpu_kernel_find(&node, false, &answer) == NULL) return false;
    }
    return count > 0;
}

void cpu_groups_drop(cpu_groups *groups, uint32_t index) {
    piece *p = &groups->pieces[index];
    const retype *types = (const retype *)(const void *)groups->types.data + p->first_type;
    const ptp_table *table = &groups->source->values;
    for (uint32_t i = 0; i < p->type_count; i++)
        memcpy(value_row(groups, types[i].value),
               (const char *)groups->source + table->offset + (size_t)types[i].value * table->stride, table->stride);
    p->row_count = p->type_count = 0;
}

static void row_put(cpu_groups *groups, uint32_t *count, const ptp_node_row *row, uint32_t origin) {
    char *to = (char *)groups->block + groups->nodes_offset + (size_t)*count * sizeof(*row);
    memcpy(to, row, sizeof(*row));
    for (uint32_t i = 0; i < row->outputs.count; i++) {
        uint32_t value = ptp_ref_id(groups->block, row->outputs, i);
        if (value == PARTITA_NONE) continue;
        ptp_value_row made = ptp_value_at(groups->block, value);
        made.producer = *count;
        memcpy(value_row(groups, value), &made,
               groups->block->values.stride < sizeof(made) ? groups->block->values.stride : sizeof(made));
    }
    groups->origin[(*count)++] = origin;
}

partita_status cpu_groups_apply(cpu_groups *groups) {
    ptp_graph_row graph = ptp_graph_at(groups->source, 0);
    uint32_t old = groups->source->nodes.count, count = 0;
    uint32_t *piece_of = cpu_alloc(groups->host, sizeof(uint32_t) * (uint64_t)old);
    if (piece_of == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < groups->piece_count; i++) {
        ptp_unit_row unit = ptp_unit_at(groups->source, groups->pieces[i].unit);
        for (uint32_t k = 0; groups->pieces[i].row_count > 0 && k < unit.nodes.count; k++)
            piece_of[ptp_ref_id(groups->source, unit.nodes, k)] = i + 1;
    }
    uint32_t first = 0, begin = graph.first_node, end = begin + graph.node_count;
    for (uint32_t i = 0; i < old; i++) {
        const piece *p = piece_of[i] > 0 ? &groups->pieces[piece_of[i] - 1] : NULL;
        ptp_node_row row = ptp_node_at(groups->source, i);
        if (i == begin) first = count;
        if (p == NULL) {
            row_put(groups, &count, &row, i);
        } else if (p->anchor == i) {
            const ptp_node_row *rows = (const ptp_node_row *)(const void *)groups->rows.data + p->first_row;
            for (uint32_t r = 0; r < p->row_count; r++) row_put(groups, &count, &rows[r], i);
        }
        if (i + 1 == end) graph.node_count = count - first;
    }
    cpu_free(groups->host, piece_of);
    graph.first_node = first;
    const ptp_table *graphs = &groups->block->graphs;
    memcpy((char *)groups->block + graphs->offset, &graph,
           graphs->stride < sizeof(graph) ? graphs->stride : sizeof(graph));
    groups->block->nodes = (ptp_table){.offset = groups->nodes_offset, .count = count, .stride = sizeof(ptp_node_row)};
    return PARTITA_OK;
}

uint32_t cpu_groups_origin(const cpu_groups *groups, uint32_t row) { return groups->origin[row]; }
