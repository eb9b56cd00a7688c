/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts made by hand: see part.h.
 */
#include "plugins/cpu/part.h"

#include <stdlib.h>

part *part_new(void) { return calloc(1, sizeof(part)); }

static void results_free(part *p, const ptp_host *host) {
    for (uint32_t i = 0; i < p->output_count; i++) {
        if (p->given[i].owned != NULL)
            host->free(host->self, p->given[i].owned);
        else
            free(p->results[i].data);
        p->given[i] = (fake_output){0};
        p->results[i].data = NULL;
    }
}

void part_free(part *p, const ptp_host *host) {
    results_free(p, host);
    cpu_frame_destroy(p->frame);
    cpu_program_destroy(p->program);
    free(p->scratch);
    free(p->block);
    free(p);
}

uint32_t part_value_add(part *p, partita_dtype dtype, uint32_t rank, const int64_t *dims) {
    part_value *value = &p->values[p->value_count];
    *value = (part_value){.dtype = dtype, .rank = rank, .weight = PARTITA_NONE, .producer = PARTITA_NONE};
    for (uint32_t i = 0; i < rank; i++) value->dims[i] = dims[i];
    return p->value_count++;
}

uint32_t part_input(part *p, partita_dtype dtype, uint32_t rank, const int64_t *dims) {
    uint32_t value = part_value_add(p, dtype, rank, dims);
    p->values[value].flags |= PTP_VALUE_INPUT;
    p->inputs[p->input_count++] = value;
    return value;
}

uint32_t part_constant(part *p, partita_dtype dtype, uint32_t rank, const int64_t *dims, const void *data) {
    uint32_t value = part_value_add(p, dtype, rank, dims);
    p->values[value].flags |= PTP_VALUE_CONSTANT;
    p->values[value].data = data;
    p->values[value].weight = p->weight_count++;
    return value;
}

void part_output(part *p, uint32_t value) {
    p->values[value].flags |= PTP_VALUE_OUTPUT;
    p->outputs[p->output_count++] = value;
}

part_node *part_node_add(part *p, const char *op, int32_t since, uint32_t in_count, const uint32_t *in, uint32_t out) {
    part_node *node = &p->nodes[p->node_count];
    *node = (part_node){.op = op, .since = since, .in_count = in_count, .out_count = 1, .out = {out}};
    for (uint32_t i = 0; i < in_count; i++) node->in[i] = in[i];
    p->values[out].producer = p->node_count++;
    return node;
}

typedef struct buffer {
    char *bytes;
    size_t size;
} buffer;

static ptp_ref put(buffer *to, const void *data, size_t each, uint32_t count) {
    to->size = (to->size + 7) / 8 * 8;
    ptp_ref ref = {(uint32_t)to->size, count};
    if (count > 0) memcpy(to->bytes + to->size, data, each * count);
    to->size += each * count;
    return ref;
}

static ptp_table put_table(buffer *to, const void *rows, size_t each, uint32_t count) {
    ptp_ref ref = put(to, rows, each, count);
    return (ptp_table){ref.offset, count, (uint32_t)each, 0};
}

static uint64_t bytes_of(const part_value *value) {
    uint64_t bytes = cpu_dtype_bits(value->dtype) / 8;
    for (uint32_t i = 0; i < value->rank; i++) bytes *= (uint64_t)value->dims[i];
    return bytes;
}

