/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operator sets: a plugin's rows, checked once and made schemas, and how an operator is found among the plugins whose
 * manifests name its domain. Only those are opened.
 */
#include "plugin/internal.h"

#include "op/flops.h"
#include "op/infer.h"

#include <partita/operator_set.h>
#include <stdlib.h>

#define MOST_ROWS       65536u
#define MOST_ATTRIBUTES 1024u
#define MOST_BODIES     256u
#define MOST_BYTES      (16u << 20) /* of a body */
#define LONGEST_NAME    255u

#define MY_FLAGS                                                                                                       \
    (PTP_OPERATOR_PURE | PTP_OPERATOR_RANDOM | PTP_OPERATOR_DATA_SHAPED | PTP_OPERATOR_MOVES_DATA |                    \
     PTP_OPERATOR_ELEMENTWISE)
_Static_assert((int)PTP_OPERATOR_PURE == (int)PT_OP_PURE && (int)PTP_OPERATOR_RANDOM == (int)PT_OP_RANDOM &&
                   (int)PTP_OPERATOR_DATA_SHAPED == (int)PT_OP_DATA_SHAPED &&
                   (int)PTP_OPERATOR_MOVES_DATA == (int)PT_OP_MOVES_DATA &&
                   (int)PTP_OPERATOR_ELEMENTWISE == (int)PT_OP_ELEMENTWISE,
               "flags of rows are those of schemas");

/* The part of a row that every header has. */
#define LEAST_ROW       (offsetof(ptp_operator_row, choose))
#define LEAST_ATTRIBUTE (sizeof(ptp_operator_attribute))
#define LEAST_BODY      (sizeof(ptp_operator_body))

enum { MOST_LETTERS = 8, PT_OPERATOR_INPUTS = 256 };

/* ---- checks ---------------------------------------------------------------------------------- */

/* A text that is a name: what is printed and compared. */
static bool is_name(const char *text) {
    size_t size = text ? strnlen(text, LONGEST_NAME + 1) : 0;
    if (size == 0 || size > LONGEST_NAME) return false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c >= 127) return false;
    }
    return true;
}

static bool brings_domain(const pt_plugin *plugin, const char *domain) {
    for (uint32_t i = 0; i < plugin->domain_count; i++) {
        const char *own = strcmp(plugin->domains[i], "ai.onnx") == 0 ? "" : plugin->domains[i];
        if (strcmp(own, domain) == 0) return true;
    }
    return false;
}

static partita_status check_name(const pt_plugin *plugin, const pt_schema *schema) {
    const char *domain = schema->domain;
    if (!brings_domain(plugin, domain)) {
        return pt_fail(PARTITA_DEVICE_FAILED, "its manifest does not name the domain \"%s\"",
                       *domain ? domain : "ai.onnx");
    }
    if (*domain == '\0') {
        if (!pt_schema_is_standard(PT_STR(""), pt_str(schema->name))) return PARTITA_OK;
        return pt_fail(PARTITA_DEVICE_FAILED, "ONNX has an operator of this name");
    }
    if (strncmp(domain, "ai.onnx.", 8) != 0 && strcmp(domain, "partita") != 0) return PARTITA_OK;
    return pt_fail(PARTITA_DEVICE_FAILED, "the domain \"%s\" is not open to operator sets", domain);
}

static partita_status check_counts(const pt_schema *schema) {
    if (schema->since < 1) return pt_fail(PARTITA_DEVICE_FAILED, "version %d is none", schema->since);
    if (schema->min_inputs > schema->max_inputs || schema->min_outputs > schema->max_outputs) {
        return pt_fail(PARTITA_DEVICE_FAILED, "has at least %u inputs and %u outputs, and at most %u and %u",
                       schema->min_inputs, schema->min_outputs, schema->max_inputs, schema->max_outputs);
    }
    return schema->max_outputs ? PARTITA_OK : pt_fail(PARTITA_DEVICE_FAILED, "has no outputs");
}

