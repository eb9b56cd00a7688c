/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says what inference says: reads models with the shapes and bytes of their inputs (infer_cases.py writes them), prints
 * for each output its type, its dims as inferred, as evaluated for these inputs, and for single nodes as given for a
 * run. With "values" before the file: the type of every value of every graph, bodies included.
 *
 * "rows" instead of a file: prints the schemas.
 *
 * File, little endian: count, then for each model: size, bytes, inputs; for each input: kind, dtype, rank, dims as
 * int64, bytes, data. All other numbers are uint32.
 */
#include "onnx/reader.h"
#include "op/schema.h"
#include "plugin/registry.h"

#include <stdio.h>
#include <stdlib.h>

enum { RANK_MAX = 16, PORTS_MAX = 256 };

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static const uint8_t *take(reader *in, size_t bytes) {
    if ((size_t)(in->end - in->at) < bytes) {
        fprintf(stderr, "the file ends too early\n");
        exit(2);
    }
    in->at += bytes;
    return in->at - bytes;
}

static uint32_t take_u32(reader *in) {
    uint32_t number;
    memcpy(&number, take(in, sizeof number), sizeof number);
    return number;
}

typedef struct input {
    pt_shaped shaped;
    int64_t dims[RANK_MAX];
} input;

static uint32_t take_inputs(reader *in, input *inputs) {
    uint32_t count = take_u32(in);
    if (count > PORTS_MAX) exit(2);
    for (uint32_t i = 0; i < count; i++) {
        input *one = &inputs[i];
        one->shaped = (pt_shaped){.kind = take_u32(in), .dtype = take_u32(in)};
        one->shaped.rank = (int32_t)take_u32(in);
        if (one->shaped.rank > RANK_MAX) exit(2);
        for (int32_t k = 0; k < one->shaped.rank; k++)
            memcpy(&one->dims[k], take(in, sizeof(int64_t)), sizeof(int64_t));
        one->shaped.dims = one->dims;
        uint32_t bytes = take_u32(in);
        const void *data = take(in, bytes);
        one->shaped.data = bytes ? data : NULL;
    }
    return count;
}

/* Values of the symbols that the inputs' dims are. */
static int64_t *bind(const pt_model *model, const input *inputs, uint32_t count) {
    size_t symbols = model->symbols.rows.size;
    int64_t *values = malloc((symbols + 1) * sizeof *values);
    for (size_t i = 0; values && i < symbols; i++) values[i] = PT_DIM_UNKNOWN;
    for (size_t i = 0; values && i < model->graphs.data[0].inputs.size && i < count; i++) {
        const pt_type *type = &pt_value_at(model, model->graphs.data[0].inputs.data[i])->type;
        for (int32_t k = 0; k < type->rank && k < inputs[i].shaped.rank; k++) {
            if (!pt_dim_is_exact(type->dims[k])) values[pt_dim_symbol(type->dims[k])] = inputs[i].dims[k];
        }
    }
    if (values) pt_symbols_evaluate(&model->symbols, values);
    return values;
}

static void print_dim(int64_t dim, bool first) {
    if (!first) printf(",");
    if (dim == PT_DIM_UNKNOWN || dim == -1) {
        printf("?");
    } else {
        printf("%lld", (long long)dim);
    }
}

static void print_types(const pt_model *model, const int64_t *values) {
    const pt_graph *graph = &model->graphs.data[0];
    for (size_t i = 0; i < graph->outputs.size; i++) {
        const pt_type *type = &pt_value_at(model, graph->outputs.data[i])->type;
        printf("output\t%u\t%u\t%d\t", type->kind, type->dtype, type->rank);
        for (int32_t k = 0; k < type->rank; k++) {
            print_dim(pt_dim_is_exact(type->dims[k]) ? type->dims[k] : PT_DIM_UNKNOWN, k == 0);
        }
        printf("\t");
        for (int32_t k = 0; k < type->rank; k++) print_dim(pt_dim_evaluate(type->dims[k], values), k == 0);
        printf("\n");
    }
}

