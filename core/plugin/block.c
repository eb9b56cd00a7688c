/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model, or a part of one, written as a relocatable block. Everything of variable length goes to one growing heap
 * that starts with the header; rows are collected apart and appended at the end, so that offsets never move. Rows of
 * values are given out when a value is first named, and filled when every node has its row.
 */
#include "plugin/block.h"
#include "op/schema.h"

#define SMALL_BYTES 4096u /* constants up to this size have their bytes in the block */

typedef struct value_item {
    pt_id id;                /* PT_NONE: a tensor of an attribute */
    const pt_tensor *tensor; /* of that attribute; else NULL */
    uint32_t flags;          /* INPUT and OUTPUT, from the graphs of this block */
} value_item;

typedef struct builder {
    const pt_model *model;
    const int64_t *symbols;
    PT_ARRAY(unsigned char) heap;
    PT_ARRAY(ptp_graph_row) graphs;
    PT_ARRAY(pt_id) graph_ids;
    PT_ARRAY(ptp_node_row) nodes;
    PT_ARRAY(pt_id) node_ids;
    PT_ARRAY(ptp_attribute_row) attributes;
    PT_ARRAY(value_item) values;
    PT_ARRAY(ptp_value_row) value_table;
    PT_ARRAY(ptp_unit_row) units;
    PT_ARRAY(ptp_opset_row) opsets;
    PT_ARRAY(pt_id) weights;
    PT_ARRAY(const pt_tensor *) tensors;
    uint32_t *value_rows; /* by the model's values */
    uint32_t *node_rows;  /* by the model's nodes */
    uint32_t *graph_rows; /* by the model's graphs */
    ptp_ref *dim_names;   /* by symbol; offset 0: not printed yet */
    pt_map texts;         /* offset of each interned text */
    pt_arena scratch;
} builder;

/* ---- heap ------------------------------------------------------------------------------------ */

/* Room for `count` elements of `bytes` each, zeroed; the address holds until the next call. */
static partita_status heap_take(builder *b, size_t count, size_t bytes, size_t alignment, ptp_ref *out_ref,
                                void **out_data) {
    size_t all, end;
    size_t begin = (b->heap.size + alignment - 1) & ~(alignment - 1);
    *out_ref = (ptp_ref){0, 0};
    if (out_data) *out_data = NULL;
    if (count == 0) return PARTITA_OK;
    if (!pt_mul_size(count, bytes, &all) || !pt_add_size(begin, all, &end) || end > UINT32_MAX) {
        return pt_fail(PARTITA_OVER_BUDGET, "description of the model exceeds 4 GiB");
    }
    if (!pt_array_reserve(&b->heap, end)) return PT_OUT_OF_MEMORY();
    memset(b->heap.data + b->heap.size, 0, end - b->heap.size);
    b->heap.size = end;
    *out_ref = (ptp_ref){(uint32_t)begin, (uint32_t)count};
    if (out_data) *out_data = b->heap.data + begin;
    return PARTITA_OK;
}

static partita_status heap_put(builder *b, const void *data, size_t count, size_t bytes, size_t alignment,
                               ptp_ref *out_ref) {
    void *room;
    PT_TRY(heap_take(b, count, bytes, alignment, out_ref, &room));
    if (count) memcpy(room, data, count * bytes);
    return PARTITA_OK;
}

static partita_status heap_text(builder *b, partita_str text, ptp_ref *out_ref) {
    return heap_put(b, text.data, text.size, 1, 1, out_ref);
}

/* As heap_text, once per different text: names of operators, domains and attributes repeat. `text` outlives the
 * builder. */
static partita_status heap_intern(builder *b, partita_str text, ptp_ref *out_ref) {
    uint32_t known = text.size ? pt_map_get(&b->texts, text) : PT_NONE;
    if (known != PT_NONE) {
        *out_ref = (ptp_ref){known, (uint32_t)text.size};
        return PARTITA_OK;
    }
    PT_TRY(heap_text(b, text, out_ref));
    if (text.size && !pt_map_put(&b->texts, text, out_ref->offset)) return PT_OUT_OF_MEMORY();
    return PARTITA_OK;
}

