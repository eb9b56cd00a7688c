/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks devices about models of one node, through the ABI alone: make_operators.py writes the models and makes
 * docs/operators.md of the answers.
 *
 *     ask_dump FILE DEVICE...
 *
 * FILE, little endian: models until the end, each a size (uint32) and that many bytes. Prints a line for each model:
 * a letter for each device, y or n; or `- message` for a model that is not accepted. "rows" instead of a file prints
 * domain, name, first and last version of each schema.
 */
#include "op/schema.h"
#include "plugin/block.h"
#include "plugin/registry.h"
#include "run/context.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_DEVICES = 16 };

static int print_rows(void) {
    uint32_t count;
    const pt_schema *rows = pt_schema_rows(&count);
    for (uint32_t i = 0; i < count; i++)
        printf("%s\t%s\t%" PRId32 "\t%" PRId32 "\n", rows[i].domain, rows[i].name, rows[i].since, rows[i].until);
    return 0;
}

/* The model's one node as a unit; its bodies belong to it. */
static partita_status make_block(const pt_model *model, pt_block **out_block) {
    const pt_graph *graph = &model->graphs.data[0];
    pt_id node = graph->order.size ? graph->order.data[0] : PT_NONE;
    if (graph->order.size != 1) return pt_fail(PARTITA_INVALID_ARGUMENT, "%zu nodes", graph->order.size);
    const pt_schema *schema = model->nodes.data[node].schema;
    bool bodies = schema && (schema->flags & PT_OP_CONTROL_FLOW);
    pt_block_unit unit = {bodies ? PTP_UNIT_CONTROL_FLOW : PTP_UNIT_NODE, 0, &node, 1, PARTITA_NONE};
    int64_t *values = pt_calloc(model->symbols.rows.size + 1, sizeof(*values));
    if (!values) return PT_OUT_OF_MEMORY();
    for (size_t i = 0; i < model->symbols.rows.size; i++) values[i] = 2;
    pt_symbols_evaluate(&model->symbols, values);
    partita_status status = pt_block_create_model(model, values, &unit, 1, out_block);
    pt_free(values);
    return status;
}

static partita_status ask(pt_device *device, const pt_block *block, char *out_letter) {
    uint32_t unit = 0;
    ptp_answer answer = {.size = sizeof(answer), .us = -1};
    ptp_ask question = {.size = sizeof(question), .block = block->data, .units = &unit, .count = 1};
    PT_TRY(pt_device_call(device, device->device.ask(device->handle, &question, &answer)));
    *out_letter = answer.can == PTP_NO ? 'n' : 'y';
    return PARTITA_OK;
}

static partita_status judge(partita_context *context, const void *data, uint64_t bytes, pt_device *const *devices,
                            int count) {
    char letters[MOST_DEVICES + 1] = "";
    const partita_model_options options = {.size = sizeof(options), .borrow = 1, .optimize = 1};
    partita_model *model = NULL;
    pt_block *block = NULL;
    partita_status status = PARTITA_OK;
    PT_CHECK(partita_model_load_memory(context, data, bytes, &options, &model));
    PT_CHECK(make_block(model->graph, &block));
    for (int i = 0; i < count; i++) PT_CHECK(ask(devices[i], block, &letters[i]));
out:
    if (status == PARTITA_OK)
        printf("%s\n", letters);
    else
        printf("- %s\n", pt_last_message());
    pt_block_destroy(block);
    partita_model_destroy(model);
    return status;
}

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, pt_last_message());
    return 1;
}

int main(int argc, char **argv) {
    partita_context *context;
    pt_device *devices[MOST_DEVICES];
    uint32_t size;
    if (argc == 2 && strcmp(argv[1], "rows") == 0) return print_rows();
    if (argc < 3 || argc - 2 > MOST_DEVICES) return fail("usage: ask_dump FILE DEVICE...");
    if (partita_context_create(NULL, &context) != PARTITA_OK) return fail("context");
    for (int i = 2; i < argc; i++)
        if (pt_registry_device(context->registry, pt_str(argv[i]), &devices[i - 2]) != PARTITA_OK) return fail(argv[i]);
    FILE *file = fopen(argv[1], "rb");
    if (!file) return fail(argv[1]);
    while (fread(&size, sizeof(size), 1, file) == 1) {
        void *data = malloc(size + 1u);
        if (!data || fread(data, 1, size, file) != size) return fail("the file ends too early");
        judge(context, data, size, devices, argc - 2);
        free(data);
    }
    fclose(file);
    partita_context_destroy(context);
    return 0;
}