/* A number; or s and the symbol's row, d where data decides, and what it is for these inputs. */
static void print_symbolic(const pt_model *model, pt_dim dim, const int64_t *values, bool first) {
    if (pt_dim_is_exact(dim) || dim == PT_DIM_UNKNOWN) {
        print_dim(dim, first);
        return;
    }
    char letter = pt_dim_depends_on_data(&model->symbols, dim) ? 'd' : 's';
    printf("%s%c%u=", first ? "" : ",", letter, pt_dim_symbol(dim));
    print_dim(pt_dim_evaluate(dim, values), true);
}

/* kind, dtype, key's dtype, then dims of tensors in [], the element's type in (). */
static void print_type(const pt_model *model, const pt_type *type, const int64_t *values) {
    printf("%u %u %u", type->kind, type->dtype, type->key_dtype);
    if (type->rank >= 0) {
        printf(" [");
        for (int32_t k = 0; k < type->rank; k++) print_symbolic(model, type->dims[k], values, k == 0);
        printf("]");
    }
    if (type->element) {
        printf(" (");
        print_type(model, type->element, values);
        printf(")");
    }
}

/* Where a graph is: for each node on the way, its first named output and the attribute. */
static void print_path(const pt_model *model, pt_id id) {
    const pt_graph *graph = &model->graphs.data[id];
    if (graph->parent == PT_NONE) return;
    const pt_node *node = pt_node_at(model, graph->parent);
    print_path(model, node->graph);
    uint32_t first = 0;
    while (first + 1 < node->output_count && node->outputs[first] == PT_NONE) first++;
    pt_id named = node->output_count ? node->outputs[first] : PT_NONE;
    printf("/%.*s", named == PT_NONE ? 0 : (int)pt_value_at(model, named)->name.size,
           named == PT_NONE ? "" : pt_value_at(model, named)->name.data);
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        const pt_attribute *attribute = &node->attributes[i];
        for (uint32_t k = 0; pt_attribute_has_graphs(attribute) && k < attribute->count; k++) {
            if (attribute->graphs[k] == id) printf(".%.*s", PT_STR_ARG(attribute->name));
        }
    }
}

static void print_values(const pt_model *model, const int64_t *values) {
    for (size_t i = 0; i < model->values.size; i++) {
        const pt_value *value = pt_value_at(model, (pt_id)i);
        if (value->dead || value->name.size == 0) continue;
        printf("value\t");
        print_path(model, value->graph);
        printf("\t%.*s\t", PT_STR_ARG(value->name));
        print_type(model, &value->type, values);
        printf("\n");
    }
}

/* For a graph of one node whose inputs are the graph's. */
static void print_actual(const pt_model *model, const input *inputs, uint32_t count) {
    const pt_graph *graph = &model->graphs.data[0];
    pt_shaped given[PORTS_MAX], shapes[PORTS_MAX];
    static int64_t dims[PORTS_MAX * RANK_MAX];
    const pt_node *node = graph->order.size == 1 ? pt_node_at(model, graph->order.data[0]) : NULL;
    if (!node || node->input_count > PORTS_MAX || node->output_count > PORTS_MAX) return;
    for (uint32_t i = 0; i < node->input_count; i++) {
        given[i] = (pt_shaped){.rank = -1};
        for (uint32_t k = 0; k < count && k < graph->inputs.size; k++) {
            if (graph->inputs.data[k] == node->inputs[i]) given[i] = inputs[k].shaped;
        }
    }
    partita_status status =
        pt_node_infer_actual(model, graph->order.data[0], given, node->input_count, shapes, dims, node->output_count);
    if (status != PARTITA_OK) printf("actual\t%d\t%s\n", status, pt_last_message());
    for (size_t i = 0; status == PARTITA_OK && i < graph->outputs.size; i++) {
        for (uint32_t k = 0; k < node->output_count; k++) {
            if (node->outputs[k] != graph->outputs.data[i]) continue;
            printf("actual\t0\t%u\t%u\t%d\t", shapes[k].kind, shapes[k].dtype, shapes[k].rank);
            for (int32_t d = 0; d < shapes[k].rank; d++) print_dim(shapes[k].dims[d], d == 0);
            printf("\n");
        }
    }
}