/* ---- rows of values -------------------------------------------------------------------------- */

static partita_status value_touch(builder *b, pt_id value, uint32_t *out_row) {
    *out_row = PARTITA_NONE;
    if (value == PT_NONE) return PARTITA_OK;
    if (b->value_rows[value] == PT_NONE) {
        if (!pt_array_push(&b->values, (value_item){value, NULL, 0})) return PT_OUT_OF_MEMORY();
        b->value_rows[value] = (uint32_t)b->values.size - 1;
    }
    *out_row = b->value_rows[value];
    return PARTITA_OK;
}

static partita_status value_touch_all(builder *b, const pt_id *values, uint32_t count, uint32_t flags,
                                      ptp_ref *out_ref) {
    PT_TRY(heap_take(b, count, sizeof(uint32_t), sizeof(uint32_t), out_ref, NULL));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row;
        PT_TRY(value_touch(b, values[i], &row));
        if (row != PARTITA_NONE) b->values.data[row].flags |= flags;
        ((uint32_t *)(void *)(b->heap.data + out_ref->offset))[i] = row;
    }
    return PARTITA_OK;
}

static partita_status tensor_touch(builder *b, const pt_tensor *tensor, uint32_t *out_row) {
    if (!pt_array_push(&b->values, (value_item){PT_NONE, tensor, 0})) return PT_OUT_OF_MEMORY();
    *out_row = (uint32_t)b->values.size - 1;
    return PARTITA_OK;
}

/* Name of a symbolic dim; empty where a part of it has no name, so that equal names are equal dims. */
static partita_status dim_name(builder *b, pt_dim dim, ptp_ref *out_ref) {
    *out_ref = (ptp_ref){0, 0};
    if (pt_dim_is_exact(dim)) return PARTITA_OK;
    ptp_ref *known = &b->dim_names[pt_dim_symbol(dim)];
    if (known->offset == 0) {
        pt_text text = {0};
        ptp_ref ref = {0, 0};
        partita_status status = PARTITA_OK;
        pt_dim_print(&b->model->symbols, dim, &text);
        if (text.failed)
            status = PT_OUT_OF_MEMORY();
        else if (text.size && !memchr(text.data, '?', text.size)) {
            status = heap_text(b, (partita_str){text.data, text.size}, &ref);
        }
        pt_text_deinit(&text);
        PT_TRY(status);
        *known = ref.count ? ref : (ptp_ref){1, 0};
    }
    if (known->count) *out_ref = *known;
    return PARTITA_OK;
}

static partita_status write_dims(builder *b, const pt_type *type, ptp_value_row *row) {
    uint32_t rank = type->rank > 0 ? (uint32_t)type->rank : 0;
    uint64_t count = 0;
    bool known = type->rank >= 0;
    PT_TRY(heap_take(b, rank, sizeof(int64_t), sizeof(int64_t), &row->dims, NULL));
    PT_TRY(heap_take(b, rank, sizeof(int64_t), sizeof(int64_t), &row->nominal, NULL));
    PT_TRY(heap_take(b, rank, sizeof(ptp_ref), sizeof(uint32_t), &row->dim_names, NULL));
    for (uint32_t i = 0; i < rank; i++) {
        pt_dim dim = type->dims[i];
        int64_t nominal = pt_dim_evaluate(dim, b->symbols);
        ptp_ref name;
        PT_TRY(dim_name(b, dim, &name));
        if (nominal < 0) nominal = -1, known = false;
        ((int64_t *)(void *)(b->heap.data + row->dims.offset))[i] = pt_dim_is_exact(dim) ? dim : -1;
        ((int64_t *)(void *)(b->heap.data + row->nominal.offset))[i] = nominal;
        ((ptp_ref *)(void *)(b->heap.data + row->dim_names.offset))[i] = name;
        if (pt_dim_depends_on_data(&b->model->symbols, dim)) row->flags |= PTP_VALUE_DATA_SHAPED;
    }
    if (known && pt_dims_count((const int64_t *)(const void *)(b->heap.data + row->nominal.offset), rank, &count)) {
        if (!pt_dtype_bytes(type->dtype, count, &row->bytes)) row->bytes = 0;
    }
    return PARTITA_OK;
}

