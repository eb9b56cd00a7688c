/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schemas, out of the rows, and how one is found: the rows are sorted by domain, name and version.
 */
#include "op/flops.h"
#include "op/infer.h"

#include <partita/plugin.h>

/* ---- attributes ------------------------------------------------------------------------------ */

#define ATTRIBUTE_TYPE_INT     PTP_ATTRIBUTE_INT
#define ATTRIBUTE_TYPE_FLOAT   PTP_ATTRIBUTE_FLOAT
#define ATTRIBUTE_TYPE_STRING  PTP_ATTRIBUTE_STRING
#define ATTRIBUTE_TYPE_TENSOR  PTP_ATTRIBUTE_TENSOR
#define ATTRIBUTE_TYPE_GRAPH   PTP_ATTRIBUTE_GRAPH
#define ATTRIBUTE_TYPE_INTS    PTP_ATTRIBUTE_INTS
#define ATTRIBUTE_TYPE_FLOATS  PTP_ATTRIBUTE_FLOATS
#define ATTRIBUTE_TYPE_STRINGS PTP_ATTRIBUTE_STRINGS
#define ATTRIBUTE_TYPE_TENSORS PTP_ATTRIBUTE_TENSORS
#define ATTRIBUTE_TYPE_GRAPHS  PTP_ATTRIBUTE_GRAPHS
#define ATTRIBUTE_TYPE_TYPE    0 /* not checked */

#define DEFAULT_INT(value)     .default_int = (value)
#define DEFAULT_FLOAT(value)   .default_float = (value)
#define DEFAULT_STRING(value)  .default_text = (value)
#define DEFAULT_INTS(value)    .default_text = (value)
#define DEFAULT_FLOATS(value)  .default_text = (value)
#define DEFAULT_STRINGS(value) .default_text = (value)

#define NEED(kind, label) {.name = #label, .type = ATTRIBUTE_TYPE_##kind, .required = true},
#define MAY(kind, label)  {.name = #label, .type = ATTRIBUTE_TYPE_##kind},
#define HAS(kind, label, value)                                                                                        \
    {.name = #label, .type = ATTRIBUTE_TYPE_##kind, .has_default = true, DEFAULT_##kind(value)},

/* Each set ends with an empty row, because an array of none is not C. */
#define ROW_ATTRIBUTES(set, ...) static const pt_schema_attribute attributes_##set[] = {__VA_ARGS__{0}};
ROW_ATTRIBUTES(none, )
#include "rows/attributes.inc"

/* ---- operators ------------------------------------------------------------------------------- */

#define MANY        UINT32_MAX
#define NEWEST      INT32_MAX
#define KIND_PURE   PT_OP_PURE
#define KIND_EACH   (PT_OP_PURE | PT_OP_ELEMENTWISE)
#define KIND_MOVE   (PT_OP_PURE | PT_OP_MOVES_DATA)
#define KIND_DATA   (PT_OP_PURE | PT_OP_DATA_SHAPED)
#define KIND_RANDOM PT_OP_RANDOM
#define KIND_FLOW   PT_OP_CONTROL_FLOW

static const pt_schema rows[] = {
#define ROW_OP_IN(domain_text, label, first, last, in_min, in_max, out_min, out_max, kind, function, count, set)       \
    {.domain = domain_text,                                                                                            \
     .name = #label,                                                                                                   \
     .since = first,                                                                                                   \
     .until = last,                                                                                                    \
     .min_inputs = in_min,                                                                                             \
     .max_inputs = in_max,                                                                                             \
     .min_outputs = out_min,                                                                                           \
     .max_outputs = out_max,                                                                                           \
     .flags = KIND_##kind,                                                                                             \
     .attributes = attributes_##set,                                                                                   \
     .attribute_count = PT_COUNT_OF(attributes_##set) - 1,                                                             \
     .infer = pt_op_infer_##function,                                                                                  \
     .flops = pt_op_flops_##count},
#include "rows/operators.inc"
};

const pt_schema *pt_schema_rows(uint32_t *out_count) {
    *out_count = PT_COUNT_OF(rows);
    return rows;
}

static int compare(partita_str a, const char *b) {
    size_t size = strlen(b);
    int order = memcmp(a.data ? a.data : "", b, PT_MIN(a.size, size));
    return order ? order : (a.size > size) - (a.size < size);
}

/* The last row that is not after (domain, name, version); NULL before the first. */
static const pt_schema *last_until(partita_str domain, partita_str name, int64_t opset_version) {
    size_t low = 0, high = PT_COUNT_OF(rows);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const pt_schema *row = &rows[middle];
        int order = compare(domain, row->domain);
        if (order == 0) order = compare(name, row->name);
        if (order == 0) order = opset_version < row->since ? -1 : 0;
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low ? &rows[low - 1] : NULL;
}

static bool is_named(const pt_schema *row, partita_str domain, partita_str name) {
    return row && compare(domain, row->domain) == 0 && compare(name, row->name) == 0;
}

const pt_schema *pt_schema_find(partita_str domain, partita_str name, int64_t opset_version) {
    if (pt_str_is(domain, "ai.onnx")) domain = PT_STR("");
    const pt_schema *row = last_until(domain, name, opset_version);
    return is_named(row, domain, name) && opset_version <= row->until ? row : NULL;
}

bool pt_schema_is_standard(partita_str domain, partita_str name) {
    if (pt_str_is(domain, "ai.onnx")) domain = PT_STR("");
    return is_named(last_until(domain, name, INT64_MAX), domain, name);
}