/* ---- rows ------------------------------------------------------------------------------------ */

static partita_status take_attribute(const ptp_operator_attribute *row, pt_schema_attribute *out) {
    bool list = row->type == PTP_ATTRIBUTE_INTS || row->type == PTP_ATTRIBUTE_FLOATS ||
                row->type == PTP_ATTRIBUTE_STRINGS || row->type == PTP_ATTRIBUTE_STRING;
    if (!is_name(row->name)) return pt_fail(PARTITA_DEVICE_FAILED, "an attribute has no proper name");
    *out = (pt_schema_attribute){.name = row->name,
                                 .type = row->type,
                                 .required = row->flags & PTP_OPERATOR_ATTRIBUTE_REQUIRED,
                                 .has_default = row->flags & PTP_OPERATOR_ATTRIBUTE_DEFAULT,
                                 .default_int = row->default_int,
                                 .default_float = row->default_float,
                                 .default_text = row->default_text};
    if (row->type < PTP_ATTRIBUTE_INT || row->type > PTP_ATTRIBUTE_GRAPHS || row->type == PTP_ATTRIBUTE_GRAPH ||
        row->type == PTP_ATTRIBUTE_GRAPHS) {
        return pt_fail(PARTITA_DEVICE_FAILED, "attribute %s has type %u, which no operator set can have", row->name,
                       row->type);
    }
    if (!out->has_default) return PARTITA_OK;
    if (row->type == PTP_ATTRIBUTE_TENSOR || row->type == PTP_ATTRIBUTE_TENSORS || (list && !row->default_text)) {
        return pt_fail(PARTITA_DEVICE_FAILED, "attribute %s has no proper default", row->name);
    }
    return PARTITA_OK;
}

static partita_status take_attributes(pt_arena *arena, const ptp_operator_row *row, pt_schema *schema) {
    uint32_t count = row->attribute_count;
    if (count == 0) return PARTITA_OK;
    if (!row->attributes || count > MOST_ATTRIBUTES || row->attributes->size < LEAST_ATTRIBUTE) {
        return pt_fail(PARTITA_DEVICE_FAILED, "its %u attributes are no rows", count);
    }
    pt_schema_attribute *attributes = pt_arena_array(arena, count, sizeof *attributes);
    if (!attributes) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) {
        ptp_operator_attribute copy;
        pt_table_copy(&copy, sizeof copy, (const char *)row->attributes + (size_t)i * row->attributes->size);
        PT_TRY(take_attribute(&copy, &attributes[i]));
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(attributes[k].name, attributes[i].name) == 0)
                return pt_fail(PARTITA_DEVICE_FAILED, "attribute %s is there twice", attributes[i].name);
        }
    }
    schema->attributes = attributes;
    schema->attribute_count = count;
    return PARTITA_OK;
}

/* Whether the bytes are a function is seen when a node needs them. */
static partita_status take_bodies(pt_arena *arena, ptp_operator_row *row) {
    uint32_t count = row->body_count;
    if (count == 0) return PARTITA_OK;
    if (!row->bodies || count > MOST_BODIES || row->bodies->size < LEAST_BODY) {
        return pt_fail(PARTITA_DEVICE_FAILED, "its %u bodies are no rows", count);
    }
    ptp_operator_body *bodies = pt_arena_array(arena, count, sizeof *bodies);
    if (!bodies) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < count; i++) {
        pt_table_copy(&bodies[i], sizeof *bodies, (const char *)row->bodies + (size_t)i * row->bodies->size);
        if (!bodies[i].bytes || bodies[i].byte_count == 0 || bodies[i].byte_count > MOST_BYTES) {
            return pt_fail(PARTITA_DEVICE_FAILED, "body %u has %llu bytes", i,
                           (unsigned long long)bodies[i].byte_count);
        }
    }
    row->bodies = bodies;
    return PARTITA_OK;
}