/* Operator sets of the plugins beside the program. */
static partita_status find_operator(void *user, partita_str domain, partita_str name, int64_t version,
                                    const pt_schema **out_schema) {
    static pt_registry *registry;
    const pt_registry_options options = {0};
    (void)user;
    if (!registry) PT_TRY(pt_registry_create(&options, &registry));
    return pt_registry_operator(registry, domain, name, version, out_schema);
}

static partita_status prepare(pt_model *model) {
    const pt_schema_source source = {find_operator, NULL};
    PT_TRY(pt_model_sort(model));
    PT_TRY(pt_model_check_with(model, &source));
    PT_TRY(pt_model_infer(model));
    /* Once more: what is known stays. */
    PT_TRY(pt_model_infer(model));
    return pt_model_validate(model);
}

static void dump(reader *in, uint32_t index, bool all) {
    static input inputs[PORTS_MAX];
    uint32_t size = take_u32(in);
    const void *bytes = take(in, size);
    uint32_t count = take_inputs(in, inputs);
    pt_model *model = NULL;
    printf("model\t%u\n", index);
    partita_status status = pt_onnx_load_memory(bytes, size, true, NULL, NULL, &model);
    if (status != PARTITA_OK) {
        printf("load\t%d\t%s\n", status, pt_last_message());
        return;
    }
    status = prepare(model);
    if (status != PARTITA_OK) {
        printf("infer\t%d\t%s\n", status, pt_last_message());
    } else {
        int64_t *values = bind(model, inputs, count);
        if (values && all) print_values(model, values);
        if (values && !all) print_types(model, values);
        if (!all) print_actual(model, inputs, count);
        free(values);
    }
    pt_model_destroy(model);
}

static void print_rows(void) {
    uint32_t count;
    const pt_schema *rows = pt_schema_rows(&count);
    for (uint32_t i = 0; i < count; i++) {
        const pt_schema *row = &rows[i];
        printf("%s\t%s\t%d\t%d\t%u\t%u\t%u\t%u", row->domain, row->name, row->since, row->until, row->min_inputs,
               row->max_inputs, row->min_outputs, row->max_outputs);
        for (uint32_t k = 0; k < row->attribute_count; k++) {
            const pt_schema_attribute *attribute = &row->attributes[k];
            printf("\t%s %u %d ", attribute->name, attribute->type, attribute->required);
            if (!attribute->has_default) {
                printf("-");
            } else if (attribute->default_text) {
                printf("%s", attribute->default_text);
            } else if (attribute->type == 2) {
                printf("%.9g", (double)attribute->default_float);
            } else {
                printf("%lld", (long long)attribute->default_int);
            }
        }
        printf("\n");
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "rows") == 0) {
        print_rows();
        return 0;
    }
    bool all = argc == 3 && strcmp(argv[1], "values") == 0;
    FILE *file = argc == 2 || all ? fopen(argv[argc - 1], "rb") : NULL;
    if (!file) {
        fprintf(stderr, "usage: infer_dump [values] FILE | rows\n");
        return 2;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *data = malloc((size_t)size + 1);
    if (!data || fread(data, 1, (size_t)size, file) != (size_t)size) return 2;
    fclose(file);
    reader in = {data, data + size};
    uint32_t count = take_u32(&in);
    for (uint32_t i = 0; i < count; i++) dump(&in, i, all);
    free(data);
    return 0;
}