static void write_type(const pt_type *type, ptp_value_row *row) {
    const pt_type *leaf = type;
    while (leaf->element) leaf = leaf->element;
    row->kind = type->kind;
    row->dtype = leaf->dtype;
    row->key_dtype = type->kind == PARTITA_KIND_MAP ? type->key_dtype : leaf->key_dtype;
    row->element = type->element ? type->element->kind : PARTITA_KIND_NONE;
    row->rank = type->rank;
}

/* A constant becomes a weight, whatever its kind; the bytes of small ones of numbers lie in the block too. */
static partita_status write_constant(builder *b, pt_id value, const pt_tensor *tensor, ptp_value_row *row) {
    bool small = tensor->dtype != PARTITA_STRING && !tensor->sparse_indices && tensor->weight &&
                 tensor->weight->bytes <= SMALL_BYTES;
    row->flags |= PTP_VALUE_CONSTANT;
    row->weight = (uint32_t)b->weights.size;
    if (!pt_array_push(&b->weights, value) || !pt_array_push(&b->tensors, tensor)) return PT_OUT_OF_MEMORY();
    if (!small) return PARTITA_OK;
    return heap_put(b, tensor->weight->data, (size_t)tensor->weight->bytes, 1, 16, &row->data);
}

/* Elements of a small integer tensor at the nominal shapes, when all of them are known. */
static partita_status write_small(builder *b, const pt_value *value, ptp_value_row *row) {
    uint32_t bytes = pt_dtype_bits(value->type.dtype) / 8;
    bool number = value->type.dtype == PARTITA_INT64 || value->type.dtype == PARTITA_INT32 ||
                  value->type.dtype == PARTITA_BOOL || value->type.dtype == PARTITA_UINT8 ||
                  value->type.dtype == PARTITA_INT8;
    int64_t elements[PT_SMALL_MAX];
    void *room;
    if (!value->small || !number || value->small_count > PT_SMALL_MAX) return PARTITA_OK;
    for (uint32_t i = 0; i < value->small_count; i++) {
        elements[i] = pt_dim_evaluate(value->small[i], b->symbols);
        if (elements[i] == PT_DIM_UNKNOWN) return PARTITA_OK;
    }
    PT_TRY(heap_take(b, (size_t)value->small_count * bytes, 1, 16, &row->data, &room));
    for (uint32_t i = 0; i < value->small_count; i++) memcpy((char *)room + (size_t)i * bytes, &elements[i], bytes);
    row->flags |= PTP_VALUE_SMALL_KNOWN;
    return PARTITA_OK;
}

static partita_status write_tensor_type(builder *b, const pt_tensor *tensor, ptp_value_row *row) {
    row->kind = tensor->sparse_indices ? PARTITA_KIND_SPARSE : PARTITA_KIND_TENSOR;
    row->dtype = tensor->dtype;
    row->rank = (int32_t)tensor->rank;
    PT_TRY(heap_put(b, tensor->dims, tensor->rank, sizeof(int64_t), sizeof(int64_t), &row->dims));
    row->nominal = row->dims;
    PT_TRY(heap_take(b, tensor->rank, sizeof(ptp_ref), sizeof(uint32_t), &row->dim_names, NULL));
    if (!pt_dtype_bytes(tensor->dtype, tensor->count, &row->bytes)) row->bytes = 0;
    return PARTITA_OK;
}