static partita_status check_letters(const ptp_operator_row *row) {
    const char *letters = row->input_letters;
    if (!letters) return PARTITA_OK;
    if (row->letter_count > MOST_LETTERS || (row->letter_count && !row->letter_types))
        return pt_fail(PARTITA_DEVICE_FAILED, "its %u letters of types are no rows", row->letter_count);
    for (size_t i = 0; letters[i]; i++) {
        bool last = letters[i] == '+' && i > 0 && !letters[i + 1];
        if (letters[i] == '.' || last) continue;
        if (i < PT_OPERATOR_INPUTS && letters[i] >= 'a' && (uint32_t)(letters[i] - 'a') < row->letter_count) continue;
        return pt_fail(PARTITA_DEVICE_FAILED, "letter %zu of its input types is none of %u", i, row->letter_count);
    }
    return PARTITA_OK;
}

typedef uint64_t (*flops_fn)(const pt_model *model, const pt_node *node, const int64_t *symbol_values);
static flops_fn flops_of(uint32_t kind) {
    static const flops_fn functions[] = {
        [PTP_FLOPS_OUTPUT] = pt_op_flops_each,
        [PTP_FLOPS_INPUT] = pt_op_flops_input,
        [PTP_FLOPS_MATMUL] = pt_op_flops_matmul,
        [PTP_FLOPS_GEMM] = pt_op_flops_gemm,
        [PTP_FLOPS_CONV] = pt_op_flops_conv,
        [PTP_FLOPS_POOL] = pt_op_flops_pool,
        [PTP_FLOPS_RNN] = pt_op_flops_rnn,
        [PTP_FLOPS_ATTENTION] = pt_op_flops_attention,
        [PTP_FLOPS_PACKED_ATTENTION] = pt_op_flops_packed_attention,
    };
    return kind < PT_COUNT_OF(functions) ? functions[kind] : pt_op_flops_each;
}

static partita_status take_row(pt_plugin *plugin, const void *from, pt_schema *out) {
    pt_arena *arena = &plugin->registry->arena;
    ptp_operator_row *row = pt_arena_alloc(arena, sizeof *row);
    if (!row) return PT_OUT_OF_MEMORY();
    pt_table_copy(row, sizeof *row, from);
    if (!row->domain || (*row->domain && !is_name(row->domain)) || !is_name(row->name)) {
        return pt_fail(PARTITA_DEVICE_FAILED, "has no proper name or domain");
    }
    *out = (pt_schema){.domain = strcmp(row->domain, "ai.onnx") == 0 ? "" : row->domain,
                       .name = row->name,
                       .since = row->since,
                       .until = INT32_MAX,
                       .min_inputs = row->min_inputs,
                       .max_inputs = row->max_inputs,
                       .min_outputs = row->min_outputs,
                       .max_outputs = row->max_outputs,
                       .flags = row->flags & MY_FLAGS,
                       .infer = row->infer ? pt_op_infer_set : NULL,
                       .flops = flops_of(row->flops),
                       .row = row,
                       .optional_inputs = row->optional_inputs,
                       .origin = plugin->name};
    partita_status status = check_name(plugin, out);
    if (status == PARTITA_OK) status = check_counts(out);
    if (status == PARTITA_OK) status = check_letters(row);
    if (status == PARTITA_OK) status = take_attributes(arena, row, out);
    if (status == PARTITA_OK) status = take_bodies(arena, row);
    return status == PARTITA_OK ? status : pt_annotate(status, "operator %s.%s", row->domain, row->name);
}

static int by_name(const void *a, const void *b) {
    const pt_schema *x = a, *y = b;
    int order = strcmp(x->domain, y->domain);
    if (order == 0) order = strcmp(x->name, y->name);
    return order ? order : (x->since > y->since) - (x->since < y->since);
}

