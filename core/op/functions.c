/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that ONNX defines its own operators by: what a node is expanded into where no device has the operator.
 */
#include "op/schema.h"

typedef struct function {
    const char *domain, *name;
    int32_t since;
    uint32_t bytes;
    const char *text;
} function;

static const function functions[] = {
#define ROW_FUNCTION(domain, name, since, bytes, text) {domain, name, since, bytes, text},
#include "op/functions.inc"
#define ROW_FUNCTION(domain, name, since, bytes, text) {domain, name, since, bytes, text},
#include "op/bodies.inc"
};

const void *pt_schema_function(const pt_schema *schema, uint64_t *out_size) {
    for (size_t i = 0; i < PT_COUNT_OF(functions); i++) {
        const function *row = &functions[i];
        if (row->since < schema->since || row->since > schema->until) continue;
        if (strcmp(row->name, schema->name) != 0 || strcmp(row->domain, schema->domain) != 0) continue;
        *out_size = row->bytes;
        return row->text;
    }
    *out_size = 0;
    return NULL;
}