static partita_status write_value(builder *b, const value_item *item) {
    ptp_value_row row = {.weight = PARTITA_NONE, .producer = PARTITA_NONE, .flags = item->flags};
    if (item->id == PT_NONE) {
        PT_TRY(write_tensor_type(b, item->tensor, &row));
        PT_TRY(write_constant(b, PT_NONE, item->tensor, &row));
    } else {
        const pt_value *value = pt_value_at(b->model, item->id);
        PT_TRY(heap_text(b, value->name, &row.name));
        if (value->producer != PT_NONE) row.producer = b->node_rows[value->producer];
        write_type(&value->type, &row);
        PT_TRY(write_dims(b, &value->type, &row));
        if (value->type.kind == PARTITA_KIND_TENSOR && value->type.rank < 0 && value->producer != PT_NONE) {
            row.flags |= PTP_VALUE_DATA_SHAPED;
        }
        if (value->constant)
            PT_TRY(write_constant(b, item->id, value->constant, &row));
        else
            PT_TRY(write_small(b, value, &row));
    }
    if (!pt_array_push(&b->value_table, row)) return PT_OUT_OF_MEMORY();
    return PARTITA_OK;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static partita_status graph_touch(builder *b, pt_id graph, uint32_t parent_row, uint32_t *out_row) {
    ptp_graph_row row = {.parent = parent_row};
    if (!pt_array_push(&b->graphs, row) || !pt_array_push(&b->graph_ids, graph)) return PT_OUT_OF_MEMORY();
    *out_row = (uint32_t)b->graphs.size - 1;
    if (graph != PT_NONE) b->graph_rows[graph] = *out_row;
    return PARTITA_OK;
}

static partita_status write_strings(builder *b, const pt_attribute *attribute, ptp_ref *out_ref) {
    PT_TRY(heap_take(b, attribute->count, sizeof(ptp_ref), sizeof(uint32_t), out_ref, NULL));
    for (uint32_t i = 0; i < attribute->count; i++) {
        ptp_ref text;
        PT_TRY(heap_text(b, attribute->strings[i], &text));
        ((ptp_ref *)(void *)(b->heap.data + out_ref->offset))[i] = text;
    }
    return PARTITA_OK;
}

/* Tensors and graphs: rows of values and of graphs. */
static partita_status write_rows(builder *b, const pt_attribute *attribute, uint32_t node_row, bool graphs,
                                 ptp_ref *out_ref) {
    PT_TRY(heap_take(b, attribute->count, sizeof(uint32_t), sizeof(uint32_t), out_ref, NULL));
    for (uint32_t i = 0; i < attribute->count; i++) {
        uint32_t row = PARTITA_NONE;
        if (graphs)
            PT_TRY(graph_touch(b, attribute->graphs[i], node_row, &row));
        else
            PT_TRY(tensor_touch(b, attribute->tensors[i], &row));
        ((uint32_t *)(void *)(b->heap.data + out_ref->offset))[i] = row;
    }
    return PARTITA_OK;
}

static partita_status write_attribute(builder *b, const pt_attribute *a, uint32_t node_row) {
    ptp_attribute_row row = {.type = a->type};
    PT_TRY(heap_intern(b, a->name, &row.name));
    switch (a->type) {
    case PTP_ATTRIBUTE_INT: PT_TRY(heap_put(b, &a->i, 1, sizeof(a->i), sizeof(a->i), &row.data)); break;
    case PTP_ATTRIBUTE_FLOAT: PT_TRY(heap_put(b, &a->f, 1, sizeof(a->f), sizeof(a->f), &row.data)); break;
    case PTP_ATTRIBUTE_STRING: PT_TRY(heap_text(b, a->s, &row.data)); break;
    case PTP_ATTRIBUTE_INTS: PT_TRY(heap_put(b, a->ints, a->count, 8, 8, &row.data)); break;
    case PTP_ATTRIBUTE_FLOATS: PT_TRY(heap_put(b, a->floats, a->count, 4, 4, &row.data)); break;
    case PTP_ATTRIBUTE_STRINGS: PT_TRY(write_strings(b, a, &row.data)); break;
    case PTP_ATTRIBUTE_TENSOR:
    case PTP_ATTRIBUTE_TENSORS: PT_TRY(write_rows(b, a, node_row, false, &row.data)); break;
    case PTP_ATTRIBUTE_GRAPH:
    case PTP_ATTRIBUTE_GRAPHS: PT_TRY(write_rows(b, a, node_row, true, &row.data)); break;
    default: return pt_fail(PARTITA_INTERNAL, "attribute \"%.*s\" has type %u", PT_STR_ARG(a->name), a->type);
    }
    if (!pt_array_push(&b->attributes, row)) return PT_OUT_OF_MEMORY();
    return PARTITA_OK;
}

/* ---- nodes and graphs ------------------------------------------------------------------------ */

static partita_status write_bodies(builder *b, pt_id id, uint32_t first_graph, ptp_node_row *row) {
    uint32_t count = (uint32_t)b->graphs.size - first_graph;
    pt_id *captures = NULL;
    uint32_t capture_count = 0;
    void *rows;
    if (count == 0) return PARTITA_OK;
    PT_TRY(heap_take(b, count, sizeof(uint32_t), sizeof(uint32_t), &row->bodies, &rows));
    for (uint32_t i = 0; i < count; i++) ((uint32_t *)rows)[i] = first_graph + i;
    PT_TRY(pt_node_captures(b->model, id, &b->scratch, &captures, &capture_count));
    return value_touch_all(b, captures, capture_count, 0, &row->captures);
}

static partita_status write_node(builder *b, pt_id id, uint32_t graph_row) {
    const pt_node *node = pt_node_at(b->model, id);
    uint32_t node_row = (uint32_t)b->nodes.size;
    uint32_t first_graph = (uint32_t)b->graphs.size;
    ptp_node_row row = {.graph = graph_row, .unit = PARTITA_NONE};
    row.since = node->schema ? node->schema->since : node->version;
    row.flops = pt_node_flops(b->model, id, b->symbols);
    PT_TRY(heap_intern(b, node->op, &row.op));
    PT_TRY(heap_intern(b, node->domain, &row.domain));
    PT_TRY(heap_text(b, pt_node_name(b->model, id), &row.name));
    PT_TRY(value_touch_all(b, node->inputs, node->input_count, 0, &row.inputs));
    PT_TRY(value_touch_all(b, node->outputs, node->output_count, 0, &row.outputs));
    row.attributes = (ptp_ref){(uint32_t)b->attributes.size, node->attribute_count};
    for (uint32_t i = 0; i < node->attribute_count; i++) PT_TRY(write_attribute(b, &node->attributes[i], node_row));
    PT_TRY(write_bodies(b, id, first_graph, &row));
    if (!pt_array_push(&b->nodes, row) || !pt_array_push(&b->node_ids, id)) return PT_OUT_OF_MEMORY();
    b->node_rows[id] = node_row;
    return PARTITA_OK;
}

/* Fills the row of a graph of the model: its ports and its nodes. Bodies met on the way are appended to the table. */
static partita_status write_graph(builder *b, uint32_t graph_row) {
    const pt_graph *graph = &b->model->graphs.data[b->graph_ids.data[graph_row]];
    ptp_graph_row row = b->graphs.data[graph_row];
    row.first_node = (uint32_t)b->nodes.size;
    PT_TRY(heap_text(b, graph->name, &row.name));
    PT_TRY(value_touch_all(b, graph->inputs.data, (uint32_t)graph->inputs.size, PTP_VALUE_INPUT, &row.inputs));
    for (size_t i = 0; i < graph->order.size; i++) {
        if (!pt_node_at(b->model, graph->order.data[i])->dead) {
            PT_TRY(write_node(b, graph->order.data[i], graph_row));
        }
    }
    PT_TRY(value_touch_all(b, graph->outputs.data, (uint32_t)graph->outputs.size, PTP_VALUE_OUTPUT, &row.outputs));
    row.node_count = (uint32_t)b->nodes.size - row.first_node;
    b->graphs.data[graph_row] = row;
    return PARTITA_OK;
}

static partita_status write_unit(builder *b, const pt_block_unit *unit, uint32_t graph_row, uint32_t unit_row) {
    ptp_unit_row row = {.kind = unit->kind, .graph = graph_row, .parent = unit->parent};
    void *rows;
    PT_TRY(heap_take(b, unit->node_count, sizeof(uint32_t), sizeof(uint32_t), &row.nodes, &rows));
    for (uint32_t i = 0; i < unit->node_count; i++) {
        uint32_t node_row = b->node_rows[unit->nodes[i]];
        if (node_row == PT_NONE || row.graph == PARTITA_NONE) {
            return pt_fail(PARTITA_INTERNAL, "unit %u holds a node that is not in the model", unit_row);
        }
        ((uint32_t *)rows)[i] = node_row;
        /* A node belongs to the group before it belongs to its own unit, whichever row comes first. */
        uint32_t before = b->nodes.data[node_row].unit;
        bool piece = before != PARTITA_NONE && b->units.data[before].parent == unit_row;
        if (before == PARTITA_NONE || piece) b->nodes.data[node_row].unit = unit_row;
    }
    if (!pt_array_push(&b->units, row)) return PT_OUT_OF_MEMORY();
    return PARTITA_OK;
}

static partita_status write_opsets(builder *b) {
    for (size_t i = 0; i < b->model->opsets.size; i++) {
        ptp_opset_row row = {.version = b->model->opsets.data[i].version};
        PT_TRY(heap_intern(b, b->model->opsets.data[i].domain, &row.domain));
        if (!pt_array_push(&b->opsets, row)) return PT_OUT_OF_MEMORY();
    }
    return PARTITA_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static partita_status builder_init(builder *b, const pt_model *model, const int64_t *symbol_values) {
    size_t values = model->values.size, nodes = model->nodes.size, graphs = model->graphs.size;
    void *header;
    ptp_ref ref;
    *b = (builder){.model = model, .symbols = symbol_values};
    b->value_rows = pt_malloc((values + 1) * sizeof(*b->value_rows));
    b->node_rows = pt_malloc((nodes + 1) * sizeof(*b->node_rows));
    b->graph_rows = pt_malloc((graphs + 1) * sizeof(*b->graph_rows));
    b->dim_names = pt_calloc(model->symbols.rows.size + 1, sizeof(*b->dim_names));
    if (!b->value_rows || !b->node_rows || !b->graph_rows || !b->dim_names) return PT_OUT_OF_MEMORY();
    memset(b->value_rows, 0xff, (values + 1) * sizeof(*b->value_rows));
    memset(b->node_rows, 0xff, (nodes + 1) * sizeof(*b->node_rows));
    memset(b->graph_rows, 0xff, (graphs + 1) * sizeof(*b->graph_rows));
    return heap_take(b, 1, sizeof(ptp_block), 16, &ref, &header);
}

static void builder_deinit(builder *b) {
    pt_array_deinit(&b->heap);
    pt_array_deinit(&b->graphs);
    pt_array_deinit(&b->graph_ids);
    pt_array_deinit(&b->nodes);
    pt_array_deinit(&b->node_ids);
    pt_array_deinit(&b->attributes);
    pt_array_deinit(&b->values);
    pt_array_deinit(&b->value_table);
    pt_array_deinit(&b->units);
    pt_array_deinit(&b->opsets);
    pt_array_deinit(&b->weights);
    pt_array_deinit(&b->tensors);
    pt_free(b->value_rows);
    pt_free(b->node_rows);
    pt_free(b->graph_rows);
    pt_free(b->dim_names);
    pt_map_deinit(&b->texts);
    pt_arena_deinit(&b->scratch);
}

#define WRITE_TABLE(b, array, table)                                                                                   \
    write_table((b), (b)->array.data, (b)->array.size, sizeof(*(b)->array.data), (table))

static partita_status write_table(builder *b, const void *rows, size_t count, uint32_t stride, ptp_table *out_table) {
    ptp_ref ref;
    PT_TRY(heap_put(b, rows, count, stride, 8, &ref));
    *out_table = (ptp_table){.offset = ref.offset, .count = (uint32_t)count, .stride = stride};
    return PARTITA_OK;
}

/* Hands the builder's arrays over to a new block. */
static partita_status builder_finish(builder *b, pt_block **out_block) {
    ptp_block header = {.size = sizeof(header), .version = 1};
    pt_block *block;
    for (size_t i = 0; i < b->values.size; i++) {
        value_item item = b->values.data[i];
        PT_TRY(write_value(b, &item));
    }
    PT_TRY(write_opsets(b));
    PT_TRY(WRITE_TABLE(b, graphs, &header.graphs));
    PT_TRY(WRITE_TABLE(b, nodes, &header.nodes));
    PT_TRY(WRITE_TABLE(b, value_table, &header.values));
    PT_TRY(WRITE_TABLE(b, attributes, &header.attributes));
    PT_TRY(WRITE_TABLE(b, units, &header.units));
    PT_TRY(WRITE_TABLE(b, opsets, &header.opsets));
    header.bytes = b->heap.size;
    memcpy(b->heap.data, &header, sizeof(header));

    block = pt_calloc(1, sizeof(*block));
    if (!block) return PT_OUT_OF_MEMORY();
    block->values = pt_malloc((b->values.size + 1) * sizeof(*block->values));
    if (!block->values) {
        pt_free(block);
        return PT_OUT_OF_MEMORY();
    }
    for (size_t i = 0; i < b->values.size; i++) block->values[i] = b->values.data[i].id;
    block->data = (ptp_block *)(void *)b->heap.data;
    block->nodes = b->node_ids.data;
    block->value_rows = b->value_rows;
    block->weights = b->weights.data;
    block->tensors = b->tensors.data;
    block->weight_count = (uint32_t)b->weights.size;
    b->heap.data = NULL;
    b->node_ids.data = NULL;
    b->value_rows = NULL;
    b->weights.data = NULL;
    b->tensors.data = NULL;
    *out_block = block;
    return PARTITA_OK;
}

partita_status pt_block_create_model(const pt_model *model, const int64_t *symbol_values, const pt_block_unit *units,
                                     uint32_t unit_count, pt_block **out_block) {
    partita_status status;
    uint32_t row;
    builder b;
    *out_block = NULL;
    PT_CHECK(builder_init(&b, model, symbol_values));
    PT_CHECK(graph_touch(&b, 0, PARTITA_NONE, &row));
    for (uint32_t i = 0; i < b.graphs.size; i++) PT_CHECK(write_graph(&b, i));
    for (uint32_t i = 0; i < unit_count; i++) PT_CHECK(write_unit(&b, &units[i], b.graph_rows[units[i].graph], i));
    status = builder_finish(&b, out_block);
out:
    builder_deinit(&b);
    return status;
}

partita_status pt_block_create_part(const pt_model *model, const int64_t *symbol_values, const pt_id *nodes,
                                    uint32_t node_count, const pt_id *inputs, uint32_t input_count,
                                    const pt_id *outputs, uint32_t output_count, pt_block **out_block) {
    return pt_block_create_grouped_part(model, symbol_values, nodes, node_count, inputs, input_count, outputs,
                                        output_count, NULL, 0, out_block);
}

partita_status pt_block_create_grouped_part(const pt_model *model, const int64_t *symbol_values, const pt_id *nodes,
                                            uint32_t node_count, const pt_id *inputs, uint32_t input_count,
                                            const pt_id *outputs, uint32_t output_count, const pt_block_unit *units,
                                            uint32_t unit_count, pt_block **out_block) {
    partita_status status;
    ptp_graph_row part;
    uint32_t row;
    builder b;
    *out_block = NULL;
    PT_CHECK(builder_init(&b, model, symbol_values));
    PT_CHECK(graph_touch(&b, PT_NONE, PARTITA_NONE, &row));
    part = b.graphs.data[row];
    PT_CHECK(value_touch_all(&b, inputs, input_count, PTP_VALUE_INPUT, &part.inputs));
    for (uint32_t i = 0; i < node_count; i++) PT_CHECK(write_node(&b, nodes[i], row));
    PT_CHECK(value_touch_all(&b, outputs, output_count, PTP_VALUE_OUTPUT, &part.outputs));
    part.node_count = (uint32_t)b.nodes.size;
    b.graphs.data[row] = part;
    for (uint32_t i = 1; i < b.graphs.size; i++) PT_CHECK(write_graph(&b, i));
    for (uint32_t i = 0; i < unit_count; i++) PT_CHECK(write_unit(&b, &units[i], row, i));
    status = builder_finish(&b, out_block);
out:
    builder_deinit(&b);
    return status;
}

void pt_block_destroy(pt_block *block) {
    if (!block) return;
    pt_free(block->data);
    pt_free(block->values);
    pt_free(block->nodes);
    pt_free(block->value_rows);
    pt_free(block->weights);
    pt_free(block->tensors);
    pt_free(block);
}