/* Each row is in force until the next one of its name. */
static partita_status chain_rows(pt_schema *rows, uint32_t count) {
    qsort(rows, count, sizeof *rows, by_name);
    for (uint32_t i = 0; i + 1 < count; i++) {
        pt_schema *row = &rows[i];
        const pt_schema *next = row + 1;
        if (strcmp(row->domain, next->domain) != 0 || strcmp(row->name, next->name) != 0) continue;
        if (row->since == next->since) {
            return pt_fail(PARTITA_DEVICE_FAILED, "operator %s.%s is there twice in version %d", row->domain, row->name,
                           row->since);
        }
        row->until = next->since - 1;
    }
    return PARTITA_OK;
}

partita_status pt_plugin_read_operators(pt_plugin *plugin) {
    ptp_operator_set set;
    if (!plugin->info->operator_set) return PARTITA_OK;
    pt_table_copy(&set, sizeof set, plugin->info->operator_set);
    if (set.count == 0 || set.count > MOST_ROWS || !set.rows || set.rows->size < LEAST_ROW) {
        return pt_fail(PARTITA_DEVICE_FAILED, "its operator set has %u rows of %u bytes", set.count,
                       set.rows ? set.rows->size : 0);
    }
    pt_schema *rows = pt_arena_array(&plugin->registry->arena, set.count, sizeof *rows);
    if (!rows) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; i < set.count; i++) {
        PT_TRY(take_row(plugin, (const char *)set.rows + (size_t)i * set.rows->size, &rows[i]));
    }
    PT_TRY(chain_rows(rows, set.count));
    plugin->operators = rows;
    plugin->operator_count = set.count;
    return PARTITA_OK;
}

/* ---- finding --------------------------------------------------------------------------------- */

static int order_of(const pt_schema *row, partita_str domain, partita_str name, int64_t version) {
    partita_str texts[] = {pt_str(row->domain), pt_str(row->name)}, wanted[] = {domain, name};
    for (size_t i = 0; i < PT_COUNT_OF(texts); i++) {
        size_t size = PT_MIN(texts[i].size, wanted[i].size);
        int order = size ? memcmp(texts[i].data, wanted[i].data, size) : 0;
        if (order == 0) order = (texts[i].size > wanted[i].size) - (texts[i].size < wanted[i].size);
        if (order) return order;
    }
    return row->until < version ? -1 : row->since > version;
}

static const pt_schema *find_row(const pt_plugin *plugin, partita_str domain, partita_str name, int64_t version) {
    size_t low = 0, high = plugin->operator_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = order_of(&plugin->operators[middle], domain, name, version);
        if (order == 0) return &plugin->operators[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static partita_status find_locked(pt_registry *registry, const char *domain, partita_str name, int64_t version,
                                  const pt_schema **out_schema) {
    for (size_t i = 0; i < registry->plugins.size && !*out_schema; i++) {
        pt_plugin *plugin = registry->plugins.data[i];
        if (!brings_domain(plugin, domain)) continue;
        bool before = plugin->opened;
        partita_status status = pt_plugin_open(plugin);
        if (status == PARTITA_OUT_OF_MEMORY) return status;
        if (status == PARTITA_OK)
            *out_schema = find_row(plugin, pt_str(domain), name, version);
        else if (!before) /* of the others one may have the operator */
            pt_log_to(&registry->log, PARTITA_LOG_WARNING, "operator-set: %s", pt_last_message());
    }
    return PARTITA_OK;
}

partita_status pt_registry_operator(pt_registry *registry, partita_str domain, partita_str name, int64_t version,
                                    const pt_schema **out_schema) {
    char text[LONGEST_NAME + 1];
    *out_schema = NULL;
    if (domain.size > LONGEST_NAME) return PARTITA_OK;
    if (domain.size) memcpy(text, domain.data, domain.size);
    text[domain.size] = '\0';
    pthread_mutex_lock(&registry->lock);
    partita_status status = find_locked(registry, text, name, version, out_schema);
    pthread_mutex_unlock(&registry->lock);
    return status;
}