static void block_make(part *p) {
    buffer to = {calloc(1, 1 << 20), sizeof(ptp_block)};
    ptp_value_row *values = calloc(p->value_count, sizeof(*values));
    ptp_node_row *nodes = calloc(p->node_count + 1, sizeof(*nodes));
    ptp_attribute_row *attributes = calloc(p->node_count + 1, sizeof(*attributes));
    uint32_t attribute_count = 0, all[PART_NODES];
    ptp_block block = {.size = sizeof(block), .version = 1};
    for (uint32_t i = 0; i < p->value_count; i++) {
        const part_value *v = &p->values[i];
        values[i] = (ptp_value_row){.kind = PARTITA_KIND_TENSOR,
                                    .dtype = v->dtype,
                                    .rank = (int32_t)v->rank,
                                    .flags = v->flags | (v->unknown ? PTP_VALUE_DATA_SHAPED : 0),
                                    .dims = put(&to, v->dims, 8, v->rank),
                                    .producer = v->producer,
                                    .weight = v->weight,
                                    .bytes = bytes_of(v)};
        if (v->data != NULL && bytes_of(v) <= 4096) values[i].data = put(&to, v->data, 1, (uint32_t)bytes_of(v));
    }
    for (uint32_t i = 0; i < p->node_count; i++) {
        const part_node *n = &p->nodes[i];
        nodes[i] = (ptp_node_row){.op = put(&to, n->op, 1, (uint32_t)strlen(n->op)),
                                  .name = put(&to, "node", 1, 4),
                                  .since = n->since,
                                  .inputs = put(&to, n->in, 4, n->in_count),
                                  .outputs = put(&to, n->out, 4, n->out_count),
                                  .unit = p->grouped ? 0 : PARTITA_NONE};
        all[i] = i;
        if (n->attribute == NULL) continue;
        nodes[i].attributes = (ptp_ref){attribute_count, 1};
        attributes[attribute_count++] =
            (ptp_attribute_row){.name = put(&to, n->attribute, 1, (uint32_t)strlen(n->attribute)),
                                .type = PTP_ATTRIBUTE_INT,
                                .data = put(&to, &n->number, 8, 1)};
    }
    ptp_graph_row graph = {.node_count = p->node_count,
                           .inputs = put(&to, p->inputs, 4, p->input_count),
                           .outputs = put(&to, p->outputs, 4, p->output_count),
                           .parent = PARTITA_NONE};
    block.graphs = put_table(&to, &graph, sizeof(graph), 1);
    block.nodes = put_table(&to, nodes, sizeof(*nodes), p->node_count);
    block.values = put_table(&to, values, sizeof(*values), p->value_count);
    block.attributes = put_table(&to, attributes, sizeof(*attributes), attribute_count);
    ptp_unit_row unit = {.kind = PTP_UNIT_GROUP, .parent = PARTITA_NONE, .nodes = put(&to, all, 4, p->node_count)};
    block.units = put_table(&to, &unit, sizeof(unit), p->grouped ? 1 : 0);
    block.bytes = to.size;
    memcpy(to.bytes, &block, sizeof(block));
    p->block = to.bytes;
    free(values);
    free(nodes);
    free(attributes);
}

partita_status part_build(part *p, const cpu_program_config *config) {
    ptp_compile compile = {.size = sizeof(compile), .weights = p->weights, .weight_count = p->weight_count};
    ptp_resize resize = {.size = sizeof(resize), .shape_count = p->value_count, .shapes = p->shapes};
    block_make(p);
    compile.block = (const ptp_block *)(const void *)p->block;
    for (uint32_t i = 0; i < p->value_count; i++) {
        const part_value *v = &p->values[i];
        p->shapes[i] = (ptp_shape){.rank = v->unknown ? -1 : (int32_t)v->rank, .dims = v->dims};
        if (v->weight != PARTITA_NONE)
            p->weights[v->weight] =
                (ptp_weight){.size = sizeof(ptp_weight), .data = v->data, .bytes = bytes_of(v), .fd = -1};
    }
    partita_status status = cpu_program_create(config, &compile, &p->program);
    if (status == PARTITA_OK) status = cpu_frame_create(p->program, &resize, &p->frame);
    if (status != PARTITA_OK) return status;
    /* What inference would say while running. */
    for (uint32_t i = 0; i < p->value_count; i++) p->shapes[i].rank = (int32_t)p->values[i].rank;
    p->scratch_bytes = resize.scratch_bytes;
    p->scratch = aligned_alloc(64, resize.scratch_bytes);
    return PARTITA_OK;
}

partita_status part_run(part *p, const ptp_host *host, void *const *inputs) {
    ptp_tensor in[8];
    fake_run run = {p->given, p->output_count};
    results_free(p, host);
    fake_host_shapes((const ptp_block *)(const void *)p->block, p->shapes);
    for (uint32_t i = 0; i < p->input_count; i++) {
        const part_value *v = &p->values[p->inputs[i]];
        in[i] = (ptp_tensor){.size = sizeof(ptp_tensor),
                             .kind = PARTITA_KIND_TENSOR,
                             .dtype = v->dtype,
                             .rank = v->rank,
                             .dims = v->dims,
                             .domain = PTP_DOMAIN_HOST,
                             .data = inputs[i],
                             .bytes = bytes_of(v)};
    }
    for (uint32_t i = 0; i < p->output_count; i++) {
        const part_value *v = &p->values[p->outputs[i]];
        p->results[i] = (ptp_tensor){.size = sizeof(ptp_tensor),
                                     .kind = PARTITA_KIND_TENSOR,
                                     .dtype = v->dtype,
                                     .rank = v->rank,
                                     .dims = v->dims,
                                     .domain = PTP_DOMAIN_HOST,
                                     .bytes = bytes_of(v)};
        if (!v->unknown) p->results[i].data = malloc(bytes_of(v) + 1);
    }
    memset(p->scratch, 0xa5, p->scratch_bytes);
    ptp_exec exec = {.size = sizeof(exec),
                     .input_count = p->input_count,
                     .run = (ptp_run *)&run,
                     .inputs = in,
                     .outputs = p->results,
                     .output_count = p->output_count,
                     .scratch_data = p->scratch,
                     .scratch_bytes = p->scratch_bytes};
    return cpu_frame_run(p->frame, &exec);
}
